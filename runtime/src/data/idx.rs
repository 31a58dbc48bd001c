//! IDX files, the format of MNIST: a magic number with type and rank, the sizes, then the values, big-endian.
//!
//! In: inputs. Out: their header, then columns. The sizes are checked against the bytes of the file before anything
//! is allocated, and the file must end where they say.

use super::convert::{Format, convert};
use super::input::Input;
use super::{Column, ColumnSpec, Header, MAX_SOURCE_BYTES};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, printable};

/// An IDX file whose header was checked.
#[derive(Debug)]
pub struct IdxFile {
    input: Input,
    format: Format,
    dims: Vec<u64>,
    bytes: u64,
}

impl IdxFile {
    /// Reads and checks the header.
    pub fn open(input: Input, wide: bool) -> Result<IdxFile, DataError> {
        let mut r = input.reader()?;
        let wrong = |why: String| {
            let e = input.error(codes::FORMAT, format_args!("this is not an IDX file: {why}"));
            e.help("an IDX file starts with two zero bytes, the type (0x08 for u8) and the number of axes")
        };
        let magic = input.read_bytes(&mut r, 4)?;
        let dtype = match magic[..] {
            [0, 0, 0x08, _] => DType::U8,
            [0, 0, 0x09, _] => DType::I8,
            [0, 0, 0x0b, _] => DType::I16,
            [0, 0, 0x0c, _] => DType::I32,
            [0, 0, 0x0d, _] => DType::F32,
            [0, 0, 0x0e, _] => DType::F64,
            [0, 0, t, _] => return Err(wrong(format!("it has the unknown type 0x{t:02x}"))),
            _ => return Err(wrong(format!("it starts with {magic:02x?}"))),
        };
        let rank = u64::from(magic[3]);
        if !(1..=8).contains(&rank) {
            return Err(wrong(format!("it has {rank} {}", if rank == 1 { "axis" } else { "axes" })));
        }
        let sizes = input.read_bytes(&mut r, rank * 4)?;
        let dims: Vec<u64> = sizes.as_chunks().0.iter().map(|&b| u64::from(u32::from_be_bytes(b))).collect();
        if dims.contains(&0) {
            return Err(input.error(codes::EMPTY, format_args!("the sizes {dims:?} hold no values")));
        }
        let bytes = dims.iter().try_fold(dtype.bytes() as u64, |n, &d| n.checked_mul(d));
        let head = 4 + rank * 4;
        let bytes = match bytes.filter(|&n| n <= MAX_SOURCE_BYTES) {
            Some(n) => n,
            None => {
                return Err(input
                    .error(codes::TOO_LARGE, format_args!("the sizes {dims:?} in its header are larger than any data"))
                    .note(format!("the file has {}", counted(input.size(), "byte"))));
            }
        };
        if bytes.saturating_add(head) > input.max_unpacked() {
            return Err(input
                .error(codes::LENGTH, format_args!("its header says {dims:?} {dtype}, more than the file can hold"))
                .note(format!("the file has {}", counted(input.size(), "byte")))
                .help("fetch the file again"));
        }
        if !input.is_gz() && bytes + head != input.size() {
            return Err(input.error(codes::LENGTH, "the file is longer than its header says").note(format!(
                "{dims:?} {dtype} take {} bytes, the file has {}",
                bytes + head,
                input.size()
            )));
        }
        Ok(IdxFile { input, format: Format { dtype, big_endian: true, wide }, dims, bytes })
    }

    fn read(&self) -> Result<Vec<u8>, DataError> {
        let mut r = self.input.reader()?;
        self.input.read_bytes(&mut r, 4 + self.dims.len() as u64 * 4)?;
        let bytes = self.input.read_bytes(&mut r, self.bytes)?;
        self.input.expect_end(&mut r)?;
        convert(self.format, bytes).map_err(|m| {
            let row = (m.element as u64 + 1).div_ceil(self.dims.iter().skip(1).product::<u64>().max(1));
            self.input
                .error(codes::OUT_OF_RANGE, format_args!("row {row} has the value {}, which fits no f32", m.value))
                .at(Some(row), None)
        })
    }
}

/// Rows and columns of files that belong together.
pub fn header(files: &[IdxFile]) -> Result<Header, DataError> {
    let Some(first) = files.first() else {
        return Err(DataError::new(codes::EMPTY, "idx", "no files are named"));
    };
    let rows = first.dims.first().copied().unwrap_or(0);
    let (mut images, mut labels) = (0u64, 0u64);
    let mut columns = vec![];
    for f in files {
        let n = f.dims.first().copied().unwrap_or(0);
        if n != rows {
            return Err(f
                .input
                .error(
                    codes::ROWS,
                    format_args!("it has {}, {} has {rows}", counted(n, "row"), printable(first.input.name())),
                )
                .help("both files must come from the same part of the data set (train or test)"));
        }
        let shape = f.dims.get(1..).unwrap_or_default().to_vec();
        let (kind, count) = if shape.is_empty() { ("label", &mut labels) } else { ("image", &mut images) };
        *count += 1;
        let name = if *count == 1 { kind.to_owned() } else { format!("{kind}{count}") };
        columns.push(ColumnSpec { name, dtype: f.format.column_dtype(), shape });
    }
    Ok(Header { rows, columns, unread: vec![] })
}

/// Decodes the files.
pub fn decode(files: Vec<IdxFile>, header: &Header) -> Result<Vec<Column>, DataError> {
    files
        .iter()
        .zip(&header.columns)
        .map(|(f, c)| {
            let bytes = f.read()?;
            Ok(Column {
                name: c.name.clone(),
                dtype: c.dtype,
                shape: c.shape.clone(),
                rows: header.rows,
                bytes,
                inexact: None,
            })
        })
        .collect()
}
