//! What a server tells while it runs, on standard error. The log is best effort: a thread of its
//! own writes it, so whoever has something to say never waits for a reader, and lines that nobody
//! takes are lost and counted.

use std::io::{self, Stderr, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written.
const LINES_MAX: usize = 8192;
/// At the end, longest wait for what is still to be written.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(2);

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

/// The log of this process, once there is one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Hands lines to the thread that writes them.
struct Log {
    lines: NonBlocking,
    /// Handed over.
    queued: AtomicU64,
}

/// What the writing thread has done.
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

impl LogArgs {
    /// From now on; panics are told in the log too. [`End`] waits for its last lines.
    pub(crate) fn start(self) {
        let (lines, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(LINES_MAX)
            .thread_name("offramp-log")
            .finish(Reader(io::stderr()));
        // Dropped, it would wait for a reader that is stuck, and complain on standard output.
        std::mem::forget(guard);
        if LOG.set(Log { lines, queued: AtomicU64::new(0) }).is_err() {
            // A second start, in a test, changes nothing.
            return;
        }
        let log = tracing_subscriber::fmt()
            .with_max_level(self.log_level)
            .with_target(false)
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(Lines);
        let _ = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
        std::panic::set_hook(Box::new(tell_panic));
    }
}

/// As the usual hook, which would wait for whoever reads standard error.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let why = panic.payload_as_str().unwrap_or("no message");
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), at, why, "a panic");
}

/// Lines that could not be written, or found no place to wait.
pub(crate) fn lines_dropped() -> u64 {
    let unplaced = LOG.get().map_or(0, |log| log.lines.error_counter().dropped_lines() as u64);
    unplaced + FAILED.load(Ordering::Relaxed)
}

/// Takes a line on its way to standard error, where there is a log.
pub(crate) fn take(line: &str) -> bool {
    LOG.get().is_some() && Lines.write_all(line.as_bytes()).is_ok()
}

/// Dropped, waits until everything said has been written, as long as somebody reads it: also what a
/// panic said.
pub(crate) struct End;

impl Drop for End {
    fn drop(&mut self) {
        let Some(log) = LOG.get() else { return };
        let until = Instant::now() + LAST_LINES;
        while !log.is_empty() && Instant::now() < until {
            sleep(LOOK);
        }
    }
}

impl Log {
    /// Whether every line has been written, or lost.
    fn is_empty(&self) -> bool {
        let done = WRITTEN.load(Ordering::Acquire) + FAILED.load(Ordering::Acquire);
        let unplaced = self.lines.error_counter().dropped_lines() as u64;
        done + unplaced >= self.queued.load(Ordering::Acquire)
    }
}

/// The end of the log where lines go in, each with one call.
#[derive(Clone, Copy)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(log) = LOG.get() {
            log.queued.fetch_add(1, Ordering::AcqRel);
            log.lines.clone().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Whoever reads standard error, if anybody does.
struct Reader(Stderr);

impl Write for Reader {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.lock().write_all(line) {
            Ok(()) => WRITTEN.fetch_add(1, Ordering::AcqRel),
            Err(_) => FAILED.fetch_add(1, Ordering::AcqRel),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
