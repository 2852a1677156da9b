//! The way back to one connection, and what requests hold of it.

use offramp_protocol::Reply;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

/// What a request holds of its connection until its last reply is written.
pub(crate) struct Hold {
    /// Room for its replies.
    pub(crate) _room: OwnedSemaphorePermit,
    /// Its place among those in flight, where it has work to wait for.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Bytes for one client; what is held is given back once they are written.
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hold: Option<Hold>,
}

/// One end of a connection, as a job sees it.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) UnboundedSender<Packet>);

impl Client {
    pub(crate) fn send(&self, request: u64, reply: &Reply, hold: Option<Hold>) {
        let mut bytes = Vec::new();
        reply.encode(request, &mut bytes);
        // A closed channel is a client that has gone.
        let _ = self.0.send(Packet { bytes, hold });
    }
}
