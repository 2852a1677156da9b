//! What goes wrong, and where.

use std::fmt;

/// Text that is not PTX, or PTX that is not implemented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{module}:{line}: {what}: `{text}`")]
pub struct ParseError {
    /// The name given to [`crate::Module::parse`].
    pub module: String,
    /// Line of the PTX, from 1.
    pub line: u32,
    /// What was expected and what was found.
    pub what: String,
    /// The statement.
    pub text: String,
}

/// Kinds of bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Grid, block, shared memory or parameters that the kernel cannot be launched with.
    BadLaunch,
    /// An access outside every block, window or array.
    OutOfBounds,
    /// An address that is no multiple of the size of the access.
    Misaligned,
    /// A read of memory nothing was written to.
    UninitialisedMemory,
    /// An address, a decision, a stored value or an operand across lanes that depends on a
    /// register nothing was written to.
    UninitialisedRegister,
    /// Two warps, or two lanes of one, touch the same shared bytes without a barrier in between,
    /// one of them writing.
    SharedRace,
    /// Two blocks write the same global bytes, and neither knows of the other.
    GlobalRace,
    /// Memory that kernels write is touched, or a thread ends, before `griddepcontrol.wait`, in a
    /// launch that may begin before those in front of it have ended.
    BeforeWait,
    /// Memory that kernels write is read by a load that need not see it (`ld.global.nc`), in a
    /// launch that may begin before those in front of it have ended.
    Stale,
    /// Lanes of one store write different values to one address.
    ConflictingStores,
    /// A touch of shared memory whose `cp.async` has not been waited for.
    AsyncPending,
    /// A barrier that only some threads reach, or that threads reach in different places.
    DivergentBarrier,
    /// No warp can go on.
    Deadlock,
    /// Lanes named by a member mask that do not take part.
    Unconverged,
    /// A value taken from a lane that does not take part.
    InactiveLane,
    /// A tensor-core instruction without all 32 lanes.
    PartialWarp,
    /// More instructions than any sound kernel needs.
    Endless,
    /// A `trap`.
    Trap,
}

/// A bug found while a kernel ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kernel.
    pub kernel: String,
    /// The kind of bug.
    pub kind: FaultKind,
    /// What was expected and what was found.
    pub detail: String,
    /// Line of the PTX, from 1; 0 where no instruction is to blame.
    pub line: u32,
    /// File and line of the source, where the PTX names them.
    pub source: Option<(String, u32)>,
    /// Index of the block in the grid.
    pub block: [u32; 3],
    /// Index of the first thread concerned in the block.
    pub thread: [u32; 3],
    /// What mixed the order of the blocks; 0: they ran in the order of their numbers.
    pub seed: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, kind, detail, line, block: [bx, by, bz], thread: [tx, ty, tz], .. } =
            self;
        write!(f, "{kernel}: {kind:?}: {detail}")?;
        if *line > 0 {
            write!(f, " at PTX line {line}")?;
        }
        if let Some((file, line)) = &self.source {
            write!(f, " ({file}:{line})")?;
        }
        write!(f, " in block ({bx},{by},{bz}) thread ({tx},{ty},{tz})")?;
        match self.seed {
            0 => Ok(()),
            seed => write!(f, ", blocks in the order of seed {seed}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A bug as a warp sees it: it knows the lane, not the place.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) kind: FaultKind,
    pub(crate) lane: u32,
    pub(crate) detail: String,
}

impl Problem {
    #[cold]
    pub(crate) fn new(kind: FaultKind, lane: u32, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, lane, detail: detail.into() })
    }
}

/// What a step of a warp gives.
pub(crate) type Step<T = ()> = Result<T, Box<Problem>>;
