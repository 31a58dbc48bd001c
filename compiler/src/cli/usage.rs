//! Options that do not exist: what stands in their place.
//!
//! In: the arguments, and the error that the command line parser has for them. Out: the same error with a tip that helps. Most of such
//! options are settings of the program, which other tools take as options, or options of other names.

use crate::sema::settings;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::ffi::OsString;

/// Options by the names that other tools have for them.
const OTHERS: &[(&[&str], &str)] = &[
    (&["learning-rate"], "--lr {}"),
    (&["batch-size", "bs"], "--set train.batch={}"),
    (&["num-epochs", "max-epochs", "n-epochs", "epoch"], "--set train.epochs={}"),
    (&["max-steps", "num-steps", "iterations"], "--set train.steps={}"),
    (&["data-dir", "data-path", "dataset"], "--data {}"),
    (&["output-dir", "outdir", "save-dir", "logdir"], "--out {}"),
    (&["checkpoint", "ckpt", "model"], "--weights {}"),
    (&["workers", "num-workers", "jobs"], "--threads {}"),
    (&["silent"], "--quiet"),
];

/// Names of processors, which `--target` chooses among.
const DEVICES: &[&str] = &["device", "gpu", "cuda", "cpu"];

/// The arguments, with `nnc help COMMAND` as `nnc COMMAND --help`.
pub(super) fn asked(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    if args.get(1).is_some_and(|a| a == "help") {
        args.remove(1);
        args.truncate(2);
        args.push("--help".into());
    }
    args
}

/// The error with a tip of ours, where an option does not exist.
pub(super) fn explain(mut e: Error, args: impl Iterator<Item = String>) -> Error {
    if e.kind() != ErrorKind::UnknownArgument {
        return e;
    }
    let Some(ContextValue::String(option)) = e.get(ContextKind::InvalidArg).cloned() else { return e };
    let Some(tip) = tip(&option, args) else {
        // What the parser proposes, an argument that begins with a dash, is never what was meant.
        e.remove(ContextKind::Suggested);
        return e;
    };
    e.remove(ContextKind::SuggestedArg);
    e.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    e
}

fn tip(option: &str, mut args: impl Iterator<Item = String>) -> Option<String> {
    let name = option.strip_prefix("--")?.split(['=', ' ']).next()?.replace('_', "-");
    // What follows it, if that is a value.
    let same = |a: &String| {
        a.trim_start_matches('-').split('=').next() == option.trim_start_matches('-').split(['=', ' ']).next()
    };
    let value = match args.find(same) {
        Some(a) if a.contains('=') => a.split_once('=').map(|(_, v)| v.to_owned()),
        Some(_) => args.next().filter(|v| !v.starts_with('-') && !v.ends_with(".nn")),
        None => None,
    };
    if DEVICES.contains(&&*name) {
        return Some("programs run on the CPU: `--target cpu`, which need not be said".to_owned());
    }
    let value = value.unwrap_or_else(|| "VALUE".to_owned());
    if let Some((_, ours)) = OTHERS.iter().find(|(names, _)| names.contains(&&*name)) {
        return Some(format!("write `{}`", ours.replace("{}", &value)));
    }
    let setting = name.replace('-', "_");
    settings::names().any(|n| n == setting).then(|| {
        let path = format!("train.{setting}={value}");
        let path = if value.contains([' ', '(', '"', '*']) { format!("'{path}'") } else { path };
        format!("a setting of the program: `--set {path}`")
    })
}
