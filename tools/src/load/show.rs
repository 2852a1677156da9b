//! What a load has shown, for people.

use super::result::LoadResult;
use crate::html::{escape, push, warnings};
use crate::table::{Table, digits, ms};

/// The percentile that a scenario is judged by carries this.
const MARK: &str = " *";

/// Some lines and a table.
pub(super) fn text(result: &LoadResult) -> String {
    let above = problems(result).into_iter().chain(above(result));
    let table = latencies(result).to_string();
    above.chain([table]).chain(below(result)).collect::<Vec<_>>().join("\n")
}

/// The same for a report: what is wrong stands out, the table is one.
pub(super) fn html(result: &LoadResult) -> String {
    let mut page = String::new();
    page.push_str(&warnings(&problems(result)));
    push(&mut page, format_args!("<p>{}</p>\n", escape(&above(result).join("\n"))));
    page.push_str(&latencies(result).html());
    push(&mut page, format_args!("<p>{}</p>\n", escape(&below(result).join("\n"))));
    page
}

fn problems(result: &LoadResult) -> Vec<String> {
    result.problems.iter().map(|problem| format!("INVALID: {problem}")).collect()
}

fn above(result: &LoadResult) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(search) = &result.search {
        lines.push(search.headline(result.slo_ms));
    }
    lines.push(format!(
        "{}: {} requests in {:.1} s ({:.1} a second): {} answered ({:.1} a second), {:.1} a second \
         within {} ms",
        result.scenario,
        result.sent,
        result.elapsed_s,
        result.offered_per_s,
        result.ok,
        result.answered_per_s,
        result.goodput_per_s,
        result.slo_ms,
    ));
    lines.extend(result.failed.iter().map(|(end, requests)| format!("{requests} {end}")));
    if result.failed.contains_key("deadline_expired") {
        let hint = "deadline_expired: a server predicts passes as if no row left early, unless it \
                    was started with --count-exits";
        lines.push(hint.to_owned());
    }
    lines
}

fn below(result: &LoadResult) -> Vec<String> {
    let mut lines = Vec::new();
    let judged_by = judged_by(result.scenario);
    if let Some(percentile) = judged_by.filter(|&name| result.latency.contains_key(name)) {
        let scenario = result.scenario;
        lines.push(format!("* what the scenario {scenario} is judged by: {percentile}"));
    }
    lines.push(format!("answers by exit: {}", listed(&result.exits)));
    if !result.pass_rows.is_empty() {
        lines.push(format!("passes by their rows, at most: {}", listed(&result.pass_rows)));
    }
    lines.push(format!(
        "mean depth {:.3}; mean wait {}, mean compute {}; sent late by {} at p99, {} at most",
        result.mean_depth,
        ms(result.queue_mean_ms),
        ms(result.compute_mean_ms),
        ms(result.send_lag_p99_ms),
        ms(result.send_lag_max_ms),
    ));
    if let Some(error) = result.quality.mean_absolute_error {
        lines.push(format!("mean error {error:.4}"));
    }
    if let Some(accuracy) = result.quality.accuracy {
        lines.push(format!("accuracy {}", digits(100.0 * accuracy, "%")));
    }
    if let Some(agreement) = result.agreement {
        lines.push(format!(
            "agreement with the full model: {:.2} %, at least {:.2} % (n = {}, {} differ)",
            100.0 * agreement.agreement,
            100.0 * agreement.agreement_at_least,
            agreement.rows,
            agreement.disagreements,
        ));
    }
    lines
}

/// As MLPerf's LoadGen has it.
fn judged_by(scenario: &str) -> Option<&'static str> {
    match scenario {
        "single-stream" => Some("p90"),
        "offline" => None,
        _ => Some("p99"),
    }
}

fn latencies(result: &LoadResult) -> Table {
    let judged_by = judged_by(result.scenario);
    let mut table = Table::new(&["latency", "", "95 % interval"]);
    for (name, percentile) in &result.latency {
        let interval = format!("{} to {}", ms(percentile.low_ms), ms(percentile.high_ms));
        let mark = if judged_by == Some(name.as_str()) { MARK } else { "" };
        table.texts([format!("{name}{mark}"), ms(percentile.ms), interval]);
    }
    table
}

fn listed<K: std::fmt::Display, V: std::fmt::Display>(
    counts: &std::collections::BTreeMap<K, V>,
) -> String {
    let all: Vec<String> = counts.iter().map(|(key, count)| format!("{key}: {count}")).collect();
    all.join(", ")
}
