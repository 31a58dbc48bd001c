//! Arithmetic on static numbers, with dims that keep their names.
//!
//! In: static values. Out: static values; a size computed from dims is a dim again, named as a person would write it
//! (`4*D`), and the same computation gives the same identity.

use super::cx::{Elab, R};
use super::value::{Dim, DimFrom, DimId, Value};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::BinaryOp;

#[cfg(test)]
mod tests;

/// Letters of a dim's name; a longer expression has none, so that a sum that grows in a loop stays cheap.
const MAX_NAME: usize = 80;

/// The text of an operator.
pub fn op_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Pipe => "|>",
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::Range => "..",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Rem => "%",
        BinaryOp::MatMul => "@",
        BinaryOp::Pow => "**",
    }
}

/// A static number, taken apart.
#[derive(Clone, Copy)]
enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    fn of(v: &Value) -> Option<Num> {
        match v {
            Value::Int(n) => Some(Num::Int(*n)),
            Value::Dim(d) => i64::try_from(d.size).ok().map(Num::Int),
            Value::Bool(b) => Some(Num::Int(i64::from(*b))),
            Value::Float(x) => Some(Num::Float(*x)),
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Num::Int(n) => n as f64,
            Num::Float(x) => x,
        }
    }
}

/// Is a value a static number or bool?
pub fn is_static(v: &Value) -> bool {
    Num::of(v).is_some()
}

