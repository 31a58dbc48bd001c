//! What is reported of a loss or metric, such that it does not depend on how the rows are cut into batches.
//!
//! In: a scalar of a step's graph. Out: sums of means, each a numerator and a denominator that add up over batches, and
//! functions to apply to their total at the end: `sqrt(mse(..))`, `cross_entropy(.., mask: w) + 0.01 * sum(m.k ** 2)`.
//! What the batches share, parameters alone, is a constant and joins one of the means. Everything else (a maximum, a
//! quotient of means) has no exact value over several batches and stays a number of each batch.

use super::cx::Elab;
use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind};
use nn_runtime::train::derived::Then;

/// Numerators and denominators, all `f32` or all of the scalar's dtype, and what is applied to the sum of their quotients,
/// innermost first.
pub struct Parts {
    /// `(numerator, denominator)`
    pub means: Vec<(ValueId, ValueId)>,
    /// Functions of the total.
    pub then: Vec<Then>,
}

/// A scalar taken apart; `None` where that cannot be done exactly.
pub fn parts(el: &mut Elab<'_>, v: ValueId) -> Option<Parts> {
    let mut fuel = 1000;
    if let Some(means) = means(el, v, &mut fuel) {
        return Some(Parts { means, then: vec![] });
    }
    let (op, x) = (el.b.graph().op(v).clone(), el.b.graph().inputs(v).to_vec());
    let Op::Ew(ew) = op else { return passed(el, &op, &x).and_then(|x| parts(el, x)) };
    let constant = |i: usize| x.get(i).and_then(|&c| el.uniform(c));
    let (inner, then) = match (ew, constant(0), constant(1)) {
        (Ew::Sqrt, ..) => (x[0], Then::Sqrt),
        (Ew::Exp, ..) => (x[0], Then::Exp),
        (Ew::Log, ..) => (x[0], Then::Log),
        (Ew::Neg, ..) => (x[0], Then::Times(-1.0)),
        (Ew::Mul, ..) if x[0] == x[1] => (x[0], Then::Square),
        (Ew::Add, _, Some(c)) => (x[0], Then::Plus(c)),
        (Ew::Add, Some(c), _) => (x[1], Then::Plus(c)),
        (Ew::Mul, _, Some(c)) => (x[0], Then::Times(c)),
        (Ew::Mul, Some(c), _) => (x[1], Then::Times(c)),
        (Ew::Div, _, Some(c)) => (x[0], Then::Times(1.0 / c)),
        (Ew::Div, Some(c), _) => (x[1], Then::Divides(c)),
        _ => return None,
    };
    let mut all = parts(el, inner)?;
    all.then.push(then);
    Some(all)
}

/// The operand of an op that passes a scalar on.
fn passed(el: &Elab<'_>, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let same = |v: ValueId| el.b.ty(v).numel() == 1;
    match op {
        Op::Cast(d) if d.is_float() && el.b.ty(x[0]).dtype.is_float() => Some(x[0]),
        Op::Tag(_) | Op::Reshape(_) | Op::Broadcast { .. } | Op::Permute(_) => Some(x[0]).filter(|v| same(*v)),
        _ => None,
    }
}

/// A term of a sum.
enum Term {
    Mean(ValueId, ValueId),
    /// The same in every batch.
    Constant(ValueId),
}

/// The scalar as a sum of means, if it is one. How many there are does not depend on the number of rows, so means with
/// equal denominators are not joined here.
fn means(el: &mut Elab<'_>, v: ValueId, fuel: &mut usize) -> Option<Vec<(ValueId, ValueId)>> {
    let mut sums: Vec<(ValueId, ValueId)> = vec![];
    let mut constants = vec![];
    for t in terms(el, v, fuel)? {
        match t {
            Term::Constant(c) => constants.push(c),
            Term::Mean(n, d) => sums.push((n, d)),
        }
    }
    let (num, den) = sums.first_mut()?;
    for c in constants {
        *num = plus_constant(el, *num, *den, c);
    }
    Some(sums)
}

