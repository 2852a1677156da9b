//! Hugging Face's `preprocessor_config.json`: what the image processors of transformers do.
//!
//! Each processor has its own arithmetic and its own defaults, which are those of transformers 5.
//! A file that names none is read as transformers does for the model: by ConvNext's for a ResNet,
//! by that of its own name for a vision transformer. So is one without a file.

use std::fmt;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::disk::{is_there, read_whole};
use crate::error::{Error, Result};
use crate::folder::{CONFIG_BYTES_MAX, PREPROCESSOR_FILE};
use crate::image::assemble::check_map;
use crate::image::hugging_face::MODEL_TYPE;
use crate::image::preprocessing::{crop_share, enlarged, scale, sides};
use crate::image::vit::MODEL_TYPES;
use crate::json::{self, Few};
use crate::keys;
use crate::model::{Input, Interpolation, Middle, ModelSpec, Preprocessing, Resize};

/// From this shortest edge on, ConvNext's processor squashes a picture and crops nothing.
const SQUASHED_FROM: usize = 384;
/// Pixels become numbers up to 1 by this, and so they do here before means are taken off.
const BYTE_MAX: f64 = 255.0;

/// The keys that are read; [`keys::images::PREPROCESSOR`] lists those that are not followed.
#[derive(Default, Deserialize)]
struct Preprocessor {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    crop_pct: Option<f64>,
    resample: Option<i64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<PerChannel>,
    image_std: Option<PerChannel>,
}

/// An image processor: how it comes to one size, and what it does where the file is silent.
struct Processor {
    names: &'static [&'static str],
    way: Way,
    size: Size,
    resample: i64,
    mean: [f64; 3],
    std: [f64; 3],
}

/// How a processor comes to one size.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// A shortest edge and a share of it; squashed where the edge is long.
    Share,
    /// To a height and a width.
    Exact,
    /// By `size`, then a crop of `crop_size`.
    Crop,
}

const HALF: [f64; 3] = [0.5; 3];
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The crop of those that crop.
const CROP: Size = Size::Both { height: CROP_SIDE, width: CROP_SIDE };
const CROP_SIDE: i64 = 224;

/// The first is taken where neither the file nor the model names one.
const PROCESSORS: [Processor; 5] = [
    Processor {
        names: &["ConvNext"],
        way: Way::Share,
        size: Size::Shortest(384),
        resample: 3,
        mean: HALF,
        std: HALF,
    },
    Processor { names: &["ViT"], way: Way::Exact, size: CROP, resample: 2, mean: HALF, std: HALF },
    Processor {
        names: &["Bit", "CLIP"],
        way: Way::Crop,
        size: Size::Shortest(224),
        resample: 3,
        mean: CLIP_MEAN,
        std: CLIP_STD,
    },
    Processor {
        names: &["DeiT"],
        way: Way::Crop,
        size: Size::Both { height: 256, width: 256 },
        resample: 3,
        mean: HALF,
        std: HALF,
    },
    Processor {
        names: &["MobileNetV1", "MobileNetV2"],
        way: Way::Crop,
        size: Size::Shortest(256),
        resample: 2,
        mean: HALF,
        std: HALF,
    },
];

/// Takes the `preprocessor_config.json` in `dir` into account, where `spec` is from a Hugging Face
/// configuration. Without one a ResNet's pictures stay as they are, and a vision transformer's are
/// read as its processor does by itself.
pub(crate) fn read_preprocessor(spec: &mut ModelSpec, dir: &Path) -> Result<()> {
    let file = dir.join(PREPROCESSOR_FILE);
    let Input::Pixels(input) = &mut spec.input else { return Ok(()) };
    let is_transformer = MODEL_TYPES.contains(&spec.name.as_str());
    let is_told = is_transformer || spec.name == MODEL_TYPE;
    let found = match is_there(&file) {
        true if is_told => read(&file)?,
        false if is_transformer => Preprocessor::by_itself(input, &spec.name, &file)?,
        _ => return Ok(()),
    };
    found.change(input, &spec.name, &file)?;
    check_map(spec, "size", &file)
}

fn read(file: &Path) -> Result<Preprocessor> {
    let content = read_whole(file, CONFIG_BYTES_MAX)?;
    let found = json::parse(&content, file)?;
    keys::check(&content, &[keys::images::PREPROCESSOR], file)?;
    Ok(found)
}

