//! Errors of a run, as plain data: what went wrong, where, and what to do about it.
//!
//! In: facts from the modules below. Out: [`DataError`] for files and [`RuntimeError`] for a whole run with its exit
//! code. Nothing here prints; `Display` is the one-line message, the notes and the help lines, without colour.

use std::fmt;
use std::path::Path;

/// Stable codes of data, weight and checkpoint errors.
pub mod codes {
    /// Weights do not fit the model.
    pub const WEIGHTS_MISFIT: &str = "E0401";
    /// A value is outside its range.
    pub const OUT_OF_RANGE: &str = "E0402";
    /// No such file.
    pub const NOT_FOUND: &str = "E0403";
    /// The path is not allowed.
    pub const PATH: &str = "E0404";
    /// The operating system refused.
    pub const IO: &str = "E0405";
    /// Not the format it should be.
    pub const FORMAT: &str = "E0406";
    /// Shorter or longer than its header says.
    pub const LENGTH: &str = "E0407";
    /// Compressed data is damaged.
    pub const CORRUPT: &str = "E0408";
    /// Larger than a limit.
    pub const TOO_LARGE: &str = "E0409";
    /// An element type or layout that is not read.
    pub const UNSUPPORTED: &str = "E0410";
    /// A CSV row with too few or too many cells.
    pub const RAGGED: &str = "E0411";
    /// A CSV cell that is no number.
    pub const NOT_A_NUMBER: &str = "E0412";
    /// There is no data.
    pub const EMPTY: &str = "E0413";
    /// Files or arrays disagree on the number of rows.
    pub const ROWS: &str = "E0414";
    /// The columns asked for are not what the file has.
    pub const COLUMNS: &str = "E0415";
    /// A weight file is damaged.
    pub const WEIGHTS: &str = "E0416";
    /// Could not write.
    pub const SAVE: &str = "E0417";
    /// A checkpoint belongs to another run or is damaged.
    pub const CHECKPOINT: &str = "E0418";
    /// Weights, or what they give, are NaN or infinite: a loss, a metric that is looked at, predictions.
    pub const NOT_FINITE: &str = "E0419";
    /// A loss, parameter or state became NaN or infinite while training.
    pub const DIVERGED: &str = "E0501";
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as the program names it.
    pub file: String,
    /// Line of a text file, or row of a table, from 1.
    pub row: Option<u64>,
    /// Column by name, or by number from 1.
    pub column: Option<String>,
}

/// Something is wrong with a file: exit code 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// Stable code, one of [`codes`].
    pub code: &'static str,
    /// One line, which names the file and the place.
    pub message: String,
    /// The place for tools.
    pub place: Box<Place>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What would mend it, one each.
    pub help: Vec<String>,
}

impl DataError {
    /// An error about a file; the message is put after the file's name.
    pub fn new(code: &'static str, file: &str, message: impl fmt::Display) -> Self {
        DataError {
            code,
            message: format!("{}: {message}", printable(file)),
            place: Box::new(Place { file: file.to_owned(), row: None, column: None }),
            notes: vec![],
            help: vec![],
        }
    }

    /// An error of the operating system, worded by what was attempted.
    pub fn io(file: &str, doing: &str, e: &std::io::Error) -> Self {
        let err = DataError::new(codes::IO, file, format_args!("cannot {doing}: {}", reason(e)));
        match e.kind() {
            std::io::ErrorKind::PermissionDenied => err.help("check the permissions of the file and its folder"),
            _ => err,
        }
    }

    /// Sets the row and column for tools.
    pub fn at(mut self, row: Option<u64>, column: Option<String>) -> Self {
        self.place.row = row;
        self.place.column = column;
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what would mend it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]: {}", self.code, self.message)?;
        for n in &self.notes {
            write!(f, "\n  note: {n}")?;
        }
        for h in &self.help {
            write!(f, "\n  help: {h}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DataError {}

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuntimeError {
    /// A file could not be read or written, or is wrong.
    #[error("error{0}")]
    Data(#[from] DataError),
    /// A resource limit or a missing device.
    #[error("error: limit: {0}")]
    Limit(String),
    /// The loss or a parameter became NaN or infinite.
    #[error("error: {what} is {value} at step {step} (epoch {epoch})")]
    NonFinite {
        /// `loss`, `val.loss`, or a parameter's path.
        what: String,
        /// The value, `NaN` or `inf`.
        value: f64,
        /// Step, from 1.
        step: u64,
        /// Epoch, from 1.
        epoch: u64,
        /// What the file of the weights holds, where there is to be one.
        weights: Option<String>,
    },
    /// Weights from a file are NaN or infinite, or give a loss, a metric or predictions that are.
    #[error("error{0}")]
    NotFinite(DataError),
    /// The plan asks for something impossible. A defect of the caller: the compiler rules it out.
    #[error("internal error: {0}")]
    Bug(String),
}

impl RuntimeError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            RuntimeError::Data(_) => 3,
            RuntimeError::Limit(_) => 4,
            RuntimeError::NonFinite { .. } | RuntimeError::NotFinite(_) => 5,
            RuntimeError::Bug(_) => 70,
        }
    }
}

/// Text from a file or path with control characters escaped, cut to a length that fits a message.
pub fn printable(s: &str) -> String {
    let mut out = String::new();
    for (i, c) in s.chars().enumerate() {
        if i == 120 {
            out.push_str("...");
            break;
        }
        if c.is_control() || is_bidi(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A path as messages show it.
pub fn show_path(p: &Path) -> String {
    printable(&p.to_string_lossy())
}

/// The reason of an operating system error, without its number.
pub fn reason(e: &std::io::Error) -> String {
    let s = e.to_string();
    match s.find(" (os error") {
        Some(i) => s.chars().take(s.get(..i).map_or(0, |p| p.chars().count())).collect(),
        None => printable(&s),
    }
}

/// `1 cell`, `2 cells`
pub fn counted(n: impl Into<u64>, one: &str) -> String {
    let n = n.into();
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// The candidate nearest to a name by edit distance, if it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for c in candidates {
        if c == name || c.len() > 256 || name.len() > 256 {
            continue;
        }
        let d = edit_distance(&name.to_lowercase(), &c.to_lowercase());
        if d <= limit && best.is_none_or(|(b, _)| d < b) {
            best = Some((d, c));
        }
    }
    best.map(|(_, c)| c)
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, &cb) in row.iter_mut().skip(1).zip(&b) {
            let up = *cell;
            left = if ca == cb { diagonal } else { 1 + diagonal.min(up).min(left) };
            diagonal = up;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        assert_eq!(nearest("train-imges.gz", ["train-labels.gz", "train-images.gz"]), Some("train-images.gz"));
        assert_eq!(nearest("abc", ["xyz"]), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
    }

    #[test]
    fn exit_codes() {
        assert_eq!(RuntimeError::from(DataError::new(codes::IO, "f", "x")).exit_code(), 3);
        assert_eq!(RuntimeError::Limit("x".into()).exit_code(), 4);
        let e = RuntimeError::NonFinite { what: "loss".into(), value: f64::NAN, step: 7, epoch: 1, weights: None };
        assert_eq!(e.exit_code(), 5);
        assert_eq!(e.to_string(), "error: loss is NaN at step 7 (epoch 1)");
    }
}
