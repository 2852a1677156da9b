//! What cannot work, and is refused by name before anything starts.

use std::time::Duration;

use offramp::{AfterExit, Engine, EngineOptions, Exits, Limits, Model, PassSettings};
use offramp_client::Connection;
use offramp_protocol::Reply;
use offramp_serve::{
    ConnectionOptions, Exiting, ServeOptions, Served, Server, Service, ServiceOptions,
    SessionLimits, serve,
};
use offramp_tests::shipped_dir;
use tokio::net::TcpListener;

use crate::service::{runtime, service};
use crate::support::{any_port, engine, served, start, text};

/// The shipped model, every row to the end.
fn off() -> Served {
    served(Limits::default(), |_, engine| Exits::off(engine.plan()))
}

/// The shipped model of images.
fn images() -> Model {
    Model::open(shipped_dir().with_file_name("fashion-mnist")).unwrap()
}

/// What a server says of such options at its start.
fn refusal(options: &ServeOptions) -> String {
    Server::start(off(), any_port(), None, options).err().unwrap().to_string()
}

#[test]
fn a_server_says_at_its_start_which_option_cannot_work() {
    let given = ServeOptions::default();
    let threads = |io_threads| ServeOptions { io_threads, ..given.clone() };
    let places = |connections_max| ServeOptions { connections_max, ..given.clone() };
    let limits = |session| ServeOptions { session, ..given.clone() };
    let in_flight =
        |in_flight_max| limits(SessionLimits { in_flight_max, ..SessionLimits::default() });
    let replies_bytes_max = usize::MAX;
    let replies = limits(SessionLimits { replies_bytes_max, ..SessionLimits::default() });
    let cases = [
        (threads(5_000_000), "io_threads: expected from 1 to 1024, found 5000000"),
        (threads(0), "io_threads: expected from 1 to 1024, found 0"),
        (places(usize::MAX), "connections_max: expected from 1 to "),
        (places(0), "connections_max: expected from 1 to "),
        (in_flight(usize::MAX), "in_flight_max: expected from 1 to "),
        (in_flight(0), "in_flight_max: expected from 1 to "),
        (replies, "replies_bytes_max: expected from 0 to "),
    ];
    for (options, expected) in cases {
        let told = refusal(&options);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_listener_of_the_callers_is_refused_the_same() {
    let service = service(&ServiceOptions::default());
    let options = ConnectionOptions { connections_max: usize::MAX, ..Default::default() };
    runtime().block_on(async {
        let listener = TcpListener::bind(any_port()).await.unwrap();
        let ended = serve(listener, service, &options, std::future::pending()).await;
        let told = ended.err().unwrap().to_string();
        let found = format!("found {}", usize::MAX);
        assert!(told.starts_with("connections_max: ") && told.ends_with(&found), "{told}");
    });
}

#[test]
fn the_longest_times_there_are_mean_for_ever() {
    let session = SessionLimits {
        idle_timeout: Duration::MAX,
        frame_timeout: Duration::MAX,
        ..SessionLimits::default()
    };
    let service = ServiceOptions { drain_timeout: Duration::MAX, ..ServiceOptions::default() };
    let server = start(&ServeOptions { session, service, ..ServeOptions::default() });
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    connection.send(&text("Where is Oslo?")).unwrap();
    assert!(matches!(connection.receive().unwrap().1, Reply::Verdict(_)));
    drop(connection);
    server.drain().unwrap();
}

#[test]
fn a_service_says_at_its_start_which_option_cannot_work() {
    let audits = |audit_rate| ServiceOptions { audit_rate, ..ServiceOptions::default() };
    let cases = [
        (ServiceOptions { queue_max: 0, ..Default::default() }, "queue_max: expected at least 1"),
        (audits(f64::NAN), "audit_rate: expected from 0 to 1, found NaN"),
        (audits(-0.5), "audit_rate: expected from 0 to 1, found -0.5"),
        (audits(1.5), "audit_rate: expected from 0 to 1, found 1.5"),
    ];
    for (options, expected) in cases {
        let told = Service::start(off(), &options).err().unwrap().to_string();
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_model_and_an_engine_of_another_are_refused() {
    let other = images();
    for (model, of) in [(images(), off().engine), (off().model, engine(&other, Limits::default()))]
    {
        let exiting = Exiting::Fixed(Exits::off(of.plan()));
        let served = Served { model, engine: of, exiting, shapes: Vec::new() };
        let told = Service::start(served, &ServiceOptions::default()).err().unwrap().to_string();
        assert!(told.contains("the engine is of another model: expected one of"), "{told}");
    }
}

/// An engine in which a group was forgotten: it runs, or it is parked.
fn engine_with_a_group(is_parked: bool) -> Engine {
    let model = off().model;
    let options = EngineOptions { groups_max: 2, threads: 1, ..EngineOptions::default() };
    let mut engine = Engine::new(&model, &options).unwrap();
    let mut batch = engine.batch();
    batch.push_row(&engine.rules().random(8, 1)).unwrap();
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut group = engine.admit(&batch, &settings).unwrap().unwrap();
    engine.step(&mut group, None, &mut |_: offramp::Answer<'_>| {}).unwrap();
    if is_parked {
        engine.park(&mut group).unwrap();
    }
    engine
}

#[test]
fn an_engine_with_a_group_left_in_it_is_refused_at_the_start_and_at_a_reload() {
    let expected = "rows of the engine: expected none, found 1 of groups";
    for is_parked in [false, true] {
        let served = Served { engine: engine_with_a_group(is_parked), ..off() };
        let told = Service::start(served, &ServiceOptions::default()).err().unwrap().to_string();
        assert!(told.starts_with(expected), "{told}");
    }
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let served = Served { engine: engine_with_a_group(true), ..off() };
        let told = handle.reload(served).await.unwrap_err().to_string();
        assert!(told.starts_with(expected), "{told}");
        service.drain().await.unwrap();
    });
}
