//! Compiled bodies against the kernel interpreter, bit for bit: every shape class by hand, and random kernels.

mod random;
mod table;
mod wide;

use super::*;
use crate::kernel::interp::{Arenas, anchor_tile, run_launch};
use crate::kernel::ir::*;
use crate::kernel::{parse, print};
use crate::lanes_eval::number_of;
use nn_runtime::dtype::DType;

/// Random numbers for tests.
pub(super) struct Rand(pub(super) u64);

impl Rand {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = self.0;
        ((x ^ (x >> 22)) >> 29) as u32
    }
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(n)) >> 32) as u32
    }
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// Values that matter: ordinary ones, zeros of both signs, infinities, NaN, subnormals, any bits.
fn fill(arenas: &mut Arenas, b: &Buffer, r: &mut Rand) {
    for e in 0..b.len {
        let bits: u64 = match (b.dtype, r.below(16)) {
            (DType::F32, 0) => {
                [0, 0x8000_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 1, 0x007f_ffff][r.below(7) as usize]
            }
            (DType::F32, 1) => r.next().into(),
            (DType::F32, _) => ((r.below(2_000_001) as f32 - 1_000_000.0) * 1e-5).to_bits().into(),
            (DType::F64, 0) => {
                [0, 1 << 63, 0x7ff << 52, 0xfff << 52, 0xfff8 << 48, 1, (1 << 52) - 1][r.below(7) as usize]
            }
            (DType::F64, 1) => u64::from(r.next()) << 32 | u64::from(r.next()),
            (DType::F64, _) => ((f64::from(r.next()) - 2e9) / 3e4).to_bits(),
            (DType::I32 | DType::U32, 0) => r.next().into(),
            (DType::I32 | DType::U32, _) => ((r.below(64) as i32 - 16) as u32).into(),
            (DType::Bool, _) => r.below(2).into(),
            _ => r.next().into(),
        };
        arenas.set(b, e, bits);
    }
}

/// Equal, taking all NaN of float buffers as one.
fn same(d: DType, a: u64, b: u64) -> bool {
    a == b || (d.is_float() && number_of(d, a).is_nan() && number_of(d, b).is_nan())
}

/// Runs the program both ways from the same random contents, with every lowering that this machine has; compares every
/// byte of every buffer.
pub(super) fn differ(p: &KernelProgram, seed: u64) -> Result<(), String> {
    differ_by(p, seed, Lowering::Cranelift)?;
    if x64::supported() {
        differ_by(p, seed, Lowering::Avx512).map_err(|e| format!("AVX-512: {e}"))?;
    }
    Ok(())
}

fn differ_by(p: &KernelProgram, seed: u64, lowering: Lowering) -> Result<(), String> {
    // Flat kernels both ways: for one length, and for any.
    let several = vec![seed.is_multiple_of(2); p.kernels.len()];
    let compiled = compile_for(&p.kernels, &several, lowering).map_err(|e| e.to_string())?;
    let mut r = Rand(seed);
    let mut want = Arenas::new(p);
    for b in &p.buffers {
        fill(&mut want, b, &mut r);
    }
    let mut got = want.clone();
    for l in p.launches() {
        let k = &p.kernels[l.kernel as usize];
        let i = l.kernel as usize;
        for seg in &l.segments {
            let acc = anchor_tile(p, k, seg, &mut got, seed, 7).map_err(|e| e.to_string())?;
            let Some(body) = compiled.bodies[i] else {
                let out = &p.buffers[seg.views[2].buf.0 as usize];
                for (e, &v) in acc.iter().enumerate() {
                    got.set(out, e as u64, v);
                }
                continue;
            };
            let bufs: Vec<(Arena, u64)> =
                seg.views.iter().map(|v| &p.buffers[v.buf.0 as usize]).map(|b| (b.arena, b.offset)).collect();
            // The pieces that threads would take.
            let (rows, cols) = (k.n_rows(), seg.cols);
            let pieces: Vec<((u64, u64), (u64, u64))> = match k.split {
                Split::None => vec![((0, rows), (0, cols))],
                Split::Rows => vec![((0, rows / 3), (0, cols)), ((rows / 3, rows), (0, cols))],
                Split::Cols => {
                    let cut = cols / 2 / 64 * 64;
                    vec![((0, rows), (0, cut)), ((0, rows), (cut, cols))]
                }
            };
            for (rr, cc) in pieces {
                if rr.0 == rr.1 || cc.0 == cc.1 {
                    continue;
                }
                let mut scratch = vec![0x7fc0_1234; compiled.scratch_bytes[i] as usize / 4];
                let size = k.anchor_dtype().bytes();
                let acc: Vec<u8> = acc.iter().flat_map(|v| v.to_le_bytes()[..size].to_vec()).collect();
                code::call(body, &bufs, &mut got, (&acc, size), cols, &mut scratch, rr, cc);
            }
        }
        run_launch(p, l, &mut want, seed, 7).map_err(|e| e.to_string())?;
    }
    for b in &p.buffers {
        for e in 0..b.len {
            let (w, g) = (want.get(b, e), got.get(b, e));
            if !same(b.dtype, w, g) {
                let f = |bits| number_of(b.dtype, bits);
                let text = print::program(p);
                return Err(format!("%{}[{e}]: {w:#x} ({:e}) wanted, {g:#x} ({:e}) found\n{text}", b.name, f(w), f(g)));
            }
        }
    }
    // Padding between buffers must be untouched as well.
    if p.buffers.iter().all(|b| !b.dtype.is_float()) && want != got {
        return Err("bytes outside the buffers differ".into());
    }
    Ok(())
}

