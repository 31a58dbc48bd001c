//! Names: modules, their items, the prelude, and what a name means in a scope.
//!
//! In: parsed files and the scopes of `cx.rs`. Out: values of names, and E0100/E0105 with the nearest name that exists.

use super::builtins;
use super::cx::{Binding, Columns, Elab, Env, R, Reported, Scope, ScopeKind, nearest};
use super::models::{ModelTemplate, Role, TemplateKind};
use super::value::{DataRef, Dim, DimFrom, DimVar, FnValue, Value};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{self, ItemKind, Pat, UsePath};
use indexmap::IndexMap;
use std::rc::Rc;
use std::sync::Arc;

/// A file with its items by name.
pub struct Module<'a> {
    /// The file's name: `mnist.nn`, `std/nn.nn`.
    pub name: Arc<str>,
    /// Its items.
    pub items: Rc<IndexMap<Arc<str>, ItemRef<'a>>>,
    /// `vjp` rules by function.
    pub vjps: Rc<IndexMap<Arc<str>, Arc<ast::Fn>>>,
    /// The scope of its items.
    pub env: Env,
}

/// What a name of a module stands for.
#[derive(Clone)]
pub enum ItemRef<'a> {
    /// `fn`
    Fn(Arc<ast::Fn>),
    /// `model`, `optimizer`, `metric`
    Model(Arc<ast::Model>, Role),
    /// `const`
    Const(&'a ast::Const),
    /// `dim`
    Dim(&'a ast::Ident, ast::ExprId),
    /// `data`
    Data(Arc<ast::Data>),
    /// A name of another module.
    Import(usize, Arc<str>),
    /// Another module.
    Alias(usize),
}

/// How far a `const` or `dim` item is.
#[derive(Clone)]
pub enum ItemState {
    /// Under evaluation; asking again is a cycle.
    Busy,
    /// Evaluated, in the graph of this generation (tensors belong to one graph).
    Done(Value, u32),
    /// Could not be evaluated; reported.
    Failed,
}

impl<'a> Elab<'a> {
    /// Enters the items of a parsed file as a module. Files that it uses must have been entered: `find` gives their
    /// module by path.
    pub fn add_module(&mut self, name: &str, file: &'a ast::File, find: &dyn Fn(&str) -> Option<usize>) -> usize {
        let id = self.st.modules.len();
        let mut items: IndexMap<Arc<str>, ItemRef<'a>> = IndexMap::new();
        let mut vjps = IndexMap::new();
        let mut places: IndexMap<Arc<str>, Span> = IndexMap::new();
        for item in &file.items {
            let entries: Vec<(Arc<str>, Span, ItemRef<'a>)> = match &item.kind {
                ItemKind::Fn(f) => vec![(f.name.text.clone(), f.name.span, ItemRef::Fn(f.clone()))],
                ItemKind::Vjp(f) => {
                    vjps.insert(f.name.text.clone(), f.clone());
                    vec![]
                }
                ItemKind::Model(m) => vec![(m.name.text.clone(), m.name.span, ItemRef::Model(m.clone(), Role::Model))],
                ItemKind::Optimizer(m) => {
                    vec![(m.name.text.clone(), m.name.span, ItemRef::Model(m.clone(), Role::Optimizer))]
                }
                ItemKind::Metric(m) => {
                    vec![(m.name.text.clone(), m.name.span, ItemRef::Model(m.clone(), Role::Metric))]
                }
                ItemKind::Data(d) => vec![(d.name.text.clone(), d.name.span, ItemRef::Data(d.clone()))],
                ItemKind::Const(c) => {
                    let mut names = vec![];
                    idents(&c.pat, &mut names);
                    names.into_iter().map(|n| (n.text.clone(), n.span, ItemRef::Const(c))).collect()
                }
                ItemKind::Stmt(ast::Stmt { kind: ast::StmtKind::Dim { name, value }, .. }) => {
                    vec![(name.text.clone(), name.span, ItemRef::Dim(name, *value))]
                }
                ItemKind::Stmt(s) => {
                    let d = Diagnostic::error("E0208", s.span, "this statement does not belong at the top level");
                    let named = match &s.kind {
                        ast::StmtKind::Set { target, value, .. } => match &self.ast.expr(*target).kind {
                            ast::ExprKind::Name(n) => Some((n.clone(), &self.ast.expr(*value).kind)),
                            _ => None,
                        },
                        _ => None,
                    };
                    let d = match named {
                        Some((n, value)) => {
                            // That it stands for nothing is said here, not again where it is used.
                            self.st.later.insert(n.clone());
                            let word = match value {
                                _ if n.starts_with(|c: char| c.is_ascii_lowercase()) => "const",
                                ast::ExprKind::Seq(_) | ast::ExprKind::List(_) | ast::ExprKind::Call { .. } => "model",
                                _ => "dim",
                            };
                            d.fix(format!("write `{word} {n} = ..`"), [Edit::before(s.span, format!("{word} "))])
                        }
                        None => d.help("`const` defines a value for the whole file"),
                    };
                    self.error(d);
                    vec![]
                }
                ItemKind::Use(u) => self.imports(u, find),
                ItemKind::Train(_) | ItemKind::Export(_) | ItemKind::Test(_) => vec![],
            };
            for (name, span, item) in entries {
                if let Some(first) = places.get(&name) {
                    let d = Diagnostic::error("E0208", span, format!("`{name}` is defined twice"))
                        .label(*first, "first defined here");
                    self.error(d);
                    continue;
                }
                places.insert(name.clone(), span);
                items.insert(name, item);
            }
        }
        let env = Scope::new(None, ScopeKind::Module(id));
        self.st.modules.push(Module { name: name.into(), items: Rc::new(items), vjps: Rc::new(vjps), env });
        id
    }

    fn imports(&mut self, u: &ast::Use, find: &dyn Fn(&str) -> Option<usize>) -> Vec<(Arc<str>, Span, ItemRef<'a>)> {
        let (module, span, last) = match &u.path {
            UsePath::File(path, span) => match find(path) {
                Some(m) => (m, *span, None),
                // The loader has said why.
                None => return vec![],
            },
            UsePath::Path(path) => {
                let span = path.first().map_or(u.names.first().map(|n| n.span), |p| Some(p.span));
                let Some(span) = span else { return vec![] };
                let text: Vec<&str> = path.iter().map(|p| &*p.text).collect();
                if text.first() != Some(&"std") {
                    self.error(
                        Diagnostic::error("E0100", span, format!("unknown module `{}`", text.join(".")))
                            .help("a file is used by its name: `use \"layers.nn\"`"),
                    );
                    return vec![];
                }
                // The whole of std is the prelude; a path into it names one item.
                match path.last() {
                    Some(name) if name.text.starts_with(|c: char| c.is_ascii_uppercase()) => {
                        let found = self
                            .st
                            .prelude
                            .iter()
                            .copied()
                            .find(|&m| self.st.modules[m].items.contains_key(&name.text));
                        match found {
                            Some(m) => (m, span, Some(name.clone())),
                            None => {
                                self.error(Diagnostic::error(
                                    "E0100",
                                    name.span,
                                    format!("std has no `{}`", name.text),
                                ));
                                return vec![];
                            }
                        }
                    }
                    _ => return vec![],
                }
            }
        };
        if let Some(name) = last {
            let known = u.alias.as_ref().unwrap_or(&name);
            return vec![(known.text.clone(), known.span, ItemRef::Import(module, name.text.clone()))];
        }
        let mut out = vec![];
        for n in &u.names {
            if !self.st.modules[module].items.contains_key(&n.text) {
                let names: Vec<Arc<str>> = self.st.modules[module].items.keys().cloned().collect();
                let mut d = Diagnostic::error(
                    "E0100",
                    n.span,
                    format!("`{}` has no `{}`", self.st.modules[module].name, n.text),
                );
                if let Some(near) = nearest(&n.text, names.iter().map(|n| &**n)) {
                    d = d.rename(n.span, near);
                }
                self.error(d);
                continue;
            }
            out.push((n.text.clone(), n.span, ItemRef::Import(module, n.text.clone())));
        }
        match &u.alias {
            Some(a) => out.push((a.text.clone(), a.span, ItemRef::Alias(module))),
            None if u.names.is_empty() => {
                let names: Vec<Arc<str>> = self.st.modules[module].items.keys().cloned().collect();
                out.extend(names.into_iter().map(|n| (n.clone(), span, ItemRef::Import(module, n))));
            }
            None => {}
        }
        out
    }

    /// What a name stands for, `None` if nothing.
    pub fn lookup(&mut self, name: &str, span: Span, env: &Env) -> R<Option<Value>> {
        let mut level = Some(env);
        while let Some(scope) = level {
            if let Some(b) = scope.own(name) {
                return if matches!(b.value, Value::Poison) { Err(Reported) } else { Ok(Some(self.settled(b))) };
            }
            match &scope.kind {
                ScopeKind::Plain | ScopeKind::Columns(_) => {}
                ScopeKind::Instance(m) => {
                    if let Some(m) = m.upgrade()
                        && let Some(v) = self.member(&m, name, span)?
                    {
                        return Ok(Some(v));
                    }
                }
                ScopeKind::Module(m) => {
                    if let Some(v) = self.item(*m, name, span)? {
                        return Ok(Some(v));
                    }
                    for i in 0..self.st.prelude.len() {
                        let p = self.st.prelude[i];
                        if let Some(v) = self.item(p, name, span)? {
                            return Ok(Some(v));
                        }
                    }
                    return Ok(match name {
                        "training" => Some(Value::Bool(self.training)),
                        "train" => self.st.train_record.clone(),
                        "pi" => Some(Value::Float(std::f64::consts::PI)),
                        _ => builtins::lookup(name).map(Value::Builtin),
                    });
                }
            }
            level = scope.parent.as_ref();
        }
        Ok(None)
    }

    /// An undecided dim that has become known is that dim.
    fn settled(&mut self, b: Binding) -> Value {
        match b.value {
            Value::Hole(h) => match self.decide(&h) {
                Some(d) => Value::Dim(d),
                None => Value::Hole(h),
            },
            v => v,
        }
    }

    /// The dim if it is decided, or can be computed from what is.
    pub fn decide(&mut self, h: &Rc<DimVar>) -> Option<Dim> {
        if let Some(d) = h.dim.borrow().as_ref() {
            return Some(d.clone());
        }
        let outer = match &h.from {
            DimFrom::Call => return None,
            DimFrom::Outer(o) => self.decide(o)?,
            DimFrom::Expr(e, env) => {
                if self.st.deciding.iter().any(|d| Rc::ptr_eq(d, h)) {
                    let message = format!("`{}` is defined by itself", h.name);
                    self.error(Diagnostic::error("E0100", h.span, message));
                    return None;
                }
                self.st.deciding.push(h.clone());
                let v = if self.has_hole(*e, env) { None } else { self.eval(*e, env).ok() };
                self.st.deciding.pop();
                self.as_dim(&v?, h.span, "a size").ok()?
            }
        };
        let d = self.inner_dim(&h.name, &outer, h.span, h.owner);
        *h.dim.borrow_mut() = Some(d.clone());
        Some(d)
    }

    /// Decides an undecided dim: `outer` is what the caller knows it as.
    pub fn solve(&mut self, h: &Rc<DimVar>, outer: &Dim) -> Dim {
        if let DimFrom::Outer(o) = &h.from {
            let o = o.clone();
            let d = self.solve(&o, outer);
            let d = self.inner_dim(&h.name, &d, h.span, h.owner);
            *h.dim.borrow_mut() = Some(d.clone());
            return d;
        }
        let d = self.inner_dim(&h.name, outer, outer.origin.unwrap_or(h.span), h.owner);
        *h.dim.borrow_mut() = Some(d.clone());
        d
    }

    /// The dim under another name, as a callee or model sees it.
    pub fn inner_dim(&mut self, name: &Arc<str>, outer: &Dim, origin: Span, owner: u32) -> Dim {
        let d = self.fresh_dim(outer.size, Some(name.clone()), outer.origin.or(Some(origin)));
        let info = &mut self.dims[d.id.0 as usize];
        info.outer = Some(outer.clone());
        info.owner = owner;
        d
    }

    /// Does an expression mention a dim that is not known yet?
    pub fn has_hole(&mut self, e: ast::ExprId, env: &Env) -> bool {
        use ast::ExprKind as E;
        let ast = self.ast;
        match &ast.expr(e).kind {
            E::Name(n) => {
                let upper = n.starts_with(|c: char| c.is_ascii_uppercase());
                upper && matches!(self.lookup(n, ast.span(e), env), Ok(Some(Value::Hole(_))))
            }
            E::Unary(_, a) => self.has_hole(*a, env),
            E::Binary { lhs, rhs, .. } => self.has_hole(*lhs, env) || self.has_hole(*rhs, env),
            E::Call { args, .. } => args.iter().any(|a| self.has_hole(a.value, env)),
            E::Tuple(items) => items.iter().any(|a| self.has_hole(*a, env)),
            _ => false,
        }
    }

    /// A dim argument: a static int, `_`, or an expression whose dims are still to be decided.
    pub fn eval_dim_arg(&mut self, e: ast::ExprId, env: &Env) -> R<Value> {
        let span = self.ast.span(e);
        if !matches!(self.ast.expr(e).kind, ast::ExprKind::Name(_)) && self.has_hole(e, env) {
            return Ok(Value::Hole(Rc::new(DimVar {
                name: self.text(span).into(),
                span,
                dim: None.into(),
                from: DimFrom::Expr(e, env.clone()),
                owner: 0,
            })));
        }
        self.dim_value(e, env)
    }

    /// The value of a dim expression; an unknown upper-case name is E0105.
    pub fn dim_value(&mut self, e: ast::ExprId, env: &Env) -> R<Value> {
        if let ast::ExprKind::Name(n) = &self.ast.expr(e).kind
            && n.starts_with(|c: char| c.is_ascii_uppercase())
        {
            let span = self.ast.span(e);
            return match self.lookup(n, span, env)? {
                Some(v) => Ok(v),
                None => Err(self.unknown(n, span, env)),
            };
        }
        self.eval(e, env)
    }

    /// An item of a module.
    pub fn item(&mut self, module: usize, name: &str, span: Span) -> R<Option<Value>> {
        let Some(item) = self.st.modules[module].items.get(name).cloned() else { return Ok(None) };
        let env = self.st.modules[module].env.clone();
        Ok(Some(match item {
            ItemRef::Fn(def) => {
                let vjp = self.st.modules[module].vjps.get(name).cloned();
                Value::Fn(Rc::new(FnValue { def, env, owner: None, vjp }))
            }
            ItemRef::Model(def, role) => Value::Model(Rc::new(ModelTemplate {
                span,
                kind: TemplateKind::Item { def, role },
                env,
                dims: None,
                hyper: None,
            })),
            ItemRef::Data(def) => Value::Data(Rc::new(DataRef { def, module, dims: None, hyper: None })),
            ItemRef::Import(m, n) => return self.item(m, &n, span),
            ItemRef::Alias(m) => Value::Module(m),
            ItemRef::Const(c) => self.const_item(module, name, c, &env, span)?,
            ItemRef::Dim(ident, e) => {
                let key = (module, Arc::<str>::from(name));
                match self.st.item_states.get(&key) {
                    Some(ItemState::Done(v, _)) => return Ok(Some(v.clone())),
                    Some(ItemState::Busy) => {
                        return self.err("E0100", ident.span, format!("`{name}` is defined by itself"));
                    }
                    Some(ItemState::Failed) => return Err(Reported),
                    None => {}
                }
                self.st.item_states.insert(key.clone(), ItemState::Busy);
                let at = self.ast.span(e);
                let v = match self.st.item_override(module, name) {
                    Some(over) => self.override_value(over).map(|(v, _)| v),
                    None => self.eval(e, &env),
                };
                let d = v.and_then(|v| self.as_dim(&v, at, "a dim"));
                let value = d.map(|d| Value::Dim(self.fresh_dim(d.size, Some(name.into()), Some(at))));
                let state = value.as_ref().map_or(ItemState::Failed, |v| ItemState::Done(v.clone(), 0));
                self.st.item_states.insert(key, state);
                value?
            }
        }))
    }

    fn const_item(&mut self, module: usize, name: &str, c: &'a ast::Const, env: &Env, span: Span) -> R<Value> {
        let key = (module, Arc::<str>::from(name));
        let generation = self.st.generation;
        match self.st.item_states.get(&key) {
            Some(ItemState::Done(v, g)) if *g == generation || !has_tensor(v) => return Ok(v.clone()),
            Some(ItemState::Busy) => return self.err("E0100", span, format!("`{name}` is defined by itself")),
            Some(ItemState::Failed) => return Err(Reported),
            _ => {}
        }
        self.st.item_states.insert(key.clone(), ItemState::Busy);
        let over = if let Pat::Name(_) = c.pat { self.st.item_override(module, name) } else { None };
        let frames = std::mem::take(&mut self.frames);
        let comp = self.comp.take();
        let scope = Scope::new(Some(env.clone()), ScopeKind::Plain);
        let made = match over {
            Some(value) => {
                let init = ast::Init { draw: false, value };
                let root = self.st.modules[self.st.root].env.clone();
                self.init_value(c.ty.as_ref(), &init, &root, name)
            }
            None => self.init_value(c.ty.as_ref(), &c.init, env, name),
        }
        .and_then(|v| self.bind_pat(&c.pat, v, false, &scope));
        self.frames = frames;
        self.comp = comp;
        let mut names = vec![];
        idents(&c.pat, &mut names);
        for n in names {
            let state = match (&made, scope.own(&n.text)) {
                (Ok(()), Some(b)) => ItemState::Done(b.value, generation),
                _ => ItemState::Failed,
            };
            self.st.item_states.insert((module, n.text.clone()), state);
        }
        made?;
        match scope.own(name) {
            Some(b) => Ok(b.value),
            None => self.err("E0100", span, format!("`{name}` has no value")),
        }
    }

    /// The dim of a name, or E0105 with a suggestion.
    pub fn lookup_dim(&mut self, name: &str, span: Span, env: &Env) -> R<Dim> {
        match self.lookup(name, span, env)? {
            Some(v) => self.as_dim(&v, span, "a dim"),
            None => Err(self.unknown(name, span, env)),
        }
    }

    /// The axes of a row variable: `..S`, or `..` if `name` is `None`; `None` if nothing has bound it.
    pub fn lookup_row(&mut self, name: Option<&str>, span: Span, env: &Env) -> R<Option<Vec<Dim>>> {
        let key = row_key(name);
        let mut level = Some(env);
        while let Some(scope) = level {
            if let Some(b) = scope.own(&key) {
                let Value::List(items) = &b.value else { return Ok(None) };
                let mut dims = vec![];
                for v in items.iter() {
                    dims.push(self.as_dim(v, span, "an axis")?);
                }
                return Ok(Some(dims));
            }
            level = scope.parent.as_ref();
        }
        Ok(None)
    }

    /// Does a name stand for anything? Nothing is evaluated for it.
    pub fn is_known(&self, name: &str, env: &Env) -> bool {
        let mut level = Some(env);
        while let Some(scope) = level {
            if scope.has(name) {
                return true;
            }
            match &scope.kind {
                ScopeKind::Plain | ScopeKind::Columns(_) => {}
                ScopeKind::Instance(m) => {
                    if m.upgrade().is_some_and(|m| m.has_member(name)) {
                        return true;
                    }
                }
                ScopeKind::Module(m) => {
                    return std::iter::once(m)
                        .chain(&self.st.prelude)
                        .any(|&m| self.st.modules[m].items.contains_key(name))
                        || builtins::lookup(name).is_some()
                        || matches!(name, "training" | "train" | "pi");
                }
            }
            level = scope.parent.as_ref();
        }
        false
    }

    /// Every name that can be seen, for suggestions.
    pub fn visible(&self, env: &Env) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = vec![];
        let mut level = Some(env);
        while let Some(scope) = level {
            names.extend(scope.own_names());
            match &scope.kind {
                ScopeKind::Instance(m) => {
                    names.extend(m.upgrade().iter().flat_map(|m| &m.members).map(|m| m.name.clone()));
                }
                ScopeKind::Module(m) => {
                    names.extend(self.st.modules[*m].items.keys().cloned());
                    for &p in &self.st.prelude {
                        names.extend(self.st.modules[p].items.keys().cloned());
                    }
                    names.extend(builtins::names().map(Arc::from));
                    names.push("training".into());
                }
                ScopeKind::Plain | ScopeKind::Columns(_) => {}
            }
            level = scope.parent.as_ref();
        }
        names
    }

    /// E0100 or, for a dim or model, E0105, with the nearest name that exists.
    pub fn unknown(&mut self, name: &str, span: Span, env: &Env) -> Reported {
        if builtins::LATER.contains(&name) {
            return if self.st.later.insert(name.into()) { self.limit(span, &format!("`{name}`")) } else { Reported };
        }
        if self.st.later.contains(name) {
            return Reported;
        }
        // `x = 1 // why`: one word after `//` that is no name ends the line.
        let file = &self.sources.file(span.file).text;
        let (before, after) = (&file[..span.start as usize], &file[span.end as usize..]);
        let rest = after.split('\n').next().unwrap_or("").trim();
        if let Some(code) = before.trim_end_matches([' ', '\t']).strip_suffix("//")
            && (rest.is_empty() || rest == ",")
            && code.ends_with([' ', '\t'])
        {
            let mark = Span { start: code.len() as u32, end: code.len() as u32 + 2, ..span };
            let d = Diagnostic::error("E0100", mark, "a comment starts with `#`, not with `//`")
                .here(format!("this divides, but `{name}` is no name"));
            return self.error(d.fix("write `#`", [Edit::replace(mark, "#")]));
        }
        let upper = name.starts_with(|c: char| c.is_ascii_uppercase());
        let names = self.visible(env);
        let mut level = Some(env);
        let mut model = None;
        while let Some(scope) = level {
            if let ScopeKind::Instance(m) = &scope.kind
                && let Some(m) = m.upgrade()
                && let TemplateKind::Item { def, .. } = &m.template.kind
            {
                model.get_or_insert_with(|| {
                    let dims: Vec<&str> = def.dims.iter().map(|d| &*d.name.text).collect();
                    let dims = if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(", ")) };
                    format!("model {}{dims}", def.name.text)
                });
            }
            level = scope.parent.as_ref();
        }
        if let Some(c) = columns(env) {
            return self.no_column(c, name, span, names.iter().map(|n| &**n));
        }
        // Upper case are dims, models and data, lower case values: a name of the other kind is meant only if it is the same.
        let same_case = |n: &&str| {
            let case = n.starts_with(|c: char| c.is_ascii_uppercase()) == upper;
            !n.starts_with("..") && (case || n.eq_ignore_ascii_case(name))
        };
        // What is not called is a value, or a function of one argument that is handed on.
        let called = after.starts_with(['(', '[']) || before.trim_end().ends_with("|>");
        let handed_on = |n: &&str| called || builtins::lookup(n).is_none_or(|b| b.sig.takes_one());
        let near = nearest(name, names.iter().map(|n| &**n).filter(same_case).filter(handed_on)).map(str::to_owned);
        let (code, kind) = if upper { ("E0105", "dim") } else { ("E0100", "name") };
        let in_brackets = upper && name.chars().skip(1).any(|c| c.is_ascii_lowercase()) && model.is_none();
        let value = near.as_deref().is_some_and(|n| n.starts_with(|c: char| c.is_ascii_lowercase()));
        let kind = if value {
            "name"
        } else if in_brackets {
            "dim, model or data"
        } else {
            kind
        };
        let mut d = Diagnostic::error(code, span, format!("unknown {kind} `{name}`"));
        if near.is_none()
            && matches!(name, "B" | "N" | "Batch")
            && let Some(p) = self.untyped(span)
        {
            let ty = format!(": [{name}, ..]");
            let d = d.here("nothing of this name is known here");
            return self
                .error(d.fix(format!("name it in the type of `{0}`: `{0}{ty}`", p.text), [Edit::after(p.span, ty)]));
        }
        d = match upper.then_some(model).flatten() {
            Some(m) => d.here(format!("not declared by `{m}`")),
            None => d.here("nothing of this name is known here"),
        };
        self.error(match near {
            Some(near) => d.rename(span, &near),
            None => d,
        })
    }
}

