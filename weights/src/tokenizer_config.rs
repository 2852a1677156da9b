//! `tokenizer_config.json`: what transformers lays over `tokenizer.json` when it loads a tokenizer.
//!
//! The keys read here are those that change which tokens a text becomes. Those that do not are many
//! and harmless: how to pad, offsets, chat templates, settings of tokenizers written in Python
//! (`do_basic_tokenize`, `never_split`), and what a caller may ask for anew (`max_length`,
//! `stride`, `truncation_strategy`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::disk::{is_there, read_whole};
use crate::error::{Error, Result};
use crate::json::{self, Object};

/// The name of the file in a model's folder.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Where older folders name their tokens.
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
/// Longest file, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Limits from here on are none: Python writes 1e30.
const LIMIT_MAX: f64 = 1e15;

/// The side on which a text that is too long loses tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Its beginning.
    Left,
    /// Its end.
    #[default]
    Right,
}

/// A token that is found in a text before that is split into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// Its text.
    pub content: String,
    /// Whether it takes the white space before it.
    pub lstrip: bool,
    /// Whether it takes the white space behind it.
    pub rstrip: bool,
    /// Whether it is left alone within a word.
    pub single_word: bool,
    /// Whether it is looked for in the normalised text.
    pub normalized: bool,
    /// Whether it is one that people do not write.
    pub special: bool,
    /// Whether it takes the place of one of the same text in `tokenizer.json`.
    pub replaces: bool,
}

/// The keys that change which tokens a text becomes; none where a key is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// `tokenizer_class`, without "Fast" and "Tokenizer": "Bert".
    pub class: Option<String>,
    /// `do_lower_case`.
    pub lowercase: Option<bool>,
    /// `strip_accents`.
    pub strip_accents: Option<bool>,
    /// `tokenize_chinese_chars`.
    pub chinese_chars: Option<bool>,
    /// `add_prefix_space`.
    pub prefix_space: Option<bool>,
    /// `truncation_side`.
    pub truncation_side: Option<Side>,
    /// `model_max_length`, special tokens included.
    pub tokens_max: Option<usize>,
    /// `split_special_tokens`: special tokens are plain text.
    pub splits_special: bool,
    /// Whether `model_input_names` holds the kinds of tokens.
    pub gives_kinds: Option<bool>,
    /// `cls_token`.
    pub cls_token: Option<String>,
    /// `sep_token`.
    pub sep_token: Option<String>,
    /// `unk_token`.
    pub unk_token: Option<String>,
    /// Tokens that it names, by any key, in the order in which they are to be added.
    pub named: Vec<NamedToken>,
}

impl TokenizerConfig {
    /// Reads it from a model's folder; none where there is none. Where it does not number tokens
    /// (`added_tokens_decoder`), those of `special_tokens_map.json` and `added_tokens.json` are its
    /// own, and otherwise the two say nothing.
    ///
    /// # Errors
    /// A file cannot be read, is no JSON, or a key has a value that nothing is known to do with.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(TOKENIZER_CONFIG);
        let Some(mut keys) = read::<Keys>(&file)? else { return Ok(None) };
        let mut older = Vec::new();
        if keys.added_tokens_decoder.is_none() {
            keys.take_special(read(&dir.join(SPECIAL_TOKENS))?.unwrap_or_default());
            older = numbered(dir)?;
        }
        Self::of(keys, older, &file).map(Some)
    }

    /// Reads the files in which older folders name their tokens, as if each were a
    /// `tokenizer_config.json`: for folders without one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_older(dir: &Path) -> Result<Vec<Self>> {
        let (special, added) = (dir.join(SPECIAL_TOKENS), dir.join(ADDED_TOKENS));
        let keys = read::<Keys>(&special)?.unwrap_or_default();
        Ok(vec![
            Self::of(keys, Vec::new(), &special)?,
            Self::of(Keys::default(), numbered(dir)?, &added)?,
        ])
    }

    /// Reads its content.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(content: &[u8], file: &Path) -> Result<Self> {
        Self::of(json::parse(content, file)?, Vec::new(), file)
    }

    /// `older` are tokens of `added_tokens.json`, in the order of their numbers.
    fn of(keys: Keys, older: Vec<String>, file: &Path) -> Result<Self> {
        let tokens_max = tokens_max(&keys, file)?;
        let text = |token: &Option<Token>| token.as_ref().map(|token| token.content().to_owned());
        let inputs = &keys.model_input_names;
        Ok(Self {
            file: file.to_owned(),
            class: keys.tokenizer_class.as_deref().map(bare_class),
            lowercase: keys.do_lower_case,
            strip_accents: keys.strip_accents,
            chinese_chars: keys.tokenize_chinese_chars,
            prefix_space: keys.add_prefix_space,
            truncation_side: keys.truncation_side,
            tokens_max,
            splits_special: keys.split_special_tokens.unwrap_or(false),
            gives_kinds: inputs
                .as_ref()
                .map(|names| names.iter().any(|name| name == "token_type_ids")),
            cls_token: text(&keys.cls_token),
            sep_token: text(&keys.sep_token),
            unk_token: text(&keys.unk_token),
            named: keys.named(older),
        })
    }

    /// Says which key asks for what cannot be done.
    pub fn refused(&self, key: &str, expected: String, found: &str) -> Error {
        Error::refused(&self.file, key, expected, found)
    }
}

