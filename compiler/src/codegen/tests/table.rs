//! Every elementwise op and cast of the op table at every dtype: the compiled body gives the bits that the interpreter
//! gives. (That the interpreter's lane ops mean what the table says is the table's own test.)

use super::*;
use crate::graph::ops::Op;
use crate::graph::ops::elementwise::{Ew, TyRule};
use crate::lanes::{LaneBuilder, LaneId, LaneOp, LaneTy};
use std::collections::HashMap;

/// The instructions of a kernel, as something that lane code can be appended to.
#[derive(Default)]
pub(super) struct Insts {
    pub(super) list: Vec<Inst>,
    types: Vec<LaneTy>,
    index: HashMap<LaneOp, LaneId>,
}

impl Insts {
    pub(super) fn push(&mut self, inst: Inst, ty: LaneTy) -> LaneId {
        self.list.push(inst);
        self.types.push(ty);
        LaneId(self.list.len() as u32 - 1)
    }
}

impl LaneBuilder for Insts {
    fn lane(&mut self, op: LaneOp) -> LaneId {
        if let Some(&v) = self.index.get(&op) {
            return v;
        }
        let v = self.push(Inst::Lane(op), op.ty(|a| self.types[a.0 as usize]));
        self.index.insert(op, v);
        v
    }
    fn lane_ty(&self, v: LaneId) -> LaneTy {
        self.types[v.0 as usize]
    }
}

const DTYPES: [DType; 9] =
    [DType::F32, DType::F64, DType::I32, DType::I16, DType::I8, DType::U32, DType::U16, DType::U8, DType::Bool];

/// A kernel of one op: loads, the op's lane code, a store.
fn of_op(
    name: &str,
    dtypes: &[DType],
    out: DType,
    body: impl FnOnce(&mut Insts, &[LaneId]) -> LaneId,
) -> KernelProgram {
    let cols = 45;
    let mut k = Insts::default();
    let at = Access { col: 1, ..Default::default() };
    let mut operands = vec![];
    for (i, &d) in dtypes.iter().enumerate() {
        operands.push(k.push(Inst::Load { arg: ArgId(i as u32), at: at.clone() }, lane_ty(d)));
    }
    let value = body(&mut k, &operands);
    k.push(Inst::Store { arg: ArgId(dtypes.len() as u32), at, value }, LaneTy::I32);
    let roles = dtypes.iter().map(|&d| (d, Role::In)).chain([(out, Role::Out)]);
    let args = roles.map(|(dtype, role)| Arg { dtype, len: cols, role }).collect();
    let end = k.list.len() as u32;
    around(Kernel {
        name: name.into(),
        args,
        rows: Default::default(),
        cols,
        anchor: None,
        insts: k.list,
        phases: vec![Phase { seq: None, end }],
        split: Split::None,
    })
}

fn check(p: &KernelProgram) {
    assert_eq!(crate::kernel::verify_plan::program(p), Vec::<String>::new());
    for seed in 0..6 {
        differ(p, seed).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn every_op_compiles_to_the_same_bits() {
    for &e in Ew::ALL {
        let row = e.spec();
        for d in DTYPES.into_iter().filter(|&d| row.ty.accepts(d)) {
            let select = row.ty == TyRule::Select;
            let dtypes: Vec<DType> = (0..row.arity).map(|i| if select && i == 0 { DType::Bool } else { d }).collect();
            let out = if row.ty == TyRule::Compare { DType::Bool } else { d };
            check(&of_op(row.name, &dtypes, out, |k, x| (row.body)(k, d, x)));
        }
    }
}

#[test]
fn every_cast_compiles_to_the_same_bits() {
    for from in DTYPES {
        for to in DTYPES {
            let body = |k: &mut Insts, x: &[LaneId]| Op::Cast(to).body(k, &[from], x).unwrap_or(x[0]);
            check(&of_op(&format!("{from} to {to}"), &[from], to, body));
        }
    }
}
