//! The limits of the front end: one table, printed by `nnc limits`, so that hostile or generated text is refused with a
//! sentence instead of a stack overflow or an hour of work.
//!
//! In: nothing. Out: the numbers, the diagnostic for each (E0002, names the limit), and the stack they are sized for.
//! Stands beside the parser because a recursive walk of the tree anywhere later is safe only because of these numbers.

use crate::diag::Diagnostic;
use crate::source::Span;

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, as messages call it.
    pub name: &'static str,
    /// The largest value accepted.
    pub value: u64,
    /// What is counted.
    pub unit: &'static str,
    /// Why there is a limit.
    pub why: &'static str,
}

/// Size of one source file.
pub const SOURCE: Limit =
    Limit { name: "source size", value: 4 << 20, unit: "bytes in a file", why: "offsets and parse time stay small" };

/// Depth of brackets of any kind.
pub const NESTING: Limit =
    Limit { name: "bracket nesting", value: 40, unit: "open brackets at one place", why: "the parser is recursive" };

/// Depth of an expression tree.
pub const EXPR_DEPTH: Limit = Limit {
    name: "expression depth",
    value: 1024,
    unit: "operators inside one another; a chain a + b + c has two",
    why: "later phases walk expressions recursively",
};

/// Constructs inside one another without brackets, such as lambdas that return lambdas.
pub const RECURSION: Limit = Limit {
    name: "construct nesting",
    value: 200,
    unit: "constructs inside one another",
    why: "the parser is recursive",
};

/// Length of one name, number or string.
pub const TOKEN: Limit = Limit {
    name: "token length",
    value: 1 << 20,
    unit: "bytes in a name, number or string",
    why: "messages quote tokens",
};

/// Number of errors reported for one file.
pub const ERRORS: Limit =
    Limit { name: "reported errors", value: 50, unit: "errors in a file", why: "one mistake can make many" };

/// Grammar rule calls for each byte of an item.
pub const CALLS_PER_BYTE: Limit = Limit {
    name: "grammar calls",
    value: 300,
    unit: "grammar rule calls for each byte of an item",
    why: "parse time stays linear; no known text needs 100",
};

/// Every limit, in the order printed.
pub const TABLE: &[Limit] = &[SOURCE, TOKEN, NESTING, RECURSION, EXPR_DEPTH, CALLS_PER_BYTE, ERRORS];

/// Bytes of stack that the front end needs for a program within the limits.
pub const STACK_BYTES: usize = 64 << 20;

impl Limit {
    /// The diagnostic for going beyond the limit at a place.
    pub fn exceeded(&self, span: Span) -> Diagnostic {
        Diagnostic::error("E0002", span, format!("this goes beyond the limit on {}", self.name))
            .here("here the limit is passed")
            .note(format!("the limit is {} {}", self.value, self.unit))
    }

    /// The row that `nnc limits` prints.
    pub fn row(&self) -> String {
        format!("{:<18} {:>9}  {} ({})", self.name, self.value, self.unit, self.why)
    }
}

/// Runs a phase on a thread whose stack suffices for any program within the limits.
///
/// Panics of the phase are passed on. If no such thread can be made, the phase runs on the caller's stack.
pub fn with_stack<R: Send>(phase: impl FnOnce() -> R + Send) -> R {
    let mut slot = Some(phase);
    let made = std::thread::scope(|s| {
        let slot = &mut slot;
        let run = move || slot.take().map(|f| f());
        match std::thread::Builder::new().name("front end".into()).stack_size(STACK_BYTES).spawn_scoped(s, run) {
            Ok(handle) => match handle.join() {
                Ok(r) => r,
                Err(payload) => std::panic::resume_unwind(payload),
            },
            Err(_) => None,
        }
    });
    match (made, slot) {
        (Some(r), _) => r,
        (None, Some(f)) => f(),
        (None, None) => unreachable!("the phase ran and its result was passed on"),
    }
}
