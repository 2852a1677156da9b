//! What strangers may send to a server: long, deep, damaged, and of the wrong size.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offramp_protocol::{Infer, InferOptions, Input, Reply, Tokens, split};

use crate::running::Running;
use crate::support::{offramp, shipped_images};

/// Longest payload of a reply.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// Frames of one round: each of the large ones once, the others in turn.
const ROUND: usize = 100;
/// As much as a frame of the usual limit holds, and its head.
const MB: usize = 1_000_000;

/// A frame of a stranger's.
pub(crate) struct Frame {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether the server must hang up on it.
    ends: bool,
}

fn frame(name: &'static str, input: Input<'_>) -> Frame {
    let mut bytes = Vec::new();
    Infer { input, options: InferOptions::default() }.encode(7, &mut bytes);
    Frame { name, bytes, ends: false }
}

/// A frame with other bytes at a place.
fn patched(name: &'static str, input: Input<'_>, at: usize, with: &[u8]) -> Frame {
    let mut frame = frame(name, input);
    frame.bytes[at..at + with.len()].copy_from_slice(with);
    Frame { ends: at < 4, name, ..frame }
}

fn long(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes / piece.len())
}

fn tokens(id: u32, count: usize) -> Input<'static> {
    Input::Tokens(Tokens { ids: vec![id; count], kinds: vec![] })
}

/// To a server of a model over text: those of a megabyte, and smaller ones.
pub(crate) fn to_texts() -> [Vec<Frame>; 2] {
    let text = |name, text: String| frame(name, Input::Text(&text, None));
    let pair = |name, one: &str| frame(name, Input::Text(one, Some(one)));
    let ask = Input::Text("Who wrote Hamlet?", None);
    let large = vec![
        text("1 MB of words", long("who wrote Hamlet ", MB)),
        text("1 MB that is dropped", long("\u{1}", MB)),
        text("1 MB of marks on letters", long("e\u{301}\u{302}\u{303}", MB)),
        text("1 MB of one word", long("x", MB)),
        pair("a pair of 500 kB each", &long("a ", MB / 2)),
    ];
    let small = vec![
        pair("a pair of 24 kB each", &long("a ", 24_000)),
        text("deep lists", long("[", 20_000)),
        text("deep objects", long("{\"text\":", 20_000)),
        text("nothing but spaces", long(" \u{3000}\t", 10_000)),
        text("no text", String::new()),
        patched("not UTF-8", ask.clone(), 40, &[0xff, 0xfe]),
        frame("unknown tokens", tokens(u32::MAX, 5)),
        frame("too many tokens", tokens(5, 5_000)),
        frame("no tokens", tokens(5, 0)),
        frame("a damaged picture", Input::Image(&[7; 3_000])),
        frame("a picture", Input::Picture { shape: [30, 30, 3], pixels: &[7; 2_700] }),
        patched("bytes of another protocol", ask.clone(), 0, b"\x16\x03\x01\x02"),
        patched("another version", ask, 4, &[9]),
    ];
    [large, small]
}

/// The same to a server of a model over images.
pub(crate) fn to_images() -> [Vec<Frame>; 2] {
    let picture = |name, shape: [u16; 3]| {
        let pixels = vec![99; shape.iter().map(|&side| usize::from(side)).product()];
        frame(name, Input::Picture { shape, pixels: &pixels })
    };
    let damaged = |name, shape: [u16; 3]| {
        let mut frame = picture(name, [9, 9, 1]);
        let begin = frame.bytes.len() - 81 - 6;
        let sides = shape.iter().flat_map(|side| side.to_le_bytes());
        frame.bytes.splice(begin..begin + 6, sides);
        frame
    };
    let large = vec![
        picture("1 MB of colours", [590, 590, 3]),
        frame("1 MB of pixels", Input::Image(&[1; MB])),
    ];
    let small = vec![
        damaged("a picture of 65,535 x 65,535", [u16::MAX; 3]),
        damaged("a picture without height", [0, 9, 1]),
        damaged("a picture that is cut", [9, 10, 1]),
        damaged("a picture of two channels", [9, 4, 2]),
        picture("a line of pixels", [2_000, 1, 1]),
        picture("the longest line", [1, 16_384, 3]),
        frame("a damaged image", Input::Image(&[7; 783])),
        frame("an empty image", Input::Image(&[])),
        frame("tokens", tokens(5, 100)),
        frame("deep lists", Input::Text(&long("[", 20_000), None)),
        patched("bytes of another protocol", Input::Image(&[7; 784]), 0, b"\x16\x03\x01\x02"),
        patched("another version", Input::Image(&[7; 784]), 4, &[9]),
    ];
    [large, small]
}

/// What became of frames.
#[derive(Default)]
pub(crate) struct Thrown {
    pub(crate) frames: AtomicUsize,
    pub(crate) answered: AtomicUsize,
    pub(crate) refused: AtomicUsize,
}

