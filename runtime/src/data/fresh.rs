//! New rows for a model that is trained: what `nnc predict --input` reads.
//!
//! In: a file or standard input, the columns that the prediction needs, and the columns of the program's data. Out: those
//! columns, by name where names are written and by place otherwise, in the element types of the program's data where that
//! loses nothing. Labels need not be there; whatever else is there is passed over, unread where the format allows it.

use super::csv::{self, Group, Lines};
use super::input::Input;
use super::{Column, ColumnSpec, MAX_ROWS, convert, identifier, npy, npz};
use crate::dtype::DType;
use crate::error::{DataError, codes, counted, printable};

/// What the rows are for.
pub struct Need<'a> {
    /// The columns that the prediction is computed from.
    pub wanted: &'a [ColumnSpec],
    /// All columns of the program's data, in order.
    pub all: &'a [ColumnSpec],
    /// Does the program know its columns by the names in the first line of a file? Then their order means nothing.
    pub named: bool,
    /// So many lines at the start of the program's file are no rows: a new file may have such lines too.
    pub skip: u64,
}

/// Reads rows: an `.npz` archive, an `.npy` array or CSV text, told apart by their first bytes.
pub fn read(input: Input, need: &Need<'_>) -> Result<Vec<Column>, DataError> {
    let name = input.name().to_owned();
    // Numbers are read as f64 where the program's are.
    let wide = need.wanted.iter().any(|w| w.dtype == DType::F64);
    let columns = match &input.first_bytes(6)?[..] {
        b"\x93NUMPY" => array(&input, npy::NpyFile::open(input.clone(), wide)?.decode()?, need)?,
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            let file = npz::NpzFile::open(input.clone(), wide)?;
            arrays(&input, file, need)?
        }
        _ => text(&input, need)?,
    };
    let rows = columns.first().map_or(0, |c| c.rows);
    if rows == 0 {
        return Err(DataError::new(codes::EMPTY, &name, "there are no rows to predict"));
    }
    if rows > MAX_ROWS {
        return Err(DataError::new(codes::TOO_LARGE, &name, format_args!("{rows} rows; the most is {MAX_ROWS}")));
    }
    Ok(columns.into_iter().zip(need.wanted).map(|(c, w)| fit(c, w.dtype)).collect())
}

/// Arrays by name; the one that is left over may be one without a name of its own (`np.savez(f, x)` calls it `arr_0`).
fn arrays(input: &Input, mut file: npz::NpzFile, need: &Need<'_>) -> Result<Vec<Column>, DataError> {
    let mut header = file.header()?;
    let named = |name: &str| need.wanted.iter().any(|w| w.name == name);
    if let Some(u) = header.unread.iter().find(|u| named(&u.name)) {
        return Err(u.why.clone());
    }
    let have: Vec<&ColumnSpec> = header.columns.iter().filter(|c| !named(&c.name)).collect();
    let mut names: Vec<Option<String>> = vec![];
    for w in need.wanted {
        names.push(header.columns.iter().find(|c| c.name == w.name).map(|c| c.name.clone()));
    }
    let missing: Vec<usize> = (0..names.len()).filter(|&i| names[i].is_none()).collect();
    if let [i] = missing[..] {
        let nameless = have.iter().filter(|c| c.name.starts_with("arr_"));
        let mut fitting = nameless.filter(|c| same_shape(&c.shape, &need.wanted[i].shape));
        if let (Some(c), None) = (fitting.next(), fitting.next()) {
            names[i] = Some(c.name.clone());
        }
    }
    if let Some(i) = names.iter().position(Option::is_none) {
        let rest: Vec<String> = have.iter().map(|c| show(c)).collect();
        let e = input.error(codes::COLUMNS, format_args!("there is no array `{}`", need.wanted[i].name));
        let e = e.note(format!("the prediction needs {}", list(need.wanted)));
        let wanted = &need.wanted[i];
        let mut alike = have.iter().filter(|c| same_shape(&c.shape, &wanted.shape));
        let e = match (alike.next(), alike.next()) {
            (Some(c), None) => e.help(format!("is `{0}` the column `{1}`? Then save it as `{1}`", c.name, wanted.name)),
            _ => e,
        };
        return Err(if rest.is_empty() { e } else { e.note(format!("of other arrays there are {}", rest.join(", "))) });
    }
    let read = |name: &str| names.iter().flatten().any(|n| n == name);
    file.only(&read);
    header.columns.retain(|c| read(&c.name));
    let mut have = file.decode(&header)?;
    let taken = names.iter().flatten().filter_map(|n| have.iter().position(|c| c.name == *n).map(|i| have.remove(i)));
    let taken: Vec<Column> = taken.collect();
    taken.into_iter().zip(need.wanted).map(|(c, w)| shaped(input, c, w)).collect()
}

