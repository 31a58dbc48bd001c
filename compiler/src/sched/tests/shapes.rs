//! Small graphs of one idiom each: how many launches they are, and that they compute what they mean.

use super::structure::{input, optimized};
use super::*;
use crate::grad::grad;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{ArgKind, DotDims, ReduceKind, ScatterKind};
use crate::kernel::ir::Anchor;

const F: DType = DType::F32;

/// Schedules, checks against the reference, and returns the program.
fn run(b: Builder) -> KernelProgram {
    let g = optimized(b.finish());
    let f = feeds(&g, 11);
    match differ(&g, &f) {
        Ok(p) => p,
        Err(why) => {
            panic!("{why}\n{}\n{}", nodes(&g), print::program(&schedule(&g, &Layout::of(&g)).unwrap_or_default()))
        }
    }
}

fn count(p: &KernelProgram) -> usize {
    p.launches().len()
}

fn over(b: &mut Builder, op: Ew, x: ValueId, row: ValueId, axes: &[u32]) -> ValueId {
    let shape = b.shape(x);
    let row = b.broadcast(row, &shape, axes);
    b.ew(op, &[x, row])
}

fn softmax(b: &mut Builder, x: ValueId, axis: u32) -> ValueId {
    let kept: Vec<u32> = (0..b.ty(x).rank() as u32).filter(|&a| a != axis).collect();
    let m = b.reduce(ReduceKind::Max, x, &[axis]);
    let m = b.ew(Ew::Neg, &[m]);
    let s = over(b, Ew::Add, x, m, &kept);
    let e = b.ew(Ew::Exp, &[s]);
    let sum = b.reduce(ReduceKind::Sum, e, &[axis]);
    over(b, Ew::Div, e, sum, &kept)
}

#[test]
fn a_dtype_without_lanes_is_a_limit_that_names_it() {
    let mut b = Builder::new("wide");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[3]);
    let y = b.cast(x, DType::I64);
    b.output("y", y);
    let g = b.finish();
    let error = schedule(&g, &Layout::of(&g)).expect_err("i64 has no lanes");
    assert_eq!(error.to_string(), "`cast` on i64 is not supported by the CPU back end");
}

#[test]
fn softmax_over_rows_is_one_kernel() {
    let mut b = Builder::new("softmax");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[3, 5, 37]);
    let y = softmax(&mut b, x, 2);
    b.output("y", y);
    let p = run(b);
    assert_eq!(count(&p), 1, "{}", print::program(&p));
    assert_eq!(p.temp_bytes, 0);
}

#[test]
fn softmax_over_columns_never_computes_the_exponential_twice() {
    let mut b = Builder::new("softmax");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[37, 65]);
    let y = softmax(&mut b, x, 0);
    b.output("y", y);
    let p = run(b);
    assert!(count(&p) <= 3, "{}", print::program(&p));
}

fn layer_norm(b: &mut Builder, x: ValueId, gain: ValueId, bias: ValueId) -> ValueId {
    let n = *b.shape(x).last().unwrap_or(&1) as f64;
    let mean = |b: &mut Builder, x: ValueId| {
        let s = b.reduce(ReduceKind::Sum, x, &[1]);
        let c = b.splat_like(s, 1.0 / n);
        b.ew(Ew::Mul, &[s, c])
    };
    let m = mean(b, x);
    let m = b.ew(Ew::Neg, &[m]);
    let d = over(b, Ew::Add, x, m, &[0]);
    let sq = b.ew(Ew::Mul, &[d, d]);
    let var = mean(b, sq);
    let eps = b.splat_like(var, 1e-5);
    let var = b.ew(Ew::Add, &[var, eps]);
    let sd = b.ew(Ew::Sqrt, &[var]);
    let y = over(b, Ew::Div, d, sd, &[0]);
    let y = over(b, Ew::Mul, y, gain, &[1]);
    over(b, Ew::Add, y, bias, &[1])
}

#[test]
fn layer_norm_is_one_kernel_and_its_gradient_rows_and_columns() {
    let mut b = Builder::new("norm");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[24, 48]);
    let (g, _) = input(&mut b, "g", SlotKind::Param, F, &[48]);
    let (c, _) = input(&mut b, "b", SlotKind::Param, F, &[48]);
    let y = layer_norm(&mut b, x, g, c);
    b.output("y", y);
    assert_eq!(count(&run(b)), 1);

    let mut b = Builder::new("norm.grad");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[24, 48]);
    let (g, _) = input(&mut b, "g", SlotKind::Param, F, &[48]);
    let (c, _) = input(&mut b, "b", SlotKind::Param, F, &[48]);
    let (t, _) = input(&mut b, "t", SlotKind::Data, F, &[24, 48]);
    let y = layer_norm(&mut b, x, g, c);
    let l = b.ew(Ew::Mul, &[y, t]);
    let l = b.reduce(ReduceKind::Sum, l, &[0, 1]);
    for (i, dx) in grad(&mut b, l, &[x, g, c]).into_iter().flatten().enumerate() {
        b.output(&format!("d{i}"), dx);
    }
    let p = run(b);
    assert!(count(&p) <= 4, "rows, and column sums of gain and bias\n{}", print::program(&p));
}

