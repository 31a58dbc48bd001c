//! What is kept, reported and gone on from, on a stepper whose losses are written down: which epoch is the best, when
//! patience ends, and what an interruption, a resumption or a divergence leave behind.

use super::*;

/// Steps of an epoch.
const STEPS: u64 = 3;

/// A model of one parameter that counts steps, and a state that is ten times as much, and one that never changes. Its loss is read off a list by the
/// epoch that the parameter stands for; a state that does not belong to the parameter gives NaN.
struct Script<'a> {
    losses: &'a [f64],
    params: Vec<u8>,
    model: [Vec<u8>; 2],
    training: Vec<u8>,
    /// Sets the flag after this step.
    stop_at: u64,
    /// The loss of this step is NaN.
    nan_at: u64,
    /// The parameter is infinite after this step.
    inf_at: u64,
    /// The state is infinite after this step.
    inf_state_at: u64,
    stop: &'a AtomicBool,
    steps: Vec<u64>,
}

impl<'a> Script<'a> {
    fn new(losses: &'a [f64], stop: &'a AtomicBool) -> Self {
        stop.store(false, Ordering::Relaxed);
        let zero = || f32s(&[0.0]);
        let (params, model, training) = (zero(), [zero(), f32s(&[f32::NEG_INFINITY])], zero());
        let (stop_at, nan_at, inf_at, inf_state_at) = (0, 0, 0, 0);
        Script { losses, params, model, training, stop_at, nan_at, inf_at, inf_state_at, stop, steps: vec![] }
    }
}

impl Stepper for Script<'_> {
    fn train_step(&mut self, t: u64, _: usize, _: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        self.steps.push(t);
        let before = floats(&self.params)[0];
        assert_eq!(floats(&self.training)[0], before, "the training state belongs to the step");
        let x = if t == self.inf_at { f32::INFINITY } else { t as f32 };
        let state = if t == self.inf_state_at { f32::INFINITY } else { 10.0 * t as f32 };
        self.params = f32s(&[x]);
        // The other state, a running maximum, begins infinite and may stay so.
        self.model[0] = f32s(&[state]);
        self.training = f32s(&[t as f32]);
        out[0] = Ratio { num: if t == self.nan_at { f64::NAN } else { 1.0 / t as f64 }, den: 1.0 };
        if t == self.stop_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
    fn eval_step(&mut self, source: usize, _: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let (w, s) = (floats(&self.params)[0], floats(&self.model[0])[0]);
        let epoch = (f64::from(w) / STEPS as f64) as usize;
        let loss = epoch.checked_sub(1).and_then(|e| self.losses.get(e)).filter(|_| s == 10.0 * w);
        out[0] = Ratio { num: loss.map_or(f64::NAN, |l| l + source as f64), den: 1.0 };
        Ok(())
    }
    fn tensors(&self, part: Part) -> Vec<TensorRef<'_>> {
        let t = |name, bytes| TensorRef { name, dtype: DType::F32, shape: &[], bytes };
        match part {
            Part::Params => vec![t("w", &self.params)],
            Part::Model => vec![t("running", &self.model[0]), t("peak", &self.model[1])],
            Part::Training => vec![t("m", &self.training)],
        }
    }
    fn set(&mut self, part: Part, index: usize, bytes: &[u8]) {
        match part {
            Part::Params => self.params = bytes.to_vec(),
            Part::Model => self.model[index] = bytes.to_vec(),
            Part::Training => self.training = bytes.to_vec(),
        }
    }
}

/// A plan of one row a batch; the test part is another source, whose losses are greater by one.
fn plan(dir: &Path, epochs: u64, best: bool) -> TrainPlan {
    let path = dir.join("w");
    TrainPlan {
        batch: 1,
        train_names: vec!["loss".into()],
        train: part("train", 0, RowSet::All(STEPS as u32)),
        val: Some(part("val", 0, RowSet::All(1))),
        test: Some(part("test", 1, RowSet::All(1))),
        save: Some(if best { Save::Best(path, VAL_LOSS) } else { Save::Last(path) }),
        checkpoint: Some(dir.join("w.ckpt")),
        identity: Identity { program: "script".into(), batch: 1, rows: STEPS, ..Identity::default() },
        ..super::plan(epochs)
    }
}

/// The step of the saved parameter and the state beside it.
fn saved(dir: &Path) -> (u64, f32) {
    let file = weights::read(&dir.join("w")).unwrap();
    let value = |name: &str| floats(&file.f32(file.get(name).unwrap()).unwrap())[0];
    (value("w") as u64, value("running"))
}

