//! Lets connections in, a bounded number at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Wait after an accept that failed: descriptors may have run out.
const PAUSE: Duration = Duration::from_millis(50);

/// A port with so many places; beyond, clients wait to be accepted.
pub(super) struct Port {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection, and the place it holds.
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    pub(super) client: SocketAddr,
    pub(super) place: OwnedSemaphorePermit,
}

impl Port {
    pub(super) fn new(listener: TcpListener, connections_max: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)) }
    }

    /// The next connection, once there is a place for it.
    pub(super) async fn accept(&self) -> Guest {
        let place = self.places.clone().acquire_owned().await;
        let place = place.expect("invariant: nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => return Guest { stream, client, place },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
