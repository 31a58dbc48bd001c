//! The kernel IR: loops over rows and columns of planned buffers, with bodies of lane ops.
//!
//! ```text
//! program @mnist.train {
//!   buffer %x: f32[50176] temp @0        buffer %w1: f32[200704] param @0
//!   kernel @fc1 {
//!     args %0: f32[50176] in, %1: f32[200704] in, %2: f32[256] in, %3: u32[16384] in, %4: f32[16384] out
//!     rows 64   cols 256
//!     contract k 784  a %0[784*r0 + k]  b %1[784*c + k]
//!     phase {
//!       %acc = acc
//!       %b   = load %2[c]
//!       %z   = fadd %acc, %b
//!       store %4[256*r0 + c], %z
//!     }
//!   }
//!   step { launch @fc1(%x, %w1, %b1, %keep1, %h1) split cols   barrier   ... }
//! }
//! ```
//!
//! A kernel is a grid of rows times one axis of columns; lanes run along the columns in strips of 16, the last strip
//! masked. For every row the phases run in order; within a phase the body runs once per strip (`seq` phases: once per
//! strip and sequence step, the sequence inside the strip). So:
//!
//! - `Reduce` combines over the columns of a row. Lane `l` accumulates columns `l, l+16, ..` in ascending order from
//!   the kind's identity; then lanes combine by halving: `l` with `l+8`, `l+4`, `l+2`, `l+1`. Lanes past the end do not
//!   take part (they keep the identity). Its value is available, the same in every lane, from the next phase on.
//! - `Acc` in a seq phase is the running combination of its operand over the sequence so far, this step included, lane
//!   by lane, starting at the identity; from the next phase on it is the final value.
//! - Any other value used in a later phase than its own is kept for the row (per-thread scratch of one row).
//!
//! Every bit of a result follows from this and the lane ops; the thread count and the machine's vector width do not enter.
//!
//! What a program runs is a tree of statements. A launch is a leaf; a sequence in time runs its statements once for each
//! number that it counts. Kernels know nothing of it: what a launch binds to an argument is a view of a buffer, whose place
//! may move with the numbers of the sequences around it.
//!
//! ```text
//!   step {
//!     launch @first(%h0, %h[0; 32])
//!     barrier
//!     seq 16 {
//!       launch @cell(%x[64*t0; 64], %w, %h[32*t0; 32], %h[32 + 32*t0; 32])
//!     }
//!   }
//! ```

use crate::graph::ops::ReduceKind;
use crate::lanes::{LaneId, LaneOp, LaneTy};
use nn_runtime::dtype::DType;
use smallvec::SmallVec;

/// A formal buffer of a kernel; an index into [`Kernel::args`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgId(pub u32);

/// A planned buffer of a program; an index into [`KernelProgram::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// What a kernel does with a formal buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads.
    In,
    /// Writes every element it is responsible for, reads none.
    Out,
    /// Reads and writes; an element is read only by the row and column that writes it, unless rows and cols do not split.
    InOut,
}

/// A formal buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arg {
    /// Element type in memory.
    pub dtype: DType,
    /// Elements.
    pub len: u64,
    /// What is done with it.
    pub role: Role,
}

/// An affine address in elements: `offset + sum(rows[i] * r_i) + col * c + seq * s`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// Constant part.
    pub offset: i64,
    /// Stride of each row axis.
    pub rows: SmallVec<[i64; 4]>,
    /// Stride of the column.
    pub col: i64,
    /// Stride of the sequence step; 0 outside seq phases.
    pub seq: i64,
}

/// An index available to bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// Row axis `i`.
    Row(u32),
    /// The column.
    Col,
    /// The sequence step.
    Seq,
}

/// One instruction of a kernel. Values are numbered over the whole kernel, across phases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "fields are named for what they hold; the variant says the rest")]
pub enum Inst {
    /// A pure lane op (never [`LaneOp::Arg`]).
    Lane(LaneOp),
    /// An index as `I32`.
    Index(Index),
    /// The anchor's value at this row and column: the operands' float for a contraction, `I32` bits for rng.
    Anchor,
    /// Loads; narrow ints extend to `I32`, bool bytes become `Bool`.
    Load { arg: ArgId, at: Access },
    /// Loads element `index` of the buffer; lanes whose mask is false or whose index is outside the buffer read 0.
    LoadAt { arg: ArgId, index: LaneId, mask: Option<LaneId> },
    /// Stores, narrowing `I32` by truncation. No value.
    Store { arg: ArgId, at: Access, value: LaneId },
    /// Stores at computed indices, lane 0 first; lanes masked off or outside the buffer store nothing. No value.
    /// The kernel must not split where two rows or columns may meet.
    StoreAt { arg: ArgId, index: LaneId, mask: Option<LaneId>, value: LaneId },
    /// Combines over the columns of this phase; see the module text. `Sum` and `Prod` of `I32` wrap.
    Reduce { kind: ReduceKind, value: LaneId },
    /// Combines over the sequence; see the module text.
    Acc { kind: ReduceKind, value: LaneId },
}

