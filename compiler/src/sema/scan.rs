//! `scan x in xs along T { .. emit y }`: the loop that runs.
//!
//! In: the loop and the names around it. Out: a `scan` of the graph, what it emits stacked, and the `var`s that its body
//! assigns at their last values. The body is elaborated once, with placeholders for the carries and for the slices, and
//! what depends on them is cut out of the graph as the loop's body. What does not is outside by itself: it is computed once
//! and read whole.

use super::cx::{Elab, Env, R, Scope};
use super::tensor::axes;
use super::value::{Dim, Elem, Tensor, Value};
use crate::diag::Diagnostic;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::region::Scan;
use crate::graph::ops::{Literal, Op, Tag};
use crate::graph::region::{self, Leaf, Plan};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{Block, ExprId, ExprKind, Pat, SetOp, StmtKind};
use crate::syntax::visit;
use nn_runtime::dtype::DType;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A loop whose body is under elaboration.
pub struct Loop {
    /// Steps.
    pub length: u64,
    /// Placeholders of slices, and what they are slices of, the steps first.
    pub slices: Vec<(ValueId, ValueId)>,
    /// What the body emits.
    pub emitted: Vec<(Value, Span)>,
}

/// A `var` that the body assigns.
struct Carry {
    name: Arc<str>,
    span: Span,
    init: Vec<Tensor>,
    /// The placeholders, shaped as the variable's value.
    inside: Value,
}

