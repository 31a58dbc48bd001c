//! `nnc fmt`: files laid out in the standard way, printed, written back or only compared.

use super::args::FmtArgs;
use super::ui::Ui;
use crate::driver::{self, Failure};
use crate::syntax::{self, format, limits};
use nn_runtime::atomic;
use nn_runtime::error::DataError;
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Formats files. All are looked at; where several fail, the exit code is that of the gravest.
pub fn fmt(args: &FmtArgs, ui: &Ui) -> Result<(), Failure> {
    if args.write && args.files.iter().any(|f| f == Path::new("-")) {
        return Err(Failure::Usage("standard input (`-`) cannot be written back; leave `--write` out".to_owned()));
    }
    let mut failed = vec![];
    for path in &args.files {
        let code = match file(path, args, ui) {
            Ok(true) => continue,
            Ok(false) => 1,
            Err(Failure::Diagnostics(code)) => code,
            Err(other) => super::fail(ui, other),
        };
        failed.push(code);
    }
    crate::codes::first(failed).map_or(Ok(()), |code| Err(Failure::Diagnostics(code)))
}

/// Formats one file; false if `--check` found a difference.
fn file(path: &Path, args: &FmtArgs, ui: &Ui) -> Result<bool, Failure> {
    let stdin = path == Path::new("-");
    let name = if stdin { "<stdin>".to_owned() } else { path.to_string_lossy().into_owned() };
    let parsed = if stdin {
        let mut bytes = vec![];
        let input = std::io::stdin().lock().take(limits::SOURCE.value + 1).read_to_end(&mut bytes);
        input.map_err(|e| DataError::io(&name, "read the program", &e))?;
        driver::parse_bytes(&name, bytes)
    } else {
        driver::parse_file(path)?
    };
    if ui.diagnostics(&parsed.diags, &parsed.sources) {
        return Err(Failure::Diagnostics(crate::codes::exit(&parsed.diags)));
    }
    let old = parsed.text();
    let new = syntax::format(parsed.file, old).map_err(|e| match e {
        format::Failure::Program(_) | format::Failure::Bug => {
            Failure::Bug(format!("the formatter would change what `{name}` says; the file is left as it is"))
        }
    })?;
    let changed = new != old;
    ui.event(&json!({ "event": "fmt", "file": name, "changed": changed, "text": new }));
    if args.check {
        if changed {
            ui.text(&difference(&name, old, &new));
        }
        return Ok(!changed);
    }
    if args.write {
        if changed {
            write(path, &new)?;
            ui.say(&format!("formatted {name}"));
        }
    } else if !ui.json && !new.is_empty() {
        ui.text(new.trim_end_matches('\n'));
    }
    Ok(true)
}

/// Replaces a file in one step; it keeps its permissions.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let permissions = std::fs::metadata(path).map(|m| m.permissions());
    atomic::save(path, &[text.as_bytes()])?;
    if let Ok(p) = permissions {
        // The text is safe; a folder that allows no more than this is no reason to fail.
        let _ = std::fs::set_permissions(path, p);
    }
    Ok(())
}

/// Where two texts first differ.
fn difference(name: &str, old: &str, new: &str) -> String {
    let (mut a, mut b) = (old.split('\n'), new.split('\n'));
    let mut line = 1;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return format!("{name}: not formatted"),
            (x, y) if x == y => line += 1,
            (x, y) => {
                // Blanks at the end of a line and the bytes that mark one are made visible.
                let show = |sign: char, l: Option<&str>| match l {
                    Some(l) if l.trim_end() != l || l.starts_with('\u{feff}') => format!("\n  {sign}{l:?}"),
                    Some(l) => format!("\n  {sign}{l}"),
                    None => String::new(),
                };
                return format!("{name}:{line}: not formatted{}{}", show('-', x), show('+', y));
            }
        }
    }
}
