//! Kernel programs and compiled bodies to the plain-data [`Program`] that the runtime runs.
//!
//! In: one kernel program per entry, and the tensors that persist. Out: a program. Kernels whose
//! bodies are equal, also across entries, are compiled once.

use super::{Error, Lowering, compile_for};
use crate::kernel::ir::{self, Access, Inst, Kernel, KernelProgram};
use nn_runtime::program::{
    Anchor, Arena, BodyFn, BufRef, Code, Entry, Gemm, GemmBatch, GemmK, IndexCheck, Launch, Move, Program, Segment,
    Seq, Split, Stmt, TensorSpec,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What an entry is made of.
pub struct Source<'a> {
    /// `train`, `eval`, `init`, ..
    pub name: String,
    /// Batch size, 0 where there is none.
    pub batch: u64,
    /// Its kernels, plan and launches.
    pub program: &'a KernelProgram,
    /// Shapes of data, step and output tensors by buffer name (outputs: by output name); flat where absent.
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// Floating point operations of one run.
    pub flops: u64,
    /// Class numbers that its outputs check.
    pub checks: &'a [IndexCheck],
}

/// Compiles every kernel and assembles the program. `params` and `state` describe their arenas in full; which state is
/// the model's is the caller's to say.
pub fn emit(
    name: impl Into<String>,
    params: Vec<TensorSpec>,
    state: Vec<TensorSpec>,
    sources: &[Source<'_>],
) -> Result<Program, Error> {
    emit_by(Lowering::best(), name, params, state, sources)
}

/// Likewise, with a lowering of the caller's choice; the bits of the results do not depend on it.
pub fn emit_by(
    lowering: Lowering,
    name: impl Into<String>,
    params: Vec<TensorSpec>,
    state: Vec<TensorSpec>,
    sources: &[Source<'_>],
) -> Result<Program, Error> {
    let kernels: Vec<Kernel> = sources.iter().flat_map(|s| s.program.kernels.iter().cloned()).collect();
    let mut several = vec![false; kernels.len()];
    let mut first = vec![];
    let mut count = 0;
    for s in sources {
        first.push(count);
        for l in s.program.launches().into_iter().filter(|l| l.segments.len() > 1) {
            if let Some(flag) = several.get_mut(count + l.kernel as usize) {
                *flag = true;
            }
        }
        count += s.program.kernels.len();
    }
    let compiled = compile_for(&kernels, &several, lowering)?;
    let mut entries = vec![];
    let key = |t: &TensorSpec| (t.offset, t.dtype, t.numel());
    let known = [&params, &state].map(|specs| specs.iter().map(key).collect::<HashSet<_>>());
    for (s, &first) in sources.iter().zip(&first) {
        for b in &s.program.buffers {
            let specs = match b.arena {
                ir::Arena::Param => &known[0],
                ir::Arena::State => &known[1],
                _ => continue,
            };
            if !specs.contains(&(b.offset, b.dtype, b.len)) {
                return Err(Error::Bug(format!("no persistent tensor is the buffer %{} of `{}`", b.name, s.name)));
            }
        }
        let mut e = entry(s)?;
        let bodies = compiled.bodies.get(first..).unwrap_or_default();
        let mut w = Writer { p: s.program, bodies, around: vec![], count: 0 };
        e.body = w.statements(&s.program.body)?;
        for l in s.program.launches() {
            let i = first + l.kernel as usize;
            e.scratch_bytes = e.scratch_bytes.max(compiled.scratch_bytes.get(i).copied().unwrap_or(0));
        }
        entries.push(e);
    }
    let code: Vec<Arc<dyn Code>> = vec![compiled.code];
    let (param_bytes, state_bytes) = (end_of_specs(&params), end_of_specs(&state));
    Ok(Program {
        name: name.into(),
        params,
        state,
        model_state: 0,
        classes: vec![],
        param_bytes,
        state_bytes,
        entries,
        code,
    })
}

/// The tensors of an arena, ordered by offset; shapes by buffer name, flat where absent.
pub fn specs(p: &KernelProgram, arena: ir::Arena, shapes: &BTreeMap<String, Vec<u64>>) -> Vec<TensorSpec> {
    let mut all: Vec<TensorSpec> =
        p.buffers.iter().filter(|b| b.arena == arena).map(|b| spec(b, shapes.get(&b.name))).collect();
    all.sort_by_key(|t| t.offset);
    all
}

fn spec(b: &ir::Buffer, shape: Option<&Vec<u64>>) -> TensorSpec {
    let shape = shape.filter(|s| s.iter().product::<u64>() == b.len).cloned().unwrap_or_else(|| vec![b.len]);
    TensorSpec { name: b.name.clone(), dtype: b.dtype, shape, offset: b.offset }
}

/// The entry without its statements.
fn entry(s: &Source<'_>) -> Result<Entry, Error> {
    let p = s.program;
    let mut outputs = vec![];
    for (name, id) in &p.outputs {
        let b = buffer(p, *id)?;
        if b.arena != ir::Arena::Output {
            return Err(Error::Bug(format!("output `{name}` lies in another arena")));
        }
        outputs.push(TensorSpec { name: name.clone(), ..spec(b, s.shapes.get(name)) });
    }
    let mut consts = vec![0; end_of(p, ir::Arena::Const) as usize];
    for (id, bytes) in &p.consts {
        let b = buffer(p, *id)?;
        let place = consts.get_mut(b.offset as usize..).and_then(|c| c.get_mut(..bytes.len()));
        match place {
            Some(place) if b.arena == ir::Arena::Const => place.copy_from_slice(bytes),
            _ => return Err(Error::Bug(format!("the table %{} does not fit its arena", b.name))),
        }
    }
    Ok(Entry {
        name: s.name.clone(),
        batch: s.batch,
        data: specs(p, ir::Arena::Data, &s.shapes),
        step: specs(p, ir::Arena::Step, &s.shapes),
        outputs,
        data_bytes: end_of(p, ir::Arena::Data),
        temp_bytes: end_of(p, ir::Arena::Temp).max(p.temp_bytes),
        output_bytes: end_of(p, ir::Arena::Output),
        consts,
        scratch_bytes: 0,
        flops: s.flops,
        body: vec![],
        checks: s.checks.to_vec(),
    })
}

fn buffer(p: &KernelProgram, id: ir::BufferId) -> Result<&ir::Buffer, Error> {
    p.buffers.get(id.0 as usize).ok_or_else(|| Error::Bug(format!("no buffer {}", id.0)))
}

/// One past the last byte of an arena, a multiple of 64.
fn end_of(p: &KernelProgram, arena: ir::Arena) -> u64 {
    let ends = p.buffers.iter().filter(|b| b.arena == arena).map(|b| b.offset + b.len * b.dtype.bytes() as u64);
    ends.max().unwrap_or(0).next_multiple_of(64)
}

fn end_of_specs(specs: &[TensorSpec]) -> u64 {
    specs.iter().map(|t| t.offset + t.bytes()).max().unwrap_or(0).next_multiple_of(64)
}

/// Steps from which it pays to pack what they multiply by once.
const MANY: u64 = 4;

/// Statements of an entry.
struct Writer<'a> {
    p: &'a KernelProgram,
    /// By kernel.
    bodies: &'a [Option<BodyFn>],
    /// The sequences around, and what moves with each.
    around: Vec<(&'a ir::Seq, Vec<Move>)>,
    /// Launches so far.
    count: usize,
}

impl<'a> Writer<'a> {
    fn statements(&mut self, body: &'a [ir::Stmt]) -> Result<Vec<Stmt>, Error> {
        let mut out = vec![];
        for s in body {
            out.push(match s {
                ir::Stmt::Launch(l) => {
                    let segments = l.segments.iter().map(|s| self.segment(l, s)).collect::<Result<_, _>>()?;
                    self.count += 1;
                    let body = self.bodies.get(l.kernel as usize).copied().flatten();
                    Stmt::Launch(launch(self.p, l, segments, body)?)
                }
                ir::Stmt::Seq(s) => {
                    let first = self.count;
                    self.around.push((s, vec![]));
                    let body = self.statements(&s.body)?;
                    let moves = self.around.pop().map_or(vec![], |a| a.1);
                    let keeps = self.keeps(s, first);
                    Stmt::Seq(Seq { n: s.n, barrier: s.barrier, body, moves, keeps })
                }
            });
        }
        Ok(out)
    }

    /// Products of a sequence whose right operand is the same in all steps, and not in those of a sequence around it, which
    /// would keep it: many steps pay for packing it once. `first`: the number of the first launch inside.
    fn keeps(&self, s: &ir::Seq, first: usize) -> Vec<usize> {
        let inside = ir::launches(&s.body);
        let depth = self.around.len() as u32;
        let same = |l: &ir::Launch, body: &[&ir::Launch], depth: u32| {
            let (Some(k), [seg]) = (self.p.kernels.get(l.kernel as usize), &l.segments[..]) else { return false };
            let (Some(ir::Anchor::Contract(c)), Some(b)) = (&k.anchor, seg.views.get(1)) else { return false };
            let rows = c.b.1.rows.iter().zip(&k.rows).all(|(&b, &n)| b == 0 || n == 1);
            k.split == ir::Split::Rows
                && rows
                && b.by.iter().all(|by| by.0 < depth)
                && !body.iter().any(|l| self.writes(l, b.buf))
        };
        let around = self.around.iter().zip(0..).filter(|(a, _)| a.0.n >= MANY);
        let outside: Vec<(Vec<&ir::Launch>, u32)> = around.map(|(a, depth)| (ir::launches(&a.0.body), depth)).collect();
        let kept_outside = |l| outside.iter().any(|(body, depth)| same(l, body, *depth));
        let all = inside.iter().enumerate().filter(|(_, l)| s.n >= MANY && same(l, &inside, depth) && !kept_outside(l));
        all.map(|(i, _)| first + i).collect()
    }

    /// Does a launch write bytes of a buffer?
    fn writes(&self, l: &ir::Launch, b: ir::BufferId) -> bool {
        let Some(b) = self.p.buffers.get(b.0 as usize) else { return true };
        let end = |b: &ir::Buffer| b.offset + b.len * b.dtype.bytes() as u64;
        let meets = |o: &ir::Buffer| o.arena == b.arena && o.offset < end(b) && b.offset < end(o);
        let Some(k) = self.p.kernels.get(l.kernel as usize) else { return true };
        let all = l.segments.iter().flat_map(|s| s.views.iter().zip(&k.args));
        let written =
            all.filter(|(_, a)| a.role != ir::Role::In).filter_map(|(v, _)| self.p.buffers.get(v.buf.0 as usize));
        written.into_iter().any(meets)
    }

    /// The buffers of a segment where the first steps find them.
    fn segment(&mut self, l: &ir::Launch, s: &ir::Segment) -> Result<Segment, Error> {
        let before = l.segments.iter().take_while(|t| !std::ptr::eq(*t, s)).map(|t| t.views.len()).sum::<usize>();
        let mut bufs = vec![];
        for (i, v) in s.views.iter().enumerate() {
            let b = buffer(self.p, v.buf)?;
            let size = b.dtype.bytes() as i64;
            let first: Vec<u64> = self.around.iter().map(|(s, _)| s.number(0)).collect();
            let Ok(offset) = u64::try_from(b.offset as i64 + v.first(&first) * size) else {
                return Err(Error::Bug(format!("a view of %{} before its first element", b.name)));
            };
            for &(depth, stride) in &v.by {
                let Some((s, moves)) = self.around.get_mut(depth as usize) else {
                    return Err(Error::Bug(format!("a view of %{} moves with no sequence", b.name)));
                };
                let by = if s.reverse { -stride } else { stride } * size;
                moves.push(Move { launch: self.count, buf: before + i, by });
            }
            bufs.push(BufRef { arena: arena(b.arena), offset, bytes: v.len * size as u64 });
        }
        Ok(Segment { bufs, cols: s.cols })
    }
}

fn launch(p: &KernelProgram, l: &ir::Launch, segments: Vec<Segment>, body: Option<BodyFn>) -> Result<Launch, Error> {
    let k = p.kernels.get(l.kernel as usize).ok_or_else(|| Error::Bug(format!("no kernel {}", l.kernel)))?;
    let anchor = match &k.anchor {
        None => Anchor::None,
        Some(ir::Anchor::Rng { site }) => Anchor::Rng { site: *site },
        Some(ir::Anchor::Contract(c)) => Anchor::Contract(gemm(k, c)?),
    };
    let split = match k.split {
        ir::Split::None => Split::None,
        ir::Split::Rows => Split::Rows,
        ir::Split::Cols => Split::Cols,
    };
    let cols: u64 = l.segments.iter().map(|s| s.cols).sum();
    let (rows, cost) = (k.n_rows(), cost(k, cols));
    Ok(Launch { name: l.name.clone(), anchor, body, segments, rows, split, barrier: l.barrier, cost })
}

fn arena(a: ir::Arena) -> Arena {
    match a {
        ir::Arena::Param => Arena::Param,
        ir::Arena::State => Arena::State,
        ir::Arena::Const => Arena::Const,
        ir::Arena::Data => Arena::Data,
        ir::Arena::Step => Arena::Step,
        ir::Arena::Temp => Arena::Temp,
        ir::Arena::Output => Arena::Output,
    }
}

/// A contraction as the runtime's product. The last row axes are M where the right operand does not move along them and
/// the left one moves evenly; the others are batch axes. The right operand walks the contracted axes with one stride.
fn gemm(k: &Kernel, c: &ir::Contract) -> Result<Gemm, Error> {
    if (c.a.0.0, c.b.0.0) != (0, 1) {
        return Err(Error::Bug(format!("@{}: the operands of a contraction must be the first two arguments", k.name)));
    }
    if !c.one_stride() {
        return Err(Error::Bug(format!("@{}: the right operand of a contraction walks its axes unevenly", k.name)));
    }
    let stride = |at: &Access, i: usize| at.rows.get(i).copied().unwrap_or(0);
    let (mut m, mut a_m, mut axes) = (1, 0, k.rows.len());
    while axes > 0 {
        let (n, a, b) = (k.rows[axes - 1], stride(&c.a.1, axes - 1), stride(&c.b.1, axes - 1));
        let even = m == 1 || n == 1 || a == a_m * m as i64;
        if n != 1 && (b != 0 || !even) {
            break;
        }
        if m == 1 && n != 1 {
            a_m = a;
        }
        m *= n;
        axes -= 1;
    }
    let batch = (0..axes).map(|i| GemmBatch { size: k.rows[i], a: stride(&c.a.1, i), b: stride(&c.b.1, i) }).collect();
    Ok(Gemm {
        dtype: k.anchor_dtype(),
        batch,
        m,
        n: k.cols,
        k: c.k.iter().map(|x| GemmK { size: x.n, a: x.a }).collect(),
        a_offset: c.a.1.offset,
        b_offset: c.b.1.offset,
        a_m,
        b_k: c.k.last().map_or(0, |x| x.b),
        b_n: c.b.1.col,
    })
}

/// What a launch costs: operations of its product, elements it touches otherwise (an element of memory counts as much as
/// eight lane ops, and sixteen times an operation of a product).
fn cost(k: &Kernel, cols: u64) -> u64 {
    let mut eighths = 0;
    for p in 0..k.phases.len() {
        let steps = k.phases[p].seq.unwrap_or(1);
        for i in k.phase_range(p) {
            eighths += steps
                * match &k.insts[i] {
                    Inst::Load { at, .. } | Inst::Store { at, .. } if matches!(at.col, 0 | 1) => 8,
                    Inst::Load { .. } | Inst::Store { .. } => 16,
                    Inst::LoadAt { .. } | Inst::StoreAt { .. } => 32,
                    Inst::Lane(op) if op.is_const() => 0,
                    _ => 1,
                };
        }
    }
    let cells = k.n_rows().saturating_mul(cols);
    let body = cells.saturating_mul(eighths) / 8;
    match &k.anchor {
        Some(ir::Anchor::Contract(c)) => cells.saturating_mul(2 * c.length()).saturating_add(body.saturating_mul(16)),
        _ => body,
    }
}
