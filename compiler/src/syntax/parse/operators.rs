//! Operators of other languages, and `=` where it does not belong.
//!
//! In: an item and the place where the parser stopped. Out: what to say about the operator there, as for all `habits`.

use super::mend::{Broken, Said};
use crate::syntax::foreign;
use crate::syntax::tokens::Kind;
use std::ops::Range;

/// `c ? a : b` and `a if c else b`
pub(super) fn choice(b: &Broken) -> Option<Said> {
    let t = b.text(b.at);
    if t != "?" && (t != "if" || b.first) {
        return None;
    }
    let own = b.open(b.at);
    let here = |i: usize| b.open(i) == own;
    let begins = |i: &usize| Some(*i) == own || (here(*i) && matches!(b.text(*i), "=" | "," | ":" | ";" | "~" | "+="));
    let line = b.line_start(b.at);
    let start = (line..b.at).rev().find(begins).map_or(line, |i| i + 1);
    let mid = if t == "?" { ":" } else { "else" };
    let middle = (b.at + 1..b.toks.len()).find(|i| here(*i) && b.text(*i) == mid)?;
    // A bracket that closes what is open at the place stands outside of it.
    let closes = |i: usize| b.kind(i) == Some(Kind::Close) && here(i);
    let ends = |i: usize| {
        closes(i) && !opened_after(b, middle, i) || (here(i) && matches!(b.text(i), "," | ";")) || b.breaks(i)
    };
    let end = (middle + 2..=b.toks.len()).find(|i| ends(*i))?;
    let text =
        |from: usize, to: usize| if from < to { &b.source[b.range(from).start..b.range(to - 1).end] } else { "" };
    let (x, y, z) = (text(start, b.at), text(b.at + 1, middle), text(middle + 1, end));
    if x.is_empty() || y.is_empty() || z.is_empty() {
        return None;
    }
    let (c, yes) = if t == "?" { (x, y) } else { (y, x) };
    let new = format!("if {c} {{ {yes} }} else {{ {z} }}");
    let message = if t == "?" { "there is no `? :`" } else { "the condition of a choice comes first" };
    Some(
        Said::new("choice", b.range(b.at), message)
            .label("a choice is `if c { a } else { b }`")
            .help(format!("write `{}`", foreign::shown(&new, "if .. { .. } else { .. }")))
            .edit(b.range(start).start..b.range(end - 1).end, new),
    )
}

/// Whether the bracket that a token closes was opened after another token.
fn opened_after(b: &Broken, after: usize, close: usize) -> bool {
    b.open(close).is_some_and(|o| o > after)
}

/// `if a = b`, `x := 1`, `x /= 2`
pub(super) fn assigns(b: &Broken) -> Option<Said> {
    let at = b.range(b.at);
    if b.text(b.at) == ":" && b.text(b.at + 1) == "=" && b.touch(b.at + 1) {
        let both = at.start..b.range(b.at + 1).end;
        return Some(no(b, both).help("write `=`").edit(at, ""));
    }
    if b.text(b.at) == ">" && b.before(1) == "=" && b.touch(b.at) {
        return lambda(b, b.at - 1);
    }
    if b.text(b.at) != "=" {
        return None;
    }
    if b.text(b.at + 1) == ">" && b.touch(b.at + 1) {
        return lambda(b, b.at);
    }
    let op = b.before(1);
    if b.touch(b.at) && op == ":" {
        let colon = b.range(b.at - 1);
        return Some(no(b, colon.start..at.end).help("write `=`").edit(colon, ""));
    }
    if b.touch(b.at) && matches!(op, "/" | "%" | "@" | "//" | "**") {
        let target = b.between(b.line_start(b.at), b.at - 1);
        let whole = b.range(b.at - 1).start..at.end;
        return Some(
            no(b, whole.clone())
                .help(format!("write `{target} = {target} {op} ..`"))
                .edit(whole, format!("= {target} {op}")),
        );
    }
    let said = Said::new("equals", at.clone(), "`=` gives a name its value and is no part of an expression");
    Some(said.label("`==` compares").help("write `==`").edit(at, "=="))
}

fn no(b: &Broken, at: Range<usize>) -> Said {
    let old = &b.source[at.clone()];
    Said::new("operator", at, format!("there is no operator `{old}`"))
}

