//! What is promised, and what is seen of it.

use offramp::Exits;
use offramp_tune::adapt::Standing;
use prometheus::{Error, GaugeVec, IntCounter, IntGauge, IntGaugeVec};

use super::families::Families;

/// Audits, exits in force, and the goal where there is one.
pub(crate) struct Promise {
    /// Rows of the sample, and those of them whose answer was not the full model's.
    pub(crate) audited: IntCounter,
    pub(crate) differing: IntCounter,
    goal: GaugeVec,
    confidence: GaugeVec,
    at_most: GaugeVec,
    window_rows: GaugeVec,
    /// By site.
    ramps: IntGaugeVec,
    ramps_active: IntGauge,
    pub(super) threshold_version: IntGauge,
}

impl Promise {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, Error> {
        Ok(Self {
            audited: families.counter(
                "offramp_audited_rows_total",
                "Rows of the sample: what the full model says of them is known",
            )?,
            differing: families.counter(
                "offramp_audited_rows_differing_total",
                "Audited rows that were answered otherwise than by the full model",
            )?,
            goal: families.gauge_if_any(
                "offramp_disagreement_goal",
                "Share of answers that may differ from the full model's",
            )?,
            confidence: families.gauge_if_any(
                "offramp_disagreement_confidence",
                "How sure the promise is; 0 where the share counted is taken at its word",
            )?,
            at_most: families.gauge_if_any(
                "offramp_disagreement_at_most",
                "What the disagreement is at most, by the audited rows of the window",
            )?,
            window_rows: families.gauge_if_any(
                "offramp_window_rows",
                "Audited rows that the bound is of; few of them prove nothing",
            )?,
            ramps: families.gauges(
                "offramp_ramp_active",
                "1 where the ramp of a site runs",
                &["site"],
            )?,
            ramps_active: families.gauge("offramp_ramps_active", "Ramps that run")?,
            threshold_version: families
                .gauge("offramp_threshold_version", "Version of the thresholds in force")?,
        })
    }

    /// These exits are in force.
    pub(crate) fn set_exits(&self, exits: &Exits, sites: &[usize]) {
        for (site, &is_active) in sites.iter().zip(&exits.active) {
            let ramp = self.ramps.with_label_values(&[site.to_string().as_str()]);
            ramp.set(i64::from(is_active));
        }
        self.ramps_active.set(exits.active.iter().filter(|&&is_active| is_active).count() as i64);
        self.threshold_version.set(exits.version as i64);
    }

    /// Other ramps may follow.
    pub(crate) fn forget_ramps(&self) {
        self.ramps.reset();
    }

    /// What is promised, where anything is, and what is known of it.
    pub(crate) fn set(&self, standing: Option<&Standing>) {
        let tell = |family: &GaugeVec, value: Option<f64>| match value {
            Some(value) => family.with_label_values::<&str>(&[]).set(value),
            None => family.reset(),
        };
        let goal = standing.map(Standing::goal);
        tell(&self.goal, goal.map(|goal| goal.disagreement()));
        tell(&self.confidence, goal.map(|goal| goal.confidence.unwrap_or(0.0)));
        let evidence = standing.map(Standing::evidence);
        tell(&self.at_most, evidence.map(|evidence| evidence.disagreement_at_most));
        tell(&self.window_rows, evidence.map(|evidence| evidence.rows as f64));
    }
}
