//! Partitions the computed values of a graph into groups, one kernel each.
//!
//! In: a graph. Out: a [`Plan`]: groups with an iteration space each, and which values go through memory between them.
//! The order of the rules is the design: updates first (R9), then epilogues of contractions (R3), then producers and
//! consumers of rows and of what is left in topological order (R5, R6), then side by side (R9), then what is cheaper to
//! compute again than to store (R8).

use super::beside::Beside;
use super::cost;
use super::index::{Lin, Marks};
use super::legality;
use super::nodes::{Nodes, Role};
use super::reach::Reach;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::{Class, Op};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// A computed value of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Which of its elements an iteration computes.
    pub map: SmallVec<[Lin; 4]>,
    /// The variables that a reduction runs over, one per reduced axis.
    pub red: Vec<Lin>,
}

/// The one member of a group that decides its loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// A contraction.
    Dot(ValueId),
    /// Random bits.
    Rng(ValueId),
    /// Running values along an axis.
    Order(ValueId),
    /// Writes at computed places.
    Scatter(ValueId),
    /// A region: statements of its own, no kernel.
    Scan(ValueId),
}

/// A kernel to be: members over one iteration space.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Sizes of the iteration variables.
    pub sizes: Vec<u64>,
    /// Which variables the group's reductions run over.
    pub reduced: Vec<bool>,
    /// What it computes.
    pub members: BTreeMap<ValueId, Member>,
    /// What decides its loops.
    pub anchor: Option<Anchor>,
    /// Computes the next value of a parameter or state.
    pub update: bool,
}

/// Most variables that are cut in a group: an odd pile of reshapes must not loop for long.
pub const MAX_CUTS: usize = 8;

impl Group {
    /// The same with a variable as an outer and an inner one of length `n`.
    pub fn refined(&self, v: u32, n: u64) -> Group {
        let mut g = self.clone();
        let inner = g.sizes.len() as u32;
        g.sizes[v as usize] /= n;
        g.sizes.push(n);
        g.reduced.push(g.reduced[v as usize]);
        let mut both = Lin::var(inner);
        both.set(v, n as i64);
        for m in g.members.values_mut() {
            for l in m.map.iter_mut().chain(&mut m.red) {
                *l = l.subst(|x| (x == v).then(|| both.clone()));
            }
        }
        g
    }
}

/// The result: groups in no particular order.
pub struct Plan<'g> {
    /// Roles, after cheap values were made inline.
    pub nodes: Nodes<'g>,
    /// The groups.
    pub groups: Vec<Group>,
    /// The group of each computed value.
    pub group_of: Vec<Option<u32>>,
    /// Values that go through memory.
    pub stored: Vec<bool>,
}

/// Groups a graph; `forced` views are computed into memory. `inside`: the graph is the body of a loop.
pub fn group<'g>(g: &'g Graph, forced: &[ValueId], inside: bool) -> Plan<'g> {
    let nodes = Nodes::new(g, forced, inside);
    let mut group_of = vec![None; g.nodes.len()];
    let (mut groups, mut deps) = (vec![], vec![]);
    for v in g.values() {
        if nodes.role[v.idx()] != Role::Compute {
            group_of[v.idx()] = region(&nodes, v).and_then(|s| group_of[s.idx()]);
            continue;
        }
        group_of[v.idx()] = Some(groups.len() as u32);
        groups.push(Some(single(&nodes, v)));
        deps.push(nodes.deps[v.idx()].iter().filter_map(|d| group_of[d.idx()]).collect());
    }
    let mut f = Fuser { nodes, groups, group_of, reach: Reach::new(deps) };
    f.updates();
    f.epilogues();
    f.chains();
    f.side_by_side();
    f.finish()
}

/// The region of a value that one leaves.
fn region(nodes: &Nodes, v: ValueId) -> Option<ValueId> {
    (nodes.role[v.idx()] == Role::Memory && matches!(nodes.g.op(v), Op::Result { .. })).then(|| nodes.g.inputs(v)[0])
}

