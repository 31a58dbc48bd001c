//! Random programs of the language against an evaluator that shares nothing with the compiler.
//!
//! In: seeds. Out: for each a `test` item whose assertions hold the values, sizes and derivatives that `programs/tree.rs`
//! works out by loops over indices, run by `nnc test`. `NN_PROGRAMS=N` makes N of them, `NN_SEED=S` begins elsewhere; a
//! failure prints its program. It stands with the workspace because it knows the language only as text.

mod common;
#[path = "programs/make.rs"]
mod make;
#[path = "programs/number.rs"]
mod number;
#[path = "programs/tree.rs"]
mod tree;

use common::{folder, nnc};
use make::Program;
use number::{Dual, Number};
use std::fmt::Write;
use tree::{Env, Tensor};

/// Programs of a default run.
const PROGRAMS: u64 = 300;
/// Most elements of an input that is differentiated.
const VARIED: usize = 12;
/// Values and derivatives beyond this lose digits to cancellation.
const LARGE: f64 = 1e4;

/// All tensors, with the derivative by whatever `seeded` marks.
fn evaluate<N: Number>(p: &Program, seeded: &dyn Fn(&str, usize, f64) -> N) -> Env<N> {
    let mut env = Env { floats: Default::default(), ints: Default::default(), bools: Default::default() };
    for (name, t) in &p.floats {
        let data = t.data.iter().enumerate().map(|(i, &x)| seeded(name, i, x)).collect();
        env.floats.insert(name.clone(), Tensor { shape: t.shape.clone(), data });
    }
    env.ints = p.ints.iter().map(|(n, at, _)| (n.clone(), at.clone())).collect();
    env.bools = p.bools.iter().cloned().collect();
    for (name, m, shape) in &p.made {
        let t = env.make(m);
        assert_eq!(&t.shape, shape, "the generator and the evaluator disagree on {name}");
        env.floats.insert(name.clone(), t);
    }
    env
}

/// The sum of a tensor.
fn total<N: Number>(env: &Env<N>, of: &str) -> N {
    env.floats[of].data.iter().fold(N::of(0.0), |s, &x| s.add(x))
}

