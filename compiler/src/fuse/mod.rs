//! Fusion: which values of a graph are computed in one kernel.
//!
//! In: a graph. Out: groups of values with an iteration space each. Views disappear into index maps, everything else is
//! decided by what kind of loop an op needs, never by its name or layer.

pub mod beside;
pub mod cost;
pub mod group;
pub mod index;
pub mod legality;
pub mod legalize;
pub mod nodes;
pub mod print;
pub mod reach;
pub mod tangle;

#[cfg(test)]
mod tests;
