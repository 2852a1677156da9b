//! Every answer is the one that the `tokenizers` crate gives, which splits all of a text first.

use std::sync::{LazyLock, Mutex, PoisonError};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::utils::truncation::{TruncationParams, truncate_encodings};

use super::long_word::LongWords;
use super::*;

/// A vocabulary of all characters of the first planes, so that no difference hides behind an
/// unknown word.
fn bert_vocab() -> Value {
    let mut vocab = serde_json::Map::new();
    for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##the", "th", "what"] {
        vocab.insert(token.to_owned(), vocab.len().into());
    }
    for c in (0..0x3000).chain(0xac00..0xad00).chain(0xf900..0x1_2000).filter_map(char::from_u32) {
        for token in [c.to_string(), format!("##{c}")] {
            let id = vocab.len();
            vocab.entry(token).or_insert(id.into());
        }
    }
    vocab.into()
}

fn special(id: u32, content: &str, flags: [bool; 3]) -> Value {
    let [lstrip, single_word, normalized] = flags;
    json!({"id": id, "content": content, "single_word": single_word, "lstrip": lstrip,
           "rstrip": false, "normalized": normalized, "special": true})
}

/// `[MASK]` may take the white space before it.
fn bert_with(normalizer: &Value, strips: bool) -> tokenizers::Tokenizer {
    static VOCAB: LazyLock<Value> = LazyLock::new(bert_vocab);
    let frame = |second: bool| {
        let token = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
        let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
        let mut frame = vec![token("[CLS]", 0), text("A", 0), token("[SEP]", 0)];
        frame.extend(second.then(|| text("B", 1)));
        frame.extend(second.then(|| token("[SEP]", 1)));
        frame
    };
    let named = |id: u32, token: &str| json!({"id": token, "ids": [id], "tokens": [token]});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            special(0, "[PAD]", [false; 3]), special(1, "[UNK]", [false; 3]),
            special(2, "[CLS]", [false; 3]), special(3, "[SEP]", [false; 3]),
            special(4, "[MASK]", [strips, false, false]), special(7, "th", [false, true, false]),
        ],
        "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": frame(false), "pair": frame(true),
            "special_tokens": {"[CLS]": named(2, "[CLS]"), "[SEP]": named(3, "[SEP]")},
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 20, "vocab": *VOCAB},
    });
    read(json.to_string().as_bytes()).unwrap()
}

fn bert_normalizer(clean: bool, chinese: bool, strip: Option<bool>, lower: bool) -> Value {
    json!({"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
           "strip_accents": strip, "lowercase": lower})
}

/// Tokenizers take long to copy: tests take turns.
type Turns = LazyLock<Vec<Mutex<Tokenizer>>>;

static BERTS: Turns = LazyLock::new(|| {
    [
        bert_normalizer(true, true, None, true),
        bert_normalizer(true, true, None, false),
        bert_normalizer(false, true, Some(false), true),
        bert_normalizer(true, false, Some(true), false),
        bert_normalizer(false, false, Some(true), true),
    ]
    .map(|rules| Mutex::new(ours(bert_with(&rules, true))))
    .into()
});

/// The characters that stand for bytes, in the order of GPT-2's.
fn byte_chars() -> Vec<char> {
    let split = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut chars: Vec<char> = split.into_iter().collect();
    chars.sort_unstable();
    chars
}

/// A vocabulary of all bytes and what `merges` make.
fn byte_level(merges: &[(String, String)], adds_space: bool) -> tokenizers::Tokenizer {
    let mut vocab = serde_json::Map::new();
    let mut added = Vec::new();
    for (content, lstrip, normalized) in
        [("<s>", false, false), ("</s>", false, true), ("<mask>", true, false), ("th", false, true)]
    {
        added.push(special(vocab.len() as u32, content, [lstrip, content == "th", normalized]));
        vocab.insert(content.to_owned(), vocab.len().into());
    }
    let mut known: Vec<(String, String)> = Vec::new();
    for token in byte_chars().into_iter().map(String::from) {
        vocab.insert(token, vocab.len().into());
    }
    for (left, right) in merges {
        let id = vocab.len();
        let is_new = vocab.contains_key(left) && vocab.contains_key(right);
        if is_new && !known.contains(&(left.clone(), right.clone())) {
            vocab.entry(format!("{left}{right}")).or_insert(id.into());
            known.push((left.clone(), right.clone()));
        }
    }
    let merges: Vec<_> = known.iter().map(|(left, right)| format!("{left} {right}")).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": adds_space,
                          "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0],
                           "trim_offsets": true, "add_prefix_space": adds_space},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
                  "byte_fallback": false, "vocab": vocab, "merges": merges},
    });
    read(json.to_string().as_bytes()).unwrap()
}

