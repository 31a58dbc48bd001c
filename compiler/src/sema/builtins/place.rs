//! Functions that place elements: shapes, joins, gathers.

use super::args::Args;
use super::fold::axis_or_last;
use super::written;
use crate::diag::Diagnostic;
use crate::graph::ops::ArgKind;
use crate::graph::ops::elementwise::Ew;
use crate::sema::cx::{Builtin, CallArgs, Elab, R};
use crate::sema::tensor::shape::{self, Size};
use crate::sema::tensor::{Num, Opd, axes, dtype, index, make, reduce};
use crate::sema::value::{Dim, Tensor, Value, show_dims};
use crate::source::Span;

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    Builtin { name: "reshape", call: reshape },
    Builtin { name: "flatten", call: flatten },
    Builtin { name: "split", call: split },
    Builtin { name: "cat", call: |el, a| join(el, "cat", a) },
    Builtin { name: "stack", call: |el, a| join(el, "stack", a) },
    Builtin { name: "repeat", call: repeat },
    Builtin { name: "pad", call: pad },
    Builtin { name: "roll", call: roll },
    Builtin { name: "rev", call: rev },
    Builtin { name: "transpose", call: transpose },
    Builtin { name: "gather", call: gather },
    Builtin { name: "pick", call: pick },
    Builtin { name: "one_hot", call: one_hot },
    Builtin { name: "segment_sum", call: |el, a| segment(el, "segment_sum", a) },
    Builtin { name: "scatter_add", call: |el, a| segment(el, "scatter_add", a) },
    Builtin { name: "top_k", call: top_k },
    Builtin { name: "size", call: size },
    Builtin { name: "rank", call: rank },
];

fn tensor_out(el: &mut Elab<'_>, r: crate::sema::tensor::TR<Tensor>) -> R<Value> {
    el.failed(r).map(Value::Tensor)
}

/// `reshape(x, [B, _])`
fn reshape(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "reshape", args);
    let (t, _) = a.tensor(el, "x")?;
    let (v, s) = a.value(el, "shape")?;
    let items = match v {
        Value::List(items) => items.to_vec(),
        one => vec![one],
    };
    let mut shape = vec![];
    for v in &items {
        shape.push(match v {
            Value::Wild(w) => Size::Infer(*w),
            v => Size::Dim(a.dim(el, v, s)?),
        });
    }
    let span = a.span();
    a.end(el)?;
    let r = shape::reshape(el, &t, &shape, span);
    tensor_out(el, r)
}

/// `flatten(x)` joins all axes but the first; `flatten(x, from: 2)` those from axis 2 on.
fn flatten(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "flatten", args);
    let (t, _) = a.tensor(el, "x")?;
    let from = match a.rest.take("from") {
        Some((v, s)) => axes::axis(el, &t, &v, s, "flatten")?,
        None => usize::from(!t.dims.is_empty()),
    };
    a.end(el)?;
    Ok(Value::Tensor(shape::flatten(el, &t, from)))
}

/// `split(x, n, axis: -1)` into equal parts, `split(x, [A, B])` into parts of given sizes.
fn split(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "split", args);
    let (t, ts) = a.tensor(el, "x")?;
    let (v, s) = a.value(el, "parts")?;
    let axis = axis_or_last(el, &mut a, &t, "x")?;
    let dim = t.dims[axis].clone();
    let parts: Vec<Dim> = match &v {
        Value::List(items) => {
            let mut parts = vec![];
            for v in items.iter() {
                parts.push(a.dim(el, v, s)?);
            }
            let total = parts.iter().try_fold(0u64, |n, d| n.checked_add(d.size));
            if total != Some(dim.size) {
                let sizes: Vec<String> = parts.iter().map(Dim::show).collect();
                let d = Diagnostic::error("E0108", s, format!("the parts do not add up to the axis {}", dim.show()))
                    .here(format!("{} = {}", sizes.join(" + "), total.unwrap_or(u64::MAX)))
                    .label(ts, format!("this is {}", show_dims(&t.dims)));
                return Err(el.error(d));
            }
            parts
        }
        v => {
            let n = el.as_int(v, s, "the number of parts")?;
            let n = u64::try_from(n).unwrap_or(0);
            if n == 0 || !dim.size.is_multiple_of(n) {
                let d =
                    Diagnostic::error("E0104", s, format!("{} is not a whole number: {} / {n}", dim.show(), dim.size))
                        .label(ts, format!("this is {}", show_dims(&t.dims)))
                        .help("give the sizes of the parts in a list");
                return Err(el.error(d));
            }
            let part = if n == 1 { dim.clone() } else { el.nameless(dim.size / n) };
            vec![part; n as usize]
        }
    };
    a.end(el)?;
    let parts = shape::split(el, &t, &parts, axis);
    Ok(Value::Tuple(parts.into_iter().map(Value::Tensor).collect::<Vec<_>>().into()))
}

