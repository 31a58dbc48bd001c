//! Words that begin or join something in other languages.
//!
//! In: an item and the place where the parser stopped. Out: what to say about such a word, as for all `habits`.

use super::mend::{Broken, Said};
use super::python;
use crate::syntax::tokens::Kind;

/// Packages that a program has no use for.
const PACKAGES: &[&str] = &[
    "torch",
    "torchvision",
    "numpy",
    "np",
    "tensorflow",
    "keras",
    "jax",
    "flax",
    "optax",
    "math",
    "os",
    "sys",
    "time",
    "random",
    "pandas",
    "sklearn",
    "matplotlib",
    "typing",
    "nn",
    "std",
    "collections",
    "functools",
    "dataclasses",
];

/// A word at the start of a line that begins no statement.
pub(super) fn begins(b: &Broken) -> Option<Said> {
    let prev = b.at.checked_sub(1)?;
    // `{ while c {` and `; return x` begin a statement too.
    let line = if matches!(b.text(prev), "while" | "return") { prev } else { b.line_start(prev) };
    let (first, at) = (b.text(line), b.range(line));
    let no = |kind: &'static str| Said {
        // The lines below it, if they are indented after a colon, are explained with it.
        until: python::end_of_block(b, line),
        ..Said::new(kind, at.clone(), format!("there is no `{first}`"))
    };
    match first {
        "import" | "from" => import(b, line),
        "while" => Some(
            no("while")
                .label("how often a loop runs is known beforehand")
                .help("`for i in 0..10 { .. }` repeats while compiling, `scan x in xs { .. }` runs along an axis"),
        ),
        "class" | "struct" => Some(
            no("class")
                .label("a layer or a network is a `model`")
                .help("write it like `model Net = seq { Linear[784, 128], relu, Linear[128, 10] }`"),
        ),
        "function" | "func" | "fun" | "def" | "proc" if prev == line => {
            let said = no("def").label("a function begins with `fn`");
            let edited = Said { ..no("def") }.edit(at.clone(), "fn");
            if b.helps(&edited.edits) {
                Some(edited.label("a function begins with `fn`").help("write `fn`"))
            } else {
                Some(said.help("write it like `fn f(x: [B, N]) -> [B, N] = relu(x)`"))
            }
        }
        "return" if prev == line => Some(
            no("return")
                .label("the value of a block is its last expression")
                .help("leave `return` out")
                .edit(at.start..b.range(b.at).start, ""),
        ),
        "int" | "float" | "double" | "auto" | "bool" | "f32" | "i32" | "Tensor"
            if prev == line && b.kind(b.at) == Some(Kind::Word) && b.text(b.at + 1) == "=" =>
        {
            Some(
                Said::new("declares", at.clone(), format!("`{first}` begins no statement"))
                    .label("a name gets a value with `let`")
                    .help("write `let`")
                    .edit(at, "let"),
            )
        }
        _ => None,
    }
}

fn import(b: &Broken, line: usize) -> Option<Said> {
    let first = b.text(line);
    let start = b.range(line).start;
    let end = (line + 1..b.toks.len()).find(|i| b.breaks(*i)).map_or(b.range(b.toks.len()).end, |i| b.range(i - 1).end);
    let module = b.text(line + 1);
    let said = Said::new("import", b.range(line), format!("there is no `{first}`"));
    if module.is_empty() || PACKAGES.contains(&module) {
        let label = "the standard library is always there";
        return Some(said.label(label).help("remove the line").edit(start..end, ""));
    }
    let new = if first == "import" {
        format!("use \"{module}.nn\" as {}", module.to_lowercase())
    } else {
        let names = b.source[start..end].split_once("import").map_or("", |p| p.1.trim());
        format!("use \"{module}.nn\".{{{names}}}")
    };
    Some(said.label("another file is used by its path").help(format!("write `{new}`")).edit(start..end, new))
}

/// A word inside a statement.
pub(super) fn joins(b: &Broken) -> Option<Said> {
    let prev = b.at.checked_sub(1)?;
    let no = |i: usize| Said::new("word", b.range(i), format!("there is no `{}`", b.text(i)));
    match (b.text(prev), b.text(b.at)) {
        ("lambda", _) => {
            let colon = (b.at..b.toks.len()).find(|i| b.text(*i) == ":")?;
            let params = b.between(b.at, colon);
            let bars = format!("|{params}|");
            Some(
                no(prev)
                    .label("a lambda is written with bars")
                    .help(format!("write `{bars} ..`"))
                    .edit(b.range(prev).start..b.range(colon).end, bars),
            )
        }
        ("mut", _) if b.before(2) == "let" => Some(
            no(prev)
                .label("what changes is a `var`")
                .help("write `var`")
                .edit(b.range(prev - 1).start..b.range(prev).end, "var"),
        ),
        (_, "elif") => Some(no(b.at).label("it is two words").help("write `else if`").edit(b.range(b.at), "else if")),
        (_, "is") if b.text(b.at + 1) == "not" => {
            let both = b.range(b.at).start..b.range(b.at + 1).end;
            Some(Said::new("word", both.clone(), "there is no `is not`").help("write `!=`").edit(both, "!="))
        }
        (_, "is") => Some(no(b.at).help("write `==`").edit(b.range(b.at), "==")),
        _ => None,
    }
}
