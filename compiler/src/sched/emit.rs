//! Lane code of a group: every member at its place of the iteration space, everything else where it is needed.
//!
//! In: a plan with buffers and one group. Out: a [`Draft`]. Values are made on demand from the stores backward: a member
//! once, a view by moving the index, a stored value of another group by a load, a cheap inline value again.

use super::draft::{DAnchor, DInst, DStore, Draft, VarKind, ViewId};
use super::places::Places;
use super::scalar;
use super::{Bug, ScheduleError};
use crate::fuse::cost;
use crate::fuse::group::{Anchor, Group, Member, Plan};
use crate::fuse::index::{Arith, Ix, Lin, Map, affine, div_rem, flat, is_view, strides, sum, through};
use crate::fuse::nodes::{Role, lins_or_none, with_axes};
use crate::graph::graph::ValueId;
use crate::graph::ops::lane_help::{convert, narrow};
use crate::graph::ops::{ArgKind, DotDims, Literal, Op, ReduceKind, ScatterKind};
use crate::kernel::ir::lane_ty;
use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::collections::HashMap;

type Res<T> = Result<T, ScheduleError>;

/// The drafts of a group: one, or for a scatter two that run one after the other.
pub fn group(plan: &Plan, places: &Places, group: &Group) -> Res<Vec<Draft>> {
    if let Some(Anchor::Scatter(v)) = group.anchor {
        return scatter(plan, places, v);
    }
    if let Some(&v) = group.members.keys().find(|&&v| cost::assembled(&plan.nodes, v)) {
        return assemble(plan, places, v);
    }
    let mut e = Emit::new(plan, places, Some(group));
    let unrolled = unrolls(plan, places, group);
    for (&n, &r) in group.sizes.iter().zip(&group.reduced) {
        // Over an empty axis nothing runs, but what it reduces to is there: a constant, stored once.
        let n = match r {
            true if unrolled => 1,
            true => n.max(1),
            false => n,
        };
        e.d.var(n, if r { VarKind::Reduced } else { VarKind::Kept });
    }
    if unrolled {
        e.unrolled = (0u32..).zip(group.sizes.iter().copied()).filter(|v| group.reduced[v.0 as usize]).collect();
    }
    if let Some(Anchor::Order(v)) = group.anchor {
        if let Op::Cumulate { axis, .. } = plan.nodes.g.op(v) {
            let mut terms = group.members[&v].map[*axis as usize].terms.clone();
            terms.sort_by_key(|t| std::cmp::Reverse(t.1));
            for t in terms {
                e.d.vars[t.0 as usize].kind = VarKind::Ordered;
                e.d.ordered.push(t.0);
            }
        }
    }
    for (&v, m) in &group.members {
        if places.dests[v.idx()].is_empty() || plan.nodes.g.ty(v).numel() == 0 {
            continue;
        }
        let at: Map = m.map.iter().cloned().map(Ix::Lin).collect();
        let value = e.value(v, &at)?;
        for &(buf, ref stride) in &places.dests[v.idx()] {
            e.store(buf, &at, stride, value)?;
        }
    }
    e.d.name = name(plan, group);
    Ok(vec![e.d])
}

/// Are the group's reductions written out, an element at a time? Where they are over a few elements that do not lie side by
/// side, such as those of a pooling window, and nothing else needs the single elements.
fn unrolls(plan: &Plan, places: &Places, group: &Group) -> bool {
    let reduced = |v: u32| group.reduced[v as usize];
    let few: u64 = (0..group.sizes.len()).filter(|&i| group.reduced[i]).map(|i| group.sizes[i]).product();
    let single = |(v, m): (&ValueId, &Member)| {
        !places.dests[v.idx()].is_empty() && m.map.iter().flat_map(|l| &l.terms).any(|t| reduced(t.0))
    };
    group.reduced.contains(&true)
        && (1..=cost::UNROLL).contains(&few)
        && group.anchor.is_none()
        && !cost::row_wise(&plan.nodes, group)
        && !group.members.iter().any(single)
}

