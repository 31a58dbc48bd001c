//! Lane ops as AVX-512 instructions: one `zmm` for 16 numbers, one mask register for 16 predicates.
//!
//! Every lowering gives the bits that `lanes_eval` gives; the only freedom is the payload of a NaN.

use super::body::Body;
use super::vcode::{Class, Constant, First, Item, Opnd, V, Width};
use crate::kernel::ir::Inst;
use crate::lanes::{LaneBin, LaneCmp, LaneId, LaneOp, LaneTy, LaneUn};
use iced_x86::Code;

/// A 512-bit operand.
pub(super) fn z(v: V) -> Opnd {
    Opnd::V(v, Width::Z)
}

/// The class of a lane type.
pub(super) fn class(t: LaneTy) -> Class {
    if t == LaneTy::Bool { Class::K } else { Class::Z }
}

const MOVE: Code = Code::EVEX_Vmovaps_zmm_k1z_zmmm512;
const COMPARE: Code = Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
const COMPARE_INT: Code = Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8;
/// Predicates of `vcmpps`.
const UNORDERED: u8 = 3;
const ORDERED: u8 = 7;

impl Body<'_> {
    /// A new register written by an instruction.
    pub(super) fn def(&mut self, class: Class, code: Code, operands: &[Opnd]) -> V {
        let d = self.f.new_v(class);
        self.write(d, code, operands);
        d
    }

    /// An instruction that writes `d`.
    pub(super) fn write(&mut self, d: V, code: Code, operands: &[Opnd]) {
        let mut ops = smallvec::SmallVec::<[Opnd; 4]>::from_slice(&[z(d)]);
        ops.extend_from_slice(operands);
        self.f.op(code, First::Def, &ops, None, false);
    }

    /// An instruction that writes the lanes of a new register that a mask picks, and 0 to the others.
    pub(super) fn def_where(&mut self, mask: V, code: Code, operands: &[Opnd]) -> V {
        let d = self.f.new_v(Class::Z);
        let mut ops = smallvec::SmallVec::<[Opnd; 4]>::from_slice(&[z(d)]);
        ops.extend_from_slice(operands);
        self.f.op(code, First::Def, &ops, Some(mask), true);
        d
    }

    /// `d` becomes the result in all lanes, or in those of a mask.
    fn put(&mut self, d: V, code: Code, operands: &[Opnd], mask: Option<V>) {
        let mut ops = smallvec::SmallVec::<[Opnd; 4]>::from_slice(&[z(d)]);
        ops.extend_from_slice(operands);
        self.f.op(code, if mask.is_some() { First::Edit } else { First::Def }, &ops, mask, false);
    }

    pub(super) fn word(&mut self, bits: u32) -> V {
        self.f.constant(Constant::Word(bits))
    }

    /// A copy in a register of its own.
    pub(super) fn copy(&mut self, v: V) -> V {
        match self.f.classes[v.0 as usize] {
            Class::Z => self.def(Class::Z, MOVE, &[z(v)]),
            Class::K => self.def(Class::K, Code::VEX_Kmovw_kr_km16, &[z(v)]),
        }
    }

    /// All predicates equal.
    pub(super) fn fill(&mut self, class: Class, ones: bool) -> V {
        let d = self.f.new_v(class);
        self.f.items.push(Item::Fill(d, ones));
        d
    }

    fn const_i32(&self, v: LaneId) -> Option<i32> {
        match self.k.insts[v.0 as usize] {
            Inst::Lane(LaneOp::ConstI(c)) => Some(c),
            _ => None,
        }
    }

    fn never_nan(&self, v: LaneId) -> bool {
        matches!(self.k.insts[v.0 as usize], Inst::Lane(LaneOp::ConstF(b)) if !f32::from_bits(b).is_nan())
    }

    /// A lane op whose operands are at hand. `None`: not supported here.
    pub(super) fn lane_op(&mut self, op: &LaneOp, args: &[V]) -> Option<V> {
        Some(match *op {
            LaneOp::ConstF(b) => self.word(b),
            LaneOp::ConstI(i) => self.word(i as u32),
            LaneOp::ConstB(b) => self.fill(Class::K, b),
            LaneOp::Arg(..) | LaneOp::ConstD(_) => return None,
            LaneOp::Un(o, _) => self.un(o, args[0])?,
            LaneOp::Bin(o, _, b) => {
                let d = self.f.new_v(self.f.classes[args[0].0 as usize]);
                self.bin(o, d, args[0], args[1], Some(b), None)?;
                d
            }
            LaneOp::Cmp(o, ..) => self.cmp(o, args[0], args[1]),
            LaneOp::Fma(..) => {
                let d = self.f.new_v(Class::Z);
                self.f.items.push(Item::Fma([d, args[0], args[1], args[2]]));
                d
            }
            LaneOp::Select(..) => {
                let (c, a, b) = (args[0], args[1], args[2]);
                match self.f.classes[a.0 as usize] {
                    Class::Z => {
                        let d = self.f.new_v(Class::Z);
                        let code = Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32;
                        self.f.op(code, First::Def, &[z(d), z(b), z(a)], Some(c), false);
                        d
                    }
                    Class::K => {
                        let yes = self.def(Class::K, Code::VEX_Kandw_kr_kr_kr, &[z(c), z(a)]);
                        let no = self.def(Class::K, Code::VEX_Kandnw_kr_kr_kr, &[z(c), z(b)]);
                        self.def(Class::K, Code::VEX_Korw_kr_kr_kr, &[z(yes), z(no)])
                    }
                }
            }
        })
    }

    fn un(&mut self, op: LaneUn, a: V) -> Option<V> {
        let x = Class::Z;
        Some(match op {
            LaneUn::FNeg => {
                let sign = self.word(0x8000_0000);
                self.def(x, Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, &[z(a), z(sign)])
            }
            LaneUn::FAbs => {
                let rest = self.word(0x7fff_ffff);
                self.def(x, Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, &[z(a), z(rest)])
            }
            LaneUn::FSqrt => self.def(x, Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, &[z(a)]),
            LaneUn::FFloor => self.def(x, Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, &[z(a), Opnd::Imm(9)]),
            LaneUn::FRoundEven => {
                self.def(x, Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, &[z(a), Opnd::Imm(8)])
            }
            LaneUn::BNot => self.def(Class::K, Code::VEX_Knotw_kr_kr, &[z(a)]),
            LaneUn::IToF => self.def(x, Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, &[z(a)]),
            LaneUn::UToF => self.def(x, Code::EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, &[z(a)]),
            LaneUn::FToI => {
                // The instruction gives MIN for all that does not fit: right below, wrong above and for NaN.
                let (limit, max) = (self.word(2_147_483_648f32.to_bits()), self.word(i32::MAX as u32));
                let number = self.def(Class::K, COMPARE, &[z(a), z(a), Opnd::Imm(ORDERED)]);
                let d = self.def_where(number, Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, &[z(a)]);
                let high = self.def(Class::K, COMPARE, &[z(a), z(limit), Opnd::Imm(0x1d)]);
                self.put(d, MOVE, &[z(max)], Some(high));
                d
            }
            LaneUn::BitsFToI | LaneUn::BitsIToF => a,
            LaneUn::BToI => {
                let one = self.word(1);
                self.def_where(a, MOVE, &[z(one)])
            }
            LaneUn::BToF => {
                let one = self.word(1f32.to_bits());
                self.def_where(a, MOVE, &[z(one)])
            }
            LaneUn::IToB => self.def(Class::K, Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, &[z(a), z(a)]),
            LaneUn::IToD | LaneUn::UToD | LaneUn::FToD | LaneUn::DToF | LaneUn::BitsHi | LaneUn::BitsLo => return None,
        })
    }

    /// `d = a op b`, in the lanes of a mask if there is one; `id_b` names `b` where it is an instruction of the kernel.
    pub(super) fn bin(&mut self, op: LaneBin, d: V, a: V, b: V, id_b: Option<LaneId>, mask: Option<V>) -> Option<()> {
        let code = match op {
            LaneBin::FAdd => Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
            LaneBin::FSub => Code::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er,
            LaneBin::FMul => Code::EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er,
            LaneBin::FDiv => Code::EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er,
            LaneBin::IAdd => Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32,
            LaneBin::ISub => Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IMul => Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IMax => Code::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IMin => Code::EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IAnd => Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IOr => Code::EVEX_Vpord_zmm_k1z_zmm_zmmm512b32,
            LaneBin::IXor => Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32,
            LaneBin::FMax | LaneBin::FMin => {
                let code = match op {
                    LaneBin::FMax => Code::EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae,
                    _ => Code::EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae,
                };
                // The instruction gives its second operand for equal ones and for NaN, so a NaN in `a` stays.
                self.put(d, code, &[z(b), z(a)], mask);
                if !id_b.is_some_and(|v| self.never_nan(v)) {
                    let nan = self.f.new_v(Class::K);
                    self.f.op(COMPARE, First::Def, &[z(nan), z(b), z(b), Opnd::Imm(UNORDERED)], mask, false);
                    self.put(d, MOVE, &[z(b)], Some(nan));
                }
                return Some(());
            }
            LaneBin::BitsPair => return None,
            LaneBin::IDiv | LaneBin::IRem if mask.is_some() => return None,
            LaneBin::IDiv | LaneBin::IRem => {
                self.divide(op == LaneBin::IRem, d, a, b);
                return Some(());
            }
            LaneBin::IShl | LaneBin::IShrU | LaneBin::IShrS => {
                if let Some(c) = id_b.and_then(|v| self.const_i32(v)) {
                    let code = match op {
                        LaneBin::IShl => Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8,
                        LaneBin::IShrU => Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8,
                        _ => Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8,
                    };
                    self.put(d, code, &[z(a), Opnd::Imm((c & 31) as u8)], mask);
                    return Some(());
                }
                let low = self.word(31);
                let count = self.def(Class::Z, Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, &[z(b), z(low)]);
                let code = match op {
                    LaneBin::IShl => Code::EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32,
                    LaneBin::IShrU => Code::EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32,
                    _ => Code::EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32,
                };
                self.put(d, code, &[z(a), z(count)], mask);
                return Some(());
            }
            LaneBin::BAnd => {
                // Lanes that a mask leaves out do not take part: they are true here and false below.
                let b = match mask {
                    Some(m) => {
                        let out = self.def(Class::K, Code::VEX_Knotw_kr_kr, &[z(m)]);
                        self.def(Class::K, Code::VEX_Korw_kr_kr_kr, &[z(b), z(out)])
                    }
                    None => b,
                };
                self.write(d, Code::VEX_Kandw_kr_kr_kr, &[z(a), z(b)]);
                return Some(());
            }
            LaneBin::BOr | LaneBin::BXor => {
                let b = match mask {
                    Some(m) => self.def(Class::K, Code::VEX_Kandw_kr_kr_kr, &[z(b), z(m)]),
                    None => b,
                };
                let code = if op == LaneBin::BOr { Code::VEX_Korw_kr_kr_kr } else { Code::VEX_Kxorw_kr_kr_kr };
                self.write(d, code, &[z(a), z(b)]);
                return Some(());
            }
        };
        self.put(d, code, &[z(a), z(b)], mask);
        Some(())
    }

    /// Quotients by way of `f64`: it holds every `i32`, and a quotient of two of them that is not whole is too far from the next
    /// whole number to be rounded to it. `MIN / -1` does not fit, which the conversion gives as MIN.
    fn divide(&mut self, rem: bool, d: V, a: V, b: V) {
        let y = |v| Opnd::V(v, Width::Y);
        let halves = [0, 1].map(|half| {
            let [a, b] = [a, b].map(|v| {
                let v = if half == 0 {
                    v
                } else {
                    let h = self.f.new_v(Class::Z);
                    let code = Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8;
                    self.f.op(code, First::Def, &[y(h), z(v), Opnd::Imm(1)], None, false);
                    h
                };
                self.def(Class::Z, Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er, &[y(v)])
            });
            let q = self.def(Class::Z, Code::EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er, &[z(a), z(b)]);
            let whole = self.f.new_v(Class::Z);
            let code = Code::EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae;
            self.f.op(code, First::Def, &[y(whole), z(q)], None, false);
            whole
        });
        let some = self.def(Class::K, Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, &[z(b), z(b)]);
        let q = if rem { self.f.new_v(Class::Z) } else { d };
        let join = [z(q), z(halves[0]), y(halves[1]), Opnd::Imm(1)];
        self.f.op(Code::EVEX_Vinserti32x8_zmm_k1z_zmm_ymmm256_imm8, First::Def, &join, Some(some), true);
        if rem {
            let p = self.def(Class::Z, Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32, &[z(q), z(b)]);
            let code = Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32;
            self.f.op(code, First::Def, &[z(d), z(a), z(p)], Some(some), true);
        }
    }

    fn cmp(&mut self, op: LaneCmp, a: V, b: V) -> V {
        let (code, predicate) = match op {
            LaneCmp::FEq => (COMPARE, 0),
            LaneCmp::FNe => (COMPARE, 4),
            LaneCmp::FLt => (COMPARE, 0x11),
            LaneCmp::FLe => (COMPARE, 0x12),
            LaneCmp::FGt => (COMPARE, 0x1e),
            LaneCmp::FGe => (COMPARE, 0x1d),
            LaneCmp::IEq => (COMPARE_INT, 0),
            LaneCmp::INe => (COMPARE_INT, 4),
            LaneCmp::ILt => (COMPARE_INT, 1),
            LaneCmp::ILe => (COMPARE_INT, 2),
            LaneCmp::IGt => (COMPARE_INT, 6),
            LaneCmp::IGe => (COMPARE_INT, 5),
            LaneCmp::ULt => (Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8, 1),
        };
        self.def(Class::K, code, &[z(a), z(b), Opnd::Imm(predicate)])
    }
}
