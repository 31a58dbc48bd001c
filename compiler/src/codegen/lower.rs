//! One lane op on a vector of lanes (`f32x4`, `f64x2`, `i32x4`) or on one (`f32`, `f64`, `i32`), as Cranelift instructions.
//!
//! A predicate is a mask of all ones or all zeros in the lanes of an `i32x4`, whatever was compared, and an `i8` of 0 or 1 in
//! scalars. Every lowering gives the
//! bits that `lanes_eval` gives; the only freedom is the payload of a NaN.

use super::body::Body;
use crate::kernel::ir::Inst;
use crate::lanes::{LaneBin, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Type, Value};

/// How many lanes a value holds: a vector with the first few live, or one scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A vector, of which the first `n` lanes are columns that exist.
    Vec(u8),
    /// One lane.
    One,
}

impl Form {
    /// Lanes that exist.
    pub(super) fn live(self) -> u8 {
        match self {
            Form::Vec(n) => n,
            Form::One => 1,
        }
    }
    /// The Cranelift type of a lane type.
    pub(super) fn ty(self, t: LaneTy) -> Type {
        match (self, t) {
            (Form::Vec(_), t) => self.vector(t),
            (Form::One, LaneTy::F32) => F32,
            (Form::One, LaneTy::F64) => F64,
            (Form::One, LaneTy::I32) => I32,
            (Form::One, LaneTy::Bool) => I8,
        }
    }
    /// The Cranelift type of a vector of a lane type.
    pub(super) fn vector(self, t: LaneTy) -> Type {
        match t {
            LaneTy::F32 => F32X4,
            LaneTy::F64 => F64X2,
            LaneTy::I32 | LaneTy::Bool => I32X4,
        }
    }
}

/// Flags of a bitcast: lanes in memory order.
fn cast_flags() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