/// A kernel that copies a value to another place, row-major.
pub fn copy(plan: &Plan, places: &Places, v: ValueId, to: ViewId) -> Res<Draft> {
    let shape = &plan.nodes.g.ty(v).shape;
    let mut e = Emit::new(plan, places, None);
    let at = e.axes(shape, VarKind::Kept);
    let value = e.value(v, &at)?;
    e.store(to, &at, &strides(shape), value)?;
    e.d.name = format!("{}.copy", places.views[to.0 as usize].name);
    Ok(e.d)
}

/// A kernel that copies a view.
pub fn copy_view(places: &Places, from: ViewId, to: ViewId) -> Draft {
    let b = &places.views[from.0 as usize];
    let mut d = Draft { name: format!("{}.copy", places.views[to.0 as usize].name), ..Draft::default() };
    let n = b.view.len;
    let at = if n == 1 { Lin::default() } else { Lin::var(d.var(n, VarKind::Kept)) };
    let value = d.inst(DInst::Load { buf: from, dtype: b.dtype, at: at.clone() });
    d.stores.push(DStore::At { buf: to, at, value });
    d
}

/// Every part is stored where it belongs; for padding, over the filling.
fn assemble(plan: &Plan, places: &Places, v: ValueId) -> Res<Vec<Draft>> {
    let node = plan.nodes.g.node(v);
    let shape = &node.ty.shape;
    let one = || -> SmallVec<[i64; 4]> { SmallVec::from_elem(1, shape.len()) };
    let none = || -> SmallVec<[i64; 4]> { SmallVec::from_elem(0, shape.len()) };
    // For each part: its value, its shape, and start and step on every axis.
    let mut parts = vec![];
    match &node.op {
        Op::Concat { axis } => {
            let mut from = none();
            for &x in &node.inputs {
                let part = &plan.nodes.g.ty(x).shape;
                parts.push((x, part.clone(), from.clone(), one()));
                from[*axis as usize] += part[*axis as usize] as i64;
            }
        }
        Op::Pad { lo, interior, .. } => {
            let (x, fill) = (node.inputs[0], node.inputs[1]);
            parts.push((fill, shape.clone(), none(), one()));
            let step = interior.iter().map(|&i| i as i64 + 1).collect();
            parts.push((x, plan.nodes.g.ty(x).shape.clone(), lo.iter().map(|&l| l as i64).collect(), step));
        }
        op => return Err(bug(format!("{op:?} has no parts"))),
    }
    let mut drafts = vec![];
    for (buf, stride) in &places.dests[v.idx()] {
        for (x, shape, from, step) in parts.iter().filter(|p| !p.1.contains(&0)) {
            let mut e = Emit::new(plan, places, None);
            let at = e.axes(shape, VarKind::Kept);
            let scalar = plan.nodes.g.ty(*x).rank() == 0;
            let value = e.value(*x, &if scalar { Map::new() } else { at.clone() })?;
            let place: Map = at.iter().zip(from).zip(step).map(|((ix, &f), &s)| affine(&mut e, ix, s, f)).collect();
            e.store(*buf, &place, stride, value)?;
            e.d.name = format!("{}.part", places.views[buf.0 as usize].name);
            drafts.push(e.d);
        }
    }
    Ok(drafts)
}

/// The base is copied into place, then updates are combined in, in index order.
fn scatter(plan: &Plan, places: &Places, v: ValueId) -> Res<Vec<Draft>> {
    let g = plan.nodes.g;
    let Op::Scatter { kind, axis } = g.op(v) else { return Err(bug("scatter group without scatter")) };
    let (x, idx, u) = (g.inputs(v)[0], g.inputs(v)[1], g.inputs(v)[2]);
    let (dtype, a) = (g.ty(v).dtype, *axis as usize);
    let mut drafts = vec![];
    for &(to, _) in &places.dests[v.idx()] {
        drafts.push(copy(plan, places, x, to)?);
        let mut e = Emit::new(plan, places, None);
        let (xs, is) = (g.ty(x).shape.clone(), g.ty(idx).shape.clone());
        let pre = e.axes(&xs[..a], VarKind::Kept);
        let seq = e.axes(&is, VarKind::Ordered);
        let post = e.axes(&xs[a + 1..], VarKind::Kept);
        let at: Map = pre.iter().chain(&seq).chain(&post).cloned().collect();
        let value = e.value(u, &at)?;
        let i = e.value(idx, &seq)?;
        let n = e.d.i32(xs[a] as i32);
        let mask = e.d.cmp(LaneCmp::ULt, i, n);
        let place: Map = pre.iter().cloned().chain([Ix::Lane(i)]).chain(post.iter().cloned()).collect();
        let index = flat(&mut e, &place, &strides(&xs));
        let index = e.lane_of(&index);
        let value = match kind {
            ScatterKind::Set => value,
            ScatterKind::Add | ScatterKind::Max => {
                let how = if *kind == ScatterKind::Add { ReduceKind::Sum } else { ReduceKind::Max };
                let old = e.d.inst(DInst::LoadAt { buf: to, dtype, index, mask: Some(mask) });
                let (p, q) =
                    (scalar::to_reduce(&mut e.d, dtype, how, old), scalar::to_reduce(&mut e.d, dtype, how, value));
                let r = scalar::combine(&mut e.d, how, p, q);
                scalar::from_reduce(&mut e.d, dtype, how, r)
            }
        };
        e.d.stores.push(DStore::Index { buf: to, index, mask: Some(mask), value });
        e.d.name = format!("{}.scatter", places.views[to.0 as usize].name);
        drafts.push(e.d);
    }
    Ok(drafts)
}

