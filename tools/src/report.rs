//! What a report tells of a model whose passes were timed.

use crate::compare::{Figures, side_by_side};
use crate::html::{escape, push};
use crate::race::Tally;
use crate::svg;

/// What the report tells of one model.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) about: &'a str,
    pub(crate) figures: &'a [Figures],
    pub(crate) tallies: &'a [Tally],
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
