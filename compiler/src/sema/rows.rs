//! Which values have a row for each row of the batch, so that sums over them add up over batches.
//!
//! In: numerator and denominator of a mean in a step's graph. Out: whether the totals over batches are those of one batch of
//! all rows. A value is of rows where the element at row `b` depends on nothing else of the batch: elementwise work, sums
//! along other axes, products with parameters. Sorting, running sums, shifts along the rows, or a mean that was taken
//! before something else mix them. What this cannot follow counts as mixed.

use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::region::{Role, Scan};
use crate::graph::ops::{DotDims, Op, ReduceKind};

/// How a value depends on the rows of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// Not at all.
    Free,
    /// Along an axis that counts the rows, each so many times in a row.
    Along { axis: usize, times: u64 },
    /// In any way.
    Mixed,
}

/// Do numerator and denominator add up over batches of any cut of the rows?
pub(super) fn add_up(g: &Graph, num: ValueId, den: ValueId, batch: u64) -> bool {
    let all = rows(g, num.max(den), batch);
    let free = |v: ValueId| all[v.idx()] == Rows::Free;
    (free(num) && free(den)) || terms(g, &all, num, den) == Some(true)
}

/// Is every term of a numerator a sum over the rows? Then whether one of them is over as many elements as the denominator
/// counts, which is what makes a number of elements grow with the rows.
fn terms(g: &Graph, all: &[Rows], num: ValueId, den: ValueId) -> Option<bool> {
    let x = g.inputs(num);
    let free = |v: ValueId| all[v.idx()] == Rows::Free;
    match g.op(num) {
        // What the batches share is a term as a multiple of the denominator; of a constant one it is folded.
        _ if free(num) => constant(g, den).map(|_| false),
        Op::Reduce { kind: ReduceKind::Sum, .. } => {
            let n = g.ty(x[0]).numel();
            let counts = |v: ValueId| all[v.idx()] != Rows::Mixed && g.ty(v).numel() == n;
            match constant(g, den) {
                Some(d) => (all[x[0].idx()] != Rows::Mixed).then_some(d == n as f64),
                None => (counts(x[0]) && summed(g, den).is_some_and(counts)).then_some(true),
            }
        }
        Op::Cast(_) | Op::Tag(_) | Op::Reshape(_) | Op::Ew(Ew::Neg) => terms(g, all, x[0], den),
        Op::Ew(Ew::Add) => Some(terms(g, all, x[0], den)? | terms(g, all, x[1], den)?),
        Op::Ew(Ew::Mul) if x.contains(&den) && x.iter().any(|&x| free(x)) => Some(false),
        Op::Ew(Ew::Mul) if free(x[1]) => terms(g, all, x[0], den),
        Op::Ew(Ew::Mul) if free(x[0]) => terms(g, all, x[1], den),
        Op::Ew(Ew::Div) if free(x[1]) => terms(g, all, x[0], den),
        _ => None,
    }
}

/// What a denominator is the sum of, over all axes at once.
fn summed(g: &Graph, v: ValueId) -> Option<ValueId> {
    match g.op(v) {
        Op::Reduce { kind: ReduceKind::Sum, .. } if g.ty(v).rank() == 0 => Some(g.inputs(v)[0]),
        Op::Cast(_) | Op::Tag(_) | Op::Reshape(_) => summed(g, g.inputs(v)[0]),
        _ => None,
    }
}

/// The number that a scalar always is.
fn constant(g: &Graph, v: ValueId) -> Option<f64> {
    match g.op(v) {
        Op::Const(c) => c.data().first().copied(),
        Op::Cast(_) | Op::Tag(_) | Op::Reshape(_) => constant(g, g.inputs(v)[0]),
        _ => None,
    }
}

/// Of every value up to one.
fn rows(g: &Graph, last: ValueId, batch: u64) -> Vec<Rows> {
    of_values(g, last.idx() + 1, None, batch)
}

/// Of the first values; what the slots of a loop's body hold is given.
fn of_values(g: &Graph, n: usize, slots: Option<&[Rows]>, batch: u64) -> Vec<Rows> {
    let mut all = Vec::with_capacity(n);
    for v in g.values().take(n) {
        let one = match (g.op(v), slots) {
            (Op::Input { slot }, Some(slots)) => slots[*slot as usize],
            _ => one(g, v, &all, batch),
        };
        all.push(one);
    }
    all
}

