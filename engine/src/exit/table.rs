//! The table through which thresholds, active ramps and the audit rate reach the executor. It takes
//! one snapshot a pass; publishing never waits for it, and it never waits for a publication.

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
    audit_rate: f64,
    /// Version of the exits that the table began with.
    first: u64,
}

/// A table that begins with `exits`.
pub fn threshold_table(exits: &Exits, audit_rate: f64) -> (Publisher, Subscriber) {
    let ramps = exits.active.len();
    let (writer, reader) =
        seqlock(&words(&exits.thresholds[..ramps], &exits.active, audit_rate).collect::<Vec<_>>());
    let publisher = Publisher { writer, ramps, version: exits.version };
    let first = exits.version;
    (publisher, Subscriber { reader, exits: exits.clone(), audit_rate, first })
}

/// By ramp its threshold and whether it runs; last the audit rate.
fn words(thresholds: &[f32], active: &[bool], audit_rate: f64) -> impl Iterator<Item = u32> {
    let thresholds = thresholds.iter().map(|threshold| threshold.to_bits());
    let active = active.iter().map(|&active| u32::from(active));
    thresholds.chain(active).chain([(audit_rate as f32).to_bits()])
}

impl Publisher {
    /// Publishes thresholds and activity by ramp, and the share of rows to be audited; gives the
    /// version.
    ///
    /// # Errors
    /// [`Error::Options`] where there are not as many as ramps, or a threshold is neither in [0, 1]
    /// nor [`OFF`], or the rate is not in [0, 1]. Nothing is published then.
    pub fn publish(&mut self, thresholds: &[f32], active: &[bool], audit_rate: f64) -> Result<u64> {
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
        if !(0.0..=1.0).contains(&audit_rate) {
            return Err(Error::Options(format!("audit rate {audit_rate} is not in [0, 1]")));
        }
        self.writer.publish(words(thresholds, active, audit_rate));
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
        let bits = |bits: &u32| f32::from_bits(*bits);
        let (thresholds, rest) = words.split_at(ramps);
        self.exits.thresholds.iter_mut().zip(thresholds).for_each(|(own, new)| *own = bits(new));
        self.exits.active.iter_mut().zip(rest).for_each(|(own, &new)| *own = new == 1);
        self.audit_rate = rest.last().map_or(0.0, |rate| f64::from(bits(rate)));
        self.exits.version = self.first + self.reader.version();
        true
    }

    /// The snapshot for a pass.
    pub fn exits(&self) -> &Exits {
        &self.exits
    }

    /// Share of rows to be audited under compaction.
    pub fn audit_rate(&self) -> f64 {
        self.audit_rate
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
        let (mut publisher, mut subscriber) = threshold_table(&exits(), 0.05);
        assert!(!subscriber.refresh());
        assert_eq!(subscriber.exits(), &exits());
        assert_eq!(publisher.publish(&[0.25, 0.75], &[true, true], 0.5).unwrap(), 8);
        assert_eq!(publisher.publish(&[OFF, 0.75], &[false, true], 0.25).unwrap(), 9);
        assert!(subscriber.refresh() && !subscriber.refresh());
        assert_eq!(subscriber.exits().thresholds, [OFF, 0.75, 0.0]);
        assert_eq!(subscriber.exits().active, [false, true]);
        assert_eq!((subscriber.exits().version, subscriber.audit_rate()), (9, 0.25));
    }

    #[test]
    fn unfit_sets_are_refused_and_not_published() {
        let (mut publisher, mut subscriber) = threshold_table(&exits(), 0.0);
        let mut refused = |thresholds: &[f32], rate| {
            publisher.publish(thresholds, &vec![true; thresholds.len()], rate).unwrap_err()
        };
        for thresholds in [&[0.5][..], &[0.5, f32::NAN], &[0.5, 1.5], &[-0.1, 0.5]] {
            refused(thresholds, 0.1);
        }
        assert!(refused(&[0.5, 0.5], f64::NAN).to_string().contains("audit rate"));
        assert!(!subscriber.refresh());
    }
}