/// A name for people: where it comes from, and up to three ops.
fn name(plan: &Plan, group: &Group) -> String {
    let g = plan.nodes.g;
    let mut ops: Vec<&str> = vec![];
    for &v in group.members.keys() {
        let op = match g.op(v) {
            Op::Ew(e) => e.spec().name,
            op => op.spec().name,
        };
        if !ops.contains(&op) && ops.len() < 3 {
            ops.push(op);
        }
    }
    let ops = if group.update { "update".to_owned() } else { ops.join("_") };
    let anchor = match group.anchor {
        Some(Anchor::Dot(v) | Anchor::Rng(v) | Anchor::Order(v) | Anchor::Scatter(v) | Anchor::Scan(v)) => Some(v),
        None => None,
    };
    // Updates of all layers become one launch, which is no layer's.
    let scope = anchor.into_iter().chain(group.members.keys().copied()).find_map(|v| g.node(v).scope.clone());
    let named = group.members.keys().rev().find_map(|&v| g.node(v).name.clone());
    match scope.or(named).filter(|_| !group.update) {
        // Single numbers of all kinds of layers are computed together.
        Some(_) if anchor.is_none() && group.sizes.is_empty() && group.members.len() > 1 => format!("scalars.{ops}"),
        Some(s) => format!("{s}.{ops}"),
        None => ops,
    }
}

fn bug(what: impl Into<String>) -> ScheduleError {
    ScheduleError::Bug(Bug(what.into()))
}

struct Emit<'a> {
    plan: &'a Plan<'a>,
    places: &'a Places,
    group: Option<&'a Group>,
    d: Draft,
    memo: HashMap<(ValueId, Map), LaneId>,
    /// Variables of reductions that are written out, with their sizes.
    unrolled: Vec<(u32, u64)>,
    /// The values that they have in what is written.
    fixed: HashMap<u32, i64>,
}

impl Arith for Emit<'_> {
    fn sizes(&self) -> &[u64] {
        &self.d.sizes
    }
    fn bin(&mut self, op: LaneBin, a: &Ix, b: &Ix) -> Ix {
        let (a, b) = (self.lane_of(a), self.lane_of(b));
        Ix::Lane(self.d.bin(op, a, b))
    }
}

impl<'a> Emit<'a> {
    fn new(plan: &'a Plan<'a>, places: &'a Places, group: Option<&'a Group>) -> Self {
        Emit { plan, places, group, d: Draft::default(), memo: HashMap::new(), unrolled: vec![], fixed: HashMap::new() }
    }

    /// A fresh variable for every axis longer than one.
    fn axes(&mut self, shape: &[u64], kind: VarKind) -> Map {
        shape.iter().map(|&n| Ix::Lin(if n == 1 { Lin::default() } else { Lin::var(self.d.var(n, kind)) })).collect()
    }

