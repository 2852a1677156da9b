//! What the keys of `tokenizer_config.json` change, and which values are refused.

use std::fs;

use offramp_weights::ModelSpec;
use serde_json::{Value, json};

use crate::text::Tokenizer;

/// Ids in the order of the words below.
const VOCAB: [&str; 16] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "Paris", "e", "é", "中", "##中", "a",
    "b", "c", "d", "[",
];

fn frame(second: bool) -> Vec<Value> {
    let mut frame = vec![
        json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}}),
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"SpecialToken": {"id": "[SEP]", "type_id": 0}}),
    ];
    if second {
        frame.push(json!({"Sequence": {"id": "B", "type_id": 1}}));
        frame.push(json!({"SpecialToken": {"id": "[SEP]", "type_id": 1}}));
    }
    frame
}

fn tokenizer(lowercase: bool, truncation: &Value) -> Value {
    let vocab: serde_json::Map<_, _> =
        VOCAB.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": VOCAB[id], "special": true, "single_word": false,
               "lstrip": false, "rstrip": false, "normalized": false})
    };
    let named = |id: usize| json!({"id": VOCAB[id], "ids": [id], "tokens": [VOCAB[id]]});
    json!({
        "version": "1.0", "truncation": truncation, "padding": null,
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "strip_accents": null,
                       "handle_chinese_chars": true, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": frame(false),
                           "pair": frame(true),
                           "special_tokens": {"[CLS]": named(2), "[SEP]": named(3)}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab,
                  "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    })
}

fn open(tokenizer: &Value, config: Option<Value>) -> Result<Tokenizer, String> {
    let config = config.map(|config| ("tokenizer_config.json", config));
    open_with(tokenizer, config.as_slice())
}

fn open_with(tokenizer: &Value, beside: &[(&str, Value)]) -> Result<Tokenizer, String> {
    open_model(&json!({}), tokenizer, beside)
}

/// With more keys in `config.json`, and files beside it.
fn open_model(
    keys: &Value,
    tokenizer: &Value,
    beside: &[(&str, Value)],
) -> Result<Tokenizer, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut model = json!({
        "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 16,
        "num_attention_heads": 4, "intermediate_size": 64, "hidden_act": "gelu",
        "max_position_embeddings": 10, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "architectures": ["BertForSequenceClassification"], "pad_token_id": 0,
    });
    let write = |name: &str, value: &Value| {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    };
    model.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    write("config.json", &model);
    write("tokenizer.json", tokenizer);
    beside.iter().for_each(|(name, content)| write(name, content));
    let spec = ModelSpec::read(dir.path()).unwrap();
    Tokenizer::open(dir.path(), spec.text().unwrap()).map_err(|error| error.to_string())
}

fn ids(lowercase: bool, config: Value, text: &str) -> Vec<u32> {
    let tokenizer = open(&tokenizer(lowercase, &Value::Null), Some(config)).unwrap();
    tokenizer.encode(text, None).unwrap().ids
}

/// A token as `added_tokens_decoder` has it.
fn numbered(id: usize, flags: &Value) -> Value {
    let mut token = json!({"content": VOCAB[id], "special": false, "single_word": false,
                           "lstrip": false, "rstrip": false, "normalized": false});
    let all = token.as_object_mut().unwrap();
    all.extend(flags.as_object().unwrap().clone());
    json!({id.to_string(): token})
}

/// What transformers 4.57 and 5.24 give.
#[test]
fn tokens_that_the_configuration_numbers_take_the_place_of_others() {
    let text = "a[MASK]b";
    let as_it_is = numbered(4, &json!({"special": true}));
    assert_eq!(ids(true, json!({"added_tokens_decoder": as_it_is}), text), [2, 11, 4, 12, 3]);
    let alone = numbered(4, &json!({"special": true, "single_word": true}));
    let config = json!({"added_tokens_decoder": alone});
    assert_eq!(ids(true, config.clone(), "a [MASK] b"), [2, 11, 4, 12, 3]);
    assert_eq!(ids(true, config, text), [2, 11, 15, 1, 1, 12, 3]);
    // A special token that has no number is taken as tokenizer.json has it.
    let mask = json!({"content": "[MASK]", "single_word": true});
    assert_eq!(ids(true, json!({"mask_token": mask}), text), [2, 11, 4, 12, 3]);
}

