//! Text to tokens, comments included: what the formatter moves and what messages about wrong text look at.
//!
//! In: a text, and the offsets at which a token must end (the grammar knows where `idx<V>=` is cut). Out: tokens with
//! their places. Nothing is lost: the bytes between two tokens are blanks.

use std::collections::BTreeSet;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::syntax) enum Kind {
    /// A name or keyword.
    Word,
    /// `1_000`, `1e-3`
    Number,
    /// `"text"`
    Str,
    /// `# to the end of the line`, without blanks at its end
    Comment,
    /// `(`, `[`, `{`
    Open,
    /// `)`, `]`, `}`
    Close,
    /// Anything else.
    Punct,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(in crate::syntax) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Punctuation of two characters.
const PAIRS: &[&[u8; 2]] =
    &[b"|>", b"->", b"<-", b"==", b"!=", b"<=", b">=", b"**", b"//", b"..", b"+=", b"-=", b"*=", b"+:"];

/// Cuts a text into tokens.
pub(in crate::syntax) fn tokens(text: &str, cuts: &BTreeSet<usize>) -> Vec<Token> {
    let b = text.as_bytes();
    let mut out: Vec<Token> = vec![];
    let mut i = if text.starts_with('\u{feff}') { 3 } else { 0 };
    while i < b.len() {
        if matches!(b[i], b' ' | b'\t' | b'\r' | b'\n') {
            i += 1;
            continue;
        }
        let after_dot = out.last().is_some_and(|t| t.end == i && &b[t.start..t.end] == b".");
        let (kind, len) = match b[i] {
            b'#' => {
                let line = text[i..].split('\n').next().unwrap_or("");
                (Kind::Comment, line.trim_end_matches([' ', '\t', '\r']).len())
            }
            b'"' => (Kind::Str, string(&b[i..])),
            b'0'..=b'9' if after_dot => (Kind::Word, run(&b[i..], |c| c.is_ascii_digit())),
            b'0'..=b'9' => (Kind::Number, number(&b[i..])),
            b'*' if after_dot => (Kind::Word, if b[i..].starts_with(b"**") { 2 } else { 1 }),
            c if word(c) => (Kind::Word, run(&b[i..], word)),
            b'(' | b'[' | b'{' => (Kind::Open, 1),
            b')' | b']' | b'}' => (Kind::Close, 1),
            _ => (Kind::Punct, punct(text, i, cuts)),
        };
        out.push(Token { kind, start: i, end: i + len });
        i += len;
    }
    out
}

fn word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

fn run(b: &[u8], f: impl Fn(u8) -> bool) -> usize {
    b.iter().take_while(|c| f(**c)).count()
}

fn string(b: &[u8]) -> usize {
    let mut i = 1;
    while i < b.len() && b[i] != b'"' && b[i] != b'\n' {
        i += if b[i] == b'\\' && i + 1 < b.len() { 2 } else { 1 };
    }
    (i + 1).min(b.len())
}

/// As the grammar's `number`: a point and an exponent need digits after them.
fn number(b: &[u8]) -> usize {
    let digit = |c: u8| c.is_ascii_digit();
    let mut n = run(b, |c| digit(c) || c == b'_');
    if b.get(n) == Some(&b'.') && b.get(n + 1).is_some_and(|c| digit(*c)) {
        n += 1 + run(&b[n + 1..], digit);
    }
    if matches!(b.get(n), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(b.get(n + 1), Some(b'+' | b'-')));
        let digits = run(&b[(n + 1 + sign).min(b.len())..], digit);
        if digits > 0 {
            n += 1 + sign + digits;
        }
    }
    n
}

fn punct(text: &str, at: usize, cuts: &BTreeSet<usize>) -> usize {
    let b = text.as_bytes();
    if !cuts.contains(&(at + 1)) && PAIRS.iter().any(|p| b[at..].starts_with(&p[..])) {
        return 2;
    }
    text[at..].chars().next().map_or(1, char::len_utf8)
}
