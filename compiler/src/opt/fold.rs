//! Computes what depends on constants only.
//!
//! ```text
//! %0 = const f32 0.9        %1 = neg %0        ->        %0 = const f32 -0.9
//! ```
//!
//! Elementwise ops on values that are one constant everywhere become a constant of their shape, rounded once per op to
//! the dtype, as running it would. Tables up to [`MAX_TABLE`] elements are computed by the reference evaluation;
//! larger ones stay, since a loop is cheaper than a table in the binary.

use super::view::{round_to, splat};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::interp;
use crate::graph::ops::{Literal, Op};
use crate::graph::rewrite::Rewriter;
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

/// An elementwise op on uniform constants, or a sum of copies that is exact.
fn fold_splat(r: &mut Rewriter<'_>, v: ValueId) -> Option<ValueId> {
    let node = r.old.node(v);
    let inputs: Vec<ValueId> = node.inputs.iter().map(|&a| r.new_of(a)).collect();
    let new = r.b.graph();
    let x = match &node.op {
        Op::Ew(op) => {
            let xs: Vec<f64> = inputs.iter().map(|&a| splat(new, a)).collect::<Option<_>>()?;
            let dtype = new.ty(*inputs.last()?).dtype;
            (op.spec().eval)(dtype, &xs)
        }
        Op::Cast(to) => {
            let from = new.ty(*inputs.first()?).dtype;
            let x = splat(new, *inputs.first()?)?;
            if from.is_float() && !to.is_float() && !(x.fract() == 0.0 && x.abs() < 2e9) {
                return None;
            }
            x
        }
        _ => return None,
    };
    let x = round_to(node.ty.dtype, x)?;
    Some(r.b.splat(&node.ty, x))
}

/// Any op on small constant tables, by the reference evaluation.
fn fold_table(r: &mut Rewriter<'_>, v: ValueId) -> Option<ValueId> {
    let node = r.old.node(v);
    let computes = !matches!(node.op, Op::Const(_) | Op::Broadcast { .. } | Op::Tag(_)) && !node.inputs.is_empty();
    if !computes || node.ty.numel() > MAX_TABLE || node.ty.numel() == 0 {
        return None;
    }
    let inputs: Vec<ValueId> = node.inputs.iter().map(|&a| r.new_of(a)).collect();
    let new = r.b.graph();
    let constant = |a: &ValueId| matches!(new.op(*a), Op::Const(_)) && new.ty(*a).numel() <= MAX_TABLE;
    if !inputs.iter().all(constant) {
        return None;
    }
    let xs = interp::eval_constants(&node.op, &inputs.iter().map(|&a| new.node(a)).collect::<Vec<_>>(), &node.ty)?;
    let xs: Vec<f64> = xs.into_iter().map(|x| round_to(node.ty.dtype, x)).collect::<Option<_>>()?;
    let literal = match (node.ty.rank(), xs.as_slice()) {
        (0, [x]) => Literal::Scalar(node.ty.dtype, *x),
        _ => Literal::Dense(node.ty.clone(), xs.into()),
    };
    Some(r.b.op(Op::Const(literal), &[]))
}
