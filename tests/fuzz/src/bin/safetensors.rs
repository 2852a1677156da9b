//! Weights: every tensor of a header that is accepted can be read, and the `safetensors` crate
//! finds the same ones.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{Rewritten, bounded, folder, header, plant, tree, under, with_data};
use offramp_weights::{Checkpoint, Error, ModelSpec, resolve};
use safetensors::SafeTensors;

const GOLDEN: [&str; 2] = ["tests/data/golden", "tests/data/golden-images"];
const CONFIGS: [&str; 3] = [
    "tests/data/golden/bert-cls",
    "tests/data/golden/distilbert-cls",
    "tests/data/golden-images/resnet-cifar",
];

struct State {
    dir: PathBuf,
    weights: Rewritten,
    specs: Vec<ModelSpec>,
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let dir = folder();
    std::fs::write(dir.join("config.json"), "{}").expect("in memory");
    let weights = Rewritten::new(&dir, "model.safetensors");
    let specs = CONFIGS.map(|model| ModelSpec::read(&tree(model)).expect("a golden model"));
    State { dir, weights, specs: specs.into() }
});

fuzz_target!(
    init: plant(under(&GOLDEN, "model.safetensors").iter().flat_map(|file| {
        [1, 2, 4].map(|tensors| {
            let (bytes, data) = header(file, tensors);
            [&bytes[..], &(data as u16).to_le_bytes()].concat()
        })
    })),
    |bytes: &[u8]| {
        let Some((head, data)) = with_data(bytes) else { return };
        STATE.weights.put(head, data);
        let Some(names) = bounded(2 * (head.len() + data) + (1 << 20), || read(&STATE.dir)) else {
            return;
        };
        let whole = [head, &vec![0; data]].concat();
        let other = SafeTensors::deserialize(&whole).expect("the format's own reader takes it");
        assert!(names.iter().all(|name| other.tensor(name).is_ok()));
    }
);

/// The names of all tensors, as they are in the file.
fn read(dir: &Path) -> Option<Vec<String>> {
    let checkpoint = Checkpoint::open(dir).ok()?;
    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    assert!(names.is_sorted_by(|a, b| a < b));
    for name in &names {
        let tensor = checkpoint.tensor(name).expect("a tensor that is listed");
        assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
        let mut seen = 0;
        let whole = tensor.for_each_chunk(1000, |first, values| {
            assert_eq!(first, seen);
            seen += values.len();
            Ok::<(), Error>(())
        });
        whole.expect("zeros are numbers");
        assert_eq!(seen, tensor.len());
    }
    let whole = |name: &String| checkpoint.tensor(name).map(|tensor| tensor.name().to_owned());
    let names = names.iter().map(whole).collect::<Result<_, _>>().expect("they were just read");
    for spec in &STATE.specs {
        drop(resolve(&mut spec.clone(), &checkpoint));
    }
    Some(names)
}
