//! `nnc summary`: layers, shapes, parameters, FLOPs and exact memory.

use super::args::FileArgs;
use super::ui::{Ui, bytes, table, thousands};
use crate::driver::{self, Failure};
use serde_json::json;

/// Prints the summary of a program's training unit.
pub fn summary(args: &FileArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    let unit = super::unit(&project, ui)?;
    let compiled = driver::compile(&project, unit)?;
    let mut rows = vec![];
    let mut layers: Vec<(String, Vec<String>, u64)> = vec![];
    for p in &unit.params {
        let (layer, leaf) = p.name.rsplit_once('.').unwrap_or(("", &p.name));
        let text = format!("{leaf} {}", p.ty);
        match layers.last_mut() {
            Some((name, parts, n)) if name == layer => {
                parts.push(text);
                *n += p.ty.numel();
            }
            _ => layers.push((layer.to_owned(), vec![text], p.ty.numel())),
        }
    }
    for (layer, parts, n) in &layers {
        let layer = if layer.is_empty() { unit.name.clone() } else { format!("{}.{layer}", unit.name) };
        rows.push(vec![layer, parts.join(", "), thousands(*n)]);
    }
    let total: u64 = layers.iter().map(|l| l.2).sum();
    let program = &compiled.program;
    let entry_rows: Vec<Vec<String>> = program
        .entries
        .iter()
        .map(|e| {
            let name = if e.batch > 0 { format!("{} (batch {})", e.name, e.batch) } else { e.name.clone() };
            vec![name, e.launches.len().to_string(), thousands(e.flops), bytes(e.temp_bytes), bytes(e.data_bytes)]
        })
        .collect();
    let temp = program.entries.iter().map(|e| e.temp_bytes + e.data_bytes + e.output_bytes).sum::<u64>();
    let memory = program.arena_bytes();
    ui.event(&json!({
        "event": "summary", "name": unit.name, "params": total,
        "layers": layers.iter().map(|(l, p, n)| json!({ "path": l, "tensors": p, "params": n })).collect::<Vec<_>>(),
        "param_bytes": program.param_bytes, "state_bytes": program.state_bytes, "temp_bytes": temp,
        "entries": program.entries.iter().map(|e| json!({
            "name": e.name, "batch": e.batch, "launches": e.launches.len(), "flops": e.flops, "temp_bytes": e.temp_bytes,
        })).collect::<Vec<_>>(),
    }));
    ui.say(&unit.typed);
    ui.say(&table(&["layer", "tensors", "parameters"], &rows));
    ui.say("");
    ui.say(&table(&["step", "launches", "FLOPs", "temporaries", "batch"], &entry_rows));
    ui.say("");
    ui.say(&format!(
        "{} parameters ({}), optimizer and other state {}, memory in all {}",
        thousands(total),
        bytes(program.param_bytes),
        bytes(program.state_bytes),
        bytes(memory)
    ));
    Ok(())
}
