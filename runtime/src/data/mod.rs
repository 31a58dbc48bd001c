//! Data sources: from the spec that a `.nn` file wrote to typed columns in memory.
//!
//! In: a [`SourceSpec`] and the folders it may read from. Out, in two steps: [`open`] reads as little as it takes to
//! know the [`Header`] (rows, columns, their types), which the compiler types the program against, and
//! [`Opened::decode`] gives the [`Column`]s; it may run on another thread while the program compiles.
//!
//! Columns are `u8`, `bool`, `i32` and `f32`, and `f64` where the program asks for it. Wider and narrower numbers
//! in a file become `i32` or `f32` on the way in; an integer that does not fit is an error, never a wrapped value.
//!
//! Invariant: nothing is allocated from a length that a file gives before that length is bounded by the bytes that the
//! file has (for compressed data: by the most those bytes can expand to, and by [`MAX_SOURCE_BYTES`]).

pub mod check;
pub mod convert;
pub mod csv;
pub mod fresh;
pub mod idx;
pub mod input;
pub mod npy;
pub mod npz;
pub mod shuffle;
pub mod split;

use crate::dtype::DType;
use crate::error::{DataError, codes, counted};
use crate::paths::DataPaths;
use input::Input;

/// Most bytes that one source may decode to.
pub const MAX_SOURCE_BYTES: u64 = 1 << 36;
/// Most rows of a source: row numbers are `u32`.
pub const MAX_ROWS: u64 = (1 << 31) - 1;
/// Most columns of a source.
pub const MAX_COLUMNS: usize = 1 << 16;

/// A source as the program writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// `idx("a", "b")`: IDX files with one row count. A file of more than one axis is column `image`, a file of one axis
    /// is `label`; further ones of the same kind are `image2`, `label2`, ...
    Idx {
        /// Paths.
        files: Vec<String>,
    },
    /// `npy("a")`: one column, `array`, whose first axis is the rows.
    Npy {
        /// Path.
        file: String,
    },
    /// `npz("a")`: one column for each array, named like it. When the arrays differ in their first axis (one graph, not
    /// a table of rows), the source is one row that holds the arrays whole.
    Npz {
        /// Path.
        file: String,
    },
    /// `csv("a", skip: n, columns: {name: width, ...})`.
    Csv {
        /// Path.
        file: String,
        /// Lines to skip at the start.
        skip: u64,
        /// Names and widths of groups of adjacent columns, which together cover every row; width 1 is a scalar. Without
        /// it the first line names the columns, a scalar each.
        columns: Option<Vec<(String, u64)>>,
    },
    /// `table(x: [..], y: [..])`: values in the program.
    Table {
        /// Columns with one row count.
        columns: Vec<TableColumn>,
    },
    /// `rows(n, seed: s)`: no columns; fields draw their values.
    Rows {
        /// Rows.
        n: u64,
        /// Seed of the draws.
        seed: u64,
    },
    /// The same with `f64` numbers kept: arrays of `f64`, and columns of text with a fraction.
    Wide(Box<SourceSpec>),
}

/// A column of a `table` source.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// `f64`, `f32`, `i32`, `u8` or `bool`.
    pub dtype: DType,
    /// Full shape, rows first.
    pub shape: Vec<u64>,
    /// Values, row-major.
    pub values: Vec<f64>,
}

/// What is known of a source before it is decoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Rows.
    pub rows: u64,
    /// Columns.
    pub columns: Vec<ColumnSpec>,
    /// Columns that cannot be read: text, dates, objects. They are in nobody's way who does not ask for them.
    pub unread: Vec<Unread>,
}

/// A column that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// Its name.
    pub name: String,
    /// What is to be said to who asks for it.
    pub why: DataError,
}

/// Name and type of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape of one row.
    pub shape: Vec<u64>,
}

/// A decoded column: `rows` dense rows, native byte order.
#[derive(Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape of one row.
    pub shape: Vec<u64>,
    /// Rows.
    pub rows: u64,
    /// `rows * numel(shape) * dtype.bytes()` bytes.
    pub bytes: Vec<u8>,
    /// The first element of an `f32` column that is an integer which `f32` rounds, and how the file spells it.
    pub inexact: Option<(u64, String)>,
}

