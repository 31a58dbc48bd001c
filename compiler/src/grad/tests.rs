//! Derivatives, generated from the op table: first and second order of every op against finite differences of the
//! reference interpreter, and the written table of ties and kinks.

use super::{grad, path_ends_at, vjp};
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind, ValueId};
use crate::graph::interp::{Feeds, run_values};
use crate::graph::ops::convert;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{ArgKind, Fill, Op, ReduceKind, Sample, ScatterKind};
use crate::graph::sampler::Rand;
use crate::graph::tensor::Tensor;
use crate::graph::ty::TensorTy;
use nn_runtime::dtype::DType;

/// Central differences of order 4 with this step in f64: truncation about h^4, rounding about 1e-16 / h.
const H: f64 = 1e-3;

fn samples() -> Vec<Sample> {
    let rows = Op::ROWS.iter().copied().chain([&convert::EW]);
    rows.flat_map(|row| (row.samples)()).collect()
}

/// A sample as a graph: an input per operand, and the sum of the result times fixed weights as the scalar to differentiate.
struct Case {
    b: Builder,
    xs: Vec<ValueId>,
    y: ValueId,
    feeds: Feeds,
}

/// `None` if the result or every operand is not a float.
fn case(s: &Sample, seed: u64) -> Option<Case> {
    let mut r = Rand::new(seed);
    let mut b = Builder::new("case");
    let mut feeds = Feeds::default();
    let mut xs = vec![];
    for (i, (ty, fill)) in s.x.iter().enumerate() {
        xs.push(b.input(Slot { name: format!("x{i}").as_str().into(), kind: SlotKind::Data, ty: ty.clone() }));
        feeds.slots.push(r.fill(ty, *fill));
    }
    let y = b.op(s.op.clone(), &xs);
    if !b.ty(y).dtype.is_float() || !xs.iter().any(|x| b.ty(*x).dtype.is_float()) {
        return None;
    }
    let y = weighted(&mut b, y, &mut r);
    Some(Case { b, xs, y, feeds })
}

/// The sum of a value times weights, so that every element's cotangent differs.
fn weighted(b: &mut Builder, v: ValueId, r: &mut Rand) -> ValueId {
    let ty = b.ty(v).clone();
    let w: Vec<f64> = (0..ty.numel()).map(|_| (r.real(0.5, 2.0) * 64.0).round() / 64.0).collect();
    let w = b.table(&ty, &w);
    let v = b.ew(Ew::Mul, &[v, w]);
    let all: Vec<u32> = (0..ty.rank() as u32).collect();
    b.reduce(ReduceKind::Sum, v, &all)
}

fn scalar(c: &Case, v: ValueId, feeds: &Feeds) -> f64 {
    run_values(c.b.graph(), feeds, &[v]).expect("feeds fit")[0].data[0]
}

/// Holds the gradient of `y` by every float operand against differences.
fn check(c: &mut Case, what: &str, y: ValueId) {
    let xs = c.xs.clone();
    let gs = grad(&mut c.b, y, &xs);
    for (i, (&x, g)) in xs.iter().zip(gs).enumerate() {
        if !c.b.ty(x).dtype.is_float() {
            assert_eq!(g, None, "{what}: an int operand has no gradient");
            continue;
        }
        let n = c.feeds.slots[i].data.len();
        let got = match g {
            Some(g) => run_values(c.b.graph(), &c.feeds, &[g]).expect("feeds fit")[0].data.clone(),
            None => vec![0.0; n],
        };
        for (e, &got) in got.iter().enumerate() {
            let mut at = |d: f64| {
                let old = c.feeds.slots[i].data[e];
                c.feeds.slots[i].data[e] = old + d;
                let y = scalar(c, y, &c.feeds);
                c.feeds.slots[i].data[e] = old;
                y
            };
            let want = (8.0 * (at(H) - at(-H)) - (at(2.0 * H) - at(-2.0 * H))) / (12.0 * H);
            let scale = 1.0 + want.abs();
            assert!(
                (got - want).abs() <= 1e-6 * scale,
                "{what}, operand {i}, element {e}: {got}, differences say {want}"
            );
        }
    }
}

