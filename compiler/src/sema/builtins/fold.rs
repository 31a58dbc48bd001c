//! Reductions and running sums.

use super::args::Args;
use super::{math, written};
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

/// `max(x)` and `max(x, T)` reduce, `max(a, b, ..)` is elementwise. A number next to a tensor is an operand, so an axis
/// number is given by name or together with `keep`: `max(x, 0)` clips, `max(x, axis: 0)` reduces.
fn extreme(el: &mut Elab<'_>, name: &'static str, red: Red, op: BinOp, args: CallArgs) -> R<Value> {
    let named = args.named.iter().any(|(n, ..)| matches!(&*n.text, "keep" | "axis"));
    let tensors = args.pos.iter().filter(|(v, _)| matches!(v, Value::Tensor(_) | Value::Mean { .. })).count();
    let axis_like = match args.pos.get(1) {
        Some((Value::Dim(_), _)) => matches!(args.pos[0].0, Value::Tensor(_)) && !elementwise_dim(&args),
        Some((Value::List(items), _)) => items.iter().all(|v| matches!(v, Value::Int(_) | Value::Dim(_))),
        _ => false,
    };
    if args.pos.len() < 2 || named || (axis_like && tensors == 1 && args.pos.len() == 2) {
        return match args.pos.first() {
            // `max([1, 2, 3])` of static numbers stays static.
            Some((Value::List(items), _)) if args.pos.len() == 1 && items.iter().all(|v| Num::of(v).is_some()) => {
                let span = args.span;
                let mut best: Option<Opd> = None;
                for v in items.iter() {
                    let x = el.operand(v, span)?;
                    best = Some(match best {
                        None => x,
                        Some(b) => Opd::new(math::extreme(el, op, &b, &x)?, span),
                    });
                }
                match best {
                    Some(b) => Ok(b.val.into()),
                    None => el.err("E0208", span, format!("`{name}` of an empty list")),
                }
            }
            _ => fold(el, name, red, args),
        };
    }
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

/// A dim next to a tensor that does not carry it is a number: `max(x, N)`.
fn elementwise_dim(args: &CallArgs) -> bool {
    match (&args.pos[0].0, &args.pos[1].0) {
        (Value::Tensor(t), Value::Dim(d)) => !t.dims.iter().any(|x| x.id == d.id),
        _ => true,
    }
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
