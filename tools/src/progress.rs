//! Progress bars on standard error; hidden where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `len` steps with what they are in front.
pub(crate) fn bar(what: &'static str, len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>22} {bar:32} {pos}/{len} {msg}");
    let bar = ProgressBar::new(len).with_prefix(what);
    // The template is a constant; the default style is no reason to fail either.
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar
}
