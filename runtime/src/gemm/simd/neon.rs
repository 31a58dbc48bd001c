//! NEON: four lanes, thirty-two registers.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use core::arch::aarch64::*;

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Neon;

#[target_feature(enable = "neon")]
unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, f32>) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Neon, MR, NV, UNIT_K>(t) }
}

// SAFETY: `fma` is the hardware's single-rounding instruction; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Neon {
    type E = f32;
    type V = float32x4_t;
    const LANES: usize = 4;
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
    unsafe fn zero() -> float32x4_t {
        // SAFETY: the trait's contract gives NEON.
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for four floats.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> float32x4_t {
        let mut v = [0.0; 4];
        // SAFETY: the caller vouches for `n` floats.
        unsafe {
            core::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n.min(4));
            vld1q_f32(v.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for four floats.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f32, v: float32x4_t, n: usize) {
        let mut out = [0.0; 4];
        // SAFETY: the caller vouches for `n` floats.
        unsafe {
            vst1q_f32(out.as_mut_ptr(), v);
            core::ptr::copy_nonoverlapping(out.as_ptr(), p, n.min(4));
        }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for one float.
        unsafe { vdupq_n_f32(*p) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract gives NEON.
        unsafe { vfmaq_f32(c, a, b) }
    }
}
