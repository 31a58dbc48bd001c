//! The derivative of a loop is a loop the other way.
//!
//! In: a `scan`, and cotangents of some of its results. Out: cotangents of its operands. A step of the backward loop takes
//! the step's carries and contractions from the stacks that the forward loop left, computes the rest of the step again, and
//! is differentiated like any graph. It carries the cotangents of the carries. What every step reads whole gets a sum over
//! steps: of a contraction, that is one contraction after the loop, over the steps too; of anything else, a carry.

use super::vjp;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::region::{Role, Scan};
use crate::graph::ops::{Axes, DotDims, Op, ReduceKind};
use crate::graph::region::{self, Leaf, Plan};
use crate::graph::ty::TensorTy;
use std::collections::BTreeMap;

/// A value of the backward step that the graph around it gives.
#[derive(Clone, Copy)]
enum From {
    /// Sliced from this value.
    Stack(ValueId),
    /// This value, whole.
    Whole(ValueId),
    /// The cotangent of a carry, carried.
    Carried(usize),
}

/// The backward step under construction.
struct Step {
    b: Builder,
    /// The inputs, by slot.
    from: Vec<From>,
}

impl Step {
    fn input(&mut self, name: &str, ty: &TensorTy, from: From) -> ValueId {
        self.from.push(from);
        let name = format!("{name}.{}", self.from.len());
        self.b.input(Slot { name: name.as_str().into(), kind: SlotKind::Data, ty: ty.clone() })
    }

    /// Which values differ from step to step.
    fn varies(&self) -> Vec<bool> {
        let g = self.b.graph();
        let mut all: Vec<bool> = Vec::with_capacity(g.nodes.len());
        for v in g.values() {
            let own = self.source(v).is_some_and(|f| !matches!(f, From::Whole(_)));
            all.push(own || g.inputs(v).iter().any(|x| all[x.idx()]));
        }
        all
    }

    /// Where an input comes from.
    fn source(&self, v: ValueId) -> Option<From> {
        match self.b.graph().op(v) {
            Op::Input { slot } => self.from.get(*slot as usize).copied(),
            _ => None,
        }
    }
}

/// A sum over steps that is made after the loop.
enum Sum {
    /// Of contractions of two values of a step.
    Dot(ValueId, ValueId, DotDims),
    /// Of sums over axes of a value of a step.
    Reduce(ValueId, Axes),
}

