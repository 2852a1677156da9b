//! Instructions as they run: every name resolved to a register, every form to a variant.

mod compute;
mod memory;
mod types;

pub(crate) use compute::*;
pub(crate) use memory::*;
pub(crate) use types::*;

/// A register of up to 32 bits: index into the file of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u16);

/// A register of 64 bits: index into the file of double words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Double(pub(crate) u16);

/// A predicate: index into the file of predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pred(pub(crate) u16);

/// A register of either width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reg {
    Word(Word),
    Double(Double),
}

/// A predicate or its opposite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) pred: Pred,
    /// All ones to negate, else 0.
    pub(crate) flip: u32,
}

/// One instruction.
#[derive(Clone, Debug)]
pub(crate) struct Instr {
    pub(crate) op: Op,
    pub(crate) guard: Condition,
    /// Line of the PTX.
    pub(crate) line: u32,
    /// File and line of the source by `.loc`; file 0 where there is none.
    pub(crate) loc: (u32, u32),
}

/// What an instruction does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Integers and bits of 32 bits or less.
    Int {
        f: IntFn,
        narrow: Narrow,
        d: Word,
        s: [Word; 3],
    },
    /// Integers and bits of 64 bits.
    Long {
        f: LongFn,
        d: Double,
        s: [Double; 3],
    },
    /// 64 bits shifted by a word.
    Shift {
        f: ShiftFn,
        d: Double,
        a: Double,
        by: Word,
    },
    /// 64 bits in, a word out.
    Count {
        f: CountFn,
        d: Word,
        a: Double,
    },
    /// `a * b + c` of words, in 64 bits.
    MulWide {
        signed: bool,
        d: Double,
        a: Word,
        b: Word,
        c: Double,
    },
    /// `bfi`: the low `len` bits of `a` into `b` at `pos`.
    Insert {
        d: Reg,
        a: Reg,
        b: Reg,
        pos: Word,
        len: Word,
    },
    /// `bfe` of 64 bits.
    Extract64 {
        signed: bool,
        d: Double,
        a: Double,
        pos: Word,
        len: Word,
    },
    Float {
        f: FloatFn,
        mode: Mode,
        d: Word,
        s: [Word; 3],
    },
    Float64 {
        f: FloatFn,
        d: Double,
        s: [Double; 3],
    },
    Half {
        f: HalfFn,
        kind: HalfKind,
        packed: bool,
        sat: bool,
        d: Word,
        s: [Word; 3],
    },
    Cvt {
        cvt: Cvt,
        d: Reg,
        a: Reg,
    },
    /// Two f32 rounded to halves: `a` goes to the upper one.
    CvtPair {
        kind: HalfKind,
        relu: bool,
        d: Word,
        a: Word,
        b: Word,
    },
    Compare(Box<Compare>),
    Select {
        d: Reg,
        a: Reg,
        b: Reg,
        by: Pred,
    },
    /// `slct`: `a` where `c` is not below zero.
    SelectSign {
        float: bool,
        d: Reg,
        a: Reg,
        b: Reg,
        c: Word,
    },
    PredLogic {
        f: Bool,
        d: Pred,
        a: Condition,
        b: Condition,
    },
    Move {
        d: Reg,
        a: Reg,
    },
    MovePred {
        d: Pred,
        a: Condition,
    },
    /// Low parts first.
    Pack {
        part_bits: u32,
        d: Reg,
        parts: Regs,
    },
    Unpack {
        part_bits: u32,
        parts: Regs,
        a: Reg,
    },
    /// Address of a window added or taken away.
    Generic {
        space: Space,
        to_generic: bool,
        d: Double,
        a: Double,
    },
    Timer {
        d: Reg,
    },
    Load {
        space: Space,
        item: Item,
        order: Order,
        scope: Scope,
        d: Regs,
        at: Address,
    },
    Store {
        space: Space,
        item: Item,
        order: Order,
        scope: Scope,
        s: Regs,
        at: Address,
    },
    Atomic(Box<Atomic>),
    CopyAsync {
        bytes: u32,
        to: Address,
        from: Address,
        size: Word,
    },
    CopyCommit,
    /// All but this many of the newest groups.
    CopyWait(u32),
    CopyWaitAll,
    LoadMatrix {
        transposed: bool,
        d: Regs,
        at: Address,
    },
    Mma {
        factors: Factors,
        d: [Word; 4],
        a: [Word; 4],
        b: [Word; 2],
        c: [Word; 4],
    },
    Shuffle(Box<Shuffle>),
    Vote {
        f: Vote,
        d: Reg2,
        p: Condition,
        members: Word,
    },
    Match {
        all: bool,
        d: Word,
        p: Option<Pred>,
        a: Reg,
        members: Word,
    },
    Redux {
        f: IntFn,
        d: Word,
        a: Word,
        members: Word,
    },
    ActiveMask {
        d: Word,
    },
    WarpSync {
        members: Word,
    },
    Barrier(Box<Barrier>),
    Fence(Scope),
    /// `prefetch`: of global memory, by a generic address or its own.
    Prefetch {
        at: Address,
    },
    /// `griddepcontrol.wait`
    WaitForGrids,
    Nop,
    Branch {
        target: u32,
    },
    Exit,
    Trap,
}

/// Where a vote goes: a word for a ballot, else a predicate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reg2 {
    Word(Word),
    Pred(Pred),
}

/// Up to four registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regs {
    len: u8,
    regs: [Reg; 4],
}

impl Regs {
    /// The first four of `regs`.
    pub(crate) fn new(regs: &[Reg]) -> Self {
        let at = |i: usize| regs.get(i).copied().unwrap_or(Reg::Word(Word(0)));
        Self { len: regs.len().min(4) as u8, regs: std::array::from_fn(at) }
    }

    pub(crate) fn as_slice(&self) -> &[Reg] {
        &self.regs[..self.len as usize]
    }
}
