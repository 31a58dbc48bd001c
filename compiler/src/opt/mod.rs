//! Graph passes, one file each, and the one ordered list of them.

pub mod view;
pub mod rules;
pub mod simplify;
pub mod fold;
pub mod dce;
pub mod loops;

#[cfg(test)]
pub(crate) mod instances;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;

use crate::pass::Pass;

/// The passes in the order they run, in bodies of loops as well. `simplify` uncovers constants for `fold`, whose results
/// are simplified again; `dce` comes last, so that nothing dead reaches fusion. Equal values are shared whenever a pass
/// builds its new graph.
pub const PASSES: &[&Pass] = &[&simplify::PASS, &fold::PASS, &loops::PASS, &simplify::PASS, &dce::PASS];
