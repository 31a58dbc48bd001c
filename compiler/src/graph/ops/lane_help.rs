//! Lane code that several rows share: what the lane ops lack for unsigned and narrow ints.
//!
//! In: lanes of one dtype, narrow ints in range. Out: lanes of the result, in range again.

use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneTy, LaneUn};
use nn_runtime::dtype::DType;

/// Brings a lane int back into the range of a narrow dtype; anything else passes.
pub fn narrow(k: &mut dyn LaneBuilder, d: DType, v: LaneId) -> LaneId {
    match d {
        DType::U8 | DType::U16 => {
            let mask = k.i32(if d == DType::U8 { 0xff } else { 0xffff });
            k.bin(LaneBin::IAnd, v, mask)
        }
        DType::I8 | DType::I16 if !nn_runtime::mutant!("op.narrow") => {
            let n = k.i32(if d == DType::I8 { 24 } else { 16 });
            let up = k.bin(LaneBin::IShl, v, n);
            k.bin(LaneBin::IShrS, up, n)
        }
        _ => v,
    }
}

/// A comparison at a dtype, given as the float comparison.
pub fn compare(k: &mut dyn LaneBuilder, d: DType, op: LaneCmp, a: LaneId, b: LaneId) -> LaneId {
    if d.is_float() {
        return k.cmp(op, a, b);
    }
    let (a, b) = if d == DType::Bool { (k.un(LaneUn::BToI, a), k.un(LaneUn::BToI, b)) } else { (a, b) };
    let signed = match op {
        LaneCmp::FEq => LaneCmp::IEq,
        LaneCmp::FNe => LaneCmp::INe,
        LaneCmp::FLt => LaneCmp::ILt,
        LaneCmp::FLe => LaneCmp::ILe,
        LaneCmp::FGt => LaneCmp::IGt,
        LaneCmp::FGe => LaneCmp::IGe,
        other => other,
    };
    if d != DType::U32 || matches!(op, LaneCmp::FEq | LaneCmp::FNe) {
        return k.cmp(signed, a, b);
    }
    match op {
        LaneCmp::FLt => k.cmp(LaneCmp::ULt, a, b),
        LaneCmp::FGt => k.cmp(LaneCmp::ULt, b, a),
        LaneCmp::FLe => {
            let gt = k.cmp(LaneCmp::ULt, b, a);
            k.un(LaneUn::BNot, gt)
        }
        _ => {
            let lt = k.cmp(LaneCmp::ULt, a, b);
            k.un(LaneUn::BNot, lt)
        }
    }
}

/// The larger or smaller operand.
pub fn max_min(k: &mut dyn LaneBuilder, d: DType, max: bool, a: LaneId, b: LaneId) -> LaneId {
    if d == DType::U32 {
        let second = if max && nn_runtime::mutant!("op.max_u32") {
            k.cmp(LaneCmp::ILt, a, b)
        } else if max {
            k.cmp(LaneCmp::ULt, a, b)
        } else {
            k.cmp(LaneCmp::ULt, b, a)
        };
        return k.select(second, b, a);
    }
    let op = match (d.is_float(), max) {
        (true, true) => LaneBin::FMax,
        (true, false) => LaneBin::FMin,
        (false, true) => LaneBin::IMax,
        (false, false) => LaneBin::IMin,
    };
    k.bin(op, a, b)
}

/// Int quotient toward zero; by 0 gives 0.
pub fn int_div(k: &mut dyn LaneBuilder, d: DType, a: LaneId, b: LaneId) -> LaneId {
    if d == DType::U32 {
        return u32_div_rem(k, a, b).0;
    }
    let q = k.bin(LaneBin::IDiv, a, b);
    narrow(k, d, q)
}

/// Int remainder with the sign of the dividend; by 0 gives 0.
pub fn int_rem(k: &mut dyn LaneBuilder, d: DType, a: LaneId, b: LaneId) -> LaneId {
    if d == DType::U32 { u32_div_rem(k, a, b).1 } else { k.bin(LaneBin::IRem, a, b) }
}

/// Unsigned quotient and remainder from signed division: halve the dividend, divide, double, and correct by one. A
/// divisor of 2^31 or more goes 0 or 1 times.
fn u32_div_rem(k: &mut dyn LaneBuilder, a: LaneId, b: LaneId) -> (LaneId, LaneId) {
    let (zero, one) = (k.i32(0), k.i32(1));
    let fits = k.cmp(LaneCmp::ULt, a, b);
    let whole = k.select(fits, zero, one);
    let half = k.bin(LaneBin::IShrU, a, one);
    let q = k.bin(LaneBin::IDiv, half, b);
    let q = k.bin(LaneBin::IShl, q, one);
    let qb = k.bin(LaneBin::IMul, q, b);
    let r = k.bin(LaneBin::ISub, a, qb);
    let less = k.cmp(LaneCmp::ULt, r, b);
    let up = k.bin(LaneBin::IAdd, q, one);
    let q = k.select(less, q, up);
    let huge = k.cmp(LaneCmp::ILt, b, zero);
    let q = k.select(huge, whole, q);
    let qb = k.bin(LaneBin::IMul, q, b);
    let r = k.bin(LaneBin::ISub, a, qb);
    let by_zero = k.cmp(LaneCmp::IEq, b, zero);
    (k.select(by_zero, zero, q), k.select(by_zero, zero, r))
}

