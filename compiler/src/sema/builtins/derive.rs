//! Derivatives as values: `grad(y, x)` and `vjp(y, x, ct)`.
//!
//! In: tensors. Out: ordinary graph values, so derivatives nest. `x` is treated as independent of what it came from.

use super::{Builtin, row};
use crate::diag::Diagnostic;
use crate::grad;
use crate::sema::args::Args;
use crate::sema::cx::{Elab, R};
use crate::sema::signature::{Kind, need, sig};
use crate::sema::tensor::{dtype, sizes};
use crate::sema::value::{Tensor, Value, show_dims};
use crate::source::Span;

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sig("grad", &[&[need("y", Kind::Tensor), need("x", Kind::Tensors)]]),
        "The derivative of the scalar `y` by `x`, a value as any other, which can be derived again: [], [..S] -> [..S]; \
         by a tuple a tuple. `x` counts as independent of what it was computed from.",
        "let x: f32[2] = [1.0, 3.0]; close(grad(sum(x**2), x), [2.0, 6.0], 1e-6)",
        gradient,
    ),
    row(
        sig("vjp", &[&[need("y", Kind::Tensor), need("x", Kind::Tensors), need("ct", Kind::Tensor)]]),
        "The derivative of `sum(y * ct)` by `x`: [..T], [..S], [..T] -> [..S]; by a tuple a tuple.",
        "let x: f32[2] = [1.0, 3.0]; close(vjp(x**2, x, [1.0, 0.5]), [2.0, 3.0], 1e-6)",
        vjp,
    ),
];

/// A float scalar, or E0203.
pub(super) fn scalar(el: &mut Elab<'_>, y: &Tensor, span: Span) -> R<()> {
    if y.dims.is_empty() && y.elem.dtype().is_float() {
        return Ok(());
    }
    let found = if y.dims.is_empty() { y.show() } else { show_dims(&y.dims) };
    let text = el.text(span).to_owned();
    let d = Diagnostic::error("E0203", span, format!("grad needs a scalar, found {found}"))
        .help(format!("`grad(sum({text}), x)`, or `vjp({text}, x, ct)` for a direction"));
    Err(el.error(d))
}

/// The tensors of one value: itself, or the parts of a tuple.
fn parts(el: &mut Elab<'_>, v: &Value, span: Span) -> R<Vec<Tensor>> {
    let list = match v {
        Value::Tuple(items) | Value::List(items) => items.to_vec(),
        v => vec![v.clone()],
    };
    let mut out = vec![];
    for v in &list {
        let Value::Tensor(t) = v else {
            return el.err("E0207", span, format!("a derivative is by a tensor, found {}", v.show()));
        };
        if !t.elem.dtype().is_float() {
            return el.err("E0202", span, format!("a derivative is by floats, found {}", t.show()));
        }
        out.push(t.clone());
    }
    Ok(out)
}

/// Cotangents as values shaped as what they belong to; zeros where nothing flows.
fn finish(el: &mut Elab<'_>, xs: &[Tensor], gs: Vec<Option<crate::graph::graph::ValueId>>, tuple: bool) -> Value {
    let mut out = vec![];
    for (x, g) in xs.iter().zip(gs) {
        let id = match g {
            Some(g) => g,
            None => el.b.zeros_like(x.id),
        };
        out.push(Value::Tensor(Tensor { id, ..x.clone() }));
    }
    match (tuple, out.pop()) {
        (false, Some(v)) => v,
        (_, last) => {
            out.extend(last);
            Value::Tuple(out.into())
        }
    }
}

fn gradient(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (y, ys) = a.tensor(el, "y")?;
    let (x, xs) = a.value(el, "x")?;
    scalar(el, &y, ys)?;
    let tensors = parts(el, &x, xs)?;
    let ids: Vec<_> = tensors.iter().map(|t| t.id).collect();
    let gs = grad::grad(&mut el.b, y.id, &ids);
    if gs.iter().all(Option::is_none) {
        let text = el.text(xs).to_owned();
        let mut d = Diagnostic::error("E0204", ys, format!("this does not depend on `{text}`"));
        if let Some(v) = grad::path_ends_at(el.b.graph(), y.id, &ids)
            && let Some(at) = el.b.graph().node(v).span
        {
            let name = crate::diag::shown(el.text(at));
            d = d.label(at, format!("the path ends here: `{name}` has no derivative"));
        }
        return Err(el.error(d));
    }
    Ok(finish(el, &tensors, gs, !matches!(x, Value::Tensor(_))))
}

fn vjp(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (y, ys) = a.tensor(el, "y")?;
    let (x, xs) = a.value(el, "x")?;
    let (ct, cs) = a.tensor(el, "ct")?;
    if !y.elem.dtype().is_float() {
        return el.err("E0202", ys, format!("a derivative is of floats, found {}", y.show()));
    }
    let ct = crate::sema::tensor::broadcast_to(el, &ct, &y.dims, cs)?;
    debug_assert_eq!(sizes(&ct.dims), sizes(&y.dims));
    let ct = dtype::cast(el, &ct, y.elem.dtype());
    let tensors = parts(el, &x, xs)?;
    let ids: Vec<_> = tensors.iter().map(|t| t.id).collect();
    let gs = grad::vjp(&mut el.b, &[y.id], &[ct.id], &ids);
    Ok(finish(el, &tensors, gs, !matches!(x, Value::Tensor(_))))
}
