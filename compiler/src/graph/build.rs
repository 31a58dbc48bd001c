//! Appends nodes to a graph: types every node by its row's rule and shares equal pure nodes.
//!
//! In: ops and operands. Out: values. A wrong type here is a bug of the caller (users' errors end before), so it panics
//! with the op and the operand types.

use super::graph::{Graph, Node, Output, Slot, ValueId};
use super::ops::elementwise::Ew;
use super::ops::region::Scan;
use super::ops::{ArgKind, Axes, DotDims, Literal, Op, ReduceKind, ScatterKind, Tag};
use super::ty::{Shape, TensorTy};
use crate::source::Span;
use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A graph under construction.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    /// Nodes by the hash of op and operands; only looked up, never iterated.
    index: HashMap<u64, SmallVec<[ValueId; 1]>>,
    /// Slots by name; only looked up.
    slots: HashMap<Arc<str>, u32>,
    /// Given to nodes made from now on.
    pub span: Option<Span>,
    /// Given to nodes made from now on: the layer's path, `fc1`.
    pub scope: Option<Arc<str>>,
}

impl Builder {
    /// An empty graph of a name.
    pub fn new(name: &str) -> Self {
        Builder { graph: Graph { name: name.to_owned(), ..Graph::default() }, ..Builder::default() }
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The type of a value.
    pub fn ty(&self, v: ValueId) -> &TensorTy {
        self.graph.ty(v)
    }

    /// The shape of a value.
    pub fn shape(&self, v: ValueId) -> Shape {
        self.ty(v).shape.clone()
    }

    /// Declares a slot and reads it.
    pub fn input(&mut self, slot: Slot) -> ValueId {
        let name = slot.name.clone();
        let n = self.slot(slot);
        let v = self.op(Op::Input { slot: n }, &[]);
        self.graph.nodes[v.idx()].name.get_or_insert(name);
        v
    }

    /// Declares a slot without reading it; returns its number.
    pub fn slot(&mut self, slot: Slot) -> u32 {
        let n = self.graph.slots.len() as u32;
        self.slots.entry(slot.name.clone()).or_insert(n);
        self.graph.slots.push(slot);
        n
    }

    /// The number of the first slot of a name.
    pub fn slot_number(&self, name: &str) -> Option<u32> {
        self.slots.get(name).copied()
    }

    /// Adds a result.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.graph.outputs.push(Output { name: name.into(), value, assign: None });
    }

    /// Makes a slot take a value when the step commits.
    pub fn assign(&mut self, slot: u32, value: ValueId) {
        let name = self.graph.slots[slot as usize].name.clone();
        self.graph.outputs.push(Output { name, value, assign: Some(slot) });
    }

    /// Names a value if it has no name yet.
    pub fn name(&mut self, v: ValueId, name: &str) {
        self.graph.nodes[v.idx()].name.get_or_insert_with(|| name.into());
    }

