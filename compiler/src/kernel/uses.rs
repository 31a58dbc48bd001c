//! Which values of a kernel outlive their phase.
//!
//! In: a kernel. Out: facts that the interpreter, the verifier and code generation agree on: a `Reduce` is one value per
//! row, an `Acc` used later is its final value, and any other value used in a later phase is kept for the whole row.

use super::ir::{Inst, Kernel};
use crate::lanes::LaneId;
use smallvec::SmallVec;

impl Inst {
    /// The values this instruction reads, in order.
    pub fn operands(&self) -> SmallVec<[LaneId; 3]> {
        match self {
            Inst::Lane(op) => op.operands().collect(),
            Inst::Index(_) | Inst::Anchor | Inst::Load { .. } => SmallVec::new(),
            Inst::LoadAt { index, mask, .. } => [Some(*index), *mask].into_iter().flatten().collect(),
            Inst::Store { value, .. } | Inst::Reduce { value, .. } | Inst::Acc { value, .. } => {
                SmallVec::from_slice(&[*value])
            }
            Inst::StoreAt { index, mask, value, .. } => {
                [Some(*index), *mask, Some(*value)].into_iter().flatten().collect()
            }
        }
    }
}

/// The phase of every instruction.
pub fn phase_of(k: &Kernel) -> Vec<usize> {
    let mut of = vec![0; k.insts.len()];
    for p in 0..k.phases.len() {
        for i in k.phase_range(p) {
            if let Some(slot) = of.get_mut(i) {
                *slot = p;
            }
        }
    }
    of
}

/// For every instruction, whether a later phase reads its value (a `Reduce` is always read later, so it does not count
/// as kept: it is one scalar of the row).
pub fn kept(k: &Kernel) -> Vec<bool> {
    let phase = phase_of(k);
    let mut kept = vec![false; k.insts.len()];
    for (i, inst) in k.insts.iter().enumerate() {
        for v in inst.operands() {
            let v = v.0 as usize;
            if v < kept.len() && phase[v] < phase[i] && !matches!(k.insts[v], Inst::Reduce { .. }) {
                kept[v] = true;
            }
        }
    }
    kept
}

/// Whether the kernel combines over columns, so that a body must be run on whole rows.
pub fn has_reduce(k: &Kernel) -> bool {
    k.insts.iter().any(|i| matches!(i, Inst::Reduce { .. }))
}
