//! The graph verifier: holds a graph to its invariants and reports every violation at once.
//!
//! 1. Operands come before their users.
//! 2. Every type is the one that the op's rule gives for its operands, within the limits on axes and elements.
//! 3. Constants are values of their dtype (part of the rule of `const`).
//! 4. Inputs read slots that exist, with the slot's type.
//! 5. Nodes that share a random site are equal: no two different draws share a stream.
//! 6. Slot names are unique; step slots are scalars.
//! 7. Outputs are values of the graph, and their names are unique.
//! 8. An assignment is to a parameter or state, of its type and name, and the only one to it.
//! 9. A region is used by results of it alone, each of the type that its body gives; bodies hold to all of this.

use super::graph::{Graph, SlotKind, ValueId};
use super::ops::Op;
use super::print::{PrintOptions, to_text_with};
use super::ty::{MAX_RANK, TensorTy};
use std::collections::BTreeMap;
use std::fmt;

/// Everything that is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyErrors {
    /// What is wrong, with the value it is wrong at.
    pub errors: Vec<(Option<ValueId>, String)>,
}

impl VerifyErrors {
    /// The graph's text with the errors under their lines.
    pub fn marked(&self, g: &Graph) -> String {
        let marks: Vec<(ValueId, String)> = self.errors.iter().filter_map(|(v, e)| Some(((*v)?, e.clone()))).collect();
        to_text_with(g, PrintOptions { marks: &marks, short: true, ..PrintOptions::default() })
    }
}

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (v, e)) in self.errors.iter().enumerate() {
            let nl = if i > 0 { "\n" } else { "" };
            match v {
                Some(v) => write!(f, "{nl}value {}: {e}", v.0)?,
                None => write!(f, "{nl}{e}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for VerifyErrors {}

/// Checks every invariant.
pub fn verify(g: &Graph) -> Result<(), VerifyErrors> {
    let mut errors = vec![];
    slots(g, &mut errors);
    nodes(g, &mut errors);
    outputs(g, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(VerifyErrors { errors }) }
}

type Errors = Vec<(Option<ValueId>, String)>;

fn slots(g: &Graph, errors: &mut Errors) {
    let mut seen = BTreeMap::new();
    for (i, s) in g.slots.iter().enumerate() {
        if let Some(j) = seen.insert(s.name.clone(), i) {
            errors.push((None, format!("slots {j} and {i} are both called `{}`", s.name)));
        }
        if s.ty.rank() > MAX_RANK || s.ty.checked_numel().is_none() {
            errors.push((None, format!("slot `{}` is {}, which is too large", s.name, s.ty)));
        }
        if s.kind == SlotKind::Step && s.ty.rank() != 0 {
            errors.push((None, format!("step slot `{}` is {}, not a scalar", s.name, s.ty)));
        }
    }
}

fn nodes(g: &Graph, errors: &mut Errors) {
    let mut sites: BTreeMap<u32, ValueId> = BTreeMap::new();
    for (v, node) in g.values().zip(&g.nodes) {
        if let Some(x) = node.inputs.iter().find(|x| **x >= v) {
            errors.push((Some(v), format!("the operand {} does not come before its user {}", x.0, v.0)));
            continue;
        }
        let operands: Vec<&TensorTy> = node.inputs.iter().map(|&x| g.ty(x)).collect();
        match node.op.infer(&operands, &g.slots) {
            Ok(ty) if ty == node.ty => {}
            Ok(ty) => errors.push((Some(v), format!("`{}` gives {ty}, but the value is {}", node.op.name(), node.ty))),
            Err(why) => errors.push((Some(v), why)),
        }
        let region = |x: &ValueId| matches!(g.op(*x), Op::Scan(_));
        match (&node.op, node.inputs.first().map(|&x| g.op(x))) {
            (Op::Result { index, ty }, Some(Op::Scan(s))) if s.result(*index as usize).as_ref() != Some(ty) => {
                errors.push((Some(v), format!("the region has no result {index} of type {ty}")));
            }
            (Op::Result { .. }, _) => {}
            _ if node.inputs.iter().any(region) => {
                errors.push((Some(v), "a region is no value: its results are".to_owned()));
            }
            _ => {}
        }
        if let Op::Scan(s) = &node.op
            && let Err(inside) = verify(&s.body)
        {
            errors.extend(inside.errors.into_iter().map(|(at, e)| {
                let at = at.map_or(String::new(), |x| format!("value {}: ", x.0));
                (Some(v), format!("in the body: {at}{e}"))
            }));
        }
        if let Op::Rng { site, .. } = node.op {
            let first = *sites.entry(site).or_insert(v);
            if g.node(first).op != node.op {
                errors.push((Some(v), format!("value {} draws other numbers from the same site {site}", first.0)));
            }
        }
    }
}

fn outputs(g: &Graph, errors: &mut Errors) {
    let mut names = BTreeMap::new();
    let mut assigned = BTreeMap::new();
    for (i, o) in g.outputs.iter().enumerate() {
        if o.value.idx() >= g.nodes.len() || matches!(g.op(o.value), Op::Scan(_)) {
            errors.push((None, format!("output `{}` is value {}, which does not exist", o.name, o.value.0)));
            continue;
        }
        if let Some(j) = names.insert((o.name.clone(), o.assign.is_some()), i) {
            errors.push((Some(o.value), format!("outputs {j} and {i} are both called `{}`", o.name)));
        }
        let Some(n) = o.assign else { continue };
        let Some(slot) = g.slots.get(n as usize) else {
            errors.push((Some(o.value), format!("output `{}` assigns slot {n}, which does not exist", o.name)));
            continue;
        };
        if !matches!(slot.kind, SlotKind::Param | SlotKind::State) {
            errors
                .push((Some(o.value), format!("`{}` is assigned, but is neither a parameter nor a state", slot.name)));
        }
        if slot.ty != *g.ty(o.value) {
            let ty = g.ty(o.value);
            errors.push((Some(o.value), format!("`{}` is {}, but {ty} is assigned to it", slot.name, slot.ty)));
        }
        if slot.name != o.name {
            errors.push((Some(o.value), format!("an assignment to `{}` is called `{}`", slot.name, o.name)));
        }
        if assigned.insert(n, i).is_some() {
            errors.push((Some(o.value), format!("`{}` is assigned twice", slot.name)));
        }
    }
}

#[cfg(test)]
mod tests;
