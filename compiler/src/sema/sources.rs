//! Sources of data: what can stand to the right of `train = ..` in a `data` item.
//!
//! In: a call such as `csv("file.csv", skip: 1)`, read by the signature of its row. Out: what the runtime opens, or how a
//! part is taken out of one above it. A row is all there is to know of a source; the reference manual is made of rows.

use super::args::Args;
use super::cx::{Elab, Env, R, nearest};
use super::signature::{Kind, Setting, Signature, key, names, need, rest, sig};
use super::value::Value;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{self, ExprId, ExprKind};
use nn_runtime::data::split::{SplitFrom, SplitSpec};
use nn_runtime::data::{SourceSpec, TableColumn};
use nn_runtime::dtype::DType;

/// A source of data.
pub struct Source {
    /// Its name and parameters.
    pub sig: Signature,
    /// What it reads.
    pub doc: &'static str,
    /// The columns that it gives to fields.
    pub columns: &'static str,
    /// A call.
    pub example: &'static str,
    make: fn(&mut Elab<'_>, &Args, &mut Parts) -> R<SplitFrom>,
}

/// Parts and sources while they are read.
#[derive(Default)]
pub(super) struct Parts {
    /// Sources, each once.
    pub sources: Vec<SourceSpec>,
    /// Where each stands.
    pub spans: Vec<Span>,
    /// Parts in order.
    pub splits: Vec<SplitSpec>,
    /// Where each stands.
    pub places: Vec<Span>,
    /// Fields are drawn.
    pub drawn: bool,
}

/// Parts of `data`.
pub const PARTS: &[Setting] = &[
    Setting {
        name: "source",
        takes: "a source",
        default: "`train`",
        doc: "Another name for `train`.",
        example: "source = csv(\"d.csv\", columns: { x: 8, y: 1 })",
        many: false,
    },
    Setting {
        name: "train",
        takes: "a source",
        default: "needed",
        doc: "The rows that training sees, in an order drawn anew for every epoch.",
        example: "train = idx(\"images\", \"labels\")",
        many: false,
    },
    Setting {
        name: "val",
        takes: "a source",
        default: "none",
        doc: "The rows that are evaluated after every epoch, for `stop` and `save`.",
        example: "val = split(train, 0.1, seed: 1)",
        many: false,
    },
    Setting {
        name: "test",
        takes: "a source",
        default: "none",
        doc: "The rows of `nnc eval` and `nnc predict`; evaluated after every epoch if there is no `val`, else once, when \
              training has ended.",
        example: "test = split(source, 0.2, seed: 1)",
        many: false,
    },
];

/// Sources.
pub const SOURCES: &[Source] = &[
    Source {
        sig: sig(
            "csv",
            &[&[need("file", Kind::File), key("skip", Kind::Int, "0"), key("columns", Kind::Columns, "by the header")]],
        ),
        doc: "A text file of numbers with commas, plain or gzip. `skip` leaves out lines at the start.",
        columns: "One scalar for each name of the first line, in which `_` stands for what a name here cannot hold (`sepal \
                  length (cm)` is `sepal_length__cm_`, `2kind` is `_2kind`), or the groups of adjacent columns that \
                  `columns` names with their widths; i32 where every value is a whole number, else f32.",
        example: "csv(\"d.csv\", skip: 1, columns: { pixels: 64, label: 1 })",
        make: csv,
    },
    Source {
        sig: sig("idx", &[&[need("file", Kind::File), rest("files", Kind::File)]]),
        doc: "IDX files of MNIST's format, plain or gzip, with one number of rows.",
        columns: "`image` from a file of several axes, `label` from a file of one; further ones are `image2`, `label2`.",
        example: "idx(\"images.gz\", \"labels.gz\")",
        make: idx,
    },
    Source {
        sig: sig("npy", &[&[need("file", Kind::File)]]),
        doc: "One array of NumPy; its first axis are the rows.",
        columns: "`array`.",
        example: "npy(\"x.npy\")",
        make: |el, a, parts| {
            let file = a.text(el, "file")?;
            Ok(parts.enter(SourceSpec::Npy { file }, a.span))
        },
    },
    Source {
        sig: sig("npz", &[&[need("file", Kind::File)]]),
        doc: "Arrays of `numpy.savez`; their first axis are the rows. Arrays that differ in it are one row, whole.",
        columns: "One for each array, by its name.",
        example: "npz(\"d.npz\")",
        make: |el, a, parts| {
            let file = a.text(el, "file")?;
            Ok(parts.enter(SourceSpec::Npz { file }, a.span))
        },
    },
    Source {
        sig: sig("table", &[&[names("x", Kind::Column)]]),
        doc: "Numbers in the program: each column a list with one entry a row.",
        columns: "The names that are given; f32 if a number has a point, else i32.",
        example: "table(x: [[0, 1], [1, 0]], y: [1, 0])",
        make: table,
    },
    Source {
        sig: sig("rows", &[&[need("n", Kind::Size), key("seed", Kind::Int, "0")]]),
        doc: "`n` rows without columns: fields are drawn (`x: f32[2] ~ normal()`) or computed from drawn ones, once, before \
              training.",
        columns: "None.",
        example: "rows(2000, seed: 1)",
        make: rows,
    },
    Source {
        sig: sig(
            "split",
            &[&[
                need("of", Kind::Part),
                need("fraction", Kind::Number),
                key("seed", Kind::Int, "0"),
                key("stratify", Kind::ColumnName, "none"),
            ]],
        ),
        doc: "Moves a random fraction of the rows of a part above out of it. Fractions are of the rows that the part began with, \
              whatever others have moved: `val = split(source, 0.2)` and `test = split(source, 0.2)` of 60 rows leave 36, 12 \
              and 12. `stratify` keeps the proportions of a column of \
              class numbers.",
        columns: "Those of the part.",
        example: "split(train, 0.1, seed: 1, stratify: label)",
        make: split,
    },
    Source {
        sig: sig("tail", &[&[need("of", Kind::Part), need("fraction", Kind::Number)]]),
        doc: "Moves the last rows of a part above out of it, a fraction of those that it began with.",
        columns: "Those of the part.",
        example: "tail(train, 0.1)",
        make: |el, a, parts| Ok(SplitFrom::Tail { of: part_number(el, a, parts)?, fraction: fraction(el, a)? }),
    },
];

/// Sources of the language that are not there yet.
pub const LATER: &[&str] = &["images", "chars", "bytes", "tokens", "text"];

/// Most rows of drawn data.
const MAX_DRAWN: u64 = 1 << 24;

impl Parts {
    /// One file is one source, however many parts name it.
    fn enter(&mut self, spec: SourceSpec, span: Span) -> SplitFrom {
        let known = self.sources.iter().position(|s| *s == spec);
        SplitFrom::Source(known.unwrap_or_else(|| {
            self.sources.push(spec);
            self.spans.push(span);
            self.sources.len() - 1
        }))
    }
}

/// The parts that a `data` item can have.
pub(super) fn parts() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|p| p.name)
}

