//! Philox bits for runs of elements, a block of 64 at a time.
//!
//! In: (seed, step, site) and a range of elements. Out: their bits, as [`crate::philox`] defines them. `exec.rs` fills the
//! tiles of random launches with this.

use crate::gemm::Isa;
use crate::philox::{self, MUL0, MUL1, WEYL0, WEYL1};

/// Keys of the ten rounds, the same for every block of a fill.
struct Keys {
    k0: [u32; 10],
    k1: [u32; 10],
}

impl Keys {
    fn new(seed: u64) -> Keys {
        let (mut k0, mut k1) = ([0; 10], [0; 10]);
        let (mut a, mut b) = (seed as u32, (seed >> 32) as u32);
        for r in 0..10 {
            (k0[r], k1[r]) = (a, b);
            a = a.wrapping_add(WEYL0);
            b = b.wrapping_add(WEYL1);
        }
        Keys { k0, k1 }
    }
}

/// Writes the bits of elements `first .. first + out.len()`. Uses `isa`, which must be available, where it has a faster
/// form.
pub fn fill(isa: Isa, seed: u64, step: u64, site: u32, first: u64, out: &mut [u32]) {
    let keys = Keys::new(seed);
    let mut e = first;
    let mut out = out;
    while !out.is_empty() {
        let skip = (e % philox::BLOCK) as usize;
        let n = (philox::BLOCK as usize - skip).min(out.len());
        let (part, rest) = out.split_at_mut(n);
        if let Ok(whole) = <&mut [u32; 64]>::try_from(&mut *part) {
            block(isa, &keys, philox::counter(step, site, e), whole);
        } else {
            let mut bits = [0; 64];
            block(isa, &keys, philox::counter(step, site, e - skip as u64), &mut bits);
            part.copy_from_slice(&bits[skip..skip + n]);
        }
        e += n as u64;
        out = rest;
    }
}

/// The 64 elements of the block whose lane 0 has this counter.
#[inline(always)]
fn block(isa: Isa, keys: &Keys, counter: [u32; 4], out: &mut [u32; 64]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set is available.
        Isa::Avx512 => unsafe { avx512(keys, counter, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set is available.
        Isa::Avx2 => unsafe { avx2(keys, counter, out) },
        _ => lanes(keys, counter, out),
    }
}

/// Sixteen counters at once, in arrays.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // four arrays in step
fn lanes(keys: &Keys, counter: [u32; 4], out: &mut [u32; 64]) {
    let mut c: [[u32; 16]; 4] = [[counter[0]; 16], [counter[1]; 16], [counter[2]; 16], [counter[3]; 16]];
    for (l, c) in c[0].iter_mut().enumerate() {
        *c = c.wrapping_add(l as u32);
    }
    for r in 0..10 {
        for l in 0..16 {
            let p0 = u64::from(MUL0) * u64::from(c[0][l]);
            let p1 = u64::from(MUL1) * u64::from(c[2][l]);
            c[0][l] = (p1 >> 32) as u32 ^ c[1][l] ^ keys.k0[r];
            c[1][l] = p1 as u32;
            c[2][l] = (p0 >> 32) as u32 ^ c[3][l] ^ keys.k1[r];
            c[3][l] = p0 as u32;
        }
    }
    for (w, c) in c.iter().enumerate() {
        out[16 * w..16 * w + 16].copy_from_slice(c);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(keys: &Keys, counter: [u32; 4], out: &mut [u32; 64]) {
    use core::arch::x86_64::*;
    // High and low halves of the sixteen products, from those of the even and of the odd lanes.
    let halves = |c: __m512i, m: __m512i| {
        let even = _mm512_mul_epu32(c, m);
        let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(c), m);
        let high = _mm512_mask_shuffle_epi32::<0xf5>(odd, 0x5555, even);
        let low = _mm512_mask_shuffle_epi32::<0xa0>(even, 0xaaaa, odd);
        (high, low)
    };
    let (m0, m1) = (_mm512_set1_epi32(MUL0 as i32), _mm512_set1_epi32(MUL1 as i32));
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut c0 = _mm512_add_epi32(_mm512_set1_epi32(counter[0] as i32), lane);
    let mut c1 = _mm512_set1_epi32(counter[1] as i32);
    let mut c2 = _mm512_set1_epi32(counter[2] as i32);
    let mut c3 = _mm512_set1_epi32(counter[3] as i32);
    for r in 0..10 {
        let (h0, l0) = halves(c0, m0);
        let (h1, l1) = halves(c2, m1);
        // 0x96 is the exclusive or of three.
        c0 = _mm512_ternarylogic_epi32::<0x96>(h1, c1, _mm512_set1_epi32(keys.k0[r] as i32));
        c2 = _mm512_ternarylogic_epi32::<0x96>(h0, c3, _mm512_set1_epi32(keys.k1[r] as i32));
        c1 = l1;
        c3 = l0;
    }
    for (w, c) in [c0, c1, c2, c3].into_iter().enumerate() {
        // SAFETY: words 16w..16w+16 of the 64.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(16 * w).cast(), c) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(keys: &Keys, counter: [u32; 4], out: &mut [u32; 64]) {
    use core::arch::x86_64::*;
    let halves = |c: __m256i, m: __m256i| {
        let even = _mm256_mul_epu32(c, m);
        let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(c), m);
        let high = _mm256_blend_epi32::<0b10101010>(_mm256_srli_epi64::<32>(even), odd);
        let low = _mm256_blend_epi32::<0b10101010>(even, _mm256_slli_epi64::<32>(odd));
        (high, low)
    };
    let (m0, m1) = (_mm256_set1_epi32(MUL0 as i32), _mm256_set1_epi32(MUL1 as i32));
    for half in 0..2 {
        let first = counter[0].wrapping_add(8 * half);
        let mut c0 = _mm256_add_epi32(_mm256_set1_epi32(first as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        let mut c1 = _mm256_set1_epi32(counter[1] as i32);
        let mut c2 = _mm256_set1_epi32(counter[2] as i32);
        let mut c3 = _mm256_set1_epi32(counter[3] as i32);
        for r in 0..10 {
            let (h0, l0) = halves(c0, m0);
            let (h1, l1) = halves(c2, m1);
            c0 = _mm256_xor_si256(_mm256_xor_si256(h1, c1), _mm256_set1_epi32(keys.k0[r] as i32));
            c2 = _mm256_xor_si256(_mm256_xor_si256(h0, c3), _mm256_set1_epi32(keys.k1[r] as i32));
            c1 = l1;
            c3 = l0;
        }
        for (w, c) in [c0, c1, c2, c3].into_iter().enumerate() {
            // SAFETY: words 16w + 8 half and the seven after it, of the 64.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(16 * w + 8 * half as usize).cast(), c) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        let cases = [
            (0u64, 0u64, 0u32, 0u64, 64usize),
            (1, 2, 3, 0, 1000),
            (0xdead_beef_0bad_cafe, 0x1_0000_0002, 0xffff_ffff, 16, 200),
            (7, 9, 1, 64 * 5 + 48, 16),
            (7, 9, 1, 37, 5),
            (7, 9, 1, (1 << 34) - 64, 64),
        ];
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for (seed, step, site, first, n) in cases {
                let mut out = vec![0; n];
                fill(isa, seed, step, site, first, &mut out);
                for (i, &bits) in out.iter().enumerate() {
                    let want = philox::element(seed, step, site, first + i as u64);
                    assert_eq!(bits, want, "{} element {}", isa.name(), first + i as u64);
                }
            }
        }
    }
}
