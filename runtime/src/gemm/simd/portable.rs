//! Any processor: a few lanes as an array, `mul_add` for the single rounding.

use super::{Simd, tiles};
use crate::gemm::tile::{self, TileArgs};
use std::marker::PhantomData;

/// No instruction set in particular, on floats of one type.
#[derive(Clone, Copy)]
pub struct Portable<E>(PhantomData<E>);

macro_rules! portable {
    ($float:ident, $lanes:literal, $kernel:ident) => {
        unsafe fn $kernel<const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, $float>) {
            // SAFETY: the caller's contract is the same.
            unsafe { tile::run::<Portable<$float>, MR, NV, UNIT_K>(t) }
        }

        // SAFETY: `mul_add` rounds once by definition; loads and stores touch exactly the lanes they name.
        unsafe impl Simd for Portable<$float> {
            type E = $float;
            type V = [$float; $lanes];
            const LANES: usize = $lanes;
            const MAX_NV: usize = 2;

            #[inline(always)]
            fn max_rows(_nv: usize) -> usize {
                4
            }

            tiles! { $kernel;
                1: 1 2 3 4;
                2: 1 2 3 4;
            }

            #[inline(always)]
            unsafe fn zero() -> Self::V {
                [0.0; $lanes]
            }
            #[inline(always)]
            unsafe fn load(p: *const $float) -> Self::V {
                // SAFETY: the caller vouches for the floats; an unaligned read asks for no alignment.
                unsafe { p.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn load_n(p: *const $float, n: usize) -> Self::V {
                let mut v = [0.0; $lanes];
                // SAFETY: the caller vouches for `n` floats.
                unsafe { core::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n.min($lanes)) };
                v
            }
            #[inline(always)]
            unsafe fn store(p: *mut $float, v: Self::V) {
                // SAFETY: the caller vouches for the floats.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn store_n(p: *mut $float, v: Self::V, n: usize) {
                // SAFETY: the caller vouches for `n` floats.
                unsafe { core::ptr::copy_nonoverlapping(v.as_ptr(), p, n.min($lanes)) }
            }
            #[inline(always)]
            unsafe fn splat(p: *const $float) -> Self::V {
                // SAFETY: the caller vouches for one float.
                unsafe { [*p; $lanes] }
            }
            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                core::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
            }
        }
    };
}

portable!(f32, 8, single);
portable!(f64, 4, double);
