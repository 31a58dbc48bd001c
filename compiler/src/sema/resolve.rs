//! Names in functions and models that nothing instantiates.
//!
//! In: the items of the program's own files. Out: E0100/E0105 for names that do not exist. Elaboration finds these where
//! it passes; a model that no `train` uses is still told about its slips.

use super::comprehension::is_reducer;
use super::cx::{Elab, Env, Scope};
use super::value::Value;
use crate::syntax::ast::{
    self, Arg, BinaryOp, Binder, Block, DtypeName, ExprId, ExprKind, Ident, ItemKind, Ix, ListItem, MemberKind,
    ModelBody, Pat, ShapeItem, StmtKind, Ty, TyKind,
};

impl Elab<'_> {
    /// Walks every function and model of the program's own files.
    pub fn resolve_items(&mut self) {
        for m in self.st.prelude.len()..self.st.modules.len() {
            let env = self.st.modules[m].env.clone();
            let ast = self.ast;
            for item in &ast.files[m].items {
                match &item.kind {
                    ItemKind::Fn(f) => self.resolve_fn(f, &env),
                    ItemKind::Model(d) | ItemKind::Optimizer(d) | ItemKind::Metric(d) => self.resolve_model(d, &env),
                    _ => {}
                }
            }
        }
    }

    fn resolve_model(&mut self, d: &ast::Model, outer: &Env) {
        let env = Scope::inside(outer);
        for p in &d.dims {
            known(&env, &p.name);
        }
        for p in &d.params {
            if let Some(t) = &p.ty {
                self.resolve_ty(t, &env, true);
            }
            known(&env, &p.name);
        }
        for p in &d.params {
            self.resolve_all(p.default, &env);
        }
        self.resolve_all(d.dims.iter().filter_map(|p| p.default), &env);
        self.resolve_all(d.conditions.iter().copied(), &env);
        match &d.body {
            ModelBody::Expr(e) => self.resolve(*e, &env),
            ModelBody::Members(list) => {
                for m in list {
                    match &m.kind {
                        MemberKind::Param { name, .. }
                        | MemberKind::State { name, .. }
                        | MemberKind::Dim { name, .. }
                        | MemberKind::Sub { name, .. } => known(&env, name),
                        MemberKind::Const(c) => pattern(&c.pat, &env),
                        MemberKind::Fn(f) => known(&env, &f.name),
                        MemberKind::Tie { .. } => {}
                    }
                }
                for m in list {
                    match &m.kind {
                        MemberKind::Param { ty, init, cond, .. } => {
                            self.resolve_all(*cond, &env);
                            self.resolve_all(init.as_ref().map(|i| i.value), &env);
                            // What an optimizer keeps is shaped by a row that the parameter binds.
                            self.resolve_ty(ty, &env, false);
                        }
                        MemberKind::State { init, .. } => self.resolve(init.value, &env),
                        MemberKind::Const(c) => self.resolve(c.init.value, &env),
                        MemberKind::Dim { value, .. } => self.resolve(*value, &env),
                        MemberKind::Sub { value, cond, .. } => {
                            self.resolve_all(*cond, &env);
                            self.resolve(*value, &env);
                        }
                        MemberKind::Fn(f) => self.resolve_fn(f, &env),
                        MemberKind::Tie { .. } => {}
                    }
                }
            }
        }
    }

    fn resolve_fn(&mut self, f: &ast::Fn, outer: &Env) {
        let env = Scope::inside(outer);
        for p in &f.dims {
            known(&env, &p.name);
        }
        for p in &f.params {
            if let Some(t) = &p.ty {
                self.resolve_ty(t, &env, true);
            }
        }
        for p in &f.params {
            known(&env, &p.name);
        }
        self.resolve_all(f.params.iter().filter_map(|p| p.default), &env);
        self.resolve_all(f.conditions.iter().copied(), &env);
        if let Some(t) = &f.result {
            self.resolve_ty(t, &env, false);
        }
        self.resolve(f.body, &env);
    }

    fn resolve_all(&mut self, es: impl IntoIterator<Item = ExprId>, env: &Env) {
        for e in es {
            self.resolve(e, env);
        }
    }

    /// Names in a type; a plain dim that is not known yet is bound where `open`.
    fn resolve_ty(&mut self, ty: &Ty, env: &Env, open: bool) {
        let ast = self.ast;
        match &ty.kind {
            TyKind::Fn(_) => {}
            TyKind::Tuple(parts) => parts.iter().for_each(|t| self.resolve_ty(t, env, open)),
            TyKind::Tensor { dtype, shape } => {
                let idx = match dtype {
                    Some(DtypeName::Idx(e)) => Some(*e),
                    Some(DtypeName::Named(n)) if !self.is_type(&n.text, shape.is_some(), env) => {
                        self.unknown_type(n, shape.is_some(), env);
                        None
                    }
                    _ => None,
                };
                let dims = shape.iter().flatten().filter_map(|i| match i {
                    ShapeItem::Dim(e) => Some(*e),
                    ShapeItem::Row(..) => None,
                });
                for e in idx.into_iter().chain(dims) {
                    match &ast.expr(e).kind {
                        ExprKind::Name(n) if open && n.starts_with(|c: char| c.is_ascii_uppercase()) => {
                            let span = ast.span(e);
                            if env.own(n).is_none() {
                                known(env, &Ident { text: n.clone(), span });
                            }
                        }
                        _ => self.resolve(e, env),
                    }
                }
            }
        }
    }

    fn resolve_block(&mut self, b: &Block, env: &Env) {
        let env = Scope::inside(env);
        for s in &b.stmts {
            match &s.kind {
                StmtKind::Let { pat, ty, init } | StmtKind::Var { pat, ty, init } => {
                    if let Some(t) = ty {
                        self.resolve_ty(t, &env, false);
                    }
                    if let Pat::Comp { binders, .. } = pat {
                        let inner = Scope::inside(&env);
                        for b in binders {
                            if let Binder::Var { name, bound } = b {
                                self.resolve_all(*bound, &env);
                                known(&inner, name);
                            }
                        }
                        self.resolve(init.value, &inner);
                    } else {
                        self.resolve(init.value, &env);
                    }
                    pattern(pat, &env);
                }
                StmtKind::Dim { name, value } => {
                    self.resolve(*value, &env);
                    known(&env, name);
                }
                StmtKind::For { pat, iter, body } => {
                    self.resolve(*iter, &env);
                    let inner = Scope::inside(&env);
                    pattern(pat, &inner);
                    self.resolve_block(body, &inner);
                }
                StmtKind::Emit(e) | StmtKind::Penalty(e) | StmtKind::Expr(e) => self.resolve(*e, &env),
                StmtKind::Assert { cond, .. } => self.resolve(*cond, &env),
                StmtKind::Set { value, .. } => self.resolve(*value, &env),
                StmtKind::Minimize { value, .. } => self.resolve(*value, &env),
                StmtKind::Every { count, body } => {
                    self.resolve(*count, &env);
                    self.resolve_block(body, &env);
                }
            }
        }
    }

    fn resolve(&mut self, e: ExprId, env: &Env) {
        let ast = self.ast;
        let span = ast.span(e);
        match &ast.expr(e).kind {
            ExprKind::Name(n) => {
                if !self.is_known(n, env) && self.foreign(e, env).is_none() {
                    self.unknown(n, span, env);
                }
            }
            ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Inf
            | ExprKind::Wild => {}
            ExprKind::Unary(_, a) => self.resolve(*a, env),
            ExprKind::Binary { lhs, rhs, .. } => {
                self.resolve(*lhs, env);
                self.resolve(*rhs, env);
            }
            ExprKind::Cast(a, ty) => {
                self.resolve(*a, env);
                self.resolve_ty(ty, env, false);
            }
            ExprKind::Field { .. } if self.foreign(e, env).is_some() => {}
            ExprKind::Call { args, .. } if self.foreign(e, env).is_some() => {
                self.resolve_all(args.iter().map(|a| a.value), env);
            }
            ExprKind::Call { callee, args } => self.resolve_call(*callee, args, env),
            ExprKind::Index { base, items } => {
                self.resolve(*base, env);
                self.resolve_items_of(items, env);
            }
            ExprKind::Field { base, .. } => self.resolve(*base, env),
            ExprKind::Lambda { params, body } => {
                let inner = Scope::inside(env);
                params.iter().for_each(|p| pattern(p, &inner));
                self.resolve(*body, &inner);
            }
            ExprKind::If { cond, then, otherwise } => {
                self.resolve(*cond, env);
                self.resolve_block(then, env);
                self.resolve_all(*otherwise, env);
            }
            ExprKind::Scan { pat, iter, body, .. } => {
                self.resolve(*iter, env);
                let inner = Scope::inside(env);
                pattern(pat, &inner);
                self.resolve_block(body, &inner);
            }
            ExprKind::Seq(entries) => self.resolve_all(entries.iter().map(|e| e.value), env),
            ExprKind::Eval(b) | ExprKind::Block(b) => self.resolve_block(b, env),
            ExprKind::Rearrange { operand, sizes, .. } => {
                self.resolve(*operand, env);
                self.resolve_all(sizes.iter().map(|(_, e)| *e), env);
            }
            ExprKind::Record(fields) => self.resolve_all(fields.iter().map(|(_, e)| *e), env),
            ExprKind::List(items) => self
                .resolve_all(items.iter().filter_map(|i| if let ListItem::Expr(e) = i { Some(*e) } else { None }), env),
            ExprKind::ListFor { item, pat, iter, .. } => {
                self.resolve(*iter, env);
                let inner = Scope::inside(env);
                pattern(pat, &inner);
                self.resolve(*item, &inner);
            }
            ExprKind::Tuple(items) => self.resolve_all(items.iter().copied(), env),
        }
    }

    fn resolve_call(&mut self, callee: ExprId, args: &[Arg], env: &Env) {
        let ast = self.ast;
        if let ExprKind::Index { base, items } = &ast.expr(callee).kind
            && let ExprKind::Name(n) = &ast.expr(*base).kind
            && is_reducer(n)
        {
            let inner = Scope::inside(env);
            for item in items {
                let Ix::At(e) = item else { continue };
                let (name, bound) = match &ast.expr(*e).kind {
                    ExprKind::Binary { op: BinaryOp::Lt, lhs, rhs, .. } => (*lhs, Some(*rhs)),
                    _ => (*e, None),
                };
                self.resolve_all(bound, env);
                if let ExprKind::Name(n) = &ast.expr(name).kind {
                    known(&inner, &Ident { text: n.clone(), span: ast.span(name) });
                }
            }
            self.resolve_all(args.iter().map(|a| a.value), &inner);
            return;
        }
        self.resolve(callee, env);
        self.resolve_all(args.iter().map(|a| a.value), env);
    }

    fn resolve_items_of(&mut self, items: &[Ix], env: &Env) {
        for item in items {
            match item {
                Ix::Row(..) | Ix::New(_) => {}
                Ix::Slice { lo, hi, step, .. } => {
                    self.resolve_all([*lo, *hi, *step].into_iter().flatten(), env);
                }
                Ix::Window { start, len } => self.resolve_all([*start, *len], env),
                Ix::At(e) => self.resolve(*e, env),
            }
        }
    }
}

fn known(env: &Env, name: &Ident) {
    env.bind(&name.text, Value::Int(0), false, name.span);
}

fn pattern(pat: &Pat, env: &Env) {
    let mut names = vec![];
    super::names::idents(pat, &mut names);
    names.into_iter().for_each(|n| known(env, n));
}
