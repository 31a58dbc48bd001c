//! Models: templates, instances with a place in the parameter tree, members made when first asked for.
//!
//! In: a model item, `seq { }` or a stack with its dims and hyperparameters. Out: instances whose parameters are slots of
//! the graph, named by their path.

use super::conditions::Condition;
use super::cx::{Elab, Env, R, Reported, Scope, ScopeKind};
use super::value::{Dim, DimFrom, DimVar, Elem, ElemType, FnValue, TensorType, Type, Value};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{self, Ident, MemberKind, ModelBody};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Models inside models, before elaboration gives up.
const MAX_NESTING: usize = 64;
/// Members of models, before elaboration gives up.
const MAX_MEMBERS: usize = 200_000;

/// What a template is made of.
#[derive(Clone)]
pub enum TemplateKind {
    /// A `model`, `optimizer` or `metric` item.
    Item {
        /// Its syntax.
        def: Arc<ast::Model>,
        /// What it is.
        role: Role,
    },
    /// `seq { }`
    Seq(Vec<ast::SeqEntry>),
    /// Layers one after another: `Block(..) * n`, or a list of layers.
    Stack(Vec<Value>),
}

/// Kinds of model item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `model`
    Model,
    /// `optimizer`
    Optimizer,
    /// `metric`
    Metric,
}

/// Hyperparameters as given.
#[derive(Clone, Default)]
pub struct HyperArgs {
    /// Without names.
    pub pos: Vec<(Value, Span)>,
    /// With names.
    pub named: Vec<(Ident, Value, Span)>,
}

/// A model with some or all of its arguments, not yet part of anything.
#[derive(Clone)]
pub struct ModelTemplate {
    /// What it is made of.
    pub kind: TemplateKind,
    /// Names around it.
    pub env: Env,
    /// Between brackets, if given.
    pub dims: Option<Vec<(Value, Span)>>,
    /// Between parentheses, if given.
    pub hyper: Option<HyperArgs>,
    /// Where it was written.
    pub span: Span,
}

impl ModelTemplate {
    /// Its item's name, `seq` or `stack`.
    pub fn name(&self) -> &str {
        match &self.kind {
            TemplateKind::Item { def, .. } => &def.name.text,
            TemplateKind::Seq(_) => "seq",
            TemplateKind::Stack(_) => "stack",
        }
    }

    /// `model`, `optimizer`, ...
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            TemplateKind::Item { role: Role::Optimizer, .. } => "optimizer",
            TemplateKind::Item { role: Role::Metric, .. } => "metric",
            _ => "model",
        }
    }
}

/// A model with a place in the parameter tree.
pub struct Instance {
    /// Prefix of its parameters' names; empty for the root.
    pub path: Arc<str>,
    /// Distinguishes instances.
    pub uid: u32,
    /// What it was made from.
    pub template: Rc<ModelTemplate>,
    /// Its dims, some perhaps undecided.
    pub dims: Vec<Rc<DimVar>>,
    /// Members, hyperparameters and dims.
    pub env: Env,
    /// Members in source order.
    pub members: Vec<MemberCell>,
    /// Models around it.
    pub depth: usize,
    /// Where it was written.
    pub span: Span,
    /// Has it been called?
    pub called: Cell<bool>,
}

/// A member of an instance.
pub struct MemberCell {
    /// Its name; entries of `seq` and stacks are numbered.
    pub name: Arc<str>,
    /// Its part of the parameter path: the name, `@name("x")`, or nothing.
    pub segment: Arc<str>,
    /// Where it stands.
    pub span: Span,
    /// How to make it.
    pub source: MemberSource,
    /// What has been made.
    pub state: RefCell<MemberState>,
}

/// How to make a member.
pub enum MemberSource {
    /// The member of this number of the model item.
    Item(usize),
    /// The entry of a `seq`.
    Entry(ast::ExprId),
    /// An element of a stack.
    Value(Value),
}

