//! Prepares contractions for the strided kernels that run them.
//!
//! In: a graph. Out: a graph in which the contracted axes of every `dot` are one strided axis, and the views that must be
//! stored because no strides describe them. Nearly always the graph itself and no views.

use super::index::{Arith, Ix, Lin, Map, Marks, is_view, strides, through};
use super::nodes::lins_or_none;
use crate::graph::graph::{Graph, Inputs, Node, ValueId};
use crate::graph::ops::{Axes, DotDims, Literal, Op};
use crate::graph::ty::{Shape, TensorTy};

/// The prepared graph, if it had to change, and the views to store.
pub fn legalize(g: &Graph) -> (Option<Graph>, Vec<ValueId>) {
    let tangled: Vec<ValueId> = g.values().filter(|&v| matches!(g.op(v), Op::Dot(d) if !one_stride(g, v, d))).collect();
    let changed = (!tangled.is_empty()).then(|| untangle(g, &tangled));
    let g = changed.as_ref().unwrap_or(g);
    let mut forced = vec![];
    for v in g.values() {
        if let Op::Dot(_) = g.op(v) {
            for &x in g.inputs(v) {
                if is_view(g.op(x)) && address(g, x, &fresh(&g.ty(x).shape).0, &g.ty(x).shape).is_none() {
                    forced.push(x);
                }
            }
        }
    }
    forced.sort_unstable();
    forced.dedup();
    (changed, forced)
}

/// One variable per axis.
fn fresh(shape: &[u64]) -> (Map, Vec<u64>) {
    ((0..shape.len() as u32).map(|v| Ix::Lin(Lin::var(v))).collect(), shape.to_vec())
}

/// The flat address behind views, if affine and inside.
fn address(g: &Graph, v: ValueId, at: &Map, sizes: &[u64]) -> Option<Lin> {
    let mut cx = Marks(sizes);
    let (mut v, mut at) = (v, at.clone());
    while is_view(g.op(v)) {
        at = through(g, v, &at, &mut cx);
        v = g.inputs(v)[0];
    }
    if matches!(g.op(v), Op::Const(Literal::Scalar(..)) | Op::Iota { .. }) {
        return None;
    }
    let at = lins_or_none(&at)?;
    let mut f = Lin::default();
    for ((l, s), &n) in at.iter().zip(strides(&g.ty(v).shape)).zip(&g.ty(v).shape) {
        let (lo, hi) = l.range(cx.sizes());
        if lo < 0 || hi >= n as i64 {
            return None;
        }
        f.add_scaled(l, s);
    }
    Some(f)
}

/// Do the contracted axes collapse to one in both operands alike?
fn one_stride(g: &Graph, v: ValueId, d: &DotDims) -> bool {
    let axes: Vec<(u32, u32)> = d.lhs_contract.iter().copied().zip(d.rhs_contract.iter().copied()).collect();
    let (a, b) = (g.inputs(v)[0], g.inputs(v)[1]);
    let size = |p: &(u32, u32)| g.ty(a).shape[p.0 as usize];
    let mut axes: Vec<_> = axes.into_iter().filter(|p| size(p) != 1).collect();
    if axes.len() <= 1 {
        return true;
    }
    // A forced view is row-major, so its own axes are its address.
    let of = |x: ValueId| {
        let shape = &g.ty(x).shape;
        let (at, sizes) = fresh(shape);
        address(g, x, &at, &sizes).unwrap_or_else(|| {
            let mut f = Lin::default();
            strides(shape).iter().enumerate().for_each(|(i, &s)| f.set(i as u32, s));
            f
        })
    };
    let (fa, fb) = (of(a), of(b));
    axes.sort_by_key(|p| std::cmp::Reverse(fa.coeff(p.0)));
    axes.windows(2).all(|w| {
        let n = size(&w[1]) as i64;
        fa.coeff(w[0].0) == fa.coeff(w[1].0) * n && fb.coeff(w[0].1) == fb.coeff(w[1].1) * n
    })
}

/// Brings the operands of some contractions to batch, free, contracted as one axis, through views that will be stored.
fn untangle(g: &Graph, dots: &[ValueId]) -> Graph {
    let mut out = Graph { name: g.name.clone(), nodes: vec![], slots: g.slots.clone(), outputs: g.outputs.clone() };
    let mut to: Vec<ValueId> = vec![];
    for v in g.values() {
        let mut node = g.node(v).clone();
        node.inputs.iter_mut().for_each(|x| *x = to[x.idx()]);
        if let (Op::Dot(d), true) = (&node.op, dots.contains(&v)) {
            let d = d.clone();
            let a = plain(&mut out, &node, node.inputs[0], &d.lhs_batch, &d.lhs_contract);
            let b = plain(&mut out, &node, node.inputs[1], &d.rhs_batch, &d.rhs_contract);
            node.inputs = Inputs::from_slice(&[a, b]);
            let batch: Axes = (0..d.lhs_batch.len() as u32).collect();
            let last = |x: ValueId| Axes::from_slice(&[out.ty(x).rank() as u32 - 1]);
            node.op = Op::Dot(DotDims {
                lhs_batch: batch.clone(),
                rhs_batch: batch,
                lhs_contract: last(a),
                rhs_contract: last(b),
            });
        }
        to.push(ValueId(out.nodes.len() as u32));
        out.nodes.push(node);
    }
    out.outputs.iter_mut().for_each(|o| o.value = to[o.value.idx()]);
    out
}

fn plain(out: &mut Graph, dot: &Node, x: ValueId, batch: &Axes, contract: &Axes) -> ValueId {
    let ty = out.ty(x).clone();
    let free = (0..ty.rank() as u32).filter(|i| !batch.contains(i) && !contract.contains(i));
    let perm: Axes = batch.iter().copied().chain(free).chain(contract.iter().copied()).collect();
    let permuted: Shape = perm.iter().map(|&p| ty.shape[p as usize]).collect();
    let kept = perm.len() - contract.len();
    let k: u64 = permuted[kept..].iter().product();
    let flat: Shape = permuted[..kept].iter().copied().chain([k]).collect();
    let mut push = |op: Op, x: ValueId, shape: &Shape| {
        let ty = TensorTy::new(ty.dtype, shape.iter().copied());
        out.nodes.push(Node {
            op,
            inputs: Inputs::from_slice(&[x]),
            ty,
            span: dot.span,
            name: None,
            scope: dot.scope.clone(),
        });
        ValueId(out.nodes.len() as u32 - 1)
    };
    let p = push(Op::Permute(perm), x, &permuted);
    push(Op::Reshape(flat.clone()), p, &flat)
}
