//! `.npy` files: NumPy's header and dense values.
//!
//! In: an input, or a reader and the number of bytes it may yield (a member of an `.npz`). Out: shape and format, then
//! a column. The header is a Python dict; only the fixed form that NumPy writes is read, so it costs no recursion and
//! nothing in it is ever run. Object, string and record dtypes are refused by name;
//! column-major arrays are turned.

use super::convert::{Format, convert};
use super::input::{Input, read_up_to};
use super::{Column, ColumnSpec, Header, MAX_SOURCE_BYTES};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, printable};
use std::io::Read;

/// Longest header.
const MAX_HEADER: u64 = 1 << 16;

/// What the header says.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyHeader {
    /// Element format.
    pub format: Format,
    /// Column-major?
    pub fortran: bool,
    /// Full shape.
    pub shape: Vec<u64>,
    /// Bytes before the values.
    pub head: u64,
    /// Bytes of the values.
    pub bytes: u64,
}

impl NpyHeader {
    /// Reads a header. `available` bounds the bytes of the whole array file; `name` is the array in messages.
    pub fn read(input: &Input, name: &str, r: &mut dyn Read, available: u64) -> Result<NpyHeader, DataError> {
        let at = |code, m: String| input.error(code, if name.is_empty() { m } else { format!("array `{name}`: {m}") });
        let start = input.read_bytes(r, 8)?;
        if !start.starts_with(b"\x93NUMPY") {
            let e = at(codes::FORMAT, format!("this is not an .npy file: it starts with {:02x?}", &start[..6]));
            return Err(e.help("save it with `numpy.save`"));
        }
        let wide = match start[6] {
            1 => 2,
            2 | 3 => 4,
            v => return Err(at(codes::UNSUPPORTED, format!(".npy version {v} is not known"))),
        };
        let n = input.read_bytes(r, wide)?.iter().rev().fold(0u64, |n, &b| (n << 8) | u64::from(b));
        if n > MAX_HEADER {
            return Err(at(codes::TOO_LARGE, format!("the header has {n} bytes; the most is {MAX_HEADER}")));
        }
        let text = input.read_bytes(r, n)?;
        let dict =
            Dict::parse(&text).map_err(|why| at(codes::FORMAT, format!("the .npy header is malformed: {why}")))?;
        let format = format_of(&dict.descr).map_err(|why| {
            at(codes::UNSUPPORTED, why).help("save numbers: `numpy.save(file, array.astype(numpy.float32))`")
        })?;
        let fortran = dict.fortran;
        let shape = dict.shape;
        if shape.len() > 8 {
            return Err(at(codes::TOO_LARGE, format!("{} axes; the most is 8", shape.len())));
        }
        let size = format.dtype.bytes() as u64;
        let head = 8 + wide + n;
        let bytes = shape.iter().try_fold(size, |n, &d| n.checked_mul(d)).filter(|&b| b <= MAX_SOURCE_BYTES);
        let Some(bytes) = bytes else {
            return Err(at(codes::TOO_LARGE, format!("the shape {shape:?} in its header is larger than any data")));
        };
        if bytes.saturating_add(head) > available {
            let e =
                at(codes::LENGTH, format!("its header says {shape:?} {}, more than the file can hold", format.dtype));
            return Err(e.note(format!("the file has {}", counted(input.size(), "byte"))).help("fetch the file again"));
        }
        if shape.contains(&0) {
            return Err(at(codes::EMPTY, format!("the shape {shape:?} holds no values")));
        }
        Ok(NpyHeader { format, fortran, shape, head, bytes })
    }

    /// Reads the values that follow the header, to the end of the reader.
    pub fn values(&self, input: &Input, name: &str, r: &mut dyn Read) -> Result<Vec<u8>, DataError> {
        let bytes = input.read_bytes(r, self.bytes)?;
        if !read_up_to(r, 1).map_err(|e| input.read_error(&e))?.is_empty() {
            return Err(input.error(codes::LENGTH, "the file is longer than its header says"));
        }
        let bytes = if self.fortran && self.shape.len() > 1 {
            row_major(&bytes, &self.shape, self.format.dtype.bytes())
        } else {
            bytes
        };
        convert(self.format, bytes).map_err(|m| {
            let dtype = self.format.column_dtype();
            let row = (m.element as u64 + 1).div_ceil(self.shape.iter().skip(1).product::<u64>().max(1));
            let what = if name.is_empty() { String::new() } else { format!("array `{name}`: ") };
            input
                .error(
                    codes::OUT_OF_RANGE,
                    format_args!("{what}row {row} has the value {}, which fits no {dtype}", m.value),
                )
                .at(Some(row), Some(name.to_owned()))
        })
    }
}

/// An opened `.npy` file.
#[derive(Debug)]
pub struct NpyFile {
    input: Input,
    header: NpyHeader,
}

