//! The layout pre-pass: decides where statements end before the grammar sees the text.
//!
//! In: source text. Out: text of the same length with comments blanked and statement-ending newlines turned into `;`,
//! so that every byte offset still refers to the original; the byte ranges of the top-level items; the `##` texts by the
//! offset of the token they precede; and the errors found on the way: brackets that do not match or nest too deep, strings
//! that do not end. It stands before the grammar because pest has no mode for significant newlines, and because a count
//! of brackets taken before the recursive parser starts is what bounds the parser's stack.
//!
//! A newline ends a statement when the innermost open bracket is `{` or none, the token before it can end a statement,
//! and the token after it is none of `|> ) ] , -> = .name and or else where`. `where` goes on only if a blank
//! and the start of an expression follow: `where(c, a, b)` is a call.

use super::limits;
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the pre-pass found.
#[derive(Debug, Default)]
pub struct Layout {
    /// The rewritten text, as long as the original.
    pub text: String,
    /// The `##` texts, by the offset of the token they precede.
    pub docs: BTreeMap<u32, String>,
    /// The top-level items that have no bracket or string error, in order.
    pub items: Vec<Range<usize>>,
    /// Errors, in order.
    pub errors: Vec<Diagnostic>,
    /// The items that have one, in the order of `errors`.
    pub bad: Vec<Range<usize>>,
}

/// Runs the pre-pass.
pub fn layout(file: FileId, source: &str) -> Layout {
    let first = Scan::new(file, source, false).run();
    if first.errors.is_empty() {
        return first;
    }
    // A bracket is wrong somewhere: scan again, now taking an item keyword at the start of a line as the start of an item
    // whatever is open, and `let` and the like as the start of a statement, so that what follows is still parsed.
    Scan::new(file, source, true).run()
}

/// Words after which a statement goes on.
const OPEN_WORDS: &[&str] = &[
    "let",
    "var",
    "param",
    "state",
    "const",
    "dim",
    "fn",
    "seq",
    "for",
    "scan",
    "emit",
    "if",
    "else",
    "eval",
    "minimize",
    "penalty",
    "assert",
    "rearrange",
    "as",
    "and",
    "or",
    "not",
    "new",
];

/// Where a leading attribute stands, such as `@remat(every: 16)` on a line of its own.
#[derive(Clone, Copy, PartialEq)]
enum AttrState {
    /// At the start of a statement: an attribute may begin.
    Fresh,
    /// After `@`.
    At,
    /// After the name; arguments may follow.
    Named,
    /// Inside the arguments; the depth they were opened at.
    Args(usize),
    /// Past the attributes.
    Body,
}

/// Where in `idx<N>` a token stands: its `>` ends a statement, the comparison does not.
#[derive(Clone, Copy, PartialEq)]
enum IdxState {
    No,
    /// After `idx`.
    Word,
    /// After `<`; the number of open brackets there.
    Inside(usize),
}

struct Open {
    bracket: u8,
    at: usize,
}

struct Scan<'a> {
    file: FileId,
    src: &'a str,
    bytes: &'a [u8],
    out: Vec<u8>,
    result: Layout,
    resync: bool,
    stack: Vec<Open>,
    /// The first newline since the last token.
    pending: Option<usize>,
    /// Whether the last token can end a statement.
    ends: bool,
    attr: AttrState,
    idx: IdxState,
    /// The last token was `as`, so a type follows.
    cast: bool,
    doc: Vec<String>,
    item_start: usize,
    /// An error lies in the current item.
    bad: bool,
}

