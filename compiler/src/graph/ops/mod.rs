//! The op table: every primitive op of the graph IR, one row each.
//!
//! A row ([`OpSpec`]) holds the op's name, documentation, class, type rule, reference evaluation in f64, scalar body for
//! code generation, derivative and sample inputs. The interpreter, verifier, differentiation, code generation, the op
//! reference and the generated tests read rows; fusion and lowering match on [`Class`], never on one op. An elementwise
//! op is one row in `elementwise.rs` and nothing else.

pub mod elementwise;

use super::ty::{Shape, TensorTy};
use elementwise::Ew;
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::sync::Arc;

/// Axis numbers, in the order that the op documents.
pub type Axes = SmallVec<[u32; 4]>;

/// A primitive operation with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A constant: a scalar, or a dense table. Larger uniform constants are a scalar and a `Broadcast`.
    Const(Literal),
    /// `i32` of the given shape, counting along `axis`.
    Iota { shape: Shape, axis: u32 },
    /// Reads a declared slot.
    Input { slot: u32 },
    /// Uniform random `u32` bits: Philox4x32-10 keyed by (seed, site), counter (step, element). No two sites are equal.
    Rng { site: u32, shape: Shape },
    /// An elementwise op on operands of one shape.
    Ew(Ew),
    /// Converts to a dtype: ints wrap, float to int truncates and saturates, to bool is `!= 0`.
    Cast(DType),
    /// Reduces the axes (ascending), which vanish.
    Reduce { kind: ReduceKind, axes: Axes },
    /// `i32` position of the first extreme (or first NaN) along the axis, which vanishes.
    ArgReduce { kind: ArgKind, axis: u32 },
    /// Contraction of two float operands: result axes are batch, then free of the left, then free of the right.
    Dot(DotDims),
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Result axis `i` is operand axis `perm[i]`.
    Permute(Axes),
    /// Operand axis `i` becomes result axis `axes[i]` (ascending); the other result axes repeat.
    Broadcast { shape: Shape, axes: Axes },
    /// `start[i] .. stop[i]` by `step[i]` on every axis.
    Slice { start: Shape, stop: Shape, step: Shape },
    /// `lo` and `hi` elements of the scalar second operand around, and `interior` between neighbours, on every axis.
    Pad { lo: Shape, hi: Shape, interior: Shape },
    /// Operands one after another along the axis.
    Concat { axis: u32 },
    /// Reverses the axes.
    Reverse(Axes),
    /// `x, i0, i1, ..` : a window of the given sizes starting at one scalar `i32` per axis, clamped to fit.
    DynSlice { sizes: Shape },
    /// `x, u, i0, i1, ..` : `x` with `u` written at one scalar `i32` per axis, clamped to fit.
    DynUpdate,
    /// `x, idx` : axis `axis` of `x` is replaced by the axes of `idx`; an index outside the axis reads 0.
    Gather { axis: u32 },
    /// `x, idx, u` : `x` with `u` (shaped as `Gather`'s result) combined in at `idx`, in index order; outside indices are dropped.
    Scatter { kind: ScatterKind, axis: u32 },
    /// Inclusive running reduction along the axis.
    Cumulate { kind: ReduceKind, axis: u32 },
    /// The identity, with a meaning for passes.
    Tag(Tag),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A scalar; integers and bools are exact in the f64.
    Scalar(DType, f64),
    /// A dense table in row-major order, every element exact in the f64.
    Dense(TensorTy, Arc<[f64]>),
}

/// Reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ReduceKind {
    Sum,
    Max,
    Min,
    Prod,
}

/// Which extreme `ArgReduce` finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ArgKind {
    Max,
    Min,
}

/// How `Scatter` combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScatterKind {
    Add,
    Set,
    Max,
}

/// What `Tag` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// No gradient flows through.
    Stop,
    /// A named value that tools may read.
    Probe(Arc<str>),
}

/// Axes of a contraction, pairwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DotDims {
    /// Batch axes of the left operand.
    pub lhs_batch: Axes,
    /// Batch axes of the right operand.
    pub rhs_batch: Axes,
    /// Contracted axes of the left operand.
    pub lhs_contract: Axes,
    /// Contracted axes of the right operand.
    pub rhs_contract: Axes,
}

/// What kind of op it is: all that fusion, scheduling and lowering look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `const iota input rng`
    Source,
    /// One result element from the same element of every operand: `Ew`, `Cast`, `Tag`.
    Elementwise,
    /// `reduce argreduce`
    Reduce,
    /// `dot`
    Contract,
    /// Moves elements without computing: the shape group.
    Movement,
    /// Addresses depend on data: `dyn_slice dyn_update gather scatter`.
    Index,
    /// Along an axis in order: `cumulate`.
    Order,
}

impl Op {
    /// The type of the result, or why the operands do not fit.
    pub fn infer(&self, operands: &[&TensorTy], slots: &[super::graph::Slot]) -> Result<TensorTy, String> {
        let _ = (operands, slots);
        Err("not written yet".to_owned())
    }
}
