//! Elementwise ops: one row each, and nothing anywhere else.
//!
//! `eval` (f64, the reference meaning) and `body` (lane ops, what runs) are two independent statements of the same
//! function; generated tests compare them on `sample` and check `vjp` against finite differences of `eval`.
//!
//! Derivatives where a function has none, the one table that everything follows:
//!
//! | where | derivative |
//! |---|---|
//! | `max`, `min` of equal operands | half to each |
//! | `reduce max`, `reduce min` of equal elements | all to the first; the first NaN if there is one |
//! | `sqrt` at 0 | 0, so the norm of a zero vector has gradient 0 |
//! | `pow(a, b)` by `a` where b = 0 | 0; by `b` where a <= 0: 0 |
//! | `floor`, `round_even`, comparisons, bit ops, casts to ints | none flows |
//! | `select` | to the arm that was chosen; so relu'(0) = 0 and abs'(0) = 0 as std writes them |
//! | `scatter set` at one place twice | all to the last |
//! | `scatter max` of equal values | to the old value, else to the first update |
//!
//! A rule reads operands and saved results through predicates; none compares a recomputed float for equality, and none
//! multiplies by a 0/1 mask (0 * inf would be NaN).

use super::VjpArgs;
use super::lane_help::{compare, float_rem, int_div, int_rem, max_min, narrow};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::tensor::wrap;
use crate::graph::ty::TensorTy;
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
    /// Reference meaning on elements of the dtype (of the first data operand). Floats are exact in f64; ints are in range
    /// and stay in range.
    pub eval: fn(DType, &[f64]) -> f64,
    /// Lane code for operands of the dtype (of the first data operand). Lanes of narrow ints hold values in range.
    pub body: fn(&mut dyn LaneBuilder, DType, &[LaneId]) -> LaneId,
    /// Cotangents of the operands. `None` where no gradient flows at all.
    pub vjp: Option<EwVjp>,
    /// Where to sample operands for tests: inside the domain, away from kinks.
    pub sample: &'static [(f64, f64)],
    /// Largest error of `body` in f32 and f64 against the exact value, in units in the last place.
    pub ulp: f64,
    /// Has a derivative of every order at sampled points.
    pub smooth: bool,
}

/// Builds the cotangent of each operand from the operands, the result and the result's cotangent.
pub type EwVjp = fn(&mut Builder, VjpArgs) -> Vec<Option<ValueId>>;

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

impl TyRule {
    /// May data operands have this dtype?
    pub fn accepts(self, d: DType) -> bool {
        match self {
            TyRule::Float => d.is_float(),
            TyRule::Num => d.is_float() || d.is_int(),
            TyRule::Int => d.is_int(),
            TyRule::Compare | TyRule::Select => true,
            TyRule::Logic => !d.is_float(),
        }
    }

    /// What data operands may be, in words.
    pub fn words(self) -> &'static str {
        match self {
            TyRule::Float => "floats",
            TyRule::Num => "floats or ints",
            TyRule::Int => "ints",
            TyRule::Compare | TyRule::Select => "operands of any dtype",
            TyRule::Logic => "bools or ints",
        }
    }
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
            /// The op of a name.
            pub fn parse(name: &str) -> Option<Ew> {
                Ew::ALL.iter().copied().find(|e| e.spec().name == name)
            }

            /// The op's row.
            pub fn spec(self) -> &'static EwSpec {
                match self {
                    $(Ew::$op => { static ROW: EwSpec = EwSpec { $($field: $value),* }; &ROW })*
                }
            }
        }
    };
}

impl Ew {
    /// The type rule: operands of one shape, dtypes as the row says.
    pub fn infer(self, x: &[&TensorTy]) -> Result<TensorTy, String> {
        let row = self.spec();
        let name = row.name;
        if x.len() != row.arity {
            return Err(format!("`{name}` takes {} operands, got {}", row.arity, x.len()));
        }
        let data = if row.ty == TyRule::Select { &x[1..] } else { x };
        if row.ty == TyRule::Select && x[0].dtype != DType::Bool {
            return Err(format!("`{name}` chooses by a bool, got {}", x[0]));
        }
        for t in x {
            if t.shape != data[0].shape {
                return Err(format!("`{name}` takes operands of one shape, got {t} and {}", data[0]));
            }
        }
        for t in data {
            if t.dtype != data[0].dtype {
                return Err(format!("`{name}` takes operands of one dtype, got {t} and {}", data[0]));
            }
            if !row.ty.accepts(t.dtype) {
                return Err(format!("`{name}` takes {}, got {t}", row.ty.words()));
            }
        }
        let dtype = if row.ty == TyRule::Compare { DType::Bool } else { data[0].dtype };
        Ok(data[0].with_dtype(dtype))
    }

