//! Questions about values that rewrite rules ask: is it a constant, the same everywhere, an exact number?

use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::{Literal, Op};

/// The number, if every element of the value is that constant.
pub fn splat(g: &Graph, v: ValueId) -> Option<f64> {
    match g.op(v) {
        Op::Const(Literal::Scalar(_, x)) => Some(*x),
        Op::Const(Literal::Dense(_, xs)) => {
            let first = *xs.first()?;
            xs.iter().all(|x| nn_runtime::mutant!("fold.splat") || x.to_bits() == first.to_bits()).then_some(first)
        }
        Op::Broadcast { .. }
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Slice { .. }
        | Op::Reverse(_)
        | Op::Window { .. } => splat(g, *g.inputs(v).first()?),
        _ => None,
    }
}

/// Is `1 / x` exact, so that dividing by `x` is multiplying by it?
pub fn exact_inverse(x: f64) -> bool {
    let bits = (x as f32).to_bits();
    let exponent = (bits >> 23) & 0xff;
    f64::from(x as f32) == x
        && (bits & 0x007f_ffff == 0 || nn_runtime::mutant!("opt.exact_inverse"))
        && (2..=252).contains(&exponent)
}

/// Is the f32 sum of `n` copies of `x` exact in any order, because every partial sum is?
pub fn exact_multiple(x: f64, n: u64) -> bool {
    if x == 0.0 {
        return true;
    }
    let bits = (x as f32).to_bits();
    let mantissa = bits & 0x007f_ffff | 0x0080_0000;
    let significant = 24 - mantissa.trailing_zeros();
    let total = x.abs() * n as f64;
    f64::from(x as f32) == x && significant + (64 - n.leading_zeros()) <= 24 && total < 1e38 && x.abs() > 1e-30
}
