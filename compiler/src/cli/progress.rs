//! What a training run shows: a line that moves while an epoch runs, a table row when it is done, JSON events.
//!
//! In: the events of the training loop, and the learning rate at any step. Out: lines through [`Ui`] and rows of a log.
//! Columns are the learning rate and the loss and metrics of each part; what does not fit the terminal is left out.

use super::log::Log;
use super::ui::{Ui, chosen, counted, seconds, short, thousands};
use crate::driver::{Failure, Rates};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nn_runtime::train::{Ended, EpochRow, Event, Observer, Summary, Values};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The line is drawn at most this often; steps can take microseconds.
const BETWEEN: Duration = Duration::from_millis(60);
/// Steps done and left of an epoch as a bar.
const BAR: usize = 24;

/// Shows a run.
pub struct Progress {
    ui: Ui,
    line: ProgressBar,
    rates: Rates,
    log: Option<Log>,
    /// The first failure to write the log.
    failed: Option<Failure>,
    epochs: Option<u64>,
    /// Steps in all, steps of an epoch, and steps that were done before this run began.
    steps: [u64; 3],
    columns: Option<Columns>,
    drawn: Instant,
    start: Instant,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(ui: Ui, rates: Rates, log: Option<Log>) -> Self {
        let now = Instant::now();
        Progress {
            ui,
            line: ProgressBar::hidden(),
            rates,
            log,
            failed: None,
            epochs: None,
            steps: [0; 3],
            columns: None,
            drawn: now,
            start: now,
        }
    }

    /// Takes the line away. The failure of the log, if it failed.
    pub fn close(&mut self) -> Option<Failure> {
        self.line.finish_and_clear();
        self.failed.take()
    }

    fn start(&mut self, epochs: Option<u64>, steps: [u64; 3], reported: u64) {
        self.epochs = epochs;
        self.steps = steps;
        self.start = Instant::now();
        if steps[2] > 0 {
            self.ui.note(&format!("resuming after step {}", thousands(steps[2])));
        }
        if let Some(log) = &mut self.log
            && let Err(e) = log.begin(reported)
        {
            self.failed = Some(e);
        }
        if self.ui.shows_progress() {
            self.line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                self.line.set_style(style);
            }
        }
    }

    fn step(&mut self, epoch: u64, step: u64, in_epoch: u64, loss: f64) {
        if self.line.is_hidden() || self.drawn.elapsed() < BETWEEN {
            return;
        }
        self.drawn = Instant::now();
        let [total, per_epoch, before] = self.steps;
        let speed = step.saturating_sub(before) as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        let left = total.saturating_sub(step) as f64 / speed.max(1e-9);
        let at = At { epoch, epochs: self.epochs, in_epoch, per_epoch, loss, speed, left };
        let width = usize::from(console::Term::stderr().size().1);
        self.line.set_message(line(&at, width, self.ui.look.color));
    }

    fn epoch(&mut self, row: &EpochRow) {
        let rates = self.rates.at(row.step);
        self.ui.event(&json!({
            "event": "epoch", "epoch": row.epoch, "step": row.step, "seconds": round(row.seconds), "lr": rate(&rates),
            "train": object(&row.train), "val": object(&row.val), "test": object(&row.test),
        }));
        if let Some(log) = &mut self.log
            && self.failed.is_none()
        {
            self.failed = log.row(row, &rates).err();
        }
        let width = self.ui.width();
        let mut text = String::new();
        let columns = self.columns.get_or_insert_with(|| {
            let columns = Columns::new(row, &rates, self.steps[0], width);
            text.push_str(&self.ui.bold(&columns.head()));
            text.push('\n');
            columns
        });
        text.push_str(&columns.row(row, &rates));
        if row.best {
            text.push_str(&self.ui.dim("  best"));
        }
        let ui = self.ui;
        self.line.suspend(|| ui.say(&text));
    }
}

/// Where a run is.
struct At {
    epoch: u64,
    epochs: Option<u64>,
    in_epoch: u64,
    per_epoch: u64,
    loss: f64,
    speed: f64,
    left: f64,
}

