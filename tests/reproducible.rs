//! Same program, data and seed: same bits, with any number of threads, on repeat, interrupted and resumed.
//!
//! Each case trains on the real binary and compares the saved weights byte for byte.

mod common;

use common::{file, folder, nnc};
use std::fs;
use std::path::Path;

/// Dropout, shuffling, a partial last batch: the digits example, shortened.
fn digits() -> (String, String) {
    let text = fs::read_to_string(file("examples/digits.nn")).expect("an example");
    (text.replace("epochs = 40", "epochs = 3"), file("examples"))
}

/// LayerNorm, gelu, AdamW with a schedule, class weights.
fn tabular() -> (String, String) {
    let text = r#"
data Cancer {
  source = csv("data/breast_cancer.csv", skip: 1, columns: { features: 30, label: 1 })
  test   = split(source, 0.2, seed: 1, stratify: label)
  x: f32[30] = log(1 + features)
  y: idx<2>  = label
}
const weight: f32[2] = [1.68, 1.0]
train m: seq { LayerNorm[30], Linear[30, 32], gelu, Dropout(0.1), Linear[32, 2] } on Cancer {
  batch = 32;  epochs = 4
  loss      = cross_entropy(m(x), y, weight: weight)
  metrics   = { acc: accuracy(m(x), y), f1: F1[2](m(x), y) }
  optimizer = AdamW(lr: cosine(3e-3, warmup: 10), decay: 0.01)
  clip      = 1.0
  save      = last("digits.safetensors")
}
"#;
    (text.to_owned(), file("examples"))
}

/// An embedding, whose gradient adds up rows that occur several times.
fn embed() -> (String, String) {
    let text = fs::read_to_string(file("tests/traces/embed.nn")).expect("a stored program");
    let text = text.replace("batch = full", "batch = 7;  save = last(\"digits.safetensors\")");
    (text, file("tests/traces"))
}

/// A recurrent layer and its derivative: loops in which threads need not meet.
fn recurrent() -> (String, String) {
    let text = fs::read_to_string(file("tests/stages/recurrent.nn")).expect("a stored program");
    (
        text.replace("batch = 16; epochs = 1", "batch = 12; epochs = 3; save = last(\"digits.safetensors\")"),
        file("tests/stages"),
    )
}

/// Trains in a new folder; the bytes of the weights and the text of all events but times.
fn train(program: &(String, String), more: &[&str]) -> (Vec<u8>, String) {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), &program.0).expect("written");
    let mut args = vec!["train", "p.nn", "--json", "--data", &program.1];
    args.extend(more);
    let ran = nnc(dir.path(), &args).ok();
    let numbers = |v: &serde_json::Value| format!("{} {} {} {}", v["event"], v["train"], v["val"], v["test"]);
    let events: Vec<String> = ran.events().iter().filter(|v| v["event"] != "compile").map(numbers).collect();
    (weights(dir.path()), events.join("\n"))
}

fn weights(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("digits.safetensors")).expect("saved weights")
}

fn same_bits(program: &(String, String)) {
    let (first, numbers) = train(program, &["--threads", "1"]);
    for threads in ["1", "2", "3", "5"] {
        let (again, n) = train(program, &["--threads", threads]);
        assert_eq!(numbers, n, "losses and metrics with {threads} threads");
        assert!(first == again, "weights with {threads} threads");
    }
    let (default, n) = train(program, &[]);
    assert!(first == default && numbers == n, "with the default number of threads");
    let (other, _) = train(program, &["--seed", "1234"]);
    assert!(first != other, "another seed must give other weights");
}

#[test]
fn digits_with_dropout_on_1_2_3_5_threads() {
    same_bits(&digits());
}

#[test]
fn tabular_with_layernorm_on_1_2_3_5_threads() {
    same_bits(&tabular());
}

#[test]
fn a_recurrent_layer_on_1_2_3_5_threads() {
    same_bits(&recurrent());
}

#[test]
fn embedding_on_1_2_3_5_threads() {
    let (first, numbers) = train(&embed(), &["--threads", "1"]);
    for threads in ["1", "2", "3", "5"] {
        let (again, n) = train(&embed(), &["--threads", threads]);
        assert!(first == again && numbers == n, "weights with {threads} threads");
    }
}

