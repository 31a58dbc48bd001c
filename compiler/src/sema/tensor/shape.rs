//! Functions that move elements without computing: reshape, split, cat, stack, repeat, pad, roll.

use super::dtype::{Want, meet, to_dtype};
use super::{Opd, TR, fail, sizes};
use crate::diag::Diagnostic;
use crate::graph::graph::ValueId;
use crate::graph::ops::Op;
use crate::graph::ty::Shape;
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Elem, Tensor, show_dims};
use crate::source::Span;

/// An entry of a shape list.
#[derive(Clone, Debug)]
pub enum Size {
    /// A size, with its name where it has one.
    Dim(Dim),
    /// `_`
    Infer(Span),
}

fn product(dims: &[Dim]) -> u64 {
    dims.iter().map(|d| d.size).product()
}

/// `3136*B`: a product with names, numbers gathered in front.
fn show_product(dims: &[Dim]) -> String {
    let n: u64 = dims.iter().filter(|d| d.name.is_none()).map(|d| d.size).product();
    let names: Vec<&str> = dims.iter().filter_map(|d| d.name.as_deref()).collect();
    match (n, names.is_empty()) {
        (n, true) => n.to_string(),
        (1, false) => names.join("*"),
        (n, false) => format!("{n}*{}", names.join("*")),
    }
}

/// `reshape(x, shape)`; one entry may be `_`.
pub fn reshape(el: &mut Elab<'_>, t: &Tensor, shape: &[Size], span: Span) -> TR<Tensor> {
    let total = product(&t.dims);
    let mut known = 1u64;
    let mut hole = None;
    for (i, s) in shape.iter().enumerate() {
        match s {
            Size::Dim(d) => match known.checked_mul(d.size) {
                Some(k) => known = k,
                None => return fail("E0902", span, "the shape is too large"),
            },
            Size::Infer(at) => {
                if hole.is_some() {
                    return fail("E0106", *at, "cannot infer two `_` in one shape")
                        .map_err(|d: super::Fail| Box::new(d.help("give all sizes but one")));
                }
                hole = Some(i);
            }
        }
    }
    let fits = match hole {
        None => known == total,
        Some(_) => known != 0 && total.is_multiple_of(known),
    };
    if !fits {
        let given: Vec<Dim> =
            shape.iter().filter_map(|s| if let Size::Dim(d) = s { Some(d.clone()) } else { None }).collect();
        let entry = |s: &Size| match s {
            Size::Dim(d) => d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned),
            Size::Infer(_) => "_".to_owned(),
        };
        let to = format!("[{}]", shape.iter().map(entry).collect::<Vec<_>>().join(", "));
        let (have, want) = (show_product(&t.dims), show_product(&given));
        let mut d = Diagnostic::error(
            "E0110",
            span,
            format!(
                "reshape changes the number of elements: {} has {have}, {to} has {}{want}",
                show_dims(&t.dims),
                if hole.is_some() { "a multiple of " } else { "" }
            ),
        );
        if have != total.to_string() || want != known.to_string() {
            d = d.note(format!("{have} = {total}, {want} = {known}"));
        }
        let lead = shape.iter().take(shape.len().saturating_sub(1));
        let lead: Vec<u64> = lead.filter_map(|s| if let Size::Dim(d) = s { Some(d.size) } else { None }).collect();
        let p: u64 = lead.iter().product();
        if hole.is_none() && p > 0 && total.is_multiple_of(p) && !lead.is_empty() {
            let mut names: Vec<String> = shape[..shape.len() - 1].iter().map(entry).collect();
            names.push("_".into());
            d = d.help(format!("write `reshape(x, [{}])`, where `_` becomes {}", names.join(", "), total / p));
        }
        return Err(Box::new(d));
    }
    let mut dims = vec![];
    for (i, s) in shape.iter().enumerate() {
        dims.push(match s {
            Size::Dim(d) => d.clone(),
            Size::Infer(_) => {
                let size = total / known;
                let from_end = (t.dims.len() + i).checked_sub(shape.len());
                let same =
                    [Some(i), from_end].into_iter().flatten().filter_map(|j| t.dims.get(j)).find(|d| d.size == size);
                match same {
                    Some(d) => d.clone(),
                    None => el.nameless(size),
                }
            }
        });
    }
    super::arith::check_dims(&dims, span)?;
    let id = el.reshape(t.id, &sizes(&dims));
    Ok(Tensor { id, elem: t.elem.clone(), dims })
}

/// Joins the axes from `from` on into one.
pub fn flatten(el: &mut Elab<'_>, t: &Tensor, from: usize) -> Tensor {
    if t.dims.len() <= from + 1 {
        return t.clone();
    }
    let n = product(&t.dims[from..]);
    let mut dims = t.dims[..from].to_vec();
    dims.push(el.nameless(n));
    let id = el.reshape(t.id, &sizes(&dims));
    Tensor { id, elem: t.elem.clone(), dims }
}

