//! What all parts of a server share, and how large each may grow.

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use offramp::{
    AfterExit, Engine, Identity, Limits, Model, Preprocessor, RowRules, Task, Tokenizer, clock,
};
use offramp_tune::sched::Policy;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;

use crate::Result;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::orders::{Order, Turn};

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// When a batch is ready.
    pub policy: Policy,
    /// Largest batch.
    pub limits: Limits,
    /// Whether rows that leave early are counted on for deadlines.
    pub counts_exits: bool,
    /// Of a deadline, what is left for the way back to the client, at most half of it.
    pub margin: Duration,
    /// What becomes of answered rows.
    pub after_exit: AfterExit,
    /// Requests that may wait; beyond, they are refused.
    pub queue_max: usize,
    /// What one connection may do.
    pub session: SessionLimits,
    /// Connections at a time; beyond, they wait to be accepted.
    pub connections_max: usize,
    /// At the end, longest wait for accepted work, and for clients to take their replies.
    pub drain_timeout: Duration,
    /// Threads that read and write.
    pub io_threads: usize,
    /// Whether clients may tell it to drain and to reload.
    pub takes_orders: bool,
    /// Under compaction and with exits that stay as they are: the share of rows that run to the
    /// end anyway, so that it is seen whether the exits still agree with the full model.
    pub audit_rate: f64,
    /// Lines lost by whoever writes the log, for the metrics.
    pub log_lines_dropped: fn() -> u64,
}

/// What one connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest payload of a frame.
    pub payload_bytes_max: usize,
    /// Infer requests whose replies have not been taken. Beyond, one with a deadline is refused:
    /// unread, it would grow old unseen. One without waits, and all behind it.
    pub in_flight_max: usize,
    /// Room for replies that have not been taken, about; beyond, the server stops reading. There is
    /// always room for those of all infer requests in flight.
    pub replies_bytes_max: usize,
    /// Longest silence of a connection with nothing in flight.
    pub idle_timeout: Duration,
    /// Longest time for one frame to arrive, or for replies to be taken.
    pub frame_timeout: Duration,
}

/// What an infer request's replies take up, about.
pub(crate) const ANSWER_BYTES: usize = 512;

impl SessionLimits {
    pub(crate) fn room_bytes(&self) -> usize {
        self.replies_bytes_max.max(self.in_flight_max.saturating_mul(ANSWER_BYTES))
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            in_flight_max: 256,
            replies_bytes_max: 256 << 10,
            idle_timeout: Duration::from_secs(300),
            frame_timeout: Duration::from_secs(20),
        }
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            policy: Policy::Deadline,
            limits: Limits::default(),
            counts_exits: false,
            margin: Duration::from_millis(1),
            after_exit: AfterExit::Compact,
            queue_max: 1024,
            session: SessionLimits::default(),
            connections_max: 10_000,
            drain_timeout: Duration::from_secs(30),
            io_threads: 1,
            takes_orders: false,
            audit_rate: 0.0,
            log_lines_dropped: || 0,
        }
    }
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// Takes work.
    Ready = 0,
    /// Answers what it has accepted.
    Draining = 1,
    /// The device failed for good, or a part of the server has panicked.
    Failed = 2,
}

/// Shared by sessions, executor and HTTP.
pub(crate) struct State {
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reads: Reading,
    pub(crate) limits: SessionLimits,
    /// Where orders go; none where they are not taken.
    pub(crate) orders: Option<Sender<Order>>,
    pub(crate) reload: Turn,
    /// Reloads that were done.
    pub(crate) reloads: AtomicU32,
    /// The part whose panic has failed the server.
    pub(crate) lost: OnceLock<&'static str>,
    log_lines_dropped: fn() -> u64,
    /// Of a deadline, what is left for the way back.
    pub(crate) margin_us: u64,
    /// The turns of whoever has a long frame read, and of whoever has a very long one.
    pub(crate) long_frames: [Mutex<()>; 2],
    started: Instant,
    life: AtomicU8,
    row_us: AtomicU32,
    /// When the present pass is expected to end.
    busy_until_us: AtomicU64,
    drain_timeout_us: u64,
    /// When draining has taken too long; in no time while there is no end in sight.
    drain_until_us: AtomicU64,
}

/// What a model brings to the shared state.
pub(crate) struct Reading {
    pub(crate) rules: RowRules,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) preprocessor: Option<Preprocessor>,
    pub(crate) labels: Vec<String>,
    /// What its files held.
    pub(crate) identity: Identity,
    pub(crate) task: Task,
    /// It changes where the model is loaded again.
    pub(crate) metadata: RwLock<String>,
}

impl Reading {
    /// Whether another model reads and says the same.
    pub(crate) fn expect_same(&self, model: &Model, engine: &Engine) -> Result<()> {
        let fail = |message: &str| {
            let (model, message) = (model.dir().to_owned(), message.to_owned());
            Err(offramp::Error::Unfit { model, message }.into())
        };
        if *engine.rules() != self.rules {
            return fail("reads other inputs than the model that is served: restart the server");
        }
        if model.spec().labels() != self.labels {
            return fail("has other labels than the model that is served: restart the server");
        }
        if model.task() != self.task {
            return fail(
                "decides something else than the model that is served: restart the server",
            );
        }
        self.expect_identity(model.dir(), &model.identity()?)
    }