/// `BertTokenizerFast` without "Fast" and "Tokenizer".
pub(crate) fn bare_class(class: &str) -> String {
    let class = class.strip_suffix("Fast").unwrap_or(class);
    class.strip_suffix("Tokenizer").unwrap_or(class).to_owned()
}

/// What a file holds; none where there is none.
fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    match is_there(file) {
        true => json::parse(&read_whole(file, FILE_BYTES_MAX)?, file).map(Some),
        false => Ok(None),
    }
}

/// The tokens of `added_tokens.json`, in the order of their numbers.
fn numbered(dir: &Path) -> Result<Vec<String>> {
    let tokens: BTreeMap<String, u32> = read(&dir.join(ADDED_TOKENS))?.unwrap_or_default();
    let mut tokens: Vec<(u32, String)> = tokens.into_iter().map(|(text, id)| (id, text)).collect();
    tokens.sort_unstable();
    Ok(tokens.into_iter().map(|(_, text)| text).collect())
}

/// The least of the two spellings that is a limit.
fn tokens_max(keys: &Keys, file: &Path) -> Result<Option<usize>> {
    let (key, limit) = match (keys.model_max_length, keys.max_len) {
        (Some(limit), _) => ("model_max_length", limit),
        (None, Some(limit)) => ("max_len", limit),
        (None, None) => return Ok(None),
    };
    match limit {
        limit if limit >= LIMIT_MAX => Ok(None),
        limit if limit >= 1.0 && limit.fract() == 0.0 => Ok(Some(limit as usize)),
        limit => Err(Error::refused(file, key, "a number of tokens from 1", limit)),
    }
}

#[derive(Default, Deserialize)]
struct Keys {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    add_prefix_space: Option<bool>,
    truncation_side: Option<Side>,
    model_max_length: Option<f64>,
    /// What `model_max_length` was called.
    max_len: Option<f64>,
    split_special_tokens: Option<bool>,
    model_input_names: Option<Vec<String>>,
    unk_token: Option<Token>,
    sep_token: Option<Token>,
    pad_token: Option<Token>,
    cls_token: Option<Token>,
    mask_token: Option<Token>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    additional_special_tokens: Option<Vec<Token>>,
    extra_special_tokens: Option<Extra>,
    added_tokens_decoder: Option<BTreeMap<u32, Token>>,
}

