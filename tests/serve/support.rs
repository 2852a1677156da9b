//! A server, its inputs, and how its replies are counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use offramp::{Engine, EngineOptions, Exits, Limits, Model, Shape};
use offramp_client::{ClientError, Receiver};
use offramp_protocol::{Infer, InferOptions, Input, Reply};
use offramp_serve::{Exiting, ServeOptions, Served, Server};
use offramp_tests::shipped_dir;
use offramp_tune::profile::ShapeProfile;

/// The shipped questions.
pub(crate) fn questions() -> Vec<String> {
    offramp_tests::questions().into_iter().map(|(text, _)| text).collect()
}

pub(crate) fn engine(model: &Model, limits: Limits) -> Engine {
    let options = EngineOptions { limits, threads: 1, ..EngineOptions::default() };
    Engine::new(model, &options).unwrap()
}

/// The shipped model with the shipped thresholds.
pub(crate) fn start(options: &ServeOptions) -> Server {
    start_with(options, |model, engine| {
        Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap()
    })
}

/// The shipped model, every row to the end.
pub(crate) fn start_slow(options: &ServeOptions) -> Server {
    start_with(options, |_, engine| Exits::off(engine.plan()))
}

fn start_with(options: &ServeOptions, exits: impl Fn(&Model, &Engine) -> Exits) -> Server {
    let served = served(Limits::default(), exits);
    Server::start(served, any_port(), Some(any_port()), options).unwrap()
}

/// The shipped model, warmed up.
pub(crate) fn served(limits: Limits, exits: impl Fn(&Model, &Engine) -> Exits) -> Served {
    let model = Model::open(shipped_dir()).unwrap();
    let mut engine = engine(&model, limits);
    let exits = exits(&model, &engine);
    let mut measure = |rows| ShapeProfile::measure(&mut engine, Shape { rows, tokens: 8 }, 5);
    let shapes = vec![measure(1).unwrap(), measure(limits.rows_max).unwrap()];
    Served { model, engine, exiting: Exiting::Fixed(exits), shapes }
}

pub(crate) fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn text(text: &str) -> Infer<'_> {
    Infer { input: Input::Text(text, None), options: InferOptions::default() }
}

/// Replies by kind, until the server closes or as many as were asked for have come.
pub(crate) fn count(receiver: &mut Receiver, requests: usize) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let end = match receiver.receive() {
            Ok((_, Reply::Verdict(_))) => "ok",
            Ok((_, Reply::Failure(failure))) => failure.status.name(),
            Ok(other) => panic!("{other:?}"),
            Err(ClientError::Io { .. }) => break,
            Err(other) => panic!("{other}"),
        };
        *counts.entry(end).or_default() += 1;
    }
    counts
}

/// The server's own count of an end.
pub(crate) fn ended(stats: &str, end: &str) -> usize {
    count_of(stats, &format!("/ended/{end}"))
}

/// A count that the server keeps, by its JSON pointer.
pub(crate) fn count_of(stats: &str, what: &str) -> usize {
    let stats: serde_json::Value = serde_json::from_str(stats).unwrap();
    stats.pointer(what).and_then(serde_json::Value::as_u64).unwrap() as usize
}
