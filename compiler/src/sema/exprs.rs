//! Evaluation of expressions and statements.

use super::cx::{Elab, Env, R};
use super::value::{Dim, Type, Value};
use crate::source::Span;
use crate::syntax::ast::{Block, ExprId};

impl Elab<'_> {
    /// The value of an expression.
    pub fn eval(&mut self, e: ExprId, env: &Env) -> R<Value> {
        self.eval_as(e, env, None)
    }

    /// The value of an expression where a type is expected; the value is not checked against it.
    pub fn eval_as(&mut self, e: ExprId, env: &Env, expect: Option<&Type>) -> R<Value> {
        let _ = (env, expect);
        Err(self.limit(self.ast.span(e), "expressions"))
    }

    /// The value of a block: that of its last statement if it is an expression.
    pub fn eval_block(&mut self, block: &Block, env: &Env, expect: Option<&Type>) -> R<Value> {
        let _ = (env, expect);
        Err(self.limit(block.span, "blocks"))
    }

    /// What a name stands for, `None` if nothing.
    pub fn lookup(&mut self, name: &str, span: Span, env: &Env) -> R<Option<Value>> {
        let _ = (name, span, env);
        Ok(None)
    }

    /// The dim of a name, or E0105 with a suggestion.
    pub fn lookup_dim(&mut self, name: &str, span: Span, env: &Env) -> R<Dim> {
        let _ = env;
        self.err("E0105", span, format!("unknown dim `{name}`"))
    }

    /// The axes of a row variable: `..S`, or `..` if `name` is `None`; `None` if nothing has bound it.
    pub fn lookup_row(&mut self, name: Option<&str>, span: Span, env: &Env) -> R<Option<Vec<Dim>>> {
        let _ = (name, span, env);
        Ok(None)
    }
}
