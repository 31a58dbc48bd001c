//! What code generation decides about a kernel before it writes any: the shape of the loops and where values live.

use crate::kernel::ir::{Access, Anchor, ArgId, Contract, Index, Inst, Kernel, Split};
use crate::kernel::uses::kept;
use smallvec::SmallVec;

/// Decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// At most one strip: no loop over strips, values stay in registers.
    pub(super) single: bool,
    /// One phase over columns only, so that a launch may have segments of any length.
    pub(super) flat: bool,
    /// Instruction by instruction over the whole strip, because lanes or vectors may meet in memory. Otherwise vector by
    /// vector, which needs fewer registers.
    pub(super) by_instruction: bool,
    /// Scratch rows of values that a later phase reads.
    pub(super) slots: Vec<Option<u32>>,
    /// Values that a later phase makes again instead.
    pub(super) again: Vec<bool>,
    /// Values that are the same in every column of a row (and step), made once for the four vectors of a strip.
    pub(super) uniform: Vec<bool>,
    /// Lanes of a vector of Cranelift's: as many of the kernel's widest values as 128 bits hold.
    pub(super) per_vector: u8,
}

impl Plan {
    /// Decides. `several`: launches may have several segments, if the kernel is flat.
    pub(super) fn new(k: &Kernel, several: bool) -> Plan {
        let flat = several && is_flat(k);
        let single = k.cols <= 16 && !flat;
        let kept = kept(k);
        let mut slots = vec![None; k.insts.len()];
        let mut again = vec![false; k.insts.len()];
        let mut next = 0;
        for p in 0..k.phases.len() {
            for i in k.phase_range(p) {
                let seq = k.phases[p].seq.is_some();
                again[i] = match &k.insts[i] {
                    Inst::Lane(op) => op.is_const(),
                    Inst::Index(Index::Row(_) | Index::Col) => true,
                    Inst::Anchor => true,
                    Inst::Load { arg, at } => !seq && matches!(at.col, 0 | 1) && !is_stored(k, *arg),
                    _ => false,
                };
                if kept[i] && !again[i] && !single {
                    slots[i] = Some(next);
                    next += 1;
                }
            }
        }
        Plan {
            single,
            flat,
            by_instruction: lanes_meet(k),
            slots,
            again,
            uniform: uniform(k),
            per_vector: (16 / k.lane_bytes()) as u8,
        }
    }

    /// Bytes of scratch that a thread needs.
    pub(super) fn scratch_bytes(&self, k: &Kernel) -> u64 {
        self.slots.iter().flatten().count() as u64 * k.cols.next_multiple_of(16) * k.lane_bytes()
    }
}

/// The kernel as far as its body depends on it: kernels that are equal here share their code. The number of rows, where the
/// anchor's values come from, how threads share the kernel and its name do not enter a body, nor does the length of an
/// argument without computed indices, nor the number of columns where it varies by segment.
pub(super) fn essence(k: &Kernel, several: bool) -> Kernel {
    let mut e = k.clone();
    e.name = String::new();
    e.split = Split::None;
    for (i, a) in e.args.iter_mut().enumerate() {
        let computed = k.insts.iter().any(|inst| match inst {
            Inst::LoadAt { arg, .. } | Inst::StoreAt { arg, .. } => arg.0 as usize == i,
            _ => false,
        });
        if !computed {
            a.len = 1;
        }
    }
    if let Some(n) = e.rows.first_mut() {
        *n = (*n).min(2);
    }
    let nowhere = || (ArgId(0), Access::default());
    e.anchor = match k.anchor {
        None => None,
        Some(Anchor::Rng { .. }) => Some(Anchor::Rng { site: 0 }),
        Some(Anchor::Contract(_)) => {
            Some(Anchor::Contract(Contract { k: SmallVec::new(), a: nowhere(), b: nowhere() }))
        }
    };
    if several && k.cols > 0 && is_flat(k) {
        e.cols = 16;
    }
    e
}

fn uniform(k: &Kernel) -> Vec<bool> {
    let mut uniform: Vec<bool> = vec![];
    for inst in &k.insts {
        let operands = inst.operands().iter().all(|v| uniform[v.0 as usize]);
        uniform.push(match inst {
            Inst::Lane(_) => operands,
            Inst::Index(Index::Row(_) | Index::Seq) | Inst::Reduce { .. } => true,
            Inst::Load { arg, at } => at.col == 0 && !is_stored(k, *arg),
            Inst::LoadAt { arg, .. } => operands && !is_stored(k, *arg),
            _ => false,
        });
    }
    uniform
}

/// Whether the kernel writes an argument.
pub(super) fn is_stored(k: &Kernel, a: ArgId) -> bool {
    k.insts.iter().any(|i| matches!(i, Inst::Store { arg, .. } | Inst::StoreAt { arg, .. } if *arg == a))
}

/// One phase over columns alone, every access at the column or at one element.
fn is_flat(k: &Kernel) -> bool {
    k.rows.is_empty()
        && k.phases.len() <= 1
        && k.phases.iter().all(|p| p.seq.is_none())
        && k.anchor.is_none()
        && k.insts.iter().all(|i| match i {
            Inst::Load { at, .. } => at.col == 0 || (at.col == 1 && at.offset == 0),
            Inst::Store { at, .. } => at.col == 1 && at.offset == 0,
            Inst::LoadAt { .. } | Inst::StoreAt { .. } | Inst::Reduce { .. } | Inst::Acc { .. } => false,
            _ => true,
        })
}

/// Whether an element written by one lane may be read or written by another.
fn lanes_meet(k: &Kernel) -> bool {
    k.insts.iter().any(|i| match i {
        Inst::StoreAt { .. } => true,
        Inst::LoadAt { arg, .. } => is_stored(k, *arg),
        Inst::Load { arg, at } | Inst::Store { arg, at, .. } if is_stored(k, *arg) => {
            // Stores of all columns to one element leave the last column's value in either order, if nothing reads it.
            k.insts.iter().any(|j| match j {
                Inst::Load { arg: a, at: b } => a == arg && (at != b || at.col == 0),
                Inst::Store { arg: a, at: b, .. } => a == arg && at != b,
                _ => false,
            })
        }
        _ => false,
    })
}
