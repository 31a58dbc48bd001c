//! The arguments of a call, read by the signature of what is called.
//!
//! In: a signature, and a call with its arguments evaluated (builtins) or as syntax (sources, values of settings). Out:
//! each argument by the name of its parameter, converted to what the function asks for. A wrong one is told with the
//! signature.

use super::cx::{CallArgs, Elab, Env, R};
use super::signature::{Brackets, Fit, Given, How, Kind, Param, Signature};
use super::tensor::Opd;
use super::tensor::axes;
use super::value::{AxisType, Dim, Elem, Tensor, Type, Value};
use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::{self, ExprKind, Ident};

/// A call under way.
pub struct Args {
    /// What is called.
    pub sig: &'static Signature,
    /// The form that the arguments fit.
    pub form: usize,
    /// The whole call.
    pub span: Span,
    /// The callee.
    pub callee: Span,
    /// The type that the result is going to have, where one is written.
    pub expect: Option<Type>,
    /// Names around the call.
    pub env: Env,
    brackets: Option<Vec<(Value, Span)>>,
    given: Vec<Vec<Given<Value>>>,
}

impl Args {
    /// Reads an evaluated call; nodes made from now on carry its place.
    pub fn read(el: &mut Elab<'_>, sig: &'static Signature, call: CallArgs) -> R<Args> {
        el.span_nodes(call.span);
        if let (Brackets::No, Some((_, s))) = (sig.brackets, call.dims.as_ref().and_then(|d| d.first())) {
            return Err(el.error(sig.wrong(*s, format!("`{}` takes no sizes in brackets", sig.name))));
        }
        let sources = el.sources;
        let fit = sig.fit(call.pos, call.named, call.span, &|s| sources.text(s));
        let Fit { form, given } = fit.map_err(|d| el.error(*d))?;
        Ok(Args {
            sig,
            form,
            span: call.span,
            callee: call.callee,
            expect: call.expect,
            env: call.env,
            brackets: call.dims,
            given,
        })
    }

    /// Reads a call that is not evaluated yet. Arguments of kinds without a value (names of parts, `val.acc`) become
    /// their text.
    pub fn read_syntax(
        el: &mut Elab<'_>,
        sig: &'static Signature,
        args: &[ast::Arg],
        (span, callee): (Span, Span),
        env: &Env,
    ) -> R<Args> {
        let (mut pos, mut named) = (vec![], vec![]);
        for a in args {
            match &a.name {
                None => pos.push((a.value, el.ast.span(a.value))),
                Some(n) => named.push((n.clone(), a.value, el.ast.span(a.value))),
            }
        }
        let sources = el.sources;
        let fit = sig.fit(pos, named, span, &|s| sources.text(s));
        let Fit { form, given } = fit.map_err(|d| el.error(*d))?;
        let mut values = vec![];
        let mut failed = None;
        for (p, list) in sig.forms[form].iter().zip(given) {
            let mut out = vec![];
            for g in list {
                let v = if p.kind.is_evaluated() { el.eval(g.value, env) } else { word(el, sig, p, g.value) };
                match v {
                    Ok(value) => out.push(Given { value, span: g.span, name: g.name }),
                    Err(e) => failed = Some(e),
                }
            }
            values.push(out);
        }
        let args = Args { sig, form, span, callee, expect: None, env: env.clone(), brackets: None, given: values };
        failed.map_or(Ok(args), Err)
    }

