//! The whole of fusion and scheduling against the reference interpreter, and the structure of what comes out.

use super::{Layout, bound, memory, schedule};
use crate::grad::grad;
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, SlotKind, ValueId};
use crate::graph::interp::Feeds;
use crate::graph::ops::elementwise::Ew;
use crate::graph::ops::{Op, ReduceKind, ScatterKind};
use crate::graph::random::{hard, loops, loops_where, random, random_where};
use crate::graph::sampler::feeds;
use crate::kernel::interp as kinterp;
use crate::kernel::ir::{Arena, KernelProgram};
use crate::kernel::{print, verify_plan};
use nn_runtime::dtype::DType;

mod deep;
mod scan;
mod shapes;
mod structure;

/// Runs both interpreters and compares every result; says what differs.
fn differ(g: &Graph, f: &Feeds) -> Result<KernelProgram, String> {
    let p = schedule(g, &Layout::of(g)).map_err(|e| e.to_string())?;
    let errors = verify_plan::program(&p);
    if !errors.is_empty() {
        return Err(format!("{}\n{}", errors.join("\n"), memory::print(&p)));
    }
    let mut arenas = bound::fed(g, &p, f)?;
    kinterp::run(&p, &mut arenas, f.seed, f.step).map_err(|e| e.to_string())?;
    bound::check(g, &p, f, &arenas)?;
    Ok(p)
}

fn iterations() -> u64 {
    std::env::var("NN_FUZZ_ITERS").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

/// The kernel program of a random graph computes what the graph means.
#[test]
fn random_graphs_agree_with_the_reference() {
    agree(random);
}

/// The same where fusion and memory reuse are easy to get wrong.
#[test]
fn hard_graphs_agree_with_the_reference() {
    agree(hard);
}

/// The same of loops.
#[test]
fn graphs_with_loops_agree_with_the_reference() {
    agree(loops);
}

fn agree(random: fn(u64) -> Graph) {
    let mut failures = vec![];
    let first = std::env::var("NN_FUZZ_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    for seed in first..first + iterations() {
        let g = random(seed);
        let f = feeds(&g, seed);
        let run = std::panic::catch_unwind(|| differ(&g, &f).map(drop));
        let why = match run {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(_) => "panic".to_owned(),
        };
        failures.push((seed, why));
    }
    if let Some((seed, why)) = failures.first() {
        let g = random(*seed);
        let ir = schedule(&g, &Layout::of(&g)).map(|p| print::program(&p)).unwrap_or_default();
        let all: String =
            failures.iter().map(|(s, why)| format!("{s}: {}\n", why.lines().next().unwrap_or(""))).collect();
        panic!("{} of {} failed:\n{all}seed {seed}: {why}\n{}\n{ir}", failures.len(), iterations(), nodes(&g));
    }
}

/// Gradients of random smooth graphs, after the optimizer, which makes denser graphs than the generator alone.
#[test]
fn gradients_of_random_graphs_agree_with_the_reference() {
    let smooth = |op: &Op| match op {
        Op::Ew(e) => e.spec().smooth && e.spec().vjp.is_some(),
        Op::Reduce { kind, .. } | Op::Cumulate { kind, .. } => *kind == ReduceKind::Sum,
        Op::Rng { .. } | Op::ArgReduce { .. } | Op::Cast(_) | Op::Scatter { kind: ScatterKind::Max, .. } => false,
        _ => true,
    };
    let mut checked = 0;
    for seed in 0..iterations() / 2 {
        let g = if seed % 4 == 3 { loops_where(seed, smooth) } else { random_where(seed, smooth) };
        let floats = |v: &ValueId| g.ty(*v).dtype.is_float();
        let xs: Vec<ValueId> = g.values().filter(|v| matches!(g.op(*v), Op::Input { .. }) && floats(v)).collect();
        let ys: Vec<ValueId> = g.outputs.iter().map(|o| o.value).filter(floats).collect();
        let name = g.name.clone();
        let mut b = Builder::default();
        let to = append(&mut b, &g);
        let wide = ys.iter().any(|y| g.ty(*y).dtype == DType::F64);
        let dtype = if wide { DType::F64 } else { DType::F32 };
        let mut total = b.scalar(dtype, 0.0);
        for y in &ys {
            let axes: Vec<u32> = (0..g.ty(*y).rank() as u32).collect();
            let s = b.reduce(ReduceKind::Sum, to[y.idx()], &axes);
            let s = if b.ty(s).dtype == dtype { s } else { b.cast(s, dtype) };
            total = b.ew(Ew::Add, &[total, s]);
        }
        let xs: Vec<ValueId> = xs.iter().map(|x| to[x.idx()]).collect();
        b.output("total", total);
        for (i, d) in grad(&mut b, total, &xs).into_iter().enumerate() {
            if let Some(d) = d {
                b.output(&format!("d{i}"), d);
                checked += 1;
            }
        }
        let g = structure::optimized(b.finish());
        if let Err(why) = differ(&g, &feeds(&g, seed)) {
            panic!("{name}: {why}\n{}", nodes(&g));
        }
    }
    assert!(checked as u64 > iterations() / 4, "only {checked} gradients");
}

/// Appends all nodes of a graph to a builder.
fn append(b: &mut Builder, g: &Graph) -> Vec<ValueId> {
    let mut to: Vec<ValueId> = vec![];
    for n in &g.nodes {
        let inputs: Vec<ValueId> = n.inputs.iter().map(|x| to[x.idx()]).collect();
        to.push(match &n.op {
            Op::Input { slot } => b.input(g.slots[*slot as usize].clone()),
            op => b.op(op.clone(), &inputs),
        });
    }
    to
}

/// Of loops: what was scanned behind a view and stacked again, read by a contraction over two axes; slices of nothing.
#[test]
fn loops_that_once_failed() {
    for seed in [3077, 3142, 5087] {
        let g = loops(seed);
        if let Err(why) = differ(&g, &feeds(&g, seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

/// Seeds that once failed: a scatter whose index and update are the same in every step; random bits in a permuted buffer;
/// two readers that bound one axis to two; launches merged in a circle.
#[test]
fn graphs_that_once_failed() {
    for seed in [15879, 67, 613, 286, 657, 377] {
        let g = random(seed);
        if let Err(why) = differ(&g, &feeds(&g, seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

fn nodes(g: &Graph) -> String {
    let line = |v: crate::graph::graph::ValueId| {
        let n = g.node(v);
        format!("%{}: {} = {:?} {:?}\n", v.0, n.ty, n.op, n.inputs.iter().map(|i| i.0).collect::<Vec<_>>())
    };
    let outs: String = g.outputs.iter().map(|o| format!("{} = %{} {:?}\n", o.name, o.value.0, o.assign)).collect();
    g.values().map(line).collect::<String>() + &outs
}
