//! Evaluation of expressions and statements.
//!
//! In: a node of the tree and the names around it. Out: its value. `if` and `for` run here when they are static; what
//! the language has and this compiler does not is reported as a limit, never a panic.

use super::comprehension;
use super::cx::{CallArgs, Elab, Env, R, Scope};
use super::models::{HyperArgs, ModelTemplate, TemplateKind, callable};
use super::statics::is_static;
use super::tensor::{self, OpSpans};
use super::value::{Closure, Elem, ElemType, Tensor, TensorType, Type, Value};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{
    self, Arg, BinaryOp, Binder, Block, ExprId, ExprKind, Ident, Ix, ListItem, Stmt, StmtKind, Ty, UnaryOp,
};
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

/// Expressions inside expressions, before evaluation gives up; the parser's own limit is lower for one expression.
const MAX_DEPTH: usize = 1_000;

impl Elab<'_> {
    /// The value of an expression.
    pub fn eval(&mut self, e: ExprId, env: &Env) -> R<Value> {
        self.eval_as(e, env, None)
    }

    /// The value of an expression where a type is expected; the value is not checked against it.
    pub fn eval_as(&mut self, e: ExprId, env: &Env, expect: Option<&Type>) -> R<Value> {
        let span = self.ast.span(e);
        self.tick(span)?;
        if self.st.depth >= MAX_DEPTH {
            return self.err("E0902", span, "this expression is nested too deeply");
        }
        self.st.depth += 1;
        let before = self.b.span.replace(span);
        let value = self.eval_here(e, env, expect);
        self.b.span = before;
        self.st.depth -= 1;
        value
    }

    fn eval_here(&mut self, e: ExprId, env: &Env, expect: Option<&Type>) -> R<Value> {
        if self.comp.is_some()
            && let Some(v) = comprehension::try_expr(self, e, env)?
        {
            return Ok(v);
        }
        let ast = self.ast;
        let expr = ast.expr(e);
        let span = expr.span;
        match &expr.kind {
            ExprKind::Int(n) => Ok(Value::Int(*n)),
            ExprKind::Float(x) => Ok(Value::Float(*x)),
            ExprKind::Str(s) => Ok(Value::Str(s.clone())),
            ExprKind::Bool(b) => Ok(Value::Bool(*b)),
            ExprKind::Inf => Ok(Value::Float(f64::INFINITY)),
            ExprKind::Wild => Ok(Value::Wild(span)),
            ExprKind::Name(name) => match self.lookup(name, span, env)? {
                Some(v) => Ok(v),
                None => Err(match self.foreign(e, env) {
                    Some(told) => told,
                    None => self.unknown(name, span, env),
                }),
            },
            ExprKind::Unary(op, a) => self.unary(*op, *a, span, env),
            ExprKind::Binary { op, op_span, lhs, rhs } => self.binary(*op, *op_span, *lhs, *rhs, span, env),
            ExprKind::Cast(a, ty) => self.cast(*a, ty, span, env),
            ExprKind::Call { callee, args } => match self.foreign(e, env) {
                // What is wrong with the arguments is said in the same run.
                Some(told) => self.args(args, span, span, env).and(Err(told)),
                None => {
                    let before = self.diags.len();
                    let r = self.call(*callee, args, span, env, expect);
                    if r.is_err() {
                        self.foreign_call(before, *callee, args, span, env);
                    }
                    r
                }
            },
            ExprKind::Index { base, items } => match match self.foreign_sizes(*base, items, span, env) {
                Some(told) => Err(told),
                None => self.index(*base, items, span, env),
            }? {
                // `ones[B, 3]` and `iota[N]` are values as they stand.
                Value::WithDims(w) if matches!(&w.0, Value::Builtin(b) if b.sig.is_value()) => {
                    let mut a = self.args(&[], span, self.ast.span(*base), env)?;
                    a.expect = expect.cloned();
                    self.call_value(&Value::WithDims(w), a)
                }
                v => Ok(v),
            },
            ExprKind::Field { base, name } => match self.foreign(e, env) {
                Some(told) => Err(told),
                None => self.field_of(*base, name, None, span, span, env),
            },
            ExprKind::Lambda { params, body } => {
                self.distinct(params)?;
                Ok(Value::Closure(Rc::new(Closure { params: params.clone(), body: *body, env: env.clone(), span })))
            }
            ExprKind::If { cond, then, otherwise } => self.if_expr(span, *cond, then, *otherwise, env, expect),
            ExprKind::Scan { pat, iter, along, body } => self.scan((pat, *iter, *along), body, span, env),
            ExprKind::Seq(entries) => Ok(Value::Model(Rc::new(ModelTemplate {
                kind: TemplateKind::Seq(entries.clone()),
                env: env.clone(),
                dims: None,
                hyper: None,
                span,
            }))),
            ExprKind::Eval(block) => {
                let before = std::mem::replace(&mut self.training, false);
                let v = self.eval_block(block, env, expect);
                self.training = before;
                v
            }
            ExprKind::Block(block) => self.eval_block(block, env, expect),
            ExprKind::Rearrange { operand, from, to, sizes } => {
                let x = self.eval(*operand, env)?;
                let mut known = vec![];
                for (name, e) in sizes {
                    let v = self.eval(*e, env)?;
                    let d = self.as_dim(&v, ast.span(*e), "a size")?;
                    known.push((name.clone(), d.size));
                }
                tensor::rearrange(self, &x, from, to, &known, span)
            }
            ExprKind::Record(fields) => {
                let mut out: Vec<(Arc<str>, Value)> = vec![];
                for (name, e) in fields {
                    let v = self.eval(*e, env)?;
                    if out.iter().any(|(n, _)| *n == name.text) {
                        return self.err("E0208", name.span, format!("`{}` is given twice", name.text));
                    }
                    out.push((name.text.clone(), v));
                }
                self.tuple(out.iter().map(|(_, v)| v.clone()).collect(), span)?;
                Ok(Value::Record(Rc::new(out)))
            }
            ExprKind::List(items) => {
                let mut out = vec![];
                for item in items {
                    match item {
                        ListItem::Expr(e) => out.push(self.eval(*e, env)?),
                        ListItem::Row(name, at) => {
                            let text = name.as_ref().map(|n| n.text.clone());
                            match self.lookup_row(text.as_deref(), *at, env)? {
                                Some(dims) => out.extend(dims.into_iter().map(Value::Dim)),
                                None => {
                                    let name = text.map_or_else(|| "..".to_owned(), |n| format!("..{n}"));
                                    return self.err("E0105", *at, format!("unknown row of axes `{name}`"));
                                }
                            }
                        }
                    }
                }
                self.list(out, span)
            }
            ExprKind::ListFor { item, pat, iter, .. } => {
                let mut out = vec![];
                for v in self.iterate(*iter, env)? {
                    let inner = Scope::inside(env);
                    self.bind_pat(pat, v, false, &inner)?;
                    out.push(self.eval(*item, &inner)?);
                }
                self.list(out, span)
            }
            ExprKind::Tuple(items) => {
                let expected = match expect {
                    Some(Type::Tuple(t)) if t.len() == items.len() => Some(t),
                    _ => None,
                };
                let mut out = vec![];
                for (i, e) in items.iter().enumerate() {
                    out.push(self.eval_as(*e, env, expected.map(|t| &t[i]))?);
                }
                self.tuple(out, span)
            }
        }
    }

    fn unary(&mut self, op: UnaryOp, a: ExprId, span: Span, env: &Env) -> R<Value> {
        let v = self.eval(a, env)?;
        match (op, &v) {
            (UnaryOp::Neg, Value::Float(x)) => Ok(Value::Float(-x)),
            (UnaryOp::Neg, Value::Int(_) | Value::Dim(_)) => {
                let n = self.as_int(&v, span, "the operand")?;
                n.checked_neg()
                    .map_or_else(|| self.err("E0902", span, "the number is too large"), |n| Ok(Value::Int(n)))
            }
            (UnaryOp::Not, Value::Bool(b)) => Ok(Value::Bool(!b)),
            (_, Value::Tensor(_) | Value::Mean { .. }) => tensor::unary(self, op, &v, self.ast.span(a), span),
            _ => {
                let word = if op == UnaryOp::Neg { "-" } else { "not" };
                let d = Diagnostic::error("E0207", span, format!("`{word}` does not apply to {}", v.show()));
                let before = self.diags.len();
                let told = self.error(super::statics::untyped_list(&[&v], d));
                if op == UnaryOp::Neg {
                    self.stack_lists(before, BinaryOp::Sub, &[(&v, self.ast.span(a))]);
                }
                Err(told)
            }
        }
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        op_span: Span,
        lhs: ExprId,
        rhs: ExprId,
        span: Span,
        env: &Env,
    ) -> R<Value> {
        let (ls, rs) = (self.ast.span(lhs), self.ast.span(rhs));
        if op == BinaryOp::Pipe {
            return self.pipe(lhs, rhs, span, env);
        }
        let a = self.eval(lhs, env);
        if let (BinaryOp::And, Ok(Value::Bool(false))) | (BinaryOp::Or, Ok(Value::Bool(true))) = (op, &a) {
            return a;
        }
        let b = self.eval(rhs, env);
        let (a, b) = (a?, b?);
        if let (BinaryOp::And | BinaryOp::Or, Value::Bool(_), Value::Bool(_)) = (op, &a, &b) {
            return Ok(b);
        }
        let layers = |v: &Value| match v {
            Value::Model(_) => true,
            Value::List(l) => !l.is_empty() && l.iter().all(|v| matches!(v, Value::Model(_)) || callable(v)),
            _ => false,
        };
        if op == BinaryOp::Mul && layers(&a) && matches!(b, Value::Int(_) | Value::Dim(_)) {
            let n = self.as_int(&b, rs, "the number of layers")?;
            if !(0..=10_000).contains(&n) {
                return self.err("E0902", rs, format!("{n} layers; 0 to 10000 are possible"));
            }
            let layers = vec![a; n as usize];
            return Ok(Value::Model(Rc::new(ModelTemplate {
                kind: TemplateKind::Stack(layers),
                env: env.clone(),
                dims: None,
                hyper: None,
                span,
            })));
        }
        if op == BinaryOp::Add
            && let (Value::List(x), Value::List(y)) = (&a, &b)
        {
            return self.list(x.iter().chain(y.iter()).cloned().collect(), span);
        }
        let runtime = |v: &Value| matches!(v, Value::Tensor(_) | Value::Mean { .. });
        if runtime(&a) || runtime(&b) {
            for (v, s) in [(&a, ls), (&b, rs)] {
                if !runtime(v) && !is_static(v) && !matches!(v, Value::List(_)) {
                    let message = format!("`{}` does not apply to {}", super::statics::op_text(op), v.show());
                    let d = Diagnostic::error("E0207", s, message);
                    return Err(self.error(self.wanted_tensor(d, v, s)));
                }
            }
            return tensor::binary(self, op, &a, &b, OpSpans { op: op_span, lhs: ls, rhs: rs });
        }
        let before = self.diags.len();
        let r = self.static_binary(op, &a, &b, span);
        if r.is_err() {
            self.stack_lists(before, op, &[(&a, ls), (&b, rs)]);
        }
        r
    }

    /// `x |> f` and `x |> f(a)`, which is `f(x, a)`; `x |> m` for a layer `m`.
    fn pipe(&mut self, lhs: ExprId, rhs: ExprId, span: Span, env: &Env) -> R<Value> {
        let ls = self.ast.span(lhs);
        let x = self.eval(lhs, env)?;
        if let ExprKind::Call { callee, args } = &self.ast.expr(rhs).kind {
            let f = self.eval(*callee, env)?;
            if !matches!(f, Value::Model(_)) {
                let mut a = self.args(args, span, self.ast.span(*callee), env)?;
                a.pos.insert(0, (x, ls));
                return self.call_named(*callee, &f, a, env);
            }
        }
        let f = self.eval(rhs, env)?;
        let mut a = self.args(&[], span, self.ast.span(rhs), env)?;
        a.pos.push((x, ls));
        self.call_named(rhs, &f, a, env)
    }

    /// Calls what an expression says; a value whose name hides a function's is told from what is no function at all.
    fn call_named(&mut self, callee: ExprId, f: &Value, a: CallArgs, env: &Env) -> R<Value> {
        if let ExprKind::Name(n) = &self.ast.expr(callee).kind
            && let Some(d) = self.hides_a_function(n, callee, f, env)
        {
            return Err(self.error(d));
        }
        self.call_value(f, a)
    }

    fn cast(&mut self, a: ExprId, ty: &Ty, span: Span, env: &Env) -> R<Value> {
        let v = self.eval(a, env)?;
        let to = match self.ty(ty, env)? {
            // `as float` is the program's float; f64 stays what it is.
            Type::Tensor(TensorType { elem: ElemType::Float, dims }) if dims.is_empty() => match &v {
                Value::Tensor(t) | Value::Mean { num: t, .. } if t.elem.dtype() == DType::F64 => t.elem.clone(),
                _ => Elem::Plain(self.float),
            },
            Type::Tensor(t) if t.dims.is_empty() => t.elem_or(self.float),
            // A static int has 64 bits, a tensor of ints 32.
            Type::Int if is_static(&v) => Elem::Plain(DType::I64),
            Type::Int => Elem::Plain(DType::I32),
            _ => return self.err("E0207", ty.span, "`as` takes an element type, such as `f32` or `idx<N>`"),
        };
        if let Elem::Plain(d) = to {
            self.fits(&v, d, span)?;
        }
        let n = match &v {
            Value::Dim(d) => Value::Int(d.size as i64),
            Value::Bool(b) => Value::Int(i64::from(*b)),
            Value::Int(_) | Value::Float(_) => v.clone(),
            _ => return tensor::cast(self, &v, &to, span),
        };
        Ok(match (to, n) {
            (Elem::Plain(DType::Bool), Value::Int(n)) => Value::Bool(n != 0),
            (Elem::Plain(DType::Bool), Value::Float(x)) => Value::Bool(x != 0.0),
            (Elem::Plain(d), Value::Int(n)) if d.is_float() => Value::Float(n as f64),
            (Elem::Plain(d), v @ Value::Float(_)) if d.is_float() => v,
            (Elem::Plain(_), Value::Int(n)) => Value::Int(n),
            (Elem::Plain(_), Value::Float(x)) => Value::Int(x.trunc() as i64),
            (Elem::Idx(n), v) => {
                let whole = match v {
                    Value::Int(i) => Some(i),
                    Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => Some(x as i64),
                    _ => None,
                };
                if !whole.is_some_and(|i| u64::try_from(i).is_ok_and(|i| i < n.size)) {
                    return self.err("E0111", span, format!("{} is outside idx<{}>", v.show(), n.show()));
                }
                return tensor::cast(self, &v, &Elem::Idx(n), span);
            }
            (_, v) => v,
        })
    }

    fn call(&mut self, callee: ExprId, args: &[Arg], span: Span, env: &Env, expect: Option<&Type>) -> R<Value> {
        if let ExprKind::Index { base, items } = &self.ast.expr(callee).kind
            && let ExprKind::Name(name) = &self.ast.expr(*base).kind
            && comprehension::is_reducer(name)
        {
            return comprehension::reducer(self, name, items, args, span, env);
        }
        let place = self.st.place.take();
        let f = match &self.ast.expr(callee).kind {
            ExprKind::Field { base, name } if self.comp.is_none() => {
                self.field_of(*base, name, Some(args), self.ast.span(callee), span, env)
            }
            ExprKind::Index { base, items } if self.comp.is_none() => {
                self.index(*base, items, self.ast.span(callee), env)
            }
            _ => self.eval(callee, env),
        };
        let places = place.as_ref().map(|p| (p, f.as_ref().map_or(&[][..], parameters)));
        let a = self.args_at(args, span, self.ast.span(callee), env, places);
        let (f, mut a) = (f?, a?);
        if let Value::Fn(f) = &f
            && self.is_std(f.def.name.span)
            && let Some(first) = args.first()
        {
            match &*f.def.name.text {
                "cross_entropy" => self.applied_twice(first.value, callee, env, &["softmax", "log_softmax"]),
                "bce_with_logits" => self.applied_twice(first.value, callee, env, &["sigmoid"]),
                _ => {}
            }
        }
        a.expect = expect.cloned();
        self.st.place = place.filter(|_| matches!(f, Value::Fn(_)));
        self.call_named(callee, &f, a, env)
    }

    /// `base.name`, called with `args` if there are any; `whole` is the access or the call.
    fn field_of(
        &mut self,
        base: ExprId,
        name: &Ident,
        args: Option<&[Arg]>,
        span: Span,
        whole: Span,
        env: &Env,
    ) -> R<Value> {
        let v = self.eval(base, env)?;
        let sizes: Vec<u64> = match &v {
            Value::Tensor(t) if &*name.text != "T" => t.dims.iter().map(|d| d.size).collect(),
            Value::Mean { .. } => vec![],
            v => return self.field(v, name, span),
        };
        Err(self.foreign_method(base, name, (&v.show(), &sizes), args, whole, env))
    }

    /// A call of what is no function, where a function of that name is hidden by it.
    fn hides_a_function(&mut self, name: &str, callee: ExprId, v: &Value, env: &Env) -> Option<Diagnostic> {
        let number =
            is_static(v) || matches!(v, Value::Tensor(_) | Value::Mean { .. } | Value::Tuple(_) | Value::Str(_));
        let mut level = Some(env);
        let hiding = loop {
            let scope = level.filter(|_| number)?;
            match scope.own(name) {
                Some(b) => break b.span,
                None => level = scope.parent.as_ref(),
            }
        };
        let outer = level.and_then(|scope| scope.parent.as_ref())?;
        if !self.is_known(name, outer) {
            return None;
        }
        let at = self.ast.span(callee);
        let what = match self.lookup(name, self.ast.span(callee), outer) {
            Ok(Some(Value::Instance(_) | Value::Model(_))) => "layer",
            _ => "function",
        };
        let message = format!("`{name}` is {} here, not the {what} `{name}`", v.show());
        let d = Diagnostic::error("E0207", at, message)
            .here("this calls the value")
            .label(hiding, format!("this name hides the {what}"));
        let new = format!("{name}_");
        Some(d.fix(format!("give the value another name: `{new}`"), self.renamed(name, hiding, &new)))
    }

    /// Edits that rename what is bound at a place, as far as its item reaches; calls of the name mean something else.
    fn renamed(&self, name: &str, bound: Span, new: &str) -> Vec<Edit> {
        let items = self.ast.files.iter().flat_map(|f| &f.items);
        let inside = |outer: Span, s: Span| outer.file == s.file && outer.start <= s.start && s.end <= outer.end;
        let Some(item) = items.map(|i| i.span).find(|s| inside(*s, bound)) else { return vec![] };
        let callees: Vec<ExprId> = self
            .ast
            .exprs
            .iter()
            .filter_map(|e| match &e.kind {
                ExprKind::Call { callee, .. } => Some(*callee),
                ExprKind::Binary { op: BinaryOp::Pipe, rhs, .. } => Some(*rhs),
                _ => None,
            })
            .collect();
        let uses = self.ast.exprs.iter().enumerate().filter(|(i, e)| {
            let named = matches!(&e.kind, ExprKind::Name(n) if &**n == name);
            named && inside(item, e.span) && e.span.start > bound.start && !callees.contains(&ExprId(*i as u32))
        });
        let mut edits = vec![Edit::replace(bound, new)];
        edits.extend(uses.map(|(_, e)| Edit::replace(e.span, new)));
        edits
    }

    /// W0501: the scores given to a loss went through what the loss applies itself.
    fn applied_twice(&mut self, scores: ExprId, callee: ExprId, env: &Env, already: &[&str]) {
        let mut call = scores;
        while let ExprKind::Index { base, .. } = &self.ast.expr(call).kind {
            call = *base;
        }
        let ExprKind::Call { callee: inner, .. } = &self.ast.expr(call).kind else { return };
        let at = self.ast.span(call);
        let is_softmax = |v: &Value| matches!(v, Value::Fn(f) if already.contains(&&*f.def.name.text));
        let last = match self.lookup_quietly(*inner, env) {
            Some(v) if is_softmax(&v) => Some(at),
            Some(Value::Instance(m)) if matches!(m.template.kind, TemplateKind::Seq(_)) => match m.members.last() {
                Some(c) if matches!(&*c.state.borrow(), super::models::MemberState::Done(v) if is_softmax(v)) => {
                    Some(c.span)
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(place) = last {
            let name = already[0];
            let d = Diagnostic::warning("W0501", place, format!("{name} is applied twice"))
                .here(format!("remove this {name}"))
                .label(
                    self.ast.span(callee),
                    format!("expects raw scores and applies {} itself", already[already.len() - 1]),
                );
            let d = match self.without(place, at) {
                Some(edit) => d.fix(format!("leave out `{name}`"), [edit]),
                None => d,
            };
            self.report(d);
        }
    }

    /// The edit that leaves out a function that is applied last: the last entry of a `seq`, or a call with one argument.
    fn without(&self, place: Span, call: Span) -> Option<Edit> {
        let text = self.text(place);
        if place == call {
            let inner = text.split_once('(')?.1.strip_suffix(')')?;
            return (!inner.contains(',')).then(|| Edit::replace(place, inner));
        }
        let before = self.sources.file(place.file).text[..place.start as usize].trim_end();
        let before = before.strip_suffix(',')?.len() as u32;
        Some(Edit::replace(Span { start: before, ..place }, ""))
    }

    fn lookup_quietly(&mut self, e: ExprId, env: &Env) -> Option<Value> {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) => self.lookup(n, self.ast.span(e), env).ok().flatten(),
            _ => None,
        }
    }

    /// Evaluates arguments; all of them even if one is wrong.
    pub fn args(&mut self, args: &[Arg], span: Span, callee: Span, env: &Env) -> R<CallArgs> {
        self.args_at(args, span, callee, env, None)
    }

    /// Evaluates the arguments of a call that overrides know by a name; its parameters name what is in it.
    fn args_at(
        &mut self,
        args: &[Arg],
        span: Span,
        callee: Span,
        env: &Env,
        place: Option<(&Arc<str>, &[ast::Param])>,
    ) -> R<CallArgs> {
        let mut out = CallArgs { span, callee, dims: None, pos: vec![], named: vec![], expect: None, env: env.clone() };
        let mut failed = None;
        for arg in args {
            let at = self.ast.span(arg.value);
            if let (Some((place, params)), ExprKind::Call { .. }) = (place, &self.ast.expr(arg.value).kind) {
                let name = arg.name.as_ref().or(params.get(out.pos.len()).map(|p| &p.name));
                self.st.place = name.map(|n| format!("{place}.{}", n.text).into());
            }
            let v = self.eval(arg.value, env);
            self.st.place = None;
            match (v, &arg.name) {
                (Ok(v), Some(name)) => {
                    if out.named.iter().any(|(n, ..)| n.text == name.text) {
                        failed = Some(self.error(Diagnostic::error(
                            "E0208",
                            name.span,
                            format!("argument `{}` is given twice", name.text),
                        )));
                    }
                    out.named.push((name.clone(), v, at));
                }
                (Ok(v), None) => out.pos.push((v, at)),
                (Err(e), _) => failed = Some(e),
            }
        }
        failed.map_or(Ok(out), Err)
    }

    fn index(&mut self, base: ExprId, items: &[Ix], span: Span, env: &Env) -> R<Value> {
        for item in items {
            let Ix::At(e) = item else { continue };
            let (text, at) = (self.text(self.ast.span(*e)), self.ast.span(*e));
            if matches!(text.rsplit('.').next(), Some("None" | "newaxis")) && !self.is_known(text, env) {
                let d = Diagnostic::error("E0100", at, format!("unknown name `{text}`"))
                    .here("an axis of size 1 is `new`")
                    .fix("write `new`", [crate::diag::Edit::replace(at, "new")]);
                return Err(self.error(d));
            }
        }
        let v = self.eval(base, env)?;
        let before = self.diags.len();
        let found = self.index_value(&v, base, items, span, env);
        if found.is_err() {
            self.in_parentheses(before, &v, base, items, span);
        }
        found
    }

    fn index_value(&mut self, v: &Value, base: ExprId, items: &[Ix], span: Span, env: &Env) -> R<Value> {
        let at = self.ast.span(base);
        match v {
            Value::Tensor(t) => tensor::index(self, t, items, span, env),
            Value::Model(m) => {
                let dims = self.dim_args(items, env)?;
                if m.dims.is_some() || m.hyper.is_some() || !matches!(m.kind, TemplateKind::Item { .. }) {
                    return self.err("E0208", span, format!("{} has its dims already", v.show()));
                }
                Ok(Value::Model(Rc::new(ModelTemplate {
                    kind: m.kind.clone(),
                    env: m.env.clone(),
                    dims: Some(dims),
                    hyper: None,
                    span,
                })))
            }
            Value::Fn(_) | Value::Builtin(_) => {
                let dims = self.dim_args(items, env)?;
                Ok(Value::WithDims(Rc::new((v.clone(), dims))))
            }
            Value::Tuple(list) | Value::List(list) => self.index_list(list, items, span, env),
            Value::Data(d) => {
                let dims = self.dim_args(items, env)?;
                Ok(Value::Data(Rc::new(super::value::DataRef { dims: Some(dims), ..(**d).clone() })))
            }
            Value::Instance(m) => {
                if let [Ix::At(e)] = items {
                    let n = self.eval(*e, env)?;
                    let n = self.as_int(&n, self.ast.span(*e), "the number of a layer")?;
                    let name = crate::syntax::ast::Ident { text: n.to_string().into(), span: self.ast.span(*e) };
                    return self.field(&Value::Instance(m.clone()), &name, span);
                }
                self.err("E0207", at, format!("{} cannot be indexed", v.show()))
            }
            _ => {
                let d = Diagnostic::error("E0207", at, format!("{} cannot be indexed", v.show()));
                Err(self.error(d))
            }
        }
    }

    /// `v.name`
    pub fn field(&mut self, v: &Value, name: &Ident, span: Span) -> R<Value> {
        let missing = |el: &mut Self, names: Vec<Arc<str>>| {
            let mut d = Diagnostic::error("E0100", name.span, format!("{} has no `{}`", v.show(), name.text));
            // `m.forward(x)`: a layer is called by its name.
            if matches!(v, Value::Instance(_)) && &*name.text == "forward" && el.text(span).contains('.') {
                let dot = Span { start: name.span.start.saturating_sub(1), ..name.span };
                return el.error(d.fix("a layer is called by its name alone", [Edit::replace(dot, "")]));
            }
            if matches!(v, Value::Instance(_)) && &*name.text == "parameters" {
                return el.error(
                    d.help("an optimizer updates all parameters of the model: leave this out, as in `Adam(lr: 1e-3)`"),
                );
            }
            // Numbers of layers are no words that one could have misspelled.
            let words = names.iter().map(|n| &**n).filter(|n| !n.starts_with(|c: char| c.is_ascii_digit()));
            d = match super::cx::nearest(&name.text, words) {
                Some(near) => d.rename(name.span, near),
                None if names.is_empty() => d,
                None => d.note(format!("it has: {}", names.join(", "))),
            };
            el.error(d)
        };
        match v {
            Value::Tensor(t) => tensor::field(self, t, name, span),
            Value::Tuple(l) | Value::List(l) => match name.text.parse::<usize>().ok().and_then(|i| l.get(i)) {
                Some(v) => Ok(v.clone()),
                None => {
                    let message = format!("there is no `.{}` in {}", name.text, v.show());
                    self.err("E0116", name.span, message)
                }
            },
            Value::Record(r) => match r.iter().find(|(n, _)| *n == name.text) {
                Some((_, v)) => Ok(v.clone()),
                None => Err(missing(self, r.iter().map(|(n, _)| n.clone()).collect())),
            },
            Value::Instance(m) => match self.member(m, &name.text, name.span)? {
                Some(v) => Ok(v),
                None => match m.dims.iter().find(|d| d.name == name.text).cloned() {
                    Some(d) => Ok(Value::Dim(self.as_dim(&Value::Hole(d), name.span, "a dim")?)),
                    None => Err(missing(self, m.members.iter().map(|c| c.name.clone()).collect())),
                },
            },
            Value::Module(i) => match self.item(*i, &name.text, name.span)? {
                Some(v) => Ok(v),
                None => {
                    let names = self.st.modules[*i].items.keys().cloned().collect();
                    Err(missing(self, names))
                }
            },
            Value::Data(d) => {
                let known = match &self.st.data {
                    Some((n, env)) if **n == *d.def.name.text => Some(env.clone()),
                    _ => None,
                };
                match known.and_then(|env| env.own(&name.text)) {
                    Some(b) => Ok(b.value),
                    None => Err(missing(self, vec![])),
                }
            }
            v => {
                let message = format!("{} has no fields", v.show());
                self.err("E0207", name.span, message)
            }
        }
    }

    fn index_list(&mut self, list: &Rc<Vec<Value>>, items: &[Ix], span: Span, env: &Env) -> R<Value> {
        let n = list.len() as i64;
        match items {
            [Ix::At(e)] => {
                let v = self.eval(*e, env)?;
                let i = self.as_int(&v, self.ast.span(*e), "an index of a list")?;
                let k = if i < 0 { i + n } else { i };
                match usize::try_from(k).ok().and_then(|k| list.get(k)) {
                    Some(v) => Ok(v.clone()),
                    None => self.err("E0116", span, format!("index {i} is outside a list of {n}")),
                }
            }
            [Ix::Slice { lo, hi, step, .. }] => {
                let mut bound = |e: &Option<ExprId>, default: i64| -> R<i64> {
                    let Some(e) = e else { return Ok(default) };
                    let v = self.eval(*e, env)?;
                    let i = self.as_int(&v, self.ast.span(*e), "a bound")?;
                    Ok(if i < 0 { i + n } else { i }.clamp(0, n))
                };
                let (lo, hi) = (bound(lo, 0)?, bound(hi, n)?);
                let step = match step {
                    None => 1,
                    Some(e) => {
                        let v = self.eval(*e, env)?;
                        self.as_int(&v, self.ast.span(*e), "the step of a slice")?
                    }
                };
                if step <= 0 {
                    let d = tensor::index::no_step(span);
                    return Err(self.error(d.help(format!("to go backwards: `[list[-1 - i] for i in 0..{n}]`"))));
                }
                let part = (lo..hi).step_by(step as usize).map(|i| list[i as usize].clone()).collect();
                self.list(part, span)
            }
            _ => self.err("E0207", span, "a list takes one index or slice"),
        }
    }

    /// The entries between the brackets of `Linear[784, _]` or `ones[..S]`, rows expanded.
    pub fn dim_args(&mut self, items: &[Ix], env: &Env) -> R<Vec<(Value, Span)>> {
        let mut out = vec![];
        for item in items {
            match item {
                Ix::At(e) => {
                    let span = self.ast.span(*e);
                    let v = self.eval_dim_arg(*e, env)?;
                    match &v {
                        Value::Int(n) if *n < 0 => {
                            return self.err("E0209", span, format!("a size must not be negative, found {n}"));
                        }
                        Value::Int(_) | Value::Dim(_) | Value::Wild(_) | Value::Hole(_) => out.push((v, span)),
                        v => {
                            let d = Diagnostic::error(
                                "E0209",
                                span,
                                format!("a size must be a static int, found {}", v.show()),
                            );
                            return Err(self.error(d));
                        }
                    }
                }
                Ix::Row(name, span) => {
                    let text = name.as_ref().map(|n| n.text.clone());
                    match self.lookup_row(text.as_deref(), *span, env)? {
                        Some(dims) => out.extend(dims.into_iter().map(|d| (Value::Dim(d), *span))),
                        None => return self.err("E0105", *span, "unknown row of axes"),
                    }
                }
                Ix::New(span) | Ix::Slice { span, .. } => return self.err("E0209", *span, "a size is needed here"),
                Ix::Window { start, .. } => {
                    return self.err("E0209", self.ast.span(*start), "a size is needed here");
                }
            }
        }
        Ok(out)
    }

    fn if_expr(
        &mut self,
        whole: Span,
        cond: ExprId,
        then: &Block,
        otherwise: Option<ExprId>,
        env: &Env,
        expect: Option<&Type>,
    ) -> R<Value> {
        let span = self.ast.span(cond);
        let c = self.eval(cond, env)?;
        self.st.decided |= is_static(&c) && !self.is_std(span);
        match &c {
            Value::Bool(true) => self.eval_block(then, env, expect),
            Value::Bool(false) => match otherwise {
                Some(e) => self.eval_as(e, env, expect),
                None => Ok(Value::unit()),
            },
            Value::Tensor(Tensor { dims, elem: Elem::Plain(DType::Bool), .. }) if dims.is_empty() => {
                let Some(e) = otherwise else {
                    return Err(self.limit(span, "an `if` without `else` on a value known only at run time"));
                };
                self.st.selects += 1;
                let a = self.eval_block(then, env, expect);
                let b = self.eval_as(e, env, expect);
                self.st.selects -= 1;
                tensor::select(self, &c, &a?, &b?, span)
            }
            Value::Tensor(t) => {
                let message = format!("`if` needs one bool, found {}", t.show());
                let mut d = Diagnostic::error("E0201", span, message);
                if !t.dims.is_empty() {
                    d = d.here("one decision per element");
                }
                let inner = |b: &Block| match b.stmts.as_slice() {
                    [Stmt { kind: StmtKind::Expr(e), .. }] => Some(*e),
                    _ => None,
                };
                let other = otherwise.and_then(|e| match &self.ast.expr(e).kind {
                    ExprKind::Block(b) => inner(b),
                    _ => None,
                });
                d = match (inner(then), other) {
                    (Some(a), Some(b)) => {
                        let text = |e| self.text(self.ast.span(e));
                        let edit = format!("where({}, {}, {})", self.text(span), text(a), text(b));
                        d.fix(format!("`{edit}`"), [Edit::replace(whole, edit)])
                    }
                    _ => d.help("`where(c, a, b)` decides per element"),
                };
                Err(self.error(d))
            }
            v => {
                let message = format!("`if` needs one bool, found {}", v.show());
                self.err("E0201", span, message)
            }
        }
    }
}

/// Hyperparameters from the arguments of a call.
pub fn hyper_args(args: CallArgs) -> HyperArgs {
    HyperArgs { pos: args.pos, named: args.named }
}

/// Is a binder list one of plain index variables, as reducers have?
pub fn plain_binders(binders: &[Binder]) -> bool {
    binders.iter().all(|b| matches!(b, Binder::Var { .. }))
}

/// The parameters that a callee is declared with.
fn parameters(f: &Value) -> &[ast::Param] {
    match f {
        Value::Fn(f) => &f.def.params,
        Value::Model(m) => match &m.kind {
            TemplateKind::Item { def, .. } => &def.params,
            _ => &[],
        },
        _ => &[],
    }
}
