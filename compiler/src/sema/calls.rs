//! Calls: functions, methods, layers, builtins.
//!
//! In: a callee and evaluated arguments. Out: the result, with the callee's dims under the names that the caller knows.
//! Dims of a signature that nothing has bound are bound by the first argument that shows them.

use super::annotated::Of;
use super::conditions::Condition;
use super::cx::{CallArgs, Elab, Env, Frame, MAX_CALLS, R, Scope};
use super::exprs::hyper_args;
use super::models::{Instance, ModelTemplate, TemplateKind};
use super::value::{AxisType, Dim, Elem, FnValue, Tensor, Type, Value};
use crate::diag::{Diagnostic, Edit, Help, operand, shown};
use crate::source::Span;
use crate::syntax::ast::{self, ShapeItem, TyKind};
use std::rc::Rc;
use std::sync::Arc;

impl Elab<'_> {
    /// Calls a function, layer or schedule.
    pub fn call_value(&mut self, f: &Value, args: CallArgs) -> R<Value> {
        if self.frames.len() >= MAX_CALLS {
            let message = format!("calls inside calls, more than {MAX_CALLS} deep: does a function call itself?");
            self.st.given_up = true;
            return self.err("E0902", args.span, message);
        }
        self.tick(args.span)?;
        match f {
            Value::Builtin(b) => {
                let before = self.b.span.replace(args.span);
                let r = super::args::Args::read(self, &b.sig, args).and_then(|a| (b.call)(self, a));
                self.b.span = before;
                r
            }
            Value::Fn(f) => self.call_fn(f, args),
            Value::Overloads(fs) => {
                let fit = fs.iter().find(|f| ranks_fit(f, &args)).or(fs.last());
                match fit {
                    Some(f) => self.call_fn(f, args),
                    None => self.err("E0207", args.callee, "nothing to call"),
                }
            }
            Value::Closure(c) => {
                if let Some((n, ..)) = args.named.first() {
                    return self.err("E0208", n.span, "a lambda takes no named arguments");
                }
                if c.params.len() != args.pos.len() {
                    let message =
                        format!("this lambda takes {}, {} given", count(c.params.len(), "argument"), args.pos.len());
                    let d = Diagnostic::error("E0208", args.span, message).label(c.span, "defined here");
                    return Err(self.error(d));
                }
                let scope = Scope::inside(&c.env);
                for (p, (v, _)) in c.params.iter().zip(args.pos) {
                    self.bind_pat(p, v, false, &scope)?;
                }
                let comp = self.comp.take();
                self.push_frame("lambda", args.span, 0);
                let r = self.eval_as(c.body, &scope, args.expect.as_ref());
                self.frames.pop();
                self.comp = comp;
                r
            }
            Value::WithDims(w) => self.call_value(&w.0, CallArgs { dims: Some(w.1.clone()), ..args }),
            Value::ConstFn(x) => Ok(Value::Float(*x)),
            Value::Model(m) => self.apply_template(m, args),
            Value::Instance(m) => self.call_instance(m, args),
            Value::List(layers) if layers.iter().any(|l| matches!(l, Value::Instance(_))) => {
                self.fold_layers(&layers.clone(), args)
            }
            Value::Data(d) => {
                let (module, dims, def) = (d.module, d.dims.clone(), d.def.clone());
                let hyper = Some(hyper_args(args));
                Ok(Value::Data(Rc::new(super::value::DataRef { def, module, dims, hyper })))
            }
            v => {
                let message = format!("{} cannot be called", v.show());
                self.err("E0207", args.callee, message)
            }
        }
    }

    /// Calls a function with arguments in order.
    pub fn call_simple(&mut self, f: &Value, args: &[Value], span: Span, env: &Env) -> R<Value> {
        let pos = args.iter().map(|v| (v.clone(), span)).collect();
        let args = CallArgs { span, callee: span, dims: None, pos, named: vec![], expect: None, env: env.clone() };
        self.call_value(f, args)
    }

    pub(super) fn push_frame(&mut self, name: &str, span: Span, instance: u32) {
        let first_dim = self.dims.len() as u32;
        self.frames.push(Frame { name: name.to_owned(), span, first_dim, instance });
    }

    fn fold_layers(&mut self, layers: &[Value], args: CallArgs) -> R<Value> {
        let mut x = match layers.split_first() {
            Some((first, _)) => self.call_value(first, args.clone())?,
            None => return Ok(args.pos.into_iter().next().map_or_else(Value::unit, |(v, _)| v)),
        };
        for l in &layers[1..] {
            x = self.call_value(l, CallArgs { pos: vec![(x, args.span)], named: vec![], ..args.clone() })?;
        }
        Ok(x)
    }

    /// `Dropout(0.2)`: hyperparameters of a template.
    fn apply_template(&mut self, m: &Rc<ModelTemplate>, args: CallArgs) -> R<Value> {
        if m.hyper.is_some() || !matches!(m.kind, TemplateKind::Item { .. }) {
            let d = Diagnostic::error("E0207", args.span, format!("{} has no place of its own yet", m.name()))
                .note("a layer is declared first, then called: its parameters need a name");
            return Err(self.error(self.as_member(d, m, m.span)));
        }
        Ok(Value::Model(Rc::new(ModelTemplate {
            kind: m.kind.clone(),
            env: m.env.clone(),
            dims: m.dims.clone(),
            span: args.span,
            hyper: Some(hyper_args(args)),
        })))
    }

    /// Calls a layer: `forward` of a model, the entries of a `seq` or stack in order.
    pub fn call_instance(&mut self, m: &Rc<Instance>, args: CallArgs) -> R<Value> {
        m.called.set(true);
        let scope = self.b.scope.clone();
        let in_fn = std::mem::replace(&mut self.in_fn, false);
        if !m.path.is_empty() {
            self.b.scope = Some(m.path.clone());
        }
        let call = self.layer_begins(m);
        let r = match &m.template.kind {
            TemplateKind::Item { def, .. } => {
                let name = def.name.text.clone();
                match self.member(m, "forward", args.callee)? {
                    Some(f @ (Value::Fn(_) | Value::Overloads(_))) => self.call_value(&f, args),
                    _ => {
                        let d = Diagnostic::error("E0207", args.callee, format!("`{name}` cannot be called"))
                            .help(format!("give `{name}` a `fn forward(x: ..) -> ..`"));
                        Err(self.error(d))
                    }
                }
            }
            _ => self.call_seq(m, 0, args),
        };
        self.layer_ends(call, &r);
        (self.b.scope, self.in_fn) = (scope, in_fn);
        if self.st.predict.is_empty()
            && self.st.loops.is_empty()
            && self.st.trained.contains(&m.uid)
            && let Ok(v) = &r
        {
            self.st.predict = tensors(v);
        }
        r
    }

    /// Calls the entries of a `seq` or stack from one of them on.
    pub(super) fn call_seq(&mut self, m: &Rc<Instance>, first: usize, args: CallArgs) -> R<Value> {
        if let Some((n, ..)) = args.named.first() {
            return self.err("E0208", n.span, "`seq` takes no named arguments");
        }
        let mut now = args.clone();
        for i in first..m.members.len() {
            let at = m.members[i].span;
            self.st.entry = Some(at);
            let expect = if i + 1 == m.members.len() { args.expect.clone() } else { None };
            let layer = self.member_at(m, i, args.span);
            let y = layer.and_then(|l| {
                let call = self.entry_begins(m, i, &l);
                let y = self.call_value(&l, CallArgs { span: at, callee: at, expect, ..now });
                self.layer_ends(call, &y);
                y
            });
            let y = match y {
                Ok(y) => y,
                Err(e) => {
                    // What is wrong with the layers after it is said too.
                    for j in i + 1..m.members.len() {
                        self.member_at(m, j, args.span).ok();
                    }
                    return Err(e);
                }
            };
            now = CallArgs { pos: vec![(y, at)], span: at, ..args.clone() };
        }
        match now.pos.into_iter().next() {
            Some((v, _)) => Ok(v),
            None => self.err("E0208", args.span, "a layer needs an argument"),
        }
    }

    /// Calls a function item or method.
    pub fn call_fn(&mut self, f: &Rc<FnValue>, mut args: CallArgs) -> R<Value> {
        let def: &ast::Fn = &f.def;
        self.st.reached.insert(def.name.span);
        if f.vjp.is_some() {
            return Err(self.limit(args.callee, "functions with a `vjp` rule"));
        }
        let name = match &f.owner {
            Some(m) if &*def.name.text == "forward" => m.show(),
            Some(m) => format!("{}.{}", m.show(), def.name.text),
            None => def.name.text.to_string(),
        };
        // Ops are named after the outermost function, `fc1.gelu`: what it calls in turn is its own business.
        let (place, in_fn) = (self.b.scope.clone(), self.in_fn);
        if f.owner.is_none() && !in_fn {
            self.b.scope = Some(place.as_ref().map_or(name.clone(), |p| format!("{p}.{name}")).into());
            self.in_fn = true;
        }
        let scope = Scope::inside(&f.env);
        let settable = self.st.place.take();
        let uid = f.owner.as_ref().map_or(0, |m| m.uid);
        let comp = self.comp.take();
        self.push_frame(&name, args.span, uid);
        let callee = match &f.owner {
            Some(m) if &*def.name.text == "forward" => Some(m.clone()),
            _ => None,
        };
        let before = std::mem::replace(&mut self.st.callee, callee);
        let (given, found) = (args.clone(), self.diags.len());
        let mut bound = self.bind_args(def, &name, &mut args, &scope, settable);
        if bound.is_err() {
            bound = self.if_swapped(f, &name, given, found, bound);
        }
        self.st.callee = None;
        let result = bound.and_then(|()| self.run_fn(def, &scope, &args));
        let result = result.map(|v| self.leave(v));
        self.st.callee = before;
        self.frames.pop();
        self.comp = comp;
        (self.b.scope, self.in_fn) = (place, in_fn);
        result
    }

    /// Arguments that fit in the other order are swapped: that is said instead of why the first does not fit.
    fn if_swapped(&mut self, f: &FnValue, name: &str, given: CallArgs, found: usize, bound: R<()>) -> R<()> {
        let [(Value::Tensor(_), a), (Value::Tensor(_), b)] = given.pos[..] else { return bound };
        let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
        if self.is_std(a) || a.file != b.file || a.end > b.start {
            return bound;
        }
        let errors = self.diags.split_off(found.min(self.diags.len()));
        let guessing = std::mem::replace(&mut self.st.guesses.on, false);
        let mut swapped = given.clone();
        swapped.pos.swap(0, 1);
        let fits = self.bind_args(&f.def, name, &mut swapped, &Scope::inside(&f.env), None).is_ok();
        self.st.guesses.on = guessing;
        self.diags.truncate(found);
        // A loss of std reads scores first: class numbers there are swapped, even if more is wrong with both.
        let classes = |v: &Value| matches!(v, Value::Tensor(Tensor { elem: Elem::Idx(_), .. }));
        let scores = |v: &Value| matches!(v, Value::Tensor(t) if t.elem.dtype().is_float());
        let loss = self.is_std(f.def.name.span) && classes(&given.pos[0].0) && scores(&given.pos[1].0);
        if !fits && !loss {
            self.diags.extend(errors);
            return bound;
        }
        let params: Vec<&str> = f.def.params.iter().take(2).map(|p| &*p.name.text).collect();
        let message =
            format!("the arguments of `{name}` are swapped: `{}` comes first, then `{}`", params[0], params[1]);
        let (x, y) = (self.text(a), self.text(b));
        let d = Diagnostic::error("E0208", a, message)
            .here(format!("this is {}", given.pos[0].0.show()))
            .label(b, format!("this is {}", given.pos[1].0.show()))
            .fix(
                format!("swap them: `{}`", shown(&format!("{name}({y}, {x})"))),
                [Edit::replace(a, y), Edit::replace(b, x)],
            );
        Err(self.error(d))
    }

    fn bind_args(
        &mut self,
        def: &ast::Fn,
        name: &str,
        args: &mut CallArgs,
        scope: &Env,
        settable: Option<Arc<str>>,
    ) -> R<()> {
        if let Some(dims) = args.dims.take() {
            if dims.len() > def.dims.len() {
                let message = format!("`{name}` takes {}, {} given", count(def.dims.len(), "dim"), dims.len());
                return self.err("E0208", args.span, message);
            }
            for (p, (v, span)) in def.dims.iter().zip(dims) {
                if matches!(v, Value::Wild(_)) {
                    continue;
                }
                let d = self.as_dim(&v, span, "a dim")?;
                let d = self.inner_dim(&p.name.text, &d, span, 0);
                scope.bind(&p.name.text, Value::Dim(d), false, span);
            }
        }
        let mut given: Vec<Option<(Value, Span)>> = vec![None; def.params.len()];
        let pos = std::mem::take(&mut args.pos);
        if pos.len() > def.params.len() {
            let span = pos[def.params.len()].1;
            let message = format!("`{name}` takes {}, {} given", count(def.params.len(), "argument"), pos.len());
            let d = Diagnostic::error("E0208", if self.is_std(span) { args.span } else { span }, message);
            return Err(self.error(d));
        }
        for (slot, v) in given.iter_mut().zip(pos) {
            *slot = Some(v);
        }
        let mut unknown = None;
        for (n, v, span) in std::mem::take(&mut args.named) {
            if n.text.starts_with(|c: char| c.is_ascii_uppercase()) {
                let d = self.as_dim(&v, span, "a dim")?;
                let d = self.inner_dim(&n.text, &d, span, 0);
                scope.bind(&n.text, Value::Dim(d), false, span);
                continue;
            }
            match def.params.iter().position(|p| p.name.text == n.text) {
                Some(i) if given[i].is_some() => {
                    return self.err("E0208", n.span, format!("argument `{}` is given twice", n.text));
                }
                Some(i) => given[i] = Some((v, span)),
                None => {
                    let mut d = Diagnostic::error("E0208", n.span, format!("`{name}` has no parameter `{}`", n.text));
                    let names: Vec<&str> = def.params.iter().map(|p| &*p.name.text).collect();
                    d = match super::foreign::parameter(&n.text, &names) {
                        Some(near) => d.rename(n.span, near),
                        None if names.is_empty() => d,
                        None => d.note(format!("it has: {}", names.join(", "))),
                    };
                    unknown = Some(self.error(d));
                }
            }
        }
        unknown.map_or(Ok(()), Err)?;
        if let Some(place) = settable {
            for (p, given) in def.params.iter().zip(&mut given) {
                if let Some(e) = self.st.override_of(&format!("{place}.{}", p.name.text), None) {
                    *given = Some(self.override_value(e)?);
                }
            }
        }
        // Names are bound by all arguments first, so that `f(n: [2*N], x: [N])` works in any order.
        for (p, v) in def.params.iter().zip(&given) {
            if let (Some(ty), Some((v, span))) = (&p.ty, v) {
                let what = format!("argument `{}` of `{name}`", p.name.text);
                self.bind_ty(ty, v, scope, *span, &what)?;
            }
        }
        for p in &def.dims {
            if let (Some(e), None) = (p.default, scope.own(&p.name.text)) {
                let v = self.eval(e, scope)?;
                let d = self.as_dim(&v, self.ast.span(e), "a dim")?;
                let d = self.inner_dim(&p.name.text, &d, self.ast.span(e), 0);
                scope.bind(&p.name.text, Value::Dim(d), false, p.name.span);
            }
        }
        let columns: Vec<(Vec<u64>, Span)> = given.iter().flatten().map(|(v, s)| (dims_of(v), *s)).collect();
        let mut places = vec![];
        for (p, v) in def.params.iter().zip(given) {
            let what = format!("argument `{}` of `{name}`", p.name.text);
            let (v, span) = match (v, p.default) {
                (Some(v), _) => v,
                (None, Some(e)) => {
                    let expect = match &p.ty {
                        Some(t) => Some(self.ty(t, scope)?),
                        None => None,
                    };
                    (self.eval_as(e, scope, expect.as_ref())?, self.ast.span(e))
                }
                (None, None) => {
                    let d = Diagnostic::error("E0208", args.span, format!("`{name}` needs `{}`", p.name.text))
                        .label(p.name.span, "declared here, without a default");
                    return Err(self.error(d));
                }
            };
            let v = match &p.ty {
                Some(t) => {
                    let t = self.ty(t, scope)?;
                    let shape = dims_of(&v);
                    let before = self.diags.len();
                    let fit = self.coerce(v, &t, span, &what);
                    if fit.is_err() {
                        self.column_help(before, &columns, &shape);
                    }
                    fit?
                }
                None => v,
            };
            let v = self.variable(&p.name, v);
            scope.bind(&p.name.text, v, false, p.name.span);
            places.push((p.name.text.clone(), span));
        }
        // What a layer's `forward` demands of its argument may depend on how the layer was made.
        if let Some(m) = self.st.callee.clone().filter(|_| !def.conditions.is_empty())
            && let TemplateKind::Item { def: model, .. } = &m.template.kind
            && let Some(made) = &m.env.parent
        {
            let hyper = model.params.iter().map(|p| &p.name.text);
            places.extend(hyper.filter_map(|n| made.own(n).map(|b| (n.clone(), b.span))));
        }
        for c in &def.conditions {
            let (places, name) = (places.clone(), name.into());
            self.condition(Condition { expr: *c, env: scope.clone(), name, places, call: args.span })?;
        }
        Ok(())
    }

    /// `m(x)[:, 0]`: what to do if one argument is [B, 1] where another is [B].
    fn column_help(&mut self, before: usize, args: &[(Vec<u64>, Span)], shape: &[u64]) {
        let column = |long: &[u64], short: &[u64]| {
            long.split_last().is_some_and(|(last, rest)| *last == 1 && rest == short && !short.is_empty())
        };
        // Of this argument and one of the others the longer has an axis of 1 too many.
        let found = args.iter().find(|(other, _)| column(other, shape)).or_else(|| {
            let short = args.iter().any(|(other, _)| column(shape, other));
            args.iter().find(|(other, _)| short && other == shape)
        });
        let Some((long, span)) = found else { return };
        let colons = vec![":"; long.len() - 1].join(", ");
        let text = format!("{}[{colons}, 0]", operand(self.text(*span)));
        if !self.is_std(*span)
            && let Some(d) = self.diags.get_mut(before)
            // Wrong classes are not mended by another shape.
            && d.code != "E0111"
        {
            let edits = vec![Edit::replace(*span, &text)];
            d.help.push(Help { message: format!("drop the extra axis: `{}`", shown(&text)), edits });
        }
    }

    /// A body that ends by binding a name gives nothing.
    fn ends_in_let(&mut self, def: &ast::Fn) -> R<()> {
        let ast::ExprKind::Block(b) = &self.ast.expr(def.body).kind else { return Ok(()) };
        let Some(last) = b.stmts.last().filter(|s| !self.is_std(s.span)) else { return Ok(()) };
        let ast::StmtKind::Let { pat: ast::Pat::Name(n), .. } = &last.kind else { return Ok(()) };
        // What only keeps state gives nothing.
        if b.stmts.iter().any(|s| matches!(s.kind, ast::StmtKind::Set { .. })) {
            return Ok(());
        }
        let name = &n.text;
        let before = &self.sources.file(last.span.file).text[..last.span.start as usize];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let more = if line.trim().is_empty() { format!("\n{line}{name}") } else { format!("; {name}") };
        let d = Diagnostic::error("E0207", last.span, format!("`{}` gives nothing: it ends in a `let`", def.name.text))
            .here("a function gives its last expression")
            .fix(format!("give `{name}`"), [Edit::after(last.span, more)]);
        Err(self.error(d))
    }

    fn run_fn(&mut self, def: &ast::Fn, scope: &Env, args: &CallArgs) -> R<Value> {
        self.ends_in_let(def)?;
        let Some(ty) = &def.result else {
            return self.eval_as(def.body, scope, args.expect.as_ref());
        };
        let open = ty_has_hole(self, ty, scope);
        let expect = if open { None } else { Some(self.ty(ty, scope)?) };
        let v = self.eval_as(def.body, scope, expect.as_ref())?;
        let span = self.result_span(def.body);
        let what = format!("the result of `{}`", def.name.text);
        let before = self.diags.len();
        let fits = match &expect {
            Some(t) => self.coerce(v.clone(), t, span, &what),
            None => self.match_ty(ty, v.clone(), scope, span, &what),
        };
        if fits.is_err() {
            self.annotated(before, (ty, Of::Result), &v, span, scope);
        }
        fits
    }

    /// Where the value of a body stands: its last statement.
    fn result_span(&self, body: ast::ExprId) -> Span {
        match &self.ast.expr(body).kind {
            ast::ExprKind::Block(b) => b.stmts.last().map_or(b.span, |s| s.span),
            _ => self.ast.span(body),
        }
    }

    /// A value that leaves the innermost call: its dims under the caller's names.
    fn leave(&mut self, v: Value) -> Value {
        match v {
            Value::Tensor(t) => Value::Tensor(self.leave_tensor(t)),
            Value::Mean { num, den } => Value::Mean { num: self.leave_tensor(num), den: self.leave_tensor(den) },
            Value::Tuple(l) => {
                self.work(l.len());
                Value::Tuple(Rc::new(l.iter().map(|v| self.leave(v.clone())).collect()))
            }
            Value::List(l) => {
                self.work(l.len());
                Value::List(Rc::new(l.iter().map(|v| self.leave(v.clone())).collect()))
            }
            Value::Dim(d) => Value::Dim(self.leave_dim(d)),
            v => v,
        }
    }

    fn leave_tensor(&mut self, t: Tensor) -> Tensor {
        let elem = match t.elem {
            Elem::Idx(d) => Elem::Idx(self.leave_dim(d)),
            e => e,
        };
        Tensor { id: t.id, elem, dims: t.dims.into_iter().map(|d| self.leave_dim(d)).collect() }
    }

    fn leave_dim(&self, mut d: Dim) -> Dim {
        let Some((frame, before)) = self.frames.split_last() else { return d };
        let same = before.last().is_some_and(|f| f.instance != 0 && f.instance == frame.instance);
        while let Some(info) = self.dims.get(d.id.0 as usize) {
            let Some(outer) = &info.outer else { break };
            let inner = info.owner == 0 && d.id.0 >= frame.first_dim;
            if !(inner || !same && info.owner != 0 && info.owner == frame.instance) {
                break;
            }
            d = Dim { stretches: d.stretches && outer.stretches, ..outer.clone() };
        }
        d
    }
}

