//! Where every value lives, before temporaries get addresses.
//!
//! In: a plan, and the frame around it: where its slots are and where its results go. Out: a view for every slot, table,
//! result and stored value; which stores go straight into parameters and state; the copies for what cannot; and where the
//! carries and stacks of regions are.
//!
//! A carry of a region lies in a buffer of one slice more than the region has steps. A step reads one slice and writes its
//! neighbor; the first is stored by who makes the initial value, the last is the result, and the slices that steps found
//! are the stack of the carry. So nothing is copied from step to step.

use super::draft::ViewId;
use super::{Layout, scalar};
use crate::fuse::cost;
use crate::fuse::group::{Anchor, Plan};
use crate::fuse::index::{Ix, Lin, Map, Marks, strides, through};
use crate::fuse::nodes::{Role, lins_or_none};
use crate::graph::algo::View as Users;
use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::ops::region::{self, Scan};
use crate::graph::ops::{Axes, Literal, Op};
use crate::graph::print;
use crate::kernel::ir::{Arena, Buffer, BufferId, View};
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Strides of a value in its view.
pub type Strides = SmallVec<[i64; 4]>;

/// Buffers of a program; those of the temp arena have no address yet.
#[derive(Debug, Default)]
pub struct Buffers {
    /// All of them.
    pub all: Vec<Buffer>,
    /// Constant tables.
    pub consts: Vec<(BufferId, Vec<u8>)>,
    names: HashSet<String>,
    table_bytes: u64,
}

/// What the surroundings of a graph decide.
#[derive(Debug, Default)]
pub struct Frame {
    /// Where each slot is, and with what strides.
    pub slots: Vec<(View, Strides)>,
    /// Where each output goes, row-major.
    pub results: Vec<Vec<View>>,
    /// Sequences around it.
    pub depth: u32,
}

/// A view that drafts refer to by number.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The view.
    pub view: View,
    /// Its elements.
    pub dtype: DType,
    /// Its buffer's name.
    pub name: String,
}

/// A copy to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// A value, to a place where it is row-major.
    Value {
        /// Read.
        value: ValueId,
        /// Written.
        to: ViewId,
    },
    /// A view to another.
    View {
        /// Read.
        from: ViewId,
        /// Written.
        to: ViewId,
    },
}

/// Where the carries and stacks of a region are.
#[derive(Clone, Debug)]
pub struct Region {
    /// The region.
    pub value: ValueId,
    /// The buffer of each carry.
    carries: Vec<BufferId>,
    /// For each output of its body, the live result that stacks it on its own account.
    stacks: Vec<Option<ValueId>>,
}

/// Views of a graph's values.
#[derive(Debug, Default)]
pub struct Places {
    /// What drafts refer to.
    pub views: Vec<Placed>,
    /// Where each value is read.
    pub home: Vec<Option<ViewId>>,
    /// Where each value is stored, and with what strides.
    pub dests: Vec<SmallVec<[(ViewId, Strides); 1]>>,
    /// Strides of each value in its home.
    pub strides: Vec<Strides>,
    /// Regions, in order.
    pub regions: Vec<Region>,
    /// Copies to make before the regions run.
    pub initial: Vec<Copy>,
    /// Copies to make.
    pub copies: Vec<Copy>,
    /// The number of each view.
    numbers: HashMap<View, ViewId>,
    /// Results of regions that are in the place of another value: of an operand, or of a result that stacks the same.
    same_as: BTreeMap<ValueId, ValueId>,
}

