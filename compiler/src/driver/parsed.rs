//! One file, read and parsed, for the commands that need no more than its syntax.
//!
//! In: a path, or the bytes of a text. Out: its tree and what is wrong with it. No other file is opened: neither what
//! it uses nor its data.

use super::{read_error, read_source};
use crate::diag::Diagnostic;
use crate::source::{FileId, SourceMap};
use crate::syntax::ast::Ast;
use crate::syntax::{self, source_from_bytes};
use nn_runtime::error::DataError;
use std::path::Path;

/// A parsed file.
pub struct Parsed {
    /// The file alone.
    pub sources: SourceMap,
    /// Its tree.
    pub ast: Ast,
    /// What is wrong with it.
    pub diags: Vec<Diagnostic>,
    /// Which file of the map it is.
    pub file: FileId,
}

impl Parsed {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.sources.file(self.file).text
    }
}

/// Reads and parses a file.
pub fn parse_file(path: &Path) -> Result<Parsed, DataError> {
    let name = path.to_string_lossy().into_owned();
    let bytes = read_source(path).map_err(|e| read_error(&name, &e))?;
    Ok(parse_bytes(&name, bytes))
}

/// Parses the bytes of a text.
pub fn parse_bytes(name: &str, bytes: Vec<u8>) -> Parsed {
    let (mut sources, mut ast) = (SourceMap::default(), Ast::default());
    match source_from_bytes(name, bytes) {
        Ok(text) => {
            let file = sources.add(name, &text);
            let diags = syntax::parse(&mut ast, file, &text);
            Parsed { sources, ast, diags, file }
        }
        Err(d) => {
            let file = sources.add(name, "");
            Parsed { sources, ast, diags: vec![d], file }
        }
    }
}
