//! One HTML file that needs nothing else.

use std::fmt::Write as _;

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
pub(crate) fn page(title: &str, sections: &str) -> String {
    let title = escape(title);
    let mut page = String::new();
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    push(&mut page, format_args!("<title>{title}</title>\n<style>\n{STYLE}\n</style>\n"));
    push(&mut page, format_args!("<h1>{title}</h1>\n{sections}</html>\n"));
    page
}

/// What stands out; nothing where nothing is wrong.
pub(crate) fn warnings(lines: &[String]) -> String {
    let text = escape(&lines.join("\n"));
    if lines.is_empty() { text } else { format!("<p class=\"bad\" role=\"alert\">{text}</p>\n") }
}

/// Writing to a string cannot fail.
pub(crate) fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

/// Text as HTML and SVG want it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
