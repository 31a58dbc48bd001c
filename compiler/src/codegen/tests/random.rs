//! Random kernels, sound by construction: any mix of phases, sequences, strides, reductions, gathers and lane ops.

use super::table::Insts;
use super::*;
use crate::graph::ops::ReduceKind;
use crate::kernel::names::Named;
use crate::kernel::verify::{bin_operand, cmp_operand, un_operand};
use crate::kernel::verify_plan;
use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};

struct Gen {
    r: Rand,
    k: Insts,
    args: Vec<Arg>,
    rows: Vec<u64>,
    cols: u64,
    split: Split,
    /// Has f64 values.
    wide: bool,
    /// Values that instructions of the phase at hand may use.
    usable: Vec<LaneId>,
}

impl Gen {
    fn any(&mut self, ty: LaneTy) -> LaneId {
        let of: Vec<LaneId> = self.usable.iter().copied().filter(|&v| self.k.lane_ty(v) == ty).collect();
        // Recent values more often, so that chains form.
        match of.len() as u32 {
            0 => self.constant(ty),
            _ if self.r.one_in(12) => self.constant(ty),
            n => of[(n - 1 - self.r.below(n).min(self.r.below(n))) as usize],
        }
    }

    fn constant(&mut self, ty: LaneTy) -> LaneId {
        let op = match (ty, self.r.below(4)) {
            (LaneTy::F32, 0) => LaneOp::ConstF(self.r.next()),
            (LaneTy::F32, n) => LaneOp::ConstF((n as f32 * 0.75 - 1.0).to_bits()),
            (LaneTy::F64, 0) => LaneOp::ConstD(u64::from(self.r.next()) << 32 | u64::from(self.r.next())),
            (LaneTy::F64, n) => LaneOp::ConstD((f64::from(n) * 0.7 - 1.0).to_bits()),
            (LaneTy::I32, 0) => LaneOp::ConstI(self.r.next() as i32),
            (LaneTy::I32, n) => LaneOp::ConstI(n as i32 * 3 - 5),
            (LaneTy::Bool, n) => LaneOp::ConstB(n % 2 == 0),
        };
        self.k.lane(op)
    }

    fn pick<T: Named>(&mut self) -> T {
        T::TABLE[self.r.below(T::TABLE.len() as u32) as usize].0
    }

    /// An argument of its own for an affine access; `injective` if the access is a store.
    fn access(&mut self, dtype: DType, role: Role, seq: Option<u64>, injective: bool) -> (ArgId, Access) {
        // Axes in a random order of nesting, with gaps; loads may also repeat or run backward.
        let mut axes: Vec<(usize, u64)> = self.rows.iter().copied().enumerate().collect();
        axes.push((self.rows.len(), self.cols));
        if let Some(n) = seq {
            axes.push((self.rows.len() + 1, n));
        }
        let natural = self.r.one_in(2);
        if !natural {
            for i in (1..axes.len()).rev() {
                axes.swap(i, self.r.below(i as u32 + 1) as usize);
            }
        }
        let mut strides = vec![0i64; self.rows.len() + 2];
        let (mut span, mut low, mut step) = (0i64, 0i64, 1i64);
        for &(axis, n) in axes.iter().rev() {
            let mut s = step + if natural { 0 } else { i64::from(self.r.below(2)) };
            if !injective && self.r.one_in(5) {
                s = 0;
            }
            let reach = s * (n.max(1) as i64 - 1);
            step = step.max(span + reach + 1);
            span += reach;
            if !natural && self.r.one_in(4) {
                s = -s;
                low += reach;
            }
            strides[axis] = s;
        }
        let offset = low + i64::from(self.r.below(3));
        let len = (offset - low + span + 1) as u64 + u64::from(self.r.below(3));
        let rows = strides[..self.rows.len()].iter().copied().collect();
        let n = self.rows.len();
        let seq = strides[n + 1];
        self.args.push(Arg { dtype, len, role });
        (ArgId(self.args.len() as u32 - 1), Access { offset, rows, col: strides[n], seq })
    }

    fn float(&mut self) -> LaneTy {
        if self.wide && !self.r.one_in(3) { LaneTy::F64 } else { LaneTy::F32 }
    }

    fn some_ty(&mut self) -> LaneTy {
        match self.r.below(4) {
            0 | 1 => self.float(),
            2 => LaneTy::I32,
            _ => LaneTy::Bool,
        }
    }

    fn dtype(&mut self, ty: LaneTy) -> DType {
        match ty {
            LaneTy::F32 => DType::F32,
            LaneTy::F64 => DType::F64,
            LaneTy::Bool => DType::Bool,
            LaneTy::I32 => [DType::I32, DType::I32, DType::U8, DType::I8, DType::U16, DType::I16, DType::U32]
                [self.r.below(7) as usize],
        }
    }

