//! Diagnostics to what a person or a program reads.
//!
//! In: the sources and [`Diagnostic`]s of any phase. Out: text with the source lines drawn by ariadne, the JSON object of
//! the `diagnostic` event, and the summary line. The wording is the phases'; this module only shows it, whatever the text:
//! control characters are shown as marks and very long lines are cut around the place.

use crate::diag::{Diagnostic, Label, Severity};
use crate::source::{FileId, SourceMap, Span};
use ariadne::{CharSet, Color, Config, IndexType, Report, ReportKind, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// A line longer than this is not drawn whole.
const LONG_LINE: usize = 240;

/// Characters shown on each side of the place in a long line.
const WINDOW: usize = 60;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colors.
    pub color: bool,
    /// Frames of ASCII characters only.
    pub ascii: bool,
}

impl From<bool> for Look {
    fn from(color: bool) -> Look {
        Look { color, ascii: false }
    }
}

/// Renders diagnostics as text for a terminal or a log, each followed by an empty line, and the summary line.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, look: impl Into<Look>) -> String {
    let look = look.into();
    let mut files = Files { sources, cache: BTreeMap::new() };
    let mut out = String::new();
    for d in diagnostics {
        one(&mut files, d, look, &mut out);
        out.push('\n');
    }
    if let Some(line) = summary(diagnostics) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The `diagnostic` event.
pub fn json(d: &Diagnostic, sources: &SourceMap) -> Value {
    let spans: Vec<Value> = d
        .labels
        .iter()
        .filter(|l| known(sources, l.span))
        .map(|l| {
            let mut at = place(sources, l.span);
            at["label"] = json!(l.message);
            at
        })
        .collect();
    let help: Vec<&str> = d.help.iter().map(|h| &*h.message).collect();
    let fixes: Vec<Value> = d
        .help
        .iter()
        .filter(|h| !h.edits.is_empty() && h.edits.iter().all(|e| known(sources, e.span)))
        .map(|h| {
            let edits = h.edits.iter().map(|e| {
                let mut at = place(sources, e.span);
                at["text"] = json!(e.text);
                at
            });
            json!({ "message": h.message, "edits": edits.collect::<Vec<Value>>() })
        })
        .collect();
    json!({
        "event": "diagnostic",
        "severity": severity(d.severity),
        "code": d.code,
        "message": d.message,
        "spans": spans,
        "notes": d.notes,
        "help": help,
        "fixes": fixes,
    })
}

/// A span by lines and columns.
fn place(sources: &SourceMap, span: Span) -> Value {
    let (a, b) = (sources.line_col(span.file, span.start), sources.line_col(span.file, span.end));
    json!({
        "file": &*sources.file(span.file).name,
        "line": a.line, "col": a.col, "end_line": b.line, "end_col": b.col,
    })
}

/// `2 errors, 1 warning`, or nothing when there is neither.
pub fn summary(diagnostics: &[Diagnostic]) -> Option<String> {
    let count = |s| diagnostics.iter().filter(|d| d.severity == s).count();
    let parts: Vec<String> = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}{}", if *n == 1 { "" } else { "s" }))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The first line of every message, of whatever part of the tool: `error[E0101]: these layers do not fit`.
pub fn headline(severity: Severity, code: &str, message: &str, color: bool) -> String {
    let word = self::severity(severity);
    let kind = if code.is_empty() { word.to_owned() } else { format!("{word}[{code}]") };
    if !color {
        return format!("{kind}: {message}");
    }
    let paint = match severity {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Note => 36,
    };
    format!("\x1b[1;{paint}m{kind}\x1b[0m\x1b[1m: {message}\x1b[0m")
}

/// Whether any of them stops a compilation.
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

fn severity(s: Severity) -> &'static str {
    match s {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn known(sources: &SourceMap, span: Span) -> bool {
    (span.file.0 as usize) < sources.files().count()
}

/// The files as ariadne wants them, prepared when first shown.
struct Files<'a> {
    sources: &'a SourceMap,
    cache: BTreeMap<FileId, Source<String>>,
}

