//! Strict broadcasting: an operand may gain leading axes or stretch a literal 1, never both.
//!
//! In: two shapes with names and places. Out: the common shape, and operands broadcast to it; E0102 where another
//! language would silently broadcast, E0103 where axes clash.

use super::{Fail, Opd, TR, sizes};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::ValueId;
use crate::sema::calls::count;
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, show_dims};
use crate::source::Span;

/// A shape and where it was written.
#[derive(Clone, Copy)]
pub struct Shaped<'a> {
    /// The dims.
    pub dims: &'a [Dim],
    /// The place of the operand.
    pub span: Span,
}

/// How the common axis of two is shown from now on: the named one, the one that does not stretch.
pub fn merge(a: &Dim, b: &Dim) -> Dim {
    if a.size != b.size {
        return if a.stretches && a.size == 1 { b.clone() } else { a.clone() };
    }
    match (a.stretches, b.stretches) {
        (true, false) => b.clone(),
        (false, true) => a.clone(),
        _ if a.name.is_none() && b.name.is_some() => b.clone(),
        _ => a.clone(),
    }
}

fn stretch(a: &Dim, b: &Dim) -> bool {
    let free = nn_runtime::mutant!("sema.stretch");
    ((a.stretches || free) && a.size == 1) || ((b.stretches || free) && b.size == 1)
}

/// The common shape of two operands by rules B1 to B3.
pub fn common(what: &str, a: Shaped, b: Shaped) -> TR<Vec<Dim>> {
    let (ra, rb) = (a.dims.len(), b.dims.len());
    if ra == 0 {
        return Ok(b.dims.to_vec());
    }
    if rb == 0 {
        return Ok(a.dims.to_vec());
    }
    let lead = ra.abs_diff(rb);
    let (long, short) = if ra >= rb { (a, b) } else { (b, a) };
    let mut out = long.dims[..lead].to_vec();
    for (i, s) in short.dims.iter().enumerate() {
        let l = &long.dims[lead + i];
        if l.size == s.size || (lead == 0 && stretch(l, s)) {
            // The left operand's name wins where both have one.
            out.push(if ra >= rb { merge(l, s) } else { merge(s, l) });
            continue;
        }
        return Err(refuse(what, a, b, lead, lead + i, l, s));
    }
    Ok(out)
}

pub(super) fn sized(dims: &[Dim]) -> String {
    let sizes: Vec<String> = dims.iter().map(|d| d.size.to_string()).collect();
    let concrete = format!("[{}]", sizes.join(", "));
    let symbolic = show_dims(dims);
    if symbolic == concrete { concrete } else { format!("{symbolic} = {concrete}") }
}

fn numpy(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let n = a.len().max(b.len());
    (0..n)
        .map(|i| {
            let x = (i + a.len()).checked_sub(n).map(|i| &a[i]);
            let y = (i + b.len()).checked_sub(n).map(|i| &b[i]);
            match (x, y) {
                (Some(x), Some(y)) if x.size == y.size || y.size == 1 => Some(x.clone()),
                (Some(x), Some(y)) if x.size == 1 => Some(y.clone()).filter(|_| x.size == 1),
                (Some(x), None) | (None, Some(x)) => Some(x.clone()),
                _ => None,
            }
        })
        .collect()
}

fn stretched(d: Diagnostic, at: Span, text: String) -> Diagnostic {
    d.fix(format!("to stretch on purpose, write the 1: `{text}`"), [Edit::replace(at, text)])
}

