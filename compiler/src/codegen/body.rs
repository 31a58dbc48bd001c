//! The body function of a kernel: loops over rows, phases, strips of 16 columns and sequence steps.
//!
//! In: a kernel. Out: a Cranelift function with the signature of `nn_runtime::program::BodyFn`.
//!
//! A strip is four vectors of four lanes, or eight of two where the kernel has `f64` lanes; narrower values then use the first
//! two lanes of their vectors. The last, shorter strip has a length known at compile time, so it is the same
//! code with fewer lanes; only flat kernels, whose segments differ in length, finish lane by lane. Kernels of at most one
//! strip have no strip loop, and their values stay in registers from phase to phase.

use super::lower::Form;
use super::memory::plain;
use super::plan::Plan;
use crate::kernel::interp::reduction;
use crate::kernel::ir::*;
use crate::lanes::{LaneBin, LaneId, LaneOp, LaneTy};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I32X4, I64};
use cranelift_codegen::ir::{Block, BlockArg, Function, InstBuilder, StackSlot, StackSlotData, StackSlotKind, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::mem::offset_of;

use nn_runtime::program::TileArgs;

/// Columns at hand: where they start, how many vectors, and the sequence step.
#[derive(Clone)]
pub(super) struct Strip {
    /// First column; `None` is 0.
    pub(super) col: Option<Value>,
    /// Sequence step.
    pub(super) seq: Option<Value>,
    /// The vectors.
    pub(super) subs: Vec<Form>,
}

/// Most vectors of a strip.
const MOST: usize = 8;
/// A strip's worth of one value, by vector.
type Subs = [Option<Value>; MOST];
/// Accumulators of a phase, by instruction and vector.
type Accs = BTreeMap<usize, SmallVec<[Value; MOST]>>;

/// A body under construction.
pub(super) struct Body<'a> {
    pub(super) b: FunctionBuilder<'a>,
    pub(super) k: &'a Kernel,
    pub(super) plan: &'a Plan,
    types: Vec<Option<LaneTy>>,
    pub(super) x64: bool,
    pub(super) bufs: Vec<Value>,
    pub(super) row: Vec<Value>,
    pub(super) acc_row: Value,
    pub(super) scratch: Value,
    pub(super) c0: Value,
    c1: Value,
    values: Vec<Subs>,
    /// Where accesses of the strip at hand start.
    pub(super) addresses: HashMap<(ArgId, Access), Value>,
    sink: Option<StackSlot>,
}

/// Builds the body function of a kernel into `func`, whose signature is set.
pub(super) fn build(
    k: &Kernel,
    plan: &Plan,
    isa: &dyn TargetIsa,
    func: &mut Function,
    ctx: &mut FunctionBuilderContext,
) -> Result<(), String> {
    let mut b = FunctionBuilder::new(func, ctx);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let args = b.block_params(entry)[0];
    let fixed = plain().with_readonly().with_can_move().with_aligned();
    let field = |b: &mut FunctionBuilder<'_>, offset: usize| b.ins().load(I64, fixed, args, offset as i32);
    let table = field(&mut b, offset_of!(TileArgs, bufs));
    let acc = field(&mut b, offset_of!(TileArgs, acc));
    let acc_ld = field(&mut b, offset_of!(TileArgs, acc_ld));
    let scratch = field(&mut b, offset_of!(TileArgs, scratch));
    let r0 = field(&mut b, offset_of!(TileArgs, r0));
    let r1 = field(&mut b, offset_of!(TileArgs, r1));
    let c0 = field(&mut b, offset_of!(TileArgs, c0));
    let c1 = field(&mut b, offset_of!(TileArgs, c1));
    let bufs = (0..k.args.len()).map(|i| field_of(&mut b, table, i)).collect();
    let mut body = Body {
        b,
        k,
        plan,
        types: k.types(),
        x64: isa.name() == "x64",
        bufs,
        row: vec![],
        acc_row: acc,
        scratch,
        c0,
        c1,
        values: vec![[None; MOST]; k.insts.len()],
        addresses: HashMap::new(),
        sink: None,
    };
    body.rows(r0, r1, acc, acc_ld)?;
    body.b.finalize(isa.frontend_config());
    Ok(())
}

