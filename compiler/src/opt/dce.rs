//! Drops what no output needs, and shares what is equal.
//!
//! ```text
//! %0 = exp %x          %1 = add %x, %x        return %1
//! ```
//! becomes
//! ```text
//! %0 = add %x, %x      return %0
//! ```

use crate::graph::graph::Graph;
use crate::graph::rewrite::Rewriter;
use crate::pass::{Pass, PassCx};

/// The pass.
pub const PASS: Pass = Pass { name: "dce", about: "Drop dead values and share equal ones", run };

fn run(g: &Graph, cx: &mut PassCx) -> Graph {
    let next = Rewriter::new(g).run(|_, _| None);
    cx.rewrites = (g.nodes.len() - next.nodes.len()) as u64;
    next
}
