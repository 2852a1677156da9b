//! The index of weights in shards: what it lists is there.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{Rewritten, bounded, folder, header, plant, tree};
use offramp_weights::Checkpoint;
use serde_json::{Map, Value, json};

const MODEL: &str = "tests/data/golden/bert-sharded";
const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 2] = ["model-00001-of-00005.safetensors", "model-00002-of-00005.safetensors"];

/// The folder, with the first tensors of the golden model's first shards.
static FILES: LazyLock<(PathBuf, Rewritten)> = LazyLock::new(|| {
    let dir = folder();
    std::fs::write(dir.join("config.json"), "{}").expect("in memory");
    for shard in SHARDS {
        let (mut bytes, data) = small(shard);
        bytes.resize(bytes.len() + data, 0);
        std::fs::write(dir.join(shard), bytes).expect("in memory");
    }
    let file = Rewritten::new(&dir, INDEX);
    (dir, file)
});

fn small(shard: &str) -> (Vec<u8>, usize) {
    header(&std::fs::read(tree(MODEL).join(shard)).expect("a golden model"), 2)
}

/// The golden index, as far as it goes for those tensors: of both shards and of one.
fn seeds() -> Vec<Vec<u8>> {
    let names = |shard: &str| {
        let header: Map<String, Value> =
            serde_json::from_slice(&small(shard).0[8..]).expect("JSON");
        let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
        tensors.map(|(name, _)| (name, Value::from(shard))).collect::<Vec<_>>()
    };
    let all = |shards: &[&str]| shards.iter().flat_map(|shard| names(shard)).collect::<Map<_, _>>();
    let index = |shards: &[&str]| json!({"metadata": {"total_size": 9}, "weight_map": all(shards)});
    [&SHARDS[..], &SHARDS[..1]].map(|shards| index(shards).to_string().into_bytes()).into()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| {
        let (dir, file) = &*FILES;
        file.put(bytes, 0);
        bounded(2 * bytes.len() + (1 << 20), || {
            let Ok(checkpoint) = Checkpoint::open(dir) else { return };
            assert!(checkpoint.names().count() > 0);
            let is_read = |name| checkpoint.tensor(name).and_then(|it| it.to_vec()).is_ok();
            assert!(checkpoint.names().all(is_read));
        });
    }
);
