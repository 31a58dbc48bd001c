//! One thread's way through the launches of an entry.
//!
//! In: statements with resolved addresses, a thread's number. Out: the thread's share of each launch, in order, with
//! barriers where the program asks for them. Every thread has a table of addresses of its own, made when the program is
//! loaded, which moves on with the steps of a sequence.

use super::gather::Gather;
use crate::arena::{Memory, OutOfMemory};
use crate::dtype::DType;
use crate::gemm::{self, Element, Isa, Offsets, Product, Scratch, panels};
use crate::philox_simd;
use crate::program::{Anchor, Arena, BodyFn, Entry, Gemm, Launch, Move, Seq, Split, Stmt, TileArgs};
use crate::threads::Barrier;
use crate::trace::Trace;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of an accumulator tile: a quarter of a second-level cache of one mebibyte.
const TILE_BYTES: u64 = 256 << 10;
/// Most rows of an accumulator tile.
const TILE_ROWS: u64 = 256;
/// Columns of a tile where the body lets columns be cut.
const TILE_COLS: u64 = 256;
/// Columns of a tile of random bits.
const RNG_COLS: u64 = 1024;

/// Memory of one thread.
pub struct Hand(UnsafeCell<Own>);

struct Own {
    gemm: Scratch,
    tile: Memory,
    scratch: Memory,
}

// SAFETY: thread `tid` of a run alone touches hand `tid`.
unsafe impl Sync for Hand {}

impl Hand {
    /// Memory for tiles and bodies' scratch of that many bytes.
    pub fn new(tile_bytes: u64, scratch_bytes: u64) -> Result<Hand, OutOfMemory> {
        let tile = Memory::new(tile_bytes)?;
        Ok(Hand(UnsafeCell::new(Own { gemm: Scratch::new(), tile, scratch: Memory::new(scratch_bytes)? })))
    }
}

/// What is decided of an entry before it runs.
pub struct Prepared {
    /// Its launches, in order.
    launches: Vec<PreparedLaunch>,
    /// For each sequence, in order, the addresses that move with it, by their place in a table.
    moves: Vec<Vec<(usize, isize)>>,
    /// For each sequence, in order, the products whose right operand it keeps.
    keeps: Vec<Vec<(usize, Gemm)>>,
    /// The addresses of all launches as each thread has them: threads may be in different steps of a sequence.
    tables: Vec<Table>,
    /// Panels that each thread keeps through a sequence.
    panels: Vec<Memory>,
}

struct PreparedLaunch {
    /// Where the addresses of its buffers begin in a table, one segment after another.
    bufs: usize,
    /// Where a product without a body is cut.
    split: Split,
    /// Addresses of a product.
    offsets: Option<Offsets>,
    /// Where its right operand is kept among a thread's panels.
    kept: Option<usize>,
}

/// Addresses of buffers. Between runs, those of the first steps.
struct Table(UnsafeCell<Vec<*mut u8>>);

// SAFETY: thread `tid` of a run alone touches table `tid`. The addresses are of memory that the session owns; who writes when
// is the launches' order.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

/// Most bytes that a thread keeps of right operands: the largest caches there are.
const KEPT_BYTES: u64 = 64 << 20;

/// Resolves addresses.
pub fn prepare(
    entry: &Entry,
    base: impl Fn(Arena) -> *mut u8,
    isa: Isa,
    threads: usize,
) -> Result<Prepared, OutOfMemory> {
    let (mut table, mut launches, mut moves) = (vec![], vec![], vec![]);
    let mut free = vec![];
    between_barriers(&entry.body, true, &mut free);
    for ((l, _), free) in entry.launches().into_iter().zip(free) {
        let bufs = table.len();
        let all = l.segments.iter().flat_map(|s| &s.bufs);
        table.extend(all.map(|b| base(b.arena).wrapping_add(b.offset as usize)));
        launches.push(PreparedLaunch {
            bufs,
            // Nobody relies on how a product without a body between barriers is cut.
            split: match (&l.anchor, l.split) {
                (Anchor::Contract(g), Split::Rows)
                    if l.body.is_none() && free && gemm::cuts_columns(isa, g, threads) =>
                {
                    Split::Cols
                }
                (_, s) => s,
            },
            offsets: match &l.anchor {
                Anchor::Contract(g) => Some(Offsets::new(g)),
                _ => None,
            },
            kept: None,
        });
    }
    let (mut keeps, mut bytes, all) = (vec![], 0, entry.launches());
    sequences(&entry.body, &mut |s| {
        let place = |m: &Move| (launches[m.launch].bufs + m.buf, m.by as isize);
        moves.push(s.moves.iter().map(place).collect());
        let mut kept = vec![];
        for &i in &s.keeps {
            let Anchor::Contract(g) = &all[i].0.anchor else { continue };
            let need = panels::bytes(g).and_then(|n| n.checked_next_multiple_of(64));
            if let Some(n) = need.filter(|&n| n <= KEPT_BYTES - bytes) {
                launches[i].kept = Some(bytes as usize);
                kept.push((i, g.clone()));
                bytes += n;
            }
        }
        keeps.push(kept);
    });
    let tables = (0..threads).map(|_| Table(UnsafeCell::new(table.clone()))).collect();
    let panels = (0..threads).map(|_| Memory::new(bytes)).collect::<Result<_, _>>()?;
    Ok(Prepared { launches, moves, keeps, tables, panels })
}

