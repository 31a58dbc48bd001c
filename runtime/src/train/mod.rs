//! The training loop over plain data: epochs, evaluation, best and last weights, stopping, resuming.
//!
//! In: a [`TrainPlan`], a [`Stepper`] that runs the compiled step, and an [`Observer`]. Out: a [`Summary`], weights on
//! disk, and events on the way. The loop knows no kernels and the stepper knows no epochs.
//!
//! Losses and metrics are ratios; numerators and denominators are summed over an epoch in `f64`, so a short last batch
//! weighs what it should. After each epoch the validation part is evaluated, or the test part where there is no
//! validation; with a validation part the test part is seen once, at the end, with the weights that are kept. Where
//! nothing is held out, the metrics are those of the training rows.
//!
//! Invariant: the loop's decisions depend on the plan, the data and the stepper's numbers alone. Time decides only how
//! often files are written on the way, never what the last one holds.
//!
//! Invariant: weights that are not finite are never written, and a run that diverges leaves the file that it finds.

pub mod derived;
mod run;
#[cfg(test)]
mod tests;

pub use run::{evaluate, train};

use crate::checkpoint::{Checkpoint, Identity, Settings};
use crate::data::split::Split;
use crate::error::RuntimeError;
use crate::weights::TensorRef;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A numerator and a denominator: a mean under way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio {
    /// Weighted sum.
    pub num: f64,
    /// Sum of weights.
    pub den: f64,
}

impl Ratio {
    /// The mean; NaN while nothing was counted.
    pub fn value(self) -> f64 {
        self.num / self.den
    }
}

/// Which of a program's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Parameters.
    Params,
    /// The model's own state: running statistics. With the parameters it makes up the weights.
    Model,
    /// Optimizer and metric state.
    Training,
}

/// Runs the compiled step. Rows are row numbers of a source; their number picks the specialization.
pub trait Stepper {
    /// A new epoch begins: metric state is reset. Not called when a run resumes within an epoch.
    fn begin_epoch(&mut self, _epoch: u64) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Ratios that a training step gives beside those of the plan's `train_names`, after them: [`Stepper::end_epoch`]
    /// makes values of them.
    fn train_terms(&self) -> usize {
        0
    }

