//! Bytes from a function whose registers are assigned: operands filled in, spilled values moved to and from the frame.

use super::registers::{Place, Places, SCRATCH};
use super::vcode::{Class, Constant, Func, Index, Inst, Item, Mem, Opnd, Touch, V, Width};
use iced_x86::code_asm::{CodeAssembler, ptr, qword_ptr, r12, r13, r14, r15, rbp, rbx, rdi, rsp};
use iced_x86::{Code, IcedError, Instruction, OpKind, Register};

/// The largest frame: within the guard page of a stack, so that touching it needs no probes.
const MAX_FRAME: i32 = 3840;

/// Writes the function; `None` where its frame is too large.
pub(super) fn encode(mut f: Func, places: &Places) -> Option<Vec<u8>> {
    if places.frame > MAX_FRAME {
        return None;
    }
    let mut asm = std::mem::replace(&mut f.asm, CodeAssembler::new(64).ok()?);
    let mut e = Encoder { f: &f, places, asm: &mut asm };
    for item in &f.items {
        e.item(item).ok()?;
    }
    let mut label = f.pool_label;
    asm.set_label(&mut label).ok()?;
    asm.zero_bytes().ok()?;
    // `db` takes a limited number of bytes per call.
    for chunk in f.pool.chunks(16) {
        asm.db(chunk).ok()?;
    }
    asm.assemble(0).ok()
}

struct Encoder<'a> {
    f: &'a Func,
    places: &'a Places,
    asm: &'a mut CodeAssembler,
}

/// Registers of the virtual ones of one item.
type Assigned = smallvec::SmallVec<[(V, u8); 6]>;

