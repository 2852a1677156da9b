//! The architectures by name: how deep, how wide, which blocks.

/// A residual network, or a plain stack of convolutions.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Architecture {
    ResNet(ResNet),
    Vgg(Vgg),
}

/// He et al., arXiv 1512.03385.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResNet {
    pub(super) stem: Stem,
    /// Channels that the stem writes.
    pub(super) stem_width: usize,
    pub(super) stages: Vec<Stage>,
    pub(super) block: Block,
    /// Whether the stride of a bottleneck is in its first convolution (the paper's version, v1) or
    /// in the 3x3 (v1.5, today's usual).
    pub(super) stride_in_1x1: bool,
    pub(super) shortcut: Shortcut,
}

/// Blocks that work on maps of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stage {
    /// Blocks.
    pub(super) depth: usize,
    /// Channels of a block's inner convolutions.
    pub(super) inner: usize,
    /// Channels that a block writes.
    pub(super) width: usize,
    /// Of the first block.
    pub(super) stride: usize,
}

/// What comes before the first block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stem {
    /// 7x7 with stride 2, then a 3x3 maximum with stride 2.
    Seven,
    /// 3x3, for small pictures.
    Three,
}

/// What a residual block does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Block {
    /// Two 3x3.
    Basic,
    /// 1x1, 3x3, 1x1.
    Bottleneck,
}

impl Block {
    /// Channels written for one inner channel.
    pub(super) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// What a block's input takes where its size changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shortcut {
    /// A trained 1x1 convolution.
    Projection,
    /// Every other pixel, new channels 0: the paper's option A.
    Copy,
}

/// Simonyan and Zisserman, arXiv 1409.1556.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vgg {
    /// Convolutions before each pool.
    pub(super) depths: Vec<usize>,
    /// Their channels.
    pub(super) widths: Vec<usize>,
    pub(super) has_norm: bool,
    /// Channels of the two layers before the classifier.
    pub(super) hidden_width: usize,
}

/// The names that are known, for messages.
pub(super) const KNOWN: &str = "one of resnet18, 34, 50, 101, 152 (ImageNet), resnet20, 32, 44, \
                                56, 110 (CIFAR), vgg11, 13, 16, 19, or those with _bn, vit and \
                                deit as timm names them (vit_tiny_patch16_224)";

impl Architecture {
    /// The architecture called `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(depth) = name.strip_prefix("resnet") {
            return imagenet(depth).or_else(|| cifar(depth)).map(Self::ResNet);
        }
        let depth = name.strip_prefix("vgg")?;
        let bare = depth.strip_suffix("_bn");
        vgg(bare.unwrap_or(depth), bare.is_some()).map(Self::Vgg)
    }
}

fn imagenet(depth: &str) -> Option<ResNet> {
    let (block, depths) = match depth {
        "18" => (Block::Basic, [2, 2, 2, 2]),
        "34" => (Block::Basic, [3, 4, 6, 3]),
        "50" => (Block::Bottleneck, [3, 4, 6, 3]),
        "101" => (Block::Bottleneck, [3, 4, 23, 3]),
        "152" => (Block::Bottleneck, [3, 8, 36, 3]),
        _ => return None,
    };
    Some(ResNet {
        stem: Stem::Seven,
        stem_width: 64,
        stages: stages(&depths, &[64, 128, 256, 512], block),
        block,
        stride_in_1x1: false,
        shortcut: Shortcut::Projection,
    })
}

/// Depth `6n + 2`: three stages of `n` blocks.
fn cifar(depth: &str) -> Option<ResNet> {
    let blocks = match depth {
        "20" => 3,
        "32" => 5,
        "44" => 7,
        "56" => 9,
        "110" => 18,
        _ => return None,
    };
    Some(ResNet {
        stem: Stem::Three,
        stem_width: 16,
        stages: stages(&[blocks; 3], &[16, 32, 64], Block::Basic),
        block: Block::Basic,
        stride_in_1x1: false,
        shortcut: Shortcut::Copy,
    })
}

/// Every stage but the first halves the map.
pub(super) fn stages(depths: &[usize], inner: &[usize], block: Block) -> Vec<Stage> {
    let pairs = depths.iter().zip(inner).enumerate();
    let stage = |(index, (&depth, &inner))| Stage {
        depth,
        inner,
        width: inner * block.expansion(),
        stride: if index == 0 { 1 } else { 2 },
    };
    pairs.map(stage).collect()
}

fn vgg(depth: &str, has_norm: bool) -> Option<Vgg> {
    let depths = match depth {
        "11" => [1, 1, 2, 2, 2],
        "13" => [2, 2, 2, 2, 2],
        "16" => [2, 2, 3, 3, 3],
        "19" => [2, 2, 4, 4, 4],
        _ => return None,
    };
    let widths = vec![64, 128, 256, 512, 512];
    Some(Vgg { depths: depths.to_vec(), widths, has_norm, hidden_width: 4096 })
}
