//! Random-weight BERT checkpoints of any size, written as Hugging Face would, and random ramps.

use std::io::{BufWriter, Write};
use std::path::Path;

use offramp::Model;
use offramp_weights::network::{Step, TensorForm};
use offramp_weights::{Dense, ModelSpec, Ramp, RampBundle, TrainingNotes};
use serde_json::json;

/// The size of a BERT classifier.
#[derive(Clone, Copy, Debug)]
pub struct BertSize {
    /// Encoder layers.
    pub layers: usize,
    /// Elements of a token vector.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward block.
    pub intermediate: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Classes of the head.
    pub classes: usize,
}

impl BertSize {
    /// MiniLM-L6-H384.
    pub const MINI_LM: Self =
        Self { layers: 6, hidden: 384, heads: 12, intermediate: 1536, vocab: 30522, classes: 6 };

    /// BERT base.
    pub const BASE: Self =
        Self { layers: 12, hidden: 768, heads: 12, intermediate: 3072, vocab: 30522, classes: 6 };

    fn config(&self) -> serde_json::Value {
        json!({
            "architectures": ["BertForSequenceClassification"],
            "model_type": "bert",
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "num_labels": self.classes,
        })
    }

    /// Writes `config.json` and an f32 `model.safetensors` of seeded random weights to `dir`,
    /// tensor by tensor: nothing of the model's size is held.
    ///
    /// # Errors
    /// The files cannot be written.
    ///
    /// # Panics
    /// The size is none a reader accepts.
    pub fn write(&self, dir: &Path, seed: u64) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let config = self.config();
        std::fs::write(dir.join("config.json"), config.to_string())?;
        let spec = ModelSpec::read(dir).expect("a config that readers accept");
        let tensors = tensors(&spec);
        let mut file = BufWriter::new(std::fs::File::create(dir.join("model.safetensors"))?);
        let shapes = tensors.iter().map(|form| (form.name.as_str(), form.shape.as_slice()));
        let header = header(shapes);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut rng = fastrand::Rng::with_seed(seed);
        for form in &tensors {
            write_values(&mut file, form, &mut rng)?;
        }
        file.flush()
    }
}

/// Embeddings and head, then the layers.
fn tensors(spec: &ModelSpec) -> Vec<TensorForm> {
    let is_outer = |step: &&Step| matches!(step, Step::Embed(_));
    let network = &spec.network;
    let layers = network.segments.iter().flat_map(|segment| &segment.steps);
    let leaves = || layers.clone().flat_map(Step::leaves);
    let outer = leaves().filter(is_outer).chain(&network.tail).flat_map(Step::tensors);
    let inner = leaves().filter(|step| !is_outer(step)).flat_map(Step::tensors);
    let classifier = network.head.classifier.iter().flat_map(|linear| linear.tensors());
    outer.chain(classifier).chain(inner).collect()
}

/// Names and shapes of f32 tensors that follow each other, as safetensors begins.
pub(crate) fn header<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> String {
    let mut entries = serde_json::Map::new();
    let mut at = 0;
    for (name, shape) in tensors {
        let end = at + 4 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
        entries.insert(name.to_owned(), entry);
        at = end;
    }
    let header = serde_json::Value::Object(entries).to_string();
    let padded = header.len().next_multiple_of(8);
    format!("{header:padded$}")
}

/// Matrices are scaled by their inputs so that activations neither fade nor explode.
fn write_values(
    file: &mut impl Write,
    form: &TensorForm,
    rng: &mut fastrand::Rng,
) -> std::io::Result<()> {
    let is_scale = form.name.ends_with("LayerNorm.weight");
    let (mean, spread) = match &form.shape[..] {
        [_, inputs] => (0.0, (3.0 / *inputs as f32).sqrt()),
        _ if is_scale => (1.0, 0.1),
        _ => (0.0, 0.1),
    };
    for _ in 0..form.shape.iter().product::<usize>() {
        let value = mean + spread * (2.0 * rng.f32() - 1.0);
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// Copies the model folder `from` to `to`, with other `keys` in its configuration and only the
/// first `classes` rows of its classifier.
///
/// # Errors
/// The files cannot be read or written.
///
/// # Panics
/// `from` is no folder of a checkpoint in one file of f32 with as many classes.
pub fn with_task(
    from: &Path,
    to: &Path,
    keys: &serde_json::Value,
    classes: usize,
) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let config = std::fs::read(from.join("config.json"))?;
    let mut config: serde_json::Value = serde_json::from_slice(&config).expect("a config");
    for key in ["id2label", "label2id", "num_labels", "problem_type"] {
        config.as_object_mut().expect("an object").remove(key);
    }
    config["num_labels"] = json!(classes);
    for (key, value) in keys.as_object().expect("keys") {
        config[key] = value.clone();
    }
    std::fs::write(to.join("config.json"), config.to_string())?;
    let bytes = std::fs::read(from.join("model.safetensors"))?;
    std::fs::write(to.join("model.safetensors"), cut_classifier(&bytes, classes))?;
    let tokenizer = from.join("tokenizer.json");
    if tokenizer.exists() {
        std::fs::copy(tokenizer, to.join("tokenizer.json"))?;
    }
    Ok(())
}

fn cut_classifier(bytes: &[u8], classes: usize) -> Vec<u8> {
    let (head, rest) = bytes.split_at(8);
    let header = u64::from_le_bytes(head.try_into().expect("eight bytes")) as usize;
    let (text, data) = rest.split_at(header);
    let entries: serde_json::Value = serde_json::from_slice(text).expect("a header");
    let (mut kept, mut values) = (serde_json::Map::new(), Vec::new());
    let tensors = entries.as_object().expect("tensors").iter();
    for (name, entry) in tensors.filter(|(name, _)| *name != "__metadata__") {
        let offset = |end: usize| entry["data_offsets"][end].as_u64().expect("an offset") as usize;
        let mut own = &data[offset(0)..offset(1)];
        let mut entry = entry.clone();
        let is_head = ["classifier.", "linear."].iter().any(|head| name.starts_with(head));
        if is_head {
            let all = entry["shape"][0].as_u64().expect("classes") as usize;
            own = &own[..own.len() / all * classes];
            entry["shape"][0] = json!(classes);
        }
        entry["data_offsets"] = json!([values.len(), values.len() + own.len()]);
        values.extend_from_slice(own);
        kept.insert(name.clone(), entry);
    }
    let text = serde_json::Value::Object(kept).to_string();
    let padded = text.len().next_multiple_of(8);
    let text = format!("{text:padded$}");
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &values].concat()
}

/// A layer of random weights and biases in `-spread..spread`.
pub fn random_dense(outputs: usize, inputs: usize, spread: f32, rng: &mut fastrand::Rng) -> Dense {
    let mut values = |len: usize| (0..len).map(|_| spread * (2.0 * rng.f32() - 1.0)).collect();
    Dense { outputs, inputs, weight: values(outputs * inputs), bias: values(outputs) }
}

/// Untrained ramps as a bundle that `model` accepts.
pub fn bundle(model: &Model, ramps: Vec<Ramp>) -> RampBundle {
    let trained = TrainingNotes { inputs: 0, held_out: 0, sites: vec![] };
    let (classes, task) = (model.spec().classes(), model.spec().task());
    RampBundle { model: model.hash(), classes, task, ramps, trained }
}
