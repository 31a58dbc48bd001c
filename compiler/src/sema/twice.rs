//! Names declared twice in one place, where the second would hide the first without a word.
//!
//! In: the items of the program's own files. Out: E0208 for dims, parameters, members, fields and methods of one name.
//! It reads syntax alone, so that what nothing uses is told as well.

use super::units::Program;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{self, DataEntry, Ident, ItemKind, MemberKind, ModelBody, Param, ShapeItem, TyKind};

/// Every name that is declared twice.
pub(super) fn check(p: &Program) -> Vec<Diagnostic> {
    let mut out = vec![];
    for item in p.ast.files.iter().skip(p.std_files).flat_map(|f| &f.items) {
        match &item.kind {
            ItemKind::Fn(f) | ItemKind::Vjp(f) => function(f, &mut out),
            ItemKind::Model(m) | ItemKind::Optimizer(m) | ItemKind::Metric(m) => model(m, &mut out),
            ItemKind::Data(d) => {
                heads(&d.dims, &d.params, &mut out);
                let fields = d.entries.iter().filter_map(|e| match e {
                    DataEntry::Field { name, .. } => Some(name),
                    _ => None,
                });
                once("field", fields, &mut out);
                d.entries.iter().for_each(|e| {
                    if let DataEntry::Fn(f) = e {
                        function(f, &mut out);
                    }
                });
            }
            _ => {}
        }
    }
    out
}

fn function(f: &ast::Fn, out: &mut Vec<Diagnostic>) {
    heads(&f.dims, &f.params, out);
}

fn heads(dims: &[ast::DimParam], params: &[Param], out: &mut Vec<Diagnostic>) {
    once("dim", dims.iter().map(|d| &d.name), out);
    once("parameter", params.iter().map(|p| &p.name), out);
}

fn model(m: &ast::Model, out: &mut Vec<Diagnostic>) {
    heads(&m.dims, &m.params, out);
    let ModelBody::Members(list) = &m.body else { return };
    let methods: Vec<&ast::Fn> =
        list.iter().filter_map(|x| if let MemberKind::Fn(f) = &x.kind { Some(&**f) } else { None }).collect();
    // A method called like another member is told once, as a member.
    let firsts = methods.iter().enumerate().filter(|(i, f)| methods[..*i].iter().all(|g| g.name.text != f.name.text));
    let names = list.iter().flat_map(|x| super::models::member_names(&x.kind)).chain(firsts.map(|(_, f)| &f.name));
    once("member", names, out);
    for (i, f) in methods.iter().enumerate() {
        function(f, out);
        let first = methods[..i].iter().find(|g| g.name.text == f.name.text && covers(&g.params, &f.params));
        if let Some(first) = first {
            let d = again("method", &f.name, first.name.span).note(
                "methods of one name differ in the number of axes of their arguments: the first that fits is called",
            );
            out.push(d);
        }
    }
}

/// Each name but the first of its kind.
fn once<'n>(kind: &str, names: impl Iterator<Item = &'n Ident>, out: &mut Vec<Diagnostic>) {
    let mut seen: Vec<&Ident> = vec![];
    for n in names {
        match seen.iter().find(|s| s.text == n.text) {
            Some(first) => out.push(again(kind, n, first.span)),
            None => seen.push(n),
        }
    }
}

fn again(kind: &str, name: &Ident, first: Span) -> Diagnostic {
    Diagnostic::error("E0208", name.span, format!("{kind} `{}` is defined twice", name.text))
        .label(first, "first defined here")
}

/// Would a method take all arguments that another of its name takes, as far as numbers of axes tell?
fn covers(first: &[Param], second: &[Param]) -> bool {
    let axes = |p: &Param| match p.ty.as_ref().map(|t| &t.kind) {
        Some(TyKind::Tensor { shape, .. }) => {
            let items = shape.as_deref().unwrap_or_default();
            let rows = items.iter().filter(|i| matches!(i, ShapeItem::Row(..))).count();
            Some((items.len() - rows, rows > 0))
        }
        _ => None,
    };
    first.len() == second.len()
        && first.iter().zip(second).all(|(a, b)| match (axes(a), axes(b)) {
            (None, _) => true,
            (Some((n, true)), Some((m, _))) => m >= n,
            (Some((n, false)), Some((m, row))) => m == n && !row,
            (Some(_), None) => false,
        })
}
