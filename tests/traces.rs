//! Ten-step loss traces of three models against PyTorch on the same initial weights and data.
//!
//! `tests/traces/make.py` made the weights, the data and the losses; the `.nn` files beside it say the same models.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

/// Both sides compute in f32 with sums of at most 64 terms in different orders: a relative error of about
/// `64 * 2^-24 = 4e-6` a step. Ten steps of updates add at most ten of them.
const TOLERANCE: f64 = 4e-5;

fn check(name: &str) {
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
        assert!(error <= TOLERANCE, "{name}, step {}: {got} against PyTorch's {want}", step + 1);
    }
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
