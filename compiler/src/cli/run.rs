//! `nnc train`, `nnc eval`: a compiled program on its data.

use super::args::{SplitName, TrainArgs, WeightArgs};
use super::log::Log;
use super::progress::{Progress, done, object};
use super::ui::{Ui, bytes, counted, large, seconds, short};
use crate::driver::{self, Failure, Project, Rates, Run, Use};
use crate::sema::units::{Save, TrainUnit};
use clap::ValueEnum;
use nn_runtime::checkpoint;
use nn_runtime::claims;
use nn_runtime::error::{DataError, RuntimeError, codes};
use nn_runtime::train::{self, Ended};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Trains and saves.
pub fn train(args: &TrainArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    let unit = super::unit(&project, ui)?;
    super::check_outputs(&project, unit, ui)?;
    if let Some(path) = &args.log {
        claims::check("--log", path, &driver::files_read(&project, unit), &driver::files_written(&project))?;
    }
    let log = args.log.as_deref().map(|path| Log::open(path, args.resume)).transpose()?;
    let mut run = driver::prepare(&project, unit, args.common.threads.map(usize::from))?;
    compiled(ui, &run);
    warning(ui, &run);
    if args.resume {
        let Some(path) = run.plan.checkpoint.clone() else {
            return Err(Failure::Usage("the program saves nothing to resume from; add `save = last(..)`".to_owned()));
        };
        run.plan.resume = Some(checkpoint::read(&path)?);
    }
    run.stepper.keep_before(args.check_finite);
    // Until here nothing was there to be saved, and a signal ends the process as it would any other.
    let stop = super::stop_on_interrupt();
    let mut progress = Progress::new(*ui, Rates::new(&project, unit)?, log);
    let result = train::train(&run.plan, &mut run.stepper, &mut progress, &stop);
    let log_failed = progress.close();
    match result {
        Ok(summary) => {
            done(ui, &summary);
            if run.plan.save.is_none() {
                let add = format!("`save = last(\"{}.safetensors\")` in the `train` item keeps them", unit.name);
                ui.note(&format!("the weights are not kept: {add}"));
            }
            match (log_failed, summary.ended) {
                (Some(e), _) => Err(e),
                (None, Ended::Complete | Ended::Patience) if let Some(what) = &summary.unmeasured => {
                    let message = format_args!("`{what}` was NaN after every epoch, so none of them is the best");
                    let e = DataError::new(codes::NOT_FINITE, &unit.name, message);
                    let saved = summary.weights.iter().map(|w| w.display());
                    let e = saved.fold(e, |e, w| e.note(format!("{w} holds the weights of the last epoch")));
                    Err(RuntimeError::NotFinite(e).into())
                }
                // What was asked for is not done: `nnc train .. && nnc eval ..` stops here.
                (None, Ended::Interrupted) => Err(Failure::Diagnostics(super::INTERRUPTED)),
                (None, Ended::Complete | Ended::Patience) => Ok(()),
            }
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
    let mut split = part(&run, args.split, &name)?;
    if let Some(n) = args.limit {
        split.rows = split.rows.first(n);
    }
    let names = run.plan.eval_names.clone();
    let batch = run.plan.eval_batch;
    // An evaluation has nothing to save: a signal ends it.
    let go_on = AtomicBool::new(false);
    let Some(values) = train::evaluate(&mut run.stepper, &split, &names, batch, &go_on)? else {
        return Err(Failure::Bug("an evaluation that nobody stops has stopped".to_owned()));
    };
    ui.event(&json!({ "event": "eval", "split": split.name, "rows": split.rows.len(), "values": object(&values) }));
    let text: Vec<String> = values.iter().map(|(n, x)| format!("{n} {}", short(*x))).collect();
    ui.text(&format!("{} ({}): {}", split.name, counted(split.rows.len(), "row"), text.join(", ")));
    match values.first().filter(|(_, loss)| !loss.is_finite()) {
        None => Ok(()),
        Some((_, loss)) => {
            let e = DataError::new(codes::NOT_FINITE, &name, format_args!("the {} loss is {loss}", split.name));
            Err(RuntimeError::NotFinite(e.note("the weights are finite; a value on the way to the loss is not")).into())
        }
    }
}

/// Compiles a program and loads its weights.
fn with_weights(args: &WeightArgs, ui: &Ui) -> Result<(Run, String), Failure> {
    let mut project = super::open(&args.file, &args.common, ui)?;
    let held_out = super::unit(&project, ui)?.data.splits.iter().any(|s| s.name != "train");
    project.options.purpose = Use::Eval;
    project.options.eval_train = args.split.map_or(!held_out, |s| s == SplitName::Train);
    project.options.eval_rows = args.limit;
    let unit = super::unit(&project, ui)?;
    let mut run = driver::prepare(&project, unit, args.common.threads.map(usize::from))?;
    compiled(ui, &run);
    let path = weights_path(&project, unit, args.weights.as_deref())?;
    run.load_weights(&path)?;
    warning(ui, &run);
    Ok((run, unit.name.clone()))
}

/// The weights asked for; by default what the program saves, which must be there.
pub(super) fn weights_path(project: &Project, unit: &TrainUnit, wanted: Option<&Path>) -> Result<PathBuf, DataError> {
    let saved = unit.save.as_ref().map(Save::file);
    let (path, file) = match (wanted, saved) {
        (Some(path), _) => return Ok(path.to_owned()),
        (None, Some(file)) => (project.options.out.join(file), file),
        (None, None) => {
            return Err(DataError::new(codes::NOT_FOUND, &unit.name, "the program saves no weights")
                .help(format!("add `save = last(\"{}.safetensors\")` to its `train` item, and train", unit.name))
                .help("or name a file: --weights model.safetensors"));
        }
    };
    if path.exists() {
        return Ok(path);
    }
    // Where `train` with another `--out` may have left them.
    let beside = project.folder();
    let e = DataError::new(codes::NOT_FOUND, &path.to_string_lossy(), "no such weight file");
    Err(if beside.join(file).is_file() {
        e.help(format!("it lies beside the program: `--out {}`", beside.display()))
    } else {
        e.help("`nnc train` writes this file; trained with `--out DIR`, it is in that folder, which is to be named here too")
    })
}

/// The split asked for; by default the test part, else the validation part, else the training part.
pub(super) fn part(
    run: &Run,
    wanted: Option<SplitName>,
    name: &str,
) -> Result<nn_runtime::data::split::Split, Failure> {
    let plan = &run.plan;
    let found = match wanted {
        Some(SplitName::Train) => Some(&plan.train),
        Some(SplitName::Val) => plan.val.as_ref(),
        Some(SplitName::Test) => plan.test.as_ref(),
        None => plan.test.as_ref().or(plan.val.as_ref()).or(Some(&plan.train)),
    };
    found.cloned().ok_or_else(|| {
        let there = [("train", true), ("val", plan.val.is_some()), ("test", plan.test.is_some())];
        let there: Vec<&str> = there.into_iter().filter(|(_, is)| *is).map(|(n, _)| n).collect();
        let asked = wanted.and_then(|w| w.to_possible_value()).map_or_else(String::new, |v| v.get_name().to_owned());
        Failure::Usage(format!("the data of `{name}` has no split `{asked}`; there is: {}", there.join(", ")))
    })
}

/// What is to be known of loaded weights.
pub(super) fn warning(ui: &Ui, run: &Run) {
    run.warning.iter().for_each(|w| ui.warn(w));
}

/// The `compile` event and its line.
pub(super) fn compiled(ui: &Ui, run: &Run) {
    let i = &run.info;
    ui.event(&json!({
        "event": "compile", "ms": i.ms, "kernels": i.kernels, "params": i.params, "flops_per_step": i.flops,
        "arena_bytes": i.arena_bytes, "target": "cpu",
    }));
    let flops =
        if i.flops < 1000 { format!("{} FLOPs a step", i.flops) } else { format!("{}FLOPs a step", large(i.flops)) };
    let phrases = [
        format!("compiled in {}: {}", seconds(i.ms / 1e3), counted(i.kernels as u64, "kernel")),
        counted(i.params, "parameter"),
        flops,
        bytes(i.arena_bytes),
    ];
    ui.note(&ui.flow(&phrases, ui.width_err()));
    if ui.verbose {
        for (stage, ms) in &i.stages {
            ui.note(&format!("  {stage:<12} {ms:>8.2} ms"));
        }
    }
}
