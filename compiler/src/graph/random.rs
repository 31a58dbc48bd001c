//! Random graphs for differential tests: small, valid, over every op of the table, the same for the same seed.
//!
//! Two properties make results comparable between the f64 reference and f32 code. Every float value carries a bound on its
//! magnitude, and an op is only applied inside its domain with a bounded result. And every op that jumps (comparisons,
//! floor, casts to ints, argreduce, ..) is only applied to *exact* values: inputs with [`super::sampler::feeds`], ints,
//! and what movement makes of them, where both sides see the same bits.

use super::build::Builder;
use super::graph::{Graph, Slot, SlotKind, ValueId};
use super::ops::elementwise::{Ew, TyRule};
use super::ops::region::{Scan, stacked};
use super::ops::{ArgKind, DotDims, Op, ReduceKind, ScatterKind, Tag};
use super::sampler::Rand;
use super::tensor::range;
use super::ty::TensorTy;
use nn_runtime::dtype::DType;
use std::sync::Arc;

/// Dtypes that occur besides floats.
const OTHERS: [DType; 4] = [DType::I32, DType::U32, DType::Bool, DType::U8];
/// No float grows beyond this.
const LIMIT: f64 = 1e4;
/// No value has more elements.
const MAX_ELEMENTS: u64 = 512;

/// A random graph over all ops.
pub fn random(seed: u64) -> Graph {
    random_where(seed, |_| true)
}

/// A random graph of allowed ops. Elementwise ops, constants, `broadcast`, `reshape` and `cast` are used besides, to make
/// operands fit.
pub fn random_where(seed: u64, allow: fn(&Op) -> bool) -> Graph {
    make(seed, allow, None, 0)
}

/// A random graph that is hard on fusion, scheduling and memory reuse: few sizes, so that many values have one shape and
/// many are square, empty axes and axes of size 1 among them; values that meet their own transpose or themselves in a
/// product; slices of pads with steps; values read under another shape; parameters that take each other's values or their
/// own transposed.
pub fn hard(seed: u64) -> Graph {
    const SIZES: [&[u64]; 8] = [&[3], &[4], &[2, 5], &[1, 4], &[0, 1, 3], &[7, 1], &[16, 3], &[20]];
    make(seed, |_| true, Some(SIZES[seed as usize % SIZES.len()]), 0)
}

/// A random graph of allowed ops with loops in it, some inside each other, over no step, one or a few, either way.
pub fn loops_where(seed: u64, allow: fn(&Op) -> bool) -> Graph {
    const SIZES: [Option<&[u64]>; 4] = [None, Some(&[3, 5]), Some(&[1, 9, 2]), Some(&[0, 4])];
    make(seed, allow, SIZES[seed as usize % SIZES.len()], 2)
}

/// A random graph over all ops with loops in it.
pub fn loops(seed: u64) -> Graph {
    loops_where(seed, |_| true)
}

/// With `sizes`, a hard one of axes of these sizes; with loops inside each other at most that deep.
fn make(seed: u64, allow: fn(&Op) -> bool, sizes: Option<&'static [u64]>, loops: u32) -> Graph {
    let b = Builder::new(&format!("random.{seed}"));
    let floats = floats(seed);
    let mut m = Maker { r: Rand::new(seed), b, known: vec![], allow, sizes, floats, loops, inside: false };
    for i in 0..2 + m.r.below(3) {
        let dtype = if i == 0 || m.r.one_in(2) { m.float() } else { m.dtype() };
        let kind = *m.r.pick(&[SlotKind::Data, SlotKind::Data, SlotKind::Param, SlotKind::State]);
        let shape = m.shape();
        let slot = Slot { name: format!("in{i}").as_str().into(), kind, ty: TensorTy { dtype, shape } };
        let v = m.b.input(slot);
        m.learn(v, Known { bound: if dtype.is_float() { 2.0 } else { 9.0 }, exact: true });
    }
    let n = 4 + m.r.below(16);
    m.steps(n);
    m.outputs();
    m.b.finish()
}

/// What is known of a value.
#[derive(Clone, Copy)]
struct Known {
    /// Bound on the magnitude.
    bound: f64,
    /// The same bits in f64 and f32 evaluation.
    exact: bool,
}

/// The floats of a graph: mostly f32, sometimes f64, sometimes both.
fn floats(seed: u64) -> &'static [DType] {
    match seed % 16 {
        4 | 11 => &[DType::F64],
        6 | 12 | 15 => &[DType::F32, DType::F64],
        _ => &[DType::F32],
    }
}

struct Maker {
    r: Rand,
    b: Builder,
    /// By value; helpers that were never learned stay unpicked.
    known: Vec<(ValueId, Known)>,
    allow: fn(&Op) -> bool,
    /// Sizes of axes of a hard graph.
    sizes: Option<&'static [u64]>,
    floats: &'static [DType],
    /// How deep loops may be inside each other.
    loops: u32,
    /// This is the body of a loop.
    inside: bool,
}

