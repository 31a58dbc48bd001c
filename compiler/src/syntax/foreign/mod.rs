//! Writing of other languages, and characters that only look like the right ones, put into .nn's own.
//!
//! In: source text. Out: text of the same length in which `//` comments are blank, `'strings'` have double quotes, a
//! no-break space is a blank, `≤` is `<=` and so on, with one error for each kind that has the edits of all its places.
//! It stands before the layout, so that such a character costs its own message and no other.

mod chars;

use crate::diag::{Diagnostic, Edit};
use crate::source::{FileId, Span};
use std::borrow::Cow;
use std::ops::Range;

/// As many kinds are told of; more are no text.
const KINDS: usize = 50;

/// The text, translated.
pub(super) struct Translated<'a> {
    pub text: Cow<'a, str>,
    pub errors: Vec<Diagnostic>,
}

/// Translates a text.
pub(super) fn translate(file: FileId, source: &str) -> Translated<'_> {
    let mut scan = Scan {
        src: source,
        out: vec![],
        finds: vec![],
        open: vec![],
        last: b'\n',
        line: true,
        unquoted: 0,
        named_self: None,
    };
    scan.run();
    if scan.finds.is_empty() {
        return Translated { text: Cow::Borrowed(source), errors: vec![] };
    }
    let errors = scan.finds.into_iter().map(|f| f.diagnostic(file)).collect();
    // Whole characters were replaced by ASCII ones, so the text stays valid.
    Translated { text: Cow::Owned(String::from_utf8(scan.out).unwrap_or_else(|_| source.to_owned())), errors }
}

/// Code as it stands in a message.
pub(super) fn shown<'a>(code: &'a str, long: &'a str) -> &'a str {
    if code.len() > 60 || code.contains('\n') { long } else { code }
}

type Edits = Vec<(Range<usize>, String)>;

/// One kind of foreign writing and its places.
struct Find {
    message: String,
    label: String,
    help: String,
    first: Range<usize>,
    edits: Edits,
    places: usize,
}

impl Find {
    fn diagnostic(self, file: FileId) -> Diagnostic {
        let span = |r: &Range<usize>| Span { file, start: r.start as u32, end: r.end as u32 };
        let edits: Vec<Edit> = self.edits.iter().map(|(at, text)| Edit::replace(span(at), text.as_str())).collect();
        let more = if self.places > 1 { format!("; so in all {} places", self.places) } else { String::new() };
        let d = Diagnostic::error("E0001", span(&self.first), self.message).here(self.label);
        if edits.is_empty() { d.help(self.help) } else { d.fix(self.help + &more, edits) }
    }
}

struct Scan<'a> {
    src: &'a str,
    /// The translation; empty as long as there is nothing to translate.
    out: Vec<u8>,
    finds: Vec<Find>,
    /// Open brackets.
    open: Vec<u8>,
    /// The last byte that is no blank.
    last: u8,
    /// Nothing but blanks stand before on this line.
    line: bool,
    /// No quote closes another before this: it was looked for.
    unquoted: usize,
    /// Nothing is declared as `self`, once that is looked for.
    named_self: Option<bool>,
}

