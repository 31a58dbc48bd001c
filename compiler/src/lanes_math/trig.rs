//! `sin` and `cos`: `x = n pi / 2 + r` to far more bits than a float has, then the odd or even polynomial of `r` and the sign of
//! the quadrant.

use super::{By, LaneBin, LaneBuilder, LaneCmp, LaneId, LaneTy, LaneUn, huge};

pub(super) struct Table {
    /// `2 / pi`.
    two_over_pi: f64,
    /// `pi / 2` to three floats.
    pub(super) pio2: [f64; 3],
    /// Above this the reduction with `pi / 2` would lose bits and the one with the digits of `2 / pi` takes over.
    large: f64,
    /// `(sin r / r - 1) / r^2` in `r^2`, |r| <= pi / 4.
    sin: &'static [f64],
    /// `(cos r - 1 + r^2 / 2) / r^4` in `r^2`.
    cos: &'static [f64],
}

pub(super) const TABLE: By<Table> = By {
    single: Table {
        two_over_pi: f32::from_bits(0x3f22_f983) as f64,
        pio2: [
            f32::from_bits(0x3fc9_0fdb) as f64,
            f32::from_bits(0xb33b_bd2e) as f64,
            f32::from_bits(0xa6f7_2ced) as f64,
        ],
        large: 65_536.0,
        sin: &[
            f32::from_bits(0xbe2a_aaab) as f64,
            f32::from_bits(0x3c08_8884) as f64,
            f32::from_bits(0xb950_0799) as f64,
            f32::from_bits(0x3636_5f67) as f64,
        ],
        cos: &[
            f32::from_bits(0x3d2a_aaa5) as f64,
            f32::from_bits(0xbab6_0611) as f64,
            f32::from_bits(0x37cc_f19d) as f64,
        ],
    },
    double: Table {
        two_over_pi: f64::from_bits(0x3fe4_5f30_6dc9_c883),
        pio2: [
            f64::from_bits(0x3ff9_21fb_5444_2d18),
            f64::from_bits(0x3c91_a626_3314_5c07),
            f64::from_bits(0xb91f_1976_b7ed_8fbc),
        ],
        large: 1_048_576.0,
        sin: &[
            f64::from_bits(0xbfc5_5555_5555_5547),
            f64::from_bits(0x3f81_1111_1110_f5f0),
            f64::from_bits(0xbf2a_01a0_19bb_d1e9),
            f64::from_bits(0x3ec7_1de3_52c0_f0fe),
            f64::from_bits(0xbe5a_e5e2_9558_0724),
            f64::from_bits(0x3de5_d80e_ba22_3dda),
        ],
        cos: &[
            f64::from_bits(0x3fa5_5555_5555_554a),
            f64::from_bits(0xbf56_c16c_16c1_4ebe),
            f64::from_bits(0x3efa_01a0_19c6_a5e8),
            f64::from_bits(0xbe92_7e4f_7d4a_4561),
            f64::from_bits(0x3e21_ee9c_69d3_bddd),
            f64::from_bits(0xbda8_f9ac_bfc4_5809),
        ],
    },
};

/// Sine, for every finite argument.
pub fn sin(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let y = circular(k, x, 0);
    let tiny = k.fcmpc(LaneCmp::FEq, x, 0.0);
    k.select(tiny, x, y)
}

/// Cosine, for every finite argument.
pub fn cos(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    circular(k, x, 1)
}

/// `sin(x + quarter * pi / 2)`.
fn circular(k: &mut dyn LaneBuilder, x: LaneId, quarter: i32) -> LaneId {
    let t = TABLE.of(k, x);
    let a = k.fabs(x);
    let (nr, nlo, ni) = reduce_small(k, x);
    let wide = k.lane_ty(x) == LaneTy::F64;
    let (lr, llo, li) = if wide { huge::reduce_double(k, x) } else { huge::reduce_single(k, x) };
    let small = k.fcmpc(LaneCmp::FLt, a, t.large);
    let r = k.select(small, nr, lr);
    let lo = k.select(small, nlo, llo);
    let i = k.select(small, ni, li);

    let r2 = k.fmul(r, r);
    // sin(r + lo) = r + (r^3 q + lo) to first order.
    let q = k.horner(r2, t.sin);
    let r3 = k.fmul(r2, r);
    let s = k.fma(r3, q, lo);
    let s = k.fadd(r, s);
    // cos(r + lo) = 1 - (r^2 / 2 - (r^4 q - r lo)), the first subtraction exact in two parts.
    let q = k.horner(r2, t.cos);
    let r4 = k.fmul(r2, r2);
    let u = k.fmul(r4, q);
    let nr = k.fneg(r);
    let u = k.fma(nr, lo, u);
    let one = k.float_like(x, 1.0);
    let c = k.fmac(r2, -0.5, one);
    let d = k.fsub(one, c);
    let d = k.fmac(r2, -0.5, d);
    let u = k.fadd(u, d);
    let c = k.fadd(c, u);

    let i = k.iopc(LaneBin::IAdd, i, quarter);
    let odd = k.iopc(LaneBin::IAnd, i, 1);
    let odd = k.un(LaneUn::IToB, odd);
    let y = k.select(odd, c, s);
    let flip = k.iopc(LaneBin::IAnd, i, 2);
    let flip = k.iopc(LaneBin::IShl, flip, 30);
    let word = k.upper(y);
    let word = k.bin(LaneBin::IXor, word, flip);
    let y = k.with_upper(word, y);
    // Infinity and NaN: x - x is NaN for both, and 0 otherwise.
    let finite = k.fcmpc(LaneCmp::FLt, a, f64::INFINITY);
    k.select_c_not(finite, f64::NAN, y)
}

/// Cody and Waite: `r + lo` and the quadrant, for `|x|` below the table's `large`.
fn reduce_small(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId, LaneId) {
    let t = TABLE.of(k, x);
    let (n, i) = k.round_scaled(x, t.two_over_pi);
    let r0 = k.fmac(n, -t.pio2[0], x); // exact
    // n c = p + p_lo exactly, and r0 + p as a two-sum: r may cancel down to the size of p_lo.
    let p = k.fmulc(n, -t.pio2[1]);
    let np = k.fneg(p);
    let p_lo = k.fmac(n, -t.pio2[1], np);
    let r = k.fadd(r0, p);
    let v = k.fsub(r, r0);
    let back = k.fsub(r, v);
    let d0 = k.fsub(r0, back);
    let d1 = k.fsub(p, v);
    let lo = k.fadd(d0, d1);
    let lo = k.fadd(lo, p_lo);
    let lo = k.fmac(n, -t.pio2[2], lo);
    let s = k.fadd(r, lo);
    let d = k.fsub(r, s);
    let lo = k.fadd(d, lo);
    (s, lo, i)
}
