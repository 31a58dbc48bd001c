//! Reducers inside a comprehension, contractions among them.
//!
//! In: a reducer's name, its variables and its body. Out: a tensor without those variables. `sum` (and `mean`) of a
//! product whose factors share reduced variables becomes one `dot`; factors without them move out of the sum. Everything
//! else is computed over the whole iteration space and reduced, which fusion keeps from memory where it can.

use super::{align, bind_vars, product, scalar, union, vars_of, weak};
use crate::diag::{Diagnostic, Severity};
use crate::graph::ops::{ArgKind, DotDims};
use crate::sema::cx::{Elab, Env, R, Scope};
use crate::sema::tensor::reduce::{self, Red};
use crate::sema::tensor::{dtype, matmul};
use crate::sema::value::{Elem, Tensor};
use crate::source::Span;
use crate::syntax::ast::{Arg, BinaryOp, ExprId, ExprKind};
use nn_runtime::dtype::DType;
use std::sync::Arc;

/// Elements of an iteration space from which on a note says that it exists.
const LARGE: u64 = 1 << 24;

/// `name[vars](args)`
pub(super) fn reduce(el: &mut Elab<'_>, name: &str, vars: &[usize], args: &[Arg], span: Span, env: &Env) -> R<Tensor> {
    let [Arg { name: None, value: body }] = args else {
        return el.err("E0208", span, format!("`{name}[..](..)` takes one body"));
    };
    let scope = Scope::inside(env);
    let depth = el.comp.as_ref().map_or(0, |f| f.scope.len());
    if let Some(f) = &mut el.comp {
        let names: Vec<(Arc<str>, usize)> = vars.iter().map(|&v| (f.vars[v].name.clone(), v)).collect();
        f.scope.extend(names);
    }
    let bound = bind_vars(el, vars, &scope);
    let r = bound.and_then(|()| reduced(el, name, vars, *body, span, &scope));
    if let Some(f) = &mut el.comp {
        f.scope.truncate(depth);
    }
    r
}

fn reduced(el: &mut Elab<'_>, name: &str, vars: &[usize], body: ExprId, span: Span, env: &Env) -> R<Tensor> {
    if matches!(name, "sum" | "mean") {
        let mut factors = vec![];
        split_product(el, body, &mut factors);
        let mut values = vec![];
        for f in &factors {
            values.push(scalar(el, *f, env)?);
        }
        el.span_nodes(span);
        let t = sum_of_product(el, values, vars, span)?;
        if name == "sum" {
            return Ok(t);
        }
        let n: u64 = vars.iter().filter_map(|&v| el.comp.as_ref().map(|f| f.vars[v].dim.size)).product();
        let t = if t.elem.dtype().is_float() { t } else { dtype::cast(el, &t, el.float) };
        let k = el.full(
            t.elem.dtype(),
            &t.dims,
            if nn_runtime::mutant!("sema.mean_count") { vars.len() as f64 } else { n as f64 },
        );
        let id = crate::sema::tensor::arith::apply(el, crate::sema::tensor::arith::BinOp::Div, t.id, k, t.elem.dtype());
        return Ok(el.plain(id, t.dims));
    }
    let t = scalar(el, body, env)?;
    el.span_nodes(span);
    if name == "argmax" {
        let [v] = vars[..] else {
            return el.err("E0208", span, "`argmax[i](..)` takes one index");
        };
        let (t, axes) = with_vars(el, &t, vars, span)?;
        if t.dims[axes[0]].size == 0 {
            return el.err("E0117", span, "`argmax` over an index without values");
        }
        let mut out = reduce::arg(el, ArgKind::Max, &t, axes[0], false);
        if let Some(outer) = el.comp.as_ref().and_then(|f| f.vars[v].outer.clone()) {
            out.elem = Elem::Idx(outer);
        }
        return Ok(out);
    }
    let Some(red) = Red::parse(name) else {
        return el.err("E0100", span, format!("unknown reducer `{name}`"));
    };
    fold(el, red, &t, vars, span)
}

