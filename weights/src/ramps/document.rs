//! The JSON document in a bundle's header, and the names of its tensors.

use serde::{Deserialize, Serialize};

use crate::hash::ModelHash;
use crate::json::{object, objects};
use crate::ramps::{Pool, RAMPS_MAX, TrainingNotes};
use crate::spec::{Activation, Task};

/// The version that is written, and the only one read.
pub(super) const FORMAT: u32 = 1;
/// The key of the document in the header's `__metadata__`.
pub(super) const KEY: &str = "offramp";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: u32,
    pub(super) model: ModelHash,
    pub(super) classes: usize,
    /// Classes where the key is not there, as in bundles from before there was another task.
    #[serde(default, skip_serializing_if = "Task::is_classes")]
    pub(super) task: Task,
    /// Of all ramps, where they have one in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<usize>,
    #[serde(deserialize_with = "objects::<_, _, RAMPS_MAX>")]
    pub(super) ramps: Vec<Described>,
    #[serde(deserialize_with = "object")]
    pub(super) trained: TrainingNotes,
}

/// What the tensors do not tell of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    pub(super) site: usize,
    pub(super) pool: Pool,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) hidden: Option<Activation>,
}

/// The name of a layer's tensors, up to `.weight` and `.bias`.
pub(super) fn stem(site: usize, layer: &str) -> String {
    format!("site.{site}.{layer}")
}
