//! The update of a training step: gradients, clip by global norm, and the optimizer's rule for every parameter.
//!
//! In: a unit whose loss is in the graph. Out: new values of parameters and optimizer states, assigned to their slots.

use super::cx::{Elab, R, Reported};
use super::models::{ModelTemplate, Role, TemplateKind};
use super::selector::Selector;
use super::tensor::dtype;
use super::train::Unit;
use super::value::{AxisType, Elem, ElemType, Tensor, TensorType, Type, Value};
use crate::diag::{Diagnostic, Edit, shown};
use crate::grad;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind, ValueId};
use crate::graph::ops::ReduceKind;
use crate::graph::ops::elementwise::Ew;
use crate::graph::tensor::round;
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, ExprId, ExprKind, Setting, TrainEntry, TyKind};
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

impl<'t> Unit<'t> {
    /// Gradients, clip, and every parameter's update rule.
    pub(super) fn update(
        &self,
        el: &mut Elab<'_>,
        optimizers: &[&Setting],
        (num, den): (&Tensor, &Tensor),
        order: &[Arc<str>],
        span: Span,
    ) -> R<()> {
        let names: Vec<Arc<str>> = self.models.iter().map(|(n, _)| n.clone()).collect();
        let full = |n: &str| -> String { if names.len() == 1 { format!("{}.{n}", names[0]) } else { n.to_owned() } };
        let paths: Vec<String> = order.iter().map(|n| full(n)).collect();
        let split: Vec<Vec<&str>> = paths.iter().map(|p| p.split('.').collect()).collect();
        let frozen = self.frozen(el, &names, &split)?;
        el.st.frozen = order.iter().zip(&frozen).filter(|(_, f)| **f).map(|(n, _)| n.clone()).collect();
        let owner = self.owners(el, optimizers, &names, &split)?;
        let mut xs = vec![];
        for (i, name) in order.iter().enumerate() {
            if let Some(p) = el.st.params.get(name)
                && !frozen[i]
                && p.tensor.elem.dtype().is_float()
                && owner[i].is_some()
            {
                xs.push((i, name.clone(), p.tensor.clone()));
            }
        }
        if xs.is_empty() {
            return Err(self.nothing_to_train(el, order.is_empty(), frozen.iter().all(|f| *f)));
        }
        let ids: Vec<ValueId> = xs.iter().map(|(_, _, t)| t.id).collect();
        el.b.span = Some(span);
        let stopped = el.b.stop(den.id);
        let y = el.b.ew(Ew::Div, &[num.id, stopped]);
        let grads = grad::grad(&mut el.b, y, &ids);
        if grads.iter().all(Option::is_none) {
            let name = &names[0];
            let message = format!("the loss does not depend on any trainable parameter of `{name}`");
            let mut d = Diagnostic::error("E0204", span, message).here("the loss");
            let ends = grad::path_ends_at(el.b.graph(), y, &ids).and_then(|v| el.b.graph().node(v).span);
            let Some(at) = ends else {
                return Err(el.error(d.help(format!("it is not computed from `{name}`: call it, as in `{name}(x)`"))));
            };
            if el.is_std(at) {
                return Err(el.error(d.help("use `cross_entropy(m(x), y)` and keep accuracy as a metric")));
            }
            let text = el.text(at).to_owned();
            d = d.label(at, format!("the path ends here: `{}` has no derivative by what is trained", shown(&text)));
            let inner = text.strip_prefix("stop(").and_then(|t| t.strip_suffix(')'));
            return Err(el.error(match inner {
                Some(inner) => d.fix("`stop` keeps gradients from passing: leave it out", [Edit::replace(at, inner)]),
                None => d.help("use `cross_entropy(m(x), y)` and keep accuracy as a metric"),
            }));
        }
        let mut live: Vec<(usize, Arc<str>, Tensor, ValueId)> = vec![];
        for ((i, name, t), g) in xs.into_iter().zip(grads) {
            match g {
                Some(g) => {
                    let g = el.b.cast(g, computed_in(&t));
                    live.push((i, name, t, g));
                }
                None => {
                    let at = match el.st.params.get(&name) {
                        Some(p) if el.is_std(p.span) => p.owner.span,
                        Some(p) => p.span,
                        None => span,
                    };
                    let d = Diagnostic::warning("W0502", at, format!("the loss does not depend on `{}`", full(&name)))
                        .note("it keeps its initial value");
                    el.report(d);
                }
            }
        }
        if let Some(max) = self.clip(el)? {
            clip(&mut el.b, &mut live, max);
        }
        let t = el.b.input(Slot { name: "t".into(), kind: SlotKind::Step, ty: TensorTy::scalar(DType::F32) });
        let t = Tensor { id: t, elem: Elem::Plain(DType::F32), dims: vec![] };
        for (i, name, p, g) in live {
            let Some(s) = owner[i] else { continue };
            let place: Arc<str> = el.optimizer_path(s, optimizers.len()).into();
            self.update_one(el, s, &place, &name, &p, g, &t)?;
        }
        self.commit(el);
        Ok(())
    }

