//! The text form round-trips, and the interpreter means what the IR's documentation says.

use super::interp::{Arenas, run};
use super::ir::*;
use super::{parse, print};
use nn_runtime::philox;

fn program(text: &str) -> KernelProgram {
    let p = parse::program(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let printed = print::program(&p);
    let again = parse::program(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(p, again, "{printed}");
    assert_eq!(printed, print::program(&again));
    for k in &p.kernels {
        assert_eq!(*k, parse::kernel(&print::kernel(k)).unwrap_or_else(|e| panic!("{e}")));
    }
    p
}

fn buffer<'a>(p: &'a KernelProgram, name: &str) -> &'a Buffer {
    p.buffers.iter().find(|b| b.name == name).unwrap_or_else(|| panic!("no buffer {name}"))
}

#[test]
fn everything_round_trips() {
    let p = program(
        r#"program @"a b" {
          temp 640
          buffer %x: f32[6] temp @0   buffer %same#1: u8[4] data @64   buffer %same#2: bool[3] param @0
          buffer %t: f32[2] const @0
          const %t = x0000803f000080bf
          kernel @k#0 {
            args %0: f32[6] inout, %1: u8[4] in
            rows 2 3   cols 1   split rows
            contract k 3   a %0[3*r0 + k]   b %0[2 - c + 4*k]
            phase seq 4 {
              %a = acc   %b = f32 -0.0   %c = f32 0x7fc00001   %d = i32 -7   %e = bool true
              %f = load %1[5 - 2*r1 + 3*c - 1*s]
              %g = running.max %a
              %h = load.at %1[%f] if %e
              %i = select %e, %a, %b   %j = fma %a, %b, %c  %k = bits.itof %d  %n = row 1 %o = col %p = seq
              %l = fle %a, %b
              store %0[0], %i
              store.at %0[%d], %j if %l
              %m = ishr.u %d, %f
            }
            phase { %z = reduce.prod %g  %tiny = f32 1e-45 }
          }
          kernel @k#1 { args cols 64 rng site 9 split cols phase { %r = acc } }
          step { launch @k#0(%x, %same#1) barrier launch @k#1() cols 3, () cols 64 }
          output "the loss" = %x
        }"#,
    );
    assert_eq!(p.consts[0].1, [0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xbf]);
    assert_eq!(p.buffers[1].name, "same");
}

#[test]
fn form_errors_name_the_line() {
    let e = parse::kernel("kernel @k {\n cols 3\n phase {\n %a = fadd %b, %b } }").unwrap_err();
    assert_eq!((e.line, e.message.as_str()), (4, "no value %b above"));
}

/// Softmax of rows of 20, scaled by a kept value: reductions, several phases, a tail.
#[test]
fn rows_reduce_in_the_documented_order() {
    let p = program(
        r#"program @rows {
          temp 0
          buffer %x: f32[40] data @0   buffer %y: f32[40] output @0   buffer %n: f32[2] output @192
          kernel @norm {
            args %0: f32[40] in, %1: f32[40] out, %2: f32[2] out
            rows 2 cols 20
            phase { %x = load %0[20*r0 + c] %two = f32 2.0 %x2 = fmul %x, %two %s = reduce.sum %x2 %m = reduce.max %x }
            phase { %y = fsub %x2, %m  store %1[20*r0 + c], %y  store %2[r0], %s }
          }
          step { launch @norm(%x, %y, %n) }
        }"#,
    );
    let mut m = Arenas::new(&p);
    let x: Vec<f32> = (0..40).map(|i| (i as f32 * 0.37).sin() * 10f32.powi(i % 7)).collect();
    m.write_f32(buffer(&p, "x"), &x);
    run(&p, &mut m, 0, 0).unwrap();
    let (y, n) = (m.read_f32(buffer(&p, "y")), m.read_f32(buffer(&p, "n")));
    for r in 0..2 {
        let row = &x[20 * r..][..20];
        let mut lanes = [0f32; 16];
        for (c, v) in row.iter().enumerate() {
            lanes[c % 16] += v * 2.0;
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        assert_eq!(n[r].to_bits(), lanes[0].to_bits());
        let max = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        for c in 0..20 {
            assert_eq!(y[20 * r + c].to_bits(), (row[c] * 2.0 - max).to_bits());
        }
    }
}

