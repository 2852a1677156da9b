//! `offramp convert`: a model folder from the bare weights of a network over images.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use offramp::Conversion;
use offramp::model::is_there;
use serde::Serialize;

use crate::args::{JsonArg, count, share, switch};
use crate::failure::{Failure, Result};
use crate::out::{Out, expect_writable};
use crate::text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp convert --weights resnet50.safetensors --architecture resnet50 --out DIR
  offramp convert --weights net.safetensors --architecture resnet20 --input-size 1x28x28 \\
      --mean 0.286 --std 0.353 --classes-file labels.txt --out DIR
  offramp convert --weights vgg16_bn.safetensors --architecture vgg16_bn --f16 --out DIR

Architectures: resnet18, 34, 50, 101 and 152; resnet20, 32, 44, 56 and 110 of CIFAR; vgg11, 13,
16 and 19, and those with _bn; timm's vit and deit, such as vit_tiny_patch16_224. Names are
torchvision's or timm's; a prefix such as `module.` is taken off. Pictures are read as torchvision
does for its CNNs, and timm for vit and deit, unless flags say otherwise. Variants whose tensors
have the same names and shapes cannot be told from their weights, and answer nonsense: those that
blur when they shrink (resnetblur50, resnetaa50), or have another activation. A PyTorch file
becomes a safetensors file by

  safetensors.torch.save_file(torch.load(\"net.pth\", weights_only=True), \"net.safetensors\")

Folders with a config.json of timm or of Hugging Face's ResNet, ViT or DeiT need no conversion.";

/// Flags of `convert`.
#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// The weights, a safetensors file
    #[arg(long, value_name = "FILE", env = "OFFRAMP_WEIGHTS")]
    weights: PathBuf,
    /// What they are of: resnet50, resnet20, vgg16_bn, vit_tiny_patch16_224, ...
    #[arg(long, value_name = "NAME", env = "OFFRAMP_ARCHITECTURE")]
    architecture: String,
    /// Where the model goes; made where it is not there
    #[arg(long, value_name = "DIR", env = "OFFRAMP_OUT")]
    out: PathBuf,
    /// Names of the classes, one a line [default: LABEL_0, LABEL_1, ...]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_CLASSES_FILE")]
    classes_file: Option<PathBuf>,
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    structure: StructureArgs,
    /// Round weights to half precision: half the file
    #[arg(long, env = "OFFRAMP_F16", value_parser = switch())]
    f16: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// How a picture becomes an input.
#[derive(Args, Clone, Debug)]
struct PictureArgs {
    /// Channels, height and width of an input [default: 3x224x224, CIFAR's 3x32x32, or as the
    /// name of a vision transformer says]
    #[arg(long, value_name = "CxHxW", env = "OFFRAMP_INPUT_SIZE", value_parser = input_size)]
    input_size: Option<[usize; 3]>,
    /// Mean of each channel, in [0, 1] [default: ImageNet's; 0.5 for vit]
    #[arg(
        long,
        value_name = "X,..",
        env = "OFFRAMP_MEAN",
        value_delimiter = ',',
        value_parser = mean,
        allow_hyphen_values = true
    )]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, above 0 and up to 1 [default: ImageNet's; 0.5 for vit]
    #[arg(long, value_name = "X,..", env = "OFFRAMP_STD", value_delimiter = ',',
          value_parser = deviation)]
    std: Option<Vec<f32>>,
    /// Share of the shorter side that the central crop keeps [default: 0.875; CIFAR's 1; 0.9 for
    /// vit and deit, and 1 from 384 pixels on]
    #[arg(long, value_name = "SHARE", env = "OFFRAMP_CROP_SHARE",
          value_parser = share::<f32>)]
    crop_share: Option<f32>,
    /// How a picture changes its size [default: bilinear; bicubic for vit and deit]
    #[arg(long, value_enum, env = "OFFRAMP_INTERPOLATION")]
    interpolation: Option<InterpolationArg>,
    /// The network reads blue first
    #[arg(long, env = "OFFRAMP_BGR", value_parser = switch())]
    bgr: bool,
}

/// How a network differs from the usual one of its name.
#[derive(Args, Clone, Debug)]
struct StructureArgs {
    /// The stride of a bottleneck is in its first convolution
    #[arg(long = "stride-in-1x1", env = "OFFRAMP_STRIDE_IN_1X1", value_parser = switch())]
    stride_in_1x1: bool,
    /// Blocks of each stage
    #[arg(long, value_name = "N,..", env = "OFFRAMP_DEPTHS", value_delimiter = ',',
          value_parser = count())]
    depths: Option<Vec<usize>>,
    /// Channels of each stage; of bottlenecks the inner ones
    #[arg(long, value_name = "N,..", env = "OFFRAMP_WIDTHS", value_delimiter = ',',
          value_parser = count())]
    widths: Option<Vec<usize>>,
    /// Channels behind the first convolution of a ResNet
    #[arg(long, value_name = "N", env = "OFFRAMP_STEM_WIDTH", value_parser = count())]
    stem_width: Option<usize>,
    /// Channels of the two hidden linear layers of a VGG
    #[arg(long, value_name = "N", env = "OFFRAMP_HIDDEN_WIDTH", value_parser = count())]
    hidden_width: Option<usize>,
}

/// `--interpolation`.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum InterpolationArg {
    /// The nearest pixel
    Nearest,
    /// Triangle filter
    Bilinear,
    /// Cubic filter
    Bicubic,
}

