//! Passes against the reference interpreter: no pass changes what a graph means, on seeded random graphs.

use super::PASSES;
use crate::graph::graph::Graph;
use crate::graph::interp::run;
use crate::graph::ops::{Class, Literal, Op};
use crate::graph::parse::parse;
use crate::graph::print::to_text;
use crate::graph::random::{random, random_where};
use crate::graph::sampler::feeds;
use crate::pass::{Pass, PassCx, PassOptions, run_passes};
use std::collections::BTreeMap;

/// The same graph over f64, where the rounding of folded constants is exact too.
fn in_f64(g: &Graph) -> Graph {
    parse(&to_text(g).replace("f32", "f64")).expect("f64 in place of f32 is a graph")
}

fn apply(pass: &Pass, g: &Graph) -> (Graph, u64) {
    let mut cx = PassCx::new(u64::MAX);
    let next = (pass.run)(g, &mut cx);
    (next, cx.rewrites)
}

/// Outputs are equal: bit for bit but for the sign of zero, except what powers rewritten as products round differently.
fn assert_same(what: &str, before: &Graph, after: &Graph, seed: u64) {
    let feeds = feeds(before, seed);
    let (a, b) = (run(before, &feeds).expect("feeds fit"), run(after, &feeds).expect("feeds fit"));
    for ((x, y), out) in a.iter().zip(&b).zip(&before.outputs) {
        assert_eq!(x.ty, y.ty);
        let same = |(p, q): (&f64, &f64)| (p - q).abs() <= 1e-12 * p.abs() || p == q || (p.is_nan() && q.is_nan());
        let equal = x.data.iter().zip(&y.data).all(same);
        assert!(equal, "{what} changes `{}`, seed {seed}\n{}\n{}", out.name, to_text(before), to_text(after));
    }
}

#[test]
fn no_pass_changes_a_random_graph() {
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..500 {
        let first = in_f64(&random(seed));
        let mut g = first.clone();
        for pass in PASSES {
            // On the graph as it was made, and on what the passes before it leave.
            let (next, rewrites) = apply(pass, &first);
            assert_same(pass.name, &first, &next, seed);
            *fired.entry(pass.name).or_default() += u64::from(rewrites > 0);
            let (next, rewrites) = apply(pass, &g);
            crate::graph::verify::verify(&next).unwrap_or_else(|e| panic!("{}, seed {seed}: {e}", pass.name));
            assert_same(pass.name, &g, &next, seed);
            assert_eq!((g.outputs.len(), &g.slots), (next.outputs.len(), &next.slots));
            *fired.entry(pass.name).or_default() += u64::from(rewrites > 0);
            g = next;
        }
    }
    for pass in PASSES {
        // Loops have examples of their own, in `loops.rs`.
        let elsewhere = pass.name == "loops";
        assert!(elsewhere || fired[pass.name] > 50, "{} fired on {} graphs only", pass.name, fired[pass.name]);
    }
}

#[test]
fn passes_settle() {
    for seed in 0..200 {
        let g = random(seed);
        let once = run_passes(g, PASSES, &PassOptions::default()).expect("passes keep graphs valid").graph;
        let twice = run_passes(once.clone(), PASSES, &PassOptions::default()).expect("passes keep graphs valid").graph;
        let thrice = run_passes(twice.clone(), PASSES, &PassOptions::default()).expect("valid").graph;
        assert!(twice.nodes.len() <= once.nodes.len(), "seed {seed} grows\n{}\n{}", to_text(&once), to_text(&twice));
        assert_eq!(to_text(&twice), to_text(&thrice), "seed {seed} does not settle");
    }
}

#[test]
fn fuel_stops_rewriting() {
    for seed in 0..100 {
        let g = in_f64(&random(seed));
        let all = run_passes(g.clone(), PASSES, &PassOptions::default()).expect("valid");
        assert_eq!(all.notes, [] as [&str; 0], "seed {seed}");
        let n: u64 = all.rows.iter().map(|r| r.rewrites).sum();
        for fuel in [0, n / 2] {
            let options = PassOptions { fuel: Some(fuel), ..PassOptions::default() };
            let some = run_passes(g.clone(), PASSES, &options).expect("valid");
            assert_same("some fuel", &g, &some.graph, seed);
        }
    }
}

/// Chains of moves, which random graphs over all ops seldom hold: here the movement rules meet each other.
#[test]
fn no_chain_of_moves_changes() {
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..2000 {
        let g = in_f64(&random_where(seed, |op| op.class() == Class::Movement));
        let mut cx = PassCx::new(u64::MAX);
        let next = (super::simplify::PASS.run)(&g, &mut cx);
        assert_same("simplify", &g, &next, seed);
        cx.rules.into_iter().for_each(|(rule, n)| *fired.entry(rule).or_default() += n);
    }
    let chains = ["reshape_chain", "permute_chain", "broadcast_chain", "slice_chain", "reverse_chain"];
    let through =
        ["permute_of_broadcast", "slice_of_broadcast", "slice_of_concat", "reverse_of_copies", "reshape_of_broadcast"];
    for rule in chains.iter().chain(&through) {
        assert!(fired.get(rule).is_some_and(|n| *n >= 10), "{rule} fired {:?} times", fired.get(rule));
    }
}

/// Elements computed, moved or stored in tables; what only renames axes is free, a contraction computes its products.
fn cost(g: &Graph) -> u64 {
    let one = |n: &crate::graph::graph::Node| match &n.op {
        Op::Dot(d) => {
            n.ty.numel() * d.lhs_contract.iter().map(|&a| g.ty(n.inputs[0]).shape[a as usize]).product::<u64>()
        }
        Op::Const(Literal::Scalar(..)) | Op::Input { .. } | Op::Broadcast { .. } | Op::Reshape(_) => 0,
        _ => n.ty.numel(),
    };
    g.nodes.iter().map(one).sum()
}

/// Every rule fires on its case in `cases.nnir`, with the result that stands there (dead values dropped).
#[test]
fn every_rule_does_what_its_case_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/opt/cases.nnir");
    let text = std::fs::read_to_string(path).expect("the cases are there");
    let mut parts = text.split("// rule: ");
    let mut written = parts.next().unwrap_or_default().to_owned();
    let mut seen = vec![];
    for case in parts {
        let (head, want) = case.split_once("// becomes\n").expect("a case has two halves");
        let (rule, before) = head.split_once('\n').expect("a case names its rule");
        let before = parse(before).unwrap_or_else(|e| panic!("{rule}: {e}"));
        let mut cx = PassCx::new(u64::MAX);
        let after = (super::simplify::PASS.run)(&before, &mut cx);
        let after = apply(&super::dce::PASS, &after).0;
        assert!(cx.rules.contains_key(rule), "{rule} did not fire, only {:?}", cx.rules);
        assert_same(rule, &before, &after, 1);
        assert!(cost(&after) <= cost(&before), "{rule} makes it worse");
        let got = to_text(&after);
        if std::env::var_os("NN_BLESS").is_none() {
            assert_eq!(got, want.trim_start().trim_end().to_owned() + "\n", "{rule}");
        }
        written += &format!("// rule: {head}// becomes\n{got}\n");
        seen.push(rule);
    }
    let all: Vec<&str> = super::rules::RULES.iter().map(|row| row.name).collect();
    assert_eq!(seen, all, "the cases stand in the order of the rules");
    if std::env::var_os("NN_BLESS").is_some() {
        std::fs::write(path, written).expect("the cases can be written");
    }
}
