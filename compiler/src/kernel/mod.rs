//! The kernel IR: loops over planned buffers.
pub mod interp;
pub mod ir;
pub mod names;
pub mod parse;
pub mod print;
pub mod uses;
pub mod verify;
pub mod verify_plan;
#[cfg(test)]
mod tests;
