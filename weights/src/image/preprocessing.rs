//! How a picture becomes an input: timm's `pretrained_cfg`, Hugging Face's
//! `preprocessor_config.json`, and what is usual where neither tells.
//!
//! The keys are listed at [`image`](super).

use std::fmt;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::disk::read_whole;
use crate::error::{Error, Result};
use crate::image::architecture::Stem;
use crate::image::config::{MODEL_TYPE, check_map};
use crate::image::{ChannelOrder, ImageSpec, Interpolation, Preprocessing};
use crate::json::{self, Few};
use crate::spec::CONFIG_BYTES_MAX;

/// The file beside `config.json` that Hugging Face writes.
pub const PREPROCESSOR_FILE: &str = "preprocessor_config.json";
/// Largest side of an input, pixels.
pub const SIDE_MAX: usize = 4_096;

/// Of ImageNet's pictures, red, green and blue.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Their means, for grey.
const GREY_MEAN: f32 = 0.449;
const GREY_STD: f32 = 0.226;

/// What is usual for an architecture.
pub(super) struct Usual {
    side: usize,
    crop_share: f32,
}

impl Usual {
    pub(super) const IMAGENET: Self = Self { side: 224, crop_share: 0.875 };
    const CIFAR: Self = Self { side: 32, crop_share: 1.0 };

    pub(super) fn of(stem: Stem) -> Self {
        match stem {
            Stem::Seven => Self::IMAGENET,
            Stem::Three => Self::CIFAR,
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
            crop_share: self.crop_share,
            interpolation: Interpolation::Bilinear,
            mean,
            std,
        }
    }
}

/// Mean and standard deviation that are usual for `channels`.
fn usual_scale(channels: usize) -> (Vec<f32>, Vec<f32>) {
    match channels {
        1 => (vec![GREY_MEAN], vec![GREY_STD]),
        _ => (MEAN.to_vec(), STD.to_vec()),
    }
}

impl Preprocessing {
    /// Grey instead of colour or the reverse, when mean and deviation are the usual ones; `None`
    /// when somebody gave them, and so the number of channels.
    pub(super) fn refit(&self, channels: usize) -> Option<Self> {
        let is_usual = (self.mean.clone(), self.std.clone()) == usual_scale(self.channels);
        if channels == self.channels {
            return Some(self.clone());
        }
        let (mean, std) = usual_scale(channels);
        let fits = is_usual && matches!(channels, 1 | 3);
        fits.then(|| Self { channels, mean, std, ..self.clone() })
    }
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
}

impl Pretrained {
    pub(super) fn preprocessing(&self, usual: &Usual, file: &Path) -> Result<Preprocessing> {
        if let Some(mode) = self.crop_mode.as_deref().filter(|mode| *mode != "center") {
            return Err(Error::refused(file, "crop_mode", "`center`", format_args!("`{mode}`")));
        }
        let channels = match (self.input_size, &self.mean) {
            (Some([channels, ..]), _) => check_channels("input_size", channels, file)?,
            (None, Some(mean)) => check_channels("mean", mean.0.len() as i64, file)?,
            (None, None) => 3,
        };
        let mut found = usual.preprocessing(channels);
        if let Some([_, height, width]) = self.input_size {
            (found.height, found.width) = sides("input_size", height, width, file)?;
        }
        if let Some(share) = self.crop_pct {
            found.crop_share = crop_share(share, file)?;
        }
        if let Some(name) = &self.interpolation {
            found.interpolation = interpolation(name, file)?;
        }
        scale(&mut found, ["mean", "std"], [&self.mean, &self.std], file)?;
        Ok(found)
    }
}

fn check_channels(key: &str, channels: i64, file: &Path) -> Result<usize> {
    match channels {
        1 => Ok(1),
        3 => Ok(3),
        other => {
            let found = format!("{other} channels");
            Err(Error::refused(file, key, "of 1 channel or 3", found))
        }
    }
}

fn sides(key: &str, height: i64, width: i64, file: &Path) -> Result<(usize, usize)> {
    let side = |pixels: i64| {
        let fits = usize::try_from(pixels).ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let expected = format!("1 to {SIDE_MAX} pixels high and wide");
        fits.ok_or_else(|| Error::refused(file, key, expected, pixels))
    };
    Ok((side(height)?, side(width)?))
}

