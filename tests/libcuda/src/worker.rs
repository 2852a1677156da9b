//! A stream: a queue of tasks and the thread that performs them in order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::capture::Capture;
use crate::context::Context;
use crate::error::{Code, Result};
use crate::work::Task;

/// A stream of work.
pub(crate) struct Stream {
    pub(crate) context: Arc<Context>,
    pub(crate) kind: Kind,
    /// The capture its work goes into instead of the queue.
    pub(crate) capture: Mutex<Option<Arc<Capture>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// How a stream goes together with the legacy default stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The default stream: its work waits for all blocking streams.
    Legacy,
    /// Its work waits for the default stream.
    Blocking,
    /// It minds its own business.
    NonBlocking,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    submitted: u64,
    done: u64,
    is_closing: bool,
}

/// A place in a stream: everything up to it, or not.
#[derive(Clone)]
pub(crate) struct Ticket {
    stream: Arc<Stream>,
    position: u64,
}

impl Ticket {
    /// Whether the stream has come that far.
    pub(crate) fn is_done(&self) -> bool {
        self.stream.queue.lock().done >= self.position
    }

    /// Waits until it has.
    pub(crate) fn wait(&self) {
        self.stream.wait_for(self.position);
    }
}

impl Stream {
    /// A new stream of `context` with its thread.
    pub(crate) fn start(context: &Arc<Context>, kind: Kind) -> Result<Arc<Self>> {
        let stream = Arc::new(Self {
            context: Arc::clone(context),
            kind,
            capture: Mutex::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&stream);
        let thread = std::thread::Builder::new().name("cuda stream".to_owned());
        thread.spawn(move || worker.run()).map_err(|_| Code::OperatingSystem)?;
        context.streams.lock().push(Arc::clone(&stream));
        Ok(stream)
    }

    /// Puts a task at the end of the queue.
    pub(crate) fn submit(self: &Arc<Self>, task: Task) -> Ticket {
        let waits = self.implicit_waits().into_iter().map(Task::Wait);
        let mut queue = self.queue.lock();
        for task in waits.chain([task]) {
            queue.tasks.push_back(task);
            queue.submitted += 1;
        }
        let position = queue.submitted;
        drop(queue);
        self.changed.notify_all();
        Ticket { stream: Arc::clone(self), position }
    }

    /// The end of the queue as it is now.
    fn end(self: &Arc<Self>) -> Ticket {
        let position = self.queue.lock().submitted;
        Ticket { stream: Arc::clone(self), position }
    }

    /// What work submitted now must wait for in other streams.
    fn implicit_waits(&self) -> Vec<Ticket> {
        let others = match self.kind {
            Kind::Legacy => Kind::Blocking,
            Kind::Blocking => Kind::Legacy,
            Kind::NonBlocking => return Vec::new(),
        };
        let streams = self.context.streams.lock().clone();
        let ends = streams.iter().filter(|other| other.kind == others).map(Self::end);
        ends.filter(|end| !end.is_done()).collect()
    }

    /// Whether everything submitted so far has run.
    pub(crate) fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        let is_done = queue.done == queue.submitted;
        drop(queue);
        is_done && (self.kind != Kind::Legacy || self.implicit_waits().is_empty())
    }

    /// Waits until everything submitted so far has run.
    pub(crate) fn wait(&self) {
        if self.kind == Kind::Legacy {
            self.implicit_waits().iter().for_each(Ticket::wait);
        }
        let position = self.queue.lock().submitted;
        self.wait_for(position);
    }

    fn wait_for(&self, position: u64) {
        let mut queue = self.queue.lock();
        self.changed.wait_while(&mut queue, |queue| queue.done < position);
    }

    /// Lets the thread end when the queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// The life of the thread.
    fn run(self: &Arc<Self>) {
        while let Some(task) = self.next() {
            task.perform(&self.context);
            self.queue.lock().done += 1;
            self.changed.notify_all();
        }
        self.context.streams.lock().retain(|other| !Arc::ptr_eq(other, self));
    }

    /// Waits for a task; none when the stream is closed.
    fn next(&self) -> Option<Task> {
        let is_waiting = |queue: &mut Queue| queue.tasks.is_empty() && !queue.is_closing;
        let mut queue = self.queue.lock();
        self.changed.wait_while(&mut queue, is_waiting);
        queue.tasks.pop_front()
    }
}
