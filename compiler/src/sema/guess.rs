//! Sizes that only the use of a result decides: `M[_]` whose scores meet class numbers in the loss.
//!
//! In: an undecided dim whose size is needed to go on. Out: a stand-in, a prime that no program mentions. Where it meets
//! another size that must equal it, that size is the solution, and the unit is elaborated again from the start with it:
//! the second run checks everything, so a wrong solution cannot pass. Two stand-ins that meet become one. Class numbers that
//! pick from an axis need only fit it, so their number decides where nothing else does. A stand-in that meets nothing is
//! E0106.

use super::cx::{Elab, Env, R};
use super::value::{Dim, DimFrom, DimVar, Value};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{ExprId, ExprKind};
use std::rc::Rc;

/// Restarts before elaboration gives up.
pub const MAX_RESTARTS: usize = 64;

/// What is known of an undecided size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It.
    Size(u64),
    /// It is that of another `_`.
    As(Span),
}

/// Stand-ins of one elaboration.
#[derive(Default)]
pub struct Guesses {
    /// May sizes be guessed here?
    pub on: bool,
    /// What elaborations before this one found, by the place of the `_`.
    pub solved: Vec<(Span, Known)>,
    /// Stand-ins that have met nothing yet.
    open: Vec<Open>,
    /// The first two sizes that differed where they must be equal.
    pub met: Option<(u64, u64)>,
    /// What this elaboration has found.
    learned: Vec<(Span, Known)>,
    /// Sizes that would do, if this elaboration finds nothing else.
    enough: Vec<(Span, u64)>,
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
    pub fn next(&self) -> Option<Vec<(Span, Known)>> {
        if self.solved.len() >= MAX_RESTARTS {
            return None;
        }
        let mut all = self.solved.clone();
        all.extend(&self.learned);
        if self.learned.is_empty() {
            all.extend(self.enough.iter().map(|(s, n)| (*s, Known::Size(*n))));
        }
        (all.len() > self.solved.len()).then_some(all)
    }

    /// The size that stands in for the `_` at a place, or that it is known to have.
    fn size(&mut self, mut at: Span, name: &str, diags: usize) -> u64 {
        loop {
            match self.solved.iter().find(|(s, _)| *s == at) {
                Some((_, Known::Size(n))) => return *n,
                // The later `_` is as the earlier one, so this ends.
                Some((_, Known::As(other))) => at = *other,
                None => break,
            }
        }
        if let Some(o) = self.open.iter().find(|o| o.at == at) {
            return o.size;
        }
        let size = prime_from(1009, self.open.len());
        self.open.push(Open { at, name: name.to_owned(), size, diags });
        size
    }

    /// Class numbers below `n` pick from an axis: as many entries are enough for it.
    fn enough(&mut self, axis: u64, n: u64) {
        let Some(o) = self.open.iter().find(|o| o.size == axis) else { return };
        match self.enough.iter_mut().find(|(s, _)| *s == o.at) {
            Some((_, m)) => *m = n.max(*m),
            None => self.enough.push((o.at, n)),
        }
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
                let diags = self.diags.len();
                let size = self.st.guesses.size(h.span, &h.name, diags);
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
            let open = |size: u64| g.open.iter().find(|o| o.size == size).map(|o| o.at);
            let Some(at) = open(x).filter(|at| g.learned.iter().all(|(s, _)| s != at)) else { continue };
            match open(y) {
                None => g.learned.push((at, Known::Size(y))),
                // The later is as the earlier: one way only, so that no chain comes back.
                Some(other) if x > y => g.learned.push((at, Known::As(other))),
                Some(_) => {}
            }
        }
    }

    /// Class numbers of `idx<n>` pick from an axis.
    pub fn picked(&mut self, axis: &Dim, n: Option<&Dim>) {
        if let Some(n) = n {
            self.st.guesses.enough(axis.size, n.size);
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
