//! Loops do in each step what only each step can do.
//!
//! In: a graph with `scan`s. Out: the same with smaller bodies. A contraction of what is scanned with what every step reads
//! whole moves in front of the loop, one large product instead of many small ones; a stacked contraction that no step waits
//! for moves behind it; carries and stacks that nobody reads go, and what a step only passes on is read where it is.
//!
//! ```text
//! scan x in xs { z = x @ w + h @ u; .. }     ->     ys = xs @ w;  scan y in ys { z = y + h @ u; .. }
//! ```

use crate::graph::batch::{self, Lifted};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::ops::Op;
use crate::graph::ops::region::{Role, Scan};
use crate::graph::region::{self, Leaf, Plan};
use crate::graph::rewrite::Rewriter;
use crate::pass::{Pass, PassCx};
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass = Pass { name: "loops", about: "Move out of loops what no step waits for", run };

fn run(g: &Graph, cx: &mut PassCx) -> Graph {
    // Results that somebody reads.
    let live = g.live(g.outputs.iter().map(|o| o.value));
    let mut read: BTreeMap<ValueId, BTreeSet<usize>> = BTreeMap::new();
    for v in g.values().filter(|v| live[v.idx()]) {
        if let Op::Result { index, .. } = g.op(v) {
            read.entry(g.inputs(v)[0]).or_default().insert(*index as usize);
        }
    }
    let mut results: BTreeMap<ValueId, BTreeMap<usize, ValueId>> = BTreeMap::new();
    Rewriter::new(g).run(|r, v| match g.op(v) {
        Op::Scan(s) => {
            if !cx.take() {
                return None;
            }
            let operands: Vec<ValueId> = g.inputs(v).iter().map(|&x| r.new_of(x)).collect();
            let used = read.remove(&v).unwrap_or_default();
            let (scan, found) = rebuilt(r, s, &operands, &used)?;
            results.insert(v, found);
            Some(scan)
        }
        Op::Result { index, .. } => results.get(&g.inputs(v)[0])?.get(&(*index as usize)).copied(),
        _ => None,
    })
}

/// What a value of a step depends on.
struct Depends {
    carry: Vec<bool>,
    slice: Vec<bool>,
}

impl Depends {
    fn of(s: &Scan) -> Depends {
        let g = &*s.body;
        let mut d = Depends { carry: vec![], slice: vec![] };
        for v in g.values() {
            let role = if let Op::Input { slot } = g.op(v) { Some(s.role(*slot as usize)) } else { None };
            let any = |of: &[bool]| g.inputs(v).iter().any(|x| of[x.idx()]);
            let (carry, slice) = (any(&d.carry), any(&d.slice));
            d.carry.push(carry || role == Some(Role::Carry));
            d.slice.push(slice || role == Some(Role::Scanned));
        }
        d
    }
}

/// The loop anew, and the values of its results that are read.
fn rebuilt(
    r: &mut Rewriter<'_>,
    s: &Scan,
    operands: &[ValueId],
    used: &BTreeSet<usize>,
) -> Option<(ValueId, BTreeMap<usize, ValueId>)> {
    let g = &*s.body;
    let carries = s.carries as usize;
    let depends = Depends::of(s);
    let none = BTreeMap::new();
    let outer = |slot: u32| Lifted { id: operands[slot as usize], batched: s.role(slot as usize) == Role::Scanned };

    // In front of the loop: contractions that wait for no carry.
    let mut before: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for v in g.values() {
        let i = v.idx();
        if matches!(g.op(v), Op::Dot(_)) && depends.slice[i] && !depends.carry[i] {
            let made = batch::replay(&mut r.b, g, v, s.length, &mut |_, slot| outer(slot), &none);
            before.extend(made.ok().map(|id| (v, id)));
        }
    }
    // Carries that no step changes are read whole.
    let input = |v: ValueId| if let Op::Input { slot } = g.op(v) { Some(*slot as usize) } else { None };
    let fixed: Vec<bool> = (0..carries).map(|i| input(g.outputs[i].value) == Some(i)).collect();
    let leaf = |v: ValueId| {
        if let Some(&stack) = before.get(&v) {
            return Some(Leaf::Slice(stack));
        }
        input(v).map(|i| match s.role(i) {
            Role::Carry if !fixed[i] => Leaf::Carry(operands[i]),
            Role::Scanned => Leaf::Slice(operands[i]),
            _ => Leaf::Whole(operands[i]),
        })
    };
    // Behind the loop: a stack that is made of one operand that varies, and of nothing else that does.
    let needed = |roots: &BTreeSet<ValueId>| {
        let mut on = vec![false; g.nodes.len()];
        roots.iter().for_each(|v| on[v.idx()] = true);
        for v in g.values().rev() {
            if on[v.idx()] && leaf(v).is_none() {
                g.inputs(v).iter().for_each(|x| on[x.idx()] = true);
            }
        }
        on
    };
    let stacked: Vec<usize> = used.iter().copied().filter(|&k| k >= carries).collect();
    let mut late: BTreeMap<usize, ValueId> = BTreeMap::new();
    for &k in &stacked {
        let y = g.outputs[k].value;
        let others: BTreeSet<ValueId> = (0..carries)
            .map(|i| g.outputs[i].value)
            .chain(stacked.iter().filter(|&&o| g.outputs[o].value != y).map(|&o| g.outputs[o].value))
            .collect();
        if let Some(u) = varying_operand(g, &depends, &before, y)
            && !needed(&others)[y.idx()]
        {
            late.insert(k, u);
        }
    }
    // Carries that what is left depends on.
    let mut keep: BTreeSet<usize> = used.iter().copied().filter(|&i| i < carries && !fixed[i]).collect();
    let kept_stacks: BTreeSet<ValueId> = stacked
        .iter()
        .map(|k| late.get(k).copied().unwrap_or(g.outputs[*k].value))
        .filter(|&v| !matches!(leaf(v), Some(Leaf::Slice(_) | Leaf::Whole(_))))
        .collect();
    loop {
        let roots: BTreeSet<ValueId> =
            keep.iter().map(|&i| g.outputs[i].value).chain(kept_stacks.iter().copied()).collect();
        let on = needed(&roots);
        let more = g.values().filter(|v| on[v.idx()]).filter_map(input).filter(|&i| i < carries && !fixed[i]);
        let before = keep.len();
        keep.extend(more);
        if keep.len() == before {
            break;
        }
    }
    // A carry that no step reads is the last value: it needs its slot all the same.
    let found: BTreeMap<usize, ValueId> = g.values().filter_map(|v| Some((input(v)?, v))).collect();
    if keep.iter().any(|i| !found.contains_key(i)) {
        return None;
    }
    let keep: Vec<usize> = keep.into_iter().collect();
    let carried: Vec<(ValueId, ValueId)> = keep.iter().map(|&i| (found[&i], g.outputs[i].value)).collect();
    let name = |(n, v): (usize, &ValueId)| match carried.iter().position(|c| c.0 == *v) {
        Some(i) => (format!("carry.{i}"), *v),
        None => (format!("y{n}"), *v),
    };
    let stacks: Vec<(String, ValueId)> = kept_stacks.iter().enumerate().map(name).collect();
    let plan = Plan {
        graph: g,
        leaf: &leaf,
        alias: &|v| v,
        carried: &carried,
        stacks: &stacks,
        length: s.length,
        reverse: s.reverse,
    };
    let (scan, ops) = region::cut(&plan);
    let region = r.b.op(Op::Scan(scan), &ops);
    let mut out = BTreeMap::new();
    for &k in used {
        let y = g.outputs[k].value;
        let id = match k < carries {
            true if fixed[k] => operands[k],
            true => {
                let i = keep.iter().position(|&i| i == k)?;
                r.b.result(region, i)
            }
            false => {
                let root = late.get(&k).copied().unwrap_or(y);
                let place = stacks.iter().position(|s| s.1 == root);
                let mut known: BTreeMap<ValueId, Lifted> =
                    before.iter().map(|(&v, &id)| (v, Lifted { id, batched: true })).collect();
                if let Some(i) = place {
                    let id = r.b.result(region, carried.len() + i);
                    known.insert(root, Lifted { id, batched: true });
                }
                // The stack itself, or what is made of it behind the loop.
                batch::replay(&mut r.b, g, y, s.length, &mut |_, slot| outer(slot), &known).ok()?
            }
        };
        out.insert(k, id);
    }
    Some((region, out))
}

