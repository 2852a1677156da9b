//! Signals and orders: what a running server is told.

use std::time::Duration;

use offramp::adapt::Adapted;
use offramp::serve::{Ask, Life, Order, Served, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

use crate::failure::{Failure, Result};

/// How often it looks whether the server still takes work.
const LOOK: Duration = Duration::from_millis(100);

/// What to do next.
enum Event {
    End,
    Reload(Option<Ask>),
}

/// Until a signal or an order ends it, or the device fails; a second signal ends the process at
/// once, whatever it is about. `load` loads the model again.
pub(super) fn live(server: &mut Server, load: impl Fn() -> Result<Served>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    let mut ears = runtime.block_on(async { Ears::new(server.orders()) })?;
    watch_for_hurry()?;
    while let Event::Reload(ask) = runtime.block_on(ears.next(server)) {
        let result = load().and_then(|served| Ok(server.reload(served)?));
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
    Ok(())
}

/// Says what the control thread did.
pub(super) fn tell(done: &Adapted) {
    let Adapted { rows, lost_rows, changes } = *done;
    tracing::info!(rows, lost_rows, changes, "adapted");
}

/// Within a runtime.
fn catch(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot catch signals: {error}")))
}

/// Everything that may be heard.
struct Ears {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    orders: Option<Receiver<Order>>,
}

impl Ears {
    /// Within a runtime.
    fn new(orders: Option<Receiver<Order>>) -> Result<Self> {
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
            orders,
        })
    }

    async fn next(&mut self, server: &Server) -> Event {
        let order = async {
            match &mut self.orders {
                Some(orders) => orders.recv().await,
                None => None,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
            _ = self.hang_up.recv() => Event::Reload(None),
            Some(order) = order => match order {
                Order::Drain => Event::End,
                Order::Reload(ask) => Event::Reload(Some(ask)),
            },
            () = has_ended(server) => Event::End,
        }
    }
}

async fn has_ended(server: &Server) {
    while server.life() == Life::Ready {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whoever asks twice does not want to wait.
fn watch_for_hurry() -> Result<()> {
    let failed = |error| Failure::Failed(format!("no signal thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let ends = runtime.block_on(async {
        Ok::<_, Failure>((catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?))
    });
    let (mut terminate, mut interrupt) = ends?;
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
    started.map(drop).map_err(failed)
}
