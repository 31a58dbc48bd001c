//! Operators and elementwise functions.
//!
//! In: operands and an operator. Out: a static number if every operand is one, else a tensor by the dtype rules and
//! strict broadcasting.

use super::broadcast::{common, expand, shaped};
use super::dtype::{self, Want, meet, to_dtype};
use super::{Num, Opd, TR, Val};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ty::{MAX_NUMEL, MAX_RANK};
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Elem, Tensor};
use crate::source::Span;
use nn_runtime::dtype::DType;

/// Infix operators on numbers and tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
    Max,
    Min,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

impl BinOp {
    /// As messages show it.
    pub const fn text(self) -> &'static str {
        match self {
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::FloorDiv => "//",
            BinOp::Rem => "%",
            BinOp::Pow => "**",
            BinOp::Max => "max",
            BinOp::Min => "min",
            BinOp::Eq => "==",
            BinOp::Ne => "!=",
            BinOp::Lt => "<",
            BinOp::Le => "<=",
            BinOp::Gt => ">",
            BinOp::Ge => ">=",
            BinOp::And => "and",
            BinOp::Or => "or",
            BinOp::Xor => "xor",
            BinOp::Shl => "shl",
            BinOp::Shr => "shr",
        }
    }

    fn compares(self) -> bool {
        matches!(self, BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge)
    }
}

/// `a op b`.
pub fn binary(el: &mut Elab<'_>, op: BinOp, a: &Opd, b: &Opd, span: Span) -> TR<Val> {
    if let (Val::Num(x), Val::Num(y)) = (&a.val, &b.val) {
        if let Some(n) = static_extreme(op, *x, *y) {
            return Ok(Val::Num(n));
        }
        if let Num::Int(i) = x
            && i32::try_from(*i).is_err()
        {
            return super::fail("E0208", a.span, format!("{i} does not fit i32"));
        }
        let x = dtype::tensor(el, a);
        return binary(el, op, &Opd::new(x, a.span), b, span);
    }
    if op == BinOp::Pow
        && let (Val::Tensor(x), Val::Num(n)) = (&a.val, &b.val)
        && let Some(v) = power(el, x, *n)
    {
        return Ok(v);
    }
    let dtype = match op {
        BinOp::And | BinOp::Or | BinOp::Xor => {
            let d = meet(el.float, a, b, Want::Same)?;
            if d.is_float() || (d.is_int() && op != BinOp::Xor && has_bool(a, b)) {
                let bad = if is_bool(a) { b } else { a };
                dtype::bools(el, bad, op.text())?;
            }
            d
        }
        BinOp::Shl | BinOp::Shr => {
            let d = meet(el.float, a, b, Want::Numbers)?;
            if d.is_float() {
                dtype::index(el, if matches!(b.val, Val::Num(_)) { a } else { b }, op.text())?;
            }
            d
        }
        BinOp::Div | BinOp::Pow => {
            let d = meet(el.float, a, b, Want::Numbers)?;
            if !d.is_float() {
                if is_bool(a) && (is_bool(b) || matches!(b.val, Val::Num(_))) {
                    el.float
                } else {
                    let tensors = [(a, "{1}"), (b, "{2}")].into_iter().filter(|(o, _)| matches!(o.val, Val::Tensor(_)));
                    let floats: Vec<Edit> =
                        tensors.map(|(o, key)| Edit::replace(o.span, format!("{key} as {}", el.float))).collect();
                    let d = Diagnostic::error("E0202", span, format!("`{}` on {d} is not exact", op.text()))
                        .here("integers do not divide without rest")
                        .label(a.span, format!("this is {}", a.val.show()))
                        .label(b.span, format!("this is {}", b.val.show()))
                        .fix(format!("convert to a float first: `{{1}} as {}`", el.float), floats);
                    return Err(Box::new(match op {
                        BinOp::Div => d.fix("or round down with `//`", [Edit::replace(span, "//")]),
                        _ => d,
                    }));
                }
            } else {
                d
            }
        }
        op if op.compares() || matches!(op, BinOp::Max | BinOp::Min) => meet(el.float, a, b, Want::Same)?,
        _ => meet(el.float, a, b, Want::Numbers)?,
    };
    let (x, y, dims) = pair(el, op.text(), a, b, dtype, span)?;
    let id = apply(el, op, x, y, dtype);
    Ok(el.plain(id, dims).into())
}

