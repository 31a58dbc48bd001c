//! Overrides: `--set PATH=VALUE` gives a setting, const, dim or hyperparameter of a program another value from outside.
//!
//! In: paths and the text of values. Out: a program whose `train` and `data` items have the settings asked for, and a
//! table that elaboration asks by path for everything else. A value is an expression of the language, read in the scope of
//! the program, and the command line is one more source: messages point into it.
//!
//! Elaboration notes every path that it asks for, so what can be set is never written down a second time.

use super::cx::{Elab, R, nearest};
use super::foreign::PARAMETERS;
use super::settings;
use super::sources;
use super::units::{Program, State};
use super::value::Value;
use crate::diag::{Diagnostic, Severity};
use crate::source::Span;
use crate::syntax::ast::{Ast, DataEntry, ExprId, Ident, ItemKind, Setting, TrainEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A value from outside.
#[derive(Clone, Debug)]
pub struct Override {
    /// `m.layers`, `train.optimizer.lr`
    pub path: Arc<str>,
    /// Its value.
    pub value: ExprId,
    /// Where the path stands on the command line.
    pub span: Span,
}

/// What elaboration has asked for, and which overrides it took.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Every path that can be set.
    paths: BTreeSet<String>,
    /// The paths that each override, by number, was taken for.
    taken: BTreeMap<usize, BTreeSet<String>>,
}

impl Asked {
    /// Adds what another elaboration asked for.
    pub fn merge(&mut self, other: &Asked) {
        self.paths.extend(other.paths.iter().cloned());
        for (i, paths) in &other.taken {
            self.taken.entry(*i).or_default().extend(paths.iter().cloned());
        }
    }
}

/// Most paths that one line of a message lists.
const LISTED: usize = 12;

/// The path of `--lr`, short for that of the optimizer's rate: messages quote what was written.
pub const LR: &str = "--lr";

impl Program {
    /// Applies overrides. Those of settings change the tree; the rest wait for elaboration.
    pub fn set(&mut self, sets: &[(String, String)]) -> Vec<Diagnostic> {
        let mut diags = vec![];
        let mut all = vec![];
        for (path, text) in sets {
            match self.value(path, text) {
                Ok(o) => all.push(o),
                Err(more) => diags.extend(more),
            }
        }
        let lengths: Vec<&str> = ["epochs", "steps"]
            .into_iter()
            .filter(|n| all.iter().any(|o| o.path.strip_prefix("train.") == Some(n)))
            .collect();
        // Who sets one length does not want the other.
        if let [one] = lengths.as_slice() {
            let other = if *one == "epochs" { "steps" } else { "epochs" };
            self.trains(|t| t.retain(|e| !matches!(e, TrainEntry::Setting(s) if &*s.name.text == other)));
        }
        for o in all {
            match self.apply(o) {
                Ok(Some(left)) => self.overrides.push(left),
                Ok(None) => {}
                Err(d) => diags.push(d),
            }
        }
        diags
    }

    /// E0211 of every override, for a command that evaluates no program: nothing is silently left out.
    pub fn unset(sets: &[(String, String)], why: &str) -> (Program, Vec<Diagnostic>) {
        let mut p = Program::default();
        let mut diags = vec![];
        for (path, text) in sets {
            match p.value(path, text) {
                Ok(o) => {
                    let message = format!("nothing takes `{}` here: {why}", o.path);
                    diags.push(Diagnostic::error("E0211", o.span, message));
                }
                Err(more) => diags.extend(more),
            }
        }
        (p, diags)
    }

    /// Reads the text of a value.
    fn value(&mut self, path: &str, text: &str) -> Result<Override, Vec<Diagnostic>> {
        let (path, shown, start) = match path {
            LR => ("train.optimizer.lr", format!("nnc .. --lr {text}"), 7),
            _ => (path, format!("--set {path}={text}"), 6),
        };
        let file = self.sources.add("command line", &shown);
        let at = (shown.len() - text.len()) as u32;
        let span = Span { file, start, end: at - 1 };
        let place = Span { file, start: at, end: shown.len() as u32 };
        if text.trim().is_empty() || text.contains(['\n', '\r']) || self.sources.file(file).text.len() > 1 << 16 {
            return Err(vec![Diagnostic::error("E0211", place, format!("`{path}` needs a value on one line"))]);
        }
        // The value as that of a const, at the place where it stands on the command line.
        let source = format!("{:<width$}{text}", "const v=", width = at as usize);
        let wrong = crate::syntax::parse(&mut self.ast, file, &source);
        let items = self.ast.files.pop().map(|f| f.items).unwrap_or_default();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        match items.as_slice() {
            [item] if let ItemKind::Const(c) = &item.kind => {
                Ok(Override { path: path.into(), value: c.init.value, span })
            }
            _ => Err(vec![Diagnostic::error("E0211", place, format!("`{path}` needs one value"))]),
        }
    }

