//! Reductions and running sums.

use super::{Builtin, math, row};
use crate::diag::{self, Diagnostic, Edit};
use crate::graph::ops::{ArgKind, ReduceKind};
use crate::sema::args::{Args, written};
use crate::sema::cx::{Elab, R, Reported};
use crate::sema::signature::{Form, Kind, key, need, or, rest, sig};
use crate::sema::tensor::arith::BinOp;
use crate::sema::tensor::axes;
use crate::sema::tensor::reduce::{self, Red};
use crate::sema::tensor::{Num, Opd};
use crate::sema::value::{Tensor, Value};
use crate::source::Span;

const REDUCE: &[Form] = &[&[need("x", Kind::Tensor), or("axis", Kind::Axes, "all"), key("keep", Kind::Bool, "false")]];
const EXTREME: &[Form] = &[
    &[need("x", Kind::Tensor), or("axis", Kind::Axes, "all"), key("keep", Kind::Bool, "false")],
    &[need("a", Kind::Tensor), need("b", Kind::Tensor), rest("others", Kind::Tensor)],
];
const ARG: &[Form] = &[&[need("x", Kind::Tensor), or("axis", Kind::Axis, "-1"), key("keep", Kind::Bool, "false")]];
const RUNNING: &[Form] = &[&[need("x", Kind::Tensor), or("axis", Kind::Axis, "-1")]];
const MEAN: &[Form] = &[&[
    need("x", Kind::Tensor),
    or("axis", Kind::Axes, "all"),
    key("keep", Kind::Bool, "false"),
    key("weight", Kind::Tensor, "1"),
]];

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sig("sum", REDUCE),
        "Sum over axes: [..S] -> [..S] without them, or with 1 in their place if `keep`.",
        "close(sum([[1.0, 2.0], [3.0, 4.0]], 1), [3.0, 7.0], 0)",
        |el, a| fold(el, Red::Sum, &a),
    ),
    row(sig("prod", REDUCE), "Product over axes, as `sum`.", "close(prod([2.0, 3.0, 4.0]), 24, 0)", |el, a| {
        fold(el, Red::Prod, &a)
    }),
    row(
        sig("any", REDUCE),
        "Is any element true? Of none, no: bool[..S] -> bool[..S] without the axes.",
        "any([false, true])",
        |el, a| fold(el, Red::Any, &a),
    ),
    row(
        sig("all", REDUCE),
        "Are all elements true? Of none, yes: bool[..S] -> bool[..S] without the axes.",
        "not all([false, true])",
        |el, a| fold(el, Red::All, &a),
    ),
    row(
        sig("logsumexp", REDUCE),
        "log of the sum of e^x over axes, shifted by the maximum, as `sum`.",
        "close(logsumexp([1000.0, 1000.0]), 1000.693147, 1e-3)",
        |el, a| fold(el, Red::LogSumExp, &a),
    ),
    row(
        sig("norm", REDUCE),
        "Square root of the sum of squares over axes, as `sum`; the derivative at 0 is 0.",
        "close(norm([3.0, 4.0]), 5, 1e-6)",
        |el, a| fold(el, Red::Norm, &a),
    ),
    row(
        sig("max", EXTREME),
        "Largest element over axes, as `sum`; of no floats -inf, of no bools false. Of several operands the largest at each element, which `maximum` says more \
         clearly; a tensor and then a static int could mean either, so that is E0208.",
        "close(max([[1.0, 5.0], [9.0, 2.0]], axis: 1), [5.0, 9.0], 0) and max(2, 3) == 3",
        |el, a| extreme(el, Red::Max, BinOp::Max, a),
    ),
    row(
        sig("min", EXTREME),
        "Smallest element over axes, or of several operands, as `max`; of no floats inf, of no bools true.",
        "close(min([4.0, 2.0]), 2, 0)",
        |el, a| extreme(el, Red::Min, BinOp::Min, a),
    ),
    row(
        sig("mean", MEAN),
        "Mean over axes: [..S] -> [..S] without them. Over all elements it is a `mean`: a weighted sum and a sum of \
         weights that are divided once, so that ragged batches count exactly; `weight` is for this form.",
        "close(mean([[1.0, 3.0], [5.0, 7.0]], 0), [3.0, 5.0], 0) and close(mean([1.0, 3.0], weight: [3.0, 1.0]), 1.5, 0)",
        mean,
    ),
    row(
        sig("moments", REDUCE),
        "Mean and (biased) variance over axes: [..S] -> ([..], [..]).",
        "let (m, v) = moments([1.0, 3.0]); close(m, 2, 0) and close(v, 1, 0)",
        moments,
    ),
    row(
        sig("argmax", ARG),
        "Position of the first maximum along an axis of size N: [.., N] -> idx<N>[..].",
        "all(argmax([[1.0, 5.0, 2.0], [7.0, 0.0, 7.0]]) == [1, 0])",
        |el, a| arg(el, ArgKind::Max, &a),
    ),
    row(
        sig("argmin", ARG),
        "Position of the first minimum along an axis, as `argmax`.",
        "argmin([1.0, -5.0, 2.0]) == 1",
        |el, a| arg(el, ArgKind::Min, &a),
    ),
    row(
        sig("cumsum", RUNNING),
        "Running sums along an axis, each including its own element: [..S] -> [..S].",
        "close(cumsum([1.0, 2.0, 3.0]), [1.0, 3.0, 6.0], 0)",
        |el, a| running(el, ReduceKind::Sum, &a),
    ),
    row(
        sig("cumprod", RUNNING),
        "Running products along an axis, as `cumsum`.",
        "close(cumprod([1.0, 2.0, 3.0]), [1.0, 2.0, 6.0], 0)",
        |el, a| running(el, ReduceKind::Prod, &a),
    ),
];