/// Sequences, outer ones first.
fn sequences<'a>(body: &'a [Stmt], f: &mut impl FnMut(&'a Seq)) {
    for s in body {
        if let Stmt::Seq(s) = s {
            f(s);
            sequences(&s.body, f);
        }
    }
}

/// For every launch, whether it stands between two barriers. `end`: whether one stands after the statements.
fn between_barriers(body: &[Stmt], end: bool, out: &mut Vec<bool>) {
    for (i, s) in body.iter().enumerate() {
        let next = body.get(i + 1).map_or(end, Stmt::barrier);
        match s {
            Stmt::Launch(l) => out.push(l.barrier && next),
            // What follows the last statement is the first one or what comes after the sequence.
            Stmt::Seq(s) => between_barriers(&s.body, next && s.body.first().is_some_and(Stmt::barrier), out),
        }
    }
}

/// Do several threads finish the launches sooner than one?
pub fn pays(entry: &Entry) -> bool {
    // Nanoseconds on one thread, roughly: products run at tens of operations a nanosecond, other bodies at a few elements.
    let ns = |l: &Launch| match l.anchor {
        Anchor::Contract(_) => l.cost / 64,
        _ => l.cost / 4,
    };
    let launches = entry.launches();
    let shared = launches.iter().filter(|(l, _)| l.split != Split::None);
    let total = shared.map(|&(l, times)| ns(l).saturating_mul(times)).fold(0, u64::saturating_add);
    let mut meetings = 2 + launches.iter().filter(|(l, _)| l.barrier).map(|l| l.1).fold(0, u64::saturating_add);
    sequences(&entry.body, &mut |s| meetings += u64::from(s.barrier));
    total > meetings.saturating_mul(1000)
}

/// Rows and row stride, in elements, of a launch's accumulator tile.
fn tile(l: &Launch, g: &Gemm) -> (u64, u64) {
    let cols = l.segments[0].cols;
    let cols = if l.split == Split::Cols { cols.min(TILE_COLS) } else { cols };
    let ld = cols.max(1).next_multiple_of(16);
    let rows = (TILE_BYTES / g.dtype.bytes() as u64 / ld).clamp(16, TILE_ROWS) / 16 * 16;
    (rows.min(l.rows.max(1)), ld)
}

/// Bytes of a launch's accumulator tile.
pub fn tile_bytes(l: &Launch) -> u64 {
    match &l.anchor {
        Anchor::None => 0,
        Anchor::Rng { .. } => RNG_COLS * 4,
        Anchor::Contract(_) if l.body.is_none() => 0,
        Anchor::Contract(g) => {
            let (rows, ld) = tile(l, g);
            rows.saturating_mul(ld).saturating_mul(g.dtype.bytes() as u64)
        }
    }
}

/// Where thread `t` of `n` starts among `rows` rows: a function of nothing else, so launches of equal rows are cut alike.
fn row_cut(rows: u64, t: usize, n: usize) -> u64 {
    let (t, n) = (t as u64, n as u64);
    if rows >= 32 * n && crate::mutant!("exec.row_cut") {
        rows * t / n / 16 * 16
    } else if rows >= 32 * n {
        (rows / 16 * t / n * 16).max(if t == n { rows } else { 0 })
    } else {
        rows * t / n
    }
}

/// Where thread `t` of `n` starts in a segment of `cols` columns that begins at column `start` of `total`.
fn col_cut(start: u64, cols: u64, total: u64, t: usize, n: usize) -> u64 {
    if t == n {
        return cols;
    }
    let at = (u128::from(total) * t as u128 / n as u128) as u64;
    (at.saturating_sub(start).saturating_add(32) / 64 * 64).min(cols)
}

/// Where thread 0 writes its measurements.
pub struct TraceCell(Option<*mut Trace>);

