//! Comprehensions: `let y[b, o] = sum[i](x[b, i] * w[o, i])`.
//!
//! In: the left side's binders and the body. Out: a tensor, with contractions recognized. Inside, every access is a scalar:
//! a value is a tensor whose axes are index variables, each at most once and in any order, and operands are aligned by
//! variable, never by position. [`ranges`] finds the size of every variable before anything is evaluated, [`access`]
//! lowers `x[b, s*i + u, y[j]]`, [`contract`] lowers reducers, a `sum` of products to one `dot`.

mod access;
mod contract;
mod ranges;

use super::cx::{CallArgs, Elab, Env, R, Scope};
use super::tensor::{self, Num, OpSpans, dtype, sizes};
use super::value::{Dim, DimId, Elem, Tensor, Value};
use crate::diag::Diagnostic;
use crate::graph::graph::ValueId;
use crate::graph::ops::{Class, Op};
use crate::source::Span;
use crate::syntax::ast::{Arg, BinaryOp, Binder, Block, ExprId, ExprKind, Ident, Ix, Ty};
use nn_runtime::dtype::DType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The iteration space of the comprehension under evaluation.
#[derive(Clone, Default)]
pub struct Frame {
    /// Every index variable of the left side and of all reducers.
    vars: Vec<Var>,
    /// Variables of each reducer call, by the call.
    reducers: BTreeMap<ExprId, Vec<usize>>,
    /// Tensors that are accessed, by the expression left of the bracket.
    bases: BTreeMap<ExprId, Tensor>,
    /// Variables in scope, innermost last.
    scope: Vec<(Arc<str>, usize)>,
    /// The variables that `..` stands for, once an access has shown how many.
    row: Option<Vec<usize>>,
}

/// An index variable.
#[derive(Clone)]
struct Var {
    /// Its name; `..` for an axis of the row.
    name: Arc<str>,
    /// Where it is bound.
    span: Span,
    /// The axis as values inside have it: an identity of its own.
    dim: Dim,
    /// The axis as the result has it: that of the first plain use.
    outer: Option<Dim>,
    /// Where the size comes from.
    origin: Option<Span>,
    /// Given as `i < N`: it may be less than the axes have.
    given: bool,
    /// Place in the iteration space: binder, then axis within a row.
    key: (usize, usize),
}

impl Frame {
    fn var_of(&self, id: DimId) -> Option<usize> {
        self.vars.iter().position(|v| v.dim.id == id)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.scope.iter().rev().find(|(n, _)| &**n == name).map(|(_, v)| *v)
    }
}

/// `name[binders]: ty = body`. The caller binds the result.
pub fn comprehension(
    el: &mut Elab<'_>,
    name: &Ident,
    binders: &[Binder],
    ty: Option<&Ty>,
    body: ExprId,
    env: &Env,
) -> R<Value> {
    if el.comp.is_some() {
        return Err(el.limit(name.span, "a comprehension inside another one (define it before)"));
    }
    let frame = ranges::of_comprehension(el, binders, body, env)?;
    let mut left: Vec<usize> = vec![];
    let mut at = 0;
    for b in binders {
        match b {
            Binder::Row(_) => left.extend(frame.row.iter().flatten().copied()),
            Binder::Var { .. } => {
                left.push(frame.scope[at].1);
                at += 1;
            }
        }
    }
    let t = inside(el, frame.clone(), &left, body, env)?;
    let dims: Vec<Dim> =
        left.iter().map(|&v| frame.vars[v].outer.clone().unwrap_or(frame.vars[v].dim.clone())).collect();
    let t = Tensor { dims, ..t };
    el.b.name(t.id, &name.text);
    match ty {
        None => Ok(Value::Tensor(t)),
        Some(ty) => {
            let want = el.ty(ty, env)?;
            let span = el.ast.span(body);
            el.coerce(Value::Tensor(t), &want, span, &format!("`{}`", name.text))
        }
    }
}

