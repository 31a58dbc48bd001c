//! Elementwise functions and choices.

use super::{Builtin, row};
use crate::sema::args::Args;
use crate::sema::cx::{Elab, R};
use crate::sema::signature::{Form, Kind, need, rest, sig};
use crate::sema::tensor::arith::{self, BinOp, UnFn};
use crate::sema::tensor::{self, Opd, Val};
use crate::sema::value::Value;
use crate::source::Span;

const X: &[Form] = &[&[need("x", Kind::Tensor)]];
const AB: &[Form] = &[&[need("a", Kind::Tensor), need("b", Kind::Tensor), rest("others", Kind::Tensor)]];

/// Functions of this file. Each gives a static number if all it gets are static numbers.
pub(super) const TABLE: &[Builtin] = &[
    row(sig("exp", X), "e^x: [..S] -> [..S].", "close(exp([0.0, 1.0]), [1.0, 2.718281828], 1e-6)", |el, a| {
        unary(el, UnFn::Exp, a)
    }),
    row(
        sig("log", X),
        "Natural logarithm, -inf at 0 and NaN below: [..S] -> [..S].",
        "close(log([1.0, 4.0]), [0.0, 1.386294361], 1e-6)",
        |el, a| unary(el, UnFn::Log, a),
    ),
    row(sig("sqrt", X), "Square root, NaN below 0: [..S] -> [..S].", "sqrt(9.0) == 3", |el, a| {
        unary(el, UnFn::Sqrt, a)
    }),
    row(sig("rsqrt", X), "1 / sqrt(x): [..S] -> [..S].", "close(rsqrt([4.0]), [0.5], 1e-6)", |el, a| {
        unary(el, UnFn::Rsqrt, a)
    }),
    row(sig("abs", X), "Absolute value: [..S] -> [..S].", "close(abs([-2.0, 3.0]), [2.0, 3.0], 0)", |el, a| {
        unary(el, UnFn::Abs, a)
    }),
    row(
        sig("sign", X),
        "-1, 0 or 1 by the sign: [..S] -> [..S].",
        "close(sign([-3.0, 0.0, 2.0]), [-1.0, 0.0, 1.0], 0)",
        |el, a| unary(el, UnFn::Sign, a),
    ),
    row(
        sig("floor", X),
        "Largest whole number not above x: [..S] -> [..S]; of a static number an int.",
        "close(floor([-1.5, 1.5]), [-2.0, 1.0], 0)",
        |el, a| unary(el, UnFn::Floor, a),
    ),
    row(
        sig("ceil", X),
        "Smallest whole number not below x: [..S] -> [..S]; of a static number an int.",
        "ceil(2.1) == 3",
        |el, a| unary(el, UnFn::Ceil, a),
    ),
    row(
        sig("round", X),
        "Nearest whole number, halves to even: [..S] -> [..S]; of a static number an int.",
        "close(round([0.5, 1.5]), [0.0, 2.0], 0)",
        |el, a| unary(el, UnFn::Round, a),
    ),
    row(sig("sin", X), "Sine of radians: [..S] -> [..S].", "close(sin([pi / 2]), [1.0], 1e-6)", |el, a| {
        unary(el, UnFn::Sin, a)
    }),
    row(sig("cos", X), "Cosine of radians: [..S] -> [..S].", "close(cos([0.0, pi]), [1.0, -1.0], 1e-6)", |el, a| {
        unary(el, UnFn::Cos, a)
    }),
    row(sig("tanh", X), "Hyperbolic tangent: [..S] -> [..S].", "close(tanh([1.0]), [0.7615941560], 1e-6)", |el, a| {
        unary(el, UnFn::Tanh, a)
    }),
    row(sig("erf", X), "Error function: [..S] -> [..S].", "close(erf([1.0]), [0.8427007929], 1e-6)", |el, a| {
        unary(el, UnFn::Erf, a)
    }),
    row(
        sig("expm1", X),
        "e^x - 1, exact near 0: [..S] -> [..S].",
        "close(expm1([1e-6]), [1.0000005e-6], 1e-12)",
        |el, a| unary(el, UnFn::Expm1, a),
    ),
    row(
        sig("log1p", X),
        "log(1 + x), exact near 0: [..S] -> [..S].",
        "close(log1p([1e-6]), [9.999995e-7], 1e-12)",
        |el, a| unary(el, UnFn::Log1p, a),
    ),
    row(sig("recip", X), "1 / x: [..S] -> [..S].", "close(recip([4.0]), [0.25], 0)", |el, a| unary(el, UnFn::Recip, a)),
    row(
        sig("pow", &[&[need("x", Kind::Tensor), need("y", Kind::Tensor)]]),
        "`x ** y`: [..S] -> [..S].",
        "close(pow([1.0, 3.0], 2), [1.0, 9.0], 1e-6)",
        pow,
    ),
    row(
        sig("maximum", AB),
        "The largest at each element: [..S], [..S] -> [..S]; NaN if one is NaN, and ties share the derivative. \
         `max` reduces.",
        "close(maximum([-1.0, 2.0], 0), [0.0, 2.0], 0)",
        |el, a| maximum(el, BinOp::Max, a),
    ),
    row(
        sig("minimum", AB),
        "The smallest at each element, as `maximum`: [..S], [..S] -> [..S].",
        "close(minimum([-1.0, 2.0], 0), [-1.0, 0.0], 0)",
        |el, a| maximum(el, BinOp::Min, a),
    ),
    row(
        sig("where", &[&[need("cond", Kind::Tensor), need("a", Kind::Tensor), need("b", Kind::Tensor)]]),
        "`a` where the bool `cond` holds, else `b`: bool[..S], [..S], [..S] -> [..S].",
        "close(where([true, false], [1.0, 2.0], 0), [1.0, 0.0], 0)",
        choose,
    ),
    row(
        sig("clamp", &[&[need("x", Kind::Tensor), need("lo", Kind::Tensor), need("hi", Kind::Tensor)]]),
        "`minimum(maximum(x, lo), hi)`: [..S] -> [..S]; NaN stays NaN.",
        "close(clamp([-3.0, 0.5, 3.0], -1, 1), [-1.0, 0.5, 1.0], 0)",
        clamp,
    ),
    row(
        sig("stop", &[&[need("x", Kind::Tensors)]]),
        "The value, through which no gradient flows: [..S] -> [..S]; of a tuple each part.",
        "let x: f32[1] = [3.0]; close(grad(sum(x * stop(x)), x), [3.0], 1e-6)",
        stop,
    ),
];

