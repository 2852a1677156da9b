//! One line of JSON.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Error, Value};

use super::BadRow;
use super::id::Id;

/// The keys of a line; others are ignored.
#[derive(Deserialize)]
pub(super) struct Keys {
    pub(super) text: Option<String>,
    pub(super) text_pair: Option<String>,
    pub(super) tokens: Option<Vec<u32>>,
    pub(super) kinds: Option<Vec<u16>>,
    pub(super) label: Option<Value>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
}

/// The id alone, which comes back even where the other keys are no good.
struct OnlyId<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for OnlyId<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnlyId(None))
    }
}

impl<'de> Visitor<'de> for OnlyId<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => self.0 = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(self)
    }
}

/// The id and the other keys of a line.
pub(super) fn parse(line: &str) -> Result<(Option<Id>, Keys), BadRow> {
    let line = match serde_json::from_str::<IgnoredAny>(line) {
        Err(_) => without_nan(line),
        Ok(_) => Cow::Borrowed(line),
    };
    let parsed = serde_json::from_str::<OnlyId<'_>>(&line);
    let id = parsed.map_err(|error| BadRow { id: None, error: told(&error) })?.0;
    let id = id.map(|id| Id::Written(id.to_owned()));
    match serde_json::from_str(&line) {
        Ok(keys) => Ok((id, keys)),
        Err(error) => Err(BadRow { id, error: told(&error) }),
    }
}

fn told(error: &Error) -> String {
    match error.is_data() {
        true => error.to_string(),
        false => format!("not JSON: {error}"),
    }
}

/// Python writes `NaN` and `Infinity`, which are no JSON, for what is missing: null, to us.
fn without_nan(line: &str) -> Cow<'_, str> {
    const NAMES: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let (mut made, mut kept, mut at) = (String::new(), 0, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    let bytes = line.as_bytes();
    while at < bytes.len() {
        let name = NAMES.iter().find(|name| !is_text && bytes[at..].starts_with(name.as_bytes()));
        if let Some(name) = name {
            made.push_str(&line[kept..at]);
            made.push_str("null");
            at += name.len();
            kept = at;
            continue;
        }
        match bytes[at] {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
        at += 1;
    }
    match kept {
        0 => Cow::Borrowed(line),
        _ => Cow::Owned(made + &line[kept..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(line: &str) -> String {
        let id = match parse(line) {
            Ok((id, _)) => id,
            Err(bad) => bad.id,
        };
        serde_json::to_string(&id).unwrap()
    }

    #[test]
    fn ids_come_back_to_the_letter() {
        let ids = [
            "12345678901234567890123",
            "18446744073709551616",
            "-0",
            "1.0",
            "1e3",
            "1.10",
            "0.1000000000000000055511151231257827",
            "-9223372036854775809",
            "1e999",
            "\"a\\u00e9\\/b\\n\"",
            "\"\\ud83d\\ude00\"",
            "{\"b\": [1, 2.50,null],  \"a\":1}",
            "[]",
            "false",
        ];
        for written in ids {
            assert_eq!(id(&format!("{{\"text\": \"a\", \"id\": {written} }}")), written);
            assert_eq!(id(&format!("{{\"id\": {written}, \"tokens\": \"bad\"}}")), written);
        }
        assert_eq!(id("{\"id\": null, \"text\": \"a\"}"), "null");
        assert_eq!(id("{\"text\": \"a\"}"), "null");
    }

    #[test]
    fn what_is_not_a_number_is_missing_and_hurts_no_other_key() {
        let line =
            r#"{"x": NaN, "text": "NaN \" -Infinity", "y": [-Infinity, Infinity], "id": 1.0}"#;
        let (_, keys) = parse(line).unwrap();
        assert_eq!(keys.text.unwrap(), "NaN \" -Infinity");
        assert_eq!(id(line), "1.0");
        assert!(parse("{\"label\": NaN, \"text\": \"a\"}").unwrap().1.label.is_none());
        assert!(parse("{\"x\": 1e999, \"text\": \"a\"}").is_ok());
        assert!(parse("{\"text\": Nan}").is_err() && parse("{\"text\": NaNa}").is_err());
    }

    #[test]
    fn keys_that_come_twice_are_refused_by_name() {
        for key in ["id", "text", "label"] {
            let error = parse(&format!("{{\"{key}\": \"a\", \"{key}\": \"b\"}}")).err().unwrap();
            assert!(error.error.contains(&format!("duplicate field `{key}`")), "{}", error.error);
        }
        assert!(parse("{\"x\": 1, \"x\": 2, \"text\": \"a\"}").is_ok());
    }
}
