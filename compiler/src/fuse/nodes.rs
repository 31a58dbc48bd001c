//! What every node of the graph is to the grouper, and what its operands are read at.
//!
//! In: a graph. Out: a [`Role`] per value, and for a computed value at a map the values in memory or in other places of
//! the group that it reads ([`Demand`]). Views and scalars vanish here: a demand names what lies behind them.

use super::group::Member;
use super::index::{Arith, COMPUTED, Ix, Lin, Map, affine, is_view, through};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::{Class, Literal, Op};
use smallvec::SmallVec;

/// What a value is to the grouper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing needs it.
    Dead,
    /// A scalar constant or a count: made where it is used.
    Free,
    /// Another value at other indices.
    View,
    /// In memory without a group: an input, a constant table, a result of a region.
    Memory,
    /// Computed by a group.
    Compute,
    /// Computed again wherever it is used, because that is cheaper than memory.
    Inline,
}

/// A value that a member of a group reads.
#[derive(Clone, Debug)]
pub struct Demand {
    /// A `Memory` or `Compute` value.
    pub leaf: ValueId,
    /// At which element.
    pub at: Map,
    /// The value must be in memory, whatever the map: an operand of a contraction, scatter or region.
    pub hard: bool,
}

/// Roles and edges of all values.
pub struct Nodes<'g> {
    /// The graph.
    pub g: &'g Graph,
    /// What each value is.
    pub role: Vec<Role>,
    /// `Compute` and `Memory` values behind the operands of each computed value, ascending.
    pub deps: Vec<SmallVec<[ValueId; 4]>>,
    /// Computed values that depend on each value, ascending.
    pub users: Vec<SmallVec<[ValueId; 4]>>,
    /// Is a result or an assignment.
    pub output: Vec<bool>,
    /// The graph is the body of a loop.
    pub inside: bool,
}

