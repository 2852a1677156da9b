//! Fitting thresholds and telling what the ramps are worth: shared by train-ramps and
//! fit-thresholds.

use clap::Args;
use comfy_table::Cell;
use offramp::{
    AfterExit, Answer, Decision, Engine, Exits, Model, OFF, Observation, PassSettings, Policy, Row,
    Score, Shape, Sink, ThresholdFile,
};
use offramp_train::{FitOptions, fit_thresholds};
use offramp_tune::{Fitted, Goal};
use serde::Serialize;

use crate::args::open_share;
use crate::compare::batches;
use crate::failure::Result;
use crate::progress::bar;
use crate::table::{Table, fine_percent, percent, share_bar};

/// Forwards behind each cost.
const COST_ROUNDS: usize = 5;

/// What thresholds must keep.
#[derive(Args, Clone, Debug)]
pub(crate) struct FitGoalArgs {
    /// How ramps score: confidence, entropy, margin or patience(k)
    #[arg(long, value_name = "POLICY", default_value = "confidence", env = "OFFRAMP_POLICY")]
    pub(crate) policy: Policy,
    /// Least share of answers that must equal the full model's
    #[arg(long, value_name = "SHARE", default_value = "0.99", env = "OFFRAMP_AGREEMENT",
          value_parser = open_share)]
    agreement: f64,
    /// How sure of that to be
    #[arg(long, value_name = "SHARE", default_value = "0.95", env = "OFFRAMP_CONFIDENCE",
          value_parser = open_share)]
    confidence: f64,
}

impl FitGoalArgs {
    pub(crate) fn goal(&self) -> Goal {
        Goal { agreement: self.agreement, confidence: Some(self.confidence) }
    }
}

/// What the ramps do on the calibration inputs.
#[derive(Debug, Serialize)]
pub(crate) struct RampReport {
    policy: Policy,
    target_agreement: f64,
    confidence: Option<f64>,
    calibration_rows: usize,
    /// Those of them that the figures below were counted on.
    tested_rows: u64,
    agreement: f64,
    agreement_at_least: f64,
    disagreements: u64,
    mean_depth: f64,
    final_share: f64,
    sites: Vec<SiteReport>,
}

/// One ramp.
#[derive(Debug, Serialize)]
struct SiteReport {
    site: usize,
    /// Share of all calibration inputs that the ramp alone answers as the full model does.
    agreement: f64,
    /// The same for inputs held out in training: close to 1 where the model has learnt them.
    held_out_agreement: Option<f64>,
    temperature: Option<f64>,
    /// Null: the ramp is off.
    threshold: Option<f32>,
    /// Time of the ramp as a share of a forward.
    cost_share: Option<f64>,
    exit_share: f64,
}

/// Fits thresholds and measures what the ramps cost.
pub(crate) fn fit_and_report(
    model: &Model,
    rows: &[Row],
    options: &FitOptions,
) -> Result<(ThresholdFile, RampReport)> {
    let progress = bar("fitting thresholds", rows.len() as u64);
    let mut show = |done: usize| progress.set_position(done as u64);
    let (file, fitted) = fit_thresholds(model, rows, options, &mut show)?;
    progress.finish_and_clear();
    let mut engine = Engine::new(model, &options.engine)?;
    let costs = ramp_costs(&mut engine, rows)?;
    let agreements = ramp_agreements(&mut engine, rows)?;
    let sites = sites(model, &file, &fitted, &costs, &agreements);
    let report = RampReport {
        policy: file.policy,
        target_agreement: file.target_agreement,
        confidence: file.confidence,
        calibration_rows: file.calibration_rows,
        tested_rows: fitted.rows,
        agreement: fitted.agreement,
        agreement_at_least: 1.0 - fitted.upper_bound,
        disagreements: fitted.disagreements,
        mean_depth: fitted.mean_depth,
        final_share: share(fitted.exits.last().copied().unwrap_or(0), fitted.rows),
        sites,
    };
    Ok((file, report))
}

fn sites(
    model: &Model,
    file: &ThresholdFile,
    fitted: &Fitted,
    costs: &[Option<f64>],
    agreements: &[f64],
) -> Vec<SiteReport> {
    let noted = model.ramps().map_or(&[][..], |bundle| &bundle.trained.sites);
    let site = |((entry, &exits), &agreement): ((&offramp::SiteThreshold, &u64), &f64)| {
        let note = noted.iter().find(|note| note.site == entry.site);
        SiteReport {
            site: entry.site,
            agreement,
            held_out_agreement: note.map(|note| note.agreement),
            temperature: note.map(|note| note.temperature),
            threshold: Some(entry.threshold).filter(|&threshold| threshold < OFF),
            cost_share: costs.get(entry.site).copied().flatten(),
            exit_share: share(exits, fitted.rows),
        }
    };
    file.thresholds.iter().zip(&fitted.exits).zip(agreements).map(site).collect()
}

