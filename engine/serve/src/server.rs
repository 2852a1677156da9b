//! A server: its threads, its start and its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, RwLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use offramp::{Engine, Identity, Model, clock};
use offramp_tune::adapt::Adapted;
use offramp_tune::profile::ShapeProfile;
use offramp_tune::sched::{BatcherOptions, PassLatency};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Guest, Port};
use crate::executor::Executor;
use crate::exiting::Exiting;
use crate::inbox::{Inbox, Reload};
use crate::metrics::Metrics;
use crate::orders::Order;
use crate::ports::Ports;
use crate::state::{Life, Reading, ServeOptions, State};
use crate::watch::Part;
use crate::{Error, Result};
use crate::{http, session};

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
    /// The tokenizer is there, but malformed; the files of the model have changed since it was
    /// opened; somebody else listens by now; a thread cannot be started.
    pub fn start_on(ports: Ports, served: Served, options: &ServeOptions) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.io_threads.max(1))
            .thread_name("offramp-io")
            .enable_all()
            .build()
            .map_err(|error| failed("no threads", error))?;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let orders = options.takes_orders.then_some(receiver);
        let (state, executor) =
            start_executor(served, options, orders.is_some().then_some(sender))?;
        let ender = Ender(state.clone());
        let (listener, http) = ports.listen(&runtime)?;
        let local = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| failed("no local address", error))
        };
        let (address, http_address) = (local(&listener)?, http.as_ref().map(local).transpose()?);
        let (sessions, ending) = (TaskTracker::new(), CancellationToken::new());
        let failures = |port| state.metrics.losses.accepts(port);
        let port = Port::new(listener, options.connections_max, failures("protocol"));
        runtime.spawn(accept(port, state.clone(), sessions.clone(), ending.clone()));
        if let Some(http) = http {
            let port = Port::new(http, http::CONNECTIONS_MAX, failures("http"));
            runtime.spawn(http::serve(port, state.clone()));
        }
        Ok(Self {
            ender,
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

    /// Whether the folder `dir` holds the model that is served, ramps and thresholds aside: only
    /// then it can be loaded again. Reads the files without mapping them, so they may be written
    /// meanwhile.
    ///
    /// # Errors
    /// It holds another one, or cannot be read: says which files have changed.
    pub fn expect_same_model(&self, dir: &Path) -> Result<()> {
        let found = Identity::read(dir).map_err(offramp::Error::from)?;
        self.state.reads.expect_identity(dir, &found)
    }

    /// Version for the exits of the next [`reload`](Self::reload): above all that were served, as
    /// the upper half of a version counts reloads.
    pub fn next_version(&self) -> u64 {
        (u64::from(self.state.reloads.load(Ordering::Relaxed)) + 1) << 32
    }

    /// From the next pass on, another engine for the same model, compiled with the same limits:
    /// other ramps and thresholds, whose version is [`next_version`](Self::next_version). Passes
    /// are predicted as before; `shapes` are not used. Returns once the former engine has ended;
    /// says what its adapting did. Not to be called within an async task.
    ///
    /// # Errors
    /// It is another model, which reads, computes or says something else, or the server is ending:
    /// the former engine stays.
    pub fn reload(&self, served: Served) -> Result<Option<Adapted>> {
        let Served { model, engine, exiting, .. } = served;
        self.state.reads.expect_same(&model, &engine)?;
        let metadata = metadata(&model, &engine);
        let (former, ended) = oneshot::channel();
        self.state.inbox.reload(Box::new(Reload { engine, exiting, former }));
        let ending = |_| Error::Ending;
        let (_engine, exiting) = ended.blocking_recv().map_err(ending)?;
        self.state.set_metadata(metadata);
        self.state.reloads.fetch_add(1, Ordering::Relaxed);
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
    /// The device failed or hangs, or a part of the server has panicked.
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
        state.metrics.tell();
        let lost = state.lost.get().map(|part| Error::PartLost { part });
        ended.and_then(|adapted| lost.map_or(Ok(adapted), Err))
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

fn failed(what: &'static str, error: std::io::Error) -> Error {
    Error::Start { what, source: error }
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
    let unmeasured = |error| Error::Options(format!("metrics: {error}"));
    let metrics = Metrics::new().map_err(unmeasured)?;
    metrics.measure_process().map_err(unmeasured)?;
    metrics.set_build(&name(&model), &engine.device_name());
    let reads = Reading {
        rules: engine.rules().clone(),
        tokenizer: model.tokenizer_if_any()?,
        preprocessor: model.preprocessor().ok(),
        labels: model.spec().labels().to_vec(),
        task: model.task(),
        // Last: it says that nothing has changed since the model was opened.
        identity: model.identity()?,
        metadata: RwLock::new(metadata(&model, &engine)),
    };
    let state = Arc::new(State::new(inbox, metrics, reads, options, orders));
    let batcher = BatcherOptions { policy: options.policy, limits: options.limits };
    let executor = Executor::new(
        state.clone(),
        receiver,
        (engine, exiting),
        (latency, options.counts_exits),
        (batcher, options.after_exit, options.audit_rate),
    );
    let part = Part::vital(&state, "executor");
    let thread = Builder::new().name("offramp-executor".to_owned()).spawn(move || {
        let _part = part;
        executor.run()
    });
    Ok((state, thread.map_err(|error| failed("no executor thread", error))?))
}

/// Of the folder.
fn name(model: &Model) -> String {
    let name = model.dir().file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn metadata(model: &Model, engine: &Engine) -> String {
    serde_json::json!({
        "server": concat!("offramp ", env!("CARGO_PKG_VERSION")),
        "protocol_version": offramp_protocol::VERSION,
        "model": name(model),
        "model_hash": model.hash().to_string(),
        "labels": model.spec().labels(),
        "task": model.task().to_string(),
        "reads": model.reads(),
        "sites": engine.plan().ramp_sites().collect::<Vec<usize>>(),
        "row_tokens_max": model.row_tokens_max(),
        "device": engine.device_name(),
    })
    .to_string()
}

async fn accept(
    mut port: Port,
    state: Arc<State>,
    sessions: TaskTracker,
    ending: CancellationToken,
) {
    let _part = Part::vital(&state, "accept loop");
    loop {
        let Guest { stream, client, place } = tokio::select! {
            guest = port.accept() => guest,
            () = ending.cancelled() => return,
        };
        let (state, ending) = (state.clone(), ending.clone());
        sessions.spawn(async move {
            let _part = Part::of_many(&state, "session");
            tracing::debug!(%client, "connected");
            session::serve(stream, state.clone(), ending.cancelled()).await;
            tracing::debug!(%client, "disconnected");
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;
    use offramp::RowRules;

    fn state() -> Arc<State> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
        let model = Model::open_bare(dir.as_ref()).unwrap();
        let reads = Reading {
            rules: RowRules::of(model.spec()),
            tokenizer: None,
            preprocessor: None,
            labels: Vec::new(),
            identity: model.identity().unwrap(),
            task: Default::default(),
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
    fn a_panic_of_a_part_that_is_needed_fails_the_server_and_is_told() {
        for name in ["executor", "accept loop", "health port"] {
            let state = state();
            let part = Part::vital(&state, name);
            let thread = Builder::new().spawn(move || {
                let _part = part;
                panic!("as a part with a defect would");
            });
            assert!(thread.unwrap().join().is_err());
            assert_eq!(state.life(), Life::Failed);
            assert!(state.inbox.is_over(), "nobody is let in");
            let failure = request::unready(&state).unwrap();
            assert_eq!(failure.message, format!("the {name} has panicked"));
            let told = String::from_utf8(state.exposition()).unwrap();
            let counted = format!("offramp_panics_total{{part=\"{name}\"}} 1");
            assert!(told.contains(&counted) && told.contains("offramp_ready 0"), "{told}");
        }
    }

    #[test]
    fn a_panic_of_one_session_is_counted_and_no_more() {
        let state = state();
        let part = Part::of_many(&state, "session");
        let thread = Builder::new().spawn(move || {
            let _part = part;
            panic!("as a session with a defect would");
        });
        assert!(thread.unwrap().join().is_err());
        assert_eq!(state.life(), Life::Ready);
        let told = String::from_utf8(state.exposition()).unwrap();
        assert!(told.contains("offramp_panics_total{part=\"session\"} 1"), "{told}");
    }

    #[test]
    fn a_control_thread_that_is_lost_is_told_though_nobody_asks_for_anything() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
        let model = Model::open(dir).unwrap();
        let mut engine = Engine::new(&model, &offramp::EngineOptions::default()).unwrap();
        let exits = offramp::Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap();
        let shape = offramp::Shape { rows: 1, tokens: 8 };
        let shapes = vec![ShapeProfile::measure(&mut engine, shape, 1).unwrap()];
        let options = offramp_tune::adapt::AdaptOptions::default();
        let adaptive = offramp_tune::adapt::Adaptive::start(&engine, &exits, &shapes, &options);
        let mut adaptive = Box::new(adaptive.unwrap());
        adaptive.lose();
        let served = Served { model, engine, exiting: Exiting::Live(adaptive), shapes };
        let any_port: SocketAddr = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let options = ServeOptions::default();
        let server = Server::start(served, any_port, Some(any_port), &options).unwrap();
        let until = clock::now() + Duration::from_secs(20);
        while server.life() != Life::Failed {
            assert!(clock::now() < until, "it has not noticed");
            std::thread::sleep(LOOK);
        }
        for (path, status) in [("/healthz", "500"), ("/readyz", "503")] {
            use std::io::{Read, Write};
            let http = server.http_address().unwrap();
            let mut stream = std::net::TcpStream::connect(http).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
            assert!(reply.contains("the control thread has panicked"), "{reply}");
        }
        assert!(matches!(server.drain(), Err(Error::Tune(offramp_tune::Error::ControlLost))));
    }
}
