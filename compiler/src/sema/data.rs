//! `data` items: sources and parts for the loader, fields as graphs of one example.
//!
//! In: a `data` item and the headers of its sources. Out: [`DataInfo`] for the runtime, the fields' types, and for every
//! field a small graph of one example that `batch.rs` replays in each step graph, where it fuses with what follows.

use super::annotated::Of;
use super::batch::{self, Batch, Unbatchable};
use super::cx::{Columns, Elab, Env, R, Reported, Scope, ScopeKind};
use super::sources::{self, Parts};
use super::tensor::classes::{self, ClassCheck};
use super::units::{ComputedIds, DataInfo, Options};
use super::value::{DataRef, Dim, Elem, Tensor, Value};
use crate::diag::{Diagnostic, Edit, Help};
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, Slot, SlotKind, ValueId};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, DataEntry, DtypeName, ExprId, ExprKind, Ty, TyKind};
use crate::syntax::visit;
use nn_runtime::data::check::RangeCheck;
use nn_runtime::data::split::{SplitFrom, counts};
use nn_runtime::data::{ColumnSpec, Header, SourceSpec, Unread};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A field: what one example of it is computed by.
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// The graph of one example; its slots are columns.
    pub graph: Graph,
    /// The value of one example in it.
    pub value: Tensor,
    /// Numbers in it that must be class numbers.
    pub checks: Vec<ClassCheck>,
    /// Where it stands.
    pub span: Span,
}

/// An elaborated `data` item.
pub struct DataPlan {
    /// For the runtime.
    pub info: DataInfo,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Dims, functions and exported sizes.
    pub env: Env,
    /// The data are drawn (`rows`): fields are made once for all rows of each source, with the source's seed.
    pub drawn: bool,
}

