//! Class numbers and reported values on the real binary: a label outside of its range stops the run with its row named,
//! wherever it enters; what is reported of a loss or metric does not depend on how the rows are cut into batches.
//!
//! In: small programs over CSV files. Out: exit codes, messages, numbers. It stands with the workspace because data,
//! elaboration, compiled steps and the training loop all take part.

mod common;

use common::{folder, nnc};
use std::fmt::Write;
use std::path::Path;

/// Row 4 has a label of 2, row 6 one of 0.5 in `soft`, row 2 none in `gap`.
const LABELS: &str = "a,b,label,soft,gap,neg\n0.1,0.2,0,0,1,0\n0.3,0.1,1,1,-1,1\n0.5,0.9,1,1,0,-1\n0.7,0.3,2,0,1,0\n\
                      0.2,0.4,0,1,0,1\n0.9,0.8,1,0.5,1,1\n";

fn program(field: &str, forward: &str, loss: &str, metric: &str) -> String {
    format!(
        "data D {{\n  train = csv(\"d.csv\")\n  test = csv(\"d.csv\")\n  x: f32[2] = stack(a, b)\n  {field}\n}}\n\
         model M {{\n  fc = Linear[2, 2]\n  param table: [2, 3] = 1\n  fn forward(x: [B, 2]) -> [B, 2] {{ {forward} }}\n}}\n\
         train m: M on D {{\n  batch = 4\n  epochs = 1\n  loss = {loss}\n  optimizer = Sgd(lr: 0.1)\n  \
         metrics = {{ k: {metric} }}\n  save = last(\"m.safetensors\")\n}}\n"
    )
}

/// A program, the row that its message names, and what else it says.
type Case = (&'static str, [&'static str; 4], u32, &'static [&'static str]);

const CE: &str = "cross_entropy(m(x), y as idx<2>)";
const PLAIN: &str = "mean(m(x)**2)";

const CASES: &[Case] = &[
    (
        "a loss",
        ["y: f32 = label", "fc(x)", CE, "mean(x)"],
        4,
        &["`y as idx<2>` in row 4 of d.csv: 2 is outside", "p.nn:15:30"],
    ),
    ("ints", ["y: i32 = label", "fc(x)", CE, "mean(x)"], 4, &["2 is outside idx<2>", "(y - 1) as idx<2>"]),
    ("a fraction", ["y: f32 = soft", "fc(x)", CE, "mean(x)"], 6, &["0.5 is outside", "`floor(y) as idx<2>`"]),
    ("no number", ["y: f32 = sqrt(gap as f32)", "fc(x)", CE, "mean(x)"], 2, &["NaN is outside", "where(y == y"]),
    ("negative", ["y: i32 = neg", "fc(x)", CE, "mean(x)"], 3, &["-1 is outside", "mask:"]),
    (
        "a metric",
        ["y: f32 = label", "fc(x)", PLAIN, "accuracy(m(x), y as idx<2>)"],
        4,
        &["`y as idx<2>` in row 4 of d.csv: 2 is outside"],
    ),
    (
        "forward",
        ["y: f32 = label", "fc(x) * table[(x[:, 0] * 10 / 3) as i32 as idx<2>, 0][:, new]", PLAIN, "mean(x)"],
        6,
        &["as i32 as idx<2>` in row 6 of d.csv: 3 is outside"],
    ),
    (
        "a comprehension",
        ["y: i32 = label", "fc(x)", "mean(z**2)", "mean(x)"],
        4,
        &["`y[b] as idx<2>` in row 4 of d.csv: 2 is outside"],
    ),
    (
        "a field",
        ["y: idx<2> = (label * 1) as idx<2>", "fc(x)", "cross_entropy(m(x), y)", "mean(x)"],
        4,
        &["d.csv: field `y` has value 2, outside idx<2>"],
    ),
    (
        "inside a field",
        ["y: f32 = iota[2][label as idx<2>] as f32", "fc(x)", "mean((m(x)[:, 0] - y)**2)", "mean(x)"],
        4,
        &["`label as idx<2>` has value 2, outside idx<2>"],
    ),
    (
        "a field without a cast",
        ["y: idx<3> = label + 1", "fc(x)", "mean(m(x)[:, 0] * (y == 1))", "mean(x)"],
        4,
        &["field `y` has value 3, outside idx<3>"],
    ),
];

fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("p.nn"), text).expect("written");
    std::fs::write(dir.join("d.csv"), LABELS).expect("written");
}

#[test]
fn a_class_number_out_of_range_stops_the_run_and_names_its_row() {
    let mut wrong = String::new();
    for (name, [field, forward, loss, metric], row, says) in CASES {
        let dir = folder();
        let mut text = program(field, forward, loss, metric);
        if *name == "a comprehension" {
            text = text.replace(
                "  loss =",
                "  let z[b, k] = m(x)[b, k] * (if (y[b] as idx<2>) == k { 1.0 } else { 0.0 })\n  loss =",
            );
        }
        write(dir.path(), &text);
        // The first row of the batch is the one named, on any number of threads.
        for threads in ["1", "2"] {
            let ran = nnc(dir.path(), &["train", "p.nn", "--threads", threads]);
            let saved = dir.path().join("m.safetensors").exists();
            let named = format!("row {row}");
            let all = says.iter().copied().chain(["E0402", &named]);
            let missing: Vec<&str> = all.filter(|part| !ran.err.contains(part)).collect();
            if ran.code != 3 || saved || !missing.is_empty() {
                writeln!(wrong, "{name}: exit code {}, no {missing:?} in\n{}", ran.code, ran.err).expect("text");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn evaluation_checks_too() {
    let dir = folder();
    let text =
        program("y: f32 = label", "fc(x)", CE, "mean(x)").replace("idx<2>", "idx<3>").replace("[2, 2]", "[2, 3]");
    let text = text.replace("-> [B, 2]", "-> [B, 3]");
    write(dir.path(), &text);
    nnc(dir.path(), &["train", "p.nn"]).ok();
    std::fs::write(dir.path().join("d.csv"), LABELS.replace("0.7,0.3,2", "0.7,0.3,3")).expect("written");
    let ran = nnc(dir.path(), &["eval", "p.nn"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("`y as idx<3>` in row 4 of d.csv: 3 is outside idx<3>"), "{}", ran.err);
    // A prediction needs no labels, so it does not mind a wrong one.
    nnc(dir.path(), &["predict", "p.nn"]).ok();
}

#[test]
fn prediction_checks_what_it_computes() {
    let dir = folder();
    let forward = "fc(x) * table[(x[:, 0] * 10 / 3) as i32 as idx<2>, 0][:, new]";
    write(dir.path(), &program("y: f32 = soft", forward, PLAIN, "mean(x)"));
    let small = LABELS.replace("0.7,0.3", "0.1,0.3").replace("0.9,0.8", "0.2,0.8");
    std::fs::write(dir.path().join("d.csv"), &small).expect("written");
    nnc(dir.path(), &["train", "p.nn"]).ok();
    std::fs::write(dir.path().join("d.csv"), small.replace("0.2,0.8", "0.9,0.8")).expect("written");
    let ran = nnc(dir.path(), &["predict", "p.nn"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("as i32 as idx<2>` in row 6 of d.csv: 3 is outside idx<2>"), "{}", ran.err);
}

/// The number of rows of a part decides nothing but the number of rows.
#[test]
fn a_batch_of_one_row_is_a_batch() {
    for (batch, train, test) in [("full", 5, 1), ("full", 2, 3), ("2", 3, 1), ("4", 1, 1), ("1", 3, 2)] {
        let dir = folder();
        for (name, rows) in [("train", train), ("test", test)] {
            let rows: String = (0..rows).map(|i| format!("0.{i},0.5,{}\n", i % 3)).collect();
            std::fs::write(dir.path().join(format!("{name}.csv")), format!("a,b,label\n{rows}")).expect("written");
        }
        let text = format!(
            "data D {{\n  test = csv(\"test.csv\")\n  train = csv(\"train.csv\")\n  x: f32[2] = stack(a, b)\n  y: idx<3> = label\n}}\n\
             model M {{\n  fc = Linear[2, 3]\n  fn forward(x: [B, 2]) -> [B, 3] = fc(x)\n}}\n\
             train m: M on D {{\n  batch = {batch}\n  epochs = 1\n  loss = cross_entropy(m(x), y)\n  \
             optimizer = Sgd(lr: 0.1)\n  metrics = {{ acc: accuracy(m(x), y) }}\n  save = last(\"m.safetensors\")\n}}\n"
        );
        std::fs::write(dir.path().join("p.nn"), text).expect("written");
        let ran = nnc(dir.path(), &["train", "p.nn", "--json"]).ok();
        let size: i32 = batch.parse().unwrap_or(train);
        assert_eq!(ran.one("done")["steps"], (train + size - 1) / size, "{batch} {train}");
        nnc(dir.path(), &["eval", "p.nn"]).ok();
        let predicted = nnc(dir.path(), &["predict", "p.nn", "--json"]).ok().all("predict");
        assert_eq!(predicted.len(), test as usize, "{batch} {train} {test}");
        assert!(predicted.iter().all(|p| p["output"].as_array().is_some_and(|o| o.len() == 3)), "{predicted:?}");
    }
}

/// Losses and metrics that are sums of means, and functions of such sums.
const EXACT: &[&str] = &[
    "cross_entropy(m(x), y, mask: w > 0.3)",
    "cross_entropy(m(x), y, mask: w > 0.3) + 0.01 * sum(m.k**2)",
    "0.25 * sum(m.k**2) - cross_entropy(m(x), y, mask: w > 0.3) / 3",
    "cross_entropy(m(x), y, mask: w > 0.3) - 2 * mse(m(x)[:, 0], t) / 3 + 0.5",
    "-(mean(m(x)[:, 1], weight: w) - cross_entropy(m(x), y, mask: w > 0.3)) * 1.5",
    "mean(m(x)[:, 1], weight: w) * m.k[0] + mse(m(x)[:, 0], t) + mean(m.k)",
    "mse(m(x)[:, 0], t) + mean(m(x)) + mean(m(x)**2, weight: w[:, new] + 0 * m(x))",
    "sqrt(mse(m(x)[:, 0], t))",
    "exp(cross_entropy(m(x), y, mask: w > 0.3))",
    "sqrt(mean(m(x)[:, 1]**2, weight: w) + mse(m(x)[:, 0], t)) * 2 + 1",
    "log(mean(m(x)**2, weight: w[:, new] + 0 * m(x))) / log(2.0)",
    "1 - mse(m(x)[:, 0], t) / 4.5",
    "1 / mse(m(x)[:, 0], t)",
    "mean(t, axis: 0) * 3",
    "sum(m.k) + 1",
    "mean(m(x)[:, 0]**2, 0) + mean(m(x)[:, 1]**2, 0)",
    "mean[b](m(x)[b, 0]**2) + mean(m(x))",
    "moments(m(x)[:, 0]).0 + mean(m(x))",
    "sqrt(mean(m(x)[:, 0]**2, 0) + mean(m(x)**2))",
    "mean(mean(m(x), 1), 0) + 0 * mean(w)",
    "sum((m(x)[:, 0] - t)**2) / size(w) + mean(m(x)**2)",
];

#[test]
fn reports_do_not_depend_on_batches() {
    let dir = folder();
    let (mut csv, mut state) = ("a,b,w,y,t\n".to_owned(), 12345u32);
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    for row in 0..700 {
        // The first rows weigh more, so batches differ in what they count.
        let w = next() * if row < 300 { 1.0 } else { 0.4 };
        let y = (next() * 3.0) as u32;
        writeln!(csv, "{:.5},{:.5},{w:.5},{y},{:.5}", next() - 0.5, next() * 2.0, next() * 4.0 - 1.0).expect("text");
    }
    std::fs::write(dir.path().join("w.csv"), csv).expect("written");
    let metrics: String = EXACT.iter().enumerate().map(|(i, e)| format!("    e{i}: {e}\n")).collect();
    let values = |batch: &str, loss: &str| {
        let text = format!(
            "data D {{\n  train = csv(\"w.csv\")\n  test = csv(\"w.csv\")\n  x: f32[2] = stack(a, b)\n  y: idx<3> = y\n  \
             w: f32 = w\n  t: f32 = t\n}}\nmodel M {{\n  fc = Linear[2, 3]\n  param k: [2] = 3.0\n  \
             fn forward(x: [B, 2]) -> [B, 3] = fc(x)\n}}\ntrain m: M on D {{\n  batch = {batch}\n  epochs = 1\n  \
             loss = {loss}\n  optimizer = Sgd(lr: 0.0)\n  metrics = {{\n{metrics}  }}\n}}\n"
        );
        std::fs::write(dir.path().join("e.nn"), text).expect("written");
        let ran = nnc(dir.path(), &["train", "e.nn", "--json"]).ok();
        assert!(!ran.err.contains("W0504"), "{}", ran.err);
        let done = ran.one("epoch");
        let number = |part: &str, name: &str| done[part][name].as_f64().unwrap_or(f64::NAN);
        let mut all = vec![number("train", "loss"), number("test", "loss")];
        all.extend((0..EXACT.len()).map(|i| number("test", &format!("e{i}"))));
        all
    };
    for (n, loss) in EXACT.iter().enumerate().filter(|(n, _)| !(10..15).contains(n)) {
        let want = values("full", loss);
        // A batch of one row, which the mask of the first losses may leave empty, comes last.
        let batches: &[&str] = if n < 10 { &["64", "101"] } else { &["64", "699"] };
        for batch in batches {
            for (i, (got, want)) in values(batch, loss).iter().zip(&want).enumerate() {
                // Sums of some hundred f32 in other groups.
                assert!(
                    (got - want).abs() <= 1e-5 * want.abs().max(1.0),
                    "{loss}, batch {batch}: value {i} is {got}, not {want}"
                );
            }
        }
    }
}

/// A number of a batch that batches of other sizes make in another way is reported all the same, and said to be one.
#[test]
fn a_number_that_depends_on_the_size_of_the_batch_is_a_number_of_each() {
    let losses = [
        "sum(m(x)[:, 0]**2) / train.batch + mean(m(x)**2)",
        "sum(m(x)[:, 0]**2) / 8 + sum(m(x)[:, 1]**2) / 8",
        "sqrt(sum(m(x)[:, 0]**2) / 8)",
    ];
    let dir = folder();
    for (loss, test) in losses.iter().flat_map(|l| [256, 257, 300].map(|n| (l, n))) {
        let text = format!(
            "data D {{ train = rows(41, seed: 1); test = rows({test}, seed: 2); x: f32[2] ~ normal() }}\n\
             train m: Linear[2, 2] on D {{\n  batch = 8; epochs = 1\n  loss = {loss}\n  optimizer = Sgd()\n  \
             metrics = {{ k: {loss} }}\n  save = last(\"m.safetensors\")\n}}\n"
        );
        std::fs::write(dir.path().join("e.nn"), text).expect("written");
        let ran = nnc(dir.path(), &["train", "e.nn", "--json"]).ok();
        let epoch = ran.one("epoch");
        assert_eq!(epoch["test"]["loss"], epoch["test"]["k"], "{loss}");
        assert_eq!(ran.err.matches("W0504").count(), if test > 256 { 2 } else { 0 }, "{loss}, {test}: {}", ran.err);
        std::fs::remove_file(dir.path().join("m.safetensors")).expect("saved");
    }
}

/// A conversion truncates, but of a NaN or an infinity it would make a class that nobody wrote.
#[test]
fn what_is_no_number_becomes_no_integer_in_a_field() {
    for (field, row) in [
        ("y: i32 = soft as i32", None),
        ("y: i32 = where(gap > 0, sqrt(gap as f32), 0) as i32", None),
        ("y: idx<2> = sqrt(gap as f32) as i32", Some(2)),
        ("y: i32 = (1 / (label as f32)) as i32", Some(1)),
    ] {
        let dir = folder();
        write(dir.path(), &program(field, "fc(x)", PLAIN, "mean(x)"));
        let ran = nnc(dir.path(), &["train", "p.nn"]);
        let Some(row) = row else {
            ran.ok();
            continue;
        };
        assert_eq!(ran.code, 3, "{field}: {}", ran.err);
        for part in ["E0402", "which is no integer", "< inf", &format!("row {row}")] {
            assert!(ran.err.contains(part), "{field}: no {part} in\n{}", ran.err);
        }
    }
}
