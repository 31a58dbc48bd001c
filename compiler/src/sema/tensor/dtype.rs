//! The dtype rules: weak literals, float widening, bools as 0 and 1, and nothing else mixes.
//!
//! In: operands. Out: the dtype they meet at, and operands converted to it; E0202 where they do not meet.

use super::{Fail, Num, Opd, TR, Val};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::ValueId;
use crate::graph::ops::Op;
use crate::sema::cx::Elab;
use crate::sema::lists::{first_unfit, holds, unfit};
use crate::sema::value::{Dim, Elem, Tensor};
use nn_runtime::dtype::DType;

/// What an operand brings to the meeting.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Weak(Num),
    Strong(DType),
}

fn kind(o: &Opd) -> Kind {
    match &o.val {
        Val::Num(n) => Kind::Weak(*n),
        Val::Tensor(t) => Kind::Strong(t.elem.dtype()),
    }
}

fn mix(a: &Opd, b: &Opd, float: DType) -> Fail {
    let name = |o: &Opd| match &o.val {
        Val::Num(n) => n.show(),
        Val::Tensor(t) => t.elem.dtype().name().to_owned(),
    };
    let mut d = Diagnostic::error("E0202", a.span, format!("{} and {} do not mix", name(a), name(b)))
        .here(format!("this is {}", a.val.show()))
        .label(b.span, format!("this is {}", b.val.show()));
    let target = |o: &Opd| match &o.val {
        Val::Tensor(t) if t.elem.dtype().is_float() => Some(t.elem.dtype()),
        Val::Num(Num::Float(_)) => Some(float),
        _ => None,
    };
    // Class numbers beside numbers for each class.
    let classes = |ids: &Opd, scores: &Opd| match (&ids.val, &scores.val) {
        (Val::Tensor(i), Val::Tensor(s)) => match &i.elem {
            Elem::Idx(n) if s.dims.len() == i.dims.len() + 1 => {
                s.dims.last().is_some_and(|d| d.size == n.size).then_some(n.size)
            }
            _ => None,
        },
        _ => None,
    };
    let one_hot = classes(b, a).map(|n| (b.span, n, 1)).or_else(|| classes(a, b).map(|n| (a.span, n, 0)));
    if let Some((span, n, side)) = one_hot {
        let t = format!("one_hot[{n}]({{{side}}})");
        return Box::new(d.fix(format!("one number for each class: `{t}`"), [Edit::replace(span, t)]));
    }
    d = match (target(a), target(b)) {
        (Some(t), None) => d.fix(
            format!("convert the right operand: `{{1}} as {t}`"),
            [Edit::replace(b.span, format!("{{1}} as {t}"))],
        ),
        (None, Some(t)) => {
            d.fix(format!("convert the left operand: `{{0}} as {t}`"), [Edit::replace(a.span, format!("{{0}} as {t}"))])
        }
        _ => d.help("convert one of them with `as`"),
    };
    Box::new(d.note("floats widen and bools count as 0 and 1 by themselves; every other conversion is written"))
}

/// Whether operands are wanted as they are (comparison, selection) or as numbers (arithmetic).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Bools become numbers.
    Numbers,
    /// Bools may stay bools.
    Same,
    /// Floats; bools become floats, weak ints too. Int tensors are an error.
    Floats,
}

/// The wider of two floats; the two 16-bit formats meet at f32.
pub fn wider(a: DType, b: DType) -> DType {
    use DType::*;
    match (a, b) {
        (F64, _) | (_, F64) => F64,
        (a, b) if a == b => a,
        _ => F32,
    }
}

/// The dtype at which two operands meet; `float` is that of numbers where nothing else decides.
pub fn meet(float: DType, a: &Opd, b: &Opd, want: Want) -> TR<DType> {
    use DType::Bool;
    let weak_default = |n: Num| match n {
        Num::Int(_) => DType::I32,
        Num::Float(_) => float,
        Num::Bool(_) => Bool,
    };
    let strong_weak = |d: DType, n: Num| -> Option<DType> {
        match (d, n) {
            (d, _) if d.is_float() => Some(d),
            (Bool, Num::Bool(_)) => Some(Bool),
            (Bool, n) => Some(weak_default(n)),
            (_, Num::Float(_)) => None,
            (d, _) => Some(d),
        }
    };
    let dtype = match (kind(a), kind(b)) {
        (Kind::Strong(x), Kind::Strong(y)) => match (x, y) {
            (x, y) if x == y => Some(x),
            (x, y) if x.is_float() && y.is_float() => Some(wider(x, y)),
            (Bool, y) => Some(y),
            (x, Bool) => Some(x),
            _ => None,
        },
        (Kind::Strong(x), Kind::Weak(n)) => strong_weak(x, n),
        (Kind::Weak(n), Kind::Strong(x)) => strong_weak(x, n),
        (Kind::Weak(m), Kind::Weak(n)) => match (m, n) {
            (Num::Float(_), _) | (_, Num::Float(_)) => Some(float),
            (Num::Int(_), _) | (_, Num::Int(_)) => Some(DType::I32),
            _ => Some(Bool),
        },
    };
    for o in [a, b] {
        let Some(d) = dtype else { continue };
        let beyond = match &o.val {
            Val::Num(n) => Some(*n).filter(|n| !holds(d, *n)),
            Val::Tensor(_) => o.list.as_ref().and_then(|v| first_unfit(v, d)),
        };
        if let Some(n) = beyond {
            return Err(unfit(n, d, o.span));
        }
    }
    match (dtype, want) {
        (Some(Bool), Want::Numbers) => Ok(DType::I32),
        (Some(d), Want::Floats) if !d.is_float() => {
            if matches!((kind(a), kind(b)), (Kind::Strong(x), _) | (_, Kind::Strong(x)) if x.is_int()) {
                return Err(mix(a, b, float));
            }
            Ok(float)
        }
        (Some(d), _) => Ok(d),
        (None, _) => Err(mix(a, b, float)),
    }
}

