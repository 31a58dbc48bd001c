//! A unit made ready to run: compiled, its data decoded, its weights initial or loaded.
//!
//! In: a checked project. Out: a [`Run`] that the training loop, evaluation, prediction and benchmarks drive. Data are
//! decoded on their own threads while the program compiles.

use super::{Compiled, Failure, Info, Project, compile, graph};
use crate::graph::interp::{self, Feeds};
use crate::graph::ops::Op;
use crate::graph::tensor::Tensor;
use crate::sema::overrides::LR;
use crate::sema::train::Kind;
use crate::sema::units::{BatchSize, ComputedIds, Monitor, Save, TrainUnit};
use crate::syntax::ast::{ItemKind, TrainEntry};
use nn_runtime::arena;
use nn_runtime::checkpoint::{Identity, Settings};
use nn_runtime::data::check::{check_finite, check_range};
use nn_runtime::data::split::Dataset;
use nn_runtime::data::{self, Column, Opened, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::{DataError, RuntimeError, codes, show_path};
use nn_runtime::exec::Session;
use nn_runtime::program::TensorSpec;
use nn_runtime::stepper::ProgramStepper;
use nn_runtime::threads;
use nn_runtime::train::{self, Length, TrainPlan};
use nn_runtime::weights::{self, TensorRef, Wanted};
use std::path::Path;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// A unit ready to run.
pub struct Run {
    /// The program on its data.
    pub stepper: ProgramStepper,
    /// What training does.
    pub plan: TrainPlan,
    /// Facts about the compilation.
    pub info: Info,
    /// What is to be known of the weights that were loaded last: they replace all others.
    pub warning: Option<String>,
}

/// Compiles a unit, loads its data, makes its initial weights. What it saves goes below the options' output folder.
pub fn prepare(project: &Project, unit: &TrainUnit, n_threads: Option<usize>) -> Result<Run, Failure> {
    let (data, compiled) = std::thread::scope(|s| {
        let loading = std::thread::Builder::new().spawn_scoped(s, || {
            threads::run_in_background();
            load(project, unit)
        });
        let compiled = compile(project, unit);
        let data = match loading.map(ScopedJoinHandle::join) {
            Ok(Ok(data)) => data,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // There is no thread to spare.
            Err(_) => load(project, unit),
        };
        (data, compiled)
    });
    let compiled = compiled?;
    let mut data = data?;
    if unit.data.drawn {
        draw_fields(project, unit, n_threads, &mut data)?;
    } else {
        check_computed_ids(project, unit, &data)?;
    }
    within_memory(&compiled.info)?;
    let mut run = ready(project, unit, data, compiled, n_threads)?;
    for file in &unit.load {
        run.load_weights(&project.paths.resolve(file)?)?;
    }
    Ok(run)
}

/// Refuses a plan for which there is not enough memory.
pub(super) fn within_memory(info: &Info) -> Result<(), Failure> {
    if let Some(free) = arena::available().filter(|&free| free < info.arena_bytes) {
        let gib = |n: u64| n as f64 / (1u64 << 30) as f64;
        let why = format!(
            "the plan needs {:.1} GiB of memory for parameters, optimizer state and temporaries; {:.1} GiB are available",
            gib(info.arena_bytes),
            gib(free)
        );
        return Err(RuntimeError::Limit(why).into());
    }
    Ok(())
}

/// A compiled unit on its data, with its initial weights.
pub(super) fn ready(
    project: &Project,
    unit: &TrainUnit,
    data: Dataset,
    compiled: Compiled,
    n_threads: Option<usize>,
) -> Result<Run, Failure> {
    let Compiled { program, batches, info, fingerprint } = compiled;
    let session = Session::new(program, n_threads).map_err(|e| RuntimeError::Limit(e.to_string()))?;
    let train_names = vec!["loss".to_owned()];
    let eval_names: Vec<String> =
        std::iter::once("loss".to_owned()).chain(unit.metrics.iter().map(|m| m.name.clone())).collect();
    let own_state: Vec<bool> = std::iter::once(false).chain(unit.metrics.iter().map(|m| m.stateful)).collect();
    let part = |name: &str| data.split(name).cloned();
    let Some(train) = part("train") else {
        return Err(Failure::Bug("data without a training part".to_owned()));
    };
    let monitor = |m: &Monitor| train::Monitor {
        train: m.train,
        metric: if m.train { &train_names } else { &eval_names }.iter().position(|n| *n == m.metric).unwrap_or(0),
        maximize: m.maximize,
    };
    let identity = Identity {
        program: fingerprint,
        data: if unit.save.is_some() { data.fingerprint() } else { 0 },
        seed: unit.seed,
        batch: batches.train,
        rows: train.rows.len(),
    };
    let targets = super::targets(unit).map(|to| to.below(&project.options.out));
    let plan = TrainPlan {
        length: unit.epochs.map_or(Length::Steps(unit.steps), Length::Epochs),
        batch: batches.train,
        eval_batch: batches.eval,
        seed: unit.seed,
        shuffle: unit.batch != BatchSize::Full,
        train_names: train_names.clone(),
        eval_names: eval_names.clone(),
        train,
        val: part("val"),
        test: part("test"),
        save: unit.save.as_ref().zip(targets.as_ref()).map(|(s, to)| match s {
            Save::Last(_) => train::Save::Last(to.weights.clone()),
            Save::Best(_, m) => train::Save::Best(to.weights.clone(), monitor(m)),
        }),
        stop: unit.stop.as_ref().map(|(n, m)| (*n, monitor(m))),
        checkpoint: targets.map(|to| to.checkpoint),
        write_every: Duration::from_secs(30),
        identity,
        settings: settings(project, unit),
        resume: None,
    };
    let mut stepper = ProgramStepper::new(session, data, unit.seed, train_names, eval_names, own_state);
    let metrics = unit.metrics.iter().filter_map(|m| m.derived.clone());
    stepper.derive(unit.train_loss.iter().cloned().collect(), unit.eval_loss.iter().cloned().chain(metrics).collect());
    stepper.initialize()?;
    Ok(Run { stepper, plan, info, warning: None })
}

/// What a unit is told: its own settings as they are written, and what the command line sets besides. Settings that a run
/// may change when it goes on are left out.
fn settings(project: &Project, unit: &TrainUnit) -> Settings {
    let program = &project.program;
    let items = program.ast.files.get(program.main()).map(|f| &f.items);
    let Some(ItemKind::Train(train)) = items.and_then(|i| i.get(unit.item)).map(|i| &i.kind) else { return vec![] };
    let text = |e| program.sources.text(program.ast.span(e)).split_whitespace().collect::<Vec<_>>().join(" ");
    let own = train.entries.iter().filter_map(|e| match e {
        TrainEntry::Setting(s) => Some((s.name.text.to_string(), text(s.value))),
        _ => None,
    });
    let binds = train.binds.iter().map(|b| (b.name.text.to_string(), text(b.value)));
    let mut all: Settings = binds.chain(own).collect();
    for (path, value) in &project.options.sets {
        let path = if path == LR { "train.optimizer.lr" } else { path };
        // A setting of the item stands above with this value.
        if all.iter().all(|(n, _)| path.strip_prefix("train.") != Some(n)) {
            all.push((path.to_owned(), value.clone()));
        }
    }
    all.retain(|(n, _)| !matches!(&**n, "save" | "stop" | "batch" | "seed"));
    all
}

/// Drawn data: the fields of all rows, made once by a program of their own, are the columns.
fn draw_fields(
    project: &Project,
    unit: &TrainUnit,
    n_threads: Option<usize>,
    data: &mut Dataset,
) -> Result<(), Failure> {
    for (source, spec) in unit.data.sources.iter().enumerate() {
        let SourceSpec::Rows { n, seed } = *spec.plain() else { continue };
        let program = super::fields(project, unit, n)?;
        let mut session = Session::new(program.clone(), n_threads).map_err(|e| RuntimeError::Limit(e.to_string()))?;
        let Some((e, entry)) = program.entries.iter().enumerate().next() else { continue };
        session.run(e, seed, 0);
        for t in &entry.outputs {
            let made = Column {
                name: t.name.clone(),
                dtype: t.dtype,
                shape: t.shape.get(1..).unwrap_or_default().to_vec(),
                rows: n,
                bytes: session.output(e, &t.name).unwrap_or_default().to_vec(),
                inexact: None,
            };
            match unit.data.computed_ids.iter().find(|ids| ids.output == t.name) {
                Some(ids) => check_ids(spec.name(), ids, made)?,
                None => data.sources[source].push(made),
            }
        }
    }
    Ok(())
}

/// Rows that the reference interpreter evaluates at once.
const CHECKED_ROWS: usize = 1024;

/// Holds class numbers that fields compute from columns (`y: idx<3> = label - 1`) against their number of classes.
fn check_computed_ids(project: &Project, unit: &TrainUnit, data: &Dataset) -> Result<(), Failure> {
    for ids in &unit.data.computed_ids {
        for (spec, columns) in unit.data.sources.iter().zip(&data.sources) {
            let Some(made) = computed(project, unit, &ids.output, columns)? else {
                return Err(Failure::Bug(format!("`{}` reads what is no column", ids.output)));
            };
            check_ids(spec.name(), ids, made)?;
        }
    }
    Ok(())
}

pub(super) fn check_ids(source: &str, ids: &ComputedIds, made: Column) -> Result<(), DataError> {
    let made = Column { name: ids.text.clone(), ..made };
    match ids.size {
        Some(size) => check_range(source, &ids.what, &made, size),
        None => check_finite(source, &ids.what, &made),
    }
}

/// An output of the fields of all rows of a source, by the reference interpreter, as a column of `f32` or `f64`. Nothing
/// where it reads a column that is not there.
pub(super) fn computed(
    project: &Project,
    unit: &TrainUnit,
    output: &str,
    columns: &[Column],
) -> Result<Option<Column>, Failure> {
    let rows = columns.first().map_or(0, |c| c.rows);
    let all: Vec<u32> = (0..rows as u32).collect();
    let mut bytes = vec![];
    let (mut dtype, mut shape) = (DType::F64, vec![]);
    for chunk in all.chunks(CHECKED_ROWS) {
        let g = graph(project, unit, Kind::Fields, chunk.len() as u64)?;
        let Some(out) = g.outputs.iter().find(|o| *o.name == *output) else {
            return Err(Failure::Bug(format!("no output `{output}`")));
        };
        let read = g.live([out.value]);
        let reads = |i: usize| {
            let nodes = g.nodes.iter().zip(&read);
            nodes.into_iter().any(|(n, read)| *read && matches!(n.op, Op::Input { slot } if slot as usize == i))
        };
        let mut slots = vec![];
        for (i, slot) in g.slots.iter().enumerate() {
            let Some(c) = columns.iter().find(|c| *c.name == *slot.name) else {
                if reads(i) {
                    return Ok(None);
                }
                slots.push(Tensor::new(slot.ty.clone(), vec![0.0; slot.ty.numel() as usize]));
                continue;
            };
            let mut part = vec![0; chunk.len() * c.row_bytes()];
            c.gather(chunk, &mut part);
            slots.push(Tensor::new(slot.ty.clone(), data::convert::values(c.dtype, &part)));
        }
        let ty = g.ty(out.value);
        // Integers as they come out, also those that fit no i32.
        dtype = if ty.dtype == DType::F32 { DType::F32 } else { DType::F64 };
        shape = ty.shape.get(1..).unwrap_or_default().to_vec();
        let feeds = Feeds { slots, seed: unit.seed, step: 0 };
        let values = interp::run_values(&g, &feeds, &[out.value]).map_err(Failure::Bug)?;
        for x in values.iter().flat_map(|t| t.data.iter()) {
            bytes.extend(if dtype == DType::F32 {
                (*x as f32).to_ne_bytes().to_vec()
            } else {
                x.to_ne_bytes().to_vec()
            });
        }
    }
    Ok(Some(Column { name: output.to_owned(), dtype, shape, rows, bytes, inexact: None }))
}

/// Opens and decodes the data of a unit.
fn load(project: &Project, unit: &TrainUnit) -> Result<Dataset, DataError> {
    let mut opened: Vec<(String, Opened)> = vec![];
    for spec in &unit.data.sources {
        opened.push((
            spec.name().to_owned(),
            data::open(spec, &project.paths)?.only(&|name| unit.data.columns.contains(name)),
        ));
    }
    Dataset::load(opened, &unit.data.splits, &unit.data.checks)
}

impl Run {
    /// Loads parameters and the model's state from a safetensors file, which must hold exactly the unit's. What begins
    /// finite must be finite in the file.
    pub fn load_weights(&mut self, path: &Path) -> Result<(), RuntimeError> {
        let file = weights::read(path)?;
        let program = self.stepper.session.program().clone();
        let model = program.state.iter().take(program.model_state);
        let specs: Vec<&TensorSpec> = program.params.iter().chain(model).collect();
        let wanted: Vec<Wanted<'_>> =
            specs.iter().map(|t| Wanted { name: &t.name, dtype: t.dtype, shape: &t.shape }).collect();
        let hint = "weights of a run with `--set` fit the program with the same `--set`";
        let tensors = file
            .fit(&program.name, &wanted)
            .map_err(|e| if e.code == codes::WEIGHTS_MISFIT { e.help(hint) } else { e })?;
        self.warning = None;
        if let [first, rest @ ..] = &file.rounded(&wanted)[..] {
            let others = match rest.len() {
                0 => String::new(),
                1 => " and 1 other".to_owned(),
                n => format!(" and {n} others"),
            };
            let file = show_path(path);
            let rule = "the model has them in f32; `precision = f64` keeps every digit";
            self.warning = Some(format!("{file}: `{first}`{others} rounded from f64: {rule}"));
        }
        let parts = [(train::Part::Params, program.params.len()), (train::Part::Model, program.model_state)];
        let places = parts.into_iter().flat_map(|(part, n)| (0..n).map(move |i| (part, i)));
        for ((part, i), (t, bytes)) in places.zip(specs.iter().zip(&tensors)) {
            let own = train::Stepper::tensors(&self.stepper, part);
            let loaded = TensorRef { name: &t.name, dtype: t.dtype, shape: &t.shape, bytes };
            let begins_finite = own.get(i).is_some_and(|t| weights::first_non_finite([t]).is_none());
            if let (true, Some((name, value))) = (begins_finite, weights::first_non_finite([&loaded])) {
                let what = format_args!("`{name}` holds {value}");
                let e = DataError::new(codes::NOT_FINITE, &path.to_string_lossy(), what)
                    .help("these are weights of a run that diverged: train again, with a smaller learning rate");
                return Err(RuntimeError::NotFinite(e));
            }
            weights::check_classes(&path.to_string_lossy(), &loaded, train::Stepper::classes(&self.stepper, &t.name))?;
            train::Stepper::set(&mut self.stepper, part, i, bytes);
        }
        Ok(())
    }
}
