//! `nnc ir`: the program at a stage of compilation.

use super::args::{EntryName, IrArgs, Stage};
use super::ui::{Ui, table};
use crate::driver::{self, Failure, Project};
use crate::graph::graph::Graph;
use crate::graph::print;
use crate::sema::train::Kind;
use crate::{codegen, fuse, kernel, opt};
use clap::ValueEnum;
use serde_json::json;

/// Prints a stage.
pub fn ir(args: &IrArgs, ui: &Ui) -> Result<(), Failure> {
    let Some(stage) = args.stage else {
        let stages = Stage::value_variants().iter().filter_map(Stage::to_possible_value);
        let names: Vec<String> = stages.map(|v| v.get_name().to_owned()).collect();
        return Err(Failure::Usage(format!("which stage? `--stage` takes one of: {}", names.join(", "))));
    };
    if stage == Stage::Ast {
        // The tree of the file alone: what it uses and reads is not asked for.
        let parsed = driver::parse_file(&args.file)?;
        if ui.diagnostics(&parsed.diags, &parsed.sources) {
            return Err(Failure::Diagnostics(crate::codes::exit(&parsed.diags)));
        }
        for file in &parsed.ast.files {
            show(args, stage, ui, None, &crate::syntax::print::file(&parsed.ast, file));
        }
        return Ok(());
    }
    let mut project = super::open(&args.file, &args.common, ui)?;
    project.options.passes.print_after = args.print_after.clone();
    project.options.passes.fuel = args.fuel;
    for name in &args.print_after {
        if name != "all" && !opt::PASSES.iter().any(|p| p.name == name) {
            let names: Vec<&str> = opt::PASSES.iter().map(|p| p.name).collect();
            return Err(Failure::Usage(format!("no pass `{name}`; the passes are {} and `all`", names.join(", "))));
        }
    }
    let unit = super::unit(&project, ui)?;
    if stage == Stage::Typed {
        show(args, stage, ui, None, &unit.typed);
        return Ok(());
    }
    let batches = unit.batches();
    let (kind, rows) = match args.entry {
        // The forward computation alone is what evaluation runs.
        EntryName::Train if stage == Stage::Graph => (Kind::Eval, batches.train),
        EntryName::Train => (Kind::Train, batches.train),
        EntryName::Eval => (Kind::Eval, batches.eval),
        EntryName::Init => (Kind::Init, 0),
    };
    if matches!(stage, Stage::Graph | Stage::Grad) {
        let graph = driver::graph(&project, unit, kind, rows)?;
        show(args, stage, ui, None, &text(&graph, ui, &project));
        return Ok(());
    }
    let stages = driver::stages(&project, unit, kind, rows)?;
    for (pass, text) in &stages.ran.prints {
        show(args, stage, ui, Some(pass), text);
    }
    if args.time_passes {
        let ms = |r: &crate::pass::PassRow| r.time.as_secs_f64() * 1e3;
        let event = |r: &crate::pass::PassRow| json!({ "pass": r.name, "ms": ms(r), "rewrites": r.rewrites, "nodes": [r.nodes.0, r.nodes.1] });
        ui.event(&json!({ "event": "passes", "rows": stages.ran.rows.iter().map(event).collect::<Vec<_>>() }));
        let row = |r: &crate::pass::PassRow| {
            vec![
                r.name.to_owned(),
                format!("{:.3}", ms(r)),
                r.rewrites.to_string(),
                format!("{} -> {}", r.nodes.0, r.nodes.1),
            ]
        };
        let rows: Vec<Vec<String>> = stages.ran.rows.iter().map(row).collect();
        if !ui.json {
            ui.text(&table(&["pass", "ms", "rewrites", "nodes"], &rows));
        }
    }
    let text = match stage {
        Stage::Ast | Stage::Typed | Stage::Graph | Stage::Grad => String::new(),
        Stage::Opt => text(&stages.ran.graph, ui, &project),
        Stage::Fused => fuse::print::text(&stages.ran.graph),
        Stage::Kernel => kernel::print::program(&stages.kernels),
        Stage::Clif | Stage::Asm => {
            let mut out = String::new();
            for k in stages.kernels.kernels.iter().filter(|k| !codegen::is_plain_store(k)) {
                let text = if stage == Stage::Clif { codegen::clif_text(k) } else { codegen::asm_text(k) };
                out.push_str(&text.map_err(driver::codegen_failure)?);
                out.push('\n');
            }
            out
        }
    };
    show(args, stage, ui, None, &text);
    Ok(())
}

/// Prints the text of a stage, or of the graph after a pass.
fn show(args: &IrArgs, stage: Stage, ui: &Ui, after: Option<&str>, text: &str) {
    let text = text.trim_end();
    if ui.json {
        let name = |v: Option<clap::builder::PossibleValue>| v.map(|v| v.get_name().to_owned());
        let (stage, entry) = (name(stage.to_possible_value()), name(args.entry.to_possible_value()));
        let mut event = json!({ "event": "ir", "stage": stage, "entry": entry, "text": text });
        if let Some(pass) = after {
            event["after"] = pass.into();
        }
        ui.event(&event);
    } else if let Some(pass) = after {
        ui.text(&format!("// after {pass}\n{text}"));
    } else {
        ui.text(text);
    }
}

/// A graph as text; with `--verbose` each line says where in the source it comes from.
fn text(g: &Graph, ui: &Ui, project: &Project) -> String {
    let sources = ui.verbose.then(|| project.sources());
    print::to_text_with(g, print::PrintOptions { sources, ..print::PrintOptions::default() })
}