/// The value with every one of the variables as an axis, and where those axes are.
fn with_vars(el: &mut Elab<'_>, t: &Tensor, vars: &[usize], span: Span) -> R<(Tensor, Vec<usize>)> {
    let have = vars_of(el, t);
    let t = if vars.iter().all(|v| have.contains(v)) {
        t.clone()
    } else {
        let all = union(el, &[have, vars.to_vec()]);
        align(el, t, &all, span)?
    };
    let have = vars_of(el, &t);
    let axes = (0..have.len()).filter(|&a| vars.contains(&have[a])).collect();
    Ok((t, axes))
}

/// Reduces over variables.
fn fold(el: &mut Elab<'_>, red: Red, t: &Tensor, vars: &[usize], span: Span) -> R<Tensor> {
    let (t, axes) = with_vars(el, t, vars, span)?;
    let n: u64 = t.dims.iter().map(|d| d.size).product();
    if n >= LARGE {
        let sizes: Vec<String> = t.dims.iter().map(|d| d.show()).collect();
        let note = Diagnostic::new("N0601", Severity::Note, Some(span), format!("this reduces over {n} elements"))
            .here(format!("the iteration space is [{}]", sizes.join(", ")))
            .note("it is no contraction of two tensors, so it is computed element by element");
        el.report(note);
    }
    Ok(reduce::reduce(el, red, &t, &axes, false))
}

/// The factors of `a * b * c`.
fn split_product(el: &Elab<'_>, e: ExprId, out: &mut Vec<ExprId>) {
    match &el.ast.expr(e).kind {
        ExprKind::Binary { op: BinaryOp::Mul, lhs, rhs, .. } => {
            split_product(el, *lhs, out);
            split_product(el, *rhs, out);
        }
        _ => out.push(e),
    }
}

fn subset(a: &[usize], b: &[usize]) -> bool {
    a.iter().all(|v| b.contains(v))
}

/// The widest float among values.
fn widest(values: &[Tensor]) -> Option<DType> {
    values.iter().map(|t| t.elem.dtype()).filter(|d| d.is_float()).max_by_key(|d| d.bytes())
}

/// The sum over `vars` of the product of some values.
fn sum_of_product(el: &mut Elab<'_>, values: Vec<Tensor>, vars: &[usize], span: Span) -> R<Tensor> {
    let mut values = values;
    if let Some(float) = widest(&values) {
        for t in &mut values {
            if t.elem.dtype() == DType::I32 && weak(el, t.id) {
                *t = dtype::cast(el, t, float);
            }
        }
    }
    let floats = values.iter().all(|t| t.elem.dtype().is_float());
    let mut outside: Vec<Tensor> = vec![];
    let mut groups: Vec<Tensor> = vec![];
    for t in values {
        let have = vars_of(el, &t);
        if floats && !have.iter().any(|v| vars.contains(v)) {
            outside.push(t);
        } else {
            groups.push(t);
        }
    }
    // A factor whose variables another factor has as well costs nothing there.
    let mut i = 0;
    while groups.len() > 2 && i < groups.len() {
        let mine = vars_of(el, &groups[i]);
        match (0..groups.len()).find(|&j| j != i && subset(&mine, &vars_of(el, &groups[j]))) {
            Some(j) => {
                let (a, b) = (groups[i].clone(), groups[j].clone());
                groups[j] = product(el, &b, &a, span)?;
                groups.remove(i);
            }
            None => i += 1,
        }
    }
    let mut total = match &groups[..] {
        [] => {
            let n: u64 = vars.iter().filter_map(|&v| el.comp.as_ref().map(|f| f.vars[v].dim.size)).product();
            let id = el.constant(el.float, if nn_runtime::mutant!("sema.unused_variables") { 1.0 } else { n as f64 });
            el.plain(id, vec![])
        }
        [a, b] if floats => match dot(el, a, b, vars, span)? {
            Some(t) => t,
            None => {
                let p = product(el, a, b, span)?;
                fold(el, Red::Sum, &p, vars, span)?
            }
        },
        [first, rest @ ..] => {
            let mut p = first.clone();
            for t in rest {
                p = product(el, &p, t, span)?;
            }
            fold(el, Red::Sum, &p, vars, span)?
        }
    };
    for t in outside {
        total = product(el, &total, &t, span)?;
    }
    Ok(total)
}