/// An input that a tensor depends on, directly or through others.
fn cause(p: &mut Program, of: &str) -> Option<String> {
    let mut known = vec![of.to_owned()];
    let mut inputs = vec![];
    while let Some(name) = known.pop() {
        match p.made.iter().find(|(n, ..)| *n == name) {
            Some((_, m, _)) => known.extend(make::sources(m)),
            None => inputs.push(name),
        }
    }
    let few = |n: &String| p.floats.iter().any(|(m, t)| m == n && (1..=VARIED).contains(&t.data.len()));
    inputs.retain(few);
    inputs.sort();
    inputs.dedup();
    (!inputs.is_empty()).then(|| inputs[p.r.below(inputs.len())].clone())
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Asserts that a tensor has a shape and elements; false if the numbers are too large to compare.
fn hold(out: &mut String, name: &str, t: &Tensor<f64>) -> bool {
    if t.data.iter().any(|x| !x.is_finite() || x.abs() > LARGE) {
        return false;
    }
    let numbers: Vec<String> = t.data.iter().map(|x| format!("{x:?}")).collect();
    let _ = writeln!(out, "  let t_{name}: f64[{}] = {name} as f64", sizes(&t.shape));
    if t.shape.is_empty() {
        let _ = writeln!(out, "  assert close(t_{name}, {}, 1e-8)", numbers[0]);
    } else {
        let _ = writeln!(out, "  assert size(t_{name}) == {}", t.data.len());
        if !t.data.is_empty() {
            let _ = writeln!(out, "  assert close(t_{name}, {}, 1e-8)", tree::list(&t.shape, &numbers));
        }
    }
    true
}

/// The program of a seed as a `test`; nothing if its numbers grow too large.
fn program(seed: u64) -> Option<String> {
    let mut p = Program::new(seed);
    let mut s = format!("test \"program {seed}\" {{\n");
    for (name, t) in &p.floats {
        let numbers: Vec<String> = t.data.iter().map(|x| format!("{x:?}")).collect();
        let _ = writeln!(s, "  let {name}: f64[{}] = {}", sizes(&t.shape), tree::list(&t.shape, &numbers));
    }
    for (name, at, bound) in &p.ints {
        let numbers: Vec<String> = at.iter().map(usize::to_string).collect();
        let _ = writeln!(s, "  let {name}: idx<{bound}>[{}] = {}", at.len(), tree::list(&[at.len()], &numbers));
    }
    for (name, t) in &p.bools {
        let truths: Vec<String> = t.data.iter().map(|&x| (x != 0.0).to_string()).collect();
        let _ = writeln!(s, "  let {name}: bool[{}] = {}", sizes(&t.shape), tree::list(&t.shape, &truths));
    }
    let env = evaluate::<f64>(&p, &|_, _, x| x);
    for (name, m, _) in &p.made {
        let _ = writeln!(s, "  {}", tree::statement(name, m));
        if !hold(&mut s, name, &env.floats[name]) {
            return None;
        }
    }
    let last = p.made.last()?.0.clone();
    if let Some(x) = cause(&mut p, &last) {
        let shape = p.floats.iter().find(|(n, _)| *n == x)?.1.shape.clone();
        let n: usize = shape.iter().product();
        let mark = |name: &str, i: usize, k: usize| f64::from(u8::from(name == x && i == k));
        let one = |k: usize| {
            let env = evaluate::<Dual<f64>>(&p, &|name, i, v| Dual { x: v, d: mark(name, i, k) });
            total(&env, &last).d
        };
        let g: Vec<f64> = (0..n).map(one).collect();
        // Where all of it is zero there may be no way from one to the other, which is an error of its own.
        if g.iter().all(|&d| d == 0.0) {
            s.push_str("}\n");
            return Some(s);
        }
        let _ = writeln!(s, "  let g = grad(sum({last}), {x})");
        if !hold(&mut s, "g", &Tensor { shape: shape.clone(), data: g.clone() }) {
            return None;
        }
        // The derivative of the squared length of the gradient: 2 * sum over k of g[k] * d g[k] / d x[j].
        let two = |k: usize, j: usize| {
            let seeded = |name: &str, i: usize, v: f64| Dual {
                x: Dual { x: v, d: mark(name, i, k) },
                d: Dual { x: mark(name, i, j), d: 0.0 },
            };
            total(&evaluate::<Dual<Dual<f64>>>(&p, &seeded), &last).d.d
        };
        let h: Vec<f64> = (0..n).map(|j| (0..n).map(|k| 2.0 * g[k] * two(k, j)).sum()).collect();
        if h.iter().any(|&d| d != 0.0) {
            let _ = writeln!(s, "  let h = grad(sum(g * g), {x})");
            if !hold(&mut s, "h", &Tensor { shape, data: h }) {
                return None;
            }
        }
    }
    s.push_str("}\n");
    Some(s)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn programs_mean_what_loops_say() {
    let (first, count) = (number("NN_SEED", 1), number("NN_PROGRAMS", PROGRAMS));
    let dir = folder();
    let mut wrong = String::new();
    let all: Vec<(u64, String)> = (first..first + count).filter_map(|seed| Some((seed, program(seed)?))).collect();
    assert!(all.len() as u64 * 10 > count * 7, "most programs have numbers that can be compared");
    for part in all.chunks(50) {
        let helper = "fn twice(x: [.., N]) -> [..] = 2 * sum(x, axis: -1)\n";
        let text: String = part.iter().map(|(_, s)| s.as_str()).collect();
        std::fs::write(dir.path().join("p.nn"), format!("{helper}{text}")).expect("written");
        let ran = nnc(dir.path(), &["test", "p.nn"]);
        for (seed, source) in part {
            let failed = ran.out.lines().chain(ran.err.lines());
            let line = failed.filter(|l| l.contains("FAILED")).find(|l| l.contains(&format!("program {seed} ")));
            if let Some(line) = line {
                let _ = writeln!(wrong, "{line}\n{source}");
            }
        }
        let passed = format!("{} passed, 0 failed", part.len());
        if wrong.is_empty() && !ran.out.contains(&passed) && !ran.err.contains(&passed) {
            wrong = format!("{}\n{}", ran.out, ran.err);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
