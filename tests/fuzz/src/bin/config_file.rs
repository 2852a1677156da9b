//! `--config` files: what is accepted are flags of the verb, which the command line takes or
//! refuses.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant};
use offramp_tools::readers::ConfigFile;

const SEEDS: [&str; 3] = [
    "model = \"tools/models/trec-questions\"\nlisten = \"127.0.0.1:7070\"\nthreads = 2\n",
    "batch = 32\nexits = \"off\"\ndeadline_margin_us = 300\nio_threads = 1\n[other]\nkey = 1\n",
    "# All is said elsewhere.\nhttp = '127.0.0.1:0'\ndry_run = true\ngoal = 0.99\n\
     days = 1979-05-27\n",
];

thread_local! {
    static SERVE: RefCell<ConfigFile> =
        RefCell::new(ConfigFile::of("serve").expect("a verb of the command"));
}

fuzz_target!(
    init: plant(SEEDS.map(|text| text.as_bytes().to_vec())),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        SERVE.with_borrow_mut(|serve| {
            let Ok(flags) = bounded(64 * bytes.len() + (1 << 20), || serve.flags(text)) else {
                return;
            };
            assert!(flags.iter().all(|flag| flag.to_string_lossy().starts_with("--")));
            if let Err(error) = serve.parse(&flags) {
                assert!(!error.is_empty());
            }
        });
    }
);
