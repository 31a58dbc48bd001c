//! Ops whose addresses depend on data. Windows are clamped to fit; single indices outside read 0 and write nothing.

use super::attr::Attr;
use super::elementwise::Ew;
use super::{Class, Fill, Op, OpSpec, Sample, ScatterKind, VjpArgs, arity, axis_of};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::tensor::{Tensor, offsets, strides};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

fn x(shape: &[u64]) -> (TensorTy, Fill) {
    (TensorTy::new(DType::F32, shape.iter().copied()), Fill::Distinct(0.0))
}

fn updates(shape: &[u64]) -> (TensorTy, Fill) {
    (TensorTy::new(DType::F32, shape.iter().copied()), Fill::Distinct(0.0625))
}

fn idx(shape: &[u64], values: &'static [f64]) -> (TensorTy, Fill) {
    (TensorTy::new(DType::I32, shape.iter().copied()), Fill::These(values))
}

/// The row of `dyn_slice`.
pub static DYN_SLICE: OpSpec = OpSpec {
    name: "dyn_slice",
    class: Class::Index,
    doc: "`x, i0, i1, ..`: the window of the result's shape that starts at one scalar i32 per axis, clamped to fit",
    grad: "`dyn_update` of zeros",
    infer: |op, x, _| {
        let Op::DynSlice { sizes } = op else { return Err("not a dyn_slice".into()) };
        let first = x.first().ok_or("`dyn_slice` takes an operand and its indices")?;
        let ty = TensorTy { dtype: first.dtype, shape: sizes.clone() };
        window(op, first, &ty, &x[1..])?;
        Ok(ty)
    },
    eval: |_, _, ty, x| window_offsets(&x[0].ty, ty, &x[1..]).into_iter().map(|o| x[0].data[o as usize]).collect(),
    vjp: Some(|b, _, a| {
        let zero = b.zeros_like(a.x[0]);
        let mut args = vec![zero, a.dy];
        args.extend(&a.x[1..]);
        let mut out = vec![None; a.x.len()];
        out[0] = Some(b.op(Op::DynUpdate, &args));
        out
    }),
    attrs: |_| vec![],
    make: |ty, _| Ok(Op::DynSlice { sizes: ty.shape.clone() }),
    samples: || {
        let op = || Op::DynSlice { sizes: [2, 2].as_slice().into() };
        vec![
            Sample::smooth(op(), vec![x(&[3, 4]), idx(&[], &[1.0]), idx(&[], &[2.0])]),
            Sample::smooth(op(), vec![x(&[3, 4]), idx(&[], &[-5.0]), idx(&[], &[9.0])]),
        ]
    },
};

/// The row of `dyn_update`.
pub static DYN_UPDATE: OpSpec = OpSpec {
    name: "dyn_update",
    class: Class::Index,
    doc: "`x, u, i0, i1, ..`: x with u written over the window that starts at one scalar i32 per axis, clamped to fit",
    grad: "dx = `dyn_update` of dy with zeros; du = `dyn_slice` of dy",
    infer: |op, x, _| {
        let [first, u, at @ ..] = x else { return Err("`dyn_update` takes two operands and their indices".into()) };
        if first.dtype != u.dtype {
            return Err(format!("`dyn_update` takes operands of one dtype, got {first} and {u}"));
        }
        window(op, first, u, at)?;
        Ok((*first).clone())
    },
    eval: |_, _, ty, x| {
        let mut out = x[0].data.clone();
        for (o, &v) in window_offsets(ty, &x[1].ty, &x[2..]).into_iter().zip(&x[1].data) {
            out[o as usize] = v;
        }
        out
    },
    vjp: Some(|b, _, a| {
        let mut out = vec![None; a.x.len()];
        out[0] = a.need[0].then(|| {
            let zero = b.zeros_like(a.x[1]);
            let mut args = vec![a.dy, zero];
            args.extend(&a.x[2..]);
            b.op(Op::DynUpdate, &args)
        });
        out[1] = a.need[1].then(|| {
            let mut args = vec![a.dy];
            args.extend(&a.x[2..]);
            let sizes = b.shape(a.x[1]);
            b.op(Op::DynSlice { sizes }, &args)
        });
        out
    }),
    attrs: |_| vec![],
    make: |_, _| Ok(Op::DynUpdate),
    samples: || {
        let at = |i, j| vec![x(&[3, 4]), x(&[2, 2]), idx(&[], i), idx(&[], j)];
        vec![Sample::smooth(Op::DynUpdate, at(&[1.0], &[2.0])), Sample::smooth(Op::DynUpdate, at(&[-5.0], &[9.0]))]
    },
};

