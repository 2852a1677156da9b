//! What the compiler does not check.

use std::path::Path;

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};

use crate::source::Source;
use crate::{modules, ptx};

/// Most lines of a file, its unit tests aside.
const FILE_LINES_MAX: usize = 500;
/// Most lines of a function outside tests.
const FUNCTION_LINES_MAX: usize = 70;
/// Most columns of a line.
const COLUMNS_MAX: usize = 100;

/// Which workspace package may depend on which: every other arrow is a mistake.
const ARROWS: [(&str, &[&str]); 15] = [
    ("offramp-kernels", &[]),
    ("offramp-weights", &[]),
    ("offramp-protocol", &[]),
    ("offramp", &["offramp-kernels", "offramp-weights"]),
    ("offramp-client", &["offramp-protocol"]),
    ("offramp-tune", &["offramp"]),
    ("offramp-train", &["offramp", "offramp-tune", "offramp-weights"]),
    ("offramp-serve", &["offramp", "offramp-protocol", "offramp-tune"]),
    (
        "offramp-tools",
        &[
            "offramp",
            "offramp-client",
            "offramp-protocol",
            "offramp-serve",
            "offramp-train",
            "offramp-tune",
        ],
    ),
    ("offramp-tests", &EVERY),
    ("offramp-loom", &[]),
    ("offramp-ptxsim", &[]),
    ("offramp-libcuda", &["offramp-ptxsim"]),
    (
        "offramp-benches",
        &["offramp", "offramp-kernels", "offramp-tests", "offramp-tune", "offramp-weights"],
    ),
    ("xtask", &[]),
];

/// What tests may use.
const EVERY: [&str; 9] = [
    "offramp",
    "offramp-client",
    "offramp-kernels",
    "offramp-protocol",
    "offramp-ptxsim",
    "offramp-serve",
    "offramp-train",
    "offramp-tune",
    "offramp-weights",
];

/// What a package may use in its own tests and examples besides.
const ARROWS_OF_TESTS: [(&str, &[&str]); 3] = [
    ("offramp-serve", &["offramp-client"]),
    ("offramp-tests", &["offramp-libcuda"]),
    ("offramp-tools", &["offramp-libcuda"]),
];

/// Where unsafe code may be: what owns memory, maps it, calls into a driver or is one.
const UNSAFE: [&str; 5] = [
    "kernels",
    "weights/src/mmap.rs",
    "tests/libcuda",
    "tests/ptxsim/src/memory.rs",
    "tests/ptxsim/src/simd.rs",
];

/// Every complaint about the tree at `root`.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let sources = Source::all(root);
    let mut complaints = packages(root);
    complaints.extend(sources.iter().flat_map(file_complaints));
    complaints.extend(changelog(root));
    complaints.extend(ptx::stale(root));
    complaints
}

fn file_complaints(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |what: String| complaints.push(format!("{}: {what}", source.path.display()));
    if !source.text.starts_with("//!") && !source.text.starts_with("#!") {
        complain("does not begin with its module docs".to_owned());
    }
    let lines = source.product_lines();
    if lines > FILE_LINES_MAX {
        complain(format!("{lines} lines, at most {FILE_LINES_MAX}"));
    }
    for (index, line) in source.text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            complain(format!("line {} is longer than {COLUMNS_MAX} columns", index + 1));
        }
    }
    if !source.is_in(&["tests", "tools/tests", "weights/tests"]) {
        let long = |f: &crate::source::Function| f.lines > FUNCTION_LINES_MAX;
        for function in source.functions().into_iter().filter(long) {
            let (name, line, lines) = (function.name, function.line, function.lines);
            complain(format!("line {line}: fn {name} has {lines} lines"));
        }
    }
    complaints.extend(unsafe_complaints(source));
    complaints
}

/// Besides the files of [`UNSAFE`], benches and tests that count allocations wrap the allocator.
fn unsafe_complaints(source: &Source) -> Vec<String> {
    let is_allowed = source.is_in(&UNSAFE) || source.text.contains("impl GlobalAlloc for");
    let has_unsafe = |line: &&str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word))
    };
    let is_checker = source.is_in(&["tools/xtask"]);
    if is_allowed || is_checker || source.text.lines().find(has_unsafe).is_none() {
        return Vec::new();
    }
    vec![format!("{}: unsafe where it may not be", source.path.display())]
}

/// What is wrong between packages, and between the modules of each.
fn packages(root: &Path) -> Vec<String> {
    let manifest = root.join("Cargo.toml");
    match MetadataCommand::new().manifest_path(manifest).no_deps().exec() {
        Ok(metadata) => [arrows(&metadata), modules::complaints(&metadata)].concat(),
        Err(error) => vec![format!("cargo metadata: {error}")],
    }
}

fn arrows(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().flat_map(arrows_of).collect()
}

fn arrows_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let known = |table: &[(&str, &'static [&'static str])]| {
        table.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
    };
    let Some(allowed) = known(&ARROWS) else {
        return vec![format!("package {name} has no place in the crate table")];
    };
    let in_tests = known(&ARROWS_OF_TESTS).unwrap_or_default();
    let is_allowed = |dependency: &&Dependency| {
        let to = dependency.name.as_str();
        let is_of_tests = dependency.kind == DependencyKind::Development;
        allowed.contains(&to) || is_of_tests && in_tests.contains(&to)
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let stray = ours.filter(|dependency| !is_allowed(dependency));
    stray.map(|dependency| format!("{name} must not depend on {}", dependency.name)).collect()
}

fn changelog(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    let known = text.contains(&heading) || text.contains("## [Unreleased]");
    (!known).then(|| "CHANGELOG.md has no entry for this version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let complaints = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }

    #[test]
    fn faults_are_found() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        let text = format!("use a;\nfn long() {{\n{body}}}\n// {}\n", "x".repeat(COLUMNS_MAX));
        let source = Source { path: "engine/src/a.rs".into(), text };
        let complaints = file_complaints(&source).join("\n");
        for part in ["module docs", "longer than", "fn long has 72 lines"] {
            assert!(complaints.contains(part), "{part} not in {complaints}");
        }
    }
}