/// `sum[i, j < N](body)` outside of a comprehension: a reducer over a scalar body.
pub fn reducer(el: &mut Elab<'_>, name: &str, items: &[Ix], args: &[Arg], span: Span, env: &Env) -> R<Value> {
    if el.comp.is_some() {
        return Err(el.limit(span, "a reducer in this place"));
    }
    let (frame, vars) = ranges::of_reducer(el, items, args, span, env)?;
    let mut sub = frame;
    let scope: Vec<(Arc<str>, usize)> = vars.iter().map(|&v| (sub.vars[v].name.clone(), v)).collect();
    sub.scope = scope;
    el.comp = Some(sub);
    let r = contract::reduce(el, name, &vars, args, span, env);
    el.comp = None;
    let t = r?;
    debug_assert!(t.dims.is_empty());
    Ok(Value::Tensor(t))
}

/// The axis that an index variable stands for outside of the comprehension under evaluation; any other dim itself.
pub fn outer(el: &Elab<'_>, d: &Dim) -> Dim {
    let axis = el.comp.as_ref().and_then(|f| f.vars[f.var_of(d.id)?].outer.clone());
    axis.unwrap_or_else(|| d.clone())
}

/// Reducers: `sum[i](x[i])`.
pub const REDUCERS: &[&str] = &["sum", "mean", "max", "min", "prod", "any", "all", "argmax", "logsumexp"];

/// Is `name[..](..)` a reducer?
pub fn is_reducer(name: &str) -> bool {
    REDUCERS.contains(&name)
}

/// Evaluates a body in its iteration space; the result has the given variables as axes, in order.
fn inside(el: &mut Elab<'_>, frame: Frame, left: &[usize], body: ExprId, env: &Env) -> R<Tensor> {
    let scope = Scope::inside(env);
    let dims: Vec<Dim> = left.iter().map(|&v| frame.vars[v].dim.clone()).collect();
    el.check_shape(&dims, el.ast.span(body))?;
    el.comp = Some(frame);
    let bound = bind_vars(el, left, &scope);
    let r = bound.and_then(|()| scalar(el, body, &scope)).and_then(|t| align(el, &t, left, el.ast.span(body)));
    el.comp = None;
    r
}

/// Binds variables as values: `i32` counting along their own axis.
fn bind_vars(el: &mut Elab<'_>, vars: &[usize], scope: &Env) -> R<()> {
    for &v in vars {
        let Some(var) = el.comp.as_ref().map(|f| f.vars[v].clone()) else { return Ok(()) };
        el.check_shape(std::slice::from_ref(&var.dim), var.span)?;
        if &*var.name == ".." {
            continue;
        }
        let id = el.b.iota(&[var.dim.size], 0);
        let bound = var.outer.clone().unwrap_or(var.dim.clone());
        let t = Tensor { id, elem: Elem::Idx(bound), dims: vec![var.dim.clone()] };
        scope.bind(&var.name, Value::Tensor(t), false, var.span);
    }
    Ok(())
}

/// The value of an expression inside a comprehension: a tensor over index variables.
fn scalar(el: &mut Elab<'_>, e: ExprId, env: &Env) -> R<Tensor> {
    let span = el.ast.span(e);
    let v = el.eval(e, env)?;
    let o = el.operand(&v, span)?;
    let t = dtype::tensor(el, &o);
    over_vars(el, &t, span)?;
    Ok(t)
}

/// Checks that every axis of a value is an index variable.
fn over_vars(el: &mut Elab<'_>, t: &Tensor, span: Span) -> R<()> {
    let known = |el: &Elab<'_>, d: &Dim| el.comp.as_ref().is_some_and(|f| f.var_of(d.id).is_some());
    if t.dims.iter().all(|d| known(el, d)) {
        return Ok(());
    }
    let d = Diagnostic::error(
        "E0117",
        span,
        format!("inside a comprehension this must be one element, found {}", t.show()),
    )
    .help("index every axis: `x[i, j]`; or use `..` on both sides for axes that stay as they are");
    Err(el.error(d))
}

/// Variables of a value, in the order of its axes.
fn vars_of(el: &Elab<'_>, t: &Tensor) -> Vec<usize> {
    match &el.comp {
        Some(f) => t.dims.iter().filter_map(|d| f.var_of(d.id)).collect(),
        None => vec![],
    }
}

