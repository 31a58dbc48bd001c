//! Moves that cancel, merge, or can be made on smaller values.

use super::At;
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::contract::inverse;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Axes, Literal, Op};
use crate::graph::ty::Shape;
use crate::opt::view::splat;

/// The operand of `v` if `v` is made by an op that `of` recognizes.
fn made<'g, T>(g: &'g Graph, v: ValueId, of: impl Fn(&'g Op) -> Option<T>) -> Option<(T, ValueId)> {
    Some((of(g.op(v))?, *g.inputs(v).first()?))
}

fn as_broadcast(op: &Op) -> Option<(&Shape, &Axes)> {
    if let Op::Broadcast { shape, axes } = op { Some((shape, axes)) } else { None }
}

/// A table that holds one number everywhere is that number.
pub fn uniform_table(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Const(Literal::Dense(_, xs)) = at.op else { return None };
    let first = *xs.first()?;
    let uniform = xs.iter().all(|x| x.to_bits() == first.to_bits());
    uniform.then(|| b.splat(at.ty, first))
}

/// A reshape, slice, pad or broadcast to the same type is nothing.
pub fn same_shape(b: &mut Builder, at: &At) -> Option<ValueId> {
    let moves = matches!(at.op, Op::Reshape(_) | Op::Slice { .. } | Op::Pad { .. } | Op::Broadcast { .. });
    (moves && b.ty(at.x[0]) == at.ty).then(|| at.x[0])
}

/// A reshape of a reshape is one reshape.
pub fn reshape_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reshape(shape) = at.op else { return None };
    let Op::Reshape(_) = b.graph().op(at.x[0]) else { return None };
    let inner = b.graph().inputs(at.x[0])[0];
    Some(b.reshape(inner, shape))
}

/// A permute of a permute is one permute; the identity is nothing.
pub fn permute_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Permute(outer) = at.op else { return None };
    if outer.iter().enumerate().all(|(i, &p)| i as u32 == p) {
        return Some(at.x[0]);
    }
    let Op::Permute(first) = b.graph().op(at.x[0]) else { return None };
    let both: Axes = match nn_runtime::mutant!("opt.permute_chain") {
        true => first.iter().map(|&p| outer[p as usize]).collect(),
        false => outer.iter().map(|&p| first[p as usize]).collect(),
    };
    let inner = b.graph().inputs(at.x[0])[0];
    Some(b.permute(inner, &both))
}

/// A permute that keeps the order of all axes but those of size 1 is a reshape.
pub fn permute_is_reshape(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Permute(perm) = at.op else { return None };
    let shape = &b.ty(at.x[0]).shape;
    let order: Vec<u32> = perm.iter().copied().filter(|&p| shape[p as usize] != 1).collect();
    order.is_sorted().then(|| b.reshape(at.x[0], &at.ty.shape))
}

/// A broadcast of a broadcast is one broadcast.
pub fn broadcast_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (shape, axes) = as_broadcast(at.op)?;
    let ((_, first), inner) = made(b.graph(), at.x[0], as_broadcast)?;
    let both: Axes = first.iter().map(|&a| axes[a as usize]).collect();
    Some(b.broadcast(inner, shape, &both))
}

/// A broadcast of a reshape that only adds axes of size 1 is a broadcast, where those axes stay 1.
pub fn broadcast_of_reshape(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (shape, axes) = as_broadcast(at.op)?;
    let Op::Reshape(mid) = b.graph().op(at.x[0]) else { return None };
    let inner = b.graph().inputs(at.x[0])[0];
    let kept: Vec<usize> = (0..mid.len()).filter(|&i| mid[i] != 1).collect();
    let sizes: Shape = kept.iter().map(|&i| mid[i]).collect();
    if b.ty(inner).shape != sizes {
        return None;
    }
    let both: Axes = kept.iter().map(|&i| axes[i]).collect();
    Some(b.broadcast(inner, shape, &both))
}

