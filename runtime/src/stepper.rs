//! A compiled program and its data as a [`Stepper`]: what the training loop drives.
//!
//! In: a [`Session`], a [`Dataset`] and the names of the losses and metrics. Out: losses and metrics of batches of rows.
//! The number of rows picks the entry; batches are gathered by the threads that run the step.

use crate::data::split::Dataset;
use crate::error::RuntimeError;
use crate::exec::{self, Gather, Session};
use crate::program::{Program, TensorSpec};
use crate::train::{Part, Ratio, Stepper};
use crate::weights::TensorRef;

/// Runs the entries of a program on rows of its data.
pub struct ProgramStepper {
    /// The program with its memory.
    pub session: Session,
    data: Dataset,
    seed: u64,
    /// For every entry and source: the columns of the entry's data tensors.
    columns: Vec<Vec<Option<Vec<usize>>>>,
    /// For every entry: where the ratios lie, by number of the name.
    ratios: Vec<Vec<Option<(usize, usize)>>>,
    train_names: Vec<String>,
    eval_names: Vec<String>,
    /// Metrics with state of their own: their ratio comes from the entry `result`, not from batches.
    own_state: Vec<bool>,
    /// Rows of the last batch, for finding out what went wrong in it.
    last: Vec<u32>,
    /// Parameters and state as they were before the last step, if they are kept.
    before: Option<[Vec<u8>; 2]>,
}

impl ProgramStepper {
    /// Ties a program to its data. `own_state[i]`: does metric `i` of `eval_names` keep state?
    pub fn new(
        session: Session,
        data: Dataset,
        seed: u64,
        train_names: Vec<String>,
        eval_names: Vec<String>,
        own_state: Vec<bool>,
    ) -> Self {
        let program = session.program().clone();
        let of_source = |entry: &crate::program::Entry, source: &[crate::data::Column]| {
            entry.data.iter().map(|t| source.iter().position(|c| c.name == t.name)).collect::<Option<Vec<usize>>>()
        };
        let columns = program.entries.iter().map(|e| data.sources.iter().map(|s| of_source(e, s)).collect()).collect();
        let place = |e: &crate::program::Entry, name: String| e.outputs.iter().position(|o| o.name == name);
        let ratios = program
            .entries
            .iter()
            .map(|e| {
                let names = if e.name == "train" { &train_names } else { &eval_names };
                let both = |n: &String| Some((place(e, format!("{n}.num"))?, place(e, format!("{n}.den"))?));
                names.iter().map(both).collect()
            })
            .collect();
        ProgramStepper {
            session,
            data,
            seed,
            columns,
            ratios,
            train_names,
            eval_names,
            own_state,
            last: vec![],
            before: None,
        }
    }

    /// The data.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Runs `init`: every parameter and state takes its initial value.
    pub fn initialize(&mut self) -> Result<(), RuntimeError> {
        self.run_alone("init")
    }

    /// Runs an entry that reads no data; nothing where there is none of that name.
    fn run_alone(&mut self, entry: &str) -> Result<(), RuntimeError> {
        if let Some(e) = self.session.entry(entry, 0) {
            self.session.run(e, self.seed, 0);
        }
        Ok(())
    }

    /// Runs an entry on rows of a source; `t` is the update counted from 1, 0 outside training. Returns the entry.
    pub fn run(&mut self, entry: &str, t: u64, source: usize, rows: &[u32]) -> Result<usize, RuntimeError> {
        let Some(e) = self.session.entry(entry, rows.len() as u64) else {
            return Err(RuntimeError::Bug(format!("no entry `{entry}` for {} rows", rows.len())));
        };
        self.session.set_step(e, "t", t as f64);
        let Some(Some(wanted)) = self.columns.get(e).and_then(|s| s.get(source)) else {
            return Err(RuntimeError::Bug(format!("source {source} lacks columns of `{entry}`")));
        };
        let all = &self.data.sources[source];
        let mut columns = [exec::Column { bytes: &[], row_bytes: 0 }; MAX_COLUMNS];
        let Some(used) = columns.get_mut(..wanted.len()) else {
            return Err(RuntimeError::Limit(format!("a step reads {} columns of at most {MAX_COLUMNS}", wanted.len())));
        };
        for (slot, &c) in used.iter_mut().zip(wanted) {
            *slot = exec::Column { bytes: &all[c].bytes, row_bytes: all[c].row_bytes() };
        }
        let gather = Gather { columns: used, rows };
        if let Some([params, state]) = &mut self.before {
            params.clear();
            params.extend_from_slice(self.session.params_bytes());
            state.clear();
            state.extend_from_slice(self.session.state_bytes());
        }
        self.last.clear();
        self.last.extend_from_slice(rows);
        self.session.run_batch(e, self.seed, t, &gather).map_err(|e| RuntimeError::Bug(e.to_string()))?;
        Ok(e)
    }

