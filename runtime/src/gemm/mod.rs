//! Matrix products over strided operands, bit-identical on every processor and for every way of cutting them.
//!
//! In: a [`Product`] and a rectangle of its result. Out: the rectangle, `c[m, n]` the chain of fused multiply-adds over
//! `k` ascending from 0.0. `exec.rs` calls this for the anchors of launches, tile by tile while the body's data is in
//! cache. Nothing is allocated: packing memory is the caller's [`Scratch`].

pub mod drive;
pub mod pack;
pub mod panels;
pub mod plan;
pub mod simd;
pub mod tile;

#[cfg(test)]
mod tests;

use crate::dtype::DType;
use crate::program::{Gemm, GemmK};
use drive::Call;
use plan::{Plan, Shape};
use std::ops::Range;

/// The instruction sets that kernels exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// AArch64's vectors.
    Neon,
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// Every set, fastest first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// Does this processor have it?
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Isa::Portable => true,
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The fastest one of this processor.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().find(|i| i.available()).unwrap_or(Isa::Portable)
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }
}

/// What a batch of products adds to the addresses of A, worked out once for a launch. Products that share B are one product
/// whose rows come in groups, so that its panels are packed for all of them at once. Each table is no longer than the result
/// or B are.
#[derive(Clone, Debug)]
pub struct Offsets {
    /// Of the first row of each group of rows of a product.
    groups: Vec<isize>,
    /// Of the first element of each run of `k`: a stretch of the innermost contracted axis.
    runs: Vec<isize>,
    /// Batch axes outside the groups: B moves along the last of them.
    outer: usize,
    /// Length of the sum.
    k: usize,
    /// Length of a run.
    run: usize,
}

impl Offsets {
    /// Those of a product.
    pub fn new(g: &Gemm) -> Offsets {
        let outer = g.batch.iter().rposition(|x| x.b != 0 && x.size != 1).map_or(0, |i| i + 1);
        let inner = g.k.last().map_or((0, 0), |x| (x.size, x.a));
        let outer_k = &g.k[..g.k.len().saturating_sub(1)];
        let k = g.k.iter().map(|x| x.size).product::<u64>() as usize;
        let stride = |x: &GemmK| (x.size, if crate::mutant!("gemm.runs") { 0 } else { x.a });
        Offsets {
            groups: table(g.batch[outer..].iter().map(|x| (x.size, x.a))),
            // A sum of nothing is one empty run.
            runs: if k == 0 { vec![0] } else { table(outer_k.iter().map(stride)) },
            outer,
            k,
            run: if k == 0 { 0 } else { inner.0 as usize },
        }
    }

    /// Rows of a product of `g`, all of whose groups have the same B.
    pub fn rows(&self, g: &Gemm) -> u64 {
        g.m * self.groups.len() as u64
    }
}

/// The address at each point of a grid of axes (size, stride), row-major.
fn table(axes: impl Iterator<Item = (u64, i64)>) -> Vec<isize> {
    axes.fold(vec![0], |t, (n, stride)| {
        t.iter().flat_map(|&at| (0..n as isize).map(move |i| at + i * stride as isize)).collect()
    })
}

/// One product of a batch: addresses and strides in elements. Element (m, k) of A is at
/// `groups[m / group] + m % group * a_m + runs[k / run] + k % run * a_k`, element (k, n) of B at `k * b_k + n * b_n`.
#[derive(Clone, Copy, Debug)]
pub struct Product<'t, E> {
    /// What the offsets of A count from.
    pub a: *const E,
    /// Element (0, 0) of B.
    pub b: *const E,
    /// Length of the sum.
    pub k: usize,
    /// First rows of the groups.
    pub groups: &'t [isize],
    /// Rows of a group.
    pub group: usize,
    /// First elements of the runs; one, empty, if `k` is 0.
    pub runs: &'t [isize],
    /// Length of a run.
    pub run: usize,
    /// Stride of `m` in a group of A.
    pub a_m: isize,
    /// Stride of `k` in a run of A.
    pub a_k: isize,
    /// Stride of `k` in B.
    pub b_k: isize,
    /// Stride of `n` in B.
    pub b_n: isize,
}

