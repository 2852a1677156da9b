//! A model directory, opened and checked.

mod bind;

use std::path::{Path, PathBuf};

use offramp_kernels::Decision;
use offramp_weights::{
    Checkpoint, Identity, Input, ModelHash, ModelSpec, RampBundle, Stamps, Task, TextSpec,
    ThresholdFile, resolve,
};

pub use bind::bind;
pub use offramp_weights::is_there;

use crate::error::{Error, Result};
use crate::image::Preprocessor;
use crate::plan::{RampShape, activation, pool};
use crate::scores;
#[cfg(feature = "tokenizer")]
use crate::text::Tokenizer;

/// File names in a model directory.
pub mod files {
    /// What a model is read from, its weights aside.
    pub use offramp_weights::identity::FILES as READ;

    /// How a text model splits texts.
    pub const TOKENIZER: &str = "tokenizer.json";
    /// Ramps trained for the model.
    pub const RAMPS: &str = "ramps.safetensors";
    /// Thresholds fitted on those ramps.
    pub const THRESHOLDS: &str = "thresholds.json";
    /// Latency of segments and ramps on one machine.
    pub const PROFILE: &str = "profile.json";
}

/// A checkpoint with what offramp adds to it: `config.json`, `model.safetensors`, and where they
/// exist `tokenizer.json`, `ramps.safetensors`, `thresholds.json`.
#[derive(Debug)]
pub struct Model {
    dir: PathBuf,
    /// Of its files, before any was read.
    stamps: Stamps,
    spec: ModelSpec,
    checkpoint: Checkpoint,
    ramps: Option<RampBundle>,
    thresholds: Option<ThresholdFile>,
}

