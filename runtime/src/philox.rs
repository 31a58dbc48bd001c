//! Philox4x32-10: counter-based random bits, the scalar reference that every vector implementation is tested against.
//!
//! In: (seed, step, site, element). Out: 32 uniform bits. There is no state to keep or save, and no two elements share a
//! counter, so recomputation, fusion and the thread count cannot change a draw.
//!
//! Definition, exact:
//!
//! - The key is `(seed low 32, seed high 32)`.
//! - Elements come in blocks of 64. Element `e` lies in block `k = e / 64`, word `w = (e / 16) % 4`, lane `l = e % 16`;
//!   its bits are word `w` of the Philox output for the counter `(k * 16 + l, site, step low 32, step high 32)`.
//!
//! So one evaluation of 16 consecutive counters yields 64 consecutive elements: word 0 of the 16 lanes, then word 1, and
//! so on, with no shuffles. Element numbers stay below 2^34, where the first counter word would wrap.

pub(crate) const MUL0: u32 = 0xD251_1F53;
pub(crate) const MUL1: u32 = 0xCD9E_8D57;
pub(crate) const WEYL0: u32 = 0x9E37_79B9;
pub(crate) const WEYL1: u32 = 0xBB67_AE85;

/// Elements that one evaluation of 16 counters yields.
pub const BLOCK: u64 = 64;

/// Philox4x32-10 of a counter under a key.
pub fn block(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(MUL0) * u64::from(c0);
        let p1 = u64::from(MUL1) * u64::from(c2);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL0);
        k1 = k1.wrapping_add(WEYL1);
    }
    [c0, c1, c2, c3]
}

/// The counter whose output holds element `e`.
pub fn counter(step: u64, site: u32, e: u64) -> [u32; 4] {
    let n = e / BLOCK * 16 + e % 16;
    [n as u32, if crate::mutant!("philox.site") { 0 } else { site }, step as u32, (step >> 32) as u32]
}

/// The bits of element `e`.
pub fn element(seed: u64, step: u64, site: u32, e: u64) -> u32 {
    let word = (e / 16 % 4) as usize;
    block(counter(step, site, e), [seed as u32, (seed >> 32) as u32])[word]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with Random123.
    #[test]
    fn known_answers() {
        assert_eq!(block([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(block([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(block(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn elements_follow_the_definition() {
        let (seed, step, site) = (0x0123_4567_89ab_cdef, 0x1_0000_0007, 3);
        let e = 2 * 64 + 3 * 16 + 5;
        let want = block([2 * 16 + 5, 3, 7, 1], [0x89ab_cdef, 0x0123_4567])[3];
        assert_eq!(element(seed, step, site, e), want);
    }

    #[test]
    fn no_two_elements_share_a_word() {
        let mut seen: Vec<(u32, u64)> = (0..512).map(|e| (counter(0, 0, e)[0], e / 16 % 4)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 512);
    }
}
