//! Regions: ops that hold a graph of their own and run it many times.
//!
//! In: the rows of `scan` and of `result`, which takes one of its values. A region is a closed graph: what it reads of the
//! graph around it are operands. So every pass, the printer, the verifier and differentiation walk a body as they walk any
//! graph, and nothing unrolls it.

use super::attr::Attr;
use super::{Class, EvalCx, Op, OpSpec, Sample, arity};
use crate::graph::graph::{Graph, Inputs, Node, Output, Slot, SlotKind, ValueId};
use crate::graph::interp::Feeds;
use crate::graph::tensor::Tensor;
use crate::graph::ty::TensorTy;
use nn_runtime::dtype::DType;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A loop over the leading axis of some operands.
///
/// Operands: an initial value for each carry, then what is scanned, with a leading axis of `length`, then what every step
/// reads whole. The body has a data slot for each of them, in this order; a scanned one is a slice of the operand. Its
/// outputs are the carries' next values, then what is stacked. Results: the last values of the carries, then the stacks,
/// with a leading axis of `length`. In reverse the last slice comes first; stacks keep the places of slices.
#[derive(Clone, Debug)]
pub struct Scan {
    /// One step.
    pub body: Arc<Graph>,
    /// Steps.
    pub length: u64,
    /// Values carried from step to step.
    pub carries: u32,
    /// Operands that are scanned.
    pub scanned: u32,
    /// From the last slice to the first.
    pub reverse: bool,
}

impl PartialEq for Scan {
    fn eq(&self, o: &Scan) -> bool {
        let head = |s: &Scan| (s.length, s.carries, s.scanned, s.reverse);
        head(self) == head(o) && (Arc::ptr_eq(&self.body, &o.body) || self.body == o.body)
    }
}

impl Eq for Scan {}

impl Hash for Scan {
    fn hash<H: Hasher>(&self, h: &mut H) {
        (self.length, self.carries, self.scanned, self.reverse, self.body.outputs.len()).hash(h);
        self.body.nodes.iter().for_each(|n| (&n.op, &n.inputs).hash(h));
    }
}

impl Scan {
    /// The type of a result.
    pub fn result(&self, index: usize) -> Option<TensorTy> {
        let ty = self.body.ty(self.body.outputs.get(index)?.value);
        Some(if index < self.carries as usize { ty.clone() } else { stacked(self.length, ty) })
    }

    /// Number of results.
    pub fn results(&self) -> usize {
        self.body.outputs.len()
    }

    /// Does slot or operand `i` hold a carry, a scanned value, or what every step reads whole?
    pub fn role(&self, i: usize) -> Role {
        match i {
            i if i < self.carries as usize => Role::Carry,
            i if i < (self.carries + self.scanned) as usize => Role::Scanned,
            _ => Role::Whole,
        }
    }
}

/// What an operand of a scan is to its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first value of a carry.
    Carry,
    /// Read slice by slice.
    Scanned,
    /// Read whole by every step.
    Whole,
}

/// With a leading axis.
pub fn stacked(length: u64, ty: &TensorTy) -> TensorTy {
    TensorTy { dtype: ty.dtype, shape: std::iter::once(length).chain(ty.shape.iter().copied()).collect() }
}

/// The type of a region itself, which is no value: its results are.
pub fn nothing() -> TensorTy {
    TensorTy::new(DType::Bool, [0])
}

/// The row of `scan`.
pub static SCAN: OpSpec = OpSpec {
    name: "scan",
    class: Class::Region,
    doc: "`carries.., scanned.., whole..`: runs the body once for each slice of what is scanned, from the last one if \
          `reverse`; see `result`",
    grad: "a `scan` the other way, over the carries and contractions of this one",
    infer: |op, x, _| {
        let Op::Scan(s) = op else { return Err("not a scan".into()) };
        arity(op, x, s.body.slots.len())?;
        if s.body.outputs.len() < s.carries as usize || x.len() < (s.carries + s.scanned) as usize {
            return Err(format!("`scan` carries {} values and scans {}", s.carries, s.scanned));
        }
        for (i, (slot, &ty)) in s.body.slots.iter().zip(x).enumerate() {
            let want = if s.role(i) == Role::Scanned { stacked(s.length, &slot.ty) } else { slot.ty.clone() };
            if want != *ty || slot.kind != SlotKind::Data {
                return Err(format!("`scan` takes {want} for `{}`, got {ty}", slot.name));
            }
        }
        for (slot, o) in s.body.slots.iter().zip(&s.body.outputs).take(s.carries as usize) {
            if *s.body.ty(o.value) != slot.ty {
                let next = s.body.ty(o.value);
                return Err(format!("`scan` carries `{}`, which is {} and then {next}", slot.name, slot.ty));
            }
        }
        for i in 0..s.results() {
            let fits =
                s.result(i).is_some_and(|t| t.checked_numel().is_some() && t.rank() <= crate::graph::ty::MAX_RANK);
            if !fits || s.body.outputs[i].assign.is_some() {
                return Err(format!("`scan` cannot stack `{}`", s.body.outputs[i].name));
            }
        }
        if s.body.nodes.iter().any(|n| matches!(n.op, Op::Rng { .. })) {
            return Err("`scan` draws nothing: draws come in as what is scanned".into());
        }
        Ok(nothing())
    },
    eval: |_, _, _, _| vec![],
    vjp: None,
    attrs: |op| match op {
        Op::Scan(s) => vec![
            ("length", Attr::Int(s.length)),
            ("carries", Attr::Int(s.carries.into())),
            ("scanned", Attr::Int(s.scanned.into())),
            ("order", Attr::Word(if s.reverse { "reverse" } else { "forward" })),
        ],
        _ => vec![],
    },
    make: |_, r| {
        let (length, carries, scanned) = (r.int("length")?, r.int32("carries")?, r.int32("scanned")?);
        let reverse = r.one_of("order", &[false, true], |r| if r { "reverse" } else { "forward" })?;
        Ok(Op::Scan(Scan { body: Arc::default(), length, carries, scanned, reverse }))
    },
    samples: Vec::<Sample>::new,
};

