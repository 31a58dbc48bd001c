//! Checkpoints: the whole state of a training run in one file.
//!
//! In: weights (parameters and the model's state), optimizer and metric state, and [`TrainState`]. Out: a safetensors file
//! (weights under their own names, so it also loads as such) with the state as JSON in its metadata and a checksum over
//! every byte. Everything else about a run is a pure function of it: draws are keyed by (seed, step), the order of examples by (seed, epoch).
//! Resuming from it is bit-identical, and refused when program, data, seed or batch size are not those of the run.

use crate::atomic;
use crate::dtype::DType;
use crate::error::{DataError, codes};
use crate::weights::{STATE_PREFIX, SafeTensors, TensorRef};
use serde::{Deserialize, Serialize};
use std::path::Path;

const CHECKSUM: &str = "nnc.checksum";
const STATE: &str = "nnc.train";
/// The metadata entry of saved weights that names their run, and that of their epoch.
pub const RUN: &str = "nnc.run";
/// See [`RUN`].
pub const EPOCH: &str = "nnc.epoch";

/// An `f64` stored by its bits: every value, NaN too, comes back as it was.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Bits(pub f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Bits) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl From<u64> for Bits {
    fn from(b: u64) -> Bits {
        Bits(f64::from_bits(b))
    }
}
impl From<Bits> for u64 {
    fn from(b: Bits) -> u64 {
        b.0.to_bits()
    }
}

/// What a run must have in common with a checkpoint to go on from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Hash of the compiled program.
    pub program: String,
    /// Fingerprint of the data.
    pub data: u64,
    /// Seed.
    pub seed: u64,
    /// Batch size.
    pub batch: u64,
    /// Training rows.
    pub rows: u64,
}

/// Names and texts of what a run is told: its settings, and what the command line sets besides.
pub type Settings = Vec<(String, String)>;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// What it belongs to.
    pub identity: Identity,
    /// Steps done.
    pub t: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Batches done of the current epoch.
    pub cursor: u64,
    /// Sums of the current epoch: numerator and denominator of the loss and each metric.
    pub sums: Vec<(Bits, Bits)>,
    /// The best value of the monitored metric.
    pub best: Option<Bits>,
    /// Completed epochs when it was reached.
    pub best_epoch: u64,
    /// The digest of the weights in the file when this was written, where only the best ones are saved.
    pub best_weights: Option<String>,
    /// The best value of the metric that patience looks at.
    pub stop_best: Option<Bits>,
    /// Epochs since it improved.
    pub stale: u64,
    /// The last epoch that was completed.
    pub last: Option<SavedRow>,
    /// The epoch of the weights that are kept, where they are those of an epoch.
    pub kept: Option<SavedRow>,
    /// The run has ended: nothing is left to do.
    pub finished: bool,
    /// What the run was told, by name: to say what has changed when another program goes on from here.
    #[serde(default)]
    pub settings: Settings,
}

/// What an epoch came to, without its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedRow {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Steps done in all.
    pub step: u64,
    /// Of the training part, by name.
    pub train: Vec<(String, Bits)>,
    /// Of the validation part.
    pub val: Vec<(String, Bits)>,
    /// Of the test part.
    pub test: Vec<(String, Bits)>,
}

/// A checkpoint read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run was.
    pub state: TrainState,
    file: SafeTensors,
}