/// The columns that can be seen from here.
pub fn columns(env: &Env) -> Option<&Columns> {
    let mut level = Some(env);
    while let Some(scope) = level {
        if let ScopeKind::Columns(c) = &scope.kind {
            return Some(c).filter(|c| !c.names.is_empty());
        }
        level = scope.parent.as_ref();
    }
    None
}

/// The column that a name is meant for: nearly its name, a part of it, or its first letter and some that follow (`tgt`).
fn meant<'c>(name: &str, columns: &'c [String]) -> Option<&'c str> {
    let lower = name.to_lowercase();
    let part = |c: &str| {
        let c = c.to_lowercase();
        lower.len() > 1 && c.len() > 1 && (c.contains(&lower) || lower.contains(&c))
    };
    let letters = |c: &str| {
        let mut rest = c.chars().flat_map(char::to_lowercase);
        lower.len() > 2
            && c.to_lowercase().starts_with(&lower[..lower.chars().next().map_or(0, char::len_utf8)])
            && lower.chars().all(|l| rest.any(|r| r == l))
    };
    let only = |fits: &dyn Fn(&str) -> bool| {
        let mut all = columns.iter().map(String::as_str).filter(|c| fits(c));
        all.next().filter(|_| all.next().is_none())
    };
    nearest(name, columns.iter().map(String::as_str)).or_else(|| only(&part)).or_else(|| only(&letters))
}

