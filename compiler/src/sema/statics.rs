//! Arithmetic on static numbers, with dims that keep their names.

use super::cx::{Elab, R};
use super::value::Value;
use crate::source::Span;
use crate::syntax::ast::BinaryOp;

impl Elab<'_> {
    /// `a op b` of static values; exact division and overflow are checked.
    pub fn static_binary(&mut self, op: BinaryOp, a: &Value, b: &Value, span: Span) -> R<Value> {
        let _ = (op, a, b);
        Err(self.limit(span, "static arithmetic"))
    }

    /// A static int.
    pub fn as_int(&mut self, v: &Value, span: Span, what: &str) -> R<i64> {
        match v {
            Value::Int(n) => Ok(*n),
            Value::Dim(d) => Ok(d.size as i64),
            v => {
                let found = v.show();
                self.err("E0209", span, format!("{what} must be a static int, found {found}"))
            }
        }
    }

    /// A static number.
    pub fn as_float(&mut self, v: &Value, span: Span, what: &str) -> R<f64> {
        match v {
            Value::Int(n) => Ok(*n as f64),
            Value::Dim(d) => Ok(d.size as f64),
            Value::Float(x) => Ok(*x),
            v => {
                let found = v.show();
                self.err("E0209", span, format!("{what} must be a static number, found {found}"))
            }
        }
    }

    /// A static bool.
    pub fn as_bool(&mut self, v: &Value, span: Span, what: &str) -> R<bool> {
        match v {
            Value::Bool(b) => Ok(*b),
            v => {
                let found = v.show();
                self.err("E0209", span, format!("{what} must be a static bool, found {found}"))
            }
        }
    }
}
