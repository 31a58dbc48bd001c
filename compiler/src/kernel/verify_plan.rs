//! The invariants of kernel programs: launches, buffers, the memory plan and barriers, checked all at once.
//!
//! In: a program. Out: every violation, those of its kernels included. What holds of a program without violations:
//!
//! - P1. Buffers are aligned; only temporaries share bytes; constant tables lie in theirs.
//! - P2. A launch gives each argument a view of its dtype and length, inside its buffer whatever the sequences around it
//!   count. Several segments only for flat kernels (no rows, no anchor, one phase, accesses at the column or at one element),
//!   each as long as its accesses need. A sequence has a step.
//! - P3. Within a launch, nothing that is written shares bytes with anything else. Data, tables and step scalars are only
//!   read.
//! - P4. A temporary is read only while its bytes are its own: written before, and not since overwritten by another. Held
//!   step by step.
//! - P5. Between two launches with no barrier that meet at a byte which one of them writes, the same thread touches that
//!   byte in both: both run on one thread, or both are cut alike and address the buffer alike. The same launch of two steps
//!   is two launches; in a sequence without barriers one thread may be any number of steps ahead.

use super::ir::*;
use super::verify::{self, injective, reach};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// All violations of the invariants; empty means that the program is sound.
pub fn program(p: &KernelProgram) -> Vec<String> {
    let mut errors: Vec<String> = p.kernels.iter().flat_map(verify::kernel).collect();
    let mut v = Verifier { p, errors: vec![] };
    v.buffers();
    if v.launches() {
        v.temporaries(&p.body, &mut vec![], &mut 0, &mut Owners::default());
        v.barriers(&p.body, &mut vec![], &mut 0, &mut vec![]);
    }
    errors.extend(v.errors);
    errors
}

struct Verifier<'a> {
    p: &'a KernelProgram,
    errors: Vec<String>,
}

fn bytes(b: &Buffer) -> u64 {
    b.len.saturating_mul(b.dtype.bytes() as u64)
}

fn overlap(a: &Buffer, b: &Buffer) -> bool {
    a.arena == b.arena && a.offset < b.offset + bytes(b) && b.offset < a.offset + bytes(a)
}

impl<'a> Verifier<'a> {
    fn err(&mut self, message: impl Into<String>) {
        self.errors.push(message.into());
    }

    fn buffers(&mut self) {
        let p = self.p;
        let mut order: Vec<&Buffer> = p.buffers.iter().filter(|b| b.arena != Arena::Temp && b.len > 0).collect();
        order.sort_by_key(|b| (b.arena, b.offset));
        for w in order.windows(2) {
            if overlap(w[0], w[1]) {
                self.err(format!("%{} and %{} share bytes", w[0].name, w[1].name));
            }
        }
        for b in &p.buffers {
            if b.offset % 64 != 0 {
                self.err(format!("%{} is not aligned", b.name));
            }
            if b.arena == Arena::Temp && b.offset + bytes(b) > p.temp_bytes {
                self.err(format!("%{} ends after the arena of {} bytes", b.name, p.temp_bytes));
            }
        }
        for (id, table) in &p.consts {
            match p.buffers.get(id.0 as usize) {
                Some(b) if b.arena == Arena::Const && table.len() as u64 == bytes(b) => {}
                Some(b) => self.err(format!("the table of %{} does not fit it", b.name)),
                None => self.err(format!("a table of no buffer {}", id.0)),
            }
        }
        for (name, id) in &p.outputs {
            if p.buffers.get(id.0 as usize).is_none() {
                self.err(format!("output {name} of no buffer {}", id.0));
            }
        }
    }

    /// P2 and P3. Whether the launches can be looked at further.
    fn launches(&mut self) -> bool {
        let before = self.errors.len();
        let (mut nest, mut number) = (vec![], 0);
        let body = &self.p.body;
        self.statements(body, &mut nest, &mut number, &Verifier::launch);
        if self.errors.len() > before {
            return false;
        }
        (nest, number) = (vec![], 0);
        self.statements(body, &mut nest, &mut number, &Verifier::within);
        true
    }

    /// Every launch with the sequences around it and its number.
    fn statements(&mut self, body: &'a [Stmt], nest: &mut Vec<Steps>, number: &mut usize, f: &Visit<'a>) {
        for s in body {
            match s {
                Stmt::Launch(l) => {
                    f(self, l, nest, *number);
                    *number += 1;
                }
                Stmt::Seq(s) => {
                    if s.n == 0 {
                        self.err(format!("a sequence without steps before launch {number}"));
                    }
                    nest.push(Steps::of(s));
                    self.statements(&s.body, nest, number, f);
                    nest.pop();
                }
            }
        }
    }

