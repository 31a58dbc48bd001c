//! The order of statements, and the barriers between them.
//!
//! In: kernels with their views, and bodies of sequences. Out: statements such that values are written before they are read and slots are read
//! before they are overwritten, in as few rounds as the longest chain allows; a barrier opens a round. Kernels that differ
//! only in length and views become segments of one launch. To what is around it a sequence is one statement, which does all that
//! its body does in any turn; inside, a body is ordered like a program, and its barriers also keep turns apart.

use super::finish::Lowered;
use super::touch::{Around, Lag, Touch, touches};
use super::{Bug, ScheduleError};
use crate::fuse::reach::Reach;
use crate::kernel::ir::{Arena, Buffer, BufferId, Inst, Kernel, Launch, Segment, Seq, Split, Stmt};
use std::collections::{BTreeMap, HashMap};

/// How many launches a step tries to join.
const NEAR: usize = 64;

/// What is to be put in order.
pub enum Work {
    /// A kernel.
    Kernel(Box<Lowered>),
    /// What a sequence does in a step.
    Seq {
        /// Steps; at least one.
        n: u64,
        /// From the last number to the first.
        reverse: bool,
        /// In the order of creation.
        body: Vec<Work>,
    },
}

/// A statement before it is ordered.
struct Step {
    what: What,
    /// What it does to buffers, by buffer.
    touches: Vec<Touch>,
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
    /// Position in the order of creation; writers of one buffer keep it.
    first: usize,
}

enum What {
    /// A launch: where the first segment comes from, and how many come from elsewhere.
    Launch { name: String, others: u32, kernel: Box<Kernel>, segments: Vec<Segment> },
    /// A sequence, its body in order.
    Seq(Seq),
}

/// Distinct kernels, and statements in order.
pub type Ordered = (Vec<Kernel>, Vec<Stmt>);

/// Orders statements.
pub fn order(work: Vec<Work>, buffers: &[Buffer]) -> Result<Ordered, ScheduleError> {
    let mut pool = Pool::default();
    let body = list(work, &mut vec![], buffers, &mut pool)?;
    Ok((pool.kernels, body))
}

/// Kernels so far, and the names of launches.
#[derive(Default)]
struct Pool {
    names: Names,
    kernels: Vec<Kernel>,
    index: HashMap<Kernel, u32>,
}

/// Orders what stands in one body.
fn list(
    work: Vec<Work>,
    around: &mut Vec<Around>,
    buffers: &[Buffer],
    pool: &mut Pool,
) -> Result<Vec<Stmt>, ScheduleError> {
    let mut steps = vec![];
    for (first, w) in work.into_iter().enumerate() {
        steps.push(match w {
            Work::Kernel(l) => Step::launch(first, *l, around),
            Work::Seq { n, reverse, body } => {
                around.push(Around { n, reverse });
                let body = list(body, around, buffers, pool)?;
                around.pop();
                Step::seq(first, Seq { n, reverse, barrier: false, body }, &pool.kernels, around)
            }
        });
    }
    let edges = edges(&steps, buffers);
    let rounds = rounds(&steps, &edges)?;
    let merged = merge(&mut steps, &edges, &rounds, around);
    let (mut steps, edges, rounds) = if merged {
        let e = self::edges(&steps, buffers);
        let r = self::rounds(&steps, &e)?;
        (steps, e, r)
    } else {
        (steps, edges, rounds)
    };
    let sequence = sequence(&steps, &edges, &rounds);
    let barriers = barriers(&steps, &sequence, around);
    let mut body = vec![];
    for (i, barrier) in sequence.into_iter().zip(barriers) {
        let empty = Seq { n: 0, reverse: false, barrier, body: vec![] };
        body.push(match std::mem::replace(&mut steps[i].what, What::Seq(empty)) {
            What::Seq(s) => Stmt::Seq(Seq { barrier, ..s }),
            What::Launch { name, others, kernel, segments } => {
                let name = match others {
                    0 => pool.names.unique(&name),
                    n => pool.names.unique(&format!("{name}+{n}")),
                };
                let key = Kernel { name: String::new(), ..(*kernel).clone() };
                let kernel = *pool.index.entry(key).or_insert_with(|| {
                    pool.kernels.push(Kernel { name: name.clone(), ..*kernel });
                    pool.kernels.len() as u32 - 1
                });
                Stmt::Launch(Launch { name, kernel, segments, barrier })
            }
        });
    }
    Ok(body)
}

