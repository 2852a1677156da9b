//! A model folder from a bare state dict: names set right, counters dropped, everything checked.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, View};
use serde_json::{Map, Value, json};

use crate::disk::{write_atomically, write_atomically_with};
use crate::error::{Error, Result};
use crate::file::{Checkpoint, Elem, Tensor, WEIGHTS_FILE};
use crate::folder::CONFIG_FILE;
use crate::image;
use crate::model::{ChannelOrder, Input, Interpolation, ModelSpec, Preprocessing};
use crate::network::TensorForm;
use crate::resolve::resolve;

/// Values looked at together.
const CHUNK: usize = 64 << 10;

/// What the weights alone do not tell of a network. `None` is what the architecture usually has.
///
/// The keys of `config.json` are written as [`ModelSpec::parse`] reads them; their meanings and
/// bounds are its.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    /// `resnet50`, `vgg16_bn`, `vit_tiny_patch16_224`.
    pub architecture: String,
    /// One name per class.
    pub labels: Option<Vec<String>>,
    /// Channels, height and width.
    pub input_size: Option<[usize; 3]>,
    /// By channel.
    pub mean: Option<Vec<f32>>,
    /// By channel.
    pub std: Option<Vec<f32>>,
    /// Share of the shorter side that is kept.
    pub crop_share: Option<f32>,
    /// `nearest`, `bilinear` or `bicubic`.
    pub interpolation: Option<String>,
    /// Whether the network reads blue first.
    pub is_bgr: bool,
    /// Whether a bottleneck's stride is in its first convolution.
    pub stride_in_1x1: bool,
    /// Blocks of each stage.
    pub depths: Option<Vec<usize>>,
    /// Channels of each stage.
    pub widths: Option<Vec<usize>>,
    /// Channels behind a ResNet's first convolution.
    pub stem_width: Option<usize>,
    /// Channels of VGG's two hidden linear layers.
    pub hidden_width: Option<usize>,
    /// Whether weights are rounded to half precision; biases and norms stay as they are.
    pub halves: bool,
}

impl Conversion {
    /// Writes `config.json` and `model.safetensors` into the folder `out`, which is made where it
    /// is not there, from the safetensors file `weights`; returns what was made.
    ///
    /// Errors: `weights` absent or damaged, of another network, or with values that are not
    /// finite; a setting that [`ModelSpec::parse`] refuses; `out` not writable.
    pub fn run(&self, weights: &Path, out: &Path) -> Result<ModelSpec> {
        let checkpoint = Checkpoint::of_file(weights)?;
        let config = out.join(CONFIG_FILE);
        let mut spec = parse(&self.asked(), &config)?;
        resolve(&mut spec, &checkpoint)?;
        let stored = self.stored(&spec, &checkpoint)?;
        fs::create_dir_all(out).map_err(|source| Error::io(out, "create", source))?;
        write_tensors(stored, &out.join(WEIGHTS_FILE))?;
        let known = self.known(&spec);
        write_atomically(&config, format!("{known:#}\n").as_bytes())?;
        // What was written is read back: the names are new.
        let mut made = parse(&known, &config)?;
        resolve(&mut made, &Checkpoint::open(out)?)?;
        Ok(made)
    }

    /// The keys that were given.
    fn asked(&self) -> Value {
        let mut pretrained = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            pretrained.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("input_size", self.input_size.map(|size| json!(size)));
        put("mean", self.mean.as_ref().map(|mean| plain(mean)));
        put("std", self.std.as_ref().map(|std| plain(std)));
        put("crop_pct", self.crop_share.map(decimal));
        // Bare weights of a CNN are torchvision's, those of a vision transformer timm's.
        let bilinear = || Interpolation::Bilinear.to_string();
        let usual = (!image::is_vit(&self.architecture)).then(bilinear);
        let interpolation = self.interpolation.clone().or(usual);
        put("interpolation", interpolation.map(|name| json!(name)));
        self.with_structure(json!({ "pretrained_cfg": pretrained }))
    }

