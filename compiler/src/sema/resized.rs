//! Whether a mean counts exactly, from the graphs of two batch sizes.
//!
//! In: the evaluation graphs of a unit for two numbers of rows. Out: a finding for each mean whose numerator or denominator
//! grows with anything but the rows. [`super::rows`] follows how rows of one batch mix; what it cannot see is that
//! a number was computed from the size of the batch, `mean(e * size(e))` or `mean(e) + 1.0 / B`, and that a row counts
//! its own place. Of two sizes such numbers differ, whatever way they came.

use super::units::{Form, Report, TrainUnit};
use crate::diag::Diagnostic;
use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::region::Scan;
use crate::graph::ops::{Op, ReduceKind};
use crate::source::Span;
use nn_runtime::train::derived::Derived;
use std::collections::HashMap;

/// An evaluation graph and its rows.
pub(super) type Sized = ((TrainUnit, Graph), u64);

/// Losses and metrics that batches of several sizes make in different ways, so that no total can be made of them.
pub(super) fn disagreeing(all: &[Sized]) -> Vec<String> {
    let Some((((first, _), _), others)) = all.split_first() else { return vec![] };
    let form = |u: &TrainUnit, name: &str| u.reports.iter().find(|r| r.name == name).map(|r| r.form.clone());
    let differs = |name: &str| others.iter().any(|((u, _), _)| form(u, name) != form(first, name));
    first.reports.iter().filter(|r| differs(&r.name)).map(|r| r.name.clone()).collect()
}

/// What is no mean of the rows: as far as one batch tells, or because batches of another size say something else.
pub(super) fn inexact(((unit, a), rows): &Sized, other: Option<&Sized>, plain: &[String]) -> Vec<Diagnostic> {
    let mut sizes = other.map(|((_, b), more)| Resized::new((a, *rows), (b, *more)));
    let mut exact = |r: &Report| {
        r.exact
            && !plain.contains(&r.name)
            && match (&mut sizes, &r.form) {
                (None, _) => true,
                (Some(s), Form::Parts(d)) => (0..d.terms).all(|i| {
                    let [num, den] = Derived::outputs(&r.name, i);
                    s.exact(&num, &den)
                }),
                (Some(s), _) => s.exact(&format!("{}.num", r.name), &format!("{}.den", r.name)),
            }
    };
    let wrong = unit.reports.iter().filter(|r| !exact(r));
    wrong.map(|r| averaged(&r.name, r.at, unit.batches().eval)).collect()
}

/// A loss or metric that is no mean of the rows.
fn averaged(name: &str, at: Span, rows: u64) -> Diagnostic {
    Diagnostic::warning("W0504", at, format!("`{name}` is an average over batches of {rows} rows"))
        .here("no mean of the rows, nor a function of one")
        .note("its value would differ if all rows were one batch; sums and scaled means, and sqrt, exp or log of them, do not")
        .help("a `metric` item keeps state over all batches; `batch = full` makes one batch of them")
}

/// Two graphs of one step.
struct Resized<'g> {
    a: &'g Graph,
    b: &'g Graph,
    /// Rows of `b` over those of `a`.
    ratio: f64,
    alike: HashMap<(ValueId, ValueId), bool>,
}

