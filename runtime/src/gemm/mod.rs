//! Matrix products over strided operands, bit-identical on every processor and for every way of cutting them.
//!
//! In: a [`Product`] and a rectangle of its result. Out: the rectangle, `c[m, n]` the chain of fused multiply-adds over
//! `k` ascending from 0.0. `exec.rs` calls this for the anchors of launches, tile by tile while the body's data is in
//! cache. Nothing is allocated: packing memory is the caller's [`Scratch`].

pub mod drive;
pub mod pack;
pub mod plan;
pub mod simd;
pub mod tile;

#[cfg(test)]
mod tests;

use crate::program::Gemm;
use plan::Shape;
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

/// One product of a batch: addresses and strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Element (0, 0) of A.
    pub a: *const f32,
    /// Element (0, 0) of B.
    pub b: *const f32,
    /// Length of the sum.
    pub k: usize,
    /// Stride of `m` in A.
    pub a_m: isize,
    /// Stride of `k` in A.
    pub a_k: isize,
    /// Stride of `k` in B.
    pub b_k: isize,
    /// Stride of `n` in B.
    pub b_n: isize,
}

impl Product {
    /// Product number `index` of a batch, its axes row-major.
    ///
    /// # Safety
    /// `a` and `b` must be the bases that the offsets and strides of `g` count from.
    pub unsafe fn of(g: &Gemm, mut index: u64, a: *const f32, b: *const f32) -> Product {
        let (mut at, mut bt) = (g.a_offset, g.b_offset);
        for axis in g.batch.iter().rev() {
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
            k: g.k as usize,
            a_m: g.a_m as isize,
            a_k: g.a_k as isize,
            b_k: g.b_k as isize,
            b_n: g.b_n as isize,
        }
    }
}

/// Should threads share a product's columns rather than its rows? Then none packs what another packs too.
pub fn cuts_columns(isa: Isa, g: &Gemm, threads: usize) -> bool {
    let s = Shape {
        m: g.m as usize,
        n: g.n as usize,
        k: g.k as usize,
        lm: g.a_m as isize,
        lk: g.a_k as isize,
        rk: g.b_k as isize,
        rn: g.b_n as isize,
    };
    let p = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => plan::plan::<simd::avx512::Avx512>(s),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => plan::plan::<simd::avx2::Avx2>(s),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => plan::plan::<simd::neon::Neon>(s),
        _ => plan::plan::<simd::portable::Portable>(s),
    };
    let thin = s.m < 8 * threads && s.n >= 128;
    g.batch.is_empty() && (thin || (!p.swap && p.pack_r && s.n >= 128 * threads))
}

/// A thread's packing memory.
pub struct Scratch {
    floats: Box<[Line]>,
    last: drive::Last,
}

/// A cache line of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Scratch {
    /// Enough for any product.
    pub fn new() -> Scratch {
        let floats = vec![Line([0.0; 16]); drive::SCRATCH_FLOATS.div_ceil(16)].into_boxed_slice();
        Scratch { floats, last: drive::Last::default() }
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
pub unsafe fn rect(
    isa: Isa,
    p: &Product,
    rows: Range<usize>,
    cols: Range<usize>,
    c: *mut f32,
    ldc: usize,
    scratch: &mut Scratch,
) {
    let s = Shape { m: rows.len(), n: cols.len(), k: p.k, lm: p.a_m, lk: p.a_k, rk: p.b_k, rn: p.b_n };
    let l = p.a.wrapping_offset(rows.start as isize * p.a_m);
    let r = p.b.wrapping_offset(cols.start as isize * p.b_n);
    let w = scratch.floats.as_mut_ptr().cast();
    let (ldc, last) = (ldc as isize, &mut scratch.last);
    // SAFETY: the caller vouches for the instruction set and the rectangle; the scratch has the size asked for.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => rect_avx512(s, l, r, c, ldc, w, last),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => rect_avx2(s, l, r, c, ldc, w, last),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => drive::run::<simd::neon::Neon>(s, l, r, c, ldc, w, last),
            _ => drive::run::<simd::portable::Portable>(s, l, r, c, ldc, w, last),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
unsafe fn rect_avx512(
    s: Shape,
    l: *const f32,
    r: *const f32,
    c: *mut f32,
    ldc: isize,
    w: *mut f32,
    last: &mut drive::Last,
) {
    // SAFETY: the caller's contract is the same.
    unsafe { drive::run::<simd::avx512::Avx512>(s, l, r, c, ldc, w, last) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn rect_avx2(
    s: Shape,
    l: *const f32,
    r: *const f32,
    c: *mut f32,
    ldc: isize,
    w: *mut f32,
    last: &mut drive::Last,
) {
    // SAFETY: the caller's contract is the same.
    unsafe { drive::run::<simd::avx2::Avx2>(s, l, r, c, ldc, w, last) }
}
