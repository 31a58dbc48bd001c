//! `x[b, s*i + u, y[j]]` inside a comprehension.
//!
//! In: the tensor and one index per axis. Out: the tensor over index variables. An axis that one variable walks through
//! alone is a (strided) slice, one that several variables walk through, `s*i + u`, is a window, so that convolutions and
//! pooling stay affine; everything else is a gather by computed positions.

use super::ranges::{self, Affine};
use super::{align, union, vars_of};
use crate::diag::Diagnostic;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ty::MAX_RANK;
use crate::sema::calls::count;
use crate::sema::cx::{Elab, Env, R};
use crate::sema::tensor::{Opd, dtype, index, shape, sizes};
use crate::sema::value::{Dim, Tensor, Value};
use crate::source::Span;
use crate::syntax::ast::{ExprId, Ix};
use nn_runtime::dtype::DType;

/// What stands at one axis.
#[derive(Clone)]
enum At {
    /// An affine form over index variables.
    Affine(Affine, Span),
    /// Positions known at run time.
    Data(Tensor, Span),
}

/// The access, or `None` if what is indexed is no tensor.
pub(super) fn access(el: &mut Elab<'_>, base: ExprId, items: &[Ix], span: Span, env: &Env) -> R<Option<Value>> {
    let Some(frame) = el.comp.clone() else { return Ok(None) };
    let t = match frame.bases.get(&base) {
        Some(t) => t.clone(),
        None => {
            // Not seen before: a name bound inside the body, or no tensor at all.
            let kept = el.comp.take();
            let v = el.eval(base, &ranges::outside(env));
            el.comp = kept;
            match v? {
                Value::Tensor(t) if t.dims.iter().any(|d| frame.var_of(d.id).is_some()) => {
                    return el.err("E0117", span, "this is one element already and cannot be indexed");
                }
                Value::Tensor(t) => t,
                _ => return Ok(None),
            }
        }
    };
    if !items.iter().any(|i| matches!(i, Ix::Row(..))) && items.len() != t.dims.len() {
        return el.err("E0117", span, format!("{} into {}", count(items.len(), "index"), t.show()));
    }
    let mut ats: Vec<At> = vec![];
    for item in items {
        match item {
            Ix::Row(..) => {
                for &v in frame.row.iter().flatten() {
                    let form = Affine { terms: [(v, 1)].into_iter().collect(), constant: 0 };
                    ats.push(At::Affine(form, span));
                }
            }
            Ix::At(e) => {
                let s = el.ast.span(*e);
                let form = ranges::affine(el, *e, env, &frame)?;
                ats.push(match form {
                    Some(form) => At::Affine(form, s),
                    None => {
                        let v = el.eval(*e, env)?;
                        let o = el.operand(&v, s)?;
                        let r = dtype::index(el, &o, "an index");
                        let (i, bound) = el.failed(r)?;
                        let r = index::check_range(&t, ats.len(), bound.as_ref(), s);
                        el.failed(r)?;
                        At::Data(i, s)
                    }
                });
            }
            Ix::New(_) | Ix::Slice { .. } | Ix::Window { .. } => {
                return el.err("E0117", span, "inside a comprehension every axis takes one index");
            }
        }
    }
    el.span_nodes(span);
    lower(el, &t, ats, span).map(|t| Some(Value::Tensor(t)))
}

/// Smallest and largest position of an affine form.
fn reach(el: &Elab<'_>, form: &Affine) -> (i64, i64) {
    let (mut low, mut high) = (form.constant, form.constant);
    let Some(frame) = &el.comp else { return (low, high) };
    for (&v, &c) in &form.terms {
        let far = c.saturating_mul(frame.vars[v].dim.size.saturating_sub(1) as i64);
        low = low.saturating_add(far.min(0));
        high = high.saturating_add(far.max(0));
    }
    (low, high)
}

fn in_range(el: &mut Elab<'_>, form: &Affine, dim: &Dim, span: Span) -> R<()> {
    let (mut low, mut high) = reach(el, form);
    if form.terms.is_empty() && low < 0 {
        (low, high) = (low + dim.size as i64, high + dim.size as i64);
    }
    let empty = form.terms.keys().any(|&v| el.comp.as_ref().is_some_and(|f| f.vars[v].dim.size == 0));
    if empty || (low >= 0 && high < dim.size as i64) {
        return Ok(());
    }
    let what = el.text(span).to_owned();
    let bad = if low < 0 { low } else { high };
    let d = Diagnostic::error("E0107", span, format!("window does not fit: `{what}` reaches {bad}"))
        .here(format!("the axis is {}", dim.show()))
        .help("pad the operand, or bound the index: `i < N`");
    Err(el.error(d))
}