/// How far a member is.
#[derive(Clone)]
pub enum MemberState {
    /// Not asked for yet.
    Todo,
    /// Being made; asking again is a cycle.
    Busy,
    /// Made.
    Done(Value),
    /// A state: its present value is in the table of states, under this name.
    State(Arc<str>),
    /// Its `if` is false.
    Absent,
    /// Could not be made; reported.
    Failed,
}

impl Instance {
    /// Is there a member or method of a name?
    pub fn has_member(&self, name: &str) -> bool {
        let method = |def: &ast::Model| match &def.body {
            ModelBody::Members(list) => {
                list.iter().any(|x| matches!(&x.kind, MemberKind::Fn(f) if &*f.name.text == name))
            }
            ModelBody::Expr(_) => false,
        };
        self.members.iter().any(|c| &*c.name == name)
            || matches!(&self.template.kind, TemplateKind::Item { def, .. } if method(def))
    }

    /// As messages show it: its path, or its model's name; `3: Linear` for an entry of `seq`, which has a number only.
    pub fn show(&self) -> String {
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        match self.path.rsplit('.').next() {
            None | Some("") => self.template.name().to_owned(),
            Some(last) if number(last) => format!("{}: {}", self.path, self.template.name()),
            Some(_) => self.path.to_string(),
        }
    }
}