fn is_bool(o: &Opd) -> bool {
    match &o.val {
        Val::Num(n) => matches!(n, Num::Bool(_)),
        Val::Tensor(t) => t.elem.dtype() == DType::Bool,
    }
}

fn has_bool(a: &Opd, b: &Opd) -> bool {
    is_bool(a) || is_bool(b)
}

/// Two operands at one dtype and one shape.
fn pair(el: &mut Elab<'_>, what: &str, a: &Opd, b: &Opd, dtype: DType, span: Span) -> TR<(ValueId, ValueId, Vec<Dim>)> {
    let (x, dx) = to_dtype(el, a, dtype);
    let (y, dy) = to_dtype(el, b, dtype);
    let dims = common(what, shaped(a, &dx), shaped(b, &dy)).inspect_err(|_| el.learn_shapes(&dx, &dy))?;
    check_dims(&dims, span)?;
    let x = expand(el, x, &dx, &dims);
    let y = expand(el, y, &dy, &dims);
    Ok((x, y, dims))
}

/// The op on graph values of one type.
pub fn apply(el: &mut Elab<'_>, op: BinOp, x: ValueId, y: ValueId, dtype: DType) -> ValueId {
    let (ux, uy) = (el.uniform(x), el.uniform(y));
    // Multiplying by 1 is exact, and default weights and masks are 1: do not even build it.
    match op {
        BinOp::Mul if ux == Some(1.0) => return y,
        BinOp::Mul | BinOp::Div if uy == Some(1.0) => return x,
        BinOp::And if ux == Some(1.0) && dtype == DType::Bool => return y,
        BinOp::And if uy == Some(1.0) && dtype == DType::Bool => return x,
        _ => {}
    }
    let ew = match op {
        BinOp::Add => Ew::Add,
        BinOp::Sub => return el.b.sub(x, y),
        BinOp::Mul => Ew::Mul,
        BinOp::Div => Ew::Div,
        BinOp::FloorDiv => return floor_div(el, x, y, dtype),
        BinOp::Rem => return floor_rem(el, x, y, dtype),
        BinOp::Pow => Ew::Pow,
        BinOp::Max | BinOp::Or if dtype == DType::Bool => Ew::Or,
        BinOp::Min | BinOp::And if dtype == DType::Bool => Ew::And,
        BinOp::Max => Ew::Max,
        BinOp::Min => Ew::Min,
        BinOp::Eq => Ew::Eq,
        BinOp::Ne => Ew::Ne,
        BinOp::Lt => Ew::Lt,
        BinOp::Le => Ew::Le,
        BinOp::Gt => Ew::Gt,
        BinOp::Ge => Ew::Ge,
        BinOp::And => Ew::And,
        BinOp::Or => Ew::Or,
        BinOp::Xor => Ew::Xor,
        BinOp::Shl => Ew::Shl,
        BinOp::Shr => Ew::Shr,
    };
    el.b.ew(ew, &[x, y])
}

/// Division rounded down: the truncated quotient, less one where signs differ and a remainder is left. Of floats it is
/// what is left when the remainder is taken off first, an integer but for rounding, so that `(x // y) * y + x % y` is x
/// as nearly as the dtype allows; `x // 0` is what `x / 0` is.
fn floor_div(el: &mut Elab<'_>, x: ValueId, y: ValueId, dtype: DType) -> ValueId {
    let float = dtype.is_float();
    let divisor = el.uniform(y);
    let r = el.b.ew(Ew::Rem, &[x, y]);
    let whole = if float { el.b.sub(x, r) } else { x };
    let q = el.b.ew(Ew::Div, &[whole, y]);
    if rounds_down(el, x, divisor, dtype) {
        return q;
    }
    let (_, down) = below(el, r, y);
    let one = el.b.splat_like(q, 1.0);
    let less = el.b.sub(q, one);
    let q = el.b.ew(Ew::Select, &[down, less, q]);
    if !float {
        return q;
    }
    let q = el.b.ew(Ew::RoundEven, &[q]);
    if divisor.is_some_and(|y| y != 0.0) {
        return q;
    }
    let zero = el.b.zeros_like(y);
    let by_zero = el.b.ew(Ew::Eq, &[y, zero]);
    let fraction = el.b.ew(Ew::Div, &[x, y]);
    let fraction = el.b.ew(Ew::Floor, &[fraction]);
    el.b.ew(Ew::Select, &[by_zero, fraction, q])
}

