//! How rows are pooled.

use serde::{Deserialize, Serialize};

/// How a row's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The first token's.
    First,
    /// The mean over all tokens.
    Mean,
}