/// The numerator of `num / den + c`.
pub fn plus_constant(el: &mut Elab<'_>, num: ValueId, den: ValueId, c: ValueId) -> ValueId {
    let c = el.b.cast(c, el.b.ty(den).dtype);
    let c = el.b.ew(Ew::Mul, &[c, den]);
    el.b.ew(Ew::Add, &[num, c])
}

fn terms(el: &mut Elab<'_>, v: ValueId, fuel: &mut usize) -> Option<Vec<Term>> {
    *fuel = fuel.checked_sub(1)?;
    if let Some((num, den)) = el.st.means.get(&v).copied().or_else(|| mean_of_all(el, v)) {
        return Some(vec![Term::Mean(num, den)]);
    }
    if !depends_on_batch(el.b.graph(), v) {
        return Some(vec![Term::Constant(v)]);
    }
    let (op, x) = (el.b.graph().op(v).clone(), el.b.graph().inputs(v).to_vec());
    let Op::Ew(ew) = op else { return passed(el, &op, &x).and_then(|x| terms(el, x, fuel)) };
    match ew {
        Ew::Add => {
            let mut all = terms(el, x[0], fuel)?;
            all.extend(terms(el, x[1], fuel)?);
            Some(all)
        }
        Ew::Neg => {
            let all = terms(el, x[0], fuel)?;
            Some(each(all, |n| el.b.ew(Ew::Neg, &[n])))
        }
        Ew::Mul | Ew::Div => {
            let (scaled, by) = match ew {
                Ew::Mul if !depends_on_batch(el.b.graph(), x[0]) => (x[1], x[0]),
                _ if !depends_on_batch(el.b.graph(), x[1]) => (x[0], x[1]),
                _ => return None,
            };
            let all = terms(el, scaled, fuel)?;
            Some(each(all, |n| {
                let by = el.b.cast(by, el.b.ty(n).dtype);
                el.b.ew(ew, &[n, by])
            }))
        }
        _ => None,
    }
}

/// Applies a linear function to a sum of terms.
fn each(all: Vec<Term>, mut f: impl FnMut(ValueId) -> ValueId) -> Vec<Term> {
    let one = |t| match t {
        Term::Mean(n, d) => Term::Mean(f(n), d),
        Term::Constant(c) => Term::Constant(f(c)),
    };
    all.into_iter().map(one).collect()
}

/// `sum over everything / number of elements`, which `mean(x, axis: 0)` of a vector is.
fn mean_of_all(el: &mut Elab<'_>, v: ValueId) -> Option<(ValueId, ValueId)> {
    let g = el.b.graph();
    let (num, den) = match (g.op(v), g.inputs(v)) {
        (Op::Ew(Ew::Div), &[num, den]) => (num, Some(den)),
        // One element: it was not divided.
        _ if depends_on_batch(g, v) => (v, None),
        _ => return None,
    };
    let mut sum = num;
    while let Op::Reshape(_) = g.op(sum) {
        sum = g.inputs(sum)[0];
    }
    let Op::Reduce { kind: ReduceKind::Sum, .. } = g.op(sum) else { return None };
    let n = g.ty(g.inputs(sum)[0]).numel() as f64;
    let fits = g.ty(v).rank() == 0 && den.map_or(Some(1.0), |d| el.uniform(d)) == Some(n);
    fits.then(|| (num, den.unwrap_or_else(|| el.b.scalar(el.b.ty(v).dtype, 1.0))))
}

/// Does a value differ from batch to batch?
pub fn depends_on_batch(g: &Graph, v: ValueId) -> bool {
    let live = g.live([v]);
    g.values().filter(|v| live[v.idx()]).any(|v| match g.op(v) {
        Op::Input { slot } => g.slots[*slot as usize].kind == SlotKind::Data,
        Op::Rng { .. } => true,
        _ => false,
    })
}
