//! `nnc summary`: layers with shapes, parameters, FLOPs and memory, and the exact cost of every step.

use super::args::FileArgs;
use super::ui::{Ui, bytes, counted, large, thousands};
use crate::driver::{self, Failure};
use crate::sema::layers::Layer;
use crate::sema::units::TrainUnit;
use serde_json::json;

/// A layer with what it has of its own.
struct Line<'a> {
    layer: &'a Layer,
    params: u64,
    param_bytes: u64,
}

/// Prints the summary of a program's training unit.
pub fn summary(args: &FileArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    let unit = super::unit(&project, ui)?;
    let compiled = driver::compile(&project, unit)?;
    let lines = lines(unit);
    let total: u64 = unit.params.iter().map(|p| p.ty.numel()).sum();
    let program = &compiled.program;
    let temp = program.entries.iter().map(|e| e.temp_bytes + e.data_bytes + e.output_bytes).sum::<u64>();
    ui.event(&json!({
        "event": "summary", "name": unit.name, "params": total, "batch": compiled.batches.train,
        "layers": lines.iter().map(|l| json!({
            "path": &*l.layer.path, "kind": l.layer.kind, "output": l.layer.output, "params": l.params,
            "flops": l.layer.flops, "output_bytes": l.layer.bytes,
        })).collect::<Vec<_>>(),
        "tensors": unit.params.iter().map(|p| json!({ "name": &*p.name, "type": p.ty.to_string() })).collect::<Vec<_>>(),
        "param_bytes": program.param_bytes, "state_bytes": program.state_bytes, "temp_bytes": temp,
        "entries": program.entries.iter().map(|e| json!({
            "name": e.name, "batch": e.batch, "launches": e.launches().len(), "flops": e.flops, "temp_bytes": e.temp_bytes,
        })).collect::<Vec<_>>(),
    }));
    let batch = compiled.batches.train;
    ui.text(&format!("{}: {} on {}, a batch of {}", unit.name, head(unit), unit.data.name, counted(batch, "row")));
    ui.text("");
    ui.text(&ui.table(
        &["layer", "kind", "output", "parameters", "FLOPs", "memory"],
        &rows(&unit.name, &lines, total),
        &[5, 4, 1],
    ));
    ui.text("");
    let entries: Vec<Vec<String>> = program
        .entries
        .iter()
        .map(|e| {
            let name = if e.batch > 0 { format!("{} (batch {})", e.name, e.batch) } else { e.name.clone() };
            vec![name, e.launches().len().to_string(), large(e.flops), bytes(e.temp_bytes), bytes(e.data_bytes)]
        })
        .collect();
    ui.text(&ui.table(&["step", "launches", "FLOPs", "temporaries", "batch"], &entries, &[4, 1, 3]));
    ui.text("");
    let phrases = [
        format!("{} ({})", counted(total, "parameter"), bytes(program.param_bytes)),
        format!("optimizer and other state {}", bytes(program.state_bytes)),
        format!("memory in all {}", bytes(program.arena_bytes())),
    ];
    ui.text(&ui.flow(&phrases, ui.width()));
    Ok(())
}

/// The model's name where it has one.
fn head(unit: &TrainUnit) -> String {
    let root = unit.layers.iter().find(|l| l.path.is_empty());
    root.map_or_else(|| counted(unit.params.len() as u64, "tensor"), |l| l.kind.clone())
}

/// Layers that have parameters or do something themselves; what layers inside them have is theirs.
fn lines(unit: &TrainUnit) -> Vec<Line<'_>> {
    let inside =
        |name: &str, path: &str| path.is_empty() || name.strip_prefix(path).is_some_and(|r| r.starts_with('.'));
    let mut lines: Vec<Line<'_>> = unit.layers.iter().map(|layer| Line { layer, params: 0, param_bytes: 0 }).collect();
    for p in &unit.params {
        // The longest path that the name begins with.
        let owner = lines.iter_mut().filter(|l| inside(&p.name, &l.layer.path)).max_by_key(|l| l.layer.path.len());
        if let Some(l) = owner {
            l.params += p.ty.numel();
            l.param_bytes += p.ty.numel() * p.ty.dtype.bytes() as u64;
        }
    }
    // A composite whose parts do everything says nothing more.
    let whole = |i: usize| {
        let l = &lines[i];
        let composite = lines.get(i + 1).is_some_and(|n| n.layer.depth > l.layer.depth);
        l.params == 0 && (composite && l.layer.flops == 0)
    };
    let keep: Vec<bool> = (0..lines.len()).map(|i| !whole(i)).collect();
    lines.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(l, _)| l).collect()
}

fn rows(unit: &str, lines: &[Line<'_>], total: u64) -> Vec<Vec<String>> {
    let row = |l: &Line<'_>| {
        let output =
            l.layer.output.as_ref().map_or_else(String::new, |s| {
                format!("[{}]", s.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))
            });
        let params = if l.params > 0 { thousands(l.params) } else { "-".to_owned() };
        let flops = if l.layer.flops > 0 { large(l.layer.flops) } else { "-".to_owned() };
        let name = if l.layer.path.is_empty() { unit.to_owned() } else { l.layer.path.to_string() };
        vec![name, l.layer.kind.clone(), output, params, flops, bytes(l.param_bytes + l.layer.bytes)]
    };
    let mut rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let flops: u64 = lines.iter().map(|l| l.layer.flops).sum();
    let memory: u64 = lines.iter().map(|l| l.param_bytes + l.layer.bytes).sum();
    rows.push(vec!["total".to_owned(), String::new(), String::new(), thousands(total), large(flops), bytes(memory)]);
    rows
}
