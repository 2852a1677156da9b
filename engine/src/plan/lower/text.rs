//! A text spec to a plan: the encoder of BERT, RoBERTa and DistilBERT.
//!
//! The three share one post-norm encoder (Devlin et al., arXiv 1810.04805); they differ in
//! tensor names, position numbering and head, all of which the spec says.

use offramp_kernels::{
    Activation, ArenaLayout, Attention, Compact, Decision, Embed, ExitId, Linear, Narrow, Norm, Op,
    Pool, Ramp, RampHead, RowTokens, Span,
};
use offramp_weights::{Part, TextSpec};

use super::{RampShape, activation, decision, layout, ramp_layers};
use crate::batch::Limits;
use crate::plan::arena::ArenaStack;
use crate::plan::weights::WeightTable;
use crate::plan::{Plan, Segment, Site};

/// Compiles `spec` with `ramps` (by rising site, none after the last layer) for batches within
/// `limits`.
pub(super) fn lower(spec: &TextSpec, ramps: &[RampShape], limits: Limits) -> Plan {
    let mut lowering = Lowering::new(spec, limits);
    let mut segments: Vec<Segment> = (0..spec.layers).map(|i| lowering.segment(i, ramps)).collect();
    if let Some(segment) = segments.last_mut() {
        segment.site = None;
    }
    let last = lowering.last(ExitId(ramps.len() as u32));
    lowering.finish(segments, last)
}

struct Lowering<'a> {
    spec: &'a TextSpec,
    limits: Limits,
    arena: ArenaStack,
    weights: WeightTable,
    /// The value that crosses every site: `[tokens, hidden]`.
    x: Span,
    /// What the final exit reads, as wide.
    features: Span,
}

impl<'a> Lowering<'a> {
    fn new(spec: &'a TextSpec, limits: Limits) -> Self {
        let mut arena = ArenaStack::default();
        let x = arena.take(limits.tokens_max * spec.hidden);
        Self { spec, limits, arena, weights: WeightTable::default(), x, features: x }
    }

    fn take(&mut self, width: usize) -> Span {
        self.arena.take(self.limits.tokens_max * width)
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
        let mark = self.arena.mark();
        let qkv = self.take(3 * hidden);
        let out = self.take(hidden);
        let weight =
            self.weights.matrix(3 * hidden, hidden, layer, &[Part::Query, Part::Key, Part::Value]);
        let biases = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
        let bias = self.weights.vector(3 * hidden, layer, &biases);
        let none = Activation::None;
        ops.push(self.linear(self.x, qkv, (3 * hidden, hidden), (weight, bias), none));
        ops.push(Op::Attention(Attention { qkv, out, heads, head_dim: hidden / heads }));
        if layer + 1 == self.spec.layers && self.head_pools_first() {
            ops.push(self.narrow(out, qkv));
        }
        let dense = [Part::AttentionOut, Part::AttentionOutBias];
        let norm = [Part::AttentionNormScale, Part::AttentionNormShift];
        self.add_and_norm(layer, out, hidden, (dense, norm), ops);
        self.arena.release(mark);
    }

    /// Behind the last attention only the token that the head pools is still needed.
    fn narrow(&self, out: Span, qkv: Span) -> Op {
        let width = self.spec.hidden;
        let scratch = Span { at: qkv.at, len: 2 * width * self.limits.tokens_max };
        Op::Narrow(Narrow { values: [self.x, out], scratch, width })
    }

    /// All three families put a dense layer on the first token; a model without it ends in the
    /// mean of all tokens.
    fn head_pools_first(&self) -> bool {
        self.spec.classes > 0 || self.spec.has_pooler
    }

    fn feed_forward(&mut self, layer: usize, ops: &mut Vec<Op>) {
        let (hidden, inner) = (self.spec.hidden, self.spec.intermediate);
        let mark = self.arena.mark();
        let up = self.take(inner);
        let weight = self.weights.matrix(inner, hidden, layer, &[Part::Up]);
        let bias = self.weights.vector(inner, layer, &[Part::UpBias]);
        let activation = activation(self.spec.activation);
        ops.push(self.linear(self.x, up, (inner, hidden), (weight, bias), activation));
        let dense = [Part::Down, Part::DownBias];
        let norm = [Part::OutNormScale, Part::OutNormShift];
        self.add_and_norm(layer, up, inner, (dense, norm), ops);
        self.arena.release(mark);
    }

    /// `x = norm(from · W + b + x)`
    fn add_and_norm(
        &mut self,
        layer: usize,
        from: Span,
        k: usize,
        (dense, norm): ([Part; 2], [Part; 2]),
        ops: &mut Vec<Op>,
    ) {
        let (x, width, eps) = (self.x, self.spec.hidden, self.spec.norm_eps);
        let weight = self.weights.matrix(width, k, layer, &dense[..1]);
        let bias = self.weights.vector(width, layer, &dense[1..]);
        ops.push(Op::Linear(Linear {
            x: from,
            weight,
            bias,
            activation: Activation::None,
            residual: Some(x),
            out: x,
            k,
            n: width,
        }));
        let scale = self.weights.vector(width, layer, &norm[..1]);
        let shift = self.weights.vector(width, layer, &norm[1..]);
        ops.push(Op::Norm(Norm { x, scale, shift, eps, out: x, width }));
    }

    fn linear(
        &self,
        x: Span,
        out: Span,
        (n, k): (usize, usize),
        (weight, bias): (offramp_kernels::WeightId, offramp_kernels::WeightId),
        activation: Activation,
    ) -> Op {
        Op::Linear(Linear { x, weight, bias, activation, residual: None, out, k, n })
    }

    fn compact(&mut self) -> Compact {
        let mark = self.arena.mark();
        let scratch = self.take(self.spec.hidden);
        self.arena.release(mark);
        Compact { x: self.x, scratch, tokens: RowTokens::Own, width: self.spec.hidden }
    }

    fn ramp(&mut self, exit: usize, shape: &RampShape) -> Ramp {
        let width = self.spec.hidden;
        let of = (width, self.decision());
        let (hidden, head) = ramp_layers(&mut self.weights, exit, shape, of);
        let (exit, x, tokens) = (ExitId(exit as u32), self.x, RowTokens::Own);
        Ramp { exit, x, tokens, width, pool: shape.pool, hidden, head }
    }

    fn decision(&self) -> Decision {
        decision(self.spec.scores.task(self.spec.classes))
    }

    /// The dense layer of the model's own head, a product like any other: one token is left of
    /// each row.
    fn head_dense(&mut self) -> Op {
        let width = self.spec.hidden;
        let weight = self.weights.matrix(width, width, 0, &[Part::Pooler]);
        let bias = self.weights.vector(width, 0, &[Part::PoolerBias]);
        let activation = activation(self.spec.head_activation());
        self.features = self.take(width);
        self.linear(self.x, self.features, (width, width), (weight, bias), activation)
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
        Ramp { exit, x, tokens: RowTokens::Own, width, pool, hidden: None, head }
    }

    fn finish(self, segments: Vec<Segment>, last: Ramp) -> Plan {
        let layout = ArenaLayout {
            rows_max: self.limits.rows_max,
            tokens_max: self.limits.tokens_max,
            row_tokens_max: self.spec.row_tokens_max().min(self.limits.tokens_max),
            activations: self.arena.high(),
            weights: self.weights.forms,
            ..layout(&segments, &last)
        };
        Plan { segments, last, layout, sources: self.weights.sources }
    }
}
