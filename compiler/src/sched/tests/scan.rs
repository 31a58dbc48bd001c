//! Loops: what a step is in kernels, where threads meet, and that loops compute what they mean.

use super::structure::{input, optimized};
use super::*;
use crate::graph::graph::Slot;
use crate::graph::ops::DotDims;
use crate::graph::ops::region::Scan;
use crate::graph::ty::TensorTy;
use crate::kernel::ir::{Seq, Split, Stmt, launches};
use std::sync::Arc;

const F: DType = DType::F32;

/// The body of a loop over slots of these shapes: what it is makes its outputs.
pub(super) fn body(slots: &[(&str, &[u64])], make: impl Fn(&mut Builder, &[ValueId]) -> Vec<ValueId>) -> Arc<Graph> {
    let mut b = Builder::new("");
    let slot = |&(name, shape): &(&str, &[u64])| {
        let ty = TensorTy::new(F, shape.iter().copied());
        Slot { name: name.into(), kind: SlotKind::Data, ty }
    };
    let x: Vec<ValueId> = slots.iter().map(|s| b.input(slot(s))).collect();
    for (i, v) in make(&mut b, &x).into_iter().enumerate() {
        b.output(&format!("y{i}"), v);
    }
    Arc::new(b.finish())
}

pub(super) fn product(b: &mut Builder, x: ValueId, w: ValueId) -> ValueId {
    let (lhs_contract, rhs_contract) = ([1].as_slice().into(), [0].as_slice().into());
    b.dot(x, w, DotDims { lhs_contract, rhs_contract, ..DotDims::default() })
}

fn seqs(body: &[Stmt]) -> Vec<&Seq> {
    body.iter()
        .filter_map(|s| match s {
            Stmt::Seq(s) => Some(s),
            Stmt::Launch(_) => None,
        })
        .collect()
}

fn check(g: &Graph) -> KernelProgram {
    let f = feeds(g, 5);
    match differ(g, &f) {
        Ok(p) => {
            near(g, &p, &f);
            p
        }
        Err(why) => {
            let ir = schedule(g, &Layout::of(g)).map(|p| print::program(&p)).unwrap_or_default();
            panic!("{why}\n{}\n{ir}", crate::graph::print::to_text(g))
        }
    }
}

/// The bound of [`bound`] grows with each step as if every rounding were the worst; these loops do not let errors grow.
fn near(g: &Graph, p: &KernelProgram, f: &Feeds) {
    let mut arenas = bound::fed(g, p, f).expect("feeds fit");
    kinterp::run(p, &mut arenas, f.seed, f.step).expect("runs");
    let want = crate::graph::interp::run(g, f).expect("evaluates");
    let results = g.outputs.iter().zip(want).filter(|(o, _)| o.assign.is_none());
    for ((o, want), (_, id)) in results.zip(&p.outputs) {
        let got = arenas.read_f32(&p.buffers[id.0 as usize]);
        let worst = got.iter().zip(&want.data).map(|(g, w)| (f64::from(*g) - w).abs() / w.abs().max(1.0));
        let worst = worst.fold(0.0, f64::max);
        assert!(worst < 1e-5, "{} is off by {worst:e}", o.name);
    }
}

