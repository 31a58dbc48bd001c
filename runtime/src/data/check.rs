//! Range checks of class numbers: of columns once at load, of what a step computes by the step itself.
//!
//! In: a decoded column and the `N` of the `idx<N>` field that takes it, or what a step found. Out: nothing, or an error
//! that names the value, its row and the range.

use super::Column;
use crate::dtype::DType;
use crate::error::{DataError, codes, printable};
use crate::program::IndexCheck;

/// Values of a column must lie in `0 .. size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeCheck {
    /// Which source of the data set.
    pub source: usize,
    /// The column.
    pub column: String,
    /// Number of classes.
    pub size: u64,
}

/// More classes than this are nobody's.
const MOST_CLASSES: f64 = 1e9;
/// Up to here an `f32` holds every integer.
const EXACT: f64 = 16_777_216.0;

/// Checks a column of a file; `what` it is for people: ``column `label` ``.
pub fn check_range(file: &str, what: &str, column: &Column, size: u64) -> Result<(), DataError> {
    let mut first: Option<(u64, String)> = None;
    let (mut bad, mut lowest, mut highest) = (0u64, f64::INFINITY, f64::NEG_INFINITY);
    let mut whole = true;
    let rounds = column.dtype == DType::F32;
    let mut look = |i: usize, value: f64, ok: bool| {
        lowest = lowest.min(value);
        highest = highest.max(value);
        whole &= value.fract() == 0.0;
        if !ok {
            bad += 1;
            first.get_or_insert_with(|| (i as u64, shown(value, rounds)));
        }
    };
    match column.dtype {
        DType::I32 => {
            for (i, &b) in column.bytes.as_chunks().0.iter().enumerate() {
                let v = i32::from_ne_bytes(b);
                look(
                    i,
                    f64::from(v),
                    u64::try_from(v).is_ok_and(|v| v < size + u64::from(crate::mutant!("data.range"))),
                );
            }
        }
        DType::F32 => {
            for (i, &b) in column.bytes.as_chunks().0.iter().enumerate() {
                let v = f32::from_ne_bytes(b);
                // Beyond 2^24 an f32 may stand for another integer.
                look(i, f64::from(v), v >= 0.0 && f64::from(v) < (size as f64).min(EXACT) && v.fract() == 0.0);
            }
        }
        DType::F64 => {
            for (i, &b) in column.bytes.as_chunks().0.iter().enumerate() {
                let v = f64::from_ne_bytes(b);
                look(i, v, v >= 0.0 && v < size as f64 && v.fract() == 0.0);
            }
        }
        _ => column.bytes.iter().enumerate().for_each(|(i, &v)| look(i, f64::from(v), u64::from(v) < size)),
    }
    let Some((element, mut value)) = first else { return Ok(()) };
    let inexact = column.inexact.as_ref();
    if let Some((_, spelled)) = inexact.filter(|(at, _)| *at == element) {
        value.clone_from(spelled);
    }
    let row = element / column.shape.iter().product::<u64>().max(1) + 1;
    let name = printable(&column.name);
    let others = match bad - 1 {
        0 => String::new(),
        1 => " (and 1 other)".to_owned(),
        n => format!(" (and {n} others)"),
    };
    let err = DataError::new(codes::OUT_OF_RANGE, file, format_args!("{what} has value {value}, outside idx<{size}>"))
        .at(Some(row), Some(column.name.clone()))
        .note(match inexact {
            None => format!(
                "row {row}{others}; the values run from {} to {}",
                shown(lowest, rounds),
                shown(highest, rounds)
            ),
            Some(_) => format!("row {row}{others}"),
        });
    Err(if !whole {
        err.help(format!("class numbers are whole, 0 to {}: `floor({name})` rounds down", size.saturating_sub(1)))
    } else if lowest == 1.0 && highest == size as f64 {
        err.help(format!("labels start at 1? `{name} - 1`, or `idx<{}>`", size.saturating_add(1)))
    } else if inexact.is_none() && lowest >= 0.0 && highest.fract() == 0.0 && highest < MOST_CLASSES {
        err.help(format!("`idx<{}>` would hold them all", highest as u64 + 1))
    } else {
        err.help(format!("class numbers are 0 to {}", size.saturating_sub(1)))
    })
}

/// Checks that what becomes integers is finite; `what` it is for people: `` `x as i32` ``.
pub fn check_finite(file: &str, what: &str, column: &Column) -> Result<(), DataError> {
    let bytes = &column.bytes;
    let bad = match column.dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_ne_bytes(b))).enumerate().find(no_number),
        DType::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_ne_bytes(b)).enumerate().find(no_number),
        _ => None,
    };
    let Some((element, value)) = bad else { return Ok(()) };
    let row = element as u64 / column.shape.iter().product::<u64>().max(1) + 1;
    let message = format_args!("{what} has value {value}, which is no integer");
    let e = DataError::new(codes::OUT_OF_RANGE, file, message).at(Some(row), Some(column.name.clone()));
    let operand = column.name.rsplit_once(" as ").map_or("x", |(x, _)| x);
    let dtype = column.name.rsplit_once(" as ").map_or("i32", |(_, d)| d);
    let operand = bare(operand);
    let finite = format!("abs({operand}) < inf");
    Err(e
        .note(format!("row {row}; a conversion truncates, but there is nothing to truncate {value} to"))
        .help(format!("give such values a number before: `where({finite}, {operand}, 0) as {dtype}`")))
}

