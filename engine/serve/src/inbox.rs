//! The bounded way from sessions to the executor, and the promise of a reply.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use offramp::{Engine, Row};
use offramp_protocol::{Failure, InferOptions, Phase, Reply, Status, Verdict};
use tokio::sync::oneshot;

use crate::door::{Door, Refused};
use crate::exiting::Exiting;
use crate::metrics::Metrics;
use crate::outbox::{Client, Hold};

/// A request's right to exactly one last reply. Dropped without one, it says that the device
/// failed: no path forgets a client.
pub(crate) struct Promise {
    client: Client,
    request: u64,
    hold: Option<Hold>,
    metrics: Arc<Metrics>,
    is_kept: bool,
}

impl Promise {
    pub(crate) fn new(client: Client, request: u64, hold: Hold, metrics: Arc<Metrics>) -> Self {
        metrics.received.inc();
        Self { client, request, hold: Some(hold), metrics, is_kept: false }
    }

    /// Whether it was taken on.
    pub(crate) fn has_place(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.place.is_some())
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_pointless(&self) -> bool {
        self.client.0.is_closed()
    }

    /// Sends an early answer; another will follow.
    pub(crate) fn early(&self, verdict: Verdict) {
        self.client.send(self.request, &Reply::Verdict(verdict), None);
    }

    pub(crate) fn keep(mut self, verdict: Verdict) {
        debug_assert!(
            verdict.phase != Phase::Early || verdict.exit != offramp_protocol::Exit::Final
        );
        self.last(&Reply::Verdict(verdict), None);
    }

    pub(crate) fn fail(mut self, failure: Failure) {
        let status = failure.status;
        self.last(&Reply::Failure(failure), Some(status));
    }

    /// Nobody waits for it: no reply, but an end.
    pub(crate) fn cancel(mut self) {
        self.is_kept = true;
        self.metrics.cancelled();
    }

    fn last(&mut self, reply: &Reply, status: Option<Status>) {
        self.is_kept = true;
        self.metrics.end(status);
        self.client.send(self.request, reply, self.hold.take());
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_kept {
            let failure = Failure::new(Status::DeviceFailed, "the batch was lost");
            self.last(&Reply::Failure(failure), Some(Status::DeviceFailed));
        }
    }
}

/// An accepted request.
pub(crate) struct Job {
    pub(crate) row: Row,
    /// Whether its text had more tokens.
    pub(crate) is_cut: bool,
    pub(crate) options: InferOptions,
    pub(crate) arrival_us: u64,
    pub(crate) promise: Promise,
}

impl Job {
    /// By when its pass has to end, with a margin of at most half its budget.
    pub(crate) fn deadline_us(&self, margin_us: u64) -> Option<u64> {
        let budget_us = u64::from(self.options.deadline_us?);
        Some(self.arrival_us + budget_us - margin_us.min(budget_us / 2))
    }
}

/// What reaches the executor.
pub(crate) enum Message {
    /// Work.
    Job(Box<Job>),
    /// Another engine from the next pass on.
    Reload(Box<Reload>),
    /// Nothing new will come: wake up, to end when all is answered.
    Drain,
}

/// An engine that reads what the present one reads.
pub(crate) struct Reload {
    pub(crate) engine: Engine,
    pub(crate) exiting: Exiting,
    /// Where the former ones go: it takes time to end them.
    pub(crate) former: oneshot::Sender<(Engine, Exiting)>,
}

/// The sessions' end.
pub(crate) struct Inbox {
    sender: Sender<Message>,
    door: Door,
}

impl Inbox {
    pub(crate) fn new(sender: Sender<Message>, waiting_max: usize) -> Self {
        Self { sender, door: Door::new(waiting_max) }
    }

    /// Hands a job over, or says at once why not.
    pub(crate) fn admit(&self, job: Box<Job>, retry_after_ms: u32) {
        let failure = match self.door.enter() {
            Ok(()) => {
                // Where the executor is lost, the promise says so on its way out.
                if self.sender.send(Message::Job(job)).is_err() {
                    self.release(1);
                }
                return;
            }
            Err(Refused::Closed) => {
                Failure::new(Status::ShuttingDown, "the server takes no new work")
            }
            Err(Refused::Full { waiting }) => {
                let message = format!("{waiting} requests wait already");
                Failure { status: Status::Overloaded, retry_after_ms, message }
            }
        };
        job.promise.fail(failure);
    }

    /// Hands another engine over; it is dropped where the executor has ended.
    pub(crate) fn reload(&self, reload: Box<Reload>) {
        let _ = self.sender.send(Message::Reload(reload));
    }

    /// So many jobs do not wait any more.
    pub(crate) fn release(&self, jobs: usize) {
        self.door.leave(jobs);
    }

    /// Jobs that wait, those on their way in included.
    pub(crate) fn waiting(&self) -> usize {
        self.door.waiting()
    }

    /// Takes nothing more.
    pub(crate) fn close(&self) {
        self.door.close();
        let _ = self.sender.send(Message::Drain);
    }

    /// Whether everything accepted was taken out, and nothing will come.
    pub(crate) fn is_over(&self) -> bool {
        self.door.is_over()
    }
}
