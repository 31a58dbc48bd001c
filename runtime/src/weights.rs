//! Weights as safetensors files: 8 bytes of header length, a JSON header, dense little-endian values.
//!
//! In: named tensors, or a file. Out: a file that every safetensors reader takes, written atomically, or the tensors of
//! a file held against a model: each name and shape must fit, and what does not is listed with what would mend it.
//!
//! The reader is the project's own because a file is checked before it is believed: every size in the header is
//! checked arithmetic against the bytes that are there, tensors may not overlap, leave holes or share a name.

use crate::atomic;
use crate::data::convert::{self, Format, convert};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, nearest, printable, reason};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::path::Path;

/// Longest header, as in the reference implementation.
const MAX_HEADER: u64 = 100_000_000;
/// Most lines of a list in a message.
const MAX_LINES: usize = 12;
/// Tensors with this prefix are a checkpoint's training state, no weights.
pub const STATE_PREFIX: &str = "@state/";
/// Metadata keys with this prefix are ours: they tell a file that may be replaced from anyone else's.
pub const OURS: &str = "nnc.";
/// The metadata entry of saved weights: the version of what is in them.
pub const MARK: (&str, &str) = ("nnc.weights", "1");
/// PyTorch's batch norm counts its batches beside its statistics; only an average without momentum reads the count.
const COUNTER: &str = "num_batches_tracked";

/// A tensor to be saved.
#[derive(Clone, Debug)]
pub struct TensorRef<'a> {
    /// A parameter's or state's path.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: &'a [u64],
    /// Values, native byte order.
    pub bytes: &'a [u8],
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Name.
    pub name: String,
    /// Element type in the file; `None` for one that nnc does not know.
    pub dtype: Option<DType>,
    /// Shape.
    pub shape: Vec<u64>,
    range: std::ops::Range<usize>,
}

/// A parsed file.
#[derive(Clone, PartialEq)]
pub struct SafeTensors {
    /// The file as messages call it.
    pub file: String,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// Tensors in file order.
    pub tensors: Vec<Stored>,
    bytes: Vec<u8>,
}

/// Name and type that a model wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<'a> {
    /// A parameter's or state's path.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: &'a [u64],
}

