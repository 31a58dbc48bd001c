//! Instances of rewrite rules, generated from the patterns that stand in the rules' own rows.
//!
//! In: a pattern such as `slice(pad(x, s))` and a seed. Out: a graph whose result is that expression, with dtypes, shapes
//! (empty and size-1 axes among them), attributes and constants drawn at random, and inputs full of NaN, infinities, zeros
//! of both signs, subnormals, fractions and the ends of every int's range. A pattern says only which ops meet; that most
//! draws of attributes are no match, but nearly one, is the point: a rule that forgets to look at one of them is caught.
//!
//! `x(..)` is an op by its name in graph text, a letter is an input (the same letter the same value), `k` a constant that
//! is the same everywhere, written in one of several ways, and `t` a table.

use crate::graph::build::Builder;
use crate::graph::graph::{Graph, Slot, SlotKind, ValueId};
use crate::graph::interp::Feeds;
use crate::graph::ops::elementwise::{Ew, TyRule};
use crate::graph::ops::{ArgKind, Axes, DotDims, EvalCx, Op, ReduceKind, Tag};
use crate::graph::sampler::{Rand, edges};
use crate::graph::tensor::{Tensor, round};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;
use std::collections::BTreeMap;

/// Dtypes of instances; floats half of the time.
const DTYPES: [DType; 12] = [
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F64,
    DType::F64,
    DType::I32,
    DType::U32,
    DType::I8,
    DType::U8,
    DType::Bool,
    DType::Bool,
];

/// No instance has more elements in one value.
const MAX_ELEMENTS: u64 = 400;

/// A pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// An op on operands.
    Op(String, Vec<Pattern>),
    /// An input, `k` or `t`.
    Leaf(char),
}

impl Pattern {
    /// Reads `name(a, b)`.
    ///
    /// # Panics
    /// If it is not a pattern.
    pub fn parse(text: &str) -> Pattern {
        let mut rest = text;
        let p = Pattern::read(&mut rest);
        assert!(rest.is_empty(), "`{text}` goes on after the pattern: `{rest}`");
        p
    }

    fn read(rest: &mut &str) -> Pattern {
        let end = rest.find(['(', ')', ',']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        *rest = &rest[end..];
        if !rest.starts_with('(') {
            let mut letters = name.chars();
            return match (letters.next(), letters.next()) {
                (Some(c), None) => Pattern::Leaf(c),
                _ => panic!("`{name}` is no operand of a pattern"),
            };
        }
        let mut operands = vec![];
        while rest.starts_with(['(', ',']) {
            *rest = &rest[1..];
            operands.push(Pattern::read(rest));
        }
        *rest = rest.strip_prefix(')').unwrap_or_else(|| panic!("`{name}(` is not closed"));
        Pattern::Op(name.to_owned(), operands)
    }
}

/// An instance: a graph, and values for its inputs.
pub struct Instance {
    /// The graph; its first output is the expression, others may keep inner values alive.
    pub graph: Graph,
    /// Extreme inputs.
    pub feeds: Feeds,
}

/// The instance of a pattern for a seed, if the draws fit together. With `near`, an op or an input of the pattern may be
/// another one.
pub fn instance(pattern: &Pattern, seed: u64, near: bool) -> Option<Instance> {
    let mut m = Maker { r: Rand::new(seed), b: Builder::new("instance"), inputs: BTreeMap::new(), near };
    let ty = TensorTy { dtype: *m.r.pick(&DTYPES), shape: m.shape() };
    let y = m.make(pattern, &ty)?;
    m.b.output("y", y);
    // Sometimes an inner value has another reader.
    if m.r.one_in(4) {
        let n = m.b.graph().nodes.len();
        let v = ValueId(m.r.below(n) as u32);
        m.b.output("inner", v);
    }
    let Maker { mut r, b, .. } = m;
    let graph = b.finish();
    let slots = graph.slots.iter().map(|s| r.extremes(&s.ty)).collect();
    Some(Instance { graph, feeds: Feeds { slots, seed, step: 1 } })
}

/// Every output with each op's result rounded to its dtype: IEEE arithmetic, since one rounding of an f64 result is the
/// f32 result of sums, products, quotients and roots.
pub fn exact(g: &Graph, feeds: &Feeds) -> Vec<Tensor> {
    let cx = EvalCx { feeds: &feeds.slots, seed: feeds.seed, step: feeds.step };
    let mut all: Vec<Tensor> = vec![];
    for n in &g.nodes {
        let x: Vec<&Tensor> = n.inputs.iter().map(|v| &all[v.idx()]).collect();
        let mut y = n.op.eval(&cx, &n.ty, &x);
        y.data.iter_mut().for_each(|x| *x = round(n.ty.dtype, *x));
        all.push(y);
    }
    g.outputs.iter().map(|o| all[o.value.idx()].clone()).collect()
}

/// Are two values the same bits, one NaN as good as another, or within units in the last place?
pub fn same(a: f64, b: f64, d: DType, ulps: u32) -> bool {
    if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (bits, least) = if d == DType::F64 { (52, -1022) } else { (23, -126) };
    let exponent = if b == 0.0 { least } else { (b.abs().log2().floor() as i32).max(least) };
    ulps > 0 && a.is_finite() && b.is_finite() && (a - b).abs() <= f64::from(ulps) * 2f64.powi(exponent - bits)
}

struct Maker {
    r: Rand,
    b: Builder,
    inputs: BTreeMap<char, ValueId>,
    near: bool,
}

impl Maker {
    fn shape(&mut self) -> Shape {
        let rank = *self.r.pick(&[0, 1, 1, 1, 2, 2, 2, 3]);
        (0..rank).map(|_| *self.r.pick(&[0, 1, 1, 2, 2, 3, 3, 4])).collect()
    }

