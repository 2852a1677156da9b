//! Runs the binary and finds the models.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use offramp_libcuda::Simulator;
use serde_json::Value;

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Standard output as lines of JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect(&self.out)
    }

    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// The binary, with nothing of this process's environment in its way.
pub(crate) fn offramp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offramp"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OFFRAMP_")) {
        command.env_remove(name);
    }
    command.env("OFFRAMP_THREADS", "1").env("OFFRAMP_DEVICE", "cpu").args(args);
    command
}

/// The binary on the interpreting CUDA driver, which cargo builds beside this test.
pub(crate) fn on_interpreter(args: &[&str], settings: &[(&str, &str)]) -> Command {
    let driver = Simulator::find().unwrap();
    let mut command = offramp(args);
    command.env_remove("OFFRAMP_DEVICE").env("OFFRAMP_CUDA_DRIVER", driver);
    command.envs(settings.iter().copied());
    command
}

pub(crate) fn run(args: &[&str], input: &str) -> Run {
    finish(offramp(args), input)
}

pub(crate) fn finish(mut command: Command, input: &str) -> Run {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that fails early does not read its input: that is its right.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    Run {
        code: done.status.code().expect("it ended by itself"),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

fn workspace(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A tiny checkpoint with known answers.
pub(crate) fn golden(name: &str) -> String {
    text(&workspace("tests/data/golden").join(name))
}

/// A tiny image network with known answers.
pub(crate) fn golden_images(name: &str) -> String {
    text(&workspace("tests/data/golden-images").join(name))
}

/// The shipped classifier of images.
pub(crate) fn shipped_images() -> String {
    text(&workspace("tools/models/fashion-mnist"))
}

/// The shipped classifier.
pub(crate) fn shipped() -> String {
    text(&workspace("tools/models/trec-questions"))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The golden cases as input lines, and the logits they must give.
pub(crate) fn cases(name: &str) -> (String, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(format!("{}/cases.json", golden(name))).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let (mut lines, mut logits) = (String::new(), Vec::new());
    for (index, case) in all["cases"].as_array().unwrap().iter().enumerate() {
        let mut line = serde_json::json!({ "id": index, "tokens": case["tokens"] });
        if let Some(kinds) = case.get("types") {
            line["kinds"] = kinds.clone();
        }
        lines.push_str(&format!("{line}\n"));
        let row = case["logits"].as_array().unwrap();
        logits.push(row.iter().map(|x| x.as_f64().unwrap()).collect());
    }
    (lines, logits)
}

/// A folder of its own that goes when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("offramp-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.0.join(name))
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder with all files of a model's.
pub(crate) fn copy_of(model: &str) -> Folder {
    let folder = Folder::new();
    for entry in std::fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&path, folder.path(name)).unwrap();
    }
    folder
}

/// A golden checkpoint in a folder of its own, every element of one f32 tensor replaced.
pub(crate) fn with_tensor_of(name: &str, tensor: &str, value: f32) -> (Folder, String) {
    let folder = Folder::new();
    std::fs::copy(format!("{}/config.json", golden(name)), folder.path("config.json")).unwrap();
    let mut bytes = std::fs::read(format!("{}/model.safetensors", golden(name))).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offset = |end: usize| entries[tensor]["data_offsets"][end].as_u64().unwrap() as usize;
    let data = 8 + header + offset(0)..8 + header + offset(1);
    bytes[data].chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&value.to_le_bytes()));
    std::fs::write(folder.path("model.safetensors"), bytes).unwrap();
    let dir = folder.path("");
    (folder, dir)
}

/// A golden checkpoint in a folder of its own, with other `keys` in its configuration and only the
/// first `classes` rows of its classifier.
pub(crate) fn with_classifier(name: &str, keys: &Value, classes: usize) -> (Folder, String) {
    let folder = Folder::new();
    let config = std::fs::read(format!("{}/config.json", golden(name))).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for key in ["id2label", "label2id", "problem_type"] {
        config.as_object_mut().unwrap().remove(key);
    }
    config["num_labels"] = classes.into();
    keys.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    folder.write("config.json", &config.to_string());
    let bytes = std::fs::read(format!("{}/model.safetensors", golden(name))).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut entries: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let mut values = Vec::new();
    for (name, entry) in entries.as_object_mut().unwrap() {
        let Some(offsets) = entry.get("data_offsets") else { continue };
        let [from, end] = [0, 1].map(|end| header + offsets[end].as_u64().unwrap() as usize);
        let mut own = &bytes[from..end];
        if name.starts_with("classifier.") {
            own = &own[..own.len() / entry["shape"][0].as_u64().unwrap() as usize * classes];
            entry["shape"][0] = classes.into();
        }
        entry["data_offsets"] = serde_json::json!([values.len(), values.len() + own.len()]);
        values.extend_from_slice(own);
    }
    let text = entries.to_string();
    let padded = text.len().next_multiple_of(8);
    let text = format!("{text:padded$}");
    let all = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &values].concat();
    std::fs::write(folder.path("model.safetensors"), all).unwrap();
    let dir = folder.path("");
    (folder, dir)
}
