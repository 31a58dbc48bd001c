//! What a run shows beside its loss: learning rates, and predictions with what the loss takes them for.
//!
//! In: a unit whose loss is in the graph. Out: outputs `lr` of the rates graph; `predict.NAME` for every result, `classes`
//! and `chance` of the prediction graph.
//!
//! A loss `f(z, ..)` that takes scores says what they mean by a function beside it: `f_classes(z)` gives the probabilities
//! of the classes along the last axis, `f_chance(z)` a probability for every element. So a loss of one's own can be shown
//! as well as those of std.

use super::cx::{Elab, R};
use super::models::TemplateKind;
use super::tensor::dtype;
use super::train::{RESULT, Unit};
use super::value::{Elem, Tensor, Value};
use crate::graph::graph::{Slot, SlotKind};
use crate::graph::ty::TensorTy;
use crate::syntax::ast::{ExprId, ExprKind, Setting};
use crate::syntax::visit;
use nn_runtime::dtype::DType;
use std::sync::Arc;

/// The ends of the names of functions that say what scores mean; the outputs are called so too.
const MEANINGS: [&str; 2] = ["classes", "chance"];
/// Columns of predictions beside the results.
const TAKEN: [&str; 3] = ["row", "class", "probability"];

impl Unit<'_> {
    /// The learning rate of each optimizer that has one, from the number of the step.
    pub(super) fn rates(&self, el: &mut Elab<'_>, optimizers: &[&Setting]) -> R<()> {
        let slot = Slot { name: "t".into(), kind: SlotKind::Step, ty: TensorTy::scalar(DType::F32) };
        let t = Tensor { id: el.b.input(slot), elem: Elem::Plain(DType::F32), dims: vec![] };
        for s in optimizers {
            let span = el.ast.span(s.value);
            let place: Arc<str> = el.optimizer_path(s, optimizers.len()).into();
            let Value::Model(template) = self.optimizer(el, s, &place)? else { continue };
            if !matches!(template.kind, TemplateKind::Item { .. }) {
                continue;
            }
            el.st.binding = Some(place.clone());
            let m = el.instantiate(&template, "optimizer.rates");
            el.st.binding = None;
            let Some(lr) = m?.env.parent.as_ref().and_then(|names| names.own("lr")) else { continue };
            let rate = match lr.value {
                v @ (Value::Float(_) | Value::Int(_)) => v,
                f => el.call_simple(&f, &[Value::Tensor(t.clone())], span, &self.scope)?,
            };
            let rate = el.as_tensor(&rate, Some(DType::F32), span)?;
            let rate = dtype::cast(el, &rate, DType::F32);
            if rate.dims.is_empty() {
                let of = place.strip_prefix("train.optimizer[").and_then(|p| p.strip_suffix(']'));
                el.b.output(&of.map_or_else(|| "lr".to_owned(), |of| format!("lr {of}")), rate.id);
            }
        }
        Ok(())
    }

    /// The model's outputs, and their meaning where the loss gives them one.
    pub(super) fn prediction(&self, el: &mut Elab<'_>, loss: ExprId, results: &[Tensor]) -> R<()> {
        let Some(first) = results.first() else { return Ok(()) };
        // Results that are not of rows, such as a penalty of the whole batch, are nothing to say of a row.
        let of_rows = |t: &Tensor| t.dims.first().is_some_and(|d| d.size == self.rows.size);
        let of_rows: Vec<&Tensor> = results.iter().filter(|t| of_rows(t) == of_rows(first)).collect();
        for (name, t) in named(el, &of_rows).iter().zip(&of_rows) {
            el.b.output(&format!("{RESULT}{name}"), t.id);
        }
        let mut todo = vec![loss];
        while let Some(e) = todo.pop() {
            visit::children(el.ast.expr(e), &mut |c| todo.push(c));
            let ExprKind::Call { callee, args } = &el.ast.expr(e).kind else { continue };
            let (ExprKind::Name(name), Some(scores)) = (&el.ast.expr(*callee).kind, args.first()) else { continue };
            let span = el.ast.span(e);
            let Some(Value::Fn(of)) = el.lookup(name, span, &self.scope)? else { continue };
            for meaning in MEANINGS {
                let beside = el.lookup(&format!("{name}_{meaning}"), span, &self.scope)?;
                let Some(Value::Fn(f)) = beside.filter(|_| scores.name.is_none()) else { continue };
                if f.def.name.span.file != of.def.name.span.file {
                    continue;
                }
                let Value::Tensor(z) = el.eval(scores.value, &self.scope)? else { continue };
                let of_rows = z.dims.first().is_some_and(|d| d.size == self.rows.size);
                let live = el.b.graph().live([z.id]);
                if !of_rows || !results.iter().any(|t| live[t.id.idx()]) {
                    continue;
                }
                let p = el.call_simple(&Value::Fn(f), &[Value::Tensor(z)], span, &self.scope)?;
                let p = el.as_tensor(&p, Some(DType::F32), span)?;
                // People read a few digits of a probability.
                let p = el.b.cast(p.id, DType::F32);
                el.b.output(meaning, p);
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What the results of a model are called: the only one `output`, several by the names that the program gives them.
fn named(el: &Elab<'_>, results: &[&Tensor]) -> Vec<String> {
    if results.len() == 1 {
        return vec!["output".to_owned()];
    }
    let mut names: Vec<String> = vec![];
    for (i, t) in results.iter().enumerate() {
        let own = el.b.graph().node(t.id).name.as_deref();
        let plain = |n: &&str| n.chars().all(|c| c.is_alphanumeric() || c == '_');
        let free = |n: &&str| !TAKEN.contains(n) && names.iter().all(|o| o != n);
        let name = own.filter(plain).filter(free).map_or_else(|| format!("output{}", i + 1), str::to_owned);
        names.push(name);
    }
    names
}
