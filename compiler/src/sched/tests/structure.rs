//! Counts of kernels, launches and bytes for graphs written by hand.

use super::*;
use crate::grad::grad;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{DotDims, Op, ReduceKind};
use crate::graph::ty::TensorTy;
use crate::kernel::ir::{Anchor, Split};
use crate::opt::PASSES;
use crate::pass::{PassOptions, run_passes};

pub(super) fn input(b: &mut Builder, name: &str, kind: SlotKind, dtype: DType, shape: &[u64]) -> (ValueId, u32) {
    let slot = b.graph().slots.len() as u32;
    let ty = TensorTy::new(dtype, shape.iter().copied());
    (b.input(Slot { name: name.into(), kind, ty }), slot)
}

pub(super) fn optimized(g: Graph) -> Graph {
    run_passes(g, PASSES, &PassOptions::default()).expect("passes keep the graph valid").graph
}

/// A train step of a classifier with the given widths: normalized `u8` input, relu, dropout, cross-entropy, Adam.
pub(super) fn mlp(batch: u64, widths: &[u64]) -> Graph {
    let mut b = Builder::new("mlp.train");
    let f = DType::F32;
    let (x, _) = input(&mut b, "x", SlotKind::Data, DType::U8, &[batch, widths[0]]);
    let (y, _) = input(&mut b, "y", SlotKind::Data, DType::I32, &[batch]);
    let (t, _) = input(&mut b, "t", SlotKind::Step, f, &[]);
    let mut h = b.cast(x, f);
    for (scale, op) in [(1.0 / 255.0, Ew::Mul), (-0.1307, Ew::Add), (1.0 / 0.3081, Ew::Mul)] {
        let c = b.splat_like(h, scale);
        h = b.ew(op, &[h, c]);
    }
    let mut params = vec![];
    for (i, w) in widths.windows(2).enumerate() {
        let (wt, ws) = input(&mut b, &format!("fc{i}.weight"), SlotKind::Param, f, &[w[1], w[0]]);
        let (bias, bs) = input(&mut b, &format!("fc{i}.bias"), SlotKind::Param, f, &[w[1]]);
        params.extend([(wt, ws), (bias, bs)]);
        b.scope = Some(format!("fc{i}").as_str().into());
        let dims =
            DotDims { lhs_contract: [1].as_slice().into(), rhs_contract: [1].as_slice().into(), ..DotDims::default() };
        let z = b.dot(h, wt, dims);
        let bias = b.broadcast(bias, &[batch, w[1]], &[1]);
        let z = b.ew(Ew::Add, &[z, bias]);
        h = z;
        if i + 2 < widths.len() {
            let zero = b.zeros_like(z);
            let a = b.ew(Ew::Max, &[z, zero]);
            let bits = b.op(Op::Rng { site: i as u32, shape: [batch, w[1]].as_slice().into() }, &[]);
            let eight = b.splat_like(bits, 8.0);
            let bits = b.ew(Ew::Shr, &[bits, eight]);
            let u = b.cast(bits, f);
            let p = b.splat_like(u, 0.8 * (1 << 24) as f64);
            let keep = b.ew(Ew::Lt, &[u, p]);
            let scale = b.splat_like(a, 1.25);
            let a = b.ew(Ew::Mul, &[a, scale]);
            h = b.ew(Ew::Select, &[keep, a, zero]);
        }
    }
    b.scope = Some("loss".into());
    let n = widths[widths.len() - 1];
    let m = b.reduce(ReduceKind::Max, h, &[1]);
    let m = b.stop(m);
    let mb = b.broadcast(m, &[batch, n], &[0]);
    let s = b.sub(h, mb);
    let e = b.ew(Ew::Exp, &[s]);
    let sum = b.reduce(ReduceKind::Sum, e, &[1]);
    let lse = b.ew(Ew::Log, &[sum]);
    let i = b.iota(&[batch, n], 1);
    let yb = b.broadcast(y, &[batch, n], &[0]);
    let hit = b.ew(Ew::Eq, &[i, yb]);
    let zero = b.zeros_like(s);
    let picked = b.ew(Ew::Select, &[hit, s, zero]);
    let picked = b.reduce(ReduceKind::Sum, picked, &[1]);
    let loss = b.sub(lse, picked);
    let total = b.reduce(ReduceKind::Sum, loss, &[0]);
    let c = b.scalar(f, 1.0 / batch as f64);
    let mean = b.ew(Ew::Mul, &[total, c]);
    b.output("loss.num", total);
    b.scope = None;
    let xs: Vec<ValueId> = params.iter().map(|p| p.0).collect();
    let grads = grad(&mut b, mean, &xs);
    let corrected = |b: &mut Builder, beta: f64| {
        let c = b.scalar(f, beta);
        let p = b.ew(Ew::Pow, &[c, t]);
        let one = b.scalar(f, 1.0);
        b.sub(one, p)
    };
    let (c1, c2) = (corrected(&mut b, 0.9), corrected(&mut b, 0.999));
    for ((w, slot), g) in params.into_iter().zip(grads) {
        let g = g.expect("every parameter has a gradient");
        let (name, ty) = (b.graph().slots[slot as usize].name.clone(), b.ty(w).clone());
        let (m, ms) = input(&mut b, &format!("adam.m.{name}"), SlotKind::State, f, &ty.shape);
        let (v, vs) = input(&mut b, &format!("adam.v.{name}"), SlotKind::State, f, &ty.shape);
        let mix = |b: &mut Builder, old: ValueId, new: ValueId, beta: f64| {
            let (p, q) = (b.splat_like(old, beta), b.splat_like(old, 1.0 - beta));
            let (p, q) = (b.ew(Ew::Mul, &[old, p]), b.ew(Ew::Mul, &[new, q]));
            b.ew(Ew::Add, &[p, q])
        };
        let g2 = b.ew(Ew::Mul, &[g, g]);
        let (m1, v1) = (mix(&mut b, m, g, 0.9), mix(&mut b, v, g2, 0.999));
        let (b1, b2) = (b.broadcast(c1, &ty.shape, &[]), b.broadcast(c2, &ty.shape, &[]));
        let (mh, vh) = (b.ew(Ew::Div, &[m1, b1]), b.ew(Ew::Div, &[v1, b2]));
        let root = b.ew(Ew::Sqrt, &[vh]);
        let eps = b.splat_like(root, 1e-8);
        let den = b.ew(Ew::Add, &[root, eps]);
        let step = b.ew(Ew::Div, &[mh, den]);
        let lr = b.splat_like(step, 3e-4);
        let step = b.ew(Ew::Mul, &[step, lr]);
        let w1 = b.sub(w, step);
        b.assign(slot, w1);
        b.assign(ms, m1);
        b.assign(vs, v1);
    }
    optimized(b.finish())
}

