//! The CUDA sources, and a hash that tells whether PTX was made from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{FOLDER, Variant, variants, wheels};

/// Where ops are.
const OPS: &str = "kernels/src/ops";
/// Where headers are that every op may include.
const SHARED: &str = "kernels/src/cuda";

/// An op with a CUDA source.
pub(super) struct Op {
    pub(super) name: String,
    /// The source itself, headers not included.
    pub(super) text: String,
    /// Folders in which its headers are found, the first one first.
    pub(super) folders: Vec<PathBuf>,
    hash: String,
}

impl Op {
    fn read(root: &Path, name: String) -> Result<Self, String> {
        let ops = root.join(OPS);
        let folders = vec![ops.join(&name), root.join(SHARED), ops];
        let path = folders[0].join(format!("{name}.cu"));
        let mut found = BTreeMap::new();
        collect(&path, &folders, &mut found)?;
        let text = found.get(&path).cloned().unwrap_or_default();
        Ok(Self { name, text, hash: hash(root, &found), folders })
    }

    /// Its PTX file.
    pub(super) fn file(&self, variant: Variant) -> String {
        format!("{}.{}", self.name, ending(variant))
    }

    /// First line of its PTX.
    pub(super) fn heading(&self, Variant { elem, target }: Variant) -> String {
        let Self { name, hash, .. } = self;
        let nvrtc = wheels::NVRTC;
        format!("// {name}.cu for {elem}: source {hash}, nvrtc {nvrtc}, {}", target.arch)
    }
}

/// How the names of PTX files of a variant end.
fn ending(Variant { elem, target }: Variant) -> String {
    format!("{elem}.{}.ptx", target.name)
}

/// Every op that has a CUDA source, by name.
pub(super) fn ops(root: &Path) -> Result<Vec<Op>, String> {
    let folder = root.join(OPS);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter(|name| folder.join(name).join(format!("{name}.cu")).is_file()).collect();
    names.sort();
    names.into_iter().map(|name| Op::read(root, name)).collect()
}

/// Complaints about PTX that no source gives.
pub(super) fn strays(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(FOLDER)) else { return Vec::new() };
    let files = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_stray = |file: &String| {
        if !file.ends_with(".ptx") {
            return false;
        }
        let (op, rest) = file.split_once('.').unwrap_or_default();
        let is_known = variants().any(|variant| ending(variant) == rest);
        !is_known || !root.join(OPS).join(op).join(format!("{op}.cu")).is_file()
    };
    let mut strays: Vec<_> = files.filter(is_stray).collect();
    strays.sort();
    strays.into_iter().map(|file| format!("{FOLDER}/{file} has no source: delete it")).collect()
}

/// Adds a file, the headers of this repository that it includes, and those that they include.
/// Like the compiler, it looks into the file's own folder first.
fn collect(
    path: &Path,
    folders: &[PathBuf],
    found: &mut BTreeMap<PathBuf, String>,
) -> Result<(), String> {
    if found.contains_key(path) {
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    found.insert(path.to_owned(), text.clone());
    for name in text.lines().filter_map(included) {
        let around = path.parent().into_iter().chain(folders.iter().map(PathBuf::as_path));
        let header = around.map(|folder| folder.join(name)).find(|header| header.is_file());
        let missing = || format!("{}: includes {name}, which is not there", path.display());
        collect(&header.ok_or_else(missing)?, folders, found)?;
    }
    Ok(())
}

/// The header that a line includes in quotes; those in angle brackets are CUDA's.
fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?;
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

/// 16 hex digits of texts and of their names below `root`.
fn hash(root: &Path, files: &BTreeMap<PathBuf, String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, text) in files {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        for part in [&*name, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_headers_are_ours() {
        assert_eq!(included("#include \"mma.cuh\" // tensor cores"), Some("mma.cuh"));
        assert_eq!(included("  # include \"norm/norm.cuh\""), Some("norm/norm.cuh"));
        assert_eq!(included("#include <cuda_fp16.h>"), None);
        assert_eq!(included("// #include \"mma.cuh\""), None);
    }

    #[test]
    fn the_hash_sees_names_texts_and_their_border_but_not_the_root() {
        let hash_of = |name: &str, text: &str| {
            let root = Path::new("/a");
            hash(root, &BTreeMap::from([(root.join(name), text.to_owned())]))
        };
        let one = hash_of("a", "bc");
        assert_eq!(one.len(), 16);
        assert_ne!(one, hash_of("a", "bd"));
        assert_ne!(one, hash_of("ab", "c"));
        let elsewhere = BTreeMap::from([(PathBuf::from("/b/a"), "bc".to_owned())]);
        assert_eq!(one, hash(Path::new("/b"), &elsewhere));
    }
}
