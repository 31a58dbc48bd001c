//! The loop itself. See the parent module for what it promises.

use super::{
    Ended, EpochRow, Event, Length, Monitor, Observer, Part, Ratio, Save, Stepper, Summary, TrainPlan, Values,
};
use crate::atomic;
use crate::checkpoint::{self, Bits, SavedRow, TrainState};
use crate::data::shuffle::Batches;
use crate::data::split::Split;
use crate::error::{RuntimeError, show_path};
use crate::weights::{self, TensorRef};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Trains. `stop` is looked at after every step; when it is set, the run saves and ends.
pub fn train(
    plan: &TrainPlan,
    stepper: &mut dyn Stepper,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Summary, RuntimeError> {
    let mut run = Run::new(plan, stepper, observer, stop)?;
    let result = run.epochs();
    match result {
        Ok(ended) => run.finish(ended),
        Err(e) => {
            // The weights of the last good epoch outlive a failed run; its own error is the one to report.
            if !matches!(e, RuntimeError::NonFinite { .. }) || run.may_write_diverged() {
                run.flush(false).err().into_iter().for_each(|w| run.observer.event(&Event::Warning(w.to_string())));
            }
            Err(run.with_weights(e))
        }
    }
}

/// Evaluates a part. Ends early with `None` when `stop` is set.
pub fn evaluate(
    stepper: &mut dyn Stepper,
    part: &Split,
    names: &[String],
    batch: u64,
    stop: &AtomicBool,
) -> Result<Option<Values>, RuntimeError> {
    let rows = part.rows.to_vec();
    let mut sums = vec![Ratio::default(); names.len()];
    let mut out = sums.clone();
    stepper.begin_eval()?;
    for rows in Batches::new(&rows, batch, 0) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        out.fill(Ratio::default());
        stepper.eval_step(part.source, rows, &mut out)?;
        add(&mut sums, &out);
    }
    stepper.end_eval(&mut sums)?;
    Ok(Some(values(names, &sums)))
}

struct Run<'a> {
    plan: &'a TrainPlan,
    stepper: &'a mut dyn Stepper,
    observer: &'a mut dyn Observer,
    stop: &'a AtomicBool,
    began: Instant,
    written: Instant,
    state: TrainState,
    /// Steps of one epoch.
    per_epoch: u64,
    /// Steps in all.
    total: u64,
    /// Steps done before this run went on from a checkpoint.
    resumed: u64,
    /// Which weights were finite before the first step: they have to stay so.
    finite: Vec<bool>,
    /// The weights to be saved, and whether the file has them already.
    keep: Option<Kept>,
    /// The epoch of the weights in the file, if this run wrote it.
    written_epoch: Option<u64>,
}

