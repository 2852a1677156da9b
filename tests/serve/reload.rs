//! Another engine in a service: which are taken, and whatever asks for it may be dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use offramp::{Engine, Exits, Limits, Model};
use offramp_protocol::{Infer, InferOptions, Input};
use offramp_serve::{Error, Handle, Served, Service, ServiceOptions};
use offramp_tune::sched::Policy;

use crate::service::{runtime, service};
use crate::support::{served, text};

/// The model that is served, every row to the end, at a version of its own.
fn off(handle: &Handle) -> Served {
    let version = handle.next_version();
    served(Limits::default(), |_, engine| Exits { version, ..Exits::off(engine.plan()) })
}

/// The same with exits of a plan with one ramp less.
fn with_exits_of_another_plan() -> Served {
    served(Limits::default(), |_, engine| {
        let mut exits = Exits::off(engine.plan());
        exits.active.pop();
        exits
    })
}

/// The version that answers now tell.
async fn version(handle: &Handle) -> u64 {
    handle.infer(&text("Where is Oslo?")).await.unwrap().last.threshold_version
}

#[test]
fn exits_of_another_plan_are_refused_at_the_start_and_at_a_reload() {
    let started = Service::start(with_exits_of_another_plan(), &ServiceOptions::default());
    let error = started.err().unwrap().to_string();
    assert!(error.contains("exits with 4 ramps that are on or off, expected 5"), "{error}");
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let error = handle.reload(with_exits_of_another_plan()).await.unwrap_err();
        assert!(error.to_string().contains("expected 5"), "{error}");
        let options = InferOptions { score_floor: 0.5, ..InferOptions::default() };
        let infer = Infer { input: Input::Text("Where is Oslo?", None), options };
        assert!(handle.infer(&infer).await.is_ok(), "the former ones stay");
        service.drain().await.unwrap();
    });
}

#[test]
fn an_engine_for_other_batches_is_not_taken() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    let smaller = Limits { rows_max: 2, ..Limits::default() };
    runtime().block_on(async {
        let off = |_: &Model, engine: &Engine| Exits::off(engine.plan());
        let error = handle.reload(served(smaller, off)).await.unwrap_err().to_string();
        assert!(error.contains("2 rows and 4096 tokens, expected 32 and 4096"), "{error}");
        service.drain().await.unwrap();
    });
}

/// Whether it is refused only after it was waited for: what it reads took another thread.
async fn leaves_the_task_alone(handle: &Handle) -> bool {
    let mut reload = pin!(handle.reload(with_exits_of_another_plan()));
    let is_pending = poll_fn(|cx| Poll::Ready(reload.as_mut().poll(cx).is_pending())).await;
    is_pending && reload.await.is_err()
}

#[test]
fn a_reload_reads_no_file_on_the_task_that_asks() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let mut tries = 0;
        // A thread may be faster than the one that waits for it, though hardly ever.
        while !leaves_the_task_alone(&handle).await {
            tries += 1;
            assert!(tries < 5);
        }
        service.drain().await.unwrap();
    });
}

#[test]
fn of_reloads_at_once_the_later_stays_and_versions_rise() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let (first, second) = (off(&handle), off(&handle));
        handle.reload(second).await.unwrap();
        assert_eq!(version(&handle).await, 2 << 32);
        let error = handle.reload(first).await.unwrap_err().to_string();
        assert!(error.contains("version 4294967296, expected 12884901888"), "{error}");
        assert_eq!(version(&handle).await, 2 << 32);
        let (third, fourth) = (off(&handle), off(&handle));
        let (_, last) = tokio::join!(handle.reload(third), handle.reload(fourth));
        last.unwrap();
        assert_eq!(version(&handle).await, 4 << 32);
        service.drain().await.unwrap();
    });
}

#[test]
fn a_reload_that_is_dropped_happens_all_the_same_once_it_was_polled() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        drop(handle.reload(off(&handle)));
        assert_eq!(version(&handle).await, 0, "nobody asked for it");
        {
            let mut reload = pin!(handle.reload(off(&handle)));
            let _ = poll_fn(|cx| Poll::Ready(reload.as_mut().poll(cx).is_ready())).await;
        }
        while version(&handle).await != 2 << 32 {
            tokio::task::yield_now().await;
        }
        service.drain().await.unwrap();
    });
}

#[test]
fn a_service_that_ends_takes_no_other_engine() {
    let policy = Policy::Window { delay_us: 1_000_000 };
    let service = service(&ServiceOptions { policy, ..ServiceOptions::default() });
    let handle = service.handle();
    let other = off(&handle);
    runtime().block_on(async {
        let question = text("Where is Oslo?");
        let pending = handle.infer(&question);
        let mut drain = pin!(service.drain());
        assert!(poll_fn(|cx| Poll::Ready(drain.as_mut().poll(cx).is_pending())).await);
        assert!(matches!(handle.reload(other).await, Err(Error::Ending)));
        assert_eq!(pending.await.unwrap().last.threshold_version, 0);
        drain.await.unwrap();
    });
}