/// Does truncation round down, because neither operand is negative?
fn rounds_down(el: &Elab<'_>, x: ValueId, divisor: Option<f64>, dtype: DType) -> bool {
    matches!(dtype, DType::U8 | DType::U16 | DType::U32)
        || dtype.is_int() && divisor.is_some_and(|y| y > 0.0) && never_negative(el, x)
}

/// Is the divisor negative, and does a remainder of truncated division have another sign than it?
fn below(el: &mut Elab<'_>, r: ValueId, y: ValueId) -> (ValueId, ValueId) {
    let zero = el.b.zeros_like(r);
    let off = el.b.ew(Ew::Ne, &[r, zero]);
    let neg_r = el.b.ew(Ew::Lt, &[r, zero]);
    let neg_y = el.b.ew(Ew::Lt, &[y, zero]);
    let differ = el.b.ew(Ew::Xor, &[neg_r, neg_y]);
    (neg_y, el.b.ew(Ew::And, &[off, differ]))
}

/// The remainder of division rounded down: it has the sign of the divisor, a zero too.
fn floor_rem(el: &mut Elab<'_>, x: ValueId, y: ValueId, dtype: DType) -> ValueId {
    let r = el.b.ew(Ew::Rem, &[x, y]);
    let divisor = el.uniform(y);
    if rounds_down(el, x, divisor, dtype) {
        return r;
    }
    let (neg_y, fix) = below(el, r, y);
    let up = el.b.ew(Ew::Add, &[r, y]);
    let r = el.b.ew(Ew::Select, &[fix, up, r]);
    if !dtype.is_float() {
        return r;
    }
    // Adding +0 turns -0 into +0 and leaves everything else, and the derivative, as it is.
    let zero = el.b.zeros_like(r);
    let positive = el.b.ew(Ew::Add, &[r, zero]);
    if divisor.is_some_and(|y| y > 0.0) {
        return positive;
    }
    let negative = el.b.ew(Ew::Neg, &[r]);
    let negative = el.b.ew(Ew::Add, &[negative, zero]);
    let negative = el.b.ew(Ew::Neg, &[negative]);
    el.b.ew(Ew::Select, &[neg_y, negative, positive])
}

/// The operands of the remainder that [`floor_rem`] made of ints, if `v` is one.
pub fn floor_rem_operands(g: &Graph, v: ValueId) -> Option<(ValueId, ValueId)> {
    let args = |v: ValueId, op: Ew| (*g.op(v) == crate::graph::ops::Op::Ew(op)).then(|| g.inputs(v));
    let [fix, up, r] = *args(v, Ew::Select)? else { return None };
    let [x, y] = *args(r, Ew::Rem)? else { return None };
    let [off, differ] = *args(fix, Ew::And)? else { return None };
    let (neg_r, neg_y) = match *args(differ, Ew::Xor)? {
        [a, b] => (args(a, Ew::Lt)?, args(b, Ew::Lt)?),
        _ => return None,
    };
    let zero = neg_r[1];
    let made = args(up, Ew::Add)? == [r, y]
        && args(off, Ew::Ne)? == [r, zero]
        && *neg_r == [r, zero]
        && *neg_y == [y, zero]
        && super::bounds::bounds(g, zero) == Some((0.0, 0.0));
    made.then_some((x, y))
}

fn never_negative(el: &Elab<'_>, v: ValueId) -> bool {
    use crate::graph::ops::Op;
    match el.b.graph().op(v) {
        Op::Iota { .. } | Op::ArgReduce { .. } => true,
        Op::Broadcast { .. } | Op::Reshape(_) | Op::Permute(_) => never_negative(el, el.b.graph().inputs(v)[0]),
        _ => false,
    }
}

