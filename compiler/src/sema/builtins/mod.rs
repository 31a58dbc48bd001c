//! Functions of the compiler, by name.
//!
//! In: a call with its arguments read by the row's signature. Out: its value, with ops appended to the graph. They are
//! what `stdlib/*.nn` is written in; a function that can be said in `.nn` belongs there. A row is all there is to know
//! of a builtin: signature, doc, an example that a test runs, and what it does; the reference manual is made of rows.

mod check;
mod derive;
mod dist;
mod fold;
mod make;
mod math;
mod place;

use super::args::Args;
use super::cx::{Elab, R};
use super::signature::Signature;
use super::value::Value;
pub use dist::draw;

/// A function of the compiler.
pub struct Builtin {
    /// Its name and parameters.
    pub sig: Signature,
    /// What it does, with the shapes that it takes and gives.
    pub doc: &'static str,
    /// Statements, and an expression that holds.
    pub example: &'static str,
    /// What it does.
    pub call: fn(&mut Elab<'_>, Args) -> R<Value>,
}

/// Builtins of one kind, with the heading that the manual gives them.
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// The builtins.
    pub rows: &'static [Builtin],
}

/// All builtins.
pub const GROUPS: &[Group] = &[
    Group { title: "Element by element", rows: math::TABLE },
    Group { title: "Reductions and running sums", rows: fold::TABLE },
    Group { title: "Shapes, joins, indices", rows: place::TABLE },
    Group { title: "Tensors from nothing", rows: make::TABLE },
    Group { title: "Distributions", rows: dist::TABLE },
    Group { title: "Derivatives", rows: derive::TABLE },
    Group { title: "For tests", rows: check::TABLE },
];

/// Functions and items of the language that this compiler does not have yet: their use is E0901.
pub const LATER: &[&str] = &[
    "orthogonal",
    "linear_scan",
    "while_loop",
    "jvp",
    "sort",
    "argsort",
    "kmeans",
    "fake_quant",
    "Attention",
    "MultiheadAttention",
    "TransformerBlock",
    "Mamba",
    "GCNConv",
    "MoE",
    "LoRA",
    "Muon",
];

/// A row of a table.
const fn row(
    sig: Signature,
    doc: &'static str,
    example: &'static str,
    call: fn(&mut Elab<'_>, Args) -> R<Value>,
) -> Builtin {
    Builtin { sig, doc, example, call }
}

/// Every builtin.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    GROUPS.iter().flat_map(|g| g.rows)
}

/// The function of a name.
pub fn lookup(name: &str) -> Option<&'static Builtin> {
    all().find(|b| b.sig.name == name)
}

/// Every name that [`lookup`] knows, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|b| b.sig.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn_runtime::dtype::DType;
    use std::collections::BTreeSet;

    #[test]
    fn std_parses() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
        for name in ["nn", "conv", "rnn", "loss", "metric", "optim", "schedule"] {
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

    /// Statements and the expression that holds after them.
    fn as_test(name: &str, example: &str) -> String {
        let (before, e) = example.rsplit_once("; ").map_or(("", example), |(b, e)| (b, e));
        format!("test \"{name}\" {{ {before}; assert {e} }}\n")
    }

    #[test]
    fn examples_hold() {
        let text: String = all().map(|b| as_test(b.sig.name, b.example)).collect();
        for (items, other) in [("", DType::F64), (crate::sema::precision::ITEMS, DType::F32)] {
            holds(&format!("{text}{items}"), other);
        }
    }

    /// Every test of a program holds, and no float that is not written is the other one.
    fn holds(text: &str, other: DType) {
        use crate::sema::units::Program;
        let (p, found) = Program::load("t.nn", text, &|f, _| Err(f.to_owned()));
        assert!(found.is_empty(), "{}", crate::report::render(&found, &p.sources, false));
        let mut bad = String::new();
        for t in crate::sema::suite::tests(&p, p.main()) {
            match t.graph {
                Err(d) => bad += &crate::report::render(&d, &p.sources, false),
                Ok(g) => {
                    // Whole numbers are drawn alike in both floats.
                    let example = all().find(|b| b.sig.name == &*t.name).map_or("", |b| b.example);
                    for n in g
                        .nodes
                        .iter()
                        .filter(|n| n.ty.dtype == other && !example.contains(other.name()) && &*t.name != "randint")
                    {
                        bad += &format!("{}: {:?} is {other}\n", t.name, n.op);
                    }
                    let holds = crate::graph::interp::run(&g, &Default::default());
                    if holds.is_ok_and(|v| v.iter().zip(&t.checks).all(|(v, _)| v.data == [1.0])) {
                        continue;
                    }
                    bad += &format!("{}: its example does not hold\n", t.name);
                }
            }
        }
        assert!(bad.is_empty(), "{bad}");
    }

    /// A doc is a sentence or more, and shows the parameter's names where it speaks of them.
    #[test]
    fn rows_are_documented() {
        for b in all() {
            assert!(b.doc.ends_with('.') || b.doc.ends_with('`'), "{}: {}", b.sig.name, b.doc);
            assert!(b.example.contains(b.sig.name), "{}: its example does not use it", b.sig.name);
        }
    }

    /// `max(x, -1)`: each help is an edit that checks.
    #[test]
    fn edits_of_an_ambiguous_max_check() {
        use crate::sema::units::Program;
        let diagnostics = |e: &str| {
            let text = format!("test \"t\" {{ let x: f32[2, 3] = 1; let r = {e}; assert true }}");
            let (p, found) = Program::load("t.nn", &text, &|f, _| Err(f.to_owned()));
            assert!(found.is_empty());
            let main = p.main();
            let tests = crate::sema::suite::tests(&p, main);
            tests.into_iter().filter_map(|t| t.graph.err()).flatten().collect::<Vec<_>>()
        };
        let edits = |e: &str| {
            let found = diagnostics(e);
            assert_eq!(found.len(), 1, "{e}: {found:?}");
            assert_eq!(found[0].code, "E0208");
            let code = found[0].help.iter().map(|h| h.edits[0].text.clone());
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