/// A value on its own: one variable per axis that is longer than one.
fn single(nodes: &Nodes, v: ValueId) -> Group {
    let mut g = Group::default();
    let axis = |g: &mut Group, n: u64, reduced: bool| -> Lin {
        if n == 1 {
            return Lin::default();
        }
        g.sizes.push(n);
        g.reduced.push(reduced);
        Lin::var(g.sizes.len() as u32 - 1)
    };
    let ty = nodes.g.ty(v);
    let of = |x: usize| &nodes.g.ty(nodes.g.inputs(v)[x]).shape;
    let mut red = vec![];
    let mut map = SmallVec::new();
    match nodes.g.op(v) {
        Op::Reduce { axes, .. } => {
            for (i, &n) in of(0).iter().enumerate() {
                let is = axes.contains(&(i as u32));
                let l = axis(&mut g, n, is);
                if is { red.push(l) } else { map.push(l) }
            }
        }
        Op::ArgReduce { axis: a, .. } => {
            for (i, &n) in of(0).iter().enumerate() {
                let is = *a as usize == i;
                let l = axis(&mut g, n, is);
                if is { red.push(l) } else { map.push(l) }
            }
        }
        Op::Scan(_) => g.anchor = Some(Anchor::Scan(v)),
        op => {
            map = ty.shape.iter().map(|&n| axis(&mut g, n, false)).collect();
            g.anchor = match op {
                Op::Dot(_) => Some(Anchor::Dot(v)),
                Op::Rng { .. } => Some(Anchor::Rng(v)),
                Op::Cumulate { .. } => Some(Anchor::Order(v)),
                Op::Scatter { .. } => Some(Anchor::Scatter(v)),
                _ => None,
            };
        }
    }
    g.members.insert(v, Member { map, red });
    g
}

struct Fuser<'g> {
    nodes: Nodes<'g>,
    groups: Vec<Option<Group>>,
    group_of: Vec<Option<u32>>,
    reach: Reach,
}

impl<'g> Fuser<'g> {
    fn of(&self, v: ValueId) -> Option<u32> {
        self.group_of[v.idx()]
    }

    fn get(&self, g: u32) -> &Group {
        self.groups[g as usize].as_ref().unwrap_or(const { &EMPTY })
    }

    fn replace(&mut self, a: u32, b: u32, with: Group) {
        for v in with.members.keys() {
            self.group_of[v.idx()] = Some(a);
        }
        self.reach.merge(a, b);
        self.groups[b as usize] = None;
        self.groups[a as usize] = Some(with);
    }

    fn try_vertical(&mut self, a: u32, b: u32) -> bool {
        if !cost::vertical(&self.nodes, self.get(a), self.get(b)) {
            return false;
        }
        let Some(m) = legality::vertical(&self.nodes, self.get(a), self.get(b)) else { return false };
        if !cost::joined(&self.nodes, self.get(a), self.get(b), &m) {
            return false;
        }
        if self.reach.detour(a, b) && !nn_runtime::mutant!("fuse.detour") {
            return false;
        }
        self.replace(a, b, m);
        true
    }

    /// The next values of parameters and states, backward over what nothing else needs.
    fn updates(&mut self) {
        let roots: BTreeSet<ValueId> =
            self.nodes.g.outputs.iter().filter(|o| o.assign.is_some()).map(|o| o.value).collect();
        for root in roots.into_iter().rev() {
            let simple = |f: &Self, v: ValueId| {
                f.nodes.role[v.idx()] == Role::Compute && f.nodes.pointwise(v) && !cost::assembled(&f.nodes, v)
            };
            if !simple(self, root) || self.of(root).is_some_and(|g| self.get(g).update) {
                continue;
            }
            let Some(gi) = self.of(root) else { continue };
            if let Some(g) = &mut self.groups[gi as usize] {
                g.update = true;
            }
            let mut todo: BTreeSet<ValueId> = self.nodes.deps[root.idx()].iter().copied().collect();
            while let Some(p) = todo.pop_last() {
                let Some(pg) = self.of(p).filter(|&pg| pg != gi && simple(self, p)) else { continue };
                if !self.nodes.users[p.idx()].iter().all(|&u| self.of(u) == Some(gi)) || self.get(pg).members.len() > 1
                {
                    continue;
                }
                let mut one = self.get(pg).clone();
                one.update = true;
                if let Some(m) = legality::vertical(&self.nodes, &one, self.get(gi)) {
                    self.replace(gi, pg, m);
                    todo.extend(self.nodes.deps[p.idx()].iter().copied());
                }
            }
        }
    }

