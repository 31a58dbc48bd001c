//! Functions that place elements: shapes, joins, gathers.

use super::{Builtin, row};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{ArgKind, ReduceKind};
use crate::sema::args::{Args, written};
use crate::sema::calls::count;
use crate::sema::cx::{Elab, R, Reported};
use crate::sema::signature::{Brackets, Form, Kind, dims, key, need, or, rest, sig, sized};
use crate::sema::tensor::shape::{self, Size};
use crate::sema::tensor::{Num, Opd, axes, dtype, index, make, reduce};
use crate::sema::value::{Dim, Elem, Tensor, Value, show_dims};
use crate::source::Span;
use nn_runtime::dtype::DType;

const IDS: &[Form] = &[&[need("x", Kind::Tensor), need("ids", Kind::Ids)]];

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sig("reshape", &[&[need("x", Kind::Tensor), need("shape", Kind::Sizes)]]),
        "The same elements in row-major order under another shape; one size may be `_`: [..S] -> [..].",
        "close(reshape([1.0, 2.0, 3.0, 4.0], [2, _]), [[1.0, 2.0], [3.0, 4.0]], 0)",
        reshape,
    ),
    row(
        sig("flatten", &[&[need("x", Kind::Tensor), or("from", Kind::Axis, "1")]]),
        "Joins the axes from `from` on: [B, ..S] -> [B, N].",
        "rank(flatten(ones[2, 3, 4])) == 2 and size(flatten(ones[2, 3, 4]), 1) == 12",
        flatten,
    ),
    row(
        sig("split", &[&[need("x", Kind::Tensor), need("parts", Kind::Parts), or("axis", Kind::Axis, "-1")]]),
        "Cuts an axis into equal parts, or into parts of given sizes: [..S] -> a tuple of tensors.",
        "let (a, b) = split([1.0, 2.0, 3.0, 4.0], 2); close(b, [3.0, 4.0], 0)",
        split,
    ),
    row(
        sig("cat", &[&[rest("xs", Kind::Tensor), key("axis", Kind::Axis, "-1")]]),
        "Joins tensors, or a list of them, along an axis of theirs: [.., N], [.., M] -> [.., N + M].",
        "close(cat([1.0, 2.0], [3.0]), [1.0, 2.0, 3.0], 0)",
        cat,
    ),
    row(
        sig("stack", &[&[rest("xs", Kind::Tensor), key("axis", Kind::Axis, "0")]]),
        "Joins tensors, or a list of them, along a new axis: [..S], [..S] -> [2, ..S].",
        "close(stack([1.0, 2.0], [3.0, 4.0]), [[1.0, 2.0], [3.0, 4.0]], 0)",
        stack,
    ),
    row(
        sig("repeat", &[&[need("x", Kind::Tensor), need("n", Kind::Size), or("axis", Kind::Axis, "-1")]]),
        "Every element `n` times in a row along an axis: [.., N] -> [.., N*n].",
        "close(repeat([1.0, 2.0], 2), [1.0, 1.0, 2.0, 2.0], 0)",
        repeat,
    ),
    row(
        sig(
            "pad",
            &[&[
                need("x", Kind::Tensor),
                rest("around", Kind::Pair),
                dims("N", Kind::Pair),
                key("value", Kind::Number, "0"),
            ]],
        ),
        "Adds elements before and after: of axes by dim name (`pad(x, T: (3, 0))`), or of the last axes in order: \
         [.., N] -> [.., before + N + after]. A third number is how many stand between any two: `(0, 0, 1)` makes \
         [a, b] to [a, 0, b].",
        "close(pad([1.0, 2.0], (1, 2), value: 9), [9.0, 1.0, 2.0, 9.0, 9.0], 0)",
        pad,
    ),
    row(
        sig("roll", &[&[need("x", Kind::Tensor), need("shift", Kind::Int), or("axis", Kind::Axis, "-1")]]),
        "Moves elements along an axis; those that leave come in at the other end: [..S] -> [..S].",
        "close(roll([1.0, 2.0, 3.0], 1), [3.0, 1.0, 2.0], 0)",
        roll,
    ),
    row(
        sig("rev", &[&[need("x", Kind::Tensor), or("axis", Kind::Axis, "0")]]),
        "Reverses an axis: [..S] -> [..S]; of a range or a list that list.",
        "close(rev([1.0, 2.0, 3.0]), [3.0, 2.0, 1.0], 0) and rev(0..3)[0] == 2",
        rev,
    ),
    row(
        sig("transpose", &[&[need("x", Kind::Tensor), need("order", Kind::Order)]]),
        "Axes in another order: axis i of the result is axis `order[i]` of x. `x.T` swaps the last two.",
        "size(transpose(ones[2, 3, 4], [2, 0, 1]), 0) == 4",
        transpose,
    ),
    row(
        sig("gather", &[&[need("x", Kind::Tensor), need("ids", Kind::Ids), or("axis", Kind::Axis, "0")]]),
        "`x` by index along an axis, as `x[ids]`: [V, ..], ids[..S] -> [..S, ..]; an index outside reads 0.",
        "close(gather([10.0, 20.0, 30.0], [2, 0]), [30.0, 10.0], 0)",
        gather,
    ),
    row(
        sig("pick", &[&[need("x", Kind::Tensor), need("ids", Kind::Ids)]]),
        "The element of the last axis at each index: [..S, C], idx<C>[..S] -> [..S].",
        "close(pick([[1.0, 2.0], [3.0, 4.0]], [1, 0]), [2.0, 3.0], 0)",
        pick,
    ),
    row(
        sized("one_hot", Brackets::One, &[&[need("ids", Kind::Ids)]]),
        "True at each index: idx<N>[..S] -> bool[..S, N].",
        "close(one_hot[3]([2, 0]) as f32, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], 0)",
        one_hot,
    ),
    row(
        sized("segment_sum", Brackets::One, IDS),
        "Rows of `x` added up by index: [E, ..S], idx<N>[E] -> [N, ..S].",
        "close(segment_sum[2]([1.0, 2.0, 3.0], [0, 1, 0]), [4.0, 2.0], 0)",
        segment,
    ),
    row(
        sized("scatter_add", Brackets::One, IDS),
        "As `segment_sum`, for indices that may lie outside: those rows are left out.",
        "close(scatter_add[2]([1.0, 2.0, 3.0], [0, 5, 0]), [4.0, 0.0], 0)",
        segment,
    ),
    row(
        sig("top_k", &[&[need("x", Kind::Tensor), need("k", Kind::Int)]]),
        "The k largest elements of the last axis and their indices, largest first, of equal ones the earlier; \
         NaN counts as largest: [..S, N] -> ([..S, k], idx<N>[..S, k]).",
        "let (v, i) = top_k([1.0, 9.0, 5.0], 2); close(v, [9.0, 5.0], 0) and all(i == [1, 2])",
        top_k,
    ),
    row(
        sig("size", &[&[need("x", Kind::Tensor), or("axis", Kind::Axis, "all")]]),
        "Number of elements, or of one axis: a static int.",
        "size(ones[2, 3]) == 6 and size(ones[2, 3], -1) == 3",
        size,
    ),
    row(sig("rank", &[&[need("x", Kind::Tensor)]]), "Number of axes: a static int.", "rank(ones[2, 3]) == 2", rank),
];

