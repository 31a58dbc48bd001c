//! Deals the instructions of a kernel out to phases.
//!
//! In: a draft with chosen loops. Out: kernel instructions in phase order. A reduction's value exists from the next phase
//! on. Where a later phase needs another value again, it is made again if that is cheap (constants, indices, loads, a few
//! lane ops) or if it belongs to a step of a sequence; else it is kept for the row.

use super::draft::{DInst, DStore, ViewId};
use super::finish::Writer;
use super::{Bug, ScheduleError};
use crate::fuse::cost::REMATERIALIZE;
use crate::kernel::ir::Inst;
use crate::lanes::{LaneBin, LaneId, LaneOp, LaneUn};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is known of an instruction.
#[derive(Clone, Copy, Default)]
struct Fact {
    /// Phase it runs in; with a sequence, even phases are sequences.
    phase: u32,
    /// First phase that may use its value.
    ready: u32,
    /// Differs between steps of the sequence.
    stepped: bool,
    /// Lane ops to make it again; `u32::MAX / 4` and more is never.
    cost: u32,
}

const NEVER: u32 = u32::MAX / 4;

/// Kernel instructions, and for every phase its end and whether it runs over the sequence.
pub type Phased = (Vec<Inst>, Vec<(u32, bool)>);

/// Assigns and writes.
pub fn assign(w: &mut Writer) -> Result<Phased, ScheduleError> {
    let d = w.d;
    let seq = w.loops.seq;
    let written: BTreeSet<ViewId> = d.stores.iter().map(DStore::buf).collect();
    // Where the sequence is not a reduction, every step does everything, in the one phase.
    let one_phase = seq.is_none() || !w.loops.reduce_seq;
    let up = |p: u32, parity: u32| if one_phase || p % 2 == parity { p } else { p + 1 };
    let mut facts: Vec<Fact> = Vec::with_capacity(d.insts.len());
    for inst in &d.insts {
        let ops = inst.operands();
        let f = |v: &LaneId| facts[v.0 as usize];
        let ready = ops.iter().map(|v| f(v).ready).max().unwrap_or(0);
        let stepped = ops.iter().any(|v| f(v).stepped);
        let cost: u32 = ops.iter().map(|v| f(v).cost).fold(0, u32::saturating_add);
        let fact = match inst {
            DInst::Red { .. } => {
                let mut phase = up(ready, if w.loops.reduce_seq { 0 } else { 1 });
                let mut after = phase + 1;
                if w.loops.reduce_seq && w.loops.reduce_cols {
                    phase = up(after, 1);
                    after = phase + 1;
                }
                Fact { phase, ready: after, stepped: false, cost: 0 }
            }
            DInst::Run { .. } => {
                let phase = up(ready, 0);
                Fact { phase, ready: phase, stepped: true, cost: NEVER }
            }
            _ => {
                let steps = match inst {
                    DInst::Index(v) => seq == Some(*v),
                    DInst::Load { at, .. } => seq.is_some_and(|s| at.coeff(s) != 0),
                    _ => false,
                };
                let stepped = stepped || steps;
                let cost = cost.saturating_add(own_cost(inst, &written));
                // What is the same for every step and not cheap is made once, outside the sequence; next to running
                // values there is only one phase.
                let phase = match (stepped, cost > REMATERIALIZE && w.loops.reduce_seq) {
                    (true, _) => up(ready, 0),
                    (false, true) => up(ready, 1),
                    (false, false) => ready,
                };
                Fact { phase, ready: phase, stepped, cost }
            }
        };
        facts.push(fact);
    }
    let mut a = Assign { facts, wanted: HashSet::new(), roots: vec![], accs: vec![] };
    let mut store_phase = vec![];
    for s in &d.stores {
        let ops = s.operands();
        let ready = ops.iter().map(|v| a.facts[v.0 as usize].ready).max().unwrap_or(0);
        let at_step = match s {
            DStore::At { at, .. } => seq.is_some_and(|q| at.coeff(q) != 0),
            DStore::Index { .. } => false,
        };
        let stepped = at_step || ops.iter().any(|v| a.facts[v.0 as usize].stepped);
        let phase = if stepped { up(ready, 0) } else { up(ready, 1) };
        store_phase.push(phase);
        for v in ops {
            a.want(w, v, phase)?;
        }
    }
    a.write(w, &store_phase)
}

