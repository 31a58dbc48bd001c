//! Movement: elements change place and nothing is computed.

use super::attr::Attr;
use super::contract::inverse;
use super::elementwise::Ew;
use super::reduce::kept_axes;
use super::{Class, Fill, Op, OpSpec, ReduceKind, Sample, arity, axes_attr, axis_of, dims};
use crate::graph::tensor::{offsets, strides};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

fn x(shape: &[u64]) -> (TensorTy, Fill) {
    (TensorTy::new(DType::F32, shape.iter().copied()), Fill::Uniform(-1.0, 1.0))
}

/// The row of `reshape`.
pub static RESHAPE: OpSpec = OpSpec {
    name: "reshape",
    class: Class::Movement,
    doc: "The same elements in row-major order under the result's shape",
    grad: "`reshape` back",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Reshape(shape) = op else { return Err("not a reshape".into()) };
        let ty = TensorTy { dtype: x[0].dtype, shape: shape.clone() };
        match (x[0].checked_numel(), ty.checked_numel()) {
            (Some(a), Some(b)) if a == b => Ok(ty),
            _ => Err(format!("`reshape` from {} to {ty} changes the number of elements", x[0])),
        }
    },
    eval: |_, _, _, x| x[0].data.clone(),
    vjp: Some(|b, _, a| {
        let shape = b.shape(a.x[0]);
        vec![Some(b.reshape(a.dy, &shape))]
    }),
    attrs: |_| vec![],
    make: |ty, _| Ok(Op::Reshape(ty.shape.clone())),
    samples: || vec![Sample::smooth(Op::Reshape([3, 4].as_slice().into()), vec![x(&[2, 6])])],
};

/// The row of `permute`.
pub static PERMUTE: OpSpec = OpSpec {
    name: "permute",
    class: Class::Movement,
    doc: "Result axis i is operand axis `perm[i]`",
    grad: "`permute` by the inverse",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Permute(perm) = op else { return Err("not a permute".into()) };
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x[0].rank() as u32) {
            return Err(format!("`permute` of {} takes each axis once, got {perm:?}", x[0]));
        }
        Ok(TensorTy { dtype: x[0].dtype, shape: perm.iter().map(|&p| x[0].shape[p as usize]).collect() })
    },
    eval: |op, _, ty, x| {
        let Op::Permute(perm) = op else { return vec![] };
        let st = strides(&x[0].ty.shape);
        let st: Vec<i64> = perm.iter().map(|&p| st[p as usize]).collect();
        offsets(&ty.shape, &st, 0).into_iter().map(|o| x[0].data[o as usize]).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Permute(perm) = op else { return vec![None] };
        vec![Some(b.permute(a.dy, &inverse(perm)))]
    }),
    attrs: |op| if let Op::Permute(p) = op { vec![("perm", axes_attr(p))] } else { vec![] },
    make: |_, r| Ok(Op::Permute(r.axes("perm")?)),
    samples: || {
        vec![
            Sample::smooth(Op::Permute([1, 0].as_slice().into()), vec![x(&[2, 3])]),
            Sample::smooth(Op::Permute([2, 0, 1].as_slice().into()), vec![x(&[2, 3, 4])]),
        ]
    },
};

