//! What people read where a code alone does not tell.

use std::fmt;
use std::io::Write as _;

/// Says on stderr what a code alone cannot.
pub(crate) fn complain(what: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "libcuda simulator: {what}");
}
