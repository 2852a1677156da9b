//! Saved profiles: what is accepted is written and read the same again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{Rewritten, bounded, folder, plant};
use offramp_tune::profile::Profile;

const SEED: &str = r#"{"schema_version": 1, "model": "m", "device": "CPU", "rounds": 5,
  "shapes": [{"rows": 4, "row_tokens": 32, "segment_us": [1.5, 2.0], "exit_us": [0.5, null],
  "compact_us": 3.25}]}"#;

static FILE: LazyLock<Rewritten> = LazyLock::new(|| Rewritten::new(&folder(), "profile.json"));

fuzz_target!(
    init: plant([SEED.as_bytes().to_vec()]),
    |bytes: &[u8]| {
        FILE.put(bytes, 0);
        let read = || Profile::read(FILE.path());
        let Ok(profile) = bounded(16 * bytes.len() + (1 << 20), read) else { return };
        let text = serde_json::to_vec(&profile).expect("numbers and texts");
        FILE.put(&text, 0);
        let again = read().expect("what was written can be read");
        assert_eq!(serde_json::to_vec(&again).expect("numbers and texts"), text);
        assert!(again.shapes.iter().all(|shape| !shape.forward_us().is_nan()));
    }
);