/// Throws at `address`, `per_s` frames a second, until `is_done`; replies are taken.
pub(crate) fn throw(
    address: &str,
    [large, small]: &[Vec<Frame>; 2],
    per_s: f64,
    thrown: &Thrown,
    is_done: &AtomicBool,
) {
    let began = Instant::now();
    let mut stream = connect(address);
    let mut replies = Vec::new();
    while !is_done.load(Ordering::Relaxed) {
        let count = thrown.frames.fetch_add(1, Ordering::Relaxed);
        let (round, turn) = (count / ROUND, count % ROUND);
        let frame = large.get(turn).unwrap_or_else(|| &small[(turn + round) % small.len()]);
        let is_open = write(&mut stream, &frame.bytes, &mut replies, thrown);
        if frame.ends || !is_open {
            stream = connect(address);
            replies.clear();
        }
        let due = began + Duration::from_secs_f64((count + 1) as f64 / per_s);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Writes all of it, taking what replies there are meanwhile; false where the server hung up.
fn write(stream: &mut TcpStream, mut rest: &[u8], replies: &mut Vec<u8>, thrown: &Thrown) -> bool {
    loop {
        let is_open = take(stream, replies, thrown);
        if !is_open || rest.is_empty() {
            return is_open;
        }
        match stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(500));
            }
            Err(_) => return false,
        }
    }
}

/// Counts the replies that have come; false where the server hung up.
fn take(stream: &mut TcpStream, replies: &mut Vec<u8>, thrown: &Thrown) -> bool {
    let mut chunk = [0; 1 << 14];
    let is_open = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break false,
            Ok(count) => replies.extend_from_slice(&chunk[..count]),
            Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    let mut used = 0;
    while let Ok(Some(frame)) = split(&replies[used..], REPLY_BYTES_MAX) {
        let count = match Reply::decode(&frame.header, frame.payload).unwrap() {
            Reply::Failure(_) => &thrown.refused,
            _ => &thrown.answered,
        };
        count.fetch_add(1, Ordering::Relaxed);
        used += frame.bytes();
    }
    replies.drain(..used);
    is_open
}

/// A server of the shipped model over images.
pub(crate) fn of_images() -> Running {
    let model = shipped_images();
    Running::from(offramp(&["serve", "--listen", "127.0.0.1:0", "--model", &model]))
}

/// Sends each frame alone and waits for its reply, or for the server to hang up; says whether it
/// was answered with more than a refusal.
fn ask(address: &str, frame: &Frame) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A server that hangs up early takes back what was not read.
    let written = stream.write_all(&frame.bytes);
    let (mut bytes, mut chunk) = (Vec::new(), [0; 1 << 14]);
    loop {
        if let Ok(Some(reply)) = split(&bytes, REPLY_BYTES_MAX) {
            assert!(!frame.ends, "{}: answered", frame.name);
            let reply = Reply::decode(&reply.header, reply.payload).unwrap();
            return !matches!(reply, Reply::Failure(_));
        }
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            ended => {
                assert!(frame.ends, "{}: {written:?}, then {ended:?}", frame.name);
                return false;
            }
        }
    }
}

/// A thing that the neighbour asks, and its label.
type Asked<'a> = (Input<'a>, u32);

/// Every frame is answered, refused or hung up on, and a neighbour is answered throughout, also
/// while a round of them is thrown.
fn check(server: &Running, frames: &[Vec<Frame>; 2], (input, label): &Asked<'_>, answers: &[&str]) {
    let mut neighbour = server.client();
    let mut right = || {
        let verdict = neighbour.classify(input, InferOptions::default());
        assert_eq!(verdict.unwrap().label, *label);
    };
    for frame in frames.iter().flatten() {
        let is_answered = ask(&server.address, frame);
        assert_eq!(is_answered, answers.contains(&frame.name), "{}", frame.name);
        right();
    }
    let (thrown, is_done) = (Thrown::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| throw(&server.address, frames, 500.0, &thrown, &is_done));
        let mut asked = 0;
        while asked < 40 || thrown.frames.load(Ordering::Relaxed) < ROUND {
            right();
            asked += 1;
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn hostile_texts_harm_nobody() {
    let server = Running::start(&[]);
    let answers = [
        "1 MB of words",
        "1 MB that is dropped",
        "1 MB of marks on letters",
        "1 MB of one word",
        "a pair of 500 kB each",
        "a pair of 24 kB each",
        "deep lists",
        "deep objects",
        "nothing but spaces",
        "no text",
    ];
    check(&server, &to_texts(), &(Input::Text("Where is Oslo?", None), 4), &answers);
    server.stop();
}

#[test]
fn hostile_pictures_harm_nobody() {
    let server = of_images();
    let black = Input::Image(&[0; 784]);
    let label = server.client().classify(&black, InferOptions::default()).unwrap().label;
    let answers = ["1 MB of colours", "a line of pixels", "the longest line"];
    check(&server, &to_images(), &(black, label), &answers);
    server.stop();
}

#[test]
fn what_is_thrown_is_what_its_name_says() {
    for frames in [to_texts(), to_images()] {
        let [large, small] = &frames;
        let is_large = |frame: &Frame| (MB * 9 / 10..MB * 11 / 10).contains(&frame.bytes.len());
        assert!(large.iter().all(is_large));
        assert!(small.iter().all(|frame| frame.bytes.len() < 64_000));
        assert!(large.len() < ROUND && frames.iter().flatten().any(|frame| frame.ends));
    }
}