/// Powers with a static exponent: small integers by multiplication, halves by square roots.
fn power(el: &mut Elab<'_>, x: &Tensor, n: Num) -> Option<Val> {
    let t = if x.elem.dtype() == DType::Bool { return None } else { x };
    let whole = match n {
        Num::Int(i) => Some(i),
        Num::Float(f) if f.fract() == 0.0 && f.abs() <= 64.0 => Some(f as i64),
        _ => None,
    };
    let is_float = t.elem.dtype().is_float();
    let id = match whole {
        Some(0) => el.b.splat_like(t.id, 1.0),
        Some(i) if (1..=64).contains(&i) => int_power(el, t.id, i as u64),
        Some(i) if (-64..0).contains(&i) && is_float => {
            let p = int_power(el, t.id, i.unsigned_abs());
            let one = el.b.splat_like(t.id, 1.0);
            el.b.ew(Ew::Div, &[one, p])
        }
        None if n.f64() == 0.5 && is_float => el.b.ew(Ew::Sqrt, &[t.id]),
        _ => return None,
    };
    Some(el.plain(id, t.dims.clone()).into())
}

/// `x^n` for n >= 1 by squaring.
fn int_power(el: &mut Elab<'_>, x: ValueId, n: u64) -> ValueId {
    let mut out: Option<ValueId> = None;
    let (mut square, mut n) = (x, n);
    loop {
        if n & 1 == 1 {
            out = Some(match out {
                Some(o) => el.b.ew(Ew::Mul, &[o, square]),
                None => square,
            });
        }
        n >>= 1;
        match out {
            Some(o) if n == 0 => return o,
            _ => square = el.b.ew(Ew::Mul, &[square, square]),
        }
    }
}

/// `-x`
pub fn neg(el: &mut Elab<'_>, a: &Opd) -> TR<Val> {
    match &a.val {
        Val::Num(Num::Int(i)) => match i.checked_neg() {
            Some(i) => Ok(Val::Num(Num::Int(i))),
            None => super::fail("E0208", a.span, "the integer is too large"),
        },
        Val::Num(n) => Ok(Val::Num(Num::Float(-n.f64()))),
        Val::Tensor(t) => {
            let t = if t.elem.dtype() == DType::Bool { dtype::cast(el, t, DType::I32) } else { t.clone() };
            let id = el.b.ew(Ew::Neg, &[t.id]);
            Ok(el.plain(id, t.dims).into())
        }
    }
}

/// `not x`
pub fn not(el: &mut Elab<'_>, a: &Opd) -> TR<Val> {
    if let Val::Num(Num::Bool(b)) = a.val {
        return Ok(Val::Num(Num::Bool(!b)));
    }
    let t = dtype::bools(el, a, "not")?;
    let id = el.b.ew(Ew::Not, &[t.id]);
    Ok(Tensor { id, ..t }.into())
}

/// `where(c, x, y)`: elementwise choice. A static `c` chooses now.
pub fn select(el: &mut Elab<'_>, c: &Opd, a: &Opd, b: &Opd, span: Span) -> TR<Val> {
    if let Val::Num(Num::Bool(c)) = c.val
        && matches!((&a.val, &b.val), (Val::Num(_), Val::Num(_)))
    {
        return Ok(if c { a.val.clone() } else { b.val.clone() });
    }
    let cond = dtype::bools(el, c, "where")?;
    let same_idx = match (&a.val, &b.val) {
        (Val::Tensor(x), Val::Tensor(y)) => match (&x.elem, &y.elem) {
            (Elem::Idx(m), Elem::Idx(n)) if m.size == n.size => Some(m.clone()),
            _ => None,
        },
        _ => None,
    };
    let dtype = meet(el.float, a, b, Want::Same)?;
    let (x, dx) = to_dtype(el, a, dtype);
    let (y, dy) = to_dtype(el, b, dtype);
    let ab = common("where", shaped(a, &dx), shaped(b, &dy))?;
    let wide = if ab.is_empty() { a.span } else { a.span.to(b.span) };
    let dims = common("where", shaped(c, &cond.dims), super::broadcast::Shaped { dims: &ab, span: wide })?;
    check_dims(&dims, span)?;
    let x = expand(el, x, &dx, &dims);
    let y = expand(el, y, &dy, &dims);
    let k = expand(el, cond.id, &cond.dims, &dims);
    let id = match el.uniform(k) {
        Some(u) => {
            if u != 0.0 {
                x
            } else {
                y
            }
        }
        None => el.b.ew(Ew::Select, &[k, x, y]),
    };
    let elem = same_idx.map_or(Elem::Plain(dtype), Elem::Idx);
    Ok(Tensor { id, elem, dims }.into())
}

