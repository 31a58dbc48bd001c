//! Loads and stores of a vector of lanes or one: contiguous, repeated, strided, and at computed indices.
//!
//! Nothing outside the live lanes is read or written. Addresses of affine accesses are in bounds by the verifier; computed
//! indices are checked here.

use super::body::{Body, Strip};
use super::lower::Form;
use crate::kernel::ir::{Access, ArgId, Role};
use crate::lanes::LaneTy;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I8, I8X16, I16, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use nn_runtime::dtype::DType;

/// Flags of accesses that cannot trap.
pub(super) fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Body<'_> {
    fn flags(&self, arg: ArgId) -> MemFlagsData {
        match self.k.args[arg.0 as usize].role {
            // The verifier holds that no output of a launch overlaps one of its inputs.
            Role::In => plain().with_readonly().with_can_move(),
            _ => plain(),
        }
    }

    /// `v * n`, without an instruction where there is nothing to do.
    fn scaled(&mut self, v: Value, n: i64) -> Value {
        if n == 1 { v } else { self.b.ins().imul_imm_s(v, n) }
    }

    /// The address of lane 0 of the strip's first vector without its constant part.
    fn strip_address(&mut self, arg: ArgId, at: &Access, strip: &Strip) -> Value {
        let size = self.k.args[arg.0 as usize].dtype.bytes() as i64;
        let mut p = self.bufs[arg.0 as usize];
        for (i, &s) in at.rows.iter().enumerate() {
            if s != 0 && self.k.rows[i] > 1 {
                let d = self.scaled(self.row[i], s * size);
                p = self.b.ins().iadd(p, d);
            }
        }
        for (index, stride) in [(strip.seq, at.seq), (strip.col, at.col)] {
            if stride != 0
                && let Some(v) = index
            {
                let d = self.scaled(v, stride * size);
                p = self.b.ins().iadd(p, d);
            }
        }
        p
    }

    /// The address of lane 0 of a sub-vector, and a constant to add.
    fn address(&mut self, arg: ArgId, at: &Access, strip: &Strip, sub: usize) -> (Value, i64) {
        let size = self.k.args[arg.0 as usize].dtype.bytes() as i64;
        let p = match self.addresses.get(&(arg, at.clone())) {
            Some(&p) => p,
            None => {
                let p = self.strip_address(arg, at, strip);
                self.addresses.insert((arg, at.clone()), p);
                p
            }
        };
        self.small(p, (at.offset + sub as i64 * i64::from(self.plan.per_vector) * at.col) * size)
    }

    /// Keeps the constant part within what an instruction can hold, with room for the lanes.
    fn small(&mut self, p: Value, offset: i64) -> (Value, i64) {
        if offset.unsigned_abs() < 1 << 30 {
            return (p, offset);
        }
        let d = self.b.ins().iconst(I64, offset);
        (self.b.ins().iadd(p, d), 0)
    }

    pub(super) fn load(&mut self, arg: ArgId, at: &Access, strip: &Strip, sub: usize) -> Value {
        let form = strip.subs[sub];
        let dtype = self.k.args[arg.0 as usize].dtype;
        let flags = self.flags(arg);
        let (p, offset) = self.address(arg, at, strip, sub);
        match (form, at.col) {
            (Form::One, _) => self.load_one(dtype, flags, p, offset),
            (Form::Vec(_), 0) => {
                let v = self.load_word(dtype, flags, p, offset);
                let v = self.b.ins().splat(form.ty(lane(dtype)), v);
                self.as_mask(dtype, v, form)
            }
            (Form::Vec(n), 1) => self.load_run(dtype, flags, p, offset, n),
            (Form::Vec(n), col) => {
                let step = col * dtype.bytes() as i64;
                let mut r = self.constant(lane(dtype), 0u32, form);
                for l in 0..n {
                    let (q, o) = self.small(p, offset + i64::from(l) * step);
                    let v = self.load_word(dtype, flags, q, o);
                    r = self.b.ins().insertlane(r, v, l);
                }
                self.as_mask(dtype, r, form)
            }
        }
    }

    /// `n` lanes one after another.
    fn load_run(&mut self, dtype: DType, flags: MemFlagsData, p: Value, offset: i64, n: u8) -> Value {
        let form = Form::Vec(n);
        let ty = form.ty(lane(dtype));
        let o = offset as i32;
        let v = match (dtype.bytes(), n) {
            (4, 4) | (8, 2) => self.b.ins().load(ty, flags, p, o),
            (4, 1) => {
                let x = self.load_word(dtype, flags, p, offset);
                let zero = self.constant(lane(dtype), 0u32, form);
                self.b.ins().insertlane(zero, x, 0)
            }
            (4, _) => {
                let x = self.b.ins().load(I64, flags, p, o);
                let x = self.b.ins().scalar_to_vector(I64X2, x);
                let x = self.bitcast(ty, x);
                if n == 3 {
                    let y = self.load_word(dtype, flags, p, offset + 8);
                    self.b.ins().insertlane(x, y, 2)
                } else {
                    x
                }
            }
            (2, 4) if dtype == DType::I16 => self.b.ins().sload16x4(flags, p, o),
            (2, 4) => self.b.ins().uload16x4(flags, p, o),
            (1, 4) => {
                let x = self.b.ins().load(I32, flags, p, o);
                let x = self.b.ins().scalar_to_vector(I32X4, x);
                let x = self.bitcast(I8X16, x);
                if dtype == DType::I8 {
                    let x = self.b.ins().swiden_low(x);
                    self.b.ins().swiden_low(x)
                } else {
                    let x = self.b.ins().uwiden_low(x);
                    self.b.ins().uwiden_low(x)
                }
            }
            (size, _) => {
                let mut r = self.constant(lane(dtype), 0u32, form);
                for l in 0..n {
                    let x = self.load_word(dtype, flags, p, offset + i64::from(l) * size as i64);
                    r = self.b.ins().insertlane(r, x, l);
                }
                r
            }
        };
        self.as_mask(dtype, v, form)
    }

    /// One element as a scalar (`f32`, `f64` or `i32`; a bool as 0 or 1).
    fn load_word(&mut self, dtype: DType, flags: MemFlagsData, p: Value, offset: i64) -> Value {
        let o = offset as i32;
        match dtype {
            DType::F32 => self.b.ins().load(F32, flags, p, o),
            DType::F64 => self.b.ins().load(F64, flags, p, o),
            DType::U8 | DType::Bool => self.b.ins().uload8(I32, flags, p, o),
            DType::I8 => self.b.ins().sload8(I32, flags, p, o),
            DType::U16 => self.b.ins().uload16(I32, flags, p, o),
            DType::I16 => self.b.ins().sload16(I32, flags, p, o),
            _ => self.b.ins().load(I32, flags, p, o),
        }
    }

    fn load_one(&mut self, dtype: DType, flags: MemFlagsData, p: Value, offset: i64) -> Value {
        let v = self.load_word(dtype, flags, p, offset);
        self.as_mask(dtype, v, Form::One)
    }

    /// Words of bools become predicates.
    fn as_mask(&mut self, dtype: DType, v: Value, form: Form) -> Value {
        if dtype != DType::Bool {
            return v;
        }
        let zero = self.constant(LaneTy::I32, 0u32, form);
        self.b.ins().icmp(IntCC::NotEqual, v, zero)
    }

    pub(super) fn store(&mut self, arg: ArgId, at: &Access, value: Value, strip: &Strip, sub: usize) {
        let form = strip.subs[sub];
        let dtype = self.k.args[arg.0 as usize].dtype;
        let (p, offset) = self.address(arg, at, strip, sub);
        match (form, at.col) {
            (Form::One, _) => self.store_word(dtype, value, p, offset),
            // All columns write one element: the last one stays.
            (Form::Vec(n), 0) => {
                let v = self.lane_of(dtype, value, n - 1);
                self.store_word(dtype, v, p, offset);
            }
            (Form::Vec(n), 1) => self.store_run(dtype, value, p, offset, n),
            (Form::Vec(n), col) => {
                let step = col * dtype.bytes() as i64;
                for l in 0..n {
                    let v = self.lane_of(dtype, value, l);
                    let (q, o) = self.small(p, offset + i64::from(l) * step);
                    self.store_word(dtype, v, q, o);
                }
            }
        }
    }

    fn store_run(&mut self, dtype: DType, value: Value, p: Value, offset: i64, n: u8) {
        let o = offset as i32;
        match (dtype.bytes(), n) {
            (4, 4) | (8, 2) => {
                self.b.ins().store(plain(), value, p, o);
            }
            (4, 2 | 3) => {
                let pairs = self.bitcast(I64X2, value);
                let low = self.b.ins().extractlane(pairs, 0);
                self.b.ins().store(plain(), low, p, o);
                if n == 3 {
                    let v = self.lane_of(dtype, value, 2);
                    self.store_word(dtype, v, p, offset + 8);
                }
            }
            (size @ (1 | 2), 4) => {
                // The narrowing instructions saturate, so only the low bits may be there.
                let keep = if dtype == DType::Bool { 1 } else { (1u32 << (8 * size)) - 1 };
                let keep = self.constant(LaneTy::I32, keep, Form::Vec(4));
                let low = self.b.ins().band(value, keep);
                let half = self.b.ins().unarrow(low, low);
                if size == 2 {
                    let words = self.bitcast(I64X2, half);
                    let word = self.b.ins().extractlane(words, 0);
                    self.b.ins().store(plain(), word, p, o);
                } else {
                    let bytes = self.b.ins().unarrow(half, half);
                    let words = self.bitcast(I32X4, bytes);
                    let word = self.b.ins().extractlane(words, 0);
                    self.b.ins().store(plain(), word, p, o);
                }
            }
            (size, _) => {
                for l in 0..n {
                    let v = self.lane_of(dtype, value, l);
                    self.store_word(dtype, v, p, offset + i64::from(l) * size as i64);
                }
            }
        }
    }

    /// One lane as the scalar that [`Self::store_word`] takes.
    fn lane_of(&mut self, dtype: DType, value: Value, l: u8) -> Value {
        let v = self.b.ins().extractlane(value, l);
        if dtype != DType::Bool {
            return v;
        }
        let one = self.b.ins().iconst(I32, 1);
        let v = self.b.ins().band(v, one);
        self.b.ins().ireduce(I8, v)
    }

    fn store_word(&mut self, dtype: DType, value: Value, p: Value, offset: i64) {
        let o = offset as i32;
        let v = match dtype.bytes() {
            2 => self.b.ins().ireduce(I16, value),
            1 if dtype != DType::Bool => self.b.ins().ireduce(I8, value),
            _ => value,
        };
        self.b.ins().store(plain(), v, p, o);
    }

    /// Whether index `i` (an `i32` scalar) may be used, and the byte offset to use: 0 where it may not.
    fn checked(&mut self, arg: ArgId, i: Value, mask: Option<Value>) -> (Value, Value) {
        let a = &self.k.args[arg.0 as usize];
        let (len, size) = (a.len.min(1 << 31), a.dtype.bytes() as i64);
        // Unsigned, so a negative index is far outside.
        let wide = self.b.ins().uextend(I64, i);
        let end = self.b.ins().iconst(I64, len as i64);
        let mut ok = self.b.ins().icmp(IntCC::UnsignedLessThan, wide, end);
        if let Some(m) = mask {
            let ty = self.b.func.dfg.value_type(m);
            let zero = self.b.ins().iconst(ty, 0);
            let m = self.b.ins().icmp(IntCC::NotEqual, m, zero);
            ok = if nn_runtime::mutant!("cranelift.checked") { ok } else { self.b.ins().band(ok, m) };
        }
        let at = self.b.ins().imul_imm_s(wide, size);
        let zero = self.b.ins().iconst(I64, 0);
        (ok, self.b.ins().select(ok, at, zero))
    }

    pub(super) fn load_at(&mut self, arg: ArgId, index: Value, mask: Option<Value>, form: Form) -> Value {
        let a = &self.k.args[arg.0 as usize];
        let (dtype, empty) = (a.dtype, a.len == 0);
        let word = lane(dtype);
        if empty {
            let v = self.constant(word, 0u32, form);
            return self.as_mask(dtype, v, form);
        }
        let base = self.bufs[arg.0 as usize];
        // A computed index is not known to be in bounds before it is checked, so the load must stay behind its select.
        let operands: Vec<Value> = std::iter::once(index).chain(mask).collect();
        let v = self.per_lane(&operands, form.ty(word), form, |s, v| {
            let (ok, at) = s.checked(arg, v[0], v.get(1).copied());
            let p = s.b.ins().iadd(base, at);
            let x = s.load_word(dtype, plain(), p, 0);
            let zero = s.constant(word, 0u32, Form::One);
            s.b.ins().select(ok, x, zero)
        });
        self.as_mask(dtype, v, form)
    }

    pub(super) fn store_at(&mut self, arg: ArgId, index: Value, mask: Option<Value>, value: Value, form: Form) {
        let a = &self.k.args[arg.0 as usize];
        let (dtype, empty) = (a.dtype, a.len == 0);
        if empty {
            return;
        }
        let base = self.bufs[arg.0 as usize];
        for l in 0..form.live() {
            let lane = |s: &mut Self, v: Value| if form == Form::One { v } else { s.b.ins().extractlane(v, l) };
            let i = lane(self, index);
            let m = mask.map(|m| lane(self, m));
            let v = if form == Form::One { value } else { self.lane_of(dtype, value, l) };
            let (ok, at) = self.checked(arg, i, m);
            let p = self.b.ins().iadd(base, at);
            // A store that must not happen goes to a slot of the stack frame.
            let sink = self.sink();
            let p = self.b.ins().select(ok, p, sink);
            self.store_word(dtype, v, p, 0);
        }
    }

    /// The anchor's tile at this row and these columns.
    pub(super) fn load_anchor(&mut self, strip: &Strip, sub: usize) -> Value {
        let dtype = self.k.anchor_dtype();
        let size = dtype.bytes() as i64;
        let mut p = self.acc_row;
        if let Some(c) = strip.col {
            let c = self.b.ins().isub(c, self.c0);
            let c = self.b.ins().imul_imm_s(c, size);
            p = self.b.ins().iadd(p, c);
        }
        let offset = sub as i64 * i64::from(self.plan.per_vector) * size;
        match strip.subs[sub] {
            Form::One => self.load_one(dtype, plain(), p, offset),
            Form::Vec(n) => self.load_run(dtype, plain(), p, offset, n),
        }
    }

    fn scratch_address(&mut self, slot: u32, strip: &Strip, sub: usize) -> (Value, i64) {
        // A vector takes 16 bytes, whatever it holds.
        let lane = 16 / i64::from(self.plan.per_vector);
        let row = self.k.cols.next_multiple_of(16) as i64 * lane;
        let mut p = self.scratch;
        if let Some(c) = strip.col {
            let c = self.b.ins().imul_imm_s(c, lane);
            p = self.b.ins().iadd(p, c);
        }
        self.small(p, i64::from(slot) * row + sub as i64 * 16)
    }

    /// Keeps a sub-vector of a row; scratch rows are padded, so all lanes are written.
    pub(super) fn keep(&mut self, slot: u32, value: Value, strip: &Strip, sub: usize) {
        let (p, o) = self.scratch_address(slot, strip, sub);
        self.b.ins().store(plain(), value, p, o as i32);
    }

    pub(super) fn kept(&mut self, slot: u32, ty: LaneTy, strip: &Strip, sub: usize) -> Value {
        let (p, o) = self.scratch_address(slot, strip, sub);
        self.b.ins().load(strip.subs[sub].vector(ty), plain(), p, o as i32)
    }
}

/// The lane type of a dtype as words: predicates are ints before they are masks.
fn lane(d: DType) -> LaneTy {
    match d {
        DType::F32 => LaneTy::F32,
        DType::F64 => LaneTy::F64,
        _ => LaneTy::I32,
    }
}
