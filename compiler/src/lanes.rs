//! Lane programs: straight-line SSA over vectors of 16 virtual lanes.
//!
//! This is the vocabulary that an op's `body` in the op table is written in and that kernels carry. It stands before
//! the graph because the op table needs it, and it is the one meaning that the kernel interpreter, Cranelift and later
//! back ends all lower. There is no control flow, no memory and no implicit contraction: every rounding is an op here.
//!
//! `x: F32, y: F32 -> mul, add` and `x, y, z -> fma` are different programs with different bits.

use nn_runtime::dtype::DType;
use std::collections::HashMap;

/// Lanes of a vector on every machine.
pub const LANES: usize = 16;

/// A value of a lane program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

/// The type of a lane value. Narrow and unsigned integers are `I32` in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneTy {
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// 32 bits, two's complement, wrapping.
    I32,
    /// A predicate.
    Bool,
}

impl LaneTy {
    /// Floating point?
    pub fn is_float(self) -> bool {
        matches!(self, LaneTy::F32 | LaneTy::F64)
    }
}

/// Whether lanes load and store the dtype.
pub fn has_lanes(d: DType) -> bool {
    !matches!(d, DType::I64 | DType::Bf16 | DType::F16)
}

/// Unary lane ops. Where nothing else is said, a float op takes either float type and gives the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneUn {
    /// `-x`, flips the sign bit.
    FNeg,
    /// Clears the sign bit.
    FAbs,
    /// Correctly rounded square root.
    FSqrt,
    /// Toward minus infinity.
    FFloor,
    /// To nearest, ties to even.
    FRoundEven,
    /// Predicate negation.
    BNot,
    /// Signed int to `F32`, to nearest even.
    IToF,
    /// Unsigned int to `F32`, to nearest even.
    UToF,
    /// Signed int to `F64`, exact.
    IToD,
    /// Unsigned int to `F64`, exact.
    UToD,
    /// `F32` to `F64`, exact.
    FToD,
    /// `F64` to `F32`, to nearest even.
    DToF,
    /// Float to signed int: toward zero, saturating, NaN gives 0.
    FToI,
    /// Same bits, from `F32`. Of a NaN, the bits of some NaN.
    BitsFToI,
    /// Same bits, to `F32`.
    BitsIToF,
    /// The upper word of an `F64`: sign, exponent, 20 bits of significand. Of a NaN, that of some NaN.
    BitsHi,
    /// The lower word of an `F64`. Of a NaN, that of some NaN.
    BitsLo,
    /// 0 or 1.
    BToI,
    /// 0.0 or 1.0 in `F32`.
    BToF,
    /// `x != 0`.
    IToB,
}

/// Binary lane ops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneBin {
    /// `a + b`
    FAdd,
    /// `a - b`
    FSub,
    /// `a * b`
    FMul,
    /// `a / b`
    FDiv,
    /// `b` if `a < b`, else `a`, and NaN if either is NaN; `max(-0, +0)` is the first operand.
    FMax,
    /// `b` if `b < a`, else `a`, and NaN if either is NaN.
    FMin,
    /// Wrapping.
    IAdd,
    /// Wrapping.
    ISub,
    /// Wrapping.
    IMul,
    /// Toward zero; by 0 gives 0, `MIN / -1` wraps.
    IDiv,
    /// Sign of the dividend; by 0 gives 0.
    IRem,
    /// Signed.
    IMax,
    /// Signed.
    IMin,
    /// Bits.
    IAnd,
    /// Bits.
    IOr,
    /// Bits.
    IXor,
    /// Left, count modulo 32.
    IShl,
    /// Logical right, count modulo 32.
    IShrU,
    /// Arithmetic right, count modulo 32.
    IShrS,
    /// Predicates.
    BAnd,
    /// Predicates.
    BOr,
    /// Predicates.
    BXor,
    /// The `F64` of an upper and a lower word.
    BitsPair,
}

