//! Functions for `test` items: comparisons within a tolerance.

use super::args::Args;
use crate::graph::ops::elementwise::Ew;
use crate::sema::cx::{Builtin, CallArgs, Elab, R};
use crate::sema::tensor::arith::{self, BinOp, UnFn};
use crate::sema::tensor::reduce::{self, Red};
use crate::sema::tensor::{Num, Opd, dtype};
use crate::sema::value::Value;

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[Builtin { name: "close", call: close }];

/// `close(a, b, tol)`: a bool, true if everywhere `a == b` or `|a - b| <= tol`; NaN is close to nothing. The shapes must
/// be equal, or one side is a number.
fn close(el: &mut Elab<'_>, args: CallArgs) -> R<Value> {
    let mut a = Args::new(el, "close", args);
    let x = a.operand(el, "a")?;
    let y = a.operand(el, "b")?;
    let tol = a.float(el, "tol", 1e-6)?;
    let span = a.span();
    a.end(el)?;
    let x = Opd::new(dtype::float(el, &x), x.span);
    let y = Opd::new(dtype::float(el, &y), y.span);
    let equal = arith::binary(el, BinOp::Eq, &x, &y, span);
    let equal = el.failed(equal)?;
    let d = arith::binary(el, BinOp::Sub, &x, &y, span);
    let d = el.failed(d)?;
    let d = arith::unary(el, UnFn::Abs, &Opd::new(d, span));
    let near = arith::binary(el, BinOp::Le, &Opd::new(d, span), &Opd::new(Num::Float(tol), span), span);
    let near = el.failed(near)?;
    let (e, n) = (dtype::tensor(el, &Opd::new(equal, span)), dtype::tensor(el, &Opd::new(near, span)));
    let id = el.b.ew(Ew::Or, &[e.id, n.id]);
    let both = el.plain(id, e.dims);
    let axes: Vec<usize> = (0..both.dims.len()).collect();
    Ok(Value::Tensor(reduce::reduce(el, Red::All, &both, &axes, false)))
}