    /// Runs training step `t` (from 1) and writes the loss and each metric of the plan's `train_names`.
    fn train_step(&mut self, t: u64, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError>;

    /// The training part of an epoch is over: metrics that are no ratios put their results into the sums.
    fn end_epoch(&mut self, _sums: &mut [Ratio]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// An evaluation begins: metric state of the evaluation is reset.
    fn begin_eval(&mut self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Evaluates a batch and writes the loss and each metric of the plan's `eval_names`.
    fn eval_step(&mut self, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError>;

    /// An evaluation is over: metrics that are no ratios put their results into the sums.
    fn end_eval(&mut self, _sums: &mut [Ratio]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Of how many classes a parameter's or state's values are numbers, if they are.
    fn classes(&self, _name: &str) -> Option<u64> {
        None
    }

    /// Tensors in a fixed order.
    fn tensors(&self, part: Part) -> Vec<TensorRef<'_>>;

    /// Overwrites a tensor by its number in [`Stepper::tensors`].
    fn set(&mut self, part: Part, index: usize, bytes: &[u8]);
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Passes over the data.
    Epochs(u64),
    /// Steps.
    Steps(u64),
}

/// Which weights are saved.
#[derive(Clone, Debug, PartialEq)]
pub enum Save {
    /// Those after the last epoch.
    Last(PathBuf),
    /// Those of the epoch with the best value of a metric.
    Best(PathBuf, Monitor),
}

impl Save {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Save::Last(p) | Save::Best(p, _) => p,
        }
    }
}

/// A metric that decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// Of the training part (`train.loss`) or of the part that is evaluated after each epoch (`val.loss`).
    pub train: bool,
    /// Number of the metric in the names of that part; 0 is the loss.
    pub metric: usize,
    /// More is better?
    pub maximize: bool,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct TrainPlan {
    /// How long.
    pub length: Length,
    /// Rows of a training batch.
    pub batch: u64,
    /// Rows of an evaluation batch.
    pub eval_batch: u64,
    /// Seed of the shuffle.
    pub seed: u64,
    /// Shuffle the training rows in each epoch? Not for a full batch, and not for contiguous sequences.
    pub shuffle: bool,
    /// Names of the train step's ratios, the loss first.
    pub train_names: Vec<String>,
    /// Names of the eval step's ratios, the loss first.
    pub eval_names: Vec<String>,
    /// Training part.
    pub train: Split,
    /// Validation part.
    pub val: Option<Split>,
    /// Test part.
    pub test: Option<Split>,
    /// Which weights to save.
    pub save: Option<Save>,
    /// Stop when a metric has not improved for so many epochs.
    pub stop: Option<(u64, Monitor)>,
    /// Where to keep checkpoints.
    pub checkpoint: Option<PathBuf>,
    /// Files are written at the end, at an interruption, and on the way at most this often.
    pub write_every: Duration,
    /// What the run is, for checkpoints.
    pub identity: Identity,
    /// What the run is told, by name.
    pub settings: Settings,
    /// A checkpoint to go on from.
    pub resume: Option<Checkpoint>,
}

/// Metric values by name, in the order of the plan.
pub type Values = Vec<(String, f64)>;

/// What an epoch came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochRow {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Steps done in all.
    pub step: u64,
    /// Seconds since the start of the run.
    pub seconds: f64,
    /// Of the training part.
    pub train: Values,
    /// Of the validation part; empty where there is none.
    pub val: Values,
    /// Of the test part, when it stands in for a missing validation part.
    pub test: Values,
    /// Are these the best weights so far, by the plan's `save`?
    pub best: bool,
}

/// What happens on the way.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The run begins.
    Start {
        /// Epochs, where they are bounded.
        epochs: Option<u64>,
        /// Steps in all.
        steps: u64,
        /// Steps of a whole epoch.
        steps_per_epoch: u64,
        /// Steps done before, when resumed.
        resumed: u64,
        /// Epochs done and reported before.
        reported: u64,
    },
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: u64,
        /// Steps done in all.
        step: u64,
        /// Steps done of this epoch.
        in_epoch: u64,
        /// Mean loss of the epoch so far.
        loss: f64,
    },
    /// An epoch is done.
    Epoch(&'a EpochRow),
    /// A file was saved.
    Saved {
        /// Where.
        path: &'a Path,
        /// A checkpoint, not weights?
        checkpoint: bool,
    },
    /// Something went wrong that does not stop the run.
    Warning(String),
    /// The run was asked to stop and has saved what it was to save.
    Interrupted {
        /// Epoch, from 1.
        epoch: u64,
        /// Steps done in all.
        step: u64,
        /// Is there a checkpoint to go on from?
        resumable: bool,
    },
}

/// Hears what happens: draws a progress bar, prints rows or JSON.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: &Event<'_>);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event<'_>) {}
}

/// Why a run ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs or steps are done.
    Complete,
    /// The monitored metric stopped improving.
    Patience,
    /// It was asked to stop.
    Interrupted,
}

/// What a run came to. The values are those of the weights that are kept; a part is empty where these were not evaluated
/// on it, as after an interruption within an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Epochs completed.
    pub epochs: u64,
    /// Steps done.
    pub steps: u64,
    /// Seconds.
    pub seconds: f64,
    /// Of the training part, in the epoch of the kept weights.
    pub train: Values,
    /// Of the validation part.
    pub val: Values,
    /// Of the test part.
    pub test: Values,
    /// The file of the weights.
    pub weights: Option<PathBuf>,
    /// Why it ended.
    pub ended: Ended,
    /// The value by which weights were to be saved, or the run stopped, where it was NaN after every epoch: no epoch is the
    /// best, and the weights are those of the last.
    pub unmeasured: Option<String>,
}
