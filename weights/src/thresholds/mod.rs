//! The threshold file: how sure a ramp must be, with what that was fitted on.
//!
//! `thresholds.json` is one JSON object, all keys but `task` and `tolerance` required, no others
//! allowed:
//!
//! ```json
//! {
//!   "policy": "confidence",
//!   "fitted_on": { "model": "<64 hex digits>", "ramps": "<64 hex digits>" },
//!   "target_agreement": 0.99,
//!   "confidence": 0.95,
//!   "calibration_rows": 2000,
//!   "agreement": 0.994,
//!   "mean_depth": 0.43,
//!   "thresholds": [ { "site": 1, "threshold": 0.97 }, { "site": 4, "threshold": 2.0 } ]
//! }
//! ```
//!
//! A row leaves at a site when its score is at least the site's threshold. `confidence` may be
//! null. `task` says what the model decides where that is no class: `labels`, `value` or `score`;
//! with the last two `tolerance`, above 0 and below 1, says how far apart the sigmoids of two
//! numbers may be that count as the same answer. Sites rise; a threshold is in [0, 1], or exactly
//! 2.0, which no score reaches.

mod policy;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::{read_whole, write_atomically};
use crate::error::{Error, Result};
use crate::hash::{ModelHash, RampHash};
use crate::json::{self, object, objects};
use crate::ramps::RAMPS_MAX;
use crate::spec::Task;

pub use policy::{BadPolicy, Policy};

/// The threshold that no score reaches: the site never lets a row go.
pub const OFF: f32 = 2.0;
/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a set of thresholds was fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// The model whose answers the thresholds keep to.
    pub model: ModelHash,
    /// The ramps whose scores they bound.
    pub ramps: RampHash,
}

/// The threshold of one site.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteThreshold {
    /// The encoder layer after which the ramp stands, from 0.
    pub site: usize,
    /// In [0, 1], or [`OFF`].
    pub threshold: f32,
}

/// A fitted set of thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdFile {
    /// How scores are made.
    pub policy: Policy,
    /// The model and the ramps.
    #[serde(deserialize_with = "object")]
    pub fitted_on: FittedOn,
    /// What the model decides.
    #[serde(default, skip_serializing_if = "Task::is_classes")]
    pub task: Task,
    /// How far apart the sigmoids of two numbers may be that count as the same answer, where the
    /// model gives a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f32>,
    /// The share of answers that must equal the full model's, in [0, 1].
    pub target_agreement: f64,
    /// How sure the fit is that the target is met, in (0, 1); none for a plain estimate.
    pub confidence: Option<f64>,
    /// Rows that the fit looked at.
    pub calibration_rows: usize,
    /// The share of those rows answered as by the full model, in [0, 1].
    pub agreement: f64,
    /// Share of the encoder layers that those rows ran through on average, in [0, 1].
    pub mean_depth: f64,
    /// By rising site.
    #[serde(deserialize_with = "objects::<_, _, RAMPS_MAX>")]
    pub thresholds: Vec<SiteThreshold>,
}

impl ThresholdFile {
    /// Reads `path`, for this model and these ramps. Errors: absent, damaged, values out of range,
    /// or fitted on others.
    pub fn read(path: &Path, model: &ModelHash, ramps: &RampHash) -> Result<Self> {
        let file: Self = json::parse(&read_whole(path, FILE_BYTES_MAX)?, path)?;
        file.check_fresh(model, ramps, path)?;
        file.check(path)?;
        Ok(file)
    }

    /// Writes `path`, whole or not at all. Errors: values out of range, or not writable.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let mut content =
            serde_json::to_vec_pretty(self).map_err(|fault| json::damaged(path, &fault))?;
        content.push(b'\n');
        write_atomically(path, &content)
    }

    fn check_fresh(&self, model: &ModelHash, ramps: &RampHash, path: &Path) -> Result<()> {
        let stale = |what, expected, found| {
            let remedy = "fit again with `offramp fit-thresholds`";
            Err(Error::Stale { file: path.into(), what, expected, found, remedy })
        };
        if self.fitted_on.model != *model {
            return stale("model", model.short(), self.fitted_on.model.short());
        }
        if self.fitted_on.ramps != *ramps {
            return stale("ramp bundle", ramps.short(), self.fitted_on.ramps.short());
        }
        Ok(())
    }

    /// Refuses values that no fit gives. Comparisons are such that a NaN fails them.
    fn check(&self, path: &Path) -> Result<()> {
        let share = |field, value: f64| in_range(path, field, value, (0.0..=1.0).contains(&value));
        share("target_agreement", self.target_agreement)?;
        share("agreement", self.agreement)?;
        if let Some(confidence) = self.confidence {
            let fits = confidence > 0.0 && confidence < 1.0;
            in_range(path, "confidence", confidence, fits)?;
        }
        let depth = self.mean_depth;
        in_range(path, "mean_depth", depth, (0.0..=1.0).contains(&depth))?;
        self.policy.check(path)?;
        self.check_tolerance(path)?;
        self.check_sites(path)
    }

    fn check_tolerance(&self, path: &Path) -> Result<()> {
        let refused = |expected: &str, found: String| {
            Err(Error::refused(path, "tolerance", expected.to_owned(), found))
        };
        match (self.task.is_number(), self.tolerance) {
            (true, Some(tolerance)) if tolerance > 0.0 && tolerance < 1.0 => Ok(()),
            (true, Some(tolerance)) => refused("above 0 and below 1", tolerance.to_string()),
            (true, None) => refused("above 0 and below 1", "no such key".to_owned()),
            (false, Some(tolerance)) => {
                refused("left out where the task is no number", tolerance.to_string())
            }
            (false, None) => Ok(()),
        }
    }

    fn check_sites(&self, path: &Path) -> Result<()> {
        let sites = self.thresholds.iter().map(|at| at.site);
        if !sites.is_sorted_by(|a, b| a < b) {
            let found = "another order, or one twice";
            return Err(Error::refused(path, "thresholds", "by rising site", found));
        }
        let fits = |threshold: f32| (0.0..=1.0).contains(&threshold) || threshold == OFF;
        match self.thresholds.iter().find(|at| !fits(at.threshold)) {
            None => Ok(()),
            Some(SiteThreshold { site, threshold }) => {
                let field = format!("threshold of site {site}");
                Err(Error::refused(path, field, "0 to 1, or 2.0 for never", threshold))
            }
        }
    }
}

fn in_range(path: &Path, field: &str, value: f64, fits: bool) -> Result<()> {
    let expected = match field {
        "confidence" => "above 0 and below 1",
        _ => "0 to 1",
    };
    if fits { Ok(()) } else { Err(Error::refused(path, field, expected, value)) }
}
