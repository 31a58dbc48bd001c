//! Derivatives of loops against those of the same computation written out step by step, first and second order.

use crate::grad::grad;
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, Slot, SlotKind, ValueId};
use crate::graph::interp::{Feeds, run_values};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::region::Scan;
use crate::graph::ops::{DotDims, Fill, Op, ReduceKind};
use crate::graph::parse::parse;
use crate::graph::print::to_text;
use crate::graph::sampler::Rand;
use crate::graph::ty::TensorTy;
use crate::graph::verify::verify;
use nn_runtime::dtype::DType;

fn ty(shape: &[u64]) -> TensorTy {
    TensorTy::new(DType::F32, shape.iter().copied())
}

fn slot(name: &str, shape: &[u64]) -> Slot {
    Slot { name: name.into(), kind: SlotKind::Data, ty: ty(shape) }
}

fn product(b: &mut Builder, x: ValueId, w: ValueId) -> ValueId {
    let (lhs_contract, rhs_contract) = ([1].as_slice().into(), [0].as_slice().into());
    b.dot(x, w, DotDims { lhs_contract, rhs_contract, ..DotDims::default() })
}

fn total(b: &mut Builder, v: ValueId) -> ValueId {
    let all: Vec<u32> = (0..b.shape(v).len() as u32).collect();
    b.reduce(ReduceKind::Sum, v, &all)
}

/// `h' = tanh(x wx + h wh + b)`, `s' = s + sum h'^2`, and `h' b` to stack.
fn step(b: &mut Builder, [h, s, x, wx, wh, bias]: [ValueId; 6]) -> [ValueId; 3] {
    let (p, q) = (product(b, x, wx), product(b, h, wh));
    let shape = b.shape(p);
    let bias = b.broadcast(bias, &shape, &[1]);
    let z = b.ew(Ew::Add, &[p, q]);
    let z = b.ew(Ew::Add, &[z, bias]);
    let h = b.ew(Ew::Tanh, &[z]);
    let hh = b.ew(Ew::Mul, &[h, h]);
    let hh = total(b, hh);
    let s = b.ew(Ew::Add, &[s, hh]);
    let y = b.ew(Ew::Mul, &[h, bias]);
    [h, s, y]
}

const SHAPES: [&[u64]; 6] = [&[2, 3], &[], &[4, 2, 2], &[2, 3], &[3, 3], &[3]];

/// The loss over a loop, or written out.
fn loss(b: &mut Builder, xs: &[ValueId], length: u64, reverse: bool, unroll: bool) -> ValueId {
    let (h, s, ys) = if unroll {
        let (mut h, mut s) = (xs[0], xs[1]);
        let mut ys = vec![];
        for t in 0..length {
            let t = if reverse { length - 1 - t } else { t };
            let x = b.slice(xs[2], &[t, 0, 0], &[t + 1, 2, 2], &[1, 1, 1]);
            let x = b.reshape(x, &[2, 2]);
            let [h1, s1, y] = step(b, [h, s, x, xs[3], xs[4], xs[5]]);
            let y = b.reshape(y, &[1, 2, 3]);
            (h, s) = (h1, s1);
            ys.push(y);
        }
        if reverse {
            ys.reverse();
        }
        (h, s, b.concat(&ys, 0))
    } else {
        let mut inner = Builder::new("");
        let mut shapes = SHAPES.map(<[u64]>::to_vec);
        shapes[2].remove(0);
        let names = ["h", "s", "x", "wx", "wh", "b"];
        let mut of = [ValueId(0); 6];
        for i in 0..6 {
            of[i] = inner.input(slot(names[i], &shapes[i]));
        }
        let [h, s, y] = step(&mut inner, of);
        inner.output("h", h);
        inner.output("s", s);
        inner.output("y", y);
        let scan = Scan { body: inner.finish().into(), length, carries: 2, scanned: 1, reverse };
        let r = b.scan(&scan, xs);
        (r[0], r[1], r[2])
    };
    // Every element counts differently.
    let shape = b.shape(ys);
    let n: u64 = shape.iter().product();
    let weights: Vec<f64> = (0..n).map(|i| 0.25 + (i % 7) as f64 * 0.125).collect();
    let weights = b.table(&ty(&shape), &weights);
    let ys = b.ew(Ew::Mul, &[ys, weights]);
    let (ys, h) = (total(b, ys), b.ew(Ew::Exp, &[h]));
    let h = total(b, h);
    let sum = b.ew(Ew::Add, &[ys, h]);
    let s = b.ew(Ew::Mul, &[s, s]);
    b.ew(Ew::Add, &[sum, s])
}

