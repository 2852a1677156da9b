//! Lets connections in, a bounded number at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offramp::clock;
use prometheus::IntCounter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::service::Seldom;

/// Wait after an accept that failed: descriptors may have run out.
const PAUSE: Duration = Duration::from_millis(50);

/// A port with so many places; beyond, clients wait to be accepted.
pub(crate) struct Port {
    listener: TcpListener,
    places: Arc<Semaphore>,
    failures: IntCounter,
    warnings: Seldom,
}

/// A connection, and the place it holds.
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) client: SocketAddr,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Port {
    pub(crate) fn new(listener: TcpListener, connections_max: usize, failures: IntCounter) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { listener, places, failures, warnings: Seldom::default() }
    }

    /// The next connection, once there is a place for it.
    pub(crate) async fn accept(&mut self) -> Guest {
        let place = self.places.clone().acquire_owned().await;
        let place = place.expect("invariant: nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => return Guest { stream, client, place },
                Err(error) => {
                    self.failures.inc();
                    if let Some(more) = self.warnings.is_due(clock::now()) {
                        tracing::warn!(%error, more, "a connection could not be accepted");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
