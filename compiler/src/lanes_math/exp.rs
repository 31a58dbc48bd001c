//! `exp`, `expm1` and `tanh`: `x = n ln 2 + r` in two parts (Cody and Waite), a polynomial in `r`, and a scaling by `2^n`
//! in two exact halves, so that overflow gives infinity and results below 2^-126 round once.

use super::{LaneBin, LaneBuilder, LaneCmp, LaneId};

pub(super) const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);
/// `ln 2` to 48 bits. `n * LN2_HI` and its difference to `x` are exact under FMA for every `n` in reach.
pub(super) const LN2_HI: f32 = f32::from_bits(0x3f31_7218);
pub(super) const LN2_LO: f32 = f32::from_bits(0xb102_e308);

/// `(e^r - 1 - r) / r^2` on |r| <= ln 2 / 2.
const EXP: [f32; 5] = [
    f32::from_bits(0x3eff_fffe),
    f32::from_bits(0x3e2a_aa48),
    f32::from_bits(0x3d2a_ac7c),
    f32::from_bits(0x3c09_1d82),
    f32::from_bits(0x3ab5_112f),
];
/// The same, for a small relative error of `e^r - 1`.
const EXPM1: [f32; 6] = [
    f32::from_bits(0x3f00_0000),
    f32::from_bits(0x3e2a_aaaa),
    f32::from_bits(0x3d2a_aa58),
    f32::from_bits(0x3c08_88c5),
    f32::from_bits(0x3ab6_b9a4),
    f32::from_bits(0x3950_197a),
];
/// `(tanh x - x) / x^3` in `x^2`, |x| < 0.625.
const TANH: [f32; 5] = [
    f32::from_bits(0xbeaa_aa9a),
    f32::from_bits(0x3e08_83b4),
    f32::from_bits(0xbd5c_2224),
    f32::from_bits(0x3ca9_2b6b),
    f32::from_bits(0xbbbb_5609),
];

/// `e^x`.
pub fn exp(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    // Past these bounds the result is infinite or rounds to 0, and `n` stays in reach of two halves.
    let x = clamp(k, x, -104.0, 89.0);
    let (n, i) = k.round_scaled(x, LOG2_E);
    let p = exp_reduced(k, x, n);
    scale(k, p, i)
}

/// `e^(hi + lo)` for |lo| far below |hi|; `hi` is clamped, `lo` must be finite.
pub(super) fn exp_sum(k: &mut dyn LaneBuilder, hi: LaneId, lo: LaneId) -> LaneId {
    let x = clamp(k, hi, -104.0, 89.0);
    let (n, i) = k.round_scaled(x, LOG2_E);
    let r = k.fmac(n, -LN2_HI, x);
    let r_lo = k.fmac(n, -LN2_LO, lo);
    let r1 = k.fadd(r, r_lo);
    // e^(r1 + t) = e^r1 + t to first order; t is what the addition lost.
    let d = k.fsub(r, r1);
    let t = k.fadd(d, r_lo);
    let q = k.horner(r1, &EXP);
    let r2 = k.fmul(r1, r1);
    let q = k.fma(r2, q, t);
    let q = k.fadd(r1, q);
    let p = k.faddc(q, 1.0);
    scale(k, p, i)
}

/// `e^r` for `r = x - n ln 2`.
pub(super) fn exp_reduced(k: &mut dyn LaneBuilder, x: LaneId, n: LaneId) -> LaneId {
    let r = k.fmac(n, -LN2_HI, x);
    let r = k.fmac(n, -LN2_LO, r);
    let q = k.horner(r, &EXP);
    let r2 = k.fmul(r, r);
    let p = k.fma(r2, q, r);
    k.faddc(p, 1.0)
}

/// `p * 2^i` for |i| <= 252: by `2^(i >> 1)` exactly, then by the rest.
fn scale(k: &mut dyn LaneBuilder, p: LaneId, i: LaneId) -> LaneId {
    let i1 = k.iopc(LaneBin::IShrS, i, 1);
    let i2 = k.bin(LaneBin::ISub, i, i1);
    let s1 = k.pow2(i1);
    let s2 = k.pow2(i2);
    let p = k.fmul(p, s1);
    k.fmul(p, s2)
}

/// `min(max(x, lo), hi)`, NaN kept.
fn clamp(k: &mut dyn LaneBuilder, x: LaneId, lo: f32, hi: f32) -> LaneId {
    let lo = k.f32(lo);
    let x = k.bin(LaneBin::FMax, x, lo);
    let hi = k.f32(hi);
    k.bin(LaneBin::FMin, x, hi)
}

/// `e^x - 1`, exact near 0.
pub fn expm1(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    // Below -18 the result rounds to -1.
    let xc = clamp(k, x, -18.0, 89.0);
    let (n, i) = k.round_scaled(xc, LOG2_E);
    let r_hi = k.fmac(n, -LN2_HI, xc);
    let r = k.fmac(n, -LN2_LO, r_hi);
    let d = k.fsub(r_hi, r);
    let r_lo = k.fmac(n, -LN2_LO, d);
    let q = k.horner(r, &EXPM1);
    let r2 = k.fmul(r, r);
    let q = k.fma(r2, q, r_lo);
    let p = k.fadd(r, q);
    // 2^n (p + 1 - 2^-n): the scaling is exact, so this is one rounding of 2^n p + (2^n - 1).
    let m = k.iopc(LaneBin::IMin, i, 64);
    let zero = k.i32(0);
    let m = k.bin(LaneBin::ISub, zero, m);
    let back = k.pow2(m);
    let one = k.f32(1.0);
    let u = k.fsub(one, back);
    let p = k.fadd(p, u);
    let y = scale(k, p, i);
    let tiny = k.fcmpc(LaneCmp::FEq, x, 0.0);
    k.select(tiny, x, y)
}

/// Hyperbolic tangent: odd polynomial near 0, else `1 - 2 / (e^(2 |x|) + 1)`; with the sign of `x`.
pub fn tanh(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let a = k.fabs(x);
    let ten = k.f32(10.0);
    let a = k.bin(LaneBin::FMin, a, ten);
    let z = k.fmul(a, a);
    let q = k.horner(z, &TANH);
    let a3 = k.fmul(z, a);
    let near = k.fma(a3, q, a);

    let a2 = k.fadd(a, a);
    let (n, i) = k.round_scaled(a2, LOG2_E);
    let p = exp_reduced(k, a2, n);
    let s = k.pow2(i);
    let one = k.f32(1.0);
    let d = k.fma(p, s, one);
    let two = k.f32(2.0);
    let t = k.bin(LaneBin::FDiv, two, d);
    let far = k.fsub(one, t);

    let small = k.fcmpc(LaneCmp::FLt, a, 0.625);
    let y = k.select(small, near, far);
    k.with_sign(y, x)
}