/// The row of `broadcast`.
pub static BROADCAST: OpSpec = OpSpec {
    name: "broadcast",
    class: Class::Movement,
    doc: "Operand axis i becomes result axis `axes[i]`, ascending and of the same size; the other result axes repeat",
    grad: "`reduce sum` over the axes that repeat",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Broadcast { shape, axes } = op else { return Err("not a broadcast".into()) };
        let ty = TensorTy { dtype: x[0].dtype, shape: shape.clone() };
        if axes.len() != x[0].rank() || !axes.is_sorted_by(|a, b| a < b) {
            return Err(format!(
                "`broadcast` of {} takes one ascending result axis for each of its own, got {axes:?}",
                x[0]
            ));
        }
        for (i, &a) in axes.iter().enumerate() {
            if shape[axis_of(op, a, &ty)?] != x[0].shape[i] {
                return Err(format!("`broadcast` puts axis {i} of {} at axis {a} of {ty}: the sizes differ", x[0]));
            }
        }
        Ok(ty)
    },
    eval: |op, _, ty, x| {
        let Op::Broadcast { axes, .. } = op else { return vec![] };
        let mut st = vec![0; ty.rank()];
        axes.iter().zip(strides(&x[0].ty.shape)).for_each(|(&a, s)| st[a as usize] = s);
        offsets(&ty.shape, &st, 0).into_iter().map(|o| x[0].data[o as usize]).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Broadcast { shape, axes } = op else { return vec![None] };
        let repeat = kept_axes(shape.len(), axes);
        vec![Some(b.reduce(ReduceKind::Sum, a.dy, &repeat))]
    }),
    attrs: |op| if let Op::Broadcast { axes, .. } = op { vec![("axes", axes_attr(axes))] } else { vec![] },
    make: |ty, r| Ok(Op::Broadcast { shape: ty.shape.clone(), axes: r.axes("axes")? }),
    samples: || {
        let to = |s: &[u64], a: &[u32]| Op::Broadcast { shape: s.into(), axes: a.into() };
        vec![
            Sample::smooth(to(&[2, 3], &[1]), vec![x(&[3])]),
            Sample::smooth(to(&[2, 3, 2], &[0, 2]), vec![x(&[2, 2])]),
            Sample::smooth(to(&[4], &[]), vec![x(&[])]),
        ]
    },
};

/// The row of `slice`.
pub static SLICE: OpSpec = OpSpec {
    name: "slice",
    class: Class::Movement,
    doc: "Elements `start[i] .. stop[i]` by `step[i]` on every axis",
    grad: "`pad` with zeros",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Slice { start, stop, step } = op else { return Err("not a slice".into()) };
        let n = x[0].rank();
        if start.len() != n || stop.len() != n || step.len() != n {
            return Err(format!("`slice` of {} takes {n} starts, stops and steps", x[0]));
        }
        let mut shape = Shape::new();
        for i in 0..n {
            if start[i] > stop[i] || stop[i] > x[0].shape[i] || step[i] == 0 {
                let (a, b, s) = (start[i], stop[i], step[i]);
                return Err(format!("`slice` takes {a}..{b} by {s} of axis {i} of {}", x[0]));
            }
            shape.push((stop[i] - start[i]).div_ceil(step[i]));
        }
        Ok(TensorTy { dtype: x[0].dtype, shape })
    },
    eval: |op, _, ty, x| {
        let Op::Slice { start, step, .. } = op else { return vec![] };
        let st = strides(&x[0].ty.shape);
        let first = start.iter().zip(&st).map(|(&a, s)| a as i64 * s).sum();
        let by: Vec<i64> = step.iter().zip(&st).map(|(&k, s)| k as i64 * s).collect();
        offsets(&ty.shape, &by, first).into_iter().map(|o| x[0].data[o as usize]).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Slice { start, step, .. } = op else { return vec![None] };
        let (from, to) = (b.shape(a.x[0]), b.shape(a.dy));
        if to.contains(&0) {
            return vec![Some(b.zeros_like(a.x[0]))];
        }
        let hi: Vec<u64> = (0..from.len()).map(|i| from[i] - start[i] - (to[i] - 1) * step[i] - 1).collect();
        let interior: Vec<u64> = step
            .iter()
            .zip(&to)
            .map(|(s, &n)| if n > 1 && (n < 3 || !nn_runtime::mutant!("grad.slice_step")) { s - 1 } else { 0 })
            .collect();
        let zero = b.scalar(b.ty(a.dy).dtype, 0.0);
        vec![Some(b.pad(a.dy, zero, start, &hi, &interior))]
    }),
    attrs: |op| match op {
        Op::Slice { start, stop, step } => vec![("start", dims(start)), ("stop", dims(stop)), ("step", dims(step))],
        _ => vec![],
    },
    make: |_, r| Ok(Op::Slice { start: r.shape("start")?, stop: r.shape("stop")?, step: r.shape("step")? }),
    samples: || {
        let s = |a: &[u64], b: &[u64], c: &[u64]| Op::Slice { start: a.into(), stop: b.into(), step: c.into() };
        vec![
            Sample::smooth(s(&[1, 0], &[3, 4], &[1, 1]), vec![x(&[4, 4])]),
            Sample::smooth(s(&[1, 0], &[7, 3], &[3, 2]), vec![x(&[8, 3])]),
            Sample::smooth(s(&[1], &[9], &[3]), vec![x(&[9])]),
        ]
    },
};

