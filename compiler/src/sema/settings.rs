//! The settings of a `train` item that are known before its graph: lengths, seeds, what is saved and when to stop.
//!
//! In: the item's settings, overrides and the data's row counts. Out: a [`TrainUnit`] without its parameters.

use super::args::Args;
use super::cx::{Elab, Env, R, nearest};
use super::data::{DataPlan, Field};
use super::signature::{Form, Kind, Setting, Signature, key, need, sig};
use super::units::{BatchSize, Monitor, Options, Save, TrainUnit};
use super::value::{Elem, Value};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, ExprId, ExprKind, StmtKind, TrainEntry};
use nn_runtime::targets::Targets;
use std::rc::Rc;
use std::sync::Arc;

/// Settings of `train`.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "loss",
        takes: "one number",
        default: "needed",
        doc: "What training makes small. A `mean` (such as `cross_entropy` gives) counts exactly in ragged batches; another \
              number of a batch is weighted by its rows.",
        example: "loss = cross_entropy(m(x), y)",
        many: false,
    },
    Setting {
        name: "optimizer",
        takes: "an optimizer",
        default: "needed",
        doc: "The update rule. With a selector (`optimizer m.fc = Sgd(lr: 0.1)`) of those parameters; the most specific one \
              owns a parameter.",
        example: "optimizer = Adam(lr: 1e-3)",
        many: true,
    },
    Setting {
        name: "batch",
        takes: "int or `full`",
        default: "needed",
        doc: "Rows of a step; `full` is all rows in one step. With `full`, the fields of a source of one row without parts have no axis `B`.",
        example: "batch = 32",
        many: false,
    },
    Setting {
        name: "epochs",
        takes: "int",
        default: "needed, or `steps`",
        doc: "How often training passes over all rows.",
        example: "epochs = 10",
        many: false,
    },
    Setting {
        name: "steps",
        takes: "int",
        default: "needed, or `epochs`",
        doc: "How many steps training makes.",
        example: "steps = 1000",
        many: false,
    },
    Setting {
        name: "metrics",
        takes: "{ name: number }",
        default: "none",
        doc: "What evaluation measures: numbers of a batch (a `mean` counts exactly), or metrics with state such as \
              `F1[2](m(x), y)`.",
        example: "metrics = { acc: accuracy(m(x), y) }",
        many: false,
    },
    Setting {
        name: "seed",
        takes: "int",
        default: "0",
        doc: "The seed of initial weights, of the order of rows and of draws; `--seed` goes before it.",
        example: "seed = 1",
        many: false,
    },
    Setting {
        name: "clip",
        takes: "number",
        default: "none",
        doc: "Scales the gradients of a step so that their norm, over all parameters, is at most this.",
        example: "clip = 1.0",
        many: false,
    },
    Setting {
        name: "save",
        takes: "`last(..)` or `best(..)`",
        default: "nothing is saved",
        doc: "Writes the weights in safetensors format, below `--out`.",
        example: "save = last(\"m.safetensors\")",
        many: false,
    },
    Setting {
        name: "stop",
        takes: "`patience(..)`",
        default: "never",
        doc: "Ends training early.",
        example: "stop = patience(3, on: val.loss)",
        many: false,
    },
    Setting {
        name: "load",
        takes: "text",
        default: "nothing is loaded",
        doc: "The file that the model's weights start from, in safetensors format under PyTorch's names.",
        example: "load = \"m.safetensors\"",
        many: true,
    },
    Setting {
        name: "freeze",
        takes: "a selector or a list of them",
        default: "none",
        doc: "Parameters that are not trained.",
        example: "freeze = m.fc",
        many: true,
    },
    Setting {
        name: "trainable",
        takes: "a selector or a list of them",
        default: "all",
        doc: "The only parameters that are trained.",
        example: "trainable = m.fc",
        many: true,
    },
    Setting {
        name: "precision",
        takes: "`f32` or `f64`",
        default: "f32",
        doc: "The float of numbers, parameters, state and draws whose type names none, so of whole models: layers of std, \
              their gradients and the optimizer's state. A dtype that is written stays. `bf16` and `f16` are E0901.",
        example: "precision = f64",
        many: false,
    },
    Setting {
        name: "accumulate",
        takes: "int",
        default: "1",
        doc: "Batches of a step; more than one is E0901.",
        example: "accumulate = 1",
        many: false,
    },
];

