//! The formatter: a text to the same text, laid out.
//!
//! In: the text of a file that parses. Out: the text with the same tokens and comments on the same lines, with standard
//! blanks, indentation and alignment. It moves the source's tokens instead of printing the tree, because a tree has no
//! comments, spells `1e-3` its own way and does not know where the author broke a line.
//!
//! Lines are the author's: none is joined or broken, and one blank line at most is kept. `space` says how far apart two
//! tokens stand, `indent` where a line starts, `align` which tokens of neighboring lines stand in one column because the
//! author put them there, and `place` turns all three into columns. The result is checked: the same tokens, and the
//! parser reads the same rules; else nothing is returned.

mod align;
mod indent;
mod place;
mod space;
#[cfg(test)]
mod tests;

use super::ast::Ast;
use super::layout::{Layout, layout};
use super::parse::roles::{Role, Roles, roles};
use crate::diag::Diagnostic;
use crate::source::FileId;
use crate::syntax::tokens::{Kind, Token, tokens};
use std::ops::Range;

/// Why a text was not formatted.
#[derive(Debug)]
pub enum Failure {
    /// It does not parse.
    Program(Vec<Diagnostic>),
    /// A defect of the formatter: the text would have changed its meaning.
    Bug,
}

/// Aligned columns can move a token that is by accident below another; formatting again then moves it once more, to the
/// left, so this ends. The bound only keeps a defect from running forever.
const ROUNDS: usize = 16;

/// Formats a text.
pub fn format(file: FileId, source: &str) -> Result<String, Failure> {
    let errors = super::parse(&mut Ast::default(), file, source);
    if !errors.is_empty() {
        return Err(Failure::Program(errors));
    }
    let first = Text::new(file, source);
    let mut out = once(&first, true);
    for round in 0..ROUNDS {
        // Without alignment there is nothing left that could move.
        let again = once(&Text::new(file, &out), round + 1 < ROUNDS);
        if again == out {
            break;
        }
        out = again;
    }
    let last = Text::new(file, &out);
    let same = last.layout.errors.is_empty()
        && first.roles.outline == last.roles.outline
        && first.spelled().eq(last.spelled());
    if same { Ok(out) } else { Err(Failure::Bug) }
}

fn once(text: &Text, align: bool) -> String {
    let groups = if align { align::groups(text) } else { align::Groups::none(text) };
    place::place(text, &indent::starts(text), &groups)
}

/// A line that holds tokens.
struct Line {
    /// Its tokens.
    toks: Range<usize>,
    /// An empty line stands before it.
    blank: bool,
}

/// A text as the formatter sees it.
struct Text<'a> {
    source: &'a str,
    layout: Layout,
    roles: Roles,
    toks: Vec<Token>,
    lines: Vec<Line>,
    /// The line of each token.
    line_of: Vec<usize>,
    /// The column of each token in the source.
    col: Vec<usize>,
    /// How wide each token is.
    width: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new(file: FileId, source: &'a str) -> Self {
        let layout = layout(file, source);
        let roles = roles(&layout);
        let cuts = roles.at.iter().filter(|(_, r)| matches!(r, Role::AngleClose)).map(|(at, _)| at + 1).collect();
        let toks = tokens(source, &cuts);
        let mut text = Text { source, layout, roles, toks, lines: vec![], line_of: vec![], col: vec![], width: vec![] };
        let (mut at, mut col) = (0, 0);
        for i in 0..text.toks.len() {
            let t = text.toks[i];
            let mut breaks = 0;
            for c in source[at..t.start].chars() {
                match c {
                    '\n' => (breaks, col) = (breaks + 1, 0),
                    '\t' => col += 4 - col % 4,
                    ' ' => col += 1,
                    _ => {}
                }
            }
            if i == 0 || breaks > 0 {
                text.lines.push(Line { toks: i..i, blank: breaks > 1 });
            }
            if let Some(line) = text.lines.last_mut() {
                line.toks.end = i + 1;
            }
            let width = source[t.start..t.end].chars().count();
            text.line_of.push(text.lines.len() - 1);
            text.col.push(col);
            text.width.push(width);
            (at, col) = (t.end, col + width);
        }
        text
    }

    fn str(&self, i: usize) -> &'a str {
        &self.source[self.toks[i].start..self.toks[i].end]
    }

    fn kind(&self, i: usize) -> Kind {
        self.toks[i].kind
    }

    fn role(&self, i: usize) -> Option<Role> {
        self.roles.at.get(&self.toks[i].start).copied()
    }

    fn is_comment(&self, i: usize) -> bool {
        self.kind(i) == Kind::Comment
    }

    fn starts_line(&self, i: usize) -> bool {
        self.lines[self.line_of[i]].toks.start == i
    }

    /// A line with nothing but a comment.
    fn only_comment(&self, line: usize) -> bool {
        self.is_comment(self.lines[line].toks.start)
    }

    /// Blanks between a token and the one before it on its line.
    fn blanks(&self, i: usize) -> usize {
        self.col[i] - (self.col[i - 1] + self.width[i - 1])
    }

    /// Whether a token is `=`, `~` or another sign between a name and its value.
    fn assigns(&self, i: usize) -> bool {
        self.kind(i) == Kind::Punct
            && matches!(self.str(i), "=" | "~" | "<-" | "+=" | "-=" | "*=")
            && self.role(i).is_none()
    }

    /// The tokens as spelled.
    fn spelled(&self) -> impl Iterator<Item = &'a str> + '_ {
        (0..self.toks.len()).map(|i| self.str(i))
    }
}