/// What transformers 4.57 and 5.24 give.
#[test]
fn tokens_of_older_files_are_added_where_none_is_numbered() {
    let tokenizer = tokenizer(true, &Value::Null);
    let folder = |config: &Value| {
        let older = [
            ("tokenizer_config.json", config.clone()),
            ("added_tokens.json", json!({"Paris": 6})),
            ("special_tokens_map.json", json!({"additional_special_tokens": ["b"]})),
        ];
        open_with(&tokenizer, &older).unwrap().encode("aParisbc", None).unwrap().ids
    };
    assert_eq!(folder(&json!({})), [2, 11, 6, 12, 13, 3]);
    assert_eq!(folder(&json!({"added_tokens_decoder": {}})), [2, 1, 3]);
    let added = |tokens| open_with(&tokenizer, &[("added_tokens.json", tokens)]).map(drop);
    assert!(added(json!({"[MASK]": 4})).is_ok());
    let error = added(json!({"Paris": 6})).unwrap_err();
    assert!(error.contains("added_tokens.json: ") && error.contains("Paris"), "{error}");
}

#[test]
fn the_class_may_be_told_by_the_model() {
    let text = "Paris é 中";
    let (lower, cased) = (vec![2, 5, 7, 9, 3], vec![2, 6, 8, 9, 3]);
    for (own, class, expected) in [
        ("PreTrainedTokenizerFast", None, &cased),
        ("BertTokenizerFast", None, &lower),
        ("BertTokenizer", Some("PreTrainedTokenizerFast"), &cased),
        ("PreTrainedTokenizerFast", Some("MPNetTokenizer"), &lower),
    ] {
        let config = class.map_or(json!({}), |class| json!({"tokenizer_class": class}));
        let files = [("tokenizer_config.json", config)];
        let model = json!({"tokenizer_class": own});
        let opened = open_model(&model, &tokenizer(false, &Value::Null), &files).unwrap();
        assert_eq!(opened.encode(text, None).unwrap().ids, *expected, "{own} {class:?}");
    }
}

#[test]
fn keys_that_versions_read_otherwise_must_agree() {
    let mut parts = tokenizer(true, &Value::Null);
    parts["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]});
    let with = |key: &str, value: bool| open(&parts, Some(json!({key: value}))).map(drop);
    for (key, is) in
        [("do_lower_case", true), ("strip_accents", false), ("tokenize_chinese_chars", false)]
    {
        assert!(with(key, is).is_ok(), "{key}");
        let error = with(key, !is).unwrap_err();
        assert!(error.contains(&format!("`{key}` must be {is}")), "{error}");
    }
    let mut bytes = tokenizer(true, &Value::Null);
    bytes["pre_tokenizer"] = json!({"type": "ByteLevel", "add_prefix_space": false,
                                    "trim_offsets": true, "use_regex": true});
    let class = "PreTrainedTokenizerFast";
    let space = |key: bool| json!({"tokenizer_class": class, "add_prefix_space": key});
    assert!(open(&bytes, Some(space(false))).is_ok());
    assert!(open(&bytes, Some(space(true))).unwrap_err().contains("`add_prefix_space`"));
}

/// What transformers 4.57 and 5.24 give.
#[test]
fn keys_are_laid_over_the_normaliser_as_auto_tokenizer_does() {
    let text = "Paris é 中";
    let (lower, cased) = (vec![2, 5, 7, 9, 3], vec![2, 6, 8, 9, 3]);
    for (is_lower, config, expected) in [
        (true, json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false}), &cased),
        (false, json!({"tokenizer_class": "BertTokenizerFast", "do_lower_case": true}), &lower),
        (false, json!({"tokenizer_class": "BertTokenizer"}), &lower),
        (false, json!({}), &lower),
        (true, json!({"tokenizer_class": "ElectraTokenizer", "do_lower_case": false}), &cased),
        (true, json!({"do_lower_case": false}), &cased),
        (
            true,
            json!({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}),
            &lower,
        ),
        (false, json!({"tokenizer_class": "TokenizersBackend", "do_lower_case": true}), &cased),
        (
            true,
            json!({"tokenizer_class": "BertTokenizer", "strip_accents": false}),
            &vec![2, 5, 8, 9, 3],
        ),
        (true, json!({"do_lower_case": false, "strip_accents": true}), &vec![2, 6, 7, 9, 3]),
        (true, json!({"tokenizer_class": "FooTokenizer", "do_lower_case": true}), &lower),
    ] {
        assert_eq!(ids(is_lower, config.clone(), text), *expected, "{is_lower} {config}");
    }
    let config = json!({"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": false});
    assert_eq!(ids(true, config, "中中"), [2, 9, 10, 3]);
    assert_eq!(ids(true, json!({}), "中中"), [2, 9, 9, 3]);
    let config = json!({"split_special_tokens": true});
    assert_eq!(ids(true, config, "[MASK]"), [2, 15, 1, 1, 3]);
    let config = json!({"additional_special_tokens": ["Paris"], "do_lower_case": true});
    assert_eq!(ids(true, config, "Paris paris"), [2, 6, 5, 3]);
    let without = open(&tokenizer(false, &Value::Null), None).unwrap();
    assert_eq!(without.encode(text, None).unwrap().ids, cased, "tokenizer.json alone");
}

