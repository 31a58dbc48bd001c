//! Settings of `train` under other libraries' names, and what says the same here.
//!
//! In: a setting that does not exist, with its item. Out: its finding with the edit, by the row of its name. Rows with
//! words say where in the program the thing is decided.

use super::super::cx::Elab;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{DataEntry, ExprKind, ItemKind, Setting, Train, TrainEntry};

/// What stands here for a setting.
enum Instead {
    /// This setting, with the same value.
    Name(&'static str),
    /// This parameter of the optimizer.
    Optimizer(&'static str),
    /// This line, made of the value's text.
    Line(fn(&str) -> String),
    /// A part of the data, split off by the value.
    Split,
    /// Nothing: it is so already, as the words say.
    Nothing(&'static str),
    /// Something elsewhere, as the words say.
    Words(&'static str),
}

/// The float that programs compute in.
fn precise(value: &str) -> String {
    format!("precision = {}", super::super::precision::meant(value))
}

struct Row {
    names: &'static [&'static str],
    instead: Instead,
}

const fn row(names: &'static [&'static str], instead: Instead) -> Row {
    Row { names, instead }
}

const CPU: &str = "programs run on all cores of the CPU";

const ROWS: &[Row] = &[
    row(&["num_epochs", "n_epochs", "max_epochs", "nb_epoch", "nepochs"], Instead::Name("epochs")),
    row(&["max_steps", "num_steps", "n_steps", "iterations", "num_iterations", "max_iter"], Instead::Name("steps")),
    row(&["batch_size", "bs", "train_batch_size", "minibatch", "mini_batch"], Instead::Name("batch")),
    row(&["random_state", "random_seed", "manual_seed"], Instead::Name("seed")),
    row(
        &[
            "clip_grad_norm",
            "grad_clip",
            "gradient_clip_val",
            "clipnorm",
            "max_grad_norm",
            "clip_norm",
            "grad_clip_norm",
        ],
        Instead::Name("clip"),
    ),
    row(&["criterion", "loss_fn", "loss_function", "objective"], Instead::Name("loss")),
    row(&["lr", "learning_rate"], Instead::Optimizer("lr")),
    row(&["weight_decay", "l2"], Instead::Words("it belongs to an optimizer: `optimizer = AdamW(decay: 0.01)`")),
    row(&["momentum"], Instead::Words("it belongs to an optimizer: `optimizer = Sgd(lr: 0.1, momentum: 0.9)`")),
    row(
        &["scheduler", "lr_scheduler", "schedule", "lr_schedule"],
        Instead::Words("a schedule is the optimizer's rate: `optimizer = Adam(lr: cosine(1e-3))`"),
    ),
    row(&["checkpoint", "save_path", "save_to", "model_path", "output"], Instead::Line(saved)),
    row(&["patience", "early_stopping", "early_stop"], Instead::Line(stopped)),
    row(&["callbacks"], Instead::Line(called)),
    row(&["dtype", "default_dtype", "floatx"], Instead::Line(precise)),
    row(&["validation_split", "val_split"], Instead::Split),
    row(
        &["validation_data", "val_data", "eval_data", "test_data"],
        Instead::Nothing("the part `val` of the data, else `test`, is evaluated after every epoch"),
    ),
    row(&["shuffle"], Instead::Nothing("rows come in a new order in every epoch")),
    row(&["device", "gpus", "accelerator", "cuda", "num_gpus"], Instead::Nothing(CPU)),
    row(&["num_workers", "pin_memory", "threads", "n_jobs", "workers"], Instead::Nothing(CPU)),
    row(
        &["verbose", "progress", "log_every", "log_interval"],
        Instead::Nothing("epochs are shown as they end; `-q` hides them"),
    ),
    row(&["drop_last", "drop_remainder"], Instead::Nothing("the last rows of an epoch are a smaller batch")),
];

/// A setting of ours by another library's name for it.
pub fn renamed(name: &str) -> Option<&'static str> {
    ROWS.iter().find_map(|r| match r.instead {
        Instead::Name(ours) if r.names.contains(&name) => Some(ours),
        _ => None,
    })
}

/// `save = last("m.safetensors")` for whatever names a file.
pub fn saved(value: &str) -> String {
    let file = value.split('"').nth(1).filter(|_| value.contains('"')).unwrap_or("m");
    let stem = file.trim_end_matches(".safetensors");
    let stem = match stem.rsplit_once('.') {
        Some((stem, "pt" | "pth" | "ckpt" | "h5" | "keras" | "bin" | "npz" | "pkl" | "onnx")) => stem,
        _ => stem,
    };
    let kind = if value.trim_start().to_ascii_lowercase().starts_with("best") { "best" } else { "last" };
    format!("save = {kind}(\"{}.safetensors\")", if stem.is_empty() { "m" } else { stem })
}

/// `stop = patience(3)`, with the first whole number of a text.
pub fn stopped(value: &str) -> String {
    let mut words = value.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    let n = words.find_map(|w| w.parse::<u32>().ok().filter(|n| *n > 0)).unwrap_or(3);
    format!("stop = patience({n})")
}

fn called(value: &str) -> String {
    if value.contains("heckpoint") && !value.contains("top") { saved(value) } else { stopped(value) }
}

/// The finding of a setting that does not exist, if another library has it.
pub fn tell(el: &Elab<'_>, train: &Train, s: &Setting, d: Diagnostic) -> Result<Diagnostic, Diagnostic> {
    let name = s.name.text.to_ascii_lowercase();
    let Some(row) = ROWS.iter().find(|r| r.names.contains(&&*name)) else { return Err(d) };
    let value = el.text(el.ast.span(s.value));
    let set = |name: &str| settings(train).any(|s| &*s.name.text == name);
    let gone = Edit::replace(whole(el, s), "");
    Ok(match row.instead {
        Instead::Name(n) if set(n) => d.fix(format!("`{n}` is set already: remove this"), [gone]),
        Instead::Name(n) => d.rename(s.name.span, n),
        Instead::Optimizer(p) => {
            let Some(o) = settings(train).find(|s| &*s.name.text == "optimizer" && s.selector.is_none()) else {
                let line = format!("optimizer = Adam({p}: {value})");
                return Ok(d.fix(format!("the optimizer has it: `{line}`"), [Edit::replace(s.span, line)]));
            };
            let at = el.ast.span(o.value);
            let new = match &el.ast.expr(o.value).kind {
                ExprKind::Call { args, .. } => {
                    let old = args.iter().find(|a| a.name.as_ref().is_none_or(|n| &*n.text == p));
                    match old {
                        Some(a) => Edit::replace(el.ast.span(a.value), value),
                        None if args.is_empty() => Edit::before(last(at), format!("{p}: {value}")),
                        None => Edit::before(last(at), format!(", {p}: {value}")),
                    }
                }
                ExprKind::Name(_) => Edit::after(at, format!("({p}: {value})")),
                _ => return Ok(d.help(format!("the optimizer has it: `optimizer = Adam({p}: {value})`"))),
            };
            d.fix(format!("the optimizer has it: `optimizer = ..({p}: {value})`"), [gone, new])
        }
        Instead::Line(f) => {
            let line = f(value);
            match line.split_once(" =") {
                Some((n, _)) if set(n) => d.fix(format!("`{n}` is set already: remove this"), [gone]),
                _ => d.fix(format!("here this is `{}`", shown(&line)), [Edit::replace(s.span, line)]),
            }
        }
        Instead::Split => match part(el, train) {
            Some((after, indent, source)) => {
                let line = format!("val = split({source}, {value}, seed: 1)");
                let edit = Edit::after(after, format!("\n{indent}{line}"));
                d.fix(format!("the data say it: `{line}`"), [gone, edit])
            }
            None => d.fix("the data have parts `val` or `test`: remove this", [gone]),
        },
        Instead::Nothing(words) => d.note(words).fix("remove it", [gone]),
        Instead::Words(words) => d.help(words),
    })
}

fn settings(train: &Train) -> impl Iterator<Item = &Setting> {
    train.entries.iter().filter_map(|e| if let TrainEntry::Setting(s) = e { Some(s) } else { None })
}

/// The last character of a place.
fn last(at: Span) -> Span {
    Span { start: at.end - 1, ..at }
}

/// A setting with the `;` after it, or the blanks before it where it ends its line.
fn whole(el: &Elab<'_>, s: &Setting) -> Span {
    let file = &el.sources.file(s.span.file).text;
    let rest = &file[s.span.end as usize..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest[blanks..].starts_with(';') {
        let more = rest[blanks + 1..].len() - rest[blanks + 1..].trim_start_matches([' ', '\t']).len();
        return Span { end: s.span.end + (blanks + 1 + more) as u32, ..s.span };
    }
    let before = file[..s.span.start as usize].trim_end_matches([' ', '\t']);
    let start = if before.ends_with('\n') && rest[blanks..].starts_with('\n') {
        before.len() - 1
    } else {
        s.span.start as usize
    };
    Span { start: start as u32, ..s.span }
}

/// Where a part of the data can follow, its indentation, and the name of the part that holds all rows.
fn part<'a>(el: &Elab<'a>, train: &Train) -> Option<(Span, &'a str, &'a str)> {
    let name = el.text(el.ast.span(train.on));
    let file = el.ast.files.iter().find(|f| f.id == el.ast.span(train.on).file)?;
    let data = file.items.iter().find_map(|i| match &i.kind {
        ItemKind::Data(d) if *d.name.text == *name => Some(d),
        _ => None,
    })?;
    let parts = || data.entries.iter().filter_map(|e| if let DataEntry::Setting(s) = e { Some(s) } else { None });
    if parts().any(|s| &*s.name.text == "val") {
        return None;
    }
    let s = parts().find(|s| matches!(&*s.name.text, "source" | "train"))?;
    let text: &'a str = &el.sources.file(s.span.file).text;
    let line = text[..s.span.start as usize].rfind('\n').map_or(0, |n| n + 1);
    let before = &text[line..s.span.start as usize];
    let indent = if before.trim().is_empty() { before } else { "  " };
    Some((s.span, indent, el.text(s.name.span)))
}
