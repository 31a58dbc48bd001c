//! The order of a contraction's axes.
//!
//! In: lengths and strides of the contracted axes in the left and the right operand. Out: the axes in the order that the sum
//! runs over them, as few as possible, and whether kernels can run it. `legalize.rs` asks which operand of a graph's `dot`
//! must be stored, `sched/finish.rs` which one becomes the right one: one rule, so that the two agree.

use crate::kernel::ir::KAxis;
use smallvec::SmallVec;
use std::cmp::Reverse;

/// A contracted axis and what it is made of, outermost first.
pub type Part = (KAxis, SmallVec<[u32; 4]>);

/// Makes one axis of two that both operands walk in step, then puts them in order. Is the right operand walked with one
/// stride then? The left one may be any: its runs are reached through a table.
///
/// The order is the left operand's, farthest stride first, so that the sum runs through its memory forward and the last
/// axis, the run of the inner loop, has its neighbors; the right operand's packed panels have any order. Among axes that
/// move the left operand alike it is the right one's.
pub fn arrange(axes: &mut Vec<Part>) -> bool {
    while let Some((u, v)) = in_step(axes) {
        let (outer, parts) = axes[u].clone();
        axes[v].0.n *= outer.n;
        axes[v].1.insert_many(0, parts);
        axes.remove(u);
    }
    axes.sort_by_key(|(x, _)| (Reverse(x.a.unsigned_abs()), Reverse(x.b.unsigned_abs())));
    axes.windows(2).all(|w| w[0].0.b == w[1].0.b * w[1].0.n as i64)
}

fn in_step(axes: &[Part]) -> Option<(usize, usize)> {
    let n = axes.len();
    let pairs = (0..n).flat_map(|u| (0..n).map(move |v| (u, v)));
    pairs.filter(|(u, v)| u != v).find(|&(u, v)| {
        let (x, y) = (axes[u].0, axes[v].0);
        (y.a, y.b) != (0, 0)
            && x.a == y.a * y.n as i64
            && (x.b == y.b * y.n as i64 || nn_runtime::mutant!("fuse.in_step"))
    })
}

/// The same axes with the operands' places exchanged.
pub fn exchanged(axes: &[Part]) -> Vec<Part> {
    axes.iter().map(|(x, parts)| (KAxis { n: x.n, a: x.b, b: x.a }, parts.clone())).collect()
}