/// `start .. stop` along one axis.
pub fn slice_axis(el: &mut Elab<'_>, v: ValueId, axis: usize, start: u64, stop: u64, step: u64) -> ValueId {
    let shape = el.b.shape(v);
    if start == 0 && stop == shape[axis] && step == 1 {
        return v;
    }
    let mut lo: Shape = shape.iter().map(|_| 0).collect();
    let mut hi = shape.clone();
    let mut by: Shape = shape.iter().map(|_| 1).collect();
    (lo[axis], hi[axis], by[axis]) = (start, stop, step);
    el.b.slice(v, &lo, &hi, &by)
}

/// Parts of the given sizes along an axis. The caller checks that they add up.
pub fn split(el: &mut Elab<'_>, t: &Tensor, parts: &[Dim], axis: usize) -> Vec<Tensor> {
    let mut at = 0;
    let mut out = vec![];
    for d in parts {
        let id = slice_axis(el, t.id, axis, at, at + d.size, 1);
        at += d.size;
        let mut dims = t.dims.clone();
        dims[axis] = d.clone();
        out.push(Tensor { id, elem: t.elem.clone(), dims });
    }
    out
}

/// Graph values with their dims, and the element type they share.
type Unified = (Vec<(ValueId, Vec<Dim>)>, Elem);

/// Operands of one dtype; an `idx` of one range stays one.
fn unify(el: &mut Elab<'_>, xs: &[Opd]) -> TR<Unified> {
    let Some((first, rest)) = xs.split_first() else {
        return Ok((vec![], Elem::Plain(el.float)));
    };
    let mut dtype = super::dtype::tensor(el, first).elem.dtype();
    let mut best = first.clone();
    for x in rest {
        dtype = meet(el.float, &best, x, Want::Same)?;
        if super::dtype::tensor(el, x).elem.dtype() == dtype {
            best = x.clone();
        }
    }
    let mut elem = Elem::Plain(dtype);
    let idx: Vec<Option<Dim>> = xs
        .iter()
        .map(|x| match &x.val {
            super::Val::Tensor(Tensor { elem: Elem::Idx(n), .. }) => Some(n.clone()),
            _ => None,
        })
        .collect();
    if let Some(Some(n)) = idx.first()
        && idx.iter().all(|m| m.as_ref().is_some_and(|m| m.size == n.size))
    {
        elem = Elem::Idx(n.clone());
    }
    Ok((xs.iter().map(|x| to_dtype(el, x, dtype)).collect(), elem))
}

/// One after another along an axis; the other axes must agree (E0108).
pub fn cat(el: &mut Elab<'_>, xs: &[Opd], axis: usize, span: Span) -> TR<Tensor> {
    let (vs, elem) = unify(el, xs)?;
    let first = &vs[0].1;
    for (i, (_, dims)) in vs.iter().enumerate().skip(1) {
        let bad = if dims.len() == first.len() {
            (0..dims.len()).find(|&a| a != axis && dims[a].size != first[a].size)
        } else {
            Some(usize::MAX)
        };
        if let Some(a) = bad {
            let what = match (first.get(a), dims.get(a)) {
                (Some(p), Some(q)) => format!("sizes differ: {} vs {}", p.size, q.size),
                _ => format!("numbers of axes differ: {} vs {}", first.len(), dims.len()),
            };
            return Err(Box::new(
                Diagnostic::error("E0108", span, format!("what `cat` joins does not fit: {what}"))
                    .label(xs[0].span, format!("this is {}", show_dims(first)))
                    .label(xs[i].span, format!("this is {}", show_dims(dims)))
                    .note(format!("all axes but axis {axis} must be equal"))
                    .help("slice or `pad` one of them to the other's size"),
            ));
        }
    }
    let mut dims = first.clone();
    let total = vs.iter().map(|(_, d)| d[axis].size).sum();
    dims[axis] = if vs.len() == 1 { dims[axis].clone() } else { el.nameless(total) };
    super::arith::check_dims(&dims, span)?;
    let ids: Vec<ValueId> = vs.iter().map(|(v, _)| *v).collect();
    let id = el.b.concat(&ids, axis as u32);
    Ok(Tensor { id, elem, dims })
}

/// Along a new axis; all shapes must be equal.
pub fn stack(el: &mut Elab<'_>, xs: &[Opd], axis: usize, span: Span) -> TR<Tensor> {
    let (vs, elem) = unify(el, xs)?;
    let first = vs[0].1.clone();
    for (i, (_, dims)) in vs.iter().enumerate() {
        if sizes(dims) != sizes(&first) {
            return Err(Box::new(
                Diagnostic::error(
                    "E0108",
                    span,
                    format!("what `stack` joins does not fit: {} vs {}", show_dims(&first), show_dims(dims)),
                )
                .label(xs[0].span, format!("this is {}", super::broadcast::sized(&first)))
                .label(xs[i].span, format!("this is {}", super::broadcast::sized(dims)))
                .note("all shapes must be equal"),
            ));
        }
    }
    let mut dims = first;
    dims.insert(axis, el.nameless(vs.len() as u64));
    super::arith::check_dims(&dims, span)?;
    let mut unit = sizes(&dims);
    unit[axis] = 1;
    let ids: Vec<ValueId> = vs.iter().map(|(v, _)| el.b.reshape(*v, &unit)).collect();
    let id = el.b.concat(&ids, axis as u32);
    Ok(Tensor { id, elem, dims })
}

