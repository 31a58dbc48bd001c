//! The graph: an arena of typed SSA values.
//!
//! Nodes are appended, inputs before users, so the arena order is a topological order. Passes never change a graph:
//! they build a new one through `rewrite.rs` and keep names and spans.

use super::ops::Op;
use super::ty::TensorTy;
use crate::source::Span;
use smallvec::SmallVec;
use std::sync::Arc;

/// A value of a graph: the result of the node with the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

impl ValueId {
    /// As an index into [`Graph::nodes`].
    pub fn idx(self) -> usize {
        self.0 as usize
    }
}

/// Ordered operands.
pub type Inputs = SmallVec<[ValueId; 3]>;

/// One operation and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub inputs: Inputs,
    /// The type of the result, computed by the op's rule.
    pub ty: TensorTy,
    /// Where it comes from; a gradient keeps the span of what it differentiates.
    pub span: Option<Span>,
    /// The layer it belongs to: `fc1`, `blocks.0.attn`.
    pub scope: Option<Arc<str>>,
    /// A name for people (`fc1.weight`, `h`); unique names are made by the printer.
    pub name: Option<Arc<str>>,
}

/// What an input slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// A trained parameter.
    Param,
    /// Optimizer, metric or model state.
    State,
    /// A column of the batch.
    Data,
    /// A scalar the step runtime provides: `t` (f32, updates counted from 1).
    Step,
}

/// A declared input of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name: a parameter's path, a column's name, `t`.
    pub name: Arc<str>,
    /// What it is.
    pub kind: SlotKind,
    /// Its type.
    pub ty: TensorTy,
}

/// A result of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name: `loss.num`, `acc.den`, or the slot's name for an assignment.
    pub name: Arc<str>,
    /// The value.
    pub value: ValueId,
    /// The slot (param or state) that takes this value when the step commits.
    pub assign: Option<u32>,
}

/// A graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name: `mnist_mlp.train`.
    pub name: String,
    /// The arena.
    pub nodes: Vec<Node>,
    /// Declared inputs; `Op::Input { slot }` reads one.
    pub slots: Vec<Slot>,
    /// Results and assignments, in order.
    pub outputs: Vec<Output>,
}

impl Graph {
    /// The node that makes a value.
    pub fn node(&self, v: ValueId) -> &Node {
        &self.nodes[v.idx()]
    }
    /// The op that makes a value.
    pub fn op(&self, v: ValueId) -> &Op {
        &self.node(v).op
    }
    /// The type of a value.
    pub fn ty(&self, v: ValueId) -> &TensorTy {
        &self.node(v).ty
    }
    /// The operands of a value.
    pub fn inputs(&self, v: ValueId) -> &[ValueId] {
        &self.node(v).inputs
    }
    /// Every value, inputs before users.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = ValueId> + use<> {
        (0..self.nodes.len() as u32).map(ValueId)
    }
    /// Which values some values need, themselves included.
    pub fn live(&self, roots: impl IntoIterator<Item = ValueId>) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        roots.into_iter().for_each(|v| live[v.idx()] = true);
        for v in self.values().rev() {
            if live[v.idx()] {
                self.inputs(v).iter().for_each(|x| live[x.idx()] = true);
            }
        }
        live
    }
    /// How often each value is used, outputs included.
    pub fn use_counts(&self) -> Vec<u32> {
        let mut n = vec![0; self.nodes.len()];
        for v in self.nodes.iter().flat_map(|n| n.inputs.iter()).chain(self.outputs.iter().map(|o| &o.value)) {
            n[v.idx()] += 1;
        }
        n
    }
}
