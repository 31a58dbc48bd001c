//! What a person or a program sees: text, answers, messages, JSON lines.
//!
//! In: facts from commands. Out: with `--json`, JSON lines on standard output and text on standard error; without, answers
//! on standard output, and messages, progress and remarks on standard error. Nothing else in the compiler prints.

use super::args::{Color, Common};
use super::out;
use crate::codes;
use crate::diag::{Diagnostic, Severity};
use crate::report::{self, Look};
use crate::source::SourceMap;
use console::Term;
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
    /// How standard error looks.
    pub look: Look,
    /// Colors on standard output?
    pub color_out: bool,
}

impl Ui {
    /// As the options and the environment ask.
    pub fn new(common: &Common) -> Self {
        Ui::of(common.color, common.json, common.quiet, common.verbose)
    }

    fn of(color: Color, json: bool, quiet: bool, verbose: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0");
        let color = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !set("NO_COLOR") && (forced || terminal && !dumb),
        };
        Ui {
            json,
            quiet,
            verbose,
            look: Look { color: color(std::io::stderr().is_terminal()), ascii: dumb },
            color_out: color(std::io::stdout().is_terminal()),
        }
    }

    /// Of a command that compiles nothing.
    pub fn plain(color: Color, json: bool) -> Self {
        Ui::of(color, json, false, false)
    }

    /// A JSON line, if asked for.
    pub fn event(&self, value: &Value) {
        if self.json {
            out::line(&value.to_string());
        }
    }

    /// Text for people that is the answer of the command.
    pub fn text(&self, text: &str) {
        if self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        } else {
            out::line(text);
        }
    }

    /// Text that goes with the answer and that `--quiet` leaves out.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.text(text);
        }
    }

    /// A remark that is no part of the answer: on standard error, and not with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Something that is to be known but stops nothing.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.headline(Severity::Warning, "", text);
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
            let text = report::render(&shown, sources, self.look);
            let _ = write!(std::io::stderr().lock(), "{}", folded(&text, self.width_err(), "  "));
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
        self.headline(Severity::Error, code, message.strip_prefix("error: ").unwrap_or(message));
        self.point(code);
    }

    /// The event of what is wrong with the command line; its text is the parser's.
    pub fn usage(&self, text: &str) {
        let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let message: Vec<&str> = message.strip_prefix("error: ").unwrap_or(message).split_whitespace().collect();
        let help: Vec<&str> = rest.lines().filter_map(|l| l.trim().strip_prefix("tip: ")).collect();
        self.event(&json!({
            "event": "diagnostic", "severity": "error", "code": "", "message": message.join(" "), "spans": [],
            "help": help,
        }));
    }

    /// An error about a file.
    pub fn data_error(&self, e: &DataError) {
        self.event(&json!({
            "event": "diagnostic", "severity": "error", "code": e.code, "message": e.message, "spans": [],
            "notes": e.notes, "help": e.help,
            "place": { "file": e.place.file, "row": e.place.row, "column": e.place.column },
        }));
        self.headline(Severity::Error, e.code, &e.message);
        let mut err = std::io::stderr().lock();
        for (word, lines) in [("note", &e.notes), ("help", &e.help)] {
            for l in lines {
                let _ = write!(err, "{}", folded(&format!("  {word}: {l}\n"), self.width_err(), "  "));
            }
        }
        self.point(e.code);
    }

    /// Says where to read more about a code: to people, once a run.
    fn point(&self, code: &str) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !self.json && !self.quiet && codes::find(code).is_some() && !SAID.swap(true, Ordering::Relaxed) {
            let _ = writeln!(std::io::stderr().lock(), "`nnc explain {code}` says more.");
        }
    }

    fn headline(&self, severity: Severity, code: &str, message: &str) {
        let text = report::headline(severity, code, message, self.look.color) + "\n";
        let _ = write!(std::io::stderr().lock(), "{}", folded(&text, self.width_err(), "  "));
    }

    /// Whether a line that moves makes sense.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.look.ascii && std::io::stderr().is_terminal()
    }

    /// Columns of the terminal that answers go to; none of a file or pipe.
    pub fn width(&self) -> Option<usize> {
        if self.json { self.width_err() } else { columns(&Term::stdout()) }
    }

    /// Columns of the terminal that remarks go to.
    pub fn width_err(&self) -> Option<usize> {
        columns(&Term::stderr())
    }

    /// Phrases in a row, broken where the terminal ends; a pipe gets one line.
    pub fn flow(&self, phrases: &[String], width: Option<usize>) -> String {
        flow(phrases, width)
    }

    /// Text of less weight: rules, units.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Text of more weight: heads of tables.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        let color = if self.json { self.look.color } else { self.color_out };
        if color && !text.trim().is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// [`table`] with a head of more weight. Where the terminal is too narrow, columns go in the order given.
    pub fn table(&self, header: &[&str], rows: &[Vec<String>], spare: &[usize]) -> String {
        let text = fitting(header, rows, spare, self.width());
        match text.split_once('\n') {
            Some((head, rest)) => format!("{}\n{rest}", self.bold(head)),
            None => self.bold(&text),
        }
    }
}

