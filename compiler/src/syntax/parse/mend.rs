//! Edits tried on a text that does not parse.
//!
//! In: an item, the place where the parser stopped, and edits. Out: whether the item parses with them, or at least
//! further. So that a message shows an edit only if it helps, and mends all places of one mistake at once.

use super::{NnParser, Rule, call_limit, error};
use crate::diag::{Diagnostic, Edit};
use crate::source::{FileId, Span};
use crate::syntax::layout::layout;
use crate::syntax::tokens::{Kind, Token, tokens};
use pest::Parser;
use std::collections::BTreeSet;
use std::ops::Range;

/// An item longer than this is not tried with edits: a message must not cost many parses of a large text.
pub(super) const LONGEST: usize = 1 << 14;

/// As many places of one mistake are mended at once.
const PLACES: usize = 20;

/// Places and their new texts.
pub(super) type Edits = Vec<(Range<usize>, String)>;

/// An item and where the parser stopped in it.
pub(super) struct Broken<'a> {
    pub file: FileId,
    /// The whole file.
    pub source: &'a str,
    /// The item.
    pub item: Range<usize>,
    /// Its tokens without comments.
    pub toks: Vec<Token>,
    /// The token at which the parser stopped; one past the last at the end of the item.
    pub at: usize,
    /// The token is the first on its line, or there is none.
    pub first: bool,
    /// The innermost bracket that is open before each token, and at the end.
    open: Vec<Option<usize>>,
}

/// What is to be said about a mistake.
pub(super) struct Said {
    /// Places of one kind are mended together.
    pub kind: &'static str,
    pub at: Range<usize>,
    pub message: String,
    pub label: String,
    /// Words on the edit, or on what to do if there is none.
    pub help: String,
    pub edits: Edits,
    /// What lies before this belongs to the mistake.
    pub until: usize,
}

impl Said {
    pub(super) fn new(kind: &'static str, at: Range<usize>, message: impl Into<String>) -> Said {
        Said { kind, at, message: message.into(), label: String::new(), help: String::new(), edits: vec![], until: 0 }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Said {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Said {
        self.help = help.into();
        self
    }

    pub(super) fn edit(mut self, at: Range<usize>, text: impl Into<String>) -> Said {
        self.edits.push((at, text.into()));
        self
    }

    pub(super) fn diagnostic(self, file: FileId) -> Diagnostic {
        let span = |r: &Range<usize>| Span { file, start: r.start as u32, end: r.end as u32 };
        let d = Diagnostic::error("E0001", span(&self.at), self.message).here(self.label);
        let edits: Vec<Edit> = self.edits.iter().map(|(at, text)| Edit::replace(span(at), text.as_str())).collect();
        match (self.help.is_empty(), edits.is_empty()) {
            (true, _) => d,
            (_, true) => d.help(self.help),
            _ => d.fix(self.help, edits),
        }
    }
}

/// What comes of edits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The item parses.
    Parses,
    /// The parser comes further: to this place of the text without the edits.
    Further(usize),
    /// It does not.
    Same,
}

impl<'a> Broken<'a> {
    pub(super) fn new(file: FileId, source: &'a str, item: Range<usize>, stop: usize) -> Self {
        let mut toks = tokens(&source[item.clone()], &BTreeSet::new());
        toks.retain(|t| t.kind != Kind::Comment);
        for t in &mut toks {
            t.start += item.start;
            t.end += item.start;
        }
        let at = toks.partition_point(|t| t.start < stop);
        let first = at == 0 || at >= toks.len() || source[toks[at - 1].end..toks[at].start].contains('\n');
        let mut stack: Vec<usize> = vec![];
        let mut open = vec![];
        for (i, t) in toks.iter().enumerate() {
            open.push(stack.last().copied());
            match t.kind {
                Kind::Open => stack.push(i),
                Kind::Close => drop(stack.pop()),
                _ => {}
            }
        }
        open.push(stack.last().copied());
        Broken { file, source, item, toks, at, first, open }
    }

    /// The text of a token; nothing outside of the item.
    pub(super) fn text(&self, i: usize) -> &'a str {
        self.toks.get(i).map_or("", |t| &self.source[t.start..t.end])
    }

