//! The invariants of kernels, checked all at once.
//!
//! In: a kernel. Out: every violation, as sentences. [`super::verify_plan`] checks whole programs with it. What holds of a
//! kernel without violations:
//!
//! - K1. Phases cut the instructions into runs, in order. Operands come before their users and are values; types fit.
//! - K2. A reduction is used in later phases only. Of a seq phase, later phases see running values, constants and indices.
//!   `seq`, running values and strides of `s` stand in seq phases only; reductions do not.
//! - K3. `acc` stands where there is an anchor. A contraction's operands are the first two arguments, of one float dtype (`f32`
//!   or `f64`) and read only;
//!   random bits have one row. A row of columns that may be cut (split cols, random bits) has no reduction.
//! - K4. Every affine access is inside its argument, by intervals. (`load.at` and `store.at` check themselves.)
//! - K5. Nothing is stored to an `in` and nothing read from an `out`.
//! - K6. Where threads share the kernel, no two rows (split rows) or columns (split cols) store to one element, and what an
//!   `inout` reads is what the same row and column stores.

use super::interp::reduction;
use super::ir::*;
use super::uses::phase_of;
use crate::lanes::{LaneBin, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};
use nn_runtime::dtype::DType;

/// All violations of the invariants; empty means that the kernel is sound.
pub fn kernel(k: &Kernel) -> Vec<String> {
    let mut v = Verifier { k, errors: vec![], phase: phase_of(k), types: vec![] };
    if v.phases() {
        v.types = k.types();
        v.instructions();
        v.anchor();
        v.stores();
    }
    v.errors
}

/// The reach of an affine access: smallest and largest element, or `None` if it is never made.
pub fn reach(k: &Kernel, cols: u64, at: &Access, steps: &[(u64, i64)]) -> Option<(i128, i128)> {
    let axes = k.rows.iter().zip(&at.rows).map(|(&n, &s)| (n, s));
    let (mut low, mut high) = (i128::from(at.offset), i128::from(at.offset));
    for (n, s) in axes.chain([(cols, at.col)]).chain(steps.iter().copied()) {
        if n == 0 {
            return None;
        }
        let d = i128::from(n - 1) * i128::from(s);
        if d < 0 {
            low += d;
        } else {
            high += d;
        }
    }
    Some((low, high))
}

/// Whether no two index tuples of the axes (size, stride) meet: the mixed radix test, sufficient.
pub fn injective(axes: &[(u64, i64)]) -> bool {
    let mut axes: Vec<(u64, u128)> =
        axes.iter().filter(|a| a.0 > 1).map(|a| (a.0, u128::from(a.1.unsigned_abs()))).collect();
    axes.sort_by_key(|a| a.1);
    let mut span = 0;
    axes.iter().all(|&(n, s)| {
        let fits = s > span;
        span += s * u128::from(n - 1);
        fits
    })
}

/// Whether no two values of the split axes meet, whatever the others are: sufficient.
fn apart(split: &[(u64, i64)], others: &[(u64, i64)]) -> bool {
    let all: Vec<_> = split.iter().chain(others).copied().collect();
    if injective(&all) {
        return true;
    }
    // Or the split axes step over all that the others cover.
    let mut span: u128 =
        others.iter().filter(|a| a.0 > 0).map(|a| u128::from(a.1.unsigned_abs()) * u128::from(a.0 - 1)).sum();
    let mut axes: Vec<_> = split.iter().filter(|a| a.0 > 1).map(|a| (a.0, u128::from(a.1.unsigned_abs()))).collect();
    axes.sort_by_key(|a| a.1);
    axes.iter().all(|&(n, s)| {
        let fits = s > span;
        span += s * u128::from(n - 1);
        fits
    })
}

struct Verifier<'a> {
    k: &'a Kernel,
    errors: Vec<String>,
    phase: Vec<usize>,
    /// Of every instruction, once operands are known to come before their users.
    types: Vec<Option<LaneTy>>,
}

