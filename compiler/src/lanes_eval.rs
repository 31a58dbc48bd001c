//! Evaluates lane ops exactly as their documentation in `lanes.rs` says: the meaning that every back end must match.
//!
//! In: an op, the type of its first operand and the bits of its operands. Out: the bits of its result. A lane value is 64
//! bits whatever its type: the bits of an `F64`, those of an `F32` or `I32` and zeros above, 0 or 1 for a `Bool`. The
//! kernel interpreter and the tests of op bodies share this file.

use crate::lanes::{LANES, LaneBin, LaneCmp, LaneId, LaneOp, LaneProgram, LaneTy, LaneUn};
use nn_runtime::dtype::DType;

/// The bits of a lane.
pub type Bits = u64;
/// The bits of 16 lanes.
pub type Lanes = [Bits; LANES];

/// A number of a dtype as the bits of the lane that holds it; the number is one of the dtype's.
pub fn bits_of(d: DType, x: f64) -> Bits {
    match d {
        DType::F64 => x.to_bits(),
        d if d.is_float() => (x as f32).to_bits().into(),
        _ => word(x as i64 as i32),
    }
}

/// The number of a dtype that a lane's bits are.
pub fn number_of(d: DType, bits: Bits) -> f64 {
    match d {
        DType::F64 => f64::from_bits(bits),
        d if d.is_float() => f32::from_bits(bits as u32).into(),
        DType::U32 => f64::from(bits as u32),
        _ => f64::from(bits as u32 as i32),
    }
}

const fn bit(b: bool) -> Bits {
    if b { 1 } else { 0 }
}

const fn word(i: i32) -> Bits {
    i as u32 as Bits
}

/// One operand, of type `ty`.
#[inline]
pub fn un(op: LaneUn, ty: LaneTy, a: Bits) -> Bits {
    let i = a as u32 as i32;
    let (f, d) = (f32::from_bits(a as u32), f64::from_bits(a));
    let wide = ty == LaneTy::F64;
    let float = |of: fn(f32) -> f32, od: fn(f64) -> f64| if wide { od(d).to_bits() } else { of(f).to_bits().into() };
    match op {
        LaneUn::FNeg => a ^ if wide { 1 << 63 } else { 1 << 31 },
        LaneUn::FAbs => a & if wide { !(1 << 63) } else { 0x7fff_ffff },
        LaneUn::FSqrt => float(f32::sqrt, f64::sqrt),
        LaneUn::FFloor => float(f32::floor, f64::floor),
        LaneUn::FRoundEven => float(f32::round_ties_even, f64::round_ties_even),
        LaneUn::BNot => bit(a == 0),
        LaneUn::IToF => (i as f32).to_bits().into(),
        LaneUn::UToF => (a as u32 as f32).to_bits().into(),
        LaneUn::IToD => f64::from(i).to_bits(),
        LaneUn::UToD => f64::from(a as u32).to_bits(),
        LaneUn::FToD => f64::from(f).to_bits(),
        LaneUn::DToF => (d as f32).to_bits().into(),
        LaneUn::FToI => word(if wide { d as i32 } else { f as i32 }),
        LaneUn::BitsFToI | LaneUn::BitsIToF | LaneUn::BToI => a,
        LaneUn::BitsHi => a >> 32,
        LaneUn::BitsLo => a & 0xffff_ffff,
        LaneUn::BToF => f32::to_bits(if a != 0 { 1.0 } else { 0.0 }).into(),
        LaneUn::IToB => bit(a != 0),
    }
}

