//! Tables for a terminal of 100 columns, and how numbers look in them.

use std::fmt;

use comfy_table::{Cell, CellAlignment, presets};

use crate::html::{escape, push};

const COLUMNS: usize = 100;

/// Cells that fill a bar of 100 %.
const BAR_CELLS: f64 = 20.0;

/// A table whose first column is left-aligned and whose numbers are right-aligned.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self::styled(header, presets::UTF8_FULL_CONDENSED)
    }

    /// As GitHub reads it.
    pub(crate) fn markdown(header: &[&str]) -> Self {
        Self::styled(header, presets::ASCII_MARKDOWN)
    }

    fn styled(header: &[&str], style: comfy_table::TableStyle) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(style);
        table.set_header(header);
        for (index, column) in table.column_iter_mut().enumerate() {
            let is_left = index == 0 || header[index].is_empty();
            let side = if is_left { CellAlignment::Left } else { CellAlignment::Right };
            column.set_cell_alignment(side);
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.0.add_row(cells);
    }

    /// As part of a page.
    pub(crate) fn html(&self) -> String {
        let mut page = "<table>\n".to_owned();
        let header = self.0.header().into_iter().map(|row| ("th", row));
        for (tag, row) in header.chain(self.0.row_iter().map(|row| ("td", row))) {
            page.push_str("<tr>");
            for cell in row.cell_iter() {
                let text = escape(&cell.content());
                push(&mut page, format_args!("<{tag}>{text}</{tag}>"));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table>\n");
        page
    }

    pub(crate) fn texts(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row(cells.into_iter().map(Cell::new).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// `98.4 %`
pub(crate) fn percent(share: f64) -> String {
    unsigned_zero(format!("{:.1} %", 100.0 * share))
}

/// `98.42 %`
pub(crate) fn fine_percent(share: f64) -> String {
    unsigned_zero(format!("{:.2} %", 100.0 * share))
}

/// What is rounded to zero has no sign.
fn unsigned_zero(text: String) -> String {
    let is_zero = text.chars().all(|it| !it.is_ascii_digit() || it == '0');
    if is_zero { text.trim_start_matches('-').to_owned() } else { text }
}

/// A bar as long as the share, in eighths of a cell.
pub(crate) fn share_bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * BAR_CELLS * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// Milliseconds with three digits that count.
pub(crate) fn ms(value: f64) -> String {
    digits(value, "ms")
}

/// A number with three digits that count and its unit.
pub(crate) fn digits(value: f64, unit: &str) -> String {
    let places = match value.abs() {
        0.0 => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    unsigned_zero(format!("{value:.places$} {unit}").trim_end().to_owned())
}

/// Text in lines of at most 100 columns, broken between words.
pub(crate) fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let wide = word.chars().count();
        let between = match columns {
            0 => "",
            columns if columns + 1 + wide > COLUMNS => "\n",
            _ => " ",
        };
        columns = if between == " " { columns + 1 + wide } else { wide };
        lines.push_str(between);
        lines.push_str(word);
    }
    lines
}

/// `1 row`, `2 rows`
pub(crate) fn counted(count: u64, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {one}{end}")
}

/// `12 345`
pub(crate) fn grouped(value: f64) -> String {
    let plain = unsigned_zero(format!("{value:.0}"));
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_a_page_has_a_row_each_and_no_markup_of_its_cells() {
        let mut table = Table::new(&["", "a<b"]);
        table.texts(["p50".to_owned(), "1 & 2".to_owned()]);
        let rows = "<tr><th></th><th>a&lt;b</th></tr>\n<tr><td>p50</td><td>1 &amp; 2</td></tr>";
        assert_eq!(table.html(), format!("<table>\n{rows}\n</table>\n"));
    }

    #[test]
    fn numbers_look_as_they_should() {
        assert_eq!(grouped(1234567.4), "1 234 567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(ms(0.01234), "0.012 ms");
        assert_eq!(ms(123.4), "123 ms");
        assert_eq!(ms(0.0), "0 ms");
        assert_eq!(percent(0.98449), "98.4 %");
        assert_eq!([-0.0, -4e-4, -0.004].map(percent), ["0.0 %", "0.0 %", "-0.4 %"]);
        assert_eq!([-4e-5, -6e-5].map(fine_percent), ["0.00 %", "-0.01 %"]);
        assert_eq!((digits(-1e-5, "x"), grouped(-0.2)), ("0.000 x".to_owned(), "0".to_owned()));
        let words = "four ".repeat(50);
        let lines = wrapped(&words);
        assert!(lines.lines().all(|line| line.len() == 99 || line.len() == 49), "{lines}");
        assert_eq!((wrapped(" a  b "), wrapped("")), ("a b".to_owned(), String::new()));
        assert_eq!([0, 1, 2].map(|n| counted(n, "row")), ["0 rows", "1 row", "2 rows"]);
        assert_eq!(share_bar(1.0).chars().count(), 20);
        assert_eq!(share_bar(0.0), "");
    }
}
