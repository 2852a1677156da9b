//! The pointwise functions, by the names that configurations use.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A pointwise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x * Phi(x)`, exact, through the error function.
    GeluErf,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * sigmoid(x)`.
    Silu,
}

/// Every accepted spelling; of several for one function the first is the one written.
const SPELLINGS: [(&str, Activation); 11] = [
    ("gelu", Activation::GeluErf),
    ("gelu_python", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
];

/// A name of no known activation. Its text lists those that are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownActivation;

impl UnknownActivation {
    /// "one of gelu, gelu_new, ...".
    pub(crate) fn expected() -> String {
        let names: Vec<_> = SPELLINGS.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }
}

impl fmt::Display for UnknownActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an activation is {}", Self::expected())
    }
}

impl std::error::Error for UnknownActivation {}

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(text: &str) -> Result<Self, UnknownActivation> {
        let known = SPELLINGS.iter().find(|(name, _)| *name == text);
        known.map(|(_, activation)| *activation).ok_or(UnknownActivation)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeluErf => "gelu",
            Self::GeluTanh => "gelu_new",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Silu => "silu",
        })
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_name_reads_back() {
        for (name, activation) in SPELLINGS {
            assert_eq!(name.parse(), Ok(activation));
            assert_eq!(activation.to_string().parse(), Ok(activation));
        }
        assert_eq!("GELU".parse::<Activation>(), Err(UnknownActivation));
    }
}