/// Float remainder with the sign of the dividend, exact for all operands: long division with digits of one bit less than the
/// significand, 23 bits in f32 and 52 in f64, as many as lead from the smallest divisor to the largest dividend.
///
/// In f32: the divisor is scaled by powers of 2^23, largest first, and a rounded multiple of each is taken off. A step leaves
/// at most one scaled divisor, of either sign, so the next quotient is below 2^23 and off by at most one; what it leaves
/// is a multiple of the divisor's last place below 2^24 of them, so the FMA is exact. A scaled divisor that is infinite
/// exceeds every dividend: nothing is taken off. The last step rounds down, and its two corrections bring the result
/// into `0 .. divisor`; a smaller dividend is its own remainder, which covers an infinite divisor.
pub fn float_rem(k: &mut dyn LaneBuilder, a: LaneId, b: LaneId) -> LaneId {
    let wide = k.lane_ty(a) == LaneTy::F64;
    let (bits, steps) = if wide { (52, 40) } else { (23, 12) };
    let (zero, digit, inf) = (k.float_like(a, 0.0), k.float_like(a, 2f64.powi(bits)), k.float_like(a, f64::INFINITY));
    let (x, y) = (k.un(LaneUn::FAbs, a), k.un(LaneUn::FAbs, b));
    let mut scaled = vec![];
    let mut top = y;
    for _ in 0..steps {
        top = k.bin(LaneBin::FMul, top, digit);
        scaled.push(top);
    }
    let mut r = x;
    for s in scaled.into_iter().rev() {
        let q = k.bin(LaneBin::FDiv, r, s);
        let q = k.un(LaneUn::FRoundEven, q);
        let q = k.un(LaneUn::FNeg, q);
        let less = k.fma(q, s, r);
        let finite = k.cmp(LaneCmp::FLt, s, inf);
        r = k.select(finite, less, r);
    }
    let q = k.bin(LaneBin::FDiv, r, y);
    let q = k.un(LaneUn::FFloor, q);
    let q = k.un(LaneUn::FNeg, q);
    let r = k.fma(q, y, r);
    let (low, up) = (k.cmp(LaneCmp::FLt, r, zero), k.bin(LaneBin::FAdd, r, y));
    let r = k.select(low, up, r);
    let (high, down) = (k.cmp(LaneCmp::FGe, r, y), k.bin(LaneBin::FSub, r, y));
    let r = k.select(high, down, r);
    let small = k.cmp(LaneCmp::FLt, x, y);
    let r = k.select(small, x, r);
    copy_sign(k, r, a)
}

/// `y` with the sign bit of `x`.
pub fn copy_sign(k: &mut dyn LaneBuilder, y: LaneId, x: LaneId) -> LaneId {
    let wide = k.lane_ty(x) == LaneTy::F64;
    let word = if wide { LaneUn::BitsHi } else { LaneUn::BitsFToI };
    let bits = k.un(word, x);
    let sign_bit = k.i32(i32::MIN);
    let sign = k.bin(LaneBin::IAnd, bits, sign_bit);
    let rest = k.i32(i32::MAX);
    let r = k.un(word, y);
    let r = k.bin(LaneBin::IAnd, r, rest);
    let r = k.bin(LaneBin::IOr, r, sign);
    if wide {
        let low = k.un(LaneUn::BitsLo, y);
        return k.bin(LaneBin::BitsPair, r, low);
    }
    k.un(LaneUn::BitsIToF, r)
}

/// Conversion between dtypes.
pub fn convert(k: &mut dyn LaneBuilder, from: DType, to: DType, x: LaneId) -> LaneId {
    let is_f = DType::is_float;
    let wide = to == DType::F64;
    match (from, to) {
        (DType::F64, t) if is_f(t) && !wide => k.un(LaneUn::DToF, x),
        (f, DType::F64) if is_f(f) && f != DType::F64 => k.un(LaneUn::FToD, x),
        (f, t) if is_f(f) && is_f(t) => x,
        (DType::Bool, DType::Bool) => x,
        (DType::Bool, t) if is_f(t) => {
            let y = k.un(LaneUn::BToF, x);
            if wide { k.un(LaneUn::FToD, y) } else { y }
        }
        (DType::Bool, _) => k.un(LaneUn::BToI, x),
        (f, DType::Bool) if is_f(f) => {
            let z = k.float_like(x, 0.0);
            k.cmp(LaneCmp::FNe, x, z)
        }
        (_, DType::Bool) => k.un(LaneUn::IToB, x),
        (f, DType::U32) if is_f(f) => float_to_u32(k, x),
        (f, t) if is_f(f) => {
            let y = k.un(LaneUn::FToI, x);
            let (lo, hi) = crate::graph::tensor::range(t);
            if t == DType::I32 || t == DType::I64 {
                return y;
            }
            let (lo, hi) = (k.i32(lo as i32), k.i32(hi as i32));
            let y = k.bin(LaneBin::IMax, y, lo);
            if nn_runtime::mutant!("op.float_to_int") { y } else { k.bin(LaneBin::IMin, y, hi) }
        }
        (DType::U32, t) if is_f(t) => k.un(if wide { LaneUn::UToD } else { LaneUn::UToF }, x),
        (_, t) if is_f(t) => k.un(if wide { LaneUn::IToD } else { LaneUn::IToF }, x),
        (_, t) => narrow(k, t, x),
    }
}

/// Saturating: from 2^31 on the top bit is taken off before the signed conversion, which saturates, and put back after.
fn float_to_u32(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let (zero, top, two31) = (k.i32(0), k.i32(i32::MIN), k.float_like(x, 2147483648.0));
    let low = k.un(LaneUn::FToI, x);
    let low = k.bin(LaneBin::IMax, low, zero);
    let rest = k.bin(LaneBin::FSub, x, two31);
    let rest = k.un(LaneUn::FToI, rest);
    let high = k.bin(LaneBin::IXor, rest, top);
    let is_high = k.cmp(LaneCmp::FGe, x, two31);
    k.select(is_high, high, low)
}
