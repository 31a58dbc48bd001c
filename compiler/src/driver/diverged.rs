//! Why a run diverged: what is said about a loss or weight that left the finite numbers.
//!
//! In: the error that ended a run, and the run as it was then. Out: a finding at the optimizer that says what to change;
//! for `--check-finite` also the first op whose value is not finite, found by the reference interpreter on the batch and
//! the weights of that step.

use super::{Failure, Project, Rates, Run, graph};
use crate::diag::{Diagnostic, Label, Severity};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::interp::{self, Feeds};
use crate::graph::ops::Op;
use crate::graph::tensor::Tensor;
use crate::sema::train::Kind;
use crate::sema::units::TrainUnit;
use crate::source::Span;
use nn_runtime::data::split::Split;
use nn_runtime::dtype::DType;
use nn_runtime::error::{RuntimeError, codes};

/// The op that went wrong first.
struct Culprit {
    /// Its name and that of its value.
    text: String,
    /// Where it comes from.
    span: Option<Span>,
}

/// The finding of a run that ended with [`RuntimeError::NonFinite`]; nothing for other errors. With `look`, the first op
/// that is not finite is looked for.
pub fn diverged(
    project: &Project,
    unit: &TrainUnit,
    run: &mut Run,
    e: &RuntimeError,
    look: bool,
) -> Result<Option<Diagnostic>, Failure> {
    let RuntimeError::NonFinite { what, value, step, epoch, weights } = e else { return Ok(None) };
    let message = format!("{what} is {value} at step {step} (epoch {epoch})");
    let mut d = Diagnostic::new(codes::DIVERGED, Severity::Error, unit.optimizer_at, message);
    let rates: Vec<String> =
        Rates::new(project, unit)?.at(*step).iter().map(|(n, x)| format!("{n} = {}", short(*x))).collect();
    d = d.here(if rates.is_empty() {
        "the updates come from here".to_owned()
    } else {
        format!("the learning rate at step {step}: {}", rates.join(", "))
    });
    let (kind, source) = batch_of(run, what)?;
    if let Some(Culprit { text, span }) = bad_data(project, unit, run, source)? {
        d = match span {
            Some(span) => {
                d.labels.insert(0, Label { span, message: text });
                d
            }
            None => d.note(text),
        };
        d = d.help(
            "no learning rate mends this: leave such rows out, or keep the field finite, as in `log(max(x, 1e-6))`",
        );
        d.notes.extend(weights.clone());
        return Ok(Some(d));
    }
    if look {
        d = match first_non_finite(project, unit, run, (kind, source), *step)? {
            Some(Culprit { text, span: Some(span) }) => d.label(span, format!("not finite first: {text}")),
            Some(Culprit { text, span: None }) => d.note(format!("not finite first: {text}")),
            None => d.note("in f64 every value of the step is finite: what is lost is lost to the rounding of f32"),
        };
    }
    d.notes.extend(weights.clone());
    d = d.help(if *step == 1 && what == "loss" {
        "nothing was updated before: look at the data, the initial values and the loss (a log of 0, a division by 0)"
    } else {
        "a smaller learning rate, or `clip = 1.0` to bound the gradients"
    });
    Ok(Some(if look { d } else { d.help("`--check-finite` finds the op that is not finite first") }))
}

