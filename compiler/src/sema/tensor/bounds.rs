//! What is known of a tensor's values before the program runs.
//!
//! In: a value of the graph. Out: bounds between which every element is a whole number, by interval arithmetic over the
//! ops that made it. So `(x % 10) as idx<10>` or `clamp(i, 0, 9) as idx<10>` needs no check while the program runs.

use super::arith::floor_rem_operands;
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Literal, Op, ReduceKind, ScatterKind};
use crate::graph::tensor::range;
use nn_runtime::dtype::DType;

/// Least and greatest, both included.
pub type Bounds = (f64, f64);

/// Values looked at before giving up: a chain of sums of one operand with itself would double with each link.
const FUEL: usize = 400;

/// Bounds of every element; `None` if some may be no whole number.
pub fn bounds(g: &Graph, v: ValueId) -> Option<Bounds> {
    known(g, v, &mut FUEL.clone())
}

fn known(g: &Graph, v: ValueId, fuel: &mut usize) -> Option<Bounds> {
    let d = g.ty(v).dtype;
    let all = (!d.is_float()).then(|| range(d));
    if *fuel == 0 {
        return all;
    }
    *fuel -= 1;
    // Ints wrap: what may leave the dtype's range is anywhere in it.
    let found = found(g, v, fuel).filter(|b| all.is_none_or(|a| a.0 <= b.0 && b.1 <= a.1));
    found.or(all)
}

fn found(g: &Graph, v: ValueId, fuel: &mut usize) -> Option<Bounds> {
    let x = g.inputs(v);
    let ty = g.ty(v);
    match g.op(v) {
        Op::Const(Literal::Scalar(_, c)) => whole(&[*c]),
        Op::Const(Literal::Dense(_, cs)) => whole(cs),
        Op::Iota { shape, axis } => Some((0.0, last(shape[*axis as usize]))),
        Op::ArgReduce { axis, .. } => Some((0.0, last(g.ty(x[0]).shape[*axis as usize]))),
        Op::Broadcast { .. } | Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } | Op::Reverse(_) | Op::Tag(_) => {
            known(g, x[0], fuel)
        }
        Op::DynSlice { .. } | Op::Window { .. } => known(g, x[0], fuel),
        Op::Pad { .. } | Op::DynUpdate => union(g, &x[..2], fuel),
        Op::Concat { .. } => union(g, x, fuel),
        Op::Scatter { kind: ScatterKind::Set | ScatterKind::Max, .. } => union(g, &[x[0], x[2]], fuel),
        // Outside of the table there is 0.
        Op::Gather { .. } => known(g, x[0], fuel).map(|b| join(b, (0.0, 0.0))),
        Op::Cast(to) => {
            let from = g.ty(x[0]).dtype;
            let b = known(g, x[0], fuel)?;
            match to {
                DType::Bool => None,
                // Floats hold whole numbers exactly up to 2^24.
                to if to.is_float() => Some(b).filter(|b| b.0 >= -16_777_216.0 && b.1 <= 16_777_216.0),
                // Floats saturate.
                to if from.is_float() => {
                    Some((b.0.clamp(range(*to).0, range(*to).1), b.1.clamp(range(*to).0, range(*to).1)))
                }
                _ => Some(b),
            }
        }
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, .. } if g.ty(x[0]).numel() > 0 => known(g, x[0], fuel),
        Op::Reduce { kind: ReduceKind::Sum, .. } if ty.dtype.is_int() && ty.numel() > 0 => {
            let n = (g.ty(x[0]).numel() / ty.numel()) as f64;
            known(g, x[0], fuel).map(|b| (b.0 * n, b.1 * n))
        }
        Op::Ew(ew) => elementwise(g, *ew, v, fuel),
        _ => None,
    }
}

fn elementwise(g: &Graph, ew: Ew, v: ValueId, fuel: &mut usize) -> Option<Bounds> {
    let x = g.inputs(v);
    let float = g.ty(v).dtype.is_float();
    match ew {
        Ew::Select => {
            if let Some((_, y)) = floor_rem_operands(g, v)
                && let Some(b) = known(g, y, fuel).filter(|b| b.0 > 0.0)
            {
                return Some((0.0, b.1 - 1.0));
            }
            union(g, &x[1..], fuel)
        }
        Ew::Max | Ew::Min => {
            let (a, b) = (known(g, x[0], fuel)?, known(g, x[1], fuel)?);
            let pick = if ew == Ew::Max { f64::max } else { f64::min };
            Some((pick(a.0, b.0), pick(a.1, b.1)))
        }
        // Of floats, sums and products round.
        _ if float => None,
        Ew::Neg => known(g, x[0], fuel).map(|b| (-b.1, -b.0)),
        Ew::Add => {
            let (a, b) = (known(g, x[0], fuel)?, known(g, x[1], fuel)?);
            Some((a.0 + b.0, a.1 + b.1))
        }
        Ew::Mul => {
            let (a, b) = (known(g, x[0], fuel)?, known(g, x[1], fuel)?);
            let ends = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
            Some((ends.into_iter().fold(f64::INFINITY, f64::min), ends.into_iter().fold(f64::NEG_INFINITY, f64::max)))
        }
        Ew::Rem => {
            let (a, b) = (known(g, x[0], fuel)?, known(g, x[1], fuel).filter(|b| b.0 > 0.0)?);
            let far = b.1 - 1.0;
            Some((a.0.clamp(-far, 0.0), a.1.clamp(0.0, far)))
        }
        Ew::Div => {
            let (a, b) = (known(g, x[0], fuel)?, known(g, x[1], fuel).filter(|b| b.0 > 0.0)?);
            Some(((a.0 / if a.0 < 0.0 { b.0 } else { b.1 }).trunc(), (a.1 / if a.1 < 0.0 { b.1 } else { b.0 }).trunc()))
        }
        _ => None,
    }
}

/// The last index of an axis.
fn last(n: u64) -> f64 {
    n.saturating_sub(1) as f64
}

fn join(a: Bounds, b: Bounds) -> Bounds {
    (a.0.min(b.0), a.1.max(b.1))
}

fn union(g: &Graph, vs: &[ValueId], fuel: &mut usize) -> Option<Bounds> {
    let (first, rest) = vs.split_first()?;
    let mut all = known(g, *first, fuel)?;
    for v in rest {
        all = join(all, known(g, *v, fuel)?);
    }
    Some(all)
}

fn whole(xs: &[f64]) -> Option<Bounds> {
    let ends = xs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |b, &x| join(b, (x, x)));
    (!xs.is_empty() && xs.iter().all(|x| x.fract() == 0.0)).then_some(ends)
}
