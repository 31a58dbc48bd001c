//! What is worth fusing: every decision of cost, each with its reason.
//!
//! Legality says what can be one kernel; this says what should be. No search: rules in a fixed order.

use super::group::{Anchor, Group};
use super::nodes::Nodes;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind};
use std::collections::BTreeSet;

/// Most buffers of groups that share a launch side by side: beyond, address registers spill and nothing is gained.
pub const MAX_ARGS: usize = 24;
/// Reductions of at most this many elements in all may share a launch though they read nothing in common: the launch
/// and its barrier cost more than the work.
pub const SMALL: u64 = 4096;
/// Elements of one piece of a long row: long enough to amortize a second pass, short enough for every thread to get
/// some. By shape alone, so that no bit depends on the threads.
pub const CHUNK: u64 = 4096;
/// Pieces of a long column: enough for any number of threads here, few enough that adding them up is nothing.
pub const PIECES: u64 = 32;
/// Most values of a group: beyond, registers spill, and each further value takes longer to add.
pub const MAX_MEMBERS: usize = 128;
/// Elements of a reduction that is written out rather than run as a sequence.
pub const UNROLL: u64 = 16;
/// Rows below which threads would idle.
pub const FEW: u64 = 8;
/// Columns below which cutting columns leaves threads idle.
pub const FEW_COLS: u64 = 256;
/// Rounds of cheap lane ops that may be done again instead of keeping a value of a row in scratch memory.
pub const REMATERIALIZE: u32 = 6;

/// Elements from which joining or padding is done part by part: each part runs along memory at full speed, while one
/// kernel for all would fetch every element by a computed index, some ten times slower, but in one launch.
pub const ASSEMBLE: u64 = 4096;
/// The same in the body of a loop. Elements at computed places are not known to be a thread's own, and threads would meet in
/// every step; parts keep to their rows.
pub const ASSEMBLE_INSIDE: u64 = 256;

/// Is the value put together from parts, one launch each?
pub fn assembled(nodes: &Nodes, v: ValueId) -> bool {
    matches!(nodes.g.op(v), Op::Concat { .. } | Op::Pad { .. })
        && nodes.g.ty(v).numel() >= if nodes.inside { ASSEMBLE_INSIDE } else { ASSEMBLE }
        && !nn_runtime::mutant!("cost.assembled")
}

/// Should a consumer move into its producer's kernel?
pub fn vertical(nodes: &Nodes, a: &Group, b: &Group) -> bool {
    // R9: updates stay apart, so that those of all parameters become one launch.
    if a.update != b.update {
        return false;
    }
    // R3 for scatters would put work into an ordered loop.
    if matches!(a.anchor, Some(Anchor::Scatter(_))) || matches!(b.anchor, Some(Anchor::Scatter(_))) {
        return false;
    }
    if [a, b].iter().any(|g| g.members.keys().any(|&v| assembled(nodes, v))) {
        return false;
    }
    let reduces = |g: &Group| g.reduced.contains(&true);
    // Rows that are not innermost run as a sequence; what reads the finished reduction per element would need a second
    // sequence that computes everything again (R7), so it becomes a kernel of its own.
    if reduces(a) && !row_wise(nodes, a) && full(b) && !nn_runtime::mutant!("cost.columns") {
        return false;
    }
    a.members.len() + b.members.len() <= MAX_MEMBERS
}

/// Is the union of two groups worth it? A sequence over more variables than a reduction has axes would be walked by
/// computed places.
pub fn joined(nodes: &Nodes, a: &Group, b: &Group, union: &Group) -> bool {
    let reduced = |g: &Group| g.reduced.iter().filter(|r| **r).count();
    reduced(union) <= reduced(a).max(reduced(b)) || row_wise(nodes, union)
}

/// How many buffers a kernel of the group has: what it reads from elsewhere and what others read.
pub fn buffers(nodes: &Nodes, g: &Group) -> usize {
    let inside = |v: &ValueId| g.members.contains_key(v);
    let read: BTreeSet<ValueId> =
        g.members.keys().flat_map(|v| &nodes.deps[v.idx()]).copied().filter(|v| !inside(v)).collect();
    let written = |v: &&ValueId| nodes.output[v.idx()] || !nodes.users[v.idx()].iter().all(inside);
    read.len() + g.members.keys().filter(written).count()
}

/// Does the group have members that use all of its axes?
fn full(g: &Group) -> bool {
    let n = |m: &super::group::Member| {
        let mut vars: Vec<u32> = m.map.iter().chain(&m.red).flat_map(|l| l.terms.iter().map(|t| t.0)).collect();
        vars.sort_unstable();
        vars.dedup();
        vars.len()
    };
    g.members.values().any(|m| n(m) == g.sizes.len()) && !g.sizes.is_empty()
}

/// Do the group's reductions run over the innermost axis of what they read?
pub fn row_wise(nodes: &Nodes, g: &Group) -> bool {
    g.members.iter().filter(|(_, m)| !m.red.is_empty()).all(|(&v, _)| {
        let x = nodes.g.inputs(v)[0];
        let shape = &nodes.g.ty(x).shape;
        let last = shape.iter().rposition(|&n| n != 1);
        match nodes.g.op(v) {
            Op::Reduce { axes, .. } => last.is_some_and(|l| axes.contains(&(l as u32))),
            Op::ArgReduce { axis, .. } => last == Some(*axis as usize),
            _ => true,
        }
    })
}

/// May this op be computed twice? R7: nothing that takes more than a few cycles, and nothing with state.
pub fn cheap(nodes: &Nodes, v: ValueId) -> bool {
    match nodes.g.op(v) {
        Op::Cast(_) => true,
        Op::Ew(e) => cheap_ew(*e),
        _ => false,
    }
}

/// Does the op's body have few lane ops? Measured on the body itself, so that a new row of the op table needs no entry.
fn cheap_ew(e: Ew) -> bool {
    use crate::graph::ops::elementwise::TyRule;
    use crate::lanes::{LaneBin, LaneOp, LaneProgram, LaneTy, LaneUn};
    use nn_runtime::dtype::DType;
    let spec = e.spec();
    let (dtype, ty) = match spec.ty {
        TyRule::Int => (DType::I32, LaneTy::I32),
        TyRule::Logic => (DType::Bool, LaneTy::Bool),
        _ => (DType::F32, LaneTy::F32),
    };
    let mut k = LaneProgram::default();
    let args: Vec<_> = (0..spec.arity as u32)
        .map(|i| k.arg(i, if spec.ty == TyRule::Select && i == 0 { LaneTy::Bool } else { ty }))
        .collect();
    (spec.body)(&mut k, dtype, &args);
    let slow = |op: &LaneOp| {
        matches!(op, LaneOp::Bin(LaneBin::FDiv | LaneBin::IDiv | LaneBin::IRem, ..) | LaneOp::Un(LaneUn::FSqrt, _))
    };
    let work = k.ops.iter().filter(|op| !matches!(op, LaneOp::Arg(..)) && !op.is_const());
    work.clone().count() <= 3 && !work.clone().any(slow)
}

/// Identity of a reduction in f64; what an empty one gives.
pub fn identity(kind: ReduceKind) -> f64 {
    match kind {
        ReduceKind::Sum => 0.0,
        ReduceKind::Prod => 1.0,
        ReduceKind::Max => f64::NEG_INFINITY,
        ReduceKind::Min => f64::INFINITY,
    }
}
