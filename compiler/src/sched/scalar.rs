//! Dtypes in lanes: constants, conversions, and keeping narrow integers in range.
//!
//! In: lane values of a dtype. Out: lane values of a dtype. Lanes know three types; a narrow or unsigned integer lives in
//! an `I32` lane as loads leave it: signed ones sign-extended, `u8` and `u16` zero-extended, `u32` as its bits.

use crate::graph::ops::ReduceKind;
use crate::kernel::ir::lane_ty;
use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};
use nn_runtime::dtype::DType;

/// Dtypes that kernels hold in lanes.
pub fn has_lanes(d: DType) -> bool {
    !matches!(d, DType::F64 | DType::Bf16 | DType::F16 | DType::I64)
}

/// A constant of a dtype.
pub fn konst(k: &mut dyn LaneBuilder, d: DType, x: f64) -> LaneId {
    match lane_ty(d) {
        LaneTy::F32 => k.f32(x as f32),
        LaneTy::Bool => k.lane(LaneOp::ConstB(x != 0.0)),
        LaneTy::I32 => k.i32(x as i64 as i32),
    }
}

/// The bytes of an element of a constant table.
pub fn bytes(d: DType, x: f64, out: &mut Vec<u8>) {
    match d {
        DType::F32 => out.extend((x as f32).to_le_bytes()),
        DType::F64 => out.extend(x.to_le_bytes()),
        DType::Bool => out.push(u8::from(x != 0.0)),
        _ => out.extend_from_slice(&(x as i64).to_le_bytes()[..d.bytes()]),
    }
}

/// Brings an `I32` lane back into the range of a narrow dtype, modulo its width.
pub fn wrap(k: &mut dyn LaneBuilder, d: DType, v: LaneId) -> LaneId {
    let bits = 8 * d.bytes() as i32;
    match d {
        DType::I8 | DType::I16 => {
            let n = k.i32(32 - bits);
            let up = k.bin(LaneBin::IShl, v, n);
            k.bin(LaneBin::IShrS, up, n)
        }
        DType::U8 | DType::U16 => {
            let m = k.i32((1 << bits) - 1);
            k.bin(LaneBin::IAnd, v, m)
        }
        _ => v,
    }
}

/// `cast`: ints wrap, float to int truncates and saturates, to bool is `!= 0`.
pub fn cast(k: &mut dyn LaneBuilder, from: DType, to: DType, v: LaneId) -> LaneId {
    match (lane_ty(from), lane_ty(to)) {
        (LaneTy::F32, LaneTy::F32) | (LaneTy::Bool, LaneTy::Bool) => v,
        (LaneTy::Bool, LaneTy::F32) => k.un(LaneUn::BToF, v),
        (LaneTy::Bool, LaneTy::I32) => k.un(LaneUn::BToI, v),
        (LaneTy::I32, LaneTy::Bool) => k.un(LaneUn::IToB, v),
        (LaneTy::F32, LaneTy::Bool) => {
            let z = k.f32(0.0);
            k.cmp(LaneCmp::FNe, v, z)
        }
        (LaneTy::I32, LaneTy::F32) => k.un(if from == DType::U32 { LaneUn::UToF } else { LaneUn::IToF }, v),
        (LaneTy::I32, LaneTy::I32) => wrap(k, to, v),
        (LaneTy::F32, LaneTy::I32) => float_to_int(k, to, v),
    }
}

fn float_to_int(k: &mut dyn LaneBuilder, to: DType, v: LaneId) -> LaneId {
    let clamp = |k: &mut dyn LaneBuilder, lo: i32, hi: i32| {
        let i = k.un(LaneUn::FToI, v);
        let (lo, hi) = (k.i32(lo), k.i32(hi));
        let i = k.bin(LaneBin::IMax, i, lo);
        k.bin(LaneBin::IMin, i, hi)
    };
    match to {
        DType::I8 => clamp(k, -128, 127),
        DType::I16 => clamp(k, -32768, 32767),
        DType::U8 => clamp(k, 0, 255),
        DType::U16 => clamp(k, 0, 65535),
        DType::U32 => {
            // Above 2^31 the signed conversion takes the rest; 2^32 and more saturate; negative and NaN give 0.
            let (half, top) = (k.f32(2147483648.0), k.f32(4294967296.0));
            let low = k.un(LaneUn::FToI, v);
            let zero = k.i32(0);
            let low = k.bin(LaneBin::IMax, low, zero);
            let rest = k.bin(LaneBin::FSub, v, half);
            let rest = k.un(LaneUn::FToI, rest);
            let bit = k.i32(i32::MIN);
            let high = k.bin(LaneBin::IXor, rest, bit);
            let all = k.i32(-1);
            let over = k.cmp(LaneCmp::FGe, v, top);
            let high = k.select(over, all, high);
            let big = k.cmp(LaneCmp::FGe, v, half);
            k.select(big, high, low)
        }
        _ => k.un(LaneUn::FToI, v),
    }
}

/// A value as reductions compare or add it; [`from_reduce`] undoes it. Bools count as 0 and 1, `u32` orders as signed
/// after its top bit is flipped.
pub fn to_reduce(k: &mut dyn LaneBuilder, d: DType, kind: ReduceKind, v: LaneId) -> LaneId {
    match d {
        DType::Bool => k.un(LaneUn::BToI, v),
        DType::U32 if matches!(kind, ReduceKind::Max | ReduceKind::Min) => {
            let bit = k.i32(i32::MIN);
            k.bin(LaneBin::IXor, v, bit)
        }
        _ => v,
    }
}

/// Back from [`to_reduce`].
pub fn from_reduce(k: &mut dyn LaneBuilder, d: DType, kind: ReduceKind, v: LaneId) -> LaneId {
    match d {
        DType::Bool => k.un(LaneUn::IToB, v),
        DType::U32 => to_reduce(k, d, kind, v),
        _ => wrap(k, d, v),
    }
}

/// One step of a reduction on two values in the form of [`to_reduce`].
pub fn combine(k: &mut dyn LaneBuilder, kind: ReduceKind, a: LaneId, b: LaneId) -> LaneId {
    let float = k.lane_ty(a) == LaneTy::F32;
    let op = match (kind, float) {
        (ReduceKind::Sum, true) => LaneBin::FAdd,
        (ReduceKind::Sum, false) => LaneBin::IAdd,
        (ReduceKind::Prod, true) => LaneBin::FMul,
        (ReduceKind::Prod, false) => LaneBin::IMul,
        (ReduceKind::Max, true) => LaneBin::FMax,
        (ReduceKind::Max, false) => LaneBin::IMax,
        (ReduceKind::Min, true) => LaneBin::FMin,
        (ReduceKind::Min, false) => LaneBin::IMin,
    };
    k.bin(op, a, b)
}