/// `&&`, `||`, `!x`, `x^2`, `x++` and the like
pub(super) fn other(b: &Broken) -> Option<Said> {
    let stop = b.range(b.at).start;
    let rest = &b.source[stop..b.item.end.max(stop)];
    let spaced = |at: &Range<usize>, text: &str| {
        let left = if b.source[..at.start].ends_with([' ', '\n', '(']) { "" } else { " " };
        let right = if b.source[at.end..].starts_with([' ', '\n']) { "" } else { " " };
        format!("{left}{text}{right}")
    };
    for (old, new) in [("&&", "and"), ("||", "or"), ("<>", "!=")] {
        if rest.starts_with(old) {
            let at = stop..stop + old.len();
            return Some(
                no(b, at.clone())
                    .label(format!("it is `{new}`"))
                    .help(format!("write `{new}`"))
                    .edit(at.clone(), spaced(&at, new)),
            );
        }
    }
    for (old, first, new) in [("===", "==", "=="), ("<>", "<", "!=")] {
        let start = stop.saturating_sub(first.len());
        if b.source.get(start..).is_some_and(|s| s.starts_with(old)) {
            let at = start..start + old.len();
            return Some(no(b, at.clone()).help(format!("write `{new}`")).edit(at, new));
        }
    }
    if b.text(b.at) == "!" {
        let at = stop..b.range(b.at + 1).start;
        return Some(no(b, stop..stop + 1).label("it is `not`").help("write `not`").edit(at, "not "));
    }
    if b.text(b.at) == "^" {
        return Some(no(b, stop..stop + 1).label("a power is `**`").help("write `**`").edit(stop..stop + 1, "**"));
    }
    // The parser stops at the second `+`, but only behind the second `-`, which could be a sign.
    for (op, second) in [("+", Some(b.at)), ("-", b.at.checked_sub(1))] {
        if let Some(i) = second.filter(|i| *i > 0 && b.text(*i) == op && b.text(i - 1) == op && b.touch(*i)) {
            let at = b.range(i - 1).start..b.range(i).end;
            let new = spaced(&at, &format!("{op}= 1"));
            return Some(no(b, at.clone()).help(format!("write `{op}= 1`")).edit(at, new.trim_end()));
        }
    }
    if rest.starts_with("<-") {
        return Some(
            Said::new("less", stop..stop + 2, "`<-` gives a `state` its next value")
                .label("a comparison with a negative number needs a blank")
                .help("write `< -`")
                .edit(stop..stop + 2, "< -"),
        );
    }
    line_start(b, stop)
}

/// `x => e`, given the token of the `=`; after the head of a function it is `=`.
fn lambda(b: &Broken, equals: usize) -> Option<Said> {
    let at = b.range(equals).start..b.range(equals + 1).end;
    if matches!(b.text(b.line_start(equals)), "fn" | "vjp") {
        return Some(no(b, at.clone()).help("write `=`").edit(at, "="));
    }
    let prev = equals.checked_sub(1)?;
    let start = if b.text(prev) == ")" { b.open(prev)? } else { prev };
    let params = b.between(start, equals).trim_matches(['(', ')']);
    let bars = format!("|{params}|");
    let whole = b.range(start).start..at.end;
    Some(no(b, at).label("a lambda is written with bars").help(format!("write `{bars} ..`")).edit(whole, bars))
}

/// An operator at the start of a line.
fn line_start(b: &Broken, stop: usize) -> Option<Said> {
    let op = b.text(b.at);
    let infix = matches!(op, "+" | "*" | "/" | "//" | "%" | "<" | ">" | "<=" | ">=" | "!=" | "==" | "**" | "@");
    let prev = b.at.checked_sub(1)?;
    if !b.first || !infix {
        return None;
    }
    let end = b.range(prev).end;
    let after = stop + op.len();
    let blank = usize::from(b.source[after..].starts_with(' '));
    Some(
        Said::new("line", stop..after, format!("a line cannot begin with `{op}`"))
            .label("the statement ended with the line before")
            .help(format!("put the `{op}` at the end of the line before"))
            .edit(end..end, format!(" {op}"))
            .edit(stop..after + blank, ""),
    )
}