#[test]
fn attention_is_two_contractions_and_a_row_kernel() {
    let mut b = Builder::new("attention");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[2, 9, 24]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[72, 24]);
    let dims = |lb: &[u32], rb: &[u32], lc: &[u32], rc: &[u32]| DotDims {
        lhs_batch: lb.into(),
        rhs_batch: rb.into(),
        lhs_contract: lc.into(),
        rhs_contract: rc.into(),
    };
    let qkv = b.dot(x, w, dims(&[], &[], &[2], &[1]));
    let qkv = b.reshape(qkv, &[2, 9, 3, 4, 6]);
    let part = |b: &mut Builder, i: u64| {
        let s = b.slice(qkv, &[0, 0, i, 0, 0], &[2, 9, i + 1, 4, 6], &[1; 5]);
        let s = b.reshape(s, &[2, 9, 4, 6]);
        b.permute(s, &[0, 2, 1, 3])
    };
    let (q, k, v) = (part(&mut b, 0), part(&mut b, 1), part(&mut b, 2));
    let s = b.dot(q, k, dims(&[0, 1], &[0, 1], &[3], &[3]));
    let c = b.splat_like(s, 0.4);
    let s = b.ew(Ew::Mul, &[s, c]);
    let (i, j) = (b.iota(&[2, 4, 9, 9], 2), b.iota(&[2, 4, 9, 9], 3));
    let ahead = b.ew(Ew::Lt, &[i, j]);
    let low = b.splat_like(s, -1e9);
    let s = b.ew(Ew::Select, &[ahead, low, s]);
    let a = softmax(&mut b, s, 3);
    let o = b.dot(a, v, dims(&[0, 1], &[0, 1], &[3], &[2]));
    let o = b.permute(o, &[0, 2, 1, 3]);
    let o = b.reshape(o, &[2, 9, 24]);
    b.output("o", o);
    let p = run(b);
    assert_eq!(
        count(&p),
        4,
        "qkv, scores with mask, softmax rows, values in the order of heads\n{}",
        print::program(&p)
    );
}

#[test]
fn long_reductions_go_in_pieces() {
    let mut b = Builder::new("norm");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[130, 270]);
    let sq = b.ew(Ew::Mul, &[x, x]);
    let s = b.reduce(ReduceKind::Sum, sq, &[0, 1]);
    let s = b.ew(Ew::Sqrt, &[s]);
    b.output("norm", s);
    let p = run(b);
    assert!(p.kernels.iter().any(|k| k.n_rows() == 8), "{}", print::program(&p));
    assert!(count(&p) <= 3, "{}", print::program(&p));
}

#[test]
fn long_columns_go_in_pieces() {
    let mut b = Builder::new("columns");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[1030, 20]);
    let s = b.reduce(ReduceKind::Sum, x, &[0]);
    let m = b.reduce(ReduceKind::Max, x, &[0]);
    b.output("sum", s);
    b.output("max", m);
    let p = run(b);
    assert!(p.kernels.iter().any(|k| k.n_rows() == 32), "{}", print::program(&p));
}

#[test]
fn batch_statistics_reduce_over_outer_and_inner_axes() {
    let mut b = Builder::new("stats");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[6, 5, 7, 9]);
    let s = b.reduce(ReduceKind::Sum, x, &[0, 2, 3]);
    let c = b.splat_like(s, -1.0 / 378.0);
    let m = b.ew(Ew::Mul, &[s, c]);
    let d = over(&mut b, Ew::Add, x, m, &[1]);
    let sq = b.ew(Ew::Mul, &[d, d]);
    let v = b.reduce(ReduceKind::Sum, sq, &[0, 2, 3]);
    b.output("mean", m);
    b.output("var", v);
    let e = b.reduce(ReduceKind::Sum, x, &[0, 2]);
    b.output("outer", e);
    let p = run(b);
    assert!(count(&p) <= 3, "{}", print::program(&p));
}

