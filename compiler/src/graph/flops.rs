//! Floating point operations of a graph, as the literature counts them.

use super::graph::Graph;
use super::ops::{Class, Op};
use std::ops::Range;

/// Two per multiply-add of a contraction; one per element of elementwise float ops and reductions. Movement is free.
pub fn of(g: &Graph) -> u64 {
    of_nodes(g, 0..g.nodes.len())
}

/// Of some of its nodes.
pub fn of_nodes(g: &Graph, nodes: Range<usize>) -> u64 {
    let mut total = 0u64;
    for node in &g.nodes[nodes] {
        let n = match (&node.op, node.op.class()) {
            (Op::Dot(d), _) => {
                let lhs = g.ty(node.inputs[0]);
                let k: u64 = d.lhs_contract.iter().map(|&a| lhs.shape[a as usize]).product();
                node.ty.numel().saturating_mul(k).saturating_mul(2)
            }
            (Op::Scan(s), _) => of(&s.body).saturating_mul(s.length),
            (Op::Ew(_), _) if node.ty.dtype.is_float() => node.ty.numel(),
            (_, Class::Reduce | Class::Order) => g.ty(node.inputs[0]).numel(),
            _ => 0,
        };
        total = total.saturating_add(n);
    }
    total
}
