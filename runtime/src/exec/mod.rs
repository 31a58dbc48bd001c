//! Runs a program: all threads go through the statements of an entry together.
//!
//! In: a [`Program`], a batch, (seed, step). Out: new parameters and state, and the entry's outputs. A launch is cut at
//! places that depend only on its rows or columns and the number of threads, so a thread finds in its caches what it
//! wrote, and the compiler may leave out a barrier between launches that are cut alike. A contraction's tile is
//! accumulated and then given to the body while it is in cache. Nothing is allocated by a run.
//!
//! Invariant: no result depends on the number of threads or on tile sizes; each element is computed by one thread, in the
//! order that the kernel IR fixes.

mod check;
mod gather;
mod launch;
mod pace;
#[cfg(test)]
mod tests;

pub use gather::{Column, Gather};

use crate::arena::{Memory, OutOfMemory};
use crate::dtype::DType;
use crate::gemm::Isa;
use crate::program::{Arena, Entry, Program, TensorSpec};
use crate::threads::{self, Pool};
use crate::trace::Trace;
use launch::{Hand, Prepared};
use pace::Pace;
use std::sync::Arc;
use std::time::Instant;

/// What can keep a program from running.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// Not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// No more threads.
    #[error("cannot start {threads} threads: {error}")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system says.
        error: std::io::Error,
    },
    /// The program contradicts itself: an error in what emitted it.
    #[error("invalid program: {0}")]
    Program(String),
    /// The batch does not fit the entry.
    #[error("batch does not fit entry `{entry}`: {problem}")]
    Batch {
        /// The entry's name.
        entry: String,
        /// What does not fit.
        problem: String,
    },
}

/// Memory of an entry that is its own.
struct EntryMemory {
    data: Memory,
    step: Memory,
    output: Memory,
    /// Kept for the addresses in `prepared`.
    _consts: Memory,
    prepared: Prepared,
    pace: Pace,
    trace: Option<Trace>,
}

/// A program and its memory, ready to run.
pub struct Session {
    program: Arc<Program>,
    isa: Isa,
    pool: Pool,
    params: Memory,
    state: Memory,
    /// Kept alive for the addresses in `entries`; shared by them, since nothing in it outlives a run.
    _temp: Memory,
    entries: Vec<EntryMemory>,
    hands: Vec<Hand>,
}