    /// The dtype that `eval` and `body` go by, from the operands' dtypes.
    pub fn data_dtype(self, operands: &[DType]) -> DType {
        operands[usize::from(self.spec().ty == TyRule::Select)]
    }
}

/// An int function of one or two operands, wrapped to the dtype.
fn int(d: DType, x: &[f64], f: impl Fn(i64, i64) -> i64) -> f64 {
    wrap(d, f(x[0] as i64, x.get(1).copied().unwrap_or(0.0) as i64))
}

/// A predicate as a number.
fn yes(p: bool) -> f64 {
    f64::from(u8::from(p))
}

/// A shift count: modulo 32, or 64 for 64-bit ints.
fn count(d: DType, n: i64) -> u32 {
    (n & if d == DType::I64 { 63 } else { 31 }) as u32
}

/// Cotangents of `max` and `min`: to the operand that `wins` says, half to each on a tie, to neither on NaN.
fn extreme_vjp(b: &mut Builder, a: VjpArgs, wins: Ew) -> Vec<Option<ValueId>> {
    let zero = b.zeros_like(a.dy);
    let half = b.splat_like(a.dy, if nn_runtime::mutant!("grad.max_tie") { 1.0 } else { 0.5 });
    let half = b.ew(Ew::Mul, &[a.dy, half]);
    let tie = b.ew(Ew::Eq, &[a.x[0], a.x[1]]);
    let tied = b.ew(Ew::Select, &[tie, half, zero]);
    let mut arm = |i: usize| {
        a.need[i].then(|| {
            let first = b.ew(wins, &[a.x[i], a.x[1 - i]]);
            b.ew(Ew::Select, &[first, a.dy, tied])
        })
    };
    vec![arm(0), arm(1)]
}

