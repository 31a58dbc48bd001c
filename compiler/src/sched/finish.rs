//! Chooses the loops of a drafted kernel and writes it as kernel IR.
//!
//! In: a [`Draft`]. Out: a [`Kernel`] and the views for its formal buffers. Variables that every access walks in step become
//! one; the variable that memory runs along becomes the columns; reductions over it combine lanes, over others they run as
//! a sequence; then instructions are dealt out to phases by what they wait for. A contraction runs over all contracted
//! variables that are left; the operand that walks them with one stride is the right one, the other's axes are the rows.

use super::draft::{DAnchor, DInst, DStore, Draft, VarKind, ViewId};
use super::places::Placed;
use super::{Bug, ScheduleError, phases};
use crate::fuse::index::Lin;
use crate::fuse::tangle;
use crate::kernel::ir::{Access, Anchor, Arg, ArgId, Contract, Index, KAxis, Kernel, Role, Split, View};
use crate::lanes::{LaneBin, LaneBuilder, LaneId};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Columns of a contraction below which a longer axis is worth strided access.
const FEW_COLS: u64 = 8;
/// The same for other kernels.
const FEW_LANES: u64 = 5;
/// Rows of a contraction's tile that keep its registers busy.
const FEW_ROWS: u64 = 4;
/// Columns that are worth cutting among threads: the runtime cuts at multiples of 64.
const CUT_COLS: u64 = 128;
/// Elements of a right operand that every thread may pack for itself: a few microseconds.
const PACK: u64 = 32 << 10;
/// Rows of a contraction that are worth cutting: a few tiles of the microkernel for each of a few threads.
const SHARE_ROWS: u64 = 32;

/// A kernel and what to call it with.
pub struct Lowered {
    /// The kernel.
    pub kernel: Kernel,
    /// A view for every formal buffer.
    pub views: Vec<View>,
}

/// What each variable of a draft became.
#[derive(Clone, Debug, Default)]
pub struct Loops {
    /// Row variables, outermost first; `None` is an axis of size one.
    pub rows: Vec<Option<u32>>,
    /// The column variable.
    pub col: Option<u32>,
    /// The sequence variable.
    pub seq: Option<u32>,
    /// The contracted variables, outermost first.
    pub k: Vec<u32>,
    /// The columns are reduced.
    pub reduce_cols: bool,
    /// The sequence is reduced.
    pub reduce_seq: bool,
}

/// Writes a draft as a kernel. `apart`: in a body whose kernels share that many rows, an axis as long stays one, and is what
/// threads cut: then each finds what it needs in its own rows, and none waits for another.
pub fn finish(mut d: Draft, views: &[Placed], apart: Option<u64>) -> Result<Lowered, ScheduleError> {
    drop_dead(&mut d);
    collapse(&mut d, apart);
    let loops = choose(&mut d)?;
    let mut w = Writer { d: &d, loops: &loops, views, args: vec![], ids: vec![], written: BTreeSet::new() };
    let anchor = w.anchor()?;
    let (insts, ends) = phases::assign(&mut w)?;
    let rows: SmallVec<[u64; 4]> = loops.rows.iter().map(|r| r.map_or(1, |v| d.sizes[v as usize])).collect();
    let cols = loops.col.map_or(1, |v| d.sizes[v as usize]);
    let seq = loops.seq.map(|v| d.sizes[v as usize]);
    let phases = ends.into_iter().map(|(end, is_seq)| crate::kernel::ir::Phase { seq: seq.filter(|_| is_seq), end });
    let (args, ids) = (w.args, w.ids);
    let split = split(&d, &loops, &rows, cols, apart);
    let kernel = Kernel { name: d.name.clone(), args, rows, cols, anchor, insts, phases: phases.collect(), split };
    let views = ids.into_iter().map(|id| views[id.0 as usize].view.clone()).collect();
    Ok(Lowered { kernel, views })
}