/// The line that moves, in at most so many columns: what matters less goes first.
fn line(at: &At, width: usize, color: bool) -> String {
    let of = at.epochs.map(|n| format!("/{n}")).unwrap_or_default();
    let epoch = format!("epoch {}{of}", at.epoch);
    let loss = format!("  loss {}", short(at.loss));
    let speed =
        format!("  {} steps/s", if at.speed < 10.0 { format!("{:.1}", at.speed) } else { thousands(at.speed as u64) });
    let left = format!("  {} left", clock(at.left));
    let done = (at.in_epoch as f64 / at.per_epoch.max(1) as f64).clamp(0.0, 1.0);
    let percent = format!(" {:>3.0}%", 100.0 * done);
    let mut room = width.saturating_sub(1);
    let mut fits = |text: &str| {
        let n = text.chars().count();
        let fits = n <= room;
        room -= if fits { n } else { 0 };
        fits
    };
    let parts = [&epoch, &percent, &loss, &left, &speed];
    let shown = parts.map(|p| fits(p));
    let bar = if room >= 10 { bar(done, BAR.min(room - 1), color) } else { String::new() };
    let part = |i: usize| if shown[i] { parts[i].as_str() } else { "" };
    let gap = if bar.is_empty() { "" } else { " " };
    format!("{}{gap}{bar}{}{}{}{}", part(0), part(1), part(2), part(4), part(3))
}

fn bar(done: f64, width: usize, color: bool) -> String {
    let full = ((done * width as f64).round() as usize).min(width);
    let (a, b) = ("━".repeat(full), "─".repeat(width - full));
    if color { format!("\x1b[36m{a}\x1b[0m\x1b[2m{b}\x1b[0m") } else { format!("{a}{b}") }
}

/// `0:12`, `1:02:03`
fn clock(s: f64) -> String {
    let s = s.min(1e9).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Which columns the table of epochs has, and how wide they are.
struct Columns {
    step: Option<usize>,
    seconds: bool,
    rates: bool,
    /// Names of losses and metrics with their widths, part by part.
    values: Vec<(String, usize)>,
    rate_names: Vec<String>,
}

impl Columns {
    fn new(row: &EpochRow, rates: &[(String, f64)], steps: u64, width: Option<usize>) -> Columns {
        let name = |part: &str, name: &str| format!("{part} {name}");
        let parts = [("train", &row.train), ("val", &row.val), ("test", &row.test)];
        let values = parts
            .iter()
            .flat_map(|(part, values)| values.iter().map(move |(n, _)| name(part, n)))
            .map(|n| (n.clone(), n.chars().count().max(9)))
            .collect();
        let digits = thousands(steps).len().max(5);
        let rate_names = rates.iter().map(|(n, _)| n.clone()).collect();
        let mut c = Columns { step: Some(digits), seconds: true, rates: !rates.is_empty(), values, rate_names };
        // What does not fit goes, the least telling first. The mark of the best epoch takes a place too.
        let fits = |c: &Columns| width.is_none_or(|w| c.head().chars().count() + "  best".len() <= w);
        if !fits(&c) {
            c.step = None;
        }
        if !fits(&c) {
            c.seconds = false;
        }
        if !fits(&c) {
            c.rates = false;
        }
        c
    }

    fn head(&self) -> String {
        let mut s = "epoch".to_owned();
        if let Some(w) = self.step {
            s.push_str(&format!("  {:>w$}", "step"));
        }
        for n in self.rate_names.iter().filter(|_| self.rates) {
            s.push_str(&format!("  {n:>8}"));
        }
        for (n, w) in &self.values {
            s.push_str(&format!("  {n:>w$}"));
        }
        if self.seconds {
            s.push_str("     time");
        }
        s
    }

    fn row(&self, row: &EpochRow, rates: &[(String, f64)]) -> String {
        let mut s = format!("{:>5}", row.epoch);
        if let Some(w) = self.step {
            s.push_str(&format!("  {:>w$}", thousands(row.step)));
        }
        for (n, x) in rates.iter().filter(|_| self.rates) {
            s.push_str(&format!("  {:>w$}", rounded(*x), w = n.chars().count().max(8)));
        }
        let values = row.train.iter().chain(&row.val).chain(&row.test);
        for ((_, x), (_, w)) in values.zip(&self.values) {
            s.push_str(&format!("  {:>w$}", short(*x)));
        }
        if self.seconds {
            s.push_str(&format!("  {:>7}", seconds(row.seconds)));
        }
        s
    }
}

/// A learning rate in few digits: those of a schedule are not chosen by anyone.
fn rounded(x: f64) -> String {
    chosen(format!("{x:.3e}").parse().unwrap_or(x))
}

impl Observer for Progress {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { epochs, steps, steps_per_epoch, resumed, reported } => {
                self.start(*epochs, [*steps, *steps_per_epoch, *resumed], *reported);
            }
            Event::Step { epoch, step, in_epoch, loss } => self.step(*epoch, *step, *in_epoch, *loss),
            Event::Epoch(row) => self.epoch(row),
            Event::Saved { path, checkpoint } => {
                if self.ui.verbose {
                    let what = if *checkpoint { "checkpoint" } else { "weights" };
                    self.line.suspend(|| self.ui.note(&format!("saved {what} {}", shown(path))));
                }
            }
            Event::Warning(text) => self.line.suspend(|| self.ui.warn(text)),
            Event::Interrupted { epoch, step, resumable } => {
                self.line.finish_and_clear();
                self.ui.event(&json!({ "event": "interrupted", "epoch": epoch, "step": step }));
                let on = if *resumable { "; `--resume` goes on from here" } else { "" };
                self.ui.text(&format!("interrupted in epoch {epoch} after step {}{on}", thousands(*step)));
            }
        }
    }
}

