//! `nnc train`, `nnc eval`, `nnc predict`: a compiled program on its data.

use super::args::{SplitName, TrainArgs, WeightArgs};
use super::out;
use super::progress::{Progress, done, object, short};
use super::ui::{Ui, bytes, thousands};
use crate::driver::{self, Failure, Run};
use nn_runtime::checkpoint;
use nn_runtime::error::{DataError, RuntimeError, codes};
use nn_runtime::train;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Trains and saves.
pub fn train(args: &TrainArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    let unit = super::unit(&project, ui)?;
    super::check_outputs(&project, unit, ui)?;
    let stop = stop_on_interrupt();
    let mut run = driver::prepare(&project, unit, args.common.threads.map(usize::from))?;
    compiled(ui, &run);
    if args.resume {
        let Some(path) = run.plan.checkpoint.clone() else {
            return Err(Failure::Usage("the program saves nothing to resume from; add `save = last(..)`".to_owned()));
        };
        run.plan.resume = Some(checkpoint::read(&path)?);
    }
    run.stepper.keep_before(args.check_finite);
    let mut progress = Progress::new(*ui);
    let result = train::train(&run.plan, &mut run.stepper, &mut progress, &stop);
    progress.close();
    match result {
        Ok(summary) => {
            done(ui, &summary);
            Ok(())
        }
        Err(e) => match driver::diverged(&project, unit, &mut run, &e, args.check_finite)? {
            Some(d) => {
                ui.diagnostics(&[d], project.sources());
                Err(Failure::Diagnostics(e.exit_code()))
            }
            None => Err(e.into()),
        },
    }
}

/// Evaluates saved weights on a split.
pub fn eval(args: &WeightArgs, ui: &Ui) -> Result<(), Failure> {
    let (mut run, name) = with_weights(args, ui)?;
    let stop = stop_on_interrupt();
    let mut split = part(&run, args.split, &name)?;
    if let Some(n) = args.limit {
        split.rows = split.rows.first(n);
    }
    let names = run.plan.eval_names.clone();
    let batch = run.plan.eval_batch;
    let Some(values) = train::evaluate(&mut run.stepper, &split, &names, batch, &stop)? else {
        return Err(Failure::Usage("interrupted".to_owned()));
    };
    ui.event(&json!({ "event": "eval", "split": split.name, "rows": split.rows.len(), "values": object(&values) }));
    let text: Vec<String> = values.iter().map(|(n, x)| format!("{n} {}", short(*x))).collect();
    ui.say(&format!("{} ({} rows): {}", split.name, thousands(split.rows.len()), text.join(", ")));
    match values.first().filter(|(_, loss)| !loss.is_finite()) {
        None => Ok(()),
        Some((_, loss)) => {
            let e = DataError::new(codes::NOT_FINITE, &name, format_args!("the {} loss is {loss}", split.name));
            Err(RuntimeError::NotFinite(e.note("the weights are finite; a value on the way to the loss is not")).into())
        }
    }
}

/// Prints the model's outputs for a split.
pub fn predict(args: &WeightArgs, ui: &Ui) -> Result<(), Failure> {
    let (mut run, name) = with_weights(args, ui)?;
    let split = part(&run, args.split, &name)?;
    let rows = split.rows.to_vec();
    let limit = args.limit.map_or(rows.len(), |n| (n as usize).min(rows.len()));
    let batch = run.plan.eval_batch as usize;
    for (i, chunk) in rows.chunks(batch).enumerate() {
        if i * batch >= limit || !out::is_open() {
            break;
        }
        let outputs = run.predict(split.source, chunk)?;
        let width = outputs.len() / chunk.len().max(1);
        for (j, row) in outputs.chunks(width.max(1)).enumerate().take(limit - i * batch) {
            let index = chunk.get(j).copied().unwrap_or_default();
            ui.event(&json!({ "event": "predict", "index": index, "output": row }));
            if !ui.json {
                let text: Vec<String> = row.iter().map(|x| short(*x)).collect();
                ui.text(&format!("{index}: {}", text.join(" ")));
            }
        }
    }
    Ok(())
}

/// Compiles a program and loads its weights.
fn with_weights(args: &WeightArgs, ui: &Ui) -> Result<(Run, String), Failure> {
    let mut project = super::open(&args.file, &args.common, ui)?;
    let held_out = super::unit(&project, ui)?.data.splits.iter().any(|s| s.name != "train");
    project.options.eval_train = args.split.map_or(!held_out, |s| s == SplitName::Train);
    project.options.eval_rows = args.limit;
    let unit = super::unit(&project, ui)?;
    let mut run = driver::prepare(&project, unit, args.common.threads.map(usize::from))?;
    compiled(ui, &run);
    let path = match (&args.weights, &run.plan.save) {
        (Some(path), _) => path.clone(),
        (None, Some(save)) => save.path().to_owned(),
        (None, None) => {
            let e = DataError::new(codes::NOT_FOUND, &unit.name, "the program saves no weights")
                .help("name a file: --weights model.safetensors");
            return Err(e.into());
        }
    };
    run.load_weights(&path)?;
    Ok((run, unit.name.clone()))
}

/// The split asked for; by default the test part, else the validation part, else the training part.
fn part(run: &Run, wanted: Option<SplitName>, name: &str) -> Result<nn_runtime::data::split::Split, Failure> {
    let plan = &run.plan;
    let found = match wanted {
        Some(SplitName::Train) => Some(&plan.train),
        Some(SplitName::Val) => plan.val.as_ref(),
        Some(SplitName::Test) => plan.test.as_ref(),
        None => plan.test.as_ref().or(plan.val.as_ref()).or(Some(&plan.train)),
    };
    found.cloned().ok_or_else(|| Failure::Usage(format!("the data of `{name}` has no such split")))
}

/// The `compile` event and its line.
fn compiled(ui: &Ui, run: &Run) {
    let i = &run.info;
    ui.event(&json!({
        "event": "compile", "ms": i.ms, "kernels": i.kernels, "params": i.params, "flops_per_step": i.flops,
        "arena_bytes": i.arena_bytes, "target": "cpu",
    }));
    ui.say(&format!(
        "compiled in {:.1} ms: {} kernels, {} parameters, {} FLOPs a step, {} of memory",
        i.ms,
        i.kernels,
        thousands(i.params),
        thousands(i.flops),
        bytes(i.arena_bytes)
    ));
    if ui.verbose {
        for (stage, ms) in &i.stages {
            ui.say(&format!("  {stage:<12} {ms:>8.2} ms"));
        }
    }
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let set = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    if set.is_err() {
        // Without a handler Ctrl-C ends the process at once, as it would any other; saved files are never half written.
        return stop;
    }
    stop
}
