//! What elaboration tells the driver beside graphs: data, splits and settings as plain values.

use crate::source::Span;
use nn_runtime::data::check::RangeCheck;
use nn_runtime::data::split::SplitSpec;
use nn_runtime::data::{ColumnSpec, Header, SourceSpec};

/// A `data` item with its sources opened.
#[derive(Clone, Debug)]
pub struct DataPlan {
    /// Its name.
    pub name: String,
    /// Its sources in the order written.
    pub sources: Vec<PlannedSource>,
    /// Parts: `train`, `val`, `test`, each whole sources or moved out of an earlier part.
    pub splits: Vec<SplitSpec>,
    /// Rows of each part.
    pub counts: Vec<u64>,
    /// Columns that every part has: what field expressions may name.
    pub columns: Vec<ColumnSpec>,
    /// The fields are drawn once for all rows (a `rows` source), not computed from columns in every step.
    pub drawn: bool,
    /// Seed of the draws.
    pub seed: u64,
    /// Class ids to hold against their index space while loading.
    pub checks: Vec<RangeCheck>,
}

/// A source and what its header says.
#[derive(Clone, Debug)]
pub struct PlannedSource {
    /// The setting that names it: `train`.
    pub name: String,
    /// Where from.
    pub spec: SourceSpec,
    /// Rows and columns.
    pub header: Header,
    /// The expression, for messages.
    pub span: Span,
}

impl DataPlan {
    /// The number of a part.
    pub fn split(&self, name: &str) -> Option<usize> {
        self.splits.iter().position(|s| s.name == name)
    }
    /// Rows of a part; 0 if there is none of that name.
    pub fn rows(&self, name: &str) -> u64 {
        self.split(name).map_or(0, |i| self.counts[i])
    }
}
