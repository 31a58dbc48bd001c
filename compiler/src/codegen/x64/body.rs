//! The body function of a kernel: loops over rows, phases, strips of 16 columns and sequence steps.
//!
//! In: a kernel and its plan. Out: a function on virtual registers, or nothing where an instruction is not supported here.
//!
//! One strip is one register per value. What is the same in every column is made once per row, before the loop over strips;
//! what does not depend on the step is made before the loop over steps. Strips run in order, so that lanes meet in memory
//! as the kernel IR says; in sequences several strips advance together, unless lanes may meet.

use super::lower::{class, z};
use super::memory::{Base, Home, homes};
use super::vcode::{Class, Constant, First, Func, Item, Opnd, V};
use crate::codegen::plan::{Plan, is_stored};
use crate::kernel::interp::reduction;
use crate::kernel::ir::{Access, Index, Inst, Kernel};
use crate::lanes::{LaneBin, LaneId, LaneOp, LaneTy};
use iced_x86::code_asm::{
    AsmRegister64, CodeLabel, al, dword_ptr, eax, edx, esi, qword_ptr, r8, rax, rcx, rdx, rsi, rsp,
};
use iced_x86::{Code, Register};
use nn_runtime::program::TileArgs;
use std::mem::offset_of;

/// Columns at hand.
#[derive(Clone, Default)]
pub(super) struct Strip {
    /// The live lanes, where not all are.
    pub(super) mask: Option<V>,
    /// How many lanes are live, where that is known.
    pub(super) live: Option<u64>,
    /// How many strips side by side.
    count: usize,
    /// Whether inside a sequence.
    pub(super) seq: bool,
}

/// Strips side by side in a sequence.
const ABREAST: usize = 4;

/// A body under construction.
pub(super) struct Body<'a> {
    pub(super) f: Func,
    pub(super) k: &'a Kernel,
    plan: &'a Plan,
    types: Vec<Option<LaneTy>>,
    unroll: bool,
    pub(super) homes: Vec<(Base, Home)>,
    /// What `rax` holds, if it is an address.
    pub(super) rax: Option<(Base, i32, i32)>,
    values: Vec<[Option<V>; ABREAST]>,
    /// Values that are the same in every column of the row.
    row_values: Vec<Option<V>>,
    /// Accumulators of the phase's reductions.
    accs: Vec<Option<V>>,
    /// Whether a value depends on the sequence step.
    steps: Vec<bool>,
    slots: Slots,
    /// Where 16 words lie in the frame while they are taken one by one.
    pub(super) words: Option<i32>,
}

/// Scalars in the frame.
#[derive(Default)]
struct Slots {
    table: i32,
    acc: i32,
    acc_step: i32,
    scratch: i32,
    r: i32,
    r1: i32,
    c0: i32,
    c1: i32,
    end: i32,
    rows: Vec<i32>,
}

/// The function of a kernel. `unroll`: several strips per turn of the loop.
pub(super) fn build(k: &Kernel, plan: &Plan, unroll: bool) -> Option<Func> {
    let n = k.insts.len();
    let mut b = Body {
        f: Func::new()?,
        k,
        plan,
        types: k.types(),
        unroll,
        homes: vec![],
        rax: None,
        values: vec![[None; ABREAST]; n],
        row_values: vec![None; n],
        accs: vec![None; n],
        steps: steps(k),
        slots: Slots::default(),
        words: None,
    };
    b.function()?;
    Some(b.f)
}

/// What depends on the step of a sequence: the step, memory that changes, and all that comes of these.
fn steps(k: &Kernel) -> Vec<bool> {
    let mut steps: Vec<bool> = vec![];
    for i in &k.insts {
        let operands = i.operands().iter().any(|v| steps[v.0 as usize]);
        steps.push(match i {
            Inst::Index(Index::Seq) | Inst::Acc { .. } | Inst::Store { .. } | Inst::StoreAt { .. } => true,
            Inst::Load { arg, at } => at.seq != 0 || is_stored(k, *arg),
            Inst::LoadAt { arg, .. } => operands || is_stored(k, *arg),
            // Reductions are known before the phase that reads them.
            Inst::Reduce { .. } => false,
            _ => operands,
        });
    }
    steps
}

