//! BERT's way from text to tokens, one character at a time: clean, lower-case, split into words,
//! split words into pieces of the vocabulary.
//!
//! The same as `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of the `tokenizers` crate,
//! which go over the whole text at every step and keep the origin of each byte. Here a text is left
//! as soon as enough tokens are known, and a word that is too long for the vocabulary is not kept.

use std::collections::HashMap;
use std::sync::OnceLock;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::{Model as _, ModelWrapper};
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

use super::added::Flow;
use super::turns::stretches;

/// Characters whose class is looked up; those beyond are rare, and worked out each time.
const TABLE_CHARS: u32 = 0x2_0000;

/// Takes tokens until it has enough.
pub(super) type Take<'t> = dyn FnMut(u32) -> Flow + 't;

/// What a character does to the word it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Nothing: it is taken out.
    Dropped,
    /// Ends it.
    Space,
    /// Ends it, and is a word by itself.
    Alone,
    /// Goes on with it, as it is.
    Plain,
    /// Goes on with it once normalised, or is gone then.
    Inside,
    /// Becomes several characters, some of which end words.
    Mixed,
}

/// Splits texts as BERT does.
#[derive(Debug)]
pub(super) struct Words {
    rules: BertNormalizer,
    pieces: Pieces,
    classes: &'static [Class],
}

/// The classes of characters under each set of rules, made when it is first met.
static CLASSES: [OnceLock<Box<[Class]>>; 16] = [const { OnceLock::new() }; 16];

impl Words {
    /// None where the vocabulary lacks its unknown token.
    pub(super) fn new(rules: BertNormalizer, model: &WordPiece) -> Option<Self> {
        let mut words = Self { rules, pieces: Pieces::new(model)?, classes: &[] };
        let class = |code| char::from_u32(code).map_or(Class::Plain, |c| words.class(c));
        let make = || (0..TABLE_CHARS).map(class).collect();
        words.classes = CLASSES[words.rule_set()].get_or_init(make);
        Some(words)
    }

    /// The place of its rules among all that there can be.
    fn rule_set(&self) -> usize {
        let BertNormalizer { clean_text, handle_chinese_chars, lowercase, .. } = self.rules;
        let flags = [clean_text, handle_chinese_chars, lowercase, self.strips_accents()];
        flags.into_iter().fold(0, |set, flag| 2 * set + usize::from(flag))
    }

    /// The tokens of a piece of text between added tokens.
    pub(super) fn split(&self, text: &str, model: &ModelWrapper, take: &mut Take<'_>) -> Flow {
        let mut word = Word { words: self, model, text: String::new(), chars: 0, marks: vec![] };
        for stretch in stretches(text) {
            stretch.chars().try_for_each(|c| word.read(c, take))?;
        }
        word.end(take)
    }

    /// Whether words end before `c` whatever stands there, so that a text may be cut in two.
    pub(super) fn ends_words(&self, c: char) -> bool {
        matches!(self.look_up(c), Class::Space | Class::Alone)
    }

    fn look_up(&self, c: char) -> Class {
        self.classes.get(c as usize).copied().unwrap_or_else(|| self.class(c))
    }

    fn class(&self, c: char) -> Class {
        if self.rules.clean_text && is_dropped(c) {
            return Class::Dropped;
        }
        if c.is_whitespace() {
            return Class::Space;
        }
        let mut becomes = Vec::new();
        self.normalise(c, &mut |d| becomes.push(d));
        let is_kept = becomes == [c] && canonical_combining_class(c) == 0;
        if is_kept && is_alone(c) || self.is_chinese(c) && becomes == [' ', c, ' '] {
            return Class::Alone;
        }
        match becomes.iter().any(|&d| d.is_whitespace() || is_alone(d)) {
            true => Class::Mixed,
            false if is_kept => Class::Plain,
            false => Class::Inside,
        }
    }