/// One array is the one column that is needed.
fn array(input: &Input, have: Column, need: &Need<'_>) -> Result<Vec<Column>, DataError> {
    match need.wanted {
        [w] => Ok(vec![shaped(input, have, w)?]),
        [] => Ok(vec![]),
        several => Err(input
            .error(codes::COLUMNS, format_args!("an array holds one column, the prediction needs {}", list(several)))
            .help("save them by name in an .npz archive, or as CSV")),
    }
}

fn same_shape(have: &[u64], want: &[u64]) -> bool {
    let numel = |s: &[u64]| s.iter().product::<u64>();
    have == want || have.len() != want.len() && numel(have) == numel(want)
}

/// A column as the program calls it; rows that are flat where it has axes, or the other way round, are taken as they lie.
fn shaped(input: &Input, c: Column, w: &ColumnSpec) -> Result<Column, DataError> {
    if !same_shape(&c.shape, &w.shape) {
        let message = format_args!("a row of `{}` is {}, expected {}", c.name, show(&c.spec()), show(w));
        return Err(input.error(codes::COLUMNS, message));
    }
    Ok(Column { name: w.name.clone(), shape: w.shape.clone(), ..c })
}

/// Which cells of a line are a column's.
struct Cells {
    group: Group,
    at: Vec<usize>,
}

fn text(input: &Input, need: &Need<'_>) -> Result<Vec<Column>, DataError> {
    let mut lines = Lines::open(input, 0)?;
    let mut record = Default::default();
    let mut line = lines.next(&mut record)?;
    // Of the lines that the program's file has before its rows, those that could not be rows or name the columns.
    let mut skipped = 0;
    while line.is_some() && skipped < need.skip && !begins(&record, need) {
        skipped += 1;
        line = lines.next(&mut record)?;
    }
    if line.is_none() {
        return Err(input.error(codes::EMPTY, "there are no rows to predict"));
    }
    let width = record.len();
    let words = is_header(&record, need);
    let names: Option<Vec<String>> =
        words.then(|| record.iter().map(|c| identifier(&String::from_utf8_lossy(c))).collect());
    let places = places(input, need, width, names.as_deref())?;
    let mut cells: Vec<Cells> = need
        .wanted
        .iter()
        .zip(places)
        .map(|(w, at)| Cells { group: Group::new(w.name.clone(), at.len() as u64).wide(w.dtype == DType::F64), at })
        .collect();
    if words {
        line = lines.next(&mut record)?;
    }
    let mut rows = 0;
    while let Some(end) = line {
        let number = csv::begin(end, &record);
        if record.len() != width {
            let message =
                format_args!("line {number} has {}, the first one has {width}", counted(record.len() as u64, "cell"));
            return Err(input.error(codes::RAGGED, message).at(Some(number), None));
        }
        for c in &mut cells {
            for &i in &c.at {
                let cell = record.get(i).unwrap_or_default();
                c.group.push(cell).map_err(|why| {
                    let shown = match cell {
                        [] => String::new(),
                        _ => format!(": `{}`", printable(&String::from_utf8_lossy(cell))),
                    };
                    let at = format_args!("line {number}, cell {} (column `{}`)", i + 1, c.group.name);
                    let e = input.error(codes::NOT_A_NUMBER, format_args!("{at} {why}{shown}"));
                    let first = rows == 0 && !words;
                    let e = if first { e.help("a first line that names the columns has no numbers in it") } else { e };
                    e.at(Some(number), Some(c.group.name.clone()))
                })?;
            }
        }
        rows += 1;
        line = lines.next(&mut record)?;
    }
    cells.into_iter().zip(need.wanted).map(|(c, w)| shaped(input, c.group.column(rows), w)).collect()
}

