//! Training units: what a `train` item becomes.

/// State of one elaboration beyond scopes and graph.
#[derive(Default)]
pub struct State<'a> {
    /// Keeps the lifetime of the syntax in use.
    pub marker: std::marker::PhantomData<&'a ()>,
}