    /// Elementwise consumers move into the contraction that feeds them.
    fn epilogues(&mut self) {
        let dots: Vec<ValueId> = self.nodes.g.values().filter(|&v| self.anchored(v)).collect();
        for dot in dots {
            let Some(gi) = self.of(dot) else { continue };
            let mut todo: BTreeSet<ValueId> = self.nodes.users[dot.idx()].iter().copied().collect();
            while let Some(n) = todo.pop_first() {
                let Some(ng) = self.of(n).filter(|&x| x != gi && self.nodes.pointwise(n)) else { continue };
                if self.get(ng).anchor.is_some() || self.get(ng).update {
                    continue;
                }
                if self.try_vertical(gi, ng) {
                    todo.extend(self.nodes.users[n.idx()].iter().copied());
                }
            }
        }
    }

    fn anchored(&self, v: ValueId) -> bool {
        self.nodes.role[v.idx()] == Role::Compute && self.nodes.g.op(v).class() == Class::Contract
    }

    /// Producers and consumers, in topological order.
    fn chains(&mut self) {
        for v in self.nodes.g.values() {
            if self.nodes.role[v.idx()] != Role::Compute {
                continue;
            }
            for i in 0..self.nodes.deps[v.idx()].len() {
                let p = self.nodes.deps[v.idx()][i];
                let (Some(a), Some(b)) = (self.of(p), self.of(v)) else { continue };
                if a != b && self.worth(a, b) {
                    self.try_vertical(a, b);
                }
            }
        }
    }

    /// What joins in the topological sweep.
    fn worth(&self, a: u32, b: u32) -> bool {
        let (ga, gb) = (self.get(a), self.get(b));
        match (ga.anchor, gb.anchor) {
            (Some(Anchor::Scan(_)), _) | (_, Some(Anchor::Scan(_))) => false,
            // Consumers of contractions had their turn; anything else would put reductions into tiles.
            (Some(Anchor::Dot(_)), _) => false,
            // A producer moves into an epilogue only if nothing else needs it: else it would have to be stored there too.
            (None, Some(Anchor::Dot(_))) => ga
                .members
                .keys()
                .all(|v| self.nodes.users[v.idx()].iter().all(|&u| [Some(a), Some(b)].contains(&self.of(u)))),
            _ => true,
        }
    }

    /// Independent groups of one iteration space share a launch if they read the same, or are tiny.
    fn side_by_side(&mut self) {
        let mut by_space: BTreeMap<(Vec<u64>, Vec<bool>), Vec<u32>> = BTreeMap::new();
        for (i, g) in self.groups.iter().enumerate() {
            let joins = |g: &&Group| {
                g.anchor.is_none() && !g.update && !g.members.keys().any(|&v| cost::assembled(&self.nodes, v))
            };
            if let Some(g) = g.as_ref().filter(joins) {
                by_space.entry((g.sizes.clone(), g.reduced.clone())).or_default().push(i as u32);
            }
        }
        for ((sizes, _), ids) in by_space {
            let mut beside = Beside::new(&self.nodes, ids.iter().map(|&i| self.get(i)), &sizes);
            for k in 0..ids.len() {
                let mut last = k;
                while let Some(j) = beside.partner(k, last) {
                    last = j;
                    let (a, b) = (ids[k], ids[j]);
                    if self.reach.reaches(a, b) || self.reach.reaches(b, a) {
                        continue;
                    }
                    let shared = beside.shared(k, j);
                    if let Some(m) = legality::horizontal(&self.nodes, self.get(a), self.get(b), shared) {
                        beside.joined(&self.nodes, k, j, &m);
                        self.replace(a, b, m);
                    }
                }
            }
        }
    }