/// A layer of LSTM cells: `z = x wx + h wh + b`, four gates, a new cell and a new state, which is stacked.
fn lstm(batch: u64, steps: u64, width: u64, grad_too: bool) -> Graph {
    let mut b = Builder::new("lstm");
    let all = 4 * width;
    let (xs, _) = input(&mut b, "xs", SlotKind::Data, F, &[steps, batch, width]);
    let (wx, _) = input(&mut b, "wx", SlotKind::Param, F, &[width, all]);
    let (wh, _) = input(&mut b, "wh", SlotKind::Param, F, &[width, all]);
    let (bias, _) = input(&mut b, "b", SlotKind::Param, F, &[all]);
    let h0 = b.splat(&TensorTy::new(F, [batch, width]), 0.0);
    let state: &[u64] = &[batch, width];
    let slots: [(&str, &[u64]); 6] =
        [("h", state), ("c", state), ("x", state), ("wx", &[width, all]), ("wh", &[width, all]), ("b", &[all])];
    let body = body(&slots, |b, v| {
        let (p, q) = (product(b, v[2], v[3]), product(b, v[0], v[4]));
        let bias = b.broadcast(v[5], &[batch, all], &[1]);
        let z = b.ew(Ew::Add, &[p, q]);
        let z = b.ew(Ew::Add, &[z, bias]);
        let cut = |b: &mut Builder, i: u64| b.slice(z, &[0, i * width], &[batch, (i + 1) * width], &[1, 1]);
        let gate = |b: &mut Builder, i: u64| {
            let z = cut(b, i);
            let z = b.ew(Ew::Neg, &[z]);
            let (e, one) = (b.ew(Ew::Exp, &[z]), b.splat_like(z, 1.0));
            let sum = b.ew(Ew::Add, &[one, e]);
            b.ew(Ew::Div, &[one, sum])
        };
        let (i, f, o) = (gate(b, 0), gate(b, 1), gate(b, 3));
        let g = cut(b, 2);
        let g = b.ew(Ew::Tanh, &[g]);
        let (fc, ig) = (b.ew(Ew::Mul, &[f, v[1]]), b.ew(Ew::Mul, &[i, g]));
        let c = b.ew(Ew::Add, &[fc, ig]);
        let t = b.ew(Ew::Tanh, &[c]);
        let h = b.ew(Ew::Mul, &[o, t]);
        vec![h, c, h]
    });
    let scan = Scan { body, length: steps, carries: 2, scanned: 1, reverse: false };
    let r = b.scan(&scan, &[h0, h0, xs, wx, wh, bias]);
    if !grad_too {
        b.output("ys", r[2]);
        b.output("c", r[1]);
        return optimized(b.finish());
    }
    let y = b.ew(Ew::Mul, &[r[2], r[2]]);
    let loss = b.reduce(ReduceKind::Sum, y, &[0, 1, 2]);
    b.output("loss", loss);
    for (i, d) in grad(&mut b, loss, &[wx, wh, bias]).into_iter().enumerate() {
        b.output(&format!("d{i}"), d.expect("a gradient"));
    }
    optimized(b.finish())
}

#[test]
fn an_lstm_of_a_batch_has_no_barrier_in_its_steps() {
    let g = lstm(32, 6, 16, false);
    let p = check(&g);
    let text = print::program(&p);
    if std::env::var("NN_SHOW").is_ok() {
        println!("{text}\n{}", memory::print(&p));
    }
    let [s] = seqs(&p.body)[..] else { panic!("one loop\n{text}") };
    let inside = launches(&s.body);
    assert!(inside.iter().all(|l| !l.barrier), "{text}");
    assert!(inside.iter().all(|l| p.kernels[l.kernel as usize].split == Split::Rows), "{text}");
    assert!(inside.iter().all(|l| l.segments[0].views.iter().any(|v| !v.by.is_empty())), "{text}");
    // Two contractions, and the cell; nothing is copied.
    assert!(inside.len() <= 3, "{text}");
}

/// Forward and backward; the stack of the states is where the steps leave them.
#[test]
fn an_lstm_and_its_gradient() {
    let p = check(&lstm(9, 5, 4, true));
    let text = print::program(&p);
    assert_eq!(seqs(&p.body).len(), 2, "{text}");
    // Threads meet in neither direction.
    let p = check(&lstm(32, 6, 16, true));
    let inside: Vec<_> = seqs(&p.body).into_iter().flat_map(|s| launches(&s.body)).collect();
    assert!(inside.len() > 4 && inside.iter().all(|l| !l.barrier), "{}", print::program(&p));
    let (large, small) = (lstm(9, 4096, 4, true), lstm(9, 16, 4, true));
    let count = |g: &Graph| schedule(g, &Layout::of(g)).expect("schedules").launches().len();
    assert_eq!(count(&large), count(&small));
}