impl Elab<'_> {
    /// Gives a template a place in the parameter tree.
    pub fn instantiate(&mut self, t: &Rc<ModelTemplate>, path: &str) -> R<Rc<Instance>> {
        self.tick(t.span)?;
        if self.st.nesting >= MAX_NESTING {
            let message =
                format!("models inside models, more than {MAX_NESTING} deep: does `{}` hold itself?", t.name());
            self.st.given_up = true;
            return self.err("E0902", t.span, message);
        }
        self.st.nesting += 1;
        let made = self.instantiate_here(t, path);
        self.st.nesting -= 1;
        made
    }

    fn instantiate_here(&mut self, t: &Rc<ModelTemplate>, path: &str) -> R<Rc<Instance>> {
        self.st.instances += 1;
        let uid = self.st.instances;
        let outer = Scope::inside(&t.env);
        let mut dims = vec![];
        if let TemplateKind::Item { def, .. } = &t.kind {
            self.st.reached.insert(def.name.span);
            let bound = self.bind_model_dims(def, t, (uid, path), &outer).and_then(|dims| {
                self.bind_hyper(def, t, path, &outer)?;
                Ok(dims)
            });
            // `--set m.p=..` is meant for this model, not for those inside it.
            self.st.binding = None;
            dims = bound?;
            for c in &def.conditions {
                let names = def.params.iter().map(|p| &p.name.text).chain(def.dims.iter().map(|p| &p.name.text));
                let places = names.filter_map(|n| outer.own(n).map(|b| (n.clone(), b.span))).collect();
                let (env, name) = (outer.clone(), def.name.text.clone());
                self.condition(Condition { expr: *c, env, name, places, call: t.span })?;
            }
            if let ModelBody::Expr(e) = &def.body {
                let v = self.eval(*e, &outer)?;
                let Some(inner) = as_template(&v, &outer, self.ast.span(*e)) else {
                    let message = format!("`model {} = ...` needs layers, found {}", def.name.text, v.show());
                    return self.err("E0207", self.ast.span(*e), message);
                };
                let label = def.name.text.clone();
                let m = self.instantiate(&inner, path)?;
                self.st.labels.insert(m.uid, (label, dims));
                return Ok(m);
            }
        }
        let mut members = vec![];
        match &t.kind {
            TemplateKind::Item { def, .. } => {
                if let ModelBody::Members(list) = &def.body {
                    for (i, m) in list.iter().enumerate() {
                        let segment = self.segment(&m.attrs)?;
                        for name in member_names(&m.kind) {
                            members.push(cell(name, segment.clone(), name.span, MemberSource::Item(i)));
                        }
                        if let MemberKind::Tie { a, b } = &m.kind {
                            self.tie(*a, *b, path, &outer);
                        }
                    }
                }
            }
            TemplateKind::Seq(entries) => {
                for (i, e) in entries.iter().enumerate() {
                    let span = self.ast.span(e.value);
                    let name = match &e.name {
                        Some(n) => n.clone(),
                        None => Ident { text: i.to_string().into(), span },
                    };
                    members.push(cell(&name, None, span, MemberSource::Entry(e.value)));
                }
            }
            TemplateKind::Stack(layers) => {
                for (i, l) in layers.iter().enumerate() {
                    let name = Ident { text: i.to_string().into(), span: t.span };
                    members.push(cell(&name, None, t.span, MemberSource::Value(l.clone())));
                }
            }
        }
        self.st.members += members.len();
        if self.st.members > MAX_MEMBERS {
            self.st.given_up = true;
            return self.err("E0902", t.span, format!("the program has more than {MAX_MEMBERS} layers and parameters"));
        }
        Ok(Rc::new_cyclic(|me| Instance {
            path: path.into(),
            uid,
            template: t.clone(),
            dims,
            env: match &t.kind {
                TemplateKind::Item { .. } => Scope::new(Some(outer), ScopeKind::Instance(me.clone())),
                _ => outer,
            },
            members,
            depth: self.st.nesting,
            span: t.span,
            called: Cell::new(false),
        }))
    }

    fn bind_model_dims(
        &mut self,
        def: &ast::Model,
        t: &ModelTemplate,
        (uid, path): (u32, &str),
        env: &Env,
    ) -> R<Vec<Rc<DimVar>>> {
        let given: &[(Value, Span)] = t.dims.as_deref().unwrap_or(&[]);
        let name = &def.name.text;
        if given.len() > def.dims.len() {
            return Err(self.dims_too_many(def, t, given));
        }
        let mut out = vec![];
        for (i, p) in def.dims.iter().enumerate() {
            let var = |span, from| DimVar { name: p.name.text.clone(), span, dim: None.into(), from, owner: uid };
            let over = match self.st.hyper_override(path, &p.name.text) {
                Some(e) => Some(self.override_value(e)?),
                None => None,
            };
            let v = match (over.as_ref().or(given.get(i)), p.default) {
                (Some((Value::Wild(_), span)), _) => var(*span, DimFrom::Call),
                (Some((Value::Hole(h), span)), _) => var(*span, DimFrom::Outer(h.clone())),
                (Some((v, span)), _) => {
                    let outer = self.as_dim(v, *span, "a dim")?;
                    if outer.size == 0 {
                        let at = if self.is_std(*span) { t.span } else { *span };
                        let message =
                            format!("`{}` of `{name}` must be at least 1, found {}", p.name.text, outer.show());
                        let d = Diagnostic::error("E0209", at, message);
                        let origin = outer.origin.filter(|o| *o != at && !self.is_std(*o));
                        return Err(self.error(match origin {
                            Some(o) => d.label(o, "the size comes from here"),
                            None => d,
                        }));
                    }
                    let outer = Dim { origin: Some(*span), ..outer };
                    let d = self.inner_dim(&p.name.text, &outer, *span, uid);
                    let v = var(*span, DimFrom::Call);
                    *v.dim.borrow_mut() = Some(d);
                    v
                }
                (None, Some(e)) => var(self.ast.span(e), DimFrom::Expr(e, env.clone())),
                (None, None) => return Err(self.dims_missing(def, t, p)),
            };
            let v = Rc::new(v);
            env.bind(&p.name.text, Value::Hole(v.clone()), false, v.span);
            out.push(v);
        }
        Ok(out)
    }

    /// What is wrong with the hyperparameters of an optimizer that is not made yet.
    pub fn check_hyper(&mut self, v: &Value, path: &str) {
        if let Value::Model(t) = v
            && let TemplateKind::Item { def, .. } = &t.kind
        {
            self.bind_hyper(def, t, path, &Scope::inside(&t.env)).ok();
        }
    }

    fn bind_hyper(&mut self, def: &ast::Model, t: &ModelTemplate, path: &str, env: &Env) -> R<()> {
        let name = &def.name.text;
        let none = HyperArgs::default();
        let args = t.hyper.as_ref().unwrap_or(&none);
        if let Some(told) = self.windows_as_elsewhere(def, t, args) {
            return Err(told);
        }
        if args.pos.len() > def.params.len() {
            let count = super::calls::count(def.params.len(), "hyperparameter");
            let message = format!("`{name}` has {count}, {} given", args.pos.len());
            let at = args.pos[def.params.len()].1;
            let d = Diagnostic::error("E0208", at, message);
            let tensor = matches!(args.pos[def.params.len()].0, Value::Tensor(_));
            return Err(self.error(if tensor {
                d.note("a layer is declared first, then called: its parameters need a name")
                    .help(format!("declare it as a member, `layer = {name}..`, and call `layer(x)`"))
            } else {
                d
            }));
        }
        let (mut unknown, mut joined) = (None, vec![]);
        for (n, ..) in &args.named {
            if !def.params.iter().any(|p| p.name.text == n.text) {
                let names: Vec<&str> = def.params.iter().map(|p| &*p.name.text).collect();
                let d = Diagnostic::error("E0208", n.span, format!("`{name}` has no hyperparameter `{}`", n.text));
                let part = |t: &str| super::foreign::PARTS.iter().find(|(theirs, ..)| *theirs == t);
                if let Some((_, ours, _)) = part(&n.text)
                    && let Some(p) = def.params.iter().find(|p| &*p.name.text == *ours)
                    && let Some(ast::ExprKind::Tuple(parts)) = p.default.map(|e| &self.ast.expr(e).kind)
                {
                    if joined.contains(ours) {
                        continue;
                    }
                    joined.push(*ours);
                    // All parts that are given stand in the place of the first; the others keep their defaults.
                    let mut parts: Vec<&str> = parts.iter().map(|e| self.text(self.ast.span(*e))).collect();
                    let mut edits = vec![];
                    for (m, _, s) in &args.named {
                        let Some((.., i)) = part(&m.text).filter(|(_, o, _)| o == ours) else { continue };
                        if let Some(slot) = parts.get_mut(*i) {
                            *slot = self.text(*s);
                        }
                        let file = &self.sources.file(m.span.file).text;
                        let before = file[..m.span.start as usize].trim_end().trim_end_matches(',').len() as u32;
                        let start = if edits.is_empty() { m.span.start } else { before };
                        edits.push(Edit::replace(Span { start, end: s.end, ..m.span }, ""));
                    }
                    let text = format!("{ours}: ({})", parts.join(", "));
                    if let Some(first) = edits.first_mut() {
                        first.text = text.clone();
                    }
                    unknown = Some(self.error(d.fix(format!("write `{text}`"), edits)));
                    continue;
                }
                let d = match super::foreign::parameter(&n.text, &names) {
                    Some(near) => d.rename(n.span, near),
                    None if names.is_empty() => d,
                    None => d.note(format!("it has: {}", names.join(", "))),
                };
                unknown = Some(self.error(d));
            }
        }
        unknown.map_or(Ok(()), Err)?;
        for (i, p) in def.params.iter().enumerate() {
            let named = args.named.iter().find(|(n, ..)| n.text == p.name.text);
            let over = self.st.hyper_override(path, &p.name.text);
            let (v, span) = match (over, args.pos.get(i), named, p.default) {
                (Some(e), given, named, _) => {
                    let (v, at) = self.override_value(e)?;
                    let before = given.map(|(v, _)| v).or(named.map(|(_, v, _)| v));
                    if let (Some(Value::Closure(_)), Value::Int(_) | Value::Float(_)) = (before, &v) {
                        let d = Diagnostic::warning("W0503", at, "a constant takes the place of a schedule");
                        let name = format!("{}.{}", self.st.binding.as_deref().unwrap_or(name), p.name.text);
                        self.report(d.help(format!("to keep the schedule, set a part of it: `--set {name}.peak=..`")));
                    }
                    (v, at)
                }
                (_, Some(_), Some((n, ..)), _) => {
                    return self.err("E0208", n.span, format!("`{}` is given twice", n.text));
                }
                (_, Some((v, s)), None, _) => (v.clone(), *s),
                (_, None, Some((_, v, s)), _) => (v.clone(), *s),
                (_, None, None, Some(e)) => (self.eval(e, env)?, self.ast.span(e)),
                (_, None, None, None) => {
                    let d = Diagnostic::error("E0208", t.span, format!("`{name}` needs `{}`", p.name.text))
                        .label(p.name.span, "declared here, without a default");
                    return Err(self.error(d));
                }
            };
            let v = match &p.ty {
                Some(ty) => {
                    let what = format!("hyperparameter `{}` of `{name}`", p.name.text);
                    let before = self.diags.len();
                    let given = v.clone();
                    let fits = self.match_ty(ty, v, env, span, &what);
                    if fits.is_err() {
                        self.with_defaults(before, &given, p, span);
                    }
                    fits?
                }
                None => v,
            };
            env.bind(&p.name.text, v, false, span);
        }
        Ok(())
    }

    /// Adds to a finding about too few parts of a tuple the tuple whose other parts are those of the default.
    fn with_defaults(&mut self, before: usize, v: &Value, p: &ast::Param, span: Span) {
        let Some(ast::ExprKind::Tuple(parts)) = p.default.map(|e| &self.ast.expr(e).kind) else { return };
        let text = self.text(span);
        let inner = match v {
            Value::Int(_) | Value::Float(_) => nn_runtime::data::check::bare(text),
            Value::List(_) | Value::Tuple(_) => match text.strip_prefix(['[', '(']).map(|t| &t[..t.len() - 1]) {
                Some(t) => t.trim_end().trim_end_matches(','),
                None => return,
            },
            _ => return,
        };
        let given = match v {
            Value::List(l) | Value::Tuple(l) => l.len(),
            _ => 1,
        };
        if given == 0 || given >= parts.len() {
            return;
        }
        let rest = parts[given..].iter().map(|e| self.text(self.ast.span(*e)));
        let text = format!("({})", std::iter::once(inner).chain(rest).collect::<Vec<_>>().join(", "));
        if let Some(d) = self.diags.get_mut(before) {
            *d = d.clone().fix(format!("write `{text}`"), [Edit::replace(span, text)]);
        }
    }

    /// `@name("x")` of a member.
    fn segment(&mut self, attrs: &[ast::Attr]) -> R<Option<Arc<str>>> {
        let mut out = None;
        for a in attrs {
            match (&*a.name.text, a.args.as_slice()) {
                ("name", [ast::Arg { name: None, value }]) => match &self.ast.expr(*value).kind {
                    ast::ExprKind::Str(s) => out = Some(s.clone()),
                    _ => return self.err("E0208", a.name.span, "`@name` takes a string"),
                },
                ("name", _) => return self.err("E0208", a.name.span, "`@name` takes one string"),
                (other, _) => {
                    let feature = format!("the attribute `@{other}`");
                    return Err(self.limit(a.name.span, &feature));
                }
            }
        }
        Ok(out)
    }

    fn tie(&mut self, a: ast::ExprId, b: ast::ExprId, path: &str, _env: &Env) {
        let segments = |mut e: ast::ExprId| {
            let mut parts: Vec<String> = vec![];
            loop {
                match &self.ast.expr(e).kind {
                    ast::ExprKind::Field { base, name } => {
                        parts.push(name.text.to_string());
                        e = *base;
                    }
                    ast::ExprKind::Name(n) => {
                        parts.push(n.to_string());
                        parts.reverse();
                        return Some(join(path, &parts.join(".")));
                    }
                    _ => return None,
                }
            }
        };
        match (segments(a), segments(b)) {
            (Some(x), Some(y)) => {
                self.st.ties.insert(x, (y.into(), self.ast.span(a)));
            }
            _ => {
                self.err::<()>(
                    "E0208",
                    self.ast.span(a),
                    "`tie` takes two parameters, such as `head.weight = embed.weight`",
                )
                .ok();
            }
        }
    }

    /// A member by name; methods are bound to the instance.
    pub fn member(&mut self, m: &Rc<Instance>, name: &str, span: Span) -> R<Option<Value>> {
        if let TemplateKind::Item { def, .. } = &m.template.kind
            && let ModelBody::Members(list) = &def.body
        {
            let fns: Vec<Rc<FnValue>> = list
                .iter()
                .filter_map(|x| match &x.kind {
                    MemberKind::Fn(f) if &*f.name.text == name => {
                        Some(Rc::new(FnValue { def: f.clone(), env: m.env.clone(), owner: Some(m.clone()), vjp: None }))
                    }
                    _ => None,
                })
                .collect();
            match fns.as_slice() {
                [] => {}
                [f] => return Ok(Some(Value::Fn(f.clone()))),
                _ => return Ok(Some(Value::Overloads(Rc::new(fns)))),
            }
        }
        match m.members.iter().position(|c| &*c.name == name) {
            Some(i) => self.member_at(m, i, span).map(Some),
            None => Ok(None),
        }
    }

    /// A member by number, made if it is not yet.
    pub fn member_at(&mut self, m: &Rc<Instance>, i: usize, span: Span) -> R<Value> {
        let cell = &m.members[i];
        let state = cell.state.borrow().clone();
        match state {
            MemberState::Done(v) => Ok(v),
            MemberState::State(name) => match self.st.states.get(&name) {
                Some(s) => Ok(Value::Tensor(s.current.clone())),
                None => Err(Reported),
            },
            MemberState::Busy => self.err("E0100", cell.span, format!("`{}` is defined by itself", cell.name)),
            MemberState::Failed => Err(Reported),
            MemberState::Absent => {
                let d = Diagnostic::error("E0100", span, format!("`{}` is absent here", cell.name))
                    .label(cell.span, "its condition is false");
                Err(self.error(d))
            }
            MemberState::Todo => {
                self.make(m, i);
                self.member_at(m, i, span)
            }
        }
    }

    /// Makes a member for the first time.
    fn make(&mut self, m: &Rc<Instance>, i: usize) {
        *m.members[i].state.borrow_mut() = MemberState::Busy;
        let comp = self.comp.take();
        let callee = self.st.callee.take();
        let training = self.training;
        // Members are made when first asked for: what counts is how deep the model lies, not who asks.
        let nesting = std::mem::replace(&mut self.st.nesting, m.depth);
        let made = self.make_member(m, i);
        self.st.nesting = nesting;
        self.training = training;
        self.st.callee = callee;
        self.comp = comp;
        *m.members[i].state.borrow_mut() = made.unwrap_or(MemberState::Failed);
    }

    fn make_member(&mut self, m: &Rc<Instance>, i: usize) -> R<MemberState> {
        let c = &m.members[i];
        let path = match &*c.segment {
            "" => m.path.to_string(),
            s => join(&m.path, s),
        };
        match &c.source {
            MemberSource::Entry(e) => {
                let before = self.diags.len();
                let v = self.eval(*e, &m.env).map_err(|r| self.called_in_seq(*e, before, &m.env).unwrap_or(r))?;
                let v = self.place(v, &path, self.ast.span(*e))?;
                if !callable(&v) {
                    if let Some(told) = self.called_in_seq(*e, before, &m.env) {
                        return Err(told);
                    }
                    let message = format!("an entry of `seq` must be a layer or function, found {}", v.show());
                    let d = Diagnostic::error("E0207", c.span, message);
                    let named = match &v {
                        Value::Str(s) if self.is_known(s, &m.env) => Some(s.to_string()),
                        _ => None,
                    };
                    let d = match named {
                        Some(n) => d.fix(format!("write `{n}`"), [Edit::replace(c.span, n)]),
                        None => d,
                    };
                    return Err(self.error(d));
                }
                Ok(MemberState::Done(v))
            }
            MemberSource::Value(v) => Ok(MemberState::Done(self.place(v.clone(), &path, c.span)?)),
            MemberSource::Item(k) => {
                let TemplateKind::Item { def, .. } = &m.template.kind else { return Err(Reported) };
                let ModelBody::Members(list) = &def.body else { return Err(Reported) };
                let def = &list[*k];
                let wanted = |el: &mut Self, cond: &Option<ast::ExprId>| match cond {
                    None => Ok(true),
                    Some(e) => {
                        let v = el.eval(*e, &m.env)?;
                        el.as_bool(&v, el.ast.span(*e), "the condition of a member")
                    }
                };
                match &def.kind {
                    MemberKind::Param { ty, init, cond, .. } => {
                        if !wanted(self, cond)? {
                            return Ok(MemberState::Absent);
                        }
                        let t = self.stored_type(ty, &m.env)?;
                        let v = self.declare_param(&path, t, init.clone(), m, c.span)?;
                        Ok(MemberState::Done(v))
                    }
                    MemberKind::State { ty, init, .. } => {
                        let t = self.stored_type(ty, &m.env)?;
                        self.declare_state(&path, t, init.clone(), m, c.span)?;
                        Ok(MemberState::State(path.into()))
                    }
                    MemberKind::Const(k) => {
                        let v = self.init_value(k.ty.as_ref(), &k.init, &m.env, &c.name)?;
                        let scope = Scope::inside(&m.env);
                        self.bind_pat(&k.pat, v, false, &scope)?;
                        match scope.own(&c.name) {
                            Some(b) => Ok(MemberState::Done(b.value)),
                            None => Err(Reported),
                        }
                    }
                    MemberKind::Dim { value, name } => {
                        let v = self.eval(*value, &m.env)?;
                        let d = self.as_dim(&v, self.ast.span(*value), "a dim")?;
                        let d = self.fresh_dim(d.size, Some(name.text.clone()), Some(self.ast.span(*value)));
                        Ok(MemberState::Done(Value::Dim(d)))
                    }
                    MemberKind::Sub { name, value, cond } => {
                        if !wanted(self, cond)? {
                            return Ok(MemberState::Absent);
                        }
                        let before = self.diags.len();
                        let v = self.eval(*value, &m.env);
                        let v = self.as_param(before, name, *value, v)?;
                        Ok(MemberState::Done(self.place(v, &path, self.ast.span(*value))?))
                    }
                    MemberKind::Tie { .. } | MemberKind::Fn(_) => Err(Reported),
                }
            }
        }
    }

    /// The type of a parameter or state: every size decided.
    fn stored_type(&mut self, ty: &ast::Ty, env: &Env) -> R<TensorType> {
        match self.ty(ty, env)? {
            Type::Tensor(t) => match t.known() {
                Some(dims) => {
                    if let Some(d) = dims.iter().find(|d| d.size == 0) {
                        let d =
                            Diagnostic::error("E0209", ty.span, format!("a parameter with no elements: {}", d.show()));
                        return Err(self.error(d));
                    }
                    self.check_shape(&dims, ty.span)?;
                    let elem = match (&t.elem, self.st.stored_float) {
                        (ElemType::Float, Some(d)) => Elem::Plain(d),
                        _ => t.elem_or(self.float),
                    };
                    Ok(TensorType { elem: ElemType::Exact(elem), ..t })
                }
                None => self.err("E0106", ty.span, "the size of a parameter must be known: give it a name"),
            },
            _ => self.err("E0207", ty.span, "a parameter or state is a tensor"),
        }
    }

    /// A value in a member's place: templates become instances.
    pub fn place(&mut self, v: Value, path: &str, span: Span) -> R<Value> {
        match &v {
            Value::Model(t) => {
                if let TemplateKind::Item { role: Role::Optimizer | Role::Metric, .. } = &t.kind {
                    let message = format!("{} is not a layer", v.show());
                    return self.err("E0207", span, message);
                }
                Ok(Value::Instance(self.instantiate(t, path)?))
            }
            Value::List(l) if l.iter().any(|v| matches!(v, Value::Model(_))) => {
                let env = Scope::new(None, ScopeKind::Plain);
                match as_template(&v, &env, span) {
                    Some(t) => Ok(Value::Instance(self.instantiate(&t, path)?)),
                    None => self.err("E0207", span, "layers and other values do not mix in a list"),
                }
            }
            _ => Ok(v),
        }
    }

    /// Makes every member that has not been asked for, and reports dims that nothing decided.
    pub fn finish_instance(&mut self, m: &Rc<Instance>, order: &mut Vec<Arc<str>>) {
        let own: Vec<Rc<DimVar>> = m.dims.clone();
        let mut known = true;
        for d in &own {
            if self.decide(d).is_none() {
                known = false;
                if self.diags.iter().all(|d| d.severity < crate::diag::Severity::Error) && !self.is_std(d.span) {
                    let text = self.text(m.template.span).to_owned();
                    let why = if m.called.get() {
                        "nothing determines this size".to_owned()
                    } else {
                        format!("nothing determines this size: `{}` is never called", m.show())
                    };
                    let e = Diagnostic::error("E0106", d.span, format!("cannot infer `{}` in {text}", d.name))
                        .here(why)
                        .help("call it in `forward`, or give the size");
                    self.error(e);
                }
            }
        }
        if !known {
            return;
        }
        for i in 0..m.members.len() {
            let state = m.members[i].state.borrow().clone();
            if matches!(state, MemberState::Absent) {
                continue;
            }
            let Ok(v) = self.member_quiet(m, i) else { continue };
            match v {
                Some(Value::Instance(sub)) if owns(m, &sub) => self.finish_instance(&sub, order),
                Some(Value::Tensor(t)) => {
                    let path = join(&m.path, &m.members[i].segment);
                    if self.st.params.get(&*path).is_some_and(|p| p.tensor.id == t.id) {
                        order.push(path.into());
                    }
                }
                _ => {}
            }
        }
    }

    fn member_quiet(&mut self, m: &Rc<Instance>, i: usize) -> R<Option<Value>> {
        let span = m.members[i].span;
        let todo = matches!(&*m.members[i].state.borrow(), MemberState::Todo);
        if todo {
            self.make(m, i);
        }
        // A condition may turn out false only now.
        let absent = matches!(&*m.members[i].state.borrow(), MemberState::Absent);
        if absent { Ok(None) } else { self.member_at(m, i, span).map(Some) }
    }
}