impl NpyFile {
    /// Reads and checks the header; `wide` keeps `f64`.
    pub fn open(input: Input, wide: bool) -> Result<NpyFile, DataError> {
        let mut header = NpyHeader::read(&input, "", &mut input.reader()?, input.max_unpacked())?;
        header.format.wide = wide;
        if header.shape.is_empty() {
            return Err(input.error(codes::COLUMNS, "a single number has no rows"));
        }
        Ok(NpyFile { input, header })
    }

    /// Rows and the one column.
    pub fn header(&self) -> Header {
        let column = ColumnSpec {
            name: "array".into(),
            dtype: self.header.format.column_dtype(),
            shape: self.header.shape.get(1..).unwrap_or_default().to_vec(),
        };
        Header { rows: self.header.shape.first().copied().unwrap_or(0), columns: vec![column], unread: vec![] }
    }

    /// Decodes the column.
    pub fn decode(self) -> Result<Column, DataError> {
        let mut r = self.input.reader()?;
        self.input.read_bytes(&mut r, self.header.head)?;
        let bytes = self.header.values(&self.input, "", &mut r)?;
        let Header { rows, columns, .. } = self.header();
        let ColumnSpec { name, dtype, shape } =
            columns.into_iter().next().unwrap_or(ColumnSpec { name: String::new(), dtype: DType::U8, shape: vec![] });
        Ok(Column { name, dtype, shape, rows, bytes, inexact: None })
    }
}

/// A column-major array as row-major. `bytes` holds exactly the elements of `shape`, which has no zeros.
fn row_major(bytes: &[u8], shape: &[u64], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut strides = vec![];
    let mut stride = size;
    for &d in shape {
        strides.push(stride);
        stride *= d as usize;
    }
    let mut index = vec![0u64; shape.len()];
    let mut at = 0;
    while out.len() < bytes.len() {
        out.extend_from_slice(&bytes[at..at + size]);
        // The next index, last axis fastest.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis] as usize;
            index[axis] = 0;
        }
    }
    out
}

/// The element format of a NumPy `descr`.
fn format_of(descr: &str) -> Result<Format, String> {
    let unsupported = || format!("elements of type '{}' are not read", printable(descr));
    let mut chars = descr.chars();
    let order = chars.next().ok_or_else(unsupported)?;
    let dtype = match chars.as_str() {
        "b1" => DType::Bool,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "u2" => DType::U16,
        "i2" => DType::I16,
        "u4" => DType::U32,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "O" => return Err("it holds Python objects, which are never loaded".into()),
        _ => return Err(unsupported()),
    };
    match order {
        '<' | '>' | '|' | '=' => Ok(Format { dtype, big_endian: order == '>', wide: false }),
        _ => Err(unsupported()),
    }
}

/// The header dict.
struct Dict {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

impl Dict {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` with keys in any order.
    fn parse(text: &[u8]) -> Result<Dict, String> {
        let mut s = Scan { text, at: 0 };
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        s.expect(b'{')?;
        while !s.eat(b'}') {
            let key = s.string()?;
            s.expect(b':')?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(s.descr()?).is_some(),
                "fortran_order" => fortran.replace(s.boolean()?).is_some(),
                "shape" => shape.replace(s.shape()?).is_some(),
                other => return Err(format!("unknown key '{}'", printable(other))),
            };
            if repeated {
                return Err(format!("'{key}' stands twice"));
            }
            if !s.eat(b',') {
                s.expect(b'}')?;
                break;
            }
        }
        if !s.rest_is_blank() {
            return Err("text after the dict".into());
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Dict { descr, fortran, shape }),
            _ => Err("'descr', 'fortran_order' or 'shape' is missing".into()),
        }
    }
}

/// A cursor over the header text.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, c: u8) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, c: u8) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("expected `{}` at byte {}", c as char, self.at)) }
    }

    fn rest_is_blank(&mut self) -> bool {
        self.peek().is_none()
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|c| matches!(c, b'\'' | b'"')).ok_or("expected a string")?;
        let start = self.at + 1;
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest.iter().position(|&c| c == quote).ok_or("a string does not end")?;
        self.at = start + len + 1;
        String::from_utf8(rest[..len].to_vec()).map_err(|_| "a string is not UTF-8".into())
    }

    fn descr(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(b'[') => Err("records are not read, only arrays of numbers".into()),
            _ => self.string(),
        }
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.peek();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text.get(self.at..).is_some_and(|t| t.starts_with(word)) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err("'fortran_order' is neither True nor False".into())
    }

    fn shape(&mut self) -> Result<Vec<u64>, String> {
        let mut shape = vec![];
        self.expect(b'(')?;
        while !self.eat(b')') {
            let mut n: Option<u64> = None;
            self.peek();
            while let Some(d) = self.text.get(self.at).filter(|c| c.is_ascii_digit()) {
                let next = n.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(d - b'0')));
                n = Some(next.ok_or("a size does not fit 64 bits")?);
                self.at += 1;
            }
            shape.push(n.ok_or("'shape' is not a tuple of sizes")?);
            if shape.len() > 64 {
                return Err("'shape' has more than 64 axes".into());
            }
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }
}
