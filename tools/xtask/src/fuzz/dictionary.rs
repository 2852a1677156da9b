//! Words that a reader knows, for the fuzzer to try: those of its own sources, so that a key that
//! is added there is tried as well.

use std::collections::BTreeSet;
use std::path::Path;

/// Longest word, bytes; libFuzzer takes no longer ones.
const WORD_BYTES_MAX: usize = 48;
const WORD_BYTES_MIN: usize = 3;

/// A dictionary as libFuzzer reads it: the names of fields and what stands in quotes, quoted.
pub(super) fn of(root: &Path, sources: &[&str]) -> String {
    let mut words = BTreeSet::new();
    for source in sources {
        read(&root.join(source), &mut words);
    }
    words.iter().map(|word| format!("\"\\\"{word}\\\"\"\n")).collect()
}

fn read(path: &Path, words: &mut BTreeSet<String>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        entries.flatten().for_each(|entry| read(&entry.path(), words));
    } else if let Ok(text) = std::fs::read_to_string(path) {
        words.extend(words_of(&text));
    }
}

fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let found = lines.flat_map(|line| field(line).into_iter().chain(line.split('"').skip(1)));
    found.filter(|word| is_word(word)).map(str::to_owned)
}

/// `name` of `name: Type,`.
fn field(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(": ")?;
    rest.ends_with(',').then(|| name.rsplit(' ').next().unwrap_or(name))
}

fn is_word(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]-".contains(&byte);
    (WORD_BYTES_MIN..=WORD_BYTES_MAX).contains(&word.len())
        && word.bytes().all(is_part)
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quoted_words_are_found_and_no_prose() {
        let text = "    pub(super) crop_pct: Option<f64>,\n    at(\"vocab_size\", \"one or two\")\n\
                    // \"comment\"\n    let a = b;\n";
        assert_eq!(words_of(text).collect::<Vec<_>>(), ["crop_pct", "vocab_size"]);
    }

    #[test]
    fn the_keys_of_configurations_are_in_their_dictionary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let words = of(&root, super::super::Target::Config.sources());
        for key in ["model_type", "id2label", "crop_pct", "image_mean", "resnet"] {
            assert!(words.contains(&format!("\"\\\"{key}\\\"\"\n")), "{key}");
        }
    }
}
