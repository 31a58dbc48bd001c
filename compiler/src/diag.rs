//! Diagnostics: what a user is told about a program, as plain data.
//!
//! In: facts from a phase, worded by that phase. Out: one struct that the terminal renderer and the JSON printer
//! (`report.rs`) both read. Phases return their result and their diagnostics, and keep going after the first error.

use crate::source::Span;

/// How bad it is. Only errors stop a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something to know.
    Note,
    /// Legal but probably a mistake.
    Warning,
    /// The program is wrong.
    Error,
}

/// A remark attached to a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be said about the place; may be empty.
    pub message: String,
}

/// One finding: a stable code, a message, the places involved and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Stable code, `E0101` or `W0501`.
    pub code: &'static str,
    /// Severity.
    pub severity: Severity,
    /// One line: what is wrong, with concrete and symbolic sizes.
    pub message: String,
    /// Places; the first is the primary one.
    pub labels: Vec<Label>,
    /// Further facts.
    pub notes: Vec<String>,
    /// Edits that would mend it, one each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, Some(span), message)
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, Some(span), message)
    }

    /// A finding, with or without a place (an unreadable file has none).
    pub fn new(code: &'static str, severity: Severity, span: Option<Span>, message: impl Into<String>) -> Self {
        let labels = span.map(|span| Label { span, message: String::new() }).into_iter().collect();
        Diagnostic { code, severity, message: message.into(), labels, notes: vec![], help: vec![] }
    }

    /// Says something about the primary place.
    pub fn here(mut self, message: impl Into<String>) -> Self {
        if let Some(l) = self.labels.first_mut() {
            l.message = message.into();
        }
        self
    }

    /// Adds a further place.
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// Adds a fact.
    pub fn note(mut self, message: impl Into<String>) -> Self {
        self.notes.push(message.into());
        self
    }

    /// Adds an edit that would mend it.
    pub fn help(mut self, message: impl Into<String>) -> Self {
        self.help.push(message.into());
        self
    }
}