/// A reshape of a broadcast that only adds or drops axes of size 1 is a broadcast.
pub fn reshape_of_broadcast(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reshape(to) = at.op else { return None };
    let ((from, axes), inner) = made(b.graph(), at.x[0], as_broadcast)?;
    let wide = |s: &Shape| (0..s.len()).filter(|&i| s[i] != 1).collect::<Vec<_>>();
    let (in_from, in_to) = (wide(from), wide(to));
    if !in_from.iter().map(|&i| from[i]).eq(in_to.iter().map(|&i| to[i])) {
        return None;
    }
    let place = |a: &u32| in_from.iter().position(|&i| i == *a as usize).map(|i| in_to[i] as u32);
    let both: Axes = axes.iter().filter_map(place).collect();
    let small: Shape = b.ty(inner).shape.iter().copied().filter(|&n| n != 1).collect();
    let inner = b.reshape(inner, &small);
    Some(b.broadcast(inner, to, &both))
}

/// A permute of a broadcast is a broadcast of a permute: less to move, often nothing.
pub fn permute_of_broadcast(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Permute(perm) = at.op else { return None };
    permuted_broadcast(b, at.x[0], perm)
}

/// A permute of what is a broadcast, as a broadcast.
pub(super) fn permuted_broadcast(b: &mut Builder, v: ValueId, perm: &[u32]) -> Option<ValueId> {
    let ((_, axes), inner) = made(b.graph(), v, as_broadcast)?;
    let shape: Shape = perm.iter().map(|&p| b.ty(v).shape[p as usize]).collect();
    let dest = inverse(perm);
    let mut places: Vec<(u32, u32)> = axes.iter().enumerate().map(|(i, &a)| (dest[a as usize], i as u32)).collect();
    places.sort_unstable();
    let (to, order): (Vec<u32>, Vec<u32>) = places.into_iter().unzip();
    let inner = b.permute(inner, &order);
    Some(b.broadcast(inner, &shape, &to))
}

/// A slice of a slice is one slice.
pub fn slice_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Slice { start, step, .. } = at.op else { return None };
    let Op::Slice { start: start0, step: step0, .. } = b.graph().op(at.x[0]) else { return None };
    if at.ty.shape.contains(&0) {
        return None;
    }
    let n = start.len();
    let from: Vec<u64> = (0..n)
        .map(|i| start0[i] + start[i] * if nn_runtime::mutant!("opt.slice_chain") { 1 } else { step0[i] })
        .collect();
    let by: Vec<u64> = (0..n).map(|i| step[i] * step0[i]).collect();
    let to: Vec<u64> = (0..n).map(|i| from[i] + (at.ty.shape[i] - 1) * by[i] + 1).collect();
    let inner = b.graph().inputs(at.x[0])[0];
    Some(b.slice(inner, &from, &to, &by))
}

/// A slice of a broadcast that cuts only axes that repeat is a smaller broadcast.
pub fn slice_of_broadcast(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Slice { .. } = at.op else { return None };
    let ((shape, axes), inner) = made(b.graph(), at.x[0], as_broadcast)?;
    let whole = |a: &u32| at.ty.shape[*a as usize] == shape[*a as usize];
    let axes = axes.clone();
    axes.iter().all(whole).then(|| b.broadcast(inner, &at.ty.shape, &axes))
}

/// A slice that lies in one operand of a concat is a slice of that operand.
pub fn slice_of_concat(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Slice { start, stop, step } = at.op else { return None };
    let Op::Concat { axis } = b.graph().op(at.x[0]) else { return None };
    let k = *axis as usize;
    let mut first = 0;
    for &part in b.graph().inputs(at.x[0]) {
        let end = first + b.ty(part).shape[k];
        if start[k] >= first && stop[k] <= end {
            let (mut start, mut stop) = (start.clone(), stop.clone());
            start[k] -= first;
            stop[k] -= first;
            return Some(b.slice(part, &start, &stop, step));
        }
        first = end;
    }
    None
}

