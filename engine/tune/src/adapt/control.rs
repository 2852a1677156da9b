//! The control thread: learns, decides, publishes, writes down.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use offramp::Publisher;

use super::Adapted;
use super::journal::{Entry, Line};
use super::scribe::Scribe;
use super::standing::Standing;
use crate::error::{Error, Result};
use crate::feedback::FeedbackReader;
use crate::{Change, Controller};

/// It looks at least this often, also if nobody wakes it.
const NAP: Duration = Duration::from_millis(20);

/// A running control thread.
pub(super) struct Control {
    thread: JoinHandle<Result<Ended>>,
}

/// What it did, and what is wrong with the journal.
pub(super) type Ended = (Adapted, Option<Error>);

impl Control {
    pub(super) fn start(
        controller: Controller,
        publisher: Publisher,
        reader: FeedbackReader,
        journal: Option<Scribe>,
        standing: Arc<Standing>,
    ) -> Result<Self> {
        let done = Adapted::default();
        let work = Work { controller, publisher, reader, journal, standing, done };
        let thread = Builder::new().name("offramp-control".to_owned()).spawn(move || work.run());
        Ok(Self { thread: thread.map_err(Error::Thread)? })
    }

    /// One whose thread has panicked.
    #[cfg(feature = "test-util")]
    pub(super) fn lost() -> Self {
        let panic = || panic!("as a control thread with a defect would");
        let thread = Builder::new().spawn(panic);
        Self { thread: thread.expect("invariant: a test can start a thread") }
    }

    /// Rows have arrived.
    pub(super) fn wake(&self) {
        self.thread.thread().unpark();
    }

    /// Whether it has ended before its time.
    pub(super) fn is_lost(&self) -> bool {
        self.thread.is_finished()
    }

    pub(super) fn finish(self) -> Result<Ended> {
        self.wake();
        self.thread.join().unwrap_or(Err(Error::ControlLost))
    }
}

struct Work {
    controller: Controller,
    publisher: Publisher,
    reader: FeedbackReader,
    journal: Option<Scribe>,
    standing: Arc<Standing>,
    done: Adapted,
}

impl Work {
    /// Until the executor's end of the ring is gone and all rows are read. A journal that cannot be
    /// written is no reason to let thresholds be: lines that are lost are counted.
    fn run(mut self) -> Result<Ended> {
        loop {
            let is_last = self.reader.is_abandoned();
            self.learn()?;
            if is_last {
                return Ok((self.done, self.journal.and_then(Scribe::end)));
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
        let change = self.controller.step(rows);
        self.standing.set_evidence(self.controller.evidence());
        let Some(change) = change else { return Ok(()) };
        let Change { thresholds, active, .. } = &change;
        let version = self.publisher.publish(thresholds, active)?;
        self.done.changes += 1;
        let entry = Entry::of(&change, version, self.done);
        if let Some(journal) = &self.journal {
            journal.write(Line::of(&entry));
        }
        Ok(())
    }
}
