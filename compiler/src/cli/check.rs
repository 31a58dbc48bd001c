//! `nnc check` and `nnc fmt`.

use super::args::{FileArgs, FmtArgs};
use super::ui::Ui;
use crate::driver::Failure;
use crate::report;
use crate::source::SourceMap;
use crate::syntax::{self, ast::Ast, print};

/// Reads and checks a program.
pub fn check(args: &FileArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    for u in &project.units {
        let n: u64 = u.params.iter().map(|p| p.ty.numel()).sum();
        ui.say(&format!("{}: ok, {} parameters in {} tensors", u.name, super::ui::thousands(n), u.params.len()));
    }
    if project.units.is_empty() {
        ui.say("ok");
    }
    Ok(())
}

/// Prints a file in canonical form.
pub fn fmt(args: &FmtArgs) -> u8 {
    let name = args.file.to_string_lossy().into_owned();
    let bytes = match std::fs::read(&args.file) {
        Ok(bytes) => bytes,
        Err(e) => {
            eprintln!("error: cannot read {name}: {}", nn_runtime::error::reason(&e));
            return 3;
        }
    };
    let mut sources = SourceMap::default();
    let mut ast = Ast::default();
    let diags = match syntax::source_from_bytes(&name, bytes) {
        Ok(text) => {
            let id = sources.add(&name, &text);
            syntax::parse(&mut ast, id, &text)
        }
        Err(d) => vec![d],
    };
    eprint!("{}", report::render(&diags, &sources, false));
    if report::any_error(&diags) {
        return 1;
    }
    for file in &ast.files {
        print!("{}", print::file(&ast, file));
    }
    0
}