/// Cotangents of the operands of a scan.
pub(super) fn scan(
    b: &mut Builder,
    region: ValueId,
    results: &BTreeMap<usize, ValueId>,
    need: &[bool],
) -> Vec<Option<ValueId>> {
    let node = b.graph().node(region).clone();
    let Op::Scan(s) = &node.op else { return vec![] };
    let scan = s.remembering();
    let region = if scan == *s { region } else { b.op(Op::Scan(scan.clone()), &node.inputs) };
    let body = &*scan.body;
    let carries = scan.carries as usize;
    let mut step = Step { b: Builder::new(""), from: vec![] };

    // What the forward step read, and the contractions that it made.
    let mut read = vec![];
    for (i, slot) in body.slots.iter().enumerate() {
        let from = match (scan.role(i), scan.carry_stack(i as u32)) {
            (Role::Carry, Some(stack)) => From::Stack(b.result(region, stack)),
            (Role::Scanned, _) => From::Stack(node.inputs[i]),
            _ => From::Whole(node.inputs[i]),
        };
        read.push(step.input(&slot.name, &slot.ty, from));
    }
    let mut made: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for v in scan.dots() {
        if let Some(stack) = scan.dot_stack(v) {
            let from = From::Stack(b.result(region, stack));
            made.insert(v, step.input("dot", body.ty(v), from));
        }
    }
    // The step again. Contractions are made, to be differentiated; what they give is then taken from the stacks.
    let mut again: Vec<ValueId> = vec![];
    let mut taken: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for v in body.values() {
        let n = body.node(v);
        let inputs: Vec<ValueId> = n.inputs.iter().map(|x| again[x.idx()]).collect();
        (step.b.span, step.b.scope) = (n.span, n.scope.clone());
        let new = match n.op {
            Op::Input { slot } => read[slot as usize],
            _ => step.b.op(n.op.clone(), &inputs),
        };
        if let Some(&stack) = made.get(&v) {
            taken.insert(new, stack);
        }
        again.push(new);
    }
    let (mut ys, mut cts) = (vec![], vec![]);
    let float = |v: ValueId| body.ty(v).dtype.is_float();
    let carried: Vec<usize> = (0..carries).filter(|&i| float(body.outputs[i].value)).collect();
    for (k, &i) in carried.iter().enumerate() {
        let y = body.outputs[i].value;
        ys.push(again[y.idx()]);
        cts.push(step.input("carry", body.ty(y), From::Carried(k)));
    }
    for (&i, &dy) in results.range(carries..) {
        let y = body.outputs[i].value;
        ys.push(again[y.idx()]);
        cts.push(step.input("of", body.ty(y), From::Stack(dy)));
    }
    let wanted: Vec<usize> =
        (0..body.slots.len()).filter(|&i| body.slots[i].ty.dtype.is_float() && (i < carries || need[i])).collect();
    let xs: Vec<ValueId> = wanted.iter().map(|&i| read[i]).collect();
    let flows = vjp(&mut step.b, &ys, &cts, &xs);
    let mut flow: BTreeMap<usize, ValueId> = wanted.into_iter().zip(flows).filter_map(|(i, f)| Some((i, f?))).collect();

    // Carries of the backward loop, then its stacks.
    let mut next: Vec<(ValueId, ValueId)> = vec![];
    for &i in &carried {
        let ty = body.slots[i].ty.clone();
        let d = flow.remove(&i).unwrap_or_else(|| zeros(&mut step.b, &ty));
        let first = results.get(&i).copied().unwrap_or_else(|| zeros(b, &ty));
        next.push((d, first));
    }
    let mut stacks: Vec<ValueId> = vec![];
    let mut sums: BTreeMap<usize, Vec<(Sum, Axes)>> = BTreeMap::new();
    let mut totals: BTreeMap<usize, usize> = BTreeMap::new();
    for (&i, &d) in &flow {
        if scan.role(i) == Role::Scanned {
            stacks.push(d);
            continue;
        }
        let mut terms = vec![d];
        while let Some(t) = terms.pop() {
            if let Op::Ew(Ew::Add) = step.b.graph().op(t) {
                terms.extend(step.b.graph().inputs(t).iter().copied());
            } else if let Some(sum) = after(&step, t) {
                sums.entry(i).or_default().push(sum);
            } else {
                // Carried: what is there, and the step's.
                let ty = step.b.ty(t).clone();
                match totals.get(&i) {
                    Some(&k) => next[k].0 = step.b.ew(Ew::Add, &[next[k].0, t]),
                    None => {
                        let total = step.input("sum", &ty, From::Carried(next.len()));
                        totals.insert(i, next.len());
                        next.push((step.b.ew(Ew::Add, &[total, t]), zeros(b, &ty)));
                    }
                }
            }
        }
    }
    for (sum, _) in sums.values().flatten() {
        let (p, q) = match sum {
            Sum::Dot(p, q, _) => (*p, Some(*q)),
            Sum::Reduce(p, _) => (*p, None),
        };
        for v in [Some(p), q].into_iter().flatten() {
            if !matches!(step.source(v), Some(From::Stack(_))) && !taken.contains_key(&v) && !stacks.contains(&v) {
                stacks.push(v);
            }
        }
    }
    let (backward, operands) = close(&step, &taken, &next, &stacks, &scan);
    let back = b.op(Op::Scan(backward.remembering()), &operands);
    let stacked = |b: &mut Builder, v: ValueId| -> ValueId {
        if let Some(k) = stacks.iter().position(|&s| s == v) {
            return b.result(back, next.len() + k);
        }
        match step.source(taken.get(&v).copied().unwrap_or(v)) {
            Some(From::Stack(outer) | From::Whole(outer)) => outer,
            _ => v,
        }
    };
    let mut out = vec![None; body.slots.len()];
    for (k, &i) in carried.iter().enumerate() {
        out[i] = Some(b.result(back, k));
    }
    for (&i, &d) in &flow {
        if scan.role(i) == Role::Scanned {
            out[i] = Some(stacked(b, d));
            continue;
        }
        let mut total = totals.get(&i).map(|&k| b.result(back, k));
        for (sum, perm) in sums.get(&i).into_iter().flatten() {
            let part = match sum {
                Sum::Dot(p, q, d) => {
                    let (p, q) = (stacked(b, *p), stacked(b, *q));
                    b.dot(p, q, over_steps(d))
                }
                Sum::Reduce(p, axes) => {
                    let p = stacked(b, *p);
                    let axes: Vec<u32> = std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect();
                    b.reduce(ReduceKind::Sum, p, &axes)
                }
            };
            let part = b.permute(part, perm);
            total = Some(match total {
                Some(t) => b.ew(Ew::Add, &[t, part]),
                None => part,
            });
        }
        out[i] = total;
    }
    out
}