/// A kernel on buffers of its own, one after another.
fn around(k: Kernel) -> KernelProgram {
    let mut p = KernelProgram { name: "test".into(), ..Default::default() };
    let mut offset = 0;
    for (i, a) in k.args.iter().enumerate() {
        p.buffers.push(Buffer { name: format!("b{i}"), arena: Arena::State, dtype: a.dtype, len: a.len, offset });
        offset += (a.len * a.dtype.bytes() as u64).next_multiple_of(64) + 64;
    }
    let views = k.args.iter().enumerate().map(|(i, a)| View::whole(BufferId(i as u32), a.len)).collect();
    p.body.push(Stmt::Launch(Launch {
        name: k.name.clone(),
        kernel: 0,
        segments: vec![Segment { views, cols: k.cols }],
        barrier: false,
    }));
    p.kernels.push(k);
    p
}

fn check_kernel(text: &str) {
    let k = parse::kernel(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let p = around(k);
    for seed in 1..4 {
        if let Err(e) = differ(&p, seed) {
            panic!("{e}\n{}", clif_text(&p.kernels[0]).unwrap_or_else(|e| e.to_string()));
        }
    }
}

/// The kernel as it stands, and with f64 for f32.
fn check_floats(text: &str) {
    check_kernel(text);
    check_kernel(&text.replace("f32", "f64"));
}

/// One strip of columns, and any number of them, are two bodies.
#[test]
fn a_strip_does_not_stand_for_many() {
    let copy = |n: u64| {
        let text = format!(
            "kernel @k {{ args %0: f32[{n}] in, %1: f32[{n}] out cols {n} phase {{ %a = load %0[c] store %1[c], %a }} }}"
        );
        parse::kernel(&text).unwrap_or_else(|e| panic!("{e}"))
    };
    let compiled = compile_for(&[copy(16), copy(40)], &[false, true], Lowering::best()).expect("compiles");
    let address = |i: usize| compiled.bodies[i].map(|b| b as usize);
    assert!(address(0).is_some() && address(0) != address(1));
}

const WIDTHS: [u64; 10] = [0, 1, 2, 3, 15, 16, 17, 63, 65, 130];

#[test]
fn elementwise_of_every_width() {
    for n in WIDTHS {
        for split in ["none", "cols"] {
            check_floats(&format!(
                "kernel @k {{ args %0: f32[{n}] in, %1: f32[{n}] in, %2: f32[{n}] out, %3: f32[1] in, %4: f32[{n}] inout
                 cols {n} split {split}
                 phase {{ %a = load %0[c] %b = load %1[c] %s = load %3[0] %x = fma %a, %b, %s %y = fdiv %x, %a
                   %z = fmax %y, %b %w = fmin %z, %s %m = flt %a, %b %v = select %m, %w, %x store %2[c], %v
                   %old = load %4[c] %q = fsqrt %old %n = fadd %q, %v store %4[c], %n }} }}"
            ));
        }
    }
}

