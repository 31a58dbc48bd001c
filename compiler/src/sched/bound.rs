//! How far compiled code may be from the f64 reference: a running error analysis.
//!
//! In: a graph and the reference value of every node. Out: for every element a bound on the error of any evaluation that
//! rounds each op to its dtype; with it, whether what a kernel program left in its arenas is what the graph means. Where the
//! dtype is f64 the reference rounds too, so the bound is that of both. An op's own rounding is its ulp; sums of n terms in any order add n half ulps of the sum of
//! magnitudes; errors of operands go through movement ops as the elements do, and through elementwise ops by evaluating
//! at the ends of the operands' error intervals.

use crate::graph::graph::{Graph, SlotKind};
use crate::graph::interp::{self, Feeds};
use crate::graph::ops::region::{Role, Scan};
use crate::graph::ops::{Class, EvalCx, Op, ReduceKind, ScatterKind};
use crate::graph::tensor::{Tensor, round};
use crate::graph::ty::TensorTy;
use crate::kernel::interp::Arenas;
use crate::kernel::ir::{Arena, Buffer, KernelProgram};
use crate::lanes_eval::{bits_of, number_of};
use nn_runtime::dtype::DType;
use std::collections::BTreeMap;

/// What one rounding to a float dtype may add, of a value of 1.0: half a unit in the last place; in f64 of both sides.
fn rounding(d: DType) -> f64 {
    2f64.powi(if d == DType::F64 { -52 } else { -24 })
}

/// Units in the last place of f64 that the reference's own functions may be off.
const REFERENCE_ULP: f64 = 8.0;

/// The arena of a slot.
pub fn arena(kind: SlotKind) -> Arena {
    match kind {
        SlotKind::Param => Arena::Param,
        SlotKind::State => Arena::State,
        SlotKind::Data => Arena::Data,
        SlotKind::Step => Arena::Step,
    }
}

/// The buffer of a slot.
fn slot_buffer<'p>(p: &'p KernelProgram, kind: SlotKind, name: &str) -> Result<&'p Buffer, String> {
    let found = p.buffers.iter().find(|b| b.arena == arena(kind) && b.name == name);
    found.ok_or_else(|| format!("no buffer for slot `{name}`"))
}

/// Arenas that hold the feeds; temporaries start as garbage, since nothing may rely on zeros.
pub fn fed(g: &Graph, p: &KernelProgram, f: &Feeds) -> Result<Arenas, String> {
    let mut arenas = Arenas::new(p);
    arenas.arena_mut(Arena::Temp).fill(0xa5);
    for (slot, t) in g.slots.iter().zip(&f.slots) {
        let b = slot_buffer(p, slot.kind, &slot.name)?;
        for (i, &x) in t.data.iter().enumerate() {
            arenas.set(b, i as u64, bits_of(b.dtype, x));
        }
    }
    Ok(arenas)
}

fn get(a: &Arenas, b: &Buffer, i: usize) -> f64 {
    number_of(b.dtype, a.get(b, i as u64))
}

/// Are all results in the arenas those of the reference within the bounds? Says what differs.
pub fn check(g: &Graph, p: &KernelProgram, f: &Feeds, arenas: &Arenas) -> Result<(), String> {
    let values = interp::run_all(g, f)?;
    let bounds = bounds(g, &EvalCx { feeds: &f.slots, seed: f.seed, step: f.step }, &values)?;
    for (o, out) in g.outputs.iter().enumerate() {
        let (Some(want), Some(bound)) = (&values[out.value.idx()], &bounds[out.value.idx()]) else {
            return Err("output was not evaluated".into());
        };
        let b = match out.assign {
            None => {
                let n = g.outputs[..o].iter().filter(|o| o.assign.is_none()).count();
                &p.buffers[p.outputs[n].1.0 as usize]
            }
            Some(s) => slot_buffer(p, g.slots[s as usize].kind, &g.slots[s as usize].name)?,
        };
        // A slot assigned twice keeps the last value.
        if g.outputs[o + 1..].iter().any(|l| l.assign.is_some() && l.assign == out.assign) {
            continue;
        }
        for (i, (&w, &e)) in want.data.iter().zip(&bound.data).enumerate() {
            let got = get(arenas, b, i);
            let ok = if want.ty.dtype.is_float() {
                (got - w).abs() <= e || got.is_nan() && w.is_nan() || got == round(want.ty.dtype, w)
            } else {
                got == w
            };
            if !ok {
                return Err(format!("{}[{i}] is {got}, should be {w} within {e:e}", out.name));
            }
        }
    }
    Ok(())
}

/// Error bounds, for the values that were evaluated.
///
/// # Errors
/// Those of the reference in the body of a region.
pub fn bounds(g: &Graph, cx: &EvalCx, values: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
    grown(g, cx, values, None)
}

