//! Times of launches, for profiles.
//!
//! In: what thread 0 measures between launches. Out: a row per launch. Memory is taken when tracing is switched on, so a
//! traced step allocates no more than an untraced one.

use crate::program::Entry;
use std::time::Duration;

/// Times of one entry's launches.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Runs measured.
    pub runs: u64,
    /// Of all runs together, from the first launch to the last thread's end.
    pub total: Duration,
    /// Gathering the batch.
    pub gather: Duration,
    /// One per launch, in order.
    pub launches: Vec<LaunchTime>,
}

/// Times of a launch, summed over runs and the steps of sequences, as thread 0 sees them.
#[derive(Clone, Debug, Default)]
pub struct LaunchTime {
    /// The launch's name.
    pub name: String,
    /// Its estimated cost in a run, as the program gives it.
    pub cost: u64,
    /// In the launch.
    pub busy: Duration,
    /// Waiting at the barrier before it.
    pub waiting: Duration,
}

impl Trace {
    /// Nothing measured yet.
    pub fn new(entry: &Entry) -> Trace {
        let launches = entry
            .launches()
            .into_iter()
            .map(|(l, times)| LaunchTime {
                name: l.name.clone(),
                cost: l.cost.saturating_mul(times),
                ..LaunchTime::default()
            })
            .collect();
        Trace { launches, ..Trace::default() }
    }
}