impl<'a> Scan<'a> {
    fn new(file: FileId, src: &'a str, resync: bool) -> Self {
        Scan {
            file,
            src,
            bytes: src.as_bytes(),
            out: src.as_bytes().to_vec(),
            result: Layout::default(),
            resync,
            stack: vec![],
            pending: None,
            ends: false,
            attr: AttrState::Fresh,
            idx: IdxState::No,
            cast: false,
            doc: vec![],
            item_start: 0,
            bad: false,
        }
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, start: range.start as u32, end: range.end as u32 }
    }

    fn error(&mut self, d: Diagnostic) {
        // One per item: what follows the first is guesswork.
        if !self.bad {
            self.result.errors.push(d);
        }
        self.bad = true;
    }

    fn run(mut self) -> Layout {
        let n = self.bytes.len();
        let mut i = 0;
        if self.src.starts_with('\u{feff}') {
            self.out[..3].fill(b' ');
            i = 3;
        }
        let mut line_start = true;
        while i < n {
            let c = self.bytes[i];
            match c {
                b'\n' => {
                    self.pending = self.pending.or(Some(i));
                    line_start = true;
                    i += 1;
                    continue;
                }
                b' ' | b'\t' | b'\r' => {
                    i += 1;
                    line_start = false;
                    continue;
                }
                b'#' => {
                    i = self.comment(i);
                    line_start = false;
                    continue;
                }
                _ => {}
            }
            let end = self.token_end(i);
            if end - i > limits::TOKEN.value as usize {
                let at = self.span(i..i + 1);
                self.error(limits::TOKEN.exceeded(at));
            }
            if self.resync && self.pending.is_some() && !self.stack.is_empty() {
                let rest = &self.src[i..];
                let round = self.stack.last().is_some_and(|o| o.bracket != b'{');
                if line_start && starts_item(rest) {
                    self.unclosed();
                    self.split(i, i);
                } else if round && starts_statement(rest) {
                    // No statement stands in these brackets.
                    self.unclosed();
                    while self.stack.last().is_some_and(|o| o.bracket != b'{') {
                        self.stack.pop();
                    }
                    if self.stack.is_empty() {
                        self.split(i, i);
                    }
                }
            }
            line_start = false;
            self.before_token(i);
            self.token(i, end);
            i = end;
        }
        if !self.stack.is_empty() {
            self.unclosed();
        }
        self.split(n, n);
        // Only ASCII bytes were replaced, or whole comments, so the text stays valid.
        self.result.text = String::from_utf8(self.out).unwrap_or_default();
        self.result
    }

    /// Blanks a comment and keeps it if it is a `##` on a line of its own. Returns its end.
    fn comment(&mut self, at: usize) -> usize {
        let end = self.bytes[at..].iter().position(|&b| b == b'\n').map_or(self.bytes.len(), |n| at + n);
        let text = &self.src[at..end];
        // In `out` a byte order mark is blank.
        let own_line = self.out[..at].iter().rev().take_while(|&&b| b != b'\n').all(|b| matches!(b, b' ' | b'\t'));
        if own_line && text.starts_with("##") && !text.starts_with("###") {
            let text = text[2..].trim_end();
            self.doc.push(text.strip_prefix(' ').unwrap_or(text).to_string());
        }
        self.out[at..end].fill(b' ');
        end
    }

    fn token_end(&self, at: usize) -> usize {
        let b = self.bytes;
        match b[at] {
            b'"' => {
                let mut i = at + 1;
                while i < b.len() && b[i] != b'\n' {
                    match b[i] {
                        b'"' => return i + 1,
                        b'\\' if i + 1 < b.len() && b[i + 1] != b'\n' => i += 2,
                        _ => i += 1,
                    }
                }
                // It does not end: brackets and commas at the end of the line are taken for what they look like, so that
                // those around the string still match.
                let line = self.src[at..i.min(b.len())].trim_end();
                let cut = line.trim_end_matches(|c: char| c.is_ascii_whitespace() || "()[]{},".contains(c));
                at + cut.len().max(1)
            }
            c if is_word(c) => at + b[at..].iter().take_while(|&&c| is_word(c)).count(),
            c if c < 0x80 => at + 1,
            _ => at + self.src[at..].chars().next().map_or(1, char::len_utf8),
        }
    }

    /// Decides about the newline before this token.
    fn before_token(&mut self, at: usize) {
        if let Some(newline) = self.pending.take() {
            let in_block = self.stack.last().is_none_or(|o| o.bracket == b'{');
            let rest = &self.src[at..];
            let ends =
                if self.ends { !continues(rest) } else { self.attr == AttrState::Body && starts_statement(rest) };
            if in_block && self.attr != AttrState::Named && ends {
                self.out[newline] = b';';
                self.separate(newline);
            }
        }
        if !self.doc.is_empty() {
            let doc = self.doc.join("\n");
            self.doc.clear();
            self.result.docs.insert(at as u32, doc);
        }
    }

    fn separate(&mut self, at: usize) {
        self.ends = false;
        self.attr = AttrState::Fresh;
        if self.stack.is_empty() {
            self.split(at, at + 1);
        }
    }

    /// Ends the current item and starts the next.
    fn split(&mut self, end: usize, next: usize) {
        let range = self.item_start..end;
        let blank = self.out[range.clone()].iter().all(|b| b.is_ascii_whitespace() || *b == b';');
        if self.bad {
            self.result.bad.push(range);
        } else if !blank {
            self.result.items.push(range);
        }
        self.bad = false;
        self.item_start = next;
        self.stack.clear();
        self.pending = None;
        self.ends = false;
        self.attr = AttrState::Fresh;
    }

    fn token(&mut self, at: usize, end: usize) {
        let c = self.bytes[at];
        let text = &self.src[at..end];
        self.attr = match (self.attr, c) {
            (AttrState::Fresh | AttrState::Named, b'@') => AttrState::At,
            (AttrState::At, _) if is_word(c) => AttrState::Named,
            (AttrState::Named, b'(') if self.bytes[at - 1] != b' ' => AttrState::Args(self.stack.len()),
            (AttrState::Args(depth), b')') if self.stack.len() == depth + 1 => AttrState::Named,
            (AttrState::Args(depth), _) => AttrState::Args(depth),
            _ => AttrState::Body,
        };
        let closes_idx = self.idx(c, text);
        let after_as = std::mem::replace(&mut self.cast, text == "as");
        match c {
            b'>' if closes_idx => self.ends = true,
            b'(' | b'[' | b'{' => {
                self.stack.push(Open { bracket: c, at });
                if self.stack.len() > limits::NESTING.value as usize {
                    let span = self.span(at..end);
                    self.error(limits::NESTING.exceeded(span));
                }
                self.ends = false;
                if c == b'{' && self.attr == AttrState::Body {
                    self.attr = AttrState::Fresh;
                }
            }
            b')' | b']' | b'}' => self.close(at),
            b';' => {
                if self.stack.last().is_none_or(|o| o.bracket == b'{') {
                    self.separate(at);
                }
            }
            b'"' => {
                if end - at < 2 || !text.ends_with('"') || unfinished(text) {
                    let span = self.span(at..end);
                    let d = Diagnostic::error("E0004", span, "this string does not end on its line")
                        .here("starts here")
                        .note("a line break inside a string is written `\\n`");
                    self.error(d);
                }
                self.ends = true;
            }
            // The `*` and `**` of a selector end a statement, the operators do not.
            b'*' => {
                let before = self.src[..at].trim_end_matches('*');
                self.ends = before.ends_with('.') && !before.ends_with("..");
            }
            // Characters that are in no token stand for what was meant as a value: the error stays on this line.
            b'\'' | b'`' | b'$' | b'?' | b'\\' | 0x80.. => self.ends = true,
            // A function type may be no more than the word.
            b'f' if after_as && text == "fn" => self.ends = true,
            _ => self.ends = is_word(c) && !OPEN_WORDS.contains(&text),
        }
    }

    /// Follows `idx<N>` through its tokens; true at its `>`. Between `idx <` and `>` only a dim can stand: two comparisons
    /// in a row mean nothing, so an `idx < n` that compares is never taken for a type.
    fn idx(&mut self, c: u8, text: &str) -> bool {
        let depth = self.stack.len();
        let dim = (is_word(c) && !OPEN_WORDS.contains(&text)) || b"+-*/%(),._".contains(&c);
        let closes = self.idx == IdxState::Inside(depth) && c == b'>';
        self.idx = match self.idx {
            IdxState::Word if c == b'<' => IdxState::Inside(depth),
            IdxState::Inside(open) if dim && depth >= open && !closes => IdxState::Inside(open),
            _ if text == "idx" => IdxState::Word,
            _ => IdxState::No,
        };
        closes
    }

    fn close(&mut self, at: usize) {
        let c = self.bytes[at];
        let want = match c {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        let here = self.span(at..at + 1);
        match self.stack.last() {
            Some(o) if o.bracket == want => {
                self.stack.pop();
            }
            Some(o) => {
                let (open, open_at) = (o.bracket as char, self.span(o.at..o.at + 1));
                let d =
                    Diagnostic::error("E0005", here, format!("`{}` does not close the `{open}` before it", c as char))
                        .here(format!("expected `{}`", closer(o.bracket)))
                        .label(open_at, "opened here");
                self.error(d);
                // Close what this bracket can close, so that the rest of the item keeps its nesting.
                if let Some(k) = self.stack.iter().rposition(|o| o.bracket == want) {
                    self.stack.truncate(k);
                }
            }
            None => {
                let d = Diagnostic::error("E0005", here, format!("`{}` closes nothing", c as char))
                    .here("no bracket is open here");
                self.error(d);
            }
        }
        self.ends = true;
    }

    fn unclosed(&mut self) {
        if let Some(o) = self.stack.last() {
            let (bracket, at) = (o.bracket, o.at);
            let span = self.span(at..at + 1);
            let d = Diagnostic::error("E0005", span, format!("`{}` is never closed", bracket as char))
                .here(format!("opened here; its `{}` is missing", closer(bracket)));
            self.error(d);
        }
    }
}

