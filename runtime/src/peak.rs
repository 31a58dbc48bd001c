//! The fused multiply-add peak of this process, measured: what percentages are percentages of.
//!
//! In: a number of threads. Out: billions of f32 operations a second, of independent chains in registers. Measured in the
//! same process as what it is compared with, because clocks and neighbors differ from minute to minute.

use crate::gemm::Isa;
use crate::gemm::simd::Simd;
use std::time::Instant;

/// Peak of `threads` threads together, in GFLOP/s. Takes a few milliseconds.
pub fn gflops(threads: usize) -> f64 {
    let isa = Isa::best();
    if threads <= 1 {
        return one(isa);
    }
    let start = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        let start = &start;
        let hands: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    start.wait();
                    one(isa)
                })
            })
            .collect();
        hands.into_iter().map(|h| h.join().unwrap_or(0.0)).sum()
    })
}

/// The best of a few rounds on this thread.
fn one(isa: Isa) -> f64 {
    const STEPS: usize = 20_000;
    let mut best = 0f64;
    for _ in 0..8 {
        let begin = Instant::now();
        let lanes = run(isa, STEPS);
        let seconds = begin.elapsed().as_secs_f64();
        best = best.max((STEPS * CHAINS * lanes * 2) as f64 / seconds * 1e-9);
    }
    best
}

/// Independent chains: more than latency times throughput on every processor, fewer than the registers of the smallest.
const CHAINS: usize = 12;

/// Runs the chains; the lanes of a register.
fn run(isa: Isa, steps: usize) -> usize {
    // SAFETY: `isa` is available, and the constants are floats to read.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(steps),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(steps),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => chains::<crate::gemm::simd::neon::Neon>(steps),
            _ => chains::<crate::gemm::simd::portable::Portable<f32>>(steps),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
unsafe fn avx512(steps: usize) -> usize {
    // SAFETY: the caller's contract is the same.
    unsafe { chains::<crate::gemm::simd::avx512::Avx512>(steps) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(steps: usize) -> usize {
    // SAFETY: the caller's contract is the same.
    unsafe { chains::<crate::gemm::simd::avx2::Avx2>(steps) }
}

#[inline(always)]
unsafe fn chains<S: Simd<E = f32>>(steps: usize) -> usize {
    let (scale, shift) = (std::hint::black_box(0.999f32), std::hint::black_box(0.001f32));
    let mut out = [0f32; 64];
    // SAFETY: the pointers are to live floats; the caller vouches for the instruction set.
    unsafe {
        let (a, b) = (S::splat(&scale), S::splat(&shift));
        let mut acc = [S::splat(&shift); CHAINS];
        for _ in 0..steps {
            for v in &mut acc {
                *v = S::fma(*v, a, b);
            }
        }
        for v in acc {
            S::store(out.as_mut_ptr(), v);
            std::hint::black_box(&out);
        }
    }
    S::LANES
}