#[test]
fn an_embedding_and_its_gradient() {
    let mut b = Builder::new("embedding");
    let (i, _) = input(&mut b, "i", SlotKind::Data, DType::I32, &[3, 7]);
    let (w, slot) = input(&mut b, "w", SlotKind::Param, F, &[8, 20]);
    let (t, _) = input(&mut b, "t", SlotKind::Data, F, &[3, 7, 20]);
    let e = b.gather(w, i, 0);
    let l = b.ew(Ew::Mul, &[e, t]);
    let l = b.ew(Ew::Mul, &[l, e]);
    let l = b.reduce(ReduceKind::Sum, l, &[0, 1, 2]);
    b.output("l", l);
    let g = grad(&mut b, l, &[w])[0].expect("a gradient");
    let lr = b.splat_like(g, -0.1);
    let step = b.ew(Ew::Mul, &[g, lr]);
    let w1 = b.ew(Ew::Add, &[w, step]);
    b.assign(slot, w1);
    let p = run(b);
    assert!(count(&p) <= 6, "{}", print::program(&p));
}

#[test]
fn results_through_views_are_stored_where_they_belong() {
    let mut b = Builder::new("views");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[20, 33]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[17, 33]);
    let dims =
        DotDims { lhs_contract: [1].as_slice().into(), rhs_contract: [1].as_slice().into(), ..DotDims::default() };
    let y = b.dot(x, w, dims);
    let y = b.permute(y, &[1, 0]);
    b.output("y", y);
    let p = run(b);
    assert_eq!(count(&p), 1, "{}", print::program(&p));
    assert_eq!(p.kernels[0].cols, 20, "columns follow the order of storage\n{}", print::program(&p));
}

#[test]
fn slots_that_take_each_others_values() {
    let mut b = Builder::new("swap");
    let (x, sx) = input(&mut b, "x", SlotKind::State, F, &[5]);
    let (y, sy) = input(&mut b, "y", SlotKind::State, F, &[5]);
    let (z, sz) = input(&mut b, "z", SlotKind::State, F, &[5]);
    b.assign(sx, y);
    b.assign(sy, x);
    let r = b.op(crate::graph::ops::Op::Reverse([0].as_slice().into()), &[z]);
    let s = b.ew(Ew::Add, &[r, x]);
    b.assign(sz, s);
    run(b);
}

#[test]
fn degenerate_contractions() {
    let mut b = Builder::new("dots");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[7]);
    let (m, _) = input(&mut b, "m", SlotKind::Data, F, &[40, 7]);
    let (e, _) = input(&mut b, "e", SlotKind::Data, F, &[3, 0]);
    let (c, _) = input(&mut b, "c", SlotKind::Data, F, &[2, 3, 4, 5]);
    let dims = |l: &[u32], r: &[u32]| DotDims { lhs_contract: l.into(), rhs_contract: r.into(), ..DotDims::default() };
    let xx = b.dot(x, x, dims(&[0], &[0]));
    let outer = b.dot(x, x, dims(&[], &[]));
    let mv = b.dot(m, x, dims(&[1], &[0]));
    let vm = b.dot(x, m, dims(&[0], &[1]));
    let none = b.dot(e, e, dims(&[1], &[1]));
    // Contracted axes that no single stride walks.
    let tangled = b.dot(c, c, dims(&[0, 2], &[0, 2]));
    // Operands that are in no memory.
    let two = b.scalar(F, 2.0);
    let free = b.dot(two, x, dims(&[], &[]));
    b.output("free", free);
    for (n, v) in [("xx", xx), ("outer", outer), ("mv", mv), ("vm", vm), ("none", none), ("tangled", tangled)] {
        b.output(n, v);
    }
    run(b);
}

/// A part of a larger tensor and weights with the given order of axes, contracted over two axes: the kernels, the contracted
/// axes of the last one, and the bytes of temporaries.
fn over_two_axes(rows: u64, w: [u64; 3], out: usize) -> (usize, Vec<u64>, u64) {
    let mut b = Builder::new("part");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[rows, 20, 40]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &w);
    let (start, stop) = ([0, 3, 4].as_slice().into(), [rows, 8, 10].as_slice().into());
    let part = b.op(Op::Slice { start, stop, step: [1, 1, 1].as_slice().into() }, &[x]);
    let over: Vec<u32> = (0..3).filter(|&i| i != out as u32).collect();
    let y = b.dot(
        part,
        w,
        DotDims { lhs_contract: [1, 2].as_slice().into(), rhs_contract: over.as_slice().into(), ..DotDims::default() },
    );
    b.output("y", y);
    let p = run(b);
    let Some(Anchor::Contract(c)) = p.kernels.last().and_then(|k| k.anchor.clone()) else { panic!("no product") };
    (count(&p), c.k.iter().map(|x| x.n).collect(), p.temp_bytes)
}

