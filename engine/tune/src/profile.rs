//! The latency of every segment and ramp of a model on one machine, measured once and saved: what
//! schedulers and tuners predict with.

use std::path::Path;

use offramp::{Engine, Shape};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A saved measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Grows when fields change their meaning.
    pub schema_version: u32,
    /// Hash of the model it was measured on.
    pub model: String,
    /// The device it was measured on.
    pub device: String,
    /// Forwards behind each median.
    pub rounds: usize,
    /// One entry per shape.
    pub shapes: Vec<ShapeProfile>,
}

/// Times of all segments at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeProfile {
    /// Rows.
    pub rows: usize,
    /// Tokens of each row; of images, what the model makes of one.
    pub row_tokens: usize,
    /// By segment, in microseconds.
    pub segment_us: Vec<f64>,
    /// By segment: the exit behind it, in microseconds; null where there is none.
    pub exit_us: Vec<Option<f64>>,
    /// Packing when half of the rows leave, in microseconds; null for a model without ramps.
    pub compact_us: Option<f64>,
}

impl Profile {
    /// The schema this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Reads a saved profile.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing, malformed or of another schema.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |message| Error::File { file: path.to_owned(), message };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let profile: Self = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if profile.schema_version != Self::SCHEMA_VERSION {
            let found = profile.schema_version;
            return Err(fail(format!("schema {found}, expected {}", Self::SCHEMA_VERSION)));
        }
        Ok(profile)
    }
}

impl ShapeProfile {
    /// Measures one shape.
    ///
    /// # Errors
    /// The shape exceeds the engine's limits, or the device failed.
    pub fn measure(engine: &mut Engine, shape: Shape, rounds: usize) -> Result<Self> {
        let times = engine.measure(shape, rounds)?;
        Ok(Self {
            rows: shape.rows,
            row_tokens: engine.rules().clamp_tokens(shape.tokens),
            segment_us: times.iter().map(|time| time.segment_us).collect(),
            exit_us: times.iter().map(|time| time.exit_us).collect(),
            compact_us: engine.measure_compaction(shape, rounds)?,
        })
    }

    /// A forward without ramps: all segments and the final exit.
    pub fn forward_us(&self) -> f64 {
        let last = self.exit_us.last().copied().flatten().unwrap_or(0.0);
        self.segment_us.iter().sum::<f64>() + last
    }
}