impl Maker {
    fn float(&mut self) -> DType {
        if let [one] = self.floats { *one } else { *self.r.pick(self.floats) }
    }

    fn dtype(&mut self) -> DType {
        match self.r.below(1 + OTHERS.len()) {
            0 => self.float(),
            n => OTHERS[n - 1],
        }
    }

    fn learn(&mut self, v: ValueId, k: Known) {
        if !self.known.iter().any(|(u, _)| *u == v) {
            self.known.push((v, k));
        }
    }

    fn shape(&mut self) -> super::ty::Shape {
        if let Some(sizes) = self.sizes {
            let rank = *self.r.pick(&[0, 1, 2, 2, 2, 2, 3]);
            return (0..rank).map(|_| *self.r.pick(sizes)).collect();
        }
        let rank = *self.r.pick(&[0, 1, 1, 2, 2, 2, 3, 3, 4]);
        (0..rank).map(|_| *self.r.pick(&[1, 2, 3, 4, 5, 7])).collect()
    }

    /// A value that a predicate accepts, recent ones more often.
    fn find(&mut self, ok: impl Fn(&TensorTy, &Known) -> bool) -> Option<(ValueId, Known)> {
        let fit: Vec<(ValueId, Known)> = self.known.iter().filter(|(v, k)| ok(self.b.ty(*v), k)).copied().collect();
        if fit.is_empty() {
            return None;
        }
        let i = self.r.below(fit.len()).max(self.r.below(fit.len()));
        Some(fit[i])
    }

    /// A value of exactly this type: a known one, a broadcast scalar or a fresh constant.
    fn of_type(&mut self, ty: &TensorTy, exact: bool) -> (ValueId, Known) {
        if !self.r.one_in(4)
            && let Some(found) = self.find(|t, k| t == ty && (k.exact || !exact))
        {
            return found;
        }
        if self.r.one_in(2) {
            // Some value whose axes fit the last axes.
            let fits = |t: &TensorTy, k: &Known| {
                t.dtype == ty.dtype && t.rank() < ty.rank() && ty.shape.ends_with(&t.shape) && (k.exact || !exact)
            };
            if let Some((v, k)) = self.find(fits) {
                let lead = (ty.rank() - self.b.ty(v).rank()) as u32;
                let axes: Vec<u32> = (lead..ty.rank() as u32).collect();
                return (self.b.broadcast(v, &ty.shape, &axes), k);
            }
        }
        let x = match ty.dtype {
            DType::Bool => self.r.below(2) as f64,
            DType::I32 => self.r.real(-5.0, 6.0).floor(),
            d if d.is_int() => self.r.below(6) as f64,
            _ => (self.r.real(-2.0, 2.0) * 64.0).round() / 64.0,
        };
        (self.b.splat(ty, x), Known { bound: x.abs(), exact: true })
    }

    /// Applies an op if it is allowed, and remembers what is known.
    fn emit(&mut self, op: Op, x: &[ValueId], known: Known) {
        let draws = self.inside && matches!(op, Op::Rng { .. });
        if draws || !(self.allow)(&op) || !(known.bound < LIMIT || known.exact) {
            return;
        }
        let tys: Vec<&TensorTy> = x.iter().map(|&v| self.b.ty(v)).collect();
        let Ok(ty) = op.infer(&tys, &self.b.graph().slots) else { return };
        let (lo, hi) = range(ty.dtype);
        let known = Known { bound: known.bound.min(hi.max(-lo)), ..known };
        if ty.numel() <= MAX_ELEMENTS {
            let v = self.b.op(op, x);
            self.learn(v, known);
        }
    }

    /// Some `n` values more.
    fn steps(&mut self, n: usize) {
        let mut made = 0;
        for _ in 0..n * 4 {
            let before = self.b.graph().nodes.len();
            self.step();
            made += usize::from(self.b.graph().nodes.len() > before);
            if made >= n {
                break;
            }
        }
    }

    fn step(&mut self) {
        if self.loops > 0 && self.r.one_in(4) {
            return self.scan();
        }
        if self.sizes.is_some() && self.r.one_in(3) {
            return self.twist();
        }
        match self.r.below(24) {
            0..=8 => self.elementwise(),
            9..=10 => self.cast(),
            11..=13 => self.reduce(),
            14..=15 => self.dot(),
            16..=19 => self.movement(),
            20..=21 => self.index(),
            22 => self.cumulate(),
            _ => self.source(),
        }
    }

