//! `nnc ir`: the program at a stage of compilation.

use super::args::{EntryName, IrArgs, Stage};
use super::ui::{Ui, table};
use crate::driver::{self, Failure, Project};
use crate::graph::graph::Graph;
use crate::graph::print;
use crate::sema::train::Kind;
use crate::{codegen, fuse, kernel, opt};

/// Prints a stage.
pub fn ir(args: &IrArgs, ui: &Ui) -> Result<(), Failure> {
    let mut project = super::open(&args.file, &args.common, ui)?;
    project.options.passes.print_after = args.print_after.clone();
    project.options.passes.fuel = args.fuel;
    for name in &args.print_after {
        if name != "all" && !opt::PASSES.iter().any(|p| p.name == name) {
            let names: Vec<&str> = opt::PASSES.iter().map(|p| p.name).collect();
            return Err(Failure::Usage(format!("no pass `{name}`; the passes are {} and `all`", names.join(", "))));
        }
    }
    if args.stage == Stage::Ast {
        let ast = &project.program.ast;
        if let Some(file) = ast.files.get(project.program.main()) {
            ui.text(crate::syntax::print::file(ast, file).trim_end());
        }
        return Ok(());
    }
    let unit = super::unit(&project, ui)?;
    if args.stage == Stage::Typed {
        ui.text(unit.typed.trim_end());
        return Ok(());
    }
    let batches = unit.batches();
    let (kind, rows) = match args.entry {
        // The forward computation alone is what evaluation runs.
        EntryName::Train if args.stage == Stage::Graph => (Kind::Eval, batches.train),
        EntryName::Train => (Kind::Train, batches.train),
        EntryName::Eval => (Kind::Eval, batches.eval),
        EntryName::Init => (Kind::Init, 0),
    };
    if matches!(args.stage, Stage::Graph | Stage::Grad) {
        let graph = driver::graph(&project, unit, kind, rows)?;
        ui.text(text(&graph, ui, &project).trim_end());
        return Ok(());
    }
    let stages = driver::stages(&project, unit, kind, rows)?;
    for (pass, text) in &stages.ran.prints {
        ui.text(&format!("// after {pass}\n{}", text.trim_end()));
    }
    if args.time_passes {
        let row = |r: &crate::pass::PassRow| {
            let ms = format!("{:.3}", r.time.as_secs_f64() * 1e3);
            vec![r.name.to_owned(), ms, r.rewrites.to_string(), format!("{} -> {}", r.nodes.0, r.nodes.1)]
        };
        let rows: Vec<Vec<String>> = stages.ran.rows.iter().map(row).collect();
        ui.text(&table(&["pass", "ms", "rewrites", "nodes"], &rows));
    }
    let text = match args.stage {
        Stage::Ast | Stage::Typed | Stage::Graph | Stage::Grad => String::new(),
        Stage::Opt => text(&stages.ran.graph, ui, &project),
        Stage::Fused => fuse::print::text(&stages.ran.graph),
        Stage::Kernel => kernel::print::program(&stages.kernels),
        Stage::Clif | Stage::Asm => {
            let mut out = String::new();
            for k in stages.kernels.kernels.iter().filter(|k| !codegen::is_plain_store(k)) {
                let text = if args.stage == Stage::Clif { codegen::clif_text(k) } else { codegen::asm_text(k) };
                out.push_str(&text.map_err(driver::codegen_failure)?);
                out.push('\n');
            }
            out
        }
    };
    ui.text(text.trim_end());
    Ok(())
}

/// A graph as text; with `--verbose` each line says where in the source it comes from.
fn text(g: &Graph, ui: &Ui, project: &Project) -> String {
    let sources = ui.verbose.then(|| project.sources());
    print::to_text_with(g, print::PrintOptions { sources, ..print::PrintOptions::default() })
}