// SAFETY: thread 0 alone uses it.
unsafe impl Sync for TraceCell {}

impl TraceCell {
    /// Measurements go to `trace`, if there is one.
    pub fn new(trace: Option<&mut Trace>) -> TraceCell {
        TraceCell(trace.map(std::ptr::from_mut))
    }
}

/// What all threads of a run share.
pub struct Run<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Its launches' addresses.
    pub prepared: &'a Prepared,
    /// Instruction set.
    pub isa: Isa,
    /// Seed of random bits.
    pub seed: u64,
    /// Step number of random bits.
    pub step: u64,
    /// The batch to gather first, and the data arena.
    pub batch: Option<(&'a Gather<'a>, *mut u8)>,
    /// Memory of the threads.
    pub hands: &'a [Hand],
    /// Where they meet.
    pub barrier: Arc<Barrier>,
    /// Measurements.
    pub trace: TraceCell,
}

// SAFETY: the pointers inside are used as `thread` says: each piece of memory by one thread between two barriers.
unsafe impl Sync for Run<'_> {}

impl Run<'_> {
    /// The share of thread `tid` of `n`.
    ///
    /// # Safety
    /// The launches must have been checked against the memory they were prepared with; every `tid` below `n` must run
    /// once, at the same time as the others; `n` is the barrier's number of threads, or 1.
    pub unsafe fn thread(&self, tid: usize, n: usize) {
        // SAFETY: hand `tid` is this thread's.
        let own = unsafe { &mut *self.hands[tid].0.get() };
        let mut clock = Clock::new(if tid == 0 { self.trace.0 } else { None });
        if let Some((batch, data)) = self.batch {
            // SAFETY: the batch was checked against the entry; the share is this thread's.
            unsafe { batch.copy(self.entry, data, tid, n) };
            clock.gathered();
            if n > 1 {
                self.barrier.wait();
                clock.waited(0);
            }
        }
        // SAFETY: table `tid` is this thread's.
        let table = unsafe { &mut *self.prepared.tables[tid].0.get() };
        let mut hand = Thread { own, table, clock: &mut clock, tid, n };
        // SAFETY: the caller's contract.
        unsafe { self.statements(&self.entry.body, (0, 0), &mut hand) };
        clock.end();
    }

    /// Statements, of which the first launch and the first sequence have these numbers. The numbers of what comes next.
    unsafe fn statements(&self, body: &[Stmt], first: (usize, usize), t: &mut Thread<'_>) -> (usize, usize) {
        let (mut launch, mut sequence) = first;
        for s in body {
            if t.n > 1 && s.barrier() {
                self.barrier.wait();
                t.clock.waited(launch);
            }
            match s {
                Stmt::Launch(l) => {
                    let p = &self.prepared.launches[launch];
                    let bufs = t.table[p.bufs..].as_ptr();
                    // SAFETY: the caller's contract; the addresses are those of this step.
                    unsafe { self.launch(l, p, bufs, t.own, t.tid, t.n) };
                    t.clock.launched(launch);
                    launch += 1;
                }
                Stmt::Seq(s) => {
                    for (i, g) in &self.prepared.keeps[sequence] {
                        // SAFETY: the caller's contract; nothing in the sequence writes the operand.
                        unsafe { self.keep(*i, g, t) };
                    }
                    let moves = &self.prepared.moves[sequence];
                    let inside = (launch, sequence + 1);
                    for _ in 0..s.n {
                        // SAFETY: the caller's contract.
                        (launch, sequence) = unsafe { self.statements(&s.body, inside, t) };
                        for &(i, by) in moves {
                            t.table[i] = t.table[i].wrapping_offset(by);
                        }
                    }
                    for &(i, by) in moves.iter().filter(|_| !crate::mutant!("exec.restart")) {
                        t.table[i] = t.table[i].wrapping_offset(-(by * s.n as isize));
                    }
                }
            }
        }
        (launch, sequence)
    }

    unsafe fn launch(&self, l: &Launch, p: &PreparedLaunch, at: *const *mut u8, own: &mut Own, tid: usize, n: usize) {
        let cols = l.segments[0].cols;
        let (mut rows, mut columns) = (0..l.rows, 0..cols);
        match p.split {
            Split::None if tid != 0 => return,
            Split::None => {}
            Split::Rows => rows = row_cut(l.rows, tid, n)..row_cut(l.rows, tid + 1, n),
            Split::Cols if l.segments.len() == 1 => {
                columns = col_cut(0, cols, cols, tid, n)..col_cut(0, cols, cols, tid + 1, n);
            }
            Split::Cols => {}
        }
        if rows.is_empty() {
            return;
        }
        let kept = p.kept.map(|place| self.prepared.panels[tid].base().wrapping_add(place));
        // SAFETY: the rectangle is this thread's share of a checked launch.
        unsafe {
            match (&l.anchor, l.body) {
                (Anchor::Contract(g), None) => {
                    let args = Rect { r0: rows.start, r1: rows.end, c0: columns.start, c1: columns.end };
                    let first = (rows.start * cols + columns.start) as usize;
                    let c = (*at.add(2)).wrapping_add(first * g.dtype.bytes());
                    self.product(g, (p, at, kept), args, c, cols, own);
                }
                (Anchor::Contract(g), Some(body)) => self.contract(l, g, body, (p, at, kept), rows, columns, own),
                (Anchor::Rng { site }, Some(body)) => {
                    let mut c0 = columns.start;
                    while c0 < columns.end {
                        let c1 = (c0 + RNG_COLS).min(columns.end);
                        let acc = own.tile.base();
                        let bits = std::slice::from_raw_parts_mut(acc.cast::<u32>(), (c1 - c0) as usize);
                        philox_simd::fill(self.isa, self.seed, self.step, *site, c0, bits);
                        let (bufs, scratch) = (at, own.scratch.base());
                        body(&TileArgs { bufs, acc, acc_ld: RNG_COLS, scratch, r0: 0, r1: 1, c0, c1 });
                        c0 = c1;
                    }
                }
                (Anchor::None, Some(body)) => {
                    let total: u64 = l.segments.iter().map(|s| s.cols).sum();
                    let (mut start, mut bufs) = (0, at);
                    for s in &l.segments {
                        let cut = |t| match p.split {
                            Split::Cols => col_cut(start, s.cols, total, t, n),
                            _ if t == tid => 0,
                            _ => s.cols,
                        };
                        let (c0, c1) = (cut(tid), cut(tid + 1));
                        if c0 < c1 {
                            body(&TileArgs {
                                bufs,
                                acc: std::ptr::null(),
                                acc_ld: 0,
                                scratch: own.scratch.base(),
                                r0: rows.start,
                                r1: rows.end,
                                c0,
                                c1,
                            });
                        }
                        start += s.cols;
                        bufs = bufs.add(s.bufs.len());
                    }
                }
                (_, None) => {}
            }
        }
    }

    /// A contraction with a body: accumulate a tile, then run the body on it.
    #[allow(clippy::too_many_arguments)]
    unsafe fn contract(
        &self,
        l: &Launch,
        g: &Gemm,
        body: BodyFn,
        p: Place<'_>,
        rows: std::ops::Range<u64>,
        columns: std::ops::Range<u64>,
        own: &mut Own,
    ) {
        let (tile_rows, ld) = tile(l, g);
        let acc = own.tile.base();
        let mut r0 = rows.start;
        while r0 < rows.end {
            let r1 = (r0 + tile_rows).min(rows.end);
            let mut c0 = columns.start;
            while c0 < columns.end {
                let c1 = (c0 + ld).min(columns.end);
                // SAFETY: the tile has room for `tile_rows` rows of `ld` elements; the rectangle is the caller's.
                unsafe {
                    self.product(g, p, Rect { r0, r1, c0, c1 }, acc, ld, own);
                    let scratch = own.scratch.base();
                    body(&TileArgs { bufs: p.1, acc, acc_ld: ld, scratch, r0, r1, c0, c1 });
                }
                c0 = c1;
            }
            r0 = r1;
        }
    }

    /// Packs the right operand of a launch for the steps that follow.
    unsafe fn keep(&self, i: usize, g: &Gemm, t: &mut Thread<'_>) {
        let p = &self.prepared.launches[i];
        let (Some(at), Some(o)) = (p.kept, &p.offsets) else { return };
        let (a, b) = (t.table[p.bufs], t.table[p.bufs + 1]);
        let to = self.prepared.panels[t.tid].base().wrapping_add(at);
        // SAFETY: the operand was checked to lie in its buffer, and has room among this thread's panels.
        unsafe {
            match g.dtype {
                DType::F64 => panels::keep(&Product::<f64>::of(g, o, 0, a.cast(), b.cast()), g.n as usize, to.cast()),
                _ => panels::keep(&Product::<f32>::of(g, o, 0, a.cast(), b.cast()), g.n as usize, to.cast()),
            }
        }
    }

    /// A rectangle of a batched product: for each B of the batch the part of its rows that lies in it.
    unsafe fn product(&self, g: &Gemm, p: Place<'_>, r: Rect, c: *mut u8, ldc: u64, own: &mut Own) {
        // SAFETY: the caller's contract is the same.
        unsafe {
            match g.dtype {
                DType::F64 => self.product_of::<f64>(g, p, r, c.cast(), ldc, own),
                _ => self.product_of::<f32>(g, p, r, c.cast(), ldc, own),
            }
        }
    }

    unsafe fn product_of<E: Element>(
        &self,
        g: &Gemm,
        (p, at, kept): Place<'_>,
        r: Rect,
        c: *mut E,
        ldc: u64,
        own: &mut Own,
    ) {
        let Some(o) = &p.offsets else { return };
        let (m, mut row) = (o.rows(g), r.r0);
        while row < r.r1 {
            let (index, m0) = (row / m, row % m);
            let m1 = (m0 + (r.r1 - row)).min(m);
            // SAFETY: the operands were checked to hold the whole batch; `c` has room for the rectangle.
            unsafe {
                let product = Product::<E>::of(g, o, index, (*at).cast(), (*at.add(1)).cast());
                let c = c.add(((row - r.r0) * ldc) as usize);
                let (rows, cols) = (m0 as usize..m1 as usize, r.c0 as usize..r.c1 as usize);
                let Some(kept) = kept else {
                    gemm::rect(self.isa, &product, rows, cols, c, ldc as usize, &mut own.gemm);
                    row += m1 - m0;
                    continue;
                };
                let mut from = cols.start;
                while from < cols.end {
                    let first = from / panels::WIDTH * panels::WIDTH;
                    let to = (first + panels::WIDTH).min(cols.end);
                    let part = panels::part(&product, kept.cast(), first);
                    let c = c.add(from - cols.start);
                    let cols = from - first..to - first;
                    gemm::rect(self.isa, &part, rows.clone(), cols, c, ldc as usize, &mut own.gemm);
                    from = to;
                }
            }
            row += m1 - m0;
        }
    }
}

