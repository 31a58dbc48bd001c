//! The nnc compiler: `.nn` text to a compiled training program.
//!
//! The module list is the table of contents, in pipeline order; a module imports only modules above it.

pub mod source;
pub mod diag;
pub mod codes;
pub mod report;
pub mod edits;
pub mod syntax;
pub mod lanes;
pub mod lanes_eval;
pub mod lanes_math;
pub mod graph;
pub mod grad;
pub mod pass;
pub mod opt;
pub mod sema;
pub mod kernel;
pub mod fuse;
pub mod sched;
pub mod codegen;
pub mod driver;
pub mod cli;
pub mod manual;
