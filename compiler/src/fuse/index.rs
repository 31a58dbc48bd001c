//! Index maps: where in a value an iteration of a kernel reads or writes.
//!
//! In: movement ops and a map for their result. Out: the map for their operand. A map has one [`Ix`] per axis: affine in
//! the variables of the kernel's iteration space where possible, else a computed lane. Movement ops thereby cost nothing,
//! and two uses of a value are at the same element iff their affine maps are equal.

use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::Op;
use crate::lanes::{LaneBin, LaneId};
use smallvec::SmallVec;
use std::sync::Arc;

/// An affine function of iteration variables: `c + sum(coefficient * variable)`, variables ascending, no zero terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lin {
    /// Constant part.
    pub c: i64,
    /// Variable and coefficient.
    pub terms: SmallVec<[(u32, i64); 4]>,
}

impl Lin {
    /// A constant.
    pub fn konst(c: i64) -> Lin {
        Lin { c, terms: SmallVec::new() }
    }
    /// A variable.
    pub fn var(v: u32) -> Lin {
        Lin { c: 0, terms: SmallVec::from_slice(&[(v, 1)]) }
    }
    /// The coefficient of a variable.
    pub fn coeff(&self, v: u32) -> i64 {
        self.terms.iter().find(|t| t.0 == v).map_or(0, |t| t.1)
    }
    /// Sets the coefficient of a variable.
    pub fn set(&mut self, v: u32, k: i64) {
        match self.terms.binary_search_by_key(&v, |t| t.0) {
            Ok(i) if k == 0 => drop(self.terms.remove(i)),
            Ok(i) => self.terms[i].1 = k,
            Err(_) if k == 0 => {}
            Err(i) => self.terms.insert(i, (v, k)),
        }
    }
    /// Adds a multiple of another function.
    pub fn add_scaled(&mut self, o: &Lin, k: i64) {
        self.c += o.c * k;
        for &(v, a) in &o.terms {
            let now = self.coeff(v);
            self.set(v, now + a * k);
        }
    }
    /// `self * k + c`
    pub fn affine(&self, k: i64, c: i64) -> Lin {
        let mut r = Lin::konst(c);
        r.add_scaled(self, k);
        r
    }
    /// Smallest and largest value over variables of the given sizes.
    pub fn range(&self, sizes: &[u64]) -> (i64, i64) {
        self.terms.iter().fold((self.c, self.c), |(lo, hi), &(v, k)| {
            let span = k * (sizes[v as usize] as i64 - 1).max(0);
            (lo + span.min(0), hi + span.max(0))
        })
    }
    /// The variable, if the function is one.
    pub fn as_var(&self) -> Option<u32> {
        match self.terms[..] {
            [(v, 1)] if self.c == 0 => Some(v),
            _ => None,
        }
    }
    /// Replaces variables that `of` gives a function for.
    pub fn subst(&self, of: impl Fn(u32) -> Option<Lin>) -> Lin {
        let mut r = Lin::konst(self.c);
        for &(v, k) in &self.terms {
            r.add_scaled(&of(v).unwrap_or_else(|| Lin::var(v)), k);
        }
        r
    }
    /// Is it a mixed-radix count of its variables, taking every value of `0..n` once?
    pub fn counts_to(&self, n: u64, sizes: &[u64]) -> bool {
        let mut terms = self.terms.clone();
        terms.sort_by_key(|t| t.1);
        let mut radix = 1u64;
        self.c == 0
            && terms.iter().all(|&(v, k)| {
                let ok = k as u64 == radix && k > 0;
                radix = radix.saturating_mul(sizes[v as usize]);
                ok
            })
            && (radix == n || nn_runtime::mutant!("fuse.counts"))
    }
}

/// The index on one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ix {
    /// Affine.
    Lin(Lin),
    /// A computed `i32` lane; while grouping, any id stands for "computed".
    Lane(LaneId),
    /// Quotient or remainder of an index that is not negative, kept apart: the two together are the index again.
    Part(Arc<Part>),
}