    fn load(&mut self, seq: Option<u64>) {
        let ty = self.some_ty();
        let d = self.dtype(ty);
        let v = if self.r.one_in(6) {
            let index = self.any(LaneTy::I32);
            let mask = self.r.one_in(2).then(|| self.any(LaneTy::Bool));
            let len = u64::from(self.r.below(40));
            self.args.push(Arg { dtype: d, len, role: Role::In });
            self.k.push(Inst::LoadAt { arg: ArgId(self.args.len() as u32 - 1), index, mask }, ty)
        } else {
            let (arg, at) = self.access(d, Role::In, seq, false);
            self.k.push(Inst::Load { arg, at }, ty)
        };
        self.usable.push(v);
    }

    fn store(&mut self, seq: Option<u64>) {
        let ty = self.some_ty();
        let value = self.any(ty);
        let d = self.dtype(ty);
        if self.split == Split::None && self.r.one_in(5) {
            let index = self.any(LaneTy::I32);
            let mask = self.r.one_in(2).then(|| self.any(LaneTy::Bool));
            self.args.push(Arg { dtype: d, len: u64::from(self.r.below(40)), role: Role::InOut });
            let arg = ArgId(self.args.len() as u32 - 1);
            self.k.push(Inst::StoreAt { arg, index, mask, value }, LaneTy::I32);
            if self.r.one_in(2) {
                let v = self.k.push(Inst::LoadAt { arg, index, mask: None }, ty);
                self.usable.push(v);
            }
            return;
        }
        let (arg, at) = self.access(d, Role::InOut, seq, true);
        if self.r.one_in(3) {
            let v = self.k.push(Inst::Load { arg, at: at.clone() }, ty);
            self.usable.push(v);
        } else {
            self.args[arg.0 as usize].role = Role::Out;
        }
        self.k.push(Inst::Store { arg, at, value }, LaneTy::I32);
    }

    fn lane(&mut self) {
        let op = match self.r.below(10) {
            0..4 => {
                let mut o: LaneBin = self.pick();
                if o == LaneBin::BitsPair && !self.wide {
                    o = LaneBin::IAdd;
                }
                let ty = bin_operand(o, self.float());
                LaneOp::Bin(o, self.any(ty), self.any(ty))
            }
            4..6 => {
                let mut o: LaneUn = self.pick();
                let of_double = matches!(o, LaneUn::DToF | LaneUn::BitsHi | LaneUn::BitsLo);
                if !self.wide && (of_double || matches!(o, LaneUn::IToD | LaneUn::UToD | LaneUn::FToD)) {
                    o = LaneUn::FAbs;
                }
                let ty = un_operand(o, self.float());
                let mut x = self.any(ty);
                if matches!(o, LaneUn::BitsFToI | LaneUn::BitsHi | LaneUn::BitsLo) {
                    // The payload of a NaN is nobody's promise.
                    let zero = self.k.push(Inst::Lane(LaneOp::float(ty, 0.0)), ty);
                    let number = self.k.push(Inst::Lane(LaneOp::Cmp(LaneCmp::FEq, x, x)), LaneTy::Bool);
                    x = self.k.push(Inst::Lane(LaneOp::Select(number, x, zero)), ty);
                }
                LaneOp::Un(o, x)
            }
            6 => {
                let o: LaneCmp = self.pick();
                let ty = cmp_operand(o, self.float());
                LaneOp::Cmp(o, self.any(ty), self.any(ty))
            }
            7 => {
                let ty = self.float();
                LaneOp::Fma(self.any(ty), self.any(ty), self.any(ty))
            }
            _ => {
                let ty = self.some_ty();
                LaneOp::Select(self.any(LaneTy::Bool), self.any(ty), self.any(ty))
            }
        };
        // An equal op of a phase whose values are out of reach must not be found again.
        let ty = op.ty(|v| self.k.lane_ty(v));
        let v = self.k.push(Inst::Lane(op), ty);
        self.usable.push(v);
    }
}