#[test]
fn narrow_types_and_masks() {
    for n in WIDTHS {
        check_kernel(&format!(
            "kernel @k {{ args %0: u8[{n}] in, %1: i8[{n}] in, %2: u16[{n}] in, %3: i16[{n}] in, %4: bool[{n}] in,
               %5: u8[{n}] out, %6: i16[{n}] out, %7: bool[{n}] out, %8: f32[{n}] out, %9: i32[{n}] out, %10: u16[{n}] out, %11: i8[{n}] out
             cols {n}
             phase {{ %a = load %0[c] %b = load %1[c] %c = load %2[c] %d = load %3[c] %e = load %4[c]
               %f = iadd %a, %b %g = imul %c, %d %h = bnot %e %i = ilt %a, %b %j = bxor %h, %i %k = itof %f %l = utof %g
               %m = fsub %k, %l %n = ftoi %m %o = select %j, %n, %g %p = btof %j %q = fmul %p, %m %r = btoi %j %s = iadd %r, %o
               %t = itob %a %u = band %t, %j %v = bor %u, %i
               store %5[c], %f store %6[c], %g store %7[c], %v store %8[c], %q store %9[c], %s store %10[c], %s store %11[c], %n }} }}"
        ));
    }
}

#[test]
fn ints_shift_divide_and_saturate() {
    for n in [5, 16, 50] {
        check_kernel(&format!(
            "kernel @k {{ args %0: i32[{n}] in, %1: i32[{n}] in, %2: i32[{n}] out, %3: f32[{n}] in, %4: i32[{n}] out
             rows 1 cols {n}
             phase {{ %a = load %0[c] %b = load %1[c] %d = idiv %a, %b %r = irem %a, %b %seven = i32 -7 %e = idiv %a, %seven
               %f = irem %a, %seven %z = i32 0 %g = idiv %a, %z %m = i32 -1 %h = idiv %a, %m %i = irem %a, %m
               %j = ishl %a, %b %k = ishr.u %a, %b %l = ishr.s %a, %b %five = i32 37 %n = ishr.s %a, %five
               %o = iadd %d, %r %p = ixor %o, %e %q = iadd %p, %f %s = ior %q, %g %t = isub %s, %h %u = iadd %t, %i
               %v = imax %j, %k %w = imin %v, %l %x = iadd %w, %n %y = ixor %u, %x store %2[c], %y
               %fa = load %3[c] %fi = ftoi %fa %fl = ffloor %fa %fb = bits.ftoi %fl %fr = froundeven %fa %fc = bits.ftoi %fr
               %fd = ixor %fb, %fc %lt = ult %a, %b %ff = select %lt, %fd, %fi store %4[c], %ff }} }}"
        ));
    }
}

#[test]
fn rows_with_strides_and_reductions() {
    for n in WIDTHS {
        for rows in [1, 5] {
            let (len, t) = (n * rows, n * rows * 3 + 7);
            check_floats(&format!(
                "kernel @softmax {{ args %0: f32[{len}] in, %1: f32[{t}] in, %2: f32[{len}] out, %3: f32[{rows}] out, %4: bool[{len}] in, %5: i32[{rows}] out
                 rows {rows} cols {n} split rows
                 phase {{ %x = load %0[{n}*r0 + c] %y = load %1[{back} - 2*c - r0] %z = fadd %x, %y %m = reduce.max %z %keep = load %4[{n}*r0 + c]
                    %on = fgt %z, %x }}
                 phase {{ %d = fsub %z, %m %e = fabs %d %s = reduce.sum %e %i = ftoi %e %p = reduce.prod %i %w = bxor %keep, %on %any = reduce.max %w %all = reduce.min %keep }}
                 phase {{ %q = fdiv %e, %s %zero = f32 0.0 %o = select %w, %q, %zero %o2 = select %any, %o, %m store %2[{n}*r0 + c], %o2
                    store %3[r0], %s store %5[r0], %p %mn = reduce.min %o }}
                 phase {{ %f = fadd %mn, %s store %3[r0], %f }} }}",
                back = t.saturating_sub(1),
            ));
        }
    }
}

