//! Python's `NaN`, `Infinity` and `-Infinity`, which its `json` writes and reads, and JSON lacks.
//!
//! They become empty lists of the same length, so that every place in the document stays where it
//! was: keys that nobody reads are passed over, and neither numbers nor texts are read of a list.

use std::borrow::Cow;

/// The words, each with a list of its length. The longer of two that end alike comes first.
const WORDS: [(&str, &[u8]); 3] =
    [("-Infinity", b"[       ]"), ("Infinity", b"[      ]"), ("NaN", b"[ ]")];

/// `content` with a list in place of each such word that is not within a text.
pub(super) fn without_odd_numbers(content: &[u8]) -> Cow<'_, [u8]> {
    let mut made = Cow::Borrowed(content);
    let (mut at, mut quoted) = (0, false);
    while at < content.len() {
        let rest = &content[at..];
        if quoted {
            quoted = rest[0] != b'"';
            // What follows a backslash ends no text.
            at += if rest[0] == b'\\' { 2 } else { 1 };
        } else if let Some((word, list)) = word_at(rest) {
            made.to_mut()[at..at + word.len()].copy_from_slice(list);
            at += word.len();
        } else {
            quoted = rest[0] == b'"';
            at += 1;
        }
    }
    made
}

fn word_at(content: &[u8]) -> Option<(&'static str, &'static [u8])> {
    // Most bytes begin no word.
    matches!(content.first(), Some(b'-' | b'I' | b'N')).then_some(())?;
    WORDS.into_iter().find(|(word, _)| content.starts_with(word.as_bytes()))
}

/// The word that a list stands for.
pub(super) fn word_of(list: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|(_, stand_in)| *stand_in == list.as_bytes()).map(|(word, _)| word)
}

/// The word at which the parser stopped, where it is one: before its first letter, or within it.
pub(super) fn odd_number_at(content: &[u8], fault: &serde_json::Error) -> Option<&'static str> {
    let mut lines = content.split_inclusive(|byte| *byte == b'\n');
    let line = lines.nth(fault.line().checked_sub(1)?)?;
    let end = fault.column().min(line.len());
    let starts = (end.saturating_sub(WORDS[0].0.len())..=end).rev();
    let mut words = starts.filter_map(|start| Some((start, word_at(&line[start..])?.0)));
    words.find(|(start, word)| start + word.len() >= end).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(content: &str) -> String {
        String::from_utf8(without_odd_numbers(content.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn only_words_outside_texts_change() {
        let same = [
            "{}",
            r#"{"a": "NaN"}"#,
            r#"{"NaN": "x Infinity"}"#,
            r#"{"a": "\"NaN", "b": "\\"}"#,
            r#"["-Infinity\\\"NaN"]"#,
        ];
        for content in same {
            assert!(matches!(without_odd_numbers(content.as_bytes()), Cow::Borrowed(_)));
        }
        assert_eq!(made(r#"{"a\"": NaN, "NaN": NaN}"#), r#"{"a\"": [ ], "NaN": [ ]}"#);
        assert_eq!(made(r#"["\\",NaN,"NaN"]"#), r#"["\\",[ ],"NaN"]"#);
        assert_eq!(made("[-Infinity,Infinity,NaN]"), "[[       ],[      ],[ ]]");
    }

    #[test]
    fn a_text_that_does_not_end_is_left_alone() {
        for content in ["\"NaN", "\"NaN\\", "{\"a\": \"\\\\\\"] {
            assert_eq!(made(content), content);
        }
    }
}
