//! How bad a disagreement rate may really be, given what was seen.
//!
//! | rows | bound |
//! |---|---|
//! | each stands for itself, looked at once | `binomial`: Clopper and Pearson's, exact |
//! | some stand for many, or looked at again and again | `betting`: holds at every moment |
//! | has the rate risen? | `drift`: evidence since it may have |

mod betting;
mod binomial;
mod drift;

pub use betting::Betting;
pub use binomial::clopper_pearson_upper;
pub(super) use binomial::{errors_allowed, is_within};
pub use drift::Drift;
