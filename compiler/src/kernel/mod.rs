//! The kernel IR: loops over planned buffers.
pub mod ir;
