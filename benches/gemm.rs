//! The product kernels as the executor runs them: 512 cubed on one and two threads, and the shapes of the MNIST network's
//! training step.
//!
//! In: nothing. Out: a table of percentages of the peak that the same process measures right before each time, since clocks
//! and neighbors change from second to second; then criterion's times.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nn_runtime::dtype::DType;
use nn_runtime::exec::Session;
use nn_runtime::peak;
use nn_runtime::program::{Anchor, Arena, BufRef, Entry, Gemm, Launch, Program, Segment, Split};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which operand is stored transposed.
#[derive(Clone, Copy, PartialEq)]
enum Stored {
    Plain,
    BTransposed,
    ATransposed,
}

use Stored::{ATransposed, BTransposed, Plain};

/// Name, rows, columns, length of the sum, layout.
const SHAPES: [(&str, u64, u64, u64, Stored); 10] = [
    ("512", 512, 512, 512, Plain),
    ("512_nt", 512, 512, 512, BTransposed),
    ("512_tn", 512, 512, 512, ATransposed),
    ("mlp_forward_1", 64, 256, 784, BTransposed),
    ("mlp_forward_2", 64, 128, 256, BTransposed),
    ("mlp_forward_3", 64, 10, 128, BTransposed),
    ("mlp_dw_1", 256, 784, 64, ATransposed),
    ("mlp_dw_2", 128, 256, 64, ATransposed),
    ("mlp_dx_2", 64, 256, 128, Plain),
    ("mlp_dx_3", 64, 128, 10, Plain),
];

/// A program of one product of two parameters.
fn session((m, n, k, stored): (u64, u64, u64, Stored), threads: usize) -> Session {
    let (a_m, a_k) = if stored == ATransposed { (1, m as i64) } else { (k as i64, 1) };
    let (b_k, b_n) = if stored == BTransposed { (1, k as i64) } else { (n as i64, 1) };
    let gemm = Gemm { dtype: DType::F32, batch: vec![], m, n, k, a_offset: 0, b_offset: 0, a_m, a_k, b_k, b_n };
    let a = BufRef { arena: Arena::Param, offset: 0, bytes: 4 * m * k };
    let b = BufRef { arena: Arena::Param, offset: a.bytes.next_multiple_of(64), bytes: 4 * k * n };
    let c = BufRef { arena: Arena::Output, offset: 0, bytes: 4 * m * n };
    let flops = 2 * m * n * k;
    let launch = Launch {
        name: "product".into(),
        anchor: Anchor::Contract(gemm),
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
        launches: vec![launch],
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
    for (name, m, n, k, stored) in SHAPES {
        let (mut one, mut two) = (session((m, n, k, stored), 1), session((m, n, k, stored), 2));
        let flops = (2 * m * n * k) as f64;
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
    for (name, m, n, k, stored) in SHAPES {
        for threads in [1, 2] {
            let mut s = session((m, n, k, stored), threads);
            group.throughput(Throughput::Elements(2 * m * n * k));
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
