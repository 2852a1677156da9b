//! The control thread: learns, decides, publishes, writes down.

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Adapted;
use super::journal::{Entry, Journal};
use crate::error::{Error, Result};
use crate::exit::Publisher;
use crate::feedback::FeedbackReader;
use crate::tune::{Change, Controller};

/// It looks at least this often, also if nobody wakes it.
const NAP: Duration = Duration::from_millis(20);

/// A running control thread.
pub(super) struct Control {
    thread: JoinHandle<Result<Adapted>>,
}

impl Control {
    pub(super) fn start(
        controller: Controller,
        publisher: Publisher,
        reader: FeedbackReader,
        journal: Option<Journal>,
    ) -> Result<Self> {
        let mut work =
            Work { controller, publisher, reader, journal, failed: None, done: Adapted::default() };
        let thread = Builder::new().name("offramp-control".to_owned()).spawn(move || work.run());
        let failed = |error| Error::Options(format!("no control thread: {error}"));
        Ok(Self { thread: thread.map_err(failed)? })
    }

    /// Rows have arrived.
    pub(super) fn wake(&self) {
        self.thread.thread().unpark();
    }

    /// Whether it has ended before its time.
    pub(super) fn is_lost(&self) -> bool {
        self.thread.is_finished()
    }

    pub(super) fn finish(self) -> Result<Adapted> {
        self.wake();
        self.thread.join().unwrap_or(Err(Error::ControlLost))
    }
}

struct Work {
    controller: Controller,
    publisher: Publisher,
    reader: FeedbackReader,
    journal: Option<Journal>,
    /// Why it goes on without a journal.
    failed: Option<Error>,
    done: Adapted,
}

impl Work {
    /// Until the executor's end of the ring is gone and all rows are read. A journal that cannot be
    /// written is no reason to let thresholds be: that is told at the end.
    fn run(&mut self) -> Result<Adapted> {
        loop {
            let is_last = self.reader.is_abandoned();
            self.learn()?;
            if is_last {
                return self.failed.take().map_or(Ok(self.done), Err);
            }
            std::thread::park_timeout(NAP);
        }
    }

    fn learn(&mut self) -> Result<()> {
        let rows: Vec<_> = std::iter::from_fn(|| self.reader.pop()).collect();
        self.done.rows += rows.len() as u64;
        self.done.lost_rows = self.reader.lost();
        if rows.is_empty() {
            return Ok(());
        }
        let Some(change) = self.controller.step(rows) else { return Ok(()) };
        let Change { thresholds, active, .. } = &change;
        let version = self.publisher.publish(thresholds, active)?;
        self.done.changes += 1;
        let entry = Entry::of(&change, version, self.done);
        let written = self.journal.as_mut().map_or(Ok(()), |journal| journal.write(&entry));
        if let Err(error) = written {
            (self.journal, self.failed) = (None, Some(error));
        }
        Ok(())
    }
}