    /// An index as a lane.
    fn lane_of(&mut self, ix: &Ix) -> LaneId {
        let l = match ix {
            Ix::Lane(v) => return *v,
            Ix::Lin(l) => l.clone(),
            Ix::Part(p) => {
                let (of, by) = (self.lane_of(&p.of), self.d.i32(p.by as i32));
                return self.d.bin(if p.rem { LaneBin::IRem } else { LaneBin::IDiv }, of, by);
            }
        };
        let mut sum: Option<LaneId> = None;
        for &(v, k) in &l.terms {
            let mut t = self.d.inst(DInst::Index(v));
            if k != 1 {
                let k = self.d.i32(k as i32);
                t = self.d.bin(LaneBin::IMul, t, k);
            }
            sum = Some(match sum {
                Some(s) => self.d.bin(LaneBin::IAdd, s, t),
                None => t,
            });
        }
        match sum {
            None => self.d.i32(l.c as i32),
            Some(s) if l.c == 0 => s,
            Some(s) => {
                let c = self.d.i32(l.c as i32);
                self.d.bin(LaneBin::IAdd, s, c)
            }
        }
    }

    fn store(&mut self, buf: ViewId, at: &Map, stride: &[i64], value: LaneId) -> Res<()> {
        match flat(self, at, stride) {
            Ix::Lin(at) => self.d.stores.push(DStore::At { buf, at, value }),
            _ => return Err(bug("store at a computed place")),
        }
        Ok(())
    }

    /// The value at a place, as its dtype's lane.
    fn value(&mut self, v: ValueId, at: &Map) -> Res<LaneId> {
        let key = (v, at.clone());
        if let Some(&l) = self.memo.get(&key) {
            return Ok(l);
        }
        let g = self.plan.nodes.g;
        let l = match self.plan.nodes.role[v.idx()] {
            Role::Dead => return Err(bug(format!("value {} is used but dead", v.0))),
            Role::Free | Role::Inline => self.compute(v, at, &[])?,
            Role::View => {
                let at = through(g, v, at, self);
                self.value(g.inputs(v)[0], &at)?
            }
            Role::Memory => self.load(v, at)?,
            Role::Compute => match self.group.and_then(|g| g.members.get(&v)) {
                Some(m) if self.is_at(m, at) => self.compute(v, at, &m.red)?,
                Some(_) => return Err(bug(format!("value {} is read at two places of one kernel", v.0))),
                None => self.load(v, at)?,
            },
        };
        self.memo.insert(key, l);
        Ok(l)
    }

    fn is_at(&self, m: &Member, at: &Map) -> bool {
        let here = |l: &Lin| l.subst(|v| self.fixed.get(&v).map(|&c| Lin::konst(c)));
        m.map.len() == at.len() && m.map.iter().zip(at).all(|(l, ix)| matches!(ix, Ix::Lin(x) if *x == here(l)))
    }

    /// An index with the variables of written out reductions at their values.
    fn fix(&mut self, ix: &Ix) -> Ix {
        match ix {
            Ix::Lane(_) => ix.clone(),
            Ix::Lin(l) => Ix::Lin(l.subst(|v| self.fixed.get(&v).map(|&c| Lin::konst(c)))),
            Ix::Part(p) => {
                let of = self.fix(&p.of);
                let (quotient, rest) = div_rem(self, &of, p.by);
                if p.rem { rest } else { quotient }
            }
        }
    }

    /// What a reduction that is written out combines: for every element its place along `red`, and the value there.
    fn elements(&mut self, x: ValueId, at: &Map, red: &[Lin]) -> Res<Vec<(Vec<i64>, LaneId)>> {
        let outer = self.fixed.clone();
        let n: u64 = self.unrolled.iter().map(|v| v.1).product();
        let mut out = vec![];
        for i in 0..n {
            let mut rest = i;
            for &(v, size) in self.unrolled.clone().iter().rev() {
                self.fixed.insert(v, (rest % size) as i64);
                rest /= size;
            }
            let here: Map = at.iter().map(|ix| self.fix(ix)).collect();
            let place = red.iter().map(|l| l.subst(|v| self.fixed.get(&v).map(|&c| Lin::konst(c))).c).collect();
            out.push((place, self.value(x, &here)?));
        }
        self.fixed = outer;
        Ok(out)
    }

