//! Items' text to the arena tree, by way of pest.
//!
//! In: a file's text. Out: an [`File`](super::ast::File) pushed to the tree, and diagnostics. Each top-level item is
//! parsed on its own, so an error costs one item and its message is about that item. Every parse runs under a limit on
//! grammar calls in proportion to the text and on a stack that the nesting limits are sized for: no text makes this phase
//! panic, overflow or take more than linear time.

mod brackets;
mod error;
pub(in crate::syntax) mod expr;
mod frameworks;
mod habits;
mod item;
mod mend;
mod operators;
mod python;
pub(in crate::syntax) mod roles;
mod stmt;
mod ty;
mod words;

use super::ast::{Ast, Attr, ExprId, File, Ident, Item};
use super::layout::{Layout, layout};
use super::{foreign, limits, visit};
use crate::diag::{Diagnostic, Severity};
use crate::source::{FileId, Span};
use pest::Parser;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

/// The parser that pest derives.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "syntax/grammar.pest"]
    pub(super) struct NnParser;
}
use grammar::{NnParser, Rule};
use mend::Broken;

type Pair<'i> = pest::iterators::Pair<'i, Rule>;

/// pest's limit on grammar calls is one number for the process: whoever parses holds this.
static CALL_LIMIT: Mutex<()> = Mutex::new(());

/// Whether a word is reserved everywhere.
pub(in crate::syntax) fn is_reserved(word: &str) -> bool {
    error::RESERVED.contains(&word)
}

/// Checks that a file's bytes are text.
pub fn source_from_bytes(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let before = &e.as_bytes()[..at];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let byte = e.as_bytes().get(at).copied().unwrap_or(0);
        Diagnostic::new("E0003", Severity::Error, None, format!("{name} is not UTF-8 text"))
            .note(format!("the first invalid byte is 0x{byte:02x} at byte {at}, in line {line}"))
            .help("save the file as UTF-8")
    })
}

/// Calls `f` with the offset and the rules of every item that parses.
fn each_item(layout: &Layout, f: &mut dyn FnMut(usize, pest::iterators::Pairs<'_, Rule>)) {
    let _held = CALL_LIMIT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for range in &layout.items {
        let text = &layout.text[range.clone()];
        pest::set_call_limit(call_limit(text));
        if let Ok(pairs) = NnParser::parse(Rule::one_item, text) {
            f(range.start, pairs);
        }
    }
    pest::set_call_limit(None);
}

fn call_limit(text: &str) -> Option<NonZeroUsize> {
    NonZeroUsize::new(10_000 + text.len() * limits::CALLS_PER_BYTE.value as usize)
}

/// Parses a file, pushes it to the tree and returns what is wrong with it.
pub fn parse(ast: &mut Ast, file: FileId, source: &str) -> Vec<Diagnostic> {
    if source.len() > limits::SOURCE.value as usize {
        ast.files.push(File { id: file, items: vec![] });
        return vec![limits::SOURCE.exceeded(Span { file, start: 0, end: 0 })];
    }
    let translated = foreign::translate(file, source);
    let layout = layout(file, &translated.text);
    limits::with_stack(|| parse_items(ast, file, &translated.text, layout, translated.errors))
}

fn parse_items(ast: &mut Ast, file: FileId, source: &str, layout: Layout, foreign: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut errors = foreign;
    let mut items = vec![];
    let max = limits::ERRORS.value as usize;
    let _held = CALL_LIMIT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (n, (d, range)) in layout.errors.into_iter().zip(&layout.bad).enumerate() {
        let stop = d.labels.first().map_or(range.start, |l| l.span.start as usize);
        let mendable = n < max && matches!(d.code, "E0004" | "E0005");
        errors.push(if mendable { brackets::mend(d, &Broken::new(file, source, range.clone(), stop)) } else { d });
    }
    // What lies before this belongs to a mistake that was explained.
    let mut explained = 0;
    // Where the last item failed, if it failed at its end: a `{` on the next line then belongs to it.
    let mut failed_at_end = None;
    for range in layout.items {
        if errors.len() > max {
            break;
        }
        let text = &layout.text[range.clone()];
        if range.start + (text.len() - text.trim_start().len()) < explained {
            continue;
        }
        if failed_at_end.take() == Some(range.start) && text.trim_start().starts_with('{') {
            continue;
        }
        pest::set_call_limit(call_limit(text));
        match NnParser::parse(Rule::one_item, text) {
            Ok(mut pairs) => {
                let mark = ast.exprs.len();
                let mut b =
                    Builder { ast, file, base: range.start as u32, docs: &layout.docs, errors: vec![], level: 0 };
                let item = pairs.next().and_then(|p| b.item(p));
                let mut found = b.errors;
                if found.is_empty()
                    && let Some(at) = too_deep(ast, mark)
                {
                    found.push(limits::EXPR_DEPTH.exceeded(at));
                }
                match item {
                    Some(item) if found.is_empty() => items.push(item),
                    item => {
                        ast.exprs.truncate(mark);
                        if item.is_none() && found.is_empty() {
                            let span = Span { file, start: range.start as u32, end: range.end as u32 };
                            found.push(Diagnostic::error("E0001", span, "the parser does not understand this item"));
                        }
                    }
                }
                errors.append(&mut found);
            }
            Err(e) => {
                if error::offset(&e) >= text.trim_end().len() {
                    failed_at_end = Some(range.end + 1);
                }
                let (d, until) = error::explain(file, source, &layout.text, range, e);
                if until > 0 {
                    errors.retain(|e| !told_by(&d, until, e));
                }
                errors.push(d);
                explained = explained.max(until);
            }
        }
    }
    pest::set_call_limit(None);
    ast.files.push(File { id: file, items });
    errors.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    if errors.len() > max {
        errors.truncate(max);
        if let Some(last) = errors.last_mut() {
            last.notes.push(format!("there are more errors: only the first {max} of a file are reported"));
        }
    }
    errors
}

/// Whether a finding lies in what another explains up to a place: in its edits or, where it has none, in all of it.
fn told_by(d: &Diagnostic, until: usize, e: &Diagnostic) -> bool {
    let (Some(from), Some(at)) = (d.labels.first().map(|l| l.span.start), e.labels.first().map(|l| l.span.start))
    else {
        return false;
    };
    let mut edits = d.help.iter().flat_map(|h| &h.edits).peekable();
    match edits.peek() {
        Some(_) => edits.any(|e| (e.span.start..e.span.end).contains(&at)),
        None => (from..until as u32).contains(&at),
    }
}

/// The place of the first expression above `mark` that is deeper than the limit. Children have smaller ids than their
/// parents, so one pass in order of ids suffices.
fn too_deep(ast: &Ast, mark: usize) -> Option<Span> {
    let mut depth: Vec<u32> = Vec::with_capacity(ast.exprs.len() - mark);
    for e in &ast.exprs[mark..] {
        let mut d = 0;
        visit::children(e, &mut |c: ExprId| d = d.max(depth.get(c.0 as usize - mark).copied().unwrap_or(0)));
        if u64::from(d) >= limits::EXPR_DEPTH.value {
            return Some(e.span);
        }
        depth.push(d + 1);
    }
    None
}

/// Turns pest's pairs into tree nodes. A method returns `None` when the item cannot be built; then an error was pushed,
/// or the grammar and the builder disagree and the caller says so.
struct Builder<'a> {
    ast: &'a mut Ast,
    file: FileId,
    /// Offset of the item in the file.
    base: u32,
    docs: &'a BTreeMap<u32, String>,
    errors: Vec<Diagnostic>,
    level: u64,
}