/// All variables of some values, in the order of the iteration space.
fn union(el: &Elab<'_>, sets: &[Vec<usize>]) -> Vec<usize> {
    let all: BTreeSet<usize> = sets.iter().flatten().copied().collect();
    let mut all: Vec<usize> = all.into_iter().collect();
    if let Some(f) = &el.comp {
        all.sort_by_key(|&v| f.vars[v].key);
    }
    all
}

/// The value with the given variables as axes, in order: transposed and repeated as needed.
fn align(el: &mut Elab<'_>, t: &Tensor, vars: &[usize], span: Span) -> R<Tensor> {
    over_vars(el, t, span)?;
    let have = vars_of(el, t);
    if have == vars {
        return Ok(t.clone());
    }
    let Some(f) = &el.comp else { return Ok(t.clone()) };
    let dims: Vec<Dim> = vars.iter().map(|&v| f.vars[v].dim.clone()).collect();
    el.check_shape(&dims, span)?;
    let mut perm: Vec<u32> = vec![];
    let mut axes: Vec<u32> = vec![];
    for (i, v) in vars.iter().enumerate() {
        if let Some(at) = have.iter().position(|h| h == v) {
            perm.push(at as u32);
            axes.push(i as u32);
        }
    }
    if perm.len() != have.len() {
        return el.err("E0113", span, "this value has an index that the left side does not bind");
    }
    let id = el.b.permute(t.id, &perm);
    let id = if axes.len() == vars.len() { id } else { el.b.broadcast(id, &sizes(&dims), &axes) };
    Ok(Tensor { id, elem: t.elem.clone(), dims })
}

/// Tensors over index variables brought to their common variables; other values stay.
fn align_all(el: &mut Elab<'_>, values: &mut [(Value, Span)]) -> R<Vec<usize>> {
    let mut sets = vec![];
    for (v, s) in values.iter() {
        if let Value::Tensor(t) = v {
            over_vars(el, t, *s)?;
            sets.push(vars_of(el, t));
        }
    }
    let all = union(el, &sets);
    for (v, s) in values.iter_mut() {
        if let Value::Tensor(t) = v
            && !t.dims.is_empty()
        {
            *v = Value::Tensor(align(el, t, &all, *s)?);
        }
    }
    Ok(all)
}

/// While [`Elab::comp`] is set, `Elab::eval` asks here first: accesses, `if`, reducers and index variables mean
/// something else inside. `None`: evaluate as usual.
pub fn try_expr(el: &mut Elab<'_>, id: ExprId, env: &Env) -> R<Option<Value>> {
    let ast = el.ast;
    let span = ast.span(id);
    match &ast.expr(id).kind {
        ExprKind::Binary { op, op_span, lhs, rhs } if *op != BinaryOp::Pipe => {
            binary(el, *op, *op_span, *lhs, *rhs, span, env).map(Some)
        }
        ExprKind::Index { base, items } => access::access(el, *base, items, span, env),
        ExprKind::If { cond, then, otherwise } => choose(el, *cond, then, *otherwise, span, env).map(Some),
        ExprKind::Call { callee, args } => {
            if let Some(vars) = el.comp.as_ref().and_then(|f| f.reducers.get(&id).cloned())
                && let ExprKind::Index { base, .. } = &ast.expr(*callee).kind
                && let ExprKind::Name(name) = &ast.expr(*base).kind
            {
                return contract::reduce(el, name, &vars, args, span, env).map(|t| Some(Value::Tensor(t)));
            }
            call(el, *callee, args, span, env).map(Some)
        }
        _ => Ok(None),
    }
}

/// Counts and constants, made of nothing but index variables and static ints: weakly typed.
fn weak(el: &Elab<'_>, v: ValueId) -> bool {
    let g = el.b.graph();
    match g.op(v) {
        Op::Iota { .. } | Op::Const(_) => true,
        Op::Broadcast { .. } | Op::Permute(_) | Op::Reshape(_) | Op::Ew(_) => {
            g.ty(v).dtype == DType::I32 && g.inputs(v).iter().all(|&i| weak(el, i))
        }
        _ => false,
    }
}