fn tensor_out(el: &mut Elab<'_>, r: crate::sema::tensor::TR<Tensor>) -> R<Value> {
    el.failed(r).map(Value::Tensor)
}

fn reshape(el: &mut Elab<'_>, a: Args) -> R<Value> {
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
            v => Size::Dim(el.as_dim(v, s, "a size")?),
        });
    }
    let span = a.span;
    let r = shape::reshape(el, &t, &shape, span);
    tensor_out(el, r)
}

fn flatten(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, _) = a.tensor(el, "x")?;
    let from = match a.get("from") {
        Some((v, s)) => axes::axis(el, &t, &v, s, "flatten")?,
        None => usize::from(!t.dims.is_empty()),
    };
    Ok(Value::Tensor(shape::flatten(el, &t, from)))
}

fn split(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, ts) = a.tensor(el, "x")?;
    let (v, s) = a.value(el, "parts")?;
    let axis = a.axis(el, &t, "axis", "x")?;
    let dim = t.dims[axis].clone();
    let parts: Vec<Dim> = match &v {
        Value::List(items) => {
            let mut parts = vec![];
            for v in items.iter() {
                parts.push(el.as_dim(v, s, "a size")?);
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
            el.room(usize::try_from(n).unwrap_or(usize::MAX), "a tuple", s)?;
            vec![part; n as usize]
        }
    };
    let parts = shape::split(el, &t, &parts, axis);
    Ok(Value::Tuple(parts.into_iter().map(Value::Tensor).collect::<Vec<_>>().into()))
}

