//! Versions of exits over reloads: the upper half is the reload's own number, the lower half counts
//! what adapting publishes.

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Bits of the lower half.
const LOWER: u32 = 32;

/// Gives versions out, and sees to it that those that are served rise.
pub(crate) struct Versions(Mutex<Numbers>);

/// Numbers of reloads.
struct Numbers {
    /// The last that was given out.
    given: u64,
    /// The last that was taken into service.
    served: u64,
}

impl Versions {
    /// `version` is served.
    pub(crate) fn new(version: u64) -> Self {
        let served = version >> LOWER;
        Self(Mutex::new(Numbers { given: served, served }))
    }

    /// Above all that were given out or served.
    pub(crate) fn next(&self) -> u64 {
        let mut numbers = self.0.lock();
        numbers.given += 1;
        numbers.given << LOWER
    }

    /// Takes exits that begin with `version` into service, one reload after the other.
    ///
    /// # Errors
    /// A reload of this number, or of a later one, was taken before.
    pub(crate) fn follow(&self, version: u64, take: impl FnOnce()) -> Result<()> {
        let mut numbers = self.0.lock();
        let served = numbers.served;
        if version >> LOWER <= served {
            let least = (served + 1) << LOWER;
            return Err(Error::Options(format!(
                "exits of version {version}, expected {least} at least: a later reload was taken \
                 before, or the version is not of next_version"
            )));
        }
        numbers.served = version >> LOWER;
        numbers.given = numbers.given.max(numbers.served);
        take();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reloads_has_a_version_of_its_own_and_versions_rise() {
        let versions = Versions::new(7);
        let (first, second) = (versions.next(), versions.next());
        assert_eq!((first, second), (1 << 32, 2 << 32));
        let mut taken = Vec::new();
        for version in [second, first, second, second + 1, versions.next()] {
            let _ = versions.follow(version, || taken.push(version));
        }
        assert_eq!(taken, [2 << 32, 3 << 32], "the earlier one came too late");
        let error = versions.follow(5, || ()).unwrap_err().to_string();
        assert!(error.contains("version 5, expected 17179869184 at least"), "{error}");
        versions.follow(9 << 32, || ()).unwrap();
        assert_eq!(versions.next(), 10 << 32, "above all that were served");
    }
}