impl Elab<'_> {
    /// Elaborates a `data` item.
    pub fn data_plan(&mut self, d: &DataRef, o: &Options<'_>, span: Span) -> R<DataPlan> {
        let def = d.def.clone();
        let outer = self.st.modules[d.module].env.clone();
        let env = Scope::new(Some(outer), ScopeKind::Plain);
        self.data_params(d, &env, span)?;
        let mut parts = Parts::default();
        let mut failed = None;
        for entry in &def.entries {
            match entry {
                DataEntry::Setting(s) => {
                    if let Err(e) = sources::part(self, s, &env, &mut parts) {
                        failed = Some(e);
                    }
                }
                DataEntry::Fn(f) => {
                    let f = super::value::FnValue { def: f.clone(), env: env.clone(), owner: None, vjp: None };
                    let name = f.def.name.clone();
                    env.bind(&name.text, Value::Fn(std::rc::Rc::new(f)), false, name.span);
                }
                DataEntry::Field { .. } => {}
            }
        }
        if let Some(e) = failed {
            return Err(e);
        }
        if !parts.splits.iter().any(|s| s.name == "train") {
            let d = Diagnostic::error("E0212", def.name.span, format!("data `{}` has no source", def.name.text))
                .help("`source = csv(\"file.csv\")`, or `train = ...` and `test = ...`");
            return Err(self.error(d));
        }
        // Where a field is f64, so are the numbers that it is read from.
        if def.entries.iter().any(|e| matches!(e, DataEntry::Field { ty, .. } if takes_f64(self.float, ty))) {
            parts.sources.iter_mut().for_each(|s| *s = SourceSpec::Wide(Box::new(s.clone())));
        }
        let headers = self.headers(&parts, o)?;
        let refs: Vec<&Header> = headers.iter().collect();
        let rows = match counts(&parts.splits, &refs) {
            Ok(rows) => rows,
            Err(e) => {
                let at = self.fraction_of(&def, &e.place.file);
                return self.data_error(e, at.or(parts.places.first().copied()).unwrap_or(def.name.span));
            }
        };
        let mut info = DataInfo {
            name: def.name.text.to_string(),
            sources: parts.sources,
            headers,
            splits: parts.splits,
            rows,
            columns: BTreeSet::new(),
            checks: vec![],
            drawn: false,
            computed_ids: vec![],
        };
        let mut fields: Vec<Field> = vec![];
        let mut names: BTreeMap<Arc<str>, Span> = BTreeMap::new();
        let mut lost: Vec<&str> = vec![];
        for entry in &def.entries {
            let DataEntry::Field { name, ty, init, .. } = entry else { continue };
            if let Some(first) = names.insert(name.text.clone(), name.span) {
                let d = Diagnostic::error("E0208", name.span, format!("field `{}` is defined twice", name.text))
                    .label(first, "first defined here");
                self.error(d);
                continue;
            }
            // Of a field that failed nothing more is said where others read it.
            let text = self.text(self.ast.span(init.value));
            if text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| lost.contains(&w)) {
                lost.push(&name.text);
                continue;
            }
            let before = self.diags.len();
            let made = self.data_field(name, ty, init, &env, &fields, &mut info);
            match made.map_err(|e| self.one_row(ty, &env, before).unwrap_or(e)) {
                Ok(f) => {
                    for (k, c) in f.checks.iter().enumerate() {
                        let text = classes::written(self, c.span).to_owned();
                        let whole = c.span == self.ast.span(init.value);
                        let what = if whole { format!("field `{}`", f.name) } else { format!("`{text}`") };
                        let ids = ComputedIds { output: check_name(&f.name, k), what, text, size: c.size };
                        info.computed_ids.push(ids);
                    }
                    fields.push(f);
                }
                Err(e) => {
                    lost.push(&name.text);
                    failed = Some(e);
                }
            }
        }
        for f in &fields {
            let live = f.graph.live([f.value.id]);
            let read = f.graph.nodes.iter().zip(live).filter(|(_, live)| *live).filter_map(|(n, _)| match n.op {
                crate::graph::ops::Op::Input { slot } => Some(f.graph.slots[slot as usize].name.to_string()),
                _ => None,
            });
            info.columns.extend(read);
        }
        info.columns.extend(info.checks.iter().map(|c| c.column.clone()));
        info.columns.extend(info.splits.iter().filter_map(|s| match &s.from {
            SplitFrom::Random { stratify, .. } => stratify.clone(),
            _ => None,
        }));
        match failed {
            Some(e) => Err(e),
            None => Ok(DataPlan { info, fields, env, drawn: parts.drawn }),
        }
    }

    /// Where the fraction stands by which a part is split off.
    fn fraction_of(&self, def: &ast::Data, part: &str) -> Option<Span> {
        let value = def.entries.iter().find_map(|e| match e {
            DataEntry::Setting(s) if &*s.name.text == part => Some(s.value),
            _ => None,
        })?;
        let ExprKind::Call { args, .. } = &self.ast.expr(value).kind else { return None };
        let named = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.text == "fraction"));
        let arg = named.or_else(|| args.iter().filter(|a| a.name.is_none()).nth(1))?;
        Some(self.ast.span(arg.value))
    }

    fn data_params(&mut self, d: &DataRef, env: &Env, span: Span) -> R<()> {
        let def = &d.def;
        let given = d.dims.as_deref().unwrap_or(&[]);
        let over = |el: &mut Self, name: &str| -> R<Option<(Value, Span)>> {
            let found = el.st.item_override(d.module, &format!("{}.{name}", def.name.text));
            found.map(|e| el.override_value(e)).transpose()
        };
        if given.len() > def.dims.len() {
            let count = super::calls::count(def.dims.len(), "dim");
            return self.err("E0208", span, format!("`{}` has {count}, {} given", def.name.text, given.len()));
        }
        for (i, p) in def.dims.iter().enumerate() {
            let (v, at) = match (over(self, &p.name.text)?, given.get(i), p.default) {
                (Some((v, at)), ..) => (v, at),
                (_, Some((v, s)), _) if !matches!(v, Value::Wild(_)) => (v.clone(), *s),
                (.., Some(e)) => (self.eval(e, env)?, self.ast.span(e)),
                _ => continue,
            };
            let outer = self.as_dim(&v, at, "a dim")?;
            let dim = self.fresh_dim(outer.size, Some(p.name.text.clone()), Some(at));
            env.bind(&p.name.text, Value::Dim(dim), false, at);
        }
        let none = super::models::HyperArgs::default();
        let args = d.hyper.as_ref().unwrap_or(&none);
        for (i, p) in def.params.iter().enumerate() {
            let named = args.named.iter().find(|(n, ..)| n.text == p.name.text);
            let v = match (over(self, &p.name.text)?, args.pos.get(i), named, p.default) {
                (Some((v, _)), ..) => v,
                (_, Some((v, _)), ..) => v.clone(),
                (_, _, Some((_, v, _)), _) => v.clone(),
                (.., Some(e)) => self.eval(e, env)?,
                _ => return self.err("E0208", span, format!("`{}` needs `{}`", def.name.text, p.name.text)),
            };
            env.bind(&p.name.text, v, false, p.name.span);
        }
        Ok(())
    }

    /// Opens the sources; all of them must have the columns of the first.
    fn headers(&mut self, parts: &Parts, o: &Options<'_>) -> R<Vec<Header>> {
        let mut out: Vec<Header> = vec![];
        let mut failed = None;
        for (spec, span) in parts.sources.iter().zip(&parts.spans) {
            match (o.header)(spec) {
                Ok(h) => out.push(h),
                Err(e) => failed = Some(self.data_error::<()>(e, *span).err().unwrap_or(Reported)),
            }
        }
        // A column that one part's file holds no numbers in is one that no part has.
        let unread: Vec<Unread> = out.iter().flat_map(|h| h.unread.iter().cloned()).collect();
        for h in &mut out {
            h.columns.retain(|c| unread.iter().all(|u| u.name != c.name));
            h.unread.clone_from(&unread);
        }
        if let Some(first) = out.first().filter(|_| failed.is_none()) {
            for (h, span) in out.iter().zip(&parts.spans).skip(1) {
                if let Some(why) = misfit(&first.columns, &h.columns) {
                    let d = Diagnostic::error("E0415", *span, format!("the parts' files differ: {why}"))
                        .label(parts.spans[0], "compared with this");
                    failed = Some(self.error(d));
                }
            }
        }
        failed.map_or(Ok(out), Err)
    }

    /// A column that an expression reads by its name and that cannot be read.
    fn unread(&self, e: ExprId, before: &[Field], info: &DataInfo) -> Option<(DataError, Span)> {
        let unread = &info.headers.first()?.unread;
        let mut todo = vec![e];
        while let Some(e) = todo.pop() {
            let own = |n: &str| before.iter().any(|f| *f.name == *n);
            if let ExprKind::Name(n) = &self.ast.expr(e).kind
                && let Some(u) = unread.iter().find(|u| u.name == **n && !own(n))
            {
                return Some((u.why.clone(), self.ast.span(e)));
            }
            visit::children(self.ast.expr(e), &mut |c| todo.push(c));
        }
        None
    }

    fn data_error<T>(&mut self, e: DataError, span: Span) -> R<T> {
        let mut d = Diagnostic::error(e.code, span, e.message.clone());
        d.notes.extend(e.notes.iter().cloned());
        d.help.extend(e.help.iter().map(|h| Help::from(&**h)));
        Err(self.error(d))
    }

    /// A field that failed because its type has an axis for the rows (`f32[B, 8]`, `f32[None, 8]`) or is `int`, which is
    /// no tensor. It takes the place of what was found since `before`.
    fn one_row(&mut self, ty: &Ty, env: &Env, before: usize) -> Option<Reported> {
        let TyKind::Tensor { dtype, shape } = &ty.kind else { return None };
        match (dtype, shape.as_deref()) {
            (Some(DtypeName::Named(n)), None) if &*n.text == "int" => {
                self.diags.truncate(before);
                let d = Diagnostic::error("E0207", ty.span, "a field is a tensor: `int` is a number of the program");
                Some(self.error(d.fix("write `i32`", [Edit::replace(n.span, "i32")])))
            }
            (_, Some([ast::ShapeItem::Dim(first), rest @ ..])) => {
                let ExprKind::Name(n) = &self.ast.expr(*first).kind else { return None };
                let rows = matches!(&**n, "B" | "N" | "None" | "Batch" | "BATCH" | "batch" | "batch_size");
                if !rows || self.is_known(n, env) {
                    return None;
                }
                let at = self.ast.span(*first);
                let after = match rest.first() {
                    Some(ast::ShapeItem::Dim(e)) => self.ast.span(*e).start,
                    Some(ast::ShapeItem::Row(_, span)) => span.start,
                    None => at.end,
                };
                self.diags.truncate(before);
                let d = Diagnostic::error("E0105", at, format!("a field is written for one row: it has no axis `{n}`"))
                    .here("`train` puts the axis of the batch in front");
                let gone = Edit::replace(Span { end: after, ..at }, "");
                Some(self.error(d.fix("leave it out", [gone])))
            }
            _ => None,
        }
    }

    /// Elaborates the expression of a field for one example, in a graph of its own.
    fn data_field(
        &mut self,
        name: &ast::Ident,
        ty: &Ty,
        init: &ast::Init,
        env: &Env,
        before: &[Field],
        info: &mut DataInfo,
    ) -> R<Field> {
        let outer = std::mem::replace(&mut self.b, Builder::new(&name.text));
        self.st.graphs += 1;
        let generation = std::mem::replace(&mut self.st.generation, self.st.graphs);
        let checks = std::mem::take(&mut self.st.checks);
        let (means, exact) = (std::mem::take(&mut self.st.means), std::mem::take(&mut self.st.exact));
        self.st.in_field = true;
        let made = self.field_here(name, ty, init, env, before, info);
        self.st.in_field = false;
        let checks = std::mem::replace(&mut self.st.checks, checks);
        (self.st.means, self.st.exact) = (means, exact);
        self.st.generation = generation;
        let graph = std::mem::replace(&mut self.b, outer).finish();
        Ok(Field { name: name.text.clone(), graph, value: made?, checks, span: name.span })
    }

    fn field_here(
        &mut self,
        name: &ast::Ident,
        ty: &Ty,
        init: &ast::Init,
        env: &Env,
        before: &[Field],
        info: &mut DataInfo,
    ) -> R<Tensor> {
        let plain = info.sources.first().map(SourceSpec::plain);
        let read = info.headers.first().map(|h| {
            let unread = h.unread.iter().map(|u| u.name.clone());
            h.columns.iter().map(|c| c.name.clone()).chain(unread).collect()
        });
        let known = Columns { source: plain.map_or("", SourceSpec::name).to_owned(), names: read.unwrap_or_default() };
        let scope = Scope::new(Some(env.clone()), ScopeKind::Columns(known));
        let weak = matches!(plain, Some(SourceSpec::Csv { .. } | SourceSpec::Table { .. }));
        let float = if takes_f64(self.float, ty) { DType::F64 } else { DType::F32 };
        let counts = takes_ints(ty);
        let columns = info.headers.first().map(|h| h.columns.clone()).unwrap_or_default();
        for c in &columns {
            let dims: Vec<Dim> = c.shape.iter().map(|&n| self.fresh_dim(n, None, Some(name.span))).collect();
            self.check_shape(&dims, name.span)?;
            let ty = TensorTy::new(c.dtype, c.shape.iter().copied());
            let id = self.b.input(Slot { name: c.name.as_str().into(), kind: SlotKind::Data, ty });
            // Numbers without a type of their own take the field's: a float unless it is an index or an int. Numbers that
            // are f64 for the sake of another field are f32 in this one.
            let (id, dtype) =
                if weak && !counts && c.dtype == DType::I32 || c.dtype == DType::F64 && float != DType::F64 {
                    (self.b.cast(id, float), float)
                } else {
                    (id, c.dtype)
                };
            let t = Tensor { id, elem: Elem::Plain(dtype), dims };
            scope.bind(&c.name.as_str().into(), Value::Tensor(t), false, name.span);
        }
        // Earlier fields are in scope under their names, computed again from the columns.
        let mut columns_here = BTreeMap::new();
        for (i, slot) in self.b.graph().slots.clone().iter().enumerate() {
            let at = self.b.op(crate::graph::ops::Op::Input { slot: i as u32 }, &[]);
            columns_here.insert(slot.name.clone(), at);
        }
        for f in before {
            let id = copy(&mut self.b, &f.graph, f.value.id, &mut columns_here);
            scope.bind(&f.name, Value::Tensor(Tensor { id, ..f.value.clone() }), false, f.span);
        }
        let span = self.ast.span(init.value);
        let what = format!("field `{}`", name.text);
        if let Some((why, at)) = self.unread(init.value, before, info) {
            // Fields that read the same column have one thing wrong.
            let said = self.diags.iter().any(|d| d.message == why.message);
            return if said { Err(Reported) } else { self.data_error(why, at) };
        }
        let v = if init.draw {
            self.init_value(Some(ty), init, &scope, &what)?
        } else {
            self.one_hot_ids(ty, init.value)?;
            // Names in it may be those of sizes that the value tells.
            let written = matches!(&ty.kind, TyKind::Tensor { shape: Some(items), .. } if items.iter().all(|i| {
                matches!(i, ast::ShapeItem::Dim(e) if matches!(self.ast.expr(*e).kind, ExprKind::Int(_)))
            }));
            let expect = if written { Some(self.ty(ty, env)?) } else { None };
            let v = self.eval_as(init.value, &scope, expect.as_ref())?;
            let v = self.class_ids(v, ty, init.value, &scope, info)?;
            let found = self.diags.len();
            let fits = self.match_ty(ty, v.clone(), env, span, &what);
            if fits.is_err() {
                self.annotated(found, (ty, Of::Name), &v, span, env);
            }
            fits?
        };
        let dtype = match self.ty(ty, env)? {
            super::value::Type::Tensor(t) => t.elem_or(self.float),
            _ => return self.err("E0207", ty.span, "a field is a tensor"),
        };
        let t = self.as_tensor(&v, Some(dtype.dtype()), span)?;
        self.b.name(t.id, &name.text);
        Ok(t)
    }

    /// `y: idx<3> = one_hot(label)`: what is class numbers already.
    fn one_hot_ids(&mut self, ty: &Ty, e: ExprId) -> R<()> {
        let (TyKind::Tensor { dtype: Some(DtypeName::Idx(_)), .. }, ExprKind::Call { callee, args }) =
            (&ty.kind, &self.ast.expr(e).kind)
        else {
            return Ok(());
        };
        let name = self.text(self.ast.span(*callee)).split('[').next().unwrap_or_default();
        let (true, [ids]) = (name == "one_hot", &args[..]) else { return Ok(()) };
        let (span, t) = (self.ast.span(e), self.text(self.ast.span(ids.value)));
        let wanted = self.text(ty.span);
        let d = Diagnostic::error("E0207", span, format!("{wanted} holds class numbers, not a number for each class"));
        Err(self.error(d.fix(format!("write `{t}`"), [Edit::replace(span, t)])))
    }

    /// `y: idx<10> = label`: whole numbers become class numbers; a plain column is checked when it is decoded.
    fn class_ids(&mut self, v: Value, ty: &Ty, e: ExprId, env: &Env, info: &mut DataInfo) -> R<Value> {
        let TyKind::Tensor { dtype: Some(DtypeName::Idx(size)), .. } = &ty.kind else { return Ok(v) };
        let Value::Tensor(t) = &v else { return Ok(v) };
        let Elem::Plain(d) = t.elem else { return Ok(v) };
        let column = match &self.ast.expr(e).kind {
            ExprKind::Name(n) => info.headers.first().and_then(|h| h.columns.iter().position(|c| c.name == **n)),
            _ => None,
        };
        if d.is_float() && column.is_none() || d == DType::Bool {
            return Ok(v);
        }
        let n = self.dim_value(*size, env)?;
        let n = self.as_dim(&n, self.ast.span(*size), "the number of classes")?;
        if let Some(c) = column {
            for source in 0..info.sources.len() {
                let column = info.headers[source].columns[c].name.clone();
                info.checks.push(RangeCheck { source, column, size: n.size });
            }
        }
        if column.is_none() {
            return classes::enter(self, t, &n, self.ast.span(e)).map(Value::Tensor);
        }
        let id = self.b.cast(t.id, DType::I32);
        Ok(Value::Tensor(Tensor { id, elem: Elem::Idx(n), dims: t.dims.clone() }))
    }

    /// The fields in a step graph: bound in `scope` with a leading axis `rows`, without it if one row is the `whole`.
    pub fn bind_fields(&mut self, plan: &DataPlan, rows: &Dim, whole: bool, scope: &Env) -> R<()> {
        let mut columns = BTreeMap::new();
        for f in &plan.fields {
            let id = match self.field_value(plan, f, rows, &mut columns) {
                Ok(id) => id,
                Err(Unbatchable::Op(what)) => return Err(self.limit(f.span, what)),
                Err(Unbatchable::TooLarge(ty)) => {
                    let message = format!("field `{}`: {ty} in a batch of {} rows is too large", f.name, rows.size);
                    return self.err("E0902", f.span, message);
                }
            };
            let (id, dims) = if whole {
                let shape: Vec<u64> = f.value.dims.iter().map(|d| d.size).collect();
                (self.b.reshape(id, &shape), f.value.dims.clone())
            } else {
                let mut dims = vec![rows.clone()];
                dims.extend(f.value.dims.iter().cloned());
                (id, dims)
            };
            self.b.name(id, &f.name);
            if self.st.making_fields {
                self.b.output(&f.name, id);
                for (k, c) in f.checks.iter().enumerate() {
                    let batch = Batch { size: rows.size, columns: &mut columns };
                    match batch::replay(&mut self.b, &f.graph, c.value.id, batch) {
                        Ok(id) => self.b.output(&check_name(&f.name, k), id),
                        Err(_) => return Err(self.limit(c.span, "this conversion in a data field")),
                    };
                }
            }
            let t = Tensor { id, elem: f.value.elem.clone(), dims };
            scope.bind(&f.name, Value::Tensor(t), false, f.span);
        }
        Ok(())
    }

    /// A field for the whole batch. Drawn fields are made once, for all rows; a step reads them as columns.
    fn field_value(
        &mut self,
        plan: &DataPlan,
        f: &Field,
        rows: &Dim,
        columns: &mut BTreeMap<Arc<str>, ValueId>,
    ) -> Result<ValueId, Unbatchable> {
        if plan.drawn && !self.st.making_fields {
            let shape = std::iter::once(rows.size).chain(f.value.dims.iter().map(|d| d.size));
            let ty = TensorTy::new(f.value.elem.dtype(), shape);
            return Ok(self.b.input(Slot { name: f.name.clone(), kind: SlotKind::Data, ty }));
        }
        let (span, place) = (self.b.span, self.b.scope.replace(f.name.clone()));
        let made = batch::replay(&mut self.b, &f.graph, f.value.id, Batch { size: rows.size, columns });
        (self.b.span, self.b.scope) = (span, place);
        made
    }
}

