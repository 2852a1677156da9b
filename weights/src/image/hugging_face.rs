//! Hugging Face's `config.json` of a ResNet: `ResNetForImageClassification`.
//!
//! Keys read: `embedding_size`, `hidden_sizes`, `depths`, `layer_type` (`basic`, `bottleneck`),
//! `downsample_in_first_stage`, `downsample_in_bottleneck` (v1), `num_channels`, `hidden_act`
//! (`relu`), `id2label`, `num_labels`, and our own `channel_order`. What is not there is as in
//! ResNet-50, as it is there.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::architecture::{Architecture, Block, ResNet, Shortcut, Stage, Stem};
use crate::image::assemble::{STAGES_MAX, assemble, check_stages, sizes};
use crate::image::build::Naming;
use crate::image::preprocessing::{Usual, check_channels, order};
use crate::json::{self, Few};
use crate::keys;
use crate::model::{ModelSpec, Preprocessing, Told};
use crate::spec::{HIDDEN_MAX, LAYERS_MAX, NamedLabels, labels, size};

/// The `model_type` of Hugging Face's ResNets, and their architecture here.
pub(crate) const MODEL_TYPE: &str = "resnet";

#[derive(Deserialize)]
struct Config {
    embedding_size: Option<i64>,
    hidden_sizes: Option<Few<i64, STAGES_MAX>>,
    depths: Option<Few<i64, STAGES_MAX>>,
    layer_type: Option<String>,
    downsample_in_first_stage: Option<bool>,
    downsample_in_bottleneck: Option<bool>,
    num_channels: Option<i64>,
    hidden_act: Option<String>,
    id2label: Option<NamedLabels>,
    num_labels: Option<i64>,
    channel_order: Option<String>,
}

pub(super) fn parse(content: &[u8], file: &Path) -> Result<ModelSpec> {
    let mut config: Config = json::parse(content, file)?;
    keys::check(content, &[keys::images::HUGGING_FACE, keys::text::COMMON], file)?;
    let told = Told {
        classes: config.id2label.is_some() || config.num_labels.is_some(),
        channels: config.num_channels.is_some(),
    };
    let labels = labels(config.id2label.take(), config.num_labels, file)?;
    let channels = check_channels("num_channels", config.num_channels.unwrap_or(3), file)?;
    let preprocessing = Preprocessing {
        order: order(config.channel_order.as_deref(), file)?,
        ..Usual::IMAGENET.preprocessing(channels)
    };
    let architecture = Architecture::ResNet(config.resnet(file)?);
    let name = MODEL_TYPE.to_owned();
    let spec = assemble(name, &architecture, Naming::HuggingFace, preprocessing, labels, file)?;
    Ok(ModelSpec { told, ..spec })
}

impl Config {
    fn resnet(&self, file: &Path) -> Result<ResNet> {
        if let Some(other) = self.hidden_act.as_deref().filter(|name| *name != "relu") {
            return Err(Error::refused(file, "hidden_act", "`relu`", format_args!("`{other}`")));
        }
        let block = match self.layer_type.as_deref().unwrap_or("bottleneck") {
            "basic" => Block::Basic,
            "bottleneck" => Block::Bottleneck,
            other => {
                let (expected, found) = ("basic or bottleneck", format_args!("`{other}`"));
                return Err(Error::refused(file, "layer_type", expected, found));
            }
        };
        Ok(ResNet {
            stem: Stem::Seven,
            stem_width: size(file, "embedding_size", self.embedding_size.or(Some(64)), HIDDEN_MAX)?,
            stages: self.stages(block, file)?,
            block,
            stride_in_1x1: self.downsample_in_bottleneck.unwrap_or(false),
            shortcut: Shortcut::Projection,
        })
    }

    fn stages(&self, block: Block, file: &Path) -> Result<Vec<Stage>> {
        let list = |key, list: &Option<Few<i64, STAGES_MAX>>, max, usual: [usize; 4]| match list {
            Some(list) => sizes(file, key, &list.0, max),
            None => Ok(usual.to_vec()),
        };
        let depths = list("depths", &self.depths, LAYERS_MAX, [3, 4, 6, 3])?;
        let widths = list("hidden_sizes", &self.hidden_sizes, HIDDEN_MAX, [256, 512, 1024, 2048])?;
        check_stages(&depths, &widths, "hidden_sizes", file)?;
        let expansion = block.expansion();
        if let Some(odd) = widths.iter().find(|width| !width.is_multiple_of(expansion)) {
            let expected = format!("multiples of {expansion}");
            return Err(Error::refused(file, "hidden_sizes", expected, odd));
        }
        let halves_first = self.downsample_in_first_stage.unwrap_or(false);
        let pairs = depths.into_iter().zip(widths).enumerate();
        let stage = |(index, (depth, width))| Stage {
            depth,
            inner: width / expansion,
            width,
            stride: if index > 0 || halves_first { 2 } else { 1 },
        };
        Ok(pairs.map(stage).collect())
    }
}
