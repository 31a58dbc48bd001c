//! `pow` with the special cases of IEEE 754: `e^(y log |x|)` with the logarithm and the product in pairs of floats.

use super::exp::{LN2, exp_sum};
use super::{By, LaneBin, LaneBuilder, LaneCmp, LaneId, LaneUn, log};

struct Table {
    /// Of the series `(log m - 2 s) / s^3` in `s^2`, with `s = (m - 1) / (m + 1)`: the first coefficient as a pair, where one
    /// float is too coarse for it.
    first: Option<(f64, f64)>,
    /// The others.
    rest: &'static [f64],
    /// Where the exponential is surely 0 or infinite.
    size: f64,
}

const TABLE: By<Table> = By {
    single: Table {
        first: None,
        rest: &[
            f32::from_bits(0x3f2a_aaaa) as f64,
            f32::from_bits(0x3ecc_cd3e) as f64,
            f32::from_bits(0x3e92_1c54) as f64,
            f32::from_bits(0x3e71_7eea) as f64,
        ],
        size: 200.0,
    },
    double: Table {
        first: Some((f64::from_bits(0x3fe5_5555_5555_5555), f64::from_bits(0x3c85_5555_5555_5555))),
        rest: &[
            f64::from_bits(0x3fd9_9999_9999_9b33),
            f64::from_bits(0x3fd2_4924_9245_77fe),
            f64::from_bits(0x3fcc_71c7_22de_3da1),
            f64::from_bits(0x3fc7_45ce_9b6a_22b5),
            f64::from_bits(0x3fc3_b1ef_466a_a54c),
            f64::from_bits(0x3fc0_f7f2_0341_281d),
            f64::from_bits(0x3fc0_e4a3_4927_9d9f),
        ],
        size: 1100.0,
    },
};

/// `x^y`.
pub fn pow(k: &mut dyn LaneBuilder, x: LaneId, y: LaneId) -> LaneId {
    let a = k.fabs(x);
    let (hi, lo) = log_pair(k, a);
    // log 0 = -inf, log inf = inf and log NaN = NaN carry the limits through the product.
    let zero = k.fcmpc(LaneCmp::FEq, a, 0.0);
    let hi = k.select_c(zero, f64::NEG_INFINITY, hi);
    let finite = k.fcmpc(LaneCmp::FLt, a, f64::INFINITY);
    let hi = k.select(finite, hi, a);
    let p = k.fmul(hi, y);
    let np = k.fneg(p);
    let p_lo = k.fma(hi, y, np);
    let p_lo = k.fma(lo, y, p_lo);
    // Past the range of the exponential the low part has no meaning (and may be NaN).
    let size = k.fabs(p);
    let inside = k.fcmpc(LaneCmp::FLt, size, TABLE.of(k, x).size);
    let p_lo = k.select_c_not(inside, 0.0, p_lo);
    let r = exp_sum(k, p, p_lo);

    // |x| = 1 gives 1 for every y, infinite too (the product above is NaN there).
    let unit = k.fcmpc(LaneCmp::FEq, a, 1.0);
    let y_nan = k.cmp(LaneCmp::FNe, y, y);
    let one = k.float_like(x, 1.0);
    let r1 = k.select(y_nan, y, one);
    let r = k.select(unit, r1, r);

    // A negative base: NaN unless y is an integer, and the sign of an odd one. The largest floats are even integers.
    let fl = k.un(LaneUn::FFloor, y);
    let integer = k.cmp(LaneCmp::FEq, fl, y);
    let half = k.fmulc(y, 0.5);
    let fl = k.un(LaneUn::FFloor, half);
    let halves = k.cmp(LaneCmp::FNe, fl, half);
    let odd = k.bin(LaneBin::BAnd, integer, halves);
    let xb = k.upper(x);
    let sign = k.iopc(LaneBin::IAnd, xb, i32::MIN);
    let none = k.i32(0);
    let sign = k.select(odd, sign, none);
    let rb = k.upper(r);
    let rb = k.bin(LaneBin::IOr, rb, sign);
    let r = k.with_upper(rb, r);
    let negative = k.fcmpc(LaneCmp::FLt, x, 0.0);
    let fraction = k.un(LaneUn::BNot, integer);
    let bad = k.bin(LaneBin::BAnd, negative, fraction);
    // -inf to a fraction is a limit, not an error; and NaN in y is covered by the product.
    let bad = k.bin(LaneBin::BAnd, bad, finite);
    // -0 to a fraction is 0 or inf: `x < 0` is already false there.
    let r = k.select_c(bad, f64::NAN, r);

    // x^0 = 1 and 1^y = 1 whatever the other is.
    let y0 = k.fcmpc(LaneCmp::FEq, y, 0.0);
    let x1 = k.fcmpc(LaneCmp::FEq, x, 1.0);
    let one = k.bin(LaneBin::BOr, y0, x1);
    k.select_c(one, 1.0, r)
}

