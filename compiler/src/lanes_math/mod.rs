//! Transcendental functions as lane programs: the project's own, at most 2 ulp in f32, one operation order everywhere.
//!
//! In: a lane value. Out: lane ops appended to the builder. Every back end lowers the same ops, so the bits agree.
//! The methods are the textbook ones: Cody-Waite argument reduction in parts, minimax polynomials by the Remez exchange
//! (`minimax.py` prints every coefficient here), FMA error-free transformations where one float is not enough.
//! Subnormal arguments and results are exact to the same bound; NaN gives NaN; zeros keep their sign where odd.

mod erf;
mod exp;
mod log;
mod pow;
#[cfg(test)]
mod tests;
mod trig;

use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneUn};

pub use erf::erf;
pub use exp::{exp, expm1, tanh};
pub use log::{log, log1p};
pub use pow::pow;
pub use trig::{cos, sin};

/// Shorthands of this folder.
impl dyn LaneBuilder + '_ {
    fn fadd(&mut self, a: LaneId, b: LaneId) -> LaneId {
        self.bin(LaneBin::FAdd, a, b)
    }
    fn fsub(&mut self, a: LaneId, b: LaneId) -> LaneId {
        self.bin(LaneBin::FSub, a, b)
    }
    fn fmul(&mut self, a: LaneId, b: LaneId) -> LaneId {
        self.bin(LaneBin::FMul, a, b)
    }
    fn fmulc(&mut self, a: LaneId, c: f32) -> LaneId {
        let c = self.f32(c);
        self.fmul(a, c)
    }
    fn faddc(&mut self, a: LaneId, c: f32) -> LaneId {
        let c = self.f32(c);
        self.fadd(a, c)
    }
    /// `a * c + b`.
    fn fmac(&mut self, a: LaneId, c: f32, b: LaneId) -> LaneId {
        let c = self.f32(c);
        self.fma(a, c, b)
    }
    fn fneg(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::FNeg, a)
    }
    fn fabs(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::FAbs, a)
    }
    /// `c0 + x (c1 + x (c2 + ..))`.
    fn horner(&mut self, x: LaneId, c: &[f32]) -> LaneId {
        let (last, rest) = c.split_last().unwrap_or((&0.0, &[]));
        let mut p = self.f32(*last);
        for &c in rest.iter().rev() {
            let c = self.f32(c);
            p = self.fma(p, x, c);
        }
        p
    }
    /// Comparison with a float constant.
    fn fcmpc(&mut self, op: LaneCmp, a: LaneId, c: f32) -> LaneId {
        let c = self.f32(c);
        self.cmp(op, a, c)
    }
    /// Int op with a constant right operand.
    fn iopc(&mut self, op: LaneBin, a: LaneId, c: i32) -> LaneId {
        let c = self.i32(c);
        self.bin(op, a, c)
    }
    #[allow(clippy::wrong_self_convention)]
    fn to_bits(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::BitsFToI, a)
    }
    #[allow(clippy::wrong_self_convention)]
    fn from_bits(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::BitsIToF, a)
    }
    /// `y`, whose sign bit is clear, with the sign bit of `x`.
    fn with_sign(&mut self, y: LaneId, x: LaneId) -> LaneId {
        let sign = self.to_bits(x);
        let sign = self.iopc(LaneBin::IAnd, sign, i32::MIN);
        let y = self.to_bits(y);
        let y = self.bin(LaneBin::IOr, y, sign);
        self.from_bits(y)
    }
    /// `2^n` for `-126 <= n <= 127`.
    fn pow2(&mut self, n: LaneId) -> LaneId {
        let n = self.iopc(LaneBin::IShl, n, 23);
        let n = self.iopc(LaneBin::IAdd, n, 0x3f80_0000);
        self.from_bits(n)
    }
    /// The constant where the condition holds.
    fn select_c(&mut self, cond: LaneId, v: f32, r: LaneId) -> LaneId {
        let v = self.f32(v);
        self.select(cond, v, r)
    }
    /// The constant where the condition does not hold.
    fn select_c_not(&mut self, cond: LaneId, v: f32, r: LaneId) -> LaneId {
        let v = self.f32(v);
        self.select(cond, r, v)
    }
    /// The nearest integer of `x * scale` (|x * scale| < 2^22), as a float and as an int.
    fn round_scaled(&mut self, x: LaneId, scale: f32) -> (LaneId, LaneId) {
        // Adding 1.5 * 2^23 leaves the integer in the low bits of the significand.
        const SHIFT: f32 = 12_582_912.0;
        let shift = self.f32(SHIFT);
        let t = self.fmac(x, scale, shift);
        let n = self.fsub(t, shift);
        let bits = self.to_bits(t);
        let i = self.iopc(LaneBin::ISub, bits, SHIFT.to_bits() as i32);
        (n, i)
    }
}