    fn elementwise(&mut self) {
        let e = *self.r.pick(Ew::ALL);
        let row = e.spec();
        let jumps = row.vjp.is_none();
        let data = usize::from(row.ty == TyRule::Select);
        let fits = |t: &TensorTy, k: &Known| row.ty.accepts(t.dtype) && (!jumps || k.exact || !t.dtype.is_float());
        let Some((v, k)) = self.find(fits) else { return };
        let ty = self.b.ty(v).clone();
        let mut x = vec![];
        let mut ks = vec![k];
        if data == 1 {
            let (c, _) = self.of_type(&ty.with_dtype(DType::Bool), true);
            x.push(c);
        }
        x.push(v);
        while x.len() < row.arity {
            let (u, uk) = self.of_type(&ty, jumps);
            x.push(u);
            ks.push(uk);
        }
        let (p, q) = (ks[0].bound, ks.get(1).map_or(0.0, |k| k.bound));
        let picks = matches!(e, Ew::Max | Ew::Min | Ew::Select);
        if !ty.dtype.is_float() {
            return self.emit(Op::Ew(e), &x, Known { bound: if picks { p.max(q) } else { f64::MAX }, exact: true });
        }
        let bound = match e {
            Ew::Neg | Ew::Max | Ew::Min | Ew::Select => p.max(q),
            Ew::Add => p + q,
            Ew::Mul => p * q,
            Ew::Sin | Ew::Cos if p > 100.0 => self.tame(e, &mut x),
            Ew::Sin | Ew::Cos | Ew::Tanh | Ew::Erf => 1.0,
            _ if jumps => p + 1.0,
            _ => self.tame(e, &mut x),
        };
        let copies = picks || jumps || e == Ew::Neg;
        let exact = copies && ks.iter().all(|k| k.exact);
        self.emit(Op::Ew(e), &x, Known { bound, exact });
    }

    /// Brings float operands into the op's sample domain by a scaled tanh; returns a bound on the result there.
    fn tame(&mut self, e: Ew, x: &mut [ValueId]) -> f64 {
        let row = e.spec();
        for (v, &(lo, hi)) in x.iter_mut().zip(row.sample) {
            let t = self.b.ew(Ew::Tanh, &[*v]);
            let (half, middle) = (self.b.splat_like(t, (hi - lo) / 2.0), self.b.splat_like(t, (hi + lo) / 2.0));
            let t = self.b.ew(Ew::Mul, &[t, half]);
            *v = self.b.ew(Ew::Add, &[t, middle]);
        }
        // The largest value on a grid over the domain, with room for what lies between.
        let grid = |&(lo, hi): &(f64, f64)| (0..9).map(|i| lo + (hi - lo) * f64::from(i) / 8.0).collect::<Vec<_>>();
        let axes: Vec<Vec<f64>> = row.sample.iter().map(grid).collect();
        let points = axes.iter().fold(vec![vec![]], |all: Vec<Vec<f64>>, axis| {
            all.iter().flat_map(|p| axis.iter().map(move |&x| [p.as_slice(), &[x]].concat())).collect()
        });
        1.0 + 2.0 * points.iter().map(|p| (row.eval)(DType::F32, p).abs()).fold(0.0, f64::max)
    }

    fn cast(&mut self) {
        let to = self.dtype();
        let Some((v, k)) = self.find(|t, k| t.dtype != to && (k.exact || to.is_float())) else { return };
        let from = self.b.ty(v).dtype;
        if to.is_float() && !from.is_float() && k.bound >= 1024.0 {
            // Large ints: down to 10 bits first.
            let n = self.b.splat_like(v, 22.0);
            let small = self.b.ew(Ew::Shr, &[v, n]);
            return self.emit(Op::Cast(to), &[small], Known { bound: 1024.0, exact: true });
        }
        let bound = match to {
            DType::Bool => 1.0,
            _ if from.is_float() || k.bound < 10.0 => k.bound.max(255.0),
            _ => f64::MAX,
        };
        self.emit(Op::Cast(to), &[v], Known { bound, exact: k.exact });
    }

    fn reduce(&mut self) {
        let arg = self.r.one_in(4);
        let Some((v, k)) = self.find(|t, k| t.rank() > 0 && t.dtype != DType::Bool && (!arg || k.exact)) else {
            return;
        };
        let ty = self.b.ty(v).clone();
        if arg {
            let (kind, axis) = (*self.r.pick(&ArgKind::ALL), self.r.below(ty.rank()) as u32);
            return self.emit(Op::ArgReduce { kind, axis }, &[v], Known { bound: 8.0, exact: true });
        }
        let kind = *self.r.pick(&ReduceKind::ALL);
        let mut axes: Vec<u32> = (0..ty.rank() as u32).filter(|_| self.r.one_in(2)).collect();
        if axes.is_empty() {
            axes.push(self.r.below(ty.rank()) as u32);
        }
        let n: u64 = axes.iter().map(|&a| ty.shape[a as usize]).product();
        if n == 0 && matches!(kind, ReduceKind::Max | ReduceKind::Min) {
            // The least and greatest values have no bound.
            return;
        }
        let known = self.combined(&ty, kind, k, n);
        self.emit(Op::Reduce { kind, axes: axes.as_slice().into() }, &[v], known);
    }

