//! Statements, blocks and attributes.

use super::{Builder, Pair, Rule, kids};
use crate::syntax::ast::*;

impl Builder<'_> {
    pub(super) fn block(&mut self, p: Pair) -> Option<Block> {
        let span = self.span(&p);
        let stmts = self.deeper(&p, |b| kids(&p).map(|s| b.stmt(s)).collect::<Option<_>>())?;
        Some(Block { stmts, span })
    }

    pub(super) fn attr(&mut self, p: Pair) -> Option<Attr> {
        let mut ks = kids(&p);
        let name = self.ident(&ks.next()?);
        let args = match ks.next() {
            Some(call) => self.args(call)?,
            None => vec![],
        };
        Some(Attr { name, args })
    }

    pub(super) fn stmt(&mut self, p: Pair) -> Option<Stmt> {
        let span = self.span(&p);
        let mut attrs = vec![];
        for k in kids(&p) {
            if k.as_rule() == Rule::attr {
                attrs.push(self.attr(k)?);
            } else {
                return Some(Stmt { attrs, kind: self.stmt_kind(k)?, span });
            }
        }
        None
    }

    fn stmt_kind(&mut self, p: Pair) -> Option<StmtKind> {
        let mut ks = kids(&p);
        Some(match p.as_rule() {
            Rule::let_s => {
                let (pat, ty, init) = self.binding(p)?;
                StmtKind::Let { pat, ty, init }
            }
            Rule::var_s => {
                let (pat, ty, init) = self.binding(p)?;
                StmtKind::Var { pat, ty, init }
            }
            Rule::dim_s => StmtKind::Dim { name: self.ident(&ks.next()?), value: self.expr(ks.next()?)? },
            Rule::for_s => StmtKind::For {
                pat: self.pat(ks.next()?)?,
                iter: self.expr(ks.next()?)?,
                body: self.block(ks.next()?)?,
            },
            Rule::emit_s => StmtKind::Emit(self.expr(ks.next()?)?),
            Rule::min_s => StmtKind::Minimize {
                value: self.expr(ks.next()?)?,
                over: ks.map(|k| self.postfix(k)).collect::<Option<_>>()?,
            },
            Rule::every_s => StmtKind::Every { count: self.expr(ks.next()?)?, body: self.block(ks.next()?)? },
            Rule::pen_s => StmtKind::Penalty(self.expr(ks.next()?)?),
            Rule::assert_s => StmtKind::Assert {
                cond: self.expr(ks.next()?)?,
                message: match ks.next() {
                    Some(s) => Some(self.string(&s)?),
                    None => None,
                },
            },
            Rule::simple => {
                let target = self.expr(ks.next()?)?;
                let Some(op) = ks.next() else { return Some(StmtKind::Expr(target)) };
                let op = match op.as_str().trim_end() {
                    "<-" => SetOp::State,
                    "=" => SetOp::Set,
                    "+=" => SetOp::Add,
                    "-=" => SetOp::Sub,
                    "*=" => SetOp::Mul,
                    _ => return None,
                };
                StmtKind::Set { target, op, value: self.expr(ks.next()?)? }
            }
            _ => return None,
        })
    }

    /// `p: T = e`, the common part of `let`, `var` and `const`.
    pub(super) fn binding(&mut self, p: Pair) -> Option<(Pat, Option<Ty>, Init)> {
        let (mut pat, mut ty) = (None, None);
        for k in kids(&p) {
            match k.as_rule() {
                Rule::pat => pat = Some(self.pat(k)?),
                Rule::ty => ty = Some(self.ty(k)?),
                _ => return Some((pat?, ty, self.init(k)?)),
            }
        }
        None
    }

    /// `= e` or `~ e`.
    pub(super) fn init(&mut self, p: Pair) -> Option<Init> {
        let mut draw = false;
        for k in kids(&p) {
            match k.as_rule() {
                Rule::draw => draw = true,
                _ => return Some(Init { draw, value: self.expr(k)? }),
            }
        }
        None
    }
}
