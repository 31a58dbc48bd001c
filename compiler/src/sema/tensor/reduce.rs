//! Reductions: sums, means, extremes, norms, running sums.
//!
//! In: a tensor and the axes to reduce. Out: a tensor without them (or with literal ones in their place). The dtype rules
//! are those of arithmetic: bools count as 0 and 1, narrow ints add up in i32.

use super::arith::{BinOp, apply};
use super::{Opd, dtype, sizes};
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{ArgKind, Op, ReduceKind};
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Elem, Tensor, Value};
use nn_runtime::dtype::DType;

/// The reducers that share one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Red {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    Any,
    All,
    LogSumExp,
    Norm,
}

impl Red {
    /// Every reducer with its name.
    pub const ALL: [(&'static str, Red); 9] = [
        ("sum", Red::Sum),
        ("mean", Red::Mean),
        ("max", Red::Max),
        ("min", Red::Min),
        ("prod", Red::Prod),
        ("any", Red::Any),
        ("all", Red::All),
        ("logsumexp", Red::LogSumExp),
        ("norm", Red::Norm),
    ];

    /// The reducer of a name.
    pub fn parse(name: &str) -> Option<Red> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
    }
}

/// The tensor at the dtype in which a reducer works.
pub fn prepare(el: &mut Elab<'_>, red: Red, t: &Tensor) -> Tensor {
    let d = t.elem.dtype();
    match red {
        Red::Mean | Red::LogSumExp | Red::Norm if !d.is_float() => dtype::cast(el, t, el.float),
        Red::Sum | Red::Prod if matches!(d, DType::Bool | DType::I8 | DType::I16 | DType::U8 | DType::U16) => {
            dtype::cast(el, t, DType::I32)
        }
        _ => t.clone(),
    }
}

/// Reduces axes, which vanish or become literal ones.
pub fn reduce(el: &mut Elab<'_>, red: Red, t: &Tensor, axes: &[usize], keep: bool) -> Tensor {
    let t = prepare(el, red, t);
    let ax: Vec<u32> = axes.iter().map(|&a| a as u32).collect();
    let count: u64 = axes.iter().map(|&a| t.dims[a].size).product();
    let id = match red {
        Red::Sum => sum(el, t.id, &ax),
        Red::Mean => {
            let s = sum(el, t.id, &ax);
            let n = el.constant(t.elem.dtype(), count as f64);
            let shape = el.b.shape(s);
            let n = el.b.broadcast(n, &shape, &[]);
            // Over one element, too: reports look for the quotient.
            el.b.ew(Ew::Div, &[s, n])
        }
        Red::Max => extreme(el, ReduceKind::Max, t.id, &ax),
        Red::Min => extreme(el, ReduceKind::Min, t.id, &ax),
        Red::Prod => el.b.reduce(ReduceKind::Prod, t.id, &ax),
        Red::Any => truth(el, ReduceKind::Max, t.id, &ax),
        Red::All => truth(el, ReduceKind::Min, t.id, &ax),
        Red::LogSumExp => log_sum_exp(el, t.id, &ax),
        Red::Norm => norm(el, t.id, &ax),
    };
    let elem = match (red, &t.elem) {
        (Red::Max | Red::Min, Elem::Idx(n)) if count > 0 => Elem::Idx(n.clone()),
        _ => Elem::Plain(el.b.ty(id).dtype),
    };
    finish(el, id, elem, &t.dims, axes, keep)
}

/// Names the axes of a reduced value.
fn finish(el: &mut Elab<'_>, id: ValueId, elem: Elem, from: &[Dim], axes: &[usize], keep: bool) -> Tensor {
    let mut dims = vec![];
    for (i, d) in from.iter().enumerate() {
        if !axes.contains(&i) {
            dims.push(d.clone());
        } else if keep {
            dims.push(el.one());
        }
    }
    let id = el.b.reshape(id, &sizes(&dims));
    Tensor { id, elem, dims }
}

/// Sums; of a constant at once.
pub fn sum(el: &mut Elab<'_>, v: ValueId, axes: &[u32]) -> ValueId {
    let ty = el.b.ty(v).clone();
    if let Some(x) = el.uniform(v)
        && matches!(ty.dtype, DType::F32 | DType::F64)
    {
        let n: u64 = axes.iter().map(|&a| ty.shape[a as usize]).product();
        let shape: Vec<u64> = (0u32..).zip(&ty.shape).filter(|(i, _)| !axes.contains(i)).map(|(_, &s)| s).collect();
        let total = x * n as f64;
        if total.fract() == 0.0 && total.abs() < 16_777_216.0 {
            let c = el.constant(ty.dtype, total);
            return el.b.broadcast(c, &shape, &[]);
        }
    }
    el.b.reduce(ReduceKind::Sum, v, axes)
}

/// Extremes; bools by way of i32.
fn extreme(el: &mut Elab<'_>, kind: ReduceKind, v: ValueId, axes: &[u32]) -> ValueId {
    if el.b.ty(v).dtype == DType::Bool {
        return truth(el, kind, v, axes);
    }
    el.b.reduce(kind, v, axes)
}

fn truth(el: &mut Elab<'_>, kind: ReduceKind, v: ValueId, axes: &[u32]) -> ValueId {
    let flag = el.b.cast(v, DType::Bool);
    let x = el.b.cast(flag, DType::I32);
    let r = el.b.reduce(kind, x, axes);
    // Over nothing the extremes are those of i32: any of nothing is false, all of nothing true.
    let zero = el.b.zeros_like(r);
    el.b.ew(Ew::Gt, &[r, zero])
}

