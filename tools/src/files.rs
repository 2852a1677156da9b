//! The files of a command: what it writes may be none of those that it reads, nor be written twice.

use std::fs;
use std::path::{Path, PathBuf};

use offramp::model::files;

use crate::failure::{Failure, Result};
use crate::out::{STANDARD, expect_open_for_writing, expect_writable};

/// What becomes of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    /// Put in place whole.
    Written,
    /// Written where it is.
    Appended,
}

struct Named {
    flag: &'static str,
    path: PathBuf,
    becomes: Use,
}

/// What a command reads and writes.
#[derive(Default)]
pub(crate) struct Files(Vec<Named>);

impl Files {
    /// What a flag names is read.
    pub(crate) fn read<'a>(self, flag: &'static str, path: impl Into<Option<&'a PathBuf>>) -> Self {
        self.with(Use::Read, flag, path.into())
    }

    /// What a flag names is written, and put in its place whole.
    pub(crate) fn written<'a>(
        self,
        flag: &'static str,
        path: impl Into<Option<&'a PathBuf>>,
    ) -> Self {
        self.with(Use::Written, flag, path.into())
    }

    /// What a flag names is written where it is.
    pub(crate) fn appended<'a>(
        self,
        flag: &'static str,
        path: impl Into<Option<&'a PathBuf>>,
    ) -> Self {
        self.with(Use::Appended, flag, path.into())
    }

    fn with<'a>(
        mut self,
        becomes: Use,
        flag: &'static str,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Self {
        let named = |path: &PathBuf| Named { flag, path: path.clone(), becomes };
        self.0.extend(paths.into_iter().map(named));
        self
    }

    /// The model in `dir` is read; the files called `own` are this command's to write.
    pub(crate) fn model(self, dir: &Path, own: &[&str]) -> Self {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let weights = entries.map(|entry| entry.path());
        let weights =
            weights.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
        let named = files::READ.into_iter().chain([files::THRESHOLDS]).map(|name| dir.join(name));
        let is_own = |path: &PathBuf| own.iter().any(|own| path.file_name() == Some(own.as_ref()));
        let all: Vec<PathBuf> = named.chain(weights).filter(|path| !is_own(path)).collect();
        self.with(Use::Read, "a file of --model", &all)
    }

    /// Fails where a file is written that is read as well, or written twice, or that cannot be
    /// written.
    pub(crate) fn check(&self) -> Result<()> {
        let written = || self.0.iter().enumerate().filter(|(_, file)| file.becomes != Use::Read);
        written().try_for_each(|(at, file)| self.expect_apart(at, file))?;
        written().try_for_each(|(_, file)| match file.becomes {
            Use::Appended => expect_open_for_writing(&file.path),
            Use::Read | Use::Written => expect_writable(&file.path),
        })
    }

    /// A file at place `at` is none that is read, nor one of those before it.
    fn expect_apart(&self, at: usize, file: &Named) -> Result<()> {
        let mut others = self.0.iter().enumerate();
        let other = others.find(|(place, other)| {
            (other.becomes == Use::Read || *place < at) && are_same(&file.path, &other.path)
        });
        let Some((_, other)) = other else { return Ok(()) };
        let path = file.path.display();
        Err(Failure::Usage(format!("{path} is both {} and {}", other.flag, file.flag)))
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
        let told = |files: Files| files.check().err().map(|failure| failure.to_string());
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