/// A call that is the value of a setting.
pub struct Choice {
    /// The setting.
    pub setting: &'static str,
    /// Its name and parameters.
    pub sig: Signature,
    /// What it means.
    pub doc: &'static str,
    /// A call.
    pub example: &'static str,
}

const BEST: &[Form] =
    &[&[need("file", Kind::Text), key("on", Kind::Watched, "the loss"), key("mode", Kind::Direction, "by the metric")]];
const PATIENCE: &[Form] = &[&[
    need("epochs", Kind::Int),
    key("on", Kind::Watched, "the loss"),
    key("mode", Kind::Direction, "by the metric"),
]];

/// Calls that are values of settings.
pub const CHOICES: &[Choice] = &[
    Choice {
        setting: "save",
        sig: sig("last", &[&[need("file", Kind::Text)]]),
        doc: "The weights when training ends.",
        example: "last(\"m.safetensors\")",
    },
    Choice {
        setting: "save",
        sig: sig("best", BEST),
        doc: "The weights of the best epoch by a loss or metric of the part that every epoch is evaluated on (`val`, else \
              `test`, else `train`). Of losses less is better and of metrics of std more; of others `mode` says it.",
        example: "best(\"m.safetensors\", on: val.acc)",
    },
    Choice {
        setting: "stop",
        sig: sig("patience", PATIENCE),
        doc: "After so many epochs in a row that were not better than the best before, judged as by `best`.",
        example: "patience(3, on: val.loss)",
    },
];

/// Settings of the language that are not there yet.
pub const LATER: &[&str] =
    &["validate", "ema", "init", "wrap", "prune", "fake_quant", "class_weight", "sample", "log", "quantize"];

/// Is this the name of a setting of `train`, of this compiler or a later one?
pub(super) fn is_setting(name: &str) -> bool {
    names().any(|n| n == name) || LATER.contains(&name)
}

/// The settings that a program can have.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|s| s.name)
}

