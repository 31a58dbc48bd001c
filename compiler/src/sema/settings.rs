//! The settings of a `train` item that are known before its graph: lengths, seeds, what is saved and when to stop.
//!
//! In: the item's settings, overrides and the data's row counts. Out: a [`TrainUnit`] without its parameters.

use super::cx::{Elab, Env, R, nearest};
use super::data::DataPlan;
use super::units::{BatchSize, Monitor, Options, Save, TrainUnit};
use super::value::Value;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, ExprId, ExprKind, TrainEntry};
use nn_runtime::targets::Targets;
use std::rc::Rc;
use std::sync::Arc;

/// Settings that this compiler has.
const SETTINGS: &[&str] = &[
    "batch",
    "epochs",
    "steps",
    "seed",
    "clip",
    "loss",
    "metrics",
    "optimizer",
    "save",
    "stop",
    "load",
    "freeze",
    "trainable",
    "precision",
    "accumulate",
];
/// Settings of the language that are not there yet.
const LATER: &[&str] =
    &["validate", "ema", "init", "wrap", "prune", "fake_quant", "class_weight", "sample", "log", "quantize"];

/// Is this the name of a setting of `train`, of this compiler or a later one?
pub(super) fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name) || LATER.contains(&name)
}

/// The settings that a program can have.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().copied()
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
        } else if !SETTINGS.contains(&name) {
            let mut d = Diagnostic::error("E0212", s.name.span, format!("`train` has no setting `{name}`"));
            if let Some(near) = nearest(name, SETTINGS.iter().chain(LATER).copied()) {
                d = d.help(format!("did you mean `{near}`?"));
            }
            failed = Some(el.error(d));
        } else if !matches!(name, "optimizer" | "load" | "freeze" | "trainable") {
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
                let d = Diagnostic::error("E0212", at, "`train` needs a batch size")
                    .help("`batch = 64`, or `batch = full`");
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
            let d = Diagnostic::error("E0212", at, "`train` needs a length").help("`epochs = 10`, or `steps = 1000`");
            return Err(el.error(d));
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
    if let Some(s) = find("precision")
        && !matches!(&el.ast.expr(s.value).kind, ExprKind::Name(n) if &**n == "f32")
    {
        return Err(el.limit(s.span, "`precision` other than f32"));
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
    let (save, save_at) = match find("save") {
        Some(s) => save(el, s.value, &watched, env).map(|(save, at)| (Some(save), Some(at)))?,
        None => (None, None),
    };
    let stop = match find("stop") {
        Some(s) => Some(stop(el, s.value, &watched, env)?),
        None => None,
    };
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
        params: vec![],
        states: vec![],
        predict: None,
        typed: String::new(),
        seed_option: o.seed,
        train_loss: None,
        eval_loss: None,
        checks: vec![],
    })
}

/// Name and arguments of a call that is a setting's value.
fn setting_call<'a>(el: &Elab<'a>, e: ExprId) -> Option<(&'a str, &'a [ast::Arg])> {
    let ExprKind::Call { callee, args } = &el.ast.expr(e).kind else { return None };
    let ExprKind::Name(n) = &el.ast.expr(*callee).kind else { return None };
    Some((n, args))
}

/// What `on:` can name.
struct Watched {
    metrics: Vec<(String, ExprId)>,
    parts: Vec<String>,
}

/// Which weights are saved, and where the name of their file stands.
fn save(el: &mut Elab<'_>, e: ExprId, watched: &Watched, env: &Env) -> R<(Save, Span)> {
    let span = el.ast.span(e);
    let parsed = setting_call(el, e).filter(|(n, _)| matches!(*n, "last" | "best"));
    let Some((name, args)) = parsed else {
        let d = Diagnostic::error("E0212", span, "`save` takes `last` or `best`")
            .help("`save = last(\"model.safetensors\")`, or `best(\"model.safetensors\", on: val.loss)`");
        return Err(el.error(d));
    };
    let mut file = None;
    for a in args {
        match a.name.as_ref().map(|n| &*n.text) {
            None if file.is_none() => {
                let v = el.eval(a.value, env)?;
                let at = el.ast.span(a.value);
                file = Some((el.as_str(&v, at, "the file")?.to_string(), at));
            }
            Some("on" | "mode") if name == "best" => {}
            Some("every") => return Err(el.limit(span, "`save` with `every:`")),
            _ => {
                let d = Diagnostic::error("E0208", el.ast.span(a.value), "an argument that `save` does not know")
                    .help("`last(\"m.safetensors\")`, or `best(\"m.safetensors\", on: val.loss)`");
                return Err(el.error(d));
            }
        }
    }
    let Some((file, at)) = file else {
        let d = Diagnostic::error("E0208", span, "`save` needs the name of a file");
        return Err(el.error(d.help(format!("`{name}(\"model.safetensors\")`"))));
    };
    if let Err(e) = Targets::named(&file) {
        let mut d = Diagnostic::error(e.code, at, e.message).here("weights are to be saved here");
        (d.notes, d.help) = (e.notes, e.help.into_iter().map(Into::into).collect());
        return Err(el.error(d));
    }
    let save = match name {
        "last" => Save::Last(file),
        _ => Save::Best(file, monitor(el, args, watched)?),
    };
    Ok((save, at))
}