/// The frame of a whole program, and its results by name.
pub fn frame(g: &Graph, layout: &Layout, buffers: &mut Buffers) -> (Frame, Vec<(String, BufferId)>) {
    let whole = |ids: Vec<BufferId>, buffers: &Buffers| -> Vec<View> {
        ids.into_iter().map(|id| View::whole(id, buffers.all[id.0 as usize].len)).collect()
    };
    let ids = slot_buffers(g, layout, buffers);
    let slots = whole(ids, buffers).into_iter().zip(&g.slots).map(|(v, s)| (v, strides(&s.ty.shape))).collect();
    let (mut results, mut outputs, mut offset) = (vec![], vec![], 0);
    for o in &g.outputs {
        if o.assign.is_some() {
            results.push(vec![]);
            continue;
        }
        let ty = g.ty(o.value);
        let id = buffers.add(o.name.to_string(), Arena::Output, ty.dtype, ty.numel());
        buffers.all[id.0 as usize].offset = offset;
        offset += align(ty.bytes());
        outputs.push((o.name.to_string(), id));
        results.push(whole(vec![id], buffers));
    }
    (Frame { slots, results, depth: 0 }, outputs)
}

/// Gives every value its place.
pub fn assign(plan: &Plan, frame: &Frame, buffers: &mut Buffers) -> Places {
    let g = plan.nodes.g;
    let uses = Users::new(g);
    let n = g.nodes.len();
    let mut p = Places { home: vec![None; n], dests: vec![SmallVec::new(); n], ..Places::default() };
    p.strides = g.nodes.iter().map(|n| strides(&n.ty.shape)).collect();
    let slots: Vec<ViewId> = frame.slots.iter().map(|(v, _)| p.number(v.clone(), buffers)).collect();
    for v in g.values() {
        match g.op(v) {
            _ if plan.nodes.role[v.idx()] != Role::Memory => {}
            Op::Input { slot } => {
                p.home[v.idx()] = Some(slots[*slot as usize]);
                p.strides[v.idx()] = frame.slots[*slot as usize].1.clone();
            }
            Op::Const(Literal::Dense(ty, data)) => {
                let mut bytes = Vec::with_capacity(ty.bytes() as usize);
                data.iter().for_each(|&x| scalar::bytes(ty.dtype, x, &mut bytes));
                let id = buffers.add(format!("c{}", v.0), Arena::Const, ty.dtype, ty.numel());
                buffers.all[id.0 as usize].offset = buffers.table_bytes;
                buffers.table_bytes += align(ty.bytes());
                buffers.consts.push((id, bytes));
                p.home[v.idx()] = Some(p.number(View::whole(id, ty.numel()), buffers));
            }
            _ => {}
        }
    }
    let names = print::value_names(g);
    regions(plan, &mut p, buffers, &names);
    results(plan, frame, &mut p, buffers);
    let mut t = Temps { buffers, names: &names };
    assignments(plan, &slots, &mut p, &mut t);
    initial(plan, &mut p, &mut t);
    let mut assigned = vec![false; n];
    g.outputs.iter().filter(|o| o.assign.is_some()).for_each(|o| assigned[o.value.idx()] = true);
    for v in g.values().filter(|v| plan.nodes.role[v.idx()] != Role::Dead) {
        if let Some(&x) = p.same_as.get(&v) {
            if let Some((view, strides)) = p.place(plan, x) {
                p.home[v.idx()] = Some(p.number(view, t.buffers));
                p.strides[v.idx()] = strides;
            }
        }
        if p.home[v.idx()].is_some() {
            continue;
        }
        if let Op::Result { .. } = g.op(v) {
            p.temp(g, v, &mut t);
        } else if plan.stored[v.idx()] {
            let read = plan.nodes.users[v.idx()].iter().any(|u| plan.group_of[u.idx()] != plan.group_of[v.idx()]);
            if p.dests[v.idx()].is_empty() && !assigned[v.idx()] {
                p.strides[v.idx()] = layout_of(plan, &uses, v);
            }
            if read || p.dests[v.idx()].is_empty() {
                p.temp(g, v, &mut t);
            }
        }
    }
    p
}

fn align(bytes: u64) -> u64 {
    bytes.next_multiple_of(64)
}

impl Buffers {
    fn add(&mut self, name: String, arena: Arena, dtype: DType, len: u64) -> BufferId {
        self.names.insert(name.clone());
        self.all.push(Buffer { name, arena, dtype, len, offset: 0 });
        BufferId(self.all.len() as u32 - 1)
    }
}