/// Is this the name of a part of `data`?
pub(super) fn is_part(name: &str) -> bool {
    parts().any(|p| p == name)
}

/// `train = idx(...)` and the like.
pub(super) fn part(el: &mut Elab<'_>, s: &ast::Setting, env: &Env, parts: &mut Parts) -> R<()> {
    let name = &*s.name.text;
    if !is_part(name) {
        let d = Diagnostic::error("E0212", s.name.span, format!("data has no setting `{name}`"));
        let known: Vec<&str> = self::parts().collect();
        let theirs = OTHER_PARTS.iter().find(|(t, _)| *t == name.to_ascii_lowercase()).map(|(_, ours)| *ours);
        let d = match theirs.or_else(|| nearest(name, known.iter().copied())) {
            Some(near) => d.rename(s.name.span, near),
            None => d.note(format!("it has: {}", known.join(", "))),
        };
        return Err(el.error(d));
    }
    let name = if name == "source" { "train" } else { name };
    if parts.splits.iter().any(|p| p.name == name) {
        return el.err("E0208", s.name.span, format!("the part `{name}` is defined twice"));
    }
    let from = match read(el, s.value, env, parts) {
        Ok(from) => from,
        Err(e) => {
            // What is wrong with it is said once, not again by the parts that are made of it.
            parts.splits.push(SplitSpec { name: name.to_owned(), from: SplitFrom::Source(0) });
            parts.places.push(el.ast.span(s.value));
            return Err(e);
        }
    };
    parts.splits.push(SplitSpec { name: name.to_owned(), from });
    parts.places.push(el.ast.span(s.value));
    Ok(())
}

/// What other libraries call a part.
const OTHER_PARTS: &[(&str, &str)] = &[
    ("valid", "val"),
    ("validation", "val"),
    ("dev", "val"),
    ("eval", "val"),
    ("testing", "test"),
    ("holdout", "test"),
    ("training", "train"),
    ("data", "source"),
    ("input", "source"),
    ("dataset", "source"),
    ("file", "source"),
];

