//! Ramp bundles: there and back, and every way not to fit.

use std::path::Path;

use offramp_weights::{
    Activation, Dense, ErrorKind, ModelHash, ModelSpec, Pool, Ramp, RampBundle, SiteNotes, Task,
    TrainingNotes,
};
use safetensors::SafeTensors;

use crate::common::{self, CONFIG};
use crate::text;

const MODEL: ModelHash = ModelHash([0xab; 32]);

/// Six layers, width 4, three classes.
pub(crate) fn spec() -> ModelSpec {
    deep(6)
}

fn deep(layers: usize) -> ModelSpec {
    let layers = format!("\"num_hidden_layers\": {layers}");
    common::parse(&CONFIG.replace("\"num_hidden_layers\": 2", &layers))
}

fn dense(outputs: usize, inputs: usize, seed: f32) -> Dense {
    let values = |count: usize| (0..count).map(|i| (i as f32 + seed).sin()).collect();
    Dense { outputs, inputs, weight: values(outputs * inputs), bias: values(outputs) }
}

pub(crate) fn bundle() -> RampBundle {
    let note = |site, agreement| SiteNotes { site, agreement, temperature: 1.0 / 3.0 };
    let hidden = Some((dense(5, 4, 0.3), Activation::Tanh));
    RampBundle {
        model: MODEL,
        classes: 3,
        task: Task::Classes,
        ramps: vec![
            Ramp { site: 0, pool: Pool::First, hidden: None, head: dense(3, 4, 0.1) },
            Ramp { site: 3, pool: Pool::Mean, hidden, head: dense(3, 5, 0.2) },
        ],
        trained: TrainingNotes {
            inputs: 900,
            held_out: 100,
            sites: vec![note(0, 0.1 + 0.2), note(3, 0.97)],
        },
    }
}

/// Writes the file, changes its bytes, and reads it.
fn reread(bundle: &RampBundle, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<RampBundle, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    bundle.write(&path).unwrap();
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, change(content)).unwrap();
    read(&path).map_err(|error| text(Err::<(), _>(error), dir.path()))
}

fn read(path: &Path) -> offramp_weights::Result<RampBundle> {
    RampBundle::read(path, &spec(), &MODEL)
}

/// The answer to a file in which one text is replaced by another, of any length.
fn with(from: &str, to: &str) -> String {
    let change = |content: Vec<u8>| {
        let length = u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&content[8..8 + length]).unwrap();
        assert!(header.contains(from), "{header}");
        common::file(&header.replacen(from, to, 1), &content[8 + length..])
    };
    reread(&bundle(), change).unwrap_err()
}

/// The error of writing a bundle that `change` has spoilt.
fn unwritable(change: impl Fn(&mut RampBundle)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut bundle = bundle();
    change(&mut bundle);
    let found = text(bundle.write(&dir.path().join("ramps.safetensors")), dir.path());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was written");
    found
}

#[test]
fn there_and_back() {
    let read = reread(&bundle(), |content| content).unwrap();
    assert_eq!(read, bundle());
    assert_eq!(read.hash(), bundle().hash());
}

#[test]
fn the_file_is_as_documented() {
    reread(&bundle(), |content| {
        let file = SafeTensors::deserialize(&content).unwrap();
        let mut names = file.names();
        names.sort();
        let expected = [
            "site.0.head.bias",
            "site.0.head.weight",
            "site.3.head.bias",
            "site.3.head.weight",
            "site.3.hidden.bias",
            "site.3.hidden.weight",
        ];
        assert_eq!(names, expected);
        assert_eq!(file.tensor("site.3.hidden.weight").unwrap().shape(), [5, 4]);
        let stored = file.tensor("site.0.head.bias").unwrap().data().to_vec();
        let values: Vec<u8> =
            bundle().ramps[0].head.bias.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(stored, values);
        content
    })
    .unwrap();
}

#[test]
fn the_hash_tells_bundles_apart() {
    let changes: [fn(&mut RampBundle); 7] = [
        |b| b.model.0[31] ^= 1,
        |b| b.ramps[1].site = 4,
        |b| b.ramps[0].pool = Pool::Mean,
        |b| b.ramps[0].head.weight[11] = 0.0,
        |b| b.ramps[0].head.bias[2] = 0.0,
        |b| b.ramps[1].hidden.as_mut().unwrap().1 = Activation::Relu,
        |b| b.trained.inputs = 901,
    ];
    let mut hashes = vec![bundle().hash()];
    for change in changes {
        let mut bundle = bundle();
        change(&mut bundle);
        hashes.push(bundle.hash());
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 8);
}

#[test]
fn writing_replaces_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    bundle().write(&path).unwrap();
    assert_eq!(read(&path).unwrap(), bundle());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let nowhere = dir.path().join("nowhere/ramps.safetensors");
    assert_eq!(bundle().write(&nowhere).unwrap_err().kind(), ErrorKind::Io);

    // A folder in the way is found at the rename, when the new file lies beside it already.
    std::fs::create_dir(dir.path().join("taken")).unwrap();
    let error = bundle().write(&dir.path().join("taken")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a part was left behind");
}

