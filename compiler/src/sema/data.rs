//! `data` items: sources and splits from settings, fields from columns.
//!
//! In: a `data` item and a callback that opens a source and reads its header (no files are touched here). Out: a
//! [`DataPlan`] for the loader, and field values in the graph under construction. Field expressions are written for one
//! example: they are elaborated into a small graph of their own, which is then lifted over the batch, so that
//! normalisation becomes part of the step and fuses with what reads it.

use super::cx::{Elab, Env, R, Scope, ScopeKind, nearest};
use super::plan::{DataPlan, PlannedSource};
use super::value::{DataRef, Dim, Elem, ElemType, Tensor, Type, Value};
use crate::diag::Diagnostic;
use crate::graph::build::Builder;
use crate::graph::graph::{Slot, SlotKind, ValueId};
use crate::graph::lift::lift;
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, Arg, DataEntry, DtypeName, ExprId, ExprKind, Ident, Init, Setting, Ty, TyKind};
use nn_runtime::data::check::RangeCheck;
use nn_runtime::data::split::{SplitFrom, SplitSpec, counts};
use nn_runtime::data::{ColumnSpec, Header, SourceSpec, TableColumn};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;
use std::sync::Arc;

/// Opens a source far enough to know its header.
pub type OpenHeader<'h> = &'h dyn Fn(&SourceSpec) -> Result<Header, DataError>;

/// The parts that a `data` item may have, in the order that they are reported.
const PARTS: [&str; 4] = ["train", "val", "test", "source"];

/// Functions that make a source.
const SOURCES: [&str; 10] = ["idx", "npy", "npz", "csv", "table", "rows", "images", "chars", "tokens", "text"];

/// A field as written.
pub struct FieldItem<'a> {
    /// Its name.
    pub name: &'a Ident,
    /// Its type.
    pub ty: &'a Ty,
    /// Its value.
    pub init: &'a Init,
    /// Where it stands.
    pub span: Span,
}

impl<'a> Elab<'a> {
    /// The names that a `data` item's expressions see: its module's, its dims and hyperparameters.
    pub fn data_env(&mut self, data: &'a DataRef) -> R<Env> {
        let module = self.st.modules[data.module].env.clone();
        let env = Scope::new(Some(module), ScopeKind::Plain);
        for (i, p) in data.def.dims.iter().enumerate() {
            let given = data.dims.as_ref().and_then(|d| d.get(i)).cloned();
            let (value, span) = match (given, p.default) {
                (Some(given), _) => given,
                (None, Some(e)) => (self.dim_value(e, &env)?, self.ast.span(e)),
                (None, None) => continue,
            };
            let d = self.as_dim(&value, span, "a size")?;
            let d = self.fresh_dim(d.size, Some(p.name.text.clone()), d.origin.or(Some(span)));
            env.bind(&p.name.text, Value::Dim(d), false, p.name.span);
        }
        let mut hyper = data.hyper.clone().unwrap_or_default();
        for p in &data.def.params {
            let named = hyper.named.iter().position(|(n, ..)| n.text == p.name.text);
            let value = match (named, hyper.pos.is_empty(), p.default) {
                (Some(i), ..) => hyper.named.remove(i).1,
                (None, false, _) => hyper.pos.remove(0).0,
                (None, true, Some(e)) => self.eval(e, &env)?,
                (None, true, None) => {
                    let message = format!("`{}` needs a value for `{}`", data.def.name.text, p.name.text);
                    return self.err("E0110", p.name.span, message);
                }
            };
            env.bind(&p.name.text, value, false, p.name.span);
        }
        Ok(env)
    }

    /// Evaluates the settings of a `data` item and opens its sources.
    pub fn open_data(&mut self, data: &'a DataRef, env: &Env, open: OpenHeader<'_>) -> R<DataPlan> {
        let mut plan = DataPlan {
            name: data.def.name.text.to_string(),
            sources: vec![],
            splits: vec![],
            counts: vec![],
            columns: vec![],
            drawn: false,
            seed: 0,
            checks: vec![],
        };
        let settings = data.def.entries.iter().filter_map(|e| match e {
            DataEntry::Setting(s) => Some(s),
            DataEntry::Field { .. } | DataEntry::Fn(_) => None,
        });
        for s in settings {
            self.data_setting(&mut plan, s, env, open)?;
        }
        if plan.split("train").is_none() {
            let d = Diagnostic::error("E0110", data.def.name.span, format!("`{}` says no source", plan.name))
                .help("write `source = csv(\"file.csv\")`, or `train = ..` and `test = ..`");
            return Err(self.error(d));
        }
        let headers: Vec<&Header> = plan.sources.iter().map(|s| &s.header).collect();
        match counts(&plan.splits, &headers) {
            Ok(n) => plan.counts = n,
            Err(e) => return Err(self.data_error(e, data.def.name.span)),
        }
        self.common_columns(&mut plan)?;
        for f in fields_of(&data.def) {
            self.range_check(&mut plan, &f, env)?;
        }
        Ok(plan)
    }

