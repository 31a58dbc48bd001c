//! Text to syntax tree.
//!
//! In: the text of a file. Out: an [`ast::File`] in the [`ast::Ast`] and the diagnostics of everything that is not
//! well-formed. `foreign` puts other languages' writing into .nn's, `layout` decides where statements end, `grammar.pest` (in `parse`) says what they may look like, `parse`
//! builds the tree item by item, so that an error in one item does not hide the others, `print` goes back to text, and
//! `format` lays the source's own text out.
//!
//! Codes of this phase: E0001 the text does not follow the grammar, E0002 a limit is passed, E0003 the file is not UTF-8,
//! E0004 a string does not end, E0005 a bracket does not match, E0006 a literal has no value (too large, bad escape),
//! E0007 operators that do not combine.

pub mod ast;
mod foreign;
pub mod format;
pub mod layout;
pub mod limits;
mod parse;
pub mod print;
#[cfg(test)]
mod tests;
mod tokens;
pub mod visit;

pub use format::format;
pub use parse::{parse, source_from_bytes};
