//! `nnc predict`: what a trained model says of rows of its data, or of new ones.
//!
//! In: a program, its saved weights, rows of a split or of a file. Out: for each row every result, and for classifiers the
//! class and its probability, as the loss takes them: as text, JSON lines, CSV or arrays. Rows count from 1, as in messages.

use super::args::PredictArgs;
use super::out;
use super::run::{part, weights_path};
use super::sink::{Sink, number};
use super::ui::{Ui, counted, short};
use crate::driver::{self, Answers, Belief, Failure, Run, Use};
use nn_runtime::claims;
use nn_runtime::data::fresh::{self, Need};
use nn_runtime::data::input::Input;
use nn_runtime::dtype::DType;
use nn_runtime::error::{DataError, RuntimeError, codes};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Predicts and prints or saves.
pub fn predict(args: &PredictArgs, ui: &Ui) -> Result<(), Failure> {
    let mut project = super::open(&args.file, &args.common, ui)?;
    project.options.purpose = Use::Predict;
    let unit = super::unit(&project, ui)?;
    let threads = args.common.threads.map(usize::from);
    let standard = |path: &Option<PathBuf>| path.as_ref().is_some_and(|p| p.as_os_str() == "-");
    if standard(&args.output) {
        return Err(Failure::Usage(
            "`--output` takes a .csv, .npz or .npy file; without it predictions go to standard output, with `--json` as lines of JSON"
                .to_owned(),
        ));
    }
    if let Some(output) = &args.output {
        let own = [&args.input, &args.weights].into_iter().flatten().cloned();
        let read: Vec<PathBuf> = driver::files_read(&project, unit).into_iter().chain(own).collect();
        claims::check("--output", output, &read, &driver::files_written(&project))?;
    }
    let sink = args.output.as_deref().map(|path| Sink::open(path, args.force)).transpose()?;
    let (mut run, source, rows) = match &args.input {
        Some(path) => {
            let input = input(path)?;
            let name = input.name().to_owned();
            let needs = driver::needs(&project, unit)?;
            let need = Need { wanted: &needs.wanted, all: &needs.all, named: needs.named, skip: needs.skip };
            let columns = fresh::read(input, &need)?;
            let run = driver::prepare_rows(&project, unit, &name, columns, threads)?;
            let rows = run.plan.train.rows.to_vec();
            (run, 0, rows)
        }
        None => {
            let run = driver::prepare(&project, unit, threads)?;
            let split = part(&run, args.split, &unit.name)?;
            (run, split.source, split.rows.to_vec())
        }
    };
    super::run::compiled(ui, &run);
    let path = weights_path(&project, unit, args.weights.as_deref())?;
    run.load_weights(&path)?;
    super::run::warning(ui, &run);
    let results = run.results();
    let apart = unit.results.saturating_sub(results.len()) as u64;
    if apart > 0 {
        let verb = if apart == 1 { "is" } else { "are" };
        ui.note(&format!("{} of the model {verb} not of rows, and not shown", counted(apart, "result")));
    }
    if let Some(sink) = &sink {
        sink.takes(&results)?;
    }
    let n = args.limit.map_or(rows.len(), |n| (n as usize).min(rows.len()));
    answer(&mut run, &unit.name, (source, &rows[..n]), sink, ui)
}

/// A file, or standard input for `-`.
fn input(path: &Path) -> Result<Input, Failure> {
    if path.as_os_str() != "-" {
        return Ok(Input::at(path)?);
    }
    let mut bytes = vec![];
    let name = "standard input";
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|e| DataError::io(name, "read", &e))?;
    Ok(Input::from_bytes(name, bytes))
}

