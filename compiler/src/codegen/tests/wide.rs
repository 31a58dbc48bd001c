//! What the AVX-512 lowering supports: the kernels that training spends its time in, and most random ones.

use super::random::random_kernel;
use super::*;

fn wide(k: &Kernel) -> Option<Vec<u8>> {
    let e = plan::essence(k, true);
    x64::compile(&e, &Plan::new(&e, true))
}

#[test]
fn hot_kernels_have_an_avx512_lowering() {
    for text in [
        "kernel @update { args %0: f32[99] inout, %1: f32[99] in, %2: f32[1] in cols 99 split cols
         phase { %p = load %0[c] %g = load %1[c] %s = load %2[0] %r = fsqrt %g %e = f32 1e-8 %d = fadd %r, %e
           %u = fdiv %g, %d %us = fmul %u, %s %n = fsub %p, %us store %0[c], %n } }",
        "kernel @normalize { args %0: u8[50] in, %1: f32[50] out cols 50
         phase { %x = load %0[c] %f = itof %x %k = f32 0.0039 %y = fmul %f, %k store %1[c], %y } }",
        "kernel @sums { args %0: f32[512] in, %1: f32[64] out cols 64
         phase seq 8 { %x = load %0[c + 64*s] %a = running.sum %x } phase { store %1[c], %a } }",
        "kernel @softmax { args %0: f32[30] in, %1: f32[30] out rows 3 cols 10 split rows
         phase { %x = load %0[10*r0 + c] %m = reduce.max %x } phase { %d = fsub %x, %m %s = reduce.sum %d }
         phase { %y = fdiv %d, %s store %1[10*r0 + c], %y } }",
        "kernel @fc { args %0: f32[21] in, %1: f32[350] in, %2: f32[50] in, %3: bool[150] out, %4: f32[150] out
         rows 3 cols 50 split rows contract k 7 a %0[7*r0 + k] b %1[50*k + c]
         phase { %acc = acc %b = load %2[c] %z = fadd %acc, %b %o = f32 0.0 %p = fgt %z, %o %y = select %p, %z, %o
           store %3[50*r0 + c], %p store %4[50*r0 + c], %y } }",
    ] {
        let k = parse::kernel(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(wide(&k).is_some(), "{text}");
        check_kernel(text);
    }
}

#[test]
fn many_random_kernels_have_an_avx512_lowering() {
    // Kernels with f64 lanes have none, nor scatters of bytes, nor bodies that need too large a frame.
    let narrow = |k: &Kernel| k.lane_bytes() == 4;
    let kernels: Vec<Kernel> = (0..600).map(random_kernel).filter(narrow).collect();
    let n = kernels.iter().filter(|k| wide(k).is_some()).count();
    assert!(n * 4 >= kernels.len() * 3, "{n} of {}", kernels.len());
}

#[test]
fn more_values_than_registers_live_in_the_frame() {
    for (n, cols) in [(20, 100), (30, 33), (28, 9), (90, 20)] {
        let len = n * cols;
        let mut text = format!(
            "kernel @k {{ args %0: f32[{len}] in, %1: f32[{len}] out, %2: bool[{len}] out cols {cols} phase {{ "
        );
        for i in 0..n {
            text += &format!(
                "%a{i} = load %0[c + {}] %b{i} = fsqrt %a{i} %c{i} = f32 {i}.5 %p{i} = fgt %a{i}, %c{i} ",
                i * cols
            );
        }
        for i in (0..n).rev() {
            let j = (i * 7 + 3) % n;
            let at = i * cols;
            text += &format!(
                "%d{i} = fma %b{i}, %c{j}, %a{j} %q{i} = bxor %p{i}, %p{j} %e{i} = fmax %d{i}, %b{j} %g{i} = select %q{i}, %e{i}, %d{i}
                 store %1[c + {at}], %g{i} store %2[c + {at}], %q{i} "
            );
        }
        text += "} }";
        let k = parse::kernel(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(wide(&k).is_some(), n < 90, "{n} values on {cols} columns: the frame stays within a page");
        check_kernel(&text);
    }
}