    /// What is known of `n` values combined.
    fn combined(&self, ty: &TensorTy, kind: ReduceKind, k: Known, n: u64) -> Known {
        let picks = matches!(kind, ReduceKind::Max | ReduceKind::Min);
        let bound = match kind {
            _ if !ty.dtype.is_float() && !picks => f64::MAX,
            ReduceKind::Max | ReduceKind::Min => k.bound,
            ReduceKind::Sum => k.bound * n as f64,
            ReduceKind::Prod => k.bound.max(1.0).powi(n as i32),
        };
        Known { bound, exact: !ty.dtype.is_float() || (picks && k.exact) }
    }

    /// Over one axis or several, in any order and place. Half of the time the operands are parts or permutations of values,
    /// or one is a permutation of the other, so that their axes are tangled.
    fn dot(&mut self) {
        let Some((a, ka)) = self.find(|t, _| t.dtype.is_float() && t.rank() > 0) else { return };
        let a = if self.r.one_in(2) { self.seen_from(a) } else { a };
        let ta = self.b.ty(a).clone();
        let mut axes: Vec<u32> = (0..ta.rank() as u32).collect();
        self.r.shuffle(&mut axes);
        let n = 1 + if self.r.one_in(2) { self.r.below(axes.len().min(3)) } else { 0 };
        let (contract, others) = axes.split_at(n);
        let batch = others.first().copied().filter(|_| self.r.one_in(2));
        // The axes of the right operand, by that of the left one with the same size.
        let mut of: Vec<Option<u32>> = contract.iter().copied().chain(batch).map(Some).collect();
        let itself = self.r.one_in(3) && (self.allow)(&Op::Permute([1, 0].as_slice().into()));
        if itself {
            of.extend(others.iter().skip(batch.iter().count()).copied().map(Some));
        } else if self.r.one_in(2) {
            of.push(None);
        }
        if !self.r.one_in(3) {
            self.r.shuffle(&mut of);
        }
        let free = *self.r.pick(&[1, 2, 3, 5]);
        let tb = TensorTy::new(ta.dtype, of.iter().map(|i| i.map_or(free, |i| ta.shape[i as usize])));
        let (b, kb) = if itself {
            let same: Vec<u32> = of.iter().flatten().copied().collect();
            (self.b.permute(a, &same), ka)
        } else {
            self.of_type(&tb, false)
        };
        let place = |x: u32| of.iter().position(|&i| i == Some(x)).unwrap_or(0) as u32;
        let dims = DotDims {
            lhs_batch: batch.into_iter().collect(),
            rhs_batch: batch.into_iter().map(place).collect(),
            lhs_contract: contract.into(),
            rhs_contract: contract.iter().map(|&x| place(x)).collect(),
        };
        let size: u64 = contract.iter().map(|&x| ta.shape[x as usize]).product();
        let bound = ka.bound * kb.bound * size as f64;
        self.emit(Op::Dot(dims), &[a, b], Known { bound, exact: false });
    }

    /// A value through a window, or cut at the ends of its axes, and its axes in another order.
    fn seen_from(&mut self, mut v: ValueId) -> ValueId {
        let axis = self.r.below(self.b.ty(v).rank());
        let window = Op::Window { axis: axis as u32, size: 2 + self.r.below(2) as u64, step: 1, dilation: 1 };
        if self.r.one_in(2) && (self.allow)(&window) && window.infer(&[self.b.ty(v)], &[]).is_ok() {
            v = self.b.op(window, &[v]);
        }
        let shape = self.b.ty(v).shape.clone();
        let mut perm: Vec<u32> = (0..shape.len() as u32).collect();
        self.r.shuffle(&mut perm);
        let stop: super::ty::Shape = shape.iter().map(|&n| n - u64::from(n > 1 && self.r.one_in(2))).collect();
        let (start, step) = (stop.iter().map(|_| 0).collect(), stop.iter().map(|_| 1).collect());
        let cut = Op::Slice { start, stop, step };
        let cut = if (self.allow)(&cut) { self.b.op(cut, &[v]) } else { v };
        if (self.allow)(&Op::Permute(perm.as_slice().into())) { self.b.permute(cut, &perm) } else { cut }
    }

