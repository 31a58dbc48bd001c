//! The layers of a model as they are called: what each gives and what it costs, for `nnc summary`.
//!
//! In: the calls of an elaboration. Out: for every layer, by its path in the parameter tree, the shape of its result and
//! the operations of its first call. What layers inside it do counts as theirs.

use super::cx::{Elab, R};
use super::models::{Instance, TemplateKind};
use super::value::Value;
use crate::graph::flops;
use std::sync::Arc;

/// A layer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its path in the parameter tree; empty for the model itself.
    pub path: Arc<str>,
    /// The name of its model or function.
    pub kind: String,
    /// The shape of its result; nothing where that is no tensor.
    pub output: Option<Vec<u64>>,
    /// Bytes of its result.
    pub bytes: u64,
    /// Floating point operations, without those of layers inside it.
    pub flops: u64,
    /// How many layers it is in.
    pub depth: usize,
}

/// A call under way: the layer's number, the nodes before it.
pub(super) struct Call {
    layer: usize,
    nodes: usize,
}

impl Elab<'_> {
    /// A layer is called. Nothing for one that was called before.
    pub(super) fn layer_begins(&mut self, m: &Instance) -> Option<Call> {
        let kind = match self.st.labels.get(&m.uid) {
            Some((label, _)) => label.to_string(),
            None => match m.template.kind {
                TemplateKind::Stack(_) => return None,
                _ => m.template.name().to_owned(),
            },
        };
        self.layer_at(m.path.clone(), kind)
    }

    /// An entry of a `seq` is called that is no layer with a place of its own but a function.
    pub(super) fn entry_begins(&mut self, m: &Instance, i: usize, f: &Value) -> Option<Call> {
        let kind = match f {
            Value::Fn(f) => f.def.name.text.to_string(),
            Value::Builtin(b) => b.sig.name.to_owned(),
            Value::Closure(_) => "lambda".to_owned(),
            _ => return None,
        };
        let segment = &m.members.get(i)?.name;
        let path = if m.path.is_empty() { segment.to_string() } else { format!("{}.{segment}", m.path) };
        self.layer_at(path.into(), kind)
    }

    fn layer_at(&mut self, path: Arc<str>, kind: String) -> Option<Call> {
        if self.st.layers.iter().any(|l| l.path == path) {
            return None;
        }
        let depth = self.st.layer_depth;
        self.st.layer_depth += 1;
        self.st.layers.push(Layer { path, kind, output: None, bytes: 0, flops: 0, depth });
        Some(Call { layer: self.st.layers.len() - 1, nodes: self.b.graph().nodes.len() })
    }

    /// The call is over.
    pub(super) fn layer_ends(&mut self, call: Option<Call>, result: &R<Value>) {
        let Some(call) = call else { return };
        self.st.layer_depth = self.st.layer_depth.saturating_sub(1);
        let inside: u64 = self.st.layers[call.layer + 1..].iter().map(|l| l.flops).sum();
        let g = self.b.graph();
        let flops = flops::of_nodes(g, call.nodes..g.nodes.len()).saturating_sub(inside);
        let layer = &mut self.st.layers[call.layer];
        layer.flops = flops;
        if let Ok(Value::Tensor(t)) = result {
            let ty = g.ty(t.id);
            layer.output = Some(ty.shape.to_vec());
            layer.bytes = ty.numel() * ty.dtype.bytes() as u64;
        }
    }
}
