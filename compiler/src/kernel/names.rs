//! The spelling of lane ops, arenas and the like in IR text: one table for the printer and the parser.

use super::ir::{Arena, Role, Split};
use crate::graph::ops::ReduceKind;
use crate::lanes::{LaneBin, LaneCmp, LaneUn};

/// A finite set of things with names.
pub trait Named: Copy + PartialEq + 'static {
    /// All of them.
    const TABLE: &'static [(Self, &'static str)];
    /// The name.
    fn name(self) -> &'static str {
        Self::TABLE.iter().find(|(x, _)| *x == self).map_or("?", |(_, n)| n)
    }
    /// The thing of a name.
    fn from_name(s: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, n)| *n == s).map(|(x, _)| *x)
    }
}

macro_rules! named {
    ($($ty:ident { $($variant:ident $name:literal),* $(,)? })*) => {
        $(impl Named for $ty { const TABLE: &'static [(Self, &'static str)] = &[$(($ty::$variant, $name)),*]; })*
    };
}

named! {
    LaneUn {
        FNeg "fneg", FAbs "fabs", FSqrt "fsqrt", FFloor "ffloor", FRoundEven "froundeven", BNot "bnot", IToF "itof",
        UToF "utof", IToD "itod", UToD "utod", FToD "ftod", DToF "dtof", FToI "ftoi", BitsFToI "bits.ftoi", BitsIToF "bits.itof", BitsHi "bits.hi", BitsLo "bits.lo", BToI "btoi", BToF "btof", IToB "itob",
    }
    LaneBin {
        FAdd "fadd", FSub "fsub", FMul "fmul", FDiv "fdiv", FMax "fmax", FMin "fmin", IAdd "iadd", ISub "isub",
        IMul "imul", IDiv "idiv", IRem "irem", IMax "imax", IMin "imin", IAnd "iand", IOr "ior", IXor "ixor",
        IShl "ishl", IShrU "ishr.u", IShrS "ishr.s", BAnd "band", BOr "bor", BXor "bxor", BitsPair "bits.pair",
    }
    LaneCmp {
        FEq "feq", FNe "fne", FLt "flt", FLe "fle", FGt "fgt", FGe "fge", IEq "ieq", INe "ine", ILt "ilt", ILe "ile",
        IGt "igt", IGe "ige", ULt "ult",
    }
    ReduceKind { Sum "sum", Max "max", Min "min", Prod "prod" }
    Role { In "in", Out "out", InOut "inout" }
    Split { None "none", Rows "rows", Cols "cols" }
    Arena {
        Param "param", State "state", Const "const", Data "data", Step "step", Temp "temp", Output "output",
    }
}