/// The row of `gather`.
pub static GATHER: OpSpec = OpSpec {
    name: "gather",
    class: Class::Index,
    doc: "`x, idx`: axis `axis` of x is replaced by the axes of idx; an index outside the axis reads 0",
    grad: "`scatter add` to zeros",
    infer: |op, x, _| {
        arity(op, x, 2)?;
        let Op::Gather { axis } = op else { return Err("not a gather".into()) };
        gathered(op, x[0], x[1], *axis)
    },
    eval: |op, _, _, x| {
        let Op::Gather { axis } = op else { return vec![] };
        let read = |o: Option<usize>| o.map_or(0.0, |o| x[0].data[o]);
        index_offsets(&x[0].ty, x[1], *axis).into_iter().map(read).collect()
    },
    vjp: Some(|b, op, a| {
        let Op::Gather { axis } = op else { return vec![None, None] };
        let zero = b.zeros_like(a.x[0]);
        vec![Some(b.scatter(ScatterKind::Add, zero, a.x[1], a.dy, *axis)), None]
    }),
    attrs: |op| if let Op::Gather { axis } = op { vec![("axis", Attr::Int((*axis).into()))] } else { vec![] },
    make: |_, r| Ok(Op::Gather { axis: r.int32("axis")? }),
    samples: || {
        vec![
            Sample::smooth(Op::Gather { axis: 0 }, vec![x(&[4, 2]), idx(&[3], &[2.0, 0.0, 2.0])]),
            Sample::smooth(Op::Gather { axis: 1 }, vec![x(&[2, 3]), idx(&[2, 2], &[-1.0, 2.0, 3.0, 0.0])]),
        ]
    },
};

/// The row of `scatter`.
pub static SCATTER: OpSpec = OpSpec {
    name: "scatter",
    class: Class::Index,
    doc: "`x, idx, u`: x with u, shaped as `gather(x, idx)`, combined in at idx in index order; indices outside are dropped",
    grad: "du = `gather` of dy (set: only the last writer; max: only the winner); dx = dy, except where x was replaced",
    infer: |op, x, _| {
        arity(op, x, 3)?;
        let Op::Scatter { axis, kind } = op else { return Err("not a scatter".into()) };
        let want = gathered(op, x[0], x[1], *axis)?;
        if want != *x[2] {
            return Err(format!("`scatter` into {} at {} takes updates {want}, got {}", x[0], x[1], x[2]));
        }
        if x[0].dtype == DType::Bool && *kind != ScatterKind::Set {
            return Err(format!("`scatter {}` takes floats or ints, got {}", kind.name(), x[0]));
        }
        Ok(x[0].clone())
    },
    eval: |op, _, ty, x| {
        let Op::Scatter { axis, kind } = op else { return vec![] };
        let mut out = x[0].data.clone();
        for (o, &u) in index_offsets(ty, x[1], *axis).into_iter().zip(&x[2].data) {
            let Some(o) = o else { continue };
            out[o] = match kind {
                ScatterKind::Set => u,
                ScatterKind::Add => super::ReduceKind::Sum.combine(ty.dtype, out[o], u),
                ScatterKind::Max => super::ReduceKind::Max.combine(ty.dtype, out[o], u),
            };
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Scatter { axis, kind } = op else { return vec![None; 3] };
        let (dx, du) = match kind {
            ScatterKind::Add => (Some(a.dy), a.need[2].then(|| b.gather(a.dy, a.x[1], *axis))),
            ScatterKind::Set => set_vjp(b, a, *axis),
            ScatterKind::Max => max_vjp(b, a, *axis),
        };
        vec![dx, None, du]
    }),
    attrs: |op| match op {
        Op::Scatter { kind, axis } => vec![("kind", Attr::Word(kind.name())), ("axis", Attr::Int((*axis).into()))],
        _ => vec![],
    },
    make: |_, r| {
        Ok(Op::Scatter { kind: r.one_of("kind", &ScatterKind::ALL, ScatterKind::name)?, axis: r.int32("axis")? })
    },
    samples: || {
        let mut out = vec![];
        for kind in ScatterKind::ALL {
            let rows = vec![x(&[4, 2]), idx(&[3], &[2.0, 0.0, 2.0]), updates(&[3, 2])];
            let cols = vec![x(&[2, 3]), idx(&[2, 2], &[-1.0, 2.0, 3.0, 2.0]), updates(&[2, 2, 2])];
            let smooth = kind != ScatterKind::Max;
            out.push(Sample { op: Op::Scatter { kind, axis: 0 }, x: rows, smooth });
            out.push(Sample { op: Op::Scatter { kind, axis: 1 }, x: cols, smooth });
        }
        out
    },
};

/// Checks a window and its indices.
fn window(op: &Op, of: &TensorTy, window: &TensorTy, at: &[&TensorTy]) -> Result<(), String> {
    let name = op.name();
    if window.rank() != of.rank() || window.shape.iter().zip(&of.shape).any(|(w, n)| w > n) {
        return Err(format!("`{name}`: a window {window} does not fit {of}"));
    }
    if at.len() != of.rank() || at.iter().any(|t| **t != TensorTy::scalar(DType::I32)) {
        return Err(format!("`{name}` on {of} takes {} scalar i32 indices", of.rank()));
    }
    Ok(())
}

/// Offsets in `of` of a window's elements.
fn window_offsets(of: &TensorTy, window: &TensorTy, at: &[&Tensor]) -> Vec<i64> {
    let st = strides(&of.shape);
    let start = |i: usize| at[i].data[0].clamp(0.0, (of.shape[i] - window.shape[i]) as f64) as i64 * st[i];
    offsets(&window.shape, &st, (0..of.rank()).map(start).sum())
}