/// See [`Ix::Part`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The index.
    pub of: Ix,
    /// The divisor.
    pub by: i64,
    /// The remainder, not the quotient.
    pub rem: bool,
}

impl Ix {
    /// Smallest and largest value over variables of the given sizes, where known.
    pub fn range(&self, sizes: &[u64]) -> Option<(i64, i64)> {
        match self {
            Ix::Lin(l) => Some(l.range(sizes)),
            Ix::Lane(_) => None,
            Ix::Part(p) => {
                let (lo, hi) = p.of.range(sizes).filter(|r| r.0 >= 0)?;
                Some(if p.rem { (0, p.by - 1) } else { (lo / p.by, hi / p.by) })
            }
        }
    }

    /// A variable that, cut in two at the given length, would make the index affine.
    pub fn cut(&self, sizes: &[u64]) -> Option<(u32, u64)> {
        let Ix::Part(p) = self else { return None };
        match &p.of {
            Ix::Lin(l) => {
                // Cut the variable that straddles the divisor.
                let straddles = |&&(v, k): &&(u32, i64)| {
                    let n = sizes[v as usize] as i64;
                    k > 0 && k < p.by && p.by % k == 0 && n % (p.by / k) == 0 && n * k > p.by
                };
                l.terms.iter().find(straddles).map(|&(v, k)| (v, (p.by / k) as u64))
            }
            of => of.cut(sizes),
        }
    }
}

/// One index per axis of a value.
pub type Map = SmallVec<[Ix; 4]>;

/// Stands for a computed index where no code is made.
pub const COMPUTED: Ix = Ix::Lane(LaneId(u32::MAX));

/// What maps through movement ops need: sizes of variables, and arithmetic that is not affine.
pub trait Arith {
    /// Sizes of the iteration variables.
    fn sizes(&self) -> &[u64];
    /// Integer arithmetic on computed indices.
    fn bin(&mut self, op: LaneBin, a: &Ix, b: &Ix) -> Ix;
}

/// Arithmetic while grouping: computed indices are only marked as such.
pub struct Marks<'a>(pub &'a [u64]);

impl Arith for Marks<'_> {
    fn sizes(&self) -> &[u64] {
        self.0
    }
    fn bin(&mut self, _: LaneBin, _: &Ix, _: &Ix) -> Ix {
        COMPUTED
    }
}

fn konst(c: i64) -> Ix {
    Ix::Lin(Lin::konst(c))
}

/// `a * k + c`
pub fn affine(cx: &mut dyn Arith, a: &Ix, k: i64, c: i64) -> Ix {
    match a {
        Ix::Lin(l) => Ix::Lin(l.affine(k, c)),
        _ if k == 1 && c == 0 => a.clone(),
        _ => {
            let a = if k == 1 { a.clone() } else { cx.bin(LaneBin::IMul, a, &konst(k)) };
            if c == 0 { a } else { cx.bin(LaneBin::IAdd, &a, &konst(c)) }
        }
    }
}

/// `a + b`
pub fn sum(cx: &mut dyn Arith, a: &Ix, b: &Ix) -> Ix {
    match (a, b) {
        (Ix::Lin(a), Ix::Lin(b)) => {
            let mut r = a.clone();
            r.add_scaled(b, 1);
            Ix::Lin(r)
        }
        (Ix::Lin(z), x) | (x, Ix::Lin(z)) if *z == Lin::default() => x.clone(),
        _ => cx.bin(LaneBin::IAdd, a, b),
    }
}

