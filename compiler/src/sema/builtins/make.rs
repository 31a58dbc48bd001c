//! Tensors from nothing: `ones[B, 3]`, `iota[N]`, `linspace[N](a, b)`, `randn[4, 7](seed: 1)`.

use super::args::Args;
use super::place::filled;
use crate::diag::Diagnostic;
use crate::sema::cx::{Builtin, CallArgs, Elab, R};
use crate::sema::tensor::{Num, Opd, make};
use crate::sema::value::{Elem, Tensor, Type, Value};

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    Builtin { name: "ones", call: |el, a| constant(el, "ones", 1.0, a) },
    Builtin { name: "zeros", call: |el, a| constant(el, "zeros", 0.0, a) },
    Builtin { name: "fill", call: |el, a| fill(el, "fill", a) },
    Builtin { name: "full", call: |el, a| fill(el, "full", a) },
    Builtin { name: "iota", call: iota },
    Builtin { name: "arange", call: arange },
    Builtin { name: "linspace", call: linspace },
    Builtin { name: "randn", call: randn },
];

/// Most elements of a table that the compiler computes and stores.
const MAX_TABLE: u64 = 1 << 22;

/// `ones[B, 3]`, also called: `ones[B, 3]()`. Floats unless a type says otherwise.
fn constant(el: &mut Elab<'_>, name: &'static str, x: f64, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let dims = a.dims(el)?;
    let dtype = match &a.rest.expect {
        Some(Type::Tensor(t)) => match t.elem_or_f32() {
            Elem::Plain(d) => d,
            Elem::Idx(_) => nn_runtime::dtype::DType::I32,
        },
        _ => crate::sema::tensor::FLOAT,
    };
    a.end(el)?;
    let id = el.full(dtype, &dims, x);
    Ok(Value::Tensor(Tensor { id, elem: Elem::Plain(dtype), dims }))
}

/// `fill[B, 3](v)`
fn fill(el: &mut Elab<'_>, name: &'static str, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let dims = a.dims(el)?;
    let v = a.operand(el, "value")?;
    let span = a.span();
    a.end(el)?;
    filled(el, &v, dims, span)
}

/// `iota[N]`: 0 to N - 1 as `idx<N>[N]`.
fn iota(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "iota", args);
    let n = a.one_dim(el)?;
    a.end(el)?;
    Ok(Value::Tensor(make::iota(el, n)))
}

/// `arange(lo, hi)`, `arange(hi)`: i32 from lo to hi - 1, both static.
fn arange(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "arange", args);
    let first = a.int(el, "lo")?;
    let (lo, hi) = match a.rest.take("hi") {
        Some((v, s)) => (first, el.as_int(&v, s, "`hi`")?),
        None => (0, first),
    };
    let span = a.span();
    a.end(el)?;
    let n = match hi.checked_sub(lo).and_then(|n| u64::try_from(n).ok()) {
        Some(n) => el.nameless(n),
        None => return el.err("E0209", span, format!("`arange` from {lo} to {hi} is empty")),
    };
    el.check_shape(std::slice::from_ref(&n), span)?;
    let t = make::iota(el, n);
    let x = Opd::new(t, span);
    let y = Opd::new(Num::Int(lo), span);
    let r = crate::sema::tensor::arith::binary(el, crate::sema::tensor::arith::BinOp::Add, &x, &y, span);
    el.failed(r).map(Value::from)
}

/// `linspace[N](lo, hi)`: N values, both ends included; N may come from the expected type.
fn linspace(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "linspace", args);
    let n = a.one_dim(el)?;
    let (lo, ls) = a.value(el, "lo")?;
    let lo = el.as_float(&lo, ls, "`lo`")?;
    let (hi, hs) = a.value(el, "hi")?;
    let hi = el.as_float(&hi, hs, "`hi`")?;
    let span = a.span();
    a.end(el)?;
    table_fits(el, n.size, span)?;
    Ok(Value::Tensor(make::linspace(el, lo, hi, n)))
}

/// `randn[4, 7](seed: 1)`: standard normal numbers, the same at every call.
fn randn(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "randn", args);
    let dims = a.dims(el)?;
    let seed = a.int(el, "seed")?;
    let span = a.span();
    a.end(el)?;
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