impl<'g> Nodes<'g> {
    /// Classifies every value; `forced` views are computed into memory. `inside`: the graph is the body of a loop.
    pub fn new(g: &'g Graph, forced: &[ValueId], inside: bool) -> Nodes<'g> {
        let n = g.nodes.len();
        let mut output = vec![false; n];
        let mut role = vec![Role::Dead; n];
        for o in &g.outputs {
            output[o.value.idx()] = true;
        }
        let mut live = output.clone();
        for v in g.values().rev() {
            if !live[v.idx()] {
                continue;
            }
            g.inputs(v).iter().for_each(|&x| live[x.idx()] = true);
            let stored = output[v.idx()] || forced.contains(&v);
            role[v.idx()] = match g.op(v) {
                // What a region leaves is in memory to all that follows it.
                Op::Input { .. } | Op::Const(Literal::Dense(..)) | Op::Result { .. } => Role::Memory,
                Op::Const(Literal::Scalar(..)) | Op::Iota { .. } if !stored => Role::Free,
                op if is_view(op) && !stored => Role::View,
                _ => Role::Compute,
            };
        }
        let mut nodes = Nodes { g, role, deps: vec![], users: vec![], output, inside };
        nodes.link();
        nodes
    }

    /// Recomputes edges after roles changed.
    pub fn link(&mut self) {
        let n = self.g.nodes.len();
        self.deps = vec![SmallVec::new(); n];
        self.users = vec![SmallVec::new(); n];
        for v in self.g.values() {
            if self.role[v.idx()] != Role::Compute {
                continue;
            }
            let mut deps = SmallVec::new();
            for &x in self.g.inputs(v) {
                self.behind(x, &mut deps);
            }
            deps.sort_unstable();
            deps.dedup();
            for d in &deps {
                self.users[d.idx()].push(v);
                if let Op::Result { .. } = self.g.op(*d) {
                    let region = &mut self.users[self.g.inputs(*d)[0].idx()];
                    if region.last() != Some(&v) {
                        region.push(v);
                    }
                }
            }
            self.deps[v.idx()] = deps;
        }
    }

    fn behind(&self, v: ValueId, out: &mut SmallVec<[ValueId; 4]>) {
        match self.role[v.idx()] {
            Role::Dead | Role::Free => {}
            Role::Memory | Role::Compute => out.push(v),
            Role::View | Role::Inline => self.g.inputs(v).iter().for_each(|&x| self.behind(x, out)),
        }
    }

    /// One result element from single elements of the operands, with no state across iterations.
    pub fn pointwise(&self, v: ValueId) -> bool {
        match self.g.op(v).class() {
            Class::Elementwise | Class::Movement => true,
            Class::Source => !matches!(self.g.op(v), Op::Rng { .. }),
            Class::Index => !matches!(self.g.op(v), Op::Scatter { .. }),
            Class::Reduce | Class::Contract | Class::Order | Class::Region => false,
        }
    }

    /// Everything that a member reads.
    pub fn demands(&self, v: ValueId, m: &Member, cx: &mut dyn Arith) -> Vec<Demand> {
        let mut out = vec![];
        for (x, at, hard) in self.operands(v, m, cx) {
            self.walk(x, at, hard, cx, &mut out);
        }
        out
    }

    fn walk(&self, v: ValueId, at: Map, hard: bool, cx: &mut dyn Arith, out: &mut Vec<Demand>) {
        match self.role[v.idx()] {
            Role::Dead | Role::Free => {}
            Role::Memory | Role::Compute => out.push(Demand { leaf: v, at, hard }),
            Role::View => {
                let at = through(self.g, v, &at, cx);
                self.walk(self.g.inputs(v)[0], at, hard, cx, out);
            }
            // Only elementwise ops are made inline: every operand is read where the result is.
            Role::Inline => {
                for &x in self.g.inputs(v) {
                    self.walk(x, at.clone(), hard, cx, out);
                }
            }
        }
    }

    /// The direct operands of a member and the map each is read at.
    fn operands(&self, v: ValueId, m: &Member, cx: &mut dyn Arith) -> Vec<(ValueId, Map, bool)> {
        let node = self.g.node(v);
        let at: Map = m.map.iter().cloned().map(Ix::Lin).collect();
        let rank = |x: ValueId| self.g.ty(x).rank();
        let computed = |x: ValueId| -> Map { (0..rank(x)).map(|_| COMPUTED).collect() };
        match &node.op {
            Op::Reduce { axes, .. } => vec![(node.inputs[0], with_axes(&at, axes, &m.red), false)],
            Op::ArgReduce { axis, .. } => vec![(node.inputs[0], with_axes(&at, &[*axis], &m.red), false)],
            Op::Dot(_) | Op::Scatter { .. } | Op::Scan(_) => {
                node.inputs.iter().map(|&x| (x, computed(x), true)).collect()
            }
            Op::Gather { axis } => {
                let a = *axis as usize;
                let idx = node.inputs[1];
                vec![(node.inputs[0], computed(node.inputs[0]), true), (idx, at[a..a + rank(idx)].into(), false)]
            }
            Op::DynSlice { .. } => {
                let starts = node.inputs[1..].iter().map(|&x| (x, Map::new(), false));
                std::iter::once((node.inputs[0], computed(node.inputs[0]), true)).chain(starts).collect()
            }
            Op::DynUpdate => {
                let (x, u) = (node.inputs[0], node.inputs[1]);
                let starts = node.inputs[2..].iter().map(|&x| (x, Map::new(), false));
                [(x, at, false), (u, computed(u), true)].into_iter().chain(starts).collect()
            }
            Op::Pad { lo, interior, .. } => {
                let plain = |(i, ix): (usize, &Ix)| match interior[i] {
                    0 => affine(cx, ix, 1, -(lo[i] as i64)),
                    _ => COMPUTED,
                };
                let moved = at.iter().enumerate().map(plain).collect();
                vec![(node.inputs[0], moved, true), (node.inputs[1], Map::new(), false)]
            }
            Op::Concat { axis } => {
                let mut start = 0;
                let mut part = |&x: &ValueId| {
                    let mut m = at.clone();
                    m[*axis as usize] = affine(cx, &at[*axis as usize], 1, -start);
                    start += self.g.ty(x).shape[*axis as usize] as i64;
                    (x, m, true)
                };
                node.inputs.iter().map(&mut part).collect()
            }
            op if is_view(op) => vec![(node.inputs[0], through(self.g, v, &at, cx), false)],
            _ => node.inputs.iter().map(|&x| (x, at.clone(), false)).collect(),
        }
    }
}

/// A map of affine indices, if all are.
pub fn lins_or_none(at: &[Ix]) -> Option<SmallVec<[Lin; 4]>> {
    at.iter()
        .map(|ix| match ix {
            Ix::Lin(l) => Some(l.clone()),
            Ix::Lane(_) | Ix::Part(_) => None,
        })
        .collect()
}

/// The map of a reduction's operand: kept axes from the result's map, reduced axes from `red`.
pub fn with_axes(at: &[Ix], axes: &[u32], red: &[Lin]) -> Map {
    let mut kept = at.iter();
    let one = |i: usize| match axes.iter().position(|&a| a as usize == i) {
        Some(k) => Ix::Lin(red[k].clone()),
        None => kept.next().cloned().unwrap_or(COMPUTED),
    };
    (0..at.len() + axes.len()).map(one).collect()
}
