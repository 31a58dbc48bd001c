//! Reductions and running sums.

use super::args::Args;
use super::{math, written};
use crate::diag::Diagnostic;
use crate::graph::ops::{ArgKind, ReduceKind};
use crate::sema::cx::{Builtin, CallArgs, Elab, R};
use crate::sema::tensor::arith::BinOp;
use crate::sema::tensor::axes;
use crate::sema::tensor::reduce::{self, Red};
use crate::sema::tensor::{Num, Opd};
use crate::sema::value::{Tensor, Value};
use crate::source::Span;

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    Builtin { name: "sum", call: |el, a| fold(el, "sum", Red::Sum, a) },
    Builtin { name: "prod", call: |el, a| fold(el, "prod", Red::Prod, a) },
    Builtin { name: "any", call: |el, a| fold(el, "any", Red::Any, a) },
    Builtin { name: "all", call: |el, a| fold(el, "all", Red::All, a) },
    Builtin { name: "logsumexp", call: |el, a| fold(el, "logsumexp", Red::LogSumExp, a) },
    Builtin { name: "norm", call: |el, a| fold(el, "norm", Red::Norm, a) },
    Builtin { name: "max", call: |el, a| extreme(el, "max", Red::Max, BinOp::Max, a) },
    Builtin { name: "min", call: |el, a| extreme(el, "min", Red::Min, BinOp::Min, a) },
    Builtin { name: "maximum", call: |el, a| elementwise(el, "maximum", BinOp::Max, a) },
    Builtin { name: "minimum", call: |el, a| elementwise(el, "minimum", BinOp::Min, a) },
    Builtin { name: "mean", call: mean },
    Builtin { name: "moments", call: moments },
    Builtin { name: "argmax", call: |el, a| arg(el, "argmax", ArgKind::Max, a) },
    Builtin { name: "argmin", call: |el, a| arg(el, "argmin", ArgKind::Min, a) },
    Builtin { name: "cumsum", call: |el, a| running(el, "cumsum", ReduceKind::Sum, a) },
    Builtin { name: "cumprod", call: |el, a| running(el, "cumprod", ReduceKind::Prod, a) },
];

/// The axes given, or all.
fn axes_or_all(el: &mut Elab<'_>, a: &mut Args, t: &Tensor, shown: &str) -> R<Vec<usize>> {
    match a.rest.take("axis") {
        None => Ok((0..t.dims.len()).collect()),
        Some((v, s)) => {
            let what = format!("{}({shown}, {})", a.name, written(&v));
            axes::axes(el, t, &v, s, &what)
        }
    }
}

/// The axis given, or the last.
pub(super) fn axis_or_last(el: &mut Elab<'_>, a: &mut Args, t: &Tensor, shown: &str) -> R<usize> {
    let (v, s) = a.rest.take("axis").unwrap_or((Value::Int(-1), a.span()));
    let what = format!("{}({shown}, {})", a.name, written(&v));
    axes::axis(el, t, &v, s, &what)
}

fn shown(el: &Elab<'_>, span: Span) -> String {
    let text = el.text(span);
    if text.len() <= 24 && !text.contains('\n') { text.to_owned() } else { "..".to_owned() }
}

/// `sum(x)`, `sum(x, axes)`, `sum(x, axes, keep: true)`
fn fold(el: &mut Elab<'_>, name: &'static str, red: Red, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let ax = axes_or_all(el, &mut a, &t, &text)?;
    a.end(el)?;
    Ok(Value::Tensor(reduce::reduce(el, red, &t, &ax, keep)))
}

/// `max(x)`, `max(x, T)` and `max(x, axis: -1)` reduce; `max(a, b, ..)` of numbers and tensors is elementwise, as
/// `maximum` always is. A tensor and then a static int could be meant either way, so it is refused.
fn extreme(el: &mut Elab<'_>, name: &'static str, red: Red, op: BinOp, args: CallArgs) -> R<Value> {
    let named = args.named.iter().any(|(n, ..)| matches!(&*n.text, "keep" | "axis"));
    match &args.pos[..] {
        // `max([1, 2, 3])` of static numbers stays static.
        [(Value::List(items), span)] if !named && items.iter().all(|v| Num::of(v).is_some()) => {
            if items.is_empty() {
                return el.err("E0208", args.span, format!("`{name}` of an empty list"));
            }
            let all = items.iter().map(|v| (v.clone(), *span)).collect();
            elementwise(el, name, op, CallArgs { pos: all, ..args })
        }
        [] | [_] => fold(el, name, red, args),
        _ if named => fold(el, name, red, args),
        [(Value::Tensor(t), _), (axes, _)] if names_axes(t, axes) => fold(el, name, red, args),
        [x @ (Value::Tensor(_) | Value::Mean { .. } | Value::List(_), _), y, ..] if int_like(&x.0, &y.0) => {
            Err(either_way(el, name, &args))
        }
        _ => elementwise(el, name, op, args),
    }
}

