//! Which tokens of neighboring lines stand in one column.
//!
//! In: tokens at the columns of the source. Out: groups of tokens that share a column. Blanks beyond the usual ones
//! are taken as meant only if they put a token below its like on the next line; a group then keeps one column, the
//! leftmost that all its lines reach. In the names and values of successive statements and entries (`loss    = ..`,
//! `w:    [N]`) two aligned lines are enough for all lines beside them that reach so far. Numbers may be aligned at their ends. Comments
//! after code keep their distance from the longest line.

use super::space::gap;
use super::{Role, Text};
use crate::syntax::parse::is_reserved;
use crate::syntax::tokens::Kind;
use std::collections::BTreeMap;

/// A column shared by several tokens.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// How many.
    pub size: usize,
    /// Their ends share a column, not their starts.
    pub ends: bool,
    /// The least number of blanks before each, where it is not the usual one.
    pub blanks: Option<usize>,
}

/// The groups of a text.
pub(super) struct Groups {
    pub of: Vec<Option<usize>>,
    pub all: Vec<Group>,
}

impl Groups {
    pub(super) fn none(t: &Text) -> Self {
        Groups { of: vec![None; t.toks.len()], all: vec![] }
    }

    fn add(&mut self, members: &[usize], ends: bool, blanks: Option<usize>) {
        for m in members {
            self.of[*m] = Some(self.all.len());
        }
        self.all.push(Group { size: members.len(), ends, blanks });
    }
}

/// Finds the groups of a text.
pub(super) fn groups(t: &Text) -> Groups {
    let mut out = Groups::none(t);
    let cells = Cells::new(t);
    slots(t, &cells, &mut out);
    columns(t, &cells, &mut out);
    comments(t, &mut out);
    out
}

/// The columns that a token covers with what sticks to it: a number and its sign.
pub(super) fn cell_width(t: &Text, i: usize) -> usize {
    match t.role(i) {
        Some(Role::Minus) if number_follows(t, i) => t.width[i] + t.width[i + 1],
        _ => t.width[i],
    }
}

fn number_follows(t: &Text, i: usize) -> bool {
    i + 1 < t.toks.len() && t.kind(i + 1) == Kind::Number && t.line_of[i + 1] == t.line_of[i]
}

/// What is known of each token inside its line.
struct Cells {
    /// The bracket that is open at it.
    parent: Vec<Option<usize>>,
    /// How many brackets are open at it.
    depth: Vec<usize>,
    /// How many commas stand before it in its bracket and line.
    ordinal: Vec<usize>,
}

impl Cells {
    fn new(t: &Text) -> Self {
        let n = t.toks.len();
        let mut cells = Cells { parent: vec![None; n], depth: vec![0; n], ordinal: vec![0; n] };
        let mut open: Vec<(usize, usize)> = vec![];
        let mut outer = 0;
        for i in 0..n {
            if t.starts_line(i) {
                outer = 0;
                open.iter_mut().for_each(|o| o.1 = 0);
            }
            if t.kind(i) == Kind::Close {
                open.pop();
            }
            cells.parent[i] = open.last().map(|o| o.0);
            cells.depth[i] = open.len();
            let ordinal = open.last_mut().map_or(&mut outer, |o| &mut o.1);
            cells.ordinal[i] = *ordinal;
            if matches!(t.str(i), "," | ";") {
                *ordinal += 1;
            }
            if t.kind(i) == Kind::Open {
                open.push((i, 0));
            }
        }
        cells
    }
}

/// More blanks than usual stand before a token. Those before a `:` count for what follows it.
fn wide(t: &Text, i: usize) -> bool {
    if t.starts_line(i) {
        return false;
    }
    let colon = t.str(i - 1) == ":" && !t.starts_line(i - 1) && gap(t, i) > 0;
    t.blanks(i) + if colon { t.blanks(i - 1) } else { 0 } > gap(t, i)
}

