//! Groups as text: what `nnc ir --stage fused` shows.
//!
//! In: a graph. Out: for every group its iteration space and the values it computes, in the graph's own text; `stored`
//! marks those that go through memory, everything else stays in registers. A region has the groups of its body. This text is for reading; it is the kernel IR
//! that parses back.

use super::group::{Anchor, Plan, group};
use super::legalize::legalize;
use crate::graph::graph::Graph;
use crate::graph::ops::Op;
use crate::graph::print;

/// The groups of a graph.
pub fn text(g: &Graph) -> String {
    format!("fused @{} {{\n{}}}\n", g.name, groups(g, false))
}

fn groups(g: &Graph, inside: bool) -> String {
    let (changed, forced) = legalize(g);
    let g = changed.as_ref().unwrap_or(g);
    let plan = group(g, &forced, inside);
    let names = print::value_names(g);
    let mut order: Vec<usize> = (0..plan.groups.len()).filter(|&i| !plan.groups[i].members.is_empty()).collect();
    order.sort_by_key(|&i| plan.groups[i].members.keys().next().copied());
    let mut out = String::new();
    for (n, i) in order.into_iter().enumerate() {
        out.push_str(&one(&plan, i, n, g, &names));
    }
    out
}

fn one(plan: &Plan<'_>, i: usize, n: usize, g: &Graph, names: &[String]) -> String {
    let group = &plan.groups[i];
    if let Some(Anchor::Scan(v)) = group.anchor {
        let Op::Scan(s) = g.op(v) else { return String::new() };
        let inside: String = groups(&s.body, true).lines().map(|l| format!("  {l}\n")).collect();
        let order = if s.reverse { " reverse" } else { "" };
        return format!("  scan {n} length {}{order} {{\n{inside}  }}\n", s.length);
    }
    let space: Vec<String> = group
        .sizes
        .iter()
        .zip(&group.reduced)
        .map(|(size, reduced)| if *reduced { format!("{size} reduced") } else { size.to_string() })
        .collect();
    let anchor = match group.anchor {
        None => "",
        Some(Anchor::Dot(_)) => " contract",
        Some(Anchor::Rng(_)) => " rng",
        Some(Anchor::Order(_)) => " running",
        Some(Anchor::Scatter(_)) => " scatter",
        Some(Anchor::Scan(_)) => " scan",
    };
    let update = if group.update { " update" } else { "" };
    let mut out = format!("  group {n}{anchor}{update} over [{}] {{\n", space.join(", "));
    for v in group.members.keys() {
        let node = g.node(*v);
        let inputs: Vec<String> = node.inputs.iter().map(|a| format!("%{}", names[a.idx()])).collect();
        let stored = if plan.stored[v.idx()] { "   // stored" } else { "" };
        let operands = if inputs.is_empty() { String::new() } else { format!(" {}", inputs.join(", ")) };
        let attrs = print::attrs_text(&node.op, true);
        out.push_str(&format!("    %{}: {} = {}{operands}{attrs}{stored}\n", names[v.idx()], node.ty, node.op.name()));
    }
    out.push_str("  }\n");
    out
}