impl InterpolationArg {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// `3x224x224`.
fn input_size(text: &str) -> Result<[usize; 3], String> {
    let sides: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let size = sides.ok().and_then(|sides| <[usize; 3]>::try_from(sides).ok());
    size.ok_or_else(|| "must be channels, height and width, such as 3x224x224".to_owned())
}

/// A mean of levels from 0 to 1.
fn mean(text: &str) -> Result<f32, String> {
    share(text).map_err(|error| of_levels(&error))
}

/// A standard deviation of them, which is a divisor.
fn deviation(text: &str) -> Result<f32, String> {
    let number = share(text).map_err(|error| of_levels(&error))?;
    (number > 0.0).then_some(number).ok_or_else(|| "must be above 0".to_owned())
}

/// Means and deviations are often told for levels from 0 to 255.
fn of_levels(error: &str) -> String {
    format!("{error}: levels are from 0 to 1; what is told for 0 to 255 is to be divided by 255")
}

/// What was made.
#[derive(Serialize)]
struct About<'a> {
    model: &'a Path,
    architecture: &'a str,
    classes: usize,
    input_size: [usize; 3],
    segments: usize,
}

/// Runs the verb.
pub(crate) fn run(args: &Convert) -> Result<()> {
    check_weights(&args.weights)?;
    check_out(&args.out)?;
    ["config.json", "model.safetensors"]
        .map(|name| args.out.join(name))
        .iter()
        .try_for_each(|path| expect_writable(path))?;
    let labels = args.classes_file.as_deref().map(read_classes).transpose()?;
    let conversion = conversion(args, labels);
    let made = conversion.run(&args.weights, &args.out).map_err(offramp::Error::from);
    let spec = made.map_err(in_flags)?;
    let input_size = spec.image().map(|input| [input.channels, input.height, input.width]);
    let about = About {
        model: &args.out,
        architecture: spec.name(),
        classes: spec.classes(),
        input_size: input_size.unwrap_or_default(),
        segments: spec.sites(),
    };
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&about)?;
    } else {
        about.print(&mut out)?;
    }
    out.flush()
}

/// The keys of the `config.json` that is to be written, by the flags that give them.
const FLAGS: [(&str, &str); 8] = [
    ("input_size", "input-size"),
    ("crop_pct", "crop-share"),
    ("stem_width", "stem-width"),
    ("hidden_width", "hidden-width"),
    ("stride_in_1x1", "stride-in-1x1"),
    ("num_classes", "classes-file"),
    ("label_names", "classes-file"),
    ("channel_order", "bgr"),
];

/// A setting that is refused is a flag: nobody has written its file yet.
fn in_flags(error: offramp::Error) -> Failure {
    let offramp::Error::Weights(cause) = &error else { return error.into() };
    match cause.refusal() {
        Some((key, expected, found)) if !cause.file().exists() => {
            let key = key.rsplit('.').next().unwrap_or(key);
            let flag = FLAGS.iter().find(|(name, _)| *name == key).map_or(key, |(_, flag)| flag);
            Failure::Usage(format!("--{flag} must be {expected}, found {found}"))
        }
        _ => error.into(),
    }
}

fn conversion(args: &Convert, labels: Option<Vec<String>>) -> Conversion {
    let PictureArgs { input_size, mean, std, crop_share, interpolation, bgr } =
        args.picture.clone();
    let StructureArgs { stride_in_1x1, depths, widths, stem_width, hidden_width } =
        args.structure.clone();
    Conversion {
        architecture: args.architecture.clone(),
        labels,
        input_size,
        mean,
        std,
        crop_share,
        interpolation: interpolation.map(InterpolationArg::name),
        is_bgr: bgr,
        stride_in_1x1,
        depths,
        widths,
        stem_width,
        hidden_width,
        halves: args.f16,
    }
}

/// Files that only Python can open would be called damaged.
fn check_weights(weights: &Path) -> Result<()> {
    let ending = weights.extension().unwrap_or_default().to_string_lossy();
    match ["pt", "pth", "bin", "ckpt", "pkl"].contains(&&*ending) {
        true => Err(Failure::Usage(format!(
            "{}: --weights is a safetensors file; `offramp convert --help` tells how to make one",
            weights.display()
        ))),
        false => Ok(()),
    }
}

/// A model that is there is not written over: its ramps would be lost with it.
fn check_out(out: &Path) -> Result<()> {
    let taken = ["config.json", "model.safetensors"].map(|name| out.join(name));
    match taken.iter().find(|path| is_there(path)) {
        Some(path) => {
            let path = path.display();
            Err(Failure::Usage(format!("{path} exists: --out is a folder without a model")))
        }
        None => Ok(()),
    }
}

fn read_classes(file: &Path) -> Result<Vec<String>> {
    class_names(&text::read(file)?, file)
}

/// A class a line; `file` is for complaints.
pub(crate) fn class_names(text: &str, file: &Path) -> Result<Vec<String>> {
    let line = |(index, line): (usize, &str)| match line.trim() {
        "" => Err(Failure::Line {
            file: file.to_owned(),
            line: index as u64 + 1,
            message: "a class without a name".to_owned(),
        }),
        name => Ok(name.to_owned()),
    };
    text.lines().enumerate().map(line).collect()
}

impl About<'_> {
    fn print(&self, out: &mut Out) -> Result<()> {
        let Self { model, architecture, classes, input_size: [channels, height, width], segments } =
            self;
        out.line(format_args!(
            "{}: {architecture} over {channels}x{height}x{width}, {classes} classes, {segments} \
             segments",
            model.display()
        ))
    }
}
