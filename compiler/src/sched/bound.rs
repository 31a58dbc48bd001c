//! How far f32 code may be from the f64 reference: a running error analysis.
//!
//! In: a graph and the reference value of every node. Out: for every element a bound on the error of any evaluation that
//! rounds each op to f32; with it, whether what a kernel program left in its arenas is what the graph means. An op's own rounding is its ulp; sums of n terms in any order add n half ulps of the sum of
//! magnitudes; errors of operands go through movement ops as the elements do, and through elementwise ops by evaluating
//! at the ends of the operands' error intervals.

use crate::graph::graph::{Graph, SlotKind};
use crate::graph::interp::{self, Feeds};
use crate::graph::ops::{Class, EvalCx, Op, ReduceKind, ScatterKind};
use crate::graph::tensor::Tensor;
use crate::kernel::interp::Arenas;
use crate::kernel::ir::{Arena, Buffer, KernelProgram};
use nn_runtime::dtype::DType;

/// Half a unit in the last place of 1.0.
const EPS: f64 = 1.0 / (1u64 << 24) as f64;

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
            let bits = if t.ty.dtype == DType::F32 { (x as f32).to_bits() } else { x as i64 as u32 };
            arenas.set(b, i as u64, bits);
        }
    }
    Ok(arenas)
}

fn get(a: &Arenas, b: &Buffer, i: usize) -> f64 {
    let bits = a.get(b, i as u64);
    match b.dtype {
        DType::F32 => f64::from(f32::from_bits(bits)),
        DType::U32 => f64::from(bits),
        _ => f64::from(bits as i32),
    }
}

/// Are all results in the arenas those of the reference within the bounds? Says what differs.
pub fn check(g: &Graph, p: &KernelProgram, f: &Feeds, arenas: &Arenas) -> Result<(), String> {
    let values = interp::run_all(g, f)?;
    let bounds = bounds(g, &EvalCx { feeds: &f.slots, seed: f.seed, step: f.step }, &values);
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
            let ok = if want.ty.dtype == DType::F32 {
                (got - w).abs() <= e || got.is_nan() && w.is_nan() || got == f64::from(w as f32)
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
pub fn bounds(g: &Graph, cx: &EvalCx, values: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    let mut out: Vec<Option<Tensor>> = vec![];
    for v in g.values() {
        let e = values[v.idx()].as_ref().map(|y| {
            let node = g.node(v);
            let x: Vec<&Tensor> = node.inputs.iter().filter_map(|i| values[i.idx()].as_ref()).collect();
            let e: Vec<&Tensor> = node.inputs.iter().filter_map(|i| out[i.idx()].as_ref()).collect();
            let data = if node.ty.dtype.is_float() { bound(&node.op, cx, y, &x, &e) } else { vec![0.0; y.data.len()] };
            Tensor { ty: y.ty.clone(), data }
        });
        out.push(e);
    }
    out
}

fn bound(op: &Op, cx: &EvalCx, y: &Tensor, x: &[&Tensor], e: &[&Tensor]) -> Vec<f64> {
    let abs = |t: &Tensor| Tensor { ty: t.ty.clone(), data: t.data.iter().map(|v| v.abs()).collect() };
    let grown = |i: usize| {
        let data = x[i].data.iter().zip(&e[i].data).map(|(v, d)| v.abs() + d).collect();
        Tensor { ty: x[i].ty.clone(), data }
    };
    let run = |op: &Op, x: &[&Tensor]| op.eval(cx, &y.ty, x).data;
    let per_result = |n: f64, sizes: Vec<f64>, errors: Vec<f64>| {
        sizes.iter().zip(errors).map(|(s, e)| e + n * EPS * (s + e)).collect::<Vec<f64>>()
    };
    let terms = |x: &Tensor| (x.data.len() / y.data.len().max(1)) as f64;
    match op {
        Op::Const(_) | Op::Iota { .. } | Op::Input { .. } | Op::Rng { .. } => vec![0.0; y.data.len()],
        Op::Ew(w) => {
            let spec = w.spec();
            let d = x[usize::from(spec.arity == 3)].ty.dtype;
            (0..y.data.len())
                .map(|i| {
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
                    2.0 * worst + (2.0 * spec.ulp + 1.0) * EPS * (y.data[i].abs() + worst) + 1e-37
                })
                .collect()
        }
        Op::Cast(_) => (0..y.data.len()).map(|i| e[0].data[i] + EPS * y.data[i].abs()).collect(),
        Op::Reduce { kind: ReduceKind::Sum, .. } => per_result(terms(x[0]), run(op, &[&abs(x[0])]), run(op, &[e[0]])),
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, axes } => {
            run(&Op::Reduce { kind: ReduceKind::Max, axes: axes.clone() }, &[e[0]])
        }
        Op::Reduce { kind: ReduceKind::Prod, .. } => {
            let (a, b) = (run(op, &[&grown(0)]), run(op, &[&abs(x[0])]));
            let n = terms(x[0]);
            a.iter().zip(b).map(|(a, b)| (a - b) * 1.0001 + n * EPS * a).collect()
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
            a.iter().zip(b).map(|(a, b)| (a - b) * 1.0001 + n * EPS * a).collect()
        }
        Op::Dot(_) => {
            let (size, grown) = (run(op, &[&abs(x[0]), &abs(x[1])]), run(op, &[&grown(0), &grown(1)]));
            let k = (terms(x[0]) + 1.0) * x[1].data.len() as f64;
            size.iter().zip(grown).map(|(s, g)| (g - s) * 1.0001 + k.min(1e6) * EPS * g).collect()
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
