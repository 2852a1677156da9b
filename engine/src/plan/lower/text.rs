//! A text spec to a plan: the encoder of BERT, RoBERTa and DistilBERT.
//!
//! The three share one post-norm encoder (Devlin et al., arXiv 1810.04805); they differ in
//! tensor names, position numbering and head, all of which the spec says.
//!
//! A device may take norms over ([`Preferences::takes_norms`]): then `x` lies before its norm at
//! every site, and products and ramps that read it normalise it.

use offramp_kernels::{
    Activation, ArenaLayout, Attention, Compact, Decision, Embed, ExitId, Linear, LinearNorms,
    MomentsId, Narrow, Norm, Normalised, Op, Pool, Preferences, Ramp, RampHead, RowTokens, Span,
    Standardised,
};
use offramp_weights::{Part, TextSpec};

use super::{RampShape, activation, decision, layout, ramp_layers};
use crate::plan::arena::{Places, Values, place};
use crate::plan::weights::{NormSource, WeightTable};
use crate::plan::{Plan, Segment, Site};
use crate::rules::Limits;

/// Where moments of `x` are: behind attention and behind the feed-forward layers, as the one is
/// written while the other is read.
const BEHIND_ATTENTION: MomentsId = MomentsId(0);
const BEHIND_FEED_FORWARD: MomentsId = MomentsId(1);

/// Compiles `spec` with `ramps` (by rising site, none after the last layer) for batches within
/// `limits`.
pub(super) fn lower(
    spec: &TextSpec,
    ramps: &[RampShape],
    limits: Limits,
    prefers: Preferences,
) -> Plan {
    let mut lowering = Lowering::new(spec, limits, prefers);
    let mut segments: Vec<Segment> = (0..spec.layers).map(|i| lowering.segment(i, ramps)).collect();
    if let Some(segment) = segments.last_mut() {
        segment.site = None;
    }
    let last = lowering.last(ExitId(ramps.len() as u32));
    lowering.finish(segments, last)
}

/// The layer norm that a value lies before.
#[derive(Clone, Copy)]
struct Pending {
    norm: Normalised,
    source: NormSource,
}

struct Lowering<'a> {
    spec: &'a TextSpec,
    limits: Limits,
    values: Values,
    weights: WeightTable,
    /// The value that crosses every site: `[tokens, hidden]`.
    x: Span,
    /// The norm that it lies before, where products take norms over.
    pending: Option<Pending>,
    takes_norms: bool,
    /// What the final exit reads, as wide as `x`, and the norm that it lies before.
    features: Span,
}

impl<'a> Lowering<'a> {
    fn new(spec: &'a TextSpec, limits: Limits, prefers: Preferences) -> Self {
        let mut values = Values::default();
        let x = values.add(limits.tokens_max * spec.hidden);
        let widths = [spec.hidden, spec.intermediate];
        let fits = widths.iter().all(|width| width.is_multiple_of(prefers.channel_step));
        Self {
            spec,
            limits,
            values,
            weights: WeightTable::default(),
            x,
            pending: None,
            takes_norms: prefers.takes_norms && fits,
            features: x,
        }
    }

    fn take(&mut self, width: usize) -> Span {
        self.values.add(self.limits.tokens_max * width)
    }

    fn segment(&mut self, layer: usize, ramps: &[RampShape]) -> Segment {
        let mut ops = Vec::new();
        if layer == 0 {
            ops.push(self.embed());
        }
        self.attention(layer, &mut ops);
        self.feed_forward(layer, &mut ops);
        if layer + 1 == self.spec.layers && self.head_pools_first() {
            ops.push(self.head_dense());
        }
        let exit = ramps.iter().position(|ramp| ramp.site == layer);
        let ramp = exit.map(|exit| self.ramp(exit, &ramps[exit]));
        Segment { ops, site: Some(Site { ramp, compact: self.compact() }) }
    }

    fn embed(&mut self) -> Op {
        let TextSpec { vocab, positions, kinds, hidden, .. } = *self.spec;
        let word = self.weights.table(vocab, hidden, Part::WordEmbedding);
        let position = self.weights.table(positions, hidden, Part::PositionEmbedding);
        let kind = (kinds > 0).then(|| self.weights.table(kinds, hidden, Part::KindEmbedding));
        let scale = self.weights.vector(hidden, 0, &[Part::EmbeddingNormScale]);
        let shift = self.weights.vector(hidden, 0, &[Part::EmbeddingNormShift]);
        let (eps, out) = (self.spec.norm_eps, self.x);
        Op::Embed(Embed { word, position, kind, scale, shift, eps, out, width: hidden })
    }

    fn attention(&mut self, layer: usize, ops: &mut Vec<Op>) {
        let (hidden, heads) = (self.spec.hidden, self.spec.heads);
        let qkv = self.take(3 * hidden);
        let out = self.take(hidden);
        let parts = [Part::Query, Part::Key, Part::Value];
        let biases = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
        let of = (3 * hidden, layer, [&parts[..], &biases[..]]);
        ops.push(self.product_of_x(qkv, of, Activation::None));
        ops.push(Op::Attention(Attention { qkv, out, heads, head_dim: hidden / heads }));
        if layer + 1 == self.spec.layers && self.head_pools_first() {
            ops.push(self.narrow(out));
        }
        let dense = [Part::AttentionOut, Part::AttentionOutBias];
        let (scale, shift) = (Part::AttentionNormScale, Part::AttentionNormShift);
        let norm = (NormSource { layer, scale, shift }, BEHIND_ATTENTION);
        self.add_and_norm((out, hidden), dense, norm, ops);
    }