impl Elab<'_> {
    /// `a op b` of static values; exact division and overflow are checked.
    pub fn static_binary(&mut self, op: BinaryOp, a: &Value, b: &Value, span: Span) -> R<Value> {
        use BinaryOp as B;
        if let (Value::Str(x), Value::Str(y)) = (a, b) {
            match op {
                B::Eq => return Ok(Value::Bool(x == y)),
                B::Ne => return Ok(Value::Bool(x != y)),
                _ => {}
            }
        }
        if matches!(a, Value::Hole(_)) || matches!(b, Value::Hole(_)) {
            let known = |el: &mut Self, v: &Value| match v {
                Value::Hole(_) => Ok(Value::Dim(el.as_dim(v, span, "a size")?)),
                v => Ok(v.clone()),
            };
            let (a, b) = (known(self, a)?, known(self, b)?);
            return self.static_binary(op, &a, &b, span);
        }
        let (Some(x), Some(y)) = (Num::of(a), Num::of(b)) else {
            let message = format!("`{}` does not apply to {} and {}", op_text(op), a.show(), b.show());
            let d = Diagnostic::error("E0207", span, message);
            return Err(self.error(untyped_list(&[a, b], d)));
        };
        match (op, x, y) {
            (B::Pipe | B::MatMul, ..) => {
                self.err("E0207", span, format!("`{}` does not apply to numbers", op_text(op)))
            }
            (B::And | B::Or, ..) => {
                let (x, y) =
                    (self.as_bool(a, span, "an operand of `and`")?, self.as_bool(b, span, "an operand of `or`")?);
                Ok(Value::Bool(if op == B::And { x && y } else { x || y }))
            }
            (B::Range, Num::Int(x), Num::Int(y)) => Ok(Value::Range(x, y)),
            (B::Range, ..) => self.err("E0209", span, "a range needs static ints"),
            (B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge, Num::Int(x), Num::Int(y)) => Ok(compare(op, x, y)),
            (B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge, ..) => Ok(compare(op, x.float(), y.float())),
            (_, Num::Int(x), Num::Int(y)) => self.int_binary(op, (a, x), (b, y), span),
            _ => {
                let (x, y) = (x.float(), y.float());
                Ok(Value::Float(match op {
                    B::Add => x + y,
                    B::Sub => x - y,
                    B::Mul => x * y,
                    B::Div => x / y,
                    B::FloorDiv => floor_div(x, y),
                    B::Rem => floor_rem(x, y),
                    _ => x.powf(y),
                }))
            }
        }
    }

    fn int_binary(&mut self, op: BinaryOp, (a, x): (&Value, i64), (b, y): (&Value, i64), span: Span) -> R<Value> {
        use BinaryOp as B;
        if matches!(op, B::Div | B::FloorDiv | B::Rem) && y == 0 {
            return self.err("E0104", span, format!("division by zero: {} {} 0", a.show(), op_text(op)));
        }
        let n = match op {
            B::Add => x.checked_add(y),
            B::Sub => x.checked_sub(y),
            B::Mul => x.checked_mul(y),
            B::Div if x.wrapping_rem(y) != 0 => return Err(self.inexact(a, x, b, y, span)),
            B::Div => x.checked_div(y),
            // Euclid's quotient rounds the wrong way for a negative divisor.
            B::FloorDiv => x.checked_div(y).map(|q| q - i64::from(x % y != 0 && (x < 0) != (y < 0))),
            B::Rem => {
                let r = x.wrapping_rem(y);
                Some(if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
            }
            _ if y < 0 => return Ok(Value::Float((x as f64).powf(y as f64))),
            // Exponents beyond u32 leave only 0, 1 and -1 in range, which depend on whether the exponent is odd.
            _ => x.checked_pow(u32::try_from(y).unwrap_or(u32::MAX - 1 + (y & 1) as u32)),
        };
        let Some(n) = n else {
            let message = format!("{} {} {} is too large for an int", a.show(), op_text(op), b.show());
            return self.err("E0902", span, message);
        };
        let dims = matches!(a, Value::Dim(_)) || matches!(b, Value::Dim(_));
        match u64::try_from(n) {
            Ok(size) if dims && op != B::Pow => Ok(Value::Dim(self.dim_expr(op, a, b, size, span))),
            _ => Ok(Value::Int(n)),
        }
    }

    /// The dim that an operation on dims gives.
    fn dim_expr(&mut self, op: BinaryOp, a: &Value, b: &Value, size: u64, span: Span) -> Dim {
        let key = format!("{}{}{}", dim_key(a), op_text(op), dim_key(b));
        let name = match op {
            BinaryOp::Add | BinaryOp::Sub => {
                format!("{} {} {}", dim_name(a, 0), op_text(op), dim_name(b, if op == BinaryOp::Sub { 1 } else { 0 }))
            }
            BinaryOp::Mul => format!("{}*{}", dim_name(a, 1), dim_name(b, 1)),
            _ => format!("{} {} {}", dim_name(a, 1), op_text(op), dim_name(b, 2)),
        };
        let id = match self.dim_exprs.get(&key) {
            Some(&id) => id,
            None => {
                let id = DimId(self.dims.len() as u32);
                self.dims.push(super::cx::DimInfo::default());
                self.dim_exprs.insert(key, id);
                id
            }
        };
        let name = Some(name).filter(|n| n.len() <= MAX_NAME).map(Into::into);
        Dim { size, id, name, origin: Some(span), stretches: false }
    }

    fn inexact(&mut self, a: &Value, x: i64, b: &Value, y: i64, span: Span) -> super::cx::Reported {
        let text = self.text(span).to_owned();
        let mut d = Diagnostic::error("E0104", span, format!("{text} is not a whole number: {x} / {y}"))
            .here("exact division required here (use `//` to round down)");
        for v in [a, b] {
            if let Value::Dim(dim) = v
                && let Some(origin) = dim.origin
            {
                d = d.label(origin, dim.show());
            }
        }
        if x > 0 && y > 0 {
            let low = x / y * y;
            let name = a.as_dim_name().unwrap_or_else(|| "the left side".to_owned());
            let near: Vec<String> =
                [Some(low).filter(|n| *n > 0), low.checked_add(y)].iter().flatten().map(i64::to_string).collect();
            d = d.help(format!("{name} must be a multiple of {y}: {}", near.join(" or ")));
        }
        self.error(d)
    }

    /// A static int.
    pub fn as_int(&mut self, v: &Value, span: Span, what: &str) -> R<i64> {
        match v {
            Value::Int(n) => Ok(*n),
            Value::Dim(d) => Ok(d.size as i64),
            v => self.not_static(v, span, what, "int"),
        }
    }

    /// A static number.
    pub fn as_float(&mut self, v: &Value, span: Span, what: &str) -> R<f64> {
        match v {
            Value::Int(n) => Ok(*n as f64),
            Value::Dim(d) => Ok(d.size as f64),
            Value::Float(x) => Ok(*x),
            v => self.not_static(v, span, what, "number"),
        }
    }

    /// A static bool.
    pub fn as_bool(&mut self, v: &Value, span: Span, what: &str) -> R<bool> {
        match v {
            Value::Bool(b) => Ok(*b),
            v => self.not_static(v, span, what, "bool"),
        }
    }

    /// A string.
    pub fn as_str(&mut self, v: &Value, span: Span, what: &str) -> R<std::sync::Arc<str>> {
        match v {
            Value::Str(s) => Ok(s.clone()),
            v => self.not_static(v, span, what, "string"),
        }
    }

    /// A dim from a static int that is not negative, or from a dim.
    pub fn as_dim(&mut self, v: &Value, span: Span, what: &str) -> R<Dim> {
        match v {
            Value::Dim(d) => Ok(d.clone()),
            Value::Hole(h) => {
                if let Some(d) = self.decide(h).or_else(|| self.stand_in(h)) {
                    return Ok(d);
                }
                // An expression that has no value has been reported.
                let mut root = h;
                while let DimFrom::Outer(o) = &root.from {
                    root = o;
                }
                if matches!(root.from, DimFrom::Expr(..)) && crate::report::any_error(&self.diags) {
                    return Err(super::cx::Reported);
                }
                let d = Diagnostic::error("E0106", span, format!("cannot infer `{}`", h.name))
                    .label(h.span, "nothing has determined this size yet")
                    .help("give the size");
                Err(self.error(d))
            }
            v => {
                let n = self.as_int(v, span, what)?;
                match u64::try_from(n) {
                    Ok(n) => Ok(self.literal_dim(n, Some(span))),
                    Err(_) => self.err("E0209", span, format!("{what} must not be negative, found {n}")),
                }
            }
        }
    }

    fn not_static<T>(&mut self, v: &Value, span: Span, what: &str, kind: &str) -> R<T> {
        let d = Diagnostic::error("E0209", span, format!("{what} must be a static {kind}, found {}", v.show()));
        Err(self.error(match v {
            Value::Tensor(_) | Value::Mean { .. } => d.note("tensors have no value yet when layers are put together"),
            _ => d,
        }))
    }
}