/// Every affine address of a draft.
fn accesses(d: &Draft) -> Vec<&Lin> {
    let loads = d.insts.iter().filter_map(|i| match i {
        DInst::Load { at, .. } => Some(at),
        _ => None,
    });
    let stores = d.stores.iter().filter_map(|s| match s {
        DStore::At { at, .. } => Some(at),
        DStore::Index { .. } => None,
    });
    let anchor = match &d.anchor {
        Some(DAnchor::Contract { a, b }) => vec![&a.1, &b.1],
        Some(DAnchor::Rng { at, .. }) => vec![at],
        None => vec![],
    };
    loads.chain(stores).chain(anchor).collect()
}

fn accesses_mut(d: &mut Draft) -> Vec<&mut Lin> {
    let loads = d.insts.iter_mut().filter_map(|i| match i {
        DInst::Load { at, .. } => Some(at),
        _ => None,
    });
    let stores = d.stores.iter_mut().filter_map(|s| match s {
        DStore::At { at, .. } => Some(at),
        DStore::Index { .. } => None,
    });
    let anchor = match &mut d.anchor {
        Some(DAnchor::Contract { a, b }) => vec![&mut a.1, &mut b.1],
        Some(DAnchor::Rng { at, .. }) => vec![at],
        None => vec![],
    };
    loads.chain(stores).chain(anchor).collect()
}

/// Removes instructions that no store needs.
fn drop_dead(d: &mut Draft) {
    let mut live = vec![false; d.insts.len()];
    d.stores.iter().flat_map(|s| s.operands()).for_each(|v| live[v.0 as usize] = true);
    for i in (0..d.insts.len()).rev() {
        if live[i] {
            d.insts[i].operands().iter().for_each(|v| live[v.0 as usize] = true);
        }
    }
    if live.iter().all(|&l| l) {
        return;
    }
    let old = std::mem::take(&mut d.insts);
    d.types.clear();
    let mut to = vec![LaneId(0); old.len()];
    for (i, inst) in old.iter().enumerate().filter(|(i, _)| live[*i]) {
        to[i] = d.push(inst.map(|v| to[v.0 as usize]));
    }
    if !d.insts.iter().any(|i| matches!(i, DInst::Anchor(_))) {
        d.anchor = None;
    }
    renumber_stores(d, &to);
}

fn renumber_stores(d: &mut Draft, to: &[LaneId]) {
    for s in &mut d.stores {
        match s {
            DStore::At { value, .. } => *value = to[value.0 as usize],
            DStore::Index { index, mask, value, .. } => {
                *index = to[index.0 as usize];
                *mask = mask.map(|m| to[m.0 as usize]);
                *value = to[value.0 as usize];
            }
        }
    }
}

/// Variables that still matter: longer than one, or read by an index.
fn live_vars(d: &Draft, kind: VarKind) -> Vec<u32> {
    (0..d.vars.len() as u32).filter(|&v| d.vars[v as usize].kind == kind && d.vars[v as usize].size != 1).collect()
}

/// Makes one variable of two that every access walks as one, until none are left.
fn collapse(d: &mut Draft, apart: Option<u64>) {
    loop {
        let n = d.vars.len() as u32;
        let pair = (0..n).flat_map(|u| (0..n).map(move |v| (u, v))).find(|&(u, v)| {
            let stays = d.vars[u as usize].kind == VarKind::Kept && apart == Some(d.sizes[u as usize]);
            u != v && !stays && can_collapse(d, u, v)
        });
        let Some((u, v)) = pair else { return };
        merge(d, u, v);
    }
}

/// Is `u` just the outer part of `v`?
fn can_collapse(d: &Draft, u: u32, v: u32) -> bool {
    let (a, b) = (d.vars[u as usize], d.vars[v as usize]);
    let counted = |x: u32| d.insts.iter().any(|i| matches!(i, DInst::Index(y) if *y == x));
    a.kind == b.kind
        && a.side == b.side
        && a.size > 1
        && b.size > 1
        && (a.kind != VarKind::Ordered || d.ordered.windows(2).any(|w| w == [u, v]))
        && !counted(u)
        && !counted(v)
        && accesses(d).iter().all(|l| {
            l.coeff(u) == l.coeff(v) * b.size as i64 || nn_runtime::mutant!("sched.collapse") && l.coeff(v) == 0
        })
        && accesses(d).iter().any(|l| l.coeff(v) != 0)
}