/// What making an instruction again costs by itself.
fn own_cost(i: &DInst, written: &BTreeSet<ViewId>) -> u32 {
    match i {
        DInst::Index(_) => 0,
        DInst::Lane(op) if op.is_const() => 0,
        DInst::Lane(LaneOp::Bin(LaneBin::FDiv | LaneBin::IDiv | LaneBin::IRem, ..)) => 10,
        DInst::Lane(LaneOp::Un(LaneUn::FSqrt, _)) => 10,
        DInst::Lane(_) => 1,
        // What the kernel overwrites must be read once, before.
        DInst::Load { buf, .. } | DInst::LoadAt { buf, .. }
            if written.contains(buf) && !nn_runtime::mutant!("sched.keep") =>
        {
            NEVER
        }
        DInst::Load { .. } => 1,
        DInst::LoadAt { .. } => 3,
        DInst::Anchor(_) => NEVER,
        DInst::Red { .. } | DInst::Acc { .. } | DInst::Run { .. } => 0,
    }
}

struct Assign {
    facts: Vec<Fact>,
    /// Instructions needed in a phase.
    wanted: HashSet<(u32, u32)>,
    /// For every phase, the instructions it runs, in draft order.
    roots: Vec<BTreeSet<u32>>,
    /// Reductions over both the sequence and the columns: the phase of the first half.
    accs: Vec<(u32, u32)>,
}

impl Assign {
    /// Makes sure that a value is there in a phase.
    fn want(&mut self, w: &Writer, v: LaneId, phase: u32) -> Result<(), ScheduleError> {
        let i = v.0;
        if !self.wanted.insert((i, phase)) {
            return Ok(());
        }
        let f = self.facts[i as usize];
        let inst = &w.d.insts[i as usize];
        let red = matches!(inst, DInst::Red { .. });
        if f.phase < phase && !red {
            if matches!(inst, DInst::Run { .. }) {
                return Err(ScheduleError::Bug(Bug("a running value is used after its phase".into())));
            }
            if !f.stepped && f.cost > REMATERIALIZE {
                return self.want(w, v, f.phase);
            }
        }
        let at = if red { f.phase } else { phase };
        if red && at < phase {
            return self.want(w, v, at);
        }
        while self.roots.len() <= at as usize {
            self.roots.push(BTreeSet::new());
        }
        if !self.roots[at as usize].insert(i) {
            return Ok(());
        }
        let mut operand_phase = at;
        if red && w.loops.reduce_seq && w.loops.reduce_cols {
            operand_phase = at - 1;
            self.accs.push((i, operand_phase));
        }
        for o in inst.operands() {
            self.want(w, o, operand_phase)?;
        }
        Ok(())
    }

