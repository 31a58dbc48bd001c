//! Seeded numbers for tests and random graphs: a stream over Philox, and fillings of operands.

use super::graph::{Graph, SlotKind};
use super::interp::Feeds;
use super::ops::Fill;
use super::tensor::{Tensor, range, round};
use super::ty::TensorTy;
use nn_runtime::dtype::DType;
use nn_runtime::philox;

/// A stream of random numbers that depends on its seed alone.
#[derive(Clone, Debug)]
pub struct Rand {
    seed: u64,
    n: u64,
}

impl Rand {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Rand { seed, n: 0 }
    }

    /// 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.n += 1;
        philox::element(self.seed, 0, 0, self.n)
    }

    /// A whole number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.bits()) * n as u64) >> 32) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A real between bounds.
    pub fn real(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * f64::from(self.bits()) / 4294967296.0
    }

    /// One of a slice that is not empty.
    pub fn pick<'a, T>(&mut self, xs: &'a [T]) -> &'a T {
        &xs[self.below(xs.len())]
    }

    /// A random order, in place.
    pub fn shuffle<T>(&mut self, xs: &mut [T]) {
        for i in (1..xs.len()).rev() {
            xs.swap(i, self.below(i + 1));
        }
    }

    /// A tensor full of extremes of its dtype: NaN, infinities, zeros of both signs, subnormals, fractions, the ends of
    /// every int's range.
    pub fn extremes(&mut self, ty: &TensorTy) -> Tensor {
        let all = edges(ty.dtype);
        let data = (0..ty.numel()).map(|_| match (self.one_in(4), ty.dtype.is_float()) {
            (true, true) => round(ty.dtype, self.real(-9.0, 9.0)),
            // Zeros of ints have no sign.
            (true, false) => round(ty.dtype, self.real(-9.0, 9.0)) + 0.0,
            (false, _) => *self.pick(&all),
        });
        Tensor::new(ty.clone(), data.collect())
    }

    /// A tensor filled as a sample says. Reals are multiples of 2^-10, so exact in f32.
    pub fn fill(&mut self, ty: &TensorTy, fill: Fill) -> Tensor {
        let n = ty.numel() as usize;
        let (least, greatest) = range(ty.dtype);
        let data = match fill {
            Fill::These(xs) => xs.to_vec(),
            Fill::Distinct(offset) => {
                let mut xs: Vec<f64> = (0..n).map(|i| offset + (i as f64 - (n / 2) as f64) / 8.0).collect();
                self.shuffle(&mut xs);
                xs
            }
            Fill::Uniform(lo, hi) if ty.dtype.is_float() => {
                (0..n).map(|_| (self.real(lo, hi) * 1024.0).round() / 1024.0).collect()
            }
            Fill::Uniform(lo, hi) => {
                let (lo, hi) = (lo.ceil().max(least), hi.floor().min(greatest));
                (0..n).map(|_| self.real(lo, hi + 1.0).floor().min(hi)).collect()
            }
        };
        Tensor::new(ty.clone(), data)
    }
}

/// The extremes of a dtype.
pub fn edges(d: DType) -> Vec<f64> {
    let (lo, hi) = range(d);
    let both = |xs: &[f64]| xs.iter().flat_map(|x| [*x, -*x]).collect::<Vec<f64>>();
    if !d.is_float() {
        let near = [lo, lo + 1.0, -129.0, -128.0, -1.0, 0.0, 1.0, 2.0, 3.0, 127.0, 128.0, 255.0, 256.0, hi - 1.0, hi];
        return near.into_iter().filter(|x| (lo..=hi).contains(x)).collect();
    }
    let f = |bits: u32| f64::from(f32::from_bits(bits));
    let mut xs = both(&[0.0, f(1), f(0x007f_ffff), f(0x0080_0000), f(0x7f7f_ffff), f64::INFINITY]);
    xs.extend(both(&[0.5, 1.0, 2.5, 255.5, 300.0, 16777217.0f32.into(), 2147483648.0, 4294967296.0, 1e20f32.into()]));
    xs.push(f64::NAN);
    if d == DType::F64 {
        xs.extend(both(&[f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1)]));
    }
    xs
}

/// Extremes for every slot of a graph.
pub fn extreme_feeds(g: &Graph, seed: u64) -> Feeds {
    let mut r = Rand::new(seed ^ 0xed6e);
    let slots = g.slots.iter().map(|s| r.extremes(&s.ty)).collect();
    Feeds { slots, seed, step: 1 }
}

/// A value for every slot of a graph: floats in -2..2 (multiples of 2^-10), ints small, `t` a small count.
pub fn feeds(g: &Graph, seed: u64) -> Feeds {
    let mut r = Rand::new(seed ^ 0xfeed);
    let fill = |kind: SlotKind, d: DType| match (kind, d) {
        (SlotKind::Step, _) => Fill::Uniform(1.0, 9.0),
        (_, DType::U32 | DType::U8 | DType::U16) => Fill::Uniform(0.0, 9.0),
        (_, d) if d.is_int() => Fill::Uniform(-9.0, 9.0),
        _ => Fill::Uniform(-2.0, 2.0),
    };
    let slots = g.slots.iter().map(|s| r.fill(&s.ty, fill(s.kind, s.ty.dtype))).collect();
    Feeds { slots, seed, step: 1 }
}
