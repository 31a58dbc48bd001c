//! `train` items: settings, and the graphs of a unit.
//!
//! In: a checked program and a `train` item. Out: a [`TrainUnit`], and on demand its graphs: the training step (forward,
//! backward, clip, update), the evaluation step, initial values, and what reads and resets metrics with state. The order
//! of a step is the language's: gradients, clip by global norm, update, commit of state.

use super::cx::{Elab, Env, R, Reported, Scope, ScopeKind, nearest};
use super::data::DataPlan;
use super::models::{Instance, Role, TemplateKind};
use super::selector::Selector;
use super::units::{
    BatchSize, MetricInfo, Monitor, Options, Program, Save, StoredInfo, StoredRole, TrainUnit, literal,
};
use super::value::{Dim, Elem, ElemType, Tensor, TensorType, Type, Value};
use crate::diag::{Diagnostic, Severity};
use crate::grad;
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, Slot, SlotKind, ValueId};
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, ExprId, ExprKind, ItemKind, Setting, TrainEntry, TyKind};
use crate::syntax::limits::with_stack;
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

/// Which graph of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Loss, gradients, updates: outputs `loss.num`, `loss.den`, and every parameter and state that changes.
    Train,
    /// Loss, metrics and prediction in evaluation mode; metric states change.
    Eval,
    /// Initial values of every parameter and state.
    Init,
    /// `f1.num`, `f1.den` of metrics with state, from their states.
    Result,
    /// Metric states back to their initial values.
    Reset,
}

impl Kind {
    /// `train`, `eval`, ...
    pub fn name(self) -> &'static str {
        match self {
            Kind::Train => "train",
            Kind::Eval => "eval",
            Kind::Init => "init",
            Kind::Result => "result",
            Kind::Reset => "reset",
        }
    }
}

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
/// Settings that `--set train.x=..` may change.
const SETTABLE: &[&str] = &["batch", "epochs", "steps", "seed", "clip"];

/// Checks a program: every `train` item with all of its graphs, and every other item by itself.
pub fn check(p: &Program, o: &Options<'_>) -> (Vec<TrainUnit>, Vec<Diagnostic>) {
    with_stack(|| check_all(p, o))
}

fn check_all(p: &Program, o: &Options<'_>) -> (Vec<TrainUnit>, Vec<Diagnostic>) {
    let mut units = vec![];
    let mut diags: Vec<Diagnostic> = vec![];
    let mut add = |more: Vec<Diagnostic>| {
        for d in more {
            if !diags.contains(&d) {
                diags.push(d);
            }
        }
    };
    for item in train_items(p) {
        let (made, found) = run(p, o, item, Kind::Init, None);
        let broken = found.iter().any(|d| d.severity == Severity::Error);
        add(found);
        let Some((mut unit, _)) = made.filter(|_| !broken) else { continue };
        let (made, found) = run(p, o, item, Kind::Eval, None);
        add(found);
        if let Some((eval, _)) = made {
            unit.metrics = eval.metrics;
            unit.predict = eval.predict;
            unit.typed = eval.typed;
            unit.states.extend(eval.states.into_iter().filter(|s| s.role == StoredRole::Metric));
            units.push(unit);
        }
    }
    let mut el = Elab::over(p, o, false);
    el.check_items();
    if train_items(p).is_empty() {
        el.unused_overrides(SETTABLE);
    }
    add(el.diags);
    (units, diags)
}

/// Numbers of the `train` items of the program's file.
pub fn train_items(p: &Program) -> Vec<usize> {
    let Some(file) = p.ast.files.get(p.main()) else { return vec![] };
    (0..file.items.len()).filter(|&i| matches!(file.items[i].kind, ItemKind::Train(_))).collect()
}

impl TrainUnit {
    /// One of its graphs, for so many rows (ignored by graphs without data). The diagnostics can only hold errors if the
    /// program does not fit this batch size.
    pub fn graph(&self, p: &Program, kind: Kind, rows: u64) -> Result<Graph, Vec<Diagnostic>> {
        let header = |spec: &nn_runtime::data::SourceSpec| {
            let known = self.data.sources.iter().position(|s| s == spec).map(|i| self.data.headers[i].clone());
            known.ok_or_else(|| {
                let why = "the source was not there when the program was checked";
                nn_runtime::error::DataError::new("E0403", spec.name(), why)
            })
        };
        let o = Options { sets: &self.sets, seed: self.seed_option, header: &header };
        let (made, diags) = with_stack(|| run(p, &o, self.item, kind, Some(rows)));
        match made {
            Some((_, g)) if diags.iter().all(|d| d.severity < Severity::Error) => Ok(g),
            _ => Err(diags),
        }
    }
}

