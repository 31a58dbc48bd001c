//! From the number formats of files to those of columns.
//!
//! In: the bytes of an array and their format. Out: `u8`, `bool`, `i32`, `f32` or, where asked for, `f64` in native byte order. What is already
//! in that form is passed on without a copy; wider values shrink in place.

use crate::dtype::DType;

/// A number format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Element type in the file.
    pub dtype: DType,
    /// Most significant byte first?
    pub big_endian: bool,
    /// Does `f64` stay, and not become `f32`?
    pub wide: bool,
}

impl Format {
    /// The dtype of the column.
    pub fn column_dtype(self) -> DType {
        match self.dtype {
            DType::U8 | DType::Bool | DType::I32 | DType::F32 => self.dtype,
            DType::F64 if self.wide => DType::F64,
            DType::F64 | DType::Bf16 | DType::F16 => DType::F32,
            DType::I64 | DType::I16 | DType::I8 | DType::U32 | DType::U16 => DType::I32,
        }
    }
}

/// A value that does not fit its column.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Element number.
    pub element: usize,
    /// The value as text.
    pub value: String,
}

/// Converts the bytes of an array. `bytes.len()` is a multiple of the element size.
pub fn convert(format: Format, mut bytes: Vec<u8>) -> Result<Vec<u8>, Misfit> {
    let size = format.dtype.bytes();
    if format.big_endian && size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    // From here on the bytes are little-endian.
    match format.dtype {
        DType::U8 => Ok(bytes),
        DType::Bool => {
            bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0));
            Ok(bytes)
        }
        DType::I32 | DType::F32 => {
            if cfg!(target_endian = "big") {
                bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
            }
            Ok(bytes)
        }
        DType::I64 => shrink(bytes, |element, b: [u8; 8]| {
            let v = i64::from_le_bytes(b);
            i32::try_from(v).map(i32::to_ne_bytes).map_err(|_| Misfit { element, value: v.to_string() })
        }),
        DType::U32 => shrink(bytes, |element, b: [u8; 4]| {
            let v = u32::from_le_bytes(b);
            i32::try_from(v).map(i32::to_ne_bytes).map_err(|_| Misfit { element, value: v.to_string() })
        }),
        DType::F64 if format.wide => {
            if cfg!(target_endian = "big") {
                bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse);
            }
            Ok(bytes)
        }
        DType::F64 => shrink(bytes, |element, b: [u8; 8]| {
            let v = f64::from_le_bytes(b);
            let w = v as f32;
            if w.is_infinite() && v.is_finite() {
                return Err(Misfit { element, value: format!("{v:e}") });
            }
            Ok(w.to_ne_bytes())
        }),
        DType::I16 => Ok(widen(&bytes, |b: [u8; 2]| i32::from(i16::from_le_bytes(b)).to_ne_bytes())),
        DType::U16 => Ok(widen(&bytes, |b: [u8; 2]| i32::from(u16::from_le_bytes(b)).to_ne_bytes())),
        DType::I8 => Ok(widen(&bytes, |b: [u8; 1]| i32::from(i8::from_le_bytes(b)).to_ne_bytes())),
        DType::F16 => Ok(widen(&bytes, |b: [u8; 2]| f16_to_f32(u16::from_le_bytes(b)).to_ne_bytes())),
        DType::Bf16 => {
            Ok(widen(&bytes, |b: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).to_ne_bytes()))
        }
    }
}

/// Column bytes of values, or the number of the first value that the dtype does not hold.
pub fn from_f64(dtype: DType, values: &[f64]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(values.len().saturating_mul(dtype.bytes()));
    for (i, &v) in values.iter().enumerate() {
        let integral = v.fract() == 0.0;
        match dtype {
            DType::F64 if v.is_finite() => out.extend(v.to_ne_bytes()),
            DType::F32 if (v as f32).is_finite() => out.extend((v as f32).to_ne_bytes()),
            DType::I32 if integral && v >= f64::from(i32::MIN) && v <= f64::from(i32::MAX) => {
                out.extend((v as i32).to_ne_bytes());
            }
            DType::U8 if integral && (0.0..=255.0).contains(&v) => out.push(v as u8),
            DType::Bool if v == 0.0 || v == 1.0 => out.push(v as u8),
            _ => return Err(i),
        }
    }
    Ok(out)
}