fn refuse(what: &str, a: Shaped, b: Shaped, lead: usize, axis: usize, l: &Dim, s: &Dim) -> Fail {
    let (sa, sb) = (show_dims(a.dims), show_dims(b.dims));
    let label = |d: Diagnostic| {
        d.here(format!("this is {}", sized(a.dims))).label(b.span, format!("this is {}", sized(b.dims)))
    };
    let ordered = a.dims.len() >= b.dims.len();
    let (long, short) = if ordered { (a, b) } else { (b, a) };
    if let Some(got) = numpy(a.dims, b.dims) {
        let got = show_dims(&got);
        let d = Diagnostic::error(
            "E0102",
            a.span,
            format!("ambiguous broadcast: {sa} with {sb} would silently become {got}"),
        );
        let d = label(d);
        return Box::new(if lead == 0 {
            let d = d.note("only a 1 that is written as one stretches (`new`, `keep: true`, `1` in the type)");
            // The operand with the ones, each of them dropped and written.
            let written = |x: &[Dim], y: &[Dim]| -> (bool, String) {
                let one: Vec<bool> = x.iter().zip(y).map(|(x, y)| x.size == 1 && y.size > 1).collect();
                let ix: Vec<&str> = one.iter().map(|one| if *one { "0, new" } else { ":" }).collect();
                (one.contains(&true), ix.join(", "))
            };
            match (written(a.dims, b.dims), written(b.dims, a.dims)) {
                ((true, ix), (false, _)) => stretched(d, a.span, format!("{{0}}[{ix}]")),
                ((false, _), (true, ix)) => stretched(d, b.span, format!("{{1}}[{ix}]")),
                _ => d.help("to stretch on purpose, drop the axis with `[.., 0]` and insert it again with `new`"),
            }
        } else {
            let mut left = lead;
            let mut drop: Vec<&str> = vec![":"; long.dims.len()];
            for (i, d) in long.dims.iter().enumerate().rev() {
                // A size of 1 by chance is in the way as much as a written one.
                if left > 0 && d.size == 1 {
                    drop[i] = "0";
                    left -= 1;
                }
            }
            let add: Vec<&str> = short.dims.iter().map(|_| ":").chain(std::iter::repeat_n("new", lead)).collect();
            let (l, s) = if ordered { ("{0}", "{1}") } else { ("{1}", "{0}") };
            let kept: Vec<u64> = long.dims.iter().zip(&drop).filter(|(_, x)| **x != "0").map(|(d, _)| d.size).collect();
            let fits = kept == sizes(short.dims).as_slice();
            // Every element of one with every element of the other: the 1 becomes one that is written.
            let pairs: Vec<&str> = drop.iter().map(|x| if *x == "0" { "0, new" } else { x }).collect();
            let pairs = (format!("{l}[{}]", pairs.join(", ")), format!("{s}[{}]", vec!["new"; lead].join(", ")));
            let (drop, add) = (format!("{l}[{}]", drop.join(", ")), format!("{s}[{}]", add.join(", ")));
            let d = d.note("an operand may gain leading axes or stretch a written 1, but not both");
            if fits {
                d.fix(
                    format!("drop the extra axis of {}: `{drop}`", show_dims(long.dims)),
                    [Edit::replace(long.span, drop)],
                )
                .fix(
                    format!("or make it explicit on {}: `{add}`", show_dims(short.dims)),
                    [Edit::replace(short.span, add)],
                )
            } else {
                all_pairs(d, (long.span, pairs.0), (short.span, pairs.1))
            }
        });
    }
    let verb = match what {
        "+" | "-" => "is added to",
        "*" => "is multiplied with",
        "/" => "is divided by",
        _ => "meets",
    };
    let d = Diagnostic::error("E0103", a.span, format!("axis mismatch: {} {verb} {}", l.show(), s.show()));
    let mut d = label(d);
    d = if lead == 0 {
        d.note(format!("operands of `{what}` align axis by axis; axis {axis} is {} and {}", l.show(), s.show()))
    } else {
        d.note(format!(
            "{} aligns with the last {} of {}",
            show_dims(short.dims),
            if short.dims.len() == 1 { "axis".to_owned() } else { count(short.dims.len(), "axis") },
            show_dims(long.dims)
        ))
    };
    for (dim, other) in [(l, long), (s, short)] {
        if let Some(o) = dim.origin.filter(|&o| o != other.span) {
            d = d.label(o, format!("{} comes from here", dim.show()));
        }
    }
    let leading = lead > 0 && short.dims.iter().zip(long.dims).all(|(x, y)| x.size == y.size);
    Box::new(if leading {
        let ix: Vec<&str> = short.dims.iter().map(|_| ":").chain(std::iter::repeat_n("new", lead)).collect();
        let text = format!("{}[{}]", if ordered { "{1}" } else { "{0}" }, ix.join(", "));
        d.fix(format!("to align the leading axes, write `{text}`"), [Edit::replace(short.span, text)])
    } else if lead == 0 && a.dims.len() > 1 && sizes(&a.dims[1..]) == sizes(&b.dims[1..]) {
        // The first axis of each beside that of the other: each row of one with each row of the other.
        all_pairs(d, (a.span, "{0}[:, new]".to_owned()), (b.span, "{1}[new]".to_owned()))
    } else {
        d.help("say which axes belong together: `let y[i, j] = a[i, j] + b[j]`")
    })
}

/// The edit after which each row of one operand meets each row of the other.
fn all_pairs(d: Diagnostic, long: (Span, String), short: (Span, String)) -> Diagnostic {
    let message = format!("each of one with each of the other: `{}` and `{}`", long.1, short.1);
    d.fix(message, [Edit::replace(long.0, long.1), Edit::replace(short.0, short.1)])
}

/// A value of shape `from` broadcast to `to`, which `common` allowed.
pub fn expand(el: &mut Elab<'_>, id: ValueId, from: &[Dim], to: &[Dim]) -> ValueId {
    let lead = if nn_runtime::mutant!("sema.expand") { 0 } else { to.len() - from.len() };
    let mut kept = vec![];
    let mut axes = vec![];
    for (i, d) in from.iter().enumerate() {
        if d.size == to[lead + i].size {
            kept.push(d.size);
            axes.push((lead + i) as u32);
        }
    }
    let shape = sizes(to);
    if axes.len() == to.len() {
        return id;
    }
    let id = el.reshape(id, &kept);
    el.b.broadcast(id, &shape, &axes)
}

/// The dims of an operand with its place.
pub fn shaped<'a>(o: &'a Opd, dims: &'a [Dim]) -> Shaped<'a> {
    Shaped { dims, span: o.span }
}
