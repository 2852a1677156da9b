//! What clients may tell a server to do.

use super::inbox::{Client, Hold};
use super::protocol::{Failure, Reply, Status};

/// An order, for whoever runs the server. [`Server::orders`](super::Server::orders) gives them.
pub enum Order {
    /// Answer what was accepted, then end: the server has begun to; call
    /// [`Server::drain`](super::Server::drain).
    Drain,
    /// Load the model again, call [`Server::reload`](super::Server::reload), and answer.
    Reload(Ask),
}

/// A client that waits to hear how it went. Dropped without an answer, it says that nobody cared.
pub struct Ask {
    client: Client,
    request: u64,
    hold: Option<Hold>,
    is_answered: bool,
}

impl Ask {
    pub(super) fn new(client: Client, request: u64, hold: Hold) -> Self {
        Self { client, request, hold: Some(hold), is_answered: false }
    }

    /// Tells the client: done, or why not.
    pub fn answer(mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.last(&Reply::Done),
            Err(message) => self.fail(Status::BadInput, message),
        }
    }

    pub(super) fn fail(&mut self, status: Status, message: impl Into<String>) {
        self.last(&Reply::Failure(Failure::new(status, message)));
    }

    fn last(&mut self, reply: &Reply) {
        self.is_answered = true;
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