    /// Appends an op, or finds the equal one.
    ///
    /// # Panics
    /// If the operands do not fit the op's type rule, or the result has too many axes or elements.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let op = match op {
            Op::Rng { shape, .. } if nn_runtime::mutant!("share.rng_site") => Op::Rng { site: 0, shape },
            op => op,
        };
        let mut hasher = DefaultHasher::new();
        (&op, inputs).hash(&mut hasher);
        let key = hasher.finish();
        let same = |v: &ValueId| {
            let n = self.graph.node(*v);
            n.op == op && n.inputs.as_slice() == inputs
        };
        if let Some(&v) = self.index.get(&key).and_then(|vs| vs.iter().find(|v| same(v))) {
            return v;
        }
        let tys: Vec<&TensorTy> = inputs.iter().map(|&v| self.graph.ty(v)).collect();
        let ty = match op.infer(&tys, &self.graph.slots) {
            Ok(ty) => ty,
            Err(why) => panic!("graph op {op:?} on {tys:?}: {why}"),
        };
        let v = ValueId(self.graph.nodes.len() as u32);
        let (span, scope) = (self.span, self.scope.clone());
        self.graph.nodes.push(Node { op, inputs: inputs.into(), ty, span, scope, name: None });
        self.index.entry(key).or_default().push(v);
        v
    }

    /// An elementwise op on operands of one shape.
    pub fn ew(&mut self, op: Ew, inputs: &[ValueId]) -> ValueId {
        self.op(Op::Ew(op), inputs)
    }

    /// A scalar constant: the nearest value of the dtype.
    pub fn scalar(&mut self, dtype: DType, x: f64) -> ValueId {
        self.op(Op::Const(Literal::Scalar(dtype, super::tensor::round(dtype, x))), &[])
    }

    /// A dense constant: the nearest values of the dtype; a scalar type makes a scalar.
    pub fn table(&mut self, ty: &TensorTy, data: &[f64]) -> ValueId {
        if let ([], [x]) = (ty.shape.as_slice(), data) {
            return self.scalar(ty.dtype, *x);
        }
        let data = data.iter().map(|&x| super::tensor::round(ty.dtype, x)).collect();
        self.op(Op::Const(Literal::Dense(ty.clone(), data)), &[])
    }

    /// A constant of a shape.
    pub fn splat(&mut self, ty: &TensorTy, x: f64) -> ValueId {
        let s = self.scalar(ty.dtype, x);
        self.broadcast(s, &ty.shape, &[])
    }

    /// Zeros of the type of `v`.
    pub fn zeros_like(&mut self, v: ValueId) -> ValueId {
        let ty = self.ty(v).clone();
        self.splat(&ty, 0.0)
    }

    /// A constant of the type of `v`.
    pub fn splat_like(&mut self, v: ValueId, x: f64) -> ValueId {
        let ty = self.ty(v).clone();
        self.splat(&ty, x)
    }

    /// `a - b`, as `a + (-b)`: the same bits.
    pub fn sub(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let n = self.ew(Ew::Neg, &[b]);
        self.ew(Ew::Add, &[a, n])
    }

    /// Operand axis `i` becomes axis `axes[i]` of `shape`; the identity makes no node.
    pub fn broadcast(&mut self, v: ValueId, shape: &[u64], axes: &[u32]) -> ValueId {
        if self.ty(v).shape.as_slice() == shape {
            return v;
        }
        self.op(Op::Broadcast { shape: shape.into(), axes: axes.into() }, &[v])
    }

    /// Another shape of the same elements; the identity makes no node.
    pub fn reshape(&mut self, v: ValueId, shape: &[u64]) -> ValueId {
        if self.ty(v).shape.as_slice() == shape {
            return v;
        }
        self.op(Op::Reshape(shape.into()), &[v])
    }

    /// Result axis `i` is operand axis `perm[i]`; the identity makes no node.
    pub fn permute(&mut self, v: ValueId, perm: &[u32]) -> ValueId {
        if perm.iter().enumerate().all(|(i, &p)| i as u32 == p) {
            return v;
        }
        self.op(Op::Permute(perm.into()), &[v])
    }

    /// Reduces axes (sorted here); none makes no node.
    pub fn reduce(&mut self, kind: ReduceKind, v: ValueId, axes: &[u32]) -> ValueId {
        let mut axes: Axes = axes.into();
        axes.sort_unstable();
        if axes.is_empty() {
            return v;
        }
        self.op(Op::Reduce { kind, axes }, &[v])
    }

    /// Position of the first extreme along an axis.
    pub fn arg_reduce(&mut self, kind: ArgKind, v: ValueId, axis: u32) -> ValueId {
        self.op(Op::ArgReduce { kind, axis }, &[v])
    }

    /// A contraction.
    pub fn dot(&mut self, a: ValueId, b: ValueId, dims: DotDims) -> ValueId {
        self.op(Op::Dot(dims), &[a, b])
    }

    /// Converts; to the same dtype makes no node.
    pub fn cast(&mut self, v: ValueId, dtype: DType) -> ValueId {
        if self.ty(v).dtype == dtype {
            return v;
        }
        self.op(Op::Cast(dtype), &[v])
    }

    /// `i32` counting along an axis.
    pub fn iota(&mut self, shape: &[u64], axis: u32) -> ValueId {
        self.op(Op::Iota { shape: shape.into(), axis }, &[])
    }

    /// A strided part.
    pub fn slice(&mut self, v: ValueId, start: &[u64], stop: &[u64], step: &[u64]) -> ValueId {
        self.op(Op::Slice { start: start.into(), stop: stop.into(), step: step.into() }, &[v])
    }

    /// Elements of `fill` around and between.
    pub fn pad(&mut self, v: ValueId, fill: ValueId, lo: &[u64], hi: &[u64], interior: &[u64]) -> ValueId {
        self.op(Op::Pad { lo: lo.into(), hi: hi.into(), interior: interior.into() }, &[v, fill])
    }

    /// One after another along an axis; one operand makes no node.
    pub fn concat(&mut self, vs: &[ValueId], axis: u32) -> ValueId {
        if let [v] = vs {
            return *v;
        }
        self.op(Op::Concat { axis }, vs)
    }

    /// The axes back to front.
    pub fn reverse(&mut self, v: ValueId, axes: &[u32]) -> ValueId {
        if axes.is_empty() {
            return v;
        }
        self.op(Op::Reverse(axes.into()), &[v])
    }

    /// Frames of an axis, a last axis within them; those that lie side by side are a reshape.
    pub fn window(&mut self, v: ValueId, axis: usize, size: u64, step: u64, dilation: u64) -> ValueId {
        let mut shape = self.shape(v);
        let n = shape[axis];
        let side_by_side = size == 1 || (step, dilation) == (size, 1);
        let op = Op::Window { axis: axis as u32, size, step, dilation };
        if !side_by_side || op.infer(&[self.ty(v)], &[]).is_err() {
            return self.op(op, &[v]);
        }
        let frames = (n - size) / step + 1;
        let (start, mut stop, mut by) = (vec![0; shape.len()], shape.clone(), vec![1; shape.len()]);
        (stop[axis], by[axis]) = if size == 1 { (n, step) } else { (frames * size, 1) };
        let v = self.slice(v, &start, &stop, &by);
        shape[axis] = frames;
        shape.insert(axis + 1, size);
        let v = self.reshape(v, &shape);
        let rank = shape.len() as u32;
        let last = axis as u32 + 1;
        let perm: Axes = (0..last).chain(last + 1..rank).chain([last]).collect();
        self.permute(v, &perm)
    }

    /// Inclusive running reduction along an axis.
    pub fn cumulate(&mut self, kind: ReduceKind, v: ValueId, axis: u32) -> ValueId {
        self.op(Op::Cumulate { kind, axis }, &[v])
    }

    /// Random bits of a site.
    pub fn rng(&mut self, site: u32, shape: &[u64]) -> ValueId {
        self.op(Op::Rng { site, shape: shape.into() }, &[])
    }

    /// Rows of `x` along `axis` picked by `idx`.
    pub fn gather(&mut self, x: ValueId, idx: ValueId, axis: u32) -> ValueId {
        self.op(Op::Gather { axis }, &[x, idx])
    }

    /// `x` with `u` combined in at `idx` along `axis`.
    pub fn scatter(&mut self, kind: ScatterKind, x: ValueId, idx: ValueId, u: ValueId, axis: u32) -> ValueId {
        self.op(Op::Scatter { kind, axis }, &[x, idx, u])
    }

    /// A loop, remembering what its derivative reads; all of its results, of which those that nobody uses are dropped later.
    pub fn scan(&mut self, s: &Scan, operands: &[ValueId]) -> Vec<ValueId> {
        let v = self.op(Op::Scan(s.remembering()), operands);
        (0..s.results()).map(|i| self.result(v, i)).collect()
    }

    /// A result of a region.
    pub fn result(&mut self, region: ValueId, index: usize) -> ValueId {
        let ty = match self.graph.op(region) {
            Op::Scan(s) => s.result(index),
            _ => None,
        };
        let ty = ty.unwrap_or_else(super::ops::region::nothing);
        self.op(Op::Result { index: index as u32, ty }, &[region])
    }

    /// Cuts the gradient.
    pub fn stop(&mut self, v: ValueId) -> ValueId {
        self.op(Op::Tag(Tag::Stop), &[v])
    }
}