/// A source whose header was read and checked.
#[derive(Debug)]
pub struct Opened {
    header: Header,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Idx(Vec<idx::IdxFile>),
    Npy(npy::NpyFile),
    Npz(npz::NpzFile),
    Ready(Vec<Column>),
}

/// Reads the header of a source.
pub fn open(spec: &SourceSpec, paths: &DataPaths) -> Result<Opened, DataError> {
    open_with(spec, &mut |file| Input::open(paths, file))
}

/// Reads the header of a source whose files come from a function: from folders, or from memory.
pub fn open_with(
    spec: &SourceSpec,
    input: &mut dyn FnMut(&str) -> Result<Input, DataError>,
) -> Result<Opened, DataError> {
    match spec {
        SourceSpec::Wide(spec) => open_as(spec, true, input),
        spec => open_as(spec, false, input),
    }
}

fn open_as(
    spec: &SourceSpec,
    wide: bool,
    input: &mut dyn FnMut(&str) -> Result<Input, DataError>,
) -> Result<Opened, DataError> {
    let (header, inner) = match spec {
        SourceSpec::Idx { files } => {
            let files = files.iter().map(|f| idx::IdxFile::open(input(f)?, wide)).collect::<Result<Vec<_>, _>>()?;
            (idx::header(&files)?, Inner::Idx(files))
        }
        SourceSpec::Npy { file } => {
            let f = npy::NpyFile::open(input(file)?, wide)?;
            (f.header(), Inner::Npy(f))
        }
        SourceSpec::Npz { file } => {
            let f = npz::NpzFile::open(input(file)?, wide)?;
            (f.header()?, Inner::Npz(f))
        }
        SourceSpec::Csv { file, skip, columns } => {
            let (columns, unread) = csv::read(&input(file)?, *skip, columns.as_deref(), wide)?;
            (Header { unread, ..header_of(&columns) }, Inner::Ready(columns))
        }
        SourceSpec::Table { columns } => {
            let columns = table(columns, wide)?;
            (header_of(&columns), Inner::Ready(columns))
        }
        SourceSpec::Wide(spec) => return open_as(spec, true, input),
        SourceSpec::Rows { n, .. } => (Header { rows: *n, ..Header::default() }, Inner::Ready(vec![])),
    };
    let name = spec.name();
    if header.rows == 0 {
        return Err(DataError::new(codes::EMPTY, name, "there are no rows"));
    }
    if header.rows > MAX_ROWS {
        return Err(DataError::new(
            codes::TOO_LARGE,
            name,
            format_args!("{} rows; the most is {MAX_ROWS}", header.rows),
        ));
    }
    Ok(Opened { header, inner })
}

impl SourceSpec {
    /// What messages call it: its first file, or its kind.
    pub fn name(&self) -> &str {
        match self {
            SourceSpec::Idx { files } => files.first().map_or("idx", String::as_str),
            SourceSpec::Npy { file } | SourceSpec::Npz { file } | SourceSpec::Csv { file, .. } => file,
            SourceSpec::Table { .. } => "table",
            SourceSpec::Rows { .. } => "rows",
            SourceSpec::Wide(spec) => spec.name(),
        }
    }

    /// The files that it reads.
    pub fn files(&self) -> Vec<String> {
        match self {
            SourceSpec::Idx { files } => files.clone(),
            SourceSpec::Npy { file } | SourceSpec::Npz { file } | SourceSpec::Csv { file, .. } => vec![file.clone()],
            SourceSpec::Table { .. } | SourceSpec::Rows { .. } => vec![],
            SourceSpec::Wide(spec) => spec.files(),
        }
    }

    /// The source without what is said of its floats.
    pub fn plain(&self) -> &SourceSpec {
        match self {
            SourceSpec::Wide(spec) => spec.plain(),
            spec => spec,
        }
    }
}