/// Two operands of type `ty`.
#[inline]
pub fn bin(op: LaneBin, ty: LaneTy, a: Bits, b: Bits) -> Bits {
    if ty == LaneTy::F64 {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let choose_b = match op {
            LaneBin::FAdd => return (x + y).to_bits(),
            LaneBin::FSub => return (x - y).to_bits(),
            LaneBin::FMul => return (x * y).to_bits(),
            LaneBin::FDiv => return (x / y).to_bits(),
            LaneBin::FMax => x < y,
            _ => y < x,
        };
        return if choose_b || (y.is_nan() && !x.is_nan()) { b } else { a };
    }
    let (a, b) = (a as u32, b as u32);
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let (i, j) = (a as i32, b as i32);
    let low = match op {
        LaneBin::BitsPair => return Bits::from(a) << 32 | Bits::from(b),
        LaneBin::FAdd => (x + y).to_bits(),
        LaneBin::FSub => (x - y).to_bits(),
        LaneBin::FMul => (x * y).to_bits(),
        LaneBin::FDiv => (x / y).to_bits(),
        LaneBin::FMax => extreme(a, b, x < y),
        LaneBin::FMin => extreme(a, b, y < x),
        LaneBin::IAdd => a.wrapping_add(b),
        LaneBin::ISub => a.wrapping_sub(b),
        LaneBin::IMul => a.wrapping_mul(b),
        LaneBin::IDiv => {
            if j == 0 {
                0
            } else {
                i.wrapping_div(j) as u32
            }
        }
        LaneBin::IRem => {
            if j == 0 {
                0
            } else {
                i.wrapping_rem(j) as u32
            }
        }
        LaneBin::IMax => i.max(j) as u32,
        LaneBin::IMin => i.min(j) as u32,
        LaneBin::IAnd | LaneBin::BAnd => a & b,
        LaneBin::IOr | LaneBin::BOr => a | b,
        LaneBin::IXor | LaneBin::BXor => a ^ b,
        LaneBin::IShl => a.wrapping_shl(b),
        LaneBin::IShrU => a.wrapping_shr(b),
        LaneBin::IShrS => i.wrapping_shr(b) as u32,
    };
    low.into()
}

/// `b` if chosen, else `a`, and the operand that is NaN if there is one.
#[inline]
fn extreme(a: u32, b: u32, choose_b: bool) -> u32 {
    if choose_b || (f32::from_bits(b).is_nan() && !f32::from_bits(a).is_nan()) { b } else { a }
}

/// A comparison of operands of type `ty`.
#[inline]
pub fn cmp(op: LaneCmp, ty: LaneTy, a: Bits, b: Bits) -> Bits {
    // Widening to f64 is exact, so it keeps every order.
    let real = |v: Bits| if ty == LaneTy::F64 { f64::from_bits(v) } else { f32::from_bits(v as u32).into() };
    let (x, y): (f64, f64) = (real(a), real(b));
    let (i, j) = (a as u32 as i32, b as u32 as i32);
    bit(match op {
        LaneCmp::FEq => x == y,
        LaneCmp::FNe => x != y,
        LaneCmp::FLt => x < y,
        LaneCmp::FLe => x <= y,
        LaneCmp::FGt => x > y,
        LaneCmp::FGe => x >= y,
        LaneCmp::IEq => i == j,
        LaneCmp::INe => i != j,
        LaneCmp::ILt => i < j,
        LaneCmp::ILe => i <= j,
        LaneCmp::IGt => i > j,
        LaneCmp::IGe => i >= j,
        LaneCmp::ULt => (a as u32) < b as u32,
    })
}

/// `a * b + c` with one rounding, of operands of type `ty`.
#[inline]
pub fn fma(ty: LaneTy, a: Bits, b: Bits, c: Bits) -> Bits {
    if ty == LaneTy::F64 {
        return f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits();
    }
    let f = |v: Bits| f32::from_bits(v as u32);
    f(a).mul_add(f(b), f(c)).to_bits().into()
}

/// Any op, given the types and values of its operands by id. An [`LaneOp::Arg`] has no value of its own and gives 0.
#[inline]
pub fn op(op: &LaneOp, ty: impl Fn(LaneId) -> LaneTy, of: impl Fn(LaneId) -> Bits) -> Bits {
    match *op {
        LaneOp::ConstF(b) => b.into(),
        LaneOp::ConstD(b) => b,
        LaneOp::ConstI(i) => word(i),
        LaneOp::ConstB(b) => bit(b),
        LaneOp::Arg(..) => 0,
        LaneOp::Un(o, a) => un(o, ty(a), of(a)),
        LaneOp::Bin(o, a, b) => bin(o, ty(a), of(a), of(b)),
        LaneOp::Cmp(o, a, b) => cmp(o, ty(a), of(a), of(b)),
        LaneOp::Fma(a, b, c) => fma(ty(a), of(a), of(b), of(c)),
        LaneOp::Select(c, a, b) => {
            if of(c) != 0 {
                of(a)
            } else {
                of(b)
            }
        }
    }
}

/// The value of a constant.
pub fn constant(o: &LaneOp) -> Bits {
    op(o, |_| LaneTy::I32, |_| 0)
}

/// Any op on 16 lanes.
#[inline]
pub fn op16<'a>(o: &LaneOp, ty: impl Fn(LaneId) -> LaneTy, of: impl Fn(LaneId) -> &'a Lanes) -> Lanes {
    std::array::from_fn(|l| op(o, &ty, |v| of(v)[l]))
}

