//! The thread that owns the engine: pulls batches, runs them, ends requests.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use offramp::{AfterExit, Batch, Engine, ExitWindow, PassReport, clock};
use offramp_protocol::{Failure, Status};
use offramp_tune::adapt::{Adapted, ExitConstraints};
use offramp_tune::sched::{Batcher, BatcherOptions, Next, PassLatency, Refusals, Ticket, Work};

use super::audited::Audited;
use super::exiting::Exiting;
use super::inbox::{Job, Message, Reload};
use super::options::ServiceOptions;
use super::replies::Replies;
use super::state::{Life, State};
use super::watch::Seldom;
use super::window::window;
use crate::error::{Error, Result};

/// What is said of a deadline that is not met, where passes are predicted as if nobody left early,
/// and where exits are counted on.
const LATE: [&str; 2] = [
    "the deadline has passed, or cannot be met if no row leaves early",
    "the deadline has passed or cannot be met",
];

/// Engine, waiting jobs, and what is needed to run them.
pub(crate) struct Executor {
    state: Arc<State>,
    inbox: Receiver<Message>,
    engine: Engine,
    exiting: Exiting,
    latency: PassLatency,
    after_exit: AfterExit,
    audit_rate: f64,
    /// What is said of a deadline that is not met.
    why_late: &'static str,
    sites: Vec<usize>,
    batcher: Batcher<Job>,
    batch: Batch,
    picked: Vec<Job>,
    late: Vec<Job>,
    windows: Vec<ExitWindow>,
    /// By row of the batch: in two phases it runs on after its early answer.
    stays: Vec<bool>,
    /// For want of time, since it ran a pass.
    refusals: Refusals,
    /// Of the present exits, on the way to their control thread.
    lost_rows: u64,
    lost_lines: u64,
    /// Of the exits that were told last.
    told_version: Option<u64>,
    journal_warnings: Seldom,
}

impl Executor {
    pub(crate) fn new(
        state: Arc<State>,
        inbox: Receiver<Message>,
        engine: Engine,
        exiting: Exiting,
        latency: PassLatency,
        options: &ServiceOptions,
    ) -> Self {
        let ServiceOptions { policy, after_exit, audit_rate, .. } = *options;
        let limits = engine.limits();
        Self {
            batch: engine.batch(),
            sites: engine.plan().ramp_sites().collect(),
            batcher: Batcher::new(BatcherOptions { policy, limits }),
            state,
            inbox,
            engine,
            exiting,
            latency,
            after_exit,
            audit_rate,
            why_late: LATE[usize::from(options.counts_exits)],
            picked: Vec::new(),
            late: Vec::new(),
            windows: Vec::new(),
            stays: Vec::new(),
            refusals: Refusals::default(),
            lost_rows: 0,
            lost_lines: 0,
            told_version: None,
            journal_warnings: Seldom::default(),
        }
    }

    /// Runs until the inbox is closed and everything accepted is answered, or draining has taken
    /// too long.
    ///
    /// # Errors
    /// The device failed, or the control thread is lost: everything that waits is told so.
    pub(crate) fn run(mut self) -> Result<Option<Adapted>> {
        loop {
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            if self.state.drain_left().is_zero() {
                self.refuse_all(Status::ShuttingDown, "the service shuts down before its turn");
            }
            self.watch()?;
            self.let_go();
            let now_us = self.state.now_us();
            let Self { batcher, latency, picked, late, .. } = &mut self;
            let next = batcher.next(now_us, latency, picked, late);
            self.doubt(next, now_us);
            self.refuse_late();
            match next {
                Next::Run => self.pass()?,
                Next::WaitUntil(until_us) => self.wait_us(until_us.saturating_sub(now_us)),
                Next::Idle if self.state.inbox.is_over() => break,
                Next::Idle => self.wait_us(u64::MAX),
            }
        }
        self.exiting.finish()
    }

    /// Looks after the control thread, also while nobody asks for anything: tells what it has come
    /// to, and fails where it is lost.
    fn watch(&mut self) -> Result<()> {
        if self.exiting.is_lost() {
            let error = Error::Tune(offramp_tune::Error::ControlLost);
            self.state.metrics.losses.panicked("control thread");
            self.state.lose("control thread");
            tracing::error!(%error, "the exits are not watched any more");
            self.fail(&error.to_string());
            return Err(error);
        }
        self.exiting.refresh();
        let metrics = &self.state.metrics;
        let exits = self.exiting.exits();
        if self.told_version != Some(exits.version) {
            metrics.promise.set_exits(exits, &self.sites);
            self.told_version = Some(exits.version);
        }
        let Some(standing) = self.exiting.standing() else { return Ok(()) };
        metrics.promise.set(Some(standing));
        let lines = standing.journal_lines_lost();
        let more = lines - std::mem::replace(&mut self.lost_lines, lines);
        metrics.losses.journal.inc_by(more);
        if more > 0 && self.journal_warnings.is_due(clock::now()).is_some() {
            tracing::warn!(lines, "decisions could not be written to the journal");
        }
        Ok(())
    }

    /// Until a message comes, or news of the exits, or so much time is over, or that for draining.
    fn wait_us(&mut self, wait_us: u64) {
        let wait = Duration::from_micros(wait_us);
        // Where that is over already, who is on the way in is waited for.
        let draining = Some(self.state.drain_left()).filter(|left| !left.is_zero());
        let message = select! {
            // The other end is in the state that is shared with this thread: it stays.
            recv(self.inbox) -> message => message.ok(),
            recv(self.exiting.news()) -> _ => None,
            default(draining.map_or(wait, |left| left.min(wait))) => None,
        };
        if let Some(message) = message {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.line_up(job),
            Message::Reload(reload) if self.state.life() == Life::Ready => self.reload(*reload),
            // Who asked for a reload of a service that ends hears so, as nobody sends the former.
            Message::Reload(_) | Message::Drain => {}
        }
    }

