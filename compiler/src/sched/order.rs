//! The order of launches, and the barriers between them.
//!
//! In: kernels with their buffers. Out: launches such that values are written before they are read and slots are read
//! before they are overwritten, in as few rounds as the longest chain allows; a barrier opens a round. Kernels that differ
//! only in length and buffers become segments of one launch.

use super::finish::Lowered;
use super::{Bug, ScheduleError};
use crate::fuse::reach::Reach;
use crate::kernel::ir::{Access, Anchor, Arena, ArgId, Buffer, BufferId, Inst, Kernel, Launch, Role, Segment, Split};
use std::collections::{BTreeMap, HashMap};

/// How many launches a step tries to join.
const NEAR: usize = 64;

/// A launch before it is ordered.
struct Step {
    /// Where the first segment comes from, and how many come from elsewhere.
    name: String,
    others: u32,
    kernel: Kernel,
    segments: Vec<Segment>,
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
    /// Position in the order of creation; writers of one buffer keep it.
    first: usize,
}

/// Distinct kernels, and launches in order.
pub type Ordered = (Vec<Kernel>, Vec<Launch>);

/// Orders launches.
pub fn order(lowered: Vec<Lowered>, buffers: &[Buffer]) -> Result<Ordered, ScheduleError> {
    let mut steps: Vec<Step> = lowered.into_iter().enumerate().map(|(i, l)| Step::new(i, l)).collect();
    let edges = edges(&steps, buffers);
    let rounds = rounds(&steps, &edges)?;
    let merged = merge(&mut steps, &edges, &rounds);
    let (steps, edges, rounds) = if merged {
        let e = self::edges(&steps, buffers);
        let r = self::rounds(&steps, &e)?;
        (steps, e, r)
    } else {
        (steps, edges, rounds)
    };
    let sequence = sequence(&steps, &edges, &rounds);
    let mut names = Names::default();
    let mut kernels: Vec<Kernel> = vec![];
    let mut index: HashMap<Kernel, u32> = HashMap::new();
    let mut launches = vec![];
    // Launches since the last barrier, by the buffers they read and by those they write.
    let mut open: [HashMap<BufferId, Vec<usize>>; 2] = Default::default();
    for i in sequence {
        let s = &steps[i];
        let name = match s.others {
            0 => names.unique(&s.name),
            n => names.unique(&format!("{}+{n}", s.name)),
        };
        let key = Kernel { name: String::new(), ..s.kernel.clone() };
        let kernel = *index.entry(key).or_insert_with(|| {
            kernels.push(Kernel { name: name.clone(), ..s.kernel.clone() });
            kernels.len() as u32 - 1
        });
        let [readers, writers] = &open;
        let written = s.writes.iter().filter_map(|b| readers.get(b)).flatten();
        let touched = s.reads.iter().chain(&s.writes).filter_map(|b| writers.get(b)).flatten();
        let barrier =
            written.chain(touched).any(|&o| weight(&steps[o], s) == 1) && !nn_runtime::mutant!("sched.barrier");
        if barrier {
            open.iter_mut().for_each(HashMap::clear);
        }
        for (sets, of) in [&s.reads, &s.writes].into_iter().zip(&mut open) {
            sets.iter().for_each(|b| of.entry(*b).or_default().push(i));
        }
        launches.push(Launch { name, kernel, segments: s.segments.clone(), barrier });
    }
    Ok((kernels, launches))
}

impl Step {
    fn new(first: usize, l: Lowered) -> Step {
        let cols = l.kernel.cols;
        let mut s = Step {
            name: l.kernel.name.clone(),
            others: 0,
            kernel: l.kernel,
            segments: vec![Segment { buffers: l.buffers, cols }],
            reads: vec![],
            writes: vec![],
            first,
        };
        s.sets();
        s
    }

    /// The part of a buffer that row `r` touches, as stride and first: `[(first + r) * stride, (first + r + 1) * stride)`.
    fn windows(&self, buf: BufferId) -> Option<(i64, i64)> {
        let [seg] = &self.segments[..] else { return None };
        let mut found: Option<(i64, i64)> = None;
        for (i, &b) in seg.buffers.iter().enumerate() {
            if b == buf {
                let w = window(&self.kernel, ArgId(i as u32))?;
                if *found.get_or_insert(w) != w {
                    return None;
                }
            }
        }
        found
    }

    fn sets(&mut self) {
        (self.reads, self.writes) = (vec![], vec![]);
        for seg in &self.segments {
            for (a, &b) in self.kernel.args.iter().zip(&seg.buffers) {
                if a.role != Role::Out {
                    self.reads.push(b);
                }
                if a.role != Role::In {
                    self.writes.push(b);
                }
            }
        }
        for x in [&mut self.reads, &mut self.writes] {
            x.sort_unstable();
            x.dedup();
        }
    }
}

