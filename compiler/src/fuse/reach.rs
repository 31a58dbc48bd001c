//! Which group comes before which.
//!
//! In: the edges between computed values, then merges of groups one by one. Out: whether one group leads to another. Two
//! groups may become one kernel only if no way between them leads through a third, and a deep program asks that thousands
//! of times, as scheduling does of launches; so most answers come from orders that are kept, and a search looks only at what stands between the two.

use std::ops::Range;

/// Groups of items in a graph without cycles, and the ways between them.
///
/// Invariant: a group ranks above every group that it depends on.
pub struct Reach {
    /// The items before and after each item.
    edges: [Vec<Vec<u32>>; 2],
    /// The group of each item.
    group: Vec<u32>,
    /// The items of each group, by `pre`.
    items: Vec<Vec<u32>>,
    /// A topological position of each group.
    rank: Vec<u32>,
    /// A depth-first tree over the items: those below `x` are numbered `pre[x]..end[x]`. What the tree connects is
    /// connected, though not the other way round.
    pre: Vec<u32>,
    end: Vec<u32>,
    /// The search that saw each group last, in each direction.
    seen: [Vec<u32>; 2],
    searches: u32,
}

const BEFORE: usize = 0;
const AFTER: usize = 1;

impl Reach {
    /// Every item is a group of its own, by its number. `deps[x]` are items before `x`.
    pub fn new(deps: Vec<Vec<u32>>) -> Reach {
        let n = deps.len();
        let all = || 0..n as u32;
        let mut users = vec![vec![]; n];
        for x in all() {
            deps[x as usize].iter().for_each(|&d| users[d as usize].push(x));
        }
        let (pre, end) = tree(&users);
        let items = all().map(|x| vec![x]).collect();
        Reach {
            edges: [deps, users],
            group: all().collect(),
            items,
            rank: all().collect(),
            pre,
            end,
            seen: [vec![0; n], vec![0; n]],
            searches: 0,
        }
    }

    /// Is there a way from `a` to `b` through a third group?
    pub fn detour(&mut self, a: u32, b: u32) -> bool {
        self.rank[a as usize] < self.rank[b as usize] && (self.tree_detour(a, b) || self.meet(a, b))
    }

    /// Is there any way from `a` to `b`?
    pub fn reaches(&mut self, a: u32, b: u32) -> bool {
        let direct = |r: &Reach| r.next(a, AFTER).any(|g| g == b);
        self.rank[a as usize] < self.rank[b as usize] && (direct(self) || self.detour(a, b))
    }

    /// Makes `b` part of `a`; there must be no detour between them, either way.
    pub fn merge(&mut self, a: u32, b: u32) {
        let (low, high) = if self.rank[a as usize] < self.rank[b as usize] { (a, b) } else { (b, a) };
        let between = self.rank[low as usize] + 1..self.rank[high as usize];
        let leads = |r: &Reach, g, way| r.next(g, way).any(|n| between.contains(&r.rank[n as usize]));
        self.rank[a as usize] = if !leads(self, low, AFTER) {
            self.rank[high as usize]
        } else if !leads(self, high, BEFORE) {
            self.rank[low as usize]
        } else {
            self.part(low, high)
        };
        let moved = std::mem::take(&mut self.items[b as usize]);
        moved.iter().for_each(|&x| self.group[x as usize] = a);
        self.items[a as usize].extend(moved);
        self.items[a as usize].sort_by_key(|&x| self.pre[x as usize]);
    }

    /// Makes two groups neighbors: within the ranks between them, what leads to them moves below and what they lead to
    /// above. Returns a rank between these parts.
    fn part(&mut self, low: u32, high: u32) -> u32 {
        let (mut above, mut below) = (self.walk(low, high, AFTER), self.walk(high, low, BEFORE));
        for part in [&mut above, &mut below] {
            part.sort_unstable_by_key(|&g| self.rank[g as usize]);
        }
        let at = below.len();
        let order: Vec<u32> = below.into_iter().chain([low, high]).chain(above).collect();
        let mut ranks: Vec<u32> = order.iter().map(|&g| self.rank[g as usize]).collect();
        ranks.sort_unstable();
        order.into_iter().zip(&ranks).for_each(|(g, &r)| self.rank[g as usize] = r);
        ranks[at]
    }

