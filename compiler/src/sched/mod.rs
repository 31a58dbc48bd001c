//! Scheduling: groups of graph values to kernels, launches and a memory plan.
//!
//! In: a graph and where parameters and state live. Out: a [`KernelProgram`]. The body of a region is a graph like the one
//! around it: it is lowered the same way, with slots and results where the region's operands and results are. Users' errors ended long before: what can go
//! wrong here is a dtype that this back end has no lanes for ([`Limit`]) or a broken invariant ([`Bug`]).

pub mod bound;
pub mod draft;
pub mod emit;
pub mod finish;
pub mod memory;
pub mod order;
pub mod phases;
pub mod places;
pub mod scalar;
pub mod touch;
#[cfg(test)]
mod tests;

use crate::fuse::cost::FEW;
use crate::fuse::nodes::Role;
use crate::fuse::{group, legalize};
use crate::graph::graph::{Graph, Slot, SlotKind};
use crate::graph::ops::Op;
use crate::kernel::ir::{Anchor, Kernel, KernelProgram, Split};
use crate::kernel::verify_plan;
use crate::lanes::has_lanes;
use crate::source::Span;
use draft::{DAnchor, Draft};
use order::Work;
use places::{Copy, Frame, Places};
use std::collections::HashMap;
use std::sync::Arc;

/// Something that this back end cannot do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{op}` on {dtype} is not supported by the CPU back end")]
pub struct Limit {
    /// The op.
    pub op: String,
    /// The dtype.
    pub dtype: nn_runtime::dtype::DType,
    /// Where it comes from.
    pub span: Option<Span>,
}

/// A broken invariant of the compiler.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Bug(pub String);

/// Why a graph has no kernel program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// Not supported.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// A bug in the compiler.
    #[error("scheduling: {0}")]
    Bug(#[from] Bug),
}

/// Byte offsets of parameters and state in their arenas, the same for every entry of a program.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    offsets: HashMap<(SlotKind, Arc<str>), u64>,
    ends: [u64; 2],
}

impl Layout {
    /// A layout of the slots of one graph, in order.
    pub fn of(g: &Graph) -> Layout {
        let mut l = Layout::default();
        g.slots.iter().for_each(|s| l.add(s));
        l
    }
    /// Adds a slot at the end of its arena, if it is new and persistent.
    pub fn add(&mut self, s: &Slot) {
        let end = match s.kind {
            SlotKind::Param => &mut self.ends[0],
            SlotKind::State => &mut self.ends[1],
            SlotKind::Data | SlotKind::Step => return,
        };
        if let std::collections::hash_map::Entry::Vacant(e) = self.offsets.entry((s.kind, s.name.clone())) {
            e.insert(*end);
            *end += s.ty.bytes().next_multiple_of(memory::ALIGN);
        }
    }
    /// Bytes of the param and the state arena.
    pub fn bytes(&self) -> (u64, u64) {
        (self.ends[0], self.ends[1])
    }
    /// Where a slot is; slots that were never added are at 0.
    pub fn offset(&self, s: &Slot) -> u64 {
        self.offsets.get(&(s.kind, s.name.clone())).copied().unwrap_or(0)
    }
}

/// Turns a graph into kernels.
pub fn schedule(g: &Graph, layout: &Layout) -> Result<KernelProgram, ScheduleError> {
    let mut buffers = places::Buffers::default();
    let (frame, outputs) = places::frame(g, layout, &mut buffers);
    let work = lower(g, &frame, &mut buffers)?;
    let places::Buffers { all: mut buffers, consts, .. } = buffers;
    let (kernels, body) = order::order(work, &buffers)?;
    let temp_bytes = memory::plan(&mut buffers, &body);
    let p = KernelProgram { name: g.name.clone(), buffers, kernels, body, consts, temp_bytes, outputs };
    if cfg!(debug_assertions) {
        let errors = verify_plan::program(&p);
        if !errors.is_empty() {
            return Err(Bug(format!("{}\n{}", errors.join("\n"), memory::print(&p))).into());
        }
    }
    Ok(p)
}

