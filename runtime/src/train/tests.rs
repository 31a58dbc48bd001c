//! The loop on a stepper that is plain arithmetic: a line fitted by gradient descent with momentum.

mod script;

use super::*;
use crate::data::split::RowSet;
use crate::dtype::DType;
use crate::error::codes;
use crate::{checkpoint, weights};
use std::sync::atomic::{AtomicBool, Ordering};

const ROWS: u32 = 23;

/// `y = w x + b` on `y = 2 x - 1`, with momentum as its state.
struct Line<'a> {
    params: [Vec<u8>; 2],
    state: Vec<u8>,
    /// Becomes NaN at this step.
    nan_at: u64,
    /// Fails at this step, as if the process were gone.
    die_at: u64,
    /// Sets the flag after this step.
    stop_at: u64,
    stop: &'a AtomicBool,
    seen: Vec<Vec<u32>>,
    epochs: Vec<u64>,
    grow: f32,
}

impl<'a> Line<'a> {
    fn new(stop: &'a AtomicBool) -> Self {
        stop.store(false, Ordering::Relaxed);
        Line {
            params: [f32s(&[0.5]), f32s(&[0.25, 0.0])],
            state: f32s(&[0.0, 0.0]),
            nan_at: 0,
            die_at: 0,
            stop_at: 0,
            stop,
            seen: vec![],
            epochs: vec![],
            grow: 0.0,
        }
    }

    fn get(&self) -> [f32; 4] {
        let (w, b, m) = (floats(&self.params[0]), floats(&self.params[1]), floats(&self.state));
        [w[0], b[0], m[0], m[1]]
    }

    fn error(&self, row: u32) -> (f32, f32) {
        let [w, b, ..] = self.get();
        let x = row as f32 / ROWS as f32;
        (x, w * x + b - (2.0 * x - 1.0))
    }
}

impl Stepper for Line<'_> {
    fn begin_epoch(&mut self, epoch: u64) -> Result<(), RuntimeError> {
        self.epochs.push(epoch);
        Ok(())
    }
    fn train_step(&mut self, t: u64, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        assert_eq!(source, 0);
        if t == self.die_at {
            return Err(RuntimeError::Limit("gone".into()));
        }
        self.seen.push(rows.to_vec());
        let [mut w, mut b, mut mw, mut mb] = self.get();
        let (mut gw, mut gb) = (0.0, 0.0);
        for &r in rows {
            let (x, e) = self.error(r);
            out[0].num += f64::from(e * e);
            out[0].den += 1.0;
            out[1].num += f64::from(u8::from(e.abs() < 0.1));
            out[1].den += 1.0;
            gw += e * x;
            gb += e;
        }
        if t == self.nan_at {
            out[0].num = f64::NAN;
        }
        mw = 0.9 * mw + gw / rows.len() as f32;
        mb = 0.9 * mb + gb / rows.len() as f32;
        // Draws keyed by the step, as dropout would.
        let noise = (crate::philox::element(7, t, 0, 0) >> 8) as f32 * 1e-12;
        w -= 0.05 * mw + noise - self.grow;
        b -= 0.05 * mb;
        self.params = [f32s(&[w]), f32s(&[b, t as f32])];
        self.state = f32s(&[mw, mb]);
        if t == self.stop_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
    fn eval_step(&mut self, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        for &r in rows {
            let (_, e) = self.error(r + source as u32);
            out[0].num += f64::from(e * e);
            out[0].den += 1.0;
        }
        Ok(())
    }
    fn tensors(&self, part: Part) -> Vec<TensorRef<'_>> {
        let t = |name, shape, bytes| TensorRef { name, dtype: DType::F32, shape, bytes };
        match part {
            Part::Params => vec![t("w", &[], &self.params[0]), t("fc.b", &[2], &self.params[1])],
            Part::Model => vec![],
            Part::Training => vec![t("momentum", &[2], &self.state)],
        }
    }
    fn set(&mut self, part: Part, index: usize, bytes: &[u8]) {
        match part {
            Part::Params => self.params[index] = bytes.to_vec(),
            Part::Model => {}
            Part::Training => self.state = bytes.to_vec(),
        }
    }
}

#[derive(Default)]
struct Log {
    rows: Vec<EpochRow>,
    steps: Vec<(u64, u64, u64)>,
    saved: Vec<(PathBuf, bool)>,
    warnings: Vec<String>,
    interrupted: Option<(u64, u64)>,
    resumable: Option<bool>,
    started: Option<(u64, u64, u64)>,
}

