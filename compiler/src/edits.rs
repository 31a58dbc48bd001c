//! Edits carried on until the program checks.
//!
//! In: a program's text, what was found in it, and a way to check another text. Out: the findings, with every edit tried:
//! where its own code has a further finding with an edit, the two become one; where that leads nowhere, the words stay
//! without the edit. A rule knows only the place that it speaks of, and what comes after it in the same code is known only
//! once the edit is made. It stands below `report` because it works on findings of every phase, whatever made them.

use crate::diag::{DID_YOU_MEAN, Diagnostic, Edit, Help, Severity, edited, shown};
use crate::source::{FileId, Span};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// So many edits one after another become one.
const STEPS: usize = 4;

/// So many texts are checked for the edits of one program; what is left is shown as it is.
const CHECKS: usize = 60;

/// Tries the edits of findings in the file that a program is.
pub struct Mender<'c> {
    /// The file.
    pub file: FileId,
    /// Its text.
    pub text: &'c str,
    /// What is found in another text of the same file.
    pub check: &'c dyn Fn(&str) -> Vec<Diagnostic>,
    /// No text is checked after so long: findings are not to wait for their edits.
    pub patience: Duration,
}

/// What came of an edit.
enum Outcome {
    /// With these edits nothing is left of the finding. Is nothing else found that was not there before?
    Mends(Vec<Edit>, bool),
    /// It leads to another finding, with its place in the edited text, or to the same one.
    Leads(Option<Span>),
    /// It was not tried.
    Untried,
}

impl Mender<'_> {
    /// The findings, with edits that lead to no further one.
    pub fn mended(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let (start, left) = (Instant::now(), Cell::new(CHECKS));
        let more = || {
            left.set(left.get().saturating_sub(1));
            left.get() > 0 && start.elapsed() <= self.patience
        };
        let mend = |d: &Diagnostic| Diagnostic { help: self.help(d, &found, &more), ..d.clone() };
        found.iter().map(mend).collect()
    }

    fn help(&self, d: &Diagnostic, found: &[Diagnostic], more: &dyn Fn() -> bool) -> Vec<Help> {
        let mut clean = false;
        let mut out = vec![];
        for h in &d.help {
            if h.edits.is_empty() || !self.is_own(&h.edits) {
                out.push((h.clone(), false));
                continue;
            }
            match self.carry_on(d, h.edits.clone(), found, more, STEPS) {
                Outcome::Untried => out.push((h.clone(), false)),
                Outcome::Mends(edits, all) => {
                    clean |= all;
                    let same = edits == h.edits;
                    let h = if same { h.clone() } else { Help { message: said(self.text, h, &edits), edits } };
                    out.push((h, !all));
                }
                // Another name that does not fit where it stands is not what was meant; one that does is, whatever else
                // is wrong with what is made of it.
                Outcome::Leads(at) if h.message.starts_with(DID_YOU_MEAN) => {
                    if at.is_some_and(|at| !regions(&h.edits).contains(&(at.start, at.end))) {
                        out.push((h.clone(), true));
                    }
                }
                Outcome::Leads(_) => out.push((Help::from(&*h.message), true)),
            }
        }
        // Where one way leaves nothing to be said, what is found after another one came of that.
        let mut left: Vec<Help> = vec![];
        for (h, _) in out.into_iter().filter(|(_, leads_on)| !(clean && *leads_on)) {
            if h.edits.is_empty() || !left.iter().any(|l| l.edits == h.edits) {
                left.push(h);
            }
        }
        left
    }

    fn is_own(&self, edits: &[Edit]) -> bool {
        edits.iter().all(|e| e.span.file == self.file)
    }

    fn carry_on(
        &self,
        d: &Diagnostic,
        edits: Vec<Edit>,
        found: &[Diagnostic],
        more: &dyn Fn() -> bool,
        steps: usize,
    ) -> Outcome {
        if !more() {
            return Outcome::Untried;
        }
        let text = edited(self.text, &edits);
        let after = (self.check)(&text);
        let same = |a: &Diagnostic, b: &Diagnostic| (a.code, &a.message) == (b.code, &b.message);
        let count = |list: &[Diagnostic]| list.iter().filter(|f| same(f, d)).count();
        if count(&after) >= count(found) {
            return Outcome::Leads(None);
        }
        let places = regions(&edits);
        // What stands elsewhere was wrong before, and is reached only when this is mended.
        let at = |f: &Diagnostic| f.labels.first().map(|l| l.span).filter(|s| s.file == self.file);
        let here = |f: &Diagnostic| at(f).is_some_and(|s| places.iter().any(|p| s.start <= p.1 && p.0 <= s.end));
        let new = |a: &&Diagnostic| a.severity == Severity::Error && !found.iter().any(|f| f != d && same(f, a));
        // What is said of the code of the edit must be mended with it. What is said of a method of it, or of arguments
        // that it is called with, is, where that is possible.
        let further = |f: &Diagnostic| {
            let base = f.labels.get(1).is_some_and(|l| places.contains(&(l.span.start, l.span.end)));
            base || at(f).is_some_and(|s| places.iter().any(|p| arguments(&text, p.1).is_some_and(|a| within(a, s))))
        };
        let next = after.iter().filter(new).find(|a| here(a)).map(|d| (d, true));
        let next = next.or_else(|| after.iter().filter(new).find(|a| further(a)).map(|d| (d, false)));
        let Some((next, must)) = next else {
            let clean = !after.iter().any(|a| new(&a));
            return Outcome::Mends(edits, clean);
        };
        let mut best = None;
        if steps > 1 {
            for h in next.help.iter().filter(|h| !h.edits.is_empty() && self.is_own(&h.edits)) {
                match self.carry_on(d, joined(self.text, &edits, &text, &h.edits), found, more, steps - 1) {
                    Outcome::Leads(_) => {}
                    Outcome::Mends(edits, false) => best = best.or(Some(edits)),
                    outcome => return outcome,
                }
            }
        }
        match best {
            Some(edits) => Outcome::Mends(edits, false),
            None if must => Outcome::Leads(next.labels.first().map(|l| l.span)),
            None => Outcome::Mends(edits, false),
        }
    }
}