/// A launch, the addresses of its buffers, and the panels of its right operand if they are kept.
type Place<'a> = (&'a PreparedLaunch, *const *mut u8, Option<*mut u8>);

/// A thread of a run.
struct Thread<'a> {
    own: &'a mut Own,
    table: &'a mut [*mut u8],
    clock: &'a mut Clock,
    tid: usize,
    n: usize,
}

/// Rows and columns of a launch.
#[derive(Clone, Copy)]
struct Rect {
    r0: u64,
    r1: u64,
    c0: u64,
    c1: u64,
}

/// Thread 0's stopwatch; does nothing without a trace.
struct Clock {
    trace: Option<*mut Trace>,
    start: Option<Instant>,
    last: Option<Instant>,
}

impl Clock {
    fn new(trace: Option<*mut Trace>) -> Clock {
        let now = trace.map(|_| Instant::now());
        Clock { trace, start: now, last: now }
    }

    #[inline]
    fn lap(&mut self, add: impl FnOnce(&mut Trace, std::time::Duration)) {
        if let (Some(t), Some(last)) = (self.trace, self.last) {
            let now = Instant::now();
            // SAFETY: only thread 0 has a clock with a trace, and the session is borrowed uniquely while it runs.
            add(unsafe { &mut *t }, now - last);
            self.last = Some(now);
        }
    }

