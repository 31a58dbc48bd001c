//! Axis arguments: a number, a dim name of the operand's type, or a list of them.
//!
//! In: an argument value and the operand. Out: axis positions; E0109 where a name does not name exactly one axis.

use crate::diag::Diagnostic;
use crate::sema::cx::{Elab, R};
use crate::sema::value::{Dim, Tensor, Value, show_dims};
use crate::source::Span;

/// The axes that an argument names, ascending.
pub fn axes(el: &mut Elab<'_>, t: &Tensor, arg: &Value, span: Span, what: &str) -> R<Vec<usize>> {
    let mut out = match arg {
        Value::List(items) | Value::Tuple(items) => {
            let mut out = vec![];
            for item in items.iter() {
                // Axes of a row, `[B, ..S]`, need no names.
                out.push(either(el, t, item, span, what)?);
            }
            out
        }
        one => vec![axis(el, t, one, span, what)?],
    };
    out.sort_unstable();
    if let Some(w) = out.windows(2).find(|w| w[0] == w[1]) {
        return el.err("E0109", span, format!("`{what}`: axis {} is named twice", w[0]));
    }
    Ok(out)
}

/// The one axis that an argument names. A size without a name could be its number, or the axis that it was measured on.
pub fn axis(el: &mut Elab<'_>, t: &Tensor, arg: &Value, span: Span, what: &str) -> R<usize> {
    if let Value::Dim(d) = arg
        && d.name.is_none()
    {
        let message = format!("`{what}`: a size of {}, which has no name, is no axis", d.size);
        let d = Diagnostic::error("E0109", span, message)
            .help("give the number of the axis, or the name of a dim that a type has");
        return Err(el.error(d));
    }
    either(el, t, arg, span, what)
}

fn either(el: &mut Elab<'_>, t: &Tensor, arg: &Value, span: Span, what: &str) -> R<usize> {
    match arg {
        Value::Int(i) => number(el, t, *i, span, what),
        Value::Dim(d) => named(el, t, d, span, what),
        v => {
            let found = v.show();
            let d = Diagnostic::error("E0109", span, format!("`{what}` needs an axis, found {found}"))
                .help("give a number (`-1` is the last axis), the name of a dim, or a list of them");
            Err(el.error(d))
        }
    }
}

fn number(el: &mut Elab<'_>, t: &Tensor, i: i64, span: Span, what: &str) -> R<usize> {
    let n = t.dims.len() as i64;
    let at = if i < 0 { i + n } else { i };
    if (0..n).contains(&at) {
        return Ok(at as usize);
    }
    let d = Diagnostic::error("E0109", span, format!("`{what}`: {} has no axis {i}", show_dims(&t.dims)));
    Err(el.error(if n == 0 {
        d.note("it is a scalar")
    } else {
        d.help(format!("axes are 0 to {}, or -1 to -{n} from the end", n - 1))
    }))
}

/// The axes that carry a dim: by identity, or else by name and size.
pub fn carried(t: &Tensor, dim: &Dim) -> Vec<usize> {
    let find = |same: &dyn Fn(&Dim) -> bool| -> Vec<usize> {
        t.dims.iter().enumerate().filter(|(_, d)| same(d)).map(|(i, _)| i).collect()
    };
    let hits = find(&|d| d.id == dim.id);
    if hits.is_empty() && dim.name.is_some() {
        return find(&|d| d.name == dim.name && d.size == dim.size);
    }
    hits
}

fn named(el: &mut Elab<'_>, t: &Tensor, dim: &Dim, span: Span, what: &str) -> R<usize> {
    let hits = carried(t, dim);
    let name = dim.name.as_deref().unwrap_or("this dim");
    let shape = show_dims(&t.dims);
    let d = match hits[..] {
        [one] => return Ok(one),
        [] => Diagnostic::error("E0109", span, format!("`{what}`: {name} names no axis of {shape}"))
            .help("give the number of the axis, or name the axes in the type"),
        [a, b, ..] => {
            let count = if hits.len() == 2 { "two".to_owned() } else { hits.len().to_string() };
            Diagnostic::error("E0109", span, format!("`{what}`: {name} names {count} axes of {shape}"))
                .here(format!("axis {a} and axis {b} both have size {name}"))
                .help(match with_index(what, t.dims.len(), b) {
                    Some(text) => format!("use an index: `{text}`, or an axis number"),
                    None => format!("give the number of the axis: {a} or {b}"),
                })
        }
    };
    Err(el.error(d))
}

/// `mean(s, D)` along an axis, written with indices: `let r[i] = mean[j](s[i, j])`.
fn with_index(what: &str, rank: usize, axis: usize) -> Option<String> {
    let (name, args) = what.strip_suffix(')')?.split_once('(')?;
    let operand = args.split_once(',')?.0;
    let letters = ["i", "j", "k", "l", "m", "n"].get(..rank)?;
    let word = operand.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !word || !matches!(name, "sum" | "mean" | "max") {
        return None;
    }
    let kept: Vec<&str> = (0..rank).filter(|&i| i != axis).map(|i| letters[i]).collect();
    Some(format!("let r[{}] = {name}[{}]({operand}[{}])", kept.join(", "), letters[axis], letters.join(", ")))
}
