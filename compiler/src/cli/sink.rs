//! `nnc predict --output`: predictions in a file.
//!
//! In: rows of answers. Out: a CSV table with a column for every number; an `.npz` archive with an array for every result,
//! and rows, classes and probabilities; or one `.npy` array of the only result. Values keep their digits and element types.

use super::arrays::{self, Array};
use super::predict::Row;
use crate::driver::{Answered, Failure};
use nn_runtime::atomic;
use nn_runtime::dtype::DType;
use nn_runtime::error::{DataError, codes};
use std::fs;
use std::path::Path;

/// The class of a row that has none, in arrays.
const NO_CLASS: i64 = -1;

/// A value as text: the shortest that reads back as the same value of its type.
pub fn number(x: f64, dtype: DType) -> String {
    match dtype {
        DType::F64 => x.to_string(),
        d if d.is_float() => (x as f32).to_string(),
        _ => (x as i64).to_string(),
    }
}

/// Values as NumPy stores them: the name of their type and their bytes.
fn stored(values: &[f64], dtype: DType) -> (&'static str, Vec<u8>) {
    fn all<const N: usize>(values: &[f64], bytes: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|x| bytes(*x)).collect()
    }
    match dtype {
        DType::F64 => ("<f8", all(values, f64::to_le_bytes)),
        DType::F32 | DType::Bf16 | DType::F16 => ("<f4", all(values, |x| (x as f32).to_le_bytes())),
        DType::I64 => ("<i8", all(values, |x| (x as i64).to_le_bytes())),
        DType::I32 => ("<i4", all(values, |x| (x as i32).to_le_bytes())),
        DType::U32 => ("<u4", all(values, |x| (x as u32).to_le_bytes())),
        DType::I16 => ("<i2", all(values, |x| (x as i16).to_le_bytes())),
        DType::U16 => ("<u2", all(values, |x| (x as u16).to_le_bytes())),
        DType::I8 => ("|i1", all(values, |x| (x as i8).to_le_bytes())),
        DType::U8 => ("|u1", all(values, |x| (x as u8).to_le_bytes())),
        DType::Bool => ("|b1", all(values, |x| [u8::from(x != 0.0)])),
    }
}

/// A file that takes the predictions.
pub struct Sink {
    path: String,
    kind: Kind,
    text: String,
    rows: Vec<i64>,
    classes: Vec<i64>,
    chances: Vec<f64>,
    /// The results with all their values.
    results: Vec<Answered>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Csv,
    Npy,
    Npz,
}

impl Sink {
    /// Looks at what is there. A table has no place for a mark that every reader of tables passes over, so nothing tells
    /// ours from anyone's: a file is replaced only if the command says so.
    pub fn open(path: &Path, force: bool) -> Result<Sink, Failure> {
        let shown = path.to_string_lossy().into_owned();
        let kind = match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Kind::Csv,
            Some("npy") => Kind::Npy,
            Some("npz") => Kind::Npz,
            _ => {
                let why = format!("`--output {shown}`: predictions go to a .csv, .npz or .npy file");
                return Err(Failure::Usage(why));
            }
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
        let text = String::new();
        Ok(Sink { path: shown, kind, text, rows: vec![], classes: vec![], chances: vec![], results: vec![] })
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Can it hold so many results?
    pub fn takes(&self, results: &[String]) -> Result<(), Failure> {
        if self.kind == Kind::Npy && results.len() > 1 {
            let (n, names) = (results.len(), results.join(", "));
            let why =
                format!("an .npy file holds one array, the model has {n} results ({names}): write a .npz or .csv");
            return Err(Failure::Usage(format!("`--output {}`: {why}", self.path)));
        }
        Ok(())
    }

    /// A row; `results` are those of its batch, for their names and types.
    pub fn row(&mut self, row: &Row<'_>, results: &[Answered]) {
        if self.kind == Kind::Csv {
            if self.rows.is_empty() {
                self.text = row.names().join(",") + "\n";
            }
            let mut cells = vec![row.number().to_string()];
            let classes = row.classes.as_deref().unwrap_or_default();
            cells.extend(classes.iter().map(|c| c.0.map(|c| c.to_string()).unwrap_or_default()));
            cells.extend(classes.iter().map(|c| number(c.1, DType::F32)));
            for (r, values) in results.iter().zip(&row.values) {
                cells.extend(values.iter().map(|x| number(*x, r.dtype)));
            }
            self.text += &(cells.join(",") + "\n");
        } else {
            if self.results.is_empty() {
                self.results = results.iter().map(|r| Answered { values: vec![], ..r.clone() }).collect();
            }
            for (all, values) in self.results.iter_mut().zip(&row.values) {
                all.values.extend(*values);
            }
            let classes = row.classes.as_deref().unwrap_or_default();
            self.classes.extend(classes.iter().map(|c| c.0.map_or(NO_CLASS, |c| c as i64)));
            self.chances.extend(classes.iter().map(|c| c.1));
        }
        self.rows.push(row.number() as i64);
    }

    /// Writes it.
    pub fn save(self) -> Result<(), DataError> {
        let path = Path::new(&self.path);
        let n = self.rows.len() as u64;
        let result = |r: &Answered| {
            let (descr, bytes) = stored(&r.values, r.dtype);
            Array {
                name: r.name.clone(),
                descr,
                shape: std::iter::once(n).chain(r.shape.iter().copied()).collect(),
                bytes,
            }
        };
        match self.kind {
            Kind::Csv => atomic::save(path, &[self.text.as_bytes()]),
            Kind::Npy => match self.results.first() {
                Some(r) => atomic::save(path, &[&result(r).npy()]),
                None => Ok(()),
            },
            Kind::Npz => {
                let ints = |name: &str, values: &[i64]| {
                    let each = values.len() as u64 / n.max(1);
                    let shape = if each == 1 { vec![n] } else { vec![n, each] };
                    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Array { name: name.to_owned(), descr: "<i8", shape, bytes }
                };
                let mut all = vec![ints("row", &self.rows)];
                if !self.classes.is_empty() {
                    let classes = ints("class", &self.classes);
                    let (name, shape) = ("probability".to_owned(), classes.shape.clone());
                    let (descr, bytes) = stored(&self.chances, DType::F32);
                    all.extend([classes, Array { name, descr, shape, bytes }]);
                }
                all.extend(self.results.iter().map(result));
                atomic::save(path, &[&arrays::npz(&self.path, &all)?])
            }
        }
    }
}