/// Steps since the last barrier, by the buffers they read and by those they write.
#[derive(Clone, Default)]
struct Open([HashMap<BufferId, Vec<usize>>; 2]);

impl Open {
    fn clear(&mut self) {
        self.0.iter_mut().for_each(HashMap::clear);
    }

    fn add(&mut self, steps: &[Step], i: usize) {
        for (sets, of) in [&steps[i].reads, &steps[i].writes].into_iter().zip(&mut self.0) {
            sets.iter().for_each(|b| of.entry(*b).or_default().push(i));
        }
    }

    /// Must threads meet before step `i`, which runs so many turns of the sequence later?
    fn clash(&self, steps: &[Step], i: usize, lag: Lag) -> bool {
        let ([readers, writers], s) = (&self.0, &steps[i]);
        let written = s.writes.iter().filter_map(|b| readers.get(b)).flatten();
        let touched = s.reads.iter().chain(&s.writes).filter_map(|b| writers.get(b)).flatten();
        written.chain(touched).any(|&o| meet(&steps[o], s, lag)) && !nn_runtime::mutant!("sched.barrier")
    }
}

/// Whether a barrier stands before each step of a body. In a sequence, what comes before the first one is the turn before:
/// the one turn that a barrier leaves, or, if there is none, any.
fn barriers(steps: &[Step], sequence: &[usize], around: &[Around]) -> Vec<bool> {
    let inside = |i: usize| matches!(&steps[i].what, What::Seq(s) if meets(&s.body));
    let mut wanted = vec![false; sequence.len()];
    loop {
        let mut barriers = wanted.clone();
        let mut open = Open::default();
        for (b, &i) in barriers.iter_mut().zip(sequence) {
            *b = *b || open.clash(steps, i, Lag::NONE);
            if *b || inside(i) {
                open.clear();
            }
            open.add(steps, i);
        }
        let turns = around.last().map_or(1, |s| s.n);
        let any = barriers.contains(&true) || sequence.iter().any(|&i| inside(i));
        let lag = Lag { least: 1, most: if any { 1 } else { turns.saturating_sub(1) } };
        let mut late = None;
        for (at, &i) in sequence.iter().enumerate().filter(|_| turns > 1) {
            if barriers[at] || nn_runtime::mutant!("sched.turns") {
                break;
            }
            if open.clash(steps, i, lag) {
                late = Some(at);
                break;
            }
            if inside(i) {
                break;
            }
        }
        match late {
            Some(at) => wanted[at] = true,
            None => return barriers,
        }
    }
}

fn meets(body: &[Stmt]) -> bool {
    body.iter().any(|s| match s {
        Stmt::Launch(l) => l.barrier,
        Stmt::Seq(s) => s.barrier || meets(&s.body),
    })
}

impl Step {
    fn launch(first: usize, l: Lowered, around: &[Around]) -> Step {
        let segments = vec![Segment { views: l.views, cols: l.kernel.cols }];
        let touches = touches(&l.kernel, &segments, around);
        let what = What::Launch { name: l.kernel.name.clone(), others: 0, kernel: Box::new(l.kernel), segments };
        Step { what, touches, reads: vec![], writes: vec![], first }.with_sets()
    }