/// Elaborates a unit into one graph.
fn run(
    p: &Program,
    o: &Options<'_>,
    item: usize,
    kind: Kind,
    rows: Option<u64>,
) -> (Option<(TrainUnit, Graph)>, Vec<Diagnostic>) {
    let training = matches!(kind, Kind::Train | Kind::Init);
    let mut el = Elab::over(p, o, training);
    let Some(ItemKind::Train(train)) = p.ast.files.get(p.main()).and_then(|f| f.items.get(item)).map(|i| &i.kind)
    else {
        return (None, el.diags);
    };
    let made = Unit::elaborate(&mut el, train, item, o, kind, rows);
    let made = made.ok().map(|(unit, order)| {
        let name = format!("{}.{}", unit.name, kind.name());
        let g = std::mem::take(&mut el.b).finish();
        let mut g = arrange(g, &order);
        g.name = name;
        (unit, g)
    });
    (made, el.diags)
}

/// Slots in a fixed order, data slots that nothing reads left out.
fn arrange(mut g: Graph, params: &[Arc<str>]) -> Graph {
    let mut live = vec![false; g.nodes.len()];
    for o in &g.outputs {
        live[o.value.idx()] = true;
    }
    for i in (0..g.nodes.len()).rev() {
        if live[i] {
            for x in g.nodes[i].inputs.clone() {
                live[x.idx()] = true;
            }
        }
    }
    let mut read = vec![false; g.slots.len()];
    for (i, n) in g.nodes.iter().enumerate() {
        if let Op::Input { slot } = n.op {
            read[slot as usize] |= live[i];
        }
    }
    let rank = |i: usize| {
        let s = &g.slots[i];
        let kind = match s.kind {
            SlotKind::Param => 0,
            SlotKind::State => 1,
            SlotKind::Data => 2,
            SlotKind::Step => 3,
        };
        let at = params.iter().position(|p| *p == s.name).unwrap_or(usize::MAX);
        (kind, if kind == 0 { at } else { i })
    };
    let keep = |i: usize| read[i] || matches!(g.slots[i].kind, SlotKind::Param | SlotKind::State);
    let mut order: Vec<usize> = (0..g.slots.len()).filter(|&i| keep(i)).collect();
    order.sort_by_key(|&i| rank(i));
    let mut new = vec![u32::MAX; g.slots.len()];
    for (at, &i) in order.iter().enumerate() {
        new[i] = at as u32;
    }
    // Reads of slots that are gone go with them; node numbers shift down.
    let gone: Vec<bool> =
        g.nodes.iter().map(|n| matches!(n.op, Op::Input { slot } if new[slot as usize] == u32::MAX)).collect();
    let mut lost = gone.clone();
    for i in 0..g.nodes.len() {
        if g.nodes[i].inputs.iter().any(|x| lost[x.idx()]) {
            lost[i] = true;
        }
    }
    let mut number = vec![ValueId(u32::MAX); g.nodes.len()];
    let mut nodes = Vec::with_capacity(g.nodes.len());
    for (i, mut n) in std::mem::take(&mut g.nodes).into_iter().enumerate() {
        if lost[i] {
            continue;
        }
        if let Op::Input { slot } = &mut n.op {
            *slot = new[*slot as usize];
        }
        for x in &mut n.inputs {
            *x = number[x.idx()];
        }
        number[i] = ValueId(nodes.len() as u32);
        nodes.push(n);
    }
    g.nodes = nodes;
    g.slots = order.iter().map(|&i| g.slots[i].clone()).collect();
    for o in &mut g.outputs {
        o.value = number[o.value.idx()];
        o.assign = o.assign.map(|s| new[s as usize]);
    }
    g
}

/// A `train` item under elaboration.
struct Unit<'t> {
    train: &'t ast::Train,
    kind: Kind,
    env: Env,
    scope: Env,
    models: Vec<(Arc<str>, Rc<Instance>)>,
    rows: Dim,
}

