//! Serving over TCP.
//!
//! ```text
//! tokio "offramp-io"                           executor "offramp-executor"
//! ──────────────────                           ───────────────────────────
//! session: bytes ─► frames ─► tokens ─► inbox (bounded) ──► Batcher::next ─► Engine::run
//!          bytes ◄── writer ◄── replies ◄─────────────────── Sink::answer, as soon as known
//! http:    /healthz /readyz /metrics
//! ```
//!
//! The executor never waits for a client: replies of a connection are bounded by the requests it
//! may have in flight, and a request counts as in flight until its reply has been written.

mod accept;
mod door;
mod executor;
mod http;
mod inbox;
mod metrics;
mod orders;
pub mod protocol;
mod request;
mod server;
mod session;
mod state;
mod sync;

pub use executor::Exiting;
pub use orders::{Ask, Order};
pub use server::{Served, Server};
pub use state::{Life, ServeOptions, SessionLimits};
