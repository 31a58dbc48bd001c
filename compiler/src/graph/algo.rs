//! petgraph's algorithms over the arena, through its visit traits: orders, components, dominators, DOT.
//!
//! The arena is the graph; [`View`] only lends it, with the users of every value. Edges go from operands to users; an
//! operand used twice by one node has two edges to it.

use super::graph::{Graph, Node, ValueId};
use petgraph::Direction;
use petgraph::algo::dominators::{Dominators, simple_fast};
use petgraph::dot::{Config, Dot};
use petgraph::visit::*;

/// A graph with its users, as petgraph sees it.
pub struct View<'g> {
    graph: &'g Graph,
    users: Vec<Vec<ValueId>>,
}

impl<'g> View<'g> {
    /// Collects the users of every value, in order; a value used twice by one node has that user twice.
    pub fn new(graph: &'g Graph) -> Self {
        let mut users = vec![vec![]; graph.nodes.len()];
        for v in graph.values() {
            for x in graph.inputs(v) {
                users[x.idx()].push(v);
            }
        }
        View { graph, users }
    }

    /// The nodes that use a value.
    pub fn users(&self, v: ValueId) -> &[ValueId] {
        &self.users[v.idx()]
    }
}

/// A topological order; `None` if the graph has a cycle, which the verifier rules out.
pub fn topological(g: &Graph) -> Option<Vec<ValueId>> {
    petgraph::algo::toposort(&View::new(g), None).ok()
}

/// Strongly connected components; all of one value in a valid graph.
pub fn components(g: &Graph) -> Vec<Vec<ValueId>> {
    petgraph::algo::tarjan_scc(&View::new(g))
}

/// What every path from a value to anything it leads to passes: dominators from `root` along the flow.
pub fn dominators(g: &Graph, root: ValueId) -> Dominators<ValueId> {
    simple_fast(&View::new(g), root)
}

/// The graph in DOT, for `dot -Tsvg`.
pub fn dot(g: &Graph) -> String {
    let view = View::new(g);
    let names = super::print::value_names(g);
    let label = |_: &View<'_>, (v, node): (ValueId, &Node)| {
        format!("label=\"{}\\n{} {}\"", names[v.idx()], node.op.name(), node.ty)
    };
    let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
    let edge = |_: &View<'_>, _| String::new();
    format!("{:?}", Dot::with_attr_getters(&&view, &config, &|v, e| edge(v, e), &|v, n| label(v, n)))
}

/// An edge's weight: nothing.
static UNIT: () = ();

impl GraphBase for View<'_> {
    type NodeId = ValueId;
    type EdgeId = (ValueId, ValueId);
}

impl GraphProp for View<'_> {
    type EdgeType = petgraph::Directed;
}

impl Data for View<'_> {
    type NodeWeight = Node;
    type EdgeWeight = ();
}

impl NodeCount for View<'_> {
    fn node_count(&self) -> usize {
        self.graph.nodes.len()
    }
}

impl NodeIndexable for View<'_> {
    fn node_bound(&self) -> usize {
        self.graph.nodes.len()
    }
    fn to_index(&self, v: ValueId) -> usize {
        v.idx()
    }
    fn from_index(&self, i: usize) -> ValueId {
        ValueId(i as u32)
    }
}

impl NodeCompactIndexable for View<'_> {}

impl Visitable for View<'_> {
    type Map = Vec<bool>;
    fn visit_map(&self) -> Vec<bool> {
        vec![false; self.graph.nodes.len()]
    }
    fn reset_map(&self, map: &mut Vec<bool>) {
        map.clear();
        map.resize(self.graph.nodes.len(), false);
    }
}

impl VisitMap<ValueId> for Vec<bool> {
    fn visit(&mut self, v: ValueId) -> bool {
        !std::mem::replace(&mut self[v.idx()], true)
    }
    fn is_visited(&self, v: &ValueId) -> bool {
        self[v.idx()]
    }
    fn unvisit(&mut self, v: ValueId) -> bool {
        std::mem::replace(&mut self[v.idx()], false)
    }
}

impl<'a> IntoNeighbors for &'a View<'_> {
    type Neighbors = std::iter::Copied<std::slice::Iter<'a, ValueId>>;
    fn neighbors(self, v: ValueId) -> Self::Neighbors {
        self.users[v.idx()].iter().copied()
    }
}

impl<'a> IntoNeighborsDirected for &'a View<'_> {
    type NeighborsDirected = std::iter::Copied<std::slice::Iter<'a, ValueId>>;
    fn neighbors_directed(self, v: ValueId, d: Direction) -> Self::NeighborsDirected {
        match d {
            Direction::Outgoing => self.users[v.idx()].iter().copied(),
            Direction::Incoming => self.graph.inputs(v).iter().copied(),
        }
    }
}

impl IntoNodeIdentifiers for &View<'_> {
    type NodeIdentifiers = std::iter::Map<std::ops::Range<u32>, fn(u32) -> ValueId>;
    fn node_identifiers(self) -> Self::NodeIdentifiers {
        (0..self.graph.nodes.len() as u32).map(ValueId)
    }
}

impl<'a> IntoNodeReferences for &'a View<'_> {
    type NodeRef = (ValueId, &'a Node);
    type NodeReferences = Box<dyn Iterator<Item = (ValueId, &'a Node)> + 'a>;
    fn node_references(self) -> Self::NodeReferences {
        Box::new(self.graph.values().zip(&self.graph.nodes))
    }
}

impl<'a> IntoEdgeReferences for &'a View<'_> {
    type EdgeRef = (ValueId, ValueId, &'a ());
    type EdgeReferences = Box<dyn Iterator<Item = Self::EdgeRef> + 'a>;
    fn edge_references(self) -> Self::EdgeReferences {
        let graph = self.graph;
        Box::new(graph.values().flat_map(move |v| graph.inputs(v).iter().map(move |&x| (x, v, &UNIT))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse::parse;
    use crate::graph::random::random;

    const DIAMOND: &str = "graph @g {
  slot x: data f32[2]
  %x: f32[2] = input {slot=0}
  %a: f32[2] = exp %x
  %b: f32[2] = sin %x
  %c: f32[2] = add %a, %b
  %d: f32[2] = mul %c, %c
  return d = %d
}
";

    #[test]
    fn dominators_of_a_diamond() {
        let g = parse(DIAMOND).expect("parses");
        let d = dominators(&g, ValueId(0));
        assert_eq!(d.immediate_dominator(ValueId(3)), Some(ValueId(0)));
        assert_eq!(d.immediate_dominator(ValueId(4)), Some(ValueId(3)));
    }

    #[test]
    fn orders_and_components_of_random_graphs() {
        for seed in 0..50 {
            let g = random(seed);
            let order = topological(&g).expect("acyclic");
            let mut place = vec![0; g.nodes.len()];
            order.iter().enumerate().for_each(|(i, v)| place[v.idx()] = i);
            assert!(g.values().all(|v| g.inputs(v).iter().all(|x| place[x.idx()] < place[v.idx()])));
            assert_eq!(components(&g).len(), g.nodes.len());
        }
    }

    #[test]
    fn dot_shows_names_ops_and_types() {
        let text = dot(&parse(DIAMOND).expect("parses"));
        assert!(text.starts_with("digraph"), "{text}");
        assert!(text.contains("c\\nadd f32[2]"), "{text}");
        assert_eq!(text.matches("->").count(), 6, "{text}");
    }
}
