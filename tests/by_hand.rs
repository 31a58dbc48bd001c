//! Training runs small enough to work out by hand, on the real binary: what a step does to parameters, what an epoch
//! reports, when a run ends.

mod common;

use common::{folder, nnc};
use serde_json::Value;
use std::fs;

/// The epochs of a training run.
fn epochs(program: &str) -> Vec<Value> {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), program).expect("written");
    nnc(dir.path(), &["train", "p.nn", "--json"]).ok().all("epoch")
}

fn number(v: &Value, part: &str, name: &str) -> f64 {
    v[part][name].as_f64().unwrap_or_else(|| panic!("no {part}.{name} in {v}"))
}

fn close(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{got}, not {want}");
}

/// The gradient is (3, 4) and 12, of norm 13; the loss after one step of `Sgd(lr: 1)` is minus its square norm, scaled.
fn after_a_clipped_step(clip: &str) -> f64 {
    let program = format!(
        "data One {{
  train = table(x: [[3, 4]])
  x: f32[2] = x
}}
model M {{
  param w: [2] = 0
  param v: [] = 0
  fn forward(x: [B, 2]) -> [B] = x @ w + 12 * v
}}
train m: M on One {{
  batch = 1;  epochs = 2
  loss = mean(m(x))
  optimizer = Sgd(lr: 1.0)
  {clip}
}}
"
    );
    let all = epochs(&program);
    close(number(&all[0], "train", "loss"), 0.0, 0.0);
    number(&all[1], "train", "loss")
}

#[test]
fn clipping_brings_the_global_norm_to_its_limit_and_never_up() {
    close(after_a_clipped_step(""), -169.0, 1e-4);
    close(after_a_clipped_step("clip = 1.3"), -16.9, 1e-4);
    close(after_a_clipped_step("clip = 6.5"), -84.5, 1e-4);
    close(after_a_clipped_step("clip = 26"), -169.0, 1e-4);
}

/// A metric that counts what it saw counts the rows of its part, in every epoch anew.
#[test]
fn a_metric_with_state_starts_over_in_every_evaluation() {
    let all = epochs(
        "data Five {
  train = table(x: [1, 2, 3, 4, 5, 6, 7])
  val   = table(x: [1, 2, 3, 4, 5])
  x: f32 = x
}
model M {
  param w: [] = 1
  fn forward(x: [B]) -> [B] = w * x
}
metric Rows {
  state n: f32 = 0
  fn update(p: [B]) { n <- n + sum(p * 0 + 1) }
  fn result() -> [] = n
}
train m: M on Five {
  batch = 2;  epochs = 3
  loss = mse(m(x), x)
  metrics = { rows: Rows(m(x)) }
  optimizer = Sgd(lr: 0.1)
}
",
    );
    assert_eq!(all.len(), 3);
    for e in &all {
        close(number(e, "val", "rows"), 5.0, 0.0);
    }
}

/// Losses of a layer of ones behind dropout: their mean over 4096 elements.
fn dropped(layers: &str) -> Vec<f64> {
    let program = format!(
        "data One {{
  train = table(x: [1, 1])
  x: f32 = x
}}
model Ones {{
  param w: [4096] = 1
  fn forward(x: [B]) -> [B, 4096] = x[:, new] * w[new, :]
}}
train m: seq {{ Ones, {layers} }} on One {{
  batch = 1;  epochs = 2
  loss = mean(m(x))
  optimizer = Sgd(lr: 0.0)
}}
"
    );
    epochs(&program).iter().map(|e| number(e, "train", "loss")).collect()
}

/// Means of 8192 draws, within five standard deviations: sqrt(p / (1 - p) / 8192) for one layer.
#[test]
fn dropout_keeps_the_mean_and_draws_anew_everywhere() {
    for (p, deviation) in [("0.25", 0.0064), ("0.5", 0.011), ("0.9", 0.0332)] {
        let losses = dropped(&format!("Dropout({p})"));
        losses.iter().for_each(|&l| close(l, 1.0, 5.0 * deviation));
        assert_ne!(losses[0], losses[1], "two epochs drew the same");
    }
    // Two layers that drew alike would keep half of the elements at four times their size.
    dropped("Dropout(0.5), Dropout(0.5)").iter().for_each(|&l| close(l, 1.0, 5.0 * 0.0192));
}

/// Nothing changes at a learning rate of 0: the first epoch is the best, and patience runs out two epochs later.
#[test]
fn a_tie_is_no_improvement_and_patience_counts_epochs() {
    let all = epochs(
        "data Two {
  train = table(x: [1, 2])
  val   = table(x: [3])
  x: f32 = x
}
model M {
  param w: [] = 0.5
  fn forward(x: [B]) -> [B] = w * x
}
train m: M on Two {
  batch = 2;  epochs = 9
  loss = mse(m(x), x)
  optimizer = Sgd(lr: 0.0)
  stop = patience(2, on: val.loss)
}
",
    );
    assert_eq!(all.len(), 3);
}

/// Of a window that starts where the data say: what lies outside of the table reads 0 and learns nothing.
#[test]
fn a_window_reads_0_outside_and_its_derivative_adds_nowhere() {
    let losses = |start: i64| {
        let program = format!(
            "data One {{
  train = table(j: [{start}])
  j: i32 = j
}}
model M {{
  param w: [4] = [1.0, 2.0, 4.0, 8.0]
  fn forward(j: i32[B]) -> [2] = w[j[0] +: 2]
}}
train m: M on One {{
  batch = 1;  epochs = 2
  loss = mean(m(j))
  optimizer = Sgd(lr: 1.0)
}}
"
        );
        epochs(&program).iter().map(|e| number(e, "train", "loss")).collect::<Vec<f64>>()
    };
    // A step takes half of the window's length from each parameter inside.
    assert_eq!(losses(1), [3.0, 2.5]);
    assert_eq!(losses(3), [4.0, 3.75]);
    assert_eq!(losses(-1), [0.5, 0.25]);
    assert_eq!(losses(4), [0.0, 0.0]);
    assert_eq!(losses(-2147483648), [0.0, 0.0]);
    assert_eq!(losses(2147483647), [0.0, 0.0]);
}