#[test]
fn sequences_accumulate_and_running_values_are_seen() {
    let p = program(
        r#"program @scan {
          temp 0
          buffer %x: f32[12] data @0   buffer %y: f32[12] output @0   buffer %z: f32[3] output @64
          kernel @k {
            args %0: f32[12] in, %1: f32[12] out, %2: f32[3] out
            cols 3
            phase seq 4 { %x = load %0[4*c + s] %a = running.sum %x  store %1[4*c + s], %a }
            phase { store %2[c], %a }
          }
          step { launch @k(%x, %y, %z) }
        }"#,
    );
    let mut m = Arenas::new(&p);
    m.write_f32(buffer(&p, "x"), &(1..13).map(|i| i as f32).collect::<Vec<_>>());
    run(&p, &mut m, 0, 0).unwrap();
    assert_eq!(m.read_f32(buffer(&p, "y")), [1., 3., 6., 10., 5., 11., 18., 26., 9., 19., 30., 42.]);
    assert_eq!(m.read_f32(buffer(&p, "z")), [10., 26., 42.]);
}

#[test]
fn contractions_gathers_and_random_bits() {
    let p = program(
        r#"program @mix {
          temp 0
          buffer %a: f32[6] data @0  buffer %b: f32[6] data @64  buffer %c: f32[4] output @0
          buffer %i: i32[4] data @128  buffer %g: f32[4] output @64  buffer %u: u32[70] output @128
          kernel @dot {
            args %0: f32[6] in, %1: f32[6] in, %2: f32[4] out
            rows 2 cols 2
            contract k 3  a %0[3*r0 + k]  b %1[2*k + c]
            phase { %acc = acc  store %2[2*r0 + c], %acc }
          }
          kernel @take {
            args %0: f32[6] in, %1: i32[4] in, %2: f32[4] out
            cols 4
            phase { %i = load %1[c]  %x = load.at %0[%i]  store %2[c], %x }
          }
          kernel @bits { args %0: u32[70] out cols 70 rng site 5 phase { %r = acc store %0[c], %r } }
          step { launch @dot(%a, %b, %c) launch @take(%a, %i, %g) launch @bits(%u) }
        }"#,
    );
    let mut m = Arenas::new(&p);
    m.write_f32(buffer(&p, "a"), &[1., 2., 3., 4., 5., 6.]);
    m.write_f32(buffer(&p, "b"), &[1., 2., 3., 4., 5., 6.]);
    for (e, i) in [5, -1, 6, 0].into_iter().enumerate() {
        m.set(buffer(&p, "i"), e as u64, i as u32 as u64);
    }
    run(&p, &mut m, 11, 12).unwrap();
    assert_eq!(m.read_f32(buffer(&p, "c")), [22., 28., 49., 64.]);
    assert_eq!(m.read_f32(buffer(&p, "g")), [6., 0., 0., 1.]);
    for e in 0..70 {
        assert_eq!(m.get(buffer(&p, "u"), e), u64::from(philox::element(11, 12, 5, e)));
    }
}

/// The chain runs over the axes as they are written, the last one fastest: so `big` cancels before what is small comes.
#[test]
fn contractions_over_several_axes() {
    let text = r#"program @axes {
      temp 0
      buffer %a: f32[7] data @0  buffer %b: f32[8] data @64  buffer %c: f32[4] output @0
      kernel @dot {
        args %0: f32[7] in, %1: f32[8] in, %2: f32[4] out
        rows 2 cols 2
        contract k 2 2  a %0[2*r0 + k0 + 3*k1]  b %1[2*k1 + 4*k0 + c]
        phase { %acc = acc  store %2[2*r0 + c], %acc }
      }
      step { launch @dot(%a, %b, %c) }
    }"#;
    let p = program(text);
    assert_eq!(super::verify_plan::program(&p), Vec::<String>::new());
    let mut m = Arenas::new(&p);
    let big = 33554432.0;
    m.write_f32(buffer(&p, "a"), &[big, 1., 2., -big, 4., 5., 6.]);
    m.write_f32(buffer(&p, "b"), &[1., 2., 1., 2., 1., 10., 1., 10.]);
    run(&p, &mut m, 0, 0).unwrap();
    // Row 0: a0, a3, a1, a4, in another order 4; row 1: a2, a5, a3, a6.
    assert_eq!(m.read_f32(buffer(&p, "c")), [5., 50., (7. - big) + 6., (14. - 10. * big) + 60.]);
    let shown = super::print::program(&p);
    assert!(shown.contains("contract k 2 2   a %0[2*r0 + k0 + 3*k1]   b %1[c + 4*k0 + 2*k1]"), "{shown}");
}