/// [`table`] without as many of the spare columns as it takes to fit the width.
fn fitting(header: &[&str], rows: &[Vec<String>], spare: &[usize], width: Option<usize>) -> String {
    let mut text = table(header, rows);
    for n in 1..=spare.len() {
        if width.is_none_or(|w| text.lines().all(|l| l.chars().count() <= w)) {
            break;
        }
        let stays = |i: &usize| !spare[..n].contains(i);
        let head: Vec<&str> = (0..header.len()).filter(stays).map(|i| header[i]).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|r| (0..r.len()).filter(stays).map(|i| r[i].clone()).collect()).collect();
        text = table(&head, &rows);
    }
    text
}

/// A table with a header row. Columns of numbers are right-aligned, those of words left-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    let mut words = vec![false; header.len()];
    for row in rows {
        for (i, cell) in row.iter().enumerate().take(header.len()) {
            widths[i] = widths[i].max(cell.chars().count());
            words[i] |= cell.starts_with(|c: char| c.is_alphabetic() || c == '[');
        }
    }
    let line = |cells: Vec<&str>| {
        let mut s = String::new();
        for (i, (cell, w)) in cells.iter().zip(&widths).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            s.push_str(&if i == 0 || words[i] { format!("{gap}{cell:<w$}") } else { format!("{gap}{cell:>w$}") });
        }
        s.trim_end().to_owned()
    };
    let mut out = line(header.to_vec());
    for row in rows {
        out.push('\n');
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

fn columns(term: &Term) -> Option<usize> {
    term.is_term().then(|| usize::from(term.size().1))
}

/// Text with its long sentences broken between words, where the terminal ends: headlines, notes and helps, also behind a
/// frame. Lines after a sentence's first begin with `hang`. What shows a program stays as it is.
pub fn folded(text: &str, width: Option<usize>, hang: &str) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let plain = console::strip_ansi_codes(line);
        // A frame, `note`, a number where there are several, a colon.
        let frame = plain.find(|c| c != ' ' && c != '\u{2502}' && c != '|').map(|i| plain.split_at(i));
        let word = frame.filter(|(_, rest)| ["note", "help"].iter().any(|w| rest.starts_with(w)));
        let before = word.and_then(|(frame, rest)| {
            let (word, number) = rest.split_once(": ")?.0.split_at(4);
            let plain = number.chars().all(|c| c == ' ' || c.is_ascii_digit());
            plain.then_some((frame, word.len() + number.len() + 2))
        });
        let next = match before {
            Some((frame, word)) => format!("{frame}{}", " ".repeat(word)),
            None if plain.starts_with(|c: char| c.is_alphabetic() || c == '`') => hang.to_owned(),
            None => {
                out.push_str(line);
                continue;
            }
        };
        fold(line, &next, width, &mut out);
    }
    out
}

/// One line, colors and all; lines after it begin with `next`.
fn fold(line: &str, next: &str, width: usize, out: &mut String) {
    let mut at = 0;
    for word in line.split_inclusive(' ') {
        let n = console::measure_text_width(word.trim_end());
        if at > next.chars().count() && at + n > width {
            // No blank at the end of a line.
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(next);
            at = next.chars().count();
        }
        out.push_str(word);
        at += console::measure_text_width(word.trim_end_matches('\n'));
    }
}

/// Phrases with commas between them; a new line, indented, for one that would pass the width.
fn flow(phrases: &[String], width: Option<usize>) -> String {
    let (mut out, mut line) = (String::new(), 0);
    for (i, p) in phrases.iter().enumerate() {
        let n = p.chars().count();
        if i > 0 {
            // The comma behind this phrase takes a place as well.
            let fits = width.is_none_or(|w| line + 2 + n < w);
            out.push_str(if fits { ", " } else { ",\n  " });
            line = if fits { line + 2 } else { 2 };
        }
        out.push_str(p);
        line += n;
    }
    out
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

/// `1 step`, `1,447 steps`
pub fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// `3.6 MiB`
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `3.0 M` of anything: operations.
pub fn large(n: u64) -> String {
    scaled(n as f64, 1000.0, &["", "k", "M", "G", "T"]).trim_end().to_owned()
}

fn scaled(mut x: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be shown as 1000 or more of a unit is one of the next.
    while x >= base - 0.05 && unit + 1 < units.len() {
        x /= base;
        unit += 1;
    }
    let digits = if unit == 0 || x >= 99.95 { 0 } else { 1 };
    format!("{x:.digits$} {}", units[unit])
}

/// A duration with three digits: `12.3 ms`, `4.56 s`, `2:05 min`, `3:20:00 h`.
pub fn seconds(s: f64) -> String {
    if s < 0.0995 {
        let ms = s * 1e3;
        format!("{ms:.digits$} ms", digits = if ms < 9.95 { 2 } else { 1 })
    } else if s < 0.9995 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 99.95 {
        format!("{s:.digits$} s", digits = if s < 9.995 { 2 } else { 1 })
    } else {
        let s = s.round() as u64;
        match (s / 3600, s / 60 % 60, s % 60) {
            (0, m, s) => format!("{m}:{s:02} min"),
            (h, m, s) => format!("{h}:{m:02}:{s:02} h"),
        }
    }
}

/// A loss or metric in five digits.
pub fn short(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&x.abs()) {
        // Below one a digit less: four that tell something.
        let above = x.abs().log10().floor() as i32;
        let digits = if above < 0 { 3 - above } else { 4 - above }.max(0) as usize;
        format!("{x:.digits$}")
    } else {
        format!("{x:.4e}")
    }
}

