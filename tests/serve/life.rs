//! How a server ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use offramp::{Exits, Limits};
use offramp_client::Connection;
use offramp_serve::{ServeOptions, Server, ServiceOptions, SessionLimits};

use crate::support::{
    any_port, count, count_of, ended, questions, served, start, start_slow, text,
};

const DRAINS: usize = 20;

#[test]
fn what_was_accepted_is_answered_before_the_end() {
    let questions = questions();
    let mut answered = 0;
    for drain in 0..DRAINS {
        let server = start_slow(&ServeOptions::default());
        let connection = Connection::open(&server.address().to_string(), None).unwrap();
        let (mut sender, mut receiver) = connection.split();
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| {
                let load = questions.iter().take_while(|q| sender.send(&text(q)).is_ok());
                load.count()
            });
            let counted = scope.spawn(move || count(&mut receiver, usize::MAX));
            std::thread::sleep(Duration::from_millis(5 + 3 * drain as u64));
            server.drain().unwrap();
            let counts = counted.join().unwrap();
            sent.join().unwrap();
            let lost = counts.keys().find(|end| !["ok", "shutting_down"].contains(end));
            assert_eq!(lost, None, "{counts:?}");
            answered += counts.get("ok").copied().unwrap_or(0);
        });
    }
    assert!(answered > DRAINS, "{answered}");
}

#[test]
fn replies_come_after_the_client_has_said_all() {
    let server = start(&ServeOptions::default());
    let connection = Connection::open(&server.address().to_string(), None).unwrap();
    let (mut sender, mut receiver) = connection.split();
    for question in questions().iter().take(200) {
        sender.send(&text(question)).unwrap();
    }
    sender.finish();
    assert_eq!(count(&mut receiver, usize::MAX).get("ok"), Some(&200));
    assert_eq!(ended(&server.stats(), "ok"), 200);
    server.drain().unwrap();
}

#[test]
fn what_a_client_that_has_gone_still_waited_for_is_given_up() {
    const REQUESTS: usize = 200;
    let limits = Limits { rows_max: 2, tokens_max: 256 };
    let served = served(limits, |_, engine| Exits::off(engine.plan()));
    let server = Server::start(served, any_port(), None, &ServeOptions::default()).unwrap();
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    for _ in 0..REQUESTS {
        connection.send(&text("Where is Oslo?")).unwrap();
    }
    drop(connection);
    let has_ended = || {
        let stats = server.stats();
        // The system may take back what the server has not read of one that has gone.
        let taken = count_of(&stats, "/requests");
        let ends = ended(&stats, "ok") + ended(&stats, "cancelled");
        taken > 0 && ends == taken && count_of(&stats, "/connections") == 0
    };
    let began = Instant::now();
    while !has_ended() {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", server.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(ended(&server.stats(), "ok") < REQUESTS / 2, "{}", server.stats());
    server.drain().unwrap();
}

#[test]
fn a_drain_ends_in_time_and_tells_those_it_leaves() {
    const REQUESTS: usize = 2000;
    let session = SessionLimits { in_flight_max: REQUESTS, ..SessionLimits::default() };
    let server = start_slow(&ServeOptions {
        service: ServiceOptions {
            queue_max: REQUESTS,
            drain_timeout: Duration::ZERO,
            ..ServiceOptions::default()
        },
        session,
        ..ServeOptions::default()
    });
    let connection = Connection::open(&server.address().to_string(), None).unwrap();
    let (mut sender, mut receiver) = connection.split();
    for question in questions().iter().cycle().take(REQUESTS) {
        sender.send(&text(question)).unwrap();
    }
    let counts = std::thread::scope(|scope| {
        let counted = scope.spawn(move || count(&mut receiver, REQUESTS));
        while count_of(&server.stats(), "/requests") < REQUESTS {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.drain().unwrap();
        counted.join().unwrap()
    });
    assert_eq!(counts["ok"] + counts["shutting_down"], REQUESTS, "{counts:?}");
}

fn http(server: &Server, path: &str) -> String {
    ask(server.http_address().unwrap(), path)
}

/// What is said of a path.
pub(crate) fn ask(address: SocketAddr, path: &str) -> String {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn request(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn health_and_metrics_are_told() {
    let server = start(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    connection.send(&text("Where is Oslo?")).unwrap();
    connection.receive().unwrap();
    for path in ["/healthz", "/readyz"] {
        assert!(http(&server, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    let metrics = http(&server, "/metrics");
    for line in [
        "offramp_requests_total 1",
        "offramp_requests_ended_total{end=\"ok\"} 1",
        "offramp_rows_not_finite_total 0",
        "offramp_feedback_lost_total 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let expected = [("GET /other", "404"), ("POST /readyz", "405"), ("HEAD /readyz", "200")];
    for (asked, status) in expected {
        let address = server.http_address().unwrap();
        let reply = request(address, &format!("{asked} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{asked}: {reply}");
    }
    server.drain().unwrap();
}

#[test]
fn whoever_stalls_at_the_health_port_is_shown_out() {
    let server = start(&ServeOptions::default());
    let connect = |_| TcpStream::connect(server.http_address().unwrap()).unwrap();
    let mut stalling: Vec<TcpStream> = (0..80).map(connect).collect();
    stalling.iter_mut().for_each(|stream| stream.write_all(b"GET /readyz HT").unwrap());
    // More than there are places: a watcher waits for one, and gets it.
    assert!(http(&server, "/readyz").starts_with("HTTP/1.1 200"));
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    connection.send(&text("Where is Oslo?")).unwrap();
    connection.receive().unwrap();
    server.drain().unwrap();
}

#[test]
fn a_drain_waits_for_whoever_takes_replies_and_no_longer_than_it_may() {
    let drain_timeout = Duration::from_secs(3);
    let service = ServiceOptions { drain_timeout, ..ServiceOptions::default() };
    let server = start(&ServeOptions { service, ..ServeOptions::default() });
    let mut stuck = TcpStream::connect(server.address()).unwrap();
    stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let ping = [b"OFRP\x01\x02", &[0; 14][..], &(1_u32 << 19).to_le_bytes(), &[0; 1 << 19]];
    let ping = ping.concat();
    while stuck.write_all(&ping).is_ok() {}
    let began = Instant::now();
    server.drain().unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
}
