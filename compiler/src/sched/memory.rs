//! Addresses of temporaries: one arena, planned before anything runs.
//!
//! In: launches with barriers. Out: an offset for every temporary and the size of the arena. Launches between two barriers
//! run at the same time, so a buffer lives in whole rounds; two buffers share memory only if no round holds both.

use crate::kernel::ir::{Arena, Buffer, KernelProgram, Launch};
use std::fmt::Write;

/// Alignment of every buffer: a cache line and a vector.
pub const ALIGN: u64 = 64;

/// The rounds a buffer is needed in, first and last.
pub fn lives(buffers: &[Buffer], launches: &[Launch]) -> Vec<Option<(u32, u32)>> {
    let mut lives: Vec<Option<(u32, u32)>> = vec![None; buffers.len()];
    let mut round = 0;
    for l in launches {
        round += u32::from(l.barrier);
        for b in l.segments.iter().flat_map(|s| &s.buffers) {
            let life = &mut lives[b.0 as usize];
            *life = Some(life.map_or((round, round), |(from, to)| {
                (from, if nn_runtime::mutant!("sched.lives") { to } else { round })
            }));
        }
    }
    lives
}

/// Plans the temp arena; returns its bytes.
pub fn plan(buffers: &mut [Buffer], launches: &[Launch]) -> u64 {
    let lives = lives(buffers, launches);
    let bytes = |b: &Buffer| (b.len * b.dtype.bytes() as u64).next_multiple_of(ALIGN).max(ALIGN);
    let mut todo: Vec<usize> = (0..buffers.len()).filter(|&i| buffers[i].arena == Arena::Temp).collect();
    // Largest first: small buffers then fill the gaps that large ones leave.
    todo.sort_by_key(|&i| (std::cmp::Reverse(bytes(&buffers[i])), i));
    // Places and lives, by place: a deep program has thousands that live at once, so they are kept in order.
    let mut placed: Vec<(u64, u64, u32, u32)> = vec![];
    let mut total = 0;
    for i in todo {
        let Some((from, to)) = lives[i] else { continue };
        let need = bytes(&buffers[i]);
        let (mut end, mut best): (u64, Option<(u64, u64)>) = (0, None);
        for &(a, b, ..) in placed.iter().filter(|p| p.2 <= to && from <= p.3) {
            if a >= end + need && best.is_none_or(|(gap, _)| a - end < gap) {
                best = Some((a - end, end));
            }
            end = end.max(b);
        }
        let offset = best.map_or(end, |(_, at)| at);
        buffers[i].offset = offset;
        total = total.max(offset + need);
        let place = (offset, offset + need, from, to);
        placed.insert(placed.partition_point(|p| *p < place), place);
    }
    total
}

/// The plan as text: one line per temporary, in address order.
pub fn print(p: &KernelProgram) -> String {
    let lives = lives(&p.buffers, &p.launches);
    let mut rows: Vec<usize> = (0..p.buffers.len()).filter(|&i| p.buffers[i].arena == Arena::Temp).collect();
    rows.sort_by_key(|&i| (p.buffers[i].offset, lives[i]));
    let mut s = format!("temp {} bytes\n", p.temp_bytes);
    for i in rows {
        let b = &p.buffers[i];
        let life = lives[i].map_or("never".to_owned(), |(a, z)| format!("rounds {a}..{z}"));
        let _ = writeln!(s, "  @{:<10} {:<24} {}[{}]  {life}", b.offset, b.name, b.dtype, b.len);
    }
    s
}