    fn load(&mut self, v: ValueId, at: &Map) -> Res<LaneId> {
        let g = self.plan.nodes.g;
        let ty = g.ty(v);
        let Some(buf) = self.places.home[v.idx()] else {
            return Err(bug(format!("value {} ({:?}) has no buffer", v.0, g.op(v))));
        };
        let inside = |(ix, &n): (&Ix, &u64)| ix.range(&self.d.sizes).is_some_and(|(lo, hi)| lo >= 0 && hi < n as i64);
        let affine = at.iter().zip(&ty.shape).all(inside);
        let places = self.places;
        let index = flat(self, at, &places.strides[v.idx()]);
        Ok(match index {
            Ix::Lin(at) if affine => self.d.inst(DInst::Load { buf, dtype: ty.dtype, at }),
            index => {
                let index = self.lane_of(&index);
                self.d.inst(DInst::LoadAt { buf, dtype: ty.dtype, index, mask: None })
            }
        })
    }

    fn compute(&mut self, v: ValueId, at: &Map, red: &[Lin]) -> Res<LaneId> {
        let g = self.plan.nodes.g;
        let node = g.node(v);
        let dtype = node.ty.dtype;
        let x = |i: usize| node.inputs[i];
        Ok(match &node.op {
            Op::Const(Literal::Scalar(d, c)) => scalar::konst(&mut self.d, *d, *c),
            Op::Iota { axis, .. } => self.lane_of(&at[*axis as usize]),
            Op::Ew(e) => {
                let spec = e.spec();
                let mut args: SmallVec<[LaneId; 3]> = SmallVec::new();
                for &x in &node.inputs {
                    args.push(self.value(x, at)?);
                }
                // `select` chooses among its second and third operand; the first is always bool.
                let data = g.ty(x(if spec.arity == 3 { 1 } else { 0 })).dtype;
                let r = (spec.body)(&mut self.d, data, &args);
                narrow(&mut self.d, dtype, r)
            }
            Op::Cast(to) => {
                let a = self.value(x(0), at)?;
                convert(&mut self.d, g.ty(x(0)).dtype, *to, a)
            }
            Op::Rng { site, .. } => {
                let Ix::Lin(number) = flat(self, at, &strides(&node.ty.shape)) else {
                    return Err(bug("random bits at a computed place"));
                };
                self.d.anchor = Some(DAnchor::Rng { site: *site, at: number });
                self.d.inst(DInst::Anchor(LaneTy::I32))
            }
            Op::Dot(dims) => self.dot(v, dims, at)?,
            Op::Reduce { kind, axes } => {
                let inner = with_axes(at, axes, red);
                self.reduce(x(0), &inner, *kind, red)?
            }
            Op::ArgReduce { kind, axis } => self.arg_reduce(x(0), &with_axes(at, &[*axis], red), *kind, &red[0])?,
            Op::Cumulate { kind, axis } => {
                let a = self.value(x(0), at)?;
                match &at[*axis as usize] {
                    Ix::Lin(l) if !l.terms.is_empty() => {
                        let a = scalar::to_reduce(&mut self.d, dtype, *kind, a);
                        let r = self.d.inst(DInst::Run { kind: *kind, value: a });
                        scalar::from_reduce(&mut self.d, dtype, *kind, r)
                    }
                    _ => a,
                }
            }
            Op::Gather { axis } => self.gather(x(0), x(1), *axis as usize, at)?,
            Op::DynSlice { sizes } => {
                let mut from = Map::new();
                for (i, &n) in sizes.iter().enumerate() {
                    let s = self.start(x(1 + i), g.ty(x(0)).shape[i], n)?;
                    from.push(sum(self, &at[i], &s));
                }
                self.value(x(0), &from)?
            }
            Op::DynUpdate => {
                let (mut from, mut mask) = (Map::new(), None);
                for (i, &n) in g.ty(x(1)).shape.iter().enumerate() {
                    let s = self.start(x(2 + i), node.ty.shape[i], n)?;
                    let d = self.bin(LaneBin::ISub, &at[i], &s);
                    mask = Some(self.within(&d, n, mask));
                    from.push(d);
                }
                let (u, old) = (self.value(x(1), &from)?, self.value(x(0), at)?);
                self.choose(mask, u, old)
            }
            Op::Pad { lo, interior, .. } => {
                let (mut from, mut mask) = (Map::new(), None);
                for (i, &n) in g.ty(x(0)).shape.iter().enumerate() {
                    let mut d = affine(self, &at[i], 1, -(lo[i] as i64));
                    if interior[i] > 0 {
                        let step = Ix::Lin(Lin::konst(interior[i] as i64 + 1));
                        let rest = self.bin(LaneBin::IRem, &d, &step);
                        let rest = self.lane_of(&rest);
                        let zero = self.d.i32(0);
                        let hit = self.d.cmp(LaneCmp::IEq, rest, zero);
                        mask = if nn_runtime::mutant!("sched.pad_between") { mask } else { Some(self.and(mask, hit)) };
                        d = self.bin(LaneBin::IDiv, &d, &step);
                    }
                    let inside =
                        matches!(&d, Ix::Lin(l) if { let (a, b) = l.range(&self.d.sizes); a >= 0 && b < n as i64 });
                    if !inside {
                        mask = Some(self.within(&d, n, mask));
                    }
                    from.push(d);
                }
                let a = self.value(x(0), &from)?;
                match mask {
                    Some(_) => {
                        let fill = self.value(x(1), &Map::new())?;
                        self.choose(mask, a, fill)
                    }
                    None => a,
                }
            }
            Op::Concat { axis } => {
                let a = *axis as usize;
                let mut end = node.ty.shape[a] as i64;
                let mut result: Option<LaneId> = None;
                for &part in node.inputs.iter().rev() {
                    let start = end - g.ty(part).shape[a] as i64;
                    let mut from = at.clone();
                    from[a] = affine(self, &at[a], 1, -start);
                    if start == end {
                        continue;
                    }
                    let p = self.value(part, &from)?;
                    result = Some(match result {
                        None => p,
                        Some(r) => {
                            let (i, e) = (self.lane_of(&at[a]), self.d.i32(end as i32));
                            let here = self.d.cmp(LaneCmp::ILt, i, e);
                            self.choose(Some(here), p, r)
                        }
                    });
                    end = start;
                }
                match result {
                    Some(r) => r,
                    None => scalar::konst(&mut self.d, dtype, 0.0),
                }
            }
            op if is_view(op) => {
                let from = through(g, v, at, self);
                self.value(x(0), &from)?
            }
            op => return Err(bug(format!("no code for {op:?}"))),
        })
    }

