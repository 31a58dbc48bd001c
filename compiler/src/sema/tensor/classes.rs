//! Entry into `idx<N>`: proved, refused, or checked.
//!
//! In: a tensor of numbers that is to be class numbers of `0 .. N`. Out: the tensor as `idx<N>`. What the bounds of its
//! values prove needs nothing more; what they rule out is an error now. Everything else is recorded as a [`ClassCheck`]:
//! checks of a data field are made for all rows before training, those of a step by the step itself, which names the
//! row. Whatever the check finds, no value of the result lies outside: one that would is 0 for the rest of that step.

use super::bounds::bounds;
use super::{Elem, Tensor, sizes};
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Literal, Op, ReduceKind};
use crate::sema::cx::{Elab, R};
use crate::sema::value::{Dim, DimId};
use crate::source::Span;
use nn_runtime::dtype::DType;
use nn_runtime::program::IndexCheck;

/// A check to be made when the values are known.
#[derive(Clone)]
pub struct ClassCheck {
    /// The numbers, as they were before.
    pub value: Tensor,
    /// True where they are class numbers, in the shape of `value`.
    inside: ValueId,
    /// The identities of the axes as the caller knows them, outermost.
    axes: Vec<DimId>,
    /// Number of classes; `None` where any number will do, but no NaN and no infinity.
    pub size: Option<u64>,
    /// The conversion in the program.
    pub span: Span,
}

impl ClassCheck {
    /// True where the numbers are class numbers.
    pub fn inside(&self) -> ValueId {
        self.inside
    }

    /// The check over all steps of a loop, whose values these are.
    pub fn stack(&mut self, value: ValueId, inside: ValueId, steps: &Dim) {
        self.value.id = value;
        self.value.dims.insert(0, steps.clone());
        self.inside = inside;
        self.axes.insert(0, steps.id);
    }
}

/// The tensor as class numbers of `0 .. n`.
pub fn enter(el: &mut Elab<'_>, t: &Tensor, n: &Dim, span: Span) -> R<Tensor> {
    let elem = Elem::Idx(n.clone());
    let t = match t.elem.dtype() {
        DType::Bool => super::dtype::cast(el, t, DType::I32),
        _ => t.clone(),
    };
    let id = super::dtype::cast_id(el, t.id, DType::I32);
    let numel: u64 = t.dims.iter().map(|d| d.size).product();
    let last = n.size as f64 - 1.0;
    match bounds(el.b.graph(), t.id) {
        _ if numel == 0 => return Ok(Tensor { id, elem, dims: t.dims }),
        Some((lo, hi)) if lo >= 0.0 && hi <= last => return Ok(Tensor { id, elem, dims: t.dims }),
        Some((lo, hi)) if hi < 0.0 || lo > last || lo == hi => {
            let found = if lo == hi { lo.to_string() } else { format!("all of {lo} to {hi}") };
            return el.err("E0111", span, format!("{found} is outside idx<{}>", n.show()));
        }
        _ => {}
    }
    let constants = match (el.b.graph().op(t.id), el.uniform(t.id)) {
        (_, Some(x)) => vec![x],
        (Op::Const(Literal::Dense(_, xs)), _) => xs.to_vec(),
        _ => vec![],
    };
    if let Some(x) = constants.iter().find(|x| x.fract() != 0.0 || **x < 0.0 || **x > last) {
        return el.err("E0111", span, format!("{x} is outside idx<{}>", n.show()));
    }
    let inside = inside(el, &t, n.size);
    let axes = t.dims.iter().map(|d| outermost(el, d)).collect();
    let zero = el.b.zeros_like(id);
    let id = el.b.ew(Ew::Select, &[inside, id, zero]);
    // Equal values are one value of the graph: the same conversion in the loss and in a metric is checked once.
    if el.st.checks.iter().all(|c| c.inside != inside) {
        el.st.checks.push(ClassCheck { value: t.clone(), inside, axes, size: Some(n.size), span });
    }
    Ok(Tensor { id, elem, dims: t.dims })
}

