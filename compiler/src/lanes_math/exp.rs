//! `exp`, `expm1` and `tanh`: `x = n ln 2 + r` in two parts (Cody and Waite), a polynomial in `r`, and a scaling by `2^n`
//! in two exact halves, so that overflow gives infinity and results below the normal range round once.

use super::{By, LaneBin, LaneBuilder, LaneCmp, LaneId};

/// `1 / ln 2`, `ln 2` to twice the precision. `n * ln 2`'s high part and its difference to `x` are exact under FMA for every
/// `n` in reach.
pub(super) struct Ln2 {
    pub(super) inverse: f64,
    pub(super) hi: f64,
    pub(super) lo: f64,
}

pub(super) const LN2: By<Ln2> = By {
    single: Ln2 {
        inverse: f32::from_bits(0x3fb8_aa3b) as f64,
        hi: f32::from_bits(0x3f31_7218) as f64,
        lo: f32::from_bits(0xb102_e308) as f64,
    },
    double: Ln2 {
        inverse: f64::from_bits(0x3ff7_1547_652b_82fe),
        hi: f64::from_bits(0x3fe6_2e42_fefa_39ef),
        lo: f64::from_bits(0x3c7a_bc9e_3b39_803f),
    },
};

struct Table {
    /// Past these bounds the result rounds to 0 or is infinite, and `n` stays in reach of two halves.
    range: (f64, f64),
    /// `(e^r - 1 - r) / r^2` on |r| <= ln 2 / 2.
    exp: &'static [f64],
    /// The same, for a small relative error of `e^r - 1`.
    expm1: &'static [f64],
    /// From here down `e^x - 1` rounds to -1.
    expm1_low: f64,
    /// `(tanh x - x) / x^3` in `x^2`, |x| < 0.625.
    tanh: &'static [f64],
    /// From here on tanh rounds to 1.
    tanh_high: f64,
}

const TABLE: By<Table> = By {
    single: Table {
        range: (-104.0, 89.0),
        exp: &[
            f32::from_bits(0x3eff_fffe) as f64,
            f32::from_bits(0x3e2a_aa48) as f64,
            f32::from_bits(0x3d2a_ac7c) as f64,
            f32::from_bits(0x3c09_1d82) as f64,
            f32::from_bits(0x3ab5_112f) as f64,
        ],
        expm1: &[
            f32::from_bits(0x3f00_0000) as f64,
            f32::from_bits(0x3e2a_aaaa) as f64,
            f32::from_bits(0x3d2a_aa58) as f64,
            f32::from_bits(0x3c08_88c5) as f64,
            f32::from_bits(0x3ab6_b9a4) as f64,
            f32::from_bits(0x3950_197a) as f64,
        ],
        expm1_low: -18.0,
        tanh: &[
            f32::from_bits(0xbeaa_aa9a) as f64,
            f32::from_bits(0x3e08_83b4) as f64,
            f32::from_bits(0xbd5c_2224) as f64,
            f32::from_bits(0x3ca9_2b6b) as f64,
            f32::from_bits(0xbbbb_5609) as f64,
        ],
        tanh_high: 10.0,
    },
    double: Table {
        range: (-746.0, 710.0),
        exp: &[
            f64::from_bits(0x3fe0_0000_0000_000a),
            f64::from_bits(0x3fc5_5555_5555_54f8),
            f64::from_bits(0x3fa5_5555_5555_0755),
            f64::from_bits(0x3f81_1111_1112_8172),
            f64::from_bits(0x3f56_c16c_1846_fa2a),
            f64::from_bits(0x3f2a_01a0_128f_cb85),
            f64::from_bits(0x3efa_0199_944b_8725),
            f64::from_bits(0x3ec7_1df2_722e_75de),
            f64::from_bits(0x3e92_8ae3_4183_8c7f),
            f64::from_bits(0x3e5a_d7e8_403e_f3f0),
        ],
        expm1: &[
            f64::from_bits(0x3fe0_0000_0000_0000),
            f64::from_bits(0x3fc5_5555_5555_5559),
            f64::from_bits(0x3fa5_5555_5555_553e),
            f64::from_bits(0x3f81_1111_1110_f673),
            f64::from_bits(0x3f56_c16c_16c1_f282),
            f64::from_bits(0x3f2a_01a0_1b00_1f70),
            f64::from_bits(0x3efa_01a0_17b5_ae9d),
            f64::from_bits(0x3ec7_1ddf_7fe4_a9e3),
            f64::from_bits(0x3e92_7e53_6a0a_0775),
            f64::from_bits(0x3e5a_f5f6_8a67_08c4),
            f64::from_bits(0x3e21_ee88_08ff_4f5f),
        ],
        expm1_low: -38.0,
        tanh: &[
            f64::from_bits(0xbfd5_5555_5555_5503),
            f64::from_bits(0x3fc1_1111_1110_b0c9),
            f64::from_bits(0xbfab_a1ba_1b53_1155),
            f64::from_bits(0x3f96_64f4_781f_94a5),
            f64::from_bits(0xbf82_26e1_6da3_6f7f),
            f64::from_bits(0x3f6d_6cf3_caaa_127d),
            f64::from_bits(0xbf57_d696_a9fe_18ae),
            f64::from_bits(0x3f43_36ae_70be_60ff),
            f64::from_bits(0xbf2d_f7a9_1dbf_c752),
            f64::from_bits(0x3f14_3e18_8c34_803c),
            f64::from_bits(0xbef0_e3d8_49cb_3b24),
        ],
        tanh_high: 20.0,
    },
};