/// What is joined: the arguments, or the items of the one that is a list.
fn operands(el: &mut Elab<'_>, a: &Args) -> R<Vec<Opd>> {
    let mut items = a.all("xs");
    if let [(Value::List(list) | Value::Tuple(list), s)] = &items[..] {
        let (list, s) = (list.clone(), *s);
        items = list.iter().map(|v| (v.clone(), s)).collect();
    }
    if items.is_empty() {
        return Err(el.error(a.sig.wrong(a.span, format!("`{}` needs something to join", a.name()))));
    }
    items.iter().map(|(v, s)| el.operand(v, *s)).collect()
}

fn cat(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let xs = operands(el, &a)?;
    let first = dtype::tensor(el, &xs[0]);
    if xs.iter().all(|x| dtype::tensor(el, x).dims.is_empty()) {
        let d = Diagnostic::error("E0109", a.span, "`cat` joins along an axis, and these are numbers without one");
        let parts: Vec<(Value, Span)> = a.all("xs");
        let inner = parts.iter().map(|(_, s)| el.text(*s)).collect::<Vec<_>>().join(", ");
        let t = if parts.len() == 1 { crate::sema::foreign::stacked(&inner) } else { format!("stack({inner})") };
        return Err(el.error(d.fix(format!("numbers are stacked: `{t}`"), [Edit::replace(a.span, t)])));
    }
    let ranks: Vec<usize> = xs.iter().map(|x| dtype::tensor(el, x).dims.len()).collect();
    if ranks.contains(&0) && ranks.iter().all(|r| *r < 2) {
        return Err(numbers_first(el, &a, &ranks));
    }
    let (v, s) = a.value(el, "axis")?;
    let axis = axes::axis(el, &first, &v, s, &format!("cat(.., axis: {})", written(&v)))?;
    let r = shape::cat(el, &xs, axis, a.span);
    tensor_out(el, r)
}

/// Reports numbers beside vectors: those that stand side by side become a vector first.
fn numbers_first(el: &mut Elab<'_>, a: &Args, ranks: &[usize]) -> Reported {
    let d = Diagnostic::error("E0109", a.span, "`cat` joins along an axis, and some of these are numbers without one");
    let given = a.all("xs");
    let texts: Vec<&str> = match &given[..] {
        [(_, list)] => pieces(el.text(*list).trim_matches(['[', ']'])),
        parts => parts.iter().map(|(_, s)| el.text(*s)).collect(),
    };
    if texts.len() != ranks.len() {
        return el.error(d.help("numbers are stacked first: `stack(a, b)`"));
    }
    let mut runs: Vec<(bool, Vec<&str>)> = vec![];
    for (text, rank) in texts.into_iter().zip(ranks) {
        match runs.last_mut() {
            Some((true, run)) if *rank == 0 => run.push(text),
            _ => runs.push((*rank == 0, vec![text])),
        }
    }
    let part = |(numbers, run): (bool, Vec<&str>)| match numbers {
        true => format!("stack({})", run.join(", ")),
        false => run.concat(),
    };
    let t = format!("cat({})", runs.into_iter().map(part).collect::<Vec<_>>().join(", "));
    el.error(d.fix(format!("numbers are stacked first: `{t}`"), [Edit::replace(a.span, t)]))
}

/// What commas separate outside of brackets.
fn pieces(text: &str) -> Vec<&str> {
    let mut depth = 0i32;
    let parts = text.split(|c| {
        depth += i32::from(matches!(c, '(' | '[' | '{')) - i32::from(matches!(c, ')' | ']' | '}'));
        c == ',' && depth == 0
    });
    parts.map(str::trim).collect()
}

fn stack(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let xs = operands(el, &a)?;
    let n = dtype::tensor(el, &xs[0]).dims.len() as i64 + 1;
    let (i, (_, s)) = (a.int(el, "axis")?, a.value(el, "axis")?);
    let at = if i < 0 { i + n } else { i };
    if !(0..n).contains(&at) {
        let d = Diagnostic::error("E0109", s, format!("`stack`: the result has no axis {i}"));
        let parts = a.all("xs");
        // Of numbers the result has one axis, and there is nothing to choose.
        return Err(el.error(if n > 1 {
            d.note(format!("it has {}", crate::sema::calls::count(n as usize, "axis")))
        } else {
            let inner = parts.iter().map(|(_, s)| el.text(*s)).collect::<Vec<_>>().join(", ");
            let t = format!("stack({inner})");
            d.fix(format!("write `{t}`"), [Edit::replace(a.span, t)])
        }));
    }
    let r = shape::stack(el, &xs, at as usize, a.span);
    tensor_out(el, r)
}