    fn launch(&mut self, l: &'a Launch, nest: &[Steps], n: usize) {
        let Some(k) = self.p.kernels.get(l.kernel as usize) else {
            return self.err(format!("launch {n}: no kernel {}", l.kernel));
        };
        let who = format!("launch {n} ({})", l.name);
        if l.segments.is_empty() {
            self.err(format!("{who}: no segment"));
        }
        if l.segments.len() > 1 && !is_flat(k) {
            self.err(format!("{who}: several segments of a kernel that is not flat"));
        }
        for s in &l.segments {
            self.segment(&who, k, s, l.segments.len() > 1, nest);
        }
    }

    fn within(&mut self, l: &'a Launch, nest: &[Steps], n: usize) {
        let uses = self.uses(l, nest);
        let name = &self.p.kernels[l.kernel as usize].name;
        for (i, a) in uses.iter().enumerate() {
            if a.writes && matches!(a.buffer.arena, Arena::Data | Arena::Const | Arena::Step) {
                self.err(format!("launch {n} (@{name}): writes %{}", a.buffer.name));
            }
            for b in &uses[i + 1..] {
                if (a.writes || b.writes) && a.meets(b) {
                    let (x, y) = (&a.buffer.name, &b.buffer.name);
                    self.err(format!("launch {n} (@{name}): writes bytes that %{x} and %{y} share"));
                }
            }
        }
    }

    fn segment(&mut self, who: &str, k: &Kernel, s: &Segment, several: bool, nest: &[Steps]) {
        if s.views.len() != k.args.len() {
            return self.err(format!("{who}: {} views for {} arguments", s.views.len(), k.args.len()));
        }
        if !several && s.cols != k.cols {
            self.err(format!("{who}: {} columns of {}", s.cols, k.cols));
        }
        for (i, (v, a)) in s.views.iter().zip(&k.args).enumerate() {
            let Some(b) = self.p.buffers.get(v.buf.0 as usize) else {
                self.err(format!("{who}: no buffer {}", v.buf.0));
                continue;
            };
            let (mut low, mut high) = (i128::from(v.offset), i128::from(v.offset) + i128::from(v.len));
            for &(depth, stride) in &v.by {
                let Some(steps) = nest.get(depth as usize) else {
                    self.err(format!("{who}: %{} moves with a sequence {depth} that is not around it", b.name));
                    continue;
                };
                let d = i128::from(stride) * i128::from(steps.n.saturating_sub(1));
                *if d < 0 { &mut low } else { &mut high } += d;
            }
            if low < 0 || high > i128::from(b.len) {
                self.err(format!("{who}: a view of elements {low} to {high} of %{} with {}", b.name, b.len));
            }
            if b.dtype != a.dtype {
                self.err(format!("{who}: %{} is {}, not {}", b.name, b.dtype, a.dtype));
            }
            if !several && v.len != a.len {
                self.err(format!("{who}: %{} has {} elements, not {}", b.name, v.len, a.len));
            }
            for (arg, at) in affine(k) {
                if several
                    && arg.0 as usize == i
                    && let Some((low, high)) = reach(k, s.cols, at, &[])
                    && (low < 0 || high >= i128::from(v.len))
                {
                    self.err(format!("{who}: reaches elements {low} to {high} of %{} with {}", b.name, v.len));
                }
            }
        }
    }

