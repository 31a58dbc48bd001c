//! Tests generated from the op table: reference evaluation against lane code, at every dtype an op takes; type rules
//! against evaluation on every sample; the table's own completeness.

use super::*;
use crate::graph::sampler::Rand;
use crate::graph::tensor::{convert, range};
use crate::lanes::{LaneProgram, LaneTy};
use crate::lanes_eval::{Eval, bits_of, number_of};

/// Dtypes that lanes hold.
const LANE_DTYPES: [DType; 9] =
    [DType::F32, DType::F64, DType::I32, DType::U32, DType::I16, DType::U16, DType::I8, DType::U8, DType::Bool];

/// The reference evaluates by the platform's functions and series of its own in f64, which are off by this many units in the
/// last place. (`lanes_math` has exact results to compare with.)
const REFERENCE_ULP: f64 = 8.0;

fn lane_ty(d: DType) -> LaneTy {
    match d {
        DType::F32 => LaneTy::F32,
        DType::F64 => LaneTy::F64,
        DType::Bool => LaneTy::Bool,
        _ => LaneTy::I32,
    }
}

/// Is lane code's float of a dtype within `ulp` units of the reference, NaN for NaN and infinity for infinity?
fn close(d: DType, got: f64, want: f64, ulp: f64) -> bool {
    let nearest = crate::graph::tensor::round(d, want);
    if want.is_nan() || got.is_nan() {
        return want.is_nan() && got.is_nan();
    }
    if nearest == got {
        return true;
    }
    let (least, digits, ulp) = match d {
        DType::F64 => (-1022, 52, if ulp >= 2.0 { ulp + REFERENCE_ULP } else { ulp }),
        _ => (-126, 23, ulp),
    };
    let exponent = if nearest == 0.0 { least } else { (want.abs().log2().floor() as i32).max(least) };
    (got - want).abs() <= ulp * 2f64.powi(exponent - digits)
}

/// Values of a dtype at the edges of its range.
fn edges(d: DType) -> Vec<f64> {
    let (lo, hi) = range(d);
    match d {
        DType::F32 => {
            let tiny = f64::from(f32::from_bits(1));
            vec![0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, tiny, -tiny, f32::MAX.into(), lo, hi, f64::NAN]
        }
        DType::F64 => {
            let tiny = f64::from_bits(1);
            vec![0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, tiny, -tiny, f64::MAX, 2147483648.5, lo, hi, f64::NAN]
        }
        DType::Bool => vec![0.0, 1.0],
        _ => vec![lo, lo + 1.0, lo + (hi - lo + 1.0) / 2.0, hi - 1.0, hi, 0.0, 1.0, 2.0, 31.0, 33.0],
    }
}

/// Every tuple of edge values.
fn tuples(dtypes: &[DType]) -> Vec<Vec<f64>> {
    dtypes.iter().fold(vec![vec![]], |all, &d| {
        let with = |t: &Vec<f64>| edges(d).into_iter().map(|x| [t.as_slice(), &[x]].concat()).collect::<Vec<_>>();
        all.iter().flat_map(with).collect()
    })
}

#[test]
fn lane_code_of_every_elementwise_op_agrees_with_its_reference() {
    let mut lanes = Eval::default();
    for &e in Ew::ALL {
        let row = e.spec();
        for d in LANE_DTYPES.into_iter().filter(|&d| row.ty.accepts(d)) {
            let select = row.ty == elementwise::TyRule::Select;
            let of = |i: usize| if select && i == 0 { DType::Bool } else { d };
            let dtypes: Vec<DType> = (0..row.arity).map(of).collect();
            let mut p = LaneProgram::default();
            let args: Vec<LaneId> = dtypes.iter().enumerate().map(|(i, &d)| p.arg(i as u32, lane_ty(d))).collect();
            let result = (row.body)(&mut p, d, &args);
            let tys: Vec<TensorTy> = dtypes.iter().map(|&d| TensorTy::scalar(d)).collect();
            let out = e.infer(&tys.iter().collect::<Vec<_>>()).expect("the rule accepts it").dtype;
            let mut r = Rand::new(7);
            let mut points = tuples(&dtypes);
            for n in 0..3000 {
                let sample = |(d, &(lo, hi)): (&DType, &(f64, f64))| match d {
                    DType::F32 => f64::from(r.real(lo, hi) as f32),
                    DType::F64 => r.real(lo, hi),
                    DType::Bool => r.below(2) as f64,
                    d if n % 2 == 0 => wrap(*d, r.bits().into()),
                    d => wrap(*d, r.real(lo, hi) as i64),
                };
                points.push(dtypes.iter().zip(row.sample).map(sample).collect());
            }
            for x in points {
                if row.ulp >= 2.0 && x.iter().any(|v| v.abs() > 1e6 && v.is_finite()) {
                    // Beyond the stated accuracy of the transcendental functions, which have their own tests.
                    continue;
                }
                let bits: Vec<u64> = dtypes.iter().zip(&x).map(|(&d, &x)| bits_of(d, x)).collect();
                let got = number_of(out, lanes.run(&p, &bits, result));
                let want = (row.eval)(d, &x);
                let fine = if out.is_float() { close(out, got, want, row.ulp) } else { got == want };
                assert!(fine, "{} at {d} of {x:?}: lanes give {got:e}, the reference {want:e}", row.name);
            }
        }
    }
}