fn repeat(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, _) = a.tensor(el, "x")?;
    let n = a.size(el, "n")?.size;
    let axis = a.axis(el, &t, "axis", "x")?;
    let span = a.span;
    let r = shape::repeat(el, &t, n, axis, span);
    tensor_out(el, r)
}

fn pad(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, ts) = a.tensor(el, "x")?;
    let fill = a.float(el, "value")?;
    let mut around = vec![shape::Around::default(); t.dims.len()];
    let (named, pos) = (a.named("N"), a.all("around"));
    for (id, v, s) in &named {
        let dim = el.lookup_dim(&id.text, id.span, &a.env.clone())?;
        let what = format!("pad(x, {}: ..)", id.text);
        let axis = axes::axis(el, &t, &Value::Dim(dim), id.span, &what)?;
        around[axis] = padding(el, v, *s)?;
    }
    if pos.len() > t.dims.len() {
        let n = pos.len();
        let d = Diagnostic::error(
            "E0117",
            pos[0].1,
            format!("`pad` of {}, the operand has {}", count(n, "axis"), t.dims.len()),
        )
        .label(ts, format!("this is {}", show_dims(&t.dims)));
        return Err(el.error(d));
    }
    let lead = t.dims.len() - pos.len();
    for (i, (v, s)) in pos.iter().enumerate() {
        around[lead + i] = padding(el, v, *s)?;
    }
    let span = a.span;
    let r = shape::pad(el, &t, &around, fill, span);
    tensor_out(el, r)
}

fn padding(el: &mut Elab<'_>, v: &Value, span: Span) -> R<shape::Around> {
    if let Value::Tuple(p) = v
        && let 2 | 3 = p.len()
    {
        let mut parts = [0; 3];
        for (part, v) in parts.iter_mut().zip(p.iter()) {
            let n = el.as_int(v, span, "padding")?;
            let Ok(n) = u64::try_from(n) else {
                let all: Vec<String> = p.iter().map(Value::show).collect();
                let all = all.join(", ");
                return el.err("E0209", span, format!("padding must not be negative, found ({all})"));
            };
            *part = n;
        }
        let [before, after, between] = parts;
        return Ok(shape::Around { before, after, between });
    }
    let d = Diagnostic::error("E0208", span, format!("padding is a pair (before, after), found {}", v.show()));
    Err(el.error(match v {
        Value::Int(n) => d.fix(format!("write `({n}, {n})`"), [Edit::replace(span, format!("({n}, {n})"))]),
        Value::List(l) if l.len() == 2 => {
            let t = format!("({})", el.text(span).trim_matches(['[', ']']));
            d.fix(format!("write `{t}`"), [Edit::replace(span, t)])
        }
        _ => d.help("write `(1, 1)`"),
    }))
}

fn roll(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, _) = a.tensor(el, "x")?;
    let shift = a.int(el, "shift")?;
    let axis = a.axis(el, &t, "axis", "x")?;
    Ok(Value::Tensor(shape::roll(el, &t, shift, axis)))
}

fn rev(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (v, s) = a.value(el, "x")?;
    let axis = a.get("axis");
    let out = match &v {
        Value::Range(lo, hi) => {
            let items = el.range(*lo, *hi, s)?;
            el.list(items.into_iter().rev().collect(), s)?
        }
        Value::List(items) if axis.is_none() => el.list(items.iter().rev().cloned().collect(), s)?,
        v => {
            let t = el.as_tensor(v, None, s)?;
            let (ax, s) = axis.unwrap_or((Value::Int(0), s));
            let i = axes::axis(el, &t, &ax, s, "rev")?;
            Value::Tensor(shape::reverse(el, &t, i))
        }
    };
    Ok(out)
}

fn transpose(el: &mut Elab<'_>, a: Args) -> R<Value> {
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

fn gather(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, _) = a.tensor(el, "x")?;
    let ids = a.operand(el, "ids")?;
    let axis = a.axis(el, &t, "axis", "x")?;
    let span = a.span;
    let r = index::gather(el, &t, &ids, axis, span);
    tensor_out(el, r)
}