/// Reports settings that do not exist or are not there yet.
pub(super) fn settings_known(el: &mut Elab<'_>, train: &ast::Train) -> R<()> {
    let mut failed = None;
    let mut seen: Vec<(&str, Span)> = vec![];
    for e in &train.entries {
        let TrainEntry::Setting(s) = e else { continue };
        let name = &*s.name.text;
        if LATER.contains(&name) {
            failed = Some(el.limit(s.span, &format!("the setting `{name}`")));
        } else if !is_setting(name) {
            if let Some(bound) = bound_above(train, s) {
                let message = format!("`{name}` is bound by `let` and is not assigned again");
                let d = Diagnostic::error("E0212", s.name.span, message)
                    .label(bound, "bound here")
                    .fix("bind it anew: `let`", [Edit::before(s.name.span, "let ")]);
                failed = Some(el.error(d));
                continue;
            }
            let mut d = Diagnostic::error("E0212", s.name.span, format!("`train` has no setting `{name}`"));
            d = match super::foreign::settings::tell(el, train, s, d) {
                Ok(d) => d,
                Err(d) => match nearest(name, names().chain(LATER.iter().copied())) {
                    Some(near) => d.rename(s.name.span, near),
                    None => d.note(format!("it has: {}", names().collect::<Vec<_>>().join(", "))),
                },
            };
            failed = Some(el.error(d));
        } else if SETTINGS.iter().any(|row| row.name == name && !row.many) {
            if let Some((_, first)) = seen.iter().find(|(n, _)| *n == name) {
                let d = Diagnostic::error("E0208", s.name.span, format!("`{name}` is set twice"))
                    .label(*first, "first set here");
                failed = Some(el.error(d));
            }
            seen.push((name, s.name.span));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Reports at once what an item lacks, where that is more than one setting.
pub(super) fn all_missing(el: &mut Elab<'_>, train: &ast::Train, fields: &[&Field]) -> R<()> {
    let has = |name: &str| {
        let names = |e: &TrainEntry| matches!(e, TrainEntry::Setting(s) if &*s.name.text == name);
        train.entries.iter().any(|e| names(e) || matches!(e, TrainEntry::Step(_)))
    };
    let model = train.binds.first().map_or("m", |b| &*b.name.text);
    let loss = match fields {
        [x, y, ..] if matches!(y.value.elem, Elem::Idx(_)) => {
            format!("loss = cross_entropy({model}({}), {})", x.name, y.name)
        }
        [x, y, ..] => format!("loss = mse({model}({}), {})", x.name, y.name),
        [x] => format!("loss = mse({model}({0}), {0})", x.name),
        [] => return Ok(()),
    };
    let wanted = [
        ("batch", "batch = 64".to_owned()),
        ("epochs", "epochs = 10".to_owned()),
        ("loss", loss),
        ("optimizer", "optimizer = Adam(lr: 1e-3)".to_owned()),
    ];
    let missing: Vec<&(&str, String)> =
        wanted.iter().filter(|(n, _)| !(has(n) || *n == "epochs" && has("steps"))).collect();
    if missing.len() < 2 {
        return Ok(());
    }
    let on = el.ast.span(train.on);
    let at = train.binds.first().map_or(on, |b| b.name.span);
    let names: Vec<String> = missing.iter().map(|(n, _)| format!("`{n}`")).collect();
    let lines: Vec<&str> = missing.iter().map(|(_, line)| &**line).collect();
    let (last, front) = names.split_last().map_or(("", &[][..]), |(l, f)| (&**l, f));
    let d = Diagnostic::error("E0212", at, format!("`train` needs {} and {last}", front.join(", ")));
    let text = &el.sources.file(on.file).text[on.end as usize..];
    let d = match text.find('{') {
        Some(open) => {
            let after = Span { start: on.end + open as u32, end: on.end + open as u32 + 1, ..on };
            let (front, end) = if text[open + 1..].starts_with('\n') { ("\n  ", "") } else { (" ", ";") };
            let edit = format!("{front}{}{end}", lines.join(if end.is_empty() { "\n  " } else { "; " }));
            d.fix(format!("such as `{}`", lines.join("; ")), [Edit::after(after, edit)])
        }
        None => d,
    };
    Err(el.error(d))
}

/// Where a `let` above an entry binds the entry's name.
fn bound_above(train: &ast::Train, s: &ast::Setting) -> Option<Span> {
    let above = train.entries.iter().take_while(|e| !matches!(e, TrainEntry::Setting(x) if x.span == s.span));
    let mut names = vec![];
    for e in above {
        if let TrainEntry::Let(st) = e
            && let StmtKind::Let { pat, .. } | StmtKind::Var { pat, .. } = &st.kind
        {
            super::names::idents(pat, &mut names);
        }
    }
    names.iter().find(|n| n.text == s.name.text).map(|n| n.span)
}

/// The static settings.
pub(super) fn settings(
    el: &mut Elab<'_>,
    train: &ast::Train,
    plan: &DataPlan,
    env: &Env,
    o: &Options<'_>,
) -> R<TrainUnit> {
    let find = |name: &str| {
        train.entries.iter().find_map(|e| match e {
            TrainEntry::Setting(s) if &*s.name.text == name => Some(s),
            _ => None,
        })
    };
    let at = el.ast.span(train.on);
    let number = |el: &mut Elab<'_>, name: &str, least: i64| -> R<Option<u64>> {
        let Some(s) = find(name) else { return Ok(None) };
        let (v, span) = (el.eval(s.value, env)?, el.ast.span(s.value));
        let whole = match &v {
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e15 => Some((*x as i64).to_string()),
            Value::Str(s) if &**s == "full" && name == "batch" => Some("full".to_owned()),
            Value::Str(s) => s.parse::<i64>().ok().map(|n| n.to_string()),
            _ => None,
        };
        if let Some(n) = whole {
            let d = Diagnostic::error("E0209", span, format!("`{name}` must be a static int, found {}", v.show()));
            return Err(el.error(d.fix(format!("write `{n}`"), [Edit::replace(span, n)])));
        }
        let n = el.as_int(&v, span, &format!("`{name}`"))?;
        if n < least {
            return el.err("E0212", span, format!("`{name}` must be at least {least}, found {n}"));
        }
        Ok(Some(n as u64))
    };
    let rows = plan.info.rows.iter().zip(&plan.info.splits).find(|(_, s)| s.name == "train").map_or(0, |(n, _)| *n);
    let full = match find("batch") {
        Some(s) => matches!(&el.ast.expr(s.value).kind, ExprKind::Name(n) if &**n == "full"),
        None => false,
    };
    let batch = if full {
        BatchSize::Full
    } else {
        match number(el, "batch", 1)? {
            Some(n) => BatchSize::Rows(n),
            None => {
                let d = Diagnostic::error("E0212", at, "`train` needs a batch size");
                let d = add_entry(el, train, d, "batch = 64").help("or `batch = full`: all rows in one step");
                return Err(el.error(d));
            }
        }
    };
    let epochs = number(el, "epochs", 1)?;
    let steps = number(el, "steps", 1)?;
    if let (Some(_), Some(_), Some(s)) = (epochs, steps, find("steps")) {
        return el.err("E0212", s.span, "`epochs` and `steps` both say how long to train: keep one");
    }
    let per_epoch = match batch {
        BatchSize::Full => 1,
        BatchSize::Rows(n) => rows.div_ceil(n).max(1),
    };
    let steps = match (epochs, steps) {
        (_, Some(n)) => n,
        (Some(e), None) => e.saturating_mul(per_epoch),
        (None, None) => {
            let d = Diagnostic::error("E0212", at, "`train` needs a length");
            return Err(el.error(add_entry(el, train, d, "epochs = 10").help("or `steps = 1000`")));
        }
    };
    let seed = number(el, "seed", 0)?;
    let seed = o.seed.or(seed).unwrap_or(0);
    if let Some(n) = number(el, "accumulate", 1)?
        && n > 1
        && let Some(s) = find("accumulate")
    {
        return Err(el.limit(s.span, "`accumulate`"));
    }
    if let Some(s) = find("precision") {
        super::precision::check(el, s.value)?;
    }
    let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let mut record = vec![(Arc::from("steps"), int(steps)), (Arc::from("seed"), int(seed))];
    if let Some(e) = epochs {
        record.push((Arc::from("epochs"), int(e)));
    }
    record.push((Arc::from("batch"), int(if let BatchSize::Rows(n) = batch { n } else { rows })));
    el.st.train_record = Some(Value::Record(Rc::new(record)));
    let metrics: Vec<(String, ExprId)> = match find("metrics").map(|s| &el.ast.expr(s.value).kind) {
        Some(ExprKind::Record(fields)) => fields.iter().map(|(n, e)| (n.text.to_string(), *e)).collect(),
        _ => vec![],
    };
    let parts = plan.info.splits.iter().map(|s| s.name.clone()).collect();
    let watched = Watched { metrics, parts };
    // What is wrong with one is said beside what is wrong with the other.
    let saved = find("save").map(|s| save(el, s.value, &watched, env)).transpose();
    let stop = find("stop").map(|s| stop(el, s.value, &watched, env)).transpose()?;
    let (save, save_at) = saved?.unzip();
    let mut load = vec![];
    for e in &train.entries {
        let TrainEntry::Setting(s) = e else { continue };
        if &*s.name.text == "load" {
            match &el.ast.expr(s.value).kind {
                ExprKind::Str(f) if train.binds.len() == 1 => load.push(f.to_string()),
                _ => return Err(el.limit(s.span, "`load` of anything but one file into one model")),
            }
        }
    }
    Ok(TrainUnit {
        name: String::new(),
        item: 0,
        data: plan.info.clone(),
        batch,
        epochs,
        steps,
        seed,
        save,
        save_at,
        optimizer_at: find("optimizer").map(|s| el.ast.span(s.value)),
        stop,
        load,
        metrics: vec![],
        reports: vec![],
        plain: vec![],
        params: vec![],
        states: vec![],
        predict: None,
        results: 0,
        typed: String::new(),
        layers: vec![],
        seed_option: o.seed,
        train_loss: None,
        eval_loss: None,
        checks: vec![],
    })
}

/// An edit that adds an entry in front of the others.
pub(super) fn add_entry(el: &Elab<'_>, train: &ast::Train, d: Diagnostic, text: &str) -> Diagnostic {
    let first = match train.entries.first() {
        Some(TrainEntry::Setting(s)) => s.span,
        Some(TrainEntry::Let(s)) => s.span,
        Some(TrainEntry::Step(b)) => b.span,
        None => return d.help(format!("`{text}`")),
    };
    let file = &el.sources.file(first.file).text[..first.start as usize];
    let line = file.rfind('\n').map_or(0, |n| n + 1);
    let indent: String = file[line..].chars().take_while(|c| c.is_whitespace()).collect();
    // In an item of one line a `;` ends an entry.
    let end = if file[line..].trim().is_empty() { format!("\n{indent}") } else { ";  ".to_owned() };
    d.fix(format!("`{text}`"), [Edit::before(first, format!("{text}{end}"))])
}

/// A call that is a setting's value, by its row.
fn choice(el: &mut Elab<'_>, setting: &'static str, e: ExprId, env: &Env) -> R<Args> {
    let (ast, span) = (el.ast, el.ast.span(e));
    let rows = || CHOICES.iter().filter(|c| c.setting == setting);
    if let ExprKind::Call { callee, args } = &ast.expr(e).kind
        && let ExprKind::Name(n) = &ast.expr(*callee).kind
        && let Some(row) = rows().find(|c| c.sig.name == &**n)
    {
        if let Some(every) = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.text == "every")) {
            return Err(el.limit(ast.span(every.value), &format!("`{n}` with `every:`")));
        }
        return Args::read_syntax(el, &row.sig, args, (span, ast.span(*callee)), env);
    }
    let names: Vec<String> = rows().map(|c| format!("`{}`", c.sig.name)).collect();
    let mut d = Diagnostic::error("E0212", span, format!("`{setting}` takes {}", names.join(" or ")));
    // By the settings of other libraries: the file or number that is there stays.
    let line = match setting {
        "save" => super::foreign::settings::saved(el.text(span)),
        _ => super::foreign::settings::stopped(el.text(span)),
    };
    let value = line.split_once("= ").map_or("", |(_, v)| v);
    d = d.fix(format!("write `{line}`"), [Edit::replace(span, value)]);
    for c in rows().filter(|c| !value.starts_with(c.sig.name)) {
        d = d.help(format!(
            "or `{setting} = {}`",
            c.example.split(", on:").next().unwrap_or(c.example).trim_end_matches(')').to_owned() + ")"
        ));
    }
    Err(el.error(d))
}

