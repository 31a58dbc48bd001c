//! The graph IR: typed SSA tensors over the primitive ops of the op table.

pub mod algo;
pub mod batch;
pub mod build;
pub mod reference;
pub mod flops;
pub mod region;
pub mod rewrite;
#[allow(clippy::module_inception)]
pub mod graph;
pub mod interp;
pub mod ops;
pub mod parse;
pub mod print;
pub mod random;
pub mod sampler;
pub mod tensor;
pub mod ty;
pub mod verify;
