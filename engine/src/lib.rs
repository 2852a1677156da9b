//! Knows plans, passes and exits: runs transformers and CNNs with **early exits**. Never knows
//! requests, schedules or connections, nor how a device computes.
//!
//! Small classifiers ("ramps") sit between the layers of a model. A row of a batch that a ramp is
//! sure of gets its answer there; the rows that are left are packed together and go on. The
//! promise is about agreement: the share of answers equal to the full model's.
//!
//! # Threads
//!
//! ```text
//! caller's thread ── run(batch) ──► Engine ── issue(op) ──► Device ──► worker team (CPU)
//!        ▲                            │
//!        └── Sink::answer, observe ◄──┘   answers leave between segments
//! ```
//!
//! An [`Engine`] belongs to one thread, the executor, and owns its device. It starts no thread of
//! its own; the CPU device has a fixed team of workers that run only while an op is issued. A
//! [`Sink`] is called on the executor's thread. `offramp-tune` adds a control thread that follows
//! the workload, `offramp-serve` one that runs the engine; each draws its own.
//!
//! # Example
//!
//! Text, as in `examples/01_answer.rs`, which runs; for pictures see [`Preprocessor`] and
//! `examples/03_images.rs`.
//!
//! ```no_run
//! use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings};
//!
//! # fn main() -> Result<(), offramp::Error> {
//! let model = Model::open("my-model")?;
//! let tokenizer = model.tokenizer()?;
//! let mut engine = Engine::new(&model, &EngineOptions::default())?;
//!
//! let mut batch = engine.batch();
//! for text in ["Who wrote Hamlet?", "How many feet are in a mile?"] {
//!     let row = tokenizer.encode(text, None)?;
//!     batch.push(&row.ids, &row.kinds)?;
//! }
//!
//! let thresholds = model.thresholds().expect("the model has thresholds");
//! let exits = Exits::from_file(engine.plan(), thresholds)?;
//! let settings = PassSettings::new(&exits, AfterExit::Compact);
//! let mut labels = [""; 2];
//! engine.run(&batch, &settings, &mut |answer: Answer<'_>| {
//!     labels[answer.row] = model.label(answer.label);
//! })?;
//! assert_eq!(labels, ["HUM", "NUM"]);
//! # Ok(())
//! # }
//! ```
//! # Features
//!
//! | feature | what it does | packages |
//! |---|---|---|
//! | none | the CPU; rows of token ids, images, pictures | 43 |
//! | `tokenizer` (default) | texts, by `tokenizer.json` and the `tokenizers` package | +52 |
//! | `cuda` (default) | NVIDIA GPUs, where a driver is found | +2 |
#![forbid(unsafe_code)]

mod batch;
pub mod clock;
mod device;
mod error;
mod exec;
mod exit;
pub mod image;
pub mod model;
pub mod plan;
mod rows;
mod rules;
pub mod scores;
#[cfg(feature = "tokenizer")]
mod text;

pub use batch::Batch;
pub use device::{DeviceChoice, DeviceInfo, Precision, devices, peak_gflops};
pub use error::{Error, InputError, Result};
pub use exec::{
    Answer, Engine, EngineOptions, Exit, Group, Observation, Packing, PassReport, PassSettings,
    Seen, SegmentTime, Shape, Sink,
};
pub use exit::{AfterExit, Exits, OFF, Publisher, Subscriber, score_of, threshold_table};
pub use image::{Picture, Preprocessor};
pub use model::Model;
/// What a [device of your own](Engine::with_device) is made of.
pub use offramp_kernels as kernels;
pub use offramp_kernels::{Cost, Decision, ExitWindow, LiveBound, Pool, Room, RowSlot, Score};
pub use offramp_weights::{
    Conversion, Identity, Input, ModelSpec, Network, Policy, RampBundle, SiteThreshold, Task,
    ThresholdFile,
};
pub use rows::RowMap;
pub use rules::{ImageRules, Limits, Row, RowRules, TextRules, TokenRow};
pub use scores::probabilities;
#[cfg(feature = "tokenizer")]
pub use text::{Encoded, Tokenizer};