/// The operand as a tensor of a dtype: a static number becomes a scalar.
pub fn to_dtype(el: &mut Elab<'_>, o: &Opd, dtype: DType) -> (ValueId, Vec<Dim>) {
    match &o.val {
        Val::Num(n) => (el.constant(dtype, n.f64()), vec![]),
        Val::Tensor(t) => {
            let exact = match &o.list {
                _ if dtype != DType::F64 => None,
                Some(v) => el.to_tensor(v, Some(dtype)).map(|x| x.id),
                None => super::make::exact(el, t),
            };
            if dtype == DType::F64 && t.elem.dtype() != dtype && exact.is_none() {
                el.narrow(t);
            }
            (exact.unwrap_or_else(|| cast_id(el, t.id, dtype)), t.dims.clone())
        }
    }
}

impl Elab<'_> {
    /// W0505: a parameter that a layer of std keeps in f32 meets f64.
    fn narrow(&mut self, t: &Tensor) {
        let g = self.b.graph();
        let mut v = t.id;
        while let Op::Broadcast { .. } | Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } = g.op(v) {
            v = g.inputs(v)[0];
        }
        let Some(p) = self.st.params.values().find(|p| p.tensor.id == v) else { return };
        if self.is_std(p.span) && !self.is_std(p.owner.span) {
            let name = p.owner.template.name().to_owned();
            let d = Diagnostic::warning("W0505", p.owner.span, format!("`{name}` has parameters in f32, beside f64"))
                .note("its results are f64, but what it learns is stored and updated in f32");
            let d = crate::sema::precision::widened(self, d);
            self.report(d);
        }
    }
}

/// Converts a graph value; a uniform constant stays one.
pub fn cast_id(el: &mut Elab<'_>, id: ValueId, dtype: DType) -> ValueId {
    let ty = el.b.ty(id).clone();
    if ty.dtype == dtype {
        return id;
    }
    if let Some(x) = el.uniform(id)
        && (dtype.is_float() || (x.fract() == 0.0 && x.abs() <= 127.0 && (x >= 0.0)))
    {
        let x = if dtype == DType::Bool { f64::from(u8::from(x != 0.0)) } else { x };
        let s = el.constant(dtype, x);
        return el.b.broadcast(s, &ty.shape, &[]);
    }
    el.b.cast(id, dtype)
}

/// `x as dtype` as written.
pub fn cast(el: &mut Elab<'_>, t: &Tensor, dtype: DType) -> Tensor {
    let id = cast_id(el, t.id, dtype);
    let elem = if dtype == DType::I32 { t.elem.clone() } else { Elem::Plain(dtype) };
    let elem = if elem.dtype() == dtype { elem } else { Elem::Plain(dtype) };
    Tensor { id, elem, dims: t.dims.clone() }
}

/// A floating-point tensor: bools, ints and static numbers become the program's float.
pub fn float(el: &mut Elab<'_>, o: &Opd) -> Tensor {
    match &o.val {
        Val::Num(n) => {
            let id = el.constant(el.float, n.f64());
            el.plain(id, vec![])
        }
        Val::Tensor(t) if t.elem.dtype().is_float() => t.clone(),
        Val::Tensor(t) => cast(el, t, el.float),
    }
}

/// A tensor of any dtype; a static number becomes a scalar of its default dtype.
pub fn tensor(el: &mut Elab<'_>, o: &Opd) -> Tensor {
    match &o.val {
        Val::Tensor(t) => t.clone(),
        Val::Num(n) => {
            let dtype = match n {
                Num::Int(_) => DType::I32,
                Num::Float(_) => el.float,
                Num::Bool(_) => DType::Bool,
            };
            let id = el.constant(dtype, n.f64());
            el.plain(id, vec![])
        }
    }
}

/// A tensor of bools, or E0202.
pub fn bools(el: &mut Elab<'_>, o: &Opd, what: &str) -> TR<Tensor> {
    let t = tensor(el, o);
    if t.elem.dtype() == DType::Bool {
        return Ok(t);
    }
    Err(Box::new(
        Diagnostic::error("E0202", o.span, format!("`{what}` needs bools, found {}", t.elem.dtype()))
            .here(format!("this is {}", t.show()))
            .fix("compare it: `{0} != 0`", [Edit::replace(o.span, "({0} != 0)")]),
    ))
}

/// A tensor of integers that can index, with its `idx` bound if it has one; E0202 otherwise.
pub fn index(el: &mut Elab<'_>, o: &Opd, what: &str) -> TR<(Tensor, Option<Dim>)> {
    let t = tensor(el, o);
    let d = t.elem.dtype();
    if !d.is_int() {
        return Err(Box::new(
            Diagnostic::error("E0202", o.span, format!("{what} needs integers, found {d}"))
                .here(format!("this is {}", t.show()))
                .fix("convert it: `{0} as i32`", [Edit::replace(o.span, "{0} as i32")]),
        ));
    }
    let bound = match &t.elem {
        Elem::Idx(n) => Some(n.clone()),
        Elem::Plain(_) => None,
    };
    let id = cast_id(el, t.id, DType::I32);
    Ok((Tensor { id, elem: t.elem.clone(), dims: t.dims }, bound))
}