    /// Groups on the other end of a group's edges, itself included.
    fn next(&self, g: u32, way: usize) -> impl Iterator<Item = u32> + '_ {
        self.items[g as usize].iter().flat_map(move |&x| &self.edges[way][x as usize]).map(|&y| self.group[y as usize])
    }

    /// Does the tree show a way through a third group?
    fn tree_detour(&self, a: u32, b: u32) -> bool {
        let (ends, pre) = (&self.items[b as usize], |x: u32| self.pre[x as usize]);
        self.items[a as usize].iter().flat_map(|&x| &self.edges[AFTER][x as usize]).any(|&u| {
            let (g, from, to) = (self.group[u as usize], pre(u), self.end[u as usize]);
            g != a && g != b && ends.get(ends.partition_point(|&x| pre(x) < from)).is_some_and(|&x| pre(x) < to)
        })
    }

    /// Does what `a` leads to meet what leads to `b`? The two searches take turns, so that the shorter one decides.
    fn meet(&mut self, a: u32, b: u32) -> bool {
        self.searches += 1;
        let between = self.rank[a as usize] + 1..self.rank[b as usize];
        let mut found = [vec![b], vec![a]];
        let mut at = 0;
        loop {
            for way in [BEFORE, AFTER] {
                let Some(&g) = found[way].get(at) else { return false };
                if self.step(g, way, &between, &mut found[way]) {
                    return true;
                }
            }
            at += 1;
        }
    }

    /// The groups that `from` leads to, ranked between the two.
    fn walk(&mut self, from: u32, to: u32, way: usize) -> Vec<u32> {
        self.searches += 1;
        let (x, y) = (self.rank[from as usize], self.rank[to as usize]);
        let between = x.min(y) + 1..x.max(y);
        let (mut found, mut at) = (vec![from], 0);
        while let Some(&g) = found.get(at) {
            at += 1;
            self.step(g, way, &between, &mut found);
        }
        found.remove(0);
        found
    }

    /// Adds the neighbors of a group, and says whether this search saw one of them from the other end. A group is crossed
    /// as a whole: entering one item means that all of it must wait.
    fn step(&mut self, g: u32, way: usize, between: &Range<u32>, found: &mut Vec<u32>) -> bool {
        for &x in &self.items[g as usize] {
            for &u in &self.edges[way][x as usize] {
                let n = self.group[u as usize];
                if !between.contains(&self.rank[n as usize]) || self.seen[way][n as usize] == self.searches {
                    continue;
                }
                if self.seen[1 - way][n as usize] == self.searches {
                    return true;
                }
                self.seen[way][n as usize] = self.searches;
                found.push(n);
            }
        }
        false
    }
}

/// Numbers of a depth-first walk: of each item, and one past the items below it.
fn tree(users: &[Vec<u32>]) -> (Vec<u32>, Vec<u32>) {
    let n = users.len();
    let (mut pre, mut end) = (vec![u32::MAX; n], vec![0; n]);
    let mut next = 0;
    let mut path: Vec<(usize, usize)> = vec![];
    for root in 0..n {
        if pre[root] != u32::MAX {
            continue;
        }
        path.push((root, 0));
        while let Some((x, i)) = path.last_mut() {
            if *i == 0 {
                pre[*x] = next;
                next += 1;
            }
            let users = users[*x].get(*i..).unwrap_or_default();
            match users.iter().position(|&u| pre[u as usize] == u32::MAX) {
                Some(k) => {
                    let u = users[k] as usize;
                    *i += k + 1;
                    path.push((u, 0));
                }
                None => {
                    end[*x] = next;
                    path.pop();
                }
            }
        }
    }
    (pre, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain definition, over groups of items.
    fn leads(deps: &[Vec<u32>], group: &[u32], a: u32, b: u32, third: bool) -> bool {
        let n = deps.len();
        let mut seen = vec![false; n];
        let mut todo = vec![a];
        while let Some(g) = todo.pop() {
            for u in 0..n {
                let h = group[u];
                let edge = h != g && deps[u].iter().any(|&d| group[d as usize] == g);
                if edge && h == b && (g != a || !third) {
                    return true;
                }
                if edge && h != b && h != a && !std::mem::replace(&mut seen[h as usize], true) {
                    todo.push(h);
                }
            }
        }
        false
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            edges in prop::collection::vec((0u32..24, 0u32..24), 0..60),
            asks in prop::collection::vec((0u32..24, 0u32..24), 1..80),
        ) {
            let mut deps = vec![vec![]; 24];
            for (x, y) in edges {
                if x != y {
                    deps[x.max(y) as usize].push(x.min(y));
                }
            }
            let mut r = Reach::new(deps.clone());
            let mut group: Vec<u32> = (0..24).collect();
            for (x, y) in asks {
                let (a, b) = (group[x as usize], group[y as usize]);
                if a == b {
                    continue;
                }
                let (there, back) = (leads(&deps, &group, a, b, true), leads(&deps, &group, b, a, true));
                prop_assert_eq!(r.detour(a, b), there);
                prop_assert_eq!(r.detour(b, a), back);
                prop_assert_eq!(r.reaches(a, b), leads(&deps, &group, a, b, false));
                if !there && !back {
                    r.merge(a, b);
                    group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
                }
            }
        }
    }
}
