//! Links that lead nowhere, as in a cache that was copied in part: each is told, and none counts as
//! a file that was left out.

use std::os::unix::fs::symlink;
use std::path::Path;

use offramp_weights::{Checkpoint, Identity, ModelSpec, Result, Stamps, TokenizerConfig};

use crate::{folder, text};

/// The error of a reader of a folder in which `name` leads nowhere.
#[track_caller]
fn told<T: std::fmt::Debug>(name: &str, read: impl Fn(&Path) -> Result<T>) -> String {
    let dir = folder(r#"{"model_type": "resnet"}"#, &[]);
    let link = dir.path().join(name);
    let _ = std::fs::remove_file(&link);
    symlink("../blobs/gone", &link).unwrap();
    let told = text(read(dir.path()), dir.path());
    assert!(told.starts_with(&format!("{name}: ")), "{told}");
    told
}

#[test]
fn a_file_behind_one_is_missed_by_name() {
    let tokenizer = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];
    let preprocessor = "preprocessor_config.json";
    let index = "model.safetensors.index.json";
    let mut all = vec![
        told(tokenizer[0], TokenizerConfig::read),
        told(tokenizer[1], TokenizerConfig::read_older),
        told(tokenizer[2], TokenizerConfig::read_older),
        told(preprocessor, ModelSpec::read),
        told(preprocessor, Checkpoint::open),
        told("model.safetensors", Checkpoint::open),
        told(index, |dir| {
            std::fs::remove_file(dir.join("model.safetensors")).unwrap();
            Checkpoint::open(dir)
        }),
    ];
    for name in tokenizer.into_iter().chain([preprocessor, "tokenizer.json", "config.json"]) {
        all.extend([told(name, Identity::read), told(name, Stamps::look)]);
    }
    for told in all {
        assert!(told.ends_with("it is a link that leads nowhere"), "{told}");
    }
}

#[test]
fn an_adapter_behind_one_is_an_adapter() {
    let told = told("adapter_config.json", Checkpoint::open);
    assert!(told.contains("this is an adapter"), "{told}");
}
