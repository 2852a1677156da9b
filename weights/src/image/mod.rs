//! Networks over images: ResNet and VGG as one list of steps, cut where ramps may stand.
//!
//! A step names the tensors it needs, so names, shapes and structure come from one place. The
//! engine walks the list; it knows no family.
//!
//! Two dialects are read. With `"model_type": "resnet"` it is Hugging Face's ResNet, with
//! the keys of `ResNetConfig`. With `architecture` and no `model_type` it is timm's:
//!
//! | key              | meaning                                       | when it is not there     |
//! |------------------|-----------------------------------------------|--------------------------|
//! | `architecture`   | `resnet50`, `resnet20` (CIFAR), `vgg16_bn`    | required                 |
//! | `num_classes`    | classes                                       | as the labels, or 1000   |
//! | `label_names`    | a list of names                               | `LABEL_0`, `LABEL_1` ... |
//! | `id2label`       | the names as Hugging Face writes them         |                          |
//! | `pretrained_cfg` | how a picture becomes an input, see below     | as ImageNet, or as CIFAR |
//!
//! and of our own:
//!
//! | key             | meaning                                                                   |
//! |-----------------|---------------------------------------------------------------------------|
//! | `stride_in_1x1` | true: a bottleneck's stride is in its first convolution (v1), not the 3x3 |
//! | `channel_order` | `"bgr"`: the network reads blue first; `"rgb"` otherwise                  |
//! | `depths`        | blocks of each stage (VGG: convolutions before each pool)                 |
//! | `widths`        | channels of each stage; the inner ones of bottlenecks                     |
//! | `stem_width`    | channels behind a ResNet's first convolution; the first of `widths`       |
//! | `hidden_width`  | channels of VGG's two hidden linear layers                                |
//!
//! How a picture becomes an input is in `pretrained_cfg`, or flat beside `architecture` where there
//! is no such object, as older versions of timm wrote it; for Hugging Face's networks it is in the
//! `preprocessor_config.json` beside `config.json`:
//!
//! | `pretrained_cfg` | without it                    | `preprocessor_config.json`             |
//! |------------------|-------------------------------|----------------------------------------|
//! | `input_size`     | 3x224x224 (CIFAR's 3x32x32)   | `crop_size`, or `size`                 |
//! | `crop_pct`       | 0.875 (1)                     | `crop_pct`, or `crop_size` and `size`  |
//! | `crop_mode`      | `center`; `squash`            | by `image_processor_type`              |
//! | `interpolation`  | bicubic, as timm (bilinear)   | `resample`, by Pillow's number         |
//! | `mean`, `std`    | ImageNet's; grey 0.449, 0.226 | `image_mean`, `image_std`, `do_normalize` |
//! |                  |                               | `do_rescale`, `rescale_factor`         |
//!
//! Where a `config.json` says nothing of pictures, they are resized by the bilinear filter, as
//! torchvision's weights ask for. `num_classes` and `in_chans` may also stand in `model_args`.
//!
//! Every picture becomes an input of one size. The processors of Hugging Face that are followed,
//! each by its own arithmetic and with its own defaults, are those of ConvNext (which is also
//! ResNet's), ViT, BiT, CLIP, DeiT and MobileNet; one that leaves pictures of several sizes is
//! refused. Keys that change a network in other ways are refused by name: they are listed in
//! `keys/images.rs`.

mod architecture;
mod assemble;
mod build;
mod config;
mod convert;
mod fold;
mod hugging_face;
mod preprocessing;
mod preprocessor;
mod resolve;

use std::fmt;

use crate::spec::ScoreKeys;

pub use crate::folder::PREPROCESSOR_FILE;
pub(crate) use config::{TIMM_MODEL_TYPE, parse};
pub use convert::Conversion;
pub(crate) use hugging_face::MODEL_TYPE;
pub use preprocessing::SIDE_MAX;
pub(crate) use preprocessor::read_preprocessor;
pub use resolve::resolve_image;