fn merge(d: &mut Draft, u: u32, v: u32) {
    d.ordered.retain(|&x| x != u);
    let size = d.vars[u as usize].size * d.vars[v as usize].size;
    accesses_mut(d).into_iter().for_each(|l| l.set(u, 0));
    d.vars[u as usize].size = 1;
    d.sizes[u as usize] = 1;
    d.vars[v as usize].size = size;
    d.sizes[v as usize] = size;
}

/// One variable for several, outermost first, computing indices where addresses do not allow it.
fn flatten(d: &mut Draft, vars: &[u32]) -> Option<u32> {
    let (&inner, outer) = vars.split_last()?;
    let mut last = inner;
    for &u in outer.iter().rev() {
        if can_collapse(d, u, last)
            || accesses(d).iter().all(|l| l.coeff(u) == 0 && l.coeff(last) == 0) && !counted(d, u) && !counted(d, last)
        {
            merge(d, u, last);
        } else {
            last = compute(d, u, last);
        }
    }
    Some(last)
}

fn counted(d: &Draft, x: u32) -> bool {
    d.insts.iter().any(|i| matches!(i, DInst::Index(y) if *y == x))
}

/// A new variable that counts over `u` and `v`; what was affine in them becomes a computed access.
fn compute(d: &mut Draft, u: u32, v: u32) -> u32 {
    let (a, b) = (d.vars[u as usize], d.vars[v as usize]);
    let w = d.var(a.size * b.size, a.kind);
    d.ordered.retain(|&x| x != u && x != v);
    d.vars[w as usize].side = a.side;
    for x in [u, v] {
        d.vars[x as usize].size = 1;
        d.sizes[x as usize] = 1;
    }
    let old = std::mem::take(&mut d.insts);
    let stores = std::mem::take(&mut d.stores);
    *d = Draft {
        name: std::mem::take(&mut d.name),
        vars: std::mem::take(&mut d.vars),
        sizes: std::mem::take(&mut d.sizes),
        ordered: std::mem::take(&mut d.ordered),
        anchor: d.anchor.take(),
        ..Draft::default()
    };
    let part = |d: &mut Draft, x: u32| {
        let (count, n) = (d.inst(DInst::Index(w)), d.i32(b.size as i32));
        d.bin(if x == u { LaneBin::IDiv } else { LaneBin::IRem }, count, n)
    };
    let address = |d: &mut Draft, at: &Lin| {
        let mut sum = d.i32(at.c as i32);
        for &(x, k) in &at.terms {
            let i = if x == u || x == v { part(d, x) } else { d.inst(DInst::Index(x)) };
            let k = d.i32(k as i32);
            let t = d.bin(LaneBin::IMul, i, k);
            sum = d.bin(LaneBin::IAdd, sum, t);
        }
        sum
    };
    let touches = |l: &Lin| l.coeff(u) != 0 || l.coeff(v) != 0;
    let mut to: Vec<LaneId> = vec![];
    for i in &old {
        let new = match i {
            DInst::Index(x) if *x == u || *x == v => part(d, *x),
            DInst::Load { buf, dtype, at } if touches(at) => {
                let index = address(d, at);
                d.inst(DInst::LoadAt { buf: *buf, dtype: *dtype, index, mask: None })
            }
            i => {
                let i = i.map(|o| to[o.0 as usize]);
                d.inst(i)
            }
        };
        to.push(new);
    }
    d.stores = stores;
    renumber_stores(d, &to);
    for i in 0..d.stores.len() {
        if let DStore::At { buf, at, value } = d.stores[i].clone() {
            if touches(&at) {
                let index = address(d, &at);
                d.stores[i] = DStore::Index { buf, index, mask: None, value };
            }
        }
    }
    w
}