impl Opened {
    /// Rows and columns.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Leaves out columns that nobody reads: what they hold is not looked at.
    pub fn only(mut self, read: &dyn Fn(&str) -> bool) -> Opened {
        match &mut self.inner {
            Inner::Npz(file) => file.only(read),
            Inner::Ready(columns) => columns.retain(|c| read(&c.name)),
            // One file a column or the other way round: nothing to gain.
            Inner::Idx(_) | Inner::Npy(_) => return self,
        }
        self.header.columns.retain(|c| read(&c.name));
        self.header.unread.retain(|c| read(&c.name));
        self
    }

    /// Decodes every column, in the order of the header; an error if one of them cannot be read.
    pub fn decode(self) -> Result<Vec<Column>, DataError> {
        if let Some(c) = self.header.unread.first() {
            return Err(c.why.clone());
        }
        match self.inner {
            Inner::Idx(files) => idx::decode(files, &self.header),
            Inner::Npy(file) => Ok(vec![file.decode()?]),
            Inner::Npz(file) => file.decode(&self.header),
            Inner::Ready(columns) => Ok(columns),
        }
    }
}

impl ColumnSpec {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.bytes() as u64
    }
}

impl Column {
    /// Name and type.
    pub fn spec(&self) -> ColumnSpec {
        ColumnSpec { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone() }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        if self.rows == 0 { 0 } else { self.bytes.len() / self.rows as usize }
    }

    /// One row.
    pub fn row(&self, row: u32) -> &[u8] {
        let n = self.row_bytes();
        &self.bytes[row as usize * n..][..n]
    }

    /// Copies rows in the given order into a dense batch; `out` has `rows.len() * row_bytes()` bytes.
    pub fn gather(&self, rows: &[u32], out: &mut [u8]) {
        let n = self.row_bytes();
        if n == 0 {
            return;
        }
        assert_eq!(out.len(), rows.len() * n, "batch of column `{}`", self.name);
        for (out, &row) in out.chunks_exact_mut(n).zip(rows) {
            out.copy_from_slice(&self.bytes[row as usize * n..][..n]);
        }
    }

    /// The values as `f64`, for tests and messages.
    pub fn values(&self) -> Vec<f64> {
        convert::values(self.dtype, &self.bytes)
    }
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}{:?} x {}", self.name, self.dtype, self.shape, self.rows)
    }
}

/// A name that a program can write: letters, digits and `_`, not starting with a digit.
pub fn identifier(name: &str) -> String {
    let mut s: String =
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if s.is_empty() || s.starts_with(|c: char| c.is_ascii_digit()) {
        s.insert(0, '_');
    }
    s
}

fn header_of(columns: &[Column]) -> Header {
    let rows = columns.first().map_or(0, |c| c.rows);
    Header { rows, columns: columns.iter().map(Column::spec).collect(), unread: vec![] }
}

fn table(columns: &[TableColumn], wide: bool) -> Result<Vec<Column>, DataError> {
    let mut out: Vec<Column> = vec![];
    for c in columns {
        let numel = c.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let (Some(&rows), true) = (c.shape.first(), numel == Some(c.values.len() as u64)) else {
            return Err(DataError::new(
                codes::COLUMNS,
                "table",
                format_args!("column `{}` is not rectangular", c.name),
            ));
        };
        if let Some(first) = out.first().filter(|f| f.rows != rows) {
            return Err(DataError::new(
                codes::ROWS,
                "table",
                format_args!(
                    "column `{}` has {}, column `{}` has {}",
                    c.name,
                    counted(rows, "row"),
                    first.name,
                    first.rows
                ),
            ));
        }
        let dtype = if wide && c.dtype == DType::F32 { DType::F64 } else { c.dtype };
        let bytes = convert::from_f64(dtype, &c.values).map_err(|i| {
            let value = c.values.get(i).copied().unwrap_or(f64::NAN);
            DataError::new(codes::OUT_OF_RANGE, "table", format_args!("column `{}`: {value} is no {dtype}", c.name))
        })?;
        let (name, shape) = (c.name.clone(), c.shape[1..].to_vec());
        out.push(Column { name, dtype, shape, rows, bytes, inexact: None });
    }
    Ok(out)
}