    /// The entries of each `train` item.
    fn trains(&mut self, mut f: impl FnMut(&mut Vec<TrainEntry>)) {
        let main = self.main();
        let Some(file) = self.ast.files.get_mut(main) else { return };
        for item in &mut file.items {
            if let ItemKind::Train(t) = &mut item.kind {
                f(&mut Arc::make_mut(t).entries);
            }
        }
    }

    /// Puts the value of a setting into the tree; what is no setting comes back.
    fn apply(&mut self, o: Override) -> Result<Option<Override>, Diagnostic> {
        let path = o.path.clone();
        if let Some(rest) = path.strip_prefix("train.optimizer") {
            return self.apply_optimizer(rest, o);
        }
        let setting = |name: &str| Setting {
            name: Ident { text: name.into(), span: o.span },
            selector: None,
            value: o.value,
            span: o.span,
        };
        if let Some(name) = path.strip_prefix("train.").filter(|n| settings::is_setting(n)) {
            self.trains(|entries| {
                let mut old = entries.iter().position(|e| matches!(e, TrainEntry::Setting(s) if *s.name.text == *name));
                let new = TrainEntry::Setting(setting(name));
                match old.take() {
                    Some(i) => entries[i] = new,
                    None => entries.push(new),
                }
            });
            return Ok(None);
        }
        let Some((item, part)) = path.split_once('.').filter(|(_, part)| sources::is_part(part)) else {
            return Ok(Some(o));
        };
        let part = if part == "source" { "train" } else { part };
        let main = self.main();
        for i in self.ast.files.get_mut(main).map(|f| &mut f.items).into_iter().flatten() {
            if let ItemKind::Data(d) = &mut i.kind
                && *d.name.text == *item
            {
                let entries = &mut Arc::make_mut(d).entries;
                let same = |s: &Setting| *s.name.text == *part || part == "train" && &*s.name.text == "source";
                let old = entries.iter().position(|e| matches!(e, DataEntry::Setting(s) if same(s)));
                let new = DataEntry::Setting(setting(part));
                match old {
                    Some(i) => entries[i] = new,
                    None => entries.push(new),
                }
                return Ok(None);
            }
        }
        Ok(Some(o))
    }

