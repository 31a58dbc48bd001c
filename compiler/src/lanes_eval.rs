//! Evaluates lane ops exactly as their documentation in `lanes.rs` says: the meaning that every back end must match.
//!
//! In: an op and the bits of its operands. Out: the bits of its result. A lane value is 32 bits whatever its type: the
//! bits of an `F32` or `I32`, 0 or 1 for a `Bool`. The kernel interpreter and the tests of op bodies share this file.

use crate::lanes::{LANES, LaneBin, LaneCmp, LaneId, LaneOp, LaneProgram, LaneUn};

/// The bits of 16 lanes.
pub type Lanes = [u32; LANES];

const fn bit(b: bool) -> u32 {
    if b { 1 } else { 0 }
}

/// One operand.
#[inline]
pub fn un(op: LaneUn, a: u32) -> u32 {
    let (f, i) = (f32::from_bits(a), a as i32);
    match op {
        LaneUn::FNeg => a ^ 0x8000_0000,
        LaneUn::FAbs => a & 0x7fff_ffff,
        LaneUn::FSqrt => f.sqrt().to_bits(),
        LaneUn::FFloor => f.floor().to_bits(),
        LaneUn::FRoundEven => f.round_ties_even().to_bits(),
        LaneUn::BNot => bit(a == 0),
        LaneUn::IToF => (i as f32).to_bits(),
        LaneUn::UToF => (a as f32).to_bits(),
        LaneUn::FToI => (f as i32) as u32,
        LaneUn::BitsFToI | LaneUn::BitsIToF | LaneUn::BToI => a,
        LaneUn::BToF => f32::to_bits(if a != 0 { 1.0 } else { 0.0 }),
        LaneUn::IToB => bit(a != 0),
    }
}

/// Two operands.
#[inline]
pub fn bin(op: LaneBin, a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let (i, j) = (a as i32, b as i32);
    match op {
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
    }
}

/// `b` if chosen, else `a`, and the operand that is NaN if there is one.
#[inline]
fn extreme(a: u32, b: u32, choose_b: bool) -> u32 {
    if choose_b || (f32::from_bits(b).is_nan() && !f32::from_bits(a).is_nan()) { b } else { a }
}

/// A comparison.
#[inline]
pub fn cmp(op: LaneCmp, a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let (i, j) = (a as i32, b as i32);
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
        LaneCmp::ULt => a < b,
    })
}

/// Any op, given its operands by id. An [`LaneOp::Arg`] has no value of its own and gives 0.
#[inline]
pub fn op(op: &LaneOp, of: impl Fn(LaneId) -> u32) -> u32 {
    match *op {
        LaneOp::ConstF(b) => b,
        LaneOp::ConstI(i) => i as u32,
        LaneOp::ConstB(b) => bit(b),
        LaneOp::Arg(..) => 0,
        LaneOp::Un(o, a) => un(o, of(a)),
        LaneOp::Bin(o, a, b) => bin(o, of(a), of(b)),
        LaneOp::Cmp(o, a, b) => cmp(o, of(a), of(b)),
        LaneOp::Fma(a, b, c) => f32::from_bits(of(a)).mul_add(f32::from_bits(of(b)), f32::from_bits(of(c))).to_bits(),
        LaneOp::Select(c, a, b) => {
            if of(c) != 0 {
                of(a)
            } else {
                of(b)
            }
        }
    }
}

/// Any op on 16 lanes.
#[inline]
pub fn op16<'a>(o: &LaneOp, of: impl Fn(LaneId) -> &'a Lanes) -> Lanes {
    std::array::from_fn(|l| op(o, |v| of(v)[l]))
}

/// The value `result` of a lane program on the given arguments.
pub fn run(p: &LaneProgram, args: &[u32], result: LaneId) -> u32 {
    Eval::default().run(p, args, result)
}

/// Runs lane programs many times without allocating each time.
#[derive(Default)]
pub struct Eval {
    values: Vec<u32>,
}

impl Eval {
    /// The value `result` of a lane program on the given arguments.
    pub fn run(&mut self, p: &LaneProgram, args: &[u32], result: LaneId) -> u32 {
        self.values.clear();
        for o in &p.ops {
            let v = match *o {
                LaneOp::Arg(n, _) => args.get(n as usize).copied().unwrap_or(0),
                ref o => op(o, |a| self.values[a.0 as usize]),
            };
            self.values.push(v);
        }
        self.values[result.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: u32 = 0x7fc0_0000;

    #[test]
    fn extremes_propagate_nan_and_keep_the_first_on_ties() {
        let one = 1f32.to_bits();
        for o in [LaneBin::FMax, LaneBin::FMin] {
            assert_eq!(bin(o, NAN, one), NAN);
            assert_eq!(bin(o, one, NAN), NAN);
            assert_eq!(bin(o, 0x8000_0000, 0), 0x8000_0000);
            assert_eq!(bin(o, 0, 0x8000_0000), 0);
        }
        assert_eq!(bin(LaneBin::FMax, one, 2f32.to_bits()), 2f32.to_bits());
        assert_eq!(bin(LaneBin::FMin, one, 2f32.to_bits()), one);
    }

    #[test]
    fn integer_division_is_total() {
        assert_eq!(bin(LaneBin::IDiv, 7, 0), 0);
        assert_eq!(bin(LaneBin::IRem, 7, 0), 0);
        assert_eq!(bin(LaneBin::IDiv, i32::MIN as u32, u32::MAX), i32::MIN as u32);
        assert_eq!(bin(LaneBin::IRem, i32::MIN as u32, u32::MAX), 0);
        assert_eq!(bin(LaneBin::IRem, -7i32 as u32, 2) as i32, -1);
        assert_eq!(bin(LaneBin::IShl, 1, 33), 2);
        assert_eq!(bin(LaneBin::IShrS, i32::MIN as u32, 31), u32::MAX);
    }

    #[test]
    fn conversions_saturate() {
        assert_eq!(un(LaneUn::FToI, NAN), 0);
        assert_eq!(un(LaneUn::FToI, 1e30f32.to_bits()), i32::MAX as u32);
        assert_eq!(un(LaneUn::FToI, (-1e30f32).to_bits()), i32::MIN as u32);
        assert_eq!(un(LaneUn::FToI, (-1.9f32).to_bits()), -1i32 as u32);
        assert_eq!(un(LaneUn::FRoundEven, 2.5f32.to_bits()), 2f32.to_bits());
    }
}
