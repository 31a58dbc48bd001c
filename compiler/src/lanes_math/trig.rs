//! `sin` and `cos`: `x = n pi / 2 + r` to about 2^-50, then the odd or even polynomial of `r` and the sign of the quadrant.

use super::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneUn};

const TWO_OVER_PI: f32 = f32::from_bits(0x3f22_f983);
/// `pi / 2` to 72 bits.
const PIO2: [f32; 3] = [f32::from_bits(0x3fc9_0fdb), f32::from_bits(0xb33b_bd2e), f32::from_bits(0xa6f7_2ced)];
/// 32 zeros, then `2 / pi` as a binary fraction.
const TWO_OVER_PI_BITS: [u32; 8] =
    [0, 0xa2f9_836e, 0x4e44_1529, 0xfc27_57d1, 0xf534_ddc0, 0xdb62_9599, 0x3c43_9041, 0xfe51_63ab];
/// Above this the reduction in floats would lose bits and the one in integers takes over.
const LARGE: f32 = 65_536.0;

/// `(sin r / r - 1) / r^2` in `r^2`, |r| <= pi / 4.
const SIN: [f32; 4] = [
    f32::from_bits(0xbe2a_aaab),
    f32::from_bits(0x3c08_8884),
    f32::from_bits(0xb950_0799),
    f32::from_bits(0x3636_5f67),
];
/// `(cos r - 1 + r^2 / 2) / r^4` in `r^2`.
const COS: [f32; 3] = [f32::from_bits(0x3d2a_aaa5), f32::from_bits(0xbab6_0611), f32::from_bits(0x37cc_f19d)];

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
    let a = k.fabs(x);
    let (nr, nlo, ni) = reduce_small(k, x);
    let (lr, llo, li) = reduce_large(k, x);
    let small = k.fcmpc(LaneCmp::FLt, a, LARGE);
    let r = k.select(small, nr, lr);
    let lo = k.select(small, nlo, llo);
    let i = k.select(small, ni, li);

    let r2 = k.fmul(r, r);
    // sin(r + lo) = r + (r^3 q + lo) to first order.
    let q = k.horner(r2, &SIN);
    let r3 = k.fmul(r2, r);
    let s = k.fma(r3, q, lo);
    let s = k.fadd(r, s);
    // cos(r + lo) = 1 - (r^2 / 2 - (r^4 q - r lo)), the first subtraction exact in two parts.
    let q = k.horner(r2, &COS);
    let r4 = k.fmul(r2, r2);
    let t = k.fmul(r4, q);
    let nr = k.fneg(r);
    let t = k.fma(nr, lo, t);
    let one = k.f32(1.0);
    let c = k.fmac(r2, -0.5, one);
    let d = k.fsub(one, c);
    let d = k.fmac(r2, -0.5, d);
    let t = k.fadd(t, d);
    let c = k.fadd(c, t);

    let i = k.iopc(LaneBin::IAdd, i, quarter);
    let odd = k.iopc(LaneBin::IAnd, i, 1);
    let odd = k.un(LaneUn::IToB, odd);
    let y = k.select(odd, c, s);
    let flip = k.iopc(LaneBin::IAnd, i, 2);
    let flip = k.iopc(LaneBin::IShl, flip, 30);
    let y = k.to_bits(y);
    let y = k.bin(LaneBin::IXor, y, flip);
    let y = k.from_bits(y);
    // Infinity and NaN: x - x is NaN for both, and 0 otherwise.
    let finite = k.fcmpc(LaneCmp::FLt, a, f32::INFINITY);
    k.select_c_not(finite, f32::NAN, y)
}

/// Cody and Waite: `r + lo` and the quadrant, for `|x| < LARGE`.
fn reduce_small(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId, LaneId) {
    let (n, i) = k.round_scaled(x, TWO_OVER_PI);
    let r0 = k.fmac(n, -PIO2[0], x); // exact
    // n c = p + p_lo exactly, and r0 + p as a two-sum: r may cancel down to the size of p_lo.
    let p = k.fmulc(n, -PIO2[1]);
    let np = k.fneg(p);
    let p_lo = k.fmac(n, -PIO2[1], np);
    let r = k.fadd(r0, p);
    let v = k.fsub(r, r0);
    let back = k.fsub(r, v);
    let d0 = k.fsub(r0, back);
    let d1 = k.fsub(p, v);
    let lo = k.fadd(d0, d1);
    let lo = k.fadd(lo, p_lo);
    let lo = k.fmac(n, -PIO2[2], lo);
    let s = k.fadd(r, lo);
    let d = k.fsub(r, s);
    let lo = k.fadd(d, lo);
    (s, lo, i)
}