    /// Says why no parameter is trained.
    fn nothing_to_train(&self, el: &mut Elab<'_>, none: bool, frozen: bool) -> Reported {
        let name = &self.models[0].0;
        let word = |word: &'static str| self.settings(word).map(|s| (s.span, s.name.text.clone())).next();
        if let (false, true, Some((span, word))) = (none, frozen, word("freeze").or_else(|| word("trainable"))) {
            let d = Diagnostic::error("E0204", span, format!("`{word}` leaves nothing to train"))
                .here(format!("no parameter of `{name}` is left"))
                .help(if &*word == "freeze" {
                    "freeze a part of the model, such as `freeze = m.fc1`, or nothing"
                } else {
                    "name a part of the model that is trained, such as `trainable = m.head`"
                });
            return el.error(d);
        }
        let span = el.ast.span(self.train.binds[0].value);
        let d = Diagnostic::error("E0204", span, format!("`{name}` has no parameters to train"));
        el.error(if none { d.here("neither `param` nor a layer that has some") } else { d })
    }

    #[allow(clippy::too_many_arguments, reason = "one parameter with all that its update takes")]
    fn update_one(
        &self,
        el: &mut Elab<'_>,
        s: &Setting,
        place: &Arc<str>,
        name: &Arc<str>,
        p: &Tensor,
        g: ValueId,
        t: &Tensor,
    ) -> R<()> {
        let span = el.ast.span(s.value);
        let v = self.optimizer(el, s, place)?;
        let template = match &v {
            Value::Model(m) if matches!(m.kind, TemplateKind::Item { role: Role::Optimizer, .. }) => m.clone(),
            v => {
                let d = Diagnostic::error("E0207", span, format!("`optimizer` takes an optimizer, found {}", v.show()))
                    .fix("`Adam(lr: 1e-3)`", [Edit::replace(span, "Adam(lr: 1e-3)")]);
                return Err(el.error(d));
            }
        };
        let float = computed_in(p);
        el.st.stored_float = Some(float);
        let done = self.apply(el, &template, (place, name), p, g, t, span);
        el.st.stored_float = None;
        let new = dtype::cast_id(el, done?.id, float);
        if let Some(slot) = el.b.slot_number(name) {
            el.b.assign(slot, new);
        }
        Ok(())
    }