impl Keys {
    /// The special tokens of `special_tokens_map.json` go before its own.
    fn take_special(&mut self, map: Self) {
        for (own, other) in [
            (&mut self.unk_token, map.unk_token),
            (&mut self.sep_token, map.sep_token),
            (&mut self.pad_token, map.pad_token),
            (&mut self.cls_token, map.cls_token),
            (&mut self.mask_token, map.mask_token),
            (&mut self.bos_token, map.bos_token),
            (&mut self.eos_token, map.eos_token),
        ] {
            *own = other.or_else(|| own.take());
        }
        let own = self.additional_special_tokens.get_or_insert_default();
        own.extend(map.additional_special_tokens.into_iter().flatten());
    }

    /// All tokens: those with numbers first, as transformers adds them.
    fn named(self, older: Vec<String>) -> Vec<NamedToken> {
        let special = [
            self.bos_token,
            self.eos_token,
            self.unk_token,
            self.sep_token,
            self.pad_token,
            self.cls_token,
            self.mask_token,
        ];
        let extra = match self.extra_special_tokens {
            Some(Extra::List(tokens)) => tokens,
            Some(Extra::Named(tokens)) => tokens.into_values().collect(),
            None => Vec::new(),
        };
        let special = special.into_iter().flatten();
        let special = special.chain(self.additional_special_tokens.into_iter().flatten());
        let special: Vec<Token> = special.chain(extra).collect();
        let texts: BTreeSet<String> = special.iter().map(|t| t.content().to_owned()).collect();
        let with_ids = self.added_tokens_decoder.into_iter().flatten().map(|(_, token)| {
            let is_special = texts.contains(token.content());
            NamedToken { replaces: true, ..token.named(is_special) }
        });
        let older = older.into_iter().map(|text| {
            let is_special = texts.contains(&text);
            Token::Text(text).named(is_special)
        });
        let special = special.into_iter().map(|token| token.named(true));
        let all = with_ids.chain(older).chain(special);
        all.filter(|token| !token.content.is_empty()).collect()
    }
}

/// Tokens of the model's own, in either form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Extra {
    List(Vec<Token>),
    Named(BTreeMap<String, Token>),
}

/// A token as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Whole(Object<Whole>),
}

#[derive(Deserialize)]
struct Whole {
    content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    normalized: Option<bool>,
    special: Option<bool>,
}