/// A number to four digits.
fn short(x: f64) -> String {
    let text = format!("{:?}", format!("{x:.3e}").parse::<f64>().unwrap_or(x));
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The graph and the source of the batch that went wrong, which is then the last one that ran.
fn batch_of(run: &mut Run, what: &str) -> Result<(Kind, usize), Failure> {
    let evaluated = what.strip_suffix(".loss").and_then(|part| match part {
        "val" => run.plan.val.clone(),
        "test" => run.plan.test.clone(),
        _ => Some(run.plan.train.clone()),
    });
    Ok(match evaluated {
        Some(part) => {
            to_bad_batch(run, &part)?;
            (Kind::Eval, part.source)
        }
        None => (Kind::Train, run.plan.train.source),
    })
}

/// A field of the batch that is not finite, and what makes it so: a cell of the data, or an op of the field.
fn bad_data(project: &Project, unit: &TrainUnit, run: &Run, source: usize) -> Result<Option<Culprit>, Failure> {
    let rows = run.stepper.last_rows();
    if unit.data.drawn || rows.is_empty() {
        return Ok(None);
    }
    let g = graph(project, unit, Kind::Fields, rows.len() as u64)?;
    let mut slots = vec![];
    for slot in &g.slots {
        let n = slot.ty.numel() as usize;
        // A column that nothing reads is not there.
        let data = run.stepper.slot_before(&slot.name, source, rows).filter(|v| v.len() == n);
        slots.push(Tensor::new(slot.ty.clone(), data.unwrap_or_else(|| vec![0.0; n])));
    }
    let values = interp::run_all(&g, &Feeds { slots, seed: unit.seed, step: 0 }).map_err(Failure::Bug)?;
    let finite = |v: ValueId| values[v.idx()].as_ref().is_none_or(|t| t.data.iter().all(|x| x.is_finite()));
    let fields = || g.outputs.iter().filter(|o| !finite(o.value));
    let Some(field) = fields().next() else { return Ok(None) };
    let live = g.live([field.value]);
    // Values before it are its inputs: the first that is not finite is the cause.
    let Some(cause) = g.values().find(|v| live[v.idx()] && !finite(*v) && !is_constant(&g, *v)) else {
        return Ok(None);
    };
    let Some(t) = &values[cause.idx()] else { return Ok(None) };
    let bad = t.data.iter().position(|x| !x.is_finite()).unwrap_or(0);
    let row = rows.get(bad / (t.data.len() / rows.len()).max(1)).map_or(0, |r| u64::from(*r) + 1);
    let (value, name) = (t.data.get(bad).copied().unwrap_or(f64::NAN), &field.name);
    let text = match g.op(cause) {
        Op::Input { slot } => format!("column `{}` holds {value} in row {row}", g.slots[*slot as usize].name),
        op => format!("field `{name}` is {value} in row {row} of the data, by `{}`", op.name()),
    };
    Ok(Some(Culprit { text, span: g.node(cause).span }))
}

fn is_constant(g: &Graph, v: ValueId) -> bool {
    g.inputs(v).is_empty() && !matches!(g.op(v), Op::Input { .. })
}

/// The first op whose value is not finite, or too large for f32, in the step or evaluation that went wrong.
fn first_non_finite(
    project: &Project,
    unit: &TrainUnit,
    run: &mut Run,
    (kind, source): (Kind, usize),
    step: u64,
) -> Result<Option<Culprit>, Failure> {
    let rows = run.stepper.last_rows().to_vec();
    let g = graph(project, unit, kind, rows.len() as u64)?;
    let mut slots = vec![];
    for slot in &g.slots {
        let n = slot.ty.numel() as usize;
        let data = match run.stepper.slot_before(&slot.name, source, &rows) {
            Some(values) if values.len() == n => values,
            _ => vec![step as f64; n],
        };
        slots.push(Tensor::new(slot.ty.clone(), data));
    }
    let feeds = Feeds { slots, seed: unit.seed, step: if kind == Kind::Train { step } else { 0 } };
    let values = interp::run_all(&g, &feeds).map_err(Failure::Bug)?;
    let bad = g.values().find(|v| {
        let dtype = g.ty(*v).dtype;
        let limit = if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
        // An infinite constant (a mask's -inf) is meant; only what is computed counts.
        let computed = !g.inputs(*v).is_empty();
        let is_bad = |x: &f64| x.is_nan() || x.abs() > limit;
        dtype.is_float() && computed && values[v.idx()].as_ref().is_some_and(|t| t.data.iter().any(is_bad))
    });
    Ok(bad.map(|v| {
        let node = g.node(v);
        let name = node.name.as_ref().map(|n| format!(" (`{n}`)")).unwrap_or_default();
        let at = node.span.map(|s| format!(" at {}", project.sources().locate(s))).unwrap_or_default();
        Culprit { text: format!("`{}`{name}{at}", g.op(v).name()), span: node.span }
    }))
}

/// Runs the evaluation of a part up to the batch whose loss is not finite, which is then the last one.
fn to_bad_batch(run: &mut Run, part: &Split) -> Result<(), Failure> {
    for rows in part.rows.to_vec().chunks(run.plan.eval_batch as usize) {
        let e = run.stepper.run("eval", 0, part.source, rows)?;
        let finite = |name: &str| run.stepper.output(e, name).is_none_or(|v| v.iter().all(|x| x.is_finite()));
        if !(finite("loss.num") && finite("loss.den")) {
            break;
        }
    }
    Ok(())
}
