//! Questions about values that rewrite rules ask: is it a constant, the same everywhere, an exact number?

use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::{Literal, Op};
use nn_runtime::dtype::DType;

/// The number, if every element of the value is that constant.
pub fn splat(g: &Graph, v: ValueId) -> Option<f64> {
    match g.op(v) {
        Op::Const(Literal::Scalar(_, x)) => Some(*x),
        Op::Const(Literal::Dense(_, xs)) => {
            let first = *xs.first()?;
            xs.iter().all(|x| x.to_bits() == first.to_bits()).then_some(first)
        }
        Op::Broadcast { .. } | Op::Reshape(_) | Op::Permute(_) | Op::Slice { .. } | Op::Reverse(_) => {
            splat(g, *g.inputs(v).first()?)
        }
        _ => None,
    }
}

/// Rounds a reference result to what the dtype can hold, as a cast of an in-range number would.
pub fn round_to(dtype: DType, x: f64) -> Option<f64> {
    Some(match dtype {
        DType::F64 => x,
        DType::F32 => f64::from(x as f32),
        DType::Bool => f64::from(u8::from(x != 0.0)),
        DType::I32 => f64::from(wrap(x)? as i32),
        DType::U32 => f64::from(wrap(x)? as u32),
        DType::U8 => f64::from(wrap(x)? as u8),
        DType::F16 | DType::Bf16 | DType::I64 | DType::I16 | DType::I8 | DType::U16 => return None,
    })
}

/// An integer that the f64 holds exactly.
fn wrap(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as i64)
}

/// Is `1 / x` exact, so that dividing by `x` is multiplying by it?
pub fn exact_inverse(x: f64) -> bool {
    let bits = (x as f32).to_bits();
    let exponent = (bits >> 23) & 0xff;
    f64::from(x as f32) == x && bits & 0x007f_ffff == 0 && (2..=252).contains(&exponent)
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
