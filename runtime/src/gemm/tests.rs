//! Every instruction set of this processor against the definition, bit for bit, in both floats.

use super::*;
use crate::program::GemmBatch;

/// What the tests need of a float.
trait Real: Element + std::fmt::Display {
    const NAN: Self;
    const INFINITY: Self;
    fn mul_add(self, b: Self, c: Self) -> Self;
    fn is_nan(self) -> bool;
    fn bits(self) -> u64;
    /// In -1 to 1.
    fn fraction(random: u32) -> Self;
}

macro_rules! real {
    ($float:ident) => {
        impl Real for $float {
            const NAN: Self = $float::NAN;
            const INFINITY: Self = $float::INFINITY;
            fn mul_add(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn fraction(random: u32) -> Self {
                // An odd divisor fills the significand of either float.
                (random >> 8) as $float / 8388607.0 - 1.0
            }
        }
    };
}

real!(f32);
real!(f64);

/// A product without groups or runs: the strides of A, then of B.
fn even<'t, E>(
    a: &'t [E],
    b: &'t [E],
    m: usize,
    k: usize,
    of_a: (isize, isize),
    of_b: (isize, isize),
) -> Product<'t, E> {
    let ((a_m, a_k), (b_k, b_n)) = (of_a, of_b);
    let nowhere = &drive::NOWHERE;
    let (a, b) = (a.as_ptr(), b.as_ptr());
    Product { a, b, k, groups: nowhere, group: m, runs: nowhere, run: k, a_m, a_k, b_k, b_n }
}

/// The definition.
fn naive<E: Real>(p: &Product<'_, E>, m: usize, n: usize) -> Vec<E> {
    let mut c = vec![E::default(); m * n];
    for i in 0..m {
        for j in 0..n {
            let mut acc = E::default();
            for k in 0..p.k as isize {
                // SAFETY: the test's operands cover the whole product.
                let (a, b) = unsafe {
                    (*p.a.offset(i as isize * p.a_m + k * p.a_k), *p.b.offset(k * p.b_k + j as isize * p.b_n))
                };
                acc = a.mul_add(b, acc);
            }
            c[i * n + j] = acc;
        }
    }
    c
}

/// Floats of mixed size and sign, so that a different order of sums shows.
fn floats<E: Real>(n: usize, seed: u32) -> Vec<E> {
    let mut x = seed.wrapping_mul(2654435761).wrapping_add(12345);
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            E::fraction(x)
        })
        .collect()
}

/// A and B of the given layouts: 0 rows contiguous, 1 columns contiguous, 2 neither.
fn check<E: Real>(m: usize, n: usize, k: usize, layout_a: u32, layout_b: u32) {
    let strides = |layout: u32, rows: usize, cols: usize| match layout {
        0 => (cols as isize + 3, 1isize),
        1 => (1, rows as isize + 1),
        _ => (2 * cols as isize + 1, 2),
    };
    let (a_m, a_k) = strides(layout_a, m, k);
    let (b_k, b_n) = strides(layout_b, k, n);
    let span =
        |r: usize, rs: isize, c: usize, cs: isize| (r.max(1) - 1) * rs as usize + (c.max(1) - 1) * cs as usize + 1;
    // Exactly the floats that the product has: a read past them is past the allocation.
    let a: Vec<E> = floats(span(m, a_m, k, a_k), 1);
    let b: Vec<E> = floats(span(k, b_k, n, b_n), 2);
    let p = even(&a, &b, m, k, (a_m, a_k), (b_k, b_n));
    let want = naive(&p, m, n);
    let mut scratch = Scratch::new();
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        let ldc = n + 5;
        let mut c = vec![E::NAN; m * ldc];
        // SAFETY: the operands cover the product and `c` its result.
        unsafe { rect(isa, &p, 0..m, 0..n, c.as_mut_ptr(), ldc, &mut scratch) };
        for i in 0..m {
            for j in 0..ldc {
                let got = c[i * ldc + j];
                if j < n {
                    let want = want[i * n + j];
                    assert_eq!(
                        got.bits(),
                        want.bits(),
                        "{} [{m}x{k}]@[{k}x{n}] layouts {layout_a}{layout_b} at ({i}, {j}): {got} for {want}",
                        isa.name()
                    );
                } else {
                    assert!(got.is_nan(), "{} wrote past the row at ({i}, {j})", isa.name());
                }
            }
        }
    }
}

