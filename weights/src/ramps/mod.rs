//! The ramp bundle: small classifiers between the layers of one model, in one file.
//!
//! `ramps.safetensors` is a safetensors file:
//!
//! | bytes        | content                                                              |
//! |--------------|----------------------------------------------------------------------|
//! | 0..8         | `n`, the length of the header, u64 little-endian                     |
//! | 8..8+n       | the header, a JSON object, padded with spaces to a multiple of 8     |
//! | 8+n..        | the tensors without gaps, F32 little-endian, row-major, by rising name |
//!
//! For each ramp the header lists these tensors, where `s` is the site in decimal, `width` what the
//! ramp looks at (the model's hidden size, or the channels behind its segment) and `h` the width of
//! the ramp's own hidden layer:
//!
//! | name                   | shape          |                                              |
//! |------------------------|----------------|----------------------------------------------|
//! | `site.s.hidden.weight` | `[h, width]`   | only when the ramp has a hidden layer        |
//! | `site.s.hidden.bias`   | `[h]`          | likewise                                     |
//! | `site.s.head.weight`   | `[classes, h]` | `[classes, width]` without a hidden layer    |
//! | `site.s.head.bias`     | `[classes]`    |                                              |
//!
//! and its `__metadata__` has one text, `offramp`, which is itself a JSON object, all keys but
//! `task` and `width` required, no others allowed:
//!
//! ```json
//! {
//!   "format": 1,
//!   "model": "<64 hex digits>",
//!   "classes": 6,
//!   "task": "classes",
//!   "width": 128,
//!   "ramps": [ { "site": 1, "pool": "mean", "hidden": "tanh" },
//!              { "site": 3, "pool": "first", "hidden": null } ],
//!   "trained": { "inputs": 5000, "held_out": 500,
//!                "sites": [ { "site": 1, "agreement": 0.93, "temperature": 1.4 } ] }
//! }
//! ```
//!
//! Sites rise. `task` is what the heads learnt to decide: `classes` where it is not there,
//! `labels`, `value` or `score`. `width` is there when all ramps look at vectors of one width,
//! which they do in transformers; otherwise the tensors alone tell. `hidden` is the activation
//! after the hidden layer, null when there is none. Inputs are not standardised and logits not
//! scaled at run time:
//! both are folded into the weights.
//!
//! The bundle's hash is BLAKE3 over the document's text without spaces and then, ramp by ramp,
//! hidden before head, weight before bias, every tensor: its dimensions as u64, its values as F32.
//! The text, the dimensions and the values each come after their length in bytes, a u64; all
//! numbers are little-endian.

mod document;
mod read;
mod write;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::{ModelHash, RampHash};
use crate::json::objects;
use crate::model::ModelSpec;
pub use crate::spec::Pool;
use crate::spec::{Activation, CLASSES_MAX, HIDDEN_MAX, LAYERS_MAX, Task};

/// Most ramps of a bundle: one after each layer but the last.
pub const RAMPS_MAX: usize = LAYERS_MAX - 1;

/// A linear layer: `weight * x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Rows of the weight.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
    /// Row-major, `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// A classifier that stands after an encoder layer, or behind a segment of an image network.
#[derive(Debug, Clone, PartialEq)]
pub struct Ramp {
    /// The encoder layer or segment before it, from 0.
    pub site: usize,
    /// What it looks at.
    pub pool: Pool,
    /// A layer before the head, and what follows that layer.
    pub hidden: Option<(Dense, Activation)>,
    /// Gives one logit per class.
    pub head: Dense,
}

/// How the ramps came about: informative, nothing runs by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingNotes {
    /// Inputs that the ramps were trained on.
    pub inputs: usize,
    /// Inputs kept apart, that the figures below were measured on.
    pub held_out: usize,
    /// At most one note per ramp.
    #[serde(deserialize_with = "objects::<_, _, RAMPS_MAX>")]
    pub sites: Vec<SiteNotes>,
}

/// What training showed at one site.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteNotes {
    /// The encoder layer before the ramp, from 0.
    pub site: usize,
    /// The share of held-out inputs answered as by the full model, in [0, 1].
    pub agreement: f64,
    /// What the logits were divided by to be calibrated; above 0.
    pub temperature: f64,
}

/// All ramps of one model.
///
/// ```
/// use offramp_weights::{
///     Dense, ModelHash, ModelSpec, Pool, Ramp, RampBundle, Task, TrainingNotes,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ramps.safetensors");
/// # let config = r#"{"model_type": "bert", "hidden_size": 2, "num_hidden_layers": 4,
/// #     "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 10,
/// #     "max_position_embeddings": 16}"#;
/// # let spec = ModelSpec::parse(config.as_bytes(), "config.json".as_ref())?;
/// // `spec` tells of two classes, a hidden width of 2, and 4 layers.
/// let weight = vec![1.0, 0.0, 0.0, 1.0];
/// let head = Dense { outputs: 2, inputs: 2, weight, bias: vec![0.0; 2] };
/// let ramp = Ramp { site: 1, pool: Pool::Mean, hidden: None, head };
/// let model = ModelHash([7; 32]);
/// let trained = TrainingNotes::default();
/// let (task, ramps) = (Task::Classes, vec![ramp]);
/// let bundle = RampBundle { model, classes: 2, task, ramps, trained };
///
/// bundle.write(&path)?;
/// let read = RampBundle::read(&path, &spec, &model)?;
/// assert_eq!(read, bundle);
/// assert_eq!(read.hash(), bundle.hash());
///
/// // The ramps of one model are not read for another.
/// let error = RampBundle::read(&path, &spec, &ModelHash([8; 32])).unwrap_err();
/// assert!(error.to_string().contains("made for model 070707070707, but this model is 0808"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RampBundle {
    /// The model that the ramps were trained on.
    pub model: ModelHash,
    /// Logits of every head.
    pub classes: usize,
    /// What they decide.
    pub task: Task,
    /// By rising site.
    pub ramps: Vec<Ramp>,
    /// How they came about.
    pub trained: TrainingNotes,
}

