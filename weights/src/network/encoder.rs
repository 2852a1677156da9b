//! The encoder of a transformer as steps (Devlin et al., arXiv 1810.04805; Dosovitskiy et al.,
//! arXiv 2010.11929): names by a table, norms before or behind a block.

use crate::network::{Attention, Linear, Norm, Residual, Step};
use crate::spec::Activation;

/// The tensors of a layer, by the beginnings of their names; `#` stands for the layer.
#[derive(Debug)]
pub(crate) struct LayerNames {
    /// Queries, keys and values, apart or in one.
    pub(crate) qkv: &'static [&'static str],
    /// The dense layer behind attention.
    pub(crate) attention_out: &'static str,
    /// The norm of the attention block.
    pub(crate) attention_norm: &'static str,
    /// To the inner width.
    pub(crate) up: &'static str,
    /// Back from it.
    pub(crate) down: &'static str,
    /// The norm of the feed-forward block.
    pub(crate) out_norm: &'static str,
}

/// Where a block has its norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NormPlace {
    /// Of what it reads; the sum stays as it is.
    Before,
    /// Of the sum.
    Behind,
}

/// Sizes of an encoder.
pub(crate) struct Encoder {
    pub(crate) layers: usize,
    /// A multiple of `heads`.
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) norm_eps: f32,
    pub(crate) activation: Activation,
    pub(crate) norm_place: NormPlace,
    /// Whether queries, keys and values have biases.
    pub(crate) has_qkv_bias: bool,
}

impl Encoder {
    /// The steps of layer `number`, every name behind `prefix`.
    pub(crate) fn layer(&self, names: &LayerNames, prefix: &str, number: usize) -> Vec<Step> {
        let name = |stem: &str| format!("{prefix}{}", stem.replace('#', &number.to_string()));
        let norm = |stem| Step::Norm(Norm::of(&name(stem), self.hidden, self.norm_eps));
        let linear = |stem, inputs, outputs| Linear::of(&[name(stem)], inputs, outputs);
        let stems: Vec<String> = names.qkv.iter().map(|stem| name(stem)).collect();
        let mut qkv = Linear::of(&stems, self.hidden, 3 * self.hidden);
        if !self.has_qkv_bias {
            qkv.biases.clear();
        }
        let up = linear(names.up, self.hidden, self.intermediate);
        let attention = vec![
            Step::Linear(qkv),
            Step::Attention(Attention { heads: self.heads, width: self.hidden }),
            Step::Linear(linear(names.attention_out, self.hidden, self.hidden)),
        ];
        let feed_forward = vec![
            Step::Linear(Linear { activation: Some(self.activation), ..up }),
            Step::Linear(linear(names.down, self.intermediate, self.hidden)),
        ];
        let blocks = [(attention, names.attention_norm), (feed_forward, names.out_norm)];
        blocks.into_iter().flat_map(|(body, stem)| self.block(body, norm(stem))).collect()
    }

    fn block(&self, mut body: Vec<Step>, norm: Step) -> Vec<Step> {
        let residual = |body| Step::Residual(Residual { body, shortcut: None, relu: false });
        match self.norm_place {
            NormPlace::Before => {
                body.insert(0, norm);
                vec![residual(body)]
            }
            NormPlace::Behind => vec![residual(body), norm],
        }
    }
}
