//! `where` conditions of functions and models: what their arguments must fulfil.
//!
//! In: a condition and the arguments bound in its scope. Out: E0115 at the argument that breaks it. This is how std states
//! the range of every hyperparameter (`model Dropout(p: float = 0.5) where p >= 0 and p <= 1`), so no message and no check
//! of a layer's own stands in the compiler. Conditions on dims that a later call decides wait until they are decided.

use super::cx::{Elab, Env, R, Reported, Scope};
use super::value::Value;
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, ExprId, ExprKind};
use std::sync::Arc;

/// How far from a number that breaks a condition one that fulfils it is looked for.
const NEAR: i64 = 64;

/// A condition with what is needed to say where it fails.
#[derive(Clone)]
pub struct Condition {
    /// The condition.
    pub expr: ExprId,
    /// The arguments are bound here.
    pub env: Env,
    /// The function or model.
    pub name: Arc<str>,
    /// Where each argument was written.
    pub places: Vec<(Arc<str>, Span)>,
    /// Where it is called or used.
    pub call: Span,
}

impl Elab<'_> {
    /// Checks a condition, or puts it off where it mentions a dim that is not known yet.
    pub fn condition(&mut self, c: Condition) -> R<()> {
        if self.has_hole(c.expr, &c.env) {
            self.st.late_conditions.push(c);
            return Ok(());
        }
        self.holds(&c, c.expr)
    }

    /// Checks what was put off; all dims are known.
    pub fn late_conditions(&mut self) -> R<()> {
        let mut all = Ok(());
        for c in std::mem::take(&mut self.st.late_conditions) {
            // A dim that nothing decided has been reported.
            if !self.has_hole(c.expr, &c.env) {
                all = self.holds(&c, c.expr).and(all);
            }
        }
        all
    }

    /// The parts of `a and b` are checked one by one: the message names the one that fails.
    fn holds(&mut self, c: &Condition, e: ExprId) -> R<()> {
        if let ExprKind::Binary { op: BinaryOp::And, lhs, rhs, .. } = &self.ast.expr(e).kind {
            return self.holds(c, *lhs).and_then(|()| self.holds(c, *rhs));
        }
        let span = self.ast.span(e);
        let before = self.diags.len();
        let value = match self.eval(e, &c.env) {
            Ok(v) => v,
            // What cannot even be computed is told of the argument, not of std's text.
            Err(_) if self.is_std(span) && self.diags.len() > before => {
                self.diags.truncate(before);
                return Err(self.broken(c, e));
            }
            Err(e) => return Err(e),
        };
        match value {
            // A schedule's value, or a parameter given for a slope: std's ranges are for numbers.
            Value::Tensor(_) if self.is_std(span) => Ok(()),
            v if self.as_bool(&v, span, "a `where` condition")? => Ok(()),
            _ => Err(self.broken(c, e)),
        }
    }

    fn broken(&mut self, c: &Condition, e: ExprId) -> Reported {
        let span = self.ast.span(e);
        let mut names = vec![];
        self.names_in(e, &mut names);
        names.retain(|n| c.places.iter().any(|(p, _)| p == n) || n.starts_with(|c: char| c.is_ascii_uppercase()));
        let found: Vec<String> = names
            .iter()
            .filter_map(|n| {
                Some(match self.lookup(n, span, &c.env).ok().flatten()? {
                    Value::Dim(d) => format!("{n} = {}", d.size),
                    Value::ConstFn(x) => format!("{n} = {x}"),
                    Value::Closure(_) => return None,
                    Value::Fn(_) if !c.places.iter().any(|(p, _)| p == n) => return None,
                    v => format!("{n} = {}", v.show()),
                })
            })
            .collect();
        let seen = found.join(", ");
        let found = if found.is_empty() { String::new() } else { format!(", found {seen}") };
        let places = || names.iter().filter_map(|n| c.places.iter().find(|(p, _)| p == n).map(|(_, s)| *s));
        let nearest = self.nearest_int(c, e, &names);
        let at = nearest
            .map(|(at, _)| at)
            .into_iter()
            .chain(places())
            .chain([c.call])
            .find(|s| !self.is_std(*s))
            .unwrap_or(span);
        let message = format!("`{}` needs `{}`{found}", c.name, self.text(span));
        let mut d = Diagnostic::error("E0115", at, message);
        for n in &names {
            if let Ok(Some(Value::Dim(dim))) = self.lookup(n, span, &c.env)
                && let Some(o) = dim.origin.filter(|o| *o != at && !self.is_std(*o))
            {
                d = d.label(o, format!("{n} = {} comes from here", dim.size));
            }
        }
        if let Some((at, n)) = nearest {
            d = d.fix(format!("write `{n}`"), [Edit::replace(at, n.to_string())]);
        }
        // A schedule's name alone, where what it makes is meant.
        let schedule = names.iter().find_map(|n| match self.lookup(n, span, &c.env).ok().flatten()? {
            Value::Fn(f) if !f.def.params.is_empty() && self.is_std(f.def.name.span) => Some(f.def.name.text.clone()),
            _ => None,
        });
        if let Some(name) = schedule.filter(|n| self.text(at) == &**n) {
            let text = format!("{name}(1e-3)");
            d = d.fix(format!("call it, with its rate: `{text}`"), [Edit::replace(at, &text)]);
        }
        if at != span && !self.is_std(span) {
            d = d.here(seen).label(span, "required here");
        } else if let ExprKind::Binary { op, lhs, rhs, .. } = &self.ast.expr(e).kind
            && let (Ok(a), Ok(b)) = (self.eval(*lhs, &c.env), self.eval(*rhs, &c.env))
            && at == span
        {
            d = d.here(format!("{} {} {}", a.show(), super::statics::op_text(*op), b.show()));
        }
        self.error(d)
    }

    /// The whole number nearest to one that was given, the first in the condition, with which the condition holds.
    fn nearest_int(&mut self, c: &Condition, e: ExprId, names: &[Arc<str>]) -> Option<(Span, i64)> {
        let mut tried = None;
        for name in names {
            let Some((_, at)) = c.places.iter().find(|(p, s)| p == name && !self.is_std(*s)) else { continue };
            if let Ok(Some(Value::Int(n))) = self.lookup(name, *at, &c.env)
                && self.text(*at).parse() == Ok(n)
            {
                tried = Some((name.clone(), *at, n));
                break;
            }
        }
        let (name, at, given) = tried?;
        let before = self.diags.len();
        let found = (1..=NEAR).flat_map(|by| [given - by, given + by]).filter(|n| *n >= 0).find(|n| {
            let env = Scope::inside(&c.env);
            env.bind(&name, Value::Int(*n), false, at);
            matches!(self.eval(e, &env), Ok(Value::Bool(true)))
        });
        self.diags.truncate(before);
        found.map(|n| (at, n))
    }

    /// Names that an expression mentions, each once, in order.
    fn names_in(&self, e: ExprId, out: &mut Vec<Arc<str>>) {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) if !out.contains(n) => out.push(n.clone()),
            ExprKind::Unary(_, a) | ExprKind::Field { base: a, .. } => self.names_in(*a, out),
            ExprKind::Binary { lhs, rhs, .. } => {
                self.names_in(*lhs, out);
                self.names_in(*rhs, out);
            }
            ExprKind::Call { callee, args } => {
                self.names_in(*callee, out);
                args.iter().for_each(|a| self.names_in(a.value, out));
            }
            _ => {}
        }
    }
}
