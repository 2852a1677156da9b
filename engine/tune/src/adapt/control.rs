//! The control thread: learns, decides, publishes, writes down.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle, Thread, park};

use offramp::Publisher;

use super::Adapted;
use super::journal::{Entry, Line};
use super::scribe::Scribe;
use super::standing::Standing;
use crate::error::{Error, Result};
use crate::feedback::FeedbackReader;
use crate::{Change, Controller};

/// A running control thread. It looks when it is woken, and once more when this is dropped: whoever
/// drops its end of the ring first so ends it.
pub(super) struct Control {
    thread: JoinHandle<Result<Ended>>,
    waker: Waker,
}

/// Wakes the thread, its drop too.
struct Waker(Thread);

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

/// Held by the thread: says that it has ended, in whatever way.
struct Ending(Arc<Standing>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
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
        Ok(Self::of(thread.map_err(Error::Thread)?))
    }

    fn of(thread: JoinHandle<Result<Ended>>) -> Self {
        Self { waker: Waker(thread.thread().clone()), thread }
    }

    /// One whose thread has panicked.
    #[cfg(feature = "test-util")]
    pub(super) fn lost() -> Self {
        let panic = || panic!("as a control thread with a defect would");
        let thread = Builder::new().spawn(panic);
        Self::of(thread.expect("invariant: a test can start a thread"))
    }

    /// Rows have arrived.
    pub(super) fn wake(&self) {
        self.waker.0.unpark();
    }

    pub(super) fn finish(self) -> Result<Ended> {
        let Self { thread, waker } = self;
        drop(waker);
        thread.join().unwrap_or(Err(Error::ControlLost))
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
        let _ending = Ending(self.standing.clone());
        loop {
            let is_last = self.reader.is_abandoned();
            self.learn()?;
            if is_last {
                return Ok((self.done, self.journal.and_then(Scribe::end)));
            }
            park();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offramp::{Exits, OFF, Observation, RowSlot, Score, Seen, threshold_table};

    use super::*;
    use crate::feedback::ring;
    use crate::search::Greedy;
    use crate::{Goal, Latency, Tuner, TunerOptions};

    fn controller() -> Controller {
        let latency = Latency::even(&[0]);
        let search = Box::new(Greedy::default());
        let tuner = Tuner::new(TunerOptions::default(), search, &latency, vec![true], vec![OFF]);
        Controller::new(tuner, None, latency)
    }

    #[test]
    fn it_learns_when_it_is_woken_and_ends_when_it_is_dropped() {
        let (version, score) = (0, Score::Confidence);
        let exits = Exits { version, score, thresholds: vec![OFF, 0.0], active: vec![true] };
        let (publisher, _subscriber) = threshold_table(&exits);
        let (mut feedback, reader) = ring(1, 4);
        let (standing, news) = Standing::new(Goal::default());
        let standing = Arc::new(standing);
        let control = Control::start(controller(), publisher, reader, None, standing.clone());
        let control = control.unwrap();
        let seen = [Seen { ramp: 0, label: 0, score: 0.5 }];
        let slot = RowSlot(0);
        let row = Observation {
            row: 0,
            slot,
            seen: &seen,
            exit: 1,
            final_label: Some(0),
            is_sample: true,
            version,
        };
        feedback.push(&row, 1);
        control.wake();
        news.recv_timeout(Duration::from_secs(20)).expect("it has learnt");
        assert!(!standing.has_ended());
        drop(feedback);
        drop(control);
        news.recv_timeout(Duration::from_secs(20)).expect("it has ended");
        assert!(standing.has_ended());
    }
}
