//! Addresses of temporaries: one arena, planned before anything runs.
//!
//! In: statements with barriers. Out: an offset for every temporary and the size of the arena. Launches between two barriers
//! run at the same time, so a buffer lives in whole rounds; two buffers share memory only if no round holds both.

use crate::kernel::ir::{Arena, Buffer, BufferId, KernelProgram, Stmt, View};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Alignment of every buffer: a cache line and a vector.
pub const ALIGN: u64 = 64;

/// The rounds a buffer is needed in, first and last.
pub fn lives(buffers: &[Buffer], body: &[Stmt]) -> Vec<Option<(u32, u32)>> {
    let mut l = Lives { lives: vec![None; buffers.len()], uses: vec![0; buffers.len()], round: 0, loops: vec![] };
    l.walk(body, &mut vec![]);
    let Lives { mut lives, uses, loops, .. } = l;
    for s in loops {
        for (b, u) in s.inside {
            let life = &mut lives[b.0 as usize];
            let Some((from, to)) = *life else { continue };
            // What one step leaves to another, or to what is around them, lives through all of them. The first round of a
            // step runs beside the last one of the step before.
            let first = s.rounds.0 < s.rounds.1 && u.first;
            if u.moves || first || u.count < uses[b.0 as usize] {
                *life = Some((from.min(s.rounds.0), to.max(s.rounds.1)));
            }
        }
    }
    lives
}

/// What a sequence uses of a buffer.
#[derive(Clone, Copy, Default)]
struct Inside {
    count: u32,
    /// Is somewhere else in each step.
    moves: bool,
    /// Used before the first barrier of a step.
    first: bool,
}

/// A sequence that was walked through.
struct Walked {
    rounds: (u32, u32),
    inside: BTreeMap<BufferId, Inside>,
}

struct Lives {
    lives: Vec<Option<(u32, u32)>>,
    uses: Vec<u32>,
    round: u32,
    loops: Vec<Walked>,
}

impl Lives {
    fn walk(&mut self, body: &[Stmt], around: &mut Vec<Walked>) {
        for s in body {
            match s {
                Stmt::Launch(l) => {
                    self.round += u32::from(l.barrier);
                    l.segments.iter().flat_map(|s| &s.views).for_each(|v| self.touch(v, around));
                }
                Stmt::Seq(s) => {
                    self.round += u32::from(s.barrier);
                    around.push(Walked { rounds: (self.round, self.round), inside: BTreeMap::new() });
                    self.walk(&s.body, around);
                    if let Some(mut w) = around.pop() {
                        w.rounds.1 = self.round;
                        self.loops.push(w);
                    }
                }
            }
        }
    }

    fn touch(&mut self, v: &View, around: &mut [Walked]) {
        let (b, round) = (v.buf.0 as usize, self.round);
        let life = &mut self.lives[b];
        *life =
            Some(life.map_or((round, round), |(from, to)| {
                (from, if nn_runtime::mutant!("sched.lives") { to } else { round })
            }));
        self.uses[b] += 1;
        for (depth, w) in around.iter_mut().enumerate() {
            let inside = w.inside.entry(v.buf).or_default();
            inside.count += 1;
            inside.moves |= v.stride(depth as u32) != 0;
            inside.first |= round == w.rounds.0;
        }
    }
}

/// Plans the temp arena; returns its bytes.
pub fn plan(buffers: &mut [Buffer], body: &[Stmt]) -> u64 {
    let lives = lives(buffers, body);
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
    let lives = lives(&p.buffers, &p.body);
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