/// Sound programs verify; each of these breaks one invariant, and the verifier says so.
#[test]
fn the_verifier_finds_each_violation() {
    use super::verify_plan::program as verify;
    let text = |kernel: &str, step: &str| {
        format!(
            "program @p {{ temp 512 buffer %x: f32[32] data @0 buffer %a: f32[32] temp @0 buffer %b: f32[32] temp @128
             buffer %c: f32[32] temp @0 buffer %o: f32[32] output @0 buffer %w: f32[32] param @0
             {kernel} step {{ {step} }} }}"
        )
    };
    let copy = "kernel @k { args %0: f32[32] in, %1: f32[32] out rows 4 cols 8 split rows
                phase { %a = load %0[8*r0 + c] store %1[8*r0 + c], %a } }";
    let sound = [
        (copy, "launch @k(%x, %a) launch @k(%a, %b) barrier launch @k(%b, %c) launch @k(%c, %o)"),
        (
            "kernel @k { args %0: f32[32] inout cols 32 split cols phase { %a = load %0[c] store %0[c], %a } }",
            "launch @k(%w) launch @k(%w)",
        ),
    ];
    for (k, s) in sound {
        assert_eq!(verify(&program(&text(k, s))), Vec::<String>::new());
    }
    let kernel = |body: &str| format!("kernel @k {{ args %0: f32[32] in, %1: f32[32] out, %2: i32[4] out {body} }}");
    let broken = [
        (kernel("cols 33 phase { %a = load %0[c] }"), "reaches elements 0 to 32"),
        (kernel("rows 4 cols 8 phase { %a = load %0[8*r0 - c] }"), "reaches elements -7 to 24"),
        (kernel("cols 8 phase seq 5 { %a = load %0[c + 8*s] }"), "reaches elements 0 to 39"),
        (kernel("cols 8 phase { %a = load %1[c] }"), "reads %1, an out"),
        (kernel("cols 8 phase { %a = f32 0.0 store %0[c], %a }"), "writes %0, an in"),
        (kernel("cols 4 phase { %a = f32 0.0 store %2[c], %a }"), "is F32, not I32"),
        (kernel("cols 4 phase { %a = f32 0.0 %b = iadd %a, %a }"), "is F32, not I32"),
        (kernel("cols 4 phase { %a = acc }"), "no anchor"),
        (kernel("cols 4 phase { %a = seq }"), "a step outside"),
        (kernel("cols 4 phase { %a = row 0 }"), "no row axis 0"),
        (kernel("cols 4 phase { %a = f32 1.0 %s = reduce.sum %a %b = fneg %s }"), "in its own phase"),
        (kernel("cols 4 split cols phase { %a = f32 1.0 %s = reduce.sum %a }"), "columns that may be cut"),
        (kernel("cols 4 phase { %a = f32 1.0 %s = running.sum %a }"), "outside a sequence"),
        (kernel("cols 4 phase seq 2 { %a = load %0[c] } phase { store %1[c], %a }"), "not a running value"),
        (kernel("rows 4 cols 8 split rows phase { %a = f32 1.0 store %1[c], %a }"), "two threads may store"),
        (kernel("rows 4 cols 8 split rows phase { %a = f32 1.0 store %1[7*r0 + c], %a }"), "two threads may store"),
        (kernel("rows 4 cols 8 split rows phase { %a = f32 1.0 %i = col store.at %1[%i], %a }"), "computed indices"),
        (kernel("rows 4 cols 8 rng site 1 phase { %a = acc }"), "random bits in a kernel with rows"),
        (
            kernel("rows 4 cols 8 contract k 9 a %0[8*r0 + k] b %1[8*k + c] phase { %a = acc }"),
            "reaches elements 0 to 32",
        ),
        (
            kernel("rows 4 cols 8 contract k 2 2 a %0[8*r0 + 5*k0 + 4*k1] b %1[16*k0 + 8*k1 + c] phase { %a = acc }"),
            "reaches elements 0 to 33",
        ),
        (
            kernel("rows 4 cols 8 contract k 2 2 a %0[8*r0 + 2*k0 + k1] b %1[8*k0 + 8*k1 + c] phase { %a = acc }"),
            "walks its axes unevenly",
        ),
        (kernel("rows 4 cols 8 contract k a %0[8*r0] b %1[c] phase { %a = acc }"), "over no axis"),
    ];
    for (k, want) in broken {
        let errors = verify(&program(&text(&k, "")));
        assert!(errors.iter().any(|e| e.contains(want)), "{want}: {errors:?}");
    }
    let steps = [
        ("launch @k(%a, %b)", "where it is not"),
        ("launch @k(%x, %a) barrier launch @k(%x, %c) barrier launch @k(%a, %b)", "where it is not"),
        ("launch @k(%w, %x)", "writes %x"),
        ("launch @k(%x, %a) barrier launch @k(%a, %c)", "that %a and %c share"),
        ("launch @k(%x, %a) launch @k(%x, %c)", "no barrier"),
        ("launch @k(%x, %a) cols 7", "7 columns of 8"),
        ("launch @k(%x)", "1 views for 2"),
        ("launch @k(%x, %a), (%x, %b)", "not flat"),
    ];
    for (s, want) in steps {
        let errors = verify(&program(&text(copy, s)));
        assert!(errors.iter().any(|e| e.contains(want)), "{want}: {errors:?}");
    }
    // The same buffers, another cut: a barrier is needed.
    let other = format!(
        "{copy} kernel @t {{ args %0: f32[32] in, %1: f32[32] out rows 4 cols 8 split rows
                         phase {{ %a = load %0[r0 + 4*c] store %1[8*r0 + c], %a }} }}"
    );
    let errors = verify(&program(&text(&other, "launch @k(%x, %a) launch @t(%a, %b)")));
    assert!(errors.iter().any(|e| e.contains("no barrier")), "{errors:?}");
}