impl Token {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Whole(Object(Whole { content, .. })) => content,
        }
    }

    fn named(self, is_special: bool) -> NamedToken {
        let whole = match self {
            Self::Text(content) => Whole {
                content,
                lstrip: false,
                rstrip: false,
                single_word: false,
                normalized: None,
                special: None,
            },
            Self::Whole(Object(whole)) => whole,
        };
        let special = is_special || whole.special.unwrap_or(false);
        NamedToken {
            content: whole.content,
            lstrip: whole.lstrip,
            rstrip: whole.rstrip,
            single_word: whole.single_word,
            normalized: whole.normalized.unwrap_or(!special),
            special,
            replaces: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<TokenizerConfig, String> {
        TokenizerConfig::parse(json.as_bytes(), Path::new("tokenizer_config.json"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn keys_that_change_tokens_are_read() {
        let config = parse(
            r#"{"tokenizer_class": "BertTokenizerFast", "do_lower_case": false, "foo": NaN,
                "strip_accents": null, "tokenize_chinese_chars": true, "truncation_side": "left",
                "model_max_length": 48, "model_input_names": ["input_ids"], "padding_side": "left",
                "cls_token": {"__type": "AddedToken", "content": "[CLS]", "normalized": false},
                "added_tokens_decoder": {"7": {"content": "<x>", "special": false}},
                "additional_special_tokens": ["<y>"], "extra_special_tokens": {"z_token": "<z>"}}"#,
        )
        .unwrap();
        assert_eq!(config.class.as_deref(), Some("Bert"));
        assert_eq!((config.lowercase, config.strip_accents), (Some(false), None));
        assert_eq!(config.truncation_side, Some(Side::Left));
        assert_eq!(config.tokens_max, Some(48));
        assert!(config.gives_kinds == Some(false) && !config.splits_special);
        assert_eq!(config.cls_token.as_deref(), Some("[CLS]"));
        let named: Vec<_> =
            config.named.iter().map(|t| (t.content.as_str(), t.special, t.normalized)).collect();
        let expected = [
            ("<x>", false, true),
            ("[CLS]", true, false),
            ("<y>", true, false),
            ("<z>", true, false),
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn older_files_are_read_where_no_token_is_numbered() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, json: &str| std::fs::write(dir.path().join(name), json).unwrap();
        write(
            SPECIAL_TOKENS,
            r#"{"cls_token": {"content": "<c>"}, "additional_special_tokens": ["<y>"]}"#,
        );
        write(ADDED_TOKENS, r#"{"<z>": 9, "<y>": 8}"#);
        assert_eq!(TokenizerConfig::read(dir.path()).unwrap(), None);
        write(TOKENIZER_CONFIG, r#"{"cls_token": "[CLS]", "sep_token": "[SEP]"}"#);
        let config = TokenizerConfig::read(dir.path()).unwrap().unwrap();
        assert_eq!(config.cls_token.as_deref(), Some("<c>"));
        let named = |config: &TokenizerConfig| -> Vec<(String, bool, bool)> {
            let told = |t: &NamedToken| (t.content.clone(), t.special, t.replaces);
            config.named.iter().map(told).collect()
        };
        let plain = |text: &str, is_special| (text.to_owned(), is_special, false);
        let expected = [("<y>", true), ("<z>", false), ("[SEP]", true), ("<c>", true)];
        let expected: Vec<_> = expected.map(|(text, special)| plain(text, special)).into();
        assert_eq!(named(&config)[..4], expected);
        write(
            TOKENIZER_CONFIG,
            r#"{"cls_token": "[CLS]", "added_tokens_decoder": {"2": {"content": "[CLS]"}}}"#,
        );
        let config = TokenizerConfig::read(dir.path()).unwrap().unwrap();
        let expected = [("[CLS]".to_owned(), true, true), plain("[CLS]", true)];
        assert_eq!(named(&config), expected);
        write(ADDED_TOKENS, r#"{"<z>": -1}"#);
        let error = TokenizerConfig::read_older(dir.path()).unwrap_err().to_string();
        assert!(error.contains("added_tokens.json: ") && error.contains("`<z>`"), "{error}");
    }

    #[test]
    fn what_python_writes_for_no_limit_is_none() {
        for limit in ["1000000000000000019884624838656", "1e30", "null", "1e15"] {
            let config = parse(&format!("{{\"model_max_length\": {limit}}}")).unwrap();
            assert_eq!(config.tokens_max, None, "{limit}");
        }
        assert_eq!(parse(r#"{"max_len": 5}"#).unwrap().tokens_max, Some(5));
        assert_eq!(parse(r#"{"model_max_length": 512.0}"#).unwrap().tokens_max, Some(512));
    }

    #[test]
    fn values_that_mean_nothing_name_their_key() {
        for (json, key) in [
            (r#"{"model_max_length": 0}"#, "model_max_length"),
            (r#"{"model_max_length": 12.5}"#, "model_max_length"),
            (r#"{"max_len": -1}"#, "max_len"),
            (r#"{"model_max_length": "512"}"#, "model_max_length"),
            (r#"{"model_max_length": NaN}"#, "model_max_length"),
            (r#"{"truncation_side": "up"}"#, "truncation_side"),
            (r#"{"do_lower_case": "false"}"#, "do_lower_case"),
            (r#"{"strip_accents": 1}"#, "strip_accents"),
            (r#"{"split_special_tokens": "no"}"#, "split_special_tokens"),
            (r#"{"cls_token": 5}"#, "cls_token"),
            (r#"{"cls_token": ["[CLS]"]}"#, "cls_token"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{json}: {error}");
            assert!(error.starts_with("tokenizer_config.json: "), "{error}");
        }
        assert!(parse("version https://git-lfs.github.com/spec/v1").unwrap_err().contains("LFS"));
        for other in ["[]", " [\"Bert\"]"] {
            assert!(parse(other).unwrap_err().contains("not an object in braces"), "{other}");
        }
    }
}