    /// `train.optimizer.lr`, or where there are several `train.optimizer[m.head].lr`: which one is said by its selector.
    fn apply_optimizer(&mut self, rest: &str, o: Override) -> Result<Option<Override>, Diagnostic> {
        let (wanted, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((selector, rest)) => (Some(packed(selector)), rest.to_owned()),
            None => (None, rest.to_owned()),
        };
        if !rest.is_empty() && !rest.starts_with('.') {
            return Ok(Some(o));
        }
        let main = self.main();
        let items = self.ast.files.get(main).map(|f| f.items.as_slice()).unwrap_or_default();
        let mut names: Vec<Vec<String>> = vec![];
        for item in items {
            if let ItemKind::Train(t) = &item.kind {
                names.push(optimizers(&t.entries).map(|s| self.selector_text(s)).collect());
            }
        }
        let known: BTreeSet<&String> = names.iter().flatten().collect();
        let list = || {
            // What other libraries call a parameter is told under our name.
            let theirs = rest.strip_prefix('.').and_then(|r| PARAMETERS.iter().find(|(t, _)| *t == r));
            let rest = theirs.map_or_else(|| rest.to_string(), |(_, ours)| format!(".{ours}"));
            let all: Vec<String> = known.iter().map(|n| format!("`train.optimizer[{n}]{rest}`")).collect();
            all.join(", ")
        };
        let several = names.iter().any(|n| n.len() > 1);
        match &wanted {
            None if several => {
                let d = Diagnostic::error("E0211", o.span, "the program has several optimizers: which one?");
                return Err(d.help(list()));
            }
            Some(w) if !known.contains(w) => {
                let d = Diagnostic::error("E0211", o.span, format!("no optimizer has the selector `{w}`"));
                return Err(if known.is_empty() { d } else { d.help(list()) });
            }
            _ => {}
        }
        if !rest.is_empty() {
            let path = match wanted.filter(|_| several) {
                Some(w) => format!("train.optimizer[{w}]{rest}"),
                None => format!("train.optimizer{rest}"),
            };
            return Ok(Some(Override { path: path.into(), ..o }));
        }
        let main = self.main();
        let sources = &self.sources;
        let exprs = &self.ast.exprs;
        let text = |s: &Setting| match s.selector {
            Some(e) => packed(sources.text(exprs[e.0 as usize].span)),
            None => ALL.to_owned(),
        };
        let mut done = false;
        for item in self.ast.files.get_mut(main).map(|f| &mut f.items).into_iter().flatten() {
            let ItemKind::Train(t) = &mut item.kind else { continue };
            for e in &mut Arc::make_mut(t).entries {
                if let TrainEntry::Setting(s) = e
                    && &*s.name.text == "optimizer"
                    && wanted.as_ref().is_none_or(|w| *w == text(s))
                {
                    s.value = o.value;
                    done = true;
                }
            }
            if !done {
                let name = Ident { text: "optimizer".into(), span: o.span };
                let new = Setting { name, selector: None, value: o.value, span: o.span };
                Arc::make_mut(t).entries.push(TrainEntry::Setting(new));
            }
        }
        Ok(None)
    }

    fn selector_text(&self, s: &Setting) -> String {
        selector_text(&self.ast, &self.sources, s)
    }
}

/// How an optimizer without a selector is called.
const ALL: &str = "**";

fn packed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn selector_text(ast: &Ast, sources: &crate::source::SourceMap, s: &Setting) -> String {
    s.selector.map_or_else(|| ALL.to_owned(), |e| packed(sources.text(ast.span(e))))
}

fn optimizers(entries: &[TrainEntry]) -> impl Iterator<Item = &Setting> {
    entries.iter().filter_map(|e| match e {
        TrainEntry::Setting(s) if &*s.name.text == "optimizer" => Some(s),
        _ => None,
    })
}

impl State<'_> {
    /// The override of a path, or of the short name that stands for it where no other path has it.
    pub fn override_of(&self, path: &str, short: Option<&str>) -> Option<ExprId> {
        if self.overrides.is_empty() {
            return None;
        }
        let mut asked = self.asked.borrow_mut();
        asked.paths.insert(path.to_owned());
        let mut found = None;
        for (i, o) in self.overrides.iter().enumerate() {
            if *o.path == *path || short == Some(&*o.path) {
                asked.taken.entry(i).or_default().insert(path.to_owned());
                found = Some(o.value);
            }
        }
        found
    }

    /// The override of a `const` or `dim` of the program.
    pub fn item_override(&self, module: usize, name: &str) -> Option<ExprId> {
        if module == self.root { self.override_of(name, None) } else { None }
    }

    /// The override of a dim or hyperparameter of the instance under construction at a path of the parameter tree.
    pub fn hyper_override(&self, path: &str, name: &str) -> Option<ExprId> {
        if self.overrides.is_empty() {
            return None;
        }
        if let Some(binding) = &self.binding {
            let item = self.modules.get(self.root).is_some_and(|m| m.items.contains_key(name));
            let short = !item && !binding.contains('[');
            return self.override_of(&format!("{binding}.{name}"), short.then_some(name));
        }
        let full = match &self.only_model {
            _ if path.starts_with("optimizer.") || path.starts_with("metric.") => return None,
            Some(m) if path.is_empty() => format!("{m}.{name}"),
            Some(m) => format!("{m}.{path}.{name}"),
            None => format!("{path}.{name}"),
        };
        self.override_of(&full, None)
    }
}

