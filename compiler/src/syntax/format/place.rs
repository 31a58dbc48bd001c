//! Columns for tokens, and the text.
//!
//! In: where lines start, which tokens share a column. Out: the text. A token waits for the one before it, a line for
//! the token it starts below, a shared column for all its tokens; each is placed once what it waits for is, so the work
//! is linear in the text. Should tokens wait for one another in a ring, the column they share is given up.

use super::Text;
use super::align::{Groups, cell_width};
use super::indent::Start;
use super::space::gap;
use crate::syntax::tokens::Kind;

/// A column farther right of one of its lines than this is given up: it would only be padding.
const FARTHEST: usize = 100;

struct Placer<'t, 'a> {
    t: &'t Text<'a>,
    starts: &'t [Start],
    groups: &'t Groups,
    /// The tokens that start a line and are placed from a token.
    follow: Vec<Vec<usize>>,
    col: Vec<Option<usize>>,
    /// Where the tokens of a group that can be placed would stand.
    waiting: Vec<Vec<(usize, usize)>>,
    given_up: Vec<bool>,
    ready: Vec<(usize, usize)>,
}

/// Lays a text out.
pub(super) fn place(t: &Text, starts: &[Start], groups: &Groups) -> String {
    let n = t.toks.len();
    let mut p = Placer {
        t,
        starts,
        groups,
        follow: vec![vec![]; n],
        col: vec![None; n],
        waiting: vec![vec![]; groups.all.len()],
        given_up: vec![false; groups.all.len()],
        ready: vec![],
    };
    for (line, start) in starts.iter().enumerate() {
        let first = t.lines[line].toks.start;
        match start.from {
            Some(from) => p.follow[from].push(first),
            None => p.try_at(first, start.by),
        }
    }
    p.run();
    for g in 0..groups.all.len() {
        let stuck = std::mem::take(&mut p.waiting[g]);
        p.given_up[g] = true;
        for (i, at) in stuck {
            p.set(i, at);
        }
        p.run();
    }
    p.text()
}

impl Placer<'_, '_> {
    /// A token can stand at a column, unless others have to stand there too.
    fn try_at(&mut self, i: usize, at: usize) {
        match self.groups.of[i].filter(|g| !self.given_up[*g]) {
            None => self.set(i, at),
            Some(g) => {
                self.waiting[g].push((i, at));
                let group = &self.groups.all[g];
                if self.waiting[g].len() < group.size {
                    return;
                }
                let members = std::mem::take(&mut self.waiting[g]);
                let width = |i: usize| if group.ends { cell_width(self.t, i) } else { 0 };
                let reach = |(i, at): &(usize, usize)| at + width(*i);
                let column = members.iter().map(reach).max().unwrap_or(0);
                let near = members.iter().all(|m| column - reach(m) <= FARTHEST);
                for (i, at) in members {
                    let at = if near { column - width(i) } else { at };
                    self.set(i, at);
                }
            }
        }
    }

    fn set(&mut self, i: usize, at: usize) {
        self.col[i] = Some(at);
        self.ready.push((i, at));
    }

    fn run(&mut self) {
        while let Some((i, at)) = self.ready.pop() {
            for f in std::mem::take(&mut self.follow[i]) {
                self.try_at(f, at + self.starts[self.t.line_of[f]].by);
            }
            if i + 1 < self.t.toks.len() && !self.t.starts_line(i + 1) {
                self.try_at(i + 1, at + self.t.width[i] + self.blanks(i + 1));
            }
        }
    }

    /// The least number of blanks before a token.
    fn blanks(&self, i: usize) -> usize {
        let t = self.t;
        match self.groups.of[i] {
            Some(g) => self.groups.all[g].blanks.unwrap_or_else(|| gap(t, i)),
            None if t.is_comment(i) => t.blanks(i).max(2),
            // Two blanks between entries set them apart.
            None if gap(t, i) == 1 && matches!(t.str(i - 1), "," | ";") => t.blanks(i).clamp(1, 2),
            None => gap(t, i),
        }
    }

    fn text(&self) -> String {
        let t = self.t;
        let mut out = String::with_capacity(t.source.len() + t.source.len() / 8);
        for (n, line) in t.lines.iter().enumerate() {
            let opened = n > 0 && t.kind(t.lines[n - 1].toks.end - 1) == Kind::Open;
            if line.blank && n > 0 && !opened && t.kind(line.toks.start) != Kind::Close {
                out.push('\n');
            }
            let mut at = 0;
            for i in line.toks.clone() {
                let col = self.col[i].unwrap_or(at + usize::from(at > 0));
                out.extend(std::iter::repeat_n(' ', col.saturating_sub(at)));
                out.push_str(t.str(i));
                at = col.max(at) + t.width[i];
            }
            out.push('\n');
        }
        out
    }
}
