//! Where a result belongs.

use std::fmt::{self, Display};

use offramp::Shape;
use serde::Serialize;

use crate::settings::NamedModel;

/// Which cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Place {
    model: &'static str,
    rows: usize,
    row_tokens: usize,
    what: String,
}

impl Place {
    /// Of a model, whatever the shape.
    pub(crate) fn of(model: &NamedModel, what: &str) -> Self {
        Self::at(model, Shape { rows: 0, tokens: 0 }, what.to_owned())
    }

    pub(crate) fn at(model: &NamedModel, shape: Shape, what: String) -> Self {
        let Shape { rows, tokens: row_tokens } = shape;
        Self { model: model.name, rows, row_tokens, what }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, rows, row_tokens, what } = self;
        write!(f, "{model} {rows} x {row_tokens}, {what}")
    }
}

/// A cell without a result, or whose result is not right.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    #[serde(flatten)]
    pub(crate) place: Place,
    pub(crate) error: String,
}
