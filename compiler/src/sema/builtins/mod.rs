//! Functions of the compiler, by name.
//!
//! In: a call with its arguments evaluated. Out: its value, with ops appended to the graph. They are what `stdlib/*.nn`
//! is written in; a function that can be said in `.nn` belongs there.

use super::cx::{Builtin, Elab, R};
use super::value::{Tensor, TensorType, Value};
use crate::source::Span;

/// The function of a name.
pub fn lookup(name: &str) -> Option<&'static Builtin> {
    let _ = name;
    None
}

/// Every name that [`lookup`] knows, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::empty()
}

/// A draw from a distribution: the right side of `~`. The type's axes are all decided.
pub fn draw(el: &mut Elab<'_>, dist: &Value, ty: &TensorType, span: Span) -> R<Tensor> {
    let _ = (dist, ty);
    Err(el.limit(span, "random draws"))
}
