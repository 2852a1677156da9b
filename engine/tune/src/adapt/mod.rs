//! Exits that follow the workload while it is served.
//!
//! ```text
//! executor                                 control thread "offramp-control"
//! ────────                                 ────────────────────────────────
//! one snapshot ◄── table (lock-free) ◄──── publish ◄── Controller::step
//! Engine::run                                              ▲
//!   Sink::observe ──► ring (lossy) ────────────────────────┘   decisions ──► journal
//! ```
//!
//! Nothing else is shared. The executor never waits: it takes the newest snapshot there is, and
//! where the ring is full a row is lost and counted.

mod control;
mod journal;
mod scribe;
mod standing;

use std::path::PathBuf;
use std::sync::Arc;

pub use journal::{Entry, Journal, Start};
pub use standing::Standing;

use crossbeam_channel::Receiver;
use offramp::ExitWindow;

use crate::error::{Error, Result};
use crate::feedback::{FeedbackWriter, ring};
use crate::profile::ShapeProfile;
use crate::search::Tethered;
use crate::{Controller, Latency, Manager, ManagerOptions, TunerOptions};
use control::Control;
use journal::Line;
use offramp::Batch;
use offramp::{AfterExit, Exits, Subscriber, threshold_table};
use offramp::{Answer, Engine, Observation, PassReport, PassSettings, Sink};
use scribe::Scribe;

/// The share of rows audited where nothing is said. Fewer would save more on steady inputs, and
/// notice too late that others drift (`benches/results/tuning.md`).
pub const AUDIT_RATE: f64 = 0.2;

/// How exits follow the workload.
#[derive(Clone, Debug)]
pub struct AdaptOptions {
    /// The promise, and how thresholds are chosen.
    pub tuner: TunerOptions,
    /// How ramps are chosen; without, those active at the start stay.
    pub manager: Option<ManagerOptions>,
    /// By ramp, the share of a calibration set's rows that it could answer first: ramps to begin
    /// with are chosen by it. Without, they are spread evenly.
    pub rates: Option<Vec<f64>>,
    /// Under compaction: the share of rows, above 0, that run to the end anyway. Only from them the
    /// control thread learns: fewer cost less, and notice later that the workload has changed.
    pub audit_rate: f64,
    /// Rows that may wait for the control thread.
    pub ring_rows: usize,
    /// Where decisions are written, a line of JSON each, behind what is there.
    pub journal: Option<PathBuf>,
}

impl Default for AdaptOptions {
    fn default() -> Self {
        Self {
            tuner: TunerOptions::default(),
            manager: Some(ManagerOptions::default()),
            rates: None,
            audit_rate: AUDIT_RATE,
            ring_rows: 16_384,
            journal: None,
        }
    }
}

/// What rows of a batch ask for, as in [`PassSettings`]. By default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitConstraints<'a> {
    /// By row: where it may leave.
    pub windows: &'a [ExitWindow],
    /// By row: whether it runs to the end.
    pub stays: &'a [bool],
}

/// The executor's side of the loop. Dropping it ends the control thread.
pub struct Adaptive {
    subscriber: Subscriber,
    /// Dropped before the control thread is woken for the last time.
    feedback: FeedbackWriter,
    control: Control,
    standing: Arc<Standing>,
    news: Receiver<()>,
    audit_rate: f64,
}

/// What the control thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adapted {
    /// Rows that reached it. Under compaction it learns from those of the sample.
    pub rows: u64,
    /// Rows lost on the way to it.
    pub lost_rows: u64,
    /// Sets of thresholds or ramps that it published.
    pub changes: u64,
}

impl Adaptive {
    /// Starts the control thread for an engine that begins with `exits`; `shapes` say what segments
    /// and ramps cost here.
    ///
    /// # Errors
    /// The audit rate is not above 0 and at most 1; the journal cannot be written; the thread
    /// cannot be started.
    pub fn start(
        engine: &Engine,
        exits: &Exits,
        shapes: &[ShapeProfile],
        options: &AdaptOptions,
    ) -> Result<Self> {
        exits.check(engine.plan())?;
        let audit_rate = options.audit_rate;
        if !(audit_rate > 0.0 && audit_rate <= 1.0) {
            let message = format!("an audit rate of {audit_rate}, expected above 0 and at most 1");
            return Err(Error::Options(message));
        }
        let sites: Vec<usize> = engine.plan().ramp_sites().collect();
        let largest = shapes.last().map(|shape| shape.rows as u32);
        let latency = Latency::seen(&sites, shapes, largest);
        let rates = options.rates.as_deref();
        let manager = options.manager.map(|manager| Manager::new(manager, &latency, rates));
        let controller = Controller::begin(
            Box::new(Tethered::default()),
            TunerOptions { decision: engine.decision(), ..options.tuner.clone() },
            manager,
            latency,
            (&exits.active, &exits.thresholds[..sites.len()]),
        );
        let mut exits = exits.clone();
        exits.active.copy_from_slice(controller.active());
        exits.thresholds[..sites.len()].copy_from_slice(controller.thresholds());
        let (publisher, subscriber) = threshold_table(&exits);
        let (feedback, reader) = ring(sites.len(), options.ring_rows);
        let (standing, news) = Standing::new(options.tuner.goal);
        let standing = Arc::new(standing);
        standing.set_evidence(controller.evidence());
        let journal = options.journal.as_deref();
        let journal = journal.map(|path| Scribe::start(path, standing.clone())).transpose()?;
        if let Some(journal) = &journal {
            journal.write(Line::of(&first_line(&exits, options)));
        }
        let control = Control::start(controller, publisher, reader, journal, standing.clone())?;
        Ok(Self { subscriber, feedback, control, standing, news, audit_rate })
    }