/// How much memory runs along a variable: elements accessed at stride one, half for those that stay put.
fn score(d: &Draft, v: u32) -> u64 {
    let volume = |l: &Lin| l.terms.iter().map(|t| d.sizes[t.0 as usize]).product::<u64>();
    let one = |l: &Lin, weight: u64| match l.coeff(v) {
        1 => 2 * weight * volume(l),
        0 => weight * volume(l),
        _ => 0,
    };
    let loads = d.insts.iter().map(|i| if let DInst::Load { at, .. } = i { one(at, 1) } else { 0 });
    let stores = d.stores.iter().map(|s| if let DStore::At { at, .. } = s { one(at, 2) } else { 0 });
    loads.chain(stores).sum()
}

fn best(d: &Draft, vars: &[u32]) -> Option<u32> {
    vars.iter().copied().max_by_key(|&v| (score(d, v), d.sizes[v as usize], v))
}

/// The columns, or if they are fewer than `few`, another variable that fills lanes: strided access costs less than lanes
/// that stand idle and a row's overhead for every few elements.
fn wide(d: &Draft, col: Option<u32>, vars: &[u32], few: u64) -> Option<u32> {
    if col.is_some_and(|c| d.sizes[c as usize] >= few) {
        return col;
    }
    let long: Vec<u32> = vars.iter().copied().filter(|&v| d.sizes[v as usize] >= 16).collect();
    best(d, &long).or(col)
}

/// Variables by how far a step moves in memory, farthest first.
fn by_stride(d: &Draft, vars: &[u32]) -> Vec<u32> {
    let reach = |v: u32| accesses(d).iter().map(|l| l.coeff(v).unsigned_abs()).max().unwrap_or(0);
    let mut vars = vars.to_vec();
    vars.sort_by_key(|&v| (Reverse(reach(v)), v));
    vars
}

fn choose(d: &mut Draft) -> Result<Loops, ScheduleError> {
    let kept = live_vars(d, VarKind::Kept);
    let ordered: Vec<u32> = d.ordered.iter().copied().filter(|&v| d.sizes[v as usize] != 1).collect();
    let reduced = live_vars(d, VarKind::Reduced);
    let mut loops = Loops::default();
    match &d.anchor {
        Some(DAnchor::Contract { .. }) => return contract(d, kept),
        Some(DAnchor::Rng { at, .. }) => {
            // Random bits are numbered by the flat element, which is the column.
            let mut order = kept;
            order.sort_by_key(|&v| Reverse(at.coeff(v)));
            loops.col = flatten(d, &order);
            return Ok(loops);
        }
        None => {}
    }
    if !ordered.is_empty() {
        loops.col = wide(d, best(d, &kept), &kept, FEW_LANES);
        loops.seq = flatten(d, &ordered);
    } else if !reduced.is_empty() {
        let (r, k) = (best(d, &reduced), best(d, &kept));
        let along_r = match (r, k) {
            (Some(r), Some(k)) => score(d, r) >= score(d, k),
            _ => true,
        };
        if along_r {
            loops.col = r;
            loops.reduce_cols = true;
            let rest: Vec<u32> = reduced.iter().copied().filter(|&v| Some(v) != r).collect();
            loops.seq = flatten(d, &by_stride(d, &rest));
        } else {
            loops.col = k;
            loops.seq = flatten(d, &by_stride(d, &reduced));
        }
        loops.reduce_seq = loops.seq.is_some();
    } else {
        loops.col = wide(d, best(d, &kept), &kept, FEW_LANES);
    }
    let rest: Vec<u32> = kept.into_iter().filter(|&v| Some(v) != loops.col).collect();
    loops.rows = by_stride(d, &rest).into_iter().map(Some).collect();
    Ok(loops)
}

