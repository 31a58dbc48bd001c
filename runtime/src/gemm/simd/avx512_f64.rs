//! AVX-512 in f64: eight lanes, thirty-two registers.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use core::arch::x86_64::*;

/// The instruction set, on f64.
#[derive(Clone, Copy)]
pub struct Avx512F64;

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, f64>) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Avx512F64, MR, NV, UNIT_K>(t) }
}

#[inline(always)]
fn mask(n: usize) -> __mmask8 {
    if n >= 8 { 0xff } else { (1u8 << n) - 1 }
}

// SAFETY: `fma` is the hardware's single-rounding instruction; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Avx512F64 {
    type E = f64;
    type V = __m512d;
    const LANES: usize = 8;
    const MAX_NV: usize = 4;

    #[inline(always)]
    fn max_rows(nv: usize) -> usize {
        [0, 12, 12, 8, 6][nv]
    }

    tiles! { kernel;
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }

    #[inline(always)]
    unsafe fn zero() -> __m512d {
        // SAFETY: the trait's contract gives AVX-512.
        unsafe { _mm512_setzero_pd() }
    }
    #[inline(always)]
    unsafe fn load(p: *const f64) -> __m512d {
        // SAFETY: the caller vouches for eight floats.
        unsafe { _mm512_loadu_pd(p) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f64, n: usize) -> __m512d {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_maskz_loadu_pd(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: __m512d) {
        // SAFETY: the caller vouches for eight floats.
        unsafe { _mm512_storeu_pd(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f64, v: __m512d, n: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_pd(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f64) -> __m512d {
        // SAFETY: the caller vouches for one float.
        unsafe { _mm512_set1_pd(*p) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        // SAFETY: the trait's contract gives AVX-512.
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }
}