/// What other libraries call a source.
const OTHER_SOURCES: &[(&str, &str)] = &[
    ("read_csv", "csv"),
    ("load_csv", "csv"),
    ("loadtxt", "csv"),
    ("genfromtxt", "csv"),
    ("read_table", "csv"),
    ("load", "npy"),
    ("load_npy", "npy"),
    ("load_npz", "npz"),
    ("random", "rows"),
    ("randn", "rows"),
    ("generate", "rows"),
    ("train_test_split", "split"),
    ("random_split", "split"),
    ("DataFrame", "table"),
    ("from_tensor_slices", "table"),
    ("TensorDataset", "table"),
];

/// A value that is no call of a source: `"d.csv"`, `pd.read_csv("d.csv")`, `source`.
fn no_source(el: &Elab<'_>, e: ExprId, parts: &Parts) -> Diagnostic {
    let (ast, span) = (el.ast, el.ast.span(e));
    let text = el.text(span);
    let d = Diagnostic::error("E0212", span, "a source is expected");
    let of_file = |text: &str| match text.trim_end_matches(['"', 'z', 'g']).rsplit('.').next() {
        Some("npy") => "npy",
        Some("np") => "npz",
        _ => "csv",
    };
    let edit = match &ast.expr(e).kind {
        ExprKind::Str(_) => Some(format!("{}({text})", of_file(text))),
        ExprKind::Name(n) => {
            let train = |n: &str| if n == "source" { "train".to_owned() } else { n.to_owned() };
            let known = parts.splits.iter().any(|p| p.name == train(n));
            known.then(|| format!("split({n}, 0.1, seed: 1)"))
        }
        ExprKind::Index { base, .. } if SOURCES.iter().any(|s| s.sig.name == el.text(ast.span(*base))) => {
            let (name, rest) = text.split_at((ast.span(*base).end - span.start) as usize);
            rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')).map(|inner| format!("{name}({inner})"))
        }
        ExprKind::Call { callee, .. } => match &ast.expr(*callee).kind {
            ExprKind::Field { name, .. } => {
                let ours = OTHER_SOURCES.iter().find(|(t, _)| *t == &*name.text).map(|(_, ours)| *ours);
                let rest = &text[(ast.span(*callee).end - span.start) as usize..];
                ours.map(|o| format!("{o}{rest}"))
            }
            _ => None,
        },
        _ => None,
    };
    match edit {
        Some(t) => d.fix(format!("write `{}`", shown(&t)), [Edit::replace(span, t)]),
        None => d.help("such as `csv(\"file.csv\")`, `table(x: [[0, 1]], y: [1])` or `split(train, 0.1, seed: 1)`"),
    }
}

fn read(el: &mut Elab<'_>, e: ExprId, env: &Env, parts: &mut Parts) -> R<SplitFrom> {
    let (ast, span) = (el.ast, el.ast.span(e));
    let call = match &ast.expr(e).kind {
        ExprKind::Call { callee, args } => match &ast.expr(*callee).kind {
            ExprKind::Name(n) => Some((n.clone(), *callee, args)),
            _ => None,
        },
        _ => None,
    };
    let Some((name, callee, args)) = call else {
        return Err(el.error(no_source(el, e, parts)));
    };
    if LATER.contains(&&*name) {
        return Err(el.limit(span, &format!("the source `{name}`")));
    }
    let Some(row) = SOURCES.iter().find(|s| s.sig.name == &*name) else {
        let known: Vec<&str> = SOURCES.iter().map(|s| s.sig.name).collect();
        let d = Diagnostic::error("E0212", span, format!("unknown source `{name}`"));
        let theirs = OTHER_SOURCES.iter().find(|(t, _)| *t == &*name).map(|(_, ours)| *ours);
        let d = match theirs.or_else(|| nearest(&name, known.iter().copied())) {
            Some(near) => d.rename(ast.span(callee), near),
            None => d.note(format!("sources: {}", known.join(", "))),
        };
        return Err(el.error(d));
    };
    let a = Args::read_syntax(el, &row.sig, args, (span, ast.span(callee)), env)?;
    (row.make)(el, &a, parts)
}

/// An argument that does not fit its kind.
fn refuse<T>(el: &mut Elab<'_>, a: &Args, code: &'static str, span: Span, message: String) -> R<T> {
    let d = Diagnostic::error(code, span, message);
    Err(el.error(a.sig.explain(d)))
}

fn seed(el: &mut Elab<'_>, a: &Args) -> R<u64> {
    Ok(a.int(el, "seed")? as u64)
}