fn field_of(b: &mut FunctionBuilder<'_>, table: Value, i: usize) -> Value {
    b.ins().load(I64, plain().with_readonly().with_can_move().with_aligned(), table, 8 * i as i32)
}

fn args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|&v| BlockArg::Value(v)).collect()
}

impl Body<'_> {
    /// The loop over rows.
    fn rows(&mut self, r0: Value, r1: Value, acc: Value, acc_ld: Value) -> Result<(), String> {
        let exit = self.b.create_block();
        if self.k.cols == 0 || self.k.n_rows() == 0 {
            self.b.ins().jump(exit, &[]);
        } else if self.k.rows.is_empty() {
            self.b.append_block_params_for_function_returns(exit);
            self.phases()?;
            self.b.ins().jump(exit, &[]);
        } else {
            // Row indices count up together, so that only the first row needs divisions.
            let axes = self.k.rows.clone();
            let mut first = vec![r0; axes.len()];
            let mut rest = r0;
            for (i, &n) in axes.iter().enumerate().skip(1).rev() {
                let n = self.b.ins().iconst(I64, n as i64);
                first[i] = self.b.ins().urem(rest, n);
                rest = self.b.ins().udiv(rest, n);
            }
            first[0] = rest;
            let head = self.b.create_block();
            let r = self.b.append_block_param(head, I64);
            let at = self.b.append_block_param(head, I64);
            self.row = axes.iter().map(|_| self.b.append_block_param(head, I64)).collect();
            let mut enter = vec![r0, acc];
            enter.extend(&first);
            let any = self.b.ins().icmp(IntCC::UnsignedLessThan, r0, r1);
            self.b.ins().brif(any, head, &args(&enter), exit, &[]);
            self.b.switch_to_block(head);
            self.acc_row = at;
            self.phases()?;
            let r = self.b.ins().iadd_imm_s(r, 1);
            let step = self.b.ins().imul_imm_s(acc_ld, self.k.anchor_dtype().bytes() as i64);
            let at = self.b.ins().iadd(at, step);
            let mut next = vec![r, at];
            next.extend(self.next_row(&axes));
            let more = self.b.ins().icmp(IntCC::UnsignedLessThan, r, r1);
            self.b.ins().brif(more, head, &args(&next), exit, &[]);
            self.b.seal_block(head);
        }
        self.b.switch_to_block(exit);
        self.b.seal_block(exit);
        self.b.ins().return_(&[]);
        Ok(())
    }

    /// The indices of the next row: one up, with carries.
    fn next_row(&mut self, axes: &[u64]) -> Vec<Value> {
        let mut next = self.row.clone();
        let mut carry = None;
        for i in (0..axes.len()).rev() {
            let up = match carry {
                None => self.b.ins().iadd_imm_s(next[i], 1),
                Some(c) => self.b.ins().iadd(next[i], c),
            };
            if i == 0 {
                next[i] = up;
                break;
            }
            let wrap = self.b.ins().icmp_imm_s(IntCC::Equal, up, axes[i] as i64);
            let zero = self.b.ins().iconst(I64, 0);
            next[i] = self.b.ins().select(wrap, zero, up);
            carry = Some(self.b.ins().uextend(I64, wrap))
                .filter(|_| !nn_runtime::mutant!("cranelift.carry"))
                .or(Some(zero));
        }
        next
    }

    fn phases(&mut self) -> Result<(), String> {
        self.values.iter_mut().for_each(|v| *v = [None; MOST]);
        let whole = self.whole();
        for p in 0..self.k.phases.len() {
            let mut accs = Accs::new();
            for i in self.k.phase_range(p) {
                if let Inst::Reduce { kind, value } = &self.k.insts[i] {
                    let (identity, _) = self.reduction(*kind, *value)?;
                    let all = self.lane_op(&identity, &[], whole[0]);
                    accs.insert(i, SmallVec::from_elem(all, whole.len()));
                }
            }
            if self.plan.single {
                let strip = Strip { col: None, seq: None, subs: self.subs(self.k.cols) };
                self.strip(p, &strip, &mut accs)?;
            } else {
                self.strips(p, &mut accs)?;
            }
            for (i, acc) in accs {
                self.combine(i, acc)?;
            }
        }
        Ok(())
    }

    /// The loop over strips of a phase, and what follows the last whole strip.
    fn strips(&mut self, p: usize, accs: &mut Accs) -> Result<(), String> {
        let count = self.b.ins().isub(self.c1, self.c0);
        let whole = self.b.ins().band_imm_s(count, !15);
        let end = self.b.ins().iadd(self.c0, whole);

        let (body, tail) = (self.b.create_block(), self.b.create_block());
        let any = self.b.ins().icmp(IntCC::NotEqual, end, self.c0);
        let mut enter = vec![self.c0];
        enter.extend(flat(accs));
        self.b.ins().brif(any, body, &args(&enter), tail, &args(&flat(accs)));

        self.b.switch_to_block(body);
        let col = self.b.append_block_param(body, I64);
        self.block_accs(body, accs);
        self.forget();
        let strip = Strip { col: Some(col), seq: None, subs: self.whole() };
        self.strip(p, &strip, accs)?;
        let next = self.b.ins().iadd_imm_s(col, 16);
        let more = self.b.ins().icmp(IntCC::NotEqual, next, end);
        let mut again = vec![next];
        again.extend(flat(accs));
        self.b.ins().brif(more, body, &args(&again), tail, &args(&flat(accs)));
        self.b.seal_block(body);

        self.b.switch_to_block(tail);
        self.block_accs(tail, accs);
        self.b.seal_block(tail);
        if self.plan.flat {
            return self.lane_by_lane(p, end);
        }
        if self.k.cols.is_multiple_of(16) {
            return Ok(());
        }
        // Only the last columns of the kernel make a short strip, so its length is known.
        let (short, done) = (self.b.create_block(), self.b.create_block());
        let any = self.b.ins().icmp(IntCC::NotEqual, end, self.c1);
        self.b.ins().brif(any, short, &[], done, &args(&flat(accs)));
        self.b.switch_to_block(short);
        self.b.seal_block(short);
        self.forget();
        let strip = Strip { col: Some(end), seq: None, subs: self.subs(self.k.cols % 16) };
        self.strip(p, &strip, accs)?;
        self.b.ins().jump(done, &args(&flat(accs)));
        self.b.switch_to_block(done);
        self.block_accs(done, accs);
        self.b.seal_block(done);
        Ok(())
    }

    /// The last columns of a flat kernel, one at a time.
    fn lane_by_lane(&mut self, p: usize, from: Value) -> Result<(), String> {
        let (body, done) = (self.b.create_block(), self.b.create_block());
        let any = self.b.ins().icmp(IntCC::NotEqual, from, self.c1);
        self.b.ins().brif(any, body, &args(&[from]), done, &[]);
        self.b.switch_to_block(body);
        let col = self.b.append_block_param(body, I64);
        self.forget();
        let strip = Strip { col: Some(col), seq: None, subs: vec![Form::One] };
        self.strip(p, &strip, &mut Accs::new())?;
        let next = self.b.ins().iadd_imm_s(col, 1);
        let more = self.b.ins().icmp(IntCC::NotEqual, next, self.c1);
        self.b.ins().brif(more, body, &args(&[next]), done, &[]);
        self.b.seal_block(body);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        Ok(())
    }

    /// Values of other strips mean nothing in this one; reductions stay.
    fn forget(&mut self) {
        for (v, i) in self.values.iter_mut().zip(&self.k.insts) {
            if !matches!(i, Inst::Reduce { .. }) {
                *v = [None; MOST];
            }
        }
    }

    /// Makes the accumulators parameters of a block.
    fn block_accs(&mut self, block: Block, accs: &mut Accs) {
        for subs in accs.values_mut() {
            for v in subs {
                let ty = self.b.func.dfg.value_type(*v);
                *v = self.b.append_block_param(block, ty);
            }
        }
    }

    /// One strip of a phase.
    fn strip(&mut self, p: usize, strip: &Strip, accs: &mut Accs) -> Result<(), String> {
        self.addresses.clear();
        let Some(steps) = self.k.phases[p].seq else { return self.insts(p, strip, accs) };
        let range = self.k.phase_range(p);
        let mut running = Accs::new();
        for i in range.clone() {
            if let Inst::Acc { kind, value } = &self.k.insts[i] {
                let (identity, _) = self.reduction(*kind, *value)?;
                let all = strip.subs.iter().map(|&form| self.lane_op(&identity, &[], form)).collect();
                running.insert(i, all);
            }
        }
        let live = strip.subs.len();
        let flat_running = flat;
        if steps > 0 {
            // What earlier phases made is fetched once, before the loop.
            for i in range.clone() {
                for v in self.k.insts[i].operands() {
                    if (v.0 as usize) < range.start {
                        for sub in 0..live {
                            self.get(v, strip, sub)?;
                        }
                    }
                }
            }
            let (body, done) = (self.b.create_block(), self.b.create_block());
            let zero = self.b.ins().iconst(I64, 0);
            let mut enter = vec![zero];
            enter.extend(flat_running(&running));
            self.b.ins().jump(body, &args(&enter));
            self.b.switch_to_block(body);
            let s = self.b.append_block_param(body, I64);
            for subs in running.values_mut() {
                for v in subs {
                    let ty = self.b.func.dfg.value_type(*v);
                    *v = self.b.append_block_param(body, ty);
                }
            }
            for (&i, v) in &running {
                for sub in 0..live {
                    self.values[i][sub] = Some(v[sub]);
                }
            }
            self.addresses.clear();
            self.insts(p, &Strip { seq: Some(s), ..strip.clone() }, accs)?;
            self.addresses.clear();
            for (&i, v) in &mut running {
                for sub in 0..live {
                    v[sub] = self.values[i][sub].unwrap_or(v[sub]);
                }
            }
            let next = self.b.ins().iadd_imm_s(s, 1);
            let more = self.b.ins().icmp_imm_s(IntCC::NotEqual, next, steps as i64);
            let mut again = vec![next];
            again.extend(flat_running(&running));
            self.b.ins().brif(more, body, &args(&again), done, &[]);
            self.b.seal_block(body);
            self.b.switch_to_block(done);
            self.b.seal_block(done);
        }
        for (&i, v) in &running {
            for sub in 0..live {
                self.values[i][sub] = Some(v[sub]);
                if let Some(slot) = self.plan.slots[i] {
                    self.keep(slot, v[sub], strip, sub);
                }
            }
        }
        Ok(())
    }

    /// The instructions of a phase on one strip (and step).
    fn insts(&mut self, p: usize, strip: &Strip, accs: &mut Accs) -> Result<(), String> {
        let range = self.k.phase_range(p);
        if self.plan.by_instruction {
            for i in range {
                for sub in 0..strip.subs.len() {
                    self.inst(i, strip, sub, accs)?;
                }
            }
        } else {
            for sub in 0..strip.subs.len() {
                for i in range.clone() {
                    self.inst(i, strip, sub, accs)?;
                }
            }
        }
        Ok(())
    }

    /// The value of an instruction on a sub-vector: at hand, kept by an earlier phase, or made again.
    fn get(&mut self, v: LaneId, strip: &Strip, sub: usize) -> Result<Value, String> {
        let i = v.0 as usize;
        if let Some(x) = self.values[i][sub] {
            return Ok(x);
        }
        let x = match self.plan.slots[i] {
            Some(slot) => {
                let ty = self.types[i].ok_or("the value of a store")?;
                self.kept(slot, ty, strip, sub)
            }
            None if self.plan.again[i] => return self.once(i, strip, sub),
            None => return Err(format!("%v{i} has no value here")),
        };
        self.values[i][sub] = Some(x);
        Ok(x)
    }

    fn inst(&mut self, i: usize, strip: &Strip, sub: usize, accs: &mut Accs) -> Result<(), String> {
        let k = self.k;
        let form = strip.subs[sub];
        match &k.insts[i] {
            Inst::Store { arg, at, value } => {
                let v = self.get(*value, strip, sub)?;
                self.store(*arg, at, v, strip, sub);
            }
            Inst::StoreAt { arg, index, mask, value } => {
                let index = self.get(*index, strip, sub)?;
                let mask = mask.map(|m| self.get(m, strip, sub)).transpose()?;
                let v = self.get(*value, strip, sub)?;
                self.store_at(*arg, index, mask, v, form);
            }
            Inst::Reduce { kind, value } => {
                let (_, op) = self.reduction(*kind, *value)?;
                let v = self.get(*value, strip, sub)?;
                let acc = *accs.get(&i).and_then(|a| a.get(sub)).ok_or("a reduction without an accumulator")?;
                let mut new = self.bin(op, acc, v, None, form);
                if form.live() < self.plan.per_vector {
                    new = self.first_lanes(form.live(), new, acc);
                }
                if let Some(a) = accs.get_mut(&i) {
                    a[sub] = new;
                }
            }
            Inst::Acc { kind, value } => {
                let (_, op) = self.reduction(*kind, *value)?;
                let v = self.get(*value, strip, sub)?;
                let acc = self.values[i][sub].ok_or("a running value outside a sequence")?;
                self.values[i][sub] = Some(self.bin(op, acc, v, None, form));
            }
            _ => {
                let x = self.once(i, strip, sub)?;
                if let Some(slot) = self.plan.slots[i] {
                    self.keep(slot, x, strip, sub);
                }
            }
        }
        Ok(())
    }

    /// The value of an instruction on a sub-vector, which a uniform one makes for all of the strip at the first.
    fn once(&mut self, i: usize, strip: &Strip, sub: usize) -> Result<Value, String> {
        let x = match self.values[i][0] {
            Some(x) if sub > 0 && self.plan.uniform[i] => x,
            _ => self.value(i, strip, sub)?,
        };
        self.values[i][sub] = Some(x);
        Ok(x)
    }

    /// An instruction that makes a value from its operands, the indices or memory.
    fn value(&mut self, i: usize, strip: &Strip, sub: usize) -> Result<Value, String> {
        let k = self.k;
        let form = strip.subs[sub];
        Ok(match &k.insts[i] {
            Inst::Lane(op) => {
                let mut operands = SmallVec::<[Value; 3]>::new();
                for v in op.operands() {
                    operands.push(self.get(v, strip, sub)?);
                }
                self.lane_op(op, &operands, form)
            }
            Inst::Index(Index::Row(a)) => {
                let r = *self.row.get(*a as usize).ok_or("an index of no row axis")?;
                self.index(r, form)
            }
            Inst::Index(Index::Seq) => {
                let s = strip.seq.ok_or("a step outside a sequence")?;
                self.index(s, form)
            }
            Inst::Index(Index::Col) => {
                let zero = self.b.ins().iconst(I64, 0);
                let c = self.index(strip.col.unwrap_or(zero), form);
                if form == Form::One {
                    return Ok(c);
                }
                let first = u32::from(self.plan.per_vector) * sub as u32;
                let bytes: Vec<u8> = (0..4u32).flat_map(|l| (l + first).to_le_bytes()).collect();
                let lanes = self.b.func.dfg.constants.insert(bytes.into());
                let lanes = self.b.ins().vconst(I32X4, lanes);
                self.b.ins().iadd(c, lanes)
            }
            Inst::Anchor => self.load_anchor(strip, sub),
            Inst::Load { arg, at } => self.load(*arg, at, strip, sub),
            Inst::LoadAt { arg, index, mask } => {
                let index = self.get(*index, strip, sub)?;
                let mask = mask.map(|m| self.get(m, strip, sub)).transpose()?;
                self.load_at(*arg, index, mask, form)
            }
            _ => return Err(format!("%v{i} is not a value")),
        })
    }

    fn index(&mut self, v: Value, form: Form) -> Value {
        let v = self.b.ins().ireduce(I32, v);
        if form == Form::One { v } else { self.b.ins().splat(I32X4, v) }
    }

    fn reduction(&self, kind: crate::graph::ops::ReduceKind, value: LaneId) -> Result<(LaneOp, LaneBin), String> {
        let ty = self.types[value.0 as usize].ok_or("a reduction of a store")?;
        reduction(kind, ty).ok_or_else(|| format!("no reduction {kind:?} of {ty:?}"))
    }

    /// `a` in the first `n` lanes, `b` in the others.
    fn first_lanes(&mut self, n: u8, a: Value, b: Value) -> Value {
        let bytes: Vec<u8> = (0..4u8).flat_map(|l| [if l < n { 0xff } else { 0 }; 4]).collect();
        let mask = self.b.func.dfg.constants.insert(bytes.into());
        let mask = self.b.ins().vconst(I32X4, mask);
        self.choose(mask, a, b, Form::Vec(n))
    }

    /// Combines the 16 accumulators of a reduction by halves and repeats the result in every lane.
    fn combine(&mut self, i: usize, mut acc: SmallVec<[Value; MOST]>) -> Result<(), String> {
        let Inst::Reduce { kind, value } = &self.k.insts[i] else { return Err("not a reduction".into()) };
        let (_, op) = self.reduction(*kind, *value)?;
        let form = Form::Vec(self.plan.per_vector);
        while acc.len() > 1 {
            let half = acc.len() / 2;
            let apart = !nn_runtime::mutant!("cranelift.combine");
            let pair = |v| if apart { (acc[v], acc[v + half]) } else { (acc[2 * v], acc[2 * v + 1]) };
            let pairs: SmallVec<[(Value, Value); MOST]> = (0..half).map(pair).collect();
            acc = pairs.into_iter().map(|(x, y)| self.bin(op, x, y, None, form)).collect();
        }
        let mut lanes: SmallVec<[Value; MOST]> =
            (0..self.plan.per_vector).map(|l| self.b.ins().extractlane(acc[0], l)).collect();
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            lanes = (0..half).map(|l| self.bin(op, lanes[l], lanes[l + half], None, Form::One)).collect();
        }
        let ty = self.types[i].ok_or("a reduction of a store")?;
        let all = self.b.ins().splat(form.ty(ty), lanes[0]);
        self.values[i] = [Some(all); MOST];
        Ok(())
    }

    /// The vectors of a whole strip.
    fn whole(&self) -> Vec<Form> {
        self.subs(16)
    }

    /// The vectors of a strip of `n` columns, at most 16.
    fn subs(&self, n: u64) -> Vec<Form> {
        let per = u64::from(self.plan.per_vector);
        (0..n.div_ceil(per)).map(|s| Form::Vec((n - per * s).min(per) as u8)).collect()
    }

    /// The address of four bytes in the stack frame that nobody reads.
    pub(super) fn sink(&mut self) -> Value {
        let slot = match self.sink {
            Some(s) => s,
            None => self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 4)),
        };
        self.sink = Some(slot);
        self.b.ins().stack_addr(I64, slot, 0)
    }
}

fn flat(accs: &Accs) -> Vec<Value> {
    accs.values().flatten().copied().collect()
}
