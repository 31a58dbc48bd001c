//! Arguments of `sin` and `cos` beyond the reach of `pi / 2` in floats: the method of Payne and Hanek.
//!
//! In: a large number. Out: its distance from the nearest multiple of `pi / 2` as two floats, and which multiple, modulo 4.
//! Only the digits of `2 / pi` that make the product's fraction and its last two integer bits are multiplied; those above add
//! multiples of 4. Smaller arguments give something that nobody uses.

use super::trig::TABLE;
use super::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};

/// 32 zeros, then `2 / pi` as a binary fraction.
const TWO_OVER_PI_BITS: [u32; 8] =
    [0, 0xa2f9_836e, 0x4e44_1529, 0xfc27_57d1, 0xf534_ddc0, 0xdb62_9599, 0x3c43_9041, 0xfe51_63ab];

/// 34 zeros, then `2 / pi` as a binary fraction, 48 bits a chunk.
const TWO_OVER_PI_CHUNKS: [f64; 25] = [
    10_430.0,
    106_496_189_859_146.0,
    139_680_221_003_085.0,
    60_955_096_032_614.0,
    86_933_964_357_524.0,
    97_766_201_028_952.0,
    120_710_518_182_035.0,
    128_333_649_169_338.0,
    143_436_414_402_439.0,
    134_995_860_154_831.0,
    204_648_975_518_638.0,
    229_940_643_961_865.0,
    190_318_046_629_476.0,
    129_254_370_365_053.0,
    43_023_088_152_446.0,
    81_427_345_319_423.0,
    272_135_134_378_955.0,
    215_928_784_722_759.0,
    241_126_438_324_722.0,
    213_776_960_950_233.0,
    184_271_185_337_673.0,
    262_448_187_276_382.0,
    227_881_544_180_372.0,
    181_121_371_265_004.0,
    79_041_747_096_960.0,
];