    /// What becomes of one character, on its own.
    fn normalise(&self, c: char, give: &mut dyn FnMut(char)) {
        self.decompose(c, &mut |d| {
            if !(self.strips_accents() && d.is_mark_nonspacing()) {
                self.lower(d, give);
            }
        });
    }

    fn decompose(&self, c: char, give: &mut dyn FnMut(char)) {
        let around = self.is_chinese(c).then_some(' ');
        for d in around.into_iter().chain([c]).chain(around) {
            match self.strips_accents() {
                true => decompose_canonical(d, &mut *give),
                false => give(d),
            }
        }
    }

    fn lower(&self, c: char, give: &mut dyn FnMut(char)) {
        match self.rules.lowercase {
            true => c.to_lowercase().for_each(give),
            false => give(c),
        }
    }

    fn strips_accents(&self) -> bool {
        self.rules.strip_accents.unwrap_or(self.rules.lowercase)
    }

    fn is_chinese(&self, c: char) -> bool {
        self.rules.handle_chinese_chars && is_ideograph(c)
    }
}

/// The word that is being read.
struct Word<'a> {
    words: &'a Words,
    model: &'a ModelWrapper,
    /// What it is so far, normalised; no more than tells that it is too long.
    text: String,
    chars: usize,
    /// Marks that wait to be put in their order, with their class.
    marks: Vec<(u8, char)>,
}

impl Word<'_> {
    fn is_too_long(&self) -> bool {
        self.chars > self.words.pieces.chars_max
    }

    fn read(&mut self, c: char, take: &mut Take<'_>) -> Flow {
        let c = if self.words.rules.lowercase { c.to_ascii_lowercase() } else { c };
        match self.words.look_up(c) {
            Class::Dropped => {}
            Class::Space => self.end(take)?,
            Class::Alone => self.alone(c, take)?,
            Class::Plain => {
                self.flush(take)?;
                self.push(c);
            }
            Class::Inside if self.is_too_long() => {}
            Class::Inside | Class::Mixed => self.feed(c, take)?,
        }
        Flow::Continue(())
    }

    fn push(&mut self, c: char) {
        if !self.is_too_long() {
            self.text.push(c);
            self.chars += 1;
        }
    }

    /// Takes a character that has to be normalised.
    fn feed(&mut self, c: char, take: &mut Take<'_>) -> Flow {
        let words = self.words;
        let mut parts = Vec::new();
        words.decompose(c, &mut |d| parts.push(d));
        for d in parts {
            let order = if words.strips_accents() { canonical_combining_class(d) } else { 0 };
            let is_stripped = words.strips_accents() && d.is_mark_nonspacing();
            match (is_stripped, order) {
                // It is taken out only once marks are in order, which go around none of class 0.
                (true, 0) => self.flush(take)?,
                (true, _) => {}
                (false, 0) => {
                    self.flush(take)?;
                    self.lower(d, take)?;
                }
                (false, _) if self.is_too_long() => {}
                (false, _) => self.marks.push((order, d)),
            }
        }
        Flow::Continue(())
    }

    /// Puts the marks that wait behind what they belong to.
    fn flush(&mut self, take: &mut Take<'_>) -> Flow {
        if self.marks.is_empty() {
            return Flow::Continue(());
        }
        let mut marks = std::mem::take(&mut self.marks);
        marks.sort_by_key(|&(order, _)| order);
        marks.into_iter().try_for_each(|(_, mark)| self.lower(mark, take))
    }

    fn lower(&mut self, c: char, take: &mut Take<'_>) -> Flow {
        let mut low = Vec::new();
        self.words.lower(c, &mut |d| low.push(d));
        low.into_iter().try_for_each(|d| {
            if d.is_whitespace() {
                self.end_text(take)
            } else if is_alone(d) {
                self.end_text(take)?;
                take(self.words.pieces.of_char(d))
            } else {
                self.push(d);
                Flow::Continue(())
            }
        })
    }

    /// Ends it; `c` is the next, and one by itself.
    fn alone(&mut self, c: char, take: &mut Take<'_>) -> Flow {
        self.end(take)?;
        take(self.words.pieces.of_char(c))
    }

    fn end(&mut self, take: &mut Take<'_>) -> Flow {
        self.flush(take)?;
        self.end_text(take)
    }

    fn end_text(&mut self, take: &mut Take<'_>) -> Flow {
        if self.chars == 0 {
            return Flow::Continue(());
        }
        let flow = match self.is_too_long() {
            true => take(self.words.pieces.unknown),
            false => self.words.pieces.split(&self.text, self.model, take),
        };
        self.text.clear();
        self.chars = 0;
        flow
    }
}