/// Floats of a data field that become integers: a NaN would be 0 and an infinity the last integer, silently, so that there
/// is neither is checked before training. Elsewhere numbers are computed, and the step has no place to say so.
pub fn convert(el: &mut Elab<'_>, t: &Tensor, span: Span) {
    if !el.st.in_field || !t.elem.dtype().is_float() || bounds(el.b.graph(), t.id).is_some() {
        return;
    }
    let zero = el.b.zeros_like(t.id);
    let none = el.b.ew(Ew::Mul, &[t.id, zero]);
    let inside = el.b.ew(Ew::Eq, &[none, zero]);
    if el.st.checks.iter().all(|c| c.inside != inside) {
        el.st.checks.push(ClassCheck { value: t.clone(), inside, axes: vec![], size: None, span });
    }
}

/// True where a value is a whole number of `0 .. n`.
fn inside(el: &mut Elab<'_>, t: &Tensor, n: u64) -> ValueId {
    let d = t.elem.dtype();
    let zero = el.b.zeros_like(t.id);
    let mut ok = el.b.ew(Ew::Ge, &[t.id, zero]);
    if (n as f64) <= crate::graph::tensor::range(d).1 {
        let end = el.b.splat_like(t.id, n as f64);
        let below = el.b.ew(Ew::Lt, &[t.id, end]);
        ok = el.b.ew(Ew::And, &[ok, below]);
    }
    if d.is_float() {
        let nearest = el.b.ew(Ew::RoundEven, &[t.id]);
        let whole = el.b.ew(Ew::Eq, &[t.id, nearest]);
        ok = el.b.ew(Ew::And, &[ok, whole]);
    }
    ok
}

/// The identity of an axis outside of all calls and comprehensions under way.
fn outermost(el: &Elab<'_>, d: &Dim) -> DimId {
    let mut d = crate::sema::comprehension::outer(el, d);
    while let Some(outer) = el.dims.get(d.id.0 as usize).and_then(|i| i.outer.clone()) {
        d = outer;
    }
    d.id
}

/// A scalar bool: do all checks hold?
pub fn holds(el: &mut Elab<'_>, c: &ClassCheck) -> ValueId {
    let t = Tensor { id: c.inside, elem: Elem::Plain(DType::Bool), dims: c.value.dims.clone() };
    let axes: Vec<usize> = (0..t.dims.len()).collect();
    super::reduce::reduce(el, super::reduce::Red::All, &t, &axes, false).id
}

/// Forgets the checks of values that no output depends on.
pub fn keep_live(el: &mut Elab<'_>) {
    let g = el.b.graph();
    let live = g.live(g.outputs.iter().map(|o| o.value));
    el.st.checks.retain(|c| live[c.inside.idx()]);
}

/// The checks recorded so far as outputs of the graph: for each the position of the first value outside, or of none, and
/// that value. `rows` is the axis of the batch.
pub fn emit(el: &mut Elab<'_>, rows: &Dim) -> Vec<IndexCheck> {
    let mut out = vec![];
    for (k, c) in std::mem::take(&mut el.st.checks).into_iter().enumerate() {
        let Some(size) = c.size else { continue };
        el.span_nodes(c.span);
        let shape = sizes(&c.value.dims);
        let n: u64 = shape.iter().product();
        let inside = el.b.reshape(c.inside, &[n]);
        let count = el.b.iota(&[n], 0);
        let none = el.b.splat_like(count, f64::from(i32::MAX));
        let at = el.b.ew(Ew::Select, &[inside, none, count]);
        let first = el.b.reduce(ReduceKind::Min, at, &[0]);
        let flat = el.b.reshape(c.value.id, &[n]);
        let value = el.b.gather(flat, first, 0);
        let (first_name, value_name) = (format!("check.{k}.first"), format!("check.{k}.value"));
        el.b.output(&first_name, first);
        el.b.output(&value_name, value);
        out.push(IndexCheck {
            first: first_name,
            value: value_name,
            size,
            shape: shape.to_vec(),
            rows: c.axes.iter().position(|a| *a == rows.id),
            text: written(el, c.span).to_owned(),
            place: el.sources.locate(c.span),
        });
    }
    out
}

/// A conversion as it is written, without parentheses around it.
pub fn written<'a>(el: &Elab<'a>, span: Span) -> &'a str {
    let text = el.text(span);
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else { return text };
    let depths = inner.chars().scan(0i32, |depth, c| {
        *depth += i32::from(c == '(') - i32::from(c == ')');
        Some(*depth)
    });
    if depths.min().is_none_or(|d| d >= 0) { inner.trim() } else { text }
}
