//! What to time, and how often.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use offramp::{DeviceChoice, Precision, Shape};
use offramp_kernels::cuda::Elem;
use offramp_tests::models::BertSize;
use offramp_tests::networks::Network;

use crate::task::POSITIONS;

/// Times kernels, exits and forwards on a CUDA device.
#[derive(Parser, Debug)]
pub(crate) struct Args {
    /// Times in earnest; `cargo bench` gives it
    #[arg(long)]
    pub(crate) bench: bool,
    /// Small models and few runs: shows that everything works, times nothing worth knowing
    #[arg(long)]
    pub(crate) tiny: bool,
    /// CUDA device by its number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) device: usize,
    /// How the device stores numbers: f16, bf16 or tf32
    #[arg(long, default_value = "f16")]
    precision: Precision,
    /// Models of which size [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    models: Vec<ModelArg>,
    /// Rows of a pass [default: 1,8,32,128]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = count::<4096>)]
    rows: Vec<usize>,
    /// Tokens of a row [default: 128]
    #[arg(long, value_name = "N", value_parser = count::<POSITIONS>)]
    tokens: Option<usize>,
    /// Timed runs behind each median of a forward; kernels take a quarter [default: 200]
    #[arg(long, value_name = "N", value_parser = count::<1_000_000>)]
    runs: Option<usize>,
    /// What to time [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Prints what launches of each kernel need, and does nothing else
    #[arg(long)]
    pub(crate) kernels_json: bool,
    /// Where the JSON goes, cell by cell; a table goes beside it, with the extension md
    #[arg(long, value_name = "FILE", value_parser = json_file)]
    pub(crate) out: Option<PathBuf>,
}

/// `--models`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum ModelArg {
    /// MiniLM-L6-H384
    Minilm,
    /// BERT base
    BertBase,
    /// ResNet-50: forwards only
    Resnet50,
    /// Three narrow layers, to try this program
    Tiny,
    /// Four narrow blocks over small pictures, to try this program
    TinyImages,
}

/// `--parts`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// One kernel at a time
    Kernels,
    /// From a ramp's issue to its answers
    Answers,
    /// Whole forwards
    Forwards,
    /// Nothing: one pass a shape, without ramps, for a profiler to look at; only if named
    Once,
}

impl Args {
    pub(crate) fn has(&self, part: Part) -> bool {
        let is_all = self.parts.is_empty() && part != Part::Once;
        is_all || self.parts.contains(&part)
    }

    fn is_tiny(&self) -> bool {
        self.tiny || !self.bench
    }
}

/// A number of at least 1 and at most `MAX`: what is allocated goes by it.
fn count<const MAX: usize>(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    let is_fine = (1..=MAX).contains(&number);
    if is_fine { Ok(number) } else { Err(format!("must be from 1 to {MAX}")) }
}

/// The table beside it would take its place.
fn json_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_table = path.extension().is_some_and(|extension| extension == "md");
    if is_table { Err("the JSON cannot have the table's name".to_owned()) } else { Ok(path) }
}

/// Each once, in the order in which they are named.
fn once_each<T: Copy + PartialEq>(items: &[T]) -> Vec<T> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        if !found.contains(item) {
            found.push(*item);
        }
    }
    found
}

/// What is timed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text(BertSize),
    Images(Network),
}

impl Kind {
    /// A checkpoint of random weights.
    pub(crate) fn write(&self, folder: &Path, seed: u64) -> std::io::Result<()> {
        match self {
            Self::Text(size) => size.write(folder, seed),
            Self::Images(network) => network.write(folder, seed),
        }
    }
}

/// A model with a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedModel {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl NamedModel {
    const MINI_LM: Self = Self { name: "minilm", kind: Kind::Text(BertSize::MINI_LM) };
    const BERT_BASE: Self = Self { name: "bert-base", kind: Kind::Text(BertSize::BASE) };
    const RESNET_50: Self = Self { name: "resnet50", kind: Kind::Images(Network::RESNET_50) };
    const TINY: Self = Self {
        name: "tiny",
        kind: Kind::Text(BertSize {
            layers: 3,
            hidden: 64,
            heads: 2,
            intermediate: 128,
            vocab: 200,
            classes: 3,
        }),
    };
    const TINY_IMAGES: Self = Self {
        name: "tiny-images",
        kind: Kind::Images(Network {
            architecture: "resnet50",
            side: 32,
            classes: 3,
            stages: Some(([1, 1, 1, 1], [16, 16, 32, 32])),
        }),
    };

    /// The size of a text model: only those have kernels and answers timed by themselves.
    pub(crate) fn text(&self) -> Option<BertSize> {
        match self.kind {
            Kind::Text(size) => Some(size),
            Kind::Images(_) => None,
        }
    }
}