/// A pass over the columns of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Phase {
    /// Length of the sequence axis, run inside each strip; `None` runs the body once.
    pub seq: Option<u64>,
    /// One past the last instruction of this phase in [`Kernel::insts`]; it starts where the phase before ends.
    pub end: u32,
}

/// A batch-reduce contraction: `acc[r, c] = sum over k of A * B`, one FMA chain per element that starts from 0.0 and runs
/// over the contracted axes as written, the last one fastest. Rows are the batch axes, then M; columns are N.
///
/// As text `contract k 784   a %0[784*r0 + k]   b %1[784*c + k]`, with several axes
/// `contract k 3 96   a %0[512*r0 + 32*r1 + 512*k0 + k1]   b %1[c + 6144*k0 + 64*k1]`: a 3x3 convolution over 32 channels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// The contracted axes, outermost first; at least one. The right operand walks all of them with one stride: an axis moves
    /// in it as far as all of the next one does.
    pub k: SmallVec<[KAxis; 2]>,
    /// Left operand (`f32` or `f64`): `rows` has a stride for every row axis (batch and M); `col` is 0.
    pub a: (ArgId, Access),
    /// Right operand (of the same dtype): strides of the batch axes in `rows` (0 for M), and of N in `col`.
    pub b: (ArgId, Access),
}

/// A contracted axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KAxis {
    /// Its length.
    pub n: u64,
    /// Its stride in the left operand.
    pub a: i64,
    /// Its stride in the right operand.
    pub b: i64,
}

impl Contract {
    /// Length of the sum.
    pub fn length(&self) -> u64 {
        self.k.iter().map(|x| x.n).product()
    }
    /// Lengths and strides of the contracted axes in either operand.
    pub fn steps(&self) -> [SmallVec<[(u64, i64); 2]>; 2] {
        [self.k.iter().map(|x| (x.n, x.a)).collect(), self.k.iter().map(|x| (x.n, x.b)).collect()]
    }
    /// Does the right operand walk the contracted axes with one stride?
    pub fn one_stride(&self) -> bool {
        self.k.windows(2).all(|w| i128::from(w[0].b) == i128::from(w[1].b) * i128::from(w[1].n))
    }
}

/// What produces [`Inst::Anchor`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// A contraction, by the runtime's microkernels.
    Contract(Contract),
    /// Philox bits for element `c` (one row only).
    Rng {
        /// The site.
        site: u32,
    },
}

/// Which axis may be cut among threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// One thread runs it all.
    None,
    /// By rows.
    Rows,
    /// By columns, at multiples of 64.
    Cols,
}

/// A kernel. Equal kernels compile once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// A name for people, from the layer and ops it holds.
    pub name: String,
    /// Formal buffers.
    pub args: Vec<Arg>,
    /// Sizes of the row axes, outermost first; the row number counts them row-major. Empty means one row.
    pub rows: SmallVec<[u64; 4]>,
    /// Columns.
    pub cols: u64,
    /// The anchor.
    pub anchor: Option<Anchor>,
    /// Instructions of all phases.
    pub insts: Vec<Inst>,
    /// Phases in order.
    pub phases: Vec<Phase>,
    /// How it may be cut.
    pub split: Split,
}

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arena {
    /// Parameters, logical row-major order; kept across steps.
    Param,
    /// Optimizer, metric and model state; kept across steps.
    State,
    /// Constant tables.
    Const,
    /// A batch column, written by the loader before the step.
    Data,
    /// Step scalars: `t`.
    Step,
    /// Planned temporaries of one step.
    Temp,
    /// Results read after the step.
    Output,
}

/// A planned buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// A name for people.
    pub name: String,
    /// Where it lives.
    pub arena: Arena,
    /// Element type.
    pub dtype: DType,
    /// Elements.
    pub len: u64,
    /// Byte offset in the arena, a multiple of 64.
    pub offset: u64,
}

/// One kernel call. More than one segment only for kernels with no row axes whose accesses are all `c`: the body runs
/// over each segment's own number of columns (one update kernel for all parameters).
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What it computes, unique in a program. The kernel has the name of the first launch of it.
    pub name: String,
    /// Index into [`KernelProgram::kernels`].
    pub kernel: u32,
    /// Views for the kernel's args and the segment's columns.
    pub segments: Vec<Segment>,
    /// All threads must have finished every earlier launch before this one starts.
    pub barrier: bool,
}

/// What a launch binds.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// One per formal buffer.
    pub views: Vec<View>,
    /// Columns of this segment.
    pub cols: u64,
}

/// Neighboring elements of a buffer, at a place that may move with the sequences around a launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    /// The buffer.
    pub buf: BufferId,
    /// The first element where every sequence counts 0.
    pub offset: i64,
    /// Elements.
    pub len: u64,
    /// How many elements it moves with a sequence's number: the sequence's depth, the outermost is 0, and the stride.
    /// Ascending, strides are not 0.
    pub by: SmallVec<[(u32, i64); 2]>,
}