impl Verifier<'_> {
    fn err(&mut self, i: usize, message: impl std::fmt::Display) {
        self.errors.push(format!("@{}: %v{i}: {message}", self.k.name));
    }

    fn phases(&mut self) -> bool {
        let mut last = 0;
        let ordered = self.k.phases.iter().all(|p| p.end >= std::mem::replace(&mut last, p.end));
        let whole = ordered && last as usize == self.k.insts.len();
        if !whole {
            self.errors.push(format!("@{}: the phases do not cut the instructions in order", self.k.name));
        }
        // Types are found by walking operands, so these must be right before anything else looks.
        for (i, inst) in self.k.insts.iter().enumerate() {
            for v in inst.operands() {
                if v.0 as usize >= i {
                    self.err(i, format!("uses %v{}, which comes later", v.0));
                } else if matches!(self.k.insts[v.0 as usize], Inst::Store { .. } | Inst::StoreAt { .. }) {
                    self.err(i, format!("uses %v{}, a store", v.0));
                }
            }
            if let Inst::Load { arg, .. }
            | Inst::LoadAt { arg, .. }
            | Inst::Store { arg, .. }
            | Inst::StoreAt { arg, .. } = inst
                && arg.0 as usize >= self.k.args.len()
            {
                self.err(i, format!("no argument %{}", arg.0));
            }
        }
        self.errors.is_empty()
    }

    fn instructions(&mut self) {
        let k = self.k;
        for (i, inst) in k.insts.iter().enumerate() {
            let p = self.phase[i];
            let seq = k.phases[p].seq;
            for v in inst.operands() {
                let of = v.0 as usize;
                let earlier = self.phase[of] < p;
                match &k.insts[of] {
                    Inst::Reduce { .. } if !earlier => self.err(i, format!("uses reduction %v{of} in its own phase")),
                    Inst::Reduce { .. } | Inst::Acc { .. } => {}
                    Inst::Lane(op) if op.is_const() => {}
                    Inst::Index(Index::Row(_) | Index::Col) => {}
                    _ if earlier && k.phases[self.phase[of]].seq.is_some() => {
                        self.err(i, format!("uses %v{of} of an earlier sequence, which is not a running value"));
                    }
                    _ => {}
                }
            }
            match inst {
                Inst::Lane(op) => self.lane(i, op),
                Inst::Index(Index::Row(a)) if *a as usize >= k.rows.len() => self.err(i, format!("no row axis {a}")),
                Inst::Index(Index::Seq) if seq.is_none() => self.err(i, "a step outside a sequence"),
                Inst::Index(_) => {}
                Inst::Anchor if k.anchor.is_none() => self.err(i, "no anchor"),
                Inst::Anchor => {}
                Inst::Load { arg, at } => {
                    self.access(i, *arg, at, seq);
                    self.reads(i, *arg);
                }
                Inst::LoadAt { arg, index, mask } => {
                    self.reads(i, *arg);
                    self.checked(i, *index, *mask);
                }
                Inst::Store { arg, at, value } => {
                    self.access(i, *arg, at, seq);
                    self.writes(i, *arg);
                    self.expect(i, *value, lane_ty(k.args[arg.0 as usize].dtype));
                }
                Inst::StoreAt { arg, index, mask, value } => {
                    self.writes(i, *arg);
                    self.checked(i, *index, *mask);
                    self.expect(i, *value, lane_ty(k.args[arg.0 as usize].dtype));
                    if k.split != Split::None {
                        self.err(i, "stores at computed indices while threads share the kernel");
                    }
                }
                Inst::Reduce { kind, value } => {
                    if seq.is_some() {
                        self.err(i, "a reduction in a sequence");
                    }
                    if k.split == Split::Cols || matches!(k.anchor, Some(Anchor::Rng { .. })) {
                        self.err(i, "a reduction over columns that may be cut");
                    }
                    self.reduces(i, *kind, *value);
                }
                Inst::Acc { kind, value } => {
                    if seq.is_none() {
                        self.err(i, "a running value outside a sequence");
                    }
                    self.reduces(i, *kind, *value);
                }
            }
        }
    }

    fn ty(&self, v: LaneId) -> LaneTy {
        self.types.get(v.0 as usize).copied().flatten().unwrap_or(LaneTy::F32)
    }

    fn expect(&mut self, i: usize, v: LaneId, want: LaneTy) {
        let have = self.ty(v);
        if have != want {
            self.err(i, format!("%v{} is {have:?}, not {want:?}", v.0));
        }
    }

    fn checked(&mut self, i: usize, index: LaneId, mask: Option<LaneId>) {
        self.expect(i, index, LaneTy::I32);
        if let Some(m) = mask {
            self.expect(i, m, LaneTy::Bool);
        }
    }

    fn reduces(&mut self, i: usize, kind: crate::graph::ops::ReduceKind, value: LaneId) {
        let ty = self.ty(value);
        if reduction(kind, ty).is_none() {
            self.err(i, format!("no reduction {kind:?} of {ty:?}"));
        }
    }

    fn reads(&mut self, i: usize, a: ArgId) {
        if self.k.args[a.0 as usize].role == Role::Out {
            self.err(i, format!("reads %{}, an out", a.0));
        }
    }

    fn writes(&mut self, i: usize, a: ArgId) {
        if self.k.args[a.0 as usize].role == Role::In {
            self.err(i, format!("writes %{}, an in", a.0));
        }
    }

    fn access(&mut self, i: usize, arg: ArgId, at: &Access, seq: Option<u64>) {
        if seq.is_none() && at.seq != 0 {
            self.err(i, "a stride of the step outside a sequence");
        }
        let steps: Vec<(u64, i64)> = seq.map(|n| (n, at.seq)).into_iter().collect();
        self.inside(&format!("%v{i}"), arg, at, &steps);
    }

    fn inside(&mut self, who: &str, arg: ArgId, at: &Access, steps: &[(u64, i64)]) {
        let (k, name) = (self.k, &self.k.name);
        if at.rows.len() != k.rows.len() {
            let (n, m) = (at.rows.len(), k.rows.len());
            self.errors.push(format!("@{name}: {who}: an address of {n} row axes in a kernel of {m}"));
            return;
        }
        let len = k.args[arg.0 as usize].len;
        if let Some((low, high)) = reach(k, k.cols, at, steps)
            && (low < 0 || high >= i128::from(len) + i128::from(nn_runtime::mutant!("verify.reach")))
        {
            self.errors.push(format!("@{name}: {who}: reaches elements {low} to {high} of %{} with {len}", arg.0));
        }
    }

    fn anchor(&mut self) {
        let k = self.k;
        let name = &k.name;
        match &k.anchor {
            None => {}
            Some(Anchor::Rng { .. }) => {
                if !k.rows.is_empty() {
                    self.errors.push(format!("@{name}: random bits in a kernel with rows"));
                }
            }
            Some(Anchor::Contract(c)) => {
                if (c.a.0, c.b.0) != (ArgId(0), ArgId(1)) || k.args.len() < 2 {
                    self.errors.push(format!("@{name}: the operands of a contraction are the first two arguments"));
                    return;
                }
                for a in &k.args[..2] {
                    if !matches!(a.dtype, DType::F32 | DType::F64) || a.dtype != k.args[0].dtype || a.role != Role::In {
                        self.errors.push(format!("@{name}: an operand of a contraction is not an f32 or f64 in"));
                    }
                }
                if c.a.1.col != 0 || c.a.1.seq != 0 || c.b.1.seq != 0 {
                    self.errors.push(format!("@{name}: an operand of the contraction moves along a foreign axis"));
                }
                if c.k.is_empty() {
                    self.errors.push(format!("@{name}: a contraction over no axis"));
                }
                if !c.one_stride() {
                    self.errors.push(format!("@{name}: the right operand of the contraction walks its axes unevenly"));
                }
                let [of_a, of_b] = c.steps();
                self.inside("contract a", c.a.0, &c.a.1, &of_a);
                self.inside("contract b", c.b.0, &c.b.1, &of_b);
            }
        }
    }

    /// K6.
    fn stores(&mut self) {
        let k = self.k;
        if k.split == Split::None {
            return;
        }
        for (i, inst) in k.insts.iter().enumerate() {
            let steps = k.phases[self.phase[i]].seq.unwrap_or(1);
            match inst {
                Inst::Store { at, .. } if at.rows.len() == k.rows.len() => {
                    let rows: Vec<(u64, i64)> = k.rows.iter().copied().zip(at.rows.iter().copied()).collect();
                    let col = [(k.cols, at.col)];
                    let step = (steps, at.seq);
                    let fine = match k.split {
                        Split::Rows => apart(&rows, &[col[0], step]),
                        _ => apart(&col, &[rows.as_slice(), &[step]].concat()),
                    };
                    if !fine {
                        self.err(i, "two threads may store to one element");
                    }
                }
                Inst::Load { arg, at } if k.args[arg.0 as usize].role == Role::InOut => {
                    let stored = k.insts.iter().any(|s| match s {
                        Inst::Store { arg: a, at: b, .. } => a == arg && at == b,
                        _ => false,
                    });
                    let all_same = k.insts.iter().all(|s| match s {
                        Inst::Store { arg: a, at: b, .. } => a != arg || at == b,
                        _ => true,
                    });
                    if !(stored && all_same) {
                        self.err(i, "reads what another row or column may store");
                    }
                }
                Inst::LoadAt { arg, .. } if k.args[arg.0 as usize].role == Role::InOut => {
                    self.err(i, "reads at computed indices what another thread may store");
                }
                _ => {}
            }
        }
    }

    fn lane(&mut self, i: usize, op: &LaneOp) {
        use LaneTy::*;
        // What float ops take: the first operand's type if it is a float, else f32, which the first operand then is not.
        let float = op.operands().next().map(|v| self.ty(v)).filter(|t| t.is_float()).unwrap_or(F32);
        let mut expect = |v: LaneId, t: LaneTy| self.expect(i, v, t);
        match *op {
            LaneOp::ConstF(_) | LaneOp::ConstD(_) | LaneOp::ConstI(_) | LaneOp::ConstB(_) => {}
            LaneOp::Arg(..) => self.err(i, "an argument of an op's body"),
            LaneOp::Un(o, a) => expect(a, un_operand(o, float)),
            LaneOp::Bin(o, a, b) => {
                let t = bin_operand(o, float);
                expect(a, t);
                expect(b, t);
            }
            LaneOp::Cmp(o, a, b) => {
                let t = cmp_operand(o, float);
                expect(a, t);
                expect(b, t);
            }
            LaneOp::Fma(a, b, c) => [a, b, c].into_iter().for_each(|v| expect(v, float)),
            LaneOp::Select(c, a, b) => {
                expect(c, Bool);
                let t = self.ty(a);
                self.expect(i, b, t);
            }
        }
    }
}

