//! Train, validation and test parts of the sources, and the decoded data set as a whole.
//!
//! In: opened sources and how the program splits them. Out: a [`Dataset`] with columns and row lists. How many rows a
//! split has follows from the header alone, so a program can be compiled for its batch sizes before the data is
//! decoded; which rows they are follows from the seed (and, stratified, from the class column).

use super::check::{RangeCheck, check_range};
use super::{Column, Header, Opened, shuffle};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, printable};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

/// A named part of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitSpec {
    /// `train`, `val`, `test`.
    pub name: String,
    /// Where its rows come from.
    pub from: SplitFrom,
}

/// Where the rows of a part come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SplitFrom {
    /// A whole source, by number.
    Source(usize),
    /// `split(of, fraction, seed:, stratify:)`: moves a random fraction of an earlier part's original rows out of it.
    Random {
        /// Number of the part.
        of: usize,
        /// Fraction.
        fraction: f64,
        /// Seed.
        seed: u64,
        /// A column of class numbers whose proportions are kept.
        stratify: Option<String>,
    },
    /// `tail(of, fraction)`: moves the last rows of an earlier part out of it.
    Tail {
        /// Number of the part.
        of: usize,
        /// Fraction.
        fraction: f64,
    },
}

/// A set of rows of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSet {
    /// All of so many rows.
    All(u32),
    /// These, ascending.
    List(Vec<u32>),
}

/// A part with its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Its name.
    pub name: String,
    /// Number of its source.
    pub source: usize,
    /// Its rows.
    pub rows: RowSet,
}

/// Decoded data.
#[derive(Debug)]
pub struct Dataset {
    /// Names of the sources: their files.
    pub names: Vec<String>,
    /// Columns of each source.
    pub sources: Vec<Vec<Column>>,
    /// Parts.
    pub splits: Vec<Split>,
}

impl RowSet {
    /// Number of rows.
    pub fn len(&self) -> u64 {
        match self {
            RowSet::All(n) => u64::from(*n),
            RowSet::List(rows) => rows.len() as u64,
        }
    }

    /// No rows?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, ascending.
    pub fn to_vec(&self) -> Vec<u32> {
        match self {
            RowSet::All(n) => (0..*n).collect(),
            RowSet::List(rows) => rows.clone(),
        }
    }

    /// At most the first `n` rows.
    pub fn first(&self, n: u64) -> RowSet {
        match self {
            RowSet::All(all) => RowSet::All(u32::try_from(n).map_or(*all, |n| n.min(*all))),
            RowSet::List(rows) => {
                RowSet::List(rows.iter().copied().take(usize::try_from(n).unwrap_or(usize::MAX)).collect())
            }
        }
    }

    /// The rows in the order of an epoch.
    pub fn shuffled(&self, seed: u64, epoch: u64) -> Vec<u32> {
        let mut rows = self.to_vec();
        shuffle::shuffle(&mut rows, seed, if crate::mutant!("data.shuffle_epoch") { 0 } else { epoch });
        rows
    }
}

/// Rows of each part, from the headers alone.
pub fn counts(specs: &[SplitSpec], headers: &[&Header]) -> Result<Vec<u64>, DataError> {
    let rows: Vec<u64> = headers.iter().map(|h| h.rows).collect();
    let mut counts: Vec<u64> = vec![];
    let mut original: Vec<u64> = vec![];
    for spec in specs {
        let n = match &spec.from {
            SplitFrom::Source(s) => *rows.get(*s).ok_or_else(|| unknown(spec))?,
            SplitFrom::Random { of, fraction, .. } | SplitFrom::Tail { of, fraction } => {
                let (Some(&whole), Some(left)) = (original.get(*of), counts.get_mut(*of)) else {
                    return Err(unknown(spec));
                };
                let n = moved(spec, whole, *left, *fraction)?;
                *left -= n;
                n
            }
        };
        counts.push(n);
        original.push(n);
    }
    Ok(counts)
}

