//! `x[i, a:b, ids, new, ..]`, gathers by index tensors, and functional updates.
//!
//! In: the operand and the bracket's entries. Out: slices, gathers and reshapes; E0116 for static positions outside of the
//! axis, E0111 for an index type whose range exceeds it.

use super::shape::slice_axis;
use super::{Num, Opd, TR, dtype, fail, sizes};
use crate::diag::{Diagnostic, Edit, shown};
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind, ScatterKind};
use crate::sema::calls::count;
use crate::sema::cx::{Elab, Env, R};
use crate::sema::value::{Dim, Elem, Tensor, Value, show_dims};
use crate::source::Span;
use crate::syntax::ast::{ExprId, Ix};
use nn_runtime::dtype::DType;

fn ix_span(el: &Elab<'_>, ix: &Ix) -> Span {
    match ix {
        Ix::Row(_, s) | Ix::New(s) => *s,
        Ix::Slice { span, .. } => *span,
        Ix::Window { start, len } => el.ast.span(*start).to(el.ast.span(*len)),
        Ix::At(e) => el.ast.span(*e),
    }
}

/// Spreads `..` over the axes that the other entries leave, so that every entry but `new` stands for one axis.
fn entries<'i>(el: &mut Elab<'_>, dims: &[Dim], items: &'i [Ix], span: Span) -> R<Vec<Option<&'i Ix>>> {
    let rows: Vec<usize> = (0..items.len()).filter(|&i| matches!(items[i], Ix::Row(..))).collect();
    let takes = items.iter().filter(|i| !matches!(i, Ix::Row(..) | Ix::New(_))).count();
    if let [_, second, ..] = rows[..] {
        let at = ix_span(el, &items[second]);
        return el.err("E0117", at, "two `..` in one index: which axes each stands for is undecided");
    }
    if takes > dims.len() {
        let at = items.iter().filter(|i| !matches!(i, Ix::Row(..) | Ix::New(_))).nth(dims.len());
        let at = at.map_or(span, |i| ix_span(el, i));
        let shape = show_dims(dims);
        let n = dims.len();
        let message = format!("{} into {shape}, which has {}", count(takes, "index"), count(n, "axis"));
        let d = Diagnostic::error("E0117", at, message);
        return Err(el.error(if n == 0 { d.note("it is a scalar") } else { d }));
    }
    let spare = dims.len() - takes;
    let mut out: Vec<Option<&Ix>> = vec![];
    for item in items {
        if matches!(item, Ix::Row(..)) {
            out.extend(std::iter::repeat_n(None, spare));
        } else {
            out.push(Some(item));
        }
    }
    if rows.is_empty() {
        out.extend(std::iter::repeat_n(None, spare));
    }
    Ok(out)
}

/// `x[items]`
pub fn index(el: &mut Elab<'_>, base: &Tensor, items: &[Ix], span: Span, env: &Env) -> R<Tensor> {
    let list = entries(el, &base.dims, items, span)?;
    let mut t = base.clone();
    let mut at = 0;
    let mut gathered: Option<Span> = None;
    for item in list {
        el.span_nodes(span);
        match item {
            None => at += 1,
            Some(Ix::New(_)) => {
                let one = el.one();
                t.dims.insert(at, one);
                el.check_shape(&t.dims, span)?;
                t.id = el.b.reshape(t.id, &sizes(&t.dims));
                at += 1;
            }
            Some(Ix::Slice { lo, hi, step, span: s }) => {
                slice(el, &mut t, at, (*lo, *hi, *step), *s, env)?;
                at += 1;
            }
            Some(Ix::Window { start, len }) => {
                window(el, &mut t, at, *start, *len, env)?;
                at += 1;
            }
            Some(Ix::At(e)) => {
                let s = el.ast.span(*e);
                let v = el.eval(*e, env)?;
                match &v {
                    Value::Range(lo, hi) => {
                        take_range(el, &mut t, at, (*lo, *hi, 1), None, s)?;
                        at += 1;
                    }
                    v => {
                        if let Some(Num::Int(i)) = Num::of(v) {
                            take_static(el, &mut t, at, i, s)?;
                            continue;
                        }
                        let idx = el.as_tensor(v, None, s)?;
                        let rank = idx.dims.len();
                        if rank > 0 {
                            if let Some(first) = gathered {
                                let d = Diagnostic::error("E0117", s, "two index tensors in one index")
                                    .label(first, "the first is here")
                                    .help("say how they pair up: `let y[i] = x[a[i], b[i]]`");
                                return Err(el.error(d));
                            }
                            gathered = Some(s);
                        }
                        if let Some(d) = rows_by_class(el, &t, &idx, at, (base_text(items, span, el), s, span)) {
                            el.report(d);
                        }
                        let r = gather(el, &t, &Opd::new(idx, s), at, span);
                        t = el.failed(r)?;
                        at += rank;
                    }
                }
            }
            Some(Ix::Row(..)) => {}
        }
    }
    Ok(t)
}

