//! Types of graph values: dtype and concrete shape, with sizes in checked arithmetic.

use nn_runtime::dtype::DType;
use smallvec::SmallVec;
use std::fmt;

/// Sizes of the axes, outermost first.
pub type Shape = SmallVec<[u64; 4]>;

/// Most axes a value may have.
pub const MAX_RANK: usize = 8;
/// Most elements a value may have: element indices are `i32` in kernels, and an f32 value stays below 4 GiB.
pub const MAX_NUMEL: u64 = (1 << 30) - 1;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorTy {
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Shape,
}

impl TensorTy {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = u64>) -> Self {
        TensorTy { dtype, shape: shape.into_iter().collect() }
    }
    /// A scalar.
    pub fn scalar(dtype: DType) -> Self {
        TensorTy { dtype, shape: Shape::new() }
    }
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// Number of elements. The verifier and the builder hold every type to [`MAX_NUMEL`], so this cannot overflow.
    pub fn numel(&self) -> u64 {
        self.shape.iter().product()
    }
    /// Number of elements if it is at most [`MAX_NUMEL`].
    pub fn checked_numel(&self) -> Option<u64> {
        let n = self.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d))?;
        (n <= MAX_NUMEL).then_some(n)
    }
    /// Bytes of a dense value.
    pub fn bytes(&self) -> u64 {
        self.numel() * self.dtype.bytes() as u64
    }
    /// The same shape with another dtype.
    pub fn with_dtype(&self, dtype: DType) -> Self {
        TensorTy { dtype, shape: self.shape.clone() }
    }
}

impl fmt::Display for TensorTy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
        }
        f.write_str("]")
    }
}
