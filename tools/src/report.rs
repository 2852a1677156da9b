//! Reports: one HTML file that needs nothing else.

use std::fmt::Write as _;

use crate::compare::{Figures, side_by_side};
use crate::load::plots::{Run, plots};
use crate::race::Tally;
use crate::svg;

/// What the report tells of one model.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) about: &'a str,
    pub(crate) figures: &'a [Figures],
    pub(crate) tallies: &'a [Tally],
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1c2127; --soft: #68737d; --line: #d8dee4;
  --page: #ffffff; --c0: #8a949e; --c1: #2f7ed8; --c2: #1f9d61; --c3: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #98a2ab; --line: #3a424a;
  --page: #14181c; --c0: #8a949e; --c1: #62a4f0; --c2: #4cc38a; --c3: #f0a04b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin-top: 1.5rem; }
p { color: var(--soft); white-space: pre-line; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; white-space: pre; }
.bad { color: #fff; background: #b3261e; padding: .6rem .8rem; border-radius: .25rem; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .axis { stroke: var(--line); } svg .soft { fill: var(--soft); }
svg .bar { fill: var(--c2); } svg .curve { fill: none; stroke-width: 2; }";

/// The whole file around its sections.
pub(crate) fn html(title: &str, sections: &str) -> String {
    let title = escape(title);
    let mut page = String::new();
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    push(&mut page, format_args!("<title>{title}</title>\n<style>\n{STYLE}\n</style>\n"));
    push(&mut page, format_args!("<h1>{title}</h1>\n{sections}</html>\n"));
    page
}

/// Loads of a server, with what was measured as part of the page.
pub(crate) fn loads(page: &mut String, about: &str, figures: &str, runs: &[Run<'_>]) {
    push(page, format_args!("<p>{}</p>\n{figures}", escape(about)));
    // Without a run there is nothing to draw.
    let plots = if runs.is_empty() { Vec::new() } else { plots(runs) };
    for (title, drawing) in plots {
        push(page, format_args!("<h3>{}</h3>\n{drawing}", escape(title)));
    }
}

/// What stands out; nothing where nothing is wrong.
pub(crate) fn warnings(lines: &[String]) -> String {
    let text = escape(&lines.join("\n"));
    if lines.is_empty() { text } else { format!("<p class=\"bad\" role=\"alert\">{text}</p>\n") }
}

/// A model whose passes were timed.
pub(crate) fn section(page: &mut String, report: &Report<'_>) {
    push(page, format_args!("<h2>{}</h2>\n", escape(report.name)));
    push(page, format_args!("<p>{}</p>\n", escape(report.about)));
    table(page, report.figures);
    if let Some(compact) = report.figures.last() {
        page.push_str("<h3>Where rows leave</h3>\n");
        page.push_str(&svg::exits(compact));
    }
    page.push_str("<h3>How soon answers leave</h3>\n");
    page.push_str("<p>Share of rows answered by then, from the start of their pass.</p>\n");
    page.push_str(&svg::latencies(report.tallies));
}

fn table(page: &mut String, figures: &[Figures]) {
    page.push_str("<table>\n<tr><th></th>");
    for figures in figures {
        push(page, format_args!("<th>{}</th>", escape(figures.variant)));
    }
    page.push_str("</tr>\n");
    for line in side_by_side(figures) {
        page.push_str("<tr>");
        for cell in line {
            push(page, format_args!("<td>{}</td>", escape(&cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// Writing to a string cannot fail.
pub(crate) fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

/// Text as HTML and SVG want it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
