//! What the measurements say: JSON for programs, tables for people.

use std::fmt::{self, Display, Write as _};
use std::process::Command;

use offramp_kernels::cuda::{DRIVER_VARIABLE, Gpu};
use serde::Serialize;

use crate::place::Failed;
use crate::results::{Agreement, AnswerTime, ForwardTime, KernelTime};
use crate::settings::Settings;

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    gpu: String,
    compute: String,
    multiprocessors: usize,
    memory_bytes: usize,
    driver: String,
    /// UTC.
    date: String,
}

impl Machine {
    pub(crate) fn of(gpu: &Gpu) -> Self {
        let (major, minor) = gpu.compute;
        Self {
            gpu: gpu.name.clone(),
            compute: format!("{major}.{minor}"),
            multiprocessors: gpu.multiprocessors,
            memory_bytes: gpu.memory_bytes,
            driver: driver(),
            date: date(),
        }
    }
}

/// The driver as it names itself, or the library in its place.
fn driver() -> String {
    if let Some(path) = std::env::var_os(DRIVER_VARIABLE).filter(|path| !path.is_empty()) {
        return path.display().to_string();
    }
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    text.lines().next().map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

fn date() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]).output();
    date.map_or("unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// All measurements of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    precision: String,
    warm_up_runs: usize,
    pub(crate) kernels: Vec<KernelTime>,
    pub(crate) answers: Vec<AnswerTime>,
    pub(crate) agreements: Vec<Agreement>,
    pub(crate) forwards: Vec<ForwardTime>,
    pub(crate) failed: Vec<Failed>,
}

impl Report {
    pub(crate) fn new(machine: Machine, settings: &Settings) -> Self {
        Self {
            machine,
            precision: settings.precision.to_string(),
            warm_up_runs: settings.warm_ups,
            kernels: Vec::new(),
            answers: Vec::new(),
            agreements: Vec::new(),
            forwards: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// How many cells have a result.
    pub(crate) fn cells(&self) -> usize {
        let Self { kernels, answers, agreements, forwards, .. } = self;
        kernels.len() + answers.len() + agreements.len() + forwards.len()
    }

    /// `36 cells, 1 failed; x1 0.412 ms; x8 ..`: the forwards without exits.
    pub(crate) fn summary(&self) -> String {
        let Self { forwards, failed, .. } = self;
        let cells = self.cells();
        let off = forwards.iter().filter(|time| time.is_plain());
        let times = off.map(|time| format!("; x{} {:.3} ms", time.rows, time.pass_ms.p50));
        format!("{cells} cells, {} failed{}", failed.len(), times.collect::<String>())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { gpu, compute, driver, date, .. } = &self.machine;
        writeln!(f, "# {gpu}, {}\n", self.precision)?;
        writeln!(f, "Compute {compute}; {driver}; {date} UTC.\n")?;
        self.kernel_table(f)?;
        self.answer_table(f)?;
        self.forward_table(f)?;
        self.failures(f)
    }
}

impl Report {
    fn kernel_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["model", "rows", "kernel", "us", "p10", "TFLOP/s", "GB/s", "error", "sets"];
        let row = |time: &KernelTime| {
            let KernelTime { model, rows, row_tokens, kernel, time_us, sets, .. } = time;
            vec![
                (*model).to_owned(),
                format!("{rows} x {row_tokens}"),
                kernel_name(kernel, time.n, time.k),
                format!("{:.2}", time_us.p50),
                format!("{:.2}", time_us.p10),
                format!("{:.1}", time.tflops),
                format!("{:.0}", time.gbytes_per_s),
                format!("{:.1e}", time.relative_error),
                sets.to_string(),
            ]
        };
        table(f, "Kernels, operands taking turns", &header, self.kernels.iter().map(row))
    }

    fn answer_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |time: &AnswerTime| {
            let AnswerTime { model, rows, row_tokens, issue_to_last_answer_us } = time;
            let shape = format!("{rows} x {row_tokens}");
            vec![
                (*model).to_owned(),
                shape,
                format!("{:.1}", issue_to_last_answer_us.p50),
                format!("{:.1}", issue_to_last_answer_us.p10),
            ]
        };
        let title = "From a ramp's issue to its last answer, device idle before";
        table(f, title, &["model", "rows", "us", "p10"], self.answers.iter().map(row))
    }

    fn forward_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "model",
            "rows",
            "exits",
            "pass ms",
            "p10",
            "device ms",
            "packed",
            "first answer ms",
            "mean answer ms",
            "runs",
        ];
        let row = |time: &ForwardTime| {
            let ForwardTime { model, rows, row_tokens, exits, after_exit, runs, .. } = time;
            let packed = time.compactions.to_string();
            let exits =
                if time.is_plain() { "off".into() } else { format!("{exits} {after_exit}") };
            let ms = |value: f64| format!("{value:.3}");
            vec![
                (*model).to_owned(),
                format!("{rows} x {row_tokens}"),
                exits,
                ms(time.pass_ms.p50),
                ms(time.pass_ms.p10),
                ms(time.device_ms.p50),
                packed,
                ms(time.first_answer_ms.p50),
                ms(time.mean_answer_ms.p50),
                runs.to_string(),
            ]
        };
        table(f, "Forwards", &header, self.forwards.iter().map(row))
    }

    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failed = self.failed.iter();
        failed.try_for_each(|Failed { place, error }| writeln!(f, "- failed: {place}: {error}"))
    }
}

/// `linear qkv 2304 x 768`
fn kernel_name(kernel: &str, n: Option<usize>, k: Option<usize>) -> String {
    match (n, k) {
        (Some(n), Some(k)) => format!("{kernel} {n} x {k}"),
        _ => kernel.to_owned(),
    }
}

/// A table as GitHub reads it, unless it is empty.
fn table(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let mut text = String::new();
    for row in rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    if text.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "## {title}\n\n| {} |\n|{}\n{text}",
        header.join(" | "),
        "---|".repeat(header.len())
    )
}
