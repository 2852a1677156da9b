//! Asks a service, from any thread or task.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use offramp_protocol::{Failure, Infer, Status, Verdict};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::block::block_on;
use super::intake::submit;
use super::reply::{ReplyGuard, Responder};
use super::state::{Life, State};

/// A way to a service: cheap to clone, to be used from anywhere. It keeps no service alive.
#[derive(Clone)]
pub struct Handle {
    pub(crate) state: Arc<State>,
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// In two phases, the answer of the ramp it left at; none where no ramp let it out.
    pub early: Option<Verdict>,
    /// The last answer: in two phases the full model's.
    pub last: Verdict,
}

/// The answers to one request, on their way. Dropped, it cancels the request: its row is not run
/// unless it runs already. It is fused: once it has given the answers it stays pending, and there
/// is no [`early`](Self::early) one any more.
#[derive(Debug)]
pub struct Pending {
    replies: UnboundedReceiver<Event>,
    early: Option<Verdict>,
    /// Where it was heard while looking for an early answer.
    end: Option<Result<Verdict, Failure>>,
    /// The end was given out.
    is_over: bool,
}

#[derive(Debug)]
enum Event {
    Early(Verdict),
    End(Result<Verdict, Failure>),
}

/// The service's end of a [`Pending`].
struct InProcess(UnboundedSender<Event>);

impl Responder for InProcess {
    fn early(&mut self, verdict: Verdict) {
        // Where nobody waits any more, nobody is told.
        let _ = self.0.send(Event::Early(verdict));
    }

    fn end(self: Box<Self>, end: Result<Verdict, Failure>) {
        let _ = self.0.send(Event::End(end));
    }

    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

impl Handle {
    /// Runs one input. A text is split here, on the caller's thread; all else happens elsewhere, so
    /// the answers may be waited for at leisure: `infer(&request).await` or
    /// [`Pending::wait`].
    ///
    /// Too many wait already: the failure says when to come back.
    pub fn infer(&self, request: &Infer<'_>) -> Pending {
        let (sender, replies) = unbounded_channel();
        let reply = ReplyGuard::new(Box::new(InProcess(sender)), self.state.metrics.clone());
        submit(|| Ok(request), self.state.now_us(), reply, &self.state);
        Pending { replies, early: None, end: None, is_over: false }
    }

    /// The same, and waits for the answers on this thread: not for async code.
    ///
    /// # Errors
    /// As the service says.
    pub fn infer_blocking(&self, request: &Infer<'_>) -> Result<Answers, Failure> {
        self.infer(request).wait()
    }

    /// Where the service is in its life.
    pub fn life(&self) -> Life {
        self.state.life()
    }

    /// Until the service takes no work any more.
    pub async fn left(&self) {
        self.state.left().await;
    }

    /// What model it serves, as JSON.
    pub fn metadata(&self) -> String {
        self.state.metadata()
    }

    /// Counts of what it has done, as JSON.
    pub fn stats(&self) -> String {
        self.state.stats()
    }

    /// The same and more, as Prometheus reads it.
    pub fn metrics(&self) -> Vec<u8> {
        self.state.exposition()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("life", &self.life()).finish_non_exhaustive()
    }
}

impl Pending {
    /// In two phases, the early answer as soon as it is there; none where no ramp let the row out,
    /// or where it was given with the last answer.
    pub async fn early(&mut self) -> Option<Verdict> {
        std::future::poll_fn(|cx| self.poll_early(cx)).await
    }

    /// Waits for the answers on this thread: not for async code.
    ///
    /// # Errors
    /// As the service says.
    pub fn wait(self) -> Result<Answers, Failure> {
        block_on(self)
    }

    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<Option<Verdict>> {
        if self.early.is_none() && self.end.is_none() && !self.is_over {
            let event = ready!(self.replies.poll_recv(cx));
            self.take(event);
        }
        Poll::Ready(self.early.clone())
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Early(verdict)) => self.early = Some(verdict),
            Some(Event::End(end)) => self.end = Some(end),
            None => {
                let failure = Failure::new(Status::DeviceFailed, "the request was lost");
                self.end = Some(Err(failure));
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<Answers, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_over {
            return Poll::Pending;
        }
        loop {
            if let Some(end) = self.end.take() {
                self.is_over = true;
                let early = self.early.take();
                return Poll::Ready(end.map(|last| Answers { early, last }));
            }
            let event = ready!(self.replies.poll_recv(cx));
            self.take(event);
        }
    }
}
