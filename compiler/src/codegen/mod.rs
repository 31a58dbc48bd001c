//! Cranelift code generation: kernels to machine code.
//!
//! In: kernels of the kernel IR, verified. Out: one function per kernel with the signature of
//! [`nn_runtime::program::BodyFn`], in memory that is freed with its last holder. The bits that a body computes are those
//! of the kernel interpreter: FMA only where the IR has one, no reassociation, no library calls.

mod body;
mod code;
pub mod emit;
mod lower;
mod memory;
mod plan;
#[cfg(test)]
mod tests;
mod x64;

use crate::kernel::ir::{Inst, Kernel};
use crate::lanes::has_lanes;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{AbiParam, Signature, UserFuncName, types};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::FunctionBuilderContext;
use nn_runtime::program::{BodyFn, Code};
use plan::Plan;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This back end or machine cannot do it.
    #[error("{0}")]
    Limit(String),
    /// An earlier stage or this one is wrong.
    #[error("bug in code generation: {0}")]
    Bug(String),
}

/// Compiled kernels.
pub struct Compiled {
    /// The code memory; whoever keeps a body must keep this.
    pub code: Arc<dyn Code>,
    /// One per kernel; `None` where the anchor's result is stored as it is.
    pub bodies: Vec<Option<BodyFn>>,
    /// Bytes of scratch that a thread needs to run each kernel.
    pub scratch_bytes: Vec<u64>,
}

/// Compiles kernels for this machine. Flat kernels may be launched with several segments.
pub fn compile(kernels: &[Kernel]) -> Result<Compiled, Error> {
    compile_for(kernels, &vec![true; kernels.len()], Lowering::best())
}

/// How bodies become machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowering {
    /// Cranelift alone.
    Cranelift,
    /// The AVX-512 writer, and Cranelift for kernels that it does not support.
    Avx512,
}

impl Lowering {
    /// The fastest of this machine, unless the variable `NN_NO_AVX512` is set to something other than 0.
    pub fn best() -> Lowering {
        if x64::available() { Lowering::Avx512 } else { Lowering::Cranelift }
    }
}

/// Compiles kernels, knowing which of them are launched with several segments.
fn compile_for(kernels: &[Kernel], several: &[bool], lowering: Lowering) -> Result<Compiled, Error> {
    let isa = host()?;
    // Kernels whose bodies would be the same share one.
    let mut distinct: Vec<(Kernel, Plan)> = vec![];
    let mut index: HashMap<(Kernel, bool), usize> = HashMap::new();
    let mut body_of = vec![None; kernels.len()];
    let mut scratch_bytes = vec![0; kernels.len()];
    for (i, (k, &several)) in kernels.iter().zip(several).enumerate() {
        check(k)?;
        if is_plain_store(k) {
            continue;
        }
        let essence = plan::essence(k, several);
        let plan = Plan::new(&essence, several);
        scratch_bytes[i] = plan.scratch_bytes(k);
        let mut named = essence.clone();
        // A body of any number of columns is not the one of a strip, though both stand for as many.
        body_of[i] = Some(*index.entry((essence, plan.flat)).or_insert_with(|| {
            named.name.clone_from(&k.name);
            distinct.push((named, plan));
            distinct.len() - 1
        }));
    }
    let functions = compile_all(&isa, &distinct, lowering)?;
    let (code, addresses) = code::place(isa.clone(), &signature(&isa), &functions).map_err(Error::Bug)?;
    let bodies = body_of.iter().map(|b| b.and_then(|b| addresses.get(b).copied())).collect();
    Ok(Compiled { code, bodies, scratch_bytes })
}

/// Compiles bodies, on two threads where there is enough to do.
fn compile_all(isa: &OwnedTargetIsa, kernels: &[(Kernel, Plan)], lowering: Lowering) -> Result<Vec<Vec<u8>>, Error> {
    // The longest first, so that both threads end together.
    let mut order: Vec<usize> = (0..kernels.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(kernels[i].0.insts.len()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut frontend = FunctionBuilderContext::new();
        let mut done = vec![];
        while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (k, plan) = &kernels[i];
            let wide = if lowering == Lowering::Avx512 { x64::compile(k, plan) } else { None };
            if let Some(code) = wide {
                done.push((i, Ok(code)));
                continue;
            }
            let code = generate(isa, k, plan, &mut frontend, false).and_then(|c| machine_code(k, &c));
            done.push((i, code));
        }
        done
    };
    let mut all = if kernels.len() < 4 {
        work()
    } else {
        std::thread::scope(|s| {
            // Without a thread to spare this one does all of it.
            let other = std::thread::Builder::new().spawn_scoped(s, work);
            let mut mine = work();
            match other.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(more)) => mine.extend(more),
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => {}
            }
            mine
        })
    };
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, r)| r).collect()
}

/// The Cranelift IR of a kernel's body, before optimization.
pub fn clif_text(kernel: &Kernel) -> Result<String, Error> {
    let isa = host()?;
    check(kernel)?;
    let mut ctx = Context::new();
    build(&isa, kernel, &Plan::new(kernel, false), &mut ctx, &mut FunctionBuilderContext::new())?;
    Ok(format!("; @{}\n{}", kernel.name, ctx.func.display()))
}

