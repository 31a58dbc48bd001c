//! Operators on tensors: arithmetic with strict broadcasting, casts, indexing, rearrange.
//!
//! In: values of which at least one is a tensor or a mean. Out: a tensor, with ops appended to the graph, or a
//! diagnostic that names both operands' dims and the rule.

use super::cx::{Elab, Env, R};
use super::value::{Dim, Elem, Tensor, Value};
use crate::source::Span;
use crate::syntax::ast::{AxisPat, BinaryOp, Ident, Ix, UnaryOp};

/// Where the parts of `a op b` stand.
#[derive(Clone, Copy, Debug)]
pub struct OpSpans {
    /// The operator.
    pub op: Span,
    /// Left operand.
    pub lhs: Span,
    /// Right operand.
    pub rhs: Span,
}

/// `a op b` where one side is a tensor or a mean; the other may be a static number.
pub fn binary(el: &mut Elab<'_>, op: BinaryOp, a: &Value, b: &Value, at: OpSpans) -> R<Value> {
    let _ = (op, a, b);
    Err(el.limit(at.op, "tensor arithmetic"))
}

/// The quotient of two scalars: what a mean is where a number is asked for.
pub fn quotient(el: &mut Elab<'_>, num: &Tensor, den: &Tensor) -> Tensor {
    let _ = (el, den);
    num.clone()
}

/// `-x`, `not x` of a tensor or a mean.
pub fn unary(el: &mut Elab<'_>, op: UnaryOp, a: &Value, span: Span) -> R<Value> {
    let _ = (op, a);
    Err(el.limit(span, "tensor arithmetic"))
}

/// `x as f32` of a tensor, a mean or a static number.
pub fn cast(el: &mut Elab<'_>, a: &Value, to: &Elem, span: Span) -> R<Value> {
    let _ = (a, to);
    Err(el.limit(span, "casts"))
}

/// Converts to a wider dtype where that is implicit (float widening); `None` if it is not.
pub fn widen(el: &mut Elab<'_>, a: &Tensor, to: &Elem) -> Option<Tensor> {
    let _ = (el, a, to);
    None
}

/// `x[items]` of a tensor.
pub fn index(el: &mut Elab<'_>, base: &Tensor, items: &[Ix], span: Span, env: &Env) -> R<Value> {
    let _ = (base, items, env);
    Err(el.limit(span, "indexing"))
}

/// `x.T` and other fields of a tensor.
pub fn field(el: &mut Elab<'_>, base: &Tensor, name: &Ident, span: Span) -> R<Value> {
    let _ = (base, name);
    Err(el.limit(span, "fields of tensors"))
}

/// Repeats a scalar (or a tensor that is one axis short, or has literal ones) into a shape by rules B1 to B3.
pub fn broadcast_to(el: &mut Elab<'_>, a: &Tensor, dims: &[Dim], span: Span) -> R<Tensor> {
    let _ = (a, dims);
    Err(el.limit(span, "broadcasting"))
}

/// `where(c, a, b)`, also what `if` on a runtime scalar means.
pub fn select(el: &mut Elab<'_>, cond: &Value, a: &Value, b: &Value, span: Span) -> R<Value> {
    let _ = (cond, a, b);
    Err(el.limit(span, "where"))
}

/// `rearrange(x, from -> to, sizes)`.
pub fn rearrange(
    el: &mut Elab<'_>,
    x: &Value,
    from: &[AxisPat],
    to: &[AxisPat],
    sizes: &[(Ident, u64)],
    span: Span,
) -> R<Value> {
    let _ = (x, from, to, sizes);
    Err(el.limit(span, "rearrange"))
}
