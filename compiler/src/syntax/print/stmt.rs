//! Statements, blocks, patterns and types.

use super::Printer;
use crate::syntax::ast::*;

impl Printer<'_> {
    pub(super) fn block(&mut self, b: &Block) {
        if b.stmts.is_empty() {
            self.put("{}");
            return;
        }
        self.put("{");
        self.indent += 1;
        for s in &b.stmts {
            self.line();
            self.stmt(s);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    pub(super) fn attrs(&mut self, attrs: &[Attr]) {
        for a in attrs {
            self.put("@");
            self.put(&a.name.text);
            if !a.args.is_empty() {
                self.args(&a.args);
            }
            self.put(" ");
        }
    }

    pub(super) fn stmt(&mut self, s: &Stmt) {
        self.attrs(&s.attrs);
        match &s.kind {
            StmtKind::Let { pat, ty, init } => self.binding("let ", pat, ty, init),
            StmtKind::Var { pat, ty, init } => self.binding("var ", pat, ty, init),
            StmtKind::Dim { name, value } => self.named("dim ", name, *value),
            StmtKind::For { pat, iter, body } => {
                self.put("for ");
                self.pat(pat);
                self.put(" in ");
                self.expr(*iter);
                self.put(" ");
                self.block(body);
            }
            StmtKind::Emit(e) => self.word("emit ", *e),
            StmtKind::Penalty(e) => self.word("penalty ", *e),
            StmtKind::Minimize { value, over } => {
                self.word("minimize ", *value);
                if !over.is_empty() {
                    self.put(" over ");
                    self.commas(over, |p, e| p.prec(*e, super::ATOM));
                }
            }
            StmtKind::Every { count, body } => {
                self.word("every ", *count);
                self.put(" ");
                self.block(body);
            }
            StmtKind::Assert { cond, message } => {
                self.word("assert ", *cond);
                if let Some(m) = message {
                    self.put(", ");
                    self.string(m);
                }
            }
            StmtKind::Set { target, op, value } => {
                self.expr(*target);
                self.put(match op {
                    SetOp::State => " <- ",
                    SetOp::Set => " = ",
                    SetOp::Add => " += ",
                    SetOp::Sub => " -= ",
                    SetOp::Mul => " *= ",
                });
                self.expr(*value);
            }
            StmtKind::Expr(e) => self.expr(*e),
        }
    }

    fn word(&mut self, word: &str, e: ExprId) {
        self.put(word);
        self.expr(e);
    }

    /// `dim N = e`, `fc = e`
    pub(super) fn named(&mut self, word: &str, name: &Ident, value: ExprId) {
        self.put(word);
        self.put(&name.text);
        self.put(" = ");
        self.expr(value);
    }

    pub(super) fn binding(&mut self, word: &str, pat: &Pat, ty: &Option<Ty>, init: &Init) {
        self.put(word);
        self.pat(pat);
        if let Some(t) = ty {
            self.put(": ");
            self.ty(t);
        }
        self.init(init);
    }

    pub(super) fn init(&mut self, init: &Init) {
        self.put(if init.draw { " ~ " } else { " = " });
        self.expr(init.value);
    }

    pub(super) fn pat(&mut self, p: &Pat) {
        match p {
            Pat::Name(n) => self.put(&n.text),
            Pat::Wild(_) => self.put("_"),
            Pat::Tuple(items, _) => {
                self.put("(");
                self.commas(items, |p, i| p.pat(i));
                self.put(")");
            }
            Pat::Comp { name, binders, .. } => {
                self.put(&name.text);
                self.put("[");
                self.commas(binders, |p, b| match b {
                    Binder::Row(_) => p.put(".."),
                    Binder::Var { name, bound } => {
                        p.put(&name.text);
                        if let Some(e) = bound {
                            p.put(" < ");
                            p.expr(*e);
                        }
                    }
                });
                self.put("]");
            }
        }
    }

    pub(super) fn ty(&mut self, t: &Ty) {
        match &t.kind {
            TyKind::Fn(sig) => {
                self.put("fn");
                if let Some((params, result)) = sig {
                    self.put("(");
                    self.commas(params, |p, t| p.ty(t));
                    self.put(") -> ");
                    self.ty(result);
                }
            }
            TyKind::Tuple(items) => {
                self.put("(");
                self.commas(items, |p, t| p.ty(t));
                self.put(")");
            }
            TyKind::Tensor { dtype, shape } => {
                match dtype {
                    None => {}
                    Some(DtypeName::Named(n)) => self.put(&n.text),
                    Some(DtypeName::Idx(e)) => {
                        self.put("idx<");
                        self.expr(*e);
                        self.put(">");
                    }
                }
                if let Some(items) = shape {
                    self.put("[");
                    self.commas(items, |p, i| match i {
                        ShapeItem::Row(n, _) => p.row(n),
                        ShapeItem::Dim(e) => p.expr(*e),
                    });
                    self.put("]");
                }
            }
        }
    }
}
