//! What all parts of a service share.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use offramp::clock;
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::options::ServiceOptions;
use super::reading::Reading;
use super::versions::Versions;
use crate::metrics::Metrics;

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// Takes work.
    Ready = 0,
    /// Answers what it has accepted.
    Draining = 1,
    /// The device failed for good, or a part of it has panicked.
    Failed = 2,
}

/// Shared by those who ask, and the executor.
pub(crate) struct State {
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reads: Reading,
    /// Of exits.
    pub(crate) versions: Versions,
    /// The part whose panic has failed the service.
    pub(crate) lost: OnceLock<&'static str>,
    log_lines_dropped: fn() -> u64,
    /// Of a deadline, what is left for the way back.
    pub(crate) margin_us: u64,
    started: Instant,
    life: AtomicU8,
    /// Cancelled once it takes no work any more.
    left: CancellationToken,
    row_us: AtomicU32,
    /// When the present pass is expected to end.
    busy_until_us: AtomicU64,
    drain_timeout_us: u64,
    /// When draining has taken too long; in no time while there is no end in sight.
    drain_until_us: AtomicU64,
}

impl State {
    pub(crate) fn new(
        inbox: Inbox,
        metrics: Metrics,
        reads: Reading,
        versions: Versions,
        options: &ServiceOptions,
    ) -> Self {
        Self {
            inbox,
            metrics: Arc::new(metrics),
            reads,
            margin_us: micros(options.margin),
            versions,
            lost: OnceLock::new(),
            log_lines_dropped: options.log_lines_dropped,
            started: clock::now(),
            life: AtomicU8::new(Life::Ready as u8),
            left: CancellationToken::new(),
            row_us: AtomicU32::new(1000),
            busy_until_us: AtomicU64::new(0),
            drain_timeout_us: micros(options.drain_timeout),
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

    /// Life goes one way only: a failed service does not drain. Whether it went on.
    pub(crate) fn advance(&self, life: Life) -> bool {
        let went_on = self.life.fetch_max(life as u8, Ordering::AcqRel) < life as u8;
        if life != Life::Ready {
            self.left.cancel();
        }
        went_on
    }

    /// Until it takes no work any more.
    pub(crate) async fn left(&self) {
        self.left.cancelled().await;
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
        self.reads.metadata.read().clone()
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

    /// It serves another model now.
    pub(crate) fn reloaded(&self, metadata: String) {
        *self.reads.metadata.write() = metadata;
        tracing::info!("reloaded");
    }

    /// Microseconds since the service started.
    pub(crate) fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// More of them than there are is as good as for ever.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
