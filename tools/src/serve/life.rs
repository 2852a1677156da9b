//! Signals and orders: what a running server is told.

use offramp_serve::{Ask, Order, Served, Server};
use offramp_tune::adapt::Adapted;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

use crate::failure::{Failure, Result};

/// What to do next.
enum Event {
    End,
    Reload(Option<Ask>),
}

/// Hears signals from its making on: until then one ends the process by itself, so it is made
/// before anybody can know of the server.
pub(super) struct Ears {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Ears {
    pub(super) fn new() -> Result<Self> {
        let runtime = runtime()?;
        let within = runtime.enter();
        let (terminate, interrupt) =
            (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        let hang_up = catch(SignalKind::hangup())?;
        drop(within);
        watch_for_hurry()?;
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// Until a signal or an order ends the server, or its device fails; a second signal ends the
    /// process at once, whatever it is about. `load` loads the model again.
    pub(super) fn live(mut self, server: &mut Server, load: impl Fn(&Server) -> Result<Served>) {
        let mut orders = server.orders();
        while let Event::Reload(ask) = self.next(server, &mut orders) {
            let result = load(server).and_then(|served| Ok(server.reload(served)?));
            let told = match &result {
                Ok(_) => Ok(()),
                Err(failure) => Err(format!("the old ones stay: {}", failure.chain())),
            };
            match (&told, result) {
                (_, Ok(Some(done))) => tell(&done),
                (Err(error), _) => tracing::error!(error, "reload failed"),
                _ => {}
            }
            if let Some(ask) = ask {
                ask.answer(told);
            }
        }
    }

    fn next(&mut self, server: &Server, orders: &mut Option<Receiver<Order>>) -> Event {
        let Self { runtime, terminate, interrupt, hang_up } = self;
        let order = async {
            match orders {
                Some(orders) => orders.recv().await,
                None => None,
            }
        };
        let handle = server.handle();
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => Event::End,
                _ = interrupt.recv() => Event::End,
                _ = hang_up.recv() => Event::Reload(None),
                Some(order) = order => match order {
                    Order::Drain => Event::End,
                    Order::Reload(ask) => Event::Reload(Some(ask)),
                },
                () = handle.left() => Event::End,
            }
        })
    }
}

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("no signals: {error}")))
}

/// Within a runtime.
fn catch(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot catch signals: {error}")))
}

/// Says what the control thread did.
pub(super) fn tell(done: &Adapted) {
    let Adapted { rows, lost_rows, changes } = *done;
    tracing::info!(rows, lost_rows, changes, "adapted");
}

/// Whoever asks twice does not want to wait.
fn watch_for_hurry() -> Result<()> {
    let runtime = runtime()?;
    let within = runtime.enter();
    let (mut terminate, mut interrupt) =
        (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    drop(within);
    let watch = move || {
        for _ in 0..2 {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
        }
        std::process::abort();
    };
    let started = std::thread::Builder::new().name("offramp-signals".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| Failure::Failed(format!("no signal thread: {error}")))
}
