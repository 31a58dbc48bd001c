//! What stands around a place in the program, for helps that name the program's own things.
//!
//! In: a place and the value that was found there. Out: the function or `train` item that it lies in, and the finding with
//! the edit that fits there: a layer is called, a layer that is made in place becomes a member, tensors are stacked. It
//! reads the tree alone; nothing is evaluated for it.

use super::cx::{Elab, Env, Reported};
use super::models::{ModelTemplate, TemplateKind};
use super::value::{Tensor, Value};
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, DataEntry, ExprId, ExprKind, ItemKind, MemberKind, ModelBody, Pat, StmtKind};
use crate::syntax::visit;
use std::sync::Arc;

/// What other libraries call a draw as large as a tensor, and the distribution that it is of.
const LIKE: &[(&str, &str)] = &[("randn_like", "normal()"), ("rand_like", "uniform()"), ("normal_like", "normal()")];
/// The same for a draw that is given its sizes. In a model that is meant anew in every step; elsewhere it may be a constant.
const SIZED: &[(&str, &str)] = &[("randn", "normal()"), ("rand", "uniform()")];

/// Where a place lies.
enum Around<'a> {
    /// In a function of a model.
    Member(&'a ast::Fn),
    /// In a `train` item.
    Train(&'a ast::Train),
}

/// Does one place lie in another?
fn within(outer: Span, at: Span) -> bool {
    outer.file == at.file && outer.start <= at.start && at.end <= outer.end
}

/// A layer's name as a member's: `LayerNorm` is `layer_norm`.
fn member_name(layer: &str) -> String {
    let mut out = String::new();
    for c in layer.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() && !out.ends_with(|l: char| l.is_ascii_uppercase()) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The code of a layer, and of what it is called with: `LayerNorm[8](x)`, `Dropout(0.1)(x)`. What is called with a
/// number or by name is made, not called.
fn made_and_called(code: &str) -> (&str, Option<&str>) {
    let Some(inner) = code.strip_suffix(')') else { return (code, None) };
    let mut depth = 1;
    let open = inner.char_indices().rev().find(|(_, c)| {
        depth += i32::from(matches!(c, ')' | ']' | '}')) - i32::from(matches!(c, '(' | '[' | '{'));
        depth == 0
    });
    let Some((open, _)) = open else { return (code, None) };
    let args = &inner[open + 1..];
    let made = args.trim().is_empty() || args.contains(':') || args.trim().parse::<f64>().is_ok();
    if made { (code, None) } else { (&code[..open], Some(args)) }
}

/// The code of a layer with the sizes that it needs: those between parentheses, else what its call tells.
fn with_sizes(code: &str, m: &ModelTemplate) -> String {
    let needed = match &m.kind {
        TemplateKind::Item { def, .. } if m.dims.is_none() => def.dims.iter().filter(|d| d.default.is_none()).count(),
        _ => 0,
    };
    let (name, args) = match code.split_once('(') {
        Some((name, args)) => (name, args.trim_end_matches(')')),
        None => (code, ""),
    };
    if needed == 0 || name.contains('[') {
        return code.to_owned();
    }
    let sizes: Vec<&str> = args.split(',').map(str::trim).collect();
    if sizes.len() == needed && sizes.iter().all(|s| s.parse::<u64>().is_ok()) {
        return format!("{name}[{}]", sizes.join(", "));
    }
    format!("{name}[{}]{}", vec!["_"; needed].join(", "), &code[name.len()..])
}

impl<'a> Elab<'a> {
    fn around(&self, at: Span) -> Option<Around<'a>> {
        let file = self.ast.files.iter().find(|f| f.id == at.file)?;
        let item = file.items.iter().find(|i| within(i.span, at))?;
        match &item.kind {
            ItemKind::Train(t) => Some(Around::Train(t)),
            ItemKind::Model(m) => {
                let ModelBody::Members(members) = &m.body else { return None };
                members.iter().find_map(|m| match &m.kind {
                    MemberKind::Fn(f) if within(f.name.span.to(self.ast.span(f.body)), at) => Some(Around::Member(f)),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The first parameter of the function around a place that has no type.
    pub fn untyped(&self, at: Span) -> Option<&'a ast::Ident> {
        match self.around(at)? {
            Around::Member(f) => f.params.iter().find(|p| p.ty.is_none() && p.default.is_none()).map(|p| &p.name),
            Around::Train(_) => None,
        }
    }

    /// The block of statements around a place, of a function or test.
    fn block(&self, at: Span) -> Option<&'a ast::Block> {
        let file = self.ast.files.iter().find(|f| f.id == at.file)?;
        let item = file.items.iter().find(|i| within(i.span, at))?;
        let body = match &item.kind {
            ItemKind::Fn(f) => f.body,
            ItemKind::Test(t) => return Some(&t.body),
            _ => match self.around(at)? {
                Around::Member(f) => f.body,
                Around::Train(_) => return None,
            },
        };
        match &self.ast.expr(body).kind {
            ExprKind::Block(b) => Some(b),
            _ => None,
        }
    }

    /// A tensor as code for its shape: names of dims where they can be seen, numbers, and for rows without a name `size`.
    fn shape_of(&mut self, name: &str, t: &Tensor, at: Span, env: &Env) -> String {
        let mut out = vec![];
        for (i, d) in t.dims.iter().enumerate() {
            let seen = d.name.clone().filter(|n| match self.lookup(n, at, env) {
                Ok(Some(Value::Dim(o))) => o.size == d.size,
                _ => false,
            });
            out.push(match seen {
                Some(n) => n.to_string(),
                None if i == 0 => format!("size({name}, 0)"),
                None => d.size.to_string(),
            });
        }
        format!("[{}]", out.join(", "))
    }

    /// The tensors by whose names a value is added, multiplied and so on, in the statements of a block.
    fn beside(&self, name: &str, block: &ast::Block) -> Vec<Arc<str>> {
        let mut todo = vec![];
        for s in &block.stmts {
            visit::stmt(s, &mut |e| todo.push(e));
        }
        let mut best = vec![];
        while let Some(e) = todo.pop() {
            let mut names = vec![];
            self.operands(e, &mut names);
            if names.len() > best.len() && names.iter().any(|n| &**n == name) {
                best = names;
            }
            visit::children(self.ast.expr(e), &mut |c| todo.push(c));
        }
        best
    }

    fn operands(&self, e: ExprId, out: &mut Vec<Arc<str>>) {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) => out.push(n.clone()),
            ExprKind::Binary { lhs, rhs, .. } => {
                self.operands(*lhs, out);
                self.operands(*rhs, out);
            }
            ExprKind::Unary(_, a) => self.operands(*a, out),
            _ => {}
        }
    }

    /// Adds to a finding about `let e ~ normal()` the type that fits: that of what it meets later on, else of a parameter.
    pub fn typed_draw(&mut self, d: Diagnostic, value: ExprId, env: &Env) -> Diagnostic {
        let at = self.ast.span(value);
        let Some(block) = self.block(at) else { return d.help("such as `let e: [8, 2] ~ normal()`") };
        let named = block.stmts.iter().find_map(|s| match &s.kind {
            StmtKind::Let { pat: Pat::Name(n), init, .. } | StmtKind::Var { pat: Pat::Name(n), init, .. } => {
                (init.value == value).then_some(n)
            }
            _ => None,
        });
        let Some(n) = named else { return d.help("such as `let e: [8, 2] ~ normal()`") };
        let mut like: Option<(Arc<str>, Tensor)> = None;
        let params = match self.around(at) {
            Some(Around::Member(f)) => f.params.iter().map(|p| p.name.text.clone()).collect(),
            _ => vec![],
        };
        for names in [self.beside(&n.text, block), params] {
            for x in names {
                if let Ok(Some(Value::Tensor(t))) = self.lookup(&x, at, env)
                    && t.dims.len() > like.as_ref().map_or(0, |(_, l)| l.dims.len())
                {
                    like = Some((x, t));
                }
            }
            if like.is_some() {
                break;
            }
        }
        let Some((x, t)) = like else { return d.help("such as `let e: [8, 2] ~ normal()`") };
        let shape = self.shape_of(&x, &t, at, env);
        let text = format!("let {}: {shape} ~ {}", n.text, self.text(at));
        d.fix(format!("write `{text}`"), [Edit::after(n.span, format!(": {shape}"))])
    }

    /// Reports `randn_like(x)`, and in a model `torch.randn(3)`: a draw is a statement of its own, before the one that it
    /// stands in. `texts` are the arguments.
    pub fn draw_as_statement(
        &mut self,
        name: &str,
        e: ExprId,
        args: &[Arg],
        texts: &[&str],
        env: &Env,
    ) -> Option<Reported> {
        let at = self.ast.span(e);
        let member = match self.around(at) {
            Some(Around::Member(f)) => Some(f),
            _ => None,
        };
        let like = LIKE.iter().find(|(n, _)| *n == name);
        let (_, dist) = like.or_else(|| SIZED.iter().find(|(n, _)| *n == name && member.is_some()))?;
        let d = Diagnostic::error("E0100", at, format!("unknown name `{name}`"))
            .here("a draw is a statement, with its type");
        let shape = if like.is_some() {
            let of = args.first()?.value;
            let before = self.diags.len();
            let v = self.eval(of, env);
            self.diags.truncate(before);
            match v {
                Ok(Value::Tensor(t)) => self.shape_of(self.text(self.ast.span(of)), &t, at, env),
                _ => return Some(self.error(d.help(format!("such as `let e: [8, 2] ~ {dist}`")))),
            }
        } else {
            format!("[{}]", super::foreign::listed(texts).join(", "))
        };
        let file = &self.sources.file(at.file).text;
        let mut new = "eps".to_owned();
        while file.contains(&new) {
            new.push('_');
        }
        let draw = format!("let {new}: {shape} ~ {dist}");
        let Some(stmt) = self.block(at).and_then(|b| b.stmts.iter().find(|s| within(s.span, at))) else {
            // `fn f(x) = e` becomes a block.
            let body = self.ast.span(member?.body);
            let eq = file[..body.start as usize].trim_end().strip_suffix('=')?.len() as u32;
            let begin = Edit::replace(Span { start: eq, end: eq + 1, ..body }, format!("{{ {draw};"));
            let edits = [begin, Edit::replace(at, new), Edit::after(body, " }")];
            return Some(self.error(d.fix(format!("draw it before: `{draw}`"), edits)));
        };
        if let StmtKind::Let { pat: Pat::Name(n), ty: None, init } = &stmt.kind
            && init.value == e
        {
            let to = Span { start: n.span.end, ..at };
            let help = format!("write `let {}: {shape} ~ {dist}`", n.text);
            return Some(self.error(d.fix(help, [Edit::replace(to, format!(": {shape} ~ {dist}"))])));
        }
        let line = &file[file[..stmt.span.start as usize].rfind('\n').map_or(0, |n| n + 1)..stmt.span.start as usize];
        let between = if line.trim().is_empty() { format!("\n{line}") } else { "; ".to_owned() };
        let here = Span { end: stmt.span.start, ..stmt.span };
        let edits = [Edit::replace(here, format!("{draw}{between}")), Edit::replace(at, new)];
        Some(self.error(d.fix(format!("draw it before: `{draw}`"), edits)))
    }

    /// What a layer is usually called with here: the first parameter, the first field of the data.
    fn input(&self, at: Span) -> Option<Arc<str>> {
        match self.around(at)? {
            Around::Member(f) => f.params.first().map(|p| p.name.text.clone()),
            Around::Train(t) => {
                let name = self.text(self.ast.span(t.on));
                let items = self.ast.files.iter().flat_map(|f| &f.items);
                let data = items.filter_map(|i| if let ItemKind::Data(d) = &i.kind { Some(d) } else { None });
                data.filter(|d| *d.name.text == *name).flat_map(|d| &d.entries).find_map(|e| match e {
                    DataEntry::Field { name, .. } => Some(name.text.clone()),
                    _ => None,
                })
            }
        }
    }

    /// Adds to a finding where a tensor was wanted what its place needs for one.
    pub fn wanted_tensor(&self, d: Diagnostic, v: &Value, at: Span) -> Diagnostic {
        let text = self.text(at);
        match v {
            Value::Instance(_) => match self.input(at) {
                Some(x) if !text.contains('(') => {
                    let t = format!("{text}({x})");
                    d.fix(format!("call it: `{t}`"), [Edit::replace(at, t)])
                }
                _ => d.help("call it with what it reads"),
            },
            Value::Model(m) => {
                let at = if within(at, m.span) || self.is_std(m.span) { at } else { m.span };
                self.as_member(d, m, at)
            }
            Value::List(items) | Value::Tuple(items) if items.iter().any(|v| matches!(v, Value::Tensor(_))) => {
                let shape = |v: &Value| match v {
                    Value::Tensor(t) => Some(t.dims.iter().map(|d| d.size).collect::<Vec<u64>>()),
                    _ => None,
                };
                if items.iter().any(|v| shape(v) != shape(&items[0])) {
                    return d;
                }
                let t = super::foreign::stacked(text);
                d.fix(format!("join them along a new axis: `{}`", shown(&t)), [Edit::replace(at, t)])
            }
            _ => d,
        }
    }

    /// A layer that is made where a tensor is computed: it becomes a member of the model, or the model that is trained is
    /// called.
    pub fn as_member(&self, d: Diagnostic, m: &ModelTemplate, at: Span) -> Diagnostic {
        let (code, args) = made_and_called(self.text(at));
        let code = &*with_sizes(code, m);
        match self.around(at) {
            Some(Around::Member(f)) => {
                let file = &self.sources.file(at.file).text;
                let end = code.find(['[', '(']).unwrap_or(code.len());
                let mut name = member_name(code[..end].rsplit('.').next().unwrap_or(code));
                while file.contains(&name) {
                    name.push('_');
                }
                let before = &file[..f.name.span.start as usize];
                let start = before.trim_end().len() - if before.trim_end().ends_with("fn") { 2 } else { 0 };
                let indent = &before[before[..start].rfind('\n').map_or(0, |n| n + 1)..start];
                let between = if indent.trim().is_empty() { format!("\n{indent}") } else { "; ".to_owned() };
                let call = match args.map(str::to_owned).or_else(|| f.params.first().map(|p| p.name.text.to_string())) {
                    // The template alone: its call stands around it.
                    _ if file[at.end as usize..].starts_with('(') => name.clone(),
                    Some(x) => format!("{name}({x})"),
                    None => name.clone(),
                };
                let here = Span { start: start as u32, end: start as u32, ..at };
                d.fix(
                    format!("declare it as a member: `{name} = {}`", shown(code)),
                    [Edit::replace(here, format!("{name} = {code}{between}")), Edit::replace(at, call)],
                )
            }
            Some(Around::Train(t)) => match (t.binds.first(), self.input(at)) {
                (Some(b), Some(x)) => {
                    let t = format!("{}({})", b.name.text, args.unwrap_or(&x));
                    d.fix(format!("call what is trained: `{t}`"), [Edit::replace(at, t)])
                }
                _ => d,
            },
            None => d.help("a layer is declared as a member of a model, then called"),
        }
    }
}