/// The rows of each part. `sources` are needed for their row counts and for stratified splits.
pub fn split(specs: &[SplitSpec], sources: &[&[Column]], headers: &[&Header]) -> Result<Vec<Split>, DataError> {
    counts(specs, headers)?;
    let mut splits: Vec<Split> = vec![];
    let mut original: Vec<u64> = vec![];
    for spec in specs {
        let (source, rows) = match &spec.from {
            SplitFrom::Source(s) => {
                let n = headers.get(*s).ok_or_else(|| unknown(spec))?.rows;
                let n = u32::try_from(n).map_err(|_| unknown(spec))?;
                (*s, RowSet::All(n))
            }
            SplitFrom::Random { of, fraction, .. } | SplitFrom::Tail { of, fraction } => {
                let (Some(&whole), Some(from)) = (original.get(*of), splits.get_mut(*of)) else {
                    return Err(unknown(spec));
                };
                let n = moved(spec, whole, from.rows.len(), *fraction)? as usize;
                let rows = from.rows.to_vec();
                let (stay, go) = match &spec.from {
                    SplitFrom::Random { seed, stratify, .. } => {
                        let classes = match stratify {
                            Some(name) => {
                                classes(spec, sources.get(from.source).copied().unwrap_or_default(), name, &rows)?
                            }
                            None => vec![rows.clone()],
                        };
                        choose(&rows, &classes, n, *seed)
                    }
                    _ => {
                        let mut stay = rows;
                        let go = stay.split_off(stay.len() - n);
                        (stay, go)
                    }
                };
                from.rows = if crate::mutant!("data.split_stays") { from.rows.clone() } else { RowSet::List(stay) };
                (from.source, RowSet::List(go))
            }
        };
        original.push(rows.len());
        splits.push(Split { name: spec.name.clone(), source, rows });
    }
    Ok(splits)
}

impl Dataset {
    /// Decodes the sources, one thread for each, checks ranges and splits.
    pub fn load(
        opened: Vec<(String, Opened)>,
        specs: &[SplitSpec],
        checks: &[RangeCheck],
    ) -> Result<Dataset, DataError> {
        let headers: Vec<Header> = opened.iter().map(|(_, o)| o.header().clone()).collect();
        let names: Vec<String> = opened.iter().map(|(name, _)| name.clone()).collect();
        let decode = |source: usize, name: &str, o: Opened| -> Result<Vec<Column>, DataError> {
            let columns = o.decode()?;
            for check in checks.iter().filter(|c| c.source == source) {
                if let Some(column) = columns.iter().find(|c| c.name == check.column) {
                    let what = format!("column `{}`", printable(&column.name));
                    check_range(name, &what, column, check.size)?;
                }
            }
            Ok(columns)
        };
        let decode = &decode;
        let decoded: Vec<Result<Vec<Column>, DataError>> = thread::scope(|scope| {
            let mut opened = opened.into_iter().enumerate();
            let first = opened.next();
            let others: Vec<_> = opened
                .map(|(i, (name, o))| {
                    let file = name.clone();
                    let thread = thread::Builder::new().spawn_scoped(scope, move || decode(i, &name, o));
                    thread.map_err(|e| DataError::io(&file, "start a thread to read it", &e))
                })
                .collect();
            let first = first.map(|(i, (name, o))| decode(i, &name, o));
            let others = others.into_iter().map(|t| t?.join().unwrap_or_else(|p| resume_unwind(p)));
            first.into_iter().chain(others).collect()
        });
        let sources = decoded.into_iter().collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<&[Column]> = sources.iter().map(Vec::as_slice).collect();
        let headers: Vec<&Header> = headers.iter().collect();
        let splits = split(specs, &columns, &headers)?;
        Ok(Dataset { names, sources, splits })
    }

    /// A part by name.
    pub fn split(&self, name: &str) -> Option<&Split> {
        self.splits.iter().find(|s| s.name == name)
    }

    /// A column of a part's source.
    pub fn column(&self, split: &Split, name: &str) -> Option<&Column> {
        self.sources.get(split.source)?.iter().find(|c| c.name == name)
    }

    /// A checksum of the data and its parts, to notice that a resumed run sees other data.
    pub fn fingerprint(&self) -> u64 {
        let mut crc = flate2::Crc::new();
        let mut length = 0u64;
        for c in self.sources.iter().flatten() {
            crc.update(c.name.as_bytes());
            crc.update(c.dtype.name().as_bytes());
            crc.update(&c.bytes);
            length = length.wrapping_add(c.bytes.len() as u64);
        }
        for s in &self.splits {
            crc.update(s.name.as_bytes());
            for r in s.rows.to_vec() {
                crc.update(&r.to_le_bytes());
            }
        }
        u64::from(crc.sum()) << 32 | (length & 0xffff_ffff)
    }
}

/// A data set that is being decoded while something else is done.
#[derive(Debug)]
pub struct Loading {
    thread: thread::JoinHandle<Result<Dataset, DataError>>,
}

