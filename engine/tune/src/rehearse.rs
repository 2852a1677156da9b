//! What a controller would have made of recorded rows: they pass as if live, in passes that each
//! meet one set of thresholds, and it learns only what it would have learnt.

use offramp::{AfterExit, Decision};

use super::controller::Controller;
use super::latency::Latency;
use super::tuner::Change;
use super::window::OFF;
use crate::feedback::Feedback;

/// How recorded rows are run again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// What becomes of rows that have their answer.
    pub after_exit: AfterExit,
    /// Under compaction: the share of rows that run to the end anyway.
    pub audit_rate: f64,
    /// Seed of the audit draw.
    pub seed: u64,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fate {
    /// The ramp where it left, or the number of ramps.
    pub exit: usize,
    /// Whether its answer was the full model's.
    pub agrees: bool,
    /// Until its answer, in microseconds.
    pub latency_us: f64,
    /// Until it is gone, in microseconds: to the end, unless it left and was not audited.
    pub work_us: f64,
    /// Whether it left early and ran on to be audited.
    pub is_audited: bool,
}

/// What became of all rows, and what was changed when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// By row.
    pub fates: Vec<Fate>,
    /// Rows that had been answered before each change.
    pub changes: Vec<(usize, Change)>,
}

/// Runs recorded rows, which must have met all of the model's ramps and the end, past a controller.
pub fn rehearse(
    rows: &[Feedback],
    latency: &Latency,
    controller: &mut Controller,
    conditions: &Conditions,
) -> Rehearsal {
    let mut rehearsal = Rehearsal::default();
    let mut rng = fastrand::Rng::with_seed(conditions.seed);
    let mut version = 0;
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let (pass, after) = rest.split_at((first.pass_rows.max(1) as usize).min(rest.len()));
        rest = after;
        let rate = match conditions.after_exit {
            AfterExit::Release => 1.0,
            AfterExit::Compact => conditions.audit_rate,
        };
        let (thresholds, active) = (controller.thresholds().to_vec(), controller.active().to_vec());
        let mut shown = Vec::with_capacity(pass.len());
        let decision = controller.decision();
        let is_closed = thresholds.iter().all(|&threshold| threshold > 1.0);
        for row in pass {
            let is_sample = is_closed || rate >= 1.0 || rng.f64() < rate;
            let mut fate = fate(row, (&thresholds, &active), decision, latency);
            shown.push(show(row, &fate, &active, version, is_sample));
            if is_sample {
                fate.is_audited = rate < 1.0 && fate.exit < active.len();
                fate.work_us = latency.until_us(active.len(), &active);
            }
            rehearsal.fates.push(fate);
        }
        if let Some(change) = controller.step(shown) {
            version += 1;
            rehearsal.changes.push((rehearsal.fates.len(), change));
        }
    }
    rehearsal
}

/// Runs recorded rows past thresholds that stay, those of ramps that do not run being `OFF`.
/// Nobody learns from them, so nobody is audited.
pub fn rehearse_fixed(
    rows: &[Feedback],
    latency: &Latency,
    thresholds: &[f32],
    decision: Decision,
    after_exit: AfterExit,
) -> Rehearsal {
    let active: Vec<bool> = thresholds.iter().map(|&threshold| threshold < OFF).collect();
    let whole_us = latency.until_us(active.len(), &active);
    let fate = |row| {
        let fate = fate(row, (thresholds, &active), decision, latency);
        match after_exit {
            AfterExit::Release => Fate { work_us: whole_us, ..fate },
            AfterExit::Compact => fate,
        }
    };
    Rehearsal { fates: rows.iter().map(fate).collect(), changes: Vec::new() }
}

fn fate(
    row: &Feedback,
    (thresholds, active): (&[f32], &[bool]),
    decision: Decision,
    latency: &Latency,
) -> Fate {
    let mut seen = row.seen.iter().filter(|seen| active[seen.ramp as usize]);
    let left = seen.find(|seen| seen.score >= thresholds[seen.ramp as usize]);
    let exit = left.map_or(thresholds.len(), |seen| seen.ramp as usize);
    let latency_us = latency.until_us(exit, active);
    Fate {
        exit,
        agrees: left.is_none_or(|seen| {
            row.final_label.is_some_and(|full| decision.agree(seen.label, full))
        }),
        latency_us,
        work_us: latency_us,
        is_audited: false,
    }
}

/// What the executor would have shown of the row.
fn show(row: &Feedback, fate: &Fate, active: &[bool], version: u64, is_sample: bool) -> Feedback {
    let is_gone = fate.exit < active.len() && !is_sample;
    let met = |ramp: u32| active[ramp as usize] && !(is_gone && ramp as usize > fate.exit);
    Feedback {
        seen: row.seen.iter().filter(|seen| met(seen.ramp)).copied().collect(),
        exit: fate.exit as u32,
        final_label: row.final_label.filter(|_| !is_gone),
        is_sample,
        version,
        pass_rows: row.pass_rows,
    }
}
