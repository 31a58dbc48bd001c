//! The arguments of a builtin's call, taken one by one.
//!
//! In: evaluated arguments. Out: what the builtin asks for, converted, or E0208 that says what is missing or left over.

use crate::diag::Diagnostic;
use crate::sema::cx::{CallArgs, Elab, R};
use crate::sema::tensor::{Num, Opd};
use crate::sema::value::{AxisType, Dim, Tensor, Type, Value};
use crate::source::Span;

/// A call under way.
pub struct Args {
    /// Name of the function.
    pub name: &'static str,
    /// What is left.
    pub rest: CallArgs,
}

impl Args {
    /// Takes over a call; nodes made from now on carry its place.
    pub fn new(el: &mut Elab<'_>, name: &'static str, rest: CallArgs) -> Args {
        el.span_nodes(rest.span);
        Args { name, rest }
    }

    /// The whole call.
    pub fn span(&self) -> Span {
        self.rest.span
    }

    /// The next value, or one of the name.
    pub fn value(&mut self, el: &mut Elab<'_>, name: &str) -> R<(Value, Span)> {
        match self.rest.take(name) {
            Some(v) => Ok(v),
            None => el.err("E0208", self.rest.span, format!("`{}` needs `{name}`", self.name)),
        }
    }

    /// The next operand.
    pub fn operand(&mut self, el: &mut Elab<'_>, name: &str) -> R<Opd> {
        let (v, s) = self.value(el, name)?;
        el.operand(&v, s)
    }

    /// The next tensor; a static number becomes a scalar.
    pub fn tensor(&mut self, el: &mut Elab<'_>, name: &str) -> R<(Tensor, Span)> {
        let (v, s) = self.value(el, name)?;
        Ok((el.as_tensor(&v, None, s)?, s))
    }

    /// A static number if one is given.
    pub fn float(&mut self, el: &mut Elab<'_>, name: &str, default: f64) -> R<f64> {
        match self.rest.take(name) {
            Some((v, s)) => el.as_float(&v, s, &format!("`{name}`")),
            None => Ok(default),
        }
    }

    /// A static int that must be given.
    pub fn int(&mut self, el: &mut Elab<'_>, name: &str) -> R<i64> {
        let (v, s) = self.value(el, name)?;
        el.as_int(&v, s, &format!("`{name}`"))
    }

    /// A bool given by name, else false.
    pub fn flag(&mut self, el: &mut Elab<'_>, name: &str) -> R<bool> {
        match self.rest.take_named(name) {
            Some((v, s)) => el.as_bool(&v, s, &format!("`{name}`")),
            None => Ok(false),
        }
    }

    /// The sizes between the brackets; without brackets those of the expected type.
    pub fn dims(&mut self, el: &mut Elab<'_>) -> R<Vec<Dim>> {
        if let Some(list) = self.rest.dims.take() {
            let mut out = vec![];
            for (v, s) in list {
                out.push(self.dim(el, &v, s)?);
            }
            el.check_shape(&out, self.rest.span)?;
            return Ok(out);
        }
        if let Some(Type::Tensor(t)) = &self.rest.expect
            && let Some(dims) = t.known()
        {
            return Ok(dims);
        }
        let name = self.name;
        let d = Diagnostic::error("E0106", self.rest.callee, format!("`{name}` needs a shape"))
            .help(format!("write it between brackets: `{name}[2, 3]`"));
        Err(el.error(d))
    }

    /// The one size between the brackets; without brackets the last axis of the expected type.
    pub fn one_dim(&mut self, el: &mut Elab<'_>) -> R<Dim> {
        let name = self.name;
        if self.rest.dims.is_none()
            && let Some(Type::Tensor(t)) = &self.rest.expect
            && let Some(AxisType::Dim(d)) = t.dims.last()
        {
            return Ok(d.clone());
        }
        let mut dims = self.dims(el)?;
        match (dims.pop(), dims.is_empty()) {
            (Some(d), true) => Ok(d),
            _ => el.err("E0208", self.rest.callee, format!("`{name}` takes one size: `{name}[N]`")),
        }
    }

    /// A size as a dim: a number gets no name.
    pub fn dim(&self, el: &mut Elab<'_>, v: &Value, span: Span) -> R<Dim> {
        if let Value::Dim(d) = v {
            return Ok(d.clone());
        }
        let n = el.as_int(v, span, "a size")?;
        match u64::try_from(n) {
            Ok(n) => Ok(el.literal_dim(n, Some(span))),
            Err(_) => el.err("E0209", span, format!("a size must not be negative, found {n}")),
        }
    }

    /// All arguments without a name that are left.
    pub fn others(&mut self) -> Vec<(Value, Span)> {
        std::mem::take(&mut self.rest.pos)
    }

    /// Reports what is left over.
    pub fn end(self, el: &mut Elab<'_>) -> R<()> {
        let name = self.name;
        if let Some((id, ..)) = self.rest.named.first() {
            return el.err("E0208", id.span, format!("`{name}` has no parameter `{}`", id.text));
        }
        if let Some((v, s)) = self.rest.pos.first() {
            let d = Diagnostic::error("E0208", *s, format!("`{name}` takes fewer arguments"))
                .here(format!("this is {}", v.show()));
            return Err(el.error(d));
        }
        if let Some((_, s)) = self.rest.dims.as_ref().and_then(|d| d.first()) {
            return el.err("E0208", *s, format!("`{name}` takes no sizes in brackets"));
        }
        Ok(())
    }
}

/// The static number in an operand.
pub fn static_number(v: &Value) -> Option<f64> {
    Num::of(v).map(Num::f64)
}