impl<'t> Unit<'t> {
    fn elaborate(
        el: &mut Elab<'_>,
        train: &'t ast::Train,
        item: usize,
        o: &Options<'_>,
        kind: Kind,
        rows: Option<u64>,
    ) -> R<(TrainUnit, Vec<Arc<str>>)> {
        let env = el.st.modules[el.st.root].env.clone();
        let known = settings_known(el, train);
        let on = el.eval(train.on, &env)?;
        let on_span = el.ast.span(train.on);
        let Value::Data(data) = &on else {
            return el.err("E0207", on_span, format!("`on` takes a data item, found {}", on.show()));
        };
        let plan = el.data_plan(data, o, on_span)?;
        known?;
        el.st.data = Some((data.def.name.text.to_string(), plan.env.clone()));
        let mut unit = settings(el, train, &plan, &env, o)?;
        unit.item = item;
        let train_rows = unit.data.rows.first().copied().unwrap_or(1).max(1);
        let size = rows.unwrap_or(match unit.batch {
            BatchSize::Full => train_rows,
            BatchSize::Rows(n) => n.min(train_rows),
        });
        let name_b: Arc<str> = "B".into();
        let dim = el.fresh_dim(size, Some(name_b.clone()), Some(on_span));
        let scope = Scope::new(Some(plan.env.clone()), ScopeKind::Plain);
        // Names of the program are visible below the data's own; both end at the same prelude.
        let scope = Scope::new(Some(merge(el, &env, &scope)), ScopeKind::Plain);
        scope.bind(&name_b, Value::Dim(dim.clone()), false, on_span);
        let mut u = Unit { train, kind, env, scope, models: vec![], rows: dim };
        el.bind_fields(&plan, &u.rows.clone(), unit.batch == BatchSize::Full, &u.scope)?;
        u.bind_models(el)?;
        unit.name = u.models[0].0.to_string();
        u.body(el, &mut unit)?;
        let mut order = vec![];
        for (_, m) in u.models.clone() {
            el.finish_instance(&m, &mut order);
        }
        let errors = el.diags.iter().any(|d| d.severity == Severity::Error);
        if errors {
            return Err(Reported);
        }
        unit.params = order.iter().filter_map(|n| stored(el, n)).collect();
        u.finish(el, &mut unit, &order)?;
        el.unused_overrides(SETTABLE);
        if el.diags.iter().any(|d| d.severity == Severity::Error) {
            return Err(Reported);
        }
        Ok((unit, order))
    }

    fn bind_models(&mut self, el: &mut Elab<'_>) -> R<()> {
        let single = self.train.binds.len() == 1;
        for b in &self.train.binds {
            let span = el.ast.span(b.value);
            let v = el.eval(b.value, &self.env)?;
            let Value::Model(t) = &v else {
                return el.err("E0207", span, format!("`{}` must be a model, found {}", b.name.text, v.show()));
            };
            if matches!(t.kind, TemplateKind::Item { role: Role::Optimizer | Role::Metric, .. }) {
                return el.err("E0207", span, format!("`{}` must be a model, found {}", b.name.text, v.show()));
            }
            el.st.binding = Some(b.name.text.clone());
            let m = el.instantiate(t, if single { "" } else { &b.name.text });
            el.st.binding = None;
            let m = m?;
            el.st.trained.push(m.uid);
            self.scope.bind(&b.name.text, Value::Instance(m.clone()), false, b.name.span);
            self.models.push((b.name.text.clone(), m));
        }
        Ok(())
    }

    /// `let`s, loss, metrics, and for training the update.
    fn body(&mut self, el: &mut Elab<'_>, unit: &mut TrainUnit) -> R<()> {
        let mut scope = self.scope.clone();
        let mut loss = None;
        let mut metrics = None;
        let mut optimizers: Vec<&Setting> = vec![];
        for entry in &self.train.entries {
            match entry {
                TrainEntry::Let(s) => {
                    el.stmt(s, &mut scope, None)?;
                }
                TrainEntry::Step(b) => return Err(el.limit(b.span, "`step` blocks (write `loss = ...`)")),
                TrainEntry::Setting(s) => match &*s.name.text {
                    "loss" => loss = Some(s),
                    "metrics" => metrics = Some(s),
                    "optimizer" => optimizers.push(s),
                    _ => {}
                },
            }
        }
        self.scope = scope;
        let at = self.train.binds.first().map_or(el.ast.span(self.train.on), |b| b.name.span);
        let Some(loss) = loss else {
            let d = Diagnostic::error("E0212", at, "`train` needs a loss").help("`loss = cross_entropy(m(x), y)`");
            return Err(el.error(d));
        };
        let span = el.ast.span(loss.value);
        let v = el.eval(loss.value, &self.scope)?;
        let (num, den) = self.ratio(el, &v, span, "the loss")?;
        unit.predict = match &el.st.predict {
            Some(Value::Tensor(t)) => Some(el.b.ty(t.id).clone()),
            _ => None,
        };
        let predict = el.st.predict.clone();
        el.b.output("loss.num", num.id);
        el.b.output("loss.den", den.id);
        // Metrics are of the evaluation graph; in a training graph their types alone matter, once.
        if self.kind == Kind::Eval || matches!(self.kind, Kind::Result | Kind::Reset) {
            if let Some(m) = metrics {
                self.metrics(el, m.value, unit)?;
            }
            if let Some(Value::Tensor(t)) = &predict {
                el.b.output("predict", t.id);
            }
            self.commit(el);
        } else if optimizers.is_empty() {
            let d = Diagnostic::error("E0212", at, "`train` needs an optimizer").help("`optimizer = Adam(lr: 1e-3)`");
            return Err(el.error(d));
        } else {
            let mut order = vec![];
            for (_, m) in self.models.clone() {
                el.finish_instance(&m, &mut order);
            }
            if el.diags.iter().any(|d| d.severity == Severity::Error) {
                return Err(Reported);
            }
            self.update(el, unit, &optimizers, (&num, &den), &order, span)?;
        }
        Ok(())
    }