/// Any two bit patterns: quotients up to 2^277, in f64 up to 2^2098, subnormals, infinities.
#[test]
fn float_remainders_are_exact() {
    for d in [DType::F32, DType::F64] {
        let (mut lanes, mut p) = (Eval::default(), LaneProgram::default());
        let args = [p.arg(0, lane_ty(d)), p.arg(1, lane_ty(d))];
        let result = (Ew::Rem.spec().body)(&mut p, d, &args);
        let mut r = Rand::new(11);
        let any = |r: &mut Rand| match d {
            DType::F64 => u64::from(r.bits()) << 32 | u64::from(r.bits()),
            _ => r.bits().into(),
        };
        for n in 0..10_000 {
            // Every fourth divisor is an ordinary number.
            let b = if n % 4 == 0 { bits_of(d, r.real(-100.0, 100.0)) } else { any(&mut r) };
            let bits = [any(&mut r), b];
            let [x, y] = bits.map(|b| number_of(d, b));
            // An f32 remainder of f32 numbers is exact in f64.
            let (got, want) = (number_of(d, lanes.run(&p, &bits, result)), x % y);
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(same, "{x:e} rem {y:e} in {d}: lanes give {got:e}, it is {want:e}");
        }
    }
}

#[test]
fn lane_code_of_every_cast_agrees_with_its_reference() {
    let mut lanes = Eval::default();
    for from in LANE_DTYPES {
        for to in LANE_DTYPES {
            let mut p = LaneProgram::default();
            let x = p.arg(0, lane_ty(from));
            let result = Op::Cast(to).body(&mut p, &[from], &[x]).expect("elementwise");
            let mut r = Rand::new(3);
            let mut points = edges(from);
            points.extend((0..500).map(|_| match from {
                DType::F32 => f64::from(r.real(-5e9, 5e9) as f32),
                DType::F64 => r.real(-5e9, 5e9),
                d => wrap(d, r.bits().into()),
            }));
            for x in points {
                let got = number_of(to, lanes.run(&p, &[bits_of(from, x)], result));
                let want = convert(from, to, x);
                let fine = if to.is_float() { close(to, got, want, 0.5) } else { got == want };
                assert!(fine, "{from} to {to} of {x:e}: lanes give {got:e}, the reference {want:e}");
            }
        }
    }
}

#[test]
fn every_sample_fits_its_op_and_every_row_has_one() {
    for row in Op::ROWS.iter().copied().chain([&convert::EW]) {
        let samples = (row.samples)();
        // Regions are held against the same written out, in `grad/region/tests.rs`.
        let elsewhere = row.name == "input" || row.class == Class::Region;
        assert!(!samples.is_empty() || elsewhere, "`{}` has no sample", row.name);
        assert!(!row.doc.is_empty() && !row.grad.is_empty());
        for s in samples {
            assert!(std::ptr::eq(s.op.spec(), row), "a sample of `{}` is of another row", row.name);
            let mut r = Rand::new(1);
            let x: Vec<Tensor> = s.x.iter().map(|(ty, fill)| r.fill(ty, *fill)).collect();
            let tys: Vec<&TensorTy> = x.iter().map(|t| &t.ty).collect();
            let ty = s.op.infer(&tys, &[]).expect("a sample fits");
            // `eval` checks the number of elements itself.
            let y = s.op.eval(&EvalCx::default(), &ty, &x.iter().collect::<Vec<_>>());
            let (lo, hi) = range(ty.dtype);
            assert!(y.data.iter().all(|v| v.is_nan() || (lo..=hi).contains(v)), "{:?}", s.op);
        }
    }
}

#[test]
fn reductions_start_at_their_identity() {
    for d in LANE_DTYPES.into_iter().filter(|&d| d != DType::Bool) {
        for kind in ReduceKind::ALL {
            for x in edges(d).into_iter().filter(|x| !x.is_nan()) {
                assert_eq!(kind.combine(d, kind.identity(d), x), x, "{} at {d}", kind.name());
            }
        }
    }
}
