//! How often early answers equal the full model's, as far as rows that ran on have shown.

use offramp::{Decision, Observation};
use offramp_tune::clopper_pearson_upper;
use serde::Serialize;

/// The confidence of every bound that the tools print.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// A counted agreement with the bound that the count allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Agreement {
    /// Rows compared.
    pub(crate) rows: u64,
    /// Rows answered otherwise than by the full model.
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

    /// Of rows that were only so many different inputs, again and again: an input asked twice
    /// proves no more than once, so it counts once, with the share of its rows that differ.
    pub(crate) fn repeated(disagreements: u64, rows: u64, inputs: u64) -> Self {
        let inputs = inputs.min(rows);
        let share = disagreements as f64 / rows.max(1) as f64;
        let differing = (share * inputs as f64 - 1e-9).ceil() as u64;
        let worst = clopper_pearson_upper(differing, inputs, CONFIDENCE);
        Self { agreement_at_least: 1.0 - worst, ..Self::counted(disagreements, rows) }
    }
}

/// Counts how early answers compare in the sample of rows that run to the end in any case.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    rows: u64,
    early: u64,
    disagreements: u64,
}

impl Feedback {
    /// Books one row; `answered` is the decision that left.
    pub(crate) fn book(
        &mut self,
        observation: &Observation<'_>,
        ramps: u32,
        answered: u32,
        decision: Decision,
    ) {
        let Some(full) = observation.final_label.filter(|_| observation.is_sample) else { return };
        self.rows += 1;
        self.early += u64::from(observation.exit < ramps);
        self.disagreements += u64::from(!decision.agree(answered, full));
    }

    /// A sentence, where any early answer was compared.
    pub(crate) fn summary(&self) -> Option<String> {
        let Self { rows, early, disagreements } = *self;
        let Agreement { agreement, agreement_at_least, .. } =
            Agreement::counted(disagreements, rows);
        (early > 0).then(|| {
            format!(
                "agreement with the full model: {:.2} %, at least {:.2} % (n = {rows} drawn rows, \
                 {early} of them early, {disagreements} differ; 95 % confidence)",
                100.0 * agreement,
                100.0 * agreement_at_least,
            )
        })
    }
}