fn csv(el: &mut Elab<'_>, a: &Args, parts: &mut Parts) -> R<SplitFrom> {
    let file = a.text(el, "file")?;
    let (skip, (_, at)) = (a.int(el, "skip")?, a.value(el, "skip")?);
    let Ok(skip) = u64::try_from(skip) else {
        return refuse(el, a, "E0212", at, "`skip` must not be negative".into());
    };
    let columns = match a.get("columns") {
        None => None,
        Some((Value::Record(fields), at)) => {
            let mut out = vec![];
            for (n, v) in fields.iter() {
                out.push((n.to_string(), el.as_dim(v, at, "the width of a column")?.size));
            }
            Some(out)
        }
        Some((_, at)) => {
            let message = "`columns` takes names and widths: `{ pixels: 64, label: 1 }`";
            return refuse(el, a, "E0212", at, message.into());
        }
    };
    Ok(parts.enter(SourceSpec::Csv { file, skip, columns }, a.span))
}

fn idx(el: &mut Elab<'_>, a: &Args, parts: &mut Parts) -> R<SplitFrom> {
    let mut files = vec![a.text(el, "file")?];
    for (v, at) in a.all("files") {
        files.push(el.as_str(&v, at, "a file")?.to_string());
    }
    Ok(parts.enter(SourceSpec::Idx { files }, a.span))
}

fn table(el: &mut Elab<'_>, a: &Args, parts: &mut Parts) -> R<SplitFrom> {
    let mut columns = vec![];
    for (name, v, at) in a.named("x") {
        let Some((shape, values, float)) = super::cx::numbers(&v) else {
            let message = "a column of `table` is a list of numbers, or of lists of one length";
            return refuse(el, a, "E0212", at, message.into());
        };
        if let Some(n) = inexact(&v) {
            let message = format!("{n} is an integer that no number of a column holds exactly");
            return refuse(el, a, "E0111", at, message);
        }
        if shape.is_empty() {
            return refuse(el, a, "E0212", at, "a column of `table` is a list, one entry for each row".into());
        }
        // A wide table turns its floats to f64 when it is opened.
        let dtype = if float { DType::F32 } else { DType::I32 };
        columns.push(TableColumn { name: name.text.to_string(), dtype, shape, values });
    }
    if columns.is_empty() {
        let d = Diagnostic::error("E0212", a.span, "`table` needs columns").help("`table(x: [[0, 1]], y: [1])`");
        return Err(el.error(d));
    }
    Ok(parts.enter(SourceSpec::Table { columns }, a.span))
}

/// An integer that no `f64` is equal to.
fn inexact(v: &Value) -> Option<i64> {
    match v {
        Value::Int(n) => Some(*n).filter(|&n| n as f64 as i128 != i128::from(n)),
        Value::List(items) => items.iter().find_map(inexact),
        _ => None,
    }
}

fn rows(el: &mut Elab<'_>, a: &Args, parts: &mut Parts) -> R<SplitFrom> {
    let (n, (_, at)) = (a.size(el, "n")?.size, a.value(el, "n")?);
    if n > MAX_DRAWN {
        return el.err("E0902", at, format!("{n} rows; at most {MAX_DRAWN} are possible"));
    }
    parts.drawn = true;
    Ok(parts.enter(SourceSpec::Rows { n, seed: seed(el, a)? }, a.span))
}

fn split(el: &mut Elab<'_>, a: &Args, parts: &mut Parts) -> R<SplitFrom> {
    let of = part_number(el, a, parts)?;
    let fraction = fraction(el, a)?;
    let stratify = match a.get("stratify") {
        None => None,
        Some(_) => Some(a.text(el, "stratify")?),
    };
    Ok(SplitFrom::Random { of, fraction, seed: seed(el, a)?, stratify })
}

fn fraction(el: &mut Elab<'_>, a: &Args) -> R<f64> {
    let (x, (_, at)) = (a.float(el, "fraction")?, a.value(el, "fraction")?);
    if x > 0.0 && x < 1.0 {
        return Ok(x);
    }
    refuse(el, a, "E0212", at, format!("the fraction must lie between 0 and 1, found {x}"))
}

fn part_number(el: &mut Elab<'_>, a: &Args, parts: &Parts) -> R<usize> {
    let (name, (_, at)) = (a.text(el, "of")?, a.value(el, "of")?);
    let name = if name == "source" { "train" } else { &*name };
    match parts.splits.iter().position(|s| s.name == name) {
        Some(i) => Ok(i),
        None => refuse(el, a, "E0212", at, format!("no part `{name}` is defined above")),
    }
}