/// The row of `pad`.
pub static PAD: OpSpec = OpSpec {
    name: "pad",
    class: Class::Movement,
    doc: "`x, fill`: `lo` and `hi` elements of the scalar `fill` around x, and `interior` between neighbors, on every axis",
    grad: "dx = `slice`; dfill = sum of dy over what was filled",
    infer: |op, x, _| {
        arity(op, x, 2)?;
        let Op::Pad { lo, hi, interior } = op else { return Err("not a pad".into()) };
        let n = x[0].rank();
        if lo.len() != n || hi.len() != n || interior.len() != n {
            return Err(format!("`pad` of {} takes {n} lows, highs and interiors", x[0]));
        }
        if *x[1] != TensorTy::scalar(x[0].dtype) {
            return Err(format!("`pad` of {} takes a scalar {} to fill with, got {}", x[0], x[0].dtype, x[1]));
        }
        let size = |i: usize| {
            let n = x[0].shape[i];
            n.saturating_sub(1).checked_mul(interior[i])?.checked_add(n)?.checked_add(lo[i])?.checked_add(hi[i])
        };
        let shape: Option<Shape> = (0..n).map(size).collect();
        let shape = shape.ok_or_else(|| format!("`pad` of {} overflows", x[0]))?;
        Ok(TensorTy { dtype: x[0].dtype, shape })
    },
    eval: |op, _, ty, x| {
        let Op::Pad { lo, interior, .. } = op else { return vec![] };
        let st = strides(&ty.shape);
        let first = lo.iter().zip(&st).map(|(&a, s)| a as i64 * s).sum();
        let by: Vec<i64> = interior.iter().zip(&st).map(|(&k, s)| (k as i64 + 1) * s).collect();
        let mut out = vec![x[1].data[0]; ty.numel() as usize];
        for (o, &v) in offsets(&x[0].ty.shape, &by, first).into_iter().zip(&x[0].data) {
            out[o as usize] = v;
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Pad { lo, hi, interior } = op else { return vec![None, None] };
        let (from, to) = (b.shape(a.x[0]), b.shape(a.dy));
        if from.contains(&0) {
            let all = kept_axes(to.len(), &[]);
            let fill = b.reduce(ReduceKind::Sum, a.dy, &all);
            return vec![Some(b.zeros_like(a.x[0])), Some(fill)];
        }
        let stop: Vec<u64> = (0..from.len()).map(|i| lo[i] + (from[i] - 1) * (interior[i] + 1) + 1).collect();
        let step: Vec<u64> = interior.iter().map(|k| k + 1).collect();
        let dx = a.need[0].then(|| b.slice(a.dy, lo, &stop, &step));
        let fill = a.need[1].then(|| {
            let (no, yes) = (b.scalar(DType::Bool, 0.0), b.scalar(DType::Bool, 1.0));
            let inside = b.broadcast(yes, &from, &[]);
            let inside = b.pad(inside, no, lo, hi, interior);
            let zero = b.zeros_like(a.dy);
            let g = b.ew(Ew::Select, &[inside, zero, a.dy]);
            let all = kept_axes(to.len(), &[]);
            b.reduce(ReduceKind::Sum, g, &all)
        });
        vec![dx, fill]
    }),
    attrs: |op| match op {
        Op::Pad { lo, hi, interior } => vec![("lo", dims(lo)), ("hi", dims(hi)), ("interior", dims(interior))],
        _ => vec![],
    },
    make: |_, r| Ok(Op::Pad { lo: r.shape("lo")?, hi: r.shape("hi")?, interior: r.shape("interior")? }),
    samples: || {
        let p = |a: &[u64], b: &[u64], c: &[u64]| Op::Pad { lo: a.into(), hi: b.into(), interior: c.into() };
        vec![
            Sample::smooth(p(&[1, 0], &[0, 2], &[0, 0]), vec![x(&[2, 3]), x(&[])]),
            Sample::smooth(p(&[1], &[1], &[2]), vec![x(&[3]), x(&[])]),
        ]
    },
};

