//! What can go wrong in the engine.

use std::path::PathBuf;

/// The result of an engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the engine could not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model file is missing, malformed or does not belong.
    #[error(transparent)]
    Weights(#[from] offramp_weights::Error),
    /// The device refused or failed.
    #[error(transparent)]
    Device(#[from] offramp_kernels::Error),
    /// A row cannot be run. The batch it was meant for is untouched.
    #[error(transparent)]
    Input(#[from] InputError),
    /// `tokenizer.json` is missing or unusable.
    #[error("{}: {message}", file.display())]
    Tokenizer {
        /// The tokenizer file.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The model lacks what the call needs. Usual cause: a base model without a head.
    #[error("{}: {message}", model.display())]
    Unfit {
        /// The model directory.
        model: PathBuf,
        /// What is lacking, and what to do.
        message: String,
    },
    /// Options contradict each other or the model.
    #[error("{0}")]
    Options(String),
}

impl Error {
    /// Whether the device failed or cannot be used: another process is needed, elsewhere perhaps.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Device(offramp_kernels::Error::Device { .. }))
    }
}

/// Why one row cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Tokens for a model that reads images.
    #[error("a text, but the model reads images")]
    NotAnImage,
    /// An image for a model that reads texts.
    #[error("an image, but the model reads texts")]
    NotText,
    /// A picture that contradicts itself, or is too large.
    #[error(
        "a picture of {height} x {width} x {channels} in {bytes} bytes, expected 1 or 3 channels, \
         sides from 1 to 16384, and a byte each"
    )]
    Picture {
        /// Pixel rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
        /// Channels.
        channels: usize,
        /// Bytes.
        bytes: usize,
    },
    /// An image of another size than the model's.
    #[error("an image of {bytes} bytes, expected {height} x {width} x {channels}")]
    ImageSize {
        /// Bytes of the image.
        bytes: usize,
        /// Pixel rows expected.
        height: usize,
        /// Pixels of a row expected.
        width: usize,
        /// Channels expected.
        channels: usize,
    },
    /// A row of no tokens.
    #[error("the input has no tokens")]
    Empty,
    /// A token the model has no vector for. Usual cause: another model's tokenizer.
    #[error("token {index} is {id}, but the vocabulary has {vocab} entries")]
    UnknownToken {
        /// Where in the row.
        index: usize,
        /// The token.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A kind ("token type") the model has no vector for.
    #[error("token {index} has kind {kind}, but the model has {kinds} kinds")]
    UnknownKind {
        /// Where in the row.
        index: usize,
        /// The kind.
        kind: u16,
        /// Number of kinds.
        kinds: usize,
    },
    /// More tokens than the model has positions, or than a pass was given room for.
    #[error("the input has {tokens} tokens, at most {tokens_max} fit")]
    TooLong {
        /// Tokens of the row.
        tokens: usize,
        /// Most tokens of a row.
        tokens_max: usize,
    },
    /// A text too long to be split as a whole, with a tokenizer that has to.
    #[error(
        "{bytes} bytes of text without a place to cut them: with this model's tokenizer at most \
         {bytes_max} are read"
    )]
    TextTooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Most bytes of a text.
        bytes_max: usize,
    },
    /// Kinds were given, but not one per token.
    #[error("{tokens} tokens but {kinds} kinds")]
    KindsMismatch {
        /// Number of tokens.
        tokens: usize,
        /// Number of kinds.
        kinds: usize,
    },
    /// The text could not be split into tokens.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}