/// Elementwise functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UnFn {
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Abs,
    Sign,
    Floor,
    Ceil,
    Round,
    Sin,
    Cos,
    Tanh,
    Erf,
    Expm1,
    Log1p,
    Recip,
}

impl UnFn {
    /// Every function with its name.
    pub const ALL: [(&'static str, UnFn); 16] = [
        ("exp", UnFn::Exp),
        ("log", UnFn::Log),
        ("sqrt", UnFn::Sqrt),
        ("rsqrt", UnFn::Rsqrt),
        ("abs", UnFn::Abs),
        ("sign", UnFn::Sign),
        ("floor", UnFn::Floor),
        ("ceil", UnFn::Ceil),
        ("round", UnFn::Round),
        ("sin", UnFn::Sin),
        ("cos", UnFn::Cos),
        ("tanh", UnFn::Tanh),
        ("erf", UnFn::Erf),
        ("expm1", UnFn::Expm1),
        ("log1p", UnFn::Log1p),
        ("recip", UnFn::Recip),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, f)| *f == self).map_or("", |(n, _)| n)
    }
}

/// `f(x)`, on a static number now, on a tensor in the graph.
pub fn unary(el: &mut Elab<'_>, f: UnFn, a: &Opd) -> Val {
    if let Val::Num(n) = a.val {
        return Val::Num(static_unary(f, n));
    }
    let whole = matches!(f, UnFn::Abs | UnFn::Sign | UnFn::Floor | UnFn::Ceil | UnFn::Round);
    let t = match &a.val {
        Val::Tensor(t) if whole && t.elem.dtype().is_int() => t.clone(),
        _ => dtype::float(el, a),
    };
    let (x, is_float) = (t.id, t.elem.dtype().is_float());
    let b = &mut el.b;
    let id = match f {
        UnFn::Exp => b.ew(Ew::Exp, &[x]),
        UnFn::Log => b.ew(Ew::Log, &[x]),
        UnFn::Sqrt => b.ew(Ew::Sqrt, &[x]),
        UnFn::Rsqrt => {
            let s = b.ew(Ew::Sqrt, &[x]);
            let one = b.splat_like(x, 1.0);
            b.ew(Ew::Div, &[one, s])
        }
        // max(x, -x): the tie at 0 splits, so the derivative there is 0; NaN passes through. Of two zeros that tie `max` gives
        // the first, whatever its sign; 0 added makes it positive.
        UnFn::Abs => {
            let n = b.ew(Ew::Neg, &[x]);
            let m = b.ew(Ew::Max, &[x, n]);
            if is_float {
                let zero = b.zeros_like(x);
                b.ew(Ew::Add, &[m, zero])
            } else {
                m
            }
        }
        UnFn::Sign => {
            let zero = b.zeros_like(x);
            let one = b.splat_like(x, 1.0);
            let minus = b.splat_like(x, -1.0);
            let stop = b.stop(x);
            let pos = b.ew(Ew::Gt, &[x, zero]);
            let neg = b.ew(Ew::Lt, &[x, zero]);
            let rest = b.ew(Ew::Select, &[neg, minus, stop]);
            b.ew(Ew::Select, &[pos, one, rest])
        }
        UnFn::Floor | UnFn::Ceil | UnFn::Round if !is_float => x,
        UnFn::Floor => b.ew(Ew::Floor, &[x]),
        UnFn::Ceil => {
            let n = b.ew(Ew::Neg, &[x]);
            let f = b.ew(Ew::Floor, &[n]);
            b.ew(Ew::Neg, &[f])
        }
        UnFn::Round => b.ew(Ew::RoundEven, &[x]),
        UnFn::Sin => b.ew(Ew::Sin, &[x]),
        UnFn::Cos => b.ew(Ew::Cos, &[x]),
        UnFn::Tanh => b.ew(Ew::Tanh, &[x]),
        UnFn::Erf => b.ew(Ew::Erf, &[x]),
        UnFn::Expm1 => b.ew(Ew::Expm1, &[x]),
        UnFn::Log1p => b.ew(Ew::Log1p, &[x]),
        UnFn::Recip => {
            let one = b.splat_like(x, 1.0);
            b.ew(Ew::Div, &[one, x])
        }
    };
    el.plain(id, t.dims).into()
}

