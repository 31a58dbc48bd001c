//! What legalization rewrites, against the reference: contractions over tangled axes and long reductions.

use super::legalize::legalize;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind};
use crate::graph::interp::Feeds;
use crate::graph::ops::ReduceKind;
use crate::graph::print::to_text;
use crate::graph::sampler::Rand;
use crate::graph::tensor::Tensor;
use crate::graph::ty::TensorTy;
use crate::graph::verify::verify;
use crate::opt::instances::{Pattern, exact, instance, same};
use nn_runtime::dtype::DType;

/// Products are sums in some order, which legalization may change: inputs are whole numbers, so that no order rounds.
#[test]
fn untangled_contractions_are_the_same_bits() {
    let mut changed = 0;
    for text in ["dot(x, y)", "dot(permute(x), y)", "dot(reshape(x), permute(y))", "dot(reverse(x), broadcast(y))"] {
        let pattern = Pattern::parse(text);
        for seed in 0..4000 {
            let Some(i) = instance(&pattern, seed, false) else { continue };
            let Some(after) = legalize(&i.graph).0 else { continue };
            changed += 1;
            verify(&after).unwrap_or_else(|e| panic!("{text}, seed {seed}: {e}"));
            let mut r = Rand::new(seed);
            let whole = |ty: &TensorTy| {
                let data = (0..ty.numel()).map(|_| r.below(9) as f64 - 4.0).collect();
                Tensor::new(ty.clone(), data)
            };
            let slots = i.graph.slots.iter().map(|s| s.ty.clone()).collect::<Vec<_>>();
            let feeds = Feeds { slots: slots.iter().map(whole).collect(), seed, step: 1 };
            let (a, b) = (exact(&i.graph, &feeds), exact(&after, &feeds));
            let bits = |ts: &[Tensor]| ts.iter().flat_map(|t| &t.data).map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&a), bits(&b), "{text}, seed {seed}\n{}\n{}", to_text(&i.graph), to_text(&after));
        }
    }
    assert!(changed > 50, "only {changed} contractions were tangled");
}

/// Long reductions in two steps: lengths with and without a remainder, rows and columns, with NaN and infinities inside.
#[test]
fn long_reductions_are_the_same_bits() {
    let shapes: [&[u64]; 6] = [&[16384], &[16385], &[2, 20000], &[1, 16384 + 4095], &[700, 3], &[2, 1300, 2]];
    let mut r = Rand::new(5);
    for shape in shapes {
        let axis = shape.iter().enumerate().max_by_key(|(_, n)| **n).map_or(0, |(i, _)| i as u32);
        for kind in ReduceKind::ALL {
            for dtype in [DType::F32, DType::I32] {
                for special in [None, Some(f64::NAN), Some(f64::INFINITY)] {
                    if special.is_some() && !dtype.is_float() {
                        continue;
                    }
                    let ty = TensorTy::new(dtype, shape.iter().copied());
                    let mut b = Builder::new("long");
                    let x = b.input(Slot { name: "x".into(), kind: SlotKind::Data, ty: ty.clone() });
                    let y = b.reduce(kind, x, &[axis]);
                    b.output("y", y);
                    let g = b.finish();
                    let after = legalize(&g).0.unwrap_or_else(|| panic!("{shape:?} is not long"));
                    verify(&after).unwrap_or_else(|e| panic!("{shape:?}: {e}"));
                    // Sums and products of these are exact in any order.
                    let few = [1.0, -1.0, 1.0, if kind == ReduceKind::Prod { 1.0 } else { 3.0 }];
                    let mut data: Vec<f64> = (0..ty.numel()).map(|_| *r.pick(&few)).collect();
                    let n = data.len();
                    if let Some(s) = special {
                        data[n - 1 - r.below(2)] = s;
                    }
                    // The last one of all is in the remainder, where there is one.
                    data[n - 1] *= if kind == ReduceKind::Prod { -1.0 } else { 5.0 };
                    let feeds = Feeds { slots: vec![Tensor::new(ty, data)], ..Feeds::default() };
                    let (a, b) = (exact(&g, &feeds), exact(&after, &feeds));
                    let equal = a[0].data.iter().zip(&b[0].data).all(|(p, q)| same(*q, *p, dtype, 0));
                    assert!(equal, "{kind:?} of {shape:?}: {:?} became {:?}", a[0].data, b[0].data);
                }
            }
        }
    }
}