/// Successors of every step.
fn edges(steps: &[Step], buffers: &[Buffer]) -> Vec<Vec<usize>> {
    let mut readers: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    let mut writers: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    for (i, s) in steps.iter().enumerate() {
        s.reads.iter().for_each(|&b| readers.entry(b).or_default().push(i));
        s.writes.iter().for_each(|&b| writers.entry(b).or_default().push(i));
    }
    let mut next = vec![vec![]; steps.len()];
    for (b, ws) in &writers {
        let mut ws = ws.clone();
        ws.sort_by_key(|&w| {
            if nn_runtime::mutant!("sched.write_order") { usize::MAX - steps[w].first } else { steps[w].first }
        });
        ws.windows(2).for_each(|p| next[p[0]].push(p[1]));
        let rs = readers.get(b).into_iter().flatten().filter(|r| !ws.contains(r));
        // Persistent buffers are read as they were before the step; others as they were last written.
        match buffers[b.0 as usize].arena {
            Arena::Param | Arena::State if !nn_runtime::mutant!("sched.read_before") => {
                rs.for_each(|&r| next[r].push(ws[0]))
            }
            _ => rs.for_each(|&r| next[ws[ws.len() - 1]].push(r)),
        }
    }
    next.iter_mut().for_each(|n| {
        n.sort_unstable();
        n.dedup();
    });
    next
}

/// Buffers that one of two steps writes and the other touches.
fn shared(a: &Step, b: &Step) -> Vec<BufferId> {
    let both = |x: &[BufferId], y: &[BufferId]| -> Vec<BufferId> {
        x.iter().copied().filter(|b| y.binary_search(b).is_ok()).collect()
    };
    let mut all = both(&a.writes, &b.reads);
    all.extend(both(&a.writes, &b.writes));
    all.extend(both(&a.reads, &b.writes));
    all
}

/// 0 where program order is enough: what two steps share, each thread reaches in both alike.
fn weight(a: &Step, b: &Step) -> u32 {
    let alike = match (a.kernel.split, b.kernel.split) {
        // The first thread runs both.
        (Split::None, Split::None) => true,
        // Rows are cut by their number alone: each must keep to its own part of a shared buffer.
        (Split::Rows, Split::Rows) if a.kernel.n_rows() == b.kernel.n_rows() => shared(a, b).into_iter().all(|buf| {
            let (x, y) = (a.windows(buf), b.windows(buf));
            nn_runtime::mutant!("sched.window") || x.is_some() && x == y
        }),
        _ => false,
    };
    u32::from(!alike)
}

/// The earliest round of every step.
fn rounds(steps: &[Step], next: &[Vec<usize>]) -> Result<Vec<u32>, ScheduleError> {
    let order = topological(next);
    if order.len() != steps.len() {
        return Err(ScheduleError::Bug(Bug("launches wait for each other in a circle".into())));
    }
    let mut round = vec![0; steps.len()];
    for a in order {
        for &b in &next[a] {
            round[b] = round[b].max(round[a] + weight(&steps[a], &steps[b]));
        }
    }
    Ok(round)
}

/// Every step after those before it; what waits in a circle is left out.
fn topological(next: &[Vec<usize>]) -> Vec<usize> {
    let mut waits = vec![0; next.len()];
    next.iter().flatten().for_each(|&b| waits[b] += 1);
    let mut order: Vec<usize> = (0..next.len()).filter(|&i| waits[i] == 0).collect();
    let mut at = 0;
    while let Some(&a) = order.get(at) {
        at += 1;
        for &b in &next[a] {
            waits[b] -= 1;
            if waits[b] == 0 {
                order.push(b);
            }
        }
    }
    order
}

/// Topological order by round.
fn sequence(steps: &[Step], next: &[Vec<usize>], round: &[u32]) -> Vec<usize> {
    let mut waits = vec![0; steps.len()];
    next.iter().flatten().for_each(|&b| waits[b] += 1);
    let mut ready: std::collections::BTreeSet<(u32, usize, usize)> =
        (0..steps.len()).filter(|&i| waits[i] == 0).map(|i| (round[i], steps[i].first, i)).collect();
    let mut out = vec![];
    while let Some((_, _, a)) = ready.pop_first() {
        out.push(a);
        for &b in &next[a] {
            waits[b] -= 1;
            if waits[b] == 0 {
                ready.insert((round[b], steps[b].first, b));
            }
        }
    }
    out
}

/// See [`Step::windows`], for one formal buffer.
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

/// The kernel with its length left open, if it may run over segments.
fn open_length(k: &Kernel) -> Option<Kernel> {
    let plain = |i: &Inst| match i {
        Inst::Lane(_) => true,
        Inst::Load { arg, at } | Inst::Store { arg, at, .. } => {
            let len = k.args[arg.0 as usize].len;
            at.offset == 0 && at.seq == 0 && (at.col == 1 && len == k.cols || at.col == 0 && len == 1)
        }
        _ => false,
    };
    let simple = k.rows.is_empty() && k.anchor.is_none() && k.phases.len() == 1 && k.phases[0].seq.is_none();
    if !simple || !k.insts.iter().all(plain) {
        return None;
    }
    let mut key = Kernel { name: String::new(), cols: 0, split: Split::Cols, ..k.clone() };
    for i in &k.insts {
        if let Inst::Load { arg, at } | Inst::Store { arg, at, .. } = i {
            // A buffer of one element that is read by every column is one element in every segment.
            if at.col == 1 {
                key.args[arg.0 as usize].len = 0;
            }
        }
    }
    Some(key)
}