impl Files<'_> {
    fn prepare(&mut self, file: FileId) {
        let text = &self.sources.file(file).text;
        self.cache.entry(file).or_insert_with(|| Source::from(visible(text)));
    }

    /// A label's bytes, inside its file and on character boundaries.
    fn range(&self, span: Span) -> Range<usize> {
        let text = &self.sources.file(span.file).text;
        let fit = |at: u32| {
            let mut at = (at as usize).min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = fit(span.start);
        start..fit(span.end).max(start)
    }

    /// Whether a line that a label touches is too long to draw.
    fn long(&self, span: Span) -> bool {
        let text = &self.sources.file(span.file).text;
        let r = self.range(span);
        [r.start, r.end].into_iter().any(|at| line_of(text, at).len() > LONG_LINE)
    }
}

impl ariadne::Cache<FileId> for &mut Files<'_> {
    type Storage = String;

    fn fetch(&mut self, id: &FileId) -> Result<&Source<String>, impl std::fmt::Debug> {
        self.cache.get(id).ok_or("unknown file")
    }

    fn display<'b>(&self, id: &'b FileId) -> Option<impl std::fmt::Display + 'b> {
        Some(escaped(&self.sources.file(*id).name))
    }
}

fn one(files: &mut Files, d: &Diagnostic, look: Look, out: &mut String) {
    let labels: Vec<&Label> = d.labels.iter().filter(|l| known(files.sources, l.span)).collect();
    let drawn = match labels.first() {
        Some(first) if !labels.iter().any(|l| files.long(l.span)) => draw(files, d, first, &labels, look),
        _ => None,
    };
    out.push_str(&headline(d.severity, d.code, &escaped(&d.message), look.color));
    out.push('\n');
    match drawn {
        Some(text) => out.push_str(&text),
        None => plain(files, d, &labels, out),
    }
}

/// The frame that ariadne draws, without its first line; its words for notes and helps as everywhere else.
fn framed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n').skip(1) {
        // Color codes aside, a note or help begins right behind the frame.
        let word = ["Help", "Note"].iter().filter_map(|w| Some((line.find(w)?, *w))).min();
        let begins =
            |at: usize| line[..at].chars().all(|c| !c.is_alphabetic() || c == 'm') && line.contains(['│', '|']);
        match word {
            Some((at, word)) if begins(at) => {
                out.push_str(&line[..at]);
                out.push_str(&word.to_lowercase());
                out.push_str(&line[at + word.len()..]);
            }
            _ => out.push_str(line),
        }
    }
    out
}

fn draw(files: &mut Files, d: &Diagnostic, first: &Label, labels: &[&Label], look: Look) -> Option<String> {
    let (kind, main) = match d.severity {
        Severity::Error => (ReportKind::Error, Color::Red),
        Severity::Warning => (ReportKind::Warning, Color::Yellow),
        Severity::Note => (ReportKind::Custom("Note", Color::Cyan), Color::Cyan),
    };
    let config = Config::default()
        .with_color(look.color)
        .with_index_type(IndexType::Byte)
        .with_char_set(if look.ascii { CharSet::Ascii } else { CharSet::Unicode })
        .with_tab_width(4);
    let mut report =
        Report::build(kind, (first.span.file, files.range(first.span))).with_config(config).with_message("");
    // In order of place, the primary file first: ariadne starts a new frame when a label stands above the one before.
    let mut order: Vec<(usize, &Label)> = labels.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, l)| (l.span.file != first.span.file, l.span.file, l.span.end));
    for (i, l) in order {
        files.prepare(l.span.file);
        let label =
            ariadne::Label::new((l.span.file, files.range(l.span))).with_color(if i == 0 { main } else { Color::Blue });
        // Only labels with a text are underlined; `bare` takes the mark out again.
        let text = if l.message.is_empty() { BARE } else { &l.message };
        report = report.with_label(label.with_message(escaped(text)));
    }
    for n in &d.notes {
        report = report.with_note(escaped(n));
    }
    for h in &d.help {
        report = report.with_help(escaped(&h.message));
    }
    let mut bytes = vec![];
    report.finish().write(files, &mut bytes).ok()?;
    String::from_utf8(bytes).ok().map(|text| bare(&framed(&text)))
}

/// Stands for the text of a label that has none.
const BARE: &str = "\u{e000}";