    /// Behind the last attention only the token that the head pools is still needed.
    fn narrow(&mut self, out: Span) -> Op {
        let width = self.spec.hidden;
        let scratch = self.take(2 * width);
        Op::Narrow(Narrow { values: [self.x, out], scratch, width })
    }

    /// All three families put a dense layer on the first token; a model without it ends in the
    /// mean of all tokens.
    fn head_pools_first(&self) -> bool {
        self.spec.classes > 0 || self.spec.has_pooler
    }

    fn feed_forward(&mut self, layer: usize, ops: &mut Vec<Op>) {
        let inner = self.spec.intermediate;
        let up = self.take(inner);
        let of = (inner, layer, [&[Part::Up][..], &[Part::UpBias]]);
        ops.push(self.product_of_x(up, of, activation(self.spec.activation)));
        let dense = [Part::Down, Part::DownBias];
        let (scale, shift) = (Part::OutNormScale, Part::OutNormShift);
        let norm = (NormSource { layer, scale, shift }, BEHIND_FEED_FORWARD);
        self.add_and_norm((up, inner), dense, norm, ops);
    }

    /// `x = norm(from · W + b + x)`, the norm left to whoever reads `x` where products take norms
    /// over. `from` is `k` wide.
    fn add_and_norm(
        &mut self,
        (from, k): (Span, usize),
        dense: [Part; 2],
        (source, moments): (NormSource, MomentsId),
        ops: &mut Vec<Op>,
    ) {
        let (x, width, eps) = (self.x, self.spec.hidden, self.spec.norm_eps);
        let weight = self.weights.matrix(width, k, source.layer, &dense[..1]);
        let bias = self.weights.vector(width, source.layer, &dense[1..]);
        let norms = LinearNorms {
            x: None,
            residual: self.pending.map(|pending| pending.norm),
            out: self.takes_norms.then_some(moments),
        };
        ops.push(Op::Linear(Linear {
            x: from,
            weight,
            bias,
            activation: Activation::None,
            residual: Some(x),
            out: x,
            norms,
            k,
            n: width,
        }));
        let scale = self.weights.vector(width, source.layer, &[source.scale]);
        let shift = self.weights.vector(width, source.layer, &[source.shift]);
        if self.takes_norms {
            let standard = Standardised { moments, eps };
            self.pending = Some(Pending { norm: Normalised { standard, scale, shift }, source });
        } else {
            ops.push(Op::Norm(Norm { x, scale, shift, eps, out: x, width }));
        }
    }

    /// `out = act(x · W + b)` with `n` outputs, by tensors of a layer: matrices and biases.
    fn product_of_x(
        &mut self,
        out: Span,
        (n, layer, parts): (usize, usize, [&[Part]; 2]),
        activation: Activation,
    ) -> Op {
        let (x, k) = (self.x, self.spec.hidden);
        let norm = self.pending.map(|pending| pending.source);
        let (weight, bias) = self.weights.product((n, k), layer, parts, norm);
        let standard = self.pending.map(|pending| pending.norm.standard);
        let norms = LinearNorms { x: standard, ..LinearNorms::default() };
        Op::Linear(Linear { x, weight, bias, activation, residual: None, out, norms, k, n })
    }

    fn compact(&mut self) -> Compact {
        let scratch = self.take(self.spec.hidden);
        Compact { x: self.x, scratch, tokens: RowTokens::Own, width: self.spec.hidden }
    }

    fn ramp(&mut self, exit: usize, shape: &RampShape) -> Ramp {
        let width = self.spec.hidden;
        let of = (width, self.decision());
        let (hidden, head) = ramp_layers(&mut self.weights, exit, shape, of);
        let (exit, x, tokens) = (ExitId(exit as u32), self.x, RowTokens::Own);
        let norm = self.pending.map(|pending| pending.norm);
        Ramp { exit, x, tokens, width, norm, pool: shape.pool, hidden, head }
    }

    fn decision(&self) -> Decision {
        decision(self.spec.scores.task(self.spec.classes))
    }

    /// The dense layer of the model's own head, a product like any other: one token is left of
    /// each row.
    fn head_dense(&mut self) -> Op {
        let width = self.spec.hidden;
        self.features = self.take(width);
        let of = (width, 0, [&[Part::Pooler][..], &[Part::PoolerBias]]);
        let op = self.product_of_x(self.features, of, activation(self.spec.head_activation()));
        self.pending = None;
        op
    }

    /// The classifier of the model's own head. A base model gives out its features.
    fn last(&mut self, exit: ExitId) -> Ramp {
        let (width, x) = (self.spec.hidden, self.features);
        let classes = self.spec.classes;
        let head = (classes > 0).then(|| RampHead {
            weight: self.weights.matrix(classes, width, 0, &[Part::Classifier]),
            bias: self.weights.vector(classes, 0, &[Part::ClassifierBias]),
            classes,
            decision: self.decision(),
        });
        let pool = if self.head_pools_first() { Pool::First } else { Pool::Mean };
        let norm = self.pending.map(|pending| pending.norm);
        Ramp { exit, x, tokens: RowTokens::Own, width, norm, pool, hidden: None, head }
    }

    fn finish(self, mut segments: Vec<Segment>, mut last: Ramp) -> Plan {
        let Places { activations, resident } = place(&mut segments, &mut last);
        let layout = ArenaLayout {
            rows_max: self.limits.rows_max,
            tokens_max: self.limits.tokens_max,
            row_tokens_max: self.spec.row_tokens_max().min(self.limits.tokens_max),
            activations,
            resident,
            moments: if self.takes_norms { vec![self.spec.hidden; 2] } else { Vec::new() },
            weights: self.weights.forms,
            ..layout(&segments, &last)
        };
        Plan { segments, last, layout, sources: self.weights.sources }
    }
}