#[test]
fn several_row_axes_and_a_sequence() {
    for n in [1, 10, 16, 33] {
        check_floats(&format!(
            "kernel @k {{ args %0: f32[{a}] in, %1: f32[{b}] out, %2: f32[{a}] out, %3: i32[{b}] out
             rows 2 3 2 cols {n} split rows
             phase {{ %w = load %0[c] %k = froundeven %w }}
             phase seq 4 {{ %x = load %0[{s0}*r0 + {s1}*r1 + {s2}*r2 + 4*c + s] %y = fmul %x, %k %t = running.sum %y %m = running.max %x
                store %2[{s0}*r0 + {s1}*r1 + {s2}*r2 + 4*c + s], %t %q = seq %r = row 1 %qr = imul %q, %r %u = running.min %qr }}
             phase {{ %v = fadd %t, %m %c = col %r2 = row 2 %cr = iadd %c, %r2 %cu = iadd %cr, %u
                store %1[{t0}*r0 + {t1}*r1 + {n}*r2 + c], %v store %3[{t0}*r0 + {t1}*r1 + {n}*r2 + c], %cu }} }}",
            a = 12 * n * 4,
            b = 12 * n,
            s0 = 6 * n * 4,
            s1 = 2 * n * 4,
            s2 = n * 4,
            t0 = 6 * n,
            t1 = 2 * n,
        ));
    }
}

#[test]
fn empty_sequences_give_the_identity() {
    check_kernel(
        "kernel @k { args %0: f32[20] in, %1: f32[20] out cols 20
         phase seq 0 { %x = load %0[c + s] %a = running.max %x }
         phase { store %1[c], %a } }",
    );
}

#[test]
fn gathers_and_scatters_check_their_indices() {
    for n in [1, 16, 35] {
        check_floats(&format!(
            "kernel @k {{ args %0: f32[20] in, %1: i32[{n}] in, %2: f32[{n}] out, %3: f32[9] inout, %4: bool[{n}] in, %5: bool[11] inout, %6: u8[13] inout
             cols {n}
             phase {{ %i = load %1[c] %m = load %4[c] %x = load.at %0[%i] if %m %y = load.at %0[%i] %z = fadd %x, %y store %2[c], %z
               store.at %3[%i], %z if %m %b = load.at %5[%i] %w = bxor %b, %m store.at %5[%i], %w store.at %6[%i], %i
               %old = load.at %3[%i] %new = fadd %old, %y store.at %3[%i], %new }} }}"
        ));
    }
}

#[test]
fn contractions_and_random_bits_feed_bodies() {
    for (m, n, split) in [(3, 10, "rows"), (5, 130, "cols"), (4, 64, "none"), (2, 1, "rows")] {
        check_floats(&format!(
            "kernel @fc {{ args %0: f32[{a}] in, %1: f32[{b}] in, %2: f32[{n}] in, %3: f32[{c}] out
             rows {m} cols {n} split {split}
             contract k 7 a %0[7*r0 + k] b %1[{n}*k + c]
             phase {{ %acc = acc %bias = load %2[c] %z = fadd %acc, %bias %zero = f32 0.0 %y = fmax %z, %zero store %3[{n}*r0 + c], %y }} }}",
            a = 7 * m,
            b = 7 * n,
            c = m * n,
        ));
        check_floats(&format!(
            "kernel @plain {{ args %0: f32[{a}] in, %1: f32[{b}] in, %2: f32[{c}] out
             rows {m} cols {n} split {split}
             contract k 7 a %0[7*r0 + k] b %1[{n}*k + c]
             phase {{ %acc = acc store %2[{n}*r0 + c], %acc }} }}",
            a = 7 * m,
            b = 7 * n,
            c = m * n,
        ));
        check_kernel(&format!(
            "kernel @rng {{ args %0: f32[{n}] out cols {n} rng site 3
             phase {{ %r = acc %eight = i32 8 %t = ishr.u %r, %eight %f = itof %t %s = f32 5.9604645e-8 %u = fmul %f, %s store %0[c], %u }} }}"
        ));
    }
}

