//! Values that nothing uses: an expression that stands as a statement and does nothing.
//!
//! In: the syntax of the program's own files. Out: W0507. A block gives the value of its last statement, so `x` on a line
//! and `- 1` on the next are two values, of which the second is given. It reads syntax alone, so that what no `train` item
//! reaches is told as well; what a call of a model or of a function does is not known here, so it counts as done.

use super::builtins;
use super::comprehension::is_reducer;
use super::units::Program;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Block, ExprId, ExprKind, ItemKind, Stmt, StmtKind, TrainEntry};
use crate::syntax::visit;

/// Every value that is not used.
pub(super) fn check(p: &Program) -> Vec<Diagnostic> {
    let files: Vec<_> = p.ast.files.iter().skip(p.std_files).collect();
    let mut walk = Walk { p, out: vec![] };
    for e in p.ast.exprs.iter().filter(|e| files.iter().any(|f| f.id == e.span.file)) {
        match &e.kind {
            ExprKind::Block(b) | ExprKind::Eval(b) => walk.block(b, true),
            ExprKind::If { then: b, .. } | ExprKind::Scan { body: b, .. } => walk.block(b, true),
            _ => {}
        }
    }
    for item in files.iter().flat_map(|f| &f.items) {
        match &item.kind {
            ItemKind::Test(t) => walk.statements(&t.body.stmts, true),
            ItemKind::Train(t) => t.entries.iter().for_each(|e| {
                if let TrainEntry::Step(b) = e {
                    walk.block(b, false);
                }
            }),
            _ => {}
        }
    }
    walk.out
}

struct Walk<'p> {
    p: &'p Program,
    out: Vec<Diagnostic>,
}

impl Walk<'_> {
    /// A block; is its last statement its value?
    fn block(&mut self, b: &Block, valued: bool) {
        let used = usize::from(valued && matches!(b.stmts.last(), Some(s) if matches!(s.kind, StmtKind::Expr(_))));
        // What follows the last of the others says whether that line goes on.
        self.lines(&b.stmts, b.stmts.len() - used, false);
    }

    fn statements(&mut self, stmts: &[Stmt], tests: bool) {
        self.lines(stmts, stmts.len(), tests);
    }

    /// Looks at the first `n` statements, of which none is used for its value.
    fn lines(&mut self, stmts: &[Stmt], n: usize, tests: bool) {
        let mut joined = 0;
        for (i, s) in stmts[..n].iter().enumerate() {
            match &s.kind {
                StmtKind::For { body, .. } | StmtKind::Every { body, .. } => self.block(body, false),
                // A line that belongs to the one before is told there.
                StmtKind::Expr(e) if i >= joined => {
                    let goes_on = stmts[i + 1..].iter().take_while(|s| self.minus(s)).count();
                    joined = i + 1 + goes_on;
                    if goes_on > 0 || self.is_pure(*e) {
                        let d = self.unused(s, *e, &stmts[i + 1..joined], tests);
                        self.out.push(d);
                    }
                }
                _ => {}
            }
        }
    }

    fn unused(&self, s: &Stmt, e: ExprId, more: &[Stmt], tests: bool) -> Diagnostic {
        let code = shown(self.p.sources.text(s.span));
        let d = Diagnostic::warning("W0507", s.span, format!("the value of `{code}` is not used"));
        if !more.is_empty() {
            let d = d.note("a line that begins with `-` is a statement of its own; a line goes on after an operator");
            let mut edits = vec![];
            let mut before = s.span;
            for m in more {
                match self.join(before, m.span) {
                    Some(more) => edits.extend(more),
                    None => return d.help("put the operator at the end of the line before"),
                }
                before = m.span;
            }
            return d.fix("if the lines are one expression, join them", edits);
        }
        let compares = matches!(
            &self.p.ast.expr(e).kind,
            ExprKind::Binary {
                op: BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge,
                ..
            }
        );
        match tests && compares {
            true => d.fix("`assert` makes it a check", [Edit::before(s.span, "assert ")]),
            false => d.help("leave it out, or give it a name by `let`"),
        }
    }

    /// The edits that put the operator that a line begins with at the end of the one before it.
    fn join(&self, before: Span, line: Span) -> Option<Vec<Edit>> {
        let gap = Span { start: before.end, end: line.start, ..line };
        let text = self.p.sources.text(gap);
        let rest = self.p.sources.text(line).strip_prefix('-')?;
        let blanks = (rest.len() - rest.trim_start_matches([' ', '\t']).len()) as u32;
        let operator = Span { end: line.start + 1 + blanks, ..line };
        if text.trim().is_empty() {
            return Some(vec![Edit::replace(Span { end: operator.end, ..gap }, " - ")]);
        }
        // A comment stays where it is.
        let comment = text.trim_start().starts_with('#');
        comment.then(|| vec![Edit::after(before, " -"), Edit::replace(operator, "")])
    }

    /// Does a statement begin with a minus, on a line of its own?
    fn minus(&self, s: &Stmt) -> bool {
        let file = &self.p.sources.file(s.span.file).text;
        let before = file.get(..s.span.start as usize).unwrap_or_default();
        let first = before.trim_end_matches([' ', '\t']).ends_with('\n');
        first && matches!(s.kind, StmtKind::Expr(_)) && self.p.sources.text(s.span).starts_with('-')
    }

    /// Does an expression do nothing but give a value?
    fn is_pure(&self, e: ExprId) -> bool {
        let ast = &self.p.ast;
        match &ast.expr(e).kind {
            ExprKind::If { .. } | ExprKind::Block(_) | ExprKind::Eval(_) | ExprKind::Scan { .. } => return false,
            ExprKind::Call { callee, .. } => {
                let name = match &ast.expr(*callee).kind {
                    ExprKind::Index { base, .. } => &ast.expr(*base).kind,
                    kind => kind,
                };
                let ours = |n: &str| builtins::lookup(n).is_some() || is_reducer(n);
                if !matches!(name, ExprKind::Name(n) if ours(n)) {
                    return false;
                }
            }
            _ => {}
        }
        let mut pure = true;
        visit::children(ast.expr(e), &mut |c| pure &= self.is_pure(c));
        pure
    }
}