    /// A value of the type that the pattern describes.
    fn make(&mut self, p: &Pattern, ty: &TensorTy) -> Option<ValueId> {
        if ty.numel() > MAX_ELEMENTS || ty.rank() > 6 {
            return None;
        }
        match p {
            Pattern::Leaf('k') => Some(self.constant(ty)),
            Pattern::Leaf('z') => Some(self.b.splat(ty, 0.0)),
            Pattern::Leaf('t') => {
                let some = self.number(ty.dtype);
                let all: Vec<f64> =
                    (0..ty.numel()).map(|_| if self.r.one_in(12) { self.number(ty.dtype) } else { some }).collect();
                Some(self.b.table(ty, &all))
            }
            Pattern::Leaf(c) => {
                let c = if self.near && self.r.one_in(6) { 'n' } else { *c };
                if let Some(&v) = self.inputs.get(&c) {
                    return (self.b.ty(v) == ty).then_some(v);
                }
                let slot = Slot { name: c.to_string().as_str().into(), kind: SlotKind::Data, ty: ty.clone() };
                let v = self.b.input(slot);
                self.inputs.insert(c, v);
                Some(v)
            }
            Pattern::Op(name, operands) => self.apply(name, operands, ty),
        }
    }

    fn number(&mut self, d: DType) -> f64 {
        // Mostly numbers that mean something to an op: what leaves its operand alone, or seems to take it away.
        let liked = [1.0, -1.0, 0.0, -0.0, 2.0, 3.0, 0.5, 8.0, 1.5];
        let x = round(d, if self.r.one_in(4) { *self.r.pick(&edges(d)) } else { *self.r.pick(&liked) });
        if d.is_float() { x } else { x + 0.0 }
    }

    /// One number everywhere, as a broadcast, a table or something moved.
    fn constant(&mut self, ty: &TensorTy) -> ValueId {
        let x = self.number(ty.dtype);
        match self.r.below(4) {
            0 => self.b.table(ty, &vec![x; ty.numel() as usize]),
            1 => {
                let flat = TensorTy::new(ty.dtype, [ty.numel()]);
                let v = self.b.table(&flat, &vec![x; ty.numel() as usize]);
                self.b.reshape(v, &ty.shape)
            }
            _ => self.b.splat(ty, x),
        }
    }

