//! Diagnostics: what a user is told about a program, as plain data.
//!
//! In: facts from a phase, worded by that phase. Out: one struct that the terminal renderer and the JSON printer
//! (`report.rs`) both read. Phases return their result and their diagnostics, and keep going after the first error.
//!
//! What to write. The message says what is wrong; [`Diagnostic::here`] what is to be seen at the place; a further label
//! where a size or name comes from; a note the rule. What would mend it is either words ([`Diagnostic::help`]) or an edit
//! ([`Diagnostic::fix`]): whenever a help shows the code to write, it says where as well, so that an editor can make the
//! change and `tests/spec.rs` can check it: every edit of every program there is applied, and the finding must be gone.
//! A rule speaks of its own place; `edits.rs` tries its edit on the program, carries it on through what comes next in the
//! same code, and takes it back to words where it leads nowhere.
//! In the words and in the text of an edit `{0}`, `{1}` and `{2}` stand for the source text under the first labels,
//! in parentheses where it is more than a name, a call or an access; [`Diagnostic::filled`] puts it in.
//!
//! ```ignore
//! Diagnostic::error("E0202", a.span, "u8 and 255.0 do not mix")
//!     .here("this is u8[784]")
//!     .fix("convert it: `{0} as f32`", [Edit::replace(a.span, "{0} as f32")])
//! ```

use crate::source::Span;

/// How the help begins that suggests a name in a name's place.
pub const DID_YOU_MEAN: &str = "did you mean";

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

/// A change of the text: what a span covers becomes `text`. An empty span inserts, an empty text removes.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub text: String,
}

impl Edit {
    /// Other text in the place of a span.
    pub fn replace(span: Span, text: impl Into<String>) -> Edit {
        Edit { span, text: text.into() }
    }

    /// Text in front of a span.
    pub fn before(span: Span, text: impl Into<String>) -> Edit {
        Edit::replace(Span { end: span.start, ..span }, text)
    }

    /// Text behind a span.
    pub fn after(span: Span, text: impl Into<String>) -> Edit {
        Edit::replace(Span { start: span.end, ..span }, text)
    }
}

/// What would mend a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Help {
    /// In words.
    pub message: String,
    /// The change, if it is one of the text; spans do not overlap.
    pub edits: Vec<Edit>,
}

impl From<&str> for Help {
    fn from(message: &str) -> Help {
        message.to_owned().into()
    }
}

impl From<String> for Help {
    fn from(message: String) -> Help {
        Help { message, edits: vec![] }
    }
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
    /// What would mend it: each is one way by itself.
    pub help: Vec<Help>,
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

    /// Adds words on what would mend it.
    pub fn help(mut self, message: impl Into<Help>) -> Self {
        self.help.push(message.into());
        self
    }

    /// Adds an edit that would mend it, with its words. Applied to the text, the finding must be gone.
    pub fn fix(mut self, message: impl Into<String>, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.help.push(Help { message: message.into(), edits: edits.into_iter().collect() });
        self
    }

    /// Suggests another name in a name's place.
    pub fn rename(self, span: Span, name: &str) -> Self {
        self.fix(format!("{DID_YOU_MEAN} `{name}`?"), [Edit::replace(span, name)])
    }

    /// `{0}`, `{1}` and `{2}` in helps become the source text of that label; in words, `..` stands for a long one.
    pub fn filled<'s>(mut self, text: impl Fn(Span) -> &'s str) -> Self {
        for (i, l) in self.labels.iter().enumerate().take(3) {
            let key = format!("{{{i}}}");
            for h in &mut self.help {
                if h.message.contains(&key) {
                    h.message = h.message.replace(&key, &shown(&operand(text(l.span))));
                }
                for e in h.edits.iter_mut().filter(|e| e.text.contains(&key)) {
                    e.text = e.text.replace(&key, &operand(text(l.span)));
                }
            }
        }
        self
    }
}

/// An operand as it can stand before `[..]` or `as`.
pub fn operand(text: &str) -> String {
    let mut depth = 0i32;
    let simple = text.chars().all(|c| {
        depth += i32::from(matches!(c, '(' | '[' | '{')) - i32::from(matches!(c, ')' | ']' | '}'));
        depth > 0 || c.is_alphanumeric() || matches!(c, '_' | '.' | ')' | ']' | '}')
    });
    if simple { text.to_owned() } else { format!("({text})") }
}

/// Code as it stands in a line of words: `..` for a long one.
pub fn shown(code: &str) -> String {
    if code.is_empty() || code.len() > 42 || code.contains('\n') { "..".to_owned() } else { code.to_owned() }
}

/// The text after some edits; spans are of that text and do not overlap.
pub fn edited(text: &str, edits: &[Edit]) -> String {
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|e| (e.span.start, e.span.end));
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for e in order {
        let (start, end) = (e.span.start as usize, e.span.end as usize);
        out.push_str(text.get(at..start).unwrap_or(""));
        out.push_str(&e.text);
        at = end.max(at);
    }
    out + text.get(at..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn at(start: u32, end: u32) -> Span {
        Span { file: FileId(0), start, end }
    }

    #[test]
    fn edits_apply_in_any_order() {
        let edits = [Edit::replace(at(4, 5), "long"), Edit::before(at(0, 1), "("), Edit::after(at(0, 1), ")")];
        assert_eq!(edited("a + b", &edits), "(a) + long");
        assert_eq!(edited("a + b", &[Edit::replace(at(1, 5), "")]), "a");
    }

    #[test]
    fn operands_get_parentheses_where_they_need_them() {
        for (text, want) in [("x", "x"), ("f(a + b)[0]", "f(a + b)[0]"), ("a + b", "(a + b)"), ("-x", "(-x)")] {
            assert_eq!(operand(text), want);
        }
        let d = Diagnostic::error("E0001", at(0, 5), "m").fix("`{0} as f32`", [Edit::replace(at(0, 5), "{0} as f32")]);
        let d = d.filled(|_| "a + b");
        assert_eq!((&*d.help[0].message, &*d.help[0].edits[0].text), ("`(a + b) as f32`", "(a + b) as f32"));
    }
}