/// Without the arrows that lead to no text: where a line is underlined for one label alone, the underline is enough.
fn bare(text: &str) -> String {
    let mut out: Vec<String> = vec![];
    for line in text.lines() {
        match out.last_mut() {
            Some(above) if line.contains(BARE) => {
                let alone = above.matches('┬').count() == 1 && !above.contains(char::is_alphanumeric);
                // In ASCII the frame is drawn with the arrow's own character.
                let frame = above.find('|').map_or(0, |i| i + 1);
                let ascii = above[frame..].matches('|').count() == 1 && !above.contains(char::is_alphanumeric);
                if alone && line.contains('╰') {
                    *above = above.replace('┬', "─");
                } else if ascii && line.contains('`') {
                    *above = above[..frame].to_owned() + &above[frame..].replace('|', "^");
                } else {
                    out.push(line.replace(&format!(" {BARE}"), "").replace(BARE, ""));
                }
            }
            _ => out.push(line.to_owned()),
        }
    }
    out.iter().flat_map(|l| [l.as_str(), "\n"]).collect()
}

/// Without ariadne: for diagnostics without a place, and for lines too long to draw.
fn plain(files: &Files, d: &Diagnostic, labels: &[&Label], out: &mut String) {
    for l in labels {
        let text = &files.sources.file(l.span.file).text;
        let r = files.range(l.span);
        let line = line_of(text, r.start);
        let (before, rest) = (&text[line.start..r.start], &text[r.start..line.end]);
        let head: String = before.chars().rev().take(WINDOW).collect::<Vec<_>>().into_iter().rev().collect();
        let tail: String = rest.chars().take(WINDOW).collect();
        let under = text[r.start..r.end.min(line.end)].chars().take(WINDOW).count().max(1);
        let cut = |long: bool| if long { "..." } else { "" };
        let (left, right) = (cut(head.len() < before.len()), cut(tail.len() < rest.len()));
        // Writing to a string does not fail.
        let _ = writeln!(out, "  at {}", escaped(&files.sources.locate(l.span)));
        let _ = writeln!(out, "   | {left}{}{}{right}", visible(&head), visible(&tail));
        let pad = left.len() + head.chars().count();
        let _ = writeln!(out, "   | {}{} {}", " ".repeat(pad), "^".repeat(under), escaped(&l.message));
    }
    for n in &d.notes {
        let _ = writeln!(out, "  note: {}", escaped(n));
    }
    for h in &d.help {
        let _ = writeln!(out, "  help: {}", escaped(&h.message));
    }
}

/// The line around an offset, without its line break.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    start..text[at..].find('\n').map_or(text.len(), |n| at + n)
}

/// A text in which every character that could disturb a terminal is replaced by one of the same length in bytes, so that
/// offsets stay true. What counts as a line break is `\n` alone, as for [`SourceMap`].
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\r' => ' ',
            c if disturbing(c) => match c.len_utf8() {
                1 => '?',
                2 => '\u{bf}',
                _ => '\u{fffd}',
            },
            c => c,
        })
        .collect()
}