impl Observer for Log {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { steps, steps_per_epoch, resumed, .. } => {
                self.started = Some((*steps, *steps_per_epoch, *resumed));
            }
            Event::Step { epoch, step, in_epoch, .. } => self.steps.push((*epoch, *step, *in_epoch)),
            // Seconds are not part of a result.
            Event::Epoch(row) => self.rows.push(EpochRow { seconds: 0.0, ..(*row).clone() }),
            Event::Saved { path, checkpoint } => self.saved.push((path.to_path_buf(), *checkpoint)),
            Event::Warning(w) => self.warnings.push(w.clone()),
            Event::Interrupted { epoch, step, resumable } => {
                self.interrupted = Some((*epoch, *step));
                self.resumable = Some(*resumable);
            }
        }
    }
}

fn f32s(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

fn floats(b: &[u8]) -> Vec<f32> {
    b.as_chunks().0.iter().map(|&b| f32::from_ne_bytes(b)).collect()
}

fn part(name: &str, source: usize, rows: RowSet) -> Split {
    Split { name: name.into(), source, rows }
}

fn plan(epochs: u64) -> TrainPlan {
    TrainPlan {
        length: Length::Epochs(epochs),
        batch: 4,
        eval_batch: 5,
        seed: 3,
        shuffle: true,
        train_names: vec!["loss".into(), "acc".into()],
        eval_names: vec!["loss".into()],
        train: part("train", 0, RowSet::All(ROWS)),
        val: Some(part("val", 0, RowSet::List(vec![1, 5, 9, 11, 12, 20]))),
        test: None,
        save: None,
        stop: None,
        checkpoint: None,
        write_every: Duration::ZERO,
        settings: vec![],
        identity: Identity { program: "line".into(), data: 1, seed: 3, batch: 4, rows: u64::from(ROWS) },
        resume: None,
    }
}

const VAL_LOSS: Monitor = Monitor { train: false, metric: 0, maximize: false };

#[test]
fn epochs_steps_and_ragged_batches() {
    let stop = AtomicBool::new(false);
    let (mut line, mut log) = (Line::new(&stop), Log::default());
    let summary = train(&plan(3), &mut line, &mut log, &stop).unwrap();
    assert_eq!((summary.epochs, summary.steps, summary.ended), (3, 18, Ended::Complete));
    assert_eq!(log.started, Some((18, 6, 0)));
    assert_eq!(line.epochs, [1, 2, 3]);
    for epoch in line.seen.chunks(6) {
        assert_eq!(epoch.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 3]);
        let mut all = epoch.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..ROWS));
    }
    assert_ne!(line.seen[..6], line.seen[6..12]);
    assert_eq!(log.steps[6], (2, 7, 1));
    assert_eq!(log.rows.len(), 3);
    assert!(log.rows[2].val[0].1 < log.rows[0].val[0].1, "{:?}", log.rows);
    assert_eq!(summary.val, log.rows[2].val);
    assert_eq!(summary.weights, None);
}

#[test]
fn losses_weigh_rows_not_batches() {
    struct Ones;
    impl Stepper for Ones {
        fn train_step(&mut self, t: u64, _: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
            out[0] = Ratio { num: t as f64 * rows.len() as f64, den: rows.len() as f64 };
            Ok(())
        }
        fn eval_step(&mut self, _: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
            out[0] = Ratio { num: rows.iter().map(|&r| f64::from(r)).sum(), den: rows.len() as f64 };
            Ok(())
        }
        fn tensors(&self, _: Part) -> Vec<TensorRef<'_>> {
            vec![]
        }
        fn set(&mut self, _: Part, _: usize, _: &[u8]) {}
    }
    let plan = TrainPlan { train: part("train", 0, RowSet::All(5)), ..plan(1) };
    let mut log = Log::default();
    train(&plan, &mut Ones, &mut log, &AtomicBool::new(false)).unwrap();
    // Four rows at step 1 and one row at step 2.
    assert_eq!(log.rows[0].train[0].1, 6.0 / 5.0);
    assert_eq!(log.rows[0].val[0].1, 58.0 / 6.0);
}

#[test]
fn a_number_of_steps() {
    let stop = AtomicBool::new(false);
    let (mut line, mut log) = (Line::new(&stop), Log::default());
    let summary = train(&TrainPlan { length: Length::Steps(8), ..plan(1) }, &mut line, &mut log, &stop).unwrap();
    assert_eq!((summary.steps, summary.epochs, log.rows.len()), (8, 2, 2));
}

#[test]
fn the_test_part_stands_in_for_a_missing_validation_part_and_is_otherwise_seen_once() {
    let stop = AtomicBool::new(false);
    let test = Some(part("test", 1, RowSet::All(4)));
    let mut log = Log::default();
    let only_test = TrainPlan { val: None, test: test.clone(), ..plan(2) };
    let a = train(&only_test, &mut Line::new(&stop), &mut log, &stop).unwrap();
    assert!(log.rows.iter().all(|r| r.val.is_empty() && r.test.len() == 1));
    let mut log = Log::default();
    let b = train(&TrainPlan { test, ..plan(2) }, &mut Line::new(&stop), &mut log, &stop).unwrap();
    assert!(log.rows.iter().all(|r| r.test.is_empty()));
    assert_eq!(a.test, b.test);
    assert_eq!(a.test.len(), 1);
}

