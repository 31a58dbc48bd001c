//! Scheduling: groups of graph values to kernels, launches and a memory plan.
//!
//! In: a graph and where parameters and state live. Out: a [`KernelProgram`]. Users' errors ended long before: what can go
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
#[cfg(test)]
mod tests;

use crate::fuse::nodes::Role;
use crate::fuse::{group, legalize};
use crate::graph::graph::{Graph, Slot, SlotKind};
use crate::kernel::ir::KernelProgram;
use crate::kernel::verify_plan;
use crate::lanes::has_lanes;
use crate::source::Span;
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
    let (changed, forced) = legalize::legalize(g);
    let g = changed.as_ref().unwrap_or(g);
    let plan = group::group(g, &forced);
    limits(&plan)?;
    let places = places::assign(&plan, layout);
    let mut lowered = vec![];
    for group in &plan.groups {
        if group.members.keys().all(|v| places.dests[v.idx()].is_empty()) || empty(&plan, group) {
            continue;
        }
        for d in emit::group(&plan, &places, group)? {
            lowered.push(finish::finish(d, &places.buffers)?);
        }
    }
    for c in &places.copies {
        if places.buffers[c.to.0 as usize].len > 0 {
            lowered.push(finish::finish(emit::copy_buffer(&places, c.from, c.to), &places.buffers)?);
        }
    }
    let places::Places { mut buffers, consts, outputs, .. } = places;
    let (kernels, launches) = order::order(lowered, &buffers)?;
    let temp_bytes = memory::plan(&mut buffers, &launches);
    let p = KernelProgram { name: g.name.clone(), buffers, kernels, launches, consts, temp_bytes, outputs };
    if cfg!(debug_assertions) {
        let errors = verify_plan::program(&p);
        if !errors.is_empty() {
            return Err(Bug(format!("{}\n{}", errors.join("\n"), memory::print(&p))).into());
        }
    }
    Ok(p)
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
