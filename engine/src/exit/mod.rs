//! Who may leave where: thresholds, active ramps, and what becomes of a row that has its answer.

mod seqlock;
mod sync;
mod table;

use offramp_kernels::{Decision, Score};
use offramp_weights::{Policy, ThresholdFile};

use crate::error::{Error, Result};
use crate::plan::Plan;

pub use offramp_weights::thresholds::OFF;
pub use table::{Publisher, Subscriber, threshold_table};

/// One versioned set of thresholds with the ramps that are on. A pass takes one snapshot.
///
/// An inactive ramp is not run at all; an active one whose threshold is [`OFF`] runs, and shows
/// what it would have said, but lets nobody out.
#[derive(Debug, PartialEq)]
pub struct Exits {
    /// Rises with every published set.
    pub version: u64,
    /// How ramps score.
    pub score: Score,
    /// By exit: exit iff score >= threshold. The final exit comes last, at 0.
    pub thresholds: Vec<f32>,
    /// By ramp.
    pub active: Vec<bool>,
}

impl Clone for Exits {
    fn clone(&self) -> Self {
        let Self { version, score, thresholds, active } = self;
        Self {
            version: *version,
            score: *score,
            thresholds: thresholds.clone(),
            active: active.clone(),
        }
    }

    /// Allocates nothing where there is room.
    fn clone_from(&mut self, source: &Self) {
        self.version = source.version;
        self.score = source.score;
        self.thresholds.clone_from(&source.thresholds);
        self.active.clone_from(&source.active);
    }
}

impl Exits {
    /// Every row runs to the end, no ramp is run.
    pub fn off(plan: &Plan) -> Self {
        let ramps = plan.ramps();
        let thresholds = [vec![OFF; ramps], vec![0.0]].concat();
        Self { version: 0, score: Score::Confidence, thresholds, active: vec![false; ramps] }
    }

    /// Every ramp runs and shows its score, nobody leaves.
    pub fn watching(plan: &Plan, score: Score) -> Self {
        Self { score, active: vec![true; plan.ramps()], ..Self::off(plan) }
    }

    /// One threshold for all ramps.
    ///
    /// # Errors
    /// [`Error::Options`] where it is not in [0, 1].
    pub fn uniform(plan: &Plan, score: Score, threshold: f32) -> Result<Self> {
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::Options(format!("threshold {threshold} is not in [0, 1]")));
        }
        let mut exits = Self::watching(plan, score);
        exits.thresholds[..plan.ramps()].fill(threshold);
        Ok(exits)
    }

    /// Fails for exits of another plan, and for a score that says nothing about the answers of this
    /// one.
    ///
    /// # Errors
    /// [`Error::Options`] for another number of thresholds or ramps than the plan has, and for a
    /// margin between the answers of a model that gives one number.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let ramps = plan.ramps();
        expect_len("thresholds", self.thresholds.len(), ramps + 1)?;
        expect_len("ramps that are on or off", self.active.len(), ramps)?;
        let is_number = matches!(plan.decision(), Decision::Value { .. });
        if is_number && self.score == Score::Margin && self.active.contains(&true) {
            return Err(Error::Options(
                "margin: the model gives one number, which has no second answer to be weighed \
                 against: use confidence, entropy or patience(k)"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The thresholds of a file; sites it does not name, or has off, are inactive.
    ///
    /// # Errors
    /// [`Error::Options`] where the file names a site without a ramp.
    pub fn from_file(plan: &Plan, file: &ThresholdFile) -> Result<Self> {
        let mut exits = Self { score: score_of(file.policy), ..Self::off(plan) };
        for entry in &file.thresholds {
            let ramp = plan.ramp_sites().position(|site| site == entry.site).ok_or_else(|| {
                Error::Options(format!("a threshold for site {}, which has no ramp", entry.site))
            })?;
            exits.thresholds[ramp] = entry.threshold;
            exits.active[ramp] = entry.threshold < OFF;
        }
        Ok(exits)
    }
}

fn expect_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let message = format!("exits with {found} {what}, expected {expected}: are they of this plan?");
    Err(Error::Options(message))
}

/// The device's word for a policy.
pub fn score_of(policy: Policy) -> Score {
    match policy {
        Policy::Confidence => Score::Confidence,
        Policy::Entropy => Score::Entropy,
        Policy::Margin => Score::Margin,
        Policy::Patience { k } => Score::Patience { k },
    }
}

/// What becomes of a row once its answer has left. Both ways give the same answers.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum AfterExit {
    /// The row runs on to the end: full feedback, no compute saved (Apparate, arXiv 2312.05385).
    Release,
    /// The row leaves too, and the others are packed together.
    #[default]
    Compact,
}
