//! Functions of the compiler, by name.
//!
//! In: a call with its arguments evaluated. Out: its value, with ops appended to the graph. They are what `stdlib/*.nn`
//! is written in; a function that can be said in `.nn` belongs there.

pub mod args;
mod check;
mod derive;
mod dist;
mod fold;
mod make;
mod math;
mod place;

use super::cx::Builtin;
use super::value::Value;
pub use dist::draw;

/// The tables of all files, searched in order.
const TABLES: [&[Builtin]; 8] =
    [math::TABLE, fold::TABLE, place::TABLE, make::TABLE, dist::TABLE, derive::TABLE, check::TABLE, LATER];

macro_rules! later {
    ($($name:literal),*) => { &[$(Builtin { name: $name, call: |el, a| Err(el.limit(a.span, concat!("`", $name, "`"))) }),*] };
}

/// Functions of the language that this compiler does not have yet.
const LATER: &[Builtin] =
    later!("orthogonal", "linear_scan", "while_loop", "jvp", "sort", "argsort", "kmeans", "conv2d", "unfold", "fold");

/// The function of a name.
pub fn lookup(name: &str) -> Option<&'static Builtin> {
    TABLES.iter().flat_map(|t| t.iter()).find(|b| b.name == name)
}

/// Every name that [`lookup`] knows, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|t| t.iter()).map(|b| b.name)
}

/// As it stands in a call: `T`, `-1`, `[B, 2]`.
fn written(v: &Value) -> String {
    match v {
        Value::Dim(d) => d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned),
        v => v.show(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn std_parses() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
        for name in ["nn", "loss", "metric", "optim", "schedule"] {
            let text = std::fs::read_to_string(dir.join(format!("{name}.nn"))).expect(name);
            let mut sources = crate::source::SourceMap::default();
            let file = sources.add(name, &text);
            let found = crate::syntax::parse(&mut Default::default(), file, &text);
            for d in &found {
                eprintln!("{} {}", d.labels.first().map_or(String::new(), |l| sources.locate(l.span)), d.message);
            }
            assert!(found.is_empty(), "{name}");
        }
    }

    /// `max(x, -1)`: each help is an edit that checks.
    #[test]
    fn edits_of_an_ambiguous_max_check() {
        use crate::sema::units::{Options, Program};
        let header = |_: &nn_runtime::data::SourceSpec| Err(nn_runtime::error::DataError::new("D0000", "", "no data"));
        let diagnostics = |e: &str| {
            let text = format!("test \"t\" {{ let x: f32[2, 3] = 1; let r = {e}; assert true }}");
            let (p, found) = Program::load("t.nn", &text, &|f, _| Err(f.to_owned()));
            assert!(found.is_empty());
            let main = p.main();
            let o = Options { sets: &[], seed: None, header: &header };
            let tests = crate::sema::suite::tests(&p, &o, main);
            tests.into_iter().filter_map(|t| t.graph.err()).flatten().collect::<Vec<_>>()
        };
        let edits = |e: &str| {
            let found = diagnostics(e);
            assert_eq!(found.len(), 1, "{e}: {found:?}");
            assert_eq!(found[0].code, "E0208");
            let code = found[0].help.iter().map(|h| h.split('`').nth(1).expect("code").to_owned());
            code.collect::<Vec<_>>()
        };
        for (e, want) in [
            ("max(x, -1)", &["max(x, axis: -1)", "maximum(x, -1)"][..]),
            ("min(x * 2, 1)", &["min(x * 2, axis: 1)", "minimum(x * 2, 1)"]),
            ("max(x, 2)", &["maximum(x, 2)"]),
            ("max(sum(x), 0)", &["maximum(sum(x), 0)"]),
            ("max(x, [0, 1])", &["max(x, axis: [0, 1])"]),
            ("max(x as i32, [0, 1, 5])", &["maximum(x as i32, [0, 1, 5])"]),
            ("max([1.0, 2.0], 0)", &["max([1.0, 2.0], axis: 0)", "maximum([1.0, 2.0], 0)"]),
            ("max(mean(x), 0)", &["maximum(mean(x), 0)"]),
            ("max(x, 0, x)", &["maximum(x, 0, x)"]),
        ] {
            assert_eq!(edits(e), want, "{e}");
            for edit in want {
                assert!(diagnostics(edit).is_empty(), "{edit}: {:?}", diagnostics(edit));
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let all: Vec<&str> = names().collect();
        let set: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), set.len());
    }
}
