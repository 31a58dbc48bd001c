//! Compiled bodies alone: the shapes of kernels that training spends its time in, and how long compiling them takes.
//! With `NN_NO_AVX512=1` they are those of the Cranelift lowering.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nn_compiler::codegen::{self, emit};
use nn_compiler::kernel::ir::{Arena, Buffer, BufferId, Kernel, KernelProgram, Launch, Segment, Stmt, View};
use nn_compiler::kernel::parse;
use nn_runtime::exec::Session;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

const N: u64 = 235_146;

fn adam() -> String {
    format!(
        "kernel @adam {{
          args %0: f32[{N}] inout, %1: f32[{N}] in, %2: f32[{N}] inout, %3: f32[{N}] inout, %4: f32[1] in, %5: f32[1] in
          cols {N} split cols
          phase {{
            %p = load %0[c] %g = load %1[c] %m = load %2[c] %v = load %3[c] %s = load %4[0] %q = load %5[0]
            %b1 = f32 0.9 %c1 = f32 0.1 %b2 = f32 0.999 %c2 = f32 0.001 %eps = f32 1e-8
            %bm = fmul %b1, %m %gm = fmul %c1, %g %m1 = fadd %bm, %gm store %2[c], %m1
            %bv = fmul %b2, %v %gg = fmul %g, %g %gv = fmul %c2, %gg %v1 = fadd %bv, %gv store %3[c], %v1
            %r = fsqrt %v1 %rq = fmul %r, %q %d = fadd %rq, %eps %u = fdiv %m1, %d %us = fmul %u, %s
            %n = fsub %p, %us store %0[c], %n
          }} }}"
    )
}

fn normalize() -> String {
    "kernel @normalize { args %0: u8[50176] in, %1: f32[50176] out cols 50176 split cols
      phase { %x = load %0[c] %f = itof %x %k = f32 0.003921569 %y = fmul %f, %k %a = f32 0.1307 %z = fsub %y, %a
        %b = f32 0.3081 %w = fdiv %z, %b store %1[c], %w } }"
        .into()
}

/// `log_softmax` style rows with an exponential, in three phases.
fn rows(cols: u64) -> String {
    let e = 640 * 64 / cols;
    let n = e * cols;
    format!(
        "kernel @rows {{ args %0: f32[{n}] in, %1: f32[{n}] out rows {e} cols {cols} split rows
          phase {{ %x = load %0[{cols}*r0 + c] %m = reduce.max %x }}
          phase {{ %d = fsub %x, %m %lo = f32 -104.0 %d1 = fmax %d, %lo %le = f32 1.442695 %sh = f32 12582912.0 %t = fma %d1, %le, %sh
            %nn = fsub %t, %sh %i = bits.ftoi %t %h = f32 -0.6931472 %r = fma %nn, %h, %d1 %c6 = f32 0.0013814 %c5 = f32 0.0083688
            %c4 = f32 0.0416684 %c3 = f32 0.1666652 %c2 = f32 0.5 %one = f32 1.0 %p = fma %c6, %r, %c5 %p1 = fma %p, %r, %c4
            %p2 = fma %p1, %r, %c3 %p3 = fma %p2, %r, %c2 %p4 = fma %p3, %r, %one %p5 = fma %p4, %r, %one %tt = i32 23
            %j = ishl %i, %tt %pi = bits.ftoi %p5 %k = iadd %j, %pi %e = bits.itof %k %s = reduce.sum %e }}
          phase {{ %y = fdiv %e, %s store %1[{cols}*r0 + c], %y }} }}"
    )
}

fn column_sums() -> String {
    "kernel @sums { args %0: f32[16384] in, %1: f32[256] out cols 256 split cols
      phase seq 64 { %x = load %0[c + 256*s] %a = running.sum %x } phase { store %1[c], %a } }"
        .into()
}

fn kernel(text: &str) -> Kernel {
    parse::kernel(text).unwrap_or_else(|e| panic!("{e}"))
}

fn session(k: Kernel) -> Session {
    let mut p = KernelProgram { name: "bench".into(), ..Default::default() };
    let mut offset = 0;
    for (i, a) in k.args.iter().enumerate() {
        let (len, dtype) = (a.len, a.dtype);
        p.buffers.push(Buffer { name: format!("b{i}"), arena: Arena::State, dtype, len, offset });
        offset += (len * dtype.bytes() as u64).next_multiple_of(64) + 192;
    }
    let views = k.args.iter().enumerate().map(|(i, a)| View::whole(BufferId(i as u32), a.len)).collect();
    p.body.push(Stmt::Launch(Launch {
        name: k.name.clone(),
        kernel: 0,
        segments: vec![Segment { views, cols: k.cols }],
        barrier: false,
    }));
    p.kernels.push(k);
    let shapes = BTreeMap::new();
    let state = emit::specs(&p, Arena::State, &shapes);
    let source = emit::Source { name: "run".into(), batch: 0, program: &p, shapes, flops: 0, checks: &[] };
    let program = emit::emit("bench", vec![], state, &[source]).unwrap_or_else(|e| panic!("{e}"));
    Session::new(Arc::new(program), Some(1)).unwrap_or_else(|e| panic!("{e}"))
}

fn bodies(c: &mut Criterion) {
    let mut g = c.benchmark_group("body");
    for (name, text) in [
        ("adam", adam()),
        ("normalize", normalize()),
        ("rows10", rows(10)),
        ("rows64", rows(64)),
        ("rows384", rows(384)),
        ("column_sums", column_sums()),
    ] {
        let k = kernel(&text);
        g.throughput(Throughput::Elements(k.args[0].len));
        let mut s = session(k);
        g.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| s.run(0, 0, 0)));
    }
    g.finish();
}

fn compiling(c: &mut Criterion) {
    let mut g = c.benchmark_group("compile");
    for (name, text) in [("adam", adam()), ("normalize", normalize()), ("rows10", rows(10)), ("rows384", rows(384))] {
        let k = [kernel(&text)];
        g.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| black_box(codegen::compile(&k).is_ok())));
    }
    g.finish();
}

criterion_group!(benches, bodies, compiling);
criterion_main!(benches);
