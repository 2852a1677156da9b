//! The kernels under test, each at what a layer of a BERT asks of it.

use offramp_kernels::{
    Activation, Attention, Compact, Decision, Embed, ExitId, Linear, LinearNorms, Norm, Op, Pool,
    Ramp, RampHead, RowTokens, Span,
};
use offramp_tests::models::BertSize;

use crate::case::Operands;

/// Rows of the position table.
pub(crate) const POSITIONS: usize = 512;
/// Rows of the kind table.
const KINDS: usize = 2;
const EPS: f32 = 1e-12;

/// What one kernel does in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Embed,
    Qkv,
    Attention,
    AttentionOut,
    FeedIn,
    FeedOut,
    Norm,
    Ramp,
    Compact,
}

impl Task {
    pub(crate) const ALL: [Self; 9] = [
        Self::Qkv,
        Self::AttentionOut,
        Self::FeedIn,
        Self::FeedOut,
        Self::Attention,
        Self::Norm,
        Self::Embed,
        Self::Ramp,
        Self::Compact,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Qkv => "linear qkv",
            Self::Attention => "attention",
            Self::AttentionOut => "linear out",
            Self::FeedIn => "linear ffn1",
            Self::FeedOut => "linear ffn2",
            Self::Norm => "norm",
            Self::Ramp => "ramp",
            Self::Compact => "compact",
        }
    }

    /// The op over operands of its own.
    pub(crate) fn op(self, operands: &mut Operands, size: &BertSize) -> Op {
        let (width, inner) = (size.hidden, size.intermediate);
        match self {
            Self::Embed => embed(operands, size),
            Self::Qkv => linear(operands, 3 * width, width, Activation::None, false),
            Self::Attention => attention(operands, size),
            Self::AttentionOut => linear(operands, width, width, Activation::None, true),
            Self::FeedIn => linear(operands, inner, width, Activation::GeluErf, false),
            Self::FeedOut => linear(operands, width, inner, Activation::None, true),
            Self::Norm => norm(operands, width),
            Self::Ramp => {
                let x = operands.input(width);
                ramp(operands, x, size)
            }
            Self::Compact => {
                let (x, scratch) = (operands.input(width), operands.room(width));
                Compact { x, scratch, tokens: RowTokens::Own, width }.into()
            }
        }
    }
}

fn embed(operands: &mut Operands, size: &BertSize) -> Op {
    let width = size.hidden;
    Embed {
        word: operands.table(size.vocab, width),
        position: operands.table(POSITIONS, width),
        kind: Some(operands.table(KINDS, width)),
        scale: operands.scale(width),
        shift: operands.vector(width),
        eps: EPS,
        out: operands.room(width),
        width,
    }
    .into()
}

fn linear(operands: &mut Operands, n: usize, k: usize, act: Activation, residual: bool) -> Op {
    let (x, out) = (operands.input(k), operands.room(n));
    let residual = residual.then(|| operands.input(n));
    let (weight, bias) = (operands.matrix(n, k), operands.vector(n));
    Linear { x, weight, bias, activation: act, residual, out, norms: LinearNorms::default(), k, n }
        .into()
}

fn attention(operands: &mut Operands, size: &BertSize) -> Op {
    let (qkv, out) = (operands.input(3 * size.hidden), operands.room(size.hidden));
    Attention { qkv, out, heads: size.heads, head_dim: size.hidden / size.heads }.into()
}

fn norm(operands: &mut Operands, width: usize) -> Op {
    let (x, out) = (operands.input(width), operands.room(width));
    let (scale, shift) = (operands.scale(width), operands.vector(width));
    Norm { x, scale, shift, eps: EPS, out, width }.into()
}

/// A mean-pooled linear ramp over `x`, at the first exit.
pub(crate) fn ramp(operands: &mut Operands, x: Span, size: &BertSize) -> Op {
    let weight = operands.matrix(size.classes, size.hidden);
    let head = RampHead {
        weight,
        bias: operands.vector(size.classes),
        classes: size.classes,
        decision: Decision::Class,
    };
    let (exit, width, pool) = (ExitId(0), size.hidden, Pool::Mean);
    Ramp {
        exit,
        x,
        tokens: RowTokens::Own,
        width,
        norm: None,
        pool,
        hidden: None,
        head: Some(head),
    }
    .into()
}
