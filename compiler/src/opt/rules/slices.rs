//! Slices move toward producers: what is cut off is not computed.

use super::At;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::window::extent;
use crate::graph::ops::{Axes, Op};
use crate::graph::ty::Shape;

/// What a slice takes of each axis, not empty.
#[derive(Clone)]
struct Cut {
    start: Shape,
    stop: Shape,
    step: Shape,
}

impl Cut {
    /// That of a rule's op, if it takes anything.
    fn of(at: &At) -> Option<Cut> {
        let Op::Slice { start, stop, step } = at.op else { return None };
        let taken = !at.ty.shape.contains(&0);
        taken.then(|| Cut { start: start.clone(), stop: stop.clone(), step: step.clone() })
    }

    /// Everything.
    fn whole(shape: &Shape) -> Cut {
        let n = shape.len();
        Cut { start: Shape::from_elem(0, n), stop: shape.clone(), step: Shape::from_elem(1, n) }
    }

    fn is_whole(&self, i: usize, n: u64) -> bool {
        (self.start[i], self.stop[i], self.step[i]) == (0, n, 1)
    }

    fn count(&self, i: usize) -> u64 {
        (self.stop[i] - self.start[i]).div_ceil(self.step[i])
    }
}

/// The part of a value, of as little as possible.
fn part(b: &mut Builder, v: ValueId, cut: &Cut) -> ValueId {
    let shape = b.shape(v);
    if (0..shape.len()).all(|i| cut.is_whole(i, shape[i])) {
        return v;
    }
    let moved = part_of_window(b, v, cut).or_else(|| part_of_pad(b, v, cut));
    moved.unwrap_or_else(|| b.slice(v, &cut.start, &cut.stop, &cut.step))
}

/// A slice of a contraction that nothing else uses contracts slices of the operands.
pub fn slice_of_dot(b: &mut Builder, at: &At) -> Option<ValueId> {
    let result = Cut::of(at)?;
    let (Op::Dot(d), &[x, y]) = (b.graph().op(at.x[0]).clone(), b.graph().inputs(at.x[0])) else { return None };
    if !at.once {
        return None;
    }
    let n = d.lhs_batch.len();
    let (xf, yf) = (d.lhs_free(b.ty(x).rank()), d.rhs_free(b.ty(y).rank()));
    let m = xf.len();
    // Axis `of[i]` of an operand is axis `from + i` of the result.
    let mut operand = |v: ValueId, axes: [(&Axes, usize); 2]| {
        let mut cut = Cut::whole(&b.shape(v));
        for (of, from) in axes {
            for (i, &axis) in of.iter().enumerate() {
                let k = axis as usize;
                (cut.start[k], cut.stop[k], cut.step[k]) =
                    (result.start[from + i], result.stop[from + i], result.step[from + i]);
            }
        }
        part(b, v, &cut)
    };
    let x = operand(x, [(&d.lhs_batch, 0), (&xf, n)]);
    let y = operand(y, [(&d.rhs_batch, 0), (&yf, n + m)]);
    Some(b.dot(x, y, d))
}

/// A slice of windows that keeps their elements is the windows of a slice.
pub fn slice_of_window(b: &mut Builder, at: &At) -> Option<ValueId> {
    let cut = Cut::of(at)?;
    part_of_window(b, at.x[0], &cut)
}

fn part_of_window(b: &mut Builder, v: ValueId, cut: &Cut) -> Option<ValueId> {
    let &Op::Window { axis, size, step, dilation } = b.graph().op(v) else { return None };
    let (k, last) = (axis as usize, cut.start.len() - 1);
    if !cut.is_whole(last, size) {
        return None;
    }
    let x = b.graph().inputs(v)[0];
    let mut of = cut.clone();
    [&mut of.start, &mut of.stop, &mut of.step].into_iter().for_each(|s| s.truncate(last));
    let end = (cut.start[k] + (cut.count(k) - 1) * cut.step[k]) * step + extent(size, dilation)?;
    (of.start[k], of.stop[k], of.step[k]) = (cut.start[k] * step, end, 1);
    let x = part(b, x, &of);
    Some(b.op(Op::Window { axis, size, step: step * cut.step[k], dilation }, &[x]))
}

/// A slice of padding around a value is less padding around a slice of it.
pub fn slice_into_pad(b: &mut Builder, at: &At) -> Option<ValueId> {
    let cut = Cut::of(at)?;
    part_of_pad(b, at.x[0], &cut)
}

fn part_of_pad(b: &mut Builder, v: ValueId, cut: &Cut) -> Option<ValueId> {
    let Op::Pad { mut lo, mut hi, interior } = b.graph().op(v).clone() else { return None };
    let (x, fill) = (b.graph().inputs(v)[0], b.graph().inputs(v)[1]);
    let (from, padded) = (b.shape(x), b.shape(v));
    let n = from.len();
    let cuts = |i: usize| {
        cut.step[i] == 1 && interior[i] == 0 && cut.start[i] < lo[i] + from[i] && cut.stop[i] > lo[i] && from[i] > 0
    };
    let whole = |i: usize| cut.is_whole(i, padded[i]);
    if !(0..n).all(|i| whole(i) || cuts(i)) || (0..n).all(whole) {
        return None;
    }
    let mut of = Cut::whole(&from);
    for i in (0..n).filter(|&i| !whole(i)) {
        of.start[i] = cut.start[i].saturating_sub(lo[i]);
        of.stop[i] = (cut.stop[i] - lo[i]).min(from[i]);
        hi[i] = cut.stop[i].saturating_sub(lo[i] + from[i]);
        lo[i] = lo[i].saturating_sub(cut.start[i]);
    }
    let x = part(b, x, &of);
    Some(b.pad(x, fill, &lo, &hi, &interior))
}
