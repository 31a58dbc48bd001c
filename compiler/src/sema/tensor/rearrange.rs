//! `rearrange(x, b t (n h d) -> n b h t d, n: 3)`: splits, reorders and joins axes by name.
//!
//! In: the operand, both patterns and the given sizes. Out: reshape, permute, reshape. Names must occur once on each side.

use super::{TR, fail, sizes};
use crate::diag::Diagnostic;
use crate::sema::calls::count;
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Tensor, show_dims};
use crate::source::Span;
use crate::syntax::ast::{AxisPat, Ident};
use std::sync::Arc;

/// The rearranged tensor.
pub fn rearrange(
    el: &mut Elab<'_>,
    t: &Tensor,
    from: &[AxisPat],
    to: &[AxisPat],
    given: &[(Ident, u64)],
    span: Span,
) -> TR<Tensor> {
    let fixed = from.iter().filter(|a| !matches!(a, AxisPat::Row(..))).count();
    let has_row = fixed < from.len();
    let n = t.dims.len();
    if (has_row && n < fixed) || (!has_row && n != fixed) || from.len() - fixed > 1 {
        return fail(
            "E0119",
            span,
            format!("the pattern has {}, {} has {n}", count(fixed, "axis"), show_dims(&t.dims)),
        );
    }
    let mut atoms: Vec<(Arc<str>, Dim)> = vec![];
    let mut at = 0;
    for pat in from {
        match pat {
            AxisPat::Name(id) => {
                declare(&mut atoms, id, t.dims[at].clone())?;
                check_given(given, id, t.dims[at].size)?;
                at += 1;
            }
            AxisPat::Int(size, s) => {
                if t.dims[at].size != *size {
                    return fail("E0119", *s, format!("the axis is {}, not {size}", t.dims[at].show()));
                }
                if *size != 1 {
                    return fail("E0119", *s, "only the axis 1 may be a number; name the others");
                }
                at += 1;
            }
            AxisPat::Row(..) => {
                for i in 0..n - fixed {
                    atoms.push((format!("..{i}").into(), t.dims[at].clone()));
                    at += 1;
                }
            }
            AxisPat::Group(names, s) => {
                group(el, &mut atoms, names, *s, &t.dims[at], given)?;
                at += 1;
            }
        }
    }
    let flat: Vec<u64> = atoms.iter().map(|(_, d)| d.size).collect();
    let mut used: Vec<usize> = vec![];
    let mut dims: Vec<Dim> = vec![];
    let mut find = |id: &Ident| -> TR<usize> {
        let Some(i) = atoms.iter().position(|(n, _)| *n == id.text) else {
            return fail("E0119", id.span, format!("`{}` does not stand on the left", id.text));
        };
        if used.contains(&i) {
            return fail("E0119", id.span, format!("`{}` stands twice on the right", id.text));
        }
        used.push(i);
        Ok(i)
    };
    let mut perm: Vec<u32> = vec![];
    for pat in to {
        match pat {
            AxisPat::Name(id) => {
                let i = find(id)?;
                perm.push(i as u32);
                dims.push(atoms[i].1.clone());
            }
            AxisPat::Int(1, _) => dims.push(el.one()),
            AxisPat::Int(_, s) => return fail("E0119", *s, "only a new axis of size 1 may be a number"),
            AxisPat::Row(_, s) => {
                for i in 0..n.saturating_sub(fixed) {
                    let id = Ident { text: format!("..{i}").into(), span: *s };
                    let i = find(&id)?;
                    perm.push(i as u32);
                    dims.push(atoms[i].1.clone());
                }
            }
            AxisPat::Group(names, _) => {
                let mut size = 1;
                for id in names {
                    let i = find(id)?;
                    perm.push(i as u32);
                    size *= atoms[i].1.size;
                }
                dims.push(match &names[..] {
                    [_] => perm.last().map(|&i| atoms[i as usize].1.clone()).unwrap_or_else(|| el.nameless(size)),
                    _ => el.nameless(size),
                });
            }
        }
    }
    if let Some((name, _)) = atoms.iter().enumerate().find(|(i, _)| !perm.contains(&(*i as u32))).map(|(_, a)| a) {
        return fail("E0119", span, format!("`{name}` does not stand on the right")).map_err(|d: super::Fail| {
            Box::new(d.help("every axis of the left must appear on the right; reduce it first if it should vanish"))
        });
    }
    super::arith::check_dims(&dims, span)?;
    super::arith::check_dims(&atoms.iter().map(|(_, d)| d.clone()).collect::<Vec<_>>(), span)?;
    let id = el.b.reshape(t.id, &flat);
    let id = el.b.permute(id, &perm);
    let id = el.b.reshape(id, &sizes(&dims));
    Ok(Tensor { id, elem: t.elem.clone(), dims })
}

fn declare(atoms: &mut Vec<(Arc<str>, Dim)>, id: &Ident, dim: Dim) -> TR<()> {
    if atoms.iter().any(|(n, _)| *n == id.text) {
        return fail("E0119", id.span, format!("`{}` stands twice on the left", id.text));
    }
    atoms.push((id.text.clone(), dim));
    Ok(())
}

fn check_given(given: &[(Ident, u64)], id: &Ident, size: u64) -> TR<()> {
    match given.iter().find(|(g, _)| g.text == id.text) {
        Some((g, n)) if *n != size => fail("E0119", g.span, format!("`{}` is {size}, not {n}", id.text)),
        _ => Ok(()),
    }
}

/// Splits one axis into named parts, of which at most one is inferred.
fn group(
    el: &mut Elab<'_>,
    atoms: &mut Vec<(Arc<str>, Dim)>,
    names: &[Ident],
    span: Span,
    dim: &Dim,
    given: &[(Ident, u64)],
) -> TR<()> {
    let size_of = |id: &Ident| given.iter().find(|(g, _)| g.text == id.text).map(|(_, n)| *n);
    let known = names.iter().filter_map(size_of).fold(1u64, u64::saturating_mul);
    let open: Vec<&Ident> = names.iter().filter(|id| size_of(id).is_none()).collect();
    if let [_, second, ..] = open[..] {
        return fail("E0106", second.span, format!("cannot infer both `{}` and `{}`", open[0].text, second.text))
            .map_err(|d: super::Fail| Box::new(d.help(format!("give one: `{}: 2`", second.text))));
    }
    let fits = if open.is_empty() { known == dim.size } else { known > 0 && dim.size.is_multiple_of(known) };
    if !fits {
        return Err(Box::new(
            Diagnostic::error("E0104", span, format!("{} does not split into parts of {known}", dim.show()))
                .help("the given sizes must divide the axis"),
        ));
    }
    for id in names {
        let size = size_of(id).unwrap_or_else(|| dim.size / known.max(1));
        let part = if names.len() == 1 { dim.clone() } else { el.nameless(size) };
        declare(atoms, id, part)?;
    }
    Ok(())
}