/// Adds to a finding about operands why a list of numbers among them is no tensor.
pub fn untyped_list(operands: &[&Value], d: Diagnostic) -> Diagnostic {
    if operands.iter().any(|v| matches!(v, Value::List(_)) && super::cx::numbers(v).is_some()) {
        return d.note("a list is a tensor beside a tensor, or where a type asks for one");
    }
    d
}

/// The remainder of division rounded down: it has the sign of the divisor, a zero too.
fn floor_rem(x: f64, y: f64) -> f64 {
    let r = x % y;
    if r == 0.0 {
        0f64.copysign(y)
    } else if (r < 0.0) != (y < 0.0) {
        r + y
    } else {
        r
    }
}

/// Division rounded down, of which [`floor_rem`] is the remainder; `x // 0` is what `x / 0` is.
fn floor_div(x: f64, y: f64) -> f64 {
    let r = x % y;
    if y == 0.0 {
        return x / y;
    }
    let q = (x - r) / y;
    if r != 0.0 && (r < 0.0) != (y < 0.0) { (q - 1.0).round_ties_even() } else { q.round_ties_even() }
}

impl Value {
    fn as_dim_name(&self) -> Option<String> {
        if let Value::Dim(d) = self { d.name.as_deref().map(str::to_owned) } else { None }
    }
}

fn compare<T: PartialOrd>(op: BinaryOp, x: T, y: T) -> Value {
    Value::Bool(match op {
        BinaryOp::Eq => x == y,
        BinaryOp::Ne => x != y,
        BinaryOp::Lt => x < y,
        BinaryOp::Le => x <= y,
        BinaryOp::Gt => x > y,
        _ => x >= y,
    })
}

fn dim_key(v: &Value) -> String {
    match v {
        Value::Dim(d) if d.name.is_none() => format!("({})", d.size),
        Value::Dim(d) => format!("(#{})", d.id.0),
        v => format!("({})", v.show()),
    }
}

/// The operand as it reads beside an operator: parenthesized if it binds less tightly. 0 sum, 1 product, 2 atom.
fn dim_name(v: &Value, tight: u8) -> String {
    let text = match v {
        Value::Dim(d) => d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned),
        v => v.show(),
    };
    let sum = text.contains(" + ") || text.contains(" - ");
    let product = text.contains('*') || text.contains('/') || text.contains('%');
    if tight >= 1 && sum || tight >= 2 && product { format!("({text})") } else { text }
}
