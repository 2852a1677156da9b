//! Whether the server serves the model that inputs and labels are read for.

use offramp::Model;
use offramp_protocol::Kind;
use serde_json::{Value, json};

use super::question::ask;
use crate::failure::{Failure, Result};

/// Letters of a value that are shown.
const SHOWN_CHARS: usize = 80;

/// Fails where the server's model reads, decides or names something else: every answer would be
/// counted as wrong, or the wrong ones as right.
pub(super) fn expect_model(address: &str, model: &Model) -> Result<()> {
    let told = ask(address, Kind::Metadata, "its model")?;
    let own = json!({
        "reads": model.reads(), "task": model.task().to_string(), "labels": model.spec().labels(),
    });
    let keys = own.as_object().into_iter().flatten();
    let mut others = keys.filter(|(key, own)| !told[key.as_str()].is_null() && told[*key] != **own);
    let Some((key, own)) = others.next() else { return Ok(()) };
    Err(Failure::Usage(format!(
        "--model {}: `{key}` {}, but the server at {address} serves {} with {}: give the model \
         that is served",
        model.dir().display(),
        shown(own),
        shown(&told["model"]),
        shown(&told[key.as_str()]),
    )))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