fn stop(el: &mut Elab<'_>, e: ExprId, watched: &Watched, env: &Env) -> R<(u64, Monitor)> {
    let span = el.ast.span(e);
    let Some((_, args)) = setting_call(el, e).filter(|(n, _)| *n == "patience") else {
        let d = Diagnostic::error("E0212", span, "`stop` takes `patience`").help("`stop = patience(3, on: val.loss)`");
        return Err(el.error(d));
    };
    let mut n = None;
    for a in args {
        match a.name.as_ref().map(|n| &*n.text) {
            None if n.is_none() => {
                let v = el.eval(a.value, env)?;
                let at = el.ast.span(a.value);
                let k = el.as_int(&v, at, "the number of epochs")?;
                if k < 1 {
                    return el.err("E0212", at, format!("the number of epochs must be at least 1, found {k}"));
                }
                n = Some(k as u64);
            }
            Some("on" | "mode") => {}
            _ => {
                let d = Diagnostic::error("E0208", el.ast.span(a.value), "an argument that `patience` does not know")
                    .help("`patience(5, on: val.loss)`");
                return Err(el.error(d));
            }
        }
    }
    match n {
        Some(n) => Ok((n, monitor(el, args, watched)?)),
        None => el.err("E0208", span, "`patience` needs a number of epochs"),
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor { train: false, metric: "loss".into(), maximize: false }
    }
}

/// `on: val.acc` and `mode: max` among the arguments of `best` or `patience`.
fn monitor(el: &mut Elab<'_>, args: &[ast::Arg], watched: &Watched) -> R<Monitor> {
    let find = |name: &str| args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.text == name)).map(|a| a.value);
    let mode = match find("mode") {
        None => None,
        Some(e) => match &el.ast.expr(e).kind {
            ExprKind::Name(n) if matches!(&**n, "min" | "max") => Some(&**n == "max"),
            _ => {
                let d = Diagnostic::error("E0212", el.ast.span(e), "`mode` takes `min` or `max`").help("`mode: min`");
                return Err(el.error(d));
            }
        },
    };
    let Some(e) = find("on") else {
        return Ok(Monitor { maximize: mode.unwrap_or(false), ..Monitor::default() });
    };
    let (span, metrics) = (el.ast.span(e), &watched.metrics);
    let has = |part: &str| watched.parts.iter().any(|p| p == part);
    // The part that every epoch is evaluated on.
    let evaluated = ["val", "test", "train"].into_iter().find(|p| has(p)).unwrap_or("train");
    if let ExprKind::Field { base, name } = &el.ast.expr(e).kind
        && let ExprKind::Name(part) = &el.ast.expr(*base).kind
        && matches!(&**part, "val" | "test" | "train")
    {
        let metric = metrics.iter().find(|(n, _)| **n == *name.text);
        if !has(part) {
            let parts: Vec<String> = watched.parts.iter().map(|p| format!("`{p}`")).collect();
            let d = Diagnostic::error("E0212", span, format!("the data have no part `{part}`"))
                .note(format!("there is: {}", parts.join(", ")));
            let other = if evaluated == "train" { "loss" } else { &*name.text };
            return Err(el.error(d.help(format!("`on: {evaluated}.{other}`"))));
        }
        let train = &**part == "train";
        if !train && **part != *evaluated {
            let d = Diagnostic::error("E0212", span, format!("epochs are evaluated on `{evaluated}`, not on `{part}`"))
                .note("the test part is evaluated once, when training has ended")
                .help(format!("`on: {evaluated}.{}`", name.text));
            return Err(el.error(d));
        }
        if &*name.text == "loss" {
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
    Err(el.error(d))
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
