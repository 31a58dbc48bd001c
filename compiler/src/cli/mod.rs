//! The command line tool: commands over the driver and the runtime.
//!
//! In: arguments. Out: an exit code, text, JSON lines. Exit codes: 0 ok, 1 the program is wrong, 2 usage, 3 files,
//! data and output that did not arrive, 4 a limit or device, 5 numerics, 70 a defect of nnc, 130 training that was
//! interrupted, 141 a reader that has gone.

pub mod args;
mod out;
mod arrays;
pub mod ui;
pub mod progress;
mod bench;
mod check;
mod completions;
mod explain;
mod fmt;
mod ir;
mod log;
mod new;
mod predict;
mod sink;
mod run;
mod summary;
mod test;
mod usage;
mod watch;

use crate::driver::{Failure, Options, Project};
use crate::sema::overrides::LR;
use crate::sema::units::{Program, TrainUnit};
use args::{Cli, Color, Command, Common, Target};
use clap::Parser;
use nn_runtime::error::RuntimeError;
use nn_runtime::paths::DataPaths;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use ui::Ui;

/// Runs the tool on the process's arguments; returns the exit code.
pub fn main() -> u8 {
    out::finish(start())
}

fn start() -> u8 {
    let cli = match Cli::try_parse_from(usage::asked(std::env::args_os())) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            let e = usage::explain(e, std::env::args().skip(1));
            if std::env::args_os().any(|a| a == "--json") {
                Ui::plain(Color::Never, true).usage(&e.to_string());
            }
            let _ = e.print();
            return 2;
        }
        Err(help) => {
            out::record(help.print());
            return 0;
        }
    };
    // Elaboration and code generation recurse over the program's nesting, which is bounded; this stack is enough for it.
    let worker = std::thread::Builder::new().stack_size(256 << 20).spawn(move || run(cli));
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => {
            say("This is a bug in nnc. Please report it with the program and the text above.");
            70
        }
        Err(e) => {
            say(&format!("error: cannot start a thread: {e}"));
            4
        }
    }
}

/// A line on standard error, which may be closed.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn run(cli: Cli) -> u8 {
    let common = match &cli.command {
        Command::New(a) => return alone(&Ui::plain(a.color, a.json), |ui| new::new(a, ui)),
        Command::Completions(a) => return alone(&Ui::plain(Color::Auto, false), |ui| completions::completions(a, ui)),
        Command::Check(a) => &a.common,
        Command::Summary(a) => &a.common,
        Command::Train(a) => &a.common,
        Command::Eval(a) => &a.common,
        Command::Predict(a) => &a.common,
        Command::Ir(a) => &a.common,
        Command::Bench(a) => &a.common,
        Command::Test(a) => &a.common,
        Command::Fmt(a) => &a.common,
        Command::Explain(a) => &a.common,
    };
    let ui = Ui::new(common);
    if common.target != Target::Cpu {
        return fail(&ui, Failure::Limit("this build has the cpu target only".to_owned()));
    }
    let idle = match &cli.command {
        Command::Fmt(_) => Some("`fmt` lays text out and evaluates nothing"),
        Command::Explain(_) => Some("`explain` evaluates nothing"),
        Command::Test(a) if a.files.is_empty() => {
            Some("`test` without a file runs the tests of the library as they are")
        }
        Command::Ir(a) if a.stage == Some(args::Stage::Ast) => {
            Some("the tree is that of the text, before values are set")
        }
        _ => None,
    };
    if let Some(why) = idle.filter(|_| !common.set.is_empty() || common.lr.is_some()) {
        let (program, found) = Program::unset(&options(common).sets, why);
        ui.diagnostics(&found, &program.sources);
        return crate::codes::exit(&found);
    }
    alone(&ui, |ui| match &cli.command {
        // Done above.
        Command::New(_) | Command::Completions(_) => Ok(()),
        Command::Check(a) => check::check(a, ui),
        Command::Train(a) => run::train(a, ui),
        Command::Eval(a) => run::eval(a, ui),
        Command::Predict(a) => predict::predict(a, ui),
        Command::Ir(a) => ir::ir(a, ui),
        Command::Bench(a) => bench::bench(a, ui),
        Command::Summary(a) => summary::summary(a, ui),
        Command::Test(a) => test::test(a, ui),
        Command::Fmt(a) => fmt::fmt(a, ui),
        Command::Explain(a) => explain::explain(a, ui),
    })
}

