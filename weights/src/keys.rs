//! What a reader knows of the keys of its file: one table for each.
//!
//! Configurations hold many keys, and some change what a network computes. A key that changes it
//! in a way that this engine does not follow may only have a value that leaves all as it is; any
//! other is refused by file, key and value. Keys in no table are nobody's, and pass.
//!
//! Ramp bundles and thresholds are this project's own: of them every key is known, and any other
//! refused where it is read.

pub(crate) mod images;
pub(crate) mod text;

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::json;

/// A key, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
}

/// What becomes of a key.
#[derive(Debug)]
pub(crate) enum Rule {
    /// The reader reads it.
    Read,
    /// Whatever it says, the answers are the same.
    Harmless,
    /// It changes answers unless it is null or one of these.
    Only {
        /// The values at which nothing changes.
        neutral: &'static [Plain],
        /// The same for people.
        expected: &'static str,
    },
    /// An object whose keys have tables of their own.
    Within(&'static [&'static [Key]]),
}

/// A value that a key may have.
#[derive(Debug, PartialEq)]
pub(crate) enum Plain {
    /// `true` or `false`.
    Is(bool),
    /// A number, however it is written.
    Number(f64),
    /// A text, whatever its case.
    Text(&'static str),
    /// An empty text, list or object, or one of such.
    Nothing,
}

/// A key that is read.
pub(crate) const fn read(name: &'static str) -> Key {
    Key { name, rule: Rule::Read }
}

/// A key that changes no answer.
pub(crate) const fn harmless(name: &'static str) -> Key {
    Key { name, rule: Rule::Harmless }
}

/// A key that may only have such values.
pub(crate) const fn only(
    name: &'static str,
    neutral: &'static [Plain],
    expected: &'static str,
) -> Key {
    Key { name, rule: Rule::Only { neutral, expected } }
}

/// A key that may not be there, or hold nothing.
pub(crate) const fn absent(name: &'static str) -> Key {
    only(name, &[Plain::Nothing], "left out")
}

/// A switch that must be off.
pub(crate) const fn off(name: &'static str) -> Key {
    only(name, &[Plain::Is(false)], "false")
}

/// An object with tables of its own.
pub(crate) const fn within(name: &'static str, tables: &'static [&'static [Key]]) -> Key {
    Key { name, rule: Rule::Within(tables) }
}

/// Refuses the first key of the document that changes what is computed, by the `tables`; where
/// several list a key, the first of them counts.
pub(crate) fn check(content: &[u8], tables: &[&'static [Key]], file: &Path) -> Result<()> {
    let seed = |first: &mut Option<Misfit>, document: &[u8]| {
        let mut source = serde_json::Deserializer::from_slice(document);
        let table = Table { tables, path: String::new(), first };
        table.deserialize(&mut source).map_err(|fault| json::damaged(file, &fault))
    };
    let mut first = None;
    seed(&mut first, &json::document(content, file)?)?;
    match first {
        None => Ok(()),
        Some(Misfit { key, expected, found }) => Err(Error::refused(file, key, expected, found)),
    }
}

/// A key at a value that is not followed.
struct Misfit {
    key: String,
    expected: &'static str,
    found: String,
}

/// Reads an object by its tables.
struct Table<'a> {
    tables: &'a [&'static [Key]],
    /// What leads to the object: `pretrained_cfg.`
    path: String,
    first: &'a mut Option<Misfit>,
}

impl Table<'_> {
    fn rule(&self, name: &str) -> Option<&'static Rule> {
        let mut keys = self.tables.iter().flat_map(|table| table.iter());
        keys.find(|key| key.name == name).map(|key| &key.rule)
    }

    /// Null is as good as left out.
    fn check_within(
        &mut self,
        name: &str,
        tables: &'static [&'static [Key]],
        value: &RawValue,
    ) -> serde_json::Result<()> {
        let path = format!("{}{name}", self.path);
        match value.get() {
            "null" => Ok(()),
            object if object.starts_with('{') => {
                let table = Table { tables, path: format!("{path}."), first: &mut *self.first };
                table.deserialize(&mut serde_json::Deserializer::from_str(object))
            }
            other => {
                let found = json::shown(other);
                self.first.get_or_insert(Misfit { key: path, expected: "an object", found });
                Ok(())
            }
        }
    }

    fn check(&mut self, name: &str, neutral: &[Plain], expected: &'static str, value: &RawValue) {
        let found: Found = serde_json::from_str(value.get()).unwrap_or(Found::Other);
        if self.first.is_none() && !neutral.iter().any(|plain| found.is(plain)) {
            let key = format!("{}{name}", self.path);
            let found = match &found {
                Found::Text(text) => format!("`{text}`"),
                _ => json::shown(value.get()),
            };
            *self.first = Some(Misfit { key, expected, found });
        }
    }
}

