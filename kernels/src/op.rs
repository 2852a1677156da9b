//! The closed set of operations a plan is made of.
//!
//! Every matrix of activations is `[tokens, width]` row-major over the packed tokens of the rows
//! alive; the contracts say `x[t]` for the vector of token `t`. The tokens of an image are its
//! pixels, row by row (NHWC), so all images have the same number: see [`crate::RowTokens`]. An op
//! reads and writes live tokens only. `Display` prints an op as one line of assembly.

use std::fmt;

use crate::{
    Attention, Compact, Conv2d, Cost, Embed, Linear, LiveBound, Narrow, Norm, Patches, Pixels,
    Pool2d, Ramp,
};

/// One operation with its operands.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Tokens to vectors.
    Embed(Embed),
    /// Pixels to vectors.
    Pixels(Pixels),
    /// Patches of images to rows of tokens.
    Patches(Patches),
    /// Convolution with its epilogue.
    Conv2d(Conv2d),
    /// The largest or the mean of windows of pixels.
    Pool2d(Pool2d),
    /// Layer normalisation.
    Norm(Norm),
    /// Matrix product with its epilogue.
    Linear(Linear),
    /// Multi-head self-attention within each row.
    Attention(Attention),
    /// An exit: pool, classify, score, compare, record.
    Ramp(Ramp),
    /// Packs the rows that are still needed.
    Compact(Compact),
    /// Keeps the first token of every row.
    Narrow(Narrow),
}

impl Op {
    /// Work at the given counts. Attention counts its rows as equally long.
    pub fn cost(&self, live: LiveBound) -> Cost {
        let (rows, tokens) = (live.rows as f64, live.tokens as f64);
        match self {
            Self::Embed(op) => op.cost(tokens),
            Self::Pixels(op) => op.cost(rows),
            Self::Patches(op) => op.cost(tokens),
            Self::Conv2d(op) => op.cost(rows),
            Self::Pool2d(op) => op.cost(rows),
            Self::Norm(op) => op.cost(tokens),
            Self::Linear(op) => op.cost(tokens),
            Self::Attention(op) => op.cost(rows, tokens),
            Self::Ramp(op) => op.cost(rows, tokens),
            Self::Compact(op) => op.cost(rows, tokens),
            Self::Narrow(op) => op.cost(rows),
        }
    }

    /// What is alive behind the op at most, as far as the host knows.
    pub fn leaves(&self, live: LiveBound) -> LiveBound {
        match self {
            Self::Narrow(_) => LiveBound { tokens: live.rows, ..live },
            _ => live,
        }
    }
}

/// Each operand struct is an op.
macro_rules! from_operands {
    ($($op:ident),*) => {
        $(impl From<$op> for Op {
            fn from(op: $op) -> Self {
                Self::$op(op)
            }
        })*
    };
}

from_operands!(
    Embed, Pixels, Patches, Conv2d, Pool2d, Norm, Linear, Attention, Ramp, Compact, Narrow
);

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed(op) => op.fmt(f),
            Self::Pixels(op) => op.fmt(f),
            Self::Patches(op) => op.fmt(f),
            Self::Conv2d(op) => op.fmt(f),
            Self::Pool2d(op) => op.fmt(f),
            Self::Norm(op) => op.fmt(f),
            Self::Linear(op) => op.fmt(f),
            Self::Attention(op) => op.fmt(f),
            Self::Ramp(op) => op.fmt(f),
            Self::Compact(op) => op.fmt(f),
            Self::Narrow(op) => op.fmt(f),
        }
    }
}
