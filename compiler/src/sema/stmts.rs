//! Evaluation of blocks and statements.
//!
//! In: a block and the names around it. Out: its value, with names bound, variables assigned and state written. `for`
//! runs here; a name that is bound again gets an inner scope, so that what has captured the old one keeps it.

use super::annotated::Of;
use super::calls::count;
use super::comprehension;
use super::cx::{Compared, Elab, Env, R, Scope};
use super::models::TemplateKind;
use super::statics::is_static;
use super::value::{Tensor, Type, Value};
use crate::diag::{Diagnostic, Edit, operand, shown};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Block, ExprId, ExprKind, Ident, Init, Pat, SetOp, Stmt, StmtKind, Ty};
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

impl Elab<'_> {
    /// The elements of a list, tuple, static range or stack.
    pub fn iterate(&mut self, iter: ExprId, env: &Env) -> R<Vec<Value>> {
        let span = self.ast.span(iter);
        let v = self.eval(iter, env)?;
        match &v {
            Value::List(l) | Value::Tuple(l) => {
                self.work(l.len());
                Ok(l.to_vec())
            }
            Value::Range(a, b) => self.range(*a, *b, span),
            Value::Instance(m) if !matches!(m.template.kind, TemplateKind::Item { .. }) => {
                let m = m.clone();
                (0..m.members.len()).map(|i| self.member_at(&m, i, span)).collect()
            }
            v => {
                let d =
                    Diagnostic::error("E0209", span, format!("`for` needs a static range or list, found {}", v.show()));
                Err(self.error(match v {
                    Value::Tensor(_) => d.help("`scan` walks along an axis of a tensor"),
                    _ => d,
                }))
            }
        }
    }

    /// The value of a block: that of its last statement if it is an expression.
    pub fn eval_block(&mut self, block: &Block, env: &Env, expect: Option<&Type>) -> R<Value> {
        let mut scope = Scope::inside(env);
        let mut last = Value::unit();
        let mut failed = None;
        for (i, stmt) in block.stmts.iter().enumerate() {
            let expect = if i + 1 == block.stmts.len() { expect } else { None };
            match self.stmt(stmt, &mut scope, expect) {
                Ok(v) => last = v,
                Err(e) => {
                    failed = Some(e);
                    self.poison(stmt, &scope);
                }
            }
        }
        failed.map_or(Ok(last), Err)
    }

    /// Marks the names of a statement that failed: what depends on them would only repeat the message.
    pub fn poison(&self, stmt: &Stmt, scope: &Env) {
        if let StmtKind::Let { pat, .. } | StmtKind::Var { pat, .. } = &stmt.kind {
            let mut names = vec![];
            super::names::idents(pat, &mut names);
            for n in names {
                scope.bind(&n.text, Value::Poison, true, n.span);
            }
        }
        if let StmtKind::Dim { name, .. } = &stmt.kind {
            scope.bind(&name.text, Value::Poison, false, name.span);
        }
    }

    /// Runs a statement; the scope may be replaced by an inner one when a name is bound again.
    pub fn stmt(&mut self, stmt: &Stmt, scope: &mut Env, expect: Option<&Type>) -> R<Value> {
        self.tick(stmt.span)?;
        if let Some(a) = stmt.attrs.first() {
            let feature = format!("the attribute `@{}`", a.name.text);
            return Err(self.limit(a.name.span, &feature));
        }
        match &stmt.kind {
            StmtKind::Expr(e) => return self.eval_as(*e, scope, expect),
            StmtKind::Let { pat, ty, init } => self.let_stmt(pat, ty.as_ref(), init, false, scope)?,
            StmtKind::Var { pat, ty, init } => self.let_stmt(pat, ty.as_ref(), init, true, scope)?,
            StmtKind::Dim { name, value } => {
                let v = self.eval(*value, scope)?;
                let mut d = self.as_dim(&v, self.ast.span(*value), "a dim")?;
                d = self.fresh_dim(d.size, Some(name.text.clone()), Some(self.ast.span(*value)));
                self.rebind(scope, &name.text);
                scope.bind(&name.text, Value::Dim(d), false, name.span);
            }
            StmtKind::For { pat, iter, body } => {
                for v in self.iterate(*iter, scope)? {
                    self.tick(stmt.span)?;
                    let inner = Scope::inside(scope);
                    self.bind_pat(pat, v, false, &inner)?;
                    self.eval_block(body, &inner, None)?;
                }
            }
            StmtKind::Set { target, op, value } => self.set(*target, *op, *value, stmt.span, scope)?,
            StmtKind::Assert { cond, message } => self.assert(*cond, message.as_ref(), scope)?,
            StmtKind::Emit(e) => self.emit(*e, scope)?,
            StmtKind::Minimize { .. } => return Err(self.limit(stmt.span, "`minimize` (write `loss = ...`)")),
            StmtKind::Every { .. } => return Err(self.limit(stmt.span, "`every`")),
            StmtKind::Penalty(_) => return Err(self.limit(stmt.span, "`penalty`")),
        }
        Ok(Value::unit())
    }

    fn emit(&mut self, e: ExprId, env: &Env) -> R<()> {
        let span = self.ast.span(e);
        if self.st.selects > 0 {
            return Err(self.limit(span, "`emit` under an `if` that is decided at run time"));
        }
        let v = self.eval(e, env)?;
        match self.st.loops.last_mut() {
            Some(l) => {
                l.emitted.push((v, span));
                Ok(())
            }
            None => self.err("E0208", span, "`emit` stands in the body of a `scan`"),
        }
    }

    fn rebind(&self, scope: &mut Env, name: &str) {
        if scope.own(name).is_some() {
            *scope = Scope::inside(scope);
        }
    }

    fn let_stmt(&mut self, pat: &Pat, ty: Option<&Ty>, init: &Init, mutable: bool, scope: &mut Env) -> R<()> {
        let span = self.ast.span(init.value);
        if let Pat::Comp { name, binders, .. } = pat {
            if init.draw {
                return self.err(
                    "E0208",
                    span,
                    "a comprehension is defined with `=`, a draw has a type: `let e: [B] ~ normal()`",
                );
            }
            let v = comprehension::comprehension(self, name, binders, ty, init.value, scope)?;
            self.note_let(&name.text, &v, name.span);
            self.rebind(scope, &name.text);
            let v = self.variable(name, v);
            scope.bind(&name.text, v, mutable, name.span);
            return Ok(());
        }
        let mut v = self.init_value(ty, init, scope, "this")?;
        if self.st.asserts.is_some()
            && self.frames.is_empty()
            && let Pat::Name(n) = pat
        {
            v = self.place(v, &n.text, span)?;
        }
        let mut names = vec![];
        pat_names(pat, &mut names);
        for n in &names {
            self.rebind(scope, n);
        }
        let scope = scope.clone();
        if let Pat::Name(n) = pat {
            self.note_let(&n.text, &v, n.span);
        }
        self.bind_pat(pat, v, mutable, &scope)
    }

    /// `: T = e` or `: T ~ dist`.
    pub fn init_value(&mut self, ty: Option<&Ty>, init: &Init, env: &Env, what: &str) -> R<Value> {
        let span = self.ast.span(init.value);
        let written = ty;
        let ty = match ty {
            Some(t) => Some(self.ty(t, env)?),
            None => None,
        };
        if !init.draw {
            let v = self.eval_as(init.value, env, ty.as_ref())?;
            let (Some(t), Some(written)) = (&ty, written) else { return Ok(v) };
            let before = self.diags.len();
            let fits = self.coerce(v.clone(), t, span, what);
            if fits.is_err() {
                self.annotated(before, (written, Of::Name), &v, span, env);
            }
            return fits;
        }
        match &ty {
            Some(Type::Tensor(t)) if t.known().is_some() => {
                let dist = self.eval(init.value, env)?;
                let dims = t.known().unwrap_or_default();
                self.check_shape(&dims, span)?;
                Ok(Value::Tensor(super::builtins::draw(self, &dist, t, span)?))
            }
            Some(_) => self.err("E0106", span, "a draw needs a type with every size given"),
            None => {
                let d = Diagnostic::error("E0106", span, "a draw needs a type: how many numbers, and of what dtype?");
                let d = self.typed_draw(d, init.value, env);
                Err(self.error(d))
            }
        }
    }

    /// Binds the names of a pattern.
    pub fn bind_pat(&mut self, pat: &Pat, v: Value, mutable: bool, scope: &Env) -> R<()> {
        match pat {
            Pat::Name(n) => {
                let v = self.variable(n, v);
                if let Value::Tensor(t) = &v
                    && !self.is_std(n.span)
                {
                    self.b.name(t.id, &n.text);
                }
                scope.bind(&n.text, v, mutable, n.span);
                Ok(())
            }
            Pat::Wild(_) => Ok(()),
            Pat::Tuple(pats, span) => {
                self.distinct(pats)?;
                let items = match &v {
                    Value::Tuple(l) | Value::List(l) if l.len() == pats.len() => l.clone(),
                    Value::Tensor(t) if t.dims.first().is_some_and(|d| d.size == pats.len() as u64) => {
                        let parts = (0..pats.len()).map(|i| self.row(t, i as u64)).collect::<Vec<_>>();
                        Rc::new(parts)
                    }
                    v => {
                        let message = format!("a pattern of {} cannot take {}", count(pats.len(), "name"), v.show());
                        return self.err("E0207", *span, message);
                    }
                };
                for (p, v) in pats.iter().zip(items.iter()) {
                    self.bind_pat(p, v.clone(), mutable, scope)?;
                }
                Ok(())
            }
            Pat::Comp { span, .. } => self.err("E0208", *span, "an index is not possible in this place"),
        }
    }

    /// Patterns that stand together bind different names.
    pub fn distinct(&mut self, pats: &[Pat]) -> R<()> {
        let mut names = vec![];
        pats.iter().for_each(|p| super::names::idents(p, &mut names));
        for (i, n) in names.iter().enumerate() {
            if let Some(first) = names[..i].iter().find(|f| f.text == n.text) {
                let d = Diagnostic::error("E0208", n.span, format!("`{}` is bound twice", n.text));
                return Err(self.error(d.label(first.span, "first bound here")));
            }
        }
        Ok(())
    }

    /// `t[i]`
    fn row(&mut self, t: &Tensor, i: u64) -> Value {
        let sizes: Vec<u64> = t.dims.iter().map(|d| d.size).collect();
        let (mut start, mut stop) = (vec![0; sizes.len()], sizes.clone());
        (start[0], stop[0]) = (i, i + 1);
        let id = self.b.slice(t.id, &start, &stop, &vec![1; sizes.len()]);
        let id = self.b.reshape(id, &sizes[1..]);
        Value::Tensor(Tensor { id, elem: t.elem.clone(), dims: t.dims[1..].to_vec() })
    }

    fn set(&mut self, target: ExprId, op: SetOp, value: ExprId, span: Span, env: &Env) -> R<()> {
        let t = self.ast.expr(target);
        let arith = match op {
            SetOp::Add => Some(BinaryOp::Add),
            SetOp::Sub => Some(BinaryOp::Sub),
            SetOp::Mul => Some(BinaryOp::Mul),
            SetOp::Set | SetOp::State => None,
        };
        match &t.kind {
            _ if self.st.selects > 0 => Err(self.limit(span, "assignment under an `if` that is decided at run time")),
            ExprKind::Name(name) if op == SetOp::State => {
                let v = self.eval(value, env)?;
                self.write_state(name, t.span, v, self.ast.span(value), env)
            }
            ExprKind::Name(name) => {
                let mut level = Some(env.clone());
                let binding = loop {
                    match level {
                        None => break None,
                        Some(l) => match l.own(name) {
                            Some(b) => break Some(b),
                            None => level = l.parent.clone(),
                        },
                    }
                };
                match binding {
                    Some(b) if b.mutable => {
                        let new = match arith {
                            Some(op) => self.binary(op, span, target, value, span, env)?,
                            None => self.eval(value, env)?,
                        };
                        let new = self.variable(&Ident { text: name.clone(), span: t.span }, new);
                        env.set(name, new);
                        Ok(())
                    }
                    Some(b) => {
                        let d = Diagnostic::error("E0210", t.span, format!("`{name}` cannot be assigned"));
                        let file = &self.sources.file(b.span.file).text;
                        let before = file[..b.span.start as usize].trim_end();
                        let d = if before.ends_with("let") {
                            let end = before.len() as u32;
                            let word = Span { start: end - 3, end, ..b.span };
                            d.label(b.span, "bound here by `let`")
                                .fix(format!("bind it with `var {name} = ...`"), [Edit::replace(word, "var")])
                        } else if env.has(name) || env.parent.as_ref().is_some_and(|p| p.has(name)) {
                            // A variable for the rest of the block; inside of a loop it would end with the round.
                            let new = self.text(self.ast.span(value));
                            let new = match arith {
                                Some(op) => format!("{name} {} {}", super::statics::op_text(op), operand(new)),
                                None => new.to_owned(),
                            };
                            let edit = format!("var {name} = {new}");
                            let help = format!("bind it anew: `{}`", shown(&edit));
                            let d = d.label(b.span, "bound here").fix(help, [Edit::replace(span, edit)]);
                            let told = self.error(d);
                            let v = match arith {
                                Some(op) => self.binary(op, span, target, value, span, env)?,
                                None => self.eval(value, env)?,
                            };
                            env.bind(name, v, true, t.span);
                            return Err(told);
                        } else {
                            d.label(b.span, "bound here").help(format!("copy it: `var new = {name}`"))
                        };
                        Err(self.error(d))
                    }
                    None if self.is_state(name, env) => {
                        let new = self.text(self.ast.span(value));
                        let new = match arith {
                            Some(op) => format!("{name} {} {}", super::statics::op_text(op), operand(new)),
                            None => new.to_owned(),
                        };
                        let edit = format!("{name} <- {new}");
                        let d = Diagnostic::error("E0210", t.span, format!("`{name}` is state"))
                            .fix(format!("write it with `<-`: `{}`", shown(&edit)), [Edit::replace(span, &edit)]);
                        Err(self.error(d))
                    }
                    None if op == SetOp::Set => {
                        let d = Diagnostic::error("E0100", t.span, format!("`{name}` is not bound yet"))
                            .fix(format!("bind it: `let {name} = ..`"), [Edit::replace(t.span, format!("let {name}"))]);
                        let told = self.error(d);
                        // What follows may use it: that it is not bound is said once.
                        let v = self.eval(value, env)?;
                        env.bind(name, v, false, t.span);
                        Err(told)
                    }
                    None => Err(self.unknown(name, t.span, env)),
                }
            }
            ExprKind::Tuple(items) if op == SetOp::Set => {
                let v = self.eval(value, env)?;
                let parts = match &v {
                    Value::Tuple(l) | Value::List(l) if l.len() == items.len() => l.clone(),
                    v => {
                        let message = format!("{} cannot take {}", count(items.len(), "name"), v.show());
                        return self.err("E0207", t.span, message);
                    }
                };
                for (item, part) in items.iter().zip(parts.iter()) {
                    match &self.ast.expr(*item).kind {
                        ExprKind::Wild => {}
                        ExprKind::Name(n) => {
                            let at = Ident { text: n.clone(), span: self.ast.span(*item) };
                            let part = self.variable(&at, part.clone());
                            if !env.set(n, part) {
                                return Err(self.unknown(n, self.ast.span(*item), env));
                            }
                        }
                        _ => return self.err("E0210", self.ast.span(*item), "only a `var` can be assigned"),
                    }
                }
                Ok(())
            }
            ExprKind::Field { base, name } if op == SetOp::State => {
                let v = self.eval(*base, env)?;
                if let Value::Instance(m) = &v {
                    let model = m.template.name().to_owned();
                    let message = format!("`{}` can only be written by {model}'s own methods", name.text);
                    let d = Diagnostic::error("E0206", t.span, message)
                        .help(format!("expose `fn reset() {{ {} <- 0 }}` in {model}", name.text));
                    return Err(self.error(d));
                }
                self.err("E0210", t.span, "only state can be written with `<-`")
            }
            ExprKind::Index { .. } => Err(self.limit(span, "assignment to a part of a tensor")),
            _ => self.err("E0210", t.span, "this cannot be assigned"),
        }
    }

    fn assert(&mut self, cond: ExprId, message: Option<&Arc<str>>, env: &Env) -> R<()> {
        let span = self.ast.span(cond);
        let v = self.eval(cond, env)?;
        match v {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) if self.st.asserts.is_none() => {
                let text = message.map_or_else(|| format!("`{}` does not hold", self.text(span)), |m| m.to_string());
                let mut d = Diagnostic::error("E0115", span, text);
                match &self.ast.expr(cond).kind {
                    ExprKind::Binary { op, lhs, rhs, .. } if !matches!(op, BinaryOp::And | BinaryOp::Or) => {
                        if let (Ok(a), Ok(b)) = (self.eval(*lhs, env), self.eval(*rhs, env)) {
                            d = d.here(format!("{} {} {}", a.show(), super::statics::op_text(*op), b.show()));
                        }
                    }
                    _ => self.st.decided = true,
                }
                Err(self.error(d))
            }
            v if is_static(&v) && !matches!(v, Value::Bool(_)) => {
                self.err("E0201", span, format!("`assert` needs one bool, found {}", v.show()))
            }
            v => {
                let t = self.as_tensor(&v, Some(DType::Bool).filter(|_| is_static(&v)), span)?;
                if !t.dims.is_empty() || t.elem.dtype() != DType::Bool {
                    let message = format!("`assert` needs one bool, found {}", t.show());
                    return self.err("E0201", span, message);
                }
                match &mut self.st.asserts {
                    Some(list) => {
                        let compared = self.st.compared.filter(|c| c.result == t.id);
                        let compared = compared.or_else(|| sides(self.b.graph(), t.id));
                        list.push(super::cx::Assertion { cond: t.id, message: message.cloned(), span, compared });
                        Ok(())
                    }
                    None => Err(self.limit(span, "`assert` on a value known only at run time, outside of a `test`")),
                }
            }
        }
    }
}

