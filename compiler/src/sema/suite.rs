//! `test` items: each becomes a graph of its own.
//!
//! In: a program. Out: for every `test` of a file a graph whose outputs are the asserted conditions. A layer bound by
//! `let` gets its initial values in place: a test needs no weights.

use super::cx::{Elab, Scope, ScopeKind};
use super::tensor::classes;
use super::units::Program;
use crate::diag::{Diagnostic, Severity};
use crate::graph::graph::Graph;
use crate::graph::tensor::Tensor;
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
    /// Its graph, or why it has none. Output `i` is the condition of `checks[i]`, a
    /// bool; outputs after those are what the conditions compare.
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
    /// What it compares, if it is one `close`.
    pub sides: Option<Sides>,
}

/// The sides of a `close`.
#[derive(Clone, Debug)]
pub struct Sides {
    /// The output of the graph that is the left side.
    pub left: usize,
    /// The output that is the right side.
    pub right: usize,
    /// The tolerance of a `close`; none of `==` and the like.
    pub tol: Option<f64>,
}

impl Sides {
    /// Where the sides differ most, given the values of all outputs; `None` if they do not.
    pub fn difference(&self, values: &[Tensor]) -> Option<String> {
        let (l, r) = (values.get(self.left)?, values.get(self.right)?);
        if let ([a], [b], None) = (&l.data[..], &r.data[..], self.tol) {
            return Some(format!("{} and {}", digits(*a, 9), digits(*b, 9)));
        }
        let tol = self.tol.unwrap_or(0.0);
        let n = l.data.len().max(r.data.len());
        let pair = |i: usize| (l.data[i % l.data.len()], r.data[i % r.data.len()]);
        // NaN is close to nothing and counts as farther than anything.
        let gap = |i: usize| {
            let (a, b) = pair(i);
            if a == b { 0.0 } else { Some((a - b).abs()).filter(|d| !d.is_nan()).unwrap_or(f64::INFINITY) }
        };
        let apart = (0..n).filter(|&i| gap(i) > tol).count();
        let worst = (0..n).max_by(|&i, &j| gap(i).total_cmp(&gap(j)).then(j.cmp(&i))).filter(|_| apart > 0)?;
        let (a, b) = pair(worst);
        let shape = if l.data.len() >= r.data.len() { &l.ty.shape } else { &r.ty.shape };
        let mut rest = worst as u64;
        let mut index: Vec<String> = vec![];
        for d in shape.iter().rev() {
            index.insert(0, (rest % d).to_string());
            rest /= d;
        }
        let at = if index.is_empty() { String::new() } else { format!(" at [{}]", index.join(", ")) };
        let count = if n > 1 { format!("; {apart} of {n} elements are apart") } else { String::new() };
        let by = digits((a - b).abs(), 3);
        let rule = self.tol.map_or_else(String::new, |t| format!(", the tolerance is {t}"));
        Some(format!("{} and {} differ by {by}{at}{rule}{count}", digits(a, 7), digits(b, 7)))
    }
}

/// A number with at most so many significant digits.
fn digits(x: f64, n: usize) -> String {
    let rounded: f64 = format!("{x:.*e}", n - 1).parse().unwrap_or(x);
    if rounded == 0.0 || (1e-4..1e7).contains(&rounded.abs()) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// The tests of one file of a program.
pub fn tests(p: &Program, file: usize) -> Vec<TestUnit> {
    with_stack(|| tests_here(p, file))
}

/// Why tests of the program's own file cannot be run.
pub fn check(p: &Program) -> Vec<Diagnostic> {
    let found = tests(p, p.main()).into_iter().filter_map(|t| t.graph.err());
    super::train::in_order(found.flatten().collect())
}

fn tests_here(p: &Program, file: usize) -> Vec<TestUnit> {
    let Some(items) = p.ast.files.get(file).map(|f| &f.items) else { return vec![] };
    let mut out = vec![];
    let fresh = Elab::over(p, false);
    for item in items {
        let ItemKind::Test(t) = &item.kind else { continue };
        let mut el = fresh.anew();
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
            let text = classes::written(&el, c.span);
            let message = match c.size {
                Some(n) => format!("`{text}`: a value is outside idx<{n}>"),
                None => format!("`{text}`: a value is no finite number"),
            };
            checks.push(Check { span: c.span, message: Some(message.into()), sides: None });
        }
        let mut compared = vec![];
        for a in asserts {
            el.b.output(&format!("assert.{}", checks.len()), a.cond);
            compared.extend(a.compared.map(|c| (checks.len(), c)));
            checks.push(Check { span: a.span, message: a.message, sides: None });
        }
        for (i, c) in compared {
            let at = el.b.graph().outputs.len();
            el.b.output(&format!("assert.{i}.left"), c.left);
            el.b.output(&format!("assert.{i}.right"), c.right);
            checks[i].sides = Some(Sides { left: at, right: at + 1, tol: c.tol });
        }
        let bad = ran.is_err() || el.diags.iter().any(|d| d.severity == Severity::Error);
        let graph = if bad { Err(std::mem::take(&mut el.diags)) } else { Ok(std::mem::take(&mut el.b).finish()) };
        out.push(TestUnit { name: t.name.clone(), span: item.span, graph, checks });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ty::TensorTy;
    use nn_runtime::dtype::DType;

    #[test]
    fn a_difference_says_where_and_by_how_much() {
        let tensor = |x: &[f64]| Tensor::new(TensorTy::new(DType::F32, [2, 2]), x.to_vec());
        let sides = Sides { left: 0, right: 1, tol: Some(1e-6) };
        let values = [tensor(&[1.0, 2.0, 3.0, 0.25]), tensor(&[1.0, 2.1, 3.0, 0.3])];
        let want = "2 and 2.1 differ by 0.1 at [0, 1], the tolerance is 0.000001; 2 of 4 elements are apart";
        assert_eq!(sides.difference(&values).as_deref(), Some(want));
        let values = [tensor(&[1.0, f64::NAN, 3.0, 4.0]), Tensor::scalar(DType::F32, 1.0)];
        assert!(sides.difference(&values).is_some_and(|d| d.starts_with("NaN and 1 differ")));
        let same = [tensor(&[1.0; 4]), tensor(&[1.0; 4])];
        assert_eq!(sides.difference(&same), None);
        assert_eq!([digits(1.0 / 3.0, 7), digits(1e-9, 3), digits(0.0, 3)], ["0.3333333", "1e-9", "0"]);
    }
}