fn answer(
    run: &mut Run,
    name: &str,
    (source, rows): (usize, &[u32]),
    mut sink: Option<Sink>,
    ui: &Ui,
) -> Result<(), Failure> {
    let batch = run.answer_batch();
    let width = ui.width();
    let mut begun = false;
    let mut nan: Vec<u64> = vec![];
    for chunk in rows.chunks(batch.max(1)) {
        if !out::is_open() {
            break;
        }
        let answers = run.answers(source, chunk)?;
        let of = |values: &'_ [f64], j: usize| {
            let n = values.len() / chunk.len();
            n * j..n * (j + 1)
        };
        for (j, &index) in chunk.iter().enumerate() {
            let values = answers.results.iter().map(|r| &r.values[of(&r.values, j)]).collect();
            let names = answers.results.iter().map(|r| r.name.as_str()).collect();
            let dtypes = answers.results.iter().map(|r| r.dtype).collect();
            let row = Row { index, names, values, dtypes, classes: classes(&answers, j, chunk.len()) };
            if row.is_nan() {
                nan.push(row.number());
            }
            if let Some(sink) = &mut sink {
                sink.row(&row, &answers.results);
                continue;
            }
            ui.event(&row.event());
            if !ui.json {
                let shown = row.shown();
                if !begun {
                    let heads: Vec<String> = shown.iter().map(|(head, w, _)| format!("{head:>w$}")).collect();
                    wrap(&heads, width).lines().for_each(|l| ui.text(&ui.bold(l)));
                    begun = true;
                }
                let cells: Vec<String> = shown.iter().map(|(_, w, cell)| format!("{cell:>w$}")).collect();
                ui.text(&wrap(&cells, width));
            }
        }
    }
    if let Some(sink) = sink {
        let file = sink.path().to_owned();
        sink.save()?;
        ui.event(&json!({ "event": "predicted", "rows": rows.len(), "file": file }));
        ui.note(&format!("{} in {file}", counted(rows.len() as u64, "prediction")));
    }
    if nan.is_empty() { Ok(()) } else { Err(RuntimeError::NotFinite(no_numbers(name, &nan)).into()) }
}

/// E0419 of rows whose predictions are NaN. Infinite results are left alone: scores of what is masked are -inf.
fn no_numbers(name: &str, rows: &[u64]) -> DataError {
    const SHOWN: usize = 8;
    let first: Vec<String> = rows.iter().take(SHOWN).map(u64::to_string).collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let (rows, are) = if rows.len() == 1 { ("row", "is") } else { ("rows", "are") };
    let message = format_args!("what is predicted for {rows} {}{more} {are} NaN", first.join(", "));
    DataError::new(codes::NOT_FINITE, name, message)
        .note("the weights are finite: a value of these rows is not, or one on the way from it")
}

/// Cells of one row of a table; what does not fit goes on below, behind the first column.
fn wrap(cells: &[String], width: Option<usize>) -> String {
    let (mut out, mut line) = (String::new(), 0);
    let indent = cells.first().map_or(0, |c| c.chars().count());
    for (i, cell) in cells.iter().enumerate() {
        let n = cell.chars().count() + if i > 0 { 2 } else { 0 };
        if i > 1 && width.is_some_and(|w| line + n > w) {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            line = indent;
        }
        out.push_str(if i > 0 { "  " } else { "" });
        out.push_str(cell);
        line += n;
    }
    out
}

/// Classes of one row with their probabilities; no class where that is no number.
type Classes = Option<Vec<(Option<usize>, f64)>>;

fn classes(answers: &Answers, row: usize, rows: usize) -> Classes {
    match answers.belief.as_ref()? {
        Belief::Classes(p, n) => {
            let mine = p.chunks(p.len() / rows.max(1)).nth(row)?;
            let best = |p: &[f64]| {
                let i = (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best });
                match p.iter().find(|p| p.is_nan()) {
                    Some(nan) => (None, *nan),
                    None => (Some(i), p.get(i).copied().unwrap_or(f64::NAN)),
                }
            };
            Some(mine.chunks(*n).map(best).collect())
        }
        Belief::Chances(p) => {
            let mine = p.chunks(p.len() / rows.max(1)).nth(row)?;
            let class = |p: f64| match p {
                p if p.is_nan() => (None, p),
                p if p >= 0.5 => (Some(1), p),
                p => (Some(0), 1.0 - p),
            };
            Some(mine.iter().map(|&p| class(p)).collect())
        }
    }
}

/// What is said of one row.
pub(super) struct Row<'a> {
    /// Its place in the file, from 0.
    index: u32,
    /// The results by name.
    names: Vec<&'a str>,
    /// Their values.
    pub values: Vec<&'a [f64]>,
    /// The element types of the results.
    dtypes: Vec<DType>,
    /// What the loss takes them for.
    pub classes: Classes,
}

