//! Passes as values: name, purpose, function; the driver that runs a list of them.
//!
//! In: a graph and a list of passes. Out: the last graph, a timing row for every pass, the texts asked for by
//! `print_after`. After every pass the graph is verified in debug builds and where the options ask; a failure names the
//! pass and is a bug of the compiler, never of the user's program.

use crate::graph::graph::Graph;
use crate::graph::ops::Op;
use crate::graph::{print, verify};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A graph to graph transformation.
pub struct Pass {
    /// Its name on the command line and in timings.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&Graph, &mut PassCx) -> Graph,
}

/// What passes share: how many rewrites are left, and how many were made.
#[derive(Debug)]
pub struct PassCx {
    /// Rewrites that may still be made; a bisection knob.
    pub fuel: u64,
    /// Rewrites made by the running pass.
    pub rewrites: u64,
    /// How often each named rule of the running pass fired.
    pub rules: BTreeMap<&'static str, u64>,
    /// What a pass has to say, such as a limit that it met.
    pub notes: Vec<String>,
}

impl PassCx {
    /// With fuel for so many rewrites.
    pub fn new(fuel: u64) -> Self {
        PassCx { fuel, rewrites: 0, rules: BTreeMap::new(), notes: vec![] }
    }

    /// Takes one rewrite for a named rule.
    pub fn take_for(&mut self, rule: &'static str) -> bool {
        let taken = self.take();
        *self.rules.entry(rule).or_default() += u64::from(taken);
        taken
    }

    /// Asks for one rewrite; false when the fuel is gone.
    pub fn take(&mut self) -> bool {
        if self.fuel == 0 {
            return false;
        }
        self.fuel -= 1;
        self.rewrites += 1;
        true
    }
}

/// How to run passes.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// Print the graph after these passes; `all` prints after every pass that changed it.
    pub print_after: Vec<String>,
    /// Rewrites allowed in all passes together.
    pub fuel: Option<u64>,
    /// Verify after every pass.
    pub verify: bool,
}

impl Default for PassOptions {
    fn default() -> Self {
        PassOptions { print_after: vec![], fuel: None, verify: cfg!(debug_assertions) }
    }
}

/// What a pass did.
#[derive(Clone, Debug)]
pub struct PassRow {
    /// The pass.
    pub name: &'static str,
    /// How long it took.
    pub time: Duration,
    /// Rewrites made.
    pub rewrites: u64,
    /// Nodes before and after.
    pub nodes: (usize, usize),
    /// How often each named rule fired.
    pub rules: BTreeMap<&'static str, u64>,
}

/// A broken invariant of the compiler.
#[derive(Clone, Debug, thiserror::Error)]
#[error("after pass `{pass}`: {problem}\n{ir}")]
pub struct Bug {
    /// The pass that broke it.
    pub pass: &'static str,
    /// What is broken.
    pub problem: String,
    /// The IR, with the broken lines marked.
    pub ir: String,
}

/// The result of running passes.
#[derive(Debug)]
pub struct Ran {
    /// The last graph.
    pub graph: Graph,
    /// One row a pass.
    pub rows: Vec<PassRow>,
    /// `print_after` texts: pass name and graph.
    pub prints: Vec<(&'static str, String)>,
    /// What passes had to say.
    pub notes: Vec<String>,
}

/// Runs a pass on a graph, then on the bodies of its loops.
fn run_deep(pass: &Pass, g: &Graph, cx: &mut PassCx) -> Graph {
    let mut next = (pass.run)(g, cx);
    for node in &mut next.nodes {
        if let Op::Scan(s) = &mut node.op {
            s.body = run_deep(pass, &s.body, cx).into();
        }
    }
    next
}

/// Runs passes in order.
pub fn run_passes(graph: Graph, passes: &[&Pass], options: &PassOptions) -> Result<Ran, Bug> {
    let mut cx = PassCx::new(options.fuel.unwrap_or(u64::MAX));
    let mut ran = Ran { graph, rows: vec![], prints: vec![], notes: vec![] };
    for pass in passes {
        let start = Instant::now();
        cx.rewrites = 0;
        let next = run_deep(pass, &ran.graph, &mut cx);
        let nodes = (ran.graph.nodes.len(), next.nodes.len());
        let (time, rules) = (start.elapsed(), std::mem::take(&mut cx.rules));
        ran.rows.push(PassRow { name: pass.name, time, rewrites: cx.rewrites, nodes, rules });
        let wanted = |n: &String| n == pass.name || n == "all" && next != ran.graph;
        if options.print_after.iter().any(wanted) {
            ran.prints.push((pass.name, print::to_text(&next)));
        }
        ran.graph = next;
        if options.verify
            && let Err(errors) = verify::verify(&ran.graph)
        {
            let (problem, ir) = (errors.to_string(), errors.marked(&ran.graph));
            return Err(Bug { pass: pass.name, problem, ir });
        }
    }
    ran.notes = cx.notes;
    Ok(ran)
}