/// The text before the brackets of an index that has one entry beside axes that stay whole.
fn base_text<'t>(items: &[Ix], span: Span, el: &Elab<'t>) -> Option<&'t str> {
    let whole = |i: &&Ix| matches!(i, Ix::Row(None, _) | Ix::Slice { lo: None, hi: None, step: None, .. });
    if items.iter().filter(|i| !whole(i)).count() != 1 {
        return None;
    }
    let before = ix_span(el, items.first()?).start.checked_sub(span.start)? as usize;
    el.text(span).get(..before)?.trim_end().strip_suffix('[')
}

/// W0506: class numbers that take whole rows or columns of a batch of scores, where the score of each row's class is meant.
/// `p[:, y]` has a column for each of the class numbers, so one for each row, beside the rows themselves.
fn rows_by_class(
    el: &Elab<'_>,
    t: &Tensor,
    idx: &Tensor,
    axis: usize,
    (base, ids, whole): (Option<&str>, Span, Span),
) -> Option<Diagnostic> {
    let (Elem::Idx(n), Some((last, lead))) = (&idx.elem, t.dims.split_last()) else { return None };
    if el.is_std(whole) || lead.is_empty() || last.size != n.size || sizes(lead) != sizes(&idx.dims) {
        return None;
    }
    let first = &t.dims[0];
    let same = |a: &Dim, b: &Dim| a.id == b.id || a.name.is_some() && a.name == b.name;
    let what = match axis {
        0 if !same(first, n) => "rows",
        _ if axis == lead.len() && !same(last, first) => "columns",
        _ => return None,
    };
    if super::axes::carried(idx, first) != [0] {
        return None;
    }
    let shape = show_dims(&t.dims);
    let message = format!("class numbers take {what} of {shape}, not the element of each row");
    let d = Diagnostic::warning("W0506", whole, message)
        .note(format!("the axis {} has a row for each of the class numbers", first.show()));
    let text = format!("pick({}, {})", base?, el.text(ids));
    Some(d.fix(format!("the element of each row's class: `{}`", shown(&text)), [Edit::replace(whole, text)]))
}

fn take_static(el: &mut Elab<'_>, t: &mut Tensor, axis: usize, i: i64, span: Span) -> R<()> {
    let n = t.dims[axis].size as i64;
    let at = if i < 0 { i + n } else { i };
    if !(0..n).contains(&at) {
        let dim = t.dims[axis].show();
        let d = Diagnostic::error("E0116", span, format!("index {i} is outside of the axis {dim}"))
            .note(format!("axis {axis} of {}", show_dims(&t.dims)));
        return Err(el.error(if n > 0 { d.help(format!("indices are 0 to {}", n - 1)) } else { d }));
    }
    let id = slice_axis(el, t.id, axis, at as u64, at as u64 + 1, 1);
    t.dims.remove(axis);
    t.id = el.b.reshape(id, &sizes(&t.dims));
    Ok(())
}

type Bounds = (Option<ExprId>, Option<ExprId>, Option<ExprId>);

