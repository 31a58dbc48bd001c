//! Local rewrites that are exact in IEEE arithmetic, or only change where elements lie.
//!
//! ```text
//! %1 = reshape [64] %0    %2 = reshape [8,8] %1     ->     %1 = reshape [8,8] %0
//! %1 = mul %0, 1.0                                  ->     %0
//! ```
//!
//! Every node is rewritten until no rule fires. There is no `x * 0 -> 0`, `x - x -> 0` or `x + 0 -> x`: they are wrong for
//! NaN, infinities or -0. The rules stand by topic in `rules`.

use super::rules::{At, RULES, Row};
use crate::graph::graph::{Graph, ValueId};
use crate::graph::rewrite::Rewriter;
use crate::pass::{Pass, PassCx};

/// Most rules in a row at one node; far above what any chain of rules can need.
const LIMIT: usize = 64;

/// The pass.
pub const PASS: Pass = Pass { name: "simplify", about: "Exact local rewrites", run };

fn run(g: &Graph, cx: &mut PassCx) -> Graph {
    rewrite(g, cx, RULES)
}

/// Rewrites by some of the rules.
pub fn rewrite(g: &Graph, cx: &mut PassCx, rules: &[Row]) -> Graph {
    let uses = g.use_counts();
    Rewriter::new(g).run(|r, v| {
        let old = r.old.node(v);
        let mut op = old.op.clone();
        let mut x: Vec<ValueId> = old.inputs.iter().map(|&a| r.new_of(a)).collect();
        let mut once = old.inputs.first().is_some_and(|a| uses[a.idx()] == 1);
        let mut last = None;
        let mut trail = vec![];
        while cx.fuel > 0 {
            let before = r.b.graph().nodes.len();
            let at = At { op: &op, x: &x, ty: &old.ty, once };
            let found = rules.iter().find_map(|row| Some((row.name, (row.rule)(&mut r.b, &at)?)));
            let Some((name, new)) = found else { break };
            cx.take_for(name);
            trail.push(name);
            last = Some(new);
            // A value that was there already has been through the rules.
            if new.idx() < before {
                break;
            }
            if trail.len() == LIMIT {
                let tail = trail[LIMIT - 6..].join(", ");
                cx.notes.push(format!("simplify stopped at value {} after {LIMIT} rules, the last {tail}", v.0));
                break;
            }
            let node = r.b.graph().node(new);
            (op, x, once) = (node.op.clone(), node.inputs.to_vec(), false);
        }
        last
    })
}