/// `sum over vars of a * b` as a contraction; `None` where an elementwise product is as good.
fn dot(el: &mut Elab<'_>, a: &Tensor, b: &Tensor, vars: &[usize], span: Span) -> R<Option<Tensor>> {
    let (va, vb) = (vars_of(el, a), vars_of(el, b));
    let contract: Vec<usize> = vars.iter().copied().filter(|v| va.contains(v) && vb.contains(v)).collect();
    let alone = |have: &[usize], other: &[usize]| -> Vec<usize> {
        have.iter().copied().filter(|v| !other.contains(v) && !vars.contains(v)).collect()
    };
    if contract.is_empty() || (alone(&va, &vb).is_empty() && alone(&vb, &va).is_empty()) {
        return Ok(None);
    }
    // Variables that only one factor has are summed there first.
    let mut sides = vec![];
    for (t, have, other) in [(a, &va, &vb), (b, &vb, &va)] {
        let own: Vec<usize> = vars.iter().copied().filter(|v| have.contains(v) && !other.contains(v)).collect();
        sides.push(if own.is_empty() || nn_runtime::mutant!("sema.own_variable") {
            t.clone()
        } else {
            fold(el, Red::Sum, t, &own, span)?
        });
    }
    let wide = std::cmp::max_by_key(a.elem.dtype(), b.elem.dtype(), |d| d.bytes());
    for s in &mut sides {
        *s = dtype::cast(el, s, wide);
    }
    // The side whose own variables come first in the iteration space is the left one.
    let key =
        |el: &Elab<'_>, free: &[usize]| free.iter().filter_map(|&v| el.comp.as_ref().map(|f| f.vars[v].key)).min();
    let (ka, kb) = (key(el, &alone(&va, &vb)), key(el, &alone(&vb, &va)));
    if matches!((ka, kb), (Some(x), Some(y)) if y < x) {
        sides.swap(0, 1);
    }
    let (x, y) = (sides[0].clone(), sides[1].clone());
    let (vx, vy) = (vars_of(el, &x), vars_of(el, &y));
    let missing: u64 = vars
        .iter()
        .filter(|v| !va.contains(v) && !vb.contains(v))
        .filter_map(|&v| el.comp.as_ref().map(|f| f.vars[v].dim.size))
        .product();
    let batch: Vec<usize> = vx.iter().copied().filter(|v| vy.contains(v) && !vars.contains(v)).collect();
    let at = |have: &[usize], list: &[usize]| -> Vec<usize> {
        list.iter().filter_map(|v| have.iter().position(|h| h == v)).collect()
    };
    let (bx, by) = (at(&vx, &batch), at(&vy, &batch));
    let (cx, cy) = (at(&vx, &contract), at(&vy, &contract));
    let mut dims = vec![];
    dims.extend(bx.iter().map(|&i| x.dims[i].clone()));
    dims.extend((0..vx.len()).filter(|i| !bx.contains(i) && !cx.contains(i)).map(|i| x.dims[i].clone()));
    dims.extend((0..vy.len()).filter(|i| !by.contains(i) && !cy.contains(i)).map(|i| y.dims[i].clone()));
    el.check_shape(&dims, span)?;
    let (xi, lhs_batch, lhs_contract) = matmul::peel(el, x.id, &bx, &cx);
    let (yi, rhs_batch, rhs_contract) = matmul::peel(el, y.id, &by, &cy);
    let id = el.b.dot(xi, yi, DotDims { lhs_batch, rhs_batch, lhs_contract, rhs_contract });
    let t = el.plain(id, dims);
    if missing == 1 || nn_runtime::mutant!("sema.unused_variable") {
        return Ok(Some(t));
    }
    let k = el.constant(t.elem.dtype(), missing as f64);
    let k = el.plain(k, vec![]);
    product(el, &t, &k, span).map(Some)
}