/// The slot of a line's name or value, if the line is one entry.
#[derive(Clone, PartialEq)]
struct Slot {
    tok: usize,
    parent: Option<usize>,
    word: String,
    typed: bool,
}

fn slots(t: &Text, cells: &Cells, out: &mut Groups) {
    for which in [type_slot, value_slot] {
        let mut run: Vec<Slot> = vec![];
        let mut last = 0;
        for line in 0..t.lines.len() {
            if t.only_comment(line) && !t.lines[line].blank {
                last += usize::from(last + 1 == line);
                continue;
            }
            let slot = which(t, cells, line);
            let goes_on = match (run.last(), &slot) {
                (Some(a), Some(b)) => {
                    last + 1 == line
                        && !t.lines[line].blank
                        && (a.parent, &a.word, a.typed) == (b.parent, &b.word, b.typed)
                }
                _ => false,
            };
            if !goes_on {
                slot_run(t, &run, out);
                run.clear();
            }
            run.extend(slot);
            last = line;
        }
        slot_run(t, &run, out);
    }
}

/// The lines that reach the column of the aligned ones share it; longer ones stay out, as they did.
fn slot_run(t: &Text, run: &[Slot], out: &mut Groups) {
    let meant = |p: &[Slot]| {
        let (a, b) = (p[0].tok, p[1].tok);
        (t.col[a] == t.col[b] && (wide(t, a) || wide(t, b))).then_some(t.col[a])
    };
    if let Some(column) = run.windows(2).filter_map(meant).max() {
        let reaches = |i: &usize| t.col[*i] - t.blanks(*i) + gap(t, *i) <= column;
        let members: Vec<usize> = run.iter().map(|s| s.tok).filter(reaches).collect();
        out.add(&members, false, None);
    }
}

/// The type or value after the `:` of `name:` or `param name:` at the start of a line.
fn type_slot(t: &Text, cells: &Cells, line: usize) -> Option<Slot> {
    let toks = t.lines[line].toks.clone();
    let colon =
        (toks.start + 1..=toks.start + 2).find(|i| *i < toks.end && t.str(*i) == ":" && t.role(*i).is_none())?;
    let words = (toks.start..colon).all(|i| t.kind(i) == Kind::Word);
    if !words || colon + 1 >= toks.end || t.is_comment(colon + 1) || one_of_many(t, cells, line) {
        return None;
    }
    Some(slot(t, cells, toks.start, colon + 1))
}

/// The `=` of a line that is one statement or entry.
fn value_slot(t: &Text, cells: &Cells, line: usize) -> Option<Slot> {
    let toks = t.lines[line].toks.clone();
    let depth = cells.depth[toks.start];
    let own = |i: &usize| cells.depth[*i] == depth;
    let tok = toks.clone().filter(own).find(|i| t.assigns(*i))?;
    let typed = toks.clone().filter(own).any(|i| i < tok && t.str(i) == ":");
    if tok == toks.start || one_of_many(t, cells, line) {
        return None;
    }
    Some(Slot { typed, ..slot(t, cells, toks.start, tok) })
}

/// Several statements or entries stand on a line.
fn one_of_many(t: &Text, cells: &Cells, line: usize) -> bool {
    let toks = t.lines[line].toks.clone();
    let depth = cells.depth[toks.start];
    let last = toks.end - 1;
    let last = if t.is_comment(last) { last.saturating_sub(1) } else { last };
    toks.clone().any(|i| i < last && cells.depth[i] == depth && matches!(t.str(i), ";" | ","))
}

fn slot(t: &Text, cells: &Cells, first: usize, tok: usize) -> Slot {
    let word = if is_reserved(t.str(first)) { t.str(first).to_owned() } else { String::new() };
    Slot { tok, parent: cells.parent[first], word, typed: false }
}

/// What makes tokens of neighboring lines alike: the column, the token or (`true`) the one before it, brackets and
/// commas before it.
type Key<'a> = (usize, bool, &'a str, usize, usize);

