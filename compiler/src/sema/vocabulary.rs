//! Every name that the language gives a meaning to, with its kind: for suggestions, completion and the manual.
//!
//! In: the tables of builtins, sources and settings, and std as parsed with a program. Out: one list of [`Word`]s.

use super::units::Program;
use super::{builtins, settings, sources};
use crate::syntax::ast::{Item, ItemKind, StmtKind};
use nn_runtime::dtype::DType;

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WordKind {
    /// A function of the compiler.
    Builtin,
    /// A function of std.
    Function,
    /// A model of std.
    Layer,
    /// An optimizer of std.
    Optimizer,
    /// A metric with state of std.
    Metric,
    /// A constant of std.
    Constant,
    /// An element type.
    Dtype,
    /// A source of data.
    Source,
    /// A part of data.
    Part,
    /// A setting of `train`.
    Setting,
    /// The value of a setting.
    Choice,
    /// Something of the language that is not there yet.
    Later,
}

/// A name with what there is to say of it.
#[derive(Clone, Debug)]
pub struct Word {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: WordKind,
    /// How it is written, one line each.
    pub signatures: Vec<String>,
    /// What it means; empty for what is not there yet.
    pub doc: String,
    /// Code that uses it.
    pub example: String,
}

/// All names, those of std in source order.
pub fn words(p: &Program) -> Vec<Word> {
    let mut out = vec![];
    for b in builtins::all() {
        out.push(word(b.sig.name, WordKind::Builtin, b.sig.show(), b.doc, b.example));
    }
    for file in 0..p.std_files {
        out.extend(std_words(p, file));
    }
    for d in DType::ALL {
        out.push(word(d.name(), WordKind::Dtype, vec![d.name().to_owned()], "An element type.", ""));
    }
    for s in sources::SOURCES {
        out.push(word(s.sig.name, WordKind::Source, s.sig.show(), s.doc, s.example));
    }
    for (kind, table) in [(WordKind::Part, sources::PARTS), (WordKind::Setting, settings::SETTINGS)] {
        for s in table {
            out.push(word(s.name, kind, vec![format!("{} = {}", s.name, s.takes)], s.doc, s.example));
        }
    }
    for c in settings::CHOICES {
        out.push(word(c.sig.name, WordKind::Choice, c.sig.show(), c.doc, c.example));
    }
    for name in [builtins::LATER, sources::LATER, settings::LATER].into_iter().flatten() {
        out.push(word(name, WordKind::Later, vec![], "", ""));
    }
    out
}

fn word(name: &str, kind: WordKind, signatures: Vec<String>, doc: &str, example: &str) -> Word {
    Word { name: name.into(), kind, signatures, doc: doc.into(), example: example.into() }
}

/// The documented items of a file of std.
pub fn std_words(p: &Program, file: usize) -> Vec<Word> {
    let Some(f) = p.ast.files.get(file) else { return vec![] };
    let mut out = vec![];
    for item in &f.items {
        let (name, kind) = match &item.kind {
            ItemKind::Fn(f) => (f.name.text.to_string(), WordKind::Function),
            ItemKind::Model(m) => (m.name.text.to_string(), WordKind::Layer),
            ItemKind::Optimizer(m) => (m.name.text.to_string(), WordKind::Optimizer),
            ItemKind::Metric(m) => (m.name.text.to_string(), WordKind::Metric),
            ItemKind::Const(c) => (p.sources.text(c.pat_span()).to_owned(), WordKind::Constant),
            _ => continue,
        };
        let doc = item.doc.as_deref().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
        let signatures = vec![head(p.sources.text(item.span))];
        let example = example(p, &f.items, name.strip_suffix("_at").unwrap_or(&name));
        out.push(Word { name, kind, signatures, doc, example });
    }
    out
}

/// An item up to its body: `fn relu(x: [..S]) -> [..S]`.
fn head(text: &str) -> String {
    let start = ["fn ", "model ", "optimizer ", "metric ", "const "].iter().filter_map(|w| text.find(w)).min();
    let text = &text[start.unwrap_or(0)..];
    let mut depth = 0i32;
    for (i, c) in text.char_indices() {
        let comparison = || text[..i].ends_with(['<', '>', '!', '=']) || text[i + 1..].starts_with('=');
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return words_of(&text[..i]),
            '=' if depth == 0 && !comparison() => return words_of(&text[..i]),
            _ => {}
        }
    }
    words_of(text)
}

fn words_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first assertion of the test of a name, with the statements before it.
fn example(p: &Program, items: &[Item], name: &str) -> String {
    let test = items
        .iter()
        .find_map(|i| if let ItemKind::Test(t) = &i.kind { Some(t) } else { None }.filter(|t| *t.name == *name));
    let mut out = vec![];
    for s in test.iter().flat_map(|t| &t.body.stmts) {
        if let StmtKind::Assert { cond, .. } = &s.kind {
            out.push(words_of(p.sources.text(p.ast.span(*cond))));
            break;
        }
        out.push(words_of(p.sources.text(s.span)));
    }
    out.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A name means one thing, and what is there says what it is.
    #[test]
    fn words_are_told_apart() {
        let (p, found) = Program::load("t.nn", "", &|f, _| Err(f.to_owned()));
        assert!(found.is_empty());
        let all = words(&p);
        let scope = |k: WordKind| match k {
            WordKind::Part => 1,
            WordKind::Setting => 2,
            WordKind::Source => 3,
            WordKind::Choice => 4,
            WordKind::Dtype => 5,
            _ => 0,
        };
        let mut seen = BTreeSet::new();
        for w in all.iter().filter(|w| w.kind != WordKind::Later) {
            assert!(seen.insert((scope(w.kind), w.name.clone())), "`{}` twice", w.name);
            assert!(!w.doc.is_empty() && !w.signatures.is_empty(), "`{}` is not described", w.name);
            let of_std =
                matches!(w.kind, WordKind::Function | WordKind::Layer | WordKind::Optimizer | WordKind::Metric);
            assert!(!of_std || !w.signatures[0].contains(['{', '|']), "a body: {:?}", w.signatures);
            assert!(!w.example.is_empty() || matches!(w.kind, WordKind::Dtype | WordKind::Constant), "{}", w.name);
        }
        // What is there is not called missing.
        for (table, k) in [
            (builtins::LATER, WordKind::Builtin),
            (sources::LATER, WordKind::Source),
            (settings::LATER, WordKind::Setting),
        ] {
            for name in table {
                assert!(!seen.contains(&(scope(k), (*name).to_owned())), "`{name}` is there");
            }
        }
        for (name, kind, signature) in [
            ("relu", WordKind::Function, "fn relu(x: [..S]) -> [..S]"),
            ("Linear", WordKind::Layer, "model Linear[In, Out](use_bias: bool = true)"),
            ("Dropout", WordKind::Layer, "model Dropout(p: float = 0.5) where p >= 0 and p <= 1"),
            ("pi", WordKind::Constant, "const pi"),
            ("sum", WordKind::Builtin, "sum(x: tensor, axis: axes = all; keep: bool = false)"),
            ("batch", WordKind::Setting, "batch = int or `full`"),
        ] {
            let w = all.iter().find(|w| w.name == name && w.kind == kind).expect(name);
            assert_eq!(w.signatures, [signature]);
        }
    }
}