impl Elab<'_> {
    /// A scan, evaluated.
    pub fn scan(
        &mut self,
        (pat, iter, along): (&Pat, ExprId, Option<ExprId>),
        block: &Block,
        span: Span,
        env: &Env,
    ) -> R<Value> {
        if self.comp.is_some() {
            return Err(self.limit(span, "`scan` inside a comprehension"));
        }
        let (over, steps, axis) = self.scanned(iter, along, env)?;
        let from = self.b.graph().nodes.len();
        let around = self.b.scope.clone();
        self.st.loops.push(Loop { length: steps.size, slices: vec![], emitted: vec![] });
        let scope = Scope::inside(env);
        let made = self.step(pat, &over, block, &scope, env);
        let frame = self.st.loops.pop();
        self.b.scope = around;
        let carries = made?;
        let Some(frame) = frame else { return Ok(Value::unit()) };
        let after = self.carried(&carries, env)?;
        let emitted = match &frame.emitted[..] {
            [] => vec![],
            [(v, at)] => self.flat(v, *at)?,
            [_, (_, again), ..] => {
                let d = Diagnostic::error("E0208", *again, "a step of `scan` emits once");
                return Err(self.error(d.help("emit a tuple: `emit (a, b)`")));
            }
        };
        // The conversions to class numbers that the body makes are checked for every step.
        let graph = self.b.graph();
        let varies = varies(graph, from, &carries, &frame);
        let checks: Vec<usize> =
            (0..self.st.checks.len()).filter(|&i| varies[self.st.checks[i].inside().idx()]).collect();
        let mut roots: Vec<ValueId> =
            after.iter().flatten().map(|t| t.id).chain(emitted.iter().map(|t| t.id)).collect();
        for &i in &checks {
            roots.extend([self.st.checks[i].value.id, self.st.checks[i].inside()]);
        }
        let (scan, operands) = body(graph, &varies, &carries, &frame, &roots);
        self.span_nodes(span);
        let results = self.b.scan(&scan, &operands);
        let mut results = results.into_iter();
        for (c, next) in carries.iter().zip(&after) {
            let last: Vec<Tensor> =
                c.init.iter().zip(next).zip(&mut results).map(|((t, n), id)| carry_type(t, n, id)).collect();
            env.set(&c.name, shaped(&c.inside, &mut last.into_iter()));
        }
        let stacks: Vec<Tensor> =
            emitted.iter().zip(&mut results).map(|(t, id)| self.stacked(t, id, &steps, axis)).collect();
        for i in checks {
            if let (Some(value), Some(inside)) = (results.next(), results.next()) {
                self.st.checks[i].stack(value, inside, &steps);
            }
        }
        Ok(match frame.emitted.first() {
            Some((v, _)) => shaped(v, &mut stacks.into_iter()),
            None => Value::unit(),
        })
    }

    /// What is walked along: values whose first axis is the steps, their number, and which axis it was.
    fn scanned(&mut self, iter: ExprId, along: Option<ExprId>, env: &Env) -> R<(Value, Dim, usize)> {
        let span = self.ast.span(iter);
        let v = self.eval(iter, env)?;
        if let Value::Range(..) | Value::List(_) = &v
            && along.is_none()
            && let Some(counts) = self.counts(&v)?
        {
            let steps = self.fresh_dim(counts.len() as u64, None, Some(span));
            let id = self.b.table(&TensorTy::new(DType::I32, [steps.size]), &counts);
            let t = Tensor { id, elem: Elem::Plain(DType::I32), dims: vec![steps.clone()] };
            return Ok((Value::Tensor(t), steps, 0));
        }
        // A list is walked element by element, a tuple is several values at once.
        let v = match &v {
            Value::List(_) => self.to_tensor(&v, None).map_or(v, Value::Tensor),
            _ => v,
        };
        let walked = self.flat(&v, span)?;
        let arg = match along {
            Some(e) => Some((self.eval(e, env)?, self.ast.span(e))),
            None => None,
        };
        let mut first: Option<(Dim, usize)> = None;
        let mut out = vec![];
        for t in &walked {
            let axis = match &arg {
                Some((d, at)) => axes::axis(self, t, d, *at, "scan")?,
                None if t.dims.is_empty() => {
                    let d = Diagnostic::error("E0209", span, format!("`scan` walks along an axis, found {}", v.show()));
                    return Err(self.error(d.help("a range counts steps: `scan i in 0..n`")));
                }
                None => 0,
            };
            let steps = t.dims[axis].clone();
            if let Some((d, _)) = &first
                && d.size != steps.size
            {
                let message = format!("`scan` walks along {} and {} at once", d.show(), steps.show());
                return Err(self.error(Diagnostic::error("E0113", span, message)));
            }
            first.get_or_insert((steps.clone(), axis));
            let perm: Vec<u32> =
                std::iter::once(axis).chain((0..t.dims.len()).filter(|&i| i != axis)).map(|i| i as u32).collect();
            let dims = perm.iter().map(|&i| t.dims[i as usize].clone()).collect();
            out.push(Tensor { id: self.b.permute(t.id, &perm), elem: t.elem.clone(), dims });
        }
        let Some((steps, axis)) = first else {
            return self.err("E0209", span, format!("`scan` walks along an axis, found {}", v.show()));
        };
        Ok((shaped(&v, &mut out.into_iter()), steps, axis))
    }

    /// The whole numbers of a static range or list.
    fn counts(&mut self, v: &Value) -> R<Option<Vec<f64>>> {
        Ok(match v {
            Value::Range(a, b) => Some((*a..*b).map(|i| i as f64).collect()),
            Value::List(items) => {
                items.iter().map(|i| if let Value::Int(n) = i { Some(*n as f64) } else { None }).collect()
            }
            _ => None,
        })
    }

    /// Elaborates one step.
    fn step(&mut self, pat: &Pat, over: &Value, body: &Block, scope: &Env, env: &Env) -> R<Vec<Carry>> {
        let mut slices = vec![];
        for t in self.flat(over, pat_span(pat))? {
            slices.push(self.slice(&t));
        }
        self.bind_pat(pat, shaped(over, &mut slices.into_iter()), false, scope)?;
        let mut carries = vec![];
        for (name, span) in assigned(self, body) {
            let Some(v) = mutable(env, &name) else { continue };
            let init = self.flat(&v, span)?;
            let inside = init.iter().map(|t| Tensor { id: self.placeholder(t.id), ..t.clone() }).collect::<Vec<_>>();
            let inside = shaped(&v, &mut inside.into_iter());
            env.set(&name, inside.clone());
            carries.push(Carry { name, span, init, inside });
        }
        self.eval_block(body, scope, None)?;
        Ok(carries)
    }

    /// The values of the carries after a step, which must be of their types; outside they are what they were.
    fn carried(&mut self, carries: &[Carry], env: &Env) -> R<Vec<Vec<Tensor>>> {
        let mut all = vec![];
        for c in carries {
            let v = mutable(env, &c.name).unwrap_or_else(Value::unit);
            let next = self.flat(&v, c.span)?;
            let ty = |t: &Tensor| (t.elem.dtype(), t.dims.iter().map(|d| d.size).collect::<Vec<_>>());
            if next.len() != c.init.len() || next.iter().zip(&c.init).any(|(a, b)| ty(a) != ty(b)) {
                let before = shaped(&c.inside, &mut c.init.iter().cloned());
                let (name, was, is) = (&c.name, before.show(), v.show());
                let d =
                    Diagnostic::error("E0112", c.span, format!("the carry `{name}` of this `scan` changes its type"))
                        .here(format!("{is} after a step"))
                        .note(format!("it was {was} before; a loop carries values of one type from step to step"));
                let d = match (&next[..], &c.init[..]) {
                    ([a], [b]) if a.dims.len() == b.dims.len() && a.elem.dtype() != b.elem.dtype() => {
                        d.help(format!("convert what is assigned: `as {}`", b.elem.dtype()))
                    }
                    _ => d.help("give it the type that it has after a step from the start"),
                };
                return Err(self.error(d));
            }
            all.push(next);
        }
        Ok(all)
    }

    /// The tensors of a value, tuples and lists taken apart; numbers become scalars.
    fn flat(&mut self, v: &Value, span: Span) -> R<Vec<Tensor>> {
        match v {
            Value::Tuple(items) | Value::List(items) => {
                let mut all = vec![];
                for i in items.iter() {
                    all.extend(self.flat(i, span)?);
                }
                Ok(all)
            }
            v => Ok(vec![self.as_tensor(v, None, span)?]),
        }
    }

    /// A value like another that nothing knows yet.
    fn placeholder(&mut self, like: ValueId) -> ValueId {
        self.st.placeholders += 1;
        let number = u32::MAX - self.st.placeholders;
        self.b.op(Op::Tag(Tag::Variable(number)), &[like])
    }

    /// The slice of a step of the innermost loop.
    fn slice(&mut self, t: &Tensor) -> Tensor {
        let ty = self.b.ty(t.id);
        let one = TensorTy::new(ty.dtype, ty.shape.iter().skip(1).copied());
        let zero = self.b.splat(&one, 0.0);
        let id = self.placeholder(zero);
        if let Some(l) = self.st.loops.last_mut() {
            l.slices.push((id, t.id));
        }
        Tensor { id, elem: t.elem.clone(), dims: t.dims[1..].to_vec() }
    }

    /// Random bits of a site: inside of loops, others for every step. Element `e` of step `t` is number `t * elements + e`.
    pub fn rng(&mut self, site: u32, shape: &[u64]) -> ValueId {
        let lengths: Vec<u64> = self.st.loops.iter().map(|l| l.length).collect();
        let full: Vec<u64> = lengths.iter().chain(shape).copied().collect();
        let mut id = self.b.rng(site, &full);
        for level in 0..lengths.len() {
            let ty = self.b.ty(id);
            let one = TensorTy::new(ty.dtype, ty.shape.iter().skip(1).copied());
            let zero = self.b.splat(&one, 0.0);
            let slice = self.placeholder(zero);
            self.st.loops[level].slices.push((slice, id));
            id = slice;
        }
        id
    }

    /// What is emitted, over all steps: they take the place that the axis had.
    fn stacked(&mut self, t: &Tensor, id: ValueId, steps: &Dim, axis: usize) -> Tensor {
        let rank = t.dims.len();
        let at = axis.min(rank);
        let perm: Vec<u32> = (1..=at).chain([0]).chain(at + 1..=rank).map(|i| i as u32).collect();
        let mut dims = t.dims.clone();
        dims.insert(at, steps.clone());
        Tensor { id: self.b.permute(id, &perm), elem: t.elem.clone(), dims }
    }
}

