//! The pipeline as straight-line code.
//!
//! In: a program's file and options. Out: diagnostics, the graphs and kernels of every entry, a [`Program`] for the
//! runtime. Everything that a command needs of the compiler goes through here.

mod diverged;
mod fresh;
mod outputs;
mod parsed;
mod rates;
mod run;

pub use diverged::diverged;
pub use fresh::{Answered, Answers, Belief, Needs, needs, prepare_rows};
pub use outputs::{check_outputs, files_read, files_written, targets};
pub use parsed::{Parsed, parse_bytes, parse_file};
pub use rates::Rates;
pub use run::{Run, prepare};

use crate::codegen;
use crate::codegen::emit;
use crate::diag::{Diagnostic, Severity};
use crate::edits::Mender;
use crate::graph::graph::{Graph, Slot, SlotKind};
use crate::graph::{flops, print};
use crate::kernel::ir::KernelProgram;
use crate::opt;
use crate::pass::{self, PassOptions, Ran};
use crate::sched;
use crate::sema::suite;
use crate::sema::train::{self, Kind};
use crate::sema::units::{self, Batches, StoredRole, TrainUnit};
use crate::source::SourceMap;
use crate::syntax::{limits, source_from_bytes};
use nn_runtime::data::{self, Header, SourceSpec};
use nn_runtime::error::{DataError, RuntimeError, codes};
use nn_runtime::paths::DataPaths;
use nn_runtime::program::{IndexCheck, Program, TensorSpec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long findings wait for their edits to be tried, at most: only a program that takes long to check takes longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// The program is wrong, or its data; said already. The exit code.
    Diagnostics(u8),
    /// The command asks for something that there is not.
    Usage(String),
    /// A file, a limit, the numerics.
    Runtime(RuntimeError),
    /// A known gap of a back end.
    Limit(String),
    /// A defect of nnc.
    Bug(String),
}

impl From<RuntimeError> for Failure {
    fn from(e: RuntimeError) -> Self {
        Failure::Runtime(e)
    }
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        Failure::Runtime(e.into())
    }
}

/// What a compilation depends on beside the program's text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set`
    pub sets: Vec<(String, String)>,
    /// `--data`, then `NN_DATA`
    pub data: Vec<PathBuf>,
    /// `--out`
    pub out: PathBuf,
    /// `--seed`
    pub seed: Option<u64>,
    /// How passes run.
    pub passes: PassOptions,
    /// Is the training part evaluated too? Its last partial batch is an entry of its own.
    pub eval_train: bool,
    /// So many rows of a part are evaluated, at most: their last partial batch is one too.
    pub eval_rows: Option<u64>,
    /// Which entries are compiled.
    pub purpose: Use,
}

/// What a compiled program is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// Training, with evaluation.
    #[default]
    Train,
    /// Evaluation alone.
    Eval,
    /// The model's outputs.
    Predict,
}

/// A program that was read and checked.
pub struct Project {
    /// Its files, parsed.
    pub program: units::Program,
    /// Its training units; empty if there are errors.
    pub units: Vec<TrainUnit>,
    /// What was found.
    pub diags: Vec<Diagnostic>,
    /// Where data files are looked up.
    pub paths: DataPaths,
    /// How it is compiled.
    pub options: Options,
    /// When reading began.
    pub start: Instant,
}

impl Project {
    /// Checks the program's tests as well, unless something is wrong already.
    pub fn check_tests(&mut self) {
        if self.is_ok() {
            self.diags.extend(suite::check(&self.program));
            if !self.is_ok() {
                self.mend();
            }
        }
    }

    /// Tries the edits of what was found in tests.
    pub fn mend_tests(&self, tests: &mut [suite::TestUnit]) {
        let found: Vec<Diagnostic> = tests.iter().filter_map(|t| t.graph.as_ref().err()).flatten().cloned().collect();
        if found.is_empty() {
            return;
        }
        let mut mended = self.mended(found).into_iter();
        for d in tests.iter_mut().filter_map(|t| t.graph.as_mut().err()).flatten() {
            if let Some(m) = mended.next() {
                *d = m;
            }
        }
    }

    /// Tries the edits of what was found.
    fn mend(&mut self) {
        let found = std::mem::take(&mut self.diags);
        self.diags = self.mended(found);
    }

