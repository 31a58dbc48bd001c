//! The examples do what they say: each trains to the quality it promises.

mod common;

use common::{file, folder, nnc, tiny_mnist};
use serde_json::Value;

/// Trains an example as it is; its `done` event.
fn done(name: &str, more: &[&str]) -> Value {
    let dir = folder();
    let program = file(&format!("examples/{name}.nn"));
    nnc(dir.path(), &[&["train", "--json", &program], more].concat()).ok().one("done")
}

fn number(v: &Value, part: &str, name: &str) -> f64 {
    v[part][name].as_f64().unwrap_or_else(|| panic!("no {part} {name} in {v}"))
}

#[test]
fn digits_reach_96_percent_for_several_seeds() {
    for seed in ["0", "1", "2"] {
        let d = done("digits", &["--seed", seed]);
        assert!(number(&d, "test", "acc") >= 0.96, "seed {seed}: {d}");
    }
}

#[test]
fn tabular_reaches_96_percent_for_several_seeds() {
    for seed in ["0", "1", "2"] {
        let d = done("tabular", &["--seed", seed]);
        assert!(number(&d, "test", "acc") >= 0.96 && number(&d, "test", "f1") >= 0.95, "seed {seed}: {d}");
    }
}

#[test]
fn rbfn_fits_the_sine() {
    let d = done("rbfn", &[]);
    assert!(number(&d, "test", "loss") < 1e-3, "{d}");
}

#[test]
fn perceptron_learns_or() {
    let dir = folder();
    let program = file("examples/perceptron.nn");
    let ran = nnc(dir.path(), &["train", "--json", &program]).ok();
    assert_eq!(number(&ran.one("done"), "train", "loss"), 0.0);
    let eval = nnc(dir.path(), &["eval", "--json", &program]).ok().one("eval");
    assert_eq!(number(&eval, "values", "acc"), 1.0, "{eval}");
    assert_eq!(eval["rows"], 4);
}

/// Real MNIST is not bundled; made-up images of its shape are learned all the same.
#[test]
fn mnist_mlp_learns_images_of_its_shape() {
    let data = folder();
    tiny_mnist(data.path(), 200, 50);
    let d = done("mnist_mlp", &["--data", &data.path().to_string_lossy(), "--set", "train.epochs=10"]);
    assert_eq!(number(&d, "test", "acc"), 1.0, "{d}");
    assert_eq!(d["steps"], 40, "three batches of 64 and one of 8 an epoch");
}

#[test]
fn mnist_cnn_learns_images_of_its_shape() {
    let data = folder();
    tiny_mnist(data.path(), 128, 50);
    let data = data.path().to_string_lossy().into_owned();
    let d = done("mnist_cnn", &["--data", &data, "--set", "train.epochs=5", "--set", "train.optimizer.lr.warmup=0"]);
    assert_eq!(number(&d, "test", "acc"), 1.0, "{d}");
}