impl<'de> DeserializeSeed<'de> for Table<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Table<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.rule(&name) {
                Some(Rule::Only { neutral, expected }) => {
                    let value = map.next_value::<&RawValue>()?;
                    self.check(&name, neutral, expected, value);
                }
                Some(Rule::Within(tables)) => {
                    let value = map.next_value::<&RawValue>()?;
                    self.check_within(&name, tables, value).map_err(A::Error::custom)?;
                }
                Some(Rule::Read | Rule::Harmless) | None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// As much of a value as it takes to compare it.
enum Found {
    Null,
    Is(bool),
    Number(f64),
    Text(Box<str>),
    /// Of lists and objects: whether there is anything in them.
    Nest {
        is_empty: bool,
    },
    Other,
}

impl Found {
    fn is(&self, plain: &Plain) -> bool {
        match (self, plain) {
            (Self::Null, _) => true,
            (Self::Is(found), Plain::Is(value)) => found == value,
            (Self::Number(found), Plain::Number(value)) => found == value,
            (Self::Text(found), Plain::Text(value)) => found.eq_ignore_ascii_case(value),
            (_, Plain::Nothing) => self.is_nothing(),
            _ => false,
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Nest { is_empty } => *is_empty,
            Self::Is(_) | Self::Number(_) | Self::Other => false,
        }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Found, E> {
        Ok(Found::Is(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Found, E> {
        Ok(Found::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Found, E> {
        Ok(Found::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Found, E> {
        Ok(Found::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Found, E> {
        Ok(Found::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut is_empty = true;
        while let Some(item) = list.next_element::<Found>()? {
            is_empty &= item.is_nothing();
        }
        Ok(Found::Nest { is_empty })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut is_empty = true;
        while let Some((_, item)) = map.next_entry::<IgnoredAny, Found>()? {
            is_empty &= item.is_nothing();
        }
        Ok(Found::Nest { is_empty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{PREPROCESSOR_FILE, read_preprocessor};

    const INNER: &[Key] = &[off("b"), absent("c")];
    const FIRST: &[Key] = &[read("r"), harmless("h"), within("in", &[INNER])];
    const SECOND: &[Key] = &[
        off("r"),
        off("flag"),
        only("stride", &[Plain::Number(32.0)], "32"),
        only("act", &[Plain::Text("relu"), Plain::Nothing], "`relu`"),
        absent("gone"),
    ];

    fn refused(json: &str) -> Option<String> {
        let checked = check(json.as_bytes(), &[FIRST, SECOND], "f".as_ref());
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn neutral_values_pass() {
        let all = [
            "{}",
            r#"{"r": true, "h": [1], "nobody's": {"gone": 1}}"#,
            r#"{"flag": false, "stride": 32, "act": "ReLU", "gone": null}"#,
            r#"{"flag": null, "stride": 32.0, "act": "", "gone": {"a": [], "b": {"c": ""}}}"#,
            r#"{"in": {"b": false, "c": [[], null], "d": 7}}"#,
            r#"{"in": null}"#,
        ];
        for json in all {
            assert_eq!(refused(json), None, "{json}");
        }
    }

    #[test]
    fn others_are_refused_by_key_and_value() {
        let cases = [
            (r#"{"flag": true}"#, "f: `flag` must be false, found true"),
            (r#"{"flag": 0}"#, "f: `flag` must be false, found 0"),
            (r#"{"stride": 16, "flag": 1}"#, "f: `stride` must be 32, found 16"),
            (r#"{"act": "gelu"}"#, "f: `act` must be `relu`, found `gelu`"),
            (r#"{"act": {"x": 1}}"#, "f: `act` must be `relu`, found {\"x\": 1}"),
            (r#"{"gone": [0]}"#, "f: `gone` must be left out, found [0]"),
            (r#"{"in": {"c": {"a": false}}}"#, "f: `in.c` must be left out, found {\"a\": false}"),
            (r#"{"in": {"b": true}}"#, "f: `in.b` must be false, found true"),
            (r#"{"in": [7, {"b": true}]}"#, "f: `in` must be an object, found [7, {\"b\": true}]"),
            (r#"{"in": true}"#, "f: `in` must be an object, found true"),
            (r#"{"stride": NaN}"#, "f: `stride` must be 32, found NaN"),
            (r#"{"flag": -Infinity}"#, "f: `flag` must be false, found -Infinity"),
        ];
        for (json, expected) in cases {
            assert_eq!(refused(json).as_deref(), Some(expected));
        }
    }

    /// Reads an object of these keys.
    type Reader = fn(&str) -> Result<(), String>;

    /// Every table, with the keys of a document that its reader accepts.
    fn tables() -> [(&'static [Key], &'static str, Reader); 16] {
        const BERT: &str = r#""model_type": "bert", "hidden_size": 4, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 6, "vocab_size": 9,
            "max_position_embeddings": 8"#;
        const DISTILBERT: &str = r#""model_type": "distilbert", "dim": 4, "n_layers": 2,
            "n_heads": 2, "hidden_dim": 6, "vocab_size": 9, "max_position_embeddings": 8"#;
        const TIMM: &str = r#""architecture": "resnet18""#;
        const VIT: &str = r#""architecture": "vit_tiny_patch16_224""#;
        const HUGGING_VIT: &str = r#""model_type": "vit""#;
        const RESNET: &str = r#""model_type": "resnet""#;
        [
            (text::COMMON, BERT, parsed),
            (text::AUTO_MAP, "", |keys| parsed(&format!("{BERT}, \"auto_map\": {{{keys}}}"))),
            (text::ADAPTERS, "", |keys| parsed(&format!("{BERT}, \"adapters\": {{{keys}}}"))),
            (text::ENCODER, BERT, parsed),
            (text::BERT, BERT, parsed),
            (text::DISTILBERT, DISTILBERT, parsed),
            (images::TIMM, TIMM, parsed),
            (images::PRETRAINED, TIMM, parsed),
            (images::VARIANT, TIMM, parsed),
            (images::MODEL_ARGS, "", |keys| parsed(&format!("{TIMM}, \"model_args\": {{{keys}}}"))),
            (images::HUGGING_FACE, RESNET, parsed),
            (images::TIMM_VIT, VIT, parsed),
            (images::VIT_ARGS, "", |keys| parsed(&format!("{VIT}, \"model_args\": {{{keys}}}"))),
            (images::HUGGING_FACE_VIT, HUGGING_VIT, parsed),
            (images::PREPROCESSOR, "", preprocessed),
            (images::PROCESSOR_CODE, "", |keys| preprocessed(&format!("\"auto_map\": {{{keys}}}"))),
        ]
    }

    fn parsed(keys: &str) -> Result<(), String> {
        let parsed = crate::ModelSpec::parse(format!("{{{keys}}}").as_bytes(), "f".as_ref());
        parsed.map(drop).map_err(|error| error.to_string())
    }

    fn preprocessed(keys: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(PREPROCESSOR_FILE), format!("{{{keys}}}")).unwrap();
        let resnet = br#"{"model_type": "resnet"}"#;
        let mut spec = crate::ModelSpec::parse(resnet, "f".as_ref()).unwrap();
        read_preprocessor(&mut spec, dir.path()).map_err(|error| error.to_string())
    }

    /// A key that is said to be read is: a value that no key could have is refused by name. One
    /// that is said to be harmless may have it, and of the others it changes the network.
    #[test]
    fn tables_say_what_readers_do() {
        let odd = r#"[{"odd": [1.5, "odd"]}]"#;
        for (table, document, read) in tables() {
            assert!(read(document).is_ok(), "{document}");
            for Key { name, rule } in table {
                // The last of a key that comes twice would be an error of its own.
                let others =
                    document.split(',').filter(|part| !part.contains(&format!("\"{name}\"")));
                let others = others.collect::<Vec<_>>().join(",");
                let found = read(&format!(
                    "{others}{}\"{name}\": {odd}",
                    match others.is_empty() {
                        true => "",
                        false => ", ",
                    }
                ));
                match rule {
                    // Of another type they are not passed over: other models read them.
                    Rule::Harmless if ["layer_norm_eps", "architecture"].contains(name) => {}
                    Rule::Harmless => assert!(found.is_ok(), "{name}: {found:?}"),
                    Rule::Read | Rule::Only { .. } | Rule::Within(_) => {
                        let error = found.unwrap_err();
                        // Whole, and not as the beginning of another.
                        let mut found = error
                            .match_indices(name)
                            .map(|(at, name)| (&error[..at], &error[at + name.len()..]));
                        let is_named = found.any(|(before, after)| {
                            before.ends_with(['`', '.']) && after.starts_with(['`', '['])
                        });
                        assert!(is_named, "{name}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_has_one_rule() {
        let mut sets: Vec<Vec<&[Key]>> = vec![
            vec![text::COMMON, text::ENCODER, text::BERT],
            vec![text::COMMON, text::ENCODER, text::DISTILBERT],
            vec![text::COMMON, images::HUGGING_FACE],
            vec![text::COMMON, images::TIMM_VIT],
            vec![images::VIT_ARGS],
            vec![text::COMMON, images::HUGGING_FACE_VIT],
            vec![text::COMMON, images::TIMM, images::VARIANT],
            vec![images::PREPROCESSOR],
        ];
        sets.push(vec![images::PRETRAINED, images::VARIANT]);
        for set in sets {
            let mut names: Vec<_> = set.into_iter().flatten().map(|key| key.name).collect();
            names.sort_unstable();
            assert_eq!(names.windows(2).find(|two| two[0] == two[1]), None);
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = refused(&format!(r#"{{"gone": "{}"}}"#, "é".repeat(9_000))).unwrap();
        assert!(long.len() < 500 && long.ends_with("..."), "{long}");
        assert!(refused(r#"{"a": "#).unwrap().contains("not the JSON expected"));
    }
}
