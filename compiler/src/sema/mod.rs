//! Names, dims, shapes and elaboration: syntax tree to graph.
pub mod value;