/// `cat(a, b, axis: -1)` joins along an axis, `stack(a, b, axis: 0)` along a new one; a list does as well.
fn join(el: &mut Elab<'_>, name: &'static str, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let axis = a.rest.take_named("axis");
    let mut items = a.others();
    if let [(Value::List(list) | Value::Tuple(list), s)] = &items[..] {
        let (list, s) = (list.clone(), *s);
        items = list.iter().map(|v| (v.clone(), s)).collect();
    }
    if items.is_empty() {
        return el.err("E0208", a.span(), format!("`{name}` needs something to join"));
    }
    let mut xs: Vec<Opd> = vec![];
    for (v, s) in items {
        xs.push(el.operand(&v, s)?);
    }
    let first = dtype::tensor(el, &xs[0]);
    let span = a.span();
    let r = if name == "cat" {
        let (v, s) = axis.unwrap_or((Value::Int(-1), span));
        let axis = axes::axis(el, &first, &v, s, &format!("cat(.., axis: {})", written(&v)))?;
        a.end(el)?;
        shape::cat(el, &xs, axis, span)
    } else {
        let at = match axis {
            None => 0,
            Some((v, s)) => {
                let n = first.dims.len() as i64 + 1;
                let i = el.as_int(&v, s, "`axis`")?;
                let at = if i < 0 { i + n } else { i };
                if !(0..n).contains(&at) {
                    return el.err("E0109", s, format!("`stack`: the result has no axis {i}"));
                }
                at as usize
            }
        };
        a.end(el)?;
        shape::stack(el, &xs, at, span)
    };
    tensor_out(el, r)
}

/// `repeat(x, n, axis: -1)`: every element `n` times in a row.
fn repeat(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "repeat", args);
    let (t, _) = a.tensor(el, "x")?;
    let (v, s) = a.value(el, "n")?;
    let n = a.dim(el, &v, s)?.size;
    let axis = axis_or_last(el, &mut a, &t, "x")?;
    let span = a.span();
    a.end(el)?;
    let r = shape::repeat(el, &t, n, axis, span);
    tensor_out(el, r)
}

/// `pad(x, T: (3, 0))` by dim name, `pad(x, (1, 1), (2, 2))` for the last axes; `value: 0` fills.
fn pad(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "pad", args);
    let (t, ts) = a.tensor(el, "x")?;
    let fill = match a.rest.take_named("value") {
        Some((v, s)) => el.as_float(&v, s, "`value`")?,
        None => 0.0,
    };
    let mut around = vec![(0, 0); t.dims.len()];
    let named = std::mem::take(&mut a.rest.named);
    let pos = a.others();
    for (id, v, s) in &named {
        let dim = el.lookup_dim(&id.text, id.span, &a.rest.env.clone())?;
        let what = format!("pad(x, {}: ..)", id.text);
        let axis = axes::axis(el, &t, &Value::Dim(dim), id.span, &what)?;
        around[axis] = pair(el, v, *s)?;
    }
    if pos.len() > t.dims.len() {
        let n = pos.len();
        let d = Diagnostic::error("E0117", pos[0].1, format!("`pad` of {n} axes, the operand has {}", t.dims.len()))
            .label(ts, format!("this is {}", show_dims(&t.dims)));
        return Err(el.error(d));
    }
    let lead = t.dims.len() - pos.len();
    for (i, (v, s)) in pos.iter().enumerate() {
        around[lead + i] = pair(el, v, *s)?;
    }
    let span = a.span();
    a.end(el)?;
    let r = shape::pad(el, &t, &around, fill, span);
    tensor_out(el, r)
}

