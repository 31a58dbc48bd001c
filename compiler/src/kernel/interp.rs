//! The exact interpreter of the kernel IR: the oracle that compiled code must match bit for bit.
//!
//! In: a [`KernelProgram`], the bytes of its arenas, the seed and the step number. Out: the arenas after one step. It is
//! written for plainness: arrays of 16 lanes, one row at a time, every access checked. Contractions are the FMA chain that
//! the IR defines, random bits are [`nn_runtime::philox`], lane ops are [`crate::lanes_eval`].

use super::ir::*;
use super::uses::kept;
use crate::graph::ops::ReduceKind;
use crate::lanes::{LANES, LaneBin, LaneId, LaneOp, LaneTy, has_lanes};
use crate::lanes_eval::{self, Bits, Lanes};
use nn_runtime::dtype::DType;
use nn_runtime::philox;
use std::ops::Range;

/// Why a program could not be interpreted: it breaks an invariant of the IR, or uses a dtype that has no lanes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel @{kernel}: {message}")]
pub struct Error {
    /// The kernel.
    pub kernel: String,
    /// What is wrong.
    pub message: String,
}

/// The bytes of every arena.
#[derive(Clone, Debug, PartialEq)]
pub struct Arenas {
    arenas: [Vec<u8>; 7],
}

impl Arenas {
    /// Arenas as large as the program's buffers need: zeros, and the constant tables.
    pub fn new(p: &KernelProgram) -> Arenas {
        let mut arenas: [Vec<u8>; 7] = Default::default();
        for b in &p.buffers {
            let end = (b.offset + b.len * b.dtype.bytes() as u64) as usize;
            let a = &mut arenas[slot(b.arena)];
            a.resize(a.len().max(end), 0);
        }
        let temp = &mut arenas[slot(Arena::Temp)];
        temp.resize(temp.len().max(p.temp_bytes as usize), 0);
        let mut arenas = Arenas { arenas };
        for (id, bytes) in &p.consts {
            let b = &p.buffers[id.0 as usize];
            let n = bytes.len().min(arenas.bytes(b).len());
            arenas.bytes_mut(b)[..n].copy_from_slice(&bytes[..n]);
        }
        arenas
    }
    /// The bytes of a whole arena.
    pub fn arena(&self, a: Arena) -> &[u8] {
        &self.arenas[slot(a)]
    }
    /// The bytes of a whole arena.
    pub fn arena_mut(&mut self, a: Arena) -> &mut [u8] {
        &mut self.arenas[slot(a)]
    }
    /// The bytes of a buffer.
    pub fn bytes(&self, b: &Buffer) -> &[u8] {
        &self.arenas[slot(b.arena)][b.offset as usize..][..b.len as usize * b.dtype.bytes()]
    }
    /// The bytes of a buffer.
    pub fn bytes_mut(&mut self, b: &Buffer) -> &mut [u8] {
        &mut self.arenas[slot(b.arena)][b.offset as usize..][..b.len as usize * b.dtype.bytes()]
    }
    /// Writes an `f32` buffer.
    pub fn write_f32(&mut self, b: &Buffer, values: &[f32]) {
        for (slot, v) in self.bytes_mut(b).chunks_exact_mut(4).zip(values) {
            slot.copy_from_slice(&v.to_le_bytes());
        }
    }
    /// Reads an `f32` buffer.
    pub fn read_f32(&self, b: &Buffer) -> Vec<f32> {
        self.bytes(b).chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
    }
    /// Element `e` of a buffer as lane bits.
    pub fn get(&self, b: &Buffer, e: u64) -> Bits {
        load(b.dtype, self.bytes(b), e as usize)
    }
    /// Sets element `e` of a buffer from lane bits.
    pub fn set(&mut self, b: &Buffer, e: u64, bits: Bits) {
        store(b.dtype, self.bytes_mut(b), e as usize, bits);
    }
}

fn slot(a: Arena) -> usize {
    match a {
        Arena::Param => 0,
        Arena::State => 1,
        Arena::Const => 2,
        Arena::Data => 3,
        Arena::Step => 4,
        Arena::Temp => 5,
        Arena::Output => 6,
    }
}

/// A launch and what the sequences around it count.
type Turn<'a> = (&'a Launch, Vec<u64>);

/// Runs the program once.
pub fn run(p: &KernelProgram, arenas: &mut Arenas, seed: u64, step: u64) -> Result<(), Error> {
    for (l, at) in turns(p).into_iter().flatten() {
        run_part(p, (l, &at), arenas, (seed, step), (0, 1))?;
    }
    Ok(())
}