elementwise! {
    Neg {
        name: "neg", arity: 1, doc: "Negation. y = -x",
        ty: TyRule::Num,
        eval: |d, x| if d.is_float() { -x[0] } else { int(d, x, |a, _| a.wrapping_neg()) },
        body: |k, d, x| if d.is_float() {
            k.un(LaneUn::FNeg, x[0])
        } else {
            let z = k.i32(0);
            let y = k.bin(LaneBin::ISub, z, x[0]);
            narrow(k, d, y)
        },
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
    Log {
        name: "log", arity: 1, doc: "Natural logarithm. y = ln x; -inf at 0, NaN below",
        ty: TyRule::Float,
        eval: |_, x| x[0].ln(),
        body: |k, _, x| math::log(k, x[0]),
        vjp: Some(|b, a| vec![Some(b.ew(Ew::Div, &[a.dy, a.x[0]]))]),
        sample: &[(0.1, 8.0)], ulp: 2.0, smooth: true,
    }
    Expm1 {
        name: "expm1", arity: 1, doc: "Exponential minus one, exact near 0. y = e^x - 1",
        ty: TyRule::Float,
        eval: |_, x| x[0].exp_m1(),
        body: |k, _, x| math::expm1(k, x[0]),
        vjp: Some(|b, a| {
            let one = b.splat_like(a.y, 1.0);
            let e = b.ew(Ew::Add, &[a.y, one]);
            vec![Some(b.ew(Ew::Mul, &[a.dy, e]))]
        }),
        sample: &[(-3.0, 3.0)], ulp: 2.0, smooth: true,
    }
    Log1p {
        name: "log1p", arity: 1, doc: "Logarithm of one plus x, exact near 0. y = ln(1 + x)",
        ty: TyRule::Float,
        eval: |_, x| x[0].ln_1p(),
        body: |k, _, x| math::log1p(k, x[0]),
        vjp: Some(|b, a| {
            let one = b.splat_like(a.x[0], 1.0);
            let d = b.ew(Ew::Add, &[one, a.x[0]]);
            vec![Some(b.ew(Ew::Div, &[a.dy, d]))]
        }),
        sample: &[(-0.8, 6.0)], ulp: 2.0, smooth: true,
    }
    Sqrt {
        name: "sqrt", arity: 1, doc: "Square root, correctly rounded. y = x^(1/2); NaN below 0",
        ty: TyRule::Float,
        eval: |_, x| x[0].sqrt(),
        body: |k, _, x| k.un(LaneUn::FSqrt, x[0]),
        vjp: Some(|b, a| {
            let half = b.splat_like(a.dy, 0.5);
            let zero = b.zeros_like(a.dy);
            let g = b.ew(Ew::Mul, &[a.dy, half]);
            let g = b.ew(Ew::Div, &[g, a.y]);
            let at_zero = b.ew(Ew::Eq, &[a.x[0], zero]);
            vec![Some(if nn_runtime::mutant!("grad.sqrt_zero") { g } else { b.ew(Ew::Select, &[at_zero, zero, g]) })]
        }),
        sample: &[(0.2, 6.0)], ulp: 0.5, smooth: true,
    }
    Sin {
        name: "sin", arity: 1, doc: "Sine of radians. y = sin x",
        ty: TyRule::Float,
        eval: |_, x| x[0].sin(),
        body: |k, _, x| math::sin(k, x[0]),
        vjp: Some(|b, a| {
            let c = b.ew(Ew::Cos, &[a.x[0]]);
            vec![Some(b.ew(Ew::Mul, &[a.dy, c]))]
        }),
        sample: &[(-4.0, 4.0)], ulp: 2.0, smooth: true,
    }
    Cos {
        name: "cos", arity: 1, doc: "Cosine of radians. y = cos x",
        ty: TyRule::Float,
        eval: |_, x| x[0].cos(),
        body: |k, _, x| math::cos(k, x[0]),
        vjp: Some(|b, a| {
            let s = b.ew(Ew::Sin, &[a.x[0]]);
            let s = b.ew(Ew::Neg, &[s]);
            vec![Some(b.ew(Ew::Mul, &[a.dy, s]))]
        }),
        sample: &[(-4.0, 4.0)], ulp: 2.0, smooth: true,
    }
    Tanh {
        name: "tanh", arity: 1, doc: "Hyperbolic tangent. y = tanh x",
        ty: TyRule::Float,
        eval: |_, x| x[0].tanh(),
        body: |k, _, x| math::tanh(k, x[0]),
        vjp: Some(|b, a| {
            let one = b.splat_like(a.y, 1.0);
            let yy = b.ew(Ew::Mul, &[a.y, if nn_runtime::mutant!("grad.tanh") { a.x[0] } else { a.y }]);
            let d = b.sub(one, yy);
            vec![Some(b.ew(Ew::Mul, &[a.dy, d]))]
        }),
        sample: &[(-3.0, 3.0)], ulp: 2.0, smooth: true,
    }
    Erf {
        name: "erf", arity: 1, doc: "Error function. y = 2/sqrt(pi) * integral of e^(-t^2) from 0 to x",
        ty: TyRule::Float,
        eval: |_, x| erf(x[0]),
        body: |k, _, x| math::erf(k, x[0]),
        vjp: Some(|b, a| {
            let c = b.splat_like(a.dy, std::f64::consts::FRAC_2_SQRT_PI);
            let xx = b.ew(Ew::Mul, &[a.x[0], a.x[0]]);
            let e = b.ew(Ew::Neg, &[xx]);
            let e = b.ew(Ew::Exp, &[e]);
            let d = b.ew(Ew::Mul, &[c, e]);
            vec![Some(b.ew(Ew::Mul, &[a.dy, d]))]
        }),
        sample: &[(-3.0, 3.0)], ulp: 2.0, smooth: true,
    }
    Floor {
        name: "floor", arity: 1, doc: "Largest integer not above x",
        ty: TyRule::Float,
        eval: |_, x| x[0].floor(),
        body: |k, _, x| k.un(LaneUn::FFloor, x[0]),
        vjp: None,
        sample: &[(2.1, 2.9)], ulp: 0.0, smooth: false,
    }
    RoundEven {
        name: "round_even", arity: 1, doc: "Nearest integer, halves to even",
        ty: TyRule::Float,
        eval: |_, x| x[0].round_ties_even(),
        body: |k, _, x| k.un(LaneUn::FRoundEven, x[0]),
        vjp: None,
        sample: &[(1.6, 2.4)], ulp: 0.0, smooth: false,
    }
    Add {
        name: "add", arity: 2, doc: "Sum. y = a + b; ints wrap",
        ty: TyRule::Num,
        eval: |d, x| if d.is_float() { x[0] + x[1] } else { int(d, x, i64::wrapping_add) },
        body: |k, d, x| {
            let y = k.bin(if d.is_float() { LaneBin::FAdd } else { LaneBin::IAdd }, x[0], x[1]);
            narrow(k, d, y)
        },
        vjp: Some(|_, a| vec![Some(a.dy), Some(a.dy)]),
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.5, smooth: true,
    }
    Mul {
        name: "mul", arity: 2, doc: "Product. y = a * b; ints wrap",
        ty: TyRule::Num,
        eval: |d, x| if d.is_float() { x[0] * x[1] } else { int(d, x, i64::wrapping_mul) },
        body: |k, d, x| {
            let y = k.bin(if d.is_float() { LaneBin::FMul } else { LaneBin::IMul }, x[0], x[1]);
            narrow(k, d, y)
        },
        vjp: Some(|b, a| vec![
            a.need[0].then(|| b.ew(Ew::Mul, &[a.dy, a.x[1]])),
            a.need[1].then(|| b.ew(Ew::Mul, &[a.dy, a.x[0]])),
        ]),
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.5, smooth: true,
    }
    Div {
        name: "div", arity: 2, doc: "Quotient. y = a / b; ints truncate toward zero, x / 0 = 0",
        ty: TyRule::Num,
        eval: |d, x| if d.is_float() {
            x[0] / x[1]
        } else {
            int(d, x, |a, b| a.checked_div(b).unwrap_or(if b == 0 { 0 } else { a }))
        },
        body: |k, d, x| if d.is_float() { k.bin(LaneBin::FDiv, x[0], x[1]) } else { int_div(k, d, x[0], x[1]) },
        vjp: Some(|b, a| {
            let g = b.ew(Ew::Div, &[a.dy, a.x[1]]);
            let db = a.need[1].then(|| {
                let n = b.ew(Ew::Neg, &[a.y]);
                b.ew(Ew::Mul, &[g, n])
            });
            vec![Some(g), db]
        }),
        sample: &[(-3.0, 3.0), (0.3, 3.0)], ulp: 0.5, smooth: true,
    }
    Rem {
        name: "rem", arity: 2,
        doc: "Remainder with the sign of a. y = a - b * trunc(a / b), exact; ints: x rem 0 = 0",
        ty: TyRule::Num,
        eval: |d, x| if d.is_float() { x[0] % x[1] } else { int(d, x, |a, b| a.checked_rem(b).unwrap_or(0)) },
        body: |k, d, x| if d.is_float() { float_rem(k, x[0], x[1]) } else { int_rem(k, d, x[0], x[1]) },
        vjp: Some(|b, a| {
            let db = a.need[1].then(|| {
                let whole = b.sub(a.y, a.x[0]);
                let q = b.ew(Ew::Div, &[whole, a.x[1]]);
                let q = b.ew(Ew::RoundEven, &[q]);
                b.ew(Ew::Mul, &[a.dy, q])
            });
            vec![Some(a.dy), db]
        }),
        sample: &[(5.3, 5.7), (2.1, 2.4)], ulp: 0.0, smooth: true,
    }
    Pow {
        name: "pow", arity: 2, doc: "Power. y = a^b; NaN for a < 0 unless b is an integer",
        ty: TyRule::Float,
        eval: |_, x| x[0].powf(x[1]),
        body: |k, _, x| math::pow(k, x[0], x[1]),
        vjp: Some(|b, a| {
            let zero = b.zeros_like(a.dy);
            let da = a.need[0].then(|| {
                let one = b.splat_like(a.dy, 1.0);
                let less = b.sub(a.x[1], one);
                let p = b.ew(Ew::Pow, &[a.x[0], less]);
                let p = b.ew(Ew::Mul, &[a.x[1], p]);
                let g = b.ew(Ew::Mul, &[a.dy, p]);
                let flat = b.ew(Ew::Eq, &[a.x[1], zero]);
                b.ew(Ew::Select, &[flat, zero, g])
            });
            let db = a.need[1].then(|| {
                let l = b.ew(Ew::Log, &[a.x[0]]);
                let p = b.ew(Ew::Mul, &[a.y, l]);
                let g = b.ew(Ew::Mul, &[a.dy, p]);
                let inside = b.ew(Ew::Gt, &[a.x[0], zero]);
                b.ew(Ew::Select, &[inside, g, zero])
            });
            vec![da, db]
        }),
        sample: &[(0.3, 2.5), (0.5, 2.0)], ulp: 2.0, smooth: true,
    }
    Max {
        name: "max", arity: 2, doc: "Larger operand; NaN if either is NaN, a on a tie",
        ty: TyRule::Num,
        eval: |_, x| if x[0].is_nan() || x[1].is_nan() { f64::NAN } else if x[0] < x[1] { x[1] } else { x[0] },
        body: |k, d, x| max_min(k, d, true, x[0], x[1]),
        vjp: Some(|b, a| extreme_vjp(b, a, Ew::Gt)),
        sample: &[(-3.0, 0.2), (0.3, 3.0)], ulp: 0.0, smooth: false,
    }
    Min {
        name: "min", arity: 2, doc: "Smaller operand; NaN if either is NaN, a on a tie",
        ty: TyRule::Num,
        eval: |_, x| if x[0].is_nan() || x[1].is_nan() { f64::NAN } else if x[1] < x[0] { x[1] } else { x[0] },
        body: |k, d, x| max_min(k, d, false, x[0], x[1]),
        vjp: Some(|b, a| extreme_vjp(b, a, Ew::Lt)),
        sample: &[(-3.0, 0.2), (0.3, 3.0)], ulp: 0.0, smooth: false,
    }
    Eq {
        name: "eq", arity: 2, doc: "Equal. y = a == b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] == x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FEq, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Ne {
        name: "ne", arity: 2, doc: "Not equal. y = a != b, true on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] != x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FNe, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Lt {
        name: "lt", arity: 2, doc: "Less. y = a < b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] < x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FLt, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Le {
        name: "le", arity: 2, doc: "Less or equal. y = a <= b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] <= x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FLe, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Gt {
        name: "gt", arity: 2, doc: "Greater. y = a > b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] > x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FGt, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    Ge {
        name: "ge", arity: 2, doc: "Greater or equal. y = a >= b, false on NaN",
        ty: TyRule::Compare,
        eval: |_, x| yes(x[0] >= x[1]),
        body: |k, d, x| compare(k, d, LaneCmp::FGe, x[0], x[1]),
        vjp: None,
        sample: &[(-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: false,
    }
    And {
        name: "and", arity: 2, doc: "Both; on ints bit by bit",
        ty: TyRule::Logic,
        eval: |d, x| int(d, x, |a, b| a & b),
        body: |k, d, x| k.bin(if d == DType::Bool { LaneBin::BAnd } else { LaneBin::IAnd }, x[0], x[1]),
        vjp: None,
        sample: &[(0.0, 1.0), (0.0, 1.0)], ulp: 0.0, smooth: false,
    }
    Or {
        name: "or", arity: 2, doc: "Either; on ints bit by bit",
        ty: TyRule::Logic,
        eval: |d, x| int(d, x, |a, b| a | b),
        body: |k, d, x| k.bin(if d == DType::Bool { LaneBin::BOr } else { LaneBin::IOr }, x[0], x[1]),
        vjp: None,
        sample: &[(0.0, 1.0), (0.0, 1.0)], ulp: 0.0, smooth: false,
    }
    Xor {
        name: "xor", arity: 2, doc: "Exactly one; on ints bit by bit",
        ty: TyRule::Logic,
        eval: |d, x| int(d, x, |a, b| a ^ b),
        body: |k, d, x| k.bin(if d == DType::Bool { LaneBin::BXor } else { LaneBin::IXor }, x[0], x[1]),
        vjp: None,
        sample: &[(0.0, 1.0), (0.0, 1.0)], ulp: 0.0, smooth: false,
    }
    Not {
        name: "not", arity: 1, doc: "Negation; on ints bit by bit",
        ty: TyRule::Logic,
        eval: |d, x| if d == DType::Bool { 1.0 - x[0] } else { int(d, x, |a, _| !a) },
        body: |k, d, x| if d == DType::Bool {
            k.un(LaneUn::BNot, x[0])
        } else {
            let ones = k.i32(-1);
            let y = k.bin(LaneBin::IXor, x[0], ones);
            narrow(k, d, y)
        },
        vjp: None,
        sample: &[(0.0, 1.0)], ulp: 0.0, smooth: false,
    }
    Shl {
        name: "shl", arity: 2, doc: "Left shift, the count modulo 32 (64 for i64)",
        ty: TyRule::Int,
        eval: |d, x| int(d, x, |a, n| a.wrapping_shl(count(d, n))),
        body: |k, d, x| {
            let y = k.bin(LaneBin::IShl, x[0], x[1]);
            narrow(k, d, y)
        },
        vjp: None,
        sample: &[(0.0, 100.0), (0.0, 31.0)], ulp: 0.0, smooth: false,
    }
    Shr {
        name: "shr", arity: 2, doc: "Right shift, the count modulo 32 (64 for i64); fills with the sign for signed ints",
        ty: TyRule::Int,
        eval: |d, x| int(d, x, |a, n| a >> count(d, n)),
        body: |k, d, x| k.bin(if d == DType::U32 { LaneBin::IShrU } else { LaneBin::IShrS }, x[0], x[1]),
        vjp: None,
        sample: &[(0.0, 100.0), (0.0, 31.0)], ulp: 0.0, smooth: false,
    }
    Select {
        name: "select", arity: 3, doc: "Choice. y = c ? a : b",
        ty: TyRule::Select,
        eval: |_, x| if x[0] != 0.0 { x[1] } else { x[2] },
        body: |k, _, x| k.select(x[0], x[1], x[2]),
        vjp: Some(|b, a| {
            let zero = b.zeros_like(a.dy);
            vec![
                None,
                a.need[1].then(|| b.ew(Ew::Select, &[a.x[0], a.dy, zero])),
                a.need[2].then(|| b.ew(Ew::Select, &[a.x[0], zero, a.dy])),
            ]
        }),
        sample: &[(0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)], ulp: 0.0, smooth: true,
    }
}

/// The error function in f64: its Taylor series near 0, Lentz's continued fraction for `erfc` beyond.
fn erf(x: f64) -> f64 {
    let (a, z) = (x.abs(), x * x);
    if x.is_nan() {
        f64::NAN
    } else if a < 2.5 {
        // sum of x (2 x^2)^n / (1 3 5 .. (2n+1)) times 2/sqrt(pi) e^(-x^2): every term has the sign of x.
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > sum.abs() * 1e-18 {
            term *= 2.0 * z / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-z).exp() * sum
    } else if a > 6.5 {
        1f64.copysign(x)
    } else {
        // erfc(a) = e^(-a^2) / sqrt(pi) / (a + (1/2)/(a + 1/(a + (3/2)/(a + ..)))), from the inside out.
        let tail = (1..=120).rev().fold(a, |t, n| a + f64::from(n) * 0.5 / t);
        let erfc = (-z).exp() * std::f64::consts::FRAC_2_SQRT_PI * 0.5 / tail;
        (1.0 - erfc).copysign(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_the_published_values() {
        for (x, want) in [
            (0.5, 0.5204998778130465),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (2.6, 0.9997639655834707),
            (3.0, 0.9999779095030014),
        ] {
            assert!((erf(x) - want).abs() < 1e-15, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }

    #[test]
    fn names_are_unique_and_parse() {
        for &e in Ew::ALL {
            assert_eq!(Ew::parse(e.spec().name), Some(e));
            assert_eq!(e.spec().sample.len(), e.spec().arity);
        }
    }
}
