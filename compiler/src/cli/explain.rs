//! `nnc explain`: what a code means, with an example and its fix; all codes without an argument.

use super::args::ExplainArgs;
use super::ui::{Ui, folded};
use crate::codes::{self, Code};
use crate::driver::Failure;
use serde_json::json;

/// Explains a code, or lists them.
pub fn explain(args: &ExplainArgs, ui: &Ui) -> Result<(), Failure> {
    let Some(code) = &args.code else {
        codes::all().for_each(|c| ui.event(&event(c)));
        if !ui.json {
            ui.text(&folded(codes::list().trim_end(), ui.width(), "       "));
        }
        return Ok(());
    };
    let Some(found) = codes::find(code.trim()) else {
        let near = codes::nearest(code).map_or(String::new(), |c| format!("; did you mean `{}`, {}?", c.code, c.title));
        return Err(Failure::Usage(format!("there is no code `{code}`{near}; `nnc explain` lists all")));
    };
    ui.event(&event(found));
    if !ui.json {
        ui.text(&folded(codes::explanation(found).trim_end(), ui.width(), ""));
    }
    Ok(())
}

fn event(c: &Code) -> serde_json::Value {
    json!({
        "event": "explain", "code": c.code, "exit": c.exit, "title": c.title, "about": c.about,
        "example": c.example.program.trim_start(), "mended": c.fixed.program.trim_start(),
    })
}
