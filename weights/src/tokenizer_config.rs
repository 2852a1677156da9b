//! `tokenizer_config.json`: what transformers lays over `tokenizer.json` when it loads a tokenizer.
//!
//! The keys read here are those that change which tokens a text becomes. Those that do not are many
//! and harmless: how to pad, offsets, chat templates, settings of tokenizers written in Python
//! (`do_basic_tokenize`, `never_split`), and what a caller may ask for anew (`max_length`,
//! `stride`, `truncation_strategy`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::disk::read_whole;
use crate::error::{Error, Result};
use crate::json;

/// The name of the file in a model's folder.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
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
    /// Whether `model_input_names` leaves out the kinds of tokens.
    pub lacks_kinds: bool,
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
    /// Reads it from a model's folder; none where there is none.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, or a key has a value that nothing is known to do with.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        Self::read_file(dir, TOKENIZER_CONFIG)
    }

    /// Reads `special_tokens_map.json`, where older folders name their tokens, from a model's
    /// folder; `None` where there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_special(dir: &Path) -> Result<Option<Self>> {
        Self::read_file(dir, SPECIAL_TOKENS)
    }

    fn read_file(dir: &Path, name: &str) -> Result<Option<Self>> {
        let file = dir.join(name);
        if !file.exists() {
            return Ok(None);
        }
        Self::parse(&read_whole(&file, FILE_BYTES_MAX)?, &file).map(Some)
    }

    /// Reads its content.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(content: &[u8], file: &Path) -> Result<Self> {
        let keys: Keys = json::parse(content, file)?;
        let tokens_max = tokens_max(&keys, file)?;
        let text = |token: &Option<Token>| token.as_ref().map(|token| token.content().to_owned());
        let class = keys.tokenizer_class.as_deref().map(|class| {
            let class = class.strip_suffix("Fast").unwrap_or(class);
            class.strip_suffix("Tokenizer").unwrap_or(class).to_owned()
        });
        let inputs = &keys.model_input_names;
        Ok(Self {
            file: file.to_owned(),
            class,
            lowercase: keys.do_lower_case,
            strip_accents: keys.strip_accents,
            chinese_chars: keys.tokenize_chinese_chars,
            prefix_space: keys.add_prefix_space,
            truncation_side: keys.truncation_side,
            tokens_max,
            splits_special: keys.split_special_tokens.unwrap_or(false),
            lacks_kinds: inputs
                .as_ref()
                .is_some_and(|names| !names.iter().any(|name| name == "token_type_ids")),
            cls_token: text(&keys.cls_token),
            sep_token: text(&keys.sep_token),
            unk_token: text(&keys.unk_token),
            named: keys.named(),
        })
    }

    /// Says which key asks for what cannot be done.
    pub fn refused(&self, key: &str, expected: String, found: &str) -> Error {
        Error::refused(&self.file, key, expected, found)
    }
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

#[derive(Deserialize)]
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
    /// All tokens: those with ids first, as transformers adds them.
    fn named(self) -> Vec<NamedToken> {
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
        let with_ids = self.added_tokens_decoder.into_iter().flatten().map(|(_, token)| token);
        let with_ids = with_ids.map(|token| token.named(false));
        let special = special.chain(extra).map(|token| token.named(true));
        with_ids.chain(special).filter(|token| !token.content.is_empty()).collect()
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
    Whole(Whole),
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
            Self::Text(content) | Self::Whole(Whole { content, .. }) => content,
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
            Self::Whole(whole) => whole,
        };
        let special = is_special || whole.special.unwrap_or(false);
        NamedToken {
            content: whole.content,
            lstrip: whole.lstrip,
            rstrip: whole.rstrip,
            single_word: whole.single_word,
            normalized: whole.normalized.unwrap_or(!special),
            special,
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
        assert!(config.lacks_kinds && !config.splits_special);
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
