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
        let mut work = Work { controller, publisher, reader, journal, done: Adapted::default() };
        let thread = Builder::new().name("offramp-control".to_owned()).spawn(move || work.run());
        let failed = |error| Error::Options(format!("no control thread: {error}"));
        Ok(Self { thread: thread.map_err(failed)? })
    }

    /// Rows have arrived.
    pub(super) fn wake(&self) {
        self.thread.thread().unpark();
    }

    pub(super) fn finish(self) -> Result<Adapted> {
        self.wake();
        let failed = |_| Err(Error::Options("the control thread failed".to_owned()));
        self.thread.join().unwrap_or_else(failed)
    }
}

struct Work {
    controller: Controller,
    publisher: Publisher,
    reader: FeedbackReader,
    journal: Option<Journal>,
    done: Adapted,
}

impl Work {
    /// Until the executor's end of the ring is gone and all rows are read.
    fn run(&mut self) -> Result<Adapted> {
        loop {
            let is_last = self.reader.is_abandoned();
            self.learn()?;
            if is_last {
                return Ok(self.done);
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
        if let Some(journal) = &mut self.journal {
            let entry = Entry::of(&change, version, self.done);
            journal.write(&entry)?;
        }
        Ok(())
    }
}
