//! Overrides on a small program: what they reach, and what is said of those that reach nothing.

use super::train::{Kind, check};
use super::units::{Options, Program};
use crate::graph::graph::Graph;
use crate::graph::ops::Op;
use nn_runtime::data::{ColumnSpec, Header, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;

const ONE: &str = "
data D(shift = 0.5) {
  train = table(x: [[1, 2], [3, 4], [5, 6], [7, 8]], y: [1, 0, 1, 0])
  test  = split(train, 0.25, seed: 1)
  x: f32[2] = x + shift
  y: idx<2> = y
}
model M[In](p = 0.125) = seq { Linear[In, 5], relu, Dropout(p), Linear[5, 2] }
train m: M[2] on D {
  batch = 2;  epochs = 4
  loss = cross_entropy(m(x), y)
  optimizer = Adam(lr: cosine(0.0625, warmup: 3), betas: (0.75, 0.875))
}
";

const TWO: &str = "
data D {
  train = table(x: [[1, 2], [3, 4]], y: [1, 0])
  x: f32[2] = x
  y: idx<2> = y
}
model M { a = Linear[2, 3];  head = Linear[3, 2];  fn forward(x: [B, 2]) -> [B, 2] = head(a(x)) }
train m: M on D {
  batch = full;  steps = 4
  loss = cross_entropy(m(x), y)
  optimizer = Sgd(lr: 0.25)
  optimizer m.head = Sgd(lr: 0.125)
}
";

fn header(spec: &SourceSpec) -> Result<Header, DataError> {
    let SourceSpec::Table { columns } = spec else { return Err(DataError::new("E0403", spec.name(), "no such file")) };
    let column = |c: &nn_runtime::data::TableColumn| ColumnSpec {
        name: c.name.clone(),
        dtype: DType::I32,
        shape: c.shape[1..].to_vec(),
    };
    Ok(Header { rows: columns[0].shape[0], columns: columns.iter().map(column).collect(), unread: vec![] })
}

/// The training graph of a program with overrides, its settings, and what was said.
fn with(text: &str, sets: &[(&str, &str)]) -> (Option<(Graph, super::units::TrainUnit)>, String) {
    let (mut p, mut diags) = Program::load("test.nn", text, &|path, _| Err(format!("no file {path}")));
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    diags.extend(p.set(&sets));
    let mut units = vec![];
    if diags.is_empty() {
        (units, diags) = check(&p, &Options { seed: None, header: &header });
    }
    let said = crate::report::render(&diags, &p.sources, false);
    if crate::report::any_error(&diags) {
        return (None, said);
    }
    let unit = units.into_iter().next().expect("a unit");
    let g = unit.graph(&p, Kind::Train, 2).expect("a graph");
    (Some((g, unit)), said)
}

/// Whether a number is a constant of the training graph.
fn has(text: &str, sets: &[(&str, &str)], x: f64) -> bool {
    let (made, said) = with(text, sets);
    let (g, _) = made.unwrap_or_else(|| panic!("{sets:?}\n{said}"));
    let close = |a: f64| (a - x).abs() <= 1e-6 * x.abs();
    g.nodes.iter().any(|n| match &n.op {
        Op::Const(c) => c.data().iter().any(|&v| close(v)),
        _ => false,
    })
}

#[test]
fn hyperparameters_of_optimizers_schedules_layers_and_data_are_within_reach() {
    for (path, value, number) in [
        ("train.optimizer.betas", "(0.7109375, 0.9)", 0.7109375),
        ("train.optimizer.eps", "1e-3", 1e-3),
        ("train.optimizer.lr.peak", "0.3203125", 0.3203125),
        ("train.optimizer", "Sgd(lr: 0.3203125)", 0.3203125),
        ("train.optimizer.lr", "linear_warmup(0.3203125, 4)", 0.3203125),
        ("train.clip", "0.3203125", 0.3203125),
        ("D.shift", "0.3203125", 0.3203125),
    ] {
        assert!(!has(ONE, &[], number), "{path}");
        assert!(has(ONE, &[(path, value)], number), "{path}");
    }
    let (made, said) = with(ONE, &[("m.p", "0.5"), ("m.0.Out", "7")]);
    assert!(made.is_none() && said.contains("7 features flow into a layer that reads 5"), "{said}");
    let (made, said) = with(ONE, &[("m.2.p", "2.5")]);
    assert!(made.is_some() || said.contains("2.5"), "{said}");
    let (made, said) = with(ONE, &[("train.optimizer.lr", "0.3203125")]);
    assert!(made.is_some() && said.contains("W0503") && said.contains("train.optimizer.lr.peak"), "{said}");
}

#[test]
fn settings_of_train_and_data_are_expressions() {
    for (sets, rows, batch, steps) in [
        (&[][..], 3, 2, 8),
        (&[("train.steps", "3")], 3, 2, 3),
        (&[("train.epochs", "2 * 3")], 3, 2, 12),
        (&[("train.batch", "full")], 3, 3, 4),
        (&[("D.test", "split(train, 0.5, seed: 1)")], 2, 2, 4),
        (
            &[(
                "D.source",
                "table(x: [[1, 2], [3, 4], [5, 6], [7, 8], [9, 9], [8, 8], [7, 7], [6, 6]], y: [1, 0, 1, 0, 1, 0, 1, 0])",
            )],
            6,
            2,
            12,
        ),
    ] {
        let (made, said) = with(ONE, sets);
        let (_, u) = made.unwrap_or_else(|| panic!("{sets:?}\n{said}"));
        assert_eq!((u.data.rows_of("train"), u.batches().train, u.steps), (rows, batch, steps), "{sets:?}");
    }
    let (_, said) = with(ONE, &[("train.save", "last(\"w.safetensors\")")]);
    assert!(said.is_empty(), "{said}");
}

#[test]
fn of_several_optimizers_one_is_named_by_its_selector() {
    assert!(has(TWO, &[("train.optimizer[m.head].lr", "0.3203125")], 0.3203125));
    assert!(has(TWO, &[("train.optimizer[m.head].lr", "0.3203125")], 0.25));
    assert!(!has(TWO, &[("train.optimizer[**].lr", "0.3203125")], 0.25));
    assert!(!has(TWO, &[("train.optimizer[ m.head ]", "Sgd(lr: 0.3203125)")], 0.125));
    for path in ["train.optimizer.lr", "train.optimizer[m.tail].lr"] {
        let (made, said) = with(TWO, &[(path, "1")]);
        let both = said.contains("`train.optimizer[**].lr`") && said.contains("`train.optimizer[m.head].lr`");
        assert!(made.is_none() && said.contains("E0211") && both, "{said}");
    }
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    for (set, parts) in [
        (("train.optimizer.lrr", "1"), &["did you mean `train.optimizer.lr`?", "--set train.optimizer.lrr=1"][..]),
        (("train.optimizer.lr.peek", "1"), &["did you mean `train.optimizer.lr.peak`?"]),
        (("warmup", "1"), &["did you mean `train.optimizer.lr.warmup`?"]),
        (("zzz", "1"), &["what can be set: ", "train.batch, train.epochs", "D.shift", " more"]),
        (("learning_rate", "1"), &["did you mean `train.optimizer.lr`?"]),
        (("batch_size", "1"), &["did you mean `train.batch`?"]),
        (("m.p", "1 +"), &["error[E0001]", "command line:1:"]),
        (("m.p", ""), &["needs a value"]),
        (("m.p", "nosuch"), &["unknown name `nosuch`", "command line:1:11"]),
        (("m.p", "1; const x = 2"), &["command line"]),
    ] {
        let (made, said) = with(ONE, &[set]);
        assert!(made.is_none(), "{set:?}");
        assert!(said.lines().count() <= 16 && said.lines().all(|l| l.len() < 260), "too long:\n{said}");
        for part in parts {
            assert!(said.contains(part), "{set:?}: {part}\n{said}");
        }
    }
}