/// A copy of the weights: parameters, then the model's state.
struct Kept {
    tensors: Vec<Vec<u8>>,
    saved: bool,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a TrainPlan,
        stepper: &'a mut dyn Stepper,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, RuntimeError> {
        if plan.train.rows.is_empty() || plan.batch == 0 || plan.eval_batch == 0 {
            return Err(RuntimeError::Bug("a training plan without rows or with batches of none".into()));
        }
        for path in plan.save.iter().map(Save::path).chain(plan.checkpoint.as_deref()) {
            atomic::check_writable(path)?;
        }
        let per_epoch = Batches::count(plan.train.rows.len(), plan.batch);
        let total = match plan.length {
            Length::Epochs(n) => n.saturating_mul(per_epoch),
            Length::Steps(n) => n,
        };
        let state = TrainState {
            identity: plan.identity.clone(),
            settings: plan.settings.clone(),
            sums: vec![(Bits(0.0), Bits(0.0)); plan.train_names.len() + stepper.train_terms()],
            ..TrainState::default()
        };
        let now = Instant::now();
        let mut run = Run {
            plan,
            stepper,
            observer,
            stop,
            began: now,
            written: now,
            state,
            per_epoch,
            total,
            resumed: 0,
            finite: vec![],
            keep: None,
            written_epoch: None,
        };
        run.finite = weights_of(run.stepper).iter().map(|t| weights::first_non_finite([t]).is_none()).collect();
        run.resume()?;
        let epochs = match plan.length {
            Length::Epochs(n) => Some(n),
            Length::Steps(_) => None,
        };
        let (resumed, reported) = (run.state.t, run.state.epoch);
        run.observer.event(&Event::Start { epochs, steps: total, steps_per_epoch: per_epoch, resumed, reported });
        Ok(run)
    }

    fn resume(&mut self) -> Result<(), RuntimeError> {
        let Some(from) = &self.plan.resume else { return Ok(()) };
        from.check(&self.plan.identity, &self.plan.settings)?;
        if from.state.sums.len() != self.state.sums.len() || from.state.cursor > self.per_epoch {
            return Err(RuntimeError::Bug("a checkpoint of this program with other metrics or batches".into()));
        }
        let training = if crate::mutant!("train.resume_state") { Part::Params } else { Part::Training };
        for part in [Part::Params, Part::Model, training] {
            let mut loaded = vec![];
            for t in self.stepper.tensors(part) {
                let bytes = from.tensor(t.name, part == Part::Training, t.dtype, t.shape)?;
                let read = TensorRef { bytes: &bytes, ..t };
                weights::check_classes(from.file(), &read, self.stepper.classes(t.name))?;
                loaded.push(bytes);
            }
            for (i, bytes) in loaded.iter().enumerate() {
                self.stepper.set(part, i, bytes);
            }
        }
        self.state = from.state.clone();
        self.state.finished = false;
        self.state.settings = self.plan.settings.clone();
        self.state.cursor = if crate::mutant!("train.cursor") { 0 } else { self.state.cursor };
        self.resumed = self.state.t;
        // The best weights so far are in the file that the interrupted run saved.
        if let (Some(Save::Best(path, _)), Some(_)) = (&self.plan.save, self.state.best) {
            let file = weights::read(path)?;
            let tensors = weights_of(self.stepper);
            let wanted: Vec<_> =
                tensors.iter().map(|t| weights::Wanted { name: t.name, dtype: t.dtype, shape: t.shape }).collect();
            let tensors = file.fit(&self.plan.identity.program, &wanted)?;
            let later = from.check_best(&file, &tensors)?;
            for (t, bytes) in weights_of(self.stepper).into_iter().zip(&tensors) {
                let read = TensorRef { bytes, ..t };
                weights::check_classes(&file.file, &read, self.stepper.classes(t.name))?;
            }
            self.written_epoch = Some(later.unwrap_or(self.state.best_epoch));
            if later.is_some() {
                // What their epoch came to is not known until it is trained again.
                self.state.kept = None;
                self.state.best_weights = Some(checkpoint::digest(&tensors));
            }
            self.keep = Some(Kept { tensors, saved: true });
        }
        Ok(())
    }

    /// Runs until the end is reached, a metric stops improving, or someone asks to stop.
    fn epochs(&mut self) -> Result<Ended, RuntimeError> {
        // A run that had ended has nothing left to do when it is resumed.
        if self.state.cursor == 0 && self.patience_is_over() {
            return Ok(Ended::Patience);
        }
        loop {
            if self.state.t >= self.total && self.state.cursor == 0 {
                return Ok(Ended::Complete);
            }
            if !self.steps()? {
                return self.interrupted();
            }
            self.check_weights()?;
            let Some(row) = self.evaluate_epoch()? else { return self.interrupted() };
            self.close_epoch(row)?;
            if self.patience_is_over() {
                return Ok(Ended::Patience);
            }
            if self.stop.load(Ordering::Relaxed) {
                return self.interrupted();
            }
        }
    }

    /// Steps to the end of the epoch; false when asked to stop before it.
    fn steps(&mut self) -> Result<bool, RuntimeError> {
        let plan = self.plan;
        let order = match plan.shuffle {
            true => plan.train.rows.shuffled(plan.seed, self.state.epoch),
            false => plan.train.rows.to_vec(),
        };
        if self.state.cursor == 0 {
            self.stepper.begin_epoch(self.state.epoch + 1)?;
        }
        let mut out = vec![Ratio::default(); self.state.sums.len()];
        for rows in Batches::new(&order, plan.batch, self.state.cursor) {
            if self.state.t >= self.total {
                break;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let t = self.state.t + 1;
            out.fill(Ratio::default());
            self.stepper.train_step(t, plan.train.source, rows, &mut out)?;
            if let Some(loss) = out.first().filter(|l| !(l.num.is_finite() && l.den.is_finite())) {
                return Err(self.non_finite("loss".into(), loss.value(), t));
            }
            for (sum, r) in self.state.sums.iter_mut().zip(&out) {
                sum.0.0 += r.num;
                sum.1.0 += r.den;
            }
            self.state.t = t;
            self.state.cursor += 1;
            let loss = self.state.sums.first().map_or(f64::NAN, |(num, den)| num.0 / den.0);
            let (epoch, in_epoch) = (self.state.epoch + 1, self.state.cursor);
            self.observer.event(&Event::Step { epoch, step: t, in_epoch, loss });
        }
        Ok(true)
    }

    fn evaluate_epoch(&mut self) -> Result<Option<EpochRow>, RuntimeError> {
        let plan = self.plan;
        let mut sums: Vec<Ratio> = self.state.sums.iter().map(|(num, den)| Ratio { num: num.0, den: den.0 }).collect();
        self.stepper.end_epoch(&mut sums)?;
        let mut row = EpochRow {
            epoch: self.state.epoch + 1,
            step: self.state.t,
            train: values(&plan.train_names, &sums),
            ..EpochRow::default()
        };
        let (part, name) = match (&plan.val, &plan.test) {
            (Some(val), _) => (val, "val"),
            (None, Some(test)) => (test, "test"),
            // Nothing is held out: the metrics are those of the training rows, the loss the one that was trained on.
            (None, None) if plan.eval_names.len() > 1 => (&plan.train, "train"),
            (None, None) => return Ok(Some(row)),
        };
        let Some(v) = evaluate(self.stepper, part, &plan.eval_names, plan.eval_batch, self.stop)? else {
            return Ok(None);
        };
        if let Some((_, loss)) = v.first().filter(|(_, loss)| !loss.is_finite()) {
            return Err(self.non_finite(format!("{name}.loss"), *loss, self.state.t));
        }
        match name {
            "val" => row.val = v,
            "test" => row.test = v,
            _ => row.train.extend(v.into_iter().skip(1)),
        }
        Ok(Some(row))
    }

    /// The epoch is complete: keeps its weights if they are to be kept, and moves on.
    fn close_epoch(&mut self, mut row: EpochRow) -> Result<(), RuntimeError> {
        self.state.epoch += 1;
        self.state.cursor = 0;
        self.state.sums[usize::from(crate::mutant!("train.sums"))..].fill((Bits(0.0), Bits(0.0)));
        row.seconds = self.began.elapsed().as_secs_f64();
        match &self.plan.save {
            None => {}
            Some(Save::Last(_)) => self.keep(Some(saved_row(&row))),
            Some(Save::Best(_, monitor)) => {
                let value = monitored(&row, monitor);
                if improves(value, self.state.best.map(|b| b.0), monitor.maximize) || crate::mutant!("train.best") {
                    self.state.best = Some(Bits(value));
                    self.state.best_epoch = self.state.epoch;
                    row.best = true;
                    self.keep(Some(saved_row(&row)));
                }
            }
        }
        if let Some((_, monitor)) = &self.plan.stop {
            let value = monitored(&row, monitor);
            if improves(value, self.state.stop_best.map(|b| b.0), monitor.maximize) {
                self.state.stop_best = Some(Bits(value));
                self.state.stale = 0;
            } else {
                self.state.stale += 1;
            }
        }
        self.observer.event(&Event::Epoch(&row));
        self.state.last = Some(saved_row(&row));
        if self.written.elapsed() >= self.plan.write_every {
            // A full disk is no reason to lose the run: it goes on, and the write is tried again.
            if let Err(e) = self.flush(true) {
                self.observer.event(&Event::Warning(e.to_string()));
            }
            self.written = Instant::now();
        }
        Ok(())
    }

    fn patience_is_over(&self) -> bool {
        self.plan
            .stop
            .as_ref()
            .is_some_and(|(n, _)| self.state.stale >= *n + u64::from(crate::mutant!("train.patience")))
    }

    fn interrupted(&mut self) -> Result<Ended, RuntimeError> {
        // Before the first step of this run there is nothing to save, and what is there may be worth more.
        if self.state.t > self.resumed {
            self.check_weights()?;
            // What is worth keeping is where the run stands, unless only the best was asked for and there is one.
            let only_best = matches!(self.plan.save, Some(Save::Best(..))) && self.keep.is_some();
            if self.plan.save.is_some() && !only_best {
                let row = self.state.last.clone().filter(|_| self.state.cursor == 0);
                self.keep(row);
            }
            self.flush(true)?;
        }
        let epoch = self.state.epoch + u64::from(self.state.cursor > 0);
        let resumable = self.plan.checkpoint.is_some() && self.state.t > 0;
        self.observer.event(&Event::Interrupted { epoch, step: self.state.t, resumable });
        Ok(Ended::Interrupted)
    }

    fn finish(mut self, ended: Ended) -> Result<Summary, RuntimeError> {
        let plan = self.plan;
        let interrupted = ended == Ended::Interrupted;
        if !interrupted {
            if matches!(plan.save, Some(Save::Last(_))) || (plan.save.is_some() && self.keep.is_none()) {
                self.keep(self.state.last.clone());
            }
            self.state.finished = true;
            self.flush(true)?;
        }
        let unmeasured = if interrupted { None } else { self.unmeasured() };
        // The values are of the weights that are kept; where none are, of those that the run ends with.
        let row = match &plan.save {
            Some(_) => self.state.kept.take(),
            None => self.state.last.take().filter(|_| self.state.cursor == 0),
        };
        let mut row = row.map(epoch_row).unwrap_or_default();
        // From here on the program holds the weights that were saved.
        if matches!(plan.save, Some(Save::Best(..)))
            && let Some(kept) = &self.keep
        {
            let params = self.stepper.tensors(Part::Params).len();
            for (i, bytes) in kept.tensors.iter().enumerate() {
                match i.checked_sub(params) {
                    None => self.stepper.set(Part::Params, i, bytes),
                    Some(i) => self.stepper.set(Part::Model, i, bytes),
                }
            }
        }
        let stop = AtomicBool::new(false);
        if !interrupted {
            for (part, values) in [(&plan.val, &mut row.val), (&plan.test, &mut row.test)] {
                if let (Some(part), true) = (part, values.is_empty()) {
                    *values =
                        evaluate(self.stepper, part, &plan.eval_names, plan.eval_batch, &stop)?.unwrap_or_default();
                }
            }
        }
        Ok(Summary {
            epochs: self.state.epoch,
            steps: self.state.t,
            seconds: self.began.elapsed().as_secs_f64(),
            train: row.train,
            val: row.val,
            test: row.test,
            weights: plan.save.as_ref().filter(|_| self.keep.is_some()).map(|s| s.path().to_owned()),
            ended,
            unmeasured,
        })
    }

    /// The value that a monitor looks at, if it never was a number.
    fn unmeasured(&self) -> Option<String> {
        let plan = self.plan;
        let best = match &plan.save {
            Some(Save::Best(_, m)) => Some((m, self.state.best)),
            _ => None,
        };
        let stop = plan.stop.as_ref().map(|(_, m)| (m, self.state.stop_best));
        let (m, _) = best.into_iter().chain(stop).find(|(_, best)| best.is_none() && self.state.epoch > 0)?;
        let name = if m.train { &plan.train_names } else { &plan.eval_names }.get(m.metric)?;
        let part = match (m.train, &plan.val, &plan.test) {
            (false, Some(_), _) => "val",
            (false, None, Some(_)) => "test",
            _ => "train",
        };
        Some(format!("{part}.{name}"))
    }

    /// Takes a copy of the weights as those to save, with the epoch that they are of.
    fn keep(&mut self, row: Option<SavedRow>) {
        self.state.kept = row;
        let tensors = weights_of(self.stepper);
        match &mut self.keep {
            Some(kept) if kept.tensors.len() == tensors.len() => {
                for (copy, t) in kept.tensors.iter_mut().zip(&tensors) {
                    copy.clear();
                    copy.extend_from_slice(t.bytes);
                }
                kept.saved = false;
            }
            kept => *kept = Some(Kept { tensors: tensors.iter().map(|t| t.bytes.to_vec()).collect(), saved: false }),
        }
    }

    /// Weights that began finite have to be finite.
    fn check_weights(&self) -> Result<(), RuntimeError> {
        let tensors = weights_of(self.stepper);
        let held = tensors.iter().zip(&self.finite).filter(|(_, finite)| **finite).map(|(t, _)| t);
        match weights::first_non_finite(held) {
            Some((name, value)) => Err(self.non_finite(name.to_owned(), value, self.state.t)),
            None => Ok(()),
        }
    }

    /// A diverged run adds to what this run has saved of the best, and saves what it has where there is no file; a file
    /// from before is likely worth more than what came just before the loss left the finite numbers.
    fn may_write_diverged(&self) -> bool {
        match &self.plan.save {
            Some(Save::Last(path)) => !path.exists(),
            Some(Save::Best(path, _)) => self.written_epoch.is_some() || !path.exists(),
            None => false,
        }
    }

    /// The error of a diverged run, with what the file of the weights holds.
    fn with_weights(&self, e: RuntimeError) -> RuntimeError {
        let Some(path) = self.plan.save.as_ref().map(Save::path) else { return e };
        match e {
            RuntimeError::NonFinite { what, value, step, epoch, .. } => {
                let file = show_path(path);
                let weights = match self.written_epoch {
                    Some(n) => format!("{file} holds the weights of epoch {n}"),
                    None if path.exists() => format!("{file} is as it was before this run"),
                    None => format!("no epoch was completed, so {file} was not written"),
                };
                RuntimeError::NonFinite { what, value, step, epoch, weights: Some(weights) }
            }
            e => e,
        }
    }

    /// Writes the kept weights, and then the checkpoint: one that is read back finds the best weights it speaks of.
    fn flush(&mut self, with_checkpoint: bool) -> Result<(), RuntimeError> {
        let mut saved: Vec<(PathBuf, bool)> = vec![];
        if let (Some(save), Some(kept)) = (&self.plan.save, self.keep.as_mut().filter(|k| !k.saved)) {
            let tensors = weights_of(self.stepper);
            let refs: Vec<TensorRef<'_>> =
                tensors.iter().zip(&kept.tensors).map(|(t, bytes)| TensorRef { bytes, ..t.clone() }).collect();
            let epoch = self.state.kept.as_ref().map_or(self.state.epoch, |row| row.epoch);
            let marks = [
                (weights::MARK.0, weights::MARK.1.to_owned()),
                (checkpoint::RUN, self.state.identity.digest()),
                (checkpoint::EPOCH, epoch.to_string()),
            ];
            weights::save(save.path(), &refs, &marks)?;
            kept.saved = true;
            self.written_epoch = Some(epoch);
            if matches!(save, Save::Best(..)) {
                self.state.best_weights = Some(checkpoint::digest(&kept.tensors));
            }
            saved.push((save.path().to_owned(), false));
        }
        if let (Some(path), true) = (&self.plan.checkpoint, with_checkpoint) {
            let (tensors, training) = (weights_of(self.stepper), self.stepper.tensors(Part::Training));
            checkpoint::save(path, &self.state, &tensors, &training)?;
            saved.push((path.clone(), true));
        }
        for (path, checkpoint) in &saved {
            self.observer.event(&Event::Saved { path, checkpoint: *checkpoint });
        }
        Ok(())
    }

    fn non_finite(&self, what: String, value: f64, step: u64) -> RuntimeError {
        RuntimeError::NonFinite { what, value, step, epoch: self.state.epoch + 1, weights: None }
    }
}