/// Comparisons; float ones are false on NaN except `FNe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum LaneCmp {
    FEq,
    FNe,
    FLt,
    FLe,
    FGt,
    FGe,
    IEq,
    INe,
    ILt,
    ILe,
    IGt,
    IGe,
    /// Unsigned.
    ULt,
}

/// A pure lane operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneOp {
    /// An `F32` constant, by bits.
    ConstF(u32),
    /// An `F64` constant, by bits.
    ConstD(u64),
    /// An int constant.
    ConstI(i32),
    /// A predicate constant.
    ConstB(bool),
    /// The n-th argument of an op's body; absent from kernels.
    Arg(u32, LaneTy),
    /// One operand.
    Un(LaneUn, LaneId),
    /// Two operands.
    Bin(LaneBin, LaneId, LaneId),
    /// A comparison.
    Cmp(LaneCmp, LaneId, LaneId),
    /// `a * b + c` with one rounding.
    Fma(LaneId, LaneId, LaneId),
    /// `c ? a : b`, a and b of one type.
    Select(LaneId, LaneId, LaneId),
}

impl LaneOp {
    /// The operands in order.
    pub fn operands(&self) -> impl Iterator<Item = LaneId> + use<> {
        let (a, b, c) = match *self {
            LaneOp::ConstF(_) | LaneOp::ConstD(_) | LaneOp::ConstI(_) | LaneOp::ConstB(_) | LaneOp::Arg(..) => {
                (None, None, None)
            }
            LaneOp::Un(_, a) => (Some(a), None, None),
            LaneOp::Bin(_, a, b) | LaneOp::Cmp(_, a, b) => (Some(a), Some(b), None),
            LaneOp::Fma(a, b, c) | LaneOp::Select(a, b, c) => (Some(a), Some(b), Some(c)),
        };
        [a, b, c].into_iter().flatten()
    }

    /// The same op on other operands.
    pub fn map(self, mut f: impl FnMut(LaneId) -> LaneId) -> LaneOp {
        match self {
            LaneOp::ConstF(_) | LaneOp::ConstD(_) | LaneOp::ConstI(_) | LaneOp::ConstB(_) | LaneOp::Arg(..) => self,
            LaneOp::Un(o, a) => LaneOp::Un(o, f(a)),
            LaneOp::Bin(o, a, b) => LaneOp::Bin(o, f(a), f(b)),
            LaneOp::Cmp(o, a, b) => LaneOp::Cmp(o, f(a), f(b)),
            LaneOp::Fma(a, b, c) => LaneOp::Fma(f(a), f(b), f(c)),
            LaneOp::Select(a, b, c) => LaneOp::Select(f(a), f(b), f(c)),
        }
    }

    /// A constant?
    pub fn is_const(&self) -> bool {
        matches!(self, LaneOp::ConstF(_) | LaneOp::ConstD(_) | LaneOp::ConstI(_) | LaneOp::ConstB(_))
    }

    /// The constant `x` of a float type, rounded to it.
    pub fn float(ty: LaneTy, x: f64) -> LaneOp {
        if ty == LaneTy::F64 { LaneOp::ConstD(x.to_bits()) } else { LaneOp::ConstF((x as f32).to_bits()) }
    }

