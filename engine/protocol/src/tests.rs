//! Frames there and back, frames of strangers, and the bytes that must never change.

use proptest::prelude::*;

use super::*;

const PAYLOAD_MAX: usize = 4096;

fn tokens() -> Tokens {
    Tokens { ids: vec![101, 2040, 102], kinds: vec![0, 0, 1] }
}

fn verdict() -> Verdict {
    Verdict {
        phase: Phase::Early,
        is_cut: false,
        label: 3,
        score: 0.75,
        exit: Exit::Site(2),
        depth: 0.5,
        queue_us: 120,
        compute_us: 4500,
        threshold_version: 7,
        top: vec![(3, 0.75), (0, 0.125)],
    }
}

/// One of each, by name.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    [requests(), replies()].concat()
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let all = InferOptions {
        exits_off: true,
        two_phase: true,
        tell_cut: true,
        top: 2,
        shallowest_site: Some(1),
        deepest_site: Some(4),
        score_floor: 0.5,
        deadline_us: Some(100_000),
    };
    let plain = InferOptions::default();
    let picture = Input::Picture { shape: [1, 2, 3], pixels: &[1, 2, 3, 4, 5, 6] };
    let infer = |input, options| {
        let mut bytes = Vec::new();
        Infer { input, options }.encode(9, &mut bytes);
        bytes
    };
    let other = |kind, payload| frame(kind, 9, payload);
    vec![
        ("infer text", infer(Input::Text("Who wrote Hamlet?", None), plain)),
        ("infer pair, all options", infer(Input::Text("a", Some("b")), all)),
        ("infer tokens", infer(Input::Tokens(tokens()), plain)),
        ("infer image", infer(Input::Image(&[0, 127, 255]), plain)),
        ("infer picture", infer(picture, plain)),
        ("ping", other(Kind::Ping, b"hello")),
        ("ready", other(Kind::Ready, b"")),
        ("metadata", other(Kind::Metadata, b"")),
        ("stats", other(Kind::Stats, b"")),
        ("drain", other(Kind::Drain, b"")),
        ("reload", other(Kind::Reload, b"")),
    ]
}

fn replies() -> Vec<(&'static str, Vec<u8>)> {
    let reply = |reply: Reply| {
        let mut bytes = Vec::new();
        reply.encode(9, &mut bytes);
        bytes
    };
    let failure = Failure {
        status: Status::Overloaded,
        retry_after_ms: 25,
        message: "the inbox is full".to_owned(),
    };
    vec![
        ("verdict", reply(Reply::Verdict(verdict()))),
        ("verdict on a cut text", reply(Reply::Verdict(Verdict { is_cut: true, ..verdict() }))),
        ("failure", reply(Reply::Failure(failure))),
        ("pong", reply(Reply::Pong(b"hello".to_vec()))),
        ("done", reply(Reply::Done)),
        ("json", reply(Reply::Json("{}".to_owned()))),
    ]
}