/// Tokens below one another in neighboring lines.
fn columns(t: &Text, cells: &Cells, out: &mut Groups) {
    let mut runs: Vec<(bool, Vec<usize>)> = vec![];
    for ends in [false, true] {
        let mut above: BTreeMap<Key, usize> = BTreeMap::new();
        for line in &t.lines {
            let mut here = BTreeMap::new();
            for i in line.toks.clone() {
                let key = if ends { end_key(t, cells, i) } else { start_key(t, cells, i) };
                let Some(key) = key.filter(|_| out.of[i].is_none()) else { continue };
                let run = match above.get(&key).filter(|_| !line.blank) {
                    Some(run) => *run,
                    None => {
                        runs.push((ends, vec![]));
                        runs.len() - 1
                    }
                };
                runs[run].1.push(i);
                here.insert(key, run);
            }
            above = here;
        }
    }
    runs.retain(|r| r.1.len() > 1);
    // A token can stand in two runs: the longer one explains more.
    runs.sort_by_key(|(ends, members)| (std::cmp::Reverse(members.len()), *ends, members[0]));
    for (ends, mut members) in runs {
        members.retain(|m| out.of[*m].is_none());
        let shifted = |m: &usize| wide(t, *m) || (t.starts_line(*m) && cell_width(t, *m) != cell_width(t, members[0]));
        if members.len() > 1 && members.iter().any(shifted) {
            // Where all stand two blanks after what is before them, that is the author's least distance.
            let apart = |m: &usize| !t.starts_line(*m) && gap(t, *m) == 1 && t.blanks(*m) > 1;
            out.add(&members, ends, members.iter().all(apart).then_some(2));
        }
    }
}

fn start_key<'a>(t: &Text<'a>, cells: &Cells, i: usize) -> Option<Key<'a>> {
    if t.is_comment(i) || t.starts_line(i) || gap(t, i) == 0 {
        return None;
    }
    let class = match t.kind(i) {
        Kind::Punct if t.assigns(i) => (false, "="),
        Kind::Punct if t.role(i) != Some(Role::Minus) => (false, t.str(i)),
        Kind::Word if is_reserved(t.str(i)) => (false, t.str(i)),
        _ if t.kind(i - 1) == Kind::Punct => (true, t.str(i - 1)),
        _ if t.str(i) == "{" => (false, "{"),
        _ => return None,
    };
    Some((t.col[i], class.0, class.1, cells.depth[i], cells.ordinal[i]))
}

/// A number, with its sign, that stands alone between brackets and commas.
fn end_key<'a>(t: &Text<'a>, cells: &Cells, i: usize) -> Option<Key<'a>> {
    let number = t.kind(i) == Kind::Number || (t.role(i) == Some(Role::Minus) && number_follows(t, i));
    let alone = if i == 0 { false } else { matches!(t.str(i - 1), "," | "[" | "(" | "=" | ":") };
    if !number || !alone || (t.starts_line(i) && t.str(i - 1) != "," && t.kind(i - 1) != Kind::Open) {
        return None;
    }
    Some((t.col[i] + cell_width(t, i), true, "", cells.depth[i], cells.ordinal[i]))
}

/// Comments after code in neighboring lines.
fn comments(t: &Text, out: &mut Groups) {
    let mut run: Vec<usize> = vec![];
    for line in 0..t.lines.len() {
        let last = t.lines[line].toks.end - 1;
        let same = run.last().is_some_and(|r| t.col[*r] == t.col[last]) && !t.lines[line].blank;
        if t.only_comment(line) && same {
            // It goes on from the comment above.
            continue;
        }
        let trails = t.is_comment(last) && !t.starts_line(last);
        if !(trails && same) {
            comment_run(t, &run, out);
            run.clear();
        }
        if trails {
            run.push(last);
        }
    }
    comment_run(t, &run, out);
}

fn comment_run(t: &Text, run: &[usize], out: &mut Groups) {
    if let Some(least) = run.iter().map(|i| t.blanks(*i)).min() {
        out.add(run, false, Some(least.max(2)));
    }
}
