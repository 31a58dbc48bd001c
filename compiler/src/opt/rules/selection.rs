//! Choices and predicates.

use super::At;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, Tag};
use crate::opt::view::splat;
use nn_runtime::dtype::DType;

/// After differentiation a variable is a value as any other.
pub fn variable_is_identity(_: &mut Builder, at: &At) -> Option<ValueId> {
    matches!(at.op, Op::Tag(Tag::Variable(_))).then(|| at.x[0])
}

/// After differentiation a stop is nothing.
pub fn stop_is_identity(_: &mut Builder, at: &At) -> Option<ValueId> {
    (*at.op == Op::Tag(Tag::Stop)).then(|| at.x[0])
}

/// `select(c, a, a)` is `a`; a constant condition picks its arm.
pub fn same_arms(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Ew(Ew::Select), [c, p, q]) = (at.op, at.x) else { return None };
    if p == q {
        return Some(*p);
    }
    splat(b.graph(), *c).map(|c| if c != 0.0 { *p } else { *q })
}

/// A choice inside the arm of a choice by the same condition is decided: `select(c, select(c, a, b), d)`.
pub fn same_condition(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Ew(Ew::Select), &[c, p, q]) = (at.op, at.x) else { return None };
    let g = b.graph();
    let decided = |v: ValueId, arm: usize| match (g.op(v), g.inputs(v)) {
        (Op::Ew(Ew::Select), x) if x[0] == c => Some(x[arm]),
        _ => None,
    };
    match (decided(p, 1), decided(q, 2)) {
        (None, None) => None,
        (a, d) => Some(b.ew(Ew::Select, &[c, a.unwrap_or(p), d.unwrap_or(q)])),
    }
}

/// `select(not c, a, b)` is `select(c, b, a)`.
pub fn negated_condition(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Ew(Ew::Select), &[c, p, q]) = (at.op, at.x) else { return None };
    let Op::Ew(Ew::Not) = b.graph().op(c) else { return None };
    let c = b.graph().inputs(c)[0];
    let (p, q) = if nn_runtime::mutant!("opt.negated_condition") { (q, p) } else { (p, q) };
    Some(b.ew(Ew::Select, &[c, q, p]))
}

/// `select(c, true, false)` is `c`; with the arms the other way, `not c`.
pub fn select_of_constants(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Ew(Ew::Select), &[c, p, q]) = (at.op, at.x) else { return None };
    let (p, q) = (splat(b.graph(), p)?, splat(b.graph(), q)?);
    match (at.ty.dtype, p != 0.0, q != 0.0) {
        (DType::Bool, true, false) => Some(c),
        (DType::Bool, false, true) => Some(b.ew(Ew::Not, &[c])),
        _ => None,
    }
}

/// `a and true` is `a`, `a or true` is `true`, `a xor true` is `not a`, and so on.
pub fn logic_with_constant(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Ew(ew @ (Ew::And | Ew::Or | Ew::Xor)) = *at.op else { return None };
    if at.ty.dtype != DType::Bool {
        return None;
    }
    for (i, other) in [(0, 1), (1, 0)] {
        let Some(c) = splat(b.graph(), at.x[i]) else { continue };
        let neutral = (c != 0.0) == (ew == Ew::And);
        return Some(match (ew, neutral) {
            (_, true) => at.x[other],
            (Ew::Xor, false) => b.ew(Ew::Not, &[at.x[other]]),
            _ => at.x[i],
        });
    }
    None
}

/// `a and a`, `a or a` are `a`.
pub fn logic_with_itself(_: &mut Builder, at: &At) -> Option<ValueId> {
    matches!(at.op, Op::Ew(Ew::And | Ew::Or) if at.x[0] == at.x[1]).then(|| at.x[0])
}
