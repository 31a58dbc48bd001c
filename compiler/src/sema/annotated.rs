//! A type that is written beside a value of another type.
//!
//! In: the finding about the value, the type as written, the value. Out: the finding with one more edit, which writes the
//! type that the value has: which of the two is the mistake only its author knows. Of what a function returns, a size is
//! written only where its type has a number already, or that number, as it may be another at the next call.

use super::cx::{Elab, Env};
use super::value::{Elem, Tensor, Value};
use crate::diag::{Diagnostic, Edit, Help};
use crate::source::Span;
use crate::syntax::ast::{DtypeName, ExprKind, ShapeItem, Ty, TyKind};

/// What the type is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A name that is bound to the value.
    Name,
    /// What a function returns.
    Result,
}

impl Elab<'_> {
    /// Adds the edit to the first finding since `before` if it is about the value at `at` as a whole.
    pub fn annotated(&mut self, before: usize, (ty, of): (&Ty, Of), v: &Value, at: Span, env: &Env) {
        let about = |d: &Diagnostic| {
            matches!(d.code, "E0111" | "E0114" | "E0202" | "E0207") && d.labels.first().is_some_and(|l| l.span == at)
        };
        if self.is_std(ty.span) || !self.diags.get(before).is_some_and(about) {
            return;
        }
        // One number where a vector of one is wanted.
        let one = matches!(v, Value::Tensor(t) if t.dims.is_empty()) && of == Of::Name;
        if one && matches!(&ty.kind, TyKind::Tensor { shape: Some(s), .. } if s.len() == 1) {
            let text = format!("stack({})", self.text(at));
            if let Some(d) = self.diags.get_mut(before) {
                *d = d.clone().fix(format!("make it a vector: `{text}`"), [Edit::replace(at, text)]);
            }
        }
        let Some(text) = self.type_of(v, ty, of, env).filter(|t| t != self.text(ty.span)) else { return };
        // A number that is cut to fit an int is lost, so that is not the first thing to do.
        let cut = matches!(v, Value::Tensor(t) if t.elem.dtype().is_float()) && self.is_int(ty);
        let Some(d) = self.diags.get_mut(before) else { return };
        let first = cut || d.help.iter().all(|h| h.edits.is_empty());
        let message = format!("{} the type that it has: `{text}`", if first { "write" } else { "or write" });
        let help = Help { message, edits: vec![Edit::replace(ty.span, text)] };
        d.help.insert(if first { 0 } else { d.help.len() }, help);
    }

    fn is_int(&self, ty: &Ty) -> bool {
        match &ty.kind {
            TyKind::Tensor { dtype: Some(DtypeName::Named(n)), .. } => n.text.starts_with(['i', 'u']),
            _ => false,
        }
    }

    /// The type of a value as code; in the style of the one that is written.
    fn type_of(&mut self, v: &Value, ty: &Ty, of: Of, env: &Env) -> Option<String> {
        let TyKind::Tensor { dtype, shape } = &ty.kind else { return None };
        let t = match v {
            Value::Tensor(t) => t.clone(),
            Value::List(_) => self.to_tensor(v, None)?,
            Value::Float(_) => return Some("float".to_owned()),
            Value::Bool(_) => return Some("bool".to_owned()),
            Value::Str(_) => return Some("str".to_owned()),
            _ => return None,
        };
        let elem = self.elem_of(&t, dtype.as_ref());
        let int = |item: &ShapeItem| match item {
            ShapeItem::Dim(e) => match self.ast.expr(*e).kind {
                ExprKind::Int(n) => u64::try_from(n).ok(),
                _ => None,
            },
            _ => None,
        };
        let numbers: Vec<Option<u64>> = shape.iter().flatten().map(int).collect();
        let mut dims = vec![];
        for (i, d) in t.dims.iter().enumerate() {
            let seen = d.name.clone().filter(|n| {
                let known = self.lookup(n, ty.span, env).ok().flatten();
                matches!(known, Some(Value::Dim(o)) if o.size == d.size)
            });
            let number = numbers.contains(&Some(d.size)) || numbers.get(i).is_some_and(Option::is_some);
            match seen {
                Some(n) => dims.push(n.to_string()),
                None if of == Of::Name || number => dims.push(d.size.to_string()),
                None => return None,
            }
        }
        Some(match (dims.is_empty(), elem.is_empty()) {
            (true, true) => "[]".to_owned(),
            (true, false) => elem,
            _ => format!("{elem}[{}]", dims.join(", ")),
        })
    }

    fn elem_of(&self, t: &Tensor, written: Option<&DtypeName>) -> String {
        match &t.elem {
            Elem::Idx(n) => format!("idx<{}>", n.size),
            Elem::Plain(d) if *d == self.float => match written {
                None => String::new(),
                Some(DtypeName::Named(n)) if &*n.text == "float" => "float".to_owned(),
                _ => d.name().to_owned(),
            },
            Elem::Plain(d) => d.name().to_owned(),
        }
    }
}
