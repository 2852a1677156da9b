//! What clients may tell a server to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use offramp_protocol::{Failure, Reply, Status};

use super::outbox::{Client, Hold};

/// An order, for whoever runs the server.
pub enum Order {
    /// Answer what was accepted, then end: the service has begun to; shut it down.
    Drain,
    /// Load the model again, [reload](crate::Handle::reload), and answer.
    Reload(Ask),
}

/// The turn of a reload: there is one at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

/// It is somebody's until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Turn);

impl Turn {
    pub(crate) fn take(&self) -> Option<Taken> {
        let was_taken = self.0.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Taken(self.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// A client that waits to hear how it went. Dropped without an answer, it says that nobody cared.
pub struct Ask {
    client: Client,
    request: u64,
    hold: Option<Hold>,
    turn: Option<Taken>,
    is_answered: bool,
}

impl Ask {
    pub(crate) fn new(client: Client, request: u64, hold: Hold) -> Self {
        Self { client, request, hold: Some(hold), turn: None, is_answered: false }
    }

    /// Until it is answered.
    pub(crate) fn hold_turn(&mut self, turn: Taken) {
        self.turn = Some(turn);
    }

    /// Tells the client: done, or why not.
    pub fn answer(mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.last(Reply::Done),
            Err(message) => self.fail(Status::BadInput, message),
        }
    }

    pub(crate) fn fail(&mut self, status: Status, message: impl Into<String>) {
        self.last(Reply::Failure(Failure::new(status, message)));
    }

    fn last(&mut self, reply: Reply) {
        self.is_answered = true;
        self.turn = None;
        self.client.send(self.request, reply, self.hold.take());
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if !self.is_answered {
            self.fail(Status::Unsupported, "nobody takes this order");
        }
    }
}