fn slice(el: &mut Elab<'_>, t: &mut Tensor, axis: usize, (lo, hi, step): Bounds, span: Span, env: &Env) -> R<()> {
    let bound = |el: &mut Elab<'_>, e: Option<ExprId>| -> R<Option<(i64, Value)>> {
        let Some(e) = e else { return Ok(None) };
        let s = el.ast.span(e);
        let v = el.eval(e, env)?;
        if let Value::Tensor(_) = v {
            let d = Diagnostic::error("E0209", s, "the bounds of a slice must be static ints")
                .here(format!("this is {}", v.show()))
                .help("for a start known only at run time, give a static length: `x[start +: length]`");
            return Err(el.error(d));
        }
        let i = el.as_int(&v, s, "the bound of a slice")?;
        Ok(Some((i, v)))
    };
    let lo = bound(el, lo)?;
    let hi = bound(el, hi)?;
    let step = bound(el, step)?.map_or(1, |s| s.0);
    let n = t.dims[axis].size as i64;
    let end = |i: i64| if i < 0 { i + n } else { i };
    let start = lo.as_ref().map_or(0, |b| end(b.0));
    let stop = hi.as_ref().map_or(n, |b| end(b.0));
    let named = match &hi {
        Some((_, Value::Dim(d))) if start == 0 && step == 1 && stop == d.size as i64 => Some(d.clone()),
        _ => None,
    };
    take_range(el, t, axis, (start, stop, step), named, span)
}

fn take_range(
    el: &mut Elab<'_>,
    t: &mut Tensor,
    axis: usize,
    (start, stop, step): (i64, i64, i64),
    named: Option<Dim>,
    span: Span,
) -> R<()> {
    let n = t.dims[axis].size as i64;
    if step <= 0 {
        return Err(el.error(no_step(span).help("to go backwards, reverse first: `rev(x, axis)`")));
    }
    if start < 0 || stop > n || start > stop {
        let dim = t.dims[axis].show();
        let d = Diagnostic::error("E0116", span, format!("slice {start}:{stop} is outside of the axis {dim}"))
            .note(format!("axis {axis} of {}", show_dims(&t.dims)))
            .help(format!("bounds are 0 to {n}, and the first may not exceed the second"));
        return Err(el.error(d));
    }
    let size = ((stop - start) as u64).div_ceil(step as u64);
    t.id = slice_axis(el, t.id, axis, start as u64, stop as u64, step as u64);
    t.dims[axis] = match named {
        Some(d) => Dim { stretches: false, ..d },
        None => {
            let d = t.dims[axis].clone();
            el.resized(&d, size)
        }
    };
    Ok(())
}

/// E0116 of a slice that goes nowhere or backwards.
pub fn no_step(span: Span) -> Diagnostic {
    Diagnostic::error("E0116", span, "the step of a slice must be at least 1")
}

fn window(el: &mut Elab<'_>, t: &mut Tensor, axis: usize, start: ExprId, len: ExprId, env: &Env) -> R<()> {
    let (ss, sl) = (el.ast.span(start), el.ast.span(len));
    let from = el.eval(start, env)?;
    let length = el.eval(len, env)?;
    let n = el.as_int(&length, sl, "the length of a window")?;
    if n < 0 || n as u64 > t.dims[axis].size {
        let dim = t.dims[axis].show();
        return el.err("E0116", sl, format!("a window of {n} does not fit the axis {dim}"));
    }
    let named = if let Value::Dim(d) = &length { Some(d.clone()) } else { None };
    if let Some(Num::Int(i)) = Num::of(&from) {
        return take_range(el, t, axis, (i, i.saturating_add(n), 1), named, ss.to(sl));
    }
    let o = el.operand(&from, ss)?;
    let r = scalar_index(el, &o);
    let at = el.failed(r)?;
    let last = t.dims[axis].size as f64 - n as f64;
    let inside = super::bounds::bounds(el.b.graph(), at).is_some_and(|(lo, hi)| lo >= 0.0 && hi <= last);
    t.id = if inside {
        let zero = el.b.scalar(DType::I32, 0.0);
        let mut shape = sizes(&t.dims);
        shape[axis] = n as u64;
        let mut inputs = vec![t.id];
        inputs.extend((0..t.dims.len()).map(|a| if a == axis { at } else { zero }));
        el.b.op(Op::DynSlice { sizes: shape }, &inputs)
    } else {
        // Outside it reads 0, as one index does. A sum that wraps is negative, which is outside.
        let shape = [n as u64];
        let count = el.b.iota(&shape, 0);
        let from = el.b.broadcast(at, &shape, &[]);
        let ids = el.b.ew(Ew::Add, &[from, count]);
        el.b.gather(t.id, ids, axis as u32)
    };
    t.dims[axis] = named.unwrap_or_else(|| el.nameless(n as u64));
    Ok(())
}