    fn reduce(&mut self, x: ValueId, at: &Map, kind: ReduceKind, red: &[Lin]) -> Res<LaneId> {
        let dtype = self.plan.nodes.g.ty(x).dtype;
        let empty = self.plan.nodes.g.ty(x).numel() == 0;
        if empty {
            let id = cost::identity(kind);
            let (lo, hi) = int_range(dtype);
            let id = if dtype.is_float() { id } else { id.clamp(lo, hi) };
            return Ok(scalar::konst(&mut self.d, dtype, id));
        }
        if red.iter().all(|l| l.terms.is_empty()) {
            return self.value(x, at);
        }
        if !self.unrolled.is_empty() {
            // From 0.0, as every sum of floats: the sum of -0.0 alone is 0.0. Other identities change nothing.
            let zero = kind == ReduceKind::Sum && dtype.is_float();
            let mut all = zero.then(|| scalar::konst(&mut self.d, dtype, 0.0));
            for (_, a) in self.elements(x, at, red)? {
                let a = scalar::to_reduce(&mut self.d, dtype, kind, a);
                all = Some(all.map_or(a, |r| scalar::combine(&mut self.d, kind, r, a)));
            }
            let all = all.ok_or_else(|| bug("a reduction over nothing is written out"))?;
            return Ok(scalar::from_reduce(&mut self.d, dtype, kind, all));
        }
        let a = self.value(x, at)?;
        let a = scalar::to_reduce(&mut self.d, dtype, kind, a);
        let r = self.d.inst(DInst::Red { kind, value: a });
        Ok(scalar::from_reduce(&mut self.d, dtype, kind, r))
    }