/// The row of `result`.
pub static RESULT: OpSpec = OpSpec {
    name: "result",
    class: Class::Region,
    doc: "Result `index` of a region",
    grad: "part of the region's",
    infer: |op, x, _| {
        arity(op, x, 1)?;
        let Op::Result { ty, .. } = op else { return Err("not a result".into()) };
        if *x[0] != nothing() {
            return Err(format!("`result` takes a region, got {}", x[0]));
        }
        Ok(ty.clone())
    },
    eval: |_, _, _, _| vec![],
    vjp: None,
    attrs: |op| if let Op::Result { index, .. } = op { vec![("index", Attr::Int((*index).into()))] } else { vec![] },
    make: |ty, r| Ok(Op::Result { index: r.int32("index")?, ty: ty.clone() }),
    samples: Vec::<Sample>::new,
};

/// The results of a scan, step by step.
///
/// # Errors
/// Those of the body.
pub fn run(s: &Scan, cx: &EvalCx, x: &[&Tensor]) -> Result<Vec<Tensor>, String> {
    let mut slots: Vec<Tensor> = x.iter().map(|&t| t.clone()).collect();
    let carries = s.carries as usize;
    let types: Vec<TensorTy> = (0..s.results()).filter_map(|i| s.result(i)).collect();
    let mut stacks: Vec<Tensor> = types[carries..].iter().map(|ty| Tensor::splat(ty.clone(), 0.0)).collect();
    for step in 0..s.length {
        let at = if s.reverse { s.length - 1 - step } else { step } as usize;
        for (i, slot) in s.body.slots.iter().enumerate().filter(|(i, _)| s.role(*i) == Role::Scanned) {
            let n = slot.ty.numel() as usize;
            slots[i] = Tensor::new(slot.ty.clone(), x[i].data[at * n..(at + 1) * n].to_vec());
        }
        let feeds = Feeds { slots: std::mem::take(&mut slots), seed: cx.seed, step: cx.step };
        let out = crate::graph::interp::run(&s.body, &feeds)?;
        slots = feeds.slots;
        for (stack, y) in stacks.iter_mut().zip(&out[carries..]) {
            let n = y.data.len();
            stack.data[at * n..(at + 1) * n].copy_from_slice(&y.data);
        }
        for (slot, y) in slots.iter_mut().zip(out.into_iter().take(carries)) {
            *slot = y;
        }
    }
    slots.truncate(carries);
    slots.extend(stacks);
    Ok(slots)
}

/// How outputs begin that a step stacks for the derivative: a carry as the step found it, by its number; a contraction by
/// that of its value.
const CARRY: &str = "carry.";
const DOT: &str = "dot.";

impl Scan {
    /// The same, stacking what its derivative reads: the carries as each step finds them, and its contractions, which are
    /// not computed again. What nobody reads is dropped later.
    pub fn remembering(&self) -> Scan {
        if self.carry_stack(0).is_some()
            || self.carries == 0 && !self.dots().is_empty() && self.dot_stack(self.dots()[0]).is_some()
        {
            return self.clone();
        }
        let mut body = (*self.body).clone();
        for i in 0..self.carries {
            let value = input(&mut body, i);
            body.outputs.push(Output { name: format!("{CARRY}{i}").into(), value, assign: None });
        }
        for v in self.dots() {
            body.outputs.push(Output { name: format!("{DOT}{}", v.0).into(), value: v, assign: None });
        }
        Scan { body: Arc::new(body), ..self.clone() }
    }

    /// The contractions of a step.
    pub fn dots(&self) -> Vec<ValueId> {
        let b = &self.body;
        b.values().filter(|&v| matches!(b.op(v), Op::Dot(_))).collect()
    }

    /// The result that stacks a carry.
    pub fn carry_stack(&self, i: u32) -> Option<usize> {
        self.stack(&format!("{CARRY}{i}"))
    }

    /// The result that stacks a contraction.
    pub fn dot_stack(&self, v: ValueId) -> Option<usize> {
        self.stack(&format!("{DOT}{}", v.0))
    }

    fn stack(&self, name: &str) -> Option<usize> {
        self.body.outputs.iter().position(|o| *o.name == *name)
    }
}

/// The value that reads a slot of a body, made if nothing reads it.
fn input(body: &mut Graph, slot: u32) -> ValueId {
    if let Some(v) = body.values().find(|&v| matches!(body.op(v), Op::Input { slot: s } if *s == slot)) {
        return v;
    }
    let Slot { name, ty, .. } = body.slots[slot as usize].clone();
    body.nodes.push(Node {
        op: Op::Input { slot },
        inputs: Inputs::new(),
        ty,
        span: None,
        scope: None,
        name: Some(name),
    });
    ValueId(body.nodes.len() as u32 - 1)
}
