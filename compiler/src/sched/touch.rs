//! What a launch does to the places that it binds, and when two launches may run with no barrier between them.
//!
//! In: a kernel with its views, and the sequences around it. Out: for each view what every thread touches of it. Two launches
//! need no barrier if they never meet, or if each thread meets itself alone: their rows or columns are cut alike, and what
//! they share they address alike. `kernel/verify_plan.rs` proves the same another way.

use crate::kernel::ir::{Access, Anchor, ArgId, Inst, Kernel, Role, Segment, Split, View};
use smallvec::SmallVec;

/// A sequence around a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Its steps.
    pub n: u64,
    /// From the last number to the first.
    pub reverse: bool,
}

/// How many turns of the innermost common sequence lie between two launches.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// At least.
    pub least: u64,
    /// At most.
    pub most: u64,
}

impl Lag {
    /// The same turn.
    pub const NONE: Lag = Lag { least: 0, most: 0 };
}

/// An argument of a launch.
#[derive(Clone, Debug)]
pub struct Touch {
    /// What it binds.
    pub view: View,
    /// Reads it.
    pub reads: bool,
    /// Writes it.
    pub writes: bool,
    /// What decides which thread touches which part.
    cut: Cut,
    around: SmallVec<[Around; 2]>,
    /// How many of the sequences around it are around its statement, too.
    common: usize,
}

/// Which thread touches which part of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    /// The first thread all of it.
    First,
    /// Threads share that many rows, each of which touches its own window of so many elements, this many windows on.
    Rows { rows: u64, stride: i64, first: i64 },
    /// Threads share that many columns, each of which touches elements of its own.
    Cols { cols: u64, rows: SmallVec<[u64; 4]>, at: Access },
    /// Not known.
    Any,
}

/// What a launch touches.
pub fn touches(k: &Kernel, segments: &[Segment], around: &[Around]) -> Vec<Touch> {
    let single = segments.len() == 1;
    let mut all = vec![];
    for s in segments {
        for (i, (view, a)) in s.views.iter().zip(&k.args).enumerate() {
            let arg = ArgId(i as u32);
            let cut = match k.split {
                Split::None => Cut::First,
                Split::Rows if nn_runtime::mutant!("sched.window") => Cut::First,
                Split::Rows if single => {
                    window(k, arg).map_or(Cut::Any, |(stride, first)| Cut::Rows { rows: k.n_rows(), stride, first })
                }
                Split::Cols if single => {
                    columns(k, arg).map_or(Cut::Any, |at| Cut::Cols { cols: k.cols, rows: k.rows.clone(), at })
                }
                Split::Rows | Split::Cols => Cut::Any,
            };
            all.push(Touch {
                view: view.clone(),
                reads: a.role != Role::Out,
                writes: a.role != Role::In,
                cut,
                around: around.into(),
                common: around.len(),
            });
        }
    }
    all
}

impl Touch {
    /// May it share elements with `o`, of a launch so many turns later?
    pub fn overlaps(&self, o: &Touch, lag: Lag) -> bool {
        let (a, b) = (self.view.len as i128, o.view.len as i128);
        a > 0 && b > 0 && self.distance(o, lag).reaches(1 - a, b - 1)
    }

    /// Does each thread meet only itself where the two overlap?
    pub fn same_thread(&self, o: &Touch, lag: Lag) -> bool {
        let d = self.distance(o, lag);
        match (&self.cut, &o.cut) {
            (Cut::First, Cut::First) => true,
            (Cut::Rows { rows, stride, first }, Cut::Rows { rows: n, stride: s, first: f }) => {
                // Views that are not at one place are so far apart that no window of one meets a window of the other.
                let all = i128::from(*stride) * i128::from(*rows);
                let here = d.shifted(i128::from(first - f) * i128::from(*stride));
                rows == n && stride == s && here.only_zero_below(all)
            }
            (Cut::Cols { .. }, Cut::Cols { .. }) => {
                self.cut == o.cut && d.only_zero_below(self.view.len.max(o.view.len) as i128)
            }
            _ => false,
        }
    }

    /// How far its first element may be past that of `o`.
    fn distance(&self, o: &Touch, lag: Lag) -> Distance {
        let mut d = Distance { at: i128::from(self.view.offset) - i128::from(o.view.offset), terms: SmallVec::new() };
        let common = self.common.min(o.common);
        for depth in 0..self.around.len().max(o.around.len()) {
            let stride = |t: &Touch| i128::from(t.view.stride(depth as u32));
            let last = |t: &Touch| t.around.get(depth).map_or(0, |s| i128::from(s.n) - 1);
            if depth >= common {
                d.term(stride(self), last(self));
                d.term(-stride(o), last(o));
                continue;
            }
            d.term(stride(self) - stride(o), last(self));
            if depth + 1 == common {
                // The other one is that many turns on.
                let turn = if self.around[depth].reverse { stride(o) } else { -stride(o) };
                d.at += turn * i128::from(lag.least);
                d.term(turn, i128::from(lag.most) - i128::from(lag.least));
            }
        }
        d
    }

