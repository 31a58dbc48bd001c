//! Lifting: the same computation for every row of a batch.
//!
//! In: a graph that computes one example, and batched values for its data slots. Out: values with one more axis in front.
//! What does not depend on the batch stays as it is and is broadcast where it meets something batched. Random draws
//! become one draw for every row. The `data` item's field expressions, written for one example, run this way.
//!
//! ```text
//! %1 = reshape [784] %image        ->        %1 = reshape [64,784] %image
//! ```

use super::build::Builder;
use super::graph::{Graph, ValueId};
use super::ops::{Axes, DotDims, Op};
use super::ty::Shape;

/// Appends the graph's computation for `rows` rows at once. `slots[i]` takes the place of data slot `i` with the batch
/// axis in front. Returns the outputs, all with the batch axis in front; `Err` names an op that cannot be lifted.
pub fn lift(b: &mut Builder, g: &Graph, rows: u64, slots: &[ValueId]) -> Result<Vec<ValueId>, &'static str> {
    let mut map: Vec<Lifted> = Vec::with_capacity(g.nodes.len());
    for v in g.values() {
        let node = g.node(v);
        b.span = node.span;
        let x: Vec<Lifted> = node.inputs.iter().map(|a| map[a.idx()]).collect();
        let lifted = match &node.op {
            Op::Input { slot } => Lifted { v: slots[*slot as usize], batched: true },
            Op::Rng { site, shape } => Lifted { v: b.rng(*site, &front(rows, shape)), batched: true },
            op if x.iter().any(|x| x.batched) => Lifted { v: lift_op(b, g, v, op, rows, &x)?, batched: true },
            op => Lifted { v: b.op(op.clone(), &x.iter().map(|x| x.v).collect::<Vec<_>>()), batched: false },
        };
        map.push(lifted);
    }
    Ok(g.outputs.iter().map(|o| with_rows(b, map[o.value.idx()], rows)).collect())
}

/// A value of the batched graph, with or without the batch axis.
#[derive(Clone, Copy)]
struct Lifted {
    v: ValueId,
    batched: bool,
}

fn lift_op(b: &mut Builder, g: &Graph, v: ValueId, op: &Op, rows: u64, x: &[Lifted]) -> Result<ValueId, &'static str> {
    let old = &g.node(v).inputs;
    let rank = |i: usize| g.ty(old[i]).rank() as u32;
    let (op, inputs) = match op {
        Op::Const(_) | Op::Iota { .. } | Op::Input { .. } | Op::Rng { .. } => return Err(op.name()),
        Op::Ew(_) | Op::Cast(_) | Op::Tag(_) => (op.clone(), all(b, x, rows)),
        Op::Reduce { kind, axes } => (Op::Reduce { kind: *kind, axes: shifted(axes) }, all(b, x, rows)),
        Op::ArgReduce { kind, axis } => (Op::ArgReduce { kind: *kind, axis: axis + 1 }, all(b, x, rows)),
        Op::Cumulate { kind, axis } => (Op::Cumulate { kind: *kind, axis: axis + 1 }, all(b, x, rows)),
        Op::Reshape(shape) => (Op::Reshape(front(rows, shape)), all(b, x, rows)),
        Op::Permute(perm) => (Op::Permute(batch_axis(perm)), all(b, x, rows)),
        Op::Broadcast { shape, axes } => {
            (Op::Broadcast { shape: front(rows, shape), axes: batch_axis(axes) }, all(b, x, rows))
        }
        Op::Slice { start, stop, step } => {
            let op = Op::Slice { start: front(0, start), stop: front(rows, stop), step: front(1, step) };
            (op, all(b, x, rows))
        }
        Op::Pad { lo, hi, interior } if !x[1].batched => {
            let op = Op::Pad { lo: front(0, lo), hi: front(0, hi), interior: front(0, interior) };
            (op, vec![with_rows(b, x[0], rows), x[1].v])
        }
        Op::Concat { axis } => (Op::Concat { axis: axis + 1 }, all(b, x, rows)),
        Op::Reverse(axes) => (Op::Reverse(shifted(axes)), all(b, x, rows)),
        Op::Dot(d) => {
            let dims = DotDims {
                lhs_batch: batch_axis(&d.lhs_batch),
                rhs_batch: batch_axis(&d.rhs_batch),
                lhs_contract: shifted(&d.lhs_contract),
                rhs_contract: shifted(&d.rhs_contract),
            };
            (Op::Dot(dims), all(b, x, rows))
        }
        // One table for all rows: the batch axis comes with the indices, and moves to the front.
        Op::Gather { axis } if !x[0].batched => {
            let picked = b.gather(x[0].v, x[1].v, *axis);
            let n = rank(0) + rank(1);
            let perm: Axes = std::iter::once(*axis).chain((0..n).filter(|a| a != axis)).collect();
            return Ok(b.permute(picked, &perm));
        }
        Op::Gather { axis } if !x[1].batched => (Op::Gather { axis: axis + 1 }, vec![x[0].v, x[1].v]),
        Op::Pad { .. } | Op::Gather { .. } | Op::Scatter { .. } | Op::DynSlice { .. } | Op::DynUpdate => {
            return Err(op.name());
        }
    };
    Ok(b.op(op, &inputs))
}

