//! The thread that owns the engine: pulls batches, runs them, keeps promises.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use offramp::{AfterExit, Batch, Engine, ExitWindow, Exits, PassReport, clock};
use offramp_protocol::{Failure, InferOptions, Status};
use offramp_tune::adapt::Adapted;
use offramp_tune::sched::{Batcher, BatcherOptions, Next, PassLatency, Ticket, Work};

use crate::audited::Audited;
use crate::exiting::Exiting;
use crate::inbox::{Job, Message, Reload};
use crate::replies::Replies;
use crate::state::{Life, State};
use crate::watch::Seldom;
use crate::{Error, Result};

/// It looks at least this often whether it should end.
const NAP: Duration = Duration::from_millis(50);
/// Refusing for so long without a pass, it doubts its predictions.
const DOUBT_US: u64 = 100_000;

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
    batcher: Batcher,
    batch: Batch,
    /// Waiting, by ticket.
    jobs: HashMap<u64, Box<Job>>,
    tickets: u64,
    picked: Vec<Ticket>,
    late: Vec<Ticket>,
    windows: Vec<ExitWindow>,
    /// By slot: in two phases a row runs on after its early answer.
    stays: Vec<bool>,
    /// When it last ran a pass, or doubted.
    run_us: u64,
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
        (engine, exiting): (Engine, Exiting),
        (latency, counts_exits): (PassLatency, bool),
        (batcher, after_exit, audit_rate): (BatcherOptions, AfterExit, f64),
    ) -> Self {
        Self {
            batch: engine.batch(),
            sites: engine.plan().ramp_sites().collect(),
            batcher: Batcher::new(batcher),
            state,
            inbox,
            engine,
            exiting,
            latency,
            after_exit,
            audit_rate,
            why_late: LATE[usize::from(counts_exits)],
            jobs: HashMap::new(),
            tickets: 0,
            picked: Vec::new(),
            late: Vec::new(),
            windows: Vec::new(),
            stays: Vec::new(),
            run_us: 0,
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
                self.refuse_all(Status::ShuttingDown, "the server shuts down before its turn");
            }
            self.watch()?;
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

    fn wait_us(&mut self, wait_us: u64) {
        // The other end is in the state that is shared with this thread: it stays.
        if let Ok(message) = self.inbox.recv_timeout(Duration::from_micros(wait_us).min(NAP)) {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.line_up(job),
            Message::Reload(reload) => self.reload(*reload),
            Message::Drain => {}
        }
    }

    fn line_up(&mut self, job: Box<Job>) {
        let (id, arrival_us) = (self.tickets, job.arrival_us);
        let deadline_us = job.deadline_us(self.state.margin_us);
        self.batcher.push(Ticket { id, arrival_us, deadline_us, tokens: job.row.tokens() });
        self.jobs.insert(id, job);
        self.tickets += 1;
    }

    /// Between passes: who waits will meet the new exits.
    fn reload(&mut self, reload: Reload) {
        let Reload { engine, exiting, former } = reload;
        self.batch = engine.batch();
        self.sites = engine.plan().ramp_sites().collect();
        let former_engine = std::mem::replace(&mut self.engine, engine);
        let former_exiting = std::mem::replace(&mut self.exiting, exiting);
        (self.lost_rows, self.lost_lines, self.told_version) = (0, 0, None);
        self.state.metrics.promise.forget_ramps();
        self.state.metrics.promise.set(self.exiting.standing());
        let _ = former.send((former_engine, former_exiting));
    }

    fn job(&mut self, ticket: &Ticket) -> Box<Job> {
        self.jobs.remove(&ticket.id).expect("invariant: every ticket has its job")
    }

    /// Only passes correct predictions: where too slow ones keep all passes away, that never ends.
    fn doubt(&mut self, next: Next, now_us: u64) {
        if next == Next::Run {
            self.run_us = now_us;
        } else if !self.late.is_empty() && now_us - self.run_us >= DOUBT_US {
            self.latency.doubt();
            self.run_us = now_us;
        }
    }

    fn refuse_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        self.state.inbox.release(late.len());
        for ticket in &late {
            let failure = Failure::new(Status::DeadlineExpired, self.why_late);
            self.job(ticket).promise.fail(failure);
        }
        self.late = late;
        self.late.clear();
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
        let how = (*after_exit, *audit_rate);
        let result = exiting.run(engine, batch, how, (windows, stays), &mut sink);
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
    fn fill(&mut self) -> Vec<Option<Box<Job>>> {
        let picked = std::mem::take(&mut self.picked);
        self.state.inbox.release(picked.len());
        self.batch.clear();
        self.windows.clear();
        self.stays.clear();
        let mut rows = Vec::with_capacity(picked.len());
        for ticket in &picked {
            let job = self.job(ticket);
            if job.promise.is_pointless() {
                job.promise.cancel();
                continue;
            }
            match self.batch.push_row(&job.row) {
                Ok(Some(_)) => {
                    let exits = self.exiting.exits();
                    self.windows.push(window(&job.options, exits, &self.sites));
                    self.stays.push(job.options.two_phase);
                    rows.push(Some(job));
                }
                other => {
                    let message = format!("does not fit a batch: {other:?}");
                    job.promise.fail(Failure::new(Status::TooLarge, message));
                }
            }
        }
        self.picked = picked;
        self.picked.clear();
        rows
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
        self.batcher.clear();
        self.state.inbox.release(self.jobs.len());
        for (_, job) in self.jobs.drain() {
            job.promise.fail(Failure::new(status, why));
        }
    }
}

/// Where a row may leave by its own wishes, under the thresholds of the pass.
fn window(options: &InferOptions, exits: &Exits, sites: &[usize]) -> ExitWindow {
    let ramps = sites.len() as u32;
    if options.exits_off {
        return ExitWindow { first: ramps, last: u32::MAX };
    }
    let at_least = |site: u16| sites.iter().take_while(|&&own| own < usize::from(site)).count();
    let is_below = |ramp: &usize| {
        exits.active[*ramp] && f64::from(exits.thresholds[*ramp]) < f64::from(options.score_floor)
    };
    let floor = (0..sites.len()).rev().find(is_below).map_or(0, |ramp| ramp + 1);
    let first = options.shallowest_site.map_or(0, at_least).max(floor) as u32;
    let deepest = |site: u16| {
        (0..sites.len()).rev().find(|&ramp| exits.active[ramp] && sites[ramp] <= usize::from(site))
    };
    let last = options.deepest_site.and_then(deepest).map(|ramp| ramp as u32);
    ExitWindow { first, last: last.filter(|&last| last >= first).unwrap_or(u32::MAX) }
}
