//! Any processor: eight lanes as an array, `f32::mul_add` for the single rounding.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};

/// No instruction set in particular.
#[derive(Clone, Copy)]
pub struct Portable;

unsafe fn kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs) {
    // SAFETY: the caller's contract is the same.
    unsafe { tile::run::<Portable, MR, NV, UNIT_K>(t) }
}

// SAFETY: `mul_add` rounds once by definition; loads and stores touch exactly the lanes they name.
unsafe impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const MAX_NV: usize = 2;

    #[inline(always)]
    fn max_rows(_nv: usize) -> usize {
        4
    }

    tiles! { kernel;
        1: 1 2 3 4;
        2: 1 2 3 4;
    }

    #[inline(always)]
    unsafe fn zero() -> [f32; 8] {
        [0.0; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 8] {
        // SAFETY: the caller vouches for eight floats; an unaligned read asks for no alignment.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> [f32; 8] {
        let mut v = [0.0; 8];
        // SAFETY: the caller vouches for `n` floats.
        unsafe { core::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n.min(8)) };
        v
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller vouches for eight floats.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut f32, v: [f32; 8], n: usize) {
        // SAFETY: the caller vouches for `n` floats.
        unsafe { core::ptr::copy_nonoverlapping(v.as_ptr(), p, n.min(8)) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> [f32; 8] {
        // SAFETY: the caller vouches for one float.
        unsafe { [*p; 8] }
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        core::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}