/// Saves tensors. The old file stays until the new one is complete.
pub fn save(path: &Path, tensors: &[TensorRef<'_>], metadata: &[(&str, String)]) -> Result<(), DataError> {
    let header = header(tensors, metadata);
    let little: Vec<Vec<u8>> = if cfg!(target_endian = "big") { tensors.iter().map(little).collect() } else { vec![] };
    let mut parts: Vec<&[u8]> = vec![&header];
    if little.is_empty() {
        parts.extend(tensors.iter().map(|t| t.bytes));
    } else {
        parts.extend(little.iter().map(Vec::as_slice));
    }
    atomic::save(path, &parts)
}

/// The bytes of a file.
pub fn encode(tensors: &[TensorRef<'_>], metadata: &[(&str, String)]) -> Vec<u8> {
    let mut out = header(tensors, metadata);
    for t in tensors {
        out.extend(little(t));
    }
    out
}

/// Reads and checks a file.
pub fn read(path: &Path) -> Result<SafeTensors, DataError> {
    let name = path.to_string_lossy();
    let failed = |e: &std::io::Error| DataError::io(&name, "read the weights", e);
    let meta = std::fs::metadata(path).map_err(|e| missing(path, &e))?;
    if !meta.is_file() {
        return Err(DataError::new(codes::PATH, &name, "this is not a regular file"));
    }
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let bytes = crate::data::input::read_up_to(&mut file, meta.len()).map_err(|e| failed(&e))?;
    SafeTensors::parse(&name, bytes)
}

/// Whether nnc wrote a file: a safetensors file with metadata of ours. Only its header is read, so what a full disk cut
/// short is still ours.
pub fn is_ours(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = vec![];
    file.by_ref().take(8).read_to_end(&mut length)?;
    let Some(n) = length.first_chunk().map(|&b| u64::from_le_bytes(b)).filter(|&n| n <= MAX_HEADER.min(size)) else {
        return Ok(false);
    };
    let text = crate::data::input::read_up_to(&mut file, n)?;
    let Ok(header) = serde_json::from_slice::<Header>(&text) else { return Ok(false) };
    Ok(header.0.iter().any(|(_, v)| matches!(v, Value::Metadata(m) if m.keys().any(|k| k.starts_with(OURS)))))
}

/// The first tensor with a value that is not finite, and the value.
pub fn first_non_finite<'a>(tensors: impl IntoIterator<Item = &'a TensorRef<'a>>) -> Option<(&'a str, f64)> {
    tensors.into_iter().find_map(|t| {
        let bad = match t.dtype {
            DType::F32 => {
                t.bytes.as_chunks().0.iter().map(|&b| f32::from_ne_bytes(b)).find(|v| !v.is_finite()).map(f64::from)
            }
            DType::F64 => t.bytes.as_chunks().0.iter().map(|&b| f64::from_ne_bytes(b)).find(|v| !v.is_finite()),
            _ => None,
        };
        bad.map(|v| (t.name, v))
    })
}

/// Holds a tensor that was read against the number of classes whose numbers it should hold, if any.
pub fn check_classes(file: &str, t: &TensorRef<'_>, classes: Option<u64>) -> Result<(), DataError> {
    let Some(n) = classes else { return Ok(()) };
    let values = convert::values(t.dtype, t.bytes);
    let wrong = |v: &f64| !(0.0..n as f64).contains(v) || v.fract() != 0.0;
    let Some(first) = values.iter().position(wrong) else { return Ok(()) };
    let name = printable(t.name);
    let row = first as u64 / t.shape.iter().skip(1).product::<u64>().max(1) + 1;
    let at = if t.shape.is_empty() { String::new() } else { format!(" in row {row}") };
    let what = format_args!("`{name}`{at} has value {}, outside idx<{n}>", values[first]);
    let others = values.iter().filter(|v| wrong(v)).count() - 1;
    let e = DataError::new(codes::OUT_OF_RANGE, file, what).at(Some(row), Some(t.name.to_owned()));
    let e = if others > 0 { e.note(format!("and {others} more outside")) } else { e };
    Err(e.help(format!("class numbers are whole, 0 to {}", n.saturating_sub(1))))
}

impl SafeTensors {
    /// Checks the bytes of a file.
    pub fn parse(file: &str, bytes: Vec<u8>) -> Result<SafeTensors, DataError> {
        let wrong = |why: &dyn fmt::Display| {
            DataError::new(codes::WEIGHTS, file, format_args!("this is not a whole safetensors file: {why}"))
        };
        let Some(n) = bytes.first_chunk().map(|&b| u64::from_le_bytes(b)) else {
            return Err(wrong(&format_args!("it has {}", counted(bytes.len() as u64, "byte"))));
        };
        if n > MAX_HEADER {
            return Err(wrong(&format_args!("its header claims {n} bytes")));
        }
        // n is at most MAX_HEADER, so neither the cast nor the sum can overflow.
        let start = 8 + n as usize;
        let Some(text) = bytes.get(8..start) else {
            return Err(wrong(&format_args!("its header claims {n} bytes, the file has {}", bytes.len())));
        };
        let header: Header = serde_json::from_slice(text).map_err(|e| wrong(&printable(&e.to_string())))?;
        let mut metadata = BTreeMap::new();
        let mut tensors: Vec<Stored> = vec![];
        let mut names = BTreeSet::new();
        for (name, value) in header.0 {
            if !names.insert(name.clone()) {
                return Err(wrong(&format_args!("`{}` stands twice", printable(&name))));
            }
            match value {
                Value::Metadata(m) => metadata = m,
                Value::Tensor(t) => tensors.push(check(&name, &t, start).map_err(|why| wrong(&why))?),
            }
        }
        let mut order: Vec<&Stored> = tensors.iter().collect();
        order.sort_by_key(|t| (t.range.start, t.range.end));
        let mut end = start;
        for t in order {
            if t.range.start != end {
                let what = if t.range.start < end { "overlaps another tensor" } else { "leaves a hole before it" };
                return Err(wrong(&format_args!("`{}` {what}", printable(&t.name))));
            }
            end = t.range.end;
        }
        if end != bytes.len() {
            return Err(wrong(&format_args!("its tensors end at byte {end}, the file has {}", bytes.len())));
        }
        Ok(SafeTensors { file: file.to_owned(), metadata, tensors, bytes })
    }

    /// Is there a tensor of that name?
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.iter().find(|t| t.name == name)
    }

    /// The bytes of a tensor as stored, little-endian.
    pub fn raw(&self, t: &Stored) -> &[u8] {
        self.bytes.get(t.range.clone()).unwrap_or_default()
    }

    /// The values of a tensor as `f32`.
    pub fn f32(&self, t: &Stored) -> Result<Vec<u8>, DataError> {
        self.floats(t, DType::F32)
    }

    /// The values of a tensor as `f32` or `f64`.
    pub fn floats(&self, t: &Stored, to: DType) -> Result<Vec<u8>, DataError> {
        let name = printable(&t.name);
        let wide = to == DType::F64;
        match t.dtype {
            Some(dtype) if dtype.is_float() => convert(Format { dtype, big_endian: false, wide }, self.raw(t).to_vec())
                .map(|bytes| if wide && dtype != DType::F64 { widened(&bytes) } else { bytes })
                .map_err(|m| {
                    DataError::new(
                        codes::OUT_OF_RANGE,
                        &self.file,
                        format_args!("`{name}` has the value {}, which fits no f32", m.value),
                    )
                }),
            _ => Err(DataError::new(codes::UNSUPPORTED, &self.file, format_args!("`{name}` does not hold floats"))),
        }
    }

    /// The values of a tensor as a type, native byte order: floats as floats, integers as integers. What does not fit is
    /// an error, never another value.
    fn values(&self, t: &Stored, want: DType) -> Result<Vec<u8>, DataError> {
        let name = printable(&t.name);
        match t.dtype {
            Some(have) if have == want => {
                let mut bytes = self.raw(t).to_vec();
                if cfg!(target_endian = "big") && have.bytes() > 1 {
                    bytes.chunks_exact_mut(have.bytes()).for_each(<[u8]>::reverse);
                }
                Ok(bytes)
            }
            _ if want.is_float() => self.floats(t, want),
            Some(have) if !have.is_float() && !want.is_float() => {
                let format = Format { dtype: have, big_endian: false, wide: false };
                let misfit = |value: &dyn fmt::Display| {
                    let what = format_args!("`{name}` has the value {value}, which fits no {want}");
                    DataError::new(codes::OUT_OF_RANGE, &self.file, what)
                };
                let bytes = convert(format, self.raw(t).to_vec()).map_err(|m| misfit(&m.value))?;
                let values = convert::values(format.column_dtype(), &bytes);
                convert::from_f64(want, &values).map_err(|i| misfit(&values.get(i).copied().unwrap_or(f64::NAN)))
            }
            have => {
                let have = have.map_or("another type".to_owned(), |d| d.to_string());
                let what = format_args!("`{name}` holds {have}, the model wants {want}");
                Err(DataError::new(codes::UNSUPPORTED, &self.file, what))
            }
        }
    }

    /// Wanted tensors of which the file knows more digits than a model will: f64 values that change as they become f32.
    pub fn rounded<'w>(&self, wanted: &[Wanted<'w>]) -> Vec<&'w str> {
        let changes = |w: &&Wanted<'_>| {
            let stored = self.get(w.name).filter(|t| t.dtype == Some(DType::F64) && w.dtype == DType::F32);
            let values = stored.map(|t| self.raw(t).as_chunks().0).unwrap_or_default();
            values.iter().map(|&b| f64::from_le_bytes(b)).any(|v| v.is_finite() && f64::from(v as f32) != v)
        };
        wanted.iter().filter(changes).map(|w| w.name).collect()
    }

    /// Parameters and state for a model, in its order, or everything that does not fit. The counter of PyTorch's batch
    /// norm may be there without being wanted.
    pub fn fit(&self, model: &str, wanted: &[Wanted<'_>]) -> Result<Vec<Vec<u8>>, DataError> {
        let stored: BTreeMap<&str, &Stored> = self.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        let names: BTreeSet<&str> = wanted.iter().map(|w| w.name).collect();
        let extra: Vec<&Stored> = self
            .tensors
            .iter()
            .filter(|t| !names.contains(t.name.as_str()) && !t.name.starts_with(STATE_PREFIX) && !is_counter(t))
            .collect();
        let mut report = Report::default();
        for w in wanted {
            match stored.get(w.name) {
                None => report.missing(w, &extra),
                Some(t) if t.shape != w.shape => report.shape(w, &t.shape),
                Some(_) => {}
            }
        }
        for t in &extra {
            report.unexpected(t);
        }
        if report.count > 0 {
            return Err(report.error(&self.file, model, wanted.len()));
        }
        let values = |(i, (t, dtype)): (usize, (&&Stored, DType))| {
            self.values(if crate::mutant!("weights.offsets") { &self.tensors[i] } else { t }, dtype)
        };
        wanted.iter().filter_map(|w| Some((stored.get(w.name)?, w.dtype))).enumerate().map(values).collect()
    }
}