/// Does a first line name the columns? A program that knows its columns by name takes it for names as in training, unless all
/// of it is numbers. Else it is a row, good or bad, if a number is in it or it looks like nothing but numbers, some of them
/// missing or mistyped: a bad cell is to be told with its line, as in training, and not to take its row with it unseen.
fn is_header(record: &::csv::ByteRecord, need: &Need<'_>) -> bool {
    if need.named {
        return record.iter().any(|c| !c.is_empty() && csv::parse(c, true).is_err());
    }
    names_columns(record, need)
        || record.iter().all(|c| csv::parse(c, true).is_err()) && !record.iter().all(like_number)
}

/// Is a column of the program, or a cell of one, named in a line?
fn names_columns(record: &::csv::ByteRecord, need: &Need<'_>) -> bool {
    let names = |c: &[u8]| {
        let name = identifier(&String::from_utf8_lossy(c));
        let cell = name.rsplit_once('_').filter(|(_, k)| k.bytes().all(|d| d.is_ascii_digit())).map(|(of, _)| of);
        need.all.iter().chain(need.wanted).any(|w| w.name == name || cell == Some(&*w.name))
    };
    record.iter().any(|c| csv::parse(c, true).is_err() && names(c))
}

/// Does a cell stand where a number belongs: one, one that is missing, or one that was mistyped?
fn like_number(cell: &[u8]) -> bool {
    const MISSING: &[&str] = &["", "na", "n/a", "nan", "null", "none", "nil", "inf", "infinity", "?", "-", "."];
    let text = String::from_utf8_lossy(cell).to_ascii_lowercase();
    let body = text.trim_start_matches(['+', '-']);
    let digits = body.strip_prefix('.').unwrap_or(body);
    MISSING.contains(&&*text) || MISSING.contains(&body) || digits.starts_with(|c: char| c.is_ascii_digit())
}

/// Is a line with words in it a row all the same? So it is where the cells that are needed, by their place, are numbers.
fn is_row(record: &::csv::ByteRecord, need: &Need<'_>) -> bool {
    if need.named || record.len() != need.all.iter().map(size).sum::<usize>() {
        return false;
    }
    let mut at = 0;
    need.all.iter().all(|c| {
        let cells = at..at + size(c);
        at = cells.end;
        let number = |i| record.get(i).is_some_and(|c| csv::parse(c, true).is_ok());
        !need.wanted.iter().any(|w| w.name == c.name) || cells.into_iter().all(number)
    })
}

/// Could a line be the first that counts: one with the names of what is needed, or a row, with missing or mistyped numbers
/// maybe?
fn begins(record: &::csv::ByteRecord, need: &Need<'_>) -> bool {
    let names: Vec<String> = record.iter().map(|c| identifier(&String::from_utf8_lossy(c))).collect();
    if need.wanted.iter().all(|w| names.contains(&w.name)) {
        return true;
    }
    let width = |specs: &[ColumnSpec]| specs.iter().map(size).sum::<usize>();
    let fits = record.len() == width(need.wanted) || record.len() == width(need.all);
    let numbers = || record.iter().any(|c| csv::parse(c, true).is_ok()) && record.iter().all(like_number);
    !need.named && fits && (is_row(record, need) || numbers())
}

