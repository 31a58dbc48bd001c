//! Elementwise ops: one row each, and nothing anywhere else.
//!
//! `eval` (f64, the reference meaning) and `body` (lane ops, what runs) are two independent statements of the same
//! function; generated tests compare them on `sample` and check `vjp` against finite differences of `eval`.

use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::lanes::{LaneBin, LaneBuilder, LaneCmp, LaneId, LaneUn};
use crate::lanes_math as math;
use nn_runtime::dtype::DType;

/// A row of the table.
pub struct EwSpec {
    /// Name in IR text and messages.
    pub name: &'static str,
    /// Number of operands.
    pub arity: usize,
    /// What it is, with its formula.
    pub doc: &'static str,
    /// The dtype rule.
    pub ty: TyRule,
    /// Reference meaning. Operands and result are exact in f64; ints wrap to the dtype afterwards.
    pub eval: fn(DType, &[f64]) -> f64,
    /// Lane code for operands of the dtype (of the first data operand).
    pub body: fn(&mut dyn LaneBuilder, DType, &[LaneId]) -> LaneId,
    /// Cotangents of the operands. `None` where no gradient flows at all.
    pub vjp: Option<VjpFn>,
    /// Where to sample operands for tests: inside the domain, away from kinks.
    pub sample: &'static [(f64, f64)],
    /// Largest error of `body` against `eval`, in units in the last place of f32.
    pub ulp: f64,
    /// Has a derivative of every order at sampled points.
    pub smooth: bool,
}

/// Builds the cotangent of each operand from the operands, the result and the result's cotangent.
pub type VjpFn = fn(&mut Builder, VjpArgs) -> Vec<Option<ValueId>>;

/// What a derivative rule sees.
#[derive(Clone, Copy)]
pub struct VjpArgs<'a> {
    /// Operands.
    pub x: &'a [ValueId],
    /// Result.
    pub y: ValueId,
    /// Cotangent of the result.
    pub dy: ValueId,
}

/// Operand and result dtypes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TyRule {
    /// Floats to the same float.
    Float,
    /// Floats or ints to the same.
    Num,
    /// Ints to the same.
    Int,
    /// Floats, ints or bools to bool.
    Compare,
    /// Bools or ints to the same.
    Logic,
    /// `bool, t, t -> t`
    Select,
}

macro_rules! elementwise {
    ($($op:ident { $($field:ident : $value:expr),* $(,)? })*) => {
        /// An elementwise op.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Ew { $($op),* }

        impl Ew {
            /// Every elementwise op, in table order.
            pub const ALL: &'static [Ew] = &[$(Ew::$op),*];
            /// The op's row.
            pub fn spec(self) -> &'static EwSpec {
                match self {
                    $(Ew::$op => { static ROW: EwSpec = EwSpec { $($field: $value),* }; &ROW })*
                }
            }
        }
    };
}

elementwise! {
    Neg {
        name: "neg", arity: 1, doc: "Negation. y = -x",
        ty: TyRule::Num,
        eval: |_, x| -x[0],
        body: |k, d, x| if d.is_float() { k.un(LaneUn::FNeg, x[0]) } else { let z = k.i32(0); k.bin(LaneBin::ISub, z, x[0]) },
        vjp: Some(|b, a| vec![Some(b.ew(Ew::Neg, &[a.dy]))]),
        sample: &[(-3.0, 3.0)], ulp: 0.0, smooth: true,
    }
    Exp {
        name: "exp", arity: 1, doc: "Exponential. y = e^x",
        ty: TyRule::Float,
        eval: |_, x| x[0].exp(),
        body: |k, _, x| math::exp(k, x[0]),
        vjp: Some(|b, a| vec![Some(b.ew(Ew::Mul, &[a.dy, a.y]))]),
        sample: &[(-5.0, 5.0)], ulp: 2.0, smooth: true,
    }
    Add {
        name: "add", arity: 2, doc: "Sum. y = a + b; ints wrap",
        ty: TyRule::Num,
        eval: |_, x| x[0] + x[1],
        body: |k, d, x| k.bin(if d.is_float() { LaneBin::FAdd } else { LaneBin::IAdd }, x[0], x[1]),
        vjp: Some(|_, a| vec![Some(a.dy), Some(a.dy)]),
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.5, smooth: true,
    }
    Mul {
        name: "mul", arity: 2, doc: "Product. y = a * b; ints wrap",
        ty: TyRule::Num,
        eval: |_, x| x[0] * x[1],
        body: |k, d, x| k.bin(if d.is_float() { LaneBin::FMul } else { LaneBin::IMul }, x[0], x[1]),
        vjp: Some(|b, a| vec![Some(b.ew(Ew::Mul, &[a.dy, a.x[1]])), Some(b.ew(Ew::Mul, &[a.dy, a.x[0]]))]),
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.5, smooth: true,
    }
    Lt {
        name: "lt", arity: 2, doc: "Less than. y = a < b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| f64::from(u8::from(x[0] < x[1])),
        body: |k, d, x| k.cmp(if d.is_float() { LaneCmp::FLt } else { LaneCmp::ILt }, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Select {
        name: "select", arity: 3, doc: "Choice. y = c ? a : b",
        ty: TyRule::Select,
        eval: |_, x| if x[0] != 0.0 { x[1] } else { x[2] },
        body: |k, _, x| k.select(x[0], x[1], x[2]),
        vjp: Some(|b, a| {
            let zero = b.zeros_like(a.dy);
            vec![None, Some(b.ew(Ew::Select, &[a.x[0], a.dy, zero])), Some(b.ew(Ew::Select, &[a.x[0], zero, a.dy]))]
        }),
        sample: &[(0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: true,
    }
}
