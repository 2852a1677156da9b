//! A server with a runtime of its own, for a program that has none.

use std::net::SocketAddr;

use offramp_tune::adapt::Adapted;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::options::{ConnectionOptions, ServeOptions, expect_within};
use super::orders::Order;
use super::ports::Ports;
use super::{serve, serve_health};
use crate::error::{Error, Result};
use crate::service::{Handle, Life, Served, Service, block_on};

/// Far more than there are cores; the runtime panics where it cannot start one.
const IO_THREADS_MAX: usize = 1024;

/// A running server. Dropping it ends it after the pass that runs, fails whoever waits, and waits
/// for nothing; [`drain`](Self::drain) ends it well. Its calls block, without harm to a runtime
/// that others may wait in: in async code use [`serve`] instead.
pub struct Server {
    handle: Handle,
    _io: Io,
    /// Until it is drained.
    serving: Option<JoinHandle<Result<Option<Adapted>>>>,
    shutdown: CancellationToken,
    orders: Option<Receiver<Order>>,
    address: SocketAddr,
    http_address: Option<SocketAddr>,
}

impl Server {
    /// Listens on `address`, and on `http` for health and metrics; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`Ports::bind`] and [`start_on`](Self::start_on).
    pub fn start(
        served: Served,
        address: SocketAddr,
        http: Option<SocketAddr>,
        options: &ServeOptions,
    ) -> Result<Self> {
        let ports = Ports::bind(&[address], http.as_ref().map(std::slice::from_ref))?;
        Self::start_on(ports, served, options)
    }

    /// Listens on ports that were taken before the model was loaded. A text model without a
    /// tokenizer is served, and takes tokens only.
    ///
    /// # Errors
    /// As [`Service::start`]; options of connections that cannot work; somebody else listens by
    /// now; a thread cannot be started.
    pub fn start_on(ports: Ports, served: Served, options: &ServeOptions) -> Result<Self> {
        let io = Io::new(options.io_threads)?;
        let runtime = io.enter()?;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let connections = ConnectionOptions {
            session: options.session,
            connections_max: options.connections_max,
            orders: options.takes_orders.then_some(sender),
        };
        connections.check()?;
        let service = Service::start(served, &options.service)?;
        let handle = service.handle();
        let (listener, http) = ports.listen(runtime)?;
        let address = local(&listener)?;
        let http_address = http.as_ref().map(local).transpose()?;
        let shutdown = CancellationToken::new();
        let told = shutdown.clone().cancelled_owned();
        let serving =
            runtime.spawn(async move { serve(listener, service, &connections, told).await });
        if let Some(http) = http {
            runtime.spawn(serve_health(http, handle.clone()));
        }
        let orders = options.takes_orders.then_some(receiver);
        let serving = Some(serving);
        Ok(Self { handle, _io: io, serving, shutdown, orders, address, http_address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// A way to what it serves, without a connection.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        self.handle.life()
    }

    /// Counts of what it has done, as JSON.
    pub fn stats(&self) -> String {
        self.handle.stats()
    }

    /// What clients tell it to do, where that is taken; once.
    pub fn orders(&mut self) -> Option<Receiver<Order>> {
        self.orders.take()
    }

    /// As [`Handle::reload`]; returns once the former engine has ended.
    ///
    /// # Errors
    /// As there.
    pub fn reload(&self, served: Served) -> Result<Option<Adapted>> {
        block_on(self.handle.reload(served))
    }

    /// Takes nothing new, answers what was accepted, ends; says what adapting did. Requests that
    /// still wait after the drain timeout are told that the server shuts down, and replies that
    /// are not taken by then are given up.
    ///
    /// # Errors
    /// The device failed or hangs, or a part of the server has panicked.
    pub fn drain(mut self) -> Result<Option<Adapted>> {
        self.shutdown.cancel();
        let Some(serving) = self.serving.take() else { return Err(Error::Ending) };
        block_on(serving).unwrap_or(Err(Error::PartLost { part: "accept loop" }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.state.stop();
    }
}

/// A runtime that may be dropped in async code, where nobody may wait for it.
struct Io {
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl Io {
    fn new(threads: usize) -> Result<Self> {
        expect_within("io_threads", 1, threads, IO_THREADS_MAX)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("offramp-io")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| Error::Start { what: "no threads", source })?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn enter(&self) -> Result<&Runtime> {
        self.runtime.as_ref().ok_or(Error::Ending)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    let address = listener.local_addr();
    address.map_err(|source| Error::Start { what: "no local address", source })
}