impl Builder<'_> {
    /// A pair's place, without the blanks that pest lets it end with.
    fn span(&self, p: &Pair) -> Span {
        let s = p.as_span();
        let start = self.base + s.start() as u32;
        Span { file: self.file, start, end: start + s.as_str().trim_end().len() as u32 }
    }

    fn ident(&self, p: &Pair) -> Ident {
        Ident { text: p.as_str().into(), span: self.span(p) }
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.errors.push(Diagnostic::error(code, span, message));
    }

    /// Runs `f` one level deeper, or reports that there are too many.
    fn deeper<R>(&mut self, p: &Pair, f: impl FnOnce(&mut Self) -> Option<R>) -> Option<R> {
        if self.level >= limits::RECURSION.value {
            if self.errors.is_empty() {
                let span = self.span(p);
                self.errors.push(limits::RECURSION.exceeded(Span { end: span.start + 1, ..span }));
            }
            return None;
        }
        self.level += 1;
        let r = f(self);
        self.level -= 1;
        r
    }

    fn item(&mut self, one: Pair) -> Option<Item> {
        let p = kids(&one).find(|p| p.as_rule() == Rule::item)?;
        let span = self.span(&p);
        let doc = self.docs.get(&span.start).map(|s| s.as_str().into());
        let mut attrs: Vec<Attr> = vec![];
        for k in kids(&p) {
            if k.as_rule() == Rule::attr {
                attrs.push(self.attr(k)?);
            } else {
                let kind = self.item_kind(k)?;
                return Some(Item { attrs, doc, kind, span });
            }
        }
        None
    }
}

/// The children of a pair that carry content.
fn kids<'i>(p: &Pair<'i>) -> impl Iterator<Item = Pair<'i>> + use<'i> {
    p.clone().into_inner().filter(|k| !is_keyword(k.as_rule()))
}

fn is_keyword(r: Rule) -> bool {
    use Rule::*;
    matches!(
        r,
        k_let
            | k_var
            | k_param
            | k_state
            | k_for
            | k_in
            | k_scan
            | k_along
            | k_emit
            | k_if
            | k_else
            | k_fn
            | k_seq
            | k_eval
            | k_min
            | k_over
            | k_every
            | k_pen
            | k_assert
            | k_as
            | k_dim
            | k_rearr
            | k_step
            | k_const
            | k_where
            | k_on
            | k_tie
            | k_use
            | k_model
            | k_data
            | k_train
            | k_vjp
            | k_opt
            | k_metric
            | k_export
            | k_test
            | equals
            | has_type
            | arrow
            | open_b
            | open_p
            | next_arg
            | EOI
    )
}
