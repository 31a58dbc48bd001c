//! Random graphs, fused, scheduled, compiled and run by the runtime, against the interpreter of the kernel IR: the same
//! bits in every parameter, state and output, on one, two and three threads.
//!
//! `NN_FUZZ_ITERS` sets the number of graphs per test, `NN_FUZZ_FIRST` the first seed.

use nn_compiler::codegen::Lowering;
use nn_compiler::codegen::emit::{self, Source};
use nn_compiler::graph::graph::{Graph, SlotKind};
use nn_compiler::graph::random::random;
use nn_compiler::graph::sampler::feeds;
use nn_compiler::graph::tensor::Tensor;
use nn_compiler::kernel::interp::{self, Arenas};
use nn_compiler::kernel::ir::{Arena, Buffer, KernelProgram};
use nn_compiler::kernel::print;
use nn_compiler::sched::{Layout, schedule};
use nn_runtime::dtype::DType;
use nn_runtime::exec::Session;
use std::collections::BTreeMap;
use std::sync::Arc;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn arena(kind: SlotKind) -> Arena {
    match kind {
        SlotKind::Param => Arena::Param,
        SlotKind::State => Arena::State,
        SlotKind::Data => Arena::Data,
        SlotKind::Step => Arena::Step,
    }
}

fn put(a: &mut Arenas, b: &Buffer, t: &Tensor) {
    for (i, &x) in t.data.iter().enumerate() {
        a.set(b, i as u64, if t.ty.dtype == DType::F32 { (x as f32).to_bits() } else { x as i64 as u32 });
    }
}

/// Equal bytes, taking all NaN of floats as one.
fn same(d: DType, a: &[u8], b: &[u8]) -> bool {
    let nan = |w: &[u8]| f32::from_le_bytes([w[0], w[1], w[2], w[3]]).is_nan();
    let word = |(x, y): (&[u8], &[u8])| x == y || (nan(x) && nan(y));
    a == b || (d == DType::F32 && a.len() == b.len() && a.chunks_exact(4).zip(b.chunks_exact(4)).all(word))
}

/// Runs a scheduled graph both ways; says what differs.
fn differ(g: &Graph, p: &KernelProgram, seed: u64, threads: usize, lowering: Lowering) -> Result<(), String> {
    let f = feeds(g, seed);
    let mut want = Arenas::new(p);
    for (slot, t) in g.slots.iter().zip(&f.slots) {
        let at = arena(slot.kind);
        let b = p.buffers.iter().find(|b| b.arena == at && b.name == *slot.name).ok_or("no slot buffer")?;
        put(&mut want, b, t);
    }
    let none = BTreeMap::new();
    let (params, state) = (emit::specs(p, Arena::Param, &none), emit::specs(p, Arena::State, &none));
    let source = Source { name: "step".into(), batch: 0, program: p, shapes: none, flops: 0 };
    let program = emit::emit_by(lowering, "fuzz", params, state, &[source]).map_err(|e| e.to_string())?;
    let mut session = Session::new(Arc::new(program), Some(threads)).map_err(|e| e.to_string())?;
    for b in &p.buffers {
        let place = match b.arena {
            Arena::Param => session.param_mut(&b.name),
            Arena::State => session.state_mut(&b.name),
            Arena::Data => session.data_mut(0, &b.name),
            Arena::Step => {
                let bits = want.get(b, 0);
                let x = if b.dtype == DType::F32 { f64::from(f32::from_bits(bits)) } else { f64::from(bits as i32) };
                session.set_step(0, &b.name, x);
                continue;
            }
            _ => continue,
        };
        place.ok_or_else(|| format!("the runtime has no %{}", b.name))?.copy_from_slice(want.bytes(b));
    }
    session.run(0, f.seed, f.step);
    interp::run(p, &mut want, f.seed, f.step).map_err(|e| e.to_string())?;
    for b in &p.buffers {
        let got = match b.arena {
            Arena::Param => session.param(&b.name),
            Arena::State => session.state(&b.name),
            _ => continue,
        };
        if !got.is_some_and(|got| same(b.dtype, got, want.bytes(b))) {
            return Err(format!("%{} differs on {threads} threads", b.name));
        }
    }
    for (i, (name, id)) in p.outputs.iter().enumerate() {
        let b = &p.buffers[id.0 as usize];
        let first = p.outputs.iter().position(|o| o.0 == *name) == Some(i);
        if first && !session.output(0, name).is_some_and(|got| same(b.dtype, got, want.bytes(b))) {
            return Err(format!("output {name} differs on {threads} threads"));
        }
    }
    Ok(())
}

/// A quarter of the seeds, so that tests run side by side.
fn quarter(n: u64) {
    let (iters, first) = (number("NN_FUZZ_ITERS", 500), number("NN_FUZZ_FIRST", 0));
    let mut compared = 0;
    for seed in (first..first + 4 * iters).filter(|s| s % 4 == n) {
        let g = random(seed);
        // What one back end cannot do is a limit; what it can must be right.
        let Ok(p) = schedule(&g, &Layout::of(&g)) else { continue };
        compared += 1;
        let mut lowerings = vec![Lowering::Cranelift, Lowering::best()];
        lowerings.dedup();
        for l in lowerings {
            if let Err(why) = differ(&g, &p, seed, 1 + (seed / 4 % 3) as usize, l) {
                panic!("seed {seed} by {l:?}: {why}\n{}", print::program(&p));
            }
        }
    }
    assert!(compared * 10 >= iters * 9, "only {compared} of {iters} graphs could be compared");
}

#[test]
fn compiled_graphs_give_the_interpreters_bits_0() {
    quarter(0);
}

#[test]
fn compiled_graphs_give_the_interpreters_bits_1() {
    quarter(1);
}

#[test]
fn compiled_graphs_give_the_interpreters_bits_2() {
    quarter(2);
}

#[test]
fn compiled_graphs_give_the_interpreters_bits_3() {
    quarter(3);
}
