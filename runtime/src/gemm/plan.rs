//! How a rectangle of a product is computed: which operand is broadcast, what is packed, how `k` is blocked.
//!
//! In: shape and strides. Out: a [`Plan`]. Only speed depends on it. `fma(a, b, c)` equals `fma(b, a, c)` in every bit, so
//! the product may be computed as it stands (rows of A broadcast, columns of B in lanes) or swapped (rows of B transposed
//! broadcast, rows of A in lanes, the result transposed on the way out).

use super::simd::Simd;

/// Shape and strides of a rectangle: `r[k * rk + n * rn]`, and `l[m * lm + k * lk]` within a group of rows and a run of `k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Length of the sum.
    pub k: usize,
    /// Length of a run of `k`.
    pub run: usize,
    /// Does one stride each describe the rows and `k` of the left operand? Else there are groups or runs.
    pub even: bool,
    /// Row stride of the left operand.
    pub lm: isize,
    /// `k` stride of the left operand.
    pub lk: isize,
    /// `k` stride of the right operand.
    pub rk: isize,
    /// Column stride of the right operand.
    pub rn: isize,
}

impl Shape {
    /// The same product with the operands' places exchanged, if it is even.
    pub fn swapped(self) -> Shape {
        Shape {
            m: self.n,
            n: self.m,
            k: self.k,
            run: self.run,
            even: self.even,
            lm: self.rn,
            lk: self.rk,
            rk: self.lk,
            rn: self.lm + isize::from(crate::mutant!("gemm.swap")),
        }
    }
}

/// Decisions for a rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Columns of the result are the broadcast side.
    pub swap: bool,
    /// Copy the left operand into tiles.
    pub pack_l: bool,
    /// Copy whole panels of the right operand; panels that are not full registers are always copied.
    pub pack_r: bool,
    /// Block of `k`: whole runs, or a piece of one.
    pub kc: usize,
    /// Rows done before the next panel of columns is taken up again.
    pub mc: usize,
}

/// Longest block of `k`: a panel of it is 128 KiB, an eighth to a half of the second-level caches in use.
pub const MAX_KC: usize = 512;
/// Most bytes of packed left tiles.
pub const LEFT_BYTES: usize = 256 << 10;
/// Most rows of a swapped result kept until it is transposed.
pub const SWAP_ROWS: usize = 256;

/// The cheapest plan.
#[inline(always)]
pub fn plan<S: Simd>(s: Shape) -> Plan {
    let (p, cost) = one_way::<S>(s, false);
    if !s.even {
        return p;
    }
    let (q, cost_swapped) = one_way::<S>(s.swapped(), true);
    if cost_swapped < cost { q } else { p }
}

/// Do `rows` rows of `stride` bytes, a panel wide each, evict each other from a first-level cache of 64 sets?
fn conflicts(stride_bytes: usize, rows: usize) -> bool {
    let lines = (stride_bytes / 64).max(1);
    let shared = 1usize << lines.trailing_zeros().min(6);
    shared > 4 && rows * shared > 64 * 8
}

#[inline(always)]
fn one_way<S: Simd>(s: Shape, swap: bool) -> (Plan, u64) {
    let Shape { m, n, k, .. } = s;
    let size = size_of::<S::E>();
    let nv = n.div_ceil(S::LANES);
    let panels = nv.div_ceil(S::MAX_NV);
    let wide = nv.min(S::MAX_NV);
    let mr = S::max_rows(wide);
    let tiles = m.div_ceil(mr);
    let run = s.run.max(1);
    let kc = if run <= MAX_KC {
        // Whole runs, as many in each block.
        let runs = k / run;
        let blocks = runs.div_ceil(MAX_KC / run).max(1);
        runs.div_ceil(blocks) * run
    } else {
        run.div_ceil(run.div_ceil(MAX_KC))
    };

    // Costs in quarter cycles: two vector operations a cycle, two loads a cycle, a latency of four between dependent ones.
    let per_k = |rows: usize, v: usize| (2 * rows * v).max(2 * (rows + v)).max(16) as u64;
    let (t, extra) = (m / tiles.max(1), m % tiles.max(1));
    let column = |v: usize| extra as u64 * per_k(t + 1, v) + (tiles - extra) as u64 * per_k(t, v);
    let last = nv - (panels - 1) * wide;
    let mut cost = ((panels - 1) as u64 * column(wide) + column(last)) * k as u64;

    let full_panels = n % S::LANES == 0;
    let reused = tiles >= 3;
    let pack_r = s.rn != 1 || (reused && conflicts(s.rk.unsigned_abs() * size, kc.min(k)));
    let right = (n * k) as u64;
    cost += if s.rn == 1 {
        if pack_r || !full_panels { right / 2 } else { 0 }
    } else if s.rk == 1 {
        right * 5 / 4
    } else {
        right * 8
    };
    // With unit row stride the left operand is read as it lies: a tile takes one line a step, which even the second level
    // keeps up with.
    let pack_l = s.lk != 1 && s.lm != 1;
    if pack_l {
        cost += (m * k) as u64 * 8;
    }
    if swap {
        cost += (m * n) as u64 * 2;
    }
    let mc = match (swap, pack_l) {
        (_, true) => (LEFT_BYTES / size / kc.max(1) / mr * mr).clamp(mr, SWAP_ROWS),
        (true, false) => SWAP_ROWS,
        (false, false) => m.max(1),
    };
    (Plan { swap, pack_l, pack_r, kc, mc }, cost)
}