fn scalar_index(el: &mut Elab<'_>, o: &Opd) -> TR<ValueId> {
    let (t, _) = dtype::index(el, o, "an index")?;
    if t.dims.is_empty() {
        return Ok(t.id);
    }
    fail("E0117", o.span, format!("one position is needed, found {}", t.show()))
}

/// Checks an index type against the axis that it reads.
pub fn check_range(t: &Tensor, axis: usize, bound: Option<&Dim>, span: Span) -> TR<()> {
    let dim = &t.dims[axis];
    match bound {
        Some(n) if n.size > dim.size => {
            let mut d = Diagnostic::error(
                "E0111",
                span,
                format!("index space mismatch: idx<{}> into an axis of size {}", n.show(), dim.show()),
            )
            .here(format!("ids up to {} would read past the end", n.size - 1))
            .note(format!("axis {axis} of {}", show_dims(&t.dims)));
            if let Some(o) = n.origin {
                d = d.label(o, format!("{} comes from here", n.show()));
            }
            Err(Box::new(d.help("enlarge the axis, or narrow the index type")))
        }
        _ => Ok(()),
    }
}

/// `x` with `axis` replaced by the axes of `idx`. An index outside the axis reads 0.
pub fn gather(el: &mut Elab<'_>, t: &Tensor, idx: &Opd, axis: usize, span: Span) -> TR<Tensor> {
    if dtype::tensor(el, idx).elem.dtype() == DType::Bool {
        return Err(Box::new(
            Diagnostic::error("E0202", idx.span, "a mask cannot select: the size of the result would depend on data")
                .help("keep the shape: `where(mask, x, 0)`, or weigh a mean: `mean(x, weight: mask)`"),
        ));
    }
    let (i, bound) = dtype::index(el, idx, "an index")?;
    check_range(t, axis, bound.as_ref(), idx.span)?;
    let mut dims = t.dims[..axis].to_vec();
    dims.extend(i.dims.iter().cloned());
    dims.extend(t.dims[axis + 1..].iter().cloned());
    super::arith::check_dims(&dims, span)?;
    // Every element is the same and indices are in range: the table need not be read.
    let uniform = el.uniform(t.id).filter(|_| bound.is_some());
    let id = match uniform {
        Some(x) => el.full(t.elem.dtype(), &dims, x),
        None => el.b.gather(t.id, i.id, axis as u32),
    };
    Ok(Tensor { id, elem: t.elem.clone(), dims })
}

/// `eq(iota, y)`: true at the index, one axis more than `y`.
fn hit(el: &mut Elab<'_>, y: &Tensor, classes: &Dim) -> (ValueId, Vec<Dim>) {
    let mut dims = y.dims.clone();
    dims.push(classes.clone());
    let shape = sizes(&dims);
    let axes: Vec<u32> = (0..y.dims.len() as u32).collect();
    let wide = el.b.broadcast(y.id, &shape, &axes);
    let count = el.b.iota(&shape, y.dims.len() as u32);
    (el.b.ew(Ew::Eq, &[count, wide]), dims)
}

/// `one_hot[C](y)`: bools, true at each index.
pub fn one_hot(el: &mut Elab<'_>, y: &Opd, classes: Dim, span: Span) -> TR<Tensor> {
    let (t, _) = dtype::index(el, y, "`one_hot`")?;
    let mut all = t.dims.clone();
    all.push(classes.clone());
    super::arith::check_dims(&all, span)?;
    let (id, dims) = hit(el, &t, &classes);
    Ok(el.plain(id, dims))
}

/// `pick(x, y)`: the element of the last axis at each index, as a masked sum, which fuses with what makes `x`.
pub fn pick(el: &mut Elab<'_>, x: &Opd, y: &Opd, span: Span) -> TR<Tensor> {
    let t = dtype::tensor(el, x);
    let (i, bound) = dtype::index(el, y, "`pick`")?;
    let Some((last, lead)) = t.dims.split_last() else {
        return fail("E0117", x.span, "`pick` needs at least one axis to pick from");
    };
    el.picked(last, bound.as_ref());
    check_range(&t, lead.len(), bound.as_ref(), y.span)?;
    if sizes(lead) != sizes(&i.dims) {
        return Err(Box::new(
            Diagnostic::error("E0103", span, "`pick` needs one index for each row")
                .label(x.span, format!("this is {}", show_dims(&t.dims)))
                .label(y.span, format!("this is {}, not {}", show_dims(&i.dims), show_dims(lead)))
                .help("the index has the shape of the first operand without its last axis"),
        ));
    }
    let (mask, _) = hit(el, &i, last);
    if t.elem.dtype() == DType::Bool {
        let id = el.b.ew(Ew::And, &[mask, t.id]);
        let kept = Tensor { id, ..t.clone() };
        return Ok(super::reduce::reduce(el, super::reduce::Red::Any, &kept, &[lead.len()], false));
    }
    let zero = el.b.zeros_like(t.id);
    let kept = el.b.ew(Ew::Select, &[mask, t.id, zero]);
    let id = el.b.reduce(ReduceKind::Sum, kept, &[lead.len() as u32]);
    Ok(Tensor { id, elem: t.elem, dims: lead.to_vec() })
}

