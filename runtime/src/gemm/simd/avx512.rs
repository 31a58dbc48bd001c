//! AVX-512: sixteen lanes, thirty-two registers.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use core::arch::x86_64::*;

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Avx512;

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, f32>) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Avx512, MR, NV, UNIT_K>(t) }
}

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    if n >= 16 { 0xffff } else { (1u16 << n) - 1 }
}

// SAFETY: `fma` is the hardware's single-rounding instruction; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Avx512 {
    type E = f32;
    type V = __m512;
    const LANES: usize = 16;
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
    unsafe fn zero() -> __m512 {
        // SAFETY: the trait's contract gives AVX-512.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: the caller vouches for sixteen floats.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> __m512 {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for sixteen floats.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f32, v: __m512, n: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> __m512 {
        // SAFETY: the caller vouches for one float.
        unsafe { _mm512_set1_ps(*p) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the trait's contract gives AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // the index is also a place in memory
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
            let (cm, wm) = (mask(cols), mask(width));
            // Quarter rows: row r of group g holds columns 4g..4g+4 of source rows r, r+4, r+8, r+12, one per 128-bit
            // part, so that two rounds of in-part shuffles finish the transpose.
            let mut q = [[_mm512_setzero_ps(); 4]; 4];
            if rows == 16 && cols == 16 {
                for r in 0..4 {
                    for g in 0..4 {
                        let at = |i: usize| _mm_loadu_ps(src.offset((r + 4 * i) as isize * src_ld + 4 * g as isize));
                        let v = _mm512_castps128_ps512(at(0));
                        let v = _mm512_insertf32x4::<1>(v, at(1));
                        let v = _mm512_insertf32x4::<2>(v, at(2));
                        q[g][r] = _mm512_insertf32x4::<3>(v, at(3));
                    }
                }
            } else {
                for r in 0..4 {
                    let row = |i: usize| {
                        let i = r + 4 * i;
                        let m = if i < rows { cm } else { 0 };
                        _mm512_maskz_loadu_ps(m, src.wrapping_offset(i as isize * src_ld))
                    };
                    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                    let ab_lo = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b); // a0 a1 b0 b1
                    let ab_hi = _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b); // a2 a3 b2 b3
                    let cd_lo = _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d);
                    let cd_hi = _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d);
                    q[0][r] = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab_lo, cd_lo); // a0 b0 c0 d0
                    q[1][r] = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab_lo, cd_lo);
                    q[2][r] = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab_hi, cd_hi);
                    q[3][r] = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab_hi, cd_hi);
                }
            }
            for g in 0..4 {
                let [r0, r1, r2, r3] = q[g];
                let t0 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
                let t1 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
                let t2 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
                let t3 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
                let out = [
                    _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2)),
                    _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3)),
                ];
                for (i, v) in out.into_iter().enumerate() {
                    if 4 * g + i < cols {
                        _mm512_mask_storeu_ps(dst.offset((4 * g + i) as isize * dst_ld), wm, v);
                    }
                }
            }
        }
    }
}
