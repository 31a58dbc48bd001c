//! Checks a memory plan, sharing no code with what made it.
//!
//! In: a program. Out: every way in which its buffers could disturb each other: overlap in space at the same time, a
//! temporary read before it is written, a slot read after it was overwritten, two threads at one buffer with no barrier
//! between them.

use crate::kernel::ir::{Arena, Buffer, KernelProgram, Role, Split};

/// All violations; empty means that the plan is sound.
pub fn check(p: &KernelProgram) -> Vec<String> {
    let mut errors = vec![];
    let bytes = |b: &Buffer| b.len * b.dtype.bytes() as u64;
    let overlap =
        |a: &Buffer, b: &Buffer| a.arena == b.arena && a.offset < b.offset + bytes(b) && b.offset < a.offset + bytes(a);
    for (i, b) in p.buffers.iter().enumerate() {
        if b.offset % 64 != 0 {
            errors.push(format!("{}: offset {} is not aligned", b.name, b.offset));
        }
        if b.arena == Arena::Temp && b.offset + bytes(b) > p.temp_bytes {
            errors.push(format!("{}: ends past the arena", b.name));
        }
        if b.arena != Arena::Temp {
            let twin = p.buffers[..i].iter().find(|a| overlap(a, b));
            if let Some(a) = twin {
                errors.push(format!("{} and {} overlap", a.name, b.name));
            }
        }
    }
    // Bytes of a temporary belong to the buffer that last wrote them.
    let mut owner: Vec<Option<usize>> = vec![None; (p.temp_bytes / 64) as usize];
    let mut overwritten = vec![false; p.buffers.len()];
    // Since the last barrier: buffer, written, run by one thread.
    let mut open: Vec<(usize, bool, bool)> = vec![];
    for (n, l) in p.launches.iter().enumerate() {
        let k = &p.kernels[l.kernel as usize];
        if l.barrier {
            open.clear();
        }
        let one = k.split == Split::None;
        let uses = |write: bool| {
            let args = &k.args;
            l.segments.iter().flat_map(move |s| {
                let wanted = move |r: Role| if write { r != Role::In } else { r != Role::Out };
                args.iter().zip(&s.buffers).filter(move |(a, _)| wanted(a.role)).map(|(_, b)| b.0 as usize)
            })
        };
        let lines = |b: usize| {
            let b = &p.buffers[b];
            b.offset as usize / 64..((b.offset + bytes(b)).div_ceil(64) as usize)
        };
        for b in uses(false) {
            if p.buffers[b].arena == Arena::Temp && lines(b).any(|at| owner.get(at) != Some(&Some(b))) {
                errors.push(format!("launch {n} ({}) reads {} where it is not", k.name, p.buffers[b].name));
            }
            if overwritten[b] {
                errors.push(format!("launch {n} ({}) reads {} after it was overwritten", k.name, p.buffers[b].name));
            }
        }
        for (write, b) in uses(false).map(|b| (false, b)).chain(uses(true).map(|b| (true, b))) {
            let meets =
                |o: &&(usize, bool, bool)| (o.1 || write) && overlap(&p.buffers[o.0], &p.buffers[b]) && !(o.2 && one);
            if let Some(o) = open.iter().find(meets) {
                errors.push(format!(
                    "launch {n} ({}) meets {} at {} with no barrier",
                    k.name, p.buffers[o.0].name, p.buffers[b].name
                ));
            }
        }
        for b in uses(true).collect::<Vec<_>>() {
            match p.buffers[b].arena {
                Arena::Temp => lines(b).for_each(|at| {
                    if let Some(o) = owner.get_mut(at) {
                        *o = Some(b);
                    }
                }),
                Arena::Param | Arena::State => overwritten[b] = true,
                Arena::Output => {}
                a => errors.push(format!("launch {n} ({}) writes {} in {a:?}", k.name, p.buffers[b].name)),
            }
            open.push((b, true, one));
        }
        open.extend(uses(false).map(|b| (b, false, one)));
    }
    errors
}
