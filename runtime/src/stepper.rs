//! A compiled program and its data as a [`Stepper`]: what the training loop drives.
//!
//! In: a [`Session`], a [`Dataset`] and the names of the losses and metrics. Out: losses and metrics of batches of rows.
//! The number of rows picks the entry; batches are gathered by the threads that run the step.

use crate::data::split::Dataset;
use crate::error::RuntimeError;
use crate::exec::{Column, Gather, Session};
use crate::train::{Part, Ratio, Stepper};
use crate::weights::TensorRef;

/// Runs the entries `train` and `eval` of a program on rows of its data.
pub struct ProgramStepper {
    /// The program with its memory.
    pub session: Session,
    /// The data, resident.
    pub data: Dataset,
    /// Seed of the draws in the step.
    pub seed: u64,
    /// Names of the train step's ratios: outputs `name.num` and `name.den`.
    pub train_names: Vec<String>,
    /// Names of the eval step's ratios.
    pub eval_names: Vec<String>,
}

impl ProgramStepper {
    /// Runs an entry on rows of a source; `t` is the update counted from 1, 0 outside training.
    pub fn run(&mut self, entry: &str, t: u64, source: usize, rows: &[u32]) -> Result<usize, RuntimeError> {
        let Some(e) = self.session.entry(entry, rows.len() as u64) else {
            return Err(RuntimeError::Bug(format!("no entry `{entry}` for {} rows", rows.len())));
        };
        if !self.session.set_step(e, "t", t as f64) && entry == "train" && t == 0 {
            return Err(RuntimeError::Bug("training steps count from 1".to_owned()));
        }
        let mut columns: Vec<Column<'_>> = Vec::new();
        let wanted = self.session.program().entries[e].data.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
        for name in &wanted {
            let all = self.data.sources.get(source).map(Vec::as_slice).unwrap_or_default();
            let Some(c) = all.iter().find(|c| c.name == *name) else {
                return Err(RuntimeError::Bug(format!("source {source} has no column `{name}`")));
            };
            columns.push(Column { bytes: &c.bytes, row_bytes: c.row_bytes() });
        }
        let gather = Gather { columns: &columns, rows };
        self.session.run_batch(e, self.seed, t, &gather).map_err(|e| RuntimeError::Bug(e.to_string()))?;
        Ok(e)
    }
}

/// Reads `name.num` and `name.den` for every name.
fn ratios(session: &Session, e: usize, names: &[String], out: &mut [Ratio]) -> Result<(), RuntimeError> {
    for (name, out) in names.iter().zip(out) {
        let read = |part: &str| session.scalar(e, &format!("{name}.{part}"));
        match (read("num"), read("den")) {
            (Some(num), Some(den)) => *out = Ratio { num, den },
            _ => return Err(RuntimeError::Bug(format!("the step has no ratio `{name}`"))),
        }
    }
    Ok(())
}

impl Stepper for ProgramStepper {
    fn train_step(&mut self, t: u64, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("train", t, source, rows)?;
        ratios(&self.session, e, &self.train_names, out)
    }

    fn eval_step(&mut self, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("eval", 0, source, rows)?;
        ratios(&self.session, e, &self.eval_names, out)
    }

    fn tensors(&self, part: Part) -> Vec<TensorRef<'_>> {
        let program = self.session.program();
        let (specs, bytes) = match part {
            Part::Params => (&program.params, self.session.params_bytes()),
            Part::State => (&program.state, self.session.state_bytes()),
        };
        let of = |s: &crate::program::TensorSpec| s.offset as usize..(s.offset + s.bytes()) as usize;
        specs
            .iter()
            .map(|s| TensorRef { name: &s.name, dtype: s.dtype, shape: &s.shape, bytes: &bytes[of(s)] })
            .collect()
    }

    fn set(&mut self, part: Part, index: usize, bytes: &[u8]) {
        let program = self.session.program().clone();
        let (specs, all) = match part {
            Part::Params => (&program.params, self.session.params_bytes_mut()),
            Part::State => (&program.state, self.session.state_bytes_mut()),
        };
        if let Some(s) = specs.get(index).filter(|s| s.bytes() == bytes.len() as u64) {
            let start = s.offset as usize;
            all[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
}
