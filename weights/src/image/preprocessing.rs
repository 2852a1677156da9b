//! How a picture becomes an input: timm's `pretrained_cfg`, and what is usual where it does not
//! tell.
//!
//! The keys are listed at [`image`](super).

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::architecture::{Architecture, Stem};
use crate::json::Few;
use crate::model::{ChannelOrder, Interpolation, Middle, Preprocessing, Resize};
use crate::spec::ListedLabels;

/// Largest side of an input, pixels.
pub const SIDE_MAX: usize = 4_096;

/// Of ImageNet's pictures, red, green and blue.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Their means, for grey.
const GREY_MEAN: f32 = 0.449;
const GREY_STD: f32 = 0.226;

/// What is usual for an architecture.
#[derive(Clone, Copy)]
pub(super) struct Usual {
    pub(super) side: usize,
    pub(super) crop_share: f64,
    /// As timm takes it.
    interpolation: Interpolation,
}

impl Usual {
    pub(super) const IMAGENET: Self =
        Self { side: 224, crop_share: 0.875, interpolation: Interpolation::Bicubic };
    const CIFAR: Self = Self { side: 32, crop_share: 1.0, interpolation: Interpolation::Bilinear };

    /// Of transformers, which read pictures of `side`: from 384 on, timm crops nothing.
    pub(super) fn of_transformer(side: usize) -> Self {
        let crop_share = if side < 384 { 0.9 } else { 1.0 };
        Self { side, crop_share, ..Self::IMAGENET }
    }

    pub(super) fn of(architecture: &Architecture) -> Self {
        match architecture {
            Architecture::ResNet(resnet) if resnet.stem == Stem::Three => Self::CIFAR,
            _ => Self::IMAGENET,
        }
    }

    /// Nothing but what is usual, for pictures of `channels`.
    pub(super) fn preprocessing(&self, channels: usize) -> Preprocessing {
        let (mean, std) = usual_scale(channels);
        Preprocessing {
            height: self.side,
            width: self.side,
            channels,
            order: ChannelOrder::Rgb,
            resize: Resize::Shorter { side: enlarged(self.side, self.crop_share) },
            middle: Middle::Even,
            interpolation: Interpolation::Bilinear,
            mean,
            std,
        }
    }
}

/// The side of which a crop of `side` keeps this share, as Python's `int(side / share)`.
pub(super) fn enlarged(side: usize, share: f64) -> usize {
    (side as f64 / share) as usize
}

/// Mean and standard deviation that are usual for `channels`.
fn usual_scale(channels: usize) -> (Vec<f32>, Vec<f32>) {
    match channels {
        1 => (vec![GREY_MEAN], vec![GREY_STD]),
        _ => (MEAN.to_vec(), STD.to_vec()),
    }
}

/// Grey instead of colour or the reverse; `None` for inputs that are neither. Colours of one mean
/// and deviation leave grey both, others the usual ones.
pub(super) fn refit(input: &Preprocessing, channels: usize) -> Option<Preprocessing> {
    if channels == input.channels {
        return Some(input.clone());
    }
    let (mean, std) = match (shared(&input.mean), shared(&input.std)) {
        (Some(mean), Some(std)) => (vec![mean; channels], vec![std; channels]),
        _ => usual_scale(channels),
    };
    matches!(channels, 1 | 3).then(|| Preprocessing { channels, mean, std, ..input.clone() })
}

/// The value of all of several channels.
fn shared(values: &[f32]) -> Option<f32> {
    let first = *values.first()?;
    (values.len() > 1 && values.iter().all(|value| *value == first)).then_some(first)
}

/// timm's `pretrained_cfg`.
#[derive(Default, Deserialize)]
pub(super) struct Pretrained {
    input_size: Option<[i64; 3]>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    interpolation: Option<String>,
    mean: Option<Few<f64, 3>>,
    std: Option<Few<f64, 3>>,
    pub(super) num_classes: Option<i64>,
    pub(super) label_names: Option<ListedLabels>,
    /// The older word for those.
    pub(super) labels: Option<ListedLabels>,
}

impl Pretrained {
    /// Whether a key tells how many channels an input has.
    pub(super) fn tells_channels(&self) -> bool {
        self.input_size.is_some() || self.mean.is_some() || self.std.is_some()
    }

    /// Whether a key tells mean or deviation.
    pub(super) fn tells_scale(&self) -> bool {
        self.mean.is_some() || self.std.is_some()
    }

    /// The labels, by either word.
    pub(super) fn take_labels(&mut self) -> Option<ListedLabels> {
        self.label_names.take().or(self.labels.take())
    }

