//! Code memory: machine code placed where it can run, write or execute but never both, freed with its last holder.
//!
//! In: the finished bytes of functions. Out: their addresses. The only unsafe code of the compiler is here.

use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::Module;
use nn_runtime::program::{BodyFn, Code, TileArgs};
use std::sync::{Arc, Mutex};

/// The code of a compiled program.
struct JitCode {
    /// Present until dropped. The mutex makes the module shareable; nothing locks it but `drop`.
    module: Mutex<Option<JITModule>>,
    bytes: usize,
}

impl Code for JitCode {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for JitCode {
    fn drop(&mut self) {
        let module = self.module.get_mut().map_or_else(|e| e.into_inner().take(), Option::take);
        if let Some(m) = module {
            // SAFETY: body functions are called only through a `Program`, which holds this object; the last holder is
            // gone, so no function is running or will be called.
            unsafe { m.free_memory() }
        }
    }
}

/// Places functions, given as finished bytes without relocations.
pub(super) fn place(
    isa: OwnedTargetIsa,
    signature: &Signature,
    functions: &[Vec<u8>],
) -> Result<(Arc<dyn Code>, Vec<BodyFn>), String> {
    let mut module = JITModule::new(JITBuilder::with_isa(isa, cranelift_module::default_libcall_names()));
    let mut ids = vec![];
    for bytes in functions {
        let id = module.declare_anonymous_function(signature).map_err(|e| e.to_string())?;
        module.define_function_bytes(id, 64, bytes, &[]).map_err(|e| e.to_string())?;
        ids.push(id);
    }
    module.finalize_definitions().map_err(|e| e.to_string())?;
    let bodies = ids.iter().map(|&id| body(module.get_finalized_function(id))).collect();
    let bytes = functions.iter().map(Vec::len).sum();
    Ok((Arc::new(JitCode { module: Mutex::new(Some(module)), bytes }), bodies))
}

/// An address as a function.
fn body(address: *const u8) -> BodyFn {
    // SAFETY: the address is the entry of a function that was compiled with the C calling convention and one pointer
    // argument, which is `BodyFn`'s type; fn pointers and data pointers have one size on every target of the JIT.
    unsafe { std::mem::transmute::<*const u8, unsafe extern "C" fn(*const TileArgs)>(address) }
}

/// Calls a body on a rectangle of a launch, for the tests of code generation.
#[cfg(test)]
#[allow(clippy::too_many_arguments)]
pub(super) fn call(
    body: BodyFn,
    buffers: &[(crate::kernel::ir::Arena, u64)],
    arenas: &mut crate::kernel::interp::Arenas,
    (acc, size): (&[u8], usize),
    acc_ld: u64,
    scratch: &mut [u32],
    (r0, r1): (u64, u64),
    (c0, c1): (u64, u64),
) {
    let bufs: Vec<*mut u8> =
        buffers.iter().map(|&(a, offset)| arenas.arena_mut(a).as_mut_ptr().wrapping_add(offset as usize)).collect();
    let acc = acc.get((r0 * acc_ld + c0) as usize * size..).map_or(std::ptr::null(), <[u8]>::as_ptr);
    let args = TileArgs { bufs: bufs.as_ptr(), acc, acc_ld, scratch: scratch.as_mut_ptr().cast(), r0, r1, c0, c1 };
    // SAFETY: the interpreter has run the same launch on the same arenas and checks every access; the arenas are borrowed
    // for the call, and nothing else runs.
    unsafe { body(&args) }
}
