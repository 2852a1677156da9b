//! Random-weight networks over images, written as timm would.

use std::io::{BufWriter, Write};
use std::path::Path;

use offramp_weights::ModelSpec;
use offramp_weights::network::{Filter, Network as Steps};
use serde_json::json;

use crate::models::header;

/// A network that readers know by name.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// `resnet50`.
    pub architecture: &'static str,
    /// Height and width of its pictures, in pixels.
    pub side: usize,
    /// Classes of the head.
    pub classes: usize,
    /// Depth and width of the four stages, where they are not the usual ones.
    pub stages: Option<([usize; 4], [usize; 4])>,
}

impl Network {
    /// ResNet-50 as for ImageNet.
    pub const RESNET_50: Self =
        Self { architecture: "resnet50", side: 224, classes: 1000, stages: None };

    /// Writes `config.json` and an f32 `model.safetensors` of seeded random weights to `dir`.
    ///
    /// # Errors
    /// The files cannot be written.
    ///
    /// # Panics
    /// No reader knows such a network.
    pub fn write(&self, dir: &Path, seed: u64) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("config.json"), self.config().to_string())?;
        let spec = ModelSpec::read(dir).expect("a config that readers accept");
        let tensors = tensors(&spec.network);
        let mut file = BufWriter::new(std::fs::File::create(dir.join("model.safetensors"))?);
        let shapes = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        let header = header(shapes);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut rng = fastrand::Rng::with_seed(seed);
        tensors.iter().try_for_each(|tensor| tensor.write(&mut file, &mut rng))?;
        file.flush()
    }

    fn config(&self) -> serde_json::Value {
        let mut config = json!({
            "architecture": self.architecture,
            "num_classes": self.classes,
            "pretrained_cfg": {
                "input_size": [3, self.side, self.side],
                "crop_pct": 1.0,
                "interpolation": "bilinear",
            },
        });
        if let Some((depths, widths)) = self.stages {
            config["depths"] = json!(depths);
            config["widths"] = json!(widths);
        }
        config
    }
}

/// A tensor and how its numbers are drawn: uniformly, around a mean.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    mean: f32,
    spread: f32,
}

impl Tensor {
    fn write(&self, file: &mut impl Write, rng: &mut fastrand::Rng) -> std::io::Result<()> {
        for _ in 0..self.shape.iter().product::<usize>() {
            let value = self.mean + self.spread * (2.0 * rng.f32() - 1.0);
            file.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Of all convolutions with their norms, and of the head.
fn tensors(network: &Steps) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for conv in network.convs() {
        let Filter::Trained { weight, bias, norm } = &conv.filter else { continue };
        let fan_in = conv.inputs * conv.kernel * conv.kernel;
        let shape = vec![conv.outputs, conv.inputs, conv.kernel, conv.kernel];
        let spread = (6.0 / fan_in as f32).sqrt();
        tensors.push(Tensor { name: weight.clone(), shape, mean: 0.0, spread });
        tensors.extend(bias.iter().map(|name| vector(name, conv.outputs, 0.0, 0.1)));
        // Where a path ends it adds half, or each block would double the variance.
        let scale = if conv.relu { 1.0 } else { 0.5 };
        tensors.extend(norm.iter().flat_map(|stem| norm_of(stem, conv.outputs, scale)));
    }
    for form in network.head.classifier.iter().flat_map(|linear| linear.tensors()) {
        match form.shape[..] {
            [_, features] => {
                let spread = (3.0 / features as f32).sqrt();
                tensors.push(Tensor { name: form.name, shape: form.shape, mean: 0.0, spread });
            }
            _ => tensors.push(vector(&form.name, form.shape[0], 0.0, 0.1)),
        }
    }
    tensors
}

fn vector(name: &str, len: usize, mean: f32, spread: f32) -> Tensor {
    Tensor { name: name.to_owned(), shape: vec![len], mean, spread }
}

/// A batch norm around the identity.
fn norm_of(stem: &str, len: usize, scale: f32) -> [Tensor; 4] {
    [
        vector(&format!("{stem}.weight"), len, scale, 0.2 * scale),
        vector(&format!("{stem}.bias"), len, 0.0, 0.1),
        vector(&format!("{stem}.running_mean"), len, 0.0, 0.1),
        vector(&format!("{stem}.running_var"), len, 1.0, 0.3),
    ]
}