impl Body<'_> {
    fn label(&mut self) -> CodeLabel {
        self.f.asm.create_label()
    }

    fn place(&mut self, l: CodeLabel) {
        self.rax = None;
        self.f.place(l);
    }

    fn function(&mut self) -> Option<()> {
        let k = self.k;
        if k.cols == 0 || k.n_rows() == 0 {
            self.f.scalar(|a| a.ret());
            return Some(());
        }
        self.f.items.push(Item::Enter);
        self.f.items.push(Item::Constants);
        for (slot, offset) in [
            (0, offset_of!(TileArgs, bufs)),
            (1, offset_of!(TileArgs, acc)),
            (2, offset_of!(TileArgs, acc_ld)),
            (3, offset_of!(TileArgs, scratch)),
            (4, offset_of!(TileArgs, r0)),
            (5, offset_of!(TileArgs, r1)),
            (6, offset_of!(TileArgs, c0)),
            (7, offset_of!(TileArgs, c1)),
        ] {
            let to = self.f.new_slot();
            let s = &mut self.slots;
            let name: [&mut i32; 8] =
                [&mut s.table, &mut s.acc, &mut s.acc_step, &mut s.scratch, &mut s.r, &mut s.r1, &mut s.c0, &mut s.c1];
            *name[slot] = to;
            self.f.scalar(move |a| {
                a.mov(rax, qword_ptr(rsi + offset as i32))?;
                a.mov(qword_ptr(rsp + to), rax)
            });
        }
        self.slots.end = self.f.new_slot();
        let (exit, row) = (self.label(), self.label());
        let (r, r1, c0, c1) = (self.slots.r, self.slots.r1, self.slots.c0, self.slots.c1);
        let (acc, acc_step) = (self.slots.acc, self.slots.acc_step);
        let rows = !k.rows.is_empty();
        self.f.scalar(move |a| {
            // The tile's columns are counted from 0 like all others.
            a.mov(rcx, qword_ptr(rsp + c0))?;
            a.cmp(rcx, qword_ptr(rsp + c1))?;
            a.jae(exit)?;
            a.shl(rcx, 2)?;
            a.sub(qword_ptr(rsp + acc), rcx)?;
            a.shl(qword_ptr(rsp + acc_step), 2)?;
            if rows {
                a.mov(rax, qword_ptr(rsp + r))?;
                a.cmp(rax, qword_ptr(rsp + r1))?;
                a.jae(exit)?;
            }
            Ok(())
        });
        self.slots.rows = k.rows.iter().map(|_| self.f.new_slot()).collect();
        for i in (0..k.rows.len()).rev() {
            let (to, n) = (self.slots.rows[i], k.rows[i]);
            self.f.scalar(move |a| {
                if i == 0 {
                    return a.mov(qword_ptr(rsp + to), rax);
                }
                a.xor(edx, edx)?;
                a.mov(r8, n)?;
                a.div(r8)?;
                a.mov(qword_ptr(rsp + to), rdx)
            });
        }
        self.find_bases();
        let start = self.f.items.len();
        self.place(row);
        self.row_bases()?;
        self.phases()?;
        if rows {
            self.next_row(row, exit);
            let end = self.f.items.len() - 1;
            self.f.loops.push((start, end));
        }
        self.place(exit);
        self.f.items.push(Item::Leave);
        Some(())
    }

    fn next_row(&mut self, row: CodeLabel, exit: CodeLabel) {
        let (r, r1, acc, acc_step) = (self.slots.r, self.slots.r1, self.slots.acc, self.slots.acc_step);
        self.f.scalar(move |a| {
            a.mov(rax, qword_ptr(rsp + r))?;
            a.add(rax, 1)?;
            a.mov(qword_ptr(rsp + r), rax)?;
            a.cmp(rax, qword_ptr(rsp + r1))?;
            a.jae(exit)?;
            a.mov(rax, qword_ptr(rsp + acc_step))?;
            a.add(qword_ptr(rsp + acc), rax)
        });
        for i in (0..self.k.rows.len()).rev() {
            let (at, n) = (self.slots.rows[i], self.k.rows[i]);
            self.f.scalar(move |a| {
                a.mov(rax, qword_ptr(rsp + at))?;
                a.add(rax, 1)?;
                a.mov(qword_ptr(rsp + at), rax)?;
                if i == 0 {
                    return a.jmp(row);
                }
                a.mov(rdx, n)?;
                a.cmp(rax, rdx)?;
                a.jne(row)?;
                a.mov(qword_ptr(rsp + at), 0)
            });
        }
    }

    /// Gives every base address a home, in the order of the instructions.
    fn find_bases(&mut self) {
        let k = self.k;
        let mut found: Vec<Base> = vec![];
        let mut add = |b: Base| {
            if !found.contains(&b) {
                found.push(b);
            }
        };
        for i in &k.insts {
            match i {
                Inst::Load { arg, at } | Inst::Store { arg, at, .. } => add(self.base_of(*arg, at)),
                Inst::LoadAt { arg, .. } | Inst::StoreAt { arg, .. } => add(self.base_of(*arg, &Access::default())),
                Inst::Anchor => add(Base::Tile),
                _ => {}
            }
        }
        if self.plan.slots.iter().any(Option::is_some) {
            add(Base::Scratch);
        }
        let registers = homes();
        for (n, b) in found.into_iter().enumerate() {
            let home = match registers.get(n) {
                Some(&r) => Home::Register(r),
                None => Home::Frame(self.f.new_slot()),
            };
            self.homes.push((b, home));
        }
    }

    /// Base addresses of the row at hand.
    fn row_bases(&mut self) -> Option<()> {
        let (table, acc, scratch) = (self.slots.table, self.slots.acc, self.slots.scratch);
        for n in 0..self.homes.len() {
            let (base, home) = self.homes[n].clone();
            let r: AsmRegister64 = match home {
                Home::Register(r) => r,
                Home::Frame(_) => rax,
            };
            match base {
                Base::Tile => self.f.scalar(move |a| a.mov(r, qword_ptr(rsp + acc))),
                Base::Scratch => self.f.scalar(move |a| a.mov(r, qword_ptr(rsp + scratch))),
                Base::Buffer { arg, offset, rows } => {
                    let size = self.k.args[arg.0 as usize].dtype.bytes() as i64;
                    let field = i32::try_from(8 * arg.0).ok()?;
                    let offset = offset.checked_mul(size)?;
                    self.f.scalar(move |a| {
                        a.mov(rdx, qword_ptr(rsp + table))?;
                        a.mov(r, qword_ptr(rdx + field))?;
                        if let (Ok(o), true) = (i32::try_from(offset), offset != 0) {
                            a.add(r, o)?;
                        } else if offset != 0 {
                            a.mov(rdx, offset)?;
                            a.add(r, rdx)?;
                        }
                        Ok(())
                    });
                    for (i, s) in rows.into_iter().enumerate().filter(|(_, s)| *s != 0) {
                        let at = self.slots.rows[i];
                        let s = i32::try_from(s.checked_mul(size)?).ok()?;
                        self.f.scalar(move |a| {
                            a.imul_3(rdx, qword_ptr(rsp + at), s)?;
                            a.add(r, rdx)
                        });
                    }
                }
            }
            if let Home::Frame(at) = home {
                self.f.scalar(move |a| a.mov(qword_ptr(rsp + at), rax));
            }
        }
        self.rax = None;
        Some(())
    }

    fn phases(&mut self) -> Option<()> {
        for p in 0..self.k.phases.len() {
            let range = self.k.phase_range(p);
            for i in range.clone() {
                if let Inst::Reduce { kind, value } = &self.k.insts[i] {
                    let (identity, _) = reduction(*kind, self.types[value.0 as usize]?)?;
                    self.accs[i] = Some(self.identity(&identity)?);
                }
            }
            if self.plan.single {
                self.f.scalar(|a| a.xor(iced_x86::code_asm::ecx, iced_x86::code_asm::ecx));
                let live = self.k.cols;
                let mask = (live < 16).then(|| {
                    self.rax = None;
                    self.f.scalar(move |a| a.mov(eax, (1u32 << live) - 1));
                    self.def(Class::K, Code::VEX_Kmovw_kr_r32, &[Opnd::Gpr(Register::EAX)])
                });
                self.strip(p, &Strip { mask, live: Some(live), count: 1, seq: false })?;
            } else {
                if self.k.phases[p].seq != Some(0) {
                    self.hoist(p)?;
                }
                self.strips(p)?;
            }
            for i in range {
                if let Some(acc) = self.accs[i].take() {
                    self.row_values[i] = Some(self.combine(i, acc)?);
                }
            }
        }
        Some(())
    }

    /// A register of its own that starts at a constant.
    fn identity(&mut self, op: &LaneOp) -> Option<V> {
        let v = self.lane_op(op, &[])?;
        Some(match op {
            LaneOp::ConstB(_) => v,
            LaneOp::ConstF(0) | LaneOp::ConstI(0) => self.fill(Class::Z, false),
            _ => self.copy(v),
        })
    }

    /// Makes what is the same in every column before the loop over strips.
    fn hoist(&mut self, p: usize) -> Option<()> {
        for i in self.k.phase_range(p) {
            let inst = &self.k.insts[i];
            let constant =
                |v: LaneId| matches!(self.k.insts[v.0 as usize], Inst::Lane(LaneOp::ConstF(_) | LaneOp::ConstI(_)));
            let at_hand = inst.operands().iter().all(|&v| self.row_values[v.0 as usize].is_some() || constant(v));
            let pure = !matches!(inst, Inst::Lane(LaneOp::ConstB(_)) | Inst::Reduce { .. });
            if self.plan.uniform[i] && !self.steps[i] && pure && at_hand {
                let v = self.value(i, &Strip::default(), 0)?;
                self.row_values[i] = Some(v);
            }
        }
        Some(())
    }

    /// The loops over strips of a phase: several at once, one, the rest.
    fn strips(&mut self, p: usize) -> Option<()> {
        let (c0, c1, end) = (self.slots.c0, self.slots.c1, self.slots.end);
        self.f.scalar(move |a| a.mov(rcx, qword_ptr(rsp + c0)));
        let many = match self.k.phases[p].seq {
            _ if !self.unroll || self.plan.by_instruction => 1,
            Some(_) => ABREAST,
            None => 2,
        };
        let columns = 16 * many as u64;
        let counts: &[usize] = if many > 1 && (self.plan.flat || self.k.cols >= columns) { &[many, 1] } else { &[1] };
        for &count in counts {
            let (head, after) = (self.label(), self.label());
            let columns = 16 * count as i32;
            self.f.scalar(move |a| {
                a.mov(rax, qword_ptr(rsp + c1))?;
                a.sub(rax, rcx)?;
                a.and(rax, -columns)?;
                a.jz(after)?;
                a.add(rax, rcx)?;
                a.mov(qword_ptr(rsp + end), rax)
            });
            let start = self.f.items.len();
            self.place(head);
            self.forget();
            self.strip(p, &Strip { mask: None, live: Some(16), count, seq: false })?;
            self.f.scalar(move |a| {
                a.add(rcx, columns)?;
                a.cmp(rcx, qword_ptr(rsp + end))?;
                a.jne(head)
            });
            self.f.loops.push((start, self.f.items.len() - 1));
            self.place(after);
        }
        if self.plan.flat || !self.k.cols.is_multiple_of(16) {
            let done = self.label();
            self.f.scalar(move |a| {
                a.mov(rdx, qword_ptr(rsp + c1))?;
                a.sub(rdx, rcx)?;
                a.jz(done)?;
                a.mov(eax, -1)?;
                a.bzhi(eax, eax, edx)
            });
            self.rax = None;
            self.forget();
            let mask = Some(self.def(Class::K, Code::VEX_Kmovw_kr_r32, &[Opnd::Gpr(Register::EAX)]));
            let live = (!self.plan.flat).then_some(self.k.cols % 16);
            self.strip(p, &Strip { mask, live, count: 1, seq: false })?;
            self.place(done);
        }
        self.forget();
        Some(())
    }

    /// Values of other strips mean nothing in this one.
    fn forget(&mut self) {
        self.values.iter_mut().for_each(|v| *v = [None; ABREAST]);
    }

    /// Strips side by side of a phase.
    fn strip(&mut self, p: usize, strip: &Strip) -> Option<()> {
        let range = self.k.phase_range(p);
        let Some(n) = self.k.phases[p].seq else {
            for u in 0..strip.count {
                for i in range.clone() {
                    self.inst(i, strip, u)?;
                }
            }
            return Some(());
        };
        for i in range.clone() {
            if let Inst::Acc { kind, value } = &self.k.insts[i] {
                let (identity, _) = reduction(*kind, self.types[value.0 as usize]?)?;
                for u in 0..strip.count {
                    self.values[i][u] = Some(self.identity(&identity)?);
                }
            }
        }
        if n > 0 {
            // What does not depend on the step, and what earlier phases made, comes before the loop.
            for i in range.clone() {
                for u in 0..strip.count {
                    if !self.steps[i] {
                        self.inst(i, strip, u)?;
                        continue;
                    }
                    for v in self.k.insts[i].operands() {
                        if (v.0 as usize) < range.start {
                            self.get(v, strip, u)?;
                        }
                    }
                }
            }
            let head = self.label();
            self.f.scalar(|a| a.xor(esi, esi));
            let start = self.f.items.len();
            self.place(head);
            let inside = Strip { seq: true, ..strip.clone() };
            for i in range.clone() {
                for u in 0..if self.steps[i] { strip.count } else { 0 } {
                    self.inst(i, &inside, u)?;
                }
            }
            let last = i32::try_from(n).ok()?;
            self.f.scalar(move |a| {
                a.add(rsi, 1)?;
                a.cmp(rsi, last)?;
                a.jne(head)
            });
            self.f.loops.push((start, self.f.items.len() - 1));
            self.rax = None;
        }
        for i in range {
            if let (Inst::Acc { .. }, Some(slot)) = (&self.k.insts[i], self.plan.slots[i]) {
                for u in 0..strip.count {
                    let v = self.values[i][u]?;
                    self.keep(slot, v, strip, u)?;
                }
            }
        }
        Some(())
    }

    fn inst(&mut self, i: usize, strip: &Strip, u: usize) -> Option<()> {
        if self.row_values[i].is_some() {
            return Some(());
        }
        match &self.k.insts[i] {
            Inst::Store { arg, at, value } => {
                let v = self.get(*value, strip, u)?;
                let uniform = self.row_values[value.0 as usize].is_some();
                self.store(*arg, at, v, uniform, strip, u)?;
            }
            Inst::StoreAt { arg, index, mask, value } => {
                let index = self.get(*index, strip, u)?;
                let mask = match mask {
                    Some(m) => Some(self.get(*m, strip, u)?),
                    None => None,
                };
                let v = self.get(*value, strip, u)?;
                self.store_at(*arg, index, mask, v, strip)?;
            }
            Inst::Reduce { kind, value } => {
                let (_, op) = reduction(*kind, self.types[value.0 as usize]?)?;
                let v = self.get(*value, strip, u)?;
                let acc = self.accs[i]?;
                self.bin(op, acc, acc, v, Some(*value), strip.mask)?;
            }
            Inst::Acc { kind, value } => {
                let (_, op) = reduction(*kind, self.types[value.0 as usize]?)?;
                let v = self.get(*value, strip, u)?;
                let acc = self.values[i][u]?;
                self.bin(op, acc, acc, v, Some(*value), None)?;
            }
            _ => {
                let v = self.value(i, strip, u)?;
                self.values[i][u] = Some(v);
                if let Some(slot) = self.plan.slots[i] {
                    self.keep(slot, v, strip, u)?;
                }
            }
        }
        Some(())
    }

    /// The value of an instruction on a strip: at hand, kept by an earlier phase, or made again.
    fn get(&mut self, v: LaneId, strip: &Strip, u: usize) -> Option<V> {
        let i = v.0 as usize;
        if let Some(x) = self.row_values[i].or(self.values[i][u]) {
            return Some(x);
        }
        let x = match self.plan.slots[i] {
            Some(slot) => self.kept(slot, self.types[i]?, strip, u)?,
            None => self.value(i, strip, u)?,
        };
        self.values[i][u] = Some(x);
        Some(x)
    }

    /// An instruction that makes a value from its operands, the indices or memory.
    fn value(&mut self, i: usize, strip: &Strip, u: usize) -> Option<V> {
        let broadcast = Code::EVEX_Vpbroadcastd_zmm_k1z_r32;
        Some(match &self.k.insts[i] {
            Inst::Lane(op) => {
                let mut operands = smallvec::SmallVec::<[V; 3]>::new();
                for v in op.operands() {
                    operands.push(self.get(v, strip, u)?);
                }
                self.lane_op(op, &operands)?
            }
            Inst::Index(Index::Row(a)) => {
                let at = *self.slots.rows.get(*a as usize)?;
                self.rax = None;
                self.f.scalar(move |a| a.mov(eax, dword_ptr(rsp + at)));
                self.def(Class::Z, broadcast, &[Opnd::Gpr(Register::EAX)])
            }
            Inst::Index(Index::Seq) => self.def(Class::Z, broadcast, &[Opnd::Gpr(Register::ESI)]),
            Inst::Index(Index::Col) => {
                let add = Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32;
                let first = self.def(Class::Z, broadcast, &[Opnd::Gpr(Register::ECX)]);
                let lanes = self.f.constant(Constant::Lanes(1));
                let c = self.def(Class::Z, add, &[z(first), z(lanes)]);
                if u == 0 {
                    return Some(c);
                }
                let more = self.word(16 * u as u32);
                self.def(Class::Z, add, &[z(c), z(more)])
            }
            Inst::Anchor => self.load_anchor(strip, u)?,
            Inst::Load { arg, at } => self.load(*arg, at, strip, u)?,
            Inst::LoadAt { arg, index, mask } => {
                let index = self.get(*index, strip, u)?;
                let mask = match mask {
                    Some(m) => Some(self.get(*m, strip, u)?),
                    None => None,
                };
                self.load_at(*arg, index, mask, strip)?
            }
            _ => return None,
        })
    }

    /// Combines the 16 accumulators of a reduction by halves and repeats the result in every lane.
    fn combine(&mut self, i: usize, acc: V) -> Option<V> {
        let Inst::Reduce { kind, value } = &self.k.insts[i] else { return None };
        let ty = self.types[value.0 as usize]?;
        let (_, op) = reduction(*kind, ty)?;
        if class(ty) == Class::K {
            let all = op == LaneBin::BAnd;
            self.f.op(Code::VEX_Kortestw_kr_kr, First::Use, &[z(acc), z(acc)], None, false);
            self.f.scalar(move |a| {
                if all {
                    a.setb(al)?;
                } else {
                    a.setne(al)?;
                }
                a.movzx(eax, al)
            });
            return Some(self.predicate());
        }
        let mut x = acc;
        for half in if nn_runtime::mutant!("x64.combine") { [4, 8, 2, 1] } else { [8, 4, 2, 1] } {
            let rotate = Code::EVEX_Valignd_zmm_k1z_zmm_zmmm512b32_imm8;
            let y = self.def(Class::Z, rotate, &[z(x), z(x), Opnd::Imm(half)]);
            let d = self.f.new_v(Class::Z);
            self.bin(op, d, x, y, None, None)?;
            x = d;
        }
        let low = Opnd::V(x, super::vcode::Width::X);
        let code = if ty == LaneTy::F32 {
            Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32
        } else {
            Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32
        };
        Some(self.def(Class::Z, code, &[low]))
    }
}