pub(super) fn random_kernel(seed: u64) -> Kernel {
    let mut r = Rand(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..4 {
        r.next();
    }
    let cols = [1, 2, 3, 7, 15, 16, 17, 31, 32, 50, 64, 65, 129][r.below(13) as usize];
    let rows: Vec<u64> = (0..r.below(4)).map(|_| 1 + u64::from(r.below(4))).collect();
    let split = match r.below(3) {
        0 => Split::None,
        1 if !rows.is_empty() => Split::Rows,
        _ => Split::Cols,
    };
    let mut g = Gen { r, k: Insts::default(), args: vec![], rows, cols, split, wide: seed % 3 == 2, usable: vec![] };
    let anchor = match g.r.below(4) {
        0 => {
            let n = cols;
            let sizes: Vec<u64> = (0..1 + g.r.below(3)).map(|_| 1 + u64::from(g.r.below(5))).collect();
            // The left operand walks the axes in any order, with gaps and overlaps, the right one evenly.
            let mut axes: smallvec::SmallVec<[KAxis; 2]> = smallvec::smallvec![];
            let (mut a_len, mut b) = (1, n as i64);
            for &size in sizes.iter().rev() {
                let a = if sizes.len() == 1 { 1 } else { i64::from(g.r.below(9)) };
                axes.insert(0, KAxis { n: size, a, b });
                a_len += a * (size as i64 - 1);
                b *= size as i64;
            }
            let mut rows: smallvec::SmallVec<[i64; 4]> = smallvec::smallvec![0; g.rows.len()];
            let mut s = if sizes.len() == 1 { a_len } else { 1 + i64::from(g.r.below(40)) };
            for (i, &n) in g.rows.iter().enumerate().rev() {
                rows[i] = s;
                a_len += s * (n as i64 - 1);
                s *= n as i64;
            }
            let float = g.float();
            let dtype = g.dtype(float);
            g.args.push(Arg { dtype, len: a_len as u64, role: Role::In });
            g.args.push(Arg { dtype, len: b as u64, role: Role::In });
            let b = Access { rows: smallvec::smallvec![0; g.rows.len()], col: 1, ..Default::default() };
            let a = Access { rows, ..Default::default() };
            Some(Anchor::Contract(Contract { k: axes, a: (ArgId(0), a), b: (ArgId(1), b) }))
        }
        1 if g.rows.is_empty() => Some(Anchor::Rng { site: 9 }),
        _ => None,
    };
    let reduces = split != Split::Cols && !matches!(anchor, Some(Anchor::Rng { .. }));
    let mut phases = vec![];
    let mut later: Vec<LaneId> = vec![];
    for _ in 0..1 + g.r.below(3) {
        let seq = g.r.one_in(3).then(|| u64::from(g.r.below(5)));
        let start = g.k.list.len();
        g.usable = later.clone();
        let mut out: Vec<LaneId> = vec![];
        let index = |g: &mut Gen, i: Index| {
            let v = g.k.push(Inst::Index(i), LaneTy::I32);
            g.usable.push(v);
        };
        index(&mut g, Index::Col);
        if !g.rows.is_empty() {
            let axis = g.r.below(g.rows.len() as u32);
            index(&mut g, Index::Row(axis));
        }
        if seq.is_some() {
            index(&mut g, Index::Seq);
        }
        if anchor.is_some() && g.r.one_in(2) {
            let ty = if matches!(anchor, Some(Anchor::Rng { .. })) { LaneTy::I32 } else { lane_ty(g.args[0].dtype) };
            let v = g.k.push(Inst::Anchor, ty);
            g.usable.push(v);
        }
        for _ in 0..4 + g.r.below(24) {
            match g.r.below(12) {
                0 | 1 => g.load(seq),
                2 => g.store(seq),
                3 if reduces || seq.is_some() => {
                    let ty = g.some_ty();
                    let mut kind: ReduceKind = g.pick();
                    if ty == LaneTy::Bool && !matches!(kind, ReduceKind::Max | ReduceKind::Min) {
                        kind = ReduceKind::Max;
                    }
                    let value = g.any(ty);
                    if seq.is_some() {
                        let v = g.k.push(Inst::Acc { kind, value }, ty);
                        g.usable.push(v);
                        out.push(v);
                    } else {
                        out.push(g.k.push(Inst::Reduce { kind, value }, ty));
                    }
                }
                _ => g.lane(),
            }
        }
        g.store(seq);
        if seq.is_none() {
            out.extend(g.usable.iter().filter(|v| v.0 as usize >= start));
        }
        later.extend(out);
        phases.push(Phase { seq, end: g.k.list.len() as u32 });
    }
    let (args, rows, insts) = (g.args, g.rows.into_iter().collect(), g.k.list);
    Kernel { name: format!("seed{seed}"), args, rows, cols, anchor, insts, phases, split }
}

#[test]
pub(super) fn random_kernels_compile_to_the_same_bits() {
    let many = std::env::var("NN_KERNELS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for seed in 0..many {
        let p = around(random_kernel(seed));
        let errors = verify_plan::program(&p);
        assert!(errors.is_empty(), "seed {seed}: {errors:?}\n{}", print::program(&p));
        assert_eq!(parse::program(&print::program(&p)).as_ref(), Ok(&p), "seed {seed} does not round trip");
        differ(&p, seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}
