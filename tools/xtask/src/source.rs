//! The Rust files of the repository, and a rough reading of them.

use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A function found in a file.
pub(crate) struct Function {
    pub(crate) name: String,
    /// From 1.
    pub(crate) line: usize,
    /// Signature and closing brace included.
    pub(crate) lines: usize,
}

impl Source {
    /// Every Rust file of the workspace, target folders aside.
    pub(crate) fn all(root: &Path) -> Vec<Self> {
        let mut found = Vec::new();
        for crate_dir in ["kernels", "weights", "engine", "tools", "tests", "benches"] {
            collect(root, &root.join(crate_dir), &mut found);
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Whether the path begins with one of the folders.
    pub(crate) fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Lines before the unit tests at the end of the file.
    pub(crate) fn product_lines(&self) -> usize {
        let tests = self.text.lines().position(|line| line == "#[cfg(test)]");
        tests.unwrap_or_else(|| self.text.lines().count())
    }

    /// Functions, read by indentation: rustfmt closes a body at the column its `fn` began.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let lines: Vec<&str> = self.text.lines().collect();
        lines.iter().enumerate().filter_map(|(at, line)| function(&lines, at, line)).collect()
    }
}

fn function(lines: &[&str], at: usize, line: &str) -> Option<Function> {
    let name = function_name(line)?;
    let indent = line.len() - line.trim_start().len();
    let close = format!("{}}}", " ".repeat(indent));
    let is_end = |line: &&str| **line == close;
    let length = if line.trim_end().ends_with([';', '}']) {
        1
    } else {
        lines[at..].iter().position(is_end)? + 1
    };
    Some(Function { name, line: at + 1, lines: length })
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().take(6).skip_while(|&word| {
        word.starts_with("pub") || ["const", "unsafe", "async"].contains(&word)
    });
    if words.next()? != "fn" {
        return None;
    }
    let name = words.next()?.split(['(', '<']).next()?;
    Some(name.to_owned())
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
            found.push(Source { path, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_with_signature_and_brace() {
        let lines = [
            "impl A {",
            "    pub(crate) fn one(",
            "        a: u8,",
            "    ) -> u8 {",
            "        a",
            "    }",
            "}",
            "fn two() {}",
        ];
        let text = lines.join("\n");
        let source = Source { path: PathBuf::from("a.rs"), text };
        let found: Vec<_> =
            source.functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("one".to_owned(), 2, 5), ("two".to_owned(), 8, 1)]);
    }
}
