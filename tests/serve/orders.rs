//! Other thresholds while work goes on, and clients that give orders.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use offramp::{Engine, Exits, Limits, Model};
use offramp_client::{ClientError, Connection};
use offramp_protocol::{Exit, Kind, Reply, Status};
use offramp_serve::{Exiting, Life, Order, ServeOptions, Served, Server};

use crate::support::{engine, served, start, text};

/// The same model with every row to the end, for a reload.
fn off(server: &Server) -> Served {
    let version = server.handle().next_version();
    served(Limits::default(), |_, engine| Exits { version, ..Exits::off(engine.plan()) })
}

#[test]
fn a_reload_under_load_loses_nothing_and_holds_from_then_on() {
    let server = start(&ServeOptions::default());
    let address = server.address().to_string();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut connection = Connection::open(&address, None).unwrap();
            let mut exits = BTreeMap::new();
            while !is_over.load(Ordering::Relaxed) {
                connection.send(&text("Where is Oslo?")).unwrap();
                let Reply::Verdict(verdict) = connection.receive().unwrap().1 else { panic!() };
                assert_eq!(verdict.label, 4);
                *exits.entry(verdict.exit.to_string()).or_insert(0) += 1;
            }
            exits
        });
        for _ in 0..3 {
            server.reload(off(&server)).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap().len() > 1, "it left early before, and not afterwards");
    });
    let mut connection = Connection::open(&address, None).unwrap();
    connection.send(&text("Where is Oslo?")).unwrap();
    let Reply::Verdict(verdict) = connection.receive().unwrap().1 else { panic!() };
    assert_eq!(verdict.exit, Exit::Final);
    server.drain().unwrap();
}

#[test]
fn another_kind_of_model_is_not_taken_and_the_old_one_serves_on() {
    let server = start(&ServeOptions::default());
    let dir = offramp_tests::shipped_dir().with_file_name("fashion-mnist");
    let model = Model::open(dir).unwrap();
    let engine: Engine = engine(&model, Limits::default());
    let exiting = Exiting::Fixed(Exits::off(engine.plan()));
    let error = server.reload(Served { model, engine, exiting, shapes: vec![] }).unwrap_err();
    assert!(error.to_string().contains("reads other inputs"), "{error}");
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    connection.send(&text("Where is Oslo?")).unwrap();
    assert!(matches!(connection.receive().unwrap().1, Reply::Verdict(_)));
    server.drain().unwrap();
}

fn refusal(reply: Result<Reply, ClientError>) -> Status {
    match reply {
        Err(ClientError::Failure(failure)) => failure.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_are_taken_where_that_is_allowed() {
    let server = start(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    for kind in [Kind::Drain, Kind::Reload] {
        assert_eq!(refusal(connection.ask(kind)), Status::Unsupported);
    }
    assert_eq!(server.life(), Life::Ready);
    server.drain().unwrap();

    let mut server = start(&ServeOptions { takes_orders: true, ..ServeOptions::default() });
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let mut orders = server.orders().unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let failed = refusal(connection.ask(Kind::Reload));
            let done = connection.ask(Kind::Reload).unwrap();
            let ignored = refusal(connection.ask(Kind::Reload));
            (failed, done, ignored, connection.ask(Kind::Drain).unwrap())
        });
        let mut reload = || match orders.blocking_recv() {
            Some(Order::Reload(ask)) => ask,
            _ => panic!("expected a reload"),
        };
        reload().answer(Err("no such file".to_owned()));
        reload().answer(server.reload(off(&server)).map(drop).map_err(|_| panic!()));
        let held = reload();
        let mut other = Connection::open(&server.address().to_string(), None).unwrap();
        assert_eq!(refusal(other.ask(Kind::Reload)), Status::Overloaded, "one at a time");
        drop(held);
        let told = asked.join().unwrap();
        assert_eq!(told, (Status::BadInput, Reply::Done, Status::Unsupported, Reply::Done));
        assert!(matches!(orders.blocking_recv(), Some(Order::Drain)));
    });
    assert_eq!(server.life(), Life::Draining);
    connection = Connection::open(&server.address().to_string(), None).unwrap();
    assert_eq!(refusal(connection.ask(Kind::Ready)), Status::ShuttingDown);
    server.drain().unwrap();
}
