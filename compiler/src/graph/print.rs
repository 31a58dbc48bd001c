//! Graph IR as text, which [`super::parse`] reads back.
//!
//! ```text
//! graph @mlp.train {
//!   slot x: data f32[2,3]
//!   slot w: param f32[3]
//!   %x: f32[2,3] = input {slot=0}
//!   %w: f32[3] = input {slot=1}
//!   %h: f32[2] = dot %x, %w {batch=[], with=[], contract=[1], over=[0]}  // mlp.nn:7:9
//!   return h = %h
//!   return w <- %w
//! }
//! ```
//!
//! One value per line, every type printed, attributes in the row's fixed order without what the type already says. A value
//! prints by its name, else by its layer and op, else by its number; names are made unique. Floats print shortest and
//! exact. Locations stand in trailing comments only.

use super::graph::{Graph, SlotKind, ValueId};
use super::ops::Op;
use super::ops::attr::Attr;
use crate::source::SourceMap;
use nn_runtime::dtype::DType;
use std::collections::HashMap;
use std::fmt::Write;

/// Elements of a constant table that a short print shows.
const SHORT: usize = 8;

/// What to print besides the graph.
#[derive(Clone, Copy, Default)]
pub struct PrintOptions<'a> {
    /// Locations as comments.
    pub sources: Option<&'a SourceMap>,
    /// Leave out most elements of large tables; such text does not parse back.
    pub short: bool,
    /// Remarks to put under lines, as (value, text).
    pub marks: &'a [(ValueId, String)],
}

/// The text of a graph; parses back.
pub fn to_text(g: &Graph) -> String {
    to_text_with(g, PrintOptions::default())
}

/// The text of a graph with options.
pub fn to_text_with(g: &Graph, options: PrintOptions<'_>) -> String {
    let mut out = format!("graph @{} {{\n", word(&g.name));
    lines(g, options, 1, &mut out);
    out.push_str("}\n");
    out
}

/// Slots, values and results, `depth` regions deep.
fn lines(g: &Graph, options: PrintOptions<'_>, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let names = value_names(g);
    let name = |v: ValueId| names.get(v.idx()).cloned().unwrap_or_else(|| format!("?{}", v.0));
    for s in &g.slots {
        let _ = writeln!(out, "{indent}slot {}: {} {}", word(&s.name), kind_name(s.kind), s.ty);
    }
    for (v, node) in g.values().zip(&g.nodes) {
        let mut line = format!("{indent}%{}: {} = {}", names[v.idx()], node.ty, node.op.name());
        for (i, &x) in node.inputs.iter().enumerate() {
            let _ = write!(line, "{}%{}", if i == 0 { " " } else { ", " }, name(x));
        }
        line.push_str(&attrs_text(&node.op, options.short));
        let body = if let Op::Scan(s) = &node.op { Some(&s.body) } else { None };
        line.push_str(if body.is_some() { " {" } else { "" });
        if let (Some(sources), Some(span)) = (options.sources, node.span) {
            let _ = write!(line, "  // {}", sources.locate(span));
        }
        out.push_str(&line);
        out.push('\n');
        if let Some(body) = body {
            lines(body, PrintOptions { marks: &[], ..options }, depth + 1, out);
            let _ = writeln!(out, "{indent}}}");
        }
        for (_, remark) in options.marks.iter().filter(|(m, _)| *m == v) {
            let _ = writeln!(out, "{indent}^ {remark}");
        }
    }
    let _ = write!(out, "{indent}return");
    for (i, o) in g.outputs.iter().enumerate() {
        // Results share a line as long as no assignment comes between; every assignment has its own.
        let together = i > 0 && o.assign.is_none() && g.outputs[i - 1].assign.is_none();
        out.push_str(match (i, together) {
            (0, _) => " ",
            (_, true) => ", ",
            _ => "",
        });
        if i > 0 && !together {
            let _ = write!(out, "\n{indent}return ");
        }
        let value = name(o.value);
        let _ = match o.assign {
            Some(slot) => {
                let to = g.slots.get(slot as usize).map_or_else(|| format!("?{slot}"), |s| word(&s.name));
                write!(out, "{to} <- %{value}")
            }
            None => write!(out, "{} = %{value}", word(&o.name)),
        };
    }
    out.push('\n');
}

/// The attributes of an op after its operands, ` {axes=[1]}`.
pub fn attrs_text(op: &Op, short: bool) -> String {
    let attrs = (op.spec().attrs)(op);
    let all: Vec<String> = attrs.iter().map(|(key, value)| format!("{key}={}", attr_text(value, short))).collect();
    if all.is_empty() { String::new() } else { format!(" {{{}}}", all.join(", ")) }
}

/// A unique printed name for every value, without `%`.
pub fn value_names(g: &Graph) -> Vec<String> {
    // How often each name was asked for: where the search for a free number goes on.
    let mut taken: HashMap<String, u32> = HashMap::new();
    let mut names = Vec::with_capacity(g.nodes.len());
    for (v, node) in g.values().zip(&g.nodes) {
        let base = match (&node.name, &node.scope) {
            (Some(name), _) => tame(name),
            (None, Some(scope)) => tame(&format!("{scope}.{}", node.op.name())),
            (None, None) => v.0.to_string(),
        };
        let mut i = taken.get(&base).copied().unwrap_or(0);
        let mut name = base.clone();
        while taken.contains_key(&name) {
            i += 1;
            name = format!("{base}.{i}");
        }
        taken.insert(base, i);
        taken.entry(name.clone()).or_insert(0);
        names.push(name);
    }
    names
}

/// A value's name in characters that need no quotes; never all digits, which are numbers of values without a name.
fn tame(name: &str) -> String {
    let t: String = name.chars().map(|c| if is_word(c) { c } else { '_' }).collect();
    if t.is_empty() || t.starts_with(|c: char| c.is_ascii_digit()) { format!("v{t}") } else { t }
}

/// A character of names in IR text.
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

/// A name as it is if it can be, else quoted.
fn word(s: &str) -> String {
    if !s.is_empty() && s.chars().all(is_word) { s.to_owned() } else { format!("{s:?}") }
}

/// The word for a kind of slot.
pub fn kind_name(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Param => "param",
        SlotKind::State => "state",
        SlotKind::Data => "data",
        SlotKind::Step => "step",
    }
}

fn attr_text(a: &Attr, short: bool) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match a {
        Attr::Int(n) => n.to_string(),
        Attr::Ints(xs) => list(xs.iter().map(u64::to_string).collect()),
        Attr::Word(w) => (*w).to_owned(),
        Attr::Text(t) => format!("{t:?}"),
        Attr::Float(d, x) => number(*d, *x),
        Attr::Floats(d, xs) if short && xs.len() > SHORT => {
            let first: Vec<String> = xs[..SHORT].iter().map(|&x| number(*d, x)).collect();
            format!("[{}, .. {} elements]", first.join(", "), xs.len())
        }
        Attr::Floats(d, xs) => list(xs.iter().map(|&x| number(*d, x)).collect()),
    }
}

/// A number of a dtype, shortest that reads back the same.
pub fn number(d: DType, x: f64) -> String {
    if x.is_nan() {
        "nan".to_owned()
    } else if !d.is_float() {
        format!("{x}")
    } else if d == DType::F32 && f64::from(x as f32).to_bits() == x.to_bits() {
        format!("{:?}", x as f32)
    } else {
        format!("{x:?}")
    }
}