/// Quotient and remainder by `d > 0` of an index that is not negative.
pub fn div_rem(cx: &mut dyn Arith, a: &Ix, d: i64) -> (Ix, Ix) {
    if d == 1 {
        return (a.clone(), konst(0));
    }
    if let Ix::Lin(l) = a {
        let (mut q, mut r) = (Lin::konst(l.c.div_euclid(d)), Lin::konst(l.c.rem_euclid(d)));
        for &(v, k) in &l.terms {
            if k % d == 0 { q.set(v, k / d) } else { r.set(v, k) }
        }
        let (lo, hi) = r.range(cx.sizes());
        if lo >= 0 && hi < d + i64::from(nn_runtime::mutant!("fuse.div_rem")) {
            return (Ix::Lin(q), Ix::Lin(r));
        }
    }
    let part = |rem| Ix::Part(Arc::new(Part { of: a.clone(), by: d, rem }));
    (part(false), part(true))
}

/// Row-major strides.
pub fn strides(shape: &[u64]) -> SmallVec<[i64; 4]> {
    let mut s: SmallVec<[i64; 4]> = SmallVec::from_elem(1, shape.len());
    for i in (1..shape.len()).rev() {
        s[i - 1] = s[i] * shape[i] as i64;
    }
    s
}

/// `sum(at[i] * stride[i])`
pub fn flat(cx: &mut dyn Arith, at: &[Ix], stride: &[i64]) -> Ix {
    let mut r = konst(0);
    let mut terms: SmallVec<[(Ix, i64); 4]> = at.iter().cloned().zip(stride.iter().copied()).collect();
    // Quotient and remainder in step are the index itself.
    while let Some((i, j, whole)) = whole(&terms) {
        terms[i] = whole;
        terms.remove(j);
    }
    for (ix, s) in &terms {
        let part = affine(cx, ix, *s, 0);
        r = sum(cx, &r, &part);
    }
    r
}

/// A quotient and its remainder among the terms of an address, and what they make.
fn whole(terms: &[(Ix, i64)]) -> Option<(usize, usize, (Ix, i64))> {
    for (i, (q, s)) in terms.iter().enumerate() {
        let Ix::Part(p) = q else { continue };
        for (j, (r, t)) in terms.iter().enumerate() {
            if let (false, Ix::Part(o)) = (p.rem, r) {
                if o.rem && o.by == p.by && o.of == p.of && *s == t * p.by {
                    return Some((i, j, (p.of.clone(), *t)));
                }
            }
        }
    }
    None
}

/// Whether the op is a view: its result is its one operand at other indices.
pub fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast { .. }
            | Op::Slice { .. }
            | Op::Reverse(_)
            | Op::Window { .. }
            | Op::Tag(_)
    )
}

/// The map of a view's operand, given the map of its result. Other ops give the map back.
pub fn through(g: &Graph, v: ValueId, at: &[Ix], cx: &mut dyn Arith) -> Map {
    let node = g.node(v);
    match &node.op {
        Op::Reshape(shape) => reshape(cx, shape, &g.ty(node.inputs[0]).shape, at),
        Op::Permute(perm) => {
            let mut m: Map = SmallVec::from_elem(konst(0), at.len());
            for (ix, &p) in at.iter().zip(perm) {
                m[p as usize] = ix.clone();
            }
            m
        }
        Op::Broadcast { shape, axes } => {
            let from = &g.ty(node.inputs[0]).shape;
            let pick = |(i, &a): (usize, &u32)| match from[i] == 1 && shape[a as usize] != 1 {
                true => konst(0),
                false => at[a as usize].clone(),
            };
            axes.iter().enumerate().map(pick).collect()
        }
        Op::Slice { start, step, .. } => {
            let one = |(i, ix): (usize, &Ix)| affine(cx, ix, step[i] as i64, start[i] as i64);
            at.iter().enumerate().map(one).collect()
        }
        Op::Window { axis, step, dilation, .. } => {
            let (&[ref m @ .., ref u], a) = (at, *axis as usize) else { return at.into() };
            let mut m: Map = m.into();
            let (first, within) = (affine(cx, &m[a], *step as i64, 0), affine(cx, u, *dilation as i64, 0));
            m[a] = sum(cx, &first, &within);
            m
        }
        Op::Reverse(axes) => {
            let mut m: Map = at.into();
            for &a in axes {
                let last = node.ty.shape[a as usize] as i64 - 1;
                m[a as usize] =
                    affine(cx, &at[a as usize], -1, last - i64::from(nn_runtime::mutant!("fuse.reverse") && last > 2));
            }
            m
        }
        _ => at.into(),
    }
}

