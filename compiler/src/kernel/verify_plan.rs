//! The invariants of kernel programs: launches, buffers, the memory plan and barriers, checked all at once.
//!
//! In: a program. Out: every violation, those of its kernels included. What holds of a program without violations:
//!
//! - P1. Buffers are aligned; only temporaries share bytes; constant tables lie in theirs.
//! - P2. A launch gives each argument a buffer of its dtype and length. Several segments only for flat kernels (no rows, no
//!   anchor, one phase, accesses at the column or at one element), each as long as its accesses need.
//! - P3. Within a launch, nothing that is written shares bytes with anything else. Data, tables and step scalars are only
//!   read.
//! - P4. A temporary is read only while its bytes are its own: written before, and not since overwritten by another.
//! - P5. Between two launches with no barrier that meet at a byte which one of them writes, the same thread touches that
//!   byte in both: both run on one thread, or both are cut alike and address the buffer alike.

use super::ir::*;
use super::verify::{self, injective, reach};

/// All violations of the invariants; empty means that the program is sound.
pub fn program(p: &KernelProgram) -> Vec<String> {
    let mut errors: Vec<String> = p.kernels.iter().flat_map(verify::kernel).collect();
    let mut v = Verifier { p, errors: vec![] };
    v.buffers();
    if v.launches() {
        v.temporaries();
        v.barriers();
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
        for (n, l) in self.p.launches.iter().enumerate() {
            let Some(k) = self.p.kernels.get(l.kernel as usize) else {
                self.err(format!("launch {n}: no kernel {}", l.kernel));
                continue;
            };
            let who = format!("launch {n} ({})", l.name);
            if l.segments.is_empty() {
                self.err(format!("{who}: no segment"));
            }
            if l.segments.len() > 1 && !is_flat(k) {
                self.err(format!("{who}: several segments of a kernel that is not flat"));
            }
            for s in &l.segments {
                self.segment(&who, k, s, l.segments.len() > 1);
            }
        }
        if self.errors.len() > before {
            return false;
        }
        for (n, l) in self.p.launches.iter().enumerate() {
            let uses: Vec<Use<'a>> = self.uses(l).collect();
            let name = &self.p.kernels[l.kernel as usize].name;
            for (i, a) in uses.iter().enumerate() {
                if a.writes && matches!(a.buffer.arena, Arena::Data | Arena::Const | Arena::Step) {
                    self.err(format!("launch {n} (@{name}): writes %{}", a.buffer.name));
                }
                for b in &uses[i + 1..] {
                    if (a.writes || b.writes) && overlap(a.buffer, b.buffer) {
                        let (x, y) = (&a.buffer.name, &b.buffer.name);
                        self.err(format!("launch {n} (@{name}): writes bytes that %{x} and %{y} share"));
                    }
                }
            }
        }
        true
    }

    fn segment(&mut self, who: &str, k: &Kernel, s: &Segment, several: bool) {
        if s.buffers.len() != k.args.len() {
            return self.err(format!("{who}: {} buffers for {} arguments", s.buffers.len(), k.args.len()));
        }
        if !several && s.cols != k.cols {
            self.err(format!("{who}: {} columns of {}", s.cols, k.cols));
        }
        for (i, (id, a)) in s.buffers.iter().zip(&k.args).enumerate() {
            let Some(b) = self.p.buffers.get(id.0 as usize) else {
                self.err(format!("{who}: no buffer {}", id.0));
                continue;
            };
            if b.dtype != a.dtype {
                self.err(format!("{who}: %{} is {}, not {}", b.name, b.dtype, a.dtype));
            }
            if !several && b.len != a.len {
                self.err(format!("{who}: %{} has {} elements, not {}", b.name, b.len, a.len));
            }
            for (arg, at) in affine(k) {
                if several
                    && arg.0 as usize == i
                    && let Some((low, high)) = reach(k, s.cols, at, &[])
                    && (low < 0 || high >= i128::from(b.len))
                {
                    self.err(format!("{who}: reaches elements {low} to {high} of %{} with {}", b.name, b.len));
                }
            }
        }
    }

    fn uses(&self, l: &'a Launch) -> impl Iterator<Item = Use<'a>> + use<'a> {
        let p = self.p;
        let k = &p.kernels[l.kernel as usize];
        l.segments.iter().flat_map(move |s| {
            s.buffers.iter().zip(&k.args).enumerate().map(move |(arg, (id, a))| Use {
                buffer: &p.buffers[id.0 as usize],
                id: *id,
                arg: ArgId(arg as u32),
                launch: l,
                kernel: k,
                reads: a.role != Role::Out,
                writes: a.role != Role::In,
            })
        })
    }

    /// P4, by the pieces that the buffers' ends cut the arena into: each belongs to the buffer last written there.
    fn temporaries(&mut self) {
        let p = self.p;
        let ends = |b: &Buffer| [b.offset / 64, (b.offset + bytes(b)).div_ceil(64)];
        let mut cuts: Vec<u64> = p
            .buffers
            .iter()
            .filter(|b| b.arena == Arena::Temp)
            .flat_map(ends)
            .filter(|&c| c * 64 <= p.temp_bytes + 63)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let piece = |line: u64| cuts.binary_search(&line).unwrap_or(usize::MAX - 1);
        let mut owner: Vec<Option<BufferId>> = vec![None; cuts.len().saturating_sub(1)];
        for (n, l) in p.launches.iter().enumerate() {
            let uses: Vec<Use<'a>> = self.uses(l).filter(|u| u.buffer.arena == Arena::Temp).collect();
            let pieces = |b: &Buffer| {
                let [from, to] = ends(b).map(piece);
                // Past the arena there is one piece that nobody owns.
                if to > owner.len() { usize::MAX - 1..usize::MAX } else { from..to }
            };
            for u in uses.iter().filter(|u| u.reads) {
                if pieces(u.buffer).any(|at| owner.get(at) != Some(&Some(u.id))) {
                    let (k, b) = (&u.kernel.name, &u.buffer.name);
                    self.err(format!("launch {n} (@{k}): reads %{b} where it is not"));
                }
            }
            let written: Vec<_> =
                uses.iter().filter(|u| u.writes).flat_map(|u| pieces(u.buffer).map(|at| (at, u.id))).collect();
            for (at, id) in written {
                if let Some(o) = owner.get_mut(at) {
                    *o = Some(id);
                }
            }
        }
    }

    /// P5.
    fn barriers(&mut self) {
        let p = self.p;
        let mut since: Vec<Use<'a>> = vec![];
        for (n, l) in p.launches.iter().enumerate() {
            if l.barrier {
                since.clear();
            }
            let uses: Vec<Use<'a>> = self.uses(l).collect();
            for u in &uses {
                let meets = |o: &&Use<'_>| (o.writes || u.writes) && overlap(o.buffer, u.buffer) && !same_thread(o, u);
                if let Some(o) = since.iter().find(meets) {
                    let (k, b, j, c) = (&u.kernel.name, &u.buffer.name, &o.kernel.name, &o.buffer.name);
                    self.err(format!("launch {n} (@{k}): no barrier between %{b} and %{c} of @{j}"));
                }
            }
            since.extend(uses);
        }
    }
}

/// An argument of a launch.
struct Use<'a> {
    buffer: &'a Buffer,
    id: BufferId,
    arg: ArgId,
    launch: &'a Launch,
    kernel: &'a Kernel,
    reads: bool,
    writes: bool,
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
    if j.split != k.split || a.id != b.id || j.n_rows() != k.n_rows() {
        return false;
    }
    match j.split {
        Split::None => true,
        // Rows are cut by their number alone: each row must keep to its own window of the buffer, the same in both.
        Split::Rows => match (window(a), window(b)) {
            (Some(x), Some(y)) => x == y,
            _ => false,
        },
        // Columns are cut by the segments: every element must belong to one column, the same in both.
        Split::Cols => {
            if cols(a.launch) != cols(b.launch) || j.rows != k.rows {
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