#[test]
fn another_model_is_refused_before_all_else() {
    let other = RampBundle { model: ModelHash([0xcd; 32]), classes: 2, ..bundle() };
    let mut other = other;
    other.ramps = vec![Ramp { site: 1, pool: Pool::First, hidden: None, head: dense(2, 4, 0.0) }];
    let expected = "ramps.safetensors: made for model cdcdcdcdcdcd, but this model is \
                    abababababab; train anew with `offramp train-ramps`";
    assert_eq!(reread(&other, |content| content).unwrap_err(), expected);
}

#[test]
fn bundles_that_do_not_fit_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    bundle().write(&path).unwrap();
    let fits =
        |spec: ModelSpec| RampBundle::read(&path, &spec, &MODEL).map_err(|error| error.to_string());
    assert!(fits(spec()).is_ok());
    assert!(fits(deep(5)).is_ok());
    let error = fits(deep(4)).unwrap_err();
    assert!(error.ends_with("`site` must be before the last of 4 segments, found 3"), "{error}");
    let wide = CONFIG.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 6");
    let wide = common::parse(&wide.replace("\"hidden_size\": 4", "\"hidden_size\": 8"));
    let error = fits(wide).unwrap_err();
    assert!(error.ends_with("`width` must be 8, as the model's, found 4"), "{error}");
    let mut bare = spec();
    bare.network.head.classifier = None;
    let error = fits(bare).unwrap_err();
    assert!(error.ends_with("`classes` must be 0, as the model's, found 3"), "{error}");
}

#[test]
fn damaged_documents() {
    let plain = "\\\"";
    let in_document = |text: &str| text.replace('"', plain);
    let with = |from: &str, to: &str| with(&in_document(from), &in_document(to));
    assert!(with("\"format\":1", "\"format\":2").ends_with("`format` must be 1, found 2"));
    assert!(with("\"pool\":\"mean\"", "\"pool\":\"max\"").contains("unknown variant `max`"));
    assert!(with("\"hidden\":\"tanh\"", "\"hidden\":\"mish\"").contains("an activation is one of"));
    assert!(with("\"classes\":3,", "").contains("missing field `classes`"));
    assert!(with("\"classes\":3,", "\"classes\":3,\"x\":1,").contains("unknown field `x`"));
    assert!(with(",\"hidden\":null", "").contains("missing field `hidden`"));
    for (object, list, key) in [
        ("{\"site\":0,\"pool\":\"first\",\"hidden\":null}", "[0,\"first\",null]", "ramps[0]"),
        (
            "{\"site\":0,\"agreement\":0.30000000000000004,",
            "[{\"agreement\":1,",
            "trained.sites[0]",
        ),
    ] {
        let told = with(object, list);
        let expected = format!("`{key}`: invalid type: sequence, expected an object");
        assert!(told.contains(&expected), "{told}");
    }
    assert!(with("\"site\":3,\"pool\"", "\"site\":0,\"pool\"").contains("tensor"));
    assert!(
        with("\"site\":3,\"pool\"", "\"site\":4,\"pool\"")
            .contains("no tensor `site.4.hidden.weight`")
    );
    assert!(
        with("\"hidden\":\"tanh\"", "\"hidden\":null")
            .contains("`number of tensors` must be 4, found 6")
    );
    assert!(with("\"model\":\"ab", "\"model\":\"zz").contains("a hash is 64 hexadecimal digits"));
    assert!(
        with("\"classes\":3", "\"classes\":2")
            .contains("expected shape [2, 4], found shape [3, 4]")
    );
    assert!(
        with("\"classes\":3", "\"classes\":0").contains("`classes` must be 1 to 65536, found 0")
    );
    assert!(
        with("\"width\":4", "\"width\":5")
            .contains("`width` must be 4, as the ramp at site 0, found 5")
    );
    assert!(
        with("\"agreement\":0.97", "\"agreement\":1.97").contains("`agreement` must be 0 to 1")
    );
}

