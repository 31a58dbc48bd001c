//! The one tile loop: a register tile of the result, all of `k`, then a store.
//!
//! In: pointers and strides of one tile. Out: the tile, in memory. Written once over [`Simd`]; instruction sets and tile
//! sizes are instances. An element's sum is one chain of fused multiply-adds, `k` ascending, starting at 0.0 or at the
//! value in memory, so blocking over `k` continues the same chain and every instance has the same bits.

use super::simd::Simd;

/// One tile. With unit `k` stride the left operand's element (i, k) is `l[i * ls + k]`; with unit row stride it is
/// `l[k * ls + i]`. The right operand's row `k` is `r[k * rs ..]`, full registers.
pub struct TileArgs {
    /// Left operand.
    pub l: *const f32,
    /// Its stride that is not 1.
    pub ls: isize,
    /// Right operand.
    pub r: *const f32,
    /// Stride of `k` in it.
    pub rs: isize,
    /// Result.
    pub c: *mut f32,
    /// Its row stride.
    pub ldc: isize,
    /// Length of the sum.
    pub k: usize,
    /// Lanes of the last register that the result has.
    pub tail: usize,
    /// Continue from the values in the result.
    pub resume: bool,
}

/// A tile function.
///
/// # Safety
/// The pointers must be valid for the accesses that [`TileArgs`] describes for the function's number of rows and
/// registers, and the processor must have its instruction set.
pub type TileFn = unsafe fn(&TileArgs);

/// `MR` rows by `NV` registers.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
pub unsafe fn run<S: Simd, const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs) {
    // SAFETY: offsets stay within the rectangles that the caller vouches for.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        if t.resume {
            for (i, row) in acc.iter_mut().enumerate() {
                let c = t.c.offset(i as isize * t.ldc);
                for (j, v) in row.iter_mut().enumerate() {
                    let p = c.add(j * S::LANES);
                    *v = if j + 1 == NV { S::load_n(p, t.tail) } else { S::load(p) };
                }
            }
        }
        let (mut l, mut r, ls, rs) = (t.l, t.r, t.ls, t.rs);
        let step = |acc: &mut [[S::V; NV]; MR], l: *const f32, r: *const f32, u: isize| {
            let r = r.offset(u * rs);
            let mut b = [S::zero(); NV];
            for (j, b) in b.iter_mut().enumerate() {
                *b = S::load(r.add(j * S::LANES));
            }
            for (i, row) in acc.iter_mut().enumerate() {
                let i = i as isize;
                let a = S::splat(if UNIT_K { l.offset(i * ls + u) } else { l.offset(u * ls + i) });
                for (v, &b) in row.iter_mut().zip(&b) {
                    *v = S::fma(a, b, *v);
                }
            }
        };
        for _ in 0..t.k / 4 {
            step(&mut acc, l, r, 0);
            step(&mut acc, l, r, 1);
            step(&mut acc, l, r, 2);
            step(&mut acc, l, r, 3);
            r = r.wrapping_offset(4 * rs);
            l = l.wrapping_offset(if UNIT_K { 4 } else { 4 * ls });
        }
        for _ in 0..t.k % 4 {
            step(&mut acc, l, r, 0);
            r = r.wrapping_offset(rs);
            l = l.wrapping_offset(if UNIT_K { 1 } else { ls });
        }
        for (i, row) in acc.iter().enumerate() {
            let c = t.c.offset(i as isize * t.ldc);
            for (j, &v) in row.iter().enumerate() {
                let p = c.add(j * S::LANES);
                if j + 1 == NV && t.tail != S::LANES { S::store_n(p, v, t.tail) } else { S::store(p, v) }
            }
        }
    }
}
