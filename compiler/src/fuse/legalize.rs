//! Prepares contractions and long reductions for the kernels that run them.
//!
//! In: a graph. Out: a graph in which the contracted axes of every `dot` are one strided axis and long reductions with
//! little else to cut among threads go in two steps, and the views that must be stored because no strides describe them.
//! Nearly always the graph itself and no views.

use super::cost;
use super::index::{Arith, Ix, Lin, Map, Marks, is_view, strides, through};
use super::nodes::lins_or_none;
use crate::graph::graph::{Graph, Inputs, Node, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Axes, DotDims, Literal, Op, ReduceKind};
use crate::graph::ty::{Shape, TensorTy};

/// The prepared graph, if it had to change, and the views to store.
pub fn legalize(g: &Graph) -> (Option<Graph>, Vec<ValueId>) {
    let tangled = |v: ValueId| matches!(g.op(v), Op::Dot(d) if !one_stride(g, v, d));
    let folds = |v: ValueId| matches!(g.op(v), Op::Fold { .. });
    let changed = g.values().any(|v| tangled(v) || folds(v) || long(g, v).is_some()).then(|| {
        let mut out = Graph { slots: g.slots.clone(), outputs: g.outputs.clone(), name: g.name.clone(), nodes: vec![] };
        let mut to: Vec<ValueId> = vec![];
        for v in g.values() {
            let mut node = g.node(v).clone();
            node.inputs.iter_mut().for_each(|x| *x = to[x.idx()]);
            if tangled(v) {
                untangle(&mut out, &mut node);
            }
            match long(g, v) {
                Some(cut) => to.push(two_steps(&mut out, &node, cut)),
                None if folds(v) => to.push(laid_back(&mut out, &node)),
                None => {
                    to.push(ValueId(out.nodes.len() as u32));
                    out.nodes.push(node);
                }
            }
        }
        out.outputs.iter_mut().for_each(|o| o.value = to[o.value.idx()]);
        out
    });
    let g = changed.as_ref().unwrap_or(g);
    let mut forced = vec![];
    for v in g.values() {
        if let Op::Dot(_) = g.op(v) {
            for &x in g.inputs(v) {
                let made_in_place = matches!(g.op(x), Op::Const(Literal::Scalar(..)) | Op::Iota { .. });
                if (is_view(g.op(x)) || made_in_place)
                    && address(g, x, &fresh(&g.ty(x).shape).0, &g.ty(x).shape).is_none()
                {
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

/// Appends a node like `of`, with another op and shape.
fn push(out: &mut Graph, of: &Node, op: Op, inputs: &[ValueId], shape: &[u64]) -> ValueId {
    let ty = TensorTy::new(out.ty(inputs[0]).dtype, shape.iter().copied());
    out.nodes.push(Node { op, inputs: Inputs::from_slice(inputs), ty, name: None, ..of.clone() });
    ValueId(out.nodes.len() as u32 - 1)
}

/// Brings the operands of a contraction to batch, free, contracted as one axis, through views that will be stored.
fn untangle(out: &mut Graph, dot: &mut Node) {
    let Op::Dot(d) = dot.op.clone() else { return };
    let a = plain(out, dot, dot.inputs[0], &d.lhs_batch, &d.lhs_contract);
    let b = plain(
        out,
        dot,
        dot.inputs[1],
        &d.rhs_batch,
        &if nn_runtime::mutant!("fuse.untangle") {
            d.rhs_contract.iter().rev().copied().collect()
        } else {
            d.rhs_contract.clone()
        },
    );
    dot.inputs = Inputs::from_slice(&[a, b]);
    let batch: Axes = (0..d.lhs_batch.len() as u32).collect();
    let last = |x: ValueId| Axes::from_slice(&[out.ty(x).rank() as u32 - 1]);
    dot.op =
        Op::Dot(DotDims { lhs_batch: batch.clone(), rhs_batch: batch, lhs_contract: last(a), rhs_contract: last(b) });
}

fn plain(out: &mut Graph, dot: &Node, x: ValueId, batch: &Axes, contract: &Axes) -> ValueId {
    let shape = out.ty(x).shape.clone();
    let free = (0..shape.len() as u32).filter(|i| !batch.contains(i) && !contract.contains(i));
    let perm: Axes = batch.iter().copied().chain(free).chain(contract.iter().copied()).collect();
    let permuted: Shape = perm.iter().map(|&p| shape[p as usize]).collect();
    let kept = perm.len() - contract.len();
    let k: u64 = permuted[kept..].iter().product();
    let flat: Shape = permuted[..kept].iter().copied().chain([k]).collect();
    let p = push(out, dot, Op::Permute(perm), &[x], &permuted);
    push(out, dot, Op::Reshape(flat.clone()), &[p], &flat)
}

/// A fold as a reduction: frames padded by zeros so that `y[p] = sum over u of x'[p + u*dilation, size - 1 - u]`. In the
/// elements of `x'` in row-major order, that diagonal is a window.
fn laid_back(out: &mut Graph, node: &Node) -> ValueId {
    let (Op::Fold { axis, len, step, dilation }, x) = (node.op.clone(), node.inputs[0]) else { return node.inputs[0] };
    let (rank, a) = (out.ty(x).rank(), axis as usize);
    let mut shape: Vec<u64> = out.ty(x).shape.to_vec();
    let (n, size) = (shape[a], shape[rank - 1]);
    let zero = TensorTy::scalar(node.ty.dtype);
    let fill = Node {
        op: Op::Const(Literal::Scalar(zero.dtype, 0.0)),
        inputs: Inputs::new(),
        ty: zero,
        name: None,
        ..node.clone()
    };
    out.nodes.push(fill);
    let fill = ValueId(out.nodes.len() as u32 - 1);
    let one = |k: u64| -> Shape { (0..rank).map(|i| if i == a { k } else { 0 }).collect() };
    let lo = (size - 1) * dilation;
    let r = push(out, node, Op::Reverse(Axes::from_slice(&[rank as u32 - 1])), &[x], &shape);
    shape[a] = len + lo;
    let pad = Op::Pad { lo: one(lo), hi: one(len - (n - 1) * step - 1), interior: one(step - 1) };
    let r = push(out, node, pad, &[r, fill], &shape);
    // The axis goes next to the elements, and both become one.
    let others: Vec<u32> = (0..rank as u32 - 1).filter(|&i| i != axis).collect();
    let perm: Axes = others.iter().copied().chain([axis, rank as u32 - 1]).collect();
    let mut flat: Vec<u64> = others.iter().map(|&i| shape[i as usize]).collect();
    let kept = flat.len() as u32;
    let permuted: Vec<u64> = flat.iter().copied().chain([shape[a], size]).collect();
    let r = push(out, node, Op::Permute(perm), &[r], &permuted);
    flat.push(shape[a] * size);
    let r = push(out, node, Op::Reshape(flat.as_slice().into()), &[r], &flat);
    flat[kept as usize] = len;
    flat.push(size);
    let frames = Op::Window { axis: kept, size, step: size, dilation: dilation * size + 1 };
    let r = push(out, node, frames, &[r], &flat);
    flat.pop();
    let sum = Op::Reduce { kind: ReduceKind::Sum, axes: Axes::from_slice(&[kept + 1]) };
    let r = push(out, node, sum, &[r], &flat);
    let back: Axes =
        (0..rank as u32 - 1).map(|i| others.iter().position(|&o| o == i).map_or(kept, |p| p as u32)).collect();
    let r = push(out, node, Op::Permute(back), &[r], &node.ty.shape);
    out.nodes[r.idx()].name = node.name.clone();
    r
}

/// How a long reduction is cut: sizes before, along and after its axes, and the length of a piece.
#[derive(Clone, Copy)]
struct Cut {
    pre: u64,
    along: u64,
    post: u64,
    piece: u64,
}

/// A reduction over neighboring axes that is long and leaves too few results to share among threads.
fn long(g: &Graph, v: ValueId) -> Option<Cut> {
    let Op::Reduce { axes, .. } = g.op(v) else { return None };
    let shape = &g.ty(g.inputs(v)[0]).shape;
    let (first, last) = (*axes.first()? as usize, *axes.last()? as usize);
    if axes.len() != last + 1 - first || g.ty(v).numel() == 0 {
        return None;
    }
    let product = |s: &[u64]| s.iter().product::<u64>();
    let (pre, along, post) = (product(&shape[..first]), product(&shape[first..=last]), product(&shape[last + 1..]));
    let piece = match post {
        1 => cost::CHUNK,
        _ => (along / cost::PIECES).max(cost::PIECES),
    };
    let few = pre < cost::FEW && post < cost::FEW_COLS;
    let exact = along % piece == 0 || g.ty(v).dtype != nn_runtime::dtype::DType::Bool;
    (few && exact && along >= 4 * piece).then_some(Cut { pre, along, post, piece })
}

/// Pieces of equal length, then their results, then what was left over. All of it by shape alone.
fn two_steps(out: &mut Graph, node: &Node, c: Cut) -> ValueId {
    let Op::Reduce { kind, .. } = node.op else { return node.inputs[0] };
    let reduce = |axis: u32| Op::Reduce { kind, axes: Axes::from_slice(&[axis]) };
    let flat: Shape = [c.pre, c.along, c.post].as_slice().into();
    let x = push(out, node, Op::Reshape(flat.clone()), &[node.inputs[0]], &flat);
    let n = c.along / c.piece;
    let whole = n * c.piece;
    let part = |out: &mut Graph, from: u64, to: u64| {
        if (from, to) == (0, c.along) {
            return x;
        }
        let (start, stop) = ([0, from, 0].as_slice().into(), [c.pre, to, c.post].as_slice().into());
        let op = Op::Slice { start, stop, step: [1, 1, 1].as_slice().into() };
        push(out, node, op, &[x], &[c.pre, to - from, c.post])
    };
    let main = part(out, 0, whole);
    let pieces: Shape = [c.pre, n, c.piece, c.post].as_slice().into();
    let main = push(out, node, Op::Reshape(pieces.clone()), &[main], &pieces);
    let main = push(out, node, reduce(2), &[main], &[c.pre, n, c.post]);
    let mut r = push(out, node, reduce(1), &[main], &[c.pre, c.post]);
    if whole < c.along && !nn_runtime::mutant!("fuse.long_rest") {
        let rest = part(out, whole, c.along);
        let rest = push(out, node, reduce(1), &[rest], &[c.pre, c.post]);
        let both = match kind {
            ReduceKind::Sum => Ew::Add,
            ReduceKind::Prod => Ew::Mul,
            ReduceKind::Max => Ew::Max,
            ReduceKind::Min => Ew::Min,
        };
        r = push(out, node, Op::Ew(both), &[r, rest], &[c.pre, c.post]);
    }
    let shape = node.ty.shape.clone();
    r = push(out, node, Op::Reshape(shape.clone()), &[r], &shape);
    out.nodes[r.idx()].name = node.name.clone();
    r
}