impl Encoder<'_> {
    fn item(&mut self, item: &Item) -> Result<(), IcedError> {
        match item {
            Item::Scalar(code) => return code(self.asm),
            Item::Enter => return self.enter(),
            Item::Leave => return self.leave(),
            Item::Constants => {
                for &(v, c, at) in &self.f.constants {
                    if let Place::Register(r) = self.places.of[v.0 as usize] {
                        self.constant(c, at, r)?;
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        let mut assigned = Assigned::new();
        let mut scratch = [0u8; 2];
        let mut store = None;
        for (v, touch) in item.touches() {
            if assigned.iter().any(|a| a.0 == v) && touch == Touch::Read {
                continue;
            }
            let class = self.f.classes[v.0 as usize];
            let place = self.places.of[v.0 as usize];
            if let Place::Register(r) = place {
                assigned.push((v, r));
                continue;
            }
            let first = if class == Class::Z { 32 - SCRATCH } else { 8 - SCRATCH };
            let known = assigned.iter().find(|a| a.0 == v).map(|a| a.1);
            let r = match (known, touch) {
                (Some(r), _) => r,
                // A result may take the place of an operand.
                (None, Touch::Write) => first,
                (None, _) => {
                    let n = &mut scratch[usize::from(class == Class::K)];
                    *n += 1;
                    debug_assert!(*n <= SCRATCH);
                    first + *n - 1
                }
            };
            if known.is_none() && touch != Touch::Write {
                self.reload(v, class, place, r)?;
            }
            if touch != Touch::Read {
                store = Some((class, place, r));
            }
            assigned.retain(|a| a.0 != v);
            assigned.push((v, r));
        }
        match item {
            Item::Vec(i) => self.vector(i, &assigned)?,
            Item::Fma(v) => self.fma(v.map(|v| number(&assigned, v)))?,
            Item::Fill(v, ones) => {
                let r = number(&assigned, *v);
                let (code, class) = match (self.f.classes[v.0 as usize], ones) {
                    (Class::Z, _) => (Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, Class::Z),
                    (Class::K, false) => (Code::VEX_Kxorw_kr_kr_kr, Class::K),
                    (Class::K, true) => (Code::VEX_Kxnorw_kr_kr_kr, Class::K),
                };
                let r = register(class, Width::Z, r);
                self.asm.add_instruction(of(code, &[r, r, r]))?;
            }
            _ => {}
        }
        if let Some((class, Place::Frame(at), r)) = store {
            let code = match class {
                Class::Z => Code::EVEX_Vmovaps_zmmm512_k1z_zmm,
                Class::K => Code::VEX_Kmovw_m16_kr,
            };
            let mut i = of(code, &[Register::None, register(class, Width::Z, r)]);
            memory(&mut i, 0, Register::RSP, (Register::None, 1), at);
            self.asm.add_instruction(i)?;
        }
        Ok(())
    }

    fn reload(&mut self, v: V, class: Class, place: Place, r: u8) -> Result<(), IcedError> {
        match place {
            Place::Frame(at) => {
                let code = match class {
                    Class::Z => Code::EVEX_Vmovaps_zmm_k1z_zmmm512,
                    Class::K => Code::VEX_Kmovw_kr_km16,
                };
                let mut i = of(code, &[register(class, Width::Z, r), Register::None]);
                memory(&mut i, 1, Register::RSP, (Register::None, 1), at);
                self.asm.add_instruction(i)
            }
            Place::Pool => match self.f.constants.iter().find(|c| c.0 == v) {
                Some(&(_, c, at)) => self.constant(c, at, r),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn constant(&mut self, c: Constant, at: i32, r: u8) -> Result<(), IcedError> {
        let z = register(Class::Z, Width::Z, r);
        let i = match c {
            Constant::Word(0) => of(Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, &[z, z, z]),
            Constant::Word(_) | Constant::Lanes(_) => {
                let word = matches!(c, Constant::Word(_));
                let code =
                    if word { Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32 } else { Code::EVEX_Vmovups_zmm_k1z_zmmm512 };
                let mut i = of(code, &[z, Register::None]);
                memory(&mut i, 1, Register::RDI, (Register::None, 1), at);
                i
            }
        };
        self.asm.add_instruction(i)
    }

    fn vector(&mut self, inst: &Inst, assigned: &Assigned) -> Result<(), IcedError> {
        let mut i = Instruction::new();
        i.set_code(inst.code);
        for (n, o) in inst.ops.iter().enumerate() {
            let n = n as u32;
            match *o {
                Opnd::V(v, w) => {
                    i.set_op_kind(n, OpKind::Register);
                    i.set_op_register(n, register(self.f.classes[v.0 as usize], w, number(assigned, v)));
                }
                Opnd::Gpr(r) => {
                    i.set_op_kind(n, OpKind::Register);
                    i.set_op_register(n, r);
                }
                Opnd::Imm(x) => {
                    i.set_op_kind(n, OpKind::Immediate8);
                    i.set_immediate8(x);
                }
                Opnd::Mem(Mem { base, index, disp }) => {
                    let index = match index {
                        Index::None => (Register::None, 1),
                        Index::Gpr(r, scale) => (r.into(), scale),
                        Index::Lanes(v) => (register(Class::Z, Width::Z, number(assigned, v)), 4),
                    };
                    memory(&mut i, n, base.into(), index, disp);
                }
            }
        }
        if let Some(m) = inst.mask {
            i.set_op_mask(register(Class::K, Width::Z, number(assigned, m)));
            i.set_zeroing_masking(inst.zero);
        }
        self.asm.add_instruction(i)
    }

    fn fma(&mut self, [d, a, b, c]: [u8; 4]) -> Result<(), IcedError> {
        let z = |r| register(Class::Z, Width::Z, r);
        let (code, x, y) = if d == a {
            (Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, b, c)
        } else if d == b {
            (Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, a, c)
        } else if d == c {
            (Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er, a, b)
        } else {
            self.asm.add_instruction(of(Code::EVEX_Vmovaps_zmm_k1z_zmmm512, &[z(d), z(a)]))?;
            (Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, b, c)
        };
        self.asm.add_instruction(of(code, &[z(d), z(x), z(y)]))
    }

    fn enter(&mut self) -> Result<(), IcedError> {
        let (frame, pool) = (self.places.frame, self.f.pool_label);
        let a = &mut *self.asm;
        a.push(rbp)?;
        a.mov(rbp, rsp)?;
        for r in [rbx, r12, r13, r14, r15] {
            a.push(r)?;
        }
        a.sub(rsp, frame + 64)?;
        a.and(rsp, -64)?;
        // The argument stays in rsi while rdi becomes the address of the constants.
        a.mov(iced_x86::code_asm::rsi, rdi)?;
        a.lea(rdi, ptr(pool))
    }

    fn leave(&mut self) -> Result<(), IcedError> {
        let a = &mut *self.asm;
        a.vzeroupper()?;
        for (r, at) in [(rbx, 8), (r12, 16), (r13, 24), (r14, 32), (r15, 40)] {
            a.mov(r, qword_ptr(rbp - at))?;
        }
        a.mov(rsp, rbp)?;
        a.pop(rbp)?;
        a.ret()
    }
}

fn number(assigned: &Assigned, v: V) -> u8 {
    assigned.iter().find(|a| a.0 == v).map_or(0, |a| a.1)
}

fn register(class: Class, width: Width, n: u8) -> Register {
    let first = match (class, width) {
        (Class::K, _) => Register::K0,
        (_, Width::X) => Register::XMM0,
        (_, Width::Y) => Register::YMM0,
        (_, Width::Z) => Register::ZMM0,
    };
    first + u32::from(n)
}

/// An instruction on registers; `None` stays to be filled in.
fn of(code: Code, registers: &[Register]) -> Instruction {
    let mut i = Instruction::new();
    i.set_code(code);
    for (n, &r) in registers.iter().enumerate() {
        i.set_op_kind(n as u32, OpKind::Register);
        i.set_op_register(n as u32, r);
    }
    i
}

fn memory(i: &mut Instruction, n: u32, base: Register, (index, scale): (Register, u32), disp: i32) {
    i.set_op_kind(n, OpKind::Memory);
    i.set_memory_base(base);
    i.set_memory_index(index);
    i.set_memory_index_scale(scale);
    // Any size that holds it.
    i.set_memory_displ_size(u32::from(disp != 0));
    i.set_memory_displacement64(i64::from(disp) as u64);
}
