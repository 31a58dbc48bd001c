//! Where lines start.
//!
//! In: tokens. Out: for the first token of each line the token it is placed from, and how far to its right. What a
//! bracket holds stands two columns right of the line that opens it, a closing bracket below that line, a statement that
//! goes on two columns right of its start. A line that the author put right below what it continues stays there: below
//! the first token in its bracket, below the value of its statement, an `else` below its `if`.

use super::{Role, Text};
use crate::syntax::tokens::Kind;

/// Where a line starts: right of a token, or of the margin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub from: Option<usize>,
    pub by: usize,
}

const STEP: usize = 2;

struct Scope {
    /// Statements or entries, which newlines or commas separate, stand in it; else it holds one expression.
    braces: bool,
    /// Commas separate its entries too.
    list: bool,
    /// What it holds stands `STEP` right of this.
    base: Option<usize>,
    /// The first token in it, if that stands on the line of the bracket.
    first: Option<usize>,
    open: Option<usize>,
    /// The first token of the current statement.
    statement: Option<usize>,
    /// The first token after the statement's `=`.
    value: Option<usize>,
    /// The first token after the statement's `where`.
    clause: Option<usize>,
    assigned: bool,
}

impl Scope {
    fn new(braces: bool, list: bool, open: Option<usize>, base: Option<usize>) -> Self {
        Scope { braces, list, base, first: None, open, statement: None, value: None, clause: None, assigned: false }
    }

    fn end_statement(&mut self) {
        self.statement = None;
        self.value = None;
        self.clause = None;
        self.assigned = false;
    }

    fn inside(&self) -> Start {
        match self.base {
            Some(_) => Start { from: self.base, by: STEP },
            None => Start { from: None, by: 0 },
        }
    }
}

/// The start of every line.
pub(super) fn starts(t: &Text) -> Vec<Start> {
    let mut out = vec![Start { from: None, by: 0 }; t.lines.len()];
    // Where the contents of the bracket that a line closes stand, for the comments before it.
    let mut inner: Vec<Option<Start>> = vec![None; t.lines.len()];
    let mut scopes = vec![Scope::new(true, false, None, None)];
    let mut before: Option<usize> = None;
    for i in (0..t.toks.len()).filter(|i| !t.is_comment(*i)) {
        let line = t.line_of[i];
        let closes = t.kind(i) == Kind::Close;
        let scope = scopes.last_mut().unwrap_or_else(|| unreachable!("the outermost scope stays"));
        if separated(t, before, i) && scope.braces {
            scope.end_statement();
        }
        let begins = scope.statement.is_none();
        if scope.open.is_some() && scope.open == before && !closes && !t.starts_line(i) {
            scope.first = Some(i);
        }
        if t.starts_line(i) {
            if closes {
                out[line] = Start { from: scope.base, by: 0 };
                inner[line] = Some(scope.inside());
            } else {
                out[line] = start(t, scope, i, before, begins);
            }
        }
        if begins && !closes && t.str(i) != ";" {
            scope.statement = Some(i);
        } else if scope.assigned && scope.value.is_none() {
            scope.value = Some(i);
        } else if before.is_some_and(|b| t.str(b) == "where") {
            scope.clause = Some(i);
        }
        scope.assigned |= t.assigns(i);
        if t.str(i) == ";" || (t.str(i) == "," && scope.list) {
            scope.end_statement();
        }
        match t.kind(i) {
            Kind::Open => {
                let braces = t.str(i) == "{";
                let head = t.lines[line].toks.start;
                // The body of a header that goes over several lines belongs to the header's first line.
                let header = matches!(t.str(head), "where" | "->" | "=")
                    || scope.clause.is_some() && scope.value.is_none_or(|v| v > head);
                let of_statement = braces && scope.braces && header;
                let base = if of_statement { scope.statement.or(Some(head)) } else { Some(head) };
                let list = t.role(i) == Some(Role::List);
                scopes.push(Scope::new(braces, list, Some(i), base));
            }
            Kind::Close if scopes.len() > 1 => drop(scopes.pop()),
            _ => {}
        }
        before = Some(i);
    }
    comments(t, &mut out, &inner);
    out
}

/// Whether the layout ended a statement between two tokens. Comments are blanks there, so a `;` is a separator.
fn separated(t: &Text, before: Option<usize>, i: usize) -> bool {
    before.is_some_and(|b| t.layout.text.as_bytes()[t.toks[b].end..t.toks[i].start].contains(&b';'))
}

/// The start of a line that begins with token `i`, which closes nothing.
fn start(t: &Text, scope: &Scope, i: usize, before: Option<usize>, begins: bool) -> Start {
    let below = |j: Option<usize>| j.filter(|j| t.line_of[*j] < t.line_of[i] && t.col[*j] == t.col[i]);
    let at = |from: usize| Start { from: Some(from), by: 0 };
    if (begins || !scope.braces)
        && let Some(first) = below(scope.first)
    {
        return at(first);
    }
    let (false, true, Some(statement)) = (begins, scope.braces, scope.statement) else { return scope.inside() };
    let after_attr = before.is_some_and(|b| t.roles.at.get(&(t.toks[b].end - 1)) == Some(&Role::AttrEnd));
    if after_attr || t.str(i) == "where" {
        return at(statement);
    }
    if t.str(i) == "else" {
        let offset = t.roles.if_of.get(&t.toks[i].start);
        let own_if = offset.and_then(|o| t.toks.binary_search_by_key(o, |k| k.start).ok());
        let block = before.filter(|b| t.kind(*b) == Kind::Close && t.starts_line(*b));
        if let Some(from) = below(own_if).or(block).or(own_if.filter(|j| *j == statement)) {
            return at(from);
        }
    }
    match below(scope.value).or(below(scope.clause)) {
        Some(value) => at(value),
        None => Start { from: Some(statement), by: STEP },
    }
}

/// A comment on a line of its own stands with the code after it, or below the comment that it goes on from.
fn comments(t: &Text, out: &mut [Start], inner: &[Option<Start>]) {
    let mut next = Start { from: None, by: 0 };
    for line in (0..t.lines.len()).rev() {
        if t.only_comment(line) {
            out[line] = next;
        } else {
            next = inner[line].unwrap_or(Start { from: Some(t.lines[line].toks.start), by: 0 });
        }
    }
    // The comment above, if it trails code or goes on from one that does.
    let mut above: Option<usize> = None;
    for line in 0..t.lines.len() {
        let (first, last) = (t.lines[line].toks.start, t.lines[line].toks.end - 1);
        above = match above.filter(|_| !t.lines[line].blank) {
            Some(a) if t.only_comment(line) && t.col[a] == t.col[first] => {
                out[line] = Start { from: Some(a), by: 0 };
                Some(first)
            }
            _ => (t.is_comment(last) && !t.only_comment(line)).then_some(last),
        };
    }
}
