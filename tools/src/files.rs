//! The files of a command: what it writes may be none of those that it reads, nor be written twice.

use std::fs;
use std::path::{Path, PathBuf};

use offramp::model::files;

use crate::failure::{Failure, Result};
use crate::out::STANDARD;

/// What a model is made of, beside its weights.
const OF_MODEL: [&str; 8] = [
    "config.json",
    files::TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "model.safetensors.index.json",
    files::THRESHOLDS,
];

/// A file by what names it.
type Named = (&'static str, PathBuf);

/// What a command reads and writes.
#[derive(Default)]
pub(crate) struct Files {
    read: Vec<Named>,
    written: Vec<Named>,
}

impl Files {
    /// What a flag names is read.
    pub(crate) fn read<'a>(
        mut self,
        flag: &'static str,
        path: impl Into<Option<&'a PathBuf>>,
    ) -> Self {
        self.read.extend(path.into().map(|path| (flag, path.clone())));
        self
    }

    /// What a flag names is written.
    pub(crate) fn written<'a>(
        mut self,
        flag: &'static str,
        path: impl Into<Option<&'a PathBuf>>,
    ) -> Self {
        self.written.extend(path.into().map(|path| (flag, path.clone())));
        self
    }

    /// The model in `dir` is read; the files called `own` are this command's to write.
    pub(crate) fn model(mut self, dir: &Path, own: &[&str]) -> Self {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let weights = entries.map(|entry| entry.path());
        let weights =
            weights.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
        let all = OF_MODEL.map(|name| dir.join(name)).into_iter().chain(weights);
        let is_own = |path: &PathBuf| own.iter().any(|own| path.file_name() == Some(own.as_ref()));
        self.read.extend(all.filter(|path| !is_own(path)).map(|path| ("a file of --model", path)));
        self
    }

    /// Fails where a file is written that is read as well, or written twice.
    pub(crate) fn expect_apart(&self) -> Result<()> {
        for (at, (flag, path)) in self.written.iter().enumerate() {
            let others = self.read.iter().chain(&self.written[..at]);
            if let Some((other, _)) = others.into_iter().find(|(_, other)| are_same(path, other)) {
                let file = path.display();
                return Err(Failure::Usage(format!("{file} is both {other} and {flag}")));
            }
        }
        Ok(())
    }
}

/// Whether two names are of one file, be it there or not. Pipes and devices can be shared.
fn are_same(one: &Path, other: &Path) -> bool {
    if [one, other].contains(&Path::new(STANDARD)) {
        return false;
    }
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other && other.is_file(),
        (Err(_), Err(_)) => place(one) == place(other),
        _ => false,
    }
}

/// Where a file would be made.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_or_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in"), "").unwrap();
        fs::write(at("config.json"), "").unwrap();
        fs::write(at("ramps.safetensors"), "").unwrap();
        let told = |files: Files| files.expect_apart().err().map(|failure| failure.to_string());
        let reading = || Files::default().read("--input", &at("in"));
        assert_eq!(told(reading().written("--output", &at("out"))), None);
        let out = at("./in");
        let expected = format!("{} is both --input and --output", out.display());
        assert_eq!(told(reading().written("--output", &out)), Some(expected));
        // Not there yet, and written twice all the same.
        let twice = reading().written("--output", &at("new")).written("--plot", &at("./new"));
        assert!(told(twice).unwrap().ends_with("is both --output and --plot"));
        for (name, is_own) in [("config.json", false), ("ramps.safetensors", true)] {
            for own in [&[name][..], &[]] {
                let files = Files::default().model(dir.path(), own).written("--out", &at(name));
                let is_told = told(files).is_some_and(|told| told.contains("a file of --model"));
                assert_eq!(is_told, own.is_empty(), "{name} {is_own}");
            }
        }
        let shared = ["/dev/null", STANDARD].map(PathBuf::from);
        for path in &shared {
            assert_eq!(
                told(Files::default().read("--input", path).written("--output", path)),
                None
            );
        }
    }
}
