//! `test` items: each becomes a graph of its own.
//!
//! In: a program. Out: for every `test` of a file a graph whose outputs are the asserted conditions. A layer bound by
//! `let` gets its initial values in place: a test needs no weights.

use super::cx::{Elab, Scope, ScopeKind};
use super::tensor::classes;
use super::units::Program;
use crate::diag::{Diagnostic, Severity};
use crate::graph::graph::Graph;
use crate::source::Span;
use crate::syntax::ast::ItemKind;
use crate::syntax::limits::with_stack;
use std::sync::Arc;

/// A `test` item.
#[derive(Debug)]
pub struct TestUnit {
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands.
    pub span: Span,
    /// Its graph, or why it has none. Output `i` is the condition of `checks[i]`, a bool.
    pub graph: Result<Graph, Vec<Diagnostic>>,
    /// Class numbers in their range, then the asserted conditions.
    pub checks: Vec<Check>,
}

/// An `assert` of a test.
#[derive(Clone, Debug)]
pub struct Check {
    /// Where the condition stands.
    pub span: Span,
    /// What to say if it is false.
    pub message: Option<Arc<str>>,
}

/// The tests of one file of a program.
pub fn tests(p: &Program, file: usize) -> Vec<TestUnit> {
    with_stack(|| tests_here(p, file))
}

fn tests_here(p: &Program, file: usize) -> Vec<TestUnit> {
    let Some(items) = p.ast.files.get(file).map(|f| &f.items) else { return vec![] };
    let mut out = vec![];
    for item in items {
        let ItemKind::Test(t) = &item.kind else { continue };
        let mut el = Elab::over(p, false);
        el.b = crate::graph::build::Builder::new(&t.name);
        el.st.asserts = Some(vec![]);
        let env = el.st.modules[file].env.clone();
        let scope = Scope::new(Some(env), ScopeKind::Plain);
        let ran = el.eval_block(&t.body, &scope, None);
        let asserts = el.st.asserts.take().unwrap_or_default();
        let mut checks = vec![];
        for c in std::mem::take(&mut el.st.checks) {
            let cond = classes::holds(&mut el, &c);
            el.b.output(&format!("assert.{}", checks.len()), cond);
            let message = format!("`{}`: a value is outside idx<{}>", classes::written(&el, c.span), c.size);
            checks.push(Check { span: c.span, message: Some(message.into()) });
        }
        for a in asserts {
            el.b.output(&format!("assert.{}", checks.len()), a.cond);
            checks.push(Check { span: a.span, message: a.message });
        }
        let bad = ran.is_err() || el.diags.iter().any(|d| d.severity == Severity::Error);
        let graph = if bad { Err(std::mem::take(&mut el.diags)) } else { Ok(std::mem::take(&mut el.b).finish()) };
        out.push(TestUnit { name: t.name.clone(), span: item.span, graph, checks });
    }
    out
}
