//! A connection that is made again when it breaks, for as long as there is hope.

use std::time::{Duration, Instant};

use offramp_client::{Connection, Receiver, Sender};

use crate::failure::{Failure, Result};

/// Longest wait for a reply.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to connect, at first and at most.
const WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Without a connection for so long, nothing more is tried.
const HOPE: Duration = Duration::from_secs(10);

/// So many connections, each for a thread that sends and one that receives.
pub(super) fn open(
    address: &str,
    connections: usize,
    patience: Duration,
) -> Result<Vec<(Sender, Receiver)>> {
    let opened: Result<Vec<_>, _> =
        (0..connections).map(|_| Connection::open(address, Some(patience))).collect();
    let opened = opened.map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(opened.into_iter().map(Connection::split).collect())
}

/// Tries to connect again: with growing waits, and not for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    broke: Instant,
    next: Instant,
    wait: Duration,
}

impl Again {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { broke: now, next: now, wait: WAIT }
    }

    /// Whether it has been long enough.
    pub(super) fn is_hopeless(&self) -> bool {
        self.broke.elapsed() >= HOPE
    }

    /// Until the next try.
    pub(super) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// A connection, where it is time for a try and that succeeds.
    pub(super) fn connect(
        &mut self,
        address: &str,
        patience: Duration,
    ) -> Option<(Sender, Receiver)> {
        if !self.pause().is_zero() {
            return None;
        }
        let opened = Connection::open(address, Some(patience)).ok();
        (self.next, self.wait) = (Instant::now() + self.wait, (2 * self.wait).min(WAIT_MAX));
        opened.map(Connection::split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spaced_and_bounded() {
        // A port that was free a moment ago: nobody listens.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut again = Again::new();
        for wait in [WAIT, 2 * WAIT, 4 * WAIT] {
            again.next = Instant::now();
            assert!(again.connect(&port.to_string(), PATIENCE).is_none());
            assert!(again.pause() <= wait && again.pause() > wait / 2, "{again:?}");
        }
        (0..9).for_each(|_| again.wait = (2 * again.wait).min(WAIT_MAX));
        assert_eq!(again.wait, WAIT_MAX);
        assert!(!again.is_hopeless());
        again.broke = again.broke.checked_sub(HOPE).unwrap();
        assert!(again.is_hopeless());
    }
}
