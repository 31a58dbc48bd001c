//! Arrays as NumPy reads them: an `.npy` file, or an `.npz` archive of several by name.
//!
//! In: names, shapes and little-endian values. Out: the bytes of a file. Archives are stored, not packed, as `numpy.savez`
//! writes them, and within what zip holds without its 64-bit form.

use flate2::Crc;
use nn_runtime::error::{DataError, codes};

/// An array to be saved.
pub struct Array {
    /// Its name in an archive.
    pub name: String,
    /// Its element type as NumPy spells it: `<f4`.
    pub descr: &'static str,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its values, row-major.
    pub bytes: Vec<u8>,
}

impl Array {
    /// The bytes of an `.npy` file.
    pub fn npy(&self) -> Vec<u8> {
        let dims: Vec<String> = self.shape.iter().map(|n| format!("{n},")).collect();
        let dict = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", self.descr, dims.join(" "));
        // Magic, version, length, then the text up to a multiple of 64 bytes.
        let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
        let header = format!("{dict:<width$}\n", width = length - 1);
        [&b"\x93NUMPY\x01\x00"[..], &(length as u16).to_le_bytes(), header.as_bytes(), &self.bytes].concat()
    }
}

/// The bytes of an `.npz` archive.
pub fn npz(file: &str, arrays: &[Array]) -> Result<Vec<u8>, DataError> {
    let (mut out, mut directory) = (vec![], vec![]);
    let large = || DataError::new(codes::TOO_LARGE, file, "an archive holds less than 4 GiB");
    let word = |n: usize| u32::try_from(n).ok().filter(|&n| n < u32::MAX).map(u32::to_le_bytes).ok_or_else(large);
    for a in arrays {
        let (name, bytes) = (format!("{}.npy", a.name), a.npy());
        let mut crc = Crc::new();
        crc.update(&bytes);
        let size = word(bytes.len())?;
        // Version, flags, method 0, the time 1980-01-01, checksum, both sizes, lengths of the name and of nothing.
        let mut entry = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        entry.extend(crc.sum().to_le_bytes());
        entry.extend([size, size].concat());
        entry.extend((name.len() as u16).to_le_bytes());
        entry.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&entry);
        directory.extend([0; 10]);
        directory.extend(word(out.len())?);
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(entry);
        out.extend(name.as_bytes());
        out.extend(bytes);
    }
    let (at, size) = (word(out.len())?, word(directory.len())?);
    let count = (arrays.len() as u16).to_le_bytes();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend([size, at].concat());
    out.extend([0, 0]);
    Ok(out)
}
