//! `nnc check` and `nnc fmt`.

use super::args::{FileArgs, FmtArgs};
use super::ui::Ui;
use crate::driver::{self, Failure};
use crate::source::SourceMap;
use crate::syntax::{self, ast::Ast, print};
use serde_json::json;

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
pub fn fmt(args: &FmtArgs, ui: &Ui) -> Result<(), Failure> {
    let name = args.file.to_string_lossy().into_owned();
    let bytes = std::fs::read(&args.file).map_err(|e| driver::read_error(&name, &e))?;
    let mut sources = SourceMap::default();
    let mut ast = Ast::default();
    let diags = match syntax::source_from_bytes(&name, bytes) {
        Ok(text) => {
            let id = sources.add(&name, &text);
            syntax::parse(&mut ast, id, &text)
        }
        Err(d) => vec![d],
    };
    if ui.diagnostics(&diags, &sources) {
        return Err(Failure::Diagnostics(1));
    }
    for file in &ast.files {
        let text = print::file(&ast, file);
        ui.event(&json!({ "event": "fmt", "file": name, "text": text }));
        if !ui.json {
            ui.text(text.trim_end());
        }
    }
    Ok(())
}