/// The output that shows the numbers of a field's check.
fn check_name(field: &str, k: usize) -> String {
    format!("check.{field}.{k}")
}

/// Copies what a value needs from one graph of an example to another.
fn copy(b: &mut Builder, g: &Graph, root: ValueId, columns: &mut BTreeMap<Arc<str>, ValueId>) -> ValueId {
    let mut map: Vec<Option<ValueId>> = vec![None; g.nodes.len()];
    for v in g.values().take(root.idx() + 1) {
        let node = g.node(v);
        let xs: Vec<ValueId> = node.inputs.iter().filter_map(|i| map[i.idx()]).collect();
        let id = match &node.op {
            crate::graph::ops::Op::Input { slot } => {
                let slot = &g.slots[*slot as usize];
                match columns.get(&slot.name) {
                    Some(&v) => v,
                    None => {
                        let v = b.input(slot.clone());
                        columns.insert(slot.name.clone(), v);
                        v
                    }
                }
            }
            op => b.op(op.clone(), &xs),
        };
        map[v.idx()] = Some(id);
    }
    map[root.idx()].unwrap_or(root)
}

/// Does a type take whole numbers as they are?
fn takes_ints(ty: &Ty) -> bool {
    match &ty.kind {
        TyKind::Tensor { dtype: Some(DtypeName::Idx(_)), .. } => true,
        TyKind::Tensor { dtype: Some(DtypeName::Named(n)), .. } => DType::parse(&n.text).is_some_and(|d| !d.is_float()),
        _ => false,
    }
}

/// Is the field's dtype f64? `float` is that of types without one.
fn takes_f64(float: DType, ty: &Ty) -> bool {
    match &ty.kind {
        TyKind::Tensor { dtype: None, .. } => float == DType::F64,
        TyKind::Tensor { dtype: Some(DtypeName::Named(n)), .. } => DType::parse(&n.text).unwrap_or(float) == DType::F64,
        _ => false,
    }
}

/// Why the columns of two files cannot serve one program.
fn misfit(a: &[ColumnSpec], b: &[ColumnSpec]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} and {}", a.len(), super::calls::count(b.len(), "column")));
    }
    a.iter()
        .zip(b)
        .find(|(a, b)| a != b)
        .map(|(a, b)| format!("`{}` {}{:?} and `{}` {}{:?}", a.name, a.dtype, a.shape, b.name, b.dtype, b.shape))
}
