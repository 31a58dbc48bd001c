//! Hand-made programs with bodies in Rust: shares, barriers, segments, gathering, and the same bits on any threads.

use super::*;
use crate::philox;
use crate::program::{Anchor, BufRef, Gemm, GemmBatch, GemmK, Launch, Move, Segment, Seq, Split, Stmt, TileArgs};

const BATCH: u64 = 50;
const IN: u64 = 70;
const OUT: u64 = 96;

/// Rows of `buf` as the bodies below see it.
unsafe fn at<T>(t: &TileArgs, buf: usize, i: u64) -> *mut T {
    // SAFETY: the test's launches pass buffers that hold what their bodies touch.
    unsafe { (*t.bufs.add(buf)).cast::<T>().add(i as usize) }
}

/// `out[r, c] = max(acc + bias[c], 0)`, or 0 where the keep bits are low.
unsafe extern "C" fn bias_relu(t: *const TileArgs) {
    // SAFETY: as `at`.
    unsafe {
        let t = &*t;
        for r in t.r0..t.r1 {
            for c in t.c0..t.c1 {
                let acc = f32::from_bits(*t.acc.cast::<u32>().add(((r - t.r0) * t.acc_ld + c - t.c0) as usize));
                let z = acc + *at::<f32>(t, 2, c);
                let keep = *at::<u32>(t, 3, r * OUT + c) >= 1 << 30;
                *at::<f32>(t, 4, r * OUT + c) = if keep && z > 0.0 { z } else { 0.0 };
            }
        }
    }
}

/// `out[c] = bits`.
unsafe extern "C" fn store_bits(t: *const TileArgs) {
    // SAFETY: as `at`.
    unsafe {
        let t = &*t;
        for c in t.c0..t.c1 {
            *at::<u32>(t, 0, c) = *t.acc.cast::<u32>().add((c - t.c0) as usize);
        }
    }
}

/// `p[c] -= 0.5 * g[c] * t`.
unsafe extern "C" fn update(t: *const TileArgs) {
    // SAFETY: as `at`.
    unsafe {
        let t = &*t;
        for c in t.c0..t.c1 {
            let p = at::<f32>(t, 0, c);
            *p -= 0.5 * *at::<f32>(t, 1, c) * *at::<f32>(t, 2, 0);
        }
    }
}

/// `out[c] = sum over rows of a[r, c]`.
unsafe extern "C" fn column_sums(t: *const TileArgs) {
    // SAFETY: as `at`.
    unsafe {
        let t = &*t;
        for c in t.c0..t.c1 {
            let mut sum = 0f32;
            for r in 0..BATCH {
                sum += *at::<f32>(t, 0, r * OUT + c);
            }
            *at::<f32>(t, 1, c) = sum;
        }
    }
}

fn spec(name: &str, shape: &[u64], offset: u64) -> TensorSpec {
    TensorSpec { name: name.into(), dtype: DType::F32, shape: shape.into(), offset }
}

fn buf(arena: Arena, offset: u64, floats: u64) -> BufRef {
    BufRef { arena, offset, bytes: 4 * floats }
}

fn gemm(m: u64, n: u64, k: u64, a: (i64, i64), b: (i64, i64)) -> Gemm {
    let (a_m, a_k) = a;
    let (b_k, b_n) = b;
    let k = vec![GemmK { size: k, a: a_k }];
    Gemm { dtype: DType::F32, batch: vec![], m, n, k, a_offset: 0, b_offset: 0, a_m, b_k, b_n }
}

fn launch(name: &str, anchor: Anchor, body: Option<crate::program::BodyFn>, rows: u64, split: Split) -> Launch {
    // A cost that asks for all threads.
    Launch { name: name.into(), anchor, body, segments: vec![], rows, split, barrier: true, cost: 1 << 24 }
}