#[test]
fn damaged_files() {
    assert!(with("\"offramp\"", "\"onramp\"").contains("not a ramp bundle"));
    assert!(
        with("\"shape\":[3,4]", "\"shape\":[12]")
            .contains("expected 2 dimensions, found 1 dimensions")
    );
    assert!(
        with("\"shape\":[3,4]", "\"shape\":[4,3]").contains("expected shape [4], found shape [3]")
    );
    let nan = |mut content: Vec<u8>| {
        let end = content.len();
        content[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        content
    };
    let error = reread(&bundle(), nan).unwrap_err();
    assert!(
        error.ends_with("`site.3.hidden.weight`: expected finite values, found NaN at element 19"),
        "{error}"
    );
    let error = reread(&bundle(), |content| content[..content.len() - 1].to_vec()).unwrap_err();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn what_does_not_fit_together_is_not_written() {
    let error = unwritable(|b| b.ramps.swap(0, 1));
    assert!(error.contains("`ramps` must be by rising site"), "{error}");
    let error = unwritable(|b| b.ramps[1].site = 0);
    assert!(error.contains("`ramps` must be by rising site"), "{error}");
    let error = unwritable(|b| b.ramps.clear());
    assert!(error.contains("`number of ramps` must be 1 to 127, found 0"), "{error}");
    let error = unwritable(|b| b.ramps[1].site = 127);
    assert!(error.contains("`site` must be below 127, found 127"), "{error}");
    let error = unwritable(|b| b.ramps[0].head.weight[3] = f32::NAN);
    assert!(error.contains("expected finite values, found NaN at element 3"), "{error}");
    let error = unwritable(|b| b.ramps[0].head.bias[1] = f32::INFINITY);
    assert!(error.contains("`site.0.head.bias`: expected finite values, found inf"), "{error}");
    let error = unwritable(|b| b.ramps[0].head.weight.truncate(11));
    assert!(error.contains("`site.0.head.weight`: expected 12 values, found 11"), "{error}");
    let error = unwritable(|b| b.ramps[1].head = dense(3, 4, 0.0));
    assert!(error.contains("expected shape [3, 5], found shape [3, 4]"), "{error}");
    let error = unwritable(|b| b.trained.sites[0].temperature = 0.0);
    assert!(error.contains("`temperature` must be above 0"), "{error}");
}

/// The document of the largest bundle stays within what a reader takes as one text.
#[test]
fn the_largest_number_of_ramps_is_read_back() {
    let hidden = || Some((dense(2, 4, 0.5), Activation::GeluTanh));
    let mut largest = bundle();
    let ramp = |site| Ramp { site, pool: Pool::First, hidden: hidden(), head: dense(3, 2, 0.1) };
    largest.ramps = (0..127).map(ramp).collect();
    let note = |site| SiteNotes { site, agreement: 1.0 / 7.0, temperature: 1e-300 / 7.0 };
    largest.trained.sites = (0..127).map(note).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    largest.write(&path).unwrap();
    assert_eq!(RampBundle::read(&path, &deep(128), &MODEL).unwrap(), largest);
}

/// Ramps of an image network look at as many values as their segments have channels.
#[test]
fn ramps_of_an_image_network_have_their_own_widths() {
    let spec = common::parse(common::IMAGE_CONFIG);
    let ramp = |site, inputs| {
        let head = dense(3, inputs, 0.1);
        Ramp { site, pool: Pool::Mean, hidden: None, head }
    };
    let hidden = Some((dense(5, 4, 0.3), Activation::Relu));
    let deep = Ramp { hidden, head: dense(3, 5, 0.2), ..ramp(1, 4) };
    assert_eq!((ramp(0, 2).width(), deep.width()), (2, 4));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    let fits = |ramps: Vec<Ramp>| {
        let trained = TrainingNotes::default();
        let bundle = RampBundle { ramps, trained, ..bundle() };
        bundle.write(&path).unwrap();
        let read = RampBundle::read(&path, &spec, &MODEL).map_err(|error| error.to_string())?;
        assert_eq!((&read, read.hash()), (&bundle, bundle.hash()));
        let content = std::fs::read(&path).unwrap();
        Ok::<_, String>(String::from_utf8_lossy(&content).contains("width"))
    };
    assert_eq!(fits(vec![ramp(0, 2), deep]), Ok(false));
    assert_eq!(fits(vec![ramp(1, 4)]), Ok(true));
    let error = fits(vec![ramp(0, 2), ramp(1, 2)]).unwrap_err();
    assert!(error.ends_with("`width` must be 4, as the model's, found 2"), "{error}");
    let error = fits(vec![ramp(0, 2), ramp(2, 6)]).unwrap_err();
    assert!(error.ends_with("`site` must be before the last of 3 segments, found 2"), "{error}");
    let error = fits(vec![Ramp { pool: Pool::First, ..ramp(0, 2) }]).unwrap_err();
    assert!(error.ends_with("apart from others, found first"), "{error}");
}

#[test]
fn ramps_that_learnt_another_task_are_refused() {
    use offramp_weights::spec::{Problem, ScoreKeys};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramps.safetensors");
    let multi = ScoreKeys { problem: Some(Problem::MultiLabel), link: None };
    let of = |scores| ModelSpec { scores, ..spec() };
    let read = |task, scores| {
        RampBundle { task, ..bundle() }.write(&path).unwrap();
        RampBundle::read(&path, &of(scores), &MODEL).map(|bundle| bundle.task)
    };
    assert_eq!(read(Task::Classes, ScoreKeys::default()).unwrap(), Task::Classes);
    assert_eq!(read(Task::Labels, multi).unwrap(), Task::Labels);
    for (task, scores) in [(Task::Classes, multi), (Task::Labels, ScoreKeys::default())] {
        let error = read(task, scores).unwrap_err().to_string();
        assert!(error.contains("`task` must be ") && error.contains("train-ramps"), "{error}");
    }
}