/// `log a` as an unevaluated sum, relative error about 2^-31 in f32 and 2^-64 in f64, for positive finite `a`.
fn log_pair(k: &mut dyn LaneBuilder, a: LaneId) -> (LaneId, LaneId) {
    let (m, e) = log::split(k, a);
    let f = k.faddc(m, -1.0); // exact
    let d = k.faddc(m, 1.0);
    let s = k.bin(LaneBin::FDiv, f, d);
    // s_lo: the division's remainder; f - 2 s - s f is f - s (2 + f) without rounding.
    let ns = k.fneg(s);
    let t = k.fmac(s, -2.0, f);
    let t = k.fma(ns, f, t);
    let s_lo = k.bin(LaneBin::FDiv, t, d);
    let z = k.fmul(s, s);
    let nz = k.fneg(z);
    let z_lo = k.fma(s, s, nz);
    let s2 = k.fadd(s, s);
    let z_lo = k.fma(s2, s_lo, z_lo);
    // Cube as a pair.
    let c = k.fmul(z, s);
    let nc = k.fneg(c);
    let c_lo = k.fma(z, s, nc);
    let c_lo = k.fma(z, s_lo, c_lo);
    let c_lo = k.fma(z_lo, s, c_lo);
    let t = TABLE.of(k, a);
    let rest = k.horner(z, t.rest);
    let (q, q_lo) = match t.first {
        None => (rest, None),
        Some((hi, lo)) => {
            let w = k.fmul(z, rest);
            let first = k.float_like(a, hi);
            let (q, q_lo) = fast_two_sum(k, first, w);
            (q, Some(k.faddc(q_lo, lo)))
        }
    };
    // log m = 2 s + (2 s_lo + c_lo q + c q_lo) + c q, with the rounding of c q kept too.
    let w = k.fmul(c, q);
    let nw = k.fneg(w);
    let mut w_lo = k.fma(c, q, nw);
    w_lo = k.fma(c_lo, q, w_lo);
    if let Some(q_lo) = q_lo {
        w_lo = k.fma(c, q_lo, w_lo);
    }
    let w_lo = k.fmac(s_lo, 2.0, w_lo);
    let (m_hi, m_lo) = fast_two_sum(k, s2, w);
    let m_lo = k.fadd(m_lo, w_lo);
    // + e ln 2, which is 0 or larger than the log of m.
    let ln2 = LN2.of(k, a);
    let big = k.fmulc(e, ln2.hi);
    let nbig = k.fneg(big);
    let big_lo = k.fmac(e, ln2.hi, nbig);
    let hi = k.fadd(big, m_hi);
    let d = k.fsub(hi, big);
    let back = k.fsub(hi, d);
    let e0 = k.fsub(big, back);
    let e1 = k.fsub(m_hi, d);
    let lo = k.fadd(e0, e1);
    let lo = k.fadd(lo, big_lo);
    let lo = k.fmac(e, ln2.lo, lo);
    let lo = k.fadd(lo, m_lo);
    fast_two_sum(k, hi, lo)
}

/// `a + b` and what it lost, for |a| >= |b|.
fn fast_two_sum(k: &mut dyn LaneBuilder, a: LaneId, b: LaneId) -> (LaneId, LaneId) {
    let s = k.fadd(a, b);
    let d = k.fsub(s, a);
    let lo = k.fsub(b, d);
    (s, lo)
}
