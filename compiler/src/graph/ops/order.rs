//! Ops that go along an axis in order.

use super::attr::Attr;
use super::elementwise::Ew;
use super::reduce::split_offsets;
use super::{Class, Fill, Op, OpSpec, ReduceKind, Sample, VjpArgs, arity, axis_of};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::tensor::range;
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

/// The row of `cumulate`.
pub static CUMULATE: OpSpec = OpSpec {
    name: "cumulate",
    class: Class::Order,
    doc: "Inclusive running reduction along `axis`",
    grad: "sum: the reversed running sum; prod, max, min: sums over a square table of the axis",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Cumulate { axis, .. } = op else { return Err("not a cumulate".into()) };
        axis_of(op, *axis, x[0])?;
        if x[0].dtype == DType::Bool {
            return Err(format!("`cumulate` takes floats or ints, got {}", x[0]));
        }
        Ok(x[0].clone())
    },
    eval: |op, _, ty, x| {
        let Op::Cumulate { kind, axis } = op else { return vec![] };
        let (kept, along) = split_offsets(&ty.shape, &[*axis]);
        let mut out = vec![0.0; x[0].data.len()];
        for o in kept {
            let mut acc = kind.identity(ty.dtype);
            for &i in &along {
                acc = kind.combine(ty.dtype, acc, x[0].data[(o + i) as usize]);
                out[(o + i) as usize] = acc;
            }
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Cumulate { kind, axis } = op else { return vec![None] };
        if b.shape(a.x[0]).contains(&0) {
            return vec![Some(b.zeros_like(a.x[0]))];
        }
        vec![Some(match kind {
            ReduceKind::Sum => {
                let flip = Op::Reverse([*axis].as_slice().into());
                let g = b.op(flip.clone(), &[a.dy]);
                let g = b.op(op.clone(), &[g]);
                b.op(flip, &[g])
            }
            ReduceKind::Prod => prod_vjp(b, a, *axis),
            ReduceKind::Max => extreme_vjp(b, a, *axis, true),
            ReduceKind::Min => extreme_vjp(b, a, *axis, false),
        })]
    }),
    attrs: |op| match op {
        Op::Cumulate { kind, axis } => vec![("kind", Attr::Word(kind.name())), ("axis", Attr::Int((*axis).into()))],
        _ => vec![],
    },
    make: |_, r| {
        Ok(Op::Cumulate { kind: r.one_of("kind", &ReduceKind::ALL, ReduceKind::name)?, axis: r.int32("axis")? })
    },
    samples: || {
        let mut out = vec![];
        for kind in ReduceKind::ALL {
            for axis in [0, 1] {
                let smooth = matches!(kind, ReduceKind::Sum | ReduceKind::Prod);
                let fill = if smooth { Fill::Uniform(-1.5, 1.5) } else { Fill::Distinct(0.0) };
                let x = vec![(TensorTy::new(DType::F32, [3, 4]), fill)];
                out.push(Sample { op: Op::Cumulate { kind, axis }, x, smooth });
            }
        }
        out
    },
};

/// The square table of an axis: axis `axis` becomes two, `from` (of the operand) and `to` (of the result).
struct Square {
    shape: Shape,
    from: u32,
    to: u32,
    /// Where the result's axes go when its axis is `to`.
    as_to: Vec<u32>,
}

impl Square {
    fn new(shape: &[u64], axis: u32) -> Self {
        let (k, n) = (axis as usize, shape.len() as u32);
        let mut square: Shape = shape.into();
        square.insert(k, shape[k]);
        let as_to = (0..=n).filter(|&i| i != axis).collect();
        Square { shape: square, from: axis, to: axis + 1, as_to }
    }
}

/// `dx[j] = sum over i >= j of dy[i] * product of x[k] over k <= i, k != j`: a running product along `to` of a table that
/// holds x with a 1 in place of x[j]. No division, so zeros are exact.
fn prod_vjp(b: &mut Builder, a: VjpArgs, axis: u32) -> ValueId {
    let s = Square::new(&b.shape(a.x[0]), axis);
    let x = b.broadcast(a.x[0], &s.shape, &s.as_to);
    let (i, j) = (b.iota(&s.shape, s.to), b.iota(&s.shape, s.from));
    let here = b.ew(Ew::Eq, &[i, j]);
    let one = b.splat_like(x, 1.0);
    let others = b.ew(Ew::Select, &[here, one, x]);
    let others = b.op(Op::Cumulate { kind: ReduceKind::Prod, axis: s.to }, &[others]);
    let dy = b.broadcast(a.dy, &s.shape, &s.as_to);
    let g = b.ew(Ew::Mul, &[dy, others]);
    let late = b.ew(Ew::Ge, &[i, j]);
    let zero = b.zeros_like(g);
    let g = b.ew(Ew::Select, &[late, g, zero]);
    b.reduce(ReduceKind::Sum, g, &[s.to])
}

/// Each result's cotangent goes to the first element that set the running extreme (or the first NaN).
fn extreme_vjp(b: &mut Builder, a: VjpArgs, axis: u32, max: bool) -> ValueId {
    let (shape, dtype, k) = (b.shape(a.x[0]), b.ty(a.x[0]).dtype, axis as usize);
    let (zeros, ones) = (vec![0; shape.len()], vec![1; shape.len()]);
    let (mut stop, mut lo) = (shape.to_vec(), zeros.clone());
    stop[k] -= 1;
    lo[k] = 1;
    let before = b.slice(a.y, &zeros, &stop, &ones);
    let (least, greatest) = range(dtype);
    let start = b.scalar(dtype, if max { least } else { greatest });
    let before = b.pad(before, start, &lo, &zeros, &zeros);
    let same = b.ew(if max { Ew::Le } else { Ew::Ge }, &[a.x[0], before]);
    let beats = b.ew(Ew::Not, &[same]);
    let number = b.ew(Ew::Eq, &[before, before]);
    let sets = b.ew(Ew::And, &[beats, number]);
    let at = b.iota(&shape, axis);
    let none = b.zeros_like(at);
    let at = b.ew(Ew::Select, &[sets, at, none]);
    let at = b.op(Op::Cumulate { kind: ReduceKind::Max, axis }, &[at]);
    let s = Square::new(&shape, axis);
    let at = b.broadcast(at, &s.shape, &s.as_to);
    let j = b.iota(&s.shape, s.from);
    let mine = b.ew(Ew::Eq, &[at, j]);
    let dy = b.broadcast(a.dy, &s.shape, &s.as_to);
    let zero = b.zeros_like(dy);
    let g = b.ew(Ew::Select, &[mine, dy, zero]);
    b.reduce(ReduceKind::Sum, g, &[s.to])
}
