//! Which groups of one iteration space are worth joining side by side.
//!
//! In: groups with equal iteration variables. Out: pairs to try, in order. A group's partners are those that read a value
//! that it reads too, or those near it if the space is small; found through the readers of each value, since a deep program has
//! thousands of groups alike of which few belong together.

use super::cost;
use super::group::Group;
use super::legality::{self, Place, Reads};
use super::nodes::Nodes;
use crate::graph::graph::ValueId;
use std::collections::BTreeMap;

/// How far apart small groups may stand: what runs side by side is near in a program, and a deep one has thousands of them
/// that depend on each other.
const NEAR: usize = 64;

/// The candidates of one space, by position.
pub struct Beside {
    small: bool,
    /// What each reads; nothing once it is part of another.
    reads: Vec<Option<Reads>>,
    /// How many buffers each has.
    buffers: Vec<usize>,
    /// Positions of the candidates that read a value, ascending.
    readers: BTreeMap<ValueId, Vec<usize>>,
}

impl Beside {
    /// For groups over variables of these sizes.
    pub fn new<'a>(nodes: &Nodes, groups: impl Iterator<Item = &'a Group>, sizes: &[u64]) -> Beside {
        let small = sizes.iter().product::<u64>() <= cost::SMALL;
        let mut b = Beside { small, reads: vec![], buffers: vec![], readers: BTreeMap::new() };
        for (k, g) in groups.enumerate() {
            let reads = legality::reads(nodes, g);
            reads.keys().for_each(|&v| b.readers.entry(v).or_default().push(k));
            b.reads.push(Some(reads));
            b.buffers.push(cost::buffers(nodes, g));
        }
        b
    }

    /// The next partner of `k` after position `last`.
    pub fn partner(&self, k: usize, last: usize) -> Option<usize> {
        let mut last = last;
        loop {
            let j = self.next(k, last)?;
            if self.reads[j].is_some() && self.buffers[k] + self.buffers[j] <= cost::MAX_ARGS {
                return Some(j);
            }
            last = j;
        }
    }

    fn next(&self, k: usize, last: usize) -> Option<usize> {
        let reads = self.reads[k].as_ref().filter(|_| self.buffers[k] < cost::MAX_ARGS)?;
        if self.small {
            return Some(last + 1).filter(|&j| j < self.reads.len() && j - k <= NEAR);
        }
        let after = |v: &ValueId| {
            let readers = &self.readers[v];
            readers.get(readers.partition_point(|&j| j <= last)).copied()
        };
        reads.keys().filter_map(after).min()
    }

    /// The first value that both read, and where each reads it.
    pub fn shared(&self, k: usize, j: usize) -> Option<(&Place, &Place)> {
        let (a, b) = (self.reads[k].as_ref()?, self.reads[j].as_ref()?);
        a.iter().find_map(|(leaf, x)| b.get(leaf).map(|y| (x, y)))
    }

    /// `j` became part of `k`.
    pub fn joined(&mut self, nodes: &Nodes, k: usize, j: usize, union: &Group) {
        self.reads[j] = None;
        self.reads[k] = Some(legality::reads(nodes, union));
        self.buffers[k] = cost::buffers(nodes, union);
    }
}