impl Preprocessor {
    /// Of a vision transformer without a file. ViT's processor only comes to one size, which can
    /// be no other than the network's; how much DeiT's cuts off is known for its own size alone.
    fn by_itself(input: &Preprocessing, model_type: &str, file: &Path) -> Result<Self> {
        let side = input.height as i64;
        let way = own_processor(model_type).map(|own| own.way);
        if way == Some(Way::Exact) {
            let size = Some(Size::Both { height: side, width: side });
            return Ok(Self { size, ..Self::default() });
        }
        if side == CROP_SIDE {
            return Ok(Self::default());
        }
        let expected = format!("told where `image_size` is {side}");
        Err(Error::refused(file, "size", expected, "no such file"))
    }

    fn change(&self, to: &mut Preprocessing, model_type: &str, file: &Path) -> Result<()> {
        let processor = self.processor(model_type, file)?;
        self.change_size(&processor, to, file)?;
        to.middle = Middle::Down;
        to.interpolation = resample(self.resample.unwrap_or(processor.resample), file)?;
        self.change_scale(&processor, to, file)
    }

    /// The processor by its name, or that of the model, or as the keys tell where there is none.
    fn processor(&self, model_type: &str, file: &Path) -> Result<Processor> {
        let [usual, ..] = PROCESSORS;
        let named = [
            ("image_processor_type", &self.image_processor_type),
            ("feature_extractor_type", &self.feature_extractor_type),
        ];
        let named = named.into_iter().find_map(|(key, name)| Some((key, name.as_deref()?)));
        let Some((key, name)) = named else {
            if let Some(own) = own_processor(model_type) {
                return Ok(own);
            }
            let way = match (self.size, self.crop_size) {
                (_, Some(_)) if self.do_center_crop != Some(false) => Way::Crop,
                (Some(Size::Both { .. }), _) => Way::Exact,
                _ => Way::Share,
            };
            return Ok(Processor { way, ..usual });
        };
        let stem = ["Fast", "Pil"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let stem =
            ["ImageProcessor", "FeatureExtractor"].iter().find_map(|end| stem.strip_suffix(end));
        let known =
            |processor: &Processor| stem.is_some_and(|stem| processor.names.contains(&stem));
        PROCESSORS.into_iter().find(known).ok_or_else(|| {
            let expected = "ConvNextImageProcessor, or that of ViT, Bit, CLIP, DeiT, MobileNetV1 \
                            or MobileNetV2";
            Error::refused(file, key, expected, format_args!("`{name}`"))
        })
    }

    fn change_size(&self, by: &Processor, to: &mut Preprocessing, file: &Path) -> Result<()> {
        let size = self.size.unwrap_or(by.size);
        if self.do_resize == Some(false) && by.way != Way::Crop {
            let expected = "true: every picture becomes an input of one size";
            return Err(Error::refused(file, "do_resize", expected, false));
        }
        match by.way {
            Way::Share => self.change_by_share(size, to, file),
            Way::Exact => {
                (to.height, to.width) = size.both(file)?;
                to.resize = Resize::Squash { height: to.height, width: to.width };
                self.refuse_crop(file)
            }
            Way::Crop => self.change_by_crop(size, to, file),
        }
    }

    fn change_by_share(&self, size: Size, to: &mut Preprocessing, file: &Path) -> Result<()> {
        let (Size::Number(edge) | Size::Shortest(edge)) = size else {
            let expected = "an object with shortest_edge, for this processor";
            return Err(Error::refused(file, "size", expected, "height and width"));
        };
        let (side, _) = sides("size", edge, edge, file)?;
        let share = self.crop_pct.map_or(Ok(0.875), |share| crop_share(share, file))?;
        (to.height, to.width) = (side, side);
        to.resize = match side >= SQUASHED_FROM {
            true => Resize::Squash { height: side, width: side },
            false => Resize::Shorter { side: enlarged(side, share) },
        };
        self.refuse_crop(file)
    }

    /// Where versions of transformers differ: older ones do not look at it.
    fn refuse_crop(&self, file: &Path) -> Result<()> {
        match self.do_center_crop {
            Some(true) => {
                let expected = "false or left out for this processor";
                Err(Error::refused(file, "do_center_crop", expected, true))
            }
            _ => Ok(()),
        }
    }

    fn change_by_crop(&self, size: Size, to: &mut Preprocessing, file: &Path) -> Result<()> {
        let is_resized = self.do_resize != Some(false);
        let is_cropped = self.do_center_crop != Some(false);
        to.resize = match size {
            _ if !is_resized => Resize::Not,
            Size::Number(edge) | Size::Shortest(edge) => {
                Resize::Shorter { side: sides("size", edge, edge, file)?.0 }
            }
            Size::Both { height, width } => {
                let (height, width) = sides("size", height, width, file)?;
                Resize::Squash { height, width }
            }
        };
        (to.height, to.width) = match (is_cropped, to.resize) {
            (true, _) => self.crop_size.unwrap_or(CROP).square("crop_size", file)?,
            (false, Resize::Squash { height, width }) => (height, width),
            (false, _) => {
                let expected = "true: every picture becomes an input of one size";
                return Err(Error::refused(file, "do_center_crop", expected, false));
            }
        };
        Ok(())
    }

    /// `(pixel * factor - mean) / std`, said of `pixel / 255`.
    fn change_scale(&self, by: &Processor, to: &mut Preprocessing, file: &Path) -> Result<()> {
        let count = to.channels;
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / BYTE_MAX),
        };
        // A NaN is in no range.
        if !(1e-9..=1e9).contains(&factor) {
            let expected = "a number above 0, such as 1/255";
            return Err(Error::refused(file, "rescale_factor", expected, factor));
        }
        let whole = BYTE_MAX * factor;
        if self.do_normalize == Some(false) {
            (to.mean, to.std) = (vec![0.0; count], vec![(1.0 / whole) as f32; count]);
            return Ok(());
        }
        let all = |given: &Option<PerChannel>, usual: [f64; 3]| {
            let values = match given {
                Some(PerChannel::All(value)) => vec![*value; count],
                Some(PerChannel::Each(values)) => values.clone(),
                None => usual[..count].to_vec(),
            };
            Few(values.into_iter().map(|value| value / whole).collect())
        };
        let (mean, std) = (all(&self.image_mean, by.mean), all(&self.image_std, by.std));
        scale(to, ["image_mean", "image_std"], [Some(&mean), Some(&std)], file)
    }
}

