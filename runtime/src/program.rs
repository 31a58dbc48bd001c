//! The boundary between compiler and runtime: a compiled program as plain data.
//!
//! In: what the compiler emits. Out: what `exec/` runs. The runtime needs nothing else, so a program runs with no
//! compiler in sight. Functions are entry addresses in code memory that the program owns.

use crate::dtype::DType;
use std::sync::Arc;

/// A compiled program: persistent state, entries, and the code they call.
pub struct Program {
    /// Its name.
    pub name: String,
    /// Parameters, in the order and at the offsets of the param arena.
    pub params: Vec<TensorSpec>,
    /// Model, optimizer and metric state, likewise in the state arena.
    pub state: Vec<TensorSpec>,
    /// How many of `state`, the first ones, belong to the model (running statistics): they are saved with its parameters.
    pub model_state: usize,
    /// Parameters and states that hold class numbers, with the number of classes: what is loaded is held against it.
    pub classes: Vec<(String, u64)>,
    /// Bytes of the param arena.
    pub param_bytes: u64,
    /// Bytes of the state arena.
    pub state_bytes: u64,
    /// Entries: `init`, `train`, `eval`, each per batch size.
    pub entries: Vec<Entry>,
    /// Keeps the code memory that [`BodyFn`]s point into alive.
    pub code: Vec<Arc<dyn Code>>,
}

impl Program {
    /// Bytes of memory that running it takes besides code and what each thread packs: parameters, state, one arena of
    /// temporaries that all entries share, and each entry's batch, step scalars, constants and results.
    pub fn arena_bytes(&self) -> u64 {
        let end = |specs: &[TensorSpec]| specs.iter().map(|t| t.offset + t.bytes()).max().unwrap_or(0);
        let own = |e: &Entry| e.data_bytes + end(&e.step) + e.output_bytes + e.consts.len() as u64;
        let temp = self.entries.iter().map(|e| e.temp_bytes).max().unwrap_or(0);
        self.param_bytes + self.state_bytes + temp + self.entries.iter().map(own).sum::<u64>()
    }
}

/// Owned code memory; freed when the last holder drops it.
pub trait Code: Send + Sync {
    /// Bytes of machine code.
    fn bytes(&self) -> usize;
}

/// A named tensor at an offset of an arena, dense, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// A parameter's path, `fc.weight`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<u64>,
    /// Byte offset, a multiple of 64.
    pub offset: u64,
}

impl TensorSpec {
    /// Number of elements.
    pub fn numel(&self) -> u64 {
        self.shape.iter().product()
    }
    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.numel() * self.dtype.bytes() as u64
    }
}

/// One step function: its inputs, outputs and launches.
pub struct Entry {
    /// `train`, `eval`, `init`, ...
    pub name: String,
    /// Batch size; 0 where there is none.
    pub batch: u64,
    /// Batch columns in the data arena.
    pub data: Vec<TensorSpec>,
    /// Step scalars in the step arena: `t`.
    pub step: Vec<TensorSpec>,
    /// Results in the output arena.
    pub outputs: Vec<TensorSpec>,
    /// Bytes of the data arena.
    pub data_bytes: u64,
    /// Bytes of the temp arena, the same every step.
    pub temp_bytes: u64,
    /// Bytes of the output arena.
    pub output_bytes: u64,
    /// Constant tables.
    pub consts: Vec<u8>,
    /// Bytes of scratch that each thread needs for kept rows.
    pub scratch_bytes: u64,
    /// Floating point operations of one run, as the graph counts them.
    pub flops: u64,
    /// What it does, in order.
    pub body: Vec<Stmt>,
    /// What its outputs say about class numbers: looked at after every run.
    pub checks: Vec<IndexCheck>,
}

impl Entry {
    /// Every launch of the text, in order, and how often a run makes it.
    pub fn launches(&self) -> Vec<(&Launch, u64)> {
        launches(&self.body)
    }
}

/// Every launch of some statements, in order, and how often they make it.
pub fn launches(body: &[Stmt]) -> Vec<(&Launch, u64)> {
    fn walk<'a>(body: &'a [Stmt], times: u64, out: &mut Vec<(&'a Launch, u64)>) {
        for s in body {
            match s {
                Stmt::Launch(l) => out.push((l, times)),
                Stmt::Seq(s) => walk(&s.body, times.saturating_mul(s.n), out),
            }
        }
    }
    let mut out = vec![];
    walk(body, 1, &mut out);
    out
}

/// A statement.
pub enum Stmt {
    /// A kernel call.
    Launch(Launch),
    /// A sequence in time.
    Seq(Seq),
}

impl Stmt {
    /// A barrier stands before it.
    pub fn barrier(&self) -> bool {
        match self {
            Stmt::Launch(l) => l.barrier,
            Stmt::Seq(s) => s.barrier,
        }
    }
}

/// Statements that run several times, one step after another. Each thread goes through the steps on its own; where threads
/// must meet in a step, a barrier of the body says so.
pub struct Seq {
    /// Steps.
    pub n: u64,
    /// A barrier stands before the first step.
    pub barrier: bool,
    /// What a step does.
    pub body: Vec<Stmt>,
    /// Buffers that are somewhere else in each step.
    pub moves: Vec<Move>,
    /// Products cut by rows, by their place among all launches of the entry, whose right operand is the same in all steps:
    /// it has one place, no axis of batch moves it, and nothing in the body writes it.
    pub keeps: Vec<usize>,
}