    /// The extreme, then the least position that has it; where the extreme is NaN, the least position of a NaN.
    fn arg_reduce(&mut self, x: ValueId, at: &Map, kind: ArgKind, red: &Lin) -> Res<LaneId> {
        if red.terms.is_empty() {
            return Ok(self.d.i32(0));
        }
        let dtype = self.plan.nodes.g.ty(x).dtype;
        let how = if kind == ArgKind::Max { ReduceKind::Max } else { ReduceKind::Min };
        if !self.unrolled.is_empty() {
            return self.arg_of_few(x, at, how, red);
        }
        let a = self.value(x, at)?;
        let a = scalar::to_reduce(&mut self.d, dtype, how, a);
        let best = self.d.inst(DInst::Red { kind: how, value: a });
        let hit = if dtype.is_float() {
            let eq = self.d.cmp(LaneCmp::FEq, a, best);
            let nan = self.d.cmp(LaneCmp::FNe, a, a);
            if nn_runtime::mutant!("sched.arg_nan") { eq } else { self.d.bin(LaneBin::BOr, eq, nan) }
        } else {
            self.d.cmp(LaneCmp::IEq, a, best)
        };
        let i = self.lane_of(&Ix::Lin(red.clone()));
        let never = self.d.i32(i32::MAX);
        let i = self.d.select(hit, i, never);
        Ok(self.d.inst(DInst::Red { kind: ReduceKind::Min, value: i }))
    }

    /// The same, written out: an element that is more extreme, or the first NaN, takes the place of what was found.
    fn arg_of_few(&mut self, x: ValueId, at: &Map, how: ReduceKind, red: &Lin) -> Res<LaneId> {
        let dtype = self.plan.nodes.g.ty(x).dtype;
        let mut elements = self.elements(x, at, std::slice::from_ref(red))?;
        elements.sort_by_key(|e| e.0.first().copied());
        let mut found: Option<(LaneId, LaneId)> = None;
        for (place, a) in elements {
            let a = scalar::to_reduce(&mut self.d, dtype, how, a);
            let i = self.d.i32(place[0] as i32);
            found = Some(match found {
                None => (a, i),
                Some((best, at)) => {
                    let (p, q) = if how == ReduceKind::Max { (best, a) } else { (a, best) };
                    let better = if dtype.is_float() {
                        let (lt, nan) = (self.d.cmp(LaneCmp::FLt, p, q), self.d.cmp(LaneCmp::FNe, a, a));
                        let number = self.d.cmp(LaneCmp::FEq, best, best);
                        let (first, more) =
                            (self.d.bin(LaneBin::BAnd, nan, number), self.d.bin(LaneBin::BAnd, lt, number));
                        self.d.bin(LaneBin::BOr, first, more)
                    } else {
                        self.d.cmp(LaneCmp::ILt, p, q)
                    };
                    (self.d.select(better, a, best), self.d.select(better, i, at))
                }
            });
        }
        found.map(|f| f.1).ok_or_else(|| bug("an extreme of nothing is written out"))
    }

    fn dot(&mut self, v: ValueId, dims: &DotDims, at: &Map) -> Res<LaneId> {
        let g = self.plan.nodes.g;
        let (a, b) = (g.inputs(v)[0], g.inputs(v)[1]);
        let sizes: Vec<u64> = dims.lhs_contract.iter().map(|&i| g.ty(a).shape[i as usize]).collect();
        if sizes.contains(&0) {
            return Ok(scalar::konst(&mut self.d, g.ty(v).dtype, 0.0));
        }
        let k = self.axes(&sizes, VarKind::Contracted);
        let lhs_free = g.ty(a).rank() - dims.lhs_batch.len() - dims.lhs_contract.len();
        let nb = dims.lhs_batch.len();
        let sides = [
            (a, &dims.lhs_batch, &dims.lhs_contract, &at[nb..nb + lhs_free], 1u8),
            (b, &dims.rhs_batch, &dims.rhs_contract, &at[nb + lhs_free..], 2u8),
        ];
        let mut operands = vec![];
        for (x, batch, contract, free, bit) in sides {
            let mut free = free.iter();
            let mut map = Map::new();
            for i in 0..g.ty(x).rank() as u32 {
                let ix = if let Some(p) = batch.iter().position(|&b| b == i) {
                    at[p].clone()
                } else if let Some(p) = contract.iter().position(|&c| c == i) {
                    k[p].clone()
                } else {
                    free.next().cloned().unwrap_or(Ix::Lin(Lin::default()))
                };
                if let Ix::Lin(l) = &ix {
                    l.terms.iter().for_each(|t| self.d.vars[t.0 as usize].side |= bit);
                }
                map.push(ix);
            }
            operands.push(self.address(x, &map)?);
        }
        let (b, a) = (operands.pop(), operands.pop());
        if let (Some(a), Some(b)) = (a, b) {
            self.d.anchor = Some(DAnchor::Contract { a, b });
        }
        Ok(self.d.inst(DInst::Anchor(lane_ty(g.ty(v).dtype))))
    }

