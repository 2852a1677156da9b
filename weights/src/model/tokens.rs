//! What goes into a model over text.

/// What goes into a model over text. Sizes are counts of elements.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSpec {
    /// Whose table of names it follows: [`crate::Family::named`].
    pub family: &'static str,
    /// The kind of tokenizer where no file names one.
    pub tokenizer: &'static str,
    /// Token ids are below this.
    pub vocab: usize,
    /// Rows of the position table, `max_position_embeddings` as in the file.
    pub positions: usize,
    /// The table row of a sequence's first token: 0, or the pad token's id + 1 for RoBERTa.
    pub position_offset: usize,
    /// The id that padding has; below `vocab`.
    pub pad_token: u32,
    /// Token kinds (`type_vocab_size`); 0 where the family has none.
    pub kinds: usize,
    /// `tokenizer_class` without "Fast" and "Tokenizer", which holds where
    /// `tokenizer_config.json` names none.
    pub tokenizer_class: Option<String>,
}

impl TextSpec {
    /// Most tokens of one row: the positions that a sequence can reach.
    pub fn row_tokens_max(&self) -> usize {
        self.positions - self.position_offset
    }
}
