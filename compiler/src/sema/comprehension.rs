//! Comprehensions: `let y[b, o] = sum[i](x[b, i] * w[o, i])`.
//!
//! In: the left side's binders and the body. Out: a tensor, with contractions recognized.

use super::cx::{Elab, Env, R};
use super::value::Value;
use crate::source::Span;
use crate::syntax::ast::{Arg, Binder, ExprId, Ident, Ix, Ty};

/// The iteration space of the comprehension under evaluation.
#[derive(Clone, Default)]
pub struct Frame {}

/// `name[binders]: ty = body`. The caller binds the result.
pub fn comprehension(
    el: &mut Elab<'_>,
    name: &Ident,
    binders: &[Binder],
    ty: Option<&Ty>,
    body: ExprId,
    env: &Env,
) -> R<Value> {
    let _ = (binders, ty, body, env);
    Err(el.limit(name.span, "comprehensions"))
}

/// `sum[i, j < N](body)` outside of a comprehension: a reducer over a scalar body.
pub fn reducer(el: &mut Elab<'_>, name: &str, items: &[Ix], args: &[Arg], span: Span, env: &Env) -> R<Value> {
    let _ = (name, items, args, env);
    Err(el.limit(span, "reducers"))
}

/// Is `name[..](..)` a reducer?
pub fn is_reducer(name: &str) -> bool {
    matches!(name, "sum" | "mean" | "max" | "min" | "prod" | "any" | "all" | "argmax" | "logsumexp")
}

/// While [`Elab::comp`] is set, `Elab::eval` asks here first: accesses, `if`, reducers and index variables mean
/// something else inside. `None`: evaluate as usual.
pub fn try_expr(el: &mut Elab<'_>, id: ExprId, env: &Env) -> R<Option<Value>> {
    let _ = (el, id, env);
    Ok(None)
}