/// A message on one line, with control characters written as escapes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if disturbing(c) || c == '\n' || c == '\r' || c == '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters and the marks that reorder or hide text.
fn disturbing(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Edit;

    fn map(text: &str) -> (SourceMap, FileId) {
        let mut m = SourceMap::default();
        let f = m.add("a.nn", text);
        (m, f)
    }

    fn at(file: FileId, start: u32, end: u32) -> Span {
        Span { file, start, end }
    }

    #[test]
    fn text_shows_code_place_label_and_help() {
        let (m, f) = map("let x = 1\nlet y = foo\n");
        let d = Diagnostic::error("E0101", at(f, 18, 21), "unknown name `foo`").here("not defined").help("write `x`");
        let text = render(&[d], &m, false);
        for part in ["error[E0101]: unknown name `foo`", "a.nn:2:9", "let y = foo", "not defined", "help: write `x`"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn an_underline_without_words_has_no_arrow() {
        let (m, f) = map("let x = 1\nlet y = foo\n");
        let d = Diagnostic::error("E0101", at(f, 18, 21), "unknown name `foo`").help("write `x`");
        for (ascii, under, arrow) in [(true, "^^^", "`-"), (false, "───", "╰──")] {
            let text = render(std::slice::from_ref(&d), &m, Look { color: false, ascii });
            assert!(text.contains(under) && !text.contains(&format!("{arrow} ")), "{text}");
            assert!(!text.lines().any(|l| l.trim_end().ends_with(arrow)), "{text}");
        }
    }

    #[test]
    fn color_is_a_switch() {
        let (m, f) = map("x");
        let d = Diagnostic::warning("W0501", at(f, 0, 1), "m");
        assert!(render(std::slice::from_ref(&d), &m, true).contains('\x1b'));
        assert!(!render(&[d], &m, false).contains('\x1b'));
    }

    #[test]
    fn control_characters_reach_no_terminal_and_lines_agree_with_the_source_map() {
        let (m, f) = map("# \x1b[31m \u{85}\u{2028}\x0c\r\nlet y = \u{202e}\n");
        let start = m.file(f).text.find('\u{202e}').unwrap() as u32;
        let d = Diagnostic::error("E0001", at(f, start, start + 3), "bad \x1b[2J thing");
        let text = render(&[d], &m, false);
        assert!(!text.contains(['\x1b', '\u{202e}', '\u{85}', '\x0c', '\r']), "{text:?}");
        assert!(text.contains("a.nn:2:9") && text.contains("bad \\u{1b}[2J thing"), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}HERE{}", "a".repeat(100_000), "b".repeat(100_000));
        let (m, f) = map(&line);
        let d = Diagnostic::error("E0001", at(f, 100_000, 100_004), "m").here("this");
        let text = render(&[d], &m, false);
        assert!(text.len() < 1000, "{}", text.len());
        assert!(text.contains("a.nn:1:100001") && text.contains("^^^^ this"), "{text}");
    }

    #[test]
    fn places_outside_the_file_do_no_harm() {
        let (m, f) = map("é");
        for (file, a, b) in [(f, 1, 1), (f, 5, 9), (f, 2, 1), (FileId(7), 0, 1)] {
            let d = Diagnostic::error("E0001", at(file, a, b), "m");
            assert!(render(std::slice::from_ref(&d), &m, false).contains("E0001"));
            assert_eq!(json(&d, &m)["code"], "E0001");
        }
        assert!(
            render(&[Diagnostic::new("E0003", Severity::Error, None, "m")], &SourceMap::default(), true)
                .contains("E0003")
        );
    }

    #[test]
    fn json_has_the_documented_fields() {
        let (m, f) = map("a\nbc\n");
        let d = Diagnostic::error("E0102", at(f, 0, 4), "m")
            .here("l")
            .help("h")
            .note("n")
            .fix("f", [Edit::replace(at(f, 2, 3), "B")]);
        let want = json!({
            "event": "diagnostic", "severity": "error", "code": "E0102", "message": "m",
            "spans": [{"file": "a.nn", "line": 1, "col": 1, "end_line": 2, "end_col": 3, "label": "l"}],
            "notes": ["n"], "help": ["h", "f"],
            "fixes": [{
                "message": "f",
                "edits": [{"file": "a.nn", "line": 2, "col": 1, "end_line": 2, "end_col": 2, "text": "B"}],
            }],
        });
        assert_eq!(json(&d, &m), want);
    }

    #[test]
    fn a_label_without_text_is_an_underline() {
        let (m, f) = map("let y = foo\n");
        let text = render(&[Diagnostic::error("E0001", at(f, 8, 11), "m")], &m, false);
        assert!(text.contains("let y = foo\n   │         ───") && !text.contains(['╰', '┬']), "{text}");
        let two = Diagnostic::error("E0001", at(f, 8, 11), "m").label(at(f, 4, 5), "y");
        assert!(!render(&[two], &m, true).contains(BARE));
    }

    #[test]
    fn the_summary_counts() {
        let (_, f) = map("");
        let e = Diagnostic::error("E0001", at(f, 0, 0), "m");
        let w = Diagnostic::warning("W0501", at(f, 0, 0), "m");
        assert_eq!(summary(&[e.clone(), w, e]).as_deref(), Some("2 errors, 1 warning"));
        assert_eq!(summary(&[]), None);
    }
}
