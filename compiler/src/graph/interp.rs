//! The reference interpreter: a graph evaluated in f64, one row's `eval` per node.
//!
//! In: a graph and a value for every slot. Out: its outputs, in order. It shares nothing with code generation, rounds no
//! float between ops, and keeps ints and bools exact, so it is what compiled code is held against.

use super::graph::{Graph, ValueId};
use super::ops::{EvalCx, Op, region};
use super::tensor::{Tensor, range};
use std::collections::BTreeMap;

/// Values of the slots and the place in the random stream.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// By slot number.
    pub slots: Vec<Tensor>,
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
}

/// Results, in the order of [`Graph::outputs`].
pub type Outputs = Vec<Tensor>;

/// Evaluates the outputs of a graph.
pub fn run(g: &Graph, feeds: &Feeds) -> Result<Outputs, String> {
    let all = run_all(g, feeds)?;
    // A node that no output needs was not evaluated; outputs always were.
    Ok(g.outputs.iter().filter_map(|o| all[o.value.idx()].clone()).collect())
}

/// Evaluates every value that an output needs; `None` for the others.
pub fn run_all(g: &Graph, feeds: &Feeds) -> Result<Vec<Option<Tensor>>, String> {
    let live = g.live(g.outputs.iter().map(|o| o.value));
    check_feeds(g, feeds, &live)?;
    eval_nodes(g, feeds, &live)
}

/// Evaluates some values of a graph.
pub fn run_values(g: &Graph, feeds: &Feeds, values: &[ValueId]) -> Result<Vec<Tensor>, String> {
    let live = g.live(values.iter().copied());
    check_feeds(g, feeds, &live)?;
    let all = eval_nodes(g, feeds, &live)?;
    Ok(values.iter().filter_map(|v| all[v.idx()].clone()).collect())
}

fn eval_nodes(g: &Graph, feeds: &Feeds, live: &[bool]) -> Result<Vec<Option<Tensor>>, String> {
    let cx = EvalCx { feeds: &feeds.slots, seed: feeds.seed, step: feeds.step };
    let mut out: Vec<Option<Tensor>> = Vec::with_capacity(g.nodes.len());
    // Results of regions, which are no values themselves.
    let mut results: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
    for (i, (node, live)) in g.nodes.iter().zip(live).enumerate() {
        // Operands precede their users and are live with them, so all of them are there.
        let x: Vec<&Tensor> = node.inputs.iter().filter_map(|i| out[i.idx()].as_ref()).collect();
        let value = match &node.op {
            _ if !live => None,
            Op::Scan(s) => {
                results.insert(i, region::run(s, &cx, &x)?);
                Some(Tensor::new(node.ty.clone(), vec![]))
            }
            Op::Result { index, .. } => {
                let of = results.get(&node.inputs[0].idx()).and_then(|r| r.get(*index as usize));
                Some(of.cloned().ok_or_else(|| format!("value {i} is result {index} of no region"))?)
            }
            op => Some(op.eval(&cx, &node.ty, &x)),
        };
        out.push(value);
    }
    Ok(out)
}

/// Every slot that is read has a value of its type, with ints and bools in range.
fn check_feeds(g: &Graph, feeds: &Feeds, live: &[bool]) -> Result<(), String> {
    let mut read = vec![false; g.slots.len()];
    for (node, live) in g.nodes.iter().zip(live) {
        if let (Op::Input { slot }, true) = (&node.op, live) {
            read[*slot as usize] = true;
        }
    }
    for (i, slot) in g.slots.iter().enumerate() {
        let Some(t) = feeds.slots.get(i) else {
            if read[i] {
                return Err(format!("slot {i} `{}` has no value", slot.name));
            }
            continue;
        };
        if t.ty != slot.ty {
            return Err(format!("slot {i} `{}` is {}, got {}", slot.name, slot.ty, t.ty));
        }
        let (lo, hi) = range(t.ty.dtype);
        let fits = |x: f64| t.ty.dtype.is_float() || (x.fract() == 0.0 && (lo..=hi).contains(&x));
        if let Some(x) = t.data.iter().find(|&&x| !fits(x)) {
            return Err(format!("slot {i} `{}` is {}, which cannot hold {x}", slot.name, slot.ty));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::build::Builder;
    use crate::graph::graph::{Slot, SlotKind};
    use crate::graph::ops::{DotDims, ReduceKind};
    use crate::graph::ty::TensorTy;
    use nn_runtime::dtype::DType;

    #[test]
    fn a_layer() {
        let mut b = Builder::new("t");
        let slot = |name: &str, shape: &[u64]| Slot {
            name: name.into(),
            kind: SlotKind::Data,
            ty: TensorTy::new(DType::F32, shape.iter().copied()),
        };
        let x = b.input(slot("x", &[2, 3]));
        let w = b.input(slot("w", &[2, 3]));
        let dims =
            DotDims { lhs_contract: [1].as_slice().into(), rhs_contract: [1].as_slice().into(), ..DotDims::default() };
        let y = b.dot(x, w, dims);
        let s = b.reduce(ReduceKind::Max, y, &[1]);
        b.output("s", s);
        let g = b.finish();
        let t = |data: &[f64]| Tensor::new(TensorTy::new(DType::F32, [2, 3]), data.to_vec());
        let mut feeds =
            Feeds { slots: vec![t(&[1., 2., 3., 4., 5., 6.]), t(&[1., 0., 1., 0., 2., 0.])], ..Feeds::default() };
        assert_eq!(run(&g, &feeds).map(|o| o[0].data.clone()), Ok(vec![4., 10.]));
        feeds.slots.pop();
        assert_eq!(run(&g, &feeds), Err("slot 1 `w` has no value".to_owned()));
    }
}
