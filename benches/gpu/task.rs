//! The kernels under test, each at what a layer of a BERT asks of it.

use offramp_kernels::{
    Activation, Attention, Compact, Decision, Embed, ExitId, Linear, LinearNorms, MomentsId, Norm,
    NormWeights, Normalised, Op, Pool, Ramp, RampHead, RowTokens, Span, Standardised,
};
use offramp_tests::models::BertSize;

use crate::operands::Operands;

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
    /// The same two as they are in a layer: one behind a norm, one between two.
    FeedInBehindNorm,
    FeedOutBetweenNorms,
    Norm,
    Ramp,
    Compact,
}

impl Task {
    pub(crate) const ALL: [Self; 11] = [
        Self::Qkv,
        Self::AttentionOut,
        Self::FeedIn,
        Self::FeedOut,
        Self::FeedInBehindNorm,
        Self::FeedOutBetweenNorms,
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
            Self::FeedInBehindNorm => "linear ffn1 behind norm",
            Self::FeedOutBetweenNorms => "linear ffn2 between norms",
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
            Self::Qkv => linear(operands, 3 * width, width, Activation::None, false).into(),
            Self::Attention => attention(operands, size),
            Self::AttentionOut => linear(operands, width, width, Activation::None, true).into(),
            Self::FeedIn => linear(operands, inner, width, Activation::GeluErf, false).into(),
            Self::FeedOut => linear(operands, width, inner, Activation::None, true).into(),
            Self::FeedInBehindNorm => behind_norm(operands, inner, width),
            Self::FeedOutBetweenNorms => between_norms(operands, width, inner),
            Self::Norm => norm(operands, width),
            Self::Ramp => {
                let x = operands.input(width);
                ramp(operands, x, size)
            }
            Self::Compact => {
                let x = operands.input(width);
                Compact { x, tokens: RowTokens::Own, width }.into()
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
        norm: Some(NormWeights {
            scale: operands.scale(width),
            shift: operands.vector(width),
            eps: EPS,
        }),
        out: operands.room(width),
        width,
    }
    .into()
}

fn linear(operands: &mut Operands, n: usize, k: usize, act: Activation, residual: bool) -> Linear {
    let (x, out) = (operands.input(k), operands.room(n));
    let residual = residual.then(|| operands.input(n));
    let (weight, bias) = (operands.matrix(n, k), operands.vector(n));
    Linear { x, weight, bias, activation: act, residual, out, norms: LinearNorms::default(), k, n }
}

/// The moments that a product reads, and those that it writes: the same for all sets of operands.
const READ: MomentsId = MomentsId(0);
const WRITTEN: MomentsId = MomentsId(1);

fn behind_norm(operands: &mut Operands, n: usize, k: usize) -> Op {
    operands.layout.moments = vec![k];
    let x = Some(Standardised { moments: READ, eps: EPS });
    let norms = LinearNorms { x, ..LinearNorms::default() };
    Linear { norms, ..linear(operands, n, k, Activation::GeluErf, false) }.into()
}

fn between_norms(operands: &mut Operands, n: usize, k: usize) -> Op {
    operands.layout.moments = vec![n; 2];
    let scale = operands.scale(n);
    let shift = operands.vector(n);
    let standard = Standardised { moments: READ, eps: EPS };
    let residual = Some(Normalised { standard, scale, shift });
    let norms = LinearNorms { residual, out: Some(WRITTEN), x: None };
    Linear { norms, ..linear(operands, n, k, Activation::None, true) }.into()
}

/// The product that leaves what `op` reads before its norm, and its moments.
pub(crate) fn ahead_of_norm(operands: &mut Operands, op: &Linear) -> Option<Op> {
    let (out, width) = match (op.norms.x, op.norms.residual) {
        (Some(_), _) => (op.x, op.k),
        (None, Some(_)) => (op.residual?, op.n),
        (None, None) => return None,
    };
    let norms = LinearNorms { out: Some(READ), ..LinearNorms::default() };
    let product = linear(operands, width, width, Activation::None, false);
    Some(Linear { out, norms, ..product }.into())
}

/// Leaves an op without the norms that it took over: in place, what is to run before it instead.
pub(crate) fn give_back_norms(operands: &mut Operands, op: &mut Linear) -> Option<Op> {
    let LinearNorms { x, residual, .. } = std::mem::take(&mut op.norms);
    if let Some(Normalised { standard, scale, shift }) = residual {
        let x = op.residual?;
        return Some(Norm { x, scale, shift, eps: standard.eps, out: x, width: op.n }.into());
    }
    let eps = x?.eps;
    let scale = operands.constant(op.k, 1.0);
    let shift = operands.constant(op.k, 0.0);
    Some(Norm { x: op.x, scale, shift, eps, out: op.x, width: op.k }.into())
}

/// The op as it is where norms run by themselves.
pub(crate) fn forget_norms(op: &mut Op) {
    if let Op::Linear(op) = op {
        op.norms = LinearNorms::default();
    }
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
