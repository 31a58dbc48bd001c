//! Every rewrite rule against the reference on instances of its own patterns: the same bits on extreme inputs.

use super::fold;
use super::instances::{Instance, Pattern, exact, instance, same};
use super::rules::{RULES, Row};
use super::simplify::rewrite;
use crate::graph::build::Builder;
use crate::graph::graph::Graph;
use crate::graph::interp::Feeds;
use crate::graph::ops::Op;
use crate::graph::ops::elementwise::{Ew, TyRule};
use crate::graph::print::to_text;
use crate::graph::sampler::Rand;
use crate::graph::ty::TensorTy;
use crate::graph::verify::verify;
use crate::pass::PassCx;
use nn_runtime::dtype::DType;

/// How often each pattern must meet its rule, on how many draws at least, and at most.
const FIRED: u64 = 8;
const DRAWS: u64 = 200;
const MOST: u64 = 40_000;

fn compare(what: &str, before: &Graph, after: &Graph, feeds: &Feeds, ulps: u32) {
    verify(after).unwrap_or_else(|e| panic!("{what}: {e}\n{}", to_text(before)));
    let (a, b) = (exact(before, feeds), exact(after, feeds));
    for (x, y) in a.iter().zip(&b) {
        assert_eq!(x.ty, y.ty, "{what}\n{}", to_text(before));
        for (i, (&p, &q)) in x.data.iter().zip(&y.data).enumerate() {
            let (old, new) = (to_text(before), to_text(after));
            let fed: Vec<&[f64]> = feeds.slots.iter().map(|t| t.data.as_slice()).collect();
            assert!(same(q, p, x.ty.dtype, ulps), "{what}: [{i}] was {p:e}, is {q:e}\n{old}{new}{fed:?}");
        }
    }
}

fn apply(i: &Instance, rules: &[Row]) -> (Graph, u64) {
    let mut cx = PassCx::new(u64::MAX);
    let after = rewrite(&i.graph, &mut cx, rules);
    (after, cx.rewrites)
}

/// Every pattern of every rule meets its rule, and whatever a rule does, on its pattern or beside it, changes no bit.
#[test]
fn no_rule_changes_a_bit_of_an_instance_of_its_pattern() {
    let mut rare = vec![];
    for (n, row) in RULES.iter().enumerate() {
        for text in row.patterns {
            let pattern = Pattern::parse(text);
            let (mut fired, mut draws) = (0, 0);
            for seed in 0..MOST {
                let Some(i) = instance(&pattern, seed, seed % 3 == 2) else { continue };
                draws += 1;
                let (alone, times) = apply(&i, &RULES[n..=n]);
                compare(&format!("{} on {text}, seed {seed}", row.name), &i.graph, &alone, &i.feeds, row.ulps);
                fired += u64::from(times > 0 && seed % 3 != 2);
                if seed % 4 == 0 {
                    let (all, _) = apply(&i, RULES);
                    let ulps = RULES.iter().map(|r| r.ulps).max().unwrap_or(0);
                    compare(&format!("all rules on {text}, seed {seed}"), &i.graph, &all, &i.feeds, ulps);
                }
                if fired >= FIRED && draws >= DRAWS {
                    break;
                }
            }
            if fired < FIRED {
                rare.push(format!("{} met {text} {fired} times in {draws}", row.name));
            }
        }
    }
    assert!(rare.is_empty(), "{}", rare.join("\n"));
}

/// Folding gives the constant that the op gives, for every op on every dtype it takes.
#[test]
fn folding_changes_no_bit() {
    let mut r = Rand::new(1);
    let mut check = |op: &Op, tys: &[TensorTy]| -> bool {
        let mut b = Builder::new("fold");
        let uniform = r.one_in(2);
        let x: Vec<_> = tys
            .iter()
            .map(|ty| {
                let all = r.extremes(ty).data;
                let all = if uniform { vec![all.first().copied().unwrap_or(0.0); all.len()] } else { all };
                b.table(ty, &all)
            })
            .collect();
        if op.infer(&tys.iter().collect::<Vec<_>>(), &[]).is_err() {
            return false;
        }
        let y = b.op(op.clone(), &x);
        b.output("y", y);
        let g = b.finish();
        let mut cx = PassCx::new(u64::MAX);
        let after = (fold::PASS.run)(&g, &mut cx);
        compare(&format!("fold of {op:?}"), &g, &after, &Feeds::default(), 0);
        let live = after.live(after.outputs.iter().map(|o| o.value));
        let constant = |op: &Op| matches!(op, Op::Const(_) | Op::Broadcast { .. });
        after.nodes.iter().zip(live).all(|(n, live)| !live || constant(&n.op))
    };
    let dtypes =
        [DType::F32, DType::F64, DType::I32, DType::U32, DType::I16, DType::U16, DType::I8, DType::U8, DType::Bool];
    for &e in Ew::ALL {
        let row = e.spec();
        for d in dtypes.into_iter().filter(|&d| row.ty.accepts(d)) {
            for shape in [&[][..], &[5], &[2, 3], &[1, 4]] {
                let of = |i: usize| if row.ty == TyRule::Select && i == 0 { DType::Bool } else { d };
                let tys: Vec<TensorTy> = (0..row.arity).map(|i| TensorTy::new(of(i), shape.iter().copied())).collect();
                assert!(check(&Op::Ew(e), &tys), "{} at {d} of {shape:?} was not folded", row.name);
            }
        }
    }
    for row in Op::ROWS {
        for s in (row.samples)().iter().filter(|s| !s.x.is_empty()) {
            let tys: Vec<TensorTy> = s.x.iter().map(|(ty, _)| ty.clone()).collect();
            let folded = check(&s.op, &tys);
            let stays = matches!(s.op, Op::Broadcast { .. } | Op::Tag(_));
            assert!(folded || stays, "{:?} was not folded", s.op);
        }
    }
}
