//! `--record`: what rows showed, kept in a file that `offramp tune` reads.

use std::path::Path;

use offramp::{Decision, Engine, Model, Observation, Policy, Shape};
use offramp_tune::feedback::{RecordHeader, RecordWriter};
use offramp_tune::profile::ShapeProfile;

use crate::failure::{Failure, Result};
use crate::out::note;
use crate::table::counted;

/// Tokens of a text that latencies are measured with.
const ROW_TOKENS: usize = 32;
/// Forwards behind each latency.
const ROUNDS: usize = 5;

/// A record that is being written.
pub(crate) struct Recorder {
    writer: RecordWriter,
    pass_rows: u32,
    failed: Option<offramp_tune::Error>,
}

impl Recorder {
    /// Begins the file; `shapes` say what leaving where costs, `fitted` the ramps' thresholds.
    pub(crate) fn create(
        path: &Path,
        model: &Model,
        engine: &Engine,
        shapes: Vec<ShapeProfile>,
        (policy, fitted): (Policy, Option<Vec<f32>>),
        source: &Path,
    ) -> Result<Self> {
        let ramps = model.ramps().ok_or_else(|| {
            Failure::Usage("--record needs a model with ramps: there is nothing to see".to_owned())
        })?;
        let header = RecordHeader {
            schema_version: RecordHeader::SCHEMA_VERSION,
            model: model.hash().to_string(),
            ramps: ramps.hash().to_string(),
            policy: policy.to_string(),
            task: model.task(),
            tolerance: tolerance(engine.decision()),
            sites: engine.plan().ramp_sites().collect(),
            fitted,
            source: source.display().to_string(),
            shapes,
        };
        let writer = RecordWriter::create(path, &header)?;
        Ok(Self { writer, pass_rows: 0, failed: None })
    }

    /// A pass of so many rows begins.
    pub(crate) fn start(&mut self, rows: usize) {
        self.pass_rows = u32::try_from(rows).unwrap_or(u32::MAX);
    }

    /// Keeps what a row showed. What goes wrong is told by [`finish`](Self::finish).
    pub(crate) fn push(&mut self, observation: &Observation<'_>) {
        if self.failed.is_none() {
            self.failed = self.writer.push(observation, self.pass_rows).err();
        }
    }

    pub(crate) fn finish(self, path: &Path) -> Result<()> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let rows = self.writer.finish()?;
        note(format_args!("recorded {} in {}", counted(rows, "row"), path.display()));
        Ok(())
    }
}

/// How far apart numbers may be that are alike, where the model gives some.
fn tolerance(decision: Decision) -> Option<f32> {
    match decision {
        Decision::Value { tolerance } => Some(tolerance),
        Decision::Class | Decision::Labels => None,
    }
}

/// The largest pass, a quarter of it, and a single row.
pub(crate) fn shapes(engine: &mut Engine) -> Result<Vec<ShapeProfile>> {
    let limits = engine.limits();
    let tokens = engine.rules().clamp_tokens(ROW_TOKENS);
    let most = limits.rows_max.min(limits.tokens_max / tokens.max(1)).max(1);
    let mut sizes = vec![1, most.div_ceil(4), most];
    sizes.dedup();
    let measure = |rows| ShapeProfile::measure(engine, Shape { rows, tokens }, ROUNDS);
    Ok(sizes.into_iter().map(measure).collect::<Result<_, _>>()?)
}
