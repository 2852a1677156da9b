//! Traces of arrivals: what is accepted is due in order and in time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant};
use offramp_tools::readers;

const SECONDS: f64 = 10.0;
const SEED: &str = "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46.6805900,374\n\
    2023-11-16 18:15:50.9951690,396\n2023-11-16 23:59:59.5,1\n2023-11-17 00:00:00.25,2\n";

fuzz_target!(
    init: plant([SEED.as_bytes().to_vec()]),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let read = || readers::arrivals(text, 100.0, SECONDS);
        let Ok(due) = bounded(64 * bytes.len() + (1 << 16), read) else { return };
        assert!(due.len() <= text.lines().count());
        assert!(due.is_sorted() && due.iter().all(|due_s| (0.0..SECONDS).contains(due_s)));
    }
);