fn lower(el: &mut Elab<'_>, t: &Tensor, ats: Vec<At>, span: Span) -> R<Tensor> {
    for (at, dim) in ats.iter().zip(&t.dims) {
        if let At::Affine(form, s) = at {
            in_range(el, form, dim, *s)?;
        }
    }
    // An axis is simple if variables that no other axis uses walk through it; or if it is a constant.
    let mut simple: Vec<bool> = ats.iter().map(|a| matches!(a, At::Affine(f, _) if walks(el, f))).collect();
    loop {
        let mut taken: Vec<usize> = vec![];
        for (at, s) in ats.iter().zip(&simple) {
            match at {
                At::Affine(f, _) if !s => taken.extend(f.terms.keys()),
                At::Data(i, _) => taken.extend(vars_of(el, i)),
                At::Affine(..) => {}
            }
        }
        let mut changed = false;
        let mut seen: Vec<usize> = vec![];
        for (at, s) in ats.iter().zip(simple.iter_mut()) {
            let At::Affine(f, _) = at else { continue };
            if *s {
                if f.terms.keys().any(|v| taken.contains(v) || seen.contains(v)) {
                    *s = false;
                    changed = true;
                }
                seen.extend(f.terms.keys());
            }
        }
        if !changed {
            break;
        }
    }
    // Each further variable of an axis is an axis more while windows are made.
    let mut rank = ats.len();
    for (at, s) in ats.iter().zip(simple.iter_mut()) {
        if let (At::Affine(f, _), true) = (at, *s) {
            let more = f.terms.len().saturating_sub(1);
            *s = more == 0 || rank + more <= MAX_RANK;
            rank += if *s { more } else { 0 };
        }
    }
    let mut id = t.id;
    let mut dims = t.dims.clone();
    for (axis, at) in ats.iter().enumerate() {
        if let (At::Affine(form, _), true) = (at, simple[axis]) {
            let dim = dims[axis].clone();
            let (walked, vars) = walk_axis(el, id, axis, form, &dim, span)?;
            id = walked;
            let mut vars = vars.into_iter();
            dims[axis] = vars.next().unwrap_or(dim);
            dims.extend(vars);
        }
    }
    // Constant axes have become 1 and vanish; the others are left as they are.
    let constant = |a: usize| matches!(&ats[a], At::Affine(f, _) if f.terms.is_empty());
    let complex: Vec<usize> = (0..ats.len()).filter(|&a| !simple[a]).collect();
    let within = ats.len()..dims.len();
    let keep: Vec<usize> = (0..ats.len()).filter(|&a| simple[a] && !constant(a)).chain(within).collect();
    if complex.is_empty() {
        let dims: Vec<Dim> = keep.iter().map(|&a| dims[a].clone()).collect();
        let id = el.b.reshape(id, &sizes(&dims));
        return Ok(Tensor { id, elem: t.elem.clone(), dims });
    }
    let (first, last) = (complex[0], complex[complex.len() - 1]);
    let together = last - first + 1 == complex.len();
    let (lead, tail): (Vec<usize>, Vec<usize>) =
        if together { keep.iter().copied().partition(|&a| a < first) } else { (vec![], keep.clone()) };
    // Complex axes side by side, then one axis of their product.
    let order: Vec<u32> = (0..ats.len())
        .filter(|a| constant(*a) && simple[*a])
        .chain(lead.iter().copied())
        .chain(complex.iter().copied())
        .chain(tail.iter().copied())
        .map(|a| a as u32)
        .collect();
    id = el.b.permute(id, &order);
    let joined: u64 = complex.iter().map(|&a| t.dims[a].size).product();
    let mut flat: Vec<u64> = lead.iter().map(|&a| dims[a].size).collect();
    flat.push(joined);
    flat.extend(tail.iter().map(|&a| dims[a].size));
    id = el.b.reshape(id, &flat);
    let idx = positions(el, t, &ats, &complex, span)?;
    id = el.b.gather(id, idx.id, lead.len() as u32);
    let mut out: Vec<Dim> = lead.iter().map(|&a| dims[a].clone()).collect();
    out.extend(idx.dims);
    out.extend(tail.iter().map(|&a| dims[a].clone()));
    el.check_shape(&out, span)?;
    Ok(Tensor { id, elem: t.elem.clone(), dims: out })
}

/// Do variables walk through an axis so that windows describe it?
fn walks(el: &Elab<'_>, form: &Affine) -> bool {
    let runs = |(&v, &c): (&usize, &i64)| c != 0 && el.comp.as_ref().is_some_and(|f| f.vars[v].dim.size > 0);
    form.terms.len() <= 1 || form.terms.iter().all(runs)
}