    /// Settles what goes through memory.
    fn finish(self) -> Plan<'g> {
        let Fuser { nodes, groups, .. } = self;
        let groups: Vec<Group> = groups.into_iter().flatten().collect();
        let mut group_of = vec![None; nodes.g.nodes.len()];
        for (i, g) in groups.iter().enumerate() {
            g.members.keys().for_each(|v| group_of[v.idx()] = Some(i as u32));
        }
        for v in nodes.g.values() {
            if let Some(s) = region(&nodes, v) {
                group_of[v.idx()] = group_of[s.idx()];
            }
        }
        let mut plan = Plan { stored: vec![], nodes, groups, group_of };
        plan.store();
        plan.recompute_cheap();
        plan.refine();
        plan
    }
}

static EMPTY: Group = Group { sizes: vec![], reduced: vec![], members: BTreeMap::new(), anchor: None, update: false };

impl Plan<'_> {
    /// A value is stored if it is a result, an operand that must be in memory, or read by another group.
    fn store(&mut self) {
        self.stored = self.nodes.output.clone();
        for (i, g) in self.groups.iter().enumerate() {
            for (&v, m) in &g.members {
                if self.nodes.role[v.idx()] != Role::Compute {
                    continue;
                }
                for d in self.nodes.demands(v, m, &mut Marks(&g.sizes)) {
                    if self.nodes.role[d.leaf.idx()] == Role::Compute
                        && (d.hard || self.group_of[d.leaf.idx()] != Some(i as u32))
                    {
                        self.stored[d.leaf.idx()] = true;
                    }
                }
            }
        }
        for v in self.nodes.g.values() {
            if self.nodes.role[v.idx()] != Role::Compute {
                self.stored[v.idx()] = false;
            }
        }
    }

    /// R8: a stored value that follows cheaply from fewer bytes that are stored anyway, or from narrower ones, is
    /// computed again by its readers.
    fn recompute_cheap(&mut self) {
        let hard = self.hard_operands();
        let mut changed = false;
        for v in self.nodes.g.values().rev() {
            if !self.stored[v.idx()]
                || self.nodes.output[v.idx()]
                || hard[v.idx()] && !nn_runtime::mutant!("fuse.cheap")
                || !cost::cheap(&self.nodes, v)
            {
                continue;
            }
            let deps = &self.nodes.deps[v.idx()];
            let fresh: u64 = deps.iter().filter(|d| !self.in_memory(**d)).map(|d| self.nodes.g.ty(*d).bytes()).sum();
            // One operand: its readers load one thing for another. More would trade a store for loads.
            if deps.len() <= 1 && fresh < self.nodes.g.ty(v).bytes() {
                // Edges of values before this one do not change, so they can wait.
                self.nodes.role[v.idx()] = Role::Inline;
                self.stored[v.idx()] = false;
                for d in deps.clone() {
                    self.stored[d.idx()] |= self.nodes.role[d.idx()] == Role::Compute;
                }
                changed = true;
            }
        }
        if changed {
            for g in &mut self.groups {
                let nodes = &self.nodes;
                g.members.retain(|v, _| nodes.role[v.idx()] == Role::Compute);
            }
            self.nodes.link();
            self.store();
        }
    }

    fn in_memory(&self, v: ValueId) -> bool {
        self.nodes.role[v.idx()] == Role::Memory || self.stored[v.idx()]
    }

    /// Cuts variables where that makes reads affine that would be computed.
    fn refine(&mut self) {
        for g in &mut self.groups {
            let cut = |g: &Group| {
                let mut all = g.members.iter().flat_map(|(&v, m)| self.nodes.demands(v, m, &mut Marks(&g.sizes)));
                all.find_map(|d| d.at.iter().find_map(|ix| ix.cut(&g.sizes)))
            };
            for _ in 0..MAX_CUTS {
                let Some((v, n)) = cut(g) else { break };
                *g = g.refined(v, n);
            }
        }
    }

    /// Values that some reader needs in memory whatever they are.
    fn hard_operands(&self) -> Vec<bool> {
        let mut hard = vec![false; self.nodes.g.nodes.len()];
        for g in &self.groups {
            for (&v, m) in &g.members {
                for d in self.nodes.demands(v, m, &mut Marks(&g.sizes)) {
                    hard[d.leaf.idx()] |= d.hard;
                }
            }
        }
        hard
    }
}
