//! How often early answers equal the full model's, as far as rows that ran on have shown.

use offramp::tune::clopper_pearson_upper;
use offramp::{Observation, RowSlot};
use serde::Serialize;

/// The confidence of every bound that the tools print.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// A counted agreement with the bound that the count allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Agreement {
    /// Rows compared.
    pub(crate) rows: u64,
    /// Rows answered with another label.
    pub(crate) disagreements: u64,
    /// Share of rows answered alike.
    pub(crate) agreement: f64,
    /// What the agreement is at least, at 95 % confidence.
    pub(crate) agreement_at_least: f64,
}

impl Agreement {
    /// Of counted rows.
    pub(crate) fn counted(disagreements: u64, rows: u64) -> Self {
        let agreement = 1.0 - disagreements as f64 / rows.max(1) as f64;
        let worst = clopper_pearson_upper(disagreements, rows, CONFIDENCE);
        Self { rows, disagreements, agreement, agreement_at_least: 1.0 - worst }
    }
}

/// Collects what passes show about rows that left early.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    rows: u64,
    exited: u64,
    audited: u64,
    disagreements: u64,
    weight: f64,
    agreeing_weight: f64,
}

impl Feedback {
    /// Books one row; `answered` is the label that left.
    pub(crate) fn book(&mut self, observation: &Observation<'_>, ramps: u32, answered: u32) {
        self.rows += 1;
        let left_early = observation.exit < ramps;
        self.exited += u64::from(left_early);
        let Some(full) = observation.final_label.filter(|_| observation.weight > 0.0) else {
            return;
        };
        let agrees = full == answered;
        self.weight += observation.weight;
        self.agreeing_weight += if agrees { observation.weight } else { 0.0 };
        self.audited += u64::from(left_early);
        self.disagreements += u64::from(left_early && !agrees);
    }

    /// A sentence, where any early answer was compared.
    ///
    /// The estimate weighs each row by how many it stands for (Horvitz & Thompson, 1952). The
    /// bound is that of the early answers, scaled to their share of all rows.
    pub(crate) fn summary(&self) -> Option<String> {
        if self.audited == 0 {
            return None;
        }
        let estimate = self.agreeing_weight / self.weight;
        let worst = clopper_pearson_upper(self.disagreements, self.audited, CONFIDENCE);
        let least = 1.0 - worst * self.exited as f64 / self.rows as f64;
        Some(format!(
            "agreement with the full model: {:.2} %, at least {:.2} % (n = {} of {} early answers \
             compared, {} differ; 95 % confidence)",
            100.0 * estimate,
            100.0 * least,
            self.audited,
            self.exited,
            self.disagreements,
        ))
    }
}

/// Index of a slot.
pub(crate) fn at(slot: RowSlot) -> usize {
    slot.0 as usize
}
