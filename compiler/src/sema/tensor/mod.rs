//! Operators on tensors: arithmetic with strict broadcasting, casts, indexing, rearrange.
//!
//! In: values of which at least one is a tensor or a mean. Out: a tensor, with ops appended to the graph, or a
//! diagnostic that names both operands' dims and the rule. The files below state one group of rules each, on operands
//! ([`Opd`]) that are tensors or static numbers; this one connects them to values of the language.

pub mod arith;
pub mod axes;
pub mod bounds;
pub mod broadcast;
pub mod classes;
pub mod dtype;
pub mod index;
pub mod make;
pub mod matmul;
pub mod rearrange;
pub mod reduce;
pub mod shape;
#[cfg(test)]
mod tests;

use super::cx::{Elab, Env, R};
use super::report;
use super::value::{Dim, Elem, Tensor, Value};
use crate::diag::Diagnostic;
use crate::graph::graph::ValueId;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Literal, Op};
use crate::graph::ty::Shape;
use crate::source::Span;
use crate::syntax::ast::{AxisPat, BinaryOp, Ident, Ix, UnaryOp};
use arith::BinOp;
use nn_runtime::dtype::DType;

/// A failed rule; the connecting functions of this file record it.
pub type Fail = Box<Diagnostic>;
/// The result of a rule.
pub type TR<T> = Result<T, Fail>;

/// A failure with a code, a place and a message.
pub fn fail<T>(code: &'static str, span: Span, message: impl Into<String>) -> TR<T> {
    Err(Box::new(Diagnostic::error(code, span, message)))
}

/// A static number. Weakly typed: it takes the dtype of the tensor it meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Num {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A bool.
    Bool(bool),
}

impl Num {
    /// As a float; bools are 0 and 1.
    pub fn f64(self) -> f64 {
        match self {
            Num::Int(i) => i as f64,
            Num::Float(f) => f,
            Num::Bool(b) => f64::from(u8::from(b)),
        }
    }
    /// As messages show it.
    pub fn show(self) -> String {
        match self {
            Num::Int(i) => i.to_string(),
            Num::Float(f) => format!("{f:?}"),
            Num::Bool(b) => b.to_string(),
        }
    }
    /// The static number that a value is.
    pub fn of(v: &Value) -> Option<Num> {
        Some(match v {
            Value::Int(n) => Num::Int(*n),
            Value::Dim(d) => Num::Int(d.size as i64),
            Value::Float(x) => Num::Float(*x),
            Value::Bool(b) => Num::Bool(*b),
            _ => return None,
        })
    }
}

impl From<Num> for Value {
    fn from(n: Num) -> Value {
        match n {
            Num::Int(i) => Value::Int(i),
            Num::Float(f) => Value::Float(f),
            Num::Bool(b) => Value::Bool(b),
        }
    }
}

/// A static number or a tensor.
#[derive(Clone, Debug)]
pub enum Val {
    /// Known now.
    Num(Num),
    /// A value of the graph.
    Tensor(Tensor),
}

impl Val {
    /// As messages show its type.
    pub fn show(&self) -> String {
        match self {
            Val::Num(n) => n.show(),
            Val::Tensor(t) => t.show(),
        }
    }
}

impl From<Tensor> for Val {
    fn from(t: Tensor) -> Val {
        Val::Tensor(t)
    }
}

impl From<Num> for Val {
    fn from(n: Num) -> Val {
        Val::Num(n)
    }
}

impl From<Val> for Value {
    fn from(v: Val) -> Value {
        match v {
            Val::Num(n) => n.into(),
            Val::Tensor(t) => Value::Tensor(t),
        }
    }
}

/// An operand: a value and where it was written.
#[derive(Clone)]
pub struct Opd {
    /// The value.
    pub val: Val,
    /// Its place.
    pub span: Span,
    /// The numbers of a list, as written: beside an f64 tensor they are not rounded to f32 first.
    pub list: Option<Value>,
}

impl Opd {
    /// An operand from its parts.
    pub fn new(val: impl Into<Val>, span: Span) -> Opd {
        Opd { val: val.into(), span, list: None }
    }
}