fn loss(values: &Values) -> Option<f64> {
    values.first().map(|(name, x)| {
        assert_eq!(name, "loss");
        *x
    })
}

/// Runs to the end, going on from the checkpoint after every interruption at one of the steps.
fn interrupted_at(steps: &[u64], losses: &[f64], plan: &TrainPlan) -> Summary {
    let stop = AtomicBool::new(false);
    let mut resume = None;
    for &at in steps.iter().chain(&[0]) {
        let mut script = Script::new(losses, &stop);
        script.stop_at = at;
        let plan = TrainPlan { resume, ..plan.clone() };
        let summary = train(&plan, &mut script, &mut Silent, &stop).unwrap();
        if summary.ended != Ended::Interrupted {
            return Summary { seconds: 0.0, ..summary };
        }
        assert_eq!(summary.steps, at);
        resume = Some(checkpoint::read(plan.checkpoint.as_ref().unwrap()).unwrap());
    }
    panic!("it never ended");
}

#[test]
fn patience_counts_epochs_without_improvement_and_a_tie_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 4.0];
    for (patience, epochs) in [(1, 3), (2, 4), (3, 7), (4, 7)] {
        let plan = TrainPlan { stop: Some((patience, VAL_LOSS)), ..plan(dir.path(), 7, true) };
        let ended = interrupted_at(&[], &losses, &plan);
        assert_eq!(ended.epochs, epochs, "patience {patience}");
        assert_eq!(ended.ended, if epochs < 7 { Ended::Patience } else { Ended::Complete });
        // The first of equal epochs is the best.
        let best = if epochs < 7 { 2 } else { 5 };
        assert_eq!(saved(dir.path()), (best * STEPS, 10.0 * (best * STEPS) as f32));
        // An interruption anywhere, or everywhere, changes nothing of that.
        for cuts in [vec![1], vec![STEPS], vec![2 * STEPS + 1, 2 * STEPS + 2], (1..epochs * STEPS).collect()] {
            assert_eq!(interrupted_at(&cuts, &losses, &plan), ended, "patience {patience}, interrupted at {cuts:?}");
        }
    }
}

#[test]
fn more_is_better_where_the_monitor_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let most = Monitor { maximize: true, ..VAL_LOSS };
    let save = Some(Save::Best(dir.path().join("w"), most.clone()));
    let plan = TrainPlan { save, stop: Some((2, most)), ..plan(dir.path(), 6, true) };
    let ended = interrupted_at(&[4], &[1.0, 3.0, 3.0, 2.0, 9.0, 9.0], &plan);
    assert_eq!((ended.epochs, saved(dir.path()).0, loss(&ended.val)), (4, 2 * STEPS, Some(3.0)));
}

#[test]
fn what_is_reported_belongs_to_the_best_weights_even_from_before_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    let losses = [3.0, 1.0, 2.0, 2.5];
    let plan = plan(dir.path(), 4, true);
    for cuts in [vec![], vec![7], vec![6], vec![8, 9, 11]] {
        let end = interrupted_at(&cuts, &losses, &plan);
        let mean = |a: u64| (a..a + STEPS).map(|t| 1.0 / t as f64).sum::<f64>() / STEPS as f64;
        let values = [&end.train, &end.val, &end.test].map(loss);
        assert_eq!(values, [Some(mean(4)), Some(1.0), Some(2.0)], "interrupted at {cuts:?}");
        assert_eq!(saved(dir.path()), (2 * STEPS, 60.0));
    }
}

#[test]
fn a_run_that_had_ended_has_nothing_left_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    for (losses, best) in [([3.0, 1.0, 2.0, 2.5], true), ([3.0, 1.0, 2.0, 2.5], false), ([4.0, 3.0, 2.0, 1.0], true)] {
        let plan = TrainPlan { stop: Some((2, VAL_LOSS)), ..plan(dir.path(), 4, best) };
        let end = interrupted_at(&[], &losses, &plan);
        let plan = TrainPlan { resume: Some(checkpoint::read(&dir.path().join("w.ckpt")).unwrap()), ..plan };
        let mut script = Script::new(&losses, &stop);
        let again = train(&plan, &mut script, &mut Silent, &stop).unwrap();
        assert_eq!(script.steps, [0; 0]);
        assert_eq!(Summary { seconds: 0.0, ..again }, end);
    }
}