impl Loading {
    /// Begins [`Dataset::load`] on its own thread.
    pub fn start(
        opened: Vec<(String, Opened)>,
        specs: Vec<SplitSpec>,
        checks: Vec<RangeCheck>,
    ) -> Result<Loading, DataError> {
        let name = opened.first().map_or_else(|| "data".to_owned(), |(name, _)| name.clone());
        let thread = thread::Builder::new().name("load".into()).spawn(move || Dataset::load(opened, &specs, &checks));
        Ok(Loading { thread: thread.map_err(|e| DataError::io(&name, "start a thread to read it", &e))? })
    }

    /// Waits for the data.
    pub fn wait(self) -> Result<Dataset, DataError> {
        self.thread.join().unwrap_or_else(|p| resume_unwind(p))
    }
}

/// How many rows move: the nearest whole number, at least one, leaving at least one.
fn moved(spec: &SplitSpec, whole: u64, left: u64, fraction: f64) -> Result<u64, DataError> {
    let fail = |why: String| {
        Err(DataError::new(codes::EMPTY, &spec.name, why).help("a fraction between 0 and 1 leaves rows in both parts"))
    };
    if !(fraction > 0.0 && fraction < 1.0) {
        return fail(format!("the fraction {fraction} is not between 0 and 1"));
    }
    let n = (whole as f64 * fraction).round() as u64;
    if n == 0 || n >= left {
        let (stays, rows) = (left.saturating_sub(n), counted(left, "row"));
        let why = format!(
            "a fraction of {fraction} of {rows} would leave {stays} and split off {n}: neither part may be empty"
        );
        let (least, most) = (1.0 / whole as f64, (left.saturating_sub(1)) as f64 / whole as f64);
        let e = DataError::new(codes::EMPTY, &spec.name, why);
        return Err(if left < 2 {
            e.help("one row cannot be split: add rows, or leave the split out")
        } else if n == 0 {
            e.help(format!("a fraction of {}, for one, splits off a row", shown(least, true)))
        } else {
            e.help(format!("a fraction of {}, for one, leaves a row", shown(most, false)))
        });
    }
    Ok(n)
}

/// A fraction to three digits, rounded up or down.
fn shown(x: f64, up: bool) -> f64 {
    let unit = 10f64.powf(x.log10().floor() - 2.0);
    let digits = if up { (x / unit).ceil() } else { (x / unit).floor() };
    // By way of its text: three digits, not those of a product in binary.
    format!("{:.2e}", digits * unit).parse().unwrap_or(x)
}

fn unknown(spec: &SplitSpec) -> DataError {
    DataError::new(codes::COLUMNS, &spec.name, "it is split from a part that does not exist")
}

/// Rows by class, classes ascending.
fn classes(spec: &SplitSpec, columns: &[Column], name: &str, rows: &[u32]) -> Result<Vec<Vec<u32>>, DataError> {
    let column = columns.iter().find(|c| c.name == name && c.shape.is_empty() && c.dtype != DType::F32);
    let Some(column) = column else {
        return Err(DataError::new(
            codes::COLUMNS,
            &spec.name,
            format_args!("`stratify: {name}` is no column of integers"),
        ));
    };
    let mut classes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for &r in rows {
        let class = match column.row(r) {
            &[v] => i64::from(v),
            b => b.first_chunk().map_or(0, |&b| i64::from(i32::from_ne_bytes(b))),
        };
        classes.entry(class).or_default().push(r);
    }
    Ok(classes.into_values().collect())
}

/// Chooses `n` of the rows, from each class its share (largest remainders first); both lists ascending.
fn choose(rows: &[u32], classes: &[Vec<u32>], n: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
    // Shares in exact integer arithmetic: class size * n / rows.
    let total = rows.len().max(1) as u128;
    let share = |c: &Vec<u32>| c.len() as u128 * n as u128;
    let mut quota: Vec<usize> = classes.iter().map(|c| (share(c) / total) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..classes.len()).collect();
    by_remainder.sort_by_key(|&i| std::cmp::Reverse(classes.get(i).map_or(0, |c| share(c) % total)));
    let missing = if crate::mutant!("data.stratify") { 0 } else { n.saturating_sub(quota.iter().sum()) };
    for &i in by_remainder.iter().take(missing) {
        if let Some(q) = quota.get_mut(i) {
            *q += 1;
        }
    }
    let mut go: Vec<u32> = vec![];
    for (i, (class, quota)) in classes.iter().zip(quota).enumerate() {
        let mut order = class.clone();
        shuffle::shuffle(&mut order, seed, u64::MAX - i as u64);
        go.extend(order.into_iter().take(quota));
    }
    go.sort_unstable();
    let stay = rows.iter().copied().filter(|r| go.binary_search(r).is_err()).collect();
    (stay, go)
}
