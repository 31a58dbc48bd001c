//! The order of examples: a keyed permutation for every epoch, cut into batches.
//!
//! In: rows, a seed and an epoch. Out: an order that depends on nothing else, so the loader's whole state is one
//! integer and a resumed run sees the batches it would have seen. The permutation is Fisher-Yates over Philox4x32-10,
//! every permutation equally likely.

use crate::philox;

/// A permutation of `0 .. n` by seed and epoch.
pub fn permutation(n: u32, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    shuffle(&mut order, seed, epoch);
    order
}

/// Shuffles in place by seed and epoch.
pub fn shuffle(order: &mut [u32], seed: u64, epoch: u64) {
    let mut draws = Draws { key: split(seed), epoch: split(epoch), next: 0, block: [0; 4], used: 4 };
    for i in (1..order.len()).rev() {
        let j = draws.below(i as u32 + 1) as usize;
        order.swap(i, j);
    }
}

/// Cuts an order into batches, the last one possibly short. It can start anywhere.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    order: &'a [u32],
    batch: usize,
    cursor: u64,
}

impl<'a> Batches<'a> {
    /// Batches of `batch` rows from batch number `cursor` on.
    pub fn new(order: &'a [u32], batch: u64, cursor: u64) -> Self {
        Batches { order, batch: usize::try_from(batch).unwrap_or(usize::MAX).max(1), cursor }
    }

    /// The number of the next batch.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Batches in all.
    pub fn count(rows: u64, batch: u64) -> u64 {
        rows.div_ceil(batch.max(1))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = &'a [u32];

    fn next(&mut self) -> Option<&'a [u32]> {
        let start = usize::try_from(self.cursor).ok()?.checked_mul(self.batch)?;
        let rest = self
            .order
            .get(start..)
            .filter(|r| r.len() >= if crate::mutant!("data.last_batch") { self.batch } else { 1 })?;
        self.cursor += 1;
        Some(&rest[..self.batch.min(rest.len())])
    }
}

/// The site of the shuffle's draws, which no program has so many sites to reach.
const STREAM: u32 = 0x7368_7566;

struct Draws {
    key: [u32; 2],
    epoch: [u32; 2],
    next: u32,
    block: [u32; 4],
    used: usize,
}

impl Draws {
    fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox::block([self.next, STREAM, self.epoch[0], self.epoch[1]], self.key);
            self.next = self.next.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform in `0 .. bound`, without bias (Lemire, 2019).
    fn below(&mut self, bound: u32) -> u32 {
        loop {
            let m = u64::from(self.word()) * u64::from(bound);
            if (m as u32) >= bound || (m as u32) >= bound.wrapping_neg() % bound {
                return (m >> 32) as u32;
            }
        }
    }
}

fn split(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_permutation(n in 0u32..3000, seed: u64, epoch: u64) {
            let mut p = permutation(n, seed, epoch);
            prop_assert_eq!(&p, &permutation(n, seed, epoch));
            p.sort_unstable();
            prop_assert!(p.into_iter().eq(0..n));
        }

        #[test]
        fn batches_cover_and_resume(n in 0usize..500, batch in 1u64..70, from in 0u64..80) {
            let order: Vec<u32> = (0..n as u32).collect();
            let all: Vec<&[u32]> = Batches::new(&order, batch, 0).collect();
            prop_assert_eq!(all.concat(), order.clone());
            prop_assert_eq!(all.len() as u64, Batches::count(n as u64, batch));
            let rest: Vec<&[u32]> = Batches::new(&order, batch, from).collect();
            prop_assert_eq!(&all[all.len().min(from as usize)..], &rest[..]);
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(permutation(100, 0, 0), permutation(100, 0, 1));
        assert_ne!(permutation(100, 0, 0), permutation(100, 1, 0));
        assert_ne!(permutation(100, 1, 0), permutation(100, 0, 1));
    }

    /// All 24 orders of four items over 24,000 seeds: chi-squared with 23 degrees of freedom is below 49.7 in 99.9% of
    /// such experiments, and this one is fixed.
    #[test]
    fn orders_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..24_000 {
            *counts.entry(permutation(4, seed, 3)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 49.7, "{chi}");
    }
}
