//! Programs elaborated to graphs.

use super::suite;
use super::train::{Kind, check};
use super::units::{Options, Program, TrainUnit};
use crate::diag::Diagnostic;
use crate::graph::graph::SlotKind;
use crate::graph::interp;
use nn_runtime::data::{ColumnSpec, Header, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;

/// Headers of made-up files, by the kind of source.
fn header(spec: &SourceSpec) -> Result<Header, DataError> {
    let column = |name: &str, dtype, shape: &[u64]| ColumnSpec { name: name.into(), dtype, shape: shape.to_vec() };
    Ok(match spec {
        SourceSpec::Idx { .. } => Header {
            rows: 60_000,
            columns: vec![column("image", DType::U8, &[28, 28]), column("label", DType::U8, &[])],
        },
        SourceSpec::Csv { columns: Some(c), .. } => Header {
            rows: 1000,
            columns: c
                .iter()
                .map(|(n, w)| column(n, DType::I32, if *w == 1 { &[] } else { std::slice::from_ref(w) }))
                .collect(),
        },
        SourceSpec::Table { columns } => Header {
            rows: columns[0].shape[0],
            columns: columns.iter().map(|c| column(&c.name, c.dtype, &c.shape[1..])).collect(),
        },
        _ => Header { rows: 100, columns: vec![] },
    })
}

fn options<'o>(sets: &'o [(String, String)]) -> Options<'o> {
    Options { sets, seed: None, header: &header }
}

fn load(text: &str) -> Program {
    let (p, diags) = Program::load("test.nn", text, &|path, _| Err(format!("no file {path}")));
    assert!(diags.is_empty(), "{diags:#?}");
    p
}

fn show(p: &Program, diags: &[Diagnostic]) -> String {
    crate::report::render(diags, &p.sources, false)
}

fn unit(p: &Program) -> TrainUnit {
    let (units, diags) = check(p, &options(&[]));
    assert!(diags.is_empty(), "{}", show(p, &diags));
    units.into_iter().next().expect("a unit")
}

#[test]
fn examples_elaborate() {
    for name in ["mnist_mlp", "digits", "perceptron", "rbfn", "tabular"] {
        let path = format!("{}/../examples/{name}.nn", env!("CARGO_MANIFEST_DIR"));
        let p = load(&std::fs::read_to_string(path).unwrap());
        let u = unit(&p);
        for kind in [Kind::Train, Kind::Eval, Kind::Init, Kind::Result, Kind::Reset] {
            let g = u.graph(&p, kind, 7).unwrap_or_else(|d| panic!("{name} {kind:?}\n{}", show(&p, &d)));
            eprintln!(
                "{name} {kind:?} {} nodes {:?}",
                g.nodes.len(),
                g.slots.iter().map(|s| s.name.to_string()).collect::<Vec<_>>()
            );
        }
    }
}

/// Every checked example of std holds, by the graph interpreter.
#[test]
fn std_tests_hold() {
    let p = load("");
    let mut bad = String::new();
    let mut count = 0;
    for file in 0..p.std_files {
        for t in suite::tests(&p, &options(&[]), file) {
            count += 1;
            let g = match &t.graph {
                Ok(g) => g,
                Err(d) => {
                    bad += &format!("test {:?}\n{}\n", t.name, show(&p, d));
                    continue;
                }
            };
            let feeds = interp::Feeds::default();
            let roots: Vec<_> = g.outputs.iter().map(|o| o.value).collect();
            let values = interp::run_values(g, &feeds, &roots).unwrap_or_else(|e| panic!("{}: {e}", t.name));
            for (v, c) in values.iter().zip(&t.checks) {
                if v.data != [1.0] {
                    bad += &format!(
                        "test {:?}: {}: `{}` is false\n",
                        t.name,
                        p.sources.locate(c.span),
                        p.sources.text(c.span)
                    );
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(count > 20, "{count} tests in std");
}
