//! What a search made of a record.

use offramp::{Decision, OFF};
use offramp_tune::feedback::Feedback;
use offramp_tune::{Change, Latency, Rehearsal};
use serde::Serialize;

use crate::agreement::Agreement;
use crate::race::median;
use crate::table::{Table, fine_percent, ms, percent};

/// A stretch over which the promise is looked at, and how far apart stretches begin.
const STRETCH_ROWS: usize = 1000;
const STRETCH_STEP: usize = 50;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    search: &'static str,
    mean_latency_us: f64,
    median_latency_us: f64,
    /// Of the latency of a forward without ramps.
    saving_share: f64,
    /// Of the work of a forward without ramps: nothing under release.
    work_saving_share: f64,
    /// Of what the oracle saves.
    oracle_share: f64,
    agreement: Agreement,
    /// Share of stretches of 1,000 rows that disagree more than promised.
    stretches_over_share: Option<f64>,
    changes: usize,
    /// Rows before anybody could leave; all of them where nobody ever could.
    proof_rows: Option<usize>,
    /// Share of rows that had left and ran on to be looked at.
    audited_share: f64,
    /// Median over windows of the time to search one within all budgets tried.
    search_us: Option<f64>,
    rehearsal_s: Option<f64>,
}

impl Figures {
    /// What no exits, and the best exits there could be, come to.
    pub(super) fn ends(rows: &[Feedback], latency: &Latency, decision: Decision) -> Vec<Self> {
        let ramps = latency.ramps();
        let full_us = latency.forward_us();
        let first = |row: &Feedback| {
            let exit = row.first_right(decision).unwrap_or(ramps);
            // It knows where each row leaves: only the ramp it leaves at need run.
            let active: Vec<bool> = (0..ramps).map(|ramp| ramp == exit).collect();
            latency.until_us(exit, &active)
        };
        let oracle_us: Vec<f64> = rows.iter().map(first).collect();
        let end = |search, times_us: Vec<f64>| Self {
            search,
            agreement: Agreement::counted(0, rows.len() as u64),
            ..Self::timed(times_us, full_us)
        };
        let mut ends = vec![end("no exits", vec![full_us; rows.len()]), end("oracle", oracle_us)];
        let oracle_us = ends[1].mean_latency_us;
        ends.iter_mut().for_each(|row| row.relate(full_us, oracle_us));
        ends
    }

    /// Of a rehearsal, beside the two ends.
    pub(super) fn of(
        search: &'static str,
        rehearsal: &Rehearsal,
        ends: &[Self],
        limit: f64,
    ) -> Self {
        let fates = &rehearsal.fates;
        let full_us = ends[0].mean_latency_us;
        let rows = fates.len() as u64;
        let wrong = fates.iter().filter(|fate| !fate.agrees).count() as u64;
        let audited = fates.iter().filter(|fate| fate.is_audited).count();
        let times_us = fates.iter().map(|fate| fate.latency_us).collect();
        let work_us = fates.iter().map(|fate| fate.work_us).sum::<f64>() / rows.max(1) as f64;
        let mut figures = Self {
            search,
            agreement: Agreement::counted(wrong, rows),
            stretches_over_share: over(rehearsal, limit),
            changes: rehearsal.changes.len(),
            work_saving_share: saved(work_us, full_us),
            audited_share: audited as f64 / rows.max(1) as f64,
            ..Self::timed(times_us, full_us)
        };
        figures.relate(full_us, ends[1].mean_latency_us);
        figures
    }

    /// Of a search that learnt while it went: how long a window took, and all of it.
    pub(super) fn searched(self, rehearsal: &Rehearsal, search_us: f64, seconds: f64) -> Self {
        let lets_out = |change: &Change| change.thresholds.iter().any(|&it| it < OFF);
        let first = rehearsal.changes.iter().find(|(_, change)| lets_out(change));
        Self {
            proof_rows: Some(first.map_or(rehearsal.fates.len(), |(row, _)| *row)),
            search_us: Some(search_us),
            rehearsal_s: Some(seconds),
            ..self
        }
    }

    fn timed(times_us: Vec<f64>, full_us: f64) -> Self {
        let mean_us = times_us.iter().sum::<f64>() / times_us.len().max(1) as f64;
        Self {
            search: "",
            mean_latency_us: mean_us,
            median_latency_us: median(times_us),
            saving_share: saved(mean_us, full_us),
            work_saving_share: saved(mean_us, full_us),
            oracle_share: 0.0,
            agreement: Agreement::counted(0, 0),
            stretches_over_share: None,
            changes: 0,
            proof_rows: None,
            audited_share: 0.0,
            search_us: None,
            rehearsal_s: None,
        }
    }

    fn relate(&mut self, full_us: f64, oracle_us: f64) {
        let saved_us = saved(self.mean_latency_us, full_us) * full_us;
        self.oracle_share = saved_us / (full_us - oracle_us).max(1e-9);
    }
}

/// Share of the forward that is saved; sums of many times leave some rounding.
fn saved(us: f64, full_us: f64) -> f64 {
    let share = 1.0 - us / full_us;
    if share.abs() < 1e-9 { 0.0 } else { share }
}

fn over(rehearsal: &Rehearsal, limit: f64) -> Option<f64> {
    let stretches = rehearsal.fates.windows(STRETCH_ROWS).step_by(STRETCH_STEP);
    let all = stretches.len();
    let wrong = |rows: &[_]| rows.iter().filter(|fate: &&offramp_tune::Fate| !fate.agrees).count();
    let most = limit * STRETCH_ROWS as f64 + 1e-9;
    let over = stretches.filter(|rows| wrong(rows) as f64 > most).count();
    (all > 0).then(|| over as f64 / all as f64)
}

/// What the rows were for that nobody could leave in, of `rows` in all.
pub(super) fn proof_note(figures: &[Figures], rows: usize) -> String {
    let of = figures.iter().filter_map(|row| row.proof_rows);
    let (least, most) = of.fold((rows, 0), |(least, most), it| (least.min(it), most.max(it)));
    let first = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let never =
        if most >= rows { ": where that is all of them, proof takes more rows" } else { "" };
    format!(
        "proof: the first {first} of {rows} rows could not leave yet and only gathered proof; the \
         figures count them too{never}"
    )
}

/// For people.
pub(super) fn table(figures: &[Figures]) -> Table {
    let header = [
        "search",
        "mean",
        "median",
        "saves",
        "of oracle",
        "work",
        "agreement",
        "over",
        "proof",
        "changes",
        "audited",
        "a search",
    ];
    let mut table = Table::new(&header);
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for row in figures {
        table.texts([
            row.search.to_owned(),
            ms(row.mean_latency_us / 1e3),
            ms(row.median_latency_us / 1e3),
            percent(row.saving_share),
            percent(row.oracle_share),
            percent(row.work_saving_share),
            fine_percent(row.agreement.agreement),
            or_dash(row.stretches_over_share.map(percent)),
            or_dash(row.proof_rows.map(|rows| rows.to_string())),
            row.changes.to_string(),
            percent(row.audited_share),
            or_dash(row.search_us.map(|us| ms(us / 1e3))),
        ]);
    }
    table
}
