//! Permutes move toward users.
//!
//! What is computed of a transposed value is the transpose of what is computed of the value itself. So the axes of a whole
//! chain (a contraction's result, its activation, pooling, padding, the next contraction) come to lie as the first of them
//! makes them, and the permutes meet a contraction, which takes any order, or each other. A layer may write images channel
//! first: what is stored has the channels wherever the products put them.

use super::At;
use super::movement::permuted_broadcast;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::contract::inverse;
use crate::graph::ops::{Axes, Op};
use crate::graph::ty::Shape;
use crate::opt::view::splat;

/// The permutation that made a value, and of what.
fn permuted(b: &Builder, v: ValueId) -> Option<(Axes, ValueId)> {
    match b.graph().op(v) {
        Op::Permute(p) => Some((p.clone(), b.graph().inputs(v)[0])),
        _ => None,
    }
}

/// An attribute with a number per axis of a permuted value, for the value itself.
fn own(perm: &Axes, of: &Shape) -> Shape {
    let mut out = of.clone();
    perm.iter().zip(of).for_each(|(&p, &n)| out[p as usize] = n);
    out
}

/// The permutation of a broadcast of a permuted value that lets the value's axes lie as they do, the others last.
fn permuted_inside(b: &Builder, v: ValueId) -> Option<Axes> {
    let Op::Broadcast { shape, axes } = b.graph().op(v) else { return None };
    let (perm, _) = permuted(b, b.graph().inputs(v)[0])?;
    let repeat = (0..shape.len() as u32).filter(|a| !axes.contains(a));
    let order: Axes = inverse(&perm).iter().map(|&i| axes[i as usize]).chain(repeat).collect();
    Some(inverse(&order).into_iter().collect())
}

/// All operands with one permutation taken off; broadcasts, counts and uniform values follow, at no cost. At least one
/// has it.
fn taken_off(b: &mut Builder, x: &[ValueId]) -> Option<(Axes, Vec<ValueId>)> {
    let whole = x.iter().find_map(|&v| permuted(b, v).map(|(p, _)| p));
    let perm = whole.or_else(|| x.iter().find_map(|&v| permuted_inside(b, v)))?;
    if perm.is_sorted() {
        return None;
    }
    let follows =
        |v: ValueId| matches!(b.graph().op(v), Op::Broadcast { .. } | Op::Iota { .. }) || splat(b.graph(), v).is_some();
    let fits = |&v: &ValueId| permuted(b, v).map_or_else(|| follows(v), |(p, _)| p == perm);
    if !x.iter().all(fits) {
        return None;
    }
    let back = inverse(&perm);
    let one = |&v: &ValueId| match permuted(b, v) {
        Some((_, inner)) => inner,
        None => match b.graph().op(v).clone() {
            Op::Iota { shape, axis } => b.iota(&own(&perm, &shape), perm[axis as usize]),
            _ => permuted_broadcast(b, v, &back).unwrap_or_else(|| b.permute(v, &back)),
        },
    };
    let x = x.iter().map(one).collect();
    Some((perm, x))
}

/// An elementwise op of values permuted alike is the permute of the op.
pub fn elementwise_of_permutes(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Ew(_) | Op::Cast(_)) = at.op else { return None };
    let (perm, x) = taken_off(b, at.x)?;
    let y = b.op(at.op.clone(), &x);
    Some(b.permute(y, &perm))
}

/// A concat of values permuted alike is the permute of the concat.
pub fn concat_of_permutes(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Concat { axis } = at.op else { return None };
    let (perm, x) = taken_off(b, at.x)?;
    let y = b.op(Op::Concat { axis: perm[*axis as usize] }, &x);
    Some(b.permute(y, &perm))
}