    fn movement(&mut self) {
        // Half of the time the newest value, so that moves meet in chains.
        let newest = self.known.last().copied().filter(|_| self.r.one_in(2));
        let Some((v, k)) = newest.or_else(|| self.find(|_, _| true)) else { return };
        let ty = self.b.ty(v).clone();
        let rank = ty.rank();
        match self.r.below(10) {
            0 => {
                // Merge two neighbors or put a 1 somewhere.
                let mut shape = ty.shape.clone();
                if rank > 1 && self.r.one_in(2) {
                    let i = self.r.below(rank - 1);
                    let n = shape.remove(i);
                    shape[i] *= n;
                } else {
                    shape.insert(self.r.below(rank + 1), 1);
                }
                self.emit(Op::Reshape(shape), &[v], k);
            }
            1 => {
                let mut perm: Vec<u32> = (0..rank as u32).collect();
                self.r.shuffle(&mut perm);
                if !perm.is_sorted() {
                    self.emit(Op::Permute(perm.as_slice().into()), &[v], k);
                }
            }
            2 => {
                let mut shape = ty.shape.clone();
                let at = self.r.below(rank + 1);
                shape.insert(at, *self.r.pick(&[2, 3]));
                let axes = (0..=rank as u32).filter(|&i| i != at as u32).collect();
                self.emit(Op::Broadcast { shape, axes }, &[v], k);
            }
            3 if rank > 0 => {
                let (mut start, mut stop, mut step) = (vec![], vec![], vec![]);
                for &n in &ty.shape {
                    let a = self.r.below(n as usize) as u64;
                    start.push(a);
                    stop.push(a + 1 + self.r.below((n - a) as usize) as u64);
                    step.push(1 + self.r.below(2) as u64);
                }
                let (start, stop, step) = (start.as_slice().into(), stop.as_slice().into(), step.as_slice().into());
                self.emit(Op::Slice { start, stop, step }, &[v], k);
            }
            4 if rank > 0 => {
                let (fill, kf) = self.of_type(&TensorTy::scalar(ty.dtype), false);
                let mut some = |n: usize| (0..rank).map(|_| self.r.below(n) as u64).collect();
                let op = Op::Pad { lo: some(3), hi: some(3), interior: some(2) };
                let known = Known { bound: k.bound.max(kf.bound), exact: k.exact && kf.exact };
                self.emit(op, &[v, fill], known);
            }
            5 if rank > 0 => {
                let axis = self.r.below(rank);
                let fits = |t: &TensorTy, _: &Known| {
                    let same = |i: usize| i == axis || t.shape[i] == ty.shape[i];
                    t.dtype == ty.dtype && t.rank() == rank && (0..rank).all(same)
                };
                let Some((u, ku)) = self.find(fits) else { return };
                let known = Known { bound: k.bound.max(ku.bound), exact: k.exact && ku.exact };
                self.emit(Op::Concat { axis: axis as u32 }, &[v, u], known);
            }
            6 if rank > 0 => {
                let mut axes: Vec<u32> = (0..rank as u32).filter(|_| self.r.one_in(2)).collect();
                if axes.is_empty() {
                    axes.push(0);
                }
                self.emit(Op::Reverse(axes.as_slice().into()), &[v], k);
            }
            7 if rank > 0 => {
                let axis = self.r.below(rank);
                let (size, step, dilation) =
                    (1 + self.r.below(3) as u64, 1 + self.r.below(2) as u64, 1 + self.r.below(2) as u64);
                if ty.shape[axis] > (size - 1) * dilation {
                    self.emit(Op::Window { axis: axis as u32, size, step, dilation }, &[v], k);
                }
            }
            8 if rank > 1 && ty.dtype.is_float() => {
                let axis = self.r.below(rank - 1);
                let (step, dilation) = (1 + self.r.below(3) as u64, 1 + self.r.below(2) as u64);
                let (n, size) = (ty.shape[axis], ty.shape[rank - 1]);
                if n > 0 && size > 0 {
                    let len = (n - 1) * step + (size - 1) * dilation + 1 + self.r.below(3) as u64;
                    let known = Known { bound: k.bound * size as f64, exact: false };
                    self.emit(Op::Fold { axis: axis as u32, len, step, dilation }, &[v], known);
                }
            }
            _ => {
                let tag = if self.r.one_in(2) { Tag::Stop } else { Tag::Probe("p".into()) };
                self.emit(Op::Tag(tag), &[v], k);
            }
        }
    }

