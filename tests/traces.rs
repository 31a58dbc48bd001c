//! Ten-step loss traces of six models against PyTorch on the same initial weights and data, and the layers of `std/conv.nn`
//! against PyTorch's one by one.
//!
//! `tests/traces/make.py` made the weights, the data and the losses; the `.nn` files beside it say the same models.
//! `tests/traces/conv.py` made `conv.nn`.

use assert_cmd::Command;
use nn_runtime::data::convert::values;
use nn_runtime::dtype::DType;
use nn_runtime::weights;
use serde_json::Value;
use std::path::Path;

/// Both sides compute in f32 with sums of at most 64 terms in different orders: a relative error of about
/// `64 * 2^-24 = 4e-6` a step. Ten steps of updates add at most ten of them.
const TOLERANCE: f64 = 4e-5;

/// Trains a stored program; the folder with what it saves.
fn check(name: &str) -> tempfile::TempDir {
    check_within(name, TOLERANCE)
}

fn check_within(name: &str, tolerance: f64) -> tempfile::TempDir {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    let text = std::fs::read_to_string(dir.join(format!("{name}.json"))).expect("stored losses");
    let expected: Vec<f64> = serde_json::from_str(&text).expect("a list of losses");
    let out = tempfile::tempdir().expect("a temporary folder");
    let run = Command::new(env!("CARGO_BIN_EXE_nnc"))
        .args(["train", "--json", "--out"])
        .arg(out.path())
        .arg(dir.join(format!("{name}.nn")))
        .output()
        .expect("nnc starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let losses: Vec<f64> = String::from_utf8_lossy(&run.stdout)
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter(|v| v["event"] == "epoch")
        .filter_map(|v| v["train"]["loss"].as_f64())
        .collect();
    assert_eq!(losses.len(), expected.len(), "losses {losses:?}");
    for (step, (got, want)) in losses.iter().zip(&expected).enumerate() {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error <= tolerance, "{name}, step {}: {got} against PyTorch's {want}", step + 1);
    }
    out
}

#[test]
fn mlp_relu_adam() {
    check("mlp");
}

#[test]
fn layernorm_gelu_adamw_clip() {
    check("norm");
}

#[test]
fn embedding_silu_sgd_nesterov() {
    check("embed");
}

#[test]
fn recurrent_layers_along_sequences() {
    check("recurrent");
}

/// Values of the saved file against PyTorch's after the steps, and the loss in evaluation mode, of our weights and of
/// PyTorch's own, its counters of batches included.
fn check_afterwards(name: &str, out: &tempfile::TempDir, states: &[&str]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    let saved = out.path().join(format!("{name}.safetensors"));
    let stored = dir.join(format!("{name}.after.safetensors"));
    let ours = weights::read(&saved).expect("saved weights");
    let theirs = weights::read(&stored).expect("stored weights");
    let floats = |file: &weights::SafeTensors, name: &str| {
        let bytes = file.f32(file.get(name).unwrap_or_else(|| panic!("`{name}`"))).expect("floats");
        values(DType::F32, &bytes)
    };
    for name in states {
        let (got, want) = (floats(&ours, name), floats(&theirs, name));
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= TOLERANCE * want.abs().max(1.0), "{name}: {got} against PyTorch's {want}");
        }
    }
    let text = std::fs::read_to_string(dir.join(format!("{name}.eval.json"))).expect("a stored loss");
    let want: f64 = serde_json::from_str(&text).expect("a number");
    for file in [saved, stored] {
        let run = Command::new(env!("CARGO_BIN_EXE_nnc"))
            .args(["eval", "--json", "--weights"])
            .args([&file, &dir.join(format!("{name}.nn"))])
            .output()
            .expect("nnc starts");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let text = String::from_utf8_lossy(&run.stdout);
        let eval = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).find(|v| v["event"] == "eval");
        let got = eval.and_then(|v| v["values"]["loss"].as_f64()).expect("a loss");
        assert!((got - want).abs() <= TOLERANCE * want, "{}: {got} against PyTorch's {want}", file.display());
    }
}

#[test]
fn batch_norm_and_its_running_statistics() {
    let out = check("batch_norm");
    check_afterwards("batch_norm", &out, &["1.running_mean", "1.running_var", "4.running_mean", "4.running_var"]);
}

/// Plain, depthwise, grouped, strided, dilated and transposed convolutions, pools, three norms.
#[test]
fn convolutions_pools_and_norms_of_images() {
    let out = check_within("cnn", 1e-5);
    let states = ["1.running_mean", "1.running_var", "8.running_mean", "8.running_var", "4.weight", "10.weight"];
    check_afterwards("cnn", &out, &states);
}

/// Convolutions of three axes and of one, and longer signals.
#[test]
fn convolutions_of_volumes_and_signals() {
    let out = check_within("signals", 1e-5);
    check_afterwards("signals", &out, &["4.running_mean", "4.running_var", "3.weight", "5.weight", "13.weight"]);
}

/// Each layer with odd sizes, strides, paddings, dilations and groups: values, first and second derivatives, in f64.
#[test]
fn layers_of_images_one_by_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/conv.nn");
    let run = Command::new(env!("CARGO_BIN_EXE_nnc")).args(["test", "--json"]).arg(file).output().expect("nnc starts");
    let text = String::from_utf8_lossy(&run.stdout);
    let tests = text.lines().filter(|l| l.contains("\"test\"")).count();
    assert!(run.status.success() && tests > 60, "{text}{}", String::from_utf8_lossy(&run.stderr));
}