fn shown(el: &Elab<'_>, span: Span) -> String {
    let text = el.text(span);
    if text.len() <= 24 && !text.contains('\n') { text.to_owned() } else { "..".to_owned() }
}

fn fold(el: &mut Elab<'_>, red: Red, a: &Args) -> R<Value> {
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let ax = a.axes(el, &t, "axis", &text)?;
    Ok(Value::Tensor(reduce::reduce(el, red, &t, &ax, keep)))
}

/// `max(x)`, `max(x, T)` and `max(x, axis: -1)` reduce; `max(a, b, ..)` of numbers and tensors is elementwise, as
/// `maximum` always is. A tensor and then a static int could be meant either way, so it is refused.
fn extreme(el: &mut Elab<'_>, red: Red, op: BinOp, a: Args) -> R<Value> {
    let reduces = a.form == 0 && (a.is_named("axis") || a.get("keep").is_some());
    let all = if a.form == 0 {
        let mut all = vec![a.value(el, "x")?];
        all.extend(a.get("axis"));
        all
    } else {
        let mut all = vec![a.value(el, "a")?, a.value(el, "b")?];
        all.extend(a.all("others"));
        all
    };
    match &all[..] {
        _ if reduces => fold(el, red, &a),
        // `max([1, 2, 3])` of static numbers stays static.
        [(Value::List(items), span)] if items.iter().all(|v| Num::of(v).is_some()) => {
            if items.is_empty() {
                return el.err("E0208", a.span, format!("`{}` of an empty list", a.name()));
            }
            let all: Vec<(Value, Span)> = items.iter().map(|v| (v.clone(), *span)).collect();
            math::largest(el, op, &all)
        }
        [_] => fold(el, red, &a),
        [(Value::Tensor(t), _), (axes, _)] if names_axes(t, axes) => fold(el, red, &a),
        [x @ (Value::Tensor(_) | Value::Mean { .. } | Value::List(_), _), y, ..] if int_like(&x.0, &y.0) => {
            Err(either_way(el, &a, &all))
        }
        all => math::largest(el, op, all),
    }
}

/// Is it a dim that the tensor carries, or a list of such?
fn names_axes(t: &Tensor, v: &Value) -> bool {
    match v {
        Value::Dim(d) => d.name.is_some() && !axes::carried(t, d).is_empty(),
        // Axes of a row, `[B, ..S]`, need no names.
        Value::List(items) => {
            let carried = |v: &Value| matches!(v, Value::Dim(d) if !axes::carried(t, d).is_empty());
            !items.is_empty() && items.iter().all(carried)
        }
        _ => false,
    }
}

