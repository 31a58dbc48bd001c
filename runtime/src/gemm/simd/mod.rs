//! The vector operations that the tile loop is written in, one implementation per instruction set.
//!
//! In: pointers and lane counts. Out: vectors of [`Simd::LANES`] floats of one type. Everything a product needs beyond this trait is
//! shared code, so an instruction set is about a hundred lines and cannot change a result: [`Simd::fma`] rounds once on
//! each of them.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx2_f64;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod avx512_f64;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod portable;

use super::tile::TileFn;

/// A vector of floats of one type and instruction set.
///
/// # Safety
/// Every function needs a processor that has the instruction set, and pointers valid for the lanes it names. The
/// functions are inlined into callers that enable the set's target features.
#[allow(clippy::missing_safety_doc)] // one contract for all of them, above
pub unsafe trait Simd: Copy + 'static {
    /// The float.
    type E: Copy + Default + 'static;
    /// A register.
    type V: Copy;
    /// Floats in a register.
    const LANES: usize;
    /// Registers across the widest tile.
    const MAX_NV: usize;
    /// Most rows of a tile that is `nv` registers wide.
    fn max_rows(nv: usize) -> usize;
    /// The tile function for `rows` by `nv` registers; the left operand's `k` stride is 1 if `unit_k`, else its row
    /// stride is 1.
    fn tile(rows: usize, nv: usize, unit_k: bool) -> TileFn<Self::E>;

    /// Zeros.
    unsafe fn zero() -> Self::V;
    /// Loads a register.
    unsafe fn load(p: *const Self::E) -> Self::V;
    /// Loads the first `n` lanes, zeros in the others.
    unsafe fn load_n(p: *const Self::E, n: usize) -> Self::V;
    /// Stores a register.
    unsafe fn store(p: *mut Self::E, v: Self::V);
    /// Stores the first `n` lanes.
    unsafe fn store_n(p: *mut Self::E, v: Self::V, n: usize);
    /// One float in every lane.
    unsafe fn splat(p: *const Self::E) -> Self::V;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `dst[c * dst_ld + r] = src[r * src_ld + c]` for the block of `rows` by `cols`, each at most [`Simd::LANES`];
    /// destination rows are written up to `width` lanes, zeros past `rows`.
    #[inline(always)]
    unsafe fn transpose(
        src: *const Self::E,
        src_ld: isize,
        rows: usize,
        cols: usize,
        dst: *mut Self::E,
        dst_ld: isize,
        width: usize,
    ) {
        for c in 0..cols {
            for r in 0..width {
                // SAFETY: the caller vouches for the block on both sides.
                unsafe {
                    let v = if r < rows { *src.offset(r as isize * src_ld + c as isize) } else { Self::E::default() };
                    *dst.offset(c as isize * dst_ld + r as isize) = v;
                }
            }
        }
    }
}

/// Expands to the `tile` function of an instruction set: a table of monomorphic kernels.
macro_rules! tiles {
    ($kernel:ident; $($nv:literal: $($mr:literal)*;)*) => {
        fn tile(rows: usize, nv: usize, unit_k: bool) -> $crate::gemm::tile::TileFn<Self::E> {
            match (nv, rows, unit_k) {
                $($(($nv, $mr, true) => $kernel::<$mr, $nv, true>,
                    ($nv, $mr, false) => $kernel::<$mr, $nv, false>,)*)*
                _ => unreachable!("no tile of {rows} rows by {nv} registers"),
            }
        }
    };
}
pub(crate) use tiles;
