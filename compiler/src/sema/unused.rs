//! Models and functions that nothing uses, checked with sizes made up for them.
//!
//! In: the items of the program's own files that no `train` item has reached. Out: the errors that any use of them would
//! have: `seq { Linear[3, 4], Linear[5, 6] }` fits for no input. Each item is elaborated several times, with sizes of
//! different kinds and rows of different ranks; an error that is the same every time, labels and notes with their sizes
//! included, depends on none of them. Neither does one of two sizes that are always apart by the same or always multiples,
//! `[D]` where `[D + 1]` or `[2 * D]` is asked for, after sizes that can be chosen equal have been. What only some sizes
//! break is left to those who use the item, and so are misfits where an `if` has chosen by what is made up.

use super::cx::{CallArgs, Elab, Env, Scope};
use super::guess::prime_from;
use super::models::{HyperArgs, Instance, ModelTemplate, Role, TemplateKind};
use super::names::row_key;
use super::units::Program;
use super::value::{Dim, FnValue, Type, Value};
use crate::diag::{Diagnostic, Help, Severity};
use crate::graph::graph::{Slot, SlotKind};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, DtypeName, ExprId, ExprKind, ItemKind, MemberKind, ModelBody, ShapeItem, Ty, TyKind};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// How sizes are made up in one elaboration.
struct Try {
    /// The size of the nth dim.
    size: fn(usize) -> u64,
    /// The axes of a row.
    row: &'static [u64],
    /// Every number that is no int: a rate or a chance, so that the ranges of most layers hold.
    real: f64,
}

const TRIES: &[Try] = &[
    Try { size: |n| prime_from(101, n), row: &[7], real: 0.5 },
    Try { size: |n| 48 * (n as u64 + 1), row: &[4, 6], real: 0.25 },
    Try { size: |n| prime_from(53, n), row: &[5, 3, 2, 9], real: 0.125 },
    Try { size: |n| prime_from(11, n), row: &[], real: 0.75 },
    Try { size: |n| prime_from(29, n), row: &[2, 8, 3], real: 0.375 },
];

/// With ones everything stretches, so these show no misfit; but an index that is out of the reach of large sizes alone is.
const ONES: Try = Try { size: |_| 1, row: &[1], real: 0.625 };

/// Errors of this kind can be those of an item by itself.
const CODES: &[&str] = &[
    "E0101", "E0102", "E0103", "E0108", "E0109", "E0110", "E0111", "E0113", "E0114", "E0115", "E0116", "E0117",
    "E0201", "E0202", "E0203", "E0207", "E0208", "E0210",
];

/// Of these, those of dtypes and kinds of values alone: what sizes they show does not matter.
const KINDS: &[&str] = &["E0201", "E0202", "E0203", "E0207", "E0210"];

/// Of these, those of sizes and places, which may fit where an `if` goes the other way.
const SIZES: &[&str] =
    &["E0101", "E0102", "E0103", "E0108", "E0109", "E0110", "E0111", "E0113", "E0114", "E0115", "E0116", "E0117"];

