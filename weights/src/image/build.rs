//! An architecture as segments of steps, with the names that checkpoints usually have.

use crate::image::architecture::{Architecture, Block, ResNet, Shortcut, Stage, Stem, Vgg};
use crate::network::{Conv, Filter, Head, Linear, Network, Residual, Segment, Step};
use crate::spec::Pool;

/// Side of the map that VGG's linear layers were made for.
pub(super) const VGG_SIDE: usize = 7;

/// Who named the tensors of a residual network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Naming {
    /// torchvision and timm: `layer1.0.conv1`.
    Torch,
    /// Hugging Face: `resnet.encoder.stages.0.layers.0.layer.0.convolution`.
    HuggingFace,
}

/// The network over pictures of `channels`, with `classes`.
pub(super) fn build(
    architecture: &Architecture,
    naming: Naming,
    channels: usize,
    classes: usize,
) -> Network {
    match architecture {
        Architecture::ResNet(resnet) => Builder { resnet, naming }.network(channels, classes),
        Architecture::Vgg(shape) => vgg(shape, channels, classes),
    }
}

impl Naming {
    fn stem(self) -> Filter {
        match self {
            Self::Torch => trained("conv1", Some("bn1")),
            Self::HuggingFace => convolution("resnet.embedder.embedder"),
        }
    }

    /// Of block `block` in stage `stage`, both from 0.
    fn block(self, stage: usize, block: usize) -> String {
        match self {
            Self::Torch => format!("layer{}.{block}", stage + 1),
            Self::HuggingFace => format!("resnet.encoder.stages.{stage}.layers.{block}"),
        }
    }

    /// Convolution `index`, from 0, of the block's path.
    fn path(self, block: &str, index: usize) -> Filter {
        match self {
            Self::Torch => {
                let number = index + 1;
                trained(&format!("{block}.conv{number}"), Some(&format!("{block}.bn{number}")))
            }
            Self::HuggingFace => convolution(&format!("{block}.layer.{index}")),
        }
    }

    fn shortcut(self, block: &str) -> Filter {
        match self {
            Self::Torch => {
                let stem = format!("{block}.downsample");
                trained(&format!("{stem}.0"), Some(&format!("{stem}.1")))
            }
            Self::HuggingFace => convolution(&format!("{block}.shortcut")),
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Torch => "fc",
            Self::HuggingFace => "classifier.1",
        }
    }
}

/// A convolution and the norm that follows.
fn trained(stem: &str, norm: Option<&str>) -> Filter {
    Filter::Trained { weight: format!("{stem}.weight"), bias: None, norm: norm.map(str::to_owned) }
}

/// Hugging Face's names for the two.
fn convolution(stem: &str) -> Filter {
    trained(&format!("{stem}.convolution"), Some(&format!("{stem}.normalization")))
}

fn biased(stem: &str, norm: Option<String>) -> Filter {
    Filter::Trained { weight: format!("{stem}.weight"), bias: Some(format!("{stem}.bias")), norm }
}

/// A classifier on the mean of the last map.
fn head(stem: &str, features: usize, classes: usize) -> Head {
    let classifier = Linear::of(&[stem.to_owned()], features, classes);
    Head { pool: Pool::Mean, classifier: Some(classifier) }
}

/// A residual network under construction.
struct Builder<'a> {
    resnet: &'a ResNet,
    naming: Naming,
}