/// Of a static number in f64 now, of a tensor element by element.
fn unary(el: &mut Elab<'_>, f: UnFn, a: Args) -> R<Value> {
    let x = a.operand(el, "x")?;
    if let (UnFn::Abs, Val::Num(tensor::Num::Int(i64::MIN))) = (f, &x.val) {
        return el.err("E0902", x.span, format!("abs({}) is too large for an int", i64::MIN));
    }
    Ok(arith::unary(el, f, &x).into())
}

fn pow(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (x, xs) = a.value(el, "x")?;
    let (y, ys) = a.value(el, "y")?;
    let span = a.span;
    let op = crate::syntax::ast::BinaryOp::Pow;
    if tensor::Num::of(&x).is_some() && tensor::Num::of(&y).is_some() {
        return el.static_binary(op, &x, &y, span);
    }
    tensor::binary(el, op, &x, &y, tensor::OpSpans { op: span, lhs: xs, rhs: ys })
}

fn choose(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let c = a.value(el, "cond")?;
    let x = a.value(el, "a")?;
    let y = a.value(el, "b")?;
    let span = a.span;
    tensor::select_at(el, (&c.0, c.1), (&x.0, x.1), (&y.0, y.1), span)
}

fn clamp(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let x = a.operand(el, "x")?;
    let lo = a.operand(el, "lo")?;
    let hi = a.operand(el, "hi")?;
    let span = a.span;
    let low = extreme(el, BinOp::Max, &x, &lo)?;
    let r = arith::binary(el, BinOp::Min, &Opd::new(low, x.span), &hi, span);
    el.failed(r).map(Value::from)
}

fn stop(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (v, s) = a.value(el, "x")?;
    stopped(el, &v, s)
}

fn stopped(el: &mut Elab<'_>, v: &Value, span: Span) -> R<Value> {
    if let Value::Tuple(items) = v {
        let parts: R<Vec<Value>> = items.iter().map(|v| stopped(el, v, span)).collect();
        return Ok(Value::Tuple(parts?.into()));
    }
    let x = el.operand(v, span)?;
    Ok(arith::stop(el, &x).into())
}

/// The largest or smallest of any number of operands.
fn maximum(el: &mut Elab<'_>, op: BinOp, a: Args) -> R<Value> {
    let mut all = vec![a.value(el, "a")?, a.value(el, "b")?];
    all.extend(a.all("others"));
    largest(el, op, &all)
}

/// The largest or smallest of values, element by element.
pub(super) fn largest(el: &mut Elab<'_>, op: BinOp, all: &[(Value, Span)]) -> R<Value> {
    let mut best: Option<Opd> = None;
    for (v, s) in all {
        let x = el.operand(v, *s)?;
        best = Some(match best {
            None => x,
            Some(b) => Opd::new(extreme(el, op, &b, &x)?, b.span.to(*s)),
        });
    }
    Ok(best.map_or(Value::unit(), |b| b.val.into()))
}

/// The larger or smaller of two operands, element by element.
fn extreme(el: &mut Elab<'_>, op: BinOp, x: &Opd, y: &Opd) -> R<Val> {
    let r = arith::binary(el, op, x, y, x.span.to(y.span));
    el.failed(r)
}