/// Of the results of a loop. What its carries hold is found by going round until nothing changes.
fn of_loop(g: &Graph, scan: ValueId, s: &Scan, all: &[Rows], batch: u64) -> Vec<Rows> {
    let slice = |r: Rows| match r {
        Rows::Along { axis: 0, .. } => Rows::Mixed,
        Rows::Along { axis, times } => Rows::Along { axis: axis - 1, times },
        r => r,
    };
    let mut slots: Vec<Rows> = g.inputs(scan).iter().map(|x| all[x.idx()]).collect();
    (0..slots.len()).filter(|&i| s.role(i) == Role::Scanned).for_each(|i| slots[i] = slice(slots[i]));
    let carries = s.carries as usize;
    for _ in 0..=carries {
        let values = of_values(&s.body, s.body.nodes.len(), Some(&slots), batch);
        let out: Vec<Rows> = s.body.outputs.iter().map(|o| values[o.value.idx()]).collect();
        let joined: Vec<Rows> = slots.iter().zip(&out).take(carries).map(|(&a, &b)| join(a, b)).collect();
        if joined[..] == slots[..carries] {
            let stacked = |r: Rows| match r {
                Rows::Along { axis, times } => Rows::Along { axis: axis + 1, times },
                r => r,
            };
            return joined.into_iter().chain(out.into_iter().skip(carries).map(stacked)).collect();
        }
        slots[..carries].copy_from_slice(&joined);
    }
    vec![Rows::Mixed; s.results()]
}

/// Of a value that is one or the other.
fn join(a: Rows, b: Rows) -> Rows {
    match (a, b) {
        (Rows::Free, r) | (r, Rows::Free) => r,
        (a, b) if a == b => a,
        _ => Rows::Mixed,
    }
}

fn one(g: &Graph, v: ValueId, all: &[Rows], batch: u64) -> Rows {
    let inputs = g.inputs(v);
    let of: Vec<Rows> = inputs.iter().map(|x| all[x.idx()]).collect();
    if let Op::Input { slot } = g.op(v) {
        let data = g.slots[*slot as usize].kind == SlotKind::Data;
        let rows = g.ty(v).shape.first() == Some(&batch);
        return match (data, rows) {
            (false, _) => Rows::Free,
            (true, true) => Rows::Along { axis: 0, times: 1 },
            (true, false) => Rows::Mixed,
        };
    }
    if of.iter().all(|r| *r == Rows::Free) {
        return Rows::Free;
    }
    // The one operand that varies, unless several do alike.
    let joined = of.iter().copied().reduce(join);
    let alike = joined.unwrap_or(Rows::Free);
    let shape = |i: usize| &g.ty(inputs[i]).shape;
    let moved = |r: Rows, to: &dyn Fn(usize) -> Option<usize>| match r {
        Rows::Along { axis, times } => to(axis).map_or(Rows::Mixed, |axis| Rows::Along { axis, times }),
        r => r,
    };
    let without = |axes: &[u32]| {
        let axes = axes.to_vec();
        move |k: usize| {
            let gone = axes.iter().filter(|&&a| (a as usize) < k).count();
            (!axes.contains(&(k as u32))).then_some(k - gone)
        }
    };
    match g.op(v) {
        Op::Result { index, .. } => match g.op(inputs[0]) {
            Op::Scan(s) => of_loop(g, inputs[0], s, all, batch).get(*index as usize).copied().unwrap_or(Rows::Mixed),
            _ => Rows::Mixed,
        },
        Op::Ew(_) | Op::Cast(_) | Op::Tag(_) => alike,
        Op::Reduce { axes, .. } => moved(alike, &without(axes)),
        Op::ArgReduce { axis, .. } => moved(alike, &without(&[*axis])),
        Op::Cumulate { axis, .. } | Op::Concat { axis } => moved(alike, &|k| (k != *axis as usize).then_some(k)),
        Op::Reverse(axes) => moved(alike, &|k| (!axes.contains(&(k as u32))).then_some(k)),
        Op::Window { axis, .. } => moved(alike, &|k| (k != *axis as usize).then_some(k)),
        Op::Fold { axis, .. } => moved(alike, &|k| (k != *axis as usize && k + 1 < shape(0).len()).then_some(k)),
        Op::Permute(perm) => moved(alike, &|k| perm.iter().position(|&p| p as usize == k)),
        Op::Broadcast { axes, .. } => moved(alike, &|k| axes.get(k).map(|&a| a as usize)),
        Op::Slice { start, step, .. } => {
            let whole = |k: usize| start[k] == 0 && step[k] == 1 && g.ty(v).shape[k] == shape(0)[k];
            moved(alike, &|k| whole(k).then_some(k))
        }
        Op::Pad { lo, hi, interior } if of[1] == Rows::Free => {
            moved(of[0], &|k| (lo[k] == 0 && hi[k] == 0 && interior[k] == 0).then_some(k))
        }
        Op::Reshape(to) => match alike {
            Rows::Along { axis, .. } => reshaped(shape(0), axis, to, batch),
            r => r,
        },
        Op::Dot(d) => product(d, of[0], of[1], shape(0).len(), shape(1).len()),
        Op::Gather { axis } => {
            let (a, more) = (*axis as usize, shape(1).len());
            match (of[0], of[1]) {
                (r, Rows::Free) => moved(r, &|k| match k.cmp(&a) {
                    std::cmp::Ordering::Less => Some(k),
                    std::cmp::Ordering::Equal => None,
                    std::cmp::Ordering::Greater => Some(k + more - 1),
                }),
                (Rows::Free, r) => moved(r, &|k| Some(a + k)),
                _ => Rows::Mixed,
            }
        }
        _ => Rows::Mixed,
    }
}