    /// The affine address of a value that is in memory.
    fn address(&mut self, v: ValueId, at: &Map) -> Res<(ViewId, Lin)> {
        let g = self.plan.nodes.g;
        match self.plan.nodes.role[v.idx()] {
            Role::View => {
                let at = through(g, v, at, self);
                self.address(g.inputs(v)[0], &at)
            }
            Role::Memory | Role::Compute => {
                let at = lins_or_none(at).ok_or_else(|| bug("operand of a contraction at a computed place"))?;
                let buf = self.places.home[v.idx()].ok_or_else(|| bug("operand of a contraction without a buffer"))?;
                let mut f = Lin::default();
                at.iter().zip(&self.places.strides[v.idx()]).for_each(|(l, &s)| f.add_scaled(l, s));
                Ok((buf, f))
            }
            r => Err(bug(format!("operand of a contraction is {r:?}"))),
        }
    }

    fn gather(&mut self, x: ValueId, idx: ValueId, a: usize, at: &Map) -> Res<LaneId> {
        let g = self.plan.nodes.g;
        let (n, rank) = (g.ty(x).shape[a], g.ty(idx).rank());
        let i = self.value(idx, &at[a..a + rank].into())?;
        let n = self.d.i32(n as i32);
        let ok = self.d.cmp(LaneCmp::ULt, i, n);
        let from: Map = at[..a].iter().cloned().chain([Ix::Lane(i)]).chain(at[a + rank..].iter().cloned()).collect();
        let v = self.value(x, &from)?;
        let zero = scalar::konst(&mut self.d, g.ty(x).dtype, 0.0);
        Ok(self.choose(Some(ok).filter(|_| !nn_runtime::mutant!("sched.gather_outside")), v, zero))
    }

    /// A start index, clamped so that `size` elements fit into `n`.
    fn start(&mut self, i: ValueId, n: u64, size: u64) -> Res<Ix> {
        let s = self.value(i, &Map::new())?;
        let (zero, last) = (self.d.i32(0), self.d.i32(n.saturating_sub(size) as i32));
        let s = if nn_runtime::mutant!("sched.start_clamp") { s } else { self.d.bin(LaneBin::IMax, s, zero) };
        Ok(Ix::Lane(self.d.bin(LaneBin::IMin, s, last)))
    }

    /// `mask && 0 <= ix < n`; one unsigned comparison covers both ends.
    fn within(&mut self, ix: &Ix, n: u64, mask: Option<LaneId>) -> LaneId {
        let (i, n) = (self.lane_of(ix), self.d.i32(n as i32));
        let ok = self.d.cmp(LaneCmp::ULt, i, n);
        self.and(mask, ok)
    }

    fn and(&mut self, a: Option<LaneId>, b: LaneId) -> LaneId {
        match a {
            Some(a) => self.d.bin(LaneBin::BAnd, a, b),
            None => b,
        }
    }

    /// `mask ? a : b`, for predicates too.
    fn choose(&mut self, mask: Option<LaneId>, a: LaneId, b: LaneId) -> LaneId {
        let Some(m) = mask else { return a };
        if self.d.ty(a) != LaneTy::Bool {
            return self.d.select(m, a, b);
        }
        let not = self.d.lane(LaneOp::Un(LaneUn::BNot, m));
        let (p, q) = (self.d.bin(LaneBin::BAnd, m, a), self.d.bin(LaneBin::BAnd, not, b));
        self.d.bin(LaneBin::BOr, p, q)
    }
}

fn int_range(d: DType) -> (f64, f64) {
    match d {
        DType::I8 => (-128.0, 127.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U8 => (0.0, 255.0),
        DType::U16 => (0.0, 65535.0),
        DType::U32 => (0.0, 4294967295.0),
        DType::Bool => (0.0, 1.0),
        _ => (i32::MIN.into(), i32::MAX.into()),
    }
}