/// Column bytes of `f32` as those of `f64`.
fn widened(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(|&b| f64::from(f32::from_ne_bytes(b)).to_ne_bytes()).collect()
}

impl fmt::Debug for SafeTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} tensors)", self.file, self.tensors.len())
    }
}

/// What does not fit, as lines.
#[derive(Default)]
struct Report {
    count: usize,
    lines: Vec<String>,
    renames: Vec<String>,
    transposes: Vec<String>,
    ignores: Vec<String>,
}

impl Report {
    fn missing(&mut self, w: &Wanted<'_>, extra: &[&Stored]) {
        self.count += 1;
        let name = printable(w.name);
        let same_shape: Vec<&str> = extra.iter().filter(|t| t.shape == w.shape).map(|t| t.name.as_str()).collect();
        let last = |n: &str| n.rsplit('.').next().map(str::to_owned);
        let mut by_end = same_shape.iter().filter(|n| last(n) == last(w.name));
        let unique = by_end.next().filter(|_| by_end.next().is_none()).copied();
        let mut line = format!("missing     {name} {:?}", w.shape);
        if let Some(near) = nearest(w.name, same_shape.iter().copied()).or(unique) {
            line.push_str(&format!("; the file has `{}` of that shape", printable(near)));
            self.renames.push(format!("(\"{}\", \"{name}\")", printable(near)));
        }
        self.lines.push(line);
    }