fn closer(open: u8) -> char {
    match open {
        b'(' => ')',
        b'[' => ']',
        _ => '}',
    }
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

/// Whether a text that starts and ends with a quote has an escaped last quote.
fn unfinished(text: &str) -> bool {
    let body = &text[1..text.len() - 1];
    (body.len() - body.trim_end_matches('\\').len()) % 2 == 1
}

/// Whether a line that begins so goes on with the statement before it.
fn continues(rest: &str) -> bool {
    let b = rest.as_bytes();
    let word = || rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or("");
    match b[0] {
        b')' | b']' | b',' | b'=' => true,
        b'|' => !nn_runtime::mutant!("layout.leading_operator") && b.get(1) == Some(&b'>'),
        b'-' => b.get(1) == Some(&b'>'),
        b'.' => b.get(1).is_some_and(|&c| is_word(c) || c == b'*'),
        b'a' | b'o' | b'e' => matches!(word(), "and" | "or" | "else"),
        b'w' => {
            let after = rest[word().len()..].trim_start_matches([' ', '\t']);
            word() == "where"
                && after.len() < rest.len() - 5
                && after.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '(' | '-' | '_' | '[' | '"'))
        }
        _ => false,
    }
}

/// Whether a line that begins so cannot go on with anything: then a statement that stops short ends before it, and the
/// error is about that statement alone.
fn starts_statement(rest: &str) -> bool {
    let Some((word, after)) = rest.split_once(' ') else { return false };
    match word {
        "let" | "var" | "param" | "state" | "const" | "dim" | "emit" | "minimize" | "penalty" | "assert" => true,
        "fn" => after.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'),
        _ => starts_item(rest),
    }
}

/// Whether a line that begins so looks like the start of an item even if a bracket is open.
fn starts_item(rest: &str) -> bool {
    let Some((word, after)) = rest.split_once(' ') else { return false };
    let next = after.trim_start().as_bytes().first().copied().unwrap_or(b' ');
    match word {
        "model" | "data" | "optimizer" | "metric" => next.is_ascii_uppercase(),
        "fn" | "vjp" | "export" => next.is_ascii_lowercase(),
        "train" => next.is_ascii_lowercase(),
        "test" => next == b'"',
        "use" => next == b'"' || next.is_ascii_alphabetic(),
        _ => false,
    }
}