/// Rows of `x` added up by index into `n` rows; an index outside is dropped.
pub fn segment_sum(el: &mut Elab<'_>, x: &Opd, ids: &Opd, n: Dim, span: Span) -> TR<Tensor> {
    let t = dtype::tensor(el, x);
    let t = super::reduce::prepare(el, super::reduce::Red::Sum, &t);
    let (i, bound) = dtype::index(el, ids, "`segment_sum`")?;
    if t.dims.len() < i.dims.len() || sizes(&t.dims[..i.dims.len()]) != sizes(&i.dims) {
        return Err(Box::new(
            Diagnostic::error("E0103", span, "one index is needed for each row")
                .label(x.span, format!("this is {}", show_dims(&t.dims)))
                .label(ids.span, format!("this is {}", show_dims(&i.dims)))
                .help("the first axes of the values must be those of the indices"),
        ));
    }
    let mut dims = vec![n];
    dims.extend(t.dims[i.dims.len()..].iter().cloned());
    super::arith::check_dims(&dims, span)?;
    let table = Tensor { id: el.full(t.elem.dtype(), &dims, 0.0), elem: Elem::Plain(t.elem.dtype()), dims };
    check_range(&table, 0, bound.as_ref(), ids.span)?;
    let id = el.b.scatter(ScatterKind::Add, table.id, i.id, t.id, 0);
    Ok(Tensor { id, ..table })
}

/// `x[items] = value` as a new tensor: positions may be static or known only at run time.
pub fn update(
    el: &mut Elab<'_>,
    base: &Tensor,
    items: &[Ix],
    value: (&Value, Span),
    span: Span,
    env: &Env,
) -> R<Tensor> {
    let list = entries(el, &base.dims, items, span)?;
    el.span_nodes(span);
    let zero = el.b.scalar(DType::I32, 0.0);
    let (mut starts, mut part, mut axis) = (vec![], vec![], 0);
    let mut kept = vec![];
    for item in list {
        let dim = base.dims[axis.min(base.dims.len().saturating_sub(1))].clone();
        match item {
            None => {
                starts.push(zero);
                part.push(dim.size);
                kept.push(dim);
            }
            Some(Ix::At(e)) => {
                let s = el.ast.span(*e);
                let v = el.eval(*e, env)?;
                let at = match Num::of(&v) {
                    Some(Num::Int(i)) => {
                        let mut probe = base.clone();
                        take_static(el, &mut probe, axis, i, s)?;
                        let i = if i < 0 { i + dim.size as i64 } else { i };
                        el.b.scalar(DType::I32, i as f64)
                    }
                    _ => {
                        let o = el.operand(&v, s)?;
                        let r = scalar_index(el, &o);
                        el.failed(r)?
                    }
                };
                starts.push(at);
                part.push(1);
            }
            Some(ix) => {
                let s = ix_span(el, ix);
                return Err(el.limit(s, "slices on the left of `=`"));
            }
        }
        axis += 1;
    }
    let v = el.as_tensor(value.0, Some(base.elem.dtype()), value.1)?;
    let Some(v) = super::widen(el, &v, &base.elem) else {
        let (a, b) = (v.show(), base.show());
        return el.err("E0202", value.1, format!("{a} cannot be stored in {b}"));
    };
    let v = super::broadcast_to(el, &v, &kept, value.1)?;
    let u = el.b.reshape(v.id, &part);
    let mut inputs = vec![base.id, u];
    inputs.extend(starts);
    let id = el.b.op(Op::DynUpdate, &inputs);
    Ok(Tensor { id, ..base.clone() })
}