/// A frame whose payload is what it is.
fn frame(kind: Kind, request: u64, payload: &[u8]) -> Vec<u8> {
    [bytemuck::bytes_of(&Header::new(kind, request, payload.len())), payload].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_on_the_wire_are_those_committed() {
    let golden = include_str!("golden.txt");
    let now: String = samples().iter().map(|(name, b)| format!("{name}: {}\n", hex(b))).collect();
    assert_eq!(now, golden);
}

#[test]
fn every_sample_reads_back_and_no_part_of_it_does() {
    for (name, bytes) in samples() {
        let frame = split(&bytes, PAYLOAD_MAX).unwrap().unwrap();
        assert_eq!((frame.bytes(), frame.header.request()), (bytes.len(), 9), "{name}");
        let again = rewritten(&frame).unwrap();
        assert_eq!(hex(&again), hex(&bytes), "{name}");
        for len in 0..bytes.len() {
            assert_eq!(split(&bytes[..len], PAYLOAD_MAX), Ok(None), "{name}, {len} bytes");
        }
    }
}

/// A payload cut short is refused, or is by itself a whole message: a shorter text, say.
#[test]
fn cut_payloads_are_refused_in_words() {
    let mut refused = 0;
    for (name, bytes) in samples() {
        let header: Header = bytemuck::pod_read_unaligned(&bytes[..HEADER_BYTES]);
        for payload in (0..bytes.len() - HEADER_BYTES).map(|len| &bytes[HEADER_BYTES..][..len]) {
            match rewritten(&Frame { header, payload }) {
                Ok(again) => assert_eq!(&again[HEADER_BYTES..], payload, "{name}"),
                Err(message) => refused += usize::from(!message.is_empty()),
            }
        }
    }
    assert!(refused > 150, "{refused}");
}

fn rewritten(whole: &Frame<'_>) -> Result<Vec<u8>, String> {
    let Frame { header, payload } = whole;
    let mut out = Vec::new();
    match header.kind() {
        Some(Kind::Infer) => Infer::decode(header, payload)?.encode(header.request(), &mut out),
        Some(
            kind @ (Kind::Ping
            | Kind::Ready
            | Kind::Metadata
            | Kind::Stats
            | Kind::Drain
            | Kind::Reload),
        ) => out = frame(kind, header.request(), payload),
        _ => Reply::decode(header, payload)?.encode(header.request(), &mut out),
    }
    Ok(out)
}

#[test]
fn lengths_at_the_limit_are_taken_and_beyond_it_refused_at_the_header() {
    let frame = |bytes: u32| {
        let mut frame = bytemuck::bytes_of(&Header::new(Kind::Ping, 5, 0)).to_vec();
        frame[20..24].copy_from_slice(&bytes.to_le_bytes());
        frame
    };
    for bytes in [0, 1, PAYLOAD_MAX as u32] {
        let head = frame(bytes);
        assert_eq!(split(&head, PAYLOAD_MAX).unwrap().is_some(), bytes == 0);
    }
    for bytes in [PAYLOAD_MAX as u32 + 1, i32::MAX as u32, u32::MAX] {
        let payload_bytes = bytes as usize;
        let large =
            FrameError::TooLarge { payload_bytes, payload_bytes_max: PAYLOAD_MAX, request: 5 };
        assert_eq!(split(&frame(bytes), PAYLOAD_MAX), Err(large));
    }
}

#[test]
fn strangers_are_known_by_their_first_bytes() {
    assert_eq!(split(b"GET", PAYLOAD_MAX), Err(FrameError::Magic));
    assert_eq!(split(b"OFRQ", PAYLOAD_MAX), Err(FrameError::Magic));
    let mut other = bytemuck::bytes_of(&Header::new(Kind::Ping, 5, 0)).to_vec();
    other[4] = 2;
    assert_eq!(split(&other, PAYLOAD_MAX), Err(FrameError::Version { found: 2, request: 5 }));
    other[4] = VERSION;
    other[5] = 77;
    assert_eq!(split(&other, PAYLOAD_MAX).unwrap().unwrap().header.kind(), None);
}

#[test]
fn statuses_have_codes_of_their_own() {
    for (index, status) in Status::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(status.code()), index + 1);
        assert_eq!(Status::of(status.code()), Some(status));
    }
    assert_eq!((Status::of(0), Status::of(9)), (None, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn noise_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for flags in 0..8 {
            let header = Header::new(Kind::Infer, 1, bytes.len()).with_flags(flags);
            let _ = Infer::decode(&header, &bytes);
            for kind in [Kind::Verdict, Kind::Failure, Kind::Json] {
                let header = Header::new(kind, 1, bytes.len()).with_flags(flags);
                let _ = Reply::decode(&header, &bytes);
            }
        }
        let _ = split(&bytes, PAYLOAD_MAX);
    }

    #[test]
    fn a_flipped_bit_is_refused_or_reads_back(
        which in any::<prop::sample::Index>(),
        bit in any::<usize>(),
    ) {
        let mut bytes = which.get(&samples()).1.clone();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some(frame)) = split(&bytes, PAYLOAD_MAX)
            && let Ok(again) = rewritten(&frame)
            && let Ok(Some(second)) = split(&again, PAYLOAD_MAX)
        {
            prop_assert_eq!(hex(&rewritten(&second).unwrap()), hex(&again));
        }
    }

    #[test]
    fn texts_and_tokens_arrive_as_sent(
        (text, pair) in (".*", prop::option::of(".*")),
        ids in prop::collection::vec(any::<u32>(), 0..40),
        request in any::<u64>(),
    ) {
        let kinds = ids.iter().map(|&id| id as u16).collect();
        let inputs = [Input::Text(&text, pair.as_deref()), Input::Tokens(Tokens { ids, kinds })];
        for input in inputs {
            let infer = Infer { input, options: InferOptions::default() };
            let mut bytes = Vec::new();
            infer.encode(request, &mut bytes);
            let frame = split(&bytes, usize::MAX).unwrap().unwrap();
            prop_assert_eq!(Infer::decode(&frame.header, frame.payload), Ok(infer));
        }
    }
}