/// A convolutional classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSpec {
    /// Its name in `config.json`: `resnet20`, `vgg16_bn`.
    pub architecture: String,
    /// How a picture becomes an input.
    pub preprocessing: Preprocessing,
    /// The network in segments; a ramp may stand behind each but the last.
    pub segments: Vec<NetSegment>,
    /// Steps between the last segment and the classifier.
    pub tail: Vec<Step>,
    /// The classifier, on the mean of what the tail leaves.
    pub head: ImageHead,
    /// One name per class.
    pub labels: Vec<String>,
    /// What the configuration tells of sizes.
    pub told: Told,
    /// What the configuration says of the classifier's numbers.
    pub scores: ScoreKeys,
}

/// Whether the configuration tells of a size; otherwise the weights do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How many classes there are.
    pub classes: bool,
    /// Whether inputs are grey or coloured.
    pub channels: bool,
}

impl ImageSpec {
    /// All steps in the order they run, each with the name of its segment.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        let body = self
            .segments
            .iter()
            .flat_map(|segment| segment.steps.iter().map(|step| (segment.name.as_str(), step)));
        body.chain(self.tail.iter().map(|step| ("the classifier", step)))
    }

    /// All convolutions in the order they run; a residual's path, then its shortcut.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.steps().flat_map(|(_, step)| step.convs())
    }

    /// The same, to be changed.
    fn convs_mut(&mut self) -> impl Iterator<Item = &mut Conv> {
        let body = self.segments.iter_mut().flat_map(|segment| &mut segment.steps);
        body.chain(&mut self.tail).flat_map(Step::convs_mut)
    }
}

/// Steps up to a place where one value crosses.
#[derive(Debug, Clone, PartialEq)]
pub struct NetSegment {
    /// For people: `layer1.0`, `features.4`.
    pub name: String,
    /// In the order they run.
    pub steps: Vec<Step>,
}

impl NetSegment {
    /// Channels that it ends with; 0 where it has no convolution.
    pub fn width(&self) -> usize {
        self.steps.iter().rev().find_map(Step::outputs).unwrap_or(0)
    }
}

/// One step; it reads what the step before wrote.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A convolution.
    Conv(Conv),
    /// The largest of `kernel` x `kernel` pixels.
    MaxPool {
        /// Pixels of a side.
        kernel: usize,
        /// Pixels from one window to the next.
        stride: usize,
        /// Pixels before the first.
        padding: usize,
    },
    /// Means down to a map of `side` x `side` (adaptive average); nothing where it is that size.
    MeanTo {
        /// Pixels of a side.
        side: usize,
    },
    /// `relu(path(x) + shortcut(x))`.
    Residual {
        /// Convolutions, each with a ReLU but the last.
        path: Vec<Conv>,
        /// What the input takes around them; `None` is the input itself.
        shortcut: Option<Conv>,
    },
}

impl Step {
    /// Its convolutions.
    fn convs(&self) -> impl Iterator<Item = &Conv> {
        let (path, other) = match self {
            Self::Conv(conv) => (&[][..], Some(conv)),
            Self::Residual { path, shortcut } => (&path[..], shortcut.as_ref()),
            Self::MaxPool { .. } | Self::MeanTo { .. } => (&[][..], None),
        };
        path.iter().chain(other)
    }

    fn convs_mut(&mut self) -> impl Iterator<Item = &mut Conv> {
        let (path, other) = match self {
            Self::Conv(conv) => (&mut [][..], Some(conv)),
            Self::Residual { path, shortcut } => (&mut path[..], shortcut.as_mut()),
            Self::MaxPool { .. } | Self::MeanTo { .. } => (&mut [][..], None),
        };
        path.iter_mut().chain(other)
    }