/// `h = relu(x @ w^T + b)` with dropped elements, `dw = h^T @ x`, `db = column sums of h`, then an update of `w` and `b`.
fn program(forward: Split) -> Program {
    let bytes = |floats: u64| (4 * floats).next_multiple_of(64);
    let (w, b) = (buf(Arena::Param, 0, OUT * IN), buf(Arena::Param, bytes(OUT * IN), OUT));
    let x = buf(Arena::Data, 0, BATCH * IN);
    let keep = buf(Arena::Temp, 0, BATCH * OUT);
    let h = buf(Arena::Output, 0, BATCH * OUT);
    let dw = buf(Arena::Temp, bytes(BATCH * OUT), OUT * IN);
    let db = buf(Arena::Temp, dw.offset + bytes(OUT * IN), OUT);
    let t = buf(Arena::Step, 0, 1);
    let with = |l: Launch, segments: &[(&[BufRef], u64)]| Launch {
        segments: segments.iter().map(|(b, cols)| Segment { bufs: b.to_vec(), cols: *cols }).collect(),
        ..l
    };
    let nt = gemm(BATCH, OUT, IN, (IN as i64, 1), (1, IN as i64));
    let tn = gemm(OUT, IN, BATCH, (1, OUT as i64), (IN as i64, 1));
    Program {
        name: "hand-made".into(),
        params: vec![spec("w", &[OUT, IN], 0), spec("b", &[OUT], b.offset)],
        state: vec![],
        classes: vec![],
        model_state: 0,
        param_bytes: b.offset + bytes(OUT),
        state_bytes: 0,
        entries: vec![Entry {
            name: "train".into(),
            batch: BATCH,
            data: vec![spec("x", &[BATCH, IN], 0)],
            step: vec![spec("t", &[], 0)],
            outputs: vec![spec("h", &[BATCH, OUT], 0)],
            data_bytes: x.bytes,
            temp_bytes: db.offset + db.bytes,
            output_bytes: h.bytes,
            consts: vec![],
            checks: vec![],
            scratch_bytes: 0,
            flops: 0,
            body: [
                with(
                    launch("keep", Anchor::Rng { site: 4 }, Some(store_bits), 1, Split::Cols),
                    &[(&[keep], BATCH * OUT)],
                ),
                with(
                    launch("forward", Anchor::Contract(nt), Some(bias_relu), BATCH, forward),
                    &[(&[x, w, b, keep, h], OUT)],
                ),
                with(launch("dw", Anchor::Contract(tn), None, OUT, Split::Rows), &[(&[h, x, dw], IN)]),
                with(launch("db", Anchor::None, Some(column_sums), 1, Split::Cols), &[(&[h, db], OUT)]),
                with(
                    launch("update", Anchor::None, Some(update), 1, Split::Cols),
                    &[(&[w, dw, t], OUT * IN), (&[b, db, t], OUT)],
                ),
            ]
            .map(Stmt::Launch)
            .into(),
        }],
        code: vec![],
    }
}