fn pat_span(pat: &Pat) -> Span {
    match pat {
        Pat::Name(n) => n.span,
        Pat::Wild(s) | Pat::Tuple(_, s) => *s,
        Pat::Comp { name, .. } => name.span,
    }
}

/// A carry's value: class numbers stay class numbers only if every step leaves one.
fn carry_type(init: &Tensor, next: &Tensor, id: ValueId) -> Tensor {
    let elem = match (&init.elem, &next.elem) {
        (Elem::Idx(a), Elem::Idx(b)) if a.size == b.size => init.elem.clone(),
        (Elem::Idx(_), _) => Elem::Plain(init.elem.dtype()),
        _ => init.elem.clone(),
    };
    Tensor { id, elem, dims: init.dims.clone() }
}

/// A value of the same shape with other tensors.
fn shaped(v: &Value, tensors: &mut dyn Iterator<Item = Tensor>) -> Value {
    match v {
        Value::Tuple(items) => Value::Tuple(Rc::new(items.iter().map(|i| shaped(i, tensors)).collect())),
        Value::List(items) => Value::List(Rc::new(items.iter().map(|i| shaped(i, tensors)).collect())),
        v => tensors.next().map_or_else(|| v.clone(), Value::Tensor),
    }
}

/// The value of a `var`.
fn mutable(env: &Env, name: &str) -> Option<Value> {
    let mut level = Some(env.clone());
    while let Some(l) = level {
        if let Some(b) = l.own(name) {
            return b.mutable.then_some(b.value);
        }
        level = l.parent.clone();
    }
    None
}