    /// Channels written, where it does not leave them as they were.
    pub fn outputs(&self) -> Option<usize> {
        match self {
            Self::Conv(conv) => Some(conv.outputs),
            Self::Residual { path, .. } => path.last().map(|conv| conv.outputs),
            Self::MaxPool { .. } | Self::MeanTo { .. } => None,
        }
    }

    /// Height and width of the map that it makes of one of `map`; `None` where nothing is left.
    pub fn map(&self, map: (usize, usize)) -> Option<(usize, usize)> {
        match self {
            Self::Conv(conv) => conv.map(map),
            Self::MaxPool { kernel, stride, padding } => windows(map, *kernel, *stride, *padding),
            Self::MeanTo { side } => Some((*side, *side)),
            Self::Residual { path, .. } => path.iter().try_fold(map, |map, conv| conv.map(map)),
        }
    }
}

/// A square convolution with its bias, batch norm folded in.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Where its numbers come from.
    pub filter: Filter,
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
    /// Pixels of a side of the window.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Whether a ReLU follows at once.
    pub relu: bool,
}

impl Conv {
    /// Height and width of the map that it makes of one of `map`; `None` where nothing is left.
    pub fn map(&self, map: (usize, usize)) -> Option<(usize, usize)> {
        windows(map, self.kernel, self.stride, self.padding)
    }
}

/// How many windows of `kernel` fit on each side, at steps of `stride`.
fn windows(
    (height, width): (usize, usize),
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Option<(usize, usize)> {
    let side = |pixels: usize| Some((pixels + 2 * padding).checked_sub(kernel)? / stride + 1);
    Some((side(height)?, side(width)?))
}

/// Where the numbers of a convolution come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// From the checkpoint.
    Trained {
        /// `[outputs, inputs, kernel, kernel]`, or `[outputs, inputs · kernel · kernel]` of a
        /// linear layer over a flattened map.
        weight: String,
        /// `[outputs]`.
        bias: Option<String>,
        /// Start of the four names of a batch norm: `bn1` for `bn1.running_mean` and so on.
        norm: Option<String>,
    },
    /// The option-A shortcut (He et al., arXiv 1512.03385): output `c` copies input
    /// `c - (outputs - inputs) / 2`, others are 0.
    Copy,
}

/// A linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageHead {
    /// `[classes, features]`.
    pub weight: String,
    /// `[classes]`.
    pub bias: String,
    /// Channels read.
    pub features: usize,
    /// Rows of the classifier.
    pub classes: usize,
}

/// How a picture becomes an input, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Pixel rows of an input.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// 1 (grey) or 3.
    pub channels: usize,
    /// Order of three channels.
    pub order: ChannelOrder,
    /// What size a picture first becomes; then its middle is cut out, or black put around it.
    pub resize: Resize,
    /// Which pixels are the middle.
    pub middle: Middle,
    /// How sizes change.
    pub interpolation: Interpolation,
    /// By channel in that order, in [0, 1]: `(pixel / 255 - mean) / std`.
    pub mean: Vec<f32>,
    /// By channel in that order, above 0.
    pub std: Vec<f32>,
}

/// What size a picture becomes before its middle is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// It stays as it is.
    Not,
    /// Its shorter side becomes `side`, the longer one follows, rounded down.
    Shorter {
        /// Pixels.
        side: usize,
    },
    /// The smallest of its own shape that covers these sides, rounded.
    Cover {
        /// Pixel rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
    /// These sides, whatever its shape was.
    Squash {
        /// Pixel rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
}

/// Where a crop begins when an odd number of pixels is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// At the half, rounded to the even pixel: torchvision's and timm's.
    Even,
    /// At the half, rounded down: Hugging Face's.
    Down,
}

/// Order of the channels of a colour pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture changes its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Triangle filter, wider when shrinking (Pillow's).
    Bilinear,
    /// Cubic filter with a = -0.5, wider when shrinking (Pillow's).
    Bicubic,
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}