/// What holds for all measurements.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) device: usize,
    pub(crate) precision: Precision,
    pub(crate) models: Vec<NamedModel>,
    /// Rows of each pass.
    rows: Vec<usize>,
    tokens: usize,
    /// Runs before those that count: graphs are recorded, clocks rise.
    pub(crate) warm_ups: usize,
    /// Runs of a forward that count.
    pub(crate) runs: usize,
    /// The same, for runs timed by the device.
    pub(crate) device_runs: usize,
    /// Runs of a kernel that count.
    pub(crate) kernel_runs: usize,
    /// Ops sent off together.
    pub(crate) flush_ops: usize,
    /// Operands of successive ops take turns over this much memory, more than any cache holds.
    pub(crate) cold_bytes: usize,
}

/// Most sets of operands that take turns.
pub(crate) const SETS_MAX: usize = 64;

impl Settings {
    pub(crate) fn new(args: &Args) -> Self {
        let is_tiny = args.is_tiny();
        let rows = match args.rows.as_slice() {
            [] if is_tiny => &[1, 3],
            [] => &[1, 8, 32, 128][..],
            rows => rows,
        };
        let tokens = args.tokens.unwrap_or(if is_tiny { 8 } else { 128 });
        let runs = args.runs.unwrap_or(if is_tiny { 2 } else { 200 });
        Self {
            device: args.device,
            precision: args.precision,
            models: models(args),
            rows: once_each(rows),
            tokens,
            warm_ups: if is_tiny { 2 } else { 20 },
            runs,
            device_runs: runs.div_ceil(4),
            kernel_runs: runs.div_ceil(4),
            flush_ops: if is_tiny { 2 } else { 32 },
            cold_bytes: if is_tiny { 100_000 } else { 120_000_000 },
        }
    }

    /// The networks over images here make one token of an image.
    pub(crate) fn shapes_of(&self, model: &NamedModel) -> Vec<Shape> {
        let tokens = if model.text().is_some() { self.tokens } else { 1 };
        self.rows.iter().map(|&rows| Shape { rows, tokens }).collect()
    }

    pub(crate) fn device_choice(&self) -> DeviceChoice {
        DeviceChoice::Cuda(self.device)
    }

    pub(crate) fn elem(&self) -> Elem {
        match self.precision {
            Precision::F16 => Elem::F16,
            Precision::Bf16 => Elem::Bf16,
            Precision::Tf32 => Elem::Tf32,
        }
    }

    /// Largest relative error of a kernel, in the Euclidean norm: some units of the last place. A
    /// single TF32 product instead of three would leave out some 3e-4.
    pub(crate) fn tolerance(&self) -> f64 {
        match self.precision {
            Precision::F16 => 2e-3,
            Precision::Bf16 => 16e-3,
            Precision::Tf32 => 1e-4,
        }
    }
}

fn models(args: &Args) -> Vec<NamedModel> {
    let named = |model: &ModelArg| match model {
        ModelArg::Minilm => NamedModel::MINI_LM,
        ModelArg::BertBase => NamedModel::BERT_BASE,
        ModelArg::Resnet50 => NamedModel::RESNET_50,
        ModelArg::Tiny => NamedModel::TINY,
        ModelArg::TinyImages => NamedModel::TINY_IMAGES,
    };
    match (args.models.as_slice(), args.is_tiny()) {
        ([], true) => vec![NamedModel::TINY, NamedModel::TINY_IMAGES],
        ([], false) => {
            vec![NamedModel::MINI_LM, NamedModel::BERT_BASE, NamedModel::RESNET_50]
        }
        (models, _) => once_each(models).iter().map(named).collect(),
    }
}