/// The float that a value brings to what it meets.
fn float_of(el: &Elab<'_>, v: &Value) -> Option<DType> {
    match v {
        Value::Float(_) => Some(el.float),
        Value::Tensor(t) => Some(t.elem.dtype()).filter(|d| d.is_float()),
        _ => None,
    }
}

fn binary(el: &mut Elab<'_>, op: BinaryOp, op_span: Span, lhs: ExprId, rhs: ExprId, span: Span, env: &Env) -> R<Value> {
    let (ls, rs) = (el.ast.span(lhs), el.ast.span(rhs));
    let a = el.eval(lhs, env);
    let b = el.eval(rhs, env);
    let (a, b) = (a?, b?);
    if Num::of(&a).is_some() && Num::of(&b).is_some() || op == BinaryOp::Range {
        return el.static_binary(op, &a, &b, span);
    }
    if op == BinaryOp::MatMul {
        let d = Diagnostic::error(
            "E0117",
            op_span,
            "`@` multiplies matrices; inside a comprehension everything is a scalar",
        )
        .help("write the sum: `sum[k](a[i, k] * b[k, j])`");
        return Err(el.error(d));
    }
    let mut both = [(a, ls), (b, rs)];
    for (v, s) in &mut both {
        if !matches!(v, Value::Tensor(_)) && Num::of(v).is_none() {
            *v = Value::Tensor(el.as_tensor(v, None, *s)?);
        }
    }
    let all = align_all(el, &mut both)?;
    for i in 0..2 {
        if let Some(float) = float_of(el, &both[1 - i].0)
            && let Value::Tensor(t) = &both[i].0
            && t.elem.dtype() == DType::I32
            && weak(el, t.id)
        {
            let t = dtype::cast(el, t, float);
            both[i].0 = Value::Tensor(t);
        }
    }
    let [(a, _), (b, _)] = &both;
    let v = tensor::binary(el, op, a, b, OpSpans { op: op_span, lhs: ls, rhs: rs })?;
    Ok(relabel(el, v, &all))
}

/// Gives the result of an elementwise operation on aligned operands their axes again.
fn relabel(el: &Elab<'_>, v: Value, vars: &[usize]) -> Value {
    match v {
        Value::Tensor(t) if t.dims.len() == vars.len() => {
            let dims = match &el.comp {
                Some(f) => vars.iter().map(|&v| f.vars[v].dim.clone()).collect(),
                None => t.dims.clone(),
            };
            Value::Tensor(Tensor { dims, ..t })
        }
        v => v,
    }
}

/// `if c { a } else { b }`: a static `c` takes a branch, otherwise the choice is made for every element.
fn choose(el: &mut Elab<'_>, cond: ExprId, then: &Block, otherwise: Option<ExprId>, span: Span, env: &Env) -> R<Value> {
    let cs = el.ast.span(cond);
    let c = el.eval(cond, env)?;
    if let Value::Bool(c) = c {
        return match (c, otherwise) {
            (true, _) => el.eval_block(then, env, None),
            (false, Some(e)) => el.eval(e, env),
            (false, None) => el.err("E0208", span, "`if` inside a comprehension needs an `else`"),
        };
    }
    let Some(otherwise) = otherwise else {
        return el.err("E0208", span, "`if` inside a comprehension needs an `else`");
    };
    let a = el.eval_block(then, env, None)?;
    let b = el.eval(otherwise, env)?;
    let mut all = [(c, cs), (a, then.span), (b, el.ast.span(otherwise))];
    let vars = align_all(el, &mut all)?;
    let [(c, cs), (a, sa), (b, sb)] = &all;
    // A condition without variables beside branches with some meets them by rule B1.
    let v = tensor::select_at(el, (c, *cs), (a, *sa), (b, *sb), span)?;
    Ok(relabel(el, v, &vars))
}

