//! Reductions over axes.

use super::attr::Attr;
use super::elementwise::Ew;
use super::{ArgKind, Class, Fill, Op, OpSpec, ReduceKind, Sample, VjpArgs, arity, axes_attr, axis_of};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::tensor::{offsets, strides};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

/// The row of `reduce`.
pub static REDUCE: OpSpec = OpSpec {
    name: "reduce",
    class: Class::Reduce,
    doc: "Combines over `axes`, which vanish; over nothing it gives 0, 1, or the least or greatest value; max and min give NaN if there is one",
    grad: "sum: `broadcast`; max, min: to the first extreme, found by `argreduce`; prod: exclusive products by `cumulate`",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Reduce { axes, .. } = op else { return Err("not a reduce".into()) };
        if x[0].dtype == DType::Bool {
            return Err(format!("`reduce` takes floats or ints, got {}", x[0]));
        }
        for &a in axes {
            axis_of(op, a, x[0])?;
        }
        if !axes.is_sorted_by(|a, b| a < b) {
            return Err(format!("`reduce` takes ascending axes, got {axes:?}"));
        }
        Ok(TensorTy { dtype: x[0].dtype, shape: without(&x[0].shape, axes) })
    },
    eval: |op, _, ty, x| {
        let Op::Reduce { kind, axes } = op else { return vec![] };
        let (kept, gone) = split_offsets(&x[0].ty.shape, axes);
        let one = |&o: &i64| {
            gone.iter()
                .fold(kind.identity(ty.dtype), |acc, &g| kind.combine(ty.dtype, acc, x[0].data[(o + g) as usize]))
        };
        kept.iter().map(one).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Reduce { kind, axes } = op else { return vec![None] };
        let shape = b.shape(a.x[0]);
        let keep = kept_axes(shape.len(), axes);
        vec![Some(match kind {
            ReduceKind::Sum => b.broadcast(a.dy, &shape, &keep),
            ReduceKind::Max => route_to_first(b, a, axes, ArgKind::Max),
            ReduceKind::Min => route_to_first(b, a, axes, ArgKind::Min),
            ReduceKind::Prod => exclusive_products(b, a, axes),
        })]
    }),
    attrs: |op| match op {
        Op::Reduce { kind, axes } => vec![("kind", Attr::Word(kind.name())), ("axes", axes_attr(axes))],
        _ => vec![],
    },
    make: |_, r| Ok(Op::Reduce { kind: r.one_of("kind", &ReduceKind::ALL, ReduceKind::name)?, axes: r.axes("axes")? }),
    samples: || {
        let mut out = vec![];
        for kind in ReduceKind::ALL {
            for (shape, axes) in [(&[3, 4][..], &[0][..]), (&[3, 4], &[1]), (&[2, 3, 2], &[0, 2]), (&[2, 3], &[0, 1])] {
                let smooth = matches!(kind, ReduceKind::Sum | ReduceKind::Prod);
                let fill = if smooth { Fill::Uniform(-1.5, 1.5) } else { Fill::Distinct(0.0) };
                let x = vec![(TensorTy::new(DType::F32, shape.iter().copied()), fill)];
                out.push(Sample { op: Op::Reduce { kind, axes: axes.into() }, x, smooth });
            }
            let x = vec![(TensorTy::new(DType::I32, [3, 4]), Fill::Uniform(-50.0, 50.0))];
            out.push(Sample::kinked(Op::Reduce { kind, axes: [1].as_slice().into() }, x));
        }
        out
    },
};

/// The row of `argreduce`.
pub static ARG_REDUCE: OpSpec = OpSpec {
    name: "argreduce",
    class: Class::Reduce,
    doc: "Position of the first extreme, or of the first NaN, along `axis`, which vanishes; as i32",
    grad: "none",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::ArgReduce { axis, .. } = op else { return Err("not an argreduce".into()) };
        let axis = axis_of(op, *axis, x[0])?;
        if x[0].dtype == DType::Bool {
            return Err(format!("`argreduce` takes floats or ints, got {}", x[0]));
        }
        if x[0].shape[axis] == 0 {
            return Err(format!("`argreduce` over axis {axis} of {}, which is empty", x[0]));
        }
        Ok(TensorTy { dtype: DType::I32, shape: without(&x[0].shape, &[axis as u32]) })
    },
    eval: |op, _, _, x| {
        let Op::ArgReduce { kind, axis } = op else { return vec![] };
        let (kept, gone) = split_offsets(&x[0].ty.shape, &[*axis]);
        let better = |v: f64, best: f64| match kind {
            ArgKind::Max => v > best || (v.is_nan() && !best.is_nan()),
            ArgKind::Min => v < best || (v.is_nan() && !best.is_nan()),
        };
        let first = |&o: &i64| {
            let at = |i: usize| x[0].data[(o + gone[i]) as usize];
            (1..gone.len()).fold(0, |best, i| if better(at(i), at(best)) { i } else { best }) as f64
        };
        kept.iter().map(first).collect()
    },
    vjp: None,
    attrs: |op| match op {
        Op::ArgReduce { kind, axis } => vec![("kind", Attr::Word(kind.name())), ("axis", Attr::Int((*axis).into()))],
        _ => vec![],
    },
    make: |_, r| Ok(Op::ArgReduce { kind: r.one_of("kind", &ArgKind::ALL, ArgKind::name)?, axis: r.int32("axis")? }),
    samples: || {
        let x = || vec![(TensorTy::new(DType::F32, [3, 4]), Fill::Distinct(0.0))];
        vec![
            Sample::kinked(Op::ArgReduce { kind: ArgKind::Max, axis: 0 }, x()),
            Sample::kinked(Op::ArgReduce { kind: ArgKind::Min, axis: 1 }, x()),
        ]
    },
};

