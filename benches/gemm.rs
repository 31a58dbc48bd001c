//! The product kernels: 512 cubed on one and two threads, and the shapes of the MNIST network's training step.
//!
//! In: nothing. Out: criterion's times, and before them a table of percentages of the peak that the same process measures
//! right before each time, since clocks and neighbors change from second to second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nn_runtime::gemm::{Isa, Product, Scratch, rect};
use nn_runtime::peak;
use nn_runtime::threads::Pool;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A product of dense operands, each perhaps stored transposed.
struct Shape {
    name: &'static str,
    m: usize,
    n: usize,
    k: usize,
    a_transposed: bool,
    b_transposed: bool,
}

const fn shape(name: &'static str, [m, n, k]: [usize; 3], a_transposed: bool, b_transposed: bool) -> Shape {
    Shape { name, m, n, k, a_transposed, b_transposed }
}

const SHAPES: [Shape; 10] = [
    shape("512", [512, 512, 512], false, false),
    shape("512_nt", [512, 512, 512], false, true),
    shape("512_tn", [512, 512, 512], true, false),
    shape("mlp_forward_1", [64, 256, 784], false, true),
    shape("mlp_forward_2", [64, 128, 256], false, true),
    shape("mlp_forward_3", [64, 10, 128], false, true),
    shape("mlp_dw_1", [256, 784, 64], true, false),
    shape("mlp_dw_2", [128, 256, 64], true, false),
    shape("mlp_dx_2", [64, 256, 128], false, false),
    shape("mlp_dx_3", [64, 128, 10], false, false),
];

/// Operands, result and packing memory of a shape.
struct Work {
    m: usize,
    n: usize,
    k: usize,
    strides: [isize; 4],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<Mutex<Vec<f32>>>,
    scratch: Vec<Mutex<Scratch>>,
}

impl Work {
    fn new(s: &Shape, threads: usize) -> Work {
        let (a_m, a_k) = if s.a_transposed { (1, s.m as isize) } else { (s.k as isize, 1) };
        let (b_k, b_n) = if s.b_transposed { (1, s.k as isize) } else { (s.n as isize, 1) };
        let share = s.m.div_ceil(threads) + 16;
        Work {
            m: s.m,
            n: s.n,
            k: s.k,
            strides: [a_m, a_k, b_k, b_n],
            a: vec![0.5; s.m * s.k],
            b: vec![0.25; s.k * s.n],
            c: (0..threads).map(|_| Mutex::new(vec![0.0; share * s.n])).collect(),
            scratch: (0..threads).map(|_| Mutex::new(Scratch::new())).collect(),
        }
    }

    fn flops(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }

    /// This thread's rows.
    fn share(&self, isa: Isa, tid: usize, threads: usize) {
        let [a_m, a_k, b_k, b_n] = self.strides;
        let p = Product { a: self.a.as_ptr(), b: self.b.as_ptr(), k: self.k, a_m, a_k, b_k, b_n };
        let cut = |t: usize| if t == threads { self.m } else { self.m / 16 * t / threads * 16 };
        let (Ok(mut c), Ok(mut scratch)) = (self.c[tid].lock(), self.scratch[tid].lock()) else { return };
        // SAFETY: the operands hold the product, `c` this thread's rows, and `isa` is available.
        unsafe { rect(isa, &p, cut(tid)..cut(tid + 1), 0..self.n, c.as_mut_ptr(), self.n, &mut scratch) };
    }

    /// Seconds of `reps` products on all threads of the pool.
    fn time(&self, isa: Isa, pool: &mut Pool, reps: u64) -> Duration {
        let barrier = pool.barrier().clone();
        let begin = Instant::now();
        pool.run(&|tid, n| {
            for _ in 0..reps {
                self.share(isa, tid, n);
                barrier.wait();
            }
        });
        begin.elapsed()
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn gemm(c: &mut Criterion) {
    let isa = Isa::best();
    let pools = [1, 2].map(|n| Pool::new(Some(n)));
    let [Ok(mut one), Ok(mut two)] = pools else { return };
    eprintln!(
        "{:16} {:>9} {:>8} {:>9} {:>8}   ({})",
        "shape",
        "GFLOP/s",
        "of peak",
        "2 threads",
        "speedup",
        isa.name()
    );
    for s in &SHAPES {
        let (w1, w2) = (Work::new(s, 1), Work::new(s, 2));
        let reps = (4e7 / w1.flops()).max(1.0) as u64;
        let (mut of_peak, mut speedup, mut best, mut best_two) = (vec![], vec![], 0f64, 0f64);
        for _ in 0..25 {
            let top = peak::gflops(1);
            let rate = |d: Duration| w1.flops() * reps as f64 / d.as_secs_f64() * 1e-9;
            let (a, b) = (rate(w1.time(isa, &mut one, reps)), rate(w2.time(isa, &mut two, reps)));
            of_peak.push(a / top);
            speedup.push(b / a);
            (best, best_two) = (best.max(a), best_two.max(b));
        }
        let (of_peak, speedup) = (100.0 * median(of_peak), median(speedup));
        eprintln!("{:16} {best:9.1} {of_peak:7.1}% {best_two:9.1} {speedup:7.2}x", s.name);
    }
    let mut group = c.benchmark_group("gemm");
    for s in &SHAPES {
        for pool in [&mut one, &mut two] {
            let w = Work::new(s, pool.threads());
            group.throughput(Throughput::Elements(w.flops() as u64));
            group.bench_function(BenchmarkId::new(s.name, pool.threads()), |b| {
                b.iter_custom(|reps| w.time(isa, pool, reps));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    targets = gemm
}
criterion_main!(benches);
