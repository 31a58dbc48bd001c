//! The float of a program: what numbers, parameters, state and draws are where nothing else decides.
//!
//! In: a program, or one of its `train` items. Out: f32, or f64 by `precision = f64`. This is decided from the syntax alone,
//! before anything is elaborated, and here alone: every graph of an item and every command agree on it.

use super::cx::{Elab, R};
use super::settings::add_entry;
use super::units::Program;
use crate::diag::{Diagnostic, Edit};
use crate::syntax::ast::{self, Ast, ExprId, ExprKind, ItemKind, Setting, TrainEntry};
use nn_runtime::dtype::DType;

const NAME: &str = "precision";

/// The float of a `train` item. What [`check`] refuses counts as f32.
pub(super) fn of(ast: &Ast, train: &ast::Train) -> DType {
    setting(train).and_then(|s| parse(ast, s.value)).unwrap_or(DType::F32)
}

/// The float of what belongs to no `train` item, such as tests: that of all of them, f32 where they differ.
pub(super) fn shared(p: &Program) -> DType {
    let items = p.ast.files.get(p.main()).into_iter().flat_map(|f| &f.items);
    let mut floats = items.filter_map(|i| if let ItemKind::Train(t) = &i.kind { Some(of(&p.ast, t)) } else { None });
    let first = floats.next().unwrap_or(DType::F32);
    if floats.all(|d| d == first) { first } else { DType::F32 }
}

/// Reports what is no float that programs compute in.
pub(super) fn check(el: &mut Elab<'_>, value: ExprId) -> R<()> {
    if parse(el.ast, value).is_some() {
        return Ok(());
    }
    let span = el.ast.span(value);
    let text = el.text(span);
    if matches!(text, "bf16" | "f16") {
        return Err(el.limit(span, &format!("`{NAME} = {text}`")));
    }
    let d = Diagnostic::error("E0212", span, format!("`{NAME}` takes `f32` or `f64`"));
    let ours = meant(text);
    Err(el.error(d.fix(format!("write `{ours}`"), [Edit::replace(span, ours)])))
}

/// The float that other libraries' word for one means.
pub(super) fn meant(text: &str) -> &'static str {
    if text.contains("64") || text.contains("double") { "f64" } else { "f32" }
}

/// Adds the edit that makes the parameters of std's layers f64.
pub(super) fn widened(el: &Elab<'_>, d: Diagnostic) -> Diagnostic {
    match el.st.train {
        None => d.help("for parameters in f64 declare them so in a model of the program"),
        Some(train) => match setting(train) {
            Some(s) => d.fix(format!("`{NAME} = f64`"), [Edit::replace(el.ast.span(s.value), "f64")]),
            None => add_entry(el, train, d, &format!("{NAME} = f64")),
        },
    }
}

fn setting(train: &ast::Train) -> Option<&Setting> {
    train.entries.iter().find_map(|e| match e {
        TrainEntry::Setting(s) if &*s.name.text == NAME => Some(s),
        _ => None,
    })
}

fn parse(ast: &Ast, value: ExprId) -> Option<DType> {
    match &ast.expr(value).kind {
        ExprKind::Name(n) if &**n == "f32" => Some(DType::F32),
        ExprKind::Name(n) if &**n == "f64" => Some(DType::F64),
        _ => None,
    }
}

/// Items that make a program of tests one of f64.
#[cfg(test)]
pub(crate) const ITEMS: &str = "
data Wide {
  train = table(x: [[1, 2]])
  x: [2] = x
}
train wide: Linear[2, 1] on Wide {
  batch = 1;  epochs = 1;  precision = f64
  loss      = mean(wide(x))
  optimizer = Sgd(lr: 0.1)
}
";
