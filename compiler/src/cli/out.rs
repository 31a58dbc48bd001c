//! Standard output, written in this place alone, so that no failure goes unnoticed.
//!
//! In: text of commands. Out: bytes, and in the end the exit code: a command whose output did not arrive has failed (3),
//! whatever else it did; a reader that has gone, as of `nnc .. | head`, is no error to talk about (141, as if by SIGPIPE).
//! Nothing stops at the first failure: a training run is worth more than its events.

use nn_runtime::error::{codes, reason};
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Writes a line.
pub fn line(text: &str) {
    if is_open() {
        record(writeln!(io::stdout().lock(), "{text}"));
    }
}

/// Takes note of a write by someone else.
pub fn record(written: io::Result<()>) {
    if let Err(e) = written {
        // Only the first counts: what follows fails for the same reason.
        let _ = FAILED.set(e);
    }
}

/// Whether everything has arrived so far; where not, there is nobody to write more for.
pub fn is_open() -> bool {
    FAILED.get().is_none()
}

/// The exit code of a command that would end with this one.
pub fn finish(code: u8) -> u8 {
    record(io::stdout().flush());
    match FAILED.get() {
        None => code,
        Some(_) if code != 0 => code,
        Some(e) if e.kind() == ErrorKind::BrokenPipe => 141,
        Some(e) => {
            let text = format!("error[{}]: standard output: cannot write: {}", codes::IO, reason(e));
            let _ = writeln!(io::stderr().lock(), "{text}");
            3
        }
    }
}
