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

/// A table with nothing to add: of rows without groups, of a sum in one run.
pub static NOWHERE: [isize; 1] = [0];

/// A rectangle to compute.
#[derive(Clone, Copy)]
pub struct Call<'t, E> {
    /// Its shape and strides.
    pub shape: Shape,
    /// The left operand, which offsets count from.
    pub l: *const E,
    /// Where each group of rows begins in the left operand.
    pub groups: &'t [isize],
    /// Rows of a group.
    pub group: usize,
    /// The group of the first row, and its number there.
    pub first: (usize, usize),
    /// Where each run of `k` begins in the left operand; not empty.
    pub runs: &'t [isize],
    /// Element (0, 0) of the right operand.
    pub r: *const E,
    /// Element (0, 0) of the result.
    pub c: *mut E,
    /// Row stride of the result.
    pub ldc: isize,
}

/// Computes the rectangle.
///
/// # Safety
/// The operands must be valid for the accesses of the shape, which `groups` and `runs` cover, `c` for its rows and columns
/// at row stride `ldc`, `scratch` for [`SCRATCH_BYTES`] aligned to 64 bytes; nobody else may write any of them meanwhile.
#[inline(always)]
pub unsafe fn run<S: Simd>(call: Call<'_, S::E>, scratch: *mut u8, last: &mut Last) {
    let s = call.shape;
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
            block::<S>(call, p, scratch);
            return;
        }
        // Swapped, the left operand has one group and one run.
        let Call { c, ldc, .. } = call;
        let (l, r) = (call.r, call.l.wrapping_offset(call.groups[0] + call.runs[0]));
        let t = scratch.add(SWAPPED_AT).cast::<S::E>();
        let s = s.swapped();
        let width = S::MAX_NV * S::LANES;
        let mut n0 = 0;
        while n0 < s.n {
            let n = (s.n - n0).min(width);
            let ldt = n.next_multiple_of(S::LANES);
            let mut m0 = 0;
            while m0 < s.m {
                let m = (s.m - m0).min(p.mc);
                let part = Call {
                    shape: Shape { m, n, ..s },
                    l: l.offset(m0 as isize * s.lm),
                    groups: &NOWHERE,
                    group: m,
                    first: (0, 0),
                    runs: &NOWHERE,
                    r: r.offset(n0 as isize * s.rn),
                    c: t,
                    ldc: ldt as isize,
                };
                block::<S>(part, p, scratch);
                pack::untranspose::<S>(t, ldt, m, n, c.offset(n0 as isize * ldc).add(m0), ldc);
                m0 += m;
            }
            n0 += n;
        }
    }
}

/// The product as it stands: rows broadcast, columns in lanes.
#[inline(always)]
unsafe fn block<S: Simd>(call: Call<'_, S::E>, p: Plan, scratch: *mut u8) {
    let Call { shape: s, l, r, c, ldc, .. } = call;
    let nv_all = s.n.div_ceil(S::LANES);
    let mr_first = S::max_rows(nv_all.min(S::MAX_NV));
    let (mut m0, mut first) = (0, call.first);
    while m0 < s.m {
        let m = (s.m - m0).min(p.mc);
        let tiles = Tiles { groups: call.groups, group: call.group, lm: s.lm, first, m };
        let mut next = first;
        // The run that a block of `k` begins in, and where in it.
        let (mut q, mut k1, mut k0) = (0, 0, 0);
        while q < call.runs.len() {
            let (count, run) = match s.run <= p.kc {
                true => ((p.kc / s.run.max(1)).clamp(1, call.runs.len() - q), s.run),
                false => (1, p.kc.min(s.run - k1)),
            };
            let (runs, k) = (&call.runs[q..q + count], count * run);
            // SAFETY: the rows, the runs and the columns of each panel lie in the shape; packed tiles take at most `mc * kc`
            // floats, a panel at most `MAX_KC * PANEL` bytes.
            unsafe {
                let l = l.wrapping_offset(k1 as isize * s.lk);
                let packed_l = scratch.cast::<S::E>();
                let panel = scratch.add(PANEL_AT).cast::<S::E>();
                if p.pack_l {
                    tiles.each(mr_first, |i, at, rows| {
                        for (j, run_at) in runs.iter().enumerate() {
                            let (src, dst) = (l.wrapping_offset(at + run_at), packed_l.add(i * k + j * run * rows));
                            pack::left::<S>(src, s.lm, s.lk, rows, run, dst);
                        }
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
                    let unit_k = !p.pack_l && s.lk == 1;
                    let (runs, run) = if p.pack_l { (&NOWHERE[..], k) } else { (runs, run) };
                    let mut t = TileArgs {
                        l,
                        ls: if unit_k { s.lm } else { s.lk },
                        r: rp,
                        rs,
                        c,
                        ldc,
                        runs,
                        run,
                        tail: cols - (nv - 1) * S::LANES,
                        resume: k0 > 0 && !crate::mutant!("gemm.resume"),
                    };
                    next = tiles.each(mr, |i, at, rows| {
                        if p.pack_l {
                            (t.l, t.ls) = (packed_l.add(i * k), rows as isize);
                        } else {
                            t.l = l.wrapping_offset(at);
                        }
                        t.c = c.offset(i as isize * ldc);
                        S::tile(rows, nv, unit_k)(&t);
                    });
                    v0 += nv;
                }
            }
            k0 += k;
            k1 += run;
            if k1 >= s.run {
                (q, k1) = (q + count, 0);
            }
        }
        (m0, first) = (m0 + m, next);
    }
}

/// Rows of the left operand that are cut into tiles.
struct Tiles<'t> {
    groups: &'t [isize],
    group: usize,
    lm: isize,
    /// The group of the first row, and its number there.
    first: (usize, usize),
    m: usize,
}

impl Tiles<'_> {
    /// Cuts the rows of each group into the fewest tiles of at most `mr`, as equal as can be: calls `f` with a tile's first
    /// row, its address and its height. Gives the group and the row behind the last one.
    #[inline(always)]
    fn each(&self, mr: usize, mut f: impl FnMut(usize, isize, usize)) -> (usize, usize) {
        let (mut g, mut row) = self.first;
        let mut i = 0;
        while i < self.m {
            let m = (self.group - row).min(self.m - i);
            let mut at = self.groups[g] + row as isize * self.lm;
            let tiles = m.div_ceil(mr);
            let (rows, extra) = (m / tiles, m % tiles);
            for t in 0..tiles {
                let h = rows + usize::from(t < extra);
                f(i, at, h);
                i += h;
                at += h as isize * self.lm;
            }
            row += m;
            if row == self.group {
                (g, row) = (g + usize::from(!crate::mutant!("gemm.groups")), 0);
            }
        }
        (g, row)
    }
}