    fn data_setting(&mut self, plan: &mut DataPlan, s: &'a Setting, env: &Env, open: OpenHeader<'_>) -> R<()> {
        let name = &*s.name.text;
        if !PARTS.contains(&name) {
            if ["order"].contains(&name) {
                return Err(self.limit(s.span, "`order` of a source"));
            }
            let mut d = Diagnostic::error("E0100", s.name.span, format!("`data` has no setting `{name}`"));
            d = match nearest(name, PARTS) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help("settings are `train`, `val`, `test` and `source`; a field has a type: `x: f32[4] = ..`"),
            };
            return Err(self.error(d));
        }
        let part = if name == "source" { "train" } else { name };
        if plan.split(part).is_some() {
            return self.err("E0110", s.span, format!("the `{part}` part is given twice"));
        }
        let span = self.ast.span(s.value);
        let (callee, args) = match &self.ast.expr(s.value).kind {
            ExprKind::Call { callee, args } => (self.callee_name(*callee), args.as_slice()),
            _ => (None, [].as_slice()),
        };
        let from = match callee {
            Some("split") => self.split_setting(plan, args, span, env)?,
            Some("tail") => {
                let (of, fraction) = self.part_and_fraction(plan, args, span, env)?;
                SplitFrom::Tail { of, fraction }
            }
            Some(f) if SOURCES.contains(&f) => {
                let spec = self.source_spec(f, args, span, env)?;
                let header = open(&spec).map_err(|e| self.data_error(e, span))?;
                if let SourceSpec::Rows { seed, .. } = spec {
                    plan.drawn = true;
                    plan.seed = seed;
                }
                plan.sources.push(PlannedSource { name: name.to_owned(), spec, header, span });
                SplitFrom::Source(plan.sources.len() - 1)
            }
            _ => {
                let d = Diagnostic::error("E0110", span, format!("`{name}` must be a source of data"))
                    .help("idx(..), csv(..), npy(..), npz(..), table(..), rows(n), split(part, 0.1) or tail(part, 0.1)");
                return Err(self.error(d));
            }
        };
        plan.splits.push(SplitSpec { name: part.to_owned(), from });
        Ok(())
    }

    fn callee_name(&self, e: ExprId) -> Option<&'a str> {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) => Some(n),
            _ => None,
        }
    }

    /// `split(source, 0.2, seed: 1, stratify: label)`
    fn split_setting(&mut self, plan: &DataPlan, args: &'a [Arg], span: Span, env: &Env) -> R<SplitFrom> {
        let (of, fraction) = self.part_and_fraction(plan, args, span, env)?;
        let (mut seed, mut stratify) = (0, None);
        for a in args {
            match a.name.as_ref().map(|n| (&*n.text, n.span)) {
                None => {}
                Some(("seed", at)) => {
                    let v = self.eval(a.value, env)?;
                    seed = self.as_int(&v, at, "a seed")? as u64;
                }
                Some(("stratify", at)) => match self.callee_name(a.value) {
                    Some(column) => stratify = Some(column.to_owned()),
                    None => return self.err("E0110", at, "`stratify` names a column"),
                },
                Some((other, at)) => return self.err("E0100", at, format!("`split` has no argument `{other}`")),
            }
        }
        Ok(SplitFrom::Random { of, fraction, seed, stratify })
    }

    fn part_and_fraction(&mut self, plan: &DataPlan, args: &'a [Arg], span: Span, env: &Env) -> R<(usize, f64)> {
        let pos: Vec<&Arg> = args.iter().filter(|a| a.name.is_none()).collect();
        let [part, fraction] = pos[..] else {
            return self.err("E0110", span, "this takes a part and a fraction: `split(source, 0.1)`");
        };
        let at = self.ast.span(part.value);
        let name = self.callee_name(part.value).map(|n| if n == "source" { "train" } else { n });
        let Some(of) = name.and_then(|n| plan.split(n)) else {
            return self.err("E0100", at, "this must be a part that is given above: `source`, `train`, `val` or `test`");
        };
        let v = self.eval(fraction.value, env)?;
        let at = self.ast.span(fraction.value);
        let fraction = self.as_float(&v, at, "a fraction")?;
        if !(fraction > 0.0 && fraction < 1.0) {
            return self.err("E0110", at, format!("{fraction} is not a fraction between 0 and 1"));
        }
        Ok((of, fraction))
    }

    fn source_spec(&mut self, f: &str, args: &'a [Arg], span: Span, env: &Env) -> R<SourceSpec> {
        let files = |el: &mut Self| -> R<Vec<String>> {
            let mut out = vec![];
            for a in args.iter().filter(|a| a.name.is_none()) {
                let v = el.eval(a.value, env)?;
                out.push(el.as_str(&v, el.ast.span(a.value), "a file name")?.to_string());
            }
            Ok(out)
        };
        let one_file = |el: &mut Self| -> R<String> {
            let mut all = files(el)?;
            if all.len() != 1 {
                return el.err("E0110", span, format!("`{f}` takes one file name"));
            }
            Ok(all.remove(0))
        };
        Ok(match f {
            "idx" => {
                let files = files(self)?;
                if files.is_empty() {
                    return self.err("E0110", span, "`idx` takes file names");
                }
                SourceSpec::Idx { files }
            }
            "npy" => SourceSpec::Npy { file: one_file(self)? },
            "npz" => SourceSpec::Npz { file: one_file(self)? },
            "csv" => {
                let file = one_file(self)?;
                let (mut skip, mut columns) = (0, None);
                for a in args {
                    match a.name.as_ref().map(|n| (&*n.text, n.span)) {
                        None => {}
                        Some(("skip", at)) => {
                            let v = self.eval(a.value, env)?;
                            skip = self.as_int(&v, at, "a number of lines")?.max(0) as u64;
                        }
                        Some(("columns", at)) => columns = Some(self.csv_columns(a.value, at, env)?),
                        Some((other, at)) => return self.err("E0100", at, format!("`csv` has no argument `{other}`")),
                    }
                }
                SourceSpec::Csv { file, skip, columns }
            }
            "rows" => {
                let (mut n, mut seed) = (None, 0);
                for a in args {
                    let v = self.eval(a.value, env)?;
                    let at = self.ast.span(a.value);
                    match a.name.as_ref().map(|n| &*n.text) {
                        None => n = Some(self.as_int(&v, at, "a number of rows")?),
                        Some("seed") => seed = self.as_int(&v, at, "a seed")? as u64,
                        Some(other) => return self.err("E0100", at, format!("`rows` has no argument `{other}`")),
                    }
                }
                match n {
                    Some(n) if n > 0 => SourceSpec::Rows { n: n as u64, seed },
                    _ => return self.err("E0110", span, "`rows` takes a number of rows: `rows(2000, seed: 1)`"),
                }
            }
            "table" => {
                let mut columns = vec![];
                for a in args {
                    let Some(name) = &a.name else {
                        return self.err("E0110", self.ast.span(a.value), "`table` takes named columns: `x: [..]`");
                    };
                    let v = self.eval(a.value, env)?;
                    columns.push(self.table_column(&name.text, &v, self.ast.span(a.value))?);
                }
                SourceSpec::Table { columns }
            }
            other => return Err(self.limit(span, &format!("`{other}` sources"))),
        })
    }

    /// `columns: { pixels: 64, label: 1 }`
    fn csv_columns(&mut self, e: ExprId, at: Span, env: &Env) -> R<Vec<(String, u64)>> {
        let ExprKind::Record(entries) = &self.ast.expr(e).kind else {
            return self.err("E0110", at, "`columns` names groups of columns and their widths: `{ pixels: 64, label: 1 }`");
        };
        let mut out = vec![];
        for (name, width) in entries {
            let v = self.eval(*width, env)?;
            let n = self.as_int(&v, self.ast.span(*width), "a number of columns")?;
            if n < 1 {
                return self.err("E0110", self.ast.span(*width), format!("`{}` must be at least one column wide", name.text));
            }
            out.push((name.text.to_string(), n as u64));
        }
        Ok(out)
    }

    /// A column from nested lists of numbers or bools.
    fn table_column(&mut self, name: &str, v: &Value, span: Span) -> R<TableColumn> {
        fn flatten(v: &Value, depth: usize, shape: &mut Vec<u64>, out: &mut Vec<f64>, bools: &mut bool) -> bool {
            match v {
                Value::List(items) => {
                    if shape.len() == depth {
                        shape.push(items.len() as u64);
                    }
                    shape[depth] == items.len() as u64
                        && items.iter().all(|i| flatten(i, depth + 1, shape, out, bools))
                }
                Value::Int(n) if shape.len() == depth => {
                    *bools = false;
                    out.push(*n as f64);
                    true
                }
                Value::Float(x) if shape.len() == depth => {
                    *bools = false;
                    out.push(*x);
                    true
                }
                Value::Bool(b) if shape.len() == depth => {
                    out.push(f64::from(u8::from(*b)));
                    true
                }
                _ => false,
            }
        }
        let (mut shape, mut values, mut bools) = (vec![], vec![], true);
        if !matches!(v, Value::List(_)) || !flatten(v, 0, &mut shape, &mut values, &mut bools) {
            let d = Diagnostic::error("E0110", span, format!("column `{name}` must be a list of rows of one shape"))
                .help("write `x: [[0, 0], [0, 1]]`");
            return Err(self.error(d));
        }
        let dtype = if bools && !values.is_empty() { DType::Bool } else { DType::F32 };
        Ok(TableColumn { name: name.to_owned(), dtype, shape, values })
    }

    /// The columns that all parts share by name and type.
    fn common_columns(&mut self, plan: &mut DataPlan) -> R<()> {
        let Some(first) = plan.sources.first() else { return Ok(()) };
        plan.columns = first.header.columns.clone();
        for s in &plan.sources[1..] {
            for c in &first.header.columns {
                let Some(other) = s.header.columns.iter().find(|o| o.name == c.name) else { continue };
                if other != c {
                    let show = |c: &ColumnSpec| TensorTy::new(c.dtype, c.shape.iter().copied()).to_string();
                    let message = format!(
                        "column `{}` is {} in `{}` but {} in `{}`",
                        c.name, show(c), first.name, show(other), s.name
                    );
                    let (a, b) = (first.span, s.span);
                    return Err(self.error(Diagnostic::error("E0415", b, message).label(a, "the other source")));
                }
            }
            plan.columns.retain(|c| s.header.columns.iter().any(|o| o.name == c.name));
        }
        Ok(())
    }

    /// `y: idx<10> = label`: every value of the column must lie in the index space; the loader looks.
    fn range_check(&mut self, plan: &mut DataPlan, f: &FieldItem<'a>, env: &Env) -> R<()> {
        let TyKind::Tensor { dtype: Some(DtypeName::Idx(size)), .. } = &f.ty.kind else { return Ok(()) };
        let Some(column) = self.callee_name(f.init.value).filter(|_| !f.init.draw) else { return Ok(()) };
        if !plan.columns.iter().any(|c| c.name == column) {
            return Ok(());
        }
        let v = self.dim_value(*size, env)?;
        let size = self.as_dim(&v, self.ast.span(*size), "the size of an index space")?.size;
        for (source, s) in plan.sources.iter().enumerate() {
            if s.header.columns.iter().any(|c| c.name == column) {
                plan.checks.push(RangeCheck { source, column: column.to_owned(), size });
            }
        }
        Ok(())
    }

    /// The values of the fields for a batch: `columns` are the raw columns with the batch axis `rows` in front.
    /// `lifted: false` takes them as they are, for data that is one example (a graph).
    pub fn fields(
        &mut self,
        data: &'a DataRef,
        env: &Env,
        plan: &DataPlan,
        rows: &Dim,
        lifted: bool,
        columns: &[ValueId],
    ) -> R<Vec<(Arc<str>, Tensor)>> {
        // Constants made on the way belong to the little graph, so this is a generation of its own.
        let mark = self.fresh_dim(0, None, None).id.0;
        let generation = std::mem::replace(&mut self.st.generation, 0x8000_0000 | mark);
        let outer = std::mem::replace(&mut self.b, Builder::new(&plan.name));
        let made = self.example_fields(data, env, plan);
        let little = std::mem::replace(&mut self.b, outer);
        self.st.generation = generation;
        let fields = made?;
        let mut little = little;
        for (name, t, _) in &fields {
            little.output(name, t.id);
        }
        let little = little.finish();
        let n = if lifted { rows.size } else { 1 };
        let out = match lift(&mut self.b, &little, n, columns) {
            Ok(out) => out,
            Err(op) => {
                let span = fields.first().map_or(data.def.name.span, |f| f.2);
                return Err(self.limit(span, &format!("`{op}` in a field expression")));
            }
        };
        let mut named = vec![];
        for ((name, t, _), id) in fields.into_iter().zip(out) {
            let (id, dims) = if lifted {
                (id, std::iter::once(rows.clone()).chain(t.dims).collect())
            } else {
                let shape = self.b.shape(id);
                (self.b.reshape(id, &shape[1..]), t.dims)
            };
            self.b.name(id, &name);
            named.push((name, Tensor { id, elem: t.elem, dims }));
        }
        Ok(named)
    }

    /// The fields of one example, in the little graph.
    fn example_fields(&mut self, data: &'a DataRef, env: &Env, plan: &DataPlan) -> R<Vec<(Arc<str>, Tensor, Span)>> {
        let field_env = Scope::inside(env);
        let column_env = Scope::inside(&field_env);
        for c in &plan.columns {
            let ty = TensorTy::new(c.dtype, c.shape.iter().copied());
            let id = self.b.input(Slot { name: c.name.as_str().into(), kind: SlotKind::Data, ty });
            let dims = c.shape.iter().map(|&n| self.literal_dim(n, None)).map(|d| Dim { stretches: false, ..d }).collect();
            let mut t = Tensor { id, elem: Elem::Plain(c.dtype), dims };
            // Text says nothing of dtypes: numbers from it are f32, whether or not they happen to be whole.
            if is_text(plan) && c.dtype.is_int() {
                t = Tensor { id: self.b.cast(id, DType::F32), elem: Elem::Plain(DType::F32), ..t };
            }
            column_env.bind(&c.name.as_str().into(), Value::Tensor(t), false, data.def.name.span);
        }
        let mut out = vec![];
        for f in fields_of(&data.def) {
            let span = self.ast.span(f.init.value);
            let what = format!("field `{}`", f.name.text);
            let v = if f.init.draw {
                self.init_value(Some(f.ty), f.init, &column_env, &what)?
            } else {
                let v = self.eval(f.init.value, &column_env)?;
                let v = self.class_ids(&f, v, plan, env)?;
                self.match_ty(f.ty, v, env, span, &what)?
            };
            let Value::Tensor(t) = v else {
                let t = self.as_tensor(&v, None, span)?;
                out.push((f.name.text.clone(), t.clone(), span));
                field_env.bind(&f.name.text, Value::Tensor(t), false, f.span);
                continue;
            };
            field_env.bind(&f.name.text, Value::Tensor(t.clone()), false, f.span);
            out.push((f.name.text.clone(), t, span));
        }
        Ok(out)
    }

    /// A checked column of numbers becomes class ids where the field's type says `idx<N>`.
    fn class_ids(&mut self, f: &FieldItem<'a>, v: Value, plan: &DataPlan, env: &Env) -> R<Value> {
        let TyKind::Tensor { dtype: Some(DtypeName::Idx(_)), .. } = &f.ty.kind else { return Ok(v) };
        let Value::Tensor(t) = &v else { return Ok(v) };
        if matches!(t.elem, Elem::Idx(_)) {
            return Ok(v);
        }
        let direct = self.callee_name(f.init.value).is_some_and(|n| plan.columns.iter().any(|c| c.name == n));
        if !direct {
            return Err(self.limit(self.ast.span(f.init.value), "class ids computed from columns"));
        }
        let elem = match self.ty(f.ty, env)? {
            Type::Tensor(t) => match t.elem {
                ElemType::Exact(e) => e,
                _ => Elem::Plain(DType::I32),
            },
            _ => Elem::Plain(DType::I32),
        };
        let id = self.b.cast(t.id, DType::I32);
        Ok(Value::Tensor(Tensor { id, elem, dims: t.dims.clone() }))
    }

    /// What is wrong with a file, at the expression that names it.
    pub fn data_error(&mut self, e: DataError, span: Span) -> super::cx::Reported {
        let mut d = Diagnostic::error(e.code, span, e.message);
        d.notes = e.notes;
        d.help = e.help;
        self.error(d)
    }
}

/// The fields of a `data` item in order.
pub fn fields_of(def: &ast::Data) -> impl Iterator<Item = FieldItem<'_>> {
    def.entries.iter().filter_map(|e| match e {
        DataEntry::Field { name, ty, init, span } => Some(FieldItem { name, ty, init, span: *span }),
        DataEntry::Fn(_) | DataEntry::Setting(_) => None,
    })
}

/// Do the numbers come from text?
fn is_text(plan: &DataPlan) -> bool {
    plan.sources.iter().any(|s| matches!(s.spec, SourceSpec::Csv { .. } | SourceSpec::Table { .. }))
}
