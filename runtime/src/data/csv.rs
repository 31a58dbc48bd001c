//! CSV files of numbers, plain or gzip.
//!
//! In: an input, lines to skip, and either groups of columns or a first line that names them. Out: columns, `i32` where
//! every value is an integer in range and `f32` (`f64` where asked for) otherwise. A wrong cell is told by line and column to who
//! reads its column. The whole file is
//! read at once, since the types depend on every value; a value takes four bytes, or eight.

use super::input::Input;
use super::{Column, MAX_COLUMNS, MAX_ROWS, MAX_SOURCE_BYTES, Unread, identifier};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, printable};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

/// From here on an `f64` does not hold every integer.
const TWO_53: f64 = 9_007_199_254_740_992.0;
/// Longest line.
const MAX_LINE: u64 = 16 << 20;
/// A compressed file may expand this much before the ratio is looked at.
const FREE_EXPANSION: u64 = 32 << 20;
/// The most it may expand beyond that.
const TEXT_RATIO: u64 = 500;

/// Reads a file: its columns, and those that hold something else than numbers with their first such cell.
pub fn read(
    input: &Input,
    skip: u64,
    groups: Option<&[(String, u64)]>,
    wide: bool,
) -> Result<(Vec<Column>, Vec<Unread>), DataError> {
    let mut lines = Lines::open(input, skip)?;
    let mut record = csv::ByteRecord::new();
    let mut named = match groups {
        Some(groups) => Groups::new(input, groups)?,
        None => {
            if lines.next(&mut record)?.is_none() {
                return Err(empty(input));
            }
            Groups::from_header(input, &record)?
        }
    };
    named.groups.iter_mut().for_each(|g| g.wide = wide);
    let mut rows = 0u64;
    while let Some(end) = lines.next(&mut record)? {
        let line = || begin(end, &record);
        if record.len() as u64 == named.width {
            rows += 1;
        } else {
            let first = rows == 0 && skip == 0;
            return Err(named.ragged(input, first, line(), &record, groups.is_some()));
        }
        if rows > MAX_ROWS {
            return Err(input.error(codes::TOO_LARGE, format_args!("more than {MAX_ROWS} rows")));
        }
        let mut cells = record.iter().enumerate();
        for group in &mut named.groups {
            for (i, cell) in cells.by_ref().take(group.width as usize) {
                if group.failed.is_none()
                    && let Err(why) = group.push(cell)
                {
                    group.failed = Some(not_a_number(input, line(), i as u64 + 1, &group.name, cell, why));
                }
            }
        }
    }
    if rows == 0 {
        return Err(empty(input));
    }
    let (mut columns, mut unread) = (vec![], vec![]);
    for mut group in named.groups {
        match group.failed.take() {
            None => columns.push(group.column(rows)),
            Some(why) => unread.push(Unread { name: group.name, why }),
        }
    }
    match unread.iter().min_by_key(|u| u.why.place.row) {
        Some(first) if columns.is_empty() => Err(first.why.clone()),
        _ => Ok((columns, unread)),
    }
}

/// The records of a file.
pub(super) struct Lines<'i> {
    input: &'i Input,
    csv: csv::Reader<BufReader<Guard<Box<dyn Read + Send>>>>,
    skip: u64,
}

