//! Dense values of the reference interpreter, and the arithmetic of dtypes in f64.
//!
//! Every element is an f64: floats keep full precision, ints and bools are exact (64-bit ints up to 2^53). Movement,
//! reductions and contractions all come down to [`offsets`], the element offsets of a strided walk.

use super::ty::TensorTy;
use nn_runtime::dtype::DType;

/// A dense value in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its type.
    pub ty: TensorTy,
    /// Its elements.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A value from its type and elements.
    ///
    /// # Panics
    /// If the number of elements is not the type's.
    pub fn new(ty: TensorTy, data: Vec<f64>) -> Self {
        assert_eq!(ty.numel(), data.len() as u64, "elements of {ty}");
        Tensor { ty, data }
    }

    /// A scalar.
    pub fn scalar(dtype: DType, x: f64) -> Self {
        Tensor { ty: TensorTy::scalar(dtype), data: vec![x] }
    }

    /// Every element the same.
    pub fn splat(ty: TensorTy, x: f64) -> Self {
        let data = vec![x; ty.numel() as usize];
        Tensor { ty, data }
    }
}

/// Row-major strides in elements.
pub fn strides(shape: &[u64]) -> Vec<i64> {
    let mut s = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        s[i - 1] = s[i] * shape[i] as i64;
    }
    s
}

/// For every index of `shape` in row-major order, `start + sum(index[i] * stride[i])`.
pub fn offsets(shape: &[u64], stride: &[i64], start: i64) -> Vec<i64> {
    let mut out = vec![start];
    for (&n, &s) in shape.iter().zip(stride) {
        out = out.iter().flat_map(|&o| (0..n as i64).map(move |i| o + i * s)).collect();
    }
    out
}

/// An int brought into the range of a dtype, modulo its width; for bool, `x != 0`.
pub fn wrap(d: DType, x: i64) -> f64 {
    match d {
        DType::Bool => f64::from(u8::from(x != 0)),
        DType::I8 => f64::from(x as i8),
        DType::I16 => f64::from(x as i16),
        DType::I32 => f64::from(x as i32),
        DType::U8 => f64::from(x as u8),
        DType::U16 => f64::from(x as u16),
        DType::U32 => f64::from(x as u32),
        DType::I64 | DType::F64 | DType::F32 | DType::Bf16 | DType::F16 => x as f64,
    }
}

/// Smallest and largest value of a dtype; infinities for floats.
pub fn range(d: DType) -> (f64, f64) {
    match d {
        DType::F64 | DType::F32 | DType::Bf16 | DType::F16 => (f64::NEG_INFINITY, f64::INFINITY),
        DType::I64 => (i64::MIN as f64, i64::MAX as f64),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U32 => (0.0, u32::MAX.into()),
        DType::U16 => (0.0, u16::MAX.into()),
        DType::U8 => (0.0, u8::MAX.into()),
        DType::Bool => (0.0, 1.0),
    }
}

/// Conversion between dtypes: ints wrap, float to int truncates and saturates with NaN to 0, to bool is `x != 0`.
/// Between floats nothing is rounded: the reference stays exact.
pub fn convert(from: DType, to: DType, x: f64) -> f64 {
    if to == DType::Bool {
        f64::from(u8::from(x != 0.0))
    } else if to.is_float() {
        x
    } else if from.is_float() {
        let (lo, hi) = range(to);
        if x.is_nan() { 0.0 } else { x.trunc().clamp(lo, hi) }
    } else {
        wrap(to, x as i64)
    }
}

/// The nearest value that a dtype can hold of a real number: what a constant becomes. All NaNs become one.
pub fn round(d: DType, x: f64) -> f64 {
    match d {
        d if d.is_float() && x.is_nan() => f64::NAN,
        DType::F32 => f64::from(x as f32),
        DType::F64 | DType::Bf16 | DType::F16 => x,
        DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U32 | DType::U16 | DType::U8 | DType::Bool => {
            convert(DType::F64, d, x)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_walk_row_major() {
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(offsets(&[2, 3], &[1, 2], 0), [0, 2, 4, 1, 3, 5]);
        assert_eq!(offsets(&[], &[], 7), [7]);
        assert!(offsets(&[2, 0], &[1, 1], 0).is_empty());
    }

    #[test]
    fn conversions_wrap_truncate_and_saturate() {
        assert_eq!(wrap(DType::U8, -1), 255.0);
        assert_eq!(wrap(DType::I32, 1 << 31), -2147483648.0);
        assert_eq!(convert(DType::F32, DType::U8, 300.7), 255.0);
        assert_eq!(convert(DType::F32, DType::I32, -1.9), -1.0);
        assert_eq!(convert(DType::F32, DType::I32, f64::NAN), 0.0);
        assert_eq!(convert(DType::I32, DType::U8, -1.0), 255.0);
        assert_eq!(convert(DType::F32, DType::Bool, f64::NAN), 1.0);
    }
}
