//! The error function: an odd polynomial near 0, else one minus the complement. In f32 the complement is `e^q(|x|)` with `q`
//! its logarithm; in f64 it is `e^(-x^2)` with the square in two parts, times a polynomial for the rest.

use super::exp::LN2;
use super::{By, LaneBin, LaneBuilder, LaneCmp, LaneId, exp};

struct Table {
    /// `erf x / x - 1` in `x^2`, below `border` and a bit further.
    near: &'static [f64],
    border: f64,
    /// From here on the result rounds to 1.
    high: f64,
    /// What makes `1 - erf a` from the border to `high`.
    far: Far,
}

enum Far {
    /// `log(1 - erf a)` in `a`.
    Log(&'static [f64]),
    /// `e^(a^2) (1 - erf a)` in `(a - c) / (a + c)`.
    Scaled(f64, &'static [f64]),
}

const TABLE: By<Table> = By {
    single: Table {
        near: &[
            f32::from_bits(0x3e03_75d4) as f64,
            f32::from_bits(0xbec0_93a2) as f64,
            f32::from_bits(0x3de7_1714) as f64,
            f32::from_bits(0xbcdc_0889) as f64,
            f32::from_bits(0x3baa_6fb5) as f64,
            f32::from_bits(0xba55_84b4) as f64,
            f32::from_bits(0x38af_b0e2) as f64,
        ],
        border: f32::from_bits(0x3f6c0831) as f64,
        high: 4.0,
        far: Far::Log(&[
            f32::from_bits(0x3937_2afb) as f64,
            f32::from_bits(0xbf90_93f2) as f64,
            f32::from_bits(0xbf22_2306) as f64,
            f32::from_bits(0xbddd_c1f1) as f64,
            f32::from_bits(0x3ccd_c73a) as f64,
            f32::from_bits(0xbb88_ad5e) as f64,
            f32::from_bits(0x39e3_c86e) as f64,
            f32::from_bits(0xb7b0_f510) as f64,
        ]),
    },
    double: Table {
        near: &[
            f64::from_bits(0x3fc0_6eba_8214_db68),
            f64::from_bits(0xbfd8_1274_6b03_79c1),
            f64::from_bits(0x3fbc_e2f2_1a04_0f8e),
            f64::from_bits(0xbf9b_82ce_3120_3e9c),
            f64::from_bits(0x3f75_65bc_cfa4_d0d8),
            f64::from_bits(0xbf4c_02db_066e_6443),
            f64::from_bits(0x3f1f_9a2b_e49d_1cb0),
            f64::from_bits(0xbeef_4ca8_22b1_7d38),
            f64::from_bits(0x3ebb_981c_058a_9101),
            f64::from_bits(0xbe85_c124_f6c8_8e54),
            f64::from_bits(0x3e4d_7643_51d5_915d),
            f64::from_bits(0xbe0a_c7d5_9dd2_2cee),
        ],
        border: 1.0,
        high: 6.0,
        far: Far::Scaled(
            2.5,
            &[
                f64::from_bits(0x3fca_fbb3_f3b7_343a),
                f64::from_bits(0xbfd7_ca88_dec2_17bb),
                f64::from_bits(0x3fd0_1c11_a735_cd3a),
                f64::from_bits(0xbfc0_0115_4371_24dc),
                f64::from_bits(0x3fa4_70ba_1f79_00a3),
                f64::from_bits(0xbf70_5bb2_fda5_0dca),
                f64::from_bits(0xbf65_a571_bb2e_179b),
                f64::from_bits(0x3f4c_b3ab_a854_a843),
                f64::from_bits(0x3f2d_eed1_5789_8536),
                f64::from_bits(0xbf20_e230_fa02_7d6e),
                f64::from_bits(0xbf01_a19f_1f6e_3ae8),
                f64::from_bits(0x3ef5_7aee_e4b3_6ad9),
                f64::from_bits(0x3ee7_3e95_46ad_c964),
                f64::from_bits(0x3eb8_1250_3493_1c75),
            ],
        ),
    },
};

/// The error function.
pub fn erf(k: &mut dyn LaneBuilder, x: LaneId) -> LaneId {
    let t = TABLE.of(k, x);
    let a = k.fabs(x);
    let high = k.float_like(x, t.high);
    let a = k.bin(LaneBin::FMin, a, high);
    let z = k.fmul(a, a);
    let q = k.horner(z, t.near);
    let near = k.fma(a, q, a);

    let one = k.float_like(x, 1.0);
    let far = match t.far {
        Far::Log(c) => {
            let q = k.horner(a, c);
            let (n, i) = k.round_scaled(q, LN2.of(k, q).inverse);
            let p = exp::exp_reduced(k, q, n);
            let s = k.pow2(i, p);
            let p = k.fneg(p);
            k.fma(p, s, one)
        }
        Far::Scaled(center, c) => {
            // -a^2 = hi + lo exactly.
            let hi = k.fneg(z);
            let lo = k.fma(a, a, hi);
            let lo = k.fneg(lo);
            let e = exp::exp_sum(k, hi, lo);
            let (up, down) = (k.faddc(a, center), k.faddc(a, -center));
            let u = k.bin(LaneBin::FDiv, down, up);
            let q = k.horner(u, c);
            let e = k.fneg(e);
            k.fma(e, q, one)
        }
    };

    let small = k.fcmpc(LaneCmp::FLt, a, t.border);
    let y = k.select(small, near, far);
    k.with_sign(y, x)
}
