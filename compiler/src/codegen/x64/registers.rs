//! Register assignment: a linear scan over live intervals, whole values spilled to the stack frame where registers run out.
//!
//! In: a function on virtual registers. Out: a place for every virtual register. A value that is defined before a loop and
//! used in it lives to the loop's end. Constants that have no register are read from the pool at every use.

use super::vcode::{Class, Func, V};

/// Where a virtual register lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Never touched.
    None,
    /// `zmm` or `k` of this number.
    Register(u8),
    /// So many bytes into the frame.
    Frame(i32),
    /// A constant, made again at every use.
    Pool,
}

/// The assignment.
pub(super) struct Places {
    pub(super) of: Vec<Place>,
    /// Bytes of the stack frame.
    pub(super) frame: i32,
    /// Values that are not constants and live in memory.
    pub(super) spilled: usize,
}

/// Vector registers that stay free for reloading where not all values have registers; predicates likewise.
pub(super) const SCRATCH: u8 = 3;

#[derive(Clone, Copy)]
struct Interval {
    v: V,
    start: usize,
    end: usize,
    cost: f64,
}

/// Assigns.
pub(super) fn assign(f: &Func) -> Places {
    let intervals = intervals(f);
    let mut places = Places { of: vec![Place::None; f.classes.len()], frame: (f.frame + 63) & !63, spilled: 0 };
    for class in [Class::Z, Class::K] {
        let mine: Vec<Interval> = intervals.iter().filter(|i| f.classes[i.v.0 as usize] == class).copied().collect();
        // k0 cannot mask.
        let (first, last) = if class == Class::Z { (0, 31) } else { (1, 7) };
        if !scan(f, &mine, first, last, &mut places, false) {
            scan(f, &mine, first, last - SCRATCH, &mut places, true);
        }
        // Vectors come first, so they stay aligned.
        frame(&mine, if class == Class::Z { 64 } else { 8 }, &mut places);
    }
    places.frame = (places.frame + 63) & !63;
    places
}

fn intervals(f: &Func) -> Vec<Interval> {
    let mut list: Vec<Option<Interval>> = vec![None; f.classes.len()];
    let mut depth = vec![0u32; f.items.len() + 1];
    for &(from, to) in &f.loops {
        depth[from..=to].iter_mut().for_each(|d| *d += 1);
    }
    for (at, item) in f.items.iter().enumerate() {
        for (v, _) in item.touches() {
            let i = list[v.0 as usize].get_or_insert(Interval { v, start: at, end: at, cost: 0.0 });
            i.end = at;
            i.cost += f64::from(8u32.pow(depth[at].min(6)));
        }
    }
    for (v, ..) in &f.constants {
        if let Some(i) = &mut list[v.0 as usize] {
            // They are loaded right after the function's entry; making one again is cheap.
            i.start = 0;
            i.cost *= 0.3;
        }
    }
    let mut list: Vec<Interval> = list.into_iter().flatten().collect();
    for i in &mut list {
        for &(from, to) in &f.loops {
            if i.start < from && i.end >= from && i.end < to {
                i.end = to;
            }
        }
        i.cost /= (i.end - i.start + 1) as f64;
    }
    list.sort_by_key(|i| (i.start, i.v.0));
    list
}

/// Scans with registers `first..=last`. Without `spill`, gives up (`false`) where they do not do.
fn scan(f: &Func, list: &[Interval], first: u8, last: u8, places: &mut Places, spill: bool) -> bool {
    let mut free: Vec<u8> = (first..=last).rev().collect();
    let mut active: Vec<Interval> = vec![];
    for i in list {
        active.retain(|a| {
            // An instruction reads before it writes, so its result may take the place of a last operand.
            let over = a.end <= i.start;
            if let (true, Place::Register(r)) = (over, places.of[a.v.0 as usize]) {
                free.push(r);
            }
            !over
        });
        if let Some(r) = free.pop() {
            places.of[i.v.0 as usize] = Place::Register(r);
            active.push(*i);
            continue;
        }
        if !spill {
            for i in list {
                places.of[i.v.0 as usize] = Place::None;
            }
            return false;
        }
        let cheapest = active.iter().enumerate().min_by(|a, b| a.1.cost.total_cmp(&b.1.cost)).map(|(n, a)| (n, a.cost));
        match cheapest {
            Some((n, cost)) if cost < i.cost => {
                let out = active.swap_remove(n);
                places.of[i.v.0 as usize] = places.of[out.v.0 as usize];
                active.push(*i);
                to_memory(f, out.v, places);
            }
            _ => to_memory(f, i.v, places),
        }
    }
    true
}

fn to_memory(f: &Func, v: V, places: &mut Places) {
    let constant = f.constants.iter().any(|c| c.0 == v);
    places.spilled += usize::from(!constant);
    // Where in the frame is settled when all are known.
    places.of[v.0 as usize] = if constant { Place::Pool } else { Place::Frame(0) };
}

/// Gives spilled values, all of one class, their part of the frame; those that never live together may share one.
fn frame(list: &[Interval], size: i32, places: &mut Places) {
    let mut slots: Vec<(i32, usize)> = vec![];
    for i in list {
        if !matches!(places.of[i.v.0 as usize], Place::Frame(_)) {
            continue;
        }
        let at = match slots.iter_mut().find(|(_, end)| *end < i.start) {
            Some(slot) => {
                slot.1 = i.end;
                slot.0
            }
            None => {
                slots.push((places.frame, i.end));
                places.frame += size;
                places.frame - size
            }
        };
        places.of[i.v.0 as usize] = Place::Frame(at);
    }
}
