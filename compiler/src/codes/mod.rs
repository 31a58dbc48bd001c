//! Every code of a diagnostic: what it means, how it comes about and what mends it. One table.
//!
//! In: nothing. Out: the rows, which `nnc explain`, `docs/ERRORS.md` and the exit codes read. A phase that reports a code
//! without a row fails `tests/codes.rs`, which also runs every example and every fix. It stands beside `diag` because
//! every phase may report.

mod data;
mod meaning;
mod names;
mod syntax;

use crate::diag::{Diagnostic, Severity};
use std::fmt::Write;

/// A program, the files beside it, and how `nnc` is run on it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The text of `model.nn`.
    pub program: &'static str,
    /// Other files by name.
    pub files: &'static [(&'static str, &'static [u8])],
    /// Arguments, `model.nn` among them.
    pub args: &'static [&'static str],
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// `E0101`, `W0501`
    pub code: &'static str,
    /// The exit code of a command that ends with it; 0 for a warning.
    pub exit: u8,
    /// One line.
    pub title: &'static str,
    /// What it means, why it is one, what to do.
    pub about: &'static str,
    /// A program that has it.
    pub example: Case,
    /// The same without it.
    pub fixed: Case,
}

/// The usual command.
const CHECK: &[&str] = &["check", "model.nn"];

const fn row(
    code: &'static str,
    exit: u8,
    title: &'static str,
    about: &'static str,
    example: &'static str,
    fixed: &'static str,
) -> Code {
    Code {
        code,
        exit,
        title,
        about,
        example: Case { program: example, files: &[], args: CHECK },
        fixed: Case { program: fixed, files: &[], args: CHECK },
    }
}

impl Code {
    /// Files beside the example and beside its fix.
    const fn files(
        mut self,
        example: &'static [(&'static str, &'static [u8])],
        fixed: &'static [(&'static str, &'static [u8])],
    ) -> Code {
        self.example.files = example;
        self.fixed.files = fixed;
        self
    }

    /// Other commands than `nnc check`.
    const fn args(mut self, example: &'static [&'static str], fixed: &'static [&'static str]) -> Code {
        self.example.args = example;
        self.fixed.args = fixed;
        self
    }
}

/// Every row, in order of the codes.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [syntax::ROWS, names::ROWS, meaning::ROWS, data::ROWS, data::LIMITS, meaning::WARNINGS].into_iter().flatten()
}

/// The row of a code, whatever its case.
pub fn find(code: &str) -> Option<&'static Code> {
    all().find(|c| c.code.eq_ignore_ascii_case(code))
}

/// The code that was probably meant by one that has no row: the same number with another letter, or the nearest number
/// of the same hundred.
pub fn nearest(code: &str) -> Option<&'static Code> {
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    let wanted: i64 = digits.parse().ok()?;
    let number = |c: &Code| c.code[1..].parse::<i64>().unwrap_or(0);
    all().filter(|c| number(c) / 100 == wanted / 100).min_by_key(|c| (number(c) - wanted).abs())
}

/// The exit code of a command that ends with these findings: of files and data before numerics, before the program,
/// before a limit.
pub fn exit(found: &[Diagnostic]) -> u8 {
    first(found.iter().filter(|d| d.severity == Severity::Error).map(|d| find(d.code).map_or(1, |c| c.exit)))
        .unwrap_or(1)
}

/// Of several exit codes that of the command.
pub fn first(codes: impl IntoIterator<Item = u8>) -> Option<u8> {
    codes.into_iter().min_by_key(|e| [3, 5, 1, 4].iter().position(|x| x == e))
}

/// The text of `nnc explain CODE`.
pub fn explanation(c: &Code) -> String {
    let mut out = format!("{}: {}\n\n{}\n", c.code, c.title, c.about);
    // Writing to a string does not fail.
    let _ = writeln!(out, "\nExample, `{}`:\n", command(&c.example));
    show(&mut out, &c.example, "    ");
    let _ = writeln!(
        out,
        "\nMended{}:\n",
        if c.fixed.args == c.example.args { String::new() } else { format!(", `{}`", command(&c.fixed)) }
    );
    show(&mut out, &c.fixed, "    ");
    if c.exit > 0 {
        let _ = writeln!(out, "\nExit code {}.", c.exit);
    }
    out
}

fn command(case: &Case) -> String {
    format!("nnc {}", case.args.join(" "))
}

/// The program and its files, each line after an indent.
fn show(out: &mut String, case: &Case, indent: &str) {
    let mut put = |text: &str| {
        for line in text.lines() {
            out.push_str(format!("{indent}{line}").trim_end());
            out.push('\n');
        }
    };
    put(case.program.trim());
    for (name, bytes) in case.files {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => put(&format!("\n# {name}:\n{}", text.trim_end())),
            _ => put(&format!("\n# {name}: {} bytes", bytes.len())),
        }
    }
}

/// The text of `nnc explain`.
pub fn list() -> String {
    all().map(|c| format!("{}  {}\n", c.code, c.title)).collect()
}

/// `docs/ERRORS.md`.
pub fn page() -> String {
    let mut out = String::from(
        "# Errors and warnings\n\nGenerated from the table in `compiler/src/codes/` (`NN_BLESS=1 cargo test -p nn-compiler --test codes`); \
         `nnc explain CODE` shows one.\nEach example has exactly its code and each mended program has none: the tests run both.\n\n",
    );
    for c in all() {
        let _ = writeln!(out, "- [{}](#{}) {}", c.code, c.code.to_lowercase(), c.title);
    }
    for c in all() {
        let _ = write!(out, "\n## {}\n\n**{}.** {}\n\n`{}`", c.code, c.title, c.about, command(&c.example));
        let _ = writeln!(out, "{}:\n", if c.exit > 0 { format!(", exit code {}", c.exit) } else { String::new() });
        for (case, before) in [(&c.example, ""), (&c.fixed, "\nMended")] {
            if !before.is_empty() {
                let more = if case.args == c.example.args { String::new() } else { format!(", `{}`", command(case)) };
                let _ = writeln!(out, "{before}{more}:\n");
            }
            out.push_str("```nn\n");
            show(&mut out, case, "");
            out.push_str("```\n");
        }
    }
    out
}
