//! What a server says of its passes.

use std::collections::BTreeMap;

use offramp_protocol::Kind;

use super::question::ask;
use crate::failure::{Failure, Result};

/// Passes so far, by the most rows they may have had; those with more stand under `u64::MAX`.
pub(crate) fn by_rows(address: &str) -> Result<BTreeMap<u64, u64>> {
    let stats = ask(address, Kind::Stats, "its passes")?;
    let Some(passes) = stats["pass_rows"].as_object() else {
        return Err(Failure::Failed(format!("{address}: the server does not tell its passes")));
    };
    let entry = |(rows, passes): (&String, &serde_json::Value)| {
        (rows.parse().unwrap_or(u64::MAX), passes.as_u64().unwrap_or(0))
    };
    Ok(passes.iter().map(entry).collect())
}

/// What came on top; nothing is known of a server that has been started anew.
pub(crate) fn since(before: &BTreeMap<u64, u64>, now: BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
    let more = |(rows, passes): (u64, u64)| {
        (rows, passes.saturating_sub(before.get(&rows).copied().unwrap_or(0)))
    };
    now.into_iter().map(more).filter(|&(_, passes)| passes > 0).collect()
}
