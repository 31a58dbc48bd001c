//! When two groups may become one kernel, and the iteration space of the result.
//!
//! In: two groups. Out: their union over one set of variables, or nothing. Every read of one group from the other must be
//! at exactly the element that the same iteration computes; variables of the two are bound to each other to make it so.

use super::group::{Anchor, Group, MAX_CUTS, Member};
use super::index::{Ix, Lin, Marks, strides};
use super::nodes::{Nodes, lins_or_none};
use crate::graph::graph::ValueId;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The union of a producer and a consumer that reads it.
pub fn vertical(nodes: &Nodes, a: &Group, b: &Group) -> Option<Group> {
    let mut finer: Option<Group> = None;
    for _ in 0..MAX_CUTS {
        let b = finer.as_ref().unwrap_or(b);
        let Some((v, n)) = cut(nodes, a, b) else { break };
        finer = Some(b.refined(v, n));
    }
    let b = finer.as_ref().unwrap_or(b);
    let mut u = Unifier::new(a, b)?;
    for (&v, m) in &b.members {
        if !nodes.deps[v.idx()].iter().any(|d| a.members.contains_key(d)) {
            continue;
        }
        for d in nodes.demands(v, m, &mut Marks(&b.sizes)) {
            let Some(p) = a.members.get(&d.leaf) else { continue };
            if d.hard {
                return None;
            }
            let at = lins_or_none(&d.at)?;
            for (x, y) in p.map.iter().zip(&at) {
                u.unify(x.clone(), u.shift(y))?;
            }
        }
    }
    u.bind_rest(a, b)?;
    finish(nodes, u.merged(a, b)?)
}

/// Where a variable of the consumer must be cut in two to read the producer at single elements of its axes.
fn cut(nodes: &Nodes, a: &Group, b: &Group) -> Option<(u32, u64)> {
    let reads = b.members.iter().filter(|(v, _)| nodes.deps[v.idx()].iter().any(|d| a.members.contains_key(d)));
    let mut all = reads.flat_map(|(&v, m)| nodes.demands(v, m, &mut Marks(&b.sizes)));
    all.find_map(|d| d.at.iter().filter(|_| !d.hard && a.members.contains_key(&d.leaf)).find_map(|ix| ix.cut(&b.sizes)))
}

/// The union of two groups that do not depend on each other but have the same iteration space, lined up by a value that
/// both read, or by position if they read none in common.
pub fn horizontal(nodes: &Nodes, a: &Group, b: &Group, shared: Option<(&Place, &Place)>) -> Option<Group> {
    if a.sizes.len() != b.sizes.len() {
        return None;
    }
    let mut u = Unifier::new(a, b)?;
    if let Some((x, y)) = shared {
        for (x, y) in x.iter().zip(y) {
            u.unify(x.clone(), u.shift(y))?;
        }
    }
    for (i, &n) in b.sizes.iter().enumerate() {
        let v = a.sizes.len() as u32 + i as u32;
        if u.subst[v as usize].is_none() && u.free(v) {
            if a.sizes[i] != n || a.reduced[i] != b.reduced[i] || !u.free(i as u32) {
                return None;
            }
            u.unify(Lin::var(i as u32), Lin::var(v))?;
        }
    }
    finish(nodes, u.merged(a, b)?)
}

/// Which element of a value is read.
pub type Place = SmallVec<[Lin; 4]>;
/// Values that a group reads from elsewhere, each at an affine place that depends on the iteration.
pub type Reads = BTreeMap<ValueId, Place>;

/// What a group reads from elsewhere.
pub fn reads(nodes: &Nodes, g: &Group) -> Reads {
    let mut out = Reads::new();
    for (&v, m) in &g.members {
        for d in nodes.demands(v, m, &mut Marks(&g.sizes)) {
            if let (false, Some(at)) = (g.members.contains_key(&d.leaf), lins_or_none(&d.at)) {
                if at.iter().any(|l| !l.terms.is_empty()) {
                    out.entry(d.leaf).or_insert(at);
                }
            }
        }
    }
    out
}

/// Variables of two groups side by side, and what they were bound to.
struct Unifier {
    sizes: Vec<u64>,
    subst: Vec<Option<Lin>>,
    /// Appears in a binding, so that it cannot be bound itself.
    used: Vec<bool>,
    first: u32,
}

impl Unifier {
    fn new(a: &Group, b: &Group) -> Option<Unifier> {
        if a.anchor.is_some() && b.anchor.is_some() {
            return None;
        }
        let sizes: Vec<u64> = a.sizes.iter().chain(&b.sizes).copied().collect();
        let n = sizes.len();
        Some(Unifier { sizes, subst: vec![None; n], used: vec![false; n], first: a.sizes.len() as u32 })
    }

    /// A function of `b`'s variables in the joint numbering.
    fn shift(&self, l: &Lin) -> Lin {
        Lin { c: l.c, terms: l.terms.iter().map(|&(v, k)| (v + self.first, k)).collect() }
    }

    fn free(&self, v: u32) -> bool {
        self.subst[v as usize].is_none() && !self.used[v as usize]
    }

    fn resolve(&self, l: &Lin) -> Lin {
        l.subst(|v| self.subst[v as usize].clone())
    }

    /// Makes two functions equal.
    fn unify(&mut self, x: Lin, y: Lin) -> Option<()> {
        let (x, y) = (self.resolve(&x), self.resolve(&y));
        if x == y {
            return Some(());
        }
        for (one, other) in [(&y, &x), (&x, &y)] {
            if let Some(v) = one.as_var() {
                if self.free(v)
                    && other.coeff(v) == 0
                    && other.counts_to(self.sizes[v as usize], &self.sizes)
                    && !other.terms.is_empty()
                {
                    other.terms.iter().for_each(|t| self.used[t.0 as usize] = true);
                    self.subst[v as usize] = Some(other.clone());
                    return Some(());
                }
            }
        }
        None
    }

