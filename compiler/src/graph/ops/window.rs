//! Windows: an axis seen through a frame that slides along it, and the sum of what such frames hold.
//!
//! In: the two rows, and the derivative of the first. A convolution is a `dot` over windows, pooling a `reduce` over them;
//! neither has an op of its own. Windows move elements by an affine map, so they cost nothing: `x[i*step + u*dilation]`.

use super::attr::Attr;
use super::{Axes, Class, DotDims, Fill, Literal, Op, OpSpec, Sample, arity, axis_of};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::tensor::{offsets, strides};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

/// Elements from the first to the last of a frame, both included.
pub fn extent(size: u64, dilation: u64) -> Option<u64> {
    size.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)
}

/// Strides of `[.., windows, .., size]` in a tensor with the strides `st`.
fn walk(st: &[i64], axis: usize, step: u64, dilation: u64) -> Vec<i64> {
    let mut by = st.to_vec();
    by.push(st[axis] * dilation as i64);
    by[axis] *= step as i64;
    by
}

fn x(shape: &[u64]) -> (TensorTy, Fill) {
    (TensorTy::new(DType::F32, shape.iter().copied()), Fill::Uniform(-1.0, 1.0))
}

/// The row of `window`.
pub static WINDOW: OpSpec = OpSpec {
    name: "window",
    class: Class::Movement,
    doc: "Frames of elements `dilation` apart, one from every `step`th element of `axis` on that has room: `axis` counts \
          the frames, a last axis the elements of a frame",
    grad: "`fold`; of a `dot`, the `dot` over frames of the padded cotangent",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Window { axis, size, step, dilation } = op else { return Err("not a window".into()) };
        let a = axis_of(op, *axis, x[0])?;
        let n = x[0].shape[a];
        let extent = extent(*size, *dilation).filter(|&e| e <= n && *step > 0 && *dilation > 0);
        let Some(extent) = extent else {
            return Err(format!(
                "`window` takes {size} elements {dilation} apart from every {step}th of axis {axis} of {}",
                x[0]
            ));
        };
        let mut shape = x[0].shape.clone();
        shape[a] = (n - extent) / step + 1;
        shape.push(*size);
        Ok(TensorTy { dtype: x[0].dtype, shape })
    },
    eval: |op, _, ty, x| {
        let Op::Window { axis, step, dilation, .. } = op else { return vec![] };
        let by = walk(&strides(&x[0].ty.shape), *axis as usize, *step, *dilation);
        offsets(&ty.shape, &by, 0).into_iter().map(|o| x[0].data[o as usize]).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Window { axis, step, dilation, .. } = op else { return vec![None] };
        let len = b.shape(a.x[0])[*axis as usize];
        let f = Frames { axis: *axis, step: *step, dilation: *dilation, len };
        vec![Some(f.of_dot(b, a.dy).unwrap_or_else(|| b.op(f.fold(), &[a.dy])))]
    }),
    attrs: |op| match op {
        Op::Window { axis, step, dilation, .. } => {
            vec![("axis", Attr::Int((*axis).into())), ("step", Attr::Int(*step)), ("dilation", Attr::Int(*dilation))]
        }
        _ => vec![],
    },
    make: |ty, r| {
        let size = *ty.shape.last().ok_or("`window` has a last axis")?;
        Ok(Op::Window { axis: r.int32("axis")?, size, step: r.int("step")?, dilation: r.int("dilation")? })
    },
    samples: || {
        let w = |axis, size, step, dilation| Op::Window { axis, size, step, dilation };
        vec![
            Sample::smooth(w(0, 3, 1, 1), vec![x(&[6])]),
            Sample::smooth(w(1, 2, 2, 2), vec![x(&[2, 8, 2])]),
            Sample::smooth(w(0, 2, 3, 1), vec![x(&[7, 2])]),
            Sample::smooth(w(1, 1, 2, 1), vec![x(&[2, 5])]),
        ]
    },
};

