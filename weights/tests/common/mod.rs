//! Files made by hand: safetensors byte by byte, and tiny whole models.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use offramp_weights::network::TensorForm;
use offramp_weights::{Elem, ModelSpec};

/// A tensor to be written.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Put {
    /// `values` stored as `elem`.
    pub(crate) fn floats(name: &str, elem: Elem, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| match elem {
            Elem::F32 => value.to_le_bytes().to_vec(),
            Elem::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
            Elem::BF16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        });
        Self::raw(name, &elem.to_string(), shape, bytes.collect())
    }

    /// Any bytes under any element type.
    pub(crate) fn raw(name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { name: name.into(), dtype: dtype.into(), shape: shape.into(), bytes }
    }
}

/// A file of a header and data, with the header's true length.
pub(crate) fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let length = header.len() as u64;
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

/// A sound file that holds `puts` in this order.
pub(crate) fn safetensors(puts: &[Put]) -> Vec<u8> {
    let mut at = 0;
    let entries: Vec<_> = puts
        .iter()
        .map(|put| {
            let start = at;
            at += put.bytes.len();
            let Put { name, dtype, shape, .. } = put;
            format!(
                r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{at}]}}"#
            )
        })
        .collect();
    let data: Vec<u8> = puts.iter().flat_map(|put| put.bytes.clone()).collect();
    file(&format!("{{{}}}", entries.join(",")), &data)
}

/// A BERT of two layers and three named classes.
pub(crate) const CONFIG: &str = r#"{
  "architectures": ["BertForSequenceClassification"], "model_type": "bert",
  "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 6,
  "vocab_size": 10, "max_position_embeddings": 8, "type_vocab_size": 2, "hidden_act": "gelu",
  "layer_norm_eps": 1e-12, "pad_token_id": 0, "is_decoder": false,
  "id2label": {"0": "no", "1": "yes", "2": "maybe"}, "label2id": {"no": 0, "yes": 1, "maybe": 2}
}"#;

/// The spec of [`CONFIG`].
pub(crate) fn spec() -> ModelSpec {
    parse(CONFIG)
}

/// The spec of a configuration.
pub(crate) fn parse(config: &str) -> ModelSpec {
    ModelSpec::parse(config.as_bytes(), "config.json".as_ref()).unwrap()
}

/// All tensors of `spec` as f32, under the names it has, each with other values.
pub(crate) fn tensors(spec: &ModelSpec) -> Vec<Put> {
    let put = |(number, TensorForm { name, shape }): (usize, TensorForm)| {
        let count: usize = shape.iter().product();
        let start = (1 + number) as f32 / 8.0;
        let values: Vec<_> = (0..count).map(|i| start + i as f32 / 64.0).collect();
        Put::floats(&name, Elem::F32, &shape, &values)
    };
    spec.network.tensors().enumerate().map(put).collect()
}

/// All tensors of the model of [`CONFIG`].
pub(crate) fn bert() -> Vec<Put> {
    tensors(&spec())
}

/// A ResNet of three blocks over grey pictures, with three named classes.
pub(crate) const IMAGE_CONFIG: &str = r#"{
  "architecture": "resnet20", "depths": [1, 1, 1], "widths": [2, 4, 6], "num_classes": 3,
  "label_names": ["no", "yes", "maybe"],
  "pretrained_cfg": {"input_size": [1, 8, 6], "mean": [0.5], "std": [0.25], "crop_pct": 0.9}
}"#;

/// Writes one file into `dir`.
pub(crate) fn write(dir: &Path, name: &str, content: &[u8]) {
    fs::write(dir.join(name), content).unwrap();
}
