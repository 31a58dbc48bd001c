//! Values of elaboration: what an expression means while a program is instantiated.
//!
//! A `.nn` program has two stages. In the first, which is this one, dims, hyperparameters and layer structure are plain
//! values; tensors are values of the graph under construction. Sizes are integers here; each dim also keeps the name it
//! was written with and where it comes from, for messages and for axis arguments (`mean(x, T)`).

use crate::graph::graph::ValueId;
use crate::source::Span;
use nn_runtime::dtype::DType;
use std::sync::Arc;

/// The identity of a dim: two axes with one identity are the same axis by name, not only by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DimId(pub u32);

/// A size with its name and origin.
#[derive(Clone, Debug)]
pub struct Dim {
    /// The size, decided.
    pub size: u64,
    /// Identity for axis arguments; fresh for every declaration, shared by every axis that carries it.
    pub id: DimId,
    /// How it was written: `B`, `4*D`. `None` for a literal.
    pub name: Option<Arc<str>>,
    /// Where the size comes from.
    pub origin: Option<Span>,
    /// Written as a literal 1 (`new`, `keep: true`, `1` in a type): it stretches in broadcasting.
    pub stretches: bool,
}

impl Dim {
    /// As messages show it: `D = 768`, or `768`.
    pub fn show(&self) -> String {
        match &self.name {
            Some(n) => format!("{n} = {}", self.size),
            None => self.size.to_string(),
        }
    }
}

/// The element type of a tensor as the language sees it.
#[derive(Clone, Debug)]
pub enum Elem {
    /// A plain dtype.
    Plain(DType),
    /// `idx<N>`: an `i32` known to lie in `0 .. N`.
    Idx(Dim),
}

impl Elem {
    /// The dtype in the graph.
    pub fn dtype(&self) -> DType {
        match self {
            Elem::Plain(d) => *d,
            Elem::Idx(_) => DType::I32,
        }
    }
}

/// A tensor: a graph value with named dims.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The value in the graph under construction.
    pub id: ValueId,
    /// Element type.
    pub elem: Elem,
    /// Axes, outermost first; sizes equal those of the graph value.
    pub dims: Vec<Dim>,
}

impl Tensor {
    /// As messages show it: `f32[B, 784]`.
    pub fn show(&self) -> String {
        let elem = match &self.elem {
            Elem::Plain(d) => d.name().to_owned(),
            Elem::Idx(n) => format!("idx<{}>", n.name.as_deref().map_or(n.size.to_string(), str::to_owned)),
        };
        if self.dims.is_empty() { elem } else { format!("{elem}{}", show_dims(&self.dims)) }
    }
}

/// `[B, 4*D, 784]`
pub fn show_dims(dims: &[Dim]) -> String {
    let parts: Vec<String> =
        dims.iter().map(|d| d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned)).collect();
    format!("[{}]", parts.join(", "))
}
