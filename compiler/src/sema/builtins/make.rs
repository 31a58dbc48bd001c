//! Tensors from nothing: `ones[B, 3]`, `iota[N]`, `linspace[N](a, b)`, `randn[4, 7](seed: 1)`.

use super::place::filled;
use super::{Builtin, row};
use crate::diag::Diagnostic;
use crate::sema::args::Args;
use crate::sema::cx::{Elab, R};
use crate::sema::signature::{Brackets, Form, Kind, need, sig, sized};
use crate::sema::tensor::{Num, Opd, Val, make};
use crate::sema::value::{Elem, Tensor, Type, Value};
use nn_runtime::dtype::DType;

const VALUE: &[Form] = &[&[need("value", Kind::Tensor)]];
const NOTHING: &[Form] = &[&[]];

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sized("ones", Brackets::Shape, NOTHING),
        "Ones of a shape: the program's float, f32 or f64, unless the expected type says otherwise.",
        "close(ones[2], [1.0, 1.0], 0)",
        |el, a| constant(el, 1.0, a),
    ),
    row(
        sized("zeros", Brackets::Shape, NOTHING),
        "Zeros of a shape, as `ones`.",
        "close(zeros[2, 2], [[0.0, 0.0], [0.0, 0.0]], 0)",
        |el, a| constant(el, 0.0, a),
    ),
    row(
        sized("fill", Brackets::Shape, VALUE),
        "One value at every place of a shape: [..T] -> [..S, ..T]; a number is the program's float unless the expected type says otherwise.",
        "close(fill[2](0.5), [0.5, 0.5], 0)",
        fill,
    ),
    row(sized("full", Brackets::Shape, VALUE), "The same as `fill`.", "close(full[2](0.5), [0.5, 0.5], 0)", fill),
    row(sized("iota", Brackets::One, NOTHING), "0 to N - 1 as idx<N>[N].", "all(iota[3] == [0, 1, 2])", iota),
    row(
        sig("arange", &[&[need("hi", Kind::Int)], &[need("lo", Kind::Int), need("hi", Kind::Int)]]),
        "Whole numbers from `lo` (0) to hi - 1, as i32[hi - lo].",
        "all(arange(2, 5) == [2, 3, 4]) and all(arange(2) == [0, 1])",
        arange,
    ),
    row(
        sized("linspace", Brackets::One, &[&[need("lo", Kind::Number), need("hi", Kind::Number)]]),
        "N evenly spaced numbers with both ends: the program's float[N], or f64[N] where that is expected, and not rounded where it meets f64; N may come from the expected type.",
        "close(linspace[3](0, 1), [0.0, 0.5, 1.0], 1e-7)",
        linspace,
    ),
    row(
        sized("randn", Brackets::Shape, &[&[need("seed", Kind::Int)]]),
        "Standard normal numbers that are fixed by the seed, the same at every call: the program's float[..S].",
        "close(randn[4](seed: 1), randn[4](seed: 1), 0)",
        randn,
    ),
];

/// Most elements of a table that the compiler computes and stores.
const MAX_TABLE: u64 = 1 << 22;

/// The dtype of the expected type, the program's float if nothing is expected.
fn expected(el: &Elab<'_>, a: &Args) -> DType {
    match &a.expect {
        Some(Type::Tensor(t)) => match t.elem_or(el.float) {
            Elem::Plain(d) => d,
            Elem::Idx(_) => DType::I32,
        },
        _ => el.float,
    }
}

fn constant(el: &mut Elab<'_>, x: f64, a: Args) -> R<Value> {
    let dims = a.dims(el)?;
    let dtype = expected(el, &a);
    let id = el.full(dtype, &dims, x);
    Ok(Value::Tensor(Tensor { id, elem: Elem::Plain(dtype), dims }))
}

fn fill(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let dims = a.dims(el)?;
    let v = a.operand(el, "value")?;
    let span = a.span;
    if let Val::Num(n @ (Num::Int(_) | Num::Float(_))) = v.val {
        let dtype = match expected(el, &a) {
            d if d == DType::Bool || d.is_int() && matches!(n, Num::Float(_)) => el.float,
            d => d,
        };
        el.fits(&n.into(), dtype, v.span)?;
        let t = make::full(el, dtype, n.f64(), dims);
        return Ok(Value::Tensor(t));
    }
    filled(el, &v, dims, span)
}

fn iota(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let n = a.one_dim(el)?;
    Ok(Value::Tensor(make::iota(el, n)))
}

fn arange(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let lo = if a.form == 0 { 0 } else { a.int(el, "lo")? };
    let hi = a.int(el, "hi")?;
    let span = a.span;
    let n = match hi.checked_sub(lo).and_then(|n| u64::try_from(n).ok()) {
        Some(n) => el.nameless(n),
        None => return el.err("E0209", span, format!("`arange` from {lo} to {hi} is empty")),
    };
    el.check_shape(std::slice::from_ref(&n), span)?;
    for end in [lo, hi.saturating_sub(1).max(lo)] {
        el.fits(&Value::Int(end), DType::I32, span)?;
    }
    let t = make::iota(el, n);
    let x = Opd::new(t, span);
    let y = Opd::new(Num::Int(lo), span);
    let r = crate::sema::tensor::arith::binary(el, crate::sema::tensor::arith::BinOp::Add, &x, &y, span);
    el.failed(r).map(Value::from)
}

fn linspace(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let n = a.one_dim(el)?;
    let (lo, hi) = (a.float(el, "lo")?, a.float(el, "hi")?);
    let span = a.span;
    table_fits(el, n.size, span)?;
    if !lo.is_finite() || !hi.is_finite() {
        return el.err("E0209", span, format!("the ends of `linspace` must be finite, found {lo} and {hi}"));
    }
    let dtype = if expected(el, &a) == DType::F64 { DType::F64 } else { DType::F32 };
    Ok(Value::Tensor(make::linspace(el, dtype, lo, hi, n)))
}

fn randn(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let dims = a.dims(el)?;
    let seed = a.int(el, "seed")?;
    let span = a.span;
    table_fits(el, dims.iter().map(|d| d.size).product(), span)?;
    Ok(Value::Tensor(make::randn(el, seed as u64, dims)))
}

fn table_fits(el: &mut Elab<'_>, n: u64, span: crate::source::Span) -> R<()> {
    if n <= MAX_TABLE {
        return Ok(());
    }
    let d = Diagnostic::error("E0902", span, format!("a table of {n} elements is too large to be part of the program"))
        .note(format!("at most {MAX_TABLE} elements are supported"));
    Err(el.error(d))
}