fn pair(el: &mut Elab<'_>, v: &Value, span: Span) -> R<(u64, u64)> {
    if let Value::Tuple(p) = v
        && let [lo, hi] = &p[..]
    {
        let lo = el.as_int(lo, span, "padding")?;
        let hi = el.as_int(hi, span, "padding")?;
        if let (Ok(lo), Ok(hi)) = (u64::try_from(lo), u64::try_from(hi)) {
            return Ok((lo, hi));
        }
        return el.err("E0209", span, format!("padding must not be negative, found ({lo}, {hi})"));
    }
    let d = Diagnostic::error("E0208", span, format!("padding is a pair (before, after), found {}", v.show()));
    Err(el.error(d.help("write `(1, 1)`")))
}

/// `roll(x, shift, axis: -1)`
fn roll(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "roll", args);
    let (t, _) = a.tensor(el, "x")?;
    let shift = a.int(el, "shift")?;
    let axis = axis_or_last(el, &mut a, &t, "x")?;
    a.end(el)?;
    Ok(Value::Tensor(shape::roll(el, &t, shift, axis)))
}

/// `rev(x, axis: 0)` reverses an axis; `rev(0..n)` and `rev(list)` a static list.
fn rev(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "rev", args);
    let (v, s) = a.value(el, "x")?;
    let axis = a.rest.take("axis");
    let out = match &v {
        Value::Range(lo, hi) => Value::List((*lo..*hi).rev().map(Value::Int).collect::<Vec<_>>().into()),
        Value::List(items) if axis.is_none() => Value::List(items.iter().rev().cloned().collect::<Vec<_>>().into()),
        v => {
            let t = el.as_tensor(v, None, s)?;
            let (ax, s) = axis.unwrap_or((Value::Int(0), s));
            let i = axes::axis(el, &t, &ax, s, "rev")?;
            Value::Tensor(shape::reverse(el, &t, i))
        }
    };
    a.end(el)?;
    Ok(out)
}

/// `transpose(x, [2, 0, 1])`: result axis i is operand axis `order[i]`.
fn transpose(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "transpose", args);
    let (t, _) = a.tensor(el, "x")?;
    let (v, s) = a.value(el, "order")?;
    let items = match &v {
        Value::List(items) | Value::Tuple(items) => items.to_vec(),
        one => vec![one.clone()],
    };
    let mut order = vec![];
    for v in &items {
        order.push(axes::axis(el, &t, v, s, "transpose")?);
    }
    a.end(el)?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..t.dims.len()) {
        let shape = show_dims(&t.dims);
        return el.err("E0109", s, format!("`transpose` must name every axis of {shape} once"));
    }
    let perm: Vec<u32> = order.iter().map(|&i| i as u32).collect();
    let id = el.b.permute(t.id, &perm);
    let dims = order.iter().map(|&i| t.dims[i].clone()).collect();
    Ok(Value::Tensor(Tensor { id, elem: t.elem, dims }))
}

/// `gather(x, ids, axis: 0)`: `x` by index; an index outside reads 0.
fn gather(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "gather", args);
    let (t, s) = a.tensor(el, "x")?;
    let ids = a.operand(el, "ids")?;
    let axis = match a.rest.take("axis") {
        Some((v, s)) => axes::axis(el, &t, &v, s, "gather")?,
        None => axes::axis(el, &t, &Value::Int(0), s, "gather")?,
    };
    let span = a.span();
    a.end(el)?;
    let r = index::gather(el, &t, &ids, axis, span);
    tensor_out(el, r)
}

/// `pick(x, y)`: the element of the last axis at each index.
fn pick(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "pick", args);
    let x = a.operand(el, "x")?;
    let y = a.operand(el, "y")?;
    let span = a.span();
    a.end(el)?;
    let r = index::pick(el, &x, &y, span);
    tensor_out(el, r)
}

/// `one_hot[C](y)`: bools with one more axis, true at each index.
fn one_hot(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "one_hot", args);
    let c = a.one_dim(el)?;
    let y = a.operand(el, "y")?;
    let span = a.span();
    a.end(el)?;
    let r = index::one_hot(el, &y, c, span);
    tensor_out(el, r)
}

