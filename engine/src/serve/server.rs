//! A server: its threads, its start and its end.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, RwLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Guest, Port};
use super::executor::{Executor, Exiting};
use super::inbox::{Inbox, Reload};
use super::metrics::Metrics;
use super::orders::Order;
use super::state::{Life, Reading, ServeOptions, State};
use super::{http, session};
use crate::adapt::Adapted;
use crate::profile::ShapeProfile;
use crate::sched::{BatcherOptions, PassLatency};
use crate::{Engine, Error, Model, Result, clock};

/// Connections that wait to be accepted; beyond, the system makes them try again a second later.
const BACKLOG: u32 = 4096;
/// At the end, time for a pass that runs already, and for replies that are ready.
const LAST_PASS: Duration = Duration::from_secs(5);
const LAST_REPLIES: Duration = Duration::from_secs(1);
/// How often the end of the executor is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// What is served: warmed up, so ready once the server has started.
pub struct Served {
    /// The model, for its labels and how it reads.
    pub model: Model,
    /// It, compiled.
    pub engine: Engine,
    /// Who may leave where.
    pub exiting: Exiting,
    /// What passes cost here.
    pub shapes: Vec<ShapeProfile>,
}

/// A running server. Dropping it ends it after the pass that runs, and fails whoever waits;
/// [`drain`](Self::drain) ends it well.
pub struct Server {
    ender: Ender,
    state: Arc<State>,
    runtime: Runtime,
    sessions: TaskTracker,
    ending: CancellationToken,
    executor: JoinHandle<Result<Option<Adapted>>>,
    orders: Option<Receiver<Order>>,
    address: SocketAddr,
    http_address: Option<SocketAddr>,
}