/// How a buffer of a launch moves from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The launch, by its place among all of the entry.
    pub launch: usize,
    /// The buffer, by its place among those of the launch's segments.
    pub buf: usize,
    /// Bytes per step.
    pub by: i64,
}

/// Class numbers that an entry checks as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCheck {
    /// The `i32` output that is the position of the first value outside of the range, row-major; `i32::MAX` if there is
    /// none.
    pub first: String,
    /// The output that is this value.
    pub value: String,
    /// Number of classes: values lie in `0 .. size`.
    pub size: u64,
    /// Shape of the values.
    pub shape: Vec<u64>,
    /// The axis along which the rows of the batch lie.
    pub rows: Option<usize>,
    /// The conversion as the program writes it.
    pub text: String,
    /// Where it stands: file, line, column.
    pub place: String,
}

/// The arenas a buffer can live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arena {
    Param,
    State,
    Const,
    Data,
    Step,
    Temp,
    Output,
}

/// A buffer: bytes at an offset of an arena, in the first step of the sequences around its launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufRef {
    /// Which arena.
    pub arena: Arena,
    /// Byte offset.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One kernel call.
pub struct Launch {
    /// For profiles and messages.
    pub name: String,
    /// What fills the accumulator tile before the body.
    pub anchor: Anchor,
    /// The body. `None` only for a contraction whose result is stored as it is: then `segments[0].bufs[2]` takes it,
    /// row-major `[rows, cols]`.
    pub body: Option<BodyFn>,
    /// Buffers, and columns for each.
    pub segments: Vec<Segment>,
    /// Rows.
    pub rows: u64,
    /// How threads share it.
    pub split: Split,
    /// A barrier stands before this launch. Launches with the same split and the same rows (columns of segments) are cut at
    /// the same places, so one that reads only what its own thread wrote needs none.
    pub barrier: bool,
    /// Estimated cost in floating point operations or touched elements, to decide whether threads pay.
    pub cost: u64,
}

/// Buffers of a launch.
#[derive(Clone, Debug)]
pub struct Segment {
    /// One per formal buffer. For a contraction the first two are A and B.
    pub bufs: Vec<BufRef>,
    /// Columns.
    pub cols: u64,
}

/// What fills the accumulator tile.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// Nothing.
    None,
    /// A contraction of `bufs[0]` and `bufs[1]`.
    Contract(Gemm),
    /// Philox bits for columns (one row).
    Rng {
        /// The site.
        site: u32,
    },
}

/// A batched matrix product over strided operands: for every batch index,
/// `acc[m, n] = fma chain over k ascending from 0.0 of a[m, k] * b[k, n]`. Strides and offsets are in elements.
/// Launch rows are the batch axes (row-major), then M; columns are N. `k` counts the contracted axes row-major: A may walk
/// each with a stride of its own, as the taps and channels of a convolution do, B walks all of them with one.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// The float of operands and result: `f32` or `f64`.
    pub dtype: DType,
    /// Batch axes.
    pub batch: Vec<GemmBatch>,
    /// Rows of one product.
    pub m: u64,
    /// Columns of one product.
    pub n: u64,
    /// Contracted axes, outermost first; at least one.
    pub k: Vec<GemmK>,
    /// First element of A.
    pub a_offset: i64,
    /// First element of B.
    pub b_offset: i64,
    /// Stride of `m` in A.
    pub a_m: i64,
    /// Stride of `k` in B.
    pub b_k: i64,
    /// Stride of `n` in B.
    pub b_n: i64,
}

/// A contracted axis of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmK {
    /// Size.
    pub size: u64,
    /// Stride in A.
    pub a: i64,
}

/// A batch axis of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmBatch {
    /// Size.
    pub size: u64,
    /// Stride in A.
    pub a: i64,
    /// Stride in B.
    pub b: i64,
}

/// How threads share a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Thread 0 runs it.
    None,
    /// Rows are cut.
    Rows,
    /// Columns are cut at multiples of 64.
    Cols,
}

/// What a body is called with: a rectangle of rows and columns.
#[repr(C)]
#[derive(Debug)]
pub struct TileArgs {
    /// Base address of every formal buffer.
    pub bufs: *const *mut u8,
    /// The anchor's tile, of the product's float or of u32 bits: element (r, c) at `acc[(r - r0) * acc_ld + (c - c0)]`;
    /// null without anchor.
    pub acc: *const u8,
    /// Row stride of the tile in elements.
    pub acc_ld: u64,
    /// This thread's scratch for kept rows, 64-byte aligned.
    pub scratch: *mut u8,
    /// First row.
    pub r0: u64,
    /// One past the last row.
    pub r1: u64,
    /// First column; a multiple of 16.
    pub c0: u64,
    /// One past the last column: a multiple of 16, or the end of the segment.
    pub c1: u64,
}

/// A compiled body. Bodies with row reductions are only called with the full range of columns.
///
/// # Safety
/// Every buffer must be valid for the accesses of the kernel on the given rectangle, which the compiler's verifier
/// proves from the kernel's accesses and buffer lengths, and no other thread may write what it touches.
pub type BodyFn = unsafe extern "C" fn(*const TileArgs);