/// Checks every model and function whose name is not among those reached.
pub(super) fn check(p: &Program, reached: &BTreeSet<Span>) -> Vec<Diagnostic> {
    let mut out = vec![];
    let fresh = Elab::over(p, true);
    for (module, file) in p.ast.files.iter().enumerate().skip(p.std_files) {
        for item in &file.items {
            let name = match &item.kind {
                ItemKind::Fn(f) => &f.name,
                ItemKind::Model(m) => &m.name,
                _ => continue,
            };
            if reached.contains(&name.span) {
                continue;
            }
            let mut found: Option<Vec<Diagnostic>> = None;
            for t in TRIES.iter().chain([&ONES]) {
                let mut el = fresh.anew();
                let mut made = MadeUp::new(&mut el, t, &[]);
                made.item(module, &item.kind);
                let (places, free) = (made.places, made.free);
                let chosen = free && el.st.decided;
                // Sizes that make tensors too large show nothing.
                if el.diags.iter().any(|d| d.code == "E0902") {
                    continue;
                }
                // A condition that what is made up here does not fulfill says nothing of what others give.
                let unmet =
                    |d: &Diagnostic| d.code == "E0115" && d.labels.first().is_some_and(|l| places.contains(&l.span));
                // The finding of an axis mismatch need not show the sizes, so it cannot be held against those of others.
                let sized = |d: &Diagnostic| (free && d.code == "E0103") || (chosen && SIZES.contains(&d.code));
                let errors = el.diags.into_iter().filter(|d| CODES.contains(&d.code) && !unmet(d) && !sized(d));
                let mistyped = el.st.mistyped;
                let kind = |d: &Diagnostic| {
                    let at = d.labels.first().map(|l| l.span);
                    KINDS.contains(&d.code) || (d.code == "E0111" && at.is_some_and(|s| mistyped.contains(&s)))
                };
                let errors: Vec<Diagnostic> = match found {
                    None => errors.collect(),
                    Some(before) => {
                        let now: Vec<Diagnostic> = errors.collect();
                        let again = |d: &Diagnostic| now.iter().find(|n| same(d, n) || (kind(n) && alike(d, n)));
                        let made_up = |d: Diagnostic, n: &Diagnostic| match d.message == n.message || made_up(&d) {
                            true => d,
                            false => d.note(MADE_UP),
                        };
                        before.into_iter().filter_map(|d| again(&d).map(|n| made_up(d.clone(), n))).collect()
                    }
                };
                let done = errors.is_empty();
                found = Some(errors);
                if done {
                    break;
                }
            }
            let found = found.unwrap_or_default();
            out.extend(if found.is_empty() { never_fits(&fresh, module, &item.kind) } else { found });
        }
    }
    out
}

/// An error of shapes that no sizes mend: `[D]` where `[D + 1]` is asked for.
fn never_fits(fresh: &Elab<'_>, module: usize, item: &ItemKind) -> Vec<Diagnostic> {
    let mut found: Vec<(Diagnostic, Option<(u64, u64)>)> = vec![];
    for t in TRIES {
        let Some(misfit) = unsolved(fresh, module, item, t) else { return vec![] };
        found.push(misfit);
    }
    let Some((first, met)) = found.first() else { return vec![] };
    let together = found.iter().all(|(d, _)| alike(d, first));
    // Sizes that are apart by something else each time may meet somewhere.
    let never = match met {
        None => found.iter().all(|(_, m)| m.is_none()),
        Some(met) => {
            let all = |same: fn([i128; 4]) -> bool| {
                let wide = |(a, b): (u64, u64)| (i128::from(a), i128::from(b));
                let (a, b) = wide(*met);
                found.iter().all(|(_, m)| m.map(wide).is_some_and(|(c, d)| same([a, b, c, d])))
            };
            all(|[a, b, c, d]| a - b == c - d) || all(|[a, b, c, d]| a * d == b * c)
        }
    };
    if together && never { vec![first.clone()] } else { vec![] }
}

/// Gives sizes that must be equal the same size, as often as there are sizes to choose; the error that is left, and its
/// sizes (none if it is the numbers of axes that differ).
fn unsolved(
    fresh: &Elab<'_>,
    module: usize,
    item: &ItemKind,
    t: &'static Try,
) -> Option<(Diagnostic, Option<(u64, u64)>)> {
    let mut fixed: Vec<(usize, u64)> = vec![];
    loop {
        let mut el = fresh.anew();
        let mut made = MadeUp::new(&mut el, t, &fixed);
        made.item(module, item);
        let (made, free) = (made.made, made.free);
        let first = el.diags.iter().find(|d| d.severity == Severity::Error)?;
        let misfit = match first.code {
            "E0101" | "E0114" => true,
            "E0103" => el.st.guesses.met.is_some() || !free,
            _ => false,
        };
        if !misfit || (free && el.st.decided) {
            return None;
        }
        let free = |size: u64| (0..made.len()).find(|i| made[*i].1 == size && fixed.iter().all(|(k, _)| k != i));
        let choice = el.st.guesses.met.and_then(|(a, b)| free(a).map(|i| (i, b)).or(free(b).map(|i| (i, a))));
        match choice {
            Some(choice) => fixed.push(choice),
            None => {
                let sizes: Vec<String> = made.iter().map(|(n, size)| format!("{n} = {size}")).collect();
                let note =
                    format!("nothing uses this yet, so sizes are made up: {}; others fail alike", sizes.join(", "));
                let mut d = first.clone();
                // An edit with a size that was made up is no edit of this program.
                let text = d.labels.first().map_or("", |l| &fresh.sources.file(l.span.file).text);
                let shown = |h: &Help, n: u64| h.message.contains(&n.to_string()) && !text.contains(&n.to_string());
                let met = el.st.guesses.met;
                d.help.retain(|h| met.is_none_or(|(a, b)| !shown(h, a) && !shown(h, b)));
                return Some((if sizes.is_empty() { d } else { d.note(note) }, el.st.guesses.met));
            }
        }
    }
}

