//! Local rewrites that are exact in IEEE arithmetic, or only change where elements lie.
//!
//! ```text
//! %1 = reshape [64] %0    %2 = reshape [8,8] %1     ->     %1 = reshape [8,8] %0
//! %1 = mul %0, 1.0                                  ->     %0
//! ```
//!
//! A rule is a named function: it looks at one node of the old graph whose operands are already rewritten, and returns
//! what replaces it. A rule never makes code worse and never undoes another. There is no `x * 0 -> 0`, `x - x -> 0` or
//! `x + 0 -> x`: they are wrong for NaN, infinities or -0.

use super::view::{exact_inverse, exact_multiple, splat};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Axes, Op, ReduceKind};
use crate::graph::rewrite::Rewriter;
use crate::graph::ty::Shape;
use crate::pass::{Pass, PassCx};

/// The pass.
pub const PASS: Pass = Pass { name: "simplify", about: "Exact local rewrites", run };

/// A rule: the rewriter, the node's op, its rewritten operands, the old value.
type Rule = fn(&mut Rewriter<'_>, &Op, &[ValueId], ValueId) -> Option<ValueId>;

/// Tried in order; the first that fires wins.
const RULES: &[Rule] = &[
    neutral_operand,
    double_negation,
    power_by_constant,
    divide_by_power_of_two,
    same_arms,
    logic_with_constant,
    cast_chain,
    reshape_chain,
    permute_chain,
    broadcast_chain,
    broadcast_of_reshape,
    whole_slice,
    move_constant,
    elementwise_of_broadcasts,
    reduce_single,
    reduce_constant,
];

fn run(g: &Graph, cx: &mut PassCx) -> Graph {
    Rewriter::new(g).run(|r, v| {
        let op = r.old.op(v).clone();
        let inputs: Vec<ValueId> = r.old.inputs(v).iter().map(|&a| r.new_of(a)).collect();
        if cx.fuel == 0 {
            return None;
        }
        let new = RULES.iter().find_map(|rule| rule(r, &op, &inputs, v))?;
        cx.take();
        Some(new)
    })
}

/// `x * 1`, `x / 1`, `x + (-0)` are `x`; `x * -1` is `-x`.
fn neutral_operand(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    let Op::Ew(ew @ (Ew::Mul | Ew::Div | Ew::Add)) = op else { return None };
    let float = r.old.ty(v).dtype.is_float();
    let g = r.b.graph();
    let is = |i: usize, want: f64| {
        splat(g, x[i]).is_some_and(|c| c == want && c.is_sign_negative() == want.is_sign_negative())
    };
    let zero = if float { -0.0 } else { 0.0 };
    match ew {
        Ew::Mul if is(1, 1.0) => Some(x[0]),
        Ew::Mul if is(0, 1.0) => Some(x[1]),
        Ew::Mul if float && is(1, -1.0) => Some(r.b.ew(Ew::Neg, &[x[0]])),
        Ew::Mul if float && is(0, -1.0) => Some(r.b.ew(Ew::Neg, &[x[1]])),
        Ew::Div if is(1, 1.0) => Some(x[0]),
        Ew::Add if is(1, zero) => Some(x[0]),
        Ew::Add if is(0, zero) => Some(x[1]),
        _ => None,
    }
}

/// `-(-x)` is `x`.
fn double_negation(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let g = r.b.graph();
    match (op, g.op(*x.first()?)) {
        (Op::Ew(Ew::Neg), Op::Ew(Ew::Neg)) => Some(g.inputs(x[0])[0]),
        _ => None,
    }
}

/// `x^1`, `x^2`, `x^3`, `x^-1` as products: fewer roundings than a logarithm and an exponential.
fn power_by_constant(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Ew(Ew::Pow) = op else { return None };
    let e = splat(r.b.graph(), x[1])?;
    if e == 1.0 {
        Some(x[0])
    } else if e == 2.0 {
        Some(r.b.ew(Ew::Mul, &[x[0], x[0]]))
    } else if e == 3.0 {
        let square = r.b.ew(Ew::Mul, &[x[0], x[0]]);
        Some(r.b.ew(Ew::Mul, &[square, x[0]]))
    } else if e == -1.0 {
        let one = r.b.splat_like(x[0], 1.0);
        Some(r.b.ew(Ew::Div, &[one, x[0]]))
    } else {
        None
    }
}

/// `x / 2^k` is `x * 2^-k`, exactly.
fn divide_by_power_of_two(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    let Op::Ew(Ew::Div) = op else { return None };
    let c = splat(r.b.graph(), x[1])?;
    if !r.old.ty(v).dtype.is_float() || !exact_inverse(c) {
        return None;
    }
    let inverse = r.b.splat_like(x[1], 1.0 / c);
    Some(r.b.ew(Ew::Mul, &[x[0], inverse]))
}

/// `select(c, a, a)` is `a`; a constant condition picks its arm.
fn same_arms(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Ew(Ew::Select) = op else { return None };
    if x[1] == x[2] {
        return Some(x[1]);
    }
    splat(r.b.graph(), x[0]).map(|c| if c != 0.0 { x[1] } else { x[2] })
}

/// `a and true` is `a`, `a or true` is `true`, and so on.
fn logic_with_constant(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    let Op::Ew(ew @ (Ew::And | Ew::Or)) = op else { return None };
    if r.old.ty(v).dtype != nn_runtime::dtype::DType::Bool {
        return None;
    }
    for (i, other) in [(0, 1), (1, 0)] {
        if let Some(c) = splat(r.b.graph(), x[i]) {
            let neutral = (c != 0.0) == (*ew == Ew::And);
            return Some(if neutral { x[other] } else { x[i] });
        }
    }
    None
}

/// A cast of a cast that loses nothing is one cast: `bool -> i32 -> f32`.
fn cast_chain(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    use nn_runtime::dtype::DType::{Bool, F32, I32, U8};
    let Op::Cast(to) = op else { return None };
    let g = r.b.graph();
    let Op::Cast(mid) = g.op(x[0]) else { return None };
    let inner = g.inputs(x[0])[0];
    let from = g.ty(inner).dtype;
    let lossless = matches!((from, mid), (Bool, I32 | F32 | U8) | (U8, I32 | F32));
    (lossless && *to != Bool).then(|| r.b.cast(inner, *to))
}

/// A reshape of a reshape is one reshape.
fn reshape_chain(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Reshape(shape) = op else { return None };
    let g = r.b.graph();
    if g.ty(x[0]).shape == *shape {
        return Some(x[0]);
    }
    let Op::Reshape(_) = g.op(x[0]) else { return None };
    let inner = g.inputs(x[0])[0];
    Some(r.b.reshape(inner, shape))
}

/// A permute of a permute is one permute; the identity is nothing.
fn permute_chain(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Permute(outer) = op else { return None };
    if outer.iter().enumerate().all(|(i, &p)| i as u32 == p) {
        return Some(x[0]);
    }
    let g = r.b.graph();
    let Op::Permute(first) = g.op(x[0]) else { return None };
    let both: Axes = outer.iter().map(|&p| first[p as usize]).collect();
    let inner = g.inputs(x[0])[0];
    Some(r.b.permute(inner, &both))
}

/// A broadcast of a broadcast is one broadcast.
fn broadcast_chain(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Broadcast { shape, axes } = op else { return None };
    let g = r.b.graph();
    if g.ty(x[0]).shape == *shape {
        return Some(x[0]);
    }
    let Op::Broadcast { axes: first, .. } = g.op(x[0]) else { return None };
    let both: Axes = first.iter().map(|&a| axes[a as usize]).collect();
    let inner = g.inputs(x[0])[0];
    Some(r.b.broadcast(inner, shape, &both))
}

/// A broadcast of a reshape that only adds axes of size 1 is a broadcast, where those axes stay 1.
fn broadcast_of_reshape(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], _: ValueId) -> Option<ValueId> {
    let Op::Broadcast { shape, axes } = op else { return None };
    let g = r.b.graph();
    let Op::Reshape(mid) = g.op(x[0]) else { return None };
    let inner = g.inputs(x[0])[0];
    let kept: Vec<usize> = (0..mid.len()).filter(|&i| mid[i] != 1).collect();
    let sizes: Shape = kept.iter().map(|&i| mid[i]).collect();
    if g.ty(inner).shape != sizes {
        return None;
    }
    let both: Axes = kept.iter().map(|&i| axes[i]).collect();
    Some(r.b.broadcast(inner, shape, &both))
}

