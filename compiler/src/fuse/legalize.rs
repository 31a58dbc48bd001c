//! Prepares contractions and long reductions for the kernels that run them.
//!
//! In: a graph. Out: a graph in which one operand of every `dot` walks the contracted axes with one stride, in the order that
//! suits the other one (`tangle.rs`), and long reductions with little else to cut among threads go in two steps; and the
//! views that must be stored because no strides describe them. Nearly always the graph itself and no views.

use super::index::{Arith, Ix, Lin, Map, Marks, is_view, strides, through};
use super::nodes::lins_or_none;
use super::{cost, tangle};
use crate::graph::graph::{Graph, Inputs, Node, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Axes, Literal, Op, ReduceKind, region};
use crate::graph::ty::{Shape, TensorTy};
use crate::kernel::ir::KAxis;
use std::collections::BTreeMap;

/// The prepared graph, if it had to change, and the views to store.
pub fn legalize(g: &Graph) -> (Option<Graph>, Vec<ValueId>) {
    let reduced = reductions(g);
    let g = reduced.as_ref().unwrap_or(g);
    let stored = Stored::of(g);
    if g.values().all(|v| tangled(g, &stored, v).is_none()) {
        let forced = g.values().filter(|v| stored.forced[v.idx()]).collect();
        return (reduced, forced);
    }
    let mut orders = Orders::new();
    let (out, to) = rewritten(g, |out, v, node| {
        if let Some(t) = tangled(g, &stored, v) {
            untangle(out, node, &t, &mut orders);
        }
        None
    });
    // What is stored in an order of its own need not be stored as it was, too.
    let ordered: Vec<ValueId> = orders.into_values().collect();
    let mut used = vec![false; out.nodes.len()];
    out.values().filter(|v| !ordered.contains(v)).for_each(|v| out.inputs(v).iter().for_each(|x| used[x.idx()] = true));
    let mut forced: Vec<ValueId> = g.values().filter(|v| stored.forced[v.idx()]).map(|v| to[v.idx()]).collect();
    forced.retain(|v| used[v.idx()]);
    forced.extend(ordered);
    forced.sort_unstable();
    (Some(out), forced)
}

/// The graph without folds and with long reductions in two steps, if it had any.
fn reductions(g: &Graph) -> Option<Graph> {
    let folds = |v: ValueId| matches!(g.op(v), Op::Fold { .. });
    g.values().any(|v| folds(v) || long(g, v).is_some()).then(|| {
        let step = |out: &mut Graph, v: ValueId, node: &mut Node| match long(g, v) {
            Some(cut) => Some(two_steps(out, node, cut)),
            None => folds(v).then(|| laid_back(out, node)),
        };
        rewritten(g, step).0
    })
}

/// A copy of a graph, and where its values are in it. `step` may change a node, or give the value that replaces it.
fn rewritten(
    g: &Graph,
    mut step: impl FnMut(&mut Graph, ValueId, &mut Node) -> Option<ValueId>,
) -> (Graph, Vec<ValueId>) {
    let mut out = Graph { slots: g.slots.clone(), outputs: g.outputs.clone(), name: g.name.clone(), nodes: vec![] };
    let mut to: Vec<ValueId> = vec![];
    for v in g.values() {
        let mut node = g.node(v).clone();
        node.inputs.iter_mut().for_each(|x| *x = to[x.idx()]);
        let replaced = step(&mut out, v, &mut node);
        to.push(replaced.unwrap_or_else(|| {
            out.nodes.push(node);
            ValueId(out.nodes.len() as u32 - 1)
        }));
    }
    out.outputs.iter_mut().for_each(|o| o.value = to[o.value.idx()]);
    (out, to)
}

/// Views, constants and counts that have memory of their own, row-major: addresses behind them are of no concern.
struct Stored {
    /// Results.
    output: Vec<bool>,
    /// Operands of contractions that no strides describe, and of regions.
    forced: Vec<bool>,
}

