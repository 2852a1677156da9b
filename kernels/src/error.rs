//! What a device can refuse.

/// The result of a device call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a device did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More was asked for than [`crate::Device::reserve`] set aside. Usual cause: a batch larger
    /// than the limits the engine was started with.
    #[error("{what}: {found} exceeds the reserved {reserved}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How much was asked for.
        found: usize,
        /// How much was set aside.
        reserved: usize,
    },
    /// An operand does not fit its op: a broken plan or a malformed pass.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// The operand.
        what: &'static str,
        /// What the contract demands.
        expected: String,
        /// What came.
        found: String,
    },
    /// The machine has no room.
    #[error("out of memory: {bytes} bytes for {what}")]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
    /// The device failed and cannot go on.
    #[error("{device}: {message}")]
    Device {
        /// Which device.
        device: String,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// A [`Self::Mismatch`] from anything that prints.
    pub fn mismatch(
        what: &'static str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Mismatch { what, expected: expected.to_string(), found: found.to_string() }
    }

    /// Fails with [`Self::TooLarge`] if `found` is more than `reserved`.
    pub fn check_fits(what: &'static str, found: usize, reserved: usize) -> Result<()> {
        if found > reserved {
            return Err(Self::TooLarge { what, found, reserved });
        }
        Ok(())
    }
}