    fn shape(&mut self, w: &Wanted<'_>, file: &[u64]) {
        self.count += 1;
        let reversed = file.len() == 2 && file.iter().rev().eq(w.shape);
        let kind = if reversed { "transposed" } else { "wrong shape" };
        self.lines.push(format!("{kind:<11} {}  file {file:?}  model {:?}", printable(w.name), w.shape));
        if reversed {
            self.transposes.push(format!("\"{}\"", printable(w.name)));
        }
    }

    fn unexpected(&mut self, t: &Stored) {
        self.count += 1;
        self.lines.push(format!("unexpected  {} {:?}", printable(&t.name), t.shape));
        self.ignores.push(format!("\"{}\"", printable(&t.name)));
    }

    fn error(self, file: &str, model: &str, of: usize) -> DataError {
        let what = format!(
            "it does not fit `{}` ({}, the model has {})",
            printable(model),
            counted(self.count as u64, "difference"),
            counted(of as u64, "tensor")
        );
        let mut err = DataError::new(codes::WEIGHTS_MISFIT, file, what);
        let more = self.lines.len().saturating_sub(MAX_LINES);
        err.notes = self.lines;
        err.notes.truncate(MAX_LINES);
        if more > 0 {
            err = err.note(format!("and {more} more"));
        }
        let renamed: Vec<String> =
            self.renames.iter().map(|r| r.split(", ").next().unwrap_or("").replace('(', "")).collect();
        let ignores: Vec<String> = self.ignores.into_iter().filter(|i| !renamed.contains(i)).collect();
        for (word, list) in [("rename", self.renames), ("transpose", self.transposes), ("ignore", ignores)] {
            if !list.is_empty() && list.len() <= MAX_LINES {
                err = err.help(format!("{word}: [{}]", list.join(", ")));
            }
        }
        err
    }
}

