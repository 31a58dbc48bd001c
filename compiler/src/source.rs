//! Source files and positions in them.
//!
//! In: file names and texts, already read (this module does no input or output). Out: [`Span`]s that every later
//! stage carries, and the line and column of any of them. First in the pipeline because everything refers to it.

use std::sync::Arc;

/// A source file of the program; an index into [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A byte range in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file the range lies in.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that holds both; `self` decides the file.
    pub fn to(self, other: Span) -> Span {
        if other.file != self.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One file: its name as the user gave it and its text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Shown in messages; std files read `std/nn.nn`.
    pub name: Arc<str>,
    /// The original bytes, valid UTF-8.
    pub text: Arc<str>,
    /// Byte offset of every line start.
    lines: Vec<u32>,
}

/// A line and column, both from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCol {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
}

/// All files of one compilation.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a file and returns its id.
    pub fn add(&mut self, name: &str, text: &str) -> FileId {
        let id = FileId(self.files.len() as u32);
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        self.files.push(SourceFile { name: name.into(), text: text.into(), lines });
        id
    }

    /// The file behind an id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Every file with its id, in the order added.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (FileId(i as u32), f))
    }

    /// The text a span covers.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a byte offset.
    pub fn line_col(&self, file: FileId, offset: u32) -> LineCol {
        let f = self.file(file);
        let line = f.lines.partition_point(|&s| s <= offset).max(1) - 1;
        let start = f.lines[line] as usize;
        let end = (offset as usize).min(f.text.len());
        let col = f.text.get(start..end).map_or(0, |s| s.chars().count());
        LineCol { line: line as u32 + 1, col: col as u32 + 1 }
    }

    /// `file:line:col` of a span's start.
    pub fn locate(&self, span: Span) -> String {
        let p = self.line_col(span.file, span.start);
        format!("{}:{}:{}", self.file(span.file).name, p.line, p.col)
    }
}
