//! `precision = f64` on the real binary: a whole model of std's layers against numbers of 50 digits, weights that move between
//! f32 and f64, and every command on one float.

mod common;

use common::{file, folder, nnc};
use nn_runtime::dtype::DType;
use nn_runtime::weights;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// An f64 sum of `n` terms is off by at most `n * 2^-53`. A step has chains of some 100 roundings on numbers near 1, which the
/// norms stretch by at most 1 / sqrt(eps) = 300 each where a spread is small; here it is near 1, and the largest factor is
/// Adam's square root. Ten steps: `10 * 100 * 2^-53 = 1e-13`, and ten times that for what stretches.
const TOLERANCE: f64 = 1e-12;

fn close(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= TOLERANCE * want.abs().max(1.0), "{what}: {got} for {want}");
}

/// `tests/traces/wide.nn` with its data and weights, in a folder of their own; the numbers to expect.
fn trace(dir: &Path) -> Value {
    for name in ["wide.nn", "wide.csv", "wide.safetensors"] {
        fs::copy(file(&format!("tests/traces/{name}")), dir.join(name)).expect("copied");
    }
    let text = fs::read_to_string(file("tests/traces/wide.json")).expect("stored numbers");
    serde_json::from_str(&text).expect("JSON")
}

fn flat(v: &Value, out: &mut Vec<f64>) {
    match v {
        Value::Array(items) => items.iter().for_each(|v| flat(v, out)),
        v => out.push(v.as_f64().expect("a number")),
    }
}

/// The values of a saved tensor, which must be of a type.
fn stored(path: &Path, name: &str, dtype: DType) -> Vec<f64> {
    let saved = weights::read(path).expect("a weights file");
    let t = saved.get(name).unwrap_or_else(|| panic!("`{name}`"));
    assert_eq!(t.dtype, Some(dtype), "{name}");
    nn_runtime::data::convert::values(DType::F64, &saved.floats(t, DType::F64).expect("floats"))
}

fn losses(dir: &Path, args: &[&str]) -> Vec<f64> {
    let epochs = nnc(dir, args).ok().all("epoch");
    epochs.iter().map(|e| e["train"]["loss"].as_f64().expect("a loss")).collect()
}

#[test]
fn std_layers_train_in_f64() {
    let dir = folder();
    let want = trace(dir.path());
    let got = losses(dir.path(), &["train", "--json", "wide.nn", "--out", "."]);
    let mut expected = vec![];
    flat(&want["losses"], &mut expected);
    assert_eq!(got.len(), expected.len());
    for (step, (got, want)) in got.iter().zip(&expected).enumerate() {
        close(*got, *want, &format!("step {}", step + 1));
    }
    // Parameters and running statistics, all of them in f64.
    let after = want["after"].as_object().expect("tensors");
    assert_eq!(after.len(), 10);
    for (name, want) in after {
        let mut all = vec![];
        flat(want, &mut all);
        let got = stored(&dir.path().join("after.safetensors"), name, DType::F64);
        assert_eq!(got.len(), all.len(), "{name}");
        got.iter().zip(&all).for_each(|(got, want)| close(*got, *want, name));
    }
    let eval = ["eval", "--json", "wide.nn", "--weights", "after.safetensors", "--split", "train"];
    let eval = nnc(dir.path(), &eval).ok().one("eval");
    for name in ["loss", "size", "root"] {
        let want = want["eval"][name].as_f64().expect("a number");
        close(eval["values"][name].as_f64().expect("a value"), want, name);
    }
}