fn floats(b: &[u8]) -> Vec<f32> {
    b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

fn fill(b: &mut [u8], seed: u32) {
    for (i, c) in b.chunks_exact_mut(4).enumerate() {
        let bits = philox::element(seed.into(), 0, 0, i as u64);
        c.copy_from_slice(&((bits >> 8) as f32 / 8388608.0 - 1.0).to_le_bytes());
    }
}

/// Two steps: parameters and the last output.
fn two_steps(forward: Split, threads: usize, isa: Isa) -> (Vec<f32>, Vec<f32>) {
    let mut s = Session::new(Arc::new(program(forward)), Some(threads)).expect("a session");
    s.set_isa(isa);
    fill(s.params_bytes_mut(), 1);
    let e = s.entry("train", BATCH).expect("an entry");
    assert_eq!(s.entry("train", 1), None);
    s.set_parallel(e, true);
    let mut data = vec![0u8; (200 * IN * 4) as usize];
    fill(&mut data, 2);
    let columns = [Column { bytes: &data, row_bytes: (IN * 4) as usize }];
    for step in 0..2 {
        let rows: Vec<u32> = (0..BATCH as u32).map(|i| (i * 37 + step as u32) % 200).collect();
        assert!(s.set_step(e, "t", (step + 1) as f64 * 0.01));
        s.run_batch(e, 9, step, &Gather { columns: &columns, rows: &rows }).expect("a fitting batch");
    }
    (floats(s.params_bytes()), floats(s.output(e, "h").expect("an output")))
}

/// The same two steps by their definition.
fn by_hand() -> (Vec<f32>, Vec<f32>) {
    let (batch, n_in, n_out) = (BATCH as usize, IN as usize, OUT as usize);
    let p = program(Split::Rows);
    let mut params = vec![0u8; p.param_bytes as usize];
    fill(&mut params, 1);
    let mut params = floats(&params);
    let b0 = (p.params[1].offset / 4) as usize;
    let mut data = vec![0u8; 200 * n_in * 4];
    fill(&mut data, 2);
    let data = floats(&data);
    let mut h = vec![0f32; batch * n_out];
    for step in 0..2usize {
        let row = |i: usize| &data[(i * 37 + step) % 200 * n_in..][..n_in];
        for r in 0..batch {
            for c in 0..n_out {
                let w = &params[c * n_in..][..n_in];
                let acc = row(r).iter().zip(w).fold(0f32, |acc, (x, w)| x.mul_add(*w, acc));
                let z = acc + params[b0 + c];
                let keep = philox::element(9, step as u64, 4, (r * n_out + c) as u64) >= 1 << 30;
                h[r * n_out + c] = if keep && z > 0.0 { z } else { 0.0 };
            }
        }
        let t = ((step + 1) as f64 * 0.01) as f32;
        for c in 0..n_out {
            for i in 0..n_in {
                let g = (0..batch).fold(0f32, |acc, r| h[r * n_out + c].mul_add(row(r)[i], acc));
                params[c * n_in + i] -= 0.5 * g * t;
            }
            let g = (0..batch).fold(0f32, |acc, r| acc + h[r * n_out + c]);
            params[b0 + c] -= 0.5 * g * t;
        }
    }
    (params, h)
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn same_bits_for_every_thread_count_split_and_isa() {
    let (params, h) = by_hand();
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        for threads in [1, 2, 3, 5] {
            for split in [Split::Rows, Split::Cols, Split::None] {
                let (p, o) = two_steps(split, threads, isa);
                assert_eq!(bits(&h), bits(&o), "output, {} {threads} threads {split:?}", isa.name());
                assert_eq!(bits(&params), bits(&p), "params, {} {threads} threads {split:?}", isa.name());
            }
        }
    }
}

#[test]
fn batched_products_across_tiles() {
    // Three axes of batch, transposed operands, more rows than a tile.
    let (outer, inner, m, n, k) = (7u64, 9u64, 5u64, 21u64, 12u64);
    let g = Gemm {
        dtype: DType::F32,
        batch: vec![
            GemmBatch { size: outer, a: (inner * m * k) as i64, b: 0 },
            GemmBatch { size: inner, a: (m * k) as i64, b: (n * k) as i64 },
        ],
        a_offset: 3,
        b_offset: 1,
        ..gemm(m, n, k, (1, m as i64), (1, k as i64))
    };
    let rows = outer * inner * m;
    let a = buf(Arena::Param, 0, outer * inner * m * k + 3);
    let b = buf(Arena::Param, a.bytes.next_multiple_of(64), inner * n * k + 1);
    let c = buf(Arena::Output, 0, rows * n);
    let mut p = program(Split::Rows);
    p.param_bytes = b.offset + b.bytes;
    (p.params, p.entries[0].output_bytes) = (vec![], c.bytes);
    p.entries[0].data.clear();
    p.entries[0].outputs = vec![spec("c", &[rows, n], 0)];
    p.entries[0].body = vec![Stmt::Launch(Launch {
        segments: vec![Segment { bufs: vec![a, b, c], cols: n }],
        ..launch("products", Anchor::Contract(g), None, rows, Split::Rows)
    })];
    let p = Arc::new(p);
    let mut want: Option<Vec<u32>> = None;
    for threads in [1, 2, 3, 5] {
        let mut s = Session::new(p.clone(), Some(threads)).expect("a session");
        fill(s.params_bytes_mut(), 5);
        s.set_parallel(0, true);
        s.run(0, 0, 0);
        let params = floats(s.params_bytes());
        let (a, b) = (&params[3..], &params[(b.offset / 4 + 1) as usize..]);
        let want = want.get_or_insert_with(|| {
            let (m, n, k, inner) = (m as usize, n as usize, k as usize, inner as usize);
            let element = |i: usize| {
                let (row, col) = (i / n, i % n);
                let (bi, r) = (row / m, row % m);
                let dot =
                    |acc: f32, x: usize| a[bi * m * k + x * m + r].mul_add(b[bi % inner * n * k + col * k + x], acc);
                (0..k).fold(0f32, dot).to_bits()
            };
            (0..rows as usize * n).map(element).collect()
        });
        assert_eq!(bits(&floats(s.output(0, "c").expect("output"))), *want, "{threads} threads");
    }
}

#[test]
fn trace_counts_runs_and_launches() {
    let mut s = Session::new(Arc::new(program(Split::Rows)), Some(2)).expect("a session");
    s.set_trace(0, true);
    s.run(0, 0, 0);
    s.run(0, 0, 1);
    let t = s.trace(0).expect("a trace");
    assert_eq!((t.runs, t.launches.len(), t.launches[2].name.as_str()), (2, 5, "dw"));
    let sum: std::time::Duration = t.launches.iter().map(|l| l.busy + l.waiting).sum();
    assert!(t.launches.iter().all(|l| !l.busy.is_zero()) && t.total >= sum);
    s.set_trace(0, false);
    assert!(s.trace(0).is_none());
}

#[test]
fn batches_that_do_not_fit_are_errors() {
    let mut s = Session::new(Arc::new(program(Split::Rows)), Some(1)).expect("a session");
    let data = vec![0u8; (60 * IN * 4) as usize];
    let column = Column { bytes: &data, row_bytes: (IN * 4) as usize };
    let good: Vec<u32> = (0..BATCH as u32).collect();
    let mut far = good.clone();
    far[7] = 60;
    let mut run = |columns: &[Column], rows: &[u32]| s.run_batch(0, 0, 0, &Gather { columns, rows }).is_ok();
    assert!(run(&[column], &good));
    assert!(!run(&[column], &far));
    assert!(!run(&[column], &good[1..]));
    assert!(!run(&[], &good));
    assert!(!run(&[Column { row_bytes: 8, ..column }], &good));
}

#[test]
fn programs_that_contradict_themselves_are_errors() {
    fn at(p: &mut Program, i: usize) -> &mut Launch {
        match &mut p.entries[0].body[i] {
            Stmt::Launch(l) => l,
            Stmt::Seq(_) => unreachable!("there are launches only"),
        }
    }
    let broken: [fn(&mut Program); 10] = [
        |p| p.param_bytes -= 64,
        |p| p.entries[0].temp_bytes -= 64,
        |p| p.entries[0].output_bytes -= 4,
        |p| at(p, 1).rows += 1,
        |p| at(p, 2).segments[0].cols -= 1,
        |p| at(p, 3).body = None,
        |p| at(p, 4).segments.clear(),
        |p| {
            let Anchor::Contract(g) = &mut at(p, 1).anchor else { return };
            g.b_n += 1;
        },
        |p| {
            let Anchor::Contract(g) = &mut at(p, 1).anchor else { return };
            g.k.clear();
        },
        |p| {
            let Anchor::Contract(g) = &mut at(p, 1).anchor else { return };
            g.k.insert(0, GemmK { size: 2, a: 0 });
        },
    ];
    for (i, f) in broken.iter().enumerate() {
        let mut p = program(Split::Rows);
        f(&mut p);
        assert!(matches!(Session::new(Arc::new(p), Some(1)), Err(ExecError::Program(_))), "case {i}");
    }
}

/// `next[r] = prev[r] + x[r]`.
unsafe extern "C" fn add(t: *const TileArgs) {
    // SAFETY: as `at`.
    unsafe {
        let t = &*t;
        for r in t.r0..t.r1 {
            *at::<f32>(t, 2, r) = *at::<f32>(t, 0, r) + *at::<f32>(t, 1, r);
        }
    }
}

/// A loop in a loop, one of them backward: `h[t + 1] = h[t] + x[s, t]` over `t`, and `h[0] = h[4] + y[s]` after it.
fn nested() -> Program {
    const N: u64 = 40;
    let (inner, outer) = (4u64, 3u64);
    let bytes = |n: u64| 4 * N * n;
    let h = |t: u64| buf(Arena::Output, bytes(t), N);
    let x = |at: u64| buf(Arena::Param, bytes(at), N);
    let launch = |name: &str, bufs: [BufRef; 3]| {
        let segments = vec![Segment { bufs: bufs.to_vec(), cols: 1 }];
        Stmt::Launch(Launch { segments, barrier: false, ..launch(name, Anchor::None, Some(add), N, Split::Rows) })
    };
    let moves = |all: &[(usize, usize, i64)]| {
        all.iter().map(|&(launch, buf, slices)| Move { launch, buf, by: slices * bytes(1) as i64 }).collect()
    };
    let deep = Stmt::Seq(Seq {
        n: inner,
        barrier: false,
        body: vec![launch("inner", [h(0), x(inner * (outer - 1)), h(1)])],
        moves: moves(&[(0, 0, 1), (0, 1, 1), (0, 2, 1)]),
        keeps: vec![],
    });
    let wide = Stmt::Seq(Seq {
        n: outer,
        barrier: true,
        body: vec![deep, launch("outer", [h(inner), x(inner * outer), h(0)])],
        moves: moves(&[(0, 1, -(inner as i64)), (1, 1, 1)]),
        keeps: vec![],
    });
    let mut p = program(Split::Rows);
    p.params = vec![spec("x", &[inner * outer + outer, N], 0)];
    p.param_bytes = bytes(inner * outer + outer);
    let e = &mut p.entries[0];
    e.data.clear();
    e.outputs = vec![spec("h", &[inner + 1, N], 0)];
    e.output_bytes = bytes(inner + 1);
    e.body = vec![wide];
    p
}

#[test]
fn sequences_move_their_buffers_and_go_back() {
    for threads in [1, 2, 3] {
        let mut s = Session::new(Arc::new(nested()), Some(threads)).expect("a session");
        fill(s.params_bytes_mut(), 3);
        s.set_parallel(0, true);
        let x = floats(s.params_bytes());
        let mut want = vec![0f32; 5 * 40];
        for _ in 0..2 {
            for outer in 0..3 {
                for (t, r) in (0..4).flat_map(|t| (0..40).map(move |r| (t, r))) {
                    want[(t + 1) * 40 + r] = want[t * 40 + r] + x[((2 - outer) * 4 + t) * 40 + r];
                }
                for r in 0..40 {
                    want[r] = want[4 * 40 + r] + x[(12 + outer) * 40 + r];
                }
            }
            s.run(0, 0, 0);
            assert_eq!(bits(&floats(s.output(0, "h").expect("an output"))), bits(&want), "{threads} threads");
        }
    }
    let broken: [fn(&mut Seq); 5] =
        [|s| s.keeps.push(1), |s| s.n = 4, |s| s.n = 0, |s| s.moves[1].by += 4000, |s| s.moves[0].launch = 2];
    for (i, f) in broken.iter().enumerate() {
        let mut p = nested();
        let Stmt::Seq(s) = &mut p.entries[0].body[0] else { unreachable!("a sequence") };
        f(s);
        assert!(matches!(Session::new(Arc::new(p), Some(1)), Err(ExecError::Program(_))), "case {i}");
    }
}

#[test]
fn a_trace_sums_over_steps() {
    let mut s = Session::new(Arc::new(nested()), Some(2)).expect("a session");
    s.set_trace(0, true);
    s.run(0, 0, 0);
    let t = s.trace(0).expect("a trace");
    let rows: Vec<(&str, u64)> = t.launches.iter().map(|l| (l.name.as_str(), l.cost >> 24)).collect();
    assert_eq!(rows, [("inner", 12), ("outer", 3)]);
}
