//! What an input is called.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::value::RawValue;

/// An id, which comes back to the letter: a number of any size and form, a text, or anything else.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Id {
    /// JSON, as the line has it.
    Written(Box<RawValue>),
    /// Of a line or a picture without one, from 1.
    Number(u64),
    /// Of a picture's file.
    Name(String),
}

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(json) => f.write_str(json.get()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
