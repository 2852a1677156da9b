//! How a server ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use offramp::client::Connection;
use offramp::serve::ServeOptions;

use crate::support::{count, ended, questions, start, start_slow, text};

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

fn http(server: &offramp::serve::Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.http_address().unwrap()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
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
    for line in ["offramp_requests_total 1", "offramp_requests_ended_total{end=\"ok\"} 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    server.drain().unwrap();
}