/// A running maximum over time: steps read what the one before left.
#[test]
fn sequences_in_time_move_their_views() {
    let text = |order: &str, from: u64, to: u64, last: u64| {
        format!(
            r#"program @p {{
              temp 64
              buffer %x: f32[12] data @0   buffer %h: f32[16] temp @0   buffer %y: f32[4] output @0
              kernel @zero {{ args %0: f32[4] out cols 4 split cols phase {{ %z = f32 0.0 store %0[c], %z }} }}
              kernel @max {{
                args %0: f32[4] in, %1: f32[4] in, %2: f32[4] out
                cols 4 split cols
                phase {{ %a = load %0[c] %b = load %1[c] %m = fmax %a, %b store %2[c], %m }}
              }}
              kernel @copy {{ args %0: f32[4] in, %1: f32[4] out cols 4 split cols phase {{ %a = load %0[c] store %1[c], %a }} }}
              step {{
                launch @zero(%h[{first}; 4])
                seq 3 {order} {{ launch @max(%h[{from} + 4*t0; 4], %x[4*t0; 4], %h[{to} + 4*t0; 4]) }}
                launch @copy(%h[{last}; 4], %y)
              }}
              output "y" = %y
            }}"#,
            first = 12 - last,
        )
    };
    for (order, from, to, last) in [("", 0, 4, 12), ("reverse", 4, 0, 0)] {
        let p = program(&text(order, from, to, last));
        assert_eq!(super::verify_plan::program(&p), Vec::<String>::new());
        let mut m = Arenas::new(&p);
        m.write_f32(buffer(&p, "x"), &[1., -2., 3., 0., 5., -1., 2., -3., 4., -7., 6., -1.]);
        run(&p, &mut m, 0, 0).unwrap();
        assert_eq!(m.read_f32(buffer(&p, "y")), [5., 0., 6., 0.]);
    }
}

