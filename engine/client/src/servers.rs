//! Servers of the same model: which is asked next, and which are left alone for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offramp_protocol::Status;
use parking_lot::Mutex;

use crate::ClientError;

/// Rest of a server that could not be reached.
const BROKEN_REST: Duration = Duration::from_millis(100);

/// One or more servers, each with what its client keeps as a connection.
pub(crate) struct Servers<C> {
    servers: Vec<Server<C>>,
    rng: Mutex<fastrand::Rng>,
}

/// One of them.
pub(crate) struct Server<C> {
    pub(crate) address: String,
    pub(crate) connection: C,
    in_flight: AtomicUsize,
    rest_until: Mutex<Instant>,
}

impl<C: Default> Servers<C> {
    /// At `host:port` each, drawn by this seed.
    ///
    /// # Panics
    /// There is no address.
    pub(crate) fn new<A: Into<String>>(addresses: impl IntoIterator<Item = A>, seed: u64) -> Self {
        let server = |address: A| Server {
            address: address.into(),
            connection: C::default(),
            in_flight: AtomicUsize::new(0),
            rest_until: Mutex::new(Instant::now()),
        };
        let servers: Vec<Server<C>> = addresses.into_iter().map(server).collect();
        assert!(!servers.is_empty(), "a client needs an address");
        Self { servers, rng: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }
}

impl<C> Servers<C> {
    /// Of two drawn at random the one that rests less, then the one with fewer requests in flight
    /// (Mitzenmacher, 2001).
    pub(crate) fn choose(&self) -> &Server<C> {
        let (one, other) = two_of(self.servers.len(), &mut self.rng.lock());
        let now = Instant::now();
        let load = |index: usize| {
            let server = &self.servers[index];
            (server.rest_until().max(now), server.in_flight.load(Ordering::Relaxed))
        };
        &self.servers[if load(other) < load(one) { other } else { one }]
    }
}

impl<C> Server<C> {
    /// When it may be asked again.
    pub(crate) fn rest_until(&self) -> Instant {
        *self.rest_until.lock()
    }

    /// Leaves it alone for as long as it has said.
    pub(crate) fn rest(&self, error: &ClientError) {
        *self.rest_until.lock() = Instant::now() + rest_after(error);
    }

    /// A request of it is in flight until this is dropped.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }
}

/// Counts while it lives, also where its future is dropped.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Two different ones, where there are two.
fn two_of(count: usize, rng: &mut fastrand::Rng) -> (usize, usize) {
    let one = rng.usize(..count);
    let other = if count > 1 { one + 1 + rng.usize(..count - 1) } else { one };
    (one, other % count)
}

/// How long a server is left alone that has said so.
fn rest_after(error: &ClientError) -> Duration {
    match error {
        ClientError::Failure(failure) if failure.status == Status::Overloaded => {
            Duration::from_millis(u64::from(failure.retry_after_ms))
        }
        _ => BROKEN_REST,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use offramp_protocol::Failure;

    use super::*;

    /// How often each is chosen of a hundred times.
    fn chosen(servers: &Servers<()>) -> BTreeMap<&str, usize> {
        let mut times = BTreeMap::new();
        for _ in 0..100 {
            *times.entry(servers.choose().address.as_str()).or_default() += 1;
        }
        times
    }

    #[test]
    fn who_rests_or_is_busy_is_asked_only_beside_others_like_it() {
        let servers = Servers::<()>::new(["a", "b"], 7);
        assert!(chosen(&servers).values().all(|&times| times > 20));
        let busy = servers.servers[0].in_flight();
        assert_eq!(chosen(&servers), BTreeMap::from([("b", 100)]));
        let mut failure = Failure::new(Status::Overloaded, "later");
        failure.retry_after_ms = 60_000;
        servers.servers[1].rest(&ClientError::Failure(failure));
        assert_eq!(chosen(&servers), BTreeMap::from([("a", 100)]), "rest counts before work");
        drop(busy);
        assert_eq!(servers.servers[0].in_flight.load(Ordering::Relaxed), 0);
    }
}