/// `e^x`.
pub fn exp(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let (lo, hi) = TABLE.of(k, x).range;
    let x = clamp(k, x, lo, hi);
    let (n, i) = k.round_scaled(x, LN2.of(k, x).inverse);
    let p = exp_reduced(k, x, n);
    scale(k, p, i)
}

/// `e^(hi + lo)` for |lo| far below |hi|; `hi` is clamped, `lo` must be finite.
pub(super) fn exp_sum(k: &mut dyn LaneBuilder, hi: LaneId, lo: LaneId) -> LaneId {
    let (t, ln2) = (TABLE.of(k, hi), LN2.of(k, hi));
    let x = clamp(k, hi, t.range.0, t.range.1);
    let (n, i) = k.round_scaled(x, ln2.inverse);
    let r = k.fmac(n, -ln2.hi, x);
    let r_lo = k.fmac(n, -ln2.lo, lo);
    let r1 = k.fadd(r, r_lo);
    // e^(r1 + lost) = e^r1 + lost to first order; `lost` is what the addition lost.
    let d = k.fsub(r, r1);
    let lost = k.fadd(d, r_lo);
    let q = k.horner(r1, t.exp);
    let r2 = k.fmul(r1, r1);
    let q = k.fma(r2, q, lost);
    let q = k.fadd(r1, q);
    let p = k.faddc(q, 1.0);
    scale(k, p, i)
}

/// `e^r` for `r = x - n ln 2`.
pub(super) fn exp_reduced(k: &mut dyn LaneBuilder, x: LaneId, n: LaneId) -> LaneId {
    let ln2 = LN2.of(k, x);
    let r = k.fmac(n, -ln2.hi, x);
    let r = k.fmac(n, -ln2.lo, r);
    let q = k.horner(r, TABLE.of(k, x).exp);
    let r2 = k.fmul(r, r);
    let p = k.fma(r2, q, r);
    k.faddc(p, 1.0)
}

/// `p * 2^i` for |i| at most twice the largest exponent: by `2^(i >> 1)` exactly, then by the rest.
fn scale(k: &mut dyn LaneBuilder, p: LaneId, i: LaneId) -> LaneId {
    let i1 = k.iopc(LaneBin::IShrS, i, 1);
    let i2 = k.bin(LaneBin::ISub, i, i1);
    let s1 = k.pow2(i1, p);
    let s2 = k.pow2(i2, p);
    let p = k.fmul(p, s1);
    k.fmul(p, s2)
}

/// `min(max(x, lo), hi)`, NaN kept.
fn clamp(k: &mut dyn LaneBuilder, x: LaneId, lo: f64, hi: f64) -> LaneId {
    let lo = k.float_like(x, lo);
    let x = k.bin(LaneBin::FMax, x, lo);
    let hi = k.float_like(x, hi);
    k.bin(LaneBin::FMin, x, hi)
}

/// `e^x - 1`, exact near 0.
pub fn expm1(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let (t, ln2) = (TABLE.of(k, x), LN2.of(k, x));
    let xc = clamp(k, x, t.expm1_low, t.range.1);
    let (n, i) = k.round_scaled(xc, ln2.inverse);
    let r_hi = k.fmac(n, -ln2.hi, xc);
    let r = k.fmac(n, -ln2.lo, r_hi);
    let d = k.fsub(r_hi, r);
    let r_lo = k.fmac(n, -ln2.lo, d);
    let q = k.horner(r, t.expm1);
    let r2 = k.fmul(r, r);
    let q = k.fma(r2, q, r_lo);
    let p = k.fadd(r, q);
    // 2^n (p + 1 - 2^-n): the scaling is exact, so this is one rounding of 2^n p + (2^n - 1).
    let m = k.iopc(LaneBin::IMin, i, 64);
    let zero = k.i32(0);
    let m = k.bin(LaneBin::ISub, zero, m);
    let back = k.pow2(m, p);
    let one = k.float_like(x, 1.0);
    let u = k.fsub(one, back);
    let p = k.fadd(p, u);
    let y = scale(k, p, i);
    let tiny = k.fcmpc(LaneCmp::FEq, x, 0.0);
    k.select(tiny, x, y)
}

/// Hyperbolic tangent: odd polynomial near 0, else `1 - 2 / (e^(2 |x|) + 1)`; with the sign of `x`.
pub fn tanh(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let t = TABLE.of(k, x);
    let a = k.fabs(x);
    let high = k.float_like(x, t.tanh_high);
    let a = k.bin(LaneBin::FMin, a, high);
    let z = k.fmul(a, a);
    let q = k.horner(z, t.tanh);
    let a3 = k.fmul(z, a);
    let near = k.fma(a3, q, a);

    let a2 = k.fadd(a, a);
    let (n, i) = k.round_scaled(a2, LN2.of(k, x).inverse);
    let p = exp_reduced(k, a2, n);
    let s = k.pow2(i, p);
    let one = k.float_like(x, 1.0);
    let d = k.fma(p, s, one);
    let two = k.float_like(x, 2.0);
    let t = k.bin(LaneBin::FDiv, two, d);
    let far = k.fsub(one, t);

    let small = k.fcmpc(LaneCmp::FLt, a, 0.625);
    let y = k.select(small, near, far);
    k.with_sign(y, x)
}
