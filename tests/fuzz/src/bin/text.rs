//! Texts through the shipped tokenizer: whatever is cut before it is split gives the tokens that
//! splitting all of it would have given.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::{InputError, Tokenizer};
use offramp_fuzz::{bounded, plant, tree, under};
use offramp_weights::{ModelSpec, TextSpec};
use tokenizers::{Tokenizer as Whole, TruncationParams};

const MODEL: &str = "weights/models/trec-questions";
/// Tokens that a row may have: so few that most texts are cut.
const ROW_TOKENS: [usize; 3] = [5, 12, 40];
/// A text is 4 KiB at most: 160 bytes for each are held by who splits all of it.
const HELD_MAX: usize = 8 << 20;

/// What is shipped, and the same done by hand.
struct Both {
    ours: Tokenizer,
    whole: Whole,
}

static BOTH: LazyLock<Vec<Both>> = LazyLock::new(|| ROW_TOKENS.map(both).into());

fn both(row_tokens: usize) -> Both {
    let ModelSpec::Text(spec) = ModelSpec::read(&tree(MODEL)).expect("a shipped model") else {
        panic!("a model over text");
    };
    let spec = TextSpec { positions: row_tokens + spec.position_offset, ..spec };
    let mut whole = Whole::from_file(tree(MODEL).join("tokenizer.json")).expect("a tokenizer");
    let cut = TruncationParams { max_length: row_tokens, ..TruncationParams::default() };
    whole.with_truncation(Some(cut)).expect("there is room").with_padding(None);
    Both { ours: Tokenizer::open(&tree(MODEL), &spec).expect("a tokenizer"), whole }
}

/// Questions as they come, alone and in pairs.
fn seeds() -> Vec<Vec<u8>> {
    let lines = under(&["weights/models"], "test.jsonl").concat();
    let lines = String::from_utf8(lines).expect("JSON");
    let texts = lines.lines().step_by(20).map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["text"].as_str().expect("a text").to_owned()
    });
    let given =
        |(index, text): (usize, String)| [&[(index % 6) as u8, 100][..], text.as_bytes()].concat();
    texts.enumerate().map(given).collect()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| {
        let [how, at, rest @ ..] = bytes else { return };
        let both = &BOTH[usize::from(how % 3)];
        let text = String::from_utf8_lossy(rest);
        let parts = if how / 3 % 2 == 0 { (&*text, None) } else { halves(&text, *at) };
        check(both, parts);
    }
);

/// Two parts, the first of about `share` in 256.
fn halves(text: &str, share: u8) -> (&str, Option<&str>) {
    let (first, second) =
        text.split_at(text.floor_char_boundary(text.len() * usize::from(share) / 256));
    (first, Some(second))
}

fn check(both: &Both, (text, pair): (&str, Option<&str>)) {
    let ours = bounded(HELD_MAX, || both.ours.encode(text, pair));
    let whole = match pair {
        Some(pair) => both.whole.encode((text, pair), true),
        None => both.whole.encode(text, true),
    };
    let whole = whole.expect("the tokenizer takes any text");
    match ours {
        Ok(row) => {
            assert_eq!(row.ids, whole.get_ids());
            let kinds = row.kinds.iter().map(|kind| u32::from(*kind));
            assert!(row.kinds.is_empty() || kinds.eq(whole.get_type_ids().iter().copied()));
        }
        Err(InputError::Empty) => assert!(whole.get_ids().is_empty()),
        Err(other) => panic!("{other}"),
    }
}
