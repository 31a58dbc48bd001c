//! A trained model on new rows: what it needs of them, and a program compiled for them.
//!
//! In: a checked project and columns that did not come with it. Out: a [`Run`] whose only source they are. The fields of
//! the program's data are computed from them as in training; columns that the prediction does not read need not exist.

use super::run::{check_ids, computed, ready, within_memory};
use super::{Failure, Run, compile_entries, graph};
use crate::graph::graph::SlotKind;
use crate::report;
use crate::sema::train::{Kind, RESULT};
use crate::sema::units::{BatchSize, TrainUnit};
use nn_runtime::data::check::check_range;
use nn_runtime::data::split::{Dataset, RowSet, Split};
use nn_runtime::data::{Column, ColumnSpec, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::{DataError, codes};

/// What a prediction needs.
pub struct Needs {
    /// The columns that it reads.
    pub wanted: Vec<ColumnSpec>,
    /// All columns of the program's data.
    pub all: Vec<ColumnSpec>,
    /// Does the program know columns by the names that a file gives them?
    pub named: bool,
    /// Lines that the program's file has before its rows.
    pub skip: u64,
}

/// What the prediction of a unit needs of a row.
pub fn needs(project: &super::Project, unit: &TrainUnit) -> Result<Needs, Failure> {
    let g = graph(project, unit, Kind::Predict, unit.batches().train)?;
    if !g.outputs.iter().any(|o| o.name.starts_with(RESULT)) {
        return Err(nothing());
    }
    let column = |name: &str, dtype, shape: &[u64]| ColumnSpec { name: name.to_owned(), dtype, shape: shape.to_vec() };
    let slots = g.slots.iter().filter(|s| s.kind == SlotKind::Data);
    let mut wanted: Vec<ColumnSpec> =
        slots.map(|s| column(&s.name, s.ty.dtype, s.ty.shape.get(1..).unwrap_or_default())).collect();
    let source = unit.data.sources.first().map(SourceSpec::plain);
    let all = match unit.data.headers.first() {
        // What lies beside a column that cannot be read counts by its place as well.
        Some(h) if let Some(SourceSpec::Csv { columns: Some(groups), .. }) = source => {
            let known = |name: &str| h.columns.iter().find(|c| c.name == name).cloned();
            let unread = |name: &str, width: u64| {
                column(name, DType::F32, if width == 1 { &[] } else { std::slice::from_ref(&width) })
            };
            groups.iter().map(|(name, width)| known(name).unwrap_or_else(|| unread(name, *width))).collect()
        }
        Some(h) if !unit.data.drawn => h.columns.clone(),
        _ => wanted.clone(),
    };
    // In the order of the file, which a table without names goes by.
    wanted.sort_by_key(|w| all.iter().position(|c| c.name == w.name));
    let named = matches!(source, Some(SourceSpec::Csv { columns: None, .. }));
    let skip = if let Some(SourceSpec::Csv { skip, .. }) = source { *skip } else { 0 };
    Ok(Needs { wanted, all, named, skip })
}

pub(super) fn nothing() -> Failure {
    Failure::Usage("the loss does not call the model, so there is nothing to predict".to_owned())
}

/// Compiles a unit's prediction for new rows, which are its only data.
pub fn prepare_rows(
    project: &super::Project,
    unit: &TrainUnit,
    name: &str,
    columns: Vec<Column>,
    n_threads: Option<usize>,
) -> Result<Run, Failure> {
    let rows = columns.first().map_or(0, |c| c.rows);
    for c in &columns {
        for check in unit.data.checks.iter().filter(|check| check.column == c.name) {
            check_range(name, &format!("column `{}`", c.name), c, check.size)?;
        }
    }
    // Columns that turned out of another type are elaborated as such: a table without a decimal point is one of ints.
    let mut own = unit.clone();
    for spec in own.data.headers.iter_mut().flat_map(|h| &mut h.columns) {
        if let Some(c) = columns.iter().find(|c| c.name == spec.name) {
            spec.dtype = c.dtype;
        }
    }
    let batch = match unit.batch {
        BatchSize::Full => rows,
        BatchSize::Rows(_) => rows.min(unit.batches().eval),
    };
    if let Err(diags) = own.graph(&project.program, Kind::Predict, batch) {
        let text = report::render(&diags, project.sources(), false);
        let e = DataError::new(codes::COLUMNS, name, "the rows do not fit the program");
        return Err(text.lines().fold(e, |e, line| e.note(line)).into());
    }
    for ids in &unit.data.computed_ids {
        if unit.data.drawn {
            // The columns are the fields themselves.
            let field = columns.iter().find(|c| ids.what == format!("field `{}`", c.name));
            if let (Some(c), Some(size)) = (field, ids.size) {
                check_range(name, &ids.what, c, size)?;
            }
        } else if let Some(made) = computed(project, &own, &ids.output, &columns)? {
            check_ids(name, ids, made)?;
        }
    }
    let compiled = compile_entries(project, &own, own.batches(), &[(Kind::Predict, batch), (Kind::Init, 0)])?;
    for spec in compiled.program.entries.iter().flat_map(|e| &e.data) {
        match columns.iter().find(|c| c.name == spec.name) {
            Some(c) if c.dtype == spec.dtype => {}
            Some(c) => {
                let message = format_args!("`{}` has values that are no {}", c.name, spec.dtype);
                return Err(DataError::new(codes::COLUMNS, name, message).into());
            }
            None => return Err(Failure::Bug(format!("the prediction reads `{}`, which was not asked for", spec.name))),
        }
    }
    let rows = RowSet::All(u32::try_from(rows).unwrap_or(u32::MAX));
    let splits = vec![Split { name: "train".to_owned(), source: 0, rows }];
    within_memory(&compiled.info)?;
    ready(project, &own, Dataset { names: vec![name.to_owned()], sources: vec![columns], splits }, compiled, n_threads)
}

/// What a model says of some rows.
pub struct Answers {
    /// Its results.
    pub results: Vec<Answered>,
    /// For classifiers, what the loss takes the outputs for.
    pub belief: Option<Belief>,
}

/// A result of a model for some rows.
#[derive(Clone)]
pub struct Answered {
    /// `output`, or the result's own name where there are several.
    pub name: String,
    /// Its values, row-major.
    pub values: Vec<f64>,
    /// The shape of one row of them.
    pub shape: Vec<u64>,
    /// Their element type: every value of it is an f64.
    pub dtype: DType,
}

/// Probabilities of rows, row-major.
pub enum Belief {
    /// Of so many classes each, which add up to one.
    Classes(Vec<f64>, usize),
    /// Each by itself.
    Chances(Vec<f64>),
}

impl Run {
    /// At most so many rows are answered at once.
    pub fn answer_batch(&self) -> usize {
        let entries = &self.stepper.session.program().entries;
        entries.iter().find(|e| e.name == "predict").map_or(1, |e| e.batch as usize)
    }

    /// The names of the model's results, as [`Run::answers`] gives them.
    pub fn results(&self) -> Vec<String> {
        let entries = &self.stepper.session.program().entries;
        let outputs = entries.iter().find(|e| e.name == "predict").map(|e| e.outputs.iter());
        outputs.into_iter().flatten().filter_map(|o| o.name.strip_prefix(RESULT).map(str::to_owned)).collect()
    }

    /// The model's outputs for rows of a source.
    pub fn answers(&mut self, source: usize, rows: &[u32]) -> Result<Answers, Failure> {
        // Short batches are filled up with the last row: only one size is compiled.
        let batch = self.answer_batch();
        let mut filled = rows.to_vec();
        filled.resize(batch, rows.last().copied().unwrap_or(0));
        let e = self.stepper.run("predict", 0, source, &filled)?;
        let specs = &self.stepper.session.program().entries[e].outputs;
        let spec = |name: &str| specs.iter().find(|o| o.name == name);
        let values = |name: &str| -> Option<Vec<f64>> {
            let mut all = self.stepper.output(e, name)?;
            all.truncate(all.len() / batch.max(1) * rows.len());
            Some(all)
        };
        let mut results = vec![];
        for out in specs {
            let Some(name) = out.name.strip_prefix(RESULT) else { continue };
            // One graph of a whole batch may have no axis of rows.
            let of_rows = out.shape.first() == Some(&(batch as u64));
            let shape = out.shape.get(usize::from(of_rows)..).unwrap_or_default().to_vec();
            results.push(Answered {
                name: name.to_owned(),
                values: values(&out.name).unwrap_or_default(),
                shape,
                dtype: out.dtype,
            });
        }
        if results.is_empty() {
            return Err(nothing());
        }
        let belief = match (values("classes"), values("chance")) {
            (Some(p), _) => {
                let n = spec("classes").and_then(|s| s.shape.last()).map_or(1, |&n| n as usize);
                Some(Belief::Classes(p, n.max(1)))
            }
            (None, Some(p)) => Some(Belief::Chances(p)),
            (None, None) => None,
        };
        Ok(Answers { results, belief })
    }
}