impl<'i> Lines<'i> {
    /// Begins after so many lines.
    pub(super) fn open(input: &'i Input, skip: u64) -> Result<Lines<'i>, DataError> {
        let limit =
            if input.is_gz() { (input.size().saturating_mul(TEXT_RATIO)).max(FREE_EXPANSION) } else { u64::MAX };
        let guard = Guard {
            inner: input.reader()?,
            limit: limit.min(MAX_SOURCE_BYTES),
            total: 0,
            line: 0,
            last: b'\n',
            held: false,
        };
        let mut text = BufReader::with_capacity(1 << 16, guard);
        if text.fill_buf().map_err(|e| failed(input, &e))?.starts_with(b"\xef\xbb\xbf") {
            text.consume(3);
        }
        if text.fill_buf().map_err(|e| failed(input, &e))?.contains(&0) {
            return Err(binary(input, text.fill_buf().unwrap_or_default()));
        }
        for _ in 0..skip {
            let n = text.skip_until(b'\n').map_err(|e| failed(input, &e))?;
            if n == 0 {
                return Err(empty(input));
            }
        }
        let mut builder = csv::ReaderBuilder::new();
        let csv = builder.has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
        Ok(Lines { input, csv, skip })
    }

    /// Reads the next record; the line that it ends on. (Its position is where the reader stood before any blank lines.)
    pub(super) fn next(&mut self, record: &mut csv::ByteRecord) -> Result<Option<u64>, DataError> {
        let more = self.csv.read_byte_record(record).map_err(|e| csv_failed(self.input, &e))?;
        Ok(more.then(|| self.csv.position().line().saturating_sub(1).saturating_add(self.skip)))
    }
}

/// The line that a record begins on, from the one it ends on.
pub(super) fn begin(end: u64, record: &csv::ByteRecord) -> u64 {
    end.saturating_sub(newlines(record)).max(1)
}

struct Groups {
    groups: Vec<Group>,
    width: u64,
}

/// A column under way.
pub(super) struct Group {
    pub(super) name: String,
    width: u64,
    values: Values,
    inexact: Option<(u64, String)>,
    /// Floats are `f64`.
    wide: bool,
    /// The first cell that is no number.
    failed: Option<DataError>,
}

/// Integers until the first value that is none.
enum Values {
    I32(Vec<i32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Groups {
    fn new(input: &Input, groups: &[(String, u64)]) -> Result<Groups, DataError> {
        let width = groups.iter().try_fold(0u64, |n, (_, w)| n.checked_add(*w));
        let width = match width.filter(|&w| w <= MAX_COLUMNS as u64) {
            Some(0) => return Err(input.error(codes::COLUMNS, "`columns` names no columns")),
            Some(w) => w,
            None => return Err(input.error(codes::TOO_LARGE, format_args!("more than {MAX_COLUMNS} columns"))),
        };
        if let Some((name, _)) = groups.iter().find(|(_, w)| *w == 0) {
            return Err(input.error(codes::COLUMNS, format_args!("column `{name}` has width 0")));
        }
        let groups = groups.iter().map(|(name, width)| Group::new(name.clone(), *width)).collect();
        Ok(Groups { groups, width })
    }

    fn from_header(input: &Input, record: &csv::ByteRecord) -> Result<Groups, DataError> {
        if record.len() > MAX_COLUMNS {
            return Err(input.error(codes::TOO_LARGE, format_args!("more than {MAX_COLUMNS} columns")));
        }
        if record.iter().all(|cell| parse(cell, true).is_ok()) {
            return Err(input
                .error(codes::COLUMNS, "the first line holds numbers, so nothing names the columns")
                .help(format!(
                    "`columns: {{ x: {}, y: 1 }}` names groups of columns",
                    record.len().saturating_sub(1).max(1)
                )));
        }
        let mut seen = BTreeSet::new();
        let mut groups = vec![];
        for cell in record {
            let name = identifier(&String::from_utf8_lossy(cell));
            if !seen.insert(name.clone()) {
                return Err(input
                    .error(codes::COLUMNS, format_args!("two columns are named `{}`", printable(&name)))
                    .help("`skip: 1` skips that line, `columns: { name: width, .. }` names groups of columns"));
            }
            groups.push(Group::new(name, 1));
        }
        Ok(Groups { width: groups.len() as u64, groups })
    }

    /// A row of another length; `first` is the first of a file of which no line is skipped.
    fn ragged(&self, input: &Input, first: bool, line: u64, record: &csv::ByteRecord, by_spec: bool) -> DataError {
        let cells = record.len() as u64;
        let err = input
            .error(codes::RAGGED, format_args!("line {line} has {}, expected {}", counted(cells, "cell"), self.width))
            .at(Some(line), None);
        if by_spec {
            let parts: Vec<String> = self.groups.iter().map(|g| format!("{} {}", g.name, g.width)).collect();
            let err = err.note(format!("`columns` adds up to {} ({})", self.width, parts.join(" + ")));
            match separator(record) {
                Some(found) => err.help(by_commas(found)),
                None if first => err.help("if the first lines are no data, `skip: 1` skips one"),
                None => err.help(format!("the widths in `columns` must add up to {cells}")),
            }
        } else {
            let err = err.note(format!("the first line names {}", counted(self.width, "column")));
            let groups = cells.saturating_sub(1).max(1);
            if !first {
                return err;
            }
            err.help(format!("if the first line names no columns: `skip: 1, columns: {{ x: {groups}, y: 1 }}`"))
        }
    }
}

impl Group {
    pub(super) fn new(name: String, width: u64) -> Group {
        Group { name, width, values: Values::I32(vec![]), inexact: None, wide: false, failed: None }
    }

    /// The same with floats of `f64`.
    pub(super) fn wide(self, wide: bool) -> Group {
        Group { wide, ..self }
    }

    pub(super) fn push(&mut self, cell: &[u8]) -> Result<(), &'static str> {
        let number = parse(cell, self.wide)?;
        let at = match &self.values {
            Values::I32(all) => all.len(),
            Values::F32(all) => all.len(),
            Values::F64(all) => all.len(),
        };
        match (number, &mut self.values) {
            (Number::Int(v), Values::I32(all)) => all.push(v),
            (Number::Int(v), Values::F32(all)) => all.push(v as f32),
            (Number::Int(v), Values::F64(all)) => all.push(v.into()),
            (Number::Float(v), Values::F32(all)) => all.push(v as f32),
            (Number::Float(v), Values::F64(all)) => all.push(v),
            (Number::Float(v), Values::I32(ints)) if self.wide => {
                self.values = Values::F64(ints.iter().map(|&i| i.into()).chain([v]).collect());
            }
            (Number::Float(v), Values::I32(ints)) => {
                self.values = Values::F32(ints.iter().map(|&i| i as f32).chain([v as f32]).collect());
            }
        }
        if self.inexact.is_none() && is_long_integer(cell) {
            self.inexact = Some((at as u64, printable(&String::from_utf8_lossy(cell))));
        }
        Ok(())
    }

    pub(super) fn column(self, rows: u64) -> Column {
        let (dtype, bytes) = match self.values {
            Values::I32(v) => (DType::I32, v.into_iter().flat_map(i32::to_ne_bytes).collect()),
            Values::F64(v) => (DType::F64, v.into_iter().flat_map(f64::to_ne_bytes).collect()),
            Values::F32(v) => (DType::F32, v.into_iter().flat_map(f32::to_ne_bytes).collect()),
        };
        let shape = if self.width == 1 { vec![] } else { vec![self.width] };
        let inexact = self.inexact.filter(|_| dtype == DType::F32);
        Column { name: self.name, dtype, shape, rows, bytes, inexact }
    }
}

/// Line ends within quoted cells.
fn newlines(record: &csv::ByteRecord) -> u64 {
    record.as_slice().iter().filter(|&&c| c == b'\n').count() as u64
}

/// A cell.
pub(super) enum Number {
    Int(i32),
    /// Rounded to `f32`, unless `f64` is wanted.
    Float(f64),
}

pub(super) fn parse(cell: &[u8], wide: bool) -> Result<Number, &'static str> {
    let text = std::str::from_utf8(cell).map_err(|_| "is not text")?;
    if text.is_empty() {
        return Err("is empty");
    }
    if let Ok(v) = text.parse::<i32>() {
        return Ok(Number::Int(v));
    }
    // Text to f32 in one rounding, not by way of f64.
    let number = if wide { text.parse::<f64>() } else { text.parse::<f32>().map(f64::from) };
    match number {
        Ok(v) if wide && v.abs() >= TWO_53 && is_other_integer(text, v) => {
            Err("is an integer that no f64 holds exactly")
        }
        Ok(v) if v.is_finite() => Ok(Number::Float(v)),
        Ok(_) => Err(if wide { "is not a finite f64" } else { "is not a finite f32" }),
        Err(_) => Err("is not a number"),
    }
}

/// Is the text an integer, and another one than this? Numbers with a point or an exponent are taken as measured.
fn is_other_integer(text: &str, v: f64) -> bool {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) && format!("{:.0}", v.abs()) != digits
}

