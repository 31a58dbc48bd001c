//! Items and their members.

use super::{Builder, Pair, Rule, kids};
use crate::syntax::ast::*;
use std::sync::Arc;

/// The parts that headers of items share.
#[derive(Default)]
struct Head {
    name: Option<Ident>,
    dims: Vec<DimParam>,
    params: Vec<Param>,
    result: Option<Ty>,
    conditions: Vec<ExprId>,
}

impl Builder<'_> {
    pub(super) fn item_kind(&mut self, p: Pair) -> Option<ItemKind> {
        Some(match p.as_rule() {
            Rule::use_i => ItemKind::Use(self.use_i(p)?),
            Rule::const_i => ItemKind::Const(self.const_i(p)?),
            Rule::fn_i => ItemKind::Fn(self.fn_i(p)?),
            Rule::vjp_i => ItemKind::Vjp(self.fn_i(p)?),
            Rule::model_i => ItemKind::Model(self.model(p)?),
            Rule::opt_i => ItemKind::Optimizer(self.model(p)?),
            Rule::metric_i => ItemKind::Metric(self.model(p)?),
            Rule::data_i => ItemKind::Data(self.data(p)?),
            Rule::train_i => ItemKind::Train(self.train(p)?),
            Rule::export_i => ItemKind::Export(self.export(p)?),
            Rule::test_i => {
                let mut ks = kids(&p);
                let name = self.string(&ks.next()?)?;
                ItemKind::Test(Arc::new(Test { name, body: self.block(ks.next()?)? }))
            }
            Rule::stmt => ItemKind::Stmt(self.stmt(p)?),
            _ => return None,
        })
    }

    fn use_i(&mut self, p: Pair) -> Option<Use> {
        let mut ks = kids(&p);
        let first = ks.next()?;
        let path = match first.as_rule() {
            Rule::string => UsePath::File(self.string(&first)?, self.span(&first)),
            _ => UsePath::Path(kids(&first).map(|k| self.ident(&k)).collect()),
        };
        let (mut names, mut alias) = (vec![], None);
        for k in ks {
            match k.as_rule() {
                Rule::use_names => names = kids(&k).map(|n| self.ident(&n)).collect(),
                _ => alias = Some(self.ident(&k)),
            }
        }
        Some(Use { path, names, alias })
    }

    fn const_i(&mut self, p: Pair) -> Option<Const> {
        let (pat, ty, init) = self.binding(p)?;
        Some(Const { pat, ty, init })
    }

    /// Takes one part of a header; false if it is not one.
    fn head(&mut self, head: &mut Head, k: &Pair) -> Option<bool> {
        match k.as_rule() {
            Rule::lower | Rule::upper if head.name.is_none() => head.name = Some(self.ident(k)),
            Rule::dims => {
                for d in kids(k) {
                    let mut ks = kids(&d);
                    let name = self.ident(&ks.next()?);
                    let default = match ks.next() {
                        Some(e) => Some(self.dim_e(e)?),
                        None => None,
                    };
                    head.dims.push(DimParam { name, default });
                }
            }
            Rule::params => {
                for d in kids(k) {
                    let mut ks = kids(&d);
                    let name = self.ident(&ks.next()?);
                    let (mut ty, mut default) = (None, None);
                    for x in ks {
                        match x.as_rule() {
                            Rule::ty => ty = Some(self.ty(x)?),
                            _ => default = Some(self.expr(x)?),
                        }
                    }
                    head.params.push(Param { name, ty, default });
                }
            }
            Rule::result => head.result = Some(self.ty(kids(k).next()?)?),
            Rule::where_c => {
                for e in kids(k) {
                    let id = self.expr(e)?;
                    head.conditions.push(id);
                }
            }
            _ => return Some(false),
        }
        Some(true)
    }

    fn fn_i(&mut self, p: Pair) -> Option<Arc<Fn>> {
        let mut head = Head::default();
        for k in kids(&p) {
            if self.head(&mut head, &k)? {
                continue;
            }
            let b = kids(&k).next()?;
            let body = if b.as_rule() == Rule::block {
                let block = self.block(b)?;
                let span = block.span;
                self.ast.push(ExprKind::Block(block), span)
            } else {
                self.expr(b)?
            };
            let Head { name, dims, params, result, conditions } = head;
            return Some(Arc::new(Fn { name: name?, dims, params, result, conditions, body }));
        }
        None
    }

    fn model(&mut self, p: Pair) -> Option<Arc<Model>> {
        let mut head = Head::default();
        for k in kids(&p) {
            if self.head(&mut head, &k)? {
                continue;
            }
            let body = match k.as_rule() {
                Rule::members => ModelBody::Members(kids(&k).map(|m| self.member(m)).collect::<Option<_>>()?),
                _ => ModelBody::Expr(self.expr(k)?),
            };
            let Head { name, dims, params, conditions, .. } = head;
            return Some(Arc::new(Model { name: name?, dims, params, conditions, body }));
        }
        None
    }

    fn member(&mut self, p: Pair) -> Option<Member> {
        let span = self.span(&p);
        let doc = self.docs.get(&span.start).map(|s| s.as_str().into());
        let mut attrs = vec![];
        for k in kids(&p) {
            if k.as_rule() == Rule::attr {
                attrs.push(self.attr(k)?);
            } else {
                return Some(Member { attrs, doc, kind: self.member_kind(k)?, span });
            }
        }
        None
    }

    fn member_kind(&mut self, p: Pair) -> Option<MemberKind> {
        let mut ks = kids(&p);
        match p.as_rule() {
            Rule::const_i => return Some(MemberKind::Const(self.const_i(p)?)),
            Rule::fn_i => return Some(MemberKind::Fn(self.fn_i(p)?)),
            Rule::tie_m => {
                return Some(MemberKind::Tie { a: self.postfix(ks.next()?)?, b: self.postfix(ks.next()?)? });
            }
            _ => {}
        }
        let name = self.ident(&ks.next()?);
        let (mut ty, mut init, mut cond, mut value) = (None, None, None, None);
        for k in ks {
            match k.as_rule() {
                Rule::ty => ty = Some(self.ty(k)?),
                Rule::init => init = Some(self.init(k)?),
                Rule::only_if => cond = Some(self.expr(kids(&k).next()?)?),
                _ => value = Some(self.expr(k)?),
            }
        }
        Some(match p.as_rule() {
            Rule::param_m => MemberKind::Param { name, ty: ty?, init, cond },
            Rule::state_m => MemberKind::State { name, ty: ty?, init: init? },
            Rule::dim_s => MemberKind::Dim { name, value: value? },
            Rule::sub_m => MemberKind::Sub { name, value: value?, cond },
            _ => return None,
        })
    }

    fn data(&mut self, p: Pair) -> Option<Arc<Data>> {
        let mut head = Head::default();
        let mut entries = vec![];
        for k in kids(&p) {
            if self.head(&mut head, &k)? {
                continue;
            }
            let x = kids(&k).next()?;
            entries.push(match x.as_rule() {
                Rule::field_d => {
                    let span = self.span(&x);
                    let mut ks = kids(&x);
                    DataEntry::Field {
                        name: self.ident(&ks.next()?),
                        ty: self.ty(ks.next()?)?,
                        init: self.init(ks.next()?)?,
                        span,
                    }
                }
                Rule::fn_i => DataEntry::Fn(self.fn_i(x)?),
                _ => DataEntry::Setting(self.setting(x)?),
            });
        }
        Some(Arc::new(Data { name: head.name?, dims: head.dims, params: head.params, entries }))
    }

    fn setting(&mut self, p: Pair) -> Option<Setting> {
        let span = self.span(&p);
        let mut ks = kids(&p);
        let name = self.ident(&ks.next()?);
        let (mut selector, mut value) = (None, None);
        for k in ks {
            match k.as_rule() {
                Rule::postfix => selector = Some(self.postfix(k)?),
                _ => value = Some(self.expr(k)?),
            }
        }
        Some(Setting { name, selector, value: value?, span })
    }

    fn bind(&mut self, p: Pair) -> Option<Bind> {
        let mut ks = kids(&p);
        Some(Bind { name: self.ident(&ks.next()?), value: self.expr(ks.next()?)? })
    }

    fn train(&mut self, p: Pair) -> Option<Arc<Train>> {
        let (mut binds, mut on, mut entries) = (vec![], None, vec![]);
        for k in kids(&p) {
            match k.as_rule() {
                Rule::bind => binds.push(self.bind(k)?),
                Rule::expr => on = Some(self.expr(k)?),
                _ => {
                    let x = kids(&k).next()?;
                    entries.push(match x.as_rule() {
                        Rule::step => TrainEntry::Step(self.block(kids(&x).next()?)?),
                        Rule::train_let => TrainEntry::Let(self.stmt(x)?),
                        _ => TrainEntry::Setting(self.setting(x)?),
                    });
                }
            }
        }
        Some(Arc::new(Train { binds, on: on?, entries }))
    }

    fn export(&mut self, p: Pair) -> Option<Arc<Export>> {
        let (mut name, mut binds, mut fns, mut settings) = (None, vec![], vec![], vec![]);
        for k in kids(&p) {
            match k.as_rule() {
                Rule::lower => name = Some(self.ident(&k)),
                Rule::bind => binds.push(self.bind(k)?),
                _ => {
                    let x = kids(&k).next()?;
                    match x.as_rule() {
                        Rule::fn_i => fns.push(self.fn_i(x)?),
                        _ => settings.push(self.setting(x)?),
                    }
                }
            }
        }
        Some(Arc::new(Export { name: name?, binds, fns, settings }))
    }
}
