//! The bounded way from those who ask to the executor.

use crossbeam_channel::Sender;
use offramp::{Engine, Row};
use offramp_protocol::{Failure, InferOptions, Status};

use super::door::{Door, Refused};
use super::exiting::Exiting;
use super::reply::ReplyGuard;

/// An accepted request.
pub(crate) struct Job {
    pub(crate) row: Row,
    /// Whether its text had more tokens.
    pub(crate) is_cut: bool,
    pub(crate) options: InferOptions,
    pub(crate) arrival_us: u64,
    pub(crate) reply: ReplyGuard,
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
    Job(Job),
    /// Another engine from the next pass on.
    Reload(Box<Reload>),
    /// Nothing new will come, or the last of those who came were refused: end when all is answered.
    Drain,
}

/// An engine that reads what the present one reads.
pub(crate) struct Reload {
    pub(crate) engine: Engine,
    pub(crate) exiting: Exiting,
    /// What is told of it.
    pub(crate) metadata: String,
    /// Takes the former ones, to end them: that takes time, and passes wait for nobody.
    pub(crate) former: Sender<(Engine, Exiting)>,
}

/// The end of those who ask.
pub(crate) struct Inbox {
    sender: Sender<Message>,
    door: Door,
}

impl Inbox {
    pub(crate) fn new(sender: Sender<Message>, waiting_max: usize) -> Self {
        Self { sender, door: Door::new(waiting_max) }
    }

    /// Hands a job over, or says at once why not; `closed` says why nothing is taken any more.
    pub(crate) fn admit(&self, job: Job, retry_after_ms: u32, closed: impl Fn() -> Failure) {
        let failure = match self.door.enter() {
            Ok(()) => {
                // Where the executor is lost, its reply says so on its way out.
                if self.sender.send(Message::Job(job)).is_err() {
                    self.release(1);
                }
                return;
            }
            Err(Refused::Closed) => closed(),
            Err(Refused::Full { waiting }) => {
                let message = format!("{waiting} requests wait already");
                Failure { status: Status::Overloaded, retry_after_ms, message }
            }
        };
        job.reply.fail(failure);
        // The executor may have waited for this one.
        if self.is_over() {
            let _ = self.sender.send(Message::Drain);
        }
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
