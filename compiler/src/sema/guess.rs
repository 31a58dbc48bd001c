//! Sizes that only the use of a result decides: `M[_]` whose scores meet class numbers in the loss.
//!
//! In: an undecided dim whose size is needed to go on. Out: a stand-in, a prime that no program mentions. Where it meets
//! another size that must equal it, that size is the solution, and the unit is elaborated again from the start with it:
//! the second run checks everything, so a wrong solution cannot pass. A stand-in that meets nothing is E0106.

use super::cx::{Elab, Env, R};
use super::value::{Dim, DimFrom, DimVar, Value};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{ExprId, ExprKind};
use std::rc::Rc;

/// Restarts before elaboration gives up.
pub const MAX_RESTARTS: usize = 64;

/// Stand-ins of one elaboration.
#[derive(Default)]
pub struct Guesses {
    /// May sizes be guessed here?
    pub on: bool,
    /// Sizes found by elaborations before this one, by the place of the `_`.
    pub solved: Vec<(Span, u64)>,
    /// Stand-ins that have met nothing yet.
    open: Vec<Open>,
    /// The first two sizes that differed where they must be equal.
    pub met: Option<(u64, u64)>,
    /// What this elaboration has found.
    learned: Vec<(Span, u64)>,
    /// Dims whose defaults are being looked into.
    busy: Vec<Rc<DimVar>>,
}

struct Open {
    at: Span,
    name: String,
    size: u64,
    /// Findings before the stand-in was made: those after it may be due to it.
    diags: usize,
}

impl Guesses {
    /// The solutions to start again with, if there is anything new.
    pub fn next(&self) -> Option<Vec<(Span, u64)>> {
        let new = !self.learned.is_empty() && self.solved.len() < MAX_RESTARTS;
        new.then(|| self.solved.iter().chain(&self.learned).copied().collect())
    }
}

impl Elab<'_> {
    /// Gives an undecided dim the size that is known of it, or a stand-in; `None` where guessing is off.
    pub fn stand_in(&mut self, h: &Rc<DimVar>) -> Option<Dim> {
        if !self.st.guesses.on {
            return None;
        }
        match &h.from {
            DimFrom::Call => {
                let known = self.st.guesses.solved.iter().find(|(s, _)| *s == h.span).map(|(_, n)| *n);
                let size = known.unwrap_or_else(|| {
                    let size = prime_from(1009, self.st.guesses.open.len());
                    let diags = self.diags.len();
                    self.st.guesses.open.push(Open { at: h.span, name: h.name.to_string(), size, diags });
                    size
                });
                let outer = self.fresh_dim(size, None, Some(h.span));
                Some(self.solve(h, &outer))
            }
            DimFrom::Outer(o) => {
                self.stand_in(o)?;
                self.decide(h)
            }
            DimFrom::Expr(e, env) => {
                // `M[D = D]`; that it is defined by itself is said by `decide`.
                if self.st.guesses.busy.iter().any(|b| Rc::ptr_eq(b, h)) {
                    return None;
                }
                self.st.guesses.busy.push(h.clone());
                self.stand_in_all(*e, env);
                self.st.guesses.busy.pop();
                self.decide(h)
            }
        }
    }

    fn stand_in_all(&mut self, e: ExprId, env: &Env) {
        let ast = self.ast;
        match &ast.expr(e).kind {
            ExprKind::Name(n) => {
                if let Ok(Some(Value::Hole(h))) = self.lookup(n, ast.span(e), env) {
                    self.stand_in(&h);
                }
            }
            ExprKind::Unary(_, a) => self.stand_in_all(*a, env),
            ExprKind::Binary { lhs, rhs, .. } => {
                self.stand_in_all(*lhs, env);
                self.stand_in_all(*rhs, env);
            }
            ExprKind::Call { args, .. } => args.iter().for_each(|a| self.stand_in_all(a.value, env)),
            _ => {}
        }
    }

    /// Two sizes differ where they must be equal: a stand-in among them is solved.
    pub fn learn(&mut self, a: u64, b: u64) {
        let g = &mut self.st.guesses;
        g.met.get_or_insert((a, b));
        for (x, y) in [(a, b), (b, a)] {
            if let Some(o) = g.open.iter().find(|o| o.size == x)
                && g.open.iter().all(|o| o.size != y)
                && g.learned.iter().all(|(s, _)| *s != o.at)
            {
                g.learned.push((o.at, y));
            }
        }
    }

    /// [`Elab::learn`] from shapes that must be equal from the last axis on.
    pub fn learn_shapes(&mut self, a: &[Dim], b: &[Dim]) {
        for (x, y) in a.iter().rev().zip(b.iter().rev()) {
            if x.size != y.size {
                self.learn(x.size, y.size);
            }
        }
    }

    /// Reports stand-ins that met nothing, in the place of whatever was found after they were made.
    pub fn unsolved(&mut self) -> R<()> {
        let open = std::mem::take(&mut self.st.guesses.open);
        let Some(first) = open.first() else { return Ok(()) };
        self.diags.truncate(first.diags);
        let mut r = Ok(());
        for o in open {
            let message = format!("cannot infer `{}`: nothing determines this size", o.name);
            let d = Diagnostic::error("E0106", o.at, message)
                .here("neither what goes in nor what its result meets tells")
                .help("give the size");
            r = Err(self.error(d));
        }
        r
    }
}

/// The `n`th prime from `low` on.
pub fn prime_from(low: u64, n: usize) -> u64 {
    let prime = |x: &u64| (2..).take_while(|d| d * d <= *x).all(|d| !x.is_multiple_of(d));
    (low..).filter(prime).nth(n).unwrap_or(low)
}

#[cfg(test)]
mod tests {
    use super::prime_from;

    #[test]
    fn primes() {
        assert_eq!([0, 1, 2].map(|n| prime_from(1009, n)), [1009, 1013, 1019]);
    }
}