/// `v` reduced, repeated back to the shape of `v`.
fn spread(el: &mut Elab<'_>, r: ValueId, like: ValueId, axes: &[u32]) -> ValueId {
    let shape = el.b.shape(like);
    let kept: Vec<u32> = (0..shape.len() as u32).filter(|a| !axes.contains(a)).collect();
    el.b.broadcast(r, &shape, &kept)
}

/// `m + log(sum(exp(x - m)))` with `m` the maximum, held out of the gradient, or 0 where that is infinite: `inf - inf` is no
/// number, while the exponentials of infinities and the logarithms of their sums are right as they are.
fn log_sum_exp(el: &mut Elab<'_>, x: ValueId, axes: &[u32]) -> ValueId {
    let m = el.b.reduce(ReduceKind::Max, x, axes);
    let m = el.b.stop(m);
    let zero = el.b.zeros_like(m);
    let minus = el.b.ew(Ew::Neg, &[m]);
    let away = el.b.ew(Ew::Max, &[m, minus]);
    let most = el.b.splat_like(m, f64::INFINITY);
    let infinite = el.b.ew(Ew::Eq, &[away, most]);
    let m = el.b.ew(Ew::Select, &[infinite, zero, m]);
    let wide = spread(el, m, x, axes);
    let z = el.b.sub(x, wide);
    let e = el.b.ew(Ew::Exp, &[z]);
    let s = el.b.reduce(ReduceKind::Sum, e, axes);
    let l = el.b.ew(Ew::Log, &[s]);
    el.b.ew(Ew::Add, &[m, l])
}

/// `sqrt(sum(x^2))`, whose derivative at 0 is 0: the square root is not taken there.
fn norm(el: &mut Elab<'_>, x: ValueId, axes: &[u32]) -> ValueId {
    let q = el.b.ew(Ew::Mul, &[x, x]);
    let s = el.b.reduce(ReduceKind::Sum, q, axes);
    let zero = el.b.zeros_like(s);
    let one = el.b.splat_like(s, 1.0);
    let pos = el.b.ew(Ew::Gt, &[s, zero]);
    let safe = el.b.ew(Ew::Select, &[pos, s, one]);
    let root = el.b.ew(Ew::Sqrt, &[safe]);
    el.b.ew(Ew::Select, &[pos, root, s])
}

/// The mean of all elements as a ratio of sums: `(sum w * x, sum w)`.
pub fn ratio(el: &mut Elab<'_>, x: &Opd, weight: Option<&Opd>, span: crate::source::Span) -> super::TR<Value> {
    let x = dtype::float(el, x);
    let (num, den) = match weight {
        None => {
            let n: u64 = x.dims.iter().map(|d| d.size).product();
            (x.clone(), el.constant(x.elem.dtype(), n as f64))
        }
        Some(w) => {
            let w = dtype::float(el, w);
            let wide = dtype::wider(x.elem.dtype(), w.elem.dtype());
            let (x, wt) = (dtype::cast(el, &x, wide), dtype::cast(el, &w, wide));
            let held = if el.uniform(wt.id).is_some() { wt.id } else { el.b.stop(wt.id) };
            let w = Tensor { id: held, ..wt };
            let dims = super::broadcast::common(
                "weight",
                super::broadcast::Shaped { dims: &x.dims, span },
                super::broadcast::Shaped { dims: &w.dims, span },
            )?;
            super::arith::check_dims(&dims, span)?;
            // The weights count once per element of `x`, so both take the whole shape.
            let wide = super::broadcast::expand(el, w.id, &w.dims, &dims);
            let xs = super::broadcast::expand(el, x.id, &x.dims, &dims);
            let id = apply(el, BinOp::Mul, xs, wide, x.elem.dtype());
            let product = el.plain(id, dims);
            let axes: Vec<u32> = (0..product.dims.len() as u32).collect();
            let den = sum(el, wide, &axes);
            (product, den)
        }
    };
    let axes: Vec<u32> = (0..num.dims.len() as u32).collect();
    let id = sum(el, num.id, &axes);
    Ok(Value::Mean { num: el.plain(id, vec![]), den: el.plain(den, vec![]) })
}

/// Position of the first extreme along an axis, as an index into it.
pub fn arg(el: &mut Elab<'_>, kind: ArgKind, t: &Tensor, axis: usize, keep: bool) -> Tensor {
    let t = if t.elem.dtype() == DType::Bool { dtype::cast(el, t, DType::I32) } else { t.clone() };
    let id = el.b.arg_reduce(kind, t.id, axis as u32);
    finish(el, id, Elem::Idx(t.dims[axis].clone()), &t.dims, &[axis], keep)
}

/// Running sums or products along an axis.
pub fn cumulate(el: &mut Elab<'_>, kind: ReduceKind, t: &Tensor, axis: usize) -> Tensor {
    let t = prepare(el, Red::Sum, t);
    let id = el.b.op(Op::Cumulate { kind, axis: axis as u32 }, &[t.id]);
    el.plain(id, t.dims)
}

/// Mean and (biased) variance over axes.
pub fn moments(el: &mut Elab<'_>, t: &Tensor, axes: &[usize], keep: bool) -> (Tensor, Tensor) {
    let t = prepare(el, Red::Mean, t);
    let ax: Vec<u32> = axes.iter().map(|&a| a as u32).collect();
    let m = reduce(el, Red::Mean, &t, axes, false);
    let wide = spread(el, m.id, t.id, &ax);
    let c = el.b.sub(t.id, wide);
    let q = el.b.ew(Ew::Mul, &[c, c]);
    let q = el.plain(q, t.dims.clone());
    let v = reduce(el, Red::Mean, &q, axes, keep);
    let m = if keep { reduce(el, Red::Mean, &t, axes, true) } else { m };
    (m, v)
}