    /// Numerator and denominator of a loss or metric.
    fn ratio(&self, el: &mut Elab<'_>, v: &Value, span: Span, what: &str) -> R<(Tensor, Tensor)> {
        let float = |el: &mut Elab<'_>, t: &Tensor| {
            let id = el.b.cast(t.id, DType::F32);
            Tensor { id, elem: Elem::Plain(DType::F32), dims: vec![] }
        };
        match v {
            Value::Mean { num, den } => Ok((float(el, num), float(el, den))),
            Value::Tensor(t) if t.dims.is_empty() && t.elem.dtype() != DType::Bool => {
                // A number of a batch weighs as much as the batch has rows.
                let x = float(el, t);
                let n = el.b.scalar(DType::F32, self.rows.size as f64);
                let id = el.b.ew(Ew::Mul, &[x.id, n]);
                Ok((Tensor { id, ..x.clone() }, Tensor { id: n, ..x }))
            }
            Value::Tensor(t) => {
                let text = el.text(span).to_owned();
                let message = format!("{what} must be one number, found {}", t.show());
                let d = Diagnostic::error("E0203", span, message).help(format!("`mean({text})`"));
                Err(el.error(d))
            }
            v => el.err("E0203", span, format!("{what} must be one number, found {}", v.show())),
        }
    }

    fn metrics(&self, el: &mut Elab<'_>, e: ExprId, unit: &mut TrainUnit) -> R<()> {
        let span = el.ast.span(e);
        let ExprKind::Record(fields) = &el.ast.expr(e).kind else {
            let d = Diagnostic::error("E0212", span, "`metrics` takes names and values")
                .help("`metrics = { acc: accuracy(m(x), y) }`");
            return Err(el.error(d));
        };
        for (name, e) in fields {
            let span = el.ast.span(*e);
            if &*name.text == "loss" || unit.metrics.iter().any(|m| *m.name == *name.text) {
                return el.err("E0208", name.span, format!("a metric `{}` exists already", name.text));
            }
            let v = el.eval(*e, &self.scope)?;
            let stateful = match &v {
                Value::Model(t) => {
                    let TemplateKind::Item { role: Role::Metric, def } = &t.kind else {
                        return el.err("E0203", span, format!("a metric must be one number, found {}", v.show()));
                    };
                    let mut bare = (**t).clone();
                    let mut args = bare.hyper.take().unwrap_or_default();
                    if !def.params.is_empty() {
                        return Err(el.limit(span, "metrics with hyperparameters"));
                    }
                    let path = format!("metric.{}", name.text);
                    let m = el.instantiate(&Rc::new(bare), &path)?;
                    let Some(update) = el.member(&m, "update", span)? else {
                        return el.err("E0207", span, format!("metric `{}` has no `update`", def.name.text));
                    };
                    let args = super::cx::CallArgs {
                        span,
                        callee: span,
                        dims: None,
                        pos: std::mem::take(&mut args.pos),
                        named: std::mem::take(&mut args.named),
                        expect: None,
                        env: self.scope.clone(),
                    };
                    el.call_value(&update, args)?;
                    el.st.metric_instances.push((name.text.clone(), m, span));
                    true
                }
                v => {
                    let (num, den) = self.ratio(el, v, span, &format!("metric `{}`", name.text))?;
                    el.b.output(&format!("{}.num", name.text), num.id);
                    el.b.output(&format!("{}.den", name.text), den.id);
                    false
                }
            };
            unit.metrics.push(MetricInfo { name: name.text.to_string(), stateful });
        }
        Ok(())
    }

    /// Assigns the states that have changed.
    fn commit(&self, el: &mut Elab<'_>) {
        let changed: Vec<(Arc<str>, ValueId)> = el
            .st
            .states
            .iter()
            .filter(|(_, s)| s.current.id != s.slot.id)
            .map(|(n, s)| (n.clone(), s.current.id))
            .collect();
        for (name, value) in changed {
            if let Some(slot) = slot_number(&el.b, &name) {
                el.b.assign(slot, value);
            }
        }
    }

    /// Gradients, clip, and every parameter's update rule.
    fn update(
        &self,
        el: &mut Elab<'_>,
        unit: &TrainUnit,
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
        let ids: Vec<ValueId> = xs.iter().map(|(_, _, t)| t.id).collect();
        el.b.span = Some(span);
        let stopped = el.b.stop(den.id);
        let y = el.b.ew(Ew::Div, &[num.id, stopped]);
        let grads = grad::grad(&mut el.b, y, &ids);
        if grads.iter().all(Option::is_none) {
            let name = &names[0];
            let message = format!("the loss does not depend on any trainable parameter of `{name}`");
            let mut d = Diagnostic::error("E0204", span, message);
            if let Some(v) = grad::path_ends_at(el.b.graph(), y, &ids)
                && let Some(at) = el.b.graph().node(v).span
                && !el.is_std(at)
            {
                d = d.label(at, "the path ends here: no derivative");
            }
            return Err(el.error(d.help("use `cross_entropy(m(x), y)` and keep accuracy as a metric")));
        }
        let mut live: Vec<(usize, Arc<str>, Tensor, ValueId)> = vec![];
        for ((i, name, t), g) in xs.into_iter().zip(grads) {
            match g {
                Some(g) => {
                    let g = el.b.cast(g, DType::F32);
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
            self.update_one(el, s, &name, &p, g, &t)?;
        }
        let _ = unit;
        self.commit(el);
        Ok(())
    }

    fn update_one(&self, el: &mut Elab<'_>, s: &Setting, name: &Arc<str>, p: &Tensor, g: ValueId, t: &Tensor) -> R<()> {
        let span = el.ast.span(s.value);
        let v = el.eval(s.value, &self.scope)?;
        let template = match &v {
            Value::Model(m) if matches!(m.kind, TemplateKind::Item { role: Role::Optimizer, .. }) => m.clone(),
            v => {
                let d = Diagnostic::error("E0207", span, format!("`optimizer` takes an optimizer, found {}", v.show()))
                    .help("`optimizer = Adam(lr: 1e-3)`");
                return Err(el.error(d));
            }
        };
        el.st.binding = Some("train.optimizer".into());
        let m = el.instantiate(&template, &format!("optimizer.{name}"));
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
        let g = Tensor { id: g, elem: Elem::Plain(DType::F32), dims: p.dims.clone() };
        let args = [Value::Tensor(p.clone()), Value::Tensor(g), Value::Tensor(t.clone())];
        let new = el.call_simple(&update, &args, span, &self.scope);
        el.b.scope = scope;
        let ty = TensorType {
            elem: ElemType::Exact(p.elem.clone()),
            dims: p.dims.iter().cloned().map(super::value::AxisType::Dim).collect(),
        };
        let new = el.coerce(new?, &Type::Tensor(ty), span, "the updated parameter")?;
        let new = el.as_tensor(&new, Some(DType::F32), span)?;
        if let Some(slot) = slot_number(&el.b, name) {
            el.b.assign(slot, new.id);
        }
        Ok(())
    }

    fn clip(&self, el: &mut Elab<'_>) -> R<Option<f64>> {
        let over = el.st.find_override(|p| p == "train.clip");
        let setting = self.settings("clip").next();
        let (v, span) = match (over, setting) {
            (Some(text), s) => {
                let at = s.map_or(el.ast.span(self.train.on), |s| s.span);
                (el.parse_override("train.clip", &text, at)?, at)
            }
            (None, Some(s)) => (el.eval(s.value, &self.scope)?, el.ast.span(s.value)),
            (None, None) => return Ok(None),
        };
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

    /// The other graphs start from the instances and states that the first one made.
    fn finish(&self, el: &mut Elab<'_>, unit: &mut TrainUnit, order: &[Arc<str>]) -> R<()> {
        let role = |name: &str| match name.split('.').next() {
            Some("optimizer") => StoredRole::Optimizer,
            Some("metric") => StoredRole::Metric,
            _ => StoredRole::Model,
        };
        unit.states = el
            .st
            .states
            .iter()
            .map(|(n, s)| StoredInfo {
                name: n.clone(),
                ty: el.b.ty(s.slot.id).clone(),
                role: role(n),
                trainable: false,
            })
            .collect();
        self.typed(el, unit);
        match self.kind {
            Kind::Train | Kind::Eval => Ok(()),
            Kind::Init => self.initial(el, order, |_| true),
            Kind::Reset => self.initial(el, &[], |n| role(n) == StoredRole::Metric),
            Kind::Result => self.results(el),
        }
    }

    /// Replaces the graph by one that assigns initial values.
    fn initial(&self, el: &mut Elab<'_>, params: &[Arc<str>], state: impl Fn(&str) -> bool) -> R<()> {
        begin(el);
        let mut failed = None;
        for name in params {
            let Some(p) = el.st.params.get(name) else { continue };
            let (ty, init, owner, span) = (p.ty.clone(), p.init.clone(), p.owner.clone(), p.span);
            let Some(init) = init else {
                let d = Diagnostic::error("E0212", span, format!("parameter `{name}` has no initial value"))
                    .help("`~ kaiming_uniform()`, or `= 0`");
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
    fn results(&self, el: &mut Elab<'_>) -> R<()> {
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
            let t = el.as_tensor(&v, Some(DType::F32), span)?;
            if !t.dims.is_empty() {
                return el.err(
                    "E0203",
                    span,
                    format!("the result of metric `{name}` must be one number, found {}", t.show()),
                );
            }
            let id = el.b.cast(t.id, DType::F32);
            let one = el.b.scalar(DType::F32, 1.0);
            el.b.output(&format!("{name}.num"), id);
            el.b.output(&format!("{name}.den"), one);
        }
        Ok(())
    }

    fn typed(&self, el: &mut Elab<'_>, unit: &mut TrainUnit) {
        use std::fmt::Write;
        let mut out = String::new();
        let names: Vec<&str> = self.models.iter().map(|(n, _)| &**n).collect();
        writeln!(out, "train {} on {}: B = {}", names.join(", "), unit.data.name, self.rows.size).ok();
        for (name, m) in &self.models {
            el.typed_model(name, m, 1, &mut out);
        }
        let fields: Vec<String> = self
            .scope_fields()
            .into_iter()
            .filter_map(|(n, v)| if let Value::Tensor(t) = v { Some(format!("{n}: {}", t.show())) } else { None })
            .collect();
        for f in fields {
            writeln!(out, "  {f}").ok();
        }
        for l in el.st.typed.iter().filter(|l| l.scope.is_empty()) {
            writeln!(out, "  {}", l.text).ok();
        }
        writeln!(out, "  loss: mean").ok();
        for m in &unit.metrics {
            writeln!(out, "  {}: {}", m.name, if m.stateful { "metric" } else { "mean" }).ok();
        }
        unit.typed = out;
    }

    fn scope_fields(&self) -> Vec<(Arc<str>, Value)> {
        let mut scope = self.scope.clone();
        loop {
            let names = scope.own_names();
            if names.iter().any(|n| &**n == "B") {
                return names.iter().filter_map(|n| scope.own(n).map(|b| (n.clone(), b.value))).collect();
            }
            match &scope.parent {
                Some(p) => scope = p.clone(),
                None => return vec![],
            }
        }
    }
}

/// A scope that sees the data's names first and then those of the program.
fn merge(_el: &Elab<'_>, module: &Env, data: &Env) -> Env {
    let out = Scope::inside(module);
    let mut level = Some(data.clone());
    while let Some(s) = level {
        if matches!(s.kind, ScopeKind::Plain) {
            for n in s.own_names() {
                if out.own(&n).is_none()
                    && let Some(b) = s.own(&n)
                {
                    out.bind(&n, b.value, false, b.span);
                }
            }
        }
        level = s.parent.clone();
    }
    out
}

/// A new graph for the same instances.
fn begin(el: &mut Elab<'_>) {
    el.b = Builder::new("");
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
    let t = el.initial_value(ty, init, &owner.env, name)?;
    let dims = ty.known().unwrap_or_default();
    let slot = TensorTy::new(ty.elem_or_f32().dtype(), dims.iter().map(|d| d.size));
    let n = el.b.slot(Slot { name: name.clone(), kind, ty: slot });
    el.b.assign(n, t.id);
    Ok(())
}

/// FNV-1a of a name, in the upper half of the site numbers: steps use the lower.
fn name_hash(name: &str) -> u32 {
    let h = name.bytes().fold(0x811C_9DC5u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (h >> 1 | 0x8000_0000) & 0xFFFF_FFF0
}

/// Scales all gradients so that their global norm is at most `max`.
fn clip(b: &mut Builder, live: &mut [(usize, Arc<str>, Tensor, ValueId)], max: f64) {
    let mut total: Option<ValueId> = None;
    for (.., g) in live.iter() {
        let sq = b.ew(Ew::Mul, &[*g, *g]);
        let axes: Vec<u32> = (0..b.shape(*g).len() as u32).collect();
        let s = b.reduce(ReduceKind::Sum, sq, &axes);
        total = Some(match total {
            Some(t) => b.ew(Ew::Add, &[t, s]),
            None => s,
        });
    }
    let Some(total) = total else { return };
    let norm = b.ew(Ew::Sqrt, &[total]);
    let eps = b.scalar(DType::F32, f64::from(1e-6f32));
    let norm = b.ew(Ew::Add, &[norm, eps]);
    let limit = b.scalar(DType::F32, f64::from(max as f32));
    let ratio = b.ew(Ew::Div, &[limit, norm]);
    let one = b.scalar(DType::F32, 1.0);
    let scale = b.ew(Ew::Min, &[ratio, one]);
    for (.., g) in live.iter_mut() {
        let shape = b.shape(*g);
        let s = b.broadcast(scale, &shape, &[]);
        *g = b.ew(Ew::Mul, &[*g, s]);
    }
}

fn slot_number(b: &Builder, name: &str) -> Option<u32> {
    b.graph().slots.iter().position(|s| &*s.name == name).map(|i| i as u32)
}

fn stored(el: &Elab<'_>, name: &Arc<str>) -> Option<StoredInfo> {
    let p = el.st.params.get(name)?;
    let ty = el.b.ty(p.tensor.id).clone();
    Some(StoredInfo { name: name.clone(), ty, role: StoredRole::Param, trainable: true })
}

/// Reports settings that do not exist or are not there yet.
fn settings_known(el: &mut Elab<'_>, train: &ast::Train) -> R<()> {
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
fn settings(el: &mut Elab<'_>, train: &ast::Train, plan: &DataPlan, env: &Env, o: &Options<'_>) -> R<TrainUnit> {
    let find = |name: &str| {
        train.entries.iter().find_map(|e| match e {
            TrainEntry::Setting(s) if &*s.name.text == name => Some(s),
            _ => None,
        })
    };
    let at = el.ast.span(train.on);
    let number = |el: &mut Elab<'_>, name: &str, least: i64| -> R<Option<u64>> {
        let over = el.st.find_override(|p| p.strip_prefix("train.") == Some(name));
        let (v, span) = match (over, find(name)) {
            (Some(text), s) => {
                let span = s.map_or(at, |s| s.span);
                match literal(&text) {
                    Some(v) => (v, span),
                    None => return el.err("E0211", span, format!("`--set train.{name}={text}`: not a number")),
                }
            }
            (None, Some(s)) => (el.eval(s.value, env)?, el.ast.span(s.value)),
            (None, None) => return Ok(None),
        };
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
    } && !el.st.sets.iter().any(|(p, _)| p == "train.batch");
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
    let set = |el: &Elab<'_>, name: &str| el.st.sets.iter().any(|(p, _)| p == name);
    let mut epochs = number(el, "epochs", 1)?;
    let mut steps = number(el, "steps", 1)?;
    match (set(el, "train.epochs"), set(el, "train.steps")) {
        (true, false) => steps = None,
        (false, true) => epochs = None,
        _ => {}
    }
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
    let save = match find("save") {
        Some(s) => Some(save(el, s.value, &metrics, env)?),
        None => None,
    };
    let stop = match find("stop") {
        Some(s) => Some(stop(el, s.value, &metrics, env)?),
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
        stop,
        load,
        metrics: vec![],
        params: vec![],
        states: vec![],
        predict: None,
        typed: String::new(),
        sets: o.sets.to_vec(),
        seed_option: o.seed,
    })
}

/// Name and arguments of a call that is a setting's value.
fn setting_call<'a>(el: &Elab<'a>, e: ExprId) -> Option<(&'a str, &'a [ast::Arg])> {
    let ExprKind::Call { callee, args } = &el.ast.expr(e).kind else { return None };
    let ExprKind::Name(n) = &el.ast.expr(*callee).kind else { return None };
    Some((n, args))
}

fn save(el: &mut Elab<'_>, e: ExprId, metrics: &[(String, ExprId)], env: &Env) -> R<Save> {
    let span = el.ast.span(e);
    let parsed = setting_call(el, e).filter(|(n, _)| matches!(*n, "last" | "best"));
    let Some((name, args)) = parsed else {
        let d = Diagnostic::error("E0212", span, "`save` takes `last` or `best`")
            .help("`save = last(\"model.safetensors\")`, or `best(\"model.safetensors\", on: val.loss)`");
        return Err(el.error(d));
    };
    let mut file = None;
    let mut on = None;
    for a in args {
        match a.name.as_ref().map(|n| &*n.text) {
            None if file.is_none() => {
                let v = el.eval(a.value, env)?;
                file = Some(el.as_str(&v, el.ast.span(a.value), "the file")?.to_string());
            }
            Some("on") if name == "best" => on = Some(monitor(el, a.value, metrics)?),
            Some("every") => return Err(el.limit(span, "`save` with `every:`")),
            _ => return el.err("E0208", el.ast.span(a.value), "an argument that `save` does not know"),
        }
    }
    let Some(file) = file else {
        return el.err("E0208", span, "`save` needs the name of a file");
    };
    Ok(match name {
        "last" => Save::Last(file),
        _ => Save::Best(file, on.unwrap_or_else(Monitor::default)),
    })
}

fn stop(el: &mut Elab<'_>, e: ExprId, metrics: &[(String, ExprId)], env: &Env) -> R<(u64, Monitor)> {
    let span = el.ast.span(e);
    let Some((_, args)) = setting_call(el, e).filter(|(n, _)| *n == "patience") else {
        let d = Diagnostic::error("E0212", span, "`stop` takes `patience`").help("`stop = patience(3, on: val.loss)`");
        return Err(el.error(d));
    };
    let mut n = None;
    let mut on = Monitor::default();
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
            Some("on") => on = monitor(el, a.value, metrics)?,
            _ => return el.err("E0208", el.ast.span(a.value), "an argument that `patience` does not know"),
        }
    }
    match n {
        Some(n) => Ok((n, on)),
        None => el.err("E0208", span, "`patience` needs a number of epochs"),
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor { train: false, metric: "loss".into(), maximize: false }
    }
}

/// `val.loss`, `train.loss`, `val.acc`
fn monitor(el: &mut Elab<'_>, e: ExprId, metrics: &[(String, ExprId)]) -> R<Monitor> {
    let span = el.ast.span(e);
    let known = || {
        let names: Vec<String> = metrics.iter().map(|(n, _)| format!("val.{n}")).collect();
        format!("there is: val.loss{}{}", if names.is_empty() { "" } else { ", " }, names.join(", "))
    };
    if let ExprKind::Field { base, name } = &el.ast.expr(e).kind
        && let ExprKind::Name(part) = &el.ast.expr(*base).kind
        && matches!(&**part, "val" | "test" | "train")
    {
        let train = &**part == "train";
        if &*name.text == "loss" {
            return Ok(Monitor { train, ..Monitor::default() });
        }
        if let Some((n, value)) = metrics.iter().find(|(n, _)| **n == *name.text) {
            if train {
                let d = Diagnostic::error("E0212", span, "only the loss is known of the training part")
                    .help(format!("`val.{n}`"));
                return Err(el.error(d));
            }
            let maximize = !is_loss(el, *value);
            return Ok(Monitor { train, metric: n.clone(), maximize });
        }
    }
    let d = Diagnostic::error("E0212", span, "the name of a loss or metric is expected").note(known());
    Err(el.error(d))
}

/// Is a metric a loss function of std, of which less is better?
fn is_loss(el: &Elab<'_>, e: ExprId) -> bool {
    match &el.ast.expr(e).kind {
        ExprKind::Call { callee, .. } => match &el.ast.expr(*callee).kind {
            ExprKind::Name(n) => el
                .st
                .prelude
                .iter()
                .any(|&m| el.st.modules[m].name.ends_with("loss.nn") && el.st.modules[m].items.contains_key(n)),
            _ => false,
        },
        ExprKind::Binary { lhs, rhs, .. } => is_loss(el, *lhs) || is_loss(el, *rhs),
        _ => false,
    }
}

impl Elab<'_> {
    /// Evaluates what can be checked without a `train` item: constants and dims of the program's own files.
    pub fn check_items(&mut self) {
        for m in self.st.prelude.len()..self.st.modules.len() {
            let names: Vec<Arc<str>> = self.st.modules[m]
                .items
                .iter()
                .filter(|(_, i)| matches!(i, super::names::ItemRef::Const(_) | super::names::ItemRef::Dim(..)))
                .map(|(n, _)| n.clone())
                .collect();
            for n in names {
                let span = Span { file: self.ast.files[m].id, start: 0, end: 0 };
                self.item(m, &n, span).ok();
            }
        }
    }
}
