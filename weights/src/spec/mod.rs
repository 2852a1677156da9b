//! What a `config.json` tells of a transformer over text, and what all models share: activations,
//! labels, and what the numbers of a classifier mean.

mod activation;
mod config;
mod labels;
mod task;
mod text;

pub use crate::folder::CONFIG_FILE;
pub use activation::{Activation, UnknownActivation};
pub(crate) use config::{parse, size};
pub(crate) use labels::{ListedLabels, NamedLabels, generic, in_order, labels, refit};
pub use task::{Link, Problem, ScoreKeys, Task};
pub use text::{Family, TextSpec};

/// Most encoder layers of a model.
pub const LAYERS_MAX: usize = 128;
/// Widest hidden state of a model, elements.
pub const HIDDEN_MAX: usize = 16_384;
/// Most classes of a head.
pub const CLASSES_MAX: usize = 65_536;
const INTERMEDIATE_MAX: usize = 131_072;
const VOCAB_MAX: usize = 4 << 20;
const POSITIONS_MAX: usize = 65_536;
const KINDS_MAX: usize = 1_024;
