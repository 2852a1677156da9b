//! The keys of an image model's `config.json`, and the checks that make a spec of them.
//!
//! The keys are listed at [`image`](super).

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::architecture::{Architecture, Block, KNOWN, ResNet, Shortcut, Vgg, stages};
use crate::image::assemble::{
    STAGES_MAX, assemble, check_stages, counted_classes, listed_labels, sizes,
};
use crate::image::build::Naming;
use crate::image::hugging_face::{self, MODEL_TYPE};
use crate::image::preprocessing::{Pretrained, Usual, order};
use crate::image::vit;
use crate::json::{self, Few, Object};
use crate::keys;
use crate::model::{ModelSpec, Preprocessing, Told};
use crate::spec::{HIDDEN_MAX, LAYERS_MAX, ListedLabels, NamedLabels, ScoreKeys, size};

/// The `model_type` that Hugging Face gives to a network of timm's, beside timm's own keys.
pub(crate) const TIMM_MODEL_TYPE: &str = "timm_wrapper";

/// The keys that are read; [`keys::images`] lists those that are not followed. Numbers are signed,
/// so that a negative one is refused by name.
#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    architecture: Option<String>,
    num_classes: Option<i64>,
    label_names: Option<ListedLabels>,
    id2label: Option<NamedLabels>,
    pretrained_cfg: Option<Object<Pretrained>>,
    model_args: Option<Object<ModelArgs>>,
    stride_in_1x1: Option<bool>,
    channel_order: Option<String>,
    depths: Option<Few<i64, STAGES_MAX>>,
    widths: Option<Few<i64, STAGES_MAX>>,
    stem_width: Option<i64>,
    hidden_width: Option<i64>,
}

/// What timm builds a network with.
#[derive(Default, Deserialize)]
struct ModelArgs {
    num_classes: Option<i64>,
    in_chans: Option<i64>,
}

/// The share of a picture that is usually kept, for an architecture of timm's by its name.
pub(crate) fn crop_share_of(architecture: &str) -> f64 {
    let cnn = || Architecture::named(architecture).as_ref().map(Usual::of);
    vit::usual(architecture).or_else(cnn).unwrap_or(Usual::IMAGENET).crop_share
}

/// Reads a document as its dialect says.
type Reader = fn(&[u8], &Path) -> Result<ModelSpec>;

/// Reads either dialect.
pub(crate) fn parse(content: &[u8], file: &Path) -> Result<ModelSpec> {
    let scores = ScoreKeys::parse(content, file)?;
    let mut config: Config = json::parse(content, file)?;
    let reader = match (config.model_type.as_deref(), config.architecture.as_deref()) {
        (Some(MODEL_TYPE), _) => Some(hugging_face::parse as Reader),
        (Some(name), _) if vit::MODEL_TYPES.contains(&name) => Some(vit::parse_hugging_face as _),
        (_, Some(name)) if vit::is_vit(name) => Some(vit::parse_timm as _),
        _ => None,
    };
    if let Some(read) = reader {
        drop(config);
        return read(content, file).map(|spec| ModelSpec { scores, ..spec });
    }
    use keys::images::{PRETRAINED, TIMM, VARIANT};
    let flat = match config.pretrained_cfg {
        Some(_) => None,
        // All of it is one, in the form of older versions. Labels are not held twice.
        None => {
            config.label_names = None;
            Some(json::parse(content, file)?)
        }
    };
    let tables = [TIMM, VARIANT, keys::text::COMMON, PRETRAINED];
    keys::check(content, &tables[..if flat.is_some() { 4 } else { 3 }], file)?;
    let pretrained =
        config.pretrained_cfg.take().map(|object| object.0).or(flat).unwrap_or_default();
    config.spec(pretrained, file).map(|spec| ModelSpec { scores, ..spec })
}