/// The vocabulary of word pieces.
#[derive(Debug)]
struct Pieces {
    unknown: u32,
    /// Of every piece but the first of a word.
    prefix: String,
    /// Longest word that is split at all.
    chars_max: usize,
    /// Longest entry of the vocabulary.
    bytes_max: usize,
    /// The tokens of words of one character, by that; no need to look those up.
    by_char: Vec<u32>,
}

impl Pieces {
    fn new(model: &WordPiece) -> Option<Self> {
        let vocabulary = model.get_vocab();
        let unknown = model.token_to_id(&model.unk_token)?;
        let chars_max = model.max_input_chars_per_word;
        // Where even one character is too long a word, all are unknown.
        let by_char = if chars_max > 0 { by_char(&vocabulary, unknown) } else { Vec::new() };
        Some(Self {
            unknown,
            prefix: model.continuing_subword_prefix.clone(),
            chars_max,
            bytes_max: vocabulary.keys().map(String::len).max()?,
            by_char,
        })
    }

    /// The token of a word of one character.
    fn of_char(&self, c: char) -> u32 {
        self.by_char.get(c as usize).copied().unwrap_or(self.unknown)
    }

    /// The longest piece first, again and again.
    fn split(&self, word: &str, model: &ModelWrapper, take: &mut Take<'_>) -> Flow {
        let mut chars = word.chars();
        if let (Some(c), None) = (chars.next(), chars.next()) {
            return take(self.of_char(c));
        }
        if let Some(id) = model.token_to_id(word) {
            return take(id);
        }
        let mut found = Vec::new();
        let mut piece = String::new();
        let mut start = 0;
        while start < word.len() {
            piece.clear();
            if start > 0 {
                piece.push_str(&self.prefix);
            }
            let prefix = piece.len();
            let end = word.floor_char_boundary(start.saturating_add(self.bytes_max));
            piece.push_str(&word[start..end]);
            let id = loop {
                if piece.len() == prefix {
                    return take(self.unknown);
                }
                match model.token_to_id(&piece) {
                    Some(id) => break id,
                    None => piece.pop(),
                };
            };
            found.push(id);
            start += piece.len() - prefix;
        }
        found.into_iter().try_for_each(take)
    }
}

fn by_char(vocabulary: &HashMap<String, u32>, unknown: u32) -> Vec<u32> {
    let single = |(token, &id): (&String, &u32)| {
        let mut chars = token.chars();
        let c = chars.next()?;
        chars.next().is_none().then_some((c as usize, id))
    };
    let singles: Vec<(usize, u32)> = vocabulary.iter().filter_map(single).collect();
    let most = singles.iter().map(|&(c, _)| c + 1).max().unwrap_or(0);
    let mut by_char = vec![unknown; most];
    singles.into_iter().for_each(|(c, id)| by_char[c] = id);
    by_char
}

fn is_dropped(c: char) -> bool {
    matches!(c, '\0' | '\u{fffd}') || !matches!(c, '\t' | '\n' | '\r') && c.is_other()
}

fn is_alone(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

fn is_ideograph(c: char) -> bool {
    matches!(
        c as u32,
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}
