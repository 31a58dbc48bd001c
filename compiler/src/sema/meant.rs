//! What is meant by an expression that means something else here, or nothing.
//!
//! In: an expression and the finding about it. Out: the finding with the edit: parentheses where brackets were written, a
//! tensor of a list that is computed with, a `param` of a member that is filled with numbers. It reads the tree and the
//! values that are there; nothing is evaluated for it.

use super::cx::{Elab, R};
use super::models::TemplateKind;
use super::signature::Brackets;
use super::statics::is_static;
use super::value::Value;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, ExprId, ExprKind, Ident, Ix};

/// What fills a tensor with numbers elsewhere, and how a parameter of that begins: `$` is a factor.
const FILLED: &[(&str, &str, &str)] = &[
    ("randn", "~ normal()", "~ normal($)"),
    ("rand", "~ uniform(0, 1)", "~ uniform(0, $)"),
    ("zeros", "= 0", "= 0"),
    ("ones", "= 1", "= $"),
];

impl Elab<'_> {
    /// Adds to what is wrong between the brackets of what is called that its arguments stand in parentheses.
    pub fn in_parentheses(&mut self, before: usize, v: &Value, base: ExprId, items: &[Ix], span: Span) {
        let sizes = match v {
            Value::Model(m) => match &m.kind {
                TemplateKind::Item { def, .. } => def.dims.len(),
                _ => return,
            },
            Value::Fn(f) => f.def.dims.len(),
            Value::Builtin(b) => match b.sig.brackets {
                Brackets::No => 0,
                _ => return,
            },
            Value::Instance(_) => 0,
            _ => return,
        };
        let open = self.ast.span(base).end;
        let text = self.text(Span { start: open, ..span });
        let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else { return };
        let place = |i: &Ix| match i {
            Ix::At(e) | Ix::Window { start: e, .. } => self.ast.span(*e),
            Ix::Row(_, s) | Ix::New(s) | Ix::Slice { span: s, .. } => *s,
        };
        let Some(d) = self.diags.get(before).filter(|d| d.code == "E0209" || d.code == "E0208") else { return };
        let Some(at) = d.labels.first().map(|l| l.span) else { return };
        // Sizes stay before what is none of them.
        let wrong = items.iter().position(|i| {
            let s = place(i);
            s.file == at.file && s.start <= at.start && at.end <= s.end
        });
        let Some(kept) = wrong.filter(|n| *n <= sizes) else { return };
        let callee = self.text(self.ast.span(base));
        let new = match kept {
            0 => format!("({inner})"),
            _ => {
                let (first, rest) = (place(&items[0]).start, place(&items[kept]).start);
                let dims = self.text(Span { start: first, end: rest, ..span }).trim_end().trim_end_matches(',');
                format!("[{dims}]({})", self.text(Span { start: rest, end: span.end - 1, ..span }))
            }
        };
        let help = format!("arguments stand in parentheses: `{}`", shown(&format!("{callee}{new}")));
        let edit = Edit::replace(Span { start: open, ..span }, new);
        if let Some(d) = self.diags.get_mut(before) {
            d.notes.clear();
            d.help = Diagnostic::error("E0209", span, "").fix(help, [edit]).help;
        }
    }

    /// Adds to what is wrong with the arithmetic of lists that they can be stacked.
    pub fn stack_lists(&mut self, before: usize, op: BinaryOp, operands: &[(&Value, Span)]) {
        use BinaryOp as B;
        let arithmetic = matches!(op, B::Add | B::Sub | B::Mul | B::Div | B::FloorDiv | B::Rem | B::Pow | B::MatMul);
        let list = |v: &Value| matches!(v, Value::List(l) | Value::Tuple(l) if !l.is_empty() && l.iter().all(numeric));
        if !arithmetic || self.diags.get(before).is_none_or(|d| d.code != "E0207") {
            return;
        }
        if !operands.iter().all(|(v, _)| list(v) || is_static(v)) {
            return;
        }
        let stacked = |(_, s): &(&Value, Span)| (*s, super::foreign::stacked(self.text(*s)));
        // The other list is a tensor beside the one that is.
        let Some((at, text)) = operands.iter().find(|(v, _)| list(v)).map(stacked) else { return };
        if let Some(d) = self.diags.get_mut(before) {
            d.help.clear();
            *d = d.clone().fix(format!("make it a tensor: `{}`", shown(&text)), [Edit::replace(at, text)]);
        }
    }

    /// A member that is filled with numbers, `w = randn(4, 3)`, is meant as a parameter. What is wrong with it is told so.
    pub fn as_param(&mut self, before: usize, name: &Ident, value: ExprId, found: R<Value>) -> R<Value> {
        let Some((shape, start)) = self.filled_with(value) else { return found };
        let at = self.ast.span(value);
        let text = format!("param {}: [{shape}] {start}", name.text);
        let edit = Edit::replace(Span { start: name.span.start, ..at }, text.clone());
        let function = |v: &Value| match v {
            Value::WithDims(w) => matches!(w.0, Value::Builtin(_)),
            v => matches!(v, Value::Builtin(_)),
        };
        match found {
            Ok(v) if function(&v) => {
                let message = format!("`{}` must be a layer or a value, found {}", name.text, v.show());
                let d = Diagnostic::error("E0207", at, message).here("this is not called");
                Err(self.error(d.fix(format!("a parameter is declared: `{text}`"), [edit])))
            }
            Ok(v) => Ok(v),
            Err(told) => {
                if let Some(d) = self.diags.get_mut(before) {
                    d.notes.clear();
                    d.help.clear();
                    *d = d.clone().fix(format!("a parameter is declared: `{text}`"), [edit]);
                    self.diags.truncate(before + 1);
                }
                Err(told)
            }
        }
    }

    /// The sizes of what is filled with numbers, and how a parameter begins that is filled so.
    fn filled_with(&self, e: ExprId) -> Option<(String, String)> {
        let row = |e: ExprId| FILLED.iter().find(|(n, ..)| Some(*n) == self.last_name(e));
        let text = |e: ExprId| self.text(self.ast.span(e));
        match &self.ast.expr(e).kind {
            ExprKind::Call { callee, args } => {
                if let (Some("Parameter" | "Variable"), [a, ..]) = (self.last_name(*callee), &args[..]) {
                    return self.filled_with(a.value);
                }
                let Some((_, start, _)) = row(*callee) else { return self.filled_with(*callee) };
                let sizes: Vec<&str> = args.iter().filter(|a| a.name.is_none()).map(|a| text(a.value)).collect();
                let shape = super::foreign::listed(&sizes).join(", ");
                (!shape.is_empty()).then(|| (shape, (*start).to_owned()))
            }
            ExprKind::Index { base, items } => {
                let (_, start, _) = row(*base)?;
                let size = |i: &Ix| if let Ix::At(e) = i { Some(text(*e)) } else { None };
                Some((items.iter().map(size).collect::<Option<Vec<_>>>()?.join(", "), (*start).to_owned()))
            }
            ExprKind::Binary { op: BinaryOp::Mul, lhs, rhs, .. } => {
                let number = |e: ExprId| matches!(self.ast.expr(e).kind, ExprKind::Int(_) | ExprKind::Float(_));
                let (of, by) = if number(*rhs) { (*lhs, *rhs) } else { (*rhs, *lhs) };
                let (shape, start) = self.filled_with(of).filter(|_| number(by))?;
                let (.., scaled) = FILLED.iter().find(|(_, plain, _)| *plain == start)?;
                Some((shape, scaled.replace('$', text(by))))
            }
            _ => None,
        }
    }

    /// The last name of a name or path.
    fn last_name(&self, e: ExprId) -> Option<&str> {
        match &self.ast.expr(e).kind {
            ExprKind::Name(n) => Some(n),
            ExprKind::Field { name, .. } => Some(&name.text),
            _ => None,
        }
    }
}

/// Can a value be an element of a tensor that is stacked?
fn numeric(v: &Value) -> bool {
    match v {
        Value::List(l) => !l.is_empty() && l.iter().all(numeric),
        v => is_static(v) || matches!(v, Value::Tensor(_) | Value::Mean { .. }),
    }
}