fn all(length: u64, reverse: bool, unroll: bool) -> (Graph, Vec<Vec<f64>>) {
    let (g, feeds) = example(length, reverse, unroll, true);
    let want: Vec<ValueId> = g.outputs.iter().map(|o| o.value).collect();
    let values = run_values(&g, &feeds, &want).unwrap_or_else(|e| panic!("{e}"));
    (g, values.into_iter().map(|t| t.data).collect())
}

/// A loss over a loop, or written out, its derivatives, and those of a mix of them.
pub(crate) fn example(length: u64, reverse: bool, unroll: bool, second: bool) -> (Graph, Feeds) {
    let mut b = Builder::new("loop");
    let mut r = Rand::new(7);
    let mut feeds = Feeds::default();
    let mut xs = vec![];
    for (i, shape) in SHAPES.iter().enumerate() {
        let mut shape = shape.to_vec();
        if i == 2 {
            shape[0] = length;
        }
        xs.push(b.input(slot(&format!("in{i}"), &shape)));
        feeds.slots.push(r.fill(&ty(&shape), Fill::Uniform(-1.0, 1.0)));
    }
    let y = loss(&mut b, &xs, length, reverse, unroll);
    let first = grad(&mut b, y, &xs);
    let mut want = vec![y];
    want.extend(first.iter().flatten());
    let mut mix = b.scalar(DType::F32, 0.0);
    for g in first.iter().flatten() {
        let t = b.ew(Ew::Mul, &[*g, *g]);
        let t = total(&mut b, t);
        mix = b.ew(Ew::Add, &[mix, t]);
    }
    if second {
        want.extend(grad(&mut b, mix, &xs).iter().flatten());
    }
    for (i, &v) in want.iter().enumerate() {
        b.output(&format!("o{i}"), v);
    }
    (b.finish(), feeds)
}

#[test]
fn loops_have_the_derivatives_of_what_they_compute() {
    for (length, reverse) in [(4, false), (4, true), (1, false)] {
        let (g, looped) = all(length, reverse, false);
        let (_, written) = all(length, reverse, true);
        verify(&g).unwrap_or_else(|e| panic!("{e}\n{}", to_text(&g)));
        assert!(g.nodes.len() < 400 || length > 1, "{} nodes", g.nodes.len());
        assert_eq!(looped.len(), written.len());
        for (i, (a, b)) in looped.iter().zip(&written).enumerate() {
            for (p, q) in a.iter().zip(b) {
                assert!((p - q).abs() <= 1e-9 * q.abs().max(1.0), "{length} {reverse}: value {i} is {p}, not {q}");
            }
        }
    }
}

/// A loop of no steps gives its first values, and its derivatives go to them.
#[test]
fn no_steps_are_nothing() {
    let (g, values) = all(0, false, false);
    verify(&g).unwrap_or_else(|e| panic!("{e}"));
    assert!(values.iter().flatten().all(|x| x.is_finite()));
    // By `h`: e^h. By what the steps would read: nothing.
    assert!(values[1].iter().all(|x| *x > 0.0) && values[3].is_empty());
    assert!(values[4].iter().all(|x| *x == 0.0));
}

#[test]
fn loops_print_and_parse() {
    let (g, _) = all(3, true, false);
    let text = to_text(&g);
    let back = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(to_text(&back), text);
    assert!(g.nodes.iter().any(|n| matches!(&n.op, Op::Scan(s) if s.reverse)));
}
