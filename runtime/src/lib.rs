//! The runtime of compiled `.nn` programs: it runs a [`program::Program`] and knows nothing of the compiler.
//!
//! Modules stand in the order data flows through them.

pub mod mutants;
pub mod dtype;
pub mod philox;
pub mod program;
pub mod gemm;
pub mod peak;
pub mod error;
pub mod paths;
pub mod data;
pub mod atomic;
pub mod weights;
pub mod checkpoint;
pub mod claims;
pub mod targets;
pub mod train;
pub mod philox_simd;
pub mod arena;
pub mod threads;
pub mod trace;
pub mod exec;
pub mod stepper;
