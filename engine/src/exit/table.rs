//! The table through which thresholds and active ramps reach the executor. It takes one snapshot a
//! pass; publishing never waits for it, and it never waits for a publication.

use super::seqlock::{Reader, Writer, seqlock};
use super::{Exits, OFF};
use crate::error::{Error, Result};

/// The control thread's end: the only one who publishes.
pub struct Publisher {
    writer: Writer,
    ramps: usize,
    version: u64,
}

/// The executor's end.
pub struct Subscriber {
    reader: Reader,
    exits: Exits,
    /// Version of the exits that the table began with.
    first: u64,
}

/// A table that begins with `exits`.
pub fn threshold_table(exits: &Exits) -> (Publisher, Subscriber) {
    let ramps = exits.active.len();
    let (writer, reader) =
        seqlock(&words(&exits.thresholds[..ramps], &exits.active).collect::<Vec<_>>());
    let publisher = Publisher { writer, ramps, version: exits.version };
    let first = exits.version;
    (publisher, Subscriber { reader, exits: exits.clone(), first })
}

/// By ramp its threshold, then by ramp whether it runs.
fn words(thresholds: &[f32], active: &[bool]) -> impl Iterator<Item = u32> {
    let thresholds = thresholds.iter().map(|threshold| threshold.to_bits());
    let active = active.iter().map(|&active| u32::from(active));
    thresholds.chain(active)
}

impl Publisher {
    /// Publishes thresholds and activity by ramp; gives the version.
    ///
    /// # Errors
    /// [`Error::Options`] where there are not as many as ramps, or a threshold is neither in [0, 1]
    /// nor [`OFF`]. Nothing is published then.
    pub fn publish(&mut self, thresholds: &[f32], active: &[bool]) -> Result<u64> {
        let fits = |threshold: &f32| (0.0..=1.0).contains(threshold) || *threshold == OFF;
        if thresholds.len() != self.ramps || active.len() != self.ramps {
            let (found, expected) = (thresholds.len().min(active.len()), self.ramps);
            return Err(Error::Options(format!(
                "thresholds of {found} ramps, expected {expected}"
            )));
        }
        if let Some(ramp) = thresholds.iter().position(|threshold| !fits(threshold)) {
            let threshold = thresholds[ramp];
            let message = format!("threshold {threshold} of ramp {ramp} is not in [0, 1]");
            return Err(Error::Options(message));
        }
        self.writer.publish(words(thresholds, active));
        self.version += 1;
        Ok(self.version)
    }
}

impl Subscriber {
    /// Takes what was published last, if that is new; whether it was. Allocates nothing.
    pub fn refresh(&mut self) -> bool {
        if !self.reader.refresh() {
            return false;
        }
        let ramps = self.exits.active.len();
        let words = self.reader.words();
        let (thresholds, active) = words.split_at(ramps);
        let own = self.exits.thresholds.iter_mut();
        own.zip(thresholds).for_each(|(own, &new)| *own = f32::from_bits(new));
        self.exits.active.iter_mut().zip(active).for_each(|(own, &new)| *own = new == 1);
        self.exits.version = self.first + self.reader.version();
        true
    }

    /// The snapshot for a pass.
    pub fn exits(&self) -> &Exits {
        &self.exits
    }
}

#[cfg(test)]
mod tests {
    use offramp_kernels::Score;

    use super::*;

    fn exits() -> Exits {
        let (thresholds, active) = (vec![0.5, OFF, 0.0], vec![true, false]);
        Exits { version: 7, score: Score::Confidence, thresholds, active }
    }

    #[test]
    fn what_is_published_arrives_with_its_version() {
        let (mut publisher, mut subscriber) = threshold_table(&exits());
        assert!(!subscriber.refresh());
        assert_eq!(subscriber.exits(), &exits());
        assert_eq!(publisher.publish(&[0.25, 0.75], &[true, true]).unwrap(), 8);
        assert_eq!(publisher.publish(&[OFF, 0.75], &[false, true]).unwrap(), 9);
        assert!(subscriber.refresh() && !subscriber.refresh());
        assert_eq!(subscriber.exits().thresholds, [OFF, 0.75, 0.0]);
        assert_eq!(subscriber.exits().active, [false, true]);
        assert_eq!(subscriber.exits().version, 9);
    }

    #[test]
    fn unfit_sets_are_refused_and_not_published() {
        let (mut publisher, mut subscriber) = threshold_table(&exits());
        for thresholds in [&[0.5][..], &[0.5, f32::NAN], &[0.5, 1.5], &[-0.1, 0.5]] {
            assert!(publisher.publish(thresholds, &vec![true; thresholds.len()]).is_err());
        }
        assert!(!subscriber.refresh());
    }
}
