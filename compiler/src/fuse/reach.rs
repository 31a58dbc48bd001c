//! Which group comes before which.
//!
//! In: the edges between computed values, then merges of groups one by one. Out: whether one group leads to another. Two
//! groups may become one kernel only if no way between them leads through a third, and a deep program asks that thousands
//! of times; so most answers come from orders that are kept, and a search looks only at what stands between the two.

/// Groups of items in a graph without cycles, and the ways between them.
///
/// Invariant: a group ranks above every group that it depends on.
pub struct Reach {
    /// The items before and after each item.
    edges: [Vec<Vec<u32>>; 2],
    /// The group of each item.
    group: Vec<u32>,
    /// The items of each group.
    items: Vec<Vec<u32>>,
    /// A topological position of each group.
    rank: Vec<u32>,
    /// A depth-first tree over the items: those below `x` are numbered `pre[x]..end[x]`. What the tree connects is
    /// connected, though not the other way round.
    pre: Vec<u32>,
    end: Vec<u32>,
    /// The search that saw each group last.
    seen: Vec<u32>,
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
            seen: vec![0; n],
            searches: 0,
        }
    }

    /// Is there a way from `a` to `b` through a third group?
    pub fn detour(&mut self, a: u32, b: u32) -> bool {
        self.rank[a as usize] < self.rank[b as usize] && (self.tree_detour(a, b) || self.walk(a, b, AFTER).is_none())
    }

    /// Is there any way from `a` to `b`?
    pub fn reaches(&mut self, a: u32, b: u32) -> bool {
        let direct = |r: &Reach| r.next(a, AFTER).any(|g| g == b);
        self.rank[a as usize] < self.rank[b as usize] && (direct(self) || self.detour(a, b))
    }

    /// Makes `b` part of `a`; there must be no detour between them, either way.
    pub fn merge(&mut self, a: u32, b: u32) {
        // Within the ranks between the two, what leads to them moves below and what they lead to above.
        let (low, high) = if self.rank[a as usize] < self.rank[b as usize] { (a, b) } else { (b, a) };
        let mut above = self.walk(low, high, AFTER).unwrap_or_default();
        let mut below = self.walk(high, low, BEFORE).unwrap_or_default();
        for part in [&mut above, &mut below] {
            part.sort_unstable_by_key(|&g| self.rank[g as usize]);
        }
        let order: Vec<u32> = below.into_iter().chain([low, high]).chain(above).collect();
        let mut ranks: Vec<u32> = order.iter().map(|&g| self.rank[g as usize]).collect();
        ranks.sort_unstable();
        order.into_iter().zip(ranks).for_each(|(g, r)| self.rank[g as usize] = r);
        let moved = std::mem::take(&mut self.items[b as usize]);
        moved.iter().for_each(|&x| self.group[x as usize] = a);
        self.items[a as usize].extend(moved);
    }

    /// Groups on the other end of a group's edges, itself included.
    fn next(&self, g: u32, way: usize) -> impl Iterator<Item = u32> + '_ {
        self.items[g as usize].iter().flat_map(move |&x| &self.edges[way][x as usize]).map(|&y| self.group[y as usize])
    }

    /// Does the tree show a way through a third group?
    fn tree_detour(&self, a: u32, b: u32) -> bool {
        let mut ends: Vec<u32> = self.items[b as usize].iter().map(|&x| self.pre[x as usize]).collect();
        ends.sort_unstable();
        self.items[a as usize].iter().flat_map(|&x| &self.edges[AFTER][x as usize]).any(|&u| {
            let (g, from, to) = (self.group[u as usize], self.pre[u as usize], self.end[u as usize]);
            g != a && g != b && ends.get(ends.partition_point(|&p| p < from)).is_some_and(|&p| p < to)
        })
    }

    /// The groups that `from` leads to, ranked between the two; nothing if one of them leads on to `to`. A group is
    /// crossed as a whole: entering one item means that all of it must wait.
    fn walk(&mut self, from: u32, to: u32, way: usize) -> Option<Vec<u32>> {
        self.searches += 1;
        let (x, y) = (self.rank[from as usize], self.rank[to as usize]);
        let between = x.min(y) + 1..x.max(y);
        let (mut found, mut at) = (vec![from], 0);
        while let Some(&g) = found.get(at) {
            at += 1;
            for x in 0..self.items[g as usize].len() {
                for &u in &self.edges[way][self.items[g as usize][x] as usize] {
                    let n = self.group[u as usize];
                    if n == to && g != from {
                        return None;
                    }
                    if between.contains(&self.rank[n as usize]) && self.seen[n as usize] != self.searches {
                        self.seen[n as usize] = self.searches;
                        found.push(n);
                    }
                }
            }
        }
        found.remove(0);
        Some(found)
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
