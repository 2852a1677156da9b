//! The `offramp` command; see the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    offramp_tools::run()
}
