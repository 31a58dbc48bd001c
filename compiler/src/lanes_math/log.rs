//! `log` and `log1p`: the exponent apart, a significand in [sqrt 1/2, sqrt 2), a polynomial in its distance to 1.

use super::exp::LN2;
use super::{By, LAYOUT, LaneBin, LaneBuilder, LaneCmp, LaneId, LaneTy, LaneUn};

struct Table {
    /// The upper word of sqrt 1/2.
    sqrt_half: i32,
    /// The least normal number, and a power of two that lifts every subnormal one above it.
    normal: f64,
    lift: i32,
    /// `(log(1 + f) - f + f^2 / 2) / f^3`.
    log: &'static [f64],
    /// From here on `1 + x` differs from `x` by less than its rounding.
    one_is_lost: f64,
}

const TABLE: By<Table> = By {
    single: Table {
        sqrt_half: 0x3f35_04f3,
        normal: f32::MIN_POSITIVE as f64,
        lift: 23,
        log: &[
            f32::from_bits(0x3eaa_aaa4) as f64,
            f32::from_bits(0xbe80_0003) as f64,
            f32::from_bits(0x3e4c_d25b) as f64,
            f32::from_bits(0xbe2a_ae27) as f64,
            f32::from_bits(0x3e11_9bb4) as f64,
            f32::from_bits(0xbdfe_1105) as f64,
            f32::from_bits(0x3df3_7836) as f64,
            f32::from_bits(0xbdef_1e09) as f64,
            f32::from_bits(0x3d8a_2bd0) as f64,
        ],
        one_is_lost: 1e15,
    },
    double: Table {
        sqrt_half: 0x3fe6_a09e,
        normal: f64::MIN_POSITIVE,
        lift: 52,
        log: &[
            f64::from_bits(0x3fd5_5555_5555_5533),
            f64::from_bits(0xbfcf_ffff_ffff_ef12),
            f64::from_bits(0x3fc9_9999_9999_f771),
            f64::from_bits(0xbfc5_5555_5566_b54c),
            f64::from_bits(0x3fc2_4924_922a_344d),
            f64::from_bits(0xbfbf_ffff_f2be_0984),
            f64::from_bits(0x3fbc_71c7_1e04_23e3),
            f64::from_bits(0xbfb9_999c_26f1_ea61),
            f64::from_bits(0x3fb7_45d3_f1b7_6b11),
            f64::from_bits(0xbfb5_550e_e170_a190),
            f64::from_bits(0x3fb3_b0b8_8d33_aba4),
            f64::from_bits(0xbfb2_4d75_3857_21ce),
            f64::from_bits(0x3fb1_1cd0_7c15_e20d),
            f64::from_bits(0xbfaf_ba18_261c_ad5b),
            f64::from_bits(0x3fad_059d_6840_6943),
            f64::from_bits(0xbfad_1204_6090_45f9),
            f64::from_bits(0x3fb0_a634_4280_1538),
            f64::from_bits(0xbfae_a06b_08da_8f5a),
            f64::from_bits(0x3f9a_c739_9473_2960),
        ],
        one_is_lost: 1e18,
    },
};

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
    let (t, at) = (TABLE.of(k, x), LAYOUT.of(k, x).exponent_at);
    let bits = k.upper(u);
    let i = k.iopc(LaneBin::ISub, bits, t.sqrt_half);
    let i = k.iopc(LaneBin::IShrS, i, at);
    let e = int_to_float(k, i, x);
    // f = (1 + x) 2^-i - 1 with one rounding: 2^-i - 1 is exact where it matters.
    let back = k.iopc(LaneBin::IMin, i, 100);
    let zero = k.i32(0);
    let back = k.bin(LaneBin::ISub, zero, back);
    let s = k.pow2(back, x);
    let c = k.faddc(s, -1.0);
    let exact = k.fma(x, s, c);
    // For large x the 1 is below half an ulp and the split of u is as good; 2^-i would leave the normal range.
    let whole = k.iopc(LaneBin::IShl, i, at);
    let m = k.bin(LaneBin::ISub, bits, whole);
    let m = k.with_upper(m, u);
    let far = k.faddc(m, -1.0);
    let large = k.fcmpc(LaneCmp::FGt, x, t.one_is_lost);
    let f = k.select(large, far, exact);
    let y = log_parts(k, f, e);
    let y = specials(k, u, x, y);
    let tiny = k.fcmpc(LaneCmp::FEq, x, 0.0);
    k.select(tiny, x, y)
}

/// Significand in [sqrt 1/2, sqrt 2) and exponent of a positive finite number.
pub(super) fn split(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId) {
    let (t, at) = (TABLE.of(k, x), LAYOUT.of(k, x).exponent_at);
    let sub = k.fcmpc(LaneCmp::FLt, x, t.normal);
    let up = k.fmulc(x, 2f64.powi(t.lift));
    let x = k.select(sub, up, x);
    let bits = k.upper(x);
    let i = k.iopc(LaneBin::ISub, bits, t.sqrt_half);
    let i = k.iopc(LaneBin::IShrS, i, at);
    let whole = k.iopc(LaneBin::IShl, i, at);
    let m = k.bin(LaneBin::ISub, bits, whole);
    let m = k.with_upper(m, x);
    let zero = k.i32(0);
    let bias = k.i32(-t.lift);
    let bias = k.select(sub, bias, zero);
    let i = k.bin(LaneBin::IAdd, i, bias);
    (m, int_to_float(k, i, x))
}

/// An int as a float of the type of `like`.
fn int_to_float(k: &mut dyn LaneBuilder, i: LaneId, like: LaneId) -> LaneId {
    let wide = k.lane_ty(like) == LaneTy::F64;
    k.un(if wide { LaneUn::IToD } else { LaneUn::IToF }, i)
}

/// `log(1 + f) + e ln 2`.
fn log_parts(k: &mut dyn LaneBuilder, f: LaneId, e: LaneId) -> LaneId {
    let ln2 = LN2.of(k, f);
    let q = k.horner(f, TABLE.of(k, f).log);
    let f2 = k.fmul(f, f);
    let f3 = k.fmul(f2, f);
    let t = k.fmul(f3, q);
    let t = k.fmac(f2, -0.5, t);
    let t = k.fmac(e, ln2.lo, t);
    let y = k.fadd(f, t);
    k.fmac(e, ln2.hi, y)
}

/// The edges of the domain: `u` is the argument of the logarithm, `x` what it came from.
fn specials(k: &mut dyn LaneBuilder, u: LaneId, x: LaneId, y: LaneId) -> LaneId {
    // Infinity and NaN are their own logarithm.
    let finite = k.fcmpc(LaneCmp::FLt, x, f64::INFINITY);
    let y = k.select(finite, y, x);
    let nan = k.float_like(x, f64::NAN);
    let zero = k.fcmpc(LaneCmp::FEq, u, 0.0);
    let edge = k.select_c(zero, f64::NEG_INFINITY, nan);
    let inside = k.fcmpc(LaneCmp::FGt, u, 0.0);
    k.select(inside, y, edge)
}
