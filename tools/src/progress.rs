//! Progress on standard error: a bar on a terminal, elsewhere, as in a log, a line now and then.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::out::note;

/// Without a terminal, so long between two lines: what is done sooner says nothing.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far something is.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// When the last line was written; nothing where there is a terminal.
    line_at: Option<Cell<Instant>>,
}

/// Begins something of `len` steps with what they are in front.
pub(crate) fn bar(what: &'static str, len: u64) -> Bar {
    let style = ProgressStyle::with_template("{prefix:>22} {bar:32} {pos}/{len} {msg}");
    let bar = ProgressBar::new(len).with_prefix(what);
    // The template is a constant; the default style is no reason to fail either.
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    let line_at = bar.is_hidden().then(|| Cell::new(Instant::now()));
    Bar { bar, line_at }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // What ends early leaves no bar behind.
        self.bar.finish_and_clear();
    }
}

impl Bar {
    pub(crate) fn inc(&self, steps: u64) {
        self.bar.inc(steps);
        self.say();
    }

    pub(crate) fn tick(&self) {
        self.bar.tick();
        self.say();
    }

    pub(crate) fn set_position(&self, step: u64) {
        self.bar.set_position(step);
        self.say();
    }

    pub(crate) fn set_length(&self, len: u64) {
        self.bar.set_length(len);
    }

    pub(crate) fn set_message(&self, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(message);
        self.say();
    }

    /// A bar goes, lines stay.
    pub(crate) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self) {
        let Some(line_at) = &self.line_at else { return };
        if line_at.get().elapsed() >= LINE_EVERY {
            line_at.set(Instant::now());
            note(self.line());
        }
    }

    fn line(&self) -> String {
        let (what, done) = (self.bar.prefix(), self.bar.position());
        let of = self.bar.length().unwrap_or(done);
        format!("{what}: {done} of {of} {}", self.bar.message()).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_done_and_of_how_much() {
        let bar = bar("watching the model", 40);
        bar.inc(3);
        assert_eq!(bar.line(), "watching the model: 3 of 40");
        bar.set_length(50);
        bar.set_position(7);
        bar.set_message("site 2");
        assert_eq!(bar.line(), "watching the model: 7 of 50 site 2");
    }
}
