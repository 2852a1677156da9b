//! Knows requests: how they wait, run and are answered, and a TCP server of them; never tensors or
//! kernels.
//!
//! ```text
//! tokio "offramp-io"                           executor "offramp-executor"
//! ──────────────────                           ───────────────────────────
//! session: bytes ─► frames ─► tokens ─► inbox (bounded) ──► Batcher::next ─► Engine::run
//!          bytes ◄── writer ◄── replies ◄─────────────────── Sink::answer, as soon as known
//! http:    /healthz /readyz /metrics
//! ```
//!
//! The executor never waits for a client: the replies of a connection are bounded in bytes and by
//! the requests it may have in flight, each until its last reply has been written.
//!
//! ```no_run
//! use offramp::{Engine, EngineOptions, Exits, Model, Shape};
//! use offramp_client::{Client, RetryOptions};
//! use offramp_protocol::{InferOptions, Input};
//! use offramp_serve::{Exiting, ServeOptions, Served, Server};
//! use offramp_tune::profile::ShapeProfile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::open("my-model")?;
//! let mut engine = Engine::new(&model, &EngineOptions::default())?;
//! let exits = Exits::from_file(engine.plan(), model.thresholds().expect("it has some"))?;
//! let mut measure = |rows| ShapeProfile::measure(&mut engine, Shape { rows, tokens: 16 }, 3);
//! let shapes = vec![measure(1)?, measure(32)?];
//! let served = Served { model, engine, exiting: Exiting::Fixed(exits), shapes };
//! let server = Server::start(served, "127.0.0.1:0".parse()?, None, &ServeOptions::default())?;
//!
//! let mut client = Client::new([server.address().to_string()], RetryOptions::default());
//! let input = Input::Text("How many feet are in a mile?", None);
//! let verdict = client.classify(&input, InferOptions { top: 2, ..Default::default() })?;
//! assert_eq!(verdict.label, verdict.top[0].0);
//! server.drain()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod accept;
mod audited;
mod door;
mod error;
mod executor;
mod exiting;
mod http;
mod inbox;
mod metrics;
mod orders;
mod outbox;
mod ports;
mod replies;
mod request;
mod server;
mod session;
mod state;
mod sync;
mod watch;

pub use error::{Error, Result};
pub use exiting::Exiting;
pub use orders::{Ask, Order};
pub use ports::Ports;
pub use server::{Served, Server};
pub use state::{Life, ServeOptions, SessionLimits};