impl<'g> Resized<'g> {
    /// Graphs for different numbers of rows.
    fn new((a, rows): (&'g Graph, u64), (b, more): (&'g Graph, u64)) -> Resized<'g> {
        Resized { a, b, ratio: more as f64 / rows as f64, alike: HashMap::new() }
    }

    /// Is a mean the same number if every row comes several times? Its parts are outputs.
    fn exact(&mut self, num: &str, den: &str) -> bool {
        let find = |g: &Graph, name: &str| g.outputs.iter().find(|o| *o.name == *name).map(|o| o.value);
        let both = |name: &str| find(self.a, name).zip(find(self.b, name));
        let (Some(num), Some(den)) = (both(num), both(den)) else { return false };
        self.grows(num) && self.grows(den) || self.same(num) && self.same(den)
    }

    /// Is a value of the larger batch as many times that of the smaller one as it has rows?
    fn grows(&mut self, (a, b): (ValueId, ValueId)) -> bool {
        let (x, y) = (self.a.inputs(a), self.b.inputs(b));
        let at = |i: usize| (x[i], y[i]);
        match (self.a.op(a), self.b.op(b)) {
            (Op::Const(p), Op::Const(q)) => match (p.data(), q.data()) {
                // A product with the number of rows is rounded once.
                ([p], [q]) => (p * self.ratio - q).abs() <= q.abs() * 4.0 * f64::from(f32::EPSILON),
                _ => false,
            },
            (Op::Reduce { kind: ReduceKind::Sum, axes }, Op::Reduce { kind: ReduceKind::Sum, axes: others }) => {
                let n = |g: &Graph, v: ValueId| g.ty(v).numel() as f64;
                axes == others && n(self.b, y[0]) == n(self.a, x[0]) * self.ratio && self.same(at(0))
            }
            (p, q) if std::mem::discriminant(p) != std::mem::discriminant(q) => false,
            (Op::Cast(_) | Op::Tag(_) | Op::Reshape(_), _) => self.grows(at(0)),
            (Op::Ew(f), Op::Ew(h)) if f == h => match f {
                Ew::Neg => self.grows(at(0)),
                Ew::Add => self.grows(at(0)) && self.grows(at(1)),
                Ew::Mul => self.grows(at(0)) && self.same(at(1)) || self.same(at(0)) && self.grows(at(1)),
                Ew::Div => self.grows(at(0)) && self.same(at(1)),
                _ => false,
            },
            _ => false,
        }
    }

    /// Is a value the same function of the rows in both?
    fn same(&mut self, (a, b): (ValueId, ValueId)) -> bool {
        if let Some(&known) = self.alike.get(&(a, b)) {
            return known;
        }
        let (x, y) = (self.a.inputs(a).to_vec(), self.b.inputs(b).to_vec());
        let yes = x.len() == y.len() && self.same_op(a, b) && x.into_iter().zip(y).all(|pair| self.same(pair));
        self.alike.insert((a, b), yes);
        yes
    }

    fn same_op(&self, a: ValueId, b: ValueId) -> bool {
        let (op, other) = (self.a.op(a), self.b.op(b));
        // Axes of the first operand that have one size in both.
        let (x, y) = (self.a.inputs(a).first(), self.b.inputs(b).first());
        let sized = |k: usize| match (x, y) {
            (Some(&x), Some(&y)) => self.a.ty(x).shape.get(k) == self.b.ty(y).shape.get(k),
            _ => true,
        };
        match (op, other) {
            (Op::Const(p), Op::Const(q)) => p.ty() == q.ty() && p.data() == q.data(),
            (Op::Iota { shape, axis }, Op::Iota { shape: more, axis: other }) => {
                axis == other && shape[*axis as usize] == more[*axis as usize]
            }
            (Op::Input { slot }, Op::Input { slot: other }) => {
                let (s, t) = (&self.a.slots[*slot as usize], &self.b.slots[*other as usize]);
                s.name == t.name && (s.ty == t.ty || s.kind == SlotKind::Data)
            }
            (Op::Rng { site, .. }, Op::Rng { site: other, .. }) => site == other,
            (Op::Reduce { axes, .. }, _) => op == other && axes.iter().all(|&k| sized(k as usize)),
            (Op::Broadcast { axes, .. }, Op::Broadcast { axes: other, .. }) => axes == other,
            (Op::Reshape(_), Op::Reshape(_)) => true,
            (Op::Slice { start, stop, step }, Op::Slice { start: from, stop: to, step: by }) => {
                start == from && step == by && (0..stop.len()).all(|k| stop[k] == to[k] || !sized(k))
            }
            (Op::DynSlice { .. }, Op::DynSlice { .. }) => true,
            (Op::Result { index, .. }, Op::Result { index: other, .. }) => index == other,
            (Op::Scan(s), Op::Scan(t)) => {
                let head = |s: &Scan| (s.length, s.carries, s.scanned, s.reverse, s.results());
                let mut bodies = Resized { a: &s.body, b: &t.body, ratio: self.ratio, alike: HashMap::new() };
                let outputs = s.body.outputs.iter().zip(&t.body.outputs);
                head(s) == head(t) && outputs.into_iter().all(|(p, q)| bodies.same((p.value, q.value)))
            }
            _ => op == other,
        }
    }
}