impl Stored {
    fn of(g: &Graph) -> Stored {
        let mut s = Stored { output: vec![false; g.nodes.len()], forced: vec![false; g.nodes.len()] };
        g.outputs.iter().for_each(|o| s.output[o.value.idx()] = true);
        // Views of what is stored have other addresses then, which may be none.
        loop {
            let operands = g.values().filter(|&v| matches!(g.op(v), Op::Dot(_))).flat_map(|v| g.inputs(v));
            let elsewhere = |x: ValueId| !s.has(x) && (is_view(g.op(x)) || made_in_place(g.op(x)));
            let nowhere = operands.copied().filter(|&x| elsewhere(x) && address(g, &s, x).is_none());
            let regions = g.values().flat_map(|v| whole(g, &s, v)).filter(|&x| elsewhere(x));
            let nowhere: Vec<ValueId> = nowhere.chain(regions).collect();
            if nowhere.is_empty() {
                return s;
            }
            nowhere.iter().for_each(|x| s.forced[x.idx()] = true);
        }
    }
    fn has(&self, v: ValueId) -> bool {
        self.output[v.idx()] || self.forced[v.idx()]
    }
}

/// Operands stored in another order of their axes, by value and order.
type Orders = BTreeMap<(ValueId, Axes), ValueId>;

/// In no memory, unless it is stored for its own sake.
fn made_in_place(op: &Op) -> bool {
    matches!(op, Op::Const(Literal::Scalar(..)) | Op::Iota { .. })
}

/// Operands of a region that must be stored for it. An initial value is copied to where its carry is; whatever else is not
/// in memory as it is may have any strides, unless a contraction of the body counts on its own.
fn whole(g: &Graph, stored: &Stored, v: ValueId) -> Vec<ValueId> {
    let Op::Scan(s) = g.op(v) else { return vec![] };
    let several = several_axes(&s.body);
    let strided = |i: usize, x: ValueId| {
        let Some(f) = address(g, stored, x) else { return false };
        let skip = usize::from(s.role(i) == region::Role::Scanned);
        let plain = strides(&s.body.slots[i].ty.shape);
        let axes: Vec<i64> = (0..g.ty(x).rank() as u32).map(|a| f.coeff(a)).collect();
        let dense =
            (axes[skip..].iter().zip(&plain).zip(&s.body.slots[i].ty.shape)).all(|((a, p), &n)| a == p || n == 1);
        axes.iter().all(|&a| a >= 0) && (dense || !several)
    };
    let operands = g.inputs(v).iter().enumerate().filter(|(i, _)| s.role(*i) != region::Role::Carry);
    operands.filter(|&(i, &x)| !strided(i, x)).map(|(_, &x)| x).collect()
}

/// Does a contraction run over several axes?
fn several_axes(g: &Graph) -> bool {
    g.nodes.iter().any(|n| match &n.op {
        Op::Dot(d) => d.lhs_contract.iter().filter(|&&a| g.ty(n.inputs[0]).shape[a as usize] > 1).count() > 1,
        Op::Scan(s) => several_axes(&s.body),
        _ => false,
    })
}

/// The flat address of a value's axes in the memory behind views, if affine and inside.
fn address(g: &Graph, stored: &Stored, v: ValueId) -> Option<Lin> {
    let (sizes, empty) = (g.ty(v).shape.to_vec(), g.ty(v).numel() == 0);
    let mut cx = Marks(&sizes);
    let (mut v, mut at): (ValueId, Map) = (v, (0..sizes.len() as u32).map(|i| Ix::Lin(Lin::var(i))).collect());
    while is_view(g.op(v)) && !stored.has(v) {
        at = through(g, v, &at, &mut cx);
        v = g.inputs(v)[0];
    }
    if made_in_place(g.op(v)) && !stored.has(v) {
        return None;
    }
    let at = lins_or_none(&at)?;
    let mut f = Lin::default();
    for ((l, s), &n) in at.iter().zip(strides(&g.ty(v).shape)).zip(&g.ty(v).shape) {
        let (lo, hi) = l.range(cx.sizes());
        if (lo < 0 || hi >= n as i64) && !empty {
            return None;
        }
        f.add_scaled(l, s);
    }
    Some(f)
}

/// A contraction of which an operand must be stored for the sake of its contracted axes.
struct Tangled {
    /// Which operands.
    stored: [bool; 2],
    /// Pairs of contracted axes, by their place in the op, in the order of the sum.
    order: Axes,
}