#[test]
fn an_interrupted_run_reports_what_it_has_evaluated_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let losses = [3.0, 1.0, 2.0];
    let run = |at: u64, plan: &TrainPlan| {
        let mut script = Script::new(&losses, &stop);
        script.stop_at = at;
        let s = train(plan, &mut script, &mut Silent, &stop).unwrap();
        assert_eq!(s.ended, Ended::Interrupted);
        (loss(&s.train).is_some(), loss(&s.val), loss(&s.test))
    };
    let last = plan(dir.path(), 3, false);
    let none = TrainPlan { save: None, checkpoint: None, ..last.clone() };
    for plan in [&last, &none] {
        assert_eq!(run(5, plan), (false, None, None), "within an epoch");
        // After its last step an epoch is evaluated only if nobody waits.
        assert_eq!(run(6, plan), (false, None, None), "before its evaluation");
    }
    let best = plan(dir.path(), 3, true);
    assert_eq!(run(2, &best), (false, None, None), "there is no best epoch yet");
    assert_eq!(saved(dir.path()).0, 2);
    assert_eq!(run(8, &best), (true, Some(1.0), None), "the weights of the best epoch are those that are kept");
    assert_eq!(saved(dir.path()).0, 6);
}

#[test]
fn an_interruption_before_the_first_step_leaves_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let plan = plan(dir.path(), 2, false);
    let mut script = Script::new(&[1.0, 1.0], &stop);
    stop.store(true, Ordering::Relaxed);
    let mut log = Log::default();
    let s = train(&plan, &mut script, &mut log, &stop).unwrap();
    assert_eq!((s.weights, log.saved.len(), log.resumable), (None, 0, Some(false)));
    assert!(!dir.path().join("w").exists() && !dir.path().join("w.ckpt").exists());
}

#[test]
fn a_run_that_diverges_leaves_the_weights_that_were_there() {
    let stop = AtomicBool::new(false);
    let losses = [3.0, 1.0, 2.0];
    for best in [false, true] {
        for (nan, inf, inf_state, what) in [(8, 0, 0, "loss"), (0, 6, 0, "w"), (0, 0, 6, "running")] {
            let dir = tempfile::tempdir().unwrap();
            // Nothing is written on the way.
            let plan = TrainPlan { write_every: Duration::from_secs(3600), ..plan(dir.path(), 3, best) };
            let diverge = |plan: &TrainPlan, stop_at: u64| {
                let mut script = Script::new(&losses, &stop);
                (script.nan_at, script.inf_at, script.inf_state_at, script.stop_at) = (nan, inf, inf_state, stop_at);
                train(plan, &mut script, &mut Silent, &stop).unwrap_err()
            };
            let e = diverge(&plan, 0);
            assert!(matches!(&e, RuntimeError::NonFinite { what: w, .. } if w == what), "{e}");
            // There was no file: the last good epoch is better than nothing.
            let good = if nan > 0 { 2 } else { 1 };
            assert_eq!(saved(dir.path()).0, good * STEPS);
            let RuntimeError::NonFinite { weights: Some(note), .. } = e else { panic!("{e}") };
            assert!(note.ends_with(&format!("w holds the weights of epoch {good}")), "{note}");
            // There is one, of a run that went well: it stays.
            interrupted_at(&[], &losses, &plan);
            let before =
                [std::fs::read(dir.path().join("w")).unwrap(), std::fs::read(dir.path().join("w.ckpt")).unwrap()];
            for stop_at in if nan > 0 { vec![0] } else { vec![0, 6] } {
                let e = diverge(&plan, stop_at);
                let after =
                    [std::fs::read(dir.path().join("w")).unwrap(), std::fs::read(dir.path().join("w.ckpt")).unwrap()];
                assert!(before == after, "a diverged run wrote over good weights");
                let RuntimeError::NonFinite { weights: Some(note), .. } = e else { panic!("{e}") };
                assert!(note.ends_with("is as it was before this run"), "{note}");
            }
        }
    }
}

#[test]
fn the_best_epoch_of_a_run_that_diverges_is_saved_if_it_has_saved_before() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let plan = plan(dir.path(), 4, true);
    interrupted_at(&[], &[9.0, 9.0, 9.0, 9.0], &plan);
    let mut script = Script::new(&[3.0, 2.0, 1.0], &stop);
    script.nan_at = 10;
    train(&plan, &mut script, &mut Silent, &stop).unwrap_err();
    assert_eq!(saved(dir.path()).0, 3 * STEPS);
}
