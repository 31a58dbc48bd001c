//! Batching: a graph written for one example, or for one step of a loop, replayed for many at once.
//!
//! In: a graph, and for each of its slots a value with or without a leading axis. Out: the same computation in another
//! graph, with the leading axis wherever it depends on a slot that has it, or on a draw. Every op has one rule.

use super::build::Builder;
use super::graph::{Graph, ValueId};
use super::ops::{Axes, DotDims, Op};
use super::ty::{MAX_NUMEL, MAX_RANK, Shape, TensorTy};
use std::collections::BTreeMap;

/// A value in the batched graph.
#[derive(Clone, Copy, Debug)]
pub struct Lifted {
    /// The value.
    pub id: ValueId,
    /// Has it the leading axis?
    pub batched: bool,
}

/// What slots become.
pub type Input<'a> = &'a mut dyn FnMut(&mut Builder, u32) -> Lifted;

/// Why a graph cannot be replayed for a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Unbatchable {
    /// An op that has no rule for this.
    Op(&'static str),
    /// A value of this type, times the rows, is beyond the limits.
    TooLarge(TensorTy),
}

/// Replays what `root` needs for `size` at once; the result always has the leading axis. What is `known` is not replayed.
pub fn replay(
    b: &mut Builder,
    g: &Graph,
    root: ValueId,
    size: u64,
    input: Input<'_>,
    known: &BTreeMap<ValueId, Lifted>,
) -> Result<ValueId, Unbatchable> {
    let mut needed = vec![false; g.nodes.len()];
    needed[root.idx()] = true;
    for v in g.values().rev().filter(|v| !known.contains_key(v)) {
        if needed[v.idx()] {
            g.inputs(v).iter().for_each(|x| needed[x.idx()] = true);
        }
    }
    let mut map: Vec<Option<Lifted>> = vec![None; g.nodes.len()];
    for v in g.values().filter(|v| needed[v.idx()]) {
        if let Some(&known) = known.get(&v) {
            map[v.idx()] = Some(known);
            continue;
        }
        let node = g.node(v);
        let numel = node.ty.numel().checked_mul(size);
        if numel.is_none_or(|n| n > MAX_NUMEL) || node.ty.rank() >= MAX_RANK {
            return Err(Unbatchable::TooLarge(node.ty.clone()));
        }
        let xs: Vec<Lifted> = node.inputs.iter().filter_map(|i| map[i.idx()]).collect();
        b.span = node.span;
        let lifted = match node.op {
            Op::Input { slot } => input(b, slot),
            _ => op(b, g, v, &xs, size).map_err(Unbatchable::Op)?,
        };
        if let Some(name) = &node.name
            && !matches!(node.op, Op::Input { .. })
        {
            b.name(lifted.id, name);
        }
        map[v.idx()] = Some(lifted);
    }
    match map[root.idx()] {
        Some(x) => Ok(lift(b, x, size)),
        None => Err(Unbatchable::Op("an empty expression")),
    }
}

/// With the leading axis, repeated if it does not have it.
fn lift(b: &mut Builder, x: Lifted, batch: u64) -> ValueId {
    if x.batched {
        return x.id;
    }
    let shape = b.shape(x.id);
    let axes: Vec<u32> = (1..=shape.len() as u32).collect();
    let full: Shape = std::iter::once(batch).chain(shape).collect();
    b.op(Op::Broadcast { shape: full, axes: axes.as_slice().into() }, &[x.id])
}

