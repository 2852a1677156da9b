//! The one error type: which file, which tensor or field, what was expected, what was found.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::foreign::Foreign;

/// What the readers and writers of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. Usual cause: permissions, or a full disk when writing.
    #[error("{}: cannot {doing}: {source}", .file.display())]
    Io {
        /// The file or folder at fault.
        file: PathBuf,
        /// What was tried, as a verb: "open", "read".
        doing: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// No such file. Usual cause: the path names the parent folder, or the download was partial.
    #[error("{}: expected {expected}; {found}", .file.display())]
    Missing {
        /// The folder or file that was looked at.
        file: PathBuf,
        /// The file names that would have done.
        expected: String,
        /// What is there instead, with the remedy where there is one.
        found: String,
    },
    /// The bytes do not follow the format. Usual cause: an interrupted download or copy.
    #[error("{}: damaged: {what}", .file.display())]
    Damaged {
        /// The file at fault.
        file: PathBuf,
        /// The rule that does not hold, with the place.
        what: String,
    },
    /// Another kind of file under this name. Usual cause: a clone without Git LFS, or a PyTorch
    /// file renamed.
    #[error("{}: expected {expected}, found {found}", .file.display())]
    Foreign {
        /// The file at fault.
        file: PathBuf,
        /// What the name promises.
        expected: &'static str,
        /// What it is, with the remedy.
        found: Foreign,
    },
    /// A well-formed value that this engine does not run. Usual cause: another kind of model.
    #[error("{}: `{field}` must be {expected}, found {found}", .file.display())]
    Refused {
        /// The file at fault.
        file: PathBuf,
        /// The field, as it is spelt in the file.
        field: String,
        /// The values that are accepted.
        expected: String,
        /// The value that is there.
        found: String,
    },
    /// A tensor of another shape, element type or content. Usual cause: a config.json of another
    /// model, or a training run that diverged (NaN).
    #[error("{}: tensor `{tensor}`: expected {expected}, found {found}", .file.display())]
    Tensor {
        /// The file that holds the tensor.
        file: PathBuf,
        /// The tensor's full name.
        tensor: String,
        /// The shape, element types or values that would fit.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// A tensor that the model needs is not there. Usual cause: a checkpoint of another family.
    #[error("{}: no tensor `{tensor}`; {found}", .file.display())]
    NoTensor {
        /// The checkpoint's folder, or the one file.
        file: PathBuf,
        /// The name that was looked for.
        tensor: String,
        /// The nearest names that are there.
        found: String,
    },
    /// Ramps or thresholds that belong to other weights. Usual cause: the model was retrained.
    #[error(
        "{}: made for {what} {found}, but this {what} is {expected}; {remedy}",
        .file.display()
    )]
    Stale {
        /// The ramp bundle or the threshold file.
        file: PathBuf,
        /// "model" or "ramp bundle".
        what: &'static str,
        /// The hash of what is loaded, shortened.
        expected: String,
        /// The hash in the file, shortened.
        found: String,
        /// The command that makes the file anew.
        remedy: &'static str,
    },
}

/// The kinds of [`Error`], for callers that branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused.
    Io,
    /// A file is not there.
    Missing,
    /// A file does not follow its format.
    Damaged,
    /// A setting that this engine does not run.
    Refused,
    /// A tensor is absent, or of another shape, element type or content.
    Tensor,
    /// Made for other weights.
    Stale,
}

impl Error {
    /// The kind, which is stable across versions where the text is not.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::Missing { .. } => ErrorKind::Missing,
            Self::Damaged { .. } | Self::Foreign { .. } => ErrorKind::Damaged,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Tensor { .. } | Self::NoTensor { .. } => ErrorKind::Tensor,
            Self::Stale { .. } => ErrorKind::Stale,
        }
    }

    /// The file or folder at fault.
    pub fn file(&self) -> &Path {
        match self {
            Self::Io { file, .. }
            | Self::Missing { file, .. }
            | Self::Damaged { file, .. }
            | Self::Foreign { file, .. }
            | Self::Refused { file, .. }
            | Self::Tensor { file, .. }
            | Self::NoTensor { file, .. }
            | Self::Stale { file, .. } => file,
        }
    }

    /// Of a setting that is refused: its key, what it must be, what it is. For callers that know
    /// the setting by another name than the file's.
    pub fn refusal(&self) -> Option<(&str, &str, &str)> {
        match self {
            Self::Refused { field, expected, found, .. } => Some((field, expected, found)),
            _ => None,
        }
    }

    pub(crate) fn io(file: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Io { file: file.into(), doing, source }
    }

    pub(crate) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), what: what.into() }
    }

    /// [`Error::Foreign`] where `content` is something else than `wanted`; else this one.
    pub(crate) fn foreign_or(self, wanted: &Foreign, content: &[u8]) -> Self {
        let expected = match wanted {
            Foreign::Safetensors => "a safetensors file",
            _ => "a JSON file",
        };
        match Foreign::instead_of(wanted, content) {
            Some(found) => Self::Foreign { file: self.file().into(), expected, found },
            None => self,
        }
    }

    pub(crate) fn refused(
        file: &Path,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Display,
    ) -> Self {
        let (field, expected) = (field.into(), expected.into());
        Self::Refused { file: file.into(), field, expected, found: clip(&found) }
    }

    pub(crate) fn tensor(
        file: &Path,
        tensor: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self::Tensor { file: file.into(), tensor: tensor.into(), expected, found }
    }
}

/// Text for an error message, cut where a hostile file would make it long.
pub(crate) fn clip(value: &impl Display) -> String {
    const SHOWN_CHARS: usize = 160;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