/// Payne and Hanek: `|x| = M 2^E`, times the 96 bits of `2 / pi` that matter, modulo 4, in 32-bit integers.
pub(super) fn reduce_single(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId, LaneId) {
    use LaneBin::*;
    let pio2 = TABLE.single.pio2;
    let bits = k.upper(x);
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
    let f = k.fmulc(f, 2f64.powi(-30));
    let g = k.un(LaneUn::IToF, rest);
    let g = k.fmulc(g, 2f64.powi(-48));
    let h = k.un(LaneUn::IToF, low14);
    let h = k.fmulc(h, 2f64.powi(-62));
    // Sum of three without loss: |f| may be below |g| where the fraction cancels.
    let (s, t) = two_sum(k, f, g);
    let t = k.fadd(t, h);
    // Times pi / 2.
    let r = k.fmulc(s, pio2[0]);
    let nr = k.fneg(r);
    let lo = k.fmac(s, pio2[0], nr);
    let lo = k.fmac(s, pio2[1], lo);
    let lo = k.fmac(t, pio2[0], lo);
    let sum = k.fadd(r, lo);
    let d = k.fsub(r, sum);
    let lo = k.fadd(d, lo);
    odd(k, bits, sum, lo, quadrant)
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

/// `|x| = x' 2^(20 + 48 j)` with `x'` in [1, 2^48), times chunks j to j + 4 of `2 / pi`, in exact parts. Chunk j counts from
/// 2^54 to 2^7 in the product, so the ones before add multiples of 4.
pub(super) fn reduce_double(k: &mut dyn LaneBuilder, x: LaneId) -> (LaneId, LaneId, LaneId) {
    use LaneBin::*;
    let pio2 = TABLE.double.pio2;
    let bits = k.un(LaneUn::BitsHi, x);
    let e = k.iopc(IShrU, bits, 20);
    let e = k.iopc(IAnd, e, 0x7ff);
    let e = k.iopc(ISub, e, 1023 + 20);
    let zero = k.i32(0);
    let e = k.bin(IMax, e, zero);
    // e / 48, right up to 1023.
    let j = k.iopc(IMul, e, 1366);
    let j = k.iopc(IShrU, j, 16);
    let whole = k.iopc(IMul, j, 48);
    let rest = k.bin(ISub, e, whole);
    let exponent = k.iopc(IAdd, rest, 1023);
    let exponent = k.iopc(IShl, exponent, 20);
    let mantissa = k.iopc(IAnd, bits, 0x000f_ffff);
    let upper = k.bin(IOr, mantissa, exponent);
    let m = k.with_upper(upper, x);

    // Chunks j to j + 4: halve the candidates with every bit of j.
    let mut c: Vec<LaneId> = TWO_OVER_PI_CHUNKS.iter().map(|&c| k.lane(LaneOp::float(LaneTy::F64, c))).collect();
    let none = k.lane(LaneOp::float(LaneTy::F64, 0.0));
    for step in [16, 8, 4, 2, 1] {
        let bit = k.iopc(IAnd, j, step as i32);
        let bit = k.un(LaneUn::IToB, bit);
        c = (0..4 + step)
            .map(|i| {
                let (near, far) = (c.get(i).copied().unwrap_or(none), c.get(i + step).copied().unwrap_or(none));
                k.select(bit, far, near)
            })
            .collect();
    }
    // High and low parts of the products; the weights are powers of two.
    let part = |k: &mut dyn LaneBuilder, t: usize| {
        let w = k.fmulc(m, 2f64.powi(6 - 48 * t as i32));
        let p = k.fmul(w, c[t]);
        let np = k.fneg(p);
        (p, k.fma(w, c[t], np))
    };
    let (p0, l0) = part(k, 0);
    let (p1, l1) = part(k, 1);
    let (p2, l2) = part(k, 2);
    let (p3, l3) = part(k, 3);
    let (p4, _) = part(k, 4);
    // Modulo 4, exactly.
    let mod4 = |k: &mut dyn LaneBuilder, v: LaneId| {
        let q = k.fmulc(v, 0.25);
        let q = k.un(LaneUn::FFloor, q);
        k.fmac(q, -4.0, v)
    };
    let parts = [mod4(k, p0), mod4(k, l0), mod4(k, p1), l1, p2, l2, p3];
    // In three levels: multiples of 2^-44 below 2^7, multiples of 2^-94 below 2^-41, the rest. The first two sums are exact.
    let cut = |k: &mut dyn LaneBuilder, v: LaneId, lsb: i32| {
        let shift = k.float_like(v, 1.5 * 2f64.powi(52 + lsb));
        let high = k.fadd(v, shift);
        let high = k.fsub(high, shift);
        (high, k.fsub(v, high))
    };
    let (mut top, mut middle, mut bottom) = (none, none, k.fadd(l3, p4));
    for (n, v) in parts.into_iter().enumerate() {
        let (high, mut low) = cut(k, v, -44);
        top = k.fadd(top, high);
        if n >= 4 {
            let last;
            (low, last) = cut(k, low, -94);
            bottom = k.fadd(bottom, last);
        }
        middle = k.fadd(middle, low);
    }
    let n = k.un(LaneUn::FRoundEven, top);
    let quadrant = k.un(LaneUn::FToI, n);
    let top = k.fsub(top, n);
    let (h, lost) = two_sum(k, top, middle);
    let l = k.fadd(lost, bottom);
    let (h, l) = two_sum(k, h, l);
    // Times pi / 2.
    let r = k.fmulc(h, pio2[0]);
    let nr = k.fneg(r);
    let lo = k.fmac(h, pio2[0], nr);
    let lo = k.fmac(h, pio2[1], lo);
    let lo = k.fmac(l, pio2[0], lo);
    let sum = k.fadd(r, lo);
    let d = k.fsub(r, sum);
    let lo = k.fadd(d, lo);
    odd(k, bits, sum, lo, quadrant)
}

/// The reduction of `x` from that of `|x|`, given the word with the sign of `x`.
fn odd(k: &mut dyn LaneBuilder, bits: LaneId, r: LaneId, lo: LaneId, quadrant: LaneId) -> (LaneId, LaneId, LaneId) {
    let sign = k.iopc(LaneBin::IAnd, bits, i32::MIN);
    let mut signed = |v: LaneId| {
        let b = k.upper(v);
        let b = k.bin(LaneBin::IXor, b, sign);
        k.with_upper(b, v)
    };
    let (r, lo) = (signed(r), signed(lo));
    let zero = k.i32(0);
    let minus = k.bin(LaneBin::ISub, zero, quadrant);
    let negative = k.cmp(LaneCmp::INe, sign, zero);
    (r, lo, k.select(negative, minus, quadrant))
}

/// `a + b` and what it lost.
fn two_sum(k: &mut dyn LaneBuilder, a: LaneId, b: LaneId) -> (LaneId, LaneId) {
    let s = k.fadd(a, b);
    let v = k.fsub(s, a);
    let back = k.fsub(s, v);
    let d0 = k.fsub(a, back);
    let d1 = k.fsub(b, v);
    (s, k.fadd(d0, d1))
}