/// The row of `concat`.
pub static CONCAT: OpSpec = OpSpec {
    name: "concat",
    class: Class::Movement,
    doc: "Operands one after another along `axis`",
    grad: "`slice`s",
    infer: |op, x, _| {
        let Op::Concat { axis } = op else { return Err("not a concat".into()) };
        let first = x.first().ok_or("`concat` takes at least one operand")?;
        let axis = axis_of(op, *axis, first)?;
        let mut ty = (*first).clone();
        for t in &x[1..] {
            let same = |i: usize| i == axis || t.shape[i] == first.shape[i];
            if t.dtype != first.dtype || t.rank() != first.rank() || !(0..t.rank()).all(same) {
                return Err(format!(
                    "`concat` along axis {axis} takes operands equal on all other axes, got {first} and {t}"
                ));
            }
            ty.shape[axis] = ty.shape[axis].checked_add(t.shape[axis]).ok_or("`concat` overflows")?;
        }
        Ok(ty)
    },
    eval: |op, _, _, x| {
        let Op::Concat { axis } = op else { return vec![] };
        let outer: u64 = x[0].ty.shape[..*axis as usize].iter().product();
        let mut out = vec![];
        for o in 0..outer as usize {
            for t in x {
                let n = t.data.len() / outer as usize;
                out.extend(&t.data[o * n..(o + 1) * n]);
            }
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Concat { axis } = op else { return vec![] };
        let k = *axis as usize;
        let shape = b.shape(a.dy);
        let ones = vec![1; shape.len()];
        let mut at = 0;
        let mut part = |(i, &x): (usize, &crate::graph::graph::ValueId)| {
            let (mut start, mut stop) = (vec![0; shape.len()], shape.to_vec());
            start[k] = at;
            at += b.shape(x)[k];
            stop[k] = at;
            a.need[i].then(|| b.slice(a.dy, &start, &stop, &ones))
        };
        a.x.iter().enumerate().map(&mut part).collect()
    }),
    attrs: |op| if let Op::Concat { axis } = op { vec![("axis", Attr::Int((*axis).into()))] } else { vec![] },
    make: |_, r| Ok(Op::Concat { axis: r.int32("axis")? }),
    samples: || {
        vec![
            Sample::smooth(Op::Concat { axis: 0 }, vec![x(&[2, 3]), x(&[1, 3])]),
            Sample::smooth(Op::Concat { axis: 1 }, vec![x(&[2, 1]), x(&[2, 3]), x(&[2, 2])]),
        ]
    },
};

/// The row of `reverse`.
pub static REVERSE: OpSpec = OpSpec {
    name: "reverse",
    class: Class::Movement,
    doc: "Reverses `axes`",
    grad: "`reverse`",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Reverse(axes) = op else { return Err("not a reverse".into()) };
        for &a in axes {
            axis_of(op, a, x[0])?;
        }
        if !axes.is_sorted_by(|a, b| a < b) {
            return Err(format!("`reverse` takes ascending axes, got {axes:?}"));
        }
        Ok(x[0].clone())
    },
    eval: |op, _, ty, x| {
        let Op::Reverse(axes) = op else { return vec![] };
        let mut st = strides(&ty.shape);
        let mut first = 0;
        for &a in axes {
            first += (ty.shape[a as usize] as i64 - 1) * st[a as usize];
            st[a as usize] = -st[a as usize];
        }
        offsets(&ty.shape, &st, first).into_iter().map(|o| x[0].data[o as usize]).collect()
    },
    vjp: Some(|b, op, a| vec![Some(b.op(op.clone(), &[a.dy]))]),
    attrs: |op| if let Op::Reverse(axes) = op { vec![("axes", axes_attr(axes))] } else { vec![] },
    make: |_, r| Ok(Op::Reverse(r.axes("axes")?)),
    samples: || {
        vec![
            Sample::smooth(Op::Reverse([0].as_slice().into()), vec![x(&[4])]),
            Sample::smooth(Op::Reverse([0, 2].as_slice().into()), vec![x(&[2, 3, 2])]),
        ]
    },
};