impl Elab<'_> {
    /// Records a failed rule.
    pub fn failed<T>(&mut self, r: TR<T>) -> R<T> {
        r.map_err(|d| self.error(*d))
    }

    /// A value as an operand: means become their quotient, lists of numbers constants; E0207 for what is no tensor.
    pub fn operand(&mut self, v: &Value, span: Span) -> R<Opd> {
        match Num::of(v) {
            Some(n) => Ok(Opd::new(n, span)),
            None => {
                let list = matches!(v, Value::List(_)).then(|| v.clone());
                Ok(Opd { list, ..Opd::new(self.as_tensor(v, None, span)?, span) })
            }
        }
    }

    /// A dim of a size with no name.
    pub fn nameless(&mut self, size: u64) -> Dim {
        self.fresh_dim(size, None, None)
    }

    /// A dim written as a literal 1: it stretches.
    pub fn one(&mut self) -> Dim {
        self.literal_dim(1, None)
    }

    /// The same dim if the size is unchanged, else a nameless one.
    pub fn resized(&mut self, from: &Dim, size: u64) -> Dim {
        if from.size == size { from.clone() } else { self.nameless(size) }
    }

    /// A tensor of a plain dtype from a graph value, whose dtype decides.
    pub fn plain(&self, id: ValueId, dims: Vec<Dim>) -> Tensor {
        debug_assert_eq!(self.b.shape(id), sizes(&dims));
        Tensor { id, elem: Elem::Plain(self.b.ty(id).dtype), dims }
    }

    /// The scalar constant of a dtype: floats are rounded to it here, so that the constant is what runs.
    pub fn constant(&mut self, dtype: DType, x: f64) -> ValueId {
        let x = if dtype == DType::F32 { f64::from(x as f32) } else { x };
        self.b.scalar(dtype, x)
    }

    /// A constant in every element.
    pub fn full(&mut self, dtype: DType, dims: &[Dim], x: f64) -> ValueId {
        let s = self.constant(dtype, x);
        self.b.broadcast(s, &sizes(dims), &[])
    }

    /// The one value that every element of `v` is known to have.
    pub fn uniform(&self, v: ValueId) -> Option<f64> {
        match self.b.graph().op(v) {
            Op::Const(Literal::Scalar(_, x)) => Some(*x),
            Op::Broadcast { .. } | Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } => {
                self.uniform(*self.b.graph().inputs(v).first()?)
            }
            _ => None,
        }
    }

    /// Reshapes, undoing a reshape that `v` itself is where that gives the shape back.
    pub fn reshape(&mut self, v: ValueId, shape: &[u64]) -> ValueId {
        if let Op::Reshape(_) = self.b.graph().op(v) {
            let x = self.b.graph().inputs(v)[0];
            if self.b.ty(x).shape.as_slice() == shape {
                return x;
            }
        }
        self.b.reshape(v, shape)
    }
}

/// The sizes of dims.
pub fn sizes(dims: &[Dim]) -> Shape {
    dims.iter().map(|d| d.size).collect()
}

/// Where the parts of `a op b` stand.
#[derive(Clone, Copy, Debug)]
pub struct OpSpans {
    /// The operator.
    pub op: Span,
    /// Left operand.
    pub lhs: Span,
    /// Right operand.
    pub rhs: Span,
}

/// `a op b` where one side is a tensor or a mean; the other may be a static number.
pub fn binary(el: &mut Elab<'_>, op: BinaryOp, a: &Value, b: &Value, at: OpSpans) -> R<Value> {
    if let Some(v) = mean_binary(el, op, a, b) {
        return Ok(v);
    }
    let x = el.operand(a, at.lhs)?;
    let y = el.operand(b, at.rhs)?;
    let op = match op {
        BinaryOp::Or => BinOp::Or,
        BinaryOp::And => BinOp::And,
        BinaryOp::Eq => BinOp::Eq,
        BinaryOp::Ne => BinOp::Ne,
        BinaryOp::Lt => BinOp::Lt,
        BinaryOp::Le => BinOp::Le,
        BinaryOp::Gt => BinOp::Gt,
        BinaryOp::Ge => BinOp::Ge,
        BinaryOp::Add => BinOp::Add,
        BinaryOp::Sub => BinOp::Sub,
        BinaryOp::Mul => BinOp::Mul,
        BinaryOp::Div => BinOp::Div,
        BinaryOp::FloorDiv => BinOp::FloorDiv,
        BinaryOp::Rem => BinOp::Rem,
        BinaryOp::Pow => BinOp::Pow,
        BinaryOp::MatMul => {
            let r = matmul::matmul(el, &x, &y, at.op);
            return el.failed(r).map(Value::Tensor);
        }
        BinaryOp::Range => return el.err("E0209", at.op, "the ends of a range must be static ints"),
        BinaryOp::Pipe => return el.err("E0207", at.rhs, format!("`|>` needs a function, found {}", b.show())),
    };
    el.span_nodes(at.op);
    let r = arith::binary(el, op, &x, &y, at.op);
    el.failed(r).map(Value::from)
}