impl Elab<'_> {
    /// The value of an override: an expression in the scope of the program.
    pub fn override_value(&mut self, e: ExprId) -> R<(Value, Span)> {
        let env = self.st.modules[self.st.root].env.clone();
        let place = self.st.place.take();
        let v = self.eval(e, &env);
        self.st.place = place;
        Ok((v?, self.ast.span(e)))
    }

    /// How overrides call an optimizer of a `train` item that has so many.
    pub fn optimizer_path(&self, s: &Setting, count: usize) -> String {
        match count {
            0 | 1 => "train.optimizer".to_owned(),
            _ => format!("train.optimizer[{}]", selector_text(self.ast, self.sources, s)),
        }
    }

    /// Reports overrides that nothing took, and short names that several things took.
    pub fn unused_overrides(&mut self, asked: &Asked) {
        let overrides = self.st.overrides;
        let mut names: BTreeSet<String> = asked.paths.clone();
        names.extend(settings::names().map(|s| format!("train.{s}")));
        let root = &self.st.modules[self.st.root];
        for (name, item) in root.items.iter() {
            match item {
                super::names::ItemRef::Const(_) | super::names::ItemRef::Dim(..) => {
                    names.insert(name.to_string());
                }
                super::names::ItemRef::Data(_) => names.extend(sources::parts().map(|p| format!("{name}.{p}"))),
                _ => {}
            }
        }
        for (i, o) in overrides.iter().enumerate() {
            let path = &*o.path;
            let taken = asked.taken.get(&i);
            if let Some(paths) = taken.filter(|t| t.len() > 1 && !t.contains(path)) {
                let all: Vec<String> = paths.iter().map(|p| format!("`{p}`")).collect();
                let d =
                    Diagnostic::error("E0211", o.span, format!("`{path}` is the name of several things: which one?"));
                self.report(d.help(all.join(", ")));
            }
            if taken.is_some() {
                continue;
            }
            let mut d = Diagnostic::new("E0211", Severity::Error, Some(o.span), format!("nothing is called `{path}`"));
            // A name alone is compared with last parts too, and what other libraries call it counts as its name.
            let last = |n: &str| n.rsplit('.').next().unwrap_or(n).to_owned();
            let lasts: BTreeSet<String> = names.iter().map(|n| last(n)).collect();
            let lasts: Vec<&str> = lasts.iter().map(String::as_str).collect();
            let near = nearest(path, names.iter().map(String::as_str)).map(str::to_owned);
            let near: Vec<String> = match near {
                Some(near) => vec![near],
                None => {
                    let same = lasts.iter().find(|n| **n == last(path)).copied();
                    let theirs = super::foreign::settings::renamed(&last(path)).filter(|n| lasts.contains(n));
                    let hit = same.or(theirs).or_else(|| super::foreign::parameter(&last(path), &lasts));
                    names.iter().filter(|n| Some(&*last(n)) == hit).take(3).cloned().collect()
                }
            };
            let all: Vec<String> = near.iter().map(|n| format!("`{n}`")).collect();
            if let Some((end, begin)) = all.split_last() {
                let all = if begin.is_empty() { end.clone() } else { format!("{} or {end}", begin.join(", ")) };
                // What else there is beside it.
                let parent = path.rsplit_once('.').map_or("", |(p, _)| p);
                let beside: Vec<&str> = names
                    .iter()
                    .filter(|n| !parent.is_empty() && n.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
                    .map(String::as_str)
                    .filter(|n| !near.iter().any(|near| near == n))
                    .take(8)
                    .collect();
                let d = if beside.is_empty() { d } else { d.note(format!("beside it: {}", beside.join(", "))) };
                self.report(d.help(format!("did you mean {all}?")));
                continue;
            }
            if names.is_empty() {
                self.report(d);
                continue;
            }
            d = d.note(listed(&names));
            self.report(d);
        }
    }
}

/// What can be set: what has a name of its own first, then settings, as many as fit a few lines.
fn listed(names: &BTreeSet<String>) -> String {
    let rank = |n: &&String| match n.split_once('.') {
        None => 0,
        _ if n.contains('[') || n.split('.').any(|part| part.starts_with(|c: char| c.is_ascii_digit())) => 4,
        Some(("train", rest)) if ["batch", "epochs", "optimizer", "optimizer.lr", "seed"].contains(&rest) => 1,
        Some(("train", _)) => 3,
        Some(_) => 2,
    };
    let mut all: Vec<&String> = names.iter().collect();
    all.sort_by_key(rank);
    let more = all.len().saturating_sub(LISTED);
    let shown: Vec<&str> = all.iter().take(LISTED).map(|n| n.as_str()).collect();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("what can be set: {}{more}", shown.join(", "))
}