/// Does a place lie in a range of the text?
fn within((start, end): (u32, u32), s: Span) -> bool {
    start <= s.start && s.end <= end
}

/// The parentheses that begin at a place, with what is in them.
fn arguments(text: &str, from: u32) -> Option<(u32, u32)> {
    let rest = text.get(from as usize..).filter(|t| t.starts_with('('))?;
    let mut depth = 0usize;
    let end = rest.char_indices().find(|(_, c)| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        depth == 0
    })?;
    Some((from, from + end.0 as u32 + 1))
}

/// Where edits have put their text, in the edited text.
fn regions(edits: &[Edit]) -> Vec<(u32, u32)> {
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|e| (e.span.start, e.span.end));
    let mut moved = 0i64;
    let place = |e: &Edit, moved: &mut i64| {
        let start = (i64::from(e.span.start) + *moved) as u32;
        let end = start + e.text.len() as u32;
        *moved += e.text.len() as i64 - i64::from(e.span.end - e.span.start);
        (start, end)
    };
    order.into_iter().map(|e| place(e, &mut moved)).collect()
}

/// Edits of a text that do what `first` does to it, and `then` to the text that comes of that, `between`.
fn joined(text: &str, first: &[Edit], between: &str, then: &[Edit]) -> Vec<Edit> {
    let Some(file) = first.first().map(|e| e.span.file) else { return then.to_vec() };
    let mut first: Vec<&Edit> = first.iter().collect();
    first.sort_by_key(|e| (e.span.start, e.span.end));
    let places = regions(&first.iter().map(|e| (*e).clone()).collect::<Vec<_>>());
    let mut ranges: Vec<(u32, u32)> =
        places.iter().copied().chain(then.iter().map(|e| (e.span.start, e.span.end))).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = vec![];
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    let grown = |e: &Edit| e.text.len() as i64 - i64::from(e.span.end - e.span.start);
    let before = |fits: &dyn Fn((u32, u32)) -> bool| -> i64 {
        first.iter().zip(&places).filter(|(_, p)| fits(**p)).map(|(e, _)| grown(e)).sum()
    };
    let mut out = vec![];
    for (start, end) in merged {
        let span = Span {
            file,
            start: (i64::from(start) - before(&|p| p.1 < start)) as u32,
            end: (i64::from(end) - before(&|p| p.0 <= end)) as u32,
        };
        let own = |e: &&Edit| start <= e.span.start && e.span.end <= end;
        let moved = |e: &Edit| {
            let span = Span { start: e.span.start - start, end: e.span.end - start, ..e.span };
            Edit { span, text: e.text.clone() }
        };
        let edits: Vec<Edit> = then.iter().filter(own).map(moved).collect();
        let new = edited(between.get(start as usize..end as usize).unwrap_or(""), &edits);
        if text.get(span.start as usize..span.end as usize) != Some(&new) {
            out.push(Edit { span, text: new });
        }
    }
    out
}

