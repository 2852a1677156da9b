//! Many questions at once to the less busy of several servers, again where that makes sense.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use offramp_protocol::{Infer, InferOptions, Input, Verdict};
use parking_lot::Mutex;
use tokio::time::{sleep_until, timeout};

use crate::retry::{Question, rest_after, two_of};
use crate::{ClientError, RetryOptions, SharedConnection};

/// A client of one or more servers of the same model, for any number of tasks.
///
/// Of two drawn at random the one that rests less, then the one with fewer requests in flight, is
/// asked (Mitzenmacher, 2001). Each server has one [`SharedConnection`], made when it is first
/// needed and again when it broke.
pub struct BalancedClient {
    servers: Vec<Server>,
    options: RetryOptions,
    rng: Mutex<fastrand::Rng>,
}

struct Server {
    address: String,
    connection: tokio::sync::Mutex<Option<Arc<SharedConnection>>>,
    in_flight: AtomicUsize,
    rest_until: Mutex<Instant>,
}

impl BalancedClient {
    /// Of servers at `host:port` each.
    ///
    /// # Panics
    /// There is no address.
    pub fn new<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: RetryOptions,
    ) -> Self {
        let server = |address: A| Server {
            address: address.into(),
            connection: tokio::sync::Mutex::new(None),
            in_flight: AtomicUsize::new(0),
            rest_until: Mutex::new(Instant::now()),
        };
        let servers: Vec<Server> = addresses.into_iter().map(server).collect();
        assert!(!servers.is_empty(), "a client needs an address");
        Self { servers, options, rng: Mutex::new(fastrand::Rng::with_seed(options.seed)) }
    }

    /// The answer to one input; in two phases the last one.
    ///
    /// # Errors
    /// What the last try said; [`ClientError::Io`] where a reply took too long.
    pub async fn classify(
        &self,
        input: &Input<'_>,
        options: InferOptions,
    ) -> Result<Verdict, ClientError> {
        let mut question = Question::new(input, options);
        loop {
            let server = self.choose();
            let infer = question.ask(server.rest_until())?;
            match server.classify(infer, self.options).await {
                Err(error) if error.is_worth_a_retry() && question.tried < self.options.tries => {
                    server.rest(&error);
                    question.failed = Some(error);
                }
                result => return result,
            }
        }
    }

    fn choose(&self) -> &Server {
        let mut rng = self.rng.lock();
        let (one, other) = two_of(self.servers.len(), &mut rng);
        let now = Instant::now();
        let load = |index: usize| {
            let server = &self.servers[index];
            (server.rest_until().max(now), server.in_flight.load(Ordering::Relaxed))
        };
        &self.servers[if load(other) < load(one) { other } else { one }]
    }
}

impl Server {
    async fn classify(
        &self,
        infer: &Infer<'_>,
        options: RetryOptions,
    ) -> Result<Verdict, ClientError> {
        let _counted = InFlight::on(&self.in_flight);
        sleep_until(self.rest_until().into()).await;
        let connection = timeout(options.timeout, self.connection()).await;
        let connection = connection.map_err(|_| self.too_late())??;
        let asked = timeout(options.timeout, connection.classify(infer)).await;
        let result = asked.unwrap_or_else(|_| Err(self.too_late()));
        if result.as_ref().is_err_and(ClientError::ends_connection) {
            self.leave(&connection).await;
        }
        result
    }

    fn too_late(&self) -> ClientError {
        let source = std::io::ErrorKind::TimedOut.into();
        ClientError::Io { address: self.address.clone(), source }
    }

    async fn connection(&self) -> Result<Arc<SharedConnection>, ClientError> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_broken()) {
            return Ok(open.clone());
        }
        let open = Arc::new(SharedConnection::open(&self.address).await?);
        *connection = Some(open.clone());
        Ok(open)
    }

    /// Others may still wait on it; nobody else will.
    async fn leave(&self, left: &Arc<SharedConnection>) {
        let mut connection = self.connection.lock().await;
        if connection.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, left)) {
            *connection = None;
        }
    }

    fn rest_until(&self) -> Instant {
        *self.rest_until.lock()
    }

    fn rest(&self, error: &ClientError) {
        let until = Instant::now() + rest_after(error);
        *self.rest_until.lock() = until;
    }
}

/// Counts while it lives, also where its future is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
