//! Names of other libraries and languages, and what is written here instead.
//!
//! In: a name, path (`nn.Linear`), method (`x.view`) or parameter that means nothing here, with its call. Out: the error
//! with the edit that says the same in `.nn`. A row a name; each row has an example, and a test applies the edit to it and
//! checks the result. Names that differ from ours in case alone, and our own names behind a module's (`torch.exp`), need
//! no row.

mod conv;
pub mod settings;
mod table;

use super::builtins;
use super::cx::{Elab, Env, Reported, nearest};
use super::models::TemplateKind;
use super::value::Value;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{Arg, ExprId, ExprKind, Ix};
pub use conv::hyper;
pub use table::{CALLS, LOST, METHODS, NAMES, Ours, PARAMETERS, PARTS, Row, TYPES, listed, stacked};

/// The row of a name; case counts only if two rows differ in nothing else.
pub fn find(rows: &'static [Row], name: &str) -> Option<&'static Row> {
    let by = |same: &dyn Fn(&str) -> bool| rows.iter().find(|r| r.names.iter().any(|n| same(n)));
    by(&|n| n == name).or_else(|| by(&|n| n.len() > 3 && n.eq_ignore_ascii_case(name)))
}

/// What a parameter of another library is called here, if `known` has it.
pub fn parameter<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let ours = PARAMETERS.iter().filter(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    let found = ours.filter_map(|o| known.iter().copied().find(|k| *k == o)).next();
    nearest(name, known.iter().copied()).or(found)
}

/// The call that means what another library calls by this name, with these arguments.
pub fn call(name: &str, args: &[&str]) -> Option<String> {
    find(NAMES, name).and_then(|r| r.ours.text("", &[], Some(args), false))
}

/// A model of ours that has its name elsewhere too, with what a call gives it there.
pub fn model(name: &str, args: &[&str]) -> Option<String> {
    NAMES.iter().find(|r| r.names.contains(&name)).and_then(|r| r.ours.text("", &[], Some(args), true))
}

/// Code in a line of words: of a long one what it begins with.
fn head(text: &str) -> String {
    let short = shown(text);
    match (text.find(['(', '[', '{']), text.chars().last()) {
        (Some(n), Some(close @ (')' | ']' | '}'))) if short == ".." && n < 30 => format!("{}..{close}", &text[..n + 1]),
        _ => short,
    }
}

/// A name or dotted path: its first name, where that stands, and its last name.
struct Path {
    first: String,
    first_span: Span,
    last: String,
    dotted: bool,
}

impl Ours {
    /// The text for a call with these arguments, or for the bare name.
    fn text(&self, x: &str, sizes: &[u64], args: Option<&[&str]>, upper: bool) -> Option<String> {
        match (self, args) {
            (Ours::Name(n), Some([])) if upper => Some((*n).to_owned()),
            (Ours::Name(n), Some(args)) => Some(format!("{n}({})", args.join(", "))),
            (Ours::Name(n), None) => Some((*n).to_owned()),
            (Ours::Call(t), args) => {
                let args = args.unwrap_or_default();
                let t = t.replace("$x", x).replace("$*", &args.join(", ")).replace(", )", ")");
                match (t.contains("$1"), args.first()) {
                    (true, None) => None,
                    (_, first) => Some(t.replace("$1", first.copied().unwrap_or_default())),
                }
            }
            (Ours::Axes(f), args) => f(x, sizes, args.unwrap_or_default()),
            (Ours::Words(_) | Ours::Later, _) => None,
        }
    }
}

/// What ends in `=` and binds nothing.
const OPERATORS: [&str; 4] = ["==", "!=", "<=", ">="];

/// How names of files end.
const FILES: &[&str] = &["csv", "tsv", "txt", "npz", "npy", "gz", "safetensors", "ckpt"];

impl<'a> Elab<'a> {
    /// A path whose first name means nothing here.
    fn path(&self, e: ExprId, env: &Env) -> Option<Path> {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) if self.is_known(n, env) => None,
            ExprKind::Name(n) => {
                Some(Path { first: n.to_string(), first_span: self.ast.span(e), last: n.to_string(), dotted: false })
            }
            ExprKind::Field { base, name } => {
                let p = self.path(*base, env)?;
                Some(Path { last: name.text.to_string(), dotted: true, ..p })
            }
            _ => None,
        }
    }

    /// Reports an expression whose name or path is another library's: `nn.ReLU()`, `range(3)`, `np.exp`. `None` if its
    /// first name is known here, or if nothing is known of it.
    pub fn foreign(&mut self, e: ExprId, env: &Env) -> Option<Reported> {
        let ast = self.ast;
        let span = ast.span(e);
        let (callee, args) = match &ast.expr(e).kind {
            ExprKind::Call { callee, args } => (*callee, Some(args.as_slice())),
            _ => (e, None),
        };
        // `nn.MSELoss()(a, b)`: what is made is called at once.
        let made = match &ast.expr(callee).kind {
            ExprKind::Call { callee, args } if args.iter().all(|a| a.name.is_some()) => {
                Some((*callee, args.as_slice()))
            }
            _ => None,
        };
        let (made, how) = (made.map(|m| m.0), made.map_or(&[][..], |m| m.1));
        let path = self.path(made.unwrap_or(callee), env)?;
        if path.dotted && builtins::LATER.contains(&&*path.last) {
            return Some(self.unknown(&path.last, ast.span(made.unwrap_or(callee)), env));
        }
        if let Some(args) = args {
            let texts: Vec<&str> = args.iter().map(|a| self.arg_text(a)).collect();
            if let Some(told) = self.draw_as_statement(&path.last, e, args, &texts, env) {
                return Some(told);
            }
        }
        let at = ast.span(made.unwrap_or(callee));
        // A name of ours behind a module's is that, whatever it is called elsewhere in another case.
        let ours = path.dotted && self.is_known(&path.last, env);
        let row = find(NAMES, &path.last).filter(|r| !ours || r.names.contains(&&*path.last));
        let target = match row.map(|r| &r.ours) {
            Some(Ours::Name(n)) => *n,
            _ => &*path.last,
        };
        let texts = args.map(|a| [self.arg_texts(a, target, env), self.arg_texts(how, target, env)].concat());
        let texts: Option<Vec<&str>> = texts.as_ref().map(|t| t.iter().map(String::as_str).collect());
        let upper = path.last.starts_with(|c: char| c.is_ascii_uppercase());
        let code = if upper && !path.dotted { "E0105" } else { "E0100" };
        // A field reads columns by names of their own: one that no edit makes ours is a column's.
        let bare = args.is_none() && !path.dotted && super::names::columns(env).is_some();
        if bare && row.is_none_or(|r| r.ours.text("", &[], None, upper).is_none()) {
            return None;
        }
        let mut d = Diagnostic::error(code, at, format!("unknown name `{}`", self.text(at)))
            .here("this is not a name of the language");
        if path.first == "self" && path.dotted {
            let dot = Span { end: path.first_span.end + 1, ..path.first_span };
            return Some(self.error(d.fix("members of a model are named without `self`", [Edit::replace(dot, "")])));
        }
        let sizes = args.and_then(|a| a.first()).and_then(|a| self.sizes_of(a.value, env)).unwrap_or_default();
        match row.map(|r| &r.ours) {
            Some(Ours::Later) if self.st.later.insert(path.last.as_str().into()) => {
                return Some(self.limit(at, &format!("`{}`", self.text(at))));
            }
            Some(Ours::Later) => return Some(Reported),
            Some(Ours::Words(w)) => d = d.help(*w),
            Some(ours) => {
                d = match ours.text("", &sizes, texts.as_deref(), upper).map(|t| self.standing(t, span)) {
                    Some(t) => d.fix(format!("here this is `{}`", head(&t)), [Edit::replace(span, t)]),
                    None => d.help(ours.advice()),
                };
            }
            // Our own name behind a module's.
            None if path.dotted && self.is_known(&path.last, env) => {
                let said =
                    find(CALLS, &path.last).and_then(|r| r.ours.text("", &sizes, Some(texts.as_deref()?), upper));
                let plain = || {
                    let args = texts.as_ref().map(|t| format!("({})", t.join(", ")));
                    format!("{}{}", path.last, args.unwrap_or_default())
                };
                let text = said.or_else(|| self.called(&path.last, args, env)).unwrap_or_else(plain);
                // A module's name alone goes.
                let same = text.strip_prefix(&*path.last) == self.text(span).strip_prefix(self.text(at));
                let (text, place) = if same { (path.last.clone(), at) } else { (text, span) };
                d = d.fix(format!("here this is `{}`", shown(&text)), [Edit::replace(place, text)]);
            }
            None if FILES.contains(&&*path.last) && path.dotted && args.is_none() => {
                let text = format!("\"{}\"", self.text(at));
                d.labels.iter_mut().for_each(|l| l.message.clear());
                d = d.fix(format!("a file is named between quotes: `{text}`"), [Edit::replace(at, text)]);
            }
            None if path.dotted => {
                let names = self.visible(env);
                let near = nearest(&path.last, names.iter().map(|n| &**n)).map(str::to_owned);
                match near {
                    Some(near) => d = d.fix(format!("did you mean `{near}`?"), [Edit::replace(at, near)]),
                    None => return None,
                }
            }
            None => return None,
        }
        Some(self.error(d))
    }

    /// Code in the place of an expression: without parentheses of its own where it stands alone between others, commas or
    /// the ends of a statement.
    fn standing(&self, code: String, at: Span) -> String {
        let file = &self.sources.file(at.file).text;
        let before = file[..at.start as usize].trim_end_matches([' ', '\t']);
        let after = file[at.end as usize..].trim_start_matches([' ', '\t']);
        let begins = before.ends_with(['(', ',', '['])
            || before.ends_with('=') && !OPERATORS.iter().any(|o| before.ends_with(o));
        let ends = after.is_empty() || after.starts_with([')', ',', ']', ';', '}', '\n', '\r']);
        match nn_runtime::data::check::bare(&code) {
            inner if begins && ends => inner.to_owned(),
            _ => code,
        }
    }

    /// Reports another library's layer that is given its arguments between square brackets: `Dense[8, 3]`.
    pub fn foreign_sizes(&mut self, base: ExprId, items: &[Ix], span: Span, env: &Env) -> Option<Reported> {
        let path = self.path(base, env)?;
        let row = find(NAMES, &path.last).filter(|r| matches!(r.ours, Ours::Call(_) | Ours::Axes(_)))?;
        let mut args = vec![];
        for i in items {
            let Ix::At(e) = i else { return None };
            args.push(self.text(self.ast.span(*e)));
        }
        let t = row.ours.text("", &[], Some(&args), true)?;
        let at = self.ast.span(base);
        let d = Diagnostic::error("E0105", at, format!("unknown name `{}`", self.text(at)))
            .here("this is not a name of the language");
        Some(self.error(d.fix(format!("here this is `{}`", head(&t)), [Edit::replace(span, t)])))
    }

    /// A model of ours with the sizes that another library gives between parentheses: `nn.Linear(8, 4)`.
    fn called(&mut self, name: &str, args: Option<&[Arg]>, env: &Env) -> Option<String> {
        let args = args?;
        let Ok(Some(Value::Model(m))) = self.lookup(name, self.ast.span(args.first()?.value), env) else { return None };
        let TemplateKind::Item { def, .. } = &m.kind else { return None };
        let sizes = args.iter().take_while(|a| a.name.is_none()).count().min(def.dims.len());
        if sizes < def.dims.iter().filter(|d| d.default.is_none()).count() || sizes == 0 {
            return None;
        }
        let rest = self.arg_texts(&args[sizes..], name, env).join(", ");
        let rest = if rest.is_empty() { rest } else { format!("({rest})") };
        let sizes: Vec<&str> = args[..sizes].iter().map(|a| self.arg_text(a)).collect();
        Some(format!("{name}[{}]{rest}", sizes.join(", ")))
    }

    /// The texts of arguments for a function of ours: its names for those of others, without what nothing takes here.
    fn arg_texts(&mut self, args: &[Arg], target: &str, env: &Env) -> Vec<String> {
        let span = args.first().map(|a| self.ast.span(a.value));
        // `BatchNorm2d` takes what `BatchNorm` does.
        let plain =
            ["1d", "2d", "3d"].iter().find_map(|n| target.strip_suffix(n)).filter(|_| !self.is_known(target, env));
        let target = plain.unwrap_or(target);
        let value =
            span.filter(|_| self.is_known(target, env)).and_then(|s| self.lookup(target, s, env).ok().flatten());
        let known: Option<Vec<String>> = match value {
            Some(Value::Fn(f)) => Some(f.def.params.iter().map(|p| p.name.text.to_string()).collect()),
            Some(Value::Builtin(b)) => {
                Some(b.sig.forms.iter().flat_map(|f| f.iter()).map(|p| p.name.to_owned()).collect())
            }
            Some(Value::Model(m)) => match &m.kind {
                TemplateKind::Item { def, .. } => Some(def.params.iter().map(|p| p.name.text.to_string()).collect()),
                _ => None,
            },
            _ => None,
        };
        let mut out = vec![];
        for a in args {
            let text = self.text(self.ast.span(a.value));
            let name = a.name.as_ref().map(|n| &*n.text);
            let taken = |n: &str| known.as_ref().is_some_and(|k| k.iter().any(|k| k == n));
            match name {
                None if text.ends_with(".parameters()") => {}
                None => out.push(text.to_owned()),
                Some(n) if taken(n) => out.push(format!("{n}: {text}")),
                Some(n) => {
                    let mut rows = PARAMETERS.iter().filter(|(theirs, _)| *theirs == n).map(|(_, ours)| *ours);
                    match rows.find(|o| known.is_none() || taken(o)) {
                        Some(ours) => out.push(format!("{ours}: {text}")),
                        None if LOST.contains(&n) => {}
                        None => out.push(format!("{n}: {text}")),
                    }
                }
            }
        }
        out
    }

    /// Adds what is meant to the first finding of a call that failed: a function of ours with the arguments of another
    /// library's. `before` findings were there before the call.
    pub fn foreign_call(&mut self, before: usize, callee: ExprId, args: &[Arg], span: Span, env: &Env) {
        let ast = self.ast;
        let ExprKind::Name(name) = &ast.expr(callee).kind else { return };
        let Some(row) = find(CALLS, name).filter(|r| r.names.contains(&&**name)) else { return };
        let Some(d) = self.diags.get(before) else { return };
        let Some(at) = d.labels.first().map(|l| l.span) else { return };
        let inside = |outer: Span| outer.file == at.file && outer.start <= at.start && at.end <= outer.end;
        // A finding inside an argument is its own; of the whole argument it is the call's, unless that is a call too.
        let of_argument = |a: &Arg| {
            let span = ast.span(a.value);
            inside(span) && (span != at || matches!(ast.expr(a.value).kind, ExprKind::Call { .. }))
        };
        let of_one = args.iter().any(|a| ast.span(a.value) == at);
        let told = d.help.iter().any(|h| !h.edits.is_empty()) && !of_one;
        if !inside(span) || told || args.iter().any(of_argument) {
            return;
        }
        let texts = self.arg_texts(args, name, env);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let sizes = args.first().and_then(|a| self.sizes_of(a.value, env)).unwrap_or_default();
        let Some(t) = row.ours.text("", &sizes, Some(&texts), false).filter(|t| t != self.text(span)) else { return };
        let help = Diagnostic::error("E0100", span, "").fix(format!("write `{}`", head(&t)), [Edit::replace(span, t)]);
        if let Some(d) = self.diags.get_mut(before) {
            d.notes.clear();
            d.help = help.help;
        }
    }

    /// Reports a method or attribute that a tensor does not have; `args` are those of its call.
    pub fn foreign_method(
        &mut self,
        base: ExprId,
        name: &crate::syntax::ast::Ident,
        (v, sizes): (&str, &[u64]),
        args: Option<&[Arg]>,
        span: Span,
        env: &Env,
    ) -> Reported {
        let x = self.text(self.ast.span(base));
        let row = find(METHODS, &name.text);
        let texts = args.map(|a| self.arg_texts(a, &name.text, env));
        let texts: Option<Vec<&str>> = texts.as_ref().map(|t| t.iter().map(String::as_str).collect());
        let mut d = Diagnostic::error("E0100", name.span, format!("a tensor has no field `{}`", name.text))
            .here("no field or method of a tensor")
            .label(self.ast.span(base), format!("this is {v}"));
        d = match row.map(|r| &r.ours) {
            Some(Ours::Words(w)) => d.help(*w),
            Some(ours) => match ours.text(x, sizes, Some(texts.as_deref().unwrap_or_default()), false) {
                Some(t) => d.fix(format!("here this is `{}`", shown(&t)), [Edit::replace(span, t)]),
                None => d.help(ours.advice()),
            },
            None if self.is_known(&name.text, env) && args.is_some() => {
                let mut all = vec![x];
                all.extend(texts.unwrap_or_default());
                let said = find(CALLS, &name.text).and_then(|r| r.ours.text("", sizes, Some(&all), false));
                let t = said.unwrap_or_else(|| format!("{}({})", name.text, all.join(", ")));
                d.fix(format!("functions are not methods here: `{}`", shown(&t)), [Edit::replace(span, t)])
            }
            None => d.help("tensors have `.T`, which swaps the last two axes"),
        };
        self.error(d)
    }

    fn arg_text(&self, a: &Arg) -> &'a str {
        match &a.name {
            Some(n) => self.text(n.span.to(self.ast.span(a.value))),
            None => self.text(self.ast.span(a.value)),
        }
    }

    /// The sizes of a tensor that has a name, or is the result of calls of such; others are not evaluated for it.
    fn sizes_of(&mut self, e: ExprId, env: &Env) -> Option<Vec<u64>> {
        let span = self.ast.span(e);
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) => match self.lookup(n, span, env) {
                Ok(Some(Value::Tensor(t))) => Some(t.dims.iter().map(|d| d.size).collect()),
                _ => None,
            },
            ExprKind::Index { base, items } => {
                let mut left = self.sizes_of(*base, env)?.into_iter();
                let mut out = vec![];
                for i in items {
                    match i {
                        Ix::New(_) => out.push(1),
                        Ix::At(_) => drop(left.next()?),
                        Ix::Slice { lo: None, hi: None, .. } => out.push(left.next()?),
                        // Some other size; only the number of axes counts.
                        _ => out.push(left.next().map(|_| 0)?),
                    }
                }
                out.extend(left);
                Some(out)
            }
            // It is elaborated once more, which no one sees: the program has an error already.
            ExprKind::Call { callee, .. } if self.path(*callee, env).is_none() => {
                let before = self.diags.len();
                let v = self.eval(e, env);
                self.diags.truncate(before);
                match v {
                    Ok(Value::Tensor(t)) => Some(t.dims.iter().map(|d| d.size).collect()),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Ours {
    /// What is said where the arguments are not those that the edit needs.
    fn advice(&self) -> String {
        match self {
            Ours::Name(n) => format!("here this is `{n}`"),
            Ours::Call(t) => format!("here this is `{}`", t.replace("$*", "..").replace("$1", "n").replace("$x", "x")),
            Ours::Words(w) => (*w).to_owned(),
            Ours::Later => String::new(),
            // Of a function the first argument is the tensor.
            Ours::Axes(f) => {
                let sizes = [2, 1];
                match f("x", &sizes, &["x", "0"])
                    .or_else(|| f("x", &sizes, &["0", "1"]))
                    .or_else(|| f("x", &sizes, &["0"]))
                {
                    Some(t) => format!("here this reads `{t}`"),
                    None => "write it out".to_owned(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostic, edited};
    use crate::sema::suite;
    use crate::sema::units::Program;

    fn program(example: &str) -> String {
        let lines = example.replace("; ", "\n  ");
        format!(
            "test \"{}\" {{\n  let x: f32[2, 3] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]\n  let w = x.T\n  \
             assert rank(w) == rank(x)\n  {lines}\n}}\n",
            example.replace('"', "")
        )
    }

    /// What is found in each of some tests, with places in its own text.
    fn found(texts: &[String]) -> Vec<Vec<Diagnostic>> {
        let (p, found) = Program::load("t.nn", &texts.concat(), &|f, _| Err(f.to_owned()));
        assert!(found.is_empty(), "{found:?}");
        let tests = suite::tests(&p, p.main());
        assert_eq!(tests.len(), texts.len());
        let mut start = 0;
        let mut out = vec![];
        for (t, text) in tests.into_iter().zip(texts) {
            let mut errors = t.graph.err().unwrap_or_default();
            for e in errors.iter_mut().flat_map(|d| &mut d.help).flat_map(|h| &mut h.edits) {
                (e.span.start, e.span.end) = (e.span.start - start, e.span.end - start);
            }
            out.push(errors);
            start += text.len() as u32;
        }
        out
    }

    /// Applies the first edit of the first error of each example until there is none: the text, or what is still wrong.
    fn mend(examples: &[&str]) -> Vec<Result<String, String>> {
        let mut texts: Vec<String> = examples.iter().map(|e| program(e)).collect();
        for _ in 0..3 {
            let all = found(&texts);
            for (text, errors) in texts.iter_mut().zip(all) {
                if let Some(h) = errors.first().and_then(|d| d.help.iter().find(|h| !h.edits.is_empty())) {
                    *text = edited(text, &h.edits);
                }
            }
        }
        let left = found(&texts);
        let outcome = |(text, left): (String, Vec<Diagnostic>)| {
            if left.is_empty() { Ok(text) } else { Err(format!("{text}\n{left:?}")) }
        };
        texts.into_iter().zip(left).map(outcome).collect()
    }

    #[test]
    fn every_row_has_an_edit_that_checks() {
        let rows: Vec<&Row> = NAMES.iter().chain(METHODS).chain(CALLS).collect();
        let (later, rows): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|r| matches!(r.ours, Ours::Later));
        let (words, code): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|r| matches!(r.ours, Ours::Words(_)));
        let mut bad = String::new();
        let examples: Vec<&str> = code.iter().map(|r| r.example).collect();
        for (r, outcome) in code.iter().zip(mend(&examples)) {
            match outcome {
                Err(why) => bad += &format!("{why}\n"),
                Ok(text) if text == program(r.example) => bad += &format!("{}: not foreign\n", r.example),
                Ok(_) => {}
            }
        }
        let texts: Vec<String> = words.iter().map(|r| program(r.example)).collect();
        for (r, errors) in words.iter().zip(found(&texts)) {
            let Ours::Words(w) = r.ours else { continue };
            if !errors.iter().any(|d| d.help.iter().any(|h| h.message == w && h.edits.is_empty())) {
                bad += &format!("{}: {errors:?}\n", r.example);
            }
        }
        let texts: Vec<String> = later.iter().map(|r| program(r.example)).collect();
        for (r, errors) in later.iter().zip(found(&texts)) {
            if !matches!(&errors[..], [d] if d.code == "E0901") {
                bad += &format!("{}: {errors:?}\n", r.example);
            }
        }
        assert!(bad.is_empty(), "{bad}");
    }

    #[test]
    fn our_own_names_need_no_row() {
        let pairs = [
            ("let z = torch.exp(x)", "let z = exp(x)"),
            ("let z = np.log(x)", "let z = log(x)"),
            ("let z = torch.nn.functional.relu(x)", "let z = relu(x)"),
            ("let z = x.mean(-1)", "let z = mean(x, -1)"),
            ("let z = x.exp()", "let z = exp(x)"),
            ("let f = nn.Linear(3, 4); let z = f(x)", "let f = Linear[3, 4]"),
            ("let f = torch.nn.Linear(3, 4, bias: False); let z = f(x)", "let f = Linear[3, 4](use_bias: false)"),
            ("let f = nn.LayerNorm(3); let z = f(x)", "let f = LayerNorm[3]"),
            ("let f = nn.Dropout(0.5); let z = f(x)", "let f = Dropout(0.5)"),
            ("let z = RELU(x)", "let z = relu(x)"),
            ("let z = Mean(X)", "let z = mean(x)"),
            ("let z = sum(x, dims: 0, keepdim: True)", "let z = sum(x, axis: 0, keep: true)"),
            ("let z: float32[2, 3] = x", "let z: f32[2, 3] = x"),
            ("let z = x as float64", "let z = x as f64"),
            (
                "let z = descend(optim.Adam(learning_rate: 0.1, weight_decay: 0.0), x, [x])",
                "descend(Adam(lr: 0.1, decay: 0.0), x, [x])",
            ),
        ];
        for ((foreign, ours), outcome) in pairs.iter().zip(mend(&pairs.map(|(foreign, _)| foreign))) {
            let text = outcome.unwrap_or_else(|why| panic!("{foreign}: {why}"));
            assert!(text.contains(ours), "{foreign}: {text}");
        }
    }

    #[test]
    fn names_stand_in_one_row() {
        for rows in [NAMES, METHODS, CALLS] {
            let mut all: Vec<&str> = rows.iter().flat_map(|r| r.names).copied().collect();
            let n = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), n);
        }
    }
}
