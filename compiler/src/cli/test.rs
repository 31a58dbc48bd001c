//! `nnc test`: the `test` items of files, run on the reference interpreter.

use super::args::TestArgs;
use super::ui::Ui;
use crate::codes;
use crate::driver::Failure;
use crate::graph::interp::{self, Feeds};
use crate::sema::suite::{self, TestUnit};
use crate::sema::units;
use serde_json::json;

/// Runs tests. A test that fails is exit code 1; where all that stops tests are limits, theirs.
pub fn test(args: &TestArgs, ui: &Ui) -> Result<(), Failure> {
    let mut done = Done::default();
    if args.files.is_empty() {
        let (program, diags) = units::Program::load("empty.nn", "", &|path, _| Err(format!("no file `{path}`")));
        ui.diagnostics(&diags, &program.sources);
        for file in 0..program.std_files {
            let mut tests = suite::tests(&program, file);
            tests.retain(|t| wanted(args, t));
            run(tests, &program, ui, &mut done);
        }
    }
    for file in &args.files {
        let project = super::open(file, &args.common, ui)?;
        let mut tests = suite::tests(&project.program, project.program.main());
        if tests.is_empty() {
            ui.note(&format!("{}: there is no `test` item", file.display()));
        }
        tests.retain(|t| wanted(args, t));
        project.mend_tests(&mut tests);
        run(tests, &project.program, ui, &mut done);
    }
    if let (Some(text), 0, true) = (&args.filter, done.passed, done.failed.is_empty()) {
        ui.note(&format!("no test has `{text}` in its name"));
    }
    ui.text(&format!("{} passed, {} failed", done.passed, done.failed.len()));
    match codes::first(done.failed) {
        Some(code) => Err(Failure::Diagnostics(code)),
        None => Ok(()),
    }
}

/// How tests went.
#[derive(Default)]
struct Done {
    passed: u64,
    /// For each that failed the exit code of its kind.
    failed: Vec<u8>,
}

/// Is a test among those asked for?
fn wanted(args: &TestArgs, t: &TestUnit) -> bool {
    args.filter.as_ref().is_none_or(|f| t.name.contains(f.as_str()))
}

fn run(tests: Vec<TestUnit>, program: &units::Program, ui: &Ui, done: &mut Done) {
    for t in tests {
        let at = program.sources.locate(t.span);
        let outcome = outcome(&t, program, ui);
        let why = outcome.as_ref().map(|(_, why)| why);
        ui.event(&json!({ "event": "test", "name": *t.name, "at": at, "ok": why.is_none(), "why": why }));
        match outcome {
            None => {
                done.passed += 1;
                ui.say(&format!("ok      {} ({at})", t.name));
            }
            Some((code, why)) => {
                done.failed.push(code);
                ui.text(&format!("FAILED  {} ({at}): {why}", t.name));
            }
        }
    }
}

/// Why a test fails, and the exit code of that; `None` if it does not.
fn outcome(t: &TestUnit, program: &units::Program, ui: &Ui) -> Option<(u8, String)> {
    let graph = match &t.graph {
        Ok(graph) => graph,
        Err(diags) => {
            ui.diagnostics(diags, &program.sources);
            return Some((codes::exit(diags), "it does not compile".to_owned()));
        }
    };
    let values = match interp::run(graph, &Feeds::default()) {
        Ok(values) => values,
        Err(why) => return Some((1, why)),
    };
    let bad = t.checks.iter().zip(&values).find(|(_, v)| v.data.contains(&0.0))?.0;
    let text = program.sources.text(bad.span).to_owned();
    let why = bad.message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default();
    let difference = bad.sides.as_ref().and_then(|s| s.difference(&values));
    let difference = difference.map(|d| format!(": {d}")).unwrap_or_default();
    Some((1, format!("`{text}` is false{why}, at {}{difference}", program.sources.locate(bad.span))))
}