/// A call of an elementwise function: it sees tensors over the common variables of its arguments.
fn call(el: &mut Elab<'_>, callee: ExprId, args: &[Arg], span: Span, env: &Env) -> R<Value> {
    let f = el.eval(callee, env)?;
    let mut a = CallArgs {
        span,
        callee: el.ast.span(callee),
        dims: None,
        pos: vec![],
        named: vec![],
        expect: None,
        env: env.clone(),
    };
    for arg in args {
        let at = el.ast.span(arg.value);
        let v = el.eval(arg.value, env)?;
        match &arg.name {
            Some(n) => a.named.push((n.clone(), v, at)),
            None => a.pos.push((v, at)),
        }
    }
    let mut values: Vec<(Value, Span)> = a.pos.clone();
    values.extend(a.named.iter().map(|(_, v, s)| (v.clone(), *s)));
    let vars = align_all(el, &mut values)?;
    let named = values.split_off(a.pos.len());
    a.pos = values;
    for (slot, (v, _)) in a.named.iter_mut().zip(named) {
        slot.1 = v;
    }
    let mut inputs: BTreeSet<ValueId> = BTreeSet::new();
    for v in a.pos.iter().map(|p| &p.0).chain(a.named.iter().map(|n| &n.1)) {
        if let Value::Tensor(t) = v {
            inputs.insert(t.id);
        }
    }
    let frame = el.comp.take();
    let before = std::mem::replace(&mut el.per_element, true);
    let r = el.call_value(&f, a);
    (el.comp, el.per_element) = (frame, before);
    let v = match r? {
        Value::Mean { .. } if !vars.is_empty() => return not_elementwise(el, callee, span),
        v => v,
    };
    if let Value::Tensor(t) = &v
        && !vars.is_empty()
        && !(t.dims.len() == vars.len() && elementwise(el, t.id, &inputs))
    {
        // A scalar that no argument reaches is a constant of the call.
        if t.dims.is_empty() && !reaches(el, t.id, &inputs) {
            return Ok(v);
        }
        return not_elementwise(el, callee, span);
    }
    Ok(relabel(el, v, &vars))
}

fn not_elementwise(el: &mut Elab<'_>, callee: ExprId, span: Span) -> R<Value> {
    let name = el.text(el.ast.span(callee)).to_owned();
    let d = Diagnostic::error("E0117", span, format!("`{name}` is not elementwise"))
        .note("inside a comprehension every access is one element, so only elementwise functions can be called")
        .help(format!("call `{name}` on the whole tensor first, or use a reducer with an index: `sum[i](x[i])`"));
    Err(el.error(d))
}

/// Is a value computed element by element from the inputs (and from scalars)?
fn elementwise(el: &Elab<'_>, v: ValueId, inputs: &BTreeSet<ValueId>) -> bool {
    let g = el.b.graph();
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    let mut todo = vec![v];
    while let Some(v) = todo.pop() {
        if inputs.contains(&v) || g.ty(v).shape.is_empty() || !seen.insert(v) {
            continue;
        }
        match g.op(v) {
            Op::Broadcast { .. } if g.ty(g.inputs(v)[0]).shape.is_empty() => {}
            op if op.class() == Class::Elementwise => todo.extend(g.inputs(v).iter().copied()),
            _ => return false,
        }
    }
    true
}

fn reaches(el: &Elab<'_>, v: ValueId, inputs: &BTreeSet<ValueId>) -> bool {
    let g = el.b.graph();
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    let mut todo = vec![v];
    while let Some(v) = todo.pop() {
        if inputs.contains(&v) {
            return true;
        }
        if seen.insert(v) {
            todo.extend(g.inputs(v).iter().copied());
        }
    }
    false
}

/// Elementwise product of two values by variable.
fn product(el: &mut Elab<'_>, a: &Tensor, b: &Tensor, span: Span) -> R<Tensor> {
    let mut both = [(Value::Tensor(a.clone()), span), (Value::Tensor(b.clone()), span)];
    let all = align_all(el, &mut both)?;
    let v = tensor::binary(el, BinaryOp::Mul, &both[0].0, &both[1].0, OpSpans { op: span, lhs: span, rhs: span })?;
    match relabel(el, v, &all) {
        Value::Tensor(t) => Ok(t),
        v => el.as_tensor(&v, None, span),
    }
}
