//! Parts that end badly.

use std::net::{Ipv4Addr, SocketAddr};

use offramp::{EngineOptions, Exits, Limits, RowRules, Shape, clock};
use parking_lot::RwLock;

use super::*;
use crate::{ServeOptions, Server};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");

fn state() -> Arc<State> {
    state_with(&ServiceOptions::default())
}

fn state_with(options: &ServiceOptions) -> Arc<State> {
    let model = Model::open_bare(MODEL.as_ref()).unwrap();
    let reads = Reading {
        rules: RowRules::of(model.spec()),
        limits: Limits::default(),
        tokenizer: None,
        preprocessor: None,
        labels: Vec::new(),
        identity: model.identity().unwrap(),
        task: Default::default(),
        metadata: RwLock::default(),
    };
    let inbox = Inbox::new(unbounded().0, 1);
    let metrics = Metrics::new().unwrap();
    Arc::new(State::new(inbox, metrics, reads, Versions::new(0), options))
}

#[test]
fn a_service_that_is_dropped_ends_its_executor() {
    let state = state();
    assert!(!state.drain_left().is_zero());
    let executor = Some(oneshot::channel().1);
    drop(Service { handle: Handle { state: state.clone() }, executor });
    assert_eq!(state.life(), Life::Draining);
    assert!(state.inbox.is_over() && state.drain_left().is_zero());
}

#[test]
fn more_time_than_can_be_counted_is_not_none() {
    let drain_timeout = Duration::from_micros(u64::MAX) + Duration::from_micros(1);
    let state = state_with(&ServiceOptions { drain_timeout, ..ServiceOptions::default() });
    state.drain();
    assert!(!state.drain_left().is_zero());
}

#[test]
fn a_panic_of_a_part_that_is_needed_fails_the_service_and_is_told() {
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
        let failure = unready(&state).unwrap();
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
    let model = Model::open(MODEL).unwrap();
    let mut engine = Engine::new(&model, &EngineOptions::default()).unwrap();
    let exits = Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap();
    let shape = Shape { rows: 1, tokens: 8 };
    let shapes = vec![ShapeProfile::measure(&mut engine, shape, 1).unwrap()];
    let options = offramp_tune::adapt::AdaptOptions::default();
    let adaptive = offramp_tune::adapt::Adaptive::start(&engine, &exits, &shapes, &options);
    let mut adaptive = Box::new(adaptive.unwrap());
    adaptive.lose();
    let served = Served { model, engine, exiting: Exiting::Live(adaptive), shapes };
    let any_port: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let options = ServeOptions::default();
    let server = Server::start(served, any_port, Some(any_port), &options).unwrap();
    let until = clock::now() + Duration::from_secs(20);
    while server.life() != Life::Failed {
        assert!(clock::now() < until, "it has not noticed");
        std::thread::sleep(Duration::from_millis(2));
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
