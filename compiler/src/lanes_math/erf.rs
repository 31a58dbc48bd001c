//! The error function: an odd polynomial near 0, else `1 - e^q(|x|)` with `q` the logarithm of the complement.

use super::exp::LOG2_E;
use super::{LaneBin, LaneBuilder, LaneCmp, LaneId, exp};

/// `erf x / x - 1` in `x^2`, |x| < 0.925.
const NEAR: [f32; 7] = [
    f32::from_bits(0x3e03_75d4),
    f32::from_bits(0xbec0_93a2),
    f32::from_bits(0x3de7_1714),
    f32::from_bits(0xbcdc_0889),
    f32::from_bits(0x3baa_6fb5),
    f32::from_bits(0xba55_84b4),
    f32::from_bits(0x38af_b0e2),
];
/// `log(1 - erf a)` on [0.92, 4]; from there on the result rounds to 1.
const FAR: [f32; 8] = [
    f32::from_bits(0x3937_2afb),
    f32::from_bits(0xbf90_93f2),
    f32::from_bits(0xbf22_2306),
    f32::from_bits(0xbddd_c1f1),
    f32::from_bits(0x3ccd_c73a),
    f32::from_bits(0xbb88_ad5e),
    f32::from_bits(0x39e3_c86e),
    f32::from_bits(0xb7b0_f510),
];

/// The error function.
pub fn erf(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let a = k.fabs(x);
    let four = k.f32(4.0);
    let a = k.bin(LaneBin::FMin, a, four);
    let z = k.fmul(a, a);
    let q = k.horner(z, &NEAR);
    let near = k.fma(a, q, a);

    let q = k.horner(a, &FAR);
    let (n, i) = k.round_scaled(q, LOG2_E);
    let p = exp::exp_reduced(k, q, n);
    let s = k.pow2(i);
    let p = k.fneg(p);
    let one = k.f32(1.0);
    let far = k.fma(p, s, one);

    let small = k.fcmpc(LaneCmp::FLt, a, 0.922);
    let y = k.select(small, near, far);
    k.with_sign(y, x)
}