    fn line_up(&mut self, job: Job) {
        let deadline_us = job.deadline_us(self.state.margin_us);
        let tokens = self.engine.rules().tokens(&job.row);
        let ticket = Ticket { arrival_us: job.arrival_us, deadline_us, tokens };
        self.batcher.push(ticket, job);
    }

    /// Between passes: who waits will meet the new exits.
    fn reload(&mut self, reload: Reload) {
        let Reload { engine, exiting, metadata, former } = reload;
        self.batch = engine.batch();
        self.sites = engine.plan().ramp_sites().collect();
        let former_engine = std::mem::replace(&mut self.engine, engine);
        let former_exiting = std::mem::replace(&mut self.exiting, exiting);
        (self.lost_rows, self.lost_lines, self.told_version) = (0, 0, None);
        self.state.metrics.promise.forget_ramps();
        self.state.metrics.promise.set(self.exiting.standing());
        self.state.reloaded(metadata);
        // Whoever reloads waits for it.
        let _ = former.send((former_engine, former_exiting));
    }

    /// Whoever has gone takes up no place, of those who wait or of a batch.
    fn let_go(&mut self) {
        let before = self.batcher.len();
        for job in self.batcher.remove_if(|job| job.reply.is_gone()) {
            job.reply.cancel();
        }
        self.state.inbox.release(before - self.batcher.len());
    }

    /// Where predictions keep all passes away, none corrects them.
    fn doubt(&mut self, next: Next, now_us: u64) {
        if next == Next::Run {
            self.refusals.pass();
        } else if !self.late.is_empty() && self.refusals.refuse(now_us) {
            self.latency.doubt();
        }
    }

    fn refuse_late(&mut self) {
        self.state.inbox.release(self.late.len());
        for job in self.late.drain(..) {
            job.reply.fail(Failure::new(Status::DeadlineExpired, self.why_late));
        }
    }

    fn pass(&mut self) -> Result<()> {
        self.exiting.refresh();
        let rows = self.fill();
        if rows.is_empty() {
            return Ok(());
        }
        let version = self.exiting.exits().version;
        let started_us = self.state.now_us();
        let expected_us = self.latency.expect_us(self.batch.tokens());
        self.state.expect_busy_until_us(started_us + expected_us);
        let state = Arc::clone(&self.state);
        // Before the first answer leaves: whoever has one finds its pass counted.
        state.metrics.pass_rows.observe(rows.len() as f64);
        let decision = self.engine.decision();
        let mut replies = Replies::new(&state, rows, (decision, version), started_us);
        let Self { engine, exiting, batch, after_exit, audit_rate, windows, stays, .. } = self;
        let mut sink = Audited { sink: &mut replies, metrics: &state.metrics, decision, windows };
        let constraints = ExitConstraints { windows, stays };
        let result = exiting.run(engine, batch, *after_exit, *audit_rate, constraints, &mut sink);
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                drop(replies);
                // Perhaps it is no fault of the device.
                self.watch()?;
                tracing::error!(%error, "the device failed");
                self.fail(&error.to_string());
                return Err(error);
            }
        };
        replies.confirm(&self.engine);
        self.book(&report);
        Ok(())
    }

    /// Moves what was picked into the batch; jobs by slot.
    fn fill(&mut self) -> Vec<Option<Job>> {
        self.state.inbox.release(self.picked.len());
        self.batch.clear();
        self.windows.clear();
        self.stays.clear();
        let mut picked = std::mem::take(&mut self.picked);
        let rows = picked.drain(..).filter_map(|job| self.place(job)).map(Some).collect();
        self.picked = picked;
        rows
    }

    /// Adds a row to the batch; ends its request where that is not to be.
    fn place(&mut self, job: Job) -> Option<Job> {
        match self.batch.push_row(&job.row) {
            Ok(Some(_)) => {
                let window = window(&job.options, self.exiting.exits(), &self.sites);
                self.windows.push(window);
                self.stays.push(job.options.two_phase);
                Some(job)
            }
            other => {
                let message = format!("does not fit a batch: {other:?}");
                job.reply.fail(Failure::new(Status::TooLarge, message));
                None
            }
        }
    }

    fn book(&mut self, report: &PassReport) {
        self.state.expect_busy_until_us(0);
        let elapsed_us = report.elapsed.as_micros() as u64;
        let whole = report.tokens * self.engine.plan().segments.len();
        let share = report.token_segments as f64 / whole.max(1) as f64;
        self.latency.learn(Work { tokens: report.tokens, share }, elapsed_us);
        self.state.learn_row_us(elapsed_us / report.rows.max(1) as u64);
        let metrics = &self.state.metrics;
        metrics.pass_seconds.observe(report.elapsed.as_secs_f64());
        metrics.not_finite.inc_by(report.not_finite as u64);
        let lost_rows = self.exiting.lost_rows();
        metrics
            .losses
            .feedback
            .inc_by(lost_rows - std::mem::replace(&mut self.lost_rows, lost_rows));
    }

    /// Nothing runs any more.
    fn fail(&mut self, why: &str) {
        self.state.advance(Life::Failed);
        self.state.inbox.close();
        self.refuse_all(Status::DeviceFailed, why);
    }

    /// Nothing that waits will run.
    fn refuse_all(&mut self, status: Status, why: &str) {
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
        self.state.inbox.release(self.batcher.len());
        for job in self.batcher.take_all() {
            job.reply.fail(Failure::new(status, why));
        }
    }
}