/// Every launch that a run makes, in order and from barrier to barrier.
fn turns(p: &KernelProgram) -> Vec<Vec<Turn<'_>>> {
    fn walk<'a>(body: &'a [Stmt], at: &mut Vec<u64>, out: &mut Vec<Vec<Turn<'a>>>) {
        for s in body {
            let (Stmt::Launch(Launch { barrier, .. }) | Stmt::Seq(Seq { barrier, .. })) = s;
            if *barrier || out.is_empty() {
                out.push(vec![]);
            }
            match s {
                Stmt::Launch(l) => out.last_mut().into_iter().for_each(|o| o.push((l, at.clone()))),
                Stmt::Seq(s) => {
                    for i in 0..s.n {
                        at.push(s.number(i));
                        walk(&s.body, at, out);
                        at.pop();
                    }
                }
            }
        }
    }
    let mut out = vec![];
    walk(&p.body, &mut vec![], &mut out);
    out
}

/// Runs the program once as `order.len()` threads would that are as far apart as barriers allow: from barrier to barrier
/// one thread after the other, in the given order, does its part of every launch. The result is that of [`run`] unless a
/// barrier is missing.
pub fn run_threads(p: &KernelProgram, arenas: &mut Arenas, seed: u64, step: u64, order: &[usize]) -> Result<(), Error> {
    for round in turns(p) {
        for &thread in order {
            for (l, at) in &round {
                run_part(p, (l, at), arenas, (seed, step), (thread, order.len()))?;
            }
        }
    }
    Ok(())
}

/// Runs one launch, where every sequence around it counts 0.
pub fn run_launch(p: &KernelProgram, l: &Launch, arenas: &mut Arenas, seed: u64, step: u64) -> Result<(), Error> {
    run_part(p, (l, &[]), arenas, (seed, step), (0, 1))
}

/// The part of a buffer that a view is, as a buffer.
fn part_of(p: &KernelProgram, v: &View, at: &[u64]) -> Result<Buffer, String> {
    let b = p.buffers.get(v.buf.0 as usize).ok_or_else(|| format!("no buffer {}", v.buf.0))?;
    let first = v.first(at);
    if first < 0 || first as u64 + v.len > b.len {
        return Err(format!("elements {first} to {} of buffer %{} with {}", first as u64 + v.len, b.name, b.len));
    }
    let offset = b.offset + first as u64 * b.dtype.bytes() as u64;
    Ok(Buffer { name: b.name.clone(), arena: b.arena, dtype: b.dtype, len: v.len, offset })
}

/// Runs what thread `t` of `n` does of a launch. Rows are cut by their number alone, columns by those of all segments.
fn run_part(
    p: &KernelProgram,
    (l, at): (&Launch, &[u64]),
    arenas: &mut Arenas,
    (seed, step): (u64, u64),
    (t, n): (usize, usize),
) -> Result<(), Error> {
    let kernel = &p.kernels[l.kernel as usize];
    let fail = |message: String| Err(Error { kernel: kernel.name.clone(), message });
    for a in &kernel.args {
        if !has_lanes(a.dtype) {
            return fail(format!("{} is not a type that lanes load", a.dtype));
        }
    }
    let (t, n) = (t as u64, n as u64);
    if kernel.split == Split::None && t > 0 {
        return Ok(());
    }
    let n_rows = kernel.n_rows();
    let rows = if kernel.split == Split::Rows { n_rows * t / n..n_rows * (t + 1) / n } else { 0..n_rows };
    let total: u64 = l.segments.iter().map(|s| s.cols).sum();
    let mut before = 0;
    for seg in &l.segments {
        let strips = seg.cols.div_ceil(LANES as u64);
        // Whole strips, as near as can be to an equal share of all columns.
        let cut = |t: u64| {
            let at = (total * t / n).saturating_sub(before) / LANES as u64;
            if t == n { strips } else { at.min(strips) }
        };
        let part = if kernel.split == Split::Cols { cut(t)..cut(t + 1) } else { 0..strips };
        before += seg.cols;
        if seg.views.len() != kernel.args.len() {
            return fail(format!("{} views for {} args", seg.views.len(), kernel.args.len()));
        }
        let buffers = match seg.views.iter().map(|v| part_of(p, v, at)).collect::<Result<Vec<Buffer>, String>>() {
            Ok(buffers) => buffers,
            Err(message) => return fail(message),
        };
        for (b, a) in buffers.iter().zip(&kernel.args) {
            if b.dtype != a.dtype {
                return fail(format!("buffer %{} is {}, the arg is {}", b.name, b.dtype, a.dtype));
            }
        }
        let mut run = Run {
            k: kernel,
            cols: seg.cols,
            strips: strips as usize,
            rows: rows.clone(),
            part: part.start as usize..part.end as usize,
            buffers,
            arenas,
            seed,
            step,
            row: vec![0; kernel.rows.len()],
            types: kernel.types(),
        };
        if let Err(message) = run.kernel() {
            return fail(message);
        }
    }
    Ok(())
}

