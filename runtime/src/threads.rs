//! Persistent threads that run one function together, and the barrier they meet at.
//!
//! In: a function of (thread, threads). Out: its effects, on every thread; [`Pool::run`] returns when all have finished. A
//! training step is one such function, so a step costs one wake-up and a few barriers, not a fork for every operation.
//! Threads are numbered from 0, the caller. Nothing is allocated by a run.
//!
//! Invariant: a job's pointer is only used between its publication and the last thread's `done`, while [`Pool::run`] holds
//! the borrow.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Lets the calling thread, and threads that it starts from now on, yield to the others of the process: decoding data in
/// the background must not slow down the compiler that the user waits for. Does nothing where the system has no such thing.
pub fn run_in_background() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes numbers only; 0 means the calling thread. A failure leaves the priority as it is.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}

/// Threads that this process can use: its affinity mask and its control group's quota.
pub fn usable() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

type Job = *const (dyn Fn(usize, usize) + Sync);

/// Keeps what one thread writes often off the lines that others read.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    threads: usize,
    /// Runs so far; a change is the start of one.
    epoch: Apart<AtomicU32>,
    /// Workers that finished the current run.
    done: Apart<AtomicU32>,
    /// Workers that sleep or are about to.
    sleepers: Apart<AtomicU32>,
    job: UnsafeCell<Option<Job>>,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
    barrier: Arc<Barrier>,
    /// Rounds of `pause` before yielding.
    spin: u32,
}

// SAFETY: `job` is written only by the caller of `run` while every worker waits for the next epoch, and read only after
// the epoch changed (release, acquire); the function it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: the job is a borrow that ends before `run` returns; everything else is `Send`.
unsafe impl Send for Shared {}

/// The threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// `threads` threads, this one included; `None` takes [`usable`]. More than there are cores is allowed. Fails when
    /// the system gives no more threads.
    pub fn new(threads: Option<usize>) -> std::io::Result<Pool> {
        let cores = usable();
        let threads = threads.unwrap_or(cores).max(1);
        // A `pause` takes about 50 ns, so this is about 50 us. With more threads than cores the one waited for may need
        // this core.
        let spin = if threads > cores { 20 } else { 1000 };
        let mut pool = Pool {
            shared: Arc::new(Shared {
                threads,
                epoch: Apart(AtomicU32::new(0)),
                done: Apart(AtomicU32::new(0)),
                sleepers: Apart(AtomicU32::new(0)),
                job: UnsafeCell::new(None),
                stop: AtomicBool::new(false),
                lock: Mutex::new(()),
                wake: Condvar::new(),
                barrier: Arc::new(Barrier::new(threads, spin)),
                spin,
            }),
            workers: vec![],
        };
        for tid in 1..threads {
            let shared = pool.shared.clone();
            let name = format!("nn-{tid}");
            // Dropping the pool on failure joins the workers that exist.
            pool.workers.push(std::thread::Builder::new().name(name).spawn(move || work(&shared, tid))?);
        }
        Ok(pool)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// The barrier of a run. All threads of a run must meet at it equally often.
    pub fn barrier(&self) -> &Arc<Barrier> {
        &self.shared.barrier
    }

    /// Runs `f(thread, threads)` on every thread and waits for all. A panic on any of them goes on here.
    pub fn run(&mut self, f: &(dyn Fn(usize, usize) + Sync)) {
        let s = &*self.shared;
        if s.threads == 1 {
            f(0, 1);
            return;
        }
        // SAFETY: only the lifetime changes; the workers are done with the job before this function returns.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Job>(f) };
        // SAFETY: `&mut self` and the end of the last run: no worker reads the job before the epoch changes.
        unsafe { *s.job.get() = Some(job) };
        s.done.0.store(0, Ordering::Relaxed);
        // Sequentially consistent with the count of sleepers: either the worker sees the epoch or we see the sleeper.
        s.epoch.0.fetch_add(1, Ordering::SeqCst);
        if s.sleepers.0.load(Ordering::SeqCst) > 0 {
            drop(s.lock.lock().unwrap_or_else(PoisonError::into_inner));
            s.wake.notify_all();
        }
        let mine = catch_unwind(AssertUnwindSafe(|| f(0, s.threads)));
        if mine.is_err() {
            s.barrier.poison();
        }
        let mut spins = 0;
        while s.done.0.load(Ordering::Acquire) as usize != s.threads - 1 {
            relax(&mut spins, s.spin);
        }
        let poisoned = s.barrier.reset();
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!poisoned, "a worker thread panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.epoch.0.fetch_add(1, Ordering::SeqCst);
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        for w in self.workers.drain(..) {
            // A worker's panic was reported by the run it happened in.
            let _ = w.join();
        }
    }
}

