//! What a model reads and says: the part of it that outlives a reload.

use std::path::Path;

use offramp::{
    Engine, Identity, InputError, Limits, Model, Preprocessor, RowRules, Task, Tokenizer,
};
use parking_lot::RwLock;

use crate::error::{Error, Result};

/// What a model brings to the shared state.
pub(crate) struct Reading {
    pub(crate) rules: RowRules,
    /// Of a batch: what waits fits into one.
    pub(crate) limits: Limits,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) preprocessor: Option<Preprocessor>,
    pub(crate) labels: Vec<String>,
    /// What its files held.
    pub(crate) identity: Identity,
    pub(crate) task: Task,
    /// It changes where the model is loaded again.
    pub(crate) metadata: RwLock<String>,
}

impl Reading {
    pub(crate) fn of(model: &Model, engine: &Engine) -> Result<Self> {
        Ok(Self {
            rules: engine.rules().clone(),
            limits: engine.limits(),
            tokenizer: model.tokenizer_if_any()?,
            preprocessor: model.preprocessor().ok(),
            labels: model.spec().labels().to_vec(),
            task: model.task(),
            // Last: it says that nothing has changed since the model was opened.
            identity: model.identity()?,
            metadata: RwLock::new(metadata(model, engine)),
        })
    }

    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, InputError> {
        match (&self.tokenizer, &self.preprocessor) {
            (Some(tokenizer), _) => Ok(tokenizer),
            (None, Some(_)) => Err(InputError::NotAnImage),
            (None, None) => {
                Err(InputError::Tokenizer("the model has none: send tokens".to_owned()))
            }
        }
    }

    /// Whether another model reads and says the same, in batches of the same size. Reads its files.
    pub(crate) fn expect_same(&self, model: &Model, engine: &Engine) -> Result<()> {
        let other = if *engine.rules() != self.rules {
            "reads other inputs than the model that is served: restart to serve it"
        } else if model.spec().labels() != self.labels {
            "has other labels than the model that is served: restart to serve it"
        } else if model.task() != self.task {
            "decides something else than the model that is served: restart to serve it"
        } else {
            self.expect_limits(engine.limits())?;
            return self.expect_identity(model.dir(), &model.identity()?);
        };
        Err(unfit(model.dir(), other.to_owned()))
    }

    fn expect_limits(&self, found: Limits) -> Result<()> {
        if found == self.limits {
            return Ok(());
        }
        let Limits { rows_max, tokens_max } = self.limits;
        Err(Error::Options(format!(
            "an engine for batches of {} rows and {} tokens, expected {rows_max} and {tokens_max} \
             as of the one that serves",
            found.rows_max, found.tokens_max
        )))
    }

    /// Whether a folder holds the model that is served: only ramps and thresholds may differ.
    pub(crate) fn expect_identity(&self, dir: &Path, found: &Identity) -> Result<()> {
        let changes = self.identity.changes(found);
        if changes.is_empty() {
            return Ok(());
        }
        let message = format!(
            "not the model that is served, and only ramps and thresholds are loaded again: {}: \
             restart to serve it",
            changes.join(", ")
        );
        Err(unfit(dir, message))
    }
}

pub(crate) fn unfit(dir: &Path, message: String) -> Error {
    offramp::Error::Unfit { model: dir.to_owned(), message }.into()
}

/// Of the folder.
pub(crate) fn name(model: &Model) -> String {
    let name = model.dir().file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

pub(crate) fn metadata(model: &Model, engine: &Engine) -> String {
    serde_json::json!({
        "server": concat!("offramp ", env!("CARGO_PKG_VERSION")),
        "protocol_version": offramp_protocol::VERSION,
        "model": name(model),
        "model_hash": model.hash().to_string(),
        "labels": model.spec().labels(),
        "task": model.task().to_string(),
        "reads": model.reads(),
        "sites": engine.plan().ramp_sites().collect::<Vec<usize>>(),
        "row_tokens_max": model.row_tokens_max(),
        "device": engine.device_name(),
    })
    .to_string()
}