/// The sides of a comparison, or of an `==` that all elements are asked for.
fn sides(g: &Graph, cond: ValueId) -> Option<Compared> {
    let (mut at, mut all) = (cond, false);
    let least = |x: ValueId| matches!(g.op(x), Op::Reduce { kind: ReduceKind::Min, .. });
    loop {
        match (g.op(at), g.inputs(at)) {
            // `all` is whether the least of its elements, as integers, is more than 0.
            (Op::Ew(Ew::Gt), &[x, _]) if g.ty(x).dtype == DType::I32 && least(x) => (at, all) = (x, true),
            (Op::Reduce { kind: ReduceKind::Min, .. } | Op::Cast(_), &[x]) if all => at = x,
            (Op::Ew(Ew::Eq), &[left, right]) => return Some(Compared { result: cond, left, right, tol: None }),
            (Op::Ew(Ew::Lt | Ew::Le | Ew::Gt | Ew::Ge | Ew::Ne), &[left, right]) if !all => {
                return Some(Compared { result: cond, left, right, tol: None });
            }
            _ => return None,
        }
    }
}

/// Names that a pattern binds.
fn pat_names<'p>(pat: &'p Pat, out: &mut Vec<&'p str>) {
    match pat {
        Pat::Name(n) => out.push(&n.text),
        Pat::Tuple(pats, _) => pats.iter().for_each(|p| pat_names(p, out)),
        Pat::Wild(_) | Pat::Comp { .. } => {}
    }
}