fn add(sums: &mut [Ratio], out: &[Ratio]) {
    for (s, o) in sums.iter_mut().zip(out) {
        s.num += if crate::mutant!("train.mean_of_means") { o.num / o.den } else { o.num };
        s.den += if crate::mutant!("train.mean_of_means") { 1.0 } else { o.den };
    }
}

fn values(names: &[String], sums: &[Ratio]) -> Values {
    names.iter().cloned().zip(sums.iter().map(|s| s.value())).collect()
}

fn monitored(row: &EpochRow, monitor: &Monitor) -> f64 {
    let part = match (monitor.train, row.val.is_empty()) {
        (true, _) => &row.train,
        (false, false) => &row.val,
        (false, true) => &row.test,
    };
    // Without any part to evaluate, the training part has to do.
    let part = if part.is_empty() { &row.train } else { part };
    part.get(monitor.metric).map_or(f64::NAN, |(_, v)| *v)
}

fn improves(value: f64, best: Option<f64>, maximize: bool) -> bool {
    match best {
        _ if value.is_nan() => false,
        None => true,
        Some(best) => {
            if crate::mutant!("train.tie") && value == best {
                true
            } else if maximize {
                value > best
            } else {
                value < best
            }
        }
    }
}

/// Parameters and the model's state: what is saved.
fn weights_of(stepper: &dyn Stepper) -> Vec<TensorRef<'_>> {
    let mut all = stepper.tensors(Part::Params);
    all.extend(stepper.tensors(Part::Model));
    all
}

fn saved_row(row: &EpochRow) -> SavedRow {
    let bits = |values: &Values| values.iter().map(|(n, x)| (n.clone(), Bits(*x))).collect();
    SavedRow { epoch: row.epoch, step: row.step, train: bits(&row.train), val: bits(&row.val), test: bits(&row.test) }
}

fn epoch_row(row: SavedRow) -> EpochRow {
    let values = |bits: Vec<(String, Bits)>| bits.into_iter().map(|(n, x)| (n, x.0)).collect();
    EpochRow {
        epoch: row.epoch,
        step: row.step,
        train: values(row.train),
        val: values(row.val),
        test: values(row.test),
        ..EpochRow::default()
    }
}