/// An operand as an argument: without parentheses around all of it.
pub fn bare(operand: &str) -> &str {
    let Some(inner) = operand.strip_prefix('(').and_then(|o| o.strip_suffix(')')) else { return operand };
    let mut depth = 0i32;
    let closes_before = inner.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    if closes_before { operand } else { inner }
}

fn no_number((_, value): &(usize, f64)) -> bool {
    !value.is_finite()
}

/// What a step found: the value at position `first`, in a row (from 1) of a file if the values belong to rows of data.
pub fn outside(check: &IndexCheck, first: u64, value: f64, row: Option<(&str, u64)>) -> DataError {
    let (size, text) = (check.size, printable(&check.text));
    let mut index = vec![];
    let mut rest = first;
    for &n in check.shape.iter().rev() {
        index.push(rest % n.max(1));
        rest /= n.max(1);
    }
    index.reverse();
    if let (Some(axis), Some(_)) = (check.rows, row) {
        index.remove(axis);
    }
    let mut at = row.map_or_else(String::new, |(file, row)| format!(" in row {row} of {}", printable(file)));
    if !index.is_empty() {
        at += &format!(" at {index:?}");
    }
    let message =
        format_args!("`{text}`{at}: {} is outside idx<{size}>", shown(value, value.abs() > f64::from(i32::MAX)));
    let mut e = DataError::new(codes::OUT_OF_RANGE, &check.place, message);
    if let Some((file, row)) = row {
        e.place.file = file.to_owned();
        e.place.row = Some(row);
    }
    let operand = text.rsplit_once(" as ").map_or("x", |(x, _)| x);
    let inner = bare(operand);
    // What binds less than a comparison keeps its parentheses as an operand of one.
    let binds_less =
        inner.contains(['<', '>', '=', '|']) || [" and ", " or ", "not "].iter().any(|w| inner.contains(w));
    let term = if binds_less { operand } else { inner };
    e = e.note(format!("class numbers of idx<{size}> are whole, 0 to {}", size.saturating_sub(1)));
    e.help(if value.is_nan() {
        format!("fill in what is missing: `where({term} == {term}, {inner}, 0) as idx<{size}>`")
    } else if value.is_infinite() || value >= MOST_CLASSES {
        format!("scale it: a number of a class is at most {}", size.saturating_sub(1))
    } else if value.fract() != 0.0 {
        format!("round it: `floor({inner}) as idx<{size}>`")
    } else if value < 0.0 {
        format!(
            "give such values a class: `where({term} >= 0, {inner}, 0) as idx<{size}>`, and weigh them with a `mask:`"
        )
    } else if value == size as f64 {
        format!("numbers that start at 1? `({term} - 1) as idx<{size}>`, or `idx<{}>`", size.saturating_add(1))
    } else {
        format!("give it more classes: `idx<{}>`", value as u64 + 1)
    })
}