    fn write(&mut self, w: &mut Writer, store_phase: &[u32]) -> Result<Phased, ScheduleError> {
        let d = w.d;
        let last = store_phase.iter().copied().max().unwrap_or(0).max(self.roots.len().saturating_sub(1) as u32);
        let mut insts: Vec<Inst> = vec![];
        let mut ends = vec![];
        // Where a value is: made in this phase, or for good.
        let mut here: HashMap<u32, LaneId> = HashMap::new();
        let mut kept: HashMap<u32, LaneId> = HashMap::new();
        let mut half: HashMap<u32, LaneId> = HashMap::new();
        let push = |insts: &mut Vec<Inst>, i: Inst| {
            insts.push(i);
            LaneId(insts.len() as u32 - 1)
        };
        for p in 0..=last {
            let start = insts.len();
            let is_seq = w.loops.seq.is_some() && p % 2 == 0;
            here.clear();
            let roots = self.roots.get(p as usize).cloned().unwrap_or_default();
            let accs: Vec<u32> = self.accs.iter().filter(|a| a.1 == p).map(|a| a.0).collect();
            for i in roots {
                let at = |v: LaneId| -> Result<LaneId, ScheduleError> {
                    here.get(&v.0).or_else(|| kept.get(&v.0)).copied().ok_or_else(|| {
                        ScheduleError::Bug(Bug(format!("{}: value {} is not there in phase {p}", d.name, v.0)))
                    })
                };
                let inst = match &d.insts[i as usize] {
                    DInst::Lane(op) => {
                        for o in op.operands() {
                            at(o)?;
                        }
                        Inst::Lane(op.map(|o| at(o).unwrap_or(o)))
                    }
                    DInst::Index(v) => match w.index(*v) {
                        Some(ix) => Inst::Index(ix),
                        None => Inst::Lane(LaneOp::ConstI(0)),
                    },
                    DInst::Anchor(_) => Inst::Anchor,
                    DInst::Load { buf, at: l, .. } => Inst::Load { arg: w.read(*buf), at: w.access(l)? },
                    DInst::LoadAt { buf, index, mask, .. } => {
                        Inst::LoadAt { arg: w.read(*buf), index: at(*index)?, mask: mask.map(at).transpose()? }
                    }
                    DInst::Red { kind, value } => match (w.loops.reduce_seq, w.loops.reduce_cols) {
                        (true, true) => {
                            let value = half.get(&i).copied().ok_or_else(|| {
                                ScheduleError::Bug(Bug(format!("{}: half of a reduction is missing", d.name)))
                            })?;
                            Inst::Reduce { kind: *kind, value }
                        }
                        (true, false) => Inst::Acc { kind: *kind, value: at(*value)? },
                        _ => Inst::Reduce { kind: *kind, value: at(*value)? },
                    },
                    DInst::Run { kind, value } | DInst::Acc { kind, value } => {
                        Inst::Acc { kind: *kind, value: at(*value)? }
                    }
                };
                let red = matches!(d.insts[i as usize], DInst::Red { .. });
                let id = push(&mut insts, inst);
                if !red {
                    here.insert(i, id);
                }
                if self.facts[i as usize].phase == p {
                    kept.insert(i, id);
                }
            }
            for i in accs {
                let DInst::Red { kind, value } = &d.insts[i as usize] else { continue };
                let v = here.get(&value.0).or_else(|| kept.get(&value.0)).copied().ok_or_else(|| {
                    ScheduleError::Bug(Bug(format!("{}: operand of a reduction is not there", d.name)))
                })?;
                let id = push(&mut insts, Inst::Acc { kind: *kind, value: v });
                half.insert(i, id);
            }
            for (s, &sp) in d.stores.iter().zip(store_phase) {
                if sp != p {
                    continue;
                }
                let at = |v: LaneId| {
                    here.get(&v.0).or_else(|| kept.get(&v.0)).copied().ok_or_else(|| {
                        ScheduleError::Bug(Bug(format!("{}: stored value {} is not there", d.name, v.0)))
                    })
                };
                let inst = match s {
                    DStore::At { buf, at: l, value } => {
                        Inst::Store { arg: w.write(*buf), at: w.access(l)?, value: at(*value)? }
                    }
                    DStore::Index { buf, index, mask, value } => Inst::StoreAt {
                        arg: w.write(*buf),
                        index: at(*index)?,
                        mask: mask.map(at).transpose()?,
                        value: at(*value)?,
                    },
                };
                push(&mut insts, inst);
            }
            if insts.len() > start {
                ends.push((insts.len() as u32, is_seq));
            }
        }
        Ok((insts, ends))
    }
}