    /// The input by these keys; `channels` is the network's own word for theirs.
    pub(super) fn preprocessing(
        &self,
        usual: &Usual,
        channels: Option<i64>,
        file: &Path,
    ) -> Result<Preprocessing> {
        let channels = match (channels, self.input_size, &self.mean) {
            (Some(channels), ..) => check_channels("model_args.in_chans", channels, file)?,
            (_, Some([channels, ..]), _) => check_channels("input_size", channels, file)?,
            (_, None, Some(mean)) => check_channels("mean", mean.0.len() as i64, file)?,
            (_, None, None) => 3,
        };
        let mut found = usual.preprocessing(channels);
        if let Some([_, height, width]) = self.input_size {
            (found.height, found.width) = sides("input_size", height, width, file)?;
        }
        let share = self.crop_pct.map(|share| crop_share(share, file)).transpose()?;
        found.resize = self.resize(&found, share.unwrap_or(usual.crop_share), file)?;
        let name = self.interpolation.as_deref();
        found.interpolation = name.map_or(Ok(usual.interpolation), |n| interpolation(n, file))?;
        scale(&mut found, ["mean", "std"], [self.mean.as_ref(), self.std.as_ref()], file)?;
        Ok(found)
    }

    fn resize(&self, to: &Preprocessing, share: f64, file: &Path) -> Result<Resize> {
        let [height, width] = [to.height, to.width].map(|side| enlarged(side, share));
        match self.crop_mode.as_deref() {
            None | Some("center") if height == width => Ok(Resize::Shorter { side: height }),
            None | Some("center") => Ok(Resize::Cover { height, width }),
            Some("squash") => Ok(Resize::Squash { height, width }),
            Some(mode) => {
                let found = format_args!("`{mode}`");
                Err(Error::refused(file, "crop_mode", "`center` or `squash`", found))
            }
        }
    }
}

/// 1 or 3.
pub(super) fn check_channels(key: &str, channels: i64, file: &Path) -> Result<usize> {
    match channels {
        1 => Ok(1),
        3 => Ok(3),
        other => {
            let found = format!("{other} channels");
            Err(Error::refused(file, key, "of 1 channel or 3", found))
        }
    }
}

pub(super) fn sides(key: &str, height: i64, width: i64, file: &Path) -> Result<(usize, usize)> {
    let side = |pixels: i64| {
        let fits = usize::try_from(pixels).ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let expected = format!("1 to {SIDE_MAX} pixels high and wide");
        fits.ok_or_else(|| Error::refused(file, key, expected, pixels))
    };
    Ok((side(height)?, side(width)?))
}

pub(super) fn crop_share(share: f64, file: &Path) -> Result<f64> {
    // Below this a picture would be enlarged a hundredfold. A NaN is in no range.
    match (0.01..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(Error::refused(file, "crop_pct", "0.01 to 1", share)),
    }
}

fn interpolation(name: &str, file: &Path) -> Result<Interpolation> {
    let all = [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic];
    all.into_iter().find(|known| known.to_string() == name).ok_or_else(|| {
        let expected = "nearest, bilinear or bicubic";
        Error::refused(file, "interpolation", expected, format_args!("`{name}`"))
    })
}

/// Sets mean and deviation where they are given: of levels from 0 to 1. A mean that is told for
/// levels from 0 to 255, a usual slip, is refused.
pub(super) fn scale(
    to: &mut Preprocessing,
    [mean_key, std_key]: [&str; 2],
    [mean, std]: [Option<&Few<f64, 3>>; 2],
    file: &Path,
) -> Result<()> {
    let count = to.channels;
    let values = |key, list: &[f64], fits: fn(f32) -> bool, range: &str| {
        let values: Vec<f32> = list.iter().map(|value| *value as f32).collect();
        if values.len() != count {
            let expected = format!("one value per channel, {count}");
            return Err(Error::refused(file, key, expected, values.len()));
        }
        match values.iter().find(|value| !fits(**value)) {
            None => Ok(values),
            Some(bad) => Err(Error::refused(file, key, range, bad)),
        }
    };
    if let Some(mean) = mean {
        let range = "from 0 to 1, as levels are";
        to.mean = values(mean_key, &mean.0, |mean| (0.0..=1.0).contains(&mean), range)?;
    }
    if let Some(std) = std {
        let range = "finite, above 0";
        to.std = values(std_key, &std.0, |std| std.is_finite() && std > 0.0, range)?;
    }
    Ok(())
}

/// The order of channels, by our key `channel_order`.
pub(super) fn order(name: Option<&str>, file: &Path) -> Result<ChannelOrder> {
    match name {
        None | Some("rgb") => Ok(ChannelOrder::Rgb),
        Some("bgr") => Ok(ChannelOrder::Bgr),
        Some(other) => {
            let found = format_args!("`{other}`");
            Err(Error::refused(file, "channel_order", "rgb or bgr", found))
        }
    }
}
