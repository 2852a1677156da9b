//! The bounded way from the executor to the control thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offramp::Observation;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Feedback, words};

/// A ring with room for `rows` rows that saw all of `ramps` ramps.
pub fn ring(ramps: usize, rows: usize) -> (FeedbackWriter, FeedbackReader) {
    let (producer, consumer) = RingBuffer::new(rows.max(1) * words::len(ramps));
    let lost = Arc::new(AtomicU64::new(0));
    let writer = FeedbackWriter { producer, lost: Arc::clone(&lost) };
    (writer, FeedbackReader { consumer, lost, ramps, words: Vec::new() })
}

/// The executor's end.
#[derive(Debug)]
pub struct FeedbackWriter {
    producer: Producer<u32>,
    lost: Arc<AtomicU64>,
}

impl FeedbackWriter {
    /// Sends what a row showed, in a pass of so many rows. Never waits and never allocates: where
    /// there is no room the row is lost, and counted.
    pub fn push(&mut self, observation: &Observation<'_>, pass_rows: u32) {
        match self.producer.write_chunk_uninit(words::len(observation.seen.len())) {
            Ok(chunk) => drop(chunk.fill_from_iter(words::encode(observation, pass_rows))),
            Err(_) => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Rows lost so far for want of room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The control thread's end.
#[derive(Debug)]
pub struct FeedbackReader {
    consumer: Consumer<u32>,
    lost: Arc<AtomicU64>,
    ramps: usize,
    words: Vec<u32>,
}

impl FeedbackReader {
    /// The oldest row that has arrived.
    pub fn pop(&mut self) -> Option<Feedback> {
        let first = *self.consumer.peek().ok()?;
        // Writer and reader agree on the ramps: what was written can be read.
        let len = words::len_of(first, self.ramps).ok()?;
        let chunk = self.consumer.read_chunk(len).ok()?;
        self.words.clear();
        self.words.extend(chunk);
        words::decode(&self.words, self.ramps).ok()
    }

    /// Rows lost so far for want of room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the executor's end is gone.
    pub fn is_abandoned(&self) -> bool {
        self.consumer.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use offramp::RowSlot;

    use super::*;
    use offramp::Seen;

    fn send(writer: &mut FeedbackWriter, version: u64) {
        let seen = [Seen { ramp: (version % 2) as u32, label: version as u32, score: 0.5 }];
        let seen = &seen[..(version % 3).min(1) as usize];
        let slot = RowSlot(0);
        let row = Observation {
            row: 0,
            slot,
            seen,
            exit: 2,
            final_label: None,
            is_sample: false,
            version,
        };
        writer.push(&row, 4);
    }

    #[test]
    fn what_does_not_fit_is_lost_whole_and_counted() {
        let (mut writer, mut reader) = ring(2, 3);
        (0..20).for_each(|version| send(&mut writer, version));
        let arrived: Vec<u64> =
            std::iter::from_fn(|| reader.pop()).map(|row| row.version).collect();
        assert_eq!(arrived, [0, 1, 2, 3]);
        assert_eq!(reader.lost(), 16);
        send(&mut writer, 77);
        assert_eq!(reader.pop().map(|row| row.version), Some(77));
        drop(writer);
        assert!(reader.is_abandoned() && reader.pop().is_none());
    }

    #[test]
    fn between_threads_rows_arrive_in_order_or_are_counted() {
        const SENT: u64 = 30_000;
        let (mut writer, mut reader) = ring(2, 16);
        let send_all = move || (0..SENT).for_each(|version| send(&mut writer, version));
        let sender = std::thread::Builder::new().name("sender".into()).spawn(send_all).unwrap();
        let (mut arrived, mut last) = (0, None);
        while !(reader.is_abandoned() && sender.is_finished()) || arrived + reader.lost() < SENT {
            let Some(row) = reader.pop() else { continue };
            assert!(last < Some(row.version));
            let expected = (row.version % 3).min(1) as usize;
            assert!(row.seen.len() == expected, "torn: {row:?}");
            assert!(row.seen.iter().all(|seen| u64::from(seen.label) == row.version));
            (arrived, last) = (arrived + 1, Some(row.version));
        }
        sender.join().unwrap();
        assert_eq!(arrived + reader.lost(), SENT);
        assert!(arrived > 0);
    }
}