/// The operand that varies, of a contraction of one that does with one that does not.
fn varying_operand(g: &Graph, depends: &Depends, before: &BTreeMap<ValueId, ValueId>, y: ValueId) -> Option<ValueId> {
    let (mut y, at) = (y, |v: ValueId| depends.carry[v.idx()] || depends.slice[v.idx()]);
    while let Op::Permute(_) | Op::Reshape(_) = g.op(y) {
        y = g.inputs(y)[0];
    }
    let (Op::Dot(_), &[p, q]) = (g.op(y), g.inputs(y)) else { return None };
    if before.contains_key(&y) {
        return None;
    }
    match (at(p), at(q)) {
        (true, false) => Some(p),
        (false, true) => Some(q),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grad::region::tests::example;
    use crate::graph::interp;
    use crate::graph::print::to_text;
    use crate::opt::PASSES;
    use crate::pass::{PassOptions, run_passes};

    fn passed(g: &Graph) -> Graph {
        let options = PassOptions { verify: true, ..PassOptions::default() };
        run_passes(g.clone(), PASSES, &options).unwrap_or_else(|e| panic!("{e}")).graph
    }

    fn scans(g: &Graph) -> Vec<&Scan> {
        let all = g.nodes.iter().filter_map(|n| if let Op::Scan(s) = &n.op { Some(s) } else { None });
        all.flat_map(|s| std::iter::once(s).chain(scans(&s.body))).collect()
    }

    #[test]
    fn loops_compute_what_they_did() {
        for (length, reverse, second) in [(4, false, true), (4, true, true), (1, false, true), (0, false, false)] {
            let (g, feeds) = example(length, reverse, false, second);
            let after = passed(&g);
            let (a, b) = (interp::run(&g, &feeds), interp::run(&after, &feeds));
            let (a, b) =
                (a.unwrap_or_else(|e| panic!("{e}")), b.unwrap_or_else(|e| panic!("{e}\n{}", to_text(&after))));
            for (i, (p, q)) in a.iter().zip(&b).enumerate() {
                for (p, q) in p.data.iter().zip(&q.data) {
                    assert!((p - q).abs() <= 1e-9 * p.abs().max(1.0), "{length} {reverse}: output {i} is {q}, was {p}");
                }
            }
        }
    }

    /// Forward, the product with what is scanned is outside; backward, all products but the one that steps wait for are.
    #[test]
    fn products_that_no_step_waits_for_are_outside() {
        let (g, _) = example(6, false, false, false);
        let after = passed(&g);
        let bodies = scans(&after);
        let products: Vec<usize> = bodies.iter().map(|s| s.dots().len()).collect();
        assert_eq!(products, [1, 1], "{}", to_text(&after));
        // Its derivative by `s` is the same in every step: no carry.
        assert_eq!(bodies[1].carries, 1, "{}", to_text(&after));
    }
}