    /// Runs a batch under the newest thresholds, and lets the control thread learn from it.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        after_exit: AfterExit,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        self.refresh();
        self.run_within(engine, batch, after_exit, ExitConstraints::default(), sink)
    }

    /// Takes the newest thresholds for the next pass.
    pub fn refresh(&mut self) {
        self.subscriber.refresh();
    }

    /// Runs a batch under the thresholds taken last, and within the constraints of its rows.
    ///
    /// # Errors
    /// As [`Engine::run`], and where the control thread is lost.
    pub fn run_within(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        after_exit: AfterExit,
        constraints: ExitConstraints<'_>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        if self.is_lost() {
            return Err(Error::ControlLost);
        }
        let mut settings = PassSettings::new(self.subscriber.exits(), after_exit);
        settings.audit_rate = self.audit_rate;
        settings.windows = constraints.windows;
        settings.stays = constraints.stays;
        let windows = constraints.windows;
        let pass_rows = batch.rows() as u32;
        let mut both = Both { sink, feedback: &mut self.feedback, windows, pass_rows };
        let report = engine.run(batch, &settings, &mut both);
        self.control.wake();
        Ok(report?)
    }

    /// Loses its control thread, as a panic would.
    #[cfg(feature = "test-util")]
    pub fn lose(&mut self) {
        self.control = Control::lost();
        self.standing.end();
    }

    /// Rows lost so far on the way to the control thread.
    pub fn lost_rows(&self) -> u64 {
        self.feedback.lost()
    }

    /// The snapshot of the last pass.
    pub fn exits(&self) -> &Exits {
        self.subscriber.exits()
    }

    /// What the control thread has come to.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Ready where there is something new in [`standing`](Self::standing) or in the thresholds to
    /// be taken, or where the control thread [is lost](Self::is_lost).
    pub fn news(&self) -> &Receiver<()> {
        &self.news
    }

    /// Whether the control thread has ended before its time: a pass would fail.
    pub fn is_lost(&self) -> bool {
        self.standing.has_ended()
    }

    /// Ends the loop once the control thread has seen every row; says what it did.
    ///
    /// # Errors
    /// The journal could not be written, or the control thread is lost.
    pub fn finish(self) -> Result<Adapted> {
        let (adapted, journal) = self.end()?;
        journal.map_or(Ok(adapted), Err)
    }

    /// The same; what is wrong with the journal beside it.
    ///
    /// # Errors
    /// The control thread is lost.
    pub fn end(self) -> Result<(Adapted, Option<Error>)> {
        let Self { feedback, control, .. } = self;
        drop(feedback);
        control.finish()
    }
}

/// What holds at the start.
fn first_line(exits: &Exits, options: &AdaptOptions) -> Start {
    let (goal, ramps) = (&options.tuner.goal, exits.active.len());
    Start {
        rows: 0,
        version: exits.version,
        reason: "start",
        thresholds: exits.thresholds[..ramps].to_vec(),
        active: exits.active.clone(),
        disagreement_goal: goal.disagreement(),
        confidence: goal.confidence,
        audit_rate: options.audit_rate,
        window_rows: options.tuner.window_rows,
    }
}

/// Answers go to the caller, observations of rows that follow the thresholds to the control thread
/// too.
struct Both<'a> {
    sink: &'a mut dyn Sink,
    feedback: &'a mut FeedbackWriter,
    windows: &'a [ExitWindow],
    pass_rows: u32,
}

impl Sink for Both<'_> {
    fn answer(&mut self, answer: Answer<'_>) {
        self.sink.answer(answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        // A row with constraints of its own says nothing of what thresholds do to the others.
        let window = self.windows.get(observation.row).copied();
        if window.unwrap_or(ExitWindow::ANY) == ExitWindow::ANY {
            self.feedback.push(&observation, self.pass_rows);
        }
        self.sink.observe(observation);
    }
}