impl Elab<'_> {
    /// Nodes made from now on come from here.
    pub fn span_nodes(&mut self, span: Span) {
        self.b.span = Some(span);
    }
}

/// Means stay means where that is exact: scaled by a static number, added over one denominator, or moved by what all
/// batches share.
fn mean_binary(el: &mut Elab<'_>, op: BinaryOp, a: &Value, b: &Value) -> Option<Value> {
    let scaled = |el: &mut Elab<'_>, num: &Tensor, den: &Tensor, op: BinOp, x: f64| {
        let c = el.constant(num.elem.dtype(), x);
        let id = arith::apply(el, op, num.id, c, num.elem.dtype());
        Value::Mean { num: el.plain(id, vec![]), den: den.clone() }
    };
    match (a, op, b) {
        (Value::Mean { num, den }, BinaryOp::Mul, k) | (k, BinaryOp::Mul, Value::Mean { num, den }) => {
            Some(scaled(el, num, den, BinOp::Mul, Num::of(k)?.f64()))
        }
        (Value::Mean { num, den }, BinaryOp::Div, k) => Some(scaled(el, num, den, BinOp::Div, Num::of(k)?.f64())),
        (Value::Mean { num: n, den: d }, BinaryOp::Add | BinaryOp::Sub, Value::Mean { num: m, den: e })
            if n.elem.dtype() == m.elem.dtype() =>
        {
            let m = over(el, m, e, d)?;
            let op = if op == BinaryOp::Add { BinOp::Add } else { BinOp::Sub };
            let id = arith::apply(el, op, n.id, m, n.elem.dtype());
            Some(Value::Mean { num: el.plain(id, vec![]), den: d.clone() })
        }
        (Value::Mean { num, den }, BinaryOp::Add | BinaryOp::Sub, c) => {
            let c = shared(el, c, num.elem.dtype())?;
            let c = if op == BinaryOp::Sub { el.b.ew(Ew::Neg, &[c]) } else { c };
            let id = report::plus_constant(el, num.id, den.id, c);
            Some(Value::Mean { num: el.plain(id, vec![]), den: den.clone() })
        }
        (c, BinaryOp::Add | BinaryOp::Sub, Value::Mean { num, den }) => {
            let c = shared(el, c, num.elem.dtype())?;
            let num = if op == BinaryOp::Sub { el.b.ew(Ew::Neg, &[num.id]) } else { num.id };
            let id = report::plus_constant(el, num, den.id, c);
            Some(Value::Mean { num: el.plain(id, vec![]), den: den.clone() })
        }
        _ => None,
    }
}

/// The numerator `m` of a mean over `from` as one over `to`: of the same weights, of numbers of elements (which both grow
/// with the rows), or of what all batches share.
fn over(el: &mut Elab<'_>, m: &Tensor, from: &Tensor, to: &Tensor) -> Option<ValueId> {
    if from.id == to.id {
        return Some(m.id);
    }
    let (a, b) = (el.uniform(from.id)?, el.uniform(to.id)?);
    if a == b || a == 0.0 {
        return Some(m.id).filter(|_| a == b);
    }
    let k = el.constant(m.elem.dtype(), b / a);
    Some(el.b.ew(Ew::Mul, &[m.id, k]))
}

/// A scalar that does not differ from batch to batch.
fn shared(el: &mut Elab<'_>, c: &Value, dtype: DType) -> Option<ValueId> {
    match c {
        Value::Tensor(t) if t.dims.is_empty() && t.elem.dtype() == dtype => {
            (!report::depends_on_batch(el.b.graph(), t.id)).then_some(t.id)
        }
        c => Some(el.constant(dtype, Num::of(c)?.f64())),
    }
}

