//! The op table: every primitive op of the graph IR, one row each.
//!
//! A row ([`OpSpec`]) holds the op's name, documentation, class, type rule, reference evaluation in f64, scalar body for
//! code generation, derivative, text attributes and sample inputs. The interpreter, verifier, printer, parser,
//! differentiation, code generation, the op reference and the generated tests read rows; fusion and lowering match on
//! [`Class`], never on one op. An elementwise op is one row in `elementwise.rs` and nothing else; the other rows stand
//! in one file per family.

pub mod attr;
pub mod contract;
pub mod convert;
pub mod elementwise;
pub mod index;
pub mod lane_help;
pub mod movement;
pub mod order;
pub mod reduce;
pub mod region;
pub mod source;
pub mod window;

#[cfg(test)]
mod tests;

use super::build::Builder;
use super::graph::{Slot, ValueId};
use super::tensor::{Tensor, wrap};
use super::ty::{Shape, TensorTy};
use crate::lanes::{LaneBuilder, LaneId};
use attr::{Attr, Attrs};
use elementwise::Ew;
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Axis numbers, in the order that the op documents.
pub type Axes = SmallVec<[u32; 4]>;

/// A primitive operation with its attributes. Equality and hash go by the bits of floats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
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
    /// Result axis `axis` counts frames, one at every `step`th element of the operand's axis; the last axis counts the
    /// `size` elements of a frame, `dilation` apart.
    Window { axis: u32, size: u64, step: u64, dilation: u64 },
    /// The sum of frames laid back on an axis of length `len`: the adjoint of `Window`.
    Fold { axis: u32, len: u64, step: u64, dilation: u64 },
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
    /// A loop over the leading axis of operands; its results are taken by `Result`.
    Scan(region::Scan),
    /// Result `index` of a region, of that type.
    Result { index: u32, ty: TensorTy },
    /// The identity, with a meaning for passes.
    Tag(Tag),
}

/// A constant.
#[derive(Clone, Debug)]
pub enum Literal {
    /// A scalar; integers and bools are exact in the f64.
    Scalar(DType, f64),
    /// A dense table in row-major order, every element exact in the f64.
    Dense(TensorTy, Arc<[f64]>),
}

impl Literal {
    /// The type.
    pub fn ty(&self) -> TensorTy {
        match self {
            Literal::Scalar(d, _) => TensorTy::scalar(*d),
            Literal::Dense(ty, _) => ty.clone(),
        }
    }
    /// The elements in row-major order.
    pub fn data(&self) -> &[f64] {
        match self {
            Literal::Scalar(_, x) => std::slice::from_ref(x),
            Literal::Dense(_, xs) => xs,
        }
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        let same_form = matches!(self, Literal::Scalar(..)) == matches!(other, Literal::Scalar(..));
        let bits = |l: &Literal| l.data().iter().map(|x| x.to_bits()).collect::<SmallVec<[u64; 1]>>();
        same_form && self.ty() == other.ty() && bits(self) == bits(other)
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.ty().hash(h);
        for x in self.data() {
            h.write_u64(x.to_bits());
        }
    }
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
    /// A variable that derivatives are taken by, with a number of its own: equal values are not shared with it.
    Variable(u32),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `const iota input rng`
    Source,
    /// One result element from the same element of every operand: `Ew`, `Cast`, `Tag`.
    Elementwise,
    /// `reduce argreduce fold`
    Reduce,
    /// `dot`
    Contract,
    /// Moves elements without computing: the shape group.
    Movement,
    /// Addresses depend on data: `dyn_slice dyn_update gather scatter`.
    Index,
    /// Along an axis in order: `cumulate`.
    Order,
    /// Holds a graph: `scan`, and `result`, which takes one of its values.
    Region,
}

/// A row of the table.
pub struct OpSpec {
    /// Name in IR text and messages.
    pub name: &'static str,
    /// What fusion and lowering look at.
    pub class: Class,
    /// What it is, with its operands.
    pub doc: &'static str,
    /// Its derivative in words, for the reference.
    pub grad: &'static str,
    /// The type of the result, or why the operands do not fit.
    pub infer: InferFn,
    /// Reference evaluation: the elements of the result.
    pub eval: fn(&Op, &EvalCx, &TensorTy, &[&Tensor]) -> Vec<f64>,
    /// Cotangents of the operands; `None` where no gradient flows.
    pub vjp: Option<VjpFn>,
    /// Attributes in their fixed order, without what the result type already says.
    pub attrs: fn(&Op) -> Attrs,
    /// The op from the result type and attributes.
    pub make: fn(&TensorTy, &mut attr::Reader) -> Result<Op, String>,
    /// Inputs that the generated tests run it on.
    pub samples: fn() -> Vec<Sample>,
}

/// A type rule.
pub type InferFn = fn(&Op, &[&TensorTy], &[Slot]) -> Result<TensorTy, String>;