/// Likewise; `slots` are the errors of what the slots hold, if it has any.
fn grown(
    g: &Graph,
    cx: &EvalCx,
    values: &[Option<Tensor>],
    slots: Option<&[Tensor]>,
) -> Result<Vec<Option<Tensor>>, String> {
    let mut out: Vec<Option<Tensor>> = vec![];
    // Errors of the results of regions.
    let mut results: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
    for v in g.values() {
        let node = g.node(v);
        let of = |all: &[Option<Tensor>]| -> Vec<Tensor> {
            node.inputs.iter().filter_map(|i| all[i.idx()].clone()).collect()
        };
        let known = match &node.op {
            _ if values[v.idx()].is_none() => None,
            Op::Scan(s) => {
                results.insert(v.idx(), region(s, cx, &of(values), &of(&out))?);
                None
            }
            Op::Result { index, .. } => {
                results.get(&node.inputs[0].idx()).and_then(|r| r.get(*index as usize)).cloned()
            }
            Op::Input { slot } => slots.and_then(|s| s.get(*slot as usize)).cloned(),
            _ => None,
        };
        if known.is_some() {
            out.push(known);
            continue;
        }
        let e = values[v.idx()].as_ref().map(|y| {
            let x: Vec<&Tensor> = node.inputs.iter().filter_map(|i| values[i.idx()].as_ref()).collect();
            let e: Vec<&Tensor> = node.inputs.iter().filter_map(|i| out[i.idx()].as_ref()).collect();
            let mut data =
                if node.ty.dtype.is_float() { bound(&node.op, cx, y, &x, &e) } else { vec![0.0; y.data.len()] };
            // Infinities that cancel say as little as one.
            data.iter_mut().filter(|e| e.is_nan()).for_each(|e| *e = f64::INFINITY);
            Tensor { ty: y.ty.clone(), data }
        });
        out.push(e);
    }
    Ok(out)
}

/// Errors of the results of a scan, step by step.
fn region(s: &Scan, cx: &EvalCx, x: &[Tensor], e: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let carries = s.carries as usize;
    let slice = |t: &Tensor, ty: &TensorTy, at: usize| {
        let n = ty.numel() as usize;
        Tensor::new(ty.clone(), t.data[at * n..(at + 1) * n].to_vec())
    };
    let (mut slots, mut errors) = (x.to_vec(), e.to_vec());
    let types = (carries..s.results()).filter_map(|i| s.result(i));
    let mut stacks: Vec<Tensor> = types.map(|ty| Tensor::splat(ty, 0.0)).collect();
    for step in 0..s.length {
        let at = if s.reverse { s.length - 1 - step } else { step } as usize;
        for (i, slot) in s.body.slots.iter().enumerate().filter(|(i, _)| s.role(*i) == Role::Scanned) {
            (slots[i], errors[i]) = (slice(&x[i], &slot.ty, at), slice(&e[i], &slot.ty, at));
        }
        let feeds = Feeds { slots, seed: cx.seed, step: cx.step };
        let values = interp::run_all(&s.body, &feeds)?;
        slots = feeds.slots;
        let inner = EvalCx { feeds: &slots, seed: cx.seed, step: cx.step };
        let grown = grown(&s.body, &inner, &values, Some(&errors))?;
        let of = |all: &[Option<Tensor>], i: usize| {
            let missing = || format!("`{}` of a body was not evaluated", s.body.outputs[i].name);
            all[s.body.outputs[i].value.idx()].clone().ok_or_else(missing)
        };
        for (i, stack) in stacks.iter_mut().enumerate() {
            let y = of(&grown, carries + i)?;
            let n = y.data.len();
            stack.data[at * n..(at + 1) * n].copy_from_slice(&y.data);
        }
        for i in 0..carries {
            (slots[i], errors[i]) = (of(&values, i)?, of(&grown, i)?);
        }
    }
    errors.truncate(carries);
    errors.extend(stacks);
    Ok(errors)
}

