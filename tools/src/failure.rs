//! Why a command ends early, and with which exit code.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use offramp::Error;

/// The result of a verb.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What stopped a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Options that contradict each other or the model.
    #[error("{0}")]
    Usage(String),
    /// The engine or a model file.
    #[error(transparent)]
    Engine(Error),
    /// A file that the command itself reads or writes.
    #[error("{}: cannot {doing}: {source}", .file.display())]
    Io { file: PathBuf, doing: &'static str, source: io::Error },
    /// A line of an input file that the command cannot do without.
    #[error("{}:{line}: {message}", .file.display())]
    Line { file: PathBuf, line: u64, message: String },
    /// A value that JSON cannot say.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Anything else that has been done and gone wrong.
    #[error("{0}")]
    Failed(String),
    /// The reader of standard output has left: no fault of ours.
    #[error("standard output was closed")]
    Closed,
}

impl Failure {
    pub(crate) fn io(file: &Path, doing: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Self::Io { file: file.to_owned(), doing, source }
    }

    /// 0 ok, 1 failure, 2 bad options, 3 a device that failed or cannot be used.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Usage(_) | Self::Engine(Error::Options(_)) => 2,
            Self::Engine(error) if error.is_lasting() => 3,
            _ => 1,
        }
    }

    /// The message with the causes that it does not tell itself.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}
