//! AVX2 with FMA: eight lanes, sixteen registers.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use core::arch::x86_64::*;

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Avx2;

#[target_feature(enable = "avx2,fma")]
unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, f32>) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Avx2, MR, NV, UNIT_K>(t) }
}

/// `MASK[8 - n..]` has its first `n` lanes on.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    // SAFETY: `8 - min(n, 8)` is at most 8, so eight integers follow.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(8 - n.min(8)).cast()) }
}

// SAFETY: `fma` is the hardware's single-rounding instruction; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Avx2 {
    type E = f32;
    type V = __m256;
    const LANES: usize = 8;
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
    unsafe fn zero() -> __m256 {
        // SAFETY: the trait's contract gives AVX2.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: the caller vouches for eight floats.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> __m256 {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskload_ps(p, mask(n)) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for eight floats.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f32, v: __m256, n: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskstore_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> __m256 {
        // SAFETY: the caller vouches for one float.
        unsafe { _mm256_set1_ps(*p) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the trait's contract gives FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn transpose(
        src: *const f32,
        src_ld: isize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        dst_ld: isize,
        width: usize,
    ) {
        // SAFETY: lanes past `cols` and rows past `rows` are masked off; the caller vouches for the rest.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, r) in r.iter_mut().enumerate() {
                if i < rows {
                    *r = Self::load_n(src.offset(i as isize * src_ld), cols);
                }
            }
            let mut t = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            let mut u = [_mm256_setzero_ps(); 8];
            for h in 0..2 {
                let t = &t[4 * h..4 * h + 4];
                u[4 * h] = _mm256_shuffle_ps::<0b01_00_01_00>(t[0], t[2]);
                u[4 * h + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(t[0], t[2]);
                u[4 * h + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(t[1], t[3]);
                u[4 * h + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(t[1], t[3]);
            }
            for i in 0..8 {
                if i < cols {
                    let v = if i < 4 {
                        _mm256_permute2f128_ps::<0x20>(u[i], u[i + 4])
                    } else {
                        _mm256_permute2f128_ps::<0x31>(u[i - 4], u[i])
                    };
                    Self::store_n(dst.offset(i as isize * dst_ld), v, width);
                }
            }
        }
    }
}
