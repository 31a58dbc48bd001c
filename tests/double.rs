//! Models in f64 on the real binary: ten steps against numbers of 50 digits, weights and data that keep every bit, and the same
//! losses again from what was saved.

mod common;

use common::{file, folder, nnc};
use safetensors::{Dtype, SafeTensors};
use std::fs;
use std::path::Path;

/// An f64 sum of `n` terms is off by at most `n * 2^-53`; ten steps of at most 100 roundings each on numbers near 1, twice
/// over for what Adam's square root does to small gradients.
const TOLERANCE: f64 = 2e-13;

/// `tests/traces/double.nn` and its data, in a folder of their own.
fn trace(dir: &Path) {
    for name in ["double.nn", "double.csv"] {
        fs::copy(file(&format!("tests/traces/{name}")), dir.join(name)).expect("copied");
    }
}

#[test]
fn ten_steps_of_adam_in_f64() {
    let dir = folder();
    trace(dir.path());
    let text = fs::read_to_string(file("tests/traces/double.json")).expect("stored losses");
    let want: Vec<f64> = serde_json::from_str(&text).expect("a list of losses");
    let epochs = nnc(dir.path(), &["train", "--json", "double.nn"]).ok().all("epoch");
    let got: Vec<f64> = epochs.iter().map(|e| e["train"]["loss"].as_f64().expect("a loss")).collect();
    assert_eq!(got.len(), want.len());
    for (step, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= TOLERANCE * want, "step {}: {got} for {want}", step + 1);
    }
}

#[test]
fn weights_are_saved_in_f64_and_give_the_same_loss() {
    let dir = folder();
    trace(dir.path());
    let out = dir.path().to_string_lossy().into_owned();
    let train = nnc(dir.path(), &["train", "--json", "double.nn", "--out", &out]).ok();
    let bytes = fs::read(dir.path().join("m.safetensors")).expect("saved weights");
    let saved = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    for name in ["w", "b", "v"] {
        let t = saved.tensor(name).expect("a parameter");
        assert_eq!(t.dtype(), Dtype::F64, "{name}");
        let values: Vec<f64> = t.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect();
        assert!(values.iter().any(|&v| v != f64::from(v as f32)), "{name} holds f32 numbers: {values:?}");
    }
    // Weights are loaded with every bit: one more step from the file starts at the loss that evaluation gives.
    let eval = ["eval", "--json", "double.nn", "--weights", "m.safetensors", "--split", "train"];
    let eval = nnc(dir.path(), &eval).ok().one("eval");
    let program = fs::read_to_string(dir.path().join("double.nn")).expect("the program");
    let more = program
        .replace("epochs = 10", "epochs = 1\n  load m = \"m.safetensors\"")
        .replace("m.safetensors\")", "n.safetensors\")");
    fs::write(dir.path().join("more.nn"), more).expect("written");
    let step = nnc(dir.path(), &["train", "--json", "more.nn", "--out", &out]).ok().all("epoch");
    assert_eq!(step[0]["train"]["loss"], eval["values"]["loss"], "{}", train.out);
}

/// What numpy writes for an array of f64.
fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

/// Numbers that f32 does not tell apart, from every kind of source; an f32 field of the same file stays what it was.
#[test]
fn data_keep_f64_where_a_field_asks_for_it() {
    let values = [1.0, 1.0 + 2f64.powi(-40), 1.0 - 2f64.powi(-41), 3.0];
    let dir = folder();
    fs::write(dir.path().join("a.npy"), npy("(4,)", &values)).expect("written");
    let rows: String = values.iter().map(|v| format!("{v:?}\n")).collect();
    fs::write(dir.path().join("a.csv"), rows).expect("written");
    let listed: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
    let sources = [
        ("npy(\"a.npy\")".to_owned(), "array"),
        ("csv(\"a.csv\", columns: {v: 1})".to_owned(), "v"),
        (format!("table(v: [{}])", listed.join(", ")), "v"),
    ];
    for (source, column) in sources {
        let program = format!(
            "data D {{\n  train = {source}\n  x: f64 = {column}\n  y: f32 = {column}\n}}\n\
             model M {{\n  param k: f64 = 0.0\n  fn forward(x: f64[B], y: f32[B]) -> f64[B] = k + (x - y)\n}}\n\
             train m: M on D {{\n  batch = full;  steps = 1\n  loss = mean(m(x, y))\n  optimizer = Sgd(lr: 1.0)\n  save = last(\"m.safetensors\")\n}}\n"
        );
        fs::write(dir.path().join("p.nn"), program).expect("written");
        let ran = nnc(dir.path(), &["train", "--json", "p.nn"]).ok();
        let loss = ran.all("epoch")[0]["train"]["loss"].as_f64().expect("a loss");
        let want = (2f64.powi(-40) - 2f64.powi(-41)) / 4.0;
        assert_eq!(loss, want, "{source}");
    }
}

