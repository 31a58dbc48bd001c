//! Where every value lives, before temporaries get addresses.
//!
//! In: a plan. Out: a buffer for every slot, table, result and stored value; which stores go straight into parameters and
//! state; and the copies for what cannot.

use super::{Layout, scalar};
use crate::fuse::cost;
use crate::fuse::group::{Anchor, Plan};
use crate::fuse::index::{Lin, Marks, strides};
use crate::fuse::nodes::{Role, lins_or_none};
use crate::graph::algo::View;
use crate::graph::graph::{SlotKind, ValueId};
use crate::graph::ops::{Axes, Literal, Op};
use crate::graph::print;
use crate::kernel::ir::{Arena, Buffer, BufferId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Strides of a value in its buffer.
pub type Strides = SmallVec<[i64; 4]>;

/// A buffer to copy to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Read.
    pub from: BufferId,
    /// Written.
    pub to: BufferId,
}

/// Buffers of a program, and which value is in which.
#[derive(Debug, Default)]
pub struct Places {
    /// All buffers; those of the temp arena have no address yet.
    pub buffers: Vec<Buffer>,
    /// Where each value is read.
    pub home: Vec<Option<BufferId>>,
    /// Where each value is stored, and with what strides.
    pub dests: Vec<SmallVec<[(BufferId, Strides); 1]>>,
    /// Strides of each value in its home.
    pub strides: Vec<Strides>,
    /// Constant tables.
    pub consts: Vec<(BufferId, Vec<u8>)>,
    /// Copies to make.
    pub copies: Vec<Copy>,
    /// Results by name.
    pub outputs: Vec<(String, BufferId)>,
    /// Names of buffers.
    names: HashSet<String>,
}

/// Gives every value its place.
pub fn assign(plan: &Plan, layout: &Layout) -> Places {
    let g = plan.nodes.g;
    let uses = View::new(g);
    let n = g.nodes.len();
    let mut p = Places { home: vec![None; n], dests: vec![SmallVec::new(); n], ..Places::default() };
    p.strides = g.nodes.iter().map(|n| strides(&n.ty.shape)).collect();
    let slots = slot_buffers(plan, layout, &mut p);
    let mut table_bytes = 0;
    for v in g.values() {
        match g.op(v) {
            _ if plan.nodes.role[v.idx()] != Role::Memory => {}
            Op::Input { slot } => p.home[v.idx()] = Some(slots[*slot as usize]),
            Op::Const(Literal::Dense(ty, data)) => {
                let mut bytes = Vec::with_capacity(ty.bytes() as usize);
                data.iter().for_each(|&x| scalar::bytes(ty.dtype, x, &mut bytes));
                let id = p.buffer(format!("c{}", v.0), Arena::Const, ty.dtype, ty.numel());
                p.buffers[id.0 as usize].offset = table_bytes;
                table_bytes += align(ty.bytes());
                p.consts.push((id, bytes));
                p.home[v.idx()] = Some(id);
            }
            _ => {}
        }
    }
    results(plan, &mut p);
    let names = print::value_names(g);
    assignments(plan, &slots, &mut p, &names);
    let mut assigned = vec![false; n];
    g.outputs.iter().filter(|o| o.assign.is_some()).for_each(|o| assigned[o.value.idx()] = true);
    for v in g.values() {
        if plan.stored[v.idx()] && p.home[v.idx()].is_none() {
            let read = plan.nodes.users[v.idx()].iter().any(|u| plan.group_of[u.idx()] != plan.group_of[v.idx()]);
            if p.dests[v.idx()].is_empty() && !assigned[v.idx()] {
                p.strides[v.idx()] = layout_of(plan, &uses, v);
            }
            if read || p.dests[v.idx()].is_empty() {
                p.temp(plan, v, &names);
            }
        }
    }
    p
}

fn align(bytes: u64) -> u64 {
    bytes.next_multiple_of(64)
}