#[test]
fn best_weights_are_those_of_the_best_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("best.safetensors");
    let stop = AtomicBool::new(false);
    let save = Some(Save::Best(path.clone(), VAL_LOSS));
    let plan = TrainPlan { save, test: Some(part("test", 1, RowSet::All(4))), ..plan(60) };
    let (mut line, mut log) = (Line::new(&stop), Log::default());
    // A drift that grows ends the improvement.
    line.grow = 0.01;
    let summary = train(&plan, &mut line, &mut log, &stop).unwrap();
    let best = log.rows.iter().min_by(|a, b| a.val[0].1.total_cmp(&b.val[0].1)).unwrap();
    assert!(best.epoch < 60 && best.best);
    assert_eq!(summary.val, best.val);
    assert_eq!(summary.weights.as_deref(), Some(path.as_path()));
    let file = weights::read(&path).unwrap();
    let t = file.get("fc.b").unwrap();
    assert_eq!(floats(&file.f32(t).unwrap())[1], best.step as f32);
    // The program holds the kept weights, and the test part was evaluated with them.
    assert_eq!(floats(&line.params[1])[1], best.step as f32);
    let again = evaluate(&mut line, plan.val.as_ref().unwrap(), &plan.eval_names, 5, &stop).unwrap().unwrap();
    assert_eq!(again, best.val);
}

#[test]
fn patience() {
    let stop = AtomicBool::new(false);
    let (mut line, mut log) = (Line::new(&stop), Log::default());
    line.grow = 0.01;
    let summary = train(&TrainPlan { stop: Some((3, VAL_LOSS)), ..plan(500) }, &mut line, &mut log, &stop).unwrap();
    assert_eq!(summary.ended, Ended::Patience);
    let best = log.rows.iter().min_by(|a, b| a.val[0].1.total_cmp(&b.val[0].1)).unwrap().epoch;
    // The best epoch may have been improved on before a longer lull, never within the last three.
    assert!(summary.epochs < 500 && best <= summary.epochs - 3);
}