impl Body<'_> {
    pub(super) fn bitcast(&mut self, ty: Type, v: Value) -> Value {
        if self.b.func.dfg.value_type(v) == ty { v } else { self.b.ins().bitcast(ty, cast_flags(), v) }
    }

    /// The same bits in every lane.
    pub(super) fn constant(&mut self, ty: LaneTy, bits: impl Into<u64>, form: Form) -> Value {
        let wide: u64 = bits.into();
        let bits = wide as u32;
        match (form, ty) {
            (Form::Vec(_), LaneTy::F64) => {
                let bytes: Vec<u8> = (0..2).flat_map(|_| wide.to_le_bytes()).collect();
                let c = self.b.func.dfg.constants.insert(ConstantData::from(bytes));
                self.b.ins().vconst(F64X2, c)
            }
            (Form::Vec(_), _) => {
                let word = if ty == LaneTy::Bool && bits != 0 { u32::MAX } else { bits };
                let bytes: Vec<u8> = (0..4).flat_map(|_| word.to_le_bytes()).collect();
                let c = self.b.func.dfg.constants.insert(ConstantData::from(bytes));
                self.b.ins().vconst(form.ty(ty), c)
            }
            (Form::One, LaneTy::F32) => self.b.ins().f32const(Ieee32::with_bits(bits)),
            (Form::One, LaneTy::F64) => self.b.ins().f64const(Ieee64::with_bits(wide)),
            (Form::One, LaneTy::I32) => self.b.ins().iconst(I32, i64::from(bits)),
            (Form::One, LaneTy::Bool) => self.b.ins().iconst(I8, i64::from(bits != 0)),
        }
    }

    /// `a` where the predicate holds, else `b`.
    pub(super) fn choose(&mut self, c: Value, a: Value, b: Value, form: Form) -> Value {
        match form {
            Form::One => self.b.ins().select(c, a, b),
            Form::Vec(_) => {
                let ty = self.b.func.dfg.value_type(a);
                let c = if ty == F64X2 { self.wide_mask(c) } else { c };
                let of = self.b.func.dfg.value_type(c);
                let (a, b) = (self.bitcast(of, a), self.bitcast(of, b));
                let r = if self.x64 { self.b.ins().blendv(c, a, b) } else { self.b.ins().bitselect(c, a, b) };
                self.bitcast(ty, r)
            }
        }
    }

    fn is_double(&self, v: Value) -> bool {
        matches!(self.b.func.dfg.value_type(v), F64 | F64X2)
    }

    /// Words picked from two vectors: 0 to 3 from the first, 4 to 7 from the second.
    fn words(&mut self, a: Value, b: Value, pick: [u8; 4]) -> Value {
        let (a, b) = (self.bitcast(I8X16, a), self.bitcast(I8X16, b));
        let bytes: Vec<u8> = pick.iter().flat_map(|w| (0..4).map(move |i| 4 * w + i)).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(bytes));
        let r = self.b.ins().shuffle(a, b, mask);
        self.bitcast(I32X4, r)
    }

    /// A predicate as a mask of 64-bit lanes.
    fn wide_mask(&mut self, m: Value) -> Value {
        if self.b.func.dfg.value_type(m) == I64X2 {
            return m;
        }
        let m = self.words(m, m, [0, 0, 1, 1]);
        self.bitcast(I64X2, m)
    }

    /// Applies a scalar computation to the live lanes of vectors, the others becoming 0; or to scalars.
    pub(super) fn per_lane(
        &mut self,
        operands: &[Value],
        out: Type,
        form: Form,
        mut f: impl FnMut(&mut Self, &[Value]) -> Value,
    ) -> Value {
        let n = match form {
            Form::One => return f(self, operands),
            Form::Vec(n) => n,
        };
        let ty = match out {
            F32X4 => LaneTy::F32,
            F64X2 => LaneTy::F64,
            _ => LaneTy::I32,
        };
        let mut r = self.constant(ty, 0u32, form);
        for l in 0..n {
            let lanes: Vec<Value> = operands.iter().map(|&v| self.b.ins().extractlane(v, l)).collect();
            let v = f(self, &lanes);
            r = self.b.ins().insertlane(r, v, l);
        }
        r
    }

    fn const_i32(&self, v: LaneId) -> Option<i32> {
        match self.k.insts[v.0 as usize] {
            Inst::Lane(LaneOp::ConstI(c)) => Some(c),
            _ => None,
        }
    }

    /// Whether a value is a constant that is not NaN.
    fn never_nan(&self, v: LaneId) -> bool {
        match self.k.insts[v.0 as usize] {
            Inst::Lane(LaneOp::ConstF(b)) => !f32::from_bits(b).is_nan(),
            Inst::Lane(LaneOp::ConstD(b)) => !f64::from_bits(b).is_nan(),
            _ => false,
        }
    }

    /// A lane op whose operands have been lowered to `args`.
    pub(super) fn lane_op(&mut self, op: &LaneOp, args: &[Value], form: Form) -> Value {
        match *op {
            LaneOp::ConstF(b) => self.constant(LaneTy::F32, b, form),
            LaneOp::ConstD(b) => self.constant(LaneTy::F64, b, form),
            LaneOp::ConstI(i) => self.constant(LaneTy::I32, i as u32, form),
            LaneOp::ConstB(b) => self.constant(LaneTy::Bool, u32::from(b), form),
            LaneOp::Arg(_, t) => self.constant(t, 0u32, form),
            LaneOp::Un(o, _) => self.un(o, args[0], form),
            LaneOp::Bin(o, _, id_b) => self.bin(o, args[0], args[1], Some(id_b), form),
            LaneOp::Cmp(o, ..) => self.cmp(o, args[0], args[1]),
            LaneOp::Fma(..) => self.b.ins().fma(args[0], args[1], args[2]),
            LaneOp::Select(..) => self.choose(args[0], args[1], args[2], form),
        }
    }

    fn un(&mut self, op: LaneUn, a: Value, form: Form) -> Value {
        let f32s = form.ty(LaneTy::F32);
        let i32s = form.ty(LaneTy::I32);
        let vector = form != Form::One;
        match op {
            LaneUn::FNeg => self.b.ins().fneg(a),
            LaneUn::FAbs => self.b.ins().fabs(a),
            LaneUn::FSqrt => self.b.ins().sqrt(a),
            LaneUn::FFloor => self.b.ins().floor(a),
            LaneUn::FRoundEven => self.b.ins().nearest(a),
            LaneUn::BNot if vector => self.b.ins().bnot(a),
            LaneUn::BNot => {
                let one = self.b.ins().iconst(I8, 1);
                self.b.ins().bxor(a, one)
            }
            LaneUn::IToF => self.b.ins().fcvt_from_sint(f32s, a),
            LaneUn::UToF => self.b.ins().fcvt_from_uint(f32s, a),
            LaneUn::IToD if vector => {
                let a = self.b.ins().swiden_low(a);
                self.b.ins().fcvt_from_sint(F64X2, a)
            }
            LaneUn::IToD => self.b.ins().fcvt_from_sint(F64, a),
            LaneUn::UToD if vector => {
                let a = self.b.ins().uwiden_low(a);
                self.b.ins().fcvt_from_uint(F64X2, a)
            }
            LaneUn::UToD => self.b.ins().fcvt_from_uint(F64, a),
            LaneUn::FToD if vector => self.b.ins().fvpromote_low(a),
            LaneUn::FToD => self.b.ins().fpromote(F64, a),
            LaneUn::DToF if vector => self.b.ins().fvdemote(a),
            LaneUn::DToF => self.b.ins().fdemote(F32, a),
            LaneUn::FToI if vector && self.is_double(a) => {
                let wide = self.b.ins().fcvt_to_sint_sat(I64X2, a);
                // Cranelift knows this pair of instructions with a zero constant of just this type.
                let zero = self.b.func.dfg.constants.insert(ConstantData::from(vec![0; 16]));
                let zero = self.b.ins().vconst(I64X2, zero);
                self.b.ins().snarrow(wide, zero)
            }
            LaneUn::FToI => self.b.ins().fcvt_to_sint_sat(i32s, a),
            LaneUn::BitsHi if vector => self.words(a, a, [1, 3, 1, 3]),
            LaneUn::BitsLo if vector => self.words(a, a, [0, 2, 0, 2]),
            LaneUn::BitsHi | LaneUn::BitsLo => {
                let mut bits = self.bitcast(I64, a);
                if op == LaneUn::BitsHi {
                    bits = self.b.ins().ushr_imm_u(bits, 32);
                }
                self.b.ins().ireduce(I32, bits)
            }
            LaneUn::BitsFToI => self.bitcast(i32s, a),
            LaneUn::BitsIToF => self.bitcast(f32s, a),
            LaneUn::BToI if vector => {
                let one = self.constant(LaneTy::I32, 1u32, form);
                self.b.ins().band(a, one)
            }
            LaneUn::BToI => self.b.ins().uextend(I32, a),
            LaneUn::BToF if vector => {
                let one = self.constant(LaneTy::I32, 1f32.to_bits(), form);
                let bits = self.b.ins().band(a, one);
                self.bitcast(F32X4, bits)
            }
            LaneUn::BToF => {
                let (one, zero) =
                    (self.constant(LaneTy::F32, 1f32.to_bits(), form), self.constant(LaneTy::F32, 0u32, form));
                self.b.ins().select(a, one, zero)
            }
            LaneUn::IToB => {
                let zero = self.constant(LaneTy::I32, 0u32, form);
                self.b.ins().icmp(IntCC::NotEqual, a, zero)
            }
        }
    }

    /// Two operands; `id_b` names the second one where it is an instruction of the kernel.
    pub(super) fn bin(&mut self, op: LaneBin, a: Value, b: Value, id_b: Option<LaneId>, form: Form) -> Value {
        let i32s = form.ty(LaneTy::I32);
        match op {
            LaneBin::BitsPair if form != Form::One => {
                let pairs = self.words(b, a, [0, 4, 1, 5]);
                self.bitcast(F64X2, pairs)
            }
            LaneBin::BitsPair => {
                let (hi, lo) = (self.b.ins().uextend(I64, a), self.b.ins().uextend(I64, b));
                let hi = self.b.ins().ishl_imm_u(hi, 32);
                let bits = self.b.ins().bor(hi, lo);
                self.bitcast(F64, bits)
            }
            LaneBin::FAdd => self.b.ins().fadd(a, b),
            LaneBin::FSub => self.b.ins().fsub(a, b),
            LaneBin::FMul => self.b.ins().fmul(a, b),
            LaneBin::FDiv => self.b.ins().fdiv(a, b),
            LaneBin::FMax => self.extreme(a, b, a, b, id_b, form),
            LaneBin::FMin => self.extreme(a, b, b, a, id_b, form),
            LaneBin::IAdd => self.b.ins().iadd(a, b),
            LaneBin::ISub => self.b.ins().isub(a, b),
            LaneBin::IMul => self.b.ins().imul(a, b),
            LaneBin::IMax => self.b.ins().smax(a, b),
            LaneBin::IMin => self.b.ins().smin(a, b),
            LaneBin::IAnd | LaneBin::BAnd => self.b.ins().band(a, b),
            LaneBin::IOr | LaneBin::BOr => self.b.ins().bor(a, b),
            LaneBin::IXor | LaneBin::BXor => self.b.ins().bxor(a, b),
            LaneBin::IDiv | LaneBin::IRem => {
                let rem = op == LaneBin::IRem;
                let plain = id_b.and_then(|v| self.const_i32(v)).filter(|d| !matches!(d, 0 | -1));
                self.per_lane(&[a, b], i32s, form, |s, v| s.divide(v[0], v[1], rem, plain))
            }
            LaneBin::IShl | LaneBin::IShrU | LaneBin::IShrS => {
                if let Some(c) = id_b.and_then(|v| self.const_i32(v)) {
                    let c = self.b.ins().iconst(I32, i64::from(c & 31));
                    return self.shift(op, a, c);
                }
                // Cranelift shifts all lanes by one count. It takes counts modulo the lane width, as the op does.
                self.per_lane(&[a, b], i32s, form, |s, v| s.shift(op, v[0], v[1]))
            }
        }
    }

    fn shift(&mut self, op: LaneBin, a: Value, count: Value) -> Value {
        match op {
            LaneBin::IShl => self.b.ins().ishl(a, count),
            LaneBin::IShrU => self.b.ins().ushr(a, count),
            _ => self.b.ins().sshr(a, count),
        }
    }

    /// Division or remainder of two `i32`: total, and without the trap that the machine has for 0 and `MIN / -1`.
    fn divide(&mut self, n: Value, d: Value, rem: bool, plain: Option<i32>) -> Value {
        if let Some(c) = plain {
            let d = self.b.ins().iconst(I32, i64::from(c));
            return if rem { self.b.ins().srem(n, d) } else { self.b.ins().sdiv(n, d) };
        }
        let zero = self.b.ins().iconst(I32, 0);
        let one = self.b.ins().iconst(I32, 1);
        let minus = self.b.ins().iconst(I32, -1);
        let is_zero = self.b.ins().icmp(IntCC::Equal, d, zero);
        let is_minus = self.b.ins().icmp(IntCC::Equal, d, minus);
        let special = self.b.ins().bor(is_zero, is_minus);
        let safe = self.b.ins().select(special, one, d);
        if rem {
            // The remainder by 1 is 0, which both special divisors give too.
            return self.b.ins().srem(n, safe);
        }
        let q = self.b.ins().sdiv(n, safe);
        let negated = self.b.ins().ineg(n);
        let q = self.b.ins().select(is_minus, negated, q);
        self.b.ins().select(is_zero, zero, q)
    }

    /// `b` if `lo < hi`, else `a`; NaN if either is. Written so that x86-64 finds `minps` and `maxps`.
    fn extreme(&mut self, a: Value, b: Value, lo: Value, hi: Value, id_b: Option<LaneId>, form: Form) -> Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, lo, hi);
        let r = match form {
            Form::One => self.b.ins().select(less, b, a),
            Form::Vec(_) => {
                let ty = self.b.func.dfg.value_type(a);
                let mask = self.bitcast(ty, less);
                self.b.ins().bitselect(mask, b, a)
            }
        };
        // A NaN in `a` is already the result, since the comparison is false.
        if id_b.is_some_and(|v| self.never_nan(v)) {
            return r;
        }
        let nan = self.b.ins().fcmp(FloatCC::NotEqual, b, b);
        if nn_runtime::mutant!("cranelift.nan") { r } else { self.choose(nan, b, r, form) }
    }

    fn cmp(&mut self, op: LaneCmp, a: Value, b: Value) -> Value {
        let m = self.condition(op, a, b);
        if self.b.func.dfg.value_type(m) == I64X2 { self.words(m, m, [0, 2, 0, 2]) } else { m }
    }

    fn condition(&mut self, op: LaneCmp, a: Value, b: Value) -> Value {
        match op {
            LaneCmp::FEq => self.b.ins().fcmp(FloatCC::Equal, a, b),
            LaneCmp::FNe => self.b.ins().fcmp(FloatCC::NotEqual, a, b),
            LaneCmp::FLt => self.b.ins().fcmp(FloatCC::LessThan, a, b),
            LaneCmp::FLe => self.b.ins().fcmp(FloatCC::LessThanOrEqual, a, b),
            LaneCmp::FGt => self.b.ins().fcmp(FloatCC::GreaterThan, a, b),
            LaneCmp::FGe => self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, a, b),
            LaneCmp::IEq => self.b.ins().icmp(IntCC::Equal, a, b),
            LaneCmp::INe => self.b.ins().icmp(IntCC::NotEqual, a, b),
            LaneCmp::ILt => self.b.ins().icmp(IntCC::SignedLessThan, a, b),
            LaneCmp::ILe => self.b.ins().icmp(IntCC::SignedLessThanOrEqual, a, b),
            LaneCmp::IGt => self.b.ins().icmp(IntCC::SignedGreaterThan, a, b),
            LaneCmp::IGe => self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, a, b),
            LaneCmp::ULt => self.b.ins().icmp(IntCC::UnsignedLessThan, a, b),
        }
    }
}