/// The row of `fold`.
pub static FOLD: OpSpec = OpSpec {
    name: "fold",
    class: Class::Reduce,
    doc: "The sum of frames laid back to where `window` takes them from: the last axis vanishes, `axis` has the result's \
          length",
    grad: "`window`",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Fold { axis, len, step, dilation } = op else { return Err("not a fold".into()) };
        let a = axis_of(op, *axis, x[0])?;
        let Some((&size, rest)) = x[0].shape.split_last().filter(|(_, rest)| a < rest.len()) else {
            return Err(format!("`fold` takes frames, a last axis behind axis {axis}, got {}", x[0]));
        };
        let n = x[0].shape[a];
        let reach = n.checked_sub(1).and_then(|n| n.checked_mul(*step)?.checked_add(extent(size, *dilation)?));
        if *step == 0 || *dilation == 0 || !x[0].dtype.is_float() || reach.is_none_or(|r| r > *len) {
            return Err(format!(
                "`fold` lays {n} frames of {size} floats {dilation} apart at every {step}th of {len}, got {}",
                x[0]
            ));
        }
        let mut shape: Shape = rest.into();
        shape[a] = *len;
        Ok(TensorTy { dtype: x[0].dtype, shape })
    },
    eval: |op, _, ty, x| {
        let Op::Fold { axis, step, dilation, .. } = op else { return vec![] };
        let by = walk(&strides(&ty.shape), *axis as usize, *step, *dilation);
        let mut out = vec![0.0; ty.numel() as usize];
        for (o, &v) in offsets(&x[0].ty.shape, &by, 0).into_iter().zip(&x[0].data) {
            out[o as usize] += v;
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Fold { axis, step, dilation, .. } = op else { return vec![None] };
        let k = *axis as usize;
        let (from, mut stop) = (b.shape(a.x[0]), b.shape(a.dy));
        let size = from.last().copied().unwrap_or(1);
        // Elements behind the last frame were in none.
        stop[k] = (from[k] - 1) * step + extent(size, *dilation).unwrap_or(1);
        let (start, ones) = (vec![0; stop.len()], vec![1; stop.len()]);
        let dy = if b.shape(a.dy) == stop { a.dy } else { b.slice(a.dy, &start, &stop, &ones) };
        vec![Some(b.op(Op::Window { axis: *axis, size, step: *step, dilation: *dilation }, &[dy]))]
    }),
    attrs: |op| match op {
        Op::Fold { axis, step, dilation, .. } => {
            vec![("axis", Attr::Int((*axis).into())), ("step", Attr::Int(*step)), ("dilation", Attr::Int(*dilation))]
        }
        _ => vec![],
    },
    make: |ty, r| {
        let axis = r.int32("axis")?;
        let len = *ty.shape.get(axis as usize).ok_or("`fold` names an axis of its result")?;
        Ok(Op::Fold { axis, len, step: r.int("step")?, dilation: r.int("dilation")? })
    },
    samples: || {
        let f = |axis, len, step, dilation| Op::Fold { axis, len, step, dilation };
        vec![
            Sample::smooth(f(0, 6, 1, 1), vec![x(&[4, 3])]),
            Sample::smooth(f(1, 9, 2, 2), vec![x(&[2, 3, 2, 2])]),
            Sample::smooth(f(0, 8, 3, 1), vec![x(&[2, 2, 2])]),
        ]
    },
};

/// How frames lie on an axis.
struct Frames {
    axis: u32,
    step: u64,
    dilation: u64,
    len: u64,
}

impl Frames {
    fn fold(&self) -> Op {
        Op::Fold { axis: self.axis, len: self.len, step: self.step, dilation: self.dilation }
    }