impl Elab<'_> {
    /// A name in a field that neither a column nor anything else has.
    fn no_column<'n>(&mut self, c: &Columns, name: &str, span: Span, names: impl Iterator<Item = &'n str>) -> Reported {
        let called = self.sources.file(span.file).text[span.end as usize..].starts_with('(');
        let columns = if called { None } else { meant(name, &c.names) };
        let near = columns.map(str::to_owned).or_else(|| {
            // What is not called is a number: no function is meant.
            nearest(name, names.filter(|n| called || builtins::lookup(n).is_none())).map(str::to_owned)
        });
        let upper = name.starts_with(|c: char| c.is_ascii_uppercase());
        let code = if upper { "E0105" } else { "E0100" };
        let mut d = Diagnostic::error(code, span, format!("unknown name `{name}`")).here(if called {
            "nothing of this name is known here"
        } else {
            "neither a column nor a field above has this name"
        });
        if !called {
            const MANY: usize = 12;
            let shown: Vec<String> = c.names.iter().take(MANY).map(|n| format!("`{n}`")).collect();
            let more =
                if c.names.len() > MANY { format!(", and {} more", c.names.len() - MANY) } else { String::new() };
            d = d.note(format!("{} has: {}{more}", c.source, shown.join(", ")));
        }
        self.error(match near {
            Some(near) => d.rename(span, &near),
            None => d,
        })
    }
}

