//! The one tile loop: a register tile of the result, all of `k`, then a store.
//!
//! In: pointers and strides of one tile. Out: the tile, in memory. Written once over [`Simd`]; instruction sets and tile
//! sizes are instances. An element's sum is one chain of fused multiply-adds, `k` ascending, starting at 0.0 or at the
//! value in memory, so blocking over `k` continues the same chain and every instance has the same bits.

use super::simd::Simd;

/// One tile. The sum is cut into runs: with unit `k` stride the left operand's element (i, k) of run `q` is
/// `l[runs[q] + i * ls + k]`; with unit row stride it is `l[runs[q] + k * ls + i]`. The right operand has the runs behind
/// each other: its row `k` is `r[k * rs ..]`, full registers.
pub struct TileArgs<'t, E> {
    /// Left operand.
    pub l: *const E,
    /// Its stride that is not 1.
    pub ls: isize,
    /// Right operand.
    pub r: *const E,
    /// Stride of `k` in it.
    pub rs: isize,
    /// Result.
    pub c: *mut E,
    /// Its row stride.
    pub ldc: isize,
    /// Where in the left operand each run begins.
    pub runs: &'t [isize],
    /// Length of a run.
    pub run: usize,
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
pub type TileFn<E> = unsafe fn(&TileArgs<'_, E>);

/// `MR` rows by `NV` registers.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
pub unsafe fn run<S: Simd, const MR: usize, const NV: usize, const UNIT_K: bool>(t: &TileArgs<'_, S::E>) {
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
        let (mut r, rs) = (t.r, t.rs);
        for &at in t.runs {
            let mut l = Left::<S::E, MR, UNIT_K>::new(t.l.wrapping_offset(at), t.ls);
            for _ in 0..t.run / 4 {
                step::<S, MR, NV, UNIT_K>(&mut acc, &l, r, rs, 0);
                step::<S, MR, NV, UNIT_K>(&mut acc, &l, r, rs, 1);
                step::<S, MR, NV, UNIT_K>(&mut acc, &l, r, rs, 2);
                step::<S, MR, NV, UNIT_K>(&mut acc, &l, r, rs, 3);
                r = r.wrapping_offset(4 * rs);
                l.advance(4);
            }
            for _ in 0..t.run % 4 {
                step::<S, MR, NV, UNIT_K>(&mut acc, &l, r, rs, 0);
                r = r.wrapping_offset(rs);
                l.advance(1);
            }
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

/// Addresses of the left operand. Rows with a stride are reached from every third one, so that twelve of them need four
/// addresses and not twelve; the optimizer is kept from finding other, more numerous ones.
struct Left<E, const MR: usize, const UNIT_K: bool> {
    rows: [*const E; 4],
    stride: isize,
}

impl<E, const MR: usize, const UNIT_K: bool> Left<E, MR, UNIT_K> {
    #[inline(always)]
    fn new(l: *const E, stride: isize) -> Self {
        let at = |i: usize| if UNIT_K { l.wrapping_offset(3 * i as isize * stride) } else { l };
        Left { rows: [at(0), at(1), at(2), at(3)], stride }
    }

    #[inline(always)]
    fn advance(&mut self, k: isize) {
        if UNIT_K {
            for (i, p) in self.rows.iter_mut().enumerate() {
                if 3 * i < MR {
                    *p = opaque(p.wrapping_offset(k));
                }
            }
        } else {
            self.rows[0] = self.rows[0].wrapping_offset(k * self.stride);
        }
    }

    /// Row `i`, `u` steps on.
    #[inline(always)]
    fn at(&self, i: usize, u: isize) -> *const E {
        if UNIT_K {
            self.rows[i / 3].wrapping_offset((i % 3) as isize * self.stride + u)
        } else {
            self.rows[0].wrapping_offset(u * self.stride + i as isize)
        }
    }
}

/// The same address, but the optimizer does not know that.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read
fn opaque<E>(p: *const E) -> *const E {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut p = p;
        // SAFETY: no instruction at all.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags)) };
        p
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    p
}

/// One step of `k`, the `u`th from `l` and `r`.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices are also places in memory
unsafe fn step<S: Simd, const MR: usize, const NV: usize, const UNIT_K: bool>(
    acc: &mut [[S::V; NV]; MR],
    l: &Left<S::E, MR, UNIT_K>,
    r: *const S::E,
    rs: isize,
    u: isize,
) {
    // SAFETY: step `u` lies in the operands.
    unsafe {
        let r = r.offset(u * rs);
        let mut b = [S::zero(); NV];
        for j in 0..NV {
            b[j] = S::load(r.add(j * S::LANES));
        }
        for i in 0..MR {
            let a = S::splat(l.at(i, u));
            for j in 0..NV {
                acc[i][j] = S::fma(a, b[j], acc[i][j]);
            }
        }
    }
}
