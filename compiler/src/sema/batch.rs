//! Data fields, lifted over the batch.
//!
//! In: the graph of a data field (its slots are columns of one row) and a batch size. Out: the same computation in the
//! step's graph, with a leading batch axis; see [`crate::graph::batch`].

use crate::graph::batch::{self, Lifted};
use crate::graph::build::Builder;
use crate::graph::graph::{Graph, Slot, SlotKind, ValueId};
use crate::graph::ty::TensorTy;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::graph::batch::Unbatchable;

/// How to replay.
pub struct Batch<'m> {
    /// Rows.
    pub size: u64,
    /// Columns already declared in the batched graph, by name.
    pub columns: &'m mut BTreeMap<Arc<str>, ValueId>,
}

/// Replays what `root` needs; the result always has the leading axis.
pub fn replay(b: &mut Builder, g: &Graph, root: ValueId, mut batch: Batch<'_>) -> Result<ValueId, Unbatchable> {
    let size = batch.size;
    let mut input = |b: &mut Builder, slot: u32| {
        let slot = &g.slots[slot as usize];
        Lifted { id: column(b, &mut batch, &slot.name, &slot.ty), batched: true }
    };
    batch::replay(b, g, root, size, &mut input, &BTreeMap::new())
}

/// Reads a column of the batch, declared once.
pub fn column(b: &mut Builder, batch: &mut Batch<'_>, name: &Arc<str>, ty: &TensorTy) -> ValueId {
    if let Some(&v) = batch.columns.get(name) {
        return v;
    }
    let ty = TensorTy { dtype: ty.dtype, shape: std::iter::once(batch.size).chain(ty.shape.iter().copied()).collect() };
    let v = b.input(Slot { name: name.clone(), kind: SlotKind::Data, ty });
    batch.columns.insert(name.clone(), v);
    v
}