fn merges(pairs: &[&str]) -> Vec<(String, String)> {
    let pairs = pairs.iter().map(|pair| pair.split_once(' ').unwrap());
    pairs.map(|(left, right)| (left.to_owned(), right.to_owned())).collect()
}

static BYTE_LEVELS: Turns = LazyLock::new(|| {
    let merges = merges(&[
        "t h",
        "th e",
        "Ġ the",
        "Ġ a",
        "a a",
        "aa aa",
        "aaaa aaaa",
        "Ã ©",
        "ä ¸",
        "ä¸ Ń",
        "1 2",
        "Ġ Ġ",
        "ĠĠ ĠĠ",
        "Ċ Ċ",
        "y z",
        "x y",
        "w x",
        "v w",
        "u v",
        "s u",
        "r s",
        "q r",
    ]);
    [false, true].map(|adds_space| Mutex::new(ours(byte_level(&merges, adds_space)))).into()
});

fn ours(inner: tokenizers::Tokenizer) -> Tokenizer {
    let scanner = Scanner::new(&inner);
    assert!(scanner.is_ours(), "the rules are those that stop early");
    let takes_pairs = frame(&inner, Some("")).is_ok();
    Tokenizer { inner, scanner, tokens_max: 8, side: Side::Right, has_kinds: true, takes_pairs }
}

/// What both give, ours and the crate for all of the text.
fn both(
    tokenizer: &mut Tokenizer,
    tokens_max: usize,
    side: Side,
    (text, pair): (&str, Option<&str>),
) -> (Encoded, Encoded) {
    (tokenizer.tokens_max, tokenizer.side) = (tokens_max, side);
    let found = tokenizer.encode_noting_cuts(text, pair).unwrap();
    (found, theirs(&tokenizer.inner, tokens_max, side, (text, pair)))
}

fn turn(which: &Mutex<Tokenizer>) -> std::sync::MutexGuard<'_, Tokenizer> {
    which.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the crate gives for all of the text.
fn theirs(
    inner: &tokenizers::Tokenizer,
    tokens_max: usize,
    side: Side,
    (text, pair): (&str, Option<&str>),
) -> Encoded {
    let first = inner.encode(text, false).unwrap();
    let second = pair.map(|pair| inner.encode(pair, false).unwrap());
    let added = inner.get_post_processor().unwrap().added_tokens(pair.is_some());
    let tokens = first.len() + second.as_ref().map_or(0, Encoding::len) + added;
    let direction = match side {
        Side::Left => TruncationDirection::Left,
        Side::Right => TruncationDirection::Right,
    };
    let max_length = tokens_max - added;
    let cut = TruncationParams { max_length, direction, ..TruncationParams::default() };
    let (first, second) = truncate_encodings(first, second, &cut).unwrap();
    let encoding = inner.post_process(first, second, true).unwrap();
    let kinds = encoding.get_type_ids().iter().map(|&kind| kind as u16).collect();
    let row = TokenRow { ids: encoding.get_ids().to_vec(), kinds };
    Encoded { row, is_cut: tokens > tokens_max }
}

/// What is hard to split in the right place, between bars.
const FRAGMENTS: &str = "[MASK]|[SEP]|[CL|S]|<mask>|<s>|</s>|<ma|th| |  |\n|\t|\0|\u{200b}|\
    \u{feff}|\
    \u{fffd}|\u{b}|\u{85}|\u{2028}|\u{a0}|\u{3000}|\u{301}|\u{327}|\u{302e}|\u{302f}|\u{1b44}|\
    \u{93c}|\u{941}|\u{20dd}|é|É|İ|ß|Σ|ﬁ|Ǆ|ὦ|中|国|\u{f900}|가|ᄀ|ᅡ|ㅏ|ก|ำ|'s|'re|'|!|...|—|\u{37e}|\
    \u{1fef}|·|😀|👩‍👩‍👧|²|½|Ⅷ|12|a|the|What|aaaaaaa|qrsuvwxyz|xyzzy|Th|²a|_|a_b";

