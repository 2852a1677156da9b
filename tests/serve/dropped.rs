//! Starts and ends that fail, or that nobody waits for, inside a runtime: no panic, nothing lost.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use offramp::{Engine, Exits, Limits, Model, Score};
use offramp_protocol::Status;
use offramp_serve::{Error, Exiting, Ports, ServeOptions, Server};

use crate::service::{on_each_runtime, slow};
use crate::support::{any_port, served, text};

fn off(_: &Model, engine: &Engine) -> Exits {
    Exits::off(engine.plan())
}

/// Polls a future so often, or until it is ready, and drops it.
async fn poll_and_drop<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_drain_may_be_dropped_at_any_time_and_what_it_began_goes_on() {
    on_each_runtime(|| async {
        for polls in [0, 1, 2, 5, 500] {
            let service = slow(1000);
            let handle = service.handle();
            let pending: Vec<_> = (0..50).map(|_| handle.infer(&text("Where is Oslo?"))).collect();
            poll_and_drop(service.drain(), polls).await;
            for pending in pending {
                let end = tokio::time::timeout(Duration::from_secs(20), pending).await;
                let end = end.expect("each has an end");
                let is_told = end.as_ref().is_err_and(|f| f.status == Status::ShuttingDown);
                assert!(end.is_ok() || (is_told && polls == 0), "{polls}: {end:?}");
            }
            let late = handle.infer(&text("Where is Oslo?")).await.unwrap_err();
            assert_eq!(late.status, Status::ShuttingDown);
        }
    });
}

/// A port that nobody has.
fn free_port() -> SocketAddr {
    TcpListener::bind(any_port()).unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    on_each_runtime(|| async {
        let options = ServeOptions::default();
        let served = || served(Limits::default(), off);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = Server::start(served(), address, None, &options).err();
        assert!(matches!(error, Some(Error::Listen { .. })), "{error:?}");
        // Its service runs by the time it listens.
        let address = free_port();
        let ports = Ports::bind(&[address], None).unwrap();
        let _other = TcpListener::bind(address).unwrap();
        let error = Server::start_on(ports, served(), &options).err();
        assert!(matches!(error, Some(Error::Listen { .. })), "{error:?}");
        let mut unfit = served();
        let score = Score::Confidence;
        let exits = Exits { version: 0, score, thresholds: vec![0.0], active: vec![] };
        unfit.exiting = Exiting::Fixed(exits);
        let error = Server::start(unfit, any_port(), None, &options).err();
        assert!(matches!(error, Some(Error::Engine(_))), "{error:?}");
        drop(Server::start(served(), any_port(), None, &options).unwrap());
    });
}
