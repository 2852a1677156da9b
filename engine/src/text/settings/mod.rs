//! What `tokenizer_config.json` changes of a tokenizer, as transformers' `AutoTokenizer` does.
//!
//! For the classes of BERT and RoBERTa the keys win over `tokenizer.json`, and a key that is left
//! out stands for its default (`do_lower_case` is true); the generic class takes `tokenizer.json`
//! as it is. Where versions of transformers disagree, a key must say what `tokenizer.json` says.
//! Without `tokenizer_config.json` there is nothing but `tokenizer.json` to go by: here alone
//! `AutoTokenizer` does otherwise, and takes the defaults of the family's class.

#[cfg(test)]
mod tests;

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
