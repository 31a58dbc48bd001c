//! Every function in f32 against the f64 one: dense samples of all exponents, as many as `NN_SAMPLES` says, or all
//! 2^32 arguments with `NN_EXHAUSTIVE=1`. In f64 against correctly rounded results that are stored.

use super::*;
use crate::lanes::{LaneProgram, LaneTy};
use crate::lanes_eval::Eval;

/// Distance of `got` from the exact `want` in units in the last place of f32 at `want`.
fn ulps(got: f32, want: f64) -> f64 {
    if want.is_nan() {
        return if got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got.is_nan() {
        return f64::INFINITY;
    }
    if f64::from(got) == want {
        return 0.0;
    }
    // A result that overflows in f32 must be infinite, or the last float within the bound of the exact value.
    let exponent = want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor().min(127.0);
    let ulp = (exponent - 23.0).exp2();
    let got = if got.is_infinite() { f64::from(got).signum() * 2f64.powi(128) } else { f64::from(got) };
    let want = want.clamp(-(2f64.powi(128)), 2f64.powi(128));
    (got - want).abs() / ulp
}

fn check(name: &str, f: fn(&mut dyn LaneBuilder, LaneId) -> LaneId, want: fn(f64) -> f64, bound: f64) {
    let mut p = LaneProgram::default();
    let x = p.arg(0, LaneTy::F32);
    let y = f(&mut p, x);
    let mut eval = Eval::default();
    let mut worst = (0.0, 0u32);
    let mut one = |bits: u32| {
        let x = f32::from_bits(bits);
        let got = f32::from_bits(eval.run(&p, &[bits.into()], y) as u32);
        let e = ulps(got, want(f64::from(x)));
        if e > worst.0 {
            worst = (e, bits);
        }
        if x == 0.0 && want(0.0) == 0.0 {
            assert_eq!(got.to_bits(), bits, "{name}({x:?})");
        }
    };
    if std::env::var_os("NN_EXHAUSTIVE").is_some() {
        (0..=u32::MAX).for_each(&mut one);
    } else {
        // A step prime to 2^32: all exponents, both signs, and mantissas spread evenly.
        let mut bits = 0u32;
        let samples = std::env::var("NN_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
        for _ in 0..samples {
            one(bits);
            bits = bits.wrapping_add(0x9e37_79b1);
        }
        for x in [0.0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE] {
            one(x.to_bits());
        }
        // Near a multiple of pi / 2, where the reduction cancels down to its last part.
        one(0xc631_8c90);
        // Densely where the functions bend.
        for i in -20_000..20_000 {
            one((i as f32 * 0.006).to_bits());
            one((1.0 + i as f32 * 1e-5).to_bits());
            one((i as f32 * 1e-4).to_bits());
        }
    }
    let x = f32::from_bits(worst.1);
    assert!(worst.0 <= bound, "{name}({x:e}, bits {:#x}) is off by {:.3} ulp", worst.1, worst.0);
    println!("{name}: {:.3} ulp at {x:e}, {} ops", worst.0, p.ops.len());
}

#[test]
fn exponentials() {
    check("exp", exp, f64::exp, 1.1);
    check("expm1", expm1, f64::exp_m1, 2.0);
    check("tanh", tanh, f64::tanh, 2.0);
}

#[test]
fn logarithms() {
    check("log", log, f64::ln, 2.0);
    check("log1p", log1p, f64::ln_1p, 2.0);
}

#[test]
fn circular_functions() {
    check("sin", sin, f64::sin, 1.5);
    check("cos", cos, f64::cos, 1.5);
}

#[test]
fn the_error_function() {
    check("erf", erf, erf64, 2.0);
}

/// `erf` in f64 by its Taylor series and, for large arguments, the continued fraction of the complement.
fn erf64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let a = x.abs();
    let r = if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > 1e-20 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else if a < 7.0 {
        // Lentz on erfc(a) = e^(-a^2) / sqrt(pi) / (a + (1/2)/(a + 1/(a + (3/2)/(a + ..)))), from the inside.
        let mut t = a;
        for n in (1..80).rev() {
            t = a + f64::from(n) * 0.5 / t;
        }
        1.0 - (-a * a).exp() / std::f64::consts::PI.sqrt() / t
    } else {
        1.0
    };
    r.copysign(x)
}

#[test]
fn powers() {
    let mut p = LaneProgram::default();
    let (x, y) = (p.arg(0, LaneTy::F32), p.arg(1, LaneTy::F32));
    let r = pow(&mut p, x, y);
    let mut eval = Eval::default();
    let mut worst = (0.0, 0f32, 0f32);
    let mut one = |x: f32, y: f32| {
        let got = f32::from_bits(eval.run(&p, &[x.to_bits().into(), y.to_bits().into()], r) as u32);
        let want = f64::from(x).powf(f64::from(y));
        let e = ulps(got, want);
        if e > worst.0 {
            worst = (e, x, y);
        }
        if want == 0.0 || want.is_infinite() {
            assert_eq!(got.is_sign_negative(), want.is_sign_negative(), "pow({x:?}, {y:?}) = {got:?}, not {want:?}");
        }
    };
    let specials = [
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        1e-40,
        1e30,
        16_777_215.0,
        16_777_216.0,
        8_388_607.5,
        f32::INFINITY,
        f32::NAN,
        f32::MAX,
        f32::from_bits(0x3f7f_ffff),
        f32::from_bits(0x3f80_0001),
    ];
    for x in specials {
        for y in specials {
            for (x, y) in [(x, y), (-x, y), (x, -y), (-x, -y)] {
                one(x, y);
            }
        }
    }
    let mut s = 1u64;
    let mut next = || {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (s >> 32) as u32
    };
    for _ in 0..60_000 {
        // Any two floats; then results spread over the whole exponent range, where the error is largest.
        let (a, b) = (next(), next());
        one(f32::from_bits(a), f32::from_bits(b));
        let x = f32::from_bits(a & 0x7fff_ffff);
        let target = f64::from(b) / f64::from(u32::MAX) * 300.0 - 152.0;
        if x > 0.0 && x.is_finite() && x != 1.0 {
            one(x, (target / f64::from(x).log2()) as f32);
        }
        let x = 0.5 + (a >> 8) as f32 / (1 << 24) as f32;
        one(x, (target / f64::from(x).log2()) as f32);
        one(x * 4.0 - 4.0, ((b >> 27) as f32) - 16.0);
    }
    println!("pow: {:.3} ulp at {:e}, {:e}, {} ops", worst.0, worst.1, worst.2, p.ops.len());
    assert!(worst.0 <= 2.0, "pow({:e}, {:e}) is off by {:.3} ulp", worst.1, worst.2, worst.0);
}

/// Distance in f64 between neighbours at `x`.
fn gap(x: f64) -> f64 {
    let bits = x.abs().to_bits().min(f64::MAX.to_bits() - 1);
    f64::from_bits(bits + 1) - f64::from_bits(bits)
}

/// The file that `points.py` writes: correctly rounded results. A result at most one neighbor away from that is at most
/// 1.5 ulp from the exact one.
#[test]
fn every_function_in_f64_is_within_a_neighbor_of_the_correctly_rounded_result() {
    let dense = std::env::var("NN_POINTS").ok().map(|f| std::fs::read_to_string(f).expect("the file of points"));
    let text = dense.as_deref().unwrap_or(include_str!("points.txt"));
    type Unary = fn(&mut dyn LaneBuilder, LaneId) -> LaneId;
    let functions: [(&str, Unary); 8] = [
        ("exp", exp),
        ("expm1", expm1),
        ("log", log),
        ("log1p", log1p),
        ("tanh", tanh),
        ("erf", erf),
        ("sin", sin),
        ("cos", cos),
    ];
    let mut programs = std::collections::BTreeMap::new();
    for (name, f) in functions {
        let mut p = LaneProgram::default();
        let x = p.arg(0, LaneTy::F64);
        let y = f(&mut p, x);
        programs.insert(name, (p, y, 0.0, 0u32));
    }
    let mut p = LaneProgram::default();
    let (x, y) = (p.arg(0, LaneTy::F64), p.arg(1, LaneTy::F64));
    let r = pow(&mut p, x, y);
    programs.insert("pow", (p, r, 0.0, 0));
    let mut eval = Eval::default();
    let mut wrong = vec![];
    for line in text.lines() {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let mut bits: Vec<u64> = words.map(|w| u64::from_str_radix(w, 16).expect("bits")).collect();
        let want = f64::from_bits(bits.pop().expect("a result"));
        let (p, result, worst, n) = programs.get_mut(name).expect("a function");
        let got = f64::from_bits(eval.run(p, &bits, *result));
        let off = if got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()) {
            0.0
        } else {
            // The neighbor of the largest number is infinity.
            let real = |x: f64| if x.is_infinite() { x.signum() * f64::MAX } else { x };
            let zeros = if got == want { f64::INFINITY } else { 0.0 };
            zeros
                + (real(got) - real(want)).abs() / gap(want)
                + f64::from(u8::from(got.is_infinite() != want.is_infinite()))
        };
        *worst = off.max(*worst);
        *n += 1;
        if off.is_nan() || off > 1.0 {
            let x: Vec<f64> = bits.iter().map(|&b| f64::from_bits(b)).collect();
            wrong.push(format!("{name}{x:?} = {got:e}, not {want:e}: {off} neighbors away"));
        }
    }
    for (name, (p, _, worst, n)) in &programs {
        println!("{name}: {n} points, at most {worst} away, {} ops", p.ops.len());
        assert!(*n > 250, "{name} has {n} points");
    }
    assert!(wrong.is_empty(), "{} of them\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}
