//! The bytes of a data file: opened safely, unpacked if they are gzip, never more than were asked for.
//!
//! In: a path looked up by [`DataPaths`], or bytes in memory. Out: readers and filled buffers, with errors that tell a
//! truncated file from a damaged one. Gzip is known by its first two bytes, whatever the file is called.

use crate::error::{DataError, codes, counted};
use crate::paths::DataPaths;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// The most that one byte of deflate can expand to.
pub const MAX_RATIO: u64 = 1032;
/// Buffers grow by this, so a file that promises more than it has costs no memory.
const STEP: usize = 1 << 20;

/// A data file.
#[derive(Clone, Debug)]
pub struct Input {
    name: String,
    source: Source,
    size: u64,
    gz: bool,
}

#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

/// What an [`Input`] reads from.
pub trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

impl Input {
    /// Looks a file up and reads its first bytes.
    pub fn open(paths: &DataPaths, file: &str) -> Result<Input, DataError> {
        let path = paths.resolve(file)?;
        let mut f = File::open(&path).map_err(|e| DataError::io(file, "open", &e))?;
        let meta = f.metadata().map_err(|e| DataError::io(file, "open", &e))?;
        if !meta.is_file() {
            return Err(DataError::new(codes::PATH, file, "this is not a regular file"));
        }
        let mut start = vec![];
        f.by_ref().take(2).read_to_end(&mut start).map_err(|e| DataError::io(file, "read", &e))?;
        Ok(Input { name: file.to_owned(), source: Source::File(path), size: meta.len(), gz: is_gzip(&start) })
    }

    /// A file that the user named, wherever it is.
    pub fn at(path: &std::path::Path) -> Result<Input, DataError> {
        let name = path.to_string_lossy().into_owned();
        let missing = |e: &io::Error| match e.kind() {
            io::ErrorKind::NotFound => DataError::new(codes::NOT_FOUND, &name, "no such file"),
            _ => DataError::io(&name, "open", e),
        };
        let meta = std::fs::metadata(path).map_err(|e| missing(&e))?;
        if !meta.is_file() {
            return Err(DataError::new(codes::PATH, &name, "this is not a regular file"));
        }
        let mut f = File::open(path).map_err(|e| missing(&e))?;
        let mut start = vec![];
        f.by_ref().take(2).read_to_end(&mut start).map_err(|e| DataError::io(&name, "read", &e))?;
        Ok(Input { size: meta.len(), gz: is_gzip(&start), source: Source::File(path.to_owned()), name })
    }

    /// A file that is in memory.
    pub fn from_bytes(name: &str, bytes: impl Into<Arc<[u8]>>) -> Input {
        let bytes = bytes.into();
        Input { name: name.to_owned(), size: bytes.len() as u64, gz: is_gzip(&bytes), source: Source::Bytes(bytes) }
    }

    /// The file as the program names it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Compressed as a whole?
    pub fn is_gz(&self) -> bool {
        self.gz
    }

    /// The most bytes that it can unpack to.
    pub fn max_unpacked(&self) -> u64 {
        if self.gz { self.size.saturating_mul(MAX_RATIO) } else { self.size }
    }

    /// A reader of the unpacked bytes.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>, DataError> {
        let raw = BufReader::with_capacity(1 << 16, self.raw()?);
        Ok(if self.gz { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) })
    }

    /// The first unpacked bytes, so many or all there are.
    pub fn first_bytes(&self, n: u64) -> Result<Vec<u8>, DataError> {
        read_up_to(&mut self.reader()?, n).map_err(|e| self.read_error(&e))
    }

    /// The bytes as they are on disk.
    pub fn raw(&self) -> Result<Box<dyn Bytes>, DataError> {
        match &self.source {
            Source::File(path) => File::open(path)
                .map(|f| Box::new(f) as Box<dyn Bytes>)
                .map_err(|e| DataError::io(&self.name, "open", &e)),
            Source::Bytes(b) => Ok(Box::new(Cursor::new(b.clone()))),
        }
    }

    /// An error about this file.
    pub fn error(&self, code: &'static str, message: impl std::fmt::Display) -> DataError {
        DataError::new(code, &self.name, message)
    }

    /// What a failed read means.
    pub fn read_error(&self, e: &io::Error) -> DataError {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => self.truncated(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => self
                .error(codes::CORRUPT, format_args!("the compressed data is damaged ({})", crate::error::reason(e)))
                .help("fetch the file again"),
            _ => DataError::io(&self.name, "read", e),
        }
    }

    /// The file ends too early.
    pub fn truncated(&self) -> DataError {
        let what = if self.gz { "the compressed data ends early" } else { "the file ends early" };
        self.error(codes::LENGTH, what)
            .note(format!("it has {}", counted(self.size, "byte")))
            .help("fetch the file again")
    }

    /// Reads exactly `n` bytes. Memory grows with what is really there.
    pub fn read_bytes(&self, from: &mut dyn Read, n: u64) -> Result<Vec<u8>, DataError> {
        let buf = read_up_to(from, n).map_err(|e| self.read_error(&e))?;
        if (buf.len() as u64) < n { Err(self.truncated()) } else { Ok(buf) }
    }

    /// Fails unless the reader is at its end; for gzip this also checks the checksum.
    pub fn expect_end(&self, from: &mut dyn Read) -> Result<(), DataError> {
        match read_up_to(from, 1).map_err(|e| self.read_error(&e))?.len() {
            0 => Ok(()),
            _ => Err(self.error(codes::LENGTH, "the file is longer than its header says")),
        }
    }

    /// Reads bytes at a place of the file on disk.
    pub fn read_at(&self, file: &mut dyn Bytes, at: u64, n: u64) -> Result<Vec<u8>, DataError> {
        if at.checked_add(n).is_none_or(|end| end > self.size) {
            return Err(self.truncated());
        }
        file.seek(SeekFrom::Start(at)).map_err(|e| DataError::io(&self.name, "read", &e))?;
        self.read_bytes(&mut &mut *file, n)
    }
}

/// Reads `n` bytes, or all there are if fewer.
pub fn read_up_to(from: &mut dyn Read, n: u64) -> io::Result<Vec<u8>> {
    let n = usize::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut buf: Vec<u8> = vec![];
    buf.try_reserve_exact(n).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    while buf.len() < n {
        let start = buf.len();
        buf.resize(n.min(start.saturating_add(STEP)), 0);
        let mut filled = start;
        while filled < buf.len() {
            match from.read(&mut buf[filled..]) {
                Ok(0) => {
                    buf.truncate(filled);
                    return Ok(buf);
                }
                Ok(k) => filled += k,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(buf)
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}
