//! Random graphs, some with loops, fused, scheduled, compiled and run by the runtime, against the interpreter of the kernel IR: the same
//! bits in every parameter, state and output, on one, two and three threads, for extreme inputs too. The interpreter is held
//! against the graph's meaning, and against itself running as threads that are as far apart as barriers allow.
//!
//! `NN_FUZZ_ITERS` sets the number of graphs per test, `NN_FUZZ_FIRST` the first seed.

use nn_compiler::codegen::Lowering;
use nn_compiler::codegen::emit::{self, Source};
use nn_compiler::graph::graph::Graph;
use nn_compiler::graph::interp::Feeds;
use nn_compiler::graph::print::to_text;
use nn_compiler::graph::random;
use nn_compiler::graph::sampler::{extreme_feeds, feeds};
use nn_compiler::kernel::interp::{self, Arenas};
use nn_compiler::kernel::ir::{Arena, KernelProgram};
use nn_compiler::kernel::print;
use nn_compiler::lanes_eval::number_of;
use nn_compiler::sched::{Layout, ScheduleError, bound, schedule};
use nn_runtime::dtype::DType;
use nn_runtime::exec::Session;
use std::collections::BTreeMap;
use std::sync::Arc;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Equal bytes, taking all NaN of floats as one.
fn same(d: DType, a: &[u8], b: &[u8]) -> bool {
    let nan = |w: &[u8]| match *w {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).is_nan(),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]).is_nan(),
        _ => false,
    };
    let (x, y) = (a.chunks_exact(d.bytes()), b.chunks_exact(d.bytes()));
    a == b || (d.is_float() && a.len() == b.len() && x.zip(y).all(|(x, y)| x == y || (nan(x) && nan(y))))
}

/// What a scheduled graph leaves in memory, by the kernel interpreter.
fn interpret(g: &Graph, p: &KernelProgram, f: &Feeds) -> Result<Arenas, String> {
    let mut arenas = bound::fed(g, p, f)?;
    interp::run(p, &mut arenas, f.seed, f.step).map_err(|e| e.to_string())?;
    Ok(arenas)
}

/// Every byte that outlives a step is the same if threads are apart.
fn apart(g: &Graph, p: &KernelProgram, f: &Feeds, want: &Arenas) -> Result<(), String> {
    for order in [&[1, 0][..], &[2, 0, 1]] {
        let mut got = bound::fed(g, p, f)?;
        interp::run_threads(p, &mut got, f.seed, f.step, order).map_err(|e| e.to_string())?;
        for a in [Arena::Param, Arena::State, Arena::Output] {
            if got.arena(a) != want.arena(a) {
                return Err(format!("the {a:?} arena depends on the order of threads {order:?}"));
            }
        }
    }
    Ok(())
}

/// Runs a scheduled graph compiled; says what differs from the interpreter.
fn differ(
    g: &Graph,
    p: &KernelProgram,
    f: &Feeds,
    want: &Arenas,
    threads: usize,
    lowering: Lowering,
) -> Result<(), String> {
    let start = bound::fed(g, p, f)?;
    let none = BTreeMap::new();
    let (params, state) = (emit::specs(p, Arena::Param, &none), emit::specs(p, Arena::State, &none));
    let source = Source { name: "step".into(), batch: 0, program: p, shapes: none, flops: 0, checks: &[] };
    let program = emit::emit_by(lowering, "fuzz", params, state, &[source]).map_err(|e| e.to_string())?;
    let mut session = Session::new(Arc::new(program), Some(threads)).map_err(|e| e.to_string())?;
    for b in &p.buffers {
        let place = match b.arena {
            Arena::Param => session.param_mut(&b.name),
            Arena::State => session.state_mut(&b.name),
            Arena::Data => session.data_mut(0, &b.name),
            Arena::Step => {
                session.set_step(0, &b.name, number_of(b.dtype, start.get(b, 0)));
                continue;
            }
            _ => continue,
        };
        place.ok_or_else(|| format!("the runtime has no %{}", b.name))?.copy_from_slice(start.bytes(b));
    }
    session.run(0, f.seed, f.step);
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
        let hard = seed / 4 % 2 == 1;
        let g = match hard {
            _ if seed / 8 % 4 == 3 => random::loops(seed),
            true => random::hard(seed / 8),
            false => random::random(seed),
        };
        let fail = |why: String, p: &KernelProgram| -> ! {
            panic!("seed {seed}: {why}\n{}\n{}", to_text(&g), print::program(p))
        };
        let p = match schedule(&g, &Layout::of(&g)) {
            Ok(p) => p,
            // What one back end cannot do is a limit; what it can must be right.
            Err(ScheduleError::Limit(_)) => continue,
            Err(ScheduleError::Bug(why)) => panic!("seed {seed}: {why}\n{}", to_text(&g)),
        };
        compared += 1;
        let usual = feeds(&g, seed);
        let want = interpret(&g, &p, &usual).unwrap_or_else(|why| fail(why, &p));
        if let Err(why) = bound::check(&g, &p, &usual, &want).and_then(|()| apart(&g, &p, &usual, &want)) {
            fail(why, &p);
        }
        let (f, want) = if seed / 8 % 2 == 0 {
            (usual, want)
        } else {
            let f = extreme_feeds(&g, seed);
            let want = interpret(&g, &p, &f).unwrap_or_else(|why| fail(why, &p));
            (f, want)
        };
        let mut lowerings = vec![Lowering::Cranelift, Lowering::best()];
        lowerings.dedup();
        for l in lowerings {
            if let Err(why) = differ(&g, &p, &f, &want, 1 + (seed / 4 % 3) as usize, l) {
                fail(format!("by {l:?}: {why}"), &p);
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