/// Runs a command; its exit code.
fn alone(ui: &Ui, command: impl FnOnce(&Ui) -> Result<(), Failure>) -> u8 {
    match command(ui) {
        Ok(()) => 0,
        Err(failure) => fail(ui, failure),
    }
}

/// The compiler's options from the command line's.
fn options(common: &Common) -> Options {
    let mut data = common.data.clone();
    if let Some(value) = std::env::var_os("NN_DATA") {
        data.extend(DataPaths::from_env(&value));
    }
    let mut sets = common.set.clone();
    sets.extend(common.lr.iter().map(|lr| (LR.to_owned(), lr.clone())));
    Options { sets, data, out: common.out.clone(), seed: common.seed, ..Options::default() }
}

/// Reads and checks a program; reports what was found.
fn open(file: &Path, common: &Common, ui: &Ui) -> Result<Project, Failure> {
    checked(crate::driver::open(file, options(common))?, ui)
}

/// Reports what was found in a program; its errors end the command.
fn checked(project: Project, ui: &Ui) -> Result<Project, Failure> {
    let wrong = ui.diagnostics(&project.diags, project.sources());
    if wrong { Err(Failure::Diagnostics(crate::codes::exit(&project.diags))) } else { Ok(project) }
}

/// Holds the files that a unit writes against what is there; reports what stands in the way.
fn check_outputs(project: &Project, unit: &TrainUnit, ui: &Ui) -> Result<(), Failure> {
    let found = crate::driver::check_outputs(project, unit);
    let wrong = ui.diagnostics(&found, project.sources());
    if wrong { Err(Failure::Diagnostics(crate::codes::exit(&found))) } else { Ok(()) }
}

/// Says why a command stops; returns the exit code.
fn fail(ui: &Ui, failure: Failure) -> u8 {
    match failure {
        Failure::Diagnostics(code) => code,
        Failure::Runtime(RuntimeError::Data(e)) => {
            ui.data_error(&e);
            3
        }
        Failure::Runtime(RuntimeError::NotFinite(e)) => {
            ui.data_error(&e);
            5
        }
        Failure::Runtime(e) => {
            ui.error("", &e.to_string());
            e.exit_code()
        }
        Failure::Limit(why) => {
            ui.error("E0901", &why);
            4
        }
        Failure::Usage(why) => {
            ui.error("", &why);
            2
        }
        Failure::Bug(why) => {
            ui.error("", &format!("a bug in nnc: {why}"));
            say("Please report it with the program.");
            70
        }
    }
}

/// The unit to work on: the first one.
fn unit<'a>(project: &'a Project, ui: &Ui) -> Result<&'a TrainUnit, Failure> {
    match project.units.as_slice() {
        [unit] => Ok(unit),
        [] => Err(Failure::Usage("the program has no `train` item".to_owned())),
        [first, rest @ ..] => {
            let names: Vec<String> = rest.iter().map(|u| format!("`{}`", u.name)).collect();
            ui.warn(&format!("only the first `train` item, `{}`, is used; not {}", first.name, names.join(", ")));
            Ok(first)
        }
    }
}

/// The exit code of what a signal ended.
const INTERRUPTED: u8 = 130;

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let set = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
    });
    if set.is_err() {
        // Without a handler Ctrl-C ends the process at once, as it would any other; saved files are never half written.
        return stop;
    }
    stop
}