    /// The keys with what the checkpoint told.
    fn known(&self, spec: &ModelSpec) -> Value {
        let Input::Pixels(input) = &spec.input else { return self.asked() };
        let Preprocessing { height, width, channels, interpolation, .. } = *input;
        let usual = image::crop_share_of(&self.architecture);
        let pretrained = json!({
            "input_size": [channels, height, width],
            "mean": plain(&input.mean),
            "std": plain(&input.std),
            "crop_pct": self.crop_share.map_or(json!(usual), decimal),
            "interpolation": interpolation.to_string(),
        });
        let config = json!({ "num_classes": spec.classes(), "pretrained_cfg": pretrained });
        self.with_structure(config)
    }

    fn with_structure(&self, mut config: Value) -> Value {
        config["architecture"] = json!(self.architecture);
        let lists = [("depths", &self.depths), ("widths", &self.widths)];
        for (key, list) in lists {
            if let Some(list) = list {
                config[key] = json!(list);
            }
        }
        let sizes = [("stem_width", self.stem_width), ("hidden_width", self.hidden_width)];
        for (key, size) in sizes {
            if let Some(size) = size {
                config[key] = json!(size);
            }
        }
        if let Some(labels) = &self.labels {
            config["label_names"] = json!(labels);
        }
        if self.stride_in_1x1 {
            config["stride_in_1x1"] = json!(true);
        }
        if self.is_bgr {
            config["channel_order"] = json!(ChannelOrder::Bgr.to_string());
        }
        config
    }

    /// The tensors that the network reads, by their names without those of wrappers.
    fn stored<'a>(
        &self,
        spec: &ModelSpec,
        checkpoint: &'a Checkpoint,
    ) -> Result<Vec<(String, Stored<'a>)>> {
        let store = |form: TensorForm| {
            let tensor = checkpoint.tensor(&form.name)?;
            let halves = self.halves && tensor.shape().len() > 1 && tensor.elem() == Elem::F32;
            check(&tensor, halves)?;
            Ok((form.name, Stored { tensor, halves }))
        };
        spec.network.tensors().map(store).collect()
    }
}

fn parse(config: &Value, file: &Path) -> Result<ModelSpec> {
    image::parse(config.to_string().as_bytes(), file)
}

/// The shortest decimals that read back as `values`: `0.485`, where JSON's double would show more.
fn plain(values: &[f32]) -> Value {
    values.iter().map(|value| decimal(*value)).collect()
}

fn decimal(value: f32) -> Value {
    let short = value.to_string().parse::<f64>().ok().filter(|short| *short as f32 == value);
    json!(short.unwrap_or(f64::from(value)))
}

/// Refuses values that are not finite, or would not be as halves.
fn check(tensor: &Tensor<'_>, halves: bool) -> Result<()> {
    tensor.for_each_chunk(CHUNK, |first, values| {
        let too_large = |value: &f32| halves && f16::from_f32(*value).is_infinite();
        match values.iter().position(too_large) {
            None => Ok(()),
            Some(index) => {
                let (value, place) = (values[index], first + index);
                let found = format!("{value} at element {place}");
                Err(tensor.misfit("values that F16 can hold".into(), found))
            }
        }
    })
}

/// A tensor on its way to another file.
struct Stored<'a> {
    tensor: Tensor<'a>,
    halves: bool,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.halves {
            true => Dtype::F16,
            false => self.tensor.elem().into(),
        }
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if !self.halves {
            return Cow::Borrowed(self.tensor.bytes());
        }
        let (stored, _) = self.tensor.bytes().as_chunks();
        let halves = stored.iter().map(|value| f16::from_f32(f32::from_le_bytes(*value)));
        Cow::Owned(halves.flat_map(f16::to_le_bytes).collect())
    }

    fn data_len(&self) -> usize {
        self.tensor.bytes().len() / if self.halves { 2 } else { 1 }
    }
}

/// Tensor by tensor: nothing of the model's size is held.
fn write_tensors(stored: Vec<(String, Stored<'_>)>, path: &Path) -> Result<()> {
    write_atomically_with(path, |aside| {
        safetensors::serialize_to_file(stored, None, aside).map_err(std::io::Error::other)
    })
}
