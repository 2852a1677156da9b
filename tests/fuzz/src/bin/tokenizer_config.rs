//! `tokenizer_config.json`: what is accepted leaves a tokenizer that gives rows the model takes.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::Tokenizer;
use offramp_fuzz::tiny::WORDS;
use offramp_fuzz::{Rewritten, bounded, folder, is_drawn, plant, tree};
use offramp_weights::{Input, ModelSpec, TextSpec, TokenizerConfig};

const ROW_TOKENS: usize = 6;
const TEXT: &str = "A thé 漢c abc the the the";
/// As transformers writes them, and the keys that change what is computed.
const SEEDS: [&str; 3] = [
    r#"{"added_tokens_decoder": {"1": {"content": "[UNK]", "lstrip": false, "normalized": false,
      "rstrip": false, "single_word": false, "special": true}},
      "clean_up_tokenization_spaces": true,
      "cls_token": "[CLS]", "do_lower_case": true, "extra_special_tokens": {},
      "model_max_length": 512, "pad_token": "[PAD]", "sep_token": "[SEP]", "strip_accents": null,
      "tokenize_chinese_chars": true, "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]"}"#,
    r#"{"do_lower_case": false, "strip_accents": true, "tokenize_chinese_chars": false,
      "truncation_side": "left", "padding_side": "right", "model_max_length": 5,
      "do_basic_tokenize": true, "never_split": null, "name_or_path": "x"}"#,
    r#"{"model_max_length": 1000000000000000019884624838656, "truncation": true, "stride": 0,
      "truncation_strategy": "longest_first", "add_prefix_space": false, "errors": "replace",
      "trim_offsets": true, "unk_token": {"content": "<unk>", "special": true, "x": NaN}}"#,
];

struct State {
    dir: PathBuf,
    file: Rewritten,
    spec: TextSpec,
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let dir = folder();
    std::fs::write(dir.join("tokenizer.json"), WORDS).expect("in memory");
    let model = ModelSpec::read(&tree("tests/data/golden/bert-cls")).expect("a golden model");
    let Input::Tokens(spec) = model.input else { panic!("a model over text") };
    let spec = TextSpec { positions: ROW_TOKENS, ..spec };
    let file = Rewritten::new(&dir, "tokenizer_config.json");
    State { dir, file, spec }
});

fuzz_target!(
    init: plant(SEEDS.map(|text| text.as_bytes().to_vec())),
    |bytes: &[u8]| {
        let file = STATE.file.path();
        let read = bounded(2 * bytes.len() + (1 << 20), || TokenizerConfig::parse(bytes, file));
        // Opening a tokenizer takes a hundred times as long.
        if read.is_err() || !is_drawn(bytes, 32) {
            return;
        }
        STATE.file.put(bytes, 0);
        bounded(2 << 20, || {
            let Ok(tokenizer) = Tokenizer::open(&STATE.dir, &STATE.spec) else { return };
            let row = tokenizer.encode(TEXT, None).expect("it takes any text");
            assert!((1..=ROW_TOKENS).contains(&row.ids.len()));
            assert_eq!((row.ids.first(), row.ids.last()), (Some(&2), Some(&3)));
        });
    }
);
