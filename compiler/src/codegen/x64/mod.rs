//! The AVX-512 lowering of bodies: 16 lanes to a register, predicates in mask registers.
//!
//! In: a kernel and its plan. Out: machine code for the System V ABI, or nothing: then the Cranelift lowering, which can do
//! everything, takes the kernel. It stands beside Cranelift because Cranelift's vectors have four lanes.

mod body;
mod encode;
mod lower;
mod memory;
mod registers;
mod vcode;

use super::plan::Plan;
use crate::kernel::ir::Kernel;

/// Whether this machine runs the code, and nobody has asked for the other (`NN_NO_AVX512=1`).
pub(super) fn available() -> bool {
    std::env::var_os("NN_NO_AVX512").is_none_or(|v| v.is_empty() || v == "0") && supported()
}

/// Whether this machine runs the code.
pub(super) fn supported() -> bool {
    #[cfg(all(target_arch = "x86_64", unix))]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
    }
    #[cfg(not(all(target_arch = "x86_64", unix)))]
    {
        false
    }
}

/// The body of a kernel as bytes without relocations; `None` where it has something that is not supported.
pub(super) fn compile(k: &Kernel, plan: &Plan) -> Option<Vec<u8>> {
    if k.lane_bytes() != 4 {
        return None;
    }
    let f = body::build(k, plan, true)?;
    let places = registers::assign(&f);
    if places.spilled == 0 {
        return encode::encode(f, &places);
    }
    let f = body::build(k, plan, false)?;
    let places = registers::assign(&f);
    encode::encode(f, &places)
}