    /// The new value of a parameter by an optimizer's rule.
    #[allow(clippy::too_many_arguments)]
    fn apply(
        &self,
        el: &mut Elab<'_>,
        template: &Rc<ModelTemplate>,
        (place, name): (&Arc<str>, &Arc<str>),
        p: &Tensor,
        g: ValueId,
        t: &Tensor,
        span: Span,
    ) -> R<Tensor> {
        let elem = Elem::Plain(computed_in(p));
        el.st.binding = Some(place.clone());
        let m = el.instantiate(template, &format!("optimizer.{name}"));
        el.st.binding = None;
        let m = m?;
        // State is shaped as the parameter: `..S` of a state's type is the parameter's shape.
        if let TemplateKind::Item { def, .. } = &m.template.kind
            && let ast::ModelBody::Members(list) = &def.body
        {
            for x in list {
                if let ast::MemberKind::State { ty, .. } = &x.kind
                    && let TyKind::Tensor { shape: Some(shape), .. } = &ty.kind
                    && let [ast::ShapeItem::Row(row, at)] = shape.as_slice()
                {
                    let key = super::names::row_key(row.as_ref().map(|n| &*n.text));
                    let dims = p.dims.iter().cloned().map(Value::Dim).collect();
                    m.env.bind(&key, Value::List(Rc::new(dims)), false, *at);
                }
            }
        }
        let Some(update) = el.member(&m, "update", span)? else {
            return el.err("E0207", span, "the optimizer has no `fn update(p, g, t)`");
        };
        let scope = el.b.scope.replace(format!("optimizer.{name}").into());
        let g = Tensor { id: g, elem: elem.clone(), dims: p.dims.clone() };
        // `t` is exact in both floats.
        let t = dtype::cast(el, t, elem.dtype());
        let args = [Value::Tensor(p.clone()), Value::Tensor(g), Value::Tensor(t)];
        let new = el.call_simple(&update, &args, span, &self.scope);
        el.b.scope = scope;
        let ty = TensorType {
            elem: ElemType::Exact(p.elem.clone()),
            dims: p.dims.iter().cloned().map(AxisType::Dim).collect(),
        };
        let new = el.coerce(new?, &Type::Tensor(ty), span, "the updated parameter")?;
        el.as_tensor(&new, Some(elem.dtype()), span)
    }

    /// An optimizer as it is written, before it belongs to a parameter.
    pub(super) fn optimizer(&self, el: &mut Elab<'_>, s: &Setting, place: &Arc<str>) -> R<Value> {
        el.st.place = matches!(el.ast.expr(s.value).kind, ExprKind::Call { .. }).then(|| place.clone());
        let v = el.eval(s.value, &self.scope);
        el.st.place = None;
        v
    }

    fn clip(&self, el: &mut Elab<'_>) -> R<Option<f64>> {
        let Some(s) = self.settings("clip").next() else { return Ok(None) };
        let (v, span) = (el.eval(s.value, &self.scope)?, el.ast.span(s.value));
        let x = el.as_float(&v, span, "`clip`")?;
        if x > 0.0 && x.is_finite() {
            return Ok(Some(x));
        }
        el.err("E0212", span, format!("`clip` must be a positive number, found {x}"))
    }

    fn settings(&self, name: &'static str) -> impl Iterator<Item = &'t Setting> + use<'t> {
        self.train.entries.iter().filter_map(move |e| match e {
            TrainEntry::Setting(s) if &*s.name.text == name => Some(s),
            _ => None,
        })
    }

    /// Which parameters are not trained.
    fn frozen(&self, el: &mut Elab<'_>, names: &[Arc<str>], paths: &[Vec<&str>]) -> R<Vec<bool>> {
        let mut frozen = vec![false; paths.len()];
        for (word, value) in [("trainable", false), ("freeze", true)] {
            for s in self.settings(word) {
                let list: Vec<ExprId> = match &el.ast.expr(s.value).kind {
                    ExprKind::List(items) => items
                        .iter()
                        .filter_map(|i| if let ast::ListItem::Expr(e) = i { Some(*e) } else { None })
                        .collect(),
                    _ => vec![s.value],
                };
                if word == "trainable" {
                    frozen.fill(true);
                }
                for e in list {
                    let sel = el.selector(e, names)?;
                    let hits: Vec<usize> = (0..paths.len()).filter(|&i| sel.matches(&paths[i])).collect();
                    if hits.is_empty() {
                        return el.matches_nothing(&sel, paths);
                    }
                    for i in hits {
                        frozen[i] = value;
                    }
                }
            }
        }
        Ok(frozen)
    }