/// Loops that break an invariant in some step, and the verifier says so.
#[test]
fn the_verifier_follows_every_step() {
    let text = |step: &str| {
        format!(
            "program @p {{ temp 1024 buffer %x: f32[64] data @0 buffer %h: f32[96] temp @0 buffer %a: f32[32] temp @384
             buffer %b: f32[32] temp @512 buffer %far: f32[32] temp @256
             kernel @k {{ args %0: f32[32] in, %1: f32[32] out rows 4 cols 8 split rows
                          phase {{ %a = load %0[8*r0 + c] store %1[8*r0 + c], %a }} }}
             kernel @t {{ args %0: f32[32] in, %1: f32[32] out rows 4 cols 8 split rows
                          phase {{ %a = load %0[r0 + 4*c] store %1[8*r0 + c], %a }} }}
             step {{ {step} }} }}"
        )
    };
    let verify = |step: &str| super::verify_plan::program(&program(&text(step)));
    let sound = [
        "launch @k(%x[0; 32], %h[0; 32]) seq 2 { launch @k(%h[32*t0; 32], %h[32*t0 + 32; 32]) }",
        "launch @k(%x[0; 32], %h[64; 32]) seq 2 reverse { launch @k(%h[32*t0 + 32; 32], %h[32*t0; 32]) }",
        "launch @k(%x[0; 32], %h[0; 32]) seq 2 { barrier launch @t(%h[32*t0; 32], %h[32*t0 + 32; 32]) }",
        "seq 2 { launch @k(%x[32*t0; 32], %a) launch @k(%a, %b) }",
        "seq 2 { barrier launch @k(%x[32*t0; 32], %a) barrier launch @t(%a, %b) }",
        "seq 2 { seq 2 { launch @k(%x[32*t0; 32], %h[32*t0 + 32*t1; 32]) } }",
    ];
    for s in sound {
        assert_eq!(verify(s), Vec::<String>::new(), "{s}");
    }
    let broken = [
        // From step to step, and from the first step to what comes before.
        (
            "launch @k(%x[0; 32], %h[0; 32]) barrier seq 2 { launch @t(%h[32*t0; 32], %h[32*t0 + 32; 32]) }",
            "no barrier",
        ),
        ("launch @k(%x[0; 32], %h[0; 32]) seq 1 { launch @t(%h[32*t0; 32], %a) }", "no barrier"),
        // What this step writes the step before may still read.
        ("seq 2 { launch @k(%x[32*t0; 32], %a) barrier launch @t(%a, %b) }", "no barrier"),
        ("seq 2 { launch @k(%x[0; 32], %h[32*t0; 32]) launch @k(%x[0; 32], %h[8*t0 + 32; 32]) }", "no barrier"),
        ("seq 3 { launch @k(%x[32*t0; 32], %a) }", "a view of elements 0 to 96 of %x"),
        ("seq 2 { launch @k(%x[32 - 64*t0; 32], %a) }", "a view of elements -32 to 64 of %x"),
        ("seq 0 { launch @k(%x[0; 32], %a) }", "without steps"),
        ("seq 2 { launch @k(%x[0; 31], %a) }", "has 31 elements"),
        // Written by a later step only; or overwritten by another buffer in between.
        (
            "launch @k(%x[0; 32], %h[0; 32]) seq 2 reverse { launch @k(%h[32*t0; 32], %h[32*t0 + 32; 32]) }",
            "where it is not at [1]",
        ),
        ("seq 2 { launch @k(%x[0; 32], %a) barrier }", "expected `launch`"),
        ("seq 2 { launch @k(%x[32*t1; 32], %a) }", "no index `t1`"),
    ];
    for (s, want) in broken {
        let errors = match parse::program(&text(s)) {
            Ok(p) => super::verify_plan::program(&p),
            Err(e) => vec![e.to_string()],
        };
        assert!(errors.iter().any(|e| e.contains(want)), "{want}: {s}: {errors:?}");
    }
    let twice =
        "launch @k(%x[0; 32], %h[64; 32]) seq 2 { barrier launch @k(%h[64; 32], %a) barrier launch @k(%a, %far) }";
    assert!(verify(twice).iter().any(|e| e.contains("reads %h where it is not at [1]")), "{:?}", verify(twice));
}