    /// A value and itself, elsewhere.
    fn twist(&mut self) {
        let Some((v, k)) = self.find(|t, _| t.dtype.is_float() && t.rank() > 0) else { return };
        let ty = self.b.ty(v).clone();
        let rank = ty.rank() as u32;
        if rank == 1 {
            // Every element with every element.
            let n = ty.shape[0];
            let v = self.b.ew(Ew::Tanh, &[v]);
            let (rows, cols) = (self.b.broadcast(v, &[n, n], &[0]), self.b.broadcast(v, &[n, n], &[1]));
            return self.emit(Op::Ew(Ew::Add), &[rows, cols], Known { bound: 2.0, exact: false });
        }
        let (i, j) = (self.r.below(rank as usize) as u32, self.r.below(rank as usize) as u32);
        let mut perm: Vec<u32> = (0..rank).collect();
        perm.swap(i as usize, j as usize);
        match self.r.below(6) {
            // With its own transpose.
            0 | 1 if i != j && ty.shape[i as usize] == ty.shape[j as usize] => {
                let t = self.b.permute(v, &perm);
                let (e, bound) = match self.r.below(3) {
                    0 => (Ew::Add, 2.0 * k.bound),
                    1 => (Ew::Mul, k.bound * k.bound),
                    _ => (Ew::Max, k.bound),
                };
                self.emit(Op::Ew(e), &[v, t], Known { bound, exact: e == Ew::Max && k.exact });
            }
            // Times itself.
            2 => {
                let dims = DotDims {
                    lhs_contract: [i].as_slice().into(),
                    rhs_contract: [i].as_slice().into(),
                    ..DotDims::default()
                };
                let bound = k.bound * k.bound * ty.shape[i as usize] as f64;
                self.emit(Op::Dot(dims), &[v, v], Known { bound, exact: false });
            }
            // Padded, and cut with a step that fits the padding or nearly.
            3 => {
                let zero = self.b.scalar(ty.dtype, 0.0);
                let mut some = |n: usize| -> super::ty::Shape { (0..rank).map(|_| self.r.below(n) as u64).collect() };
                let (lo, hi, interior) = (some(2), some(3), some(2));
                let padded = self.b.pad(v, zero, &lo, &hi, &interior);
                let stop = self.b.shape(padded);
                let start = lo.iter().zip(&stop).map(|(&a, &n)| (a + u64::from(self.r.one_in(4))).min(n)).collect();
                let step = interior.iter().map(|n| n + 1 + u64::from(self.r.one_in(3))).collect();
                self.emit(Op::Slice { start, stop, step }, &[padded], k);
            }
            // With its elements in another order under its own shape.
            4 => {
                let t = self.b.permute(v, &perm);
                let r = self.b.reshape(t, &ty.shape);
                self.emit(Op::Ew(Ew::Add), &[v, r], Known { bound: 2.0 * k.bound, exact: false });
            }
            // With a reduction of itself, twice.
            _ => {
                let kept: Vec<u32> = (0..rank).filter(|&a| a != i).collect();
                let m = self.b.reduce(ReduceKind::Max, v, &[i]);
                let m = self.b.broadcast(m, &ty.shape, &kept);
                let n = self.b.ew(Ew::Neg, &[m]);
                let d = self.b.ew(Ew::Add, &[v, n]);
                if ty.shape[i as usize] > 0 {
                    self.learn(d, Known { bound: 2.0 * k.bound, exact: false });
                    let s = self.b.reduce(ReduceKind::Sum, d, &[i]);
                    let bound = 2.0 * k.bound * ty.shape[i as usize] as f64;
                    self.learn(s, Known { bound, exact: false });
                }
            }
        }
    }

    /// A next value of a slot: its own transposed, or that plus itself.
    fn transposed(&mut self, slot: u32) -> Option<ValueId> {
        let s = self.b.graph().slots[slot as usize].clone();
        let square = s.ty.rank() == 2 && s.ty.shape[0] == s.ty.shape[1] && s.ty.dtype.is_float();
        if self.sizes.is_none() || !square || self.r.one_in(3) {
            return None;
        }
        let v = self.b.op(Op::Input { slot }, &[]);
        let t = self.b.permute(v, &[1, 0]);
        Some(if self.r.one_in(2) { t } else { self.b.ew(Ew::Add, &[v, t]) })
    }

    /// Int indices: mostly inside an axis of `n`, sometimes beside it or as far away as an int can be.
    fn indices(&mut self, shape: &[u64], n: u64) -> ValueId {
        let ty = TensorTy::new(DType::I32, shape.iter().copied());
        if self.r.one_in(2)
            && let Some((v, _)) = self.find(|t, _| *t == ty)
        {
            return v;
        }
        let far = [i32::MIN, i32::MAX, 1 << 30, -(1 << 29)];
        let mut one = || match self.r.one_in(9) {
            true => f64::from(*self.r.pick(&far)),
            false => self.r.below(n as usize + 2) as f64 - 1.0,
        };
        let data: Vec<f64> = (0..ty.numel()).map(|_| one()).collect();
        self.b.table(&ty, &data)
    }

