//! `.npz` files: a zip archive of `.npy` files, stored or deflated.
//!
//! In: an input. Out: the headers of all arrays, then columns. Only the central directory is trusted for sizes, and
//! only after it was held against the bytes of the file: a member may expand by what deflate can do and no more, all
//! members together by [`MAX_SOURCE_BYTES`], and checksums are verified. This is the little of zip that NumPy writes;
//! encryption and other methods are refused by name.

use super::input::{Input, MAX_RATIO};
use super::npy::NpyHeader;
use super::{Column, ColumnSpec, Header, MAX_COLUMNS, MAX_SOURCE_BYTES, Unread, identifier};
use crate::error::{DataError, codes, printable};
use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

/// An opened archive.
#[derive(Debug)]
pub struct NpzFile {
    input: Input,
    arrays: Vec<Array>,
    unread: Vec<Unread>,
}

#[derive(Debug)]
struct Array {
    name: String,
    member: Member,
    header: NpyHeader,
}

/// A file in the archive.
#[derive(Clone, Debug)]
struct Member {
    file: String,
    deflated: bool,
    crc: u32,
    packed: u64,
    unpacked: u64,
    local: u64,
    /// Why its bytes cannot be read.
    refused: Option<DataError>,
}

impl NpzFile {
    /// Reads the directory and the header of every array; `wide` keeps `f64`. An array whose header is not one of numbers is
    /// no error before someone asks for it.
    pub fn open(input: Input, wide: bool) -> Result<NpzFile, DataError> {
        let mut arrays: Vec<Array> = vec![];
        let mut unread: Vec<Unread> = vec![];
        let mut names = BTreeSet::new();
        let mut total = 0u64;
        for member in directory(&input)? {
            let Some(stem) = member.file.strip_suffix(".npy") else { continue };
            let name = identifier(stem);
            if !names.insert(name.clone()) {
                return Err(input.error(codes::FORMAT, format_args!("two arrays are named `{name}`")));
            }
            total = total.saturating_add(if member.refused.is_some() { 0 } else { member.unpacked });
            if total > MAX_SOURCE_BYTES || names.len() > MAX_COLUMNS {
                return Err(input.error(codes::TOO_LARGE, "the archive unpacks to more than any data"));
            }
            let header =
                member.reader(&input).and_then(|mut r| NpyHeader::read(&input, &name, &mut r, member.unpacked));
            match header {
                Ok(mut header) => {
                    header.format.wide = wide;
                    arrays.push(Array { name, member, header });
                }
                Err(why) => unread.push(Unread { name, why }),
            }
        }
        if let (true, Some(first)) = (arrays.is_empty(), unread.first()) {
            return Err(first.why.clone());
        }
        if arrays.is_empty() {
            return Err(input.error(codes::EMPTY, "the archive has no arrays").help("save them with `numpy.savez`"));
        }
        Ok(NpzFile { input, arrays, unread })
    }

    /// Rows and columns: by the first axis if all arrays share it, otherwise one row that holds the arrays whole.
    pub fn header(&self) -> Result<Header, DataError> {
        let first = self.arrays.first().and_then(|a| a.header.shape.first().copied());
        let shared = first.filter(|n| self.arrays.iter().all(|a| a.header.shape.first() == Some(n)));
        let columns = self
            .arrays
            .iter()
            .map(|a| ColumnSpec {
                name: a.name.clone(),
                dtype: a.header.format.column_dtype(),
                shape: a.header.shape.get(usize::from(shared.is_some())..).unwrap_or_default().to_vec(),
            })
            .collect();
        Ok(Header { rows: shared.unwrap_or(1), columns, unread: self.unread.clone() })
    }

    /// Leaves out arrays that nobody reads.
    pub fn only(&mut self, read: &dyn Fn(&str) -> bool) {
        self.arrays.retain(|a| read(&a.name));
        self.unread.retain(|a| read(&a.name));
    }

    /// Decodes every array.
    pub fn decode(self, header: &Header) -> Result<Vec<Column>, DataError> {
        let mut columns = vec![];
        for (a, spec) in self.arrays.iter().zip(&header.columns) {
            let mut r = a.member.reader(&self.input)?;
            self.input.read_bytes(&mut r, a.header.head)?;
            let bytes = a.header.values(&self.input, &a.name, &mut r)?;
            let ColumnSpec { name, dtype, shape } = spec.clone();
            columns.push(Column { name, dtype, shape, rows: header.rows, bytes, inexact: None });
        }
        Ok(columns)
    }
}

impl Member {
    /// A reader of the unpacked bytes that checks length and checksum when it reaches the end.
    fn reader(&self, input: &Input) -> Result<Box<dyn Read>, DataError> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        let mut file = input.raw()?;
        let local = input.read_at(&mut *file, self.local, 30)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(
                input.error(codes::FORMAT, format_args!("`{}` is not where the zip directory says", self.shown()))
            );
        }
        let skip = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let start = self.local + 30 + skip;
        if start.checked_add(self.packed).is_none_or(|end| end > input.size()) {
            return Err(input.truncated());
        }
        input.read_at(&mut *file, start, 0)?;
        let packed = BufReader::with_capacity(1 << 16, file.take(self.packed));
        let unpacked: Box<dyn Read> =
            if self.deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        Ok(Box::new(Checked { inner: unpacked, left: self.unpacked, crc: Crc::new(), expected: self.crc }))
    }

    fn shown(&self) -> String {
        printable(&self.file)
    }
}