/// Columns are the free axis that stores run along, of those operands that may be the right one: the operand that has it is.
fn contract(d: &mut Draft, kept: Vec<u32>) -> Result<Loops, ScheduleError> {
    let Some(DAnchor::Contract { a: (_, a), b: (_, b) }) = &d.anchor else {
        return Err(ScheduleError::Bug(Bug("contraction without operands".into())));
    };
    let axis = |v: u32| (KAxis { n: d.sizes[v as usize], a: a.coeff(v), b: b.coeff(v) }, SmallVec::from_elem(v, 1));
    let mut by_a: Vec<tangle::Part> = live_vars(d, VarKind::Contracted).into_iter().map(axis).collect();
    let mut by_b = tangle::exchanged(&by_a);
    let (b_right, a_right) = (tangle::arrange(&mut by_a), tangle::arrange(&mut by_b));
    let may = |v: u32| (d.vars[v as usize].side == 1 && a_right) || (d.vars[v as usize].side == 2 && b_right);
    let free: Vec<u32> = kept.iter().copied().filter(|&v| may(v)).collect();
    // A tile is 16 wide whatever is in it.
    let col = wide(d, best(d, &free), &free, FEW_COLS);
    let swap = col.map_or(!b_right, |c| d.vars[c as usize].side == 1);
    if !(if swap { a_right } else { b_right }) {
        return Err(ScheduleError::Bug(Bug("no operand of a contraction walks its axes with one stride".into())));
    }
    let k = if swap { by_b } else { by_a };
    let k: Vec<u32> = k.into_iter().flat_map(|(_, vars)| vars).collect();
    if swap {
        if let Some(DAnchor::Contract { a, b }) = &mut d.anchor {
            std::mem::swap(a, b);
        }
    }
    let Some(DAnchor::Contract { a: (_, a), b: (_, b) }) = &d.anchor else {
        return Err(ScheduleError::Bug(Bug("contraction without operands".into())));
    };
    let (a, b) = (a.clone(), b.clone());
    if col.is_some_and(|c| a.coeff(c) != 0) {
        return Err(ScheduleError::Bug(Bug("left operand of a contraction runs along the columns".into())));
    }
    let rest: Vec<u32> = kept.into_iter().filter(|&v| Some(v) != col).collect();
    let m = nearest(d, &a, rest.iter().copied().filter(|&v| b.coeff(v) == 0));
    let batch: Vec<u32> = rest.into_iter().filter(|&v| Some(v) != m).collect();
    let mut rows: Vec<Option<u32>> = by_stride(d, &batch).into_iter().map(Some).collect();
    if m.is_some() || !rows.is_empty() {
        rows.push(m);
    }
    Ok(Loops { rows, col, k, ..Loops::default() })
}

/// The rows of a tile: of the axes that are long enough the one whose elements the left operand has closest together, so that
/// a tile reads few lines and pages; the longest if none is.
fn nearest(d: &Draft, a: &Lin, vars: impl Iterator<Item = u32>) -> Option<u32> {
    let key = |&v: &u32| {
        let n = d.sizes[v as usize];
        let far = if n >= FEW_ROWS { a.coeff(v).unsigned_abs() } else { u64::MAX };
        (Reverse(far), n, v)
    };
    vars.max_by_key(key)
}

/// Which axis threads may cut.
fn split(d: &Draft, loops: &Loops, rows: &[u64], cols: u64, apart: Option<u64>) -> Split {
    // Which thread a computed store meets is not known.
    if d.stores.iter().any(|s| matches!(s, DStore::Index { .. })) {
        return Split::None;
    }
    let n_rows: u64 = rows.iter().product();
    let spread = |vars: &[u32]| {
        d.stores.iter().all(|s| match s {
            DStore::At { at, .. } => vars.iter().all(|&v| at.coeff(v) != 0),
            DStore::Index { .. } => true,
        })
    };
    let row_vars: Vec<u32> = loops.rows.iter().flatten().copied().collect();
    let by_cols = cols >= CUT_COLS && !loops.reduce_cols && loops.col.is_some_and(|c| spread(&[c]));
    let by_rows = n_rows > 1 && spread(&row_vars);
    if by_rows && apart == Some(n_rows) {
        return Split::Rows;
    }
    // Each thread packs the right operand of a contraction on its own, so cutting its columns shares that work too.
    // A small one is packed faster than threads meet at the barriers that cutting columns needs on both sides.
    if matches!(d.anchor, Some(DAnchor::Contract { .. })) && by_cols {
        let k: u64 = loops.k.iter().map(|&k| d.sizes[k as usize]).product();
        return if by_rows && n_rows >= SHARE_ROWS && k * cols <= PACK { Split::Rows } else { Split::Cols };
    }
    match (by_rows, by_cols) {
        (true, true) if n_rows >= 8 => Split::Rows,
        (_, true) => Split::Cols,
        (true, false) => Split::Rows,
        (false, false) => Split::None,
    }
}