fn bound(op: &Op, cx: &EvalCx, y: &Tensor, x: &[&Tensor], e: &[&Tensor]) -> Vec<f64> {
    let eps = rounding(y.ty.dtype);
    let abs = |t: &Tensor| Tensor { ty: t.ty.clone(), data: t.data.iter().map(|v| v.abs()).collect() };
    let grown = |i: usize| {
        let data = x[i].data.iter().zip(&e[i].data).map(|(v, d)| v.abs() + d).collect();
        Tensor { ty: x[i].ty.clone(), data }
    };
    let run = |op: &Op, x: &[&Tensor]| op.eval(cx, &y.ty, x).data;
    let per_result = |n: f64, sizes: Vec<f64>, errors: Vec<f64>| {
        sizes.iter().zip(errors).map(|(s, e)| e + n * eps * (s + e)).collect::<Vec<f64>>()
    };
    let terms = |x: &Tensor| (x.data.len() / y.data.len().max(1)) as f64;
    match op {
        Op::Const(_) | Op::Iota { .. } | Op::Input { .. } | Op::Rng { .. } => vec![0.0; y.data.len()],
        Op::Ew(w) => {
            let spec = w.spec();
            let d = x[usize::from(spec.arity == 3)].ty.dtype;
            (0..y.data.len())
                .map(|i| {
                    // Of what may be anything, so may the result.
                    if e.iter().any(|e| !e.data[i].is_finite()) {
                        return f64::INFINITY;
                    }
                    let mut worst: f64 = 0.0;
                    // Ends and middle of every operand's interval.
                    for corner in 0..3usize.pow(spec.arity as u32) {
                        let mut at = [0.0; 3];
                        let mut c = corner;
                        for (k, a) in at.iter_mut().enumerate().take(spec.arity) {
                            *a = x[k].data[i] + e[k].data[i] * (c % 3) as f64 - e[k].data[i];
                            c /= 3;
                        }
                        let r = (spec.eval)(d, &at[..spec.arity]);
                        worst = worst.max((r - y.data[i]).abs());
                    }
                    let wide = y.ty.dtype == DType::F64;
                    let ulp = spec.ulp + if wide && spec.ulp >= 2.0 { REFERENCE_ULP } else { 0.0 };
                    let least = if wide { 1e-307 } else { 1e-37 };
                    2.0 * worst + (2.0 * ulp + 1.0) * eps * (y.data[i].abs() + worst) + least
                })
                .collect()
        }
        // The reference rounds to f32 here as well.
        Op::Cast(_) => (0..y.data.len()).map(|i| e[0].data[i] + 2.0 * eps * (y.data[i].abs() + e[0].data[i])).collect(),
        Op::Reduce { kind: ReduceKind::Sum, .. } => per_result(terms(x[0]), run(op, &[&abs(x[0])]), run(op, &[e[0]])),
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, axes } => {
            run(&Op::Reduce { kind: ReduceKind::Max, axes: axes.clone() }, &[e[0]])
        }
        Op::Reduce { kind: ReduceKind::Prod, .. } => {
            let (a, b) = (run(op, &[&grown(0)]), run(op, &[&abs(x[0])]));
            let n = terms(x[0]);
            a.iter().zip(b).map(|(a, b)| (a - b) * 1.0001 + n * eps * a).collect()
        }
        Op::Cumulate { kind: ReduceKind::Sum, .. } => {
            per_result(y.data.len() as f64, run(op, &[&abs(x[0])]), run(op, &[e[0]]))
        }
        Op::Cumulate { kind: ReduceKind::Max | ReduceKind::Min, axis } => {
            run(&Op::Cumulate { kind: ReduceKind::Max, axis: *axis }, &[e[0]])
        }
        Op::Cumulate { kind: ReduceKind::Prod, .. } => {
            let (a, b) = (run(op, &[&grown(0)]), run(op, &[&abs(x[0])]));
            let n = y.data.len() as f64;
            a.iter().zip(b).map(|(a, b)| (a - b) * 1.0001 + n * eps * a).collect()
        }
        Op::Dot(_) => {
            let (size, grown) = (run(op, &[&abs(x[0]), &abs(x[1])]), run(op, &[&grown(0), &grown(1)]));
            let k = (terms(x[0]) + 1.0) * x[1].data.len() as f64;
            size.iter().zip(grown).map(|(s, g)| (g - s) * 1.0001 + k.min(1e6) * eps * g).collect()
        }
        Op::Scatter { kind, axis } => {
            let moved = |kind| run(&Op::Scatter { kind, axis: *axis }, &[e[0], x[1], e[2]]);
            match kind {
                ScatterKind::Set => moved(ScatterKind::Set),
                ScatterKind::Max => moved(ScatterKind::Max),
                ScatterKind::Add => {
                    let size = run(op, &[&abs(x[0]), x[1], &abs(x[2])]);
                    per_result(x[1].data.len() as f64 + 1.0, size, moved(ScatterKind::Add))
                }
            }
        }
        // Elements move, and their errors with them; operands that say where keep their values.
        op => {
            let data = match op.class() {
                Class::Index if !matches!(op, Op::DynUpdate) => 1,
                Class::Index => 2,
                _ => x.len(),
            };
            let moved: Vec<&Tensor> = (0..x.len()).map(|i| if i < data { e[i] } else { x[i] }).collect();
            run(op, &moved)
        }
    }
}
