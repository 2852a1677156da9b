//! Lists of classes: as many names as lines, none empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant};
use offramp_tools::readers;

fuzz_target!(
    init: plant([b"cat\ndog\r\n house \n".to_vec(), "\u{feff}Katze\nB\u{e4}r\n".into()]),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let read = || readers::classes(text);
        let Ok(names) = bounded(64 * bytes.len() + (1 << 16), read) else { return };
        assert_eq!(names.len(), text.lines().count());
        assert!(names.iter().all(|name| !name.is_empty() && name.trim() == name));
    }
);