/// The `done` event and its line.
pub fn done(ui: &Ui, s: &Summary) {
    let weights = s.weights.as_ref().map(|p| shown(p));
    ui.event(&json!({
        "event": "done", "epochs": s.epochs, "steps": s.steps, "seconds": round(s.seconds), "train": object(&s.train),
        "val": object(&s.val), "test": object(&s.test), "weights": weights,
        "interrupted": s.ended == Ended::Interrupted,
    }));
    let (epochs, steps) = (counted(s.epochs, "epoch"), counted(s.steps, "step"));
    let how = match s.ended {
        Ended::Complete => "done",
        Ended::Patience => "done early, without improvement",
        Ended::Interrupted => "stopped",
    };
    let mut phrases = vec![format!("{how}: {epochs}"), format!("{steps} in {}", seconds(s.seconds))];
    for (part, values) in [("val", &s.val), ("test", &s.test)] {
        phrases.extend(values.iter().map(|(name, x)| format!("{part} {name} {}", short(*x))));
    }
    phrases.extend(weights.map(|w| format!("weights in {w}")));
    ui.text(&ui.flow(&phrases, ui.width()));
}

/// A path without the `./` that says nothing.
fn shown(path: &std::path::Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// The learning rate as JSON, in events and logs: a number, or numbers by optimizer where there are several.
pub fn rate(rates: &[(String, f64)]) -> Value {
    // It is an f32; its shortest form has no digits that nobody wrote.
    let number = |x: f64| json!((x as f32).to_string().parse::<f64>().unwrap_or(x));
    match rates {
        [] => Value::Null,
        [(_, x)] => number(*x),
        all => Value::Object(all.iter().map(|(n, x)| (n.clone(), number(*x))).collect()),
    }
}

/// Metrics by name; what is not finite is a string, since JSON has no word for it.
pub fn object(values: &Values) -> Value {
    let entry = |(name, x): &(String, f64)| (name.clone(), if x.is_finite() { json!(x) } else { json!(x.to_string()) });
    Value::Object(values.iter().map(entry).collect::<Map<_, _>>())
}

fn round(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_measures_the_epoch_and_fits_the_terminal() {
        let at =
            At { epoch: 3, epochs: Some(40), in_epoch: 469, per_epoch: 938, loss: 0.125, speed: 1447.6, left: 75.0 };
        let wide = line(&at, 120, false);
        assert!(wide.contains("━━━━━━━━━━━━────────────  50%"), "{wide}");
        assert!(wide.contains("epoch 3/40") && wide.contains("1,447 steps/s") && wide.contains("1:15 left"), "{wide}");
        for width in [1, 20, 40, 60, 80, 120] {
            let text = line(&at, width, false);
            assert!(text.chars().count() < width.max(2), "{width}: {text}");
        }
        assert!(line(&at, 40, false).starts_with("epoch 3/40  50%  loss 0.1250"));
    }

    #[test]
    fn the_table_leaves_out_what_does_not_fit() {
        let values = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), 0.5)).collect::<Values>();
        let row = EpochRow {
            epoch: 2,
            step: 1876,
            seconds: 1.5,
            train: values(&["loss"]),
            test: values(&["loss", "acc"]),
            ..EpochRow::default()
        };
        let rates = [("lr".to_owned(), 1e-3)];
        let wide = Columns::new(&row, &rates, 4690, None);
        assert_eq!(wide.head(), "epoch   step        lr  train loss  test loss   test acc     time");
        assert_eq!(wide.row(&row, &rates), "    2  1,876     0.001      0.5000     0.5000     0.5000   1.50 s");
        let narrow = Columns::new(&row, &rates, 4690, Some(50));
        assert_eq!(narrow.head(), "epoch  train loss  test loss   test acc");
    }
}
