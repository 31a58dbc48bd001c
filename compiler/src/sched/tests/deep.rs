//! Programs with many equal layers: launches know their layer, and no kernel grows with the number of layers.

use super::structure::{input, mlp, optimized};
use super::*;
use crate::fuse::cost::MAX_ARGS;
use crate::kernel::parse;
use std::collections::BTreeSet;

/// Buffers of the widest kernel.
fn widest(p: &KernelProgram) -> usize {
    p.kernels.iter().map(|k| k.args.len()).max().unwrap_or(0)
}

/// Layers of one shape share kernels; profiles and messages tell them apart all the same.
#[test]
fn a_launch_is_named_after_its_own_layer() {
    let g = mlp(4, &[8; 7]);
    let p = schedule(&g, &Layout::of(&g)).expect("schedules");
    let names: BTreeSet<&str> = p.launches().iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names.len(), p.launches().len(), "{names:?}");
    assert!(p.kernels.len() < p.launches().len(), "layers share kernels");
    for i in 0..6 {
        assert!(names.iter().any(|n| n.starts_with(&format!("fc{i}.dot"))), "fc{i}: {names:?}");
    }
    let text = print::program(&p);
    assert_eq!(parse::program(&text).expect("parses"), p, "{text}");
}

/// The zeros of all states are one value: it is stored to a few slots and copied to the rest, all in one launch.
#[test]
fn one_value_for_many_slots() {
    let mut b = Builder::new("init");
    for i in 0..200 {
        let (x, slot) = input(&mut b, &format!("m{i}"), SlotKind::State, DType::F32, &[64]);
        let zero = b.zeros_like(x);
        b.assign(slot, zero);
    }
    let g = optimized(b.finish());
    let p = schedule(&g, &Layout::of(&g)).expect("schedules");
    assert!(widest(&p) <= MAX_ARGS, "{} buffers\n{}", widest(&p), print::program(&p));
    assert!(p.launches().len() <= 3, "{}", print::program(&p));
}

/// Small reductions that depend on nothing in common share launches, a bounded number each.
#[test]
fn many_small_reductions_side_by_side() {
    let mut b = Builder::new("norms");
    for i in 0..100 {
        let (x, _) = input(&mut b, &format!("x{i}"), SlotKind::Param, DType::F32, &[8, 8]);
        let sum = b.reduce(ReduceKind::Sum, x, &[1]);
        b.output(&format!("sum{i}"), sum);
    }
    let g = optimized(b.finish());
    let p = schedule(&g, &Layout::of(&g)).expect("schedules");
    assert!(widest(&p) <= MAX_ARGS, "{} buffers", widest(&p));
    assert!(p.launches().len() <= 100 / (MAX_ARGS / 2) + 1, "{} launches", p.launches().len());
}