/// The type of a gather.
fn gathered(op: &Op, t: &TensorTy, idx: &TensorTy, axis: u32) -> Result<TensorTy, String> {
    let axis = axis_of(op, axis, t)?;
    if !idx.dtype.is_int() {
        return Err(format!("`{}` takes int indices, got {idx}", op.name()));
    }
    let parts = [&t.shape[..axis], &idx.shape, &t.shape[axis + 1..]];
    Ok(TensorTy { dtype: t.dtype, shape: parts.into_iter().flatten().copied().collect() })
}

/// For every element of the gather's result, its offset in `of`, if the index is inside.
fn index_offsets(of: &TensorTy, idx: &Tensor, axis: u32) -> Vec<Option<usize>> {
    let k = axis as usize;
    let outer: u64 = of.shape[..k].iter().product();
    let inner: u64 = of.shape[k + 1..].iter().product();
    let mut out = vec![];
    for o in 0..outer {
        for &i in &idx.data {
            let inside = i >= 0.0 && i < of.shape[k] as f64;
            out.extend((0..inner).map(|e| inside.then(|| ((o * of.shape[k] + i as u64) * inner + e) as usize)));
        }
    }
    out
}

/// `1, 2, ..` for the indices in order, in the shape of `idx`.
fn ordinals(b: &mut Builder, idx: ValueId) -> ValueId {
    let ty = TensorTy { dtype: DType::I32, shape: b.shape(idx) };
    let n = b.iota(&[ty.numel()], 0);
    let n = b.reshape(n, &ty.shape);
    let one = b.splat(&ty, 1.0);
    b.ew(Ew::Add, &[n, one])
}

/// Axes of `idx` within the gather's result.
fn idx_axes(b: &Builder, idx: ValueId, axis: u32) -> Vec<u32> {
    (axis..axis + b.ty(idx).rank() as u32).collect()
}

/// Replaced elements of x get nothing; of several updates at one place only the last, found by scattering ordinals.
fn set_vjp(b: &mut Builder, a: VjpArgs, axis: u32) -> (Option<ValueId>, Option<ValueId>) {
    let [x, idx, u] = *a.x else { return (None, None) };
    let dx = a.need[0].then(|| {
        let zero = b.zeros_like(u);
        b.scatter(ScatterKind::Set, a.dy, idx, zero, axis)
    });
    let du = a.need[2].then(|| {
        let n = ordinals(b, idx);
        let line = TensorTy::new(DType::I32, [b.shape(x)[axis as usize]]);
        let none = b.splat(&line, 0.0);
        let last = b.scatter(ScatterKind::Set, none, idx, n, 0);
        let last = b.gather(last, idx, 0);
        let won = b.ew(Ew::Eq, &[last, n]);
        let (shape, axes) = (b.shape(u), idx_axes(b, idx, axis));
        let won = b.broadcast(won, &shape, &axes);
        let g = b.gather(a.dy, idx, axis);
        let zero = b.zeros_like(g);
        b.ew(Ew::Select, &[won, g, zero])
    });
    (dx, du)
}

/// The winner is x where it equals the result, else the first update that does. `max` copies bits, so equality is exact.
fn max_vjp(b: &mut Builder, a: VjpArgs, axis: u32) -> (Option<ValueId>, Option<ValueId>) {
    let [x, idx, u] = *a.x else { return (None, None) };
    let kept = b.ew(Ew::Eq, &[x, a.y]);
    let dx = a.need[0].then(|| {
        let zero = b.zeros_like(a.dy);
        b.ew(Ew::Select, &[kept, a.dy, zero])
    });
    let du = a.need[2].then(|| {
        let top = b.gather(a.y, idx, axis);
        let equal = b.ew(Ew::Eq, &[u, top]);
        let taken = b.gather(kept, idx, axis);
        let free = b.ew(Ew::Not, &[taken]);
        let candidate = b.ew(Ew::And, &[equal, free]);
        // Earlier updates get larger numbers, so the largest candidate at a place is the first.
        let n = ordinals(b, idx);
        let count = b.ty(idx).numel() as f64 + 1.0;
        let count = b.splat_like(n, count);
        let rank = b.sub(count, n);
        let (shape, axes): (Shape, _) = (b.shape(u), idx_axes(b, idx, axis));
        let rank = b.broadcast(rank, &shape, &axes);
        let none = b.zeros_like(rank);
        let bid = b.ew(Ew::Select, &[candidate, rank, none]);
        let ty = TensorTy { dtype: DType::I32, shape: b.shape(x) };
        let floor = b.splat(&ty, 0.0);
        let best = b.scatter(ScatterKind::Max, floor, idx, bid, axis);
        let best = b.gather(best, idx, axis);
        let first = b.ew(Ew::Eq, &[best, rank]);
        let won = b.ew(Ew::And, &[candidate, first]);
        let g = b.gather(a.dy, idx, axis);
        let zero = b.zeros_like(g);
        b.ew(Ew::Select, &[won, g, zero])
    });
    (dx, du)
}