/// `maximum(a, b, ..)`: the largest, element by element; of static numbers a static number.
fn elementwise(el: &mut Elab<'_>, name: &'static str, op: BinOp, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let mut best = a.operand(el, "a")?;
    let others = a.others();
    a.end(el)?;
    for (v, s) in others {
        let y = el.operand(&v, s)?;
        best = Opd::new(math::extreme(el, op, &best, &y)?, best.span.to(s));
    }
    Ok(best.val.into())
}

/// Is it a dim that the tensor carries, or a list of such?
fn names_axes(t: &Tensor, v: &Value) -> bool {
    match v {
        Value::Dim(d) => !axes::carried(t, d).is_empty(),
        Value::List(items) => !items.is_empty() && items.iter().all(|v| names_axes(t, v)),
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
fn either_way(el: &mut Elab<'_>, name: &'static str, args: &CallArgs) -> crate::sema::cx::Reported {
    let longer = if name == "max" { "maximum" } else { "minimum" };
    let texts: Vec<&str> = args.pos.iter().map(|(_, s)| el.text(*s)).collect();
    let (x, y) = (texts[0], texts[1]);
    let shape = match &args.pos[0].0 {
        Value::Tensor(_) if el.per_element => vec![],
        Value::Tensor(t) => t.dims.iter().map(|d| d.size).collect(),
        v => crate::sema::cx::numbers(v).map_or(vec![], |(shape, ..)| shape),
    };
    let rank = shape.len() as i64;
    let axis = |v: &Value| matches!(v, Value::Int(i) if (-rank..rank).contains(i));
    let axes = match &args.pos[1].0 {
        Value::List(items) => !items.is_empty() && items.iter().all(axis),
        v => axis(v),
    };
    let mut d = Diagnostic::error("E0208", args.span, format!("`{name}` of a tensor and {}", written(&args.pos[1].0)))
        .here("an axis, or a number to compare with?");
    if args.pos.len() == 2 && axes {
        d = d.help(format!("along the axis: `{name}({x}, axis: {y})`"));
    }
    let fits = match &args.pos[1].0 {
        Value::List(items) => {
            let ints = matches!(&args.pos[0].0, Value::Tensor(t) if t.elem.dtype().is_int());
            ints && shape.last() == Some(&(items.len() as u64))
        }
        _ => true,
    };
    if fits {
        d = d.help(format!("element by element: `{longer}({})`", texts.join(", ")));
    }
    el.error(d)
}

/// `mean(x, axes)` is a tensor; `mean(x)` and `mean(x, weight: w)` are ratios of sums.
fn mean(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "mean", args);
    let weight = a.rest.take_named("weight");
    let keep = a.flag(el, "keep")?;
    let (v, s) = a.value(el, "x")?;
    if let (Value::Mean { .. }, None, true) = (&v, &weight, a.rest.pos.is_empty()) {
        return Ok(v);
    }
    let t = el.as_tensor(&v, None, s)?;
    let has_axes = !a.rest.pos.is_empty() || a.rest.named.iter().any(|(n, ..)| &*n.text == "axis");
    if has_axes || keep {
        if let Some((_, ws)) = weight {
            return el.err("E0208", ws, "a weighted mean is over all elements: give `weight` or axes, not both");
        }
        let text = shown(el, s);
        let ax = axes_or_all(el, &mut a, &t, &text)?;
        a.end(el)?;
        return Ok(Value::Tensor(reduce::reduce(el, Red::Mean, &t, &ax, keep)));
    }
    let w = match weight {
        None => None,
        Some((v, s)) => Some(el.operand(&v, s)?),
    };
    let span = a.span();
    a.end(el)?;
    let r = reduce::ratio(el, &Opd::new(t, s), w.as_ref(), span);
    el.failed(r)
}

/// `moments(x, axes)`: mean and biased variance.
fn moments(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "moments", args);
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let ax = axes_or_all(el, &mut a, &t, &text)?;
    a.end(el)?;
    let (m, v) = reduce::moments(el, &t, &ax, keep);
    Ok(Value::Tuple(vec![Value::Tensor(m), Value::Tensor(v)].into()))
}

/// `argmax(x)`, `argmax(x, axis)`: position of the first maximum, along the last axis by default.
fn arg(el: &mut Elab<'_>, name: &'static str, kind: ArgKind, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let (t, s) = a.tensor(el, "x")?;
    let keep = a.flag(el, "keep")?;
    let text = shown(el, s);
    let axis = axis_or_last(el, &mut a, &t, &text)?;
    let span = a.span();
    a.end(el)?;
    if t.dims[axis].size == 0 {
        return el.err("E0117", span, format!("`{name}` over an axis without elements"));
    }
    Ok(Value::Tensor(reduce::arg(el, kind, &t, axis, keep)))
}

/// `cumsum(x, axis)`: inclusive running sums, along the last axis by default.
fn running(el: &mut Elab<'_>, name: &'static str, kind: ReduceKind, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let (t, s) = a.tensor(el, "x")?;
    let text = shown(el, s);
    let axis = axis_or_last(el, &mut a, &t, &text)?;
    a.end(el)?;
    Ok(Value::Tensor(reduce::cumulate(el, kind, &t, axis)))
}
