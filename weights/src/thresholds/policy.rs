//! How a ramp's answer becomes a score, by name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::spec::LAYERS_MAX;

/// The rule that gives a score in [0, 1]; higher is surer.
///
/// ```
/// use offramp_weights::Policy;
/// assert_eq!("patience(3)".parse(), Ok(Policy::Patience { k: 3 }));
/// assert_eq!(Policy::Margin.to_string(), "margin");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The largest probability.
    Confidence,
    /// One minus the entropy of the probabilities over its largest value.
    Entropy,
    /// The largest probability minus the second.
    Margin,
    /// How many ramps in a row gave the same label, of `k` that must.
    Patience {
        /// From 1 to 128.
        k: u32,
    },
}

impl Policy {
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        match self {
            Self::Patience { k } if !patience_fits(*k) => {
                Err(Error::refused(path, "policy", BadPolicy.to_string(), self))
            }
            _ => Ok(()),
        }
    }
}

/// More patience than a model has layers never ends.
fn patience_fits(k: u32) -> bool {
    (1..=LAYERS_MAX as u32).contains(&k)
}

/// Text that names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("confidence, entropy, margin, or patience(k) with k from 1 to {LAYERS_MAX}")]
pub struct BadPolicy;

impl FromStr for Policy {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        match text {
            "confidence" => Ok(Self::Confidence),
            "entropy" => Ok(Self::Entropy),
            "margin" => Ok(Self::Margin),
            _ => {
                let k = text.strip_prefix("patience(").and_then(|rest| rest.strip_suffix(')'));
                let k = k.and_then(|k| k.parse().ok()).filter(|k| patience_fits(*k));
                k.map(|k| Self::Patience { k }).ok_or(BadPolicy)
            }
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confidence => f.write_str("confidence"),
            Self::Entropy => f.write_str("entropy"),
            Self::Margin => f.write_str("margin"),
            Self::Patience { k } => write!(f, "patience({k})"),
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