/// What `on:` can name.
struct Watched {
    metrics: Vec<(String, ExprId)>,
    parts: Vec<String>,
}

/// Which weights are saved, and where the name of their file stands.
fn save(el: &mut Elab<'_>, e: ExprId, watched: &Watched, env: &Env) -> R<(Save, Span)> {
    let a = choice(el, "save", e, env)?;
    let (file, (_, at)) = (a.text(el, "file")?, a.value(el, "file")?);
    if let Err(e) = Targets::named(&file) {
        let mut d = Diagnostic::error(e.code, at, e.message).here("weights are to be saved here");
        (d.notes, d.help) = (e.notes, e.help.into_iter().map(Into::into).collect());
        return Err(el.error(d));
    }
    let save = match a.name() {
        "last" => Save::Last(file),
        _ => Save::Best(file, monitor(el, &a, watched)?),
    };
    Ok((save, at))
}

fn stop(el: &mut Elab<'_>, e: ExprId, watched: &Watched, env: &Env) -> R<(u64, Monitor)> {
    let a = choice(el, "stop", e, env)?;
    let (n, (_, at)) = (a.int(el, "epochs")?, a.value(el, "epochs")?);
    match u64::try_from(n) {
        Ok(n) if n > 0 => Ok((n, monitor(el, &a, watched)?)),
        _ => el.err("E0212", at, format!("the number of epochs must be at least 1, found {n}")),
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor { train: false, metric: "loss".into(), maximize: false }
    }
}