/// `segment_sum[N](x, ids)`: rows of `x` added up by index; `scatter_add` is the same for ids that may lie outside.
fn segment(el: &mut Elab<'_>, name: &'static str, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, name, args);
    let n = a.one_dim(el)?;
    let x = a.operand(el, "x")?;
    let ids = a.operand(el, "ids")?;
    let span = a.span();
    a.end(el)?;
    let r = index::segment_sum(el, &x, &ids, n, span);
    tensor_out(el, r)
}

/// Most elements that `top_k` picks: it takes one maximum after another.
const MAX_TOP: i64 = 64;

/// `top_k(x, k)`: the k largest elements of the last axis and their indices, largest first, of equal ones the earlier.
fn top_k(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "top_k", args);
    let x = a.operand(el, "x")?;
    let (kv, ks) = a.value(el, "k")?;
    let k = el.as_int(&kv, ks, "`k`")?;
    let span = a.span();
    a.end(el)?;
    let t = dtype::float(el, &x);
    let Some(last) = t.dims.last().cloned() else {
        return el.err("E0117", x.span, "`top_k` needs at least one axis");
    };
    if k < 1 || k > last.size as i64 || k > MAX_TOP {
        let d = Diagnostic::error("E0209", ks, format!("`top_k` of {k} out of {}", last.show()))
            .note(format!("k is at least 1, at most the size of the axis, and at most {MAX_TOP}"));
        return Err(el.error(d));
    }
    let axis = t.dims.len() - 1;
    let count = el.b.iota(&crate::sema::tensor::sizes(&t.dims), axis as u32);
    let low = el.b.splat_like(t.id, f64::NEG_INFINITY);
    let mut rest = t.clone();
    let (mut values, mut ids) = (vec![], vec![]);
    for _ in 0..k {
        let i = reduce::arg(el, ArgKind::Max, &rest, axis, false);
        let at = Opd::new(i.clone(), span);
        let r = index::pick(el, &Opd::new(t.clone(), x.span), &at, span);
        values.push(Opd::new(el.failed(r)?, span));
        let axes: Vec<u32> = (0..axis as u32).collect();
        let wide = el.b.broadcast(i.id, &crate::sema::tensor::sizes(&t.dims), &axes);
        let taken = el.b.ew(Ew::Eq, &[count, wide]);
        rest.id = el.b.ew(Ew::Select, &[taken, low, rest.id]);
        ids.push(at);
    }
    let values = shape::stack(el, &values, axis, span);
    let mut values = el.failed(values)?;
    let ids = shape::stack(el, &ids, axis, span);
    let mut ids = el.failed(ids)?;
    if let Value::Dim(d) = kv {
        values.dims[axis] = d.clone();
        ids.dims[axis] = d;
    }
    Ok(Value::Tuple(vec![Value::Tensor(values), Value::Tensor(ids)].into()))
}

/// `size(x)`: number of elements; `size(x, axis)`: of one axis. Static.
fn size(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "size", args);
    let (v, s) = a.value(el, "x")?;
    if let (Value::List(items) | Value::Tuple(items), true) = (&v, a.rest.pos.is_empty())
        && items.iter().any(|v| Num::of(v).is_none())
    {
        return Ok(Value::Int(items.len() as i64));
    }
    let t = el.as_tensor(&v, None, s)?;
    let out = match a.rest.take("axis") {
        Some((v, s)) => {
            let i = axes::axis(el, &t, &v, s, "size")?;
            Value::Dim(t.dims[i].clone())
        }
        None => Value::Int(t.dims.iter().map(|d| d.size as i64).product()),
    };
    a.end(el)?;
    Ok(out)
}

/// `rank(x)`: number of axes. Static.
fn rank(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "rank", args);
    let (t, _) = a.tensor(el, "x")?;
    a.end(el)?;
    Ok(Value::Int(t.dims.len() as i64))
}

/// `fill` and its like share the broadcast of one value into a shape.
pub(super) fn filled(el: &mut Elab<'_>, v: &Opd, dims: Vec<Dim>, span: Span) -> R<Value> {
    let mut all = dims.clone();
    if let crate::sema::tensor::Val::Tensor(t) = &v.val {
        all.extend(t.dims.iter().cloned());
    }
    el.check_shape(&all, span)?;
    Ok(Value::Tensor(make::fill(el, v, dims)))
}
