//! Calls: functions, methods, layers, builtins.

use super::cx::{CallArgs, Elab, R};
use super::value::Value;
use crate::source::Span;

impl Elab<'_> {
    /// Calls a function, layer or schedule.
    pub fn call_value(&mut self, f: &Value, args: CallArgs) -> R<Value> {
        let _ = f;
        Err(self.limit(args.span, "calls"))
    }

    /// Calls a function with arguments in order.
    pub fn call_simple(&mut self, f: &Value, args: &[Value], span: Span, env: &super::cx::Env) -> R<Value> {
        let pos = args.iter().map(|v| (v.clone(), span)).collect();
        let args = CallArgs { span, callee: span, dims: None, pos, named: vec![], expect: None, env: env.clone() };
        self.call_value(f, args)
    }
}
