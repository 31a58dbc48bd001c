//! The learning rate of any step, for tables and logs.
//!
//! In: a unit. Out: its optimizers' rates by the reference interpreter: a few numbers an epoch, for which nothing is
//! compiled and the step is left alone.

use super::{Failure, Project};
use crate::graph::graph::Graph;
use crate::graph::interp::{self, Feeds};
use crate::graph::tensor::Tensor;
use crate::sema::train::Kind;
use crate::sema::units::TrainUnit;

/// The learning rates of a unit.
pub struct Rates {
    graph: Graph,
    names: Vec<String>,
    seed: u64,
}

impl Rates {
    /// Elaborates the rates of a unit; those of optimizers without a rate are left out.
    pub fn new(project: &Project, unit: &TrainUnit) -> Result<Rates, Failure> {
        let graph = super::graph(project, unit, Kind::Rates, unit.batches().train)?;
        let names = graph.outputs.iter().map(|o| o.name.to_string()).collect();
        Ok(Rates { graph, names, seed: unit.seed })
    }

    /// By name, at a step counted from 1: `lr`, or `lr m.head` where there are several.
    pub fn at(&self, step: u64) -> Vec<(String, f64)> {
        let slots = self.graph.slots.iter().map(|s| Tensor::new(s.ty.clone(), vec![step as f64])).collect();
        let feeds = Feeds { slots, seed: self.seed, step };
        // A rate that cannot be computed is a defect of the compiler, but none to stop a run for.
        let values = interp::run(&self.graph, &feeds).unwrap_or_default();
        let number = |t: &Tensor| t.data.first().copied().unwrap_or(f64::NAN);
        self.names.iter().cloned().zip(values.iter().map(number)).collect()
    }
}
