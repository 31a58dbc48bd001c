//! Programs and what is said about them.
//!
//! In: every `.nn` file below `tests/spec`: a program, followed by the findings expected of it as comments. `#!` lines
//! hold one finding each, `#! error[E0001] 3:9 part of the message`; `#|` lines hold the findings as the terminal shows
//! them. A file without such lines must have no findings. Findings are those that a command shows: their edits were carried
//! on (`edits.rs`). Every edit that is left is applied to the program: the finding must be gone, and nothing new may be
//! found, anywhere. Out: one test a file. `NN_BLESS=1` rewrites the comments. It
//! stands with the workspace because findings come from every phase of the compiler.

#[path = "common/made_up.rs"]
mod made_up;

use libtest_mimic::{Arguments, Failed, Trial};
use nn_compiler::diag::{Diagnostic, Severity, edited};
use nn_compiler::edits::Mender;
use nn_compiler::report;
use nn_compiler::sema::suite;
use nn_compiler::sema::train;
use nn_compiler::sema::units::{Options, Program};
use nn_compiler::source::SourceMap;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec");
    let mut files = vec![];
    find(&root, &mut files);
    files.sort();
    let trials = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            Trial::test(name.clone(), move || spec(&name, &path))
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn find(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, out);
        } else if path.extension().is_some_and(|e| e == "nn") {
            out.push(path);
        }
    }
}

/// Everything the compiler says about the texts of one test; an edit is checked where it is carried on and where it counts.
struct Checked<'n> {
    name: &'n str,
    known: RefCell<HashMap<String, Found>>,
}

type Found = Rc<(SourceMap, Vec<Diagnostic>)>;

impl Checked<'_> {
    fn check(&self, text: &str) -> Found {
        if let Some(found) = self.known.borrow().get(text) {
            return found.clone();
        }
        let found = Rc::new(if self.name.starts_with("sema") {
            elaborate(text)
        } else {
            let mut sources = SourceMap::default();
            let file = sources.add(self.name, text);
            let found = nn_compiler::syntax::parse(&mut Default::default(), file, text);
            (sources, found)
        });
        self.known.borrow_mut().insert(text.to_owned(), found.clone());
        found
    }

    /// The findings as commands show them.
    fn mended(&self, text: &str) -> Vec<Diagnostic> {
        let found = self.check(text);
        let Some((file, _)) = found.0.files().last() else { return found.1.clone() };
        let check = |text: &str| self.check(text).1.clone();
        Mender { file, text, check: &check, patience: Duration::MAX }.mended(found.1.clone())
    }
}

/// Elaborates a program whose data files are made up: 28 by 28 images, integer tables.
fn elaborate(text: &str) -> (SourceMap, Vec<Diagnostic>) {
    let (program, mut found) = Program::load("main.nn", text, &|path, _| Err(format!("no file `{path}`")));
    if !report::any_error(&found) {
        found.extend(train::check(&program, &Options { seed: None, header: &made_up::header }).1);
    }
    if !report::any_error(&found) {
        found.extend(suite::check(&program));
    }
    (program.sources, found)
}

fn spec(name: &str, path: &Path) -> Result<(), Failed> {
    let whole = std::fs::read_to_string(path)?;
    let expected_at = whole
        .split_inclusive('\n')
        .scan(0, |at, line| Some((std::mem::replace(at, *at + line.len()), line)))
        .find(|(_, line)| line.starts_with("#!") || line.starts_with("#|"))
        .map_or(whole.len(), |(at, _)| at);
    let (program, expected) = whole.split_at(expected_at);
    let checked = Checked { name, known: RefCell::default() };
    let (sources, found) = (&checked.check(program).0, checked.mended(program));
    let rendered = report::render(&found, sources, false);
    edits_mend(&checked, program, &found)?;
    if name.starts_with("sema") && found.is_empty() {
        checks_in_f64(program)?;
    }

    if std::env::var_os("NN_BLESS").is_some() {
        let mut text = program.to_string();
        if !found.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for d in &found {
            writeln!(text, "#! {} {}", head(d, sources), d.message)?;
        }
        for line in rendered.trim_end().lines() {
            writeln!(text, "{}", format!("#| {line}").trim_end())?;
        }
        return Ok(std::fs::write(path, text)?);
    }

    let heads: Vec<&str> = expected.lines().filter_map(|l| l.strip_prefix("#!")).map(str::trim).collect();
    let drawn: Vec<&str> =
        expected.lines().filter_map(|l| l.strip_prefix("#|")).map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
    for (want, d) in heads.iter().zip(&found) {
        let head = head(d, sources);
        match want.strip_prefix(&head) {
            Some(part) if d.message.contains(part.trim()) => {}
            _ => return Err(format!("expected  {want}\nbut found {head} {}\n\n{rendered}", d.message).into()),
        }
    }
    if heads.len() != found.len() {
        return Err(format!("expected {} findings, found {}:\n\n{rendered}", heads.len(), found.len()).into());
    }
    let lines: Vec<&str> = rendered.trim_end().lines().map(str::trim_end).collect();
    if !drawn.is_empty() && drawn != lines {
        return Err(format!("the text changed (NN_BLESS=1 accepts it):\n\n{rendered}").into());
    }
    Ok(())
}

/// What checks without a word does so in f64.
fn checks_in_f64(text: &str) -> Result<(), Failed> {
    let (mut program, _) = Program::load("main.nn", text, &|path, _| Err(format!("no file `{path}`")));
    let mut found = program.set(&[("train.precision".into(), "f64".into())]);
    found.extend(train::check(&program, &Options { seed: None, header: &made_up::header }).1);
    found.extend(suite::check(&program));
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("in f64:\n\n{}", report::render(&found, &program.sources, false)).into())
}

/// Applies each suggested edit by itself.
fn edits_mend(checked: &Checked<'_>, program: &str, found: &[Diagnostic]) -> Result<(), Failed> {
    for d in found {
        for h in d.help.iter().filter(|h| !h.edits.is_empty()) {
            let text = edited(program, &h.edits);
            let (sources, after) = &*checked.check(&text);
            let before = |a: &Diagnostic| found.iter().any(|f| f != d && (f.code, &f.message) == (a.code, &a.message));
            let count =
                |list: &[Diagnostic]| list.iter().filter(|f| (f.code, &f.message) == (d.code, &d.message)).count();
            let stays = count(after) >= count(found);
            if stays || after.iter().any(|a| a.severity == Severity::Error && !before(a)) {
                let shown = report::render(after, sources, false);
                return Err(
                    format!("the edit of `{}` ({}) does not mend it:\n{text}\n{shown}", d.message, h.message).into()
                );
            }
        }
    }
    Ok(())
}

/// `error[E0001] 3:9`, or without a place `error[E0003] -`.
fn head(d: &Diagnostic, sources: &SourceMap) -> String {
    let severity = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = d.labels.first().map_or("-".into(), |l| {
        let at = sources.line_col(l.span.file, l.span.start);
        format!("{}:{}", at.line, at.col)
    });
    format!("{severity}[{}] {place}", d.code)
}