fn share(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

/// By segment: the time of the ramp behind it as a share of the whole forward, at the mean length
/// of the rows and a batch as large as the engine takes.
fn ramp_costs(engine: &mut Engine, rows: &[Row]) -> Result<Vec<Option<f64>>> {
    let all: usize = rows.iter().map(|row| engine.rules().tokens(row)).sum();
    let tokens = (all / rows.len().max(1)).max(1);
    let limits = engine.limits();
    let rows = limits.rows_max.min(limits.tokens_max / tokens).max(1);
    let times = engine.measure(Shape { rows, tokens }, COST_ROUNDS)?;
    let forward_us: f64 = times.iter().map(|time| time.segment_us).sum();
    Ok(times.iter().map(|time| time.exit_us.map(|us| us / forward_us)).collect())
}

/// By ramp: the share of rows that it answers as the full model does, whatever its score.
fn ramp_agreements(engine: &mut Engine, rows: &[Row]) -> Result<Vec<f64>> {
    let exits = Exits::watching(engine.plan(), Score::Confidence);
    let mut settings = PassSettings::new(&exits, AfterExit::Release);
    let decision = engine.decision();
    let mut watcher = Watcher { same: vec![0; engine.plan().ramps()], rows: 0, decision };
    let batches = batches(engine, rows)?;
    for (index, batch) in batches.iter().enumerate() {
        settings.next = batches.get(index + 1);
        engine.run(batch, &settings, &mut watcher)?;
    }
    Ok(watcher.same.iter().map(|&same| share(same, watcher.rows)).collect())
}

/// Counts rows, and by ramp those answered alike.
struct Watcher {
    same: Vec<u64>,
    rows: u64,
    decision: Decision,
}

impl Sink for Watcher {
    fn answer(&mut self, _: Answer<'_>) {}

    fn observe(&mut self, observation: Observation<'_>) {
        self.rows += 1;
        for seen in observation.seen {
            let full = observation.final_label;
            let is_same = full.is_some_and(|full| self.decision.agree(seen.label, full));
            self.same[seen.ramp as usize] += u64::from(is_same);
        }
    }
}

impl RampReport {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new(&[
            "site",
            "agrees",
            "held out",
            "temperature",
            "threshold",
            "cost",
            "leave here",
            "",
        ]);
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        for site in &self.sites {
            let threshold = site.threshold.map_or("off".to_owned(), |t| format!("{t:.4}"));
            table.row(vec![
                Cell::new(site.site),
                Cell::new(percent(site.agreement)),
                Cell::new(site.held_out_agreement.map_or("-".to_owned(), percent)),
                Cell::new(number(site.temperature)),
                Cell::new(threshold),
                Cell::new(site.cost_share.map_or("-".to_owned(), fine_percent)),
                Cell::new(percent(site.exit_share)),
                Cell::new(share_bar(site.exit_share)),
            ]);
        }
        let last = ["final", "-", "-", "-", "-"].map(Cell::new);
        let shares = [Cell::new(percent(self.final_share)), Cell::new(share_bar(self.final_share))];
        table.row(last.into_iter().chain([Cell::new("-")]).chain(shares).collect());
        format!("{table}\n{}", self.summary())
    }

    fn summary(&self) -> String {
        let Self { policy, calibration_rows, tested_rows, .. } = self;
        let sure = self.confidence.map_or(String::new(), |c| {
            format!(
                " (at least {} at {} confidence)",
                fine_percent(self.agreement_at_least),
                percent(c)
            )
        });
        let unmet = if self.sites.iter().all(|site| site.threshold.is_none()) {
            "\nno ramp is on: the goal cannot be shown to hold. More calibration inputs, or a \
             lower --agreement, may help"
        } else {
            ""
        };
        format!(
            "policy {policy}, {calibration_rows} calibration inputs, tested on {tested_rows} of \
             them:\nmean depth {}, agreement {}{sure}, goal {}{unmet}",
            percent(self.mean_depth),
            fine_percent(self.agreement),
            fine_percent(self.target_agreement),
        )
    }
}
