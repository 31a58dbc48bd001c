//! Runs the tiles of a rectangle by its plan.
//!
//! In: operands, a plan, packing memory. Out: the rectangle. Blocks of rows, blocks of `k`, panels of columns, tiles of
//! rows, in that order; `k` blocks ascend, so the chains of the sums continue in memory.

use super::pack;
use super::plan::{self, LEFT_BYTES, MAX_KC, Plan, SWAP_ROWS, Shape};
use super::simd::Simd;
use super::tile::TileArgs;

/// Bytes of a row of the widest panel of any instruction set.
const PANEL: usize = 256;
/// Where the panel of the right operand begins: behind the tiles of the left one, with slack for full stores.
const PANEL_AT: usize = LEFT_BYTES + PANEL;
/// Where a swapped result begins: behind the panel.
const SWAPPED_AT: usize = PANEL_AT + MAX_KC * PANEL;
/// Bytes of packing memory: the three parts, and slack for full stores.
pub const SCRATCH_BYTES: usize = SWAPPED_AT + SWAP_ROWS * PANEL + PANEL;

/// The last plan: consecutive rectangles are mostly alike, and small ones take less time than planning does.
#[derive(Clone, Copy, Default)]
pub struct Last {
    /// Lanes and bytes of a lane.
    kind: (usize, usize),
    shape: Shape,
    plan: Plan,
}

/// Computes the rectangle.
///
/// # Safety
/// `l` and `r` must be valid for the shape's accesses, `c` for its rows and columns at row stride `ldc`, `scratch` for
/// [`SCRATCH_BYTES`] aligned to 64 bytes; nobody else may write any of them meanwhile.
#[inline(always)]
pub unsafe fn run<S: Simd>(
    s: Shape,
    l: *const S::E,
    r: *const S::E,
    c: *mut S::E,
    ldc: isize,
    scratch: *mut u8,
    last: &mut Last,
) {
    if s.m == 0 || s.n == 0 {
        return;
    }
    let kind = (S::LANES, size_of::<S::E>());
    if last.shape != s || last.kind != kind {
        *last = Last { kind, shape: s, plan: plan::plan::<S>(s) };
    }
    let p = last.plan;
    const { assert!(S::MAX_NV * S::LANES * size_of::<S::E>() <= PANEL) };
    // SAFETY: the parts of the scratch are disjoint and sum to its size; the rest is the caller's contract.
    unsafe {
        if !p.swap {
            block::<S>(s, p, l, r, c, ldc, scratch);
            return;
        }
        let t = scratch.add(SWAPPED_AT).cast::<S::E>();
        let s = s.swapped();
        let (l, r) = (r, l);
        let width = S::MAX_NV * S::LANES;
        let mut n0 = 0;
        while n0 < s.n {
            let n = (s.n - n0).min(width);
            let ldt = n.next_multiple_of(S::LANES);
            let mut m0 = 0;
            while m0 < s.m {
                let m = (s.m - m0).min(p.mc);
                let part = Shape { m, n, ..s };
                let (l, r) = (l.offset(m0 as isize * s.lm), r.offset(n0 as isize * s.rn));
                block::<S>(part, p, l, r, t, ldt as isize, scratch);
                pack::untranspose::<S>(t, ldt, m, n, c.offset(n0 as isize * ldc).add(m0), ldc);
                m0 += m;
            }
            n0 += n;
        }
    }
}

/// The product as it stands: rows broadcast, columns in lanes.
#[inline(always)]
unsafe fn block<S: Simd>(
    s: Shape,
    p: Plan,
    l: *const S::E,
    r: *const S::E,
    c: *mut S::E,
    ldc: isize,
    scratch: *mut u8,
) {
    let nv_all = s.n.div_ceil(S::LANES);
    let mr_first = S::max_rows(nv_all.min(S::MAX_NV));
    let mut m0 = 0;
    while m0 < s.m {
        let m = (s.m - m0).min(p.mc);
        let mut k0 = 0;
        loop {
            let k = (s.k - k0).min(p.kc);
            // SAFETY: rows m0..m0+m, k0..k0+k and the columns of each panel lie in the shape; packed tiles take at most
            // `mc * kc` floats, a panel at most `MAX_KC * PANEL` bytes.
            unsafe {
                let l = l.offset(m0 as isize * s.lm + k0 as isize * s.lk);
                let packed_l = scratch.cast::<S::E>();
                let panel = scratch.add(PANEL_AT).cast::<S::E>();
                if p.pack_l {
                    each_tile(m, mr_first, |i, rows| {
                        pack::left::<S>(l.offset(i as isize * s.lm), s.lm, s.lk, rows, k, packed_l.add(i * k));
                    });
                }
                let mut v0 = 0;
                while v0 < nv_all {
                    let rest = nv_all - v0;
                    // One register left over would make a thin panel: the last two share it.
                    let nv = match rest {
                        _ if rest <= S::MAX_NV => rest,
                        _ if rest == S::MAX_NV + 1 && S::MAX_NV > 2 => S::MAX_NV - 1,
                        _ => S::MAX_NV,
                    };
                    let n0 = v0 * S::LANES;
                    let cols = (s.n - n0).min(nv * S::LANES);
                    let src = r.offset(k0 as isize * s.rk + n0 as isize * s.rn);
                    let (rp, rs) = if p.pack_r || cols != nv * S::LANES {
                        pack::right::<S>(src, s.rk, s.rn, k, cols, panel);
                        (panel as *const S::E, (nv * S::LANES) as isize)
                    } else {
                        (src, s.rk)
                    };
                    let mr = if p.pack_l { mr_first } else { S::max_rows(nv) };
                    let c = c.offset(m0 as isize * ldc).add(n0);
                    each_tile(m, mr, |i, rows| {
                        let (lp, ls) = match (p.pack_l, s.lk == 1) {
                            (true, _) => (packed_l.add(i * k) as *const S::E, rows as isize),
                            (false, true) => (l.offset(i as isize * s.lm), s.lm),
                            (false, false) => (l.offset(i as isize * s.lm), s.lk),
                        };
                        S::tile(rows, nv, !p.pack_l && s.lk == 1)(&TileArgs {
                            l: lp,
                            ls,
                            r: rp,
                            rs,
                            c: c.offset(i as isize * ldc),
                            ldc,
                            k,
                            tail: cols - (nv - 1) * S::LANES,
                            resume: k0 > 0 && !crate::mutant!("gemm.resume"),
                        });
                    });
                    v0 += nv;
                }
            }
            k0 += k;
            if k0 >= s.k {
                break;
            }
        }
        m0 += m;
    }
}

/// Cuts `m` rows into the fewest tiles of at most `mr`, as equal as can be.
#[inline(always)]
fn each_tile(m: usize, mr: usize, mut f: impl FnMut(usize, usize)) {
    let tiles = m.div_ceil(mr);
    let (rows, extra) = (m / tiles, m % tiles);
    let mut i = 0;
    for t in 0..tiles {
        let h = rows + usize::from(t < extra);
        f(i, h);
        i += h;
    }
}