/// The words for an edit that was carried on: those of the first one, about the code that is written in the end.
fn said(text: &str, h: &Help, edits: &[Edit]) -> String {
    if let ([old], [new]) = (&h.edits[..], edits) {
        let code = format!("`{}`", shown(&old.text));
        if h.message.contains(&code) && !h.message.starts_with(DID_YOU_MEAN) {
            return h.message.replace(&code, &format!("`{}`", short(&new.text)));
        }
    }
    let all = edited(text, edits);
    let places = regions(edits);
    let (start, end) = (places.first().map_or(0, |p| p.0), places.last().map_or(0, |p| p.1));
    let code = all.get(start as usize..).unwrap_or("");
    let line = code.find('\n').unwrap_or(code.len());
    // To the end of the edits, and of the brackets that they open.
    let mut depth = 0i32;
    let whole = code[..line].char_indices().find_map(|(i, c)| {
        depth += i32::from(matches!(c, '(' | '[' | '{')) - i32::from(matches!(c, ')' | ']' | '}'));
        let after = i + c.len_utf8();
        (depth <= 0 && after >= (end - start) as usize).then_some((after, depth))
    });
    match whole {
        Some((n, 0)) if short(&code[..n]) == code[..n] => format!("write `{}`", &code[..n]),
        _ => format!("{}, and what follows from it", h.message.trim_end_matches('?')),
    }
}

/// Code of two steps is longer than that of one.
fn short(code: &str) -> String {
    if code.len() <= 72 && !code.contains('\n') { code.to_owned() } else { shown(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: usize, end: usize) -> Span {
        Span { file: FileId(0), start: start as u32, end: end as u32 }
    }

    /// Replaces the first place of some code.
    fn edit(text: &str, from: &str, to: &str) -> Edit {
        let start = text.find(from).unwrap();
        Edit::replace(at(start, start + from.len()), to)
    }

    #[test]
    fn joined_edits_do_what_both_do() {
        let text = "a = f(x, y) + g(z)";
        let cases = [
            (vec![("f(x, y)", "mean(h(x, y))")], vec![("y))", "y as f32))")]),
            (vec![("f(x, y)", "h(y)")], vec![("g(z)", "k(z)"), ("a", "b")]),
            (vec![("f(x, y)", "h(y)"), ("z", "")], vec![("+", "-"), ("g()", "0")]),
            (vec![("x, ", "")], vec![("f", "")]),
            (vec![("x", "xx"), ("y", "yy")], vec![("xx, yy", "xy")]),
        ];
        for (first, then) in cases {
            let first: Vec<Edit> = first.iter().map(|(a, b)| edit(text, a, b)).collect();
            let between = edited(text, &first);
            let then: Vec<Edit> = then.iter().map(|(a, b)| edit(&between, a, b)).collect();
            let both = joined(text, &first, &between, &then);
            assert_eq!(edited(text, &both), edited(&between, &then));
            let mut spans: Vec<(u32, u32)> = both.iter().map(|e| (e.span.start, e.span.end)).collect();
            spans.sort_unstable();
            assert!(spans.windows(2).all(|w| w[0].1 <= w[1].0), "{both:?}");
        }
    }

    /// Findings of a language in which every `a` should be `b`, every `b` `c`, and `!` is beyond help.
    fn check(text: &str) -> Vec<Diagnostic> {
        let found = |(i, c): (usize, char)| {
            let d = Diagnostic::error("E0001", at(i, i + 1), format!("`{c}` at {i}"));
            match c {
                'a' => Some(d.fix("write `b`", [Edit::replace(at(i, i + 1), "b")])),
                'b' => Some(d.fix("write `c`", [Edit::replace(at(i, i + 1), "c")])),
                'x' => Some(d.fix("did you mean `!`?", [Edit::replace(at(i, i + 1), "!")])),
                // Of two ways the one that makes no `w` is told.
                'v' => Some(
                    d.fix("write `f`", [Edit::replace(at(i, i + 1), "f")])
                        .fix("write `g`", [Edit::replace(at(i, i + 1), "g")]),
                ),
                'w' if text.starts_with('f') => Some(d),
                'y' => Some(d.fix("write `!`", [Edit::replace(at(i, i + 1), "!")])),
                '!' => Some(d),
                _ => None,
            }
        };
        text.char_indices().filter_map(found).collect()
    }

    #[test]
    fn edits_are_carried_on_or_dropped() {
        let text = "a b x y";
        let mender = Mender { file: FileId(0), text, check: &check, patience: Duration::MAX };
        let mended = mender.mended(check(text));
        let help = |i: usize| mended[i].help.first().map(|h| (&*h.message, h.edits.len()));
        assert_eq!([help(0), help(1)], [Some(("write `c`", 1)); 2]);
        assert_eq!([help(2), help(3)], [None, Some(("write `!`", 0))]);
        let ways = Mender { text: "v w", ..mender }.mended(check("v w"));
        assert_eq!(ways[0].help, [Help { message: "write `g`".into(), edits: vec![Edit::replace(at(0, 1), "g")] }]);
        let hasty = Mender { file: FileId(0), text, check: &check, patience: Duration::ZERO }.mended(check(text));
        assert_eq!(hasty[2].help.len(), 1, "what is not tried stays");
    }
}