    /// Binds what the reads left open: a reduced axis of the producer is the consumer's axis of that size.
    fn bind_rest(&mut self, a: &Group, b: &Group) -> Option<()> {
        for y in 0..b.sizes.len() {
            let vy = self.first + y as u32;
            if !self.free(vy) {
                continue;
            }
            let fits = |&x: &usize| self.free(x as u32) && a.sizes[x] == b.sizes[y];
            // A consumer with an axis that the producer lacks would compute the producer again along it.
            let x = (0..a.sizes.len()).filter(|&x| a.reduced[x]).find(fits)?;
            self.unify(Lin::var(x as u32), Lin::var(vy))?;
        }
        // What is left in the producer is reduced there, and the consumer reads the reduced value only.
        (0..a.sizes.len()).all(|x| !self.free(x as u32) || a.reduced[x]).then_some(())
    }

    /// Each group must keep its whole space: no two of its variables may have become one (a diagonal).
    fn injective(&self) -> bool {
        let first = self.first as usize;
        [0..first, first..self.sizes.len()].into_iter().all(|side| {
            let mut seen = vec![false; self.sizes.len()];
            side.into_iter().all(|v| {
                let image = self.resolve(&Lin::var(v as u32));
                image.terms.iter().all(|t| !std::mem::replace(&mut seen[t.0 as usize], true))
            })
        })
    }

    /// Both groups over the variables that are left.
    fn merged(&self, a: &Group, b: &Group) -> Option<Group> {
        if !self.injective() && !nn_runtime::mutant!("fuse.injective") {
            return None;
        }
        let mut renumber = vec![0u32; self.sizes.len()];
        let (mut sizes, mut reduced) = (vec![], vec![]);
        let flag = |v: usize| if v < a.sizes.len() { a.reduced[v] } else { b.reduced[v - a.sizes.len()] };
        for v in 0..self.sizes.len() {
            if self.subst[v].is_none() {
                renumber[v] = sizes.len() as u32;
                sizes.push(self.sizes[v]);
                reduced.push(flag(v));
            }
        }
        let last = |l: &Lin| self.resolve(l).subst(|v| Some(Lin::var(renumber[v as usize])));
        for v in 0..self.sizes.len() {
            if self.subst[v].is_some() && flag(v) {
                last(&Lin::var(v as u32)).terms.iter().for_each(|t| reduced[t.0 as usize] = true);
            }
        }
        let mut members = BTreeMap::new();
        for (&v, m) in &a.members {
            let on = |l: &Lin| last(l);
            members.insert(v, Member { map: m.map.iter().map(on).collect(), red: m.red.iter().map(on).collect() });
        }
        for (&v, m) in &b.members {
            let on = |l: &Lin| last(&self.shift(l));
            members.insert(v, Member { map: m.map.iter().map(on).collect(), red: m.red.iter().map(on).collect() });
        }
        Some(Group { sizes, reduced, members, anchor: a.anchor.or(b.anchor), update: a.update || b.update })
    }
}

/// The group, if it is one kernel.
fn finish(nodes: &Nodes, g: Group) -> Option<Group> {
    let vars = |ls: &[Lin]| -> Vec<bool> {
        let mut on = vec![false; g.sizes.len()];
        ls.iter().flat_map(|l| &l.terms).for_each(|t| on[t.0 as usize] = true);
        on
    };
    let kept: Vec<bool> = g.reduced.iter().map(|r| !r).collect();
    let all = vec![true; g.sizes.len()];
    let any_reduced = g.reduced.contains(&true);
    for m in g.members.values() {
        // Every reduction runs over the same axes, and every other member is per iteration or per row.
        if !m.red.is_empty() && vars(&m.red) != g.reduced && !nn_runtime::mutant!("fuse.same_axes") {
            return None;
        }
        let on = vars(&m.map);
        if on != all && on != kept {
            return None;
        }
    }
    match g.anchor {
        // A tile of a contraction never holds whole rows; running values along an axis leave no room for reductions.
        Some(Anchor::Dot(_) | Anchor::Order(_) | Anchor::Scatter(_)) if any_reduced => return None,
        Some(Anchor::Rng(_)) if any_reduced || !is_flat(nodes, &g) => return None,
        _ => {}
    }
    for (&v, m) in &g.members {
        for d in nodes.demands(v, m, &mut Marks(&g.sizes)) {
            if let Some(p) = g.members.get(&d.leaf) {
                let same = |(l, ix): (&Lin, &Ix)| matches!(ix, Ix::Lin(x) if x == l);
                if d.hard || !p.map.iter().zip(&d.at).all(same) {
                    return None;
                }
            }
        }
    }
    Some(g)
}

/// Random bits come in one row of elements: everything else must be read by the same flat index, or be one element.
fn is_flat(nodes: &Nodes, g: &Group) -> bool {
    let flat = |map: &[Lin], shape: &[u64]| {
        let mut f = Lin::default();
        map.iter().zip(strides(shape)).for_each(|(l, s)| f.add_scaled(l, s));
        f
    };
    let Some(Anchor::Rng(v)) = g.anchor else { return true };
    let want = flat(&g.members[&v].map, &nodes.g.ty(v).shape);
    g.members.iter().all(|(&v, m)| {
        flat(&m.map, &nodes.g.ty(v).shape) == want
            && nodes.demands(v, m, &mut Marks(&g.sizes)).iter().all(|d| {
                lins_or_none(&d.at).is_some_and(|at| {
                    let f = flat(&at, &nodes.g.ty(d.leaf).shape);
                    f == want || f.terms.is_empty()
                })
            })
    })
}