/// What to store if neither operand walks the contracted axes with one stride in the order of the other one. The larger
/// operand stays where it is; one that is stored anyway, because no strides describe it, is the one to be put in order.
fn tangled(g: &Graph, stored: &Stored, v: ValueId) -> Option<Tangled> {
    let Op::Dot(d) = g.op(v) else { return None };
    let (a, b) = (g.inputs(v)[0], g.inputs(v)[1]);
    let size = |i: usize| g.ty(a).shape[d.lhs_contract[i] as usize];
    let (ones, long): (Vec<usize>, Vec<usize>) = (0..d.lhs_contract.len()).partition(|&i| size(i) == 1);
    if long.len() <= 1 {
        return None;
    }
    let (fa, fb) = (address(g, stored, a)?, address(g, stored, b)?);
    let (a_forced, b_forced) = (stored.forced[a.idx()], stored.forced[b.idx()]);
    let axis = |&i: &usize| {
        let (a, b) = (fa.coeff(d.lhs_contract[i]), fb.coeff(d.rhs_contract[i]));
        (KAxis { n: size(i), a, b }, [i as u32].as_slice().into())
    };
    let mut by_a: Vec<tangle::Part> = long.iter().map(axis).collect();
    let mut by_b = tangle::exchanged(&by_a);
    let (b_runs, a_runs) = (tangle::arrange(&mut by_a), tangle::arrange(&mut by_b));
    if by_a.len() == 1 || (b_runs && !a_forced) || (a_runs && !b_forced) {
        return None;
    }
    let larger = if g.ty(a).numel() >= g.ty(b).numel() { by_a.clone() } else { by_b.clone() };
    let (stored, order) = match (a_forced, b_forced) {
        (true, true) => ([true, true], larger),
        (false, true) => ([false, true], by_a),
        (true, false) => ([true, false], by_b),
        (false, false) if g.ty(a).numel() >= g.ty(b).numel() => ([false, true], larger),
        (false, false) => ([true, false], larger),
    };
    let order = order.into_iter().flat_map(|(_, parts)| parts).chain(ones.into_iter().map(|i| i as u32)).collect();
    Some(Tangled { stored, order })
}

/// Appends a node like `of`, with another op and shape.
fn push(out: &mut Graph, of: &Node, op: Op, inputs: &[ValueId], shape: &[u64]) -> ValueId {
    let ty = TensorTy::new(out.ty(inputs[0]).dtype, shape.iter().copied());
    out.nodes.push(Node { op, inputs: Inputs::from_slice(inputs), ty, name: None, ..of.clone() });
    ValueId(out.nodes.len() as u32 - 1)
}

/// Reads operands of a contraction through views that will be stored: batch, contracted axes in order, free axes. So a sum
/// walks them with one stride, and columns or rows are neighbors.
fn untangle(out: &mut Graph, dot: &mut Node, t: &Tangled, orders: &mut Orders) {
    let Op::Dot(d) = &mut dot.op else { return };
    let mut sides = [(&mut d.lhs_batch, &mut d.lhs_contract), (&mut d.rhs_batch, &mut d.rhs_contract)];
    for (i, (batch, contract)) in sides.iter_mut().enumerate().filter(|(i, _)| t.stored[*i]) {
        let x = dot.inputs[i];
        let shape = out.ty(x).shape.clone();
        let mut k: Axes = t.order.iter().map(|&p| contract[p as usize]).collect();
        if nn_runtime::mutant!("fuse.untangle") && i == 1 {
            k.reverse();
        }
        let free = (0..shape.len() as u32).filter(|a| !batch.contains(a) && !contract.contains(a));
        let perm: Axes = batch.iter().copied().chain(k).chain(free).collect();
        let first = batch.len() as u32;
        **batch = (0..first).collect();
        // In the op the axes keep their places: its other operand has them there.
        for (place, &p) in t.order.iter().enumerate() {
            contract[p as usize] = first + place as u32;
        }
        dot.inputs[i] = *orders.entry((x, perm.clone())).or_insert_with(|| {
            let shape: Shape = perm.iter().map(|&p| shape[p as usize]).collect();
            let ty = TensorTy::new(out.ty(x).dtype, shape);
            out.nodes.push(Node {
                op: Op::Permute(perm),
                inputs: Inputs::from_slice(&[x]),
                ty,
                name: None,
                ..out.node(x).clone()
            });
            ValueId(out.nodes.len() as u32 - 1)
        });
    }
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