#[test]
fn small_shapes_of_all_layouts() {
    for m in [1, 2, 3, 5, 6, 7, 13, 16, 17, 33] {
        for n in [1, 2, 7, 8, 9, 15, 16, 17, 31, 40, 64, 65, 80, 81] {
            for k in [0, 1, 2, 3, 4, 5, 16, 19, 33] {
                for layouts in 0..9 {
                    check::<f32>(m, n, k, layouts / 3, layouts % 3);
                    if (m + n + k) % 5 == 0 {
                        check::<f64>(m, n, k, layouts / 3, layouts % 3);
                    }
                }
            }
        }
    }
}

#[test]
fn blocked_shapes_of_all_layouts() {
    // The last four fill the packing memory to the brim: blocks of k of the greatest length.
    for (m, n, k) in [
        (64, 10, 128),
        (10, 128, 64),
        (70, 130, 1030),
        (300, 65, 520),
        (65, 300, 700),
        (1, 200, 1100),
        (64, 256, 512),
        (49, 30, 1024),
        (100, 300, 1023),
        (512, 64, 512),
    ] {
        for layouts in 0..9 {
            check::<f32>(m, n, k, layouts / 3, layouts % 3);
            check::<f64>(m, n, k, layouts / 3, layouts % 3);
        }
    }
}

#[test]
fn strides_that_collide_in_the_cache() {
    strides::<f32>();
    strides::<f64>();
}

fn strides<E: Real>() {
    // Row strides of 2048 floats: panels and tiles are packed although they could be read in place.
    let (m, n, k, ld) = (40, 64, 150, 2048usize);
    let a: Vec<E> = floats(k * ld, 3);
    let b: Vec<E> = floats(k * ld, 4);
    for (a_m, a_k) in [(1, ld as isize), (ld as isize, 1)] {
        let p = even(&a, &b, m, k, (a_m, a_k), (ld as isize, 1));
        let want = naive(&p, m, n);
        let mut scratch = Scratch::new();
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            let mut c = vec![E::default(); m * n];
            // SAFETY: the operands cover the product and `c` its result.
            unsafe { rect(isa, &p, 0..m, 0..n, c.as_mut_ptr(), n, &mut scratch) };
            assert!(c.iter().zip(&want).all(|(x, y)| x.bits() == y.bits()), "{}", isa.name());
        }
    }
}

/// Panels that are kept hold the operand, whatever its strides and however many columns are left over.
#[test]
fn kept_panels_are_the_operand() {
    for (n, k) in [(1, 1), (16, 3), (63, 17), (64, 16), (65, 40), (200, 33), (5, 0)] {
        for of_b in [(n as isize, 1), (1, k as isize), (2, 2 * k as isize)] {
            let (m, b) = (7, floats::<f32>(2 * n * k + 2, 3));
            let a = floats::<f32>(m * k, 4);
            let p = even(&a, &b, m, k, (k as isize, 1), of_b);
            let mut kept = vec![0f32; n.next_multiple_of(panels::WIDTH) * k];
            // SAFETY: the operand and the panels have these sizes.
            unsafe { panels::keep(&p, n, kept.as_mut_ptr()) };
            for first in (0..n).step_by(panels::WIDTH) {
                let part = panels::part(&p, kept.as_ptr(), first);
                let cols = panels::WIDTH.min(n - first);
                let (got, want) = (naive(&part, m, cols), naive(&p, m, n));
                for (i, x) in got.iter().enumerate() {
                    assert_eq!(x.to_bits(), want[i / cols * n + first + i % cols].to_bits(), "{n} {k} {of_b:?}");
                }
            }
        }
    }
}

