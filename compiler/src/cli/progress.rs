//! What a training run shows: a progress bar while an epoch runs, a table row when it is done, JSON events.
//!
//! In: the events of the training loop. Out: lines through [`Ui`]. Columns are the loss and metrics of each part.

use super::ui::Ui;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nn_runtime::train::{Ended, EpochRow, Event, Observer, Summary, Values};
use serde_json::{Map, Value, json};
use std::time::Instant;

/// Shows a run.
pub struct Progress {
    ui: Ui,
    bar: ProgressBar,
    epochs: Option<u64>,
    steps: u64,
    header: bool,
    /// The bar is moved at most this often; steps can take microseconds.
    drawn: Instant,
    start: Instant,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(ui: Ui) -> Self {
        let now = Instant::now();
        Progress { ui, bar: ProgressBar::hidden(), epochs: None, steps: 0, header: false, drawn: now, start: now }
    }

    /// Takes the bar away.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }

    fn start(&mut self, epochs: Option<u64>, steps: u64, resumed: u64) {
        self.epochs = epochs;
        self.steps = steps;
        self.start = Instant::now();
        if resumed > 0 {
            self.ui.say(&format!("resuming after step {resumed}"));
        }
        if self.ui.shows_progress() {
            self.bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} steps  {per_sec}  {eta} left");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.set_position(resumed);
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        self.ui.event(&json!({
            "event": "epoch", "epoch": row.epoch, "step": row.step, "seconds": round(row.seconds),
            "train": object(&row.train), "val": object(&row.val), "test": object(&row.test),
        }));
        let parts = [("train", &row.train), ("val", &row.val), ("test", &row.test)];
        let columns: Vec<(String, f64)> = parts
            .iter()
            .flat_map(|(part, values)| values.iter().map(move |(name, x)| (format!("{part} {name}"), *x)))
            .collect();
        let mut text = String::new();
        if !self.header {
            self.header = true;
            text.push_str("epoch     step");
            for (name, _) in &columns {
                text.push_str(&format!("  {name:>11}"));
            }
            text.push_str("   seconds\n");
        }
        text.push_str(&format!("{:>5} {:>8}", row.epoch, row.step));
        for (name, x) in &columns {
            text.push_str(&format!("  {:>w$}", short(*x), w = name.chars().count().max(11)));
        }
        text.push_str(&format!("  {:>8.2}{}", row.seconds, if row.best { "  best" } else { "" }));
        self.bar.suspend(|| self.ui.say(&text));
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { epochs, steps, resumed, .. } => self.start(*epochs, *steps, *resumed),
            Event::Step { epoch, step, loss, .. } => {
                if !self.bar.is_hidden() && self.drawn.elapsed().as_millis() >= 50 {
                    self.drawn = Instant::now();
                    let of = self.epochs.map(|n| format!("/{n}")).unwrap_or_default();
                    self.bar.set_message(format!("epoch {epoch}{of}  loss {}", short(*loss)));
                    self.bar.set_position(*step);
                }
            }
            Event::Epoch(row) => self.epoch(row),
            Event::Saved { path, checkpoint } => {
                if self.ui.verbose {
                    let what = if *checkpoint { "checkpoint" } else { "weights" };
                    self.bar.suspend(|| self.ui.say(&format!("saved {what} {}", path.display())));
                }
            }
            Event::Warning(text) => self.bar.suspend(|| self.ui.text(&format!("warning: {text}"))),
            Event::Interrupted { epoch, step, resumable } => {
                self.close();
                self.ui.event(&json!({ "event": "interrupted", "epoch": epoch, "step": step }));
                let on = if *resumable { "; `--resume` goes on from here" } else { "" };
                self.ui.text(&format!("interrupted in epoch {epoch} after step {step}{on}"));
            }
        }
    }
}

/// The `done` event and its line.
pub fn done(ui: &Ui, s: &Summary) {
    let weights = s.weights.as_ref().map(|p| p.display().to_string());
    ui.event(&json!({
        "event": "done", "epochs": s.epochs, "steps": s.steps, "seconds": round(s.seconds), "train": object(&s.train),
        "val": object(&s.val), "test": object(&s.test), "weights": weights,
        "interrupted": s.ended == Ended::Interrupted,
    }));
    let mut text = format!("done: {} epochs, {} steps in {:.2} s", s.epochs, s.steps, s.seconds);
    for (part, values) in [("val", &s.val), ("test", &s.test)] {
        for (name, x) in values.iter() {
            text.push_str(&format!(", {part} {name} {}", short(*x)));
        }
    }
    if let Some(w) = weights {
        text.push_str(&format!("; weights in {w}"));
    }
    ui.say(&text);
}

/// Metrics by name; what is not finite is a string, since JSON has no word for it.
pub fn object(values: &Values) -> Value {
    let entry = |(name, x): &(String, f64)| (name.clone(), if x.is_finite() { json!(x) } else { json!(x.to_string()) });
    Value::Object(values.iter().map(entry).collect::<Map<_, _>>())
}

fn round(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Five significant digits.
pub fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x.abs()) {
        let digits = (4 - (x.abs().max(1.0)).log10().floor() as i32).max(0) as usize;
        format!("{x:.digits$}")
    } else {
        format!("{x:.4e}")
    }
}
