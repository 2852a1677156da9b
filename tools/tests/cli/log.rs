//! The log is best effort: whatever becomes of standard error, the server serves.

use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offramp_client::{Client, Connection, RetryOptions};
use offramp_protocol::{Infer, InferOptions, Input, Kind, Reply};

use crate::running::{Running, get, signal, value};
use crate::support::{Folder, offramp, shipped};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));
const IN_FLIGHT: usize = 100;

/// A server whose log cannot be asked where it listens.
struct Deaf {
    child: Child,
    address: String,
    http: String,
}

impl Deaf {
    fn start(mut command: Command, stderr: Stdio, flags: &[&str]) -> Self {
        let port = || {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().to_string()
        };
        let (address, http, model) = (port(), port(), shipped());
        command.args(["serve", "--model", &model, "--listen", &address, "--http", &http]);
        let child = command.args(flags).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let deaf = Self { child, address, http };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&deaf.http).is_err() {
            assert!(Instant::now() < until, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        deaf
    }

    fn ask(&self) {
        let mut client = Client::new([self.address.clone()], RetryOptions::default());
        let input = Input::Text("Where is Oslo?", None);
        assert_eq!(client.classify(&input, InferOptions::default()).unwrap().label, 4);
    }

    /// Ends with code 0, with every request in flight answered.
    fn end(mut self) {
        let connection = Connection::open(&self.address, PATIENCE).unwrap();
        let (mut sender, mut receiver) = connection.split();
        let options = InferOptions { exits_off: true, ..InferOptions::default() };
        for _ in 0..IN_FLIGHT {
            sender.send(&Infer { input: Input::Text("Where is Oslo?", None), options }).unwrap();
        }
        assert!(matches!(receiver.receive().unwrap().1, Reply::Verdict(_)));
        signal(&self.child, "-TERM");
        let rest = (1..IN_FLIGHT).filter(|_| receiver.receive().is_ok()).count();
        assert_eq!(rest, IN_FLIGHT - 1);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn reader_gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_end() {
    let formats = [&[][..], &["--log-format", "json"], &["--log-level", "debug"]];
    for stderr in [full_disk, reader_gone] {
        for flags in formats {
            let server = Deaf::start(offramp(&[]), stderr(), flags);
            server.ask();
            let lost =
                || value(&get(&server.http, "/metrics").1, "offramp_log_lines_dropped_total");
            let until = Instant::now() + Duration::from_secs(60);
            // Until all that was told before is lost.
            let mut before = -1.0;
            loop {
                let now = lost();
                if now >= 3.0 && now == before {
                    break;
                }
                assert!(Instant::now() < until, "{now}");
                before = now;
                std::thread::sleep(Duration::from_millis(300));
            }
            signal(&server.child, "-HUP");
            while lost() == before {
                assert!(Instant::now() < until, "it told of its reload, and that was lost");
                std::thread::sleep(Duration::from_millis(50));
            }
            server.ask();
            assert!(get(&server.http, "/healthz").0.starts_with("HTTP/1.1 200"));
            server.end();
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Deaf::start(offramp(&[]), writer.into(), &["--log-level", "debug"]);
    // More than a pipe holds: two lines each.
    for _ in 0..1000 {
        let mut connection = Connection::open(&server.address, PATIENCE).unwrap();
        assert_eq!(connection.ask(Kind::Ready).unwrap(), Reply::Done);
    }
    server.ask();
    assert!(get(&server.http, "/healthz").0.starts_with("HTTP/1.1 200"));
    server.end();
    drop(reader);
}

#[test]
fn running_out_of_descriptors_is_survived_with_any_log_and_told_seldom() {
    let serve = || {
        let mut command = Command::new("sh");
        let program = offramp(&[]);
        command.args(["-c", "ulimit -n 24; exec \"$0\" \"$@\""]).arg(program.get_program());
        command.env("OFFRAMP_THREADS", "1").env("OFFRAMP_DEVICE", "cpu");
        command
    };
    let exhaust = |address: &str| {
        let connect = |_| TcpStream::connect(address).ok();
        let held: Vec<Option<TcpStream>> = (0..60).map(connect).collect();
        std::thread::sleep(Duration::from_millis(1000));
        drop(held);
    };
    for stderr in [full_disk, reader_gone] {
        let server = Deaf::start(serve(), stderr(), &[]);
        exhaust(&server.address);
        server.ask();
        let metrics = get(&server.http, "/metrics").1;
        let failures = "offramp_accept_failures_total{port=\"protocol\"}";
        assert!(value(&metrics, failures) >= 5.0, "{metrics}");
        server.end();
    }
    let folder = Folder::new();
    let log = folder.path("log");
    let server = Deaf::start(serve(), File::create(&log).unwrap().into(), &[]);
    exhaust(&server.address);
    server.ask();
    server.end();
    let told = std::fs::read_to_string(log).unwrap();
    let warnings = told.lines().filter(|line| line.contains("could not be accepted")).count();
    assert!((1..=2).contains(&warnings), "{told}");
}

#[test]
fn a_journal_that_cannot_be_written_changes_nothing_and_is_counted() {
    let flags = ["--http", "127.0.0.1:0", "--adapt", "--journal"];
    let server = Running::start(&[&flags[..], &["/dev/full"]].concat());
    let mut client = server.client();
    let input = Input::Text("Where is Oslo?", None);
    for _ in 0..20 {
        assert_eq!(client.classify(&input, InferOptions::default()).unwrap().label, 4);
    }
    assert!(value(&server.metrics(), "offramp_journal_lines_lost_total") >= 1.0);
    server.stop();
    let folder = Folder::new();
    let journal = folder.path("journal.jsonl");
    let server = Running::start(&[&flags[..], &[&journal]].concat());
    let first = std::fs::read_to_string(&journal).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(first["reason"], "start");
    assert_eq!((&first["disagreement_goal"], &first["confidence"]), (&0.01.into(), &0.95.into()));
    assert_eq!(first["thresholds"].as_array().unwrap().len(), 5);
    assert_eq!(value(&server.metrics(), "offramp_journal_lines_lost_total"), 0.0);
    server.stop();
}

#[test]
fn what_was_done_is_told_in_plain_fields() {
    for format in ["text", "json"] {
        let mut server = Running::start(&["--log-format", "text"]);
        let input = Input::Text("Where is Oslo?", None);
        server.client().classify(&input, InferOptions::default()).unwrap();
        server.signal("-TERM");
        let line = server.line_with(" drained ");
        assert!(line.contains("requests=1 ended=\"ok 1\"") && !line.contains('\\'), "{line}");
        server.end(0);
        let dry = ["serve", "--model", &shipped(), "--listen", "127.0.0.1:0", "--dry-run"];
        let ran = crate::support::run(&[&dry[..], &["--log-format", format]].concat(), "");
        let told = ran.expect_code(0).err;
        assert!(told.contains("drained") && !told.contains("\\\""), "{told}");
    }
}