/// Joins steps of equal bodies that are in the same round or that nothing waits for.
fn merge(steps: &mut Vec<Step>, next: &[Vec<usize>], round: &[u32]) -> bool {
    let mut by_body: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut first: HashMap<Kernel, usize> = HashMap::new();
    for (i, s) in steps.iter().enumerate() {
        if let Some(key) = open_length(&s.kernel) {
            by_body.entry(*first.entry(key).or_insert(i)).or_default().push(i);
        }
    }
    let mut m = Merge::new(next, round);
    let mut any = false;
    for group in by_body.into_values() {
        // Launches by round, and those that nothing waits for, which may join in any round.
        let (mut by_round, mut last): (BTreeMap<u32, Vec<usize>>, Vec<usize>) = (BTreeMap::new(), vec![]);
        for i in group {
            let same = by_round.get(&round[i]).map_or(&[][..], |h| h);
            let mut heads: Vec<usize> =
                if next[i].is_empty() { same.iter().chain(&last).copied().collect() } else { same.to_vec() };
            heads.sort_unstable();
            heads.dedup();
            // The last ones: of launches that wait for each other a deep program has thousands.
            let near = heads.len().saturating_sub(NEAR);
            match heads.into_iter().skip(near).find(|&h| m.free(h, i)) {
                Some(h) => {
                    m.join(h, i);
                    any = true;
                }
                None => {
                    by_round.entry(round[i]).or_default().push(i);
                    if next[i].is_empty() {
                        last.push(i);
                    }
                }
            }
        }
    }
    let Merge { into, .. } = m;
    if !any {
        return false;
    }
    let old = std::mem::take(steps);
    let mut at: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, s) in old.into_iter().enumerate() {
        if into[i] == i {
            at.insert(i, steps.len());
            steps.push(s);
        } else if let Some(&h) = at.get(&into[i]) {
            let head = &mut steps[h];
            head.others += u32::from(s.name != head.name);
            head.kernel.cols = head.kernel.cols.max(s.kernel.cols);
            for (a, b) in head.kernel.args.iter_mut().zip(&s.kernel.args) {
                a.len = a.len.max(b.len);
            }
            if s.kernel.split == Split::Cols {
                head.kernel.split = Split::Cols;
            }
            head.segments.extend(s.segments);
        }
    }
    steps.iter_mut().filter(|s| s.segments.len() > 1).for_each(Step::sets);
    true
}

/// Which steps go into which launch, so far.
struct Merge<'a> {
    next: &'a [Vec<usize>],
    round: &'a [u32],
    /// The launch that each step goes into, by its first step.
    into: Vec<usize>,
    /// The steps of each launch.
    parts: Vec<Vec<usize>>,
    /// Which launch waits for which, by the steps' places in a topological order.
    reach: Reach,
    place: Vec<u32>,
}

impl<'a> Merge<'a> {
    fn new(next: &'a [Vec<usize>], round: &'a [u32]) -> Self {
        let n = next.len();
        let (mut place, mut deps) = (vec![0; n], vec![vec![]; n]);
        topological(next).into_iter().enumerate().for_each(|(at, a)| place[a] = at as u32);
        for (a, b) in next.iter().enumerate().flat_map(|(a, next)| next.iter().map(move |&b| (a, b))) {
            deps[place[b] as usize].push(place[a]);
        }
        let parts = (0..n).map(|i| vec![i]).collect();
        Merge { next, round, into: (0..n).collect(), parts, reach: Reach::new(deps), place }
    }

    /// May step `i` join launch `h`? Only if neither waits for the other, whole launches waiting for whole launches.
    fn free(&mut self, h: usize, i: usize) -> bool {
        let beside = |&p: &usize| self.round[p] == self.round[i] || self.next[p].is_empty() && self.next[i].is_empty();
        let (a, b) = (self.place[h], self.place[i]);
        self.parts[h].iter().all(beside)
            && (nn_runtime::mutant!("sched.merge") || !self.reach.reaches(a, b))
            && !self.reach.reaches(b, a)
    }

    /// Step `i` joins launch `h`.
    fn join(&mut self, h: usize, i: usize) {
        self.into[i] = h;
        self.parts[h].push(i);
        self.reach.merge(self.place[h], self.place[i]);
    }
}

/// Names given out so far.
#[derive(Default)]
struct Names(HashMap<String, u32>);

impl Names {
    /// The name, with a number from the second on.
    fn unique(&mut self, name: &str) -> String {
        let mut wanted = name.to_owned();
        loop {
            let n = self.0.entry(wanted.clone()).or_insert(0);
            *n += 1;
            match *n {
                1 => return wanted,
                n => wanted = format!("{name}.{n}"),
            }
        }
    }
}
