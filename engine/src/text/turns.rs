//! Long texts are read in turns with whoever else waits for the core: a scheduler may leave a
//! thread on it for milliseconds, in which others could have had their answers.

/// Read between two turns: a fraction of a millisecond's work.
const TURN_BYTES: usize = 16 << 10;

/// Counts what is read.
#[derive(Debug, Default)]
pub(super) struct Turns {
    bytes: usize,
}

impl Turns {
    /// So many bytes more.
    pub(super) fn read(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= TURN_BYTES {
            self.bytes = 0;
            std::thread::yield_now();
        }
    }
}

/// A text in stretches, each of which is read in a turn.
pub(super) fn stretches(mut text: &str) -> impl Iterator<Item = &str> {
    let mut is_first = true;
    std::iter::from_fn(move || {
        let (stretch, rest) = text.split_at(text.floor_char_boundary(TURN_BYTES));
        text = rest;
        if stretch.is_empty() {
            return None;
        }
        if !std::mem::take(&mut is_first) {
            std::thread::yield_now();
        }
        Some(stretch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_the_whole_text_and_end_between_characters() {
        for text in ["", "a", &"€".repeat(TURN_BYTES)] {
            let parts: Vec<&str> = stretches(text).collect();
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.len() <= TURN_BYTES));
        }
    }
}