/// Interrupts after every step in turn, by the flag and by a sudden end, and goes on from the checkpoint.
#[test]
fn resuming_anywhere_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    for save_best in [false, true] {
        let weights_path = dir.path().join("w.safetensors");
        let ckpt = dir.path().join("w.ckpt");
        let save =
            if save_best { Save::Best(weights_path.clone(), VAL_LOSS) } else { Save::Last(weights_path.clone()) };
        let plan =
            TrainPlan { save: Some(save), checkpoint: Some(ckpt.clone()), stop: Some((50, VAL_LOSS)), ..plan(4) };
        let (mut line, mut log) = (Line::new(&stop), Log::default());
        let whole = train(&plan, &mut line, &mut log, &stop).unwrap();
        let bytes = std::fs::read(&weights_path).unwrap();
        let last = std::fs::read(&ckpt).unwrap();
        assert_eq!(log.rows.len(), 4);
        for k in 1..=24 {
            for sudden in [false, true] {
                let (mut line, mut first) = (Line::new(&stop), Log::default());
                if sudden {
                    line.die_at = k
                } else {
                    line.stop_at = k
                }
                let fresh = dir.path().join("fresh.ckpt");
                let _ = std::fs::remove_file(&fresh);
                let plan = TrainPlan { checkpoint: Some(fresh.clone()), ..plan.clone() };
                let ended = train(&plan, &mut line, &mut first, &stop);
                if sudden {
                    assert!(ended.is_err());
                    if k <= 6 {
                        assert!(!fresh.exists(), "no epoch was complete");
                        continue;
                    }
                } else {
                    assert_eq!(ended.unwrap().ended, Ended::Interrupted, "step {k}");
                    assert_eq!(first.interrupted.unwrap().1, k);
                }
                let resume = Some(checkpoint::read(&fresh).unwrap());
                let (mut line, mut second) = (Line::new(&stop), Log::default());
                let plan = TrainPlan { resume, ..plan };
                let summary = train(&plan, &mut line, &mut second, &stop).unwrap();
                assert_eq!((summary.epochs, summary.steps), (whole.epochs, whole.steps));
                assert_eq!(std::fs::read(&weights_path).unwrap(), bytes, "weights after step {k}");
                assert_eq!(std::fs::read(&fresh).unwrap(), last, "checkpoint after step {k}");
                let rows: Vec<EpochRow> = first.rows.into_iter().chain(second.rows).collect();
                let tail = &log.rows[log.rows.len() - rows.len().min(log.rows.len())..];
                assert!(sudden || rows == tail, "rows after step {k}");
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ckpt = dir.path().join("c");
    let stop = AtomicBool::new(false);
    let plan = TrainPlan { checkpoint: Some(ckpt.clone()), ..plan(1) };
    train(&plan, &mut Line::new(&stop), &mut Silent, &stop).unwrap();
    let from = checkpoint::read(&ckpt).unwrap();
    for (change, says) in
        [("seed", "`seed` was 3 and is 9"), ("program", "the program has changed"), ("data", "the data has changed")]
    {
        let mut plan = TrainPlan { resume: Some(from.clone()), ..plan.clone() };
        match change {
            "seed" => plan.identity.seed = 9,
            "program" => plan.identity.program = "other".into(),
            _ => plan.identity.data = 2,
        }
        let e = train(&plan, &mut Line::new(&stop), &mut Silent, &stop).unwrap_err();
        assert_eq!(e.exit_code(), 3);
        assert!(e.to_string().contains(says), "{e}");
    }
}

#[test]
fn a_non_finite_loss_names_its_step_and_keeps_the_last_good_weights() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let stop = AtomicBool::new(false);
    // Nothing is written on the way: the end of the run has to do it.
    let save = Some(Save::Last(path.clone()));
    let plan = TrainPlan { save, write_every: Duration::from_secs(3600), ..plan(5) };
    let (mut line, mut log) = (Line::new(&stop), Log::default());
    line.nan_at = 15;
    let e = train(&plan, &mut line, &mut log, &stop).unwrap_err();
    assert!(matches!(&e, RuntimeError::NonFinite { what, step: 15, epoch: 3, .. } if what == "loss"), "{e}");
    assert_eq!(e.exit_code(), 5);
    let file = weights::read(&path).unwrap();
    assert_eq!(floats(&file.f32(file.get("fc.b").unwrap()).unwrap())[1], 12.0);
    assert_eq!(log.saved, [(path, false)]);
}

#[test]
fn non_finite_weights_are_never_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let stop = AtomicBool::new(false);
    let mut line = Line::new(&stop);
    line.grow = f32::INFINITY;
    let plan = TrainPlan { save: Some(Save::Last(path.clone())), val: None, batch: 23, ..plan(1) };
    let e = train(&plan, &mut line, &mut Silent, &stop).unwrap_err();
    assert!(matches!(&e, RuntimeError::NonFinite { what, step: 1, .. } if what == "w"), "{e}");
    assert!(!path.exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_training() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let stop = AtomicBool::new(false);
    let plan = TrainPlan { save: Some(Save::Last(dir.path().join("file/w"))), ..plan(1) };
    let mut line = Line::new(&stop);
    let e = train(&plan, &mut line, &mut Silent, &stop).unwrap_err();
    assert!(matches!(&e, RuntimeError::Data(d) if d.code == codes::SAVE), "{e}");
    assert_eq!((e.exit_code(), line.seen.len()), (3, 0));
}

/// The folder vanishes in the middle: the run goes on, warns, and fails only when the last write fails too.
#[test]
fn a_failed_write_on_the_way_is_a_warning() {
    struct Vanish(Log, PathBuf, u64, u64);
    impl Observer for Vanish {
        fn event(&mut self, event: &Event<'_>) {
            if let Event::Epoch(row) = event {
                if row.epoch == self.2 {
                    std::fs::remove_dir_all(&self.1).unwrap();
                }
                if row.epoch == self.3 {
                    std::fs::create_dir(&self.1).unwrap();
                }
            }
            self.0.event(event);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    for (back, ok) in [(4, true), (99, false)] {
        let folder = dir.path().join("out");
        let plan = TrainPlan { save: Some(Save::Last(folder.join("w"))), ..plan(6) };
        let mut log = Vanish(Log::default(), folder.clone(), 2, back);
        let result = train(&plan, &mut Line::new(&stop), &mut log, &stop);
        assert_eq!(log.0.rows.len(), 6);
        assert!(!log.0.warnings.is_empty());
        assert_eq!(result.is_ok(), ok);
        assert_eq!(folder.join("w").exists(), ok);
    }
}

#[test]
fn a_flag_set_before_the_start_ends_at_once() {
    let stop = AtomicBool::new(false);
    let mut line = Line::new(&stop);
    stop.store(true, Ordering::Relaxed);
    let summary = train(&plan(3), &mut line, &mut Silent, &stop).unwrap();
    assert_eq!((summary.steps, summary.ended), (0, Ended::Interrupted));
}
