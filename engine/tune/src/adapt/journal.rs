//! Every decision as a line of JSON.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Adapted;
use crate::error::{Error, Result};
use crate::{Change, Reason};

/// What holds before the first decision: the first line of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Start {
    /// Rows that had reached the control thread: none.
    pub rows: u64,
    /// Version of the first thresholds.
    pub version: u64,
    /// `start`.
    pub reason: &'static str,
    /// By ramp; 2 lets nobody out.
    pub thresholds: Vec<f32>,
    /// By ramp.
    pub active: Vec<bool>,
    /// Share of answers that may differ from the full model's.
    pub disagreement_goal: f64,
    /// How sure that is to be; none where the share counted is taken at its word.
    pub confidence: Option<f64>,
    /// Under compaction, share of rows that run to the end anyway.
    pub audit_rate: f64,
    /// Rows of the sample that decisions are made on, at most.
    pub window_rows: usize,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Rows that had reached the control thread before it.
    pub rows: u64,
    /// Rows lost on the way to the control thread so far.
    pub lost_rows: u64,
    /// Version from which it holds.
    pub version: u64,
    /// Why.
    pub reason: Reason,
    /// By ramp; 2 lets nobody out.
    pub thresholds: Vec<f32>,
    /// By ramp.
    pub active: Vec<bool>,
    /// Rows it was chosen on.
    pub window_rows: usize,
    /// Agreement on them.
    pub expected_agreement: f64,
    /// What the disagreement of rows to come is at most, at the promise's confidence.
    pub disagreement_at_most: f64,
    /// Share of the latency of going to the end that it saves on them.
    pub expected_saving: f64,
}

impl Entry {
    /// Of a change, after so many rows.
    pub fn of(change: &Change, version: u64, seen: Adapted) -> Self {
        let expected = &change.expected;
        Self {
            rows: seen.rows,
            lost_rows: seen.lost_rows,
            version,
            reason: change.reason,
            thresholds: change.thresholds.clone(),
            active: change.active.clone(),
            window_rows: change.window_rows,
            expected_agreement: expected.replay.agreement,
            disagreement_at_most: expected.upper_bound,
            expected_saving: 1.0 - expected.replay.mean_depth,
        }
    }
}

/// A line of a journal, ready to be written.
#[derive(Debug)]
pub(super) struct Line(Vec<u8>);

impl Line {
    pub(super) fn of(value: &impl Serialize) -> Self {
        let mut line = serde_json::to_vec(value).unwrap_or_default();
        line.push(b'\n');
        Self(line)
    }
}

/// A file of decisions.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins a journal, and makes its folder; an old file of that name goes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path, File::options().write(true).truncate(true))
    }

    /// Goes on with the journal of that name, or begins it, and makes its folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(path: &Path) -> Result<Self> {
        Self::open(path, File::options().append(true))
    }

    fn open(path: &Path, options: &mut OpenOptions) -> Result<Self> {
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let opened = folder.and_then(|()| options.create(true).open(path));
        let file = opened.map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds a line, whole, so that a reader may follow.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        self.add(&Line::of(entry))
    }

    pub(super) fn add(&mut self, line: &Line) -> Result<()> {
        let before = self.file.metadata().map(|about| about.len());
        self.file.write_all(&line.0).map_err(|error| {
            // Half a line on a full disk would spoil the next one.
            let _ = before.and_then(|bytes| self.file.set_len(bytes));
            failed(&self.path, &error)
        })
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Journal { file: path.to_owned(), message: error.to_string() }
}