    fn index(&mut self) {
        let Some((v, k)) = self.find(|t, _| t.rank() > 0) else { return };
        let ty = self.b.ty(v).clone();
        let axis = self.r.below(ty.rank());
        if self.r.one_in(2) {
            let sizes: Vec<u64> = ty.shape.iter().map(|&n| 1 + self.r.below(n as usize) as u64).collect();
            let at: Vec<ValueId> = ty.shape.iter().map(|&n| self.indices(&[], n)).collect();
            if self.r.one_in(2) {
                let mut x = vec![v];
                x.extend(&at);
                return self.emit(Op::DynSlice { sizes: sizes.as_slice().into() }, &x, k);
            }
            let (u, ku) = self.of_type(&TensorTy::new(ty.dtype, sizes), false);
            let mut x = vec![v, u];
            x.extend(&at);
            let known = Known { bound: k.bound.max(ku.bound), exact: k.exact && ku.exact };
            return self.emit(Op::DynUpdate, &x, known);
        }
        let n = ty.shape[axis];
        const SHAPES: [&[u64]; 3] = [&[], &[3], &[2, 2]];
        let shape = SHAPES[self.r.below(3)];
        let idx = self.indices(shape, n);
        let axis = axis as u32;
        if self.r.one_in(2) {
            return self.emit(Op::Gather { axis }, &[v, idx], k);
        }
        let kind = *self.r.pick(&ScatterKind::ALL);
        let Ok(want) = (Op::Gather { axis }).infer(&[&ty, self.b.ty(idx)], &[]) else { return };
        let (u, ku) = self.of_type(&want, false);
        let add = kind == ScatterKind::Add;
        let bound = match (add, ty.dtype.is_float()) {
            (true, true) => k.bound + 4.0 * ku.bound,
            (true, false) => f64::MAX,
            _ => k.bound.max(ku.bound),
        };
        let exact = !ty.dtype.is_float() || (k.exact && ku.exact && !add);
        self.emit(Op::Scatter { kind, axis }, &[v, idx, u], Known { bound, exact });
    }

    fn cumulate(&mut self) {
        let Some((v, k)) = self.find(|t, _| t.rank() > 0 && t.dtype != DType::Bool) else { return };
        let ty = self.b.ty(v).clone();
        let (kind, axis) = (*self.r.pick(&ReduceKind::ALL), self.r.below(ty.rank()));
        let known = self.combined(&ty, kind, k, ty.shape[axis]);
        self.emit(Op::Cumulate { kind, axis: axis as u32 }, &[v], known);
    }

    /// A loop: floats that it carries stay between -1 and 1, so that any number of steps does.
    fn scan(&mut self) {
        let length = *self.r.pick(&[0, 1, 2, 3, 5]);
        let carried = |k: Known, float: bool| if float { Known { bound: 1.0, exact: false } } else { k };
        let (mut operands, mut slots): (Vec<ValueId>, Vec<Known>) = (vec![], vec![]);
        let mut body = Builder::new("");
        let slot = |b: &mut Builder, ty: TensorTy| {
            let name = format!("s{}", b.graph().slots.len());
            b.input(Slot { name: name.as_str().into(), kind: SlotKind::Data, ty })
        };
        let (carries, scanned, whole) = (self.r.below(3), self.r.below(3), self.r.below(3));
        for _ in 0..carries {
            let Some((v, _)) = self.find(|_, _| true) else { return };
            let ty = self.b.ty(v).clone();
            let float = ty.dtype.is_float();
            operands.push(if float { self.b.ew(Ew::Tanh, &[v]) } else { v });
            let (_, hi) = range(ty.dtype);
            slots.push(carried(Known { bound: hi, exact: true }, float));
            slot(&mut body, ty);
        }
        for _ in 0..scanned {
            let ty = TensorTy { dtype: self.dtype(), shape: self.shape() };
            let (v, k) = self.of_type(&stacked(length, &ty), false);
            operands.push(v);
            slots.push(k);
            slot(&mut body, ty);
        }
        for _ in 0..whole {
            let Some((v, k)) = self.find(|_, _| true) else { return };
            operands.push(v);
            slots.push(k);
            slot(&mut body, self.b.ty(v).clone());
        }
        if operands.iter().any(|&v| self.b.ty(v).numel() > MAX_ELEMENTS) || slots.is_empty() {
            return;
        }
        let inputs: Vec<ValueId> = body.graph().values().collect();
        let mut m = Maker {
            r: Rand::new(self.r.bits().into()),
            b: body,
            known: inputs.iter().copied().zip(slots.iter().copied()).collect(),
            allow: self.allow,
            sizes: self.sizes,
            floats: self.floats,
            loops: self.loops - 1,
            inside: true,
        };
        let n = 1 + m.r.below(8);
        m.steps(n);
        let mut results = vec![];
        for i in 0..carries {
            let ty = m.b.ty(inputs[i]).clone();
            let (mut v, _) = m.of_type(&ty, false);
            if ty.dtype.is_float() && !inputs.contains(&v) {
                v = m.b.ew(Ew::Tanh, &[v]);
            }
            // Floats of another slot are not known to stay where they are.
            let stays = !ty.dtype.is_float() || !inputs[carries..].contains(&v);
            m.b.output(&format!("c{i}"), if stays { v } else { inputs[i] });
            results.push(slots[i]);
        }
        for i in 0..1 + m.r.below(3) {
            let Some((v, k)) = m.find(|t, _| t.numel() * length <= MAX_ELEMENTS && t.rank() < 5) else { break };
            m.b.output(&format!("y{i}"), v);
            results.push(k);
        }
        let reverse = self.r.one_in(2);
        let scan =
            Scan { body: Arc::new(m.b.finish()), length, carries: carries as u32, scanned: scanned as u32, reverse };
        let op = Op::Scan(scan.remembering());
        let tys: Vec<&TensorTy> = operands.iter().map(|&v| self.b.ty(v)).collect();
        if !(self.allow)(&op) || op.infer(&tys, &[]).is_err() {
            return;
        }
        for (v, k) in self.b.scan(&scan, &operands).into_iter().zip(results) {
            self.learn(v, k);
        }
    }