const PROGRAM: &str = r#"
data D {
  train = rows(40, seed: 3)
  test  = rows(24, seed: 4)
  x: [6]    ~ normal()
  i: idx<8> ~ randint()
}
const table = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
model M {
  state seen: [8] = 0
  fc   = Linear[6, 8]
  bn   = BatchNorm[8]
  emb  = Embedding[8, 8]
  norm = LayerNorm[8]
  drop = Dropout(0.25)
  fn forward(x: [B, 6], i: idx<8>[B]) -> [B, 8] {
    let h = gelu(bn(fc(x * table))) + emb(i)
    seen <- 0.9 * seen + 0.1 * mean(h, 0)
    norm(drop(h)) + iota[8] as float / 7 + mean(i == 3)
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
test "a third" {
  let x: [1] = [0.1]
  assert close(x * 3, [0.30000000000000004], 1e-16)
}
"#;

fn program(dir: &Path, name: &str, precision: &str) {
    let text = PROGRAM.replace("  clip ", &format!("  precision = {precision}\n  clip "));
    fs::write(dir.join(name), text).expect("written");
}

/// Every graph is f64 throughout, but for the number of the step and the rate that is shown; every command says the same of it.
#[test]
fn every_command_agrees_on_the_float() {
    let dir = folder();
    let at = dir.path();
    program(at, "p.nn", "f64");
    fs::write(at.join("plain.nn"), PROGRAM).expect("written");
    let step = |l: &str| ["slot t: ", "%t: "].iter().any(|t| l.trim_start().starts_with(t));
    for entry in ["train", "eval", "init"] {
        let text = nnc(at, &["ir", "--stage", "graph", "--entry", entry, "p.nn"]).ok().out;
        let narrow: Vec<&str> = text.lines().filter(|l| l.contains("f32") && !step(l)).collect();
        assert!(text.contains("f64") && narrow.is_empty(), "{entry}: {narrow:#?}");
    }
    for command in [&["check"][..], &["summary"], &["test"], &["bench", "--steps", "3"]] {
        let ran = nnc(at, &[command, &["p.nn"]].concat()).ok();
        assert!(!ran.err.contains("W0505"), "{command:?}: {}", ran.err);
    }
    // The option says the same as the setting, and what one saves the others take.
    let one = losses(at, &["train", "--json", "p.nn", "--threads", "1", "--out", "a"]);
    let two = losses(at, &["train", "--json", "plain.nn", "--set", "train.precision=f64", "--out", "b"]);
    assert_eq!(one, two);
    assert!(one.iter().any(|l| *l != f64::from(*l as f32)), "{one:?}");
    assert_ne!(one, losses(at, &["train", "--json", "plain.nn", "--out", "c"]));
    let saved = ["fc.weight", "fc.bias", "bn.running_var", "emb.weight", "norm.bias", "seen"];
    for name in saved {
        stored(&at.join("a/m.safetensors"), name, DType::F64);
        stored(&at.join("c/m.safetensors"), name, DType::F32);
    }
    let values = ["a", "b"].map(|f| {
        let path = format!("{f}/m.safetensors");
        nnc(at, &["eval", "--json", "p.nn", "--weights", &path]).ok().one("eval")["values"].clone()
    });
    assert_eq!(values[0], values[1]);
    let rows = nnc(at, &["predict", "--json", "p.nn", "--weights", "a/m.safetensors", "--limit", "2"]).ok();
    assert_eq!(rows.all("predict").len(), 2);
    // A checkpoint of the other float is none of this program's.
    let resumed = nnc(at, &["train", "p.nn", "--out", "c", "--resume"]);
    assert!(resumed.code != 0, "{}", resumed.err);
}

/// The setting decides what a test computes in, where all `train` items agree.
#[test]
fn tests_take_the_float_of_the_program() {
    let dir = folder();
    program(dir.path(), "p.nn", "f64");
    nnc(dir.path(), &["test", "p.nn"]).ok();
    program(dir.path(), "q.nn", "f32");
    assert!(nnc(dir.path(), &["test", "q.nn"]).code != 0);
    nnc(dir.path(), &["test", "q.nn", "--set", "train.precision=f64"]).ok();
}

/// Weights in f32 widen without a word; weights in f64 are rounded, which is said.
#[test]
fn weights_move_between_floats() {
    let dir = folder();
    let at = dir.path();
    program(at, "narrow.nn", "f32");
    program(at, "wide.nn", "f64");
    nnc(at, &["train", "narrow.nn", "--out", "f32"]).ok();
    nnc(at, &["train", "wide.nn", "--out", "f64"]).ok();
    let says = |ran: &common::Ran| ran.err.contains("rounded from f64");
    for command in ["eval", "predict"] {
        let widened = nnc(at, &[command, "wide.nn", "--weights", "f32/m.safetensors"]).ok();
        assert!(!says(&widened), "{command}: {}", widened.err);
        let rounded = nnc(at, &[command, "narrow.nn", "--weights", "f64/m.safetensors"]).ok();
        assert!(says(&rounded), "{command}: {}", rounded.err);
    }
    // What is loaded and not trained is saved as it was, in the other float.
    for (name, from, to) in [("narrow.nn", "f64", DType::F32), ("wide.nn", "f32", DType::F64)] {
        let text = fs::read_to_string(at.join(name)).expect("the program");
        let text = text.replace("  clip ", &format!("  load m = \"{from}/m.safetensors\"\n  freeze = m.fc\n  clip "));
        fs::write(at.join("again.nn"), text).expect("written");
        let ran = nnc(at, &["train", "again.nn", "--out", "again"]).ok();
        assert_eq!(says(&ran), to == DType::F32, "{name}: {}", ran.err);
        let have = if to == DType::F32 { DType::F64 } else { DType::F32 };
        let before = stored(&at.join(from).join("m.safetensors"), "fc.weight", have);
        let after = stored(&at.join("again/m.safetensors"), "fc.weight", to);
        let rounded: Vec<f64> = before.iter().map(|v| f64::from(*v as f32)).collect();
        assert_eq!(after, rounded, "{name}");
        fs::remove_dir_all(at.join("again")).expect("removed");
    }
}
