//! A compiled program and its data as a [`Stepper`]: what the training loop drives.
//!
//! In: a [`Session`], a [`Dataset`] and the names of the losses and metrics. Out: losses and metrics of batches of rows.
//! The number of rows picks the entry; batches are gathered by the threads that run the step.

use crate::data::check::outside;
use crate::data::split::Dataset;
use crate::error::RuntimeError;
use crate::exec::{self, Gather, Session};
use crate::program::{Program, TensorSpec};
use crate::train::derived::Derived;
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
    /// Losses that are more than one ratio, of training.
    train_derived: Parts,
    /// Losses and metrics that are more than one ratio, of evaluation, and their sums so far.
    eval_derived: Parts,
    eval_sums: Vec<Ratio>,
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
            train_derived: Parts::default(),
            eval_derived: Parts::default(),
            eval_sums: vec![],
            last: vec![],
            before: None,
        }
    }

    /// Names the losses and metrics that are made of several ratios.
    pub fn derive(&mut self, train: Vec<Derived>, eval: Vec<Derived>) {
        let program = self.session.program().clone();
        let parts = |of: Vec<Derived>, entry: &str, names: &[String]| Parts {
            places: program
                .entries
                .iter()
                .map(|e| {
                    let place = |name: &String| e.outputs.iter().position(|o| o.name == *name);
                    let term = |d: &Derived, i: usize| {
                        let [num, den] = Derived::outputs(&d.name, i);
                        Some((place(&num)?, place(&den)?))
                    };
                    let of = of.iter().filter(|_| e.name == entry);
                    of.flat_map(|d| (0..d.terms).map(move |i| (d, i))).map(|(d, i)| term(d, i)).collect()
                })
                .collect(),
            of: of.into_iter().map(|d| (names.iter().position(|n| *n == d.name).unwrap_or(0), d)).collect(),
        };
        self.train_derived = parts(train, "train", &self.train_names);
        self.eval_derived = parts(eval, "eval", &self.eval_names);
        self.eval_sums = vec![Ratio::default(); self.eval_derived.terms()];
    }

    /// The terms of derived values that an entry has just computed.
    fn terms(&self, e: usize, parts: &Parts, mut each: impl FnMut(usize, Ratio)) -> Result<(), RuntimeError> {
        let outputs = &self.session.program().entries[e].outputs;
        let scalar = |output: usize| self.session.scalar_of(e, &outputs[output]);
        for (i, place) in parts.places.get(e).into_iter().flatten().enumerate() {
            match place.and_then(|(num, den)| Some((scalar(num)?, scalar(den)?))) {
                Some((num, den)) => each(i, Ratio { num, den }),
                None => return Err(RuntimeError::Bug(format!("the step has no term {i} of its losses"))),
            }
        }
        Ok(())
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
        match self.session.entry(entry, 0) {
            Some(e) => {
                self.session.run(e, self.seed, 0);
                self.check(e, None)
            }
            None => Ok(()),
        }
    }

    /// Did an entry meet class numbers outside of their range when it ran?
    fn check(&self, entry: usize, data: Option<(usize, &[u32])>) -> Result<(), RuntimeError> {
        let spec = &self.session.program().entries[entry];
        let scalar = |name: &str| {
            let output = spec.outputs.iter().find(|o| o.name == name)?;
            self.session.scalar_of(entry, output)
        };
        for c in &spec.checks {
            let Some(first) = scalar(&c.first) else {
                return Err(RuntimeError::Bug(format!("the entry `{}` has no output `{}`", spec.name, c.first)));
            };
            if first == f64::from(i32::MAX) {
                continue;
            }
            let (first, value) = (first as u64, scalar(&c.value).unwrap_or(f64::NAN));
            let row = data.zip(c.rows).and_then(|((source, rows), axis)| {
                let (n, inner) = (*c.shape.get(axis)?, c.shape.get(axis + 1..)?.iter().product::<u64>());
                let row = rows.get((first / inner.max(1) % n.max(1)) as usize)?;
                Some((self.data.names.get(source)?.as_str(), u64::from(*row) + 1))
            });
            return Err(outside(c, first, value, row).into());
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
        self.check(e, Some((source, rows)))?;
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
        if let Some([params, state]) = self.before.as_ref() {
            for (specs, bytes) in [(&program.params, params), (&program.state, state)] {
                if let Some(s) = specs.iter().find(|s| s.name == name) {
                    return Some(crate::data::convert::values(s.dtype, &bytes[range(s)]));
                }
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

/// Values made of several ratios, and where these are.
#[derive(Default)]
struct Parts {
    /// Each with its number among the names.
    of: Vec<(usize, Derived)>,
    /// For every entry: the outputs of all terms in order.
    places: Vec<Vec<Option<(usize, usize)>>>,
}

impl Parts {
    fn terms(&self) -> usize {
        self.of.iter().map(|(_, d)| d.terms).sum()
    }

    /// Writes the values of summed terms to the places of their names.
    fn conclude(&self, mut terms: &[Ratio], sums: &mut [Ratio]) {
        for (name, d) in &self.of {
            let (own, rest) = terms.split_at(d.terms.min(terms.len()));
            terms = rest;
            if let Some(sum) = sums.get_mut(*name) {
                *sum = Ratio { num: d.value(own), den: 1.0 };
            }
        }
    }
}

impl Stepper for ProgramStepper {
    fn train_terms(&self) -> usize {
        self.train_derived.terms()
    }

    fn train_step(&mut self, t: u64, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("train", t, source, rows)?;
        let terms = out.get_mut(self.train_names.len()..).unwrap_or_default();
        self.terms(e, &self.train_derived, |i, r| {
            terms.get_mut(i).into_iter().for_each(|x| *x = r);
        })?;
        self.read(e, out, |_| true)
    }

    fn end_epoch(&mut self, sums: &mut [Ratio]) -> Result<(), RuntimeError> {
        let names = self.train_names.len().min(sums.len());
        let (sums, terms) = sums.split_at_mut(names);
        self.train_derived.conclude(terms, sums);
        Ok(())
    }

    fn begin_eval(&mut self) -> Result<(), RuntimeError> {
        self.eval_sums.fill(Ratio::default());
        if crate::mutant!("train.metric_reset") { Ok(()) } else { self.run_alone("reset") }
    }

    fn eval_step(&mut self, source: usize, rows: &[u32], out: &mut [Ratio]) -> Result<(), RuntimeError> {
        let e = self.run("eval", 0, source, rows)?;
        let mut sums = std::mem::take(&mut self.eval_sums);
        let read = self.terms(e, &self.eval_derived, |i, r| {
            if let Some(sum) = sums.get_mut(i) {
                sum.num += r.num;
                sum.den += r.den;
            }
        });
        self.eval_sums = sums;
        read?;
        self.read(e, out, |i| !self.own_state.get(i).copied().unwrap_or(false))
    }

    fn end_eval(&mut self, sums: &mut [Ratio]) -> Result<(), RuntimeError> {
        self.eval_derived.conclude(&self.eval_sums, sums);
        let Some(e) = self.session.entry("result", 0) else { return Ok(()) };
        self.session.run(e, self.seed, 0);
        self.check(e, None)?;
        self.read(e, sums, |i| self.own_state.get(i).copied().unwrap_or(false))
    }

    fn classes(&self, name: &str) -> Option<u64> {
        self.session.program().classes.iter().find(|(n, _)| n == name).map(|(_, size)| *size)
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