    fn source(&mut self) {
        let shape = self.shape();
        if shape.is_empty() || self.r.one_in(2) {
            let site = self.b.graph().nodes.len() as u32;
            return self.emit(Op::Rng { site, shape }, &[], Known { bound: f64::MAX, exact: true });
        }
        if self.r.one_in(2) {
            let axis = self.r.below(shape.len()) as u32;
            return self.emit(Op::Iota { shape, axis }, &[], Known { bound: 8.0, exact: true });
        }
        let ty = TensorTy { dtype: self.float(), shape };
        let data: Vec<f64> = (0..ty.numel()).map(|_| (self.r.real(-2.0, 2.0) * 64.0).round() / 64.0).collect();
        let v = self.b.table(&ty, &data);
        self.learn(v, Known { bound: 2.0, exact: true });
    }

    /// Up to four values that nothing uses become outputs, and sometimes a parameter or state takes a new value.
    fn outputs(&mut self) {
        let used = self.b.graph().use_counts();
        let mut free: Vec<ValueId> = self.known.iter().map(|(v, _)| *v).filter(|v| used[v.idx()] == 0).collect();
        free.reverse();
        free.truncate(4);
        if free.is_empty() {
            free.extend(self.known.last().map(|(v, _)| *v));
        }
        for (i, v) in free.into_iter().enumerate() {
            self.b.output(&format!("out{i}"), v);
        }
        for slot in 0..self.b.graph().slots.len() as u32 {
            let s = self.b.graph().slots[slot as usize].clone();
            if matches!(s.kind, SlotKind::Param | SlotKind::State) && !self.r.one_in(3) {
                let next = self.transposed(slot);
                let v = next.unwrap_or_else(|| self.of_type(&s.ty, false).0);
                self.b.assign(slot, v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::interp::run_all;
    use crate::graph::ops::Class;
    use crate::graph::sampler::feeds;
    use std::collections::BTreeMap;

    #[test]
    fn every_op_occurs_and_values_stay_bounded() {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for n in 0..1000 {
            let (seed, make) = if n % 5 < 3 { (n, random as fn(u64) -> Graph) } else { (n, hard as fn(u64) -> Graph) };
            let g = make(seed);
            assert_eq!(g, make(seed));
            let all = run_all(&g, &feeds(&g, seed)).expect("feeds fit");
            for (node, value) in g.nodes.iter().zip(all) {
                *seen.entry(node.op.name()).or_default() += 1;
                let Some(value) = value else { continue };
                let bad = value.data.iter().find(|x| node.ty.dtype.is_float() && (x.is_nan() || x.abs() > 2.0 * LIMIT));
                assert_eq!(bad, None, "seed {seed}: {:?}", node.op);
            }
        }
        for e in Ew::ALL {
            assert!(seen.contains_key(e.spec().name), "{} does not occur", e.spec().name);
        }
        for row in Op::ROWS.iter().filter(|r| r.class != Class::Region) {
            assert!(seen.contains_key(row.name), "{} does not occur", row.name);
        }
    }

    #[test]
    fn loops_of_all_kinds_occur() {
        let mut seen: BTreeMap<(u64, bool, bool), usize> = BTreeMap::new();
        for seed in 0..300 {
            let g = loops(seed);
            assert_eq!(g, loops(seed));
            run_all(&g, &feeds(&g, seed)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            for n in &g.nodes {
                if let Op::Scan(s) = &n.op {
                    let nested = s.body.nodes.iter().any(|n| matches!(n.op, Op::Scan(_)));
                    *seen.entry((s.length, s.reverse, nested)).or_default() += 1;
                }
            }
        }
        assert_eq!(seen.len(), 20, "{seen:?}");
    }
}
