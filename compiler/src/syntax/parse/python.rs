//! Blocks after a colon, by indentation, as Python writes them.
//!
//! In: an item whose parse stopped at such a block. Out: the message, and the edits to braces if the block parses with
//! them: `:` becomes `{`, a line that comes back closes it, `elif` is `else if`, `range(n)` is `0..n`, `return` goes.

use super::mend::{Broken, Edits, Outcome, Said};
use crate::diag::{Edit, edited};
use crate::source::Span;
use crate::syntax::foreign;
use crate::syntax::tokens::Kind;
use std::ops::Range;

const HEADS: &[&str] = &["if", "elif", "else", "for", "def", "fn", "with", "try"];

/// A block whose head is the line where the parser stopped.
pub(super) fn block(b: &Broken) -> Option<Said> {
    let head = b.line_start(b.at);
    let word = b.text(head);
    let start = b.source[..b.range(head).start].rfind('\n').map_or(0, |n| n + 1);
    let found = match word {
        "def" => b.at == head + 1,
        // A type may follow the colon, which is another mistake.
        "fn" => b.text(b.at) == ":" && code(line_at(b.source, start)).trim_end().ends_with(':'),
        w => HEADS.contains(&w) && b.text(b.at) == ":",
    };
    if !found || !code(line_at(b.source, start)).contains(':') {
        return None;
    }
    let end = extent(b.source, start);
    let whole = Broken::new(b.file, b.source, b.item.start..b.item.end.max(end), b.range(b.at).start);
    let edits = braces(&whole, start..end);
    let said = if word == "def" {
        Said::new("block", b.range(head), "there is no `def`").label("a function is `fn`, its body stands in `{ }`")
    } else {
        let message = format!("the block of `{word}` stands in `{{ }}`, not after `:`");
        Said::new("block", b.range(b.at), message).label("expected `{`")
    };
    let said = Said { until: end, ..said };
    Some(if whole.outcome(&edits) == Outcome::Parses {
        let lines = Span { file: b.file, start: start as u32, end: end as u32 };
        let moved = |r: &Range<usize>| Span { start: (r.start - start) as u32, end: (r.end - start) as u32, ..lines };
        let new: Vec<Edit> = edits.iter().map(|(r, text)| Edit::replace(moved(r), text.as_str())).collect();
        let new = edited(&b.source[start..end], &new);
        let help = match new.trim() {
            line if foreign::shown(line, "") == line => format!("write `{line}`"),
            _ => "write it with braces".to_owned(),
        };
        edits.into_iter().fold(said.help(help), |s, (at, text)| s.edit(at, text))
    } else {
        said.help(match word {
            "def" | "fn" => "write it like `fn f(x: [B, N]) -> [B, N] { relu(x) }`",
            "for" => "write it like `for i in 0..10 { x = x + 1 }`",
            _ => "write it like `if a > 0 { a } else { 0 }`",
        })
    })
}

/// Where the block ends whose head is the line of a token; 0 if that line does not end in a colon.
pub(super) fn end_of_block(b: &Broken, tok: usize) -> usize {
    let start = b.source[..b.range(tok).start].rfind('\n').map_or(0, |n| n + 1);
    if code(line_at(b.source, start)).ends_with(':') { extent(b.source, start) } else { 0 }
}

fn line_at(source: &str, start: usize) -> &str {
    source[start..].split('\n').next().unwrap_or("")
}

/// A line without its comment and the blanks at its end.
fn code(line: &str) -> &str {
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == '#' && !quoted
    });
    line[..end.unwrap_or(line.len())].trim_end()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn first_word(line: &str) -> &str {
    line.trim_start().split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or("")
}