/// Splits both shapes into the shortest runs of axes with equal products, and takes every run apart on its own.
fn reshape(cx: &mut dyn Arith, to: &[u64], from: &[u64], at: &[Ix]) -> Map {
    let mut m = Map::new();
    let (mut i, mut j) = (0, 0);
    while i < to.len() || j < from.len() {
        let (i0, j0) = (i, j);
        let (mut p, mut q) = (1u64, 1u64);
        loop {
            if p == q && (i > i0 || j > j0) {
                break;
            }
            if i < to.len() && (p <= q || j == from.len()) {
                p *= to[i];
                i += 1;
            } else if j < from.len() {
                q *= from[j];
                j += 1;
            } else {
                break;
            }
        }
        let run = &to[i0..i];
        let mut rest = flat(cx, &at[i0..i], &strides(run));
        let mut parts: Map = SmallVec::new();
        for k in (j0..j).rev() {
            if k == j0 {
                parts.push(rest.clone());
            } else {
                let (quot, rem) = div_rem(cx, &rest, (from[k] as i64).max(1));
                parts.push(rem);
                rest = quot;
            }
        }
        m.extend(parts.into_iter().rev());
    }
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lin(c: i64, terms: &[(u32, i64)]) -> Lin {
        let mut l = Lin::konst(c);
        terms.iter().for_each(|&(v, k)| l.set(v, k));
        l
    }

    #[test]
    fn division_keeps_what_is_provable() {
        let sizes = [64, 28, 28];
        let mut cx = Marks(&sizes);
        let a = Ix::Lin(lin(5, &[(0, 784), (1, 28)]));
        let (q, r) = div_rem(&mut cx, &a, 784);
        assert_eq!((q, r), (Ix::Lin(lin(0, &[(0, 1)])), Ix::Lin(lin(5, &[(1, 28)]))));
        // One too many is not a remainder.
        let edge = Ix::Lin(lin(1, &[(1, 1)]));
        assert!(matches!(div_rem(&mut cx, &edge, 28), (Ix::Part(_), Ix::Part(_))));
        assert_eq!(div_rem(&mut cx, &edge, 29), (konst(0), edge));
        let over = Ix::Lin(lin(40, &[(0, 784), (1, 28)]));
        let (q, r) = div_rem(&mut cx, &over, 784);
        assert!(matches!((&q, &r), (Ix::Part(_), Ix::Part(_))));
        assert_eq!(flat(&mut cx, &[q, r], &[1568, 2]), affine(&mut Marks(&sizes), &over, 2, 0));
    }

    #[test]
    fn reshapes_split_and_merge_axes() {
        let sizes = [64, 28, 28];
        let mut cx = Marks(&sizes);
        let at: Map = (0..3).map(|v| Ix::Lin(Lin::var(v))).collect();
        let merged = reshape(&mut cx, &[64, 28, 28], &[64, 784], &at);
        assert_eq!(merged[..], [Ix::Lin(Lin::var(0)), Ix::Lin(lin(0, &[(1, 28), (2, 1)]))]);
        let back = reshape(&mut cx, &[64, 784], &[1, 64, 28, 28], &merged);
        assert_eq!(back[1..], at[..]);
        assert_eq!(back[0], konst(0));
    }

    #[test]
    fn mixed_radix_counts() {
        let sizes = [64, 28, 28];
        assert!(lin(0, &[(1, 28), (2, 1)]).counts_to(784, &sizes));
        assert!(!lin(0, &[(1, 28), (2, 1)]).counts_to(785, &sizes));
        assert!(!lin(0, &[(1, 29), (2, 1)]).counts_to(784, &sizes));
    }
}