#[test]
fn keys_of_classes_that_are_not_known_must_agree() {
    for (key, value) in
        [("do_lower_case", false), ("strip_accents", false), ("tokenize_chinese_chars", false)]
    {
        let config = json!({"tokenizer_class": "FooTokenizer", key: value});
        let error = open(&tokenizer(true, &Value::Null), Some(config)).unwrap_err();
        assert!(error.contains(&format!("tokenizer_config.json: `{key}`")), "{error}");
        assert!(error.contains("found false"), "{error}");
    }
    for (key, value) in [("cls_token", "[SEP]"), ("sep_token", "[PAD]"), ("unk_token", "[PAD]")] {
        let error = open(&tokenizer(true, &Value::Null), Some(json!({key: value}))).unwrap_err();
        assert!(error.contains(&format!("`{key}` must be `")), "{error}");
    }
}

#[test]
fn special_tokens_of_older_folders_must_be_those_of_the_tokenizer() {
    let with =
        |map: Value| open_with(&tokenizer(true, &Value::Null), &[("special_tokens_map.json", map)]);
    let same = json!({"cls_token": "[CLS]", "sep_token": {"content": "[SEP]"},
                      "unk_token": "[UNK]", "additional_special_tokens": ["[MASK]"]});
    assert!(with(same).is_ok());
    for (map, expected) in [
        (json!({"cls_token": "[MASK]"}), "special_tokens_map.json: `cls_token` must be `[CLS]`"),
        (json!({"sep_token": "[UNK]"}), "`sep_token` must be `[SEP]`"),
        (json!({"additional_special_tokens": ["<new>"]}), "found <new>"),
    ] {
        let error = with(map).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_tokenizer_that_can_read_no_text_is_refused_when_it_is_opened() {
    let whole = tokenizer(true, &Value::Null);
    let mut wordless = whole.clone();
    wordless["model"]["vocab"] = json!({});
    let frameless = whole.to_string().replace(r#""id":"[SEP]""#, r#""id":"[END]""#);
    let frameless = serde_json::from_str(&frameless).unwrap();
    for (broken, expected) in
        [(wordless, "Missing [UNK] token"), (frameless, "a part that it asks for")]
    {
        for config in [None, Some(json!({}))] {
            let error = open(&broken, config).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn texts_are_cut_on_the_side_and_to_the_length_that_is_asked_for() {
    let left = json!({"direction": "Left", "max_length": 6, "strategy": "LongestFirst",
                      "stride": 0});
    let (json_left, json_none) = (tokenizer(true, &left), tokenizer(true, &Value::Null));
    let text = "a b c d a b c d a b c d";
    for (tokenizer, config, expected) in [
        (&json_left, None, vec![2, 11, 12, 13, 14, 11, 12, 13, 14, 3]),
        (&json_left, Some(json!({"model_max_length": 5})), vec![2, 12, 13, 14, 3]),
        (
            &json_left,
            Some(json!({"model_max_length": 5, "truncation_side": "right"})),
            vec![2, 11, 12, 13, 3],
        ),
        (
            &json_none,
            Some(json!({"model_max_length": 4, "truncation_side": "left"})),
            vec![2, 13, 14, 3],
        ),
        (&json_none, Some(json!({"max_len": 4})), vec![2, 11, 12, 3]),
        (
            &json_none,
            Some(json!({"model_max_length": 1e30, "padding_side": "left"})),
            vec![2, 11, 12, 13, 14, 11, 12, 13, 14, 3],
        ),
    ] {
        let found = open(tokenizer, config).unwrap().encode_noting_cuts(text, None).unwrap();
        assert_eq!((found.row.ids, found.is_cut), (expected, true));
    }
    let tokenizer = open(&json_none, Some(json!({"truncation_side": "left"}))).unwrap();
    let found = tokenizer.encode_noting_cuts("a b c d a b", Some("a b c d")).unwrap();
    assert_eq!(found.row.ids, [2, 13, 14, 11, 12, 3, 12, 13, 14, 3]);
    assert_eq!(found.row.kinds, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    assert!(!tokenizer.encode_noting_cuts("a", Some("b")).unwrap().is_cut);
}

#[test]
fn kinds_are_left_out_where_the_inputs_lack_them() {
    let without = json!({"model_input_names": ["input_ids", "attention_mask"]});
    let class = json!({"tokenizer_class": "DistilBertTokenizerFast"});
    let told = json!({"tokenizer_class": "DistilBertTokenizerFast",
                      "model_input_names": ["input_ids", "token_type_ids"]});
    for (config, is_empty) in [(without, true), (class, true), (told, false)] {
        let tokenizer = open(&tokenizer(true, &Value::Null), Some(config)).unwrap();
        assert_eq!(tokenizer.encode("a", Some("b")).unwrap().kinds.is_empty(), is_empty);
    }
}