/// `stop(x)`: the value, with no gradient.
pub fn stop(el: &mut Elab<'_>, a: &Opd) -> Val {
    match &a.val {
        Val::Num(n) => Val::Num(*n),
        Val::Tensor(t) => {
            if !t.elem.dtype().is_float() {
                return t.clone().into();
            }
            let id = el.b.stop(t.id);
            Tensor { id, ..t.clone() }.into()
        }
    }
}

/// The larger or smaller of two static numbers; `None` for another operator.
fn static_extreme(op: BinOp, x: Num, y: Num) -> Option<Num> {
    let larger = match op {
        BinOp::Max => true,
        BinOp::Min => false,
        _ => return None,
    };
    if let (Num::Int(a), Num::Int(b)) = (x, y) {
        return Some(Num::Int(if larger { a.max(b) } else { a.min(b) }));
    }
    let (a, b) = (x.f64(), y.f64());
    Some(Num::Float(if a.is_nan() || (if larger { a > b } else { a < b }) { a } else { b }))
}

/// Holds a result shape to the limits before any node is made.
pub fn check_dims(dims: &[Dim], span: Span) -> TR<()> {
    let n = dims.iter().try_fold(1u64, |n, d| n.checked_mul(d.size)).filter(|&n| n <= MAX_NUMEL);
    if n.is_some() && dims.len() <= MAX_RANK {
        return Ok(());
    }
    let shown: Vec<String> = dims.iter().map(Dim::show).collect();
    Err(Box::new(
        Diagnostic::error("E0902", span, format!("the tensor [{}] is too large", shown.join(", ")))
            .note(format!("at most {MAX_RANK} axes and {MAX_NUMEL} elements are supported")),
    ))
}

/// `f(x)` in f64; whole functions of integers stay integers.
pub fn static_unary(f: UnFn, n: Num) -> Num {
    let x = n.f64();
    let whole = |y: f64| if y.abs() < 9e15 { Num::Int(y as i64) } else { Num::Float(y) };
    match (f, n) {
        (UnFn::Abs, Num::Int(i)) => Num::Int(i.saturating_abs()),
        (UnFn::Sign, Num::Int(i)) => Num::Int(i.signum()),
        (UnFn::Floor | UnFn::Ceil | UnFn::Round, Num::Int(i)) => Num::Int(i),
        (UnFn::Floor, _) => whole(x.floor()),
        (UnFn::Ceil, _) => whole(x.ceil()),
        (UnFn::Round, _) => whole(x.round_ties_even()),
        _ => Num::Float(match f {
            UnFn::Exp => x.exp(),
            UnFn::Log => x.ln(),
            UnFn::Sqrt => x.sqrt(),
            UnFn::Rsqrt => 1.0 / x.sqrt(),
            UnFn::Abs => x.abs(),
            UnFn::Sign if x == 0.0 || x.is_nan() => x,
            UnFn::Sign => x.signum(),
            UnFn::Sin => x.sin(),
            UnFn::Cos => x.cos(),
            UnFn::Tanh => x.tanh(),
            UnFn::Erf => (Ew::Erf.spec().eval)(DType::F64, &[x]),
            UnFn::Expm1 => x.exp_m1(),
            UnFn::Log1p => x.ln_1p(),
            UnFn::Recip => 1.0 / x,
            UnFn::Floor | UnFn::Ceil | UnFn::Round => x,
        }),
    }
}