#[test]
fn every_op_has_the_gradient_that_differences_say() {
    let mut checked = 0;
    for s in samples() {
        for seed in 0..3 {
            let Some(mut c) = case(&s, seed) else { continue };
            let y = c.y;
            check(&mut c, &format!("{:?}", s.op), y);
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked} cases");
}

#[test]
fn every_smooth_op_has_the_second_gradient_that_differences_say() {
    let mut checked = 0;
    for s in samples().into_iter().filter(|s| s.smooth) {
        let Some(mut c) = case(&s, 5) else { continue };
        let (xs, y) = (c.xs.clone(), c.y);
        let gs = grad(&mut c.b, y, &xs);
        let mut r = Rand::new(6);
        let parts: Vec<ValueId> = gs.into_iter().flatten().map(|g| weighted(&mut c.b, g, &mut r)).collect();
        for (i, part) in parts.into_iter().enumerate() {
            check(&mut c, &format!("second order of {:?} by operand {i}", s.op), part);
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} cases");
}

/// Shapes at the edges: a scalar, nothing, one, primes and vector widths beside them, eight axes.
#[test]
fn elementwise_gradients_hold_at_every_shape() {
    let shapes: [&[u64]; 8] = [&[], &[0], &[1], &[17], &[3, 0, 2], &[1, 7], &[15, 2], &[1, 2, 1, 2, 1, 2, 1, 2]];
    for &e in Ew::ALL.iter().filter(|e| e.spec().vjp.is_some()) {
        let row = e.spec();
        for shape in shapes {
            let select = |i: usize| row.arity == 3 && i == 0;
            let ty = |i: usize| TensorTy::new(if select(i) { DType::Bool } else { DType::F32 }, shape.iter().copied());
            let fill = |(i, &(lo, hi)): (usize, &(f64, f64))| (ty(i), Fill::Uniform(lo, hi));
            let x = row.sample.iter().enumerate().map(fill).collect();
            let mut c = case(&Sample::smooth(Op::Ew(e), x), 3).expect("floats");
            let y = c.y;
            check(&mut c, &format!("{} at {shape:?}", row.name), y);
        }
    }
}

/// `f(x, x)`: both cotangents reach the one operand.
#[test]
fn a_repeated_operand_takes_both_cotangents() {
    for e in [Ew::Add, Ew::Mul, Ew::Div, Ew::Pow] {
        let mut c =
            case(&Sample::smooth(Op::Ew(Ew::Exp), vec![(TensorTy::new(DType::F32, [5]), Fill::Uniform(0.5, 1.5))]), 2)
                .expect("floats");
        let x = c.xs[0];
        let y = c.b.ew(e, &[x, x]);
        let y = weighted(&mut c.b, y, &mut Rand::new(4));
        check(&mut c, e.spec().name, y);
    }
}

/// Every op with an axis, over axes of size 0 and 1: rules must not divide, shift or count past the end.
#[test]
fn gradients_over_empty_and_single_axes() {
    for n in [0u64, 1] {
        let ty = TensorTy::new(DType::F32, [2, n]);
        let mut ops = vec![
            Op::Reverse([1].as_slice().into()),
            Op::Permute([1, 0].as_slice().into()),
            Op::Reshape([n, 2].as_slice().into()),
            Op::Slice {
                start: [0, 0].as_slice().into(),
                stop: [2, n].as_slice().into(),
                step: [1, 2].as_slice().into(),
            },
            Op::Broadcast { shape: [3, 2, n].as_slice().into(), axes: [1, 2].as_slice().into() },
        ];
        for kind in ReduceKind::ALL {
            ops.push(Op::Reduce { kind, axes: [1].as_slice().into() });
            ops.push(Op::Reduce { kind, axes: [0, 1].as_slice().into() });
            ops.push(Op::Cumulate { kind, axis: 1 });
        }
        for op in ops {
            let what = format!("{op:?} on {ty}");
            let mut c = case(&Sample::kinked(op, vec![(ty.clone(), Fill::Distinct(0.5))]), 1).expect("floats");
            if n == 0 {
                // Nothing to differ by; the gradient exists and is empty.
                let (xs, y) = (c.xs.clone(), c.y);
                let g = grad(&mut c.b, y, &xs)[0].expect("depends on x");
                assert_eq!(run_values(c.b.graph(), &c.feeds, &[g]).map(|v| v[0].data.len()), Ok(0), "{what}");
            } else {
                let y = c.y;
                check(&mut c, &what, y);
            }
        }
    }
}

/// The gradient of `f(x)` summed, at given elements.
fn grad_at(x: &[f64], f: impl Fn(&mut Builder, ValueId) -> ValueId) -> Vec<f64> {
    let mut b = Builder::new("t");
    let ty = TensorTy::new(DType::F32, [x.len() as u64]);
    let v = b.input(Slot { name: "x".into(), kind: SlotKind::Data, ty: ty.clone() });
    let y = f(&mut b, v);
    let all: Vec<u32> = (0..b.ty(y).rank() as u32).collect();
    let y = b.reduce(ReduceKind::Sum, y, &all);
    let g = grad(&mut b, y, &[v])[0].expect("depends on x");
    let feeds = Feeds { slots: vec![Tensor::new(ty, x.to_vec())], ..Feeds::default() };
    run_values(b.graph(), &feeds, &[g]).expect("feeds fit")[0].data.clone()
}

#[test]
fn ties_and_kinks_follow_the_table() {
    let zero = |b: &mut Builder, x| b.zeros_like(x);
    // Binary max and min split ties; relu by select takes 0 at 0.
    let max = |b: &mut Builder, x| {
        let z = zero(b, x);
        b.ew(Ew::Max, &[x, z])
    };
    assert_eq!(grad_at(&[-1.0, 0.0, 2.0], max), [0.0, 0.5, 1.0]);
    let min = |b: &mut Builder, x| {
        let z = zero(b, x);
        b.ew(Ew::Min, &[z, x])
    };
    assert_eq!(grad_at(&[-1.0, 0.0, 2.0], min), [1.0, 0.5, 0.0]);
    let relu = |b: &mut Builder, x| {
        let z = zero(b, x);
        let off = b.ew(Ew::Le, &[x, z]);
        b.ew(Ew::Select, &[off, z, x])
    };
    assert_eq!(grad_at(&[-1.0, 0.0, 2.0], relu), [0.0, 0.0, 1.0]);
    // Reductions route to the first extreme.
    assert_eq!(grad_at(&[1.0, 3.0, 3.0], |b, x| b.reduce(ReduceKind::Max, x, &[0])), [0.0, 1.0, 0.0]);
    assert_eq!(grad_at(&[2.0, 2.0, 3.0], |b, x| b.reduce(ReduceKind::Min, x, &[0])), [1.0, 0.0, 0.0]);
    assert_eq!(grad_at(&[1.0, 1.0, 2.0], |b, x| b.cumulate(ReduceKind::Max, x, 0)), [2.0, 0.0, 1.0]);
    // Products know zeros.
    assert_eq!(grad_at(&[0.0, 3.0, 4.0], |b, x| b.reduce(ReduceKind::Prod, x, &[0])), [12.0, 0.0, 0.0]);
    assert_eq!(grad_at(&[2.0, 0.0, 4.0], |b, x| b.cumulate(ReduceKind::Prod, x, 0)), [1.0, 10.0, 0.0]);
    // The root of zero and powers at their edges.
    assert_eq!(grad_at(&[0.0, 4.0], |b, x| b.ew(Ew::Sqrt, &[x])), [0.0, 0.25]);
    let pow0 = |b: &mut Builder, x| {
        let z = zero(b, x);
        b.ew(Ew::Pow, &[x, z])
    };
    assert_eq!(grad_at(&[0.0, 2.0], pow0), [0.0, 0.0]);
    let power_of_zero = |b: &mut Builder, x| {
        let z = zero(b, x);
        b.ew(Ew::Pow, &[z, x])
    };
    assert_eq!(grad_at(&[1.0, 2.0], power_of_zero), [0.0, 0.0]);
    // An unused branch may be infinite.
    let guarded = |b: &mut Builder, x| {
        let z = zero(b, x);
        let on = b.ew(Ew::Gt, &[x, z]);
        let l = b.ew(Ew::Log, &[x]);
        b.ew(Ew::Select, &[on, l, z])
    };
    assert_eq!(grad_at(&[4.0], guarded), [0.25]);
    // Scatter: the last writer, or the old value and then the first update, wins.
    let scatter = |kind, init: f64| {
        move |b: &mut Builder, x| {
            let idx = b.table(&TensorTy::new(DType::I32, [3]), &[0.0, 0.0, 0.0]);
            let old = b.splat(&TensorTy::new(DType::F32, [1]), init);
            b.scatter(kind, old, idx, x, 0)
        }
    };
    assert_eq!(grad_at(&[1.0, 2.0, 2.0], scatter(ScatterKind::Set, 0.0)), [0.0, 0.0, 1.0]);
    assert_eq!(grad_at(&[1.0, 2.0, 2.0], scatter(ScatterKind::Max, 0.0)), [0.0, 1.0, 0.0]);
    assert_eq!(grad_at(&[1.0, 2.0, 2.0], scatter(ScatterKind::Max, 2.0)), [0.0, 0.0, 0.0]);
}

#[test]
fn nothing_flows_through_stop_and_paths_tell_where_they_end() {
    let mut b = Builder::new("t");
    let ty = TensorTy::new(DType::F32, [3]);
    let x = b.input(Slot { name: "x".into(), kind: SlotKind::Param, ty: ty.clone() });
    let u = b.input(Slot { name: "u".into(), kind: SlotKind::Data, ty });
    let e = b.ew(Ew::Exp, &[x]);
    let s = b.stop(e);
    let y = b.ew(Ew::Mul, &[s, x]);
    let y = b.reduce(ReduceKind::Sum, y, &[0]);
    // d(stop(e^x) x)/dx = e^x
    let g = grad(&mut b, y, &[x, u]);
    assert_eq!(g[1], None);
    let feeds = Feeds { slots: vec![Tensor::splat(b.ty(x).clone(), 1.0)], ..Feeds::default() };
    let values = run_values(b.graph(), &feeds, &[g[0].expect("depends on x")]).expect("only x is needed");
    assert_eq!(values[0].data, [std::f64::consts::E; 3]);
    assert_eq!(path_ends_at(b.graph(), y, &[x]), None);
    let a = b.arg_reduce(ArgKind::Max, e, 0);
    let y = b.cast(a, DType::F32);
    assert_eq!(grad(&mut b, y, &[x]), [None]);
    assert_eq!(path_ends_at(b.graph(), y, &[x]), Some(y));
    let y = b.reduce(ReduceKind::Sum, s, &[0]);
    assert_eq!(path_ends_at(b.graph(), y, &[x]), Some(s));
    assert_eq!(path_ends_at(b.graph(), y, &[u]), None);
}

#[test]
fn gradients_keep_spans_and_cotangents_add_up() {
    use crate::source::{FileId, Span};
    let mut b = Builder::new("t");
    let ty = TensorTy::scalar(DType::F32);
    let x = b.input(Slot { name: "x".into(), kind: SlotKind::Param, ty });
    b.span = Some(Span { file: FileId(0), start: 3, end: 9 });
    let y = b.ew(Ew::Sin, &[x]);
    b.span = None;
    let before = b.graph().nodes.len();
    let one = b.scalar(DType::F32, 1.0);
    let g = vjp(&mut b, &[y, y], &[one, one], &[x])[0].expect("depends on x");
    let new = &b.graph().nodes[before..];
    assert!(new.iter().any(|n| n.op == Op::Ew(Ew::Cos) && n.span.is_some()));
    let feeds = Feeds { slots: vec![Tensor::scalar(DType::F32, 0.0)], ..Feeds::default() };
    assert_eq!(run_values(b.graph(), &feeds, &[g]).map(|v| v[0].data[0]), Ok(2.0));
}