/// The machine code of a kernel's body as text, by Cranelift; it says so where another lowering is what runs.
pub fn asm_text(kernel: &Kernel) -> Result<String, Error> {
    let isa = host()?;
    check(kernel)?;
    let ctx = generate(&isa, kernel, &Plan::new(kernel, false), &mut FunctionBuilderContext::new(), true)?;
    let text = ctx.compiled_code().and_then(|c| c.vcode.clone()).unwrap_or_default();
    let wide = Lowering::best() == Lowering::Avx512 && x64::compile(kernel, &Plan::new(kernel, false)).is_some();
    let note = if wide { "\n; Cranelift's code; with AVX-512, as here, that of codegen/x64 runs instead" } else { "" };
    Ok(format!("; @{}{note}\n{text}", kernel.name))
}

/// A contraction whose accumulator goes to a dense row-major result: the runtime stores it without a body.
pub fn is_plain_store(k: &Kernel) -> bool {
    use crate::kernel::ir::{Anchor, ArgId};
    let Some(Anchor::Contract(c)) = &k.anchor else { return false };
    let [Inst::Anchor, Inst::Store { arg, at, value }] = k.insts.as_slice() else { return false };
    let mut stride = k.cols as i64;
    let mut dense = at.offset == 0 && at.col == 1 && at.seq == 0;
    for (&n, &s) in k.rows.iter().zip(&at.rows).rev() {
        dense &= n == 1 || s == stride;
        stride *= n as i64;
    }
    let operands = (c.a.0, c.b.0) == (ArgId(0), ArgId(1));
    let whole = k.args.len() == 3 && k.args[2].dtype == k.args[0].dtype;
    dense && operands && whole && *arg == ArgId(2) && value.0 == 0 && k.phases.len() == 1
}

/// The machine that this process runs on.
fn host() -> Result<OwnedTargetIsa, Error> {
    let bug = |e: &dyn std::fmt::Display| Error::Bug(e.to_string());
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ("is_pic", "false"),
        ("unwind_info", "false"),
        ("use_colocated_libcalls", "false"),
        ("enable_probestack", "false"),
    ] {
        flags.set(name, value).map_err(|e| bug(&e))?;
    }
    let builder = cranelift_native::builder().map_err(|e| Error::Limit(format!("no code generation here: {e}")))?;
    let isa = builder.finish(settings::Flags::new(flags)).map_err(|e| bug(&e))?;
    let has_fma = isa.isa_flags().iter().any(|f| f.name == "has_fma" && f.as_bool() == Some(true));
    if isa.name() == "x64" && !has_fma {
        return Err(Error::Limit("this CPU has no FMA instructions, which the Cranelift back end needs".into()));
    }
    Ok(isa)
}

fn signature(isa: &OwnedTargetIsa) -> Signature {
    let mut s = Signature::new(isa.default_call_conv());
    s.params.push(AbiParam::new(types::I64));
    s
}

/// Refuses what bodies cannot express.
fn check(k: &Kernel) -> Result<(), Error> {
    for (i, a) in k.args.iter().enumerate() {
        let used = k.insts.iter().any(|inst| match inst {
            Inst::Load { arg, .. } | Inst::LoadAt { arg, .. } => arg.0 as usize == i,
            Inst::Store { arg, .. } | Inst::StoreAt { arg, .. } => arg.0 as usize == i,
            _ => false,
        });
        if used && !has_lanes(a.dtype) {
            return Err(Error::Limit(format!(
                "@{}: {} is not yet supported by the Cranelift back end",
                k.name, a.dtype
            )));
        }
    }
    Ok(())
}

fn build(
    isa: &OwnedTargetIsa,
    kernel: &Kernel,
    plan: &Plan,
    ctx: &mut Context,
    frontend: &mut FunctionBuilderContext,
) -> Result<(), Error> {
    ctx.func.signature = signature(isa);
    ctx.func.name = UserFuncName::user(0, 0);
    body::build(kernel, plan, isa.as_ref(), &mut ctx.func, frontend)
        .map_err(|e| Error::Bug(format!("@{}: {e}", kernel.name)))
}

/// Builds and compiles one body.
fn generate(
    isa: &OwnedTargetIsa,
    kernel: &Kernel,
    plan: &Plan,
    frontend: &mut FunctionBuilderContext,
    disassemble: bool,
) -> Result<Context, Error> {
    let run = AssertUnwindSafe(|| {
        let mut ctx = Context::new();
        ctx.set_disasm(disassemble);
        build(isa, kernel, plan, &mut ctx, frontend)?;
        match ctx.compile(isa.as_ref(), &mut ControlPlane::default()) {
            Ok(_) => {}
            Err(e) => {
                let what = format!("@{}: {}", kernel.name, e.inner);
                return Err(match e.inner {
                    CodegenError::Unsupported(_) | CodegenError::ImplLimitExceeded => Error::Limit(what),
                    _ => Error::Bug(what),
                });
            }
        }
        Ok(ctx)
    });
    // A panic in Cranelift is a bug to report, not the end of the process.
    catch_unwind(run).unwrap_or_else(|p| {
        let what = p.downcast_ref::<String>().map(String::as_str).or(p.downcast_ref::<&str>().copied());
        Err(Error::Bug(format!("@{}: {}", kernel.name, what.unwrap_or("a panic"))))
    })
}

fn machine_code(kernel: &Kernel, ctx: &Context) -> Result<Vec<u8>, Error> {
    let code = ctx.compiled_code().ok_or_else(|| Error::Bug(format!("@{}: no code", kernel.name)))?;
    if !code.buffer.relocs().is_empty() {
        return Err(Error::Limit(format!("@{}: this CPU would need library calls", kernel.name)));
    }
    Ok(code.code_buffer().to_vec())
}
