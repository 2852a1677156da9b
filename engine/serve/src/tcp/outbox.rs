//! The way back to one connection, and what requests hold of it.

use offramp_protocol::{Failure, Reply, Verdict};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use crate::service::Responder;

/// What a request holds of its connection until its last reply is written.
pub(crate) struct Hold {
    /// Room for its replies.
    pub(crate) _room: OwnedSemaphorePermit,
    /// Its place among those in flight, where it has work to wait for.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A reply to be written; what is held is given back once it is.
pub(crate) struct Packet {
    pub(crate) request: u64,
    pub(crate) reply: Reply,
    pub(crate) hold: Option<Hold>,
}

/// One end of a connection, as a request sees it.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) UnboundedSender<Packet>);

impl Client {
    pub(crate) fn send(&self, request: u64, reply: Reply, hold: Option<Hold>) {
        // A closed channel is a client that has gone.
        let _ = self.0.send(Packet { request, reply, hold });
    }
}

/// Answers go to the client that asked; frames are made of them where they are written.
pub(crate) struct ToClient {
    pub(crate) client: Client,
    pub(crate) request: u64,
    pub(crate) hold: Hold,
}

impl Responder for ToClient {
    fn early(&mut self, verdict: Verdict) {
        self.client.send(self.request, Reply::Verdict(verdict), None);
    }

    fn end(self: Box<Self>, end: Result<Verdict, Failure>) {
        let Self { client, request, hold } = *self;
        let reply = match end {
            Ok(verdict) => Reply::Verdict(verdict),
            Err(failure) => Reply::Failure(failure),
        };
        client.send(request, reply, Some(hold));
    }

    fn is_gone(&self) -> bool {
        self.client.0.is_closed()
    }
}