/// Translates accesses and buffers.
pub struct Writer<'a> {
    /// The draft.
    pub d: &'a Draft,
    /// Its loops.
    pub loops: &'a Loops,
    views: &'a [Placed],
    args: Vec<Arg>,
    ids: Vec<ViewId>,
    written: BTreeSet<ViewId>,
}

impl Writer<'_> {
    fn anchor(&mut self) -> Result<Option<Anchor>, ScheduleError> {
        Ok(match &self.d.anchor {
            None => None,
            Some(DAnchor::Rng { site, .. }) => Some(Anchor::Rng { site: *site }),
            Some(DAnchor::Contract { a, b }) => {
                // The first two formal buffers are the operands, even where they are one buffer.
                for (buf, _) in [a, b] {
                    self.push(*buf, Role::In);
                }
                let axis = |&v: &u32| KAxis { n: self.d.sizes[v as usize], a: a.1.coeff(v), b: b.1.coeff(v) };
                let mut k: SmallVec<[KAxis; 2]> = self.loops.k.iter().map(axis).collect();
                if k.is_empty() {
                    k.push(KAxis { n: 1, a: 0, b: 0 });
                }
                let plain = |l: &Lin| {
                    let mut l = l.clone();
                    self.loops.k.iter().for_each(|&v| l.set(v, 0));
                    l
                };
                let (a, b) = (self.access(&plain(&a.1))?, self.access(&plain(&b.1))?);
                Some(Anchor::Contract(Contract { k, a: (ArgId(0), a), b: (ArgId(1), b) }))
            }
        })
    }

    fn push(&mut self, buf: ViewId, role: Role) -> ArgId {
        let b = &self.views[buf.0 as usize];
        self.args.push(Arg { dtype: b.dtype, len: b.view.len, role });
        self.ids.push(buf);
        ArgId(self.args.len() as u32 - 1)
    }

    /// The formal buffer for a read.
    pub fn read(&mut self, buf: ViewId) -> ArgId {
        let Some(i) = self.ids.iter().position(|&b| b == buf) else { return self.push(buf, Role::In) };
        if self.written.contains(&buf) {
            self.args[i].role = Role::InOut;
        }
        ArgId(i as u32)
    }

    /// The formal buffer for a write.
    pub fn write(&mut self, buf: ViewId) -> ArgId {
        self.written.insert(buf);
        let Some(i) = self.ids.iter().position(|&b| b == buf) else { return self.push(buf, Role::Out) };
        if self.args[i].role == Role::In {
            self.args[i].role = Role::InOut;
        }
        ArgId(i as u32)
    }

    /// An address over rows, columns and sequence.
    pub fn access(&self, l: &Lin) -> Result<Access, ScheduleError> {
        let (rows, col, seq) = (&self.loops.rows, self.loops.col, self.loops.seq);
        let used = |v: u32| rows.contains(&Some(v)) || col == Some(v) || seq == Some(v);
        if l.terms.iter().any(|t| self.d.sizes[t.0 as usize] != 1 && !used(t.0)) {
            return Err(ScheduleError::Bug(Bug(format!("{}: access along an axis without a loop", self.d.name))));
        }
        Ok(Access {
            offset: l.c,
            rows: rows.iter().map(|r| r.map_or(0, |v| l.coeff(v))).collect(),
            col: col.map_or(0, |v| l.coeff(v)),
            seq: seq.map_or(0, |v| l.coeff(v)),
        })
    }

    /// A loop index, or `None` for a variable that does not run.
    pub fn index(&self, v: u32) -> Option<Index> {
        if self.loops.col == Some(v) {
            return Some(Index::Col);
        }
        if self.loops.seq == Some(v) {
            return Some(Index::Seq);
        }
        self.loops.rows.iter().position(|&r| r == Some(v)).map(|i| Index::Row(i as u32))
    }
}
