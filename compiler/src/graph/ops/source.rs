//! Sources: constants, counters, inputs and random bits.

use super::attr::Attr;
use super::{Class, Literal, Op, OpSpec, Sample, arity};
use crate::graph::tensor::round;
use crate::graph::ty::TensorTy;
use nn_runtime::dtype::DType;
use nn_runtime::philox;

/// The row of `const`.
pub static CONST: OpSpec = OpSpec {
    name: "const",
    class: Class::Source,
    doc: "A constant: a scalar or a dense table in row-major order",
    grad: "none",
    infer: |op, x, _| {
        arity(op, x, 0)?;
        let Op::Const(lit) = op else { return Err("not a const".into()) };
        let ty = lit.ty();
        if ty.checked_numel() != Some(lit.data().len() as u64) {
            return Err(format!("a constant {ty} has {} elements", lit.data().len()));
        }
        match lit.data().iter().find(|&&v| !v.is_nan() && round(ty.dtype, v) != v || v.is_nan() && !ty.dtype.is_float())
        {
            Some(v) => Err(format!("a constant {ty} cannot hold {v}")),
            None => Ok(ty),
        }
    },
    eval: |op, _, _, _| if let Op::Const(lit) = op { lit.data().to_vec() } else { vec![] },
    vjp: None,
    attrs: |op| match op {
        Op::Const(Literal::Scalar(d, x)) => vec![("value", Attr::Float(*d, *x))],
        Op::Const(Literal::Dense(ty, xs)) => vec![("value", Attr::Floats(ty.dtype, xs.to_vec()))],
        _ => vec![],
    },
    make: |ty, r| {
        let (list, mut xs) = r.floats("value")?;
        if ty.dtype.is_float() {
            xs.iter_mut().for_each(|x| *x = round(ty.dtype, *x));
        }
        match xs.as_slice() {
            [x] if !list && ty.rank() == 0 => Ok(Op::Const(Literal::Scalar(ty.dtype, *x))),
            _ => Ok(Op::Const(Literal::Dense(ty.clone(), xs.into()))),
        }
    },
    samples: || {
        let table = TensorTy::new(DType::F32, [2, 2]);
        vec![
            Sample::smooth(Op::Const(Literal::Scalar(DType::I32, -7.0)), vec![]),
            Sample::smooth(Op::Const(Literal::Dense(table, [0.5, 1.0, f64::INFINITY, -0.0].into())), vec![]),
        ]
    },
};

/// The row of `iota`.
pub static IOTA: OpSpec = OpSpec {
    name: "iota",
    class: Class::Source,
    doc: "Counts from 0 along `axis`, as i32",
    grad: "none",
    infer: |op, x, _| {
        arity(op, x, 0)?;
        let Op::Iota { shape, axis } = op else { return Err("not an iota".into()) };
        let ty = TensorTy { dtype: DType::I32, shape: shape.clone() };
        super::axis_of(op, *axis, &ty)?;
        Ok(ty)
    },
    eval: |op, _, ty, _| {
        let Op::Iota { shape, axis } = op else { return vec![] };
        let axis = *axis as usize;
        let inner: u64 = shape[axis + 1..].iter().product();
        (0..ty.numel()).map(|e| (e / inner % shape[axis]) as f64).collect()
    },
    vjp: None,
    attrs: |op| if let Op::Iota { axis, .. } = op { vec![("axis", Attr::Int((*axis).into()))] } else { vec![] },
    make: |ty, r| Ok(Op::Iota { shape: ty.shape.clone(), axis: r.int32("axis")? }),
    samples: || vec![Sample::smooth(Op::Iota { shape: [2, 3].as_slice().into(), axis: 1 }, vec![])],
};

/// The row of `input`.
pub static INPUT: OpSpec = OpSpec {
    name: "input",
    class: Class::Source,
    doc: "Reads a declared slot: a parameter, a state, a column of the batch or a scalar of the step",
    grad: "none",
    infer: |op, x, slots| {
        arity(op, x, 0)?;
        let Op::Input { slot } = op else { return Err("not an input".into()) };
        match slots.get(*slot as usize) {
            Some(s) => Ok(s.ty.clone()),
            None => Err(format!("`input` reads slot {slot}, but there are {}", slots.len())),
        }
    },
    eval: |op, cx, _, _| if let Op::Input { slot } = op { cx.feeds[*slot as usize].data.clone() } else { vec![] },
    vjp: None,
    attrs: |op| if let Op::Input { slot } = op { vec![("slot", Attr::Int((*slot).into()))] } else { vec![] },
    make: |_, r| Ok(Op::Input { slot: r.int32("slot")? }),
    samples: Vec::new,
};

/// The row of `rng`.
pub static RNG: OpSpec = OpSpec {
    name: "rng",
    class: Class::Source,
    doc: "Uniform random bits, as u32: Philox4x32-10 of (seed, step, site, element)",
    grad: "none",
    infer: |op, x, _| {
        arity(op, x, 0)?;
        let Op::Rng { shape, .. } = op else { return Err("not an rng".into()) };
        Ok(TensorTy { dtype: DType::U32, shape: shape.clone() })
    },
    eval: |op, cx, ty, _| {
        let Op::Rng { site, .. } = op else { return vec![] };
        (0..ty.numel()).map(|e| philox::element(cx.seed, cx.step, *site, e).into()).collect()
    },
    vjp: None,
    attrs: |op| if let Op::Rng { site, .. } = op { vec![("site", Attr::Int((*site).into()))] } else { vec![] },
    make: |ty, r| Ok(Op::Rng { site: r.int32("site")?, shape: ty.shape.clone() }),
    samples: || vec![Sample::smooth(Op::Rng { site: 3, shape: [3, 50].as_slice().into() }, vec![])],
};
