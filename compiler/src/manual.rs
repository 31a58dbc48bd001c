//! The language reference: `docs/LANGUAGE.md` is this text, and a test holds it to that.
//!
//! In: the prose of `manual/language.md`, in which `<!-- builtins -->` and the like stand for tables, and the rows that the
//! compiler itself reads. Out: Markdown. It stands last because it shows something of everything, the commands included.

use crate::sema::comprehension::REDUCERS;
use crate::sema::signature::{Setting, Signature};
use crate::sema::units::Program;
use crate::sema::vocabulary::{WordKind, std_words};
use crate::sema::{builtins, cx, settings, sources};
use crate::syntax::limits;
use clap::CommandFactory;
use nn_runtime::dtype::DType;
use std::fmt::Write;

/// The prose.
const PROSE: &str = include_str!("manual/language.md");

/// The reference in Markdown.
pub fn language_markdown() -> String {
    let mut out = String::new();
    let mut rest = PROSE;
    while let Some((before, after)) = rest.split_once("<!-- ") {
        let Some((name, after)) = after.split_once(" -->") else { break };
        out += before;
        out += filled(name).trim_end();
        rest = after;
    }
    out + rest
}

/// What a place holder stands for; nothing for an unknown one, which a test would find.
fn filled(name: &str) -> String {
    match name {
        "dtypes" => words(DType::ALL.iter().map(|d| d.name())),
        "reducers" => words(REDUCERS.iter().copied()),
        "parts" => settings_table(sources::PARTS),
        "sources" => sources_table(),
        "settings" => settings_table(settings::SETTINGS),
        "choices" => choices_table(),
        "builtins" => builtins_tables(),
        "std" => std_tables(),
        "commands" => commands_table(),
        "limits" => limits_table(),
        "later" => later(),
        _ => String::new(),
    }
}

fn words<'w>(names: impl Iterator<Item = &'w str>) -> String {
    names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// Text in a cell of a table: outside of code `idx<N>` would be taken for HTML.
fn cell(s: &str) -> String {
    let parts = s.split('`').enumerate();
    let parts = parts.map(|(i, part)| if i % 2 == 0 { part.replace('<', "\\<") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`").replace('|', "\\|")
}

fn code(s: &str) -> String {
    if s.is_empty() { String::new() } else { format!("`{}`", s.replace('|', "\\|")) }
}

fn forms(sig: &Signature) -> String {
    sig.show().iter().map(|f| code(f)).collect::<Vec<_>>().join("<br>")
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(out, "| {} |", row.join(" | ")).ok();
    }
    out
}

fn settings_table(rows: &[Setting]) -> String {
    let row = |s: &Setting| {
        let takes = cell(s.takes);
        vec![code(s.name), takes, cell(s.default), cell(s.doc), code(s.example)]
    };
    table(&["name", "takes", "without it", "meaning", "example"], rows.iter().map(row))
}

fn sources_table() -> String {
    let row = |s: &sources::Source| vec![forms(&s.sig), cell(s.doc), cell(s.columns), code(s.example)];
    table(&["source", "meaning", "columns", "example"], sources::SOURCES.iter().map(row))
}

fn choices_table() -> String {
    let row = |c: &settings::Choice| vec![code(c.setting), forms(&c.sig), cell(c.doc), code(c.example)];
    table(&["setting", "value", "meaning", "example"], settings::CHOICES.iter().map(row))
}

fn builtins_tables() -> String {
    let mut out = String::new();
    for g in builtins::GROUPS {
        write!(out, "### {}\n\n", g.title).ok();
        let row = |b: &builtins::Builtin| vec![forms(&b.sig), cell(b.doc), code(b.example)];
        out += &table(&["builtin", "meaning", "example"], g.rows.iter().map(row));
        out.push('\n');
    }
    out
}

fn std_tables() -> String {
    let (p, _) = Program::load("", "", &|path, _| Err(path.to_owned()));
    let mut out = String::new();
    for file in 0..p.std_files {
        let source = p.sources.file(p.ast.files[file].id);
        let title = source.text.lines().next().unwrap_or("").trim_start_matches('#').trim();
        let title = title.split([':', '.']).next().unwrap_or("");
        write!(out, "### {title} (`{}`)\n\n", source.name).ok();
        let rows = std_words(&p, file).into_iter().map(|w| {
            let shown = match w.kind {
                // The word is the heading's.
                WordKind::Function => w.signatures[0].trim_start_matches("fn ").to_owned(),
                _ => w.signatures[0].clone(),
            };
            vec![code(&shown), cell(&w.doc), code(&w.example)]
        });
        out += &table(&["item", "meaning", "example"], rows);
        out.push('\n');
    }
    out
}

fn commands_table() -> String {
    let cli = crate::cli::args::Cli::command();
    let rows = cli.get_subcommands().map(|c| {
        let text = |s: Option<&clap::builder::StyledStr>| s.map_or(String::new(), |s| s.to_string());
        let example = text(c.get_after_help());
        let example = example.lines().find(|l| l.trim_start().starts_with("nnc ")).unwrap_or("").trim();
        vec![code(&format!("nnc {}", c.get_name())), cell(&text(c.get_about())), code(example)]
    });
    table(&["command", "what it does", "example"], rows)
}

fn limits_table() -> String {
    let of = |name: &str, value: u64, unit: &str| vec![name.to_owned(), value.to_string(), unit.to_owned()];
    let text = limits::TABLE.iter().map(|l| of(l.name, l.value, l.unit));
    let program = [
        of("axes", crate::graph::ty::MAX_RANK as u64, "axes of a tensor"),
        of("elements", crate::graph::ty::MAX_NUMEL, "elements of a tensor"),
        of("list", crate::sema::lists::MAX_LIST as u64, "elements of a list or range, those of lists in it counted"),
        of("operations", cx::MAX_OPS as u64, "tensor operations of a program"),
        of("calls", cx::MAX_CALLS as u64, "calls inside calls"),
        of("work", cx::MAX_STEPS, "steps of putting a program together"),
    ];
    table(&["limit", "at most", "of what"], text.chain(program))
}

fn later() -> String {
    let line = |what: &str, names: &[&str]| format!("- {what}: {}", words(names.iter().copied()));
    [line("layers and functions", builtins::LATER), line("sources", sources::LATER), line("settings", settings::LATER)]
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place holder of the prose is filled, and `docs/LANGUAGE.md` is what is written.
    #[test]
    fn docs_are_the_tables() {
        let names = PROSE.split("<!-- ").skip(1).filter_map(|s| s.split(" -->").next());
        for name in names {
            assert!(!filled(name).is_empty(), "nothing is called `{name}`");
        }
        let want = language_markdown();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/LANGUAGE.md");
        if std::env::var_os("NN_BLESS").is_some() {
            std::fs::write(path, &want).expect("docs/LANGUAGE.md can be written");
        }
        let got = std::fs::read_to_string(path).unwrap_or_default();
        let stale = got.lines().zip(want.lines()).find(|(a, b)| a != b);
        assert!(got == want, "docs/LANGUAGE.md is out of date (run with NN_BLESS=1), first at {stale:?}");
    }
}