/// A slice of everything is nothing.
fn whole_slice(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    match op {
        Op::Slice { .. } | Op::Pad { .. } if r.b.graph().ty(x[0]) == r.old.ty(v) => Some(x[0]),
        _ => None,
    }
}

/// Moving the elements of a uniform constant gives a uniform constant.
fn move_constant(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    if !matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } | Op::Reverse(_)) {
        return None;
    }
    let c = splat(r.b.graph(), x[0])?;
    let ty = r.old.ty(v).clone();
    Some(r.b.splat(&ty, c))
}

/// An elementwise op on values broadcast in the same way is the broadcast of the op: less work.
fn elementwise_of_broadcasts(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    if !matches!(op, Op::Ew(_) | Op::Cast(_)) {
        return None;
    }
    let g = r.b.graph();
    let way = |a: &ValueId| match g.op(*a) {
        Op::Broadcast { axes, .. } => Some((axes.clone(), g.inputs(*a)[0])),
        _ => None,
    };
    let ways: Vec<(Axes, ValueId)> = x.iter().map(way).collect::<Option<_>>()?;
    // Scalar constants go along with any other operand; the widest operand says how to broadcast.
    let widest = ways.iter().max_by_key(|(axes, _)| axes.len())?;
    let (axes, sizes) = (widest.0.clone(), g.ty(widest.1).shape.clone());
    let fits = |(a, inner): &(Axes, ValueId)| *a == axes && g.ty(*inner).shape == sizes || g.ty(*inner).rank() == 0;
    if !ways.iter().all(fits) {
        return None;
    }
    let inner: Vec<ValueId> = ways.iter().map(|&(_, a)| r.b.broadcast(a, &sizes, &[])).collect();
    let small = r.b.op(op.clone(), &inner);
    let shape = r.old.ty(v).shape.clone();
    Some(r.b.broadcast(small, &shape, &axes))
}

/// Reducing axes of size 1 is a reshape.
fn reduce_single(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    let Op::Reduce { axes, .. } = op else { return None };
    let ty = r.b.graph().ty(x[0]);
    let single = axes.iter().all(|&a| ty.shape[a as usize] == 1);
    let shape = r.old.ty(v).shape.clone();
    single.then(|| r.b.reshape(x[0], &shape))
}

/// The sum of `n` copies of a constant, where every partial sum is exact; the extreme of copies is the constant.
fn reduce_constant(r: &mut Rewriter<'_>, op: &Op, x: &[ValueId], v: ValueId) -> Option<ValueId> {
    let Op::Reduce { kind, .. } = op else { return None };
    let c = splat(r.b.graph(), x[0])?;
    let out = r.old.ty(v).clone();
    let (all, kept) = (r.b.graph().ty(x[0]).numel(), out.numel());
    if all == 0 || kept == 0 {
        return None;
    }
    let n = all / kept;
    let value = match kind {
        ReduceKind::Max | ReduceKind::Min => c,
        ReduceKind::Sum if exact_multiple(c, n) && out.dtype.is_float() => c * n as f64,
        ReduceKind::Sum | ReduceKind::Prod => return None,
    };
    Some(r.b.splat(&out, value))
}
