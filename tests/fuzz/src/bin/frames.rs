//! Any bytes are refused, or read as frames that are written the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offramp_protocol::{Frame, Infer, Kind, Reply, split};

const PAYLOAD_MAX: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(frame)) = split(rest, PAYLOAD_MAX) {
        check(&frame);
        rest = &rest[frame.bytes()..];
    }
});

fn check(frame: &Frame<'_>) {
    let Some(once) = rewritten(frame) else { return };
    let again = split(&once, usize::MAX).ok().flatten().expect("what was written is a frame");
    assert_eq!(again.bytes(), once.len());
    assert_eq!(rewritten(&again).as_ref(), Some(&once));
}

/// What it says, said again; none where it is refused.
fn rewritten(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let Frame { header, payload } = frame;
    let mut out = Vec::new();
    match header.kind() {
        Some(Kind::Infer) => {
            Infer::decode(header, payload).ok()?.encode(header.request(), &mut out);
        }
        Some(_) => Reply::decode(header, payload).ok()?.encode(header.request(), &mut out),
        None => return None,
    }
    Some(out)
}