/// Could the value next to a tensor be axis numbers? Next to a list of numbers, which has no names, a list is a tensor.
fn int_like(x: &Value, v: &Value) -> bool {
    match v {
        Value::Int(_) | Value::Dim(_) => true,
        Value::List(items) => {
            !matches!(x, Value::List(_)) && items.iter().all(|v| matches!(v, Value::Int(_) | Value::Dim(_)))
        }
        _ => false,
    }
}

/// `max(x, -1)`: the edits for both readings, as far as they are possible.
fn either_way(el: &mut Elab<'_>, a: &Args, all: &[(Value, Span)]) -> Reported {
    let name = a.name();
    let longer = if name == "max" { "maximum" } else { "minimum" };
    let texts: Vec<&str> = all.iter().map(|(_, s)| el.text(*s)).collect();
    let (x, y) = (texts[0], texts[1]);
    let shape = match &all[0].0 {
        Value::Tensor(_) if el.per_element => vec![],
        Value::Tensor(t) => t.dims.iter().map(|d| d.size).collect(),
        v => crate::sema::cx::numbers(v).map_or(vec![], |(shape, ..)| shape),
    };
    let rank = shape.len() as i64;
    let axis = |v: &Value| matches!(v, Value::Int(i) if (-rank..rank).contains(i));
    let axes = match &all[1].0 {
        Value::List(items) => !items.is_empty() && items.iter().all(axis),
        v => axis(v),
    };
    let mut d = Diagnostic::error("E0208", a.span, format!("`{name}` of a tensor and {}", written(&all[1].0)))
        .here("an axis, or a number to compare with?");
    if all.len() == 2 && axes {
        let text = format!("{name}({x}, axis: {y})");
        d = d.fix(format!("along the axis: `{}`", diag::shown(&text)), [Edit::replace(a.span, text)]);
    }
    let fits = match &all[1].0 {
        Value::List(items) => {
            let ints = matches!(&all[0].0, Value::Tensor(t) if t.elem.dtype().is_int());
            ints && shape.last() == Some(&(items.len() as u64))
        }
        _ => true,
    };
    if fits {
        let text = format!("{longer}({})", texts.join(", "));
        d = d.fix(format!("element by element: `{}`", diag::shown(&text)), [Edit::replace(a.span, text)]);
    }
    el.error(d)
}

/// Over axes a tensor; over all elements a ratio of sums.
fn mean(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let weight = a.get("weight");
    let keep = a.flag(el, "keep")?;
    let (v, s) = a.value(el, "x")?;
    let axis = a.get("axis");
    if let (Value::Mean { .. }, None, None) = (&v, &weight, &axis) {
        return Ok(v);
    }
    let (t, _) = a.tensor(el, "x")?;
    if axis.is_some() || keep {
        if let Some((_, ws)) = weight {
            let message = "a weighted mean is over all elements: give `weight` or axes, not both";
            return Err(el.error(a.sig.wrong(ws, message)));
        }
        return fold(el, Red::Mean, &a);
    }
    let w = match weight {
        None => None,
        Some(_) => Some(a.operand(el, "weight")?),
    };
    let r = reduce::ratio(el, &Opd::new(t, s), w.as_ref(), a.span);
    el.failed(r)
}

fn moments(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let ax = a.axes(el, &t, "axis", &text)?;
    let (m, v) = reduce::moments(el, &t, &ax, keep);
    Ok(Value::Tuple(vec![Value::Tensor(m), Value::Tensor(v)].into()))
}

fn arg(el: &mut Elab<'_>, kind: ArgKind, a: &Args) -> R<Value> {
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let axis = a.axis(el, &t, "axis", &text)?;
    if t.dims[axis].size == 0 {
        return el.err("E0117", a.span, format!("`{}` over an axis without elements", a.name()));
    }
    Ok(Value::Tensor(reduce::arg(el, kind, &t, axis, keep)))
}

fn running(el: &mut Elab<'_>, kind: ReduceKind, a: &Args) -> R<Value> {
    let (t, s) = a.tensor(el, "x")?;
    let text = shown(el, s);
    let axis = a.axis(el, &t, "axis", &text)?;
    Ok(Value::Tensor(reduce::cumulate(el, kind, &t, axis)))
}
