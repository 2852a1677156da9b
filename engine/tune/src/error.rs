//! What can go wrong while exits follow the workload.

use std::path::PathBuf;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it could not be done as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine, its device or its model.
    #[error(transparent)]
    Engine(#[from] offramp::Error),
    /// Options contradict each other or the model.
    #[error("{0}")]
    Options(String),
    /// The control thread could not be started.
    #[error("no control thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The thread that keeps the promise about agreement has panicked: a defect of offramp.
    #[error("the control thread is lost: nobody watches the exits any more")]
    ControlLost,
    /// A record or a profile cannot be written or read, or is none.
    #[error("{}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Decisions could not be written down; all else went on.
    #[error("{}: {message}", file.display())]
    Journal {
        /// The journal.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// Whether the device failed or cannot be used, or a thread is lost: another process is needed,
    /// elsewhere perhaps.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_lasting(),
            Self::ControlLost => true,
            _ => false,
        }
    }
}