    fn mended(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let Some(file) = self.program.ast.files.get(self.program.main()).map(|f| f.id) else { return found };
        let main = self.program.sources.file(file);
        let (name, text) = (main.name.to_string(), main.text.to_string());
        // Files are opened once for all texts.
        let known = Mutex::new(vec![]);
        let known_header = |spec: &SourceSpec| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            match known.iter().find(|(s, _)| s == spec) {
                Some((_, h)) => Clone::clone(h),
                None => {
                    let h = header(spec, &self.paths);
                    known.push((spec.clone(), h.clone()));
                    h
                }
            }
        };
        let o = units::Options { seed: self.options.seed, header: &known_header };
        let check = |text: &str| {
            let (program, _, mut diags) = checked(&name, text, &self.options.sets, &o);
            if diags.iter().all(|d| d.severity != Severity::Error) {
                diags.extend(suite::check(&program));
            }
            diags
        };
        let mender = Mender { file, text: &text, check: &check, patience: PATIENCE };
        mender.mended(found)
    }

    /// The folder of the program's own file.
    pub fn folder(&self) -> PathBuf {
        let own = self.sources().files().nth(self.program.std_files).map(|(_, f)| PathBuf::from(&*f.name));
        let folder = own.as_deref().and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_owned()
    }

    /// All text, for messages.
    pub fn sources(&self) -> &SourceMap {
        &self.program.sources
    }

    /// Is the program right?
    pub fn is_ok(&self) -> bool {
        self.diags.iter().all(|d| d.severity != Severity::Error)
    }
}

/// Reads, parses and checks a program.
pub fn open(file: &Path, options: Options) -> Result<Project, DataError> {
    let start = Instant::now();
    let name = file.to_string_lossy().into_owned();
    let bytes = read_source(file).map_err(|e| read_error(&name, &e))?;
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let paths = DataPaths::new(folder, options.data.iter().cloned());
    let text = match source_from_bytes(&name, bytes.clone()) {
        Ok(text) => text,
        Err(d) => {
            let mut program = units::Program::default();
            program.sources.add(&name, &String::from_utf8_lossy(&bytes));
            return Ok(Project { program, units: vec![], diags: vec![d], paths, options, start });
        }
    };
    let header = |spec: &SourceSpec| header(spec, &paths);
    let o = units::Options { seed: options.seed, header: &header };
    let (program, units, diags) = checked(&name, &text, &options.sets, &o);
    let mut project = Project { program, units, diags, paths, options, start };
    if !project.is_ok() {
        project.mend();
    }
    Ok(project)
}

/// Parses and checks a text, but not its tests.
fn checked(
    name: &str,
    text: &str,
    sets: &[(String, String)],
    o: &units::Options<'_>,
) -> (units::Program, Vec<TrainUnit>, Vec<Diagnostic>) {
    let read = |path: &str, user: &str| read_used(path, user);
    let (mut program, mut diags) = units::Program::load_untested(name, text, &read);
    diags.extend(program.set(sets));
    let mut units = vec![];
    if diags.iter().all(|d| d.severity != Severity::Error) {
        let (made, more) = train::check(&program, o);
        units = made;
        diags.extend(more);
    }
    (program, units, diags)
}

/// What a source's header says.
pub fn header(spec: &SourceSpec, paths: &DataPaths) -> Result<Header, DataError> {
    data::open(spec, paths).map(|o| o.header().clone())
}

/// Why a program cannot be read.
pub fn read_error(name: &str, e: &std::io::Error) -> DataError {
    match e.kind() {
        std::io::ErrorKind::NotFound => DataError::new(codes::NOT_FOUND, name, "no such file"),
        _ => DataError::io(name, "read the program", e),
    }
}