/// The quotient of two scalars: what a mean is where a number is asked for.
pub fn quotient(el: &mut Elab<'_>, num: &Tensor, den: &Tensor) -> Tensor {
    let id = arith::apply(el, BinOp::Div, num.id, den.id, num.elem.dtype());
    el.st.means.insert(id, (num.id, den.id));
    el.plain(id, vec![])
}

/// `-x`, `not x` of a tensor or a mean.
pub fn unary(el: &mut Elab<'_>, op: UnaryOp, a: &Value, at: Span, span: Span) -> R<Value> {
    el.span_nodes(span);
    if let (UnaryOp::Neg, Value::Mean { num, den }) = (op, a) {
        let id = el.b.ew(crate::graph::ops::elementwise::Ew::Neg, &[num.id]);
        return Ok(Value::Mean { num: el.plain(id, vec![]), den: den.clone() });
    }
    let x = el.operand(a, at)?;
    let r = match op {
        UnaryOp::Neg => arith::neg(el, &x),
        UnaryOp::Not => arith::not(el, &x),
    };
    el.failed(r).map(Value::from)
}

/// `x as f32` of a tensor, a mean or a static number.
pub fn cast(el: &mut Elab<'_>, a: &Value, to: &Elem, span: Span) -> R<Value> {
    el.span_nodes(span);
    match (Num::of(a), to) {
        (Some(Num::Float(x)), Elem::Plain(d)) if d.is_int() && x.is_finite() => {
            return Ok(Value::Int(x.trunc() as i64));
        }
        (Some(Num::Bool(b)), Elem::Plain(d)) if d.is_int() => return Ok(Value::Int(i64::from(b))),
        (Some(n), Elem::Plain(d)) if d.is_float() => return Ok(Value::Float(n.f64())),
        (Some(n), Elem::Plain(DType::Bool)) => return Ok(Value::Bool(n.f64() != 0.0)),
        (Some(Num::Int(i)), Elem::Plain(d)) if d.is_int() => return Ok(Value::Int(i)),
        _ => {}
    }
    let t = el.as_tensor(a, None, span)?;
    if let (Elem::Idx(n), Elem::Idx(m)) = (to, &t.elem)
        && m.size > n.size
    {
        let d = Diagnostic::error("E0111", span, format!("index space mismatch: {} as idx<{}>", t.show(), n.show()))
            .note("an index may be given a larger range, not a smaller one");
        return Err(el.error(d));
    }
    if let (Elem::Idx(n), Elem::Plain(_)) = (to, &t.elem) {
        return classes::enter(el, &t, n, span).map(Value::Tensor);
    }
    if to.dtype().is_int() {
        classes::convert(el, &t, span);
    }
    let id = dtype::cast_id(el, t.id, to.dtype());
    Ok(Value::Tensor(Tensor { id, elem: to.clone(), dims: t.dims }))
}

/// Converts to a wider dtype where that is implicit (float widening, bool to number); `None` if it is not.
pub fn widen(el: &mut Elab<'_>, a: &Tensor, to: &Elem) -> Option<Tensor> {
    let elem = match (&a.elem, to) {
        (Elem::Idx(m), Elem::Idx(n)) if m.size <= n.size => to.clone(),
        (_, Elem::Idx(_)) => return None,
        (Elem::Idx(_), Elem::Plain(DType::I32)) => to.clone(),
        (Elem::Idx(_), Elem::Plain(_)) => return None,
        (Elem::Plain(x), Elem::Plain(y)) if x == y => to.clone(),
        (Elem::Plain(DType::Bool), Elem::Plain(_)) => to.clone(),
        (Elem::Plain(x), Elem::Plain(y)) if x.is_float() && y.is_float() && x.bytes() < y.bytes() => to.clone(),
        _ => return None,
    };
    let id = dtype::cast_id(el, a.id, elem.dtype());
    Some(Tensor { id, elem, dims: a.dims.clone() })
}

/// Is this an `i32` constant with every element in `0 .. n`? Then it is an index as well.
pub fn constant_within(el: &Elab<'_>, t: &Tensor, n: u64) -> bool {
    let constant = el.uniform(t.id).is_some() || matches!(el.b.graph().op(t.id), Op::Const(_));
    let fits = |(lo, hi): bounds::Bounds| lo >= 0.0 && hi < n as f64;
    t.elem.dtype() == DType::I32 && constant && bounds::bounds(el.b.graph(), t.id).is_some_and(fits)
}

