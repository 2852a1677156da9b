//! How rows are pooled.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a row's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The first token's.
    First,
    /// The mean over all tokens.
    Mean,
    /// The last token's.
    Last,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Mean => "mean",
            Self::Last => "last",
        })
    }
}
