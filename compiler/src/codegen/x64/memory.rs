//! Loads and stores of 16 lanes: contiguous, repeated, strided, and at computed indices.
//!
//! Nothing outside the live lanes is read or written: the last strip has a mask. Every affine access has a base address per
//! row, in a scalar register while there are some and else in the frame; the column is always in `rcx`, the step in `rsi`.

use super::body::{Body, Strip};
use super::lower::{class, z};
use super::vcode::{Class, Constant, First, Index, Mem, Opnd, V, Width};
use crate::kernel::ir::{Access, ArgId};
use crate::lanes::LaneTy;
use iced_x86::code_asm::{
    AsmMemoryOperand, AsmRegister64, CodeAssembler, byte_ptr, dl, dword_ptr, dx, eax, edx, qword_ptr, r8, r9, r10, r11,
    r12, r13, r14, r15, rax, rbx, rcx, rdx, rsi, rsp, word_ptr,
};
use iced_x86::{Code, IcedError, Register};
use nn_runtime::dtype::DType;

/// What a base address is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// A buffer from an element on, moving with the rows.
    Buffer { arg: ArgId, offset: i64, rows: Vec<i64> },
    /// The anchor's tile.
    Tile,
    /// Kept rows.
    Scratch,
}

/// Where a base address is.
#[derive(Clone, Copy)]
pub(super) enum Home {
    Register(AsmRegister64),
    Frame(i32),
}

/// Registers for base addresses.
pub(super) fn homes() -> [AsmRegister64; 9] {
    [rbx, r8, r9, r10, r11, r12, r13, r14, r15]
}

const MOVE: Code = Code::EVEX_Vmovaps_zmm_k1z_zmmm512;
const TO_MEMORY: Code = Code::EVEX_Vmovups_zmmm512_k1z_zmm;

/// Loads a narrow element as a word into `edx`.
fn widen(a: &mut CodeAssembler, d: DType, at: AsmMemoryOperand) -> Result<(), IcedError> {
    match d {
        DType::I8 => a.movsx(edx, byte_ptr(at)),
        DType::U16 => a.movzx(edx, word_ptr(at)),
        DType::I16 => a.movsx(edx, word_ptr(at)),
        _ => a.movzx(edx, byte_ptr(at)),
    }
}