    /// Inside a statement that has only `n` sequences around it.
    pub fn within(mut self, n: usize) -> Touch {
        self.common = n;
        self
    }
}

/// The numbers `at` plus any multiple, from 0 up to a most, of each term.
struct Distance {
    at: i128,
    terms: SmallVec<[(i128, i128); 4]>,
}

impl Distance {
    fn term(&mut self, by: i128, most: i128) {
        if by != 0 && most > 0 {
            self.terms.push((by, most));
        }
    }

    fn shifted(mut self, by: i128) -> Distance {
        self.at += by;
        self
    }

    /// May it be a number from `from` to `to`? Never says no wrongly.
    fn reaches(&self, from: i128, to: i128) -> bool {
        let ends = |f: fn(i128, i128) -> i128| self.terms.iter().map(|&(by, most)| f(by * most, 0)).sum::<i128>();
        let (low, high) = ((self.at + ends(i128::min)).max(from), (self.at + ends(i128::max)).min(to));
        // All of them leave the same rest.
        let unit = self.terms.iter().fold(0, |a, t| gcd(a, t.0.abs()));
        match unit {
            0 => low <= self.at && self.at <= high,
            unit => low + (self.at - low).rem_euclid(unit) <= high,
        }
    }

    /// Is 0 the only one of less than `n`, either way?
    fn only_zero_below(&self, n: i128) -> bool {
        !self.reaches(1 - n, -1) && !self.reaches(1, n - 1)
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Where every access to a formal buffer is, if each column has elements of its own.
fn columns(k: &Kernel, arg: ArgId) -> Option<Access> {
    let mut found: Option<&Access> = None;
    for i in &k.insts {
        match i {
            Inst::Load { arg: a, at } | Inst::Store { arg: a, at, .. } if *a == arg => {
                if *found.get_or_insert(at) != at {
                    return None;
                }
            }
            Inst::LoadAt { arg: a, .. } | Inst::StoreAt { arg: a, .. } if *a == arg => return None,
            _ => {}
        }
    }
    if matches!(&k.anchor, Some(Anchor::Contract(c)) if c.a.0 == arg || c.b.0 == arg) {
        return None;
    }
    let at = found?;
    // Columns lie side by side, and each row beyond all that lies before it, in steps of all columns.
    let mut rows: Vec<(u64, u64)> =
        k.rows.iter().zip(&at.rows).filter(|r| *r.0 > 1).map(|(&n, s)| (s.unsigned_abs(), n)).collect();
    rows.sort_unstable();
    let mut span = k.cols.max(1) - 1;
    let apart = rows.iter().all(|&(s, n)| {
        let fits = s > span && s % k.cols.max(1) == 0;
        span = span.saturating_add(s.saturating_mul(n - 1));
        fits
    });
    (at.col == 1 && apart && at.seq == 0).then(|| at.clone())
}

/// The part of a formal buffer that row `r` touches, as stride and first:
/// `[(first + r) * stride, (first + r + 1) * stride)`.
fn window(k: &Kernel, arg: ArgId) -> Option<(i64, i64)> {
    let mut found: Option<(i64, i64)> = None;
    let mut one = |at: &Access, steps: &[(u64, i64)]| -> Option<()> {
        let (mut stride, mut below) = (None, 1);
        for (&n, &s) in k.rows.iter().zip(&at.rows).rev().filter(|(n, _)| **n > 1) {
            if s != *stride.get_or_insert(s) * below {
                return None;
            }
            below *= n as i64;
        }
        let stride = stride.filter(|&s| s > 0)?;
        let (mut low, mut high) = (at.offset, at.offset);
        for &(n, s) in [(k.cols, at.col)].iter().chain(steps) {
            let span = s * (n.max(1) as i64 - 1);
            low += span.min(0);
            high += span.max(0);
        }
        let w = (stride, low.div_euclid(stride));
        (high.div_euclid(stride) == w.1 && *found.get_or_insert(w) == w).then_some(())
    };
    for p in 0..k.phases.len() {
        let seq = k.phases[p].seq.unwrap_or(1);
        for i in &k.insts[k.phase_range(p)] {
            match i {
                Inst::Load { arg: a, at } | Inst::Store { arg: a, at, .. } if *a == arg => one(at, &[(seq, at.seq)])?,
                Inst::LoadAt { arg: a, .. } | Inst::StoreAt { arg: a, .. } if *a == arg => return None,
                _ => {}
            }
        }
    }
    if let Some(Anchor::Contract(c)) = &k.anchor {
        for ((a, at), steps) in [&c.a, &c.b].into_iter().zip(c.steps()) {
            if *a == arg {
                one(at, &steps)?;
            }
        }
    }
    found
}