fn spans(d: &Diagnostic) -> Vec<Span> {
    d.labels.iter().map(|l| l.span).collect()
}

fn same(a: &Diagnostic, b: &Diagnostic) -> bool {
    // A help may show sizes that the finding does not depend on.
    (a.code, &a.message, &a.labels, &a.notes) == (b.code, &b.message, &b.labels, &b.notes)
}

fn alike(a: &Diagnostic, b: &Diagnostic) -> bool {
    a.code == b.code && spans(a) == spans(b)
}

/// Said of a finding that shows more than it depends on.
const MADE_UP: &str = "nothing uses this yet, so what goes in is made up; others fail alike";

fn made_up(d: &Diagnostic) -> bool {
    d.notes.iter().any(|n| n == MADE_UP)
}

/// One elaboration of an item.
struct MadeUp<'e, 'a> {
    el: &'e mut Elab<'a>,
    how: &'static Try,
    /// Sizes that are not those of the try, by the number of the dim.
    fixed: &'e [(usize, u64)],
    /// The dims so far.
    made: Vec<(String, u64)>,
    slots: usize,
    /// Has anything been made up that could be another number?
    free: bool,
    /// Where what is made up is said to stand.
    places: Vec<Span>,
}

impl<'e, 'a> MadeUp<'e, 'a> {
    fn new(el: &'e mut Elab<'a>, how: &'static Try, fixed: &'e [(usize, u64)]) -> Self {
        MadeUp { el, how, fixed, made: vec![], slots: 0, free: false, places: vec![] }
    }

    /// `None` where an argument cannot be made up: then nothing is said.
    fn item(&mut self, module: usize, item: &ItemKind) -> Option<()> {
        let env = self.el.st.modules[module].env.clone();
        match item {
            ItemKind::Fn(def) if self.el.st.modules[module].vjps.contains_key(&def.name.text) => None,
            ItemKind::Fn(def) => self.function(FnValue { def: def.clone(), env, owner: None, vjp: None }),
            ItemKind::Model(def) => {
                let given = def.dims.iter().rposition(|p| p.default.is_none()).map_or(0, |i| i + 1);
                let dims =
                    def.dims[..given].iter().map(|p| (Value::Dim(self.dim(&p.name.text)), p.name.span)).collect();
                let mut hyper = HyperArgs::default();
                self.at(def.name.span, &def.dims, &def.params);
                self.places.extend(def.conditions.iter().map(|c| self.el.ast.span(*c)));
                for p in def.params.iter().filter(|p| p.default.is_none()) {
                    let v = self.argument(p.ty.as_ref()?, &Scope::inside(&env))?;
                    hyper.named.push((p.name.clone(), v, p.name.span));
                }
                let template = ModelTemplate {
                    kind: TemplateKind::Item { def: def.clone(), role: Role::Model },
                    env,
                    dims: (given > 0).then_some(dims),
                    hyper: Some(hyper),
                    span: def.name.span,
                };
                let m = self.el.instantiate(&Rc::new(template), "").ok()?;
                self.instance(&m)
            }
            _ => None,
        }
    }

