//! Why a walk ends early.

use super::codes::Fault;

/// Why a walk ends early.
pub(super) enum Stop {
    /// The file ends before the picture does.
    Cut,
    Damaged(&'static str),
    /// Another process than those that are checked here. Some decoders take it, damage and all.
    Other(&'static str),
    Unknown,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Marker => MISSING,
            Fault::End => Self::Cut,
            Fault::NoCode => Self::Damaged("bits that are no code"),
        }
    }
}

pub(super) type Walked<T> = Result<T, Stop>;

pub(super) const MISSING: Stop = Stop::Damaged("data of some blocks are missing");