/// Ctrl-C saves and ends with 0; `--resume` then gives the weights of a run that was never interrupted.
#[cfg(unix)]
#[test]
fn interrupted_and_resumed_is_as_uninterrupted() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let dir = folder();
    let (text, data) = digits();
    // Long enough that the signal comes in the middle.
    fs::write(dir.path().join("p.nn"), text.replace("epochs = 3", "epochs = 200")).expect("written");
    let args = |out: &'static str| {
        ["train", "p.nn", "--json", "--threads", "2", "--data", &data, "--out", out].map(str::to_owned)
    };
    let whole = args("whole");
    nnc(dir.path(), &whole.iter().map(String::as_str).collect::<Vec<_>>()).ok();

    let cut = args("cut");
    let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
    let mut child =
        common::command(dir.path(), &cut).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nnc starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut epochs = 0;
    while epochs < 3 {
        let line = lines.next().expect("more epochs").expect("text");
        epochs += usize::from(line.contains("\"event\":\"epoch\""));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill starts").success());
    let rest: Vec<String> = lines.map(|l| l.expect("text")).collect();
    let code = child.wait().expect("it ends").code();
    let mut err = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
    assert_eq!(code, Some(130), "{err}");
    assert!(rest.iter().any(|l| l.contains("\"event\":\"interrupted\"")), "not interrupted: {rest:?}");
    assert!(err.contains("--resume"), "the way on is not told:\n{err}");
    let (saved, end) = (weights(&dir.path().join("cut")), weights(&dir.path().join("whole")));
    assert!(saved != end, "the interrupted run has trained to the end");
    assert!(dir.path().join("cut/digits.ckpt").exists());

    let resumed = nnc(dir.path(), &[&cut[..], &["--resume"]].concat()).ok();
    assert!(resumed.all("epoch").len() < 200, "it started again");
    assert!(weights(&dir.path().join("cut")) == end, "resumed weights differ");
}

#[test]
fn resume_refuses_another_run() {
    let dir = folder();
    let (text, data) = digits();
    fs::write(dir.path().join("p.nn"), &text).expect("written");
    let ran = nnc(dir.path(), &["train", "p.nn", "--data", &data, "--resume"]);
    assert!(ran.code == 3 && ran.err.contains("digits.ckpt"), "{}: {}", ran.code, ran.err);
}

#[test]
fn training_goes_on_from_loaded_weights() {
    let dir = folder();
    let (text, data) = digits();
    fs::write(dir.path().join("p.nn"), &text).expect("written");
    let first = nnc(dir.path(), &["train", "p.nn", "--json", "--data", &data]).ok().one("done");
    let before = weights(dir.path());
    // A learning rate of nothing leaves the loaded weights as they are, bit for bit.
    let still = text
        .replace("batch = 32", "load m = \"digits.safetensors\";  batch = 32")
        .replace("Adam(lr: 1e-3)", "Sgd(lr: 0.0)")
        .replace("epochs = 3", "epochs = 1");
    fs::write(dir.path().join("q.nn"), &still).expect("written");
    let again = nnc(dir.path(), &["train", "q.nn", "--json", "--data", &data, "--out", "q"]).ok().one("done");
    // Not the run that the file names, which is another; the values behind the header are all there is.
    let values = |file: &[u8]| {
        let header = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
        file[8 + header..].to_vec()
    };
    let after = values(&weights(&dir.path().join("q")));
    assert!(!after.is_empty() && after == values(&before), "loaded weights changed");
    assert_eq!(again["test"], first["test"]);
    // With a real one it gets better than it was.
    fs::write(
        dir.path().join("r.nn"),
        still.replace("Sgd(lr: 0.0)", "Adam(lr: 1e-3)").replace("epochs = 1", "epochs = 5"),
    )
    .expect("written");
    let more = nnc(dir.path(), &["train", "r.nn", "--json", "--data", &data, "--out", "r"]).ok().one("done");
    let loss = |v: &serde_json::Value| v["test"]["loss"].as_f64().expect("a loss");
    assert!(loss(&more) < loss(&first), "{more} after {first}");
}