    fn instance(&mut self, m: &Rc<Instance>) -> Option<()> {
        if let TemplateKind::Item { def, .. } = &m.template.kind {
            let ModelBody::Members(list) = &def.body else { return None };
            for member in list {
                if let MemberKind::Fn(f) = &member.kind {
                    self.function(FnValue { def: f.clone(), env: m.env.clone(), owner: Some(m.clone()), vjp: None });
                }
            }
            // Layers that no method called are made as well.
            self.el.finish_instance(m, &mut vec![]);
            return Some(());
        }
        // The first layer that says what it reads gets it; functions in front of it could get anything.
        for i in 0..m.members.len() {
            let Ok(Value::Instance(layer)) = self.el.member_at(m, i, m.span) else { continue };
            if let Some(x) = self.input(&layer) {
                let args = self.call(m.span, vec![(x, m.members[i].span)], m.env.clone());
                return self.el.call_seq(m, i, args).ok().map(|_| ());
            }
        }
        None
    }

    /// What a layer reads.
    fn input(&mut self, m: &Rc<Instance>) -> Option<Value> {
        match &m.template.kind {
            TemplateKind::Item { def, .. } => {
                let ModelBody::Members(list) = &def.body else { return None };
                let mut forward = list.iter().filter_map(|x| match &x.kind {
                    MemberKind::Fn(f) if &*f.name.text == "forward" => Some(f.clone()),
                    _ => None,
                });
                let (Some(f), None) = (forward.next(), forward.next()) else { return None };
                let (first, rest) = f.params.split_first()?;
                let one = rest.iter().all(|p| p.default.is_some());
                let scope = Scope::inside(&m.env);
                first.ty.as_ref().filter(|_| one).and_then(|t| self.argument(t, &scope))
            }
            _ => match self.el.member_at(m, 0, m.span).ok().filter(|_| !m.members.is_empty())? {
                Value::Instance(first) => self.input(&first),
                _ => None,
            },
        }
    }

    fn function(&mut self, f: FnValue) -> Option<()> {
        let scope = Scope::inside(&f.env);
        let span = f.def.name.span;
        self.at(span, &f.def.dims, &f.def.params);
        self.places.extend(f.def.conditions.iter().map(|c| self.el.ast.span(*c)));
        let mut args = self.call(span, vec![], f.env.clone());
        let given: &[ast::DimParam] = match f.def.dims.iter().rposition(|p| p.default.is_none()) {
            Some(i) => &f.def.dims[..=i],
            None => &[],
        };
        let mut dims = vec![];
        for p in given {
            let d = Value::Dim(self.dim(&p.name.text));
            scope.bind(&p.name.text, d.clone(), false, p.name.span);
            dims.push((d, p.name.span));
        }
        args.dims = (!dims.is_empty()).then_some(dims);
        for p in f.def.params.iter().filter(|p| p.default.is_none()) {
            let v = self.argument(p.ty.as_ref()?, &scope)?;
            args.named.push((p.name.clone(), v, p.name.span));
        }
        self.el.call_fn(&Rc::new(f), args).ok().map(|_| ())
    }

    /// Notes where made-up arguments stand.
    fn at(&mut self, name: Span, dims: &[ast::DimParam], params: &[ast::Param]) {
        self.places.push(name);
        self.places.extend(dims.iter().map(|d| d.name.span));
        self.places.extend(params.iter().filter(|p| p.default.is_none()).map(|p| p.name.span));
    }

    fn call(&self, span: Span, pos: Vec<(Value, Span)>, env: Env) -> CallArgs {
        CallArgs { span, callee: span, dims: None, pos, named: vec![], expect: None, env }
    }

    /// A dim of a made-up size.
    fn dim(&mut self, name: &str) -> Dim {
        let n = self.made.len();
        self.free = true;
        let fixed = self.fixed.iter().find(|(i, _)| *i == n).map(|(_, size)| *size);
        let size = fixed.unwrap_or_else(|| (self.how.size)(n));
        self.made.push((name.to_owned(), size));
        self.el.fresh_dim(size, Some(name.into()), None)
    }