/// A whole number in full, any other in the digits of an `f32`, and as about what it is where `f32` rounds integers.
fn shown(value: f64, rounds: bool) -> String {
    match value.fract() == 0.0 {
        true if rounds && value.abs() > EXACT => format!("about {:e}", value as f32),
        true => value.to_string(),
        false => (value as f32).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::convert::from_f64;

    fn column(dtype: DType, values: &[f64]) -> Column {
        let bytes = from_f64(dtype, values).unwrap();
        Column { name: "label".into(), dtype, shape: vec![], rows: values.len() as u64, bytes, inexact: None }
    }

    #[test]
    fn labels() {
        for dtype in [DType::U8, DType::I32, DType::F32, DType::F64] {
            assert!(check_range("f", "column `label`", &column(dtype, &[0.0, 9.0]), 10).is_ok());
            let e = check_range("f.csv", "column `label`", &column(dtype, &[3.0, 10.0, 1.0, 10.0]), 10).unwrap_err();
            assert_eq!(e.message, "f.csv: column `label` has value 10, outside idx<10>");
            assert_eq!(e.place.row, Some(2));
            assert!(e.notes[0].starts_with("row 2 (and 1 other)"), "{e}");
            assert!(e.help[0].contains("`label - 1`"), "{e}");
        }
        // As many classes do not make an integer exact that f32 has rounded.
        let rounded = Column { inexact: Some((1, "16777217".into())), ..column(DType::F32, &[1.0, 16_777_216.0]) };
        let e = check_range("f", "column `label`", &rounded, 20_000_000).unwrap_err();
        assert_eq!(e.message, "f: column `label` has value 16777217, outside idx<20000000>");
        assert!(check_range("f", "column `label`", &column(DType::F32, &[1.0, 16_777_215.0]), 20_000_000).is_ok());
        let e = check_range("f", "column `label`", &column(DType::I32, &[-1.0, 0.0]), 2).unwrap_err();
        assert!(e.help[0].contains("0 to 1"), "{e}");
        let e = check_range("f", "column `label`", &column(DType::F32, &[0.5]), 2).unwrap_err();
        assert!(e.help[0].contains("whole") && !e.help[0].contains("idx"), "{e}");
        let e = check_range("f", "column `label`", &column(DType::I32, &[0.0, 4.0]), 3).unwrap_err();
        assert!(e.help[0].contains("`idx<5>`"), "{e}");
    }

    #[test]
    fn only_finite_numbers_become_integers() {
        for dtype in [DType::F32, DType::F64] {
            let bytes = |values: &[f64]| -> Vec<u8> {
                match dtype {
                    DType::F32 => values.iter().flat_map(|v| (*v as f32).to_ne_bytes()).collect(),
                    _ => values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
                }
            };
            let of = |values: &[f64]| {
                let c = column(dtype, &vec![0.0; values.len()]);
                Column { name: "a + b as i32".into(), bytes: bytes(values), ..c }
            };
            assert!(check_finite("d.npz", "field `y`", &of(&[1.5, -2.0, 1e30])).is_ok());
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let e = check_finite("d.npz", "field `y`", &of(&[0.0, 1.5, bad])).unwrap_err();
                assert!(e.message.starts_with("d.npz: field `y` has value") && e.place.row == Some(3), "{e}");
                assert!(e.help[0].contains("`where(abs(a + b) < inf, a + b, 0) as i32`"), "{e}");
            }
        }
        let bytes = [0.0, 1.0, f32::NAN, 2.0].iter().flat_map(|v: &f32| v.to_ne_bytes()).collect();
        let many = Column { shape: vec![2], rows: 2, bytes, ..column(DType::F32, &[0.0; 4]) };
        assert_eq!(check_finite("d", "x", &many).unwrap_err().place.row, Some(2));
    }

    #[test]
    fn operands_lose_the_parentheses_around_them() {
        for (text, want) in [("(a + b)", "a + b"), ("(a) + (b)", "(a) + (b)"), ("a", "a"), ("((a))", "(a)")] {
            assert_eq!(bare(text), want);
        }
        let bytes = f32::NAN.to_ne_bytes().to_vec();
        let c = Column { name: "(a + b) as i32".into(), bytes, ..column(DType::F32, &[0.0]) };
        let e = check_finite("d.npz", "field `y`", &c).unwrap_err();
        assert!(e.help[0].contains("`where(abs(a + b) < inf, a + b, 0) as i32`"), "{e}");
        let check = IndexCheck {
            first: String::new(),
            value: String::new(),
            size: 3,
            shape: vec![8],
            rows: None,
            text: "(a * 2) as idx<3>".into(),
            place: "m.nn:4:9".into(),
        };
        let e = outside(&check, 0, f64::NAN, None);
        assert!(e.help[0].contains("`where(a * 2 == a * 2, a * 2, 0) as idx<3>`"), "{e}");
    }

    #[test]
    fn what_a_step_finds_names_value_row_and_range() {
        let check = |shape: &[u64], rows| IndexCheck {
            first: String::new(),
            value: String::new(),
            size: 3,
            shape: shape.to_vec(),
            rows,
            text: "(a + b) as idx<3>".into(),
            place: "m.nn:4:9".into(),
        };
        let e = outside(&check(&[8], Some(0)), 5, 3.0, Some(("d.csv", 17)));
        assert_eq!(e.message, "m.nn:4:9: `(a + b) as idx<3>` in row 17 of d.csv: 3 is outside idx<3>");
        assert_eq!((e.place.file.as_str(), e.place.row), ("d.csv", Some(17)));
        assert!(e.help[0].contains("`(a + b - 1) as idx<3>`"), "{e}");
        let e = outside(&check(&[2, 4], Some(0)), 6, 0.5, Some(("d.csv", 2)));
        assert!(e.message.contains("row 2 of d.csv at [2]: 0.5 is outside"), "{e}");
        assert!(e.help[0].contains("floor(a + b)"), "{e}");
        for (value, says) in [(1e30, "about 1e30 is"), (99_999_997_952.0, "about 1e11 is"), (f64::INFINITY, "inf is")] {
            let e = outside(&check(&[8], Some(0)), 5, value, Some(("d.csv", 17)));
            assert!(e.message.contains(says) && e.help[0].contains("at most 2"), "{e}");
        }
        let e = outside(&check(&[8], Some(0)), 5, 2_147_483_647.0, Some(("d.csv", 17)));
        assert!(e.message.contains("2147483647 is outside"), "{e}");
        let e = outside(&check(&[2, 4], None), 6, -1.0, None);
        assert!(e.message.contains("` at [1, 2]: -1 is outside"), "{e}");
    }
}
