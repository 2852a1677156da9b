//! The steps that networks are made of.

use crate::network::{Conv, Filter, NORM_PARTS, windows};
use crate::spec::Activation;

/// One step; it reads what the step before wrote.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Tokens to vectors.
    Embed(Embed),
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
    /// Pixels to tokens.
    Patches(Patches),
    /// A product with every token's vector.
    Linear(Linear),
    /// A layer norm.
    Norm(Norm),
    /// Self-attention within a row, over queries, keys and values side by side.
    Attention(Attention),
    /// A sum.
    Residual(Residual),
}

/// `word[id] + position[place] + kind[kind]`, behind a norm where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Embed {
    /// `[vocab, width]`.
    pub word: String,
    /// `[positions, width]`.
    pub position: String,
    /// `[kinds, width]`, where the model has kinds.
    pub kind: Option<String>,
    /// Of the sum.
    pub norm: Option<Norm>,
    /// Rows of the three tables.
    pub rows: [usize; 3],
    /// Elements of a vector.
    pub width: usize,
}

/// Each pixel of a map is a token, behind learnt ones; all with what belongs to their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// The tokens in front, `[1, 1, width]` each.
    pub first: Vec<String>,
    /// `[1, tokens, width]`.
    pub position: String,
    /// Those in front, and the pixels of the map.
    pub tokens: usize,
    /// Elements of a vector.
    pub width: usize,
}

/// `act(x · Wᵀ + bias)`; the tensors are stacked by rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// As many rows each; `inputs` columns.
    pub weights: Vec<String>,
    /// As many elements each; none where there is no bias.
    pub biases: Vec<String>,
    /// Elements read.
    pub inputs: usize,
    /// Elements written: the rows of all tensors.
    pub outputs: usize,
    /// Applied last.
    pub activation: Option<Activation>,
}

/// A layer norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// `[width]`.
    pub scale: String,
    /// `[width]`.
    pub shift: String,
    /// Elements of a vector.
    pub width: usize,
    /// Added to the variance; above 0, below 1.
    pub eps: f32,
}

/// Self-attention within a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// A divisor of `width`.
    pub heads: usize,
    /// Elements written; three times as many are read.
    pub width: usize,
}

/// `body(x) + shortcut(x)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The last of them adds.
    pub body: Vec<Step>,
    /// What the input takes around them; nothing is the input itself.
    pub shortcut: Option<Box<Step>>,
    /// Whether a ReLU follows the sum.
    pub relu: bool,
}

/// A tensor that a network reads.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorForm {
    /// Its name in the checkpoint.
    pub name: String,
    /// What shape it must have. One of four sides may also be stored flat, as two.
    pub shape: Vec<usize>,
}

impl TensorForm {
    fn new(name: &str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.to_owned(), shape: shape.into() }
    }
}