impl Config {
    fn spec(mut self, pretrained: Pretrained, file: &Path) -> Result<ModelSpec> {
        let name = self.architecture.clone().unwrap_or_default();
        let refused = || Error::refused(file, "architecture", KNOWN, format_args!("`{name}`"));
        let mut architecture = Architecture::named(&name).ok_or_else(refused)?;
        match &mut architecture {
            Architecture::ResNet(resnet) => self.change_resnet(resnet, file)?,
            Architecture::Vgg(vgg) => self.change_vgg(vgg, file)?,
        }
        let usual = Usual::of(&architecture);
        let args = self.model_args.take().map(|args| args.0).unwrap_or_default();
        let channels = args.in_chans;
        let preprocessing = Preprocessing {
            order: order(self.channel_order.as_deref(), file)?,
            ..pretrained.preprocessing(&usual, channels, file)?
        };
        let counted = counted_classes(self.num_classes, args.num_classes, file)?;
        let counted = counted.or(pretrained.num_classes);
        let tells_channels = channels.is_some() || pretrained.tells_channels();
        let listed = self.label_names.take().or(pretrained.label_names).or(pretrained.labels);
        let tells_classes = counted.is_some() || listed.is_some() || self.id2label.is_some();
        let told = Told { classes: tells_classes, channels: tells_channels };
        let labels = listed_labels(listed, self.id2label, counted, file)?;
        let spec = assemble(name, &architecture, Naming::Torch, preprocessing, labels, file)?;
        Ok(ModelSpec { told, ..spec })
    }

    fn change_resnet(&self, resnet: &mut ResNet, file: &Path) -> Result<()> {
        refuse_unused(self.hidden_width.is_some(), "hidden_width", file)?;
        if let Some(v1) = self.stride_in_1x1 {
            if v1 && resnet.block == Block::Basic {
                let expected = "false: this architecture has no bottlenecks";
                return Err(Error::refused(file, "stride_in_1x1", expected, v1));
            }
            resnet.stride_in_1x1 = v1;
        }
        let depths = resnet.stages.iter().map(|stage| stage.depth).collect();
        let inner = resnet.stages.iter().map(|stage| stage.inner).collect();
        let (depths, inner) = self.stages(depths, inner, file)?;
        if resnet.shortcut == Shortcut::Copy && !inner.is_sorted() {
            let expected = "rising: the shortcuts of this architecture only add channels";
            return Err(Error::refused(file, "widths", expected, format_args!("{inner:?}")));
        }
        if self.widths.is_some() {
            resnet.stem_width = inner[0];
        }
        if self.stem_width.is_some() {
            resnet.stem_width = size(file, "stem_width", self.stem_width, HIDDEN_MAX)?;
        }
        if resnet.shortcut == Shortcut::Copy && resnet.stem_width > inner[0] {
            let expected = format!("1 to {}, the first of `widths`", inner[0]);
            return Err(Error::refused(file, "stem_width", expected, resnet.stem_width));
        }
        resnet.stages = stages(&depths, &inner, resnet.block);
        Ok(())
    }

    fn change_vgg(&self, vgg: &mut Vgg, file: &Path) -> Result<()> {
        refuse_unused(self.stem_width.is_some(), "stem_width", file)?;
        refuse_unused(self.stride_in_1x1 == Some(true), "stride_in_1x1", file)?;
        (vgg.depths, vgg.widths) = self.stages(vgg.depths.clone(), vgg.widths.clone(), file)?;
        if self.hidden_width.is_some() {
            vgg.hidden_width = size(file, "hidden_width", self.hidden_width, HIDDEN_MAX)?;
        }
        Ok(())
    }

    /// `depths` and `widths`, or else those of the architecture.
    fn stages(
        &self,
        depths: Vec<usize>,
        widths: Vec<usize>,
        file: &Path,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let given = |key, list: &Option<Few<i64, STAGES_MAX>>, max, usual| match list {
            Some(list) => sizes(file, key, &list.0, max),
            None => Ok(usual),
        };
        let depths = given("depths", &self.depths, LAYERS_MAX, depths)?;
        // A bottleneck writes four times as many.
        let widths = given("widths", &self.widths, HIDDEN_MAX / 4, widths)?;
        check_stages(&depths, &widths, "widths", file)?;
        Ok((depths, widths))
    }
}

/// A key that means nothing here would be passed over in silence.
fn refuse_unused(is_given: bool, key: &str, file: &Path) -> Result<()> {
    match is_given {
        true => Err(Error::refused(file, key, "left out for this architecture", "it")),
        false => Ok(()),
    }
}
