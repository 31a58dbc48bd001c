//! `nnc new`: a folder with a program that checks and trains at once.
//!
//! In: a name and a template. Out: the program, its data where it reads some, and a page that says how to go on. Nothing
//! that is there is ever replaced.

use super::args::NewArgs;
use super::ui::Ui;
use crate::driver::Failure;
use clap::ValueEnum;
use nn_runtime::error::{DataError, codes, reason};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Programs to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A small network tells three rings of points apart; the data are drawn.
    Mlp,
    /// Rows of a CSV file with named columns are told apart, with normalization and early stopping.
    Tabular,
    /// A network fits a noisy curve; the data are drawn.
    Regression,
}

impl Template {
    /// Files by name; `NAME` in a name or a text is the name of the project.
    fn files(self) -> Vec<(&'static str, &'static str)> {
        let program = match self {
            Template::Mlp => include_str!("templates/mlp.nn"),
            Template::Tabular => include_str!("templates/tabular.nn"),
            Template::Regression => include_str!("templates/regression.nn"),
        };
        let data = match self {
            Template::Tabular => Some(("data.csv", include_str!("templates/things.csv"))),
            Template::Mlp | Template::Regression => None,
        };
        let page = include_str!("templates/README.md");
        let mut files = vec![("NAME.nn", program), ("README.md", page), (".gitignore", "*.safetensors\n*.ckpt\n")];
        files.extend(data);
        files
    }
}

/// Writes the folder.
pub fn new(args: &NewArgs, ui: &Ui) -> Result<(), Failure> {
    let shown = args.name.to_string_lossy().into_owned();
    let name = args.name.file_name().and_then(|n| n.to_str()).filter(|n| is_plain(n));
    let Some(name) = name else {
        return Err(Failure::Usage(format!(
            "`{shown}` does not end in a name of letters, digits, `-`, `_` and `.`, such as `wine`"
        )));
    };
    let folder = args.name.as_path();
    let failed = |what: &Path, e: &std::io::Error| {
        DataError::new(codes::SAVE, &what.to_string_lossy(), format_args!("cannot write: {}", reason(e)))
    };
    let taken =
        folder.exists() && (!folder.is_dir() || fs::read_dir(folder).map_err(|e| failed(folder, &e))?.next().is_some());
    if taken {
        let e = DataError::new(codes::SAVE, &shown, "this is there already").help("choose another name");
        return Err(e.into());
    }
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let mut written = vec![];
    for (file, text) in args.template.files() {
        let path = folder.join(file.replace("NAME", name));
        let mut f = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| failed(&path, &e))?;
        f.write_all(text.replace("NAME", name).as_bytes()).map_err(|e| failed(&path, &e))?;
        written.push(path.to_string_lossy().into_owned());
    }
    ui.event(&json!({ "event": "new", "name": name, "files": written }));
    ui.text(&format!("made {}", written.join(", ")));
    // Below the folder all commands agree on where the weights are.
    ui.say(&format!("try: cd {shown}, then nnc train {name}.nn and nnc eval {name}.nn"));
    Ok(())
}

/// A name that is a file's on every system.
fn is_plain(name: &str) -> bool {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.starts_with(['.', '-']) && !name.ends_with('.') && name.chars().all(fine)
}