fn pick(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let x = a.operand(el, "x")?;
    let y = a.operand(el, "ids")?;
    let span = a.span;
    let r = index::pick(el, &x, &y, span);
    tensor_out(el, r)
}

fn one_hot(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let c = a.one_dim(el)?;
    let y = a.operand(el, "ids")?;
    let span = a.span;
    let r = index::one_hot(el, &y, c, span);
    tensor_out(el, r)
}

fn segment(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let n = a.one_dim(el)?;
    let x = a.operand(el, "x")?;
    let ids = a.operand(el, "ids")?;
    let span = a.span;
    let r = index::segment_sum(el, &x, &ids, n, span);
    tensor_out(el, r)
}

/// Most elements that `top_k` picks: it takes one maximum after another.
const MAX_TOP: i64 = 64;

fn top_k(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let x = a.operand(el, "x")?;
    let ((kv, ks), k) = (a.value(el, "k")?, a.int(el, "k")?);
    let span = a.span;
    let t = dtype::tensor(el, &x);
    let t = if t.elem.dtype().is_int() { t } else { dtype::float(el, &x) };
    let Some(last) = t.dims.last().cloned() else {
        return el.err("E0117", x.span, "`top_k` needs at least one axis");
    };
    if k < 1 || k > last.size as i64 || k > MAX_TOP {
        let d = Diagnostic::error("E0209", ks, format!("`top_k` of {k} out of {}", last.show()))
            .note(format!("k is at least 1, at most the size of the axis, and at most {MAX_TOP}"));
        return Err(el.error(d));
    }
    let axis = t.dims.len() - 1;
    let shape = crate::sema::tensor::sizes(&t.dims);
    let lead: Vec<u32> = (0..axis as u32).collect();
    let count = el.b.iota(&shape, axis as u32);
    let low = el.b.splat_like(t.id, crate::graph::tensor::range(t.elem.dtype()).0);
    let (mut values, mut ids) = (vec![], vec![]);
    let mut taken: Option<ValueId> = None;
    for _ in 0..k {
        let i = match taken {
            None => reduce::arg(el, ArgKind::Max, &t, axis, false),
            Some(gone) => {
                // What is left may be all -inf, so a place counts only if it is not taken, whatever its value.
                let rest = el.b.ew(Ew::Select, &[gone, low, t.id]);
                let top = el.b.reduce(ReduceKind::Max, rest, &[axis as u32]);
                let top = el.b.broadcast(top, &shape, &lead);
                let mut hit = el.b.ew(Ew::Eq, &[t.id, top]);
                if t.elem.dtype().is_float() {
                    let (x, y) = (el.b.ew(Ew::Ne, &[t.id, t.id]), el.b.ew(Ew::Ne, &[top, top]));
                    let nan = el.b.ew(Ew::And, &[x, y]);
                    hit = el.b.ew(Ew::Or, &[hit, nan]);
                }
                let free = el.b.ew(Ew::Not, &[gone]);
                let id = el.b.ew(Ew::And, &[hit, free]);
                let hit = Tensor { id, elem: Elem::Plain(DType::Bool), dims: t.dims.clone() };
                reduce::arg(el, ArgKind::Max, &hit, axis, false)
            }
        };
        let at = Opd::new(i.clone(), span);
        let r = index::pick(el, &Opd::new(t.clone(), x.span), &at, span);
        values.push(Opd::new(el.failed(r)?, span));
        let wide = el.b.broadcast(i.id, &shape, &lead);
        let here = el.b.ew(Ew::Eq, &[count, wide]);
        taken = Some(taken.map_or(here, |gone| el.b.ew(Ew::Or, &[gone, here])));
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

fn size(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (v, s) = a.value(el, "x")?;
    if let (Value::List(items) | Value::Tuple(items), true) = (&v, a.get("axis").is_none())
        && items.iter().any(|v| Num::of(v).is_none())
    {
        return Ok(Value::Int(items.len() as i64));
    }
    let t = el.as_tensor(&v, None, s)?;
    let out = match a.get("axis") {
        Some((v, s)) => {
            let i = axes::axis(el, &t, &v, s, "size")?;
            Value::Dim(t.dims[i].clone())
        }
        None => Value::Int(t.dims.iter().map(|d| d.size as i64).product()),
    };
    Ok(out)
}

fn rank(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (t, _) = a.tensor(el, "x")?;
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
