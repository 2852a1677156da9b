//! What a server tells while it runs, on standard error.

use clap::{Args, ValueEnum};
use tracing::Level;

/// How and how much.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LogArgs {
    /// How events are written
    #[arg(long, value_enum, default_value = "text", env = "OFFRAMP_LOG_FORMAT")]
    log_format: LogFormat,
    /// The least event that is written: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "OFFRAMP_LOG_LEVEL")]
    log_level: Level,
}

/// `--log-format`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// A line of JSON each
    Json,
}

impl LogArgs {
    /// From now on.
    pub(crate) fn start(self) {
        let log = tracing_subscriber::fmt()
            .with_max_level(self.log_level)
            .with_target(false)
            .with_ansi(false)
            .with_writer(std::io::stderr);
        // A second start, in a test, changes nothing.
        let _ = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
    }
}
