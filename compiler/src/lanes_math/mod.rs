//! Transcendental functions as lane programs: the project's own, at most 2 ulp in f32 and f64, one operation order everywhere.
//!
//! In: a lane value of either float type. Out: lane ops appended to the builder. Every back end lowers the same ops, so the
//! bits agree. A function is one algorithm with a table of constants per type ([`By`]).
//! The methods are the textbook ones: Cody-Waite argument reduction in parts, minimax polynomials by the Remez exchange
//! (`minimax.py` prints every coefficient here), FMA error-free transformations where one float is not enough.
//! Subnormal arguments and results are exact to the same bound; NaN gives NaN; zeros keep their sign where odd.

mod erf;
mod exp;
mod huge;
mod log;
mod pow;
#[cfg(test)]
mod tests;
mod trig;

use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};

pub use erf::erf;
pub use exp::{exp, expm1, tanh};
pub use log::{log, log1p};
pub use pow::pow;
pub use trig::{cos, sin};

/// A function's constants for each float type.
struct By<T> {
    single: T,
    double: T,
}

impl<T> By<T> {
    /// The constants for the type of a value.
    fn of(&self, k: &dyn LaneBuilder, x: LaneId) -> &T {
        if k.lane_ty(x) == LaneTy::F64 { &self.double } else { &self.single }
    }
}

/// The layout of a float's upper word, which for f32 is all of it.
struct Layout {
    /// Where the exponent begins.
    exponent_at: i32,
    /// The upper word of 1.0.
    one: i32,
    /// Added and subtracted it rounds to an integer, which it leaves in the low bits of the lower word.
    shift: f64,
}

const LAYOUT: By<Layout> = By {
    single: Layout { exponent_at: 23, one: 0x3f80_0000, shift: 12_582_912.0 },
    double: Layout { exponent_at: 20, one: 0x3ff0_0000, shift: 6_755_399_441_055_744.0 },
};

/// Shorthands of this folder. Constants take the type of the value that they meet.
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
    fn fmulc(&mut self, a: LaneId, c: f64) -> LaneId {
        let c = self.float_like(a, c);
        self.fmul(a, c)
    }
    fn faddc(&mut self, a: LaneId, c: f64) -> LaneId {
        let c = self.float_like(a, c);
        self.fadd(a, c)
    }
    /// `a * c + b`.
    fn fmac(&mut self, a: LaneId, c: f64, b: LaneId) -> LaneId {
        let c = self.float_like(a, c);
        self.fma(a, c, b)
    }
    fn fneg(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::FNeg, a)
    }
    fn fabs(&mut self, a: LaneId) -> LaneId {
        self.un(LaneUn::FAbs, a)
    }
    /// `c0 + x (c1 + x (c2 + ..))`.
    fn horner(&mut self, x: LaneId, c: &[f64]) -> LaneId {
        let (last, rest) = c.split_last().unwrap_or((&0.0, &[]));
        let mut p = self.float_like(x, *last);
        for &c in rest.iter().rev() {
            let c = self.float_like(x, c);
            p = self.fma(p, x, c);
        }
        p
    }
    /// Comparison with a float constant.
    fn fcmpc(&mut self, op: LaneCmp, a: LaneId, c: f64) -> LaneId {
        let c = self.float_like(a, c);
        self.cmp(op, a, c)
    }
    /// Int op with a constant right operand.
    fn iopc(&mut self, op: LaneBin, a: LaneId, c: i32) -> LaneId {
        let c = self.i32(c);
        self.bin(op, a, c)
    }
    /// The word with sign and exponent.
    fn upper(&mut self, a: LaneId) -> LaneId {
        let wide = self.lane_ty(a) == LaneTy::F64;
        self.un(if wide { LaneUn::BitsHi } else { LaneUn::BitsFToI }, a)
    }
    /// `x` with another upper word.
    fn with_upper(&mut self, word: LaneId, x: LaneId) -> LaneId {
        if self.lane_ty(x) == LaneTy::F64 {
            let low = self.un(LaneUn::BitsLo, x);
            return self.bin(LaneBin::BitsPair, word, low);
        }
        self.un(LaneUn::BitsIToF, word)
    }
    /// `y`, whose sign bit is clear, with the sign bit of `x`.
    fn with_sign(&mut self, y: LaneId, x: LaneId) -> LaneId {
        let sign = self.upper(x);
        let sign = self.iopc(LaneBin::IAnd, sign, i32::MIN);
        let word = self.upper(y);
        let word = self.bin(LaneBin::IOr, word, sign);
        self.with_upper(word, y)
    }
    /// `2^n` in the type of `like`, for `n` in the range of normal numbers.
    fn pow2(&mut self, n: LaneId, like: LaneId) -> LaneId {
        let l = LAYOUT.of(self, like);
        let n = self.iopc(LaneBin::IShl, n, l.exponent_at);
        let n = self.iopc(LaneBin::IAdd, n, l.one);
        if self.lane_ty(like) == LaneTy::F64 {
            let zero = self.i32(0);
            return self.bin(LaneBin::BitsPair, n, zero);
        }
        self.un(LaneUn::BitsIToF, n)
    }
    /// The constant where the condition holds.
    fn select_c(&mut self, cond: LaneId, v: f64, r: LaneId) -> LaneId {
        let v = self.float_like(r, v);
        self.select(cond, v, r)
    }
    /// The constant where the condition does not hold.
    fn select_c_not(&mut self, cond: LaneId, v: f64, r: LaneId) -> LaneId {
        let v = self.float_like(r, v);
        self.select(cond, r, v)
    }
    /// The nearest integer of `x * scale` (|x * scale| < 2^22 in f32, 2^31 in f64), as a float and as an int.
    fn round_scaled(&mut self, x: LaneId, scale: f64) -> (LaneId, LaneId) {
        let shift_by = LAYOUT.of(self, x).shift;
        let shift = self.float_like(x, shift_by);
        let t = self.fmac(x, scale, shift);
        let n = self.fsub(t, shift);
        if self.lane_ty(x) == LaneTy::F64 {
            // The lower word of the shift is 0.
            return (n, self.un(LaneUn::BitsLo, t));
        }
        let bits = self.un(LaneUn::BitsFToI, t);
        (n, self.iopc(LaneBin::ISub, bits, (shift_by as f32).to_bits() as i32))
    }
}