/// The values of column bytes.
pub fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::I32 => bytes.as_chunks().0.iter().map(|&b| f64::from(i32::from_ne_bytes(b))).collect(),
        DType::F32 => bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_ne_bytes(b))).collect(),
        DType::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_ne_bytes(b)).collect(),
        _ => bytes.iter().map(|&b| f64::from(b)).collect(),
    }
}

/// IEEE binary16 to binary32, exact.
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h >> 15) << 31;
    let exponent = u32::from(h >> 10) & 0x1f;
    let fraction = u32::from(h) & 0x3ff;
    match exponent {
        0 => {
            let magnitude = fraction as f32 * f32::from_bits(0x3380_0000); // 2^-24
            f32::from_bits(sign | magnitude.to_bits())
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

/// Rewrites elements of `N` bytes as 4 bytes in place: the write end never passes the read end.
fn shrink<const N: usize>(
    mut bytes: Vec<u8>,
    f: impl Fn(usize, [u8; N]) -> Result<[u8; 4], Misfit>,
) -> Result<Vec<u8>, Misfit> {
    let count = bytes.len() / N;
    for i in 0..count {
        let mut b = [0; N];
        b.copy_from_slice(&bytes[i * N..][..N]);
        let v = f(i, b)?;
        bytes[i * 4..][..4].copy_from_slice(&v);
    }
    bytes.truncate(count * 4);
    Ok(bytes)
}

fn widen<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> [u8; 4]) -> Vec<u8> {
    bytes.as_chunks::<N>().0.iter().flat_map(|&b| f(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dtype: DType, big_endian: bool, bytes: &[u8]) -> Result<Vec<f64>, Misfit> {
        let format = Format { dtype, big_endian, wide: false };
        convert(format, bytes.to_vec()).map(|b| values(format.column_dtype(), &b))
    }

    #[test]
    fn every_format() {
        assert_eq!(run(DType::U8, true, &[0, 255]).unwrap(), [0.0, 255.0]);
        assert_eq!(run(DType::Bool, false, &[0, 255]).unwrap(), [0.0, 1.0]);
        assert_eq!(run(DType::I8, false, &[0x80, 1]).unwrap(), [-128.0, 1.0]);
        assert_eq!(run(DType::I16, true, &[0x80, 0, 0, 1]).unwrap(), [-32768.0, 1.0]);
        assert_eq!(run(DType::U16, false, &[0xff, 0xff]).unwrap(), [65535.0]);
        assert_eq!(run(DType::I32, true, &[0xff, 0xff, 0xff, 0xfe]).unwrap(), [-2.0]);
        assert_eq!(run(DType::F32, true, &1.5f32.to_be_bytes()).unwrap(), [1.5]);
        assert_eq!(
            run(DType::F64, false, &[1.5f64.to_le_bytes(), (-2.0f64).to_le_bytes()].concat()).unwrap(),
            [1.5, -2.0]
        );
        assert_eq!(run(DType::I64, true, &(-7i64).to_be_bytes()).unwrap(), [-7.0]);
        assert_eq!(run(DType::U32, false, &7u32.to_le_bytes()).unwrap(), [7.0]);
        assert_eq!(run(DType::Bf16, false, &[0x80, 0x3f]).unwrap(), [1.0]);
        let format = Format { dtype: DType::F64, big_endian: true, wide: true };
        let bytes = convert(format, 1e300f64.to_be_bytes().to_vec()).unwrap();
        assert_eq!((format.column_dtype(), values(DType::F64, &bytes)), (DType::F64, vec![1e300]));
    }

    #[test]
    fn misfits_are_named() {
        assert_eq!(run(DType::I64, false, &(1i64 << 31).to_le_bytes()).unwrap_err().value, "2147483648");
        assert_eq!(run(DType::U32, false, &u32::MAX.to_le_bytes()).unwrap_err().element, 0);
        assert_eq!(run(DType::F64, false, &1e300f64.to_le_bytes()).unwrap_err().value, "1e300");
        assert!(run(DType::F64, false, &f64::INFINITY.to_le_bytes()).unwrap()[0].is_infinite());
    }

    #[test]
    fn half_precision_is_exact() {
        for (h, f) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0), (0x8000, -0.0)] {
            assert_eq!(f16_to_f32(h).to_bits(), f32::to_bits(f), "{h:04x}");
        }
        assert!(f16_to_f32(0x7c00).is_infinite());
        assert!(f16_to_f32(0x7e00).is_nan());
    }
}
