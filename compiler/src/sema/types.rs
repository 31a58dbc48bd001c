//! Types: from syntax to [`Type`], and values against types.
//!
//! In: a type as written and a value. Out: the value converted by what converts implicitly, its axes relabelled to the
//! type's dims, or a diagnostic that names both sides' sizes and where they come from. A name that a signature mentions
//! first is bound to the size it meets.

use super::cx::{Elab, Env, R, Reported};
use super::models::{Instance, ModelTemplate, TemplateKind};
use super::names::row_key;
use super::statics::is_static;
use super::tensor;
use super::value::{AxisType, Dim, Elem, ElemType, Tensor, TensorType, Type, Value, show_dims};
use crate::diag::{Diagnostic, Edit, shown};
use crate::lanes::has_lanes;
use crate::source::Span;
use crate::syntax::ast::{DtypeName, ExprKind, Ident, ShapeItem, Ty, TyKind};
use nn_runtime::dtype::DType;
use std::rc::Rc;

impl Elab<'_> {
    /// The type that is written, names looked up; unknown dims are E0105.
    pub fn ty(&mut self, ty: &Ty, env: &Env) -> R<Type> {
        match &ty.kind {
            TyKind::Fn(_) => Ok(Type::Fn),
            TyKind::Tuple(parts) => Ok(Type::Tuple(parts.iter().map(|t| self.ty(t, env)).collect::<R<Vec<_>>>()?)),
            TyKind::Tensor { dtype, shape } => {
                let elem = match dtype {
                    None => ElemType::Float,
                    Some(DtypeName::Idx(e)) => {
                        let v = self.dim_value(*e, env)?;
                        ElemType::Exact(Elem::Idx(self.as_dim(&v, self.ast.span(*e), "the size of an index space")?))
                    }
                    Some(DtypeName::Named(n)) => match &*n.text {
                        "float" => ElemType::Float,
                        "num" => ElemType::Num,
                        "any" => ElemType::Any,
                        "int" if shape.is_none() => return Ok(Type::Int),
                        "layer" if shape.is_none() => return Ok(Type::Layer),
                        "schedule" if shape.is_none() => return Ok(Type::Schedule),
                        "mean" if shape.is_none() => return Ok(Type::Mean),
                        "str" if shape.is_none() => return Ok(Type::Str),
                        name if name.starts_with(|c: char| c.is_ascii_uppercase())
                            && (super::foreign::TYPES.iter().all(|(t, _)| *t != name) || self.is_known(name, env)) =>
                        {
                            return match shape {
                                None if self.is_known(name, env) => Ok(Type::Layer),
                                _ => Err(self.unknown_type(n, shape.is_some(), env)),
                            };
                        }
                        name => match DType::parse(name) {
                            Some(d) if !has_lanes(d) && self.st.compiled && !self.is_std(n.span) => {
                                return Err(self.limit(n.span, &format!("`{d}` in a program that is trained")));
                            }
                            Some(d) => ElemType::Exact(Elem::Plain(d)),
                            None => return Err(self.unknown_type(n, shape.is_some(), env)),
                        },
                    },
                };
                let mut dims = vec![];
                for item in shape.iter().flatten() {
                    match item {
                        ShapeItem::Row(name, span) => {
                            let text = name.as_ref().map(|n| n.text.clone());
                            match (self.lookup_row(text.as_deref(), *span, env)?, text) {
                                (Some(row), _) => dims.extend(row.into_iter().map(AxisType::Dim)),
                                (None, None) => dims.push(AxisType::Rest(*span)),
                                (None, Some(n)) => {
                                    return self.err("E0105", *span, format!("unknown row of axes `..{n}`"));
                                }
                            }
                        }
                        ShapeItem::Dim(e) => {
                            let span = self.ast.span(*e);
                            match self.dim_value(*e, env)? {
                                Value::Wild(span) => dims.push(AxisType::Infer(span)),
                                v => dims.push(AxisType::Dim(self.as_dim(&v, span, "a size")?)),
                            }
                        }
                    }
                }
                Ok(Type::Tensor(TensorType { elem, dims }))
            }
        }
    }

    /// Is a name that of a type? `shaped` if axes follow it.
    pub fn is_type(&self, name: &str, shaped: bool, env: &Env) -> bool {
        let upper = name.starts_with(|c: char| c.is_ascii_uppercase());
        match name {
            "float" | "num" | "any" => true,
            "int" | "layer" | "schedule" | "mean" | "str" => !shaped,
            name if upper => !shaped && self.is_known(name, env),
            name => DType::parse(name).is_some(),
        }
    }

    /// Reports a name that is no type; `shaped` if axes follow it.
    pub fn unknown_type(&mut self, n: &Ident, shaped: bool, env: &Env) -> Reported {
        let name = &*n.text;
        let known = DType::ALL.iter().map(|d| d.name());
        let all = known.chain(["float", "int", "num", "any", "layer", "schedule", "mean"]);
        let mut d = Diagnostic::error("E0100", n.span, format!("unknown type `{name}`"));
        let lower = name.to_ascii_lowercase();
        let theirs = super::foreign::TYPES.iter().find(|(t, _)| *t == name).map(|(_, o)| *o);
        if shaped && matches!(name, "int" | "layer" | "schedule" | "mean" | "str") {
            d.message = format!("`{name}` has no axes");
            let d = if name == "int" { d.rename(n.span, "i32") } else { d };
            return self.error(d);
        }
        if matches!(&*lower, "tensor" | "array" | "ndarray" | "matrix" | "vector")
            || super::cx::nearest(&lower, ["tensor"]).is_some()
        {
            let rest = if shaped { "" } else { "[..S]" };
            let what = "the type of a tensor is its axes, such as `[B, 3]`, or `[..S]` for any";
            d = d.fix(what, [Edit::replace(n.span, rest)]);
        } else if shaped && self.is_known(name, env) {
            d.message = format!("`{name}` is a model: a layer has no axes");
        } else if let Some(near) = theirs.or_else(|| super::cx::nearest(name, all)) {
            d = d.rename(n.span, near);
        } else {
            d = d.note("types are `[B, 3]` (float), `i32[B]`, `idx<10>[B]`, `bool`, `int`, `float`, `layer`, or the name of a model");
        }
        self.error(d)
    }

    /// Binds the names that a type mentions first to what the value has there, then checks the value against the type.
    pub fn match_ty(&mut self, ty: &Ty, v: Value, env: &Env, span: Span, what: &str) -> R<Value> {
        self.bind_ty(ty, &v, env, span, what)?;
        let t = self.ty(ty, env)?;
        self.coerce(v, &t, span, what)
    }

    /// The first half of [`Elab::match_ty`].
    pub fn bind_ty(&mut self, ty: &Ty, v: &Value, env: &Env, span: Span, what: &str) -> R<()> {
        match (&ty.kind, v) {
            (TyKind::Tuple(parts), Value::Tuple(items)) if parts.len() == items.len() => {
                for (t, v) in parts.iter().zip(items.iter()) {
                    self.bind_ty(t, v, env, span, what)?;
                }
                Ok(())
            }
            (TyKind::Tensor { dtype, shape }, v) => {
                let actual: Vec<Dim> = match v {
                    Value::Tensor(t) => t.dims.clone(),
                    Value::List(_) => match self.to_tensor(v, None) {
                        Some(t) => t.dims,
                        None => return self.no_tensor(v, ty, span, what),
                    },
                    Value::Mean { .. } => vec![],
                    v if is_static(v) => vec![],
                    Value::Hole(_) => return Ok(()),
                    v if shape.is_some() => return self.no_tensor(v, ty, span, what),
                    _ => return Ok(()),
                };
                if let (Some(DtypeName::Idx(e)), Value::Tensor(Tensor { elem: Elem::Idx(n), .. })) = (dtype, v) {
                    self.bind_dim(*e, n, env)?;
                }
                let items: Vec<&ShapeItem> = shape.iter().flatten().collect();
                let row = items.iter().position(|i| matches!(i, ShapeItem::Row(..)));
                // A number stands for a tensor filled with it, wherever the shape is known; it tells nothing of it.
                let filled = actual.is_empty() && is_static(v) && row.is_none() && !items.is_empty();
                if filled {
                    return Ok(());
                }
                let fixed = items.len() - usize::from(row.is_some());
                let fits = if row.is_some() { actual.len() >= fixed } else { actual.len() == fixed };
                if !fits {
                    if is_static(v) {
                        return Ok(());
                    }
                    return Err(self.rank_error(ty, &actual, env, span, what));
                }
                let rest = actual.len() - fixed;
                let mut k = 0;
                for item in items {
                    match item {
                        ShapeItem::Row(name, at) => {
                            let text = name.as_ref().map(|n| &*n.text);
                            if self.lookup_row(text, *at, env)?.is_none() {
                                let dims = actual[k..k + rest].iter().cloned().map(Value::Dim).collect();
                                env.bind(&row_key(text), Value::List(Rc::new(dims)), false, *at);
                            }
                            k += rest;
                        }
                        ShapeItem::Dim(e) => {
                            self.bind_dim(*e, &actual[k], env)?;
                            k += 1;
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Binds a plain dim name to a size if nothing has yet; decides an undecided one.
    fn bind_dim(&mut self, e: crate::syntax::ast::ExprId, actual: &Dim, env: &Env) -> R<()> {
        let ast = self.ast;
        if let ExprKind::Name(n) = &ast.expr(e).kind
            && n.starts_with(|c: char| c.is_ascii_uppercase())
        {
            let span = ast.span(e);
            match self.lookup(n, span, env)? {
                Some(Value::Hole(h)) => {
                    self.solve(&h, actual);
                }
                Some(Value::Dim(_) | Value::Int(_)) => {}
                // A data item or model of that name is no dim: the signature's dim hides it.
                _ => {
                    let d = self.inner_dim(n, actual, actual.origin.unwrap_or(span), 0);
                    env.bind(n, Value::Dim(d), false, span);
                }
            }
        }
        Ok(())
    }

    /// Checks a value against a type and converts what converts implicitly: static numbers to tensors of the type's
    /// dtype and shape, float widening. Decided axes are relabelled to the type's dims.
    pub fn coerce(&mut self, v: Value, ty: &Type, span: Span, what: &str) -> R<Value> {
        match (ty, v) {
            (Type::Tensor(t), v) => self.coerce_tensor(v, t, span, what),
            (Type::Tuple(parts), Value::Tuple(items)) if parts.len() == items.len() => {
                let mut out = vec![];
                for (t, v) in parts.iter().zip(items.iter()) {
                    out.push(self.coerce(v.clone(), t, span, what)?);
                }
                Ok(Value::Tuple(Rc::new(out)))
            }
            // `var (h, c): ([1, H], [1, H]) = (0, 0)` and the like need their parts; one number fills all.
            (Type::Int, v @ (Value::Int(_) | Value::Dim(_))) => Ok(v),
            (Type::Int, Value::Hole(h)) => Ok(Value::Dim(self.as_dim(&Value::Hole(h), span, what)?)),
            (Type::Layer, v @ (Value::Model(_) | Value::Instance(_))) => Ok(v),
            (
                Type::Fn | Type::Schedule | Type::Layer,
                v @ (Value::Closure(_) | Value::Fn(_) | Value::Builtin(_) | Value::WithDims(_) | Value::ConstFn(_)),
            ) => Ok(v),
            (Type::Fn | Type::Schedule, v @ Value::Instance(_)) => Ok(v),
            (Type::Fn | Type::Schedule, Value::Float(x)) => Ok(Value::ConstFn(x)),
            (Type::Fn | Type::Schedule, Value::Int(n)) => Ok(Value::ConstFn(n as f64)),
            (Type::Mean, v @ Value::Mean { .. }) => Ok(v),
            (Type::Str, v @ Value::Str(_)) => Ok(v),
            (ty, v) => {
                let wanted = match ty {
                    Type::Int => "an int".to_owned(),
                    Type::Layer => "a layer".to_owned(),
                    Type::Fn => "a function".to_owned(),
                    Type::Schedule => "a number or a schedule".to_owned(),
                    Type::Mean => "a mean".to_owned(),
                    Type::Str => "a string".to_owned(),
                    Type::Tuple(parts) => format!("a tuple of {}", parts.len()),
                    Type::Tensor(t) => t.show(),
                };
                let mut d = Diagnostic::error("E0207", span, format!("{what} must be {wanted}, found {}", v.show()));
                let text = self.text(span);
                if matches!((ty, &v), (Type::Mean, Value::Tensor(_))) {
                    d = d.fix("`mean({0})`, over all axes, is a mean", [Edit::replace(span, format!("mean({text})"))]);
                }
                if let (Type::Schedule | Type::Int, Value::Str(s)) = (ty, &v)
                    && (s.parse::<i64>().is_ok() || matches!(ty, Type::Schedule) && s.parse::<f64>().is_ok())
                {
                    d = d.fix(format!("write `{s}`"), [Edit::replace(span, &**s)]);
                }
                if let (Type::Tuple(parts), Value::List(items)) = (ty, &v)
                    && parts.len() == items.len()
                    && let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'))
                {
                    let t = format!("({inner})");
                    d = d.fix(format!("a tuple has round brackets: `{}`", shown(&t)), [Edit::replace(span, t)]);
                }
                Err(self.error(d))
            }
        }
    }

    /// A value that can be no tensor where a type says one.
    fn no_tensor<T>(&mut self, v: &Value, ty: &Ty, span: Span, what: &str) -> R<T> {
        let wanted = self.text(ty.span).to_owned();
        let d = Diagnostic::error("E0207", span, format!("{what} must be {wanted}, found {}", v.show()));
        Err(self.error(self.wanted_tensor(d, v, span)))
    }

    /// [`Elab::coerce`] to a tensor type.
    pub fn coerce_tensor(&mut self, v: Value, ty: &TensorType, span: Span, what: &str) -> R<Value> {
        if is_static(&v) {
            return self.coerce_static(v, ty, span, what);
        }
        if let Value::Hole(h) = &v {
            let d = self.as_dim(&Value::Hole(h.clone()), span, what)?;
            return self.coerce_static(Value::Dim(d), ty, span, what);
        }
        let hint = match &ty.elem {
            ElemType::Exact(e) => Some(e.dtype()),
            ElemType::Float => Some(self.float),
            _ => None,
        };
        if let ElemType::Exact(Elem::Plain(d)) = &ty.elem {
            self.fits(&v, *d, span)?;
        }
        // Bools are no numbers, nor numbers bools: such a list gets the type that it has by itself.
        let bools = |d: DType| d == DType::Bool;
        let hint = hint.filter(|d| bools(*d) == super::cx::all_bools(&v));
        let t = match &v {
            Value::Tensor(t) => t.clone(),
            v => match self.to_tensor(v, hint) {
                Some(t) => t,
                None => {
                    let message = format!("{what} must be {}, found {}", ty.show(), v.show());
                    let d = Diagnostic::error("E0207", span, message);
                    return Err(self.error(self.wanted_tensor(d, v, span)));
                }
            },
        };
        // Whole numbers written out are class numbers if all of them are in range.
        let t = match (&ty.elem, &v) {
            (ElemType::Exact(Elem::Idx(n)), Value::List(_)) => match super::cx::numbers(&v) {
                Some((_, xs, false)) => match xs.iter().find(|x| **x < 0.0 || **x >= n.size as f64) {
                    None => Tensor { elem: Elem::Idx(n.clone()), ..t },
                    Some(x) => return self.err("E0111", span, format!("{x} is outside idx<{}>", n.show())),
                },
                _ => t,
            },
            _ => t,
        };
        let t = self.coerce_elem(t, ty, span, what)?;
        let dims = self.fit_dims(&t, ty, span, what)?;
        Ok(Value::Tensor(Tensor { dims, ..t }))
    }

    fn coerce_static(&mut self, v: Value, ty: &TensorType, span: Span, what: &str) -> R<Value> {
        let fits = match (&ty.elem, &v) {
            (ElemType::Exact(e), Value::Float(_)) => e.dtype().is_float(),
            (ElemType::Float, Value::Bool(_)) => false,
            (ElemType::Exact(e), Value::Bool(_)) => e.dtype() == DType::Bool,
            (ElemType::Exact(e), _) => e.dtype() != DType::Bool,
            _ => true,
        };
        if !fits {
            let message = format!("{what} must be {}, found {}", ty.show(), v.show());
            return self.err("E0202", span, message);
        }
        if let (ElemType::Exact(Elem::Idx(n)), Some(tensor::Num::Int(i))) = (&ty.elem, tensor::Num::of(&v))
            && u64::try_from(i).map_or(true, |i| i >= n.size)
        {
            return self.err("E0111", span, format!("{i} is outside idx<{}>", n.show()));
        }
        if let ElemType::Exact(Elem::Plain(d)) = &ty.elem {
            self.fits(&v, *d, span)?;
        }
        let v = match (&ty.elem, v) {
            (ElemType::Float, Value::Int(n)) => Value::Float(n as f64),
            (ElemType::Exact(e), Value::Int(n)) if e.dtype().is_float() => Value::Float(n as f64),
            (ElemType::Float, Value::Dim(d)) => Value::Float(d.size as f64),
            (_, v) => v,
        };
        let weak = !matches!(ty.elem, ElemType::Exact(Elem::Idx(_)));
        if ty.dims.is_empty() && weak {
            return Ok(v);
        }
        let elem = match (&ty.elem, &v) {
            (ElemType::Num | ElemType::Any, Value::Int(_) | Value::Dim(_)) => Elem::Plain(DType::I32),
            (ElemType::Any, Value::Bool(_)) => Elem::Plain(DType::Bool),
            _ => ty.elem_or(self.float),
        };
        // An open row takes a number as it is: no axes at all.
        let dims: Vec<AxisType> = ty.dims.iter().filter(|d| !matches!(d, AxisType::Rest(_))).cloned().collect();
        let known = TensorType { elem: ty.elem.clone(), dims }.known();
        let Some(dims) = known else {
            return self.err("E0106", span, format!("{what}: the shape to fill with {} is not known", v.show()));
        };
        self.check_shape(&dims, span)?;
        let t = self.as_tensor(&v, Some(elem.dtype()), span)?;
        let t = Tensor { elem, ..t };
        let t = if dims.is_empty() { t } else { tensor::broadcast_to(self, &t, &dims, span)? };
        Ok(Value::Tensor(Tensor { dims, ..t }))
    }

    fn coerce_elem(&mut self, t: Tensor, ty: &TensorType, span: Span, what: &str) -> R<Tensor> {
        let (have, want, text) = (t.elem.dtype(), &ty.elem, self.text(span));
        // One axis more than is asked for, as long as there are classes.
        let rows = |d: &Dim| d.name.as_deref() == Some("B");
        let one_hot =
            |n: u64| t.dims.len() == ty.dims.len() + 1 && t.dims.last().is_some_and(|d| d.size == n && !rows(d));
        let ok = match want {
            ElemType::Any => true,
            ElemType::Num => have != DType::Bool,
            ElemType::Float => have.is_float(),
            ElemType::Exact(Elem::Plain(d)) if *d == have => {
                // Declared as f32 is f32, however well its numbers were known.
                self.st.exact.remove(&t.id);
                true
            }
            ElemType::Exact(Elem::Plain(d)) if d.is_float() && have.is_float() => {
                return match tensor::cast(self, &Value::Tensor(t), &Elem::Plain(*d), span)? {
                    Value::Tensor(t) => Ok(t),
                    v => self.as_tensor(&v, Some(*d), span),
                };
            }
            ElemType::Exact(Elem::Plain(_)) => false,
            ElemType::Exact(Elem::Idx(n)) => match &t.elem {
                Elem::Idx(m) if m.size == n.size => return Ok(Tensor { elem: Elem::Idx(n.clone()), ..t }),
                Elem::Idx(m) => {
                    self.learn(m.size, n.size);
                    let message = format!("index space mismatch: idx<{}> where {what} is idx<{}>", m.show(), n.show());
                    let mut d = Diagnostic::error("E0111", span, message).here(format!("this is idx<{}>", m.show()));
                    d = label_origins(d, span, m, n).help(format!("give both the same size: {} or {}", m.size, n.size));
                    if m.size > n.size {
                        d = d.note(format!("ids up to {} would be outside of {} classes", m.size - 1, n.size));
                    }
                    return Err(self.error(d));
                }
                Elem::Plain(_) if tensor::constant_within(self, &t, n.size) => {
                    return Ok(Tensor { elem: Elem::Idx(n.clone()), ..t });
                }
                Elem::Plain(_) => {
                    let message = format!("{what} must be idx<{}>, found {}", n.show(), t.show());
                    // The callee's own name for the size means nothing where the edit is made.
                    let mut outer = n;
                    while let Some(o) = self.dims.get(outer.id.0 as usize).and_then(|i| i.outer.as_ref()) {
                        outer = o;
                    }
                    let name = outer.name.as_deref().map_or_else(|| n.size.to_string(), str::to_owned);
                    let d = Diagnostic::error("E0111", span, message);
                    if have.is_float() {
                        self.st.mistyped.push(span);
                    }
                    if one_hot(n.size) {
                        let d = d.note("a number for each class is no class number");
                        let ids = text.strip_prefix("one_hot[").and_then(|t| t.split_once("](")?.1.strip_suffix(')'));
                        if let Some(ids) = ids.filter(|i| !i.contains([',', '('])) {
                            return Err(self.error(d.fix(format!("write `{ids}`"), [Edit::replace(span, ids)])));
                        }
                        let edit = Edit::replace(span, format!("argmax({text})"));
                        return Err(self.error(d.fix(format!("take the largest: `argmax({})`", shown(text)), [edit])));
                    }
                    if rows(outer) {
                        return Err(self.error(d.note("the rows of the batch would be the classes").help(
                            "scores have an axis of classes behind the rows; one score for each row is for `bce_with_logits`",
                        )));
                    }
                    if n.size == 1 {
                        return Err(self.error(d.note("with one class there is nothing to tell apart").help(
                            "of one score for each row take `mean(bce_with_logits(scores[:, 0], y))`, or give the last layer an \
                             output for each class",
                        )));
                    }
                    // What flows from layer to layer is not class numbers, and no cast of a layer makes it that.
                    if t.elem.dtype().is_float() && self.st.callee.is_some() {
                        return Err(self.error(d.note(
                            "a layer that reads class numbers, such as `Embedding`, stands where they come in, before layers of floats",
                        )));
                    }
                    let d = d
                        .fix(format!("`{{0}} as idx<{name}>`"), [Edit::replace(span, format!("{{0}} as idx<{name}>"))]);
                    return Err(self.error(d));
                }
            },
        };
        if ok {
            return Ok(t);
        }
        let wanted = match want {
            ElemType::Exact(e) => e.dtype().name(),
            ElemType::Num => "num",
            _ => "float",
        };
        let message = format!("{} and {wanted} do not mix: {what} must be {wanted}, found {}", have.name(), t.show());
        let d = Diagnostic::error("E0202", span, message);
        let to = if wanted == "float" || wanted == "num" { self.float.name() } else { wanted };
        // Class numbers where numbers for each class are wanted.
        if let (Elem::Idx(n), "f32" | "f64") = (&t.elem, to)
            && ty.known().is_some_and(|d| d.len() == t.dims.len() + 1 && d.last().is_some_and(|d| d.size == n.size))
        {
            let edit = format!("one_hot[{}]({}) as {to}", n.size, self.text(span));
            return Err(self.error(d.fix(format!("one number for each class: `{edit}`"), [Edit::replace(span, edit)])));
        }
        // What is cast has no type to take its size from.
        let sized = match (text.strip_prefix("one_hot("), t.dims.last()) {
            (Some(rest), Some(n)) => format!("one_hot[{}]({rest} as {to}", n.size),
            _ => format!("{{0}} as {to}"),
        };
        let d = d.fix(format!("`{sized}`"), [Edit::replace(span, sized)]);
        Err(self.error(d))
    }

    /// The tensor's dims under the type's names.
    fn fit_dims(&mut self, t: &Tensor, ty: &TensorType, span: Span, what: &str) -> R<Vec<Dim>> {
        let row = ty.dims.iter().position(|d| matches!(d, AxisType::Rest(_)));
        let fixed = ty.dims.len() - usize::from(row.is_some());
        let ok = if row.is_some() { t.dims.len() >= fixed } else { t.dims.len() == fixed };
        if !ok {
            let d = self.shape_error(&ty.show_shape(), &t.dims, span, what);
            return Err(self.error(d));
        }
        let mut out = Vec::with_capacity(t.dims.len());
        let mut k = 0;
        for axis in &ty.dims {
            match axis {
                AxisType::Rest(_) => {
                    let n = t.dims.len() - fixed;
                    out.extend(t.dims[k..k + n].iter().cloned());
                    k += n;
                }
                AxisType::Infer(_) => {
                    out.push(t.dims[k].clone());
                    k += 1;
                }
                AxisType::Dim(d) => {
                    let have = &t.dims[k];
                    if have.size != d.size {
                        return Err(self.size_error(t, k, ty, d, span, what));
                    }
                    out.push(d.clone());
                    k += 1;
                }
            }
        }
        Ok(out)
    }

    fn size_error(&mut self, t: &Tensor, axis: usize, ty: &TensorType, want: &Dim, span: Span, what: &str) -> Reported {
        let have = t.dims[axis].clone();
        self.learn(have.size, want.size);
        let layer = self.st.callee.clone();
        let user = |el: &Self, s: Option<Span>| s.filter(|s| !el.is_std(*s));
        let d = match layer {
            Some(m) if axis + 1 == t.dims.len() || axis == 1 && self.is_std_layer(&m) => {
                let last = axis + 1 == t.dims.len();
                let what = if last { "feature" } else { "channel" };
                let flow = if have.size == 1 { format!("{what} flows") } else { format!("{what}s flow") };
                let (flows, reads) = (have.show_outer(self), want.show_outer(self));
                let message = format!("these layers do not fit: {flows} {flow} into a layer that reads {reads}");
                let reads = want.show_outer(self);
                let reads = match (last, t.dims.len()) {
                    (true, 1) => format!("[{reads}]"),
                    (true, _) => format!("[.., {reads}]"),
                    (false, _) => format!("[B, {reads}, ..]"),
                };
                let produced = show_dims(&t.dims);
                let mut d = match user(self, want.origin) {
                    Some(s) => Diagnostic::error("E0101", s, message).here(format!("this layer reads {reads}")),
                    None => Diagnostic::error("E0101", m.span, message).here(format!("`{}` reads {reads}", m.show())),
                };
                if let Some(s) = user(self, have.origin) {
                    d = d.label(s, format!("the size comes from here: {produced} arrives"));
                } else if user(self, Some(span)).is_some() {
                    d = d.label(span, format!("{produced} arrives here"));
                }
                let flat = if last { self.flatten_help(d, &m.template, &t.dims, want.size, span) } else { Err(d) };
                match flat {
                    Ok(d) => d,
                    Err(d) => self.fit_help(d, &m.template, want, have.size),
                }
            }
            _ => {
                let mut d = self.shape_error(&ty.show_shape(), &t.dims, span, what);
                d = d.note(format!("axis {axis} is {}, not {}", have.show(), want.show()));
                label_origins(d, span, &have, want)
            }
        };
        self.error(d)
    }

    /// All axes but the first together are what the layer reads: a `Flatten` is missing. The finding back if they are not.
    fn flatten_help(
        &self,
        d: Diagnostic,
        m: &ModelTemplate,
        dims: &[Dim],
        want: u64,
        span: Span,
    ) -> Result<Diagnostic, Diagnostic> {
        let all = dims.iter().skip(1).try_fold(1u64, |n, d| n.checked_mul(d.size));
        if dims.len() < 3 || all != Some(want) {
            return Err(d);
        }
        let values = super::calls::count(want as usize, "value");
        let d = d.note(format!("{values} in each row: {}", show_dims(&dims[1..])));
        Ok(if self.st.entry == Some(m.span) {
            d.fix("join the axes before it: `Flatten`", [Edit::before(m.span, "Flatten, ")])
        } else {
            let text = format!("flatten({})", self.text(span));
            d.fix(format!("join the axes first: `{}`", shown(&text)), [Edit::replace(span, text)])
        })
    }

    /// `write Linear[_, 10] to infer it`, `or Linear[512, 10]`
    fn fit_help(&self, d: Diagnostic, m: &ModelTemplate, want: &Dim, size: u64) -> Diagnostic {
        let (TemplateKind::Item { def, .. }, Some(dims)) = (&m.kind, &m.dims) else { return d };
        let Some(at) = dims.iter().position(|(_, s)| Some(*s) == want.origin) else { return d };
        let with = |x: &str| {
            let texts: Vec<&str> =
                dims.iter().enumerate().map(|(i, (_, s))| if i == at { x } else { self.text(*s) }).collect();
            format!("{}[{}]", def.name.text, texts.join(", "))
        };
        let span = dims[at].1;
        d.fix(format!("write `{}` to infer it", with("_")), [Edit::replace(span, "_")])
            .fix(format!("or give the size: `{}`", with(&size.to_string())), [Edit::replace(span, size.to_string())])
    }

    /// Is a layer one of std's?
    fn is_std_layer(&self, m: &Instance) -> bool {
        matches!(&m.template.kind, TemplateKind::Item { def, .. } if self.is_std(def.name.span))
    }

    /// `|x| x[:, new]` or `|x| reshape(x, [_, 1, 28, 28])` before a layer of std that reads images and gets rows or planes.
    fn channel_help(&self, d: Diagnostic, m: &Instance, actual: &[Dim], axes: usize, span: Span) -> Diagnostic {
        if !self.is_std_layer(m) || self.is_std(span) {
            return d;
        }
        let (what, index) = match actual {
            [_, n] if axes == 4 && n.size.isqrt().pow(2) == n.size => {
                let side = n.size.isqrt();
                ("make rows images of one channel", format!("reshape($, [_, 1, {side}, {side}])"))
            }
            [_, _, ..] if axes == actual.len() + 1 => ("add the axis of the channels", "$[:, new]".to_owned()),
            _ => return d,
        };
        if self.st.entry == Some(m.span) {
            let text = format!("|x| {}", index.replace('$', "x"));
            d.fix(format!("{what}: `{text}`"), [Edit::before(m.span, format!("{text}, "))])
        } else {
            let text = index.replace('$', self.text(span));
            d.fix(format!("{what}: `{}`", shown(&text)), [Edit::replace(span, text)])
        }
    }

    fn rank_error(&mut self, ty: &Ty, actual: &[Dim], env: &Env, span: Span, what: &str) -> Reported {
        let shape = self.show_ty_shape(ty, env);
        let d = self.shape_error(&shape, actual, span, what);
        let last = match &ty.kind {
            TyKind::Tensor { shape: Some(items), .. } => match items.last() {
                Some(ShapeItem::Dim(e)) => {
                    // A dim that only this argument would have told is not there.
                    let before = self.diags.len();
                    let value = self.dim_value(*e, env);
                    self.diags.truncate(before);
                    match value {
                        Ok(Value::Dim(d)) => Some(d.size),
                        Ok(Value::Int(n)) => u64::try_from(n).ok(),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        };
        let axes = match &ty.kind {
            TyKind::Tensor { shape: Some(items), .. } if items.iter().all(|i| matches!(i, ShapeItem::Dim(_))) => {
                items.len()
            }
            _ => 0,
        };
        let d = match &ty.kind {
            TyKind::Tensor { shape: None, .. } if !actual.is_empty() && !self.is_std(ty.span) => {
                let text = self.text(ty.span).to_owned();
                let t = if matches!(&*text, "float" | "f32") { "[..S]".to_owned() } else { format!("{text}[..S]") };
                let at = ty.span;
                d.label(at, format!("`{text}` without axes is one number"))
                    .fix(format!("write `{t}` for a tensor of any axes"), [Edit::replace(at, t)])
            }
            _ => d,
        };
        let d = match self.st.callee.clone() {
            Some(m) => self.channel_help(d, &m, actual, axes, span),
            None => d,
        };
        let d = match (self.st.callee.clone(), last) {
            (Some(m), Some(n)) => self.flatten_help(d, &m.template, actual, n, span).unwrap_or_else(|d| d),
            _ => d,
        };
        self.error(d)
    }

    fn shape_error(&self, want: &str, actual: &[Dim], span: Span, what: &str) -> Diagnostic {
        let found = show_dims(actual);
        match &self.st.callee {
            Some(m) => {
                let message = format!("these layers do not fit: {found} flows into a layer that reads {want}");
                let at = if self.is_std(m.span) { span } else { m.span };
                let mut d = Diagnostic::error("E0101", at, message).here(format!("{what} is {want}"));
                if at != span && !self.is_std(span) {
                    d = d.label(span, format!("{found} arrives from here"));
                }
                for dim in actual {
                    if let Some(o) = dim.origin
                        && !self.is_std(o)
                    {
                        d = d.label(o, format!("{} comes from here", dim.show()));
                    }
                }
                d
            }
            None => {
                let d = Diagnostic::error("E0114", span, format!("{what} must be {want}, found {found}"));
                let sizes: Vec<String> = actual.iter().filter(|d| d.name.is_some()).map(Dim::show).collect();
                if sizes.is_empty() { d } else { d.note(format!("here {}", sizes.join(", "))) }
            }
        }
    }

    /// The shape of a type as written, known sizes filled in.
    fn show_ty_shape(&mut self, ty: &Ty, env: &Env) -> String {
        let TyKind::Tensor { shape, .. } = &ty.kind else { return self.text(ty.span).to_owned() };
        let mut parts = vec![];
        for item in shape.iter().flatten() {
            parts.push(match item {
                ShapeItem::Row(None, _) => "..".to_owned(),
                ShapeItem::Row(Some(n), _) => format!("..{}", n.text),
                ShapeItem::Dim(e) => {
                    let span = self.ast.span(*e);
                    match &self.ast.expr(*e).kind {
                        ExprKind::Name(n) => match self.lookup(n, span, env) {
                            Ok(Some(Value::Dim(d))) => d.show_outer(self),
                            Ok(Some(Value::Int(n))) => n.to_string(),
                            _ => n.to_string(),
                        },
                        _ => self.text(span).to_owned(),
                    }
                }
            });
        }
        format!("[{}]", parts.join(", "))
    }
}

/// Adds where two sizes come from.
fn label_origins(mut d: Diagnostic, at: Span, have: &Dim, want: &Dim) -> Diagnostic {
    for dim in [have, want] {
        if let Some(o) = dim.origin
            && o != at
            && !d.labels.iter().any(|l| l.span == o)
        {
            d = d.label(o, format!("{} comes from here", dim.show()));
        }
    }
    d
}

impl Dim {
    /// As the caller knows it: its outermost name, or the size.
    pub fn show_outer(&self, el: &Elab<'_>) -> String {
        let mut d = self;
        while let Some(outer) = el.dims.get(d.id.0 as usize).and_then(|i| i.outer.as_ref()) {
            d = outer;
        }
        d.show()
    }
}

impl TensorType {
    /// As messages show it: `f32[B, _]`.
    pub fn show(&self) -> String {
        let elem = match &self.elem {
            ElemType::Exact(Elem::Plain(d)) => d.name().to_owned(),
            ElemType::Exact(Elem::Idx(n)) => {
                format!("idx<{}>", n.name.as_deref().map_or_else(|| n.size.to_string(), str::to_owned))
            }
            ElemType::Float => "float".to_owned(),
            ElemType::Num => "num".to_owned(),
            ElemType::Any => "any".to_owned(),
        };
        if self.dims.is_empty() { elem } else { format!("{elem}{}", self.show_shape()) }
    }

    /// The shape alone: `[B, _]`.
    pub fn show_shape(&self) -> String {
        let parts: Vec<String> = self
            .dims
            .iter()
            .map(|d| match d {
                AxisType::Dim(d) => d.show(),
                AxisType::Infer(_) => "_".to_owned(),
                AxisType::Rest(_) => "..".to_owned(),
            })
            .collect();
        format!("[{}]", parts.join(", "))
    }
}
