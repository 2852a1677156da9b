//! Lines of JSON and of text: every line gives a row or a complaint, and its id comes back as it
//! was written.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use offramp::{Row, Tokenizer};
use offramp_fuzz::{bounded, plant, tree, under};
use offramp_tools::readers;
use offramp_weights::{Input, ModelSpec};
use serde_json::value::RawValue;

const MODEL: &str = "tools/models/trec-questions";
const HELD_MAX: usize = 8 << 20;

static TOKENIZER: LazyLock<(Arc<Tokenizer>, usize)> = LazyLock::new(|| {
    let Input::Tokens(spec) = ModelSpec::read(&tree(MODEL)).expect("a shipped model").input else {
        panic!("a model over text");
    };
    let tokenizer = Tokenizer::open(&tree(MODEL), &spec).expect("a tokenizer");
    (Arc::new(tokenizer), spec.row_tokens_max())
});

/// Some of the shipped lines, two at a time, and one with all keys.
fn seeds() -> Vec<Vec<u8>> {
    let shipped = under(&["tools/models"], "test.jsonl").concat();
    let lines: Vec<&[u8]> = shipped.split_inclusive(|byte| *byte == b'\n').collect();
    let mut seeds: Vec<Vec<u8>> = lines.chunks(2).step_by(20).map(<[_]>::concat).collect();
    seeds.push(br#"{"id": "a\u00e9", "tokens": [1, 2, 3], "kinds": [0, 0, 1], "label": 3}"#.into());
    seeds.push(br#"{"id": 12345678901234567890123, "text": "a", "text_pair": "b"}"#.into());
    seeds.push(b"\xef\xbb\xbfWho wrote Hamlet?\r\n\n".into());
    seeds
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| bounded(HELD_MAX, || {
        let (tokenizer, longest) = &*TOKENIZER;
        let Ok(found) = readers::lines(bytes.to_vec(), tokenizer) else { return };
        let given: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(found.len(), given.len());
        for (index, (line, given)) in found.iter().zip(given).enumerate() {
            assert_eq!(line.number, index as u64 + 1);
            check_id(line, given);
            if let (Ok(Row::Text(row)), Ok(text)) = (&line.row, std::str::from_utf8(given))
                && !text.contains("tokens")
            {
                assert!((1..=*longest).contains(&row.ids.len()));
            }
        }
    })
);

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The id of an object that names one is that one.
fn check_id(line: &readers::Line, given: &[u8]) {
    let given = std::str::from_utf8(given).unwrap_or_default();
    // A list would be read as keys in order.
    let is_object = given.trim_start().starts_with('{');
    let Some(Keys { id }) = serde_json::from_str(given).ok().filter(|_| is_object) else { return };
    match (id, line.row.is_ok()) {
        (Some(id), _) => assert_eq!(line.id.as_deref(), Some(id.get())),
        (None, true) => assert_eq!(line.id, Some(line.number.to_string())),
        (None, false) => {}
    }
}
