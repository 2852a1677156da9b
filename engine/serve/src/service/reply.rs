//! A request's right to an end.

use std::sync::Arc;

use offramp_protocol::{Failure, Status, Verdict};

use crate::metrics::Metrics;

/// Where the answers to one request go. Called on the thread that runs the engine: be quick.
pub(crate) trait Responder: Send {
    /// An early answer; another will follow.
    fn early(&mut self, verdict: Verdict);

    /// The end.
    fn end(self: Box<Self>, end: Result<Verdict, Failure>);

    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// Ends a request exactly once, and counts its end. Dropped before, it says that the device failed:
/// no path forgets a request.
pub(crate) struct ReplyGuard {
    /// Until the end.
    responder: Option<Box<dyn Responder>>,
    metrics: Arc<Metrics>,
}

impl ReplyGuard {
    pub(crate) fn new(responder: Box<dyn Responder>, metrics: Arc<Metrics>) -> Self {
        metrics.received.inc();
        Self { responder: Some(responder), metrics }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.responder.as_ref().is_none_or(|responder| responder.is_gone())
    }

    /// Gives an early answer; another will follow.
    pub(crate) fn early(&mut self, verdict: Verdict) {
        if let Some(responder) = &mut self.responder {
            responder.early(verdict);
        }
    }

    pub(crate) fn answer(mut self, verdict: Verdict) {
        self.end(Ok(verdict));
    }

    pub(crate) fn fail(mut self, failure: Failure) {
        self.end(Err(failure));
    }

    /// Nobody waits for it: no reply, but an end.
    pub(crate) fn cancel(mut self) {
        self.responder = None;
        self.metrics.cancelled();
    }

    fn end(&mut self, end: Result<Verdict, Failure>) {
        let Some(responder) = self.responder.take() else { return };
        self.metrics.end(end.as_ref().err().map(|failure| failure.status));
        responder.end(end);
    }
}

impl Drop for ReplyGuard {
    fn drop(&mut self) {
        self.end(Err(Failure::new(Status::DeviceFailed, "the batch was lost")));
    }
}