/// Is an instance made by this one, not handed in from elsewhere?
fn owns(m: &Instance, sub: &Instance) -> bool {
    m.path.is_empty() || *sub.path == *m.path || sub.path.starts_with(&format!("{}.", m.path))
}

/// `a.b`, without a dot where one side is empty.
pub fn join(path: &str, segment: &str) -> String {
    match (path, segment) {
        ("", s) => s.to_owned(),
        (p, "") => p.to_owned(),
        (p, s) => format!("{p}.{s}"),
    }
}

/// Layers as a template: a template itself, or a list of layers as a stack.
pub fn as_template(v: &Value, env: &Env, span: Span) -> Option<Rc<ModelTemplate>> {
    match v {
        Value::Model(t) => Some(t.clone()),
        Value::List(l) if l.iter().all(|v| callable(v) || matches!(v, Value::Model(_))) => {
            Some(Rc::new(ModelTemplate {
                kind: TemplateKind::Stack(l.to_vec()),
                env: env.clone(),
                dims: None,
                hyper: None,
                span,
            }))
        }
        _ => None,
    }
}

/// Can a value stand in a chain of layers?
pub fn callable(v: &Value) -> bool {
    matches!(
        v,
        Value::Instance(_)
            | Value::Closure(_)
            | Value::Fn(_)
            | Value::Overloads(_)
            | Value::Builtin(_)
            | Value::WithDims(_)
    )
}

fn cell(name: &Ident, segment: Option<Arc<str>>, span: Span, source: MemberSource) -> MemberCell {
    let segment = segment.unwrap_or_else(|| name.text.clone());
    MemberCell { name: name.text.clone(), segment, span, source, state: RefCell::new(MemberState::Todo) }
}

/// The names that a member defines; methods are found by `Elab::member`.
pub fn member_names(m: &MemberKind) -> Vec<&Ident> {
    match m {
        MemberKind::Param { name, .. }
        | MemberKind::State { name, .. }
        | MemberKind::Dim { name, .. }
        | MemberKind::Sub { name, .. } => vec![name],
        MemberKind::Const(c) => {
            let mut out = vec![];
            super::names::idents(&c.pat, &mut out);
            out
        }
        MemberKind::Tie { .. } | MemberKind::Fn(_) => vec![],
    }
}
