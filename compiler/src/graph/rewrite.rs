//! How a pass makes its new graph from the old one.
//!
//! In: a finished graph. Out: a new one, built in the old order, where every node is either copied or replaced. Names and
//! spans come along; only what outputs need is copied, so dead values vanish on the way. Slots keep their numbers.

use super::build::Builder;
use super::graph::{Graph, ValueId};

/// A new graph under construction, and where the old values went.
pub struct Rewriter<'a> {
    /// The old graph.
    pub old: &'a Graph,
    /// The new graph.
    pub b: Builder,
    map: Vec<Option<ValueId>>,
    live: Vec<bool>,
}

impl<'a> Rewriter<'a> {
    /// Starts from a graph: same name, same slots, no nodes yet.
    pub fn new(old: &'a Graph) -> Self {
        let mut b = Builder::new(&old.name);
        for slot in &old.slots {
            b.slot(slot.clone());
        }
        Rewriter { old, b, map: vec![None; old.nodes.len()], live: old.live(old.outputs.iter().map(|o| o.value)) }
    }

    /// Where an old value went; operands of a live value have always been visited before it.
    pub fn new_of(&self, v: ValueId) -> ValueId {
        self.map[v.idx()].unwrap_or_else(|| panic!("%{} was not rewritten before its user", v.0))
    }

    /// Copies a node as it is.
    pub fn copy(&mut self, v: ValueId) -> ValueId {
        let node = self.old.node(v);
        let inputs: Vec<ValueId> = node.inputs.iter().map(|&a| self.new_of(a)).collect();
        (self.b.span, self.b.scope) = (node.span, node.scope.clone());
        self.b.op(node.op.clone(), &inputs)
    }

    /// Says where an old value went; the new value takes the old one's name if it has none.
    pub fn set(&mut self, v: ValueId, new: ValueId) {
        if let Some(name) = &self.old.node(v).name {
            self.b.name(new, name);
        }
        self.map[v.idx()] = Some(new);
    }

    /// Visits every live value in order; `f` returns the replacement, or `None` to copy. Outputs follow.
    pub fn run(mut self, mut f: impl FnMut(&mut Self, ValueId) -> Option<ValueId>) -> Graph {
        for v in self.old.values() {
            if !self.live[v.idx()] {
                continue;
            }
            (self.b.span, self.b.scope) = (self.old.node(v).span, self.old.node(v).scope.clone());
            let new = match f(&mut self, v) {
                Some(new) => new,
                None => self.copy(v),
            };
            self.set(v, new);
        }
        for o in &self.old.outputs {
            let value = self.new_of(o.value);
            match o.assign {
                Some(slot) => self.b.assign(slot, value),
                None => self.b.output(&o.name, value),
            }
        }
        self.b.finish()
    }
}