    /// The name of what is called.
    pub fn name(&self) -> &'static str {
        self.sig.name
    }

    fn at(&self, name: &str) -> Option<usize> {
        let at = self.sig.forms[self.form].iter().position(|p| p.name == name);
        debug_assert!(at.is_some(), "`{}` has no parameter `{name}`", self.sig.name);
        at
    }

    /// An argument, if it is given.
    pub fn get(&self, name: &str) -> Option<(Value, Span)> {
        let g = self.given.get(self.at(name)?)?.first()?;
        Some((g.value.clone(), g.span))
    }

    /// Is an argument given by its name?
    pub fn is_named(&self, name: &str) -> bool {
        self.at(name).and_then(|i| self.given[i].first()).is_some_and(|g| g.name.is_some())
    }

    /// Arguments of a parameter that takes any number.
    pub fn all(&self, name: &str) -> Vec<(Value, Span)> {
        let list = self.at(name).map(|i| &self.given[i][..]).unwrap_or_default();
        list.iter().map(|g| (g.value.clone(), g.span)).collect()
    }

    /// Arguments that came by names of their own.
    pub fn named(&self, name: &str) -> Vec<(Ident, Value, Span)> {
        let list = self.at(name).map(|i| &self.given[i][..]).unwrap_or_default();
        list.iter().filter_map(|g| Some((g.name.clone()?, g.value.clone(), g.span))).collect()
    }

    /// An argument; a default that is a number stands for one that is left out.
    pub fn value(&self, el: &mut Elab<'_>, name: &str) -> R<(Value, Span)> {
        if let Some(v) = self.get(name) {
            return Ok(v);
        }
        let param = self.sig.forms[self.form].iter().find(|p| p.name == name);
        if let Some(How::Else(d) | How::Named(d)) = param.map(|p| p.how)
            && let Some(v) = literal(d)
        {
            return Ok((v, self.span));
        }
        Err(el.error(self.sig.wrong(self.span, format!("`{}` needs `{name}`", self.sig.name))))
    }

    /// A conversion of an argument; what it says is told with the signature.
    fn convert<T>(&self, el: &mut Elab<'_>, f: impl FnOnce(&mut Elab<'_>) -> R<T>) -> R<T> {
        let before = el.diags.len();
        let r = f(el);
        if r.is_err()
            && let Some(d) = el.diags.get_mut(before)
        {
            *d = self.sig.explain(d.clone());
        }
        r
    }

    fn what(&self, name: &str) -> String {
        format!("`{name}` of `{}`", self.sig.name)
    }

    /// An operand: a tensor or a static number.
    pub fn operand(&self, el: &mut Elab<'_>, name: &str) -> R<Opd> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| el.operand(&v, s))
    }

    /// A tensor; a static number becomes a scalar.
    pub fn tensor(&self, el: &mut Elab<'_>, name: &str) -> R<(Tensor, Span)> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| Ok((el.as_tensor(&v, None, s)?, s)))
    }

    /// A static number.
    pub fn float(&self, el: &mut Elab<'_>, name: &str) -> R<f64> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| el.as_float(&v, s, &self.what(name)))
    }

    /// A static int.
    pub fn int(&self, el: &mut Elab<'_>, name: &str) -> R<i64> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| el.as_int(&v, s, &self.what(name)))
    }

    /// A static bool.
    pub fn flag(&self, el: &mut Elab<'_>, name: &str) -> R<bool> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| el.as_bool(&v, s, &self.what(name)))
    }

    /// A string.
    pub fn text(&self, el: &mut Elab<'_>, name: &str) -> R<String> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| Ok(el.as_str(&v, s, &self.what(name))?.to_string()))
    }

    /// A size as a dim: a number gets no name.
    pub fn size(&self, el: &mut Elab<'_>, name: &str) -> R<Dim> {
        let (v, s) = self.value(el, name)?;
        self.convert(el, |el| el.as_dim(&v, s, &self.what(name)))
    }

    /// The axis given, or the one that the default names.
    pub fn axis(&self, el: &mut Elab<'_>, t: &Tensor, name: &str, shown: &str) -> R<usize> {
        let (v, s) = self.value(el, name)?;
        axes::axis(el, t, &v, s, &format!("{}({shown}, {})", self.sig.name, written(&v)))
    }

    /// The axes given, or all.
    pub fn axes(&self, el: &mut Elab<'_>, t: &Tensor, name: &str, shown: &str) -> R<Vec<usize>> {
        match self.get(name) {
            None => Ok((0..t.dims.len()).collect()),
            Some((v, s)) => axes::axes(el, t, &v, s, &format!("{}({shown}, {})", self.sig.name, written(&v))),
        }
    }

    /// The sizes between the brackets; without brackets those of the expected type.
    pub fn dims(&self, el: &mut Elab<'_>) -> R<Vec<Dim>> {
        if let Some(list) = &self.brackets {
            let mut out = vec![];
            for (v, s) in list {
                out.push(self.convert(el, |el| el.as_dim(v, *s, "a size"))?);
            }
            el.check_shape(&out, self.span)?;
            return Ok(out);
        }
        if let Some(Type::Tensor(t)) = &self.expect
            && let Some(dims) = t.known()
        {
            return Ok(dims);
        }
        let name = self.sig.name;
        let d = Diagnostic::error("E0106", self.callee, format!("`{name}` needs a shape"))
            .help(format!("write it between brackets: `{name}[2, 3]`"));
        Err(el.error(self.sig.explain(d)))
    }

    /// The one size between the brackets; without brackets the last axis of the expected type.
    pub fn one_dim(&self, el: &mut Elab<'_>) -> R<Dim> {
        if self.brackets.is_none()
            && let Some(Type::Tensor(t)) = &self.expect
            && let Some(AxisType::Dim(d)) = t.dims.last()
        {
            return Ok(d.clone());
        }
        if self.brackets.is_none()
            && let Some(Value::Tensor(Tensor { elem: Elem::Idx(n), .. })) =
                self.given.first().and_then(|g| Some(&g.first()?.value))
            && !el.is_std(self.callee)
        {
            let text = format!("{}[{}]", self.sig.name, n.size);
            let d = Diagnostic::error("E0106", self.callee, format!("`{}` needs the number of classes", self.sig.name));
            return Err(el.error(d.fix(format!("write `{text}(..)`"), [Edit::replace(self.callee, text)])));
        }
        if self.brackets.is_none() && !el.is_std(self.callee) {
            let name = self.sig.name;
            let d = Diagnostic::error("E0106", self.callee, format!("`{name}` needs its size"));
            let d = d.help(format!("write it between brackets: `{name}[3](..)`"));
            return Err(el.error(self.sig.explain(d)));
        }
        let mut dims = self.dims(el)?;
        match (dims.pop(), dims.is_empty()) {
            (Some(d), true) => Ok(d),
            _ => {
                let found = self.brackets.as_ref().map_or(0, Vec::len);
                let message = format!("`{}` takes one size in brackets, {found} given", self.sig.name);
                Err(el.error(self.sig.wrong(self.callee, message)))
            }
        }
    }
}