/// `x[items]` of a tensor.
pub fn index(el: &mut Elab<'_>, base: &Tensor, items: &[Ix], span: Span, env: &Env) -> R<Value> {
    index::index(el, base, items, span, env).map(Value::Tensor)
}

/// `x.T` and other fields of a tensor.
pub fn field(el: &mut Elab<'_>, base: &Tensor, name: &Ident, span: Span) -> R<Value> {
    el.span_nodes(span);
    let n = base.dims.len();
    match &*name.text {
        "T" if n >= 2 => {
            let mut perm: Vec<u32> = (0..n as u32).collect();
            perm.swap(n - 1, n - 2);
            let id = el.b.permute(base.id, &perm);
            let mut dims = base.dims.clone();
            dims.swap(n - 1, n - 2);
            Ok(Value::Tensor(Tensor { id, elem: base.elem.clone(), dims }))
        }
        "T" => {
            let d =
                Diagnostic::error("E0117", name.span, format!("`.T` needs at least two axes, found {}", base.show()))
                    .note("it swaps the last two axes");
            Err(el.error(d))
        }
        other => {
            let d = Diagnostic::error("E0100", name.span, format!("a tensor has no field `{other}`"))
                .label(span, format!("this is {}", base.show()))
                .help("tensors have `.T`, which swaps the last two axes");
            Err(el.error(d))
        }
    }
}

/// Repeats a scalar (or a tensor that is one axis short, or has literal ones) into a shape by rules B1 to B3.
pub fn broadcast_to(el: &mut Elab<'_>, a: &Tensor, dims: &[Dim], span: Span) -> R<Tensor> {
    let target = broadcast::Shaped { dims, span };
    let from = broadcast::Shaped { dims: &a.dims, span };
    let common = broadcast::common("=", from, target);
    let common = el.failed(common)?;
    if sizes(&common) != sizes(dims) {
        let (from, to) = (super::value::show_dims(&a.dims), super::value::show_dims(dims));
        return el.err("E0103", span, format!("{from} does not broadcast to {to}"));
    }
    el.check_shape(dims, span)?;
    let id = broadcast::expand(el, a.id, &a.dims, dims);
    Ok(Tensor { id, elem: a.elem.clone(), dims: dims.to_vec() })
}

/// `where(c, a, b)`, also what `if` on a runtime scalar means.
pub fn select(el: &mut Elab<'_>, cond: &Value, a: &Value, b: &Value, span: Span) -> R<Value> {
    select_at(el, (cond, span), (a, span), (b, span), span)
}

/// `where(c, a, b)` with the place of each operand.
pub fn select_at(
    el: &mut Elab<'_>,
    cond: (&Value, Span),
    a: (&Value, Span),
    b: (&Value, Span),
    span: Span,
) -> R<Value> {
    el.span_nodes(span);
    if let Value::Bool(c) = cond.0
        && matches!((Num::of(a.0), Num::of(b.0)), (Some(_), Some(_)))
    {
        return Ok(if *c { a.0.clone() } else { b.0.clone() });
    }
    if let (Value::Tuple(x), Value::Tuple(y)) = (a.0, b.0)
        && x.len() == y.len()
    {
        let parts: R<Vec<Value>> =
            x.iter().zip(y.iter()).map(|(x, y)| select_at(el, cond, (x, a.1), (y, b.1), span)).collect();
        return Ok(Value::Tuple(parts?.into()));
    }
    let c = el.operand(cond.0, cond.1)?;
    let x = el.operand(a.0, a.1)?;
    let y = el.operand(b.0, b.1)?;
    let r = arith::select(el, &c, &x, &y, span);
    el.failed(r).map(Value::from)
}

/// `rearrange(x, from -> to, sizes)`.
pub fn rearrange(
    el: &mut Elab<'_>,
    x: &Value,
    from: &[AxisPat],
    to: &[AxisPat],
    sizes: &[(Ident, u64)],
    span: Span,
) -> R<Value> {
    el.span_nodes(span);
    let t = el.as_tensor(x, None, span)?;
    let r = rearrange::rearrange(el, &t, from, to, sizes, span);
    el.failed(r).map(Value::Tensor)
}