impl Row<'_> {
    /// Rows count from 1, as in messages.
    pub fn number(&self) -> u64 {
        u64::from(self.index) + 1
    }

    /// Is anything that is said of it no number?
    fn is_nan(&self) -> bool {
        let classes = self.classes.iter().flatten().map(|c| &c.1);
        self.values.iter().copied().flatten().chain(classes).any(|x| x.is_nan())
    }

    /// The names of all columns of a table.
    pub fn names(&self) -> Vec<String> {
        let mut all = vec!["row".to_owned()];
        if let Some(classes) = &self.classes {
            all.extend(numbered("class", classes.len()));
            all.extend(numbered("probability", classes.len()));
        }
        self.names.iter().zip(&self.values).for_each(|(name, v)| all.extend(numbered(name, v.len())));
        all
    }

    fn event(&self) -> Value {
        let mut event = json!({ "event": "predict", "index": self.index, "row": self.number() });
        // Integers as integers: readers of JSON tell them from floats.
        let list = |values: &[f64], d: &DType| match d.is_float() {
            true => json!(values),
            false => values.iter().map(|x| *x as i64).collect(),
        };
        if let ([values], [dtype]) = (&self.values[..], &self.dtypes[..]) {
            event["output"] = list(values, dtype);
        } else {
            let all = self.names.iter().zip(&self.values).zip(&self.dtypes);
            event["outputs"] = all.map(|((n, v), d)| ((*n).to_owned(), list(v, d))).collect();
        }
        if let Some(classes) = &self.classes {
            let (class, probability) = match classes[..] {
                [(c, p)] => (json!(c), json!(p)),
                _ => (classes.iter().map(|c| c.0).collect(), classes.iter().map(|c| c.1).collect()),
            };
            event["class"] = class;
            event["probability"] = probability;
        }
        event
    }

    /// Head, width and text of each cell for people. Of the one result of a classifier class and probability say enough.
    fn shown(&self) -> Vec<(String, usize, String)> {
        let mut cells = vec![("row".to_owned(), 5, self.number().to_string())];
        let classes = self.classes.as_deref().unwrap_or_default();
        let heads = numbered("class", classes.len()).into_iter().zip(numbered("probability", classes.len()));
        for ((class, probability), (c, p)) in heads.zip(classes) {
            let (a, b) = (class.len().max(5), probability.len().max(11));
            let c = c.map_or_else(|| "-".to_owned(), |c| c.to_string());
            cells.extend([(class, a, c), (probability, b, format!("{p:.4}"))]);
        }
        if classes.is_empty() || self.values.len() > 1 {
            for ((name, values), dtype) in self.names.iter().zip(&self.values).zip(&self.dtypes) {
                let short = |x| if dtype.is_float() { short(x) } else { number(x, *dtype) };
                for (head, x) in numbered(name, values.len()).into_iter().zip(*values) {
                    let width = head.chars().count().max(10);
                    cells.push((head, width, short(*x)));
                }
            }
        }
        cells
    }
}

/// A name for each of several numbers.
fn numbered(name: &str, n: usize) -> Vec<String> {
    if n == 1 { vec![name.to_owned()] } else { (0..n).map(|i| format!("{name}_{i}")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_row_goes_on_below_and_every_cell_under_its_head() {
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        let row =
            Row { index: 11, names: vec!["output"], values: vec![&values], dtypes: vec![DType::F32], classes: None };
        let shown = row.shown();
        let heads: Vec<String> = shown.iter().map(|(head, w, _)| format!("{head:>w$}")).collect();
        let cells: Vec<String> = shown.iter().map(|(_, w, cell)| format!("{cell:>w$}")).collect();
        assert_eq!(wrap(&cells, None).lines().count(), 1);
        for (width, lines) in [(80, 2), (40, 5), (12, 9)] {
            let (head, text) = (wrap(&heads, Some(width)), wrap(&cells, Some(width)));
            assert_eq!((head.lines().count(), text.lines().count()), (lines, lines), "{text}");
            for (h, t) in head.lines().zip(text.lines()) {
                assert_eq!(h.chars().count(), t.chars().count(), "{head}\n{text}");
                assert!(width < 17 || t.chars().count() <= width, "{text}");
            }
            assert!(text.starts_with("   12  "), "{text}");
        }
    }
}
