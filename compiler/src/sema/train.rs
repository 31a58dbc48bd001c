//! `train` items: settings, and the graphs of a unit.
//!
//! In: a checked program and a `train` item. Out: a [`TrainUnit`], and on demand its graphs: the training step (forward,
//! backward, clip, update), the evaluation step, initial values, and what reads and resets metrics with state. The order
//! of a step is the language's: gradients, clip by global norm, update, commit of state.

use super::cx::{Elab, Env, R, Reported, Scope, ScopeKind};
use super::data::Field;
use super::models::{Instance, Role, TemplateKind};
use super::overrides::Asked;
use super::precision;
use super::report::{self, Parts};
use super::resized::{disagreeing, inexact};
use super::rows;
use super::settings::{add_entry, settings, settings_known};
use super::tensor::classes;
use super::units::{BatchSize, Form, MetricInfo, Options, Program, Report, StoredInfo, StoredRole, TrainUnit};
use super::value::{DataRef, Dim, Elem, Tensor, Value};
use crate::diag::{Diagnostic, Edit, Severity, shown};
use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::ops::Op;
use crate::graph::ops::elementwise::Ew;
use crate::source::Span;
use crate::syntax::ast::{self, ExprId, ExprKind, ItemKind, Setting, TrainEntry};
use crate::syntax::limits::with_stack;
use nn_runtime::dtype::DType;
use nn_runtime::program::IndexCheck;
use nn_runtime::targets::Targets;
use nn_runtime::train::derived::Derived;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// How outputs of the prediction begin: the name of a result follows.
pub const RESULT: &str = "predict.";

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
    /// The fields of drawn data for all rows at once, computed before training.
    Fields,
    /// The learning rates of a step, from its number: `lr`.
    Rates,
    /// The model's outputs in evaluation mode, and what the loss takes them for: `predict`, `classes`, `chance`.
    Predict,
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
            Kind::Fields => "fields",
            Kind::Rates => "rates",
            Kind::Predict => "predict",
        }
    }
}

/// Checks a program: every `train` item with all of its graphs, and every other item by itself.
pub fn check(p: &Program, o: &Options<'_>) -> (Vec<TrainUnit>, Vec<Diagnostic>) {
    with_stack(|| check_all(p, o))
}