/// The shape with some axes gone.
pub(crate) fn without(shape: &[u64], axes: &[u32]) -> Shape {
    shape.iter().enumerate().filter(|(i, _)| !axes.contains(&(*i as u32))).map(|(_, &n)| n).collect()
}

/// The axes that stay, ascending.
pub(crate) fn kept_axes(rank: usize, axes: &[u32]) -> Vec<u32> {
    (0..rank as u32).filter(|i| !axes.contains(i)).collect()
}

/// Offsets of the kept part and of the reduced part; an element's offset is the sum of one of each.
pub(crate) fn split_offsets(shape: &[u64], axes: &[u32]) -> (Vec<i64>, Vec<i64>) {
    let st = strides(shape);
    let pick = |which: &[u32]| {
        let n: Vec<u64> = which.iter().map(|&a| shape[a as usize]).collect();
        let s: Vec<i64> = which.iter().map(|&a| st[a as usize]).collect();
        offsets(&n, &s, 0)
    };
    (pick(&kept_axes(shape.len(), axes)), pick(axes))
}

/// A value with the given axes merged into one that is last.
fn merged(b: &mut Builder, v: ValueId, axes: &[u32]) -> ValueId {
    let shape = b.shape(v);
    let mut perm = kept_axes(shape.len(), axes);
    perm.extend(axes);
    let mut to = without(&shape, axes);
    to.push(axes.iter().map(|&a| shape[a as usize]).product());
    let v = b.permute(v, &perm);
    b.reshape(v, &to)
}

/// Undoes [`merged`] for the original shape.
fn unmerged(b: &mut Builder, v: ValueId, shape: &[u64], axes: &[u32]) -> ValueId {
    let mut perm = kept_axes(shape.len(), axes);
    perm.extend(axes);
    let permuted: Shape = perm.iter().map(|&p| shape[p as usize]).collect();
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, &p)| inverse[p as usize] = i as u32);
    let v = b.reshape(v, &permuted);
    b.permute(v, &inverse)
}

/// Leading axes `0 .. n`.
fn leading(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

/// The cotangent goes to the first extreme of each group.
fn route_to_first(b: &mut Builder, a: VjpArgs, axes: &[u32], kind: ArgKind) -> ValueId {
    let shape = b.shape(a.x[0]);
    let x = merged(b, a.x[0], axes);
    let m = b.shape(x);
    let last = m.len() as u32 - 1;
    if m.contains(&0) {
        return b.zeros_like(a.x[0]);
    }
    let first = b.arg_reduce(kind, x, last);
    let first = b.broadcast(first, &m, &leading(m.len() - 1));
    let here = b.iota(&m, last);
    let hit = b.ew(Ew::Eq, &[here, first]);
    let dy = b.broadcast(a.dy, &m, &leading(m.len() - 1));
    let zero = b.zeros_like(dy);
    let dx = if nn_runtime::mutant!("grad.reduce_first") { dy } else { b.ew(Ew::Select, &[hit, dy, zero]) };
    unmerged(b, dx, &shape, axes)
}

/// `dx[i] = dy * product of x[j] over j != i`, without division, so zeros are exact.
fn exclusive_products(b: &mut Builder, a: VjpArgs, axes: &[u32]) -> ValueId {
    let shape = b.shape(a.x[0]);
    let x = merged(b, a.x[0], axes);
    let m = b.shape(x);
    let last = m.len() as u32 - 1;
    if m.contains(&0) {
        return b.zeros_like(a.x[0]);
    }
    let before = exclusive_prod(b, x, last);
    let back = b.op(Op::Reverse([last].as_slice().into()), &[x]);
    let after = exclusive_prod(b, back, last);
    let after = b.op(Op::Reverse([last].as_slice().into()), &[after]);
    let others = b.ew(Ew::Mul, &[before, after]);
    let dy = b.broadcast(a.dy, &m, &leading(m.len() - 1));
    let dx = b.ew(Ew::Mul, &[dy, others]);
    unmerged(b, dx, &shape, axes)
}

/// Products of what comes before each element along an axis of at least one element.
fn exclusive_prod(b: &mut Builder, x: ValueId, axis: u32) -> ValueId {
    let (shape, dtype) = (b.shape(x), b.ty(x).dtype);
    let k = axis as usize;
    let y = b.op(Op::Cumulate { kind: ReduceKind::Prod, axis }, &[x]);
    let (zeros, ones) = (vec![0; shape.len()], vec![1; shape.len()]);
    let (mut stop, mut lo) = (shape.to_vec(), zeros.clone());
    stop[k] -= 1;
    lo[k] = 1;
    let y = b.slice(y, &zeros, &stop, &ones);
    let one = b.scalar(dtype, 1.0);
    b.pad(y, one, &lo, &zeros, &zeros)
}