/// Names that a block assigns, each once, where they are assigned first.
fn assigned(el: &Elab<'_>, body: &Block) -> Vec<(Arc<str>, Span)> {
    let mut out: Vec<(Arc<str>, Span)> = vec![];
    in_block(el, body, &mut out);
    out
}

fn in_block(el: &Elab<'_>, block: &Block, out: &mut Vec<(Arc<str>, Span)>) {
    for s in &block.stmts {
        match &s.kind {
            StmtKind::Set { target, op, value } if *op != SetOp::State => {
                let mut e = *target;
                while let ExprKind::Index { base, .. } = &el.ast.expr(e).kind {
                    e = *base;
                }
                if let ExprKind::Name(n) = &el.ast.expr(e).kind
                    && out.iter().all(|(o, _)| o != n)
                {
                    out.push((n.clone(), el.ast.span(e)));
                }
                in_expr(el, *value, out);
            }
            StmtKind::For { iter, body, .. } => {
                in_expr(el, *iter, out);
                in_block(el, body, out);
            }
            StmtKind::Let { init, .. } | StmtKind::Var { init, .. } => in_expr(el, init.value, out),
            StmtKind::Expr(e) | StmtKind::Emit(e) | StmtKind::Penalty(e) => in_expr(el, *e, out),
            _ => {}
        }
    }
}

fn in_expr(el: &Elab<'_>, e: ExprId, out: &mut Vec<(Arc<str>, Span)>) {
    match &el.ast.expr(e).kind {
        ExprKind::Block(b) | ExprKind::Eval(b) => in_block(el, b, out),
        ExprKind::If { then, otherwise, .. } => {
            in_block(el, then, out);
            otherwise.iter().for_each(|e| in_expr(el, *e, out));
        }
        ExprKind::Scan { body, .. } => in_block(el, body, out),
        _ => {
            let mut below = vec![];
            visit::children(el.ast.expr(e), &mut |c| below.push(c));
            below.into_iter().for_each(|c| in_expr(el, c, out));
        }
    }
}

/// Which values differ from step to step.
fn varies(g: &Graph, from: usize, carries: &[Carry], frame: &Loop) -> Vec<bool> {
    let mut all = vec![false; g.nodes.len()];
    placeholders(carries).into_iter().chain(frame.slices.iter().map(|s| s.0)).for_each(|v| all[v.idx()] = true);
    for v in g.values().skip(from) {
        all[v.idx()] |= g.inputs(v).iter().any(|x| all[x.idx()]);
    }
    all
}

fn placeholders(carries: &[Carry]) -> Vec<ValueId> {
    fn ids(v: &Value, out: &mut Vec<ValueId>) {
        match v {
            Value::Tuple(items) | Value::List(items) => items.iter().for_each(|i| ids(i, out)),
            Value::Tensor(t) => out.push(t.id),
            _ => {}
        }
    }
    let mut out = vec![];
    carries.iter().for_each(|c| ids(&c.inside, &mut out));
    out
}

/// The loop as a graph of its own: the values that differ from step to step, as far as the roots need them.
fn body(g: &Graph, varies: &[bool], carries: &[Carry], frame: &Loop, roots: &[ValueId]) -> (Scan, Vec<ValueId>) {
    let inits = carries.iter().flat_map(|c| &c.init).map(|t| t.id);
    let mut leaves: BTreeMap<ValueId, Leaf> = frame.slices.iter().map(|&(v, of)| (v, Leaf::Slice(of))).collect();
    let inside = placeholders(carries);
    leaves.extend(inside.iter().copied().zip(inits.map(Leaf::Carry)));
    // Constants and counts are made where they are used.
    let number = |v: ValueId| matches!(g.op(v), Op::Const(Literal::Scalar(..)) | Op::Iota { .. });
    let made = |v: ValueId| number(v) || matches!(g.op(v), Op::Broadcast { .. }) && number(g.inputs(v)[0]);
    let leaf = |v: ValueId| match leaves.get(&v) {
        Some(l) => Some(*l),
        None if varies[v.idx()] || made(v) => None,
        None => Some(Leaf::Whole(v)),
    };
    let (next, stacks) = roots.split_at(inside.len());
    let carried: Vec<(ValueId, ValueId)> = inside.iter().copied().zip(next.iter().copied()).collect();
    let stacks: Vec<(String, ValueId)> = stacks.iter().enumerate().map(|(i, &v)| (format!("y{i}"), v)).collect();
    region::cut(&Plan {
        graph: g,
        leaf: &leaf,
        alias: &|v| v,
        carried: &carried,
        stacks: &stacks,
        length: frame.length,
        reverse: false,
    })
}
