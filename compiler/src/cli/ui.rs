//! What a person or a program sees: text, tables, progress bars, JSON lines.
//!
//! In: facts from commands. Out: with `--json`, JSON lines on standard output and text on standard error; without,
//! text on standard output and progress on standard error. Nothing else in the compiler prints.

use super::out;
use crate::cli::args::{Color, Common};
use crate::codes;
use crate::diag::{Diagnostic, Severity};
use crate::report;
use crate::source::SourceMap;
use nn_runtime::error::DataError;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where output goes and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// JSON lines on standard output.
    pub json: bool,
    /// Only errors and results.
    pub quiet: bool,
    /// Timings of passes.
    pub verbose: bool,
    /// Colors.
    pub color: bool,
}

impl Ui {
    /// As the options ask.
    pub fn new(common: &Common) -> Self {
        let color = match common.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Ui { json: common.json, quiet: common.quiet, verbose: common.verbose, color }
    }

    /// A JSON line, if asked for.
    pub fn event(&self, value: &Value) {
        if self.json {
            out::line(&value.to_string());
        }
    }

    /// Text for people that is the result of the command.
    pub fn text(&self, text: &str) {
        if self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        } else {
            out::line(text);
        }
    }

    /// Text for people that `--quiet` leaves out.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.text(text);
        }
    }

    /// Text for people that is no result: always on standard error.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
        }
    }

    /// Findings about the program; true if any is an error.
    pub fn diagnostics(&self, diags: &[Diagnostic], sources: &SourceMap) -> bool {
        for d in diags {
            self.event(&report::json(d, sources));
        }
        let shown: Vec<Diagnostic> =
            diags.iter().filter(|d| !self.quiet || d.severity == Severity::Error).cloned().collect();
        if !shown.is_empty() {
            let _ = write!(std::io::stderr().lock(), "{}", report::render(&shown, sources, self.color));
        }
        // An error needs it more than a warning.
        if let Some(d) = shown.iter().min_by_key(|d| std::cmp::Reverse(d.severity)) {
            self.point(d.code);
        }
        diags.iter().any(|d| d.severity == Severity::Error)
    }

    /// An error with no place in the program.
    pub fn error(&self, code: &str, message: &str) {
        self.event(&json!({
            "event": "diagnostic", "severity": "error", "code": code, "message": message, "spans": [], "help": [],
        }));
        let label = if code.is_empty() { "error".to_owned() } else { format!("error[{code}]") };
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let _ = writeln!(std::io::stderr().lock(), "{label}: {message}");
        self.point(code);
    }

    /// An error about a file.
    pub fn data_error(&self, e: &DataError) {
        self.event(&json!({
            "event": "diagnostic", "severity": "error", "code": e.code, "message": e.message, "spans": [],
            "notes": e.notes, "help": e.help,
        }));
        let _ = writeln!(std::io::stderr().lock(), "error{e}");
        self.point(e.code);
    }

    /// Says where to read more about a code: to people, once a run.
    fn point(&self, code: &str) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !self.json && !self.quiet && codes::find(code).is_some() && !SAID.swap(true, Ordering::Relaxed) {
            let _ = writeln!(std::io::stderr().lock(), "`nnc explain {code}` says more.");
        }
    }

    /// Whether a progress bar makes sense.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// `12,345,678`
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `3.6 MiB`
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut x = n as f64;
    let mut unit = 0;
    while x >= 1024.0 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{x:.1} {}", UNITS[unit]) }
}

/// A table with a header row; columns after the first are right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let mut s = String::new();
        for (i, (cell, w)) in cells.iter().zip(&widths).enumerate() {
            if i == 0 {
                s.push_str(&format!("{cell:<w$}"));
            } else {
                s.push_str(&format!("  {cell:>w$}"));
            }
        }
        s.trim_end().to_owned()
    };
    let mut out = line(header.to_vec());
    out.push('\n');
    out.push_str(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  "));
    for row in rows {
        out.push('\n');
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}
