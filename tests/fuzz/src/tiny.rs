//! Tokenizers of a few words, one of each family.

/// As BERT's: lower-casing, word pieces.
pub const WORDS: &str = include_str!("../tokenizers/words.json");
/// As RoBERTa's: bytes, merged by pairs.
pub const BYTES: &str = include_str!("../tokenizers/bytes.json");
/// As ALBERT's and XLM-RoBERTa's: pieces with a score each.
pub const PIECES: &str = include_str!("../tokenizers/pieces.json");
