//! Elementwise functions and choices.

use super::args::Args;
use crate::sema::cx::{Builtin, CallArgs, Elab, R};
use crate::sema::tensor::arith::{self, BinOp, UnFn};
use crate::sema::tensor::{self, Opd, Val};
use crate::sema::value::Value;

macro_rules! unary {
    ($($name:literal $f:ident),*) => {
        &[
            $(Builtin { name: $name, call: |el, a| unary(el, $name, UnFn::$f, a) },)*
            Builtin { name: "pow", call: pow },
            Builtin { name: "where", call: choose },
            Builtin { name: "clamp", call: clamp },
            Builtin { name: "stop", call: stop },
        ]
    };
}

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = unary!(
    "exp" Exp, "log" Log, "sqrt" Sqrt, "rsqrt" Rsqrt, "abs" Abs, "sign" Sign, "floor" Floor, "ceil" Ceil,
    "round" Round, "sin" Sin, "cos" Cos, "tanh" Tanh, "erf" Erf, "expm1" Expm1, "log1p" Log1p, "recip" Recip
);

/// `exp(x)` and its like: of a static number in f64 now, of a tensor element by element.
fn unary(el: &mut Elab<'_>, name: &'static str, f: UnFn, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let x = a.operand(el, "x")?;
    a.end(el)?;
    Ok(arith::unary(el, f, &x).into())
}

/// `pow(a, b)`: what `a ** b` is.
fn pow(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "pow", args);
    let (x, xs) = a.value(el, "x")?;
    let (y, ys) = a.value(el, "y")?;
    let span = a.span();
    a.end(el)?;
    let op = crate::syntax::ast::BinaryOp::Pow;
    if tensor::Num::of(&x).is_some() && tensor::Num::of(&y).is_some() {
        return el.static_binary(op, &x, &y, span);
    }
    tensor::binary(el, op, &x, &y, tensor::OpSpans { op: span, lhs: xs, rhs: ys })
}

/// `where(c, a, b)`: `a` where `c` holds, else `b`.
fn choose(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "where", args);
    let c = a.value(el, "cond")?;
    let x = a.value(el, "a")?;
    let y = a.value(el, "b")?;
    let span = a.span();
    a.end(el)?;
    tensor::select_at(el, (&c.0, c.1), (&x.0, x.1), (&y.0, y.1), span)
}

/// `clamp(x, lo, hi)`: `min(max(x, lo), hi)`; NaN passes through.
fn clamp(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "clamp", args);
    let x = a.operand(el, "x")?;
    let lo = a.operand(el, "lo")?;
    let hi = a.operand(el, "hi")?;
    let span = a.span();
    a.end(el)?;
    let low = extreme(el, BinOp::Max, &x, &lo)?;
    let r = arith::binary(el, BinOp::Min, &Opd::new(low, x.span), &hi, span);
    el.failed(r).map(Value::from)
}

/// `stop(x)`: the value, through which no gradient flows.
fn stop(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "stop", args);
    let (v, s) = a.value(el, "x")?;
    a.end(el)?;
    stopped(el, &v, s)
}

fn stopped(el: &mut Elab<'_>, v: &Value, span: crate::source::Span) -> R<Value> {
    if let Value::Tuple(items) = v {
        let parts: R<Vec<Value>> = items.iter().map(|v| stopped(el, v, span)).collect();
        return Ok(Value::Tuple(parts?.into()));
    }
    let x = el.operand(v, span)?;
    Ok(arith::stop(el, &x).into())
}

/// The larger or smaller of two operands, element by element.
pub(super) fn extreme(el: &mut Elab<'_>, op: BinOp, x: &Opd, y: &Opd) -> R<Val> {
    let r = arith::binary(el, op, x, y, x.span.to(y.span));
    el.failed(r)
}
