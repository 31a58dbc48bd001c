//! The product kernels as the executor runs them: 512 cubed on one and two threads, the shapes of the MNIST network's training
//! step, and convolutions as products over several axes.
//!
//! In: nothing. Out: a table of percentages of the peak that the same process measures right before each time, since clocks
//! and neighbors change from second to second; then criterion's times.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nn_runtime::dtype::DType;
use nn_runtime::exec::Session;
use nn_runtime::peak;
use nn_runtime::program::{
    Anchor, Arena, BufRef, Entry, Gemm, GemmBatch, GemmK, Launch, Program, Segment, Split, Stmt,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A product of two parameters by its name.
struct Case {
    name: &'static str,
    gemm: Gemm,
}

/// One product: rows, columns, length of the sum; strides of A by row and `k`, of B by `k` and column.
fn plain(name: &'static str, (m, n, k): (u64, u64, u64), a: (i64, i64), b: (i64, i64)) -> Case {
    let k = vec![GemmK { size: k, a: a.1 }];
    let gemm =
        Gemm { dtype: DType::F32, batch: vec![], m, n, k, a_offset: 0, b_offset: 0, a_m: a.0, b_k: b.0, b_n: b.1 };
    Case { name, gemm }
}

/// Rows contiguous, both; B transposed; A transposed.
fn nn(name: &'static str, m: u64, n: u64, k: u64) -> Case {
    plain(name, (m, n, k), (k as i64, 1), (n as i64, 1))
}
fn nt(name: &'static str, m: u64, n: u64, k: u64) -> Case {
    plain(name, (m, n, k), (k as i64, 1), (1, k as i64))
}
fn tn(name: &'static str, m: u64, n: u64, k: u64) -> Case {
    plain(name, (m, n, k), (1, m as i64), (n as i64, 1))
}

/// A convolution of 64 padded images of `side` squared pixels and `c` channels with 3x3 windows into `n` channels: a product
/// of as many rows as a line has pixels for every line, contracted over the lines of the window and their elements.
fn conv(name: &'static str, side: u64, c: u64, n: u64) -> Case {
    let (line, out) = ((side * c) as i64, side - 2);
    let batch = vec![GemmBatch { size: 64, a: line * side as i64, b: 0 }, GemmBatch { size: out, a: line, b: 0 }];
    let k = vec![GemmK { size: 3, a: line }, GemmK { size: 3 * c, a: 1 }];
    let (a_m, b_k) = (c as i64, n as i64);
    Case { name, gemm: Gemm { dtype: DType::F32, batch, m: out, n, k, a_offset: 0, b_offset: 0, a_m, b_k, b_n: 1 } }
}

/// The same with images that have channels outermost, where three elements of a line and three lines are runs, and weights
/// with the channels that are made outermost.
fn conv_planes(name: &'static str, side: u64, c: u64, n: u64) -> Case {
    let (line, out) = (side as i64, side - 2);
    let plane = line * line;
    let batch = vec![GemmBatch { size: 64, a: plane * c as i64, b: 0 }, GemmBatch { size: out, a: line, b: 0 }];
    let k = vec![GemmK { size: c, a: plane }, GemmK { size: 3, a: line }, GemmK { size: 3, a: 1 }];
    let b_n = 9 * c as i64;
    Case { name, gemm: Gemm { dtype: DType::F32, batch, m: out, n, k, a_offset: 0, b_offset: 0, a_m: 1, b_k: 1, b_n } }
}

/// The derivative by the weights of `conv`, for each of the nine places of the window: contracted over images, lines and pixels.
fn conv_dw(name: &'static str, side: u64, c: u64, n: u64) -> Case {
    let (line, out) = ((side * c) as i64, side - 2);
    let batch = vec![GemmBatch { size: 3, a: line, b: 0 }, GemmBatch { size: 3, a: c as i64, b: 0 }];
    let k =
        vec![GemmK { size: 64, a: line * side as i64 }, GemmK { size: out, a: line }, GemmK { size: out, a: c as i64 }];
    Case {
        name,
        gemm: Gemm { dtype: DType::F32, batch, m: c, n, k, a_offset: 0, b_offset: 0, a_m: 1, b_k: n as i64, b_n: 1 },
    }
}

fn cases() -> Vec<Case> {
    vec![
        nn("512", 512, 512, 512),
        nt("512_nt", 512, 512, 512),
        tn("512_tn", 512, 512, 512),
        nt("mlp_forward_1", 64, 256, 784),
        nt("mlp_forward_2", 64, 128, 256),
        nt("mlp_forward_3", 64, 10, 128),
        tn("mlp_dw_1", 256, 784, 64),
        tn("mlp_dw_2", 128, 256, 64),
        nn("mlp_dx_2", 64, 256, 128),
        nn("mlp_dx_3", 64, 128, 10),
        conv("conv_14", 16, 32, 64),
        conv("conv_28", 30, 16, 32),
        conv("conv_7", 9, 64, 128),
        conv("conv_28_of_1", 30, 1, 32),
        conv_planes("conv_14_planes", 16, 32, 64),
        conv_dw("conv_14_dw", 16, 32, 64),
        conv_dw("conv_28_dw", 30, 16, 32),
    ]
}

/// Elements that an operand with these axes has, the first one at 0.
fn reach(axes: impl Iterator<Item = (u64, i64)>) -> u64 {
    1 + axes.map(|(n, s)| (n - 1) * s as u64).sum::<u64>()
}

/// Floating point operations.
fn flops(g: &Gemm) -> u64 {
    2 * rows(g) * g.n * g.k.iter().map(|x| x.size).product::<u64>()
}

fn rows(g: &Gemm) -> u64 {
    g.m * g.batch.iter().map(|x| x.size).product::<u64>()
}

/// A program of one product of two parameters.
fn session(gemm: &Gemm, threads: usize) -> Session {
    let g = gemm.clone();
    let sum = g.k.iter().map(|x| x.size).product();
    let of_a = g.batch.iter().map(|x| (x.size, x.a)).chain([(g.m, g.a_m)]).chain(g.k.iter().map(|x| (x.size, x.a)));
    let of_b = g.batch.iter().map(|x| (x.size, x.b)).chain([(sum, g.b_k), (g.n, g.b_n)]);
    let a = BufRef { arena: Arena::Param, offset: 0, bytes: 4 * reach(of_a) };
    let b = BufRef { arena: Arena::Param, offset: a.bytes.next_multiple_of(64), bytes: 4 * reach(of_b) };
    let (m, n) = (rows(&g), g.n);
    let c = BufRef { arena: Arena::Output, offset: 0, bytes: 4 * m * n };
    let flops = flops(&g);
    let launch = Launch {
        name: "product".into(),
        anchor: Anchor::Contract(g),
        body: None,
        segments: vec![Segment { bufs: vec![a, b, c], cols: n }],
        rows: m,
        split: Split::Rows,
        barrier: true,
        cost: flops,
    };
    let entry = Entry {
        name: "run".into(),
        batch: 0,
        data: vec![],
        step: vec![],
        outputs: vec![],
        data_bytes: 0,
        temp_bytes: 0,
        output_bytes: c.bytes,
        consts: vec![],
        checks: vec![],
        scratch_bytes: 0,
        flops,
        body: vec![Stmt::Launch(launch)],
    };
    let program = Program {
        name: "product".into(),
        params: vec![],
        state: vec![],
        classes: vec![],
        model_state: 0,
        param_bytes: b.offset + b.bytes,
        state_bytes: 0,
        entries: vec![entry],
        code: vec![],
    };
    let mut s = Session::new(Arc::new(program), Some(threads)).expect("a session");
    s.set_parallel(0, true);
    s.params_bytes_mut().chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&0.5f32.to_le_bytes()));
    s
}