impl Model {
    /// Opens a directory.
    ///
    /// # Errors
    /// A file is missing, malformed, of an unsupported model, or ramps and thresholds belong to
    /// another model.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let mut model = Self::open_bare(dir.as_ref())?;
        let (ramps, thresholds) = (model.path(files::RAMPS), model.path(files::THRESHOLDS));
        if is_there(&ramps) {
            model.load_ramps(&ramps)?;
        }
        if model.ramps.is_some() && is_there(&thresholds) {
            model.thresholds = Some(model.read_thresholds(&thresholds)?);
        }
        Ok(model)
    }

    /// Opens a directory without its ramps, as training needs it.
    ///
    /// # Errors
    /// As [`open`](Self::open), ramps and thresholds aside.
    pub fn open_bare(dir: &Path) -> Result<Self> {
        let stamps = Stamps::look(dir);
        let mut spec = ModelSpec::read(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let stamps = stamps?;
        resolve(&mut spec, &checkpoint)?;
        let dir = dir.to_owned();
        Ok(Self { dir, stamps, spec, checkpoint, ramps: None, thresholds: None })
    }

    /// Takes its ramps from another file; thresholds of other ramps are forgotten.
    ///
    /// # Errors
    /// The bundle is malformed or belongs to another model.
    pub fn load_ramps(&mut self, file: &Path) -> Result<()> {
        self.ramps = Some(RampBundle::read(file, &self.spec, &self.hash())?);
        self.thresholds = None;
        Ok(())
    }

    /// Replaces the ramps.
    pub fn set_ramps(&mut self, ramps: Option<RampBundle>) {
        self.ramps = ramps;
        self.thresholds = None;
    }

    /// Reads thresholds that were fitted on this model's ramps.
    ///
    /// # Errors
    /// The file is malformed, or was fitted on other ramps.
    pub fn read_thresholds(&self, file: &Path) -> Result<ThresholdFile> {
        let ramps = self.ramps.as_ref().ok_or_else(|| Error::Unfit {
            model: self.dir.clone(),
            message: format!("{} without ramps: run train-ramps first", file.display()),
        })?;
        Ok(ThresholdFile::read(file, &self.hash(), &ramps.hash())?)
    }

    /// Takes thresholds that were read for it.
    pub fn set_thresholds(&mut self, thresholds: Option<ThresholdFile>) {
        self.thresholds = thresholds;
    }

    /// Its tokenizer.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where there is none or it is malformed, [`Error::Unfit`] for a model
    /// that reads images.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        match &self.spec.input {
            Input::Tokens(text) => Tokenizer::open(&self.dir, text),
            Input::Pixels(_) => Err(Error::Unfit {
                model: self.dir.clone(),
                message: "reads images: it has no tokenizer".to_owned(),
            }),
        }
    }

    /// Its tokenizer, where it has one: without, a text model reads tokens only.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the file is there, but malformed or not to be read.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer_if_any(&self) -> Result<Option<Tokenizer>> {
        let has_one = self.spec.text().is_some() && is_there(&self.path(files::TOKENIZER));
        has_one.then(|| self.tokenizer()).transpose()
    }

    /// What it reads: `images` or `text`.
    pub fn reads(&self) -> &'static str {
        if self.spec.image().is_some() { "images" } else { "text" }
    }

    /// What its files hold, ramps and thresholds aside. Reads all of them.
    ///
    /// # Errors
    /// A file has been written, has come or gone since the model was opened, or cannot be read.
    pub fn identity(&self) -> Result<Identity> {
        let identity = Identity::read(&self.dir)?;
        if Stamps::look(&self.dir)? == self.stamps {
            return Ok(identity);
        }
        let message = "its files have changed while it was loaded: try again when they are whole";
        Err(Error::Unfit { model: self.dir.clone(), message: message.to_owned() })
    }

    /// Makes inputs of pictures.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a model that reads text.
    pub fn preprocessor(&self) -> Result<Preprocessor> {
        match &self.spec.input {
            Input::Pixels(input) => Ok(Preprocessor::new(input)),
            Input::Tokens(_) => Err(Error::Unfit {
                model: self.dir.clone(),
                message: "reads text, not images".to_owned(),
            }),
        }
    }

    /// Identity of the weights: ramps and thresholds are bound to it. Reads the whole checkpoint.
    pub fn hash(&self) -> ModelHash {
        self.checkpoint.hash()
    }

    /// A file in its directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Most tokens of one input. An image has as many as it becomes, 1 where it stays a map.
    pub fn row_tokens_max(&self) -> usize {
        let image = self.spec.network.image_tokens().unwrap_or(1);
        self.spec.text().map_or(image, TextSpec::row_tokens_max)
    }

    /// Its tensors.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Its ramps.
    pub fn ramps(&self) -> Option<&RampBundle> {
        self.ramps.as_ref()
    }

    /// Its thresholds.
    pub fn thresholds(&self) -> Option<&ThresholdFile> {
        self.thresholds.as_ref()
    }

    /// The name of a class.
    pub fn label(&self, class: u32) -> &str {
        self.spec.labels().get(class as usize).map_or("?", String::as_str)
    }

    /// What its classifier decides.
    pub fn task(&self) -> Task {
        self.spec.task()
    }

    /// What its answers are, and when two of them are the same: numbers within `asked`, or else
    /// within what its thresholds say.
    ///
    /// # Errors
    /// [`Error::Options`] for a tolerance that is not above 0 and below 1, and for any where the
    /// model gives no number.
    pub fn decision(&self, asked: Option<f32>) -> Result<Decision> {
        let tolerance = self.tolerance(asked)?.unwrap_or(Decision::TOLERANCE);
        Ok(scores::decision(self.task(), tolerance))
    }

    /// How far apart the sigmoids of two numbers may be that are the same answer: as `asked`, or
    /// else as its thresholds say; none where nobody says.
    fn tolerance(&self, asked: Option<f32>) -> Result<Option<f32>> {
        let Some(tolerance) = asked else {
            return Ok(self.thresholds.as_ref().and_then(|file| file.tolerance));
        };
        if !self.task().is_number() {
            return Err(Error::Options(format!(
                "a tolerance of {tolerance}: only for models that give a number, this one gives {}",
                self.task()
            )));
        }
        if !(tolerance > 0.0 && tolerance < 1.0) {
            let message = format!("a tolerance of {tolerance}, expected above 0 and below 1");
            return Err(Error::Options(message));
        }
        Ok(asked)
    }

    /// Fails for a model without a classifier.
    ///
    /// # Errors
    /// [`Error::Unfit`].
    pub fn expect_classifier(&self) -> Result<()> {
        if self.spec.classes() > 0 {
            return Ok(());
        }
        Err(Error::Unfit {
            model: self.dir.clone(),
            message: "a base model: it has no classification head, so it can be inspected and \
                      timed but gives no labels"
                .to_owned(),
        })
    }

    /// Shapes of its ramps.
    pub fn ramp_shapes(&self) -> Vec<RampShape> {
        let bundle = self.ramps.iter().flat_map(|bundle| &bundle.ramps);
        bundle
            .map(|ramp| RampShape {
                site: ramp.site,
                pool: pool(ramp.pool),
                hidden: ramp.hidden.as_ref().map(|(dense, act)| (dense.outputs, activation(*act))),
                classes: Some(ramp.head.outputs),
            })
            .collect()
    }
}
