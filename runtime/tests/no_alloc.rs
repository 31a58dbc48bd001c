//! A step allocates nothing, on any number of threads.

use nn_runtime::dtype::DType;
use nn_runtime::exec::{Column, Gather, Session};
use nn_runtime::program::{
    Anchor, Arena, BufRef, Entry, Gemm, GemmK, Launch, Move, Program, Segment, Seq, Split, Stmt, TensorSpec, TileArgs,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

unsafe extern "C" fn copy(t: *const TileArgs) {
    // SAFETY: the launches below pass an accumulator and one buffer for its elements, 100 columns a row.
    unsafe {
        let t = &*t;
        let out = (*t.bufs.add(if t.r1 > 1 { 2 } else { 0 })).cast::<u32>();
        for r in t.r0..t.r1 {
            for c in t.c0..t.c1 {
                *out.add((r * 100 + c) as usize) =
                    *t.acc.cast::<u32>().add(((r - t.r0) * t.acc_ld + c - t.c0) as usize);
            }
        }
    }
}

#[test]
fn a_step_allocates_nothing() {
    let tensor = |name: &str, shape: &[u64]| TensorSpec {
        name: name.into(),
        dtype: DType::F32,
        shape: shape.to_vec(),
        offset: 0,
    };
    let b = |arena, floats: u64| BufRef { arena, offset: 0, bytes: 4 * floats };
    let nt = Gemm {
        dtype: DType::F32,
        batch: vec![],
        m: 80,
        n: 100,
        k: vec![GemmK { size: 600, a: 1 }],
        a_offset: 0,
        b_offset: 0,
        a_m: 600,
        b_k: 1,
        b_n: 600,
    };
    let (x, w, y) = (b(Arena::Data, 80 * 600), b(Arena::Param, 100 * 600), b(Arena::Output, 80 * 100));
    let launch = |anchor, body, rows, bufs: Vec<BufRef>, cols, split| Launch {
        name: "k".into(),
        anchor,
        body,
        segments: vec![Segment { bufs, cols }],
        rows,
        split,
        barrier: true,
        cost: 1 << 30,
    };
    let program = Arc::new(Program {
        name: "p".into(),
        params: vec![tensor("w", &[100, 600])],
        state: vec![],
        classes: vec![],
        model_state: 0,
        param_bytes: w.bytes,
        state_bytes: 0,
        entries: vec![Entry {
            name: "train".into(),
            batch: 80,
            data: vec![tensor("x", &[80, 600])],
            step: vec![tensor("t", &[])],
            outputs: vec![tensor("y", &[80, 100])],
            data_bytes: x.bytes,
            temp_bytes: y.bytes,
            output_bytes: y.bytes,
            consts: vec![],
            checks: vec![],
            scratch_bytes: 64,
            flops: 0,
            body: [
                launch(Anchor::Contract(nt.clone()), Some(copy), 80, vec![x, w, y], 100, Split::Rows),
                launch(Anchor::Rng { site: 1 }, Some(copy), 1, vec![b(Arena::Temp, 8000)], 8000, Split::Cols),
                launch(Anchor::Contract(nt), None, 80, vec![x, w, y], 100, Split::Cols),
            ]
            .map(Stmt::Launch)
            .into_iter()
            .chain([Stmt::Seq(Seq {
                n: 8,
                barrier: true,
                body: vec![Stmt::Launch(launch(
                    Anchor::Rng { site: 2 },
                    Some(copy),
                    1,
                    vec![b(Arena::Temp, 1000)],
                    1000,
                    Split::Cols,
                ))],
                moves: vec![Move { launch: 3, buf: 0, by: 4000 }],
                keeps: vec![],
            })])
            .collect(),
        }],
        code: vec![],
    });
    let data = vec![0u8; 200 * 600 * 4];
    let columns = [Column { bytes: &data, row_bytes: 2400 }];
    let rows: Vec<u32> = (0..80).collect();
    for threads in [1, 2, 3] {
        let mut s = Session::new(program.clone(), Some(threads)).expect("a session");
        s.set_trace(0, true);
        s.set_parallel(0, true);
        let mut step = |i: u64| {
            s.set_step(0, "t", i as f64);
            s.run_batch(0, 1, i, &Gather { columns: &columns, rows: &rows }).expect("a fitting batch");
            s.scalar(0, "y").expect("an output")
        };
        step(0);
        // The harness's own thread may still be allocating when the test begins; a step that did would in every round.
        let calls = (0..5).map(|round| {
            let before = CALLS.load(Ordering::SeqCst);
            for i in 1..20 {
                step(20 * round + i);
            }
            CALLS.load(Ordering::SeqCst) - before
        });
        assert_eq!(calls.min(), Some(0), "{threads} threads");
    }
}
