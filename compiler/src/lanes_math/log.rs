//! `log` and `log1p`: the exponent apart, a significand in [sqrt 1/2, sqrt 2), a polynomial in its distance to 1.

use super::exp::{LN2_HI, LN2_LO};
use super::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneUn};

/// Bits of sqrt 1/2.
pub(super) const SQRT_HALF: i32 = 0x3f35_04f3;

/// `(log(1 + f) - f + f^2 / 2) / f^3`.
const LOG: [f32; 9] = [
    f32::from_bits(0x3eaa_aaa4),
    f32::from_bits(0xbe80_0003),
    f32::from_bits(0x3e4c_d25b),
    f32::from_bits(0xbe2a_ae27),
    f32::from_bits(0x3e11_9bb4),
    f32::from_bits(0xbdfe_1105),
    f32::from_bits(0x3df3_7836),
    f32::from_bits(0xbdef_1e09),
    f32::from_bits(0x3d8a_2bd0),
];

/// Natural logarithm; -inf at 0, NaN below.
pub fn log(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let (m, e) = split(k, x);
    let f = k.faddc(m, -1.0);
    let y = log_parts(k, f, e);
    specials(k, x, x, y)
}

/// `log(1 + x)`, exact near 0; -inf at -1, NaN below.
pub fn log1p(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let u = k.faddc(x, 1.0);
    let bits = k.to_bits(u);
    let i = k.iopc(LaneBin::ISub, bits, SQRT_HALF);
    let i = k.iopc(LaneBin::IShrS, i, 23);
    let e = k.un(LaneUn::IToF, i);
    // f = (1 + x) 2^-i - 1 with one rounding: 2^-i - 1 is exact where it matters.
    let back = k.iopc(LaneBin::IMin, i, 100);
    let zero = k.i32(0);
    let back = k.bin(LaneBin::ISub, zero, back);
    let s = k.pow2(back);
    let c = k.faddc(s, -1.0);
    let exact = k.fma(x, s, c);
    // For large x the 1 is below half an ulp and the split of u is as good; 2^-i would leave the normal range.
    let whole = k.iopc(LaneBin::IShl, i, 23);
    let m = k.bin(LaneBin::ISub, bits, whole);
    let m = k.from_bits(m);
    let far = k.faddc(m, -1.0);
    let large = k.fcmpc(LaneCmp::FGt, x, 1e15);
    let f = k.select(large, far, exact);
    let y = log_parts(k, f, e);
    let y = specials(k, u, x, y);
    let tiny = k.fcmpc(LaneCmp::FEq, x, 0.0);
    k.select(tiny, x, y)
}

/// Significand in [sqrt 1/2, sqrt 2) and exponent of a positive finite number.
pub(super) fn split(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId) {
    let sub = k.fcmpc(LaneCmp::FLt, x, f32::MIN_POSITIVE);
    let up = k.fmulc(x, 8_388_608.0);
    let x = k.select(sub, up, x);
    let bits = k.to_bits(x);
    let i = k.iopc(LaneBin::ISub, bits, SQRT_HALF);
    let i = k.iopc(LaneBin::IShrS, i, 23);
    let whole = k.iopc(LaneBin::IShl, i, 23);
    let m = k.bin(LaneBin::ISub, bits, whole);
    let m = k.from_bits(m);
    let zero = k.i32(0);
    let bias = k.i32(-23);
    let bias = k.select(sub, bias, zero);
    let i = k.bin(LaneBin::IAdd, i, bias);
    (m, k.un(LaneUn::IToF, i))
}

/// `log(1 + f) + e ln 2`.
fn log_parts(k: &mut dyn LaneBuilder, f: LaneId, e: LaneId) -> LaneId {
    let q = k.horner(f, &LOG);
    let f2 = k.fmul(f, f);
    let f3 = k.fmul(f2, f);
    let t = k.fmul(f3, q);
    let t = k.fmac(f2, -0.5, t);
    let t = k.fmac(e, LN2_LO, t);
    let y = k.fadd(f, t);
    k.fmac(e, LN2_HI, y)
}

/// The edges of the domain: `u` is the argument of the logarithm, `x` what it came from.
fn specials(k: &mut dyn LaneBuilder, u: LaneId, x: LaneId, y: LaneId) -> LaneId {
    // Infinity and NaN are their own logarithm.
    let finite = k.fcmpc(LaneCmp::FLt, x, f32::INFINITY);
    let y = k.select(finite, y, x);
    let nan = k.f32(f32::NAN);
    let zero = k.fcmpc(LaneCmp::FEq, u, 0.0);
    let edge = k.select_c(zero, f32::NEG_INFINITY, nan);
    let inside = k.fcmpc(LaneCmp::FGt, u, 0.0);
    k.select(inside, y, edge)
}
