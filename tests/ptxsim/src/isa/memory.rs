//! What goes to memory and to other lanes.

use super::{Condition, IntFn, Pred, Reg, Type, Word};

/// A state space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    Param,
    Local,
}

impl Space {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Global => "global",
            Self::Shared => "shared",
            Self::Param => "parameter",
            Self::Local => "local",
        }
    }
}

/// One element of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) bytes: u32,
    /// Sign-extended where the register is wider.
    pub(crate) signed: bool,
}

/// What an access promises to other threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing: a race is a bug.
    Weak,
    /// Nothing, and nobody writes there as long as the launch lasts: `ld.global.nc`.
    Constant,
    /// Volatile or relaxed.
    Relaxed,
    Acquire,
    Release,
    AcquireRelease,
}

impl Order {
    /// Whether it promises nothing.
    pub(crate) fn is_weak(self) -> bool {
        matches!(self, Self::Weak | Self::Constant)
    }

    pub(crate) fn acquires(self) -> bool {
        matches!(self, Self::Acquire | Self::AcquireRelease)
    }

    pub(crate) fn releases(self) -> bool {
        matches!(self, Self::Release | Self::AcquireRelease)
    }
}

/// Whom an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Block,
    Device,
    /// The host too.
    System,
}

/// A register and a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) base: Reg,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomicFn {
    Int(IntFn),
    /// f32 or f64 addition.
    FloatAdd,
    Exchange,
    CompareSwap,
    /// Up to a bound, then 0.
    Inc,
    /// Down, from 0 or beyond the bound to the bound.
    Dec,
}

/// `atom`, and `red` without a destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Atomic {
    pub(crate) f: AtomicFn,
    pub(crate) space: Space,
    pub(crate) order: Order,
    pub(crate) scope: Scope,
    pub(crate) ty: Type,
    pub(crate) d: Option<Reg>,
    pub(crate) at: Address,
    pub(crate) a: Reg,
    pub(crate) b: Reg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShuffleFn {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shuffle {
    pub(crate) f: ShuffleFn,
    pub(crate) d: Word,
    /// Whether the source lane was in range.
    pub(crate) p: Option<Pred>,
    pub(crate) a: Word,
    pub(crate) b: Word,
    pub(crate) c: Word,
    pub(crate) members: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    Ballot,
    Any,
    All,
    Uniform,
}

/// `bar` and `barrier`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barrier {
    pub(crate) id: Word,
    /// Threads that take part; all of the block where there is none.
    pub(crate) threads: Option<Word>,
    pub(crate) reduce: Option<BarrierReduce>,
}

/// `bar.red`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BarrierReduce {
    pub(crate) f: BarrierFn,
    pub(crate) p: Condition,
    pub(crate) d: super::Reg2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarrierFn {
    And,
    Or,
    Popc,
}