/// Saves a checkpoint, atomically.
pub fn save(
    path: &Path,
    state: &TrainState,
    weights: &[TensorRef<'_>],
    training: &[TensorRef<'_>],
) -> Result<(), DataError> {
    atomic::save(path, &[&encode(state, weights, training)])
}

/// The bytes of a checkpoint.
pub fn encode(state: &TrainState, weights: &[TensorRef<'_>], training: &[TensorRef<'_>]) -> Vec<u8> {
    let names: Vec<String> = training.iter().map(|t| format!("{STATE_PREFIX}{}", t.name)).collect();
    let training = training.iter().zip(&names).map(|(t, name)| TensorRef { name, ..t.clone() });
    let tensors: Vec<TensorRef<'_>> = weights.iter().cloned().chain(training).collect();
    let json = serde_json::to_string(state).unwrap_or_default();
    let mut bytes = crate::weights::encode(&tensors, &[(CHECKSUM, "0".repeat(8)), (STATE, json)]);
    let sum = crc(&bytes);
    if let Some(at) = checksum_at(&bytes) {
        bytes[at..at + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    }
    bytes
}

/// Reads a checkpoint and verifies its checksum.
pub fn read(path: &Path) -> Result<Checkpoint, DataError> {
    let name = path.to_string_lossy().into_owned();
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::new(codes::NOT_FOUND, &name, "no such checkpoint").help("start without `--resume`")
        }
        _ => DataError::io(&name, "read the checkpoint", &e),
    })?;
    Checkpoint::parse(&name, bytes)
}

impl Identity {
    /// A name of the run, which its weights carry.
    pub fn digest(&self) -> String {
        format!("{:08x}", crc(serde_json::to_string(self).unwrap_or_default().as_bytes()))
    }
}

impl Checkpoint {
    /// Checks the bytes of a checkpoint.
    pub fn parse(name: &str, mut bytes: Vec<u8>) -> Result<Checkpoint, DataError> {
        let damaged = |why: &str| {
            DataError::new(codes::CHECKPOINT, name, format_args!("this is not a whole checkpoint: {why}"))
                .help("start again without `--resume`")
        };
        let at = checksum_at(&bytes).ok_or_else(|| damaged("it has no checksum"))?;
        let stored = bytes[at..at + 8].to_vec();
        bytes[at..at + 8].fill(b'0');
        if format!("{:08x}", crc(&bytes)).as_bytes() != stored {
            return Err(damaged("its checksum is wrong"));
        }
        let file = SafeTensors::parse(name, bytes)?;
        let json = file.metadata.get(STATE).ok_or_else(|| damaged("it has no training state"))?;
        let state = serde_json::from_str(json).map_err(|_| damaged("its training state is of another version"))?;
        Ok(Checkpoint { state, file })
    }

    /// The file as messages call it.
    pub fn file(&self) -> &str {
        &self.file.file
    }