/// Every kind of operand and result, both ways, over no step, one and some.
#[test]
fn operands_and_results_of_all_kinds() {
    for length in [0, 1, 2, 7] {
        for reverse in [false, true] {
            let mut b = Builder::new("kinds");
            let (h, _) = input(&mut b, "h0", SlotKind::State, F, &[3, 5]);
            let (s, _) = input(&mut b, "s0", SlotKind::Data, F, &[]);
            let (xs, _) = input(&mut b, "xs", SlotKind::Data, F, &[length, 5]);
            let (us, _) = input(&mut b, "us", SlotKind::Data, F, &[3, length, 5]);
            let (w, slot) = input(&mut b, "w", SlotKind::Param, F, &[5, 5]);
            let us = b.permute(us, &[1, 0, 2]);
            let h = b.ew(Ew::Neg, &[h]);
            let slots: [(&str, &[u64]); 5] = [("h", &[3, 5]), ("s", &[]), ("x", &[5]), ("u", &[3, 5]), ("w", &[5, 5])];
            let body = body(&slots, |b, v| {
                let [h, s, x, u, w] = v else { unreachable!("five slots") };
                let xb = b.broadcast(*x, &[3, 5], &[1]);
                let z = product(b, *h, *w);
                let z = b.ew(Ew::Add, &[z, xb]);
                let z = b.ew(Ew::Mul, &[z, *u]);
                let next = b.ew(Ew::Tanh, &[z]);
                let sum = b.reduce(ReduceKind::Sum, next, &[0, 1]);
                let sum = b.ew(Ew::Add, &[sum, *s]);
                // Carries, then: what the step left, found, was given; what is new, the same again, and a weight.
                vec![next, sum, next, *h, *x, *u, xb, sum, z, z, *w]
            });
            let scan = Scan { body, length, carries: 2, scanned: 2, reverse };
            let r = b.scan(&scan, &[h, s, xs, us, w]);
            for (i, &v) in r.iter().enumerate() {
                b.output(&format!("r{i}"), v);
            }
            let first = b.op(Op::Reverse([0].as_slice().into()), &[r[9]]);
            b.output("again", first);
            if length > 0 {
                let w1 = b.slice(r[10], &[0, 0, 0], &[1, 5, 5], &[1, 1, 1]);
                let w1 = b.reshape(w1, &[5, 5]);
                let m = b.reduce(ReduceKind::Max, r[2], &[0, 1]);
                let m = b.broadcast(m, &[5, 5], &[0]);
                let w1 = b.ew(Ew::Add, &[w1, m]);
                b.assign(slot, w1);
            }
            check(&b.finish());
        }
    }
}

/// The result of one loop starts another; carries change places; parameters take results.
#[test]
fn loops_in_a_row_and_carries_that_change_places() {
    let mut b = Builder::new("row");
    let (x, a) = input(&mut b, "x", SlotKind::Param, F, &[4]);
    let (y, _) = input(&mut b, "y", SlotKind::State, F, &[4]);
    let swap = body(&[("p", &[4]), ("q", &[4])], |b, v| {
        let s = b.ew(Ew::Add, &[v[0], v[1]]);
        vec![v[1], s, v[0]]
    });
    let scan = Scan { body: swap, length: 5, carries: 2, scanned: 0, reverse: false };
    let r = b.scan(&scan, &[x, y]);
    let back = Scan { reverse: true, ..scan };
    let q = b.scan(&back, &[r[1], r[0]]);
    b.assign(a, q[1]);
    for (i, v) in r.into_iter().chain(q).enumerate() {
        b.output(&format!("r{i}"), v);
    }
    check(&b.finish());
}