/// Where temporaries come from, and the names of values.
struct Temps<'a> {
    buffers: &'a mut Buffers,
    names: &'a [String],
}

/// A temporary's name: as the graph prints the value; a number alone is no name.
fn temp_name(names: &[String], v: ValueId, buffers: &Buffers) -> String {
    let mut name = names[v.idx()].clone();
    if name.bytes().all(|b| b.is_ascii_digit()) {
        name.insert(0, 'v');
    }
    if buffers.names.contains(&name) {
        name = format!("{name}.v{}", v.0);
    }
    name
}

impl Places {
    /// The number of a view.
    fn number(&mut self, view: View, buffers: &Buffers) -> ViewId {
        let (next, b) = (ViewId(self.views.len() as u32), &buffers.all[view.buf.0 as usize]);
        let id = *self.numbers.entry(view.clone()).or_insert(next);
        if id == next {
            self.views.push(Placed { view, dtype: b.dtype, name: b.name.clone() });
        }
        id
    }

    /// A temporary that is the value's home.
    fn temp(&mut self, g: &Graph, v: ValueId, t: &mut Temps<'_>) -> ViewId {
        let ty = &g.node(v).ty;
        let name = temp_name(t.names, v, t.buffers);
        let id = t.buffers.add(name, Arena::Temp, ty.dtype, ty.numel());
        let id = self.number(View::whole(id, ty.numel()), t.buffers);
        self.home[v.idx()] = Some(id);
        let strides = self.strides[v.idx()].clone();
        self.dests[v.idx()].push((id, strides));
        id
    }

    /// The value is stored there, too, row-major; if it has no home yet, there it is.
    fn store(&mut self, g: &Graph, v: ValueId, to: ViewId) {
        self.home[v.idx()].get_or_insert(to);
        self.dests[v.idx()].push((to, strides(&g.ty(v).shape)));
    }

    /// Where a value is in memory, and with what strides, behind views that do no more than walk it otherwise.
    fn place(&self, plan: &Plan, v: ValueId) -> Option<(View, Strides)> {
        let g = plan.nodes.g;
        let (sizes, mut x) = (&g.ty(v).shape, v);
        let mut at: Map = (0..sizes.len() as u32).map(|i| Ix::Lin(Lin::var(i))).collect();
        while plan.nodes.role[x.idx()] == Role::View {
            at = through(g, x, &at, &mut Marks(sizes));
            x = g.inputs(x)[0];
        }
        let mut view = self.views[self.home[x.idx()]?.0 as usize].view.clone();
        if x == v {
            return Some((view, self.strides[v.idx()].clone()));
        }
        let mut f = Lin::default();
        lins_or_none(&at)?.iter().zip(&self.strides[x.idx()]).for_each(|(l, &s)| f.add_scaled(l, s));
        let strides: Strides = (0..sizes.len() as u32).map(|i| f.coeff(i)).collect();
        if sizes.contains(&0) {
            // Nothing is anywhere.
            view.len = 0;
            return Some((view, strides));
        }
        view.offset += f.c;
        view.len = reach(sizes, &strides);
        Some((view, strides))
    }

