//! The graphs of a unit beside its steps: initial values, results of metrics with state.
//!
//! In: the instances, parameters and states that elaborating the step made. Out: a fresh graph over the same slots.

use super::cx::{Elab, R};
use super::models::Instance;
use super::train::Unit;
use super::value::{Tensor, TensorType};
use crate::diag::Diagnostic;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast;
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

impl Unit<'_> {
    /// Replaces the graph by one that assigns initial values.
    pub(super) fn initial(&self, el: &mut Elab<'_>, params: &[Arc<str>], state: impl Fn(&str) -> bool) -> R<()> {
        begin(el);
        let mut failed = None;
        for name in params {
            let Some(p) = el.st.params.get(name) else { continue };
            let (ty, init, owner, span) = (p.ty.clone(), p.init.clone(), p.owner.clone(), p.span);
            let Some(init) = init else {
                let d = Diagnostic::error("E0212", span, format!("parameter `{name}` has no initial value"))
                    .here("nothing says how it starts")
                    .help("behind its type write `~ kaiming_uniform()`, or `= 0`");
                failed = Some(el.error(d));
                continue;
            };
            if let Err(e) = start(el, name, SlotKind::Param, &ty, &init, &owner, span) {
                failed = Some(e);
            }
        }
        let names: Vec<Arc<str>> = el.st.states.keys().filter(|n| state(n)).cloned().collect();
        for name in names {
            let Some(s) = el.st.states.get(&name) else { continue };
            let (ty, init, owner, span) = (s.ty.clone(), s.init.clone(), s.owner.clone(), s.span);
            if let Err(e) = start(el, &name, SlotKind::State, &ty, &init, &owner, span) {
                failed = Some(e);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Replaces the graph by one that reads the metrics' states and gives their results.
    pub(super) fn results(&self, el: &mut Elab<'_>) -> R<()> {
        begin(el);
        let names: Vec<Arc<str>> = el.st.states.keys().filter(|n| n.starts_with("metric.")).cloned().collect();
        for name in names {
            let Some(s) = el.st.states.get(&name) else { continue };
            let t = s.slot.clone();
            let ty = TensorTy::new(t.elem.dtype(), t.dims.iter().map(|d| d.size));
            let id = el.b.input(Slot { name: name.clone(), kind: SlotKind::State, ty });
            if let Some(s) = el.st.states.get_mut(&name) {
                s.slot = Tensor { id, ..t };
                s.current = s.slot.clone();
            }
        }
        for (name, m, span) in el.st.metric_instances.clone() {
            let Some(f) = el.member(&m, "result", span)? else {
                return el.err("E0207", span, format!("metric `{}` has no `result`", m.template.name()));
            };
            let v = el.call_simple(&f, &[], span, &self.scope)?;
            let t = el.as_tensor(&v, Some(el.float), span)?;
            if !t.dims.is_empty() {
                return el.err(
                    "E0203",
                    span,
                    format!("the result of metric `{name}` must be one number, found {}", t.show()),
                );
            }
            let dtype = if t.elem.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let id = el.b.cast(t.id, dtype);
            let one = el.b.scalar(dtype, 1.0);
            el.b.output(&format!("{name}.num"), id);
            el.b.output(&format!("{name}.den"), one);
        }
        Ok(())
    }
}

/// A new graph for the same instances.
fn begin(el: &mut Elab<'_>) {
    el.b = Builder::new("");
    el.st.checks.clear();
    el.st.means.clear();
    el.st.exact.clear();
    el.st.graphs += 1;
    el.st.generation = el.st.graphs;
}

/// Assigns one initial value.
fn start(
    el: &mut Elab<'_>,
    name: &Arc<str>,
    kind: SlotKind,
    ty: &TensorType,
    init: &ast::Init,
    owner: &Rc<Instance>,
    span: Span,
) -> R<()> {
    // The draws of a parameter depend on its name, not on what else the model has.
    el.set_site(name_hash(name));
    el.b.span = Some(span);
    let (place, in_fn) = (el.b.scope.replace(name.clone()), std::mem::replace(&mut el.in_fn, true));
    let t = el.initial_value(ty, init, &owner.env, name);
    (el.b.scope, el.in_fn) = (place, in_fn);
    let t = t?;
    let dims = ty.known().unwrap_or_default();
    let slot = TensorTy::new(ty.elem_or(el.float).dtype(), dims.iter().map(|d| d.size));
    let n = el.b.slot(Slot { name: name.clone(), kind, ty: slot });
    el.b.assign(n, t.id);
    Ok(())
}

/// FNV-1a of a name, in the upper half of the site numbers: steps use the lower.
fn name_hash(name: &str) -> u32 {
    let h = name.bytes().fold(0x811C_9DC5u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (h >> 1 | 0x8000_0000) & 0xFFFF_FFF0
}