    fn gathered(&mut self) {
        self.lap(|t, d| t.gather += d);
    }

    fn waited(&mut self, i: usize) {
        self.lap(|t, d| t.launches[i].waiting += d);
    }

    fn launched(&mut self, i: usize) {
        self.lap(|t, d| t.launches[i].busy += d);
    }

    fn end(&mut self) {
        let start = self.start;
        self.lap(|t, _| {
            t.runs += 1;
            t.total += start.map_or_else(Default::default, |s| s.elapsed());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_partitions() {
        for n in 1..=7 {
            for total in [0, 1, 5, 63, 64, 65, 100, 1000, 4096, 235_146] {
                assert_eq!((row_cut(total, 0, n), row_cut(total, n, n)), (0, total));
                assert!((0..n).all(|t| row_cut(total, t, n) <= row_cut(total, t + 1, n)));
                for (start, cols) in [(0, total), (total / 3, total / 2)] {
                    assert_eq!((col_cut(start, cols, total, 0, n), col_cut(start, cols, total, n, n)), (0, cols));
                    for t in 0..n {
                        let (a, b) = (col_cut(start, cols, total, t, n), col_cut(start, cols, total, t + 1, n));
                        assert!(a <= b && (a % 64 == 0 || a == cols));
                    }
                }
            }
        }
    }
}