fn op(b: &mut Builder, g: &Graph, v: ValueId, xs: &[Lifted], n: u64) -> Result<Lifted, &'static str> {
    let node = g.node(v);
    if let Op::Rng { site, shape } = &node.op {
        let id = b.op(Op::Rng { site: *site, shape: with(n, shape) }, &[]);
        return Ok(Lifted { id, batched: true });
    }
    if xs.iter().all(|x| !x.batched) {
        let ids: Vec<ValueId> = xs.iter().map(|x| x.id).collect();
        return Ok(Lifted { id: b.op(node.op.clone(), &ids), batched: false });
    }
    let all = |b: &mut Builder| -> Vec<ValueId> { xs.iter().map(|x| lift(b, *x, n)).collect() };
    let plus = |axes: &Axes| -> Axes { axes.iter().map(|a| a + 1).collect() };
    let (op, ids) = match &node.op {
        Op::Ew(_) | Op::Cast(_) | Op::Tag(_) => (node.op.clone(), all(b)),
        Op::Reduce { kind, axes } => (Op::Reduce { kind: *kind, axes: plus(axes) }, all(b)),
        Op::ArgReduce { kind, axis } => (Op::ArgReduce { kind: *kind, axis: axis + 1 }, all(b)),
        Op::Dot(d) if xs[0].batched != xs[1].batched => return Ok(product(b, d, xs)),
        Op::Dot(d) => {
            let first = |axes: &Axes| -> Axes { std::iter::once(0).chain(plus(axes)).collect() };
            let d = DotDims {
                lhs_batch: first(&d.lhs_batch),
                rhs_batch: first(&d.rhs_batch),
                lhs_contract: plus(&d.lhs_contract),
                rhs_contract: plus(&d.rhs_contract),
            };
            (Op::Dot(d), all(b))
        }
        Op::Reshape(shape) => (Op::Reshape(with(n, shape)), all(b)),
        Op::Permute(perm) => (Op::Permute(std::iter::once(0).chain(plus(perm)).collect()), all(b)),
        Op::Broadcast { shape, axes } => {
            let axes = std::iter::once(0).chain(plus(axes)).collect();
            (Op::Broadcast { shape: with(n, shape), axes }, all(b))
        }
        Op::Slice { start, stop, step } => {
            (Op::Slice { start: with(0, start), stop: with(n, stop), step: with(1, step) }, all(b))
        }
        Op::Pad { lo, hi, interior } => {
            if xs[1].batched {
                return Err("`pad` with a value that differs from example to example");
            }
            let op = Op::Pad { lo: with(0, lo), hi: with(0, hi), interior: with(0, interior) };
            (op, vec![lift(b, xs[0], n), xs[1].id])
        }
        Op::Concat { axis } => (Op::Concat { axis: axis + 1 }, all(b)),
        Op::Reverse(axes) => (Op::Reverse(plus(axes)), all(b)),
        &Op::Window { axis, size, step, dilation } => (Op::Window { axis: axis + 1, size, step, dilation }, all(b)),
        &Op::Fold { axis, len, step, dilation } => (Op::Fold { axis: axis + 1, len, step, dilation }, all(b)),
        Op::Cumulate { kind, axis } => (Op::Cumulate { kind: *kind, axis: axis + 1 }, all(b)),
        Op::Gather { axis } => match (xs[0].batched, xs[1].batched) {
            (true, false) => (Op::Gather { axis: axis + 1 }, vec![xs[0].id, xs[1].id]),
            (false, true) => {
                let id = b.gather(xs[0].id, xs[1].id, *axis);
                // The batch axis came in where the indexed axis was.
                let rank = b.shape(id).len() as u32;
                let perm: Vec<u32> = std::iter::once(*axis).chain((0..rank).filter(|a| a != axis)).collect();
                return Ok(Lifted { id: b.permute(id, &perm), batched: true });
            }
            _ => return Err("a lookup whose table and index both differ from example to example"),
        },
        Op::DynSlice { .. } => return Err("a slice whose place is computed, in a data field"),
        Op::DynUpdate => return Err("an update whose place is computed, in a data field"),
        Op::Scatter { .. } => return Err("`scatter` in a data field"),
        Op::Scan(_) | Op::Result { .. } => return Err("a loop in a data field"),
        Op::Const(_) | Op::Iota { .. } | Op::Input { .. } | Op::Rng { .. } => (node.op.clone(), all(b)),
    };
    Ok(Lifted { id: b.op(op, &ids), batched: true })
}

/// A contraction of which one operand has the leading axis: one of its free axes, brought to the front of the result.
fn product(b: &mut Builder, d: &DotDims, xs: &[Lifted]) -> Lifted {
    let plus = |axes: &Axes| -> Axes { axes.iter().map(|a| a + 1).collect() };
    let mut dims = d.clone();
    let before = if xs[0].batched {
        (dims.lhs_batch, dims.lhs_contract) = (plus(&d.lhs_batch), plus(&d.lhs_contract));
        d.lhs_batch.len()
    } else {
        (dims.rhs_batch, dims.rhs_contract) = (plus(&d.rhs_batch), plus(&d.rhs_contract));
        d.lhs_batch.len() + d.lhs_free(b.ty(xs[0].id).rank()).len()
    } as u32;
    let y = b.dot(xs[0].id, xs[1].id, dims);
    let rank = b.shape(y).len() as u32;
    let perm: Vec<u32> = std::iter::once(before).chain((0..rank).filter(|&a| a != before)).collect();
    Lifted { id: b.permute(y, &perm), batched: true }
}

fn with(first: u64, rest: &Shape) -> Shape {
    std::iter::once(first).chain(rest.iter().copied()).collect()
}