#[test]
fn what_lanes_cannot_load_is_a_limit() {
    let k = parse::kernel(
        "kernel @k { args %0: i64[4] in, %1: i32[4] out cols 4 phase { %x = load %0[c] store %1[c], %x } }",
    );
    let Ok(k) = k else { panic!("{k:?}") };
    assert!(matches!(compile(&[k]), Err(Error::Limit(_))));
}

#[test]
fn emitted_programs_run_in_the_runtime() {
    use nn_runtime::program::{Anchor, GemmK, TensorSpec};
    let p = parse::program(
        r#"program @step {
          temp 0
          buffer %x: f32[12] data @0   buffer %w: f32[8] param @64   buffer %y: f32[6] output @0  buffer %t: f32[1] step @0
          buffer %c: f32[2] const @64  const %c = x0000803f00000040
          kernel @fc {
            args %0: f32[12] in, %1: f32[8] in, %2: f32[2] in, %3: f32[6] out, %4: f32[1] in
            rows 3 1 cols 2 split rows
            contract k 4 a %0[4*r0 + k] b %1[2*k + c]
            phase { %acc = acc %b = load %2[c] %t = load %4[0] %z = fma %t, %b, %acc store %3[2*r0 + c], %z }
          }
          step { launch @fc(%x, %w, %c, %y, %t) }
          output "y" = %y
        }"#,
    )
    .unwrap_or_else(|e| panic!("{e}"));
    let w = TensorSpec { name: "fc.weight".into(), dtype: DType::F32, shape: vec![4, 2], offset: 64 };
    let shapes = [("y".to_string(), vec![3, 2])].into();
    let source = emit::Source { name: "eval".into(), batch: 3, program: &p, shapes, flops: 48, checks: &[] };
    let program = emit::emit("m", vec![w], vec![], &[source]).unwrap_or_else(|e| panic!("{e}"));
    let e = &program.entries[0];
    assert_eq!((e.outputs[0].shape.as_slice(), e.data_bytes, program.param_bytes), ([3, 2].as_slice(), 64, 128));
    let Anchor::Contract(g) = &e.launches()[0].0.anchor else { panic!("no product") };
    assert_eq!((g.m, g.n, g.a_m, g.batch.len()), (3, 2, 4, 0));
    assert_eq!(g.k, [GemmK { size: 4, a: 1 }]);
    assert_eq!(e.consts[64..72], [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]);

    // The runtime and the interpreter agree on every bit.
    let mut want = Arenas::new(&p);
    fill(&mut want, &p.buffers[0], &mut Rand(1));
    fill(&mut want, &p.buffers[1], &mut Rand(2));
    want.write_f32(&p.buffers[3], &[5.0]);
    let mut session = nn_runtime::exec::Session::new(Arc::new(program), Some(2)).unwrap_or_else(|e| panic!("{e}"));
    let copy = |to: Option<&mut [u8]>, b: usize| to.map(|t| t.copy_from_slice(want.bytes(&p.buffers[b]))).is_some();
    assert!(copy(session.data_mut(0, "x"), 0) && copy(session.param_mut("fc.weight"), 1));
    assert!(session.set_step(0, "t", 5.0));
    session.run(0, 0, 0);
    run_launch(&p, p.launches()[0], &mut want, 0, 0).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(session.output(0, "y"), Some(want.bytes(&p.buffers[2])));
}

#[test]
fn kernels_with_the_same_body_share_it() {
    let text = |name: &str, rows: u64, k: u64| {
        let k = format!(
            "kernel @{name} {{ args %0: f32[{a}] in, %1: f32[{b}] in, %2: f32[{c}] out rows {rows} cols 24 split rows
             contract k {k} a %0[{k}*r0 + k] b %1[24*k + c]
             phase {{ %x = acc %y = fneg %x store %2[24*r0 + c], %y }} }}",
            a = rows * k,
            b = 24 * k,
            c = rows * 24,
        );
        parse::kernel(&k).unwrap_or_else(|e| panic!("{e}"))
    };
    let c = compile(&[text("x", 64, 7), text("y", 32, 9)]).unwrap_or_else(|e| panic!("{e}"));
    let address = |i: usize| c.bodies[i].map(|b| b as usize);
    assert!(address(0).is_some() && address(0) == address(1));
}
