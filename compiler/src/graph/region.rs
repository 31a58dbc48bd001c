//! Cuts a loop's body out of a graph.
//!
//! In: a graph, which of its values come in from outside the loop, what is carried and what is stacked. Out: a [`Scan`]
//! whose body holds what these need, and its operands. Elaboration, differentiation and the passes over loops all make
//! their loops here, so slots stand in one order and nothing is in a body that nobody needs.

use super::build::Builder;
use super::graph::{Graph, Slot, SlotKind, ValueId};
use super::ops::region::Scan;
use super::ty::TensorTy;
use std::collections::BTreeMap;

/// How a value comes into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A carry, which this value starts.
    Carry(ValueId),
    /// A slice of this value.
    Slice(ValueId),
    /// This value, whole.
    Whole(ValueId),
}

/// What a loop is to do.
pub struct Plan<'a> {
    /// The graph that holds the values of one step.
    pub graph: &'a Graph,
    /// How a value comes in; what does not is computed in the body.
    pub leaf: &'a dyn Fn(ValueId) -> Option<Leaf>,
    /// The value to take in another's place.
    pub alias: &'a dyn Fn(ValueId) -> ValueId,
    /// Carries: what a step finds, and what it leaves.
    pub carried: &'a [(ValueId, ValueId)],
    /// What is stacked, by name.
    pub stacks: &'a [(String, ValueId)],
    /// Steps.
    pub length: u64,
    /// From the last slice to the first.
    pub reverse: bool,
}

/// The loop and its operands.
pub fn cut(p: &Plan<'_>) -> (Scan, Vec<ValueId>) {
    let g = p.graph;
    let roots: Vec<ValueId> = p.carried.iter().map(|c| c.1).chain(p.stacks.iter().map(|s| s.1)).collect();
    let mut needed = vec![false; g.nodes.len()];
    roots.iter().for_each(|&v| needed[(p.alias)(v).idx()] = true);
    for v in g.values().rev() {
        if needed[v.idx()] && (p.leaf)(v).is_none() {
            g.inputs(v).iter().for_each(|&x| needed[(p.alias)(x).idx()] = true);
        }
    }
    let mut b = Builder::new("");
    let mut new: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let mut operands = vec![];
    let mut come_in = |b: &mut Builder, v: ValueId, kind: &str, ty: &TensorTy, from: ValueId| {
        let name = format!("{kind}{}", operands.len());
        operands.push(from);
        (b.span, b.scope) = (None, None);
        let id = b.input(Slot { name: name.as_str().into(), kind: SlotKind::Data, ty: ty.clone() });
        new.insert(v, id);
    };
    for (v, _) in p.carried {
        if let Some(Leaf::Carry(from)) = (p.leaf)(*v) {
            come_in(&mut b, *v, "c", g.ty(*v), from);
        }
    }
    let mut scanned = 0;
    for v in g.values().filter(|v| needed[v.idx()]) {
        if let Some(Leaf::Slice(from)) = (p.leaf)(v) {
            come_in(&mut b, v, "x", g.ty(v), from);
            scanned += 1;
        }
    }
    for v in g.values().filter(|v| needed[v.idx()]) {
        if let Some(Leaf::Whole(from)) = (p.leaf)(v) {
            come_in(&mut b, v, "w", g.ty(v), from);
        }
    }
    for v in g.values().filter(|v| needed[v.idx()]) {
        if !new.contains_key(&v) {
            let n = g.node(v);
            let x: Vec<ValueId> = n.inputs.iter().map(|&x| new[&(p.alias)(x)]).collect();
            (b.span, b.scope) = (n.span, n.scope.clone());
            let id = b.op(n.op.clone(), &x);
            new.insert(v, id);
        }
        if let Some(name) = &g.node(v).name {
            b.name(new[&v], name);
        }
    }
    for (i, (_, next)) in p.carried.iter().enumerate() {
        b.output(&format!("c{i}"), new[&(p.alias)(*next)]);
    }
    for (name, v) in p.stacks {
        b.output(name, new[&(p.alias)(*v)]);
    }
    let scan = Scan {
        body: b.finish().into(),
        length: p.length,
        carries: p.carried.len() as u32,
        scanned,
        reverse: p.reverse,
    };
    (scan, operands)
}