fn check_all(p: &Program, o: &Options<'_>) -> (Vec<TrainUnit>, Vec<Diagnostic>) {
    let mut units = vec![];
    let (mut asked, mut reached) = (Asked::default(), BTreeSet::new());
    let mut broken = false;
    let mut diags: Vec<Diagnostic> = vec![];
    let mut add = |more: Vec<Diagnostic>| more.into_iter().for_each(|d| super::cx::add(&mut diags, d));
    add(named_twice(p));
    add(super::twice::check(p));
    for item in train_items(p) {
        let (made, found) = run(p, o, item, Kind::Init, None, &[], (&mut asked, &mut reached));
        let wrong = found.iter().any(|d| d.severity == Severity::Error);
        broken |= wrong;
        add(found);
        let Some((mut unit, _)) = made.filter(|_| !wrong) else { continue };
        let (made, found) = run(p, o, item, Kind::Eval, None, &[], (&mut asked, &mut reached));
        add(found);
        if let Some(first) = made {
            // The last batch of a part can be shorter: what fails there fails here, not during the run.
            let whole = unit.batches();
            let mut sizes: Vec<u64> = whole.train_all.iter().chain(&whole.eval_all).copied().collect();
            sizes.sort_unstable();
            sizes.dedup();
            sizes.retain(|&n| n != whole.train);
            let mut all = vec![(first, whole.train)];
            for &size in &sizes {
                let (made, found) = run(p, o, item, Kind::Eval, Some(size), &[], (&mut asked, &mut reached));
                let note = |d: Diagnostic| {
                    d.note(format!(
                        "in a batch of {}, the last or a larger one for evaluation",
                        super::calls::count(size as usize, "row")
                    ))
                };
                add(found.into_iter().filter(|d| d.severity == Severity::Error).map(note).collect());
                all.extend(made.map(|m| (m, size)));
            }
            unit.plain = disagreeing(&all);
            let main = all.iter().position(|(_, n)| *n == whole.eval).unwrap_or(0);
            if all[main].0.0.evaluates_in_batches() {
                if all.len() == 1 {
                    // A size that the run does not meet need not fit the program.
                    let size = whole.train + 1;
                    let notes = (&mut Asked::default(), &mut BTreeSet::new());
                    all.extend(run(p, o, item, Kind::Eval, Some(size), &[], notes).0.map(|m| (m, size)));
                }
                let other = all.iter().find(|(_, n)| *n != all[main].1);
                add(inexact(&all[main], other, &unit.plain));
            }
            let eval = all.swap_remove(0).0.0;
            unit.metrics = eval.metrics;
            unit.eval_loss = eval.eval_loss;
            for m in unit.metrics.iter_mut().filter(|m| unit.plain.contains(&m.name)) {
                m.derived = None;
            }
            if unit.plain.iter().any(|n| n == "loss") {
                (unit.train_loss, unit.eval_loss) = (None, None);
            }
            unit.predict = eval.predict;
            unit.results = eval.results;
            unit.typed = eval.typed;
            unit.layers = eval.layers;
            unit.states.extend(eval.states.into_iter().filter(|s| s.role == StoredRole::Metric));
            if unit.metrics.iter().any(|m| m.stateful) {
                for kind in [Kind::Result, Kind::Reset] {
                    add(run(p, o, item, kind, None, &[], (&mut asked, &mut reached)).1);
                }
            }
            units.push(unit);
        }
    }
    add(colliding(&units));
    let mut el = Elab::over(p, false);
    el.check_items();
    el.unused_data(o);
    asked.merge(&el.st.asked.borrow());
    if !broken {
        el.unused_overrides(&asked);
    }
    add(std::mem::take(&mut el.diags));
    if diags.iter().all(|d| d.severity < Severity::Error) {
        el.resolve_items();
        diags.append(&mut el.diags);
    }
    if diags.iter().all(|d| d.severity < Severity::Error) {
        diags.extend(super::unused::check(p, &reached));
        diags.extend(super::discarded::check(p));
    }
    for item in p.ast.files.get(p.main()).iter().flat_map(|f| &f.items) {
        if let ItemKind::Export(_) = item.kind {
            let d = Diagnostic::warning("E0901", item.span, "not supported yet: `export`");
            diags.push(d.note("the language has this; this version of nnc compiles the rest of the program"));
        }
    }
    (units, in_order(diags))
}

/// In the order of the text, each once; what has no place, and that something was left out, last. Batches of different
/// sizes can find one mistake in different words.
pub(super) fn in_order(mut diags: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diags.sort_by_key(|d| d.labels.first().map_or((1, None), |l| (0, Some((l.span.file, l.span.start)))));
    let mut out: Vec<Diagnostic> = vec![];
    for d in diags {
        let place = |d: &Diagnostic| d.labels.first().map(|l| l.span);
        let again = |o: &Diagnostic| o.code == d.code && place(o) == place(&d) && place(o).is_some();
        if !out
            .iter()
            .any(|o| again(o) && (o.message == d.message || d.severity == Severity::Error && o.notes != d.notes))
        {
            out.push(d);
        }
    }
    out
}

/// Two `train` items, or two tests, of one name.
fn named_twice(p: &Program) -> Vec<Diagnostic> {
    let mut seen: Vec<(&str, &str, Span)> = vec![];
    let mut out = vec![];
    for item in p.ast.files.get(p.main()).iter().flat_map(|f| &f.items) {
        let (kind, name, span) = match &item.kind {
            ItemKind::Train(t) => match t.binds.first() {
                Some(b) => ("train", &*b.name.text, b.name.span),
                None => continue,
            },
            ItemKind::Test(t) => ("test", &*t.name, item.span),
            _ => continue,
        };
        match seen.iter().find(|(k, n, _)| (*k, *n) == (kind, name)) {
            Some((.., first)) => out.push(
                Diagnostic::error("E0208", span, format!("two `{kind}` items are called `{name}`"))
                    .here("give this one another name")
                    .label(*first, "the first one"),
            ),
            None => seen.push((kind, name, span)),
        }
    }
    out
}

