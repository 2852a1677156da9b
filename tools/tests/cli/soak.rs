//! A server at full size, for minutes: `cargo xtask soak`. What is measured is printed; smaller
//! sizes of the same run with the other tests.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offramp_client::Connection;
use offramp_protocol::{Infer, InferOptions, Input, Kind, Reply, Tokens};
use serde_json::Value;

use crate::hostile::{self, Thrown};
use crate::running::Running;
use crate::support::{golden, offramp, run, shipped, shipped_images};

#[expect(clippy::print_stderr, reason = "what was measured is the result")]
fn say(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// `offramp load`'s report.
fn load(server: &Running, rate: f64, seconds: u32, more: &[&str]) -> Value {
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    load_of(server, [&model, &input], rate, seconds, more)
}

/// The same of a model by its folder and inputs.
fn load_of(
    server: &Running,
    [model, input]: [&str; 2],
    rate: f64,
    seconds: u32,
    more: &[&str],
) -> Value {
    let (rate, seconds) = (rate.to_string(), seconds.to_string());
    let flags = ["load", "--model", model, "--input", input, "--address", &server.address];
    let timing = ["--json", "--rate", &rate, "--seconds", &seconds, "--connections", "2"];
    run(&[&flags[..], &timing, more].concat(), "").json()
}

fn stats(server: &Running) -> Value {
    let mut connection = Connection::open(&server.address, None).unwrap();
    match connection.ask(Kind::Stats).unwrap() {
        Reply::Json(json) => serde_json::from_str(&json).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn counts(ends: &Value) -> u64 {
    ends.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Resident memory of the server, MiB.
fn resident_mib(server: &Running) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn ten_times_the_load_costs_little_goodput() {
    let server = Running::start(&["--exits", "off"]);
    let within = ["--deadline-ms", "50", "--slo-ms", "50"];
    let goodput = |load: &Value| load["goodput_per_s"].as_f64().unwrap();
    let mut sent = 0;
    let mut all = |rate: f64, seconds| {
        let load = load(&server, rate, seconds, &within);
        assert_eq!(
            load["sent"].as_u64().unwrap(),
            load["ok"].as_u64().unwrap() + counts(&load["failed"]),
            "{load}"
        );
        sent += load["sent"].as_u64().unwrap();
        say(format_args!("{rate:.0} a second: {:.0} a second within 50 ms", goodput(&load)));
        goodput(&load)
    };
    let rates = [1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 8000.0];
    let peak = rates.into_iter().map(|rate| all(rate, 5)).fold(0.0, f64::max);
    let flooded = all(10.0 * peak, 30);
    let stats = stats(&server);
    assert_eq!(stats["requests"].as_u64(), Some(sent), "{stats}");
    assert_eq!(counts(&stats["ended"]), sent, "{stats}");
    say(format_args!("peak {peak:.0}, flooded tenfold {flooded:.0}: {:.3}", flooded / peak));
    server.stop();
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn a_million_malformed_frames_cost_no_memory_and_no_neighbour() {
    const FRAMES: usize = 1_000_000;
    let server = Running::start(&[]);
    let p99 =
        |seconds| load(&server, 200.0, seconds, &[])["latency"]["p99"]["ms"].as_f64().unwrap();
    let quiet = p99(20);
    let before = resident_mib(&server);
    // As fast as the sender can takes a core away from the neighbour, whatever the server does.
    for (how, per_s, seconds) in [("20,000 a second", 20_000.0, 45), ("all there is", 1e9, 8)] {
        let (thrown, began) = (AtomicUsize::new(0), Instant::now());
        let disturbed = std::thread::scope(|scope| {
            scope.spawn(|| throw(&server, &thrown, FRAMES, per_s));
            p99(seconds)
        });
        say(format_args!(
            "{FRAMES} malformed frames, {how}, in {:.0} s: a neighbour's p99 {quiet:.2} ms before, \
             {disturbed:.2} ms meanwhile: {:.2}",
            began.elapsed().as_secs_f64(),
            disturbed / quiet
        ));
    }
    let grown = resident_mib(&server) - before;
    say(format_args!("{grown:+.1} MiB"));
    assert!(grown <= 16.0);
    server.stop();
}

/// Hostile frames a second, their largest growth of memory, and of a neighbour's p99.
const HOSTILE_PER_S: f64 = 1_000.0;
const HOSTILE_MIB_MAX: f64 = 64.0;
const HOSTILE_P99_MAX: f64 = 1.5;

/// A quiet server, then the same beside strangers: what they cost its memory and its neighbour.
fn soak_hostile(server: &Running, frames: &[Vec<hostile::Frame>; 2], of: [&str; 2]) {
    const SECONDS: u32 = 40;
    let p99 = |seconds| {
        let load = load_of(server, of, 200.0, seconds, &[]);
        assert_eq!(load["ok"], load["sent"], "{load}");
        load["latency"]["p99"]["ms"].as_f64().unwrap()
    };
    let (quiet, before) = (p99(SECONDS / 2), resident_mib(server));
    let (thrown, is_done) = (Thrown::default(), AtomicBool::new(false));
    let began = Instant::now();
    let (disturbed, most) = std::thread::scope(|scope| {
        scope.spawn(|| {
            hostile::throw(&server.address, frames, HOSTILE_PER_S, &thrown, &is_done);
        });
        let watched = scope.spawn(|| {
            let mut most = before;
            while !is_done.load(Ordering::Relaxed) {
                most = most.max(resident_mib(server));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let disturbed = p99(SECONDS);
        is_done.store(true, Ordering::Relaxed);
        (disturbed, watched.join().unwrap())
    });
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let per_s = count(&thrown.frames) as f64 / began.elapsed().as_secs_f64();
    let ratio = disturbed / quiet;
    say(format_args!(
        "{} hostile frames, {per_s:.0} a second, {} of them answered and {} refused: a neighbour's \
         p99 {quiet:.2} ms before, {disturbed:.2} ms meanwhile: {ratio:.2}; {:+.1} MiB at most",
        count(&thrown.frames),
        count(&thrown.answered),
        count(&thrown.refused),
        most - before
    ));
    assert!(per_s >= HOSTILE_PER_S * 0.9, "the sender could not keep up");
    assert!(ratio <= HOSTILE_P99_MAX && most - before <= HOSTILE_MIB_MAX);
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn hostile_texts_cost_little_memory_and_delay_no_neighbour() {
    let server = Running::start(&[]);
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    soak_hostile(&server, &hostile::to_texts(), [&model, &input]);
    server.stop();
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn hostile_pictures_cost_little_memory_and_delay_no_neighbour() {
    let server = hostile::of_images();
    let model = shipped_images();
    let input = format!("{model}/test-images-idx3-ubyte.gz");
    soak_hostile(&server, &hostile::to_images(), [&model, &input]);
    server.stop();
}

/// The asking one included.
fn await_connections(server: &Running, is_enough: impl Fn(u64) -> bool) {
    let began = Instant::now();
    while !is_enough(stats(server)["connections"].as_u64().unwrap()) {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", stats(server));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whole frames with a few bits flipped, cut short at times; fifty to a connection at most.
fn throw(server: &Running, thrown: &AtomicUsize, frames: usize, per_s: f64) {
    let began = Instant::now();
    let mut rng = fastrand::Rng::with_seed(11);
    let mut whole = Vec::new();
    let input = Input::Text("Who wrote Hamlet?", None);
    Infer { input, options: InferOptions::default() }.encode(1, &mut whole);
    while thrown.load(Ordering::Relaxed) < frames {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        for _ in 0..50 {
            let mut frame = whole.clone();
            (0..rng.usize(1..4)).for_each(|_| frame[rng.usize(4..41)] ^= 1 << rng.u32(0..8));
            frame.truncate(rng.usize(1..=frame.len()));
            thrown.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        let due = began + Duration::from_secs_f64(thrown.load(Ordering::Relaxed) as f64 / per_s);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn thousands_of_idle_and_never_reading_connections_are_bounded_and_ended() {
    const IDLE: u64 = 9500;
    rlimit::increase_nofile_limit(IDLE + 1000).unwrap();
    let timeouts = ["--idle-timeout-s", "30", "--frame-timeout-s", "10"];
    let server = Running::start(&[&timeouts[..], &["--connections-max", "11000"]].concat());
    load(&server, 200.0, 2, &[]);
    let before = resident_mib(&server);
    let connect = || TcpStream::connect(&server.address).unwrap();
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect()).collect();
    await_connections(&server, |open| open > IDLE);
    let with_idle = resident_mib(&server);
    let never_reading: Vec<TcpStream> = (0..500).map(|_| connect()).collect();
    let ping = [b"OFRP\x01\x02", &[0; 14][..], &(1_u32 << 16).to_le_bytes(), &[7; 1 << 16]];
    let ping = ping.concat();
    for mut stream in &never_reading {
        stream.set_nonblocking(true).unwrap();
        // Until the system takes no more of it.
        for _ in 0..100 {
            if stream.write_all(&ping).is_err() {
                break;
            }
        }
    }
    await_connections(&server, |open| open > IDLE + 500);
    let with_both = resident_mib(&server);
    let open = stats(&server)["connections"].as_u64().unwrap();
    let neighbour = load(&server, 200.0, 2, &[]);
    assert_eq!(neighbour["ok"], neighbour["sent"], "{neighbour}");
    say(format_args!(
        "{open} connections: {IDLE} idle {:+.1} MiB, 500 that never read {:+.1} MiB more",
        with_idle - before,
        with_both - with_idle
    ));
    let began = Instant::now();
    await_connections(&server, |open| open == 1);
    say(format_args!("all ended {:.0} s later", began.elapsed().as_secs_f64()));
    drop((idle, never_reading));
    server.stop();
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn twenty_ends_under_load_lose_nothing_that_was_accepted() {
    for round in 0..20 {
        let mut server = Running::start(&[]);
        let (mut sender, mut receiver) = Connection::open(&server.address, None).unwrap().split();
        let (ok, refused) = std::thread::scope(|scope| {
            scope.spawn(move || {
                let input = Input::Text("Who wrote Hamlet?", None);
                let infer = Infer { input, options: InferOptions::default() };
                while sender.send(&infer).is_ok() {}
            });
            let counted = scope.spawn(move || {
                let (mut ok, mut refused) = (0_u64, 0_u64);
                while let Ok((_, reply)) = receiver.receive() {
                    match reply {
                        Reply::Verdict(_) => ok += 1,
                        _ => refused += 1,
                    }
                }
                (ok, refused)
            });
            std::thread::sleep(Duration::from_millis(20 + 10 * round));
            server.signal("-TERM");
            counted.join().unwrap()
        });
        let line = server.line_with(" drained ");
        assert_eq!(requests_and_ok(&line), (ok + refused, ok), "{line}");
        server.end(0);
    }
    say("20 ends under load: both sides count the same answers");
}

/// Requests, and those that ended well, in a line such as `requests=5 ended="ok 4, overloaded 1"`.
fn requests_and_ok(line: &str) -> (u64, u64) {
    let after = |name| line.split_once(name).unwrap().1;
    let requests = after(" requests=").split_whitespace().next().unwrap();
    let ended = after(" ended=\"").split('"').next().unwrap();
    let ok = ended.split(", ").find_map(|end| end.strip_prefix("ok "));
    (requests.parse().unwrap(), ok.map_or(0, |ok| ok.parse().unwrap()))
}

#[test]
#[ignore = "one of cargo xtask soak"]
fn what_the_server_costs_without_a_model_to_speak_of() {
    let model = golden("bert-cls");
    let server = Running::from(offramp(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--model",
        &model,
        "--batch",
        "64",
    ]));
    let row = || Tokens { ids: vec![5], kinds: vec![] };
    let infer = Infer { input: Input::Tokens(row()), options: InferOptions::default() };
    let (rate, compute_us) = closed_loop(&server, &infer);
    say(format_args!(
        "the smallest model, 128 in flight on one connection: {rate:.0} requests a second, \
         {:.1} us each, of which passes take {compute_us:.1} us",
        1e6 / rate
    ));
    server.stop();
}

/// Requests a second, and the time of passes by the requests in them.
fn closed_loop(server: &Running, infer: &Infer<'_>) -> (f64, f64) {
    const REQUESTS: usize = 200_000;
    const IN_FLIGHT: usize = 128;
    let (mut sender, mut receiver) = Connection::open(&server.address, None).unwrap().split();
    let began = Instant::now();
    let mut compute_us = 0.0;
    for turn in 0..REQUESTS + IN_FLIGHT {
        if turn < REQUESTS {
            sender.send(infer).unwrap();
        }
        if turn >= IN_FLIGHT {
            let Reply::Verdict(verdict) = receiver.receive().unwrap().1 else { panic!() };
            compute_us += f64::from(verdict.compute_us);
        }
    }
    let rate = REQUESTS as f64 / began.elapsed().as_secs_f64();
    (rate, compute_us / REQUESTS as f64)
}
