//! `nnc predict`: what a trained model says of rows of its data, or of new ones.
//!
//! In: a program, its saved weights, rows of a split or of a file. Out: for each row the outputs, and for classifiers the
//! class and its probability, as the loss takes them: as text, JSON lines, CSV or an array.

use super::args::PredictArgs;
use super::out;
use super::run::{part, weights_path};
use super::ui::{Ui, counted, short};
use crate::driver::{self, Answers, Belief, Failure, Run, Use};
use nn_runtime::atomic;
use nn_runtime::claims;
use nn_runtime::data::fresh::{self, Need};
use nn_runtime::data::input::Input;
use nn_runtime::error::{DataError, codes};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Predicts and prints or saves.
pub fn predict(args: &PredictArgs, ui: &Ui) -> Result<(), Failure> {
    let mut project = super::open(&args.file, &args.common, ui)?;
    project.options.purpose = Use::Predict;
    let unit = super::unit(&project, ui)?;
    let threads = args.common.threads.map(usize::from);
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
    let path = weights_path(&run, args.weights.as_deref(), &unit.name)?;
    run.load_weights(&path)?;
    if unit.results > 1 {
        ui.note(&format!("the model has {} results; predictions are of the first", unit.results));
    }
    let n = args.limit.map_or(rows.len(), |n| (n as usize).min(rows.len()));
    answer(&mut run, source, &rows[..n], sink, ui)
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

fn answer(run: &mut Run, source: usize, rows: &[u32], mut sink: Option<Sink>, ui: &Ui) -> Result<(), Failure> {
    let batch = run.answer_batch();
    let mut begun = false;
    for chunk in rows.chunks(batch.max(1)) {
        if !out::is_open() {
            break;
        }
        let answers = run.answers(source, chunk)?;
        let width = answers.outputs.len() / chunk.len();
        for (j, (&index, outputs)) in chunk.iter().zip(answers.outputs.chunks(width.max(1))).enumerate() {
            let row = Row { index, outputs, classes: classes(&answers, j, chunk.len()) };
            if let Some(sink) = &mut sink {
                sink.row(&row, &answers.shape);
                continue;
            }
            ui.event(&row.event());
            if !ui.json {
                if !begun {
                    ui.text(&ui.bold(&row.head()));
                    begun = true;
                }
                ui.text(&row.text());
            }
        }
    }
    if let Some(sink) = sink {
        let file = sink.path.clone();
        sink.save()?;
        ui.event(&json!({ "event": "predicted", "rows": rows.len(), "file": file }));
        ui.note(&format!("{} in {file}", counted(rows.len() as u64, "prediction")));
    }
    Ok(())
}

/// Classes of one row with their probabilities.
type Classes = Option<Vec<(usize, f64)>>;

fn classes(answers: &Answers, row: usize, rows: usize) -> Classes {
    match answers.belief.as_ref()? {
        Belief::Classes(p, n) => {
            let mine = p.chunks(p.len() / rows.max(1)).nth(row)?;
            let best = |p: &[f64]| {
                let i = (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best });
                (i, p.get(i).copied().unwrap_or(f64::NAN))
            };
            Some(mine.chunks(*n).map(best).collect())
        }
        Belief::Chances(p) => {
            let mine = p.chunks(p.len() / rows.max(1)).nth(row)?;
            Some(mine.iter().map(|&p| if p >= 0.5 { (1, p) } else { (0, 1.0 - p) }).collect())
        }
    }
}

/// What is said of one row.
struct Row<'a> {
    index: u32,
    outputs: &'a [f64],
    classes: Classes,
}

impl Row<'_> {
    fn event(&self) -> Value {
        let mut event = json!({ "event": "predict", "index": self.index, "output": self.outputs });
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

    fn head(&self) -> String {
        match &self.classes {
            Some(_) => "  row  class  probability".to_owned(),
            None if self.outputs.len() == 1 => "  row      output".to_owned(),
            None => {
                let names: Vec<String> = (0..self.outputs.len()).map(|i| format!("{i:>10}")).collect();
                format!("  row  {}", names.join("  "))
            }
        }
    }

    fn text(&self) -> String {
        let values: Vec<String> = match &self.classes {
            Some(classes) => classes.iter().map(|(c, p)| format!("{c:>5}  {p:>11.4}")).collect(),
            None => self.outputs.iter().map(|x| format!("{:>10}", short(*x))).collect(),
        };
        format!("{:>5}  {}", self.index, values.join("  "))
    }
}

/// A file that takes the predictions.
struct Sink {
    path: String,
    npy: bool,
    text: String,
    values: Vec<u8>,
    rows: u64,
    shape: Vec<u64>,
}

impl Sink {
    /// Looks at what is there. A table has no place for a mark that every reader of tables passes over, so nothing tells
    /// ours from anyone's: a file is replaced only if the command says so.
    fn open(path: &Path, force: bool) -> Result<Sink, Failure> {
        let shown = path.to_string_lossy().into_owned();
        let kind = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let npy = match kind.as_deref() {
            Some("csv") => false,
            Some("npy") => true,
            _ => return Err(Failure::Usage(format!("`--output {shown}`: predictions go to a .csv or a .npy file"))),
        };
        let refuse = |why: &str| DataError::new(codes::SAVE, &shown, why).help("choose another name");
        if fs::symlink_metadata(path).is_ok() {
            if !fs::metadata(path).is_ok_and(|m| m.is_file()) {
                return Err(refuse("this is no regular file, so it is not replaced").into());
            }
            if !force {
                return Err(refuse("there is a file already").help("`--force` replaces it").into());
            }
        }
        Ok(Sink { path: shown, npy, text: String::new(), values: vec![], rows: 0, shape: vec![] })
    }

    fn row(&mut self, row: &Row<'_>, shape: &[u64]) {
        if self.npy {
            self.values.extend(row.outputs.iter().flat_map(|&x| (x as f32).to_le_bytes()));
            self.shape = shape.to_vec();
        } else {
            let numbered = |name: &str, n: usize| -> Vec<String> {
                if n == 1 { vec![name.to_owned()] } else { (0..n).map(|i| format!("{name}_{i}")).collect() }
            };
            let classes = row.classes.as_deref().unwrap_or_default();
            if self.rows == 0 {
                let mut head = vec!["row".to_owned()];
                if row.classes.is_some() {
                    head.extend(numbered("class", classes.len()));
                    head.extend(numbered("probability", classes.len()));
                }
                head.extend(numbered("output", row.outputs.len()));
                self.text = head.join(",") + "\n";
            }
            let mut cells = vec![row.index.to_string()];
            cells.extend(classes.iter().map(|c| c.0.to_string()));
            cells.extend(classes.iter().map(|c| (c.1 as f32).to_string()));
            cells.extend(row.outputs.iter().map(|x| (*x as f32).to_string()));
            self.text += &(cells.join(",") + "\n");
        }
        self.rows += 1;
    }

    fn save(self) -> Result<(), DataError> {
        let path = Path::new(&self.path);
        if !self.npy {
            return atomic::save(path, &[self.text.as_bytes()]);
        }
        let dims: Vec<String> = std::iter::once(self.rows).chain(self.shape).map(|n| format!("{n},")).collect();
        let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.join(" "));
        // Magic, version, length, then the text up to a multiple of 64 bytes.
        let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
        let header = format!("{dict:<width$}\n", width = length - 1);
        let begin = [&b"\x93NUMPY\x01\x00"[..], &(length as u16).to_le_bytes()].concat();
        atomic::save(path, &[&begin, header.as_bytes(), &self.values])
    }
}