/// Where the block ends whose head begins at an offset: its lines are indented, or go on with `else`.
fn extent(source: &str, start: usize) -> usize {
    let head = line_at(source, start);
    let own = indent(head);
    let (mut end, mut at) = (start + code(head).len(), start + head.len() + 1);
    while at < source.len() {
        let line = line_at(source, at);
        let text = code(line);
        let goes_on = matches!(first_word(text), "else" | "elif" | "except") && indent(line) == own;
        if !text.trim().is_empty() {
            if indent(line) <= own && !goes_on {
                break;
            }
            end = at + text.len();
        }
        at += line.len() + 1;
    }
    end
}

/// The edits that put the blocks of some lines in braces.
fn braces(b: &Broken, lines: Range<usize>) -> Edits {
    let mut edits: Edits = vec![];
    let mut open: Vec<usize> = vec![];
    let (mut last, mut at, mut function) = (lines.start, lines.start, false);
    while at < lines.end {
        let line = line_at(b.source, at);
        let text = code(line);
        let (begin, end) = (at + indent(line), at + text.len());
        at += line.len() + 1;
        if text.trim().is_empty() {
            continue;
        }
        close(&mut open, indent(line), last, &mut edits);
        let word = first_word(text);
        let after = text.trim_start()[word.len()..].trim_start();
        if HEADS.contains(&word)
            && let Some(colon) = colon(b, begin..end)
        {
            match word {
                "elif" => edits.push((begin..begin + 4, "else if".into())),
                "def" => edits.push((begin..begin + 3, "fn".into())),
                _ => {}
            }
            function |= matches!(word, "def" | "fn");
            let body = &b.source[colon + 1..end];
            if body.trim().is_empty() {
                edits.push((colon..colon + 1, " {".into()));
                open.push(indent(line));
            } else {
                let blanks = body.len() - body.trim_start().len();
                let gone = body.trim_start().strip_prefix("return ").map_or(blanks, |e| body.len() - e.len());
                edits.push((colon..colon + 1 + gone, " { ".into()));
                edits.push((end..end, " }".into()));
            }
        } else if word == "return" {
            edits.push((begin..begin + "return".len() + usize::from(!after.is_empty()), String::new()));
        } else if function && !word.is_empty() && after.starts_with('=') && !after.starts_with("==") {
            edits.push((begin..begin, "let ".into()));
        }
        ranges(b, begin..end, &mut edits);
        last = end;
    }
    close(&mut open, 0, last, &mut edits);
    edits
}

/// Closes the blocks that a line at a column is outside of.
fn close(open: &mut Vec<usize>, column: usize, at: usize, edits: &mut Edits) {
    let mut text = String::new();
    while let Some(o) = open.pop_if(|o| *o >= column) {
        text += &format!("\n{}}}", " ".repeat(o));
    }
    if !text.is_empty() {
        edits.push((at..at, text));
    }
}

/// The colon that ends a head: outside of brackets.
fn colon(b: &Broken, within: Range<usize>) -> Option<usize> {
    let mut depth = 0;
    b.toks.iter().filter(|t| within.contains(&t.start)).find_map(|t| {
        match t.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        (depth == 0 && &b.source[t.start..t.end] == ":").then_some(t.start)
    })
}

/// `range(n)` is `0..n`, `range(a, n)` is `a..n`.
fn ranges(b: &Broken, within: Range<usize>, edits: &mut Edits) {
    for i in (0..b.toks.len()).filter(|i| within.contains(&b.toks[*i].start)) {
        if b.text(i) != "range" || b.text(i + 1) != "(" {
            continue;
        }
        let inside = |k: &usize| b.open(*k) == Some(i + 1);
        let Some(close) = (i + 2..b.toks.len()).find(|k| b.text(*k) == ")" && inside(k)) else { continue };
        let commas: Vec<usize> = (i + 2..close).filter(|k| b.text(*k) == "," && inside(k)).collect();
        let head = b.range(i).start..b.range(i + 1).end;
        match commas[..] {
            [] => edits.push((head, "0..".into())),
            [one] => {
                edits.push((head, String::new()));
                edits.push((b.range(one).start..b.range(one + 1).start, "..".into()));
            }
            _ => continue,
        }
        edits.push((b.range(close), String::new()));
    }
}
