//! Types, dims and patterns.

use super::{Builder, Pair, Rule, kids};
use crate::syntax::ast::*;

impl Builder<'_> {
    pub(super) fn ty(&mut self, p: Pair) -> Option<Ty> {
        let span = self.span(&p);
        let k = kids(&p).next()?;
        let kind = self.deeper(&p, |b| match k.as_rule() {
            Rule::fn_ty => Some(TyKind::Fn(match kids(&k).next() {
                None => None,
                Some(sig) => {
                    let mut all: Vec<Ty> = kids(&sig).map(|t| b.ty(t)).collect::<Option<_>>()?;
                    let result = all.pop()?;
                    Some((all, Box::new(result)))
                }
            })),
            Rule::tuple_ty => Some(TyKind::Tuple(kids(&k).map(|t| b.ty(t)).collect::<Option<_>>()?)),
            Rule::tensor_ty => {
                let (mut dtype, mut shape) = (None, None);
                for part in kids(&k) {
                    match part.as_rule() {
                        Rule::dtype => dtype = Some(b.dtype(part)?),
                        Rule::shape => shape = Some(b.shape(part)?),
                        _ => return None,
                    }
                }
                Some(TyKind::Tensor { dtype, shape })
            }
            _ => None,
        })?;
        Some(Ty { kind, span })
    }

    fn dtype(&mut self, p: Pair) -> Option<DtypeName> {
        let k = kids(&p).next()?;
        match k.as_rule() {
            Rule::idx_ty => Some(DtypeName::Idx(self.dim_e(kids(&k).next()?)?)),
            Rule::path => Some(DtypeName::Named(self.ident(&k))),
            _ => None,
        }
    }

    fn shape(&mut self, p: Pair) -> Option<Vec<ShapeItem>> {
        kids(&p)
            .map(|d| {
                let k = kids(&d).next()?;
                match k.as_rule() {
                    Rule::row => {
                        let span = self.span(&k);
                        Some(ShapeItem::Row(self.row_name(&k), span))
                    }
                    _ => Some(ShapeItem::Dim(self.dim_e(k)?)),
                }
            })
            .collect()
    }

    /// The name after `..`.
    pub(super) fn row_name(&self, p: &Pair) -> Option<Ident> {
        kids(p).next().map(|n| self.ident(&n))
    }

    pub(super) fn dim_e(&mut self, p: Pair) -> Option<ExprId> {
        self.deeper(&p.clone(), |b| {
            let mut run = super::expr::Run::default();
            for k in kids(&p) {
                match k.as_rule() {
                    Rule::dim_op => run.infix(b, &k)?,
                    _ => {
                        let id = b.dim_a(k)?;
                        run.operand(id);
                    }
                }
            }
            run.finish(b)
        })
    }

    fn dim_a(&mut self, p: Pair) -> Option<ExprId> {
        let span = self.span(&p);
        match p.as_rule() {
            Rule::number => self.number(&p),
            Rule::wild => Some(self.ast.push(ExprKind::Wild, span)),
            Rule::dim_paren => {
                let id = self.dim_e(kids(&p).next()?)?;
                self.ast.exprs[id.0 as usize].span = span;
                Some(id)
            }
            Rule::dim_ref => {
                let mut ks = kids(&p);
                let callee = self.dotted(ks.next()?)?;
                let Some(call) = ks.next() else { return Some(callee) };
                let mut args = vec![];
                for a in kids(&call) {
                    args.push(Arg { name: None, value: self.dim_e(a)? });
                }
                Some(self.ast.push(ExprKind::Call { callee, args }, span))
            }
            _ => None,
        }
    }

    /// `a.B.c` as names joined by fields.
    fn dotted(&mut self, p: Pair) -> Option<ExprId> {
        let mut at: Option<ExprId> = None;
        for part in kids(&p) {
            let name = self.ident(&part);
            let span = name.span;
            at = Some(match at {
                None => self.ast.push(ExprKind::Name(name.text), span),
                Some(base) => {
                    let span = self.ast.span(base).to(span);
                    self.ast.push(ExprKind::Field { base, name }, span)
                }
            });
        }
        at
    }

    pub(super) fn pat(&mut self, p: Pair) -> Option<Pat> {
        let span = self.span(&p);
        let k = kids(&p).next()?;
        match k.as_rule() {
            Rule::lower => Some(Pat::Name(self.ident(&k))),
            Rule::wild => Some(Pat::Wild(span)),
            Rule::tuple_pat => {
                let items = self.deeper(&p, |b| kids(&k).map(|i| b.pat(i)).collect::<Option<_>>())?;
                Some(Pat::Tuple(items, span))
            }
            Rule::comp => {
                let mut ks = kids(&k);
                let name = self.ident(&ks.next()?);
                let binders = kids(&ks.next()?).map(|i| self.binder(i)).collect::<Option<_>>()?;
                Some(Pat::Comp { name, binders, span })
            }
            _ => None,
        }
    }

    fn binder(&mut self, p: Pair) -> Option<Binder> {
        let span = self.span(&p);
        let mut ks = kids(&p);
        let first = ks.next()?;
        if first.as_rule() == Rule::all_axes {
            return Some(Binder::Row(span));
        }
        let bound = match ks.next() {
            Some(e) => Some(self.expr(e)?),
            None => None,
        };
        Some(Binder::Var { name: self.ident(&first), bound })
    }
}