impl ast::Const {
    /// Where its first name stands.
    pub fn pat_span(&self) -> Span {
        let mut names = vec![];
        idents(&self.pat, &mut names);
        match (names.first(), &self.pat) {
            (Some(n), _) => n.span,
            (None, Pat::Wild(s) | Pat::Tuple(_, s)) => *s,
            (None, Pat::Name(n) | Pat::Comp { name: n, .. }) => n.span,
        }
    }
}

/// The name under which a scope holds a row.
pub fn row_key(name: Option<&str>) -> Arc<str> {
    format!("..{}", name.unwrap_or("")).into()
}

/// The names that a pattern binds.
pub fn idents<'p>(pat: &'p Pat, out: &mut Vec<&'p ast::Ident>) {
    match pat {
        Pat::Name(n) | Pat::Comp { name: n, .. } => out.push(n),
        Pat::Tuple(pats, _) => pats.iter().for_each(|p| idents(p, out)),
        Pat::Wild(_) => {}
    }
}

/// Does a value hold a tensor of some graph?
fn has_tensor(v: &Value) -> bool {
    match v {
        Value::Tensor(_) | Value::Mean { .. } => true,
        Value::Tuple(l) | Value::List(l) => l.iter().any(has_tensor),
        Value::Record(r) => r.iter().any(|(_, v)| has_tensor(v)),
        _ => false,
    }
}
