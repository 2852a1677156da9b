//! What can go wrong in a service.

use std::net::SocketAddr;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it could not be done as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine, its device or its model.
    #[error(transparent)]
    Engine(#[from] offramp::Error),
    /// What follows the workload.
    #[error(transparent)]
    Tune(#[from] offramp_tune::Error),
    /// Options contradict each other or the machine.
    #[error("{0}")]
    Options(String),
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread or a runtime could not be started, or a socket does not say where it is.
    #[error("{what}: {source}")]
    Start {
        /// What there is none of.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// It is ending.
    #[error("the service is ending")]
    Ending,
    /// The thread that runs the engine has panicked, which is a defect of offramp, or its device
    /// does not come back.
    #[error("the executor is lost: it has panicked, or its device hangs")]
    ExecutorLost,
    /// A thread or task of a service has panicked: a defect of offramp.
    #[error("the {part} is lost: it has panicked")]
    PartLost {
        /// Which.
        part: &'static str,
    },
}

impl Error {
    /// An option that cannot work, by its name.
    pub(crate) fn refused(
        option: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Options(format!("{option}: expected {expected}, found {found}"))
    }

    /// Whether the device failed or cannot be used, or a thread is lost: another process is needed,
    /// elsewhere perhaps.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_lasting(),
            Self::Tune(error) => error.is_lasting(),
            Self::ExecutorLost | Self::PartLost { .. } => true,
            _ => false,
        }
    }
}