/// The value with the batch axis in front.
fn with_rows(b: &mut Builder, x: Lifted, rows: u64) -> ValueId {
    if x.batched {
        return x.v;
    }
    let shape = b.shape(x.v);
    let axes: Axes = (1..=shape.len() as u32).collect();
    b.broadcast(x.v, &front(rows, &shape), &axes)
}

fn all(b: &mut Builder, x: &[Lifted], rows: u64) -> Vec<ValueId> {
    x.iter().map(|&x| with_rows(b, x, rows)).collect()
}

fn front(first: u64, rest: &[u64]) -> Shape {
    std::iter::once(first).chain(rest.iter().copied()).collect()
}

fn shifted(axes: &[u32]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

/// The axes shifted, behind the batch axis itself.
fn batch_axis(axes: &[u32]) -> Axes {
    std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::graph::{Slot, SlotKind};
    use crate::graph::interp::{Feeds, run};
    use crate::graph::ops::elementwise::Ew;
    use crate::graph::ops::{ArgKind, ReduceKind};
    use crate::graph::tensor::Tensor;
    use crate::graph::ty::TensorTy;
    use nn_runtime::dtype::DType;

    /// Every row of the lifted graph is the original graph on that row.
    #[test]
    fn rows_are_computed_apart() {
        let ty = TensorTy::new(DType::F32, [3, 4]);
        let slot = |ty: TensorTy| Slot { name: "x".into(), kind: SlotKind::Data, ty };
        let mut one = Builder::new("one");
        let x = one.input(slot(ty.clone()));
        let t = one.permute(x, &[1, 0]);
        let flat = one.reshape(t, &[12]);
        let sum = one.reduce(ReduceKind::Sum, x, &[1]);
        let wide = one.broadcast(sum, &[3, 4], &[0]);
        let scaled = one.ew(Ew::Mul, &[x, wide]);
        let gram = one.dot(
            x,
            scaled,
            DotDims {
                lhs_contract: [1].into_iter().collect(),
                rhs_contract: [1].into_iter().collect(),
                ..DotDims::default()
            },
        );
        let best = one.arg_reduce(ArgKind::Max, x, 1);
        let count = one.iota(&[3, 4], 1);
        let count = one.cast(count, DType::F32);
        let picked = one.gather(count, best, 1);
        let cut = one.slice(x, &[1, 0], &[3, 4], &[1, 2]);
        let both = one.concat(&[x, count], 0);
        for (n, v) in [flat, scaled, gram, best, picked, cut, both, count].into_iter().enumerate() {
            one.output(&n.to_string(), v);
        }
        let one = one.finish();

        let rows = 5u64;
        let mut many = Builder::new("many");
        let x = many.input(slot(TensorTy::new(DType::F32, [rows, 3, 4])));
        let outs = lift(&mut many, &one, rows, &[x]).expect("liftable");
        for (n, v) in outs.into_iter().enumerate() {
            many.output(&n.to_string(), v);
        }
        let many = many.finish();

        let data: Vec<f64> = (0..rows * 12).map(|i| f64::from((i * 37 % 101) as u32) / 7.0 - 5.0).collect();
        let feed =
            |ty: TensorTy, data: &[f64]| Feeds { slots: vec![Tensor::new(ty, data.to_vec())], ..Feeds::default() };
        let all = run(&many, &feed(TensorTy::new(DType::F32, [rows, 3, 4]), &data)).expect("runs");
        for r in 0..rows as usize {
            let row = run(&one, &feed(ty.clone(), &data[r * 12..(r + 1) * 12])).expect("runs");
            for (n, (whole, part)) in all.iter().zip(&row).enumerate() {
                let len = part.data.len();
                assert_eq!(&whole.data[r * len..(r + 1) * len], &part.data[..], "output {n}, row {r}");
            }
        }
    }
}
