//! How bad a disagreement rate may really be, given what was seen.
//!
//! | question | answer |
//! |---|---|
//! | how bad at most? | `binomial`: Clopper and Pearson's bound, exact |
//! | has it risen? | `drift`: evidence since it may have |

mod binomial;
mod drift;

pub use binomial::clopper_pearson_upper;
pub(super) use binomial::{errors_allowed, is_within};
pub(super) use drift::Drift;