#[test]
fn any_cut_of_the_result_has_the_same_bits() {
    any::<f32>();
    any::<f64>();
}

fn any<E: Real>() {
    let (m, n, k) = (50, 200, 90);
    let (a, b): (Vec<E>, Vec<E>) = (floats(m * k, 5), floats(k * n, 6));
    let p = even(&a, &b, m, k, (k as isize, 1), (1, k as isize));
    let want = naive(&p, m, n);
    let mut scratch = Scratch::new();
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        for (mt, nt) in [(1, 64), (7, 200), (50, 33), (16, 128)] {
            let mut c = vec![E::default(); m * n];
            for m0 in (0..m).step_by(mt) {
                for n0 in (0..n).step_by(nt) {
                    let (rows, cols) = (m0..(m0 + mt).min(m), n0..(n0 + nt).min(n));
                    // SAFETY: the rectangle lies in the result.
                    unsafe { rect(isa, &p, rows, cols, c.as_mut_ptr().add(m0 * n + n0), n, &mut scratch) };
                }
            }
            assert!(c.iter().zip(&want).all(|(x, y)| x.bits() == y.bits()), "{} {mt}x{nt}", isa.name());
        }
    }
}

#[test]
fn infinities_and_nans_stay_in_their_elements() {
    infinities::<f32>();
    infinities::<f64>();
}

fn infinities<E: Real>() {
    let (m, n, k) = (9, 20, 8);
    let (mut a, b): (Vec<E>, Vec<E>) = (floats(m * k, 7), floats(k * n, 8));
    a[3 * k + 2] = E::INFINITY;
    a[5 * k + 1] = E::NAN;
    let p = even(&a, &b, m, k, (k as isize, 1), (n as isize, 1));
    let want = naive(&p, m, n);
    let mut scratch = Scratch::new();
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        let mut c = vec![E::default(); m * n];
        // SAFETY: the operands cover the product and `c` its result.
        unsafe { rect(isa, &p, 0..m, 0..n, c.as_mut_ptr(), n, &mut scratch) };
        for (x, y) in c.iter().zip(&want) {
            assert!(x.bits() == y.bits() || (x.is_nan() && y.is_nan()));
        }
    }
}

#[test]
fn groups_of_rows_and_runs_of_k_against_plain_loops() {
    let mut r = Random(7);
    for case in 0..600 {
        any_axes::<f32>(&mut r, case);
        any_axes::<f64>(&mut r, case);
    }
}