    /// Where a region's slots are and where its results go.
    pub fn inside(&self, plan: &Plan, r: &Region, depth: u32) -> Option<Frame> {
        let g = plan.nodes.g;
        let Op::Scan(s) = g.op(r.value) else { return None };
        let moved = |mut v: View, len: u64, by: i64| {
            v.len = len;
            if by != 0 {
                v.by.push((depth, by));
            }
            v
        };
        let mut slots = vec![];
        for (i, slot) in s.body.slots.iter().enumerate() {
            let (n, x) = (slot.ty.numel(), g.inputs(r.value)[i]);
            slots.push(match s.role(i) {
                region::Role::Carry => {
                    (moved(slices(s, r.carries[i], n, s.reverse, 1), n, n as i64), strides(&slot.ty.shape))
                }
                region::Role::Whole => self.place(plan, x)?,
                region::Role::Scanned => {
                    let (view, mut axes) = self.place(plan, x)?;
                    let by = axes.remove(0);
                    let (len, by) = if n == 0 { (0, 0) } else { (reach(&slot.ty.shape, &axes), by) };
                    (moved(view, len, by), axes)
                }
            });
        }
        let mut results = vec![];
        for (i, o) in s.body.outputs.iter().enumerate() {
            let n = s.body.ty(o.value).numel();
            let carry = r.carries.get(i).map(|&b| moved(slices(s, b, n, !s.reverse, 1), n, n as i64));
            let stack = r.stacks[i].and_then(|v| self.home[v.idx()]);
            let stack = stack.map(|id| moved(self.views[id.0 as usize].view.clone(), n, n as i64));
            results.push(carry.into_iter().chain(stack).collect());
        }
        Some(Frame { slots, results, depth: depth + 1 })
    }
}

/// Elements from the first to the last one of some axes.
fn reach(sizes: &[u64], strides: &[i64]) -> u64 {
    1 + sizes.iter().zip(strides).map(|(&n, &s)| (n - 1) * s.unsigned_abs()).sum::<u64>()
}

/// Neighboring slices of a carry's buffer, of `n` elements each: all but the first, or from the first on.
fn slices(s: &Scan, carry: BufferId, n: u64, second: bool, count: u64) -> View {
    debug_assert!(count <= s.length.max(1));
    View { offset: if second { n as i64 } else { 0 }, ..View::whole(carry, n * count) }
}

/// Buffers for carries, and where results are that need none of their own.
fn regions(plan: &Plan, p: &mut Places, buffers: &mut Buffers, names: &[String]) {
    let g = plan.nodes.g;
    for value in g.values().filter(|v| plan.nodes.role[v.idx()] == Role::Compute) {
        let Op::Scan(s) = g.op(value) else { continue };
        let size = |slot: usize| s.body.slots[slot].ty.numel();
        let live = |v: ValueId| plan.nodes.role[v.idx()] != Role::Dead && g.inputs(v).first() == Some(&value);
        let all: Vec<(ValueId, usize)> = g
            .values()
            .filter_map(|v| match g.op(v) {
                Op::Result { index, .. } if live(v) => Some((v, *index as usize)),
                _ => None,
            })
            .collect();
        let mut carries = vec![];
        for i in 0..s.carries as usize {
            let named = all.iter().find(|r| r.1 == i).map(|r| r.0);
            let name = named.map_or_else(|| s.body.slots[i].name.to_string(), |v| temp_name(names, v, buffers));
            let dtype = s.body.slots[i].ty.dtype;
            carries.push(buffers.add(name, Arena::Temp, dtype, size(i) * (s.length + 1)));
        }
        let body = &s.body;
        // A carry as steps find it, a carry as steps leave it, an operand, or a stack on its own.
        let mut stacks: Vec<Option<ValueId>> = vec![None; s.results()];
        for &(v, index) in &all {
            let of = body.outputs[index].value;
            let left = (0..carries.len()).find(|&i| body.outputs[i].value == of);
            let slot = match body.op(of) {
                Op::Input { slot } => Some(*slot as usize),
                _ => None,
            };
            let view = if index < carries.len() {
                let (n, last) = (size(index), if s.reverse { 0 } else { s.length });
                Some(View { offset: (n * last) as i64, ..View::whole(carries[index], n) })
            } else {
                match (slot.map(|i| (i, s.role(i))), left) {
                    (Some((i, region::Role::Carry)), _) => Some(slices(s, carries[i], size(i), s.reverse, s.length)),
                    (_, Some(i)) => Some(slices(s, carries[i], size(i), !s.reverse, s.length)),
                    // A result is row-major to who reads it, which what is behind views may not be.
                    (Some((i, region::Role::Scanned)), _)
                        if plan.nodes.role[g.inputs(value)[i].idx()] != Role::View =>
                    {
                        p.same_as.insert(v, g.inputs(value)[i]);
                        continue;
                    }
                    _ => None,
                }
            };
            if let Some(view) = view {
                p.home[v.idx()] = Some(p.number(view, buffers));
                continue;
            }
            let first = (carries.len()..s.results()).find(|&i| stacks[i].is_some() && body.outputs[i].value == of);
            match first.and_then(|i| stacks[i]) {
                Some(other) => drop(p.same_as.insert(v, other)),
                None => stacks[index] = Some(v),
            }
        }
        p.regions.push(Region { value, carries, stacks });
    }
}