    fn uses(&self, l: &'a Launch, nest: &[Steps]) -> Vec<Use<'a>> {
        let p = self.p;
        let k = &p.kernels[l.kernel as usize];
        let of = |(segment, s): (usize, &'a Segment)| {
            s.views.iter().zip(&k.args).enumerate().map(move |(arg, (view, a))| Use {
                buffer: &p.buffers[view.buf.0 as usize],
                view,
                segment,
                arg: ArgId(arg as u32),
                launch: l,
                kernel: k,
                writes: a.role != Role::In,
                nest: nest.into(),
                later: nest.iter().map(|_| (0, 0)).collect(),
            })
        };
        l.segments.iter().enumerate().flat_map(of).collect()
    }

    /// P4, by who wrote each byte last.
    fn temporaries(&mut self, body: &'a [Stmt], at: &mut Vec<u64>, number: &mut usize, owners: &mut Owners) {
        for s in body {
            match s {
                Stmt::Launch(l) => {
                    let k = &self.p.kernels[l.kernel as usize];
                    let all = l.segments.iter().flat_map(|s| s.views.iter().zip(&k.args));
                    let place = |v: &View| {
                        let b = &self.p.buffers[v.buf.0 as usize];
                        let size = b.dtype.bytes() as u64;
                        let from = b.offset + v.first(at) as u64 * size;
                        (b.arena == Arena::Temp).then_some((from, from + v.len * size))
                    };
                    let mut astray = vec![];
                    for (v, _) in all.clone().filter(|(_, a)| a.role != Role::Out) {
                        if place(v).is_some_and(|(from, to)| !owners.owns(v.buf, from, to)) {
                            astray.push(v.buf);
                        }
                    }
                    for (v, _) in all.filter(|(_, a)| a.role != Role::In) {
                        if let Some((from, to)) = place(v) {
                            owners.write(v.buf, from, to);
                        }
                    }
                    for b in astray {
                        let b = &self.p.buffers[b.0 as usize].name;
                        let when = if at.is_empty() { String::new() } else { format!(" at {at:?}") };
                        self.err(format!("launch {number} (@{}): reads %{b} where it is not{when}", k.name));
                    }
                    *number += 1;
                }
                Stmt::Seq(s) => {
                    let (first, errors) = (*number, self.errors.len());
                    for i in 0..s.n {
                        *number = first;
                        at.push(s.number(i));
                        self.temporaries(&s.body, at, number, owners);
                        at.pop();
                        // The first step that goes wrong says it all.
                        if self.errors.len() > errors {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// P5. `since`: what was used since the last barrier.
    fn barriers(&mut self, body: &'a [Stmt], nest: &mut Vec<Steps>, number: &mut usize, since: &mut Vec<Use<'a>>) {
        for s in body {
            let (Stmt::Launch(Launch { barrier, .. }) | Stmt::Seq(Seq { barrier, .. })) = s;
            if *barrier {
                since.clear();
            }
            match s {
                Stmt::Launch(l) => {
                    let uses = self.uses(l, nest);
                    for u in &uses {
                        let clash = |o: &&Use<'_>| (o.writes || u.writes) && o.meets(u) && !same_thread(o, u);
                        if let Some(o) = since.iter().find(clash) {
                            let (k, b, j, c) = (&u.kernel.name, &u.buffer.name, &o.kernel.name, &o.buffer.name);
                            self.err(format!("launch {number} (@{k}): no barrier between %{b} and %{c} of @{j}"));
                        }
                    }
                    since.extend(uses);
                    *number += 1;
                }
                Stmt::Seq(s) => {
                    let (depth, first, errors) = (nest.len(), *number, self.errors.len());
                    nest.push(Steps::of(s));
                    self.barriers(&s.body, nest, number, since);
                    if s.n > 1 && self.errors.len() == errors {
                        // Once more, after any step that no barrier keeps away.
                        let most = if meets_barrier(&s.body) { 1 } else { i128::from(s.n - 1) };
                        since.iter_mut().filter_map(|u| u.later.get_mut(depth)).for_each(|l| *l = (1, most));
                        *number = first;
                        self.barriers(&s.body, nest, number, since);
                    }
                    nest.pop();
                    since.iter_mut().for_each(|u| u.later.truncate(depth));
                }
            }
        }
    }
}

fn meets_barrier(body: &[Stmt]) -> bool {
    body.iter().any(|s| match s {
        Stmt::Launch(l) => l.barrier,
        Stmt::Seq(s) => s.barrier || meets_barrier(&s.body),
    })
}

type Visit<'a> = dyn Fn(&mut Verifier<'a>, &'a Launch, &[Steps], usize);

/// What a sequence around a launch counts.
#[derive(Clone, Copy)]
struct Steps {
    n: u64,
    reverse: bool,
}

impl Steps {
    fn of(s: &Seq) -> Steps {
        Steps { n: s.n, reverse: s.reverse }
    }
}

/// Who wrote each byte of the temporaries last: by first byte, the end and the buffer.
#[derive(Default)]
struct Owners(BTreeMap<u64, (u64, BufferId)>);

impl Owners {
    fn owns(&self, b: BufferId, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            match self.0.range(..=at).next_back() {
                Some((_, &(end, owner))) if end > at && owner == b => at = end,
                _ => return false,
            }
        }
        true
    }

    fn write(&mut self, b: BufferId, from: u64, to: u64) {
        let over: Vec<(u64, (u64, BufferId))> =
            self.0.range(..to).rev().take_while(|(_, e)| e.0 > from).map(|(&start, &e)| (start, e)).collect();
        for (start, (end, owner)) in over {
            self.0.remove(&start);
            if start < from {
                self.0.insert(start, (from, owner));
            }
            if end > to {
                self.0.insert(to, (end, owner));
            }
        }
        if from < to {
            self.0.insert(from, (to, b));
        }
    }
}

/// An argument of a launch.
struct Use<'a> {
    buffer: &'a Buffer,
    view: &'a View,
    segment: usize,
    arg: ArgId,
    launch: &'a Launch,
    kernel: &'a Kernel,
    writes: bool,
    /// The sequences around it.
    nest: SmallVec<[Steps; 2]>,
    /// How many steps of those that it has in common with what comes next are between the two, at least and at most.
    later: SmallVec<[(i128, i128); 2]>,
}

impl Use<'_> {
    fn size(&self) -> i128 {
        self.buffer.dtype.bytes() as i128
    }

    /// How far its first byte may be past that of `o`, which comes next.
    fn past(&self, o: &Use<'_>) -> Distances {
        let start = |u: &Use<'_>| i128::from(u.buffer.offset) + i128::from(u.view.offset) * u.size();
        let mut d = Distances { low: start(self) - start(o), high: start(self) - start(o), step: 0 };
        let stride = |u: &Use<'_>, depth: usize| i128::from(u.view.stride(depth as u32)) * u.size();
        for depth in 0..self.nest.len().max(o.nest.len()) {
            match self.later.get(depth) {
                Some(&(least, most)) => {
                    d.add_both(stride(self, depth), stride(o, depth), self.nest[depth], (least, most));
                }
                None => {
                    let last = |u: &Use<'_>| u.nest.get(depth).map_or(0, |s| i128::from(s.n) - 1);
                    d.add(stride(self, depth), 0, last(self));
                    d.add(-stride(o, depth), 0, last(o));
                }
            }
        }
        d
    }

    /// May it share bytes with `o`, which comes next?
    fn meets(&self, o: &Use<'_>) -> bool {
        let bytes = |u: &Use<'_>| i128::from(u.view.len) * u.size();
        let (a, b) = (bytes(self), bytes(o));
        self.buffer.arena == o.buffer.arena && a > 0 && b > 0 && self.past(o).any_in(1 - a, b - 1)
    }
}

/// Numbers from `low` to `high`, `step` apart.
#[derive(Clone, Copy)]
struct Distances {
    low: i128,
    high: i128,
    step: i128,
}

impl Distances {
    /// Adds multiples of `by`, from `least` to `most` times.
    fn add(&mut self, by: i128, least: i128, most: i128) {
        if by != 0 {
            self.low += (by * least).min(by * most);
            self.high += (by * least).max(by * most);
            if least != most {
                self.step = gcd(self.step, by.abs());
            }
        }
    }

    /// Adds `a * i - b * j` for all numbers of two steps of a sequence, the second so many steps after the first.
    fn add_both(&mut self, a: i128, b: i128, s: Steps, (least, most): (i128, i128)) {
        let last = i128::from(s.n) - 1;
        let number = |step: i128| if s.reverse { last - step } else { step };
        // The corners of what is possible.
        let corners = [(0, least), (0, most), (last - least, last), (last - most, last)];
        let all = corners.map(|(i, j)| a * number(i) - b * number(j));
        self.low += all.into_iter().min().unwrap_or(0);
        self.high += all.into_iter().max().unwrap_or(0);
        if last > least {
            self.step = gcd(self.step, (a - b).abs());
        }
        if least != most {
            self.step = gcd(self.step, b.abs());
        }
    }

    /// Is one of them from `from` to `to`?
    fn any_in(&self, from: i128, to: i128) -> bool {
        let first = if self.low >= from || self.step == 0 {
            self.low
        } else {
            self.low + (from - self.low + self.step - 1) / self.step * self.step
        };
        from <= first && first <= to.min(self.high)
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Affine accesses of a body.
fn affine(k: &Kernel) -> impl Iterator<Item = (ArgId, &Access)> {
    k.insts.iter().filter_map(|i| match i {
        Inst::Load { arg, at } | Inst::Store { arg, at, .. } => Some((*arg, at)),
        _ => None,
    })
}

/// What several segments need.
fn is_flat(k: &Kernel) -> bool {
    let at_column = |at: &Access| at.seq == 0 && (at.col == 0 || (at.col == 1 && at.offset == 0));
    let only_affine = k
        .insts
        .iter()
        .all(|i| !matches!(i, Inst::LoadAt { .. } | Inst::StoreAt { .. } | Inst::Reduce { .. } | Inst::Acc { .. }));
    k.rows.is_empty()
        && k.anchor.is_none()
        && k.phases.len() <= 1
        && only_affine
        && affine(k).all(|(_, at)| at_column(at))
}

/// Whether one thread touches the bytes that two launches share, whatever the number of threads.
fn same_thread(a: &Use<'_>, b: &Use<'_>) -> bool {
    let (j, k) = (a.kernel, b.kernel);
    if (j.split, k.split) == (Split::None, Split::None) {
        return true;
    }
    let cols = |l: &Launch| l.segments.iter().map(|s| s.cols).collect::<Vec<_>>();
    if nn_runtime::mutant!("verify.same_thread") {
        return true;
    }
    if j.split != k.split || a.view.buf != b.view.buf || j.n_rows() != k.n_rows() {
        return false;
    }
    let past = a.past(b);
    match j.split {
        Split::None => true,
        // Rows are cut by their number alone: each row must keep to its own window of the buffer, the same in both.
        // Where views are apart, by all rows or not at all.
        Split::Rows => match (window(a), window(b)) {
            (Some((stride, x)), Some((other, y))) if stride == other => {
                let (moved, all) = ((x - y) * stride * a.size(), stride * i128::from(j.n_rows()) * a.size());
                !past.any_in(1 - all - moved, -1 - moved) && !past.any_in(1 - moved, all - 1 - moved)
            }
            _ => false,
        },
        // Columns are cut by the segments: every element must belong to one column, the same in both.
        Split::Cols => {
            let (len, other) = (i128::from(a.view.len) * a.size(), i128::from(b.view.len) * b.size());
            if past.any_in(1 - len, -1) || past.any_in(1, other - 1) {
                return false;
            }
            if cols(a.launch) != cols(b.launch) || a.segment != b.segment || j.rows != k.rows {
                return false;
            }
            let mut all = touched(a).into_iter().flatten().chain(touched(b).into_iter().flatten());
            let Some(first) = all.next() else { return false };
            let axes: Vec<(u64, i64)> =
                j.rows.iter().copied().zip(first.rows.iter().copied()).chain([(j.cols, first.col)]).collect();
            let known = touched(a).is_some() && touched(b).is_some();
            known && first.seq == 0 && injective(&axes) && all.all(|at| at == first)
        }
    }
}

/// The addresses at which a body reaches an argument, if all are affine.
fn touched<'a>(u: &Use<'a>) -> Option<Vec<&'a Access>> {
    let computed = u.kernel.insts.iter().any(|i| match i {
        Inst::LoadAt { arg, .. } | Inst::StoreAt { arg, .. } => *arg == u.arg,
        _ => false,
    });
    let operand = matches!(u.kernel.anchor, Some(Anchor::Contract(_))) && u.arg.0 < 2;
    (!computed && !operand).then(|| affine(u.kernel).filter(|(a, _)| *a == u.arg).map(|(_, at)| at).collect())
}

/// The stride between rows and the number of the window's first element, where row `r` stays inside
/// `[first + r * stride, first + (r + 1) * stride)`; first is a multiple of the stride.
fn window(u: &Use<'_>) -> Option<(i128, i128)> {
    let k = u.kernel;
    let mut found: Option<(i128, i128)> = None;
    let mut one = |at: &Access, steps: &[(u64, i64)]| -> Option<()> {
        // The row axes must count up evenly.
        let mut stride = None;
        let mut rows = 1;
        for (&n, &s) in k.rows.iter().zip(&at.rows).rev() {
            if n > 1 {
                match stride {
                    None => stride = Some(i128::from(s)),
                    Some(t) if i128::from(s) == t * rows => {}
                    Some(_) => return None,
                }
                rows *= i128::from(n);
            }
        }
        let stride = stride.filter(|&s| s > 0)?;
        let inner = Access { rows: at.rows.iter().map(|_| 0).collect(), ..at.clone() };
        let (low, high) = reach(k, k.cols, &inner, steps)?;
        let first = low.div_euclid(stride);
        if high.div_euclid(stride) != first {
            return None;
        }
        let here = (stride, first);
        (*found.get_or_insert(here) == here).then_some(())
    };
    for p in 0..k.phases.len() {
        let steps = k.phases[p].seq;
        for i in k.phase_range(p) {
            match &k.insts[i] {
                Inst::Load { arg, at } | Inst::Store { arg, at, .. } if *arg == u.arg => {
                    one(at, &steps.map(|n| (n, at.seq)).into_iter().collect::<Vec<_>>())?;
                }
                Inst::LoadAt { arg, .. } | Inst::StoreAt { arg, .. } if *arg == u.arg => return None,
                _ => {}
            }
        }
    }
    if let Some(Anchor::Contract(c)) = &k.anchor {
        for (operand, steps) in [&c.a, &c.b].into_iter().zip(c.steps()) {
            if operand.0 == u.arg {
                one(&operand.1, &steps)?;
            }
        }
    }
    found
}