/// Payne and Hanek: `|x| = M 2^E`, times the 96 bits of `2 / pi` that matter, modulo 4, in 32-bit integers.
fn reduce_large(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId, LaneId) {
    use LaneBin::*;
    let bits = k.to_bits(x);
    let mantissa = k.iopc(IAnd, bits, 0x007f_ffff);
    let m = k.iopc(IOr, mantissa, 0x0080_0000);
    let e = k.iopc(IShrU, bits, 23);
    let e = k.iopc(IAnd, e, 0xff);
    // The product M * (2 / pi) * 2^(e - 150) modulo 4: bits of 2 / pi above position e - 152 only add multiples of 4.
    // The table starts 32 positions early, for the smallest exponents that come here.
    let pos = k.iopc(ISub, e, 120);
    let zero = k.i32(0);
    let pos = k.bin(IMax, pos, zero);
    let word = k.iopc(IShrU, pos, 5);
    let shift = k.iopc(IAnd, pos, 31);
    let at: [LaneId; 4] = std::array::from_fn(|j| {
        let c = k.i32(j as i32 + 1);
        k.cmp(LaneCmp::IGe, word, c)
    });
    let w: [LaneId; 4] = std::array::from_fn(|j| {
        let mut v = k.i32(TWO_OVER_PI_BITS[j] as i32);
        for (s, &c) in at.iter().enumerate() {
            let next = k.i32(TWO_OVER_PI_BITS[j + s + 1] as i32);
            v = k.select(c, next, v);
        }
        v
    });
    // 96 bits from the position on.
    let thirty_one = k.i32(31);
    let inverse = k.bin(ISub, thirty_one, shift);
    let p: [LaneId; 3] = std::array::from_fn(|j| {
        let hi = k.bin(IShl, w[j], shift);
        let lo = k.iopc(IShrU, w[j + 1], 1);
        let lo = k.bin(IShrU, lo, inverse);
        k.bin(IOr, hi, lo)
    });
    // M * (p0 p1 p2) modulo 2^96, the two high words.
    let (h2, _) = mul_wide(k, m, p[2]);
    let (h1, l1) = mul_wide(k, m, p[1]);
    let l0 = k.bin(IMul, m, p[0]);
    let mid = k.bin(IAdd, l1, h2);
    let carry = k.cmp(LaneCmp::ULt, mid, l1);
    let carry = k.un(LaneUn::BToI, carry);
    let top = k.bin(IAdd, l0, h1);
    let top = k.bin(IAdd, top, carry);
    // The value is (top : mid) * 2^-62: two integer bits. Round to the nearest quadrant, keep the signed fraction.
    let quadrant = k.iopc(IShrU, top, 29);
    let quadrant = k.iopc(IAdd, quadrant, 1);
    let quadrant = k.iopc(IShrU, quadrant, 1);
    let whole = k.iopc(IShl, quadrant, 30);
    let frac = k.bin(ISub, top, whole); // in [-2^29, 2^29], times 2^-30
    // (frac : mid) * 2^-62 as two floats: the top 24 bits of frac are exact, the rest is small.
    let hi24 = k.iopc(IAnd, frac, !0x3f);
    let lo6 = k.iopc(IAnd, frac, 0x3f);
    let lo6 = k.iopc(IShl, lo6, 18);
    let mid18 = k.iopc(IShrU, mid, 14);
    let rest = k.bin(IOr, lo6, mid18); // 24 bits, times 2^-48
    let low14 = k.iopc(IAnd, mid, 0x3fff);
    let f = k.un(LaneUn::IToF, hi24);
    let f = k.fmulc(f, 2f32.powi(-30));
    let g = k.un(LaneUn::IToF, rest);
    let g = k.fmulc(g, 2f32.powi(-48));
    let h = k.un(LaneUn::IToF, low14);
    let h = k.fmulc(h, 2f32.powi(-62));
    // Sum of three without loss: |f| may be below |g| where the fraction cancels.
    let s = k.fadd(f, g);
    let v = k.fsub(s, f);
    let back = k.fsub(s, v);
    let d0 = k.fsub(f, back);
    let d1 = k.fsub(g, v);
    let t = k.fadd(d0, d1);
    let t = k.fadd(t, h);
    // Times pi / 2.
    let r = k.fmulc(s, PIO2[0]);
    let nr = k.fneg(r);
    let lo = k.fmac(s, PIO2[0], nr);
    let lo = k.fmac(s, PIO2[1], lo);
    let lo = k.fmac(t, PIO2[0], lo);
    let sum = k.fadd(r, lo);
    let d = k.fsub(r, sum);
    let lo = k.fadd(d, lo);
    // Odd in x.
    let sign = k.iopc(IAnd, bits, i32::MIN);
    let signed = |k: &mut dyn LaneBuilder, v: LaneId| {
        let b = k.to_bits(v);
        let b = k.bin(IXor, b, sign);
        k.from_bits(b)
    };
    let sum = signed(k, sum);
    let lo = signed(k, lo);
    let minus = k.bin(ISub, zero, quadrant);
    let negative = k.cmp(LaneCmp::INe, sign, zero);
    let quadrant = k.select(negative, minus, quadrant);
    (sum, lo, quadrant)
}

/// The 64-bit product of a 24-bit and a 32-bit unsigned number: high and low word.
fn mul_wide(k: &mut dyn LaneBuilder, m: LaneId, p: LaneId) -> (LaneId, LaneId) {
    use LaneBin::*;
    let (mh, ml) = (k.iopc(IShrU, m, 16), k.iopc(IAnd, m, 0xffff));
    let (ph, pl) = (k.iopc(IShrU, p, 16), k.iopc(IAnd, p, 0xffff));
    let ll = k.bin(IMul, ml, pl);
    let lh = k.bin(IMul, ml, ph);
    let hl = k.bin(IMul, mh, pl);
    let hh = k.bin(IMul, mh, ph);
    // The middle sum fits in 32 bits: each half below is under 2^16, and hl under 2^24.
    let carry = k.iopc(IShrU, ll, 16);
    let lh_low = k.iopc(IAnd, lh, 0xffff);
    let mid = k.bin(IAdd, carry, lh_low);
    let mid = k.bin(IAdd, mid, hl);
    let lh_high = k.iopc(IShrU, lh, 16);
    let mid_high = k.iopc(IShrU, mid, 16);
    let high = k.bin(IAdd, hh, lh_high);
    let high = k.bin(IAdd, high, mid_high);
    (high, k.bin(IMul, m, p))
}