#[test]
fn tangled_operands_stay_in_place_or_the_smaller_is_stored() {
    // Weights that are walked with one stride: nothing is stored, whichever axis they have in front.
    assert_eq!(over_two_axes(64, [17, 5, 6], 0), (1, vec![5, 6], 0));
    assert_eq!(over_two_axes(64, [5, 6, 17], 2), (1, vec![5, 6], 0));
    // Tangled weights, smaller than the rows: a copy of the weights.
    assert_eq!(over_two_axes(64, [5, 17, 6], 1), (2, vec![5, 6], (4 * 5 * 17 * 6u64).next_multiple_of(64)));
    // And larger than the rows: a copy of those.
    assert_eq!(over_two_axes(3, [5, 17, 6], 1), (2, vec![5, 6], (4 * 3 * 5 * 6u64).next_multiple_of(64)));
}

#[test]
fn a_view_that_is_a_result_is_read_where_it_is_stored() {
    // As a result the permuted value has memory of its own, where both contracted axes are one; behind it they are tangled.
    let mut b = Builder::new("result");
    let (x, _) = input(&mut b, "x", SlotKind::Param, F, &[5, 6, 7]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[17, 6, 5]);
    let y = b.permute(x, &[1, 0, 2]);
    b.output("y", y);
    let (lhs_contract, rhs_contract) = ([0, 1].as_slice().into(), [1, 2].as_slice().into());
    let z = b.dot(y, w, DotDims { lhs_contract, rhs_contract, ..DotDims::default() });
    b.output("z", z);
    // As it stands: passes would contract `x` itself.
    let g = b.finish();
    let p = differ(&g, &feeds(&g, 11)).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((count(&p), p.temp_bytes), (2, 0), "{}", print::program(&p));
}

/// A 3x3 convolution and its derivatives, images and what is made of them with their channels last.
#[test]
fn a_convolution_makes_no_copy_of_its_windows() {
    let mut b = Builder::new("conv");
    let (images, side, c, n) = (4u64, 10u64, 5u64, 17u64);
    let (x, _) = input(&mut b, "x", SlotKind::Param, F, &[images, side, side, c]);
    let (w, _) = input(&mut b, "w", SlotKind::Param, F, &[n, c, 3, 3]);
    let (d, _) = input(&mut b, "d", SlotKind::Data, F, &[images, side - 2, side - 2, n]);
    let frames = b.window(x, 1, 3, 1, 1);
    let frames = b.window(frames, 2, 3, 1, 1);
    let lhs_contract = [3, 4, 5].as_slice().into();
    let y = b.dot(frames, w, DotDims { lhs_contract, rhs_contract: [1, 2, 3].as_slice().into(), ..DotDims::default() });
    b.output("y", y);
    let z = b.ew(Ew::Mul, &[y, d]);
    let loss = b.reduce(ReduceKind::Sum, z, &[0, 1, 2, 3]);
    for (i, g) in grad(&mut b, loss, &[x, w]).into_iter().enumerate() {
        b.output(&format!("d{i}"), g.expect("a gradient"));
    }
    let p = run(b);
    let text = print::program(&p);
    let products: Vec<Vec<u64>> = (p.launches().iter().map(|l| &p.kernels[l.kernel as usize].anchor))
        .filter_map(|a| if let Some(Anchor::Contract(c)) = a { Some(c.k.iter().map(|x| x.n).collect()) } else { None })
        .collect();
    let mut sorted = products.clone();
    sorted.sort();
    // Lines of the window, then its pixels and channels; images, lines and pixels by the weights.
    assert_eq!(sorted, [vec![3, 3 * c], vec![3, 3 * n], vec![images, side - 2, side - 2]], "{text}");
    // Beside the padded cotangent only weights in another order are stored.
    let padded = images * (side + 2) * (side + 2) * n;
    assert!(p.temp_bytes <= 4 * (padded + 2 * n * c * 9) + 1024, "{} bytes\n{text}", p.temp_bytes);
}

#[test]
fn positions_and_running_values() {
    let mut b = Builder::new("order");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[4, 21, 3]);
    for axis in 0..3 {
        let a = b.arg_reduce(ArgKind::Max, x, axis);
        b.output(&format!("max{axis}"), a);
        let a = b.arg_reduce(ArgKind::Min, x, axis);
        b.output(&format!("min{axis}"), a);
        let op = crate::graph::ops::Op::Cumulate { kind: ReduceKind::Sum, axis };
        let c = b.op(op, &[x]);
        let e = b.ew(Ew::Tanh, &[c]);
        b.output(&format!("sum{axis}"), e);
    }
    run(b);
}

