//! Texts through the shipped tokenizer and small ones of each family: whatever is cut before it is
//! split gives the tokens that splitting all of it would have given.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::{InputError, Tokenizer};
use offramp_fuzz::tiny::{BYTES, PIECES, WORDS};
use offramp_fuzz::{bounded, folder, plant, tree, under};
use offramp_weights::{Input, ModelSpec, TextSpec};
use serde_json::Value;
use tokenizers::{Tokenizer as Whole, TruncationDirection as Direction, TruncationParams};

const MODEL: &str = "tools/models/trec-questions";
/// Tokens that a row may have: so few that most texts are cut.
const ROW_TOKENS: [usize; 3] = [5, 12, 40];
/// A text is short; the tables of who splits all of it are not.
const HELD_MAX: usize = 8 << 20;

/// Ours, and the crate's cutting what it has split.
struct Both {
    ours: Tokenizer,
    whole: Whole,
}

/// By tokenizer and by tokens of a row.
static BOTH: LazyLock<Vec<Both>> = LazyLock::new(|| {
    let shipped = std::fs::read(tree(MODEL).join("tokenizer.json")).expect("a shipped model");
    let all = [&shipped[..], WORDS.as_bytes(), BYTES.as_bytes(), PIECES.as_bytes()];
    let sides = all.iter().flat_map(|json| [(json, Direction::Right), (json, Direction::Left)]);
    let rows = sides.flat_map(|(json, side)| ROW_TOKENS.map(|tokens| both(json, side, tokens)));
    rows.collect()
});

/// A tokenizer that cuts on this side.
fn both(json: &[u8], direction: Direction, row_tokens: usize) -> Both {
    let Input::Tokens(spec) = ModelSpec::read(&tree(MODEL)).expect("a shipped model").input else {
        panic!("a model over text");
    };
    let spec = TextSpec { positions: row_tokens + spec.position_offset, ..spec };
    let mut json: Value = serde_json::from_slice(json).expect("JSON");
    let side = if direction == Direction::Left { "Left" } else { "Right" };
    json["truncation"] = serde_json::json!({
        "direction": side, "max_length": 512, "strategy": "LongestFirst", "stride": 0
    });
    let dir = folder();
    let file = dir.join("tokenizer.json");
    std::fs::write(&file, json.to_string()).expect("in memory");
    let mut whole = Whole::from_file(file).expect("a tokenizer");
    let cut = TruncationParams { max_length: row_tokens, direction, ..TruncationParams::default() };
    whole.with_truncation(Some(cut)).expect("there is room").with_padding(None);
    Both { ours: Tokenizer::open(&dir, &spec).expect("a tokenizer"), whole }
}

/// Questions as they come, alone and in pairs.
fn seeds() -> Vec<Vec<u8>> {
    let lines = under(&["tools/models"], "test.jsonl").concat();
    let lines = String::from_utf8(lines).expect("JSON");
    let texts = lines.lines().step_by(20).map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["text"].as_str().expect("a text").to_owned()
    });
    let given =
        |(index, text): (usize, String)| [&[index as u8, 100][..], text.as_bytes()].concat();
    texts.enumerate().map(given).collect()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| {
        let [how, at, rest @ ..] = bytes else { return };
        let both = &BOTH[usize::from(how / 2) % BOTH.len()];
        let text = String::from_utf8_lossy(rest);
        let parts = if how % 2 == 0 { (&*text, None) } else { halves(&text, *at) };
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
        Some(pair) => both.whole.encode_fast((text, pair), true),
        None => both.whole.encode_fast(text, true),
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
