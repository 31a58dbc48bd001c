//! Tensors from nothing: constants, counts, reproducible random tables.

use super::{Num, Opd, Val, dtype};
use crate::graph::graph::ValueId;
use crate::graph::tensor::round;
use crate::graph::ty::TensorTy;
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Elem, Tensor};
use nn_runtime::dtype::DType;
use nn_runtime::philox;

/// A value in every element of a shape.
pub fn fill(el: &mut Elab<'_>, v: &Opd, dims: Vec<Dim>) -> Tensor {
    let t = match &v.val {
        Val::Num(Num::Int(n)) => {
            let id = el.constant(el.float, *n as f64);
            el.plain(id, vec![])
        }
        _ => dtype::tensor(el, v),
    };
    let mut all = dims;
    all.extend(t.dims.iter().cloned());
    let id = super::broadcast::expand(el, t.id, &t.dims, &all);
    Tensor { id, elem: t.elem, dims: all }
}

/// `0, 1, .. n - 1` as indices of the dim.
pub fn iota(el: &mut Elab<'_>, n: Dim) -> Tensor {
    let id = el.b.iota(&[n.size], 0);
    Tensor { id, elem: Elem::Idx(n.clone()), dims: vec![n] }
}

/// `n` values of a float from `lo` to `hi`, both included, evenly spaced.
pub fn linspace(el: &mut Elab<'_>, dtype: DType, lo: f64, hi: f64, n: Dim) -> Tensor {
    let last = (n.size.max(2) - 1) as f64;
    let exact: Vec<f64> = (0..n.size).map(|i| lo + (hi - lo) * (i as f64 / last)).collect();
    let t = table(el, dtype, exact.iter().map(|x| round(dtype, *x)).collect(), vec![n]);
    if dtype == DType::F32 {
        el.st.exact.insert(t.id, exact);
    }
    t
}

/// A number in every element.
pub fn full(el: &mut Elab<'_>, dtype: DType, x: f64, dims: Vec<Dim>) -> Tensor {
    let id = el.full(dtype, &dims, x);
    if dtype == DType::F32 {
        el.st.exact.insert(id, vec![x]);
    }
    el.plain(id, dims)
}

/// The tensor in f64, if its numbers are known better than f32 holds them: it was made of numbers, as a list is.
pub fn exact(el: &mut Elab<'_>, t: &Tensor) -> Option<ValueId> {
    let xs = el.st.exact.get(&t.id)?.clone();
    if let [x] = xs[..] {
        return Some(el.full(DType::F64, &t.dims, x));
    }
    Some(table(el, DType::F64, xs, t.dims.clone()).id)
}

/// A dense constant.
pub fn table(el: &mut Elab<'_>, dtype: DType, xs: Vec<f64>, dims: Vec<Dim>) -> Tensor {
    let ty = TensorTy::new(dtype, dims.iter().map(|d| d.size));
    let id = el.b.table(&ty, &xs);
    Tensor { id, elem: Elem::Plain(dtype), dims }
}

/// Standard normal numbers that depend on the seed and the shape alone, but for their rounding to the program's float.
pub fn randn(el: &mut Elab<'_>, seed: u64, dims: Vec<Dim>) -> Tensor {
    let n: u64 = dims.iter().map(|d| d.size).product();
    let uniform = |site, e| f64::from(philox::element(seed, 0, site, e) >> 8) / f64::from(1 << 24);
    let xs = (0..n)
        .map(|e| {
            let (u, v) = (1.0 - uniform(0, e), uniform(1, e));
            round(el.float, (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos())
        })
        .collect();
    table(el, el.float, xs, dims)
}