impl Session {
    /// Checks a program and allocates everything that running it needs. `threads: None` uses every core that the process
    /// may use.
    pub fn new(program: Arc<Program>, threads: Option<usize>) -> Result<Session, ExecError> {
        check::program(&program).map_err(ExecError::Program)?;
        let wanted = threads.unwrap_or_else(threads::usable).max(1);
        let isa = Isa::best();
        let pool = Pool::new(threads).map_err(|error| ExecError::Threads { threads: wanted, error })?;
        let params = Memory::new(program.param_bytes)?;
        let state = Memory::new(program.state_bytes)?;
        let temp = Memory::new(program.entries.iter().map(|e| e.temp_bytes).max().unwrap_or(0))?;
        let mut entries = vec![];
        for e in &program.entries {
            let (data, step) = (Memory::new(e.data_bytes)?, Memory::new(check::end_of(&e.step))?);
            let (output, mut consts) = (Memory::new(e.output_bytes)?, Memory::new(e.consts.len() as u64)?);
            consts.bytes_mut().copy_from_slice(&e.consts);
            let base = |arena: Arena| match arena {
                Arena::Param => params.base(),
                Arena::State => state.base(),
                Arena::Const => consts.base(),
                Arena::Data => data.base(),
                Arena::Step => step.base(),
                Arena::Temp => temp.base(),
                Arena::Output => output.base(),
            };
            let prepared = launch::prepare(e, base, isa, pool.threads())?;
            let pace = Pace::new(pool.threads() > 1 && launch::pays(e));
            entries.push(EntryMemory { data, step, output, _consts: consts, prepared, pace, trace: None });
        }
        let scratch = program.entries.iter().map(|e| e.scratch_bytes).max().unwrap_or(0);
        let launches = program.entries.iter().flat_map(Entry::launches);
        let tile = launches.map(|(l, _)| launch::tile_bytes(l)).max().unwrap_or(0);
        let hands = (0..pool.threads()).map(|_| Hand::new(tile, scratch)).collect::<Result<_, _>>()?;
        Ok(Session { program, isa, pool, params, state, _temp: temp, entries, hands })
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set of the product kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Uses another instruction set that this processor has; results are the same. For tests.
    pub fn set_isa(&mut self, isa: Isa) {
        if isa.available() {
            self.isa = isa;
        }
    }

    /// Bytes of all arenas: what the program needs besides its code and the threads' packing memory.
    pub fn arena_bytes(&self) -> u64 {
        self.program.arena_bytes()
    }

    /// The entry of a name and batch size.
    pub fn entry(&self, name: &str, batch: u64) -> Option<usize> {
        self.program.entries.iter().position(|e| e.name == name && e.batch == batch)
    }

    /// Runs an entry on what its data and step arenas hold.
    ///
    /// # Panics
    /// If there is no entry of that number.
    pub fn run(&mut self, entry: usize, seed: u64, step: u64) {
        self.go(entry, seed, step, None);
    }

    /// Fills the data arena with rows of resident columns, then runs the entry.
    ///
    /// # Panics
    /// If there is no entry of that number.
    pub fn run_batch(&mut self, entry: usize, seed: u64, step: u64, batch: &Gather) -> Result<(), ExecError> {
        let e = &self.program.entries[entry];
        batch.check(e).map_err(|problem| ExecError::Batch { entry: e.name.clone(), problem })?;
        self.go(entry, seed, step, Some(batch));
        Ok(())
    }

    fn go(&mut self, entry: usize, seed: u64, step: u64, batch: Option<&Gather>) {
        let spec: &Entry = &self.program.entries[entry];
        let memory = &mut self.entries[entry];
        let parallel = memory.pace.parallel();
        let begin = memory.pace.open().then(Instant::now);
        let run = launch::Run {
            entry: spec,
            prepared: &memory.prepared,
            isa: self.isa,
            seed,
            step,
            batch: batch.map(|b| (b, memory.data.base())),
            hands: &self.hands,
            barrier: self.pool.barrier().clone(),
            trace: launch::TraceCell::new(memory.trace.as_mut()),
        };
        // SAFETY: the program was checked against its arenas; `&mut self` keeps everyone else away; each thread number is
        // used once per run.
        let work = |tid: usize, n: usize| unsafe { run.thread(tid, n) };
        if parallel {
            self.pool.run(&work);
        } else {
            work(0, 1);
        }
        if let Some(begin) = begin {
            memory.pace.took(begin.elapsed().as_secs_f64());
        }
    }

    /// Runs an entry on all threads always, or on one always, instead of on whichever is faster. Results are the same.
    pub fn set_parallel(&mut self, entry: usize, parallel: bool) {
        self.entries[entry].pace = Pace::fix(parallel && self.pool.threads() > 1);
    }

    /// Measures the launches of an entry from now on, or stops.
    pub fn set_trace(&mut self, entry: usize, on: bool) {
        self.entries[entry].trace = on.then(|| Trace::new(&self.program.entries[entry]));
    }

    /// What was measured.
    pub fn trace(&self, entry: usize) -> Option<&Trace> {
        self.entries[entry].trace.as_ref()
    }

    /// A parameter's bytes.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        find(&self.program.params, name).map(|t| &self.params.bytes()[range(t)])
    }