impl Server {
    /// Listens on `address`, and on `http` for health and metrics; port 0 takes a free one.
    ///
    /// # Errors
    /// An address cannot be listened on; a thread cannot be started.
    pub fn start(
        served: Served,
        address: SocketAddr,
        http: Option<SocketAddr>,
        options: &ServeOptions,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.io_threads.max(1))
            .thread_name("offramp-io")
            .enable_all()
            .build()
            .map_err(|error| failed("no threads", &error))?;
        let listener = listen(&runtime, address)?;
        let http = http.map(|http| listen(&runtime, http)).transpose()?;
        let local = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| failed("no local address", &error))
        };
        let (address, http_address) = (local(&listener)?, http.as_ref().map(local).transpose()?);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let orders = options.takes_orders.then_some(receiver);
        let (state, executor) =
            start_executor(served, options, orders.is_some().then_some(sender))?;
        let (sessions, ending) = (TaskTracker::new(), CancellationToken::new());
        let port = Port::new(listener, options.connections_max);
        runtime.spawn(accept(port, state.clone(), sessions.clone(), ending.clone()));
        if let Some(http) = http {
            let port = Port::new(http, http::CONNECTIONS_MAX);
            runtime.spawn(http::serve(port, state.clone()));
        }
        Ok(Self {
            ender: Ender(state.clone()),
            state,
            runtime,
            sessions,
            ending,
            executor,
            orders,
            address,
            http_address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        self.state.life()
    }

    /// Counts of what it has done, as JSON.
    pub fn stats(&self) -> String {
        self.state.stats()
    }

    /// What clients tell it to do, where that is taken; once.
    pub fn orders(&mut self) -> Option<Receiver<Order>> {
        self.orders.take()
    }

    /// From the next pass on, another engine for the same inputs and labels, compiled with the same
    /// limits: other ramps and thresholds. Passes are predicted as before; `shapes` are not used.
    /// Returns once the former engine has ended; says what its adapting did. Not to be called
    /// within an async task.
    ///
    /// # Errors
    /// The model reads or says something else, or the server is ending: the former engine stays.
    pub fn reload(&self, served: Served) -> Result<Option<Adapted>> {
        let Served { model, engine, exiting, .. } = served;
        self.state.reads.expect_same(&model, &engine)?;
        let metadata = metadata(&model, &engine);
        let (former, ended) = oneshot::channel();
        self.state.inbox.reload(Box::new(Reload { engine, exiting, former }));
        let ending = |_| Error::Options("the server is ending".to_owned());
        let (_engine, exiting) = ended.blocking_recv().map_err(ending)?;
        self.state.set_metadata(metadata);
        tracing::info!("reloaded");
        Ok(exiting.finish().unwrap_or_else(|error| {
            tracing::error!(%error, "the former exits ended badly");
            None
        }))
    }

    /// Takes nothing new, answers what was accepted, ends; says what adapting did. Requests that
    /// still wait after the drain timeout are told that the server shuts down, and replies that
    /// are not taken by then are given up.
    ///
    /// # Errors
    /// The device failed or hangs, or the journal could not be written.
    pub fn drain(self) -> Result<Option<Adapted>> {
        self.state.drain();
        let Self { ender: _ender, state, runtime, sessions, ending, executor, .. } = self;
        let ended = join(executor, state.drain_left() + LAST_PASS);
        // Every promise is kept by now: sessions have only to write.
        ending.cancel();
        sessions.close();
        let left = state.drain_left().max(LAST_REPLIES);
        runtime.block_on(async {
            let _ = tokio::time::timeout(left, sessions.wait()).await;
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
        tracing::info!(stats = state.stats(), "drained");
        ended
    }
}

/// Ends the executor with the server, however that ends.
struct Ender(Arc<State>);

impl Drop for Ender {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the executor came to; a device that hangs is not waited for.
fn join(
    executor: JoinHandle<Result<Option<Adapted>>>,
    within: Duration,
) -> Result<Option<Adapted>> {
    let until = clock::now() + within;
    while !executor.is_finished() {
        if clock::now() > until {
            return Err(Error::ExecutorLost);
        }
        std::thread::sleep(LOOK);
    }
    executor.join().unwrap_or(Err(Error::ExecutorLost))
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::Options(format!("{what}: {error}"))
}

fn listen(runtime: &Runtime, address: SocketAddr) -> Result<TcpListener> {
    let listener = || {
        let _within = runtime.enter();
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listener().map_err(|error| failed(&format!("cannot listen on {address}"), &error))
}

type Running = (Arc<State>, JoinHandle<Result<Option<Adapted>>>);

fn start_executor(
    served: Served,
    options: &ServeOptions,
    orders: Option<Sender<Order>>,
) -> Result<Running> {
    let Served { model, engine, exiting, shapes } = served;
    let latency = PassLatency::fitted(&shapes, options.counts_exits);
    let (sender, receiver) = channel();
    let inbox = Inbox::new(sender, options.queue_max);
    let metrics = Metrics::new().map_err(|error| Error::Options(format!("metrics: {error}")))?;
    let reads = Reading {
        rules: engine.rules().clone(),
        tokenizer: model.tokenizer().ok(),
        preprocessor: model.preprocessor().ok(),
        labels: model.spec().labels().to_vec(),
        metadata: RwLock::new(metadata(&model, &engine)),
    };
    let state = Arc::new(State::new(inbox, metrics, reads, options, orders));
    let batcher = BatcherOptions { policy: options.policy, limits: options.limits };
    let executor = Executor::new(
        state.clone(),
        receiver,
        (engine, exiting),
        latency,
        (batcher, options.after_exit),
    );
    let watched = LastWords(state.clone());
    let thread = Builder::new().name("offramp-executor".to_owned()).spawn(move || {
        let _watched = watched;
        executor.run()
    });
    Ok((state, thread.map_err(|error| failed("no executor thread", &error))?))
}

/// Says that the executor is gone, should it panic: what waits is answered by its promises.
struct LastWords(Arc<State>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.advance(Life::Failed);
            self.0.inbox.close();
            tracing::error!("the executor has panicked");
        }
    }
}

fn metadata(model: &Model, engine: &Engine) -> String {
    let name = model.dir().file_name().map(|name| name.to_string_lossy().into_owned());
    serde_json::json!({
        "server": concat!("offramp ", env!("CARGO_PKG_VERSION")),
        "protocol_version": super::protocol::VERSION,
        "model": name,
        "model_hash": model.hash().to_string(),
        "labels": model.spec().labels(),
        "reads": if model.spec().image().is_some() { "images" } else { "text" },
        "sites": engine.plan().ramp_sites().collect::<Vec<usize>>(),
        "row_tokens_max": model.row_tokens_max(),
        "device": engine.device_name(),
    })
    .to_string()
}

async fn accept(port: Port, state: Arc<State>, sessions: TaskTracker, ending: CancellationToken) {
    loop {
        let Guest { stream, client, place } = tokio::select! {
            guest = port.accept() => guest,
            () = ending.cancelled() => return,
        };
        let (state, ending) = (state.clone(), ending.clone());
        sessions.spawn(async move {
            tracing::debug!(%client, "connected");
            session::serve(stream, state, ending.cancelled()).await;
            tracing::debug!(%client, "disconnected");
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowRules;

    fn state() -> Arc<State> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/models/trec-questions");
        let model = Model::open_bare(dir.as_ref()).unwrap();
        let reads = Reading {
            rules: RowRules::of(model.spec()),
            tokenizer: None,
            preprocessor: None,
            labels: Vec::new(),
            metadata: RwLock::default(),
        };
        let (inbox, metrics) = (Inbox::new(channel().0, 1), Metrics::new().unwrap());
        Arc::new(State::new(inbox, metrics, reads, &ServeOptions::default(), None))
    }

    #[test]
    fn a_server_that_is_dropped_ends_its_executor() {
        let state = state();
        assert!(!state.drain_left().is_zero());
        drop(Ender(state.clone()));
        assert_eq!(state.life(), Life::Draining);
        assert!(state.inbox.is_over() && state.drain_left().is_zero());
    }

    #[test]
    fn a_panic_of_the_executor_fails_the_server() {
        let state = state();
        let words = LastWords(state.clone());
        let executor = Builder::new().spawn(move || {
            let _words = words;
            panic!("as an executor with a defect would");
        });
        assert!(executor.unwrap().join().is_err());
        assert_eq!(state.life(), Life::Failed);
        assert!(state.inbox.is_over(), "nobody is let in");
    }
}