struct Random(u32);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        u64::from(self.0 >> 8) % n
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Axes of any strides in A, cut anywhere. Elements of A may be shared, as those of windows are.
fn any_axes<E: Real>(r: &mut Random, case: u64) {
    let long = case.is_multiple_of(20);
    let m = r.pick(&[1, 2, 3, 5, 6, 7, 13, 14, 17]);
    let n = if long { 70 } else { r.pick(&[1, 3, 8, 16, 17, 33, 64, 65, 80]) };
    let batch: Vec<GemmBatch> = (0..r.below(4))
        .map(|i| GemmBatch {
            size: 1 + r.below(4),
            a: r.below(60) as i64 - 20,
            // Mostly the inner ones share B.
            b: if r.below(2 + 2 * i) == 0 { r.below(9) as i64 } else { 0 },
        })
        .collect();
    let lengths: &[u64] = if long { &[2, 11, 30, 600] } else { &[0, 1, 2, 3, 4, 5, 7, 9, 14] };
    let mut k: Vec<GemmK> = (0..1 + r.below(if long { 2 } else { 3 }))
        .map(|_| GemmK { size: r.pick(lengths), a: r.below(200) as i64 - 50 })
        .collect();
    if k.len() > 1 && r.below(4) != 0 {
        k.iter_mut().for_each(|x| x.size = x.size.max(1));
    }
    // One, the other or neither of the strides that a tile walks is 1.
    let a_m = r.pick(&[1, 1, 3, 40, 0, -2]);
    if r.below(2) == 0 {
        k.iter_mut().last().expect("an axis").a = 1;
    }
    let sum: u64 = k.iter().map(|x| x.size).product();
    let (b_k, b_n) = match r.below(3) {
        0 => (n as i64 + r.below(3) as i64, 1),
        1 => (1, sum as i64 + r.below(3) as i64),
        _ => (2 * n as i64 + 1, 2),
    };
    let of_a: Vec<(u64, i64)> =
        batch.iter().map(|x| (x.size, x.a)).chain([(m, a_m)]).chain(k.iter().map(|x| (x.size, x.a))).collect();
    let of_b: Vec<(u64, i64)> = batch.iter().map(|x| (x.size, x.b)).chain([(sum, b_k), (n, b_n)]).collect();
    // Exactly the floats that the product reaches.
    let reach = |axes: &[(u64, i64)]| {
        axes.iter().fold((0, 0), |(low, high), &(n, s)| {
            let to = (n.max(1) - 1) as i64 * s;
            (low + to.min(0), high + to.max(0))
        })
    };
    let ((low, high), (_, end)) = (reach(&of_a), reach(&of_b));
    let a: Vec<E> = floats((high - low) as usize + 1, case as u32 + 1);
    let b: Vec<E> = floats(end as usize + 1, case as u32 + 2);
    let dtype = if size_of::<E>() == 8 { DType::F64 } else { DType::F32 };
    let g = Gemm { dtype, batch, m, n, k, a_offset: -low, b_offset: 0, a_m, b_k, b_n };
    let rows = g.batch.iter().map(|x| x.size).product::<u64>() * m;

    // One element after another, indices by division.
    let parts = |mut i: u64, sizes: &mut dyn Iterator<Item = (u64, i64)>| {
        sizes.fold(0, |at, (n, s)| {
            let j = i % n;
            i /= n;
            at + j as i64 * s
        })
    };
    let mut want = vec![E::default(); (rows * n) as usize];
    for row in 0..rows {
        let at = -low + (row % m) as i64 * a_m + parts(row / m, &mut g.batch.iter().rev().map(|x| (x.size, x.a)));
        let bt = parts(row / m, &mut g.batch.iter().rev().map(|x| (x.size, x.b)));
        for col in 0..n {
            let acc = (0..sum).fold(E::default(), |acc, i| {
                let x = a[(at + parts(i, &mut g.k.iter().rev().map(|x| (x.size, x.a)))) as usize];
                x.mul_add(b[(bt + i as i64 * b_k + col as i64 * b_n) as usize], acc)
            });
            want[(row * n + col) as usize] = acc;
        }
    }

    let offsets = Offsets::new(&g);
    let mut scratch = Scratch::new();
    let (height, width) = (1 + r.below(rows) as usize, 1 + r.below(n) as usize);
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        let ldc = n as usize + 3;
        let mut c = vec![E::NAN; rows as usize * ldc];
        let together = offsets.rows(&g) as usize;
        for index in 0..rows as usize / together {
            // SAFETY: the operands were made for the product.
            let p = unsafe { Product::of(&g, &offsets, index as u64, a.as_ptr(), b.as_ptr()) };
            for m0 in (0..together).step_by(height) {
                for n0 in (0..n as usize).step_by(width) {
                    let (rows, cols) = (m0..(m0 + height).min(together), n0..(n0 + width).min(n as usize));
                    // SAFETY: the rectangle lies in the result.
                    unsafe {
                        let c = c.as_mut_ptr().add((index * together + m0) * ldc + n0);
                        rect(isa, &p, rows, cols, c, ldc, &mut scratch);
                    }
                }
            }
        }
        for (row, line) in c.chunks(ldc).enumerate() {
            for (col, got) in line.iter().enumerate() {
                match want.get(row * n as usize + col).filter(|_| col < n as usize) {
                    Some(x) => assert_eq!(got.bits(), x.bits(), "{} case {case} {g:?} at ({row}, {col})", isa.name()),
                    None => assert!(got.is_nan(), "{} case {case} wrote past row {row}", isa.name()),
                }
            }
        }
    }
}
