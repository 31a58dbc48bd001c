//! Arithmetic that has the same bits in fewer ops.

use super::At;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::reduce::without;
use crate::graph::ops::{Axes, Op, ReduceKind};
use crate::opt::view::{exact_inverse, exact_multiple, splat};
use nn_runtime::dtype::DType;

/// `x * 1`, `x / 1`, `x + (-0)` are `x`; `x * -1` is `-x`.
pub fn neutral_operand(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(ew @ (Ew::Mul | Ew::Div | Ew::Add)) = at.op else { return None };
    let (float, g, x) = (at.ty.dtype.is_float(), b.graph(), at.x);
    let is = |i: usize, want: f64| {
        let same = |c: f64| c == want && (!float || c.is_sign_negative() == want.is_sign_negative());
        splat(g, x[i]).is_some_and(same)
    };
    match ew {
        Ew::Mul if nn_runtime::mutant!("opt.zero_product") && is(1, 0.0) => Some(x[1]),
        Ew::Mul if is(1, 1.0) => Some(x[0]),
        Ew::Mul if is(0, 1.0) => Some(x[1]),
        Ew::Mul if float && is(1, -1.0) => Some(b.ew(Ew::Neg, &[x[0]])),
        Ew::Mul if float && is(0, -1.0) => Some(b.ew(Ew::Neg, &[x[1]])),
        Ew::Div if is(1, 1.0) => Some(x[0]),
        Ew::Add if is(1, -0.0) => Some(x[0]),
        Ew::Add if is(0, -0.0) => Some(x[1]),
        _ => None,
    }
}

/// `-(-x)` is `x`, `not (not x)` is `x`.
pub fn double_negation(b: &mut Builder, at: &At) -> Option<ValueId> {
    match at.op {
        Op::Ew(Ew::Neg | Ew::Not) if b.graph().op(at.x[0]) == at.op => Some(b.graph().inputs(at.x[0])[0]),
        _ => None,
    }
}

/// `-a * -b` is `a * b`, and so for division.
pub fn negated_factors(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(ew @ (Ew::Mul | Ew::Div)) = *at.op else { return None };
    let g = b.graph();
    let negated = |v: ValueId| (*g.op(v) == Op::Ew(Ew::Neg)).then(|| g.inputs(v)[0]);
    match (at.ty.dtype.is_float(), negated(at.x[0]), negated(at.x[1])) {
        (true, Some(p), Some(q)) => Some(b.ew(ew, &[p, q])),
        _ => None,
    }
}

/// `x^1`, `x^2`, `x^3`, `x^-1` as products: fewer roundings than a logarithm and an exponential.
pub fn power_by_constant(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(Ew::Pow) = at.op else { return None };
    let (x, e) = (at.x[0], splat(b.graph(), at.x[1])?);
    if e == 1.0 {
        Some(x)
    } else if e == 2.0 {
        Some(b.ew(Ew::Mul, &[x, x]))
    } else if e == 3.0 {
        let square = b.ew(Ew::Mul, &[x, x]);
        Some(b.ew(Ew::Mul, &[square, x]))
    } else if e == -1.0 {
        let one = b.splat_like(x, 1.0);
        Some(b.ew(Ew::Div, &[one, x]))
    } else {
        None
    }
}

/// `x / 2^k` is `x * 2^-k`, exactly.
pub fn divide_by_power_of_two(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(Ew::Div) = at.op else { return None };
    let c = splat(b.graph(), at.x[1])?;
    if !at.ty.dtype.is_float() || !exact_inverse(c) {
        return None;
    }
    let inverse = b.splat_like(at.x[1], 1.0 / c);
    Some(b.ew(Ew::Mul, &[at.x[0], inverse]))
}

/// `max(x, x)` is `x`.
pub fn extreme_of_itself(_: &mut Builder, at: &At) -> Option<ValueId> {
    matches!(at.op, Op::Ew(Ew::Max | Ew::Min) if at.x[0] == at.x[1]).then(|| at.x[0])
}

/// A cast of a cast that loses nothing is one cast: `bool -> i32 -> f32`. A cast to the same dtype is nothing.
pub fn cast_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    use DType::{Bool, F32, I32, U8};
    let Op::Cast(to) = at.op else { return None };
    let g = b.graph();
    if g.ty(at.x[0]).dtype == *to {
        return Some(at.x[0]);
    }
    let Op::Cast(mid) = g.op(at.x[0]) else { return None };
    let inner = g.inputs(at.x[0])[0];
    let from = g.ty(inner).dtype;
    // Ints wrap where floats saturate, so a float on the way matters to a narrow int.
    let lossless = nn_runtime::mutant!("opt.cast_chain")
        || matches!((from, mid), (Bool, I32 | F32 | U8) | (U8, I32))
        || (from, *mid) == (U8, F32) && to.is_float();
    (lossless && (*to != Bool || from == Bool)).then(|| b.cast(inner, *to))
}

/// Reducing axes of size 1 is a reshape; a sum of floats starts at 0, which makes -0 a 0.
pub fn reduce_single(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reduce { kind, axes } = at.op else { return None };
    let ty = b.ty(at.x[0]);
    if axes.iter().any(|&a| ty.shape[a as usize] != 1) {
        return None;
    }
    let y = b.reshape(at.x[0], &at.ty.shape);
    if *kind != ReduceKind::Sum || !at.ty.dtype.is_float() {
        return Some(y);
    }
    let zero = b.splat(at.ty, 0.0);
    Some(b.ew(Ew::Add, &[zero, y]))
}

/// The sum of `n` copies of a constant, where every partial sum is exact; the extreme of copies is the constant.
pub fn reduce_constant(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reduce { kind, .. } = at.op else { return None };
    let c = splat(b.graph(), at.x[0])?;
    let (all, kept) = (b.ty(at.x[0]).numel(), at.ty.numel());
    if all == 0 || kept == 0 {
        return None;
    }
    let n = all / kept;
    let value = match kind {
        ReduceKind::Max | ReduceKind::Min => c,
        // A sum starts at 0, so that copies of -0 make 0.
        ReduceKind::Sum if exact_multiple(c, n) && at.ty.dtype.is_float() => 0.0 + c * n as f64,
        ReduceKind::Sum | ReduceKind::Prod => return None,
    };
    Some(b.splat(at.ty, value))
}

/// The extreme over an axis that repeats is the value itself.
pub fn extreme_of_copies(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, axes } = at.op else { return None };
    let g = b.graph();
    let Op::Broadcast { shape, axes: kept } = g.op(at.x[0]) else { return None };
    let repeats = |a: &u32| !kept.contains(a) && (shape[*a as usize] > 0 || nn_runtime::mutant!("opt.copies"));
    if !axes.iter().all(repeats) {
        return None;
    }
    let to: Axes = kept.iter().map(|k| k - axes.iter().filter(|a| *a < k).count() as u32).collect();
    let (inner, shape) = (g.inputs(at.x[0])[0], without(shape, axes));
    Some(b.broadcast(inner, &shape, &to))
}