    fn seq(first: usize, s: Seq, kernels: &[Kernel], around: &mut Vec<Around>) -> Step {
        fn walk(s: &Seq, kernels: &[Kernel], around: &mut Vec<Around>, out: &mut Vec<Touch>) {
            around.push(Around { n: s.n, reverse: s.reverse });
            for stmt in &s.body {
                match stmt {
                    Stmt::Launch(l) => out.extend(touches(&kernels[l.kernel as usize], &l.segments, around)),
                    Stmt::Seq(s) => walk(s, kernels, around, out),
                }
            }
            around.pop();
        }
        let mut touches = vec![];
        walk(&s, kernels, around, &mut touches);
        let touches = touches.into_iter().map(|t| t.within(around.len())).collect();
        Step { what: What::Seq(s), touches, reads: vec![], writes: vec![], first }.with_sets()
    }

    fn with_sets(mut self) -> Step {
        self.sets();
        self
    }

    /// Takes the segments of another launch of an equal body.
    fn join(&mut self, s: Step) {
        let What::Launch { name, others, kernel, segments } = &mut self.what else { return };
        let What::Launch { name: also, kernel: other, segments: more, .. } = s.what else { return };
        *others += u32::from(also != *name);
        kernel.cols = kernel.cols.max(other.cols);
        for (a, b) in kernel.args.iter_mut().zip(&other.args) {
            a.len = a.len.max(b.len);
        }
        if other.split == Split::Cols {
            kernel.split = Split::Cols;
        }
        segments.extend(more);
    }

    /// What it does to a buffer.
    fn of(&self, b: BufferId) -> &[Touch] {
        let from = self.touches.partition_point(|t| t.view.buf < b);
        let n = self.touches[from..].partition_point(|t| t.view.buf == b);
        &self.touches[from..from + n]
    }

    fn sets(&mut self) {
        self.touches.sort_by_key(|t| t.view.buf);
        let of = |f: fn(&Touch) -> bool| {
            let mut all: Vec<BufferId> = self.touches.iter().filter(|t| f(t)).map(|t| t.view.buf).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        (self.reads, self.writes) = (of(|t| t.reads), of(|t| t.writes));
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
        // Persistent buffers are read as they were before the step; others as they were last written there.
        match buffers[b.0 as usize].arena {
            Arena::Param | Arena::State if !nn_runtime::mutant!("sched.read_before") => {
                rs.for_each(|&r| next[r].push(ws[0]))
            }
            _ => {
                for &r in rs {
                    if let Some(&w) = ws.iter().rev().find(|&&w| overlap(&steps[w], &steps[r], *b)) {
                        next[w].push(r);
                    }
                }
            }
        }
    }
    next.iter_mut().for_each(|n| {
        n.sort_unstable();
        n.dedup();
    });
    next
}

/// Does one step write elements of a buffer that another reads in the same turn?
fn overlap(w: &Step, r: &Step, b: BufferId) -> bool {
    let reads = |x: &Touch| r.of(b).iter().any(|y| y.reads && x.overlaps(y, Lag::NONE));
    w.of(b).iter().any(|x| x.writes && reads(x))
}

/// Must threads meet between two steps, the second so many turns later? Not where program order is enough: what they share,
/// each thread reaches in both alike.
fn meet(a: &Step, b: &Step, lag: Lag) -> bool {
    a.touches.iter().any(|x| {
        let of = |y: &&Touch| (x.writes || y.writes) && x.overlaps(y, lag) && !x.same_thread(y, lag);
        b.of(x.view.buf).iter().any(|y| of(&y))
    })
}

/// 1 where threads must meet.
fn weight(a: &Step, b: &Step) -> u32 {
    u32::from(meet(a, b, Lag::NONE))
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
fn merge(steps: &mut Vec<Step>, next: &[Vec<usize>], round: &[u32], around: &[Around]) -> bool {
    let mut by_body: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut first: HashMap<Kernel, usize> = HashMap::new();
    for (i, s) in steps.iter().enumerate() {
        let What::Launch { kernel, .. } = &s.what else { continue };
        if let Some(key) = open_length(kernel) {
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
            steps[h].join(s);
        }
    }
    for s in steps {
        if let What::Launch { kernel, segments, .. } = &s.what {
            if segments.len() > 1 {
                s.touches = touches(kernel, segments, around);
                s.sets();
            }
        }
    }
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
