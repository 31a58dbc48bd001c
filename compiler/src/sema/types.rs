//! Types: from syntax to [`Type`], and values against types.

use super::cx::{Elab, Env, R};
use super::value::{TensorType, Type, Value};
use crate::source::Span;
use crate::syntax::ast::Ty;

impl Elab<'_> {
    /// The type that is written, names looked up; unknown dims are E0105.
    pub fn ty(&mut self, ty: &Ty, env: &Env) -> R<Type> {
        let _ = env;
        Err(self.limit(ty.span, "types"))
    }

    /// Checks a value against a type and converts what converts implicitly: static numbers to tensors of the type's
    /// dtype and shape, float widening. Decided axes are relabelled to the type's dims.
    pub fn coerce(&mut self, v: Value, ty: &Type, span: Span, what: &str) -> R<Value> {
        let _ = (ty, what, v);
        Err(self.limit(span, "types"))
    }

    /// [`Elab::coerce`] to a tensor type.
    pub fn coerce_tensor(&mut self, v: Value, ty: &TensorType, span: Span, what: &str) -> R<Value> {
        self.coerce(v, &Type::Tensor(ty.clone()), span, what)
    }
}