fn nasty() -> impl Strategy<Value = String> {
    let fragments: Vec<&str> = FRAGMENTS.split('|').collect();
    let fragment = prop_oneof![
        8 => proptest::sample::select(fragments).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z]{1,30}",
    ];
    let times = prop_oneof![9 => Just(1_usize), 1 => 2..40_usize, 1 => Just(120_usize)];
    let repeated = (fragment, times).prop_map(|(text, times)| text.repeat(times));
    proptest::collection::vec(repeated, 0..14).prop_map(|parts| parts.concat())
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn bert_cut_before_is_bert_cut_behind(
        which in 0..5_usize, text in nasty(), pair in proptest::option::of(nasty()),
        tokens_max in 4..40_usize, side in side(),
    ) {
        let mut tokenizer = turn(&BERTS[which]);
        let input = (text.as_str(), pair.as_deref());
        let (found, expected) = both(&mut tokenizer, tokens_max, side, input);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn roberta_cut_before_is_roberta_cut_behind(
        which in 0..2_usize, text in nasty(), pair in proptest::option::of(nasty()),
        tokens_max in 4..40_usize, side in side(),
    ) {
        let mut tokenizer = turn(&BYTE_LEVELS[which]);
        let input = (text.as_str(), pair.as_deref());
        let (found, expected) = both(&mut tokenizer, tokens_max, side, input);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn long_words_are_merged_as_a_whole_word_is(
        pairs in proptest::collection::vec((0..12_usize, 0..12_usize), 0..30),
        period in "[abc]{1,12}", times in 1..400_usize, tail in "[abc]{0,1500}",
    ) {
        let mut tokens = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let mut merges = Vec::new();
        for (left, right) in pairs {
            let (left, right) = (&tokens[left % tokens.len()], &tokens[right % tokens.len()]);
            let made = format!("{left}{right}");
            merges.push((left.clone(), right.clone()));
            if !tokens.contains(&made) && made.len() < 40 {
                tokens.push(made);
            }
        }
        let inner = byte_level(&merges, false);
        let word = period.repeat(times) + &tail;
        prop_assert_eq!(merged(&inner, &word), whole_word(&inner, &word));
    }
}

fn merged(inner: &tokenizers::Tokenizer, word: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    let ModelWrapper::BPE(model) = inner.get_model() else { panic!("of bytes") };
    let words = LongWords::new(model, bytes::bytes_of);
    let _ = words.merge(word.as_bytes(), inner.get_model(), &mut |id| {
        ids.push(id);
        std::ops::ControlFlow::Continue(())
    });
    ids
}

fn whole_word(inner: &tokenizers::Tokenizer, word: &str) -> Vec<u32> {
    use tokenizers::Model as _;
    inner.get_model().tokenize(word).unwrap().iter().map(|token| token.id).collect()
}

/// Whether a merge happens far to the left hangs on where the word ends.
#[test]
fn a_word_whose_end_decides_its_beginning_is_read_whole() {
    let letters: Vec<char> = ('a'..='z').collect();
    let chain: Vec<_> =
        letters.windows(2).rev().map(|two| (two[0].to_string(), two[1].to_string())).collect();
    let inner = byte_level(&chain, false);
    for end in 20..26 {
        let word = format!("{}{}", "m".repeat(2000), letters[..end].iter().collect::<String>());
        assert_eq!(merged(&inner, &word), whole_word(&inner, &word), "to {end}");
        let word = letters[..end].iter().collect::<String>().repeat(90);
        assert_eq!(merged(&inner, &word), whole_word(&inner, &word), "{end} again and again");
    }
}

#[test]
fn every_character_is_normalised_as_by_the_crate() {
    let chars: Vec<char> = ('\0'..='\u{11fff}').collect();
    for (which, tokenizer) in BERTS.iter().enumerate() {
        let mut tokenizer = turn(tokenizer);
        for some in chars.chunks(64) {
            let text: String = some.iter().flat_map(|&c| ['a', c, 'b', c, ' ']).collect();
            let (found, expected) = both(&mut tokenizer, 1 << 20, Side::Right, (&text, None));
            assert_eq!(found, expected, "rules {which} from U+{:04X}", some[0] as u32);
        }
    }
}

#[test]
fn words_of_one_character_may_be_too_long_too() {
    let normalizer = bert_normalizer(true, true, None, true);
    let json = serde_json::to_value(bert_with(&normalizer, true)).unwrap();
    for chars_max in 0..3 {
        let mut json = json.clone();
        json["model"]["max_input_chars_per_word"] = json!(chars_max);
        let mut tokenizer = ours(read(json.to_string().as_bytes()).unwrap());
        for text in ["a", "a.b", "é 中 ☃ !", "\u{10ffff} aa aaa", "[a"] {
            let (found, expected) = both(&mut tokenizer, 64, Side::Right, (text, None));
            assert_eq!(found, expected, "{chars_max}: {text}");
        }
    }
}

#[test]
fn the_shipped_tokenizer_stops_early_from_both_sides() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/trec-questions");
    let inner = read(&std::fs::read(format!("{file}/tokenizer.json")).unwrap()).unwrap();
    let texts = ["a ".repeat(400), "中".repeat(200), "é\0\u{301}".repeat(300), "x".repeat(900)];
    let mut tokenizer = ours(inner);
    for side in [Side::Left, Side::Right] {
        for tokens_max in [63, 64] {
            for (text, pair) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
                for pair in [None, Some(pair.as_str())] {
                    let (found, expected) = both(&mut tokenizer, tokens_max, side, (text, pair));
                    assert_eq!(found, expected);
                }
            }
        }
    }
}