fn launches(p: &KernelProgram) -> String {
    let mut s = String::new();
    for l in p.launches() {
        let k = &p.kernels[l.kernel as usize];
        let bufs: Vec<&str> = l.segments[0].views.iter().map(|v| p.buffers[v.buf.0 as usize].name.as_str()).collect();
        s += &format!(
            "{}{} rows {:?} cols {} phases {} split {:?} segments {}: {}\n",
            if l.barrier { "---\n" } else { "" },
            k.name,
            k.rows,
            k.cols,
            k.phases.len(),
            k.split,
            l.segments.len(),
            bufs.join(" ")
        );
    }
    s
}

/// The plan of an MLP train step: every launch has a reason, and there are no others.
#[test]
fn a_train_step_of_an_mlp_is_eighteen_launches() {
    let g = mlp(64, &[784, 256, 128, 10]);
    let p = schedule(&g, &Layout::of(&g)).expect("schedules");
    let text = format!("{}\n{}", launches(&p), memory::print(&p));
    if std::env::var("NN_SHOW").is_ok() {
        println!("{text}\n{}", print::program(&p));
    }
    let all = p.launches();
    let contractions = all.iter().filter(|l| matches!(p.kernels[l.kernel as usize].anchor, Some(Anchor::Contract(_))));
    assert_eq!(contractions.count(), 8, "3 forward, 3 weight gradients, 2 input gradients\n{text}");
    // Normalization, 2 dropout masks, 3 bias gradients, loss rows, loss sum, step scalars, update.
    assert_eq!(p.launches().len(), 8 + 10, "{text}");
    let update = all.last().expect("an update");
    assert_eq!(update.segments.len(), 6, "one segment per parameter\n{text}");
    let keeps = p.buffers.iter().filter(|b| b.arena == Arena::Temp && b.dtype == DType::Bool).count();
    assert_eq!(
        keeps, 6,
        "two dropout masks, and for each relu where it is positive and where it ties, a byte each\n{text}"
    );
    assert!(all.iter().filter(|l| l.barrier).count() <= 10, "{text}");
    assert!(p.kernels.iter().all(|k| k.split != Split::None || k.cols * k.n_rows() <= 64), "{text}");
}

/// The same on a small one, against the reference.
#[test]
fn a_small_mlp_train_step_agrees_with_the_reference() {
    let g = mlp(6, &[9, 20, 17, 5]);
    let mut f = feeds(&g, 3);
    for (s, t) in g.slots.iter().zip(&mut f.slots) {
        if &*s.name == "y" {
            t.data.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 5) as f64);
        }
        if s.name.starts_with("adam.v") {
            t.data.iter_mut().for_each(|v| *v = v.abs() + 0.25);
        }
    }
    if let Err(why) = differ(&g, &f) {
        panic!("{why}");
    }
}

/// Compile time of the plan; the budget of the whole compiler is 15 ms.
#[test]
fn scheduling_is_fast() {
    let g = mlp(64, &[784, 256, 128, 10]);
    let layout = Layout::of(&g);
    let mut best = std::time::Duration::MAX;
    for _ in 0..5 {
        let start = std::time::Instant::now();
        schedule(&g, &layout).expect("schedules");
        best = best.min(start.elapsed());
    }
    let limit = if cfg!(debug_assertions) { 400 } else { 10 };
    assert!(best.as_millis() < limit, "{best:?} for {} nodes", g.nodes.len());
    if std::env::var("NN_SHOW").is_ok() {
        println!("{best:?} for {} nodes", g.nodes.len());
    }
}

/// Time grows with the graph, not with its square: 24 layers against 3.
#[test]
fn scheduling_scales() {
    let time = |layers: usize| {
        let g = mlp(16, &vec![32; layers + 1]);
        let layout = Layout::of(&g);
        let start = std::time::Instant::now();
        let p = schedule(&g, &layout).expect("schedules");
        (start.elapsed(), g.nodes.len(), p.launches().len())
    };
    time(3);
    let (small, large) = (time(3), time(24));
    let (nodes, took) = (large.1 as f64 / small.1 as f64, large.0.as_secs_f64() / small.0.as_secs_f64());
    assert!(took < 6.0 * nodes, "{small:?} {large:?}");
    if std::env::var("NN_SHOW").is_ok() {
        println!("{small:?} {large:?}");
    }
}
