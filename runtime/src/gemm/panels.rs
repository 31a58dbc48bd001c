//! A right operand that many products share, kept in panels.
//!
//! In: the right operand of a product, once. Out: panels of 64 columns, row after row, that products read as they lie: a loop
//! whose steps multiply by the same matrix packs it once, not in every step. Each thread keeps panels of its own.

use super::Product;
use crate::program::Gemm;

/// Columns of a panel: as many as the widest tiles have, and few enough that rows do not collide in a cache.
pub const WIDTH: usize = 64;
/// Rows and columns that are copied at a time, so that both sides stay in a cache.
const BLOCK: usize = 16;

/// Bytes of the panels of a product; `None` if there is no end of them.
pub fn bytes(g: &Gemm) -> Option<u64> {
    let k = g.k.iter().try_fold(1u64, |n, x| n.checked_mul(x.size))?;
    g.n.checked_next_multiple_of(WIDTH as u64)?.checked_mul(k)?.checked_mul(g.dtype.bytes() as u64)
}

/// Packs `n` columns of the right operand of a product.
///
/// # Safety
/// `p.b` must be readable for all of them, `to` writable for the panels.
pub unsafe fn keep<E: Copy>(p: &Product<'_, E>, n: usize, to: *mut E) {
    for first in (0..n).step_by(WIDTH) {
        let panel = to.wrapping_add(first * p.k);
        let cols = WIDTH.min(n - first);
        for (k0, c0) in (0..p.k).step_by(BLOCK).flat_map(|k| (0..cols).step_by(BLOCK).map(move |c| (k, c))) {
            for k in k0..(k0 + BLOCK).min(p.k) {
                for c in c0..(c0 + BLOCK).min(cols) {
                    // SAFETY: row `k` and column `first + c` are those of the operand, and have a place in the panel.
                    unsafe {
                        let from = p.b.offset(k as isize * p.b_k + (first + c) as isize * p.b_n);
                        *panel.add(k * WIDTH + c) = *from;
                    }
                }
            }
        }
    }
}

/// The product of the columns from `first` on, a multiple of the width, that one panel has.
pub fn part<'t, E>(p: &Product<'t, E>, kept: *const E, first: usize) -> Product<'t, E> {
    Product { a: p.a, b: kept.wrapping_add(first * p.k), b_k: WIDTH as isize, b_n: 1, ..*p }
}