/// A file that a program uses: below the folder of the file that uses it, and nowhere else.
fn read_used(path: &str, user: &str) -> Result<(String, String), String> {
    let folder = Path::new(user).parent().unwrap_or(Path::new(""));
    let at = DataPaths::new(folder, []).resolve(path).map_err(|e| e.message)?;
    let name = folder.join(path).to_string_lossy().into_owned();
    let bytes = read_source(&at).map_err(|e| format!("cannot read `{name}`: {}", nn_runtime::error::reason(&e)))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{name}` is not UTF-8 text"))?;
    Ok((name, text))
}

/// The bytes of a program, up to one more than a program may have: the parser says what is wrong with that.
fn read_source(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![];
    std::fs::File::open(path)?.take(limits::SOURCE.value + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One entry at every stage.
pub struct Stages {
    /// Which entry.
    pub kind: Kind,
    /// Its batch size; 0 where there is none.
    pub rows: u64,
    /// The graph after the passes, with their timings and prints.
    pub ran: Ran,
    /// Class numbers that its outputs check.
    pub checks: Vec<IndexCheck>,
    /// Kernels, buffers, launches.
    pub kernels: KernelProgram,
    /// Milliseconds of elaboration, passes, scheduling.
    pub ms: [f64; 3],
}

impl Stages {
    /// What code generation needs of the entry.
    fn source(&self) -> emit::Source<'_> {
        emit::Source {
            name: self.kind.name().to_owned(),
            batch: self.rows,
            program: &self.kernels,
            shapes: shapes(&self.ran.graph),
            flops: flops::of(&self.ran.graph),
            checks: &self.checks,
        }
    }
}

/// Takes one entry from the program to kernels.
pub fn stages(project: &Project, unit: &TrainUnit, kind: Kind, rows: u64) -> Result<Stages, Failure> {
    let start = Instant::now();
    let (graph, checks) = step(project, unit, kind, rows)?;
    let elaborated = start.elapsed();
    let ran = pass::run_passes(graph, opt::PASSES, &project.options.passes).map_err(|e| Failure::Bug(e.to_string()))?;
    let passed = start.elapsed();
    let kernels = sched::schedule(&ran.graph, &arenas(unit)).map_err(|e| match e {
        sched::ScheduleError::Limit(why) => Failure::Limit(why.to_string()),
        sched::ScheduleError::Bug(why) => Failure::Bug(why.to_string()),
    })?;
    let ms = [elaborated, passed - elaborated, start.elapsed() - passed].map(|d| d.as_secs_f64() * 1e3);
    Ok(Stages { kind, rows, ran, checks, kernels, ms })
}

/// A graph of a unit as elaborated.
pub fn graph(project: &Project, unit: &TrainUnit, kind: Kind, rows: u64) -> Result<Graph, Failure> {
    step(project, unit, kind, rows).map(|(g, _)| g)
}

/// A graph and what its outputs check. The unit was checked, so what is found here is a limit or a defect.
fn step(project: &Project, unit: &TrainUnit, kind: Kind, rows: u64) -> Result<(Graph, Vec<IndexCheck>), Failure> {
    // Entries without data are elaborated for a whole batch all the same: sizes that depend on it must work out.
    let rows = if rows == 0 { unit.batches().train } else { rows };
    unit.step(&project.program, kind, rows).map_err(|diags| {
        let text: Vec<String> = diags.iter().map(|d| format!("{}: {}", d.code, d.message)).collect();
        let batches = unit.batches();
        if kind == Kind::Eval && !batches.eval_all.contains(&rows) && rows != batches.train {
            return Failure::Usage(format!("the program does not fit a batch of {rows} rows: {}", text.join("; ")));
        }
        Failure::Bug(format!("the {} graph of a checked program: {}", kind.name(), text.join("; ")))
    })
}

/// A compiled program and what is to be said about it.
pub struct Compiled {
    /// The program.
    pub program: Arc<Program>,
    /// Batch sizes.
    pub batches: Batches,
    /// Facts for people.
    pub info: Info,
    /// Tells programs apart: a checkpoint belongs to one.
    pub fingerprint: String,
}

/// Facts about a compilation.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Milliseconds from reading the file to code that can run.
    pub ms: f64,
    /// Launches of a step: of training, or of what else the program is for.
    pub kernels: usize,
    /// Trained numbers.
    pub params: u64,
    /// Floating point operations of a step.
    pub flops: u64,
    /// Bytes of all arenas.
    pub arena_bytes: u64,
    /// Milliseconds by stage, summed over entries.
    pub stages: Vec<(&'static str, f64)>,
}

/// Compiles the entries of a unit for its purpose: `init`, `train` and `eval` for each batch size, metric results and
/// resets; `predict`.
pub fn compile(project: &Project, unit: &TrainUnit) -> Result<Compiled, Failure> {
    let mut batches = unit.batches();
    let train = project.options.eval_train.then(|| unit.data.rows_of("train"));
    for rows in [train, project.options.eval_rows].into_iter().flatten() {
        let rest = rows % batches.eval.max(1);
        if rest > 0 && !batches.eval_all.contains(&rest) {
            batches.eval_all.push(rest);
        }
    }
    let mut wanted = vec![];
    let purpose = project.options.purpose;
    if purpose == Use::Train {
        wanted.extend(batches.train_all.iter().map(|&n| (Kind::Train, n)));
    }
    if purpose == Use::Predict {
        wanted.push((Kind::Predict, batches.eval));
    } else {
        wanted.extend(batches.eval_all.iter().map(|&n| (Kind::Eval, n)));
    }
    wanted.push((Kind::Init, 0));
    if purpose != Use::Predict && unit.metrics.iter().any(|m| m.stateful) {
        wanted.extend([(Kind::Result, 0), (Kind::Reset, 0)]);
    }
    compile_entries(project, unit, batches, &wanted)
}

/// Compiles some entries, the one that counts first. Entries are independent, so two threads share them.
fn compile_entries(
    project: &Project,
    unit: &TrainUnit,
    batches: Batches,
    wanted: &[(Kind, u64)],
) -> Result<Compiled, Failure> {
    let all = all_stages(project, unit, wanted)?;
    let arenas = arenas(unit);
    let (params, state) =
        (specs(&unit.params, SlotKind::Param, &arenas), specs(&unit.states, SlotKind::State, &arenas));
    let sources: Vec<emit::Source<'_>> = all.iter().map(Stages::source).collect();
    let before = Instant::now();
    let mut program = emit::emit(&unit.name, params, state, &sources).map_err(codegen_failure)?;
    program.model_state = unit.states.iter().take_while(|s| s.role == StoredRole::Model).count();
    let stored = unit.params.iter().chain(&unit.states);
    program.classes = stored.filter_map(|s| Some((s.name.to_string(), s.classes?))).collect();
    let code_ms = before.elapsed().as_secs_f64() * 1e3;
    let first = program.entries.first();
    let stage = |i: usize| all.iter().map(|s| s.ms[i]).sum::<f64>();
    let info = Info {
        ms: project.start.elapsed().as_secs_f64() * 1e3,
        kernels: first.map_or(0, |e| e.launches().len()),
        params: unit.params.iter().map(|p| p.ty.numel()).sum(),
        flops: first.map_or(0, |e| e.flops),
        arena_bytes: program.arena_bytes(),
        stages: vec![("elaborate", stage(0)), ("passes", stage(1)), ("schedule", stage(2)), ("code", code_ms)],
    };
    Ok(Compiled { program: Arc::new(program), batches, info, fingerprint: fingerprint(&all) })
}

/// A checksum of the text of all entries: what is computed, not how long or where it is saved.
fn fingerprint(all: &[Stages]) -> String {
    // FNV-1a, 64 bits: equal programs must agree, others must differ but for accidents.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for b in all.iter().flat_map(|s| print::to_text(&s.ran.graph).into_bytes()) {
        hash = (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// A program of one entry that makes the fields of drawn data for all rows.
fn fields(project: &Project, unit: &TrainUnit, rows: u64) -> Result<Arc<Program>, Failure> {
    let s = stages(project, unit, Kind::Fields, rows)?;
    let program = emit::emit(&unit.name, vec![], vec![], &[s.source()]).map_err(codegen_failure)?;
    Ok(Arc::new(program))
}

fn all_stages(project: &Project, unit: &TrainUnit, wanted: &[(Kind, u64)]) -> Result<Vec<Stages>, Failure> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = vec![];
        while let Some(&(kind, rows)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(stages(project, unit, kind, rows));
        }
        done
    };
    let mut all: Vec<Stages> = std::thread::scope(|s| {
        let other = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(s, work);
        let mut all = work();
        if let Ok(other) = other {
            match other.join() {
                Ok(more) => all.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
    .into_iter()
    .collect::<Result<_, _>>()?;
    all.sort_by_key(|s| wanted.iter().position(|w| *w == (s.kind, s.rows)));
    Ok(all)
}

/// Where parameters and states live in the arenas that all entries share: in order of declaration.
fn arenas(unit: &TrainUnit) -> sched::Layout {
    let mut layout = sched::Layout::default();
    for (stored, kind) in [(&unit.params, SlotKind::Param), (&unit.states, SlotKind::State)] {
        stored.iter().for_each(|s| layout.add(&slot(s, kind)));
    }
    layout
}

fn slot(s: &units::StoredInfo, kind: SlotKind) -> Slot {
    Slot { name: s.name.clone(), kind, ty: s.ty.clone() }
}

fn specs(stored: &[units::StoredInfo], kind: SlotKind, arenas: &sched::Layout) -> Vec<TensorSpec> {
    let spec = |s: &units::StoredInfo| TensorSpec {
        name: s.name.to_string(),
        dtype: s.ty.dtype,
        shape: s.ty.shape.to_vec(),
        offset: arenas.offset(&slot(s, kind)),
    };
    stored.iter().map(spec).collect()
}

/// Shapes of slots and outputs by name.
fn shapes(g: &Graph) -> BTreeMap<String, Vec<u64>> {
    let slots = g.slots.iter().map(|s| (s.name.to_string(), s.ty.shape.to_vec()));
    let outputs = g.outputs.iter().map(|o| (o.name.to_string(), g.ty(o.value).shape.to_vec()));
    slots.chain(outputs).collect()
}

/// A code generation error as the failure of a command.
pub fn codegen_failure(e: codegen::Error) -> Failure {
    match e {
        codegen::Error::Limit(why) => Failure::Limit(why),
        codegen::Error::Bug(why) => Failure::Bug(why),
    }
}