/// An integer of eight digits or more: beyond 2^24, where `f32` rounds integers.
fn is_long_integer(cell: &[u8]) -> bool {
    let digits = cell.strip_prefix(b"-").or(cell.strip_prefix(b"+")).unwrap_or(cell);
    digits.len() >= 8 && digits.iter().all(u8::is_ascii_digit) && {
        let text = std::str::from_utf8(cell).unwrap_or_default();
        text.parse::<f64>().is_ok_and(|v| v.abs() > 16_777_216.0)
    }
}

fn not_a_number(input: &Input, line: u64, cell: u64, name: &str, text: &[u8], why: &str) -> DataError {
    let apart = apart(text);
    let text = printable(&String::from_utf8_lossy(text));
    let found = if text.is_empty() { String::new() } else { format!(": `{text}`") };
    let e = input.error(codes::NOT_A_NUMBER, format_args!("line {line}, cell {cell} (column `{name}`) {why}{found}"));
    let e = e.at(Some(line), Some(name.to_owned()));
    if let Some(found) = apart {
        e.help(by_commas(found))
    } else if why == "is empty" || text.eq_ignore_ascii_case("na") || text.eq_ignore_ascii_case("nan") || text == "?" {
        e.help("missing values must be filled in or their rows left out before training")
    } else if line <= 1 {
        e.help("if the first lines are no data, `skip: 1` skips one")
    } else {
        e.help("every cell must be a number; give classes numbers from 0")
    }
}

