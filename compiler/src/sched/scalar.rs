//! Dtypes in lanes: constants, and the forms in which reductions combine.
//!
//! In: lane values of a dtype. Out: lane values of a dtype. Lanes know four types; a narrow or unsigned integer lives in
//! an `I32` lane as loads leave it: signed ones sign-extended, `u8` and `u16` zero-extended, `u32` as its bits.

use crate::graph::ops::ReduceKind;
use crate::graph::ops::lane_help::narrow;
use crate::kernel::ir::lane_ty;
use crate::lanes::{LaneBin, LaneBuilder, LaneId, LaneOp, LaneTy, LaneUn};
use nn_runtime::dtype::DType;

/// A constant of a dtype.
pub fn konst(k: &mut dyn LaneBuilder, d: DType, x: f64) -> LaneId {
    match lane_ty(d) {
        ty @ (LaneTy::F32 | LaneTy::F64) => k.lane(LaneOp::float(ty, x)),
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
        _ => narrow(k, d, v),
    }
}

/// One step of a reduction on two values in the form of [`to_reduce`].
pub fn combine(k: &mut dyn LaneBuilder, kind: ReduceKind, a: LaneId, b: LaneId) -> LaneId {
    let float = k.lane_ty(a).is_float();
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
