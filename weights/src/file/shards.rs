//! Which files a checkpoint consists of, and what their index says is in them.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::disk::{is_there, read_whole};
use crate::error::{Error, Result};
use crate::file::header::TENSORS_MAX;
use crate::json::{self, Pairs};

/// The one weight file of a checkpoint in one piece.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The index of a checkpoint in shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// Longest index that is read, bytes.
const INDEX_BYTES_MAX: u64 = 4 << 20;
/// Most shards of a checkpoint.
const SHARDS_MAX: usize = 1_024;

/// The index, of which the sizes are ignored: the shards' headers are the truth.
#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<Box<str>, Box<str>, TENSORS_MAX>,
}

/// The tensors that the index lists, each with its shard's file name.
pub(crate) type Listed = Vec<(Box<str>, Box<str>)>;

/// The weight files of `dir`, plain names by rising order, and the index's list where there is one.
pub(crate) fn weight_files(dir: &Path) -> Result<(Vec<Box<str>>, Listed)> {
    if is_there(&dir.join(WEIGHTS_FILE)) {
        return Ok((vec![WEIGHTS_FILE.into()], Listed::new()));
    }
    let index = dir.join(INDEX_FILE);
    if !is_there(&index) {
        return Err(no_weights(dir));
    }
    let content = read_whole(&index, INDEX_BYTES_MAX)?;
    let Index { weight_map } = json::parse(&content, &index)?;
    let shards = shard_names(&weight_map.0, &index)?;
    Ok((shards, weight_map.0))
}

fn shard_names(listed: &Listed, index: &Path) -> Result<Vec<Box<str>>> {
    let mut shards: Vec<&str> = listed.iter().map(|(_, shard)| &**shard).collect();
    shards.sort_unstable();
    shards.dedup();
    if !(1..=SHARDS_MAX).contains(&shards.len()) {
        let expected = format!("a list of tensors in 1 to {SHARDS_MAX} files");
        let found = format!("{} files", shards.len());
        return Err(Error::refused(index, "weight_map", expected, found));
    }
    match shards.iter().find(|shard| !is_plain(shard)) {
        Some(bad) => {
            let expected = "a map to names of *.safetensors files in the same folder";
            Err(Error::refused(index, "weight_map", expected, format_args!("`{bad}`")))
        }
        None => Ok(shards.into_iter().map(Into::into).collect()),
    }
}

/// Whether a name stays in the folder: an index must not reach for other files.
fn is_plain(name: &str) -> bool {
    let forbidden = |byte: u8| matches!(byte, b'/' | b'\\' | b':' | 0);
    name.ends_with(".safetensors") && !name.contains("..") && !name.bytes().any(forbidden)
}

/// The error for a folder without weights; it names the usual causes.
fn no_weights(dir: &Path) -> Error {
    let found = if !dir.exists() {
        "there is no such folder"
    } else if !dir.is_dir() {
        "this is not a folder"
    } else {
        other_weights(dir)
    };
    let expected = format!("{WEIGHTS_FILE} or {INDEX_FILE}");
    Error::Missing { file: dir.into(), expected, found: found.into() }
}

/// Files that people take for weights, by the beginnings and ends of their names.
const OTHERS: [(&str, &str, &str); 9] = [
    ("pytorch_model", ".safetensors", "there is one of another name: rename it"),
    ("model-", ".safetensors", "there are shards without their index: fetch it too"),
    (
        "pytorch_model",
        "",
        "there is only a PyTorch pickle: convert it to safetensors, for instance with \
         save_pretrained(..., safe_serialization=True)",
    ),
    ("", ".safetensors", "there is one of another name: rename it"),
    ("", ".pth", "there is only a PyTorch pickle: convert it with safetensors.torch.save_file"),
    ("", ".gguf", "there is only a GGUF file of llama.cpp: take the model's safetensors"),
    ("", ".onnx", "there is only an ONNX network: take the model's safetensors"),
    ("tf_model", ".h5", "there are only TensorFlow's weights: save with PyTorch's transformers"),
    ("flax_model", ".msgpack", "there are only Flax's weights: save with PyTorch's transformers"),
];

fn other_weights(dir: &Path) -> &'static str {
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    let is = |start: &str, end: &str| {
        let mut names = names.iter().map(|name| name.to_string_lossy());
        names.any(|name| name.starts_with(start) && name.ends_with(end) && !is_offramps(&name))
    };
    let found = OTHERS.iter().find(|(start, end, _)| is(start, end));
    found.map_or("there is neither", |(_, _, found)| found)
}

/// Whether a file is one that this project adds to a model.
fn is_offramps(name: &str) -> bool {
    name == "ramps.safetensors"
}