impl Scan<'_> {
    fn run(&mut self) {
        let b = self.src.as_bytes();
        let mut i = if self.src.starts_with('\u{feff}') { 3 } else { 0 };
        while i < b.len() {
            i = match b[i] {
                b'\n' => {
                    self.line = true;
                    i + 1
                }
                b' ' | b'\t' | b'\r' => i + 1,
                b'#' => self.line_end(i),
                b'/' if b.get(i + 1) == Some(&b'*') => self.block_comment(i),
                c @ (b'/' | b'-') if b.get(i + 1) == Some(&c) && self.line && self.cannot_go_on() => {
                    self.line_comment(i)
                }
                b'\\' => self.joined_line(i),
                _ => {
                    let end = self.token(i);
                    self.line = false;
                    self.last = b[end - 1];
                    end
                }
            };
        }
    }

    /// Takes down a place; places with the same message are one find.
    fn find(&mut self, at: Range<usize>, message: String, label: &str, help: &str, edits: Edits) {
        if let Some(f) = self.finds.iter_mut().find(|f| f.message == message) {
            f.places += 1;
            f.edits.extend(edits);
        } else if self.finds.len() < KINDS {
            self.finds.push(Find { message, label: label.into(), help: help.into(), first: at, edits, places: 1 });
        }
    }

    /// The bytes of a place in the translation.
    fn bytes(&mut self, at: Range<usize>) -> &mut [u8] {
        if self.out.is_empty() {
            self.out = self.src.as_bytes().to_vec();
        }
        &mut self.out[at]
    }

    /// Puts ASCII text in a place and fills it up with blanks. Line breaks stay.
    fn put(&mut self, at: Range<usize>, text: &str) {
        let fill = text.bytes().chain(std::iter::repeat(b' '));
        for (b, t) in self.bytes(at).iter_mut().zip(fill) {
            if *b != b'\n' {
                *b = t;
            }
        }
    }

    fn line_end(&self, at: usize) -> usize {
        self.src[at..].find('\n').map_or(self.src.len(), |n| at + n)
    }

    /// Whether an operator at the start of a line cannot go on with the line before.
    fn cannot_go_on(&self) -> bool {
        !matches!(self.open.last(), Some(b'(' | b'[')) || matches!(self.last, b',' | b'(' | b'[' | b'\n')
    }

    fn line_comment(&mut self, at: usize) -> usize {
        let end = self.line_end(at);
        self.put(at..end, "");
        let mark = &self.src[at..at + 2];
        let message = format!("a comment starts with `#`, not with `{mark}`");
        let label = if mark == "//" { "this divides" } else { "this negates twice" };
        self.find(at..at + 2, message, label, "write `#`", vec![(at..at + 2, "#".into())]);
        end
    }

    fn block_comment(&mut self, at: usize) -> usize {
        let end = self.src[at + 2..].find("*/").map_or(self.src.len(), |n| at + 2 + n + 2);
        self.put(at..end, "");
        let body = self.src[at..end].trim_start_matches('/').trim_start_matches('*');
        let body = body.strip_suffix("*/").unwrap_or(body).trim();
        let bare = |l: &str| format!("# {}", l.trim().trim_start_matches('*').trim()).trim_end().to_owned();
        let mut text = body.split('\n').map(bare).collect::<Vec<_>>().join("\n");
        // A `#` comment ends with its line, so what follows goes to a line of its own.
        let rest = self.src[end..self.line_end(end)].trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            text.push('\n');
        }
        let label = "a comment starts with `#` and ends with its line";
        self.find(at..at + 2, "there are no `/* */` comments".into(), label, "write `#`", vec![(at..end, text)]);
        end
    }

    /// `\` at the end of a line.
    fn joined_line(&mut self, at: usize) -> usize {
        let blanks = |s: &str, chars: &[char]| s.len() - s.trim_start_matches(chars).len();
        let line = at + 1 + blanks(&self.src[at + 1..], &[' ', '\t', '\r']);
        if !self.src[line..].starts_with('\n') {
            return at + 1;
        }
        let next = line + 1 + blanks(&self.src[line + 1..], &[' ', '\t']);
        self.bytes(at..next).fill(b' ');
        let label = "a line goes on by itself after an operator, a comma or an open bracket";
        let edit = vec![(at..next, String::new())];
        self.find(at..at + 1, "`\\` does not join lines".into(), label, "write it on one line", edit);
        next
    }

    /// Any other token; returns its end.
    fn token(&mut self, at: usize) -> usize {
        let b = self.src.as_bytes();
        match b[at] {
            b'"' if b[at..].starts_with(b"\"\"\"") => self.triple(at, at),
            b'"' => self.string_end(at),
            b'\'' if at == 0 || !word(b[at - 1]) => self.single(at, at),
            c @ (b'(' | b'[' | b'{') => {
                self.open.push(c);
                at + 1
            }
            b')' | b']' | b'}' => {
                self.open.pop();
                at + 1
            }
            0x0b | 0x0c => self.character(at),
            c if word(c) => self.word(at),
            c if c < 0x80 => at + 1,
            _ => self.character(at),
        }
    }

    fn string_end(&self, at: usize) -> usize {
        let b = self.src.as_bytes();
        let mut i = at + 1;
        while i < b.len() && b[i] != b'\n' {
            match b[i] {
                b'"' => return i + 1,
                b'\\' if i + 1 < b.len() && b[i + 1] != b'\n' => i += 2,
                _ => i += 1,
            }
        }
        i.min(b.len())
    }

    /// A name, a number or the letters before a string.
    fn word(&mut self, at: usize) -> usize {
        let b = self.src.as_bytes();
        let ends = |c: char| !(c.is_alphanumeric() || c == '_') || chars::like(c).is_some();
        let end = self.src[at..].find(ends).map_or(b.len(), |n| at + n);
        let text = &self.src[at..end];
        let lower = text.to_ascii_lowercase();
        let quoted = end < b.len() && matches!(b[end], b'"' | b'\'');
        if quoted && matches!(lower.as_str(), "f" | "r" | "b" | "u" | "fr" | "rf" | "br" | "rb") {
            self.put(at..end, "");
            return match b[end] {
                b'"' if b[end..].starts_with(b"\"\"\"") => self.triple(at, end),
                b'\'' => self.single(at, end),
                _ => {
                    let what = if lower.contains('f') { "no f-strings" } else { "no letters before strings" };
                    let message = format!("there are {what}: a string is its text");
                    let label = format!("the `{text}` before the string");
                    self.find(at..end, message, &label, "leave it out", vec![(at..end, String::new())]);
                    self.string_end(end)
                }
            };
        }
        match text {
            "self" if self.no_self() => return self.own(at),
            "super" if self.line && self.src[end..].starts_with('(') => return self.parent(at),
            _ => {}
        }
        if !text.is_ascii() {
            self.foreign_name(at..end);
        }
        // Even a character that begins no word is passed over.
        end.max(at + self.src[at..].chars().next().map_or(1, char::len_utf8))
    }

    /// Whether `self` names nothing in the text: nothing of this name is declared.
    fn no_self(&mut self) -> bool {
        *self.named_self.get_or_insert_with(|| {
            let words = self.src.match_indices("self");
            !words.into_iter().any(|(i, w)| self.src[i + w.len()..].trim_start_matches(' ').starts_with([':', '=']))
        })
    }

    /// `self.fc1`, `fn forward(self, x)`
    fn own(&mut self, at: usize) -> usize {
        let b = self.src.as_bytes();
        let end = at + "self".len();
        let blanks = self.src[end..].len() - self.src[end..].trim_start_matches([' ', ',']).len();
        let first = self.last == b'(' && matches!(b.get(end), Some(b',' | b')'));
        let place = match b.get(end) {
            Some(b'.') if b.get(end + 1).is_some_and(|c| word(*c)) => at..end + 1,
            _ if first => at..end + blanks,
            _ => {
                self.last = b'f';
                return end;
            }
        };
        self.put(place.clone(), "");
        let message = "members of a model are named without `self`".into();
        self.find(at..end, message, "a model has no `self`", "leave `self` out", vec![(place.clone(), String::new())]);
        place.end
    }

    /// `super().__init__()`
    fn parent(&mut self, at: usize) -> usize {
        let end = at + self.src[at..self.line_end(at)].trim_end().len();
        self.put(at..end, "");
        let message = "a model extends nothing: there is no `super`".into();
        self.find(at..end, message, "nothing is to be called", "remove the line", vec![(at..end, String::new())]);
        end
    }

    fn foreign_name(&mut self, at: Range<usize>) {
        let text = &self.src[at.clone()];
        for (i, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            self.bytes(at.start + i..at.start + i + c.len_utf8()).fill(b'x');
        }
        let odd = text.chars().find(|c| !c.is_ascii()).unwrap_or(' ');
        let number = text.chars().all(char::is_numeric);
        if number {
            // As a name it would be one; digits are in its place.
            self.bytes(at.clone()).fill(b'1');
        }
        let shown = shown(text, "this");
        let message = format!("names and numbers are ASCII letters, digits and `_`, which `{shown}` is not");
        let label = format!("`{odd}` is {} (U+{:04X})", chars::family(odd), odd as u32);
        match text.chars().map(chars::spelled).collect::<Option<String>>() {
            Some(a) => self.find(at.clone(), message, &label, &format!("write `{a}`"), vec![(at, a)]),
            None => self.find(at, message, &label, "choose a name of the letters a to z", vec![]),
        }
    }

    /// `'text'`, with the letters before it from `at` on.
    fn single(&mut self, at: usize, quote: usize) -> usize {
        let line = &self.src[quote..self.line_end(quote)];
        if line.starts_with("'''") {
            return self.triple(at, quote);
        }
        if quote < self.unquoted {
            return quote + 1;
        }
        let (mut body, mut escaped) = (String::new(), false);
        for (i, c) in line.char_indices().skip(1) {
            match c {
                '\'' if !escaped => {
                    let end = quote + i + 1;
                    self.quoted(quote..end, 1, 1);
                    let message = "a string is written with `\"`, not with `'`".into();
                    let edit = vec![(at..end, format!("\"{body}\""))];
                    self.find(quote..end, message, "this string has single quotes", "write `\"`", edit);
                    return end;
                }
                '\'' => body.push('\''),
                '"' if !escaped => body.push_str("\\\""),
                '\\' if !escaped => {}
                c if escaped => body.extend(['\\', c]),
                c => body.push(c),
            }
            escaped = c == '\\' && !escaped;
        }
        self.unquoted = quote + line.len();
        quote + 1
    }

    /// Puts double quotes around what stands in a place, and nothing inside that could end it.
    fn quoted(&mut self, at: Range<usize>, open: usize, close: usize) {
        let len = at.len();
        let bytes = self.bytes(at);
        bytes.iter_mut().filter(|b| matches!(b, b'"' | b'\\' | b'\n')).for_each(|b| *b = b' ');
        bytes[..open].fill(b' ');
        bytes[0] = b'"';
        bytes[len - close..].fill(b' ');
        bytes[len - 1] = b'"';
    }

    /// `"""text"""`, with the letters before it from `at` on.
    fn triple(&mut self, at: usize, quote: usize) -> usize {
        let mark = &self.src[quote..quote + 3];
        let Some(len) = self.src[quote + 3..].find(mark) else {
            // The string never ends; the layout says so.
            return quote + 3;
        };
        let end = quote + 3 + len + 3;
        let body = &self.src[quote + 3..end - 3];
        let message = format!("there are no `{mark}` strings");
        if self.line && at == quote && !matches!(self.open.last(), Some(b'(' | b'[')) {
            self.put(quote..end, "");
            let doc = |l: &str| format!("## {}", l.trim()).trim_end().to_owned();
            let text = body.trim().split('\n').map(doc).collect::<Vec<_>>().join("\n");
            let label = "a description is written with `##` above the item";
            self.find(quote..quote + 3, message, label, "write `##` lines", vec![(at..end, text)]);
        } else {
            self.quoted(quote..end, 3, 3);
            let text = body.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "").replace('\n', "\\n");
            let edit = vec![(at..end, format!("\"{text}\""))];
            self.find(quote..quote + 3, message, "a string has one `\"` on each side", "write it on one line", edit);
        }
        end
    }

    /// A character that stands in no token of the language.
    fn character(&mut self, at: usize) -> usize {
        let Some(c) = self.src[at..].chars().next() else { return at + 1 };
        let end = at + c.len_utf8();
        let closers = chars::quote(c).filter(|_| at >= self.unquoted);
        let close = closers.and_then(|closers| self.src[end..self.line_end(at)].find(closers));
        if closers.is_some() && close.is_none() {
            self.unquoted = self.line_end(at);
        }
        if let Some(n) = close {
            let close = end + n;
            let after = close + self.src[close..].chars().next().map_or(1, char::len_utf8);
            self.quoted(at..after, end - at, after - close);
            let body = self.src[end..close].replace('\\', "\\\\").replace('"', "\\\"");
            let message = format!("`{c}` is {} (U+{:04X}) and begins no string", chars::quote_name(c), c as u32);
            let edit = vec![(at..after, format!("\"{body}\""))];
            self.find(at..end, message, "looks like `\"`", "write `\"`", edit);
            return after;
        }
        match chars::like(c) {
            Some((name, ascii)) => {
                self.look_alike(at..end, c, name, ascii);
                end
            }
            None if c.is_alphanumeric() => self.word(at),
            None => end,
        }
    }

    fn look_alike(&mut self, at: Range<usize>, c: char, name: &str, ascii: &str) {
        let b = self.src.as_bytes();
        let touches = at.start > 0 && word(b[at.start - 1]);
        let code = c as u32;
        // What parses in its place, and is no longer than it is.
        let stand_in = match ascii.trim() {
            "" if touches && ascii.is_empty() => "xxx",
            // The operator that binds least chains with all others.
            "and" | "or" => "|>",
            "not" => "-",
            a if a.len() <= at.len() => a,
            _ => "",
        };
        // What follows may have to touch these, what stands before all others.
        let left = if matches!(stand_in, ")" | "]" | "}" | "." | "@") { at.len() - stand_in.len() } else { 0 };
        self.put(at.clone(), "");
        self.put(at.start + left..at.end, stand_in);
        let blank = |i: Option<&u8>| i.is_none_or(|c| c.is_ascii_whitespace());
        let left = ascii.len() > 1 && ascii.starts_with(' ') && !blank(at.start.checked_sub(1).map(|i| &b[i]));
        let right = ascii.len() > 1 && ascii.ends_with(' ') && !blank(b.get(at.end));
        let space = |yes| if yes { " " } else { "" };
        match ascii {
            " " => {
                let message = format!("{name} (U+{code:04X}) is no blank");
                self.find(at.clone(), message, "looks like a blank", "write a blank", vec![(at, " ".into())]);
            }
            "" => {
                let message = format!("{name} (U+{code:04X}) stands here unseen");
                self.find(at.clone(), message, "not seen, but there", "remove it", vec![(at, String::new())]);
            }
            _ => {
                let a = ascii.trim();
                let message = format!("`{c}` is {name} (U+{code:04X}), which is no part of the language");
                let edit = vec![(at.clone(), format!("{}{a}{}", space(left), space(right)))];
                self.find(at, message, &format!("stands for `{a}`"), &format!("write `{a}`"), edit);
            }
        }
    }
}

fn word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}
