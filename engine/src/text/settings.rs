//! What `tokenizer_config.json` changes of a tokenizer, as transformers' `AutoTokenizer` does.
//!
//! For the classes of BERT and RoBERTa the keys win over `tokenizer.json`, and a key that is left
//! out stands for its default (`do_lower_case` is true); the generic class takes `tokenizer.json`
//! as it is. Where versions of transformers disagree, a key must say what `tokenizer.json` says.
//! Without `tokenizer_config.json` there is nothing but `tokenizer.json` to go by: here alone
//! `AutoTokenizer` does otherwise, and takes the defaults of the family's class.

use std::collections::BTreeSet;

use offramp_weights::tokenizer_config::NamedToken;
use offramp_weights::{TextSpec, TokenizerConfig};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, ModelWrapper, NormalizedString, Normalizer as _};

use crate::error::Result;

/// Classes that lower-case and strip accents by their keys.
const LIKE_BERT: [&str; 15] = [
    "Bert",
    "DistilBert",
    "Electra",
    "MobileBert",
    "ConvBert",
    "SqueezeBert",
    "LayoutLM",
    "Lxmert",
    "Funnel",
    "RetriBert",
    "Splinter",
    "MPNet",
    "DPRContextEncoder",
    "DPRQuestionEncoder",
    "DPRReader",
];
/// Classes that put a space before a text by their key.
const LIKE_ROBERTA: [&str; 7] = ["Roberta", "GPT2", "Bart", "Longformer", "LED", "Deberta", "Mvp"];
/// Classes whose models read no kinds of tokens, unless `model_input_names` says so.
const WITHOUT_KINDS: [&str; 2] = ["DistilBert", "MPNet"];
/// Classes that read `tokenizer.json` as it is.
const GENERIC: [&str; 3] = ["PreTrained", "TokenizersBackend", "PreTrainedTokenizer"];

/// How a tokenizer's class reads its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Bert,
    Roberta,
    Generic,
    Unknown,
}

/// Lays `config` over `inner`.
pub(super) fn apply(
    inner: &mut tokenizers::Tokenizer,
    config: &TokenizerConfig,
    spec: &TextSpec,
) -> Result<()> {
    let class = class(config, spec);
    normalise(inner, config, class)?;
    space(inner, config, class)?;
    inner.set_encode_special_tokens(config.splits_special);
    add_tokens(inner, config);
    if matches!(class, Class::Bert | Class::Roberta) {
        expect_frame(inner, config)?;
    }
    Ok(())
}

/// Whether the tokenizer gives a kind for each token.
pub(super) fn gives_kinds(config: &TokenizerConfig, spec: &TextSpec) -> bool {
    let is_without = class_name(config, spec).is_some_and(|class| WITHOUT_KINDS.contains(&class));
    config.gives_kinds.unwrap_or(!is_without)
}

fn class_name<'a>(config: &'a TokenizerConfig, spec: &'a TextSpec) -> Option<&'a str> {
    config.class.as_deref().or(spec.tokenizer_class.as_deref())
}

fn class(config: &TokenizerConfig, spec: &TextSpec) -> Class {
    match class_name(config, spec).unwrap_or(spec.tokenizer) {
        name if LIKE_BERT.contains(&name) => Class::Bert,
        name if LIKE_ROBERTA.contains(&name) => Class::Roberta,
        name if GENERIC.contains(&name) => Class::Generic,
        _ => Class::Unknown,
    }
}

fn normalise(
    inner: &mut tokenizers::Tokenizer,
    config: &TokenizerConfig,
    class: Class,
) -> Result<()> {
    match (class, inner.get_normalizer().cloned()) {
        (Class::Bert, Some(NormalizerWrapper::BertNormalizer(mut rules))) => {
            rules.lowercase = config.lowercase.unwrap_or(true);
            rules.strip_accents = config.strip_accents;
            rules.handle_chinese_chars = config.chinese_chars.unwrap_or(true);
            inner.with_normalizer(Some(NormalizerWrapper::BertNormalizer(rules)));
            Ok(())
        }
        (Class::Bert | Class::Unknown, rules) => expect_rules(config, rules.as_ref()),
        (Class::Roberta | Class::Generic, _) => Ok(()),
    }
}

/// What becomes of a letter under rules that are left as they are tells whether a key holds.
fn expect_rules(config: &TokenizerConfig, rules: Option<&NormalizerWrapper>) -> Result<()> {
    let becomes = |text: &str| {
        let mut text = NormalizedString::from(text);
        // Rules that fail here fail at every text, which is told elsewhere.
        let _ = rules.map(|rules| rules.normalize(&mut text));
        text.get().to_owned()
    };
    expect(config, "do_lower_case", config.lowercase, becomes("A") == "a")?;
    expect(config, "strip_accents", config.strip_accents, becomes("\u{e9}") == "e")?;
    let is_parted = becomes("\u{4e2d}") == " \u{4e2d} ";
    expect(config, "tokenize_chinese_chars", config.chinese_chars, is_parted)
}