/// An argument that is a word and not a value.
fn word(el: &mut Elab<'_>, sig: &'static Signature, p: &Param, e: ast::ExprId) -> R<Value> {
    let kind = p.kind;
    let text = match &el.ast.expr(e).kind {
        ExprKind::Name(n) => Some(n.to_string()),
        ExprKind::Field { base, name } if kind == Kind::Watched => match &el.ast.expr(*base).kind {
            ExprKind::Name(part) => Some(format!("{part}.{}", name.text)),
            _ => None,
        },
        _ => None,
    };
    let fits = |t: &str| kind != Kind::Direction || matches!(t, "min" | "max");
    match text {
        Some(t) if fits(&t) => Ok(Value::Str(t.into())),
        // What there is to watch is known where it is looked up.
        _ if kind == Kind::Watched => Ok(Value::Str(el.text(el.ast.span(e)).into())),
        _ => {
            let what = match kind {
                Kind::Part => "the name of a part",
                Kind::ColumnName => "the name of a column",
                Kind::Direction => "`min` or `max`",
                _ => "the name of a loss or metric",
            };
            let d = Diagnostic::error("E0212", el.ast.span(e), format!("`{}` takes {what}", p.name));
            Err(el.error(sig.explain(d)))
        }
    }
}

/// As it stands in a call: `T`, `-1`, `[B, 2]`.
pub fn written(v: &Value) -> String {
    match v {
        Value::Dim(d) => d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned),
        Value::List(l) => format!("[{}]", l.iter().map(written).collect::<Vec<_>>().join(", ")),
        v => v.show(),
    }
}

/// The value of a default as its row writes it: a number, bool or string.
fn literal(text: &str) -> Option<Value> {
    let text = text.trim();
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some(Value::Int(n));
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && let Ok(x) = text.parse::<f64>()
    {
        return Some(Value::Float(x));
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(Value::Str(inner.into()))
}