    /// A parameter's bytes, to write.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut [u8]> {
        find(&self.program.params, name).map(|t| &mut self.params.bytes_mut()[range(t)])
    }

    /// A state tensor's bytes.
    pub fn state(&self, name: &str) -> Option<&[u8]> {
        find(&self.program.state, name).map(|t| &self.state.bytes()[range(t)])
    }

    /// A state tensor's bytes, to write.
    pub fn state_mut(&mut self, name: &str) -> Option<&mut [u8]> {
        find(&self.program.state, name).map(|t| &mut self.state.bytes_mut()[range(t)])
    }

    /// The whole param arena.
    pub fn params_bytes(&self) -> &[u8] {
        self.params.bytes()
    }

    /// The whole param arena, to write.
    pub fn params_bytes_mut(&mut self) -> &mut [u8] {
        self.params.bytes_mut()
    }

    /// The whole state arena.
    pub fn state_bytes(&self) -> &[u8] {
        self.state.bytes()
    }

    /// The whole state arena, to write.
    pub fn state_bytes_mut(&mut self) -> &mut [u8] {
        self.state.bytes_mut()
    }

    /// A batch column's bytes, to write.
    pub fn data_mut(&mut self, entry: usize, name: &str) -> Option<&mut [u8]> {
        find(&self.program.entries[entry].data, name).map(|t| &mut self.entries[entry].data.bytes_mut()[range(t)])
    }

    /// Sets every element of a step tensor, converted to its type; false if there is none of that name.
    pub fn set_step(&mut self, entry: usize, name: &str, value: f64) -> bool {
        let Some(t) = find(&self.program.entries[entry].step, name) else { return false };
        let bytes = &mut self.entries[entry].step.bytes_mut()[range(t)];
        bytes.chunks_exact_mut(t.dtype.bytes()).for_each(|c| write_number(t.dtype, value, c));
        true
    }

    /// An output's bytes after a run.
    pub fn output(&self, entry: usize, name: &str) -> Option<&[u8]> {
        find(&self.program.entries[entry].outputs, name).map(|t| &self.entries[entry].output.bytes()[range(t)])
    }

    /// The first element of an output tensor of the entry as a number.
    pub fn scalar_of(&self, entry: usize, t: &TensorSpec) -> Option<f64> {
        read_number(t.dtype, self.entries[entry].output.bytes().get(range(t))?)
    }

    /// An output's first element as a number.
    pub fn scalar(&self, entry: usize, name: &str) -> Option<f64> {
        let t = find(&self.program.entries[entry].outputs, name)?;
        read_number(t.dtype, self.output(entry, name)?)
    }
}

fn find<'a>(specs: &'a [TensorSpec], name: &str) -> Option<&'a TensorSpec> {
    specs.iter().find(|t| t.name == name)
}

fn range(t: &TensorSpec) -> std::ops::Range<usize> {
    t.offset as usize..(t.offset + t.bytes()) as usize
}

/// The number that a tensor's bytes begin with; `None` for too few bytes and for half floats, which nothing computes in.
pub fn read_number(dtype: DType, b: &[u8]) -> Option<f64> {
    Some(match dtype {
        DType::F64 => f64::from_le_bytes(*b.first_chunk()?),
        DType::F32 => f32::from_le_bytes(*b.first_chunk()?).into(),
        DType::I64 => i64::from_le_bytes(*b.first_chunk()?) as f64,
        DType::I32 => i32::from_le_bytes(*b.first_chunk()?).into(),
        DType::I16 => i16::from_le_bytes(*b.first_chunk()?).into(),
        DType::I8 => i8::from_le_bytes(*b.first_chunk()?).into(),
        DType::U32 => u32::from_le_bytes(*b.first_chunk()?).into(),
        DType::U16 => u16::from_le_bytes(*b.first_chunk()?).into(),
        DType::U8 | DType::Bool => (*b.first()?).into(),
        DType::Bf16 | DType::F16 => return None,
    })
}

/// Writes a number as an element; half floats are left as they are.
fn write_number(dtype: DType, value: f64, to: &mut [u8]) {
    match dtype {
        DType::F64 => to.copy_from_slice(&value.to_le_bytes()),
        DType::F32 => to.copy_from_slice(&(value as f32).to_le_bytes()),
        DType::I64 => to.copy_from_slice(&(value as i64).to_le_bytes()),
        DType::I32 => to.copy_from_slice(&(value as i32).to_le_bytes()),
        DType::I16 => to.copy_from_slice(&(value as i16).to_le_bytes()),
        DType::I8 => to.copy_from_slice(&(value as i8).to_le_bytes()),
        DType::U32 => to.copy_from_slice(&(value as u32).to_le_bytes()),
        DType::U16 => to.copy_from_slice(&(value as u16).to_le_bytes()),
        DType::U8 => to.copy_from_slice(&(value as u8).to_le_bytes()),
        DType::Bool => to.copy_from_slice(&[u8::from(value != 0.0)]),
        DType::Bf16 | DType::F16 => {}
    }
}