/// One axis by `c*v + d*w + k`: a slice for the first variable of the iteration space, at its place; a window for each
/// other one, its axis behind all axes; reversed where a factor is negative. By a constant: a slice of one.
fn walk_axis(
    el: &mut Elab<'_>,
    id: ValueId,
    axis: usize,
    form: &Affine,
    dim: &Dim,
    span: Span,
) -> R<(ValueId, Vec<Dim>)> {
    let vars = union(el, &[form.terms.keys().copied().collect()]);
    let Some((&first, others)) = vars.split_first() else {
        let k = if form.constant < 0 { form.constant + dim.size as i64 } else { form.constant } as u64;
        let one = Dim { size: 1, ..dim.clone() };
        return Ok((shape::slice_axis(el, id, axis, k, k + 1, 1), vec![one]));
    };
    let dims: Vec<Dim> = match &el.comp {
        Some(f) => vars.iter().map(|&v| f.vars[v].dim.clone()).collect(),
        None => vec![dim.clone(); vars.len()],
    };
    if dims[0].size == 0 {
        return Ok((shape::slice_axis(el, id, axis, 0, 0, 1), dims));
    }
    let (low, high) = reach(el, form);
    let step = form.terms[&first].unsigned_abs();
    let by = if others.is_empty() { step } else { 1 };
    let mut id = shape::slice_axis(el, id, axis, low as u64, high as u64 + 1, by);
    for (i, v) in others.iter().enumerate() {
        let step = if i + 1 == others.len() { step } else { 1 };
        // Of several variables the first ones come in steps of one: more frames than are left in the end.
        let mut whole: Vec<Dim> = el.b.shape(id).iter().map(|&n| el.nameless(n)).collect();
        let reach = form.terms[v].unsigned_abs() * (dims[i + 1].size - 1);
        whole[axis] = el.nameless(((whole[axis].size - 1 - reach) / step) + 1);
        whole.push(el.nameless(dims[i + 1].size));
        el.check_shape(&whole, span)?;
        id = el.b.window(id, axis, dims[i + 1].size, step, form.terms[v].unsigned_abs());
    }
    let rank = el.b.shape(id).len();
    let place = |i: usize| if i == 0 { axis } else { rank - vars.len() + i } as u32;
    let back: Vec<u32> = (0..vars.len())
        .filter(|&i| form.terms[&vars[i]] < 0 && !nn_runtime::mutant!("sema.access_reverse"))
        .map(place)
        .collect();
    Ok((el.b.reverse(id, &back), dims))
}

/// Positions in the joined complex axes, over the variables they use.
fn positions(el: &mut Elab<'_>, t: &Tensor, ats: &[At], complex: &[usize], span: Span) -> R<Tensor> {
    let mut sets: Vec<Vec<usize>> = vec![];
    for &a in complex {
        sets.push(match &ats[a] {
            At::Affine(f, _) => f.terms.keys().copied().collect(),
            At::Data(i, _) => vars_of(el, i),
        });
    }
    let vars = union(el, &sets);
    let Some(frame) = el.comp.clone() else {
        return el.err("E0117", span, "an access outside of a comprehension");
    };
    let dims: Vec<Dim> = vars.iter().map(|&v| frame.vars[v].dim.clone()).collect();
    el.check_shape(&dims, span)?;
    let space = sizes(&dims);
    let mut total: Option<ValueId> = None;
    let mut inside: Option<ValueId> = None;
    let splat = |el: &mut Elab<'_>, k: i64| el.full(DType::I32, &dims, k as f64);
    for (n, &a) in complex.iter().enumerate() {
        let here = match &ats[a] {
            At::Affine(f, _) => {
                let mut sum: Option<ValueId> = None;
                for (&v, &c) in &f.terms {
                    let Some(axis) = vars.iter().position(|&w| w == v) else { continue };
                    let mut term = el.b.iota(&space, axis as u32);
                    if c != 1 {
                        let k = splat(el, c);
                        term = el.b.ew(Ew::Mul, &[term, k]);
                    }
                    sum = Some(sum.map_or(term, |s| el.b.ew(Ew::Add, &[s, term])));
                }
                match (sum, f.constant) {
                    (Some(s), 0) => s,
                    (Some(s), c) => {
                        let k = splat(el, c);
                        el.b.ew(Ew::Add, &[s, k])
                    }
                    (None, c) => splat(el, c),
                }
            }
            At::Data(i, s) => {
                let wide = align(el, i, &vars, *s)?.id;
                // A position outside of its own axis must not run into the next row of the joined axis.
                if complex.len() > 1
                    && !nn_runtime::mutant!("sema.access_mask")
                    && !matches!(i.elem, crate::sema::value::Elem::Idx(_))
                {
                    let (zero, n) = (splat(el, 0), splat(el, t.dims[a].size as i64));
                    let ge = el.b.ew(Ew::Ge, &[wide, zero]);
                    let lt = el.b.ew(Ew::Lt, &[wide, n]);
                    let ok = el.b.ew(Ew::And, &[ge, lt]);
                    inside = Some(inside.map_or(ok, |p| el.b.ew(Ew::And, &[p, ok])));
                }
                wide
            }
        };
        let stride: u64 = complex[n + 1..]
            .iter()
            .take(if nn_runtime::mutant!("sema.access_stride") { 1 } else { 9 })
            .map(|&b| t.dims[b].size)
            .product();
        let here = if stride == 1 {
            here
        } else {
            let k = splat(el, stride as i64);
            el.b.ew(Ew::Mul, &[here, k])
        };
        total = Some(total.map_or(here, |p| el.b.ew(Ew::Add, &[p, here])));
    }
    let id = match (total, inside) {
        (Some(p), None) => p,
        (Some(p), Some(ok)) => {
            let out = splat(el, -1);
            el.b.ew(Ew::Select, &[ok, p, out])
        }
        (None, _) => splat(el, 0),
    };
    let r: Opd = Opd::new(el.plain(id, dims), span);
    Ok(dtype::tensor(el, &r))
}