    /// The optimizer of each parameter: the most specific selector wins.
    fn owners<'s>(
        &self,
        el: &mut Elab<'_>,
        optimizers: &[&'s Setting],
        names: &[Arc<str>],
        paths: &[Vec<&str>],
    ) -> R<Vec<Option<&'s Setting>>> {
        let mut sels: Vec<Selector> = vec![];
        for s in optimizers {
            let sel = match s.selector {
                Some(e) => el.selector(e, names)?,
                None => Selector { parts: vec!["**".into()], span: s.name.span },
            };
            if !paths.iter().any(|p| sel.matches(p)) {
                return el.matches_nothing(&sel, paths);
            }
            sels.push(sel);
        }
        let mut out = vec![None; paths.len()];
        for (i, p) in paths.iter().enumerate() {
            let hits: Vec<usize> = (0..sels.len()).filter(|&k| sels[k].matches(p)).collect();
            let Some(best) = hits.iter().copied().max_by_key(|&k| sels[k].weight()) else { continue };
            if let Some(&other) = hits.iter().find(|&&k| k != best && sels[k].weight() == sels[best].weight()) {
                let count = |k: usize| {
                    let n = paths.iter().filter(|p| sels[k].matches(p)).count();
                    super::calls::count(n, "parameter")
                };
                let d = Diagnostic::error("E0301", sels[other].span, format!("two optimizers own `{}`", p.join(".")))
                    .here(count(other))
                    .label(sels[best].span, format!("{}, equally specific", count(best)))
                    .help("the more specific selector wins: name more of the path");
                return Err(el.error(d));
            }
            out[i] = Some(optimizers[best]);
        }
        Ok(out)
    }
}

/// The float in which a parameter is updated.
fn computed_in(p: &Tensor) -> DType {
    if p.elem.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Scales all gradients so that their global norm, in the widest of their floats, is at most `max`.
fn clip(b: &mut Builder, live: &mut [(usize, Arc<str>, Tensor, ValueId)], max: f64) {
    let wide = live.iter().any(|(.., g)| b.ty(*g).dtype == DType::F64);
    let float = if wide { DType::F64 } else { DType::F32 };
    let mut total: Option<ValueId> = None;
    for (.., g) in live.iter() {
        let sq = b.ew(Ew::Mul, &[*g, *g]);
        let axes: Vec<u32> = (0..b.shape(*g).len() as u32).collect();
        let s = b.reduce(ReduceKind::Sum, sq, &axes);
        let s = b.cast(s, float);
        total = Some(match total {
            Some(t) if !nn_runtime::mutant!("update.clip_each") => b.ew(Ew::Add, &[t, s]),
            Some(_) => s,
            None => s,
        });
    }
    let Some(total) = total else { return };
    let norm = b.ew(Ew::Sqrt, &[total]);
    let eps = b.scalar(float, round(float, 1e-6));
    let norm = b.ew(Ew::Add, &[norm, eps]);
    let limit = b.scalar(float, round(float, max) * if nn_runtime::mutant!("update.clip") { 2.0 } else { 1.0 });
    let ratio = b.ew(Ew::Div, &[limit, norm]);
    let one = b.scalar(float, 1.0);
    let scale = if nn_runtime::mutant!("update.clip_small") { ratio } else { b.ew(Ew::Min, &[ratio, one]) };
    for (.., g) in live.iter_mut() {
        let (shape, dtype) = (b.shape(*g), b.ty(*g).dtype);
        let s = b.cast(scale, dtype);
        let s = b.broadcast(s, &shape, &[]);
        *g = b.ew(Ew::Mul, &[*g, s]);
    }
}