#[test]
fn loops_inside_loops() {
    for (outer, inner) in [(3, 4), (1, 5), (4, 1), (2, 0)] {
        let mut b = Builder::new("nested");
        let (h, _) = input(&mut b, "h", SlotKind::Data, F, &[8, 6]);
        let (xs, _) = input(&mut b, "xs", SlotKind::Data, F, &[outer, inner, 8, 6]);
        let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[6, 6]);
        let deep = body(&[("h", &[8, 6]), ("x", &[8, 6]), ("w", &[6, 6])], |b, v| {
            let z = product(b, v[0], v[2]);
            let z = b.ew(Ew::Add, &[z, v[1]]);
            let z = b.ew(Ew::Tanh, &[z]);
            vec![z, z]
        });
        let deep = Scan { body: deep, length: inner, carries: 1, scanned: 1, reverse: true };
        let wide = body(&[("h", &[8, 6]), ("xs", &[inner, 8, 6]), ("w", &[6, 6])], |b, v| {
            let r = b.scan(&deep, &[v[0], v[1], v[2]]);
            let m = b.reduce(ReduceKind::Max, r[0], &[1]);
            let m = b.broadcast(m, &[8, 6], &[0]);
            let next = b.sub(r[0], m);
            vec![next, r[1], r[0]]
        });
        let scan = Scan { body: wide, length: outer, carries: 1, scanned: 1, reverse: false };
        let r = b.scan(&scan, &[h, xs, w]);
        r.into_iter().enumerate().for_each(|(i, v)| b.output(&format!("r{i}"), v));
        check(&b.finish());
    }
}

/// Columns that every thread keeps to need no barrier either; a product with all of them does.
#[test]
fn barriers_in_a_loop_are_where_threads_meet() {
    let with = |n: u64, all: bool| {
        let mut b = Builder::new("columns");
        let (h, _) = input(&mut b, "h", SlotKind::Data, F, &[1, n]);
        let (xs, _) = input(&mut b, "xs", SlotKind::Data, F, &[9, 1, n]);
        let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[n, n]);
        let body = body(&[("h", &[1, n]), ("x", &[1, n]), ("w", &[n, n])], |b, v| {
            let h = if all { product(b, v[0], v[2]) } else { v[0] };
            let h = b.ew(Ew::Mul, &[h, v[1]]);
            vec![b.ew(Ew::Tanh, &[h])]
        });
        let scan = Scan { body, length: 9, carries: 1, scanned: 1, reverse: false };
        let r = b.scan(&scan, &[h, xs, w]);
        b.output("h", r[0]);
        let g = b.finish();
        let p = differ(&g, &feeds(&g, 5)).unwrap_or_else(|e| panic!("{e}"));
        let [s] = seqs(&p.body)[..] else { panic!("one loop") };
        (launches(&s.body).iter().filter(|l| l.barrier).count(), print::program(&p))
    };
    let (none, text) = with(2048, false);
    assert_eq!(none, 0, "{text}");
    let (some, text) = with(256, true);
    assert!(some > 0, "{text}");
    // What is little is one thread's.
    let (none, text) = with(128, true);
    assert_eq!(none, 0, "{text}");
}

/// What lies the batch first is scanned along its second axis where it lies: no copy of it, and no slice.
#[test]
fn a_scan_along_an_inner_axis_copies_nothing() {
    let mut b = Builder::new("inner");
    let (xs, _) = input(&mut b, "xs", SlotKind::Data, F, &[8, 5, 4]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[4, 4]);
    let along = b.permute(xs, &[1, 0, 2]);
    let turned = b.permute(w, &[1, 0]);
    let h0 = b.splat(&TensorTy::new(F, [8, 4]), 0.25);
    let body = body(&[("h", &[8, 4]), ("x", &[8, 4]), ("w", &[4, 4])], |b, v| {
        let h = product(b, v[0], v[2]);
        let h = b.ew(Ew::Mul, &[h, v[1]]);
        vec![b.ew(Ew::Tanh, &[h])]
    });
    let scan = Scan { body, length: 5, carries: 1, scanned: 1, reverse: false };
    let r = b.scan(&scan, &[h0, along, turned]);
    b.output("h", r[0]);
    let p = check(&b.finish());
    let text = print::program(&p);
    let temporaries = p.buffers.iter().filter(|b| b.arena == Arena::Temp).count();
    assert_eq!((p.launches().len(), temporaries), (3, 1), "{text}");
    assert!(text.contains("%xs[4*t0; 144]"), "{text}");
}
