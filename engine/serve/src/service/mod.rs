//! A model that answers requests, without any transport.
//!
//! ```text
//! any thread or task                     "offramp-executor"
//! ──────────────────                     ──────────────────
//! Handle::infer ─► tokens ─► inbox ────► Batcher::next ─► Engine::run
//!       Pending ◄── answers ◄─────────── Sink::answer, as soon as known
//! ```

mod audited;
mod block;
mod door;
mod executor;
mod exiting;
mod handle;
mod inbox;
mod intake;
mod options;
mod reading;
mod reload;
mod replies;
mod reply;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod versions;
mod watch;
mod window;

use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::unbounded;
use offramp::{Engine, Model};
use offramp_tune::adapt::Adapted;
use offramp_tune::profile::ShapeProfile;
use offramp_tune::sched::PassLatency;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use block::block_on;
pub use exiting::Exiting;
pub use handle::{Answers, Handle, Pending};
pub(crate) use intake::{submit, unready};
pub use options::ServiceOptions;
pub(crate) use reply::{ReplyGuard, Responder};
pub use state::Life;
pub(crate) use state::State;
pub(crate) use watch::{Part, Seldom};

use crate::error::{Error, Result};
use crate::metrics::Metrics;
use executor::Executor;
use inbox::Inbox;
use reading::{Reading, name, unfit};
use versions::Versions;

/// At the end, time for a pass that runs already.
const LAST_PASS: Duration = Duration::from_secs(5);

/// What is served: warmed up, so ready once the service has started.
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

impl Served {
    /// Refuses parts that are not each other's.
    fn check(&self) -> Result<()> {
        let Self { model, engine, exiting, .. } = self;
        if engine.spec() != model.spec() {
            let expected = &model.spec().name;
            let found = &engine.spec().name;
            let message = format!(
                "the engine is of another model: expected one of this configuration (a \
                 `{expected}`), found one of a `{found}`"
            );
            return Err(unfit(model.dir(), message));
        }
        exiting.exits().check(engine.plan())?;
        expect_empty(engine)
    }
}

/// Rows that nobody ends keep their slots: sooner or later a batch would find no room.
fn expect_empty(engine: &Engine) -> Result<()> {
    let rows = engine.plan().layout.rows_max.saturating_sub(engine.room().rows);
    if rows == 0 {
        return Ok(());
    }
    let found = format_args!("{rows} of groups that were dropped: Engine::clear ends them");
    Err(Error::refused("rows of the engine", "none", found))
}

/// What adapting did, where anything did, or what ended the executor.
type Ended = Result<Option<Adapted>>;

/// A running service: a thread of its own runs the engine. Dropping it ends it after the pass that
/// runs, fails whoever waits, and waits for nothing; [`drain`](Self::drain) ends it well.
pub struct Service {
    handle: Handle,
    /// Until it is drained.
    executor: Option<oneshot::Receiver<Ended>>,
}

impl Service {
    /// Starts the thread. A text model without a tokenizer is served, and takes tokens only.
    ///
    /// # Errors
    /// Options that cannot work; the engine is of another model, or a group is left in it; the
    /// exits are of another plan; the tokenizer is there, but malformed; the files of the model
    /// have changed since it was opened; the thread cannot be started.
    pub fn start(served: Served, options: &ServiceOptions) -> Result<Self> {
        options.check()?;
        served.check()?;
        let Served { model, engine, exiting, shapes } = served;
        let (sender, receiver) = unbounded();
        let inbox = Inbox::new(sender, options.queue_max);
        let unmeasured = |error| Error::Options(format!("metrics: {error}"));
        let metrics = Metrics::new().map_err(unmeasured)?;
        metrics.measure_process().map_err(unmeasured)?;
        metrics.set_build(&name(&model), &engine.device_name());
        let reads = Reading::of(&model, &engine)?;
        let versions = Versions::new(exiting.exits().version);
        let state = Arc::new(State::new(inbox, metrics, reads, versions, options));
        let latency = PassLatency::fitted(&shapes, options.counts_exits);
        let executor = Executor::new(state.clone(), receiver, engine, exiting, latency, options);
        let executor = Some(start(executor, &state)?);
        Ok(Self { handle: Handle { state }, executor })
    }

    /// A way to ask it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes nothing new, answers what was accepted, ends; says what adapting did. Requests that
    /// still wait after the drain timeout are told that the service shuts down. Within a tokio
    /// runtime with a clock.
    ///
    /// # Errors
    /// The device failed or hangs, or a part of the service has panicked.
    pub async fn drain(mut self) -> Result<Option<Adapted>> {
        let state = self.handle.state.clone();
        state.drain();
        let ended = match self.executor.take() {
            Some(ended) => timeout(state.drain_left() + LAST_PASS, ended).await,
            None => return Err(Error::Ending),
        };
        state.metrics.tell();
        match (ended, state.lost.get()) {
            (Ok(Ok(Ok(_))), Some(part)) => Err(Error::PartLost { part }),
            (Ok(Ok(ended)), _) => ended,
            (Ok(Err(_)) | Err(_), _) => Err(Error::ExecutorLost),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that is being drained ends by itself, in the time it was given.
        if self.executor.is_some() {
            self.handle.state.stop();
        }
    }
}

/// Runs the executor on a thread of its own; what it comes to.
fn start(executor: Executor, state: &Arc<State>) -> Result<oneshot::Receiver<Ended>> {
    let part = Part::vital(state, "executor");
    let (sender, ended) = oneshot::channel();
    let thread = Builder::new().name("offramp-executor".to_owned()).spawn(move || {
        let ended = {
            // A panic is told before anybody hears that it has ended.
            let _part = part;
            executor.run()
        };
        // Whoever dropped the service does not want to know.
        let _ = sender.send(ended);
    });
    match thread {
        Ok(_runs_on) => Ok(ended),
        Err(source) => Err(Error::Start { what: "no executor thread", source }),
    }
}
