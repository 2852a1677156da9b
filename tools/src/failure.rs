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
    /// What follows the workload, or a record of it.
    #[error(transparent)]
    Tune(offramp_tune::Error),
    /// The training of ramps.
    #[error(transparent)]
    Train(offramp_train::Error),
    /// A server.
    #[error(transparent)]
    Serve(offramp_serve::Error),
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
            failure if failure.is_usage() => 2,
            failure if failure.is_lasting() => 3,
            _ => 1,
        }
    }

    /// Whether something else is to be asked for.
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Engine(Error::Options(_)) => true,
            Self::Tune(error) => {
                matches!(error, offramp_tune::Error::Options(_) | offramp_tune::Error::Thread(_))
            }
            Self::Train(error) => {
                matches!(
                    error,
                    offramp_train::Error::Input { .. } | offramp_train::Error::Window(_)
                )
            }
            Self::Serve(error) => matches!(
                error,
                offramp_serve::Error::Options(_)
                    | offramp_serve::Error::Listen { .. }
                    | offramp_serve::Error::Start { .. }
                    | offramp_serve::Error::Ending
            ),
            _ => false,
        }
    }

    fn is_lasting(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_lasting(),
            Self::Tune(error) => error.is_lasting(),
            Self::Train(error) => error.is_lasting(),
            Self::Serve(error) => error.is_lasting(),
            _ => false,
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

impl From<offramp_tune::Error> for Failure {
    fn from(error: offramp_tune::Error) -> Self {
        match error {
            offramp_tune::Error::Engine(error) => Self::Engine(error),
            error => Self::Tune(error),
        }
    }
}

impl From<offramp_train::Error> for Failure {
    fn from(error: offramp_train::Error) -> Self {
        match error {
            offramp_train::Error::Engine(error) => Self::Engine(error),
            error => Self::Train(error),
        }
    }
}

impl From<offramp_serve::Error> for Failure {
    fn from(error: offramp_serve::Error) -> Self {
        match error {
            offramp_serve::Error::Engine(error) => Self::Engine(error),
            offramp_serve::Error::Tune(error) => error.into(),
            error => Self::Serve(error),
        }
    }
}
