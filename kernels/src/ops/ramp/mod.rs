//! An exit: pool, classify, score, compare, record.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod decision;

pub(crate) use cpu::RampScratch;
pub use decision::Decision;

use std::fmt;

use crate::{
    Activation, ArenaLayout, Cost, Error, ExitId, Normalised, Result, RowTokens, Span, WeightId,
};

/// An exit. For every live row: pool its tokens, run the head, decide, score, and leave
/// a record. A row whose score reaches the threshold, and that has no answer yet, gets it
/// here. The final exit of a model is a ramp with threshold 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    /// Which exit this is.
    pub exit: ExitId,
    /// `[tokens, width]`, read.
    pub x: Span,
    /// Tokens of a row.
    pub tokens: RowTokens,
    /// Elements of a token vector.
    pub width: usize,
    /// The layer norm that `x` lies before; none on devices that do not prefer it
    /// ([`crate::Preferences::takes_norms`]).
    pub norm: Option<Normalised>,
    /// How a row's tokens become one vector.
    pub pool: Pool,
    /// A layer between pool and head.
    pub hidden: Option<Hidden>,
    /// The classifier. Without one the logits are the features themselves, and the record's
    /// label and score are 0.
    pub head: Option<RampHead>,
}

/// `act(features · Wᵀ + bias)` inside a ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    /// Matrix `[n, width]`.
    pub weight: WeightId,
    /// Vector of `n`.
    pub bias: WeightId,
    /// Applied last.
    pub activation: Activation,
    /// Outputs.
    pub n: usize,
}

/// `features · Wᵀ + bias` at the end of a ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct RampHead {
    /// Matrix `[classes, features]`.
    pub weight: WeightId,
    /// Vector of `classes`.
    pub bias: WeightId,
    /// Number of classes, at least 1.
    pub classes: usize,
    /// What its logits decide.
    pub decision: Decision,
}

/// How a row's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The first token (`[CLS]`).
    First,
    /// The mean over all tokens of the row.
    Mean,
    /// The last token, which has seen all others where attention looks back.
    Last,
}

impl Ramp {
    /// Fails where an operand lies outside what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        layout.check_rows("ramp x", self.x, self.tokens, self.width)?;
        Error::check_fits("ramp width", self.width, layout.features_max)?;
        Error::check_fits("ramp features", self.features(), layout.features_max)?;
        Error::check_fits("logits", self.logits(), layout.logits_max)?;
        if self.logits() == 0 || self.width == 0 {
            return Err(Error::mismatch("ramp", "at least one feature and class", 0));
        }
        let values =
            self.head.as_ref().filter(|head| matches!(head.decision, Decision::Value { .. }));
        if let Some(head) = values.filter(|head| head.classes != 1) {
            return Err(Error::mismatch("logits of a value", 1, head.classes));
        }
        if let Some(norm) = &self.norm {
            norm.standard.moments.check(layout, self.width)?;
            if self.tokens != RowTokens::Own {
                return Err(Error::mismatch("norm of a ramp", "texts", "images"));
            }
        }
        if self.exit.0 as usize >= layout.exits {
            return Err(Error::mismatch(
                "exit",
                format_args!("one of {}", layout.exits),
                self.exit,
            ));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, rows: f64, tokens: f64) -> Cost {
        let pooled = match self.pool {
            Pool::First | Pool::Last => rows,
            Pool::Mean => self.tokens.of(rows, tokens),
        };
        let pool = Cost::elementwise(pooled * self.width as f64, 1.0, 1.0);
        let hidden = self.hidden.as_ref().map(|h| Cost::product(rows, h.n, self.width));
        let head = self.head.as_ref().map(|h| Cost::product(rows, h.classes, self.features()));
        pool + hidden.unwrap_or_default() + head.unwrap_or_default()
    }

    /// Elements of the vector the head reads.
    pub fn features(&self) -> usize {
        self.hidden.as_ref().map_or(self.width, |h| h.n)
    }

    /// Elements of the vector the ramp gives out.
    pub fn logits(&self) -> usize {
        self.head.as_ref().map_or(self.features(), |h| h.classes)
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exit, x, width, pool, .. } = self;
        write!(f, "ramp      {exit} = {pool}({x}[{width}]")?;
        self.norm.map_or(Ok(()), |norm| norm.fmt(f))?;
        write!(f, ")")?;
        if let Some(hidden) = &self.hidden {
            let Hidden { weight, bias, activation, n } = hidden;
            write!(f, " . {weight} + {bias} {activation} [{n}]")?;
        }
        match &self.head {
            Some(RampHead { weight, bias, classes, decision: Decision::Class }) => {
                write!(f, " . {weight} + {bias} [{classes}]")
            }
            Some(RampHead { weight, bias, classes, decision }) => {
                write!(f, " . {weight} + {bias} [{classes}] {decision}")
            }
            None => write!(f, " features"),
        }
    }
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