/// The cells of each wanted column: by name where the first line has names that fit, else by place.
fn places(
    input: &Input,
    need: &Need<'_>,
    width: usize,
    names: Option<&[String]>,
) -> Result<Vec<Vec<usize>>, DataError> {
    if let Some(names) = names {
        let at = |w: &ColumnSpec| {
            if size(w) == 1 {
                return (0..names.len()).filter(|&i| names[i] == w.name).collect();
            }
            // The cells of a wider column are numbered: `x_0`, `x_1`.
            let cell = |k: usize| names.iter().position(|n| *n == format!("{}_{k}", w.name));
            (0..size(w)).map(cell).collect::<Option<Vec<usize>>>().unwrap_or_default()
        };
        let found: Vec<Vec<usize>> = need.wanted.iter().map(at).collect();
        if let Some(i) = found.iter().zip(need.wanted).position(|(f, w)| f.len() > size(w)) {
            let message = format_args!("two columns are named `{}`", need.wanted[i].name);
            return Err(input.error(codes::COLUMNS, message));
        }
        let missing: Vec<&str> =
            need.wanted.iter().zip(&found).filter(|(_, f)| f.is_empty()).map(|(w, _)| &*w.name).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        // One cell that is called like a column of several is not the first of them.
        if let Some(w) = need.wanted.iter().find(|w| size(w) > 1 && names.contains(&w.name)) {
            let cells: Vec<String> = (0..size(w).min(3)).map(|k| format!("{}_{k}", w.name)).collect();
            let more = if size(w) > 3 { ",.." } else { "" };
            let message = format_args!("one cell is called `{}`, which is {}", w.name, show(w));
            return Err(input
                .error(codes::COLUMNS, message)
                .help(format!("name its cells {}{more}, or leave the line of names out", cells.join(","))));
        }
        if need.named {
            let quoted: Vec<String> = missing.iter().map(|m| format!("`{m}`")).collect();
            let (s, verb) = if missing.len() == 1 { ("", "is") } else { ("s", "are") };
            let mut e = input.error(codes::COLUMNS, format_args!("the column{s} {} {verb} missing", quoted.join(", ")));
            // A name that the program has is no misspelling of another.
            let strange = || names.iter().map(String::as_str).filter(|n| need.all.iter().all(|c| c.name != **n));
            for m in missing {
                if let Some(near) = crate::error::nearest(m, strange()) {
                    e = e.help(format!("is `{near}` the column `{m}`? Then call it so"));
                }
            }
            return Err(e.note(format!("the first line names {}", printable(&names.join(", ")))));
        }
    } else if need.named {
        return Err(input
            .error(codes::COLUMNS, "the first line holds numbers, so nothing names the columns")
            .help(format!("begin with a line of names: {}", named(need.wanted))));
    }
    let total = |specs: &[ColumnSpec]| specs.iter().map(size).sum::<usize>();
    let (few, whole) = (total(need.wanted), total(need.all));
    let layout = match width {
        w if w == few => need.wanted,
        w if w == whole => need.all,
        _ => {
            let mut e = input.error(
                codes::RAGGED,
                format_args!("a line has {}, expected {few} ({})", counted(width as u64, "cell"), list(need.wanted)),
            );
            if whole != few {
                e = e.note(format!("or {whole}, all columns of the program's data: {}", list(need.all)));
            }
            return Err(e.at(Some(1), None));
        }
    };
    let place = |w: &ColumnSpec| {
        let before = layout.iter().take_while(|c| c.name != w.name).map(size).sum::<usize>();
        (before..before + size(w)).collect()
    };
    Ok(need.wanted.iter().map(place).collect())
}

fn size(c: &ColumnSpec) -> usize {
    c.shape.iter().product::<u64>() as usize
}

/// The same values in the element type that the program knows the column by, if it holds all of them.
fn fit(c: Column, want: DType) -> Column {
    if c.dtype == want {
        return c;
    }
    match convert::from_f64(want, &c.values()) {
        Ok(bytes) => Column { dtype: want, bytes, ..c },
        Err(_) => c,
    }
}

fn show(c: &ColumnSpec) -> String {
    let dims: Vec<String> = c.shape.iter().map(u64::to_string).collect();
    if dims.is_empty() {
        format!("{}: {}", c.name, c.dtype)
    } else {
        format!("{}: {}[{}]", c.name, c.dtype, dims.join(", "))
    }
}

fn list(specs: &[ColumnSpec]) -> String {
    specs.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn named(specs: &[ColumnSpec]) -> String {
    specs.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(",")
}
