//! `a @ b`: products of vectors, matrices and stacks of matrices.
//!
//! In: two float operands. Out: one contraction. Leading axes of both must be equal, or one operand has none.

use super::dtype::{Want, meet, to_dtype};
use super::{Opd, TR, fail};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::ValueId;
use crate::graph::ops::{Axes, DotDims, Op};
use crate::sema::cx::Elab;
use crate::sema::value::{Dim, Tensor, show_dims};
use crate::source::Span;

/// The matrix product. The last axis of `a` is contracted with the second to last of `b` (the only one of a vector).
pub fn matmul(el: &mut Elab<'_>, a: &Opd, b: &Opd, span: Span) -> TR<Tensor> {
    el.span_nodes(span);
    let dtype = meet(el.float, a, b, Want::Floats)?;
    let (x, dx) = to_dtype(el, a, dtype);
    let (y, dy) = to_dtype(el, b, dtype);
    let (rx, ry) = (dx.len(), dy.len());
    if rx == 0 || ry == 0 {
        let (o, _) = if rx == 0 { (a, b) } else { (b, a) };
        return fail("E0117", o.span, "`@` multiplies vectors and matrices, this is a scalar")
            .map_err(|d: super::Fail| Box::new(d.help("use `*`")));
    }
    let ky = if ry == 1 { 0 } else { ry - 2 };
    let (k, l) = (&dx[rx - 1], &dy[ky]);
    if k.size != l.size {
        el.learn(k.size, l.size);
        return Err(Box::new(mismatch(a, b, &dx, &dy, k, l, span)));
    }
    let (lx, ly) = (rx.saturating_sub(2), ry.saturating_sub(2));
    let batch = if lx > 0 && ly > 0 { lx.min(ly) } else { 0 };
    // Batch axes are the innermost leading axes that both have; more leading axes of one side are free.
    let bx: Vec<usize> = (lx - batch..lx).collect();
    let by: Vec<usize> = (ly - batch..ly).collect();
    for (&i, &j) in bx.iter().zip(&by) {
        if dx[i].size != dy[j].size {
            let (p, q) = (&dx[i], &dy[j]);
            return Err(Box::new(
                Diagnostic::error("E0103", span, format!("axis mismatch: {} meets {} in `@`", p.show(), q.show()))
                    .label(a.span, format!("this is {}", show_dims(&dx)))
                    .label(b.span, format!("this is {}", show_dims(&dy)))
                    .note("leading axes of stacked matrices must be equal, or one side has none"),
            ));
        }
    }
    let free_x: Vec<usize> = (0..rx - 1).filter(|i| !bx.contains(i)).collect();
    let free_y: Vec<usize> = (0..ry).filter(|j| *j != ky && !by.contains(j)).collect();
    let mut dims: Vec<Dim> = bx.iter().map(|&i| dx[i].clone()).collect();
    dims.extend(free_x.iter().map(|&i| dx[i].clone()));
    dims.extend(free_y.iter().map(|&j| dy[j].clone()));
    // The result has the leading axes first, then the row of `a`, then the column of `b`.
    let mut want: Vec<usize> = vec![];
    let (nb, nfx) = (bx.len(), free_x.len());
    let rows_x = usize::from(rx >= 2);
    let cols_y = usize::from(ry >= 2);
    let lead_x = nfx - rows_x;
    let lead_y = free_y.len() - cols_y;
    want.extend((0..lead_x).map(|i| nb + i));
    want.extend((0..lead_y).map(|j| nb + nfx + j));
    want.extend(0..nb);
    want.extend((0..rows_x).map(|i| nb + lead_x + i));
    want.extend((0..cols_y).map(|j| nb + nfx + lead_y + j));
    super::arith::check_dims(&dims, span)?;
    let id = contract(el, x, &bx, rx - 1, y, &by, ky);
    let perm: Vec<u32> = want.iter().map(|&i| i as u32).collect();
    let id = el.b.permute(id, &perm);
    let dims = want.iter().map(|&i| dims[i].clone()).collect();
    Ok(el.plain(id, dims))
}

/// One `dot`, reading through transposes of its operands where the order of their free axes stays.
pub fn contract(
    el: &mut Elab<'_>,
    x: ValueId,
    bx: &[usize],
    kx: usize,
    y: ValueId,
    by: &[usize],
    ky: usize,
) -> ValueId {
    let (x, lb, lc) = peel(el, x, bx, &[kx]);
    let (y, rb, rc) = peel(el, y, by, &[ky]);
    el.b.dot(x, y, DotDims { lhs_batch: lb, rhs_batch: rb, lhs_contract: lc, rhs_contract: rc })
}

/// The operand of a transpose with the axes renumbered, or the value itself.
pub fn peel(el: &Elab<'_>, v: ValueId, batch: &[usize], contract: &[usize]) -> (ValueId, Axes, Axes) {
    let axes = |list: &[usize]| -> Axes { list.iter().map(|&i| i as u32).collect() };
    if let Op::Permute(perm) = el.b.graph().op(v) {
        let free: Vec<u32> =
            (0..perm.len()).filter(|i| !batch.contains(i) && !contract.contains(i)).map(|i| perm[i]).collect();
        if free.is_sorted() {
            let through = |list: &[usize]| -> Axes { list.iter().map(|&i| perm[i]).collect() };
            return (el.b.graph().inputs(v)[0], through(batch), through(contract));
        }
    }
    (v, axes(batch), axes(contract))
}

fn mismatch(a: &Opd, b: &Opd, dx: &[Dim], dy: &[Dim], k: &Dim, l: &Dim, span: Span) -> Diagnostic {
    let mut d =
        Diagnostic::error("E0103", span, format!("axis mismatch: `@` contracts {} with {}", k.show(), l.show()))
            .here("the last axis on the left meets the second to last on the right")
            .label(a.span, format!("this is {}", show_dims(dx)))
            .label(b.span, format!("this is {}", show_dims(dy)));
    for dim in [k, l] {
        if let Some(o) = dim.origin {
            d = d.label(o, format!("{} comes from here", dim.show()));
        }
    }
    if dy.len() >= 2 && dy[dy.len() - 1].size == k.size {
        d.fix("transpose the right operand: `{2}.T`", [Edit::replace(b.span, "{2}.T")])
    } else {
        d.help("make the two sizes equal")
    }
}
