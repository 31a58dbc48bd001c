//! How far f32 code may be from the f64 reference: a running error analysis.
//!
//! In: a graph and the reference value of every node. Out: for every element a bound on the error of any evaluation that
//! rounds each op to f32. An op's own rounding is its ulp; sums of n terms in any order add n half ulps of the sum of
//! magnitudes; errors of operands go through movement ops as the elements do, and through elementwise ops by evaluating
//! at the ends of the operands' error intervals.

use crate::graph::graph::Graph;
use crate::graph::ops::{Class, EvalCx, Op, ReduceKind, ScatterKind};
use crate::graph::tensor::Tensor;

/// Half a unit in the last place of 1.0.
const EPS: f64 = 1.0 / (1u64 << 24) as f64;

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
