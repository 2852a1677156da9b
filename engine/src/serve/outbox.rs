//! The way back to one connection, and what requests hold of it.

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use super::protocol::Reply;

/// What a request holds of its connection until its last reply is written.
pub(super) struct Hold {
    /// Room for its replies.
    pub(super) _room: OwnedSemaphorePermit,
    /// Its place among those in flight, where it has work to wait for.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// Bytes for one client; what is held is given back once they are written.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) hold: Option<Hold>,
}

/// One end of a connection, as a job sees it.
#[derive(Clone)]
pub(super) struct Client(pub(super) UnboundedSender<Packet>);

impl Client {
    pub(super) fn send(&self, request: u64, reply: &Reply, hold: Option<Hold>) {
        let mut bytes = Vec::new();
        reply.encode(request, &mut bytes);
        // A closed channel is a client that has gone.
        let _ = self.0.send(Packet { bytes, hold });
    }
}