/// Do the ranks of the arguments fit a function's signature?
fn ranks_fit(f: &FnValue, args: &CallArgs) -> bool {
    f.def.params.len() >= args.pos.len()
        && f.def.params.iter().zip(&args.pos).all(|(p, (v, _))| {
            let (Some(ast::Ty { kind: TyKind::Tensor { shape, .. }, .. }), Value::Tensor(t)) = (&p.ty, v) else {
                return true;
            };
            let items: Vec<&ShapeItem> = shape.iter().flatten().collect();
            let rows = items.iter().filter(|i| matches!(i, ShapeItem::Row(..))).count();
            if rows > 0 { t.dims.len() >= items.len() - rows } else { t.dims.len() == items.len() }
        })
}

/// Does a type mention a dim that is still to be decided?
fn ty_has_hole(el: &mut Elab<'_>, ty: &ast::Ty, env: &Env) -> bool {
    match &ty.kind {
        TyKind::Fn(_) => false,
        TyKind::Tuple(parts) => parts.iter().any(|t| ty_has_hole(el, t, env)),
        TyKind::Tensor { shape, .. } => {
            shape.iter().flatten().any(|i| matches!(i, ShapeItem::Dim(e) if el.has_hole(*e, env)))
        }
    }
}

/// `1 argument`, `2 arguments`, `0 axes`
pub fn count(n: usize, what: &str) -> String {
    match what {
        _ if n == 1 => format!("1 {what}"),
        "axis" => format!("{n} axes"),
        "index" => format!("{n} indices"),
        _ => format!("{n} {what}s"),
    }
}

/// Does a type have an axis that only the value tells?
pub fn is_open(ty: &Type) -> bool {
    match ty {
        Type::Tensor(t) => t.dims.iter().any(|d| !matches!(d, AxisType::Dim(_))),
        Type::Tuple(parts) => parts.iter().any(is_open),
        _ => false,
    }
}

/// The tensors of a result, which may be a tuple.
fn tensors(v: &Value) -> Vec<Tensor> {
    match v {
        Value::Tensor(t) => vec![t.clone()],
        Value::Tuple(items) | Value::List(items) => items.iter().flat_map(tensors).collect(),
        _ => vec![],
    }
}

/// The sizes of a tensor; none for anything else.
fn dims_of(v: &Value) -> Vec<u64> {
    match v {
        Value::Tensor(t) => t.dims.iter().map(|d| d.size).collect(),
        _ => vec![],
    }
}