    /// The fold of a contraction, `y[p] = sum over i*step + u*dilation = p of a[.., i] w[.., u]`, as a contraction over `u`
    /// too: `y[p] = sum over u of a'[p + u*dilation] w[size - 1 - u]` with `a'` the operand padded by zeros, `step` apart.
    /// So the derivative of a convolution is a convolution, and the frames of its cotangent are never made. (A weight that
    /// is not finite times a zero of the padding is NaN, as it is in a padded convolution.) `None` where the frames and
    /// their elements are not axes of one operand each.
    fn of_dot(&self, b: &mut Builder, dy: ValueId) -> Option<ValueId> {
        let rank = b.shape(dy).len();
        // Result axis i of the fold's operand is axis `perm[i]` of the contraction's result.
        let (dot, perm) = match b.graph().op(dy) {
            Op::Permute(p) => (b.graph().inputs(dy)[0], p.clone()),
            _ => (dy, (0..rank as u32).collect::<Axes>()),
        };
        let Op::Dot(d) = b.graph().op(dot).clone() else { return None };
        let (x, y) = (b.graph().inputs(dot)[0], b.graph().inputs(dot)[1]);
        let n = d.lhs_batch.len();
        let (xf, yf) = (d.lhs_free(b.ty(x).rank()), d.rhs_free(b.ty(y).rank()));
        let (frames, elements) = (perm[self.axis as usize] as usize, perm[rank - 1] as usize);
        let place = |axis: usize| match axis.checked_sub(n) {
            Some(i) if i < xf.len() => Some((0, xf[i])),
            Some(i) => Some((1, yf[i - xf.len()])),
            None => None,
        };
        let ((side, i), (other, u)) = (place(frames)?, place(elements)?);
        if side == other {
            return None;
        }
        let mut ops = [x, y];
        let size = b.shape(ops[other])[u as usize];
        let count = b.shape(ops[side])[i as usize];
        let lo = (size - 1) * self.dilation;
        let hi = self.len.checked_sub((count - 1) * self.step + 1)?;
        let padded = pad_axis(b, ops[side], i as usize, [lo, hi, self.step - 1]);
        let windows = Op::Window { axis: i, size, step: 1, dilation: self.dilation };
        windows.infer(&[b.ty(padded)], &[]).ok()?;
        ops[side] = b.op(windows, &[padded]);
        ops[other] = b.reverse(ops[other], &[u]);
        let inner = b.shape(ops[side]).len() as u32 - 1;
        let mut dims: DotDims = d.clone();
        let (a, w) = match side {
            0 => (&mut dims.lhs_contract, &mut dims.rhs_contract),
            _ => (&mut dims.rhs_contract, &mut dims.lhs_contract),
        };
        a.push(inner);
        w.push(u);
        let out = b.dot(ops[0], ops[1], dims);
        // The axis of the elements is gone; the others come in the order of the fold's result.
        let order: Axes = perm[..rank - 1].iter().map(|&p| if p as usize > elements { p - 1 } else { p }).collect();
        Some(b.permute(out, &order))
    }
}

/// Zeros around and between the elements of an axis, put before windows of other axes and joined with zeros that are there
/// already, so that what is stored is the padded operand and not its windows.
fn pad_axis(b: &mut Builder, v: ValueId, axis: usize, [lo, hi, between]: [u64; 3]) -> ValueId {
    if (lo, hi, between) == (0, 0, 0) {
        return v;
    }
    let x = b.graph().inputs(v).to_vec();
    match b.graph().op(v).clone() {
        op @ Op::Window { axis: other, .. } if other as usize != axis && axis + 1 < b.shape(v).len() => {
            let x = pad_axis(b, x[0], axis, [lo, hi, between]);
            b.op(op, &[x])
        }
        Op::Pad { lo: mut l, hi: mut h, interior: mut m }
            if (l[axis], h[axis], m[axis]) == (0, 0, 0)
                && matches!(b.graph().op(x[1]), Op::Const(Literal::Scalar(_, z)) if z.to_bits() == 0) =>
        {
            (l[axis], h[axis], m[axis]) = (lo, hi, between);
            b.pad(x[0], x[1], &l, &h, &m)
        }
        _ => {
            let n = b.shape(v).len();
            let at = |k: u64| -> Vec<u64> { (0..n).map(|i| if i == axis { k } else { 0 }).collect() };
            let zero = b.scalar(b.ty(v).dtype, 0.0);
            b.pad(v, zero, &at(lo), &at(hi), &at(between))
        }
    }
}