    /// The rows of the last batch.
    pub fn last_rows(&self) -> &[u32] {
        &self.last
    }

    /// Keeps what parameters and state were before each step, to find out later where a step went wrong.
    pub fn keep_before(&mut self, keep: bool) {
        self.before = keep.then(|| [vec![], vec![]]);
    }

    /// The values before the last step of a parameter or state; of a column, those at some rows of a source.
    pub fn slot_before(&self, name: &str, source: usize, rows: &[u32]) -> Option<Vec<f64>> {
        let program = self.session.program();
        let [params, state] = self.before.as_ref()?;
        for (specs, bytes) in [(&program.params, params), (&program.state, state)] {
            if let Some(s) = specs.iter().find(|s| s.name == name) {
                return Some(crate::data::convert::values(s.dtype, &bytes[range(s)]));
            }
        }
        let column = self.data.sources.get(source)?.iter().find(|c| c.name == name)?;
        let mut bytes = vec![0; rows.len() * column.row_bytes()];
        column.gather(rows, &mut bytes);
        Some(crate::data::convert::values(column.dtype, &bytes))
    }

    /// The values of an output of the last run.
    pub fn output(&self, entry: usize, name: &str) -> Option<Vec<f64>> {
        let spec = self.session.program().entries[entry].outputs.iter().find(|o| o.name == name)?;
        Some(crate::data::convert::values(spec.dtype, self.session.output(entry, name)?))
    }

    fn read(&self, e: usize, out: &mut [Ratio], wanted: impl Fn(usize) -> bool) -> Result<(), RuntimeError> {
        let outputs = &self.session.program().entries[e].outputs;
        let scalar = |output: usize| self.session.scalar_of(e, &outputs[output]);
        for (i, (place, out)) in self.ratios[e].iter().zip(out).enumerate() {
            if !wanted(i) {
                continue;
            }
            match place.and_then(|(num, den)| Some((scalar(num)?, scalar(den)?))) {
                Some((num, den)) => *out = Ratio { num, den },
                None => {
                    let names = [&self.train_names, &self.eval_names];
                    let name = names.iter().find_map(|n| n.get(i)).cloned().unwrap_or_default();
                    return Err(RuntimeError::Bug(format!("the step has no ratio `{name}`")));
                }
            }
        }
        Ok(())
    }
}

/// Most columns that one step reads; so that a step needs no memory of its own.
const MAX_COLUMNS: usize = 64;

impl Stepper for ProgramStepper {
    fn train_step(&mut self, t: u64, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("train", t, source, rows)?;
        self.read(e, out, |_| true)
    }

    fn begin_eval(&mut self) -> Result<(), RuntimeError> {
        if crate::mutant!("train.metric_reset") { Ok(()) } else { self.run_alone("reset") }
    }

    fn eval_step(&mut self, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("eval", 0, source, rows)?;
        self.read(e, out, |i| !self.own_state.get(i).copied().unwrap_or(false))
    }

    fn end_eval(&mut self, sums: &mut [Ratio]) -> Result<(), RuntimeError> {
        let Some(e) = self.session.entry("result", 0) else { return Ok(()) };
        self.session.run(e, self.seed, 0);
        self.read(e, sums, |i| self.own_state.get(i).copied().unwrap_or(false))
    }

    fn tensors(&self, part: Part) -> Vec<TensorRef<'_>> {
        let program = self.session.program();
        let bytes = match part {
            Part::Params => self.session.params_bytes(),
            Part::Model | Part::Training => self.session.state_bytes(),
        };
        specs(program, part)
            .iter()
            .map(|s| TensorRef { name: &s.name, dtype: s.dtype, shape: &s.shape, bytes: &bytes[range(s)] })
            .collect()
    }

    fn set(&mut self, part: Part, index: usize, bytes: &[u8]) {
        let program = self.session.program().clone();
        let all = match part {
            Part::Params => self.session.params_bytes_mut(),
            Part::Model | Part::Training => self.session.state_bytes_mut(),
        };
        if let Some(s) = specs(&program, part).get(index).filter(|s| s.bytes() == bytes.len() as u64) {
            all[range(s)].copy_from_slice(bytes);
        }
    }
}

/// The tensors of a part; those of the model lead its arena of states.
fn specs(program: &Program, part: Part) -> &[TensorSpec] {
    let (model, training) = program.state.split_at(program.model_state.min(program.state.len()));
    match part {
        Part::Params => &program.params,
        Part::Model => model,
        Part::Training => training,
    }
}

fn range(s: &TensorSpec) -> std::ops::Range<usize> {
    s.offset as usize..(s.offset + s.bytes()) as usize
}