/// A number that somebody chose, as it would be written: `0.001`, `3e-5`.
pub fn chosen(x: f64) -> String {
    // The nearest f32 is what is meant; its shortest form has no digits that nobody wrote.
    let x = x as f32;
    if x == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e6).contains(&x.abs()) {
        format!("{x}")
    } else {
        format!("{x:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_by_leaving_out_columns() {
        let rows = [vec!["a".to_owned(), "Linear".to_owned(), "10,000".to_owned()]];
        let at = |width| fitting(&["layer", "kind", "size"], &rows, &[1], width);
        assert_eq!(at(None), "layer  kind      size\na      Linear  10,000");
        assert_eq!(at(Some(21)), at(None));
        assert_eq!(at(Some(20)), "layer    size\na      10,000");
    }

    #[test]
    fn sentences_break_between_words_and_programs_do_not() {
        let text = "error[E0411]: d.csv: line 7 has 1 cell, expected 3, which is the number of names in the first line\n    \u{2502} \
                    help: every row has a cell for each name; empty cells are written as nothing between two commas\n 11 \u{2502} \
                    let x = a_very_long_line_of_a_program(with, many, arguments, one, after, another, on, one, line)\n  note 12: \
                    many words of a note that has a number, since it is one of several, and that fills more than a line\n  \
                    note: short\n";
        assert_eq!(folded(text, None, "  "), text);
        for width in [40, 80] {
            let out = folded(text, Some(width), "  ");
            let (code, words): (Vec<&str>, Vec<&str>) = out.lines().partition(|l| l.contains("let x"));
            assert!(code.len() == 1 && text.contains(code[0]), "{out}");
            assert!(words.iter().all(|l| l.chars().count() <= width && l.trim_end() == *l), "{out}");
            assert!(words.iter().filter(|l| l.starts_with("    \u{2502} ")).count() >= 2, "{out}");
            assert!(words.iter().any(|l| l.starts_with("           ")), "{out}");
            let joined = |s: &str| s.replace('\u{2502}', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(joined(&out), joined(text));
        }
    }

    #[test]
    fn phrases_break_at_the_edge_and_only_there() {
        let phrases = ["done: 6 epochs", "270 steps in 220 ms", "test loss 0.2254"].map(str::to_owned);
        assert_eq!(flow(&phrases, None), "done: 6 epochs, 270 steps in 220 ms, test loss 0.2254");
        assert_eq!(flow(&phrases, Some(80)), flow(&phrases, None));
        let narrow = flow(&phrases, Some(40));
        assert_eq!(narrow, "done: 6 epochs, 270 steps in 220 ms,\n  test loss 0.2254");
        assert!(narrow.lines().all(|l| l.len() < 40));
    }

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        assert_eq!(
            [thousands(0), thousands(999), thousands(1000), thousands(1234567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([counted(1, "step"), counted(1447, "step"), counted(0, "row")], ["1 step", "1,447 steps", "0 rows"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(3_800_000)], ["0 B", "1023 B", "1.0 KiB", "3.6 MiB"]);
        assert_eq!([large(0), large(950), large(2_345), large(999_960)], ["0", "950", "2.3 k", "1.0 M"]);
        assert_eq!([bytes(594_842), bytes(102_000)], ["581 KiB", "99.6 KiB"]);
        let times = [0.000_35, 0.0123, 0.25, 1.0, 45.67, 125.0, 12_000.0].map(seconds);
        assert_eq!(times, ["0.35 ms", "12.3 ms", "250 ms", "1.00 s", "45.7 s", "2:05 min", "3:20:00 h"]);
        let values = [0.0, 0.5, 0.005612, 1.0, 12.345678, 123456.0, 1e-4, -2.5].map(short);
        assert_eq!(values, ["0", "0.5000", "0.005612", "1.0000", "12.346", "1.2346e5", "1.0000e-4", "-2.5000"]);
        assert_eq!([1e-3, 3e-4, 0.0, 1.0, f64::from(1e-2f32)].map(chosen), ["0.001", "3e-4", "0", "1", "0.01"]);
    }
}