/// Initial values of carries are stored into the first slice.
fn initial(plan: &Plan, p: &mut Places, t: &mut Temps<'_>) {
    let g = plan.nodes.g;
    for r in p.regions.clone() {
        let Op::Scan(s) = g.op(r.value) else { continue };
        for (i, &carry) in r.carries.iter().enumerate() {
            let (value, n) = (g.inputs(r.value)[i], s.body.slots[i].ty.numel());
            let offset = if s.reverse { (n * s.length) as i64 } else { 0 };
            let to = p.number(View { offset, ..View::whole(carry, n) }, t.buffers);
            match plan.nodes.role[value.idx()] {
                Role::Compute => p.store(g, value, to),
                _ => p.initial.push(Copy::Value { value, to }),
            }
        }
    }
}

fn slot_buffers(g: &Graph, layout: &Layout, buffers: &mut Buffers) -> Vec<BufferId> {
    let mut at = [0u64; 2];
    let mut ids = vec![];
    for s in &g.slots {
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
        let id = buffers.add(s.name.to_string(), arena, s.ty.dtype, s.ty.numel());
        buffers.all[id.0 as usize].offset = offset;
        ids.push(id);
    }
    ids
}

/// Results are stored where the frame wants them. A stack of a region that has no place yet is there.
fn results(plan: &Plan, frame: &Frame, p: &mut Places, buffers: &Buffers) {
    let g = plan.nodes.g;
    for (o, views) in g.outputs.iter().zip(&frame.results) {
        for view in views {
            let (v, to) = (o.value, p.number(view.clone(), buffers));
            let free = p.home[v.idx()].is_none() && !p.same_as.contains_key(&v);
            match g.op(v) {
                _ if plan.nodes.role[v.idx()] != Role::Memory => p.store(g, v, to),
                Op::Result { .. } if free => p.home[v.idx()] = Some(to),
                _ => p.copies.push(Copy::Value { value: v, to }),
            }
        }
    }
}

/// Assignments store straight into the slot where no one reads the old value afterwards.
fn assignments(plan: &Plan, slots: &[ViewId], p: &mut Places, t: &mut Temps<'_>) {
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
            match p.home[v.idx()] {
                Some(from) if from == to => {}
                Some(_) if matches!(g.op(v), Op::Result { .. }) => p.copies.push(Copy::Value { value: v, to }),
                _ => {
                    // Through a temporary: the other slot may take this one's value.
                    let (dtype, len) = (g.ty(v).dtype, g.ty(v).numel());
                    let temp = t.buffers.add(format!("{}.next", o.name), Arena::Temp, dtype, len);
                    let temp = p.number(View::whole(temp, len), t.buffers);
                    p.copies.push(Copy::Value { value: v, to: temp });
                    p.copies.push(Copy::View { from: temp, to });
                }
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
            if p.home[v.idx()].is_none() {
                p.temp(g, v, t);
            }
            p.copies.push(Copy::Value { value: v, to });
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
fn layout_of(plan: &Plan, uses: &Users<'_>, v: ValueId) -> Strides {
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
        .any(|&u| !plan.nodes.pointwise(u) && matches!(g.op(u), Op::Dot(_) | Op::Scatter { .. } | Op::Scan(_)));
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
