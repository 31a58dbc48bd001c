//! AVX2 with FMA in f64: four lanes, sixteen registers.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use core::arch::x86_64::*;

/// The instruction set, on f64.
#[derive(Clone, Copy)]
pub struct Avx2F64;

#[target_feature(enable = "avx2,fma")]
unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, f64>) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Avx2F64, MR, NV, UNIT_K>(t) }
}

/// `MASK[4 - n..]` has its first `n` lanes on.
static MASK: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    // SAFETY: `4 - min(n, 4)` is at most 4, so four integers follow.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(4 - n.min(4)).cast()) }
}

// SAFETY: `fma` is the hardware's single-rounding instruction; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Avx2F64 {
    type E = f64;
    type V = __m256d;
    const LANES: usize = 4;
    const MAX_NV: usize = 2;

    #[inline(always)]
    fn max_rows(nv: usize) -> usize {
        [0, 10, 6][nv]
    }

    tiles! { kernel;
        1: 1 2 3 4 5 6 7 8 9 10;
        2: 1 2 3 4 5 6;
    }

    #[inline(always)]
    unsafe fn zero() -> __m256d {
        // SAFETY: the trait's contract gives AVX2.
        unsafe { _mm256_setzero_pd() }
    }
    #[inline(always)]
    unsafe fn load(p: *const f64) -> __m256d {
        // SAFETY: the caller vouches for four floats.
        unsafe { _mm256_loadu_pd(p) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f64, n: usize) -> __m256d {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskload_pd(p, mask(n)) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: __m256d) {
        // SAFETY: the caller vouches for four floats.
        unsafe { _mm256_storeu_pd(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f64, v: __m256d, n: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskstore_pd(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f64) -> __m256d {
        // SAFETY: the caller vouches for one float.
        unsafe { _mm256_set1_pd(*p) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256d, b: __m256d, c: __m256d) -> __m256d {
        // SAFETY: the trait's contract gives FMA.
        unsafe { _mm256_fmadd_pd(a, b, c) }
    }
}