/// The operand type of a unary op; `float` where it takes either float.
pub fn un_operand(o: LaneUn, float: LaneTy) -> LaneTy {
    match o {
        LaneUn::FNeg | LaneUn::FAbs | LaneUn::FSqrt | LaneUn::FFloor | LaneUn::FRoundEven | LaneUn::FToI => float,
        LaneUn::FToD | LaneUn::BitsFToI => LaneTy::F32,
        LaneUn::DToF | LaneUn::BitsHi | LaneUn::BitsLo => LaneTy::F64,
        LaneUn::IToF | LaneUn::UToF | LaneUn::IToD | LaneUn::UToD | LaneUn::BitsIToF | LaneUn::IToB => LaneTy::I32,
        LaneUn::BNot | LaneUn::BToI | LaneUn::BToF => LaneTy::Bool,
    }
}

/// The type of both operands of a binary op; `float` where it takes either float.
pub fn bin_operand(o: LaneBin, float: LaneTy) -> LaneTy {
    match o {
        LaneBin::FAdd | LaneBin::FSub | LaneBin::FMul | LaneBin::FDiv | LaneBin::FMax | LaneBin::FMin => float,
        LaneBin::BAnd | LaneBin::BOr | LaneBin::BXor => LaneTy::Bool,
        _ => LaneTy::I32,
    }
}

/// The type of both operands of a comparison; `float` where it takes either float.
pub fn cmp_operand(o: LaneCmp, float: LaneTy) -> LaneTy {
    match o {
        LaneCmp::FEq | LaneCmp::FNe | LaneCmp::FLt | LaneCmp::FLe | LaneCmp::FGt | LaneCmp::FGe => float,
        _ => LaneTy::I32,
    }
}