/// The value `result` of a lane program on the given arguments.
pub fn run(p: &LaneProgram, args: &[Bits], result: LaneId) -> Bits {
    Eval::default().run(p, args, result)
}

/// Runs lane programs many times without allocating each time.
#[derive(Default)]
pub struct Eval {
    values: Vec<Bits>,
}

impl Eval {
    /// The value `result` of a lane program on the given arguments.
    pub fn run(&mut self, p: &LaneProgram, args: &[Bits], result: LaneId) -> Bits {
        self.values.clear();
        for o in &p.ops {
            let v = match *o {
                LaneOp::Arg(n, _) => args.get(n as usize).copied().unwrap_or(0),
                ref o => op(o, |a| p.types[a.0 as usize], |a| self.values[a.0 as usize]),
            };
            self.values.push(v);
        }
        self.values[result.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LaneTy::{F32, F64, I32};

    const NAN: Bits = 0x7fc0_0000;

    fn f(x: f32) -> Bits {
        x.to_bits().into()
    }

    #[test]
    fn extremes_propagate_nan_and_keep_the_first_on_ties() {
        for o in [LaneBin::FMax, LaneBin::FMin] {
            assert_eq!(bin(o, F32, NAN, f(1.0)), NAN);
            assert_eq!(bin(o, F32, f(1.0), NAN), NAN);
            assert_eq!(bin(o, F32, 0x8000_0000, 0), 0x8000_0000);
            assert_eq!(bin(o, F32, 0, 0x8000_0000), 0);
            let nan = f64::NAN.to_bits();
            assert_eq!(bin(o, F64, nan, 1f64.to_bits()), nan);
            assert_eq!(bin(o, F64, 1f64.to_bits(), nan), nan);
            assert_eq!(bin(o, F64, 1 << 63, 0), 1 << 63);
        }
        assert_eq!(bin(LaneBin::FMax, F32, f(1.0), f(2.0)), f(2.0));
        assert_eq!(bin(LaneBin::FMin, F32, f(1.0), f(2.0)), f(1.0));
        assert_eq!(bin(LaneBin::FMin, F64, 1f64.to_bits(), 2f64.to_bits()), 1f64.to_bits());
    }

    #[test]
    fn integer_division_is_total() {
        let bin = |o, a: i32, b: i32| bin(o, I32, word(a), word(b)) as u32 as i32;
        assert_eq!(bin(LaneBin::IDiv, 7, 0), 0);
        assert_eq!(bin(LaneBin::IRem, 7, 0), 0);
        assert_eq!(bin(LaneBin::IDiv, i32::MIN, -1), i32::MIN);
        assert_eq!(bin(LaneBin::IRem, i32::MIN, -1), 0);
        assert_eq!(bin(LaneBin::IRem, -7, 2), -1);
        assert_eq!(bin(LaneBin::IShl, 1, 33), 2);
        assert_eq!(bin(LaneBin::IShrS, i32::MIN, 31), -1);
    }

    #[test]
    fn conversions_saturate() {
        let to_i = |x: f64| {
            let (narrow, wide) = (un(LaneUn::FToI, F32, f(x as f32)), un(LaneUn::FToI, F64, x.to_bits()));
            assert_eq!(narrow, wide, "{x}");
            wide as u32 as i32
        };
        assert_eq!(to_i(f64::NAN), 0);
        assert_eq!(to_i(1e30), i32::MAX);
        assert_eq!(to_i(-1e30), i32::MIN);
        assert_eq!(to_i(-1.9), -1);
        assert_eq!(un(LaneUn::FRoundEven, F32, f(2.5)), f(2.0));
        assert_eq!(un(LaneUn::FRoundEven, F64, 2.5f64.to_bits()), 2f64.to_bits());
    }

    #[test]
    fn doubles_come_apart_and_together() {
        let x = std::f64::consts::PI.to_bits();
        let (hi, lo) = (un(LaneUn::BitsHi, F64, x), un(LaneUn::BitsLo, F64, x));
        assert_eq!((hi, lo), (0x4009_21fb, 0x5444_2d18));
        assert_eq!(bin(LaneBin::BitsPair, I32, hi, lo), x);
        assert_eq!(un(LaneUn::UToD, I32, word(-1)), 4_294_967_295f64.to_bits());
        assert_eq!(un(LaneUn::DToF, F64, 1e-46f64.to_bits()), 0);
    }
}