    /// A value of a type; names that the type mentions first get sizes.
    fn argument(&mut self, ty: &Ty, scope: &Env) -> Option<Value> {
        let (dtype, shape) = match &ty.kind {
            TyKind::Fn(_) => return None,
            TyKind::Tuple(parts) => {
                let parts: Option<Vec<Value>> = parts.iter().map(|t| self.argument(t, scope)).collect();
                return Some(Value::Tuple(Rc::new(parts?)));
            }
            TyKind::Tensor { dtype, shape } => (dtype, shape),
        };
        if let (Some(DtypeName::Named(n)), None) = (dtype, shape)
            && matches!(&*n.text, "float" | "num" | "any")
        {
            self.free = true;
            return Some(Value::Float(self.how.real));
        }
        if let Some(DtypeName::Idx(e)) = dtype {
            self.names(*e, scope);
        }
        for item in shape.iter().flatten() {
            match item {
                ShapeItem::Dim(e) => self.names(*e, scope),
                ShapeItem::Row(name, span) => {
                    let text = name.as_ref().map(|n| &*n.text);
                    if matches!(self.el.lookup_row(text, *span, scope), Ok(None)) {
                        self.free = true;
                        let key = row_key(text);
                        let axes = self.how.row.iter();
                        let axes = axes.map(|n| Value::Dim(self.el.fresh_dim(*n, Some(key.clone()), None))).collect();
                        scope.bind(&key, Value::List(Rc::new(axes)), false, *span);
                    }
                }
            }
        }
        match self.el.ty(ty, scope).ok()? {
            Type::Int => {
                self.free = true;
                Some(Value::Int((self.how.size)(self.made.len()) as i64))
            }
            Type::Tensor(t) => {
                let (dims, elem) = (t.known()?, t.elem_or(self.el.float));
                self.el.check_shape(&dims, ty.span).ok()?;
                self.slots += 1;
                let ty = TensorTy::new(elem.dtype(), dims.iter().map(|d| d.size));
                let name: Arc<str> = format!("made.up.{}", self.slots).into();
                let id = self.el.b.input(Slot { name, kind: SlotKind::Data, ty });
                Some(Value::Tensor(self.el.tensor(id, elem, dims)))
            }
            _ => None,
        }
    }

    /// Gives sizes to the dim names of an expression that have none.
    fn names(&mut self, e: ExprId, scope: &Env) {
        let ast = self.el.ast;
        match &ast.expr(e).kind {
            ExprKind::Name(n) => match self.el.lookup(n, ast.span(e), scope) {
                Ok(Some(Value::Hole(h))) => {
                    let d = self.dim(n);
                    self.el.solve(&h, &d);
                }
                Ok(Some(Value::Dim(_) | Value::Int(_))) | Err(_) => {}
                _ => {
                    let d = self.dim(n);
                    scope.bind(n, Value::Dim(d), false, ast.span(e));
                }
            },
            ExprKind::Unary(_, a) => self.names(*a, scope),
            ExprKind::Binary { lhs, rhs, .. } => {
                self.names(*lhs, scope);
                self.names(*rhs, scope);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sema::train;
    use crate::sema::units::{Options, Program};
    use std::time::{Duration, Instant};

    /// The time of a check of so many functions, the best of a few.
    fn time(n: usize) -> Duration {
        let text: String = (0..n).map(|i| format!("fn f{i}(x: f32[B]) -> f32[B] = x * {i}.0\n")).collect();
        let (p, found) = Program::load("main.nn", &text, &|path, _| Err(format!("no file `{path}`")));
        assert!(found.is_empty());
        let o = Options { seed: None, header: &|_| unreachable!("there are no data") };
        let check = |_| {
            let start = Instant::now();
            assert!(train::check(&p, &o).1.is_empty());
            start.elapsed()
        };
        (0..3).map(check).min().unwrap_or_default()
    }

    /// Eight times the functions take about eight times as long; what grows with their square would take far more.
    #[test]
    fn checks_take_time_in_proportion_to_the_items() {
        let (few, many) = (time(150), time(1200));
        assert!(many < 20 * few, "{few:?} for 150 functions, {many:?} for 1200");
    }
}