impl Places {
    fn buffer(&mut self, name: String, arena: Arena, dtype: nn_runtime::dtype::DType, len: u64) -> BufferId {
        self.names.insert(name.clone());
        self.buffers.push(Buffer { name, arena, dtype, len, offset: 0 });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A temporary that is the value's home.
    fn temp(&mut self, plan: &Plan, v: ValueId, names: &[String]) -> BufferId {
        let ty = &plan.nodes.g.node(v).ty;
        // As the graph prints the value; a number alone is no name.
        let mut name = names[v.idx()].clone();
        if name.bytes().all(|b| b.is_ascii_digit()) {
            name.insert(0, 'v');
        }
        if self.names.contains(&name) {
            name = format!("{name}.v{}", v.0);
        }
        let id = self.buffer(name, Arena::Temp, ty.dtype, ty.numel());
        self.home[v.idx()] = Some(id);
        let strides = self.strides[v.idx()].clone();
        self.dests[v.idx()].push((id, strides));
        id
    }
}

fn slot_buffers(plan: &Plan, layout: &Layout, p: &mut Places) -> Vec<BufferId> {
    let mut at = [0u64; 2];
    let mut ids = vec![];
    for s in &plan.nodes.g.slots {
        let (arena, offset) = match s.kind {
            SlotKind::Param => (Arena::Param, layout.offset(s)),
            SlotKind::State => (Arena::State, layout.offset(s)),
            SlotKind::Data => (Arena::Data, at[0]),
            SlotKind::Step => (Arena::Step, at[1]),
        };
        match s.kind {
            SlotKind::Data => at[0] += align(s.ty.bytes()),
            SlotKind::Step => at[1] += align(s.ty.bytes()),
            _ => {}
        }
        let id = p.buffer(s.name.to_string(), arena, s.ty.dtype, s.ty.numel());
        p.buffers[id.0 as usize].offset = offset;
        ids.push(id);
    }
    ids
}

/// Results that are not assignments get a buffer each in the output arena.
fn results(plan: &Plan, p: &mut Places) {
    let g = plan.nodes.g;
    let mut offset = 0;
    for o in g.outputs.iter().filter(|o| o.assign.is_none()) {
        let ty = g.ty(o.value);
        let id = p.buffer(o.name.to_string(), Arena::Output, ty.dtype, ty.numel());
        p.buffers[id.0 as usize].offset = offset;
        offset += align(ty.bytes());
        p.outputs.push((o.name.to_string(), id));
        match p.home[o.value.idx()] {
            Some(from) if plan.nodes.role[o.value.idx()] == Role::Memory => p.copies.push(Copy { from, to: id }),
            Some(_) => {
                let s = p.strides[o.value.idx()].clone();
                p.dests[o.value.idx()].push((id, s));
            }
            None => {
                p.home[o.value.idx()] = Some(id);
                let s = p.strides[o.value.idx()].clone();
                p.dests[o.value.idx()].push((id, s));
            }
        }
    }
}

/// Assignments store straight into the slot where no one reads the old value afterwards.
fn assignments(plan: &Plan, slots: &[BufferId], p: &mut Places, names: &[String]) {
    let g = plan.nodes.g;
    // Groups that must run before another for the sake of an old value, beyond what values already say.
    let mut before: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut inputs: Vec<Vec<ValueId>> = vec![vec![]; g.slots.len()];
    for v in g.values() {
        if let Op::Input { slot } = g.op(v) {
            inputs[*slot as usize].push(v);
        }
    }
    for o in &g.outputs {
        let Some(slot) = o.assign else { continue };
        let (v, to) = (o.value, slots[slot as usize]);
        if plan.nodes.role[v.idx()] == Role::Memory {
            let Some(from) = p.home[v.idx()] else { continue };
            if from != to {
                // Through a temporary: the other slot may take this one's value.
                let (dtype, len) = (g.ty(v).dtype, g.ty(v).numel());
                let t = p.buffer(format!("{}.next", o.name), Arena::Temp, dtype, len);
                p.copies.push(Copy { from, to: t });
                p.copies.push(Copy { from: t, to });
            }
            continue;
        }
        let readers = readers_of(plan, &inputs[slot as usize]);
        // A value for very many slots, such as their zeros, is copied to most: one kernel with a buffer each would be huge.
        let few = p.dests[v.idx()].len() < cost::MAX_ARGS / 2;
        if few && in_place(plan, v, slot) && orders(plan, v, &readers, &mut before) {
            let s = strides(&g.ty(v).shape);
            p.dests[v.idx()].push((to, s));
        } else {
            let from = match p.home[v.idx()] {
                Some(b) => b,
                None => p.temp(plan, v, names),
            };
            p.copies.push(Copy { from, to });
        }
    }
}

/// Groups that read a slot.
fn readers_of(plan: &Plan, inputs: &[ValueId]) -> Vec<u32> {
    let mut groups: Vec<u32> =
        inputs.iter().flat_map(|v| plan.nodes.users[v.idx()].iter().filter_map(|u| plan.group_of[u.idx()])).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Does the group that makes `v` read the slot only at the element that the same iteration overwrites?
fn in_place(plan: &Plan, v: ValueId, slot: u32) -> bool {
    let g = plan.nodes.g;
    let Some(group) = plan.group_of[v.idx()].map(|i| &plan.groups[i as usize]) else { return false };
    let parts = cost::assembled(&plan.nodes, v);
    if parts || group.reduced.contains(&true) || matches!(group.anchor, Some(Anchor::Order(_) | Anchor::Scatter(_))) {
        return false;
    }
    let flat = |map: &[Lin], shape: &[u64]| {
        let mut f = Lin::default();
        map.iter().zip(strides(shape)).for_each(|(l, s)| f.add_scaled(l, s));
        f
    };
    let Some(m) = group.members.get(&v) else { return false };
    let own = flat(&m.map, &g.ty(v).shape);
    if (0..group.sizes.len() as u32).any(|x| own.coeff(x) == 0) {
        return false;
    }
    group.members.iter().all(|(&u, m)| {
        plan.nodes.demands(u, m, &mut Marks(&group.sizes)).iter().all(|d| {
            !matches!(g.op(d.leaf), Op::Input { slot: s } if *s == slot)
                || !d.hard
                    && lins_or_none(&d.at).is_some_and(|at| {
                        nn_runtime::mutant!("sched.in_place") || flat(&at, &g.ty(d.leaf).shape) == own
                    })
        })
    })
}

/// Can every other reader of the old value run before the group that overwrites it? Notes the order if so.
fn orders(plan: &Plan, v: ValueId, readers: &[u32], before: &mut BTreeMap<u32, Vec<u32>>) -> bool {
    let Some(own) = plan.group_of[v.idx()] else { return false };
    let others: Vec<u32> = readers.iter().copied().filter(|&r| r != own).collect();
    let mut seen = BTreeSet::new();
    let mut todo = vec![own];
    while let Some(x) = todo.pop() {
        if !seen.insert(x) {
            continue;
        }
        for m in plan.groups[x as usize].members.keys() {
            todo.extend(plan.nodes.users[m.idx()].iter().filter_map(|u| plan.group_of[u.idx()]).filter(|&y| y != x));
        }
        todo.extend(before.get(&x).into_iter().flatten().copied());
    }
    if others.iter().any(|r| seen.contains(r)) && !nn_runtime::mutant!("sched.other_readers") {
        return false;
    }
    for r in others {
        before.entry(r).or_default().push(own);
    }
    true
}

/// A value that is only read through one permutation is stored in that order, so that its readers run along memory.
fn layout_of(plan: &Plan, uses: &View<'_>, v: ValueId) -> Strides {
    let g = plan.nodes.g;
    let plain = strides(&g.ty(v).shape);
    // Random bits are made in row-major order, and scatters compute row-major places.
    if plan.group_of[v.idx()]
        .is_some_and(|i| matches!(plan.groups[i as usize].anchor, Some(Anchor::Rng(_) | Anchor::Scatter(_))))
        && !nn_runtime::mutant!("sched.layout")
    {
        return plain;
    }
    let mut perm: Option<&Axes> = None;
    for &n in uses.users(v) {
        if plan.nodes.role[n.idx()] == Role::Dead {
            continue;
        }
        match g.op(n) {
            Op::Permute(p) if perm.is_none_or(|q| q == p) => perm = Some(p),
            _ => return plain,
        }
    }
    let Some(perm) = perm else { return plain };
    let dot_reads = plan.nodes.users[v.idx()]
        .iter()
        .any(|&u| !plan.nodes.pointwise(u) && matches!(g.op(u), Op::Dot(_) | Op::Scatter { .. }));
    if dot_reads {
        return plain;
    }
    let shape: Vec<u64> = perm.iter().map(|&a| g.ty(v).shape[a as usize]).collect();
    let mut s = plain;
    for (i, stride) in strides(&shape).into_iter().enumerate() {
        s[perm[i] as usize] = stride;
    }
    s
}