impl<'t, E> Product<'t, E> {
    /// Product number `index` of those that have a B of their own.
    ///
    /// # Safety
    /// `a` and `b` must be the bases that the offsets and strides of `g` count from, `o` the offsets of `g`.
    pub unsafe fn of(g: &Gemm, o: &'t Offsets, mut index: u64, a: *const E, b: *const E) -> Product<'t, E> {
        let (mut at, mut bt) = (g.a_offset, g.b_offset);
        for axis in g.batch[..o.outer].iter().rev() {
            let i = (index % axis.size) as i64;
            index /= axis.size;
            at += i * axis.a;
            bt += i * axis.b;
        }
        Product {
            // SAFETY: the caller vouches for the bases; the offsets are those of an element of the batch.
            a: unsafe { a.offset(at as isize) },
            // SAFETY: as above.
            b: unsafe { b.offset(bt as isize) },
            k: o.k,
            groups: &o.groups,
            group: g.m as usize,
            runs: &o.runs,
            run: o.run,
            a_m: g.a_m as isize,
            a_k: g.k.last().map_or(0, |x| x.a as isize),
            b_k: g.b_k as isize,
            b_n: g.b_n as isize,
        }
    }
}

/// A float that products are of.
pub trait Element: Copy + Default + 'static {
    /// How a rectangle is computed.
    fn plan(isa: Isa, s: Shape) -> Plan;
    /// Computes a rectangle.
    ///
    /// # Safety
    /// The processor must have `isa`; the rest is the contract of [`drive::run`].
    unsafe fn run(isa: Isa, call: Call<'_, Self>, scratch: *mut u8, last: &mut drive::Last);
}

/// The vectors of each instruction set for a float. A set without any of its own takes the portable ones.
macro_rules! element {
    ($float:ident: $($(#[$when:meta])? $isa:ident $simd:ty, $run:ident);*) => {
        impl Element for $float {
            fn plan(isa: Isa, s: Shape) -> Plan {
                match isa {
                    $($(#[$when])? Isa::$isa => plan::plan::<$simd>(s),)*
                    _ => plan::plan::<simd::portable::Portable<$float>>(s),
                }
            }
            unsafe fn run(isa: Isa, call: Call<'_, $float>, w: *mut u8, last: &mut drive::Last) {
                // SAFETY: the caller's contract is the same.
                unsafe {
                    match isa {
                        $($(#[$when])? Isa::$isa => $run::<$simd>(call, w, last),)*
                        _ => drive::run::<simd::portable::Portable<$float>>(call, w, last),
                    }
                }
            }
        }
    };
}

element!(f32:
    #[cfg(target_arch = "x86_64")] Avx512 simd::avx512::Avx512, run_avx512;
    #[cfg(target_arch = "x86_64")] Avx2 simd::avx2::Avx2, run_avx2;
    #[cfg(target_arch = "aarch64")] Neon simd::neon::Neon, run_neon
);
element!(f64:
    #[cfg(target_arch = "x86_64")] Avx512 simd::avx512_f64::Avx512F64, run_avx512;
    #[cfg(target_arch = "x86_64")] Avx2 simd::avx2_f64::Avx2F64, run_avx2
);

/// [`drive::run`] with an instruction set switched on.
macro_rules! switched_on {
    ($($arch:literal $run:ident $features:literal;)*) => {$(
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        unsafe fn $run<S: simd::Simd>(call: Call<'_, S::E>, w: *mut u8, last: &mut drive::Last) {
            // SAFETY: the caller's contract is the same.
            unsafe { drive::run::<S>(call, w, last) }
        }
    )*};
}

switched_on! {
    "x86_64" run_avx512 "avx512f,avx512vl,avx512dq,avx512bw,fma";
    "x86_64" run_avx2 "avx2,fma";
    "aarch64" run_neon "neon";
}

/// Should threads share a product's columns rather than its rows? Then none packs what another packs too.
pub fn cuts_columns(isa: Isa, g: &Gemm, threads: usize) -> bool {
    let inner = g.k.last().map_or((0, 0), |x| (x.size, x.a));
    let s = Shape {
        m: g.m as usize,
        n: g.n as usize,
        k: g.k.iter().map(|x| x.size).product::<u64>() as usize,
        run: inner.0 as usize,
        even: g.batch.is_empty() && g.k.len() == 1,
        lm: g.a_m as isize,
        lk: inner.1 as isize,
        rk: g.b_k as isize,
        rn: g.b_n as isize,
    };
    let p = if g.dtype == DType::F64 { f64::plan(isa, s) } else { f32::plan(isa, s) };
    let thin = s.m < 8 * threads && s.n >= 128;
    g.batch.is_empty() && (thin || (!p.swap && p.pack_r && s.n >= 128 * threads))
}

/// A thread's packing memory.
pub struct Scratch {
    lines: Box<[Line]>,
    last: drive::Last,
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Scratch {
    /// Enough for any product.
    pub fn new() -> Scratch {
        let lines = vec![Line([0; 64]); drive::SCRATCH_BYTES.div_ceil(64)].into_boxed_slice();
        Scratch { lines, last: drive::Last::default() }
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

/// Computes rows `rows` and columns `cols` of a product into `c`, whose element (0, 0) is the rectangle's first.
///
/// # Safety
/// The processor must have `isa`; A and B must be readable for the rectangle, `c` writable at row stride `ldc`, and
/// nobody else may write any of them meanwhile.
pub unsafe fn rect<E: Element>(
    isa: Isa,
    p: &Product<'_, E>,
    rows: Range<usize>,
    cols: Range<usize>,
    c: *mut E,
    ldc: usize,
    scratch: &mut Scratch,
) {
    let (g, m0) = if p.groups.len() <= 1 { (0, rows.start) } else { (rows.start / p.group, rows.start % p.group) };
    let in_one = m0 + rows.len() <= p.group;
    let mut call = Call {
        shape: Shape {
            m: rows.len(),
            n: cols.len(),
            k: p.k,
            run: p.run,
            even: in_one && p.runs.len() == 1,
            lm: p.a_m,
            lk: p.a_k,
            rk: p.b_k,
            rn: p.b_n,
        },
        l: p.a,
        groups: p.groups,
        group: p.group,
        first: (g, m0),
        runs: p.runs,
        r: p.b.wrapping_offset(cols.start as isize * p.b_n),
        c,
        ldc: ldc as isize,
    };
    // Rows of one group are a product without groups.
    if in_one {
        call.l = p.a.wrapping_offset(p.groups.get(g).map_or(0, |at| at + m0 as isize * p.a_m));
        (call.groups, call.group, call.first) = (&drive::NOWHERE, rows.len(), (0, 0));
    }
    let w = scratch.lines.as_mut_ptr().cast();
    // SAFETY: the caller vouches for the instruction set and the rectangle; the scratch has the size asked for.
    unsafe { E::run(isa, call, w, &mut scratch.last) }
}