    /// The shape that an operand has already.
    fn known(&self, p: &Pattern) -> Option<Shape> {
        let Pattern::Leaf(c) = p else { return None };
        self.inputs.get(c).map(|&v| self.b.shape(v))
    }

    fn finish(&mut self, op: Op, x: &[ValueId], want: &TensorTy) -> Option<ValueId> {
        let tys: Vec<&TensorTy> = x.iter().map(|&v| self.b.ty(v)).collect();
        let ty = op.infer(&tys, &self.b.graph().slots).ok()?;
        (ty == *want).then(|| self.b.op(op, x))
    }

    fn apply(&mut self, name: &str, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        let other = self.near && self.r.one_in(6);
        if let Some(e) = Ew::parse(name) {
            let alike: Vec<Ew> = Ew::ALL.iter().copied().filter(|o| o.spec().arity == e.spec().arity).collect();
            let e = if other { *self.r.pick(&alike) } else { e };
            return self.elementwise(e, p, ty);
        }
        let moves = ["reshape", "permute", "broadcast", "slice", "reverse", "cast", "reduce", "stop"];
        let name = if other && moves.contains(&name) { *self.r.pick(&moves) } else { name };
        let rank = ty.rank();
        match name {
            "reshape" => {
                let from = self.other_shape(&ty.shape);
                let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: from })?;
                self.finish(Op::Reshape(ty.shape.clone()), &[x], ty)
            }
            "permute" => {
                let mut perm: Axes = (0..rank as u32).collect();
                self.r.shuffle(&mut perm);
                let mut from = ty.shape.clone();
                perm.iter().zip(&ty.shape).for_each(|(&p, &n)| from[p as usize] = n);
                let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: from })?;
                self.finish(Op::Permute(perm), &[x], ty)
            }
            "broadcast" => {
                let axes: Axes = (0..rank as u32).filter(|_| !self.r.one_in(3)).collect();
                let from = axes.iter().map(|&a| ty.shape[a as usize]).collect();
                let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: from })?;
                self.finish(Op::Broadcast { shape: ty.shape.clone(), axes }, &[x], ty)
            }
            "slice" => self.slice(p, ty),
            "pad" => self.pad(p, ty),
            "concat" => self.concat(p, ty),
            "reverse" => {
                let axes: Axes = (0..rank as u32).filter(|_| self.r.one_in(2)).collect();
                let x = self.make(&p[0], ty)?;
                self.finish(Op::Reverse(axes), &[x], ty)
            }
            "cast" => {
                let from = ty.with_dtype(*self.r.pick(&DTYPES));
                let x = self.make(&p[0], &from)?;
                self.finish(Op::Cast(ty.dtype), &[x], ty)
            }
            "variable" => {
                let x = self.make(&p[0], ty)?;
                self.finish(Op::Tag(Tag::Variable(7)), &[x], ty)
            }
            "stop" => {
                let x = self.make(&p[0], ty)?;
                self.finish(Op::Tag(Tag::Stop), &[x], ty)
            }
            "reduce" => {
                let mut from = ty.shape.clone();
                let mut axes = Axes::new();
                for i in 0..=rank {
                    if self.r.one_in(2) {
                        let at = i + axes.len();
                        axes.push(at as u32);
                        from.insert(at, *self.r.pick(&[0, 1, 1, 1, 2, 3, 5]));
                    }
                }
                let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: from })?;
                let kind = *self.r.pick(&ReduceKind::ALL);
                self.finish(Op::Reduce { kind, axes }, &[x], ty)
            }
            "dot" => self.dot(p, ty),
            "argmax" => {
                let (axis, mut from) = (self.r.below(rank + 1), ty.with_dtype(*self.r.pick(&DTYPES)));
                from.shape.insert(axis, *self.r.pick(&[1, 2, 3, 4]));
                let x = self.make(&p[0], &from)?;
                let kind = *self.r.pick(&ArgKind::ALL);
                self.finish(Op::ArgReduce { kind, axis: axis as u32 }, &[x], ty)
            }
            "cumulate" if rank > 0 => {
                let x = self.make(&p[0], ty)?;
                let (kind, axis) = (*self.r.pick(&ReduceKind::ALL), self.r.below(rank) as u32);
                self.finish(Op::Cumulate { kind, axis }, &[x], ty)
            }
            "window" if rank > 1 => {
                let (axis, size) = (self.r.below(rank - 1), ty.shape[rank - 1]);
                let (step, dilation) = (*self.r.pick(&[1, 2]), *self.r.pick(&[1, 2]));
                let mut from = ty.clone();
                from.shape.pop();
                let reach = from.shape[axis].checked_sub(1)? * step + size.checked_sub(1)? * dilation + 1;
                from.shape[axis] = reach + self.r.below(step as usize) as u64;
                let x = self.make(&p[0], &from)?;
                self.finish(Op::Window { axis: axis as u32, size, step, dilation }, &[x], ty)
            }
            "fold" if rank > 0 => {
                let axis = self.r.below(rank);
                let (step, dilation) = (*self.r.pick(&[1, 2]), *self.r.pick(&[1, 2]));
                let mut from = ty.clone();
                let size = *self.r.pick(&[1, 2]);
                let len = ty.shape[axis];
                from.shape[axis] = len.checked_sub((size - 1) * dilation + 1)? / step + 1;
                from.shape.push(size);
                let x = self.make(&p[0], &from)?;
                self.finish(Op::Fold { axis: axis as u32, len, step, dilation }, &[x], ty)
            }
            "cumulate" | "window" | "fold" => None,
            other => panic!("patterns know no `{other}`"),
        }
    }

    fn elementwise(&mut self, e: Ew, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        let rule = e.spec().ty;
        let data = if rule == TyRule::Compare { ty.with_dtype(*self.r.pick(&DTYPES)) } else { ty.clone() };
        if !rule.accepts(data.dtype) || p.len() != e.spec().arity {
            return None;
        }
        let mut x = vec![];
        for (i, p) in p.iter().enumerate() {
            let chooses = rule == TyRule::Select && i == 0;
            let v = self.make(p, &if chooses { ty.with_dtype(DType::Bool) } else { data.clone() })?;
            x.push(v);
        }
        self.finish(Op::Ew(e), &x, ty)
    }

    /// Another shape of as many elements: half of the time only axes of size 1 come or go.
    fn other_shape(&mut self, shape: &[u64]) -> Shape {
        let n: u64 = shape.iter().product();
        if self.r.one_in(2) {
            let mut out: Shape = shape.iter().copied().filter(|&n| n != 1 || self.r.one_in(2)).collect();
            if self.r.one_in(2) {
                let at = self.r.below(out.len() + 1);
                out.insert(at, 1);
            }
            return out;
        }
        let mut out: Shape = (0..1 + self.r.below(3)).map(|_| 1).collect();
        if n == 0 {
            let at = self.r.below(out.len());
            out[at] = 0;
            return out;
        }
        let (mut rest, mut factor) = (n, 2);
        while rest > 1 {
            while rest.is_multiple_of(factor) {
                let at = self.r.below(out.len());
                out[at] *= factor;
                rest /= factor;
            }
            factor += 1;
        }
        out
    }

    fn slice(&mut self, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        let known = self.known(&p[0]);
        let (mut start, mut stop, mut step) = (Shape::new(), Shape::new(), Shape::new());
        let mut from = Shape::new();
        for (i, &n) in ty.shape.iter().enumerate() {
            let by = *self.r.pick(&[1, 1, 1, 2, 3]);
            let most = known.as_ref().map(|k| k.get(i).copied().unwrap_or(0));
            let first = self.r.below(most.unwrap_or(2) as usize + 1) as u64;
            let end = if n == 0 { first } else { first + (n - 1) * by + 1 };
            let size = most.unwrap_or_else(|| end + self.r.below(3) as u64);
            let last = if n == 0 { end } else { (end + self.r.below(by as usize) as u64).min(size) };
            start.push(first);
            stop.push(last.max(end));
            step.push(by);
            from.push(size);
        }
        let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: known.unwrap_or(from) })?;
        self.finish(Op::Slice { start, stop, step }, &[x], ty)
    }

    fn pad(&mut self, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        let (mut lo, mut hi, mut interior) = (Shape::new(), Shape::new(), Shape::new());
        let mut from = Shape::new();
        for &n in &ty.shape {
            let between = *self.r.pick(&[0, 0, 1, 2]);
            let fits: Vec<u64> = (0..=n).filter(|m| m + m.saturating_sub(1) * between <= n).collect();
            let m = fits[self.r.below(fits.len()).max(self.r.below(fits.len()))];
            let rest = n - m - m.saturating_sub(1) * between;
            let before = self.r.below(rest as usize + 1) as u64;
            lo.push(before);
            hi.push(rest - before);
            interior.push(between);
            from.push(m);
        }
        let x = self.make(&p[0], &TensorTy { dtype: ty.dtype, shape: from })?;
        let fill = self.make(&p[1], &TensorTy::scalar(ty.dtype))?;
        self.finish(Op::Pad { lo, hi, interior }, &[x, fill], ty)
    }

    fn concat(&mut self, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        if ty.rank() == 0 {
            return None;
        }
        let axis = self.r.below(ty.rank());
        let mut rest = ty.shape[axis];
        let mut x = vec![];
        for (i, part) in p.iter().enumerate() {
            let n = if i + 1 == p.len() { rest } else { self.r.below(rest as usize + 1) as u64 };
            rest -= n;
            let mut of = ty.clone();
            of.shape[axis] = n;
            x.push(self.make(part, &of)?);
        }
        self.finish(Op::Concat { axis: axis as u32 }, &x, ty)
    }

    fn dot(&mut self, p: &[Pattern], ty: &TensorTy) -> Option<ValueId> {
        if !ty.dtype.is_float() {
            return None;
        }
        let rank = ty.rank();
        let batch = self.r.below(rank.min(2) + 1);
        let left = self.r.below(rank - batch + 1);
        let sums: Shape = (0..self.r.below(3)).map(|_| *self.r.pick(&[0, 1, 2, 3])).collect();
        // Axes of an operand in random order, its free ones as they are in the result.
        let mut side = |free: std::ops::Range<usize>| {
            let mut order: Vec<(u8, usize)> = (0..batch).map(|i| (0, i)).collect();
            order.extend(free.clone().map(|i| (1, i)));
            order.extend((0..sums.len()).map(|i| (2, i)));
            self.r.shuffle(&mut order);
            let mut next = free;
            order.iter_mut().filter(|o| o.0 == 1).for_each(|o| o.1 = next.next().unwrap_or(0));
            let shape: Shape = order.iter().map(|&(what, i)| if what == 2 { sums[i] } else { ty.shape[i] }).collect();
            let axes = |what: u8, n: usize| -> Axes {
                (0..n).filter_map(|i| order.iter().position(|o| *o == (what, i))).map(|a| a as u32).collect()
            };
            (TensorTy { dtype: ty.dtype, shape }, axes(0, batch), axes(2, sums.len()))
        };
        let (a, lhs_batch, lhs_contract) = side(batch..batch + left);
        let (b, rhs_batch, rhs_contract) = side(batch + left..rank);
        let x = [self.make(&p[0], &a)?, self.make(&p[1], &b)?];
        self.finish(Op::Dot(DotDims { lhs_batch, rhs_batch, lhs_contract, rhs_contract }), &x, ty)
    }
}