/// The processor that has a model's name.
fn own_processor(model_type: &str) -> Option<Processor> {
    let is_own = |name: &str| name.eq_ignore_ascii_case(model_type);
    PROCESSORS.into_iter().find(|processor| processor.names.iter().any(|name| is_own(name)))
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

/// A side, or an object that tells it.
#[derive(Clone, Copy)]
enum Size {
    /// A number alone: what it means is the processor's to say.
    Number(i64),
    Shortest(i64),
    Both {
        height: i64,
        width: i64,
    },
}

impl Size {
    /// A shortest edge alone counts as both sides, as where transformers makes a number square.
    fn square(self, key: &str, file: &Path) -> Result<(usize, usize)> {
        match self {
            Self::Number(side) | Self::Shortest(side) => sides(key, side, side, file),
            Self::Both { height, width } => sides(key, height, width, file),
        }
    }

    /// Of a processor that makes all pictures of one size.
    fn both(self, file: &Path) -> Result<(usize, usize)> {
        if let Self::Shortest(side) = self {
            let expected = "height and width: a shortest edge leaves pictures of several sizes";
            let found = format_args!("shortest_edge {side}");
            return Err(Error::refused(file, "size", expected, found));
        }
        self.square("size", file)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

const SIZES: &str = "a number, or an object with shortest_edge, or with height and width";

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SIZES)
    }

    fn visit_u64<E: serde::de::Error>(self, side: u64) -> Result<Size, E> {
        Ok(Size::Number(i64::try_from(side).unwrap_or(i64::MAX)))
    }

    fn visit_i64<E: serde::de::Error>(self, side: i64) -> Result<Size, E> {
        Ok(Size::Number(side))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Size, A::Error> {
        #[derive(Deserialize)]
        struct Sides {
            shortest_edge: Option<i64>,
            longest_edge: Option<i64>,
            height: Option<i64>,
            width: Option<i64>,
        }
        match Sides::deserialize(MapAccessDeserializer::new(map))? {
            Sides { longest_edge: Some(_), .. } => {
                Err(A::Error::custom("a size with longest_edge leaves pictures of several sizes"))
            }
            Sides { shortest_edge: Some(side), .. } => Ok(Size::Shortest(side)),
            Sides { height: Some(height), width: Some(width), .. } => {
                Ok(Size::Both { height, width })
            }
            _ => Err(A::Error::custom("a size has shortest_edge, or height and width")),
        }
    }
}

/// One number for all channels, or one for each.
enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PerChannelVisitor)
    }
}

struct PerChannelVisitor;

impl<'de> Visitor<'de> for PerChannelVisitor {
    type Value = PerChannel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a list with one for each channel")
    }

    fn visit_u64<E>(self, value: u64) -> Result<PerChannel, E> {
        Ok(PerChannel::All(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<PerChannel, E> {
        Ok(PerChannel::All(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<PerChannel, E> {
        Ok(PerChannel::All(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PerChannel, A::Error> {
        let mut values = Vec::with_capacity(3);
        while let Some(value) = list.next_element()? {
            if values.len() == 3 {
                return Err(A::Error::invalid_length(4, &self));
            }
            values.push(value);
        }
        Ok(PerChannel::Each(values))
    }
}