/// Where the rows are after a reshape: what stands before their axis stays, and the axis is cut or joined behind them.
fn reshaped(from: &[u64], axis: usize, to: &[u64], batch: u64) -> Rows {
    let before: u64 = from[..axis].iter().product();
    let fits =
        |&j: &usize| to[..j].iter().product::<u64>() == before && to[j].is_multiple_of(batch.max(1)) && to[j] > 0;
    match (0..to.len()).find(fits) {
        Some(axis) => Rows::Along { axis, times: to[axis] / batch.max(1) },
        None => Rows::Mixed,
    }
}

/// A contraction: rows may be a batch axis of both, or a free axis of one beside what is free of them.
fn product(d: &DotDims, x: Rows, y: Rows, x_rank: usize, y_rank: usize) -> Rows {
    let n = d.lhs_batch.len();
    let free = |batch: &[u32], contract: &[u32], rank: usize| -> Vec<usize> {
        (0..rank).filter(|&k| !batch.contains(&(k as u32)) && !contract.contains(&(k as u32))).collect()
    };
    let x_free = free(&d.lhs_batch, &d.lhs_contract, x_rank);
    let y_free = free(&d.rhs_batch, &d.rhs_contract, y_rank);
    let shared = |batch: &[u32], axis: usize| batch.iter().position(|&a| a as usize == axis);
    match (x, y) {
        (Rows::Along { axis: a, times: s }, Rows::Along { axis: b, times: t }) => {
            match (shared(&d.lhs_batch, a), shared(&d.rhs_batch, b)) {
                (Some(p), Some(q)) if p == q && s == t => Rows::Along { axis: p, times: s },
                _ => Rows::Mixed,
            }
        }
        (Rows::Along { axis, times }, Rows::Free) => {
            let at = shared(&d.lhs_batch, axis).or(x_free.iter().position(|&k| k == axis).map(|i| n + i));
            at.map_or(Rows::Mixed, |axis| Rows::Along { axis, times })
        }
        (Rows::Free, Rows::Along { axis, times }) => {
            let at =
                shared(&d.rhs_batch, axis).or(y_free.iter().position(|&k| k == axis).map(|i| n + x_free.len() + i));
            at.map_or(Rows::Mixed, |axis| Rows::Along { axis, times })
        }
        _ => Rows::Mixed,
    }
}