/// Units that would write the same file, each over the other's.
fn colliding(units: &[TrainUnit]) -> Vec<Diagnostic> {
    let saves: Vec<(&TrainUnit, Targets, Span)> =
        units.iter().filter_map(|u| Some((u, Targets::named(u.save.as_ref()?.file()).ok()?, u.save_at?))).collect();
    let mut out = vec![];
    for (i, (unit, targets, at)) in saves.iter().enumerate() {
        let Some((other, theirs, first)) = saves[..i].iter().find(|(_, t, _)| t.collide(targets)) else { continue };
        let same = targets.weights == theirs.weights;
        let file = if same { &targets.weights } else { &targets.checkpoint };
        let what = if same { "weights" } else { "checkpoints" };
        let file = nn_runtime::error::show_path(file);
        let message = format!("`{}` and `{}` both write their {what} to {file}", other.name, unit.name);
        let stem = targets.weights.with_extension("");
        let name = nn_runtime::error::show_path(&stem);
        let d = Diagnostic::error("E0208", *at, message).here("saved here too").label(*first, "saved here first");
        out.push(d.help(format!("`\"{name}_{}.safetensors\"`", i + 1)));
    }
    out
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
        self.step(p, kind, rows).map(|(g, _)| g)
    }

    /// Likewise, and what its outputs check.
    pub fn step(&self, p: &Program, kind: Kind, rows: u64) -> Result<(Graph, Vec<IndexCheck>), Vec<Diagnostic>> {
        let header = |spec: &nn_runtime::data::SourceSpec| {
            let known = self.data.sources.iter().position(|s| s == spec).map(|i| self.data.headers[i].clone());
            known.ok_or_else(|| {
                let why = "the source was not there when the program was checked";
                nn_runtime::error::DataError::new("E0403", spec.name(), why)
            })
        };
        let o = Options { seed: self.seed_option, header: &header };
        let (made, diags) = with_stack(|| {
            run(p, &o, self.item, kind, Some(rows), &self.plain, (&mut Asked::default(), &mut BTreeSet::new()))
        });
        match made {
            Some((unit, g)) if diags.iter().all(|d| d.severity < Severity::Error) => Ok((g, unit.checks)),
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
    plain: &[String],
    (asked, reached): (&mut Asked, &mut BTreeSet<Span>),
) -> (Option<(TrainUnit, Graph)>, Vec<Diagnostic>) {
    let training = matches!(kind, Kind::Train | Kind::Init);
    let Some(ItemKind::Train(train)) = p.ast.files.get(p.main()).and_then(|f| f.items.get(item)).map(|i| &i.kind)
    else {
        return (None, vec![]);
    };
    let mut solved = vec![];
    let (mut el, made) = loop {
        let mut el = Elab::over(p, training);
        (el.float, el.st.train) = (precision::of(&p.ast, train), Some(&**train));
        (el.st.guesses.on, el.st.guesses.solved, el.st.compiled) = (true, solved, true);
        el.st.plain = plain;
        let made = Unit::elaborate(&mut el, train, item, o, kind, rows);
        match el.st.guesses.next() {
            Some(more) => solved = more,
            None => {
                let known = el.unsolved();
                break (el, made.and_then(|m| known.map(|()| m)));
            }
        }
    };
    asked.merge(&el.st.asked.borrow());
    reached.append(&mut el.st.reached);
    let made = made.ok().map(|(unit, order)| {
        let name = format!("{}.{}", unit.name, kind.name());
        let g = std::mem::take(&mut el.b).finish();
        let mut g = arrange(g, &order, kind != Kind::Rates);
        g.name = name;
        (unit, g)
    });
    (made, el.diags)
}

/// Slots in a fixed order. Data slots that nothing reads are left out, and the others unless they are `stored` anyway.
fn arrange(mut g: Graph, params: &[Arc<str>], stored: bool) -> Graph {
    let live = g.live(g.outputs.iter().map(|o| o.value));
    let mut read = vec![false; g.slots.len()];
    for (i, n) in g.nodes.iter().enumerate() {
        if let Op::Input { slot } = n.op {
            read[slot as usize] |= live[i];
        }
    }
    let position: HashMap<&str, usize> = params.iter().enumerate().map(|(i, p)| (&**p, i)).collect();
    let rank = |i: usize| {
        let s = &g.slots[i];
        let kind = match s.kind {
            SlotKind::Param => 0,
            SlotKind::State => 1,
            SlotKind::Data => 2,
            SlotKind::Step => 3,
        };
        let at = position.get(&*s.name).copied().unwrap_or(usize::MAX);
        (kind, if kind == 0 { at } else { i })
    };
    let keep = |i: usize| read[i] || stored && matches!(g.slots[i].kind, SlotKind::Param | SlotKind::State);
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

/// A loss or metric of a batch.
struct Ratio {
    num: Tensor,
    den: Tensor,
    /// The means that it is made of, where it is more than one ratio.
    parts: Option<Parts>,
    /// Is it a quotient of sums over the rows?
    mean: bool,
    /// Does its value over several batches come out as if they were one?
    exact: bool,
}

/// A `train` item under elaboration.
pub(super) struct Unit<'t> {
    pub(super) train: &'t ast::Train,
    pub(super) kind: Kind,
    pub(super) env: Env,
    pub(super) scope: Env,
    pub(super) models: Vec<(Arc<str>, Rc<Instance>)>,
    pub(super) rows: Dim,
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
        let on = el.data_known(train, &env).and_then(|()| el.eval(train.on, &env))?;
        let on_span = el.ast.span(train.on);
        let Value::Data(data) = &on else {
            return el.err("E0207", on_span, format!("`on` takes a data item, found {}", on.show()));
        };
        let plan = el.data_plan(data, o, on_span)?;
        known?;
        el.st.data = Some((data.def.name.text.to_string(), plan.env.clone()));
        let fields: Vec<&Field> = plan.fields.iter().collect();
        super::settings::all_missing(el, train, &fields)?;
        let mut unit = settings(el, train, &plan, &env, o)?;
        unit.item = item;
        let train_rows = unit.data.rows_of("train").max(1);
        let size = rows.unwrap_or(match unit.batch {
            BatchSize::Full => train_rows,
            BatchSize::Rows(n) => n.min(train_rows),
        });
        let name_b: Arc<str> = "B".into();
        let batch_at = train.entries.iter().find_map(|e| match e {
            TrainEntry::Setting(s) if &*s.name.text == "batch" => Some(el.ast.span(s.value)),
            _ => None,
        });
        let dim = el.fresh_dim(size, Some(name_b.clone()), Some(batch_at.unwrap_or(on_span)));
        let scope = Scope::new(Some(plan.env.clone()), ScopeKind::Plain);
        // Names of the program are visible below the data's own; both end at the same prelude.
        let scope = Scope::new(Some(merge(el, &env, &scope)), ScopeKind::Plain);
        scope.bind(&name_b, Value::Dim(dim.clone()), false, on_span);
        let mut u = Unit { train, kind, env, scope, models: vec![], rows: dim };
        unit.data.drawn = plan.drawn;
        el.st.making_fields = kind == Kind::Fields;
        let whole = unit.batch == BatchSize::Full && unit.data.is_one() && kind != Kind::Fields;
        el.bind_fields(&plan, &u.rows.clone(), whole, &u.scope)?;
        if kind == Kind::Fields {
            unit.name = train.binds.first().map(|b| b.name.text.to_string()).unwrap_or_default();
            return Ok((unit, vec![]));
        }
        u.bind_models(el)?;
        unit.name = u.models[0].0.to_string();
        u.body(el, &mut unit)?;
        let mut order = vec![];
        for (_, m) in u.models.clone() {
            el.finish_instance(&m, &mut order);
        }
        el.late_conditions()?;
        let errors = el.diags.iter().any(|d| d.severity == Severity::Error);
        if errors {
            return Err(Reported);
        }
        unit.params = order.iter().filter_map(|n| stored(el, n)).collect();
        u.finish(el, &mut unit, &order)?;
        if matches!(u.kind, Kind::Rates | Kind::Predict) {
            // What is shown does not depend on the rest of the step, nor on its checks.
            classes::keep_live(el);
        }
        unit.checks = classes::emit(el, &u.rows);
        if el.diags.iter().any(|d| d.severity == Severity::Error) {
            return Err(Reported);
        }
        Ok((unit, order))
    }

    fn bind_models(&mut self, el: &mut Elab<'_>) -> R<()> {
        let single = self.train.binds.len() == 1;
        el.st.only_model = self.train.binds.first().filter(|_| single).map(|b| b.name.text.clone());
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
        let mut failed = false;
        let mut loss = None;
        let mut metrics = None;
        let mut optimizers: Vec<&Setting> = vec![];
        for entry in &self.train.entries {
            match entry {
                TrainEntry::Let(s) => {
                    if el.stmt(s, &mut scope, None).is_err() {
                        el.poison(s, &scope);
                        failed = true;
                    }
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
            let d = Diagnostic::error("E0212", at, "`train` needs a loss").here("nothing here says what to minimize");
            let text = self.some_loss();
            return Err(el.error(add_entry(el, self.train, d, &text)));
        };
        let span = el.ast.span(loss.value);
        let v = el.eval(loss.value, &self.scope);
        let ratio = v.and_then(|v| self.ratio(el, &v, span, "loss"));
        if failed || ratio.is_err() {
            // What is wrong with the metrics and optimizers is said in the same run.
            let training = std::mem::replace(&mut el.training, false);
            metrics.and_then(|m| self.metrics(el, m.value, unit).ok());
            el.training = training;
            for s in &optimizers {
                let path = el.optimizer_path(s, optimizers.len());
                el.eval(s.value, &self.scope).map(|v| el.check_hyper(&v, &path)).ok();
            }
        }
        let ratio = ratio?;
        if failed {
            return Err(Reported);
        }
        unit.predict = el.st.predict.first().map(|t| el.b.ty(t.id).clone());
        unit.results = el.st.predict.len();
        let predict = el.st.predict.clone();
        match self.kind {
            Kind::Rates => return self.rates(el, &optimizers),
            Kind::Predict => return self.prediction(el, loss.value, &predict),
            _ => {}
        }
        let derived = self.output(el, unit, "loss", &ratio, span);
        *(if el.training { &mut unit.train_loss } else { &mut unit.eval_loss }) = derived;
        // Metrics are of the evaluation graph; in a training graph their types alone matter, once.
        if self.kind == Kind::Eval || matches!(self.kind, Kind::Result | Kind::Reset) {
            if let Some(m) = metrics {
                self.metrics(el, m.value, unit)?;
            }
            if let Some(t) = predict.first() {
                el.b.output("predict", t.id);
            }
            self.commit(el);
        } else if optimizers.is_empty() {
            let d = Diagnostic::error("E0212", at, "`train` needs an optimizer").here("nothing here updates it");
            return Err(el.error(add_entry(el, self.train, d, "optimizer = Adam(lr: 1e-3)")));
        } else {
            let mut order = vec![];
            for (_, m) in self.models.clone() {
                el.finish_instance(&m, &mut order);
            }
            if el.diags.iter().any(|d| d.severity == Severity::Error) {
                return Err(Reported);
            }
            self.update(el, &optimizers, (&ratio.num, &ratio.den), &order, span)?;
        }
        Ok(())
    }

    /// A loss that fits the first fields of the data, as far as can be told.
    fn some_loss(&self) -> String {
        let fields = self.scope_fields();
        let tensors: Vec<(&Arc<str>, &Tensor)> =
            fields.iter().filter_map(|(n, v)| if let Value::Tensor(t) = v { Some((n, t)) } else { None }).collect();
        let m = self.models.first().map_or("m", |(n, _)| n);
        match tensors[..] {
            [(x, _), (y, t), ..] if matches!(t.elem, Elem::Idx(_)) => format!("loss = cross_entropy({m}({x}), {y})"),
            [(x, _), (y, _), ..] => format!("loss = mse({m}({x}), {y})"),
            _ => format!("loss = mean({m}(..))"),
        }
    }

    /// Do the totals of a mean over batches make the mean of all rows? One batch of all rows needs no totals.
    fn adds_up(&self, el: &Elab<'_>, num: ValueId, den: ValueId) -> bool {
        rows::add_up(el.b.graph(), num, den, self.rows.size)
    }

    /// What is to be known of a loss or metric.
    fn ratio(&self, el: &mut Elab<'_>, v: &Value, span: Span, name: &str) -> R<Ratio> {
        let plain = el.st.plain.iter().any(|p| p == name);
        let what = if name == "loss" { "the loss".to_owned() } else { format!("metric `{name}`") };
        let number = match v {
            Value::Mean { .. } if plain => Some(Value::Tensor(el.as_tensor(v, None, span)?)),
            _ => None,
        };
        let v = number.as_ref().unwrap_or(v);
        let double = |t: &Tensor| t.elem.dtype() == DType::F64;
        let dtype = match v {
            Value::Mean { num, den } if double(num) || double(den) => DType::F64,
            Value::Tensor(t) if double(t) => DType::F64,
            _ => el.float,
        };
        let float = |el: &mut Elab<'_>, id: ValueId| {
            let id = el.b.cast(id, dtype);
            Tensor { id, elem: Elem::Plain(dtype), dims: vec![] }
        };
        match v {
            Value::Mean { num, den } => {
                let exact = self.adds_up(el, num.id, den.id);
                let (num, den) = (float(el, num.id), float(el, den.id));
                Ok(Ratio { num, den, parts: None, mean: true, exact })
            }
            Value::Tensor(t) if t.dims.is_empty() && t.elem.dtype() != DType::Bool => {
                let depends = report::depends_on_batch(el.b.graph(), t.id);
                let parts = if depends && !plain { report::parts(el, t.id) } else { None };
                if let Some(Parts { means, then }) = &parts
                    && let ([(num, den)], []) = (&means[..], &then[..])
                {
                    let exact = self.adds_up(el, *num, *den);
                    let (num, den) = (float(el, *num), float(el, *den));
                    return Ok(Ratio { num, den, parts: None, mean: true, exact });
                }
                // A number of a batch weighs as much as the batch has rows.
                let x = float(el, t.id);
                let n = el.b.scalar(dtype, self.rows.size as f64);
                let id = el.b.ew(Ew::Mul, &[x.id, n]);
                let add = |p: &Parts| p.means.iter().all(|(num, den)| self.adds_up(el, *num, *den));
                let exact = !depends || parts.as_ref().is_some_and(add);
                Ok(Ratio { num: Tensor { id, ..x.clone() }, den: Tensor { id: n, ..x }, parts, mean: false, exact })
            }
            Value::Tensor(t) => {
                let text = format!("mean({})", el.text(span));
                let message = format!("{what} must be one number, found {}", t.show());
                let d = Diagnostic::error("E0203", span, message)
                    .here(format!("this is {}", t.show()))
                    .fix(format!("`{}`", shown(&text)), [Edit::replace(span, &text)]);
                Err(el.error(d))
            }
            v => {
                let d = Diagnostic::error("E0203", span, format!("{what} must be one number, found {}", v.show()));
                let d = match self.measured(el, el.text(span)) {
                    Some(t) => d.fix(format!("call it: `{}`", shown(&t)), [Edit::replace(span, t)]),
                    None => d,
                };
                Err(el.error(d))
            }
        }
    }

    /// The call of a loss or metric that is named alone or as a string: `accuracy`, `"mse"`.
    fn measured(&self, el: &Elab<'_>, text: &str) -> Option<String> {
        let name = text.trim_matches('"');
        let fields = self.scope_fields();
        let mut names = fields.iter().filter(|(_, v)| matches!(v, Value::Tensor(_))).map(|(n, _)| n);
        let x = names.next()?;
        let y = names.next().unwrap_or(x);
        let given = [format!("{}({x})", self.models.first()?.0), y.to_string()];
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        if el.is_known(name, &self.scope) {
            return Some(format!("{name}({})", given.join(", ")));
        }
        super::foreign::call(name, &given)
    }

    /// The record that `metrics` takes, of one metric or a list: names alone, calls or strings.
    fn record(&self, el: &Elab<'_>, e: ExprId) -> Option<String> {
        let all: Vec<ExprId> = match &el.ast.expr(e).kind {
            ExprKind::List(items) => items
                .iter()
                .map(|i| match i {
                    ast::ListItem::Expr(e) => Some(*e),
                    _ => None,
                })
                .collect::<Option<_>>()?,
            ExprKind::Tuple(items) => items.clone(),
            _ => vec![e],
        };
        let mut entries = vec![];
        for e in all {
            let text = el.text(el.ast.span(e));
            let (name, value) = match &el.ast.expr(e).kind {
                ExprKind::Call { callee, .. } => (el.text(el.ast.span(*callee)).split('[').next()?, text.to_owned()),
                ExprKind::Name(_) | ExprKind::Str(_) => (text.trim_matches('"'), self.measured(el, text)?),
                _ => return None,
            };
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            entries.push(format!("{}: {value}", if plain { name.to_ascii_lowercase() } else { "metric".to_owned() }));
        }
        (!entries.is_empty()).then(|| format!("{{ {} }}", entries.join(", ")))
    }

    /// The outputs of a loss or metric; how its value is made of them, if it is more than a ratio.
    fn output(&self, el: &mut Elab<'_>, unit: &mut TrainUnit, name: &str, r: &Ratio, span: Span) -> Option<Derived> {
        el.b.output(&format!("{name}.num"), r.num.id);
        el.b.output(&format!("{name}.den"), r.den.id);
        let derived = |p: &Parts| Derived { name: name.to_owned(), terms: p.means.len(), then: p.then.clone() };
        let form = match &r.parts {
            Some(p) => Form::Parts(derived(p)),
            None if r.mean => Form::Mean,
            None => Form::Number,
        };
        unit.reports.push(Report { name: name.to_owned(), at: span, form, exact: r.exact });
        let parts = r.parts.as_ref()?;
        for (i, (num, den)) in parts.means.iter().enumerate() {
            for (name, v) in Derived::outputs(name, i).iter().zip([num, den]) {
                let v = el.b.cast(*v, r.num.elem.dtype());
                el.b.output(name, v);
            }
        }
        Some(derived(parts))
    }

    fn metrics(&self, el: &mut Elab<'_>, e: ExprId, unit: &mut TrainUnit) -> R<()> {
        let span = el.ast.span(e);
        let ExprKind::Record(fields) = &el.ast.expr(e).kind else {
            let text = self.record(el, e).unwrap_or_else(|| format!("{{ metric: {} }}", el.text(span)));
            let d = Diagnostic::error("E0212", span, "`metrics` takes names and values")
                .here("this has no name")
                .fix(format!("write `{}`", shown(&text)), [Edit::replace(span, &text)]);
            return Err(el.error(d));
        };
        let mut failed = Ok(());
        for (name, e) in fields {
            let span = el.ast.span(*e);
            if &*name.text == "loss" || unit.metrics.iter().any(|m| *m.name == *name.text) {
                return el.err("E0208", name.span, format!("a metric `{}` exists already", name.text));
            }
            let Ok(v) = el.eval(*e, &self.scope) else {
                failed = Err(Reported);
                continue;
            };
            let mut derived = None;
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
                    let ratio = self.ratio(el, v, span, &name.text)?;
                    derived = self.output(el, unit, &name.text, &ratio, span);
                    false
                }
            };
            unit.metrics.push(MetricInfo { name: name.text.to_string(), stateful, derived });
        }
        failed
    }

    /// Assigns the states that have changed.
    pub(super) fn commit(&self, el: &mut Elab<'_>) {
        let changed: Vec<(Arc<str>, ValueId)> = el
            .st
            .states
            .iter()
            .filter(|(_, s)| s.current.id != s.slot.id)
            .map(|(n, s)| (n.clone(), s.current.id))
            .collect();
        for (name, value) in changed {
            if let Some(slot) = el.b.slot_number(&name) {
                el.b.assign(slot, value);
            }
        }
    }

    /// The other graphs start from the instances and states that the first one made.
    fn finish(&self, el: &mut Elab<'_>, unit: &mut TrainUnit, order: &[Arc<str>]) -> R<()> {
        let stored = |(n, s): (&Arc<str>, &super::units::StateEntry)| StoredInfo {
            name: n.clone(),
            ty: el.b.ty(s.slot.id).clone(),
            classes: classes_of(&s.slot),
            role: role(&el.st, n),
            trainable: false,
        };
        unit.states = el.st.states.iter().map(stored).collect();
        // What is saved with the weights comes first.
        unit.states.sort_by_key(|s| s.role != StoredRole::Model);
        self.typed(el, unit);
        match self.kind {
            Kind::Train | Kind::Eval | Kind::Fields | Kind::Rates | Kind::Predict => Ok(()),
            Kind::Init => self.initial(el, order, |_| true),
            Kind::Reset => {
                let metric = |(n, _): (&Arc<str>, _)| (role(&el.st, n) == StoredRole::Metric).then(|| n.clone());
                let metrics: Vec<Arc<str>> = el.st.states.iter().filter_map(metric).collect();
                self.initial(el, &[], |n| metrics.iter().any(|m| **m == *n))
            }
            Kind::Result => self.results(el),
        }
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
        unit.layers = std::mem::take(&mut el.st.layers);
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

/// Whose state a name is: an optimizer keeps its own below `optimizer.` and the name of a parameter, a metric below
/// `metric.` and its own; everything else is the model's, whatever its members are called.
fn role(st: &super::units::State<'_>, name: &str) -> StoredRole {
    let mut path = name;
    let mut owner = |is: &dyn Fn(&str) -> bool| loop {
        match path.rsplit_once('.') {
            Some((front, _)) if is(front) => return true,
            Some((front, _)) => path = front,
            None => return false,
        }
    };
    let below = |path: &str, kind: &str| path.strip_prefix(kind).and_then(|p| p.strip_prefix('.')).map(str::to_owned);
    if name.starts_with("optimizer.") && owner(&|p| below(p, "optimizer").is_some_and(|p| st.params.contains_key(&*p)))
    {
        StoredRole::Optimizer
    } else if name.starts_with("metric.")
        && st
            .metric_instances
            .iter()
            .any(|(m, ..)| below(name, "metric").is_some_and(|n| n.split('.').next() == Some(m)))
    {
        StoredRole::Metric
    } else {
        StoredRole::Model
    }
}

fn stored(el: &Elab<'_>, name: &Arc<str>) -> Option<StoredInfo> {
    let p = el.st.params.get(name)?;
    let ty = el.b.ty(p.tensor.id).clone();
    let (role, trainable) = (StoredRole::Param, !el.st.frozen.contains(name));
    Some(StoredInfo { name: name.clone(), ty, classes: classes_of(&p.tensor), role, trainable })
}

fn classes_of(t: &Tensor) -> Option<u64> {
    if let Elem::Idx(n) = &t.elem { Some(n.size) } else { None }
}

impl Elab<'_> {
    /// `on Wine` where no `data` item is called so.
    fn data_known(&mut self, train: &ast::Train, env: &Env) -> R<()> {
        let ExprKind::Name(name) = &self.ast.expr(train.on).kind else { return Ok(()) };
        if self.is_known(name, env) {
            return Ok(());
        }
        let items = self.ast.files.iter().skip(self.st.prelude.len()).flat_map(|f| &f.items);
        let all: Vec<Arc<str>> = items
            .filter_map(|i| if let ItemKind::Data(d) = &i.kind { Some(d.name.text.clone()) } else { None })
            .collect();
        let span = self.ast.span(train.on);
        let d = Diagnostic::error("E0105", span, format!("unknown data `{name}`"));
        let near = super::cx::nearest(name, all.iter().map(|n| &**n));
        let d = match (&all[..], near) {
            ([], _) => d.help(format!("add an item `data {name} {{ source = csv(\"file.csv\"); .. }}`")),
            (_, Some(near)) => d.rename(span, near),
            ([one], None) => d.rename(span, one),
            _ => d.note(format!("there is: {}", all.join(", "))),
        };
        Err(self.error(d))
    }

    /// Elaborates the `data` items of the program's own file that no `train` item names.
    pub fn unused_data(&mut self, o: &Options<'_>) {
        let ast = self.ast;
        let root = self.st.root;
        let Some(file) = ast.files.get(root) else { return };
        let trains = file.items.iter().filter_map(|i| if let ItemKind::Train(t) = &i.kind { Some(t) } else { None });
        let used: Vec<&str> = trains.map(|t| self.text(ast.span(t.on))).collect();
        for item in &file.items {
            let ItemKind::Data(def) = &item.kind else { continue };
            let named = |on: &&str| on.split(['[', '(']).next() == Some(&*def.name.text);
            let open = def.dims.iter().any(|d| d.default.is_none()) || def.params.iter().any(|p| p.default.is_none());
            if used.iter().any(named) || open {
                continue;
            }
            let data = DataRef { def: def.clone(), module: root, dims: None, hyper: None };
            self.data_plan(&data, o, def.name.span).ok();
        }
    }

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