/// Every distribution, scan, gather, scatter and function, mixed with f32: the program trains, evaluates, predicts, benches
/// and shows itself, on one thread and on two with the same loss.
#[test]
fn every_command_takes_an_f64_program() {
    let dir = folder();
    let program = r#"
data D {
  train = rows(40, seed: 3)
  test  = rows(24, seed: 4)
  x: f64[6] ~ normal()
  i: idx<8> ~ randint()
}
model M {
  param w: f64[6, 8] ~ kaiming_uniform()
  param e: f64[8, 8] ~ trunc_normal(0.5)
  param g: f32[8]    ~ uniform(0.9, 1.1)
  param b: f64[8]    ~ normal(0.1)
  state seen: f64[8] = 0
  norm = LayerNorm[8]
  drop = Dropout(0.25)
  fn forward(x: f64[B, 6], i: idx<8>[B]) -> f64[B, 8] {
    let h = tanh(x @ w + e[i]) * g + b
    let c = cumsum(h, -1)
    seen <- 0.9 * seen + 0.1 * mean(h, 0)
    let s = sin(c) + cos(h) + erf(h) + expm1(-abs(c)) + log1p(c**2) + sqrt(1 + h**2) + exp(-(c**2)) + floor(h) % 2
    let z = norm(drop(s)) + max(s, -1, keep: true) - min(s, -1, keep: true)
    where(z > 0, z, 0.1 * z) + maximum(abs(h) + 0.5, 0.25)**0.7 + log_softmax(h)
  }
}
train m: M on D {
  batch = 8;  epochs = 2
  let p     = m(x, i)
  loss      = cross_entropy(p, i) + 0.01 * mean(p**2)
  metrics   = { acc: accuracy(p, i), f1: F1[8](p, i), size: mean(p) }
  optimizer = AdamW(lr: cosine(1e-2), decay: 0.1)
  clip      = 1.0
  save      = last("m.safetensors")
}
"#;
    fs::write(dir.path().join("p.nn"), program).expect("written");
    let losses = ["1", "2"].map(|n| {
        let ran = nnc(dir.path(), &["train", "--json", "p.nn", "--threads", n, "--seed", "5"]).ok();
        let epochs = ran.all("epoch");
        let loss = |e: &serde_json::Value| e["test"]["loss"].as_f64().expect("a loss").to_bits();
        epochs.iter().map(loss).collect::<Vec<_>>()
    });
    assert_eq!(losses[0], losses[1], "one thread and two");
    nnc(dir.path(), &["check", "p.nn"]).ok();
    for stage in ["ast", "typed", "graph", "grad", "opt", "fused", "kernel", "clif", "asm"] {
        let shown = nnc(dir.path(), &["ir", "--stage", stage, "p.nn"]).ok().out;
        assert!(!shown.is_empty(), "{stage}");
    }
    nnc(dir.path(), &["summary", "p.nn"]).ok();
    nnc(dir.path(), &["eval", "p.nn"]).ok();
    let rows = nnc(dir.path(), &["predict", "--json", "p.nn", "--limit", "3"]).ok().all("predict");
    assert_eq!(rows.len(), 3);
    nnc(dir.path(), &["bench", "--steps", "3", "p.nn"]).ok();
}
