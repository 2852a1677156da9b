//! What is computed within a lane.

use super::{Condition, Pred, Reg, Type};

/// Functions of up to three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntFn {
    Add,
    Sub,
    Mul,
    Mad,
    MulHiU,
    MulHiS,
    MadHiU,
    MadHiS,
    DivU,
    DivS,
    RemU,
    RemS,
    MinU,
    MinS,
    MaxU,
    MaxS,
    Abs,
    Neg,
    And,
    Or,
    Xor,
    Not,
    Cnot,
    Shl,
    ShrU,
    ShrS,
    Popc,
    Clz,
    Brev,
    Find { signed: bool, shift: bool },
    ExtractU,
    ExtractS,
    Permute,
    Logic(u8),
    FunnelL { clamp: bool },
    FunnelR { clamp: bool },
    SadU,
    SadS,
}

/// How operands of 16 bits are widened, and whether the result is cut to 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Narrow {
    No,
    Unsigned { cut: bool },
    Signed { cut: bool },
}

/// Functions of up to three double words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongFn {
    Add,
    Sub,
    Mul,
    Mad,
    MulHiU,
    MulHiS,
    DivU,
    DivS,
    RemU,
    RemS,
    MinU,
    MinS,
    MaxU,
    MaxS,
    Abs,
    Neg,
    And,
    Or,
    Xor,
    Not,
    Brev,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShiftFn {
    Left,
    RightU,
    RightS,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountFn {
    Popc,
    Clz,
    Find { signed: bool, shift: bool },
}

/// Functions of f32 and f64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatFn {
    Add,
    Sub,
    Mul,
    Fma,
    Div,
    Min {
        nan: bool,
    },
    Max {
        nan: bool,
    },
    Abs,
    Neg,
    CopySign,
    Ex2,
    Lg2,
    Rcp,
    Rsqrt,
    Sqrt,
    Sin,
    Cos,
    Tanh,
    /// The nearest number with 11 significant bits, halves away from zero.
    Tf32,
}

/// Functions of halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfFn {
    Add,
    Sub,
    Mul,
    Fma { relu: bool },
    Min { nan: bool },
    Max { nan: bool },
    Abs,
    Neg,
    Ex2,
    Tanh,
}

/// Rounding to fewer digits, or to an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    Nearest,
    Zero,
    Down,
    Up,
}

/// Modifiers of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) round: Round,
    /// Subnormal numbers are zeros.
    pub(crate) ftz: bool,
    /// Clamped to [0, 1], NaN to 0.
    pub(crate) sat: bool,
}

impl Mode {
    pub(crate) const PLAIN: Self = Self { round: Round::Nearest, ftz: false, sat: false };
}

/// A conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cvt {
    pub(crate) to: Type,
    pub(crate) from: Type,
    pub(crate) round: Round,
    /// Rounded to a whole number though the result is a float.
    pub(crate) whole: bool,
    pub(crate) ftz: bool,
    pub(crate) sat: bool,
    pub(crate) relu: bool,
    /// Bits of the destination, which may be more than those of `to`.
    pub(crate) to_bits: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Both are numbers.
    Num,
    /// One is not a number.
    Nan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bool {
    And,
    Or,
    Xor,
}

/// `setp` and `set`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    pub(crate) cmp: Cmp,
    /// True where an operand is NaN.
    pub(crate) unordered: bool,
    pub(crate) ftz: bool,
    pub(crate) ty: Type,
    pub(crate) a: Reg,
    pub(crate) b: Reg,
    pub(crate) combine: Option<(Bool, Condition)>,
    pub(crate) out: CompareOut,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum CompareOut {
    /// The answer, and its opposite.
    Preds(Pred, Option<Pred>),
    /// All ones, or 1.0, where true.
    Word { d: super::Word, float: bool },
}
