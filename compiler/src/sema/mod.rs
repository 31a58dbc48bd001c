//! Names, dims, shapes and elaboration: syntax tree to graph.
//!
//! In: the parsed files. Out: one [`units::TrainUnit`] per `train` item, which builds its step graphs on demand, and all
//! diagnostics. Elaboration is an abstract interpreter over the tree: everything static (sizes, hyperparameters, layers)
//! is computed, and tensor operations are appended to a graph. Users' errors end here.

mod annotated;
pub mod args;
mod around;
pub mod batch;
pub mod builtins;
pub mod calls;
pub mod comprehension;
mod conditions;
pub mod cx;
pub mod data;
mod discarded;
pub mod exprs;
pub mod foreign;
mod guess;
mod initial;
pub mod layers;
pub mod lists;
mod meant;
pub mod models;
pub mod names;
pub mod overrides;
#[cfg(test)]
mod overrides_tests;
mod precision;
pub mod report;
mod resized;
mod resolve;
mod rows;
mod scan;
pub mod selector;
pub mod settings;
mod shown;
pub mod signature;
mod sizes;
pub mod sources;
pub mod statics;
mod stmts;
pub mod stdlib;
mod stored;
pub mod suite;
pub mod tensor;
#[cfg(test)]
mod tests;
pub mod train;
mod twice;
pub mod typed;
pub mod types;
pub mod units;
mod unused;
mod update;
pub mod value;
mod variables;
pub mod vocabulary;
