//! The files of `tools/deploy`, and what Prometheus thinks of the metrics.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offramp_client::{Client, RetryOptions};
use offramp_protocol::{InferOptions, Input};

use crate::running::Running;
use crate::support::{Folder, run};

const HAPROXY_CFG: &str = include_str!("../../deploy/haproxy.cfg");
const KUBERNETES: &str = include_str!("../../deploy/kubernetes.yaml");
const ALERTS: &str = include_str!("../../deploy/alerts.yaml");

/// Whether a program is there; its tests are skipped aloud where it is not.
#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok()
        || Command::new(program).arg("-v").output().is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

/// The shipped configuration over these replicas, and where it listens.
fn haproxy(folder: &Folder, replicas: &[Running]) -> (Process, String) {
    let front = free_port();
    let mut config = HAPROXY_CFG.replace("127.0.0.1:7070", &format!("127.0.0.1:{front}"));
    for (number, replica) in (1..).zip(replicas) {
        let own = format!("127.0.0.1:{} port {}", port(&replica.address), port(&replica.http));
        let line = format!("127.0.0.1:707{number} port 708{number}");
        assert!(config.contains(&line), "{config}");
        config = config.replace(&line, &own);
    }
    let file = folder.write("haproxy.cfg", &config);
    let check = Command::new("haproxy").args(["-c", "-f", &file]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", &file]).stdout(Stdio::null()).stderr(Stdio::null());
    (Process(command.spawn().unwrap()), format!("127.0.0.1:{front}"))
}

fn client(address: &str, seed: u64) -> Client {
    let timeout = Duration::from_secs(20);
    Client::new([address], RetryOptions { tries: 30, timeout, seed })
}

fn asks(client: &mut Client) -> u32 {
    let input = Input::Text("Where is Oslo?", None);
    client.classify(&input, InferOptions::default()).unwrap().label
}

#[test]
fn behind_haproxy_a_replica_may_be_killed() {
    if !is_installed("haproxy") {
        return;
    }
    let folder = Folder::new();
    let mut replicas: Vec<Running> =
        (0..3).map(|_| Running::start(&["--http", "127.0.0.1:0"])).collect();
    let (_haproxy, address) = haproxy(&folder, &replicas);
    let began = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "haproxy does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let (address, answered) = (&address, &answered);
            scope.spawn(move || {
                let mut client = client(address, seed);
                for _ in 0..300 {
                    assert_eq!(asks(&mut client), 4);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 300 {
            std::thread::sleep(Duration::from_millis(1));
        }
        replicas[0].signal("-KILL");
        assert!(answered.load(Ordering::Relaxed) < 1800, "it was killed under load");
    });
    // Of the two that are left one drains, held there by a client that takes no replies.
    let mut draining = replicas.remove(1);
    let _held = draining.hold();
    draining.signal("-TERM");
    draining.line_with(" draining ");
    let mut client = client(&address, 7);
    (0..50).for_each(|_| assert_eq!(asks(&mut client), 4));
    assert!(draining.child.try_wait().unwrap().is_none(), "it drains all the while");
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    if !is_installed("promtool") {
        return;
    }
    let server = Running::start(&["--http", "127.0.0.1:0"]);
    asks(&mut server.client());
    let metrics = server.metrics();
    assert!(metrics.contains("offramp_pass_seconds_bucket"), "{metrics}");
    let checking = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checking = checking.unwrap();
    checking.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let done = checking.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    server.stop();
}

#[test]
fn the_manifests_fit_the_binary() {
    let help = run(&["serve", "--help"], "").expect_code(0).out;
    let flags = KUBERNETES.lines().filter_map(|line| line.trim().strip_prefix("- --"));
    let names: Vec<&str> = flags.map(|flag| flag.split('=').next().unwrap()).collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(help.contains(&format!("--{name} ")), "--{name}");
    }
    let server = Running::start(&["--http", "127.0.0.1:0"]);
    let metrics = server.metrics();
    let metric = KUBERNETES.split_once("metric: {name: ").unwrap().1.split('}').next().unwrap();
    assert!(metrics.contains(&format!("# TYPE {metric} gauge")), "{metric}: {metrics}");
    for path in ["/readyz", "/healthz", "/metrics"] {
        assert!(KUBERNETES.contains(&format!("path: {path}")), "{path}");
    }
    server.stop();
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let server = Running::start(&["--http", "127.0.0.1:0", "--adapt", "--after-exit", "release"]);
    let mut client = server.client();
    (0..1500).for_each(|_| assert_eq!(asks(&mut client), 4));
    let metrics = server.metrics();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = ALERTS.split(|c: char| !is_name(c));
    let metric = |word: &&str| word.starts_with("offramp_") || word.starts_with("process_");
    let names: std::collections::BTreeSet<&str> = words.filter(metric).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        // Of a histogram.
        let name = name.trim_end_matches("_sum");
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}: {metrics}");
    }
    server.stop();
    if is_installed("promtool") {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.yaml");
        let checked = Command::new("promtool").args(["check", "rules", file]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
