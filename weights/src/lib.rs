//! Checkpoints, specs, ramp bundles and thresholds: files in, checked values out.
//!
//! This crate knows files and what they must hold, and nothing about devices, requests or policies.
//! Every reader takes hostile bytes: it answers with a value or with an [`Error`] that names the
//! file and the fault, it never panics, and it holds at most about twice the file in memory.
//!
//! | module          | file                                   | gives                       |
//! |-----------------|----------------------------------------|-----------------------------|
//! | [`model`]       | `config.json`                          | [`ModelSpec`]               |
//! | [`mod@file`]    | `model.safetensors`, or shards + index | [`Checkpoint`], [`Tensor`]  |
//! | [`network`]     | -                                      | steps with names of tensors |
//! | [`text`]        | `config.json` of encoders over text    | families, one table each    |
//! | [`image`]       | that of networks over images           | how pictures become inputs  |
//! | [`mod@resolve`] | a spec and a checkpoint                | names and shapes that fit   |
//! | [`ramps`]       | `ramps.safetensors`                    | [`RampBundle`]              |
//! | [`thresholds`]  | `thresholds.json`                      | [`ThresholdFile`]           |
//! | [`mod@tokenizer_config`] | `tokenizer_config.json`       | [`TokenizerConfig`]       |
//! | [`foreign`]     | one that is not what its name says     | what it is, and the remedy  |
//! | [`identity`]    | all but ramps and thresholds           | which of them have changed  |
//!
//! Ramps carry the hash of the model that they were trained on, thresholds the hashes of the model
//! and the ramps that they were fitted on; a mismatch is refused when read.
//!
//! No thread, no lock and no clock here. A mapped weight file must not be changed in place while it
//! is open: replace it by a rename, as [`RampBundle::write`] does.
#![deny(unsafe_code)]

mod config;
mod convert;
mod disk;
pub mod error;
pub mod file;
mod folder;
pub mod foreign;
pub mod hash;
pub mod identity;
pub mod image;
mod json;
mod keys;
mod leftover;
mod mmap;
pub mod model;
pub mod network;
pub mod ramps;
pub mod resolve;
pub mod spec;
pub mod text;
pub mod thresholds;
pub mod tokenizer_config;

pub use convert::Conversion;
pub use disk::is_there;
pub use error::{Error, ErrorKind, Result};
pub use file::{Checkpoint, Elem, Stored, Tensor};
pub use foreign::Foreign;
pub use hash::{ModelHash, RampHash};
pub use identity::{Identity, Stamps};
pub use model::{Input, ModelSpec, TextSpec};
pub use network::Network;
pub use ramps::{Dense, Ramp, RampBundle, SiteNotes, TrainingNotes};
pub use resolve::resolve;
pub use spec::{Activation, Pool, Task};
pub use text::Family;
pub use thresholds::{FittedOn, Policy, SiteThreshold, ThresholdFile};
pub use tokenizer_config::TokenizerConfig;