impl Builder<'_> {
    fn network(&self, channels: usize, classes: usize) -> Network {
        let mut segments = Vec::new();
        let (mut steps, mut inputs) = (self.stem(channels), self.resnet.stem_width);
        for (stage_index, stage) in self.resnet.stages.iter().enumerate() {
            for index in 0..stage.depth {
                let name = self.naming.block(stage_index, index);
                let stride = if index == 0 { stage.stride } else { 1 };
                steps.push(self.residual(&name, inputs, stage, stride));
                inputs = stage.width;
                let short = name.strip_prefix("resnet.encoder.").unwrap_or(&name);
                // The stem goes with the first block: behind it alone no ramp is of use.
                let steps = std::mem::take(&mut steps);
                segments.push(Segment { name: short.to_owned(), steps });
            }
        }
        Network { segments, tail: vec![], head: head(self.naming.head(), inputs, classes) }
    }

    fn stem(&self, channels: usize) -> Vec<Step> {
        let (kernel, stride) = match self.resnet.stem {
            Stem::Seven => (7, 2),
            Stem::Three => (3, 1),
        };
        let conv = Conv {
            filter: self.naming.stem(),
            inputs: channels,
            outputs: self.resnet.stem_width,
            kernel,
            stride,
            padding: kernel / 2,
            relu: true,
        };
        let pool = Step::MaxPool { kernel: 3, stride: 2, padding: 1 };
        match self.resnet.stem {
            Stem::Seven => vec![Step::Conv(conv), pool],
            Stem::Three => vec![Step::Conv(conv)],
        }
    }

    fn residual(&self, name: &str, inputs: usize, stage: &Stage, stride: usize) -> Step {
        let Stage { inner, width, .. } = *stage;
        // Outputs, kernel and stride of each convolution.
        let shapes = match (self.resnet.block, self.resnet.stride_in_1x1) {
            (Block::Basic, _) => vec![(inner, 3, stride), (width, 3, 1)],
            (Block::Bottleneck, true) => vec![(inner, 1, stride), (inner, 3, 1), (width, 1, 1)],
            (Block::Bottleneck, false) => vec![(inner, 1, 1), (inner, 3, stride), (width, 1, 1)],
        };
        let (last, mut read) = (shapes.len() - 1, inputs);
        let mut body = Vec::with_capacity(shapes.len());
        for (index, (outputs, kernel, stride)) in shapes.into_iter().enumerate() {
            let filter = self.naming.path(name, index);
            let (padding, relu) = (kernel / 2, index < last);
            let conv = Conv { filter, inputs: read, outputs, kernel, stride, padding, relu };
            body.push(Step::Conv(conv));
            read = outputs;
        }
        let changes = stride != 1 || inputs != width;
        let shortcut = || Box::new(Step::Conv(self.shortcut(name, inputs, width, stride)));
        Step::Residual(Residual { body, shortcut: changes.then(shortcut), relu: true })
    }

    fn shortcut(&self, name: &str, inputs: usize, outputs: usize, stride: usize) -> Conv {
        let filter = match self.resnet.shortcut {
            Shortcut::Projection => self.naming.shortcut(name),
            Shortcut::Copy => Filter::Copy,
        };
        Conv { filter, inputs, outputs, kernel: 1, stride, padding: 0, relu: false }
    }
}

fn vgg(shape: &Vgg, channels: usize, classes: usize) -> Network {
    let (mut segments, mut inputs, mut place) = (Vec::new(), channels, 0);
    // `features` numbers convolutions, norms, ReLUs and pools alike.
    let places = if shape.has_norm { 3 } else { 2 };
    for (&depth, &outputs) in shape.depths.iter().zip(&shape.widths) {
        let mut steps = Vec::with_capacity(depth + 1);
        for _ in 0..depth {
            let norm = shape.has_norm.then(|| format!("features.{}", place + 1));
            let filter = biased(&format!("features.{place}"), norm);
            let conv =
                Conv { filter, inputs, outputs, kernel: 3, stride: 1, padding: 1, relu: true };
            steps.push(Step::Conv(conv));
            (inputs, place) = (outputs, place + places);
        }
        steps.push(Step::MaxPool { kernel: 2, stride: 2, padding: 0 });
        segments.push(Segment { name: format!("features.{place}"), steps });
        place += 1;
    }
    let hidden = shape.hidden_width;
    let tail = vec![
        Step::MeanTo { side: VGG_SIDE },
        Step::Conv(dense("classifier.0", inputs, hidden, VGG_SIDE)),
        Step::Conv(dense("classifier.3", hidden, hidden, 1)),
    ];
    Network { segments, tail, head: head("classifier.6", hidden, classes) }
}

/// A linear layer over a map of `kernel` x `kernel`, as a convolution.
fn dense(stem: &str, inputs: usize, outputs: usize, kernel: usize) -> Conv {
    let filter = biased(stem, None);
    Conv { filter, inputs, outputs, kernel, stride: 1, padding: 0, relu: true }
}
