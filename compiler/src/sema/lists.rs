//! Static numbers and lists: what fits. A list may be too long for a program, a number too large for a dtype.
//!
//! In: the parts of a list, the ends of a range, numbers on their way into a tensor. Out: the value, E0902 for lists, E0208
//! for numbers. Every place that builds a list comes here, because a list inside a list is shared: a few doublings would be
//! more than any memory as soon as something walks it.

use super::cx::{Elab, R, numbers};
use super::tensor::{Fail, Num};
use super::value::Value;
use crate::diag::Diagnostic;
use crate::graph::tensor::{range, round};
use crate::source::Span;
use nn_runtime::dtype::DType;
use std::rc::Rc;

/// Elements of a list, those of lists inside it counted, before elaboration gives up.
pub const MAX_LIST: usize = 1_000_000;
/// Lists inside lists, before elaboration gives up: values are walked recursively.
const MAX_DEPTH: usize = 64;
/// Elements that cost as much time as one step of evaluation.
const PER_STEP: usize = 8;

impl Elab<'_> {
    /// A list of values.
    pub fn list(&mut self, items: Vec<Value>, span: Span) -> R<Value> {
        self.held(&items, span)?;
        Ok(Value::List(Rc::new(items)))
    }

    /// A tuple of values.
    pub fn tuple(&mut self, items: Vec<Value>, span: Span) -> R<Value> {
        self.held(&items, span)?;
        Ok(Value::Tuple(Rc::new(items)))
    }

    /// The ints of a range.
    pub fn range(&mut self, lo: i64, hi: i64, span: Span) -> R<Vec<Value>> {
        let n = usize::try_from(i128::from(hi) - i128::from(lo)).unwrap_or(if hi > lo { usize::MAX } else { 0 });
        self.room(n, "a range", span)?;
        Ok((lo..hi).map(Value::Int).collect())
    }

    /// Is a list of so many elements possible? Making it counts as work.
    pub fn room(&mut self, n: usize, what: &str, span: Span) -> R<()> {
        if n > MAX_LIST {
            let message = format!("{what} of more than {MAX_LIST} elements");
            return self.err("E0902", span, message);
        }
        self.work(n);
        Ok(())
    }

    /// Counts work on so many elements.
    pub fn work(&mut self, n: usize) {
        self.steps += (n / PER_STEP) as u64;
    }

    /// Can a dtype hold a static number, or all numbers of a list?
    pub fn fits(&mut self, v: &Value, d: DType, span: Span) -> R<()> {
        match first_unfit(v, d) {
            Some(n) => Err(self.error(*unfit(n, d, span))),
            None => Ok(()),
        }
    }

    fn held(&mut self, items: &[Value], span: Span) -> R<()> {
        match weight(items, MAX_LIST, 1) {
            Some(n) => self.room(n, "a list or tuple", span),
            None => self.err("E0902", span, format!("lists inside lists, more than {MAX_DEPTH} deep")),
        }
    }
}

/// The first number of a static number or list that a dtype does not hold.
pub fn first_unfit(v: &Value, d: DType) -> Option<Num> {
    if let Some(n) = Num::of(v) {
        return Some(n).filter(|n| !holds(d, *n));
    }
    let (_, xs, float) = Some(v).filter(|v| matches!(v, Value::List(_))).and_then(numbers)?;
    let number = |x: f64| if float { Num::Float(x) } else { Num::Int(x as i64) };
    xs.into_iter().map(number).find(|n| !holds(d, *n))
}

/// Can a dtype hold a number? Of an int it must be in range, with its fraction cut off; a float may be rounded, but not to
/// infinity.
pub fn holds(d: DType, n: Num) -> bool {
    let x = n.f64();
    if d.is_float() {
        return !x.is_finite() || largest(d).is_none_or(|most| round(d, x).abs() <= most);
    }
    let (lo, hi) = range(d);
    d == DType::Bool || (lo..=hi).contains(&x.trunc())
}

/// E0208 of a number that a dtype does not hold.
pub fn unfit(n: Num, d: DType, span: Span) -> Fail {
    let x = Diagnostic::error("E0208", span, format!("{} does not fit {d}", n.show()));
    let (lo, hi) = range(d);
    Box::new(match largest(d) {
        Some(most) => x.note(format!("{d} holds numbers up to {most:e}")),
        None if d.is_float() => x,
        None => x.note(format!("{d} holds {lo} to {hi}")),
    })
}

/// The largest finite number of a float that is narrower than f64.
fn largest(d: DType) -> Option<f64> {
    match d {
        DType::F32 => Some(f32::MAX.into()),
        DType::Bf16 => Some(f64::from(f32::from_bits(0x7f7f_0000))),
        DType::F16 => Some(65504.0),
        _ => None,
    }
}

/// Values in a list, with those of lists inside it; beyond `most` it stops counting. `None` if they are too deep.
fn weight(items: &[Value], most: usize, depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut n = items.len();
    for v in items {
        if n > most {
            break;
        }
        n += match v {
            Value::List(l) | Value::Tuple(l) => weight(l, most - n, depth + 1)?,
            Value::Record(r) => {
                let parts: Vec<Value> = r.iter().map(|(_, v)| v.clone()).collect();
                weight(&parts, most - n, depth + 1)?
            }
            _ => 0,
        };
    }
    Some(n)
}
