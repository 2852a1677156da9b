//! Pictures of a folder and of the folders in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::kind::ENDINGS;
use crate::failure::{Failure, Result};
use crate::out::note;

/// Files that systems leave in folders. Others of the kind begin with a dot.
const LITTER: [&str; 4] = ["Thumbs.db", "ehthumbs.db", "desktop.ini", "__MACOSX"];

/// A picture that is still to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Its place in the folder, with slashes.
    pub(super) name: String,
    /// The folder of its class.
    pub(super) label: Option<String>,
}

impl File {
    /// One that was named by itself.
    pub(super) fn single(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: path.to_owned(), name, label: None }
    }
}

/// Pictures of `dir`, by name. Those of its folders, however deep, bear the name of the folder
/// under `dir` as their label. Says which files are none.
pub(super) fn files(dir: &Path) -> Result<Vec<File>> {
    let (files, skipped) = walk(dir)?;
    let told = tell(&skipped);
    if files.is_empty() {
        let endings = ENDINGS.join(", .");
        let told = told.map_or(String::new(), |told| format!("; {told}"));
        return Err(Failure::Failed(format!(
            "{}: no pictures: expected files that end in .{endings}{told}",
            dir.display()
        )));
    }
    if let Some(told) = told {
        note(format_args!("note: {}: {told}", dir.display()));
    }
    Ok(files)
}

/// Pictures, and by ending how many files are none.
fn walk(dir: &Path) -> Result<(Vec<File>, BTreeMap<String, usize>)> {
    let in_order = |entry: &DirEntry| (entry.path().is_dir(), entry.file_name().to_owned());
    let walk = WalkDir::new(dir).follow_links(true).sort_by_key(in_order);
    let is_meant = |entry: &DirEntry| entry.depth() == 0 || !is_litter(entry.file_name());
    let (mut files, mut skipped) = (Vec::new(), BTreeMap::new());
    for entry in walk.into_iter().filter_entry(is_meant) {
        let path = match entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => entry.into_path(),
            Err(error) => broken_link(dir, error)?,
        };
        match is_picture(&path) {
            true => files.push(file(dir, path)),
            false => *skipped.entry(ending(&path)).or_insert(0) += 1,
        }
    }
    Ok((files, skipped))
}

/// A link to nowhere is a file that cannot be read; whatever else goes wrong ends the walk.
fn broken_link(dir: &Path, error: walkdir::Error) -> Result<PathBuf> {
    let path = error.path().unwrap_or(dir).to_owned();
    match path.is_symlink() && !path.exists() && error.loop_ancestor().is_none() {
        true => Ok(path),
        false => Err(Failure::io(&path, "read", error.into())),
    }
}

fn is_litter(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter))
}

/// Whether the end of the name is that of a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

/// The end of the name, in small letters.
fn ending(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn file(dir: &Path, path: PathBuf) -> File {
    let place = path.strip_prefix(dir).unwrap_or(&path);
    let parts: Vec<_> = place.iter().map(OsStr::to_string_lossy).collect();
    let label = (parts.len() > 1).then(|| parts[0].to_string());
    File { name: parts.join("/"), label, path }
}

/// `3 files skipped: 2 .heic, 1 without an ending`; none where there are none.
fn tell(skipped: &BTreeMap<String, usize>) -> Option<String> {
    let all: usize = skipped.values().sum();
    let files = if all == 1 { "file" } else { "files" };
    let each = skipped.iter().map(|(ending, count)| match ending.as_str() {
        "" => format!("{count} without an ending"),
        ending => format!("{count} .{ending}"),
    });
    let each: Vec<_> = each.collect();
    (all > 0).then(|| format!("{all} {files} skipped: {}", each.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn files_come_before_folders_and_the_first_folder_is_the_label() {
        let dir = made(&["b/1.PNG", "a/images/2.JPEG", "a/1.jfif", "z.webp", "c/d/e/f.gif"]);
        let files = files(dir.path()).unwrap();
        let found: Vec<_> =
            files.iter().map(|file| (file.name.as_str(), file.label.as_deref())).collect();
        let expected = [
            ("z.webp", None),
            ("a/1.jfif", Some("a")),
            ("a/images/2.JPEG", Some("a")),
            ("b/1.PNG", Some("b")),
            ("c/d/e/f.gif", Some("c")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn files_that_are_no_pictures_are_counted_by_ending_but_litter_is_not() {
        let names = ["1.heic", "a/2.HEIC", "3.txt", "README", "a/4.png", ".DS_Store", "thumbs.db"];
        let dir = made(&[&names[..], &[".git/5.png", "._6.jpg", "__MACOSX/7.jpg"]].concat());
        let (files, skipped) = walk(dir.path()).unwrap();
        assert_eq!(files.len(), 1);
        let told = tell(&skipped).unwrap();
        assert_eq!(told, "4 files skipped: 1 without an ending, 2 .heic, 1 .txt");
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let cases: [(&[&str], &str); 3] = [
            (&[], ".webp"),
            (&["a/1.tiff"], "; 1 file skipped: 1 .tiff"),
            (&[".DS_Store", "a/Thumbs.db"], ".webp"),
        ];
        for (names, expected) in cases {
            let error = files(made(names).path()).unwrap_err().to_string();
            assert!(error.contains(": no pictures: ") && error.ends_with(expected), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_are_errors() {
        use std::os::unix::fs::symlink;
        let (dir, other) = (made(&["a/1.png"]), made(&["2.png"]));
        symlink(other.path(), dir.path().join("b")).unwrap();
        symlink("nowhere", dir.path().join("c.jpg")).unwrap();
        let names: Vec<_> = files(dir.path()).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["c.jpg", "a/1.png", "b/2.png"]);
        symlink(dir.path(), other.path().join("d")).unwrap();
        assert!(files(dir.path()).is_err());
    }
}
