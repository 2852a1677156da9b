//! Where an answer came from.

use std::fmt;

/// The exit that gave an answer, as the wire tells it. The engine has an `Exit` of its own: neither
/// package knows of the other, so that a client links no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The ramp at this site.
    Site(usize),
    /// The model's own head.
    Final,
}

impl fmt::Display for Exit {
    /// The site's number, or `final`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Final => f.write_str("final"),
        }
    }
}
