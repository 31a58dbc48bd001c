//! The names that derivatives are taken by.
//!
//! In: the syntax of a program. Out: for each item with a `grad` or `vjp` the names of their variables, and at elaboration a
//! value of its own for whatever is bound to one. Equal values are one node of the graph, so without it `grad(f(a, b), a)`
//! would also be the derivative by a `b` that happens to be computed alike.

use super::cx::Elab;
use super::units::Program;
use super::value::{Tensor, Value};
use crate::graph::ops::{Op, Tag};
use crate::source::Span;
use crate::syntax::ast::{ExprId, ExprKind, Ident};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Items with derivatives, and the names of their variables.
pub(super) type Variables = Vec<(Span, BTreeSet<Arc<str>>)>;

/// Finds the variables of a program.
pub(super) fn of(p: &Program) -> Variables {
    let mut out = Variables::new();
    for e in &p.ast.exprs {
        let ExprKind::Call { callee, args } = &e.kind else { continue };
        if !matches!(&p.ast.expr(*callee).kind, ExprKind::Name(n) if matches!(&**n, "grad" | "vjp")) {
            continue;
        }
        let named = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.text == "x"));
        let Some(by) = named.or(args.get(1)) else { continue };
        let mut names = BTreeSet::new();
        collect(p, by.value, &mut names);
        let inside = |s: &Span| s.file == e.span.file && s.start <= e.span.start && e.span.end <= s.end;
        let mut items = p.ast.files.iter().flat_map(|f| &f.items).map(|i| i.span);
        if let Some(item) = items.find(inside) {
            out.push((item, names));
        }
    }
    out
}

/// The names of a variable, or of a tuple of them.
fn collect(p: &Program, e: ExprId, out: &mut BTreeSet<Arc<str>>) {
    match &p.ast.expr(e).kind {
        ExprKind::Name(n) => {
            out.insert(n.clone());
        }
        ExprKind::Tuple(parts) => parts.iter().for_each(|e| collect(p, *e, out)),
        _ => {}
    }
}

impl Elab<'_> {
    /// What is bound to a name: a value of its own if a derivative is taken by it.
    pub(super) fn variable(&mut self, name: &Ident, v: Value) -> Value {
        let Value::Tensor(t) = &v else { return v };
        let span = name.span;
        let varies = |(item, names): &(Span, BTreeSet<Arc<str>>)| {
            item.file == span.file && item.start <= span.start && span.end <= item.end && names.contains(&name.text)
        };
        if !t.elem.dtype().is_float() || !self.st.variables.iter().any(varies) {
            return v;
        }
        // The number of the node that it becomes: no two are alike.
        let number = self.b.graph().nodes.len() as u32;
        let id = self.b.op(Op::Tag(Tag::Variable(number)), &[t.id]);
        Value::Tensor(Tensor { id, ..t.clone() })
    }
}