fn space(inner: &mut tokenizers::Tokenizer, config: &TokenizerConfig, class: Class) -> Result<()> {
    let Some(PreTokenizerWrapper::ByteLevel(mut split)) = inner.get_pre_tokenizer().cloned() else {
        return Ok(());
    };
    match class {
        Class::Roberta => {
            split.add_prefix_space = config.prefix_space.unwrap_or(false);
            inner.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(split)));
        }
        Class::Unknown | Class::Generic => {
            expect(config, "add_prefix_space", config.prefix_space, split.add_prefix_space)?;
        }
        Class::Bert => {}
    }
    Ok(())
}

/// Where it is not known, or not agreed on, what becomes of a key, it must say what
/// `tokenizer.json` says.
fn expect(config: &TokenizerConfig, key: &str, asked: Option<bool>, is: bool) -> Result<()> {
    match asked {
        Some(asked) if asked != is => {
            let class = config.class.as_deref().unwrap_or_default();
            let expected = format!(
                "{is}, as in tokenizer.json: what the class `{class}` makes of another value there \
                 is not known"
            );
            Err(config.refused(key, expected, &asked.to_string()).into())
        }
        _ => Ok(()),
    }
}

/// Adds tokens that `tokenizer.json` has not, and those that the configuration numbers.
fn add_tokens(inner: &mut tokenizers::Tokenizer, config: &TokenizerConfig) {
    let added = |token: &NamedToken| AddedToken {
        content: token.content.clone(),
        single_word: token.single_word,
        lstrip: token.lstrip,
        rstrip: token.rstrip,
        normalized: token.normalized,
        special: token.special,
    };
    let mut there: BTreeSet<String> =
        inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    let is_new = |token: &&NamedToken| there.insert(token.content.clone()) || token.replaces;
    let new: Vec<AddedToken> = config.named.iter().filter(is_new).map(added).collect();
    // Also where there is none: those of tokenizer.json are found as they are normalised now.
    inner.add_tokens(&new);
}

/// Refuses tokens of older files that `tokenizer.json` does not add as well, or has otherwise.
pub(super) fn expect_tokens(inner: &tokenizers::Tokenizer, older: &TokenizerConfig) -> Result<()> {
    expect_frame(inner, older)?;
    let there = inner.get_added_tokens_decoder();
    let is_there = |token: &&NamedToken| there.values().any(|known| known.content == token.content);
    match older.named.iter().find(|token| !is_there(token)) {
        Some(token) => {
            let expected = "tokens that tokenizer.json adds".to_owned();
            Err(older.refused("tokens", expected, &token.content).into())
        }
        None => Ok(()),
    }
}

/// Which tokens stand around a text and for unknown words is taken from `tokenizer.json`.
fn expect_frame(inner: &tokenizers::Tokenizer, config: &TokenizerConfig) -> Result<()> {
    let frame = super::frame(inner, None).unwrap_or_default();
    let name = |id: Option<&u32>| id.and_then(|&id| inner.id_to_token(id));
    let unknown = match inner.get_model() {
        ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
        _ => None,
    };
    for (key, asked, is) in [
        ("cls_token", &config.cls_token, name(frame.first())),
        ("sep_token", &config.sep_token, name(frame.last())),
        ("unk_token", &config.unk_token, unknown),
    ] {
        if let (Some(asked), Some(is)) = (asked, is)
            && *asked != is
        {
            return Err(config.refused(key, format!("`{is}`, as in tokenizer.json"), asked).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use offramp_weights::ModelSpec;
    use serde_json::{Value, json};

    use crate::text::Tokenizer;

    /// Ids in the order of the words below.
    const VOCAB: [&str; 16] = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "Paris", "e", "é", "中", "##中",
        "a", "b", "c", "d", "[",
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
        for (key, value) in [("cls_token", "[SEP]"), ("sep_token", "[PAD]"), ("unk_token", "[PAD]")]
        {
            let error =
                open(&tokenizer(true, &Value::Null), Some(json!({key: value}))).unwrap_err();
            assert!(error.contains(&format!("`{key}` must be `")), "{error}");
        }
    }

    #[test]
    fn special_tokens_of_older_folders_must_be_those_of_the_tokenizer() {
        let with = |map: Value| {
            open_with(&tokenizer(true, &Value::Null), &[("special_tokens_map.json", map)])
        };
        let same = json!({"cls_token": "[CLS]", "sep_token": {"content": "[SEP]"},
                          "unk_token": "[UNK]", "additional_special_tokens": ["[MASK]"]});
        assert!(with(same).is_ok());
        for (map, expected) in [
            (
                json!({"cls_token": "[MASK]"}),
                "special_tokens_map.json: `cls_token` must be `[CLS]`",
            ),
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
}
