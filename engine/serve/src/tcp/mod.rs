//! A service behind a TCP port. `PROTOCOL.md` says what goes over the wire.
//!
//! ```text
//! session: bytes ─► frames ─► Infer ──► service
//!          bytes ◄── writer ◄── Reply ◄──┘
//! http:    /healthz /readyz /metrics
//! ```
//!
//! The executor never waits for a client: the replies of a connection are bounded in bytes and by
//! the requests it may have in flight, each until its last reply has been written.

mod accept;
mod http;
mod options;
mod orders;
mod outbox;
mod ports;
mod request;
mod server;
mod session;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use offramp_tune::adapt::Adapted;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use http::serve_health;
pub use options::{ConnectionOptions, ServeOptions, SessionLimits};
pub use orders::{Ask, Order};
pub use ports::Ports;
pub use server::Server;

use crate::error::Result;
use crate::service::{Part, Service};
use accept::{Guest, Port};
use shared::Shared;

/// At the end, time for replies that are ready.
const LAST_REPLIES: Duration = Duration::from_secs(1);

/// Serves on the caller's listener and runtime until `shutdown` is ready, then takes nothing new,
/// answers what was accepted, and says what adapting did. A service that has failed, or was told to
/// drain, tells each client so until then: [`Handle::left`](crate::Handle::left) is ready once it
/// is of no more use.
///
/// Dropped, it ends the service, and its connections with what was answered by then.
///
/// # Errors
/// At once for options that cannot work; else as [`Service::drain`].
pub async fn serve(
    listener: TcpListener,
    service: Service,
    options: &ConnectionOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Adapted>> {
    options.check()?;
    let state = service.handle().state;
    let failures = state.metrics.losses.accepts("protocol");
    let port = Port::new(listener, options.connections_max, failures);
    let sessions = Sessions::new(Arc::new(Shared::new(state.clone(), options)));
    let draining = async {
        shutdown.await;
        service.drain().await
    };
    let ended = tokio::select! {
        ended = draining => ended,
        never = sessions.accept(port) => match never {},
    };
    // Every request has its end by now: sessions have only to write.
    sessions.end(state.drain_left().max(LAST_REPLIES)).await;
    ended
}

/// The connections of a listener.
struct Sessions {
    shared: Arc<Shared>,
    running: TaskTracker,
    ending: CancellationToken,
    /// They end with whoever serves them.
    _ends: DropGuard,
}

impl Sessions {
    fn new(shared: Arc<Shared>) -> Self {
        let ending = CancellationToken::new();
        let _ends = ending.clone().drop_guard();
        Self { shared, running: TaskTracker::new(), ending, _ends }
    }

    async fn accept(&self, mut port: Port) -> std::convert::Infallible {
        let _part = Part::vital(&self.shared.state, "accept loop");
        loop {
            let guest = port.accept().await;
            self.running.spawn(session(guest, self.shared.clone(), self.ending.clone()));
        }
    }

    /// Waits until all that is ready is written, if that does not take too long.
    async fn end(self, within: Duration) {
        self.ending.cancel();
        self.running.close();
        let _ = timeout(within, self.running.wait()).await;
    }
}

async fn session(guest: Guest, shared: Arc<Shared>, ending: CancellationToken) {
    let Guest { stream, client, place } = guest;
    let _part = Part::of_many(&shared.state, "session");
    tracing::debug!(%client, "connected");
    session::serve(stream, shared.clone(), ending.cancelled()).await;
    tracing::debug!(%client, "disconnected");
    drop(place);
}