impl RampBundle {
    /// Reads `path` for the model of `spec` and `model`. Errors: absent, damaged, trained on
    /// another model, sizes or sites that do not fit, or weights that are not finite.
    pub fn read(path: &Path, spec: &ModelSpec, model: &ModelHash) -> Result<Self> {
        read::read(path, spec, model)
    }

    /// Writes `path`, whole or not at all. Errors: ramps that do not fit together, or not writable.
    pub fn write(&self, path: &Path) -> Result<()> {
        crate::disk::write_atomically(path, &write::to_bytes(self, path)?)
    }

    /// The hash of the document and of every tensor's shape and values, in the order of the file.
    pub fn hash(&self) -> RampHash {
        write::hash(self)
    }

    /// Refuses a bundle whose parts do not fit together.
    fn check(&self, file: &Path) -> Result<()> {
        count(file, "classes", self.classes, CLASSES_MAX)?;
        count(file, "number of ramps", self.ramps.len(), RAMPS_MAX)?;
        if !self.ramps.is_sorted_by(|a, b| a.site < b.site) {
            let found = "another order, or one twice";
            return Err(Error::refused(file, "ramps", "by rising site", found));
        }
        self.ramps.iter().try_for_each(|ramp| self.check_ramp(ramp, file))?;
        self.trained.check(file)
    }

    fn check_ramp(&self, ramp: &Ramp, file: &Path) -> Result<()> {
        if ramp.site >= RAMPS_MAX {
            let expected = format!("below {RAMPS_MAX}");
            return Err(Error::refused(file, "site", expected, ramp.site));
        }
        let mut inputs = ramp.width();
        count(file, "width", inputs, HIDDEN_MAX)?;
        if let Some((hidden, _)) = &ramp.hidden {
            count(file, "width of a hidden layer", hidden.outputs, HIDDEN_MAX)?;
            hidden.check(file, &document::stem(ramp.site, "hidden"), [hidden.outputs, inputs])?;
            inputs = hidden.outputs;
        }
        ramp.head.check(file, &document::stem(ramp.site, "head"), [self.classes, inputs])
    }

    /// Refuses a bundle that does not fit the model.
    fn check_fits(&self, spec: &ModelSpec, file: &Path) -> Result<()> {
        let same = |field, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::refused(file, field, format!("{expected}, as the model's"), found)),
        };
        same("classes", spec.classes(), self.classes)?;
        if !self.task.is_like(spec.task()) {
            let expected = format!(
                "{}, as the model's: train ramps anew with `offramp train-ramps`",
                spec.task()
            );
            return Err(Error::refused(file, "task", expected, self.task));
        }
        // After the last site the model itself answers.
        if let Some(last) = self.ramps.last()
            && last.site + 1 >= spec.sites()
        {
            let expected = format!("before the last of {} segments", spec.sites());
            return Err(Error::refused(file, "site", expected, last.site));
        }
        self.ramps.iter().try_for_each(|ramp| {
            same("width", spec.site_width(ramp.site), ramp.width())?;
            if ramp.pool != Pool::Mean && spec.network.attention_heads().is_none() {
                let expected = "mean: no token of this model is apart from others";
                return Err(Error::refused(file, "pool", expected, ramp.pool));
            }
            Ok(())
        })
    }

    /// The width of all ramps, where they have one in common.
    fn common_width(&self) -> Option<usize> {
        let width = self.ramps.first()?.width();
        self.ramps.iter().all(|ramp| ramp.width() == width).then_some(width)
    }
}

impl Ramp {
    /// Elements of the vector that it looks at.
    pub fn width(&self) -> usize {
        self.hidden.as_ref().map_or(self.head.inputs, |(hidden, _)| hidden.inputs)
    }
}

impl Dense {
    fn check(&self, file: &Path, stem: &str, shape: [usize; 2]) -> Result<()> {
        let misfit = |end: &str, expected: String, found: String| {
            Err(Error::tensor(file, &format!("{stem}.{end}"), expected, found))
        };
        if [self.outputs, self.inputs] != shape {
            let found = format!("{:?}", [self.outputs, self.inputs]);
            return misfit("weight", format!("shape {shape:?}"), format!("shape {found}"));
        }
        // Both dimensions are bounded by now, so the product is too.
        for (end, values, count) in
            [("weight", &self.weight, shape[0] * shape[1]), ("bias", &self.bias, shape[0])]
        {
            if values.len() != count {
                return misfit(end, format!("{count} values"), values.len().to_string());
            }
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                let found = format!("{} at element {index}", values[index]);
                return misfit(end, "finite values".into(), found);
            }
        }
        Ok(())
    }
}

impl TrainingNotes {
    fn check(&self, file: &Path) -> Result<()> {
        count(file, "notes", self.sites.len().max(1), RAMPS_MAX)?;
        for note in &self.sites {
            if !(0.0..=1.0).contains(&note.agreement) {
                return Err(Error::refused(file, "agreement", "0 to 1", note.agreement));
            }
            if !(note.temperature > 0.0 && note.temperature.is_finite()) {
                return Err(Error::refused(file, "temperature", "above 0", note.temperature));
            }
        }
        Ok(())
    }
}

fn count(file: &Path, field: &str, found: usize, max: usize) -> Result<()> {
    match (1..=max).contains(&found) {
        true => Ok(()),
        false => Err(Error::refused(file, field, format!("1 to {max}"), found)),
    }
}
