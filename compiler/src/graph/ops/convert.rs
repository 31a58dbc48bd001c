//! Elementwise ops with attributes: conversion and tags; and the row that speaks for all of `elementwise.rs`.

use super::attr::Attr;
use super::elementwise::Ew;
use super::{Class, Fill, Op, OpSpec, Sample, Tag, arity};
use crate::graph::tensor::convert;
use crate::graph::ty::TensorTy;
use nn_runtime::dtype::DType;

/// What every elementwise op has in common; the rest is in [`Ew::spec`].
pub static EW: OpSpec = OpSpec {
    name: "elementwise",
    class: Class::Elementwise,
    doc: "An elementwise op on operands of one shape",
    grad: "by row",
    infer: |op, x, _| if let Op::Ew(e) = op { e.infer(x) } else { Err("not elementwise".into()) },
    eval: |op, _, ty, x| {
        let Op::Ew(e) = op else { return vec![] };
        let dtypes: Vec<DType> = x.iter().map(|t| t.ty.dtype).collect();
        let (d, f) = (e.data_dtype(&dtypes), e.spec().eval);
        let mut at = vec![0.0; x.len()];
        let element = |i: usize| {
            at.iter_mut().zip(x).for_each(|(a, t)| *a = t.data[i]);
            f(d, &at)
        };
        (0..ty.numel() as usize).map(element).collect()
    },
    vjp: Some(|b, op, a| match op {
        Op::Ew(e) => e.spec().vjp.map_or_else(|| vec![None; a.x.len()], |f| f(b, a)),
        _ => vec![None; a.x.len()],
    }),
    attrs: |_| vec![],
    make: |_, _| Err("an elementwise op is made by its own name".into()),
    samples: || Ew::ALL.iter().map(|&e| ew_sample(e, DType::F32)).collect(),
};

/// A sample of an elementwise op at a dtype that its rule accepts (another float or int in place of one it does not).
fn ew_sample(e: Ew, float: DType) -> Sample {
    let row = e.spec();
    let d = if row.ty.accepts(float) { float } else { DType::I32 };
    let select = row.ty == super::elementwise::TyRule::Select;
    let operand = |(i, &(lo, hi)): (usize, &(f64, f64))| {
        let dtype = if select && i == 0 { DType::Bool } else { d };
        (TensorTy::new(dtype, [7]), Fill::Uniform(lo, hi))
    };
    Sample { op: Op::Ew(e), x: row.sample.iter().enumerate().map(operand).collect(), smooth: row.smooth }
}

/// The row of `cast`.
pub static CAST: OpSpec = OpSpec {
    name: "cast",
    class: Class::Elementwise,
    doc: "Converts to the result's dtype: ints wrap, float to int truncates and saturates (NaN gives 0), to bool is `x != 0`",
    grad: "`cast` back between floats, else none",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Cast(d) = op else { return Err("not a cast".into()) };
        Ok(x[0].with_dtype(*d))
    },
    eval: |_, _, ty, x| x[0].data.iter().map(|&v| convert(x[0].ty.dtype, ty.dtype, v)).collect(),
    vjp: Some(|b, _, a| {
        let from = b.ty(a.x[0]).dtype;
        vec![(from.is_float() && b.ty(a.dy).dtype.is_float()).then(|| b.cast(a.dy, from))]
    }),
    attrs: |_| vec![],
    make: |ty, _| Ok(Op::Cast(ty.dtype)),
    samples: || {
        let x = |d| vec![(TensorTy::new(d, [5]), Fill::Uniform(-3.0, 300.0))];
        vec![
            Sample::kinked(Op::Cast(DType::I32), x(DType::F32)),
            Sample::kinked(Op::Cast(DType::U8), x(DType::F32)),
            Sample::kinked(Op::Cast(DType::U32), x(DType::F32)),
            Sample::kinked(Op::Cast(DType::F32), x(DType::I32)),
            Sample::kinked(Op::Cast(DType::Bool), x(DType::I32)),
            Sample::smooth(Op::Cast(DType::F64), x(DType::F32)),
        ]
    },
};

/// The row of `tag`.
pub static TAG: OpSpec = OpSpec {
    name: "tag",
    class: Class::Elementwise,
    doc: "The identity with a meaning: `stop` cuts the gradient, `probe` names a value for tools, `variable` is no other value for derivatives",
    grad: "stop: none; others: dy",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        Ok(x[0].clone())
    },
    eval: |_, _, _, x| x[0].data.clone(),
    vjp: Some(|_, op, a| vec![(*op != Op::Tag(Tag::Stop)).then_some(a.dy)]),
    attrs: |op| match op {
        Op::Tag(Tag::Probe(name)) => vec![("kind", Attr::Word("probe")), ("name", Attr::Text(name.to_string()))],
        Op::Tag(Tag::Variable(n)) => vec![("kind", Attr::Word("variable")), ("number", Attr::Int(u64::from(*n)))],
        _ => vec![("kind", Attr::Word("stop"))],
    },
    make: |_, r| match r.word("kind")?.as_str() {
        "stop" => Ok(Op::Tag(Tag::Stop)),
        "probe" => Ok(Op::Tag(Tag::Probe(r.text("name")?.into()))),
        "variable" => Ok(Op::Tag(Tag::Variable(r.int32("number")?))),
        other => Err(format!("the attribute `kind` cannot be `{other}`")),
    },
    samples: || {
        let x = vec![(TensorTy::new(DType::F32, [4]), Fill::Uniform(-1.0, 1.0))];
        vec![Sample::smooth(Op::Tag(Tag::Probe("h".into())), x)]
    },
};