/// A tokenizer whose rules are followed by the crate.
fn by_the_crate(inner: tokenizers::Tokenizer) -> Tokenizer {
    let scanner = Scanner::new(&inner);
    assert!(!scanner.is_ours());
    let takes_pairs = frame(&inner, Some("")).is_ok();
    Tokenizer { inner, scanner, tokens_max: 9, side: Side::Right, has_kinds: true, takes_pairs }
}

fn normaliser(rules: Value) -> Option<NormalizerWrapper> {
    Some(serde_json::from_value(rules).unwrap())
}

#[test]
fn rules_that_part_at_spaces_are_followed_from_space_to_space() {
    let lower = bert_normalizer(true, true, None, true);
    let mut with_added = bert_with(&lower, false);
    with_added.add_tokens(&[AddedToken::from("Word", false)]);
    let mut other = bert_with(&Value::Null, false);
    let rules =
        json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]});
    other.with_normalizer(normaliser(rules));
    let text = "the word  Th É\u{301} 中 a1 [SEP] ".repeat(250);
    let long = format!("{} {}", "word ".repeat(40_000), "x".repeat(scan::WHOLE_BYTES_MAX + 1));
    for inner in [with_added, other] {
        let mut tokenizer = by_the_crate(inner);
        for (side, tokens_max) in [(Side::Left, 9), (Side::Right, 9), (Side::Left, 1501)] {
            for pair in [None, Some("a"), Some(&text[..text.floor_char_boundary(9000)])] {
                let (found, expected) = both(&mut tokenizer, tokens_max, side, (&text, pair));
                assert_eq!(found, expected);
            }
        }
        tokenizer.side = Side::Right;
        assert!(tokenizer.encode_noting_cuts(&long, None).unwrap().is_cut);
        tokenizer.side = Side::Left;
        let error = tokenizer.encode(&long, None).unwrap_err();
        assert!(matches!(error, InputError::TextTooLong { .. }), "{error}");
    }
}

#[test]
fn rules_that_are_not_known_are_followed_up_to_a_limit() {
    let mut inner = turn(&BYTE_LEVELS[0]).inner.clone();
    let rules = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    inner.with_normalizer(normaliser(rules));
    let mut tokenizer = by_the_crate(inner);
    let text = "the word th ".repeat(50);
    let (found, expected) = both(&mut tokenizer, 8, Side::Left, (&text, Some("a")));
    assert_eq!(found, expected);
    let error = tokenizer.encode(&"a ".repeat(scan::WHOLE_BYTES_MAX), None).unwrap_err();
    assert!(matches!(error, InputError::TextTooLong { bytes: 131_072, .. }), "{error}");
}

#[test]
fn what_is_no_tokenizer_is_named() {
    for (content, word) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0"[..], "LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04", "torch.save"),
        (b"", "no bytes"),
        (b"{\"version\": \"1.0\"}", "not a tokenizer"),
        (b"the\n##s\n", "begins `the`"),
    ] {
        let error = read(content).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_frame_of_a_token_that_is_not_there_fails_the_rows_that_need_it() {
    const WORDS: &str = include_str!("../../../tests/fuzz/tokenizers/words.json");
    let (before, second) = WORDS.split_once("\"pair\":").unwrap();
    let broken = format!("{before}\"pair\":{}", second.replacen("\"[SEP]\"", "\"[END]\"", 1));
    let tokenizer = ours(read(broken.as_bytes()).unwrap());
    assert_eq!(tokenizer.encode("the a", None).unwrap().ids, [2, 6, 4, 3]);
    for pair in ["", "a", "the the the"] {
        let error = tokenizer.encode("the", Some(pair)).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: a part"), "{error}");
    }
}