/// The anchor of a segment at every row and column, row-major: what a body is given. Empty without an anchor.
pub fn anchor_tile(
    p: &KernelProgram,
    kernel: &Kernel,
    seg: &Segment,
    arenas: &mut Arenas,
    seed: u64,
    step: u64,
) -> Result<Vec<Bits>, Error> {
    let mut tile = vec![];
    if kernel.anchor.is_none() {
        return Ok(tile);
    }
    let buffers = seg.views.iter().map(|v| part_of(p, v, &[])).collect::<Result<_, _>>();
    let buffers = buffers.map_err(|message| Error { kernel: kernel.name.clone(), message })?;
    let strips = seg.cols.div_ceil(LANES as u64) as usize;
    let row = vec![0; kernel.rows.len()];
    let (rows, part) = (0..kernel.n_rows(), 0..strips);
    let types = kernel.types();
    let mut run = Run { k: kernel, cols: seg.cols, strips, rows, part, buffers, arenas, seed, step, row, types };
    for r in 0..kernel.n_rows() {
        run.set_row(r);
        for c in 0..seg.cols {
            let bits = run.anchor(c).map_err(|message| Error { kernel: kernel.name.clone(), message })?;
            tile.push(bits);
        }
    }
    Ok(tile)
}

/// Element `e` of a dense buffer as lane bits.
fn load(d: DType, bytes: &[u8], e: usize) -> Bits {
    let mut word = [0; 8];
    let n = d.bytes();
    word[..n].copy_from_slice(&bytes[e * n..][..n]);
    let v = Bits::from_le_bytes(word);
    let signed = |i: i32| Bits::from(i as u32);
    match d {
        DType::Bool => Bits::from(v != 0),
        DType::I8 => signed((v as i8).into()),
        DType::I16 => signed((v as i16).into()),
        _ => v,
    }
}

/// Writes lane bits to element `e` of a dense buffer.
fn store(d: DType, bytes: &mut [u8], e: usize, v: Bits) {
    let v = if d == DType::Bool { Bits::from(v != 0) } else { v };
    let n = d.bytes();
    bytes[e * n..][..n].copy_from_slice(&v.to_le_bytes()[..n]);
}

/// The identity of a reduction and the op that combines, at a lane type.
pub fn reduction(kind: ReduceKind, ty: LaneTy) -> Option<(LaneOp, LaneBin)> {
    let f = |x: f64| LaneOp::float(ty, x);
    Some(match (ty, kind) {
        (LaneTy::F32 | LaneTy::F64, ReduceKind::Sum) => (f(0.0), LaneBin::FAdd),
        (LaneTy::F32 | LaneTy::F64, ReduceKind::Prod) => (f(1.0), LaneBin::FMul),
        (LaneTy::F32 | LaneTy::F64, ReduceKind::Max) => (f(f64::NEG_INFINITY), LaneBin::FMax),
        (LaneTy::F32 | LaneTy::F64, ReduceKind::Min) => (f(f64::INFINITY), LaneBin::FMin),
        (LaneTy::I32, ReduceKind::Sum) => (LaneOp::ConstI(0), LaneBin::IAdd),
        (LaneTy::I32, ReduceKind::Prod) => (LaneOp::ConstI(1), LaneBin::IMul),
        (LaneTy::I32, ReduceKind::Max) => (LaneOp::ConstI(i32::MIN), LaneBin::IMax),
        (LaneTy::I32, ReduceKind::Min) => (LaneOp::ConstI(i32::MAX), LaneBin::IMin),
        (LaneTy::Bool, ReduceKind::Max) => (LaneOp::ConstB(false), LaneBin::BOr),
        (LaneTy::Bool, ReduceKind::Min) => (LaneOp::ConstB(true), LaneBin::BAnd),
        (LaneTy::Bool, ReduceKind::Sum | ReduceKind::Prod) => return None,
    })
}