/// A slice that takes exactly what was padded gives it back.
pub fn slice_of_pad(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Slice { start, step, .. } = at.op else { return None };
    let Op::Pad { lo, interior, .. } = b.graph().op(at.x[0]) else { return None };
    let inner = b.graph().inputs(at.x[0])[0];
    let exact = |i: usize| {
        start[i] == lo[i] && (nn_runtime::mutant!("opt.pad_step") || step[i] == interior[i] + 1 || at.ty.shape[i] == 1)
    };
    (b.ty(inner) == at.ty && (0..lo.len()).all(exact)).then_some(inner)
}

/// A reverse of a reverse reverses the axes that only one of them does.
pub fn reverse_chain(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reverse(outer) = at.op else { return None };
    let Op::Reverse(first) = b.graph().op(at.x[0]) else { return None };
    let one = |a: &u32| {
        (outer.contains(a) != first.contains(a)) || nn_runtime::mutant!("opt.reverse_chain") && outer.contains(a)
    };
    let both: Vec<u32> = (0..at.ty.rank() as u32).filter(one).collect();
    let inner = b.graph().inputs(at.x[0])[0];
    Some(b.reverse(inner, &both))
}

/// Reversing an axis of size 1, or one that repeats, does nothing.
pub fn reverse_of_copies(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Reverse(axes) = at.op else { return None };
    let kept = as_broadcast(b.graph().op(at.x[0])).map(|(_, kept)| kept);
    let moves = |a: &u32| at.ty.shape[*a as usize] != 1 && kept.is_none_or(|k| k.contains(a));
    let rest: Vec<u32> = axes.iter().copied().filter(moves).collect();
    (rest.len() < axes.len()).then(|| b.reverse(at.x[0], &rest))
}

/// Neighboring slices of one value, one after another, are one slice of it.
pub fn concat_of_slices(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Concat { axis } = at.op else { return None };
    if let [only] = at.x {
        return Some(*only);
    }
    let (g, k) = (b.graph(), *axis as usize);
    let Op::Slice { start: from, stop: to, step } = g.op(at.x[0]) else { return None };
    let (source, mut end) = (g.inputs(at.x[0])[0], to[k]);
    for &v in &at.x[1..] {
        let Op::Slice { start, stop, step: by } = g.op(v) else { return None };
        let same = |i: usize| i == k || (start[i] == from[i] && stop[i] == to[i]);
        let next = g.inputs(v)[0] == source && by == step && step[k] == 1 && start[k] == end;
        if !next || !(0..start.len()).all(same) {
            return None;
        }
        end = stop[k];
    }
    let (start, mut stop, step) = (from.clone(), to.clone(), step.clone());
    stop[k] = end;
    Some(b.slice(source, &start, &stop, &step))
}

/// Moving the elements of a uniform constant gives a uniform constant.
pub fn move_constant(b: &mut Builder, at: &At) -> Option<ValueId> {
    if !matches!(at.op, Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } | Op::Reverse(_) | Op::Concat { .. }) {
        return None;
    }
    let c = splat(b.graph(), at.x[0])?;
    let same = |v: &ValueId| splat(b.graph(), *v).is_some_and(|d| d.to_bits() == c.to_bits());
    at.x.iter().all(same).then(|| b.splat(at.ty, c))
}

/// An elementwise op on values broadcast in the same way is the broadcast of the op: less work.
pub fn elementwise_of_broadcasts(b: &mut Builder, at: &At) -> Option<ValueId> {
    if !matches!(at.op, Op::Ew(_) | Op::Cast(_)) {
        return None;
    }
    let g = b.graph();
    let way = |a: &ValueId| made(g, *a, as_broadcast).map(|((_, axes), inner)| (axes.clone(), inner));
    let ways: Vec<(Axes, ValueId)> = at.x.iter().map(way).collect::<Option<_>>()?;
    // Scalars go along with any other operand; the widest operand says how to broadcast.
    let widest = ways.iter().max_by_key(|(axes, _)| axes.len())?;
    let (axes, sizes) = (widest.0.clone(), g.ty(widest.1).shape.clone());
    let fits = |(a, inner): &(Axes, ValueId)| *a == axes && g.ty(*inner).shape == sizes || g.ty(*inner).rank() == 0;
    if !ways.iter().all(fits) {
        return None;
    }
    let inner: Vec<ValueId> = ways.iter().map(|&(_, a)| b.broadcast(a, &sizes, &[])).collect();
    let small = b.op(at.op.clone(), &inner);
    Some(b.broadcast(small, &at.ty.shape, &axes))
}