/// Builds the cotangent of each operand.
pub type VjpFn = fn(&mut Builder, &Op, VjpArgs) -> Vec<Option<ValueId>>;

/// What a derivative rule sees.
#[derive(Clone, Copy)]
pub struct VjpArgs<'a> {
    /// Operands.
    pub x: &'a [ValueId],
    /// Result.
    pub y: ValueId,
    /// Cotangent of the result.
    pub dy: ValueId,
    /// Which operands' cotangents are wanted; a rule may skip building the others.
    pub need: &'a [bool],
}

/// What evaluation sees besides operands.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvalCx<'a> {
    /// Values of the slots, by number.
    pub feeds: &'a [Tensor],
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
}

/// One input of the generated tests: the op and how to fill its operands.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The op.
    pub op: Op,
    /// Types and fillings of the operands.
    pub x: Vec<(TensorTy, Fill)>,
    /// Has a derivative of every order there.
    pub smooth: bool,
}

impl Sample {
    /// A sample with derivatives of every order.
    pub fn smooth(op: Op, x: Vec<(TensorTy, Fill)>) -> Self {
        Sample { op, x, smooth: true }
    }
    /// A sample whose derivative has kinks.
    pub fn kinked(op: Op, x: Vec<(TensorTy, Fill)>) -> Self {
        Sample { op, x, smooth: false }
    }
}

/// How to fill an operand of a sample.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    /// Uniform reals (whole numbers for ints and bools) between bounds.
    Uniform(f64, f64),
    /// Shuffled reals 0.125 apart around an offset: no ties and none near.
    Distinct(f64),
    /// Given elements.
    These(&'static [f64]),
}

impl Op {
    /// The op's row. The row of an elementwise op is [`Ew::spec`]; this one speaks for all of them.
    pub fn spec(&self) -> &'static OpSpec {
        match self {
            Op::Const(_) => &source::CONST,
            Op::Iota { .. } => &source::IOTA,
            Op::Input { .. } => &source::INPUT,
            Op::Rng { .. } => &source::RNG,
            Op::Ew(_) => &convert::EW,
            Op::Cast(_) => &convert::CAST,
            Op::Tag(_) => &convert::TAG,
            Op::Reduce { .. } => &reduce::REDUCE,
            Op::ArgReduce { .. } => &reduce::ARG_REDUCE,
            Op::Dot(_) => &contract::DOT,
            Op::Reshape(_) => &movement::RESHAPE,
            Op::Permute(_) => &movement::PERMUTE,
            Op::Broadcast { .. } => &movement::BROADCAST,
            Op::Slice { .. } => &movement::SLICE,
            Op::Pad { .. } => &movement::PAD,
            Op::Concat { .. } => &movement::CONCAT,
            Op::Reverse(_) => &movement::REVERSE,
            Op::Window { .. } => &window::WINDOW,
            Op::Fold { .. } => &window::FOLD,
            Op::DynSlice { .. } => &index::DYN_SLICE,
            Op::DynUpdate => &index::DYN_UPDATE,
            Op::Gather { .. } => &index::GATHER,
            Op::Scatter { .. } => &index::SCATTER,
            Op::Cumulate { .. } => &order::CUMULATE,
            Op::Scan(_) => &region::SCAN,
            Op::Result { .. } => &region::RESULT,
        }
    }

    /// Every row but those of elementwise ops, in the order of the reference.
    pub const ROWS: [&'static OpSpec; 25] = [
        &source::CONST,
        &source::IOTA,
        &source::INPUT,
        &source::RNG,
        &convert::CAST,
        &convert::TAG,
        &reduce::REDUCE,
        &reduce::ARG_REDUCE,
        &contract::DOT,
        &movement::RESHAPE,
        &movement::PERMUTE,
        &movement::BROADCAST,
        &movement::SLICE,
        &movement::PAD,
        &movement::CONCAT,
        &movement::REVERSE,
        &window::WINDOW,
        &window::FOLD,
        &index::DYN_SLICE,
        &index::DYN_UPDATE,
        &index::GATHER,
        &index::SCATTER,
        &order::CUMULATE,
        &region::SCAN,
        &region::RESULT,
    ];

    /// The name in IR text and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Ew(e) => e.spec().name,
            op => op.spec().name,
        }
    }

    /// What fusion and lowering look at.
    pub fn class(&self) -> Class {
        self.spec().class
    }

    /// The type of the result, or why the operands do not fit.
    pub fn infer(&self, operands: &[&TensorTy], slots: &[Slot]) -> Result<TensorTy, String> {
        let ty = (self.spec().infer)(self, operands, slots)?;
        if ty.rank() > super::ty::MAX_RANK {
            return Err(format!(
                "`{}` would have {} axes; at most {} are supported",
                self.name(),
                ty.rank(),
                super::ty::MAX_RANK
            ));
        }
        if ty.checked_numel().is_none() {
            return Err(format!("`{}` would have the type {ty}; at most 2^30 - 1 elements are supported", self.name()));
        }
        Ok(ty)
    }

    /// The value of the result, given its type and the operands.
    pub fn eval(&self, cx: &EvalCx, ty: &TensorTy, x: &[&Tensor]) -> Tensor {
        Tensor::new(ty.clone(), (self.spec().eval)(self, cx, ty, x))
    }

    /// Does any gradient flow through?
    pub fn has_vjp(&self) -> bool {
        match self {
            Op::Ew(e) => e.spec().vjp.is_some(),
            Op::Tag(Tag::Stop) => false,
            op => op.spec().vjp.is_some(),
        }
    }

    /// Cotangents of the operands, where [`Op::has_vjp`]; empty otherwise.
    pub fn vjp(&self, b: &mut Builder, args: VjpArgs) -> Vec<Option<ValueId>> {
        match self {
            Op::Ew(e) => e.spec().vjp.map(|rule| rule(b, args)),
            op => op.spec().vjp.map(|rule| rule(b, op, args)),
        }
        .unwrap_or_default()
    }

    /// Lane code of an op of class `Elementwise`, from the dtypes and lanes of its operands; `None` for other classes.
    pub fn body(&self, k: &mut dyn LaneBuilder, dtypes: &[DType], x: &[LaneId]) -> Option<LaneId> {
        match self {
            Op::Ew(e) => Some((e.spec().body)(k, e.data_dtype(dtypes), x)),
            Op::Cast(to) => Some(lane_help::convert(k, dtypes[0], *to, x[0])),
            Op::Tag(_) => Some(x[0]),
            _ => None,
        }
    }
}

