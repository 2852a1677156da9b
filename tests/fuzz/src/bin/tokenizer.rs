//! `tokenizer.json`: what is accepted splits texts into rows that the model takes, or refuses them.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::Tokenizer;
use offramp_fuzz::tiny::{BYTES, PIECES, WORDS};
use offramp_fuzz::{Rewritten, bounded, folder, plant, tree};
use offramp_weights::{Input, ModelSpec, TextSpec};

/// Split by whatever is accepted.
const TEXTS: [&str; 4] = ["", "a thé ab\u{301}c", "[CLS] the <s>  \t\u{0}", "漢字 abababababab ab"];
const ROW_TOKENS: usize = 6;
/// A tokenizer starts with tables of its own.
const HELD_MAX: usize = 64 << 20;

struct State {
    dir: PathBuf,
    file: Rewritten,
    spec: TextSpec,
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let dir = folder();
    let model = ModelSpec::read(&tree("tests/data/golden/bert-cls")).expect("a golden model");
    let Input::Tokens(spec) = model.input else { panic!("a model over text") };
    let spec = TextSpec { positions: ROW_TOKENS, ..spec };
    let file = Rewritten::new(&dir, "tokenizer.json");
    State { dir, file, spec }
});

fuzz_target!(
    init: {
        // What it refuses by a panic of a crate's own must be an error here: seen once caught.
        drop(std::panic::take_hook());
        plant([WORDS, BYTES, PIECES].map(|text| text.as_bytes().to_vec()));
    },
    |bytes: &[u8]| {
        STATE.file.put(bytes, 0);
        bounded(HELD_MAX, || {
            let Ok(tokenizer) = Tokenizer::open(&STATE.dir, &STATE.spec) else { return };
            for (text, pair) in TEXTS.iter().zip([None, Some(TEXTS[1]), None, Some("")]) {
                let Ok(row) = tokenizer.encode(text, pair) else { continue };
                assert!((1..=ROW_TOKENS).contains(&row.ids.len()));
                assert!(row.kinds.is_empty() || row.kinds.len() == row.ids.len());
            }
        });
    }
);
