//! What came of throwing at a target, as its log tells.

use std::fmt;
use std::time::Duration;

/// Lines of the log that show a fault.
const FAULT_LINES: usize = 20;

pub(super) struct Outcome {
    inputs: Option<u64>,
    /// Edges that were reached, as the last line of progress says.
    edges: Option<u64>,
    kept: Option<u64>,
    peak_mb: Option<u64>,
    took: Duration,
    /// The last lines.
    end: String,
}

impl Outcome {
    pub(super) fn of(log: &str, took: Duration) -> Self {
        let progress = log.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("stat::")).collect();
        Self {
            inputs: number(log, "stat::number_of_executed_units:"),
            edges: number(progress, " cov: "),
            kept: number(progress, " corp: "),
            peak_mb: number(log, "stat::peak_rss_mb:"),
            took,
            end: lines[lines.len().saturating_sub(FAULT_LINES)..].join("\n"),
        }
    }

    /// The end of the log: what was said before it ended.
    pub(super) fn fault(&self) -> &str {
        &self.end
    }
}

/// The number behind the last `key`.
fn number(text: &str, key: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(key)?;
    let digits = rest.trim_start().split(|digit: char| !digit.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |number: Option<u64>| number.map_or("?".to_owned(), |it| it.to_string());
        let seconds = self.took.as_secs_f64();
        let rate = self.inputs.map(|inputs| (inputs as f64 / seconds.max(1e-3)) as u64);
        let (inputs, rate, edges) = (shown(self.inputs), shown(rate), shown(self.edges));
        let (kept, peak) = (shown(self.kept), shown(self.peak_mb));
        write!(
            f,
            "{inputs} inputs in {seconds:.0} s, {rate} a second, {edges} edges, {kept} inputs \
             kept, {peak} MB at most"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
        #9\tNEW    cov: 44 ft: 60 corp: 7/90b lim: 4 exec/s: 0 rss: 31Mb\nDone 9 runs\n\
        stat::number_of_executed_units: 3000\nstat::peak_rss_mb:              31\n";

    #[test]
    fn a_log_is_summed_up() {
        let outcome = Outcome::of(LOG, Duration::from_secs(2));
        let expected = "3000 inputs in 2 s, 1500 a second, 44 edges, 7 inputs kept, 31 MB at most";
        assert_eq!(outcome.to_string(), expected);
        assert!(outcome.fault().ends_with("Done 9 runs"));
    }

    #[test]
    fn what_a_log_does_not_tell_is_no_number() {
        let outcome = Outcome::of("ERROR: libFuzzer", Duration::from_secs(1)).to_string();
        assert!(outcome.starts_with("? inputs in 1 s, ? a second, ? edges"), "{outcome}");
    }
}
