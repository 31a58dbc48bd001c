//! Machine code before registers are assigned: AVX-512 instructions on virtual registers between pieces of scalar code.
//!
//! In: what `body`, `memory` and `lower` ask for. Out: a list that `registers` assigns and `encode` writes. A virtual
//! register may be defined more than once (accumulators); scalar registers are fixed and not known here.

use iced_x86::code_asm::{AsmRegister64, CodeAssembler, CodeLabel};
use iced_x86::{Code, IcedError, Register};
use smallvec::{SmallVec, smallvec};

/// A virtual register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct V(pub(super) u32);

/// Which registers a virtual one lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// 16 lanes of 32 bits.
    Z,
    /// 16 predicates.
    K,
}

/// The part of a vector register that an operand names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// 128 bits.
    X,
    /// 256 bits.
    Y,
    /// 512 bits, and predicates.
    Z,
}

/// The index part of an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    None,
    /// A scalar register times 1, 2, 4 or 8.
    Gpr(AsmRegister64, u32),
    /// A vector of indices times four.
    Lanes(V),
}

/// An address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    pub(super) base: AsmRegister64,
    pub(super) index: Index,
    pub(super) disp: i32,
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opnd {
    V(V, Width),
    Mem(Mem),
    Imm(u8),
    Gpr(Register),
}

/// What an instruction does with its first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Writes it.
    Def,
    /// Reads and writes it.
    Edit,
    /// Reads it, or it is memory.
    Use,
}

/// A vector instruction.
#[derive(Clone, Debug)]
pub(super) struct Inst {
    pub(super) code: Code,
    pub(super) ops: SmallVec<[Opnd; 4]>,
    pub(super) first: First,
    pub(super) mask: Option<V>,
    /// Lanes that are masked off become 0.
    pub(super) zero: bool,
}

/// Scalar code.
pub(super) type Scalar = Box<dyn Fn(&mut CodeAssembler) -> Result<(), IcedError>>;

/// One entry of the list.
pub(super) enum Item {
    Vec(Inst),
    /// `d = a * b + c`; which form depends on the registers.
    Fma([V; 4]),
    /// All bits of a register equal.
    Fill(V, bool),
    Scalar(Scalar),
    /// Saves registers and makes the stack frame.
    Enter,
    /// Loads the constants that have registers.
    Constants,
    /// Undoes `Enter` and returns.
    Leave,
}

/// What a constant register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    /// One word in every lane.
    Word(u32),
    /// `n * lane`.
    Lanes(i32),
}

/// A function under construction.
pub(super) struct Func {
    pub(super) asm: CodeAssembler,
    pub(super) items: Vec<Item>,
    pub(super) classes: Vec<Class>,
    /// Registers that hold constants, where these lie in the pool.
    pub(super) constants: Vec<(V, Constant, i32)>,
    pub(super) pool: Vec<u8>,
    pub(super) pool_label: CodeLabel,
    /// First and last item of every loop, inner ones first.
    pub(super) loops: Vec<(usize, usize)>,
    /// Bytes of the frame that scalar code has taken.
    pub(super) frame: i32,
}

impl Func {
    pub(super) fn new() -> Option<Func> {
        let mut asm = CodeAssembler::new(64).ok()?;
        let pool_label = asm.create_label();
        Some(Func {
            asm,
            items: vec![],
            classes: vec![],
            constants: vec![],
            pool: vec![],
            pool_label,
            loops: vec![],
            frame: 0,
        })
    }

    /// A new virtual register.
    pub(super) fn new_v(&mut self, class: Class) -> V {
        self.classes.push(class);
        V(self.classes.len() as u32 - 1)
    }

    /// Eight bytes of the frame.
    pub(super) fn new_slot(&mut self) -> i32 {
        self.frame += 8;
        self.frame - 8
    }

    /// A register that holds a constant throughout the function.
    pub(super) fn constant(&mut self, c: Constant) -> V {
        if let Some((v, ..)) = self.constants.iter().find(|(_, d, _)| *d == c) {
            return *v;
        }
        let v = self.new_v(Class::Z);
        let at = self.pool.len() as i32;
        match c {
            Constant::Word(w) => self.pool.extend(w.to_le_bytes()),
            Constant::Lanes(n) => (0..16).for_each(|l: i32| self.pool.extend(n.wrapping_mul(l).to_le_bytes())),
        }
        self.constants.push((v, c, at));
        v
    }

    /// Appends a vector instruction.
    pub(super) fn op(&mut self, code: Code, first: First, ops: &[Opnd], mask: Option<V>, zero: bool) {
        self.items.push(Item::Vec(Inst { code, ops: SmallVec::from_slice(ops), first, mask, zero }));
    }

    /// Appends scalar code.
    pub(super) fn scalar(&mut self, f: impl Fn(&mut CodeAssembler) -> Result<(), IcedError> + 'static) {
        self.items.push(Item::Scalar(Box::new(f)));
    }

    /// Places a label here.
    pub(super) fn place(&mut self, label: CodeLabel) {
        self.scalar(move |a| {
            let mut label = label;
            a.set_label(&mut label)?;
            // Two labels may stand at one place.
            a.zero_bytes()
        });
    }
}

/// How an item touches a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Read,
    Write,
    Both,
}

impl Item {
    /// The virtual registers that the item touches, those it only reads first.
    pub(super) fn touches(&self) -> SmallVec<[(V, Touch); 6]> {
        let mut t: SmallVec<[(V, Touch); 6]> = smallvec![];
        match self {
            Item::Vec(i) => {
                for (n, o) in i.ops.iter().enumerate() {
                    match o {
                        Opnd::V(v, _) if n > 0 || i.first == First::Use => t.push((*v, Touch::Read)),
                        Opnd::Mem(Mem { index: Index::Lanes(v), .. }) => t.push((*v, Touch::Read)),
                        _ => {}
                    }
                }
                t.extend(i.mask.map(|m| (m, Touch::Read)));
                if let (Some(Opnd::V(v, _)), true) = (i.ops.first(), i.first != First::Use) {
                    t.push((*v, if i.first == First::Def { Touch::Write } else { Touch::Both }));
                }
            }
            Item::Fma([d, a, b, c]) => {
                t.extend([a, b, c].map(|v| (*v, Touch::Read)));
                t.push((*d, Touch::Write));
            }
            Item::Fill(v, _) => t.push((*v, Touch::Write)),
            _ => {}
        }
        t
    }
}