    /// The result type, given the types of the operands.
    pub fn ty(&self, of: impl Fn(LaneId) -> LaneTy) -> LaneTy {
        use LaneTy::*;
        match *self {
            LaneOp::ConstF(_) => F32,
            LaneOp::ConstD(_) => F64,
            LaneOp::ConstI(_) => I32,
            LaneOp::ConstB(_) | LaneOp::Cmp(..) => Bool,
            LaneOp::Arg(_, t) => t,
            LaneOp::Un(o, a) => match o {
                LaneUn::FNeg | LaneUn::FAbs | LaneUn::FSqrt | LaneUn::FFloor | LaneUn::FRoundEven => of(a),
                LaneUn::IToF | LaneUn::UToF | LaneUn::DToF | LaneUn::BitsIToF | LaneUn::BToF => F32,
                LaneUn::IToD | LaneUn::UToD | LaneUn::FToD => F64,
                LaneUn::FToI | LaneUn::BitsFToI | LaneUn::BitsHi | LaneUn::BitsLo | LaneUn::BToI => I32,
                LaneUn::BNot | LaneUn::IToB => Bool,
            },
            LaneOp::Bin(o, a, _) => match o {
                LaneBin::FAdd | LaneBin::FSub | LaneBin::FMul | LaneBin::FDiv | LaneBin::FMax | LaneBin::FMin => of(a),
                LaneBin::BAnd | LaneBin::BOr | LaneBin::BXor => Bool,
                LaneBin::BitsPair => F64,
                _ => I32,
            },
            LaneOp::Fma(a, ..) | LaneOp::Select(_, a, _) => of(a),
        }
    }
}

/// Something that lane ops can be appended to: a [`LaneProgram`] or a kernel body under construction.
/// Implementations intern, so equal ops are one value.
pub trait LaneBuilder {
    /// Appends an op, or finds the equal one.
    fn lane(&mut self, op: LaneOp) -> LaneId;
    /// The type of a value.
    fn lane_ty(&self, v: LaneId) -> LaneTy;

    /// An `F32` constant.
    fn f32(&mut self, x: f32) -> LaneId {
        self.lane(LaneOp::ConstF(x.to_bits()))
    }
    /// A float constant of the type of another value, rounded to it.
    fn float_like(&mut self, like: LaneId, x: f64) -> LaneId {
        let ty = self.lane_ty(like);
        self.lane(LaneOp::float(ty, x))
    }
    /// An int constant.
    fn i32(&mut self, x: i32) -> LaneId {
        self.lane(LaneOp::ConstI(x))
    }
    /// One operand.
    fn un(&mut self, op: LaneUn, a: LaneId) -> LaneId {
        self.lane(LaneOp::Un(op, a))
    }
    /// Two operands.
    fn bin(&mut self, op: LaneBin, a: LaneId, b: LaneId) -> LaneId {
        self.lane(LaneOp::Bin(op, a, b))
    }
    /// A comparison.
    fn cmp(&mut self, op: LaneCmp, a: LaneId, b: LaneId) -> LaneId {
        self.lane(LaneOp::Cmp(op, a, b))
    }
    /// `a * b + c`, one rounding.
    fn fma(&mut self, a: LaneId, b: LaneId, c: LaneId) -> LaneId {
        self.lane(LaneOp::Fma(a, b, c))
    }
    /// `c ? a : b`.
    fn select(&mut self, c: LaneId, a: LaneId, b: LaneId) -> LaneId {
        self.lane(LaneOp::Select(c, a, b))
    }
}

/// A self-contained lane program: arguments in, one result out. How an op's body is tested on its own.
#[derive(Clone, Debug, Default)]
pub struct LaneProgram {
    /// The ops; value `i` is the result of op `i`.
    pub ops: Vec<LaneOp>,
    /// Their types.
    pub types: Vec<LaneTy>,
    index: HashMap<LaneOp, LaneId>,
}

impl LaneProgram {
    /// The n-th argument.
    pub fn arg(&mut self, n: u32, ty: LaneTy) -> LaneId {
        self.lane(LaneOp::Arg(n, ty))
    }
}

impl LaneBuilder for LaneProgram {
    fn lane(&mut self, op: LaneOp) -> LaneId {
        if let Some(&v) = self.index.get(&op) {
            return v;
        }
        let v = LaneId(self.ops.len() as u32);
        self.types.push(op.ty(|a| self.types[a.0 as usize]));
        self.ops.push(op);
        self.index.insert(op, v);
        v
    }
    fn lane_ty(&self, v: LaneId) -> LaneTy {
        self.types[v.0 as usize]
    }
}