fn zeros(b: &mut Builder, ty: &TensorTy) -> ValueId {
    b.splat(ty, 0.0)
}

/// A contraction that sums over steps as well.
fn over_steps(d: &DotDims) -> DotDims {
    let plus = |axes: &Axes| -> Axes { axes.iter().map(|a| a + 1).collect() };
    let first = |axes: &Axes| -> Axes { std::iter::once(0).chain(plus(axes)).collect() };
    DotDims {
        lhs_batch: plus(&d.lhs_batch),
        rhs_batch: plus(&d.rhs_batch),
        lhs_contract: first(&d.lhs_contract),
        rhs_contract: first(&d.rhs_contract),
    }
}

/// The sum over steps of a value, if it can be made of stacks after the loop, and the permute that it then needs.
fn after(step: &Step, v: ValueId) -> Option<(Sum, Axes)> {
    let g = step.b.graph();
    let (v, perm) = match g.op(v) {
        Op::Permute(p) => (g.inputs(v)[0], p.clone()),
        _ => (v, (0..g.ty(v).rank() as u32).collect()),
    };
    // What is the same for every step is no stack.
    let varies = step.varies();
    let stepped = |x: ValueId| varies[x.idx()];
    let x = g.inputs(v);
    match g.op(v) {
        Op::Dot(d) if x.iter().all(|&x| stepped(x)) => Some((Sum::Dot(x[0], x[1], d.clone()), perm)),
        Op::Reduce { kind: ReduceKind::Sum, axes } if stepped(x[0]) => Some((Sum::Reduce(x[0], axes.clone()), perm)),
        _ => None,
    }
}

/// The backward loop and its operands.
fn close(
    step: &Step,
    taken: &BTreeMap<ValueId, ValueId>,
    next: &[(ValueId, ValueId)],
    stacks: &[ValueId],
    forward: &Scan,
) -> (Scan, Vec<ValueId>) {
    let g = step.b.graph();
    let leaf = |v: ValueId| {
        step.source(v).map(|f| match f {
            From::Stack(v) => Leaf::Slice(v),
            From::Whole(v) => Leaf::Whole(v),
            From::Carried(k) => Leaf::Carry(next[k].1),
        })
    };
    let found = |k: usize| g.values().find(|&v| matches!(step.source(v), Some(From::Carried(c)) if c == k));
    let carried: Vec<(ValueId, ValueId)> =
        next.iter().enumerate().filter_map(|(k, n)| Some((found(k)?, n.0))).collect();
    let stacks: Vec<(String, ValueId)> = stacks.iter().enumerate().map(|(i, &v)| (format!("d{i}"), v)).collect();
    region::cut(&Plan {
        graph: g,
        leaf: &leaf,
        alias: &|v| taken.get(&v).copied().unwrap_or(v),
        carried: &carried,
        stacks: &stacks,
        length: forward.length,
        reverse: !forward.reverse,
    })
}

#[cfg(test)]
pub(crate) mod tests;
