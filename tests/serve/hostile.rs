//! Strangers, cut frames, silence: the server lives and neighbours are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use offramp_client::{Client, Connection, RetryOptions};
use offramp_protocol::{Infer, InferOptions, Input, Reply, Status, split};
use offramp_serve::{ServeOptions, Server, SessionLimits};

use crate::support::{ended, start, text};

/// Malformed frames thrown at it, over fewer connections.
const FRAMES: usize = 20_000;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn assert_serves(server: &Server) {
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let verdict = client.classify(&Input::Text("Where is Oslo?", None), InferOptions::default());
    assert_eq!(verdict.unwrap().label, 4);
}

#[test]
fn malformed_frames_harm_nobody() {
    let server = start(&ServeOptions::default());
    let mut rng = fastrand::Rng::with_seed(7);
    let mut whole = Vec::new();
    text("Who wrote Hamlet?").encode(1, &mut whole);
    let mut thrown = 0;
    while thrown < FRAMES {
        let mut stream = connect(&server);
        for _ in 0..50 {
            let mut frame = whole.clone();
            (0..rng.usize(1..4)).for_each(|_| frame[rng.usize(4..41)] ^= 1 << rng.u32(0..8));
            frame.truncate(rng.usize(1..=frame.len()));
            thrown += 1;
            if stream.write_all(&frame).is_err() {
                break;
            }
        }
    }
    assert_serves(&server);
    server.drain().unwrap();
}

#[test]
fn what_a_kind_of_frame_does_not_have_is_refused() {
    let server = start(&ServeOptions::default());
    let mut stream = connect(&server);
    // A ping with a flag, a question for readiness with a payload, and a ping as it should be.
    let frames: [&[u8]; 3] = [
        b"OFRP\x01\x02\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"OFRP\x01\x03\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0x",
        b"OFRP\x01\x02\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    stream.write_all(&frames.concat()).unwrap();
    let mut bytes = Vec::new();
    let mut statuses = Vec::new();
    while statuses.len() < 3 {
        let mut chunk = [0; 512];
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        while let Ok(Some(frame)) = split(&bytes, 1 << 20) {
            let reply = Reply::decode(&frame.header, frame.payload).unwrap();
            statuses.push(match reply {
                Reply::Failure(failure) => failure.status.name(),
                _ => "ok",
            });
            let used = frame.bytes();
            bytes.drain(..used);
        }
    }
    assert_eq!(statuses, ["bad_input", "bad_input", "ok"]);
    server.drain().unwrap();
}

#[test]
fn a_kind_that_is_not_served_is_named_by_its_number() {
    let server = start(&ServeOptions::default());
    let unknown = "is unknown to this version";
    let reply = "is not asked for by clients";
    for (kind, why) in [(0_u8, unknown), (77, unknown), (255, unknown), (0x81, reply)] {
        let mut stream = connect(&server);
        let frame = [b"OFRP\x01", &[kind][..], &[0; 18]].concat();
        stream.write_all(&frame).unwrap();
        let mut bytes = [0; 512];
        let read = stream.read(&mut bytes).unwrap();
        let frame = split(&bytes[..read], 1 << 20).unwrap().unwrap();
        let Reply::Failure(failure) = Reply::decode(&frame.header, frame.payload).unwrap() else {
            panic!("kind {kind} was served");
        };
        let told = format!("a frame of kind {kind} {why}: see PROTOCOL.md, Kinds");
        assert_eq!((failure.status.name(), failure.message), ("unsupported", told));
    }
    server.drain().unwrap();
}

#[test]
fn a_stranger_is_shown_out_at_once() {
    let server = start(&ServeOptions::default());
    let mut stream = connect(&server);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    // Closed, or reset because not all was read.
    let _ = stream.read_to_end(&mut reply);
    assert!(reply.is_empty());
    assert_serves(&server);
    server.drain().unwrap();
}

#[test]
fn silence_slow_frames_and_replies_never_taken_are_ended() {
    let session = SessionLimits {
        idle_timeout: Duration::from_millis(300),
        frame_timeout: Duration::from_millis(300),
        ..SessionLimits::default()
    };
    let server = start(&ServeOptions { session, ..ServeOptions::default() });
    let mut idle: Vec<TcpStream> = (0..200).map(|_| connect(&server)).collect();
    for (index, stream) in idle.iter_mut().enumerate().filter(|(index, _)| index % 2 == 0) {
        stream.write_all(&b"OFRP"[..1 + index % 4]).unwrap();
    }
    let mut never_reading = connect(&server);
    never_reading.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let ping =
        [b"OFRP\x01\x02", &[0; 14][..], &(1_u32 << 16).to_le_bytes(), &[0; 1 << 16]].concat();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) && never_reading.write_all(&ping).is_ok() {}
    assert!(started.elapsed() < Duration::from_secs(20), "it was read for ever");
    for mut stream in idle {
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    assert_serves(&server);
    server.drain().unwrap();
}

/// Whose texts are both far too long has to be counted: of all requests that takes the longest.
fn long_pair(half: &str) -> Infer<'_> {
    Infer { input: Input::Text(half, Some(half)), options: InferOptions::default() }
}

const LONG_PAIRS: usize = 8;

/// Sends them, and waits until the first has been answered.
fn send_long_pairs(server: &Server) -> Connection {
    let marks = "!".repeat((1 << 19) - 100);
    let mut long = Connection::open(&server.address().to_string(), None).unwrap();
    for _ in 0..LONG_PAIRS {
        long.send(&long_pair(&marks)).unwrap();
    }
    while ended(&server.stats(), "ok") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    long
}

#[test]
fn long_texts_keep_nobody_else_waiting() {
    let server = start(&ServeOptions::default());
    let _long = send_long_pairs(&server);
    let mut short = Connection::open(&server.address().to_string(), None).unwrap();
    let page = "Where is Oslo? ".repeat(800);
    for question in ["Where is Oslo?", &page] {
        short.send(&text(question)).unwrap();
        assert!(matches!(short.receive().unwrap().1, Reply::Verdict(_)));
    }
    assert!(ended(&server.stats(), "ok") < LONG_PAIRS + 2, "it waited for all of them");
    server.drain().unwrap();
}

#[test]
fn a_deadline_counts_while_a_text_waits_to_be_read() {
    let server = start(&ServeOptions::default());
    let open = || Connection::open(&server.address().to_string(), None).unwrap();
    let (mut late, mut long) = (open(), [(); LONG_PAIRS].map(|()| open()));
    // Each waits for those before it, and the late one for them all.
    let marks = "!".repeat((1 << 19) - 100);
    long.iter_mut().for_each(|long| {
        long.send(&long_pair(&marks)).unwrap();
    });
    let page = "Where is Oslo? ".repeat(5000);
    let options = InferOptions { deadline_us: Some(5000), ..InferOptions::default() };
    late.send(&Infer { input: Input::Text(&page, None), options }).unwrap();
    match late.receive().unwrap().1 {
        Reply::Failure(failure) => {
            assert_eq!(failure.status, Status::DeadlineExpired);
            // It may be read first; then a pass over one of the others is in its way, or its own
            // turn comes too late.
            let told = [
                "its turn to be read did not come in time",
                "a pass runs for longer",
                "cannot be met if no row leaves early",
            ];
            assert!(told.iter().any(|why| failure.message.ends_with(why)), "{}", failure.message);
        }
        other => panic!("{other:?}"),
    }
    server.drain().unwrap();
}