/// A worker's life: wait for a run, run it, count itself done.
fn work(s: &Shared, tid: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while s.epoch.0.load(Ordering::Acquire) == seen {
            if spins < 2 * s.spin + YIELDS {
                relax(&mut spins, 2 * s.spin);
                continue;
            }
            let mut guard = s.lock.lock().unwrap_or_else(PoisonError::into_inner);
            s.sleepers.0.fetch_add(1, Ordering::SeqCst);
            while s.epoch.0.load(Ordering::SeqCst) == seen {
                guard = s.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            s.sleepers.0.fetch_sub(1, Ordering::SeqCst);
        }
        seen = seen.wrapping_add(1);
        if s.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the epoch changed, so the job is published, and `run` waits for this thread's `done`.
        let job = unsafe { (*s.job.get()).map(|j| &*j) };
        if let Some(job) = job
            && catch_unwind(AssertUnwindSafe(|| job(tid, s.threads))).is_err()
        {
            s.barrier.poison();
        }
        s.done.0.fetch_add(1, Ordering::Release);
    }
}

/// Yields between the last `pause` and sleep.
const YIELDS: u32 = 16;

/// One round of waiting: `pause` while `spins` is below `limit`, then give the core away.
#[inline]
fn relax(spins: &mut u32, limit: u32) {
    if *spins < limit {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
    *spins = spins.saturating_add(1);
}

/// A barrier that spins, then yields. It reverses its sense at every meeting, so it is ready for the next at once.
pub struct Barrier {
    threads: u32,
    spin: u32,
    arrived: Apart<AtomicU32>,
    meeting: Apart<AtomicU32>,
    poisoned: AtomicBool,
}

impl Barrier {
    fn new(threads: usize, spin: u32) -> Barrier {
        Barrier {
            threads: threads as u32,
            spin,
            arrived: Apart(AtomicU32::new(0)),
            meeting: Apart(AtomicU32::new(0)),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Waits until every thread is here. Panics if another thread of the run has panicked and will not come.
    #[inline]
    pub fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let meeting = self.meeting.0.load(Ordering::Relaxed);
        if self.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.0.store(0, Ordering::Relaxed);
            self.meeting.0.store(meeting.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.meeting.0.load(Ordering::Acquire) == meeting {
            relax(&mut spins, self.spin);
            assert!(!self.poisoned.load(Ordering::Relaxed), "another thread of this run panicked");
        }
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    /// Ready for the next run, whatever the last one left; was it poisoned?
    fn reset(&self) -> bool {
        let poisoned = self.poisoned.swap(false, Ordering::SeqCst);
        self.arrived.0.store(0, Ordering::SeqCst);
        poisoned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_thread_runs_once_a_run() {
        for threads in [1, 2, 3, 5] {
            let mut pool = Pool::new(Some(threads)).expect("threads");
            let seen: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
            for _ in 0..200 {
                pool.run(&|tid, n| {
                    assert_eq!(n, threads);
                    seen[tid].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 200));
        }
    }

    #[test]
    fn nobody_passes_a_barrier_early() {
        for threads in [2, 3, 5] {
            let mut pool = Pool::new(Some(threads)).expect("threads");
            let shared = pool.shared.clone();
            let count = AtomicU64::new(0);
            for run in 0..20u64 {
                pool.run(&|_, n| {
                    for round in 1..=50u64 {
                        count.fetch_add(1, Ordering::Relaxed);
                        shared.barrier.wait();
                        assert_eq!(count.load(Ordering::Relaxed), (run * 50 + round) * n as u64);
                        shared.barrier.wait();
                    }
                });
            }
        }
    }

    #[test]
    fn wakes_after_sleep() {
        let mut pool = Pool::new(Some(2)).expect("threads");
        let count = AtomicU64::new(0);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pool.run(&|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = Pool::new(Some(3)).expect("threads");
        let shared = pool.shared.clone();
        for bad in 0..3 {
            let failed = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|tid, _| {
                    if tid == bad {
                        resume_unwind(Box::new("test"));
                    }
                    shared.barrier.wait();
                });
            }));
            assert!(failed.is_err());
        }
        pool.run(&|_, _| shared.barrier.wait());
    }
}
