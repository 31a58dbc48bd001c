//! Permutes around a contraction are a matter of naming its axes.

use super::At;
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::{Axes, DotDims, Op};

/// A contraction of a permuted operand names the operand's own axes, where the free axes keep their order.
pub fn dot_of_permute(b: &mut Builder, at: &At) -> Option<ValueId> {
    let (Op::Dot(d), &[p, q]) = (at.op, at.x) else { return None };
    let mut dims = d.clone();
    let mut x = [p, q];
    let sides = [
        (d.lhs_free(b.ty(p).rank()), &mut dims.lhs_batch, &mut dims.lhs_contract),
        (d.rhs_free(b.ty(q).rank()), &mut dims.rhs_batch, &mut dims.rhs_contract),
    ];
    let mut found = false;
    for (side, (free, batch, contract)) in sides.into_iter().enumerate() {
        let Op::Permute(perm) = b.graph().op(x[side]) else { continue };
        let own = |axes: &Axes| axes.iter().map(|&a| perm[a as usize]).collect::<Axes>();
        if own(&free).is_sorted() || nn_runtime::mutant!("opt.dot_free") {
            (*batch, *contract) = (own(batch), own(contract));
            x[side] = b.graph().inputs(x[side])[0];
            found = true;
        }
    }
    found.then(|| b.dot(x[0], x[1], dims))
}

/// A permute that swaps the free axes of the left with those of the right is the contraction with its operands swapped,
/// if nothing else uses the contraction.
pub fn permute_of_dot(b: &mut Builder, at: &At) -> Option<ValueId> {
    let Op::Permute(perm) = at.op else { return None };
    let (Op::Dot(d), &[p, q]) = (b.graph().op(at.x[0]), b.graph().inputs(at.x[0])) else { return None };
    let (batch, m) = (d.lhs_batch.len() as u32, d.lhs_free(b.ty(p).rank()).len() as u32);
    let n = perm.len() as u32 - batch - m;
    let swapped = (0..batch).chain(batch + m..batch + m + n).chain(batch..batch + m);
    if !at.once || !perm.iter().copied().eq(swapped) {
        return None;
    }
    let dims = DotDims {
        lhs_batch: d.rhs_batch.clone(),
        rhs_batch: d.lhs_batch.clone(),
        lhs_contract: d.rhs_contract.clone(),
        rhs_contract: d.lhs_contract.clone(),
    };
    Some(b.dot(q, p, dims))
}
