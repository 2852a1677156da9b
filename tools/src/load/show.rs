//! What a load has shown, for people.

use std::fmt::Write;

use super::result::LoadResult;
use crate::table::{Table, digits, ms};

/// Some lines and a table.
pub(super) fn text(result: &LoadResult) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = lines(result, &mut text);
    text.trim_end().to_owned()
}

fn lines(result: &LoadResult, out: &mut String) -> std::fmt::Result {
    if let Some(search) = &result.search {
        let (highest, probes) = (search.highest_rate_per_s, search.probes.len());
        writeln!(
            out,
            "highest rate of which 99 % are answered within {} ms: {highest:.0} a second \
             ({probes} rates tried)",
            result.slo_ms
        )?;
    }
    writeln!(
        out,
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
    )?;
    for (end, requests) in &result.failed {
        writeln!(out, "{requests} {end}")?;
    }
    writeln!(out, "{}", latencies(result))?;
    writeln!(out, "answers by exit: {}", listed(&result.exits))?;
    writeln!(out, "passes by their rows, at most: {}", listed(&result.pass_rows))?;
    writeln!(
        out,
        "mean depth {:.3}; mean wait {}, mean compute {}; sent late by {} at p99, {} at most",
        result.mean_depth,
        ms(result.queue_mean_ms),
        ms(result.compute_mean_ms),
        ms(result.send_lag_p99_ms),
        ms(result.send_lag_max_ms),
    )?;
    if let Some(accuracy) = result.accuracy {
        writeln!(out, "accuracy {}", digits(100.0 * accuracy, "%"))?;
    }
    if let Some(agreement) = result.agreement {
        writeln!(
            out,
            "agreement with the full model: {:.2} %, at least {:.2} % (n = {}, {} differ)",
            100.0 * agreement.agreement,
            100.0 * agreement.agreement_at_least,
            agreement.rows,
            agreement.disagreements,
        )?;
    }
    Ok(())
}

/// The scenario's figure is marked.
fn latencies(result: &LoadResult) -> Table {
    let figure = match result.scenario {
        "single-stream" => "p90",
        "offline" => "",
        _ => "p99",
    };
    let mut table = Table::new(&["latency", "", "95 % interval"]);
    for (name, percentile) in &result.latency {
        let interval = format!("{} to {}", ms(percentile.low_ms), ms(percentile.high_ms));
        let mark = if name == figure { " *" } else { "" };
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
