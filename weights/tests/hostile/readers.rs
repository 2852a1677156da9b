//! The readers under attack, each with a sound file of its own.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use offramp_weights::{
    Checkpoint, Dense, FittedOn, ModelHash, ModelSpec, Policy, Pool, Ramp, RampBundle, RampHash,
    SiteThreshold, Task, ThresholdFile, TrainingNotes, resolve,
};

use crate::common::{self, CONFIG, IMAGE_CONFIG};

const READERS: usize = 8;
const PREPROCESSOR: &[u8] = br#"{"size": {"shortest_edge": 96}, "crop_pct": 0.875, "resample": 3,
  "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5], "do_rescale": true}"#;
const MODEL: ModelHash = ModelHash([1; 32]);
const RAMPS: RampHash = RampHash([2; 32]);

/// A reader, and the folder in which its file lies.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) sound: Vec<u8>,
    dir: tempfile::TempDir,
    file: &'static str,
    read: fn(&Path) -> bool,
}

impl Reader {
    /// The file to overwrite.
    pub(crate) fn target(&self) -> PathBuf {
        self.dir.path().join(self.file)
    }

    /// Whether the reader accepts what is there.
    pub(crate) fn read(&self) -> bool {
        (self.read)(self.dir.path())
    }
}

/// All readers: the weights, the configuration, the ramps, the thresholds, the index; an image
/// network's weights, configuration and preprocessor.
pub(crate) fn readers() -> [Reader; READERS] {
    [
        reader("weights", "model.safetensors", weights),
        reader("config", "config.json", |dir| ModelSpec::read(dir).is_ok()),
        reader("ramps", "ramps.safetensors", |dir| {
            let spec = common::spec();
            RampBundle::read(&dir.join("ramps.safetensors"), &spec, &MODEL).is_ok()
        }),
        reader("thresholds", "thresholds.json", |dir| {
            ThresholdFile::read(&dir.join("thresholds.json"), &MODEL, &RAMPS).is_ok()
        }),
        reader("index", "model.safetensors.index.json", |dir| Checkpoint::open(dir).is_ok()),
        reader("image weights", "model.safetensors", image_weights),
        reader("image config", "config.json", |dir| ModelSpec::read(dir).is_ok()),
        reader("preprocessor", "preprocessor_config.json", |dir| ModelSpec::read(dir).is_ok()),
    ]
}

/// The same, made once a thread.
pub(crate) fn shared() -> &'static [Reader; READERS] {
    thread_local! {
        static ALL: OnceCell<&'static [Reader; READERS]> = const { OnceCell::new() };
    }
    ALL.with(|cell| *cell.get_or_init(|| Box::leak(Box::new(readers()))))
}

/// Everything that loading does: header, shapes, and every value in chunks.
fn weights(dir: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(dir) else { return false };
    let values = |name: &str| {
        let tensor = checkpoint.tensor(name)?;
        tensor.for_each_chunk(16, |_, _| Ok::<(), offramp_weights::Error>(()))
    };
    let sound = checkpoint.names().all(|name| values(name).is_ok());
    resolve(&mut common::spec(), &checkpoint).is_ok() && sound
}

/// The same for a network over images, whose convolutions are read by outputs.
fn image_weights(dir: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(dir) else { return false };
    let mut spec = common::parse(IMAGE_CONFIG);
    let is_whole = resolve(&mut spec, &checkpoint).is_ok();
    let mut convs = spec.network.convs();
    let are_sound = convs.all(|conv| {
        conv.weights(&checkpoint, 0..conv.outputs).and(conv.biases(&checkpoint)).is_ok()
    });
    let heads = spec.network.head.classifier.iter().flat_map(|head| &head.weights);
    let mut heads = heads.map(|name| checkpoint.tensor(name).and_then(|head| head.to_vec()));
    is_whole && are_sound && heads.all(|head| head.is_ok())
}

fn reader(name: &'static str, file: &'static str, read: fn(&Path) -> bool) -> Reader {
    let dir = memory_folder();
    let config = match name {
        "image weights" | "image config" => IMAGE_CONFIG,
        "preprocessor" => r#"{"model_type": "resnet"}"#,
        _ => CONFIG,
    };
    common::write(dir.path(), "config.json", config.as_bytes());
    match name {
        "image weights" => {
            let spec = common::parse(IMAGE_CONFIG);
            let puts = common::tensors(&spec);
            common::write(dir.path(), file, &common::safetensors(&puts));
        }
        "preprocessor" => common::write(dir.path(), file, PREPROCESSOR),
        "weights" => common::write(dir.path(), file, &common::safetensors(&common::bert())),
        "ramps" => bundle().write(&dir.path().join(file)).unwrap(),
        "thresholds" => thresholds().write(&dir.path().join(file)).unwrap(),
        "index" => index(dir.path(), file),
        _ => {}
    }
    let sound = std::fs::read(dir.path().join(file)).unwrap();
    Reader { name, sound, dir, file, read }
}

/// A folder in memory where the system has one: tens of thousands of files are written.
fn memory_folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

fn bundle() -> RampBundle {
    let head = Dense { outputs: 3, inputs: 4, weight: vec![0.25; 12], bias: vec![0.5; 3] };
    let ramp = Ramp { site: 0, pool: Pool::Mean, hidden: None, head };
    let trained = TrainingNotes::default();
    RampBundle { model: MODEL, classes: 3, task: Task::Classes, ramps: vec![ramp], trained }
}

fn thresholds() -> ThresholdFile {
    ThresholdFile {
        policy: Policy::Confidence,
        fitted_on: FittedOn { model: MODEL, ramps: RAMPS },
        task: Task::Classes,
        tolerance: None,
        target_agreement: 0.99,
        confidence: None,
        calibration_rows: 100,
        agreement: 0.995,
        mean_depth: 0.5,
        thresholds: vec![SiteThreshold { site: 0, threshold: 0.75 }],
    }
}

fn index(dir: &Path, file: &str) {
    let puts = common::bert();
    common::write(dir, "all.safetensors", &common::safetensors(&puts[..4]));
    let list = puts[..4].iter().map(|put| format!(r#""{}":"all.safetensors""#, put.name));
    let list = list.collect::<Vec<_>>().join(",");
    common::write(dir, file, format!(r#"{{"weight_map":{{{list}}}}}"#).as_bytes());
}