struct Run<'a> {
    k: &'a Kernel,
    cols: u64,
    strips: usize,
    /// The rows and strips to run.
    rows: Range<u64>,
    part: Range<usize>,
    buffers: Vec<Buffer>,
    arenas: &'a mut Arenas,
    seed: u64,
    step: u64,
    row: Vec<u64>,
    types: Vec<Option<LaneTy>>,
}

impl Run<'_> {
    fn kernel(&mut self) -> Result<(), String> {
        let kept = kept(self.k);
        for r in self.rows.clone() {
            self.set_row(r);
            self.one_row(&kept)?;
        }
        Ok(())
    }

    fn set_row(&mut self, mut r: u64) {
        for (i, &n) in self.k.rows.iter().enumerate().rev() {
            self.row[i] = r % n;
            r /= n;
        }
    }

    fn one_row(&mut self, kept: &[bool]) -> Result<(), String> {
        let k = self.k;
        // Values of the strip at hand; `rows[v]` holds the strips of a kept value.
        let mut now: Vec<Lanes> = vec![[0; LANES]; k.insts.len()];
        let mut rows: Vec<Vec<Lanes>> =
            kept.iter().map(|&b| vec![[0; LANES]; if b { self.strips } else { 0 }]).collect();
        for p in 0..k.phases.len() {
            let range = k.phase_range(p);
            for i in range.clone() {
                if let Inst::Reduce { kind, value } = &k.insts[i] {
                    now[i] = [lanes_eval::constant(&self.reduction(*kind, *value)?.0); LANES];
                }
            }
            for s in self.part.clone() {
                for v in 0..range.start {
                    if kept[v] {
                        now[v] = rows[v][s];
                    }
                }
                for i in range.clone() {
                    if let Inst::Acc { kind, value } = &k.insts[i] {
                        now[i] = [lanes_eval::constant(&self.reduction(*kind, *value)?.0); LANES];
                    }
                }
                let steps = k.phases[p].seq.unwrap_or(1);
                if steps == 0 {
                    // Later phases may use what does not depend on the step.
                    for i in range.clone() {
                        if matches!(&k.insts[i], Inst::Lane(op) if op.is_const())
                            || matches!(&k.insts[i], Inst::Index(Index::Row(_) | Index::Col))
                        {
                            self.inst(i, s, 0, &mut now)?;
                        }
                    }
                }
                for q in 0..steps {
                    for i in range.clone() {
                        self.inst(i, s, q, &mut now)?;
                    }
                }
                for i in range.clone() {
                    if kept[i] {
                        rows[i][s] = now[i];
                    }
                }
            }
            for i in range {
                if let Inst::Reduce { kind, value } = &k.insts[i] {
                    let (_, op) = self.reduction(*kind, *value)?;
                    let ty = self.ty(*value);
                    let mut half = LANES / 2;
                    while half > 0 {
                        for l in 0..half {
                            now[i][l] = lanes_eval::bin(op, ty, now[i][l], now[i][l + half]);
                        }
                        half /= 2;
                    }
                    now[i] = [now[i][0]; LANES];
                }
            }
        }
        Ok(())
    }

    fn reduction(&self, kind: ReduceKind, value: LaneId) -> Result<(LaneOp, LaneBin), String> {
        let ty = self.types[value.0 as usize].ok_or("a reduction of a store")?;
        reduction(kind, ty).ok_or_else(|| format!("no reduction {kind:?} of {ty:?}"))
    }

    fn ty(&self, v: LaneId) -> LaneTy {
        self.types[v.0 as usize].unwrap_or(LaneTy::F32)
    }

    /// Lanes of the strip that exist.
    fn live(&self, strip: usize) -> usize {
        (self.cols as usize - strip * LANES).min(LANES)
    }

    fn inst(&mut self, i: usize, strip: usize, q: u64, now: &mut [Lanes]) -> Result<(), String> {
        let live = self.live(strip);
        let col = |l: usize| (strip * LANES + l) as u64;
        let mut out = now[i];
        match &self.k.insts[i] {
            Inst::Lane(op) => {
                let ty = |v: LaneId| self.ty(v);
                out = lanes_eval::op16(op, ty, |v| &now[v.0 as usize]);
            }
            Inst::Index(Index::Row(a)) => out = [self.row.get(*a as usize).copied().unwrap_or(0); LANES],
            Inst::Index(Index::Col) => out = std::array::from_fn(col),
            Inst::Index(Index::Seq) => out = [q; LANES],
            Inst::Anchor => {
                for (l, o) in out.iter_mut().enumerate().take(live) {
                    *o = self.anchor(col(l))?;
                }
            }
            Inst::Load { arg, at } => {
                for (l, o) in out.iter_mut().enumerate().take(live) {
                    let e = self.address(at, *arg, col(l), q)?;
                    *o = self.read(*arg, e);
                }
            }
            Inst::LoadAt { arg, index, mask } => {
                for (l, o) in out.iter_mut().enumerate().take(live) {
                    *o = match self.checked(*arg, now[index.0 as usize][l], mask.map(|m| now[m.0 as usize][l])) {
                        Some(e) => self.read(*arg, e),
                        None => 0,
                    };
                }
            }
            Inst::Store { arg, at, value } => {
                for l in 0..live {
                    let e = self.address(at, *arg, col(l), q)?;
                    self.write(*arg, e, now[value.0 as usize][l]);
                }
            }
            Inst::StoreAt { arg, index, mask, value } => {
                for l in 0..live {
                    let m = mask.map(|m| now[m.0 as usize][l]);
                    if let Some(e) = self.checked(*arg, now[index.0 as usize][l], m) {
                        self.write(*arg, e, now[value.0 as usize][l]);
                    }
                }
            }
            Inst::Reduce { kind, value } | Inst::Acc { kind, value } => {
                let (_, op) = self.reduction(*kind, *value)?;
                let ty = self.ty(*value);
                for (l, o) in out.iter_mut().enumerate().take(live) {
                    *o = lanes_eval::bin(op, ty, *o, now[value.0 as usize][l]);
                }
            }
        }
        now[i] = out;
        Ok(())
    }

    fn read(&self, arg: ArgId, e: usize) -> Bits {
        let b = &self.buffers[arg.0 as usize];
        load(b.dtype, self.arenas.bytes(b), e)
    }

    fn write(&mut self, arg: ArgId, e: usize, v: Bits) {
        let b = &self.buffers[arg.0 as usize];
        store(b.dtype, self.arenas.bytes_mut(b), e, v);
    }

    /// The element of a checked access, if there is one.
    fn checked(&self, arg: ArgId, index: Bits, mask: Option<Bits>) -> Option<usize> {
        let len = self.k.args[arg.0 as usize].len.min(self.buffers[arg.0 as usize].len);
        // A negative index is a large one here.
        let inside = index < len.min(1 << 31);
        (inside && mask != Some(0)).then_some(index as usize)
    }

    fn address(&self, at: &Access, arg: ArgId, col: u64, seq: u64) -> Result<usize, String> {
        self.address_past(at, arg, col, seq, 0)
    }

    /// The address, `past` elements on.
    fn address_past(&self, at: &Access, arg: ArgId, col: u64, seq: u64, past: i64) -> Result<usize, String> {
        let mut e = past + at.offset + at.col * col as i64 + at.seq * seq as i64;
        for (s, r) in at.rows.iter().zip(&self.row) {
            e += s * *r as i64;
        }
        let b = &self.buffers[arg.0 as usize];
        if e < 0 || e as u64 >= b.len {
            return Err(format!("element {e} of buffer %{} with {} elements", b.name, b.len));
        }
        Ok(e as usize)
    }

    fn anchor(&self, col: u64) -> Result<Bits, String> {
        match &self.k.anchor {
            None => Err("acc without an anchor".into()),
            Some(Anchor::Rng { site }) => Ok(philox::element(self.seed, self.step, *site, col).into()),
            Some(Anchor::Contract(c)) => {
                let (ty, mut acc) = (lane_ty(self.k.anchor_dtype()), 0);
                for s in 0..c.length() {
                    let (mut rest, mut a, mut b) = (s, 0, 0);
                    for x in c.k.iter().rev() {
                        let i = (rest % x.n) as i64;
                        rest /= x.n;
                        (a, b) = (a + i * x.a, b + i * x.b);
                    }
                    let a = self.read(c.a.0, self.address_past(&c.a.1, c.a.0, col, 0, a)?);
                    let b = self.read(c.b.0, self.address_past(&c.b.1, c.b.0, col, 0, b)?);
                    acc = lanes_eval::fma(ty, a, b, acc);
                }
                Ok(acc)
            }
        }
    }
}