impl ReduceKind {
    /// Every kind.
    pub const ALL: [ReduceKind; 4] = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod];

    /// The name in IR text.
    pub fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::Prod => "prod",
        }
    }

    /// What an empty reduction gives.
    pub fn identity(self, d: DType) -> f64 {
        let (lo, hi) = super::tensor::range(d);
        match self {
            ReduceKind::Sum => 0.0,
            ReduceKind::Prod => 1.0,
            ReduceKind::Max => lo,
            ReduceKind::Min => hi,
        }
    }

    /// Combines two elements; NaN wins in `Max` and `Min`, ints wrap.
    pub fn combine(self, d: DType, a: f64, b: f64) -> f64 {
        let int = |f: fn(i64, i64) -> i64| wrap(d, f(a as i64, b as i64));
        match self {
            ReduceKind::Sum if d.is_float() => a + b,
            ReduceKind::Sum => int(i64::wrapping_add),
            ReduceKind::Prod if d.is_float() => a * b,
            ReduceKind::Prod => int(i64::wrapping_mul),
            ReduceKind::Max | ReduceKind::Min if a.is_nan() || b.is_nan() => f64::NAN,
            ReduceKind::Max => {
                if a < b {
                    b
                } else {
                    a
                }
            }
            ReduceKind::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

impl ArgKind {
    /// Every kind.
    pub const ALL: [ArgKind; 2] = [ArgKind::Max, ArgKind::Min];

    /// The name in IR text.
    pub fn name(self) -> &'static str {
        match self {
            ArgKind::Max => "max",
            ArgKind::Min => "min",
        }
    }
}

impl ScatterKind {
    /// Every kind.
    pub const ALL: [ScatterKind; 3] = [ScatterKind::Add, ScatterKind::Set, ScatterKind::Max];

    /// The name in IR text.
    pub fn name(self) -> &'static str {
        match self {
            ScatterKind::Add => "add",
            ScatterKind::Set => "set",
            ScatterKind::Max => "max",
        }
    }
}

/// Checks the number of operands.
pub(crate) fn arity(op: &Op, x: &[&TensorTy], n: usize) -> Result<(), String> {
    if x.len() == n {
        return Ok(());
    }
    Err(format!("`{}` takes {n} operand{}, got {}", op.name(), if n == 1 { "" } else { "s" }, x.len()))
}

/// Checks an axis of a type.
pub(crate) fn axis_of(op: &Op, axis: u32, t: &TensorTy) -> Result<usize, String> {
    if (axis as usize) < t.rank() {
        return Ok(axis as usize);
    }
    Err(format!("`{}` names axis {axis} of {t}, which has {} axes", op.name(), t.rank()))
}

/// A list of one kind of attribute value.
pub(crate) fn dims(xs: &[u64]) -> Attr {
    Attr::Ints(xs.to_vec())
}

/// Axis numbers as an attribute.
pub(crate) fn axes_attr(xs: &[u32]) -> Attr {
    Attr::Ints(xs.iter().map(|&a| a.into()).collect())
}