    /// The text of the token so many before the place.
    pub(super) fn before(&self, n: usize) -> &'a str {
        self.at.checked_sub(n).map_or("", |i| self.text(i))
    }

    pub(super) fn kind(&self, i: usize) -> Option<Kind> {
        self.toks.get(i).map(|t| t.kind)
    }

    /// The place of a token; past the last one the end of the last.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        let end = self.toks.last().map_or(self.item.start, |t| t.end);
        self.toks.get(i).map_or(end..end, |t| t.start..t.end)
    }

    /// The text between the starts of two tokens, without blanks at its end.
    pub(super) fn between(&self, from: usize, to: usize) -> &'a str {
        self.source[self.range(from).start..self.range(to).start.max(self.range(from).start)].trim_end()
    }

    /// Whether a token touches the one before it.
    pub(super) fn touch(&self, i: usize) -> bool {
        i > 0 && i < self.toks.len() && self.toks[i - 1].end == self.toks[i].start
    }

    /// Whether a line ends before a token.
    pub(super) fn breaks(&self, i: usize) -> bool {
        i == 0 || i >= self.toks.len() || self.source[self.toks[i - 1].end..self.toks[i].start].contains('\n')
    }

    /// The innermost bracket that is open before a token.
    pub(super) fn open(&self, at: usize) -> Option<usize> {
        self.open.get(at).copied().flatten()
    }

    /// The first token on the line of a token, or of the last one.
    pub(super) fn line_start(&self, at: usize) -> usize {
        let mut i = at.min(self.toks.len().saturating_sub(1));
        while !self.breaks(i) {
            i -= 1;
        }
        i
    }

    /// Tries edits.
    pub(super) fn outcome(&self, edits: &Edits) -> Outcome {
        if self.item.len() > LONGEST || edits.is_empty() {
            return Outcome::Same;
        }
        let stop = self.toks.get(self.at).map_or(self.item.end, |t| t.start);
        let mut order: Vec<&(Range<usize>, String)> = edits.iter().collect();
        order.sort_by_key(|e| (e.0.start, e.0.end));
        let (mut text, mut at) = (String::new(), self.item.start);
        // Where the pieces of the old text stand in the new one.
        let mut pieces = vec![(0, at)];
        for (range, new) in order {
            if range.start < at {
                return Outcome::Same;
            }
            text += &self.source[at..range.start];
            text += new;
            at = range.end;
            pieces.push((text.len(), at));
        }
        text += &self.source[at..self.item.end.max(at)];
        match stops(self.file, &text) {
            None => Outcome::Parses,
            Some(n) => {
                let (new, old) = pieces[pieces.partition_point(|p| p.0 <= n).saturating_sub(1)];
                let place = old + (n - new);
                if place > stop { Outcome::Further(place) } else { Outcome::Same }
            }
        }
    }

    /// Whether edits help.
    pub(super) fn helps(&self, edits: &Edits) -> bool {
        self.outcome(edits) != Outcome::Same
    }

    /// The mistake with the edits of all its places in the item, as far as they help.
    pub(super) fn all_places(&self, mut said: Said, find: impl Fn(&Broken) -> Option<Said>) -> Said {
        let mut places = 1;
        let mut outcome = self.outcome(&said.edits);
        while let Outcome::Further(stop) = outcome {
            let next = Broken::new(self.file, self.source, self.item.clone(), stop);
            let Some(more) = find(&next).filter(|m| m.kind == said.kind && places < PLACES) else { break };
            let mut tried = said.edits.clone();
            tried.extend(more.edits.into_iter().filter(|e| !said.edits.contains(e)));
            outcome = next.outcome(&tried);
            if outcome == Outcome::Same {
                break;
            }
            said.edits = tried;
            places += 1;
        }
        if places > 1 {
            said.help += &format!("; so in all {places} places");
        }
        said
    }
}

/// Where the parser stops in a text, if it does.
fn stops(file: FileId, text: &str) -> Option<usize> {
    let found = layout(file, text);
    let bracket = found.errors.iter().filter_map(|e| e.labels.first()).map(|l| l.span.start as usize).min();
    let grammar = found.items.iter().find_map(|range| {
        let item = &found.text[range.clone()];
        pest::set_call_limit(call_limit(item));
        NnParser::parse(Rule::one_item, item).err().map(|e| {
            let at = range.start + error::offset(&e).min(item.len());
            // The parser stops before blanks.
            at + (found.text[at..].len() - found.text[at..].trim_start().len())
        })
    });
    bracket.into_iter().chain(grammar).min()
}