fn time(s: &mut Session, reps: u64) -> Duration {
    let begin = Instant::now();
    for i in 0..reps {
        s.run(0, 0, i);
    }
    begin.elapsed()
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

/// Medians of ratios within one round, and the best rates.
fn table() {
    println!("{:16} {:>8} {:>8} {:>14} {:>8}", "shape", "GFLOP/s", "of peak", "on 2 threads", "speedup");
    // `NN_GEMM=conv` times the cases whose name holds the word.
    let word = std::env::var("NN_GEMM").unwrap_or_default();
    for Case { name, gemm } in cases().into_iter().filter(|c| c.name.contains(&word)) {
        let (mut one, mut two) = (session(&gemm, 1), session(&gemm, 2));
        let flops = flops(&gemm) as f64;
        let reps = (2e7 / flops).max(1.0) as u64;
        let rate = |d: Duration| flops * reps as f64 / d.as_secs_f64() * 1e-9;
        let (mut of_peak, mut speedup, mut best_one, mut best_two) = (vec![], vec![], 0f64, 0f64);
        for _ in 0..41 {
            let top = peak::gflops(1);
            let (a, b) = (rate(time(&mut one, reps)), rate(time(&mut two, reps)));
            of_peak.push(a / top);
            speedup.push(b / a);
            (best_one, best_two) = (best_one.max(a), best_two.max(b));
        }
        let (of_peak, speedup) = (100.0 * median(of_peak), median(speedup));
        println!("{name:16} {best_one:8.1} {of_peak:7.1}% {best_two:14.1} {speedup:7.2}x");
    }
}

fn gemm(c: &mut Criterion) {
    table();
    let mut group = c.benchmark_group("gemm");
    for Case { name, gemm } in cases() {
        for threads in [1, 2] {
            let mut s = session(&gemm, threads);
            group.throughput(Throughput::Elements(flops(&gemm)));
            group.bench_function(BenchmarkId::new(name, threads), |b| b.iter_custom(|reps| time(&mut s, reps)));
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_millis(500))
        .warm_up_time(Duration::from_millis(100));
    targets = gemm
}
criterion_main!(benches);
