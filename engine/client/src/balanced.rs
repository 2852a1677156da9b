//! Many questions at once to the less busy of several servers, again where that makes sense.

use std::sync::Arc;

use offramp_protocol::{Infer, InferOptions, Input, Verdict};
use tokio::sync::Mutex;
use tokio::time::{sleep_until, timeout};

use crate::retry::Question;
use crate::servers::{Server, Servers};
use crate::{ClientError, RetryOptions, SharedConnection};

/// A client of one or more servers of the same model, for any number of tasks.
///
/// Of two drawn at random the one that rests less, then the one with fewer requests in flight, is
/// asked (Mitzenmacher, 2001). Each server has one [`SharedConnection`], made when it is first
/// needed and again when it broke.
pub struct BalancedClient {
    servers: Servers<Shared>,
    options: RetryOptions,
}

/// None before it is needed.
type Shared = Mutex<Option<Arc<SharedConnection>>>;

impl BalancedClient {
    /// Of servers at `host:port` each.
    ///
    /// # Panics
    /// There is no address.
    pub fn new<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: RetryOptions,
    ) -> Self {
        Self { servers: Servers::new(addresses, options.seed), options }
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
            let server = self.servers.choose();
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
}

impl Server<Shared> {
    async fn classify(
        &self,
        infer: &Infer<'_>,
        options: RetryOptions,
    ) -> Result<Verdict, ClientError> {
        let _counted = self.in_flight();
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
}