/// `on: val.acc` and `mode: max` of `best` or `patience`.
fn monitor(el: &mut Elab<'_>, a: &Args, watched: &Watched) -> R<Monitor> {
    let word = |v: Option<(Value, Span)>| match v {
        Some((Value::Str(s), span)) => Some((s, span)),
        _ => None,
    };
    let mode = word(a.get("mode")).map(|(m, _)| &*m == "max");
    let Some((on, span)) = word(a.get("on")) else {
        return Ok(Monitor { maximize: mode.unwrap_or(false), ..Monitor::default() });
    };
    let metrics = &watched.metrics;
    let has = |part: &str| watched.parts.iter().any(|p| p == part);
    // The part that every epoch is evaluated on.
    let evaluated = ["val", "test", "train"].into_iter().find(|p| has(p)).unwrap_or("train");
    if let Some((part, name)) = on.split_once('.')
        && matches!(part, "val" | "test" | "train")
    {
        let metric = metrics.iter().find(|(n, _)| n == name);
        if !has(part) {
            let parts: Vec<String> = watched.parts.iter().map(|p| format!("`{p}`")).collect();
            let d = Diagnostic::error("E0212", span, format!("the data have no part `{part}`"))
                .note(format!("there is: {}", parts.join(", ")));
            let other = if evaluated == "train" || metric.is_none() { "loss" } else { name };
            let other = format!("{evaluated}.{other}");
            return Err(el.error(d.fix(format!("write `on: {other}`"), [Edit::replace(span, other)])));
        }
        let train = part == "train";
        if !train && part != evaluated {
            let name = if metric.is_some() { name } else { "loss" };
            let d = Diagnostic::error("E0212", span, format!("epochs are evaluated on `{evaluated}`, not on `{part}`"))
                .note("the test part is evaluated once, when training has ended")
                .fix(format!("write `on: {evaluated}.{name}`"), [Edit::replace(span, format!("{evaluated}.{name}"))]);
            return Err(el.error(d));
        }
        if name == "loss" {
            return Ok(Monitor { train, metric: "loss".into(), maximize: mode.unwrap_or(false) });
        }
        if let Some((n, value)) = metric {
            if train {
                let d = Diagnostic::error("E0212", span, "only the loss is known of the training part");
                let other = if evaluated == "train" { "loss" } else { n };
                return Err(el.error(d.help(format!("`on: {evaluated}.{other}`"))));
            }
            let Some(maximize) = mode.or_else(|| more_is_better(el, *value)) else {
                let text = el.text(span).to_owned();
                let d = Diagnostic::error("E0212", span, format!("is more of `{n}` better, or less?"))
                    .label(el.ast.span(*value), "neither a loss nor a metric of std, of which this is known")
                    .help(format!("`on: {text}, mode: min` or `on: {text}, mode: max`"));
                return Err(el.error(d));
            };
            return Ok(Monitor { train, metric: n.clone(), maximize });
        }
    }
    let mut known = vec![format!("{evaluated}.loss")];
    if evaluated != "train" {
        known.extend(metrics.iter().map(|(n, _)| format!("{evaluated}.{n}")));
    }
    let d = Diagnostic::error("E0212", span, "the name of a loss or metric is expected")
        .note(format!("there is: {}", known.join(", ")));
    // A metric without its part, or the nearest name; of one that is not there what is always there.
    let name = on.rsplit(['.', '_']).next().unwrap_or(&on);
    let names = || known.iter().filter_map(|k| k.split_once('.').map(|(_, n)| n));
    let near = names().find(|n| n.eq_ignore_ascii_case(name)).or_else(|| nearest(name, names()));
    let other = format!("{evaluated}.{}", near.unwrap_or("loss"));
    Err(el.error(d.fix(format!("write `on: {other}`"), [Edit::replace(span, other)])))
}

/// Of a metric that is directly a loss of std less is better; of a metric of std and of a share `mean(a == b)` more.
fn more_is_better(el: &Elab<'_>, e: ExprId) -> Option<bool> {
    let ExprKind::Call { callee, args } = &el.ast.expr(e).kind else { return None };
    let callee = match &el.ast.expr(*callee).kind {
        ExprKind::Index { base, .. } => *base,
        _ => *callee,
    };
    let ExprKind::Name(name) = &el.ast.expr(callee).kind else { return None };
    // The program's own functions hide those of std.
    if el.st.modules[el.st.root].items.contains_key(name) {
        return None;
    }
    let of_std = |file: &str| {
        let mut modules = el.st.prelude.iter().map(|&m| &el.st.modules[m]);
        modules.any(|m| m.name.ends_with(file) && m.items.contains_key(name))
    };
    if of_std("/loss.nn") {
        return Some(false);
    }
    if of_std("/metric.nn") {
        return Some(true);
    }
    match args.first().map(|a| &el.ast.expr(a.value).kind) {
        Some(ExprKind::Binary { op: BinaryOp::Eq, .. }) if &**name == "mean" && args.len() == 1 => Some(true),
        _ => None,
    }
}