#[test]
fn scatters_of_every_kind_meet_in_order() {
    let mut b = Builder::new("scatter");
    let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[3, 4, 5]);
    let (i, _) = input(&mut b, "i", SlotKind::Data, DType::I32, &[6, 2]);
    let (u, _) = input(&mut b, "u", SlotKind::Data, F, &[3, 6, 2, 5]);
    for (n, kind) in [("add", ScatterKind::Add), ("set", ScatterKind::Set), ("max", ScatterKind::Max)] {
        let y = b.scatter(kind, x, i, u, 1);
        b.output(n, y);
    }
    run(b);
}

#[test]
fn large_joins_and_pads_go_part_by_part() {
    let mut b = Builder::new("parts");
    let (x, sx) = input(&mut b, "x", SlotKind::State, F, &[40, 50]);
    let (y, _) = input(&mut b, "y", SlotKind::Data, F, &[40, 60]);
    let (w, sw) = input(&mut b, "w", SlotKind::State, F, &[83, 52]);
    let half = b.splat_like(y, 0.5);
    let h = b.ew(Ew::Mul, &[y, half]);
    let j = b.concat(&[x, h, x], 1);
    let r = b.ew(Ew::Tanh, &[j]);
    b.output("joined", r);
    let fill = b.scalar(F, -1.5);
    let p = b.pad(x, fill, &[1, 0], &[3, 2], &[1, 0]);
    b.assign(sw, p);
    let small = b.slice(w, &[0, 0], &[40, 50], &[1, 1]);
    b.assign(sx, small);
    let p = run(b);
    let computed =
        p.kernels.iter().flat_map(|k| &k.insts).filter(|i| matches!(i, crate::kernel::ir::Inst::LoadAt { .. }));
    assert_eq!(computed.count(), 0, "{}", print::program(&p));
}

#[test]
fn few_columns_give_way_to_many_rows() {
    let mut b = Builder::new("pixels");
    let (x, _) = input(&mut b, "x", SlotKind::Data, DType::U8, &[100, 3]);
    let (m, _) = input(&mut b, "m", SlotKind::Param, F, &[3]);
    let f = b.cast(x, F);
    let y = over(&mut b, Ew::Mul, f, m, &[1]);
    b.output("y", y);
    let p = run(b);
    assert_eq!((p.kernels[0].rows[..].to_vec(), p.kernels[0].cols), (vec![3], 100), "{}", print::program(&p));
}

/// What an empty axis reduces to is stored, though no column runs.
#[test]
fn reductions_over_nothing() {
    for kind in ReduceKind::ALL {
        for shape in [&[0u64][..], &[3, 0], &[0, 3], &[2, 0, 3]] {
            let mut b = Builder::new("t");
            let (x, _) = input(&mut b, "x", SlotKind::Data, F, shape);
            let axis = shape.iter().position(|&n| n == 0).unwrap_or(0) as u32;
            let y = b.reduce(kind, x, &[axis]);
            let two = b.splat_like(y, 2.0);
            let z = b.ew(Ew::Mul, &[y, two]);
            let e = b.ew(Ew::Exp, &[x]);
            b.output("y", y);
            b.output("z", z);
            b.output("e", e);
            let g = b.finish();
            differ(&g, &feeds(&g, 11)).unwrap_or_else(|why| panic!("{kind:?} of {shape:?}: {why}"));
        }
    }
}

/// The first NaN of a row is its extreme, whichever lane it is in.
#[test]
fn extremes_of_rows_with_nan() {
    for axis in [0, 1] {
        let mut b = Builder::new("t");
        let (x, _) = input(&mut b, "x", SlotKind::Data, F, &[5, 37]);
        for (kind, arg) in [(ReduceKind::Max, ArgKind::Max), (ReduceKind::Min, ArgKind::Min)] {
            let best = b.reduce(kind, x, &[axis]);
            let at = b.arg_reduce(arg, x, axis);
            b.output(kind.name(), best);
            b.output(&format!("arg{}", arg.name()), at);
        }
        let g = b.finish();
        let mut f = feeds(&g, 11);
        for i in [0, 40, 72, 73, 74, 130, 184] {
            f.slots[0].data[i] = f64::NAN;
        }
        differ(&g, &f).unwrap_or_else(|why| panic!("axis {axis}: {why}"));
    }
}