/// A value padded by zeros.
struct Padded {
    x: ValueId,
    lo: Shape,
    hi: Shape,
    interior: Shape,
}

/// The terms of a sum, if all of them are padded by zeros.
fn padded(g: &Graph, v: ValueId, out: &mut Vec<Padded>) -> Option<()> {
    match (g.op(v), g.inputs(v)) {
        (Op::Ew(Ew::Add), &[p, q]) if out.len() < 16 => {
            padded(g, p, out)?;
            padded(g, q, out)
        }
        (Op::Pad { lo, hi, interior }, &[x, fill]) => {
            let zero = matches!(g.op(fill), Op::Const(Literal::Scalar(_, z)) if z.to_bits() == 0);
            out.push(Padded { x, lo: lo.clone(), hi: hi.clone(), interior: interior.clone() });
            zero.then_some(())
        }
        _ => None,
    }
}

/// A sum of values padded by zeros to lie side by side is their concat, padded by what is left. A sum with 0.0 is never
/// -0.0, so neither are the parts.
pub fn add_of_pads(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(Ew::Add) = at.op else { return None };
    let mut all = vec![];
    padded(b.graph(), at.x[0], &mut all)?;
    padded(b.graph(), at.x[1], &mut all)?;
    let axis = (0..at.ty.rank()).find(|&i| all[0].lo[i] != all[1].lo[i])?;
    all.sort_by_key(|p| p.lo[axis]);
    let size = |p: &Padded| b.ty(p.x).shape[axis];
    let beside = |w: &[Padded]| {
        let same = |i: usize| (w[0].lo[i], w[0].hi[i]) == (w[1].lo[i], w[1].hi[i]) || i == axis;
        w[0].interior == w[1].interior
            && w[0].interior[axis] == 0
            && w[0].lo[axis] + size(&w[0]) == w[1].lo[axis]
            && (0..at.ty.rank()).all(same)
    };
    if !all.windows(2).all(beside) {
        return None;
    }
    // What is a sum with 0.0 already needs none; a concat of such goes on.
    let g = b.graph();
    let sum = |v: &ValueId| {
        let zero = |x: &ValueId| splat(g, *x).is_some_and(|z| z.to_bits() == 0);
        !g.ty(*v).dtype.is_float() || matches!(g.op(*v), Op::Ew(Ew::Add)) && g.inputs(*v).iter().any(zero)
    };
    let mut parts = vec![];
    for p in &all {
        match (g.op(p.x), g.inputs(p.x)) {
            (Op::Concat { axis: a }, xs) if *a as usize == axis && xs.iter().all(sum) => parts.extend(xs),
            _ => parts.push(p.x),
        }
    }
    let plain: Vec<bool> = parts.iter().map(|v| !sum(v) && !nn_runtime::mutant!("opt.pads_sign")).collect();
    for (x, _) in parts.iter_mut().zip(plain).filter(|p| p.1) {
        let zeros = b.zeros_like(*x);
        *x = b.ew(Ew::Add, &[*x, zeros]);
    }
    let joined = b.concat(&parts, axis as u32);
    let (Padded { lo, mut hi, interior, .. }, last) = (all.remove(0), all.pop()?);
    hi[axis] = last.hi[axis];
    if lo.iter().chain(&hi).chain(&interior).all(|&n| n == 0) {
        return Some(joined);
    }
    let fill = b.scalar(at.ty.dtype, 0.0);
    Some(b.pad(joined, fill, &lo, &hi, &interior))
}