    /// Whether a folder holds the model that is served: only ramps and thresholds may differ.
    pub(crate) fn expect_identity(&self, dir: &Path, found: &Identity) -> Result<()> {
        let changes = self.identity.changes(found);
        if changes.is_empty() {
            return Ok(());
        }
        let message = format!(
            "not the model that is served, and only ramps and thresholds are loaded again: {}: \
             restart the server",
            changes.join(", ")
        );
        Err(offramp::Error::Unfit { model: dir.to_owned(), message }.into())
    }
}

impl State {
    pub(crate) fn new(
        inbox: Inbox,
        metrics: Metrics,
        reads: Reading,
        options: &ServeOptions,
        orders: Option<Sender<Order>>,
    ) -> Self {
        Self {
            inbox,
            metrics: Arc::new(metrics),
            reads,
            limits: options.session,
            margin_us: options.margin.as_micros() as u64,
            orders,
            reload: Turn::default(),
            reloads: AtomicU32::new(0),
            lost: OnceLock::new(),
            log_lines_dropped: options.log_lines_dropped,
            long_frames: Default::default(),
            started: clock::now(),
            life: AtomicU8::new(Life::Ready as u8),
            row_us: AtomicU32::new(1000),
            busy_until_us: AtomicU64::new(0),
            drain_timeout_us: options.drain_timeout.as_micros() as u64,
            drain_until_us: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Ready,
            1 => Life::Draining,
            _ => Life::Failed,
        }
    }

    /// Life goes one way only: a failed server does not drain. Whether it went on.
    pub(crate) fn advance(&self, life: Life) -> bool {
        self.life.fetch_max(life as u8, Ordering::AcqRel) < life as u8
    }

    /// Takes nothing new from now on.
    pub(crate) fn drain(&self) {
        let until_us = self.now_us().saturating_add(self.drain_timeout_us);
        self.drain_until_us.fetch_min(until_us, Ordering::Relaxed);
        let is_first = self.advance(Life::Draining);
        self.inbox.close();
        if is_first {
            tracing::info!(waiting = self.inbox.waiting(), "draining");
        }
    }

    /// Takes nothing new, and leaves what waits.
    pub(crate) fn stop(&self) {
        self.drain_until_us.store(0, Ordering::Relaxed);
        self.advance(Life::Draining);
        self.inbox.close();
    }

    /// What is left of the time for draining; nothing where it is over.
    pub(crate) fn drain_left(&self) -> Duration {
        let until_us = self.drain_until_us.load(Ordering::Relaxed);
        Duration::from_micros(until_us.saturating_sub(self.now_us()))
    }

    /// A pass has shown how long a row takes.
    pub(crate) fn learn_row_us(&self, row_us: u64) {
        let before = u64::from(self.row_us.load(Ordering::Relaxed));
        self.row_us.store(((3 * before + row_us) / 4) as u32, Ordering::Relaxed);
    }

    /// A pass has begun.
    pub(crate) fn expect_busy_until_us(&self, end_us: u64) {
        self.busy_until_us.store(end_us, Ordering::Relaxed);
    }

    /// Whether the pass that runs will not have ended by then: whoever has to be answered by then
    /// need not wait to hear that it is too late.
    pub(crate) fn is_busy_beyond_us(&self, deadline_us: u64) -> bool {
        let until_us = self.busy_until_us.load(Ordering::Relaxed);
        until_us > deadline_us && until_us > self.now_us()
    }

    /// When half of those who wait now will have been served.
    pub(crate) fn retry_after_ms(&self) -> u32 {
        let waiting_us =
            self.inbox.waiting() as u64 * u64::from(self.row_us.load(Ordering::Relaxed));
        (waiting_us / 2000).clamp(1, 5000) as u32
    }

    /// What model this is, as JSON.
    pub(crate) fn metadata(&self) -> String {
        self.reads.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has been done, as JSON.
    pub(crate) fn stats(&self) -> String {
        self.look();
        self.metrics.json()
    }

    /// The same, for Prometheus.
    pub(crate) fn exposition(&self) -> Vec<u8> {
        self.look();
        self.metrics.text()
    }

    /// Gauges of what is counted elsewhere are as old as the last look.
    fn look(&self) {
        self.metrics.waiting.set(self.inbox.waiting() as i64);
        self.metrics.ready.set(i64::from(self.life() == Life::Ready));
        self.metrics.losses.set_log_lines((self.log_lines_dropped)());
    }

    /// It is another one now.
    pub(crate) fn set_metadata(&self, metadata: String) {
        *self.reads.metadata.write().unwrap_or_else(PoisonError::into_inner) = metadata;
    }

    /// Microseconds since the server started.
    pub(crate) fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}
