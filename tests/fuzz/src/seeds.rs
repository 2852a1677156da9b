//! Where inputs begin: files of the repository, taken as they are or cut down, never kept twice.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where the first inputs go; `cargo xtask fuzz` sets it.
const CORPUS: &str = "OFFRAMP_FUZZ_CORPUS";

/// A place in the repository.
pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Leaves the first inputs where the fuzzer looks for them.
pub fn plant(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(corpus) = std::env::var_os(CORPUS).map(PathBuf::from) else { return };
    for (index, seed) in seeds.into_iter().enumerate() {
        let path = corpus.join(format!("seed-{index:03}"));
        std::fs::write(path, seed).expect("the corpus can be written");
    }
}

/// The content of every file called `name` in the folders of these places.
pub fn under(places: &[&str], name: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for place in places {
        let entries = std::fs::read_dir(tree(place)).expect("a folder of the repository");
        let mut dirs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        dirs.sort();
        found.extend(dirs.iter().filter_map(|dir| std::fs::read(dir.join(name)).ok()));
    }
    assert!(!found.is_empty(), "no {name} under {places:?}");
    found
}

/// The header of a file of weights that lists its first `tensors` only, and how many bytes of data
/// those have.
pub fn header(file: &[u8], tensors: usize) -> (Vec<u8>, usize) {
    let (length, rest) = file.split_first_chunk::<8>().expect("a length");
    let text = &rest[..u64::from_le_bytes(*length) as usize];
    let all: Map<String, Value> = serde_json::from_slice(text).expect("a header");
    let end = |value: &Value| value["data_offsets"][1].as_u64().unwrap_or(0);
    let mut kept: Vec<(String, Value)> = all.into_iter().collect();
    kept.sort_by_key(|(_, value)| end(value));
    let notes = kept.iter().filter(|(name, _)| name == "__metadata__").count();
    kept.truncate(notes + tensors);
    let data = kept.last().map_or(0, |(_, value)| end(value));
    let text = serde_json::to_vec(&kept.into_iter().collect::<Map<_, _>>()).expect("JSON");
    let bytes = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
    (bytes, data as usize)
}