impl View {
    /// All of a buffer.
    pub fn whole(buf: BufferId, len: u64) -> View {
        View { buf, offset: 0, len, by: SmallVec::new() }
    }
    /// Its first element, where the sequences count `at`.
    pub fn first(&self, at: &[u64]) -> i64 {
        self.by.iter().map(|&(d, s)| s * at.get(d as usize).map_or(0, |&t| t as i64)).sum::<i64>() + self.offset
    }
    /// Its stride by the number of the sequence of that depth.
    pub fn stride(&self, depth: u32) -> i64 {
        self.by.iter().find(|b| b.0 == depth).map_or(0, |b| b.1)
    }
}

/// A statement of a program.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// A kernel call.
    Launch(Launch),
    /// A sequence in time.
    Seq(Seq),
}

/// Statements that run once for each number from 0 to `n - 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Seq {
    /// Steps; at least one.
    pub n: u64,
    /// From the last number to the first.
    pub reverse: bool,
    /// All threads must have finished what comes before, before the first step starts.
    pub barrier: bool,
    /// What a step does.
    pub body: Vec<Stmt>,
}

impl Seq {
    /// The number of step `i`.
    pub fn number(&self, i: u64) -> u64 {
        if self.reverse { self.n - 1 - i } else { i }
    }
}

/// A whole step: buffers, kernels and the order of launches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelProgram {
    /// Its name.
    pub name: String,
    /// Planned buffers.
    pub buffers: Vec<Buffer>,
    /// Distinct kernels.
    pub kernels: Vec<Kernel>,
    /// What it does, in order.
    pub body: Vec<Stmt>,
    /// Constant tables: the buffer and its bytes.
    pub consts: Vec<(BufferId, Vec<u8>)>,
    /// Bytes of the temp arena.
    pub temp_bytes: u64,
    /// Graph outputs that are not assignments: name and buffer.
    pub outputs: Vec<(String, BufferId)>,
}

impl KernelProgram {
    /// Every launch of the text, in order, whatever runs it how often.
    pub fn launches(&self) -> Vec<&Launch> {
        launches(&self.body)
    }
}

/// Every launch of some statements, in order.
pub fn launches(body: &[Stmt]) -> Vec<&Launch> {
    fn walk<'a>(body: &'a [Stmt], out: &mut Vec<&'a Launch>) {
        for s in body {
            match s {
                Stmt::Launch(l) => out.push(l),
                Stmt::Seq(s) => walk(&s.body, out),
            }
        }
    }
    let mut out = vec![];
    walk(body, &mut out);
    out
}

impl Kernel {
    /// Instructions of a phase.
    pub fn phase_range(&self, p: usize) -> std::ops::Range<usize> {
        let start = if p == 0 { 0 } else { self.phases[p - 1].end as usize };
        start..self.phases[p].end as usize
    }
    /// Number of rows.
    pub fn n_rows(&self) -> u64 {
        self.rows.iter().product()
    }
    /// The type of every instruction's value; `None` for stores.
    pub fn types(&self) -> Vec<Option<LaneTy>> {
        let mut types: Vec<Option<LaneTy>> = Vec::with_capacity(self.insts.len());
        for i in &self.insts {
            let of = |v: LaneId| types.get(v.0 as usize).copied().flatten().unwrap_or(LaneTy::F32);
            types.push(match i {
                Inst::Lane(op) => Some(op.ty(of)),
                Inst::Index(_) => Some(LaneTy::I32),
                Inst::Anchor => Some(lane_ty(self.anchor_dtype())),
                Inst::Load { arg, .. } | Inst::LoadAt { arg, .. } => Some(lane_ty(self.args[arg.0 as usize].dtype)),
                Inst::Store { .. } | Inst::StoreAt { .. } => None,
                Inst::Reduce { value, .. } | Inst::Acc { value, .. } => Some(of(*value)),
            });
        }
        types
    }
    /// The element type of the anchor's values.
    pub fn anchor_dtype(&self) -> DType {
        match &self.anchor {
            Some(Anchor::Rng { .. }) => DType::U32,
            Some(Anchor::Contract(c)) => self.args.get(c.a.0.0 as usize).map_or(DType::F32, |a| a.dtype),
            None => DType::F32,
        }
    }
    /// Bytes of a lane where the widest value of the kernel lives.
    pub fn lane_bytes(&self) -> u64 {
        if self.types().contains(&Some(LaneTy::F64)) { 8 } else { 4 }
    }
}

/// The lane type that a memory dtype loads as.
pub fn lane_ty(d: DType) -> LaneTy {
    match d {
        DType::Bool => LaneTy::Bool,
        DType::F64 => LaneTy::F64,
        DType::F32 | DType::Bf16 | DType::F16 => LaneTy::F32,
        _ => LaneTy::I32,
    }
}