    /// Refuses a checkpoint of another run. `settings` are those of this run.
    pub fn check(&self, now: &Identity, settings: &Settings) -> Result<(), DataError> {
        let was = &self.state.identity;
        let mut changed = vec![];
        let mut longer = false;
        if was.program != now.program {
            let known = differences(&self.state.settings, settings);
            let length = |n: &str| matches!(n, "epochs" | "steps");
            longer = !known.is_empty() && known.iter().all(|(n, _)| length(n));
            // The length belongs to the program only where a schedule follows it: beside other changes it need not be one
            // of the causes.
            changed.extend(known.into_iter().filter(|(n, _)| longer || !length(n)).map(|(_, text)| text));
            if changed.is_empty() {
                changed
                    .push("the program has changed since: its model, data, loss or something that they use".to_owned());
            }
        }
        if (was.data != now.data || was.rows != now.rows) && !crate::mutant!("checkpoint.identity") {
            changed.push("the data has changed since".to_owned());
        }
        for (what, was, now) in [("seed", was.seed, now.seed), ("batch", was.batch, now.batch)] {
            if was != now {
                changed.push(format!("`{what}` was {was} and is {now}"));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let mut err = DataError::new(codes::CHECKPOINT, &self.file.file, "this checkpoint belongs to another run");
        err.notes = changed;
        if longer {
            let why = "its learning rate follows a schedule over the whole length of the run, so the run cannot be made longer";
            return Err(err.help(format!("{why}: restore the length, or start again without `--resume`")));
        }
        Err(err.help("restore what has changed, or start again without `--resume`"))
    }

    /// Holds the best weights so far, which the run has in a file of their own, against what was written here. They may be
    /// of a later epoch of the same run, where this was the last that could be written; that epoch, else `None`.
    pub fn check_best(&self, weights: &SafeTensors, tensors: &[Vec<u8>]) -> Result<Option<u64>, DataError> {
        let state = &self.state;
        if state.best_weights.as_deref() == Some(&digest(tensors)) {
            return Ok(None);
        }
        let entry = |key: &str| weights.metadata.get(key).map(String::as_str);
        let run = entry(RUN) == Some(&state.identity.digest());
        let epoch = entry(EPOCH).and_then(|e| e.parse::<u64>().ok());
        if let Some(later) = epoch.filter(|&e| run && e > state.best_epoch) {
            return Ok(Some(later));
        }
        let best = state.best_epoch;
        let what = format_args!("these are not the weights of epoch {best}, the best so far of the run to resume");
        let e = DataError::new(codes::CHECKPOINT, &weights.file, what);
        let whose = match (run, epoch) {
            (true, Some(epoch)) => format!("they are of epoch {epoch} of this run"),
            (true, None) => "they are of this run, and were changed".to_owned(),
            (false, Some(_)) => "they are of another run".to_owned(),
            (false, None) => "nothing says that they are of this run".to_owned(),
        };
        let e = e.note(format!("{whose}; {} was written with others", self.file.file));
        Err(e.help("put the file of the interrupted run back, or start again without `--resume`"))
    }

    /// The bytes of a weight or, with `training`, of a training state, if name, type and shape are the same.
    pub fn tensor(&self, name: &str, training: bool, dtype: DType, shape: &[u64]) -> Result<Vec<u8>, DataError> {
        let stored = if training { self.file.get(&format!("{STATE_PREFIX}{name}")) } else { self.file.get(name) };
        match stored.filter(|t| t.dtype == Some(dtype) && t.shape == shape) {
            Some(t) => {
                let mut bytes = self.file.raw(t).to_vec();
                if cfg!(target_endian = "big") && dtype.bytes() > 1 {
                    bytes.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
                }
                Ok(bytes)
            }
            None => Err(DataError::new(
                codes::CHECKPOINT,
                &self.file.file,
                format_args!("it has no `{name}` of {dtype} and shape {shape:?}"),
            )),
        }
    }
}

/// Tells weights apart: a checksum of all their bytes, and their number.
pub fn digest(tensors: &[Vec<u8>]) -> String {
    let mut crc = flate2::Crc::new();
    tensors.iter().for_each(|t| crc.update(t));
    format!("{:08x}-{}", crc.sum(), tensors.iter().map(Vec::len).sum::<usize>())
}

/// What is set otherwise now: names, with words for both values.
fn differences(was: &Settings, now: &Settings) -> Vec<(String, String)> {
    let find = |all: &Settings, name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let new = now.iter().filter(|(n, _)| find(was, n).is_none());
    let both = was.iter().chain(new).map(|(n, _)| (n, find(was, n), find(now, n)));
    let said = both.filter(|(_, a, b)| a != b).map(|(n, a, b)| {
        let text = match (a, b) {
            (Some(a), Some(b)) => format!("`{n}` was `{a}` and is `{b}`"),
            (Some(a), None) => format!("`{n}` was `{a}` and is not given now"),
            (None, b) => format!("`{n}` was not given and is `{}`", b.unwrap_or_default()),
        };
        (n.clone(), text)
    });
    said.collect()
}

/// Where the eight digits stand. The checksum is the first entry of the header.
fn checksum_at(bytes: &[u8]) -> Option<usize> {
    let start = format!("{{\"__metadata__\":{{\"{CHECKSUM}\":\"");
    let at = 8 + start.len();
    (bytes.get(8..at)? == start.as_bytes() && bytes.len() >= at + 8).then_some(at)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
