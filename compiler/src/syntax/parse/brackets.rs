//! Brackets and strings that do not end: the edit that ends them, if one can be found.
//!
//! In: an error of the layout and the item that it lies in. Out: the error with an edit after which the item parses.

use super::mend::{Broken, Edits, Outcome};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::tokens::Kind;
use std::ops::Range;

/// Adds the edit to an error.
pub(super) fn mend(d: Diagnostic, b: &Broken) -> Diagnostic {
    let Some(at) = d.labels.first().map(|l| l.span.start as usize..l.span.end as usize) else { return d };
    let candidates: Vec<(String, Edits)> = match d.code {
        "E0004" => {
            let quote = |p: usize| ("close it with `\"`".to_owned(), vec![(p..p, "\"".to_owned())]);
            let line = b.source[at.start..].find('\n').map_or(b.source.len(), |n| at.start + n);
            ends(b, line).into_iter().map(quote).collect()
        }
        "E0005" => brackets(&d, b, at),
        _ => return d,
    };
    let span = |r: &Range<usize>| Span { file: b.file, start: r.start as u32, end: r.end as u32 };
    match candidates.into_iter().find(|(_, edits)| b.outcome(edits) == Outcome::Parses) {
        Some((help, edits)) => {
            d.fix(help, edits.iter().map(|(r, t)| Edit::replace(span(r), t.as_str())).collect::<Vec<_>>())
        }
        None => d,
    }
}

/// Where a string may end: at the end of the line, or before the brackets and commas there.
fn ends(b: &Broken, end: usize) -> Vec<usize> {
    let mut out = vec![];
    let mut text = b.source[..end].trim_end();
    loop {
        out.push(text.len());
        match text.strip_suffix([')', ']', '}', ',', ' ']) {
            Some(rest) if out.len() < 8 => text = rest,
            _ => return out,
        }
    }
}

fn brackets(d: &Diagnostic, b: &Broken, at: Range<usize>) -> Vec<(String, Edits)> {
    let closes = b.source[at.clone()].starts_with([')', ']', '}']);
    match d.labels.get(1) {
        Some(open) if closes => {
            let want = closer(&b.source[open.span.start as usize..open.span.end as usize]);
            vec![
                (format!("put a `{want}` before it"), vec![(at.start..at.start, want.into())]),
                (format!("write `{want}`"), vec![(at.clone(), want.into())]),
                ("remove it".into(), vec![(at, String::new())]),
            ]
        }
        _ if closes => vec![("remove it".into(), vec![(at, String::new())])],
        _ => {
            let want = closer(&b.source[at.clone()]);
            let own = b.toks.partition_point(|t| t.start < at.start);
            let end = line_end(b, own);
            let mut all = vec![(format!("close it with `{want}`"), vec![(end..end, want.to_owned())])];
            all.extend(unclosed(b));
            all
        }
    }
}

/// The end of the last token on the line of a token.
fn line_end(b: &Broken, i: usize) -> usize {
    let next = (i + 1..=b.toks.len()).find(|k| b.breaks(*k)).unwrap_or(b.toks.len());
    b.range(next.saturating_sub(1)).end
}

fn closer(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// Closes all that is open at the end of an item: round and square brackets on their line or at the end, braces below.
fn unclosed(b: &Broken) -> Vec<(String, Edits)> {
    let mut open: Vec<usize> = vec![];
    for i in 0..b.toks.len() {
        match b.toks[i].kind {
            Kind::Open => open.push(i),
            Kind::Close => drop(open.pop()),
            _ => {}
        }
    }
    let end = b.range(b.toks.len()).end;
    let all = |on_line: bool| -> Edits {
        let mut edits: Edits = vec![];
        // What is opened last is closed first.
        for i in open.iter().rev() {
            let brace = b.text(*i) == "{";
            let at = if on_line && !brace { line_end(b, *i) } else { end };
            let text = match brace {
                true if b.source[b.range(*i).start..end].contains('\n') => "\n}",
                true => " }",
                false => closer(b.text(*i)),
            };
            match edits.iter_mut().find(|e| e.0.start == at) {
                Some(e) => e.1 += text,
                None => edits.push((at..at, text.into())),
            }
        }
        edits
    };
    let shown: Vec<String> = open.iter().rev().map(|i| format!("`{}`", closer(b.text(*i)))).collect();
    let help = format!("close it with {}", shown.join(" and "));
    vec![(help.clone(), all(true)), (help, all(false))]
}
