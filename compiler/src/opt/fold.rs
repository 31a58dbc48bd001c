//! Computes what depends on constants only.
//!
//! ```text
//! %0 = const f32 0.9        %1 = neg %0        ->        %0 = const f32 -0.9
//! ```
//!
//! Elementwise ops on values that are one constant everywhere become a constant of their shape, rounded once per op to
//! the dtype, as running it would. Tables up to [`MAX_TABLE`] elements are computed by the reference evaluation;
//! larger ones stay, since a loop is cheaper than a table in the binary.

use super::view::splat;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::{EvalCx, Op};
use crate::graph::rewrite::Rewriter;
use crate::graph::tensor::{Tensor, round};
use crate::graph::ty::{Shape, TensorTy};
use crate::pass::{Pass, PassCx};

/// Most elements of a computed table.
const MAX_TABLE: u64 = 4096;

/// The pass.
pub const PASS: Pass = Pass { name: "fold", about: "Compute what depends on constants only", run };

fn run(g: &Graph, cx: &mut PassCx) -> Graph {
    Rewriter::new(g).run(|r, v| {
        let folded = fold_splat(r, v).or_else(|| fold_table(r, v));
        folded.filter(|_| cx.take())
    })
}

/// An elementwise op on uniform constants, computed once.
fn fold_splat(r: &mut Rewriter<'_>, v: ValueId) -> Option<ValueId> {
    let node = r.old.node(v);
    if !matches!(node.op, Op::Ew(_) | Op::Cast(_)) || node.inputs.is_empty() {
        return None;
    }
    let new = r.b.graph();
    let operand = |a: &ValueId| Some(Tensor::scalar(new.ty(r.new_of(*a)).dtype, splat(new, r.new_of(*a))?));
    let operands: Vec<Tensor> = node.inputs.iter().map(operand).collect::<Option<_>>()?;
    let x = eval(&node.op, &TensorTy { dtype: node.ty.dtype, shape: Shape::new() }, &operands).data[0];
    Some(r.b.splat(&node.ty, x))
}

/// Any op on small constant tables.
fn fold_table(r: &mut Rewriter<'_>, v: ValueId) -> Option<ValueId> {
    let node = r.old.node(v);
    let computes = !matches!(node.op, Op::Const(_) | Op::Broadcast { .. } | Op::Tag(_)) && !node.inputs.is_empty();
    if !computes || node.ty.numel() > MAX_TABLE || node.ty.numel() == 0 {
        return None;
    }
    let new = r.b.graph();
    let operand = |a: &ValueId| match new.op(r.new_of(*a)) {
        Op::Const(literal) if new.ty(r.new_of(*a)).numel() <= MAX_TABLE => {
            Some(Tensor::new(literal.ty(), literal.data().to_vec()))
        }
        _ => None,
    };
    let operands: Vec<Tensor> = node.inputs.iter().map(operand).collect::<Option<_>>()?;
    let out = eval(&node.op, &node.ty, &operands);
    Some(r.b.table(&node.ty, &out.data))
}

/// The reference evaluation, rounded to the dtype.
fn eval(op: &Op, ty: &TensorTy, operands: &[Tensor]) -> Tensor {
    let cx = EvalCx { feeds: &[], seed: 0, step: 0 };
    let mut out = op.eval(&cx, ty, &operands.iter().collect::<Vec<_>>());
    out.data.iter_mut().for_each(|x| *x = round(ty.dtype, *x));
    out
}