/// What stands between the cells of a line that is one cell.
fn separator(record: &csv::ByteRecord) -> Option<&'static str> {
    if record.len() == 1 { apart(record.get(0)?) } else { None }
}

/// What parts a cell in two that other programs would take for more.
fn apart(cell: &[u8]) -> Option<&'static str> {
    [(b';', "`;`"), (b'\t', "tabs"), (b'|', "`|`")].into_iter().find(|(c, _)| cell.contains(c)).map(|(_, name)| name)
}

fn by_commas(found: &str) -> String {
    format!("cells are separated by commas, here by {found}: replace them in the file")
}

/// The error of a file that is no text.
fn binary(input: &Input, start: &[u8]) -> DataError {
    let e = input.error(codes::FORMAT, "this is a binary file, not the text of a table");
    match start {
        [b'P', b'K', ..] => e.help("`npz(..)` reads archives of arrays"),
        [0x93, b'N', b'U', b'M', ..] => e.help("`npy(..)` reads arrays"),
        _ => e.help("`csv(..)` reads lines of numbers with commas between them"),
    }
}

fn empty(input: &Input) -> DataError {
    input.error(codes::EMPTY, "there are no rows")
}

fn failed(input: &Input, e: &io::Error) -> DataError {
    match e.kind() {
        io::ErrorKind::FileTooLarge => input.error(codes::TOO_LARGE, crate::error::reason(e)),
        _ => input.read_error(e),
    }
}

fn csv_failed(input: &Input, e: &csv::Error) -> DataError {
    match e.kind() {
        csv::ErrorKind::Io(io) => failed(input, io),
        _ => input.error(codes::FORMAT, printable(&e.to_string())),
    }
}

/// Stops a reader that yields too much, in all or without a line end, and ends the last line if the file does not.
pub(super) struct Guard<R> {
    inner: R,
    limit: u64,
    total: u64,
    line: u64,
    last: u8,
    /// A carriage return was read and not passed on yet.
    held: bool,
}

impl<R: Read> Guard<R> {
    /// Reads with `\n` for `\r\n`: the parser of records counts lines by the first character of the two.
    fn lines(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = buf.split_first_mut().filter(|(_, rest)| !rest.is_empty()) else {
            return self.inner.read(buf);
        };
        loop {
            let held = std::mem::take(&mut self.held);
            *first = b'\r';
            let n = self.inner.read(rest)?;
            if n == 0 {
                return Ok(usize::from(held));
            }
            // What is kept moves to the front; `from` is where the bytes begin, `first` being the one held.
            let mut kept = 0;
            let keep = |kept: &mut usize, c: u8, first: &mut u8, rest: &mut [u8]| {
                match kept.checked_sub(1) {
                    None => *first = c,
                    Some(i) => rest[i] = c,
                }
                *kept += 1;
            };
            let mut before = held;
            for i in 0..n {
                let c = rest[i];
                if before && c != b'\n' {
                    keep(&mut kept, b'\r', first, rest);
                }
                before = c == b'\r';
                if !before {
                    keep(&mut kept, c, first, rest);
                }
            }
            self.held = before;
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut n = self.lines(buf)?;
        if let (0, true, Some(first)) = (n, self.last != b'\n', buf.first_mut()) {
            *first = b'\n';
            n = 1;
        }
        if let Some(&last) = buf.get(..n).and_then(<[u8]>::last) {
            self.last = last;
        }
        self.total = self.total.saturating_add(n as u64);
        self.line = match buf.get(..n).and_then(|b| b.iter().rposition(|&c| c == b'\n')) {
            Some(last) => (n - last) as u64,
            None => self.line.saturating_add(n as u64),
        };
        if self.total > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to more than any table it could hold"));
        }
        if self.line > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a line is longer than 16 MiB"));
        }
        Ok(n)
    }
}
