//! A kernel before its loops are chosen: lane code over named iteration variables.
//!
//! In: lane ops (this is a [`LaneBuilder`]), affine loads and stores, reductions over "the reduced variables". Out: what
//! `finish.rs` turns into rows, columns, sequences and phases. Instructions are interned; stores stand apart, in order.

use crate::fuse::index::Lin;
use crate::graph::ops::ReduceKind;
use crate::kernel::ir::lane_ty;
use crate::lanes::{LaneBuilder, LaneId, LaneOp, LaneTy};
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::collections::HashMap;

/// What a draft loads from and stores to: an index into `places.rs`'s list of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub u32);

/// An instruction with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "fields are named for what they hold; the variant says the rest")]
pub enum DInst {
    /// A lane op.
    Lane(LaneOp),
    /// An iteration variable.
    Index(u32),
    /// The anchor's value.
    Anchor(LaneTy),
    /// An affine load.
    Load { buf: ViewId, dtype: DType, at: Lin },
    /// A load at a computed element.
    LoadAt { buf: ViewId, dtype: DType, index: LaneId, mask: Option<LaneId> },
    /// Combines over all reduced variables.
    Red { kind: ReduceKind, value: LaneId },
    /// The running combination over the sequence, this step included.
    Run { kind: ReduceKind, value: LaneId },
    /// Only after loops are chosen: combines over the sequence.
    Acc { kind: ReduceKind, value: LaneId },
}

impl DInst {
    /// The values it reads.
    pub fn operands(&self) -> SmallVec<[LaneId; 3]> {
        match self {
            DInst::Lane(op) => op.operands().collect(),
            DInst::Index(_) | DInst::Anchor(_) | DInst::Load { .. } => SmallVec::new(),
            DInst::LoadAt { index, mask, .. } => [Some(*index), *mask].into_iter().flatten().collect(),
            DInst::Red { value, .. } | DInst::Run { value, .. } | DInst::Acc { value, .. } => {
                SmallVec::from_slice(&[*value])
            }
        }
    }
    /// The same with other operands.
    pub fn map(&self, mut f: impl FnMut(LaneId) -> LaneId) -> DInst {
        let mut d = self.clone();
        match &mut d {
            DInst::Lane(op) => *op = op.map(f),
            DInst::Index(_) | DInst::Anchor(_) | DInst::Load { .. } => {}
            DInst::LoadAt { index, mask, .. } => {
                *index = f(*index);
                *mask = mask.map(f);
            }
            DInst::Red { value, .. } | DInst::Run { value, .. } | DInst::Acc { value, .. } => *value = f(*value),
        }
        d
    }
}

/// A store.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are named for what they hold; the variant says the rest")]
pub enum DStore {
    /// At an affine element.
    At { buf: ViewId, at: Lin, value: LaneId },
    /// At a computed element.
    Index { buf: ViewId, index: LaneId, mask: Option<LaneId>, value: LaneId },
}

impl DStore {
    /// The values it reads.
    pub fn operands(&self) -> SmallVec<[LaneId; 3]> {
        match self {
            DStore::At { value, .. } => SmallVec::from_slice(&[*value]),
            DStore::Index { index, mask, value, .. } => {
                [Some(*index), *mask, Some(*value)].into_iter().flatten().collect()
            }
        }
    }
    /// Where to.
    pub fn buf(&self) -> ViewId {
        match self {
            DStore::At { buf, .. } | DStore::Index { buf, .. } => *buf,
        }
    }
}

/// What a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VarKind {
    /// An axis of the results.
    Kept,
    /// Reduced away.
    Reduced,
    /// Must run in order.
    Ordered,
    /// Contracted by the anchor.
    Contracted,
}

/// An iteration variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// Its size.
    pub size: u64,
    /// What it is for.
    pub kind: VarKind,
    /// For a contraction: bit 0 if the left operand has the axis, bit 1 if the right one has.
    pub side: u8,
}

/// The anchor with its operands.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are named for what they hold; the variant says the rest")]
pub enum DAnchor {
    /// A contraction.
    Contract { a: (ViewId, Lin), b: (ViewId, Lin) },
    /// Random bits; `at` is the flat element of an iteration, which numbers them.
    Rng { site: u32, at: Lin },
}

/// A kernel under construction.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// A name for people.
    pub name: String,
    /// Iteration variables; bodies refer to them by position.
    pub vars: Vec<Var>,
    /// Sizes of the variables.
    pub sizes: Vec<u64>,
    /// Variables that run in order, outermost first.
    pub ordered: Vec<u32>,
    /// Instructions, operands first.
    pub insts: Vec<DInst>,
    /// Stores in order.
    pub stores: Vec<DStore>,
    /// The anchor.
    pub anchor: Option<DAnchor>,
    /// The type of every instruction's value.
    pub(super) types: Vec<LaneTy>,
    pub(super) index: HashMap<DInst, LaneId>,
}

impl Draft {
    /// Adds a variable.
    pub fn var(&mut self, size: u64, kind: VarKind) -> u32 {
        self.vars.push(Var { size, kind, side: 0 });
        self.sizes.push(size);
        let v = self.vars.len() as u32 - 1;
        if kind == VarKind::Ordered {
            self.ordered.push(v);
        }
        v
    }
    /// Appends an instruction, or finds the equal one.
    pub fn inst(&mut self, i: DInst) -> LaneId {
        if let Some(&v) = self.index.get(&i) {
            return v;
        }
        self.index.insert(i.clone(), LaneId(self.insts.len() as u32));
        self.push(i)
    }
    /// Appends an instruction whether or not there is an equal one.
    pub(super) fn push(&mut self, i: DInst) -> LaneId {
        self.types.push(match &i {
            DInst::Lane(op) => op.ty(|a| self.ty(a)),
            DInst::Index(_) => LaneTy::I32,
            DInst::Anchor(t) => *t,
            DInst::Load { dtype, .. } | DInst::LoadAt { dtype, .. } => lane_ty(*dtype),
            DInst::Red { value, .. } | DInst::Run { value, .. } | DInst::Acc { value, .. } => self.ty(*value),
        });
        self.insts.push(i);
        LaneId(self.insts.len() as u32 - 1)
    }
    /// The type of a value.
    pub fn ty(&self, v: LaneId) -> LaneTy {
        self.types[v.0 as usize]
    }
}

impl LaneBuilder for Draft {
    fn lane(&mut self, op: LaneOp) -> LaneId {
        self.inst(DInst::Lane(op))
    }
    fn lane_ty(&self, v: LaneId) -> LaneTy {
        self.ty(v)
    }
}
