//! Reverse-mode differentiation, graph to graph.
//!
//! In: a builder that holds a computation, a scalar result and the values to differentiate by. Out: the gradients, as
//! ordinary values appended to the same graph, so that gradients of gradients are nothing special. The rules are in the
//! op table; here is only the walk: from `y` back over the values that lie between, adding up what flows together.
//!
//! ```text
//! %y = mul %x, %x      grad(y, [x])      %0 = mul 1, %x ;  %x.grad = add %0, %0
//! ```
//!
//! It stands before fusion, so a fused kernel never needs a derivative of its own, and before elaboration, which calls it
//! for `grad(y, x)` and for training.

pub(crate) mod region;
#[cfg(test)]
mod tests;

use crate::graph::build::Builder;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, VjpArgs};
use std::collections::BTreeMap;

/// `dy/dx` for every `x`; `None` where `y` does not depend on it differentiably.
///
/// # Panics
/// If `y` is not a float scalar, which callers check.
pub fn grad(b: &mut Builder, y: ValueId, xs: &[ValueId]) -> Vec<Option<ValueId>> {
    let ty = b.ty(y).clone();
    assert!(ty.rank() == 0 && ty.dtype.is_float(), "gradient of {ty}, which is not a float scalar");
    let one = b.scalar(ty.dtype, 1.0);
    vjp(b, &[y], &[one], xs)
}

/// The product of the cotangents `cts` of `ys` with the Jacobian of `ys` by `xs`, one value per `x`, shaped as it.
/// Each `x` is treated as independent: what it was computed from is not looked at on its behalf.
pub fn vjp(b: &mut Builder, ys: &[ValueId], cts: &[ValueId], xs: &[ValueId]) -> Vec<Option<ValueId>> {
    let Some(last) = ys.iter().max() else { return vec![None; xs.len()] };
    let between = between(b.graph(), ys, xs);
    let mut cotangent: Vec<Option<ValueId>> = vec![None; last.idx() + 1];
    for (&y, &ct) in ys.iter().zip(cts) {
        accumulate(b, &mut cotangent, y, ct);
    }
    let (outer, scope) = (b.span, b.scope.clone());
    // Cotangents of the results of regions, which come after their region.
    let mut regions: BTreeMap<ValueId, BTreeMap<usize, ValueId>> = BTreeMap::new();
    for v in (0..=last.0).rev().map(ValueId) {
        if let Some(results) = regions.remove(&v) {
            let node = b.graph().node(v).clone();
            let need: Vec<bool> = node.inputs.iter().map(|x| between[x.idx()]).collect();
            (b.span, b.scope) = (node.span.or(outer), node.scope.clone());
            for (&x, flow) in node.inputs.iter().zip(region::scan(b, v, &results, &need)) {
                if let Some(dx) = flow.filter(|_| between[x.idx()]) {
                    accumulate(b, &mut cotangent, x, dx);
                }
            }
            continue;
        }
        let Some(dy) = cotangent[v.idx()] else { continue };
        let node = b.graph().node(v).clone();
        if let Op::Result { index, .. } = node.op {
            if between[node.inputs[0].idx()] {
                regions.entry(node.inputs[0]).or_default().insert(index as usize, dy);
            }
            continue;
        }
        if !node.op.has_vjp() || !node.inputs.iter().any(|x| between[x.idx()]) {
            continue;
        }
        (b.span, b.scope) = (node.span.or(outer), node.scope.clone());
        let need: Vec<bool> = node.inputs.iter().map(|x| between[x.idx()]).collect();
        let flows = node.op.vjp(b, VjpArgs { x: &node.inputs, y: v, dy, need: &need });
        for (&x, flow) in node.inputs.iter().zip(flows) {
            if let Some(dx) = flow.filter(|_| between[x.idx()]) {
                accumulate(b, &mut cotangent, x, dx);
            }
        }
    }
    (b.span, b.scope) = (outer, scope);
    xs.iter().map(|x| cotangent.get(x.idx()).copied().flatten()).collect()
}

/// The values that lie on a differentiable path from some `x` to some `y`, both ends included.
fn between(g: &Graph, ys: &[ValueId], xs: &[ValueId]) -> Vec<bool> {
    let mut from_x = marks(g, xs);
    for v in g.values() {
        from_x[v.idx()] |= carries(g, v) && g.inputs(v).iter().any(|a| from_x[a.idx()]);
    }
    let mut to_y = marks(g, ys);
    for v in g.values().rev() {
        if to_y[v.idx()] && carries(g, v) {
            for a in g.inputs(v) {
                to_y[a.idx()] = true;
            }
        }
    }
    from_x.iter().zip(&to_y).map(|(a, b)| *a && *b).collect()
}

/// One flag a value, set for the given ones.
fn marks(g: &Graph, vs: &[ValueId]) -> Vec<bool> {
    let mut marks = vec![false; g.nodes.len()];
    for v in vs {
        marks[v.idx()] = true;
    }
    marks
}

/// Can a gradient flow from this value to its operands? It must be a float, made by an op with a rule.
fn carries(g: &Graph, v: ValueId) -> bool {
    match g.op(v) {
        Op::Scan(_) => true,
        Op::Result { ty, .. } => ty.dtype.is_float(),
        op => g.ty(v).dtype.is_float() && op.has_vjp(),
    }
}

fn accumulate(b: &mut Builder, cotangent: &mut [Option<ValueId>], x: ValueId, dx: ValueId) {
    debug_assert_eq!(b.ty(x), b.ty(dx), "a cotangent has the type of its value");
    cotangent[x.idx()] = Some(match cotangent[x.idx()] {
        Some(_) if nn_runtime::mutant!("grad.accumulate") => dx,
        Some(sum) => b.ew(Ew::Add, &[sum, dx]),
        None => dx,
    });
}

/// The value nearest to `y` on the way from `xs` that lets no gradient through: why `y` has none (E0204). `None` if some
/// path is open after all, or if `y` does not depend on any `x` in any way.
pub fn path_ends_at(g: &Graph, y: ValueId, xs: &[ValueId]) -> Option<ValueId> {
    let is_x = marks(g, xs);
    let mut from_x = is_x.clone();
    for v in g.values() {
        from_x[v.idx()] |= g.inputs(v).iter().any(|a| from_x[a.idx()]);
    }
    let mut open = marks(g, &[y]);
    let mut end = None;
    for v in g.values().rev() {
        if !open[v.idx()] || !from_x[v.idx()] {
            continue;
        }
        let flows = |a: ValueId| g.ty(a).dtype.is_float() || matches!(g.op(a), Op::Scan(_));
        let onward = |a: &&ValueId| from_x[a.idx()] && flows(**a);
        if is_x[v.idx()] && g.ty(v).dtype.is_float() {
            return None;
        } else if !carries(g, v) || !g.inputs(v).iter().any(|a| onward(&a)) {
            end = end.or(Some(v));
        } else {
            g.inputs(v).iter().filter(onward).for_each(|a| open[a.idx()] = true);
        }
    }
    end
}