/// Ends with an error unless length and CRC-32 are those of the directory.
struct Checked {
    inner: Box<dyn Read>,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        let damaged = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => return damaged("it is longer than the zip directory says"),
        }
        self.crc.update(buf.get(..n).unwrap_or_default());
        if n == 0 && self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if n == 0 && self.crc.sum() != self.expected {
            return damaged("its checksum is wrong");
        }
        Ok(n)
    }
}

/// The members by the central directory, in its order.
fn directory(input: &Input) -> Result<Vec<Member>, DataError> {
    let wrong = |why: &str| {
        input
            .error(codes::FORMAT, format_args!("this is not an .npz (zip) file: {why}"))
            .help("save it with `numpy.savez` or `numpy.savez_compressed`")
    };
    if input.is_gz() {
        return Err(wrong("it is compressed with gzip"));
    }
    let mut file = input.raw()?;
    let start = input.read_at(&mut *file, 0, input.size().min(4))?;
    if !start.starts_with(b"PK") {
        return Err(wrong(&format!("it starts with {start:02x?}")));
    }
    let tail_at = input.size().saturating_sub(22 + 0xffff);
    let tail = input.read_at(&mut *file, tail_at, input.size() - tail_at)?;
    let end = (0..tail.len().saturating_sub(21)).rev().find(|&i| tail[i..].starts_with(b"PK\x05\x06"));
    let Some(end) = end else {
        return Err(wrong("it has no directory at its end").note("a download that broke off looks like this"));
    };
    let count = u16_at(&tail, end + 10);
    let (size, at) = (u64::from(u32_at(&tail, end + 12)), u64::from(u32_at(&tail, end + 16)));
    if size == 0xffff_ffff || at == 0xffff_ffff || count == 0xffff {
        return Err(input.error(codes::UNSUPPORTED, "zip archives beyond 4 GiB or 65534 members are not read"));
    }
    if at.saturating_add(size) > tail_at + end as u64 {
        return Err(wrong("its directory does not fit the file"));
    }
    let dir = input.read_at(&mut *file, at, size)?;
    let mut members = vec![];
    let mut p = 0;
    for _ in 0..count {
        let entry = dir.get(p..).unwrap_or_default();
        if entry.len() < 46 || !entry.starts_with(b"PK\x01\x02") {
            return Err(wrong("its directory is malformed"));
        }
        let (name_len, extra_len, comment_len) =
            (u16_at(entry, 28) as usize, u16_at(entry, 30) as usize, u16_at(entry, 32) as usize);
        let Some(name) = entry.get(46..46 + name_len) else { return Err(wrong("its directory is malformed")) };
        let file = String::from_utf8_lossy(name).into_owned();
        let shown = printable(&file);
        let mut refused = None;
        if u16_at(entry, 8) & 1 != 0 {
            refused = Some(input.error(codes::UNSUPPORTED, format_args!("`{shown}` is encrypted")));
        }
        let method = u16_at(entry, 10);
        if !matches!(method, 0 | 8) {
            let e = input.error(codes::UNSUPPORTED, format_args!("`{shown}` is compressed by zip method {method}"));
            refused = Some(e.help("use `numpy.savez_compressed`"));
        }
        let deflated = method == 8;
        let member = Member {
            deflated,
            crc: u32_at(entry, 16),
            packed: u64::from(u32_at(entry, 20)),
            unpacked: u64::from(u32_at(entry, 24)),
            local: u64::from(u32_at(entry, 42)),
            refused,
            file,
        };
        if [member.packed, member.unpacked, member.local].contains(&0xffff_ffff) {
            return Err(input.error(codes::UNSUPPORTED, "zip archives beyond 4 GiB are not read"));
        }
        if member.local.saturating_add(30).saturating_add(member.packed) > input.size() {
            return Err(input.truncated());
        }
        let most = if deflated { member.packed.saturating_mul(MAX_RATIO) } else { member.packed };
        if member.refused.is_none() && member.unpacked > most {
            return Err(input.error(
                codes::LENGTH,
                format_args!(
                    "`{shown}` claims {} bytes, more than {} packed bytes can hold",
                    member.unpacked, member.packed
                ),
            ));
        }
        members.push(member);
        p += 46 + name_len + extra_len + comment_len;
    }
    Ok(members)
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    b.get(at..).and_then(|b| b.first_chunk()).map_or(0, |&b| u16::from_le_bytes(b))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    b.get(at..).and_then(|b| b.first_chunk()).map_or(0, |&b| u32::from_le_bytes(b))
}