fn is_counter(t: &Stored) -> bool {
    let last = t.name.rsplit('.').next() == Some(COUNTER);
    last && t.shape.is_empty() && t.dtype.is_some_and(|d| !d.is_float())
}

fn missing(path: &Path, e: &std::io::Error) -> DataError {
    let name = path.to_string_lossy();
    if e.kind() != std::io::ErrorKind::NotFound {
        return DataError::new(codes::IO, &name, format_args!("cannot read the weights: {}", reason(e)));
    }
    let err = DataError::new(codes::NOT_FOUND, &name, "no such weight file");
    err.help("`nnc train` writes the file that `save = last(..)` or `save = best(..)` names")
}

fn check(name: &str, t: &JsonTensor, start: usize) -> Result<Stored, String> {
    let shown = printable(name);
    let (from, to) = t.data_offsets;
    let add = |n: u64| usize::try_from(n).ok().and_then(|n| n.checked_add(start));
    let (Some(a), Some(b)) = (add(from), add(to)) else { return Err(format!("`{shown}` has offsets beyond the file")) };
    if a > b {
        return Err(format!("`{shown}` ends before it begins"));
    }
    let dtype = parse_dtype(&t.dtype);
    if let Some(d) = dtype {
        let bytes = t.shape.iter().try_fold(d.bytes() as u64, |n, &d| n.checked_mul(d));
        if bytes != Some((b - a) as u64) {
            return Err(format!("`{shown}` has shape {:?} of {} in {} bytes", t.shape, t.dtype, b - a));
        }
    }
    Ok(Stored { name: name.to_owned(), dtype, shape: t.shape.clone(), range: a..b })
}

/// The header, padded so that the values start at a multiple of 8.
fn header(tensors: &[TensorRef<'_>], metadata: &[(&str, String)]) -> Vec<u8> {
    let mut json = String::from("{");
    if !metadata.is_empty() {
        let fields: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
        json.push_str(&format!("\"__metadata__\":{{{}}}", fields.join(",")));
    }
    let mut at = 0;
    for t in tensors {
        let shape: Vec<String> = t.shape.iter().map(u64::to_string).collect();
        let end = at + t.bytes.len();
        let comma = if json.len() > 1 { "," } else { "" };
        json.push_str(&format!(
            "{comma}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{at},{end}]}}",
            quote(t.name),
            dtype_name(t.dtype),
            shape.join(",")
        ));
        at = end;
    }
    json.push('}');
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    let mut out = (json.len() as u64).to_le_bytes().to_vec();
    out.extend(json.into_bytes());
    out
}

fn quote(s: &str) -> String {
    serde_json::Value::String(s.to_owned()).to_string()
}

fn little(t: &TensorRef<'_>) -> Vec<u8> {
    let mut bytes = t.bytes.to_vec();
    if cfg!(target_endian = "big") && t.dtype.bytes() > 1 {
        bytes.chunks_exact_mut(t.dtype.bytes()).for_each(<[u8]>::reverse);
    }
    bytes
}

fn dtype_name(d: DType) -> String {
    d.name().to_ascii_uppercase()
}

fn parse_dtype(s: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| dtype_name(d) == s)
}

/// The JSON header with its entries in order, so that a name that stands twice is seen.
struct Header(Vec<(String, Value)>);

enum Value {
    Metadata(BTreeMap<String, String>),
    Tensor(JsonTensor),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut out = vec![];
                while let Some(key) = map.next_key::<String>()? {
                    if key.len() > 4096 {
                        return Err(A::Error::custom("a name is longer than 4096 bytes"));
                    }
                    let value = match key.as_str() {
                        "__metadata__" => Value::Metadata(map.next_value()?),
                        _ => Value::Tensor(map.next_value()?),
                    };
                    out.push((key, value));
                }
                Ok(Header(out))
            }
        }
        d.deserialize_map(Entries)
    }
}