impl Body<'_> {
    fn dtype(&self, arg: ArgId) -> DType {
        self.k.args[arg.0 as usize].dtype
    }

    pub(super) fn base_of(&self, arg: ArgId, at: &Access) -> Base {
        let rows = at.rows.iter().zip(&self.k.rows).map(|(&s, &n)| if n > 1 { s } else { 0 }).collect();
        Base::Buffer { arg, offset: at.offset, rows }
    }

    /// The register that holds `base + rsi * seq + rcx * col`, and, where the column is not in it, `rcx` to be added.
    fn address(&mut self, base: &Base, size: i64, col: i64, seq: i64, strip: &Strip, u: usize) -> Option<Mem> {
        let home = self.homes.iter().find(|(b, _)| b == base)?.1;
        let disp = i32::try_from(u as i64 * 16 * col * size).ok()?;
        let index = if col == 1 { Index::Gpr(rcx, size as u32) } else { Index::None };
        let step = if strip.seq { i32::try_from(seq * size).ok()? } else { 0 };
        let stride = if matches!(col, 0 | 1) { 0 } else { i32::try_from(col * size).ok()? };
        if let (Home::Register(r), 0, 0) = (home, step, stride) {
            return Some(Mem { base: r, index, disp });
        }
        let key = (base.clone(), step, stride);
        if self.rax.as_ref() != Some(&key) {
            self.f.scalar(move |a| {
                let add = |a: &mut iced_x86::code_asm::CodeAssembler| match home {
                    Home::Register(r) => a.add(rax, r),
                    Home::Frame(at) => a.add(rax, qword_ptr(rsp + at)),
                };
                match (step, stride) {
                    (0, 0) => match home {
                        Home::Register(r) => a.mov(rax, r),
                        Home::Frame(at) => a.mov(rax, qword_ptr(rsp + at)),
                    },
                    (0, s) => {
                        a.imul_3(rax, rcx, s)?;
                        add(a)
                    }
                    (s, 0) => {
                        a.imul_3(rax, rsi, s)?;
                        add(a)
                    }
                    (s, t) => {
                        a.imul_3(rax, rsi, s)?;
                        a.imul_3(rdx, rcx, t)?;
                        a.add(rax, rdx)?;
                        add(a)
                    }
                }
            });
            self.rax = Some(key);
        }
        Some(Mem { base: rax, index, disp })
    }

    fn load_code(d: DType) -> Code {
        match d {
            DType::U8 => Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128,
            DType::I8 => Code::EVEX_Vpmovsxbd_zmm_k1z_xmmm128,
            DType::U16 => Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256,
            DType::I16 => Code::EVEX_Vpmovsxwd_zmm_k1z_ymmm256,
            _ => Code::EVEX_Vmovups_zmm_k1z_zmmm512,
        }
    }

    /// A value written in the live lanes, 0 in the others.
    fn def_live(&mut self, strip: &Strip, code: Code, operands: &[Opnd]) -> V {
        match strip.mask {
            Some(m) => self.def_where(m, code, operands),
            None => self.def(Class::Z, code, operands),
        }
    }

    pub(super) fn load(&mut self, arg: ArgId, at: &Access, strip: &Strip, u: usize) -> Option<V> {
        let d = self.dtype(arg);
        let base = self.base_of(arg, at);
        let m = self.address(&base, d.bytes() as i64, at.col, at.seq, strip, u)?;
        let mem = Opnd::Mem(m);
        Some(match (at.col, d.bytes()) {
            (0, 4) => self.def(Class::Z, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, &[mem]),
            (0, _) => {
                let (p, o) = (m.base, m.disp);
                self.rax = None;
                self.f.scalar(move |a| {
                    widen(a, d, p + o)?;
                    a.mov(eax, edx)
                });
                if d == DType::Bool {
                    return Some(self.predicate());
                }
                self.def(Class::Z, Code::EVEX_Vpbroadcastd_zmm_k1z_r32, &[Opnd::Gpr(Register::EAX)])
            }
            (1, 1) if d == DType::Bool => {
                let bytes = self.def_live_bytes(strip, mem);
                let x = Opnd::V(bytes, Width::X);
                self.def(Class::K, Code::EVEX_Vptestmb_kr_k1_xmm_xmmm128, &[x, x])
            }
            (1, _) => self.def_live(strip, Self::load_code(d), &[mem]),
            (col, 4) => {
                let lanes = self.lanes(col)?;
                let mask = self.spare_mask(strip);
                self.gather(m.base, m.disp, lanes, mask)
            }
            (col, size) => {
                let v = self.load_one_by_one(d, m, col * size as i64, strip.live?)?;
                return Some(self.typed(d, v));
            }
        })
    }

    fn def_live_bytes(&mut self, strip: &Strip, mem: Opnd) -> V {
        let v = self.f.new_v(Class::Z);
        let code = Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128;
        self.f.op(code, First::Def, &[Opnd::V(v, Width::X), mem], strip.mask, strip.mask.is_some());
        v
    }

    /// Lane numbers times a stride that fits.
    fn lanes(&mut self, stride: i64) -> Option<V> {
        let n = i32::try_from(stride).ok().filter(|n| n.unsigned_abs() < 1 << 26)?;
        Some(self.f.constant(Constant::Lanes(n)))
    }

    /// A copy of the strip's mask for an instruction that uses it up.
    fn spare_mask(&mut self, strip: &Strip) -> V {
        match strip.mask {
            Some(m) => self.copy(m),
            None => self.fill(Class::K, true),
        }
    }

    fn gather(&mut self, base: AsmRegister64, disp: i32, lanes: V, mask: V) -> V {
        let d = self.fill(Class::Z, false);
        let mem = Opnd::Mem(Mem { base, index: Index::Lanes(lanes), disp });
        self.f.op(Code::EVEX_Vpgatherdd_zmm_k1_vm32z, First::Edit, &[z(d), mem], Some(mask), false);
        d
    }

    /// The word in `eax` as the same predicate in every lane.
    pub(super) fn predicate(&mut self) -> V {
        self.rax = None;
        self.f.scalar(|a| {
            a.neg(eax)?;
            a.sbb(eax, eax)
        });
        self.def(Class::K, Code::VEX_Kmovw_kr_r32, &[Opnd::Gpr(Register::EAX)])
    }

    /// The lanes whose index may be used.
    fn checked(&mut self, arg: ArgId, index: V, mask: Option<V>, strip: &Strip) -> V {
        // Unsigned, so a negative index is far outside.
        let end = self.word(self.k.args[arg.0 as usize].len.min(1 << 31) as u32);
        let ok = self.f.new_v(Class::K);
        let compare = Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8;
        self.f.op(compare, First::Def, &[z(ok), z(index), z(end), Opnd::Imm(1)], strip.mask, false);
        match mask {
            Some(m) => self.def(Class::K, Code::VEX_Kandw_kr_kr_kr, &[z(ok), z(m)]),
            None => ok,
        }
    }

    pub(super) fn load_at(&mut self, arg: ArgId, index: V, mask: Option<V>, strip: &Strip) -> Option<V> {
        let d = self.dtype(arg);
        if self.k.args[arg.0 as usize].len == 0 {
            let zero = self.word(0);
            return Some(self.typed(d, zero));
        }
        let ok = self.checked(arg, index, mask, strip);
        let base = self.base_of(arg, &Access::default());
        let m = self.address(&base, 4, 0, 0, strip, 0)?;
        if d.bytes() == 4 {
            return Some(self.gather(m.base, 0, index, ok));
        }
        // A gather of words would read past the end. Lanes that may not load read element 0, which is there.
        let safe = self.def_where(ok, MOVE, &[z(index)]);
        let (words, at) = self.words();
        self.f.op(TO_MEMORY, First::Use, &[words, z(safe)], None, false);
        let p = m.base;
        self.f.scalar(move |a| {
            for l in 0..16 {
                a.mov(edx, dword_ptr(rsp + (at + 4 * l)))?;
                widen(a, d, p + rdx * d.bytes() as i32)?;
                a.mov(dword_ptr(rsp + (at + 4 * l)), edx)?;
            }
            Ok(())
        });
        let v = self.def_where(ok, Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[words]);
        Some(self.typed(d, v))
    }

    /// Stores at computed indices, lane 0 first.
    pub(super) fn store_at(&mut self, arg: ArgId, index: V, mask: Option<V>, v: V, strip: &Strip) -> Option<()> {
        let d = self.dtype(arg);
        if self.k.args[arg.0 as usize].len == 0 {
            return Some(());
        }
        if d.bytes() != 4 {
            return None;
        }
        let ok = self.checked(arg, index, mask, strip);
        let base = self.base_of(arg, &Access::default());
        let m = self.address(&base, 4, 0, 0, strip, 0)?;
        // Where indices are equal the highest lane stays.
        let mem = Opnd::Mem(Mem { index: Index::Lanes(index), ..m });
        self.f.op(Code::EVEX_Vpscatterdd_vm32z_k1_zmm, First::Use, &[mem, z(v)], Some(ok), false);
        Some(())
    }

    /// Words as a value of a dtype's lane type.
    fn typed(&mut self, d: DType, v: V) -> V {
        if d == DType::Bool { self.def(Class::K, Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, &[z(v), z(v)]) } else { v }
    }

    /// A value as words.
    fn untyped(&mut self, d: DType, v: V) -> V {
        if d != DType::Bool {
            return v;
        }
        let one = self.word(1);
        self.def_where(v, MOVE, &[z(one)])
    }

    /// 16 words of the frame, and where they are.
    fn words(&mut self) -> (Opnd, i32) {
        let at = match self.words {
            Some(at) => at,
            None => (0..8).map(|_| self.f.new_slot()).min().unwrap_or(0),
        };
        self.words = Some(at);
        (Opnd::Mem(Mem { base: rsp, index: Index::None, disp: at }), at)
    }

    fn load_one_by_one(&mut self, d: DType, m: Mem, step: i64, live: u64) -> Option<V> {
        let (mem, at) = self.words();
        let step = i32::try_from(step).ok().filter(|s| s.unsigned_abs() < 1 << 24)?;
        let (p, disp) = (m.base, m.disp);
        disp.checked_add(16 * step)?;
        self.f.scalar(move |a| {
            for l in 0..live as i32 {
                widen(a, d, p + (disp + l * step))?;
                a.mov(dword_ptr(rsp + (at + 4 * l)), edx)?;
            }
            Ok(())
        });
        Some(self.def(Class::Z, Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[mem]))
    }

    fn store_one_by_one(&mut self, d: DType, v: V, m: Mem, step: i64, live: u64) -> Option<()> {
        let (mem, at) = self.words();
        let step = i32::try_from(step).ok().filter(|s| s.unsigned_abs() < 1 << 24)?;
        self.f.op(TO_MEMORY, First::Use, &[mem, z(v)], None, false);
        let (p, disp) = (m.base, m.disp);
        disp.checked_add(16 * step)?;
        self.f.scalar(move |a| {
            for l in 0..live as i32 {
                a.mov(edx, dword_ptr(rsp + (at + 4 * l)))?;
                match d.bytes() {
                    2 => a.mov(word_ptr(p + (disp + l * step)), dx)?,
                    _ => a.mov(byte_ptr(p + (disp + l * step)), dl)?,
                }
            }
            Ok(())
        });
        Some(())
    }

    pub(super) fn store(
        &mut self,
        arg: ArgId,
        at: &Access,
        v: V,
        uniform: bool,
        strip: &Strip,
        u: usize,
    ) -> Option<()> {
        let d = self.dtype(arg);
        let base = self.base_of(arg, at);
        if at.col == 0 {
            return self.store_last(arg, at, v, uniform, strip, u);
        }
        let m = self.address(&base, d.bytes() as i64, at.col, at.seq, strip, u)?;
        let mem = Opnd::Mem(m);
        let (mask, x) = (strip.mask, |v| Opnd::V(v, Width::X));
        match (at.col, d.bytes()) {
            (1, 4) => self.f.op(Code::EVEX_Vmovups_zmmm512_k1z_zmm, First::Use, &[mem, z(v)], mask, false),
            (1, 2) => {
                let t = self.f.new_v(Class::Z);
                let narrow = Opnd::V(t, Width::Y);
                self.f.op(Code::EVEX_Vpmovdw_ymmm256_k1z_zmm, First::Def, &[narrow, z(v)], None, false);
                self.f.op(Code::EVEX_Vmovdqu16_ymmm256_k1z_ymm, First::Use, &[mem, narrow], mask, false);
            }
            (1, _) => {
                let t = self.f.new_v(Class::Z);
                if d == DType::Bool {
                    let ones = self.word(0x0101_0101);
                    self.f.op(Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128, First::Def, &[x(t), x(ones)], Some(v), true);
                } else {
                    self.f.op(Code::EVEX_Vpmovdb_xmmm128_k1z_zmm, First::Def, &[x(t), z(v)], None, false);
                }
                self.f.op(Code::EVEX_Vmovdqu8_xmmm128_k1z_xmm, First::Use, &[mem, x(t)], mask, false);
            }
            (col, 4) => {
                let lanes = self.lanes(col)?;
                let spare = self.spare_mask(strip);
                let mem = Opnd::Mem(Mem { index: Index::Lanes(lanes), ..m });
                self.f.op(Code::EVEX_Vpscatterdd_vm32z_k1_zmm, First::Use, &[mem, z(v)], Some(spare), false);
            }
            (col, size) => {
                let v = self.untyped(d, v);
                self.store_one_by_one(d, v, m, col * size as i64, strip.live?)?;
            }
        }
        Some(())
    }

    /// All columns write one element: the last one stays.
    fn store_last(&mut self, arg: ArgId, at: &Access, v: V, uniform: bool, strip: &Strip, u: usize) -> Option<()> {
        let d = self.dtype(arg);
        let v = self.untyped(d, v);
        let last = match strip.mask {
            _ if uniform => v,
            None => self.def(Class::Z, Code::EVEX_Valignd_zmm_k1z_zmm_zmmm512b32_imm8, &[z(v), z(v), Opnd::Imm(15)]),
            Some(m) => {
                let below = self.def(Class::K, Code::VEX_Kshiftrw_kr_kr_imm8, &[z(m), Opnd::Imm(1)]);
                let top = self.def(Class::K, Code::VEX_Kxorw_kr_kr_kr, &[z(m), z(below)]);
                self.def_where(top, Code::EVEX_Vpcompressd_zmmm512_k1z_zmm, &[z(v)])
            }
        };
        let base = self.base_of(arg, at);
        let mem = Opnd::Mem(self.address(&base, d.bytes() as i64, 0, at.seq, strip, u)?);
        let x = Opnd::V(last, Width::X);
        match d.bytes() {
            4 => self.f.op(Code::EVEX_Vmovd_rm32_xmm, First::Use, &[mem, x], None, false),
            2 => self.f.op(Code::EVEX_Vpextrw_r32m16_xmm_imm8, First::Use, &[mem, x, Opnd::Imm(0)], None, false),
            _ => self.f.op(Code::EVEX_Vpextrb_r32m8_xmm_imm8, First::Use, &[mem, x, Opnd::Imm(0)], None, false),
        }
        Some(())
    }

    /// The anchor's tile at this row and these columns.
    pub(super) fn load_anchor(&mut self, strip: &Strip, u: usize) -> Option<V> {
        let mem = Opnd::Mem(self.address(&Base::Tile, 4, 1, 0, strip, u)?);
        Some(self.def_live(strip, Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[mem]))
    }

    fn scratch_address(&mut self, slot: u32, strip: &Strip, u: usize) -> Option<Opnd> {
        let row = self.k.cols.next_multiple_of(16) as i64 * 4;
        let m = self.address(&Base::Scratch, 4, 1, 0, strip, u)?;
        let disp = i32::try_from(i64::from(slot) * row + i64::from(m.disp)).ok()?;
        Some(Opnd::Mem(Mem { disp, ..m }))
    }

    /// Keeps a strip of a row; scratch rows are padded, so all lanes are written.
    pub(super) fn keep(&mut self, slot: u32, v: V, strip: &Strip, u: usize) -> Option<()> {
        let mem = self.scratch_address(slot, strip, u)?;
        let code = match self.f.classes[v.0 as usize] {
            Class::Z => Code::EVEX_Vmovups_zmmm512_k1z_zmm,
            Class::K => Code::VEX_Kmovw_m16_kr,
        };
        self.f.op(code, First::Use, &[mem, z(v)], None, false);
        Some(())
    }

    pub(super) fn kept(&mut self, slot: u32, ty: LaneTy, strip: &Strip, u: usize) -> Option<V> {
        let mem = self.scratch_address(slot, strip, u)?;
        let code = match class(ty) {
            Class::Z => Code::EVEX_Vmovups_zmm_k1z_zmmm512,
            Class::K => Code::VEX_Kmovw_kr_km16,
        };
        Some(self.def(class(ty), code, &[mem]))
    }
}
