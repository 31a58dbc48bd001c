//! Every instruction set of this processor against the definition, bit for bit, in both floats.

use super::*;

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

/// The definition.
fn naive<E: Real>(p: &Product<E>, m: usize, n: usize) -> Vec<E> {
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
    let p = Product { a: a.as_ptr(), b: b.as_ptr(), k, a_m, a_k, b_k, b_n };
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
        let p = Product { a: a.as_ptr(), b: b.as_ptr(), k, a_m, a_k, b_k: ld as isize, b_n: 1 };
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

#[test]
fn any_cut_of_the_result_has_the_same_bits() {
    any::<f32>();
    any::<f64>();
}

fn any<E: Real>() {
    let (m, n, k) = (50, 200, 90);
    let (a, b): (Vec<E>, Vec<E>) = (floats(m * k, 5), floats(k * n, 6));
    let p = Product { a: a.as_ptr(), b: b.as_ptr(), k, a_m: k as isize, a_k: 1, b_k: 1, b_n: k as isize };
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
    let p = Product { a: a.as_ptr(), b: b.as_ptr(), k, a_m: k as isize, a_k: 1, b_k: n as isize, b_n: 1 };
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