/// Every element `n` times in a row along an axis.
pub fn repeat(el: &mut Elab<'_>, t: &Tensor, n: u64, axis: usize, span: Span) -> TR<Tensor> {
    let mut dims = t.dims.clone();
    let Some(size) = dims[axis].size.checked_mul(n) else {
        return fail("E0902", span, "the tensor is too large");
    };
    dims[axis] = el.nameless(size);
    super::arith::check_dims(&dims, span)?;
    let mut spread = t.dims.clone();
    spread.insert(axis + 1, el.nameless(n));
    super::arith::check_dims(&spread, span)?;
    let wide = sizes(&spread);
    let axes: Vec<u32> = (0..wide.len() as u32).filter(|&a| a != axis as u32 + 1).collect();
    let id = el.b.broadcast(t.id, &wide, &axes);
    let id = el.b.reshape(id, &sizes(&dims));
    Ok(Tensor { id, elem: t.elem.clone(), dims })
}

/// How many elements padding adds to an axis.
#[derive(Clone, Copy, Default)]
pub struct Around {
    /// Before the first.
    pub before: u64,
    /// After the last.
    pub after: u64,
    /// Between any two.
    pub between: u64,
}

/// `lo` and `hi` elements of a value around each axis.
pub fn pad(el: &mut Elab<'_>, t: &Tensor, around: &[Around], fill: f64, span: Span) -> TR<Tensor> {
    let mut dims = vec![];
    let mut around = around.to_vec();
    if nn_runtime::mutant!("sema.pad_between") {
        around.iter_mut().for_each(|a| a.between = 0);
    }
    for (d, a) in t.dims.iter().zip(&around) {
        let gaps = a.between.checked_mul(d.size.saturating_sub(1));
        let size = gaps.and_then(|g| d.size.checked_add(g)?.checked_add(a.before)?.checked_add(a.after));
        let Some(size) = size else {
            return fail("E0902", span, "the tensor is too large");
        };
        dims.push(el.resized(d, size));
    }
    super::arith::check_dims(&dims, span)?;
    let dtype = t.elem.dtype();
    let none = dims.iter().zip(&t.dims).all(|(d, before)| d.size == before.size);
    let (least, greatest) = crate::graph::tensor::range(dtype);
    if dtype.is_int() && (fill.fract() != 0.0 || !(least..=greatest).contains(&fill)) {
        return fail("E0208", span, format!("{fill} does not fit {dtype}"));
    }
    let elem = match &t.elem {
        Elem::Idx(n) if !none && fill < 0.0 => {
            let d =
                Diagnostic::error("E0111", span, format!("padding with {fill}, which is outside idx<{}>", n.show()));
            return Err(Box::new(d.help("pad plain numbers: convert with `as i32` before")));
        }
        // A class of its own for what is padded: one more than there were, or as many as it takes.
        Elem::Idx(n) if !none && fill >= n.size as f64 => Elem::Idx(el.nameless(fill as u64 + 1)),
        elem => elem.clone(),
    };
    let fill = el.constant(dtype, fill);
    let part = |f: fn(&Around) -> u64| around.iter().map(f).collect::<Vec<u64>>();
    let (lo, hi, between) = (part(|a| a.before), part(|a| a.after), part(|a| a.between));
    let id = if none { t.id } else { el.b.pad(t.id, fill, &lo, &hi, &between) };
    Ok(Tensor { id, elem, dims })
}

/// Moves elements by `shift` along an axis; those that leave come in at the other end.
pub fn roll(el: &mut Elab<'_>, t: &Tensor, shift: i64, axis: usize) -> Tensor {
    let n = t.dims[axis].size;
    if n == 0 {
        return t.clone();
    }
    let cut = n - shift.rem_euclid(n as i64) as u64;
    if cut == n {
        return t.clone();
    }
    let tail = slice_axis(el, t.id, axis, cut, n, 1);
    let head = slice_axis(el, t.id, axis, 0, cut, 1);
    let id = el.b.concat(&[tail, head], axis as u32);
    Tensor { id, elem: t.elem.clone(), dims: t.dims.clone() }
}

/// Reverses an axis.
pub fn reverse(el: &mut Elab<'_>, t: &Tensor, axis: usize) -> Tensor {
    let id = el.b.op(Op::Reverse([axis as u32].into_iter().collect()), &[t.id]);
    Tensor { id, elem: t.elem.clone(), dims: t.dims.clone() }
}