impl Step {
    /// The steps that compute something: itself, or those within a residual.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::Residual(Residual { body, shortcut, .. }) => {
                body.iter().chain(shortcut.as_deref()).flat_map(Self::leaves).collect()
            }
            leaf => vec![leaf],
        }
    }

    pub(crate) fn leaves_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Residual(Residual { body, shortcut, .. }) => {
                let shortcut = shortcut.as_deref_mut();
                body.iter_mut().chain(shortcut).flat_map(Self::leaves_mut).collect()
            }
            leaf => vec![leaf],
        }
    }

    /// Elements of a vector, or channels, written, where it does not leave them as they were.
    pub fn outputs(&self) -> Option<usize> {
        match self {
            Self::Embed(embed) => Some(embed.width),
            Self::Conv(conv) => Some(conv.outputs),
            Self::Linear(linear) => Some(linear.outputs),
            Self::Attention(attention) => Some(attention.width),
            Self::Residual(Residual { body, .. }) => body.iter().rev().find_map(Self::outputs),
            Self::Patches(patches) => Some(patches.width),
            Self::MaxPool { .. } | Self::MeanTo { .. } | Self::Norm(_) => None,
        }
    }

    /// Height and width of the map that it makes of one of `map`; `None` where nothing is left.
    pub fn map(&self, map: (usize, usize)) -> Option<(usize, usize)> {
        match self {
            Self::Conv(conv) => conv.map(map),
            Self::MaxPool { kernel, stride, padding } => windows(map, *kernel, *stride, *padding),
            Self::MeanTo { side } => Some((*side, *side)),
            Self::Residual(residual) => {
                residual.body.iter().try_fold(map, |map, step| step.map(map))
            }
            Self::Embed(_) | Self::Patches(_) => Some(map),
            Self::Linear(_) | Self::Norm(_) | Self::Attention(_) => Some(map),
        }
    }

    /// The tensors of a leaf.
    pub fn tensors(&self) -> Vec<TensorForm> {
        match self {
            Self::Embed(embed) => embed.tensors(),
            Self::Conv(conv) => conv.tensors(),
            Self::Linear(linear) => linear.tensors(),
            Self::Norm(norm) => norm.tensors(),
            Self::Patches(patches) => patches.tensors(),
            Self::MaxPool { .. } | Self::MeanTo { .. } => vec![],
            Self::Attention(_) | Self::Residual(_) => vec![],
        }
    }

    /// The names of a leaf's tensors, to be changed. A convolution has names of its own kind.
    pub(crate) fn names_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Embed(Embed { word, position, kind, norm, .. }) => {
                let tables = [word, position].into_iter().chain(kind);
                let norm = norm.iter_mut().flat_map(|norm| [&mut norm.scale, &mut norm.shift]);
                tables.chain(norm).collect()
            }
            Self::Linear(linear) => linear.names_mut().collect(),
            Self::Norm(norm) => vec![&mut norm.scale, &mut norm.shift],
            _ => vec![],
        }
    }
}

impl Embed {
    fn tensors(&self) -> Vec<TensorForm> {
        let names = [Some(&self.word), Some(&self.position), self.kind.as_ref()];
        let tables = names.into_iter().zip(self.rows);
        let width = self.width;
        let form = |(name, rows): (Option<&String>, usize)| {
            name.map(|name| TensorForm::new(name, [rows, width]))
        };
        let norm = self.norm.iter().flat_map(Norm::tensors);
        tables.filter_map(form).chain(norm).collect()
    }
}

impl Patches {
    fn tensors(&self) -> Vec<TensorForm> {
        let first = self.first.iter().map(|name| TensorForm::new(name, [1, 1, self.width]));
        let position = TensorForm::new(&self.position, [1, self.tokens, self.width]);
        first.chain([position]).collect()
    }
}

impl Linear {
    /// A product by the tensors `stem.weight` and `stem.bias` of each stem.
    pub(crate) fn of(stems: &[String], inputs: usize, outputs: usize) -> Self {
        let named = |part: &str| stems.iter().map(|stem| format!("{stem}.{part}")).collect();
        let (weights, biases) = (named("weight"), named("bias"));
        Self { weights, biases, inputs, outputs, activation: None }
    }

    /// Its matrices, then its biases.
    pub fn tensors(&self) -> Vec<TensorForm> {
        let rows = self.outputs / self.weights.len().max(1);
        let matrices = self.weights.iter().map(|name| TensorForm::new(name, [rows, self.inputs]));
        matrices.chain(self.biases.iter().map(|name| TensorForm::new(name, [rows]))).collect()
    }

    pub(crate) fn names_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.weights.iter_mut().chain(&mut self.biases)
    }
}

impl Norm {
    /// The norm by the tensors `stem.weight` and `stem.bias`.
    pub(crate) fn of(stem: &str, width: usize, eps: f32) -> Self {
        Self { scale: format!("{stem}.weight"), shift: format!("{stem}.bias"), width, eps }
    }

    fn tensors(&self) -> Vec<TensorForm> {
        [&self.scale, &self.shift].map(|name| TensorForm::new(name, [self.width])).into()
    }
}

impl Conv {
    fn tensors(&self) -> Vec<TensorForm> {
        let Filter::Trained { weight, bias, norm } = &self.filter else { return vec![] };
        let shape = [self.outputs, self.inputs, self.kernel, self.kernel];
        let parts = |norm: &String| NORM_PARTS.map(|part| format!("{norm}.{part}"));
        let vectors = bias.iter().cloned().chain(norm.iter().flat_map(parts));
        let vectors = vectors.map(|name| TensorForm { name, shape: vec![self.outputs] });
        [TensorForm::new(weight, shape)].into_iter().chain(vectors).collect()
    }
}