fn crop_share(share: f64, file: &Path) -> Result<f32> {
    // Below this a picture would be enlarged a hundredfold. A NaN is in no range.
    match (0.01..=1.0).contains(&share) {
        true => Ok(share as f32),
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

/// Sets mean and deviation where they are given.
fn scale(
    to: &mut Preprocessing,
    [mean_key, std_key]: [&str; 2],
    [mean, std]: [&Option<Few<f64, 3>>; 2],
    file: &Path,
) -> Result<()> {
    let count = to.channels;
    let values = |key, list: &[f64], min: f32| {
        let values: Vec<f32> = list.iter().map(|value| *value as f32).collect();
        if values.len() != count {
            let expected = format!("one value per channel, {count}");
            return Err(Error::refused(file, key, expected, values.len()));
        }
        match values.iter().find(|value| !(value.is_finite() && **value > min)) {
            None => Ok(values),
            Some(bad) => Err(Error::refused(file, key, format!("finite, above {min}"), bad)),
        }
    };
    if let Some(mean) = mean {
        to.mean = values(mean_key, &mean.0, f32::MIN)?;
    }
    if let Some(std) = std {
        to.std = values(std_key, &std.0, 0.0)?;
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

/// Hugging Face's `preprocessor_config.json`.
#[derive(Deserialize)]
struct Preprocessor {
    size: Option<Size>,
    crop_size: Option<Size>,
    do_center_crop: Option<bool>,
    crop_pct: Option<f64>,
    resample: Option<i64>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<Few<f64, 3>>,
    image_std: Option<Few<f64, 3>>,
}

/// A side, or an object that tells it.
#[derive(Clone, Copy)]
enum Size {
    Shortest(i64),
    Both { height: i64, width: i64 },
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or an object with shortest_edge, or with height and width")
    }

    fn visit_u64<E: serde::de::Error>(self, side: u64) -> Result<Size, E> {
        Ok(Size::Shortest(i64::try_from(side).unwrap_or(i64::MAX)))
    }

    fn visit_i64<E: serde::de::Error>(self, side: i64) -> Result<Size, E> {
        Ok(Size::Shortest(side))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Size, A::Error> {
        #[derive(Deserialize)]
        struct Sides {
            shortest_edge: Option<i64>,
            height: Option<i64>,
            width: Option<i64>,
        }
        match Sides::deserialize(MapAccessDeserializer::new(map))? {
            Sides { shortest_edge: Some(side), .. } => Ok(Size::Shortest(side)),
            Sides { height: Some(height), width: Some(width), .. } => {
                Ok(Size::Both { height, width })
            }
            _ => Err(A::Error::custom("a size has shortest_edge, or height and width")),
        }
    }
}

impl Size {
    fn sides(self) -> (i64, i64) {
        match self {
            Self::Shortest(side) => (side, side),
            Self::Both { height, width } => (height, width),
        }
    }
}

/// Takes the `preprocessor_config.json` in `dir` into account where there is one, and `spec` is
/// from a Hugging Face configuration.
pub(crate) fn read_preprocessor(spec: &mut ImageSpec, dir: &Path) -> Result<()> {
    let file = dir.join(PREPROCESSOR_FILE);
    if spec.architecture != MODEL_TYPE || !file.exists() {
        return Ok(());
    }
    let found: Preprocessor = json::parse(&read_whole(&file, CONFIG_BYTES_MAX)?, &file)?;
    found.change(&mut spec.preprocessing, &file)?;
    check_map(spec, "size", &file)
}

impl Preprocessor {
    fn change(&self, to: &mut Preprocessing, file: &Path) -> Result<()> {
        if self.do_rescale == Some(false) {
            return Err(Error::refused(file, "do_rescale", "true", false));
        }
        let crop = self.crop_size.filter(|_| self.do_center_crop != Some(false));
        if let Some((height, width)) = crop.or(self.size).map(Size::sides) {
            (to.height, to.width) = sides("size", height, width, file)?;
        }
        match (crop, self.size.map(Size::sides), self.crop_pct) {
            (Some(crop), Some((resized, _)), _) => {
                to.crop_share = crop_share(crop.sides().0 as f64 / resized as f64, file)?;
            }
            (_, _, Some(share)) => to.crop_share = crop_share(share, file)?,
            (_, Some(_), None) => to.crop_share = usual_share(self.size),
            (_, None, None) => {}
        }
        if let Some(number) = self.resample {
            to.interpolation = resample(number, file)?;
        }
        if self.do_normalize == Some(false) {
            (to.mean, to.std) = (vec![0.0; to.channels], vec![1.0; to.channels]);
            return Ok(());
        }
        let keys = ["image_mean", "image_std"];
        scale(to, keys, [&self.image_mean, &self.image_std], file)
    }
}

/// Sizes of both sides are exact; a shortest edge is cropped unless it is large.
fn usual_share(size: Option<Size>) -> f32 {
    match size {
        Some(Size::Shortest(side)) if side < 384 => 0.875,
        _ => 1.0,
    }
}

/// By the numbers of Pillow.
fn resample(number: i64, file: &Path) -> Result<Interpolation> {
    match number {
        0 => Ok(Interpolation::Nearest),
        2 => Ok(Interpolation::Bilinear),
        3 => Ok(Interpolation::Bicubic),
        _ => {
            let expected = "0 (nearest), 2 (bilinear) or 3 (bicubic)";
            Err(Error::refused(file, "resample", expected, number))
        }
    }
}