/// A reduction of a permuted value reduces the value's own axes, if their order stays: then so does that of the elements.
pub fn reduce_of_permute(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (perm, x) = permuted(b, *at.x.first()?)?;
    let (op, gone): (Op, Axes) = match at.op {
        Op::Reduce { kind, axes } => {
            let own: Axes = axes.iter().map(|&a| perm[a as usize]).collect();
            (Op::Reduce { kind: *kind, axes: own }, axes.clone())
        }
        Op::ArgReduce { kind, axis } => {
            (Op::ArgReduce { kind: *kind, axis: perm[*axis as usize] }, Axes::from_slice(&[*axis]))
        }
        _ => return None,
    };
    let reduced: Axes = gone.iter().map(|&a| perm[a as usize]).collect();
    if !reduced.is_sorted() && !nn_runtime::mutant!("opt.reduce_order") {
        return None;
    }
    let kept: Axes = (0..perm.len() as u32).filter(|a| !gone.contains(a)).map(|a| perm[a as usize]).collect();
    let rank = |p: u32| kept.iter().filter(|&&q| q < p).count() as u32;
    let after: Axes = kept.iter().map(|&p| rank(p)).collect();
    let y = b.op(op, &[x]);
    Some(b.permute(y, &after))
}

/// A move of a permuted value that has something to say about each axis by itself says it about the value's own axes.
pub fn move_of_permute(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (mut perm, x) = permuted(b, *at.x.first()?)?;
    let last = perm.len() as u32;
    let to = |a: &u32| perm[*a as usize];
    let op = match at.op {
        Op::Slice { start, stop, step } => {
            Op::Slice { start: own(&perm, start), stop: own(&perm, stop), step: own(&perm, step) }
        }
        Op::Pad { lo, hi, interior } => {
            Op::Pad { lo: own(&perm, lo), hi: own(&perm, hi), interior: own(&perm, interior) }
        }
        Op::Reverse(axes) => {
            let mut axes: Axes = axes.iter().map(to).collect();
            axes.sort_unstable();
            Op::Reverse(axes)
        }
        Op::Cumulate { kind, axis } => Op::Cumulate { kind: *kind, axis: to(axis) },
        &Op::Window { axis, size, step, dilation } => {
            let op = Op::Window { axis: to(&axis), size, step, dilation };
            perm.push(last);
            op
        }
        // The elements of a frame must stay the last axis.
        &Op::Fold { axis, len, step, dilation } if perm.last() == Some(&(last - 1)) => {
            let op = Op::Fold { axis: to(&axis), len, step, dilation };
            perm.pop();
            op
        }
        _ => return None,
    };
    let mut operands = at.x.to_vec();
    operands[0] = x;
    let y = b.op(op, &operands);
    Some(b.permute(y, &perm))
}

/// A reshape of a permuted value that cuts and joins axes by groups takes the groups in the order in which they lie.
pub fn reshape_of_permute(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reshape(to) = at.op else { return None };
    let (perm, x) = permuted(b, *at.x.first()?)?;
    let from = b.shape(at.x[0]);
    if to.contains(&0) || from.contains(&0) {
        return None;
    }
    let groups = groups(&from, to);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    // A group of no operand axis, a 1 from nowhere, goes first.
    let place = |g: usize| groups[g].0.clone().map(|i| perm[i]).min();
    order.sort_by_key(|&g| (place(g), g));
    if order.is_sorted() {
        return None;
    }
    let inner: Axes = order.iter().flat_map(|&g| groups[g].0.clone()).map(|i| perm[i]).collect();
    let shape: Shape = order.iter().flat_map(|&g| groups[g].1.clone()).map(|j| to[j]).collect();
    let places: Vec<usize> = order.iter().flat_map(|&g| groups[g].1.clone()).collect();
    let back: Axes = (0..to.len()).filter_map(|j| places.iter().position(|&p| p == j)).map(|p| p as u32).collect();
    let x = b.permute(x, &inner);
    let y = b.reshape(x, &shape);
    Some(b.permute(y, &back))
}

type Range = std::ops::Range<usize>;

/// The shortest runs of axes of equal products, of an operand and a result without empty axes.
fn groups(from: &[u64], to: &[u64]) -> Vec<(Range, Range)> {
    let mut out = vec![];
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (i0, j0) = (i, j);
        let (mut p, mut q) = (1u64, 1u64);
        while (p != q || (i == i0 && j == j0)) && (i < from.len() || j < to.len()) {
            if i < from.len() && (p <= q || j == to.len()) {
                p *= from[i];
                i += 1;
            } else {
                q *= to[j];
                j += 1;
            }
        }
        out.push((i0..i, j0..j));
    }
    out
}