/// The kernels and sequences of a graph inside a frame, in the order in which what writes one place must run.
fn lower(g: &Graph, frame: &Frame, buffers: &mut places::Buffers) -> Result<Vec<Work>, ScheduleError> {
    let (changed, forced) = legalize::legalize(g);
    let g = changed.as_ref().unwrap_or(g);
    let plan = group::group(g, &forced, frame.depth > 0);
    limits(&plan)?;
    let places = places::assign(&plan, frame, buffers);
    let copy = |c: &Copy| {
        let (Copy::Value { to, .. } | Copy::View { to, .. }) = c;
        let some = places.views[to.0 as usize].view.len > 0;
        some.then(|| match *c {
            Copy::Value { value, to } => emit::copy(&plan, &places, value, to),
            Copy::View { from, to } => Ok(emit::copy_view(&places, from, to)),
        })
    };
    let mut drafts = vec![];
    for group in &plan.groups {
        let unused = group.members.keys().all(|v| places.dests[v.idx()].is_empty());
        if !unused && !empty(&plan, group) && !matches!(group.anchor, Some(group::Anchor::Scan(_))) {
            drafts.extend(emit::group(&plan, &places, group)?);
        }
    }
    for c in &places.initial {
        drafts.extend(copy(c).transpose()?);
    }
    let last: Vec<Draft> = places.copies.iter().filter_map(copy).collect::<Result<_, _>>()?;
    let apart = if frame.depth > 0 { rows_apart(&drafts, &places)? } else { None };
    let kernel = |d: Draft| finish::finish(d, &places.views, apart);
    let mut kernels: Vec<finish::Lowered> = drafts.into_iter().map(kernel).collect::<Result<_, _>>()?;
    let mut last: Vec<finish::Lowered> = last.into_iter().map(kernel).collect::<Result<_, _>>()?;
    if frame.depth > 0 && apart.is_none() {
        let all = || kernels.iter().chain(&last);
        if all().map(|l| operations(&l.kernel)).fold(0, u64::saturating_add) < SHARE {
            kernels.iter_mut().chain(&mut last).for_each(|l| l.kernel.split = Split::None);
        }
    }
    let mut work: Vec<Work> = kernels.into_iter().map(|k| Work::Kernel(Box::new(k))).collect();
    for r in &places.regions {
        let Op::Scan(s) = g.op(r.value) else { continue };
        if s.length == 0 {
            continue;
        }
        let lost = || Bug("an operand of a region is in no memory".into());
        let mut inside = places.inside(&plan, r, frame.depth).ok_or_else(lost)?;
        // What nobody reads is not computed.
        let mut body = (*s.body).clone();
        let mut read = inside.results.iter().map(|r| !r.is_empty());
        body.outputs.retain(|_| read.next() == Some(true));
        inside.results.retain(|r| !r.is_empty());
        work.push(Work::Seq { n: s.length, reverse: s.reverse, body: lower(&body, &inside, buffers)? });
    }
    work.extend(last.into_iter().map(|k| Work::Kernel(Box::new(k))));
    Ok(work)
}

/// Operations of a step below which threads that share them would spend the time meeting: about two microseconds.
const SHARE: u64 = 64 << 10;

/// Operations of a kernel, roughly.
fn operations(k: &Kernel) -> u64 {
    let sum = if let Some(Anchor::Contract(c)) = &k.anchor { 2 * c.length() } else { 0 };
    let steps = k.phases.iter().filter_map(|p| p.seq).max().unwrap_or(1);
    k.n_rows().saturating_mul(k.cols).saturating_mul(sum + steps * k.insts.len() as u64)
}

/// The rows that kernels of a step have in common: those of its largest contraction, if they are enough for threads to
/// share.
fn rows_apart(drafts: &[Draft], places: &Places) -> Result<Option<u64>, ScheduleError> {
    let mut most: Option<(u64, u64)> = None;
    for d in drafts.iter().filter(|d| matches!(d.anchor, Some(DAnchor::Contract { .. }))) {
        let k = finish::finish(d.clone(), &places.views, None)?.kernel;
        if let (Some(Anchor::Contract(c)), rows @ FEW..) = (&k.anchor, k.n_rows()) {
            most = most.max(Some((rows * k.cols * c.length(), rows)));
        }
    }
    Ok(most.map(|m| m.1))
}

/// A group without elements computes nothing.
fn empty(plan: &group::Plan, g: &group::Group) -> bool {
    g.members.keys().all(|v| plan.nodes.g.ty(*v).numel() == 0)
}

/// Every live value must have a dtype that lanes hold.
fn limits(plan: &group::Plan) -> Result<(), ScheduleError> {
    let g = plan.nodes.g;
    for v in g.values().filter(|v| plan.nodes.role[v.idx()] != Role::Dead) {
        let node = g.node(v);
        if !has_lanes(node.ty.dtype) {
            let op = match &node.op {
                crate::graph::ops::Op::Ew(e) => e.spec().name.to_owned(),
                op => op.spec().name.to_owned(),
            };
            return Err(Limit { op, dtype: node.ty.dtype, span: node.span }.into());
        }
    }
    Ok(())
}
